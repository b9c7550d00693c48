/*
 * Values over MessagePack-C: a struct synk_value is a msgpack_object, a document is a zone with one
 * tree in it, a builder is a buf that is packed into.
 *
 * Invariant: MessagePack-C sees only bytes that check_value has passed. Its C unpacker points
 * strings and binaries into the input and never copies them, which is why a document borrows its
 * bytes.
 */
#include "proto/value.h"

#include <msgpack/object.h>
#include <msgpack/unpack.h>
#include <msgpack/zone.h>
#include <stdlib.h>

#include "proto/limits.h"
#include "proto/pack.h"

struct synk_document {
    msgpack_zone zone;
    msgpack_object root;
};

static const msgpack_object *object_of(const struct synk_value *value)
{
    return (const msgpack_object *)value;
}

static const struct synk_value *value_of(const msgpack_object *object)
{
    return (const struct synk_value *)object;
}

/* One chunk for most messages, without asking 64 KiB for a small one. An object of the tree takes
 * 24 bytes for the 3 or so that it takes on the wire. */
static size_t zone_chunk_size(size_t size)
{
    size_t guess = size * 8;
    return guess < 512 ? 512 : guess > (64 << 10) ? 64 << 10 : guess;
}

enum synk_status value_decode(struct synk_bytes bytes, const struct check_limits *limits,
                              struct synk_document **ret_document, struct synk_error *error)
{
    enum synk_status status = check_value(bytes, limits, error);
    if (status != SYNK_OK)
        return status;
    struct synk_document *document = mem_alloc(sizeof(*document));
    if (!msgpack_zone_init(&document->zone, zone_chunk_size(bytes.size)))
        abort();
    /* Past the check the only failure left is want of memory. */
    if (msgpack_unpack(bytes.data, bytes.size, NULL, &document->zone, &document->root) !=
        MSGPACK_UNPACK_SUCCESS)
        abort();
    *ret_document = document;
    return SYNK_OK;
}

enum synk_status value_decode_owned(struct synk_bytes bytes, const struct check_limits *limits,
                                    struct synk_document **ret_document, struct synk_error *error)
{
    uint8_t *copy = mem_alloc(bytes.size ? bytes.size : 1);
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    enum synk_status status = value_decode(bytes_of(copy, bytes.size), limits, ret_document, error);
    if (status != SYNK_OK)
        free(copy);
    else if (!msgpack_zone_push_finalizer(&(*ret_document)->zone, free, copy))
        abort();
    return status;
}

enum synk_status synk_document_decode(struct synk_bytes bytes, struct synk_document **ret_document,
                                      struct synk_error *error)
{
    return value_decode(bytes, &check_message_limits, ret_document, error);
}

const struct synk_value *synk_document_root(const struct synk_document *document)
{
    return document ? value_of(&document->root) : NULL;
}

void synk_document_free(struct synk_document *document)
{
    if (!document)
        return;
    msgpack_zone_destroy(&document->zone);
    free(document);
}

enum synk_kind synk_value_kind(const struct synk_value *value)
{
    if (!value)
        return SYNK_NULL;
    switch (object_of(value)->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        return SYNK_BOOL;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return SYNK_INT;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return SYNK_DOUBLE;
    case MSGPACK_OBJECT_STR:
        return SYNK_STRING;
    case MSGPACK_OBJECT_BIN:
        return SYNK_BINARY;
    case MSGPACK_OBJECT_ARRAY:
        return SYNK_ARRAY;
    case MSGPACK_OBJECT_MAP:
        return SYNK_MAP;
    case MSGPACK_OBJECT_NIL:
    case MSGPACK_OBJECT_EXT: /* refused by the check */
        break;
    }
    return SYNK_NULL;
}

size_t synk_value_count(const struct synk_value *value)
{
    switch (synk_value_kind(value)) {
    case SYNK_ARRAY:
        return object_of(value)->via.array.size;
    case SYNK_MAP:
        return object_of(value)->via.map.size;
    case SYNK_STRING:
    case SYNK_BINARY:
        return synk_value_bytes(value).size;
    default:
        return 0;
    }
}

static const struct synk_value *find(const struct synk_value *map, const char *key, size_t size)
{
    if (!map || object_of(map)->type != MSGPACK_OBJECT_MAP)
        return NULL;
    const msgpack_object_map *entries = &object_of(map)->via.map;
    for (uint32_t i = 0; i < entries->size; i++) {
        const msgpack_object_str *name = &entries->ptr[i].key.via.str;
        if (name->size == size && memcmp(name->ptr, key, size) == 0)
            return value_of(&entries->ptr[i].val);
    }
    return NULL;
}

const struct synk_value *synk_value_get(const struct synk_value *map, const char *key)
{
    return find(map, key, strlen(key));
}

/* The position that `size` digits name, or SIZE_MAX. */
static size_t position(const char *digits, size_t size)
{
    size_t number = 0;
    if (size == 0 || size > 9)
        return SIZE_MAX;
    for (size_t i = 0; i < size; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return SIZE_MAX;
        number = number * 10 + (size_t)(digits[i] - '0');
    }
    return number;
}

const struct synk_value *synk_value_path(const struct synk_value *value, const char *path)
{
    while (value && *path) {
        size_t size = strcspn(path, "/");
        if (synk_value_kind(value) == SYNK_ARRAY)
            value = synk_value_at(value, position(path, size));
        else
            value = find(value, path, size);
        path += size + (path[size] == '/');
    }
    return value;
}

const struct synk_value *synk_value_at(const struct synk_value *value, size_t index)
{
    if (!value)
        return NULL;
    const msgpack_object *object = object_of(value);
    if (object->type == MSGPACK_OBJECT_ARRAY && index < object->via.array.size)
        return value_of(&object->via.array.ptr[index]);
    if (object->type == MSGPACK_OBJECT_MAP && index < object->via.map.size)
        return value_of(&object->via.map.ptr[index].val);
    return NULL;
}

struct synk_bytes synk_value_key_at(const struct synk_value *map, size_t index)
{
    if (!map || object_of(map)->type != MSGPACK_OBJECT_MAP || index >= object_of(map)->via.map.size)
        return (struct synk_bytes){NULL, 0};
    const msgpack_object_str *key = &object_of(map)->via.map.ptr[index].key.via.str;
    return bytes_of(key->ptr, key->size);
}

bool synk_value_bool(const struct synk_value *value, bool otherwise)
{
    return synk_value_kind(value) == SYNK_BOOL ? object_of(value)->via.boolean : otherwise;
}

int64_t synk_value_int(const struct synk_value *value, int64_t otherwise)
{
    if (!value)
        return otherwise;
    const msgpack_object *object = object_of(value);
    switch (object->type) {
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return object->via.u64 <= INT64_MAX ? (int64_t)object->via.u64 : otherwise;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return object->via.i64;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        /* 2^63 as a double is the first that does not fit; the comparison is false for NaN. */
        if (object->via.f64 >= -0x1p63 && object->via.f64 < 0x1p63 &&
            (double)(int64_t)object->via.f64 == object->via.f64)
            return (int64_t)object->via.f64;
        return otherwise;
    default:
        return otherwise;
    }
}

double synk_value_double(const struct synk_value *value, double otherwise)
{
    if (!value)
        return otherwise;
    const msgpack_object *object = object_of(value);
    switch (object->type) {
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return (double)object->via.u64;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return (double)object->via.i64;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return object->via.f64;
    default:
        return otherwise;
    }
}

struct synk_bytes synk_value_bytes(const struct synk_value *value)
{
    enum synk_kind kind = synk_value_kind(value);
    if (kind != SYNK_STRING && kind != SYNK_BINARY)
        return (struct synk_bytes){NULL, 0};
    const msgpack_object *object = object_of(value);
    const char *data = kind == SYNK_STRING ? object->via.str.ptr : object->via.bin.ptr;
    size_t size = kind == SYNK_STRING ? object->via.str.size : object->via.bin.size;
    return bytes_of(data ? data : "", size);
}

char *synk_value_string_dup(const struct synk_value *value)
{
    if (synk_value_kind(value) != SYNK_STRING)
        return NULL;
    struct synk_bytes text = synk_value_bytes(value);
    return mem_strndup(text.data, text.size);
}

bool value_is_null(const struct synk_value *value)
{
    return synk_value_kind(value) == SYNK_NULL;
}

bool value_get_string(const struct synk_value *map, const char *key, size_t max,
                      struct synk_bytes *ret_text)
{
    const struct synk_value *value = synk_value_get(map, key);
    if (synk_value_kind(value) != SYNK_STRING)
        return false;
    struct synk_bytes text = synk_value_bytes(value);
    if (text.size == 0 || text.size > max)
        return false;
    *ret_text = text;
    return true;
}

struct synk_bytes value_get_opaque(const struct synk_value *map, const char *key)
{
    const struct synk_value *value = synk_value_get(map, key);
    if (synk_value_kind(value) != SYNK_BINARY)
        return (struct synk_bytes){NULL, 0};
    return synk_value_bytes(value);
}

void value_encode(const struct synk_value *value, struct buf *out)
{
    if (!value) {
        pack_null(out);
        return;
    }
    msgpack_packer packer = pack_into(out);
    msgpack_pack_object(&packer, *object_of(value));
}

/* Recursion ends at the depth that the check allowed. */
static bool same_tree(const struct synk_value *a, const struct synk_value *b)
{
    enum synk_kind kind = synk_value_kind(a);
    if (kind != synk_value_kind(b) || synk_value_count(a) != synk_value_count(b))
        return false;
    switch (kind) {
    case SYNK_NULL:
        return true;
    case SYNK_BOOL:
        return synk_value_bool(a, false) == synk_value_bool(b, false);
    case SYNK_INT: /* positive and negative have types of their own, so the bits decide */
        return object_of(a)->type == object_of(b)->type &&
               object_of(a)->via.u64 == object_of(b)->via.u64;
    case SYNK_DOUBLE: {
        double x = object_of(a)->via.f64, y = object_of(b)->via.f64;
        return x == y || (x != x && y != y);
    }
    case SYNK_STRING:
    case SYNK_BINARY:
        return bytes_equal(synk_value_bytes(a), synk_value_bytes(b));
    case SYNK_ARRAY:
    case SYNK_MAP:
        break;
    }
    for (size_t i = 0; i < synk_value_count(a); i++)
        if (!bytes_equal(synk_value_key_at(a, i), synk_value_key_at(b, i)) ||
            !same_tree(synk_value_at(a, i), synk_value_at(b, i)))
            return false;
    return true;
}

bool value_same(struct synk_bytes a, struct synk_bytes b)
{
    static const uint8_t null_value = 0xc0;
    if (a.size == 0)
        a = bytes_of(&null_value, 1);
    if (b.size == 0)
        b = bytes_of(&null_value, 1);
    if (bytes_equal(a, b))
        return true;
    /* The same number or length may be written in several widths. */
    struct synk_document *left = NULL, *right = NULL;
    bool same = synk_document_decode(a, &left, NULL) == SYNK_OK &&
                synk_document_decode(b, &right, NULL) == SYNK_OK &&
                same_tree(synk_document_root(left), synk_document_root(right));
    synk_document_free(left);
    synk_document_free(right);
    return same;
}

struct synk_builder {
    struct buf buf;
    /* Where the containers start that were begun and not ended; a deeper one is refused by the
     * check of the whole value, so its place need not be known. */
    size_t open[LIMIT_VALUE_DEPTH];
    size_t depth;
    /* Where in `buf` the first key is behind which a map was ended; 0 bytes: there is none. */
    size_t lone_key_at, lone_key_bytes;
};

enum {
    TAG_ARRAY32 = 0xdd,
    TAG_MAP32 = 0xdf,
    OPEN_HEAD_BYTES = 5, /* a tag and a count of 32 bits, filled in at the end */
};

struct synk_builder *synk_builder_new(void)
{
    return mem_zalloc(1, sizeof(struct synk_builder));
}

void synk_builder_free(struct synk_builder *builder)
{
    if (!builder)
        return;
    buf_fini(&builder->buf);
    free(builder);
}

void synk_builder_clear(struct synk_builder *builder)
{
    buf_clear(&builder->buf);
    builder->depth = 0;
    builder->lone_key_bytes = 0;
}

static void begin(struct synk_builder *builder, uint8_t tag)
{
    const uint8_t head[OPEN_HEAD_BYTES] = {tag};
    if (builder->depth < LIMIT_VALUE_DEPTH)
        builder->open[builder->depth] = builder->buf.size;
    builder->depth++;
    buf_append(&builder->buf, head, sizeof(head));
}

void synk_builder_begin_map(struct synk_builder *builder)
{
    begin(builder, TAG_MAP32);
}

void synk_builder_begin_array(struct synk_builder *builder)
{
    begin(builder, TAG_ARRAY32);
}

void synk_builder_end(struct synk_builder *builder)
{
    if (builder->depth == 0 || --builder->depth >= LIMIT_VALUE_DEPTH)
        return;
    uint8_t *head = builder->buf.data + builder->open[builder->depth],
            *body = head + OPEN_HEAD_BYTES;
    size_t left = builder->buf.size - (size_t)(body - builder->buf.data);
    size_t count = check_sequence(bytes_of(body, left), NULL);
    if (head[0] == TAG_MAP32) {
        if (count % 2 && !builder->lone_key_bytes) {
            struct synk_bytes key = check_last(bytes_of(body, left));
            builder->lone_key_at = (size_t)((const uint8_t *)key.data - builder->buf.data);
            builder->lone_key_bytes = key.size;
        }
        /* A key without its value counts as an entry, which is then found to be missing. */
        count = (count + 1) / 2;
    }
    for (int i = 0; i < 4; i++)
        head[1 + i] = (uint8_t)(count >> (24 - 8 * i));
}

void synk_builder_map(struct synk_builder *builder, size_t entries)
{
    pack_map(&builder->buf, entries);
}

void synk_builder_array(struct synk_builder *builder, size_t elements)
{
    pack_array(&builder->buf, elements);
}

void synk_builder_null(struct synk_builder *builder)
{
    pack_null(&builder->buf);
}

void synk_builder_bool(struct synk_builder *builder, bool value)
{
    pack_bool(&builder->buf, value);
}

void synk_builder_int(struct synk_builder *builder, int64_t value)
{
    pack_int(&builder->buf, value);
}

void synk_builder_double(struct synk_builder *builder, double value)
{
    pack_double(&builder->buf, value);
}

void synk_builder_string(struct synk_builder *builder, const char *text)
{
    pack_cstr(&builder->buf, text);
}

void synk_builder_string_n(struct synk_builder *builder, const char *text, size_t size)
{
    pack_string(&builder->buf, bytes_of(text, size));
}

void synk_builder_binary(struct synk_builder *builder, const void *data, size_t size)
{
    pack_binary(&builder->buf, bytes_of(data, size));
}

void synk_builder_encoded(struct synk_builder *builder, struct synk_bytes value)
{
    pack_encoded(&builder->buf, value);
}

struct synk_bytes synk_builder_bytes(const struct synk_builder *builder)
{
    return buf_bytes(&builder->buf);
}

static enum synk_status fail_lone_key(const struct synk_builder *builder, struct synk_error *error)
{
    struct synk_bytes encoded =
        bytes_of(builder->buf.data + builder->lone_key_at, builder->lone_key_bytes);
    struct synk_document *document = NULL;
    struct synk_bytes key = {0};
    enum { SHOWN_BYTES = 64 };
    if (value_decode(encoded, &check_message_limits, &document, NULL) == SYNK_OK &&
        synk_value_kind(synk_document_root(document)) == SYNK_STRING)
        key = synk_value_bytes(synk_document_root(document));
    enum synk_status status =
        key.size ? status_fail(error, SYNK_INVALID, "key '%.*s%s' has no value",
                               (int)(key.size < SHOWN_BYTES ? key.size : SHOWN_BYTES),
                               (const char *)key.data, key.size > SHOWN_BYTES ? "…" : "")
                 : status_fail(error, SYNK_INVALID,
                               "a map was ended behind a key: a value is missing in it");
    synk_document_free(document);
    return status;
}

enum synk_status value_check_built(const struct synk_builder *builder,
                                   const struct check_limits *limits, struct synk_error *error)
{
    if (builder->depth && builder->depth <= LIMIT_VALUE_DEPTH)
        return status_fail(error, SYNK_INVALID, "%s was begun and not ended",
                           builder->buf.data[builder->open[builder->depth - 1]] == TAG_MAP32
                               ? "a map"
                               : "an array");
    if (builder->depth)
        return status_fail(error, SYNK_INVALID, "a container was begun and not ended");
    if (builder->lone_key_bytes)
        return fail_lone_key(builder, error);
    return check_value(buf_bytes(&builder->buf), limits, error);
}
