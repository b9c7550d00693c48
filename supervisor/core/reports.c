/*
 * What hosts tell of attempts: started, progress, results, milestones, rejections, and the list of
 * a sync.
 *
 * A result counts for the current attempt only: the task is at that host and (epoch, attempt) are
 * equal. One exception: a task that was recovered as ready or waiting for its retry, of which an
 * attempt newer than all recorded ones is told, was dispatched by an earlier life of the
 * supervisor; the attempt is taken as current: where the sync names it, or its result comes. (Its
 * milestones are told, and change nothing.) Everything else is acknowledged and not applied.
 */
#include "supervisor/core/reports.h"

#include <stdlib.h>

#include "proto/pack.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/events.h"
#include "supervisor/core/graph.h"
#include "supervisor/core/hosts.h"
#include "supervisor/core/queues.h"
#include "supervisor/core/retry.h"
#include "supervisor/core/run.h"
#include "supervisor/core/task.h"

/* Whether the attempt was handed out by an earlier life and not recorded. */
static bool is_unrecorded(const struct run *run, const struct task *task, struct attempt_id id)
{
    bool waits =
        task->state == TASK_READY || task->state == TASK_RETRY_WAIT || (task->flags & TASK_IN_TURN);
    return run->recovered && waits && id.attempt > task->attempts && id.epoch >= task->epoch;
}

static void adopt(struct engine *engine, struct run *run, struct host *host,
                  const struct attempt_id *id, bool running, int64_t at)
{
    struct task *task = &run->tasks[id->task];
    if (task->state == TASK_PENDING)
        task_ready(engine, run, id->task); /* its turn was before the restart */
    task_detach(engine, run, id->task);
    task->attempts = id->attempt;
    task->epoch = id->epoch;
    task->flags &= TASK_CANCEL_WANTED;
    task_attach(engine, run, id->task, host, running ? TASK_RUNNING : TASK_DISPATCHED);
    if (running) {
        /* Its start was told before the restart, or is told once more: at least once. */
        task->at = at ? at : engine->wall;
        task->flags |= TASK_STARTED | TASK_START_TOLD;
    }
}

static struct run *run_with_task(struct engine *engine, struct attempt_id id)
{
    struct run *run = run_find(engine, id.run);
    return run && run->tasks && id.task < run->task_count ? run : NULL;
}

static bool is_current(const struct task *task, const struct host *host, struct attempt_id id)
{
    return (task->state == TASK_DISPATCHED || task->state == TASK_RUNNING) &&
           task->host == host->index && task->epoch == id.epoch && task->attempts == id.attempt;
}

void reports_listed(struct engine *engine, struct host *host, const struct msg_attempt *attempt)
{
    struct run *run = run_with_task(engine, attempt->id);
    struct task *task = run ? &run->tasks[attempt->id.task] : NULL;
    bool running = attempt->phase == PHASE_RUNNING;
    if (task && is_current(task, host, attempt->id)) {
        task->flags &= (uint16_t)~TASK_UNLISTED;
        if (running && task->state == TASK_DISPATCHED) {
            task_move(engine, run, attempt->id.task, TASK_RUNNING);
            task->at = attempt->at ? attempt->at : engine->wall;
            task_tell_start(engine, run, attempt->id.task);
        }
        if (task->flags & TASK_CANCEL_SENT) /* the cancel may have been lost with the connection */
            host_cancel_attempt(engine, host, attempt->id, "cancel");
        return;
    }
    if (task && is_unrecorded(run, task, attempt->id)) {
        adopt(engine, run, host, &attempt->id, running, attempt->at);
        if (task_is_cancelled(run, attempt->id.task))
            task_cancel(engine, run, attempt->id.task, "cancel");
        return;
    }
    host_cancel_attempt(engine, host, attempt->id, "superseded");
}

void reports_started(struct engine *engine, struct host *host, const struct input *input)
{
    struct msg_attempt *attempts;
    size_t count;
    bool last;
    if (msg_attempts_decode(input->body, &engine->scratch, &attempts, &count, &last, NULL)) {
        engine->counts.protocol_errors++;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct run *run = run_with_task(engine, attempts[i].id);
        struct task *task = run ? &run->tasks[attempts[i].id.task] : NULL;
        if (!task || !is_current(task, host, attempts[i].id) || task->state != TASK_DISPATCHED)
            continue;
        task_move(engine, run, attempts[i].id.task, TASK_RUNNING);
        task->at = attempts[i].at ? attempts[i].at : engine->wall;
        task_tell_start(engine, run, attempts[i].id.task);
    }
}

void reports_progress(struct engine *engine, struct host *host, const struct input *input)
{
    struct msg_attempt *attempts;
    size_t count;
    bool last;
    if (msg_attempts_decode(input->body, &engine->scratch, &attempts, &count, &last, NULL)) {
        engine->counts.protocol_errors++;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct run *run = run_with_task(engine, attempts[i].id);
        struct task *task = run ? &run->tasks[attempts[i].id.task] : NULL;
        if (!task || !is_current(task, host, attempts[i].id))
            continue;
        task_extra(task)->progress = (float)attempts[i].progress;
        task_extra(task)->progressed_at = engine->now;
    }
}

void reports_reject(struct engine *engine, struct host *host, const struct input *input)
{
    struct msg_attempt *attempts;
    size_t count;
    bool last;
    if (msg_attempts_decode(input->body, &engine->scratch, &attempts, &count, &last, NULL)) {
        engine->counts.protocol_errors++;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct run *run = run_with_task(engine, attempts[i].id);
        struct task *task = run ? &run->tasks[attempts[i].id.task] : NULL;
        if (task && is_current(task, host, attempts[i].id) && task->state == TASK_DISPATCHED)
            retry_uncounted(engine, run, attempts[i].id.task);
    }
}

static void stale(struct engine *engine, const struct host *host, struct run *run,
                  const struct msg_report *report)
{
    engine->counts.results_stale++;
    if (!run)
        return;
    char number[16];
    event_emit(engine, &(struct event){
                           .type = EVENT_STALE,
                           .run = run,
                           .worker = run->tasks ? task_worker_name(run, report->id.task, number)
                                                : (struct synk_bytes){0},
                           .attempt = report->id.attempt,
                           .payload = payload_text(engine, "host", host->name_bytes),
                       });
}

static void tell_milestone(struct engine *engine, struct host *host, struct run *run,
                           const struct msg_report *report)
{
    char number[16];
    host->unsaved = true;
    milestone_emit(engine, run->unit, run, task_worker_name(run, report->id.task, number),
                   report->name, report->payload);
}

/* The run whose task's current attempt the report is about. NULL: it is not applied, and counted as
 * what it is. */
static struct run *run_of_report(struct engine *engine, struct host *host,
                                 const struct msg_report *report)
{
    struct run *run = run_find(engine, report->id.run);
    if (!run || (run->tasks && report->id.task >= run->task_count)) {
        stale(engine, host, NULL, report);
        return NULL;
    }
    if (!run->tasks) {
        /* Its tasks are no longer in memory: mostly a report sent again. */
        engine->counts.results_duplicate++;
        return NULL;
    }
    struct task *task = &run->tasks[report->id.task];
    if (is_unrecorded(run, task, report->id)) {
        /* Of an attempt that the sync did not name: it has ended. Its result follows, or died with
         * an earlier instance of the host; a milestone alone must not make it go on here. */
        if (report->kind == REPORT_MILESTONE) {
            tell_milestone(engine, host, run, report);
            return NULL;
        }
        adopt(engine, run, host, &report->id, false, 0);
        return run;
    }
    if (is_current(task, host, report->id))
        return run;
    if (task_state_is_final(task->state) && task->epoch == report->id.epoch &&
        task->attempts == report->id.attempt)
        engine->counts.results_duplicate++;
    else
        stale(engine, host, run, report);
    return NULL;
}

static void take_result(struct engine *engine, struct host *host, const struct msg_report *report)
{
    struct run *run = run_of_report(engine, host, report);
    if (!run)
        return;
    struct task *task = &run->tasks[report->id.task];
    engine->counts.results_applied++;
    if (report->outcome == OUTCOME_SUCCEEDED) {
        uint32_t queue;
        if (run->pool)
            queue = run->pool->queue;
        else
            version_settings(engine, run, report->id.task, &queue);
        function_measured(engine, queue, report->execution_us);
    }
    task->flags &= (uint16_t)~TASK_UNLISTED;
    retry_outcome(engine, run, report->id.task, host, report);
}

static void take_milestone(struct engine *engine, struct host *host,
                           const struct msg_report *report)
{
    struct run *run = run_of_report(engine, host, report);
    if (!run)
        return;
    /* Unlike a result, it leaves no trace in the task: its number has to be kept. */
    host->unsaved = true;
    /* The host tells late that an attempt began; the log has it before what it did. */
    task_tell_start(engine, run, report->id.task);
    struct task_extra *extra = task_extra(&run->tasks[report->id.task]);
    blob_unref(extra->milestone);
    extra->milestone = blob_new(report->name);
    char number[16];
    milestone_emit(engine, run->unit, run, task_worker_name(run, report->id.task, number),
                   report->name, report->payload);
}

void reports_message(struct engine *engine, struct host *host, const struct input *input)
{
    struct msg_report *reports;
    size_t count;
    if (msg_reports_decode(input->body, &engine->scratch, &reports, &count, NULL)) {
        engine->counts.protocol_errors++;
        return;
    }
    /* Before the sync is through its place among the host's messages is unknown: it comes again. */
    if ((host->connected && !host->synced) || !count)
        return;
    uint64_t first = input->header.sequence;
    if (!host->base_known) {
        /* What is below its first item was acknowledged. What was applied and whose acknowledgement
         * was lost comes again: of milestones the host's record tells. */
        host->base_known = true;
        if (first && first - 1 > host->applied)
            host->applied = first - 1;
        host->acked = host->applied;
    }
    if (first > host->applied + 1) {
        if (!host->connected)
            return;
        /* Something before it was lost: a new hello makes the host send everything again. */
        pack_map(send_open(engine), 0);
        send_close(engine, SOCKET_HOSTS, host->peer, MSG_WHO, 0, true);
        return;
    }
    engine->acks_due = true;
    /* What was seen before is acknowledged again: the acknowledgement was lost. */
    if (first + count - 1 <= host->applied)
        host->acked = 0;
    for (size_t i = 0; i < count; i++) {
        if (first + i <= host->applied)
            continue;
        host->applied = first + i;
        host->received_since_sync++;
        if (reports[i].kind == REPORT_RESULT)
            take_result(engine, host, &reports[i]);
        else
            take_milestone(engine, host, &reports[i]);
    }
}
