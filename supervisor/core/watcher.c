/*
 * The watcher: looks at everything now and then, and whenever it is asked.
 *
 *   idle    a unit whose last run ended idle_threshold_ms ago, or more. Not one that has never run,
 *           has work, is paused, or starts by itself (schedule, milestone). With auto_release it is
 *           released, unless hooks of other units name it.
 *   paused  a unit that has been paused for so long. Of no interest but with auto_unpause: then it
 *           is resumed.
 *   stuck   an attempt whose host is silent, or that is still there though its time was up: the
 *           host ends those by itself, so it does not get them dead.
 *
 * What it finds is told once, as an event `stale`; what it does is told, too. It ends no attempt:
 * the host's silence has its own limit, and a second judge of an attempt's time would race the
 * first.
 */
#include "supervisor/core/watcher.h"

#include "proto/pack.h"
#include "supervisor/core/events.h"
#include "supervisor/core/hosts.h"
#include "supervisor/core/queues.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_registry.h"
#include "supervisor/core/task.h"

enum {
    /* A host asks, then kills, then kills again: 5 s each, of commands in three steps. */
    KILL_GRACE_MS = 60 * 1000,
    /* Of each kind, in one answer: for people to read. */
    MAX_TOLD = 1000,
    /* In one scan, since for each all other units' hooks are looked at; the rest in the next. */
    MAX_RELEASED = 100,
};

struct findings {
    struct buf stale, stuck, unpaused, released;
    uint32_t stale_count, stuck_count, unpaused_count, released_count;
};

static void note(struct buf *list, uint32_t *count, struct synk_bytes id)
{
    if (*count >= MAX_TOLD)
        return;
    pack_string(list, id);
    ++*count;
}

/* {what, ms, did}: `did` NULL where nothing was done. */
static void tell(struct engine *engine, struct unit *unit, const char *what, int64_t ms,
                 const char *did)
{
    struct buf *out = &engine->scratch_buf;
    buf_clear(out);
    pack_map(out, 2 + (did != NULL));
    pack_key(out, "what");
    pack_cstr(out, what);
    pack_key(out, "ms");
    pack_int(out, ms);
    if (did) {
        pack_key(out, "did");
        pack_cstr(out, did);
    }
    event_emit(engine, &(struct event){.type = EVENT_STALE,
                                       .unit = unit,
                                       .payload = arena_copy(&engine->scratch, buf_bytes(out))});
}

/* ---- units ---- */

/* Since when, on the monotonic clock; 0 = not known from this life: since it began. */
static int64_t since(const struct engine *engine, int64_t at)
{
    return engine->now - (at ? at : engine->started_now);
}

static bool is_idle(const struct unit *unit)
{
    const struct unit_options *options = unit->current->definition->unit;
    bool starts_by_itself = unit->enabled && (unit->due_rule || options->run_on_milestone);
    return unit->run_count && !unit->live_runs && !unit->paused && !unit->releasing &&
           !starts_by_itself;
}

static void watch_idle(struct engine *engine, struct unit *unit, struct findings *found)
{
    int64_t ms = since(engine, unit->idle_since);
    note(&found->stale, &found->stale_count, unit->id);
    bool releases = engine->config.auto_release && found->released_count < MAX_RELEASED &&
                    !registry_has_dependents(engine, unit->id_text);
    if (!unit->stale_told || releases)
        tell(engine, unit, "idle", ms, releases ? "released" : NULL);
    unit->stale_told = true;
    if (!releases)
        return;
    note(&found->released, &found->released_count, unit->id);
    unit_release(engine, unit);
}

static void watch_paused(struct engine *engine, struct unit *unit, struct findings *found)
{
    tell(engine, unit, "paused", since(engine, unit->paused_since), "unpaused");
    note(&found->unpaused, &found->unpaused_count, unit->id);
    unit_set_paused(engine, unit, false);
}

static void watch_unit(struct engine *engine, struct unit *unit, struct findings *found)
{
    int64_t threshold = engine->config.idle_threshold_ms;
    if (!unit->current)
        return;
    if (unit->paused) {
        if (engine->config.auto_unpause && since(engine, unit->paused_since) >= threshold)
            watch_paused(engine, unit, found);
    } else if (is_idle(unit) && since(engine, unit->idle_since) >= threshold) {
        watch_idle(engine, unit, found);
    }
}

/* ---- attempts ---- */

/* Why the attempt is stuck; NULL: it is not. *ret_ms: for how long. */
static const char *why_stuck(struct engine *engine, const struct host *host,
                             const struct flight *flight, int64_t *ret_ms)
{
    struct run *run = flight->run;
    uint32_t index = flight->task;
    const struct task *task = &run->tasks[index];
    int64_t silence = engine->now - host->seen;
    if (silence >= engine->config.suspect_ms) {
        *ret_ms = silence;
        return "its host is silent";
    }
    if (task->state != TASK_RUNNING)
        return NULL;
    const struct worker_options *options =
        run->version ? run->version->definition->workers[run_worker(run, index)].worker
                     : &run->pool->options;
    /* By the wall clock, which may have been set; no longer than it has been at its host. */
    int64_t ran = engine->wall - task->at, had = engine->now - flight->since;
    ran = ran < had ? ran : had;
    if (options->timeout_ms > 0 && ran - options->timeout_ms > KILL_GRACE_MS) {
        *ret_ms = ran;
        return "it is past its timeoutMs, and its host does not get it dead";
    }
    int64_t quiet = ran;
    if (task->extra && task->extra->progressed_at &&
        engine->now - task->extra->progressed_at < ran) /* else an earlier attempt's */
        quiet = engine->now - task->extra->progressed_at;
    if (options->progress_timeout_ms > 0 && quiet - options->progress_timeout_ms > KILL_GRACE_MS) {
        *ret_ms = quiet;
        return "it is past its progressTimeoutMs, and its host does not get it dead";
    }
    return NULL;
}

static void pack_stuck(struct buf *out, const struct host *host, const char *why, int64_t ms)
{
    pack_key(out, "host");
    pack_string(out, host->name_bytes);
    pack_key(out, "why");
    pack_cstr(out, why);
    pack_key(out, "ms");
    pack_int(out, ms);
}

static void watch_attempt(struct engine *engine, const struct host *host,
                          const struct flight *flight, struct findings *found)
{
    int64_t ms = 0;
    struct run *run = flight->run;
    uint32_t index = flight->task;
    struct task *task = &run->tasks[index];
    const char *why = why_stuck(engine, host, flight, &ms);
    if (!why || found->stuck_count >= MAX_TOLD)
        return;
    char number[16];
    struct synk_bytes worker = task_worker_name(run, index, number);
    found->stuck_count++;
    pack_map(&found->stuck, 6);
    pack_key(&found->stuck, "run");
    pack_cstr(&found->stuck, run->label);
    pack_key(&found->stuck, "worker");
    pack_string(&found->stuck, worker);
    pack_key(&found->stuck, "attempt");
    pack_uint(&found->stuck, task->attempts);
    pack_stuck(&found->stuck, host, why, ms);
    struct task_extra *extra = task_extra(task);
    if (extra->stuck_told == task->attempts)
        return;
    extra->stuck_told = task->attempts;
    struct buf *out = &engine->scratch_buf;
    buf_clear(out);
    pack_map(out, 4);
    pack_key(out, "what");
    pack_cstr(out, "stuck");
    pack_stuck(out, host, why, ms);
    event_emit(engine, &(struct event){.type = EVENT_STALE,
                                       .run = run,
                                       .worker = worker,
                                       .attempt = task->attempts,
                                       .payload = arena_copy(&engine->scratch, buf_bytes(out))});
}

/* ---- scans ---- */

static void scan(struct engine *engine, struct findings *found)
{
    for (size_t i = 0; i < engine->unit_count; i++)
        watch_unit(engine, engine->units[i], found);
    for (size_t i = 0; i < engine->host_count; i++) {
        const struct host *host = engine->hosts[i];
        for (size_t a = 0; host && a < host->flight_count; a++)
            watch_attempt(engine, host, &host->flight[a], found);
    }
}

static void findings_fini(struct findings *found)
{
    buf_fini(&found->stale);
    buf_fini(&found->stuck);
    buf_fini(&found->unpaused);
    buf_fini(&found->released);
}

static void pack_list(struct buf *out, const char *key, const struct buf *items, uint32_t count)
{
    pack_key(out, key);
    pack_array(out, count);
    if (items->size)
        buf_append(out, items->data, items->size);
}

void request_scan(struct engine *engine, struct request *request)
{
    struct findings found = {0};
    scan(engine, &found);
    struct buf *out = reply_open(engine);
    pack_map(out, 4);
    pack_list(out, "stale", &found.stale, found.stale_count);
    pack_list(out, "stuck", &found.stuck, found.stuck_count);
    pack_list(out, "unpaused", &found.unpaused, found.unpaused_count);
    pack_list(out, "released", &found.released, found.released_count);
    reply_close(engine, request);
    findings_fini(&found);
}

void watcher_start(struct engine *engine)
{
    if (engine->config.watch_interval_ms > 0)
        timers_set(&engine->timers, engine->now + engine->config.watch_interval_ms, TIMER_WATCH, 0,
                   0);
}

void watcher_timer(struct engine *engine)
{
    struct findings found = {0};
    /* What is unsaved could not be told, and what is told is not heard during a shutdown. */
    if (engine->store_ok && !engine->shutdown)
        scan(engine, &found);
    findings_fini(&found);
    watcher_start(engine);
}
