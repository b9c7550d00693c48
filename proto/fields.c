/*
 * Tables of fields, and the cursor that reads MessagePack in place.
 *
 * A REPORT of a thousand results must cost microseconds, and an unpacked tree costs more to build
 * than to read: so nothing is unpacked. Invariant: the bytes under a cursor passed check_value, so
 * every length in them holds; the assertions here can only fail by a bug of this program.
 */
#include "proto/fields.h"

#include <assert.h>

#include "proto/pack.h"

/* Packing. */

static bool is_default(const struct field *field, const void *at)
{
    switch (field->type) {
    case FIELD_U32:
        return *(const uint32_t *)at == (uint32_t)field->fallback;
    case FIELD_U64:
        return *(const uint64_t *)at == (uint64_t)field->fallback;
    case FIELD_I32:
        return *(const int32_t *)at == field->fallback;
    case FIELD_I64:
        return *(const int64_t *)at == field->fallback;
    case FIELD_BOOL:
        return !*(const bool *)at;
    case FIELD_SHARE:
        return *(const double *)at == 0;
    case FIELD_TEXT:
    case FIELD_BYTES:
    case FIELD_SLICE:
        return ((const struct synk_bytes *)at)->size == 0;
    }
    return false;
}

static void encode_field(const struct field *field, const void *at, struct buf *out)
{
    switch (field->type) {
    case FIELD_U32:
        pack_uint(out, *(const uint32_t *)at);
        break;
    case FIELD_U64:
        pack_uint(out, *(const uint64_t *)at);
        break;
    case FIELD_I32:
        pack_int(out, *(const int32_t *)at);
        break;
    case FIELD_I64:
        pack_int(out, *(const int64_t *)at);
        break;
    case FIELD_BOOL:
        pack_bool(out, *(const bool *)at);
        break;
    case FIELD_SHARE:
        pack_double(out, *(const double *)at);
        break;
    case FIELD_TEXT:
        if (is_default(field, at))
            pack_null(out);
        else
            pack_string(out, *(const struct synk_bytes *)at);
        break;
    case FIELD_BYTES:
        pack_opaque(out, *(const struct synk_bytes *)at);
        break;
    case FIELD_SLICE:
        pack_encoded(out, *(const struct synk_bytes *)at);
        break;
    }
}

void fields_encode_map(const struct field *fields, size_t count, const void *base, struct buf *out)
{
    pack_map(out, count);
    for (size_t i = 0; i < count; i++) {
        pack_key(out, fields[i].name);
        encode_field(&fields[i], (const char *)base + fields[i].offset, out);
    }
}

void fields_encode_row(const struct field *fields, size_t count, const void *base, size_t extra,
                       struct buf *out)
{
    const char *bytes = base;
    while (!extra && count && !fields[count - 1].required &&
           is_default(&fields[count - 1], bytes + fields[count - 1].offset))
        count--;
    pack_array(out, count + extra);
    for (size_t i = 0; i < count; i++)
        encode_field(&fields[i], bytes + fields[i].offset, out);
}

/* The cursor. */

static uint64_t read_big_endian(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes--)
        value = value << 8 | *at++;
    return value;
}

/* Tags of the kinds that carry a length: a fixed form in the tag's own low bits, then up to three
 * sizes of a length field. */
static const struct length_tags {
    uint8_t fixed, fixed_mask; /* tag & ~mask == fixed; 0 = none */
    uint8_t first;             /* tag of the smallest length field */
    uint8_t first_bytes;       /* its size; the next tags double it */
    uint8_t sizes;
} string_tags = {0xa0, 0x1f, 0xd9, 1, 3}, binary_tags = {0, 0, 0xc4, 1, 3},
  array_tags = {0x90, 0x0f, 0xdc, 2, 2}, map_tags = {0x80, 0x0f, 0xde, 2, 2};

static inline bool read_length(struct cursor *cursor, const struct length_tags *tags,
                               uint32_t *ret_length)
{
    if (cursor->at == cursor->end)
        return false;
    uint8_t tag = *cursor->at;
    if (tags->fixed && (tag & ~tags->fixed_mask) == tags->fixed) {
        *ret_length = tag & tags->fixed_mask;
        cursor->at++;
        return true;
    }
    unsigned size = (unsigned)tag - tags->first;
    if (tag < tags->first || size >= tags->sizes)
        return false;
    unsigned bytes = (unsigned)tags->first_bytes << size;
    *ret_length = (uint32_t)read_big_endian(cursor->at + 1, bytes);
    cursor->at += 1 + bytes;
    return true;
}

static inline bool read_run(struct cursor *cursor, const struct length_tags *tags,
                            struct synk_bytes *ret_bytes)
{
    uint32_t size;
    if (!read_length(cursor, tags, &size))
        return false;
    assert(size <= (size_t)(cursor->end - cursor->at));
    *ret_bytes = bytes_of(cursor->at, size);
    cursor->at += size;
    return true;
}

bool cursor_array(struct cursor *cursor, uint32_t *ret_count)
{
    return read_length(cursor, &array_tags, ret_count);
}

bool cursor_text(struct cursor *cursor, struct synk_bytes *ret_text)
{
    return read_run(cursor, &string_tags, ret_text);
}

bool cursor_binary(struct cursor *cursor, struct synk_bytes *ret_bytes)
{
    return read_run(cursor, &binary_tags, ret_bytes);
}

bool cursor_null(struct cursor *cursor)
{
    if (cursor->at == cursor->end || *cursor->at != 0xc0)
        return false;
    cursor->at++;
    return true;
}

/* An integer in two's complement, and whether it is below zero. */
static inline bool read_integer(struct cursor *cursor, uint64_t *ret_bits, bool *ret_negative)
{
    if (cursor->at == cursor->end)
        return false;
    uint8_t tag = *cursor->at;
    *ret_negative = false;
    if (tag < 0x80) {
        *ret_bits = tag;
        cursor->at++;
    } else if (tag >= 0xe0) {
        *ret_bits = (uint64_t)(int64_t)(int8_t)tag;
        *ret_negative = true;
        cursor->at++;
    } else if (tag >= 0xcc && tag <= 0xd3) {
        unsigned bytes = 1u << (tag & 3);
        uint64_t bits = read_big_endian(cursor->at + 1, bytes);
        if (tag >= 0xd0 && bits >> (bytes * 8 - 1)) {
            *ret_negative = true;
            if (bytes < 8)
                bits |= UINT64_MAX << (bytes * 8);
        }
        *ret_bits = bits;
        cursor->at += 1 + bytes;
    } else {
        return false;
    }
    return true;
}

bool cursor_u64(struct cursor *cursor, uint64_t *ret_value)
{
    struct cursor after = *cursor;
    uint64_t bits;
    bool negative;
    if (!read_integer(&after, &bits, &negative) || negative)
        return false;
    *ret_value = bits;
    *cursor = after;
    return true;
}

static bool read_i64(struct cursor *cursor, int64_t min, int64_t max, int64_t *ret_value)
{
    uint64_t bits;
    bool negative;
    if (!read_integer(cursor, &bits, &negative) || (!negative && bits > INT64_MAX))
        return false;
    *ret_value = (int64_t)bits;
    return *ret_value >= min && *ret_value <= max;
}

static bool read_share(struct cursor *cursor, double *ret_value)
{
    uint64_t bits;
    bool negative;
    double value;
    uint8_t tag = cursor->at == cursor->end ? 0xc0 : *cursor->at;
    if (tag == 0xcb) {
        bits = read_big_endian(cursor->at + 1, 8);
        memcpy(&value, &bits, sizeof(value));
        cursor->at += 9;
    } else if (tag == 0xca) {
        uint32_t half = (uint32_t)read_big_endian(cursor->at + 1, 4);
        float single;
        memcpy(&single, &half, sizeof(single));
        value = single;
        cursor->at += 5;
    } else if (read_integer(cursor, &bits, &negative)) {
        value = negative ? -1 : bits > 1 ? 2 : (double)bits;
    } else {
        return false;
    }
    *ret_value = value;
    return value >= 0 && value <= 1; /* false for NaN */
}

void cursor_skip(struct cursor *cursor)
{
    for (uint64_t left = 1; left; left--) {
        struct synk_bytes bytes;
        uint32_t count;
        uint64_t bits;
        bool negative;
        assert(cursor->at < cursor->end);
        if (read_integer(cursor, &bits, &negative) || cursor_text(cursor, &bytes) ||
            cursor_binary(cursor, &bytes))
            continue;
        if (cursor_array(cursor, &count))
            left += count;
        else if (read_length(cursor, &map_tags, &count))
            left += 2 * (uint64_t)count;
        else /* nil, booleans and the two floats */
            cursor->at += *cursor->at == 0xca ? 5 : *cursor->at == 0xcb ? 9 : 1;
    }
}

/* Reading fields. */

static void set_fallback(const struct field *field, void *at)
{
    switch (field->type) {
    case FIELD_U32:
        *(uint32_t *)at = (uint32_t)field->fallback;
        break;
    case FIELD_U64:
        *(uint64_t *)at = (uint64_t)field->fallback;
        break;
    case FIELD_I32:
        *(int32_t *)at = field->fallback;
        break;
    case FIELD_I64:
        *(int64_t *)at = field->fallback;
        break;
    case FIELD_BOOL:
        *(bool *)at = false;
        break;
    case FIELD_SHARE:
        *(double *)at = 0;
        break;
    case FIELD_TEXT:
    case FIELD_BYTES:
    case FIELD_SLICE:
        *(struct synk_bytes *)at = (struct synk_bytes){NULL, 0};
        break;
    }
}

static enum synk_status wrong_type(const struct field *field, struct synk_error *error)
{
    static const char *const wanted[] = {
        [FIELD_U32] = "an integer within its range",
        [FIELD_U64] = "an integer from 0",
        [FIELD_I32] = "an integer of 32 bits",
        [FIELD_I64] = "an integer of 64 bits",
        [FIELD_BOOL] = "true or false",
        [FIELD_SHARE] = "a number from 0 to 1",
        [FIELD_TEXT] = "a string",
        [FIELD_BYTES] = "binary",
        [FIELD_SLICE] = "a value",
    };
    return status_fail(error, SYNK_PROTOCOL, "'%s' is not %s", field->name, wanted[field->type]);
}

static enum synk_status check_run(const struct field *field, struct synk_bytes run,
                                  struct synk_error *error)
{
    if (run.size > field->max)
        return status_fail(error, SYNK_TOO_LARGE, "'%s' has %zu bytes, %llu are allowed",
                           field->name, run.size, (unsigned long long)field->max);
    if (field->required && run.size == 0)
        return status_fail(error, SYNK_PROTOCOL, "'%s' is empty", field->name);
    return SYNK_OK;
}

/* Reads a value that is there and not nil. */
static enum synk_status read_field(const struct field *field, struct cursor *cursor, void *at,
                                   struct synk_error *error)
{
    uint64_t number;
    int64_t integer;
    struct synk_bytes *run = at;
    const uint8_t *start = cursor->at;
    switch (field->type) {
    case FIELD_U32:
        if (!cursor_u64(cursor, &number) || number > field->max)
            return wrong_type(field, error);
        *(uint32_t *)at = (uint32_t)number;
        return SYNK_OK;
    case FIELD_U64:
        return cursor_u64(cursor, at) ? SYNK_OK : wrong_type(field, error);
    case FIELD_I32:
        if (!read_i64(cursor, INT32_MIN, INT32_MAX, &integer))
            return wrong_type(field, error);
        *(int32_t *)at = (int32_t)integer;
        return SYNK_OK;
    case FIELD_I64:
        return read_i64(cursor, INT64_MIN, INT64_MAX, at) ? SYNK_OK : wrong_type(field, error);
    case FIELD_BOOL:
        if (*start != 0xc2 && *start != 0xc3)
            return wrong_type(field, error);
        *(bool *)at = *start == 0xc3;
        cursor->at++;
        return SYNK_OK;
    case FIELD_SHARE:
        return read_share(cursor, at) ? SYNK_OK : wrong_type(field, error);
    case FIELD_TEXT:
        return cursor_text(cursor, run) ? check_run(field, *run, error) : wrong_type(field, error);
    case FIELD_BYTES:
        return cursor_binary(cursor, run) ? check_run(field, *run, error)
                                          : wrong_type(field, error);
    case FIELD_SLICE:
        cursor_skip(cursor);
        *run = bytes_of(start, (size_t)(cursor->at - start));
        return SYNK_OK;
    }
    assert(!"a type of the table");
    return SYNK_PROTOCOL;
}

static enum synk_status set_absent(const struct field *field, void *at, struct synk_error *error)
{
    if (field->required)
        return status_fail(error, SYNK_PROTOCOL, "'%s' is missing", field->name);
    set_fallback(field, at);
    return SYNK_OK;
}

enum synk_status fields_decode_row(const struct field *fields, size_t count, struct cursor *cursor,
                                   void *base, struct synk_error *error)
{
    char *place = base;
    uint32_t elements;
    if (!cursor_array(cursor, &elements))
        return status_fail(error, SYNK_PROTOCOL, "not an array");
    for (size_t i = 0; i < count; i++) {
        void *at = place + fields[i].offset;
        bool absent = i >= elements || cursor_null(cursor);
        enum synk_status status =
            absent ? set_absent(&fields[i], at, error) : read_field(&fields[i], cursor, at, error);
        if (status)
            return status;
    }
    for (size_t i = count; i < elements; i++)
        cursor_skip(cursor);
    return SYNK_OK;
}

static size_t find_field(const struct field *fields, size_t count, struct synk_bytes name)
{
    size_t i = 0;
    while (i < count && !bytes_equal(bytes_str(fields[i].name), name))
        i++;
    return i;
}

enum synk_status fields_decode_map(const struct field *fields, size_t count,
                                   struct synk_bytes bytes, void *base, struct synk_error *error)
{
    char *place = base;
    struct cursor cursor = cursor_of(bytes);
    uint32_t entries;
    uint64_t seen = 0;
    assert(count <= 64);
    if (!read_length(&cursor, &map_tags, &entries))
        return status_fail(error, SYNK_PROTOCOL, "not a map");
    for (; entries; entries--) {
        struct synk_bytes name;
        bool is_text = cursor_text(&cursor, &name);
        assert(is_text);
        size_t i = is_text ? find_field(fields, count, name) : count;
        if (i == count) {
            cursor_skip(&cursor);
            continue;
        }
        if (cursor_null(&cursor))
            continue;
        enum synk_status status = read_field(&fields[i], &cursor, place + fields[i].offset, error);
        if (status)
            return status;
        seen |= (uint64_t)1 << i;
    }
    for (size_t i = 0; i < count; i++) {
        if (seen >> i & 1)
            continue;
        enum synk_status status = set_absent(&fields[i], place + fields[i].offset, error);
        if (status)
            return status;
    }
    return SYNK_OK;
}
