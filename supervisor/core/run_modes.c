/*
 * Run modes: which workers of a run without dependsOn have their turn now. A run's cursor passes
 * each worker once, in the order of the definition; a worker behind the cursor is pending no more.
 * maxParallel and maxFailures are those of the definition in force, which may change under a run,
 * and hold for graphs too.
 */
#include "supervisor/core/run_modes.h"

#include "supervisor/core/graph.h"
#include "supervisor/core/task.h"

enum run_mode run_mode_of(const struct run *run)
{
    return run->version && run->worker == NONE ? run->version->definition->process.run_mode
                                               : RUN_PARALLEL;
}

/* NULL where no process has a say. */
static const struct process_options *process_of(const struct run *run)
{
    if (!run->version || run->worker != NONE)
        return NULL;
    const struct version *current = run->unit->current;
    bool is_process = current && current->definition->kind == UNIT_PROCESS;
    return is_process ? &current->definition->process : &run->version->definition->process;
}

uint32_t run_active(const struct run *run)
{
    return run->open - run->counts[TASK_PENDING];
}

uint32_t run_max_parallel(const struct run *run)
{
    const struct process_options *process = process_of(run);
    return process && process->max_parallel ? process->max_parallel : UINT32_MAX;
}

bool run_is_clean_up(const struct worker_def *worker)
{
    for (uint32_t d = 0; d < worker->depends_on_count; d++)
        if (worker->depends_on[d].on == ON_ERROR || worker->depends_on[d].on == ON_ANY)
            return true;
    return false;
}

/* Once for each run, lest the end of every task look at all others. What of a recovered run seems
 * not to have begun may be at a host that has yet to tell. */
void run_heed_failures(struct engine *engine, struct run *run)
{
    const struct process_options *process = process_of(run);
    if (!process || !process->max_failures || run->failures < process->max_failures) {
        run->stopped = false;
        return;
    }
    if (run->stopped || (run->recovered && engine->barrier))
        return;
    run->stopped = true;
    bool is_graph = run_is_graph(run);
    for (uint32_t i = 0; i < run->task_count; i++) {
        const struct task *task = &run->tasks[i];
        bool waits = (task->state == TASK_READY && !task->attempts) ||
                     (task->state == TASK_PENDING && !is_graph);
        if (waits && !(is_graph && run_is_clean_up(&run->version->definition->workers[i])))
            task_end(engine, run, i, TASK_SKIPPED, "%s", RUN_STOPPED_TEXT);
    }
}

void run_heed(struct engine *engine, struct run *run)
{
    if (!run->tasks || run->cancelling || run_status_is_final(run->status))
        return;
    if (run_is_graph(run)) {
        run_heed_failures(engine, run);
        graph_advance(engine, run);
    } else {
        run_advance(engine, run);
    }
}

/* One worker has its turn. */
static void release(struct engine *engine, struct run *run, uint32_t task)
{
    if (run->tasks[task].state != TASK_PENDING)
        return;
    if (run->version && run->worker == NONE &&
        !run->version->definition->workers[task].unit->enabled)
        task_end(engine, run, task, TASK_SKIPPED, "'%s' is disabled", task_worker_id(run, task));
    else
        task_ready(engine, run, task);
}

static void skip_rest(struct engine *engine, struct run *run, const char *reason)
{
    for (uint32_t i = 0; i < run->task_count; i++)
        if (run->tasks[i].state == TASK_PENDING)
            task_end(engine, run, i, TASK_SKIPPED, "%s", reason);
}

static void advance_in_turn(struct engine *engine, struct run *run, bool isolated)
{
    while (run->cursor < run->task_count) {
        const struct task *previous = run->cursor ? &run->tasks[run->cursor - 1] : NULL;
        if (previous && !task_state_is_final(previous->state))
            return;
        /* Of those before the cursor: one behind it may have been cancelled alone. */
        if (previous && previous->state != TASK_SUCCEEDED && previous->state != TASK_SKIPPED) {
            skip_rest(engine, run,
                      "an earlier worker failed, and the run stops at the first failure");
            return;
        }
        int64_t delay_ms = run->version->definition->process.isolation_delay_ms;
        if (isolated && delay_ms > 0 && previous && previous->state != TASK_SKIPPED &&
            !run->turn_timer) {
            run->turn_timer = true;
            timers_set(&engine->timers, engine->now + delay_ms, TIMER_TURN, run->id, run->cursor);
            return;
        }
        run->turn_timer = false;
        release(engine, run, run->cursor++);
    }
}

/* Batches are cut by position, `size` enabled workers each, so that a recovered run has the same
 * ones. */
static void advance_batches(struct engine *engine, struct run *run, uint32_t size)
{
    bool is_over = true;
    while (is_over && run->cursor < run->task_count) {
        for (uint32_t taken = 0; run->cursor < run->task_count && taken < size;) {
            uint32_t task = run->cursor++;
            taken += run->version->definition->workers[task].unit->enabled;
            release(engine, run, task);
            is_over &= task_state_is_final(run->tasks[task].state);
        }
    }
}

void run_turn(struct engine *engine, struct run *run)
{
    if (run->tasks && run->turn_timer && !run->cancelling)
        advance_in_turn(engine, run, true);
}

void run_advance(struct engine *engine, struct run *run)
{
    if (!run->tasks || run->cancelling || run_is_graph(run))
        return;
    run_heed_failures(engine, run);
    if (run->stopped)
        return;
    enum run_mode mode = run_mode_of(run);
    if (mode == RUN_SEQUENTIAL || mode == RUN_ISOLATED) {
        if (!run->turn_timer)
            /* A recovered run's next worker may be at a host already: it must be ready to be
             * adopted, so the delay before it is not waited for once more. */
            advance_in_turn(engine, run, mode == RUN_ISOLATED && !(run->recovered && !run->cursor));
        return;
    }
    uint32_t most = run_max_parallel(run);
    uint32_t active = run_active(run);
    if (mode == RUN_BATCHED) {
        uint32_t size = run->version->definition->process.batch_size;
        if (!run->cursor || !active)
            advance_batches(engine, run, size < most ? size : most);
        return;
    }
    for (uint32_t taken = active; run->cursor < run->task_count && taken < most;) {
        uint32_t task = run->cursor++;
        bool waited = run->tasks[task].state == TASK_PENDING;
        release(engine, run, task);
        taken += waited && !task_state_is_final(run->tasks[task].state);
    }
}
