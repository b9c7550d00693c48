/*
 * Requests that need the records of a finished run: they wait while the store loads it, then go on
 * here. A retry makes the loaded run go on; all others leave it as it was.
 *
 * Invariant: retention is not told to the store while anything waits here (see retention.c), so a
 * run that is about to go on is not removed.
 */
#include "supervisor/core/requests_retry.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/value.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/explain.h"
#include "supervisor/core/graph.h"
#include "supervisor/core/hosts.h"
#include "supervisor/core/hydrate.h"
#include "supervisor/core/logs.h"
#include "supervisor/core/pool.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_run.h"
#include "supervisor/core/retention.h"
#include "supervisor/core/run.h"
#include "supervisor/core/run_modes.h"
#include "supervisor/core/task.h"

void request_load(struct engine *engine, const struct request *request, const struct run_name *name)
{
    struct loading *loading = mem_zalloc(1, sizeof(*loading));
    loading->token = ++engine->last_token;
    loading->request = *request;
    loading->request.body = NULL;
    value_encode(request->body, &loading->body);
    loading->next = engine->loadings;
    engine->loadings = loading;
    retention_interrupted(engine);
    struct query *query = query_add(engine, QUERY_LOAD_RUN);
    query->peer = request->peer;
    query->request = request->sequence;
    query->token = loading->token;
    query->run = name->run ? name->run->id : 0;
    query->unit = arena_copy(&engine->effects->arena, name->id);
    query->number = name->number;
}

/* The workers that `retry` is limited to; NULL = all. */
static const struct synk_value *retried_workers(const struct request *request)
{
    const struct synk_value *workers = synk_value_get(request->body, "workers");
    return value_is_null(workers) ? NULL : workers;
}

static bool is_named(const struct synk_value *workers, const struct run *run, uint32_t task)
{
    char number[16];
    struct synk_bytes name = task_worker_name(run, task, number);
    for (size_t i = 0; i < synk_value_count(workers); i++)
        if (bytes_equal(synk_value_bytes(synk_value_at(workers, i)), name))
            return true;
    return false;
}

/* Whether the task did not succeed and is to be run again. `workers` limits it; NULL = all. */
static bool is_retried(const struct run *run, uint32_t task, const struct synk_value *workers)
{
    enum task_state state = run->tasks[task].state;
    if (!task_state_is_final(state) || state == TASK_SUCCEEDED)
        return false;
    return !workers || state == TASK_SKIPPED || is_named(workers, run, task);
}

/* A task's last attempt is told by its own record, which is about to say that it is pending: from
 * then on it is one of the earlier ones. */
static void keep_last_attempt(struct engine *engine, const struct task_record *task)
{
    static const uint8_t outcomes[TASK_STATES] = {
        [TASK_FAILED] = OUTCOME_FAILED,
        [TASK_TIMED_OUT] = OUTCOME_TIMED_OUT,
        [TASK_CANCELLED] = OUTCOME_CANCELLED,
        [TASK_QUARANTINED] = OUTCOME_CRASHED,
    };
    struct record *record = batch_add(&engine->effects->batch, RECORD_ATTEMPT);
    record->attempt = (struct attempt_record){
        .run = task->run,
        .task = task->task,
        .attempt = task->attempts,
        .epoch = task->epoch,
        .outcome = outcomes[task->state],
        .host = keep_bytes(engine, task->host),
        .error = keep_bytes(engine, task->error),
        .started_at = task->started_at,
        .ended_at = task->ended_at,
        .exit_status = task->exit_status,
        .signal = task->signal,
        .user_us = task->user_us,
        .system_us = task->system_us,
        .max_rss_kib = task->max_rss_kib,
    };
}

static void keep_last_attempts(struct engine *engine, const struct run *run,
                               const struct synk_value *workers, const struct input *input)
{
    for (size_t i = 0; i < input->record_count; i++) {
        const struct task_record *task = &input->records[i].task;
        /* Without a host it ended by itself: skipped, or cancelled while it waited. */
        if (input->records[i].kind == RECORD_TASK && task->run == run->id && task->host.size &&
            task->task < run->task_count && run->tasks[task->task].state == task->state &&
            is_retried(run, task->task, workers))
            keep_last_attempt(engine, task);
    }
}

/* Puts what did not succeed back to pending. `workers` limits it; NULL = all. */
static uint32_t reset_tasks(struct engine *engine, struct run *run,
                            const struct synk_value *workers)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct task *task = &run->tasks[i];
        if (!is_retried(run, i, workers))
            continue;
        struct blob *kept = task->extra ? blob_ref(task->extra->result) : NULL;
        task_extra_free(task);
        if (kept)
            task_extra(task)->result = kept;
        task_move(engine, run, i, TASK_PENDING);
        task->tries = 0;
        task->crashes = 0;
        task->flags = 0;
        task->waiting = 0;
        /* Attempts of earlier epochs that some host may still have are stale from here on. */
        task->epoch = engine->epoch;
        task_record_add(engine, run, i);
        count++;
    }
    return count;
}

/* Whether something of the run is there to be run again: what has succeeded as a whole must not
 * begin and end once more, with its hooks and its count. */
static bool has_unsuccessful(const struct run *run, const struct synk_value *workers)
{
    for (uint32_t i = 0; i < run->task_count; i++) {
        enum task_state state = run->tasks[i].state;
        if (task_state_is_final(state) && state != TASK_SUCCEEDED && state != TASK_SKIPPED &&
            (!workers || is_named(workers, run, i)))
            return true;
    }
    return !workers && run->status != RUN_SUCCEEDED;
}

/* Answers for a retry that has nothing to do, or asks for a worker that is not there. */
static bool retry_is_answered(struct engine *engine, const struct request *request,
                              const struct run *run)
{
    const struct synk_value *workers = retried_workers(request);
    for (size_t i = 0; i < synk_value_count(workers); i++) {
        struct synk_bytes name = synk_value_bytes(synk_value_at(workers, i));
        if (!name.size || task_named(run, name) == NONE) {
            request_fail(engine, request, SYNK_NOT_FOUND, 0, "%s has no worker '%.*s'", run->label,
                         name.size > 128 ? 128 : (int)name.size,
                         name.size ? (const char *)name.data : "");
            return true;
        }
    }
    if (has_unsuccessful(run, workers))
        return false;
    reply_run(engine, request, run, "tasks", 0);
    return true;
}

static void retry_run(struct engine *engine, const struct request *request, struct run *run,
                      const struct input *input)
{
    const struct synk_value *workers = retried_workers(request);
    run_resume_finished(engine, run);
    keep_last_attempts(engine, run, workers, input);
    reset_tasks(engine, run, workers);
    uint32_t before = run->counts[TASK_PENDING];
    for (uint32_t i = 0; i < run->task_count; i++)
        run->failures += task_state_is_final(run->tasks[i].state) &&
                         run->tasks[i].state != TASK_SUCCEEDED &&
                         run->tasks[i].state != TASK_SKIPPED;
    if (run_is_graph(run))
        graph_recompute(engine, run);
    else
        run_advance(engine, run);
    if (!run->open)
        run_check_later(engine, run);
    reply_run(engine, request, run, "tasks", before);
}

void request_retry(struct engine *engine, struct request *request)
{
    struct run_name name;
    if (!request_named_run(engine, request, &name))
        return;
    if (name.run && !run_status_is_final(name.run->status)) {
        request_fail(engine, request, SYNK_REFUSED, 0, "%s has not ended", name.run->label);
        return;
    }
    request_load(engine, request, &name);
}

/* ---- answers to QUERY_LOAD_RUN ---- */

static struct run *take_loaded(struct engine *engine, const struct input *input,
                               struct synk_error *error)
{
    struct run *run = NULL;
    for (size_t pass = 0; pass < 4; pass++) {
        static const enum record_kind order[] = {RECORD_DEFINITION, RECORD_WORKER, RECORD_RUN,
                                                 RECORD_TASK};
        for (size_t i = 0; i < input->record_count; i++) {
            const struct record *record = &input->records[i];
            if (record->kind != order[pass])
                continue;
            if (order[pass] == RECORD_RUN) {
                run = run_find(engine, record->run.run);
                /* A summary of before a restart knows no version that is not in force. */
                if (run && run_status_is_final(run->status) && !run->version && !run->spec) {
                    retention_drop(engine, run);
                    run = NULL;
                }
                if (!run && hydrate_record(engine, record, error) == SYNK_OK)
                    run = run_find(engine, record->run.run);
                if (!run || !run_status_is_final(run->status)) {
                    status_fail(error, SYNK_REFUSED, "the run has not ended");
                    return NULL;
                }
                if (!run->tasks) {
                    run->tasks = mem_zalloc(run->task_count + 1u, sizeof(*run->tasks));
                    memset(run->counts, 0, sizeof(run->counts));
                    run->counts[TASK_PENDING] = run->task_count;
                    run->open = run->task_count;
                    run->loaded = true;
                    engine->counts.live_tasks += run->task_count;
                }
            } else if (order[pass] == RECORD_TASK) {
                if (run && record->task.run == run->id)
                    hydrate_task(engine, run, &record->task);
            } else {
                hydrate_record(engine, record, error);
            }
        }
    }
    if (!run)
        status_fail(error, SYNK_NOT_FOUND, "the run is not in the store any more");
    return run;
}

/* A run that was loaded and is not resumed goes back to a summary. */
static void drop_loaded(struct engine *engine, struct run *run)
{
    engine->counts.live_tasks -= run->open;
    run->counted = true;
    run->open = 0;
    run->loaded = false;
    run_free_tasks(run);
}

/* A log of a task that ended: its record tells the host. */
static void read_log(struct engine *engine, const struct request *request,
                     const struct input *input)
{
    struct synk_bytes worker = body_text(request, "worker");
    const struct task_record *found = NULL;
    size_t tasks = 0;
    for (size_t i = 0; i < input->record_count; i++) {
        const struct record *record = &input->records[i];
        if (record->kind != RECORD_TASK)
            continue;
        tasks++;
        char index[16];
        snprintf(index, sizeof(index), "%u", record->task.task);
        struct synk_bytes name = record->task.worker.size ? record->task.worker : bytes_str(index);
        if (!worker.size || bytes_equal(name, worker))
            found = &record->task;
    }
    if (!found || (!worker.size && tasks > 1) || !found->host.size)
        request_fail(engine, request, SYNK_NOT_FOUND, 0,
                     "there is no log: no such worker in this run, or it never started");
    else
        logs_send(engine, request, found->run, found->task, host_find(engine, found->host));
}

static void wait_loaded(struct engine *engine, const struct request *request,
                        const struct input *input)
{
    struct run *run = NULL;
    for (size_t i = 0; i < input->record_count && !run; i++)
        if (input->records[i].kind == RECORD_RUN)
            run = run_find(engine, input->records[i].run.run);
    if (run && !run_status_is_final(run->status)) {
        if (!waiter_add(engine, &run->waiters, request->peer, request->sequence))
            request_fail(engine, request, SYNK_BUSY, RETRY_AFTER_MS, "too many requests wait");
        return;
    }
    struct synk_error error = {0};
    run = take_loaded(engine, input, &error);
    if (!run) {
        request_error(engine, request, &error);
        return;
    }
    pack_run_result(run, reply_open(engine));
    reply_close(engine, request);
    drop_loaded(engine, run);
}

static void go_on(struct engine *engine, const struct request *request, const struct input *input,
                  const char *label)
{
    struct synk_error error = {0};
    if (request->type == MSG_WAIT) {
        wait_loaded(engine, request, input);
        return;
    }
    if (request->type == MSG_LOGS) {
        read_log(engine, request, input);
        return;
    }
    if (request->type == MSG_EXPLAIN) {
        explain_records(engine, request, label, input->records, input->record_count);
        return;
    }
    struct run *run = take_loaded(engine, input, &error);
    if (run && !run->version && !run->pool && run->spec)
        run->pool = pool_new(engine, run->spec, run->task_count, &error);
    if (run && (run->version || run->pool)) {
        if (!retry_is_answered(engine, request, run)) {
            run->loaded = false;
            retry_run(engine, request, run, input);
        } else if (run->loaded) {
            drop_loaded(engine, run);
        }
        return;
    }
    if (run)
        drop_loaded(engine, run);
    if (!error.status)
        status_fail(&error, SYNK_NOT_FOUND, "the run's definition is not in the store");
    request_error(engine, request, &error);
}

void requests_loaded(struct engine *engine, const struct input *input)
{
    struct loading **link = &engine->loadings;
    while (*link && (*link)->token != input->token)
        link = &(*link)->next;
    struct loading *loading = *link;
    if (!loading)
        return;
    *link = loading->next;
    struct synk_document *document = NULL;
    struct synk_error error = {0};
    if (synk_document_decode(buf_bytes(&loading->body), &document, &error)) {
        request_error(engine, &loading->request, &error);
    } else if (!input->record_count && input->text.size) {
        request_fail(engine, &loading->request, SYNK_IO, 0, "%.*s", (int)input->text.size,
                     (const char *)input->text.data);
    } else if (!input->record_count) {
        struct synk_bytes label = bytes_of(NULL, 0);
        value_get_string(synk_document_root(document), "run", 4096, &label);
        request_fail(engine, &loading->request, SYNK_NOT_FOUND, 0, "no run '%.*s'", (int)label.size,
                     label.size ? (const char *)label.data : "");
    } else {
        loading->request.body = synk_document_root(document);
        struct synk_bytes label = body_text(&loading->request, "run");
        char *text = arena_strndup(&engine->scratch, label.data, label.size);
        go_on(engine, &loading->request, input, text);
    }
    synk_document_free(document);
    buf_fini(&loading->body);
    free(loading);
}
