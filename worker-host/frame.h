/*
 * What passes through the rings: a task to the runner, its reports back, as fixed heads with the
 * variable parts behind. Both ends are the same program, so the heads are plain structs. Pure.
 */
#ifndef WORKER_HOST_FRAME_H
#define WORKER_HOST_FRAME_H

#include "proto/msg.h"

struct task_head {
    uint32_t size; /* of the whole frame */
    uint32_t task, epoch, attempt;
    uint64_t run, run_number;
    int64_t timeout_ms;
    uint32_t unit_bytes, function_bytes, worker_bytes, payload_bytes, params_bytes, input_count;
};

/* A task as the runner sees it; points into the frame. */
struct task_frame {
    struct task_head head;
    struct synk_bytes unit, function, worker, payload, params;
    struct synk_bytes inputs; /* input_count times: two uint32_t sizes, name, value */
};

/* `values` is the dispatch's third frame; the task's indexes into it were checked. */
size_t task_frame_size(const struct msg_spec *spec, const struct msg_task *task,
                       const struct synk_bytes *values);
void task_frame_write(const struct msg_spec *spec, const struct msg_task *task,
                      const struct synk_bytes *values, uint8_t *out);
/* SYNK_CORRUPT where the parts do not fill the frame. */
enum synk_status task_frame_read(struct synk_bytes bytes, struct task_frame *ret_frame);
/* The next input, false at the end. `*at` starts at 0. */
bool task_frame_input(const struct task_frame *frame, size_t *at, struct synk_bytes *ret_name,
                      struct synk_bytes *ret_value);

enum report_frame_kind {
    FRAME_READY, /* plugins are loaded; the first one */
    FRAME_RESULT,
    FRAME_MILESTONE,
};
struct report_head {
    uint32_t size;   /* of the whole frame */
    uint32_t number; /* of the task */
    uint8_t kind, outcome;
    uint8_t asked_to_end; /* the task saw that it was to end */
    int32_t exit_status, signal;
    int64_t started_at, ended_at, execution_us, user_us, system_us, max_rss_kib;
    uint32_t value_bytes, text_bytes; /* result and error, or payload and name */
};
/*
 * Takes the next frame off `*bytes`. Fills `ret_report` but for its id; parts point into the bytes.
 * SYNK_CORRUPT for anything that an honest runner does not write.
 */
enum synk_status report_frame_read(struct synk_bytes *bytes, struct report_head *ret_head,
                                   struct msg_report *ret_report);

#endif
