/*
 * Removing what may go, oldest first, without holding up commits.
 *
 * A run goes in two steps: its row moves to removed_runs, so that no question finds it any more;
 * its tasks and attempts, which may be millions, follow in slices. Events go by whole batches. A
 * version of a definition goes when it is not in force and no run that is kept has it, its workers
 * first. What stays of a released unit, its last number, goes when nothing tells of it any more.
 *
 * Invariants: a slice is one transaction and bounded in rows and bytes, whatever the run. Runs that
 * have not ended are never taken. `removal` describes what is committed: it is put back when a
 * transaction fails. Freed pages are used again; the file does not shrink.
 */
#include "supervisor/store/sqlite.h"

#include "supervisor/core/states.h"

enum {
    /* Removing a row of a task takes about 1 µs, a run's with its indexes about 5 µs, a page of a
     * large value more than 10 µs: with its sync, a slice takes some 10 ms. */
    SLICE_ROWS = 5000,
    SLICE_RUNS = 500,
    RUN_ROWS = SLICE_ROWS / SLICE_RUNS,
    SLICE_BYTES = 2 << 20,
    /* Under full load one slice comes after so many jobs: a tenth of the time or less. */
    BUSY_TURNS = 16,
};

struct slice {
    struct sqlite *sqlite;
    int64_t rows, bytes; /* left */
};

static bool is_over(const struct slice *slice)
{
    return slice->rows <= 0 || slice->bytes <= 0;
}

static sqlite3_stmt *prepare(struct slice *slice, enum statement which, int64_t first)
{
    sqlite3_stmt *statement = sqlite_statement(slice->sqlite, which);
    if (statement && sqlite3_bind_parameter_count(statement))
        sqlite3_bind_int64(statement, 1, first);
    return statement;
}

/* Steps to the only row, if there is one. The caller resets. */
static int get_row(sqlite3_stmt *statement, bool *ret_found)
{
    int code = statement ? sqlite3_step(statement) : SQLITE_ERROR;
    *ret_found = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

int sqlite_removal_init(struct sqlite *sqlite)
{
    struct slice slice = {.sqlite = sqlite};
    bool found;
    sqlite3_stmt *statement = prepare(&slice, STATEMENT_COUNT_FINISHED, 0);
    int code = get_row(statement, &found);
    if (found)
        sqlite->removal.finished_runs = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    if (code != SQLITE_OK)
        return code;
    statement = prepare(&slice, STATEMENT_FIRST_REMOVED, 0);
    code = get_row(statement, &sqlite->removal.has_removed);
    sqlite3_reset(statement);
    return code;
}

int sqlite_count_run(struct sqlite *sqlite, const struct run_record *run, bool remove)
{
    struct slice slice = {.sqlite = sqlite};
    struct removal *removal = &sqlite->removal;
    bool found;
    sqlite3_stmt *statement = prepare(&slice, STATEMENT_GET_RUN_STATUS, (int64_t)run->run);
    int code = get_row(statement, &found);
    bool was_final =
        found && run_status_is_final((enum run_status)sqlite3_column_int(statement, 0));
    sqlite3_reset(statement);
    bool is_final = !remove && run_status_is_final(run->status);
    removal->finished_runs += is_final;
    removal->finished_runs -= was_final;
    /* A removed run that its owner has after all keeps what is left of it. */
    if (code == SQLITE_OK && !found && !remove && removal->has_removed)
        code = sqlite_run(prepare(&slice, STATEMENT_DROP_REMOVED, (int64_t)run->run));
    return code;
}

/* ---- runs ---- */

static int remove_run(struct slice *slice, int64_t run)
{
    int code = sqlite_run(prepare(slice, STATEMENT_PUT_REMOVED, run));
    if (code == SQLITE_OK)
        code = sqlite_run(prepare(slice, STATEMENT_REMOVE + RECORD_RUN, run));
    slice->sqlite->removal.has_removed = true;
    slice->sqlite->removal.finished_runs--;
    slice->sqlite->removal.removed_runs++;
    slice->rows -= RUN_ROWS;
    return code;
}

/* Takes the rows of runs past a bound. */
static int remove_runs(struct slice *slice)
{
    struct removal *removal = &slice->sqlite->removal;
    const struct retention *bounds = &removal->bounds;
    int code = SQLITE_OK;
    while (code == SQLITE_OK && removal->runs_open && !is_over(slice)) {
        sqlite3_stmt *statement = prepare(slice, STATEMENT_OLDEST_FINISHED, 0);
        bool found;
        code = get_row(statement, &found);
        int64_t run = found ? sqlite3_column_int64(statement, 0) : 0;
        int64_t ended_at = found ? sqlite3_column_int64(statement, 1) : 0;
        sqlite3_reset(statement);
        bool is_past =
            found && ((bounds->keep_runs && removal->finished_runs > bounds->keep_runs) ||
                      ended_at < bounds->runs_before);
        if (code == SQLITE_OK && is_past)
            code = remove_run(slice, run);
        else
            removal->runs_open = false;
    }
    return code;
}

/* Bounds what is removed next to what the slice has left: *ret_last is the number of the last row
 * to go, the statement's first column; its second is the row's bytes. Resets the statement. */
static int measure(struct slice *slice, sqlite3_stmt *sizes, int64_t *ret_last, bool *ret_all)
{
    bool found = true;
    int code = SQLITE_OK;
    *ret_last = -1;
    while (code == SQLITE_OK && found && !is_over(slice)) {
        code = get_row(sizes, &found);
        if (!found)
            break;
        *ret_last = sqlite3_column_int64(sizes, 0);
        slice->rows--;
        slice->bytes -= sqlite3_column_int64(sizes, 1);
    }
    *ret_all = !found;
    sqlite3_reset(sizes);
    return code;
}

/* Removes rows of one kind of a removed run. */
static int remove_rows(struct slice *slice, int64_t run, enum statement sizes, enum statement drop,
                       bool *ret_all)
{
    int64_t last;
    int code = measure(slice, prepare(slice, sizes, run), &last, ret_all);
    if (code != SQLITE_OK || last < 0)
        return code;
    sqlite3_stmt *statement = prepare(slice, drop, run);
    if (statement)
        sqlite3_bind_int64(statement, 2, last);
    return sqlite_run(statement);
}

/* Removes what removed runs have left. */
static int remove_tasks(struct slice *slice)
{
    struct removal *removal = &slice->sqlite->removal;
    int code = SQLITE_OK;
    while (code == SQLITE_OK && removal->has_removed && !is_over(slice)) {
        sqlite3_stmt *statement = prepare(slice, STATEMENT_FIRST_REMOVED, 0);
        code = get_row(statement, &removal->has_removed);
        int64_t run = removal->has_removed ? sqlite3_column_int64(statement, 0) : 0;
        sqlite3_reset(statement);
        if (code != SQLITE_OK || !removal->has_removed)
            break;
        bool all = false;
        slice->rows -= RUN_ROWS;
        code = remove_rows(slice, run, STATEMENT_SIZE_TASKS, STATEMENT_DROP_TASKS, &all);
        if (code == SQLITE_OK && all)
            code = remove_rows(slice, run, STATEMENT_SIZE_ATTEMPTS, STATEMENT_DROP_ATTEMPTS, &all);
        if (code == SQLITE_OK && all)
            code = sqlite_run(prepare(slice, STATEMENT_DROP_REMOVED, run));
    }
    return code;
}

/* ---- events ---- */

static int remove_events(struct slice *slice)
{
    struct removal *removal = &slice->sqlite->removal;
    const struct retention *bounds = &removal->bounds;
    if (!removal->events_open || is_over(slice))
        return SQLITE_OK;
    uint64_t first, last;
    if (sqlite_event_bounds(slice->sqlite, &first, &last, NULL) != SYNK_OK)
        return SQLITE_ERROR;
    uint64_t upto =
        bounds->keep_events && last > bounds->keep_events ? last - bounds->keep_events : 0;
    int code = SQLITE_OK;
    bool keeps_number = false;
    while (code == SQLITE_OK && removal->events_open && !is_over(slice)) {
        sqlite3_stmt *statement = prepare(slice, STATEMENT_OLDEST_EVENTS, 0);
        bool found;
        code = get_row(statement, &found);
        int64_t number = found ? sqlite3_column_int64(statement, 0) : 0;
        int64_t at = found ? sqlite3_column_int64(statement, 1) : 0;
        slice->bytes -= found ? sqlite3_column_int64(statement, 2) : 0;
        int64_t count = found ? sqlite3_column_int64(statement, 3) : 0;
        sqlite3_reset(statement);
        if (code == SQLITE_OK &&
            !(found && ((uint64_t)number <= upto || at < bounds->events_before))) {
            removal->events_open = false;
            break;
        }
        /* Before the last batch goes: numbers are not given twice. */
        if (code == SQLITE_OK && !keeps_number)
            code = sqlite_run(sqlite_statement(slice->sqlite, STATEMENT_KEEP_LAST_EVENT));
        keeps_number = true;
        if (code == SQLITE_OK)
            code = sqlite_run(prepare(slice, STATEMENT_DROP_EVENTS, number));
        removal->removed_events += (uint64_t)count;
        slice->rows -= RUN_ROWS;
    }
    return code;
}

/* ---- versions of definitions ---- */

static sqlite3_stmt *prepare_version(struct slice *slice, enum statement which)
{
    const struct removal *removal = &slice->sqlite->removal;
    sqlite3_stmt *statement = sqlite_statement(slice->sqlite, which);
    if (statement) {
        sqlite3_bind_text(statement, 1, removal->unit, -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 2, removal->version);
    }
    return statement;
}

/* Removes the version that `removal` names; *ret_all: nothing of it is left. */
static int remove_version(struct slice *slice, bool *ret_all)
{
    int64_t last;
    int code = measure(slice, prepare_version(slice, STATEMENT_SIZE_WORKERS), &last, ret_all);
    if (code == SQLITE_OK && last >= 0) {
        sqlite3_stmt *statement = prepare_version(slice, STATEMENT_DROP_WORKERS);
        if (statement)
            sqlite3_bind_int64(statement, 3, last);
        code = sqlite_run(statement);
    }
    if (code == SQLITE_OK && *ret_all)
        code = sqlite_run(prepare_version(slice, STATEMENT_REMOVE + RECORD_DEFINITION));
    return code;
}

static int remove_versions(struct slice *slice)
{
    struct removal *removal = &slice->sqlite->removal;
    int code = SQLITE_OK;
    while (code == SQLITE_OK && removal->versions_open && !is_over(slice)) {
        struct removal before = *removal;
        sqlite3_stmt *statement = prepare_version(slice, STATEMENT_NEXT_VERSION);
        code = get_row(statement, &removal->versions_open);
        bool is_needed = false;
        if (removal->versions_open) {
            sqlite3_snprintf(sizeof(removal->unit), removal->unit, "%s",
                             (const char *)sqlite3_column_text(statement, 0));
            removal->version = sqlite3_column_int64(statement, 1);
            is_needed = sqlite3_column_int(statement, 2);
            slice->rows -= 2;
        }
        sqlite3_reset(statement);
        bool all = true;
        if (code == SQLITE_OK && removal->versions_open && !is_needed)
            code = remove_version(slice, &all);
        if (!all)
            *removal = before; /* the same one again, next time */
        else if (code == SQLITE_OK && !removal->versions_open)
            code = sqlite_run(sqlite_statement(slice->sqlite, STATEMENT_DROP_RELEASED));
    }
    return code;
}

/* ---- slices ---- */

int sqlite_retain(struct sqlite *sqlite, const struct retention *bounds)
{
    struct removal *removal = &sqlite->removal;
    struct slice slice = {sqlite, SLICE_ROWS, SLICE_BYTES};
    removal->bounds = *bounds;
    removal->runs_open = bounds->keep_runs || bounds->runs_before;
    removal->events_open = bounds->keep_events || bounds->events_before;
    removal->versions_open = true;
    removal->unit[0] = '\0';
    removal->version = 0;
    removal->interrupted = false;
    removal->failure.status = SYNK_OK;
    if (bounds->counts)
        removal->removed_runs = removal->removed_events = 0;
    return remove_runs(&slice);
}

static bool is_more(const struct removal *removal)
{
    return removal->runs_open || removal->has_removed || removal->events_open ||
           removal->versions_open;
}

enum synk_status sqlite_query_prune(struct sqlite *sqlite, struct store_answer *answer,
                                    struct synk_error *error)
{
    const struct removal *removal = &sqlite->removal;
    const struct synk_error *failure = sqlite->broken.status ? &sqlite->broken : &removal->failure;
    if (failure->status) {
        *error = *failure;
        return failure->status;
    }
    if (removal->interrupted || is_more(removal))
        return status_fail(error, SYNK_BUSY, "more is to be removed");
    answer->removed_runs = removal->removed_runs;
    answer->removed_events = removal->removed_events;
    return SYNK_OK;
}

static int remove_some(struct sqlite *sqlite)
{
    struct slice slice = {sqlite, SLICE_ROWS, SLICE_BYTES};
    int code = sqlite_run(sqlite_statement(sqlite, STATEMENT_BEGIN));
    if (code == SQLITE_OK)
        code = remove_runs(&slice);
    if (code == SQLITE_OK)
        code = remove_tasks(&slice);
    if (code == SQLITE_OK)
        code = remove_events(&slice);
    if (code == SQLITE_OK)
        code = remove_versions(&slice);
    if (code == SQLITE_OK)
        code = sqlite_run(sqlite_statement(sqlite, STATEMENT_COMMIT));
    return code;
}

bool sqlite_remove_slice(struct sqlite *sqlite, bool idle)
{
    struct removal *removal = &sqlite->removal;
    if (sqlite->broken.status != SYNK_OK || !is_more(removal))
        return false;
    if (!idle && ++removal->busy_turns < BUSY_TURNS)
        return true;
    removal->busy_turns = 0;
    struct removal before = *removal;
    if (remove_some(sqlite) == SQLITE_OK)
        return is_more(removal);
    struct synk_error why;
    enum synk_status status = sqlite_fail(sqlite, "removing what is too old", &why);
    if (!sqlite3_get_autocommit(sqlite->db) &&
        sqlite_run(sqlite_statement(sqlite, STATEMENT_ROLLBACK)) != SQLITE_OK)
        status = SYNK_IO;
    *removal = before;
    if (status != SYNK_STORE_DOWN) {
        sqlite->broken = why;
        sqlite->broken.status = SYNK_IO; /* the owner can do the same about it: exit and recover */
        return false;
    }
    /* The disk is full: again when the owner next says what may go. */
    removal->runs_open = removal->events_open = removal->versions_open = false;
    removal->failure = why;
    return false;
}
