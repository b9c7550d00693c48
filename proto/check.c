/*
 * The check in front of MessagePack-C: one pass over the bytes with a fixed stack of open
 * containers.
 *
 * Invariant: when check_value says yes, every declared count is there in the bytes, so unpacking
 * allocates in proportion to them, and cannot fail but for want of memory.
 */
#include "proto/check.h"

#include <assert.h>

#include "proto/limits.h"

enum {
    /* MessagePack-C's own stack has room for this many open containers. */
    DEPTH_MAX = 32,
};

const struct check_limits check_message_limits = {
    .depth = LIMIT_VALUE_DEPTH,
    .items = LIMIT_MESSAGE_ITEMS,
};

/* Bytes of the character at `p`, or 0 where none is well-formed (overlong, surrogate, too high). */
static size_t character_size(const uint8_t *p, size_t left)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t size;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        size = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        size = 3;
        low = p[0] == 0xe0 ? 0xa0 : low;
        high = p[0] == 0xed ? 0x9f : high;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        size = 4;
        low = p[0] == 0xf0 ? 0x90 : low;
        high = p[0] == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (left < size || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

size_t check_utf8_prefix(struct synk_bytes text)
{
    const uint8_t *data = text.data;
    size_t at = 0;
    while (at < text.size) {
        /* Nearly all text is ASCII: eight bytes a step. */
        while (text.size - at >= 8) {
            uint64_t word;
            memcpy(&word, data + at, sizeof(word));
            if (word & 0x8080808080808080u)
                break;
            at += 8;
        }
        while (at < text.size && data[at] < 0x80)
            at++;
        if (at == text.size)
            break;
        size_t size = character_size(data + at, text.size - at);
        if (size == 0)
            break;
        at += size;
    }
    return at;
}

bool check_utf8(struct synk_bytes text)
{
    return check_utf8_prefix(text) == text.size;
}

enum shape {
    SHAPE_SCALAR,
    SHAPE_STRING,
    SHAPE_BINARY,
    SHAPE_ARRAY,
    SHAPE_MAP,
    SHAPE_EXT,
    SHAPE_BAD
};

/* The tags 0xc0 to 0xdf. `bytes` follow the tag: a scalar's own, or the length field's. */
static const struct {
    uint8_t shape, bytes;
} tags[32] = {
    [0x00] = {SHAPE_SCALAR, 0}, [0x01] = {SHAPE_BAD, 0},    [0x02] = {SHAPE_SCALAR, 0},
    [0x03] = {SHAPE_SCALAR, 0}, [0x04] = {SHAPE_BINARY, 1}, [0x05] = {SHAPE_BINARY, 2},
    [0x06] = {SHAPE_BINARY, 4}, [0x07] = {SHAPE_EXT, 0},    [0x08] = {SHAPE_EXT, 0},
    [0x09] = {SHAPE_EXT, 0},    [0x0a] = {SHAPE_SCALAR, 4}, [0x0b] = {SHAPE_SCALAR, 8},
    [0x0c] = {SHAPE_SCALAR, 1}, [0x0d] = {SHAPE_SCALAR, 2}, [0x0e] = {SHAPE_SCALAR, 4},
    [0x0f] = {SHAPE_SCALAR, 8}, [0x10] = {SHAPE_SCALAR, 1}, [0x11] = {SHAPE_SCALAR, 2},
    [0x12] = {SHAPE_SCALAR, 4}, [0x13] = {SHAPE_SCALAR, 8}, [0x14] = {SHAPE_EXT, 0},
    [0x15] = {SHAPE_EXT, 0},    [0x16] = {SHAPE_EXT, 0},    [0x17] = {SHAPE_EXT, 0},
    [0x18] = {SHAPE_EXT, 0},    [0x19] = {SHAPE_STRING, 1}, [0x1a] = {SHAPE_STRING, 2},
    [0x1b] = {SHAPE_STRING, 4}, [0x1c] = {SHAPE_ARRAY, 2},  [0x1d] = {SHAPE_ARRAY, 4},
    [0x1e] = {SHAPE_MAP, 2},    [0x1f] = {SHAPE_MAP, 4},
};

struct head {
    enum shape shape;
    uint32_t count; /* elements, entries or bytes that follow */
};

/* Reads a tag and its length field; false when the bytes end within it. */
static bool read_head(const uint8_t **at, const uint8_t *end, struct head *ret_head)
{
    const uint8_t *p = *at;
    uint8_t tag = *p++;
    if (tag < 0x80 || tag >= 0xe0) {
        *ret_head = (struct head){SHAPE_SCALAR, 0};
    } else if (tag < 0x90) {
        *ret_head = (struct head){SHAPE_MAP, tag & 0x0f};
    } else if (tag < 0xa0) {
        *ret_head = (struct head){SHAPE_ARRAY, tag & 0x0f};
    } else if (tag < 0xc0) {
        *ret_head = (struct head){SHAPE_STRING, tag & 0x1f};
    } else {
        enum shape shape = tags[tag - 0xc0].shape;
        uint32_t count = tags[tag - 0xc0].bytes;
        if (shape != SHAPE_SCALAR) {
            uint32_t bytes = count;
            if ((size_t)(end - p) < bytes)
                return false;
            for (count = 0; bytes; bytes--)
                count = count << 8 | *p++;
        }
        *ret_head = (struct head){shape, count};
    }
    *at = p;
    return true;
}

/* What is wrong with one object that is not a container; NULL = nothing. */
static const char *leaf_problem(struct head head, const uint8_t *at, const uint8_t *end,
                                bool is_key)
{
    if (head.shape == SHAPE_EXT)
        return "an ext type";
    if (head.shape == SHAPE_BAD)
        return "a tag that MessagePack does not have";
    if (is_key && head.shape != SHAPE_STRING)
        return "a map key that is not a string";
    if (head.count > (size_t)(end - at))
        return "an object longer than the bytes left";
    if (head.shape != SHAPE_STRING)
        return NULL;
    if (!check_utf8(bytes_of(at, head.count)))
        return "a string that is not UTF-8";
    if (is_key && head.count && memchr(at, 0, head.count))
        return "a map key with a NUL";
    return NULL;
}

struct level {
    uint64_t left; /* objects still to come; in a map even before a key, odd before a value */
    bool is_map;
};

enum synk_status check_value(struct synk_bytes bytes, const struct check_limits *limits,
                             struct synk_error *error)
{
    const uint8_t *start = bytes.data, *at = start, *end = start + bytes.size;
    struct level stack[DEPTH_MAX], *top = NULL;
    size_t depth = 0;
    uint32_t items = 0;
    assert(limits->depth <= DEPTH_MAX);
    do {
        struct head head;
        const uint8_t *object = at;
        if (at == end || !read_head(&at, end, &head))
            return status_fail(error, SYNK_PROTOCOL, "byte %zu: the value ends too early",
                               bytes.size);
        if (items++ == limits->items)
            return status_fail(error, SYNK_TOO_LARGE, "byte %zu: more than %u objects in one value",
                               (size_t)(object - start), limits->items);
        bool is_key = top && top->is_map && !(top->left & 1);
        if (is_key || (head.shape != SHAPE_ARRAY && head.shape != SHAPE_MAP)) {
            const char *problem = leaf_problem(head, at, end, is_key);
            if (problem)
                return status_fail(error, SYNK_PROTOCOL, "byte %zu: %s", (size_t)(object - start),
                                   problem);
            at += head.count;
        } else {
            uint64_t left = (uint64_t)head.count << (head.shape == SHAPE_MAP);
            if (left > (size_t)(end - at))
                return status_fail(error, SYNK_PROTOCOL,
                                   "byte %zu: a container of %u with %zu bytes left",
                                   (size_t)(object - start), head.count, (size_t)(end - at));
            if (depth == limits->depth)
                return status_fail(error, SYNK_TOO_LARGE, "byte %zu: nested deeper than %u",
                                   (size_t)(object - start), limits->depth);
            if (left) {
                top = &stack[depth++];
                *top = (struct level){left, head.shape == SHAPE_MAP};
                continue;
            }
        }
        while (depth && --top->left == 0)
            top = --depth ? &stack[depth - 1] : NULL;
    } while (depth);
    if (at != end)
        return status_fail(error, SYNK_PROTOCOL, "byte %zu: bytes after the end of the value",
                           (size_t)(at - start));
    return SYNK_OK;
}

/* As check_sequence; also where the last whole value is. */
static size_t walk(struct synk_bytes bytes, size_t *ret_objects, struct synk_bytes *ret_last)
{
    const uint8_t *at = bytes.data, *end = at + bytes.size, *start = at;
    size_t count = 0, objects = 0, seen = 0;
    uint64_t left = 0; /* objects still to come of the value under way */
    *ret_last = bytes_of(at, 0);
    while (bytes.size && at != end) {
        struct head head;
        left = left ? left - 1 : 0;
        seen++;
        if (!read_head(&at, end, &head) || head.shape == SHAPE_EXT || head.shape == SHAPE_BAD)
            break;
        if (head.shape == SHAPE_ARRAY || head.shape == SHAPE_MAP)
            left += (uint64_t)head.count << (head.shape == SHAPE_MAP);
        else if (head.count > (size_t)(end - at))
            break;
        else
            at += head.count;
        if (left == 0) {
            count++;
            objects = seen;
            *ret_last = bytes_of(start, (size_t)(at - start));
            start = at;
        }
    }
    *ret_objects = objects;
    return count;
}

size_t check_sequence(struct synk_bytes bytes, size_t *ret_objects)
{
    struct synk_bytes last;
    size_t objects, count = walk(bytes, &objects, &last);
    if (ret_objects)
        *ret_objects = objects;
    return count;
}

struct synk_bytes check_last(struct synk_bytes bytes)
{
    struct synk_bytes last;
    size_t objects;
    walk(bytes, &objects, &last);
    return last;
}
