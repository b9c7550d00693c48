/*
 * Nodes to and from MessagePack. Reading bounds every count by the bytes that are left before it
 * allocates, and nests no deeper than DEFINITION_DEPTH, so that neither memory nor the stack
 * depends on what a header claims. Pure.
 */
#include "proto/definition_internal.h"
#include "proto/pack.h"

struct reader {
    const uint8_t *at, *end;
    const uint8_t *start;
    struct arena *arena;
    struct synk_error *error;
};

static enum synk_status fail(struct reader *reader, const char *what)
{
    return status_fail(reader->error, SYNK_INVALID, "byte %zu: %s",
                       (size_t)(reader->at - reader->start), what);
}

static bool take_big_endian(struct reader *reader, unsigned size, uint64_t *ret_value)
{
    if ((size_t)(reader->end - reader->at) < size)
        return false;
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | *reader->at++;
    *ret_value = value;
    return true;
}

static enum synk_status read_node(struct reader *reader, unsigned depth, struct node *ret_node);

static enum synk_status read_text(struct reader *reader, uint64_t size, struct node *node)
{
    if ((uint64_t)(reader->end - reader->at) < size)
        return fail(reader, "a string runs past the end");
    node->kind = NODE_STRING;
    node->text = bytes_of(reader->at, size);
    reader->at += size;
    return SYNK_OK;
}

static enum synk_status read_array(struct reader *reader, uint64_t count, unsigned depth,
                                   struct node *node)
{
    if (!depth || (uint64_t)(reader->end - reader->at) < count)
        return fail(reader, depth ? "an array runs past the end" : "nested too deep");
    node->kind = NODE_ARRAY;
    node->count = (uint32_t)count;
    node->keys = NULL;
    node->items = arena_alloc(reader->arena, count * sizeof(*node->items));
    enum synk_status status = SYNK_OK;
    for (uint64_t i = 0; i < count && !status; i++)
        status = read_node(reader, depth - 1, &node->items[i]);
    return status;
}

static enum synk_status read_map(struct reader *reader, uint64_t count, unsigned depth,
                                 struct node *node)
{
    if (!depth || (uint64_t)(reader->end - reader->at) / 2 < count)
        return fail(reader, depth ? "a map runs past the end" : "nested too deep");
    node->kind = NODE_MAP;
    node->count = (uint32_t)count;
    node->keys = arena_alloc(reader->arena, count * sizeof(*node->keys));
    node->items = arena_alloc(reader->arena, count * sizeof(*node->items));
    for (uint64_t i = 0; i < count; i++) {
        enum synk_status status = read_node(reader, depth - 1, &node->keys[i]);
        if (!status && node->keys[i].kind != NODE_STRING)
            return fail(reader, "a map key is not a string");
        if (!status)
            status = read_node(reader, depth - 1, &node->items[i]);
        if (status)
            return status;
    }
    uint32_t twice = definition_node_duplicate(node);
    if (twice != UINT32_MAX) {
        struct synk_bytes key = node->keys[twice].text;
        return status_fail(reader->error, SYNK_INVALID, "byte %zu: duplicate key '%.*s'",
                           (size_t)((const uint8_t *)key.data - reader->start),
                           (int)(key.size < 64 ? key.size : 64), (const char *)key.data);
    }
    return SYNK_OK;
}

static void set_integer(struct node *node, int64_t value)
{
    node->kind = NODE_INT;
    node->integer = value;
    node->written = bytes_of(NULL, 0);
}

static void set_double(struct node *node, double value)
{
    node->kind = NODE_DOUBLE;
    node->number = value;
    node->written = bytes_of(NULL, 0);
}

/* Format bytes 0xca to 0xd3: numbers of a fixed size. */
static enum synk_status read_number(struct reader *reader, uint8_t format, struct node *node)
{
    static const uint8_t sizes[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8};
    uint64_t raw;
    if (!take_big_endian(reader, sizes[format - 0xca], &raw))
        return fail(reader, "a number runs past the end");
    union {
        uint32_t bits;
        float value;
    } single = {(uint32_t)raw};
    union {
        uint64_t bits;
        double value;
    } full = {raw};
    if (format == 0xca)
        set_double(node, (double)single.value);
    else if (format == 0xcb)
        set_double(node, full.value);
    else if (format <= 0xcf && raw > INT64_MAX)
        return fail(reader, "an integer past 2^63 - 1");
    else if (format <= 0xcf || format == 0xd3)
        set_integer(node, (int64_t)raw);
    else
        set_integer(node, format == 0xd0   ? (int8_t)raw
                          : format == 0xd1 ? (int16_t)raw
                                           : (int32_t)raw);
    return SYNK_OK;
}

static enum synk_status read_node(struct reader *reader, unsigned depth, struct node *ret_node)
{
    memset(ret_node, 0, sizeof(*ret_node)); /* NODE_NULL */
    if (reader->at == reader->end)
        return fail(reader, "unexpected end");
    uint8_t format = *reader->at++;
    uint64_t count;
    if (format < 0x80 || format >= 0xe0) {
        set_integer(ret_node, (int8_t)format);
        return SYNK_OK;
    }
    if (format < 0x90)
        return read_map(reader, format & 0x0f, depth, ret_node);
    if (format < 0xa0)
        return read_array(reader, format & 0x0f, depth, ret_node);
    if (format < 0xc0)
        return read_text(reader, format & 0x1f, ret_node);
    if (format >= 0xca && format <= 0xd3)
        return read_number(reader, format, ret_node);
    if (format == 0xc0)
        return SYNK_OK;
    if (format == 0xc2 || format == 0xc3) {
        ret_node->kind = NODE_BOOL;
        ret_node->boolean = format == 0xc3;
        return SYNK_OK;
    }
    if (format >= 0xd9) { /* str8 str16 str32 array16 array32 map16 map32 */
        static const uint8_t sizes[] = {1, 2, 4, 2, 4, 2, 4};
        if (!take_big_endian(reader, sizes[format - 0xd9], &count))
            return fail(reader, "a length runs past the end");
        return format <= 0xdb   ? read_text(reader, count, ret_node)
               : format <= 0xdd ? read_array(reader, count, depth, ret_node)
                                : read_map(reader, count, depth, ret_node);
    }
    return fail(reader, "bytes and extensions have no place in a definition");
}

enum synk_status definition_node_decode(struct synk_bytes bytes, struct arena *arena,
                                        struct node *ret_node, struct synk_error *error)
{
    const uint8_t *data = bytes.data;
    if (!bytes.size)
        return status_fail(error, SYNK_INVALID, "byte 0: unexpected end");
    struct reader reader = {data, data + bytes.size, data, arena, error};
    struct node node;
    enum synk_status status = read_node(&reader, DEFINITION_DEPTH, &node);
    if (!status && reader.at != reader.end)
        status = fail(&reader, "trailing bytes");
    if (!status)
        *ret_node = node;
    return status;
}

uint32_t definition_node_duplicate(const struct node *map)
{
    if (map->count <= 16) {
        for (uint32_t i = 1; i < map->count; i++)
            for (uint32_t j = 0; j < i; j++)
                if (bytes_equal(map->keys[i].text, map->keys[j].text))
                    return i;
        return UINT32_MAX;
    }
    struct id_table seen = {0};
    uint32_t twice = UINT32_MAX;
    for (uint32_t i = 0; i < map->count && twice == UINT32_MAX; i++)
        if (id_table_put(&seen, map->keys[i].text, i) != UINT32_MAX)
            twice = i;
    id_table_fini(&seen);
    return twice;
}

bool definition_node_is(const struct node *node, const char *text)
{
    /* Mostly it is another one of forty names, which the first byte tells. */
    if (node->kind == NODE_STRING && node->text.size && *(const char *)node->text.data != *text)
        return false;
    return node->kind == NODE_STRING && bytes_equal(node->text, bytes_str(text));
}

const struct node *definition_node_get(const struct node *map, const char *key)
{
    for (uint32_t i = 0; map->kind == NODE_MAP && i < map->count; i++)
        if (definition_node_is(&map->keys[i], key))
            return &map->items[i];
    return NULL;
}

struct writer {
    struct buf *out;
    size_t start;
    uint32_t items;
    struct synk_error *error;
};

static enum synk_status write_node(struct writer *writer, const struct node *node, unsigned depth);

static enum synk_status write_container(struct writer *writer, const struct node *node,
                                        unsigned depth)
{
    if (!depth)
        return status_fail(writer->error, SYNK_TOO_LARGE, "nested deeper than %d",
                           LIMIT_VALUE_DEPTH);
    if (node->kind == NODE_MAP)
        pack_map(writer->out, node->count);
    else
        pack_array(writer->out, node->count);
    enum synk_status status = SYNK_OK;
    for (uint32_t i = 0; i < node->count && !status; i++) {
        if (node->kind == NODE_MAP) {
            struct synk_bytes key = node->keys[i].text;
            if (key.size && memchr(key.data, 0, key.size))
                return status_fail(writer->error, SYNK_INVALID, "a NUL byte in a map key");
            status = write_node(writer, &node->keys[i], depth - 1);
        }
        if (!status)
            status = write_node(writer, &node->items[i], depth - 1);
    }
    return status;
}

static enum synk_status write_node(struct writer *writer, const struct node *node, unsigned depth)
{
    if (++writer->items > LIMIT_MESSAGE_ITEMS)
        return status_fail(writer->error, SYNK_TOO_LARGE, "more than %d items",
                           LIMIT_MESSAGE_ITEMS);
    switch (node->kind) {
    case NODE_NULL:
        pack_null(writer->out);
        break;
    case NODE_BOOL:
        pack_bool(writer->out, node->boolean);
        break;
    case NODE_INT:
        pack_int(writer->out, node->integer);
        break;
    case NODE_DOUBLE:
        pack_double(writer->out, node->number);
        break;
    case NODE_STRING:
        if (node->text.size && !check_utf8(node->text))
            return status_fail(writer->error, SYNK_INVALID, "a string is not UTF-8");
        pack_string(writer->out, node->text);
        break;
    case NODE_ARRAY:
    case NODE_MAP: {
        enum synk_status status = write_container(writer, node, depth);
        if (status)
            return status;
        break;
    }
    }
    if (writer->out->size - writer->start > LIMIT_VALUE_BYTES)
        return status_fail(writer->error, SYNK_TOO_LARGE, "more than %d bytes", LIMIT_VALUE_BYTES);
    return SYNK_OK;
}

enum synk_status definition_node_encode(const struct node *node, struct buf *out,
                                        struct synk_error *error)
{
    struct writer writer = {out, out->size, 0, error};
    return write_node(&writer, node, LIMIT_VALUE_DEPTH);
}
