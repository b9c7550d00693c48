/*
 * Questions to the server, and the results that a dispatch needs.
 */
#include <inttypes.h>
#include <stdio.h>

#include "supervisor/store/pages.h"
#include "supervisor/store/record_fields.h"
#include "supervisor/store/redis.h"

enum {
    VALUES_CHUNK = 16,
    QUERY_MS = 500, /* that a question waits for a server that is away */
    /* Longer than the longest pause between two tries: whoever asks again at once waits here. */
    VALUES_MS = 1500,
};

enum synk_status redis_query(void *backend, const struct query *query, struct arena *arena,
                             struct buf *body, struct store_answer *answer,
                             struct synk_error *error)
{
    struct redis *redis = backend;
    struct page_source source = redis_source(redis);
    if (query->kind == QUERY_PRUNE)
        return redis_query_prune(redis, answer, error);
    enum synk_status status = redis_connect(redis, redis_now_ms() + QUERY_MS, error);
    if (status)
        return status;
    if (query->kind == QUERY_BACKUP)
        return store_backup(&redis_store_ops, redis, query, body, error);
    if (query->kind == QUERY_LOAD_RUN) {
        /* It may be about to go on: none is removed until the owner has said so. */
        redis->removal.interrupted |= redis->removal.runs_open;
        redis->removal.runs_open = false;
    }
    status = pages_query(&source, query, arena, body, answer, error);
    redis_end_rows(redis); /* after a failure too */
    return status;
}

struct reading {
    struct redis *redis;
    const struct value_ref *refs;
    struct arena *arena;
    struct synk_bytes *values;
};

static void append_value(void *context, size_t index)
{
    const struct reading *reading = context;
    const struct value_ref *ref = &reading->refs[index];
    struct buf key = {0};
    char task[12];
    snprintf(task, sizeof(task), "%" PRIu32, ref->task);
    struct synk_bytes words[] = {
        bytes_str("HGET"),
        redis_key(reading->redis, &key, "tasks:%" PRIu64 ":%" PRIu32, ref->run,
                  ref->task / REDIS_BUCKET_ROWS),
        bytes_str(task),
    };
    redis_link_append(reading->redis->link, 3, words);
    words[0] = bytes_str("EXISTS");
    words[1] = redis_key(reading->redis, &key, "run:%" PRIu64, ref->run);
    redis_link_append(reading->redis->link, 2, words);
    buf_fini(&key);
}

static enum synk_status take_value(struct reading *reading, size_t index, const redisReply *task,
                                   const redisReply *run, struct synk_error *error)
{
    const struct value_ref *ref = &reading->refs[index];
    struct record record = {.kind = RECORD_TASK};
    reading->values[index] = bytes_of(NULL, 0);
    if (run->integer == 0)
        return status_fail(error, SYNK_NOT_FOUND, "run number %" PRIu64 " is not kept any more",
                           ref->run);
    if (task->type == REDIS_REPLY_NIL)
        return SYNK_OK;
    const char *problem = record_unpack(redis_bytes(task), &record);
    if (problem)
        return status_fail(error, SYNK_CORRUPT, "store '%s': task %" PRIu64 ".%" PRIu32 ": %s",
                           reading->redis->name, ref->run, ref->task, problem);
    reading->values[index] = arena_copy(reading->arena, record.task.result);
    return SYNK_OK;
}

static enum synk_status read_values(struct reading *reading, size_t first, size_t end,
                                    struct synk_error *error)
{
    struct redis_link *link = reading->redis->link;
    enum synk_status status = SYNK_OK;
    for (size_t i = first; i < end; i++)
        append_value(reading, i);
    for (size_t i = first; i < end && !status; i++) {
        redisReply *task = NULL, *run = NULL;
        status = redis_link_reply(link, REDIS_REPLY_MS, &task, error);
        if (!status)
            status = redis_link_reply(link, REDIS_REPLY_MS, &run, error);
        const redisReply *failed = status                 ? NULL
                                   : redis_is_error(task) ? task
                                   : redis_is_error(run)  ? run
                                                          : NULL;
        if (failed)
            status = redis_link_fail(link, failed, "reading a result", error);
        else if (!status)
            status = take_value(reading, i, task, run, error);
        freeReplyObject(task);
        freeReplyObject(run);
    }
    if (status)
        redis_link_drop(link);
    return status;
}

enum synk_status redis_values(void *backend, const struct value_ref *refs, size_t count,
                              struct arena *arena, struct synk_bytes *ret_values,
                              struct synk_error *error)
{
    struct redis *redis = backend;
    struct reading reading = {redis, refs, arena, ret_values};
    enum synk_status status =
        count ? redis_connect(redis, redis_now_ms() + VALUES_MS, error) : SYNK_OK;
    for (size_t first = 0; first < count && !status; first += VALUES_CHUNK) {
        size_t end = first + VALUES_CHUNK < count ? first + VALUES_CHUNK : count;
        status = read_values(&reading, first, end, error);
    }
    if (status == SYNK_CORRUPT || status == SYNK_IO) {
        /* What a task was given wrongly must not be recorded: nothing more is. */
        redis->broken = *error;
        redis->broken.status = SYNK_IO;
    }
    if (status == SYNK_REFUSED)
        status = error->status = SYNK_STORE_DOWN;
    return status;
}
