/*
 * The SDK's functions, as plugins call them. Invariants: a document is decoded at most once an
 * attempt; calls that are allowed from any thread touch only the page's atomics, the report ring
 * under its lock, and descriptors.
 */
#include "worker-host/task.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "proto/check.h"
#include "proto/pack.h"
#include "proto/value.h"

int64_t task_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void task_init(struct synk_task *task, struct runner *runner)
{
    *task = (struct synk_task){.runner = runner, .result = synk_builder_new()};
}

void task_begin(struct synk_task *task, const struct task_frame *frame, uint32_t number)
{
    struct timespec wall;
    task->frame = *frame;
    task->number = number;
    task->unit[0] = task->worker[0] = task->run[0] = '\0';
    task->decoding.status = SYNK_OK;
    task->exit_status = -1;
    task->signal = 0;
    task->user_us = task->system_us = task->max_rss_kib = -1;
    clock_gettime(CLOCK_REALTIME, &wall);
    task->started_at = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
    task->started_ns = task_clock_ns();
}

void task_end(struct synk_task *task)
{
    if (task->has_payload)
        synk_document_free(task->payload);
    if (task->has_params)
        synk_document_free(task->params);
    if (task->has_inputs)
        synk_document_free(task->inputs);
    task->payload = task->params = task->inputs = NULL;
    task->has_payload = task->has_params = task->has_inputs = false;
    synk_builder_clear(task->result);
    buf_clear(&task->error);
    arena_clear(&task->texts);
    if (task->input_bytes.capacity > 64 << 10)
        buf_fini(&task->input_bytes);
    else
        buf_clear(&task->input_bytes);
}

static struct synk_document *decode(struct synk_task *task, struct synk_bytes bytes,
                                    const char *what)
{
    /* Inputs are values inside a map: one level, and many values, more than a message's. */
    static const struct check_limits limits = {.depth = LIMIT_VALUE_DEPTH + 1,
                                               .items = 4 * LIMIT_MESSAGE_ITEMS};
    struct synk_document *document = NULL;
    struct synk_error error;
    if (bytes.size && value_decode(bytes, &limits, &document, &error) && !task->decoding.status)
        status_fail(&task->decoding, error.status, "%s: %s", what, error.text);
    return document;
}

/* The task is const to its function, and lazy inside. */
static struct synk_task *mutable(const struct synk_task *task)
{
    return (struct synk_task *)(uintptr_t)task;
}

const struct synk_value *synk_task_payload(const struct synk_task *task)
{
    if (!task->has_payload) {
        mutable(task)->payload = decode(mutable(task), task->frame.payload, "payload");
        mutable(task)->has_payload = true;
    }
    return task->payload ? synk_document_root(task->payload) : NULL;
}

const struct synk_value *synk_task_params(const struct synk_task *task)
{
    if (!task->has_params) {
        mutable(task)->params = decode(mutable(task), task->frame.params, "params");
        mutable(task)->has_params = true;
    }
    return task->params ? synk_document_root(task->params) : NULL;
}

const struct synk_value *synk_task_inputs(const struct synk_task *task)
{
    if (!task->has_inputs) {
        struct buf *bytes = &mutable(task)->input_bytes;
        struct synk_bytes name, value;
        pack_map(bytes, task->frame.head.input_count);
        for (size_t at = 0; task_frame_input(&task->frame, &at, &name, &value);) {
            pack_string(bytes, name);
            pack_encoded(bytes, value);
        }
        mutable(task)->inputs = decode(mutable(task), buf_bytes(bytes), "inputs");
        mutable(task)->has_inputs = true;
    }
    return task->inputs ? synk_document_root(task->inputs) : NULL;
}

const char *synk_task_string(struct synk_task *task, const struct synk_value *value,
                             const char *otherwise)
{
    if (synk_value_kind(value) != SYNK_STRING)
        return otherwise;
    struct synk_bytes text = synk_value_bytes(value);
    return arena_strndup(&task->texts, text.data, text.size);
}

static const char *copy_text(char *out, size_t out_size, struct synk_bytes text)
{
    size_t size = text.size < out_size - 1 ? text.size : out_size - 1;
    if (!out[0] && size) {
        memcpy(out, text.data, size);
        out[size] = '\0';
    }
    return out;
}

const char *synk_task_unit(const struct synk_task *task)
{
    return copy_text(mutable(task)->unit, sizeof(task->unit), task->frame.unit);
}

const char *synk_task_worker(const struct synk_task *task)
{
    return copy_text(mutable(task)->worker, sizeof(task->worker), task->frame.worker);
}

const char *synk_task_run(const struct synk_task *task)
{
    if (!task->run[0])
        snprintf(mutable(task)->run, sizeof(task->run), "%s#%" PRIu64, synk_task_unit(task),
                 task->frame.head.run_number);
    return task->run;
}

unsigned synk_task_attempt(const struct synk_task *task)
{
    return task->frame.head.attempt;
}

int64_t synk_task_time_left_ms(const struct synk_task *task)
{
    int64_t timeout_ms = task->frame.head.timeout_ms;
    if (timeout_ms <= 0)
        return INT64_MAX;
    int64_t spent_ms = (task_clock_ns() - task->started_ns) / 1000000;
    return spent_ms < timeout_ms ? timeout_ms - spent_ms : 0;
}

bool synk_task_cancelled(const struct synk_task *task)
{
    return atomic_load(&task->runner->page->cancel) == (PAGE_RUNNING | task->number);
}

/* The descriptor was written for this task, or for an earlier one that did not look. In the first
 * case it stays readable, for other threads that wait; the host sets page.cancel before it writes,
 * so what it writes between our look and our read is put back. */
static void settle_cancel(const struct synk_task *task)
{
    uint64_t count = 1;
    if (synk_task_cancelled(task))
        return;
    if (read(RUNNER_CANCEL, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
        abort();
    if (synk_task_cancelled(task) && write(RUNNER_CANCEL, &count, sizeof(count)) < 0)
        abort();
}

enum synk_status synk_task_sleep(const struct synk_task *task, int64_t ms)
{
    enum { STEP_MS = 1000000 }; /* what poll takes as an int, many times over */
    int64_t start_ns = task_clock_ns();
    struct pollfd item = {.fd = RUNNER_CANCEL, .events = POLLIN};
    while (!synk_task_cancelled(task)) {
        int64_t left_ms = ms - (task_clock_ns() - start_ns) / 1000000;
        if (left_ms <= 0)
            return SYNK_OK;
        int ready = poll(&item, 1, (int)(left_ms < STEP_MS ? left_ms : STEP_MS));
        if (ready < 0 && errno != EINTR)
            abort(); /* the descriptor is not there: somebody closed it */
        if (ready > 0)
            settle_cancel(task);
    }
    return SYNK_CANCELLED;
}

struct synk_builder *synk_task_result(struct synk_task *task)
{
    return task->result;
}

void task_fail_text(struct synk_task *task, struct synk_bytes text)
{
    if (task->error.size)
        return;
    size_t size = text.size < LIMIT_ERROR_BYTES ? text.size : LIMIT_ERROR_BYTES;
    while (size) {
        size_t good = check_utf8_prefix(bytes_of(text.data, size));
        buf_append(&task->error, text.data, good);
        if (good == size || (text.size > size && size - good < 4))
            break; /* all of it, or all but a character that the cut went through */
        buf_append(&task->error, "?", 1);
        text = bytes_of((const uint8_t *)text.data + good + 1, text.size - good - 1);
        size -= good + 1;
    }
}

int synk_task_fail(struct synk_task *task, const char *format, ...)
{
    char text[LIMIT_ERROR_BYTES + 1];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    buf_clear(&task->error);
    if (size > 0)
        task_fail_text(task, bytes_of(text, (size_t)size));
    return -1;
}

void synk_task_progress(struct synk_task *task, double fraction)
{
    uint64_t bits;
    if (!(fraction > 0))
        fraction = 0;
    if (fraction > 1)
        fraction = 1;
    memcpy(&bits, &fraction, sizeof(bits));
    atomic_store(&task->runner->page->progress, bits);
    atomic_fetch_add(&task->runner->page->progress_count, 1);
}

enum synk_status task_milestone(struct synk_task *task, struct synk_bytes name,
                                struct synk_bytes payload)
{
    struct timespec wall;
    if (name.size == 0 || name.size > LIMIT_ID_BYTES || !check_utf8(name))
        return SYNK_INVALID;
    if (payload.size > LIMIT_VALUE_BYTES)
        return SYNK_TOO_LARGE;
    if (payload.size && check_value(payload, &check_message_limits, NULL))
        return SYNK_INVALID;
    clock_gettime(CLOCK_REALTIME, &wall);
    struct report_head head = {
        .size = (uint32_t)(sizeof(head) + payload.size + name.size),
        .number = task->number,
        .kind = FRAME_MILESTONE,
        .ended_at = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000,
        .value_bytes = (uint32_t)payload.size,
        .text_bytes = (uint32_t)name.size,
    };
    runner_report(task->runner, (struct synk_bytes[]){bytes_of(&head, sizeof(head)), payload, name},
                  3, false);
    return SYNK_OK;
}

enum synk_status synk_task_milestone(struct synk_task *task, const char *name,
                                     const struct synk_builder *payload)
{
    struct synk_bytes bytes = payload ? synk_builder_bytes(payload) : bytes_of(NULL, 0);
    return task_milestone(task, bytes_str(name), bytes);
}

void synk_task_log(struct synk_task *task, const char *format, ...)
{
    (void)task;
    char text[8192];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text) - 1, format, arguments);
    va_end(arguments);
    if (size < 0)
        return;
    if ((size_t)size > sizeof(text) - 2)
        size = sizeof(text) - 2;
    text[size++] = '\n';
    /* One write, appended whole between the lines of other threads. */
    ssize_t wrote = write(STDERR_FILENO, text, (size_t)size);
    (void)wrote; /* memory is short: a line of a log is lost */
}
