/*
 * Errors of the validator: where in the document, what was wrong, and what was perhaps meant. Every
 * text has the form "nightly.yaml:12: process 'x', worker 'y': …", without the file and line where
 * the document has none (MessagePack). Pure.
 */
#include <stdarg.h>
#include <stdio.h>

#include "proto/definition_internal.h"
#include "proto/nearest.h"

enum {
    QUOTED_BYTES = 48, /* of a bad value, enough to find it */
};

static void print_place(const struct place *place, char *text, size_t size)
{
    text[0] = '\0';
    if (!place->noun)
        return;
    if (place->id.size)
        snprintf(text, size, "%s '%.*s'", place->noun, (int)place->id.size,
                 (const char *)place->id.data);
    else
        snprintf(text, size, "%s[%u]", place->list, place->index);
}

static enum synk_status fail_text(struct validation *v, const struct node *at,
                                  enum synk_status status, const char *text)
{
    char process[LIMIT_ID_BYTES + 32], worker[LIMIT_ID_BYTES + 32], line[16];
    print_place(&v->process, process, sizeof(process));
    print_place(&v->worker, worker, sizeof(worker));
    bool located = at && at->line && v->source;
    snprintf(line, sizeof(line), "%u", located ? at->line : 0);
    return status_fail(v->error, status, "%s%s%s%s%s%s%s%s%s", located ? v->source : "",
                       located ? ":" : "", located ? line : "", located ? ": " : "", process,
                       process[0] && worker[0] ? ", " : "", worker,
                       process[0] || worker[0] ? ": " : "", text);
}

enum synk_status definition_fail(struct validation *v, const struct node *at,
                                 enum synk_status status, const char *format, ...)
{
    char text[SYNK_ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return fail_text(v, at, status, text);
}

enum synk_status definition_fail_inner(struct validation *v, const struct node *at,
                                       const struct synk_error *inner, const char *what)
{
    return definition_fail(v, at, inner->status, "%s: %s", what, inner->text);
}

/* Bytes that fit `max` without cutting a character in two. */
static int cut(struct synk_bytes text, size_t max)
{
    const uint8_t *data = text.data;
    if (text.size <= max)
        return (int)text.size;
    while (max && (data[max] & 0xc0) == 0x80)
        max--;
    return (int)max;
}

static void describe(const struct node *node, char *text, size_t size)
{
    switch (node->kind) {
    case NODE_NULL:
        snprintf(text, size, "null");
        break;
    case NODE_BOOL:
        snprintf(text, size, "%s", node->boolean ? "true" : "false");
        break;
    case NODE_INT:
        snprintf(text, size, "%lld", (long long)node->integer);
        break;
    case NODE_DOUBLE:
        snprintf(text, size, "%g", node->number);
        break;
    case NODE_STRING:
        snprintf(text, size, "the string '%.*s'%s", cut(node->text, QUOTED_BYTES),
                 node->text.size ? (const char *)node->text.data : "",
                 node->text.size > QUOTED_BYTES ? "…" : "");
        break;
    case NODE_ARRAY:
        snprintf(text, size, "a list");
        break;
    case NODE_MAP:
        snprintf(text, size, "a map");
        break;
    }
}

enum synk_status definition_fail_type(struct validation *v, const struct node *at, const char *name,
                                      const char *what)
{
    char found[QUOTED_BYTES + 32];
    describe(at, found, sizeof(found));
    return definition_fail(v, at, SYNK_INVALID, "'%s' must be %s, not %s", name, what, found);
}

enum synk_status definition_fail_unknown(struct validation *v, const struct node *key,
                                         const char *const *names)
{
    struct nearest nearest = nearest_of(key->text);
    for (; *names; names++)
        nearest_try(&nearest, bytes_str(*names));
    int size = cut(key->text, QUOTED_BYTES);
    const char *text = key->text.size ? key->text.data : "";
    if (!nearest.found.size)
        return definition_fail(v, key, SYNK_INVALID, "unknown field '%.*s'", size, text);
    return definition_fail(v, key, SYNK_INVALID, "unknown field '%.*s' (did you mean '%.*s'?)",
                           size, text, (int)nearest.found.size, (const char *)nearest.found.data);
}
