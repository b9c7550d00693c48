/*
 * Report items until they are acknowledged. Invariants: items first .. first + count - 1 are kept;
 * sent and spooled lie within first - 1 and the last; memory is given back by moving what is kept
 * to the front once more than half is gone.
 */
#include "worker-host/host_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/limits.h"

void outbox_init(struct outbox *outbox)
{
    *outbox = (struct outbox){.first = 1};
}

void outbox_fini(struct outbox *outbox)
{
    buf_fini(&outbox->bytes);
    free(outbox->sizes);
    free(outbox->times);
}

uint64_t outbox_last(const struct outbox *outbox)
{
    return outbox->first + (outbox->size_end - outbox->size_start) - 1;
}

size_t outbox_kept_bytes(const struct outbox *outbox)
{
    return outbox->bytes.size - outbox->bytes_start;
}

uint64_t outbox_commit(struct outbox *outbox, size_t old_size, int64_t now_ms)
{
    size_t capacity = outbox->size_capacity;
    outbox->sizes = mem_grow(outbox->sizes, &outbox->size_capacity, outbox->size_end + 1,
                             sizeof(*outbox->sizes));
    if (capacity != outbox->size_capacity)
        outbox->times = mem_realloc(outbox->times, outbox->size_capacity, sizeof(*outbox->times));
    outbox->sizes[outbox->size_end] = (uint32_t)(outbox->bytes.size - old_size);
    outbox->times[outbox->size_end] = now_ms;
    outbox->size_end++;
    return outbox_last(outbox);
}

static void compact(struct outbox *outbox)
{
    if (outbox->bytes_start > outbox->bytes.size / 2) {
        outbox->bytes.size -= outbox->bytes_start;
        memmove(outbox->bytes.data, outbox->bytes.data + outbox->bytes_start, outbox->bytes.size);
        outbox->bytes_start = 0;
    }
    if (outbox->size_start > outbox->size_end / 2) {
        size_t count = outbox->size_end - outbox->size_start;
        memmove(outbox->sizes, outbox->sizes + outbox->size_start, count * sizeof(*outbox->sizes));
        memmove(outbox->times, outbox->times + outbox->size_start, count * sizeof(*outbox->times));
        outbox->size_start = 0;
        outbox->size_end = count;
    }
}

void outbox_acknowledge(struct outbox *outbox, uint64_t upto)
{
    assert(upto <= outbox_last(outbox));
    size_t freed = 0;
    while (outbox->first <= upto) {
        freed += outbox->sizes[outbox->size_start++];
        outbox->first++;
    }
    outbox->bytes_start += freed;
    outbox->sent_bytes -= freed < outbox->sent_bytes ? freed : outbox->sent_bytes;
    outbox->spooled_bytes -= freed < outbox->spooled_bytes ? freed : outbox->spooled_bytes;
    if (outbox->sent < upto)
        outbox->sent = upto;
    if (outbox->spooled < upto)
        outbox->spooled = upto;
    compact(outbox);
}

void outbox_rewind(struct outbox *outbox)
{
    outbox->sent = outbox->first - 1;
    outbox->sent_bytes = 0;
}

bool outbox_next(struct outbox *outbox, uint64_t *ret_first, size_t *ret_count,
                 struct synk_bytes *ret_items)
{
    uint64_t last = outbox_last(outbox);
    if (outbox->sent == last)
        return false;
    size_t count = 0, bytes = 0;
    for (uint64_t number = outbox->sent + 1; number <= last; number++) {
        size_t size = outbox->sizes[outbox->size_start + (size_t)(number - outbox->first)];
        if (count && bytes + size > LIMIT_BATCH_BYTES)
            break;
        bytes += size;
        count++;
    }
    *ret_first = outbox->sent + 1;
    *ret_count = count;
    *ret_items = bytes_of(outbox->bytes.data + outbox->bytes_start + outbox->sent_bytes, bytes);
    outbox->sent += count;
    outbox->sent_bytes += bytes;
    return true;
}
