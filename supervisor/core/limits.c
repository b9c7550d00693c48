/*
 * Named limits.
 *
 * Invariants: limit.used is what the attempts at hosts take, `task.holds` naming the queue by whose
 * uses they took it (the definition may change meanwhile), which has a reference for each of them.
 * A limit is defined while `most` is not 0; an undefined one stays in the table while queues refer
 * to it, and bounds nothing: it was removed with its file, and what was submitted before goes on.
 *
 * Whose turn it is: queues of one priority that use limits are served the least recently served
 * one first, a task at a time. The first that finds no room, while a host would take its task,
 * closes its limits for the others of the round. So what needs much of a limit is not passed for
 * ever by what needs little. All its limits, not only the short one: two queues that need the same
 * two would else each keep one of them from the other.
 *
 * A task that uses more than the limit (it was lowered since) goes when nobody else uses any.
 * While hosts of before a restart have yet to tell what they run (the barrier), nothing goes.
 */
#include "supervisor/core/limits.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/nearest.h"
#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/task.h"

enum {
    HOLDERS_NAMED = 5,
    /* Attempts at hosts that are looked at for who uses a limit. */
    FLIGHTS_SEARCHED = 20000,
};

/* Where the limit is, or would be. */
static size_t place_of(const struct engine *engine, const char *name)
{
    size_t low = 0;
    for (size_t high = engine->limit_count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(engine->limits[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct limit *find(const struct engine *engine, const char *name)
{
    size_t at = place_of(engine, name);
    bool is_there = at < engine->limit_count && strcmp(engine->limits[at]->name, name) == 0;
    return is_there ? engine->limits[at] : NULL;
}

static struct limit *find_or_add(struct engine *engine, const char *name)
{
    size_t at = place_of(engine, name);
    if (at < engine->limit_count && strcmp(engine->limits[at]->name, name) == 0)
        return engine->limits[at];
    struct limit *limit = mem_zalloc(1, sizeof(*limit));
    limit->name = mem_strdup(name);
    engine->limits = mem_grow(engine->limits, &engine->limit_capacity, engine->limit_count + 1,
                              sizeof(*engine->limits));
    memmove(&engine->limits[at + 1], &engine->limits[at],
            (engine->limit_count - at) * sizeof(*engine->limits));
    engine->limits[at] = limit;
    engine->limit_count++;
    return limit;
}

static void free_limit(struct limit *limit)
{
    free(limit->name);
    free(limit);
}

/* Those that are neither defined nor referred to. */
static void sweep(struct engine *engine)
{
    size_t kept = 0;
    for (size_t i = 0; i < engine->limit_count; i++) {
        struct limit *limit = engine->limits[i];
        if (limit->most || limit->references)
            engine->limits[kept++] = limit;
        else
            free_limit(limit);
    }
    engine->limit_count = kept;
}

void limits_free(struct engine *engine)
{
    for (size_t i = 0; i < engine->limit_count; i++)
        free_limit(engine->limits[i]);
    free(engine->limits);
}

/* ---- queues ---- */

uint32_t limits_uses(struct engine *engine, const struct worker_options *options,
                     struct queue_use uses[QUEUE_USES])
{
    uint32_t count = options->uses_count < QUEUE_USES ? options->uses_count : QUEUE_USES;
    for (uint32_t i = 0; i < count; i++)
        uses[i] = (struct queue_use){find_or_add(engine, options->uses[i].name),
                                     options->uses[i].amount};
    return count;
}

bool limits_same_uses(const struct queue *a, const struct queue *b)
{
    if (a->use_count != b->use_count)
        return false;
    for (uint32_t i = 0; i < a->use_count; i++)
        if (a->uses[i].limit != b->uses[i].limit || a->uses[i].amount != b->uses[i].amount)
            return false;
    return true;
}

uint64_t limits_hash(const struct queue *queue)
{
    uint64_t hash = queue->use_count;
    for (uint32_t i = 0; i < queue->use_count; i++)
        hash = index_number(hash ^ bytes_hash(bytes_str(queue->uses[i].limit->name)) ^
                            queue->uses[i].amount);
    return hash;
}

void limits_keep(struct engine *engine, struct queue *queue, const struct queue_use *uses)
{
    queue->uses = mem_alloc(queue->use_count * sizeof(*uses));
    memcpy(queue->uses, uses, queue->use_count * sizeof(*uses));
    for (uint32_t i = 0; i < queue->use_count; i++)
        uses[i].limit->references++;
    engine->limited_queues++;
}

void limits_drop(struct engine *engine, struct queue *queue)
{
    for (uint32_t i = 0; i < queue->use_count; i++)
        queue->uses[i].limit->references--;
    engine->limited_queues--;
    sweep(engine);
}

/* ---- attempts ---- */

static uint64_t room_of(const struct limit *limit, uint32_t amount)
{
    if (!limit->most)
        return UINT64_MAX;
    if (amount > limit->most)
        return limit->used == 0;
    return limit->used >= limit->most ? 0 : (limit->most - limit->used) / amount;
}

uint64_t limits_room(const struct engine *engine, const struct queue *queue)
{
    uint64_t room = engine->barrier ? 0 : UINT64_MAX;
    for (uint32_t i = 0; i < queue->use_count && room; i++) {
        const struct limit *limit = queue->uses[i].limit;
        uint64_t of_this =
            limit->closed == engine->round ? 0 : room_of(limit, queue->uses[i].amount);
        room = of_this < room ? of_this : room;
    }
    return room;
}

void limits_close(struct engine *engine, const struct queue *queue)
{
    for (uint32_t i = 0; i < queue->use_count; i++)
        if (queue->uses[i].limit->most)
            queue->uses[i].limit->closed = engine->round;
}

void limits_take(struct queue *queue, struct task *task)
{
    for (uint32_t i = 0; i < queue->use_count; i++)
        queue->uses[i].limit->used += queue->uses[i].amount;
    queue->references++;
    task->holds = queue->index + 1;
}

void limits_give(struct engine *engine, struct task *task)
{
    struct queue *queue = engine->queues[task->holds - 1];
    for (uint32_t i = 0; i < queue->use_count; i++)
        queue->uses[i].limit->used -= queue->uses[i].amount;
    assert(queue->references > 0);
    queue->references--;
    task->holds = 0;
    engine->dispatch_due = true;
}

/* ---- definitions ---- */

static const struct limit_def *in_set(const struct definition_set *set, const char *name)
{
    for (size_t i = 0; set && i < set->limit_count; i++)
        if (strcmp(set->limits[i].name, name) == 0)
            return &set->limits[i];
    return NULL;
}

static enum synk_status fail_unknown(const struct engine *engine, const struct definition_set *set,
                                     const char *name, const char *where, struct synk_error *error)
{
    struct nearest nearest = nearest_of(bytes_str(name));
    for (size_t i = 0; set && i < set->limit_count; i++)
        nearest_try(&nearest, bytes_str(set->limits[i].name));
    for (size_t i = 0; i < engine->limit_count; i++)
        if (engine->limits[i]->most)
            nearest_try(&nearest, bytes_str(engine->limits[i]->name));
    if (nearest.found.size)
        return status_fail(error, SYNK_INVALID,
                           "%s'uses': there is no limit '%s' (did you mean '%.*s'?)", where, name,
                           (int)nearest.found.size, (const char *)nearest.found.data);
    return status_fail(error, SYNK_INVALID,
                       "%s'uses': there is no limit '%s'; apply a definition with, at its top, "
                       "limits: {%s: AMOUNT}",
                       where, name, name);
}

enum synk_status limits_check(const struct engine *engine, const struct definition_set *set,
                              const struct worker_options *options, const char *where,
                              struct synk_error *error)
{
    for (uint32_t i = 0; i < options->uses_count; i++) {
        const struct uses *use = &options->uses[i];
        const struct limit_def *defined = in_set(set, use->name);
        const struct limit *limit = defined ? NULL : find(engine, use->name);
        uint32_t most = defined ? defined->most : limit ? limit->most : 0;
        if (!most)
            return fail_unknown(engine, set, use->name, where, error);
        if (use->amount > most)
            return status_fail(error, SYNK_INVALID, "%s'uses': %u of limit '%s', which is %u",
                               where, use->amount, use->name, most);
    }
    return SYNK_OK;
}

enum synk_status limits_check_definition(const struct engine *engine,
                                         const struct definition_set *set,
                                         const struct definition *definition,
                                         struct synk_error *error)
{
    enum synk_status status = SYNK_OK;
    const struct worker_options *last = NULL;
    for (uint32_t w = 0; w < definition->worker_count && !status; w++) {
        const struct worker_def *worker = &definition->workers[w];
        if (worker->worker == last || !worker->worker->uses_count)
            continue;
        last = worker->worker;
        char where[2 * LIMIT_ID_BYTES + 40];
        if (definition->kind == UNIT_PROCESS)
            snprintf(where, sizeof(where), "process '%s', worker '%s': ", definition->id,
                     worker->id);
        else
            snprintf(where, sizeof(where), "worker '%s': ", definition->id);
        status = limits_check(engine, set, worker->worker, where, error);
    }
    return status;
}

static bool has_unit(const struct definition_set *set, const char *id)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->units[i]->id, id) == 0)
            return true;
    return false;
}

/* Whether the set's limits leave room for a unit or submission that stays as it is. */
static enum synk_status check_kept(const struct limit_def *limit,
                                   const struct worker_options *options, const char *who,
                                   struct synk_error *error)
{
    for (uint32_t i = 0; i < options->uses_count; i++)
        if (strcmp(options->uses[i].name, limit->name) == 0 &&
            options->uses[i].amount > limit->most)
            return status_fail(error, SYNK_INVALID, "limit '%s' cannot be %u: '%s' uses %u of it",
                               limit->name, limit->most, who, options->uses[i].amount);
    return SYNK_OK;
}

static enum synk_status check_lowered(const struct engine *engine, const struct definition_set *set,
                                      const struct limit_def *limit, struct synk_error *error)
{
    enum synk_status status = SYNK_OK;
    for (size_t i = 0; i < engine->unit_count && !status; i++) {
        const struct unit *unit = engine->units[i];
        if (!unit->current || has_unit(set, unit->id_text))
            continue;
        const struct definition *definition = unit->current->definition;
        const struct worker_options *last = NULL;
        for (uint32_t w = 0; w < definition->worker_count && !status; w++) {
            if (definition->workers[w].worker == last)
                continue;
            last = definition->workers[w].worker;
            status = check_kept(limit, last, unit->id_text, error);
        }
    }
    for (const struct run *run = engine->pool->first_run; run && !status; run = run->unit_next)
        if (run->pool)
            status = check_kept(limit, &run->pool->options, run->label, error);
    return status;
}

enum synk_status limits_check_set(const struct engine *engine, const struct definition_set *set,
                                  struct synk_error *error)
{
    enum synk_status status = SYNK_OK;
    for (size_t i = 0; i < set->count && !status; i++)
        status = limits_check_definition(engine, set, set->units[i], error);
    for (size_t i = 0; i < set->limit_count && !status; i++) {
        const struct limit *old = find(engine, set->limits[i].name);
        if (old && old->most > set->limits[i].most)
            status = check_lowered(engine, set, &set->limits[i], error);
    }
    return status;
}

static bool options_use(const struct worker_options *options, const char *name)
{
    for (uint32_t i = 0; i < options->uses_count; i++)
        if (strcmp(options->uses[i].name, name) == 0)
            return true;
    return false;
}

static bool definition_uses(const struct definition *definition, const char *name)
{
    const struct worker_options *last = NULL;
    for (uint32_t w = 0; w < definition->worker_count; w++) {
        if (definition->workers[w].worker == last)
            continue;
        last = definition->workers[w].worker;
        if (options_use(last, name))
            return true;
    }
    return false;
}

/* Whether a prune takes it: nothing of the set, no submission and no run in progress uses it. */
static bool is_pruned(const struct engine *engine, const struct definition_set *set,
                      const struct limit *limit)
{
    if (!limit->most || in_set(set, limit->name))
        return false;
    for (size_t i = 0; i < set->count; i++)
        if (definition_uses(set->units[i], limit->name))
            return false;
    for (const struct run *run = engine->live_first; run; run = run->next)
        if (run->pool ? options_use(&run->pool->options, limit->name)
                      : run->version && definition_uses(run->version->definition, limit->name))
            return false;
    return true;
}

static void encode_change(const char *name, uint32_t most, const char *change, struct buf *out)
{
    pack_map(out, 3);
    pack_key(out, "name");
    pack_cstr(out, name);
    pack_key(out, "limit");
    pack_uint(out, most);
    pack_key(out, "change");
    pack_cstr(out, change);
}

void limits_encode_changes(const struct engine *engine, const struct definition_set *set,
                           bool prune, struct buf *out)
{
    struct buf items = {0};
    size_t count = set->limit_count;
    for (size_t i = 0; i < set->limit_count; i++) {
        const struct limit *old = find(engine, set->limits[i].name);
        encode_change(set->limits[i].name, set->limits[i].most,
                      !old || !old->most                 ? "created"
                      : old->most != set->limits[i].most ? "changed"
                                                         : "unchanged",
                      &items);
    }
    for (size_t i = 0; prune && i < engine->limit_count; i++) {
        if (!is_pruned(engine, set, engine->limits[i]))
            continue;
        encode_change(engine->limits[i]->name, engine->limits[i]->most, "removed", &items);
        count++;
    }
    pack_array(out, count);
    buf_append(out, items.data, items.size);
    buf_fini(&items);
}

static void save(struct engine *engine)
{
    struct buf out = {0};
    uint32_t count = 0;
    for (size_t i = 0; i < engine->limit_count; i++)
        count += engine->limits[i]->most != 0;
    pack_map(&out, count);
    for (size_t i = 0; i < engine->limit_count; i++) {
        if (!engine->limits[i]->most)
            continue;
        pack_cstr(&out, engine->limits[i]->name);
        pack_uint(&out, engine->limits[i]->most);
    }
    struct record *record = batch_add(&engine->effects->batch, RECORD_META);
    record->meta.name = keep_bytes(engine, bytes_str("limits"));
    record->meta.value = keep_bytes(engine, buf_bytes(&out));
    buf_fini(&out);
}

void limits_apply(struct engine *engine, const struct definition_set *set, bool prune)
{
    bool changed = false;
    for (size_t i = 0; prune && i < engine->limit_count; i++) {
        if (!is_pruned(engine, set, engine->limits[i]))
            continue;
        engine->limits[i]->most = 0;
        changed = true;
    }
    for (size_t i = 0; i < set->limit_count; i++) {
        struct limit *limit = find_or_add(engine, set->limits[i].name);
        changed = changed || limit->most != set->limits[i].most;
        limit->most = set->limits[i].most;
    }
    if (!changed)
        return;
    save(engine);
    sweep(engine);
    engine->dispatch_due = true;
}

/* ---- the rest ---- */

void limits_load(struct engine *engine, struct synk_bytes value)
{
    struct synk_document *document = NULL;
    if (synk_document_decode(value, &document, NULL))
        return;
    const struct synk_value *root = synk_document_root(document);
    for (size_t i = 0; i < synk_value_count(root); i++) {
        struct synk_bytes name = synk_value_key_at(root, i);
        int64_t most = synk_value_int(synk_value_at(root, i), 0);
        if (!name.size || name.size > LIMIT_ID_BYTES || most < 1 || most > INT32_MAX)
            continue;
        char text[LIMIT_ID_BYTES + 1] = {0};
        memcpy(text, name.data, name.size);
        find_or_add(engine, text)->most = (uint32_t)most;
    }
    synk_document_free(document);
}

/* Ready tasks that use it. */
static uint64_t waiting_for(const struct engine *engine, const struct limit *limit)
{
    uint64_t waiting = 0;
    for (size_t i = 0; i < engine->live_queues; i++) {
        const struct queue *queue = engine->queues[engine->queue_order[i]];
        for (uint32_t u = 0; u < queue->use_count; u++)
            waiting += queue->uses[u].limit == limit ? queue->ready : 0;
    }
    return waiting;
}

void limits_encode(const struct engine *engine, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < engine->limit_count; i++)
        count += engine->limits[i]->most != 0;
    pack_array(out, count);
    for (size_t i = 0; i < engine->limit_count; i++) {
        const struct limit *limit = engine->limits[i];
        if (!limit->most)
            continue;
        pack_map(out, 4);
        pack_key(out, "name");
        pack_cstr(out, limit->name);
        pack_key(out, "limit");
        pack_uint(out, limit->most);
        pack_key(out, "used");
        pack_uint(out, limit->used);
        pack_key(out, "waiting");
        pack_uint(out, waiting_for(engine, limit));
    }
}

static bool holds(const struct engine *engine, const struct task *task, const struct limit *limit)
{
    if (!task->holds)
        return false;
    const struct queue *queue = engine->queues[task->holds - 1];
    for (uint32_t i = 0; i < queue->use_count; i++)
        if (queue->uses[i].limit == limit)
            return true;
    return false;
}

static void name_holders(const struct engine *engine, const struct limit *limit, struct buf *out)
{
    size_t named = 0, searched = 0, found = 0;
    for (size_t h = 0; h < engine->host_count; h++) {
        const struct host *host = engine->hosts[h];
        for (size_t i = 0; host && i < host->flight_count && searched < FLIGHTS_SEARCHED; i++) {
            const struct flight *flight = &host->flight[i];
            searched++;
            if (!holds(engine, &flight->run->tasks[flight->task], limit) ||
                ++found > HOLDERS_NAMED)
                continue;
            char number[16];
            struct synk_bytes worker = task_worker_name(flight->run, flight->task, number);
            buf_printf(out, "%s%s '%.*s'", named++ ? ", " : " by ", flight->run->label,
                       (int)worker.size, (const char *)worker.data);
        }
    }
    if (found > HOLDERS_NAMED)
        buf_printf(out, " and others");
}

/* Whether a queue that the limit is for as well, and may go first, waits for it. */
static bool is_behind(const struct engine *engine, const struct queue *queue,
                      const struct limit *limit)
{
    for (size_t i = 0; i < engine->live_queues; i++) {
        const struct queue *other = engine->queues[engine->queue_order[i]];
        if (other->priority < queue->priority)
            return false;
        if (other == queue || !other->first || other->served >= queue->served)
            continue;
        for (uint32_t u = 0; u < other->use_count; u++)
            if (other->uses[u].limit == limit && !room_of(limit, other->uses[u].amount))
                return true;
    }
    return false;
}

bool limits_explain(const struct engine *engine, const struct queue *queue, struct buf *out)
{
    if (queue->use_count && engine->barrier) {
        buf_printf(out, "waits for %zu worker hosts of before the restart to tell what they use",
                   engine->expected_count);
        return true;
    }
    for (uint32_t i = 0; i < queue->use_count; i++) {
        const struct limit *limit = queue->uses[i].limit;
        bool is_short = !room_of(limit, queue->uses[i].amount);
        if (!limit->most || (!is_short && !is_behind(engine, queue, limit)))
            continue;
        buf_printf(out, "waits for %slimit '%s' (", is_short ? "" : "its turn at ", limit->name);
        if (queue->uses[i].amount > 1)
            buf_printf(out, "needs %u; ", queue->uses[i].amount);
        buf_printf(out, "%llu of %u in use", (unsigned long long)limit->used, limit->most);
        name_holders(engine, limit, out);
        buf_printf(out, ")");
        return true;
    }
    return false;
}
