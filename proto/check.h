/*
 * The bounded check that every foreign MessagePack value passes before MessagePack-C unpacks it:
 * MessagePack-C allocates what a header declares, so a 5-byte message could ask for gigabytes.
 * Pure; allocates nothing; linear in the bytes.
 */
#ifndef PROTO_CHECK_H
#define PROTO_CHECK_H

#include "proto/bytes.h"
#include "proto/status.h"

struct check_limits {
    uint32_t depth; /* containers inside containers */
    uint32_t items; /* objects in the whole value */
};

/* LIMIT_VALUE_DEPTH and LIMIT_MESSAGE_ITEMS. */
extern const struct check_limits check_message_limits;

/*
 * Whether `bytes` are exactly one MessagePack value within the limits: counts that cannot exceed
 * the bytes left, strings that are UTF-8 (no NUL inside map keys), map keys that are strings, no
 * ext types, no trailing bytes. Fails with SYNK_PROTOCOL (malformed) or SYNK_TOO_LARGE (a limit),
 * the byte offset in the text.
 */
enum synk_status check_value(struct synk_bytes bytes, const struct check_limits *limits,
                             struct synk_error *error);

/* How many whole values lie one behind the other at the start of `bytes`, and how many objects make
 * them up (NULL: not asked). Looks at their extent only, not at what check_value asks of them.
 * Linear. */
size_t check_sequence(struct synk_bytes bytes, size_t *ret_objects);

/* The last of those values, within `bytes`; size 0 where there is none. Linear. */
struct synk_bytes check_last(struct synk_bytes bytes);

/* Whether the bytes are well-formed UTF-8. */
bool check_utf8(struct synk_bytes text);
/* How many bytes at the start are well-formed UTF-8. */
size_t check_utf8_prefix(struct synk_bytes text);

#endif
