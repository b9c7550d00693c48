/*
 * The Redis backend's own parts: the connection, the scripts, and what is known of the server.
 * Private to supervisor/store/redis*.c; see backend.h for who calls when.
 *
 * Keys, all with the prefix synk:{CLUSTER}: (docs/persistence.md tells them to users):
 *   state                 hash: schema, epoch, lsn, nonce, last_event, broken
 *   lease                 string: the leader's name; ends by itself
 *   stage                 list: parts of a batch that is too large for one command
 *   meta hosts keys       hashes: name to value; name, key to a packed record
 *   units, unit:ID        set of ids; hash a unit, a field a field
 *   definitions           hash: UNIT@VERSION to a packed record
 *   workers:UNIT@V:B      hash: index to a packed record, BUCKET_ROWS of them a bucket
 *   run:N                 hash a run, a field a field
 *   runs live ended runs:UNIT numbers:UNIT[/WORKER]   sorted sets of runs
 *   uses                  hash: UNIT@VERSION to the number of runs that are kept
 *   tasks:N:B             hash: index to a packed record, BUCKET_ROWS of them a bucket
 *   attempts:N:T          hash: attempt to a packed record
 *   workers:UNIT@V tasks:N attempts:N   sets: which buckets beyond the first, which tasks there are
 *   removed               sorted set: removed runs whose tasks are still to be removed
 *   events                stream: an entry a batch, ID LAST-0
 *   quarantine            stream: what did not decode
 */
#ifndef STORE_REDIS_H
#define STORE_REDIS_H

#include <stdatomic.h>

#include "supervisor/store/backend.h"
#include "supervisor/store/lease.h"
#include "supervisor/store/redis_link.h"

enum {
    REDIS_SCHEMA = 1,
    /* Rows of a bucket. A hash of up to 128 small fields is one block of memory to Redis, and a
     * bucket of the largest results (1 MiB) is still read a few rows at a time. */
    REDIS_BUCKET_ROWS = 64,
    /* A batch beyond this goes in parts; one command then never holds the server up for long, and
     * stays far below its own limits. */
    REDIS_PART_BYTES = 4 << 20,
    REDIS_NONCE_BYTES = 32,
};

enum redis_script {
    SCRIPT_ACQUIRE,
    SCRIPT_RENEW,
    SCRIPT_RELEASE,
    SCRIPT_STAGE,
    SCRIPT_APPLY,
    SCRIPTS
};
extern const char *const redis_scripts[SCRIPTS];

/* The server's settings, as far as they decide what survives. */
struct redis_settings {
    char durability[48];
    bool is_unsafe;
    char why_unsafe[200];
};

/* A batch as the server is sent it: one or more parts, each a MessagePack array of operations. */
struct redis_batch {
    struct buf *parts;
    size_t part_count, part_capacity;
    uint32_t ops;               /* in the last part */
    struct buf group, key, row; /* rows of one hash that came one behind the other; scratch */
    uint32_t group_rows;
};

/* What was sent, so that it can be found, or sent, again. */
struct redis_sent {
    uint64_t lsn;
    char nonce[REDIS_NONCE_BYTES];
    struct redis_batch batch;
    size_t bytes;
};
enum {
    /* Sent batches that are kept for a server that has lost its latest: replication is a fraction
     * of a second behind, this is seconds of full load. */
    REDIS_KEPT_BYTES = 64 << 20,
    REDIS_KEPT_BATCHES = 4096,
};

struct redis_removal {
    struct retention bounds;
    bool runs_open, events_open, versions_open, has_removed;
    bool interrupted;
    uint64_t removed_runs, removed_events;
    struct synk_error failure;
    uint32_t busy_turns;
    /* Versions, then units, that are to be looked at: names one behind the other, NUL-ended. */
    struct buf versions, units;
    size_t version_at, unit_at;
};

struct redis_rows; /* redis_source.c: open cursors */
struct redis_lease;

struct redis {
    struct redis_uri uri;
    char *name, *prefix;
    struct redis_link *link;
    struct redis_lease *lease;
    uint64_t greeted; /* redis_link_number that settings and scripts are of */
    char shas[SCRIPTS][48];
    struct redis_settings settings;
    atomic_uint_fast64_t memory_bytes;
    uint32_t size_turns;
    uint32_t epoch;
    bool leads; /* the lease was taken, and the server's last batch read */
    uint32_t nonces;
    uint64_t lsn; /* of the last batch that is known to be applied */
    uint64_t last_event;
    char nonce_base[17];
    uint64_t found_lsn; /* what the server had when this process took the lead */
    char found_nonce[REDIS_NONCE_BYTES + 1];
    uint64_t repaired;           /* batches that a server had lost and was given again */
    const struct batch *pending; /* whose outcome is not known; `sent` has it last */
    struct redis_sent *sent;     /* the oldest first */
    size_t sent_count, sent_bytes;
    bool has_unknown; /* the last of `sent` is not known to be applied */
    struct redis_removal removal;
    struct redis_rows *rows;
    struct synk_error broken;
};

/* redis.c: a connection to a server that was asked for its settings and has the scripts. */
enum synk_status redis_connect(struct redis *redis, int64_t deadline_ms, struct synk_error *error);
/* "synk:{CLUSTER}:" and what follows, printed into `out`, which is cleared first. */
struct synk_bytes redis_key(const struct redis *redis, struct buf *out, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Runs a script; loads it again where the server has forgotten it. The reply is an array whose
 * first element is a word, or an error of the server's, which is told as redis_link_fail does. */
enum synk_status redis_eval(struct redis_link *link, char (*shas)[48], const char *prefix,
                            enum redis_script script, int count, const struct synk_bytes *words,
                            int64_t limit_ms, redisReply **ret_reply, struct synk_error *error);
/* Whether a script's reply begins with this word; its element N. */
bool redis_says(const redisReply *reply, const char *word);
struct synk_bytes redis_element(const redisReply *reply, size_t index);
uint64_t redis_uint(struct synk_bytes text);

/* Sends `count` commands that `append` queues, some at a time, and hands each reply to `take`
 * (which may keep nothing). The server's errors end it. */
enum synk_status redis_each(struct redis *redis, size_t count, void *context,
                            void (*append)(void *context, size_t index),
                            enum synk_status (*take)(void *context, size_t index,
                                                     const redisReply *reply,
                                                     struct synk_error *error),
                            const char *doing, struct synk_error *error);
/* One command, its key given by its end; SYNK_OK with a reply that is no error. */
enum synk_status redis_ask(struct redis *redis, const char *doing, redisReply **ret_reply,
                           struct synk_error *error, const char *command, const char *key, ...)
    __attribute__((sentinel));

/* redis_settings.c: reads what the server's settings make of durability. */
enum synk_status redis_read_settings(struct redis_link *link, struct redis_settings *ret_settings,
                                     uint64_t *ret_memory_bytes, struct synk_error *error);

/* redis_lease.c */
struct redis_lease *redis_lease_new(struct redis *redis, const struct store_options *options);
void redis_lease_free(struct redis_lease *lease);
enum synk_status redis_lease_acquire(void *backend, uint32_t minimum_epoch, uint32_t *ret_epoch,
                                     struct store_leader *ret_leader, struct synk_error *error);
void redis_lease_release(void *backend);
bool redis_lease_is_held(const void *backend);

/* redis_batch.c: operations of a batch. */
void redis_batch_init(struct redis_batch *batch);
void redis_batch_fini(struct redis_batch *batch);
size_t redis_batch_bytes(const struct redis_batch *batch);
void redis_batch_record(struct redis_batch *batch, const struct record *record);
void redis_batch_events(struct redis_batch *batch, uint64_t first, uint32_t count, int64_t at,
                        struct synk_bytes items);
/* An operation of words; the second is a key without its prefix, or what a verb of the script says.
 */
void redis_batch_op(struct redis_batch *batch, int count, const struct synk_bytes *words);
/* Closes it: nothing is added any more. */
void redis_batch_end(struct redis_batch *batch);
/* The name of a run's label in the sorted set of its numbers. */
void redis_print_label(struct buf *out, const struct run_record *run);

/* redis_commit.c */
enum synk_status redis_commit(void *backend, const struct batch *batch, struct synk_error *error);
/* Takes a batch that was built here and applies it; SYNK_STORE_DOWN: it is not applied, or will be
 * found to be before anything else is. */
enum synk_status redis_apply(struct redis *redis, struct redis_batch *batch,
                             struct synk_error *error);
/* Takes the lease and reads the server's last batch, where that was not done yet. */
enum synk_status redis_lead(struct redis *redis, struct synk_error *error);
void redis_forget_sent(struct redis *redis);

/* redis_load.c */
enum synk_status redis_load(void *backend, void (*each)(void *, const struct record *),
                            void *context, uint32_t *ret_epoch, uint64_t *ret_last_event,
                            uint64_t *ret_quarantined, struct synk_error *error);
enum synk_status redis_dump(void *backend, const struct store_visitor *visitor, uint64_t *ret_bad,
                            struct synk_error *error);
/* redis_rows.c: fields of a hash as a record whose key is set; NULL, or what is wrong. Bytes point
 * into the reply. */
const char *redis_hash_record(const redisReply *reply, struct record *record);
/* Numbers in decimal, ascending. The caller frees it. */
uint64_t *redis_numbers(const redisReply *reply, size_t *ret_count);
/* "UNIT@VERSION" to its parts; false: it is not one. */
bool redis_split_version(struct synk_bytes text, struct synk_bytes *ret_unit,
                         uint32_t *ret_version);

/* redis_query.c */
enum synk_status redis_query(void *backend, const struct query *query, struct arena *arena,
                             struct buf *body, struct store_answer *answer,
                             struct synk_error *error);
enum synk_status redis_values(void *backend, const struct value_ref *refs, size_t count,
                              struct arena *arena, struct synk_bytes *ret_values,
                              struct synk_error *error);
enum synk_status redis_event_bounds(struct redis *redis, uint64_t *ret_first, uint64_t *ret_last,
                                    struct synk_error *error);
/* redis_source.c: the cursors of pages.h; redis_end_rows ends them all. */
struct page_source;
struct page_source redis_source(struct redis *redis);
void redis_end_rows(void *backend);
void redis_rows_free(struct redis_rows *rows);

/* redis_retain.c */
void redis_retain(struct redis *redis, const struct retention *bounds);
bool redis_upkeep(void *backend, bool idle);
enum synk_status redis_query_prune(struct redis *redis, struct store_answer *answer,
                                   struct synk_error *error);

#endif
