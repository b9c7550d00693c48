/* Requests that start, await, end and repeat runs, and hold units back. */
#include "supervisor/core/requests_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/explain.h"
#include "supervisor/core/graph.h"
#include "supervisor/core/hosts.h"
#include "supervisor/core/hydrate.h"
#include "supervisor/core/logs.h"
#include "supervisor/core/pool.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/retention.h"
#include "supervisor/core/run.h"
#include "supervisor/core/task.h"

enum synk_status run_name_parse(struct engine *engine, struct synk_bytes text,
                                struct run_name *ret_name, struct synk_error *error)
{
    const char *hash = text.size ? memrchr(text.data, '#', text.size) : NULL;
    if (!hash)
        return status_fail(error, SYNK_INVALID, "a run is named UNIT#N or UNIT#last");
    struct synk_bytes head = bytes_of(text.data, (size_t)(hash - (const char *)text.data));
    struct synk_bytes tail = bytes_of(hash + 1, text.size - head.size - 1);
    struct synk_bytes unit_id = head;
    const char *slash = head.size ? memchr(head.data, '/', head.size) : NULL;
    if (slash)
        unit_id.size = (size_t)(slash - (const char *)head.data);
    struct unit *unit = unit_find(engine, unit_id);
    if (!unit)
        return status_fail(error, SYNK_NOT_FOUND, "there is no run '%.*s'",
                           (int)(text.size > 300 ? 300 : text.size), (const char *)text.data);
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
                return status_fail(error, SYNK_INVALID, "a run is named UNIT#N or UNIT#last");
            number = number * 10 + (uint64_t)(digit - '0');
        }
    }
    if (!number || number > unit->last_number)
        return status_fail(error, SYNK_NOT_FOUND, "there is no run '%.*s'",
                           (int)(text.size > 300 ? 300 : text.size), (const char *)text.data);
    *ret_name = (struct run_name){run_find_number(engine, unit, number), unit, number, head};
    return SYNK_OK;
}

/* The run that a request names; false: answered with the error. */
static bool named_run(struct engine *engine, const struct request *request,
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

static void reply_run(struct engine *engine, const struct request *request, const struct run *run,
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

static void pack_run_result(const struct run *run, struct buf *out)
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
    if (!named_run(engine, request, &name))
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

/* ---- cancel, retry, pause ---- */

void request_cancel(struct engine *engine, struct request *request)
{
    struct run_name name;
    if (!named_run(engine, request, &name))
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

void request_load(struct engine *engine, const struct request *request, const struct run_name *name)
{
    struct loading *loading = mem_zalloc(1, sizeof(*loading));
    loading->token = ++engine->last_token;
    loading->request = *request;
    loading->request.body = NULL;
    value_encode(request->body, &loading->body);
    loading->next = engine->loadings;
    engine->loadings = loading;
    struct query *query = query_add(engine, QUERY_LOAD_RUN);
    query->peer = request->peer;
    query->request = request->sequence;
    query->token = loading->token;
    query->run = name->run ? name->run->id : 0;
    query->unit = arena_copy(&engine->effects->arena, name->id);
    query->number = name->number;
}

/* The workers that `retry` is limited to; NULL = all. */
static const struct synk_value *retried_workers(const struct request *request)
{
    const struct synk_value *workers = synk_value_get(request->body, "workers");
    return value_is_null(workers) ? NULL : workers;
}

static bool is_named(const struct synk_value *workers, const struct run *run, uint32_t task)
{
    char number[16];
    struct synk_bytes name = task_worker_name(run, task, number);
    for (size_t i = 0; i < synk_value_count(workers); i++)
        if (bytes_equal(synk_value_bytes(synk_value_at(workers, i)), name))
            return true;
    return false;
}

/* Puts what did not succeed back to pending. `workers` limits it; NULL = all. */
static uint32_t reset_tasks(struct engine *engine, struct run *run,
                            const struct synk_value *workers)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct task *task = &run->tasks[i];
        if (!task_state_is_final(task->state) || task->state == TASK_SUCCEEDED)
            continue;
        if (workers && task->state != TASK_SKIPPED && !is_named(workers, run, i))
            continue;
        struct blob *kept = task->extra ? blob_ref(task->extra->result) : NULL;
        task_extra_free(task);
        if (kept)
            task_extra(task)->result = kept;
        task_move(engine, run, i, TASK_PENDING);
        task->tries = 0;
        task->crashes = 0;
        task->flags = 0;
        task->waiting = 0;
        /* Attempts of earlier epochs that some host may still have are stale from here on. */
        task->epoch = engine->epoch;
        task_record_add(engine, run, i);
        count++;
    }
    return count;
}

/* Whether something of the run is there to be run again: what has succeeded as a whole must not
 * begin and end once more, with its hooks and its count. */
static bool has_unsuccessful(const struct run *run, const struct synk_value *workers)
{
    for (uint32_t i = 0; i < run->task_count; i++) {
        enum task_state state = run->tasks[i].state;
        if (task_state_is_final(state) && state != TASK_SUCCEEDED && state != TASK_SKIPPED &&
            (!workers || is_named(workers, run, i)))
            return true;
    }
    return !workers && run->status != RUN_SUCCEEDED;
}

/* Answers for a retry that has nothing to do, or asks for a worker that is not there. */
static bool retry_is_answered(struct engine *engine, const struct request *request,
                              const struct run *run)
{
    const struct synk_value *workers = retried_workers(request);
    for (size_t i = 0; i < synk_value_count(workers); i++) {
        struct synk_bytes name = synk_value_bytes(synk_value_at(workers, i));
        if (!name.size || task_named(run, name) == NONE) {
            request_fail(engine, request, SYNK_NOT_FOUND, 0, "%s has no worker '%.*s'", run->label,
                         name.size > 128 ? 128 : (int)name.size,
                         name.size ? (const char *)name.data : "");
            return true;
        }
    }
    if (has_unsuccessful(run, workers))
        return false;
    reply_run(engine, request, run, "tasks", 0);
    return true;
}

static void retry_run(struct engine *engine, const struct request *request, struct run *run)
{
    const struct synk_value *workers = retried_workers(request);
    run_resume_finished(engine, run);
    reset_tasks(engine, run, workers);
    uint32_t before = run->counts[TASK_PENDING];
    for (uint32_t i = 0; i < run->task_count; i++)
        run->failures += task_state_is_final(run->tasks[i].state) &&
                         run->tasks[i].state != TASK_SUCCEEDED &&
                         run->tasks[i].state != TASK_SKIPPED;
    if (run_is_graph(run))
        graph_recompute(engine, run);
    else
        run_advance(engine, run);
    if (!run->open)
        run_check_later(engine, run);
    reply_run(engine, request, run, "tasks", before);
}

void request_retry(struct engine *engine, struct request *request)
{
    struct run_name name;
    if (!named_run(engine, request, &name))
        return;
    if (name.run && !run_status_is_final(name.run->status)) {
        request_fail(engine, request, SYNK_REFUSED, 0, "%s has not ended", name.run->label);
        return;
    }
    request_load(engine, request, &name);
}

/* ---- answers to QUERY_LOAD_RUN ---- */

static struct run *take_loaded(struct engine *engine, const struct input *input,
                               struct synk_error *error)
{
    struct run *run = NULL;
    for (size_t pass = 0; pass < 4; pass++) {
        static const enum record_kind order[] = {RECORD_DEFINITION, RECORD_WORKER, RECORD_RUN,
                                                 RECORD_TASK};
        for (size_t i = 0; i < input->record_count; i++) {
            const struct record *record = &input->records[i];
            if (record->kind != order[pass])
                continue;
            if (order[pass] == RECORD_RUN) {
                run = run_find(engine, record->run.run);
                /* A summary of before a restart knows no version that is not in force. */
                if (run && run_status_is_final(run->status) && !run->version && !run->spec) {
                    retention_drop(engine, run);
                    run = NULL;
                }
                if (!run && hydrate_record(engine, record, error) == SYNK_OK)
                    run = run_find(engine, record->run.run);
                if (!run || !run_status_is_final(run->status)) {
                    status_fail(error, SYNK_REFUSED, "the run has not ended");
                    return NULL;
                }
                if (!run->tasks) {
                    run->tasks = mem_zalloc(run->task_count + 1u, sizeof(*run->tasks));
                    memset(run->counts, 0, sizeof(run->counts));
                    run->counts[TASK_PENDING] = run->task_count;
                    run->open = run->task_count;
                    run->loaded = true;
                    engine->counts.live_tasks += run->task_count;
                }
            } else if (order[pass] == RECORD_TASK) {
                if (run && record->task.run == run->id)
                    hydrate_task(engine, run, &record->task);
            } else {
                hydrate_record(engine, record, error);
            }
        }
    }
    if (!run)
        status_fail(error, SYNK_NOT_FOUND, "the run is not in the store any more");
    return run;
}

/* A run that was loaded and is not resumed goes back to a summary. */
static void drop_loaded(struct engine *engine, struct run *run)
{
    engine->counts.live_tasks -= run->open;
    run->counted = true;
    run->open = 0;
    run->loaded = false;
    run_free_tasks(run);
}

/* A log of a task that ended: its record tells the host. */
static void read_log(struct engine *engine, const struct request *request,
                     const struct input *input)
{
    struct synk_bytes worker = body_text(request, "worker");
    const struct task_record *found = NULL;
    size_t tasks = 0;
    for (size_t i = 0; i < input->record_count; i++) {
        const struct record *record = &input->records[i];
        if (record->kind != RECORD_TASK)
            continue;
        tasks++;
        char index[16];
        snprintf(index, sizeof(index), "%u", record->task.task);
        struct synk_bytes name = record->task.worker.size ? record->task.worker : bytes_str(index);
        if (!worker.size || bytes_equal(name, worker))
            found = &record->task;
    }
    if (!found || (!worker.size && tasks > 1) || !found->host.size)
        request_fail(engine, request, SYNK_NOT_FOUND, 0,
                     "there is no log: no such worker in this run, or it never started");
    else
        logs_send(engine, request, found->run, found->task, host_find(engine, found->host));
}

static void wait_loaded(struct engine *engine, const struct request *request,
                        const struct input *input)
{
    struct run *run = NULL;
    for (size_t i = 0; i < input->record_count && !run; i++)
        if (input->records[i].kind == RECORD_RUN)
            run = run_find(engine, input->records[i].run.run);
    if (run && !run_status_is_final(run->status)) {
        if (!waiter_add(engine, &run->waiters, request->peer, request->sequence))
            request_fail(engine, request, SYNK_BUSY, RETRY_AFTER_MS, "too many requests wait");
        return;
    }
    struct synk_error error = {0};
    run = take_loaded(engine, input, &error);
    if (!run) {
        request_error(engine, request, &error);
        return;
    }
    pack_run_result(run, reply_open(engine));
    reply_close(engine, request);
    drop_loaded(engine, run);
}

static void go_on(struct engine *engine, const struct request *request, const struct input *input,
                  const char *label)
{
    struct synk_error error = {0};
    if (request->type == MSG_WAIT) {
        wait_loaded(engine, request, input);
        return;
    }
    if (request->type == MSG_LOGS) {
        read_log(engine, request, input);
        return;
    }
    if (request->type == MSG_EXPLAIN) {
        explain_records(engine, request, label, input->records, input->record_count);
        return;
    }
    struct run *run = take_loaded(engine, input, &error);
    if (run && !run->version && !run->pool && run->spec)
        run->pool = pool_new(engine, run->spec, run->task_count, &error);
    if (run && (run->version || run->pool)) {
        if (!retry_is_answered(engine, request, run)) {
            run->loaded = false;
            retry_run(engine, request, run);
        } else if (run->loaded) {
            drop_loaded(engine, run);
        }
        return;
    }
    if (run)
        drop_loaded(engine, run);
    if (!error.status)
        status_fail(&error, SYNK_NOT_FOUND, "the run's definition is not in the store");
    request_error(engine, request, &error);
}

void requests_loaded(struct engine *engine, const struct input *input)
{
    struct loading **link = &engine->loadings;
    while (*link && (*link)->token != input->token)
        link = &(*link)->next;
    struct loading *loading = *link;
    if (!loading)
        return;
    *link = loading->next;
    struct synk_document *document = NULL;
    struct synk_error error = {0};
    if (synk_document_decode(buf_bytes(&loading->body), &document, &error)) {
        request_error(engine, &loading->request, &error);
    } else if (!input->record_count) {
        struct synk_bytes label = bytes_of(NULL, 0);
        value_get_string(synk_document_root(document), "run", 4096, &label);
        request_fail(engine, &loading->request, SYNK_NOT_FOUND, 0, "no run '%.*s'", (int)label.size,
                     label.size ? (const char *)label.data : "");
    } else {
        loading->request.body = synk_document_root(document);
        struct synk_bytes label = body_text(&loading->request, "run");
        char *text = arena_strndup(&engine->scratch, label.data, label.size);
        go_on(engine, &loading->request, input, text);
    }
    synk_document_free(document);
    buf_fini(&loading->body);
    free(loading);
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
