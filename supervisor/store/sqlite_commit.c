/*
 * A batch becomes one transaction: records in their order, then the events as one row.
 *
 * Invariant: when sqlite_commit fails, nothing of the batch is in the file. The hot record is the
 * task; its statement costs about a microsecond, binding included.
 */
#include "supervisor/store/sqlite.h"

/* Binds the parameters of one row one after the other. */
struct binder {
    sqlite3_stmt *statement;
    int index;
};

/* A key column, which is never NULL. */
static void put_key(struct binder *binder, uint64_t value)
{
    sqlite3_bind_int64(binder->statement, ++binder->index, (int64_t)value);
}

static void put_key_text(struct binder *binder, struct synk_bytes text)
{
    sqlite3_bind_text(binder->statement, ++binder->index, text.size ? text.data : "",
                      (int)text.size, SQLITE_STATIC);
}

static void put_int(struct binder *binder, int64_t value)
{
    if (value)
        sqlite3_bind_int64(binder->statement, ++binder->index, value);
    else
        sqlite3_bind_null(binder->statement, ++binder->index);
}

static void put_text(struct binder *binder, struct synk_bytes text)
{
    sqlite_bind_text(binder->statement, ++binder->index, text);
}

static void put_blob(struct binder *binder, struct synk_bytes blob)
{
    sqlite_bind_blob(binder->statement, ++binder->index, blob);
}

static void put_record_key(struct binder *binder, const struct record *record)
{
    switch (record->kind) {
    case RECORD_META:
        put_key_text(binder, record->meta.name);
        break;
    case RECORD_UNIT:
        put_key_text(binder, record->unit.id);
        break;
    case RECORD_DEFINITION:
        put_key_text(binder, record->definition.unit);
        put_key(binder, record->definition.version);
        break;
    case RECORD_WORKER:
        put_key_text(binder, record->worker.unit);
        put_key(binder, record->worker.version);
        put_key(binder, record->worker.index);
        break;
    case RECORD_HOST:
        put_key_text(binder, record->host.name);
        break;
    case RECORD_KEY:
        put_key_text(binder, record->key.key);
        break;
    case RECORD_RUN:
        put_key(binder, record->run.run);
        break;
    case RECORD_TASK:
        put_key(binder, record->task.run);
        put_key(binder, record->task.task);
        break;
    case RECORD_ATTEMPT:
        put_key(binder, record->attempt.run);
        put_key(binder, record->attempt.task);
        put_key(binder, record->attempt.attempt);
        break;
    }
}

static void put_unit(struct binder *binder, const struct unit_record *unit)
{
    put_int(binder, unit->version);
    put_int(binder, unit->enabled);
    put_int(binder, unit->paused);
    put_int(binder, (int64_t)unit->last_number);
    put_int(binder, (int64_t)unit->success_count);
    put_int(binder, (int64_t)unit->run_count);
    put_int(binder, unit->last_run_at);
    put_int(binder, unit->due_at);
    put_int(binder, unit->status);
    put_blob(binder, unit->execution);
    put_blob(binder, unit->overlay);
    put_int(binder, unit->last_version);
}

static void put_run(struct binder *binder, const struct run_record *run)
{
    put_text(binder, run->unit);
    put_text(binder, run->worker);
    put_int(binder, (int64_t)run->number);
    put_int(binder, run->version);
    put_key(binder, run->status); /* never NULL: it is compared */
    put_int(binder, run->cancelling);
    put_int(binder, run->task_count);
    put_text(binder, run->by);
    put_blob(binder, run->params);
    put_blob(binder, run->spec);
    put_text(binder, run->error);
    put_int(binder, run->created_at);
    put_int(binder, run->started_at);
    put_int(binder, run->ended_at);
    if (run->has_priority)
        sqlite3_bind_int64(binder->statement, ++binder->index, run->priority);
    else
        put_int(binder, 0);
    put_text(binder, run->name);
    put_int(binder, run->paused);
}

static void put_task(struct binder *binder, const struct task_record *task)
{
    put_key(binder, task->state);
    put_int(binder, task->crashes);
    put_int(binder, task->attempts);
    put_int(binder, task->epoch);
    put_text(binder, task->worker);
    put_text(binder, task->host);
    put_int(binder, task->started_at);
    put_int(binder, task->ended_at);
    put_int(binder, task->due_at);
    put_int(binder, task->exit_status);
    put_int(binder, task->signal);
    put_int(binder, task->user_us);
    put_int(binder, task->system_us);
    put_int(binder, task->max_rss_kib);
    put_int(binder, task->execution_us);
    put_blob(binder, task->result);
    put_text(binder, task->error);
    put_text(binder, task->reason);
    put_int(binder, task->has_readers);
    put_int(binder, task->tries);
}

static void put_attempt(struct binder *binder, const struct attempt_record *attempt)
{
    put_int(binder, attempt->epoch);
    put_key(binder, attempt->outcome);
    put_text(binder, attempt->host);
    put_text(binder, attempt->error);
    put_int(binder, attempt->started_at);
    put_int(binder, attempt->ended_at);
    put_int(binder, attempt->exit_status);
    put_int(binder, attempt->signal);
    put_int(binder, attempt->user_us);
    put_int(binder, attempt->system_us);
    put_int(binder, attempt->max_rss_kib);
}

static void put_rest(struct binder *binder, const struct record *record)
{
    switch (record->kind) {
    case RECORD_META:
        put_blob(binder, record->meta.value);
        break;
    case RECORD_UNIT:
        put_unit(binder, &record->unit);
        break;
    case RECORD_DEFINITION:
        put_int(binder, record->definition.worker_count);
        put_blob(binder, record->definition.header);
        break;
    case RECORD_WORKER:
        put_blob(binder, record->worker.body);
        break;
    case RECORD_HOST:
        put_int(binder, (int64_t)record->host.instance);
        put_int(binder, record->host.seen_at);
        put_int(binder, (int64_t)record->host.applied);
        break;
    case RECORD_KEY:
        put_blob(binder, record->key.reply);
        put_int(binder, record->key.expires_at);
        break;
    case RECORD_RUN:
        put_run(binder, &record->run);
        break;
    case RECORD_TASK:
        put_task(binder, &record->task);
        break;
    case RECORD_ATTEMPT:
        put_attempt(binder, &record->attempt);
        break;
    }
}

/* Runs a removal whose parameters are the first of the record's key. */
static int remove_rows(struct sqlite *sqlite, enum statement which, const struct record *record)
{
    struct binder binder = {sqlite_statement(sqlite, which), 0};
    if (!binder.statement)
        return SQLITE_ERROR;
    put_record_key(&binder, record);
    return sqlite_run(binder.statement);
}

static int remove_record(struct sqlite *sqlite, const struct record *record)
{
    int code = SQLITE_OK;
    if (record->kind == RECORD_RUN)
        code = sqlite_count_run(sqlite, &record->run, true);
    if (code == SQLITE_OK)
        code = remove_rows(sqlite, STATEMENT_REMOVE + record->kind, record);
    if (code == SQLITE_OK && record->kind == RECORD_DEFINITION)
        code = remove_rows(sqlite, STATEMENT_REMOVE_DEFINITION_WORKERS, record);
    if (code == SQLITE_OK && record->kind == RECORD_RUN)
        code = remove_rows(sqlite, STATEMENT_REMOVE_RUN_TASKS, record);
    if (code == SQLITE_OK && record->kind == RECORD_RUN)
        code = remove_rows(sqlite, STATEMENT_REMOVE_RUN_ATTEMPTS, record);
    return code;
}

static int put_record(struct sqlite *sqlite, const struct record *record)
{
    int code = SQLITE_OK;
    if (record->kind == RECORD_RUN)
        code = sqlite_count_run(sqlite, &record->run, false);
    struct binder binder = {sqlite_statement(sqlite, STATEMENT_PUT + record->kind), 0};
    if (code != SQLITE_OK || !binder.statement)
        return SQLITE_ERROR;
    put_record_key(&binder, record);
    put_rest(&binder, record);
    return sqlite_run(binder.statement);
}

static int put_events(struct sqlite *sqlite, const struct batch *batch)
{
    if (batch->event_count == 0)
        return SQLITE_OK;
    struct binder binder = {sqlite_statement(sqlite, STATEMENT_PUT_EVENTS), 0};
    if (!binder.statement)
        return SQLITE_ERROR;
    put_key(&binder, batch->first_event + batch->event_count - 1);
    put_key(&binder, batch->first_event);
    put_int(&binder, batch->at);
    put_key(&binder, batch->event_count);
    sqlite3_bind_blob(binder.statement, ++binder.index, batch->events.data, (int)batch->events.size,
                      SQLITE_STATIC);
    return sqlite_run(binder.statement);
}

static int apply(struct sqlite *sqlite, const struct batch *batch)
{
    int code = sqlite_run(sqlite_statement(sqlite, STATEMENT_BEGIN));
    for (size_t i = 0; i < batch->record_count && code == SQLITE_OK; i++)
        code = batch->records[i].remove ? remove_record(sqlite, &batch->records[i])
                                        : put_record(sqlite, &batch->records[i]);
    if (code == SQLITE_OK)
        code = put_events(sqlite, batch);
    if (code == SQLITE_OK && batch->retains)
        code = sqlite_retain(sqlite, &batch->retention);
    if (code == SQLITE_OK)
        code = sqlite_run(sqlite_statement(sqlite, STATEMENT_COMMIT));
    return code;
}

enum synk_status sqlite_commit(void *backend, const struct batch *batch, struct synk_error *error)
{
    struct sqlite *sqlite = backend;
    if (sqlite->broken.status != SYNK_OK) {
        if (error)
            *error = sqlite->broken;
        return sqlite->broken.status;
    }
    struct removal before = sqlite->removal;
    if (apply(sqlite, batch) == SQLITE_OK)
        return SYNK_OK;
    sqlite->removal = before;
    struct synk_error why;
    enum synk_status status = sqlite_fail(sqlite, "saving a batch", &why);
    if (status != SYNK_STORE_DOWN && status != SYNK_IO)
        status = why.status = SYNK_IO; /* the owner can do the same about it: exit and recover */
    /* SQLite may have rolled back by itself; that is no failure of ours. */
    if (!sqlite3_get_autocommit(sqlite->db) &&
        sqlite_run(sqlite_statement(sqlite, STATEMENT_ROLLBACK)) != SQLITE_OK)
        status = why.status = SYNK_IO;
    if (status == SYNK_IO)
        sqlite->broken = why;
    if (error)
        *error = why;
    return status;
}
