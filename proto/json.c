/*
 * JSON to values by Jansson, values to JSON by a printer of our own (Jansson would need a second
 * tree, and has no place for binary).
 *
 * Invariants: `out` grows only by a whole value; what json_parse appends passes check_value but for
 * the number of items.
 */
#include "proto/json.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/check.h"
#include "proto/limits.h"
#include "proto/pack.h"
#include "proto/value.h"

/* Appends a parsed value; recursion ends at the depth that check_depth allowed. */
static void pack_json(const json_t *json, struct buf *out)
{
    switch (json_typeof(json)) {
    case JSON_NULL:
        pack_null(out);
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        pack_bool(out, json_is_true(json));
        return;
    case JSON_INTEGER:
        pack_int(out, json_integer_value(json));
        return;
    case JSON_REAL:
        pack_double(out, json_real_value(json));
        return;
    case JSON_STRING:
        pack_string(out, bytes_of(json_string_value(json), json_string_length(json)));
        return;
    case JSON_ARRAY:
        pack_array(out, json_array_size(json));
        for (size_t i = 0; i < json_array_size(json); i++)
            pack_json(json_array_get(json, i), out);
        return;
    case JSON_OBJECT: {
        json_t *object = (json_t *)(uintptr_t)json; /* the iterator is not const-correct */
        pack_map(out, json_object_size(json));
        for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
            pack_key(out, json_object_iter_key(at));
            pack_json(json_object_iter_value(at), out);
        }
        return;
    }
    }
}

/* Refuses nesting past the limit before Jansson recurses into it, since Jansson's own bound is far
 * higher and its trees do not know their lines. */
static enum synk_status check_depth(struct synk_bytes text, struct synk_error *error)
{
    const char *data = text.data;
    size_t line = 1, column = 0, depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size; i++) {
        char c = data[i];
        column += (c & 0xc0) != 0x80;
        if (c == '\n') {
            line++;
            column = 0;
        } else if (in_string) {
            if (c == '\\' && i + 1 < text.size) {
                i++;
                column++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (depth++ == LIMIT_VALUE_DEPTH)
                return status_fail(error, SYNK_INVALID,
                                   "line %zu, column %zu: nested deeper than %d", line, column,
                                   LIMIT_VALUE_DEPTH);
        } else if ((c == ']' || c == '}') && depth) {
            depth--;
        }
    }
    return SYNK_OK;
}

enum synk_status json_parse(struct synk_bytes text, struct buf *out, struct synk_error *error)
{
    enum synk_status status = check_depth(text, error);
    if (status != SYNK_OK)
        return status;
    json_error_t problem;
    json_t *json = json_loadb(text.data ? text.data : "", text.size,
                              JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &problem);
    if (!json && json_error_code(&problem) == json_error_out_of_memory)
        abort();
    if (!json)
        return status_fail(error, SYNK_INVALID, "line %d, column %d: %s",
                           problem.line > 0 ? problem.line : 1,
                           problem.column > 0 ? problem.column : 1, problem.text);
    pack_json(json, out);
    json_decref(json);
    return SYNK_OK;
}

static void print_escaped(uint8_t byte, struct buf *out)
{
    static const char letters[128] = {['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
                                      ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't'};
    if (letters[byte])
        buf_append(out, (char[]){'\\', letters[byte]}, 2);
    else
        buf_printf(out, "\\u%04x", byte);
}

static bool needs_escape(uint8_t byte)
{
    return byte < 0x20 || byte == '"' || byte == '\\' || byte == 0x7f;
}

void json_print_string(struct synk_bytes text, struct buf *out)
{
    const uint8_t *data = text.data;
    buf_reserve(out, text.size + 2);
    buf_append(out, "\"", 1);
    for (size_t at = 0; at < text.size;) {
        size_t good = at + check_utf8_prefix(bytes_of(data + at, text.size - at));
        while (at < good) {
            size_t plain = at;
            while (plain < good && !needs_escape(data[plain]))
                plain++;
            buf_append(out, data + at, plain - at);
            at = plain;
            if (at < good)
                print_escaped(data[at++], out);
        }
        if (at < text.size) {
            buf_append(out, "\xef\xbf\xbd", 3);
            at++;
        }
    }
    buf_append(out, "\"", 1);
}

static void print_base64(struct synk_bytes bytes, struct buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *data = bytes.data;
    buf_reserve(out, bytes.size / 3 * 4 + 8);
    buf_append(out, "\"", 1);
    for (size_t at = 0; at < bytes.size; at += 3) {
        size_t left = bytes.size - at;
        uint32_t group = (uint32_t)data[at] << 16;
        group |= left > 1 ? (uint32_t)data[at + 1] << 8 : 0;
        group |= left > 2 ? data[at + 2] : 0;
        char quad[4] = {digits[group >> 18], digits[group >> 12 & 63],
                        left > 1 ? digits[group >> 6 & 63] : '=',
                        left > 2 ? digits[group & 63] : '='};
        buf_append(out, quad, sizeof(quad));
    }
    buf_append(out, "\"", 1);
}

/* The shortest of three precisions that reads back as the same double; 17 digits always do. */
static void print_double(double number, struct buf *out)
{
    if (!isfinite(number)) {
        buf_append(out, "null", 4);
        return;
    }
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    bool is_real = false;
    for (char *p = text; *p; p++) {
        if (*p == ',') /* a program that embeds the client library may have set a locale */
            *p = '.';
        is_real |= *p == '.' || *p == 'e';
    }
    buf_append(out, text, strlen(text));
    if (!is_real)
        buf_append(out, ".0", 2);
}

static void print_integer(const struct synk_value *value, struct buf *out)
{
    /* An integer past int64 is unsigned, and at least 2^63: `otherwise` tells it from the rest. */
    int64_t number = synk_value_int(value, INT64_MIN);
    double rounded = synk_value_double(value, 0);
    if (number == INT64_MIN && rounded > 0) {
        struct buf encoded = {0};
        value_encode(value, &encoded); /* 0xcf and eight bytes, high first */
        uint64_t magnitude = 0;
        for (size_t i = 1; i < encoded.size; i++)
            magnitude = magnitude << 8 | encoded.data[i];
        buf_printf(out, "%llu", (unsigned long long)magnitude);
        buf_fini(&encoded);
    } else {
        buf_printf(out, "%lld", (long long)number);
    }
}

static void print_break(int indent, int level, struct buf *out)
{
    if (indent > 0)
        buf_printf(out, "\n%*s", indent * level, "");
}

static void print_value(const struct synk_value *value, int indent, int level, struct buf *out)
{
    enum synk_kind kind = synk_value_kind(value);
    size_t count = synk_value_count(value);
    switch (kind) {
    case SYNK_NULL:
        buf_append(out, "null", 4);
        return;
    case SYNK_BOOL:
        buf_printf(out, "%s", synk_value_bool(value, false) ? "true" : "false");
        return;
    case SYNK_INT:
        print_integer(value, out);
        return;
    case SYNK_DOUBLE:
        print_double(synk_value_double(value, 0), out);
        return;
    case SYNK_STRING:
        json_print_string(synk_value_bytes(value), out);
        return;
    case SYNK_BINARY:
        print_base64(synk_value_bytes(value), out);
        return;
    case SYNK_ARRAY:
    case SYNK_MAP:
        break;
    }
    buf_append(out, kind == SYNK_MAP ? "{" : "[", 1);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_append(out, ",", 1);
        print_break(indent, level + 1, out);
        if (kind == SYNK_MAP) {
            json_print_string(synk_value_key_at(value, i), out);
            buf_append(out, ": ", indent > 0 ? 2 : 1);
        }
        print_value(synk_value_at(value, i), indent, level + 1, out);
    }
    if (count)
        print_break(indent, level, out);
    buf_append(out, kind == SYNK_MAP ? "}" : "]", 1);
}

void json_print(const struct synk_value *value, int indent, struct buf *out)
{
    print_value(value, indent, 0, out);
}

void json_print_encoded(struct synk_bytes value, int indent, struct buf *out)
{
    struct synk_document *document = NULL;
    if (value.size)
        (void)synk_document_decode(value, &document,
                                   NULL); /* undecodable prints null, as promised */
    json_print(synk_document_root(document), indent, out);
    synk_document_free(document);
}
