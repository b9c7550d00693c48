/*
 * The spool file. Invariants: bytes [0, size) are whole batches; a failed append is cut off where
 * that is possible, and overwritten by the next one in any case, so that no batch lies behind a
 * torn one; the file under the spool's name is never a half-written one.
 */
#include "worker-host/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SPOOL_MAX_BYTES = 1 << 30 };

static enum synk_status read_all(int fd, size_t size, struct buf *out, struct synk_error *error)
{
    buf_reserve(out, size);
    for (size_t at = 0; at < size;) {
        ssize_t got = pread(fd, out->data + out->size, size - at, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return status_fail(error, SYNK_IO, "spool: %s", strerror(errno));
        if (got == 0)
            break;
        out->size += (size_t)got;
        at += (size_t)got;
    }
    return SYNK_OK;
}

enum synk_status spool_open(struct spool *spool, const char *dir, struct buf *out,
                            struct synk_error *error)
{
    struct stat info;
    *spool = (struct spool){.fd = -1, .dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (spool->dir_fd >= 0)
        spool->fd = openat(spool->dir_fd, "spool", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (spool->fd < 0 || fstat(spool->fd, &info))
        return status_fail(error, SYNK_IO, "%s/spool: %s", dir, strerror(errno));
    if (info.st_size > SPOOL_MAX_BYTES)
        return status_fail(error, SYNK_IO,
                           "%s/spool: %lld bytes are more than a host writes; move it away", dir,
                           (long long)info.st_size);
    spool->size = (uint64_t)info.st_size;
    unlinkat(spool->dir_fd, "spool.new", 0); /* of a host that died while it wrote it */
    return read_all(spool->fd, (size_t)info.st_size, out, error);
}

void spool_close(struct spool *spool)
{
    if (spool->fd > 0)
        close(spool->fd);
    if (spool->dir_fd > 0)
        close(spool->dir_fd);
    *spool = (struct spool){.fd = -1, .dir_fd = -1};
}

/* 0, or errno. */
static int write_at(int fd, struct synk_bytes bytes, uint64_t offset)
{
    const uint8_t *data = bytes.data;
    for (size_t at = 0; at < bytes.size;) {
        ssize_t wrote = pwrite(fd, data + at, bytes.size - at, (off_t)(offset + at));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return errno;
        at += (size_t)wrote;
    }
    return 0;
}

enum synk_status spool_append(struct spool *spool, struct synk_bytes bytes,
                              struct synk_error *error)
{
    int problem = write_at(spool->fd, bytes, spool->size);
    if (problem) {
        bool is_cut = ftruncate(spool->fd, (off_t)spool->size) == 0;
        return status_fail(error, SYNK_IO, "spool: %s%s", strerror(problem),
                           is_cut ? "" : ", and it could not be cut back");
    }
    spool->size += bytes.size;
    return SYNK_OK;
}

static enum synk_status clear(struct spool *spool, struct synk_error *error)
{
    if (ftruncate(spool->fd, 0))
        return status_fail(error, SYNK_IO, "spool: %s", strerror(errno));
    spool->size = 0;
    return SYNK_OK;
}

enum synk_status spool_rewrite(struct spool *spool, struct synk_bytes bytes,
                               struct synk_error *error)
{
    if (!bytes.size)
        return clear(spool, error);
    int fd = openat(spool->dir_fd, "spool.new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return status_fail(error, SYNK_IO, "spool.new: %s", strerror(errno));
    int problem = write_at(fd, bytes, 0);
    if (!problem && (fsync(fd) || renameat(spool->dir_fd, "spool.new", spool->dir_fd, "spool")))
        problem = errno;
    if (problem) {
        close(fd);
        unlinkat(spool->dir_fd, "spool.new", 0);
        return status_fail(error, SYNK_IO, "spool.new: %s", strerror(problem));
    }
    close(spool->fd);
    spool->fd = fd;
    spool->size = bytes.size;
    if (fsync(spool->dir_fd))
        return status_fail(error, SYNK_IO, "the spool's directory: %s", strerror(errno));
    return SYNK_OK;
}
