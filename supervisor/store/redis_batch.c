/*
 * A batch as operations for the script that applies it.
 *
 * Invariants: operations take effect in the order in which records came; rows of one hash that come
 * one behind the other are one operation, which is what makes tasks cheap. A part is closed before
 * it outgrows REDIS_PART_BYTES by more than one row.
 */
#include "supervisor/store/redis.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/limits.h"
#include "proto/pack.h"
#include "supervisor/core/states.h"
#include "supervisor/store/record_fields.h"

enum {
    /* Words of one operation: Lua's stack ends at 8000. */
    GROUP_ROWS = 1000,
    /* An array's head whose count is written at the end. */
    HEAD_BYTES = 5,
};

void redis_batch_init(struct redis_batch *batch)
{
    *batch = (struct redis_batch){0};
}

static void free_scratch(struct redis_batch *batch)
{
    buf_fini(&batch->group);
    buf_fini(&batch->key);
    buf_fini(&batch->row);
}

void redis_batch_fini(struct redis_batch *batch)
{
    for (size_t i = 0; i < batch->part_count; i++)
        buf_fini(&batch->parts[i]);
    free(batch->parts);
    free_scratch(batch);
    *batch = (struct redis_batch){0};
}

size_t redis_batch_bytes(const struct redis_batch *batch)
{
    size_t bytes = sizeof(*batch);
    for (size_t i = 0; i < batch->part_count; i++)
        bytes += batch->parts[i].capacity;
    return bytes;
}

static void end_part(struct redis_batch *batch)
{
    if (batch->part_count == 0)
        return;
    uint8_t *head = batch->parts[batch->part_count - 1].data;
    head[0] = 0xdd;
    for (int i = 0; i < 4; i++)
        head[1 + i] = (uint8_t)(batch->ops >> (24 - 8 * i));
}

/* Where the next operation goes. */
static struct buf *next_op(struct redis_batch *batch)
{
    struct buf *part = batch->part_count ? &batch->parts[batch->part_count - 1] : NULL;
    if (!part || part->size >= REDIS_PART_BYTES) {
        static const uint8_t head[HEAD_BYTES];
        end_part(batch);
        batch->parts = mem_grow(batch->parts, &batch->part_capacity, batch->part_count + 1,
                                sizeof(*batch->parts));
        part = &batch->parts[batch->part_count++];
        *part = (struct buf){0};
        buf_append(part, head, sizeof(head));
        batch->ops = 0;
    }
    batch->ops++;
    return part;
}

static void end_group(struct redis_batch *batch)
{
    if (batch->group_rows == 0)
        return;
    struct buf *part = next_op(batch);
    pack_array(part, 2 + 2 * batch->group_rows);
    pack_cstr(part, "HSET");
    pack_string(part, buf_bytes(&batch->key));
    buf_append(part, batch->group.data, batch->group.size);
    batch->group_rows = 0;
    buf_clear(&batch->group);
}

void redis_batch_op(struct redis_batch *batch, int count, const struct synk_bytes *words)
{
    end_group(batch);
    struct buf *part = next_op(batch);
    pack_array(part, (size_t)count);
    for (int i = 0; i < count; i++)
        pack_string(part, words[i]);
}

void redis_batch_end(struct redis_batch *batch)
{
    end_group(batch);
    if (batch->part_count == 0) {
        next_op(batch);
        batch->ops = 0;
    }
    end_part(batch);
    free_scratch(batch);
}

static void op(struct redis_batch *batch, const char *verb, struct synk_bytes second,
               struct synk_bytes third)
{
    struct synk_bytes words[] = {bytes_str(verb), second, third};
    redis_batch_op(batch, third.data ? 3 : 2, words);
}

/* A number as a string, as the server wants it. */
static void pack_decimal(struct buf *out, int64_t number)
{
    char text[24];
    int size = snprintf(text, sizeof(text), "%lld", (long long)number);
    pack_string(out, bytes_of(text, (size_t)size));
}

/* A row of the hash KEY, or its removal. */
static void put_row(struct redis_batch *batch, struct synk_bytes key, struct synk_bytes field,
                    const struct record *record)
{
    if (record->remove) {
        struct synk_bytes words[] = {bytes_str("HDEL"), key, field};
        redis_batch_op(batch, 3, words);
        return;
    }
    if (!bytes_equal(buf_bytes(&batch->key), key) || batch->group_rows == GROUP_ROWS ||
        batch->group.size >= REDIS_PART_BYTES)
        end_group(batch);
    if (batch->group_rows == 0) {
        buf_clear(&batch->key);
        buf_append(&batch->key, key.data, key.size);
    }
    buf_clear(&batch->row);
    record_pack(record, &batch->row);
    pack_string(&batch->group, field);
    pack_string(&batch->group, buf_bytes(&batch->row));
    batch->group_rows++;
}

/* A row of a hash of many: "NAME:BUCKET". */
static void put_bucket_row(struct redis_batch *batch, const char *name, int name_size,
                           uint32_t index, const struct record *record)
{
    char key[256], field[12], bucket[12];
    uint32_t number = index / REDIS_BUCKET_ROWS;
    int key_size = snprintf(key, sizeof(key), "%.*s:%u", name_size, name, number);
    int field_size = snprintf(field, sizeof(field), "%u", index);
    struct synk_bytes key_bytes = bytes_of(key, (size_t)key_size);
    /* Said once for rows that come one behind the other. The first bucket is looked for anyway. */
    if (number && !record->remove &&
        !(batch->group_rows && bytes_equal(buf_bytes(&batch->key), key_bytes))) {
        snprintf(bucket, sizeof(bucket), "%u", number);
        op(batch, "SADD", bytes_of(name, (size_t)name_size), bytes_str(bucket));
    }
    put_row(batch, key_bytes, bytes_of(field, (size_t)field_size), record);
}

static void put_attempt(struct redis_batch *batch, const struct record *record)
{
    const struct attempt_record *attempt = &record->attempt;
    char set[40], key[56], task[12], number[12];
    snprintf(set, sizeof(set), "attempts:%llu", (unsigned long long)attempt->run);
    snprintf(task, sizeof(task), "%u", attempt->task);
    snprintf(key, sizeof(key), "%s:%s", set, task);
    snprintf(number, sizeof(number), "%u", attempt->attempt);
    if (!record->remove)
        op(batch, "SADD", bytes_str(set), bytes_str(task));
    put_row(batch, bytes_str(key), bytes_str(number), record);
}

/* Appends the fields of a hash that people can read, and counts their words. */
static uint32_t pack_fields(struct buf *out, const struct record *record)
{
    const struct record_shape *shape = &record_shapes[record->kind];
    uint32_t words = 0;
    for (int i = shape->key_count; i < shape->field_count; i++) {
        const struct record_field *field = &shape->fields[i];
        if (!field->is_required && !field_is_set(field, record))
            continue;
        pack_cstr(out, field->name);
        words += 2;
        if (field_is_bytes(field)) {
            pack_string(out, field_bytes(field, record));
            continue;
        }
        int64_t number = field_number(field, record);
        const char *name = field->name_of ? field->name_of((unsigned)number) : NULL;
        if (name)
            pack_cstr(out, name);
        else
            pack_decimal(out, number);
    }
    return words;
}

void redis_print_label(struct buf *out, const struct run_record *run)
{
    buf_append(out, run->unit.data, run->unit.size);
    if (run->worker.size) {
        buf_append(out, "/", 1);
        buf_append(out, run->worker.data, run->worker.size);
    }
}

static void put_run(struct redis_batch *batch, const struct record *record)
{
    const struct run_record *run = &record->run;
    char number[24];
    snprintf(number, sizeof(number), "%llu", (unsigned long long)run->run);
    if (record->remove) {
        op(batch, "NORUN", bytes_str(number), bytes_of(NULL, 0));
        return;
    }
    struct buf fields = {0}, label = {0};
    uint32_t words = pack_fields(&fields, record);
    redis_print_label(&label, run);
    end_group(batch);
    struct buf *part = next_op(batch);
    pack_array(part, 7 + words);
    pack_cstr(part, "RUN");
    pack_cstr(part, number);
    pack_string(part, run->unit);
    pack_string(part, buf_bytes(&label));
    pack_decimal(part, run->version);
    pack_decimal(part, (int64_t)run->number);
    if (run_status_is_final(run->status))
        pack_decimal(part, run->ended_at);
    else
        pack_cstr(part, "");
    buf_append(part, fields.data, fields.size);
    buf_fini(&fields);
    buf_fini(&label);
}

static void put_unit(struct redis_batch *batch, const struct record *record)
{
    if (record->remove) {
        op(batch, "NOUNIT", record->unit.id, bytes_of(NULL, 0));
        return;
    }
    struct buf fields = {0};
    uint32_t words = pack_fields(&fields, record);
    end_group(batch);
    struct buf *part = next_op(batch);
    pack_array(part, 2 + words);
    pack_cstr(part, "UNIT");
    pack_string(part, record->unit.id);
    buf_append(part, fields.data, fields.size);
    buf_fini(&fields);
}

static void put_meta(struct redis_batch *batch, const struct record *record)
{
    if (record->remove) {
        op(batch, "HDEL", bytes_str("meta"), record->meta.name);
        return;
    }
    /* As it is: `redis-cli` shows it. */
    struct synk_bytes words[] = {bytes_str("HSET"), bytes_str("meta"), record->meta.name,
                                 record->meta.value};
    redis_batch_op(batch, 4, words);
}

void redis_batch_record(struct redis_batch *batch, const struct record *record)
{
    char name[LIMIT_ID_BYTES + 40];
    int size;
    switch (record->kind) {
    case RECORD_META:
        put_meta(batch, record);
        break;
    case RECORD_UNIT:
        put_unit(batch, record);
        break;
    case RECORD_DEFINITION:
        size = snprintf(name, sizeof(name), "%.*s@%u", (int)record->definition.unit.size,
                        (const char *)record->definition.unit.data, record->definition.version);
        if (record->remove)
            op(batch, "NODEF", bytes_of(name, (size_t)size), bytes_of(NULL, 0));
        else
            put_row(batch, bytes_str("definitions"), bytes_of(name, (size_t)size), record);
        break;
    case RECORD_WORKER:
        size = snprintf(name, sizeof(name), "workers:%.*s@%u", (int)record->worker.unit.size,
                        (const char *)record->worker.unit.data, record->worker.version);
        put_bucket_row(batch, name, size, record->worker.index, record);
        break;
    case RECORD_HOST:
        put_row(batch, bytes_str("hosts"), record->host.name, record);
        break;
    case RECORD_KEY:
        put_row(batch, bytes_str("keys"), record->key.key, record);
        break;
    case RECORD_RUN:
        put_run(batch, record);
        break;
    case RECORD_TASK:
        size = snprintf(name, sizeof(name), "tasks:%llu", (unsigned long long)record->task.run);
        put_bucket_row(batch, name, size, record->task.task, record);
        break;
    case RECORD_ATTEMPT:
        put_attempt(batch, record);
        break;
    }
}

void redis_batch_events(struct redis_batch *batch, uint64_t first, uint32_t count, int64_t at,
                        struct synk_bytes items)
{
    char id[32], numbers[4][24];
    uint64_t last = first + count - 1;
    snprintf(id, sizeof(id), "%llu-0", (unsigned long long)last);
    snprintf(numbers[0], sizeof(numbers[0]), "%llu", (unsigned long long)first);
    snprintf(numbers[1], sizeof(numbers[1]), "%u", count);
    snprintf(numbers[2], sizeof(numbers[2]), "%lld", (long long)at);
    snprintf(numbers[3], sizeof(numbers[3]), "%llu", (unsigned long long)last);
    struct synk_bytes add[] = {
        bytes_str("XADD"),
        bytes_str("events"),
        bytes_str(id),
        bytes_str("first"),
        bytes_str(numbers[0]),
        bytes_str("count"),
        bytes_str(numbers[1]),
        bytes_str("at"),
        bytes_str(numbers[2]),
        bytes_str("items"),
        items,
    };
    redis_batch_op(batch, sizeof(add) / sizeof(*add), add);
    struct synk_bytes mark[] = {bytes_str("HSET"), bytes_str("state"), bytes_str("last_event"),
                                bytes_str(numbers[3])};
    redis_batch_op(batch, 4, mark);
}
