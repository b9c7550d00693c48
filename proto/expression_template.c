/*
 * `${{ expression }}` inside strings: checking them, and copying a payload with them replaced.
 *
 * Invariant: only strings below `command` (as a list) and `env` are replaced. A shell line never
 * is: a value pasted into one would be code.
 */
#include "proto/check.h"
#include "proto/expression_lua.h"
#include "proto/expression_scan.h"
#include "proto/limits.h"
#include "proto/pack.h"

struct template_part {
    struct synk_bytes before; /* literal text */
    struct synk_bytes source; /* data NULL: there was no template after it */
};

/* Reads the literal text from *position and the template after it, and moves past both. */
static enum synk_status next_part(struct synk_bytes text, size_t *position,
                                  struct template_part *ret_part, struct synk_error *error)
{
    static const char opening[] = "${{";
    const char *data = text.data, *start = data + *position;
    size_t left = text.size - *position;
    const char *found = left ? memmem(start, left, opening, sizeof(opening) - 1) : NULL;
    if (!found) {
        *ret_part = (struct template_part){.before = bytes_of(start, left)};
        *position = text.size;
        return SYNK_OK;
    }
    size_t inside = (size_t)(found - data) + sizeof(opening) - 1;
    size_t end = expression_template_end(text, inside);
    if (end == SIZE_MAX) {
        char quote[EXPRESSION_QUOTE_BYTES];
        expression_quote(bytes_of(found, text.size - (size_t)(found - data)), quote);
        return status_fail(error, SYNK_INVALID, "'%s': '${{' without its '}}'", quote);
    }
    *ret_part = (struct template_part){
        .before = bytes_of(start, (size_t)(found - start)),
        .source = expression_trim(bytes_of(data + inside, end - inside)),
    };
    *position = end + 2;
    return SYNK_OK;
}

enum synk_status expression_check_template(void *context, struct synk_bytes text,
                                           unsigned *ret_uses, size_t *ret_found,
                                           struct synk_error *error)
{
    unsigned uses = 0;
    size_t found = 0, position = 0;
    while (position < text.size) {
        struct template_part part = {0};
        unsigned part_uses = 0;
        enum synk_status status = next_part(text, &position, &part, error);
        if (status != SYNK_OK)
            return status;
        if (!part.source.data)
            break;
        status = expression_check(context, "template", part.source, &part_uses, error);
        if (status != SYNK_OK)
            return status;
        uses |= part_uses;
        found++;
    }
    *ret_uses = uses;
    *ret_found = found;
    return SYNK_OK;
}

struct expansion {
    struct expression *expression;
    const struct expression_bindings *bindings;
    struct buf *out;
    size_t start; /* of the payload in `out` */
    struct synk_error *error;
};

/* A short template may name a long value many times: bounded while it grows, not afterwards. */
static enum synk_status check_size(const struct expansion *expansion, size_t more)
{
    if (expansion->out->size - expansion->start + more <= LIMIT_VALUE_BYTES)
        return SYNK_OK;
    return status_fail(expansion->error, SYNK_INVALID,
                       "the payload with its templates replaced is larger than %d bytes",
                       LIMIT_VALUE_BYTES);
}

static enum synk_status append_source(struct expansion *expansion, struct synk_bytes source,
                                      struct buf *text)
{
    enum synk_status status = expression_evaluate(expansion->expression, "template", source,
                                                  expansion->bindings, expansion->error);
    if (status == SYNK_OK) {
        const char *problem = expression_value_text(expansion->expression, 1, text);
        if (problem) {
            status = status_fail(expansion->error, SYNK_INVALID, "the value %s", problem);
            expression_blame("template", source, expansion->error);
        }
    }
    expression_end(expansion->expression);
    return status;
}

static enum synk_status expand_string(struct expansion *expansion, struct synk_bytes text)
{
    struct buf expanded = {0};
    enum synk_status status = SYNK_OK;
    for (size_t position = 0; position < text.size && status == SYNK_OK;) {
        struct template_part part = {0};
        status = next_part(text, &position, &part, expansion->error);
        if (status != SYNK_OK)
            break;
        buf_append(&expanded, part.before.data, part.before.size);
        if (part.source.data)
            status = append_source(expansion, part.source, &expanded);
        if (status == SYNK_OK)
            status = check_size(expansion, expanded.size);
    }
    if (status == SYNK_OK)
        pack_string(expansion->out, buf_bytes(&expanded));
    buf_fini(&expanded);
    return status;
}

/* Recursion ends at the depth of a decoded value. */
static enum synk_status expand_value(struct expansion *expansion, const struct synk_value *value)
{
    enum synk_kind kind = synk_value_kind(value);
    enum synk_status status = SYNK_OK;
    if (kind == SYNK_STRING)
        return expand_string(expansion, synk_value_bytes(value));
    if (kind == SYNK_MAP)
        pack_map(expansion->out, synk_value_count(value));
    else if (kind == SYNK_ARRAY)
        pack_array(expansion->out, synk_value_count(value));
    else
        value_encode(value, expansion->out);
    if (kind != SYNK_MAP && kind != SYNK_ARRAY)
        return SYNK_OK;
    for (size_t i = 0; i < synk_value_count(value) && status == SYNK_OK; i++) {
        if (kind == SYNK_MAP)
            pack_string(expansion->out, synk_value_key_at(value, i));
        status = expand_value(expansion, synk_value_at(value, i));
    }
    return status;
}

static bool is_expanded(struct synk_bytes key, const struct synk_value *value)
{
    if (bytes_equal(key, bytes_str("command")))
        return synk_value_kind(value) == SYNK_ARRAY;
    return bytes_equal(key, bytes_str("env"));
}

static enum synk_status expand_payload(struct expansion *expansion,
                                       const struct synk_value *payload)
{
    enum synk_status status = SYNK_OK;
    if (synk_value_kind(payload) != SYNK_MAP) {
        value_encode(payload, expansion->out);
        return SYNK_OK;
    }
    pack_map(expansion->out, synk_value_count(payload));
    for (size_t i = 0; i < synk_value_count(payload) && status == SYNK_OK; i++) {
        struct synk_bytes key = synk_value_key_at(payload, i);
        const struct synk_value *value = synk_value_at(payload, i);
        pack_string(expansion->out, key);
        if (is_expanded(key, value))
            status = expand_value(expansion, value);
        else
            value_encode(value, expansion->out);
    }
    return status == SYNK_OK ? check_size(expansion, 0) : status;
}

enum synk_status expression_expand(void *context, struct synk_bytes payload,
                                   const struct expression_bindings *bindings,
                                   struct buf *ret_payload, struct synk_error *error)
{
    struct synk_document *document = NULL;
    struct expansion expansion = {context, bindings, ret_payload, ret_payload->size, error};
    if (payload.size && synk_document_decode(payload, &document, error) != SYNK_OK) {
        status_prefix(error, "payload");
        if (error)
            error->status = SYNK_INVALID;
        return SYNK_INVALID;
    }
    enum synk_status status = expand_payload(&expansion, synk_document_root(document));
    if (status != SYNK_OK)
        ret_payload->size = expansion.start;
    synk_document_free(document);
    return status;
}
