/*
 * Whose file it is, which version its tables have, and how they become ours.
 *
 * Invariants: a file that is refused was not written to; a file is at one version or at another,
 * never between, because all steps and the new number are one transaction.
 */
#include <stdio.h>

#include "supervisor/store/sqlite.h"

/* The single integer that a query answers. */
static enum synk_status get_number(struct sqlite *sqlite, const char *sql, int64_t *ret_number,
                                   struct synk_error *error)
{
    sqlite3_stmt *statement = NULL;
    enum synk_status status = SYNK_OK;
    if (sqlite3_prepare_v2(sqlite->db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    else
        status = sqlite_fail(sqlite, "opening it", error);
    sqlite3_finalize(statement);
    return status;
}

enum synk_status sqlite_check_file(struct sqlite *sqlite, int64_t *ret_version,
                                   struct synk_error *error)
{
    int64_t version = 0, application = 0, tables = 0;
    enum synk_status status = get_number(sqlite, "PRAGMA user_version", &version, error);
    if (status == SYNK_OK)
        status = get_number(sqlite, "PRAGMA application_id", &application, error);
    if (status == SYNK_OK)
        status = get_number(sqlite, "SELECT count(*) FROM sqlite_master", &tables, error);
    if (status != SYNK_OK)
        return status;
    bool is_empty = application == 0 && version == 0 && tables == 0;
    if (application != SQLITE_APPLICATION_ID && !is_empty)
        return status_fail(error, SYNK_CORRUPT,
                           "store '%s': a database of another program; name another file",
                           sqlite_name(sqlite));
    if (version > sqlite_schema_version)
        return status_fail(error, SYNK_UNSUPPORTED,
                           "store '%s': its schema is version %lld, this program knows up to %d; "
                           "start the newer program that wrote it, or put a backup of before in "
                           "its place",
                           sqlite_name(sqlite), (long long)version, sqlite_schema_version);
    if (version < 1 && !is_empty)
        return status_fail(error, SYNK_CORRUPT,
                           "store '%s': its schema is version %lld, and versions are 1 to %d; move "
                           "the file away, or put a backup in its place",
                           sqlite_name(sqlite), (long long)version, sqlite_schema_version);
    *ret_version = version;
    return SYNK_OK;
}

static enum synk_status execute(struct sqlite *sqlite, const char *sql, int64_t version,
                                struct synk_error *error)
{
    if (sqlite3_exec(sqlite->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return SYNK_OK;
    char doing[80];
    snprintf(doing, sizeof(doing), "bringing its schema from version %lld to %d",
             (long long)version, sqlite_schema_version);
    return sqlite_fail(sqlite, doing, error);
}

enum synk_status sqlite_migrate(struct sqlite *sqlite, int64_t version, struct synk_error *error)
{
    if (version == sqlite_schema_version)
        return SYNK_OK;
    char number[40];
    snprintf(number, sizeof(number), "PRAGMA user_version=%d", sqlite_schema_version);
    enum synk_status status = execute(sqlite, "BEGIN EXCLUSIVE", version, error);
    for (int64_t step = version; step < sqlite_schema_version && status == SYNK_OK; step++)
        status = execute(sqlite, sqlite_migrations[step], version, error);
    if (status == SYNK_OK)
        status = execute(sqlite, number, version, error);
    if (status == SYNK_OK)
        status = execute(sqlite, "COMMIT", version, error);
    if (status != SYNK_OK && !sqlite3_get_autocommit(sqlite->db))
        sqlite3_exec(sqlite->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}
