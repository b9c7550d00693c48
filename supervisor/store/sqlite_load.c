/*
 * Hydration. One pass over what the engine needs, in the order of enum record_kind; rows that do
 * not decode are noted on the way and moved to the table `quarantine` at the end, in the
 * transaction that raises the epoch. A million tasks is the size to think of: no allocation a row.
 */
#include "supervisor/store/sqlite.h"

#include <stdlib.h>
#include <time.h>

#include "proto/limits.h"
#include "supervisor/core/states.h"

struct version {
    struct synk_bytes unit;
    int64_t version;
};

struct loading {
    struct sqlite *sqlite;
    void (*each)(void *context, const struct record *record);
    void *context;
    struct arena arena;
    struct version *versions; /* of definitions that are needed */
    size_t version_count, version_capacity;
    uint64_t *runs; /* unfinished, ascending */
    size_t run_count, run_capacity;
    char **moves; /* SQL that puts one row into quarantine */
    size_t move_count, move_capacity;
};

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A column as an SQL literal. */
static void print_literal(sqlite3_str *out, sqlite3_stmt *statement, int column)
{
    const uint8_t *blob;
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_NULL:
        sqlite3_str_appendall(out, "NULL");
        break;
    case SQLITE_BLOB:
        blob = sqlite3_column_blob(statement, column);
        sqlite3_str_appendall(out, "x'");
        for (int i = 0; i < sqlite3_column_bytes(statement, column); i++)
            sqlite3_str_appendf(out, "%02x", blob[i]);
        sqlite3_str_appendall(out, "'");
        break;
    case SQLITE_TEXT:
        sqlite3_str_appendf(out, "%Q", sqlite3_column_text(statement, column));
        break;
    default:
        sqlite3_str_appendf(out, "%lld", (long long)sqlite3_column_int64(statement, column));
    }
}

/* Notes that the statement's row is to be moved. It cannot be done while rows are being read. */
static void note_bad_row(struct loading *loading, enum record_kind kind, sqlite3_stmt *statement,
                         const char *problem)
{
    const struct record_shape *table = &record_shapes[kind];
    sqlite3_str *row = sqlite3_str_new(NULL), *key = sqlite3_str_new(NULL);
    sqlite3_str *where = sqlite3_str_new(NULL);
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
        const char *name = sqlite3_column_name(statement, i);
        sqlite3_str_appendf(row, "%s%s=", i ? ", " : "", name);
        print_literal(row, statement, i);
        if (i >= table->key_count)
            continue;
        sqlite3_str_appendf(where, "%s%s IS ", i ? " AND " : "", name);
        print_literal(where, statement, i);
        sqlite3_str_appendf(key, "%s%s", i ? " " : "",
                            (const char *)sqlite3_column_text(statement, i));
    }
    char *row_text = sqlite3_str_finish(row), *key_text = sqlite3_str_finish(key);
    char *where_text = sqlite3_str_finish(where);
    char *sql = sqlite3_mprintf("INSERT INTO quarantine VALUES(%Q,%Q,%Q,%lld,%Q);"
                                "DELETE FROM %s WHERE %s;",
                                table->name, key_text, problem, (long long)wall_ms(), row_text,
                                table->name, where_text);
    sqlite3_free(row_text);
    sqlite3_free(key_text);
    sqlite3_free(where_text);
    loading->moves = mem_grow(loading->moves, &loading->move_capacity, loading->move_count + 1,
                              sizeof(*loading->moves));
    loading->moves[loading->move_count++] = sql;
}

static void note_run(struct loading *loading, const struct run_record *run)
{
    if (run_status_is_final(run->status))
        return;
    loading->runs = mem_grow(loading->runs, &loading->run_capacity, loading->run_count + 1,
                             sizeof(*loading->runs));
    loading->runs[loading->run_count++] = run->run;
}

/* Hands on every row of a statement whose parameters are bound. */
static enum synk_status load_rows(struct loading *loading, enum record_kind kind,
                                  sqlite3_stmt *statement, struct synk_error *error)
{
    struct record record;
    int code = SQLITE_ERROR;
    while (statement && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *problem = sqlite_row(kind, statement, &record);
        if (problem) {
            note_bad_row(loading, kind, statement, problem);
            continue;
        }
        if (kind == RECORD_RUN)
            note_run(loading, &record.run);
        loading->each(loading->context, &record);
    }
    if (code != SQLITE_DONE)
        return sqlite_fail(loading->sqlite, "loading", error);
    sqlite3_reset(statement);
    return SYNK_OK;
}

static enum synk_status load_table(struct loading *loading, enum record_kind kind,
                                   enum statement which, int64_t parameter,
                                   struct synk_error *error)
{
    sqlite3_stmt *statement = sqlite_statement(loading->sqlite, which);
    if (statement && sqlite3_bind_parameter_count(statement))
        sqlite3_bind_int64(statement, 1, parameter);
    return load_rows(loading, kind, statement, error);
}

static enum synk_status find_versions(struct loading *loading, struct synk_error *error)
{
    sqlite3_stmt *statement = sqlite_statement(loading->sqlite, STATEMENT_LOAD_NEEDED);
    int code = SQLITE_ERROR;
    while (statement && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct synk_bytes unit =
            bytes_of(sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0));
        loading->versions = mem_grow(loading->versions, &loading->version_capacity,
                                     loading->version_count + 1, sizeof(*loading->versions));
        loading->versions[loading->version_count++] =
            (struct version){arena_copy(&loading->arena, unit), sqlite3_column_int64(statement, 1)};
    }
    if (code != SQLITE_DONE)
        return sqlite_fail(loading->sqlite, "loading", error);
    sqlite3_reset(statement);
    return SYNK_OK;
}

static enum synk_status load_versions(struct loading *loading, enum record_kind kind,
                                      enum statement which, struct synk_error *error)
{
    enum synk_status status = SYNK_OK;
    for (size_t i = 0; i < loading->version_count && status == SYNK_OK; i++) {
        sqlite3_stmt *statement = sqlite_statement(loading->sqlite, which);
        if (statement) {
            sqlite_bind_text(statement, 1, loading->versions[i].unit);
            sqlite3_bind_int64(statement, 2, loading->versions[i].version);
        }
        status = load_rows(loading, kind, statement, error);
    }
    return status;
}

static enum synk_status load_tasks(struct loading *loading, struct synk_error *error)
{
    enum synk_status status = SYNK_OK;
    for (size_t i = 0; i < loading->run_count && status == SYNK_OK; i++) {
        sqlite3_stmt *statement = sqlite_statement(loading->sqlite, STATEMENT_GET_TASKS);
        if (statement) {
            sqlite3_bind_int64(statement, 1, (int64_t)loading->runs[i]);
            sqlite3_bind_int64(statement, 2, INT64_MIN);
            sqlite3_bind_int64(statement, 3, INT64_MAX);
        }
        status = load_rows(loading, RECORD_TASK, statement, error);
    }
    return status;
}

static enum synk_status load_all(struct loading *loading, struct synk_error *error)
{
    enum synk_status status = load_table(loading, RECORD_META, STATEMENT_LOAD_META, 0, error);
    if (status == SYNK_OK)
        status = load_table(loading, RECORD_UNIT, STATEMENT_LOAD_UNITS, 0, error);
    if (status == SYNK_OK)
        status = find_versions(loading, error);
    if (status == SYNK_OK)
        status = load_versions(loading, RECORD_DEFINITION, STATEMENT_GET_DEFINITION, error);
    if (status == SYNK_OK)
        status = load_versions(loading, RECORD_WORKER, STATEMENT_GET_WORKERS, error);
    if (status == SYNK_OK)
        status = load_table(loading, RECORD_HOST, STATEMENT_LOAD_HOSTS, 0, error);
    if (status == SYNK_OK)
        status = load_table(loading, RECORD_KEY, STATEMENT_LOAD_KEYS, 0, error);
    if (status == SYNK_OK)
        status = load_table(loading, RECORD_RUN, STATEMENT_LOAD_RUNS, LIMIT_FINISHED_RUNS, error);
    if (status == SYNK_OK)
        status = load_tasks(loading, error);
    return status;
}

/* The epoch of the last life; 0 at the first. */
static int read_epoch(struct sqlite *sqlite, int64_t *ret_epoch)
{
    sqlite3_stmt *statement = sqlite_statement(sqlite, STATEMENT_GET_META);
    if (!statement)
        return SQLITE_ERROR;
    sqlite3_bind_text(statement, 1, "store.epoch", -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    *ret_epoch = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    int reset = sqlite3_reset(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : reset;
}

static int write_epoch(struct sqlite *sqlite, int64_t epoch)
{
    char text[24];
    sqlite3_snprintf(sizeof(text), text, "%lld", (long long)epoch);
    sqlite3_stmt *statement = sqlite_statement(sqlite, STATEMENT_PUT + RECORD_META);
    if (!statement)
        return SQLITE_ERROR;
    sqlite3_bind_text(statement, 1, "store.epoch", -1, SQLITE_STATIC);
    sqlite_bind_blob(statement, 2, bytes_str(text));
    return sqlite_run(statement);
}

/* Moves the bad rows, raises the epoch: one transaction. */
static int write_back(struct loading *loading, uint32_t *ret_epoch)
{
    struct sqlite *sqlite = loading->sqlite;
    int64_t epoch = 0;
    int code = sqlite_run(sqlite_statement(sqlite, STATEMENT_BEGIN));
    for (size_t i = 0; i < loading->move_count && code == SQLITE_OK; i++)
        code = loading->moves[i] ? sqlite3_exec(sqlite->db, loading->moves[i], NULL, NULL, NULL)
                                 : SQLITE_NOMEM;
    if (code == SQLITE_OK)
        code = read_epoch(sqlite, &epoch);
    if (code == SQLITE_OK)
        code = write_epoch(sqlite, ++epoch);
    if (code == SQLITE_OK)
        code = sqlite_run(sqlite_statement(sqlite, STATEMENT_COMMIT));
    *ret_epoch = (uint32_t)epoch;
    return code;
}

enum synk_status sqlite_load(void *backend, void (*each)(void *, const struct record *),
                             void *context, uint32_t *ret_epoch, uint64_t *ret_last_event,
                             uint64_t *ret_quarantined, struct synk_error *error)
{
    struct loading loading = {.sqlite = backend, .each = each, .context = context};
    uint64_t first, last = 0;
    uint32_t epoch = 0;
    enum synk_status status = load_all(&loading, error);
    if (status == SYNK_OK)
        status = sqlite_event_bounds(loading.sqlite, &first, &last, error);
    if (status == SYNK_OK && write_back(&loading, &epoch) != SQLITE_OK) {
        status = sqlite_fail(loading.sqlite, "raising the epoch", error);
        if (!sqlite3_get_autocommit(loading.sqlite->db))
            sqlite_run(sqlite_statement(loading.sqlite, STATEMENT_ROLLBACK));
    }
    if (status == SYNK_OK) {
        *ret_epoch = epoch;
        *ret_last_event = last;
        *ret_quarantined = loading.move_count;
    }
    for (size_t i = 0; i < loading.move_count; i++)
        sqlite3_free(loading.moves[i]);
    free(loading.moves);
    free(loading.runs);
    free(loading.versions);
    arena_fini(&loading.arena);
    return status;
}
