/*
 * What a host and one runner share: a small page in a file, which outlives both so that a successor
 * can kill what they left, and two rings in anonymous memory. The host maps and creates them, the
 * runner inherits the descriptors. The runner's side may hold anything that a plugin scribbled: the
 * host validates what it reads (ring.h) and never trusts a length twice.
 */
#ifndef WORKER_HOST_PAGE_H
#define WORKER_HOST_PAGE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/status.h"

enum {
    PAGE_BYTES = 4096,
    PAGE_MAGIC = 0x53504732,
    /* One task with full payload, params and inputs fits; see ring.h for the part commonly touched.
     * */
    TASK_RING_BYTES = 8 << 20,
    /* One full result and one full milestone at once. A power of two. */
    REPORT_RING_BYTES = 4 << 20,
    RINGS_BYTES = TASK_RING_BYTES + REPORT_RING_BYTES,
};

/* page.wake: how soon the timer that wakes the host is to fire. */
enum page_wake { WAKE_NONE, WAKE_SOON, WAKE_NOW };

/* page.current: PAGE_RUNNING with a task's number while it runs, 0 between tasks. */
#define PAGE_RUNNING ((uint64_t)1 << 32)

struct page {
    _Atomic uint32_t magic;
    /* For a successor: the boot that the rest is of (numbers and times begin anew with each), and
     * the runner, by pid and start time in clock ticks. */
    _Atomic uint64_t boot_id[2];
    _Atomic int64_t runner_pid;
    _Atomic uint64_t runner_start;
    /* The command of the current attempt: its process group and the boot-time clock just before it
     * was spawned; 0 = none. Reading its exact start time would cost a file read a task. */
    _Atomic int64_t command_group;
    _Atomic int64_t command_boot_ns;

    /* Number of the next task to take in the high half, number behind the last one published in the
     * low half. Both sides move it by compare-and-swap. The host lowers the low half to the high one
     * before it signals the runner: then the signal cannot meet a task that comes after the one it
     * is meant for (runner_process_end). */
    _Alignas(64) _Atomic uint64_t cursor;
    _Alignas(64) _Atomic uint32_t sleeping; /* the runner waits for its wake descriptor */
    _Atomic uint64_t cancel;                /* PAGE_RUNNING and the number of the task to end */
    _Alignas(64) _Atomic uint64_t current;
    _Atomic int64_t started_ns;                /* monotonic clock */
    _Atomic int64_t started_at;                /* wall clock, ms */
    _Atomic uint64_t progress;                 /* the bits of a double */
    _Atomic uint32_t progress_count;           /* of the current task: how often it was set */
    _Atomic uint32_t wake;                     /* enum page_wake */
    _Alignas(64) _Atomic uint64_t report_tail; /* bytes ever written; the runner's */
    _Alignas(64) _Atomic uint64_t report_head; /* bytes ever read; the host's */
};
_Static_assert(sizeof(struct page) <= PAGE_BYTES, "a page holds it");

/* Maps the page of an open file and the rings of an open memory file. SYNK_IO with errno's text. */
enum synk_status page_map(int page_fd, int rings_fd, struct page **ret_page, uint8_t **ret_rings,
                          struct synk_error *error);
void page_unmap(struct page *page, uint8_t *rings); /* takes NULL */

#endif
