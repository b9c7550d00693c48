/*
 * Lexing Lua expressions. Everything here is decided before Lua sees a source: the names that it
 * may mention are a closed list, so a typing error in a binding's name is found when a definition
 * is registered, and nothing outside the sandbox can even be spelled.
 *
 * Invariant: tokens end where Lua's lexer ends them, or the token is TOKEN_BAD and the source
 * refused.
 */
#include "proto/expression_scan.h"

#include <stdio.h>

#include "proto/check.h"
#include "proto/limits.h"

enum { QUOTE_MAX = EXPRESSION_QUOTE_BYTES - sizeof("…") };

/* Longest first, so that the first that fits is the token. */
static const struct {
    const char *text;
    const char *lua; /* how Lua spells it, where it is not Lua's own */
} symbols[] = {
    {"...", NULL}, {"!==", "~="}, {"===", "=="}, {"..", NULL}, {"==", NULL}, {"~=", NULL},
    {"<=", NULL},  {">=", NULL},  {"<<", NULL},  {">>", NULL}, {"//", NULL}, {"::", NULL},
    {"&&", "and"}, {"||", "or"},  {"!=", "~="},  {"=>", ">="}, {"!", "not"},
};
enum { SYMBOL_COUNT = sizeof(symbols) / sizeof(symbols[0]) };

static const struct {
    const char *text;
    unsigned uses;
} known_names[] = {
    {"result", EXPRESSION_USES_RESULT},
    {"inputs", EXPRESSION_USES_INPUTS},
    {"payload", EXPRESSION_USES_PAYLOAD},
    {"params", EXPRESSION_USES_PARAMS},
    {"attempt", 0},
    {"status", 0},
    {"type", 0},
    {"tonumber", 0},
    {"math", 0},
    {"string", 0},
    {"and", 0},
    {"or", 0},
    {"not", 0},
    {"true", 0},
    {"false", 0},
    {"nil", 0},
};

static const char *const statement_words[] = {
    "break", "do", "else",  "elseif", "end",    "for",  "function", "goto",
    "if",    "in", "local", "repeat", "return", "then", "until",    "while"};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool starts_with(struct synk_bytes source, size_t at, const char *text)
{
    size_t size = strlen(text);
    return source.size - at >= size && memcmp((const char *)source.data + at, text, size) == 0;
}

/* At a "[": the number of "=" of a long bracket, or -1 where it is none. */
static int long_bracket(struct synk_bytes source, size_t at)
{
    const char *data = source.data;
    size_t p = at + 1;
    while (p < source.size && data[p] == '=')
        p++;
    return p < source.size && data[p] == '[' ? (int)(p - at - 1) : -1;
}

/* The end of the long bracket that opens at `at`, SIZE_MAX where it is not closed. */
static size_t long_bracket_end(struct synk_bytes source, size_t at, int level)
{
    const char *data = source.data;
    for (size_t p = at + (size_t)level + 2; p < source.size; p++) {
        if (data[p] != ']')
            continue;
        size_t q = p + 1;
        while (q < source.size && data[q] == '=')
            q++;
        if (q < source.size && data[q] == ']' && q - p - 1 == (size_t)level)
            return q + 1;
        p = q - 1;
    }
    return SIZE_MAX;
}

static size_t quoted_end(struct synk_bytes source, size_t at)
{
    const char *data = source.data, quote = data[at];
    for (size_t p = at + 1; p < source.size; p++) {
        if (data[p] == quote)
            return p + 1;
        if (data[p] == '\n' || data[p] == '\r')
            break;
        if (data[p] == '\\' && p + 1 < source.size && data[++p] == 'z')
            while (p + 1 < source.size && is_blank(data[p + 1])) /* "\z" eats the line's end too */
                p++;
    }
    return SIZE_MAX;
}

/* As Lua reads numerals: greedily, so that "3x" is one malformed number rather than two tokens. */
static size_t number_end(struct synk_bytes source, size_t at)
{
    const char *data = source.data;
    bool is_hex = data[at] == '0' && at + 1 < source.size && (data[at + 1] | 0x20) == 'x';
    char exponent = is_hex ? 'p' : 'e';
    size_t p = at + (is_hex ? 2 : 0);
    while (p < source.size) {
        if ((data[p] | 0x20) == exponent && p + 1 < source.size &&
            (data[p + 1] == '+' || data[p + 1] == '-'))
            p += 2;
        else if (is_name(data[p]) || data[p] == '.')
            p++;
        else
            break;
    }
    return p;
}

/* Skips blanks and comments; false where a long comment does not end. */
static bool skip_blanks(struct synk_bytes source, size_t *position)
{
    const char *data = source.data;
    size_t p = *position;
    for (;;) {
        while (p < source.size && is_blank(data[p]))
            p++;
        *position = p;
        if (!starts_with(source, p, "--"))
            return true;
        p += 2;
        int level = p < source.size && data[p] == '[' ? long_bracket(source, p) : -1;
        if (level >= 0) {
            p = long_bracket_end(source, p, level);
            if (p == SIZE_MAX)
                return false;
        } else {
            while (p < source.size && data[p] != '\n' && data[p] != '\r')
                p++;
        }
    }
}

static struct token end_token(enum token_kind kind, size_t start, size_t end, size_t *position,
                              size_t source_size)
{
    if (end == SIZE_MAX) {
        kind = TOKEN_BAD;
        end = source_size;
    }
    *position = end;
    return (struct token){kind, start, end - start};
}

struct token expression_token(struct synk_bytes source, size_t *position)
{
    const char *data = source.data;
    if (!skip_blanks(source, position))
        return end_token(TOKEN_BAD, *position, SIZE_MAX, position, source.size);
    size_t at = *position, end = at;
    if (at == source.size)
        return (struct token){TOKEN_END, at, 0};
    char c = data[at];
    if (is_digit(c) || (c == '.' && at + 1 < source.size && is_digit(data[at + 1])))
        return end_token(TOKEN_NUMBER, at, number_end(source, at), position, source.size);
    if (is_name(c)) {
        while (end < source.size && is_name(data[end]))
            end++;
        return end_token(TOKEN_NAME, at, end, position, source.size);
    }
    if (c == '"' || c == '\'')
        return end_token(TOKEN_STRING, at, quoted_end(source, at), position, source.size);
    if (c == '[' && long_bracket(source, at) >= 0)
        return end_token(TOKEN_STRING, at, long_bracket_end(source, at, long_bracket(source, at)),
                         position, source.size);
    for (size_t i = 0; i < SYMBOL_COUNT; i++)
        if (starts_with(source, at, symbols[i].text))
            return end_token(TOKEN_SYMBOL, at, at + strlen(symbols[i].text), position, source.size);
    bool is_symbol = c && strchr("+-*/%^#&~|<>=(){}[];:,.", c);
    return end_token(is_symbol ? TOKEN_SYMBOL : TOKEN_BAD, at, at + 1, position, source.size);
}

static bool token_is(struct synk_bytes source, struct token token, const char *text)
{
    return token.size == strlen(text) && starts_with(source, token.start, text);
}

static enum synk_status refuse(struct synk_bytes source, struct token token, const char *what,
                               struct synk_error *error)
{
    char place[EXPRESSION_PLACE_BYTES];
    expression_place(source, token.start, place);
    return status_fail(error, SYNK_INVALID, "%s: %s", place, what);
}

static enum synk_status scan_bad(struct synk_bytes source, struct token token,
                                 struct synk_error *error)
{
    char c = ((const char *)source.data)[token.start];
    if (c == '"' || c == '\'' || c == '[')
        return refuse(source, token, "a string that does not end", error);
    if (c == '-')
        return refuse(source, token, "a comment that does not end", error);
    return refuse(source, token, "a character that Lua does not have", error);
}

/* A name where a value is expected. */
static enum synk_status scan_name(struct synk_bytes source, struct token token, unsigned *uses,
                                  struct synk_error *error)
{
    char text[EXPRESSION_QUOTE_BYTES], message[EXPRESSION_QUOTE_BYTES + 128];
    for (size_t i = 0; i < sizeof(known_names) / sizeof(known_names[0]); i++) {
        if (token_is(source, token, known_names[i].text)) {
            *uses |= known_names[i].uses;
            return SYNK_OK;
        }
    }
    expression_quote(bytes_of((const char *)source.data + token.start, token.size), text);
    for (size_t i = 0; i < sizeof(statement_words) / sizeof(statement_words[0]); i++) {
        if (token_is(source, token, statement_words[i])) {
            snprintf(message, sizeof(message), "'%s' is not allowed in an expression", text);
            return refuse(source, token, message, error);
        }
    }
    if (token_is(source, token, "null"))
        return refuse(source, token, "'null' is written 'nil' in Lua", error);
    snprintf(message, sizeof(message),
             "unknown name '%s' (known: result inputs payload params attempt status type tonumber "
             "math string)",
             text);
    return refuse(source, token, message, error);
}

struct nesting {
    size_t all, braces;
};

static enum synk_status scan_symbol(struct synk_bytes source, struct token token,
                                    struct nesting *nesting, struct synk_error *error)
{
    char c = ((const char *)source.data)[token.start], message[64];
    for (size_t i = 0; i < SYMBOL_COUNT; i++) {
        if (symbols[i].lua && token_is(source, token, symbols[i].text)) {
            snprintf(message, sizeof(message), "'%s' is written '%s' in Lua", symbols[i].text,
                     symbols[i].lua);
            return refuse(source, token, message, error);
        }
    }
    if (token_is(source, token, "..."))
        return refuse(source, token, "'...' is not allowed in an expression", error);
    if (token.size > 1)
        return SYNK_OK;
    if (c == '=' && !nesting->braces)
        return refuse(source, token, "'=' compares as '==' in Lua", error);
    if ((c == ',' || c == ';') && !nesting->all)
        return refuse(source, token, "an expression has one value", error);
    bool opens = c == '(' || c == '[' || c == '{', closes = c == ')' || c == ']' || c == '}';
    nesting->all += opens;
    nesting->braces += c == '{';
    nesting->all -= closes && nesting->all;
    nesting->braces -= c == '}' && nesting->braces;
    return SYNK_OK;
}

enum synk_status expression_scan(struct synk_bytes source, unsigned *ret_uses,
                                 struct synk_error *error)
{
    struct token before = {TOKEN_END, 0, 0};
    struct nesting nesting = {0};
    unsigned uses = 0;
    size_t position = 0;
    if (source.size > LIMIT_EXPRESSION_BYTES)
        return status_fail(error, SYNK_INVALID, "longer than %d bytes", LIMIT_EXPRESSION_BYTES);
    if (!check_utf8(source))
        return status_fail(error, SYNK_INVALID, "not UTF-8");
    for (;;) {
        struct token token = expression_token(source, &position);
        enum synk_status status = SYNK_OK;
        if (token.kind == TOKEN_END)
            break;
        if (token.kind == TOKEN_BAD)
            status = scan_bad(source, token, error);
        if (token.kind == TOKEN_SYMBOL)
            status = scan_symbol(source, token, &nesting, error);
        if (token.kind == TOKEN_NAME) {
            size_t ahead = position;
            bool is_field = token_is(source, before, ".") || token_is(source, before, ":");
            bool is_key = nesting.braces && token_is(source, expression_token(source, &ahead), "=");
            if (!is_field && !is_key)
                status = scan_name(source, token, &uses, error);
        }
        if (status != SYNK_OK)
            return status;
        before = token;
    }
    if (before.kind == TOKEN_END)
        return status_fail(error, SYNK_INVALID, "column 1: the expression is empty");
    *ret_uses = uses;
    return SYNK_OK;
}

size_t expression_template_end(struct synk_bytes text, size_t start)
{
    size_t braces = 0, position = start;
    for (;;) {
        struct token token = expression_token(text, &position);
        if (token.kind == TOKEN_END)
            return SIZE_MAX;
        if (token.kind == TOKEN_BAD && position == text.size && token.size > 1)
            return SIZE_MAX;
        if (token_is(text, token, "{"))
            braces++;
        if (!token_is(text, token, "}"))
            continue;
        if (braces)
            braces--;
        else if (starts_with(text, token.start, "}}"))
            return token.start;
    }
}

void expression_place(struct synk_bytes source, size_t offset, char place[EXPRESSION_PLACE_BYTES])
{
    const char *data = source.data;
    size_t line = 1, column = 1;
    for (size_t i = 0; i < offset && i < source.size; i++) {
        column += (data[i] & 0xc0) != 0x80;
        if (data[i] == '\n') {
            line++;
            column = 1;
        }
    }
    if (source.size && memchr(data, '\n', source.size))
        snprintf(place, EXPRESSION_PLACE_BYTES, "line %zu, column %zu", line, column);
    else
        snprintf(place, EXPRESSION_PLACE_BYTES, "column %zu", column);
}

void expression_quote(struct synk_bytes source, char quote[EXPRESSION_QUOTE_BYTES])
{
    const char *data = source.data;
    bool is_cut = source.size > QUOTE_MAX;
    size_t size = is_cut ? QUOTE_MAX : source.size;
    while (is_cut && size && (data[size] & 0xc0) == 0x80)
        size--;
    for (size_t i = 0; i < size; i++)
        quote[i] = (unsigned char)data[i] < 0x20 || data[i] == 0x7f ? ' ' : data[i];
    strcpy(quote + size, is_cut ? "…" : "");
}

struct synk_bytes expression_trim(struct synk_bytes source)
{
    const char *data = source.data;
    size_t start = 0, end = source.size;
    while (start < end && is_blank(data[start]))
        start++;
    while (end > start && is_blank(data[end - 1]))
        end--;
    return bytes_of(data ? data + start : "", end - start);
}
