/*
 * Copying a state from one store to another: everything that a visit shows, in batches. The marks
 * come last: a copy that ended early has no epoch, and its target is found in use, not empty.
 */
#include <stdlib.h>

#include "proto/pack.h"
#include "supervisor/store/backend.h"
#include "supervisor/store/record_fields.h"
#include "supervisor/store/sqlite.h"

enum {
    /* A batch of a copy: large enough that syncs do not count, small enough for any store. */
    COPY_RECORDS = 5000,
    COPY_BYTES = 4 << 20,
};

struct copying {
    const struct store_ops *ops;
    void *target;
    struct batch batch;
    struct store_counts counts;
};

static enum synk_status flush(struct copying *copying, struct synk_error *error)
{
    if (batch_is_empty(&copying->batch))
        return SYNK_OK;
    enum synk_status status = copying->ops->commit(copying->target, &copying->batch, error);
    batch_clear(&copying->batch);
    return status;
}

static enum synk_status copy_record(void *context, const struct record *record,
                                    struct synk_error *error)
{
    struct copying *copying = context;
    struct record *copy = batch_add(&copying->batch, record->kind);
    *copy = *record;
    record_copy(copy, &copying->batch.arena);
    copying->counts.records[record->kind]++;
    if (copying->batch.record_count < COPY_RECORDS && copying->batch.arena.used_bytes < COPY_BYTES)
        return SYNK_OK;
    return flush(copying, error);
}

static enum synk_status copy_events(void *context, uint64_t first, uint32_t count, int64_t at,
                                    struct synk_bytes items, struct synk_error *error)
{
    struct copying *copying = context;
    enum synk_status status = flush(copying, error);
    if (status)
        return status;
    copying->batch.first_event = first;
    copying->batch.event_count = count;
    copying->batch.at = at;
    buf_append(&copying->batch.events, items.data, items.size);
    copying->counts.event_batches++;
    copying->counts.events += count;
    return flush(copying, error);
}

static enum synk_status find_something(void *context, const struct record *record,
                                       struct synk_error *error)
{
    (void)context, (void)record;
    return status_fail(error, SYNK_EXISTS, "there is a state already");
}

static enum synk_status find_events(void *context, uint64_t first, uint32_t count, int64_t at,
                                    struct synk_bytes items, struct synk_error *error)
{
    (void)context, (void)first, (void)count, (void)at, (void)items;
    return status_fail(error, SYNK_EXISTS, "there is a state already");
}

static enum synk_status check_empty(const struct store_ops *ops, void *backend,
                                    struct synk_error *error)
{
    struct store_visitor visitor = {NULL, find_something, find_events};
    uint32_t epoch = 0;
    uint64_t last_event = 0, bad = 0;
    enum synk_status status = ops->get_marks(backend, &epoch, &last_event, error);
    if (!status && last_event)
        status = status_fail(error, SYNK_EXISTS, "there is a state already");
    if (!status)
        status = ops->dump(backend, &visitor, &bad, error);
    if (!status && bad)
        status = status_fail(error, SYNK_EXISTS, "there is a state already");
    return status;
}

enum synk_status store_copy_backend(const struct store_ops *from_ops, void *from,
                                    const struct store_ops *to_ops, void *to,
                                    struct store_counts *ret_counts, struct synk_error *error)
{
    struct copying copying = {.ops = to_ops, .target = to};
    struct store_visitor visitor = {&copying, copy_record, copy_events};
    uint32_t epoch = 0;
    uint64_t last_event = 0;
    enum synk_status status = check_empty(to_ops, to, error);
    if (status)
        return status;
    batch_init(&copying.batch);
    status = from_ops->get_marks(from, &epoch, &last_event, error);
    if (!status)
        status = from_ops->dump(from, &visitor, &copying.counts.bad, error);
    if (!status)
        status = flush(&copying, error);
    if (!status)
        status = to_ops->set_marks(to, epoch, last_event, error);
    if (!status)
        *ret_counts = copying.counts;
    batch_fini(&copying.batch);
    return status;
}

struct backup {
    const struct store_ops *ops;
    void *backend;
};

static enum synk_status fill_file(void *context, const char *part, struct synk_error *error)
{
    const struct backup *backup = context;
    struct store_counts counts;
    void *file = NULL;
    enum synk_status status = sqlite_store_ops.open(part, &file, error);
    if (status)
        return status;
    status =
        store_copy_backend(backup->ops, backup->backend, &sqlite_store_ops, file, &counts, error);
    sqlite_store_ops.close(file);
    return status;
}

enum synk_status store_backup(const struct store_ops *ops, void *backend, const struct query *query,
                              struct buf *body, struct synk_error *error)
{
    uint64_t bytes = 0;
    struct backup backup = {ops, backend};
    char *path = mem_strndup(query->path.data, query->path.size);
    enum synk_status status = sqlite_backup_to(path, fill_file, &backup, &bytes, error);
    if (!status) {
        pack_map(body, 2);
        pack_key(body, "path");
        pack_cstr(body, path);
        pack_key(body, "bytes");
        pack_uint(body, bytes);
    }
    free(path);
    return status;
}
