/*
 * A worker host: the real logic of worker-host/host.h, with fake runners that take as long and end
 * as the seed says. Stands in for its daemon.
 *
 * Invariant: a runner's first task is the only one that may have begun; happenings about a task or
 * a host that is gone are told by their serial and do nothing.
 */
#include <stdlib.h>

#include "proto/pack.h"
#include "tests/sim/sim.h"

static void act(struct world *world, struct sim_host *host);
static void begin_next(struct world *world, void *target, uint64_t argument);

static const struct synk_bytes function_names[] = {{"sim.work", 8}, {"sim.rare", 8}};
static const struct synk_bytes tag_names[] = {{"gpu", 3}};

/* A host's life and one of its slots in one number, for happenings. */
static uint64_t slot_stamp(const struct sim_host *host, uint32_t slot, uint64_t serial)
{
    return (host->life << 40) | (serial << 8) | slot;
}

void sim_host_init(struct world *world, struct sim_host *host, unsigned index)
{
    static const uint32_t slots[] = {1, 2, 4};
    *host = (struct sim_host){.index = index,
                              .slots = slots[random_next(&world->random) % 3],
                              .endpoint = {.socket = SOCKET_HOSTS}};
    /* What takes two slots has a place. */
    if (index == 0 && world->plan.wide && host->slots == 1)
        host->slots = 2;
    host->is_local = index == 0 && world->plan.local;
    memcpy(host->name, host->is_local ? "local\0" : "host-0", 7);
    if (!host->is_local)
        host->name[5] = (char)('0' + index);
}

static void stop(struct sim_host *host)
{
    host_free(host->host);
    host->host = NULL;
    host->life++;
    for (uint32_t i = 0; i < MAX_SLOTS; i++) {
        free(host->runners[i].tasks);
        host->runners[i] = (struct runner){.serial = host->runners[i].serial};
    }
}

void sim_host_fini(struct sim_host *host)
{
    stop(host);
    host_effects_fini(&host->effects);
    network_fini(&host->endpoint);
    buf_fini(&host->spool);
}

static struct host_input make_input(const struct world *world, const struct sim_host *host,
                                    enum host_input_kind kind)
{
    return (struct host_input){
        .kind = kind, .now_ms = world->now + host->clock_offset, .wall_ms = world_wall(world)};
}

static void time_comes(struct world *world, void *target, uint64_t life);

static void arm(struct world *world, struct sim_host *host)
{
    int64_t due = host_next_due(host->host);
    if (due == INT64_MAX)
        return;
    int64_t at = due - host->clock_offset;
    if (at <= world->now)
        at = world->now + 1;
    if (at >= host->timer_at && host->timer_at > world->now)
        return;
    host->timer_at = at;
    world_at(world, at, time_comes, host, host->life);
}

/* One input, and what follows from it. */
static void step(struct world *world, struct sim_host *host, struct host_input *input)
{
    uint64_t life = host->life;
    host_step(host->host, input, &host->effects);
    act(world, host);
    if (!host->host || host->life != life)
        return;
    host_flush(host->host, input->now_ms, input->wall_ms, &host->effects);
    act(world, host);
    if (host->host && host->life == life)
        arm(world, host);
}

static void time_comes(struct world *world, void *target, uint64_t life)
{
    struct sim_host *host = target;
    if (!host->host || host->life != life || host->timer_at != world->now)
        return;
    struct host_input input = make_input(world, host, HOST_TIME);
    step(world, host, &input);
}

static void receive(struct world *world, void *owner, const struct packet *packet)
{
    struct sim_host *host = owner;
    if (!host->host)
        return;
    struct host_input input = make_input(world, host, HOST_MESSAGE);
    input.header = packet->header;
    input.body = buf_bytes(&packet->body);
    input.values = buf_bytes(&packet->values);
    step(world, host, &input);
}

static void runner_ready(struct world *world, void *target, uint64_t stamp)
{
    struct sim_host *host = target;
    uint32_t slot = stamp & 0xff;
    if (!host->host || host->life != stamp >> 40)
        return;
    if (host->runners[slot].closed)
        return;
    host->runners[slot].ready = true;
    struct host_input input = make_input(world, host, HOST_RUNNER_READY);
    input.slot = slot;
    step(world, host, &input);
}

void sim_host_start(struct world *world, struct sim_host *host)
{
    struct host_config config;
    if (host->host)
        return;
    host->life++;
    host->clock_offset = random_between(&world->random, 1000, 1000000000);
    host->timer_at = 0;
    host_config_defaults(&config);
    config.name = host->name;
    config.version = "sim";
    config.instance = ++world->last_instance;
    config.pid = host->pid = 1000 + (int64_t)world->last_instance;
    config.slots = host->slots;
    config.functions = function_names;
    /* The first has everything, so that nothing waits for ever. */
    config.function_count = host->index == 0 ? 2 : 1;
    config.tags = tag_names;
    config.tag_count = host->index % 2 == 0;
    config.leaves = false;
    config.seed = random_next(&world->random);
    host->host = host_new(&config);
    host_restore(host->host, buf_bytes(&host->spool));
    world_trace(world, "%s starts, instance %llu, spool of %zu bytes", host->name,
                (unsigned long long)config.instance, host->spool.size);
    host->endpoint.owner = host;
    host->endpoint.receive = receive;
    network_open(world, &host->endpoint);
    struct host_input input = make_input(world, host, HOST_START);
    step(world, host, &input);
    for (uint32_t i = 0; i < host->slots && host->host; i++)
        world_at(world, world->now + random_spread(&world->random, 20), runner_ready, host,
                 slot_stamp(host, i, 0));
}

static void start_again(struct world *world, void *target, uint64_t life)
{
    struct sim_host *host = target;
    if (!host->host && host->life == life)
        sim_host_start(world, host);
}

static void leave(struct world *world, struct sim_host *host)
{
    network_close(world, &host->endpoint);
    stop(host);
    if (host->is_local)
        supervisor_local_ended(world, host->pid);
    else
        world_at(world, world->now + random_spread(&world->random, 5000) + 20, start_again, host,
                 host->life);
}

void sim_host_crash(struct world *world, struct sim_host *host)
{
    if (!host->host)
        return;
    world_trace(world, "%s crashes", host->name);
    world->totals->host_crashes++;
    if (random_chance(&world->random, world->plan.spool_lost)) {
        world->totals->spools_lost++;
        host->spool.size = random_next(&world->random) % (host->spool.size + 1);
    }
    leave(world, host);
}

/* Runners. */

static void encode_result(struct world *world, struct attempt_id id, struct buf *out)
{
    pack_map(out, 3);
    pack_key(out, "v");
    pack_int(out, random_between(&world->random, 0, 9));
    pack_key(out, "task");
    pack_uint(out, id.task);
    pack_key(out, "attempt");
    pack_uint(out, (uint64_t)id.epoch << 32 | id.attempt);
}

static struct runner *find_runner(struct sim_host *host, uint64_t stamp, uint32_t *ret_slot)
{
    *ret_slot = stamp & 0xff;
    struct runner *runner = &host->runners[*ret_slot];
    bool current = host->host && host->life == stamp >> 40 && runner->runs &&
                   (runner->serial & 0xffffffff) == (stamp >> 8 & 0xffffffff);
    return current ? runner : NULL;
}

static void pop_task(struct runner *runner)
{
    memmove(runner->tasks, runner->tasks + 1, --runner->task_count * sizeof(*runner->tasks));
    runner->runs = runner->asked = false;
    runner->serial++;
}

static void wake_runner(struct world *world, struct sim_host *host, uint32_t slot)
{
    struct runner *runner = &host->runners[slot];
    if (runner->ready && !runner->runs && runner->task_count)
        world_at(world, world->now, begin_next, host, slot_stamp(host, slot, runner->serial));
}

/* The runner dies under its first task; another takes its place. */
static void die(struct world *world, struct sim_host *host, uint32_t slot, int signal)
{
    struct runner *runner = &host->runners[slot];
    struct msg_report report = {.outcome = OUTCOME_CRASHED,
                                .exit_status = -1,
                                .signal = signal,
                                .user_us = 1,
                                .system_us = 1,
                                .max_rss_kib = 1,
                                .started_at = runner->started_at,
                                .ended_at = world_wall(world),
                                .error = bytes_str("the runner died")};
    struct host_input input = make_input(world, host, HOST_RUNNER_DEAD);
    input.slot = slot;
    input.report = &report;
    input.blamed = runner->runs;
    if (runner->runs)
        ledger_ended(world, runner->tasks[0].id, OUTCOME_CRASHED, (struct synk_bytes){NULL, 0});
    runner->task_count = 0;
    runner->ready = runner->runs = runner->asked = false;
    runner->serial++;
    world_at(world, world->now + random_between(&world->random, 1, 50), runner_ready, host,
             slot_stamp(host, slot, 0));
    step(world, host, &input);
}

static void emit_milestone(struct world *world, struct sim_host *host, uint32_t slot)
{
    struct msg_report report = {.kind = REPORT_MILESTONE,
                                .name = bytes_str("half-way"),
                                .payload = bytes_str("\x05"),
                                .at = world_wall(world)};
    struct host_input input = make_input(world, host, HOST_RUNNER_MILESTONE);
    input.slot = slot;
    input.report = &report;
    step(world, host, &input);
}

static void task_ends(struct world *world, void *target, uint64_t stamp)
{
    struct sim_host *host = target;
    uint32_t slot;
    struct runner *runner = find_runner(host, stamp, &slot);
    if (!runner)
        return;
    if (random_chance(&world->random, world->plan.task_crashes)) {
        die(world, host, slot, 11);
        return;
    }
    if (random_chance(&world->random, 50000))
        emit_milestone(world, host, slot);
    runner = find_runner(host, stamp, &slot);
    if (!runner)
        return;
    struct attempt_id id = runner->tasks[0].id;
    bool fails = random_chance(&world->random, world->plan.task_fails);
    struct buf result = {0};
    encode_result(world, id, &result);
    struct msg_report report = {.outcome = fails ? OUTCOME_FAILED : OUTCOME_SUCCEEDED,
                                .started_at = runner->started_at,
                                .ended_at = world_wall(world),
                                .execution_us = 1000,
                                .exit_status = fails ? 1 : 0,
                                .user_us = 1,
                                .system_us = 1,
                                .max_rss_kib = 1,
                                .result = fails ? (struct synk_bytes){NULL, 0} : buf_bytes(&result),
                                .error =
                                    fails ? bytes_str("it failed") : (struct synk_bytes){NULL, 0}};
    struct host_input input = make_input(world, host, HOST_RUNNER_RESULT);
    input.slot = slot;
    input.report = &report;
    input.asked_to_end = runner->asked && random_next(&world->random) % 2;
    /* A task that saw that it was to end is reported as ended, whatever it returned. */
    ledger_ended(world, id, input.asked_to_end ? OUTCOME_CANCELLED : report.outcome, report.result);
    pop_task(runner);
    step(world, host, &input);
    buf_fini(&result);
    if (host->host)
        wake_runner(world, host, slot);
}

static void begin_next(struct world *world, void *target, uint64_t stamp)
{
    struct sim_host *host = target;
    uint32_t slot = stamp & 0xff;
    struct runner *runner = &host->runners[slot];
    if (!host->host || host->life != stamp >> 40 || !runner->ready || runner->runs ||
        !runner->task_count)
        return;
    runner->runs = true;
    runner->started_at = world_wall(world);
    runner->started_ms = world->now + host->clock_offset;
    ledger_started(world, runner->tasks[0].id);
    int64_t took = random_spread(&world->random, world->plan.task_ms);
    if (random_chance(&world->random, 10000))
        took += random_between(&world->random, 5000, 30000);
    world_at(world, world->now + took, task_ends, host, slot_stamp(host, slot, runner->serial));
    struct host_input input = make_input(world, host, HOST_RUNNER_STARTED);
    input.slot = slot;
    input.started_at = runner->started_at;
    input.started_ms = runner->started_ms;
    step(world, host, &input);
}

static void end_now(struct world *world, void *target, uint64_t stamp)
{
    struct sim_host *host = target;
    uint32_t slot;
    if (find_runner(host, stamp, &slot))
        die(world, host, slot, 9);
}

/* Asked, a task ends in half of the cases; SIGTERM ends most, SIGKILL all. */
static void end_task(struct world *world, struct sim_host *host, uint32_t slot, enum host_end how)
{
    struct runner *runner = &host->runners[slot];
    if (!runner->runs)
        return;
    uint64_t stamp = slot_stamp(host, slot, runner->serial);
    runner->asked = true;
    int64_t at = world->now + random_between(&world->random, 0, 30);
    if (how == END_ASK && random_next(&world->random) % 2)
        world_at(world, at, task_ends, host, stamp);
    else if (how == END_KILL || (how == END_TERM && random_next(&world->random) % 4))
        world_at(world, at, end_now, host, stamp);
}

static void give(struct world *world, struct sim_host *host, uint32_t slot,
                 const struct host_task *task)
{
    struct runner *runner = &host->runners[slot];
    runner->tasks = mem_grow(runner->tasks, &runner->task_capacity, runner->task_count + 1,
                             sizeof(*runner->tasks));
    runner->tasks[runner->task_count++] =
        (struct runner_task){task->task->id, task->spec->timeout_ms};
    wake_runner(world, host, slot);
}

/* Tells how many of a slot's tasks came back: all that had not begun when it was asked. */
static void reclaim(struct world *world, struct sim_host *host, uint32_t slot)
{
    struct runner *runner = &host->runners[slot];
    struct host_input input = make_input(world, host, HOST_RECLAIMED);
    size_t kept = runner->runs ? 1 : 0;
    input.slot = slot;
    input.count = (uint32_t)(runner->task_count - kept);
    runner->task_count = kept;
    host_step(host->host, &input, &host->effects);
}

static void execute(struct world *world, struct sim_host *host, const struct host_effects *effects,
                    const struct host_effect *effect)
{
    switch (effect->kind) {
    case HOST_SEND:
        network_up(world, &host->endpoint, effect->header, host_effect_body(effects, effect));
        break;
    case HOST_GIVE:
        give(world, host, effect->slot, &effect->task);
        break;
    case HOST_END:
        end_task(world, host, effect->slot, effect->how);
        break;
    case HOST_SPOOL_APPEND:
        buf_append(&host->spool, host_effect_body(effects, effect).data, effect->body_size);
        break;
    case HOST_SPOOL_REWRITE:
        buf_clear(&host->spool);
        buf_append(&host->spool, host_effect_body(effects, effect).data, effect->body_size);
        break;
    case HOST_RECONNECT:
        network_close(world, &host->endpoint);
        network_open(world, &host->endpoint);
        break;
    case HOST_LOG:
        world_trace(world, "  %s: %.*s", host->name, (int)effect->body_size,
                    (const char *)host_effect_body(effects, effect).data);
        break;
    case HOST_SLOT_OPEN:
        host->runners[effect->slot].closed = false;
        if (!host->runners[effect->slot].ready)
            world_at(world, world->now + random_spread(&world->random, 20), runner_ready, host,
                     slot_stamp(host, effect->slot, 0));
        break;
    case HOST_SLOT_CLOSE:
        host->runners[effect->slot].closed = true;
        host->runners[effect->slot].ready = false;
        break;
    case HOST_RECLAIM:
    case HOST_READ_LOG:
    case HOST_EXIT:
        break;
    }
}

/* Executes effects in order, then answers the reclaims among them, whose answers have effects too.
 */
static void act(struct world *world, struct sim_host *host)
{
    while (host->effects.count) {
        struct host_effects effects = host->effects;
        host->effects = (struct host_effects){0};
        bool exits = false;
        for (size_t i = 0; i < effects.count; i++) {
            execute(world, host, &effects, &effects.items[i]);
            exits |= effects.items[i].kind == HOST_EXIT;
        }
        for (size_t i = 0; i < effects.count; i++)
            if (effects.items[i].kind == HOST_RECLAIM)
                reclaim(world, host, effects.items[i].slot);
        host_effects_fini(&effects);
        if (exits) {
            host_effects_clear(&host->effects);
            leave(world, host);
            return;
        }
    }
}
