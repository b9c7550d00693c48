/*
 * Rows as records. Stored bytes are trusted as little as a peer's: a number out of its field's
 * range, a state that does not exist, or a value that is no MessagePack makes the row undecodable.
 */
#include "supervisor/store/sqlite.h"

#include "proto/check.h"
#include "proto/limits.h"
#include "proto/msg.h"
#include "supervisor/core/states.h"

/* Takes the columns of one row one after the other; remembers the first thing that is wrong. */
struct row {
    sqlite3_stmt *statement;
    int column;
    const char *problem;
};

static uint64_t take_uint(struct row *row, uint64_t max, const char *problem)
{
    uint64_t value = (uint64_t)sqlite3_column_int64(row->statement, row->column++);
    if (value > max && !row->problem)
        row->problem = problem;
    return value;
}

static int64_t take_int(struct row *row)
{
    return sqlite3_column_int64(row->statement, row->column++);
}

static int32_t take_int32(struct row *row, const char *problem)
{
    int64_t value = take_int(row);
    if (value != (int32_t)value && !row->problem)
        row->problem = problem;
    return (int32_t)value;
}

/* Text and blobs alike: the column's type decides, and no conversion is wanted. */
static struct synk_bytes take_bytes(struct row *row)
{
    int column = row->column++;
    const void *data = sqlite3_column_blob(row->statement, column);
    if (!data)
        return (struct synk_bytes){NULL, 0};
    return bytes_of(data, (size_t)sqlite3_column_bytes(row->statement, column));
}

static struct synk_bytes take_name(struct row *row, const char *problem)
{
    struct synk_bytes name = take_bytes(row);
    if (name.size == 0 && !row->problem)
        row->problem = problem;
    return name;
}

static struct synk_bytes take_value(struct row *row, const char *problem)
{
    struct synk_bytes value = take_bytes(row);
    if (value.size && !row->problem && check_value(value, &check_message_limits, NULL) != SYNK_OK)
        row->problem = problem;
    return value;
}

static void take_meta(struct row *row, struct meta_record *meta)
{
    meta->name = take_name(row, "no name");
    meta->value = take_bytes(row);
}

static void take_unit(struct row *row, struct unit_record *unit)
{
    unit->id = take_name(row, "no id");
    unit->version = (uint32_t)take_uint(row, UINT32_MAX, "version out of range");
    unit->enabled = take_uint(row, 1, "enabled is not 0 or 1");
    unit->paused = take_uint(row, 1, "paused is not 0 or 1");
    unit->last_number = take_uint(row, INT64_MAX, "last_number out of range");
    unit->success_count = take_uint(row, INT64_MAX, "success_count out of range");
    unit->run_count = take_uint(row, INT64_MAX, "run_count out of range");
    unit->last_run_at = take_int(row);
    unit->due_at = take_int(row);
    unit->status = (uint8_t)take_uint(row, UNIT_PAUSED, "no such status");
    unit->execution = take_value(row, "execution is not a value");
    unit->overlay = take_bytes(row);
    unit->last_version = (uint32_t)take_uint(row, UINT32_MAX, "last_version out of range");
}

static void take_definition(struct row *row, struct definition_record *definition)
{
    definition->unit = take_name(row, "no unit");
    definition->version = (uint32_t)take_uint(row, UINT32_MAX, "version out of range");
    definition->worker_count = (uint32_t)take_uint(row, LIMIT_WORKERS, "too many workers");
    definition->header = take_name(row, "no header");
}

static void take_worker(struct row *row, struct worker_record *worker)
{
    worker->unit = take_name(row, "no unit");
    worker->version = (uint32_t)take_uint(row, UINT32_MAX, "version out of range");
    worker->index = (uint32_t)take_uint(row, LIMIT_WORKERS, "number out of range");
    worker->body = take_name(row, "no body");
}

static void take_run(struct row *row, struct run_record *run)
{
    run->run = take_uint(row, INT64_MAX, "run out of range");
    run->unit = take_name(row, "no unit");
    run->worker = take_bytes(row);
    run->number = take_uint(row, INT64_MAX, "number out of range");
    run->version = (uint32_t)take_uint(row, UINT32_MAX, "version out of range");
    run->status = (uint8_t)take_uint(row, RUN_SKIPPED, "no such status");
    run->cancelling = take_uint(row, 1, "cancelling is not 0 or 1");
    run->task_count = (uint32_t)take_uint(row, UINT32_MAX, "task_count out of range");
    run->by = take_bytes(row);
    run->params = take_value(row, "params are not a value");
    run->spec = take_bytes(row);
    run->error = take_bytes(row);
    run->created_at = take_int(row);
    run->started_at = take_int(row);
    run->ended_at = take_int(row);
    run->has_priority = sqlite3_column_type(row->statement, row->column) != SQLITE_NULL;
    run->priority = take_int32(row, "priority out of range");
    run->name = take_bytes(row);
    run->paused = take_uint(row, 1, "paused is not 0 or 1");
}

static void take_task(struct row *row, struct task_record *task)
{
    task->run = take_uint(row, INT64_MAX, "run out of range");
    task->task = (uint32_t)take_uint(row, UINT32_MAX, "task out of range");
    task->state = (uint8_t)take_uint(row, TASK_STATES - 1, "no such state");
    task->crashes = (uint8_t)take_uint(row, UINT8_MAX, "crashes out of range");
    task->attempts = (uint32_t)take_uint(row, UINT32_MAX, "attempts out of range");
    task->epoch = (uint32_t)take_uint(row, UINT32_MAX, "epoch out of range");
    task->worker = take_bytes(row);
    task->host = take_bytes(row);
    task->started_at = take_int(row);
    task->ended_at = take_int(row);
    task->due_at = take_int(row);
    task->exit_status = take_int32(row, "exit_status out of range");
    task->signal = take_int32(row, "signal out of range");
    task->user_us = take_int(row);
    task->system_us = take_int(row);
    task->max_rss_kib = take_int(row);
    task->execution_us = take_int(row);
    task->result = take_value(row, "result is not a value");
    task->error = take_bytes(row);
    task->reason = take_bytes(row);
    task->has_readers = take_uint(row, 1, "has_readers is not 0 or 1");
    task->tries = (uint16_t)take_uint(row, UINT16_MAX, "tries out of range");
}

static void take_attempt(struct row *row, struct attempt_record *attempt)
{
    attempt->run = take_uint(row, INT64_MAX, "run out of range");
    attempt->task = (uint32_t)take_uint(row, UINT32_MAX, "task out of range");
    attempt->attempt = (uint32_t)take_uint(row, UINT32_MAX, "attempt out of range");
    attempt->epoch = (uint32_t)take_uint(row, UINT32_MAX, "epoch out of range");
    attempt->outcome = (uint8_t)take_uint(row, OUTCOME_LOST, "no such outcome");
    if (attempt->outcome > OUTCOME_CRASHED && attempt->outcome < OUTCOME_LOST && !row->problem)
        row->problem = "no such outcome";
    attempt->host = take_bytes(row);
    attempt->error = take_bytes(row);
    attempt->started_at = take_int(row);
    attempt->ended_at = take_int(row);
    attempt->exit_status = take_int32(row, "exit_status out of range");
    attempt->signal = take_int32(row, "signal out of range");
    attempt->user_us = take_int(row);
    attempt->system_us = take_int(row);
    attempt->max_rss_kib = take_int(row);
}

const char *sqlite_row(enum record_kind kind, sqlite3_stmt *statement, struct record *ret_record)
{
    struct row row = {.statement = statement};
    ret_record->kind = kind;
    ret_record->remove = false;
    switch (kind) {
    case RECORD_META:
        take_meta(&row, &ret_record->meta);
        break;
    case RECORD_UNIT:
        take_unit(&row, &ret_record->unit);
        break;
    case RECORD_DEFINITION:
        take_definition(&row, &ret_record->definition);
        break;
    case RECORD_WORKER:
        take_worker(&row, &ret_record->worker);
        break;
    case RECORD_HOST:
        ret_record->host.name = take_name(&row, "no name");
        ret_record->host.instance = (uint64_t)take_int(&row);
        ret_record->host.seen_at = take_int(&row);
        ret_record->host.applied = (uint64_t)take_int(&row);
        break;
    case RECORD_KEY:
        ret_record->key.key = take_name(&row, "no key");
        ret_record->key.reply = take_value(&row, "reply is not a value");
        ret_record->key.expires_at = take_int(&row);
        break;
    case RECORD_RUN:
        take_run(&row, &ret_record->run);
        break;
    case RECORD_TASK:
        take_task(&row, &ret_record->task);
        break;
    case RECORD_ATTEMPT:
        take_attempt(&row, &ret_record->attempt);
        break;
    }
    return row.problem;
}

static void copy(struct synk_bytes *bytes, struct arena *arena)
{
    *bytes = arena_copy(arena, *bytes);
}

void sqlite_record_copy(struct record *record, struct arena *arena)
{
    switch (record->kind) {
    case RECORD_DEFINITION:
        copy(&record->definition.unit, arena);
        copy(&record->definition.header, arena);
        break;
    case RECORD_WORKER:
        copy(&record->worker.unit, arena);
        copy(&record->worker.body, arena);
        break;
    case RECORD_RUN:
        copy(&record->run.unit, arena);
        copy(&record->run.worker, arena);
        copy(&record->run.by, arena);
        copy(&record->run.name, arena);
        copy(&record->run.params, arena);
        copy(&record->run.spec, arena);
        copy(&record->run.error, arena);
        break;
    case RECORD_TASK:
        copy(&record->task.worker, arena);
        copy(&record->task.host, arena);
        copy(&record->task.result, arena);
        copy(&record->task.error, arena);
        copy(&record->task.reason, arena);
        break;
    case RECORD_META:
    case RECORD_UNIT:
    case RECORD_HOST:
    case RECORD_KEY:
    case RECORD_ATTEMPT:
        break; /* no question is answered with these */
    }
}
