/*
 * Answers from the tables: rows for the pages, and the results that a dispatch needs.
 *
 * Each cursor is a prepared statement that stands on its row; it is reset when it has ended, and by
 * end_rows where a page ends before its rows do.
 */
#include "supervisor/store/sqlite.h"

#include "supervisor/store/pages.h"

/* Steps the statement to its next row. */
static enum page_step step_row(struct sqlite *sqlite, sqlite3_stmt *statement,
                               enum record_kind kind, const char *doing, struct record *ret_record,
                               struct synk_error *error)
{
    int code = statement ? sqlite3_step(statement) : SQLITE_ERROR;
    if (code == SQLITE_ROW)
        return sqlite_row(kind, statement, ret_record) ? STEP_BAD : STEP_ROW;
    if (code != SQLITE_DONE) {
        sqlite_fail(sqlite, doing, error);
        return STEP_FAILED;
    }
    sqlite3_reset(statement);
    return STEP_END;
}

/* The cursor that `which` is: prepared and bound already. */
static enum page_step next_row(struct sqlite *sqlite, enum statement which, enum record_kind kind,
                               const char *doing, struct record *ret_record,
                               struct synk_error *error)
{
    return step_row(sqlite, sqlite->statements[which], kind, doing, ret_record, error);
}

static enum synk_status opened(struct sqlite *sqlite, sqlite3_stmt *statement, const char *doing,
                               struct synk_error *error)
{
    return statement ? SYNK_OK : sqlite_fail(sqlite, doing, error);
}

static const char *name_store(void *backend)
{
    return sqlite_name(backend);
}

static enum page_step get_run(void *backend, uint64_t run, struct record *ret_record,
                              struct synk_error *error)
{
    sqlite3_stmt *statement = sqlite_statement(backend, STATEMENT_GET_RUN);
    if (statement)
        sqlite3_bind_int64(statement, 1, (int64_t)run);
    return step_row(backend, statement, RECORD_RUN, "looking for a run", ret_record, error);
}

static enum page_step find_run(void *backend, struct synk_bytes unit, struct synk_bytes worker,
                               uint64_t number, struct record *ret_record, struct synk_error *error)
{
    sqlite3_stmt *statement =
        sqlite_statement(backend, number ? STATEMENT_FIND_RUN : STATEMENT_FIND_LAST_RUN);
    if (statement) {
        sqlite_bind_text(statement, 1, unit);
        sqlite_bind_text(statement, 2, worker);
        if (number)
            sqlite3_bind_int64(statement, 3, (int64_t)number);
    }
    return step_row(backend, statement, RECORD_RUN, "looking for a run", ret_record, error);
}

static sqlite3_stmt *bind_version(struct sqlite *sqlite, enum statement which,
                                  struct synk_bytes unit, uint32_t version)
{
    sqlite3_stmt *statement = sqlite_statement(sqlite, which);
    if (statement) {
        sqlite_bind_text(statement, 1, unit);
        sqlite3_bind_int64(statement, 2, version);
    }
    return statement;
}

static enum page_step get_definition(void *backend, struct synk_bytes unit, uint32_t version,
                                     struct record *ret_record, struct synk_error *error)
{
    sqlite3_stmt *statement = bind_version(backend, STATEMENT_GET_DEFINITION, unit, version);
    return step_row(backend, statement, RECORD_DEFINITION, "reading a run", ret_record, error);
}

static enum page_step get_worker(void *backend, struct synk_bytes unit, uint32_t version,
                                 uint32_t index, struct record *ret_record,
                                 struct synk_error *error)
{
    sqlite3_stmt *statement = bind_version(backend, STATEMENT_GET_WORKER, unit, version);
    if (statement)
        sqlite3_bind_int64(statement, 3, index);
    return step_row(backend, statement, RECORD_WORKER, "reading a worker", ret_record, error);
}

static enum synk_status open_workers(void *backend, struct synk_bytes unit, uint32_t version,
                                     struct synk_error *error)
{
    sqlite3_stmt *statement = bind_version(backend, STATEMENT_GET_WORKERS, unit, version);
    return opened(backend, statement, "reading a run", error);
}

static enum page_step next_worker(void *backend, struct record *ret_record,
                                  struct synk_error *error)
{
    return next_row(backend, STATEMENT_GET_WORKERS, RECORD_WORKER, "reading a run", ret_record,
                    error);
}

static enum synk_status open_tasks(void *backend, uint64_t run, uint32_t from, uint32_t end,
                                   struct synk_error *error)
{
    sqlite3_stmt *statement = sqlite_statement(backend, STATEMENT_GET_TASKS);
    if (statement) {
        sqlite3_bind_int64(statement, 1, (int64_t)run);
        sqlite3_bind_int64(statement, 2, from);
        sqlite3_bind_int64(statement, 3, end);
    }
    return opened(backend, statement, "reading tasks", error);
}

static enum page_step next_task(void *backend, struct record *ret_record, struct synk_error *error)
{
    return next_row(backend, STATEMENT_GET_TASKS, RECORD_TASK, "reading tasks", ret_record, error);
}

static enum synk_status open_attempts(void *backend, uint64_t run, uint32_t task,
                                      struct synk_error *error)
{
    sqlite3_stmt *statement = sqlite_statement(backend, STATEMENT_GET_ATTEMPTS);
    if (statement) {
        sqlite3_bind_int64(statement, 1, (int64_t)run);
        sqlite3_bind_int64(statement, 2, task);
    }
    return opened(backend, statement, "reading attempts", error);
}

static enum page_step next_attempt(void *backend, struct record *ret_record,
                                   struct synk_error *error)
{
    return next_row(backend, STATEMENT_GET_ATTEMPTS, RECORD_ATTEMPT, "reading attempts", ret_record,
                    error);
}

static enum synk_status open_runs(void *backend, uint64_t cursor, struct synk_bytes unit,
                                  struct synk_error *error)
{
    struct sqlite *sqlite = backend;
    sqlite->lists_unit = unit.size != 0;
    sqlite3_stmt *statement = sqlite_statement(
        backend, sqlite->lists_unit ? STATEMENT_LIST_UNIT_RUNS : STATEMENT_LIST_RUNS);
    if (statement) {
        bool has_cursor = cursor && cursor <= INT64_MAX;
        sqlite3_bind_int64(statement, 1, has_cursor ? (int64_t)cursor : INT64_MAX);
        if (unit.size)
            sqlite_bind_text(statement, 2, unit);
    }
    return opened(backend, statement, "listing runs", error);
}

static enum page_step next_run(void *backend, struct record *ret_record, struct synk_error *error)
{
    struct sqlite *sqlite = backend;
    return next_row(backend, sqlite->lists_unit ? STATEMENT_LIST_UNIT_RUNS : STATEMENT_LIST_RUNS,
                    RECORD_RUN, "listing runs", ret_record, error);
}

static enum synk_status open_events(void *backend, uint64_t from, struct synk_error *error)
{
    sqlite3_stmt *statement = sqlite_statement(backend, STATEMENT_GET_EVENTS);
    if (statement)
        sqlite3_bind_int64(statement, 1, from > INT64_MAX ? INT64_MAX : (int64_t)from);
    return opened(backend, statement, "reading events", error);
}

static enum page_step next_events(void *backend, struct event_row *ret_row,
                                  struct synk_error *error)
{
    struct sqlite *sqlite = backend;
    sqlite3_stmt *statement = sqlite->statements[STATEMENT_GET_EVENTS];
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *ret_row = (struct event_row){
            .last = (uint64_t)sqlite3_column_int64(statement, 0),
            .first = (uint64_t)sqlite3_column_int64(statement, 1),
            .items = bytes_of(sqlite3_column_blob(statement, 2),
                              (size_t)sqlite3_column_bytes(statement, 2)),
        };
        return STEP_ROW;
    }
    if (code == SQLITE_DONE)
        return STEP_END;
    sqlite_fail(sqlite, "reading events", error);
    return STEP_FAILED;
}

static enum synk_status event_bounds(void *backend, uint64_t *ret_first, uint64_t *ret_last,
                                     struct synk_error *error)
{
    return sqlite_event_bounds(backend, ret_first, ret_last, error);
}

enum synk_status sqlite_event_bounds(struct sqlite *sqlite, uint64_t *ret_first, uint64_t *ret_last,
                                     struct synk_error *error)
{
    sqlite3_stmt *statement = sqlite_statement(sqlite, STATEMENT_EVENT_BOUNDS);
    if (!statement || sqlite3_step(statement) != SQLITE_ROW)
        return sqlite_fail(sqlite, "reading events", error);
    uint64_t last = (uint64_t)sqlite3_column_int64(statement, 1);
    uint64_t remembered = (uint64_t)sqlite3_column_int64(statement, 2);
    *ret_last = last > remembered ? last : remembered;
    *ret_first = sqlite3_column_type(statement, 0) == SQLITE_NULL
                     ? *ret_last + 1
                     : (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return SYNK_OK;
}

static void end_rows(void *backend)
{
    static const enum statement cursors[] = {
        STATEMENT_GET_RUN,        STATEMENT_FIND_RUN,     STATEMENT_FIND_LAST_RUN,
        STATEMENT_GET_DEFINITION, STATEMENT_GET_WORKER,   STATEMENT_GET_WORKERS,
        STATEMENT_GET_TASKS,      STATEMENT_GET_ATTEMPTS, STATEMENT_LIST_RUNS,
        STATEMENT_LIST_UNIT_RUNS, STATEMENT_GET_EVENTS,
    };
    struct sqlite *sqlite = backend;
    for (size_t i = 0; i < sizeof(cursors) / sizeof(*cursors); i++)
        sqlite3_reset(sqlite->statements[cursors[i]]);
}

static struct page_source source_of(struct sqlite *sqlite)
{
    return (struct page_source){
        .backend = sqlite,
        .name = name_store,
        .get_run = get_run,
        .find_run = find_run,
        .get_definition = get_definition,
        .get_worker = get_worker,
        .open_workers = open_workers,
        .next_worker = next_worker,
        .open_tasks = open_tasks,
        .next_task = next_task,
        .open_attempts = open_attempts,
        .next_attempt = next_attempt,
        .open_runs = open_runs,
        .next_run = next_run,
        .open_events = open_events,
        .next_events = next_events,
        .event_bounds = event_bounds,
        .end_rows = end_rows,
    };
}

enum synk_status sqlite_query(void *backend, const struct query *query, struct arena *arena,
                              struct buf *body, struct store_answer *answer,
                              struct synk_error *error)
{
    struct sqlite *sqlite = backend;
    struct page_source source = source_of(sqlite);
    switch (query->kind) {
    case QUERY_BACKUP:
        return sqlite_query_backup(sqlite, query, body, error);
    case QUERY_PRUNE:
        return sqlite_query_prune(sqlite, answer, error);
    case QUERY_LOAD_RUN:
        /* It may be about to go on: none is removed until the owner has said so, and what may go
         * then. */
        sqlite->removal.interrupted |= sqlite->removal.runs_open;
        sqlite->removal.runs_open = false;
        break;
    default:
        break;
    }
    return pages_query(&source, query, arena, body, answer, error);
}

static enum synk_status fail_values(struct sqlite *sqlite, struct synk_error *error)
{
    struct synk_error why;
    enum synk_status status = sqlite_fail(sqlite, "reading a result", &why);
    /* What a task was given wrongly must not be recorded: nothing more is. */
    if (sqlite->broken.status == SYNK_OK) {
        sqlite->broken = why;
        sqlite->broken.status = SYNK_IO;
    }
    *error = why;
    return status == SYNK_CORRUPT ? SYNK_CORRUPT : (error->status = SYNK_IO);
}

/* A task without a row has no result; where its run has no row either, it was removed. */
static enum synk_status check_run(struct sqlite *sqlite, uint64_t run, struct synk_error *error)
{
    sqlite3_stmt *statement = sqlite_statement(sqlite, STATEMENT_GET_RUN_STATUS);
    int code = SQLITE_ERROR;
    if (statement) {
        sqlite3_bind_int64(statement, 1, (int64_t)run);
        code = sqlite3_step(statement);
    }
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return fail_values(sqlite, error);
    sqlite3_reset(statement);
    if (code == SQLITE_ROW)
        return SYNK_OK;
    return status_fail(error, SYNK_NOT_FOUND, "run number %llu is not kept any more",
                       (unsigned long long)run);
}

static enum synk_status get_value(struct sqlite *sqlite, const struct value_ref *ref,
                                  struct arena *arena, struct synk_bytes *ret_value,
                                  struct synk_error *error)
{
    sqlite3_stmt *statement = sqlite_statement(sqlite, STATEMENT_GET_RESULT);
    int code = SQLITE_ERROR;
    if (statement) {
        sqlite3_bind_int64(statement, 1, (int64_t)ref->run);
        sqlite3_bind_int64(statement, 2, ref->task);
        code = sqlite3_step(statement);
    }
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return fail_values(sqlite, error);
    size_t size = code == SQLITE_ROW ? (size_t)sqlite3_column_bytes(statement, 0) : 0;
    if (size)
        *ret_value = arena_copy(arena, bytes_of(sqlite3_column_blob(statement, 0), size));
    sqlite3_reset(statement);
    return code == SQLITE_ROW ? SYNK_OK : check_run(sqlite, ref->run, error);
}

enum synk_status sqlite_values(void *backend, const struct value_ref *refs, size_t count,
                               struct arena *arena, struct synk_bytes *ret_values,
                               struct synk_error *error)
{
    enum synk_status status = SYNK_OK;
    for (size_t i = 0; i < count && status == SYNK_OK; i++)
        status = get_value(backend, &refs[i], arena, &ret_values[i], error);
    return status;
}
