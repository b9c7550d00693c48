/*
 * The runners in the daemon's loop: their reports, deaths and restarts become inputs of the pure
 * host.
 *
 * Invariant: all that a runner reported is passed on before its death is.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/limits.h"
#include "worker-host/daemon_internal.h"
#include "worker-host/logs.h"
#include "worker-host/process.h"

enum {
    START_WINDOW_MS = 10000,
    START_PAUSE_MS = 1000,
    START_PAUSE_MAX_MS = 30000,
};

static void read_reports(struct worker *worker)
{
    struct report_head head;
    struct msg_report report;
    uint32_t slot = worker->runner.index;
    runner_process_read(&worker->runner);
    while (runner_process_next(&worker->runner, &head, &report)) {
        static const enum host_input_kind kinds[] = {[FRAME_READY] = HOST_RUNNER_READY,
                                                     [FRAME_RESULT] = HOST_RUNNER_RESULT,
                                                     [FRAME_MILESTONE] = HOST_RUNNER_MILESTONE};
        daemon_step(worker->daemon, (struct host_input){.kind = kinds[head.kind],
                                                        .slot = slot,
                                                        .report = &report,
                                                        .asked_to_end = head.asked_to_end});
    }
}

void daemon_on_reports(uv_poll_t *poll, int status, int events)
{
    struct worker *worker = poll->data;
    (void)status, (void)events;
    read_reports(worker);
    daemon_apply(worker->daemon);
}

void daemon_free_handle(uv_handle_t *handle)
{
    free(handle);
}

/* A runner that dies before it is ready is started again at once, unless it does so all the time.
 * */
static void plan_respawn(struct worker *worker, bool was_ready)
{
    int64_t now = daemon_now_ms();
    worker->respawn_ms = now;
    if (was_ready) {
        worker->pause_ms = 0;
        return;
    }
    int64_t oldest = worker->failed_ms[0];
    memmove(worker->failed_ms, worker->failed_ms + 1,
            (START_FAILURES - 1) * sizeof(*worker->failed_ms));
    worker->failed_ms[START_FAILURES - 1] = now;
    if (oldest && now - oldest < START_WINDOW_MS) {
        worker->pause_ms = worker->pause_ms ? worker->pause_ms * 2 : START_PAUSE_MS;
        if (worker->pause_ms > START_PAUSE_MAX_MS)
            worker->pause_ms = START_PAUSE_MAX_MS;
        worker->respawn_ms = now + worker->pause_ms;
        daemon_say(worker->daemon, "level=error event=runner-keeps-dying slot=%u pauseMs=%lld",
                   worker->runner.index, (long long)worker->pause_ms);
    }
}

/* What the dead runner printed goes to the log of the attempt that it died in, or to ours. */
static void keep_last_words(struct worker *worker, bool was_ready)
{
    struct daemon *daemon = worker->daemon;
    struct attempt_id id;
    char words[512];
    if (host_slot_attempt(daemon->host, worker->runner.index, &id)) {
        struct log_writer log;
        log_writer_init(&log, daemon->options->dir, id.run, id.task, id.attempt);
        log_write_file(&log, worker->runner.output_fd);
        log_writer_fini(&log);
    } else if (!was_ready) {
        ssize_t size = pread(worker->runner.output_fd, words, sizeof(words), 0);
        if (size > 0)
            daemon_say(daemon, "level=error event=runner-said text=\"%.*s\"", (int)size, words);
    }
}

static void describe_death(const struct runner_death *death, bool is_corrupt, char *text,
                           size_t text_size)
{
    if (is_corrupt)
        snprintf(text, text_size, "the runner's shared memory was overwritten; it was killed");
    else if (WIFSIGNALED(death->status))
        snprintf(text, text_size, "the runner was killed by signal %d (%s)",
                 WTERMSIG(death->status), process_signal_name(WTERMSIG(death->status)));
    else
        snprintf(text, text_size, "the runner exited with status %d", WEXITSTATUS(death->status));
}

/* Pids, one a slot, 0 where there is none. */
static pid_t *other_runners(const struct worker *worker)
{
    const struct daemon *daemon = worker->daemon;
    pid_t *pids = mem_zalloc(daemon->slots, sizeof(*pids));
    for (uint32_t i = 0; i < daemon->slots; i++)
        pids[i] = i == worker->runner.index ? 0 : daemon->workers[i].runner.pid;
    return pids;
}

void daemon_kill_runners(struct daemon *daemon)
{
    /* The kernel may hold a process for a while that waits for a disk. */
    enum { PATIENCE_MS = 1000 };
    for (uint32_t i = 0; i < daemon->slots; i++)
        runner_process_end(&daemon->workers[i].runner, END_KILL);
    int64_t end_ms = daemon_now_ms() + PATIENCE_MS;
    for (uint32_t i = 0; i < daemon->slots; i++) {
        struct pollfd death = {.fd = daemon->workers[i].runner.pidfd, .events = POLLIN};
        int64_t left_ms = end_ms - daemon_now_ms();
        if (daemon->workers[i].runner.pid && left_ms > 0 && poll(&death, 1, (int)left_ms) == 0)
            daemon_say(daemon, "level=warn event=runner-does-not-die slot=%u", i);
    }
}

void daemon_end_runner(struct worker *worker)
{
    if (!worker->daemon)
        return; /* the start failed before this slot was made */
    pid_t *kept = other_runners(worker);
    runner_process_fini(&worker->runner, kept, worker->daemon->slots);
    free(kept);
}

static void on_death(uv_poll_t *poll, int status, int events)
{
    struct worker *worker = poll->data;
    struct daemon *daemon = worker->daemon;
    (void)status, (void)events;
    if (daemon->exits)
        return; /* killed by ourselves, and the host has said its last word */
    uv_poll_stop(poll);
    uv_close((uv_handle_t *)poll, daemon_free_handle);
    worker->pid_poll = NULL;
    read_reports(worker);
    daemon_apply(daemon);
    pid_t *kept = other_runners(worker);
    struct runner_death death = runner_process_reap(&worker->runner, kept, daemon->slots);
    free(kept);
    if (death.blamed || !death.was_ready)
        keep_last_words(worker, death.was_ready);
    char text[128];
    describe_death(&death, worker->runner.is_corrupt, text, sizeof(text));
    const struct rusage *usage = &death.usage;
    bool is_signal = WIFSIGNALED(death.status);
    struct msg_report report = {
        .outcome = OUTCOME_CRASHED,
        .exit_status = is_signal ? -1 : WEXITSTATUS(death.status),
        .signal = is_signal ? WTERMSIG(death.status) : 0,
        .user_us = (int64_t)usage->ru_utime.tv_sec * 1000000 + usage->ru_utime.tv_usec,
        .system_us = (int64_t)usage->ru_stime.tv_sec * 1000000 + usage->ru_stime.tv_usec,
        .max_rss_kib = usage->ru_maxrss,
        .error = bytes_str(text),
    };
    daemon_step(daemon, (struct host_input){.kind = HOST_RUNNER_DEAD,
                                            .slot = worker->runner.index,
                                            .report = &report,
                                            .blamed = death.blamed});
    daemon_apply(daemon);
    if (worker->is_closed)
        return;
    daemon_say(daemon, "level=warn event=runner-died slot=%u text=\"%s\"", worker->runner.index,
               text);
    plan_respawn(worker, death.was_ready);
}

void daemon_start_runner(struct worker *worker)
{
    struct daemon *daemon = worker->daemon;
    struct synk_error error;
    worker->respawn_ms = 0;
    if (runner_process_spawn(&worker->runner, &daemon->plugins, &error)) {
        daemon_say(daemon, "level=error event=spawn-failed slot=%u text=\"%s\"",
                   worker->runner.index, error.text);
        worker->respawn_ms = daemon_now_ms() + START_PAUSE_MS;
        return;
    }
    worker->pid_poll = mem_zalloc(1, sizeof(*worker->pid_poll));
    worker->pid_poll->data = worker;
    if (uv_poll_init(&daemon->loop, worker->pid_poll, worker->runner.pidfd) ||
        uv_poll_start(worker->pid_poll, UV_READABLE, on_death))
        abort();
}

enum synk_status daemon_make_worker(struct daemon *daemon, struct synk_error *error)
{
    uint32_t index = daemon->slots;
    struct worker *worker = &daemon->workers[index];
    worker->daemon = daemon;
    enum synk_status status =
        runner_process_init(&worker->runner, daemon->options->dir, index, error);
    if (status) {
        worker->daemon = NULL;
        return status;
    }
    daemon->slots++;
    worker->respawn_ms = 1;
    worker->timer_poll.data = worker;
    if (uv_poll_init(&daemon->loop, &worker->timer_poll, worker->runner.timer_fd) ||
        uv_poll_start(&worker->timer_poll, UV_READABLE, daemon_on_reports))
        return status_fail(error, SYNK_IO, "cannot watch runner %u", index);
    return SYNK_OK;
}

/* A slot that cannot be made stays without a runner: said, and the others work. */
void daemon_open_slot(struct daemon *daemon, uint32_t slot)
{
    struct synk_error error;
    daemon_raise_file_limit(slot + 1);
    while (daemon->slots <= slot)
        if (daemon_make_worker(daemon, &error)) {
            daemon_say(daemon, "level=error event=no-slot slot=%u text=\"%s\"", daemon->slots,
                       error.text);
            return;
        }
    struct worker *worker = &daemon->workers[slot];
    worker->is_closed = false;
    if (!worker->runner.pid && !worker->respawn_ms)
        worker->respawn_ms = 1;
}

void daemon_close_slot(struct daemon *daemon, uint32_t slot)
{
    if (slot >= daemon->slots)
        return;
    struct worker *worker = &daemon->workers[slot];
    worker->is_closed = true;
    worker->respawn_ms = 0;
    if (worker->runner.pid)
        kill(worker->runner.pid, SIGKILL); /* idle: nothing is lost; on_death clears away */
}

void daemon_view_runners(struct daemon *daemon)
{
    for (uint32_t i = 0; i < daemon->slots; i++) {
        struct runner_view view = runner_process_view(&daemon->workers[i].runner);
        if (view.runs && view.is_new)
            daemon_step(daemon, (struct host_input){.kind = HOST_RUNNER_STARTED,
                                                    .slot = i,
                                                    .started_ms = view.started_ms,
                                                    .started_at = view.started_at});
        if (view.has_progress)
            daemon_step(daemon, (struct host_input){.kind = HOST_RUNNER_PROGRESS,
                                                    .slot = i,
                                                    .progress = view.progress});
    }
}

static int64_t rss_kib(pid_t pid)
{
    char path[64], text[128] = "";
    long long size, resident;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (got <= 0 || sscanf(text, "%lld %lld", &size, &resident) != 2)
        return 0;
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static int64_t cpu_us(int who)
{
    struct rusage usage;
    getrusage(who, &usage);
    return ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

void daemon_measure(struct daemon *daemon)
{
    int64_t rss = rss_kib(getpid()), cpu = cpu_us(RUSAGE_SELF) + cpu_us(RUSAGE_CHILDREN);
    for (uint32_t i = 0; i < daemon->slots; i++) {
        pid_t pid = daemon->workers[i].runner.pid;
        clockid_t clock;
        struct timespec used;
        if (!pid)
            continue;
        rss += rss_kib(pid);
        if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &used) == 0)
            cpu += (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
    }
    host_set_usage(daemon->host, rss, cpu);
}

/* A function that prints without end must not fill the memory: what its log would leave out anyway
 * is given back. */
void daemon_bound_output(struct daemon *daemon)
{
    for (uint32_t i = 0; i < daemon->slots; i++) {
        struct stat info;
        int fd = daemon->workers[i].runner.output_fd;
        if (fstat(fd, &info) == 0 && info.st_blocks > 2 * LIMIT_LOG_BYTES / 512 &&
            fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, LIMIT_LOG_BYTES,
                      info.st_size - 2 * LIMIT_LOG_BYTES))
            daemon_say(daemon, "level=warn event=output-not-bounded slot=%u text=\"%s\"", i,
                       strerror(errno));
    }
}
