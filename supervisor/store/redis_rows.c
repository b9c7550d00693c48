/*
 * Replies as records. What the server keeps is trusted as little as a peer's bytes.
 */
#include <errno.h>
#include <stdlib.h>

#include "supervisor/store/record_fields.h"
#include "supervisor/store/redis.h"

static const struct record_field *find_field(const struct record_shape *shape,
                                             struct synk_bytes name)
{
    for (int i = shape->key_count; i < shape->field_count; i++)
        if (bytes_equal(bytes_str(shape->fields[i].name), name))
            return &shape->fields[i];
    return NULL;
}

/* A decimal number, or a state's name. */
static bool read_number(const struct record_field *field, struct synk_bytes text,
                        int64_t *ret_number)
{
    if (field->name_of) {
        const char *name;
        for (unsigned value = 0; (name = field->name_of(value)); value++)
            if (bytes_equal(bytes_str(name), text)) {
                *ret_number = value;
                return true;
            }
        return false;
    }
    char copy[24], *end;
    if (text.size == 0 || text.size >= sizeof(copy))
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    errno = 0;
    *ret_number = strtoll(copy, &end, 10);
    return *end == '\0' && errno == 0;
}

const char *redis_hash_record(const redisReply *reply, struct record *record)
{
    const struct record_shape *shape = &record_shapes[record->kind];
    const char *problem = NULL;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
        return "it is missing";
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const struct record_field *field = find_field(shape, redis_element(reply, i));
        struct synk_bytes value = redis_element(reply, i + 1);
        int64_t number = 0;
        if (!field || reply->element[i + 1]->type == REDIS_REPLY_NIL)
            continue;
        if (field_is_bytes(field)) {
            field_set_bytes(field, record, value);
            continue;
        }
        const char *wrong = read_number(field, value, &number)
                                ? field_set_number(field, record, number)
                                : field->problem;
        field_set_present(field, record, true);
        problem = problem ? problem : wrong;
    }
    return problem ? problem : record_problem(record);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

uint64_t *redis_numbers(const redisReply *reply, size_t *ret_count)
{
    uint64_t *numbers = mem_alloc((reply->elements + 1) * sizeof(*numbers));
    for (size_t i = 0; i < reply->elements; i++)
        numbers[i] = redis_uint(redis_element(reply, i));
    qsort(numbers, reply->elements, sizeof(*numbers), by_number);
    *ret_count = reply->elements;
    return numbers;
}

bool redis_split_version(struct synk_bytes text, struct synk_bytes *ret_unit, uint32_t *ret_version)
{
    const char *at = text.size ? memrchr(text.data, '@', text.size) : NULL;
    if (!at)
        return false;
    size_t size = (size_t)(at - (const char *)text.data);
    uint64_t version = redis_uint(bytes_of(at + 1, text.size - size - 1));
    *ret_unit = bytes_of(text.data, size);
    *ret_version = (uint32_t)version;
    return version <= UINT32_MAX;
}
