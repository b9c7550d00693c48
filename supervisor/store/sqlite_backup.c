/*
 * A copy of the store, made while it is in use: an SQLite file that a supervisor can start from.
 *
 * Invariant: the path that was asked for appears only when the copy is whole and on the disk, and
 * nothing that was there before is replaced.
 */
#include "supervisor/store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/pack.h"

static enum synk_status fail_path(struct synk_error *error, const char *doing, const char *path)
{
    enum synk_status status = errno == EEXIST   ? SYNK_EXISTS
                              : errno == ENOENT ? SYNK_NOT_FOUND
                                                : SYNK_IO;
    return status_fail(error, status, "backup: %s '%s': %s", doing, path, strerror(errno));
}

/* SQLite keeps the reason with the target, whichever of the two failed. */
static enum synk_status fail_copy(const struct sqlite *sqlite, sqlite3 *target, int code,
                                  const char *path, struct synk_error *error)
{
    bool is_known = sqlite3_errcode(target) == code;
    return status_fail(error, SYNK_IO, "backup: cannot copy '%s' to '%s': %s", sqlite_name(sqlite),
                       path, is_known ? sqlite3_errmsg(target) : sqlite3_errstr(code));
}

/* Copies page by page into the empty file at `path`. */
static enum synk_status copy_pages(void *context, const char *path, struct synk_error *error)
{
    struct sqlite *sqlite = context;
    sqlite3 *target = NULL;
    enum synk_status status = SYNK_OK;
    int code = sqlite3_open_v2(path, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    /* The whole is synced once at the end; a half copy is removed. */
    if (code == SQLITE_OK)
        code = sqlite3_exec(target, "PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF;", NULL, NULL,
                            NULL);
    sqlite3_backup *backup =
        code == SQLITE_OK ? sqlite3_backup_init(target, "main", sqlite->db, "main") : NULL;
    if (backup) {
        int copied = sqlite3_backup_step(backup, -1);
        code = sqlite3_backup_finish(backup);
        /* A copy that stopped early is not told of by the end alone. */
        if (code == SQLITE_OK && copied != SQLITE_DONE)
            code = copied;
    } else if (code == SQLITE_OK) {
        code = sqlite3_errcode(target);
    }
    if (code != SQLITE_OK)
        status = fail_copy(sqlite, target, code, path, error);
    sqlite3_close(target);
    return status;
}

static enum synk_status sync_path(const char *path, int flags, uint64_t *ret_bytes,
                                  struct synk_error *error)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0)
        return fail_path(error, "cannot open", path);
    enum synk_status status = SYNK_OK;
    if (fsync(fd) != 0 || fstat(fd, &info) != 0)
        status = fail_path(error, "cannot sync", path);
    else if (ret_bytes)
        *ret_bytes = (uint64_t)info.st_size;
    close(fd);
    return status;
}

/* Gives the finished copy its name, unless that exists by now. */
static enum synk_status publish(const char *part, const char *path, struct synk_error *error)
{
    if (renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return SYNK_OK;
    /* Not every file system knows that flag; there a link refuses as well. */
    if (errno == EINVAL && link(part, path) == 0) {
        unlink(part);
        return SYNK_OK;
    }
    return fail_path(error, "cannot create", path);
}

enum synk_status sqlite_backup_to(const char *path,
                                  enum synk_status (*fill)(void *context, const char *part,
                                                           struct synk_error *error),
                                  void *context, uint64_t *ret_bytes, struct synk_error *error)
{
    char *part = NULL, *directory = mem_strdup(path);
    enum synk_status status = SYNK_OK;
    if (access(path, F_OK) == 0) {
        errno = EEXIST;
        status = fail_path(error, "cannot create", path);
        goto out;
    }
    if (asprintf(&part, "%s.part.XXXXXX", path) < 0)
        abort();
    /* Mode 0600, and a name that nobody else has. */
    int fd = mkstemp(part);
    if (fd < 0) {
        status = fail_path(error, "cannot create", part);
        goto out;
    }
    close(fd);
    status = fill(context, part, error);
    if (status == SYNK_OK)
        status = sync_path(part, 0, ret_bytes, error);
    if (status == SYNK_OK)
        status = publish(part, path, error);
    if (status == SYNK_OK)
        status = sync_path(dirname(directory), O_DIRECTORY, NULL, error);
    else
        unlink(part);
out:
    free(part);
    free(directory);
    return status;
}

enum synk_status sqlite_query_backup(struct sqlite *sqlite, const struct query *query,
                                     struct buf *body, struct synk_error *error)
{
    uint64_t bytes = 0;
    char *path = mem_strndup(query->path.data, query->path.size);
    enum synk_status status = sqlite_backup_to(path, copy_pages, sqlite, &bytes, error);
    if (status == SYNK_OK) {
        pack_map(body, 2);
        pack_key(body, "path");
        pack_cstr(body, path);
        pack_key(body, "bytes");
        pack_uint(body, bytes);
    }
    free(path);
    return status;
}
