/* The built-in function `exec`: one command, watched to its end. */
#ifndef WORKER_HOST_EXEC_H
#define WORKER_HOST_EXEC_H

#include "proto/bytes.h"
#include "synk/worker.h"

int exec_run(struct synk_task *task);

/* Lines from descriptor 3. Appends what came and handles whole lines; bad ones, and a note of one
 * that is too long, go to `log`. */
struct exec_lines {
    struct buf pending;
    bool skips; /* the rest of a line that was too long */
};
void exec_lines_add(struct exec_lines *lines, struct synk_bytes bytes, struct synk_task *task,
                    void (*log)(void *context, struct synk_bytes line), void *context);
/* Text as UTF-8 that begins and ends at whole characters, bad bytes as '?'. */
void exec_clean_text(struct synk_bytes text, struct buf *out);

#endif
