/* Steps over MessagePack values without decoding them. Nothing recurses: what a container holds is
 * counted. */
#include "supervisor/shell/split.h"

/* Bytes of one MessagePack object's own header and payload, without what it contains;
 * `ret_children` is how many objects follow that belong to it. The bytes are our own engine's. */
static size_t object_bytes(const uint8_t *data, uint64_t *ret_children)
{
    uint8_t lead = data[0];
    uint64_t n = 0;
    *ret_children = 0;
    if (lead < 0x80 || lead >= 0xe0)
        return 1;
    if (lead < 0xa0) {
        *ret_children = (lead & 0x0f) * (lead < 0x90 ? 2u : 1u);
        return 1;
    }
    if (lead < 0xc0)
        return 1 + (size_t)(lead & 0x1f);
    /* By lead - 0xc0: bytes of the length field, or (from 0x80) of the fixed payload. */
    static const uint8_t forms[32] = {
        0x80, 0x80, 0x80, 0x80, 1,    2,    4,    1,    2,    4, 0x84, 0x88, 0x81, 0x82, 0x84, 0x88,
        0x81, 0x82, 0x84, 0x88, 0x82, 0x83, 0x85, 0x89, 0x91, 1, 2,    4,    2,    4,    2,    4,
    };
    uint8_t form = forms[lead - 0xc0];
    if (form & 0x80)
        return 1 + (size_t)(form & 0x7f);
    for (uint8_t i = 0; i < form; i++)
        n = n << 8 | data[1 + i];
    if (lead >= 0xdc) {
        *ret_children = lead >= 0xde ? 2 * n : n;
        return 1 + (size_t)form;
    }
    bool is_ext = lead >= 0xc7 && lead <= 0xc9;
    return 1 + (size_t)form + (size_t)n + (is_ext ? 1 : 0);
}

static size_t value_bytes(const uint8_t *data)
{
    size_t size = 0;
    for (uint64_t left = 1; left > 0; left--) {
        uint64_t children;
        size += object_bytes(data + size, &children);
        left += children;
    }
    return size;
}

size_t split_values(struct synk_bytes values, size_t limit_bytes, uint32_t *count)
{
    /* The usual case, without a look at what is in it. */
    if (values.size <= limit_bytes)
        return values.size;
    const uint8_t *data = values.data;
    size_t size = 0;
    uint32_t taken = 0;
    while (taken < *count) {
        size_t next = value_bytes(data + size);
        if (taken > 0 && size + next > limit_bytes)
            break;
        size += next;
        taken++;
    }
    *count = taken;
    return size;
}
