/*
 * Retention: what may go of what has ended. The store does it, by its own tables, since it alone
 * knows everything that is kept; the engine tells it the bounds, every few seconds while things
 * happen. Memory keeps the summaries of the latest finished runs, in the order of their ends, and
 * drops by the same bounds, so that it never answers for a run that the store has removed.
 *
 * Invariant: the store is not told while a finished run is being loaded, since that run may be
 * about to go on. It is told in the tick's own batch, behind the records of the runs that go on.
 */
#include "supervisor/core/retention.h"

#include "supervisor/core/registry.h"
#include "supervisor/core/run.h"

void retention_drop(struct engine *engine, struct run *run)
{
    struct version *version = run->version;
    run_unlink_finished(engine, run);
    run_free(run);
    version_unref(version);
}

/* Drops summaries beyond the latest `most` and those of runs that ended before. */
static void trim_memory(struct engine *engine, uint64_t most, int64_t before)
{
    while (engine->finished_first &&
           (engine->finished_count > most || engine->finished_first->ended_at < before)) {
        struct run *run = engine->finished_first;
        if (run->dirty || run->tasks)
            return;
        retention_drop(engine, run);
    }
}

static bool is_worthwhile(const struct engine *engine)
{
    return engine->last_event != engine->retained_event ||
           engine->now - engine->retained_at >= RETENTION_IDLE_MS;
}

static int64_t bound(const struct engine *engine, int64_t keep_ms)
{
    return keep_ms && keep_ms < engine->wall ? engine->wall - keep_ms : 0;
}

void retention_flush(struct engine *engine)
{
    const struct engine_config *config = &engine->config;
    trim_memory(engine, LIMIT_FINISHED_RUNS, 0);
    if (!engine->retention_due || !engine->store_ok || engine->loadings)
        return;
    engine->retention_due = false;
    if (!is_worthwhile(engine))
        return;
    engine->retained_event = engine->last_event;
    engine->retained_at = engine->now;
    struct retention retention = {
        .runs_before = bound(engine, config->keep_runs_ms),
        .events_before = bound(engine, config->keep_events_ms),
        .keep_runs = config->keep_runs,
        .keep_events = config->keep_events,
    };
    trim_memory(engine, config->keep_runs ? config->keep_runs : UINT64_MAX, retention.runs_before);
    engine->effects->batch.retains = true;
    engine->effects->batch.retention = retention;
}
