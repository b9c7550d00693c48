/* A column stands for an equal share of the axis; a span has those that its start and its end are
 * in, the end's own moment left out. */
#include "tools/synk/timeline.h"

#include <stdio.h>

uint32_t timeline_span(const struct timeline *timeline, int64_t from_ms, int64_t to_ms,
                       uint32_t *ret_first)
{
    int64_t length_ms = timeline->to_ms - timeline->from_ms;
    *ret_first = 0;
    if (from_ms <= 0 || !timeline->columns || to_ms < timeline->from_ms ||
        from_ms > timeline->to_ms)
        return 0;
    if (length_ms <= 0)
        return timeline->columns;
    from_ms = from_ms < timeline->from_ms ? timeline->from_ms : from_ms;
    to_ms = to_ms > timeline->to_ms ? timeline->to_ms : to_ms;
    /* In doubles: a run of months times columns does not overflow them. */
    double scale = (double)timeline->columns / (double)length_ms;
    uint32_t first = (uint32_t)((double)(from_ms - timeline->from_ms) * scale);
    double end = (double)(to_ms - timeline->from_ms) * scale;
    uint32_t stop = (uint32_t)end + (end > (double)(uint32_t)end);
    first = first < timeline->columns ? first : timeline->columns - 1;
    stop = stop > first ? stop : first + 1;
    stop = stop < timeline->columns ? stop : timeline->columns;
    *ret_first = first;
    return stop - first;
}

const char *timeline_short(int64_t ms, char text[32])
{
    long long s = ms / 1000;
    if (ms < 0)
        snprintf(text, 32, "-");
    else if (ms < 1000)
        snprintf(text, 32, "%lld ms", (long long)ms);
    else if (ms < 60000)
        snprintf(text, 32, "%.1f s", (double)ms / 1000);
    else if (s < 3600)
        snprintf(text, 32, "%lld:%02lld", s / 60, s % 60);
    else if (s < 48 * 3600)
        snprintf(text, 32, "%lldh%02lldm", s / 3600, s / 60 % 60);
    else
        snprintf(text, 32, "%lldd", s / 86400);
    return text;
}
