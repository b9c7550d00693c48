/*
 * Questions: which run is meant, the records of one run, the results that a dispatch needs, and
 * what the pages of the other files share.
 */
#include "supervisor/store/sqlite.h"

#include <stdlib.h>

#include "proto/pack.h"

void sqlite_pack_text(struct buf *body, const char *key, struct synk_bytes text)
{
    pack_key(body, key);
    if (text.size)
        pack_string(body, text);
    else
        pack_null(body);
}

void sqlite_pack_time(struct buf *body, const char *key, int64_t time)
{
    pack_key(body, key);
    if (time)
        pack_int(body, time);
    else
        pack_null(body);
}

void sqlite_split_unit(struct synk_bytes name, struct synk_bytes *ret_unit,
                       struct synk_bytes *ret_worker)
{
    const char *text = name.data;
    const char *slash = name.size ? memchr(text, '/', name.size) : NULL;
    size_t unit_size = slash ? (size_t)(slash - text) : name.size;
    *ret_unit = bytes_of(text, unit_size);
    *ret_worker = slash ? bytes_of(slash + 1, name.size - unit_size - 1) : bytes_of(NULL, 0);
}

struct synk_bytes sqlite_run_label(const struct run_record *run, struct arena *arena)
{
    struct buf text = {0};
    buf_append(&text, run->unit.data, run->unit.size);
    if (run->worker.size) {
        buf_append(&text, "/", 1);
        buf_append(&text, run->worker.data, run->worker.size);
    }
    buf_printf(&text, "#%llu", (unsigned long long)run->number);
    struct synk_bytes label = arena_copy(arena, buf_bytes(&text));
    buf_fini(&text);
    return label;
}

static enum synk_status fail_unknown_run(const struct query *query, struct synk_error *error)
{
    if (query->run)
        return status_fail(error, SYNK_NOT_FOUND, "no run number %llu",
                           (unsigned long long)query->run);
    if (query->number)
        return status_fail(error, SYNK_NOT_FOUND, "no run '%.*s#%llu'", (int)query->unit.size,
                           (const char *)query->unit.data, (unsigned long long)query->number);
    return status_fail(error, SYNK_NOT_FOUND, "no run '%.*s#last'", (int)query->unit.size,
                       (const char *)query->unit.data);
}

static sqlite3_stmt *find_statement(struct sqlite *sqlite, const struct query *query)
{
    sqlite3_stmt *statement;
    if (query->run) {
        statement = sqlite_statement(sqlite, STATEMENT_GET_RUN);
        if (statement)
            sqlite3_bind_int64(statement, 1, (int64_t)query->run);
        return statement;
    }
    struct synk_bytes unit, worker;
    sqlite_split_unit(query->unit, &unit, &worker);
    statement =
        sqlite_statement(sqlite, query->number ? STATEMENT_FIND_RUN : STATEMENT_FIND_LAST_RUN);
    if (!statement)
        return NULL;
    sqlite_bind_text(statement, 1, unit);
    sqlite_bind_text(statement, 2, worker);
    if (query->number)
        sqlite3_bind_int64(statement, 3, (int64_t)query->number);
    return statement;
}

enum synk_status sqlite_find_run(struct sqlite *sqlite, const struct query *query,
                                 struct arena *arena, struct run_record *ret_run,
                                 struct synk_error *error)
{
    sqlite3_stmt *statement = find_statement(sqlite, query);
    int code = statement ? sqlite3_step(statement) : SQLITE_ERROR;
    if (code == SQLITE_DONE) {
        sqlite3_reset(statement);
        return fail_unknown_run(query, error);
    }
    if (code != SQLITE_ROW)
        return sqlite_fail(sqlite, "looking for a run", error);
    struct record record;
    const char *problem = sqlite_row(RECORD_RUN, statement, &record);
    if (problem) {
        sqlite3_reset(statement);
        return status_fail(error, SYNK_CORRUPT, "store '%s': run %llu: %s", sqlite_name(sqlite),
                           (unsigned long long)record.run.run, problem);
    }
    sqlite_record_copy(&record, arena);
    sqlite3_reset(statement);
    *ret_run = record.run;
    return SYNK_OK;
}

struct record_list {
    struct record *records;
    size_t count, capacity;
};

/* Appends every row that decodes. The others are left to the next start, which moves them away. */
static enum synk_status collect(struct sqlite *sqlite, enum record_kind kind,
                                sqlite3_stmt *statement, struct arena *arena,
                                struct record_list *list, struct synk_error *error)
{
    int code = SQLITE_ERROR;
    while (statement && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        list->records =
            mem_grow(list->records, &list->capacity, list->count + 1, sizeof(*list->records));
        struct record *record = &list->records[list->count];
        if (sqlite_row(kind, statement, record))
            continue;
        sqlite_record_copy(record, arena);
        list->count++;
    }
    if (code != SQLITE_DONE)
        return sqlite_fail(sqlite, "reading a run", error);
    sqlite3_reset(statement);
    return SYNK_OK;
}

static enum synk_status collect_version(struct sqlite *sqlite, enum record_kind kind,
                                        enum statement which, const struct run_record *run,
                                        struct arena *arena, struct record_list *list,
                                        struct synk_error *error)
{
    sqlite3_stmt *statement = sqlite_statement(sqlite, which);
    if (statement) {
        sqlite_bind_text(statement, 1, run->unit);
        sqlite3_bind_int64(statement, 2, run->version);
    }
    return collect(sqlite, kind, statement, arena, list, error);
}

static enum synk_status query_load_run(struct sqlite *sqlite, const struct query *query,
                                       struct arena *arena, struct store_answer *answer,
                                       struct synk_error *error)
{
    /* It may be about to go on: none is removed until the owner has said so, and what may go then.
     */
    sqlite->removal.interrupted |= sqlite->removal.runs_open;
    sqlite->removal.runs_open = false;
    struct record first = {.kind = RECORD_RUN};
    enum synk_status status = sqlite_find_run(sqlite, query, arena, &first.run, error);
    if (status != SYNK_OK)
        return status;
    struct record_list list = {0};
    list.records = mem_grow(NULL, &list.capacity, 1, sizeof(*list.records));
    list.records[list.count++] = first;
    status = collect_version(sqlite, RECORD_DEFINITION, STATEMENT_GET_DEFINITION, &first.run, arena,
                             &list, error);
    if (status == SYNK_OK)
        status = collect_version(sqlite, RECORD_WORKER, STATEMENT_GET_WORKERS, &first.run, arena,
                                 &list, error);
    sqlite3_stmt *tasks = sqlite_statement(sqlite, STATEMENT_GET_TASKS);
    if (tasks) {
        sqlite3_bind_int64(tasks, 1, (int64_t)first.run.run);
        sqlite3_bind_int64(tasks, 2, 0);
        sqlite3_bind_int64(tasks, 3, INT64_MAX);
    }
    if (status == SYNK_OK)
        status = collect(sqlite, RECORD_TASK, tasks, arena, &list, error);
    if (status == SYNK_OK) {
        struct record *records = arena_alloc(arena, list.count * sizeof(*records));
        memcpy(records, list.records, list.count * sizeof(*records));
        answer->records = records;
        answer->record_count = list.count;
    }
    free(list.records);
    return status;
}

enum synk_status sqlite_query(void *backend, const struct query *query, struct arena *arena,
                              struct buf *body, struct store_answer *answer,
                              struct synk_error *error)
{
    struct sqlite *sqlite = backend;
    switch (query->kind) {
    case QUERY_RUN:
        return sqlite_query_run(sqlite, query, arena, body, error);
    case QUERY_RUNS:
        return sqlite_query_runs(sqlite, query, body, error);
    case QUERY_EVENTS:
        return sqlite_query_events(sqlite, query, arena, body, error);
    case QUERY_LOAD_RUN:
        return query_load_run(sqlite, query, arena, answer, error);
    case QUERY_BACKUP:
        return sqlite_query_backup(sqlite, query, body, error);
    case QUERY_PRUNE:
        return sqlite_query_prune(sqlite, answer, error);
    }
    return status_fail(error, SYNK_UNSUPPORTED, "a question of kind %d", query->kind);
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
