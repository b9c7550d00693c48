/* Requests about what happens when: milestones from outside, and what is due by hand. */
#include "supervisor/core/requests_time.h"

#include "proto/check.h"
#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/events.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_run.h"
#include "supervisor/core/schedule.h"
#include "supervisor/core/task.h"

/* Shown in tables and in logs: no control characters. */
static bool is_printable(struct synk_bytes text)
{
    const uint8_t *data = text.data;
    for (size_t i = 0; i < text.size; i++)
        if (data[i] < 0x20 || data[i] == 0x7f || (data[i] == 0xc2 && data[i + 1] < 0xa0))
            return false;
    return true;
}

static enum synk_status take_name(const struct request *request, struct synk_bytes *ret_name,
                                  struct synk_error *error)
{
    const struct synk_value *value = synk_value_get(request->body, "name");
    struct synk_bytes name = synk_value_bytes(value);
    if (synk_value_kind(value) != SYNK_STRING || !name.size || name.size > LIMIT_MILESTONE_BYTES ||
        !check_utf8(name) || !is_printable(name))
        return status_fail(error, SYNK_INVALID, "'name' must be 1 to %d bytes of printable UTF-8",
                           LIMIT_MILESTONE_BYTES);
    *ret_name = name;
    return SYNK_OK;
}

/* Whom a milestone is said to be of. All empty: nobody in particular. */
struct source {
    struct unit *unit;
    const struct run *run;
    struct synk_bytes worker;
};

static enum synk_status take_worker_of_run(const struct request *request, struct source *source,
                                           struct synk_error *error)
{
    struct synk_bytes worker = body_text(request, "worker");
    const struct run *run = source->run;
    if (!worker.size)
        return SYNK_OK;
    source->worker = worker;
    for (uint32_t i = 0; run->version && i < run->task_count; i++)
        if (bytes_equal(bytes_str(task_worker_id(run, i)), worker))
            return SYNK_OK;
    return status_fail(error, SYNK_NOT_FOUND, "%s has no worker '%.*s'", run->label,
                       (int)(worker.size > LIMIT_ID_BYTES ? LIMIT_ID_BYTES : worker.size),
                       (const char *)worker.data);
}

static enum synk_status take_source(struct engine *engine, const struct request *request,
                                    struct source *source, struct synk_error *error)
{
    struct synk_bytes unit = body_text(request, "unit"), run = body_text(request, "run");
    uint32_t worker = NONE;
    enum synk_status status = SYNK_OK;
    if (unit.size)
        status = unit_resolve(engine, unit, &source->unit, &worker, error);
    if (status)
        return status;
    if (worker != NONE)
        source->worker = bytes_str(source->unit->current->definition->workers[worker].id);
    if (!run.size)
        return body_text(request, "worker").size
                   ? status_fail(error, SYNK_INVALID,
                                 "'worker' goes with 'run'; without a run, "
                                 "'unit' may be PROCESS/WORKER")
                   : SYNK_OK;
    struct run_name name;
    if ((status = run_name_parse(engine, run, &name, error)))
        return status;
    if (source->unit && source->unit != name.unit)
        return status_fail(error, SYNK_INVALID, "%s#%llu is not a run of '%s'", name.unit->id_text,
                           (unsigned long long)name.number, source->unit->id_text);
    if (!name.run)
        return status_fail(error, SYNK_REFUSED, "%s#%llu has ended long ago", name.unit->id_text,
                           (unsigned long long)name.number);
    source->unit = name.unit;
    source->run = name.run;
    return take_worker_of_run(request, source, error);
}

void request_milestone(struct engine *engine, struct request *request)
{
    struct synk_bytes name;
    struct source source = {0};
    struct synk_error error = {0};
    if (take_name(request, &name, &error) || take_source(engine, request, &source, &error)) {
        request_error(engine, request, &error);
        return;
    }
    struct buf payload = {0};
    const struct synk_value *value = synk_value_get(request->body, "payload");
    if (!value_is_null(value))
        value_encode(value, &payload);
    if (payload.size > LIMIT_VALUE_BYTES) {
        request_fail(engine, request, SYNK_TOO_LARGE, 0, "'payload' has %zu bytes, beyond %d",
                     payload.size, LIMIT_VALUE_BYTES);
        buf_fini(&payload);
        return;
    }
    milestone_emit(engine, source.unit, source.run, source.worker, name, buf_bytes(&payload));
    buf_fini(&payload);
    struct buf *out = reply_open(engine);
    pack_map(out, 1);
    pack_key(out, "seq");
    pack_uint(out, engine->last_event);
    reply_close(engine, request);
}

void request_tick(struct engine *engine, struct request *request)
{
    struct unit *unit = NULL;
    uint32_t worker = NONE;
    struct synk_error error = {0};
    struct synk_bytes id = body_text(request, "unit");
    if (id.size && unit_resolve(engine, id, &unit, &worker, &error)) {
        request_error(engine, request, &error);
        return;
    }
    if (worker != NONE) {
        request_fail(engine, request, SYNK_REFUSED, 0,
                     "a worker of a process has no schedule: name the process");
        return;
    }
    struct buf labels = {0};
    uint32_t count = schedule_tick(engine, unit, &labels);
    struct buf *out = reply_open(engine);
    pack_map(out, 1);
    pack_key(out, "runs");
    pack_array(out, count);
    buf_append(out, labels.data, labels.size);
    reply_close(engine, request);
    buf_fini(&labels);
}
