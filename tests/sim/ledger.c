/*
 * What really happened, kept beside the engine and never told to it, and the invariants held
 * against it: no acknowledged run lost, one outcome each and the right one, no task before its
 * parents, gapless events, all finished in the end.
 */
#include <stdlib.h>

#include "proto/fields.h"
#include "proto/value.h"
#include "tests/sim/sim.h"

typedef unsigned long long ull;

void ledger_fini(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->slot_count; i++)
        if (ledger->slots[i]) {
            free(ledger->slots[i]->attempts);
            free(ledger->slots[i]);
        }
    free(ledger->slots);
    for (size_t i = 0; i < ledger->definition_count; i++) {
        free(ledger->definitions[i].unit);
        definition_unref(ledger->definitions[i].definition);
    }
    free(ledger->definitions);
    free(ledger->acknowledged);
    free(ledger->made);
    free(ledger->removed);
    free(ledger->retried);
    *ledger = (struct ledger){0};
}

/* Tasks by number: open addressing, at most half full. */
static struct task_truth **find_slot(struct ledger *ledger, uint64_t run, uint32_t task)
{
    uint64_t hash = (run * 0x9e3779b97f4a7c15u) ^ (task * 0xc2b2ae3d27d4eb4fu);
    size_t at = (hash ^ hash >> 29) & (ledger->slot_count - 1);
    while (ledger->slots[at] && (ledger->slots[at]->run != run || ledger->slots[at]->task != task))
        at = (at + 1) & (ledger->slot_count - 1);
    return &ledger->slots[at];
}

static struct task_truth *find_task(struct ledger *ledger, uint64_t run, uint32_t task)
{
    if (2 * (ledger->task_count + 1) > ledger->slot_count) {
        struct ledger old = *ledger;
        ledger->slot_count = old.slot_count ? old.slot_count * 2 : 256;
        ledger->slots = mem_zalloc(ledger->slot_count, sizeof(struct task_truth *));
        for (size_t i = 0; i < old.slot_count; i++)
            if (old.slots[i])
                *find_slot(ledger, old.slots[i]->run, old.slots[i]->task) = old.slots[i];
        free(old.slots);
    }
    struct task_truth **slot = find_slot(ledger, run, task);
    if (!*slot) {
        *slot = mem_zalloc(1, sizeof(**slot));
        (*slot)->run = run;
        (*slot)->task = task;
        ledger->task_count++;
    }
    return *slot;
}

static bool is_removed(const struct ledger *ledger, uint64_t run)
{
    for (size_t i = 0; i < ledger->removed_count; i++)
        if (ledger->removed[i] == run)
            return true;
    return false;
}

static struct truth *find_attempt(struct task_truth *task, struct attempt_id id)
{
    for (size_t i = task->attempt_count; i-- > 0;)
        if (attempt_id_equal(task->attempts[i].id, id))
            return &task->attempts[i];
    return NULL;
}

static struct truth *add_attempt(struct ledger *ledger, struct attempt_id id)
{
    struct task_truth *task = find_task(ledger, id.run, id.task);
    struct truth *truth = find_attempt(task, id);
    if (truth)
        return truth;
    task->attempts = mem_grow(task->attempts, &task->attempt_capacity, task->attempt_count + 1,
                              sizeof(*task->attempts));
    truth = &task->attempts[task->attempt_count++];
    *truth = (struct truth){.id = id};
    return truth;
}

/* The definition that a run keeps, read back from the store. */
static const struct definition *find_definition(struct world *world, const struct run_record *run)
{
    struct ledger *ledger = &world->ledger;
    for (size_t i = 0; i < ledger->definition_count; i++)
        if (ledger->definitions[i].version == run->version &&
            bytes_equal(bytes_str(ledger->definitions[i].unit), run->unit))
            return ledger->definitions[i].definition;
    const struct definition_record *header =
        vault_definition(&world->vault, run->unit, run->version);
    if (!header)
        return NULL;
    struct synk_bytes *workers = mem_zalloc(header->worker_count + 1, sizeof(*workers));
    bool complete = true;
    for (uint32_t i = 0; i < header->worker_count; i++) {
        const struct worker_record *worker =
            vault_worker(&world->vault, run->unit, run->version, i);
        complete = complete && worker;
        if (worker)
            workers[i] = worker->body;
    }
    struct definition *definition = NULL;
    struct synk_error error = {0};
    if (!complete || definition_decode(header->header, workers, header->worker_count,
                                       &world->checker, &definition, &error)) {
        world_fail(world, "the stored definition of '%.*s' does not decode: %s",
                   (int)run->unit.size, (const char *)run->unit.data,
                   complete ? error.text : "a worker is missing");
        definition = NULL;
    }
    free(workers);
    if (!definition)
        return NULL;
    ledger->definitions = mem_grow(ledger->definitions, &ledger->definition_capacity,
                                   ledger->definition_count + 1, sizeof(*ledger->definitions));
    ledger->definitions[ledger->definition_count++] = (struct known_definition){
        mem_strndup(run->unit.data, run->unit.size), run->version, definition};
    return definition;
}

static bool allows(enum dependency_on on, enum task_state state)
{
    bool failed = state == TASK_FAILED || state == TASK_TIMED_OUT || state == TASK_QUARANTINED;
    switch (on) {
    case ON_COMPLETED:
        return state == TASK_SUCCEEDED;
    case ON_NOT_ERROR:
        return state == TASK_SUCCEEDED || state == TASK_SKIPPED;
    case ON_ERROR:
        return failed;
    case ON_ANY:
        return task_state_is_final(state);
    }
    return false;
}

static bool condition_holds(struct world *world, const struct dependency *dependency,
                            const struct task_record *parent)
{
    struct expression_bindings bindings = {.result = parent->result,
                                           .status = task_state_name(parent->state)};
    bool value = false;
    return world->evaluator.condition(world->evaluator.context, dependency->condition, &bindings,
                                      &value, NULL) == SYNK_OK &&
           value;
}

/* Why the task may not run by what is durable; NULL = it may. */
static const char *parent_problem(struct world *world, const struct run_record *run, uint32_t task,
                                  const struct definition *definition)
{
    if (run->worker.size || task >= definition->worker_count)
        return NULL;
    if (!definition->is_graph) {
        enum run_mode mode = definition->process.run_mode;
        if ((mode != RUN_SEQUENTIAL && mode != RUN_ISOLATED) || task == 0)
            return NULL;
        const struct task_record *before = vault_task(&world->vault, run->run, task - 1);
        return before && task_state_is_final(before->state) ? NULL : "the one before has not ended";
    }
    const struct worker_def *worker = &definition->workers[task];
    for (uint32_t i = 0; i < worker->depends_on_count; i++) {
        const struct dependency *dependency = &worker->depends_on[i];
        const struct task_record *parent = vault_task(&world->vault, run->run, dependency->parent);
        if (!parent || !task_state_is_final(parent->state))
            return "a parent has not ended";
        if (!allows(dependency->on, parent->state))
            return "a parent ended otherwise";
        if (dependency->condition && !condition_holds(world, dependency, parent))
            return "a condition is false";
    }
    return NULL;
}

static bool may_be_retried(const struct ledger *ledger, uint64_t run)
{
    for (size_t i = 0; i < ledger->retried_count; i++)
        if (ledger->retried[i] == run)
            return true;
    return false;
}

/* What is durable and holds all tasks of the run back; NULL = nothing. */
static const char *held_problem(const struct world *world, const struct run_record *run)
{
    const struct unit_record *unit = vault_unit(&world->vault, run->unit);
    if (run->cancelling)
        return "its run is cancelled";
    if (run->paused)
        return "its submission is paused";
    if (unit && unit->paused)
        return "its unit is paused";
    bool is_released = !run->spec.size && (!unit || !unit->version);
    /* Who asks for a retry wants it, released or not. */
    if (is_released && !may_be_retried(&world->ledger, run->run))
        return "its unit is released";
    return NULL;
}

void ledger_dispatched(struct world *world, const struct msg_task *sent)
{
    struct attempt_id id = sent->id;
    struct task_truth *task = find_task(&world->ledger, id.run, id.task);
    const struct run_record *run = vault_run(&world->vault, id.run);
    const struct task_record *record = vault_task(&world->vault, id.run, id.task);
    world_trace(world, "  task %llu/%u attempt %u of epoch %u", (ull)id.run, id.task, id.attempt,
                id.epoch);
    if (!run) {
        world_fail(world, "task %llu/%u is dispatched, and its run is not durable", (ull)id.run,
                   id.task);
        return;
    }
    if (record && task_state_is_final(record->state))
        world_fail(world, "task %llu/%u is dispatched after its outcome '%s'", (ull)id.run, id.task,
                   task_state_name(record->state));
    if (id.epoch != world->vault.epoch)
        world_fail(world, "task %llu/%u is dispatched with epoch %u in epoch %u", (ull)id.run,
                   id.task, id.epoch, world->vault.epoch);
    const char *held = held_problem(world, run);
    if (held)
        world_fail(world, "task %llu/%u is dispatched: %s", (ull)id.run, id.task, held);
    const struct definition *definition = run->spec.size ? NULL : find_definition(world, run);
    const char *problem = definition ? parent_problem(world, run, id.task, definition) : NULL;
    if (problem)
        world_fail(world, "task %llu/%u is dispatched: %s", (ull)id.run, id.task, problem);
    if (task->attempt_count) {
        const struct truth *last = &task->attempts[task->last];
        bool again = last->started && (!last->ended || last->outcome == OUTCOME_SUCCEEDED);
        if (again && !attempt_id_equal(last->id, id)) {
            world->totals->reexecutions++;
            if (world_keeps_hosts(world) && !may_be_retried(&world->ledger, id.run))
                world_fail(world, "task %llu/%u is executed again, and no host was lost",
                           (ull)id.run, id.task);
        }
    }
    struct truth *truth = add_attempt(&world->ledger, id);
    truth->dispatched = true;
    task->last = (size_t)(truth - task->attempts);
}

void ledger_started(struct world *world, struct attempt_id id)
{
    struct truth *truth = add_attempt(&world->ledger, id);
    if (truth->started)
        world_fail(world, "task %llu/%u: attempt %u of epoch %u starts twice", (ull)id.run, id.task,
                   id.attempt, id.epoch);
    truth->started = true;
    world->totals->attempts++;
}

void ledger_ended(struct world *world, struct attempt_id id, enum outcome outcome,
                  struct synk_bytes result)
{
    struct truth *truth = add_attempt(&world->ledger, id);
    truth->ended = true;
    truth->outcome = outcome;
    truth->result_hash = bytes_hash(result);
}

void ledger_acknowledged(struct world *world, uint64_t run, uint64_t operation)
{
    struct ledger *ledger = &world->ledger;
    for (size_t i = 0; i < ledger->acknowledged_count; i++)
        if (ledger->acknowledged[i].operation == operation) {
            if (ledger->acknowledged[i].run != run)
                world_fail(world, "request %llu was answered with run %llu, then %llu",
                           (ull)operation, (ull)ledger->acknowledged[i].run, (ull)run);
            return;
        }
    ledger->acknowledged = mem_grow(ledger->acknowledged, &ledger->acknowledged_capacity,
                                    ledger->acknowledged_count + 1, sizeof(*ledger->acknowledged));
    ledger->acknowledged[ledger->acknowledged_count++] = (struct requested_run){run, operation};
    if (!vault_run(&world->vault, run) && !is_removed(ledger, run))
        world_fail(world, "run %llu is acknowledged, and not durable", (ull)run);
}

void ledger_check_acknowledged(struct world *world)
{
    const struct ledger *ledger = &world->ledger;
    for (size_t i = 0; i < ledger->acknowledged_count; i++)
        if (!vault_run(&world->vault, ledger->acknowledged[i].run) &&
            !is_removed(ledger, ledger->acknowledged[i].run))
            world_fail(world, "the acknowledged run %llu is lost",
                       (ull)ledger->acknowledged[i].run);
}

void ledger_retried(struct world *world, uint64_t run)
{
    struct ledger *ledger = &world->ledger;
    ledger->retried = mem_grow(ledger->retried, &ledger->retried_capacity,
                               ledger->retried_count + 1, sizeof(*ledger->retried));
    ledger->retried[ledger->retried_count++] = run;
}

/* The request's number in a run's parameters, {"op": N}; 0 = none. */
uint64_t ledger_operation_of(struct synk_bytes params)
{
    struct synk_document *document;
    if (params.size == 0 || synk_document_decode(params, &document, NULL))
        return 0;
    int64_t number = synk_value_int(synk_value_get(synk_document_root(document), "op"), 0);
    synk_document_free(document);
    return (uint64_t)number;
}

/* Every request of a client makes at most one run. */
static void check_once(struct world *world, const struct run_record *run)
{
    struct ledger *ledger = &world->ledger;
    uint64_t operation = ledger_operation_of(run->params);
    if (!operation || !bytes_equal(run->by, bytes_str("client")))
        return;
    for (size_t i = 0; i < ledger->made_count; i++)
        if (ledger->made[i].operation == operation)
            world_fail(world, "request %llu made run %llu, then run %llu", (ull)operation,
                       (ull)ledger->made[i].run, (ull)run->run);
    ledger->made = mem_grow(ledger->made, &ledger->made_capacity, ledger->made_count + 1,
                            sizeof(*ledger->made));
    ledger->made[ledger->made_count++] = (struct requested_run){run->run, operation};
}

static void check_run(struct world *world, const struct run_record *before,
                      const struct run_record *after)
{
    if (!before) {
        world->totals->runs++;
        world->totals->tasks += after->task_count;
        check_once(world, after);
        return;
    }
    if (run_status_is_final(before->status) && before->status != after->status &&
        !may_be_retried(&world->ledger, after->run))
        world_fail(world, "run %llu was '%s' and becomes '%s'", (ull)after->run,
                   run_status_name(before->status), run_status_name(after->status));
    if (before->status == RUN_QUEUED && after->status == RUN_RUNNING &&
        !world->plan.clock_jump_ms && after->started_at < after->not_before)
        world_fail(world, "run %llu starts %lld ms too soon", (ull)after->run,
                   (long long)(after->not_before - after->started_at));
    if (before->version != after->version || before->task_count != after->task_count)
        world_fail(world, "run %llu changes its graph", (ull)after->run);
}

/* A recorded outcome is that of the attempt that was dispatched last, as it really was. */
static void check_outcome(struct world *world, const struct task_record *after)
{
    struct task_truth *task = find_task(&world->ledger, after->run, after->task);
    struct attempt_id id = {after->run, after->task, after->epoch, after->attempts};
    if (after->state != TASK_SUCCEEDED)
        return;
    const struct truth *truth = find_attempt(task, id);
    if (!truth || !truth->ended || truth->outcome != OUTCOME_SUCCEEDED) {
        world_fail(world, "task %llu/%u succeeded by attempt %u of epoch %u, which did not",
                   (ull)id.run, id.task, id.attempt, id.epoch);
        return;
    }
    if (!attempt_id_equal(task->attempts[task->last].id, id))
        world_fail(world,
                   "task %llu/%u takes the stale result of attempt %u, epoch %u; current is "
                   "attempt %u, epoch %u",
                   (ull)id.run, id.task, id.attempt, id.epoch,
                   task->attempts[task->last].id.attempt, task->attempts[task->last].id.epoch);
    if (after->result.size && bytes_hash(after->result) != truth->result_hash)
        world_fail(world, "task %llu/%u has another result than it gave", (ull)id.run, id.task);
}

static void check_task(struct world *world, const struct task_record *before,
                       const struct task_record *after)
{
    world_trace(world, "  record: task %llu/%u %s, attempt %u of epoch %u", (ull)after->run,
                after->task, task_state_name(after->state), after->attempts, after->epoch);
    bool was_final = before && task_state_is_final(before->state);
    bool same = was_final && before->state == after->state && before->attempts == after->attempts &&
                before->epoch == after->epoch;
    if (was_final && !same && !may_be_retried(&world->ledger, after->run))
        world_fail(world, "task %llu/%u was '%s' and becomes '%s'", (ull)after->run, after->task,
                   task_state_name(before->state), task_state_name(after->state));
    if (task_state_is_final(after->state) && !same)
        check_outcome(world, after);
}

/* Retention takes finished runs, and never all of them. */
static void check_removal(struct world *world, const struct run_record *before, uint64_t run)
{
    struct ledger *ledger = &world->ledger;
    if (!world->plan.keep_runs || !before || !run_status_is_final(before->status))
        world_fail(world, "run %llu is removed and was '%s'", (ull)run,
                   before ? run_status_name(before->status) : "not there");
    ledger->removed = mem_grow(ledger->removed, &ledger->removed_capacity,
                               ledger->removed_count + 1, sizeof(*ledger->removed));
    ledger->removed[ledger->removed_count++] = run;
}

/* It is changed in place, or removed, after which its number may come back. */
static void forget_definition(struct ledger *ledger, const struct record *record)
{
    bool is_worker = record->kind == RECORD_WORKER;
    struct synk_bytes unit = is_worker ? record->worker.unit : record->definition.unit;
    uint32_t version = is_worker ? record->worker.version : record->definition.version;
    for (size_t i = 0; i < ledger->definition_count; i++) {
        struct known_definition *known = &ledger->definitions[i];
        if (known->version != version || !bytes_equal(bytes_str(known->unit), unit))
            continue;
        free(known->unit);
        definition_unref(known->definition);
        *known = ledger->definitions[--ledger->definition_count];
        return;
    }
}

void ledger_check_record(struct world *world, const struct record *before,
                         const struct record *after)
{
    if (after->kind == RECORD_DEFINITION || after->kind == RECORD_WORKER)
        forget_definition(&world->ledger, after);
    if (after->kind == RECORD_RUN && after->remove)
        check_removal(world, before ? &before->run : NULL, after->run.run);
    else if (after->kind == RECORD_RUN)
        check_run(world, before ? &before->run : NULL, &after->run);
    if (after->kind == RECORD_TASK && !after->remove)
        check_task(world, before ? &before->task : NULL, &after->task);
    if (after->kind == RECORD_TASK && after->remove && before &&
        task_state_is_final(before->task.state) && !may_be_retried(&world->ledger, after->task.run))
        world_fail(world, "the outcome of task %llu/%u is removed", (ull)after->task.run,
                   after->task.task);
    if (after->kind == RECORD_UNIT && before && before->unit.last_number > after->unit.last_number)
        world_fail(world, "run numbers of '%.*s' fall", (int)after->unit.id.size,
                   (const char *)after->unit.id.data);
    if (after->kind == RECORD_UNIT && before &&
        before->unit.last_version > after->unit.last_version)
        world_fail(world, "version numbers of '%.*s' fall", (int)after->unit.id.size,
                   (const char *)after->unit.id.data);
}

void ledger_check_events(struct world *world, const struct batch *batch)
{
    uint32_t in_topics = 0;
    if (!batch->event_count)
        return;
    world->totals->events += batch->event_count;
    if (batch->first_event != world->vault.last_event + 1)
        world_fail(world, "events go on with %llu after %llu", (ull)batch->first_event,
                   (ull)world->vault.last_event);
    for (size_t i = 0; i < batch->topic_count; i++)
        in_topics += batch->topics[i].count;
    if (in_topics != batch->event_count)
        world_fail(world, "%u events, %u in topics", batch->event_count, in_topics);
    struct cursor cursor = cursor_of(buf_bytes(&batch->events));
    uint32_t counted = 0;
    for (; cursor.at < cursor.end; counted++) {
        const uint8_t *start = cursor.at;
        cursor_skip(&cursor);
        struct synk_document *document;
        struct synk_bytes bytes = bytes_of(start, (size_t)(cursor.at - start));
        if (synk_document_decode(bytes, &document, NULL)) {
            world_fail(world, "an event does not decode");
            return;
        }
        int64_t seq = synk_value_int(synk_value_get(synk_document_root(document), "seq"), -1);
        synk_document_free(document);
        if (seq != (int64_t)(batch->first_event + counted))
            world_fail(world, "event %llu carries number %lld", (ull)(batch->first_event + counted),
                       (long long)seq);
    }
    if (counted != batch->event_count)
        world_fail(world, "%u events announced, %u there", batch->event_count, counted);
}

struct end_check {
    struct world *world;
    bool all_ended;
};

static void look_for_unfinished(void *context, const struct record *record)
{
    struct end_check *check = context;
    if (record->run.run <= check->world->horizon && !run_status_is_final(record->run.status))
        check->all_ended = false;
}

static void take_last(void *context, const struct record *record)
{
    *(uint64_t *)context = record->run.run;
}

uint64_t ledger_last_run(struct world *world)
{
    uint64_t last = 0;
    vault_each(&world->vault, RECORD_RUN, take_last, &last);
    return last;
}

bool ledger_all_ended(struct world *world)
{
    struct end_check check = {world, true};
    vault_each(&world->vault, RECORD_RUN, look_for_unfinished, &check);
    return check.all_ended;
}

/* A finished task against the graph: what ran was allowed to, what was skipped was not. */
static void check_graph_task(struct world *world, const struct run_record *run,
                             const struct task_record *task, const struct definition *definition)
{
    const char *problem = parent_problem(world, run, task->task, definition);
    bool ran = task->state == TASK_SUCCEEDED || task->state == TASK_TIMED_OUT ||
               task->state == TASK_QUARANTINED;
    if (ran && problem)
        world_fail(world, "task %llu/%u ended '%s': %s", (ull)run->run, task->task,
                   task_state_name(task->state), problem);
    const struct task_record *failed =
        task->cause ? vault_task(&world->vault, run->run, task->cause - 1) : NULL;
    if (task->cause && (task->state != TASK_SKIPPED || !failed || failed->state < TASK_FAILED ||
                        failed->state == TASK_SKIPPED))
        world_fail(world, "task %llu/%u was skipped for %u, which did not fail", (ull)run->run,
                   task->task, task->cause - 1);
    bool is_disabled =
        task->reason.size && memmem(task->reason.data, task->reason.size, "disabled", 8);
    if (task->state == TASK_SKIPPED && definition->is_graph && !problem && !is_disabled &&
        run->status == RUN_SUCCEEDED)
        world_fail(world, "task %llu/%u was skipped, though its parents allowed it (%.*s)",
                   (ull)run->run, task->task, (int)task->reason.size,
                   (const char *)task->reason.data);
}

static void check_ended_run(void *context, const struct record *record)
{
    struct end_check *check = context;
    struct world *world = check->world;
    const struct run_record *run = &record->run;
    unsigned failed = 0, missing = 0;
    if (!run_status_is_final(run->status))
        return;
    const struct definition *definition = run->spec.size ? NULL : find_definition(world, run);
    bool ran = run->status == RUN_SUCCEEDED || run->status == RUN_FAILED;
    for (uint32_t i = 0; i < run->task_count; i++) {
        const struct task_record *task = vault_task(&world->vault, run->run, i);
        if (!task) {
            missing++;
            continue;
        }
        if (!task_state_is_final(task->state))
            world_fail(world, "run %llu is '%s', its task %u is '%s'", (ull)run->run,
                       run_status_name(run->status), i, task_state_name(task->state));
        failed += task->state == TASK_FAILED || task->state == TASK_TIMED_OUT ||
                  task->state == TASK_QUARANTINED;
        if (definition && ran && !may_be_retried(&world->ledger, run->run))
            check_graph_task(world, run, task, definition);
    }
    if (ran && missing)
        world_fail(world, "run %llu is '%s', and %u of its %u tasks have no outcome", (ull)run->run,
                   run_status_name(run->status), missing, run->task_count);
    if (run->status == RUN_SUCCEEDED && failed)
        world_fail(world, "run %llu succeeded with %u failed tasks", (ull)run->run, failed);
    if (run->status == RUN_FAILED && !failed && !run->error.size)
        world_fail(world, "run %llu failed without a failed task or an error", (ull)run->run);
}

static void report_unfinished(void *context, const struct record *record)
{
    struct end_check *check = context;
    const struct run_record *run = &record->run;
    if (run->run > check->world->horizon || run_status_is_final(run->status))
        return;
    uint32_t first = 0;
    const struct task_record *task = NULL;
    for (; first < run->task_count; first++) {
        task = vault_task(&check->world->vault, run->run, first);
        if (!task || !task_state_is_final(task->state))
            break;
    }
    world_fail(check->world, "run %llu of '%.*s' is still '%s' (task %u: %s)", (ull)run->run,
               (int)run->unit.size, (const char *)run->unit.data, run_status_name(run->status),
               first, task ? task_state_name(task->state) : "no record");
}

struct schedule_count {
    struct synk_bytes unit;
    uint64_t runs;
};

static void count_scheduled(void *context, const struct record *record)
{
    struct schedule_count *count = context;
    count->runs += bytes_equal(record->run.by, bytes_str("schedule")) &&
                   bytes_equal(record->run.unit, count->unit);
}

/* An interval is never run more often than the time that passed allows. */
static void check_schedules(struct world *world)
{
    if (world->plan.clock_jump_ms)
        return;
    for (unsigned i = 0; i < world->unit_count; i++) {
        struct schedule_count count = {bytes_str(world->units[i].id), 0};
        uint64_t allowed = (uint64_t)world->now / SCHEDULE_MS + 2 + world->vault.epoch;
        vault_each(&world->vault, RECORD_RUN, count_scheduled, &count);
        if (count.runs > allowed)
            world_fail(world, "%s was run %llu times by its interval in %.3f s", world->units[i].id,
                       (ull)count.runs, (double)world->now / 1000);
    }
}

void ledger_check_end(struct world *world)
{
    check_schedules(world);
    struct end_check check = {world, true};
    ledger_check_acknowledged(world);
    vault_each(&world->vault, RECORD_RUN, report_unfinished, &check);
    vault_each(&world->vault, RECORD_RUN, check_ended_run, &check);
}
