/*
 * Versions and the graph: edges from parents to children in one array (two numbers an edge), what
 * each worker's result is needed for, and the rules of what a final parent means to its children.
 *
 * A child waits for all its parents to be final, and is skipped as soon as one edge is not
 * satisfied. Where the process has maxParallel, what its parents allow may have to wait for its
 * turn: it stays pending, with nothing left to wait for, in the run's list of such tasks
 * (TASK_IN_TURN), the first to come there being the first to go. Consequences go through the
 * engine's work list, never through recursion: a chain of a million skips is a loop.
 */
#include "supervisor/core/graph.h"

#include <stdio.h>
#include <stdlib.h>

#include "supervisor/core/queues.h"
#include "supervisor/core/run_modes.h"
#include "supervisor/core/task.h"

static void build_edges(struct version *version)
{
    const struct definition *definition = version->definition;
    uint32_t count = definition->worker_count;
    version->first_edge = mem_zalloc((size_t)count + 1, sizeof(uint32_t));
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t d = 0; d < definition->workers[i].depends_on_count; d++)
            version->first_edge[definition->workers[i].depends_on[d].parent + 1]++;
    for (uint32_t i = 0; i < count; i++)
        version->first_edge[i + 1] += version->first_edge[i];
    size_t edges = version->first_edge[count];
    version->edges = mem_alloc((edges ? edges : 1) * sizeof(*version->edges));
    uint32_t *fill = mem_alloc(((size_t)count + 1) * sizeof(*fill));
    memcpy(fill, version->first_edge, ((size_t)count + 1) * sizeof(*fill));
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t d = 0; d < definition->workers[i].depends_on_count; d++)
            version->edges[fill[definition->workers[i].depends_on[d].parent]++] =
                (struct edge){i, d};
    free(fill);
}

static bool is_template(const struct worker_def *worker)
{
    return (worker->flags & WORKER_HAS_TEMPLATES) &&
           (worker->template_uses & EXPRESSION_USES_INPUTS);
}

static void mark_graph_uses(struct version *version)
{
    const struct definition *definition = version->definition;
    for (uint32_t i = 0; i < definition->worker_count; i++) {
        const struct worker_def *worker = &definition->workers[i];
        bool reads_inputs = is_template(worker);
        for (uint32_t d = 0; d < worker->depends_on_count; d++)
            reads_inputs |= worker->depends_on[d].condition &&
                            (worker->depends_on[d].condition_uses & EXPRESSION_USES_INPUTS);
        for (uint32_t d = 0; d < worker->depends_on_count; d++) {
            const struct dependency *dependency = &worker->depends_on[d];
            uint8_t *uses = &version->uses[dependency->parent];
            *uses |= WORKER_FEEDS;
            if (reads_inputs ||
                (dependency->condition && (dependency->condition_uses & EXPRESSION_USES_RESULT)))
                *uses |= WORKER_KEEPS;
        }
    }
}

static void mark_uses(struct version *version)
{
    const struct definition *definition = version->definition;
    uint32_t count = definition->worker_count;
    enum run_mode mode = definition->process.run_mode;
    if (definition->is_graph) {
        version->uses = mem_zalloc(count, 1);
        mark_graph_uses(version);
    } else if (count > 1 && (mode == RUN_SEQUENTIAL || mode == RUN_ISOLATED)) {
        version->uses = mem_zalloc(count, 1);
        bool keeps = false;
        for (uint32_t i = count; i-- > 0;) {
            version->uses[i] =
                (uint8_t)((i + 1 < count ? WORKER_FEEDS : 0) | (keeps ? WORKER_KEEPS : 0));
            keeps |= is_template(&definition->workers[i]);
        }
    }
}

struct version *version_new(struct engine *engine, struct unit *unit, uint32_t number,
                            struct definition *definition)
{
    struct version *version = mem_zalloc(1, sizeof(*version));
    version->unit = unit;
    version->number = number;
    version->definition = definition;
    if (definition->is_graph)
        build_edges(version);
    mark_uses(version);
    uint32_t count = definition->worker_count;
    version->queues = mem_alloc((count ? count : 1) * sizeof(struct queue *));
    /* Options are shared among workers, so the one before mostly has the answer. */
    const struct worker_options *last = NULL;
    struct queue *queue = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (definition->workers[i].worker != last) {
            last = definition->workers[i].worker;
            queue = queue_for(engine, last);
        } else {
            queue->references++;
        }
        version->queues[i] = queue;
    }
    version->next = unit->versions;
    unit->versions = version;
    return version;
}

void version_free(struct version *version)
{
    if (!version)
        return;
    free(version->first_edge);
    free(version->edges);
    free(version->uses);
    for (uint32_t i = 0; i < version->definition->worker_count; i++)
        queue_unref(version->queues[i]);
    free(version->queues);
    free(version->forward);
    definition_unref(version->definition);
    free(version);
}

static bool same_worker(const void *item, const void *key)
{
    return strcmp(((const struct worker_def *)item)->id, key) == 0;
}

static void map_forward(struct version *version, const struct version *current)
{
    const struct definition *old = version->definition, *new = current->definition;
    free(version->forward);
    version->forward = mem_alloc(((size_t)old->worker_count + 1) * sizeof(uint32_t));
    version->forward_to = current->number;
    struct index by_id = {0};
    for (uint32_t i = 0; i < new->worker_count; i++)
        index_put(&by_id, bytes_hash(bytes_str(new->workers[i].id)), &new->workers[i]);
    for (uint32_t i = 0; i < old->worker_count; i++) {
        const char *id = old->workers[i].id;
        const struct worker_def *found =
            index_find(&by_id, bytes_hash(bytes_str(id)), same_worker, id);
        version->forward[i] = found ? (uint32_t)(found - new->workers) : NONE;
    }
    index_fini(&by_id);
}

const struct worker_def *version_settings(struct engine *engine, struct run *run, uint32_t task,
                                          uint32_t *ret_queue)
{
    struct version *version = run->version;
    uint32_t worker = run_worker(run, task);
    struct version *current = run->unit->current;
    if (current && current != version) {
        if (!version->forward || version->forward_to != current->number)
            map_forward(version, current);
        if (version->forward[worker] != NONE) {
            worker = version->forward[worker];
            version = current;
        }
    }
    const struct queue *queue = version->queues[worker];
    if (run->has_priority && run->priority != queue->priority)
        queue = queue_with_priority(engine, queue, run->priority);
    *ret_queue = queue->index;
    return &version->definition->workers[worker];
}

/* The task whose failure is behind what became of this one: itself, or the one that it was skipped
 * for; NONE where it succeeded, or was skipped without any. */
static uint32_t failed_behind(const struct run *run, uint32_t task)
{
    const struct task *t = &run->tasks[task];
    if (t->state == TASK_SUCCEEDED)
        return NONE;
    if (t->state != TASK_SKIPPED)
        return task;
    return t->cause ? t->cause - 1 : NONE;
}

/* What `on` makes of a parent's final state. */
static bool on_is_met(enum dependency_on on, enum task_state state)
{
    switch (on) {
    case ON_COMPLETED:
        return state == TASK_SUCCEEDED;
    case ON_NOT_ERROR:
        return state == TASK_SUCCEEDED || state == TASK_SKIPPED;
    case ON_ERROR:
        return state == TASK_FAILED || state == TASK_TIMED_OUT || state == TASK_QUARANTINED;
    case ON_ANY:
        return true;
    }
    return false;
}

/* The inputs of a condition: what its task's other parents came to so far. */
static size_t condition_inputs(struct engine *engine, const struct run *run,
                               const struct worker_def *child, struct expression_input **ret_inputs)
{
    struct expression_input *inputs =
        arena_alloc(&engine->scratch, (child->depends_on_count + 1) * sizeof(*inputs));
    size_t count = 0;
    for (uint32_t d = 0; d < child->depends_on_count; d++) {
        uint32_t parent = child->depends_on[d].parent;
        const struct task *task = &run->tasks[parent];
        if (task->state == TASK_SUCCEEDED && task->extra && task->extra->result)
            inputs[count++] =
                (struct expression_input){bytes_str(run->version->definition->workers[parent].id),
                                          blob_bytes(task->extra->result)};
    }
    *ret_inputs = inputs;
    return count;
}

/* "failed", "was cancelled", "timed out". */
static const char *what_became(enum task_state state, char text[32])
{
    bool is_done_to = state == TASK_CANCELLED || state == TASK_SKIPPED || state == TASK_QUARANTINED;
    snprintf(text, 32, "%s%s", is_done_to ? "was " : "",
             state == TASK_TIMED_OUT ? "timed out" : task_state_name(state));
    return text;
}

/* "'load' failed, and this needs it to succeed"; `failed` is what failed, or NONE. */
static void skip_for(struct engine *engine, struct run *run, uint32_t child, uint32_t parent,
                     uint32_t failed, enum dependency_on on)
{
    const char *parent_id = task_worker_id(run, parent);
    char text[2 * LIMIT_ID_BYTES + 160], became[32];
    if (on == ON_ERROR) {
        task_end(engine, run, child, TASK_SKIPPED, "'%s' %s, and this runs only when it fails",
                 parent_id, what_became(run->tasks[parent].state, became));
    } else if (failed == NONE) { /* skipped: ON_NOT_ERROR would be met */
        task_end(engine, run, child, TASK_SKIPPED, "'%s' was skipped, and this needs it to succeed",
                 parent_id);
    } else {
        what_became(run->tasks[failed].state, became);
        if (failed == parent)
            snprintf(text, sizeof(text), "'%s' %s, and this needs it to succeed%s", parent_id,
                     became, on == ON_NOT_ERROR ? " or be skipped" : "");
        else
            snprintf(text, sizeof(text), "'%s' %s, so '%s' did not run; this needs it to succeed",
                     task_worker_id(run, failed), became, parent_id);
        task_skip_for(engine, run, child, failed, text);
    }
}

/* Whether the edge lets its child go on; where not, the child has been ended. */
static bool edge_allows(struct engine *engine, struct run *run, uint32_t child, uint32_t parent,
                        const struct dependency *dependency)
{
    const struct definition *definition = run->version->definition;
    const char *parent_id = definition->workers[parent].id;
    const struct task *from = &run->tasks[parent];
    uint32_t failed = failed_behind(run, parent);
    if (!on_is_met(dependency->on, from->state)) {
        skip_for(engine, run, child, parent, failed, dependency->on);
        return false;
    }
    if (!dependency->condition)
        return true;
    struct expression_bindings bindings = {
        .payload = definition->workers[child].payload,
        .params = blob_bytes(run->params),
        .status = task_state_name(from->state),
    };
    if (from->extra)
        bindings.result = blob_bytes(from->extra->result);
    struct expression_input *inputs = NULL;
    if (dependency->condition_uses & EXPRESSION_USES_INPUTS)
        bindings.input_count = condition_inputs(engine, run, &definition->workers[child], &inputs);
    bindings.inputs = inputs;
    bool value = false;
    struct synk_error error = {0};
    if (!engine->has_evaluator) {
        task_end(engine, run, child, TASK_FAILED, "conditions cannot be evaluated here");
        return false;
    }
    if (engine->evaluator.condition(engine->evaluator.context, dependency->condition, &bindings,
                                    &value, &error)) {
        task_end(engine, run, child, TASK_FAILED, "condition on '%s': %s", parent_id, error.text);
        return false;
    }
    if (!value)
        task_end(engine, run, child, TASK_SKIPPED, "condition '%s' of %s was false",
                 dependency->condition, parent_id);
    return value;
}

static void enter_turn(struct run *run, uint32_t task)
{
    struct task *t = &run->tasks[task];
    t->flags |= TASK_IN_TURN;
    t->next = NONE;
    t->previous = run->turn_count ? run->turn_tail : NONE;
    *(run->turn_count ? &run->tasks[run->turn_tail].next : &run->turn_head) = task;
    run->turn_tail = task;
    run->turn_count++;
}

void graph_leave_turn(struct run *run, uint32_t task)
{
    struct task *t = &run->tasks[task];
    assert(t->flags & TASK_IN_TURN);
    t->flags &= (uint16_t)~TASK_IN_TURN;
    *(t->previous == NONE ? &run->turn_head : &run->tasks[t->previous].next) = t->next;
    *(t->next == NONE ? &run->turn_tail : &run->tasks[t->next].previous) = t->previous;
    run->turn_count--;
}

/* Whether a pending task that its parents allow may run at all; where not, it has been ended. */
static bool may_run(struct engine *engine, struct run *run, uint32_t task)
{
    const struct worker_def *worker = &run->version->definition->workers[task];
    if (!worker->unit->enabled)
        task_end(engine, run, task, TASK_SKIPPED, "'%s' is disabled", task_worker_id(run, task));
    else if (run->stopped && !run_is_clean_up(worker))
        task_end(engine, run, task, TASK_SKIPPED, "%s", RUN_STOPPED_TEXT);
    else
        return true;
    return false;
}

/* A pending task whose parents are all final and satisfied. */
static void allow(struct engine *engine, struct run *run, uint32_t task)
{
    if (!may_run(engine, run, task))
        return;
    if (!run->turn_count && run_active(run) < run_max_parallel(run))
        task_ready(engine, run, task);
    else
        enter_turn(run, task);
}

void graph_advance(struct engine *engine, struct run *run)
{
    uint32_t next;
    for (uint32_t task = run->turn_count ? run->turn_head : NONE; task != NONE; task = next) {
        bool has_room = run_active(run) < run_max_parallel(run);
        if (!has_room && !run->stopped)
            return;
        next = run->tasks[task].next;
        if (may_run(engine, run, task) && has_room)
            task_ready(engine, run, task);
    }
}

void graph_propagate(struct engine *engine, struct run *run, uint32_t task)
{
    const struct version *version = run->version;
    for (uint32_t e = version->first_edge[task]; e < version->first_edge[task + 1]; e++) {
        uint32_t child = version->edges[e].child;
        struct task *to = &run->tasks[child];
        if (to->state != TASK_PENDING)
            continue;
        const struct dependency *dependency =
            &version->definition->workers[child].depends_on[version->edges[e].dependency];
        if (!edge_allows(engine, run, child, task, dependency))
            continue;
        assert(to->waiting > 0);
        if (--to->waiting == 0)
            allow(engine, run, child);
    }
    if (run->turn_count)
        graph_advance(engine, run);
}

void graph_recompute(struct engine *engine, struct run *run)
{
    const struct definition *definition = run->version->definition;
    for (uint32_t i = 0; i < run->task_count; i++) {
        if (run->tasks[i].state != TASK_PENDING)
            continue;
        uint32_t waiting = 0;
        for (uint32_t d = 0; d < definition->workers[i].depends_on_count; d++)
            waiting +=
                !task_state_is_final(run->tasks[definition->workers[i].depends_on[d].parent].state);
        run->tasks[i].waiting = waiting;
    }
    /* What ends here reaches its children through the work list, as ever; a child that comes later
     * in this loop must not see that parent as final a second time, so finals are judged as they
     * were counted: by `waiting`. */
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct task *task = &run->tasks[i];
        if (task->state != TASK_PENDING)
            continue;
        const struct worker_def *worker = &definition->workers[i];
        uint32_t final = worker->depends_on_count - task->waiting;
        for (uint32_t d = 0; final && d < worker->depends_on_count; d++) {
            uint32_t parent = worker->depends_on[d].parent;
            if (!task_state_is_final(run->tasks[parent].state) ||
                (run->tasks[parent].flags & TASK_JUST_ENDED))
                continue;
            if (!edge_allows(engine, run, i, parent, &worker->depends_on[d]))
                break;
        }
        if (task->state == TASK_PENDING && task->waiting == 0)
            allow(engine, run, i);
    }
}
