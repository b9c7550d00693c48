/*
 * `exec`: starts a command, passes on what it says, and sees it and everything it started dead.
 *
 * Invariants: the group is told to die while its leader is not yet waited for, so that its number
 * cannot belong to others; when exec_run returns, no descendant of the command is alive (but those
 * that another user's rights protect, after which the pipes are made anew).
 */
#include "worker-host/exec.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/json.h"
#include "proto/pack.h"
#include "worker-host/exec_payload.h"
#include "worker-host/logs.h"
#include "worker-host/process.h"
#include "worker-host/task.h"

enum {
    GRACE_NS = 2000000000,
    READ_BYTES = 64 << 10,
    LEFTOVER_PATIENCE_MS = 1000,
    /* What may still be read of a pipe once the command is dead: what a pipe can hold, and more. */
    DRAIN_BYTES = 1 << 20,
};

/* The last bytes of a stream. */
struct tail {
    struct buf bytes;
    size_t limit;
};

struct watch {
    struct synk_task *task;
    struct exec_channels *channels;
    struct log_writer log;
    struct tail output, error;
    struct exec_lines lines;
    bool output_is_json;
    struct buf json;     /* the whole output, while it may become a result */
    uint64_t json_bytes; /* of output ever */
    pid_t pid;
    int pidfd;
    int64_t asked_ns; /* when it was told to end; 0 = not */
    bool killed;
    uint8_t *chunk;
};

static void tail_add(struct tail *tail, struct synk_bytes bytes)
{
    buf_append(&tail->bytes, bytes.data, bytes.size);
    if (tail->bytes.size > 2 * tail->limit) {
        memmove(tail->bytes.data, tail->bytes.data + tail->bytes.size - tail->limit, tail->limit);
        tail->bytes.size = tail->limit;
    }
}

static struct synk_bytes tail_bytes(const struct tail *tail)
{
    size_t drop = tail->bytes.size > tail->limit ? tail->bytes.size - tail->limit : 0;
    return bytes_of(tail->bytes.data + drop, tail->bytes.size - drop);
}

static void log_line(void *context, struct synk_bytes line)
{
    log_write(context, line);
}

/* One read from a pipe; 0 when there is nothing. */
static size_t read_some(struct watch *watch, int fd)
{
    ssize_t got = read(fd, watch->chunk, READ_BYTES);
    if (got <= 0)
        return 0;
    struct synk_bytes bytes = bytes_of(watch->chunk, (size_t)got);
    if (fd == watch->channels->report[0]) {
        exec_lines_add(&watch->lines, bytes, watch->task, log_line, &watch->log);
        return bytes.size;
    }
    log_write(&watch->log, bytes);
    if (fd == watch->channels->error[0]) {
        tail_add(&watch->error, bytes);
    } else if (watch->output_is_json) {
        watch->json_bytes += bytes.size;
        if (watch->json_bytes <= LIMIT_VALUE_BYTES)
            buf_append(&watch->json, bytes.data, bytes.size);
    } else {
        tail_add(&watch->output, bytes);
    }
    return bytes.size;
}

static void drain(struct watch *watch, int fd)
{
    size_t total = 0, got;
    while (total < DRAIN_BYTES && (got = read_some(watch, fd)))
        total += got;
}

/* Asks the group to end, and no longer asks after the grace. */
static void press(struct watch *watch)
{
    int64_t now_ns = task_clock_ns();
    if (!watch->asked_ns && synk_task_cancelled(watch->task)) {
        kill(-watch->pid, SIGTERM);
        watch->asked_ns = now_ns;
    } else if (watch->asked_ns && !watch->killed && now_ns - watch->asked_ns >= GRACE_NS) {
        kill(-watch->pid, SIGKILL);
        watch->killed = true;
    }
}

/* Until the command is dead, not yet waited for. */
static void watch_command(struct watch *watch)
{
    struct exec_channels *channels = watch->channels;
    struct pollfd fds[5] = {{.fd = watch->pidfd, .events = POLLIN},
                            {.fd = channels->output[0], .events = POLLIN},
                            {.fd = channels->error[0], .events = POLLIN},
                            {.fd = channels->report[0], .events = POLLIN},
                            {.fd = RUNNER_CANCEL, .events = POLLIN}};
    for (;;) {
        int timeout_ms = watch->asked_ns && !watch->killed ? 50 : -1;
        int ready = poll(fds, 5, timeout_ms);
        if (ready < 0 && errno != EINTR)
            abort(); /* a bug in the descriptors */
        for (int i = 1; ready > 0 && i < 4; i++)
            if (fds[i].revents & POLLIN)
                read_some(watch, fds[i].fd);
        if (ready > 0 && fds[4].revents & POLLIN) {
            uint64_t count;
            if (read(RUNNER_CANCEL, &count, sizeof(count)) < 0 && errno != EAGAIN)
                abort();
        }
        if (ready > 0 && fds[0].revents)
            break;
        press(watch);
    }
    /* Only what poll just saw, or a killed straggler wrote, can be left. */
    kill(-watch->pid, SIGKILL);
}

/* Waits for the command and clears away what it left; its wait status. */
static int reap(struct watch *watch)
{
    struct synk_task *task = watch->task;
    struct rusage usage = {0};
    int status = 0;
    while (wait4(watch->pid, &status, 0, &usage) < 0 && errno == EINTR)
        ;
    atomic_store(&task->runner->page->command_group, 0);
    bool is_clear = process_kill_children(NULL, 0, LEFTOVER_PATIENCE_MS);
    drain(watch, watch->channels->output[0]);
    drain(watch, watch->channels->error[0]);
    drain(watch, watch->channels->report[0]);
    if (watch->lines.pending.size) /* a last line without its newline */
        exec_lines_add(&watch->lines, bytes_str("\n"), task, log_line, &watch->log);
    if (!is_clear)
        exec_channels_close(watch->channels);
    task->user_us = (int64_t)usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec;
    task->system_us = (int64_t)usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec;
    task->max_rss_kib = usage.ru_maxrss;
    if (WIFEXITED(status))
        task->exit_status = WEXITSTATUS(status);
    else
        task->signal = WTERMSIG(status);
    return status;
}

static int json_result(struct watch *watch)
{
    struct synk_error error;
    if (watch->json_bytes > LIMIT_VALUE_BYTES)
        return synk_task_fail(watch->task, "standard output has %llu bytes; a result may have %d",
                              (unsigned long long)watch->json_bytes, LIMIT_VALUE_BYTES);
    if (synk_builder_json(synk_task_result(watch->task), (const char *)watch->json.data,
                          watch->json.size, &error))
        return synk_task_fail(watch->task, "standard output is not JSON: %s", error.text);
    return 0;
}

static int text_result(struct watch *watch)
{
    struct buf text = {0};
    struct synk_builder *result = synk_task_result(watch->task);
    exec_clean_text(tail_bytes(&watch->output), &text);
    synk_builder_map(result, 2);
    synk_builder_string(result, "exit");
    synk_builder_int(result, 0);
    synk_builder_string(result, "stdout");
    synk_builder_string_n(result, text.data ? (char *)text.data : "", text.size);
    buf_fini(&text);
    return 0;
}

/* "exit status 3: last words" */
static int failure(struct watch *watch, int status)
{
    struct buf text = {0}, words = {0};
    if (WIFEXITED(status))
        buf_printf(&text, "exit status %d", WEXITSTATUS(status));
    else
        buf_printf(&text, "killed by signal %d (%s)", WTERMSIG(status),
                   process_signal_name(WTERMSIG(status)));
    exec_clean_text(tail_bytes(&watch->error), &words);
    size_t start = 0;
    while (words.size && strchr(" \t\r\n", words.data[words.size - 1]))
        words.size--;
    while (start < words.size && strchr(" \t\r\n", words.data[start]))
        start++;
    if (start < words.size) {
        buf_append(&text, ": ", 2);
        buf_append(&text, words.data + start, words.size - start);
    }
    task_fail_text(watch->task, buf_bytes(&text));
    buf_fini(&text);
    buf_fini(&words);
    return -1;
}

static void print_value(struct buf *json, const char *name, struct synk_bytes value)
{
    buf_printf(json, "\"%s\":", name);
    json_print_encoded(value, 0, json);
    buf_append(json, ",", 1);
}

/* The task's JSON. Printed part by part: as one value it could be deeper than values may be. */
static void print_input(const struct synk_task *task, struct buf *json)
{
    struct synk_bytes name, value;
    buf_append(json, "{", 1);
    print_value(json, "payload", task->frame.payload);
    print_value(json, "params", task->frame.params);
    buf_printf(json, "\"inputs\":{");
    const char *separator = "";
    for (size_t at = 0; task_frame_input(&task->frame, &at, &name, &value);) {
        buf_printf(json, "%s", separator);
        json_print_string(name, json);
        buf_append(json, ":", 1);
        json_print_encoded(value, 0, json);
        separator = ",";
    }
    buf_printf(json, "},\"run\":");
    json_print_string(bytes_str(synk_task_run(task)), json);
    buf_printf(json, ",\"worker\":");
    json_print_string(bytes_str(synk_task_worker(task)), json);
    buf_printf(json, ",\"attempt\":%u}\n", synk_task_attempt(task));
}

static enum synk_status start(struct watch *watch, struct exec_payload *payload,
                              struct synk_error *error)
{
    struct synk_task *task = watch->task;
    struct buf json = {0};
    enum synk_status status = exec_channels_open(watch->channels, error);
    if (!status) {
        print_input(task, &json);
        status = exec_channels_set_input(watch->channels, buf_bytes(&json), error);
    }
    if (!status)
        status = exec_payload_read(task, watch->channels->input_path, payload, error);
    buf_fini(&json);
    if (status)
        return status;
    struct page *page = task->runner->page;
    atomic_store(&page->command_boot_ns, process_boot_ns());
    status = exec_spawn(watch->channels, &payload->command, &watch->pid, error);
    if (status) {
        process_kill_children(NULL, 0, LEFTOVER_PATIENCE_MS); /* waits for the failed one */
        return status;
    }
    atomic_store(&page->command_group, watch->pid);
    watch->pidfd = (int)syscall(SYS_pidfd_open, watch->pid, 0);
    if (watch->pidfd < 0) {
        int problem = errno;
        kill(-watch->pid, SIGKILL);
        reap(watch);
        return status_fail(error, SYNK_FAILED, "cannot watch the command: %s", strerror(problem));
    }
    return SYNK_OK;
}

int exec_run(struct synk_task *task)
{
    static uint8_t chunk[READ_BYTES];
    struct watch watch = {.task = task,
                          .channels = &task->runner->channels,
                          .output = {.limit = LIMIT_STDOUT_TAIL_BYTES},
                          .error = {.limit = LIMIT_STDERR_TAIL_BYTES},
                          .pidfd = -1,
                          .chunk = chunk};
    struct exec_payload payload = {0};
    struct synk_error error;
    int outcome;
    log_writer_init(&watch.log, task->runner->dir, task->frame.head.run, task->frame.head.task,
                    task->frame.head.attempt);
    if (start(&watch, &payload, &error)) {
        outcome = synk_task_fail(task, "%s", error.text);
    } else {
        watch.output_is_json = payload.output_is_json;
        watch_command(&watch);
        int status = reap(&watch);
        close(watch.pidfd);
        if (!WIFEXITED(status) || WEXITSTATUS(status))
            outcome = failure(&watch, status);
        else
            outcome = payload.output_is_json ? json_result(&watch) : text_result(&watch);
    }
    log_writer_fini(&watch.log);
    exec_payload_fini(&payload);
    buf_fini(&watch.output.bytes);
    buf_fini(&watch.error.bytes);
    buf_fini(&watch.json);
    buf_fini(&watch.lines.pending);
    return outcome;
}
