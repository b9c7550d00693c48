/*
 * Schedules: when units with an interval or a cron expression are due, and what starts then.
 *
 * An interval is kept on the monotonic clock: a due time is the previous one plus the interval,
 * whatever the run took and however the wall clock is set. What is stored is that moment as
 * wall-clock time, for the next start; the difference between the two clocks is stored beside it,
 * so that a clock that was set while nobody ran is not taken for time that passed.
 *
 * A cron expression is kept on the wall clock: due_at is the next due time, and all before it have
 * had their turn, through restarts too. So a clock that is set back runs nothing twice, unless it
 * is set back by more than CLOCK_TRUST_MS: then it was wrong before, and due times begin anew. One
 * timer serves all of them. It looks at the wall clock at the next due time, at least every
 * CALENDAR_PATIENCE_MS, and when the clock has been set.
 */
#include "supervisor/core/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/pack.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/run.h"

enum {
    /* The wall clock was set, rather than slewed: NTP slews by half a millisecond a second. */
    CLOCK_STEP_MS = 1000,
    /* A clock that runs away from the other one by then is off by 30 ms. */
    CALENDAR_PATIENCE_MS = 60 * 1000,
    /* A due time so long ago was not missed: a supervisor was starting, a machine was busy. */
    CALENDAR_GRACE_MS = 60 * 1000,
    /* Daylight saving and time zones set by hand move clocks by less. */
    CLOCK_TRUST_MS = 24 * 3600 * 1000,
};

static const struct unit_options *options_of(const struct unit *unit)
{
    return unit->current ? unit->current->definition->unit : NULL;
}

static bool has_interval(const struct unit *unit)
{
    const struct unit_options *options = options_of(unit);
    return options && unit->enabled && options->run_on_interval && options->interval_ms > 0;
}

static bool has_cron(const struct unit *unit)
{
    const struct unit_options *options = options_of(unit);
    return options && unit->enabled && options->cron;
}

/* What a due time follows from: of a calendar, a hash; of an interval, 1; 0 = nothing. */
static uint64_t rule_of(const struct unit *unit)
{
    if (!has_cron(unit))
        return has_interval(unit);
    const struct unit_options *options = options_of(unit);
    uint64_t zone = options->time_zone ? bytes_hash(bytes_str(options->time_zone)) : 0;
    return (bytes_hash(bytes_str(options->cron)) ^ zone * 31) | 2;
}

/* ---- starting ---- */

static bool start(struct engine *engine, struct unit *unit, const char *by, enum overlap otherwise,
                  struct buf *labels)
{
    const struct unit_options *options = options_of(unit);
    uint64_t tasks = unit->current->definition->worker_count;
    if (engine->shutdown)
        return false;
    if (engine->counts.live_tasks + tasks > engine->config.max_live_tasks) {
        order_add(engine, ORDER_LOG, "'%s' is due and not started: %llu tasks are unfinished",
                  unit->id_text, (unsigned long long)engine->counts.live_tasks);
        return false;
    }
    struct run *run = run_create(
        engine, &(struct run_request){
                    .unit = unit,
                    .worker = NONE,
                    .by = bytes_str(by),
                    .overlap = options->overlap == OVERLAP_DEFAULT ? otherwise : options->overlap,
                });
    if (labels)
        pack_cstr(labels, run->label);
    return true;
}

/* What becomes of `missed` due times: none, one or all of them, as catchUp says. */
static void catch_up(struct engine *engine, struct unit *unit, int64_t missed)
{
    enum catch_up rule = options_of(unit)->catch_up;
    if (unit->paused || rule == CATCH_UP_SKIP)
        return;
    int64_t runs = rule == CATCH_UP_ONE ? 1 : missed < MAX_CATCH_UP ? missed : MAX_CATCH_UP;
    for (int64_t i = 0; i < runs; i++)
        start(engine, unit, "schedule", rule == CATCH_UP_ALL ? OVERLAP_QUEUE : OVERLAP_SKIP, NULL);
}

/* ---- intervals ---- */

static void set_due(struct engine *engine, struct unit *unit, int64_t due)
{
    unit->due = due > 0 ? due : 1;
    unit->due_at = engine->wall + (due - engine->now);
    unit_touch(engine, unit);
    timers_set(&engine->timers, due, TIMER_UNIT, unit->serial, 0);
}

/* Goes on to the first due time that is to come; how many have come. */
static int64_t pass_due(struct engine *engine, struct unit *unit)
{
    int64_t interval = options_of(unit)->interval_ms;
    if (unit->due > engine->now)
        return 0;
    int64_t passed = (engine->now - unit->due) / interval + 1;
    set_due(engine, unit, unit->due + passed * interval);
    return passed;
}

void schedule_due(struct engine *engine, uint64_t serial)
{
    if (serial >= engine->unit_count || engine->shutdown || engine->config.schedule_by_hand)
        return;
    struct unit *unit = engine->units[serial];
    if (!unit->due || !has_interval(unit) || has_cron(unit))
        return;
    /* What was missed because the loop stood still is one run. */
    if (pass_due(engine, unit) && !unit->paused)
        start(engine, unit, "schedule", OVERLAP_SKIP, NULL);
}

static void hydrate_interval(struct engine *engine, struct unit *unit)
{
    int64_t interval = options_of(unit)->interval_ms;
    int64_t left = unit->due_at ? unit->due_at + engine->clock_shift - engine->wall : interval;
    if (left > interval)
        left = interval; /* the wall clock was set back, or the interval shortened */
    set_due(engine, unit, engine->now + left);
    if (left > 0 || engine->config.schedule_by_hand)
        return;
    /* `due` cannot say how long ago it was: the monotonic clock may be younger. */
    int64_t missed = -left / interval + 1;
    set_due(engine, unit, engine->now + left + missed * interval);
    catch_up(engine, unit, missed);
}

/* ---- calendars ---- */

static void arm_calendar(struct engine *engine)
{
    int64_t left = engine->calendar_at - engine->wall;
    left = left < 0 ? 0 : left > CALENDAR_PATIENCE_MS ? CALENDAR_PATIENCE_MS : left;
    engine->calendar_timer = engine->now + left;
    timers_set(&engine->timers, engine->calendar_timer, TIMER_CALENDAR, 0, 0);
}

/* Something is due at this time, too. */
static void watch_calendar(struct engine *engine, int64_t at)
{
    if (engine->config.schedule_by_hand || (engine->calendar_timer && at >= engine->calendar_at))
        return;
    engine->calendar_at = at;
    arm_calendar(engine);
}

static enum synk_status next_due(struct engine *engine, const struct unit *unit, int64_t after,
                                 int64_t *ret_due, struct synk_error *error)
{
    const struct unit_options *options = options_of(unit);
    return engine->calendar.next(engine->calendar.context, bytes_str(options->cron),
                                 bytes_str(options->time_zone ? options->time_zone : ""), after,
                                 ret_due, error);
}

/* Sets the next due time after `after`. Where there is none (a time zone's file is gone), that is
 * said once, and asked again every CALENDAR_PATIENCE_MS. */
static void set_calendar_due(struct engine *engine, struct unit *unit, int64_t after)
{
    int64_t due = 0;
    struct synk_error error = {0};
    if (next_due(engine, unit, after, &due, &error)) {
        if (unit->due_at || !unit->due_rule)
            order_add(engine, ORDER_LOG, "'%s' has no next due time: %s", unit->id_text,
                      error.text);
        due = 0;
    }
    unit->due = 0;
    unit->due_at = due;
    unit_touch(engine, unit);
    watch_calendar(engine, due ? due : engine->wall + CALENDAR_PATIENCE_MS);
}

/* Whether the due time is from a clock that was far ahead. */
static bool is_beyond_trust(struct engine *engine, const struct unit *unit)
{
    int64_t last;
    return unit->due_at > engine->wall + CLOCK_TRUST_MS &&
           !next_due(engine, unit, engine->wall + CLOCK_TRUST_MS, &last, NULL) &&
           unit->due_at > last;
}

/* Its due time has come: starts what is to start, and goes on to the next one to come. */
static void fire_calendar(struct engine *engine, struct unit *unit)
{
    int64_t latest = unit->due_at, next = 0, count = 1;
    while (!next_due(engine, unit, latest, &next, NULL) && next <= engine->wall &&
           count < MAX_CATCH_UP) {
        latest = next;
        count++;
    }
    set_calendar_due(engine, unit, engine->wall);
    bool is_late = engine->wall - latest > CALENDAR_GRACE_MS;
    if (count > 1 && options_of(unit)->catch_up == CATCH_UP_ALL)
        catch_up(engine, unit, count);
    else if (is_late)
        catch_up(engine, unit, 1);
    else if (!unit->paused)
        start(engine, unit, "schedule", OVERLAP_SKIP, NULL);
}

void schedule_calendar(struct engine *engine)
{
    if (!engine->calendar_timer || engine->now < engine->calendar_timer || engine->shutdown)
        return;
    if (engine->wall < engine->calendar_at) {
        arm_calendar(engine);
        return;
    }
    engine->calendar_timer = 0;
    for (size_t i = 0; i < engine->unit_count; i++) {
        struct unit *unit = engine->units[i];
        if (!has_cron(unit))
            continue;
        if (!unit->due_at)
            set_calendar_due(engine, unit, engine->wall);
        else if (unit->due_at <= engine->wall)
            fire_calendar(engine, unit);
        else
            watch_calendar(engine, unit->due_at);
    }
}

static void hydrate_calendar(struct engine *engine, struct unit *unit)
{
    if (!unit->due_at || is_beyond_trust(engine, unit))
        set_calendar_due(engine, unit, engine->wall);
    else if (unit->due_at <= engine->wall && !engine->config.schedule_by_hand)
        fire_calendar(engine, unit);
    else
        watch_calendar(engine, unit->due_at);
}

/* ---- units ---- */

void schedule_unit(struct engine *engine, struct unit *unit, bool is_new)
{
    uint64_t rule = rule_of(unit);
    bool is_other = is_new || rule != unit->due_rule;
    if (!rule) {
        if (unit->due_at) {
            unit->due = unit->due_at = 0;
            unit_touch(engine, unit);
        }
    } else if (has_cron(unit)) {
        if (is_other || !unit->due_at)
            set_calendar_due(engine, unit, engine->wall);
    } else if (is_other || !unit->due || unit->due - engine->now > options_of(unit)->interval_ms) {
        set_due(engine, unit, engine->now + options_of(unit)->interval_ms);
    }
    unit->due_rule = rule;
    if (is_new && options_of(unit)->run_on_start && unit->enabled) {
        unit->start_waits = engine->config.schedule_by_hand;
        if (!unit->start_waits)
            start(engine, unit, "start", OVERLAP_SKIP, NULL);
    }
}

void schedule_hydrated(struct engine *engine, struct unit *unit)
{
    const struct unit_options *options = options_of(unit);
    if (!options)
        return;
    if (has_cron(unit))
        hydrate_calendar(engine, unit);
    else if (has_interval(unit))
        hydrate_interval(engine, unit);
    unit->due_rule = rule_of(unit);
    if (!options->run_on_start || !unit->enabled)
        return;
    unit->start_waits = engine->config.schedule_by_hand;
    if (!unit->start_waits)
        start(engine, unit, "start", OVERLAP_SKIP, NULL);
}

static uint32_t tick(struct engine *engine, struct unit *unit, struct buf *labels)
{
    uint32_t count = 0;
    if (!unit->current || unit->paused)
        return 0;
    if (unit->start_waits && unit->enabled) {
        unit->start_waits = false;
        count += start(engine, unit, "start", OVERLAP_SKIP, labels);
    }
    bool is_due = false;
    if (has_cron(unit) && unit->due_at && unit->due_at <= engine->wall) {
        is_due = true;
        set_calendar_due(engine, unit, engine->wall);
    } else if (!has_cron(unit) && has_interval(unit)) {
        is_due = pass_due(engine, unit) > 0;
    }
    if (is_due)
        count += start(engine, unit, "schedule", OVERLAP_SKIP, labels);
    return count;
}

uint32_t schedule_tick(struct engine *engine, struct unit *unit, struct buf *labels)
{
    if (unit)
        return tick(engine, unit, labels);
    uint32_t count = 0;
    for (size_t i = 0; i < engine->unit_count; i++)
        count += tick(engine, engine->units[i], labels);
    return count;
}

/* ---- the wall clock ---- */

void schedule_clock_loaded(struct engine *engine, struct synk_bytes record)
{
    size_t size =
        record.size < sizeof(engine->clock_text) - 1 ? record.size : sizeof(engine->clock_text) - 1;
    if (size)
        memcpy(engine->clock_text, record.data, size);
    engine->clock_text[size] = '\0';
}

void schedule_clock_start(struct engine *engine)
{
    const char *boot = engine->config.boot;
    char *end = NULL;
    engine->clock_offset = engine->wall - engine->now;
    engine->clock_dirty = boot[0] != '\0';
    int64_t offset = strtoll(engine->clock_text, &end, 10);
    if (boot[0] && *end == ' ' && strcmp(end + 1, boot) == 0)
        engine->clock_shift = engine->clock_offset - offset;
    if (engine->clock_shift > -CLOCK_STEP_MS && engine->clock_shift < CLOCK_STEP_MS)
        engine->clock_shift = 0;
}

void schedule_clock(struct engine *engine)
{
    int64_t change = engine->wall - engine->now - engine->clock_offset;
    if (change > -CLOCK_STEP_MS && change < CLOCK_STEP_MS)
        return;
    engine->clock_offset += change;
    engine->clock_dirty = engine->config.boot[0] != '\0';
    if (engine->calendar_timer) {
        engine->calendar_at = INT64_MAX;
        engine->calendar_timer = 0;
    }
    for (size_t i = 0; i < engine->unit_count; i++) {
        struct unit *unit = engine->units[i];
        if (has_cron(unit)) {
            if (unit->due_at && is_beyond_trust(engine, unit))
                set_calendar_due(engine, unit, engine->wall);
            else
                watch_calendar(engine,
                               unit->due_at ? unit->due_at : engine->wall + CALENDAR_PATIENCE_MS);
        } else if (unit->due) {
            unit->due_at = engine->wall + (unit->due - engine->now);
            unit_touch(engine, unit);
        }
    }
    for (struct run *run = engine->live_first; run; run = run->next) {
        if (!run->start_due)
            continue;
        run->created_at += change; /* both, so that the delay can be told from them */
        run->not_before += change;
        run_touch(engine, run);
    }
}

void schedule_save(struct engine *engine)
{
    if (!engine->clock_dirty)
        return;
    engine->clock_dirty = false;
    char text[sizeof(engine->clock_text)];
    snprintf(text, sizeof(text), "%lld %.63s", (long long)engine->clock_offset,
             engine->config.boot);
    struct record *record = batch_add(&engine->effects->batch, RECORD_META);
    record->meta.name = keep_bytes(engine, bytes_str("clock"));
    record->meta.value = keep_bytes(engine, bytes_str(text));
}
