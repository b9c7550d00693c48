/*
 * Retention: what may go of what has ended. The store does it, by its own tables, since it alone
 * knows everything that is kept; the engine tells it the bounds, every few seconds while things
 * happen. Memory keeps the summaries of the latest finished runs, in the order of their ends, and
 * drops by the same bounds, so that it never answers for a run that the store has removed.
 *
 * Invariant: the store is not told while a finished run is being loaded, since that run may be
 * about to go on. It is told in the tick's own batch, behind the records of the runs that go on.
 * Loading makes the store pause: a prune under way is told once more when it is over.
 */
#include "supervisor/core/retention.h"

#include <stdlib.h>

#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
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

/* Puts it into the batch, and forgets what is about to be removed. */
static void tell_store(struct engine *engine, const struct retention *retention)
{
    trim_memory(engine, retention->keep_runs ? retention->keep_runs : UINT64_MAX,
                retention->runs_before);
    engine->effects->batch.retains = true;
    engine->effects->batch.retention = *retention;
}

/* Until the store has done it, the looser bounds of every day do not come between. */
static void flush_prune(struct engine *engine, struct prune *prune)
{
    if (prune->sent && !prune->interrupted)
        return;
    struct retention retention = {
        .runs_before = bound(engine, prune->keep_runs_ms),
        .events_before = bound(engine, prune->keep_events_ms),
        .keep_runs = prune->keep_runs,
        .keep_events = prune->keep_events,
        .counts = !prune->sent,
    };
    tell_store(engine, &retention);
    if (!prune->sent)
        query_add(engine, QUERY_PRUNE)->token = prune->token;
    prune->sent = true;
    prune->interrupted = false;
}

void retention_flush(struct engine *engine)
{
    const struct engine_config *config = &engine->config;
    trim_memory(engine, LIMIT_FINISHED_RUNS, 0);
    if (!engine->store_ok || engine->loadings)
        return;
    if (engine->prune) {
        flush_prune(engine, engine->prune);
        return;
    }
    if (!engine->retention_due)
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
    tell_store(engine, &retention);
}

void retention_interrupted(struct engine *engine)
{
    if (engine->prune)
        engine->prune->interrupted = true;
}

/* ---- prune ---- */

/* A bound of the request, or the configured one where it has none; false when refused. */
static bool take_bound(struct engine *engine, const struct request *request, const char *name,
                       int64_t configured, int64_t *ret_bound)
{
    const struct synk_value *value = synk_value_get(request->body, name);
    *ret_bound = value_is_null(value) ? configured : synk_value_int(value, -1);
    if (*ret_bound >= 0)
        return true;
    request_fail(engine, request, SYNK_INVALID, 0, "'%s' must be 0 (no bound) or more", name);
    return false;
}

void request_prune(struct engine *engine, struct request *request)
{
    const struct engine_config *config = &engine->config;
    int64_t keep_runs_ms, keep_runs, keep_events_ms, keep_events;
    if (!take_bound(engine, request, "keepRunsMs", config->keep_runs_ms, &keep_runs_ms) ||
        !take_bound(engine, request, "keepRuns", (int64_t)config->keep_runs, &keep_runs) ||
        !take_bound(engine, request, "keepEventsMs", config->keep_events_ms, &keep_events_ms) ||
        !take_bound(engine, request, "keepEvents", (int64_t)config->keep_events, &keep_events))
        return;
    if (engine->prune) {
        request_fail(engine, request, SYNK_BUSY, RETRY_AFTER_MS,
                     "what was asked for before is still being removed");
        return;
    }
    struct prune *prune = mem_zalloc(1, sizeof(*prune));
    *prune = (struct prune){
        .request = *request,
        .keep_runs_ms = keep_runs_ms,
        .keep_events_ms = keep_events_ms,
        .keep_runs = (uint64_t)keep_runs,
        .keep_events = (uint64_t)keep_events,
        .token = ++engine->last_token,
    };
    prune->request.body = NULL;
    engine->prune = prune;
}

void retention_pruned(struct engine *engine, const struct input *input)
{
    struct prune *prune = engine->prune;
    if (!prune || prune->token != input->token)
        return;
    if (input->text.size) {
        request_fail(engine, &prune->request, SYNK_STORE_DOWN, RETRY_AFTER_MS, "%.*s",
                     (int)input->text.size, (const char *)input->text.data);
    } else {
        struct buf *out = reply_open(engine);
        pack_map(out, 2);
        pack_key(out, "runs");
        pack_uint(out, input->removed_runs);
        pack_key(out, "events");
        pack_uint(out, input->removed_events);
        reply_close(engine, &prune->request);
    }
    engine->prune = NULL;
    free(prune);
}
