/*
 * JSON is YAML but for a few things, which are respelled before libyaml sees them: surrogate pairs,
 * raw characters that YAML forbids or folds inside strings, and tabs around the document. Lines
 * stay what they were, so errors point into the user's file. Pure.
 */
#include <stdio.h>

#include "proto/definition_internal.h"

static int hex4(const char *text)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        const char *digit = strchr("0123456789abcdef0123456789ABCDEF", text[i]);
        if (!text[i] || !digit)
            return -1;
        value = value * 16 + (int)((digit - "0123456789abcdef0123456789ABCDEF") & 15);
    }
    return value;
}

/* The YAML escape for what stands at `at` inside a string, and how many bytes it replaces; 0 =
 * none. */
static size_t json_escape(const char *at, size_t left, char *ret_escape, size_t size)
{
    const uint8_t *c = (const uint8_t *)at;
    ret_escape[0] = '\0';
    if (left >= 12 && c[0] == '\\' && c[1] == 'u' && c[6] == '\\' && c[7] == 'u') {
        int high = hex4(at + 2), low = hex4(at + 8);
        if (high >= 0xd800 && high < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
            snprintf(ret_escape, size, "\\U%08X",
                     0x10000u + ((unsigned)(high - 0xd800) << 10) + (unsigned)(low - 0xdc00));
            return 12;
        }
    }
    if (c[0] == 0x7f) {
        snprintf(ret_escape, size, "\\x7F");
        return 1;
    }
    if (left >= 2 && c[0] == 0xc2 && c[1] < 0xa0) {
        snprintf(ret_escape, size, "\\x%02X", c[1]);
        return 2;
    }
    if (left >= 3 && c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9)) {
        snprintf(ret_escape, size, "\\u%04X", c[2] == 0xa8 ? 0x2028 : 0x2029);
        return 3;
    }
    return 0;
}

/* Bytes of white space at the start of the text; tabs among them would be an error in YAML. */
static size_t leading_space(struct synk_bytes text, bool *ret_has_tab)
{
    const char *data = text.data;
    size_t i = 0;
    *ret_has_tab = false;
    for (; i < text.size && strchr(" \t\r\n", data[i]); i++)
        *ret_has_tab = *ret_has_tab || data[i] == '\t';
    return i;
}

void definition_rewrite_json(struct synk_bytes *io_text, struct buf *out)
{
    struct synk_bytes text = *io_text;
    const char *data = text.data;
    bool inside = false, has_tab;
    size_t start = leading_space(text, &has_tab), copied = 0;
    if (start == text.size || (data[start] != '{' && data[start] != '['))
        return;
    while (strchr(" \t\r\n", data[text.size - 1]))
        text.size--;
    io_text->size = text.size;
    for (; has_tab && copied < start; copied++)
        buf_append(out, data[copied] == '\t' ? " " : data + copied, 1);
    for (size_t i = start; i < text.size;) {
        char escape[16];
        size_t taken = inside ? json_escape(data + i, text.size - i, escape, sizeof(escape)) : 0;
        if (taken) {
            buf_append(out, data + copied, i - copied);
            buf_append(out, escape, strlen(escape));
            i += taken;
            copied = i;
            continue;
        }
        if (inside && data[i] == '\\')
            i++;
        else if (data[i] == '"')
            inside = !inside;
        i++;
    }
    if (copied)
        buf_append(out, data + copied, text.size - copied);
}
