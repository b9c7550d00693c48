/*
 * How much of what has ended is kept, as people write it: an age (90s, 5m, 2h, 30d, 4w), a count,
 * or both with a comma between. synkd's options and `synk prune` read it.
 */
#ifndef PROTO_KEEP_H
#define PROTO_KEEP_H

#include <stdint.h>

#include "proto/status.h"

/* 0 = no bound. */
struct keep {
    int64_t age_ms;
    uint64_t count;
};
/* Fails with SYNK_INVALID; *ret_keep is untouched then. */
enum synk_status keep_parse(const char *text, struct keep *ret_keep, struct synk_error *error);

#endif
