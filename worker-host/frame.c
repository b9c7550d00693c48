/*
 * Frames of the rings. Reading trusts no size: what a runner wrote may be what a plugin scribbled.
 */
#include "worker-host/frame.h"

#include <string.h>

#include "proto/check.h"
#include "proto/limits.h"

static struct synk_bytes task_params(const struct msg_spec *spec, const struct msg_task *task)
{
    return task->params.size ? task->params : spec->params;
}

size_t task_frame_size(const struct msg_spec *spec, const struct msg_task *task,
                       const struct synk_bytes *values)
{
    size_t size = sizeof(struct task_head) + spec->unit.size + spec->function.size +
                  task->worker.size + spec->payload.size + task_params(spec, task).size;
    for (size_t i = 0; i < task->input_count; i++)
        size +=
            2 * sizeof(uint32_t) + task->inputs[i].name.size + values[task->inputs[i].value].size;
    return size;
}

static uint8_t *put(uint8_t *out, struct synk_bytes bytes)
{
    if (bytes.size)
        memcpy(out, bytes.data, bytes.size);
    return out + bytes.size;
}

void task_frame_write(const struct msg_spec *spec, const struct msg_task *task,
                      const struct synk_bytes *values, uint8_t *out)
{
    struct synk_bytes params = task_params(spec, task);
    struct task_head head = {
        .size = (uint32_t)task_frame_size(spec, task, values),
        .task = task->id.task,
        .epoch = task->id.epoch,
        .attempt = task->id.attempt,
        .run = task->id.run,
        .run_number = spec->run_number,
        .timeout_ms = spec->timeout_ms,
        .unit_bytes = (uint32_t)spec->unit.size,
        .function_bytes = (uint32_t)spec->function.size,
        .worker_bytes = (uint32_t)task->worker.size,
        .payload_bytes = (uint32_t)spec->payload.size,
        .params_bytes = (uint32_t)params.size,
        .input_count = (uint32_t)task->input_count,
    };
    out = put(out, bytes_of(&head, sizeof(head)));
    out = put(out, spec->unit);
    out = put(out, spec->function);
    out = put(out, task->worker);
    out = put(out, spec->payload);
    out = put(out, params);
    for (size_t i = 0; i < task->input_count; i++) {
        struct synk_bytes name = task->inputs[i].name, value = values[task->inputs[i].value];
        uint32_t sizes[2] = {(uint32_t)name.size, (uint32_t)value.size};
        out = put(out, bytes_of(sizes, sizeof(sizes)));
        out = put(out, name);
        out = put(out, value);
    }
}

/* Moves `size` bytes from the front of `*left` to `ret`. */
static bool take(struct synk_bytes *left, size_t size, struct synk_bytes *ret)
{
    if (size > left->size)
        return false;
    *ret = bytes_of(size ? left->data : NULL, size);
    *left = bytes_of((const uint8_t *)left->data + size, left->size - size);
    return true;
}

enum synk_status task_frame_read(struct synk_bytes bytes, struct task_frame *ret_frame)
{
    struct task_frame frame;
    struct synk_bytes head;
    if (!take(&bytes, sizeof(frame.head), &head))
        return SYNK_CORRUPT;
    memcpy(&frame.head, head.data, sizeof(frame.head));
    if (frame.head.size != bytes.size + sizeof(frame.head) ||
        !take(&bytes, frame.head.unit_bytes, &frame.unit) ||
        !take(&bytes, frame.head.function_bytes, &frame.function) ||
        !take(&bytes, frame.head.worker_bytes, &frame.worker) ||
        !take(&bytes, frame.head.payload_bytes, &frame.payload) ||
        !take(&bytes, frame.head.params_bytes, &frame.params))
        return SYNK_CORRUPT;
    frame.inputs = bytes;
    *ret_frame = frame;
    return SYNK_OK;
}

bool task_frame_input(const struct task_frame *frame, size_t *at, struct synk_bytes *ret_name,
                      struct synk_bytes *ret_value)
{
    if (*at >= frame->inputs.size)
        return false;
    struct synk_bytes left =
        bytes_of((const uint8_t *)frame->inputs.data + *at, frame->inputs.size - *at);
    struct synk_bytes head, name, value;
    uint32_t sizes[2];
    if (!take(&left, sizeof(sizes), &head))
        return false;
    memcpy(sizes, head.data, sizeof(sizes));
    if (!take(&left, sizes[0], &name) || !take(&left, sizes[1], &value))
        return false;
    *at = frame->inputs.size - left.size;
    *ret_name = name;
    *ret_value = value;
    return true;
}

static bool is_possible(const struct report_head *head, struct synk_bytes value,
                        struct synk_bytes text)
{
    if (head->kind > FRAME_MILESTONE || head->outcome > OUTCOME_CRASHED ||
        value.size > LIMIT_VALUE_BYTES || text.size > LIMIT_ERROR_BYTES || !check_utf8(text))
        return false;
    if (head->kind == FRAME_MILESTONE && (text.size == 0 || text.size > LIMIT_ID_BYTES))
        return false;
    return value.size == 0 || check_value(value, &check_message_limits, NULL) == SYNK_OK;
}

enum synk_status report_frame_read(struct synk_bytes *bytes, struct report_head *ret_head,
                                   struct msg_report *ret_report)
{
    struct synk_bytes left = *bytes, head_bytes, value, text;
    struct report_head head;
    if (!take(&left, sizeof(head), &head_bytes))
        return SYNK_CORRUPT;
    memcpy(&head, head_bytes.data, sizeof(head));
    if (head.size != sizeof(head) + (size_t)head.value_bytes + head.text_bytes ||
        !take(&left, head.value_bytes, &value) || !take(&left, head.text_bytes, &text) ||
        !is_possible(&head, value, text))
        return SYNK_CORRUPT;
    *ret_head = head;
    *ret_report = (struct msg_report){
        .kind = head.kind == FRAME_MILESTONE ? REPORT_MILESTONE : REPORT_RESULT,
        .outcome = head.outcome,
        .started_at = head.started_at,
        .ended_at = head.ended_at,
        .execution_us = head.execution_us,
        .exit_status = head.exit_status,
        .signal = head.signal,
        .user_us = head.user_us,
        .system_us = head.system_us,
        .max_rss_kib = head.max_rss_kib,
        .at = head.ended_at,
    };
    if (head.kind == FRAME_MILESTONE) {
        ret_report->name = text;
        ret_report->payload = value;
    } else {
        ret_report->error = text;
        ret_report->result = value;
    }
    *bytes = left;
    return SYNK_OK;
}
