/*
 * Opening, closing and upkeep of the SQLite connection, and what its error codes mean to us.
 *
 * Invariants: one connection, which holds the file's exclusive lock from open to close, so that a
 * second process is told so at once. Every commit is on the disk when it returns (WAL,
 * synchronous=FULL). After an I/O error nothing is promised any more: `broken` answers every later
 * commit. Once SQLite has the file open, nobody else in this process may open and close it: that
 * would drop the lock (POSIX).
 */
#include "supervisor/store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "proto/limits.h"

enum {
    /* The log is copied into the file at the first pause in the work past this many pages (4 MiB),
     * and without a pause past the second (64 MiB). A checkpoint writes each changed page once, so
     * the longer the log, the less is written; at 64 MiB it takes a tenth of a second. */
    CHECKPOINT_IDLE_PAGES = 1000,
    CHECKPOINT_PAGES = 16000,
};

#define MAX_PAGES_PARAMETER "?max_pages="

const char *sqlite_name(const struct sqlite *sqlite)
{
    return sqlite->path ? sqlite->path : "memory:";
}

/* Whether the disk is full, rather than broken. A failed fsync never counts as full: what the
 * kernel has dropped then, it does not tell. */
static bool is_full(int code, int os_error)
{
    if ((code & 0xff) == SQLITE_FULL)
        return true;
    return (code & 0xff) == SQLITE_IOERR && code != SQLITE_IOERR_FSYNC &&
           code != SQLITE_IOERR_DIR_FSYNC && (os_error == ENOSPC || os_error == EDQUOT);
}

enum synk_status sqlite_fail(struct sqlite *sqlite, const char *doing, struct synk_error *error)
{
    const char *name = sqlite_name(sqlite);
    int code = sqlite3_extended_errcode(sqlite->db);
    int os_error = sqlite3_system_errno(sqlite->db);
    /* The one that people see, and can do something about: first, since texts are cut to fit. */
    if (is_full(code, os_error))
        return status_fail(error, SYNK_STORE_DOWN,
                           "the disk is full; make room, nothing is lost (store '%s', %s)", name,
                           doing);
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return status_fail(error, SYNK_BUSY, "store '%s': %s: another process has it open", name,
                           doing);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return status_fail(error, SYNK_CORRUPT,
                           "store '%s': %s: %s; move the file away, or put a backup in its place",
                           name, doing, sqlite3_errmsg(sqlite->db));
    default:
        return status_fail(error, SYNK_IO, "store '%s': %s: %s%s%s", name, doing,
                           sqlite3_errmsg(sqlite->db), os_error ? ": " : "",
                           os_error ? strerror(os_error) : "");
    }
}

sqlite3_stmt *sqlite_statement(struct sqlite *sqlite, enum statement which)
{
    sqlite3_stmt **statement = &sqlite->statements[which];
    if (*statement) {
        sqlite3_reset(*statement);
        return *statement;
    }
    char *made = NULL;
    if (which >= STATEMENT_PUT && which < STATEMENT_PUT + RECORD_KINDS)
        made = sqlite_put_sql((enum record_kind)(which - STATEMENT_PUT));
    else if (which >= STATEMENT_REMOVE && which < STATEMENT_REMOVE + RECORD_KINDS)
        made = sqlite_remove_sql((enum record_kind)(which - STATEMENT_REMOVE));
    sqlite3_prepare_v3(sqlite->db, made ? made : sqlite_sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                       statement, NULL);
    sqlite3_free(made);
    return *statement;
}

int sqlite_run(sqlite3_stmt *statement)
{
    if (!statement)
        return SQLITE_ERROR;
    int code = sqlite3_step(statement);
    int reset = sqlite3_reset(statement);
    return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : reset;
}

int sqlite_bind_text(sqlite3_stmt *statement, int index, struct synk_bytes text)
{
    if (text.size == 0)
        return sqlite3_bind_null(statement, index);
    return sqlite3_bind_text(statement, index, text.data, (int)text.size, SQLITE_STATIC);
}

int sqlite_bind_blob(sqlite3_stmt *statement, int index, struct synk_bytes blob)
{
    if (blob.size == 0)
        return sqlite3_bind_null(statement, index);
    return sqlite3_bind_blob(statement, index, blob.data, (int)blob.size, SQLITE_STATIC);
}

static enum synk_status execute(struct sqlite *sqlite, const char *sql, struct synk_error *error)
{
    if (sqlite3_exec(sqlite->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return SYNK_OK;
    return sqlite_fail(sqlite, "opening it", error);
}

static int count_wal_pages(void *context, sqlite3 *db, const char *name, int pages)
{
    (void)db, (void)name;
    struct sqlite *sqlite = context;
    sqlite->wal_pages = pages;
    return SQLITE_OK;
}

/* Everything between an open handle and a store that is ready. */
static enum synk_status prepare(struct sqlite *sqlite, int64_t max_pages, struct synk_error *error)
{
    int64_t version = 0;
    /* The lock mode comes first: it decides how the log's index is kept. */
    enum synk_status status = execute(sqlite,
                                      "PRAGMA locking_mode=EXCLUSIVE;"
                                      "PRAGMA trusted_schema=OFF;"
                                      "PRAGMA cell_size_check=ON;"
                                      "PRAGMA mmap_size=0;",
                                      error);
    if (status == SYNK_OK)
        status = sqlite_check_file(sqlite, &version, error);
    if (status == SYNK_OK)
        status = execute(sqlite,
                         "PRAGMA journal_mode=WAL;"
                         "PRAGMA synchronous=FULL;"
                         "PRAGMA temp_store=MEMORY;"
                         "PRAGMA foreign_keys=OFF;"
                         "PRAGMA cache_size=-65536;"
                         "PRAGMA journal_size_limit=134217728;",
                         error);
    if (status == SYNK_OK && max_pages) {
        char sql[64];
        snprintf(sql, sizeof(sql), "PRAGMA max_page_count=%lld", (long long)max_pages);
        status = execute(sqlite, sql, error);
    }
    if (status == SYNK_OK)
        status = sqlite_migrate(sqlite, version, error);
    /* Takes the lock now, also where there was nothing to create. */
    if (status == SYNK_OK)
        status = execute(sqlite, "BEGIN EXCLUSIVE; COMMIT;", error);
    if (status == SYNK_OK && sqlite_removal_init(sqlite) != SQLITE_OK)
        status = sqlite_fail(sqlite, "opening it", error);
    if (status == SYNK_OK)
        sqlite3_wal_hook(sqlite->db, count_wal_pages, sqlite);
    return status;
}

static void close_store(void *backend)
{
    struct sqlite *sqlite = backend;
    if (!sqlite)
        return;
    for (size_t i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(sqlite->statements[i]);
    /* The last connection's close copies the log into the file and removes it. */
    sqlite3_close(sqlite->db);
    free(sqlite->path);
    free(sqlite);
}

/* Splits "PATH?max_pages=N". */
static enum synk_status parse_rest(const char *rest, char **ret_path, int64_t *ret_max_pages,
                                   struct synk_error *error)
{
    const char *mark = strstr(rest, MAX_PAGES_PARAMETER);
    *ret_max_pages = 0;
    if (mark) {
        char *end;
        long long pages = strtoll(mark + strlen(MAX_PAGES_PARAMETER), &end, 10);
        if (*end || pages < 1 || pages > UINT32_MAX)
            return status_fail(error, SYNK_INVALID,
                               "store '%s': max_pages is a number of pages, 1 or more", rest);
        *ret_max_pages = pages;
    }
    *ret_path = mem_strndup(rest, mark ? (size_t)(mark - rest) : strlen(rest));
    return SYNK_OK;
}

/* Makes an empty file that only its owner may read. An existing one is not opened: see the head. */
static enum synk_status create_file(const char *path, struct synk_error *error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    else if (errno != EEXIST)
        return status_fail(error, SYNK_IO, "store '%s': cannot create the file: %s", path,
                           strerror(errno));
    return SYNK_OK;
}

static const char *file_durability(const char *path)
{
    struct statfs info;
    if (statfs(path, &info) == 0 &&
        (info.f_type == TMPFS_MAGIC || info.f_type == (__typeof__(info.f_type))RAMFS_MAGIC))
        return "volatile";
    return "fsync";
}

static enum synk_status open_connection(struct sqlite *sqlite, int64_t max_pages,
                                        struct synk_error *error)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int code = sqlite->path
                   ? sqlite3_open_v2(sqlite->path, &sqlite->db, flags, NULL)
                   : sqlite3_open_v2(":memory:", &sqlite->db, flags | SQLITE_OPEN_CREATE, NULL);
    if (code != SQLITE_OK)
        return sqlite_fail(sqlite, "opening it", error);
    return prepare(sqlite, max_pages, error);
}

static enum synk_status open_file(const char *rest, void **ret_backend, struct synk_error *error)
{
    struct sqlite *sqlite = mem_zalloc(1, sizeof(*sqlite));
    int64_t max_pages;
    enum synk_status status = parse_rest(rest, &sqlite->path, &max_pages, error);
    if (status == SYNK_OK && (sqlite->path[0] == '\0' || sqlite->path[0] == ':'))
        status = status_fail(error, SYNK_INVALID,
                             "store 'sqlite:%s': no path; write sqlite:PATH, or memory:", rest);
    if (status == SYNK_OK)
        status = create_file(sqlite->path, error);
    if (status == SYNK_OK)
        status = open_connection(sqlite, max_pages, error);
    if (status != SYNK_OK) {
        close_store(sqlite);
        return status;
    }
    sqlite->durability = file_durability(sqlite->path);
    *ret_backend = sqlite;
    return SYNK_OK;
}

static enum synk_status open_memory(const char *rest, void **ret_backend, struct synk_error *error)
{
    struct sqlite *sqlite = mem_zalloc(1, sizeof(*sqlite));
    char *path = NULL;
    int64_t max_pages;
    enum synk_status status = parse_rest(rest, &path, &max_pages, error);
    if (status == SYNK_OK && path[0])
        status = status_fail(error, SYNK_INVALID, "store 'memory:%s': memory: has no path", rest);
    free(path);
    if (status == SYNK_OK)
        status = open_connection(sqlite, max_pages, error);
    if (status != SYNK_OK) {
        close_store(sqlite);
        return status;
    }
    sqlite->durability = "none";
    *ret_backend = sqlite;
    return SYNK_OK;
}

static const char *durability(const void *backend)
{
    return ((const struct sqlite *)backend)->durability;
}

static uint64_t size_bytes(const void *backend)
{
    const struct sqlite *sqlite = backend;
    if (!sqlite->path)
        return atomic_load(&sqlite->memory_bytes);
    struct stat info;
    uint64_t size = stat(sqlite->path, &info) == 0 ? (uint64_t)info.st_size : 0;
    char *log = sqlite3_mprintf("%s-wal", sqlite->path);
    if (log && stat(log, &info) == 0)
        size += (uint64_t)info.st_size;
    sqlite3_free(log);
    return size;
}

static void checkpoint(struct sqlite *sqlite)
{
    sqlite->wal_pages = 0;
    if (sqlite3_wal_checkpoint_v2(sqlite->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) ==
        SQLITE_OK)
        return;
    /* On a full disk the log keeps everything, and the next checkpoint tries again. */
    struct synk_error error;
    if (sqlite_fail(sqlite, "copying the log into the file", &error) != SYNK_STORE_DOWN)
        sqlite->broken = error;
}

static bool upkeep_file(void *backend, bool idle)
{
    struct sqlite *sqlite = backend;
    if (sqlite->broken.status != SYNK_OK ||
        sqlite->wal_pages < (idle ? CHECKPOINT_IDLE_PAGES : CHECKPOINT_PAGES))
        return sqlite_remove_slice(sqlite, idle);
    /* Not both at a time: a job may be waiting by now. */
    checkpoint(sqlite);
    return true;
}

static bool upkeep_memory(void *backend, bool idle)
{
    struct sqlite *sqlite = backend;
    bool more = sqlite_remove_slice(sqlite, idle);
    sqlite3_stmt *statement = sqlite_statement(sqlite, STATEMENT_PAGE_COUNT);
    if (statement && sqlite3_step(statement) == SQLITE_ROW)
        atomic_store(&sqlite->memory_bytes, (uint64_t)sqlite3_column_int64(statement, 0) * 4096);
    sqlite3_reset(statement);
    return more;
}

const struct store_ops sqlite_store_ops = {
    .scheme = "sqlite:",
    .open = open_file,
    .close = close_store,
    .durability = durability,
    .size_bytes = size_bytes,
    .load = sqlite_load,
    .commit = sqlite_commit,
    .query = sqlite_query,
    .values = sqlite_values,
    .dump = sqlite_dump,
    .get_marks = sqlite_get_marks,
    .set_marks = sqlite_set_marks,
    .upkeep = upkeep_file,
};

const struct store_ops memory_store_ops = {
    .scheme = "memory:",
    .open = open_memory,
    .close = close_store,
    .durability = durability,
    .size_bytes = size_bytes,
    .load = sqlite_load,
    .commit = sqlite_commit,
    .query = sqlite_query,
    .values = sqlite_values,
    .dump = sqlite_dump,
    .get_marks = sqlite_get_marks,
    .set_marks = sqlite_set_marks,
    .upkeep = upkeep_memory,
};
