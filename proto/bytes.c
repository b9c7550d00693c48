/*
 * The allocator and the four shapes of memory. Running out of memory ends the program here and
 * nowhere else: everything that matters is in the store or with the hosts by then.
 *
 * Invariants: a buf's data is one malloc'ed block that may be detached by its user; an arena's
 * first block is the one that is being filled; a blob never changes after blob_new.
 */
#include "proto/bytes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void *mem_alloc(size_t size)
{
    void *memory = malloc(size ? size : 1);
    if (!memory)
        abort();
    return memory;
}

void *mem_zalloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory)
        abort();
    return memory;
}

void *mem_realloc(void *old, size_t count, size_t size)
{
    if (count == 0 || size == 0)
        count = size = 1;
    void *memory = reallocarray(old, count, size);
    if (!memory)
        abort();
    return memory;
}

char *mem_strndup(const char *text, size_t size)
{
    if (size == SIZE_MAX)
        abort();
    char *copy = mem_alloc(size + 1);
    if (size)
        memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

char *mem_strdup(const char *text)
{
    return mem_strndup(text, strlen(text));
}

void *mem_grow(void *items, size_t *capacity, size_t need, size_t item_size)
{
    if (need <= *capacity)
        return items;
    size_t grown = *capacity < 4 ? 8 : *capacity * 2;
    if (grown < need)
        grown = need;
    items = mem_realloc(items, grown, item_size);
    *capacity = grown;
    return items;
}

uint64_t bytes_hash(struct synk_bytes bytes)
{
    const uint8_t *data = bytes.data;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes.size; i++)
        hash = (hash ^ data[i]) * 0x100000001b3u;
    /* FNV leaves the low bits of short keys weak, and tables index by them. */
    hash ^= hash >> 32;
    hash *= 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 29);
}

void buf_fini(struct buf *buf)
{
    if (!buf)
        return;
    free(buf->data);
    *buf = (struct buf){0};
}

void buf_reserve(struct buf *buf, size_t more)
{
    if (more <= buf->capacity - buf->size)
        return;
    if (more > SIZE_MAX / 2 - buf->size)
        abort();
    size_t capacity = buf->capacity < 64 ? 64 : buf->capacity;
    while (capacity < buf->size + more)
        capacity *= 2;
    buf->data = mem_realloc(buf->data, capacity, 1);
    buf->capacity = capacity;
}

void buf_append(struct buf *buf, const void *data, size_t size)
{
    if (size == 0)
        return;
    buf_reserve(buf, size);
    memcpy(buf->data + buf->size, data, size);
    buf->size += size;
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    buf_reserve(buf, 64);
    va_list arguments;
    va_start(arguments, format);
    int size =
        vsnprintf((char *)buf->data + buf->size, buf->capacity - buf->size, format, arguments);
    va_end(arguments);
    assert(size >= 0);
    if ((size_t)size >= buf->capacity - buf->size) {
        buf_reserve(buf, (size_t)size + 1);
        va_start(arguments, format);
        vsnprintf((char *)buf->data + buf->size, buf->capacity - buf->size, format, arguments);
        va_end(arguments);
    }
    buf->size += (size_t)size;
}

enum {
    ARENA_ALIGN = 16,
    /* Small enough for one small definition, doubling so that a large one takes few mallocs. */
    ARENA_BLOCK_MIN = 1024,
    ARENA_BLOCK_MAX = 256 << 10,
};

struct arena_block {
    struct arena_block *next;
    size_t used, capacity;
    _Alignas(ARENA_ALIGN) uint8_t data[];
};

void arena_fini(struct arena *arena)
{
    if (!arena)
        return;
    for (struct arena_block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    *arena = (struct arena){0};
}

void arena_clear(struct arena *arena)
{
    struct arena_block *kept = arena->blocks;
    if (!kept)
        return;
    struct arena rest = {.blocks = kept->next};
    arena_fini(&rest);
    kept->next = NULL;
    kept->used = 0;
    arena->used_bytes = 0;
}

static struct arena_block *add_block(struct arena *arena, size_t size)
{
    size_t capacity = arena->blocks ? arena->blocks->capacity * 2 : ARENA_BLOCK_MIN;
    if (capacity > ARENA_BLOCK_MAX)
        capacity = ARENA_BLOCK_MAX;
    if (capacity < size)
        capacity = size;
    struct arena_block *block = mem_alloc(sizeof(*block) + capacity);
    *block = (struct arena_block){.next = arena->blocks, .capacity = capacity};
    arena->blocks = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        abort();
    size_t taken = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    struct arena_block *block = arena->blocks;
    if (!block || block->capacity - block->used < taken)
        block = add_block(arena, taken);
    void *memory = block->data + block->used;
    block->used += taken;
    arena->used_bytes += taken;
    return memory;
}

void *arena_zalloc(struct arena *arena, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / 2 / size)
        abort();
    void *memory = arena_alloc(arena, count * size);
    memset(memory, 0, count * size);
    return memory;
}

char *arena_strndup(struct arena *arena, const char *text, size_t size)
{
    if (size == SIZE_MAX)
        abort();
    char *copy = arena_alloc(arena, size + 1);
    if (size)
        memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return arena_strndup(arena, text, strlen(text));
}

struct synk_bytes arena_copy(struct arena *arena, struct synk_bytes bytes)
{
    if (bytes.size == 0)
        return (struct synk_bytes){NULL, 0};
    void *copy = arena_alloc(arena, bytes.size);
    memcpy(copy, bytes.data, bytes.size);
    return bytes_of(copy, bytes.size);
}

struct blob *blob_new(struct synk_bytes bytes)
{
    if (bytes.size == 0)
        return NULL;
    assert(bytes.size <= UINT32_MAX);
    struct blob *blob = mem_alloc(sizeof(*blob) + bytes.size);
    atomic_init(&blob->references, 1);
    blob->size = (uint32_t)bytes.size;
    memcpy(blob->data, bytes.data, bytes.size);
    return blob;
}

struct blob *blob_ref(struct blob *blob)
{
    if (blob)
        atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
    return blob;
}

void blob_unref(struct blob *blob)
{
    if (!blob)
        return;
    unsigned before = atomic_fetch_sub_explicit(&blob->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1)
        free(blob);
}
