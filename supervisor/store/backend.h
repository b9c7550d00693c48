/*
 * What one kind of store does, behind store.h. Private to supervisor/store.
 *
 * Calls block and come from one thread at a time: the owner's while opening and loading, the
 * writer's afterwards. A backend has no queue, no thread and no callbacks into its owner; writer.c
 * gives it those. size_bytes alone may be called by the owner while the writer works.
 */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include "supervisor/store/lease.h"
#include "supervisor/store/store.h"

/* Takes everything that a store keeps, when it is copied or checked. A failure ends the visit. */
struct store_visitor {
    void *context;
    enum synk_status (*record)(void *context, const struct record *record,
                               struct synk_error *error);
    /* A packed batch of events, in order. */
    enum synk_status (*events)(void *context, uint64_t first, uint32_t count, int64_t at,
                               struct synk_bytes items, struct synk_error *error);
};

struct store_ops {
    const char *scheme; /* the URI's beginning, colon included */
    /* `rest` is the URI behind the scheme. */
    enum synk_status (*open)(const char *rest, void **ret_backend, struct synk_error *error);
    void (*close)(void *backend);
    const char *(*durability)(const void *backend);
    uint64_t (*size_bytes)(const void *backend);
    enum synk_status (*load)(void *backend,
                             void (*each)(void *context, const struct record *record),
                             void *context, uint32_t *ret_epoch, uint64_t *ret_last_event,
                             uint64_t *ret_quarantined, struct synk_error *error);
    enum synk_status (*commit)(void *backend, const struct batch *batch, struct synk_error *error);
    /* Fills body or the answer's records (from `arena`); the caller points answer->body at body.
     * SYNK_BUSY to QUERY_PRUNE: upkeep is not done with it; ask again after the next. */
    enum synk_status (*query)(void *backend, const struct query *query, struct arena *arena,
                              struct buf *body, struct store_answer *answer,
                              struct synk_error *error);
    /* As store_values_done says. */
    enum synk_status (*values)(void *backend, const struct value_ref *refs, size_t count,
                               struct arena *arena, struct synk_bytes *ret_values,
                               struct synk_error *error);
    /* All records in the order of enum record_kind, finished runs and old versions too, then all
     * events. What does not decode is passed over and counted: *ret_bad. */
    enum synk_status (*dump)(void *backend, const struct store_visitor *visitor, uint64_t *ret_bad,
                             struct synk_error *error);
    /* The epoch and the number of the last event, without raising either; and the way back, for a
     * store that is being filled. */
    enum synk_status (*get_marks)(void *backend, uint32_t *ret_epoch, uint64_t *ret_last_event,
                                  struct synk_error *error);
    enum synk_status (*set_marks)(void *backend, uint32_t epoch, uint64_t last_event,
                                  struct synk_error *error);
    /* As lease.h says; all NULL where a file's lock does it. `configure` comes first. */
    void (*configure)(void *backend, const struct store_options *options);
    enum synk_status (*lease_acquire)(void *backend, uint32_t minimum_epoch, uint32_t *ret_epoch,
                                      struct store_leader *ret_leader, struct synk_error *error);
    void (*lease_release)(void *backend);
    bool (*lease_is_held)(const void *backend);
    /* A bounded piece of upkeep between jobs, when the last one's answer is on its way; `idle`: no
     * job waits. Whether it is worth calling again while none comes. */
    bool (*upkeep)(void *backend, bool idle);
};

extern const struct store_ops sqlite_store_ops;
extern const struct store_ops memory_store_ops;
extern const struct store_ops redis_store_ops, redis_unix_store_ops, unix_store_ops,
    redis_sentinel_store_ops;

/* store_copy.c: all that one backend keeps, into another that keeps nothing yet (SYNK_EXISTS); both
 * are open, and nobody else uses either. */
struct store_counts {
    uint64_t records[RECORD_ATTEMPT + 1];
    uint64_t event_batches, events;
    uint64_t bad; /* did not decode: left out */
};
enum synk_status store_copy_backend(const struct store_ops *from_ops, void *from,
                                    const struct store_ops *to_ops, void *to,
                                    struct store_counts *ret_counts, struct synk_error *error);
/* QUERY_BACKUP for a store that is no file: an SQLite file with the same content. */
enum synk_status store_backup(const struct store_ops *ops, void *backend, const struct query *query,
                              struct buf *body, struct synk_error *error);

/* The backend of a URI's scheme; NULL: there is none. */
const struct store_ops *store_find_ops(const char *uri);

#endif
