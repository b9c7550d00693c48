/* Requests that only read: what is in memory is answered here, the rest is asked of the store. */
#include "supervisor/core/requests_query.h"

#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/hosts.h"
#include "supervisor/core/pool.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_pool.h"
#include "supervisor/core/requests_registry.h"
#include "supervisor/core/requests_run.h"
#include "supervisor/core/run.h"
#include "supervisor/core/task.h"

void request_connect(struct engine *engine, struct request *request)
{
    struct buf *out = reply_open(engine);
    pack_map(out, 7);
    pack_key(out, "version");
    pack_cstr(out, engine->config.version);
    pack_key(out, "pid");
    pack_int(out, engine->pid);
    pack_key(out, "protocol");
    pack_uint(out, MSG_VERSION);
    pack_key(out, "epoch");
    pack_uint(out, engine->epoch);
    pack_key(out, "durability");
    pack_cstr(out, engine->config.durability);
    pack_key(out, "events");
    pack_cstr(out, request->is_remote ? engine->config.remote_events_address
                                      : engine->config.events_address);
    pack_key(out, "store");
    if (engine->store_ok)
        pack_null(out);
    else
        pack_cstr(out, engine->store_text);
    reply_close(engine, request);
}

static struct run_progress progress_of(const struct run *run)
{
    struct run_progress progress = {.run = run->id};
    for (int s = TASK_SUCCEEDED; s < TASK_STATES; s++)
        progress.done += run->counts[s];
    progress.failed =
        run->counts[TASK_FAILED] + run->counts[TASK_TIMED_OUT] + run->counts[TASK_QUARANTINED];
    return progress;
}

void run_encode_summary(const struct run *run, struct buf *out)
{
    struct run_progress progress = progress_of(run);
    pack_map(out, 12);
    pack_key(out, "run");
    pack_cstr(out, run->label);
    pack_key(out, "id");
    pack_uint(out, run->id);
    pack_key(out, "unit");
    pack_string(out, run->unit->id);
    pack_key(out, "status");
    pack_cstr(out, run_status_name(run->status));
    pack_key(out, "by");
    run->by ? pack_string(out, blob_bytes(run->by)) : pack_null(out);
    pack_key(out, "error");
    run->error ? pack_string(out, blob_bytes(run->error)) : pack_null(out);
    pack_key(out, "createdAt");
    pack_int(out, run->created_at);
    pack_key(out, "startedAt");
    run->started_at ? pack_int(out, run->started_at) : pack_null(out);
    pack_key(out, "endedAt");
    run->ended_at ? pack_int(out, run->ended_at) : pack_null(out);
    pack_key(out, "taskCount");
    pack_uint(out, run->task_count);
    pack_key(out, "done");
    run->counted ? pack_uint(out, progress.done) : pack_null(out);
    pack_key(out, "failed");
    run->counted ? pack_uint(out, progress.failed) : pack_null(out);
}

static void add_live_tasks(struct engine *engine, const struct run *run, struct query *query)
{
    struct arena *arena = &engine->effects->arena;
    uint32_t end = run->task_count;
    if (query->limit < end - (query->from < end ? query->from : end))
        end = query->from + query->limit;
    size_t most = end > query->from ? end - query->from : 0;
    struct live_task *tasks = arena_alloc(arena, (most + 1) * sizeof(*tasks));
    size_t count = 0;
    for (uint32_t i = query->from; i < end; i++) {
        const struct task *task = run->tasks ? &run->tasks[i] : NULL;
        struct live_task *live = &tasks[count++];
        char number[16];
        *live = (struct live_task){
            .task = i,
            .state = task ? task->state : TASK_PENDING,
            .attempts = task ? task->attempts : 0,
            .worker = arena_copy(arena, task_worker_name(run, i, number)),
        };
        if (!task)
            continue;
        if (task->state == TASK_RUNNING)
            live->started_at = task->at;
        if (task->state == TASK_RUNNING || task->state == TASK_DISPATCHED)
            live->host = arena_copy(arena, engine->hosts[task->host]->name_bytes);
        if (task->extra && task->extra->reason)
            live->reason = arena_copy(arena, blob_bytes(task->extra->reason));
    }
    query->live_tasks = tasks;
    query->live_task_count = count;
}

void query_run(struct engine *engine, const struct request *request, const struct run_name *name,
               uint32_t from, uint32_t limit, bool with_attempts)
{
    struct query *query = query_add(engine, QUERY_RUN);
    query->peer = request->peer;
    query->request = request->sequence;
    query->run = name->run ? name->run->id : 0;
    query->unit = arena_copy(&engine->effects->arena, name->id);
    query->number = name->number;
    query->from = from;
    query->limit = limit;
    query->with_attempts = with_attempts;
    if (!name->run)
        return;
    query->task_count = name->run->task_count;
    if (!run_status_is_final(name->run->status)) {
        query->live = true;
        query->live_status = name->run->status;
        add_live_tasks(engine, name->run, query);
    }
}

uint32_t page_limit(const struct request *request)
{
    int64_t limit = synk_value_int(synk_value_get(request->body, "limit"), LIMIT_PAGE_ROWS);
    return limit < 0 ? 0 : limit > LIMIT_PAGE_ROWS ? LIMIT_PAGE_ROWS : (uint32_t)limit;
}

void request_show(struct engine *engine, struct request *request)
{
    struct synk_bytes id = body_text(request, "id");
    struct synk_error error = {0};
    /* A unit's id comes before a submission's name. */
    bool is_named = id.size && !unit_find(engine, id) && pool_find_latest(engine, id);
    if (is_named || (id.size && memchr(id.data, '#', id.size))) {
        struct run_name name;
        if (run_name_parse(engine, id, &name, &error)) {
            request_error(engine, request, &error);
            return;
        }
        int64_t from = synk_value_int(synk_value_get(request->body, "from"), 0);
        query_run(engine, request, &name,
                  from < 0 || from > UINT32_MAX ? UINT32_MAX : (uint32_t)from, page_limit(request),
                  synk_value_bool(synk_value_get(request->body, "attempts"), false));
        return;
    }
    struct unit *unit;
    uint32_t worker;
    if (unit_resolve(engine, id, &unit, &worker, &error)) {
        request_error(engine, request, &error);
        return;
    }
    unit_append(engine, unit, true, reply_open(engine));
    reply_close(engine, request);
}

/* ---- lists ---- */

struct unit_filter {
    struct synk_bytes status, kind, worker; /* empty = any */
};

static bool unit_passes(const struct unit *unit, const struct unit_filter *filter)
{
    if (!unit->current)
        return false;
    const struct definition *definition = unit->current->definition;
    bool is_process = definition->kind == UNIT_PROCESS;
    if (filter->status.size &&
        !bytes_equal(filter->status, bytes_str(unit_status_name(unit_shown_status(unit)))))
        return false;
    if (filter->kind.size &&
        !bytes_equal(filter->kind, bytes_str(is_process ? "process" : "worker")))
        return false;
    return !filter->worker.size ||
           (is_process && definition_find_worker(definition, filter->worker) != NONE);
}

static enum synk_status read_unit_filter(const struct request *request,
                                         struct unit_filter *ret_filter, struct synk_error *error)
{
    *ret_filter = (struct unit_filter){body_text(request, "status"), body_text(request, "kind"),
                                       body_text(request, "worker")};
    struct synk_bytes kind = ret_filter->kind;
    if (kind.size && !bytes_equal(kind, bytes_str("process")) &&
        !bytes_equal(kind, bytes_str("worker")))
        return status_fail(error, SYNK_INVALID, "'kind' must be worker or process");
    return SYNK_OK;
}

static void list_units(struct engine *engine, struct request *request)
{
    struct unit_filter filter;
    struct synk_error error = {0};
    if (read_unit_filter(request, &filter, &error)) {
        request_error(engine, request, &error);
        return;
    }
    bool deep = synk_value_bool(synk_value_get(request->body, "deep"), false);
    int64_t cursor = synk_value_int(synk_value_get(request->body, "cursor"), 0);
    uint32_t limit = page_limit(request);
    struct buf items = {0};
    size_t count = 0;
    size_t at = cursor < 0 ? 0 : (size_t)cursor;
    for (; at < engine->unit_count && count < limit && items.size < LIMIT_BATCH_BYTES; at++) {
        if (!unit_passes(engine->units[at], &filter))
            continue;
        unit_append(engine, engine->units[at], deep, &items);
        count++;
    }
    struct buf *out = reply_open(engine);
    pack_map(out, 2);
    pack_key(out, "items");
    pack_array(out, count);
    buf_append(out, items.data, items.size);
    pack_key(out, "cursor");
    at < engine->unit_count ? pack_uint(out, at) : pack_null(out);
    buf_fini(&items);
    reply_close(engine, request);
}

static void list_hosts(struct engine *engine, struct request *request)
{
    int64_t cursor = synk_value_int(synk_value_get(request->body, "cursor"), 0);
    uint32_t limit = page_limit(request);
    struct buf items = {0};
    size_t count = 0;
    size_t at = cursor < 0 ? 0 : (size_t)cursor;
    for (; at < engine->host_count && count < limit && items.size < LIMIT_BATCH_BYTES; at++) {
        if (!engine->hosts[at])
            continue;
        host_encode(engine, engine->hosts[at], &items);
        count++;
    }
    struct buf *out = reply_open(engine);
    pack_map(out, 2);
    pack_key(out, "items");
    pack_array(out, count);
    buf_append(out, items.data, items.size);
    pack_key(out, "cursor");
    at < engine->host_count ? pack_uint(out, at) : pack_null(out);
    buf_fini(&items);
    reply_close(engine, request);
}

/* What the runs in memory are at, newest first, as far back as the store looks for one page. */
static void add_progress(struct engine *engine, struct query *query)
{
    size_t held = engine->runs_by_id.count, most = held < LIMIT_SCAN_RUNS ? held : LIMIT_SCAN_RUNS;
    struct run_progress *progress =
        arena_alloc(&engine->effects->arena, (most + 1) * sizeof(*progress));
    bool has_cursor = query->cursor && query->cursor <= engine->last_run;
    uint64_t id = has_cursor ? query->cursor - 1 : engine->last_run;
    for (size_t found = 0, seen = 0; id && found < held && seen < LIMIT_SCAN_RUNS; id--, seen++) {
        const struct run *run = index_find(&engine->runs_by_id, index_number(id), NULL, NULL);
        found += run != NULL;
        if (run && run->counted)
            progress[query->progress_count++] = progress_of(run);
    }
    query->progress = progress;
}

static void list_runs(struct engine *engine, struct request *request)
{
    struct synk_bytes status = body_text(request, "status");
    char name[32] = {0};
    int wanted = -1;
    if (status.size) {
        memcpy(name, status.data, status.size < 31 ? status.size : 31);
        wanted = run_status_from_name(name);
        if (wanted < 0) {
            request_fail(engine, request, SYNK_INVALID, 0, "'%s' is not a run's status", name);
            return;
        }
    }
    struct query *query = query_add(engine, QUERY_RUNS);
    query->peer = request->peer;
    query->request = request->sequence;
    query->unit = arena_copy(&engine->effects->arena, body_text(request, "unit"));
    query->status = wanted;
    query->since = synk_value_int(synk_value_get(request->body, "since"), 0);
    query->limit = page_limit(request);
    query->cursor = (uint64_t)synk_value_int(synk_value_get(request->body, "cursor"), 0);
    add_progress(engine, query);
}

void request_list(struct engine *engine, struct request *request)
{
    struct synk_bytes what = body_text(request, "what");
    if (bytes_equal(what, bytes_str("units")))
        list_units(engine, request);
    else if (bytes_equal(what, bytes_str("hosts")))
        list_hosts(engine, request);
    else if (bytes_equal(what, bytes_str("workers")))
        list_workers(engine, request);
    else if (bytes_equal(what, bytes_str("pool")))
        list_pool(engine, request, page_limit(request));
    else if (bytes_equal(what, bytes_str("slots")))
        list_slots(engine, request, page_limit(request));
    else if (bytes_equal(what, bytes_str("limits")))
        list_limits(engine, request);
    else if (bytes_equal(what, bytes_str("runs")))
        list_runs(engine, request);
    else
        request_fail(engine, request, SYNK_INVALID, 0, 
                     "'what' must be units, workers, runs, hosts, pool, slots or limits");
}

void request_fetch(struct engine *engine, struct request *request)
{
    struct synk_bytes run = body_text(request, "run");
    struct run_name name = {0};
    struct synk_error error = {0};
    if (run.size && run_name_parse(engine, run, &name, &error)) {
        request_error(engine, request, &error);
        return;
    }
    const struct synk_value *types = synk_value_get(request->body, "types");
    struct buf names = {0};
    for (size_t i = 0; i < synk_value_count(types) && i < 32; i++) {
        struct synk_bytes type = synk_value_bytes(synk_value_at(types, i));
        if (!type.size || type.size > 32)
            continue;
        if (names.size)
            buf_append(&names, " ", 1);
        buf_append(&names, type.data, type.size);
    }
    struct arena *arena = &engine->effects->arena;
    struct query *query = query_add(engine, QUERY_EVENTS);
    query->peer = request->peer;
    query->request = request->sequence;
    /* Without: from the end as it is now, so that what is asked for next is told. */
    const struct synk_value *from = synk_value_get(request->body, "from");
    query->from_event =
        value_is_null(from) ? engine->last_event : (uint64_t)synk_value_int(from, 0);
    query->types = arena_copy(arena, buf_bytes(&names));
    query->unit = arena_copy(arena, body_text(request, "unit"));
    query->limit = page_limit(request);
    buf_fini(&names);
    if (name.number) {
        query->unit = arena_copy(arena, name.id);
        query->number = name.number;
    }
}

void request_backup(struct engine *engine, struct request *request)
{
    struct synk_bytes path = body_text(request, "path");
    if (!path.size || memchr(path.data, 0, path.size)) {
        request_fail(engine, request, SYNK_INVALID, 0, "'path' must be a path");
        return;
    }
    struct query *query = query_add(engine, QUERY_BACKUP);
    query->peer = request->peer;
    query->request = request->sequence;
    query->path = arena_copy(&engine->effects->arena, path);
}
