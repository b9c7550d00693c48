/* Spans of time as columns: where a task's bar stands on its run's axis. Pure. */
#ifndef SYNK_TIMELINE_H
#define SYNK_TIMELINE_H

#include <stdint.h>

struct timeline {
    int64_t from_ms, to_ms; /* of the axis; wall time */
    uint32_t columns;
};

/* How many columns from *ret_first on a span covers: at least one where it touches the axis, so
 * that what was short is seen; 0 where it does not, or from_ms is 0 (it never began). Rounds
 * outwards to no more than the axis. */
uint32_t timeline_span(const struct timeline *timeline, int64_t from_ms, int64_t to_ms,
                       uint32_t *ret_first);

/* Short enough for a column of eight: "12 ms", "1.2 s", "3:05", "2h10m", "5d"; "-" below 0. Returns
 * `text`. */
const char *timeline_short(int64_t ms, char text[32]);

#endif
