/*
 * The shell's place: inputs are gathered into ticks, each tick's batch is committed, and its
 * effects are released when the commit has returned. While one batch is being committed the next
 * gathers.
 *
 * Invariant: nothing but urgent messages and log lines leaves before its batch is in the vault; a
 * crash forgets everything else.
 */
#include <stdlib.h>

#include "proto/limits.h"
#include "proto/pack.h"
#include "tests/sim/sim.h"

static void run_tick(struct world *world, void *target, uint64_t life);
static void go_down(struct world *world);
static void commit_done(struct world *world, void *target, uint64_t life);

static int64_t clock_of(const struct world *world)
{
    return world->now + world->supervisor.clock_offset;
}

static struct effects *open_effects(struct supervisor *supervisor)
{
    return &supervisor->effects[supervisor->open];
}

static void want_tick(struct world *world, int64_t delay)
{
    struct supervisor *supervisor = &world->supervisor;
    if (!supervisor->engine || supervisor->tick_wanted)
        return;
    supervisor->tick_wanted = true;
    int64_t at = world->now + delay;
    world_at(world, at > supervisor->stopped_until ? at : supervisor->stopped_until, run_tick, NULL,
             supervisor->life);
}

static void step(struct world *world, struct input *input)
{
    struct supervisor *supervisor = &world->supervisor;
    input->now_ms = clock_of(world);
    input->wall_ms = world_wall(world);
    engine_step(supervisor->engine, input, open_effects(supervisor));
}

/* A dispatch's inputs, as the third frame. */
static void fetch_values(struct world *world, const struct effects *effects,
                         const struct send *send, struct buf *out)
{
    if (!send->ref_count)
        return;
    pack_array(out, send->ref_count);
    for (size_t i = 0; i < send->ref_count; i++) {
        const struct value_ref *ref = &effects->refs[send->ref_offset + i];
        const struct task_record *task = vault_task(&world->vault, ref->run, ref->task);
        if (!task || !task_state_is_final(task->state))
            world_fail(world, "a dispatch takes the result of run %llu, task %u, which has none",
                       (unsigned long long)ref->run, ref->task);
        pack_opaque(out, task ? task->result : (struct synk_bytes){NULL, 0});
    }
}

static void see_dispatch(struct world *world, struct synk_bytes body, size_t value_count)
{
    struct arena arena = {0};
    struct msg_dispatch dispatch;
    struct synk_error error;
    if (msg_dispatch_decode(body, &arena, &dispatch, &error))
        world_fail(world, "the engine's dispatch does not decode: %s", error.text);
    else
        for (size_t i = 0; i < dispatch.task_count; i++) {
            for (size_t k = 0; k < dispatch.tasks[i].input_count; k++)
                if (dispatch.tasks[i].inputs[k].value >= value_count)
                    world_fail(world, "a dispatch names value %u of %zu",
                               dispatch.tasks[i].inputs[k].value, value_count);
            ledger_dispatched(world, &dispatch.tasks[i]);
        }
    arena_fini(&arena);
}

static void release_send(struct world *world, const struct effects *effects,
                         const struct send *send)
{
    struct buf values = {0};
    struct synk_bytes body = bytes_of(effects->bodies.data + send->body_offset, send->body_size);
    struct synk_error error;
    if (check_value(body, &check_message_limits, &error))
        world_fail(world, "a '%s' of the engine is malformed: %s", msg_type_name(send->header.type),
                   error.text);
    if (send->header.epoch != world->vault.epoch)
        world_fail(world, "a '%s' carries epoch %u in epoch %u", msg_type_name(send->header.type),
                   send->header.epoch, world->vault.epoch);
    fetch_values(world, effects, send, &values);
    world_trace(world, "  %s to %s %u, sequence %llu", msg_type_name(send->header.type),
                send->socket == SOCKET_HOSTS ? "host peer" : "client peer", send->peer,
                (unsigned long long)send->header.sequence);
    if (send->header.type == MSG_DISPATCH)
        see_dispatch(world, body, send->ref_count);
    network_down(world, send->socket, send->peer, send->header, body, buf_bytes(&values));
    buf_fini(&values);
}

struct question {
    struct question *next;
    struct query query;
    char unit[LIMIT_ID_BYTES];
};

static void drop_questions(struct supervisor *supervisor)
{
    for (struct question *next; supervisor->questions; supervisor->questions = next) {
        next = supervisor->questions->next;
        free(supervisor->questions);
    }
}

static void answer_load(struct world *world, void *target, uint64_t life)
{
    struct supervisor *supervisor = &world->supervisor;
    (void)target;
    /* All that wait are answered, in the order of asking: a crash in between forgot the others. */
    while (supervisor->engine && supervisor->life == life && supervisor->questions) {
        struct question *question = supervisor->questions;
        size_t count;
        supervisor->questions = question->next;
        struct record *records = vault_load_run(&world->vault, &question->query, &count);
        struct input input = {.kind = INPUT_RUN_LOADED,
                              .token = question->query.token,
                              .records = records,
                              .record_count = count};
        step(world, &input);
        free(records);
        free(question);
        want_tick(world, 0);
    }
}

/* The store's page of a run, as far as a wait reads it; of other queries nothing. */
static uint16_t answer_page(struct world *world, const struct query *query, struct buf *out)
{
    if (query->kind != QUERY_RUN) {
        pack_map(out, 0);
        return MSG_REPLY;
    }
    const struct run_record *run = vault_find_run(&world->vault, query);
    if (!run) {
        struct synk_error error = {SYNK_NOT_FOUND, "no such run"};
        msg_error_encode(&error, 0, out);
        return MSG_ERROR;
    }
    pack_map(out, 2);
    pack_key(out, "id");
    pack_uint(out, run->run);
    pack_key(out, "status");
    pack_cstr(out, run_status_name(query->live ? query->live_status : run->status));
    return MSG_REPLY;
}

/* What the shell asks of the store. */
static void release_query(struct world *world, const struct query *query)
{
    if (query->kind == QUERY_LOAD_RUN) {
        struct question *question = mem_zalloc(1, sizeof(*question)), **last;
        question->query = *query;
        if (query->unit.size)
            memcpy(question->unit, query->unit.data, query->unit.size);
        question->query.unit.data = question->unit;
        for (last = &world->supervisor.questions; *last;)
            last = &(*last)->next;
        *last = question;
        world_at(world, world->now + random_spread(&world->random, 5), answer_load, NULL,
                 world->supervisor.life);
        return;
    }
    struct buf body = {0};
    uint16_t type = answer_page(world, query, &body);
    struct msg_header header = {type, world->vault.epoch, query->request};
    network_down(world, SOCKET_CLIENTS, query->peer, header, buf_bytes(&body),
                 (struct synk_bytes){NULL, 0});
    buf_fini(&body);
}

static void release_sends(struct world *world, const struct effects *effects)
{
    for (size_t i = 0; i < effects->send_count; i++)
        release_send(world, effects, &effects->sends[i]);
}

static void leave(struct world *world, void *target, uint64_t life)
{
    (void)target;
    if (world->supervisor.engine && world->supervisor.life == life)
        go_down(world);
}

static void release(struct world *world, struct effects *effects)
{
    if (world->mutation != MUTATION_EARLY_RELEASE)
        release_sends(world, effects);
    for (size_t i = 0; i < effects->query_count; i++)
        release_query(world, &effects->queries[i]);
    bool exits = false;
    for (size_t i = 0; i < effects->order_count; i++)
        exits |= effects->orders[i].kind == ORDER_EXIT;
    effects_clear(effects);
    if (exits)
        world_at(world, world->now, leave, NULL, world->supervisor.life);
}

/* The local host: found alive, or started. */
static void tell_local(struct world *world, enum local_host_event event, int64_t pid)
{
    struct supervisor *supervisor = &world->supervisor;
    struct input input = {.kind = INPUT_LOCAL_HOST, .local_event = event, .pid = pid};
    supervisor->local_pid = event == LOCAL_HOST_STARTED ? pid : 0;
    step(world, &input);
    want_tick(world, 0);
}

static void spawn_local(struct world *world, void *target, uint64_t life)
{
    struct supervisor *supervisor = &world->supervisor;
    struct sim_host *host = &world->hosts[0];
    (void)target;
    if (!supervisor->engine || supervisor->life != life)
        return;
    if (world->now < supervisor->stopped_until) {
        world_at(world, supervisor->stopped_until, spawn_local, NULL, life);
        return;
    }
    if (!host->host && !world->healed && random_next(&world->random) % 16 == 0) {
        tell_local(world, LOCAL_HOST_FAILED, 0);
        return;
    }
    if (!host->host)
        sim_host_start(world, host);
    tell_local(world, LOCAL_HOST_STARTED, host->pid);
}

static void kill_local(struct world *world, void *target, uint64_t life)
{
    (void)target;
    if (world->supervisor.engine && world->supervisor.life == life)
        sim_host_crash(world, &world->hosts[0]);
}

static void see_local_end(struct world *world, void *target, uint64_t pid)
{
    struct supervisor *supervisor = &world->supervisor;
    (void)target;
    if (!supervisor->engine || supervisor->local_pid != (int64_t)pid)
        return;
    if (world->now < supervisor->stopped_until) {
        world_at(world, supervisor->stopped_until, see_local_end, NULL, pid);
        return;
    }
    world->totals->local_ends++;
    tell_local(world, LOCAL_HOST_EXITED, (int64_t)pid);
}

void supervisor_local_ended(struct world *world, int64_t pid)
{
    world_at(world, world->now + random_between(&world->random, 0, 20), see_local_end, NULL,
             (uint64_t)pid);
}

/* Urgent messages leave at once, and only once. */
static void release_urgent(struct world *world)
{
    struct supervisor *supervisor = &world->supervisor;
    struct effects *effects = open_effects(supervisor);
    for (; supervisor->urgent_done < effects->urgent_count; supervisor->urgent_done++)
        release_send(world, effects, &effects->urgent[supervisor->urgent_done]);
    for (; supervisor->order_done < effects->order_count; supervisor->order_done++) {
        const struct order *order = &effects->orders[supervisor->order_done];
        world_trace(world, "  order %d: %.*s", order->kind, (int)order->text.size,
                    (const char *)order->text.data);
        if (order->kind == ORDER_SPAWN_HOST)
            world_at(world, world->now + random_between(&world->random, 1, 50), spawn_local, NULL,
                     supervisor->life);
        else if (order->kind == ORDER_KILL_HOST)
            world_at(world, world->now + 1, kill_local, NULL, supervisor->life);
    }
}

static void commit_later(struct world *world)
{
    int64_t took = random_chance(&world->random, 5000)
                       ? random_spread(&world->random, world->plan.commit_ms * 200)
                       : random_spread(&world->random, world->plan.commit_ms);
    world_at(world, world->now + took, commit_done, NULL, world->supervisor.life);
}

static void arm_timer(struct world *world);

static void commit(struct world *world)
{
    struct supervisor *supervisor = &world->supervisor;
    struct effects *effects = open_effects(supervisor);
    engine_flush(supervisor->engine, clock_of(world), world_wall(world), effects);
    release_urgent(world);
    engine_check(supervisor->engine);
    if (effects_is_empty(effects))
        return;
    if (world->effects_trace) {
        buf_printf(world->effects_trace, "at %lld\n", (long long)world->now);
        effects_print(effects, world->effects_trace);
    }
    if (world->mutation == MUTATION_EARLY_RELEASE)
        release_sends(world, effects);
    supervisor->open ^= 1;
    supervisor->urgent_done = supervisor->order_done = 0;
    if (batch_is_empty(&effects->batch)) {
        release(world, effects);
        return;
    }
    world_trace(world, "commit of %zu records, %u events", effects->batch.record_count,
                effects->batch.event_count);
    supervisor->committing = true;
    commit_later(world);
}

/* MUTATION_EARLY_ACK: what an acknowledgement at the door would do. */
static void acknowledge_early(struct world *world, const struct packet *packet)
{
    struct arena arena = {0};
    struct msg_report *reports;
    size_t count;
    struct buf body = {0};
    if (!msg_reports_decode(buf_bytes(&packet->body), &arena, &reports, &count, NULL)) {
        msg_ack_encode(packet->header.sequence + count - 1, &body);
        network_down(world, SOCKET_HOSTS, packet->peer,
                     (struct msg_header){MSG_ACK, world->vault.epoch, 0}, buf_bytes(&body),
                     (struct synk_bytes){NULL, 0});
    }
    buf_fini(&body);
    arena_fini(&arena);
}

static void step_packet(struct world *world, struct packet *packet)
{
    bool host = packet->endpoint->socket == SOCKET_HOSTS;
    if (world->mutation == MUTATION_EARLY_ACK && packet->header.type == MSG_REPORT)
        acknowledge_early(world, packet);

    struct input input = {.kind = host ? INPUT_HOST_MESSAGE : INPUT_CLIENT_MESSAGE,
                          .peer = packet->peer,
                          .role = ROLE_ADMIN,
                          .header = packet->header,
                          .body = buf_bytes(&packet->body)};
    world_trace(world, "%s from %s peer %u, sequence %llu", msg_type_name(packet->header.type),
                host ? "host" : "client", packet->peer,
                (unsigned long long)packet->header.sequence);
    step(world, &input);
    network_drop(packet);
}

static void run_tick(struct world *world, void *target, uint64_t life)
{
    struct supervisor *supervisor = &world->supervisor;
    (void)target;
    if (!supervisor->engine || supervisor->life != life)
        return;
    supervisor->tick_wanted = false;
    if (world->now < supervisor->stopped_until) {
        want_tick(world, 0);
        return;
    }
    for (size_t i = 0; i < supervisor->inbox_count; i++)
        step_packet(world, supervisor->inbox[i]);
    supervisor->inbox_count = 0;
    if (engine_next_due(supervisor->engine) <= clock_of(world)) {
        struct input input = {.kind = INPUT_TIME};
        step(world, &input);
    }
    release_urgent(world);
    if (!supervisor->committing)
        commit(world);
    arm_timer(world);
}

static void timer_fires(struct world *world, void *target, uint64_t life)
{
    struct supervisor *supervisor = &world->supervisor;
    (void)target;
    if (!supervisor->engine || supervisor->life != life || supervisor->timer_at != world->now)
        return;
    supervisor->timer_at = INT64_MAX;
    want_tick(world, 0);
}

static void arm_timer(struct world *world)
{
    struct supervisor *supervisor = &world->supervisor;
    int64_t due = engine_next_due(supervisor->engine);
    if (due == INT64_MAX)
        return;
    int64_t at = due - supervisor->clock_offset;
    if (at <= world->now)
        at = world->now + 1;
    if (at >= supervisor->timer_at && supervisor->timer_at > world->now)
        return;
    supervisor->timer_at = at;
    world_at(world, at, timer_fires, NULL, supervisor->life);
}

static void tell_store_state(struct world *world, bool ok)
{
    struct input input = {.kind = INPUT_STORE_STATE,
                          .store_ok = ok,
                          .text = ok ? (struct synk_bytes){NULL, 0} : bytes_str("disk full")};
    step(world, &input);
    want_tick(world, 0);
}

static void commit_again(struct world *world, void *target, uint64_t life)
{
    (void)target;
    if (world->supervisor.engine && world->supervisor.life == life)
        commit_later(world);
}

static void commit_done(struct world *world, void *target, uint64_t life)
{
    struct supervisor *supervisor = &world->supervisor;
    struct effects *effects = &supervisor->effects[supervisor->open ^ 1];
    (void)target;
    if (!supervisor->engine || supervisor->life != life)
        return;
    if (world->now < supervisor->stopped_until) {
        world_at(world, supervisor->stopped_until, commit_done, NULL, life);
        return;
    }
    if (!world->healed && random_chance(&world->random, world->plan.refused)) {
        world_trace(world, "commit refused: disk full");
        world->totals->refused_commits++;
        if (!supervisor->refused)
            tell_store_state(world, false);
        supervisor->refused = true;
        world_at(world, world->now + random_between(&world->random, 500, 4000), commit_again, NULL,
                 life);
        return;
    }
    if (!world->healed && random_chance(&world->random, world->plan.torn)) {
        world_trace(world, "commit torn");
        world->totals->torn_commits++;
        if (world->mutation == MUTATION_TORN_BATCH)
            vault_apply_torn(world, &effects->batch);
        supervisor->committing = false;
        supervisor_crash(world);
        return;
    }
    vault_apply(world, &effects->batch);
    supervisor->committing = false;
    if (!world->healed && random_chance(&world->random, world->plan.unknown)) {
        world_trace(world, "commit of unknown outcome");
        world->totals->unknown_commits++;
        supervisor_crash(world);
        return;
    }
    release(world, effects);
    if (supervisor->refused)
        tell_store_state(world, true);
    supervisor->refused = false;
    want_tick(world, 0);
}

void supervisor_receive(struct world *world, struct packet *packet)
{
    struct supervisor *supervisor = &world->supervisor;
    supervisor->inbox = mem_grow(supervisor->inbox, &supervisor->inbox_capacity,
                                 supervisor->inbox_count + 1, sizeof(struct packet *));
    supervisor->inbox[supervisor->inbox_count++] = packet;
    want_tick(world, random_between(&world->random, 0, 1));
}

void supervisor_peer_gone(struct world *world, enum socket socket, uint32_t peer)
{
    if (!world->supervisor.engine || world->now < world->supervisor.stopped_until)
        return;
    struct input input = {.kind = socket == SOCKET_HOSTS ? INPUT_HOST_PEER_GONE
                                                         : INPUT_CLIENT_PEER_GONE,
                          .peer = peer};
    step(world, &input);
    want_tick(world, 0);
}

static struct engine_config make_config(struct world *world)
{
    struct engine_config config;
    engine_config_defaults(&config);
    config.local_slots = world->plan.local ? world->hosts[0].slots : 0;
    config.keep_runs = world->plan.keep_runs;
    config.keep_events = 0;
    config.keep_runs_ms = config.keep_events_ms = 0;
    config.exits_when_idle = false;
    config.version = "sim";
    config.durability = "fsync";
    config.events_address = "sim";
    return config;
}

void supervisor_start(struct world *world)
{
    struct supervisor *supervisor = &world->supervisor;
    struct engine_config config = make_config(world);
    struct synk_error error;
    size_t count;
    supervisor->life++;
    supervisor->clock_offset = random_between(&world->random, 1000, 1000000000);
    supervisor->timer_at = INT64_MAX;
    supervisor->engine = engine_new(&config, &world->evaluator, &world->checker, NULL);
    for (int i = 0; i < 2; i++)
        effects_init(&supervisor->effects[i]);
    const struct record **records = vault_load(world, &count);
    for (size_t i = 0; i < count; i++)
        if (engine_load(supervisor->engine, records[i], &error))
            world_fail(world, "a record of kind %d does not load: %s", records[i]->kind,
                       error.text);
    free(records);
    if (world->mutation != MUTATION_SAME_EPOCH || world->vault.epoch == 0)
        world->vault.epoch++;

    world_trace(world, "start in epoch %u with %zu records", world->vault.epoch, count);
    struct input input = {.kind = INPUT_START,
                          .epoch = world->vault.epoch,
                          .last_event =
                              world->vault.last_event + (world->mutation == MUTATION_EVENT_GAP)};
    step(world, &input);
    ledger_check_acknowledged(world);
    want_tick(world, 0);
}

static void restart(struct world *world, void *target, uint64_t life)
{
    (void)target;
    if (!world->supervisor.engine && world->supervisor.life == life)
        supervisor_start(world);
}

void supervisor_free(struct world *world)
{
    struct supervisor *supervisor = &world->supervisor;
    if (supervisor->engine) {
        engine_free(supervisor->engine);
        for (int i = 0; i < 2; i++)
            effects_fini(&supervisor->effects[i]);
    }
    supervisor->engine = NULL;
    drop_questions(supervisor);
    for (size_t i = 0; i < supervisor->inbox_count; i++)
        network_drop(supervisor->inbox[i]);
    supervisor->inbox_count = 0;
    free(supervisor->inbox);
    supervisor->inbox = NULL;
    supervisor->inbox_capacity = 0;
}

/* The process is gone, and another is started after a while. */
static void go_down(struct world *world)
{
    struct supervisor *supervisor = &world->supervisor;
    supervisor_free(world);
    supervisor->open = 0;
    supervisor->urgent_done = supervisor->order_done = 0;
    supervisor->committing = supervisor->tick_wanted = supervisor->refused = false;
    supervisor->stopped_until = 0;
    supervisor->local_pid = 0;
    supervisor->life++;
    network_break_all(world);
    world_at(world, world->now + random_spread(&world->random, 2000) + 10, restart, NULL,
             supervisor->life);
}

void supervisor_shutdown(struct world *world, int64_t grace_ms, bool keep_hosts)
{
    struct input input = {.kind = INPUT_SHUTDOWN, .grace_ms = grace_ms, .keep_hosts = keep_hosts};
    if (!world->supervisor.engine || world->now < world->supervisor.stopped_until)
        return;
    world_trace(world, "supervisor is told to shut down, grace %lld ms, %s hosts",
                (long long)grace_ms, keep_hosts ? "keeping" : "draining");
    world->totals->shutdowns++;
    step(world, &input);
    want_tick(world, 0);
}

void supervisor_crash(struct world *world)
{
    struct supervisor *supervisor = &world->supervisor;
    if (!supervisor->engine)
        return;
    world_trace(world, "supervisor crashes");
    world->totals->crashes++;
    /* A commit under way may have reached the disk, or not. */
    const struct batch *batch = &supervisor->effects[supervisor->open ^ 1].batch;
    if (supervisor->committing && !supervisor->refused && random_next(&world->random) % 2)
        vault_apply(world, batch);
    else if (supervisor->committing && world->mutation == MUTATION_TORN_BATCH)
        vault_apply_torn(world, batch);
    go_down(world);
}
