/*
 * Dispatch: which ready task goes to which host, and when.
 *
 * Ready tasks wait in queues, one for each class (function and tags), priority and width; within a
 * queue the runs' lanes take turns. A host is given tasks while it has a free slot, and beyond that
 * while the work expected to be queued there is below CREDIT_US for each slot; of a function that
 * was never measured there is no more than one for each slot. Where an attempt takes several slots
 * nothing is queued behind: what a host then has never exceeds its slots. Queues that use named
 * limits have turns of their own (see limits.c). Only hosts that gained room since
 * they were last full are looked at (open_hosts), so a flush costs what changed, not what exists.
 */
#include "supervisor/core/dispatch.h"

#include <stdlib.h>

#include "supervisor/core/encode.h"
#include "supervisor/core/limits.h"
#include "supervisor/core/queues.h"
#include "supervisor/core/task.h"

/* ---- lanes ---- */

void lane_link(struct engine *engine, struct lane *lane)
{
    if (lane->linked || !lane->count || !lane->queue)
        return;
    struct queue *queue = lane->queue;
    lane->linked = true;
    lane->turn = 0;
    lane->next = NULL;
    lane->previous = queue->last;
    *(queue->last ? &queue->last->next : &queue->first) = lane;
    queue->last = lane;
    queue->ready += lane->count;
    engine->dispatch_due = true;
}

void lane_unlink(struct engine *engine, struct lane *lane)
{
    (void)engine;
    if (!lane->linked)
        return;
    struct queue *queue = lane->queue;
    *(lane->previous ? &lane->previous->next : &queue->first) = lane->next;
    *(lane->next ? &lane->next->previous : &queue->last) = lane->previous;
    lane->next = lane->previous = NULL;
    lane->linked = false;
    queue->ready -= lane->count;
}

static struct lane *lane_for(struct run *run, struct queue *queue)
{
    if (run->last_lane && run->last_lane->queue == queue)
        return run->last_lane;
    uint64_t hash = index_number(queue ? queue->index : NONE);
    struct lane *lane = index_find(&run->lanes_by_queue, hash, NULL, NULL);
    if (!lane) {
        lane = mem_zalloc(1, sizeof(*lane));
        lane->run = run;
        lane->queue = queue;
        if (queue)
            queue->references++;
        lane->head = lane->tail = NONE;
        run->lanes =
            mem_grow(run->lanes, &run->lane_capacity, run->lane_count + 1, sizeof(*run->lanes));
        run->lanes[run->lane_count++] = lane;
        index_put(&run->lanes_by_queue, hash, lane);
    }
    run->last_lane = lane;
    return lane;
}

void lane_push(struct engine *engine, struct run *run, uint32_t task, struct queue *queue)
{
    struct lane *lane = lane_for(run, queue);
    struct task *t = &run->tasks[task];
    t->lane = lane;
    t->next = NONE;
    t->previous = lane->tail;
    *(lane->tail == NONE ? &lane->head : &run->tasks[lane->tail].next) = task;
    lane->tail = task;
    lane->count++;
    if (lane->linked)
        queue->ready++;
    else if (!run->held)
        lane_link(engine, lane);
    engine->dispatch_due = true;
}

void lane_remove(struct engine *engine, struct run *run, uint32_t task)
{
    struct task *t = &run->tasks[task];
    struct lane *lane = t->lane;
    *(t->previous == NONE ? &lane->head : &run->tasks[t->previous].next) = t->next;
    *(t->next == NONE ? &lane->tail : &run->tasks[t->next].previous) = t->previous;
    if (lane->linked && lane->count == 1)
        lane_unlink(engine, lane);
    else if (lane->linked)
        lane->queue->ready--;
    lane->count--;
    t->at = 0;
}

/* ---- hosts ---- */

bool host_is_open(const struct host *host)
{
    return host->state == HOST_UP && host->connected && host->synced && !host->draining &&
           !host->drained;
}

static bool may_take_more(const struct host *host)
{
    return host_is_open(host) &&
           (host->used < host->slots || host->expected_us < (uint64_t)host->slots * CREDIT_US) &&
           host->flight_count < (size_t)host->slots * CREDIT_TASKS;
}

void host_open(struct engine *engine, struct host *host)
{
    engine->dispatch_due = true;
    if (host->in_open)
        return;
    host->in_open = true;
    engine->open_hosts = mem_grow(engine->open_hosts, &engine->open_capacity,
                                  engine->open_count + 1, sizeof(*engine->open_hosts));
    engine->open_hosts[engine->open_count++] = host->index;
}

/* How many tasks of this queue the host takes now, `most` at most. A task wider than the host goes
 * there alone. */
static uint32_t room(const struct host *host, const struct queue *queue, uint32_t average_us,
                     uint32_t most)
{
    if (!may_take_more(host))
        return 0;
    uint32_t free_slots = host->used < host->slots ? host->slots - host->used : 0;
    uint32_t fits = free_slots / queue->slots;
    if (!host->flight_count && !fits)
        fits = 1;
    uint64_t budget = (uint64_t)host->slots * CREDIT_US;
    if (average_us && host->expected_us < budget && queue->slots == 1 && !host->wide) {
        uint64_t more = (budget - host->expected_us) / average_us;
        if (more > fits)
            fits = more > most ? most : (uint32_t)more;
    }
    size_t cap = (size_t)host->slots * CREDIT_TASKS - host->flight_count;
    if (fits > cap)
        fits = (uint32_t)cap;
    return fits < most ? fits : most;
}

/* Takes the first task of the queue, passing the turn on where it is used up. */
static void take(struct engine *engine, struct queue *queue, struct run **ret_run,
                 uint32_t *ret_task)
{
    struct lane *lane = queue->first;
    if (lane->turn >= TURN_TASKS && lane->next) {
        lane_unlink(engine, lane);
        lane_link(engine, lane);
        lane = queue->first;
    }
    lane->turn++;
    *ret_run = lane->run;
    *ret_task = lane->head;
}

static void hand_out(struct engine *engine, struct queue *queue, struct host *host)
{
    struct run *run;
    uint32_t task;
    take(engine, queue, &run, &task);
    struct task *t = &run->tasks[task];
    t->epoch = engine->epoch;
    if (t->flags & TASK_DOUBTED) {
        /* A host that was given up may have an attempt of an earlier epoch. From here on it is
         * stale, in the next life of the supervisor too: the record's epoch says so. */
        t->flags &= (uint16_t)~TASK_DOUBTED;
        task_record_add(engine, run, task);
    }
    t->attempts++;
    if (!encode_task(engine, host, run, task))
        return;
    task_detach(engine, run, task);
    task_attach(engine, run, task, host, TASK_DISPATCHED);
}

struct candidate {
    struct host *host;
    uint64_t load;
};

static int by_load(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->load != y->load)
        return x->load < y->load ? -1 : 1;
    return x->host->index < y->host->index ? -1 : x->host->index > y->host->index;
}

/* At most `most` tasks of the queue go to hosts; *ret_wanted: whether a host would take one.
 * Returns how many went. */
static uint64_t assign_queue(struct engine *engine, struct queue *queue, uint64_t most,
                             bool *ret_wanted)
{
    uint64_t given = 0;
    struct candidate *hosts =
        arena_alloc(&engine->scratch, (engine->open_count + 1) * sizeof(*hosts));
    size_t count = 0;
    const struct function *function = engine->functions[engine->classes[queue->class]->function];
    for (size_t i = 0; i < engine->open_count; i++) {
        struct host *host = engine->hosts[engine->open_hosts[i]];
        if (host_offers(engine, host, queue->class) && room(host, queue, function->average_us, 1))
            hosts[count++] = (struct candidate){host, (uint64_t)host->used * 1024 / host->slots};
    }
    *ret_wanted = count != 0;
    qsort(hosts, count, sizeof(*hosts), by_load);
    /* Free slots are filled one by one, least loaded host first; what is queued behind them goes in
     * pieces. */
    for (size_t left = count; queue->first && left && given < most;) {
        left = 0;
        for (size_t i = 0; i < count && queue->first && given < most; i++) {
            struct host *host = hosts[i].host;
            uint32_t piece = host->used + queue->slots <= host->slots ? 1 : TURN_TASKS;
            if (piece > most - given)
                piece = (uint32_t)(most - given);
            uint32_t n = room(host, queue, function->average_us, piece);
            left += n != 0;
            for (; n && queue->first; n--, given++)
                hand_out(engine, queue, host);
        }
    }
    return given;
}

static int by_turn(const void *a, const void *b)
{
    const struct queue *x = *(struct queue *const *)a, *y = *(struct queue *const *)b;
    if (x->served != y->served)
        return x->served < y->served ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* One turn of a queue that uses limits; false: it has no other in this round. */
static bool take_turn(struct engine *engine, struct queue *queue, bool is_alone)
{
    if (!queue->first)
        return false;
    bool wanted;
    uint64_t may_go = limits_room(engine, queue);
    uint64_t given = assign_queue(engine, queue, is_alone || !may_go ? may_go : 1, &wanted);
    if (!may_go && wanted)
        limits_close(engine, queue);
    if (given)
        queue->served = ++engine->servings;
    return given && queue->first;
}

/* The queues of the first one's priority that use limits, from there on. */
static void assign_limited(struct engine *engine, size_t first)
{
    int32_t priority = engine->queues[engine->queue_order[first]]->priority;
    struct queue **queues =
        arena_alloc(&engine->scratch, engine->limited_queues * sizeof(struct queue *));
    size_t count = 0;
    for (size_t i = first; i < engine->live_queues; i++) {
        struct queue *queue = engine->queues[engine->queue_order[i]];
        if (queue->priority != priority)
            break;
        if (queue->use_count && queue->first)
            queues[count++] = queue;
    }
    qsort(queues, count, sizeof(struct queue *), by_turn);
    while (count) {
        size_t kept = 0;
        bool is_alone = count == 1;
        for (size_t i = 0; i < count; i++)
            if (take_turn(engine, queues[i], is_alone))
                queues[kept++] = queues[i];
        count = kept;
    }
}

void dispatch_assign(struct engine *engine)
{
    if (!engine->dispatch_due || engine->shutdown)
        return;
    engine->dispatch_due = false;
    size_t kept = 0;
    for (size_t i = 0; i < engine->open_count; i++) {
        struct host *host = engine->hosts[engine->open_hosts[i]];
        if (may_take_more(host))
            engine->open_hosts[kept++] = host->index;
        else
            host->in_open = false;
    }
    engine->open_count = kept;
    /* By index: encoding may fail a task, which may ready others and add queues' lanes. */
    bool has_limited = false; /* those of `priority` have had their turns */
    int32_t priority = 0;
    bool wanted;
    engine->round++;
    for (size_t i = 0; i < engine->live_queues && engine->open_count; i++) {
        struct queue *queue = engine->queues[engine->queue_order[i]];
        if (!queue->first || (queue->use_count && has_limited && priority == queue->priority))
            continue;
        if (!queue->use_count) {
            assign_queue(engine, queue, UINT64_MAX, &wanted);
            continue;
        }
        has_limited = true;
        priority = queue->priority;
        assign_limited(engine, i);
    }
    for (size_t i = 0; i < engine->open_count; i++)
        outbox_close(engine, engine->hosts[engine->open_hosts[i]]);
}
