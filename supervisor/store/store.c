/*
 * The store as its owner sees it: finds the backend for a URI and puts a writer thread before it.
 *
 * Invariant: the backend is touched by the owner's thread only while the writer has nothing to do.
 */
#include "supervisor/store/store.h"

#include <stdlib.h>
#include <string.h>

#include "supervisor/store/backend.h"
#include "supervisor/store/writer.h"

struct store {
    const struct store_ops *ops;
    void *backend;
    struct writer *writer;
};

static const struct store_ops *const kinds[] = {
    &sqlite_store_ops,     &memory_store_ops, &redis_store_ops,
    &redis_unix_store_ops, &unix_store_ops,   &redis_sentinel_store_ops,
};

const struct store_ops *store_find_ops(const char *uri)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (strncmp(uri, kinds[i]->scheme, strlen(kinds[i]->scheme)) == 0)
            return kinds[i];
    return NULL;
}

enum synk_status store_open(const struct store_options *options, struct store **ret_store,
                            struct synk_error *error)
{
    const struct store_ops *ops = store_find_ops(options->uri);
    if (!ops)
        return status_fail(error, SYNK_INVALID,
                           "store '%s': unknown kind; use sqlite:PATH, redis://HOST:PORT/DB, "
                           "unix:PATH, redis+sentinel://H:P,H:P/MASTER or memory:",
                           options->uri);
    void *backend = NULL;
    enum synk_status status = ops->open(options->uri + strlen(ops->scheme), &backend, error);
    if (status != SYNK_OK)
        return status;
    if (ops->configure)
        ops->configure(backend, options);
    struct writer *writer = NULL;
    status = writer_new(ops, backend, options->wake, options->wake_context, &writer, error);
    if (status != SYNK_OK) {
        ops->close(backend);
        return status;
    }
    struct store *store = mem_zalloc(1, sizeof(*store));
    *store = (struct store){ops, backend, writer};
    *ret_store = store;
    return SYNK_OK;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    writer_free(store->writer);
    store->ops->close(store->backend);
    free(store);
}

const char *store_durability(const struct store *store)
{
    return store->ops->durability(store->backend);
}

bool store_outlives_machine(const struct store *store)
{
    static const char *const lasting[] = {"fsync", "everysec", "kernel", "snapshot"};
    const char *text = store_durability(store);
    for (size_t i = 0; i < sizeof(lasting) / sizeof(*lasting); i++)
        if (strncmp(text, lasting[i], strlen(lasting[i])) == 0)
            return true;
    return false;
}

enum synk_status store_lease_acquire(struct store *store, uint32_t minimum_epoch,
                                     uint32_t *ret_epoch, struct store_leader *ret_leader,
                                     struct synk_error *error)
{
    *ret_epoch = 0;
    if (!store->ops->lease_acquire)
        return SYNK_OK;
    writer_quiesce(store->writer);
    return store->ops->lease_acquire(store->backend, minimum_epoch, ret_epoch, ret_leader, error);
}

void store_lease_release(struct store *store)
{
    if (!store->ops->lease_release)
        return;
    writer_quiesce(store->writer);
    store->ops->lease_release(store->backend);
}

bool store_lease_is_held(const struct store *store)
{
    return !store->ops->lease_is_held || store->ops->lease_is_held(store->backend);
}

uint64_t store_size_bytes(const struct store *store)
{
    return store->ops->size_bytes(store->backend);
}

enum synk_status store_load(struct store *store,
                            void (*each)(void *context, const struct record *record), void *context,
                            uint32_t *ret_epoch, uint64_t *ret_last_event,
                            uint64_t *ret_quarantined, struct synk_error *error)
{
    writer_quiesce(store->writer);
    return store->ops->load(store->backend, each, context, ret_epoch, ret_last_event,
                            ret_quarantined, error);
}

void store_commit(struct store *store, const struct batch *batch, store_commit_done done,
                  void *context)
{
    writer_commit(store->writer, batch, done, context);
}

void store_query(struct store *store, const struct query *query, store_query_done done,
                 void *context)
{
    writer_query(store->writer, query, done, context);
}

void store_values(struct store *store, const struct value_ref *refs, size_t count,
                  store_values_done done, void *context)
{
    writer_values(store->writer, refs, count, done, context);
}

void store_complete(struct store *store)
{
    writer_complete(store->writer);
}
