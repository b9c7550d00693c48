/*
 * Pool submissions: what was submitted is kept encoded, as one blob that is also the stored form:
 * {function, payload, count, maxRetries, retryDelayMs, timeoutMs, priority, items}. Tasks find
 * their params by offset into its last entry.
 */
#include "supervisor/core/pool.h"

#include <stdlib.h>

#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/queues.h"

void pool_encode(const struct synk_value *body, uint32_t count, struct buf *out)
{
    static const char *const fields[] = {"function",     "payload",   "maxRetries",
                                         "retryDelayMs", "timeoutMs", "priority"};
    const struct synk_value *items = synk_value_get(body, "items");
    pack_map(out, 7 + (items ? 1 : 0));
    pack_key(out, "count");
    pack_uint(out, count);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        pack_key(out, fields[i]);
        const struct synk_value *value = synk_value_get(body, fields[i]);
        value ? value_encode(value, out) : pack_null(out);
    }
    if (items) {
        /* The items lie one behind the other at the very end, with their sizes before them, so that
         * the offsets come back without decoding every value. */
        struct buf values = {0}, sizes = {0};
        for (size_t i = 0; i < count; i++) {
            size_t before = values.size;
            value_encode(synk_value_at(items, i), &values);
            uint32_t size = (uint32_t)(values.size - before);
            uint8_t bytes[4] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                                (uint8_t)size};
            buf_append(&sizes, bytes, 4);
        }
        buf_append(&sizes, values.data, values.size);
        pack_key(out, "items");
        pack_binary(out, buf_bytes(&sizes));
        buf_fini(&values);
        buf_fini(&sizes);
    }
}

static bool take_items(struct pool *pool, struct synk_bytes bytes, uint32_t count)
{
    const uint8_t *data = bytes.data;
    if (bytes.size < (size_t)count * 4)
        return false;
    pool->offsets = mem_alloc(((size_t)count + 1) * sizeof(*pool->offsets));
    uint64_t offset = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *at = data + (size_t)i * 4;
        pool->offsets[i] = (uint32_t)offset;
        offset += (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
    if (offset != bytes.size - (size_t)count * 4 || offset > UINT32_MAX)
        return false;
    pool->offsets[count] = (uint32_t)offset;
    pool->items = data + (size_t)count * 4;
    return true;
}

struct pool *pool_new(struct engine *engine, struct blob *spec, uint32_t task_count,
                      struct synk_error *error)
{
    struct synk_document *document = NULL;
    /* The payload is a value of full depth inside one map. */
    struct check_limits limits = {LIMIT_VALUE_DEPTH + 2, LIMIT_MESSAGE_ITEMS + 100};
    if (value_decode(blob_bytes(spec), &limits, &document, error))
        return NULL;
    const struct synk_value *root = synk_document_root(document);
    struct pool *pool = mem_zalloc(1, sizeof(*pool));
    pool->function = synk_value_string_dup(synk_value_get(root, "function"));
    const struct synk_value *items = synk_value_get(root, "items");
    if (!pool->function || (items && !take_items(pool, synk_value_bytes(items), task_count))) {
        status_fail(error, SYNK_CORRUPT, "a pool submission that does not decode");
        pool_free(pool);
        synk_document_free(document);
        return NULL;
    }
    struct buf payload = {0};
    const struct synk_value *value = synk_value_get(root, "payload");
    if (!value_is_null(value))
        value_encode(value, &payload);
    pool->payload = buf_bytes(&payload);
    bool is_exec = strcmp(pool->function, "exec") == 0;
    pool->options = (struct worker_options){
        .function = pool->function,
        .max_retries = (uint32_t)synk_value_int(synk_value_get(root, "maxRetries"), 0),
        .retry_delay_ms = synk_value_int(synk_value_get(root, "retryDelayMs"), 0),
        .timeout_ms = synk_value_int(synk_value_get(root, "timeoutMs"), is_exec ? 0 : 10000),
        .priority = (int32_t)synk_value_int(synk_value_get(root, "priority"), 0),
        .slots = 1,
    };
    pool->held_queue = queue_for(engine, &pool->options);
    pool->queue = pool->held_queue->index;
    synk_document_free(document);
    return pool;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    queue_unref(pool->held_queue);
    free(pool->function);
    free((void *)pool->payload.data);
    free(pool->offsets);
    free(pool);
}

struct synk_bytes pool_params(const struct pool *pool, uint32_t task)
{
    if (!pool->offsets)
        return (struct synk_bytes){0};
    return bytes_of(pool->items + pool->offsets[task],
                    pool->offsets[task + 1] - pool->offsets[task]);
}
