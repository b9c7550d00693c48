/*
 * Handing on what a load has read, and the hashes of many packed records: workers, tasks, attempts.
 * Which buckets there are is asked for all owners first, then they are read one behind the other.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "supervisor/store/redis_loading.h"

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void loading_add_name(struct loading *loading, struct name_list *list, struct synk_bytes text)
{
    list->names = mem_grow(list->names, &list->capacity, list->count + 1, sizeof(*list->names));
    list->names[list->count++] = (struct name){.text = arena_copy(&loading->arena, text)};
}

void loading_add_number(struct number_list *list, uint64_t number)
{
    list->numbers =
        mem_grow(list->numbers, &list->capacity, list->count + 1, sizeof(*list->numbers));
    list->numbers[list->count++] = number;
}

void loading_note_bad(struct loading *loading, const char *key, struct synk_bytes field,
                      const char *problem, const redisReply *row, const char *removal)
{
    char at[24];
    struct synk_bytes words[10] = {
        bytes_str("XADD"),
        bytes_str("quarantine"),
        bytes_str("*"),
        bytes_str("kind"),
        bytes_str(record_shapes[loading->kind].name),
        bytes_str("key"),
        /* key, reason, at: below */
    };
    struct buf name = {0};
    struct synk_bytes all[64];
    int count = 0;
    loading->bad++;
    if (loading->loads_all)
        return;
    buf_printf(&name, "%s", key);
    if (field.size)
        buf_printf(&name, " %.*s", (int)field.size, (const char *)field.data);
    snprintf(at, sizeof(at), "%" PRId64, wall_ms());
    for (int i = 0; i < 6; i++)
        all[count++] = words[i];
    all[count++] = buf_bytes(&name);
    all[count++] = bytes_str("reason");
    all[count++] = bytes_str(problem);
    all[count++] = bytes_str("at");
    all[count++] = bytes_str(at);
    if (row->type == REDIS_REPLY_ARRAY) {
        for (size_t i = 0; i + 1 < row->elements && count + 2 <= 64; i += 2) {
            all[count++] = redis_element(row, i);
            all[count++] = redis_element(row, i + 1);
        }
    } else {
        all[count++] = bytes_str("packed");
        all[count++] = redis_bytes(row);
    }
    redis_batch_op(&loading->moves, count, all);
    struct synk_bytes remove[] = {bytes_str(removal), bytes_str(key), field};
    redis_batch_op(&loading->moves, strcmp(removal, "HDEL") == 0 ? 3 : 2, remove);
    buf_fini(&name);
}

enum synk_status loading_hand_on(struct loading *loading, const struct record *record,
                                 struct synk_error *error)
{
    if (loading->visitor)
        return loading->visitor->record(loading->visitor->context, record, error);
    loading->each(loading->context, record);
    return SYNK_OK;
}

enum synk_status loading_take_packed(struct loading *loading, const char *key,
                                     struct synk_bytes field, const redisReply *value,
                                     struct record *record, struct synk_error *error)
{
    const char *problem = record_unpack(redis_bytes(value), record);
    if (!problem)
        return loading_hand_on(loading, record, error);
    loading_note_bad(loading, key, field, problem, value, "HDEL");
    return SYNK_OK;
}

/* "workers:UNIT@V", "tasks:N" or "attempts:N". */
static struct synk_bytes owner_key(struct loading *loading, size_t owner, const char *end)
{
    if (loading->kind == RECORD_WORKER) {
        struct synk_bytes name = loading->versions.names[owner].text;
        return redis_key(loading->redis, &loading->key, "workers:%.*s%s", (int)name.size,
                         (const char *)name.data, end);
    }
    return redis_key(loading->redis, &loading->key, "%s:%" PRIu64 "%s",
                     record_shapes[loading->kind].name, loading->owners.numbers[owner], end);
}

static void append_owner(void *context, size_t index)
{
    struct loading *loading = context;
    struct synk_bytes words[] = {bytes_str("SMEMBERS"), owner_key(loading, index, "")};
    redis_link_append(loading->redis->link, 2, words);
}

static void add_bucket(struct bucket_list *list, size_t owner, uint64_t number)
{
    list->buckets =
        mem_grow(list->buckets, &list->capacity, list->count + 1, sizeof(*list->buckets));
    list->buckets[list->count++] = (struct bucket){owner, number};
}

/* The first bucket, and those in the set. */
static enum synk_status take_owner(void *context, size_t index, const redisReply *reply,
                                   struct synk_error *error)
{
    (void)error;
    struct loading *loading = context;
    size_t count;
    uint64_t *numbers = redis_numbers(reply, &count);
    add_bucket(&loading->buckets, index, 0);
    for (size_t i = 0; i < count; i++)
        if (numbers[i])
            add_bucket(&loading->buckets, index, numbers[i]);
    free(numbers);
    return SYNK_OK;
}

static struct synk_bytes bucket_key(struct loading *loading, size_t index)
{
    char end[24];
    snprintf(end, sizeof(end), ":%" PRIu64, loading->buckets.buckets[index].number);
    return owner_key(loading, loading->buckets.buckets[index].owner, end);
}

static void append_bucket(void *context, size_t index)
{
    struct loading *loading = context;
    struct synk_bytes words[] = {bytes_str("HGETALL"), bucket_key(loading, index)};
    redis_link_append(loading->redis->link, 2, words);
}

struct row {
    uint32_t index;
    size_t at;
};

static int by_index(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

/* Rows of one bucket, by index. */
static enum synk_status take_bucket(void *context, size_t index, const redisReply *reply,
                                    struct synk_error *error)
{
    struct loading *loading = context;
    size_t count = reply->elements / 2;
    struct row *rows = mem_alloc((count + 1) * sizeof(*rows));
    enum synk_status status = SYNK_OK;
    char key[256];
    const struct bucket *bucket = &loading->buckets.buckets[index];
    struct synk_bytes name = bucket_key(loading, index);
    size_t prefix = strlen(loading->redis->prefix);
    snprintf(key, sizeof(key), "%.*s", (int)(name.size - prefix), (const char *)name.data + prefix);
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct row){(uint32_t)redis_uint(redis_element(reply, 2 * i)), 2 * i};
    qsort(rows, count, sizeof(*rows), by_index);
    for (size_t i = 0; i < count && !status; i++) {
        struct record record = {.kind = loading->kind};
        if (loading->kind == RECORD_WORKER) {
            redis_split_version(loading->versions.names[bucket->owner].text, &record.worker.unit,
                                &record.worker.version);
            record.worker.index = rows[i].index;
        } else if (loading->kind == RECORD_TASK) {
            record.task.run = loading->owners.numbers[bucket->owner];
            record.task.task = rows[i].index;
        } else {
            record.attempt.run = loading->owners.numbers[bucket->owner];
            record.attempt.task = (uint32_t)bucket->number;
            record.attempt.attempt = rows[i].index;
        }
        status = loading_take_packed(loading, key, redis_element(reply, rows[i].at),
                                     reply->element[rows[i].at + 1], &record, error);
    }
    free(rows);
    return status;
}

enum synk_status loading_rows(struct loading *loading, enum record_kind kind, size_t owners,
                              struct synk_error *error)
{
    loading->kind = kind;
    loading->buckets.count = 0;
    enum synk_status status =
        redis_each(loading->redis, owners, loading, append_owner, take_owner, "loading", error);
    if (!status)
        status = redis_each(loading->redis, loading->buckets.count, loading, append_bucket,
                            take_bucket, "loading", error);
    return status;
}
