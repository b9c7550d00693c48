/*
 * The two rings between a host and a runner: tasks to the runner, reports back. One writer and one
 * reader each, no system call and no lock. Pure memory.
 *
 * Tasks: frames lie whole, one behind the other; the frame behind one that ends past TASK_RING_SOFT
 * starts at 0 again, so that small tasks keep to memory that stays in the cache, and a large one
 * may use all of it. Both sides derive a frame's place from the one before. The writer may take
 * back what the reader has not begun: frames are numbered, and the cursor word (page.h) decides who
 * has which.
 *
 * Reports: a plain byte ring. The host copies out what is there before it looks at it.
 */
#ifndef WORKER_HOST_RING_H
#define WORKER_HOST_RING_H

#include <stdbool.h>

#include "proto/bytes.h"
#include "worker-host/page.h"

enum {
    TASK_RING_SOFT = 512 << 10,
    /* A frame may follow unfinished ones while all of them together stay within this; then they
     * cannot overlap, wherever they lie. A frame alone may have TASK_RING_BYTES. */
    TASK_RING_BUDGET = TASK_RING_SOFT / 2,
    /* Unfinished tasks of one runner. A power of two. */
    TASK_RING_TASKS = 2048,
};

/* The host's side. */
struct task_writer {
    struct page *page;
    uint8_t *data;
    uint32_t done;      /* tasks that were reported */
    uint32_t published; /* the limit that the runner may take up to */
    uint32_t written;   /* the same, with what is not published yet */
    size_t bytes;       /* of frames from done to written */
    uint32_t sizes[TASK_RING_TASKS];
    uint32_t starts[TASK_RING_TASKS];
};
void task_writer_init(struct task_writer *writer, struct page *page, uint8_t *data);
/* Whether a frame of `size` bytes may be written now. */
bool task_writer_fits(const struct task_writer *writer, size_t size);
/* Where to write the next frame; it fits. The first four bytes must come to hold its size. */
uint8_t *task_writer_begin(struct task_writer *writer, size_t size);
/* Makes all written frames visible; true when the runner sleeps and must be woken. SYNK_CORRUPT
 * where the cursor was scribbled on. */
enum synk_status task_writer_publish(struct task_writer *writer, bool *ret_wake);
/* Takes back what has not begun: the last *ret_count frames. SYNK_CORRUPT as above. */
enum synk_status task_writer_reclaim(struct task_writer *writer, uint32_t *ret_count);
/* The oldest unfinished task was reported. */
void task_writer_finish(struct task_writer *writer);
/* Unfinished tasks that the runner took: 0 or 1, or SYNK_CORRUPT. */
enum synk_status task_writer_taken(const struct task_writer *writer, uint32_t *ret_count);

/* The runner's side. */
struct task_reader {
    struct page *page;
    const uint8_t *data;
    uint32_t start; /* of the next frame */
};
bool task_reader_is_empty(const struct task_reader *reader);
/* Takes the next task: its frame, valid until the task is reported, and its number. */
bool task_reader_take(struct task_reader *reader, struct synk_bytes *ret_frame,
                      uint32_t *ret_number);

/* Whether a report of `size` bytes fits now. The runner's side. */
bool report_fits(const struct page *page, size_t size);
/* Appends `count` pieces as one report; they fit. Whole reports become visible at once. */
void report_write(struct page *page, uint8_t *data, const struct synk_bytes *pieces, size_t count);
/* Whether more than half of the ring waits for the host. */
bool report_is_half_full(const struct page *page);

/* The host's side: appends all that is there to `out`. SYNK_CORRUPT where the positions are not
 * possible. `head` is the host's own copy of what it read so far. */
enum synk_status report_read(struct page *page, const uint8_t *data, uint64_t *head,
                             struct buf *out);

#endif
