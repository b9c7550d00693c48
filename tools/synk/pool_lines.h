/* Lines of a file as the params of tasks. */
#ifndef SYNK_POOL_LINES_H
#define SYNK_POOL_LINES_H

#include "tools/synk/cli.h"

struct pool_lines {
    struct buf encoded;
    struct synk_bytes *items; /* into it */
    size_t count;
};
/* Reads the file ("-": standard input): each line that is not empty is a string, or where `is_json`
 * a JSON value. An exit status, after a message with the line's number. */
int pool_lines_read(struct pool_lines *lines, const char *path, bool is_json);
void pool_lines_fini(struct pool_lines *lines);

#endif
