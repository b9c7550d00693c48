/*
 * A hash table from 64-bit hashes to items that somebody else owns. Open addressing with linear
 * probing; removal closes the gap, so there are no tombstones. It is never iterated: order of
 * memory must not show in what the engine does.
 */
#ifndef CORE_INDEX_H
#define CORE_INDEX_H

#include "proto/bytes.h"

struct index_slot {
    uint64_t hash;
    void *item; /* NULL = empty */
};
/* All zero is a valid empty index. */
struct index {
    struct index_slot *slots;
    size_t capacity, count;
};
typedef bool (*index_same)(const void *item, const void *key);

void index_fini(struct index *index);
/* The item of this hash for which `same` holds; same NULL = the hash decides alone. */
void *index_find(const struct index *index, uint64_t hash, index_same same, const void *key);
void index_put(struct index *index, uint64_t hash, void *item);
/* Does nothing where the item is not in it. */
void index_remove(struct index *index, uint64_t hash, const void *item);

/* One-to-one on 64-bit numbers: distinct numbers have distinct hashes. */
static inline uint64_t index_number(uint64_t number)
{
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9u;
    number = (number ^ (number >> 27)) * 0x94d049bb133111ebu;
    return number ^ (number >> 31);
}

#endif
