/* The host's spool file: reports that a crash of the host must not lose. Append, read, empty. */
#ifndef WORKER_HOST_SPOOL_H
#define WORKER_HOST_SPOOL_H

#include "proto/bytes.h"
#include "proto/status.h"

struct spool {
    int fd;
};
/* Opens or makes DIR/spool and reads what is in it (at most 1 GiB). SYNK_IO. */
enum synk_status spool_open(struct spool *spool, const char *dir, struct buf *out,
                            struct synk_error *error);
void spool_close(struct spool *spool);
/* One write, no fsync: it is there to survive our crash, not the machine's. SYNK_IO. */
enum synk_status spool_append(struct spool *spool, struct synk_bytes bytes,
                              struct synk_error *error);
enum synk_status spool_reset(struct spool *spool, struct synk_error *error);

#endif
