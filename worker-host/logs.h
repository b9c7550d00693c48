/*
 * Logs of attempts: DIR/logs/RUN/TASK.ATTEMPT.log, made at the first byte, bounded to
 * LIMIT_LOG_BYTES by leaving out the middle. Runners write them, the host reads and removes them.
 */
#ifndef WORKER_HOST_LOGS_H
#define WORKER_HOST_LOGS_H

#include "proto/bytes.h"
#include "proto/status.h"

struct log_writer {
    const char *dir; /* the host's, borrowed */
    uint64_t run;
    uint32_t task, attempt;
    int fd; /* -1 until the first byte, -2 when it could not be made */
    size_t written;
    uint64_t left_out;
    struct buf tail; /* the last bytes, once the head is full */
};
void log_writer_init(struct log_writer *log, const char *dir, uint64_t run, uint32_t task,
                     uint32_t attempt);
void log_write(struct log_writer *log, struct synk_bytes bytes);
/* Appends the content of a file from its start. */
void log_write_file(struct log_writer *log, int fd);
/* Writes what was held back, closes. Safe twice. */
void log_writer_fini(struct log_writer *log);

/*
 * Appends up to `max_bytes` from `offset` to `out`. *attempt 0 is replaced by the latest one that
 * has a log. `more_fd` (-1 = none) holds what is to follow the file later, while the attempt runs.
 * A log that does not exist is empty. SYNK_IO otherwise.
 */
enum synk_status log_read(const char *dir, uint64_t run, uint32_t task, uint32_t *attempt,
                          int more_fd, uint64_t offset, size_t max_bytes, struct buf *out,
                          uint64_t *ret_size, struct synk_error *error);
/* Removes logs older than `max_age_s`, then the oldest until `max_bytes` remain. Walks the
 * directory; for a slow timer. Returns how many were removed. */
size_t logs_prune(const char *dir, uint64_t max_bytes, int64_t max_age_s, int64_t now_s);

#endif
