/*
 * The built-in functions sim.*: known behaviour for tests, examples and measurements, through the
 * same SDK that plugins use (but for sim.noop, which touches nothing).
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "worker-host/task.h"

static int64_t option(const struct synk_task *task, const char *name, int64_t otherwise)
{
    return synk_value_int(synk_value_get(synk_task_payload(task), name), otherwise);
}

static int noop(struct synk_task *task)
{
    (void)task;
    return 0;
}

/* {ms}: sleeps, and ends at once when it is to end. */
static int sleep_ms(struct synk_task *task)
{
    if (synk_task_sleep(task, option(task, "ms", 0)))
        return synk_task_fail(task, "ended early");
    return 0;
}

/* {ms}: uses the processor. */
static int spin(struct synk_task *task)
{
    int64_t until_ns = task_clock_ns() + option(task, "ms", 0) * 1000000;
    while (task_clock_ns() < until_ns)
        if (synk_task_cancelled(task))
            return synk_task_fail(task, "ended early");
    return 0;
}

/* Whether a function with {attempts: N} is past its first N attempts. */
static bool is_past(const struct synk_task *task)
{
    return synk_task_attempt(task) > option(task, "attempts", INT64_MAX);
}

/* {error?, attempts?} */
static int fail(struct synk_task *task)
{
    struct synk_bytes text = synk_value_bytes(synk_value_get(synk_task_payload(task), "error"));
    if (is_past(task))
        return 0;
    if (!text.size)
        text = bytes_str("failed as it was told to");
    return synk_task_fail(task, "%.*s", (int)text.size, (const char *)text.data);
}

/* {signal?, attempts?} */
static int crash(struct synk_task *task)
{
    if (is_past(task))
        return 0;
    int number = (int)option(task, "signal", SIGSEGV);
    raise(number);
    return synk_task_fail(task, "signal %d did not end the runner", number);
}

/* {mb}: keeps so much memory for the rest of the runner's life. */
static int leak(struct synk_task *task)
{
    static void *kept;
    size_t size = (size_t)option(task, "mb", 1) << 20;
    void **block = malloc(size < sizeof(*block) ? sizeof(*block) : size);
    if (!block)
        return synk_task_fail(task, "no memory");
    memset(block, 1, size);
    *block = kept; /* reachable, so that a leak checker knows it is meant */
    kept = block;
    return 0;
}

/* Everything that the task was given. */
static int echo(struct synk_task *task)
{
    struct synk_builder *result = synk_task_result(task);
    struct synk_bytes name, value;
    synk_builder_map(result, 6);
    synk_builder_string(result, "payload");
    synk_builder_encoded(result, task->frame.payload);
    synk_builder_string(result, "params");
    synk_builder_encoded(result, task->frame.params);
    synk_builder_string(result, "inputs");
    synk_builder_map(result, task->frame.head.input_count);
    for (size_t at = 0; task_frame_input(&task->frame, &at, &name, &value);) {
        synk_builder_string_n(result, name.data, name.size);
        synk_builder_encoded(result, value);
    }
    synk_builder_string(result, "attempt");
    synk_builder_int(result, synk_task_attempt(task));
    synk_builder_string(result, "worker");
    synk_builder_string(result, synk_task_worker(task));
    synk_builder_string(result, "run");
    synk_builder_string(result, synk_task_run(task));
    return 0;
}

const struct synk_plugin_function builtin_sim[] = {
    {"noop", noop},   {"sleep", sleep_ms}, {"spin", spin}, {"fail", fail},
    {"crash", crash}, {"leak", leak},      {"echo", echo}, {NULL, NULL},
};
