/*
 * The engine's frame: making and freeing it, the table of inputs, the working off of consequences,
 * and the end of a tick.
 */
#include <stdio.h>
#include <stdlib.h>

#include "supervisor/core/dispatch.h"
#include "supervisor/core/drain.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/events.h"
#include "supervisor/core/graph.h"
#include "supervisor/core/hooks.h"
#include "supervisor/core/hosts.h"
#include "supervisor/core/hydrate.h"
#include "supervisor/core/keys.h"
#include "supervisor/core/limits.h"
#include "supervisor/core/local_host.h"
#include "supervisor/core/logs.h"
#include "supervisor/core/model.h"
#include "supervisor/core/queues.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_apply.h"
#include "supervisor/core/requests_registry.h"
#include "supervisor/core/requests_retry.h"
#include "supervisor/core/retention.h"
#include "supervisor/core/retry.h"
#include "supervisor/core/run.h"
#include "supervisor/core/run_modes.h"
#include "supervisor/core/schedule.h"
#include "supervisor/core/settle.h"
#include "supervisor/core/shutdown.h"
#include "supervisor/core/stats.h"
#include "supervisor/core/watcher.h"

void engine_config_defaults(struct engine_config *config)
{
    *config = (struct engine_config){
        .suspect_ms = 5000,
        .lost_ms = 15000,
        .heartbeat_ms = 1000,
        .max_live_tasks = LIMIT_LIVE_TASKS,
        .keep_runs_ms = 30LL * 24 * 3600 * 1000,
        .keep_events_ms = 30LL * 24 * 3600 * 1000,
        .keep_runs = 100000,
        .keep_events = 10000000,
        .watch_interval_ms = 60 * 1000,
        .idle_threshold_ms = 600 * 1000,
        .boot = "",
        .version = SYNK_VERSION,
        .durability = "none",
        .events_address = "",
        .remote_events_address = "",
    };
}

struct engine *engine_new(const struct engine_config *config, const struct evaluator *evaluator,
                          const struct expression_checker *checker,
                          const struct calendar *calendar)
{
    struct engine *engine = mem_zalloc(1, sizeof(*engine));
    engine->config = *config;
    if (evaluator) {
        engine->evaluator = *evaluator;
        engine->has_evaluator = true;
    }
    engine->calendar = calendar ? *calendar : calendar_utc;
    engine->checker = *checker;
    engine->checker.calendar = &engine->calendar;
    engine->store_ok = true;
    engine->pool = unit_add(engine, bytes_str("pool"));
    return engine;
}

static void free_clients(struct engine *engine)
{
    for (size_t i = 0; i < engine->peers_by_id.capacity; i++)
        free(engine->peers_by_id.slots[i].item);
    keys_free(engine);
    uploads_free(engine);
    logs_free(engine);
    releases_free(engine);
    waiters_free(&engine->shutdown_waiters);
    while (engine->loadings) {
        struct loading *next = engine->loadings->next;
        buf_fini(&engine->loadings->body);
        free(engine->loadings);
        engine->loadings = next;
    }
    for (size_t i = engine->start_first; i < engine->start_count; i++) {
        blob_unref(engine->starts[i].params);
        free(engine->starts[i].by);
    }
}

static void free_scheduling(struct engine *engine)
{
    queues_free(engine);
    drain_free(engine);
    limits_free(engine);
    for (size_t i = 0; i < engine->host_count; i++)
        host_free(engine->hosts[i]);
    for (size_t i = 0; i < engine->expected_count; i++)
        free(engine->expected[i].name);
    free(engine->hosts);
    free(engine->open_hosts);
    free(engine->expected);
}

static void free_runs(struct run *run)
{
    while (run) {
        struct run *next = run->next;
        run_free(run);
        run = next;
    }
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    free_clients(engine);
    free(engine->prune);
    free_runs(engine->live_first);
    free_runs(engine->finished_first);
    for (size_t i = 0; i < engine->unit_count; i++)
        unit_free(engine->units[i]);
    free_scheduling(engine);
    hydrate_free(engine);
    struct index *indexes[] = {&engine->units_by_id,       &engine->runs_by_id,
                               &engine->runs_by_number,    &engine->hosts_by_name,
                               &engine->hosts_by_peer,     &engine->keys_by_text,
                               &engine->peers_by_id,       &engine->classes_by_hash,
                               &engine->functions_by_name, &engine->queues_by_hash,
                               &engine->pool_names};
    for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++)
        index_fini(indexes[i]);
    timers_fini(&engine->timers);
    arena_fini(&engine->scratch);
    buf_fini(&engine->scratch_buf);
    free(engine->units);
    free(engine->work);
    free(engine->checks);
    free(engine->starts);
    free(engine->dirty_units);
    free(engine->dirty_runs);
    free((void *)engine->gauges.data);
    free(engine);
}

enum synk_status engine_load(struct engine *engine, const struct record *record,
                             struct synk_error *error)
{
    assert(!engine->started);
    return hydrate_record(engine, record, error);
}

/* ---- timers ---- */

static void tell_stats(struct engine *engine)
{
    struct buf out = {0};
    stats_encode(engine, &out);
    milestone_emit(engine, NULL, NULL, (struct synk_bytes){0}, bytes_str("engine:stats"),
                   buf_bytes(&out));
    buf_fini(&out);
    timers_set(&engine->timers, engine->now + engine->config.stats_interval_ms, TIMER_STATS, 0, 0);
}

static void slow(struct engine *engine)
{
    keys_expire(engine);
    uploads_expire(engine);
    engine->retention_due = true;
    timers_set(&engine->timers, engine->now + SLOW_INTERVAL_MS, TIMER_SLOW, 0, 0);
}

static void deadline(struct engine *engine, struct run *run)
{
    if (!run || !run->deadline || run->deadline > engine->now || run_status_is_final(run->status) ||
        !run->version)
        return;
    run->timed_out = true;
    run_set_error(run, "its time limit of %lld ms passed",
                  (long long)run->version->definition->process.timeout_ms);
    run_cancel(engine, run, "the run's time limit passed");
}

static void fire(struct engine *engine, const struct timer *timer)
{
    struct run *run;
    switch (timer->kind) {
    case TIMER_TASK:
        retry_due(engine, timer->id, timer->task);
        return;
    case TIMER_RUN:
        run_due(engine, run_find(engine, timer->id));
        return;
    case TIMER_TURN:
        run = run_find(engine, timer->id);
        if (run && run->cursor == timer->task)
            run_turn(engine, run);
        return;
    case TIMER_DEADLINE:
        deadline(engine, run_find(engine, timer->id));
        return;
    case TIMER_UNIT:
        schedule_due(engine, timer->id);
        return;
    case TIMER_CALENDAR:
        schedule_calendar(engine);
        return;
    case TIMER_HOSTS:
        hosts_timer(engine);
        return;
    case TIMER_SLOW:
        slow(engine);
        return;
    case TIMER_STATS:
        tell_stats(engine);
        return;
    case TIMER_WATCH:
        watcher_timer(engine);
        return;
    case TIMER_SPAWN:
        local_host_spawn(engine);
        return;
    case TIMER_SHUTDOWN:
        shutdown_timer(engine);
        return;
    case TIMER_LOG:
        logs_timer(engine, timer->id);
        return;
    }
}

/* ---- inputs ---- */

static void input_start(struct engine *engine, const struct input *input)
{
    assert(!engine->started);
    engine->epoch = input->epoch;
    engine->pid = input->pid;
    engine->last_event = input->last_event;
    engine->started_now = input->now_ms;
    hydrate_finish(engine);
    engine->started = true;
    hosts_timer(engine);
    timers_set(&engine->timers, engine->now + SLOW_INTERVAL_MS, TIMER_SLOW, 0, 0);
    if (engine->config.stats_interval_ms > 0)
        timers_set(&engine->timers, engine->now + engine->config.stats_interval_ms, TIMER_STATS, 0,
                   0);
    watcher_start(engine);
    local_host_start(engine);
}

static void input_time(struct engine *engine, const struct input *input)
{
    (void)input;
    struct timer timer;
    while (timers_take(&engine->timers, engine->now, &timer))
        fire(engine, &timer);
}

static void input_host_peer_gone(struct engine *engine, const struct input *input)
{
    hosts_peer_gone(engine, input->peer);
}

static void input_client_peer_gone(struct engine *engine, const struct input *input)
{
    requests_peer_gone(engine, input->peer);
}

static void input_store_state(struct engine *engine, const struct input *input)
{
    engine->store_ok = input->store_ok;
    snprintf(engine->store_text, sizeof(engine->store_text), "%.*s", (int)input->text.size,
             input->text.size ? (const char *)input->text.data : "");
}

static void input_shutdown(struct engine *engine, const struct input *input)
{
    shutdown_begin(engine, input->grace_ms, input->keep_hosts);
}

static void (*const handlers[])(struct engine *engine, const struct input *input) = {
    [INPUT_START] = input_start,
    [INPUT_TIME] = input_time,
    [INPUT_HOST_MESSAGE] = hosts_message,
    [INPUT_CLIENT_MESSAGE] = requests_message,
    [INPUT_HOST_PEER_GONE] = input_host_peer_gone,
    [INPUT_CLIENT_PEER_GONE] = input_client_peer_gone,
    [INPUT_LOCAL_HOST] = local_host_event,
    [INPUT_RUN_LOADED] = requests_loaded,
    [INPUT_PRUNED] = retention_pruned,
    [INPUT_STORE_STATE] = input_store_state,
    [INPUT_SHUTDOWN] = input_shutdown,
};

/* Works off the lists of consequences. Each item may add more; a run's end is looked at when no
 * task's end is left, a hook's run is started when no run's end is left. */
void engine_settle(struct engine *engine)
{
    for (;;) {
        if (engine->work_first < engine->work_count) {
            struct work work = engine->work[engine->work_first++];
            work.run->tasks[work.task].flags &= (uint16_t)~TASK_JUST_ENDED;
            if (run_is_graph(work.run)) {
                run_heed_failures(engine, work.run);
                graph_propagate(engine, work.run, work.task);
            }
            else
                run_advance(engine, work.run);
        } else if (engine->check_first < engine->check_count) {
            run_check(engine, engine->checks[engine->check_first++]);
        } else if (engine->start_first < engine->start_count) {
            hooks_run_starts(engine);
        } else {
            break;
        }
    }
    engine->work_first = engine->work_count = 0;
    engine->check_first = engine->check_count = 0;
    engine->start_first = engine->start_count = 0;
}

static void begin(struct engine *engine, int64_t now_ms, int64_t wall_ms, struct effects *effects)
{
    engine->effects = effects;
    effects->batch.at = wall_ms;
    engine->wall = wall_ms;
    if (now_ms > engine->now)
        engine->now = now_ms;
}

static void end(struct engine *engine)
{
    hosts_send_cancels(engine);
    arena_clear(&engine->scratch);
    engine->effects = NULL;
}

void engine_step(struct engine *engine, const struct input *input, struct effects *effects)
{
    assert(engine->started || input->kind == INPUT_START);
    assert((size_t)input->kind < sizeof(handlers) / sizeof(handlers[0]));
    begin(engine, input->now_ms, input->wall_ms, effects);
    /* After a gap what is in the sockets has yet to be read: silence is counted anew. */
    if (engine->now - engine->last_step > 1000)
        hosts_restart_silence(engine);
    engine->last_step = engine->now;
    if (engine->started)
        schedule_clock(engine);
    handlers[input->kind](engine, input);
    engine_settle(engine);
    end(engine);
}

static void save_changes(struct engine *engine)
{
    for (size_t i = 0; i < engine->dirty_unit_count; i++)
        unit_save(engine, engine->dirty_units[i]);
    engine->dirty_unit_count = 0;
    for (size_t i = 0; i < engine->dirty_run_count; i++) {
        engine->dirty_runs[i]->dirty = false;
        run_save(engine, engine->dirty_runs[i]);
    }
    engine->dirty_run_count = 0;
    if (engine->last_run == engine->saved_last_run)
        return;
    engine->saved_last_run = engine->last_run;
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)engine->last_run);
    struct record *record = batch_add(&engine->effects->batch, RECORD_META);
    record->meta.name = keep_bytes(engine, bytes_str("last_run"));
    record->meta.value = keep_bytes(engine, bytes_str(text));
}

void engine_flush(struct engine *engine, int64_t now_ms, int64_t wall_ms, struct effects *effects)
{
    begin(engine, now_ms, wall_ms, effects);
    if (engine->started) {
        /* A task that cannot be sent ends at once, and its children may be ready then. */
        for (int round = 0; round < 100 && engine->dispatch_due && !engine->shutdown; round++) {
            dispatch_assign(engine);
            engine_settle(engine);
        }
        if (engine->config.exits_when_idle && engine->had_client && !engine->peers_by_id.count &&
            !engine->counts.live_runs)
            shutdown_begin(engine, 0, false);
        shutdown_check(engine);
        save_changes(engine);
        schedule_save(engine);
        hosts_send_acks(engine);
        retention_flush(engine);
        queues_sweep(engine);
    }
    end(engine);
}

int64_t engine_next_due(const struct engine *engine)
{
    return timers_next(&engine->timers);
}

struct engine_counts engine_counts(const struct engine *engine)
{
    struct engine_counts counts = engine->counts;
    counts.queues = engine->queue_count;
    counts.functions = engine->function_count;
    for (size_t i = 0; i < engine->unit_count; i++)
        counts.units += engine->units[i]->current != NULL;
    for (size_t i = 0; i < engine->host_count; i++) {
        const struct host *host = engine->hosts[i];
        if (!host || host->state == HOST_LOST || !host->synced)
            continue;
        counts.hosts++;
        counts.slots += host->slots;
    }
    return counts;
}
