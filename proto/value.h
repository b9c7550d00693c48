/*
 * Values inside the project: the public <synk/value.h>, plus decoding into an arena. A struct
 * synk_value is a msgpack_object; nobody else needs to know. Pure.
 */
#ifndef PROTO_VALUE_H
#define PROTO_VALUE_H

#include "proto/bytes.h"
#include "proto/check.h"
#include "proto/status.h"

/* Checks and decodes one value; the tree is freed with the document. See synk_document_decode. */
enum synk_status value_decode(struct synk_bytes bytes, const struct check_limits *limits,
                              struct synk_document **ret_document, struct synk_error *error);

/* The same; the document keeps a copy of the bytes, so `bytes` may go. */
enum synk_status value_decode_owned(struct synk_bytes bytes, const struct check_limits *limits,
                                    struct synk_document **ret_document, struct synk_error *error);

bool value_is_null(const struct synk_value *value); /* absent or null */
/* A string of 1 to `max` bytes under `key`; false (ret untouched) when absent or otherwise. */
bool value_get_string(const struct synk_value *map, const char *key, size_t max,
                      struct synk_bytes *ret_text);
/* Binary (opaque encoded value) under `key`, or empty bytes. */
struct synk_bytes value_get_opaque(const struct synk_value *map, const char *key);
/* Checks that a builder holds one whole value, as check_value; before that it tells what its user
 * left undone: a container begun and not ended, a key without a value. Linear. */
enum synk_status value_check_built(const struct synk_builder *builder,
                                   const struct check_limits *limits, struct synk_error *error);
/* Encodes a decoded value again. */
void value_encode(const struct synk_value *value, struct buf *out);
/* Deep equality of two encoded values, entry order of maps significant. */
bool value_same(struct synk_bytes a, struct synk_bytes b);

#endif
