/*
 * Lists of runs and of events, some rows at a time. Runs are asked for in chunks, without the
 * fields that may be large; the replies of a chunk are read one by one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "supervisor/store/record_fields.h"
#include "supervisor/store/redis_cursors.h"

enum {
    RUNS_CHUNK = 100,
    EVENTS_CHUNK = 8,
};

enum synk_status redis_open_runs(void *backend, uint64_t cursor, struct synk_bytes unit,
                                 struct synk_error *error)
{
    (void)error;
    struct redis_rows *rows = redis_rows_of(backend);
    if (unit.size)
        snprintf(rows->runs_set, sizeof(rows->runs_set), "runs:%.*s", (int)unit.size,
                 (const char *)unit.data);
    else
        snprintf(rows->runs_set, sizeof(rows->runs_set), "runs");
    rows->runs_cursor = cursor;
    rows->run_count = rows->run_at = 0;
    rows->runs_end = false;
    return SYNK_OK;
}

static enum synk_status list_runs(struct redis *redis, struct synk_error *error)
{
    struct redis_rows *rows = redis_rows_of(redis);
    char from[24] = "+inf", limit[12];
    redisReply *reply = NULL;
    if (rows->runs_cursor)
        snprintf(from, sizeof(from), "(%" PRIu64, rows->runs_cursor);
    snprintf(limit, sizeof(limit), "%d", RUNS_CHUNK);
    enum synk_status status = redis_ask(redis, "listing runs", &reply, error, "ZREVRANGEBYSCORE",
                                        rows->runs_set, from, "-inf", "LIMIT", "0", limit, NULL);
    if (status)
        return status;
    free(rows->runs);
    rows->runs = redis_numbers(reply, &rows->run_count);
    rows->run_at = 0;
    rows->runs_end = rows->run_count < RUNS_CHUNK;
    if (rows->run_count)
        rows->runs_cursor = rows->runs[0];
    freeReplyObject(reply);
    return SYNK_OK;
}

/* The fields of a run that a list shows: all but those that may be large. */
static int list_fields(const struct record_field **ret_fields)
{
    const struct record_shape *shape = &record_shapes[RECORD_RUN];
    int count = 0;
    for (int i = shape->key_count; i < shape->field_count; i++)
        if (shape->fields[i].type != FIELD_BLOB && shape->fields[i].type != FIELD_VALUE)
            ret_fields[count++] = &shape->fields[i];
    return count;
}

static uint64_t run_at(const struct redis_rows *rows, size_t index)
{
    return rows->runs[rows->run_count - 1 - index]; /* the newest first */
}

static void append_listed(void *context, size_t index)
{
    struct redis *redis = context;
    const struct record_field *fields[64];
    struct synk_bytes words[66];
    struct buf key = {0};
    int count = list_fields(fields);
    words[0] = bytes_str("HMGET");
    words[1] = redis_key(redis, &key, "run:%" PRIu64, run_at(redis->rows, index));
    for (int i = 0; i < count; i++)
        words[2 + i] = bytes_str(fields[i]->name);
    redis_link_append(redis->link, 2 + count, words);
    buf_fini(&key);
}

static enum page_step take_listed(struct redis *redis, struct record *ret_record,
                                  struct synk_error *error)
{
    struct redis_rows *rows = redis->rows;
    const struct record_field *fields[64];
    redisReply *reply = NULL, names[64], *pairs[128];
    int count = list_fields(fields);
    *ret_record = (struct record){.kind = RECORD_RUN};
    ret_record->run.run = run_at(rows, rows->run_at++);
    if (redis_link_reply(redis->link, REDIS_REPLY_MS, &reply, error) != SYNK_OK)
        return STEP_FAILED;
    redis_set_reply(&rows->run_reply, reply);
    if (redis_is_error(reply)) {
        redis_link_fail(redis->link, reply, "listing runs", error);
        redis_link_drop(redis->link);
        return STEP_FAILED;
    }
    if (reply->elements != (size_t)count)
        return STEP_BAD;
    for (int i = 0; i < count; i++) {
        names[i] = (redisReply){.type = REDIS_REPLY_STRING,
                                .str = (char *)fields[i]->name,
                                .len = strlen(fields[i]->name)};
        pairs[2 * i] = &names[i];
        pairs[2 * i + 1] = reply->element[i];
    }
    redisReply hash = {.type = REDIS_REPLY_ARRAY, .elements = 2 * (size_t)count, .element = pairs};
    return redis_hash_record(&hash, ret_record) ? STEP_BAD : STEP_ROW;
}

/* A chunk is asked for whole, and its replies are read one by one: redis_end_rows reads the rest.
 */
enum page_step redis_next_run(void *backend, struct record *ret_record, struct synk_error *error)
{
    struct redis *redis = backend;
    struct redis_rows *rows = redis_rows_of(redis);
    if (rows->run_at == rows->run_count) {
        if (rows->runs_end)
            return STEP_END;
        if (list_runs(redis, error) != SYNK_OK)
            return STEP_FAILED;
        if (rows->run_count == 0)
            return STEP_END;
        for (size_t i = 0; i < rows->run_count; i++)
            append_listed(redis, i);
    }
    return take_listed(redis, ret_record, error);
}

enum synk_status redis_open_events(void *backend, uint64_t from, struct synk_error *error)
{
    (void)error;
    struct redis_rows *rows = redis_rows_of(backend);
    redis_set_reply(&rows->events, NULL);
    rows->event_at = 0;
    snprintf(rows->events_from, sizeof(rows->events_from), "(%" PRIu64 "-0", from);
    return SYNK_OK;
}

enum page_step redis_next_events(void *backend, struct event_row *ret_row, struct synk_error *error)
{
    struct redis_rows *rows = redis_rows_of(backend);
    if (!rows->events || rows->event_at == rows->events->elements) {
        char count[12];
        redisReply *reply = NULL;
        if (rows->events && rows->events->elements < EVENTS_CHUNK)
            return STEP_END;
        snprintf(count, sizeof(count), "%d", EVENTS_CHUNK);
        if (redis_ask(backend, "reading events", &reply, error, "XRANGE", "events",
                      rows->events_from, "+", "COUNT", count, NULL) != SYNK_OK)
            return STEP_FAILED;
        redis_set_reply(&rows->events, reply);
        rows->event_at = 0;
        if (reply->elements == 0)
            return STEP_END;
    }
    const redisReply *entry = rows->events->element[rows->event_at++];
    struct synk_bytes id = redis_element(entry, 0);
    const redisReply *fields = entry->elements == 2 ? entry->element[1] : NULL;
    snprintf(rows->events_from, sizeof(rows->events_from), "(%.*s", (int)id.size,
             (const char *)id.data);
    if (!fields || fields->elements < 8)
        return STEP_BAD;
    *ret_row = (struct event_row){.first = redis_uint(redis_element(fields, 1)),
                                  .last = redis_uint(id),
                                  .items = redis_element(fields, 7)};
    return STEP_ROW;
}

enum synk_status redis_event_bounds(struct redis *redis, uint64_t *ret_first, uint64_t *ret_last,
                                    struct synk_error *error)
{
    redisReply *reply = NULL;
    enum synk_status status =
        redis_ask(redis, "reading events", &reply, error, "HGET", "state", "last_event", NULL);
    if (status)
        return status;
    *ret_last = redis_uint(redis_bytes(reply));
    freeReplyObject(reply);
    status = redis_ask(redis, "reading events", &reply, error, "XRANGE", "events", "-", "+",
                       "COUNT", "1", NULL);
    if (status)
        return status;
    *ret_first = *ret_last + 1;
    if (reply->elements && reply->element[0]->elements == 2)
        *ret_first = redis_uint(redis_element(reply->element[0]->element[1], 1));
    freeReplyObject(reply);
    return SYNK_OK;
}

void redis_read_rest(struct redis *redis)
{
    struct redis_rows *rows = redis_rows_of(redis);
    struct synk_error error;
    while (rows->run_at < rows->run_count && redis->link && redis_link_is_connected(redis->link)) {
        redisReply *reply = NULL;
        if (redis_link_reply(redis->link, REDIS_REPLY_MS, &reply, &error) != SYNK_OK)
            break;
        freeReplyObject(reply);
        rows->run_at++;
    }
}
