/*
 * Requests about submissions to the pool. Everything is checked before anything is changed. The
 * params of many tasks come in the request, or in an upload before it: for each task the size of
 * its params, 4 bytes big-endian, and the params.
 */
#include "supervisor/core/requests_submit.h"

#include <stdlib.h>

#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/dispatch.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/limits.h"
#include "supervisor/core/offers.h"
#include "supervisor/core/pool.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_apply.h"
#include "supervisor/core/requests_run.h"
#include "supervisor/core/roles.h"
#include "supervisor/core/run.h"
#include "supervisor/core/task.h"

/* ---- items ---- */

static enum synk_status take_array(const struct synk_value *array, struct pool_items *items,
                                   struct synk_error *error)
{
    struct buf value = {0};
    enum synk_status status = SYNK_OK;
    for (size_t i = 0; i < synk_value_count(array) && !status; i++) {
        buf_clear(&value);
        value_encode(synk_value_at(array, i), &value);
        if (value.size > LIMIT_VALUE_BYTES)
            status = status_fail(error, SYNK_TOO_LARGE, "params %zu have %zu bytes, beyond %d", i,
                                 value.size, LIMIT_VALUE_BYTES);
        pool_items_add(items, buf_bytes(&value));
    }
    buf_fini(&value);
    return status;
}

static enum synk_status take_upload(struct synk_bytes bytes, struct pool_items *items,
                                    struct synk_error *error)
{
    const uint8_t *data = bytes.data;
    for (size_t at = 0; at < bytes.size;) {
        if (bytes.size - at < 4)
            return status_fail(error, SYNK_PROTOCOL, "the upload ends within params %u",
                               items->count);
        uint32_t size = (uint32_t)data[at] << 24 | (uint32_t)data[at + 1] << 16 |
                        (uint32_t)data[at + 2] << 8 | data[at + 3];
        at += 4;
        if (size > bytes.size - at)
            return status_fail(error, SYNK_PROTOCOL, "the upload ends within params %u",
                               items->count);
        if (size > LIMIT_VALUE_BYTES)
            return status_fail(error, SYNK_TOO_LARGE, "params %u have %u bytes, beyond %d",
                               items->count, size, LIMIT_VALUE_BYTES);
        enum synk_status status =
            check_value(bytes_of(data + at, size), &check_message_limits, error);
        if (status)
            return status;
        if (items->count == LIMIT_POOL_TASKS)
            return status_fail(error, SYNK_TOO_LARGE, "a submission has at most %d tasks",
                               LIMIT_POOL_TASKS);
        pool_items_add(items, bytes_of(data + at, size));
        at += size;
    }
    return SYNK_OK;
}

static enum synk_status read_items(struct engine *engine, const struct request *request,
                                   struct pool_items *items, struct synk_error *error)
{
    const struct synk_value *array = synk_value_get(request->body, "items");
    struct synk_bytes name = body_text(request, "upload");
    if (name.size) {
        struct buf upload = {0};
        enum synk_status status = upload_take(engine, request->peer, name, &upload, error);
        if (!status)
            status = take_upload(buf_bytes(&upload), items, error);
        buf_fini(&upload);
        return status;
    }
    if (value_is_null(array))
        return SYNK_OK;
    if (synk_value_kind(array) != SYNK_ARRAY)
        return status_fail(error, SYNK_INVALID, "'items' must be an array");
    return take_array(array, items, error);
}

/* How many tasks: as many as there are items, else `count`. */
static enum synk_status read_count(const struct request *request, const struct pool_items *items,
                                   uint32_t *ret_count, struct synk_error *error)
{
    bool has_items = !value_is_null(synk_value_get(request->body, "items")) ||
                     !value_is_null(synk_value_get(request->body, "upload"));
    int64_t count = has_items ? (int64_t)items->count
                              : synk_value_int(synk_value_get(request->body, "count"), 1);
    if (count < 1 || count > LIMIT_POOL_TASKS)
        return status_fail(error, SYNK_INVALID, "a submission has 1 to %d tasks", LIMIT_POOL_TASKS);
    *ret_count = (uint32_t)count;
    return SYNK_OK;
}

/* ---- what submit and pool-update have in common ---- */

/* `run`: the submission that may have the name already; NULL = none. */
static enum synk_status check_name(const struct engine *engine, struct synk_bytes name,
                                   const struct run *run, struct synk_error *error)
{
    if (!name.size)
        return SYNK_OK;
    if (!definition_id_is_valid(name))
        return status_fail(error, SYNK_INVALID,
                           "'name' must be 1 to 128 bytes of printable UTF-8 without / and #");
    const struct run *other = pool_find(engine, name);
    if (other && other != run)
        return status_fail(error, SYNK_REFUSED, "'%s' is unfinished, and called '%s' already",
                           other->label, other->name);
    return SYNK_OK;
}

static enum synk_status check_payload(const struct synk_value *body, struct synk_error *error)
{
    struct buf payload = {0};
    value_encode(synk_value_get(body, "payload"), &payload);
    size_t size = payload.size;
    buf_fini(&payload);
    return size <= LIMIT_VALUE_BYTES
               ? SYNK_OK
               : status_fail(error, SYNK_TOO_LARGE, "'payload' has %zu bytes, beyond %d", size,
                             LIMIT_VALUE_BYTES);
}

static enum synk_status check_options(const struct engine *engine, const struct synk_value *body,
                                      struct synk_error *error)
{
    struct arena arena = {0};
    struct worker_options options;
    enum synk_status status = pool_read_options(body, &arena, &options, error);
    if (!status)
        status = limits_check(engine, NULL, &options, "", error);
    if (!status && !value_is_null(synk_value_get(body, "payload")))
        status = check_payload(body, error);
    arena_fini(&arena);
    return status;
}

static enum synk_status read_params(const struct request *request, struct buf *out,
                                    struct synk_error *error)
{
    const struct synk_value *params = synk_value_get(request->body, "params");
    if (value_is_null(params))
        return SYNK_OK;
    value_encode(params, out);
    if (out->size > LIMIT_VALUE_BYTES)
        return status_fail(error, SYNK_TOO_LARGE, "'params' has %zu bytes, beyond %d", out->size,
                           LIMIT_VALUE_BYTES);
    return SYNK_OK;
}

/* With them, whoever may submit could run anything as the user of the hosts. */
static bool is_command_of_a_submitter(const struct engine *engine, const struct request *request)
{
    return request->role != ROLE_ADMIN && !engine->config.allow_exec &&
           bytes_equal(body_text(request, "function"), bytes_str("exec"));
}

void request_submit(struct engine *engine, struct request *request)
{
    struct run_request wanted = {
        .unit = engine->pool,
        .worker = NONE,
        .by = bytes_str("client"),
        .overlap = OVERLAP_ALLOW,
        .name = body_text(request, "name"),
        .paused = synk_value_bool(synk_value_get(request->body, "paused"), false),
    };
    struct pool_items items = {0};
    struct buf params = {0}, out = {0};
    struct synk_error error = {0};
    enum synk_status status;
    if (is_command_of_a_submitter(engine, request)) {
        upload_forget(engine, request->peer, body_text(request, "upload"));
        roles_refuse_because(engine, request,
                             "commands of one's own ('exec') take admin, or a supervisor with "
                             "--allow-exec");
    } else if ((status = check_options(engine, request->body, &error)) ||
        (status = check_name(engine, wanted.name, NULL, &error)) ||
        (status = read_params(request, &params, &error)) ||
        (status = read_items(engine, request, &items, &error)) ||
        (status = read_count(request, &items, &wanted.task_count, &error))) {
        upload_forget(engine, request->peer, body_text(request, "upload"));
        request_error(engine, request, &error);
    } else if (request_take_delay(engine, request, &wanted.delay_ms) &&
               request_has_room(engine, request, wanted.task_count)) {
        pool_encode(request->body, NULL, wanted.task_count, &items, &out);
        wanted.spec = blob_new(buf_bytes(&out));
        wanted.params = buf_bytes(&params);
        wanted.pool = pool_new(engine, wanted.spec, wanted.task_count, &error);
        if (wanted.pool) {
            reply_run(engine, request, run_create(engine, &wanted), "count", wanted.task_count);
        } else {
            blob_unref(wanted.spec);
            request_error(engine, request, &error);
        }
    }
    pool_items_fini(&items);
    buf_fini(&params);
    buf_fini(&out);
}

/* ---- changing ---- */

static enum synk_status check_untouched(const struct engine *engine, const struct run_name *name,
                                        struct synk_error *error)
{
    const struct run *run = name->run;
    if (name->unit != engine->pool)
        return status_fail(error, SYNK_REFUSED, "'%s' is no submission to the pool: see 'set'",
                           name->unit->id_text);
    if (run && run->tasks && run->recovered && engine->barrier)
        return status_fail(error, SYNK_BUSY,
                           "hosts of before the restart have yet to tell what of %s has begun",
                           run->label);
    bool is_whole = run && !run_status_is_final(run->status) && run->pool && !run->cancelling;
    for (uint32_t i = 0; is_whole && run->tasks && i < run->task_count; i++)
        is_whole = !run->tasks[i].attempts && run->tasks[i].state <= TASK_READY;
    return is_whole ? SYNK_OK
                    : status_fail(error, SYNK_REFUSED, "pool#%llu has begun, or has ended",
                                  (unsigned long long)name->number);
}

/* Its ready tasks go from the old queue to that of the new pool. */
static void replace_pool(struct engine *engine, struct run *run, struct pool *pool,
                         struct blob *spec)
{
    struct pool *old = run->pool;
    run->pool = pool;
    blob_unref(run->spec);
    run->spec = spec;
    for (uint32_t i = 0; run->tasks && i < run->task_count; i++) {
        if (run->tasks[i].state != TASK_READY)
            continue;
        lane_remove(engine, run, i);
        lane_push(engine, run, i, engine->queues[pool->queue]);
    }
    pool_free(old);
}

static void rename_submission(struct engine *engine, struct run *run, struct synk_bytes name)
{
    pool_remove(engine, run);
    free(run->name);
    run->name = name.size ? mem_strndup(name.data, name.size) : NULL;
    pool_add(engine, run);
}

/* The submission as it would be; NULL with an error. */
static struct pool *remake(struct engine *engine, const struct request *request,
                           const struct run *run, struct blob **ret_spec, struct synk_error *error)
{
    struct synk_document *old = NULL;
    struct check_limits limits = {LIMIT_VALUE_DEPTH + 2, LIMIT_MESSAGE_ITEMS + 100};
    struct buf out = {0};
    struct pool *pool = NULL;
    *ret_spec = NULL;
    if (value_decode(blob_bytes(run->spec), &limits, &old, error))
        return NULL;
    pool_encode(request->body, synk_document_root(old), run->task_count, NULL, &out);
    synk_document_free(old);
    struct synk_document *made = NULL;
    if (!value_decode(buf_bytes(&out), &limits, &made, error) &&
        !check_options(engine, synk_document_root(made), error)) {
        *ret_spec = blob_new(buf_bytes(&out));
        pool = pool_new(engine, *ret_spec, run->task_count, error);
        if (!pool)
            blob_unref(*ret_spec);
    }
    synk_document_free(made);
    buf_fini(&out);
    return pool;
}

void request_pool_update(struct engine *engine, struct request *request)
{
    static const char *const fixed[] = {"items", "count", "upload"};
    struct run_name name;
    struct synk_error error = {0};
    struct buf params = {0};
    struct blob *spec;
    struct pool *pool = NULL;
    if (!request_named_run(engine, request, &name))
        return;
    const struct synk_value *new_name = synk_value_get(request->body, "name");
    enum synk_status status = check_untouched(engine, &name, &error);
    for (size_t i = 0; i < 3 && !status; i++)
        if (!value_is_null(synk_value_get(request->body, fixed[i])))
            status = status_fail(&error, SYNK_INVALID,
                                 "'%s' of a submission cannot be changed: cancel it", fixed[i]);
    if (!status)
        status = check_name(engine, body_text(request, "name"), name.run, &error);
    if (!status)
        status = read_params(request, &params, &error);
    if (!status && params.size && name.run->pool->offsets)
        status = status_fail(&error, SYNK_INVALID, "each task of %s has params of its own",
                             name.run->label);
    if (!status && !(pool = remake(engine, request, name.run, &spec, &error)))
        status = error.status;
    if (status) {
        request_error(engine, request, &error);
        buf_fini(&params);
        return;
    }
    struct run *run = name.run;
    replace_pool(engine, run, pool, spec);
    if (params.size) {
        blob_unref(run->params);
        run->params = blob_new(buf_bytes(&params));
    }
    buf_fini(&params);
    if (new_name)
        rename_submission(engine, run, body_text(request, "name"));
    pool_update_gate(engine); /* its place among the others may be another one */
    run_touch(engine, run);
    reply_run(engine, request, run, "count", run->task_count);
}

/* ---- the order ---- */

/* A submission's tasks of one queue, as the dry run goes through them. */
struct turn {
    const struct lane *lane;
    uint32_t next; /* NONE = all are told */
};

struct preview {
    struct engine *engine;
    struct buf items;
    uint32_t count, limit;
};

static const char *why_held(const struct preview *preview, const struct run *run, char *text,
                            size_t size)
{
    const struct engine *engine = preview->engine;
    if (engine->pool->paused)
        return "the pool is paused";
    if (run->paused)
        return "it is paused";
    if (pool_is_held(engine, run)) {
        snprintf(text, size, "behind %s, which is paused", engine->pool_gate->label);
        return text;
    }
    return NULL;
}

static void tell_item(struct preview *preview, const struct run *run, uint32_t task, const char *held)
{
    struct buf *out = &preview->items;
    char number[16];
    pack_map(out, 6);
    pack_key(out, "run");
    pack_cstr(out, run->label);
    pack_key(out, "name");
    run->name ? pack_cstr(out, run->name) : pack_null(out);
    pack_key(out, "worker");
    pack_string(out, task_worker_name(run, task, number));
    pack_key(out, "function");
    pack_cstr(out, run->pool->function);
    pack_key(out, "priority");
    pack_int(out, run->pool->options.priority);
    pack_key(out, "held");
    held ? pack_cstr(out, held) : pack_null(out);
    preview->count++;
}

/* As take() of dispatch.c does it: TURN_TASKS of the first lane, then it goes behind the others. */
static void simulate_queue(struct preview *preview, const struct queue *queue, const char *held)
{
    const struct engine *engine = preview->engine;
    size_t count = 0, capacity = 0;
    struct turn *turns = NULL;
    for (const struct lane *lane = queue->first; lane; lane = lane->next) {
        if (lane->run->unit != engine->pool)
            continue;
        turns = mem_grow(turns, &capacity, count + 1, sizeof(*turns));
        turns[count++] = (struct turn){lane, lane->head};
    }
    for (bool is_first = true, more = count > 0; more; is_first = false) {
        more = false;
        for (size_t i = 0; i < count; i++) {
            const struct run *run = turns[i].lane->run;
            uint32_t taken = is_first ? turns[i].lane->turn : 0;
            bool is_alone = count == 1;
            for (; turns[i].next != NONE && (taken < TURN_TASKS || is_alone) &&
                   preview->count < preview->limit;
                 taken++) {
                tell_item(preview, run, turns[i].next, held);
                turns[i].next = run->tasks[turns[i].next].next;
            }
            more = more || (turns[i].next != NONE && preview->count < preview->limit);
        }
    }
    free(turns);
}

/* Those that are not in the queues, in the order in which they would come back. */
static void tell_held(struct preview *preview)
{
    struct engine *engine = preview->engine;
    size_t count = 0, capacity = 0;
    struct run **runs = NULL;
    for (struct run *run = engine->pool->first_run; run; run = run->unit_next)
        if (run->pool && (run->held || !run->tasks)) {
            runs = mem_grow(runs, &capacity, count + 1, sizeof(*runs));
            size_t at = count++;
            for (; at && runs[at - 1]->pool->options.priority < run->pool->options.priority; at--)
                runs[at] = runs[at - 1];
            runs[at] = run;
        }
    for (size_t i = 0; i < count && preview->count < preview->limit; i++) {
        char text[LIMIT_ID_BYTES + 64];
        const char *why = why_held(preview, runs[i], text, sizeof(text));
        for (uint32_t t = 0; t < runs[i]->task_count && preview->count < preview->limit; t++)
            if (!runs[i]->tasks || runs[i]->tasks[t].state == TASK_READY)
                tell_item(preview, runs[i], t,
                          why ? why : "hosts of before the restart have yet to report");
    }
    free(runs);
}

void request_pool_order(struct engine *engine, struct request *request)
{
    int64_t limit = synk_value_int(synk_value_get(request->body, "limit"), 100);
    struct preview preview = {.engine = engine};
    preview.limit = limit < 0 ? 0 : limit > LIMIT_PAGE_ROWS ? LIMIT_PAGE_ROWS : (uint32_t)limit;
    for (size_t i = 0; i < engine->live_queues; i++) {
        const struct queue *queue = engine->queues[engine->queue_order[i]];
        bool any_host;
        const char *function = engine->functions[engine->classes[queue->class]->function]->name;
        if (!queue->first)
            continue;
        const char *held =
            offers_any(engine, bytes_str(function), &any_host) ? NULL : "no host offers it";
        simulate_queue(&preview, queue, held);
    }
    tell_held(&preview);
    struct buf *out = reply_open(engine);
    pack_map(out, 1);
    pack_key(out, "items");
    pack_array(out, preview.count);
    buf_append(out, preview.items.data, preview.items.size);
    buf_fini(&preview.items);
    reply_close(engine, request);
}
