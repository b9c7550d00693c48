/*
 * Memory in four shapes: mem_* (the allocator; running out ends the program, which is survivable by
 * design), struct buf (growable), struct arena (freed all at once), struct blob (shared, counted).
 * Pure: no I/O. Everyone may use it.
 */
#ifndef PROTO_BYTES_H
#define PROTO_BYTES_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "synk/value.h"

/* malloc, calloc, realloc, strdup that never return NULL: they abort. Free with free(). */
void *mem_alloc(size_t size);
void *mem_zalloc(size_t count, size_t size);
void *mem_realloc(void *old, size_t count, size_t size);
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t size);

/* Grows an array by doubling so that it holds `need` elements. Usage:
 *   items = mem_grow(items, &capacity, count + 1, sizeof(*items)); */
void *mem_grow(void *items, size_t *capacity, size_t need, size_t item_size);

static inline struct synk_bytes bytes_of(const void *data, size_t size)
{
    return (struct synk_bytes){data, size};
}
static inline struct synk_bytes bytes_str(const char *text)
{
    return (struct synk_bytes){text, text ? strlen(text) : 0};
}
static inline bool bytes_equal(struct synk_bytes a, struct synk_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
/* FNV-1a, 64 bits, finished with a mix; for hash tables, not for security. */
uint64_t bytes_hash(struct synk_bytes bytes);

/* A growable run of bytes. All zero is a valid empty buf. */
struct buf {
    uint8_t *data;
    size_t size, capacity;
};
void buf_fini(struct buf *buf);
static inline void buf_clear(struct buf *buf)
{
    buf->size = 0;
}
void buf_reserve(struct buf *buf, size_t more);
void buf_append(struct buf *buf, const void *data, size_t size);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline struct synk_bytes buf_bytes(const struct buf *buf)
{
    return (struct synk_bytes){buf->data, buf->size};
}

/* Memory that is freed all at once. All zero is a valid empty arena. Aligned to 16. */
struct arena {
    struct arena_block *blocks;
    size_t used_bytes; /* handed out since init or clear */
};
void arena_fini(struct arena *arena);
/* Forgets everything handed out; keeps one block for reuse. */
void arena_clear(struct arena *arena);
void *arena_alloc(struct arena *arena, size_t size);
void *arena_zalloc(struct arena *arena, size_t count, size_t size);
struct synk_bytes arena_copy(struct arena *arena, struct synk_bytes bytes);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t size);

/* Immutable shared bytes with a reference count (atomic: batches cross to the writer thread). */
struct blob {
    atomic_uint references;
    uint32_t size;
    uint8_t data[];
};
/* NULL for empty bytes. The new blob has one reference, the caller's. */
struct blob *blob_new(struct synk_bytes bytes);
struct blob *blob_ref(struct blob *blob); /* NULL gives NULL */
void blob_unref(struct blob *blob);       /* takes NULL */
static inline struct synk_bytes blob_bytes(const struct blob *blob)
{
    return blob ? (struct synk_bytes){blob->data, blob->size} : (struct synk_bytes){NULL, 0};
}

#endif
