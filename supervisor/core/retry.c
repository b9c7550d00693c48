/*
 * What follows from an attempt's end.
 *
 * An attempt that failed or timed out counts against maxRetries. One whose runner crashed is tried
 * again whatever maxRetries says, until LIMIT_CRASHES of them: then the task is quarantined, since
 * what kills its runner each time will go on doing so, and `retry` of the run replays it. One that
 * was lost with its host, or given back, is tried again at once and counts against nothing. Numbers
 * of attempts are never handed out twice, counted or not: a late message of an old attempt must not
 * pass for the new one's.
 *
 * Where the process of the local host ended, an attempt may have brought it down. If it was the
 * only one there, it counts as a crash. Among several nobody knows: each is tried again at once,
 * until SUSPECT_DEATHS such ends make it a suspect. Suspects are tried one at a time, beside
 * whatever else there is; when the process ends under the one whose turn it is, that one has
 * crashed. So what always kills its host ends quarantined, and its neighbours do not. The count of
 * ends is in memory only: a restart of the supervisor forgets it, crashes it does not.
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
    if (delay_ms > LIMIT_DELAY_MS)
        delay_ms = LIMIT_DELAY_MS; /* times are sums of it */
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
        if (task_is_cancelled(run, task))
            task_finish(engine, run, task, TASK_CANCELLED, host, report);
        else
            retry_uncounted(engine, run, task);
        return;
    case OUTCOME_CRASHED:
        if (t->crashes < UINT8_MAX)
            t->crashes++;
        if (task_is_cancelled(run, task))
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
    if (!task_is_cancelled(run, task) && t->tries <= options->max_retries &&
        !exit_code_is_final(options, report->exit_status))
        wait_and_retry(engine, run, task, host, report);
    else
        task_finish(engine, run, task,
                    report->outcome == OUTCOME_FAILED ? TASK_FAILED : TASK_TIMED_OUT, host, report);
}

static bool is_suspect(const struct task *task)
{
    return task->extra && task->extra->host_deaths >= SUSPECT_DEATHS;
}

static bool may_have_run(const struct task *task, const struct blame *blame)
{
    return (task->flags & TASK_ORPHANED) && (!blame->only_running || task->state == TASK_RUNNING);
}

struct blame retry_blame(const struct host *host)
{
    struct blame blame = {0};
    size_t orphans = 0, running = 0;
    uint64_t slots = 0;
    for (size_t i = 0; i < host->flight_count; i++) {
        const struct task *task = &host->flight[i].run->tasks[host->flight[i].task];
        if (!(task->flags & TASK_ORPHANED))
            continue;
        orphans++;
        if (task->state == TASK_RUNNING) {
            running++;
            slots += task->slots;
        }
    }
    blame.only_running = slots >= host->exited_slots;
    blame.suspects = blame.only_running ? running : orphans;
    return blame;
}

/* Its host's process ended under it, and no other attempt can be the reason, or none should. */
static void count_crash(struct engine *engine, struct run *run, uint32_t task, struct host *host)
{
    const struct task *t = &run->tasks[task];
    struct msg_report report = {
        .outcome = OUTCOME_CRASHED,
        .started_at = t->state == TASK_RUNNING ? t->at : engine->wall,
        .exit_status = -1,
        .user_us = -1,
        .system_us = -1,
        .max_rss_kib = -1,
        .error = bytes_str("the worker host's process ended while it ran"),
    };
    retry_outcome(engine, run, task, host, &report);
}

static bool is_on_trial(const struct engine *engine, const struct run *run, uint32_t task)
{
    return engine->trial_run == run->id && engine->trial_task == task;
}

/* Whether it is this suspect's turn now. */
static bool take_turn(struct engine *engine, const struct run *run, uint32_t task)
{
    const struct run *other = run_find(engine, engine->trial_run);
    if (other && other->tasks && engine->trial_task < other->task_count) {
        uint8_t state = other->tasks[engine->trial_task].state;
        if (state == TASK_DISPATCHED || state == TASK_RUNNING ||
            (state == TASK_READY && engine->now - engine->trial_since < TRIAL_PATIENCE_MS))
            return false;
    }
    engine->trial_run = run->id;
    engine->trial_task = task;
    engine->trial_since = engine->now;
    return true;
}

/* A suspect that was not found guilty waits for its turn. */
static void wait_for_turn(struct engine *engine, struct run *run, uint32_t task)
{
    struct task *t = &run->tasks[task];
    task_move(engine, run, task, TASK_RETRY_WAIT);
    struct task_record *r = &task_record_add(engine, run, task)->task;
    r->ended_at = r->due_at = engine->wall;
    t->at = engine->now;
    retry_due(engine, run->id, task);
}

void retry_lost(struct engine *engine, struct run *run, uint32_t task, struct host *host,
                const struct blame *blame)
{
    struct task *t = &run->tasks[task];
    bool ran = blame->suspects && may_have_run(t, blame);
    t->flags &= (uint16_t) ~(TASK_UNLISTED | TASK_ORPHANED);
    if (ran) {
        if (task_extra(t)->host_deaths < UINT8_MAX)
            t->extra->host_deaths++;
        if (blame->suspects == 1 || (is_suspect(t) && is_on_trial(engine, run, task))) {
            count_crash(engine, run, task, host);
            return;
        }
    }
    save_attempt(engine, run, task, OUTCOME_LOST, host, NULL);
    if (t->flags & TASK_STARTED)
        engine->counts.reexecutions++;
    if (task_is_cancelled(run, task)) {
        task_end(engine, run, task, TASK_CANCELLED, "its host '%s' was lost", host->name);
        return;
    }
    event_task(engine, EVENT_RETRY, run, task, keep_bytes(engine, bytes_str("its host was lost")),
               (struct synk_bytes){0});
    task_detach(engine, run, task);
    if (is_suspect(t)) {
        wait_for_turn(engine, run, task);
        return;
    }
    task_ready(engine, run, task);
    task_record_add(engine, run, task);
}

void retry_uncounted(struct engine *engine, struct run *run, uint32_t task)
{
    if (task_is_cancelled(run, task)) {
        task_end(engine, run, task, TASK_CANCELLED,
                 run->cancelling ? "the run was cancelled" : "the task was cancelled");
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
    struct task *t = &run->tasks[task];
    if (is_suspect(t) && !take_turn(engine, run, task)) {
        t->at = engine->now + TRIAL_POLL_MS;
        timers_set(&engine->timers, t->at, TIMER_TASK, run_id, task);
        return;
    }
    task_ready(engine, run, task);
}
