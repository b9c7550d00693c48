/* The spool file. Invariant: what a failed append left is cut off again, so that items behind it
 * are not lost with it. */
#include "worker-host/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SPOOL_MAX_BYTES = 1 << 30 };

enum synk_status spool_open(struct spool *spool, const char *dir, struct buf *out,
                            struct synk_error *error)
{
    char path[4096];
    struct stat info;
    snprintf(path, sizeof(path), "%s/spool", dir);
    spool->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (spool->fd < 0 || fstat(spool->fd, &info))
        return status_fail(error, SYNK_IO, "%s: %s", path, strerror(errno));
    if (info.st_size > SPOOL_MAX_BYTES)
        return status_fail(error, SYNK_IO,
                           "%s: %lld bytes are more than a host writes; move it "
                           "away",
                           path, (long long)info.st_size);
    buf_reserve(out, (size_t)info.st_size);
    for (size_t at = 0; at < (size_t)info.st_size;) {
        ssize_t got = pread(spool->fd, out->data + out->size, (size_t)info.st_size - at, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return status_fail(error, SYNK_IO, "%s: %s", path, strerror(errno));
        if (got == 0)
            break;
        out->size += (size_t)got;
        at += (size_t)got;
    }
    return SYNK_OK;
}

void spool_close(struct spool *spool)
{
    if (spool->fd > 0)
        close(spool->fd);
    spool->fd = -1;
}

enum synk_status spool_append(struct spool *spool, struct synk_bytes bytes,
                              struct synk_error *error)
{
    struct stat before;
    if (fstat(spool->fd, &before))
        return status_fail(error, SYNK_IO, "spool: %s", strerror(errno));
    const uint8_t *data = bytes.data;
    for (size_t at = 0; at < bytes.size;) {
        ssize_t wrote = write(spool->fd, data + at, bytes.size - at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0) {
            int problem = errno;
            bool is_cut = ftruncate(spool->fd, before.st_size) == 0;
            return status_fail(error, SYNK_IO, "spool: %s%s", strerror(problem),
                               is_cut ? "" : ", and it could not be cut back");
        }
        at += (size_t)wrote;
    }
    return SYNK_OK;
}

enum synk_status spool_reset(struct spool *spool, struct synk_error *error)
{
    if (ftruncate(spool->fd, 0))
        return status_fail(error, SYNK_IO, "spool: %s", strerror(errno));
    return SYNK_OK;
}
