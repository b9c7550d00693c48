/*
 * A slot array with a chained hash over routing ids and a list by last message. Invariants: each
 * used slot is in exactly one bucket and in the list; each free one is in the free list.
 */
#include "supervisor/shell/peers.h"

#include <assert.h>
#include <stdlib.h>

#define SLOT_BITS 16

void peers_init(struct peers *peers, uint32_t limit)
{
    assert(limit > 0 && limit <= 1u << SLOT_BITS);
    *peers = (struct peers){.limit = limit, .bucket_count = 64};
    peers->buckets = mem_zalloc(peers->bucket_count, sizeof(*peers->buckets));
}

void peers_fini(struct peers *peers)
{
    for (size_t i = 0; i < peers->slot_count; i++)
        free(peers->slots[i].id);
    free(peers->slots);
    free(peers->buckets);
    *peers = (struct peers){0};
}

static uint32_t *bucket_of(struct peers *peers, struct synk_bytes id)
{
    return &peers->buckets[bytes_hash(id) & (peers->bucket_count - 1)];
}

static struct synk_bytes id_of(const struct peer *peer)
{
    return bytes_of(peer->id, peer->id_size);
}

static uint32_t number_of(const struct peers *peers, uint32_t slot)
{
    return (uint32_t)peers->slots[slot].generation << SLOT_BITS | slot;
}

static void unlink_age(struct peers *peers, struct peer *peer)
{
    if (peer->newer)
        peers->slots[peer->newer - 1].older = peer->older;
    else
        peers->newest = peer->older;
    if (peer->older)
        peers->slots[peer->older - 1].newer = peer->newer;
    else
        peers->oldest = peer->newer;
}

static void link_newest(struct peers *peers, uint32_t slot)
{
    struct peer *peer = &peers->slots[slot];
    peer->newer = 0;
    peer->older = peers->newest;
    if (peers->newest)
        peers->slots[peers->newest - 1].newer = slot + 1;
    else
        peers->oldest = slot + 1;
    peers->newest = slot + 1;
}

uint32_t peers_find(struct peers *peers, struct synk_bytes id)
{
    uint32_t link = *bucket_of(peers, id);
    while (link && !bytes_equal(id_of(&peers->slots[link - 1]), id))
        link = peers->slots[link - 1].next_in_bucket;
    if (!link)
        return 0;
    if (peers->newest != link) {
        unlink_age(peers, &peers->slots[link - 1]);
        link_newest(peers, link - 1);
    }
    return number_of(peers, link - 1);
}

bool peers_is_full(const struct peers *peers, uint32_t *ret_oldest)
{
    if (peers->count < peers->limit)
        return false;
    *ret_oldest = number_of(peers, peers->oldest - 1);
    return true;
}

static void grow_buckets(struct peers *peers)
{
    free(peers->buckets);
    peers->bucket_count *= 2;
    peers->buckets = mem_zalloc(peers->bucket_count, sizeof(*peers->buckets));
    for (uint32_t slot = 0; slot < peers->slot_count; slot++) {
        struct peer *peer = &peers->slots[slot];
        if (!peer->id)
            continue;
        uint32_t *bucket = bucket_of(peers, id_of(peer));
        peer->next_in_bucket = *bucket;
        *bucket = slot + 1;
    }
}

static uint32_t take_slot(struct peers *peers)
{
    if (peers->free_slot) {
        uint32_t slot = peers->free_slot - 1;
        peers->free_slot = peers->slots[slot].next_in_bucket;
        return slot;
    }
    peers->slots =
        mem_grow(peers->slots, &peers->slot_capacity, peers->slot_count + 1, sizeof(*peers->slots));
    peers->slots[peers->slot_count] = (struct peer){0};
    return (uint32_t)peers->slot_count++;
}

uint32_t peers_add(struct peers *peers, struct synk_bytes id)
{
    assert(peers->count < peers->limit && id.size > 0 && id.size <= UINT8_MAX);
    if (peers->count >= peers->bucket_count)
        grow_buckets(peers);
    uint32_t slot = take_slot(peers);
    struct peer *peer = &peers->slots[slot];
    uint16_t generation = (uint16_t)(peer->generation + 1);
    *peer = (struct peer){.generation = generation ? generation : 1};
    peer->id = mem_alloc(id.size);
    memcpy(peer->id, id.data, id.size);
    peer->id_size = (uint8_t)id.size;
    uint32_t *bucket = bucket_of(peers, id);
    peer->next_in_bucket = *bucket;
    *bucket = slot + 1;
    link_newest(peers, slot);
    peers->count++;
    return number_of(peers, slot);
}

uint32_t peers_number(const struct peers *peers, uint32_t slot)
{
    return slot < peers->slot_count && peers->slots[slot].id ? number_of(peers, slot) : 0;
}

struct peer *peers_get(struct peers *peers, uint32_t number)
{
    uint32_t slot = number & ((1u << SLOT_BITS) - 1);
    if (slot >= peers->slot_count || !peers->slots[slot].id ||
        peers->slots[slot].generation != number >> SLOT_BITS)
        return NULL;
    return &peers->slots[slot];
}

void peers_remove(struct peers *peers, uint32_t number)
{
    struct peer *peer = peers_get(peers, number);
    assert(peer && !peer->first);
    uint32_t slot = (uint32_t)(peer - peers->slots);
    uint32_t *link = bucket_of(peers, id_of(peer));
    while (*link != slot + 1)
        link = &peers->slots[*link - 1].next_in_bucket;
    *link = peer->next_in_bucket;
    unlink_age(peers, peer);
    free(peer->id);
    peer->id = NULL;
    peer->next_in_bucket = peers->free_slot;
    peers->free_slot = slot + 1;
    peers->count--;
}
