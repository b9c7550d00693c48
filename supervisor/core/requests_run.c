/*
 * Requests that start, await and end runs, and hold units back. What needs a finished run's records
 * goes on in requests_retry.c.
 */
#include "supervisor/core/requests_run.h"

#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/events.h"
#include "supervisor/core/logs.h"
#include "supervisor/core/pool.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_retry.h"
#include "supervisor/core/run.h"
#include "supervisor/core/task.h"

/* There is no such run: what there is instead. */
static enum synk_status fail_no_run(const struct engine *engine, struct synk_bytes text,
                                    struct synk_bytes unit_id, const struct unit *unit,
                                    struct synk_error *error)
{
    int size = (int)(text.size > 300 ? 300 : text.size);
    const char *data = text.data;
    struct synk_error inner = {0};
    if (!unit) {
        unit_fail_unknown(engine, unit_id, &inner);
        return status_fail(error, SYNK_NOT_FOUND, "there is no run '%.*s': %s", size, data,
                           inner.text);
    }
    if (!unit->last_number)
        return status_fail(error, SYNK_NOT_FOUND, "there is no run '%.*s': '%s' has not run yet",
                           size, data, unit->id_text);
    return status_fail(error, SYNK_NOT_FOUND, "there is no run '%.*s': the last one is %s#%llu",
                       size, data, unit->id_text, (unsigned long long)unit->last_number);
}

enum synk_status run_name_parse(struct engine *engine, struct synk_bytes text,
                                struct run_name *ret_name, struct synk_error *error)
{
    const char *hash = text.size ? memrchr(text.data, '#', text.size) : NULL;
    struct run *named = hash ? NULL : pool_find_latest(engine, text);
    if (named) {
        *ret_name = (struct run_name){named, named->unit, named->number, named->unit->id};
        return SYNK_OK;
    }
    if (!hash)
        return status_fail(
            error, SYNK_INVALID, "'%.*s' is not a run: a run is named UNIT#N or UNIT#last",
            (int)(text.size > 300 ? 300 : text.size), text.size ? (const char *)text.data : "");
    struct synk_bytes head = bytes_of(text.data, (size_t)(hash - (const char *)text.data));
    struct synk_bytes tail = bytes_of(hash + 1, text.size - head.size - 1);
    struct synk_bytes unit_id = head;
    const char *slash = head.size ? memchr(head.data, '/', head.size) : NULL;
    if (slash)
        unit_id.size = (size_t)(slash - (const char *)head.data);
    struct unit *unit = unit_find(engine, unit_id);
    if (!unit)
        return fail_no_run(engine, text, unit_id, NULL, error);
    uint64_t number = 0;
    if (bytes_equal(tail, bytes_str("last"))) {
        number = unit->last_number;
        if (slash)
            while (number) {
                const struct run *run = run_find_number(engine, unit, number);
                size_t size = run ? strlen(run->label) : 0;
                if (size > head.size && run->label[head.size] == '#' &&
                    memcmp(run->label, head.data, head.size) == 0)
                    break;
                number = run || number + LIMIT_FINISHED_RUNS > unit->last_number ? number - 1 : 0;
            }
    } else {
        for (size_t i = 0; i < tail.size; i++) {
            char digit = ((const char *)tail.data)[i];
            if (digit < '0' || digit > '9' || i > 17)
                return status_fail(
                    error, SYNK_INVALID, "'%.*s' is not a run: a run is named UNIT#N or UNIT#last",
                    (int)(text.size > 300 ? 300 : text.size), (const char *)text.data);
            number = number * 10 + (uint64_t)(digit - '0');
        }
    }
    if (!number || number > unit->last_number)
        return fail_no_run(engine, text, unit_id, unit, error);
    *ret_name = (struct run_name){run_find_number(engine, unit, number), unit, number, head};
    return SYNK_OK;
}

bool request_named_run(struct engine *engine, const struct request *request,
                       struct run_name *ret_name)
{
    struct synk_error error = {0};
    if (!run_name_parse(engine, body_text(request, "run"), ret_name, &error))
        return true;
    request_error(engine, request, &error);
    return false;
}

/* The encoded value of an entry, in scratch memory. */
static struct synk_bytes entry_value(struct engine *engine, const struct request *request,
                                     const char *key)
{
    const struct synk_value *value = synk_value_get(request->body, key);
    if (value_is_null(value))
        return (struct synk_bytes){0};
    struct buf out = {0};
    value_encode(value, &out);
    struct synk_bytes bytes = arena_copy(&engine->scratch, buf_bytes(&out));
    buf_fini(&out);
    return bytes;
}

bool request_has_room(struct engine *engine, const struct request *request, uint64_t tasks)
{
    if (engine->counts.live_tasks + tasks <= engine->config.max_live_tasks)
        return true;
    request_fail(engine, request, SYNK_BUSY, RETRY_AFTER_MS,
                 "%llu tasks are unfinished, and %llu are the most: try again later",
                 (unsigned long long)engine->counts.live_tasks,
                 (unsigned long long)engine->config.max_live_tasks);
    return false;
}

void reply_run(struct engine *engine, const struct request *request, const struct run *run,
               const char *extra, uint64_t number)
{
    struct buf *out = reply_open(engine);
    pack_map(out, extra ? 4 : 3);
    pack_key(out, "run");
    pack_cstr(out, run->label);
    pack_key(out, "id");
    pack_uint(out, run->id);
    pack_key(out, "durability");
    pack_cstr(out, engine->config.durability);
    if (extra) {
        pack_key(out, extra);
        pack_uint(out, number);
    }
    reply_close(engine, request);
}

bool request_take_delay(struct engine *engine, const struct request *request, int64_t *ret_delay_ms)
{
    const struct synk_value *value = synk_value_get(request->body, "delayMs");
    int64_t delay_ms = value_is_null(value) ? 0 : synk_value_int(value, -1);
    if (delay_ms >= 0 && delay_ms <= LIMIT_DELAY_MS) {
        *ret_delay_ms = delay_ms;
        return true;
    }
    request_fail(engine, request, SYNK_INVALID, 0,
                 "'delayMs' must be an integer from 0 to %lld, ten years",
                 (long long)LIMIT_DELAY_MS);
    return false;
}

void request_run(struct engine *engine, struct request *request)
{
    static const enum overlap overlaps[] = {OVERLAP_QUEUE, OVERLAP_SKIP, OVERLAP_ALLOW,
                                            OVERLAP_CANCEL};
    struct run_request wanted = {.by = bytes_str("client")};
    struct synk_error error = {0};
    if (unit_resolve(engine, body_text(request, "unit"), &wanted.unit, &wanted.worker, &error)) {
        request_error(engine, request, &error);
        return;
    }
    if (wanted.unit == engine->pool) {
        request_fail(engine, request, SYNK_REFUSED, 0, "the pool takes submissions, not runs");
        return;
    }
    if (wanted.unit->releasing) {
        request_fail(engine, request, SYNK_REFUSED, 0, "'%s' is being released",
                     wanted.unit->id_text);
        return;
    }
    struct synk_bytes overlap = body_text(request, "overlap");
    for (size_t i = 0; i < 4; i++)
        if (bytes_equal(overlap, bytes_str(overlap_name(overlaps[i]))))
            wanted.overlap = overlaps[i];
    if (overlap.size && wanted.overlap == OVERLAP_DEFAULT) {
        request_fail(engine, request, SYNK_INVALID, 0,
                     "'overlap' must be queue, skip, allow or cancel");
        return;
    }
    wanted.params = entry_value(engine, request, "params");
    if (wanted.params.size > LIMIT_VALUE_BYTES) {
        request_fail(engine, request, SYNK_TOO_LARGE, 0, "'params' has %zu bytes, beyond %d",
                     wanted.params.size, LIMIT_VALUE_BYTES);
        return;
    }
    const struct synk_value *priority = synk_value_get(request->body, "priority");
    if (!value_is_null(priority)) {
        int64_t number = synk_value_int(priority, INT64_MIN);
        if (number < -1000000 || number > 1000000) {
            request_fail(engine, request, SYNK_INVALID, 0,
                         "'priority' must be an integer from -1000000 to 1000000");
            return;
        }
        wanted.has_priority = true;
        wanted.priority = (int32_t)number;
    }
    if (!request_take_delay(engine, request, &wanted.delay_ms))
        return;
    struct synk_bytes by = body_text(request, "by");
    if (by.size && by.size <= LIMIT_ID_BYTES)
        wanted.by = by;
    uint64_t tasks = wanted.worker == NONE ? wanted.unit->current->definition->worker_count : 1;
    if (!request_has_room(engine, request, tasks))
        return;
    reply_run(engine, request, run_create(engine, &wanted), NULL, 0);
}

/* ---- waiting ---- */

void pack_run_result(const struct run *run, struct buf *out)
{
    pack_map(out, 9);
    pack_key(out, "run");
    pack_cstr(out, run->label);
    pack_key(out, "id");
    pack_uint(out, run->id);
    pack_key(out, "unit");
    pack_string(out, run->unit->id);
    pack_key(out, "status");
    pack_cstr(out, run_status_name(run->status));
    pack_key(out, "error");
    run->error ? pack_string(out, blob_bytes(run->error)) : pack_null(out);
    pack_key(out, "createdAt");
    pack_int(out, run->created_at);
    pack_key(out, "startedAt");
    run->started_at ? pack_int(out, run->started_at) : pack_null(out);
    pack_key(out, "endedAt");
    pack_int(out, run->ended_at);
    pack_key(out, "counts");
    uint32_t kinds = 0;
    for (int s = 0; s < TASK_STATES; s++)
        kinds += run->counts[s] != 0;
    pack_map(out, kinds);
    for (int s = 0; s < TASK_STATES; s++) {
        if (!run->counts[s])
            continue;
        pack_key(out, task_state_name((enum task_state)s));
        pack_uint(out, run->counts[s]);
    }
}

void requests_run_ended(struct engine *engine, struct run *run)
{
    for (struct waiter *waiter = run->waiters; waiter; waiter = waiter->next) {
        pack_run_result(run, send_open(engine));
        send_close(engine, SOCKET_CLIENTS, waiter->peer, MSG_REPLY, waiter->sequence, false);
        peer_answered(engine, waiter->peer);
    }
    waiters_free(&run->waiters);
}

void request_wait(struct engine *engine, struct request *request)
{
    struct run_name name;
    if (!request_named_run(engine, request, &name))
        return;
    if (name.run && !run_status_is_final(name.run->status)) {
        if (!waiter_add(engine, &name.run->waiters, request->peer, request->sequence))
            request_fail(engine, request, SYNK_BUSY, RETRY_AFTER_MS, "too many requests wait");
    } else if (name.run && name.run->counted) {
        pack_run_result(name.run, reply_open(engine));
        reply_close(engine, request);
    } else {
        /* Not a plain question to the store: a retry may make the run go on before the answer. */
        request_load(engine, request, &name);
    }
}

/* ---- cancel, pause ---- */

/* One task of a run. What it depends on goes on; what depends on it sees a task that did not
 * succeed. */
static void cancel_task(struct engine *engine, const struct request *request, struct run *run,
                        struct synk_bytes worker)
{
    uint32_t task = run_status_is_final(run->status) ? NONE : task_named(run, worker);
    if (!run->tasks || task == NONE) {
        bool has_ended = run_status_is_final(run->status);
        request_fail(engine, request, has_ended || !run->tasks ? SYNK_REFUSED : SYNK_NOT_FOUND, 0,
                     has_ended     ? "%s has ended"
                     : !run->tasks ? "%s has not started: cancel the whole run"
                                   : "%s has no such worker",
                     run->label);
        return;
    }
    task_cancel_alone(engine, run, task);
    struct buf *out = reply_open(engine);
    pack_map(out, 3);
    pack_key(out, "run");
    pack_cstr(out, run->label);
    pack_key(out, "status");
    pack_cstr(out, run_status_name(run->status));
    pack_key(out, "state");
    pack_cstr(out, task_state_name(run->tasks[task].state));
    reply_close(engine, request);
}

void request_cancel(struct engine *engine, struct request *request)
{
    struct run_name name;
    struct synk_bytes worker = body_text(request, "worker");
    if (!request_named_run(engine, request, &name))
        return;
    if (!name.run || run_status_is_final(name.run->status)) {
        request_fail(engine, request, SYNK_REFUSED, 0, "%s#%llu has ended", name.unit->id_text,
                     (unsigned long long)name.number);
        return;
    }
    if (worker.size) {
        cancel_task(engine, request, name.run, worker);
        return;
    }
    run_cancel(engine, name.run, "the run was cancelled");
    struct buf *out = reply_open(engine);
    pack_map(out, 2);
    pack_key(out, "run");
    pack_cstr(out, name.run->label);
    pack_key(out, "status");
    bool ends_now = !name.run->tasks || !name.run->open;
    pack_cstr(out, run_status_name(ends_now ? RUN_CANCELLED : name.run->status));
    reply_close(engine, request);
}

/* Whom `ids` names: a unit, or a worker of a process. */
struct pausable {
    struct unit *unit;
    struct synk_bytes worker; /* empty = the unit */
};

/* A paused worker that the definition in force does not have any more: runs in progress may still
 * wait for it. */
static bool find_left_over(struct engine *engine, struct synk_bytes text, struct pausable *ret)
{
    const char *slash = text.size ? memchr(text.data, '/', text.size) : NULL;
    if (!slash)
        return false;
    size_t at = (size_t)(slash - (const char *)text.data);
    struct unit *unit = unit_find(engine, bytes_of(text.data, at));
    const char *worker = arena_strndup(&engine->scratch, slash + 1, text.size - at - 1);
    if (!unit || !unit_worker_is_paused(unit, worker))
        return false;
    *ret = (struct pausable){unit, bytes_str(worker)};
    return true;
}

static enum synk_status find_pausable(struct engine *engine, struct synk_bytes text, bool pause,
                                      struct pausable *ret, struct synk_error *error)
{
    struct unit *unit;
    uint32_t worker;
    if (!pause && find_left_over(engine, text, ret))
        return SYNK_OK;
    enum synk_status status = unit_resolve(engine, text, &unit, &worker, error);
    if (status)
        return status;
    *ret = (struct pausable){.unit = unit};
    if (worker != NONE)
        ret->worker = bytes_str(unit->current->definition->workers[worker].id);
    return SYNK_OK;
}

static void set_paused(struct engine *engine, const struct pausable *what, bool pause)
{
    if (what->worker.size)
        unit_set_worker_paused(engine, what->unit, what->worker, pause);
    else
        unit_set_paused(engine, what->unit, pause);
}

/* An unfinished submission to the pool, by name or label. */
static enum synk_status find_submission(struct engine *engine, struct synk_bytes text,
                                        struct run **ret_run, struct synk_error *error)
{
    struct run_name name;
    enum synk_status status = run_name_parse(engine, text, &name, error);
    if (status)
        return status;
    if (name.unit != engine->pool)
        return status_fail(error, SYNK_REFUSED,
                           "only submissions to the pool are paused one by one: pause '%s'",
                           name.unit->id_text);
    if (!name.run || run_status_is_final(name.run->status))
        return status_fail(error, SYNK_REFUSED, "pool#%llu has ended",
                           (unsigned long long)name.number);
    *ret_run = name.run;
    return SYNK_OK;
}

static void pause_submission(struct engine *engine, struct run *run, bool pause)
{
    if (run->paused == pause)
        return;
    struct buf *out = &engine->scratch_buf;
    buf_clear(out);
    pack_map(out, 3);
    pack_key(out, "reason");
    pack_cstr(out, "status-change");
    pack_key(out, "previous");
    pack_cstr(out, pause ? run_status_name(run->status) : "paused");
    pack_key(out, "current");
    pack_cstr(out, pause ? "paused" : run_status_name(run->status));
    struct synk_bytes payload = arena_copy(&engine->scratch, buf_bytes(out));
    pool_set_paused(engine, run, pause);
    event_emit(engine, &(struct event){.type = EVENT_UPDATED, .run = run, .payload = payload});
}

void request_pause(struct engine *engine, struct request *request)
{
    bool pause = request->type == MSG_PAUSE;
    const struct synk_value *ids = synk_value_get(request->body, "ids");
    bool all = synk_value_bool(synk_value_get(request->body, "all"), false);
    struct synk_error error = {0};
    struct pausable what;
    const struct synk_value *runs = synk_value_get(request->body, "runs");
    if (!all && synk_value_kind(ids) != SYNK_ARRAY && synk_value_kind(runs) != SYNK_ARRAY) {
        request_fail(engine, request, SYNK_INVALID, 0,
                     "'ids' or 'runs' must be an array, or 'all' true");
        return;
    }
    for (size_t i = 0; i < synk_value_count(runs); i++) {
        struct run *run;
        if (find_submission(engine, synk_value_bytes(synk_value_at(runs, i)), &run, &error)) {
            request_error(engine, request, &error);
            return;
        }
    }
    for (size_t i = 0; !all && i < synk_value_count(ids); i++)
        if (find_pausable(engine, synk_value_bytes(synk_value_at(ids, i)), pause, &what, &error)) {
            request_error(engine, request, &error);
            return;
        }
    if (all) {
        for (size_t i = 0; i < engine->unit_count; i++)
            if (engine->units[i]->current || engine->units[i] == engine->pool)
                unit_set_paused(engine, engine->units[i], pause);
    } else {
        for (size_t i = 0; i < synk_value_count(ids); i++)
            if (!find_pausable(engine, synk_value_bytes(synk_value_at(ids, i)), pause, &what, NULL))
                set_paused(engine, &what, pause);
    }
    for (size_t i = 0; i < synk_value_count(runs); i++) {
        struct run *run = NULL;
        find_submission(engine, synk_value_bytes(synk_value_at(runs, i)), &run, NULL);
        pause_submission(engine, run, pause);
    }
    struct buf *out = reply_open(engine);
    pack_map(out, 2);
    pack_key(out, "runs");
    pack_array(out, synk_value_count(runs));
    for (size_t i = 0; i < synk_value_count(runs); i++) {
        struct run *run = NULL;
        find_submission(engine, synk_value_bytes(synk_value_at(runs, i)), &run, NULL);
        pack_cstr(out, run->label);
    }
    pack_key(out, "units");
    if (all) {
        size_t count = 0;
        for (size_t i = 0; i < engine->unit_count; i++)
            count += engine->units[i]->current != NULL;
        pack_array(out, count);
        for (size_t i = 0; i < engine->unit_count; i++)
            if (engine->units[i]->current)
                pack_string(out, engine->units[i]->id);
    } else if (synk_value_kind(ids) == SYNK_ARRAY) {
        value_encode(ids, out);
    } else {
        pack_array(out, 0);
    }
    reply_close(engine, request);
}
