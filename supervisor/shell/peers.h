/*
 * The peers of one ROUTER: the routing id that ZeroMQ gave a connection, and the number that the
 * engine knows it by. Bounded: past the limit the longest silent one makes room.
 *
 * A number is a slot and the generation of its use, so a number that was removed never means a
 * later peer, however long an answer to it stays under way. Numbers are never 0.
 */
#ifndef SHELL_PEERS_H
#define SHELL_PEERS_H

#include "proto/keyfile.h"

struct outgoing; /* bus.c: a message that waits for its peer */

struct peer {
    uint8_t *id; /* NULL = the slot is free */
    uint8_t id_size;
    bool is_busy;   /* its outbox is not empty */
    bool is_remote; /* came by tcp */
    bool has_key;   /* and showed it: */
    uint8_t key[KEY_BYTES];
    char name[KEY_NAME_BYTES]; /* of the key, as of `version` */
    enum role role;
    uint32_t version; /* of the list that name and role are from */
    uint16_t generation;
    uint32_t next_in_bucket; /* slot + 1; for a free slot the next free one */
    uint32_t newer, older;   /* by last message; slot + 1 */
    struct outgoing *first, *last;
    size_t outbox_bytes;
};

struct peers {
    struct peer *slots;
    size_t slot_count, slot_capacity;
    uint32_t *buckets; /* slot + 1 */
    uint32_t bucket_count;
    uint32_t free_slot, newest, oldest; /* slot + 1 */
    uint32_t count, limit;              /* limit is at most 65536: a slot has 16 bits */
};

void peers_init(struct peers *peers, uint32_t limit);
/* Outboxes must be empty. */
void peers_fini(struct peers *peers);

/* The number of this routing id (1 to 255 bytes), which counts as heard from; 0 = unknown. */
uint32_t peers_find(struct peers *peers, struct synk_bytes id);
/* Whether peers_add would need room; *ret_oldest is who has been silent the longest. */
bool peers_is_full(const struct peers *peers, uint32_t *ret_oldest);
/* Adds an unknown id; there must be room. */
uint32_t peers_add(struct peers *peers, struct synk_bytes id);
/* NULL where the number is no longer in use. Valid until the next peers_add. */
struct peer *peers_get(struct peers *peers, uint32_t number);
/* Who has the slot, for walks over all; 0 where nobody has. */
uint32_t peers_number(const struct peers *peers, uint32_t slot);
/* Its outbox must be empty. */
void peers_remove(struct peers *peers, uint32_t number);

#endif
