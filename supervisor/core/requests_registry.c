/*
 * Release, the snapshot, and the workers of a process.
 *
 * A forced release cancels the unit's runs first; those whose attempts have yet to be seen dead
 * hold it back. Meanwhile the unit starts nothing new, and the request waits.
 */
#include "supervisor/core/requests_registry.h"

#include <stdlib.h>

#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/hosts.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_query.h"
#include "supervisor/core/run.h"
#include "supervisor/core/task.h"

/* ---- release ---- */

static bool list_names(const struct hook_list *list, const char *id)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->hooks[i].kind == HOOK_RUN && strcmp(list->hooks[i].target, id) == 0)
            return true;
    return false;
}

static bool options_name(const struct unit_options *options, const char *id)
{
    return list_names(&options->on_start, id) || list_names(&options->on_complete, id) ||
           list_names(&options->on_error, id);
}

/* Whether a hook of the unit, or of one of its workers, runs `id`. */
static bool depends_on(const struct unit *unit, const char *id)
{
    if (!unit->current || strcmp(unit->id_text, id) == 0)
        return false;
    const struct definition *definition = unit->current->definition;
    bool found = options_name(definition->unit, id);
    const struct unit_options *last = definition->unit;
    for (uint32_t w = 0; w < definition->worker_count && !found; w++) {
        /* Options are shared, so most of a large graph is one comparison. */
        if (definition->workers[w].unit == last)
            continue;
        last = definition->workers[w].unit;
        found = options_name(last, id);
    }
    return found;
}

bool registry_has_dependents(const struct engine *engine, const char *id)
{
    for (size_t i = 0; i < engine->unit_count; i++)
        if (depends_on(engine->units[i], id))
            return true;
    return false;
}

static void pack_dependents(const struct engine *engine, const char *id, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < engine->unit_count; i++)
        count += depends_on(engine->units[i], id);
    pack_array(out, count);
    for (size_t i = 0; i < engine->unit_count && count; i++)
        if (depends_on(engine->units[i], id))
            pack_string(out, engine->units[i]->id);
}

static void finish_release(struct engine *engine, const struct request *request, struct unit *unit,
                           struct synk_bytes cancelled)
{
    unit->releasing = false;
    unit_release(engine, unit);
    struct buf *out = reply_open(engine);
    pack_map(out, 3);
    pack_key(out, "unit");
    pack_string(out, unit->id);
    pack_key(out, "cancelled");
    pack_encoded(out, cancelled);
    pack_key(out, "dependents");
    pack_dependents(engine, unit->id_text, out);
    reply_close(engine, request);
}

static struct synk_bytes cancel_runs(struct engine *engine, struct unit *unit, struct buf *labels)
{
    pack_array(labels, unit->live_runs);
    for (struct run *run = unit->first_run; run; run = run->unit_next)
        pack_cstr(labels, run->label);
    for (struct run *run = unit->first_run, *next; run; run = next) {
        next = run->unit_next;
        run_cancel(engine, run, "its unit was released");
    }
    return buf_bytes(labels);
}

void request_release(struct engine *engine, struct request *request)
{
    struct unit *unit;
    uint32_t worker;
    struct synk_error error = {0};
    enum synk_status status =
        unit_resolve(engine, body_text(request, "id"), &unit, &worker, &error);
    bool force = synk_value_bool(synk_value_get(request->body, "force"), false);
    if (!status && worker != NONE)
        status = status_fail(&error, SYNK_REFUSED,
                             "a worker inside a process goes with its definition: change the file "
                             "of '%s' and apply it",
                             unit->id_text);
    if (!status && unit == engine->pool)
        status = status_fail(&error, SYNK_REFUSED, "the pool stays");
    if (!status && unit->releasing)
        status = status_fail(&error, SYNK_REFUSED, "'%s' is being released", unit->id_text);
    if (!status && unit->live_runs && !force)
        status = status_fail(&error, SYNK_REFUSED,
                             "'%s' cannot be released while %s is unfinished: wait for it, cancel "
                             "it, or force",
                             unit->id_text, unit->first_run->label);
    if (status) {
        request_error(engine, request, &error);
        return;
    }
    struct buf labels = {0};
    struct synk_bytes cancelled = cancel_runs(engine, unit, &labels);
    if (unit->live_runs) {
        /* Those that can end do when the step settles; releases_continue takes it from there. */
        struct release *release = mem_zalloc(1, sizeof(*release));
        unit->releasing = true;
        release->unit = unit;
        release->request = *request;
        release->request.body = NULL;
        release->cancelled = blob_new(cancelled);
        release->next = engine->releases;
        engine->releases = release;
    } else {
        finish_release(engine, request, unit, cancelled);
    }
    buf_fini(&labels);
}

static void free_release(struct release *release)
{
    blob_unref(release->cancelled);
    free(release);
}

void releases_continue(struct engine *engine, struct unit *unit)
{
    struct release **link = &engine->releases;
    /* What a schedule or a hook has started meanwhile goes as well. */
    for (struct run *run = unit->first_run, *next; run; run = next) {
        next = run->unit_next;
        if (!run->cancelling)
            run_cancel(engine, run, "its unit was released");
    }
    if (unit->live_runs)
        return;
    while (*link && (*link)->unit != unit)
        link = &(*link)->next;
    struct release *release = *link;
    if (!release)
        return;
    *link = release->next;
    finish_release(engine, &release->request, unit, blob_bytes(release->cancelled));
    free_release(release);
}

void releases_free(struct engine *engine)
{
    while (engine->releases) {
        struct release *next = engine->releases->next;
        free_release(engine->releases);
        engine->releases = next;
    }
}

/* ---- what there is ---- */

static void pack_items(struct buf *out, const char *key, size_t count, const struct buf *items)
{
    pack_key(out, key);
    pack_array(out, count);
    buf_append(out, items->data, items->size);
}

/* Pages go through the units, then the unfinished runs; the first page has the hosts too. The
 * cursor is how many units and runs were told. */
void request_snapshot(struct engine *engine, struct request *request)
{
    int64_t cursor = synk_value_int(synk_value_get(request->body, "cursor"), 0);
    size_t at = cursor < 0 ? 0 : (size_t)cursor;
    struct buf units = {0}, runs = {0}, hosts = {0};
    size_t unit_count = 0, run_count = 0, host_count = 0;
    for (size_t i = 0; i < engine->host_count && !at; i++) {
        if (!engine->hosts[i] || hosts.size > LIMIT_VALUE_BYTES)
            continue;
        host_encode(engine, engine->hosts[i], &hosts);
        host_count++;
    }
    size_t room = LIMIT_BATCH_BYTES - (hosts.size < LIMIT_BATCH_BYTES ? hosts.size : 0);
    for (; at < engine->unit_count && units.size < room / 2 && unit_count < LIMIT_PAGE_ROWS; at++) {
        if (!engine->units[at]->current)
            continue;
        unit_append(engine, engine->units[at], true, &units);
        unit_count++;
    }
    bool ended = false;
    if (at >= engine->unit_count) {
        const struct run *run = engine->live_first;
        for (size_t skip = at - engine->unit_count; run && skip; skip--)
            run = run->next;
        for (; run && units.size + runs.size < room && run_count < LIMIT_PAGE_ROWS;
             run = run->next, at++) {
            run_encode_summary(run, &runs);
            run_count++;
        }
        ended = !run;
    }
    struct buf *out = reply_open(engine);
    pack_map(out, 5);
    pack_key(out, "seq");
    pack_uint(out, engine->last_event);
    pack_items(out, "units", unit_count, &units);
    pack_items(out, "runs", run_count, &runs);
    pack_items(out, "hosts", host_count, &hosts);
    pack_key(out, "cursor");
    ended ? pack_null(out) : pack_uint(out, at);
    reply_close(engine, request);
    buf_fini(&units);
    buf_fini(&runs);
    buf_fini(&hosts);
}

/* The state of a worker's task in the process's latest run, while that is unfinished. */
static const char *live_state(const struct unit *unit, uint32_t worker)
{
    const struct run *run = NULL;
    for (const struct run *r = unit->first_run; r; r = r->unit_next)
        if (r->version == unit->current && r->tasks && (r->worker == NONE || r->worker == worker))
            run = r;
    if (!run)
        return NULL;
    return task_state_name(run->tasks[run->worker == NONE ? worker : 0].state);
}

static void append_worker(const struct unit *unit, uint32_t index, bool deep, struct buf *items)
{
    const struct definition *definition = unit->current->definition;
    const struct worker_def *worker = &definition->workers[index];
    pack_map(items, deep ? 7 : 6);
    pack_key(items, "worker");
    pack_cstr(items, worker->id);
    pack_key(items, "process");
    definition->kind == UNIT_PROCESS ? pack_string(items, unit->id) : pack_null(items);
    pack_key(items, "function");
    pack_cstr(items, worker->worker->function);
    pack_key(items, "enabled");
    pack_bool(items, definition->kind == UNIT_PROCESS ? worker->unit->enabled : unit->enabled);
    pack_key(items, "paused");
    pack_bool(items, definition->kind == UNIT_PROCESS ? unit_worker_is_paused(unit, worker->id)
                                                      : unit->paused);
    pack_key(items, "state");
    const char *state = live_state(unit, index);
    state ? pack_cstr(items, state) : pack_null(items);
    if (!deep)
        return;
    pack_key(items, "definition");
    definition_encode_worker(definition, index, items);
}

void list_workers(struct engine *engine, struct request *request)
{
    struct unit *unit;
    uint32_t worker;
    struct synk_error error = {0};
    enum synk_status status =
        unit_resolve(engine, body_text(request, "unit"), &unit, &worker, &error);
    if (!status && (worker != NONE || !unit->current))
        status =
            status_fail(&error, SYNK_INVALID, "'unit' must be a process or a worker of its own");
    if (status) {
        request_error(engine, request, &error);
        return;
    }
    int64_t cursor = synk_value_int(synk_value_get(request->body, "cursor"), 0);
    bool deep = synk_value_bool(synk_value_get(request->body, "deep"), false);
    uint32_t limit = page_limit(request), end = unit->current->definition->worker_count;
    uint32_t at = cursor < 0 || cursor > end ? end : (uint32_t)cursor;
    struct buf items = {0};
    size_t count = 0;
    for (; at < end && count < limit && items.size < LIMIT_BATCH_BYTES; at++) {
        append_worker(unit, at, deep, &items);
        count++;
    }
    struct buf *out = reply_open(engine);
    pack_map(out, 2);
    pack_items(out, "items", count, &items);
    pack_key(out, "cursor");
    at < end ? pack_uint(out, at) : pack_null(out);
    buf_fini(&items);
    reply_close(engine, request);
}
