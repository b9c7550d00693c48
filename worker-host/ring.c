/*
 * Rings. Invariants: between `done` and `written` lie the unfinished tasks of the writer, of which
 * the reader has taken none or the first; a frame's memory is not written again before the task is
 * finished or reclaimed; a number's frame is read only after the cursor gave it to the reader, so
 * the reader never sees a frame that is being replaced.
 */
#include "worker-host/ring.h"

#include <assert.h>

static uint64_t cursor_word(uint32_t next, uint32_t limit)
{
    return (uint64_t)next << 32 | limit;
}
static uint32_t cursor_next(uint64_t word)
{
    return (uint32_t)(word >> 32);
}
static uint32_t cursor_limit(uint64_t word)
{
    return (uint32_t)word;
}
/* Where the frame behind one that ended at `end` begins. */
static uint32_t place_after(uint32_t end)
{
    uint32_t aligned = (end + 7) & ~(uint32_t)7;
    return aligned > TASK_RING_SOFT ? 0 : aligned;
}

void task_writer_init(struct task_writer *writer, struct page *page, uint8_t *data)
{
    *writer = (struct task_writer){.page = page, .data = data};
}

static uint32_t next_start(const struct task_writer *writer)
{
    uint32_t last = (writer->written - 1) % TASK_RING_TASKS;
    return place_after(writer->starts[last] + writer->sizes[last]);
}

bool task_writer_fits(const struct task_writer *writer, size_t size)
{
    if (writer->written == writer->done)
        return size <= TASK_RING_BYTES - TASK_RING_SOFT - 8;
    return writer->written - writer->done < TASK_RING_TASKS && writer->bytes <= TASK_RING_BUDGET &&
           size + 8 <= TASK_RING_BUDGET - writer->bytes;
}

uint8_t *task_writer_begin(struct task_writer *writer, size_t size)
{
    assert(size >= 4 && task_writer_fits(writer, size));
    /* The entry before the first ever is all zero, which gives 0. */
    uint32_t start = next_start(writer);
    uint32_t slot = writer->written % TASK_RING_TASKS;
    writer->starts[slot] = start;
    writer->sizes[slot] = (uint32_t)size;
    writer->written++;
    writer->bytes += size + 8;
    return writer->data + start;
}

/* Whether a cursor read from the page is one that an honest runner can have left. */
static bool is_possible(const struct task_writer *writer, uint64_t word)
{
    uint32_t taken = cursor_next(word) - writer->done;
    return cursor_limit(word) == writer->published && taken <= 1 &&
           taken <= writer->published - writer->done;
}

enum synk_status task_writer_publish(struct task_writer *writer, bool *ret_wake)
{
    uint64_t word = atomic_load(&writer->page->cursor);
    do {
        uint32_t taken = cursor_next(word) - writer->done;
        if (cursor_limit(word) != writer->published || taken > writer->published - writer->done)
            return SYNK_CORRUPT;
    } while (!atomic_compare_exchange_weak(&writer->page->cursor, &word,
                                           cursor_word(cursor_next(word), writer->written)));
    writer->published = writer->written;
    *ret_wake = atomic_load(&writer->page->sleeping) && atomic_exchange(&writer->page->sleeping, 0);
    return SYNK_OK;
}

enum synk_status task_writer_reclaim(struct task_writer *writer, uint32_t *ret_count)
{
    uint64_t word = atomic_load(&writer->page->cursor);
    uint32_t next;
    do {
        next = cursor_next(word);
        if (cursor_limit(word) != writer->published ||
            next - writer->done > writer->published - writer->done)
            return SYNK_CORRUPT;
    } while (!atomic_compare_exchange_weak(&writer->page->cursor, &word, cursor_word(next, next)));
    *ret_count = writer->written - next;
    while (writer->written != next) {
        writer->written--;
        writer->bytes -= writer->sizes[writer->written % TASK_RING_TASKS] + 8;
    }
    writer->published = next;
    return SYNK_OK;
}

void task_writer_finish(struct task_writer *writer)
{
    assert(writer->done != writer->written);
    writer->bytes -= writer->sizes[writer->done % TASK_RING_TASKS] + 8;
    writer->done++;
}

enum synk_status task_writer_taken(const struct task_writer *writer, uint32_t *ret_count)
{
    uint64_t word = atomic_load(&writer->page->cursor);
    if (!is_possible(writer, word))
        return SYNK_CORRUPT;
    *ret_count = cursor_next(word) - writer->done;
    return SYNK_OK;
}

bool task_reader_is_empty(const struct task_reader *reader)
{
    uint64_t word = atomic_load(&reader->page->cursor);
    return cursor_next(word) == cursor_limit(word);
}

bool task_reader_take(struct task_reader *reader, struct synk_bytes *ret_frame,
                      uint32_t *ret_number)
{
    uint64_t word = atomic_load(&reader->page->cursor);
    uint32_t next;
    do {
        next = cursor_next(word);
        if (next == cursor_limit(word))
            return false;
    } while (!atomic_compare_exchange_weak(&reader->page->cursor, &word,
                                           cursor_word(next + 1, cursor_limit(word))));
    uint32_t size;
    memcpy(&size, reader->data + reader->start, sizeof(size));
    assert(size >= sizeof(size) && size <= TASK_RING_BYTES - reader->start);
    *ret_frame = bytes_of(reader->data + reader->start, size);
    *ret_number = next;
    reader->start = place_after(reader->start + size);
    return true;
}

bool report_fits(const struct page *page, size_t size)
{
    uint64_t used = atomic_load(&page->report_tail) - atomic_load(&page->report_head);
    return size <= REPORT_RING_BYTES - used;
}

bool report_is_half_full(const struct page *page)
{
    uint64_t used = atomic_load(&page->report_tail) - atomic_load(&page->report_head);
    return used > REPORT_RING_BYTES / 2;
}

void report_write(struct page *page, uint8_t *data, const struct synk_bytes *pieces, size_t count)
{
    uint64_t tail = atomic_load_explicit(&page->report_tail, memory_order_relaxed);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from = pieces[i].data;
        for (size_t left = pieces[i].size; left;) {
            size_t at = tail % REPORT_RING_BYTES;
            size_t chunk = left < REPORT_RING_BYTES - at ? left : REPORT_RING_BYTES - at;
            memcpy(data + at, from, chunk);
            from += chunk;
            left -= chunk;
            tail += chunk;
        }
    }
    atomic_store(&page->report_tail, tail);
}

enum synk_status report_read(struct page *page, const uint8_t *data, uint64_t *head,
                             struct buf *out)
{
    uint64_t tail = atomic_load(&page->report_tail);
    if (tail - *head > REPORT_RING_BYTES)
        return SYNK_CORRUPT;
    while (*head != tail) {
        size_t at = *head % REPORT_RING_BYTES;
        uint64_t left = tail - *head;
        size_t chunk = left < REPORT_RING_BYTES - at ? (size_t)left : REPORT_RING_BYTES - at;
        buf_append(out, data + at, chunk);
        *head += chunk;
    }
    atomic_store(&page->report_head, *head);
    return SYNK_OK;
}
