/*
 * One page of a run's tasks, as PROTOCOL.md describes a run.
 *
 * A task is told by its row where that is final, else by the live task that the question brought,
 * else by a row that is not final, else it is pending: a row may be older than what is in memory,
 * but a final one never is. A run that ended before it started has no rows: its end is its tasks'.
 */
#include "supervisor/store/pages.h"

#include <stdio.h>

#include "proto/limits.h"
#include "proto/msg.h"
#include "proto/pack.h"
#include "supervisor/core/states.h"
#include "supervisor/store/packed.h"

enum {
    /* Of one task's attempts, the newest that fit: the item's room beside its result is 64 KiB. */
    ATTEMPTS_BYTES = 40 << 10,
    ATTEMPTS_MAX = 200,
};

struct page {
    const struct page_source *source;
    const struct query *query;
    const struct run_record *run;
    struct arena *arena;
    struct buf tasks, attempts, one;
    size_t live_at; /* next of query->live_tasks */
    bool has_row;   /* `row` is the next row */
    struct task_record row;
};

/* What is told about one task. */
struct told {
    struct task_record task;
    bool is_live;
};

static const char *outcome_text(unsigned outcome)
{
    static const char *const names[] = {
        [OUTCOME_SUCCEEDED] = "succeeded", [OUTCOME_FAILED] = "failed",
        [OUTCOME_TIMED_OUT] = "timed-out", [OUTCOME_CANCELLED] = "cancelled",
        [OUTCOME_CRASHED] = "crashed",
    };
    if (outcome == OUTCOME_LOST)
        return "lost";
    return outcome < sizeof(names) / sizeof(*names) ? names[outcome] : NULL;
}

/* How a task's last attempt ended, as far as its state tells; NULL: it has not. */
static const char *last_outcome_text(enum task_state state)
{
    switch (state) {
    case TASK_SUCCEEDED:
        return "succeeded";
    case TASK_FAILED:
    case TASK_RETRY_WAIT:
        return "failed";
    case TASK_TIMED_OUT:
        return "timed-out";
    case TASK_CANCELLED:
        return "cancelled";
    case TASK_QUARANTINED:
        return "crashed";
    default:
        return NULL;
    }
}

static void pack_known(struct buf *body, const char *key, int64_t value, int64_t unknown)
{
    pack_key(body, key);
    if (value == unknown)
        pack_null(body);
    else
        pack_int(body, value);
}

static void pack_duration(struct buf *body, int64_t started_at, int64_t ended_at)
{
    pack_key(body, "durationMs");
    if (started_at && ended_at)
        pack_int(body, ended_at - started_at);
    else
        pack_null(body);
}

static void pack_attempt(struct buf *body, const struct attempt_record *attempt,
                         const char *outcome)
{
    pack_map(body, 11);
    pack_key(body, "attempt");
    pack_uint(body, attempt->attempt);
    pack_key(body, "outcome");
    pack_cstr(body, outcome);
    page_pack_text(body, "host", attempt->host);
    page_pack_text(body, "error", attempt->error);
    page_pack_time(body, "startedAt", attempt->started_at);
    page_pack_time(body, "endedAt", attempt->ended_at);
    /* What did not end has no exit status; -1 says the same of what ended otherwise. */
    pack_known(body, "exit", attempt->ended_at ? attempt->exit_status : -1, -1);
    pack_known(body, "signal", attempt->signal, 0);
    pack_known(body, "userUs", attempt->ended_at ? attempt->user_us : -1, -1);
    pack_known(body, "systemUs", attempt->ended_at ? attempt->system_us : -1, -1);
    pack_known(body, "maxRssKib", attempt->ended_at ? attempt->max_rss_kib : -1, -1);
}

/* The attempt that the task's own record tells about. */
static void pack_last_attempt(struct buf *body, const struct task_record *task)
{
    struct attempt_record last = {
        .attempt = task->attempts,
        .host = task->host,
        .error = task->error,
        .started_at = task->started_at,
        .ended_at = task->ended_at,
        .exit_status = task->exit_status,
        .signal = task->signal,
        .user_us = task->user_us,
        .system_us = task->system_us,
        .max_rss_kib = task->max_rss_kib,
    };
    pack_attempt(body, &last, last_outcome_text(task->state));
}

/* Puts one packed attempt in front of those in page->attempts: rows come newest first. */
static void prepend_attempt(struct page *page)
{
    buf_append(&page->one, page->attempts.data, page->attempts.size);
    struct buf swap = page->attempts;
    page->attempts = page->one;
    page->one = swap;
    buf_clear(&page->one);
}

static enum synk_status pack_attempts(struct page *page, const struct task_record *task,
                                      struct synk_error *error)
{
    uint32_t count = 0;
    bool wants_last = task->attempts > 0 && task->state != TASK_SKIPPED;
    buf_clear(&page->attempts);
    buf_clear(&page->one);
    const struct page_source *source = page->source;
    enum synk_status status = source->open_attempts(source->backend, task->run, task->task, error);
    if (status != SYNK_OK)
        return status;
    struct record record;
    enum page_step step = source->next_attempt(source->backend, &record, error);
    bool is_listed =
        (step == STEP_ROW || step == STEP_BAD) && record.attempt.attempt == task->attempts;
    if (wants_last && !is_listed) {
        pack_last_attempt(&page->attempts, task);
        count++;
    }
    for (; (step == STEP_ROW || step == STEP_BAD) && count < ATTEMPTS_MAX &&
           page->attempts.size < ATTEMPTS_BYTES;
         step = source->next_attempt(source->backend, &record, error)) {
        if (step == STEP_BAD)
            continue;
        pack_attempt(&page->one, &record.attempt, outcome_text(record.attempt.outcome));
        prepend_attempt(page);
        count++;
    }
    if (step == STEP_FAILED)
        return error->status;
    pack_key(&page->tasks, "attemptList");
    pack_array(&page->tasks, count);
    buf_append(&page->tasks, page->attempts.data, page->attempts.size);
    return SYNK_OK;
}

static struct synk_bytes index_text(struct page *page, uint32_t index)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", index);
    return arena_copy(page->arena, bytes_str(text));
}

/* The name that the run's version of its definition gives the worker; empty where it has none. */
static enum synk_status find_worker(struct page *page, uint32_t index, struct synk_bytes *ret_name,
                                    struct synk_error *error)
{
    const struct run_record *run = page->run;
    struct record record;
    enum page_step step = page->source->get_worker(page->source->backend, run->unit, run->version,
                                                   index, &record, error);
    if (step == STEP_FAILED)
        return error->status;
    if (step == STEP_ROW)
        *ret_name = arena_copy(page->arena, packed_text(record.worker.body, "id"));
    return SYNK_OK;
}

/* The name of a task's worker where neither its row nor the live task has it. */
static enum synk_status worker_name(struct page *page, uint32_t index, struct synk_bytes *ret_name,
                                    struct synk_error *error)
{
    const struct run_record *run = page->run;
    enum synk_status status = SYNK_OK;
    *ret_name = run->worker;
    if (!ret_name->size && !run->spec.size)
        status = find_worker(page, index, ret_name, error);
    if (ret_name->size)
        return status;
    /* A standalone worker is one task with the unit's name; a pool's tasks go by number. */
    bool is_pool = run->spec.size || bytes_equal(run->unit, bytes_str("pool"));
    *ret_name = run->task_count == 1 && !is_pool ? run->unit : index_text(page, index);
    return status;
}

/* Steps to the next row that decodes. */
static enum synk_status next_row(struct page *page, struct synk_error *error)
{
    struct record record;
    enum page_step step;
    do
        step = page->source->next_task(page->source->backend, &record, error);
    while (step == STEP_BAD);
    page->has_row = step == STEP_ROW;
    if (page->has_row)
        page->row = record.task;
    return step == STEP_FAILED ? error->status : SYNK_OK;
}

static void overlay(struct task_record *task, const struct live_task *live)
{
    bool waits = live->state == TASK_RETRY_WAIT;
    *task = (struct task_record){
        .run = task->run,
        .task = live->task,
        .state = live->state,
        .attempts = live->attempts,
        .worker = live->worker.size ? live->worker : task->worker,
        .host = live->host,
        .started_at = live->started_at,
        /* Why it waits for another try is in its row alone. */
        .error = waits ? task->error : bytes_of(NULL, 0),
        .reason = live->reason,
    };
}

/* A task that nothing is recorded of. */
static struct task_record unrecorded(const struct page *page, uint32_t index)
{
    const struct run_record *run = page->run;
    struct task_record task = {.run = run->run, .task = index, .state = TASK_PENDING};
    if (!page->query->live && run->status == RUN_CANCELLED)
        task.state = TASK_CANCELLED;
    else if (!page->query->live && run->status == RUN_SKIPPED)
        task.state = TASK_SKIPPED;
    if (task.state != TASK_PENDING)
        task.ended_at = run->ended_at;
    return task;
}

/* Merges row and live task of one index. */
static struct task_record merge(struct page *page, uint32_t index)
{
    const struct query *query = page->query;
    bool has_row = page->has_row && page->row.task == index;
    struct task_record task = has_row ? page->row : unrecorded(page, index);
    while (page->live_at < query->live_task_count && query->live_tasks[page->live_at].task < index)
        page->live_at++;
    if (query->live && page->live_at < query->live_task_count &&
        query->live_tasks[page->live_at].task == index && !task_state_is_final(task.state))
        overlay(&task, &query->live_tasks[page->live_at]);
    return task;
}

static enum synk_status pack_task(struct page *page, uint32_t index, struct synk_error *error)
{
    struct task_record task = merge(page, index);
    struct buf *body = &page->tasks;
    struct synk_bytes name = task.worker;
    enum synk_status status = name.size ? SYNK_OK : worker_name(page, index, &name, error);
    if (status != SYNK_OK)
        return status;
    pack_map(body, page->query->with_attempts ? 11 : 10);
    pack_key(body, "worker");
    pack_string(body, name);
    pack_key(body, "state");
    pack_cstr(body, task_state_name(task.state));
    pack_key(body, "attempts");
    pack_uint(body, task.attempts);
    pack_key(body, "result");
    pack_encoded(body, task.result);
    page_pack_text(body, "error", task.error);
    page_pack_text(body, "host", task.host);
    page_pack_time(body, "startedAt", task.started_at);
    page_pack_time(body, "endedAt", task.ended_at);
    pack_duration(body, task.started_at, task.ended_at);
    page_pack_text(body, "reason", task.reason);
    return page->query->with_attempts ? pack_attempts(page, &task, error) : SYNK_OK;
}

/* Packs tasks from `from` until the page is full; *ret_next is the index after the last. */
static enum synk_status pack_tasks(struct page *page, uint32_t from, uint32_t end, size_t budget,
                                   uint32_t *ret_next, struct synk_error *error)
{
    const struct page_source *source = page->source;
    enum synk_status status = source->open_tasks(source->backend, page->run->run, from, end, error);
    if (status == SYNK_OK)
        status = next_row(page, error);
    uint32_t index = from;
    while (status == SYNK_OK && index < end && page->tasks.size < budget) {
        status = pack_task(page, index, error);
        if (status == SYNK_OK && page->has_row && page->row.task == index)
            status = next_row(page, error);
        index++;
    }
    *ret_next = index;
    return status;
}

static void pack_run(struct page *page, uint32_t task_count, uint32_t next, struct buf *body)
{
    const struct run_record *run = page->run;
    const struct query *query = page->query;
    uint32_t from = query->from;
    pack_map(body, 15);
    page_pack_text(body, "run", page_run_label(run, page->arena));
    pack_key(body, "id");
    pack_uint(body, run->run);
    page_pack_text(body, "unit", run->unit);
    pack_key(body, "status");
    pack_cstr(body, run_status_name(query->live ? query->live_status : run->status));
    pack_key(body, "params");
    pack_encoded(body, run->params);
    page_pack_text(body, "error", run->error);
    page_pack_text(body, "by", run->by);
    page_pack_time(body, "createdAt", run->created_at);
    page_pack_time(body, "startedAt", run->started_at);
    page_pack_time(body, "endedAt", run->ended_at);
    pack_duration(body, run->started_at, run->ended_at);
    pack_key(body, "taskCount");
    pack_uint(body, task_count);
    pack_key(body, "from");
    pack_uint(body, from);
    pack_key(body, "next");
    if (next < task_count)
        pack_uint(body, next);
    else
        pack_null(body);
    pack_key(body, "tasks");
    pack_array(body, next > from ? next - from : 0);
    buf_append(body, page->tasks.data, page->tasks.size);
}

enum synk_status page_run(const struct page_source *source, const struct query *query,
                          struct arena *arena, struct buf *body, struct synk_error *error)
{
    struct run_record run;
    enum synk_status status = page_find_run(source, query, arena, &run, error);
    if (status != SYNK_OK)
        return status;
    struct page page = {.source = source, .query = query, .run = &run, .arena = arena};
    uint32_t task_count = query->live ? query->task_count : run.task_count;
    uint32_t rows = page_rows(query->limit);
    uint32_t from = query->from, next = from;
    uint32_t end = from >= task_count ? from : task_count - from > rows ? from + rows : task_count;
    /* Parameters take of the same room; both together leave place for one more full result. */
    size_t budget = LIMIT_BATCH_BYTES - run.params.size;
    if (from < end)
        status = pack_tasks(&page, from, end, budget, &next, error);
    if (status == SYNK_OK)
        pack_run(&page, task_count, next, body);
    buf_fini(&page.tasks);
    buf_fini(&page.attempts);
    buf_fini(&page.one);
    return status;
}
