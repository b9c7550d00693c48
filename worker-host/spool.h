/*
 * The host's spool file: reports that a crash of the host must not lose. Whole batches are appended
 * to it, and it is replaced as a whole; a failure of either leaves what was there before.
 *
 * No append is synced: the file outlives the host, not the machine. A replacement is, before it
 * takes the old file's place, so that no moment has less than the one before.
 */
#ifndef WORKER_HOST_SPOOL_H
#define WORKER_HOST_SPOOL_H

#include "proto/bytes.h"
#include "proto/status.h"

struct spool {
    int fd, dir_fd;
    uint64_t size; /* of what was appended whole; what lies behind it is overwritten */
};
/* Opens or makes DIR/spool and reads what is in it (at most 1 GiB). SYNK_IO. */
enum synk_status spool_open(struct spool *spool, const char *dir, struct buf *out,
                            struct synk_error *error);
void spool_close(struct spool *spool);
/* One write, all of it or nothing. SYNK_IO: try again, or not, in any order. */
enum synk_status spool_append(struct spool *spool, struct synk_bytes bytes,
                              struct synk_error *error);
/* Replaces all that is in it. Blocks until the disk has it, but for nothing at all, which needs no
 * room and no patience. SYNK_IO: the file is the old one, or, where only its directory could not be
 * synced, the new one. */
enum synk_status spool_rewrite(struct spool *spool, struct synk_bytes bytes,
                               struct synk_error *error);

#endif
