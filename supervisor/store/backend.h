/*
 * What one kind of store does, behind store.h. Private to supervisor/store.
 *
 * Calls block and come from one thread at a time: the owner's while opening and loading, the
 * writer's afterwards. A backend has no queue, no thread and no callbacks into its owner; writer.c
 * gives it those. size_bytes alone may be called by the owner while the writer works.
 */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include "supervisor/store/store.h"

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
    /* A bounded piece of upkeep between jobs, when the last one's answer is on its way; `idle`: no
     * job waits. Whether it is worth calling again while none comes. */
    bool (*upkeep)(void *backend, bool idle);
};

extern const struct store_ops sqlite_store_ops;
extern const struct store_ops memory_store_ops;

#endif
