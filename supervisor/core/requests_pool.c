/*
 * Lists of what waits and runs beside the units. A slot is what runs one task at a host: a host's
 * running tasks come first, the longest running one at slot 0, then its idle slots. Which process
 * of the host runs it is the host's own matter.
 */
#include "supervisor/core/requests_pool.h"

#include <stdlib.h>

#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/graph.h"
#include "supervisor/core/limits.h"
#include "supervisor/core/pool.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_query.h"
#include "supervisor/core/task.h"

static void reply_items(struct engine *engine, const struct request *request, size_t count,
                        struct buf *items, uint64_t cursor)
{
    struct buf *out = reply_open(engine);
    pack_map(out, 2);
    pack_key(out, "items");
    pack_array(out, count);
    buf_append(out, items->data, items->size);
    pack_key(out, "cursor");
    cursor ? pack_uint(out, cursor) : pack_null(out);
    buf_fini(items);
    reply_close(engine, request);
}

/* A run's summary, and what submissions have beside it. */
static void encode_submission(const struct engine *engine, const struct run *run, struct buf *out)
{
    struct buf summary = {0};
    run_encode_summary(run, &summary);
    assert((summary.data[0] & 0xf0) == 0x80); /* a map of at most 15 entries: one byte */
    pack_map(out, (summary.data[0] & 15u) + 5);
    buf_append(out, summary.data + 1, summary.size - 1);
    buf_fini(&summary);
    pack_key(out, "name");
    run->name ? pack_cstr(out, run->name) : pack_null(out);
    pack_key(out, "function");
    run->pool ? pack_cstr(out, run->pool->function) : pack_null(out);
    pack_key(out, "priority");
    pack_int(out, run->pool ? run->pool->options.priority : 0);
    pack_key(out, "paused");
    pack_bool(out, run->paused);
    pack_key(out, "held");
    pack_bool(out, engine->pool->paused || pool_is_held(engine, run));
}

/* The `most` oldest from `from` on. Those that were retried stand behind younger ones; the others
 * are in order, and each is looked at once. */
static size_t first_submissions(const struct engine *engine, uint64_t from, struct run **page,
                                size_t most)
{
    size_t count = 0;
    for (struct run *run = engine->pool->first_run; run; run = run->unit_next) {
        if (run->id < from || (count == most && run->id > page[count - 1]->id))
            continue;
        size_t at = count < most ? count++ : count - 1;
        for (; at && page[at - 1]->id > run->id; at--)
            page[at] = page[at - 1];
        page[at] = run;
    }
    return count;
}

void list_pool(struct engine *engine, struct request *request, uint32_t limit)
{
    int64_t cursor = synk_value_int(synk_value_get(request->body, "cursor"), 0);
    struct buf items = {0};
    struct run **page = arena_alloc(&engine->scratch, ((size_t)limit + 1) * sizeof(struct run *));
    size_t found = first_submissions(engine, cursor > 0 ? (uint64_t)cursor : 0, page, limit + 1u);
    size_t count = 0;
    for (; count < found && count < limit && items.size <= LIMIT_BATCH_BYTES; count++)
        encode_submission(engine, page[count], &items);
    reply_items(engine, request, count, &items, count < found ? page[count]->id : 0);
}

void list_limits(struct engine *engine, struct request *request)
{
    struct buf *out = reply_open(engine);
    pack_map(out, 2);
    pack_key(out, "items");
    limits_encode(engine, out);
    pack_key(out, "cursor");
    pack_null(out);
    reply_close(engine, request);
}

/* ---- slots ---- */

static int by_start(const void *a, const void *b)
{
    const struct flight *x = a, *y = b;
    int64_t x_at = x->run->tasks[x->task].at, y_at = y->run->tasks[y->task].at;
    if (x_at != y_at)
        return x_at < y_at ? -1 : 1;
    if (x->run->id != y->run->id)
        return x->run->id < y->run->id ? -1 : 1;
    return x->task < y->task ? -1 : x->task > y->task;
}

static const char *function_of(struct engine *engine, struct run *run, uint32_t task)
{
    uint32_t queue;
    return run->pool ? run->pool->function
                     : version_settings(engine, run, task, &queue)->worker->function;
}

static void pack_slot(struct engine *engine, const struct host *host, uint32_t slot,
                      const struct flight *flight, struct buf *out)
{
    pack_map(out, flight ? 10 : 3);
    pack_key(out, "host");
    pack_string(out, host->name_bytes);
    pack_key(out, "slot");
    pack_uint(out, slot);
    pack_key(out, "isIdle");
    pack_bool(out, !flight);
    if (!flight)
        return;
    const struct task *task = &flight->run->tasks[flight->task];
    const struct task_extra *extra = task->extra;
    char number[16];
    pack_key(out, "run");
    pack_cstr(out, flight->run->label);
    pack_key(out, "worker");
    pack_string(out, task_worker_name(flight->run, flight->task, number));
    pack_key(out, "attempt");
    pack_uint(out, task->attempts);
    pack_key(out, "function");
    pack_cstr(out, function_of(engine, flight->run, flight->task));
    pack_key(out, "startedAt");
    pack_int(out, task->at);
    pack_key(out, "progress");
    extra && extra->progress > 0 ? pack_double(out, (double)extra->progress) : pack_null(out);
    pack_key(out, "lastMilestone");
    extra && extra->milestone ? pack_string(out, blob_bytes(extra->milestone)) : pack_null(out);
}

static size_t list_host_slots(struct engine *engine, const struct host *host, struct buf *out)
{
    struct flight *running =
        arena_alloc(&engine->scratch, (host->flight_count + 1) * sizeof(*running));
    uint32_t count = 0, width = 0;
    for (size_t i = 0; i < host->flight_count; i++)
        if (host->flight[i].run->tasks[host->flight[i].task].state == TASK_RUNNING)
            running[count++] = host->flight[i];
    qsort(running, count, sizeof(*running), by_start);
    for (uint32_t i = 0; i < count; i++) {
        pack_slot(engine, host, i, &running[i], out);
        width += running[i].run->tasks[running[i].task].slots;
    }
    /* What takes several slots leaves fewer idle. */
    uint32_t idle = host->slots > width ? host->slots - width : 0;
    for (uint32_t i = 0; i < idle; i++)
        pack_slot(engine, host, count + i, NULL, out);
    return count + idle;
}

/* Whole hosts, `limit` of them at most. */
void list_slots(struct engine *engine, struct request *request, uint32_t limit)
{
    int64_t cursor = synk_value_int(synk_value_get(request->body, "cursor"), 0);
    struct buf items = {0};
    size_t count = 0, hosts = 0, at = cursor < 0 ? 0 : (size_t)cursor;
    for (; at < engine->host_count && hosts < limit && items.size < LIMIT_BATCH_BYTES; at++) {
        const struct host *host = engine->hosts[at];
        if (!host || host->state == HOST_LOST)
            continue;
        hosts++;
        count += list_host_slots(engine, host, &items);
    }
    reply_items(engine, request, count, &items, at < engine->host_count ? at : 0);
}
