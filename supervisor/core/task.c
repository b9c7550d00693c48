/*
 * Tasks: the only code that changes a task's state. task_move holds each move against the table of
 * states.c and keeps the counts; task_ready, task_attach and task_detach keep a task in exactly the
 * list that its state calls for: a lane while ready, its host's flight while dispatched or running.
 */
#include "supervisor/core/task.h"

#include <stdio.h>
#include <stdlib.h>

#include "supervisor/core/dispatch.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/events.h"
#include "supervisor/core/graph.h"
#include "supervisor/core/hooks.h"
#include "supervisor/core/hosts.h"
#include "supervisor/core/limits.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/run.h"

/* Why a task that was cancelled alone has ended; in the record of one that has not, its mark. */
#define TASK_CANCELLED_TEXT "the task was cancelled"

const char *task_worker_id(const struct run *run, uint32_t task)
{
    if (!run->version)
        return "";
    return run->version->definition->workers[run_worker(run, task)].id;
}

struct synk_bytes task_worker_name(const struct run *run, uint32_t task, char number[16])
{
    if (run->version)
        return bytes_str(task_worker_id(run, task));
    char digits[16];
    size_t count = 0, size = 0;
    do {
        digits[count++] = (char)('0' + task % 10);
        task /= 10;
    } while (task);
    while (count)
        number[size++] = digits[--count];
    return bytes_of(number, size);
}

void task_move(struct engine *engine, struct run *run, uint32_t task, enum task_state state)
{
    struct task *t = &run->tasks[task];
    assert(task_move_is_legal(t->state, state));
    struct engine_counts *counts = &engine->counts;
    switch (t->state) {
    case TASK_READY:
        counts->ready_tasks--;
        break;
    case TASK_DISPATCHED:
    case TASK_RUNNING:
        counts->dispatched_tasks--;
        break;
    case TASK_RETRY_WAIT:
        counts->retry_wait_tasks--;
        break;
    default:
        break;
    }
    run->counts[t->state]--;
    run->counts[state]++;
    if (task_state_is_final(state)) {
        run->open--;
        counts->live_tasks--;
        counts->tasks_finished++;
    } else if (task_state_is_final(t->state)) {
        run->open++;
        counts->live_tasks++;
    }
    counts->ready_tasks += state == TASK_READY;
    counts->dispatched_tasks += state == TASK_DISPATCHED || state == TASK_RUNNING;
    counts->retry_wait_tasks += state == TASK_RETRY_WAIT;
    t->state = (uint8_t)state;
}

void task_ready(struct engine *engine, struct run *run, uint32_t task)
{
    struct task *t = &run->tasks[task];
    task_move(engine, run, task, TASK_READY);
    if (t->flags & TASK_IN_TURN)
        graph_leave_turn(run, task);
    if (t->extra) { /* of the attempt before */
        t->extra->progress = 0;
        blob_unref(t->extra->milestone);
        t->extra->milestone = NULL;
    }
    t->flags &= (uint16_t) ~(TASK_START_TOLD | TASK_CANCEL_SENT | TASK_UNLISTED | TASK_ORPHANED |
                            TASK_STARTED);
    uint32_t queue;
    if (run->pool) {
        queue = run->pool->queue;
    } else {
        const char *id = version_settings(engine, run, task, &queue)->id;
        if (run->unit->paused_worker_count && unit_worker_is_paused(run->unit, id)) {
            lane_push(engine, run, task, NULL);
            return;
        }
    }
    lane_push(engine, run, task, engine->queues[queue]);
}

void task_attach(struct engine *engine, struct run *run, uint32_t task, struct host *host,
                 enum task_state state)
{
    struct task *t = &run->tasks[task];
    uint32_t queue;
    if (run->pool)
        queue = run->pool->queue;
    else
        version_settings(engine, run, task, &queue);
    struct queue *q = engine->queues[queue];
    if (q->use_count)
        limits_take(q, t);
    t->slots = (uint16_t)(q->slots > UINT16_MAX ? UINT16_MAX : q->slots);
    t->cost_us = engine->functions[engine->classes[q->class]->function]->average_us;
    t->at = 0;
    task_move(engine, run, task, state);
    host->flight = mem_grow(host->flight, &host->flight_capacity, host->flight_count + 1,
                            sizeof(*host->flight));
    t->host = host->index;
    t->position = (uint32_t)host->flight_count;
    host->flight[host->flight_count++] = (struct flight){run, task, engine->now};
    host->used += t->slots;
    host->wide += t->slots > 1;
    host->expected_us += t->cost_us;
}

static void leave_host(struct engine *engine, struct task *t)
{
    struct host *host = engine->hosts[t->host];
    struct flight last = host->flight[--host->flight_count];
    if (t->position != host->flight_count) {
        host->flight[t->position] = last;
        last.run->tasks[last.task].position = t->position;
    }
    host->used -= t->slots;
    host->wide -= t->slots > 1;
    host->expected_us -= t->cost_us;
    if (t->holds)
        limits_give(engine, t);
    host_open(engine, host);
}

void task_detach(struct engine *engine, struct run *run, uint32_t task)
{
    struct task *t = &run->tasks[task];
    if (t->state == TASK_READY)
        lane_remove(engine, run, task);
    else if (t->state == TASK_DISPATCHED || t->state == TASK_RUNNING)
        leave_host(engine, t);
    else if (t->flags & TASK_IN_TURN)
        graph_leave_turn(run, task);
    t->at = 0;
}

struct task_extra *task_extra(struct task *task)
{
    if (!task->extra)
        task->extra = mem_zalloc(1, sizeof(*task->extra));
    return task->extra;
}

void task_extra_free(struct task *task)
{
    if (!task->extra)
        return;
    blob_unref(task->extra->result);
    blob_unref(task->extra->error);
    blob_unref(task->extra->reason);
    blob_unref(task->extra->milestone);
    free(task->extra);
    task->extra = NULL;
}

static bool has_readers(const struct run *run, uint32_t task)
{
    return run->version && run->worker == NONE && run->version->uses &&
           (run->version->uses[task] & WORKER_FEEDS);
}

struct record *task_record_add(struct engine *engine, struct run *run, uint32_t task)
{
    const struct task *t = &run->tasks[task];
    struct record *record = batch_add(&engine->effects->batch, RECORD_TASK);
    struct task_record *r = &record->task;
    r->run = run->id;
    r->task = task;
    r->state = t->state;
    r->crashes = t->crashes;
    r->attempts = t->attempts;
    r->tries = t->tries;
    r->epoch = t->epoch;
    r->exit_status = -1;
    r->user_us = r->system_us = r->max_rss_kib = -1;
    if (run->version)
        r->worker = keep_bytes(engine, bytes_str(task_worker_id(run, task)));
    r->has_readers = has_readers(run, task);
    return record;
}

/* The end of a task reaches its children, the run mode and the run through the lists of
 * consequences; a task of a pool or a single worker only counts. */
static void tell_run(struct engine *engine, struct run *run, uint32_t task)
{
    struct task *t = &run->tasks[task];
    if (t->state != TASK_SUCCEEDED && t->state != TASK_SKIPPED)
        run->failures++;
    if (run->version && run->worker == NONE && run->task_count > 1) {
        t->flags |= TASK_JUST_ENDED;
        if (engine->work_first && engine->work_first == engine->work_count)
            engine->work_first = engine->work_count = 0;
        engine->work = mem_grow(engine->work, &engine->work_capacity, engine->work_count + 1,
                                sizeof(*engine->work));
        engine->work[engine->work_count++] = (struct work){run, task};
    }
    if (!run->open)
        run_check_later(engine, run);
}

static void end(struct engine *engine, struct run *run, uint32_t task, enum task_state state,
                uint32_t cause, const char *text)
{
    struct task *t = &run->tasks[task];
    task_detach(engine, run, task);
    task_move(engine, run, task, state);
    t->cause = cause; /* or its result's size: none */
    struct blob *blob = blob_new(bytes_of(text, check_utf8_prefix(bytes_str(text))));
    bool is_error = state != TASK_SKIPPED && state != TASK_CANCELLED;
    struct blob **slot = is_error ? &task_extra(t)->error : &task_extra(t)->reason;
    blob_unref(*slot);
    *slot = blob;
    struct task_record *r = &task_record_add(engine, run, task)->task;
    r->ended_at = engine->wall;
    r->cause = cause;
    struct synk_bytes kept = keep_bytes(engine, blob_bytes(blob));
    *(is_error ? &r->error : &r->reason) = kept;
    enum event_type type = is_error                  ? EVENT_ERROR
                           : state == TASK_CANCELLED ? EVENT_CANCEL
                                                     : EVENT_SKIP;
    event_task(engine, type, run, task, is_error ? kept : (struct synk_bytes){0},
               is_error ? (struct synk_bytes){0} : payload_text(engine, "reason", kept));
    tell_run(engine, run, task);
}

void task_end(struct engine *engine, struct run *run, uint32_t task, enum task_state state,
              const char *format, ...)
{
    char text[LIMIT_ERROR_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    end(engine, run, task, state, 0, text);
}

void task_skip_for(struct engine *engine, struct run *run, uint32_t task, uint32_t failed,
                   const char *text)
{
    end(engine, run, task, TASK_SKIPPED, failed + 1, text);
}

void task_tell_start(struct engine *engine, struct run *run, uint32_t task)
{
    struct task *t = &run->tasks[task];
    if (t->flags & TASK_START_TOLD)
        return;
    t->flags |= TASK_START_TOLD | TASK_STARTED;
    event_task(engine, EVENT_START, run, task, (struct synk_bytes){0}, (struct synk_bytes){0});
    if (run->version) {
        uint32_t queue;
        const struct worker_def *worker = version_settings(engine, run, task, &queue);
        if (worker->unit->on_start.count && run->version->definition->kind == UNIT_PROCESS)
            hooks_fire(engine, &worker->unit->on_start, run, task, (struct synk_bytes){0});
    }
}

static void fire_worker_hooks(struct engine *engine, struct run *run, uint32_t task,
                              const struct msg_report *report)
{
    if (!run->version || run->version->definition->kind != UNIT_PROCESS)
        return;
    uint32_t queue;
    const struct unit_options *options = version_settings(engine, run, task, &queue)->unit;
    const struct hook_list *list =
        run->tasks[task].state == TASK_SUCCEEDED ? &options->on_complete : &options->on_error;
    if (list->count && run->tasks[task].state != TASK_CANCELLED)
        hooks_fire(engine, list, run, task, report->result);
}

/* Whether something will ask for a task's result once it has ended: tasks behind it, or hooks of a
 * standalone worker, which fire when its run has ended. */
static bool result_is_wanted(const struct run *run, uint32_t task)
{
    if (!run->version)
        return false;
    const struct definition *definition = run->version->definition;
    if (definition->kind == UNIT_WORKER)
        return definition->unit->on_complete.count > 0;
    return run->worker == NONE && run->version->uses && (run->version->uses[task] & WORKER_KEEPS);
}

void task_finish(struct engine *engine, struct run *run, uint32_t task, enum task_state state,
                 const struct host *host, const struct msg_report *report)
{
    struct task *t = &run->tasks[task];
    task_detach(engine, run, task);
    task_move(engine, run, task, state);
    t->result_size = state == TASK_SUCCEEDED ? (uint32_t)report->result.size : 0;
    struct task_record *r = &task_record_add(engine, run, task)->task;
    r->host = keep_bytes(engine, host->name_bytes);
    r->started_at = report->started_at;
    r->ended_at = report->ended_at ? report->ended_at : engine->wall;
    r->exit_status = report->exit_status;
    r->signal = report->signal;
    r->user_us = report->user_us;
    r->system_us = report->system_us;
    r->max_rss_kib = report->max_rss_kib;
    r->execution_us = report->execution_us;
    if (state == TASK_SUCCEEDED) {
        r->result = keep_bytes(engine, report->result);
        if (report->result.size && result_is_wanted(run, task)) {
            blob_unref(task_extra(t)->result);
            t->extra->result = blob_new(report->result);
        }
        event_task(engine, EVENT_COMPLETE, run, task, (struct synk_bytes){0},
                   (struct synk_bytes){0});
    } else {
        struct synk_bytes error = report->error;
        if (error.size > LIMIT_ERROR_BYTES)
            error.size = check_utf8_prefix(bytes_of(error.data, LIMIT_ERROR_BYTES));
        r->error = keep_bytes(engine, error);
        if (error.size) {
            blob_unref(task_extra(t)->error);
            t->extra->error = blob_new(error);
        }
        event_task(engine, state == TASK_CANCELLED ? EVENT_CANCEL : EVENT_ERROR, run, task,
                   r->error, (struct synk_bytes){0});
    }
    fire_worker_hooks(engine, run, task, report);
    tell_run(engine, run, task);
}

void task_cancel(struct engine *engine, struct run *run, uint32_t task, const char *reason)
{
    struct task *t = &run->tasks[task];
    if (task_state_is_final(t->state))
        return;
    if (t->state != TASK_DISPATCHED && t->state != TASK_RUNNING) {
        task_end(engine, run, task, TASK_CANCELLED, "%s", reason);
        return;
    }
    if (t->flags & TASK_CANCEL_SENT)
        return;
    t->flags |= TASK_CANCEL_SENT;
    host_cancel_attempt(engine, engine->hosts[t->host],
                        (struct attempt_id){run->id, task, t->epoch, t->attempts}, reason);
}

bool task_is_cancelled(const struct run *run, uint32_t task)
{
    return run->cancelling || (run->tasks[task].flags & TASK_CANCEL_WANTED);
}

void task_cancel_alone(struct engine *engine, struct run *run, uint32_t task)
{
    struct task *t = &run->tasks[task];
    if (task_state_is_final(t->state))
        return;
    bool is_held = run->recovered && engine->barrier; /* a host may have it */
    if (t->state == TASK_DISPATCHED || t->state == TASK_RUNNING || is_held) {
        t->flags |= TASK_CANCEL_WANTED;
        struct task_record *r = &task_record_add(engine, run, task)->task;
        r->reason = keep_bytes(engine, bytes_str(TASK_CANCELLED_TEXT));
        if (t->state == TASK_RETRY_WAIT) { /* as it was recorded when it began to wait */
            r->due_at = engine->wall + (t->at - engine->now);
            r->ended_at = engine->wall;
        }
        if (is_held && t->state != TASK_DISPATCHED && t->state != TASK_RUNNING)
            return;
    }
    task_cancel(engine, run, task, TASK_CANCELLED_TEXT);
}
