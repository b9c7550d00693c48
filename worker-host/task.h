/* One attempt inside a runner: what the SDK's functions work on. */
#ifndef WORKER_HOST_TASK_H
#define WORKER_HOST_TASK_H

#include "proto/limits.h"
#include "synk/worker.h"
#include "worker-host/frame.h"
#include "worker-host/runner.h"

struct synk_task {
    struct runner *runner;
    uint32_t number;
    struct task_frame frame;
    int64_t started_ns, started_at;
    /* Decoded when first asked for. */
    struct synk_document *payload, *params, *inputs;
    struct buf input_bytes; /* the inputs as one map */
    bool has_payload, has_params, has_inputs;
    char unit[LIMIT_ID_BYTES + 1], worker[LIMIT_ID_BYTES + 1], run[LIMIT_ID_BYTES + 24];
    struct synk_builder *result;
    struct buf error;
    struct arena texts;         /* of synk_task_string */
    struct synk_error decoding; /* the first thing that did not decode */
    /* Of a command; -1 otherwise. */
    int32_t exit_status, signal;
    int64_t user_us, system_us, max_rss_kib;
};

void task_init(struct synk_task *task, struct runner *runner);
/* Prepares for the next attempt. `frame` was read; times are those of its start. */
void task_begin(struct synk_task *task, const struct task_frame *frame, uint32_t number);
void task_end(struct synk_task *task);
/* Monotonic clock, ns. */
int64_t task_clock_ns(void);
/* Keeps the first text that was set. */
void task_fail_text(struct synk_task *task, struct synk_bytes text);
enum synk_status task_milestone(struct synk_task *task, struct synk_bytes name,
                                struct synk_bytes payload);

#endif
