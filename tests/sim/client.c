/*
 * Clients: they draw definitions, apply them, run them, and ask again with the same key until they
 * are answered.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/json.h"
#include "proto/limits.h"
#include "proto/pack.h"
#include "proto/value.h"
#include "tests/sim/sim.h"

enum { LEAST_LIMIT = 3, MAX_DELAY_MS = 8000 };

static void send_operation(struct world *world, void *target, uint64_t number);
static void next_request(struct world *world, void *target, uint64_t argument);

/* Definitions. */

static void pack_id(struct buf *out, const char *prefix, unsigned number)
{
    char text[32];
    int size = snprintf(text, sizeof(text), "%s%u", prefix, number);
    pack_string(out, bytes_of(text, (size_t)size));
}

static void pack_dependency(struct world *world, unsigned parent, struct buf *out)
{
    static const char *const conditions[] = {"result.v < 5", "result.v >= 5",
                                             "status == 'succeeded'", "result.v % 2 == 0"};
    static const char *const on[] = {"completed", "notError", "error", "any"};
    uint64_t draw = random_next(&world->random);
    unsigned form = draw % 8;
    pack_map(out, form < 3 ? 1 : 2);
    pack_key(out, "id");
    pack_id(out, "w", parent);
    if (form == 3 || form == 4) {
        pack_key(out, "condition");
        pack_cstr(out, conditions[draw >> 8 & 3]);
    } else if (form > 4) {
        pack_key(out, "on");
        pack_cstr(out, on[draw >> 8 & 3]);
    }
}

/* Never more of a limit than the least that a document gives it. */
static void pack_uses(struct world *world, struct buf *out)
{
    uint64_t draw = random_next(&world->random);
    pack_map(out, draw % 3 ? 1 : 2);
    if (draw % 3 != 1) {
        pack_key(out, "l0");
        pack_int(out, 1 + (int64_t)(draw >> 4) % LEAST_LIMIT);
    }
    if (draw % 3 != 2) {
        pack_key(out, "l1");
        pack_int(out, 1 + (int64_t)(draw >> 8) % LEAST_LIMIT);
    }
}

static void pack_limits(struct world *world, struct buf *out)
{
    pack_map(out, 2);
    pack_key(out, "l0");
    pack_int(out, random_between(&world->random, LEAST_LIMIT, LEAST_LIMIT + 3));
    pack_key(out, "l1");
    pack_int(out, random_between(&world->random, LEAST_LIMIT, LEAST_LIMIT + 3));
}

/* Entries that any worker may have: counted first, since a map says how many follow. */
static void pack_worker(struct world *world, const char *prefix, unsigned number, bool graph,
                        struct buf *out)
{
    unsigned parents[4], parent_count = 0;
    uint64_t draw = random_next(&world->random);
    bool retries = draw % 3 == 0, delay = retries && (draw >> 4) % 2;
    bool rare = (draw >> 8) % 16 == 0, gpu = (draw >> 12) % 16 == 0;
    bool priority = (draw >> 16) % 8 == 0, timeout = (draw >> 20) % 4 == 0;
    for (unsigned i = 0; graph && number && i < (draw >> 24) % 4; i++) {
        unsigned parent = (unsigned)(random_next(&world->random) % number);
        bool known = false;
        for (unsigned k = 0; k < parent_count; k++)
            known |= parents[k] == parent;
        if (!known)
            parents[parent_count++] = parent;
    }
    bool uses = world->plan.limits && (draw >> 52) % 3 == 0;
    bool wide = world->plan.wide && (draw >> 56) % 6 == 0;
    pack_map(out,
             2u + retries + delay + gpu + priority + timeout + uses + wide + (parent_count > 0));
    if (uses) {
        pack_key(out, "uses");
        pack_uses(world, out);
    }
    if (wide) {
        pack_key(out, "slots");
        pack_int(out, 2);
    }
    pack_key(out, "id");
    pack_id(out, prefix, number);
    pack_key(out, "run");
    pack_cstr(out, rare ? "sim.rare" : "sim.work");
    if (retries) {
        pack_key(out, "maxRetries");
        pack_int(out, (int64_t)(draw >> 32) % 4);
    }
    if (delay) {
        pack_key(out, "retryDelayMs");
        if ((draw >> 36) % 2)
            pack_cstr(out, "100 * 2^attempt");
        else
            pack_int(out, (int64_t)(draw >> 40) % 3000);
    }
    if (gpu) {
        pack_key(out, "requires");
        pack_array(out, 1);
        pack_cstr(out, "gpu");
    }
    if (priority) {
        pack_key(out, "priority");
        pack_int(out, (int64_t)(draw >> 44) % 5);
    }
    if (timeout) {
        pack_key(out, "timeoutMs");
        pack_int(out, 500 + (int64_t)(draw >> 48) % 5000);
    }
    if (parent_count) {
        pack_key(out, "dependsOn");
        pack_array(out, parent_count);
        for (unsigned i = 0; i < parent_count; i++)
            pack_dependency(world, parents[i], out);
    }
}

static void pack_hook(struct world *world, unsigned unit, struct buf *out)
{
    /* Only later units are started, so that hooks come to an end. */
    unsigned target =
        unit + 1 + (unsigned)(random_next(&world->random) % (world->unit_count - unit - 1));
    pack_array(out, 1);
    pack_map(out, 1);
    pack_key(out, "run");
    pack_cstr(out, world->units[target].id);
}

static void pack_process(struct world *world, unsigned unit, struct buf *out)
{
    static const char *const modes[] = {"sequential", "parallel", "batched", "isolated"};
    static const char *const overlaps[] = {"queue", "skip", "allow", "cancel"};
    uint64_t draw = random_next(&world->random);
    bool graph = world->plan.graphs_only || draw % 4 != 0;
    bool parallel = (draw >> 4) % 6 == 0 && !graph,
         hooks = unit + 1 < world->unit_count && (draw >> 8) % 4 == 0;
    bool overlap = (draw >> 12) % 4 == 0, deadline = (draw >> 16) % 16 == 0;
    unsigned workers = 1 + (unsigned)(random_next(&world->random) % 12);
    if ((draw >> 20) % 16 == 0)
        workers *= 6;
    /* Not with what could pile up faster than hosts work it off. */
    bool scheduled = world->plan.schedules && (draw >> 44) % 3 == 0 && !hooks && !overlap;
    bool failures = (draw >> 48) % 8 == 0 && !graph;
    pack_map(out, 2u + !graph + parallel + hooks + overlap + deadline + scheduled + failures);
    if (scheduled) {
        pack_key(out, "intervalMs");
        pack_int(out, SCHEDULE_MS);
    }
    if (failures) {
        pack_key(out, "maxFailures");
        pack_int(out, 1 + (int64_t)(draw >> 52) % 3);
    }
    pack_key(out, "id");
    pack_cstr(out, world->units[unit].id);
    pack_key(out, "workers");
    pack_array(out, workers);
    for (unsigned i = 0; i < workers; i++)
        pack_worker(world, "w", i, graph, out);
    if (!graph) {
        pack_key(out, "runMode");
        pack_cstr(out, modes[draw >> 24 & 3]);
    }
    if (parallel) {
        pack_key(out, "maxParallel");
        pack_int(out, 1 + (int64_t)(draw >> 28) % 3);
    }
    if (hooks) {
        pack_key(out, (draw >> 32) % 2 ? "onComplete" : "onError");
        pack_hook(world, unit, out);
    }
    if (overlap) {
        pack_key(out, "overlap");
        pack_cstr(out, overlaps[draw >> 36 & 3]);
    }
    if (deadline) {
        pack_key(out, "timeoutMs");
        pack_int(out, 5000 + (int64_t)(draw >> 40) % 30000);
    }
}

/* One unit and all behind it, since hooks name units that must be there. */
static void pack_document(struct world *world, unsigned first, struct buf *out)
{
    unsigned processes = 0, workers = 0;
    for (unsigned i = first; i < world->unit_count; i++)
        world->units[i].is_process ? processes++ : workers++;
    pack_map(out, 2u + world->plan.limits);
    if (world->plan.limits) {
        pack_key(out, "limits");
        pack_limits(world, out);
    }
    pack_key(out, "processes");
    pack_array(out, processes);
    for (unsigned i = first; i < world->unit_count; i++)
        if (world->units[i].is_process)
            pack_process(world, i, out);
    pack_key(out, "workers");
    pack_array(out, workers);
    for (unsigned i = first; i < world->unit_count; i++)
        if (!world->units[i].is_process)
            pack_worker(world, "s", i, false, out);
}

/* Requests. */

static struct operation *add_operation(struct world *world, struct client *client,
                                       enum operation_kind kind, uint16_t type)
{
    struct operation *operation = mem_zalloc(1, sizeof(*operation));
    operation->kind = kind;
    operation->type = type;
    operation->number = ++world->last_operation;
    client->operations = mem_grow(client->operations, &client->operation_capacity,
                                  client->operation_count + 1, sizeof(struct operation *));
    client->operations[client->operation_count++] = operation;
    client->waiting++;
    world->totals->requests++;
    world->totals->changes += kind == OPERATION_CHANGE;
    world_at(world, world->now, send_operation, client, operation->number);
    return operation;
}

/* A body begins with the key, which makes repeats harmless. */
static struct buf *open_body(struct operation *operation, size_t entries)
{
    char key[32];
    int size = snprintf(key, sizeof(key), "key-%llu", (unsigned long long)operation->number);
    pack_map(&operation->body, entries + 1);
    pack_key(&operation->body, "key");
    pack_string(&operation->body, bytes_of(key, (size_t)size));
    return &operation->body;
}

static void pack_params(const struct operation *operation, struct buf *body)
{
    pack_map(body, 1);
    pack_key(body, "op");
    pack_uint(body, operation->number);
}

static void request_apply(struct world *world, struct client *client)
{
    struct operation *operation = add_operation(world, client, OPERATION_APPLY, MSG_APPLY);
    bool again = world->units[0].applied;
    unsigned first = again ? (unsigned)(random_next(&world->random) % world->unit_count) : 0;
    struct buf *body = open_body(operation, 1);
    pack_key(body, "document");
    pack_document(world, first, body);
}

static bool pick_unit(struct world *world, unsigned *ret_unit)
{
    *ret_unit = (unsigned)(random_next(&world->random) % world->unit_count);
    return world->units[*ret_unit].applied;
}

static bool is_delayed(struct world *world)
{
    return world->plan.delays && random_next(&world->random) % 4 == 0;
}

static void pack_delay(struct world *world, struct buf *body)
{
    pack_key(body, "delayMs");
    pack_int(body, random_between(&world->random, 0, MAX_DELAY_MS));
}

static void request_run(struct world *world, struct client *client)
{
    unsigned unit;
    if (!pick_unit(world, &unit))
        return;
    struct operation *operation = add_operation(world, client, OPERATION_RUN, MSG_RUN);
    bool delayed = is_delayed(world);
    struct buf *body = open_body(operation, 2 + delayed);
    if (delayed)
        pack_delay(world, body);
    pack_key(body, "unit");
    if (world->units[unit].is_process && random_next(&world->random) % 8 == 0) {
        char text[32];
        int size = snprintf(text, sizeof(text), "%s/w0", world->units[unit].id);
        pack_string(body, bytes_of(text, (size_t)size));
    } else {
        pack_cstr(body, world->units[unit].id);
    }
    pack_key(body, "params");
    pack_params(operation, body);
}

/* One of a few, so that they meet; or none. */
static void pack_name(struct world *world, struct buf *body)
{
    uint64_t draw = random_next(&world->random);
    if (draw % 4)
        pack_id(body, "n", (unsigned)(draw >> 8) % 30);
    else
        pack_null(body);
}

static void request_submit(struct world *world, struct client *client)
{
    struct operation *operation = add_operation(world, client, OPERATION_SUBMIT, MSG_SUBMIT);
    uint64_t draw = random_next(&world->random);
    bool delayed = is_delayed(world), pooled = world->plan.pool && (draw >> 40) % 2;
    bool uses = world->plan.limits && world->units[0].applied && (draw >> 44) % 3 == 0;
    operation->may_pause = pooled && (draw >> 48) % 8 == 0;
    struct buf *body = open_body(operation, 4u + delayed + uses + 3 * pooled);
    if (delayed)
        pack_delay(world, body);
    if (uses) {
        pack_key(body, "uses");
        pack_uses(world, body);
    }
    if (pooled) {
        pack_key(body, "name");
        pack_name(world, body);
        pack_key(body, "paused");
        pack_bool(body, operation->may_pause);
        pack_key(body, "priority");
        pack_int(body, random_between(&world->random, -1, 1));
    }
    pack_key(body, "function");
    pack_cstr(body, "sim.work");
    pack_key(body, "payload");
    pack_params(operation, body);
    pack_key(body, "maxRetries");
    pack_int(body, (int64_t)(draw % 3));
    if ((draw >> 8) % 2) {
        pack_key(body, "count");
        pack_int(body, 1 + (int64_t)(draw >> 16) % 40);
    } else {
        unsigned items = 1 + (draw >> 16) % 10;
        pack_key(body, "items");
        pack_array(body, items);
        for (unsigned i = 0; i < items; i++)
            pack_uint(body, i);
    }
}

static void request_about_run(struct world *world, struct client *client, enum operation_kind kind,
                              uint16_t type)
{
    if (!world->known_run_count)
        return;
    unsigned which = (unsigned)(random_next(&world->random) % world->known_run_count);
    struct operation *operation = add_operation(world, client, kind, type);
    operation->run = world->known_runs[which].run;
    /* The request may arrive and its answer not: from here on the run may change again. */
    if (kind == OPERATION_RETRY)
        ledger_retried(world, operation->run);
    struct buf *body = open_body(operation, 1);
    pack_key(body, "run");
    pack_cstr(body, world->known_runs[which].name);
}

static void request_pause(struct world *world, struct client *client, bool resume)
{
    unsigned unit;
    if (!pick_unit(world, &unit))
        return;
    struct operation *operation =
        add_operation(world, client, resume ? OPERATION_RESUME : OPERATION_PAUSE,
                      resume ? MSG_RESUME : MSG_PAUSE);
    struct buf *body = open_body(operation, 1);
    pack_key(body, "ids");
    pack_array(body, 1);
    pack_cstr(body, world->units[unit].id);
}

static struct buf *open_change(struct world *world, struct client *client, uint16_t type,
                               size_t entries)
{
    return open_body(add_operation(world, client, OPERATION_CHANGE, type), entries);
}

/* A name that a request gives for a worker: of a process now and then, else of the unit itself. */
static bool pick_worker(struct world *world, char *name, size_t size)
{
    unsigned unit;
    if (!pick_unit(world, &unit))
        return false;
    uint64_t draw = random_next(&world->random);
    if (world->units[unit].is_process && draw % 3)
        snprintf(name, size, "%s/w%u", world->units[unit].id, (unsigned)(draw >> 8) % 6);
    else
        snprintf(name, size, "%s", world->units[unit].id);
    return true;
}

static void pack_setting(struct world *world, bool is_process, struct buf *body)
{
    static const char *const overlaps[] = {"queue", "skip", "allow", "cancel"};
    static const char *const modes[] = {"sequential", "parallel", "batched", "isolated"};
    uint64_t draw = random_next(&world->random);
    pack_map(body, 1);
    if (is_process) {
        static const char *const fields[] = {"maxParallel", "maxFailures", "timeoutMs",
                                             "overlap",     "runMode",     "enabled"};
        unsigned which = draw % 6;
        pack_key(body, fields[which]);
        if (draw >> 8 & 1 && which < 4)
            pack_null(body);
        else if (which == 3)
            pack_cstr(body, overlaps[draw >> 12 & 3]);
        else if (which == 4)
            pack_cstr(body, modes[draw >> 12 & 3]);
        else if (which == 5)
            pack_bool(body, draw >> 12 & 1);
        else
            pack_int(body, which == 2 ? 5000 + (int64_t)(draw >> 16) % 30000
                                      : 1 + (int64_t)(draw >> 16) % 3);
        return;
    }
    static const char *const fields[] = {"maxRetries", "retryDelayMs", "timeoutMs", "priority",
                                         "enabled",    "payload",      "uses",      "slots"};
    unsigned count = 6u + world->plan.limits + (world->plan.limits && world->plan.wide);
    unsigned which = (unsigned)(draw % count);
    pack_key(body, fields[which]);
    if (draw >> 8 & 1)
        pack_null(body);
    else if (which == 4)
        pack_bool(body, draw >> 12 & 1);
    else if (which == 1 && draw >> 12 & 1)
        pack_cstr(body, "50 * attempt");
    else if (which == 6)
        pack_uses(world, body);
    else
        pack_int(body, which == 7   ? 1 + (int64_t)(draw >> 16) % 2
                       : which == 2 ? 500 + (int64_t)(draw >> 16) % 5000
                                    : (int64_t)(draw >> 16) % 4);
}

static void request_set(struct world *world, struct client *client)
{
    char name[32];
    if (!pick_worker(world, name, sizeof(name)))
        return;
    uint64_t draw = random_next(&world->random);
    bool is_unit = !strchr(name, '/');
    struct operation *operation = add_operation(world, client, OPERATION_CHANGE, MSG_SET);
    struct buf *body = open_body(operation, 2);
    pack_key(body, "id");
    pack_cstr(body, name);
    if (is_unit && draw % 8 == 0) {
        operation->may_pause = draw >> 8 & 1;
        pack_key(body, "status");
        pack_cstr(body, operation->may_pause ? "paused" : "idle");
        return;
    }
    pack_key(body, "set");
    pack_setting(world, is_unit && name[0] == 'p', body);
}

/* One task of a run; others than it go on. */
static void request_cancel_one(struct world *world, struct client *client)
{
    if (!world->known_run_count)
        return;
    unsigned which = (unsigned)(random_next(&world->random) % world->known_run_count);
    const char *name = world->known_runs[which].name;
    struct buf *body = open_change(world, client, MSG_CANCEL, 2);
    pack_key(body, "run");
    pack_cstr(body, name);
    pack_key(body, "worker");
    pack_id(body, memcmp(name, "pool", 4) == 0 ? "" : "w",
            (unsigned)(random_next(&world->random) % 8));
}

/* The latest of the pool's among the known ones, likely still unfinished. */
static const char *pick_submission(struct world *world)
{
    for (unsigned tries = 0; world->known_run_count && tries < 8; tries++) {
        unsigned which = (unsigned)(random_next(&world->random) % world->known_run_count);
        if (memcmp(world->known_runs[which].name, "pool", 4) == 0)
            return world->known_runs[which].name;
    }
    return NULL;
}

static void request_pool(struct world *world, struct client *client)
{
    const char *name = pick_submission(world);
    uint64_t draw = random_next(&world->random);
    if (!name)
        return;
    struct operation *operation;
    struct buf *body;
    if (draw % 3) {
        bool pauses = (draw >> 8) % 2;
        operation = add_operation(world, client, OPERATION_CHANGE, pauses ? MSG_PAUSE : MSG_RESUME);
        operation->may_pause = pauses;
        body = open_body(operation, 1);
        pack_key(body, "runs");
        pack_array(body, 1);
        pack_cstr(body, name);
        return;
    }
    bool uses = world->plan.limits && (draw >> 16) % 2;
    operation = add_operation(world, client, OPERATION_CHANGE, MSG_POOL_UPDATE);
    body = open_body(operation, 3u + uses);
    pack_key(body, "run");
    pack_cstr(body, name);
    pack_key(body, "priority");
    pack_int(body, random_between(&world->random, -2, 2));
    pack_key(body, "name");
    pack_name(world, body);
    if (uses) {
        pack_key(body, "uses");
        pack_uses(world, body);
    }
}

static void request_resize(struct world *world, struct client *client)
{
    unsigned host = (unsigned)(random_next(&world->random) % world->host_count);
    int64_t least = host == 0 && world->plan.wide ? 2 : 1;
    struct buf *body = open_change(world, client, MSG_RESIZE, 2);
    pack_key(body, "host");
    pack_cstr(body, world->hosts[host].name);
    pack_key(body, "slots");
    pack_int(body, random_between(&world->random, least, MAX_SLOTS));
}

static void request_drain(struct world *world, struct client *client, unsigned host, bool undo)
{
    struct operation *operation = add_operation(world, client, OPERATION_CHANGE, MSG_DRAIN_HOST);
    operation->may_pause = !undo;
    struct buf *body = open_body(operation, 2);
    pack_key(body, "host");
    pack_cstr(body, world->hosts[host].name);
    pack_key(body, "undo");
    pack_bool(body, undo);
}

static void request_release(struct world *world, struct client *client)
{
    unsigned unit;
    if (!pick_unit(world, &unit))
        return;
    struct buf *body = open_change(world, client, MSG_RELEASE, 2);
    pack_key(body, "id");
    pack_cstr(body, world->units[unit].id);
    pack_key(body, "force");
    pack_bool(body, random_next(&world->random) % 4 != 0);
}

static void request_worker_pause(struct world *world, struct client *client)
{
    char name[32];
    unsigned at = world->paused_worker_count;
    if (!pick_worker(world, name, sizeof(name)))
        return;
    bool pauses = at < MAX_PAUSED_WORKERS && random_next(&world->random) % 2;
    if (pauses) {
        memcpy(world->paused_workers[at].id, name, sizeof(name));
        world->paused_worker_count++;
    }
    struct operation *operation =
        add_operation(world, client, OPERATION_CHANGE, pauses ? MSG_PAUSE : MSG_RESUME);
    operation->may_pause = pauses;
    struct buf *body = open_body(operation, 1);
    pack_key(body, "ids");
    pack_array(body, 1);
    pack_cstr(body, name);
}

static void request_by_hand(struct world *world, struct client *client)
{
    static const uint16_t types[] = {MSG_TICK, MSG_SCAN, MSG_SNAPSHOT, MSG_POOL_ORDER,
                                     MSG_MILESTONE};
    uint16_t type = types[random_next(&world->random) % 5];
    struct buf *body = open_change(world, client, type, type == MSG_MILESTONE);
    if (type != MSG_MILESTONE)
        return;
    pack_key(body, "name");
    pack_cstr(body, "by-hand");
}

/* What a seed may or may not have. */
static void request_change(struct world *world, struct client *client)
{
    const struct plan *plan = &world->plan;
    uint64_t draw = random_next(&world->random) % 18;
    if (draw < 5 && plan->sets)
        request_set(world, client);
    else if (draw >= 5 && draw < 7)
        request_cancel_one(world, client);
    else if (draw >= 7 && draw < 11 && plan->pool)
        request_pool(world, client);
    else if (draw == 11 && plan->resizes)
        request_resize(world, client);
    else if (draw == 12 && plan->releases)
        request_release(world, client);
    else if (draw == 13)
        request_worker_pause(world, client);
    else if (draw >= 16 && plan->drains)
        request_drain(world, client, (unsigned)(random_next(&world->random) % world->host_count),
                      draw == 16);
    else if (draw >= 14)
        request_by_hand(world, client);
}

static void request_query(struct world *world, struct client *client)
{
    static const uint16_t types[] = {MSG_LIST, MSG_STATS, MSG_FETCH, MSG_SHOW, MSG_EXPLAIN};
    uint64_t draw = random_next(&world->random);
    uint16_t type = types[draw % 5];
    bool about_run = type == MSG_SHOW || type == MSG_EXPLAIN;
    if (about_run && !world->known_run_count)
        return;
    struct operation *operation = add_operation(world, client, OPERATION_QUERY, type);
    struct buf *body = &operation->body;
    pack_map(body, type == MSG_STATS ? 0 : 1);
    if (type == MSG_LIST) {
        static const char *const what[] = {"units", "runs", "hosts", "pool", "limits", "slots"};
        pack_key(body, "what");
        pack_cstr(body, what[(draw >> 8) % 6]);
    } else if (type == MSG_FETCH) {
        pack_key(body, "from");
        pack_uint(body, 0);
    } else if (about_run) {
        pack_key(body, type == MSG_SHOW ? "id" : "run");
        pack_cstr(body, world->known_runs[(draw >> 8) % world->known_run_count].name);
    }
}

static void next_request(struct world *world, void *target, uint64_t argument)
{
    struct client *client = target;
    (void)argument;
    if (world->healed)
        return;
    uint64_t draw = random_next(&world->random) % 120;
    if (!world->units[0].applied) {
        if (client->index == 0 && client->waiting == 0)
            request_apply(world, client);
    } else if (client->waiting > 12) {
        /* Enough is open. */
    } else if (draw < 45) {
        request_run(world, client);
    } else if (draw < 60) {
        request_submit(world, client);
    } else if (draw < 68) {
        request_about_run(world, client, OPERATION_CANCEL, MSG_CANCEL);
    } else if (draw < 76) {
        request_about_run(world, client, OPERATION_RETRY, MSG_RETRY);
    } else if (draw < 86) {
        request_about_run(world, client, OPERATION_WAIT, MSG_WAIT);
    } else if (draw < 90) {
        request_pause(world, client, draw % 2);
    } else if (draw < 94) {
        request_apply(world, client);
    } else if (draw < 100) {
        request_query(world, client);
    } else {
        request_change(world, client);
    }
    world_at(world, world->now + random_spread(&world->random, world->plan.request_ms) + 1,
             next_request, client, 0);
}

static struct operation *find_number(struct client *client, uint64_t number)
{
    for (size_t i = 0; i < client->operation_count; i++)
        if (client->operations[i]->number == number)
            return client->operations[i];
    return NULL;
}

static void trace_body(struct world *world, const struct operation *operation)
{
    struct synk_document *document = NULL;
    struct buf text = {0};
    if (!synk_document_decode(buf_bytes(&operation->body), &document, NULL))
        json_print(synk_document_root(document), 0, &text);
    world_trace(world, "client: asks to %s: %.*s", msg_type_name(operation->type), (int)text.size,
                text.size ? (const char *)text.data : "");
    buf_fini(&text);
    synk_document_free(document);
}

static void send_operation(struct world *world, void *target, uint64_t number)
{
    struct client *client = target;
    struct operation *operation = find_number(client, number);
    if (!operation || operation->answered)
        return;
    operation->sequence = ++client->sequence;
    if (!operation->first_sequence)
        operation->first_sequence = operation->sequence;
    else
        world->totals->repeated_requests++;
    struct msg_header header = {operation->type, 0, operation->sequence};
    if (world->verbose && operation->kind == OPERATION_CHANGE)
        trace_body(world, operation);
    network_up(world, &client->endpoint, header, buf_bytes(&operation->body));
    /* A wait may be long; it is asked again now and then, since its answer may be lost. */
    int64_t patience = operation->kind == OPERATION_WAIT ? 10000 : 1500;
    world_at(world, world->now + patience + random_spread(&world->random, 2000), send_operation,
             client, number);
}

/* Replies. */

static void know_run(struct world *world, struct synk_bytes name, uint64_t run)
{
    unsigned at = world->known_run_count < MAX_KNOWN_RUNS
                      ? world->known_run_count++
                      : (unsigned)(random_next(&world->random) % MAX_KNOWN_RUNS);
    if (name.size >= sizeof(world->known_runs[at].name))
        name.size = 0;
    memset(&world->known_runs[at], 0, sizeof(world->known_runs[at]));
    memcpy(world->known_runs[at].name, name.data, name.size);
    world->known_runs[at].run = run;
}

static void check_wait(struct world *world, const struct operation *operation,
                       const struct synk_value *root)
{
    struct synk_bytes status = synk_value_bytes(synk_value_get(root, "status"));
    char name[32] = "";
    if (status.size < sizeof(name) && status.size)
        memcpy(name, status.data, status.size);
    int said = run_status_from_name(name);
    const struct run_record *run = vault_run(&world->vault, operation->run);
    if (said < 0 || !run_status_is_final((enum run_status)said))
        world_fail(world, "wait for run %llu is answered with '%s'",
                   (unsigned long long)operation->run, name);
    for (size_t i = 0; i < world->ledger.retried_count; i++)
        if (world->ledger.retried[i] == operation->run)
            return;
    if (!run && world->plan.keep_runs)
        return;
    if (!run || run->status != said)
        world_fail(world, "wait for run %llu is answered with '%s', recorded is '%s'",
                   (unsigned long long)operation->run, name,
                   run ? run_status_name(run->status) : "nothing");
}

static void take_reply(struct world *world, struct operation *operation,
                       const struct synk_value *root)
{
    uint64_t run = (uint64_t)synk_value_int(synk_value_get(root, "id"), 0);
    switch (operation->kind) {
    case OPERATION_APPLY:
        for (unsigned i = 0; i < world->unit_count; i++)
            world->units[i].applied = true;
        break;
    case OPERATION_RUN:
    case OPERATION_SUBMIT:
        if (run == 0)
            world_fail(world, "a run's reply names no run");
        know_run(world, synk_value_bytes(synk_value_get(root, "run")), run);
        ledger_acknowledged(world, run, operation->number);
        break;
    case OPERATION_WAIT:
        check_wait(world, operation, root);
        break;
    case OPERATION_CANCEL:
    case OPERATION_RETRY:
    case OPERATION_PAUSE:
    case OPERATION_RESUME:
    case OPERATION_QUERY:
    case OPERATION_CHANGE:
        break;
    }
}

/* Whether the error is one that goes by itself. */
static bool take_error(struct world *world, const struct operation *operation,
                       const struct synk_value *root)
{
    struct synk_bytes status = synk_value_bytes(synk_value_get(root, "status"));
    struct synk_bytes text = synk_value_bytes(synk_value_get(root, "text"));
    world_trace(world, "client: %s: %.*s: %.*s", msg_type_name(operation->type), (int)status.size,
                (const char *)status.data, (int)text.size, (const char *)text.data);
    if (bytes_equal(status, bytes_str("busy")) || bytes_equal(status, bytes_str("store-down")) ||
        bytes_equal(status, bytes_str("unavailable")) ||
        (text.size && memmem(text.data, text.size, "shutting down", 13)))
        return true;
    bool gone = world->plan.keep_runs && operation->kind == OPERATION_WAIT &&
                bytes_equal(status, bytes_str("not-found"));
    /* What a client may no longer find, or not as it expected. */
    bool is_taken = operation->type == MSG_SUBMIT && world->plan.pool &&
                    bytes_equal(status, bytes_str("refused"));
    bool is_released =
        world->plan.releases && operation->kind != OPERATION_WAIT &&
        (bytes_equal(status, bytes_str("not-found")) || bytes_equal(status, bytes_str("refused")));
    world->totals->refused_changes += operation->kind == OPERATION_CHANGE;
    bool may_be_refused = gone || is_taken || is_released || operation->kind == OPERATION_RETRY ||
                          operation->kind == OPERATION_CHANGE ||
                          operation->kind == OPERATION_CANCEL || operation->kind == OPERATION_QUERY;
    if (!may_be_refused)
        world_fail(world, "%s is answered with %.*s: %.*s", msg_type_name(operation->type),
                   (int)status.size, (const char *)status.data, (int)text.size,
                   (const char *)text.data);
    return false;
}

static void receive(struct world *world, void *owner, const struct packet *packet)
{
    struct client *client = owner;
    struct operation *operation = NULL;
    for (size_t i = 0; i < client->operation_count && !operation; i++) {
        struct operation *one = client->operations[i];
        if (!one->answered && packet->header.sequence >= one->first_sequence &&
            packet->header.sequence == one->sequence)
            operation = one;
    }
    if (!operation)
        return; /* late, or twice */
    struct synk_document *document;
    struct synk_error error;
    if (synk_document_decode(buf_bytes(&packet->body), &document, &error)) {
        world_fail(world, "a reply does not decode: %s", error.text);
        return;
    }
    bool again = false;
    if (packet->header.type == MSG_ERROR)
        again = take_error(world, operation, synk_document_root(document));
    else if (packet->header.type == MSG_REPLY)
        take_reply(world, operation, synk_document_root(document));
    else
        world_fail(world, "a client is sent '%s'", msg_type_name(packet->header.type));
    if (!again) {
        operation->answered = true;
        client->waiting--;
    }
    synk_document_free(document);
}

void client_init(struct world *world, struct client *client, unsigned index)
{
    *client =
        (struct client){.world = world, .index = index, .endpoint = {.socket = SOCKET_CLIENTS}};
    client->endpoint.owner = client;
    client->endpoint.receive = receive;
    network_open(world, &client->endpoint);
    world_at(world, world->now + random_spread(&world->random, 500), next_request, client, 0);
}

void client_fini(struct client *client)
{
    for (size_t i = 0; i < client->operation_count; i++) {
        buf_fini(&client->operations[i]->body);
        free(client->operations[i]);
    }
    free(client->operations);
    network_fini(&client->endpoint);
}

static void resume_submission(void *context, const struct record *record)
{
    struct world *world = context;
    char name[32];
    if (!record->run.paused || run_status_is_final(record->run.status))
        return;
    struct buf *body = open_change(world, &world->clients[0], MSG_RESUME, 1);
    int size = snprintf(name, sizeof(name), "pool#%llu", (unsigned long long)record->run.number);
    pack_key(body, "runs");
    pack_array(body, 1);
    pack_string(body, bytes_of(name, (size_t)size));
}

bool client_resume_all(struct world *world)
{
    for (unsigned i = 0; i < world->client_count; i++)
        for (size_t k = 0; k < world->clients[i].operation_count; k++) {
            const struct operation *operation = world->clients[i].operations[k];
            if ((operation->kind == OPERATION_PAUSE || operation->may_pause) &&
                !operation->answered)
                return false;
        }
    struct operation *operation =
        add_operation(world, &world->clients[0], OPERATION_RESUME, MSG_RESUME);
    struct buf *body = open_body(operation, 1);
    pack_key(body, "all");
    pack_bool(body, true);
    for (unsigned i = 0; i < world->paused_worker_count; i++) {
        body = open_change(world, &world->clients[0], MSG_RESUME, 1);
        pack_key(body, "ids");
        pack_array(body, 1);
        pack_cstr(body, world->paused_workers[i].id);
    }
    for (unsigned i = 0; i < world->host_count; i++)
        request_drain(world, &world->clients[0], i, true);
    vault_each(&world->vault, RECORD_RUN, resume_submission, world);
    return true;
}

bool client_all_answered(const struct world *world)
{
    for (unsigned i = 0; i < world->client_count; i++)
        if (world->clients[i].waiting)
            return false;
    return true;
}
