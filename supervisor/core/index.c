/* The hash table. Load stays at or below three quarters; capacity is a power of two. */
#include "supervisor/core/index.h"

#include <stdlib.h>

void index_fini(struct index *index)
{
    free(index->slots);
    *index = (struct index){0};
}

void *index_find(const struct index *index, uint64_t hash, index_same same, const void *key)
{
    if (!index->count)
        return NULL;
    size_t mask = index->capacity - 1;
    for (size_t at = hash & mask; index->slots[at].item; at = (at + 1) & mask)
        if (index->slots[at].hash == hash && (!same || same(index->slots[at].item, key)))
            return index->slots[at].item;
    return NULL;
}

static void place(struct index *index, uint64_t hash, void *item)
{
    size_t mask = index->capacity - 1;
    size_t at = hash & mask;
    while (index->slots[at].item)
        at = (at + 1) & mask;
    index->slots[at] = (struct index_slot){hash, item};
}

void index_put(struct index *index, uint64_t hash, void *item)
{
    if ((index->count + 1) * 4 > index->capacity * 3) {
        struct index grown = {.capacity = index->capacity ? index->capacity * 2 : 16};
        grown.slots = mem_zalloc(grown.capacity, sizeof(*grown.slots));
        for (size_t i = 0; i < index->capacity; i++)
            if (index->slots[i].item)
                place(&grown, index->slots[i].hash, index->slots[i].item);
        grown.count = index->count;
        free(index->slots);
        *index = grown;
    }
    place(index, hash, item);
    index->count++;
}

void index_remove(struct index *index, uint64_t hash, const void *item)
{
    if (!index->count)
        return;
    size_t mask = index->capacity - 1;
    size_t at = hash & mask;
    while (index->slots[at].item && index->slots[at].item != item)
        at = (at + 1) & mask;
    if (!index->slots[at].item)
        return;
    /* Moves later items of the same probe chain down into the hole. */
    for (size_t next = (at + 1) & mask; index->slots[next].item; next = (next + 1) & mask) {
        size_t home = index->slots[next].hash & mask;
        if (((next - home) & mask) >= ((next - at) & mask)) {
            index->slots[at] = index->slots[next];
            at = next;
        }
    }
    index->slots[at] = (struct index_slot){0};
    index->count--;
}
