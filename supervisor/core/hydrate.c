/*
 * Hydration: stored records become state again, whichever store they came from, and INPUT_START
 * makes it go on. What a task waits for is not stored; it is computed from its parents' records.
 * Tasks that were ready may be running at hosts that outlived the last supervisor, so their runs
 * are recovered: held until those hosts have told, or are given up.
 */
#include "supervisor/core/hydrate.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/pack.h"
#include "supervisor/core/drain.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/events.h"
#include "supervisor/core/graph.h"
#include "supervisor/core/keys.h"
#include "supervisor/core/limits.h"
#include "supervisor/core/pool.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/run.h"
#include "supervisor/core/run_modes.h"
#include "supervisor/core/schedule.h"
#include "supervisor/core/settle.h"
#include "supervisor/core/task.h"

static uint64_t parse_number(struct synk_bytes text)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.size && i < 19; i++) {
        char digit = ((const char *)text.data)[i];
        if (digit < '0' || digit > '9')
            break;
        number = number * 10 + (uint64_t)(digit - '0');
    }
    return number;
}

static enum synk_status load_unit(struct engine *engine, const struct unit_record *record,
                                  struct synk_error *error)
{
    const char *slash = record->id.size ? memchr(record->id.data, '/', record->id.size) : NULL;
    struct synk_bytes id = record->id;
    if (slash)
        id.size = (size_t)(slash - (const char *)record->id.data);
    if (!definition_id_is_valid(id))
        return status_fail(error, SYNK_CORRUPT, "a unit record with an id that cannot be");
    struct unit *unit = unit_add(engine, id);
    if (slash) {
        struct synk_bytes worker = bytes_of(slash + 1, record->id.size - id.size - 1);
        if (record->paused && worker.size)
            unit_set_worker_paused(engine, unit, worker, true);
        return SYNK_OK;
    }
    unit->wanted_version = record->version;
    unit->last_version = record->last_version;
    if (unit->last_version < record->version)
        unit->last_version = record->version;
    unit->enabled = record->enabled;
    unit->paused = record->paused;
    unit->last_number = record->last_number;
    unit->success_count = record->success_count;
    unit->run_count = record->run_count;
    unit->last_run_at = record->last_run_at;
    unit->due_at = record->due_at;
    unit->status = record->status <= UNIT_PAUSED ? record->status : UNIT_IDLE;
    execution_decode(&unit->execution, record->execution);
    return overlay_decode(&unit->overlay, record->overlay, error);
}

static struct version *find_version(const struct unit *unit, uint32_t number)
{
    for (struct version *version = unit->versions; version; version = version->next)
        if (version->number == number)
            return version;
    return NULL;
}

static void free_loading(struct version_loading *loading)
{
    arena_fini(&loading->arena);
    free(loading->workers);
    free(loading->unit);
    free(loading);
}

/* Makes the version once all its records are there. */
static enum synk_status complete_version(struct engine *engine, struct version_loading *loading,
                                         struct synk_error *error)
{
    struct definition *definition;
    struct synk_error why = {0};
    struct unit *unit = unit_add(engine, bytes_str(loading->unit));
    if (find_version(unit, loading->number))
        return SYNK_OK;
    if (definition_decode(loading->header, loading->workers, loading->worker_count,
                          &engine->checker, &definition, &why))
        return status_fail(error, SYNK_CORRUPT, "version %u of '%s': %.400s", loading->number,
                           loading->unit, why.text);
    struct version *version = version_new(engine, unit, loading->number, definition);
    if (unit->last_version < version->number)
        unit->last_version = version->number;
    if (unit->wanted_version == version->number && !unit->current) {
        unit->current = version;
        version->references++;
        engine->milestone_units += definition->unit->run_on_milestone != NULL;
    }
    return SYNK_OK;
}

static enum synk_status load_definition(struct engine *engine,
                                        const struct definition_record *record,
                                        struct synk_error *error)
{
    if (!definition_id_is_valid(record->unit) || record->worker_count > LIMIT_WORKERS)
        return status_fail(error, SYNK_CORRUPT, "a definition record that cannot be");
    struct version_loading *loading = mem_zalloc(1, sizeof(*loading));
    loading->unit = mem_strndup(record->unit.data, record->unit.size);
    loading->number = record->version;
    loading->worker_count = record->worker_count;
    loading->header = arena_copy(&loading->arena, record->header);
    loading->workers = mem_zalloc(record->worker_count + 1u, sizeof(*loading->workers));
    if (!record->worker_count) {
        enum synk_status status = complete_version(engine, loading, error);
        free_loading(loading);
        return status;
    }
    loading->next = engine->versions_loading;
    engine->versions_loading = loading;
    return SYNK_OK;
}

static enum synk_status load_worker(struct engine *engine, const struct worker_record *record,
                                    struct synk_error *error)
{
    struct version_loading **link = &engine->versions_loading;
    while (*link && ((*link)->number != record->version ||
                     !bytes_equal(bytes_str((*link)->unit), record->unit)))
        link = &(*link)->next;
    struct version_loading *loading = *link;
    if (!loading || record->index >= loading->worker_count ||
        loading->workers[record->index].size || !record->body.size)
        return status_fail(error, SYNK_CORRUPT, "a worker record without its definition");
    loading->workers[record->index] = arena_copy(&loading->arena, record->body);
    if (++loading->have < loading->worker_count)
        return SYNK_OK;
    *link = loading->next;
    enum synk_status status = complete_version(engine, loading, error);
    free_loading(loading);
    return status;
}

static enum synk_status load_run(struct engine *engine, const struct run_record *record,
                                 struct synk_error *error)
{
    if (!record->run || !definition_id_is_valid(record->unit) || record->status > RUN_SKIPPED ||
        record->task_count > LIMIT_WORKERS || run_find(engine, record->run))
        return status_fail(error, SYNK_CORRUPT, "a run record that cannot be");
    struct unit *unit = unit_add(engine, record->unit);
    struct run *run = mem_zalloc(1, sizeof(*run));
    run->id = record->run;
    run->unit = unit;
    run->number = record->number;
    run->worker = NONE;
    run->status = record->status;
    run->cancelling = record->cancelling;
    run->has_priority = record->has_priority;
    run->priority = record->priority;
    if (record->name.size)
        run->name = mem_strndup(record->name.data, record->name.size);
    run->paused = record->paused && !run_status_is_final(record->status);
    run->task_count = record->task_count;
    run->by = blob_new(record->by);
    run->params = blob_new(record->params);
    run->error = blob_new(record->error);
    run->spec = blob_new(record->spec);
    run->created_at = record->created_at;
    run->started_at = record->started_at;
    run->ended_at = record->ended_at;
    bool has_overlap = record->overlap && record->overlap <= OVERLAP_CANCEL;
    run->overlap = has_overlap ? record->overlap : OVERLAP_QUEUE;
    run->not_before = record->not_before;
    run->start_due = run->status == RUN_QUEUED && run->not_before > 0; /* when: at the start */
    if (!record->spec.size)
        run->version = find_version(unit, record->version);
    if (run->version) {
        const struct definition *definition = run->version->definition;
        run->version->references++;
        if (record->worker.size || definition->kind == UNIT_WORKER)
            run->worker = definition->kind == UNIT_WORKER
                              ? 0
                              : definition_find_worker(definition, record->worker);
        uint32_t tasks = run->worker == NONE ? definition->worker_count : 1;
        if (tasks != run->task_count || (record->worker.size && run->worker == NONE)) {
            run->version->references--;
            run->version = NULL; /* not this definition's run: it is ended below */
        }
    }
    run_name(engine, run);
    /* Where the unit's own record could not be read. */
    if (unit->last_version < record->version)
        unit->last_version = record->version;
    if (unit->last_number < run->number)
        unit->last_number = run->number;
    if (engine->last_run < run->id)
        engine->last_run = run->id;
    if (run_status_is_final(run->status)) {
        run_link_finished(engine, run);
        return SYNK_OK;
    }
    run_link_live(engine, run);
    run->counted = true;
    run->open = run->task_count;
    run->counts[TASK_PENDING] = run->task_count;
    engine->counts.live_tasks += run->task_count;
    if (run->status == RUN_RUNNING)
        run->tasks = mem_zalloc(run->task_count + 1u, sizeof(*run->tasks));
    return SYNK_OK;
}

void hydrate_task(struct engine *engine, struct run *run, const struct task_record *record)
{
    if (!run->tasks || record->task >= run->task_count || record->state >= TASK_STATES)
        return;
    struct task *task = &run->tasks[record->task];
    if (task->state != TASK_PENDING)
        return;
    task->attempts = record->attempts;
    task->epoch = record->epoch;
    task->crashes = record->crashes;
    task->tries = record->tries;
    if (record->error.size)
        task_extra(task)->error = blob_new(record->error);
    if (record->reason.size)
        task_extra(task)->reason = blob_new(record->reason);
    if (record->state == TASK_RETRY_WAIT) {
        task->state = TASK_RETRY_WAIT;
        task->at = record->due_at; /* wall, until hydrate_finish */
        int64_t delay = record->ended_at ? record->due_at - record->ended_at : UINT32_MAX;
        task->delay_ms = delay < 0 ? 0 : delay > UINT32_MAX ? UINT32_MAX : (uint32_t)delay;
        task->flags |= record->reason.size ? TASK_CANCEL_WANTED : 0;
        engine->counts.retry_wait_tasks++;
    } else if (task_state_is_final(record->state)) {
        task->state = record->state;
        run->open--;
        engine->counts.live_tasks--;
        if (task->state == TASK_SUCCEEDED) {
            task->result_size = (uint32_t)record->result.size;
            if (record->result.size && run->version && run->worker == NONE && run->version->uses &&
                (run->version->uses[record->task] & WORKER_KEEPS))
                task_extra(task)->result = blob_new(record->result);
        } else if (task->state != TASK_SKIPPED) {
            run->failures++;
        } else if (record->cause <= run->task_count) {
            task->cause = record->cause;
        }
    } else {
        /* A reason of what has not ended: it was cancelled, and its attempt had to end first. */
        task->flags |= record->reason.size ? TASK_CANCEL_WANTED : 0;
        return;
    }
    run->counts[TASK_PENDING]--;
    run->counts[task->state]++;
}

static enum synk_status load_task(struct engine *engine, const struct task_record *record,
                                  struct synk_error *error)
{
    struct run *run = run_find(engine, record->run);
    if (!run || record->task >= run->task_count || record->state >= TASK_STATES)
        return status_fail(error, SYNK_CORRUPT, "a task record without its run");
    if (run->tasks)
        hydrate_task(engine, run, record);
    return SYNK_OK;
}

static void load_host(struct engine *engine, const struct host_record *record)
{
    engine->expected = mem_grow(engine->expected, &engine->expected_capacity,
                                engine->expected_count + 1, sizeof(*engine->expected));
    engine->expected[engine->expected_count++] = (struct expected_host){
        mem_strndup(record->name.data, record->name.size), record->instance, record->applied};
}

enum synk_status hydrate_record(struct engine *engine, const struct record *record,
                                struct synk_error *error)
{
    switch (record->kind) {
    case RECORD_META:
        if (bytes_equal(record->meta.name, bytes_str("last_run")))
            engine->last_run = engine->saved_last_run = parse_number(record->meta.value);
        else if (bytes_equal(record->meta.name, bytes_str("limits")))
            limits_load(engine, record->meta.value);
        else if (bytes_equal(record->meta.name, bytes_str("drained")))
            drain_load(engine, record->meta.value);
        else if (bytes_equal(record->meta.name, bytes_str("clock")))
            schedule_clock_loaded(engine, record->meta.value);
        return SYNK_OK;
    case RECORD_UNIT:
        return load_unit(engine, &record->unit, error);
    case RECORD_DEFINITION:
        return load_definition(engine, &record->definition, error);
    case RECORD_WORKER:
        return load_worker(engine, &record->worker, error);
    case RECORD_HOST:
        load_host(engine, &record->host);
        return SYNK_OK;
    case RECORD_KEY:
        key_load(engine, &record->key);
        return SYNK_OK;
    case RECORD_RUN:
        return load_run(engine, &record->run, error);
    case RECORD_TASK:
        return load_task(engine, &record->task, error);
    case RECORD_ATTEMPT:
        return SYNK_OK;
    }
    return status_fail(error, SYNK_CORRUPT, "a record of unknown kind");
}

void hydrate_free(struct engine *engine)
{
    while (engine->versions_loading) {
        struct version_loading *next = engine->versions_loading->next;
        free_loading(engine->versions_loading);
        engine->versions_loading = next;
    }
}

/* A run that cannot be held without what is missing ends, and says so. */
static void give_up(struct engine *engine, struct run *run, const char *why)
{
    run_set_error(run, "%s", why);
    run->timed_out = true;
    free(run->tasks);
    run->tasks = NULL;
    run_check_later(engine, run);
}

static void go_on(struct engine *engine, struct run *run)
{
    if (!run->version && !run->pool) {
        give_up(engine, run, "its definition could not be loaded");
        return;
    }
    if (run->start_due) {
        int64_t delay = run->not_before - run->created_at;
        int64_t left = run->not_before + engine->clock_shift - engine->wall;
        run_set_start(engine, run, left > delay ? delay : left);
    }
    if (run->status != RUN_RUNNING) {
        if (run->cancelling)
            run_check_later(engine, run);
        return;
    }
    run->recovered = true;
    run->held = run_is_held(engine, run);
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct task *task = &run->tasks[i];
        if (task->state != TASK_RETRY_WAIT)
            continue;
        /* The wall clock may have been set back meanwhile: never longer than it was to be. */
        int64_t left = task->at + engine->clock_shift - engine->wall;
        left = left > task->delay_ms ? task->delay_ms : left < 0 ? 0 : left;
        task->at = engine->now + left;
        timers_set(&engine->timers, task->at, TIMER_TASK, run->id, i);
    }
    bool cancelling = run->cancelling;
    run->cancelling = false; /* what was ready becomes ready, so that hosts' attempts find it */
    if (run_is_graph(run))
        graph_recompute(engine, run);
    else
        run_advance(engine, run);
    for (uint32_t i = 0; i < run->task_count; i++)
        if (run->tasks[i].state == TASK_READY || run->tasks[i].state == TASK_RETRY_WAIT ||
            (run->tasks[i].flags & TASK_IN_TURN))
            run->tasks[i].flags |= TASK_DOUBTED;
    run->cancelling = cancelling;
    for (uint32_t i = 0; !engine->barrier && i < run->task_count; i++)
        if (task_is_cancelled(run, i))
            task_cancel(engine, run, i, "the run was cancelled");
    run_set_deadline(engine, run);
    if (!run->open)
        run_check_later(engine, run);
}

void hydrate_finish(struct engine *engine)
{
    for (struct version_loading *loading = engine->versions_loading; loading;
         loading = loading->next)
        order_add(engine, ORDER_LOG, "version %u of '%s' is incomplete in the store: %u of %u",
                  loading->number, loading->unit, loading->have, loading->worker_count);
    hydrate_free(engine);
    schedule_clock_start(engine);
    keys_start(engine);
    engine->barrier = engine->expected_count > 0;
    engine->barrier_since = engine->now;
    pool_hydrate(engine);
    for (struct run *run = engine->live_first; run; run = run->next)
        go_on(engine, run);
    engine_settle(engine);
    uint64_t units = 0;
    for (size_t i = 0; i < engine->unit_count; i++) {
        struct unit *unit = engine->units[i];
        for (struct version *version = unit->versions, *next; version; version = next) {
            next = version->next;
            if (version->references)
                continue;
            version->references = 1;
            version_unref(version);
        }
        units += unit->current != NULL;
        if (unit->status == UNIT_RUNNING && !unit->live_runs)
            unit_set_status(engine, unit, UNIT_IDLE);
        run_start_queued(engine, unit);
    }
    struct buf *out = &engine->scratch_buf;
    buf_clear(out);
    pack_map(out, 1);
    pack_key(out, "count");
    pack_uint(out, units);
    struct synk_bytes payload = arena_copy(&engine->scratch, buf_bytes(out));
    milestone_emit(engine, NULL, NULL, (struct synk_bytes){0}, bytes_str("storage:loaded"),
                   payload);
    for (size_t i = 0; i < engine->unit_count; i++)
        schedule_hydrated(engine, engine->units[i]);
}
