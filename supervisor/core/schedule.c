/*
 * Interval runs. The due time is exact: previous due plus the interval, whatever the run took; it
 * decides on the monotonic clock while running and is stored as wall-clock time for the next start.
 */
#include "supervisor/core/schedule.h"

#include "supervisor/core/registry.h"
#include "supervisor/core/run.h"

static const struct unit_options *options_of(const struct unit *unit)
{
    return unit->current ? unit->current->definition->unit : NULL;
}

static bool is_scheduled(const struct unit *unit)
{
    const struct unit_options *options = options_of(unit);
    return options && unit->enabled && options->run_on_interval && options->interval_ms > 0;
}

static void set_due(struct engine *engine, struct unit *unit, int64_t due)
{
    unit->due = due;
    unit->due_at = engine->wall + (due - engine->now);
    unit_touch(engine, unit);
    timers_set(&engine->timers, due, TIMER_UNIT, unit->serial, 0);
}

static void start(struct engine *engine, struct unit *unit, const char *by, enum overlap otherwise)
{
    const struct unit_options *options = options_of(unit);
    uint64_t tasks = unit->current->definition->worker_count;
    if (engine->shutdown || engine->counts.live_tasks + tasks > engine->config.max_live_tasks)
        return;
    run_create(engine,
               &(struct run_request){
                   .unit = unit,
                   .worker = NONE,
                   .by = bytes_str(by),
                   .overlap = options->overlap == OVERLAP_DEFAULT ? otherwise : options->overlap,
               });
}

void schedule_unit(struct engine *engine, struct unit *unit, bool is_new)
{
    if (!is_scheduled(unit)) {
        if (unit->due) {
            unit->due = unit->due_at = 0;
            unit_touch(engine, unit);
        }
    } else if (is_new || !unit->due || unit->due - engine->now > options_of(unit)->interval_ms) {
        set_due(engine, unit, engine->now + options_of(unit)->interval_ms);
    }
    if (is_new && options_of(unit)->run_on_start && unit->enabled)
        start(engine, unit, "start", OVERLAP_SKIP);
}

void schedule_hydrated(struct engine *engine, struct unit *unit)
{
    const struct unit_options *options = options_of(unit);
    if (!options)
        return;
    if (is_scheduled(unit)) {
        int64_t interval = options->interval_ms;
        int64_t left = unit->due_at ? unit->due_at - engine->wall : interval;
        if (left > interval)
            left = interval; /* the wall clock was set back, or the interval shortened */
        if (left <= 0) {
            int64_t missed = -left / interval + 1;
            int64_t next = interval - (-left % interval);
            if (options->catch_up == CATCH_UP_ALL)
                for (int64_t i = 1; i < missed && i < MAX_CATCH_UP && !unit->paused; i++)
                    start(engine, unit, "schedule", OVERLAP_QUEUE);
            if (options->catch_up != CATCH_UP_SKIP && !unit->paused)
                start(engine, unit, "schedule",
                      options->catch_up == CATCH_UP_ALL ? OVERLAP_QUEUE : OVERLAP_SKIP);
            left = next;
        }
        set_due(engine, unit, engine->now + left);
    }
    if (options->run_on_start && unit->enabled)
        start(engine, unit, "start", OVERLAP_SKIP);
}

void schedule_due(struct engine *engine, uint64_t serial)
{
    if (serial >= engine->unit_count || engine->shutdown)
        return;
    struct unit *unit = engine->units[serial];
    if (!unit->due || unit->due > engine->now || !is_scheduled(unit))
        return;
    int64_t interval = options_of(unit)->interval_ms;
    int64_t due = unit->due + interval;
    if (due <= engine->now) /* the loop stood still: what was missed meanwhile is one run */
        due += (engine->now - due) / interval * interval + interval;
    set_due(engine, unit, due);
    if (!unit->paused)
        start(engine, unit, "schedule", OVERLAP_SKIP);
}
