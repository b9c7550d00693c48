/* JSON text to values and back, by Jansson. Not pure (Jansson seeds its hash tables). */
#ifndef PROTO_JSON_H
#define PROTO_JSON_H

#include "proto/bytes.h"
#include "proto/status.h"

/*
 * Appends the MessagePack form of one JSON text (any value at the top, duplicate keys refused, map
 * order kept, integers kept as integers within int64). Nesting to LIMIT_VALUE_DEPTH.
 * Fails with SYNK_INVALID and "line L, column C: …".
 */
enum synk_status json_parse(struct synk_bytes text, struct buf *out, struct synk_error *error);

/* Appends the JSON text of a value (not NUL-terminated). `indent` 0 is compact, else spaces per
 * level. Non-finite doubles become null; binary becomes base64. Control bytes are escaped. */
void json_print(const struct synk_value *value, int indent, struct buf *out);
/* The same for an encoded value; undecodable bytes print null. */
void json_print_encoded(struct synk_bytes value, int indent, struct buf *out);
/* Appends `text` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void json_print_string(struct synk_bytes text, struct buf *out);

#endif
