/*
 * Values: what payloads, parameters, results and event bodies are made of. A value is null, a
 * boolean, an integer, a double, a string, bytes, an array, or a map with string keys; on the wire
 * and in the store it is one MessagePack object.
 *
 * Reading: a struct synk_value is a read-only view into a decoded document that somebody else owns
 * (a task, a reply, a struct synk_document); it lives as long as its owner. Every reading call
 * takes NULL and then answers "absent", so that lookups chain: synk_value_int(synk_value_get(v,
 * "n"), 0). Writing: a struct synk_builder collects one value from nested calls.
 *
 * No call blocks. Running out of memory ends the program. Not thread-safe per object.
 */
#ifndef SYNK_VALUE_H
#define SYNK_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <synk/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A borrowed run of bytes. For an encoded value, size 0 means "none", which reads as null. */
struct synk_bytes {
    const void *data;
    size_t size;
};

struct synk_value;    /* read-only view */
struct synk_document; /* owns decoded values */
struct synk_builder;  /* collects a value to send */

enum synk_kind {
    SYNK_NULL,
    SYNK_BOOL,
    SYNK_INT,
    SYNK_DOUBLE,
    SYNK_STRING,
    SYNK_BINARY,
    SYNK_ARRAY,
    SYNK_MAP,
};

/*
 * Decodes one MessagePack value (checked first: depth, counts, UTF-8, no trailing bytes). `bytes`
 * must outlive the document: strings point into it. Free with synk_document_free.
 * Fails with SYNK_PROTOCOL or SYNK_TOO_LARGE.
 */
SYNK_API enum synk_status synk_document_decode(struct synk_bytes bytes,
                                               struct synk_document **ret_document,
                                               struct synk_error *error);
SYNK_API const struct synk_value *synk_document_root(const struct synk_document *document);
SYNK_API void synk_document_free(struct synk_document *document);

SYNK_API enum synk_kind synk_value_kind(const struct synk_value *value);
/* Elements of an array, entries of a map, bytes of a string or binary; 0 for the rest. */
SYNK_API size_t synk_value_count(const struct synk_value *value);
/* The map's value for a key, NULL when absent or not a map. Linear in the map's size. */
SYNK_API const struct synk_value *synk_value_get(const struct synk_value *map, const char *key);
/* What is under a path of map keys and array positions joined by '/', such as "Probe/streams/0":
 * worker ids cannot contain that, so paths into a task's inputs are never ambiguous. NULL where any
 * part is absent; the value itself for "". */
SYNK_API const struct synk_value *synk_value_path(const struct synk_value *value, const char *path);
/* The element of an array, or the value of a map's entry, by position; NULL past the end. */
SYNK_API const struct synk_value *synk_value_at(const struct synk_value *value, size_t index);
/* The key of a map's entry by position (not NUL-terminated); size 0 past the end. */
SYNK_API struct synk_bytes synk_value_key_at(const struct synk_value *map, size_t index);
/* The scalar, or `otherwise` where the value is absent or of another kind. An integer converts to
 * double; a double converts to integer only where it is one exactly. */
SYNK_API bool synk_value_bool(const struct synk_value *value, bool otherwise);
SYNK_API int64_t synk_value_int(const struct synk_value *value, int64_t otherwise);
SYNK_API double synk_value_double(const struct synk_value *value, double otherwise);
/* The bytes of a string or binary (not NUL-terminated); data NULL for other kinds. */
SYNK_API struct synk_bytes synk_value_bytes(const struct synk_value *value);
/* A NUL-terminated copy of a string, made with malloc for the caller to free; NULL otherwise. */
SYNK_API char *synk_value_string_dup(const struct synk_value *value);
/* JSON text of the value, compact, NUL-terminated, made with malloc for the caller to free.
 * Bytes that are not text become a string of base64. */
SYNK_API char *synk_value_json_dup(const struct synk_value *value);

SYNK_API struct synk_builder *synk_builder_new(void);
SYNK_API void synk_builder_free(struct synk_builder *builder);
/* Back to empty, memory kept. */
SYNK_API void synk_builder_clear(struct synk_builder *builder);
/* Containers take the number of elements that will follow. A map's entries are key, value, key… */
SYNK_API void synk_builder_map(struct synk_builder *builder, size_t entries);
SYNK_API void synk_builder_array(struct synk_builder *builder, size_t elements);
/* Containers whose number of elements need not be known before: whatever follows until the matching
 * end belongs to them. Up to 16 in one another. An end without a begin does nothing; a begin
 * without its end fails the attempt whose result it is, and says so. */
SYNK_API void synk_builder_begin_map(struct synk_builder *builder);
SYNK_API void synk_builder_begin_array(struct synk_builder *builder);
SYNK_API void synk_builder_end(struct synk_builder *builder);
SYNK_API void synk_builder_null(struct synk_builder *builder);
SYNK_API void synk_builder_bool(struct synk_builder *builder, bool value);
SYNK_API void synk_builder_int(struct synk_builder *builder, int64_t value);
SYNK_API void synk_builder_double(struct synk_builder *builder, double value);
SYNK_API void synk_builder_string(struct synk_builder *builder, const char *text);
SYNK_API void synk_builder_string_n(struct synk_builder *builder, const char *text, size_t size);
SYNK_API void synk_builder_binary(struct synk_builder *builder, const void *data, size_t size);
/* Appends a value that is already encoded; size 0 appends null. */
SYNK_API void synk_builder_encoded(struct synk_builder *builder, struct synk_bytes value);
/* Appends the value of a JSON text. Fails with SYNK_INVALID, line and column in the error. */
SYNK_API enum synk_status synk_builder_json(struct synk_builder *builder, const char *json,
                                            size_t size, struct synk_error *error);
/* What was built so far, borrowed until the next call on the builder. */
SYNK_API struct synk_bytes synk_builder_bytes(const struct synk_builder *builder);

#ifdef __cplusplus
}
#endif
#endif
