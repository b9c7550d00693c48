/* Appending MessagePack to a struct buf: thin inline calls over MessagePack-C's packer. Pure. */
#ifndef PROTO_PACK_H
#define PROTO_PACK_H

#include <msgpack/pack.h>

#include "proto/bytes.h"

static inline int pack_write(void *buf, const char *data, size_t size)
{
    buf_append((struct buf *)buf, data, size);
    return 0;
}
static inline msgpack_packer pack_into(struct buf *buf)
{
    return (msgpack_packer){buf, pack_write};
}
static inline void pack_map(struct buf *buf, size_t entries)
{
    msgpack_packer packer = pack_into(buf);
    msgpack_pack_map(&packer, entries);
}
static inline void pack_array(struct buf *buf, size_t elements)
{
    msgpack_packer packer = pack_into(buf);
    msgpack_pack_array(&packer, elements);
}
static inline void pack_null(struct buf *buf)
{
    msgpack_packer packer = pack_into(buf);
    msgpack_pack_nil(&packer);
}
static inline void pack_bool(struct buf *buf, bool value)
{
    msgpack_packer packer = pack_into(buf);
    if (value)
        msgpack_pack_true(&packer);
    else
        msgpack_pack_false(&packer);
}
static inline void pack_int(struct buf *buf, int64_t value)
{
    msgpack_packer packer = pack_into(buf);
    msgpack_pack_int64(&packer, value);
}
static inline void pack_uint(struct buf *buf, uint64_t value)
{
    msgpack_packer packer = pack_into(buf);
    msgpack_pack_uint64(&packer, value);
}
static inline void pack_double(struct buf *buf, double value)
{
    msgpack_packer packer = pack_into(buf);
    msgpack_pack_double(&packer, value);
}
static inline void pack_string(struct buf *buf, struct synk_bytes text)
{
    msgpack_packer packer = pack_into(buf);
    msgpack_pack_str(&packer, text.size);
    buf_append(buf, text.data, text.size);
}
/* NULL packs null. */
static inline void pack_cstr(struct buf *buf, const char *text)
{
    if (text)
        pack_string(buf, bytes_str(text));
    else
        pack_null(buf);
}
static inline void pack_key(struct buf *buf, const char *key)
{
    pack_string(buf, bytes_str(key));
}
static inline void pack_binary(struct buf *buf, struct synk_bytes data)
{
    msgpack_packer packer = pack_into(buf);
    msgpack_pack_bin(&packer, data.size);
    buf_append(buf, data.data, data.size);
}
/* An already encoded value, in place; size 0 packs null. */
static inline void pack_encoded(struct buf *buf, struct synk_bytes value)
{
    if (value.size)
        buf_append(buf, value.data, value.size);
    else
        pack_null(buf);
}
/* An already encoded value, carried opaque as binary; size 0 packs null. */
static inline void pack_opaque(struct buf *buf, struct synk_bytes value)
{
    if (value.size)
        pack_binary(buf, value);
    else
        pack_null(buf);
}

#endif
