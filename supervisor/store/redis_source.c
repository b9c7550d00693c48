/*
 * Rows of the server for the pages, some at a time.
 *
 * Invariant: a cursor holds one reply and hands out its rows; the next is asked for when those have
 * ended. How many rows that is follows from their size, because a task's result may be 1 MiB.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "supervisor/store/record_fields.h"
#include "supervisor/store/redis_cursors.h"

enum {
    CHUNK_FIRST = 8,
    CHUNK_SMALL_BYTES = 64 << 10,
    SET_ROWS = 4096,    /* rows of a cursor beyond which its buckets are listed first */
    ATTEMPTS_MAX = 256, /* more than a page shows of one task */
};

struct redis_rows *redis_rows_of(struct redis *redis)
{
    if (!redis->rows)
        redis->rows = mem_zalloc(1, sizeof(*redis->rows));
    return redis->rows;
}

void redis_set_reply(redisReply **place, redisReply *reply)
{
    freeReplyObject(*place);
    *place = reply;
}

static void end_cursor(struct cursor *cursor)
{
    redis_set_reply(&cursor->reply, NULL);
    free(cursor->buckets);
    *cursor = (struct cursor){.chunk = CHUNK_FIRST};
}

void redis_end_rows(void *backend)
{
    redis_read_rest(backend);
    struct redis_rows *rows = redis_rows_of(backend);
    end_cursor(&rows->tasks);
    end_cursor(&rows->workers);
    free(rows->attempts);
    free(rows->runs);
    redis_set_reply(&rows->attempt_reply, NULL);
    redis_set_reply(&rows->run_reply, NULL);
    redis_set_reply(&rows->one_reply, NULL);
    redis_set_reply(&rows->events, NULL);
    *rows = (struct redis_rows){.tasks.chunk = CHUNK_FIRST, .workers.chunk = CHUNK_FIRST};
}

void redis_rows_free(struct redis_rows *rows)
{
    if (!rows)
        return;
    struct redis redis = {.rows = rows};
    redis_end_rows(&redis);
    free(rows);
}

static const char *name_store(void *backend)
{
    return ((const struct redis *)backend)->name;
}

/* Asks with the words behind the key; the reply is an array. */
static enum synk_status ask(struct redis *redis, int count, struct synk_bytes *words,
                            const char *key, const char *doing, redisReply **ret_reply,
                            struct synk_error *error)
{
    struct buf name = {0};
    redisReply *reply = NULL;
    words[1] = redis_key(redis, &name, "%s", key);
    redis_link_append(redis->link, count, words);
    enum synk_status status = redis_link_reply(redis->link, REDIS_REPLY_MS, &reply, error);
    buf_fini(&name);
    if (!status && redis_is_error(reply))
        status = redis_link_fail(redis->link, reply, doing, error);
    if (status) {
        freeReplyObject(reply);
        return status;
    }
    *ret_reply = reply;
    return SYNK_OK;
}

/* ---- rows by number ---- */

static void open_cursor(struct cursor *cursor, uint32_t from, uint32_t end)
{
    end_cursor(cursor);
    cursor->next = from;
    cursor->end = end;
}

/* Which buckets there are, where asking for each that there may be would take too long. */
static enum synk_status list_buckets(struct redis *redis, struct cursor *cursor,
                                     struct synk_error *error)
{
    redisReply *reply = NULL;
    if (cursor->end - cursor->next <= SET_ROWS)
        return SYNK_OK;
    enum synk_status status =
        redis_ask(redis, "reading rows", &reply, error, "SMEMBERS", cursor->name, NULL);
    if (status)
        return status;
    size_t count;
    uint64_t *numbers = redis_numbers(reply, &count);
    cursor->buckets = mem_alloc((count + 1) * sizeof(*cursor->buckets));
    cursor->buckets[cursor->bucket_count++] = 0;
    for (size_t i = 0; i < count; i++)
        if (numbers[i])
            cursor->buckets[cursor->bucket_count++] = (uint32_t)numbers[i];
    free(numbers);
    freeReplyObject(reply);
    return SYNK_OK;
}

/* Moves `next` to the first row of a bucket that there is; false: there is none. */
static bool skip_buckets(struct cursor *cursor)
{
    if (!cursor->buckets)
        return cursor->next < cursor->end;
    uint32_t bucket = cursor->next / REDIS_BUCKET_ROWS;
    while (cursor->bucket_at < cursor->bucket_count && cursor->buckets[cursor->bucket_at] < bucket)
        cursor->bucket_at++;
    if (cursor->bucket_at == cursor->bucket_count)
        return false;
    if (cursor->buckets[cursor->bucket_at] > bucket)
        cursor->next = cursor->buckets[cursor->bucket_at] * REDIS_BUCKET_ROWS;
    return cursor->next < cursor->end;
}

static enum synk_status next_chunk(struct redis *redis, struct cursor *cursor,
                                   struct synk_error *error)
{
    struct synk_bytes words[2 + REDIS_BUCKET_ROWS];
    char key[sizeof(cursor->name) + 12], numbers[REDIS_BUCKET_ROWS][12];
    uint32_t bucket = cursor->next / REDIS_BUCKET_ROWS;
    uint32_t end = (bucket + 1) * REDIS_BUCKET_ROWS;
    int count = 2;
    end = end < cursor->end ? end : cursor->end;
    end = cursor->next + cursor->chunk < end ? cursor->next + cursor->chunk : end;
    snprintf(key, sizeof(key), "%s:%" PRIu32, cursor->name, bucket);
    words[0] = bytes_str("HMGET");
    for (uint32_t row = cursor->next; row < end; row++, count++) {
        snprintf(numbers[count - 2], sizeof(numbers[0]), "%" PRIu32, row);
        words[count] = bytes_str(numbers[count - 2]);
    }
    redisReply *reply = NULL;
    enum synk_status status = ask(redis, count, words, key, "reading rows", &reply, error);
    if (status)
        return status;
    size_t bytes = 0;
    for (size_t i = 0; i < reply->elements; i++)
        bytes += reply->element[i]->len;
    if (bytes < CHUNK_SMALL_BYTES && cursor->chunk < REDIS_BUCKET_ROWS)
        cursor->chunk *= 2;
    else if (bytes > 8 * CHUNK_SMALL_BYTES && cursor->chunk > 1)
        cursor->chunk /= 2;
    redis_set_reply(&cursor->reply, reply);
    cursor->first = cursor->next;
    cursor->at = 0;
    cursor->next = end;
    return SYNK_OK;
}

/* The next row that there is: its number and bytes. */
static enum page_step next_packed(struct redis *redis, struct cursor *cursor, uint32_t *ret_row,
                                  struct synk_bytes *ret_packed, struct synk_error *error)
{
    for (;;) {
        while (cursor->reply && cursor->at < cursor->reply->elements) {
            size_t at = cursor->at++;
            if (cursor->reply->element[at]->type == REDIS_REPLY_NIL)
                continue;
            *ret_row = cursor->first + (uint32_t)at;
            *ret_packed = redis_element(cursor->reply, at);
            return STEP_ROW;
        }
        if (!skip_buckets(cursor))
            return STEP_END;
        if (next_chunk(redis, cursor, error) != SYNK_OK)
            return STEP_FAILED;
    }
}

/* ---- runs, definitions, workers ---- */

static enum page_step get_hash(struct redis *redis, const char *key, struct record *ret_record,
                               struct synk_error *error)
{
    struct redis_rows *rows = redis_rows_of(redis);
    redisReply *reply = NULL;
    if (redis_ask(redis, "looking for a run", &reply, error, "HGETALL", key, NULL) != SYNK_OK)
        return STEP_FAILED;
    redis_set_reply(&rows->one_reply, reply);
    if (reply->elements == 0)
        return STEP_END;
    return redis_hash_record(reply, ret_record) ? STEP_BAD : STEP_ROW;
}

static enum page_step get_run(void *backend, uint64_t run, struct record *ret_record,
                              struct synk_error *error)
{
    char key[40];
    *ret_record = (struct record){.kind = RECORD_RUN};
    ret_record->run.run = run;
    snprintf(key, sizeof(key), "run:%" PRIu64, run);
    return get_hash(backend, key, ret_record, error);
}

static enum page_step find_run(void *backend, struct synk_bytes unit, struct synk_bytes worker,
                               uint64_t number, struct record *ret_record, struct synk_error *error)
{
    struct run_record label = {.unit = unit, .worker = worker};
    struct buf key = {0};
    char text[24];
    redisReply *reply = NULL;
    buf_printf(&key, "numbers:");
    redis_print_label(&key, &label);
    buf_append(&key, "", 1);
    snprintf(text, sizeof(text), "%" PRIu64, number);
    enum synk_status status =
        redis_ask(backend, "looking for a run", &reply, error, "ZREVRANGEBYSCORE", (char *)key.data,
                  number ? text : "+inf", number ? text : "-inf", "LIMIT", "0", "1", NULL);
    buf_fini(&key);
    if (status)
        return STEP_FAILED;
    uint64_t run = reply->elements ? redis_uint(redis_element(reply, 0)) : 0;
    bool is_found = reply->elements != 0;
    freeReplyObject(reply);
    return is_found ? get_run(backend, run, ret_record, error) : STEP_END;
}

static enum page_step get_definition(void *backend, struct synk_bytes unit, uint32_t version,
                                     struct record *ret_record, struct synk_error *error)
{
    struct redis *redis = backend;
    char name[LIMIT_ID_BYTES + 16];
    redisReply *reply = NULL;
    *ret_record = (struct record){.kind = RECORD_DEFINITION};
    ret_record->definition.unit = unit;
    ret_record->definition.version = version;
    snprintf(name, sizeof(name), "%.*s@%" PRIu32, (int)unit.size, (const char *)unit.data, version);
    if (redis_ask(redis, "reading a run", &reply, error, "HGET", "definitions", name, NULL) !=
        SYNK_OK)
        return STEP_FAILED;
    redis_set_reply(&redis_rows_of(redis)->one_reply, reply);
    if (reply->type == REDIS_REPLY_NIL)
        return STEP_END;
    return record_unpack(redis_bytes(reply), ret_record) ? STEP_BAD : STEP_ROW;
}

static enum page_step unpack_worker(struct redis_rows *rows, uint32_t index,
                                    struct synk_bytes packed, struct record *ret_record)
{
    *ret_record = (struct record){.kind = RECORD_WORKER};
    ret_record->worker.unit = rows->worker_unit;
    ret_record->worker.version = rows->worker_version;
    ret_record->worker.index = index;
    return record_unpack(packed, ret_record) ? STEP_BAD : STEP_ROW;
}

static void begin_workers(struct redis_rows *rows, struct synk_bytes unit, uint32_t version,
                          uint32_t from, uint32_t end)
{
    char name[sizeof(rows->workers.name)];
    size_t size = unit.size <= LIMIT_ID_BYTES ? unit.size : LIMIT_ID_BYTES;
    snprintf(name, sizeof(name), "workers:%.*s@%" PRIu32, (int)size, (const char *)unit.data,
             version);
    open_cursor(&rows->workers, from, end);
    memcpy(rows->workers.name, name, sizeof(name));
    memcpy(rows->worker_unit_text, unit.data, size);
    rows->worker_unit = bytes_of(rows->worker_unit_text, size);
    rows->worker_version = version;
}

static enum page_step next_worker(void *backend, struct record *ret_record,
                                  struct synk_error *error)
{
    struct redis_rows *rows = redis_rows_of(backend);
    uint32_t index = 0;
    struct synk_bytes packed;
    enum page_step step = next_packed(backend, &rows->workers, &index, &packed, error);
    return step == STEP_ROW ? unpack_worker(rows, index, packed, ret_record) : step;
}

/* Pages ask for one worker after the other: the cursor goes on where it stands. */
static enum page_step get_worker(void *backend, struct synk_bytes unit, uint32_t version,
                                 uint32_t index, struct record *ret_record,
                                 struct synk_error *error)
{
    struct redis_rows *rows = redis_rows_of(backend);
    struct cursor *cursor = &rows->workers;
    bool is_here = cursor->reply && rows->worker_version == version &&
                   bytes_equal(rows->worker_unit, unit) && index >= cursor->first &&
                   index - cursor->first < cursor->reply->elements;
    if (!is_here) {
        begin_workers(rows, unit, version, index, UINT32_MAX);
        cursor->chunk = REDIS_BUCKET_ROWS / 4;
        if (next_chunk(backend, cursor, error) != SYNK_OK)
            return STEP_FAILED;
    }
    const redisReply *row = cursor->reply->element[index - cursor->first];
    if (row->type == REDIS_REPLY_NIL)
        return STEP_END;
    return unpack_worker(rows, index, redis_bytes(row), ret_record);
}

static enum synk_status open_workers(void *backend, struct synk_bytes unit, uint32_t version,
                                     struct synk_error *error)
{
    struct redis_rows *rows = redis_rows_of(backend);
    begin_workers(rows, unit, version, 0, UINT32_MAX);
    return list_buckets(backend, &rows->workers, error);
}

/* ---- tasks and attempts ---- */

static enum synk_status open_tasks(void *backend, uint64_t run, uint32_t from, uint32_t end,
                                   struct synk_error *error)
{
    struct redis_rows *rows = redis_rows_of(backend);
    open_cursor(&rows->tasks, from, end);
    snprintf(rows->tasks.name, sizeof(rows->tasks.name), "tasks:%" PRIu64, run);
    rows->task_run = run;
    return list_buckets(backend, &rows->tasks, error);
}

static enum page_step next_task(void *backend, struct record *ret_record, struct synk_error *error)
{
    struct redis_rows *rows = redis_rows_of(backend);
    struct synk_bytes packed;
    *ret_record = (struct record){.kind = RECORD_TASK};
    ret_record->task.run = rows->task_run;
    enum page_step step =
        next_packed(backend, &rows->tasks, &ret_record->task.task, &packed, error);
    if (step != STEP_ROW)
        return step;
    return record_unpack(packed, ret_record) ? STEP_BAD : STEP_ROW;
}

static void append_member(void *context, size_t index)
{
    struct redis *redis = context;
    const struct redis_rows *rows = redis->rows;
    struct buf key = {0};
    char task[12];
    snprintf(task, sizeof(task), "%" PRIu32, rows->attempts_base + (uint32_t)index);
    struct synk_bytes words[] = {
        bytes_str("SISMEMBER"),
        redis_key(redis, &key, "attempts:%" PRIu64, rows->attempts_run),
        bytes_str(task),
    };
    redis_link_append(redis->link, 3, words);
    buf_fini(&key);
}

static enum synk_status take_member(void *context, size_t index, const redisReply *reply,
                                    struct synk_error *error)
{
    (void)error;
    struct redis_rows *rows = ((struct redis *)context)->rows;
    if (reply->integer)
        rows->attempts_mask |= UINT64_C(1) << index;
    return SYNK_OK;
}

/* Whether the task has attempts; asked for 64 tasks at once. */
static enum synk_status has_attempts(struct redis *redis, uint64_t run, uint32_t task,
                                     bool *ret_has, struct synk_error *error)
{
    struct redis_rows *rows = redis_rows_of(redis);
    uint32_t base = task / 64 * 64;
    if (!rows->has_mask || rows->attempts_run != run || rows->attempts_base != base) {
        rows->attempts_run = run;
        rows->attempts_base = base;
        rows->attempts_mask = 0;
        enum synk_status status =
            redis_each(redis, 64, redis, append_member, take_member, "reading attempts", error);
        if (status)
            return status;
        rows->has_mask = true;
    }
    *ret_has = rows->attempts_mask >> (task - base) & 1;
    return SYNK_OK;
}

static enum synk_status read_attempts(struct redis *redis, const char *key,
                                      struct synk_error *error)
{
    struct redis_rows *rows = redis_rows_of(redis);
    struct synk_bytes words[2 + ATTEMPTS_MAX];
    char numbers[ATTEMPTS_MAX][12];
    redisReply *reply = NULL;
    enum synk_status status =
        redis_ask(redis, "reading attempts", &reply, error, "HKEYS", key, NULL);
    if (status)
        return status;
    size_t all;
    uint64_t *ascending = redis_numbers(reply, &all);
    size_t count = all < ATTEMPTS_MAX ? all : ATTEMPTS_MAX;
    freeReplyObject(reply);
    reply = NULL;
    for (size_t i = 0; i < count; i++) {
        snprintf(numbers[i], sizeof(numbers[0]), "%" PRIu32, (uint32_t)ascending[all - 1 - i]);
        words[2 + i] = bytes_str(numbers[i]);
    }
    rows->attempts = mem_alloc((count + 1) * sizeof(*rows->attempts));
    for (size_t i = 0; i < count; i++)
        rows->attempts[i] = ascending[all - 1 - i];
    free(ascending);
    words[0] = bytes_str("HMGET");
    if (count)
        status = ask(redis, 2 + (int)count, words, key, "reading attempts", &reply, error);
    if (status)
        return status;
    rows->attempt_count = count;
    redis_set_reply(&rows->attempt_reply, reply);
    return SYNK_OK;
}

static enum synk_status open_attempts(void *backend, uint64_t run, uint32_t task,
                                      struct synk_error *error)
{
    struct redis_rows *rows = redis_rows_of(backend);
    char key[48];
    bool has = false;
    free(rows->attempts);
    rows->attempts = NULL;
    rows->attempt_count = 0;
    rows->attempts_task = task;
    redis_set_reply(&rows->attempt_reply, NULL);
    enum synk_status status = has_attempts(backend, run, task, &has, error);
    if (status || !has)
        return status;
    snprintf(key, sizeof(key), "attempts:%" PRIu64 ":%" PRIu32, run, task);
    return read_attempts(backend, key, error);
}

static enum page_step next_attempt(void *backend, struct record *ret_record,
                                   struct synk_error *error)
{
    (void)error;
    struct redis_rows *rows = redis_rows_of(backend);
    if (rows->attempt_count == 0)
        return STEP_END;
    size_t at = rows->attempt_reply->elements - rows->attempt_count--;
    *ret_record = (struct record){.kind = RECORD_ATTEMPT};
    ret_record->attempt.run = rows->attempts_run;
    ret_record->attempt.task = rows->attempts_task;
    ret_record->attempt.attempt = (uint32_t)rows->attempts[at];
    struct synk_bytes packed = redis_element(rows->attempt_reply, at);
    return packed.size == 0 || record_unpack(packed, ret_record) ? STEP_BAD : STEP_ROW;
}

static enum synk_status event_bounds(void *backend, uint64_t *ret_first, uint64_t *ret_last,
                                     struct synk_error *error)
{
    return redis_event_bounds(backend, ret_first, ret_last, error);
}

struct page_source redis_source(struct redis *redis)
{
    return (struct page_source){
        .backend = redis,
        .name = name_store,
        .get_run = get_run,
        .find_run = find_run,
        .get_definition = get_definition,
        .get_worker = get_worker,
        .open_workers = open_workers,
        .next_worker = next_worker,
        .open_tasks = open_tasks,
        .next_task = next_task,
        .open_attempts = open_attempts,
        .next_attempt = next_attempt,
        .open_runs = redis_open_runs,
        .next_run = redis_next_run,
        .open_events = redis_open_events,
        .next_events = redis_next_events,
        .event_bounds = event_bounds,
        .end_rows = redis_end_rows,
    };
}
