/*
 * Byte strings to numbers: open addressing with linear probing, at most half full, so that a lookup
 * is one hash and a step or two. Keys are borrowed: they outlive the table. Used for worker ids,
 * unit ids, anchors and duplicate keys. Pure.
 */
#include "proto/definition_internal.h"

#include <stdlib.h>

struct id_entry {
    struct synk_bytes key; /* data NULL = free */
    uint64_t hash;
    uint32_t value;
};

void id_table_fini(struct id_table *table)
{
    free(table->entries);
    *table = (struct id_table){0};
}

void id_table_clear(struct id_table *table)
{
    if (table->count)
        memset(table->entries, 0, table->capacity * sizeof(*table->entries));
    table->count = 0;
}

static struct id_entry *probe(const struct id_table *table, struct synk_bytes key, uint64_t hash)
{
    uint32_t mask = table->capacity - 1;
    for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
        struct id_entry *entry = &table->entries[i];
        if (!entry->key.data || (entry->hash == hash && bytes_equal(entry->key, key)))
            return entry;
    }
}

static void grow(struct id_table *table)
{
    struct id_table old = *table;
    table->capacity = old.capacity ? old.capacity * 2 : 16;
    table->entries = mem_zalloc(table->capacity, sizeof(*table->entries));
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.entries[i].key.data)
            *probe(table, old.entries[i].key, old.entries[i].hash) = old.entries[i];
    free(old.entries);
}

/* Empty keys have no data of their own; a free entry is told by data == NULL. */
static struct synk_bytes with_data(struct synk_bytes key)
{
    return key.data ? key : bytes_of("", 0);
}

uint32_t id_table_get(const struct id_table *table, struct synk_bytes key)
{
    if (!table->count)
        return UINT32_MAX;
    key = with_data(key);
    const struct id_entry *entry = probe(table, key, bytes_hash(key));
    return entry->key.data ? entry->value : UINT32_MAX;
}

uint32_t id_table_put(struct id_table *table, struct synk_bytes key, uint32_t value)
{
    if (2 * ((uint64_t)table->count + 1) > table->capacity)
        grow(table);
    key = with_data(key);
    uint64_t hash = bytes_hash(key);
    struct id_entry *entry = probe(table, key, hash);
    uint32_t old = entry->key.data ? entry->value : UINT32_MAX;
    if (!entry->key.data)
        table->count++;
    *entry = (struct id_entry){key, hash, value};
    return old;
}
