/*
 * A batch becomes one transaction: records in their order, then the events as one row.
 *
 * Invariant: when sqlite_commit fails, nothing of the batch is in the file. The hot record is the
 * task; its statement costs about a microsecond, binding included.
 */
#include "supervisor/store/sqlite.h"

/* Runs a removal whose parameters are the first of the record's key. */
static int remove_rows(struct sqlite *sqlite, enum statement which, const struct record *record)
{
    sqlite3_stmt *statement = sqlite_statement(sqlite, which);
    if (!statement)
        return SQLITE_ERROR;
    sqlite_bind_fields(statement, 1, record, 0, sqlite3_bind_parameter_count(statement));
    return sqlite_run(statement);
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
    sqlite3_stmt *statement = sqlite_statement(sqlite, STATEMENT_PUT + record->kind);
    if (code != SQLITE_OK || !statement)
        return SQLITE_ERROR;
    sqlite_bind_fields(statement, 1, record, 0, record_shapes[record->kind].field_count);
    return sqlite_run(statement);
}

static int put_events(struct sqlite *sqlite, const struct batch *batch)
{
    if (batch->event_count == 0)
        return SQLITE_OK;
    sqlite3_stmt *statement = sqlite_statement(sqlite, STATEMENT_PUT_EVENTS);
    if (!statement)
        return SQLITE_ERROR;
    sqlite3_bind_int64(statement, 1, (int64_t)(batch->first_event + batch->event_count - 1));
    sqlite3_bind_int64(statement, 2, (int64_t)batch->first_event);
    sqlite3_bind_int64(statement, 3, batch->at);
    sqlite3_bind_int64(statement, 4, batch->event_count);
    sqlite3_bind_blob(statement, 5, batch->events.data, (int)batch->events.size, SQLITE_STATIC);
    return sqlite_run(statement);
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
