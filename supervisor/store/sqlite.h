/*
 * The SQLite backend's own parts: one connection, its prepared statements, and the rows of its
 * tables as records. Private to supervisor/store/sqlite*.c; see backend.h for who calls when.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <sqlite3.h>
#include <stdatomic.h>

#include "proto/limits.h"
#include "supervisor/store/backend.h"
#include "supervisor/store/record_fields.h"

enum {
    /* PRAGMA application_id: "Synk". */
    SQLITE_APPLICATION_ID = 0x53796e6b,
};

/* Statements are prepared at the first use and kept. Puts and removals are in the order of enum
 * record_kind. */
enum statement {
    STATEMENT_BEGIN,
    STATEMENT_COMMIT,
    STATEMENT_ROLLBACK,
    STATEMENT_PUT,
    STATEMENT_REMOVE = STATEMENT_PUT + RECORD_KINDS,
    STATEMENT_REMOVE_DEFINITION_WORKERS = STATEMENT_REMOVE + RECORD_KINDS,
    STATEMENT_REMOVE_RUN_TASKS,
    STATEMENT_REMOVE_RUN_ATTEMPTS,
    STATEMENT_PUT_EVENTS,
    STATEMENT_KEEP_LAST_EVENT,
    STATEMENT_DROP_EVENTS,
    STATEMENT_EVENT_BOUNDS,
    STATEMENT_GET_META,
    STATEMENT_LOAD_META,
    STATEMENT_LOAD_UNITS,
    STATEMENT_LOAD_NEEDED,
    STATEMENT_LOAD_HOSTS,
    STATEMENT_LOAD_KEYS,
    STATEMENT_LOAD_RUNS,
    STATEMENT_GET_DEFINITION,
    STATEMENT_GET_WORKERS,
    STATEMENT_GET_WORKER,
    STATEMENT_GET_RUN,
    STATEMENT_FIND_RUN,
    STATEMENT_FIND_LAST_RUN,
    STATEMENT_LIST_RUNS,
    STATEMENT_LIST_UNIT_RUNS,
    STATEMENT_GET_TASKS,
    STATEMENT_GET_RESULT,
    STATEMENT_GET_ATTEMPTS,
    STATEMENT_GET_EVENTS,
    STATEMENT_GET_RUN_STATUS,
    STATEMENT_COUNT_FINISHED,
    STATEMENT_OLDEST_FINISHED,
    STATEMENT_PUT_REMOVED,
    STATEMENT_FIRST_REMOVED,
    STATEMENT_DROP_REMOVED,
    STATEMENT_SIZE_TASKS,
    STATEMENT_DROP_TASKS,
    STATEMENT_SIZE_ATTEMPTS,
    STATEMENT_DROP_ATTEMPTS,
    STATEMENT_OLDEST_EVENTS,
    STATEMENT_NEXT_VERSION,
    STATEMENT_SIZE_WORKERS,
    STATEMENT_DROP_WORKERS,
    STATEMENT_DROP_RELEASED,
    STATEMENT_PAGE_COUNT,
    STATEMENTS,
};
extern const char *const sqlite_sql[STATEMENTS];
/* sqlite_schema.c: the version of the tables that this program works on, PRAGMA user_version of a
 * file, and the statements that bring it there from each earlier one: [N - 1] from N - 1 to N. */
extern const int sqlite_schema_version;
extern const char *const sqlite_migrations[];

/* What is still to be removed, and of how much. Rolled back with the transaction that changed it.
 */
struct removal {
    struct retention bounds;
    bool runs_open, events_open, versions_open; /* something may be past a bound */
    bool has_removed;                           /* rows in removed_runs */
    bool interrupted;                           /* of runs, until the owner says what may go */
    uint64_t removed_runs, removed_events;      /* since `counts` was set */
    struct synk_error failure;                  /* why it ended before it was done */
    uint64_t finished_runs;
    uint32_t busy_turns; /* pauses that were none, since the last slice */
    /* The last version looked at. */
    char unit[LIMIT_ID_BYTES + 1];
    int64_t version;
};

struct sqlite {
    sqlite3 *db;
    char *path; /* NULL: memory */
    const char *durability;
    sqlite3_stmt *statements[STATEMENTS];
    struct removal removal;
    int wal_pages; /* in the log since the last checkpoint */
    bool lists_unit; /* the open list of runs is that of a unit */
    atomic_uint_fast64_t memory_bytes;
    /* Set when the disk failed under us: from then on nothing is promised any more. */
    struct synk_error broken;
};

/* The name of the store in errors. */
const char *sqlite_name(const struct sqlite *sqlite);
/* Fills `error` from the connection's last failure: SYNK_STORE_DOWN (disk full), SYNK_BUSY,
 * SYNK_CORRUPT or SYNK_IO. `doing`: "saving a batch". */
enum synk_status sqlite_fail(struct sqlite *sqlite, const char *doing, struct synk_error *error);
/* The prepared statement, reset; NULL when it cannot be prepared (sqlite_fail knows why). */
sqlite3_stmt *sqlite_statement(struct sqlite *sqlite, enum statement which);
/* Runs a statement without rows; an SQLite code, SQLITE_OK when it is done. */
int sqlite_run(sqlite3_stmt *statement);
/* Binds text or a blob that stays where it is until the statement is reset; size 0 binds NULL. */
int sqlite_bind_text(sqlite3_stmt *statement, int index, struct synk_bytes text);
int sqlite_bind_blob(sqlite3_stmt *statement, int index, struct synk_bytes blob);

/* sqlite_migrate.c: refuses what is not ours or is newer than us, before anything is written. */
enum synk_status sqlite_check_file(struct sqlite *sqlite, int64_t *ret_version,
                                   struct synk_error *error);
/* Brings the file from `version` (0: empty) to ours, wholly or not at all. */
enum synk_status sqlite_migrate(struct sqlite *sqlite, int64_t version, struct synk_error *error);

enum synk_status sqlite_commit(void *backend, const struct batch *batch, struct synk_error *error);
/* sqlite_retain.c: removes what may go, in slices that take some ten milliseconds each. */
/* Reads what an earlier life left to do. An SQLite code, like those below. */
int sqlite_removal_init(struct sqlite *sqlite);
/* Within a commit: takes the bounds, and removes the first slice's worth of runs. */
int sqlite_retain(struct sqlite *sqlite, const struct retention *bounds);
/* Before a run's row changes: keeps count of the finished ones. */
int sqlite_count_run(struct sqlite *sqlite, const struct run_record *run, bool remove);
/* One slice in a transaction of its own, where something is left and it is time; whether more is.
 */
bool sqlite_remove_slice(struct sqlite *sqlite, bool idle);

/* QUERY_PRUNE: SYNK_BUSY while more is to be removed. */
enum synk_status sqlite_query_prune(struct sqlite *sqlite, struct store_answer *answer,
                                    struct synk_error *error);

enum synk_status sqlite_load(void *backend, void (*each)(void *, const struct record *),
                             void *context, uint32_t *ret_epoch, uint64_t *ret_last_event,
                             uint64_t *ret_quarantined, struct synk_error *error);
enum synk_status sqlite_query(void *backend, const struct query *query, struct arena *arena,
                              struct buf *body, struct store_answer *answer,
                              struct synk_error *error);
enum synk_status sqlite_values(void *backend, const struct value_ref *refs, size_t count,
                               struct arena *arena, struct synk_bytes *ret_values,
                               struct synk_error *error);

/* sqlite_rows.c: the current row of a statement whose columns are the table's, in order. NULL, or
 * what is wrong with it. Bytes point into the row: good until the next step. */
const char *sqlite_row(enum record_kind kind, sqlite3_stmt *statement, struct record *ret_record);
/* Binds the fields [first, end) of a record to the parameters from `index` on. */
void sqlite_bind_fields(sqlite3_stmt *statement, int index, const struct record *record, int first,
                        int end);
/* The statement that puts or removes a record of this kind; the caller frees it (sqlite3_free). */
char *sqlite_put_sql(enum record_kind kind);
char *sqlite_remove_sql(enum record_kind kind);

/* sqlite_backup.c: `fill` writes a whole file at `part`, an empty one; then it gets its name. */
enum synk_status sqlite_backup_to(const char *path,
                                  enum synk_status (*fill)(void *context, const char *part,
                                                           struct synk_error *error),
                                  void *context, uint64_t *ret_bytes, struct synk_error *error);
/* sqlite_dump.c */
enum synk_status sqlite_dump(void *backend, const struct store_visitor *visitor, uint64_t *ret_bad,
                             struct synk_error *error);
enum synk_status sqlite_get_marks(void *backend, uint32_t *ret_epoch, uint64_t *ret_last_event,
                                  struct synk_error *error);
enum synk_status sqlite_set_marks(void *backend, uint32_t epoch, uint64_t last_event,
                                  struct synk_error *error);
enum synk_status sqlite_query_backup(struct sqlite *sqlite, const struct query *query,
                                     struct buf *body, struct synk_error *error);
/* Number of the oldest event kept (one past the last where none is) and of the last one given. */
enum synk_status sqlite_event_bounds(struct sqlite *sqlite, uint64_t *ret_first, uint64_t *ret_last,
                                     struct synk_error *error);

#endif
