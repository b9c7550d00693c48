/* The visit of all rows, and the marks that a copy has to carry over. */
#include "supervisor/store/sqlite.h"

static enum synk_status dump_table(struct sqlite *sqlite, enum record_kind kind,
                                   const struct store_visitor *visitor, uint64_t *io_bad,
                                   struct synk_error *error)
{
    const struct record_shape *shape = &record_shapes[kind];
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_stmt *statement = NULL;
    sqlite3_str_appendf(sql, "SELECT * FROM %s%s ORDER BY ", shape->name,
                        kind == RECORD_META ? " WHERE name NOT GLOB 'store.*'" : "");
    for (int i = 0; i < shape->key_count; i++)
        sqlite3_str_appendf(sql, "%s%s", i ? "," : "", shape->fields[i].name);
    char *text = sqlite3_str_finish(sql);
    sqlite3_prepare_v2(sqlite->db, text, -1, &statement, NULL);
    sqlite3_free(text);
    enum synk_status status = SYNK_OK;
    int code = SQLITE_ERROR;
    while (!status && statement && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct record record;
        if (sqlite_row(kind, statement, &record))
            ++*io_bad;
        else
            status = visitor->record(visitor->context, &record, error);
    }
    if (!status && code != SQLITE_DONE)
        status = sqlite_fail(sqlite, "reading everything", error);
    sqlite3_finalize(statement);
    return status;
}

static enum synk_status dump_events(struct sqlite *sqlite, const struct store_visitor *visitor,
                                    struct synk_error *error)
{
    sqlite3_stmt *statement = NULL;
    enum synk_status status = SYNK_OK;
    int code = SQLITE_ERROR;
    sqlite3_prepare_v2(sqlite->db,
                       "SELECT first, count, at, items FROM event_batches ORDER BY last", -1,
                       &statement, NULL);
    while (!status && statement && (code = sqlite3_step(statement)) == SQLITE_ROW)
        status = visitor->events(
            visitor->context, (uint64_t)sqlite3_column_int64(statement, 0),
            (uint32_t)sqlite3_column_int64(statement, 1), sqlite3_column_int64(statement, 2),
            bytes_of(sqlite3_column_blob(statement, 3), (size_t)sqlite3_column_bytes(statement, 3)),
            error);
    if (!status && code != SQLITE_DONE)
        status = sqlite_fail(sqlite, "reading events", error);
    sqlite3_finalize(statement);
    return status;
}

enum synk_status sqlite_dump(void *backend, const struct store_visitor *visitor, uint64_t *ret_bad,
                             struct synk_error *error)
{
    enum synk_status status = SYNK_OK;
    *ret_bad = 0;
    for (int kind = 0; kind < RECORD_KINDS && !status; kind++)
        status = dump_table(backend, (enum record_kind)kind, visitor, ret_bad, error);
    return status ? status : dump_events(backend, visitor, error);
}

enum synk_status sqlite_get_marks(void *backend, uint32_t *ret_epoch, uint64_t *ret_last_event,
                                  struct synk_error *error)
{
    struct sqlite *sqlite = backend;
    uint64_t first;
    sqlite3_stmt *statement = sqlite_statement(sqlite, STATEMENT_GET_META);
    if (!statement)
        return sqlite_fail(sqlite, "reading its marks", error);
    sqlite3_bind_text(statement, 1, "store.epoch", -1, SQLITE_STATIC);
    *ret_epoch =
        sqlite3_step(statement) == SQLITE_ROW ? (uint32_t)sqlite3_column_int64(statement, 0) : 0;
    if (sqlite3_reset(statement) != SQLITE_OK)
        return sqlite_fail(sqlite, "reading its marks", error);
    return sqlite_event_bounds(sqlite, &first, ret_last_event, error);
}

static int put_mark(struct sqlite *sqlite, const char *name, uint64_t number)
{
    char text[24];
    sqlite3_snprintf(sizeof(text), text, "%llu", (unsigned long long)number);
    sqlite3_stmt *statement = sqlite_statement(sqlite, STATEMENT_PUT + RECORD_META);
    if (!statement)
        return SQLITE_ERROR;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    sqlite_bind_blob(statement, 2, bytes_str(text));
    return sqlite_run(statement);
}

enum synk_status sqlite_set_marks(void *backend, uint32_t epoch, uint64_t last_event,
                                  struct synk_error *error)
{
    if (put_mark(backend, "store.epoch", epoch) != SQLITE_OK ||
        put_mark(backend, "store.last_event", last_event) != SQLITE_OK)
        return sqlite_fail(backend, "writing its marks", error);
    return SYNK_OK;
}
