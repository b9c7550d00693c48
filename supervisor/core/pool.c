/*
 * Pool submissions: what was submitted is kept encoded, as one blob that is also the stored form:
 * {count, function, payload, …, items}. Tasks find their params by offset into its last entry.
 *
 * The gate is the first paused submission in the order of dispatch (higher priority, then older).
 * Everything behind it is held back with it, whatever its function: who pauses one in a queue wants
 * nothing to overtake it. Invariant: engine.pool_gate is NULL or unfinished.
 */
#include "supervisor/core/pool.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/queues.h"
#include "supervisor/core/run.h"

enum {
    /* Tags and limits of one submission: as many as a definition may have. */
    MAX_LIST = 64,
    MAX_PRIORITY = 1000000,
};

/* ---- options ---- */

static enum synk_status read_number(const struct synk_value *body, const char *field, int64_t min,
                                    int64_t max, int64_t otherwise, int64_t *ret_number,
                                    struct synk_error *error)
{
    const struct synk_value *value = synk_value_get(body, field);
    *ret_number = otherwise;
    if (value_is_null(value))
        return SYNK_OK;
    *ret_number = synk_value_int(value, INT64_MIN);
    if (synk_value_kind(value) == SYNK_INT && *ret_number >= min && *ret_number <= max)
        return SYNK_OK;
    if (max == INT64_MAX)
        return status_fail(error, SYNK_INVALID, "'%s' must be an integer of at least %lld", field,
                           (long long)min);
    return status_fail(error, SYNK_INVALID, "'%s' must be an integer from %lld to %lld", field,
                       (long long)min, (long long)max);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_name(struct synk_bytes text)
{
    return text.size && text.size <= LIMIT_ID_BYTES && !memchr(text.data, 0, text.size);
}

/* Sorted and without repeats, so that equal ones share a queue. */
static enum synk_status read_requires(const struct synk_value *body, struct arena *arena,
                                      struct worker_options *options, struct synk_error *error)
{
    const struct synk_value *list = synk_value_get(body, "requires");
    size_t count = synk_value_count(list), kept = 0;
    if (value_is_null(list))
        return SYNK_OK;
    if (synk_value_kind(list) != SYNK_ARRAY || count > MAX_LIST)
        return status_fail(error, SYNK_INVALID, "'requires' must be a list of at most %d tags",
                           MAX_LIST);
    const char **tags = arena_zalloc(arena, count + 1, sizeof(*tags));
    for (size_t i = 0; i < count; i++) {
        struct synk_bytes tag = synk_value_bytes(synk_value_at(list, i));
        if (!is_name(tag))
            return status_fail(error, SYNK_INVALID, "'requires' must be a list of tags");
        tags[i] = arena_strndup(arena, tag.data, tag.size);
    }
    qsort(tags, count, sizeof(*tags), compare_texts);
    for (size_t i = 0; i < count; i++)
        if (!kept || strcmp(tags[kept - 1], tags[i]) != 0)
            tags[kept++] = tags[i];
    options->requires = tags;
    options->requires_count = (uint32_t)kept;
    return SYNK_OK;
}

static int compare_uses(const void *a, const void *b)
{
    return strcmp(((const struct uses *)a)->name, ((const struct uses *)b)->name);
}

static enum synk_status read_uses(const struct synk_value *body, struct arena *arena,
                                  struct worker_options *options, struct synk_error *error)
{
    const struct synk_value *map = synk_value_get(body, "uses");
    size_t count = synk_value_count(map);
    if (value_is_null(map))
        return SYNK_OK;
    if (synk_value_kind(map) != SYNK_MAP || count > MAX_LIST)
        return status_fail(error, SYNK_INVALID,
                           "'uses' must be a map of at most %d limits to amounts", MAX_LIST);
    struct uses *uses = arena_zalloc(arena, count + 1, sizeof(*uses));
    for (size_t i = 0; i < count; i++) {
        struct synk_bytes name = synk_value_key_at(map, i);
        int64_t amount = synk_value_int(synk_value_at(map, i), 0);
        if (!is_name(name) || amount < 1 || amount > INT32_MAX)
            return status_fail(error, SYNK_INVALID, "'uses' must be limits and positive integers");
        uses[i] = (struct uses){arena_strndup(arena, name.data, name.size), (uint32_t)amount};
    }
    qsort(uses, count, sizeof(*uses), compare_uses);
    options->uses = uses;
    options->uses_count = (uint32_t)count;
    return SYNK_OK;
}

static enum synk_status read_exit_codes(const struct synk_value *body, struct arena *arena,
                                        struct worker_options *options, struct synk_error *error)
{
    const struct synk_value *list = synk_value_get(body, "noRetryExitCodes");
    size_t count = synk_value_count(list);
    if (value_is_null(list))
        return SYNK_OK;
    if (synk_value_kind(list) != SYNK_ARRAY || count > 256)
        return status_fail(error, SYNK_INVALID, "'noRetryExitCodes' must be a list of numbers");
    int32_t *codes = arena_zalloc(arena, count + 1, sizeof(*codes));
    for (size_t i = 0; i < count; i++) {
        int64_t code = synk_value_int(synk_value_at(list, i), -1);
        if (code < 0 || code > 255)
            return status_fail(error, SYNK_INVALID,
                               "'noRetryExitCodes' must be a list of integers from 0 to 255");
        codes[i] = (int32_t)code;
    }
    options->no_retry_exit_codes = codes;
    options->no_retry_exit_code_count = (uint32_t)count;
    return SYNK_OK;
}

enum synk_status pool_read_options(const struct synk_value *body, struct arena *arena,
                                   struct worker_options *options, struct synk_error *error)
{
    struct synk_bytes function = synk_value_bytes(synk_value_get(body, "function"));
    if (!is_name(function))
        return status_fail(error, SYNK_INVALID, "'function' must be a string of 1 to 128 bytes");
    int64_t retries, delay, timeout, progress, priority, slots;
    bool is_exec = bytes_equal(function, bytes_str("exec"));
    enum synk_status status;
    if ((status = read_number(body, "maxRetries", 0, 65534, 0, &retries, error)) ||
        (status = read_number(body, "retryDelayMs", 0, INT64_MAX, 0, &delay, error)) ||
        (status = read_number(body, "timeoutMs", 0, INT64_MAX, is_exec ? 0 : 10000, &timeout,
                              error)) ||
        (status = read_number(body, "progressTimeoutMs", 0, INT64_MAX, 0, &progress, error)) ||
        (status =
             read_number(body, "priority", -MAX_PRIORITY, MAX_PRIORITY, 0, &priority, error)) ||
        (status = read_number(body, "slots", 1, UINT16_MAX, 1, &slots, error)))
        return status;
    *options = (struct worker_options){
        .function = arena_strndup(arena, function.data, function.size),
        .max_retries = (uint32_t)retries,
        .retry_delay_ms = delay,
        .timeout_ms = timeout,
        .progress_timeout_ms = progress,
        .priority = (int32_t)priority,
        .slots = (uint32_t)slots,
    };
    if ((status = read_requires(body, arena, options, error)) ||
        (status = read_uses(body, arena, options, error)))
        return status;
    return read_exit_codes(body, arena, options, error);
}

/* ---- the stored form ---- */

void pool_items_add(struct pool_items *items, struct synk_bytes value)
{
    uint32_t size = (uint32_t)value.size;
    uint8_t bytes[4] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                        (uint8_t)size};
    buf_append(&items->sizes, bytes, 4);
    buf_append(&items->values, value.data, value.size);
    items->count++;
}

void pool_items_fini(struct pool_items *items)
{
    buf_fini(&items->sizes);
    buf_fini(&items->values);
}

void pool_encode(const struct synk_value *body, const struct synk_value *old, uint32_t count,
                 const struct pool_items *items, struct buf *out)
{
    static const char *const fields[] = {
        "function",     "payload",   "maxRetries",        "retryDelayMs",
        "timeoutMs",    "priority",  "progressTimeoutMs", "slots",
        "requires",     "uses",      "noRetryExitCodes",
    };
    enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };
    const struct synk_value *old_items = items ? NULL : synk_value_get(old, "items");
    bool has_items = (items && items->count) || !value_is_null(old_items);
    pack_map(out, FIELDS + 1 + has_items);
    pack_key(out, "count");
    pack_uint(out, count);
    for (size_t i = 0; i < FIELDS; i++) {
        const struct synk_value *value = synk_value_get(body, fields[i]);
        if (!value)
            value = synk_value_get(old, fields[i]);
        pack_key(out, fields[i]);
        value ? value_encode(value, out) : pack_null(out);
    }
    if (!has_items)
        return;
    /* The items lie one behind the other at the very end, with their sizes before them, so that the
     * offsets come back without decoding every value. */
    pack_key(out, "items");
    if (old_items) {
        pack_binary(out, synk_value_bytes(old_items));
        return;
    }
    struct buf all = {0};
    buf_append(&all, items->sizes.data, items->sizes.size);
    buf_append(&all, items->values.data, items->values.size);
    pack_binary(out, buf_bytes(&all));
    buf_fini(&all);
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
    const struct synk_value *items = synk_value_get(root, "items");
    if (pool_read_options(root, &pool->arena, &pool->options, error) ||
        (items && !take_items(pool, synk_value_bytes(items), task_count))) {
        status_fail(error, SYNK_CORRUPT, "a pool submission that does not decode");
        pool_free(pool);
        synk_document_free(document);
        return NULL;
    }
    pool->function = pool->options.function;
    struct buf payload = {0};
    const struct synk_value *value = synk_value_get(root, "payload");
    if (!value_is_null(value))
        value_encode(value, &payload);
    pool->payload = buf_bytes(&payload);
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
    free((void *)pool->payload.data);
    free(pool->offsets);
    arena_fini(&pool->arena);
    free(pool);
}

struct synk_bytes pool_params(const struct pool *pool, uint32_t task)
{
    if (!pool->offsets)
        return (struct synk_bytes){0};
    return bytes_of(pool->items + pool->offsets[task],
                    pool->offsets[task + 1] - pool->offsets[task]);
}

/* ---- names ---- */

static bool has_name(const void *item, const void *key)
{
    const struct run *run = item;
    return bytes_equal(bytes_str(run->name), *(const struct synk_bytes *)key);
}

struct run *pool_find(const struct engine *engine, struct synk_bytes name)
{
    return index_find(&engine->pool_names, bytes_hash(name), has_name, &name);
}

struct run *pool_find_latest(const struct engine *engine, struct synk_bytes name)
{
    struct run *run = pool_find(engine, name);
    /* Only who asks by name pays for the way there: LIMIT_FINISHED_RUNS at most. */
    if (!run)
        run = engine->finished_last;
    while (run && !(run->name && has_name(run, &name)))
        run = run->previous;
    return run;
}

/* ---- the gate ---- */

static bool is_before(const struct run *a, const struct run *b)
{
    int32_t x = a->pool ? a->pool->options.priority : 0;
    int32_t y = b->pool ? b->pool->options.priority : 0;
    return x != y ? x > y : a->id < b->id;
}

bool pool_is_held(const struct engine *engine, const struct run *run)
{
    if (run->paused)
        return true;
    const struct run *gate = engine->pool_gate;
    return gate && gate != run && is_before(gate, run);
}

static void find_gate(struct engine *engine)
{
    engine->pool_gate = NULL;
    for (struct run *run = engine->pool->first_run; run; run = run->unit_next)
        if (run->paused && (!engine->pool_gate || is_before(run, engine->pool_gate)))
            engine->pool_gate = run;
}

void pool_update_gate(struct engine *engine)
{
    find_gate(engine);
    for (struct run *run = engine->pool->first_run; run; run = run->unit_next)
        if (run->tasks)
            run_update_held(engine, run);
}

void pool_set_paused(struct engine *engine, struct run *run, bool paused)
{
    if (run->paused == paused)
        return;
    run->paused = paused;
    run_touch(engine, run);
    pool_update_gate(engine);
}

void pool_add(struct engine *engine, struct run *run)
{
    if (run->name && pool_find(engine, bytes_str(run->name))) {
        free(run->name); /* it is retried, and another one has the name by now */
        run->name = NULL;
    }
    if (run->name)
        index_put(&engine->pool_names, bytes_hash(bytes_str(run->name)), run);
    /* Those behind it are younger: nothing is let go or held back but itself. */
    if (run->paused && (!engine->pool_gate || is_before(run, engine->pool_gate)))
        pool_update_gate(engine);
}

void pool_remove(struct engine *engine, struct run *run)
{
    if (run->name && pool_find(engine, bytes_str(run->name)) == run)
        index_remove(&engine->pool_names, bytes_hash(bytes_str(run->name)), run);
    if (engine->pool_gate == run)
        pool_update_gate(engine);
}

void pool_hydrate(struct engine *engine)
{
    for (struct run *run = engine->pool->first_run; run; run = run->unit_next) {
        if (run->spec && !run->pool)
            run->pool = pool_new(engine, run->spec, run->task_count, NULL);
        if (run->name && !pool_find(engine, bytes_str(run->name)))
            index_put(&engine->pool_names, bytes_hash(bytes_str(run->name)), run);
    }
    find_gate(engine);
}
