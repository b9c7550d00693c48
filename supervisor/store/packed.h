/*
 * Reading stored MessagePack in place, without decoding it: finding where one value ends, and a
 * text in a map. Trusts nothing and allocates nothing. Private to supervisor/store.
 */
#ifndef STORE_PACKED_H
#define STORE_PACKED_H

#include "proto/bytes.h"

/* One past the value that begins at `at`; NULL where the bytes end within it, or are no value. */
const uint8_t *packed_skip(const uint8_t *at, const uint8_t *end);
/* The string under `key` of an encoded map; empty where there is none. */
struct synk_bytes packed_text(struct synk_bytes map, const char *key);

/* Reads one object of that type at *io_at and moves behind it; false: there is none. An integer
 * beyond INT64_MAX is told by its bits; bytes are strings or binary. */
bool packed_map(const uint8_t **io_at, const uint8_t *end, uint64_t *ret_entries);
bool packed_array(const uint8_t **io_at, const uint8_t *end, uint64_t *ret_elements);
bool packed_int(const uint8_t **io_at, const uint8_t *end, int64_t *ret_value);
bool packed_bytes(const uint8_t **io_at, const uint8_t *end, struct synk_bytes *ret_bytes);

#endif
