/* The engine's invariants, checked from scratch. Linear; for tests and the simulator. */
#include <stdlib.h>

#include "supervisor/core/model.h"
#include "supervisor/core/pool.h"
#include "supervisor/core/run.h"

/* Assertions of the product stay on in every build; this one is about a whole state. */
static void must(bool holds, const char *what)
{
    (void)what; /* in the core dump's frame */
    if (!holds)
        abort();
}

static void check_task(const struct engine *engine, const struct run *run, uint32_t index,
                       struct engine_counts *counts)
{
    const struct task *task = &run->tasks[index];
    must(task->state < TASK_STATES, "a state of the table");
    counts->ready_tasks += task->state == TASK_READY;
    counts->retry_wait_tasks += task->state == TASK_RETRY_WAIT;
    if (task->state == TASK_READY)
        must(task->lane && task->lane->run == run, "a ready task is in a lane of its run");
    if (task->state == TASK_DISPATCHED || task->state == TASK_RUNNING) {
        counts->dispatched_tasks++;
        must(task->host < engine->host_count && engine->hosts[task->host], "its host exists");
        const struct host *host = engine->hosts[task->host];
        must(task->position < host->flight_count && host->flight[task->position].run == run &&
                 host->flight[task->position].task == index,
             "its host has it where it says");
    }
    if (task->state == TASK_PENDING && run_is_graph(run) && !run->cancelling) {
        const struct worker_def *worker = &run->version->definition->workers[index];
        uint32_t waiting = 0;
        for (uint32_t d = 0; d < worker->depends_on_count; d++)
            waiting += !task_state_is_final(run->tasks[worker->depends_on[d].parent].state);
        must(task->waiting == waiting && (waiting > 0 || (task->flags & TASK_IN_TURN)),
             "a pending task waits for parents, or for its turn");
    }
}

static void check_lane(const struct run *run, const struct lane *lane)
{
    uint32_t count = 0, previous = NONE;
    for (uint32_t i = lane->head; i != NONE; i = run->tasks[i].next) {
        must(run->tasks[i].state == TASK_READY && run->tasks[i].lane == lane, "lane member");
        must(run->tasks[i].previous == previous, "lane is linked both ways");
        previous = i;
        count++;
    }
    must(count == lane->count && lane->tail == previous, "lane count");
    must(lane->linked == (lane->queue && count && !run->held), "lane in its queue when not held");
}

static void check_run(const struct engine *engine, const struct run *run,
                      struct engine_counts *counts)
{
    must(!run_status_is_final(run->status), "live runs are unfinished");
    must((run->status == RUN_RUNNING) == (run->tasks != NULL), "running runs have tasks");
    counts->live_runs++;
    counts->live_tasks += run->open;
    if (!run->tasks)
        return;
    must(run->held == run_is_held(engine, run), "held back while there is a reason");
    uint32_t by_state[TASK_STATES] = {0}, open = 0;
    for (uint32_t i = 0; i < run->task_count; i++) {
        check_task(engine, run, i, counts);
        by_state[run->tasks[i].state]++;
        open += !task_state_is_final(run->tasks[i].state);
    }
    must(memcmp(by_state, run->counts, sizeof(by_state)) == 0, "counts by state");
    must(open == run->open && open > 0, "a running run has open tasks");
    for (size_t i = 0; i < run->lane_count; i++)
        check_lane(run, run->lanes[i]);
}

static void check_host(const struct engine *engine, const struct host *host)
{
    uint64_t used = 0, expected = 0;
    uint32_t wide = 0;
    for (size_t i = 0; i < host->flight_count; i++) {
        const struct task *task = &host->flight[i].run->tasks[host->flight[i].task];
        must(task->host == host->index && task->position == i, "flight refers back");
        used += task->slots;
        expected += task->cost_us;
        wide += task->slots > 1;
    }
    must(used == host->used && expected == host->expected_us && wide == host->wide,
         "a host's load");
    must(host->state != HOST_LOST || !host->flight_count, "a lost host has nothing");
    must(!host->synced || host->connected, "synced hosts are connected");
    (void)engine;
}

static void check_limit(const struct engine *engine, const struct limit *limit)
{
    uint64_t used = 0;
    for (size_t h = 0; h < engine->host_count; h++) {
        const struct host *host = engine->hosts[h];
        for (size_t i = 0; host && i < host->flight_count; i++) {
            const struct task *task = &host->flight[i].run->tasks[host->flight[i].task];
            const struct queue *queue = task->holds ? engine->queues[task->holds - 1] : NULL;
            for (uint32_t u = 0; queue && u < queue->use_count; u++)
                used += queue->uses[u].limit == limit ? queue->uses[u].amount : 0;
        }
    }
    must(used == limit->used, "what is used of a limit");
}

static void count_run(const struct run *run, uint32_t *references)
{
    for (size_t i = 0; i < run->lane_count; i++)
        if (run->lanes[i]->queue)
            references[run->lanes[i]->queue->index]++;
    if (run->pool)
        references[run->pool->held_queue->index]++;
    for (uint32_t i = 0; run->tasks && i < run->task_count; i++)
        if (run->tasks[i].holds)
            references[run->tasks[i].holds - 1]++;
}

/* A queue is referred to as often as it says, so that it goes neither too early nor never. */
static void check_references(const struct engine *engine)
{
    uint32_t *references = mem_zalloc(engine->queue_count + 1, sizeof(*references));
    for (size_t i = 0; i < engine->unit_count; i++)
        for (const struct version *v = engine->units[i]->versions; v; v = v->next)
            for (uint32_t w = 0; w < v->definition->worker_count; w++)
                references[v->queues[w]->index]++;
    for (const struct run *run = engine->live_first; run; run = run->next)
        count_run(run, references);
    for (const struct run *run = engine->finished_first; run; run = run->next)
        count_run(run, references);
    for (size_t i = 0; i < engine->queue_count; i++)
        must(!engine->queues[i] || engine->queues[i]->references == references[i],
             "references to a queue");
    free(references);
    for (size_t i = 0; i < engine->limit_count; i++) {
        uint32_t uses = 0;
        for (size_t q = 0; q < engine->queue_count; q++)
            for (uint32_t u = 0; engine->queues[q] && u < engine->queues[q]->use_count; u++)
                uses += engine->queues[q]->uses[u].limit == engine->limits[i];
        must(uses == engine->limits[i]->references, "references to a limit");
    }
}

/* The pool's gate is the first paused one, and a name leads to an unfinished submission. */
static void check_pool(const struct engine *engine)
{
    bool has_paused = false;
    for (const struct run *run = engine->pool->first_run; run; run = run->unit_next) {
        has_paused |= run->paused;
        must(!run->paused || pool_is_held(engine, run), "what is paused is held");
        must(!run->name || pool_find(engine, bytes_str(run->name)), "a name is known");
    }
    must(has_paused == (engine->pool_gate != NULL), "there is a gate while one is paused");
    must(!engine->pool_gate || (engine->pool_gate->paused && engine->pool_gate->unit_previous) ||
             engine->pool_gate == engine->pool->first_run,
         "the gate is unfinished");
}

void engine_check(const struct engine *engine)
{
    struct engine_counts counts = {0};
    must(engine->work_count == 0 && engine->check_count == 0 && engine->start_count == 0,
         "no consequence is left");
    for (const struct run *run = engine->live_first; run; run = run->next)
        check_run(engine, run, &counts);
    for (size_t i = 0; i < engine->host_count; i++)
        if (engine->hosts[i])
            check_host(engine, engine->hosts[i]);
    must(counts.live_runs == engine->counts.live_runs, "live runs");
    must(counts.live_tasks == engine->counts.live_tasks, "live tasks");
    must(counts.ready_tasks == engine->counts.ready_tasks, "ready tasks");
    must(counts.dispatched_tasks == engine->counts.dispatched_tasks, "dispatched tasks");
    must(counts.retry_wait_tasks == engine->counts.retry_wait_tasks, "waiting tasks");
    for (size_t i = 0; i < engine->limit_count; i++)
        check_limit(engine, engine->limits[i]);
    for (size_t i = 0; i < engine->queue_count; i++) {
        if (!engine->queues[i])
            continue;
        uint64_t ready = 0;
        for (const struct lane *lane = engine->queues[i]->first; lane; lane = lane->next)
            ready += lane->count;
        must(ready == engine->queues[i]->ready, "a queue's count");
    }
    check_references(engine);
    check_pool(engine);
    for (const struct run *run = engine->finished_first; run && run->next; run = run->next)
        must(run->ended_at < run->next->ended_at ||
                 (run->ended_at == run->next->ended_at && run->id < run->next->id),
             "finished runs are in the order of their ends");
    for (size_t i = 0; i < engine->unit_count; i++) {
        const struct unit *unit = engine->units[i];
        uint32_t live = 0, running = 0;
        for (const struct run *run = unit->first_run; run; run = run->unit_next) {
            live++;
            running += run->status == RUN_RUNNING;
            must(run->start_due ? run->status == RUN_QUEUED && !run->track
                                : run->track && run->track->worker == run->worker,
                 "a run's track");
            must(!run->track || (run->track_previous ? run->track_previous->track_next == run
                                                     : run->track->first == run),
                 "a track is linked both ways");
        }
        must(live == unit->live_runs && running == unit->running_runs, "a unit's live runs");
    }
}
