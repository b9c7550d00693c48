/*
 * Requests that start, await and end runs, and hold units back. What needs a finished run's records
 * goes on in requests_retry.c.
 */
#include "supervisor/core/requests_run.h"

#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/pool.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_retry.h"
#include "supervisor/core/run.h"

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

static bool has_room(struct engine *engine, const struct request *request, uint64_t tasks)
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
    struct synk_bytes by = body_text(request, "by");
    if (by.size && by.size <= LIMIT_ID_BYTES)
        wanted.by = by;
    uint64_t tasks = wanted.worker == NONE ? wanted.unit->current->definition->worker_count : 1;
    if (!has_room(engine, request, tasks))
        return;
    reply_run(engine, request, run_create(engine, &wanted), NULL, 0);
}

void request_submit(struct engine *engine, struct request *request)
{
    const struct synk_value *items = synk_value_get(request->body, "items");
    struct synk_bytes function = body_text(request, "function");
    int64_t count = synk_value_int(synk_value_get(request->body, "count"), 1);
    int64_t retries = synk_value_int(synk_value_get(request->body, "maxRetries"), 0);
    int64_t delay = synk_value_int(synk_value_get(request->body, "retryDelayMs"), 0);
    int64_t timeout = synk_value_int(synk_value_get(request->body, "timeoutMs"), 0);
    int64_t priority = synk_value_int(synk_value_get(request->body, "priority"), 0);
    const char *wrong = NULL;
    if (!function.size || function.size > LIMIT_ID_BYTES)
        wrong = "'function' must be a string of 1 to 128 bytes";
    else if (!value_is_null(items) && synk_value_kind(items) != SYNK_ARRAY)
        wrong = "'items' must be an array";
    else if (retries < 0 || retries > 65534 || delay < 0 || timeout < 0)
        wrong = "'maxRetries', 'retryDelayMs' and 'timeoutMs' must be 0 or more";
    else if (priority < -1000000 || priority > 1000000)
        wrong = "'priority' must be -1000000 to 1000000";
    if (!value_is_null(items))
        count = (int64_t)synk_value_count(items);
    if (!wrong && (count < 1 || count > LIMIT_POOL_TASKS))
        wrong = "a submission has 1 to 2000000 tasks";
    if (wrong) {
        request_fail(engine, request, SYNK_INVALID, 0, "%s", wrong);
        return;
    }
    if (!has_room(engine, request, (uint64_t)count))
        return;
    struct buf out = {0};
    pool_encode(request->body, (uint32_t)count, &out);
    struct run_request wanted = {
        .unit = engine->pool,
        .worker = NONE,
        .by = bytes_str("client"),
        .overlap = OVERLAP_ALLOW,
        .task_count = (uint32_t)count,
        .spec = blob_new(buf_bytes(&out)),
    };
    buf_fini(&out);
    struct synk_error error = {0};
    wanted.pool = pool_new(engine, wanted.spec, wanted.task_count, &error);
    if (!wanted.pool) {
        blob_unref(wanted.spec);
        request_error(engine, request, &error);
        return;
    }
    reply_run(engine, request, run_create(engine, &wanted), "count", (uint64_t)count);
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

void request_cancel(struct engine *engine, struct request *request)
{
    struct run_name name;
    if (!request_named_run(engine, request, &name))
        return;
    if (!name.run) {
        request_fail(engine, request, SYNK_REFUSED, 0, "%s#%llu has ended", name.unit->id_text,
                     (unsigned long long)name.number);
        return;
    }
    run_cancel(engine, name.run, "the run was cancelled");
    struct buf *out = reply_open(engine);
    pack_map(out, 2);
    pack_key(out, "run");
    pack_cstr(out, name.run->label);
    pack_key(out, "status");
    bool ends_now = !name.run->tasks || !name.run->open;
    pack_cstr(out, run_status_is_final(name.run->status) || !ends_now
                       ? run_status_name(name.run->status)
                       : run_status_name(RUN_CANCELLED));
    reply_close(engine, request);
}

static void pause_worker_or_unit(struct engine *engine, struct unit *unit, uint32_t worker,
                                 bool pause)
{
    if (worker == NONE)
        unit_set_paused(engine, unit, pause);
    else
        unit_set_worker_paused(engine, unit,
                               bytes_str(unit->current->definition->workers[worker].id), pause);
}

void request_pause(struct engine *engine, struct request *request)
{
    bool pause = request->type == MSG_PAUSE;
    const struct synk_value *ids = synk_value_get(request->body, "ids");
    bool all = synk_value_bool(synk_value_get(request->body, "all"), false);
    struct synk_error error = {0};
    struct unit *unit;
    uint32_t worker;
    if (!all && synk_value_kind(ids) != SYNK_ARRAY) {
        request_fail(engine, request, SYNK_INVALID, 0, "'ids' must be an array, or 'all' true");
        return;
    }
    for (size_t i = 0; !all && i < synk_value_count(ids); i++)
        if (unit_resolve(engine, synk_value_bytes(synk_value_at(ids, i)), &unit, &worker, &error)) {
            request_error(engine, request, &error);
            return;
        }
    if (all) {
        for (size_t i = 0; i < engine->unit_count; i++)
            if (engine->units[i]->current || engine->units[i] == engine->pool)
                unit_set_paused(engine, engine->units[i], pause);
    } else {
        for (size_t i = 0; i < synk_value_count(ids); i++) {
            unit_resolve(engine, synk_value_bytes(synk_value_at(ids, i)), &unit, &worker, NULL);
            pause_worker_or_unit(engine, unit, worker, pause);
        }
    }
    struct buf *out = reply_open(engine);
    pack_map(out, 1);
    pack_key(out, "units");
    if (all) {
        size_t count = 0;
        for (size_t i = 0; i < engine->unit_count; i++)
            count += engine->units[i]->current != NULL;
        pack_array(out, count);
        for (size_t i = 0; i < engine->unit_count; i++)
            if (engine->units[i]->current)
                pack_string(out, engine->units[i]->id);
    } else {
        value_encode(ids, out);
    }
    reply_close(engine, request);
}
