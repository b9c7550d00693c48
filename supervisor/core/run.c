/*
 * Runs: created, held back, started, cancelled, ended.
 *
 * A run is unfinished (queued or running: in engine.live and in its unit's list) or finished (in
 * engine.finished, without tasks). Its lanes are in the queues exactly while it is not held.
 *
 * Where runs wait for each other, the first of their track goes and those behind it are queued,
 * unless they may overlap: then they start at once, or when what holds the unit back is over. So
 * the end of a run looks at one other run, however many are unfinished.
 */
#include "supervisor/core/run.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/pack.h"
#include "supervisor/core/dispatch.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/events.h"
#include "supervisor/core/graph.h"
#include "supervisor/core/hooks.h"
#include "supervisor/core/pool.h"
#include "supervisor/core/queues.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_registry.h"
#include "supervisor/core/requests_run.h"
#include "supervisor/core/run_modes.h"
#include "supervisor/core/task.h"

struct run *run_find(struct engine *engine, uint64_t id)
{
    if (engine->last_found && engine->last_found->id == id)
        return engine->last_found;
    struct run *run = index_find(&engine->runs_by_id, index_number(id), NULL, NULL);
    if (run)
        engine->last_found = run;
    return run;
}

static uint64_t number_hash(const struct unit *unit, uint64_t number)
{
    return index_number(((uint64_t)(unit->serial + 1) << 40) ^ number);
}

struct number_key {
    const struct unit *unit;
    uint64_t number;
};

static bool same_number(const void *item, const void *key)
{
    const struct run *run = item;
    const struct number_key *wanted = key;
    return run->unit == wanted->unit && run->number == wanted->number;
}

struct run *run_find_number(const struct engine *engine, const struct unit *unit, uint64_t number)
{
    struct number_key key = {unit, number};
    return index_find(&engine->runs_by_number, number_hash(unit, number), same_number, &key);
}

void run_name(struct engine *engine, struct run *run)
{
    char label[2 * LIMIT_ID_BYTES + 32];
    if (run->worker != NONE && run->version && run->version->definition->kind == UNIT_PROCESS)
        snprintf(label, sizeof(label), "%s/%s#%llu", run->unit->id_text,
                 run->version->definition->workers[run->worker].id,
                 (unsigned long long)run->number);
    else
        snprintf(label, sizeof(label), "%s#%llu", run->unit->id_text,
                 (unsigned long long)run->number);
    run->label = mem_strdup(label);
    struct buf out = {0};
    pack_key(&out, "unit");
    pack_string(&out, run->unit->id);
    pack_key(&out, "run");
    pack_cstr(&out, label);
    run->prefix = buf_bytes(&out);
    index_put(&engine->runs_by_id, index_number(run->id), run);
    index_put(&engine->runs_by_number, number_hash(run->unit, run->number), run);
}

static uint64_t track_hash(uint32_t worker)
{
    return index_number(worker);
}

static void link_track(struct run *run)
{
    struct index *tracks = &run->unit->tracks;
    struct track *track = index_find(tracks, track_hash(run->worker), NULL, NULL);
    if (!track) {
        track = mem_zalloc(1, sizeof(*track));
        track->worker = run->worker;
        index_put(tracks, track_hash(run->worker), track);
    }
    run->track = track;
    run->track_previous = track->last;
    run->track_next = NULL;
    *(track->last ? &track->last->track_next : &track->first) = run;
    track->last = run;
}

static void unlink_track(struct run *run)
{
    struct track *track = run->track;
    *(run->track_previous ? &run->track_previous->track_next : &track->first) = run->track_next;
    *(run->track_next ? &run->track_next->track_previous : &track->last) = run->track_previous;
    run->track_next = run->track_previous = NULL;
    run->track = NULL;
    if (track->first)
        return;
    index_remove(&run->unit->tracks, track_hash(track->worker), track);
    free(track);
}

void run_link_live(struct engine *engine, struct run *run)
{
    run->previous = engine->live_last;
    run->next = NULL;
    *(engine->live_last ? &engine->live_last->next : &engine->live_first) = run;
    engine->live_last = run;
    struct unit *unit = run->unit;
    run->unit_previous = unit->last_run;
    run->unit_next = NULL;
    *(unit->last_run ? &unit->last_run->unit_next : &unit->first_run) = run;
    unit->last_run = run;
    unit->live_runs++;
    unit->running_runs += run->status == RUN_RUNNING;
    if (!run->start_due)
        link_track(run);
    engine->counts.live_runs++;
}

static void unlink_live(struct engine *engine, struct run *run)
{
    *(run->previous ? &run->previous->next : &engine->live_first) = run->next;
    *(run->next ? &run->next->previous : &engine->live_last) = run->previous;
    struct unit *unit = run->unit;
    *(run->unit_previous ? &run->unit_previous->unit_next : &unit->first_run) = run->unit_next;
    *(run->unit_next ? &run->unit_next->unit_previous : &unit->last_run) = run->unit_previous;
    run->next = run->previous = run->unit_next = run->unit_previous = NULL;
    unit->live_runs--;
    if (run->track)
        unlink_track(run);
    engine->counts.live_runs--;
}

static bool ended_later(const struct run *a, const struct run *b)
{
    return a->ended_at > b->ended_at || (a->ended_at == b->ended_at && a->id > b->id);
}

void run_link_finished(struct engine *engine, struct run *run)
{
    /* In the order in which the store removes them; nearly always behind all others. While the wall
     * clock is behind what it was, it is behind the latest one: the way there is gone once. */
    struct run *before = engine->finished_latest ? engine->finished_latest : engine->finished_last;
    while (before && ended_later(before, run))
        before = before->previous;
    while (before && before->next && !ended_later(before->next, run))
        before = before->next;
    engine->finished_latest = run;
    run->previous = before;
    run->next = before ? before->next : engine->finished_first;
    *(before ? &before->next : &engine->finished_first) = run;
    *(run->next ? &run->next->previous : &engine->finished_last) = run;
    engine->finished_count++;
}

void run_unlink_finished(struct engine *engine, struct run *run)
{
    if (engine->finished_latest == run)
        engine->finished_latest = run->previous;
    *(run->previous ? &run->previous->next : &engine->finished_first) = run->next;
    *(run->next ? &run->next->previous : &engine->finished_last) = run->previous;
    run->next = run->previous = NULL;
    engine->finished_count--;
    index_remove(&engine->runs_by_id, index_number(run->id), run);
    index_remove(&engine->runs_by_number, number_hash(run->unit, run->number), run);
    if (engine->last_found == run)
        engine->last_found = NULL;
}

void run_free_tasks(struct run *run)
{
    for (uint32_t i = 0; run->tasks && i < run->task_count; i++)
        task_extra_free(&run->tasks[i]);
    free(run->tasks);
    run->tasks = NULL;
    for (size_t i = 0; i < run->lane_count; i++) {
        assert(!run->lanes[i]->linked);
        queue_unref(run->lanes[i]->queue);
        free(run->lanes[i]);
    }
    free(run->lanes);
    run->lanes = NULL;
    run->lane_count = run->lane_capacity = 0;
    run->last_lane = NULL;
    index_fini(&run->lanes_by_queue);
    pool_free(run->pool);
    run->pool = NULL;
}

void run_free(struct run *run)
{
    if (run->track)
        unlink_track(run);
    for (size_t i = 0; i < run->lane_count; i++)
        run->lanes[i]->linked = false;
    run_free_tasks(run);
    waiters_free(&run->waiters);
    blob_unref(run->params);
    blob_unref(run->by);
    blob_unref(run->error);
    blob_unref(run->spec);
    free(run->label);
    free(run->name);
    free((void *)run->prefix.data);
    free(run);
}

void run_touch(struct engine *engine, struct run *run)
{
    if (run->dirty)
        return;
    run->dirty = true;
    engine->dirty_runs = mem_grow(engine->dirty_runs, &engine->dirty_run_capacity,
                                  engine->dirty_run_count + 1, sizeof(*engine->dirty_runs));
    engine->dirty_runs[engine->dirty_run_count++] = run;
}

void run_save(struct engine *engine, const struct run *run)
{
    struct record *record = batch_add(&engine->effects->batch, RECORD_RUN);
    record->run = (struct run_record){
        .run = run->id,
        .unit = keep_bytes(engine, run->unit->id),
        .number = run->number,
        .version = run->version ? run->version->number : 0,
        .status = run->status,
        .cancelling = run->cancelling,
        .has_priority = run->has_priority,
        .priority = run->priority,
        .name = keep_bytes(engine, run->name ? bytes_str(run->name) : (struct synk_bytes){0}),
        .paused = run->paused,
        .not_before = run->not_before,
        .overlap = run->overlap == OVERLAP_QUEUE ? OVERLAP_DEFAULT : run->overlap,
        .task_count = run->task_count,
        .by = keep_bytes(engine, blob_bytes(run->by)),
        .params = keep_bytes(engine, blob_bytes(run->params)),
        .spec = keep_bytes(engine, blob_bytes(run->spec)),
        .error = keep_bytes(engine, blob_bytes(run->error)),
        .created_at = run->created_at,
        .started_at = run->started_at,
        .ended_at = run->ended_at,
    };
    if (run->version && run->worker != NONE && run->version->definition->kind == UNIT_PROCESS)
        record->run.worker =
            keep_bytes(engine, bytes_str(run->version->definition->workers[run->worker].id));
}

void run_set_error(struct run *run, const char *format, ...)
{
    char text[SYNK_ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    blob_unref(run->error);
    run->error = blob_new(bytes_of(text, check_utf8_prefix(bytes_str(text))));
}

static void tell_status(struct engine *engine, const struct run *run)
{
    event_emit(
        engine,
        &(struct event){
            .type = EVENT_RUN,
            .run = run,
            .by = run->status == RUN_QUEUED ? blob_bytes(run->by) : (struct synk_bytes){0},
            .error = blob_bytes(run->error),
            .payload = payload_text(engine, "status", bytes_str(run_status_name(run->status))),
        });
}

/* The oldest unfinished run that it may have to wait for. */
static struct run *earlier_run(const struct run *run)
{
    return run->track->first != run ? run->track->first : NULL;
}

/* Whether a queued run may start now. */
static bool may_start(const struct engine *engine, const struct run *run)
{
    if (engine->shutdown || run->unit->paused || run->start_due)
        return false;
    return run->overlap == OVERLAP_ALLOW || !run->version || !earlier_run(run);
}

/* The run is in its track: heeds those before it, and starts if it may. */
static void enter(struct engine *engine, struct run *run)
{
    struct run *earlier = run->version ? earlier_run(run) : NULL;
    if (earlier && run->overlap == OVERLAP_SKIP) {
        run_set_error(run, "skipped: %s is still going", earlier->label);
        run_check_later(engine, run);
        return;
    }
    if (earlier && run->overlap == OVERLAP_CANCEL)
        for (struct run *other = earlier; other != run; other = other->track_next)
            run_cancel(engine, other, "a newer run took its place");
    if (may_start(engine, run))
        run_start(engine, run);
}

void run_set_start(struct engine *engine, struct run *run, int64_t delay_ms)
{
    run->start_due = engine->now + (delay_ms > 0 ? delay_ms : 0);
    timers_set(&engine->timers, run->start_due, TIMER_RUN, run->id, 0);
}

struct run *run_create(struct engine *engine, const struct run_request *request)
{
    struct unit *unit = request->unit;
    struct run *run = mem_zalloc(1, sizeof(*run));
    run->id = ++engine->last_run;
    run->unit = unit;
    run->number = ++unit->last_number;
    run->worker = request->worker;
    run->version = request->pool ? NULL : unit->current;
    if (run->version) {
        run->version->references++;
        const struct definition *definition = run->version->definition;
        if (definition->kind == UNIT_WORKER)
            run->worker = 0;
        run->task_count = run->worker == NONE ? definition->worker_count : 1;
    } else {
        run->task_count = request->task_count;
    }
    run->pool = request->pool;
    run->spec = request->spec;
    run->params = blob_new(request->params);
    run->by = blob_new(request->by);
    run->depth = request->depth;
    run->has_priority = request->has_priority;
    run->priority = request->priority;
    run->created_at = engine->wall;
    run->counted = true;
    if (request->delay_ms > 0) {
        run->not_before = engine->wall + request->delay_ms;
        run_set_start(engine, run, request->delay_ms);
    }
    run_name(engine, run);
    run_link_live(engine, run);
    if (run->pool) {
        run->name = request->name.size ? mem_strndup(request->name.data, request->name.size) : NULL;
        run->paused = request->paused;
        pool_add(engine, run);
    }
    run->open = run->task_count;
    run->counts[TASK_PENDING] = run->task_count;
    engine->counts.live_tasks += run->task_count;
    enum overlap overlap = request->overlap;
    if (overlap == OVERLAP_DEFAULT && run->version)
        overlap = run->version->definition->unit->overlap;
    run->overlap = (uint8_t)(overlap == OVERLAP_DEFAULT ? OVERLAP_QUEUE : overlap);
    unit_touch(engine, unit);
    run_save(engine, run);
    tell_status(engine, run);
    if (!run->start_due)
        enter(engine, run);
    return run;
}

void run_due(struct engine *engine, struct run *run)
{
    if (!run || !run->start_due || run->start_due > engine->now || run->status != RUN_QUEUED ||
        run->cancelling)
        return;
    run->start_due = 0;
    link_track(run);
    enter(engine, run);
    if (run->status != RUN_QUEUED || run->checked)
        return;
    /* It waits like any other now, and has its place among them: not behind them once more when it
     * is loaded. */
    run->not_before = 0;
    run_touch(engine, run);
}

void run_set_deadline(struct engine *engine, struct run *run)
{
    if (!run->version || run->worker != NONE)
        return;
    int64_t limit = run->version->definition->process.timeout_ms;
    if (limit <= 0)
        return;
    int64_t left = run->started_at + limit - engine->wall;
    run->deadline = engine->now + (left > limit ? limit : left < 0 ? 0 : left);
    timers_set(&engine->timers, run->deadline, TIMER_DEADLINE, run->id, 0);
}

void run_start(struct engine *engine, struct run *run)
{
    run->status = RUN_RUNNING;
    run->unit->running_runs++;
    run->started_at = engine->wall;
    run_touch(engine, run);
    tell_status(engine, run);
    run->tasks = mem_zalloc(run->task_count ? run->task_count : 1, sizeof(*run->tasks));
    run->held = run_is_held(engine, run);
    struct unit *unit = run->unit;
    unit->last_run_at = engine->wall;
    if (run->version) {
        unit_set_status(engine, unit, UNIT_RUNNING);
        const struct definition *definition = run->version->definition;
        const char *order = run_is_graph(run) ? "graph" : run_mode_name(run_mode_of(run));
        struct synk_bytes mode = definition->kind == UNIT_PROCESS
                                     ? payload_text(engine, "runMode", bytes_str(order))
                                     : (struct synk_bytes){0};
        milestone_unit(engine, unit, "running", mode);
        if (definition->unit->on_start.count)
            hooks_fire(engine, &definition->unit->on_start, run, NONE, (struct synk_bytes){0});
        run_set_deadline(engine, run);
    }
    if (run_is_graph(run))
        graph_recompute(engine, run);
    else
        run_advance(engine, run);
    if (!run->open)
        run_check_later(engine, run);
}

void run_cancel(struct engine *engine, struct run *run, const char *reason)
{
    if (run_status_is_final(run->status) || run->cancelling)
        return;
    run->cancelling = true;
    run_touch(engine, run);
    /* What seems to wait may be at a host that has yet to tell: hosts_check_barrier goes on. */
    bool is_known = !run->recovered || !engine->barrier;
    for (uint32_t i = 0; is_known && run->tasks && i < run->task_count; i++)
        task_cancel(engine, run, i, reason);
    run_check_later(engine, run);
}

bool run_is_held(const struct engine *engine, const struct run *run)
{
    return run->unit->paused || (run->recovered && engine->barrier) ||
           (run->unit == engine->pool && pool_is_held(engine, run));
}

void run_update_held(struct engine *engine, struct run *run)
{
    bool held = run_is_held(engine, run);
    if (held == run->held)
        return;
    run->held = held;
    for (size_t i = 0; i < run->lane_count; i++)
        held ? lane_unlink(engine, run->lanes[i]) : lane_link(engine, run->lanes[i]);
}

static void start_if_queued(struct engine *engine, struct run *run)
{
    if (run->status == RUN_QUEUED && !run->cancelling && !run->checked && may_start(engine, run))
        run_start(engine, run);
}

void run_start_queued(struct engine *engine, struct unit *unit)
{
    for (struct run *run = unit->first_run, *next; run; run = next) {
        next = run->unit_next;
        start_if_queued(engine, run);
    }
}

void run_check_later(struct engine *engine, struct run *run)
{
    if (run->checked)
        return;
    run->checked = true;
    if (engine->check_first && engine->check_first == engine->check_count)
        engine->check_first = engine->check_count = 0;
    engine->checks = mem_grow(engine->checks, &engine->check_capacity, engine->check_count + 1,
                              sizeof(*engine->checks));
    engine->checks[engine->check_count++] = run;
}

static enum run_status final_status(const struct run *run)
{
    if (run->timed_out)
        return RUN_FAILED;
    if (!run->tasks)
        return run->cancelling ? RUN_CANCELLED : RUN_SKIPPED;
    if (run->counts[TASK_FAILED] || run->counts[TASK_TIMED_OUT] || run->counts[TASK_QUARANTINED])
        return RUN_FAILED;
    return run->cancelling || run->counts[TASK_CANCELLED] ? RUN_CANCELLED : RUN_SUCCEEDED;
}

/* The run's error names its first failed worker. */
static void find_error(struct run *run)
{
    for (uint32_t i = 0; run->tasks && !run->error && i < run->task_count; i++) {
        const struct task *task = &run->tasks[i];
        if (task->state != TASK_FAILED && task->state != TASK_TIMED_OUT &&
            task->state != TASK_QUARANTINED)
            continue;
        char number[16];
        struct synk_bytes worker = task_worker_name(run, i, number);
        struct synk_bytes error = blob_bytes(task->extra ? task->extra->error : NULL);
        run_set_error(run, "'%.*s' %s%s%.*s", (int)worker.size, (const char *)worker.data,
                      task_state_name(task->state), error.size ? ": " : "", (int)error.size,
                      error.size ? (const char *)error.data : "");
    }
}

static void account(struct engine *engine, struct run *run)
{
    struct unit *unit = run->unit;
    if (run->status == RUN_SKIPPED || !run->started_at)
        return;
    unit->run_count++;
    unit->idle_since = engine->now;
    unit->stale_told = false;
    unit->success_count += run->status == RUN_SUCCEEDED;
    execution_add(&unit->execution, run->ended_at - run->started_at);
    unit_touch(engine, unit);
    if (!unit->current || !run->version)
        return;
    if (!unit->running_runs)
        unit_set_status(engine, unit,
                        run->status == RUN_SUCCEEDED   ? UNIT_COMPLETED
                        : run->status == RUN_CANCELLED ? UNIT_IDLE
                                                       : UNIT_ERROR);
    uint64_t most = unit->current->definition->unit->max_runs;
    if (most && unit->success_count >= most && unit->enabled) {
        unit->due = unit->due_at = 0;
        unit_switch(engine, unit, false, "maxRuns");
    }
}

static void finish(struct engine *engine, struct run *run)
{
    if (!run->tasks) {
        /* It never started: its tasks count as what became of it. */
        engine->counts.live_tasks -= run->open;
        run->open = 0;
        run->counts[TASK_PENDING] = 0;
        run->counts[run->cancelling ? TASK_CANCELLED : TASK_SKIPPED] = run->task_count;
    }
    engine->milestone_depth = run->depth;
    run->unit->running_runs -= run->status == RUN_RUNNING;
    run->status = (uint8_t)final_status(run);
    run->ended_at = engine->wall;
    if (run->status == RUN_FAILED)
        find_error(run);
    struct run *waiting = run->track_previous ? run->track->first : run->track_next;
    unlink_live(engine, run);
    run->start_due = 0;
    if (run->unit == engine->pool)
        pool_remove(engine, run);
    run->paused = false;
    run_touch(engine, run);
    tell_status(engine, run);
    account(engine, run);
    if (run->version && run->status != RUN_SKIPPED) {
        const struct unit_options *options = run->version->definition->unit;
        if (run->status == RUN_SUCCEEDED)
            milestone_unit(engine, run->unit, "completed", (struct synk_bytes){0});
        hooks_fire(engine,
                   run->status == RUN_SUCCEEDED ? &options->on_complete : &options->on_error, run,
                   NONE, (struct synk_bytes){0});
    }
    requests_run_ended(engine, run);
    run_free_tasks(run);
    run_link_finished(engine, run);
    engine->milestone_depth = 0;
    if (waiting)
        start_if_queued(engine, waiting);
    if (run->unit->releasing)
        releases_continue(engine, run->unit);
}

void run_check(struct engine *engine, struct run *run)
{
    run->checked = false;
    if (run_status_is_final(run->status))
        return;
    if (!run->tasks || run->open == 0)
        finish(engine, run);
}

/* Takes back what `account` counted: a run that is resumed is one run still. */
static void unaccount(struct engine *engine, const struct run *run)
{
    struct unit *unit = run->unit;
    if (run->status == RUN_SKIPPED || !run->started_at)
        return;
    /* A unit that was removed and made anew since then counts from 0. */
    unit->run_count -= unit->run_count > 0;
    unit->success_count -= run->status == RUN_SUCCEEDED && unit->success_count > 0;
    unit_touch(engine, unit);
}

void run_resume_finished(struct engine *engine, struct run *run)
{
    unaccount(engine, run);
    /* Back among the living: run_unlink_finished takes it out of the tables, run_name puts it in.
     */
    run_unlink_finished(engine, run);
    free(run->label);
    free((void *)run->prefix.data);
    run_name(engine, run);
    run->status = RUN_RUNNING;
    run_link_live(engine, run);
    if (run->unit == engine->pool)
        pool_add(engine, run);
    run->cancelling = run->timed_out = false;
    run->ended_at = 0;
    run->started_at = engine->wall;
    blob_unref(run->error);
    run->error = NULL;
    run->failures = 0;
    run->cursor = 0;
    run->turn_timer = false;
    run->turn_count = 0;
    run->stopped = false;
    run->recovered = false;
    run->held = run_is_held(engine, run);
    run_touch(engine, run);
    tell_status(engine, run);
    if (run->version)
        unit_set_status(engine, run->unit, UNIT_RUNNING);
    run_set_deadline(engine, run);
}
