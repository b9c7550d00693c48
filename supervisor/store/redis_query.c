/*
 * Answers from the server: rows for the pages, some at a time, and the results that a dispatch
 * needs.
 *
 * Invariant: a cursor holds one reply and hands out its rows; the next is asked for when those have
 * ended. How many rows that is follows from their size, because a task's result may be 1 MiB.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/limits.h"
#include "supervisor/store/pages.h"
#include "supervisor/store/record_fields.h"
#include "supervisor/store/redis.h"

enum {
    CHUNK_FIRST = 8,
    CHUNK_SMALL_BYTES = 64 << 10,
    RUNS_CHUNK = 100,
    EVENTS_CHUNK = 8,
    VALUES_CHUNK = 16,
    ATTEMPTS_MAX = 256, /* more than a page shows of one task */
    QUERY_MS = 500,     /* that a question waits for a server that is away */
    VALUES_MS = 1500,   /* longer than the longest pause between two tries: whoever asks at once
                           again then waits here */
    SET_ROWS = 4096,
};

/* Rows by number, in chunks of one bucket. */
struct cursor {
    char name[LIMIT_ID_BYTES + 48]; /* "tasks:N", "workers:UNIT@V" */
    uint32_t next, end;             /* the rows that are not asked for yet */
    uint32_t chunk;
    uint32_t *buckets; /* NULL: any there may be, else those that there are */
    size_t bucket_count, bucket_at;
    uint32_t first; /* of the rows in the reply */
    size_t at;
    redisReply *reply;
};

struct redis_rows {
    struct cursor tasks, workers;
    struct synk_bytes worker_unit;
    char worker_unit_text[LIMIT_ID_BYTES + 1];
    uint32_t worker_version;
    uint64_t task_run;
    /* Attempts: which of 64 tasks have any, and those of one. */
    uint64_t attempts_run, attempts_mask;
    uint32_t attempts_base, attempts_task;
    bool has_mask;
    uint64_t *attempts;
    size_t attempt_count;
    redisReply *attempt_reply;
    /* Runs */
    char runs_set[LIMIT_ID_BYTES + 8];
    uint64_t runs_cursor;
    uint64_t *runs;
    size_t run_count, run_at;
    bool runs_end;
    redisReply *run_reply, *one_reply;
    /* Events */
    char events_from[40];
    redisReply *events;
    size_t event_at;
};

static struct redis_rows *rows_of(struct redis *redis)
{
    if (!redis->rows)
        redis->rows = mem_zalloc(1, sizeof(*redis->rows));
    return redis->rows;
}

static void set_reply(redisReply **place, redisReply *reply)
{
    freeReplyObject(*place);
    *place = reply;
}

static void end_cursor(struct cursor *cursor)
{
    set_reply(&cursor->reply, NULL);
    free(cursor->buckets);
    *cursor = (struct cursor){.chunk = CHUNK_FIRST};
}

/* Replies of a list that was not read to its end must not be taken for the next answers. */
static void read_rest(struct redis *redis)
{
    struct redis_rows *rows = rows_of(redis);
    struct synk_error error;
    while (rows->run_at < rows->run_count && redis->link &&
           redis_link_is_connected(redis->link)) {
        redisReply *reply = NULL;
        if (redis_link_reply(redis->link, REDIS_REPLY_MS, &reply, &error) != SYNK_OK)
            break;
        freeReplyObject(reply);
        rows->run_at++;
    }
}

static void end_rows(void *backend)
{
    read_rest(backend);
    struct redis_rows *rows = rows_of(backend);
    end_cursor(&rows->tasks);
    end_cursor(&rows->workers);
    free(rows->attempts);
    free(rows->runs);
    set_reply(&rows->attempt_reply, NULL);
    set_reply(&rows->run_reply, NULL);
    set_reply(&rows->one_reply, NULL);
    set_reply(&rows->events, NULL);
    *rows = (struct redis_rows){.tasks.chunk = CHUNK_FIRST, .workers.chunk = CHUNK_FIRST};
}

void redis_rows_free(struct redis_rows *rows)
{
    if (!rows)
        return;
    struct redis redis = {.rows = rows};
    end_rows(&redis);
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
    set_reply(&cursor->reply, reply);
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
    struct redis_rows *rows = rows_of(redis);
    redisReply *reply = NULL;
    if (redis_ask(redis, "looking for a run", &reply, error, "HGETALL", key, NULL) != SYNK_OK)
        return STEP_FAILED;
    set_reply(&rows->one_reply, reply);
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
                               uint64_t number, struct record *ret_record,
                               struct synk_error *error)
{
    struct run_record label = {.unit = unit, .worker = worker};
    struct buf key = {0};
    char text[24];
    redisReply *reply = NULL;
    buf_printf(&key, "numbers:");
    redis_print_label(&key, &label);
    buf_append(&key, "", 1);
    snprintf(text, sizeof(text), "%" PRIu64, number);
    enum synk_status status = redis_ask(
        backend, "looking for a run", &reply, error, "ZREVRANGEBYSCORE", (char *)key.data,
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
    set_reply(&rows_of(redis)->one_reply, reply);
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
    struct redis_rows *rows = rows_of(backend);
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
    struct redis_rows *rows = rows_of(backend);
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
    struct redis_rows *rows = rows_of(backend);
    begin_workers(rows, unit, version, 0, UINT32_MAX);
    return list_buckets(backend, &rows->workers, error);
}

/* ---- tasks and attempts ---- */

static enum synk_status open_tasks(void *backend, uint64_t run, uint32_t from, uint32_t end,
                                   struct synk_error *error)
{
    struct redis_rows *rows = rows_of(backend);
    open_cursor(&rows->tasks, from, end);
    snprintf(rows->tasks.name, sizeof(rows->tasks.name), "tasks:%" PRIu64, run);
    rows->task_run = run;
    return list_buckets(backend, &rows->tasks, error);
}

static enum page_step next_task(void *backend, struct record *ret_record, struct synk_error *error)
{
    struct redis_rows *rows = rows_of(backend);
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
static enum synk_status has_attempts(struct redis *redis, uint64_t run, uint32_t task, bool *ret_has,
                                     struct synk_error *error)
{
    struct redis_rows *rows = rows_of(redis);
    uint32_t base = task / 64 * 64;
    if (!rows->has_mask || rows->attempts_run != run || rows->attempts_base != base) {
        rows->attempts_run = run;
        rows->attempts_base = base;
        rows->attempts_mask = 0;
        enum synk_status status = redis_each(redis, 64, redis, append_member, take_member,
                                             "reading attempts", error);
        if (status)
            return status;
        rows->has_mask = true;
    }
    *ret_has = rows->attempts_mask >> (task - base) & 1;
    return SYNK_OK;
}

static enum synk_status read_attempts(struct redis *redis, const char *key, struct synk_error *error)
{
    struct redis_rows *rows = rows_of(redis);
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
    set_reply(&rows->attempt_reply, reply);
    return SYNK_OK;
}

static enum synk_status open_attempts(void *backend, uint64_t run, uint32_t task,
                                      struct synk_error *error)
{
    struct redis_rows *rows = rows_of(backend);
    char key[48];
    bool has = false;
    free(rows->attempts);
    rows->attempts = NULL;
    rows->attempt_count = 0;
    rows->attempts_task = task;
    set_reply(&rows->attempt_reply, NULL);
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
    struct redis_rows *rows = rows_of(backend);
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

/* ---- lists ---- */

static enum synk_status open_runs(void *backend, uint64_t cursor, struct synk_bytes unit,
                                  struct synk_error *error)
{
    (void)error;
    struct redis_rows *rows = rows_of(backend);
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
    struct redis_rows *rows = rows_of(redis);
    char from[24] = "+inf", limit[12];
    redisReply *reply = NULL;
    if (rows->runs_cursor)
        snprintf(from, sizeof(from), "(%" PRIu64, rows->runs_cursor);
    snprintf(limit, sizeof(limit), "%d", RUNS_CHUNK);
    enum synk_status status =
        redis_ask(redis, "listing runs", &reply, error, "ZREVRANGEBYSCORE", rows->runs_set, from,
                  "-inf", "LIMIT", "0", limit, NULL);
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
    set_reply(&rows->run_reply, reply);
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
    redisReply hash = {
        .type = REDIS_REPLY_ARRAY, .elements = 2 * (size_t)count, .element = pairs};
    return redis_hash_record(&hash, ret_record) ? STEP_BAD : STEP_ROW;
}

/* A chunk is asked for whole, and its replies are read one by one: end_rows reads the rest. */
static enum page_step next_run(void *backend, struct record *ret_record, struct synk_error *error)
{
    struct redis *redis = backend;
    struct redis_rows *rows = rows_of(redis);
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

static enum synk_status open_events(void *backend, uint64_t from, struct synk_error *error)
{
    (void)error;
    struct redis_rows *rows = rows_of(backend);
    set_reply(&rows->events, NULL);
    rows->event_at = 0;
    snprintf(rows->events_from, sizeof(rows->events_from), "(%" PRIu64 "-0", from);
    return SYNK_OK;
}

static enum page_step next_events(void *backend, struct event_row *ret_row,
                                  struct synk_error *error)
{
    struct redis_rows *rows = rows_of(backend);
    if (!rows->events || rows->event_at == rows->events->elements) {
        char count[12];
        redisReply *reply = NULL;
        if (rows->events && rows->events->elements < EVENTS_CHUNK)
            return STEP_END;
        snprintf(count, sizeof(count), "%d", EVENTS_CHUNK);
        if (redis_ask(backend, "reading events", &reply, error, "XRANGE", "events",
                      rows->events_from, "+", "COUNT", count, NULL) != SYNK_OK)
            return STEP_FAILED;
        set_reply(&rows->events, reply);
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
    status = redis_ask(redis, "reading events", &reply, error, "XRANGE", "events", "-", "+", "COUNT",
                       "1", NULL);
    if (status)
        return status;
    *ret_first = *ret_last + 1;
    if (reply->elements && reply->element[0]->elements == 2)
        *ret_first = redis_uint(redis_element(reply->element[0]->element[1], 1));
    freeReplyObject(reply);
    return SYNK_OK;
}

static enum synk_status event_bounds(void *backend, uint64_t *ret_first, uint64_t *ret_last,
                                     struct synk_error *error)
{
    return redis_event_bounds(backend, ret_first, ret_last, error);
}

/* ---- the questions ---- */

static struct page_source source_of(struct redis *redis)
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
        .open_runs = open_runs,
        .next_run = next_run,
        .open_events = open_events,
        .next_events = next_events,
        .event_bounds = event_bounds,
        .end_rows = end_rows,
    };
}

enum synk_status redis_query(void *backend, const struct query *query, struct arena *arena,
                             struct buf *body, struct store_answer *answer,
                             struct synk_error *error)
{
    struct redis *redis = backend;
    struct page_source source = source_of(redis);
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
    end_rows(redis); /* after a failure too */
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
