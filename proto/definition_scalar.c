/*
 * Plain scalars of YAML by the core schema of version 1.2, which JSON agrees with: null, true,
 * false, integers and floats are told by their spelling, and all else, `on`, `yes` and `no` too, is
 * a string. Pure.
 */
#include <stdlib.h>

#include "proto/definition_internal.h"

static bool all_of(struct synk_bytes text, size_t from, const char *allowed)
{
    const char *data = text.data;
    for (size_t i = from; i < text.size; i++)
        if (!data[i] || !strchr(allowed, data[i]))
            return false;
    return from < text.size;
}

/* [-+]?[0-9]+, 0o[0-7]+, 0x[0-9a-fA-F]+; false where it is none or past 64 bits. */
static bool resolve_integer(struct synk_bytes text, bool *ret_too_large, int64_t *ret_value)
{
    const char *data = text.data;
    int base = 10;
    size_t from = data[0] == '-' || data[0] == '+';
    if (text.size > 2 && data[0] == '0' && (data[1] == 'o' || data[1] == 'x')) {
        base = data[1] == 'o' ? 8 : 16;
        from = 2;
    }
    if (!all_of(text, from,
                base == 8    ? "01234567"
                : base == 10 ? "0123456789"
                             : "0123456789abcdefABCDEF"))
        return false;
    bool negative = base == 10 && data[0] == '-';
    uint64_t value = 0, most = (uint64_t)INT64_MAX + negative;
    for (size_t i = from; i < text.size; i++) {
        unsigned digit =
            data[i] <= '9' ? (unsigned)(data[i] - '0') : (unsigned)((data[i] | 0x20) - 'a' + 10);
        if (value > (most - digit) / (unsigned)base) {
            *ret_too_large = true;
            return false;
        }
        value = value * (unsigned)base + digit;
    }
    *ret_value = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

/* [-+]?(.[0-9]+|[0-9]+(.[0-9]*)?)([eE][-+]?[0-9]+)?, and .inf and .nan. `text` ends with a NUL. */
static bool resolve_double(struct synk_bytes text, double *ret_value)
{
    const char *data = text.data, *c = data + (*data == '-' || *data == '+');
    static const char *const infinite[] = {".inf", ".Inf", ".INF"};
    static const char *const none[] = {".nan", ".NaN", ".NAN"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(c, infinite[i]) == 0) {
            *ret_value = *data == '-' ? -__builtin_inf() : __builtin_inf();
            return true;
        }
        if (strcmp(data, none[i]) == 0) {
            *ret_value = __builtin_nan("");
            return true;
        }
    }
    size_t whole = strspn(c, "0123456789"), part = 0;
    c += whole;
    if (*c == '.') {
        part = strspn(c + 1, "0123456789");
        c += 1 + part;
    }
    if (!whole && !part)
        return false;
    if (*c == 'e' || *c == 'E') {
        c += 1 + (c[1] == '-' || c[1] == '+');
        size_t digits = strspn(c, "0123456789");
        if (!digits)
            return false;
        c += digits;
    }
    if (c != data + text.size)
        return false;
    *ret_value = strtod(data, NULL);
    return true;
}

static bool is_one_of(const char *text, const char *a, const char *b, const char *c)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

bool definition_resolve_plain(struct node *node)
{
    struct synk_bytes written = node->text;
    const char *text = written.data;
    bool too_large = false;
    int64_t integer;
    double number;
    if (!written.size || strcmp(text, "~") == 0 || is_one_of(text, "null", "Null", "NULL")) {
        node->kind = NODE_NULL;
    } else if (is_one_of(text, "true", "True", "TRUE") ||
               is_one_of(text, "false", "False", "FALSE")) {
        node->kind = NODE_BOOL;
        node->boolean = (*text | 0x20) == 't';
        node->written = written;
    } else if (!strchr("+-.0123456789", *text)) {
        return true;
    } else if (resolve_integer(written, &too_large, &integer)) {
        node->kind = NODE_INT;
        node->integer = integer;
        node->written = written;
    } else if (!too_large && resolve_double(written, &number)) {
        node->kind = NODE_DOUBLE;
        node->number = number;
        node->written = written;
    }
    return !too_large;
}
