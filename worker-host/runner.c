/*
 * The runner: takes tasks from its ring, executes them, reports.
 *
 * Invariants: page.current names a task from before its function is called until after its result
 * is in the report ring's memory, so a death in between blames that task and no other; the runner
 * announces that it sleeps before it looks at the ring a last time (the host looks the other way
 * round), so no wake-up is lost.
 */
#include "worker-host/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "proto/value.h"
#include "worker-host/logs.h"
#include "worker-host/task.h"

enum {
    /* Reports that come close together, while more tasks wait, wake the host once. A third of the
     * host's work ahead (AHEAD_US in host_slots.c), so nobody idles; several times what a short
     * command takes, since each waking of the host and of its peers slows the commands beside it:
     * at 1 ms, exec of /bin/true reached 0.90 of bare posix_spawn on two processors, at 4 ms
     * 0.95 (`host_driver … true`). */
    SOON_NS = 4000000,
    NOW_NS = 1,
};

static pthread_mutex_t report_lock = PTHREAD_MUTEX_INITIALIZER;

static void arm(struct page *page, enum page_wake wake)
{
    if (atomic_load(&page->wake) >= (uint32_t)wake)
        return;
    atomic_store(&page->wake, wake);
    struct itimerspec when = {.it_value = {.tv_nsec = wake == WAKE_NOW ? NOW_NS : SOON_NS}};
    if (timerfd_settime(RUNNER_TIMER, 0, &when, NULL))
        abort(); /* the host would never hear of it */
}

void runner_report(struct runner *runner, const struct synk_bytes *pieces, size_t count,
                   bool is_last)
{
    struct page *page = runner->page;
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += pieces[i].size;
    pthread_mutex_lock(&report_lock);
    while (!report_fits(page, size)) {
        struct timespec pause = {.tv_nsec = 200000};
        arm(page, WAKE_NOW);
        nanosleep(&pause, NULL);
    }
    report_write(page, runner->rings + TASK_RING_BYTES, pieces, count);
    bool is_urgent =
        (is_last && task_reader_is_empty(&runner->reader)) || report_is_half_full(page);
    arm(page, is_urgent ? WAKE_NOW : WAKE_SOON);
    pthread_mutex_unlock(&report_lock);
}

/* Moves what the function printed to its attempt's log. */
static void keep_output(struct synk_task *task)
{
    struct stat info;
    fflush(NULL);
    if (fstat(RUNNER_OUTPUT, &info) || info.st_size == 0)
        return;
    struct log_writer log;
    log_writer_init(&log, task->runner->dir, task->frame.head.run, task->frame.head.task,
                    task->frame.head.attempt);
    log_write_file(&log, RUNNER_OUTPUT);
    log_writer_fini(&log);
    if (ftruncate(RUNNER_OUTPUT, 0))
        abort(); /* it would be the next task's */
}

/* Each task begins in "/": what a relative path means depends neither on how the host was started
 * nor on where the function before it went. */
static void go_to_root(void)
{
    if (chdir("/"))
        abort();
}

/* Calls a plugin's function with an account of what it used. */
static int call(const struct function *function, struct synk_task *task)
{
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    int outcome = function->run(task);
    getrusage(RUSAGE_SELF, &after);
    task->user_us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 +
                    after.ru_utime.tv_usec - before.ru_utime.tv_usec;
    task->system_us = (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
                      after.ru_stime.tv_usec - before.ru_stime.tv_usec;
    task->max_rss_kib = after.ru_maxrss;
    go_to_root();
    keep_output(task);
    return outcome;
}

static int run_function(struct synk_task *task)
{
    static const struct function *last; /* most tasks in a row are of one function */
    const struct plugins *plugins = &task->runner->plugins;
    struct synk_bytes name = task->frame.function;
    if (!last || !bytes_equal(bytes_str(last->name), name))
        last = plugins_function(plugins, name);
    if (!last) {
        char text[SYNK_ERROR_TEXT_BYTES + 400];
        plugins_explain(plugins, name, text, sizeof(text));
        return synk_task_fail(task, "%s", text);
    }
    return last->is_quiet ? last->run(task) : call(last, task);
}

/* The result as it may be sent, or a failure that says why not. */
static struct synk_bytes checked_result(struct synk_task *task, int *outcome)
{
    struct synk_bytes result = synk_builder_bytes(task->result);
    struct synk_error error;
    if (!*outcome && task->decoding.status)
        *outcome = synk_task_fail(task, "%s", task->decoding.text);
    else if (!*outcome && result.size > LIMIT_VALUE_BYTES)
        *outcome = synk_task_fail(task, "the result has %zu bytes; the limit is %d", result.size,
                                  LIMIT_VALUE_BYTES);
    else if (!*outcome && result.size &&
             value_check_built(task->result, &check_message_limits, &error))
        *outcome = synk_task_fail(task, "the result is not one whole value: %s", error.text);
    if (*outcome && !task->error.size)
        synk_task_fail(task, "the function returned %d", *outcome);
    return *outcome ? bytes_of(NULL, 0) : result;
}

static void execute(struct runner *runner, struct synk_task *task, struct synk_bytes frame_bytes,
                    uint32_t number)
{
    struct task_frame frame;
    struct page *page = runner->page;
    if (task_frame_read(frame_bytes, &frame))
        abort(); /* our host does not write such */
    task_begin(task, &frame, number);
    atomic_store_explicit(&page->started_ns, task->started_ns, memory_order_relaxed);
    atomic_store_explicit(&page->started_at, task->started_at, memory_order_relaxed);
    atomic_store_explicit(&page->progress_count, 0, memory_order_relaxed);
    atomic_store(&page->current, PAGE_RUNNING | number);
    int outcome = run_function(task);
    struct synk_bytes result = checked_result(task, &outcome);
    struct synk_bytes text = outcome ? buf_bytes(&task->error) : bytes_of(NULL, 0);
    int64_t spent_ns = task_clock_ns() - task->started_ns;
    struct report_head head = {
        .size = (uint32_t)(sizeof(head) + result.size + text.size),
        .number = number,
        .kind = FRAME_RESULT,
        .outcome = outcome ? OUTCOME_FAILED : OUTCOME_SUCCEEDED,
        .asked_to_end = synk_task_cancelled(task),
        .exit_status = task->exit_status,
        .signal = task->signal,
        .started_at = task->started_at,
        .ended_at = task->started_at + spent_ns / 1000000,
        .execution_us = spent_ns / 1000,
        .user_us = task->user_us,
        .system_us = task->system_us,
        .max_rss_kib = task->max_rss_kib,
        .value_bytes = (uint32_t)result.size,
        .text_bytes = (uint32_t)text.size,
    };
    runner_report(runner, (struct synk_bytes[]){bytes_of(&head, sizeof(head)), result, text}, 3,
                  true);
    atomic_store(&page->current, 0);
    task_end(task);
}

static void wait_for_tasks(struct runner *runner)
{
    uint64_t count;
    atomic_store(&runner->page->sleeping, 1);
    if (task_reader_is_empty(&runner->reader) && read(RUNNER_WAKE, &count, sizeof(count)) < 0 &&
        errno != EINTR)
        abort();
    atomic_store(&runner->page->sleeping, 0);
}

static void load_plugins(struct runner *runner, int argc, char **argv)
{
    plugins_init(&runner->plugins);
    for (int i = 0; i < argc; i++) {
        struct synk_error error;
        if (strcmp(argv[i], "--plugin") == 0 && i + 1 < argc) {
            const char *path = argv[++i], *base = strrchr(path, '/');
            if (plugins_load(&runner->plugins, path, &error)) {
                char *name = mem_strdup(base ? base + 1 : path);
                name[strcspn(name, ".")] = '\0';
                plugins_refuse(&runner->plugins, name, error.text);
                free(name);
            }
        } else if (strcmp(argv[i], "--refused") == 0 && i + 2 < argc) {
            plugins_refuse(&runner->plugins, argv[i + 1], argv[i + 2]);
            i += 2;
        }
    }
}

/* A plain process, bound to the host: no handler, no mask, nothing open but what it was given. */
static bool settle(pid_t host)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL); /* refused for some, which cannot be changed anyway */
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || prctl(PR_SET_CHILD_SUBREAPER, 1) || getppid() != host)
        return false;
    prctl(PR_SET_NAME, "synk-runner");
    for (int fd = RUNNER_PAGE; fd < RUNNER_FD_END; fd++)
        if (fcntl(fd, F_SETFD, FD_CLOEXEC))
            return false;
    close_range(RUNNER_FD_END, ~0u, 0);
    return true;
}

int runner_main(int argc, char **argv)
{
    static struct runner runner;
    static struct synk_task task;
    struct synk_error error;
    if (argc < 2 || !settle((pid_t)atol(argv[0])))
        return 2;
    runner.dir = argv[1];
    if (page_map(RUNNER_PAGE, RUNNER_RINGS, &runner.page, &runner.rings, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return 2;
    }
    runner.reader = (struct task_reader){.page = runner.page, .data = runner.rings};
    task_init(&task, &runner);
    load_plugins(&runner, argc - 2, argv + 2);
    go_to_root(); /* not before: a plugin's path may be relative to the host's directory */
    fflush(NULL);
    struct report_head ready = {.size = sizeof(ready), .kind = FRAME_READY, .exit_status = -1};
    runner_report(&runner, (struct synk_bytes[]){bytes_of(&ready, sizeof(ready))}, 1, true);
    for (;;) {
        struct synk_bytes frame;
        uint32_t number;
        if (task_reader_take(&runner.reader, &frame, &number))
            execute(&runner, &task, frame, number);
        else
            wait_for_tasks(&runner);
    }
}
