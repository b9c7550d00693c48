/* The open batch: arrays that grow and are reused from tick to tick. */
#include "supervisor/core/records.h"

#include <stdlib.h>

void batch_init(struct batch *batch)
{
    *batch = (struct batch){0};
}

void batch_fini(struct batch *batch)
{
    if (!batch)
        return;
    for (size_t i = 0; i < batch->topic_capacity; i++)
        buf_fini(&batch->topics[i].items);
    free(batch->topics);
    free(batch->records);
    buf_fini(&batch->events);
    arena_fini(&batch->arena);
    *batch = (struct batch){0};
}

void batch_clear(struct batch *batch)
{
    arena_clear(&batch->arena);
    batch->record_count = 0;
    batch->first_event = 0;
    batch->event_count = 0;
    buf_clear(&batch->events);
    for (size_t i = 0; i < batch->topic_count; i++) {
        /* A burst must not be paid for ever by each of its topics. */
        if (batch->topics[i].items.capacity > (1u << 16))
            buf_fini(&batch->topics[i].items);
        buf_clear(&batch->topics[i].items);
        batch->topics[i].count = 0;
        batch->topics[i].topic = (struct synk_bytes){0};
    }
    batch->topic_count = 0;
    batch->retains = false;
}

struct record *batch_add(struct batch *batch, enum record_kind kind)
{
    batch->records = mem_grow(batch->records, &batch->record_capacity, batch->record_count + 1,
                              sizeof(*batch->records));
    struct record *record = &batch->records[batch->record_count++];
    memset(record, 0, sizeof(*record));
    record->kind = kind;
    return record;
}
