/*
 * Byte strings to numbers: open addressing with linear probing, at most half full, so that a lookup
 * is one hash and a step or two. A slot is eight bytes, and what it stands for lies in a list in
 * the order of arrival: a graph's workers name those that came shortly before, so of a table of a
 * million ids little more than the slots is far from the processor. Keys are borrowed: they outlive
 * the table. Used for worker ids, unit ids, anchors and duplicate keys. Pure.
 */
#include "proto/definition_internal.h"

#include <stdlib.h>

struct id_slot {
    uint32_t hash;
    uint32_t entry; /* its number plus one; 0 = free */
};
struct id_entry {
    struct synk_bytes key;
    uint32_t value;
};

void id_table_fini(struct id_table *table)
{
    free(table->slots);
    free(table->entries);
    *table = (struct id_table){0};
}

void id_table_clear(struct id_table *table)
{
    if (table->count)
        memset(table->slots, 0, table->capacity * sizeof(*table->slots));
    table->count = 0;
}

/* The key's slot, or the free one where it belongs. */
static struct id_slot *probe(const struct id_table *table, struct synk_bytes key, uint32_t hash)
{
    uint32_t mask = table->capacity - 1;
    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        struct id_slot *slot = &table->slots[i];
        if (!slot->entry ||
            (slot->hash == hash && bytes_equal(table->entries[slot->entry - 1].key, key)))
            return slot;
    }
}

void id_table_reserve(struct id_table *table, uint32_t count)
{
    uint64_t capacity = table->capacity ? table->capacity : 16;
    while (capacity < 2 * (uint64_t)count)
        capacity *= 2;
    if (capacity == table->capacity)
        return;
    struct id_slot *old = table->slots;
    uint32_t old_capacity = table->capacity, mask = (uint32_t)capacity - 1;
    table->slots = mem_zalloc(capacity, sizeof(*table->slots));
    table->entries = mem_realloc(table->entries, capacity / 2, sizeof(*table->entries));
    table->capacity = (uint32_t)capacity;
    for (uint32_t i = 0; i < old_capacity; i++) {
        uint32_t at = old[i].hash & mask;
        if (!old[i].entry)
            continue;
        while (table->slots[at].entry) /* the keys differ: only a free place is looked for */
            at = (at + 1) & mask;
        table->slots[at] = old[i];
    }
    free(old);
}

uint32_t id_table_get(const struct id_table *table, struct synk_bytes key)
{
    if (!table->count)
        return UINT32_MAX;
    const struct id_slot *slot = probe(table, key, (uint32_t)bytes_hash(key));
    return slot->entry ? table->entries[slot->entry - 1].value : UINT32_MAX;
}

uint32_t id_table_put(struct id_table *table, struct synk_bytes key, uint32_t value)
{
    id_table_reserve(table, table->count + 1);
    uint32_t hash = (uint32_t)bytes_hash(key);
    struct id_slot *slot = probe(table, key, hash);
    if (slot->entry) {
        uint32_t old = table->entries[slot->entry - 1].value;
        table->entries[slot->entry - 1].value = value;
        return old;
    }
    table->entries[table->count++] = (struct id_entry){key, value};
    *slot = (struct id_slot){hash, table->count};
    return UINT32_MAX;
}
