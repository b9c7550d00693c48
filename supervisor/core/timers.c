/* The heap of timers, ordered by (due, order of setting). */
#include "supervisor/core/timers.h"

#include <stdlib.h>

void timers_fini(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){0};
}

static bool before(const struct timer *a, const struct timer *b)
{
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

void timers_set(struct timers *timers, int64_t due, enum timer_kind kind, uint64_t id,
                uint32_t task)
{
    timers->heap =
        mem_grow(timers->heap, &timers->capacity, timers->count + 1, sizeof(*timers->heap));
    struct timer timer = {due, timers->order++, id, kind, task};
    size_t at = timers->count++;
    while (at > 0 && before(&timer, &timers->heap[(at - 1) / 2])) {
        timers->heap[at] = timers->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    timers->heap[at] = timer;
}

int64_t timers_next(const struct timers *timers)
{
    return timers->count ? timers->heap[0].due : INT64_MAX;
}

bool timers_take(struct timers *timers, int64_t now, struct timer *ret_timer)
{
    if (!timers->count || timers->heap[0].due > now)
        return false;
    *ret_timer = timers->heap[0];
    struct timer last = timers->heap[--timers->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= timers->count)
            break;
        if (child + 1 < timers->count && before(&timers->heap[child + 1], &timers->heap[child]))
            child++;
        if (!before(&timers->heap[child], &last))
            break;
        timers->heap[at] = timers->heap[child];
        at = child;
    }
    if (timers->count)
        timers->heap[at] = last;
    return true;
}
