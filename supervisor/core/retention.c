/*
 * Retention: finished runs are removed from the store by count and age, in slices; memory keeps the
 * summaries of the latest. Each retained run holds a reference to its version, so a definition goes
 * when the last run that used it does. Events are trimmed by telling the store a number
 * (META "trim_events"): rows up to it may go.
 */
#include <stdio.h>
#include <stdlib.h>

#include "supervisor/core/parts.h"

enum { SLICE = 1000, MARK_INTERVAL_MS = 600 * 1000, MARKS = 1024 };

static struct retained *at(const struct engine *engine, size_t i)
{
    return &engine->retained[engine->retained_first + i];
}

void retention_add(struct engine *engine, const struct run *run)
{
    if (engine->retained_first > engine->retained_count && engine->retained_first > 4096) {
        memmove(engine->retained, at(engine, 0),
                engine->retained_count * sizeof(*engine->retained));
        engine->retained_first = 0;
    }
    size_t end = engine->retained_first + engine->retained_count;
    engine->retained =
        mem_grow(engine->retained, &engine->retained_capacity, end + 1, sizeof(*engine->retained));
    engine->retained[end] = (struct retained){run->id, run->ended_at, run->version};
    engine->retained_count++;
}

static struct retained *find(const struct engine *engine, uint64_t run)
{
    for (size_t i = engine->retained_count; i-- > 0;)
        if (at(engine, i)->run == run)
            return at(engine, i);
    return NULL;
}

bool retention_has(const struct engine *engine, uint64_t run)
{
    /* While records are loaded each run comes once; later only runs that left memory are asked for. */
    return engine->started && find(engine, run);
}

void retention_forget(struct engine *engine, const struct run *run)
{
    struct retained *retained = find(engine, run->id);
    if (!retained)
        return;
    retained->run = 0;
    retained->version = NULL;
}

static void remove_oldest(struct engine *engine)
{
    struct retained retained = *at(engine, 0);
    engine->retained_first++;
    engine->retained_count--;
    if (!retained.run)
        return;
    struct record *record = batch_add(&engine->effects->batch, RECORD_RUN);
    record->remove = true;
    record->run.run = retained.run;
    struct run *run = run_find(engine, retained.run);
    if (run && !run->dirty) {
        run_unlink_finished(engine, run);
        run_free(run);
    } else if (run) {
        /* Its record is about to be written again: it goes next time. */
        engine->effects->batch.record_count--;
        engine->retained_first--;
        engine->retained_count++;
        return;
    }
    version_unref(engine, retained.version);
}

static void trim_events(struct engine *engine)
{
    const struct engine_config *config = &engine->config;
    if (!engine->mark_count ||
        engine->wall - engine->marks[(engine->mark_first + engine->mark_count - 1) % MARKS].at >=
            MARK_INTERVAL_MS) {
        if (engine->mark_count == MARKS) {
            engine->mark_first = (engine->mark_first + 1) % MARKS;
            engine->mark_count--;
        }
        engine->marks[(engine->mark_first + engine->mark_count++) % MARKS] =
            (struct event_mark){engine->last_event, engine->wall};
    }
    uint64_t upto = 0;
    if (config->keep_events && engine->last_event > config->keep_events)
        upto = engine->last_event - config->keep_events;
    while (config->keep_events_ms && engine->mark_count &&
           engine->marks[engine->mark_first].at < engine->wall - config->keep_events_ms) {
        if (engine->marks[engine->mark_first].seq > upto)
            upto = engine->marks[engine->mark_first].seq;
        engine->mark_first = (engine->mark_first + 1) % MARKS;
        engine->mark_count--;
    }
    /* Not for every event: a row of the store holds a batch of them. */
    if (upto < engine->trimmed_events + 1000)
        return;
    engine->trimmed_events = upto;
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)upto);
    struct record *record = batch_add(&engine->effects->batch, RECORD_META);
    record->meta.name = keep_bytes(engine, bytes_str("trim_events"));
    record->meta.value = keep_bytes(engine, bytes_str(text));
}

void retention_slow(struct engine *engine)
{
    const struct engine_config *config = &engine->config;
    if (!engine->store_ok)
        return;
    for (int i = 0; i < SLICE && engine->retained_count; i++) {
        bool too_many = config->keep_runs && engine->retained_count > config->keep_runs;
        bool too_old = config->keep_runs_ms &&
                       at(engine, 0)->ended_at < engine->wall - config->keep_runs_ms;
        if (!too_many && !too_old && at(engine, 0)->run)
            break;
        remove_oldest(engine);
    }
    trim_events(engine);
}

void retention_trim_memory(struct engine *engine)
{
    while (engine->finished_count > LIMIT_FINISHED_RUNS) {
        struct run *run = engine->finished_first;
        if (run->dirty || run->tasks)
            return;
        run_unlink_finished(engine, run);
        run_free(run);
    }
}
