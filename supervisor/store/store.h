/*
 * A store keeps batches. One interface for every kind, chosen by URI:
 *   sqlite:PATH   a file: WAL, synchronous=FULL, one connection in one writer thread
 *   memory:       the same engine without a file; nothing survives the process
 *   redis://HOST:PORT/DB?…, redis+unix:PATH?…, unix:PATH?…, redis+sentinel://H1:P1,H2:P2/MASTER?…
 *                 a Redis server that several machines share: redis_uri.h, lease.h
 *
 * store_open and store_load block. store_commit and store_query return at once: the writer thread
 * takes them in the order of the calls and `wake` is called on the writer's thread when completions
 * wait; the owner then calls store_complete on its own thread, which runs the callbacks. Not
 * thread-safe beyond that: one owner thread.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "proto/status.h"
#include "supervisor/core/engine.h"
#include "supervisor/core/records.h"

struct store;

struct store_options {
    const char *uri;
    void (*wake)(void *context);
    void *wake_context;
    /* What this supervisor calls itself to others that share the store: nobody else does so while it
     * lives, and after a crash it is at once itself again. NULL: a name of this process. */
    const char *owner;
    /* See store_lease_is_held; may be NULL. */
    void (*lease_changed)(void *context, bool is_held);
    void *lease_context;
};

/* Opens, creates or upgrades. Fails with SYNK_BUSY (another process has it), SYNK_UNSUPPORTED (a
 * newer schema), SYNK_CORRUPT, SYNK_IO or SYNK_INVALID (the URI). */
enum synk_status store_open(const struct store_options *options, struct store **ret_store,
                            struct synk_error *error);
/* Waits for what was handed in, then closes. Takes NULL. */
void store_close(struct store *store);
/* "fsync" (durable), "volatile" (on a tmpfs), "none" (memory:); of Redis, what its settings make of
 * it: "fsync", "everysec", "kernel", "snapshot", "none", "unknown", and "+replicas:N" behind it. */
const char *store_durability(const struct store *store);
/* Whether what is acknowledged outlives the machine, if perhaps not its last second. */
bool store_outlives_machine(const struct store *store);
uint64_t store_size_bytes(const struct store *store);

/*
 * Hydration: calls `each` for every record that the engine needs to go on, in the order of enum
 * record_kind: all meta, units, hosts and keys; definitions and workers of the versions in
 * force and of unfinished runs; unfinished runs and the last LIMIT_FINISHED_RUNS finished ones;
 * tasks of unfinished runs. A record that does not decode is moved to the table `quarantine` and
 * counted. Also raises the epoch and stores it: *ret_epoch. *ret_last_event is the last event's
 * number.
 */
enum synk_status store_load(struct store *store,
                            void (*each)(void *context, const struct record *record), void *context,
                            uint32_t *ret_epoch, uint64_t *ret_last_event,
                            uint64_t *ret_quarantined, struct synk_error *error);

/* `batch` must stay untouched until `done` runs. status: SYNK_OK, SYNK_STORE_DOWN (disk full, server
 * away: nothing is known to be applied; hand in the same batch again later, it is applied once),
 * SYNK_IO (fsync failed: exit and recover), SYNK_NOT_LEADER (another supervisor has taken over: see
 * lease.h). */
typedef void (*store_commit_done)(void *context, enum synk_status status,
                                  const struct synk_error *error, int64_t commit_us);
void store_commit(struct store *store, const struct batch *batch, store_commit_done done,
                  void *context);

/* Answers one query between commits. QUERY_RUN, QUERY_RUNS, QUERY_EVENTS: `body` is the reply's
 * encoded map (or `error`). QUERY_LOAD_RUN: `records` (run, definition, workers, tasks).
 * QUERY_PRUNE: `removed_…`, once everything that may go has gone, in slices between what else there
 * is to do. The query is copied. */
struct store_answer {
    enum synk_status status;
    struct synk_error error;
    struct synk_bytes body;
    const struct record *records;
    size_t record_count;
    uint64_t removed_runs, removed_events;
};
typedef void (*store_query_done)(void *context, const struct query *query,
                                 const struct store_answer *answer);
void store_query(struct store *store, const struct query *query, store_query_done done,
                 void *context);

/* Results of tasks, for the inputs of a dispatch: values[i] belongs to refs[i]; empty where a task
 * has none. status: SYNK_OK; SYNK_NOT_FOUND (a run of the refs is not kept any more); SYNK_CORRUPT
 * or SYNK_IO (it cannot be read: exit and recover, every later commit fails); SYNK_STORE_DOWN (the
 * server is away: ask again). Values are good with SYNK_OK alone. */
typedef void (*store_values_done)(void *context, enum synk_status status,
                                  const struct synk_error *error, const struct synk_bytes *values,
                                  size_t count);
void store_values(struct store *store, const struct value_ref *refs, size_t count,
                  store_values_done done, void *context);

/* Runs the callbacks of what is complete, on the caller's thread. */
void store_complete(struct store *store);

#endif
