/*
 * Timers: a binary heap of what is due when. Equal times fire in the order they were set. A timer
 * names its subject by number, not by pointer, and is never taken out early: whoever handles it
 * checks whether it still means anything.
 */
#ifndef CORE_TIMERS_H
#define CORE_TIMERS_H

#include "proto/bytes.h"

enum timer_kind {
    TIMER_TASK,     /* a retry is due: id = run, task */
    TIMER_RUN,      /* a delayed run may start: id = run */
    TIMER_TURN,     /* the next worker of an isolated run: id = run */
    TIMER_DEADLINE, /* a run's time is up: id = run */
    TIMER_UNIT,     /* an interval run is due: id = the unit's serial */
    TIMER_CALENDAR, /* the wall clock is to be looked at: a cron run may be due */
    TIMER_HOSTS,    /* liveness of hosts, once every half heartbeat */
    TIMER_SLOW,     /* retention, expiry: every few seconds */
    TIMER_STATS,
    TIMER_WATCH,
    TIMER_SPAWN,    /* the local host is to be started again */
    TIMER_SHUTDOWN, /* the grace is over; later: the kills are */
    TIMER_LOG,      /* a log request waited long enough: id = request */
};
struct timer {
    int64_t due;
    uint64_t order;
    uint64_t id;
    enum timer_kind kind;
    uint32_t task;
};
/* All zero is valid and empty. */
struct timers {
    struct timer *heap;
    size_t count, capacity;
    uint64_t order;
};

void timers_fini(struct timers *timers);
void timers_set(struct timers *timers, int64_t due, enum timer_kind kind, uint64_t id,
                uint32_t task);
/* INT64_MAX when there is none. */
int64_t timers_next(const struct timers *timers);
/* Takes the first timer that is due at or before `now`; false when there is none. */
bool timers_take(struct timers *timers, int64_t now, struct timer *ret_timer);

#endif
