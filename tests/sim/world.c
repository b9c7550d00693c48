/*
 * The agenda, the faults, and one seed from its start to its end: a phase with faults, then one
 * without, in which everything must finish.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim.h"

/* After the faults, all must be finished within this: retries of slow tasks in long graphs
 * included. */
#define PATIENCE_MS (2 * 3600 * 1000)

struct happening {
    int64_t at;
    uint64_t serial;
    happening_run run;
    void *target;
    uint64_t argument;
};

static bool is_before(const struct happening *a, const struct happening *b)
{
    return a->at != b->at ? a->at < b->at : a->serial < b->serial;
}

void world_at(struct world *world, int64_t at, happening_run run, void *target, uint64_t argument)
{
    world->agenda = mem_grow(world->agenda, &world->agenda_capacity, world->agenda_count + 1,
                             sizeof(*world->agenda));
    struct happening new = {at < world->now ? world->now : at, world->agenda_serial++, run, target,
                            argument};
    size_t place = world->agenda_count++;
    while (place && is_before(&new, &world->agenda[(place - 1) / 2])) {
        world->agenda[place] = world->agenda[(place - 1) / 2];
        place = (place - 1) / 2;
    }
    world->agenda[place] = new;
}

static struct happening take_first(struct world *world)
{
    struct happening first = world->agenda[0], last = world->agenda[--world->agenda_count];
    size_t place = 0;
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= world->agenda_count)
            break;
        if (child + 1 < world->agenda_count &&
            is_before(&world->agenda[child + 1], &world->agenda[child]))
            child++;
        if (!is_before(&world->agenda[child], &last))
            break;
        world->agenda[place] = world->agenda[child];
        place = child;
    }
    world->agenda[place] = last;
    return first;
}

void world_fail(struct world *world, const char *format, ...)
{
    if (world->failure[0])
        return;
    va_list arguments;
    va_start(arguments, format);
    int size =
        snprintf(world->failure, sizeof(world->failure), "at %.3f s: ", (double)world->now / 1000);
    vsnprintf(world->failure + size, sizeof(world->failure) - (size_t)size, format, arguments);
    va_end(arguments);
    world_trace(world, "VIOLATED: %s", world->failure);
}

void world_trace(struct world *world, const char *format, ...)
{
    if (!world->verbose)
        return;
    va_list arguments;
    va_start(arguments, format);
    printf("%10.3f ", (double)world->now / 1000);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

/* Faults: each comes back after a while, until the healing. */

static bool again(struct world *world, happening_run run, int64_t mean_ms)
{
    if (world->healed || !mean_ms)
        return false;
    world_at(world, world->now + random_spread(&world->random, mean_ms) + 1, run, NULL, 0);
    return true;
}

static void fault_crash(struct world *world, void *target, uint64_t argument)
{
    (void)target;
    if (again(world, fault_crash, world->plan.crash_ms) && argument == 0)
        supervisor_crash(world);
}

static void fault_stop(struct world *world, void *target, uint64_t argument)
{
    (void)target;
    if (!again(world, fault_stop, world->plan.stop_ms) || argument)
        return;
    int64_t pause = random_spread(&world->random, 8000);
    world_trace(world, "supervisor is stopped for %lld ms", (long long)pause);
    world->totals->stops++;
    world->supervisor.stopped_until = world->now + pause;
}

static void fault_shutdown(struct world *world, void *target, uint64_t argument)
{
    (void)target;
    if (!again(world, fault_shutdown, world->plan.shutdown_ms) || argument)
        return;
    supervisor_shutdown(world, random_spread(&world->random, 5000),
                        random_next(&world->random) % 2);
}

static struct sim_host *pick_host(struct world *world)
{
    return &world->hosts[random_next(&world->random) % world->host_count];
}

static struct endpoint *pick_endpoint(struct world *world)
{
    uint64_t which = random_next(&world->random) % (world->host_count + world->client_count);
    return which < world->host_count ? &world->hosts[which].endpoint
                                     : &world->clients[which - world->host_count].endpoint;
}

static void fault_host_crash(struct world *world, void *target, uint64_t argument)
{
    (void)target;
    if (again(world, fault_host_crash, world->plan.host_crash_ms) && argument == 0)
        sim_host_crash(world, pick_host(world));
}

static void fault_cut(struct world *world, void *target, uint64_t argument)
{
    (void)target;
    if (!again(world, fault_cut, world->plan.cut_ms) || argument)
        return;
    struct endpoint *endpoint = pick_endpoint(world);
    int64_t until = world->now + random_spread(&world->random, 10000);
    uint64_t sides = 1 + random_next(&world->random) % 3;
    world_trace(world, "cut of %s peer %u until %.3f, sides %llu",
                endpoint->socket == SOCKET_HOSTS ? "host" : "client", endpoint->peer,
                (double)until / 1000, (unsigned long long)sides);
    world->totals->cuts++;
    if (sides & 1)
        endpoint->cut_up_until = until;
    if (sides & 2)
        endpoint->cut_down_until = until;
}

static void fault_reset(struct world *world, void *target, uint64_t argument)
{
    (void)target;
    if (!again(world, fault_reset, world->plan.reset_ms) || argument)
        return;
    struct endpoint *endpoint = pick_endpoint(world);
    world_trace(world, "connection of %s peer %u breaks",
                endpoint->socket == SOCKET_HOSTS ? "host" : "client", endpoint->peer);
    world->totals->resets++;
    network_break(world, endpoint);
}

static void fault_clock(struct world *world, void *target, uint64_t argument)
{
    (void)target;
    if (!again(world, fault_clock, world->plan.clock_jump_ms) || argument)
        return;
    world->totals->clock_jumps++;
    /* Two days to either side: longer than anything that lives by a clock. */
    world->wall_offset = random_between(&world->random, -172800000, 172800000);
    world_trace(world, "the wall clock jumps by %lld ms in all", (long long)world->wall_offset);
}

static void finish(struct world *world, void *target, uint64_t resumed);

static void heal(struct world *world, void *target, uint64_t argument)
{
    (void)target, (void)argument;
    world_trace(world, "faults heal");
    world->healed = true;
    for (unsigned i = 0; i < world->host_count; i++)
        world->hosts[i].endpoint.cut_up_until = world->hosts[i].endpoint.cut_down_until = 0;
    for (unsigned i = 0; i < world->client_count; i++)
        world->clients[i].endpoint.cut_up_until = world->clients[i].endpoint.cut_down_until = 0;
    world->supervisor.stopped_until = 0;
    /* A fraction of the tasks failing is the work's own; crashes of runners are a fault. */
    world->plan.task_crashes = 0;
    finish(world, NULL, 0);
}

/* Every second after the healing: is all done? */
static void finish(struct world *world, void *target, uint64_t resumed)
{
    (void)target;
    if (!resumed)
        resumed = client_resume_all(world);
    else if (client_all_answered(world) && world->horizon == UINT64_MAX)
        world->horizon = ledger_last_run(world);
    else if (world->horizon != UINT64_MAX && ledger_all_ended(world)) {
        world->agenda_count = 0;
        return;
    }
    if (world->now > world->heal_at + PATIENCE_MS) {
        if (ledger_all_ended(world))
            world_fail(world, "a request is never answered");
        world->agenda_count = 0;
        return;
    }
    world_at(world, world->now + 1000, finish, NULL, resumed);
}

/* The seed's plan. */

static int64_t maybe(struct world *world, int64_t low, int64_t high)
{
    int64_t value = random_between(&world->random, low, high);
    return random_next(&world->random) % 2 ? value : 0;
}

static void draw_plan(struct world *world)
{
    struct random *random = &world->random;
    struct plan *plan = &world->plan;
    plan->faults_ms = random_between(random, 10000, 60000);
    plan->latency_ms = random_between(random, 0, 20);
    plan->commit_ms = random_between(random, 1, 20);
    plan->task_ms = random_next(random) % 4 ? random_between(random, 1, 500)
                                            : random_between(random, 500, 6000);
    plan->request_ms = random_between(random, 100, 2000);
    plan->task_fails = (uint32_t)random_between(random, 0, 200000);
    plan->graphs_only = random_next(random) % 4 == 0;
    plan->schedules = random_next(random) % 4 == 0;
    plan->limits = random_next(random) % 2;
    plan->wide = random_next(random) % 2;
    plan->local = random_next(random) % 2;
    plan->releases = random_next(random) % 4 == 0;
    plan->sets = random_next(random) % 2;
    plan->delays = random_next(random) % 2;
    plan->pool = random_next(random) % 2;
    plan->resizes = random_next(random) % 2;
    plan->drains = random_next(random) % 2;
    world->host_count = 1 + (unsigned)(random_next(random) % 4);
    world->client_count = 1 + (unsigned)(random_next(random) % 3);
    world->unit_count = 2 + (unsigned)(random_next(random) % (MAX_UNITS - 1));
    if (random_next(random) % 16 == 0)
        return; /* a calm seed */
    plan->crash_ms = maybe(world, 2000, 20000);
    plan->stop_ms = maybe(world, 5000, 40000);
    plan->host_crash_ms = maybe(world, 2000, 20000);
    plan->cut_ms = maybe(world, 2000, 20000);
    plan->reset_ms = maybe(world, 2000, 20000);
    plan->clock_jump_ms = maybe(world, 10000, 40000);
    plan->shutdown_ms = random_next(random) % 4 ? 0 : random_between(random, 5000, 30000);
    plan->keep_runs = random_next(random) % 4 ? 0 : (uint64_t)random_between(random, 1, 50);
    plan->torn = (uint32_t)maybe(world, 100, 5000);
    plan->unknown = (uint32_t)maybe(world, 100, 5000);
    plan->refused = (uint32_t)maybe(world, 100, 5000);
    plan->loss = (uint32_t)maybe(world, 1000, 200000);
    plan->repeat = (uint32_t)maybe(world, 1000, 200000);
    plan->spool_lost = (uint32_t)maybe(world, 100000, 1000000);
    plan->task_crashes = (uint32_t)maybe(world, 1000, 100000);
}

static void draw_units(struct world *world)
{
    for (unsigned i = 0; i < world->unit_count; i++) {
        struct sim_unit *unit = &world->units[i];
        unit->is_process = random_next(&world->random) % 4 != 0;
        if (unit->is_process)
            snprintf(unit->id, sizeof(unit->id), "p%u", i);
        else
            snprintf(unit->id, sizeof(unit->id), "s%u", i);
    }
}

static void begin(struct world *world)
{
    draw_plan(world);
    draw_units(world);
    world->packets.previous = world->packets.next = &world->packets;
    vault_init(&world->vault);
    for (unsigned i = 0; i < world->host_count; i++)
        sim_host_init(world, &world->hosts[i], i);
    supervisor_start(world);
    for (unsigned i = 0; i < world->host_count; i++)
        if (!world->hosts[i].is_local)
            sim_host_start(world, &world->hosts[i]);
    for (unsigned i = 0; i < world->client_count; i++)
        client_init(world, &world->clients[i], i);
    static const happening_run faults[] = {fault_crash, fault_stop,  fault_host_crash, fault_cut,
                                           fault_reset, fault_clock, fault_shutdown};
    /* With an argument a fault only plans its first time. */
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        world_at(world, 0, faults[i], NULL, 1);
    world->heal_at = world->plan.faults_ms;
    world_at(world, world->heal_at, heal, NULL, 0);
}

static void end(struct world *world)
{
    supervisor_free(world);
    for (unsigned i = 0; i < world->host_count; i++)
        sim_host_fini(&world->hosts[i]);
    for (unsigned i = 0; i < world->client_count; i++)
        client_fini(&world->clients[i]);
    network_free(world);
    vault_fini(&world->vault);
    ledger_fini(&world->ledger);
    expression_free(world->expression);
    free(world->agenda);
}

bool world_run(uint64_t seed, enum mutation mutation, bool verbose, struct buf *effects_trace,
               struct totals *totals, char *failure)
{
    struct world *world = mem_zalloc(1, sizeof(*world));
    world->seed = seed;
    world->horizon = UINT64_MAX;
    world->random.state = seed * 0x9e3779b97f4a7c15u + 1;
    world->verbose = verbose;
    world->mutation = mutation;
    world->effects_trace = effects_trace;
    world->totals = totals;
    world->expression = expression_new();
    world->evaluator = expression_evaluator(world->expression);
    world->checker = expression_checker(world->expression);
    begin(world);
    while (world->agenda_count && !world->failure[0]) {
        struct happening next = take_first(world);
        world->now = next.at;
        next.run(world, next.target, next.argument);
    }
    if (!world->failure[0])
        ledger_check_end(world);
    totals->simulated_ms += (uint64_t)world->now;
    bool held = !world->failure[0];
    memcpy(failure, world->failure, sizeof(world->failure));
    end(world);
    free(world);
    return held;
}
