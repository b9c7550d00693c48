/*
 * Structs to MessagePack and back by tables of fields: one line a field tells its name, its type,
 * its bounds and its place in the struct, so that encoding and decoding cannot drift apart. For the
 * messages (msg*.c). Pure.
 *
 * A struct becomes a map (fields by name) or a row (an array, fields by position, trailing defaults
 * left out). Reading: nil or missing is the field's fallback, or a failure where it is required;
 * unknown names and further elements are passed over. Only bytes that check_value has accepted may
 * be read, since the bounds of each object are then known to hold. Nothing is allocated: decoded
 * texts and slices point into the bytes.
 */
#ifndef PROTO_FIELDS_H
#define PROTO_FIELDS_H

#include <stddef.h>

#include "proto/bytes.h"
#include "proto/status.h"

enum field_type {
    FIELD_U32, /* uint32_t or an enum; 0 to max */
    FIELD_U64,
    FIELD_I32,
    FIELD_I64,
    FIELD_BOOL,
    FIELD_SHARE, /* double, 0 to 1 */
    FIELD_TEXT,  /* string of at most max bytes; size 0 = nil */
    FIELD_BYTES, /* binary of at most max bytes; size 0 = nil */
    FIELD_SLICE, /* any value, undecoded: its bytes */
};

struct field {
    const char *name;
    enum field_type type;
    uint16_t offset;
    bool required;    /* must be there; texts and slices not empty */
    int32_t fallback; /* of numbers, where absent */
    uint64_t max;     /* of FIELD_U32, bytes of FIELD_TEXT and FIELD_BYTES */
};

/* Appends a map of all fields; empty texts and slices as nil. */
void fields_encode_map(const struct field *fields, size_t count, const void *base, struct buf *out);
/* Appends a row without its trailing defaults; where `extra` elements follow, which the caller
 * appends, with all. */
void fields_encode_row(const struct field *fields, size_t count, const void *base, size_t extra,
                       struct buf *out);

/* Reads one map that fills `bytes`. Fails with SYNK_PROTOCOL or, past a length, SYNK_TOO_LARGE. */
enum synk_status fields_decode_map(const struct field *fields, size_t count,
                                   struct synk_bytes bytes, void *base, struct synk_error *error);

/* A place in checked bytes. */
struct cursor {
    const uint8_t *at, *end;
};
static inline struct cursor cursor_of(struct synk_bytes bytes)
{
    const uint8_t *at = bytes.data;
    return (struct cursor){at, at + bytes.size};
}
/* Each reads one object and moves on; false, without moving, where it is of another kind. */
bool cursor_array(struct cursor *cursor, uint32_t *ret_count);
bool cursor_u64(struct cursor *cursor, uint64_t *ret_value);
bool cursor_text(struct cursor *cursor, struct synk_bytes *ret_text);
bool cursor_binary(struct cursor *cursor, struct synk_bytes *ret_bytes);
bool cursor_null(struct cursor *cursor);
/* Passes over one object with all in it. */
void cursor_skip(struct cursor *cursor);

/* Reads the next object as a row. Fails like fields_decode_map. */
enum synk_status fields_decode_row(const struct field *fields, size_t count, struct cursor *cursor,
                                   void *base, struct synk_error *error);

#endif
