/*
 * Removing what may go, oldest first, in slices that are batches of their own: bounded in keys, so
 * that neither the server nor a commit waits for one.
 *
 * A run goes in two steps: its hash and its places in the lists, so that no question finds it any
 * more; its tasks and attempts follow in slices. Freeing is the server's, in its background
 * (UNLINK). Runs that have not ended are never taken. A slice that fails is tried again when the
 * owner next says what may go.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "supervisor/store/redis.h"

enum {
    /* Removing a run takes some 10 µs, a bucket 2 µs: a slice holds the server up for some
     * milliseconds. */
    SLICE_RUNS = 200,
    SLICE_BUCKETS = 1000,
    SLICE_EVENTS = 500,
    SLICE_NAMES = 200,
    BUSY_TURNS = 16,
    SIZE_TURNS = 256,
};

void redis_retain(struct redis *redis, const struct retention *bounds)
{
    struct redis_removal *removal = &redis->removal;
    removal->bounds = *bounds;
    removal->runs_open = bounds->keep_runs || bounds->runs_before;
    removal->events_open = bounds->keep_events || bounds->events_before;
    removal->versions_open = true;
    removal->has_removed = true;
    removal->interrupted = false;
    removal->failure.status = SYNK_OK;
    buf_clear(&removal->versions);
    buf_clear(&removal->units);
    removal->version_at = removal->unit_at = 0;
    if (bounds->counts)
        removal->removed_runs = removal->removed_events = 0;
}

static bool is_more(const struct redis_removal *removal)
{
    return removal->runs_open || removal->has_removed || removal->events_open ||
           removal->versions_open;
}

enum synk_status redis_query_prune(struct redis *redis, struct store_answer *answer,
                                   struct synk_error *error)
{
    const struct redis_removal *removal = &redis->removal;
    const struct synk_error *failure = redis->broken.status ? &redis->broken : &removal->failure;
    if (failure->status) {
        *error = *failure;
        return failure->status;
    }
    if (removal->interrupted || is_more(removal))
        return status_fail(error, SYNK_BUSY, "more is to be removed");
    answer->removed_runs = removal->removed_runs;
    answer->removed_events = removal->removed_events;
    return SYNK_OK;
}

static void add_op(struct redis_batch *batch, const char *verb, struct synk_bytes second,
                   const char *third)
{
    struct synk_bytes words[] = {bytes_str(verb), second, bytes_str(third)};
    redis_batch_op(batch, third ? 3 : 2, words);
}

static enum synk_status count_of(struct redis *redis, const char *command, const char *key,
                                 uint64_t *ret_count, struct synk_error *error)
{
    redisReply *reply = NULL;
    enum synk_status status =
        redis_ask(redis, "removing what is too old", &reply, error, command, key, NULL);
    if (status)
        return status;
    *ret_count = (uint64_t)reply->integer;
    freeReplyObject(reply);
    return SYNK_OK;
}

static enum synk_status remove_runs(struct redis *redis, struct redis_batch *batch, bool *ret_hides,
                                    struct synk_error *error)
{
    struct redis_removal *removal = &redis->removal;
    const struct retention *bounds = &removal->bounds;
    char last[12];
    uint64_t finished = 0;
    redisReply *reply = NULL;
    if (!removal->runs_open)
        return SYNK_OK;
    snprintf(last, sizeof(last), "%d", SLICE_RUNS - 1);
    enum synk_status status = count_of(redis, "ZCARD", "ended", &finished, error);
    if (!status)
        status = redis_ask(redis, "removing what is too old", &reply, error, "ZRANGE", "ended", "0",
                           last, "WITHSCORES", NULL);
    if (status)
        return status;
    removal->runs_open = reply->elements == 2 * SLICE_RUNS;
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        struct synk_bytes ended = redis_element(reply, i + 1);
        bool is_past = (bounds->keep_runs && finished > bounds->keep_runs) ||
                       strtod(ended.data, NULL) < (double)bounds->runs_before;
        if (!is_past) {
            removal->runs_open = false;
            break;
        }
        add_op(batch, "HIDE", redis_element(reply, i), NULL);
        removal->has_removed = *ret_hides = true;
        removal->removed_runs++;
        finished--;
    }
    freeReplyObject(reply);
    return SYNK_OK;
}

/* `hides`: runs of this slice, whose tasks the next one finds. */
static enum synk_status remove_tasks(struct redis *redis, struct redis_batch *batch, bool hides,
                                     struct synk_error *error)
{
    struct redis_removal *removal = &redis->removal;
    char last[12], most[12];
    redisReply *reply = NULL;
    if (!removal->has_removed)
        return SYNK_OK;
    snprintf(last, sizeof(last), "%d", SLICE_RUNS - 1);
    enum synk_status status = redis_ask(redis, "removing what is too old", &reply, error, "ZRANGE",
                                        "removed", "0", last, NULL);
    if (status)
        return status;
    /* What one run may take falls with the number of them: most have a bucket or two. */
    size_t count = reply->elements;
    snprintf(most, sizeof(most), "%zu", count ? SLICE_BUCKETS / count + 2 : 0);
    for (size_t i = 0; i < count; i++)
        add_op(batch, "SHRINK", redis_element(reply, i), most);
    freeReplyObject(reply);
    removal->has_removed = count != 0 || hides;
    return SYNK_OK;
}

static enum synk_status remove_events(struct redis *redis, struct redis_batch *batch,
                                      struct synk_error *error)
{
    struct redis_removal *removal = &redis->removal;
    const struct retention *bounds = &removal->bounds;
    char count[12];
    uint64_t first, last;
    redisReply *reply = NULL;
    if (!removal->events_open)
        return SYNK_OK;
    snprintf(count, sizeof(count), "%d", SLICE_EVENTS);
    enum synk_status status = redis_event_bounds(redis, &first, &last, error);
    if (!status)
        status = redis_ask(redis, "removing what is too old", &reply, error, "XRANGE", "events",
                           "-", "+", "COUNT", "32", NULL);
    if (status)
        return status;
    uint64_t upto =
        bounds->keep_events && last > bounds->keep_events ? last - bounds->keep_events : 0;
    removal->events_open = false;
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *entry = reply->element[i];
        struct synk_bytes id = redis_element(entry, 0);
        const redisReply *fields = entry->elements == 2 ? entry->element[1] : NULL;
        int64_t at = fields ? (int64_t)redis_uint(redis_element(fields, 5)) : 0;
        if (fields && redis_uint(id) > upto && at >= bounds->events_before)
            break;
        struct synk_bytes words[] = {bytes_str("XDEL"), bytes_str("events"), id};
        redis_batch_op(batch, 3, words);
        removal->removed_events += fields ? redis_uint(redis_element(fields, 3)) : 0;
        removal->events_open = i + 1 == reply->elements;
    }
    freeReplyObject(reply);
    return SYNK_OK;
}

/* ---- versions of definitions, and what stays of released units ---- */

static enum synk_status list_names(struct redis *redis, const char *command, const char *key,
                                   struct buf *out, struct synk_error *error)
{
    redisReply *reply = NULL;
    enum synk_status status =
        redis_ask(redis, "removing what is too old", &reply, error, command, key, NULL);
    if (status)
        return status;
    for (size_t i = 0; i < reply->elements; i++) {
        struct synk_bytes name = redis_element(reply, i);
        buf_append(out, name.data, name.size);
        buf_append(out, "", 1);
    }
    freeReplyObject(reply);
    return SYNK_OK;
}

static const char *next_name(const struct buf *names, size_t *io_at)
{
    if (*io_at >= names->size)
        return NULL;
    const char *name = (const char *)names->data + *io_at;
    *io_at += strlen(name) + 1;
    return name;
}

/* A version goes that is not in force and that no kept run has. */
static enum synk_status look_at_version(struct redis *redis, struct redis_batch *batch,
                                        const char *name, struct synk_error *error)
{
    struct synk_bytes unit;
    uint32_t version;
    char key[256];
    redisReply *reply = NULL;
    if (!redis_split_version(bytes_str(name), &unit, &version))
        return SYNK_OK;
    enum synk_status status =
        redis_ask(redis, "removing what is too old", &reply, error, "HEXISTS", "uses", name, NULL);
    if (status)
        return status;
    bool is_used = reply->integer != 0;
    freeReplyObject(reply);
    if (is_used)
        return SYNK_OK;
    snprintf(key, sizeof(key), "unit:%.*s", (int)unit.size, (const char *)unit.data);
    status =
        redis_ask(redis, "removing what is too old", &reply, error, "HGET", key, "version", NULL);
    if (status)
        return status;
    if (redis_uint(redis_bytes(reply)) != version || reply->type == REDIS_REPLY_NIL)
        add_op(batch, "NODEF", bytes_str(name), NULL);
    freeReplyObject(reply);
    return SYNK_OK;
}

/* Neither a unit in force, nor the pool, nor a paused worker: what stays of a released unit goes
 * when nothing tells of it any more. */
static enum synk_status look_at_unit(struct redis *redis, struct redis_batch *batch,
                                     const char *name, int64_t oldest_at, struct synk_error *error)
{
    char key[256];
    uint64_t runs = 0;
    redisReply *reply = NULL;
    if (strcmp(name, "pool") == 0 || strchr(name, '/'))
        return SYNK_OK;
    snprintf(key, sizeof(key), "unit:%s", name);
    enum synk_status status = redis_ask(redis, "removing what is too old", &reply, error, "HMGET",
                                        key, "version", "due_at", NULL);
    if (status)
        return status;
    bool stays = redis_uint(redis_element(reply, 0)) != 0 ||
                 (int64_t)redis_uint(redis_element(reply, 1)) >= oldest_at;
    freeReplyObject(reply);
    if (stays)
        return SYNK_OK;
    snprintf(key, sizeof(key), "runs:%s", name);
    status = count_of(redis, "ZCARD", key, &runs, error);
    for (size_t at = 0; !status && !runs;) {
        struct synk_bytes unit;
        uint32_t version;
        const char *one = next_name(&redis->removal.versions, &at);
        if (!one)
            break;
        runs += redis_split_version(bytes_str(one), &unit, &version) &&
                bytes_equal(unit, bytes_str(name));
    }
    if (!status && runs == 0)
        add_op(batch, "NOUNIT", bytes_str(name), NULL);
    return status;
}

static enum synk_status oldest_event_at(struct redis *redis, int64_t *ret_at,
                                        struct synk_error *error)
{
    redisReply *reply = NULL;
    *ret_at = INT64_MAX;
    enum synk_status status = redis_ask(redis, "removing what is too old", &reply, error, "XRANGE",
                                        "events", "-", "+", "COUNT", "1", NULL);
    if (status)
        return status;
    if (reply->elements && reply->element[0]->elements == 2)
        *ret_at = (int64_t)redis_uint(redis_element(reply->element[0]->element[1], 5));
    freeReplyObject(reply);
    return SYNK_OK;
}

static enum synk_status remove_versions(struct redis *redis, struct redis_batch *batch,
                                        struct synk_error *error)
{
    struct redis_removal *removal = &redis->removal;
    enum synk_status status = SYNK_OK;
    const char *name = NULL;
    int64_t oldest_at = 0;
    if (!removal->versions_open || removal->runs_open)
        return SYNK_OK;
    if (removal->version_at == 0 && removal->versions.size == 0)
        status = list_names(redis, "HKEYS", "definitions", &removal->versions, error);
    for (int i = 0; i < SLICE_NAMES && !status; i++) {
        if (!(name = next_name(&removal->versions, &removal->version_at)))
            break;
        status = look_at_version(redis, batch, name, error);
    }
    if (status || name)
        return status;
    if (removal->unit_at == 0 && removal->units.size == 0) {
        /* The versions that are left by now. */
        buf_clear(&removal->versions);
        removal->version_at = 0;
        status = list_names(redis, "HKEYS", "definitions", &removal->versions, error);
        removal->version_at = removal->versions.size;
        if (!status)
            status = list_names(redis, "SMEMBERS", "units", &removal->units, error);
    }
    if (!status)
        status = oldest_event_at(redis, &oldest_at, error);
    for (int i = 0; i < SLICE_NAMES && !status; i++) {
        if (!(name = next_name(&removal->units, &removal->unit_at))) {
            removal->versions_open = false;
            break;
        }
        status = look_at_unit(redis, batch, name, oldest_at, error);
    }
    return status;
}

static enum synk_status remove_some(struct redis *redis, struct synk_error *error)
{
    struct redis_batch batch;
    bool hides = false;
    redis_batch_init(&batch);
    enum synk_status status = redis_connect(redis, 0, error);
    if (!status)
        status = remove_runs(redis, &batch, &hides, error);
    if (!status)
        status = remove_tasks(redis, &batch, hides, error);
    if (!status)
        status = remove_events(redis, &batch, error);
    if (!status)
        status = remove_versions(redis, &batch, error);
    if (!status && (batch.part_count || batch.group_rows))
        status = redis_apply(redis, &batch, error);
    redis_batch_fini(&batch);
    return status;
}

/* The server's memory, now and then. */
static void measure(struct redis *redis)
{
    struct redis_settings ignored;
    struct synk_error error;
    uint64_t bytes = 0;
    if (!redis_link_is_connected(redis->link) || ++redis->size_turns < SIZE_TURNS)
        return;
    redis->size_turns = 0;
    if (redis_read_settings(redis->link, &ignored, &bytes, &error) == SYNK_OK)
        atomic_store(&redis->memory_bytes, bytes);
}

bool redis_upkeep(void *backend, bool idle)
{
    struct redis *redis = backend;
    struct redis_removal *removal = &redis->removal;
    struct synk_error why;
    measure(redis);
    if (redis->broken.status || redis->has_unknown || !is_more(removal))
        return false;
    if (!idle && ++removal->busy_turns < BUSY_TURNS)
        return true;
    removal->busy_turns = 0;
    struct redis_removal before = *removal;
    if (remove_some(redis, &why) == SYNK_OK)
        return is_more(removal);
    removal->runs_open = removal->events_open = removal->versions_open = removal->has_removed =
        false;
    removal->removed_runs = before.removed_runs;
    removal->removed_events = before.removed_events;
    removal->failure = why;
    return false;
}
