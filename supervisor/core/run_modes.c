/*
 * Run modes: which workers of a run without dependsOn have their turn now. A run's cursor passes
 * each worker once, in the order of the definition; a worker behind the cursor is pending no more.
 */
#include "supervisor/core/run_modes.h"

#include "supervisor/core/task.h"

enum run_mode run_mode_of(const struct run *run)
{
    return run->version && run->worker == NONE ? run->version->definition->process.run_mode
                                               : RUN_PARALLEL;
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
    if (run->failures) {
        skip_rest(engine, run, "an earlier worker failed, and the run stops at the first failure");
        return;
    }
    while (run->cursor < run->task_count) {
        const struct task *previous = run->cursor ? &run->tasks[run->cursor - 1] : NULL;
        if (previous && !task_state_is_final(previous->state))
            return;
        int64_t delay_ms = run->version->definition->process.isolation_delay_ms;
        if (isolated && delay_ms > 0 && previous && previous->state != TASK_SKIPPED &&
            !run->turn_timer) {
            run->turn_timer = true;
            timers_set(&engine->timers, engine->now + delay_ms, TIMER_TURN, run->id, run->cursor);
            return;
        }
        run->turn_timer = false;
        release(engine, run, run->cursor++);
        if (run->failures)
            return;
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
    const struct process_options *process =
        run->version && run->worker == NONE ? &run->version->definition->process : NULL;
    if (process && process->max_failures && run->failures >= process->max_failures) {
        skip_rest(engine, run, "too many workers failed (maxFailures)");
        return;
    }
    enum run_mode mode = run_mode_of(run);
    if (mode == RUN_SEQUENTIAL || mode == RUN_ISOLATED) {
        if (!run->turn_timer)
            /* A recovered run's next worker may be at a host already: it must be ready to be
             * adopted, so the delay before it is not waited for once more. */
            advance_in_turn(engine, run, mode == RUN_ISOLATED && !(run->recovered && !run->cursor));
        return;
    }
    uint32_t most = process && process->max_parallel ? process->max_parallel : UINT32_MAX;
    uint32_t active = run->open - run->counts[TASK_PENDING];
    if (mode == RUN_BATCHED) {
        if (!run->cursor || !active)
            advance_batches(engine, run, process->batch_size < most ? process->batch_size : most);
        return;
    }
    for (uint32_t taken = active; run->cursor < run->task_count && taken < most;) {
        uint32_t task = run->cursor++;
        bool waited = run->tasks[task].state == TASK_PENDING;
        release(engine, run, task);
        taken += waited && !task_state_is_final(run->tasks[task].state);
    }
}
