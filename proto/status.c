/*
 * Status names and error texts.
 *
 * Invariant: a text is always NUL-terminated, well-formed UTF-8, whatever a caller quoted in it,
 * because texts travel as MessagePack strings and a peer refuses strings that are not UTF-8.
 */
#include "proto/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/check.h"

static const struct {
    enum synk_status status;
    const char *wire;
} names[] = {
#define STATUS_NAME(name, value, wire) {name, wire},
    SYNK_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
};

const char *synk_status_name(enum synk_status status)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].status == status)
            return names[i].wire;
    return "unknown";
}

enum synk_status status_from_name(const char *name, size_t size)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (bytes_equal(bytes_str(names[i].wire), bytes_of(name, size)))
            return names[i].status;
    return SYNK_PROTOCOL;
}

/* Drops a character that the end of the text cut in two. */
static size_t cut_size(const char *text, size_t size)
{
    size_t good = check_utf8_prefix(bytes_of(text, size));
    return size - good < 4 ? good : size;
}

/* Replaces each byte that is not UTF-8 with a question mark. */
static void make_utf8(char *text, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        at += check_utf8_prefix(bytes_of(text + at, size - at));
        if (at < size)
            text[at] = '?';
    }
}

/* Takes over a text of SYNK_ERROR_TEXT_BYTES that snprintf reported as `printed` bytes long. */
static void store_text(struct synk_error *error, char *text, int printed)
{
    size_t size = strlen(text);
    if (printed >= SYNK_ERROR_TEXT_BYTES)
        size = cut_size(text, size);
    make_utf8(text, size);
    text[size] = '\0';
    memcpy(error->text, text, size + 1);
}

enum synk_status status_fail(struct synk_error *error, enum synk_status status, const char *format,
                             ...)
{
    if (!error)
        return status;
    /* Formatted aside: an argument may be the very text that is replaced. */
    char text[SYNK_ERROR_TEXT_BYTES] = "";
    va_list arguments;
    va_start(arguments, format);
    int printed = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    error->status = status;
    store_text(error, text, printed);
    return status;
}

void status_prefix(struct synk_error *error, const char *format, ...)
{
    if (!error)
        return;
    char prefix[SYNK_ERROR_TEXT_BYTES] = "", text[SYNK_ERROR_TEXT_BYTES] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(prefix, sizeof(prefix), format, arguments);
    va_end(arguments);
    /* Cutting is the point: the text keeps its bound. Copied by hand, since GCC warns of exactly
     * that with snprintf. */
    size_t head = strlen(prefix), tail = strlen(error->text), room = sizeof(text) - 1;
    memcpy(text, prefix, head);
    size_t used = head;
    for (const char *p = ": "; *p && used < room; p++)
        text[used++] = *p;
    size_t taken = tail < room - used ? tail : room - used;
    memcpy(text + used, error->text, taken);
    text[used + taken] = '\0';
    store_text(error, text, (int)(head + 2 + tail));
}
