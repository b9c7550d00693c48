/*
 * Where stored MessagePack values end, and texts in stored maps. A page of events is cut out of
 * packed batches, and filtered by three texts of each: decoding every one would cost far more than
 * this walk does.
 */
#include "supervisor/store/packed.h"

/* Bytes of the length field, or of the scalar itself, behind the tags 0xc0 to 0xdf. */
static const uint8_t width_of[32] = {
    0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4,
};

struct head {
    uint64_t bytes;  /* that follow the head, before the next object */
    uint64_t values; /* objects inside */
    bool is_text;
};

/* Reads the head of one object; false where the bytes end, or the tag is one we never write. */
static bool read_head(const uint8_t **at, const uint8_t *end, struct head *ret_head)
{
    const uint8_t *p = *at;
    if (p == end)
        return false;
    uint8_t tag = *p++;
    struct head head = {0};
    if (tag >= 0x80 && tag < 0x90) {
        head.values = 2 * (tag & 0x0f);
    } else if (tag >= 0x90 && tag < 0xa0) {
        head.values = tag & 0x0f;
    } else if (tag >= 0xa0 && tag < 0xc0) {
        head.bytes = tag & 0x1f;
        head.is_text = true;
    } else if (tag >= 0xc0 && tag < 0xe0) {
        size_t width = width_of[tag - 0xc0];
        if (tag == 0xc1 || (tag >= 0xc7 && tag <= 0xc9) || (tag >= 0xd4 && tag <= 0xd8) ||
            (size_t)(end - p) < width)
            return false;
        uint64_t field = 0;
        if (tag <= 0xc6 || tag >= 0xd9)
            for (size_t i = 0; i < width; i++)
                field = field << 8 | p[i];
        p += width;
        if (tag >= 0xde)
            head.values = 2 * field;
        else if (tag >= 0xdc)
            head.values = field;
        else
            head.bytes = field;
        head.is_text = tag >= 0xd9 && tag <= 0xdb;
    }
    if (head.bytes > (uint64_t)(end - p))
        return false;
    *at = p;
    *ret_head = head;
    return true;
}

const uint8_t *packed_skip(const uint8_t *at, const uint8_t *end)
{
    for (uint64_t open = 1; open; open--) {
        struct head head;
        /* Every object still open takes a byte at least, which also keeps the sum from wrapping. */
        if (open > (uint64_t)(end - at) || !read_head(&at, end, &head))
            return NULL;
        at += head.bytes;
        open += head.values;
    }
    return at;
}

struct synk_bytes packed_text(struct synk_bytes map, const char *key)
{
    const struct synk_bytes none = {NULL, 0};
    const uint8_t *at = map.data, *end = at + map.size;
    struct head head;
    if (map.size == 0 || ((*at & 0xf0) != 0x80 && *at != 0xde && *at != 0xdf) ||
        !read_head(&at, end, &head))
        return none;
    for (uint64_t entries = head.values / 2; entries; entries--) {
        if (!read_head(&at, end, &head) || !head.is_text)
            return none;
        bool found = bytes_equal(bytes_of(at, head.bytes), bytes_str(key));
        at += head.bytes;
        if (found)
            return read_head(&at, end, &head) && head.is_text ? bytes_of(at, head.bytes) : none;
        at = packed_skip(at, end);
        if (!at)
            return none;
    }
    return none;
}

bool packed_map(const uint8_t **io_at, const uint8_t *end, uint64_t *ret_entries)
{
    struct head head;
    if (*io_at == end || ((**io_at & 0xf0) != 0x80 && **io_at != 0xde && **io_at != 0xdf) ||
        !read_head(io_at, end, &head))
        return false;
    *ret_entries = head.values / 2;
    return true;
}

bool packed_array(const uint8_t **io_at, const uint8_t *end, uint64_t *ret_elements)
{
    struct head head;
    if (*io_at == end || ((**io_at & 0xf0) != 0x90 && **io_at != 0xdc && **io_at != 0xdd) ||
        !read_head(io_at, end, &head))
        return false;
    *ret_elements = head.values;
    return true;
}

bool packed_int(const uint8_t **io_at, const uint8_t *end, int64_t *ret_value)
{
    const uint8_t *at = *io_at;
    if (at == end)
        return false;
    uint8_t tag = *at++;
    if (tag < 0x80 || tag >= 0xe0) {
        *ret_value = (int8_t)tag;
        *io_at = at;
        return true;
    }
    if (tag < 0xcc || tag > 0xd3 || (size_t)(end - at) < width_of[tag - 0xc0])
        return false;
    size_t width = width_of[tag - 0xc0];
    uint64_t value = tag >= 0xd0 && (*at & 0x80) ? UINT64_MAX : 0;
    for (size_t i = 0; i < width; i++)
        value = value << 8 | at[i];
    *ret_value = (int64_t)value;
    *io_at = at + width;
    return true;
}

bool packed_bytes(const uint8_t **io_at, const uint8_t *end, struct synk_bytes *ret_bytes)
{
    const uint8_t *at = *io_at;
    struct head head;
    if (at == end || !((*at >= 0xa0 && *at < 0xc0) || (*at >= 0xc4 && *at <= 0xc6) ||
                       (*at >= 0xd9 && *at <= 0xdb)))
        return false;
    if (!read_head(io_at, end, &head))
        return false;
    *ret_bytes = bytes_of(*io_at, head.bytes);
    *io_at += head.bytes;
    return true;
}
