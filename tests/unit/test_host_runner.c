/*
 * A host's end of real runners. This program is the runner too: the host starts /proc/self/exe with
 * --runner.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/json.h"
#include "tests/support/unit.h"
#include "worker-host/process.h"
#include "worker-host/runner.h"
#include "worker-host/runner_process.h"

struct stage {
    struct runner_process *runner;
    struct plugins plugins;
    struct buf payload;
};

static void make(struct stage *stage, uint32_t index)
{
    struct report_head head;
    struct msg_report report;
    *stage = (struct stage){.runner = mem_zalloc(1, sizeof(*stage->runner))};
    plugins_init(&stage->plugins);
    CU_ASSERT_FATAL(!runner_process_init(stage->runner, unit_directory(), index, NULL));
    CU_ASSERT_FATAL(!runner_process_spawn(stage->runner, &stage->plugins, NULL));
    do {
        poll(&(struct pollfd){.fd = stage->runner->timer_fd, .events = POLLIN}, 1, 10000);
        runner_process_read(stage->runner);
    } while (!runner_process_next(stage->runner, &head, &report));
    CU_ASSERT_EQUAL(head.kind, FRAME_READY);
}

static void destroy(struct stage *stage)
{
    runner_process_fini(stage->runner, NULL, 0);
    plugins_fini(&stage->plugins);
    buf_fini(&stage->payload);
    free(stage->runner);
}

/* Gives a function of the built-in plugin `sim` with a payload of {"ms": 60000}. */
static void give(struct stage *stage, const char *function)
{
    struct msg_task task = {.id = {1, 0, 1, 1}, .worker = bytes_str("w")};
    buf_clear(&stage->payload);
    json_parse(bytes_str("{\"ms\": 60000}"), &stage->payload, NULL);
    struct msg_spec spec = {.unit = bytes_str("u"),
                            .function = bytes_str(function),
                            .payload = buf_bytes(&stage->payload)};
    runner_process_give(stage->runner, &(struct host_task){&spec, &task, NULL});
}

static void await_current(struct stage *stage, uint32_t number)
{
    while (atomic_load(&stage->runner->page->current) != (PAGE_RUNNING | number))
        sched_yield();
}

static bool is_dead(const struct stage *stage, int patience_ms)
{
    struct pollfd item = {.fd = stage->runner->pidfd, .events = POLLIN};
    return poll(&item, 1, patience_ms) == 1;
}

/* The first task is over and its runner in the next one, but its host has not heard of it. */
static void test_a_signal_for_an_ended_task_spares_the_next_one(void)
{
    struct stage stage;
    struct report_head head;
    struct msg_report report;
    make(&stage, 0);
    give(&stage, "sim.noop");
    give(&stage, "sim.sleep");
    give(&stage, "sim.sleep");
    runner_process_publish(stage.runner);
    await_current(&stage, 1);
    runner_process_end(stage.runner, END_TERM);
    runner_process_end(stage.runner, END_KILL);
    CU_ASSERT_EQUAL(runner_process_reclaim(stage.runner), 1);
    CU_ASSERT_FALSE(is_dead(&stage, 50));
    runner_process_read(stage.runner);
    CU_ASSERT_TRUE(runner_process_next(stage.runner, &head, &report));
    CU_ASSERT(head.kind == FRAME_RESULT && head.number == 0);
    CU_ASSERT_TRUE(runner_process_view(stage.runner).runs);
    runner_process_end(stage.runner, END_KILL);
    CU_ASSERT_TRUE(is_dead(&stage, 10000));
    CU_ASSERT_TRUE(runner_process_reap(stage.runner, NULL, 0).blamed);
    destroy(&stage);
}

/* A signal that comes after the task's end finds an idle runner, which is not to begin a thing. */
static void test_a_signalled_runner_begins_nothing_more(void)
{
    struct stage stage;
    struct report_head head;
    struct msg_report report;
    make(&stage, 1);
    give(&stage, "sim.noop");
    runner_process_publish(stage.runner);
    poll(&(struct pollfd){.fd = stage.runner->timer_fd, .events = POLLIN}, 1, 10000);
    runner_process_end(stage.runner, END_TERM);
    runner_process_read(stage.runner);
    CU_ASSERT(runner_process_next(stage.runner, &head, &report) && head.number == 0);
    give(&stage, "sim.noop");
    runner_process_publish(stage.runner);
    CU_ASSERT_EQUAL((uint32_t)atomic_load(&stage.runner->page->cursor), 1);
    CU_ASSERT_TRUE(is_dead(&stage, 10000));
    CU_ASSERT_FALSE(runner_process_reap(stage.runner, NULL, 0).blamed);
    destroy(&stage);
}

static void test_what_waits_behind_a_killed_task_comes_back(void)
{
    struct stage stage;
    make(&stage, 2);
    give(&stage, "sim.sleep");
    give(&stage, "sim.noop");
    runner_process_publish(stage.runner);
    give(&stage, "sim.noop");
    await_current(&stage, 0);
    runner_process_end(stage.runner, END_TERM);
    CU_ASSERT_EQUAL(runner_process_reclaim(stage.runner), 2);
    CU_ASSERT_TRUE(is_dead(&stage, 10000));
    CU_ASSERT_TRUE(runner_process_reap(stage.runner, NULL, 0).blamed);
    destroy(&stage);
}

static void test_the_end_of_one_slot_spares_the_others(void)
{
    struct stage one, other;
    make(&one, 3);
    make(&other, 4);
    pid_t kept[2] = {0, other.runner->pid};
    runner_process_fini(one.runner, kept, 2);
    siginfo_t info = {0};
    CU_ASSERT_EQUAL(
        waitid(P_PID, (id_t)other.runner->pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    CU_ASSERT_EQUAL(info.si_pid, 0); /* ours still, and alive */
    free(one.runner);
    plugins_fini(&one.plugins);
    buf_fini(&one.payload);
    destroy(&other);
}

/* A process with a group of its own, as a runner is. */
static pid_t start_bystander(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        for (;;)
            pause();
    }
    setpgid(pid, pid);
    return pid;
}

static size_t kill_leftovers(const struct page *page)
{
    char dir[300], path[400];
    snprintf(dir, sizeof(dir), "%s/earlier", unit_directory());
    snprintf(path, sizeof(path), "%s/runner-0.page", dir);
    mkdir(dir, 0700);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CU_ASSERT_EQUAL(write(fd, page, sizeof(*page)), (ssize_t)sizeof(*page));
    close(fd);
    return runner_leftovers_kill(dir);
}

static void test_the_page_of_another_boot_kills_nobody(void)
{
    int64_t boot_ns = process_boot_ns();
    pid_t pid = start_bystander();
    struct boot_id boot = process_boot_id();
    struct page *page = aligned_alloc(64, PAGE_BYTES);
    memset(page, 0, PAGE_BYTES);
    CU_ASSERT(boot.halves[0] && boot.halves[1]);
    page->magic = PAGE_MAGIC;
    page->boot_id[0] = boot.halves[0];
    page->boot_id[1] = boot.halves[1] ^ 1;
    page->runner_pid = page->command_group = pid;
    page->runner_start = process_start(pid);
    page->command_boot_ns = boot_ns;
    CU_ASSERT_EQUAL(kill_leftovers(page), 0);
    page->boot_id[1] = boot.halves[1];
    page->command_group = 0;
    page->runner_start++; /* the number was used again */
    CU_ASSERT_EQUAL(kill_leftovers(page), 0);
    CU_ASSERT_EQUAL(waitpid(pid, NULL, WNOHANG), 0);
    page->runner_start--;
    CU_ASSERT_EQUAL(kill_leftovers(page), 1);
    CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
    free(page);
}

static const struct unit_case cases[] = {
    {"a_signal_for_an_ended_task", test_a_signal_for_an_ended_task_spares_the_next_one},
    {"a_signalled_runner_begins_nothing", test_a_signalled_runner_begins_nothing_more},
    {"what_waits_behind_a_killed_task", test_what_waits_behind_a_killed_task_comes_back},
    {"the_end_of_one_slot_spares_the_others", test_the_end_of_one_slot_spares_the_others},
    {"the_page_of_another_boot", test_the_page_of_another_boot_kills_nobody},
    {NULL, NULL},
};

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "--runner") == 0)
        return runner_main(argc - 2, argv + 2);
    return unit_main(argc, argv, "host runner", cases);
}
