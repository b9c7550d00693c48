/*
 * What follows from an attempt's end.
 *
 * An attempt that failed or timed out counts against maxRetries. One whose runner crashed is tried
 * again whatever maxRetries says, until LIMIT_CRASHES of them: then the task is quarantined, since
 * what kills its runner each time will go on doing so, and `retry` of the run replays it. One that
 * was lost with its host, or given back, is tried again at once and counts against nothing. Numbers
 * of attempts are never handed out twice, counted or not: a late message of an old attempt must not
 * pass for the new one's.
 */
#include "supervisor/core/retry.h"

#include "supervisor/core/effects_write.h"
#include "supervisor/core/events.h"
#include "supervisor/core/graph.h"
#include "supervisor/core/pool.h"
#include "supervisor/core/run.h"
#include "supervisor/core/task.h"

static const struct worker_options *options_of(struct engine *engine, struct run *run,
                                               uint32_t task, const struct worker_def **ret_def)
{
    *ret_def = NULL;
    if (run->pool)
        return &run->pool->options;
    uint32_t queue;
    *ret_def = version_settings(engine, run, task, &queue);
    return (*ret_def)->worker;
}

static void save_attempt(struct engine *engine, struct run *run, uint32_t task, uint8_t outcome,
                         const struct host *host, const struct msg_report *report)
{
    const struct task *t = &run->tasks[task];
    struct record *record = batch_add(&engine->effects->batch, RECORD_ATTEMPT);
    struct attempt_record *r = &record->attempt;
    r->run = run->id;
    r->task = task;
    r->attempt = t->attempts;
    r->epoch = t->epoch;
    r->outcome = outcome;
    r->exit_status = -1;
    r->user_us = r->system_us = r->max_rss_kib = -1;
    r->ended_at = engine->wall;
    r->host = keep_bytes(engine, host->name_bytes);
    if (!report) {
        r->error = keep_bytes(engine, bytes_str("its host was lost"));
        r->started_at = t->state == TASK_RUNNING ? t->at : 0;
        return;
    }
    r->error = keep_bytes(engine, report->error);
    r->started_at = report->started_at;
    r->ended_at = report->ended_at ? report->ended_at : engine->wall;
    r->exit_status = report->exit_status;
    r->signal = report->signal;
    r->user_us = report->user_us;
    r->system_us = report->system_us;
    r->max_rss_kib = report->max_rss_kib;
}

/* How long to wait; false: the expression failed and the task has ended. */
static bool delay_of(struct engine *engine, struct run *run, uint32_t task,
                     const struct msg_report *report, int64_t *ret_delay_ms)
{
    const struct worker_def *worker;
    const struct worker_options *options = options_of(engine, run, task, &worker);
    const struct task *t = &run->tasks[task];
    *ret_delay_ms = options->retry_delay_ms;
    if (!options->retry_delay)
        return true;
    struct expression_bindings bindings = {
        .result = report->result,
        .payload = worker ? worker->payload : run->pool->payload,
        .params = run->pool ? pool_params(run->pool, task) : blob_bytes(run->params),
        .attempt = t->tries + t->crashes,
    };
    struct synk_error error = {0};
    if (!engine->has_evaluator) {
        task_end(engine, run, task, TASK_FAILED, "retryDelayMs cannot be evaluated here");
        return false;
    }
    if (engine->evaluator.delay(engine->evaluator.context, options->retry_delay, &bindings,
                                ret_delay_ms, &error)) {
        task_end(engine, run, task, TASK_FAILED, "retryDelayMs: %s", error.text);
        return false;
    }
    return true;
}

static void wait_and_retry(struct engine *engine, struct run *run, uint32_t task, struct host *host,
                           const struct msg_report *report)
{
    struct task *t = &run->tasks[task];
    save_attempt(engine, run, task, (uint8_t)report->outcome, host, report);
    int64_t delay_ms = 0;
    if (!delay_of(engine, run, task, report, &delay_ms))
        return;
    event_task(engine, EVENT_RETRY, run, task, keep_bytes(engine, report->error),
               (struct synk_bytes){0});
    task_detach(engine, run, task);
    if (report->error.size) {
        blob_unref(task_extra(t)->error);
        t->extra->error = blob_new(report->error);
    }
    task_move(engine, run, task, TASK_RETRY_WAIT);
    struct task_record *r = &task_record_add(engine, run, task)->task;
    r->host = keep_bytes(engine, host->name_bytes);
    r->started_at = report->started_at;
    r->ended_at = engine->wall; /* what the delay counts from, should the clock be set back */
    r->due_at = engine->wall + delay_ms;
    r->error = keep_bytes(engine, report->error);
    t->at = engine->now + delay_ms;
    if (delay_ms > 0)
        timers_set(&engine->timers, t->at, TIMER_TASK, run->id, task);
    else
        retry_due(engine, run->id, task);
}

static bool exit_code_is_final(const struct worker_options *options, int32_t exit_status)
{
    for (uint32_t i = 0; i < options->no_retry_exit_code_count; i++)
        if (options->no_retry_exit_codes[i] == exit_status)
            return true;
    return false;
}

void retry_outcome(struct engine *engine, struct run *run, uint32_t task, struct host *host,
                   const struct msg_report *report)
{
    struct task *t = &run->tasks[task];
    const struct worker_def *worker;
    const struct worker_options *options;
    if (report->started_at || report->outcome != OUTCOME_CANCELLED)
        task_tell_start(engine, run, task);
    switch (report->outcome) {
    case OUTCOME_SUCCEEDED:
        task_finish(engine, run, task, TASK_SUCCEEDED, host, report);
        return;
    case OUTCOME_CANCELLED:
        if (run->cancelling)
            task_finish(engine, run, task, TASK_CANCELLED, host, report);
        else
            retry_uncounted(engine, run, task);
        return;
    case OUTCOME_CRASHED:
        if (t->crashes < UINT8_MAX)
            t->crashes++;
        if (run->cancelling)
            task_finish(engine, run, task, TASK_CANCELLED, host, report);
        else if (t->crashes >= LIMIT_CRASHES)
            task_finish(engine, run, task, TASK_QUARANTINED, host, report);
        else
            wait_and_retry(engine, run, task, host, report);
        return;
    case OUTCOME_FAILED:
    case OUTCOME_TIMED_OUT:
        break;
    }
    if (t->tries < UINT16_MAX)
        t->tries++;
    options = options_of(engine, run, task, &worker);
    if (!run->cancelling && t->tries <= options->max_retries &&
        !exit_code_is_final(options, report->exit_status))
        wait_and_retry(engine, run, task, host, report);
    else
        task_finish(engine, run, task,
                    report->outcome == OUTCOME_FAILED ? TASK_FAILED : TASK_TIMED_OUT, host, report);
}

void retry_lost(struct engine *engine, struct run *run, uint32_t task, struct host *host)
{
    struct task *t = &run->tasks[task];
    save_attempt(engine, run, task, OUTCOME_LOST, host, NULL);
    if (t->flags & TASK_STARTED)
        engine->counts.reexecutions++;
    if (run->cancelling) {
        task_end(engine, run, task, TASK_CANCELLED, "its host '%s' was lost", host->name);
        return;
    }
    event_task(engine, EVENT_RETRY, run, task, keep_bytes(engine, bytes_str("its host was lost")),
               (struct synk_bytes){0});
    task_detach(engine, run, task);
    task_ready(engine, run, task);
    task_record_add(engine, run, task);
}

void retry_uncounted(struct engine *engine, struct run *run, uint32_t task)
{
    if (run->cancelling) {
        task_end(engine, run, task, TASK_CANCELLED, "the run was cancelled");
        return;
    }
    task_detach(engine, run, task);
    task_ready(engine, run, task);
}

void retry_due(struct engine *engine, uint64_t run_id, uint32_t task)
{
    struct run *run = run_find(engine, run_id);
    if (!run || !run->tasks || task >= run->task_count ||
        run->tasks[task].state != TASK_RETRY_WAIT || run->tasks[task].at > engine->now)
        return;
    task_ready(engine, run, task);
}
