/*
 * Writes logfmt lines. Invariant: whatever the values hold, a line has exactly one newline, at its
 * end, and is valid UTF-8.
 */
#include "supervisor/shell/log.h"

#include <time.h>
#include <unistd.h>

#include "proto/check.h"

enum {
    LOG_TEXT_FIELDS = 4,
    LOG_KEY_BYTES = 24,
};

static const char *const level_names[] = {
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

static bool needs_quotes(struct synk_bytes text)
{
    if (text.size == 0)
        return true;
    const uint8_t *bytes = text.data;
    for (size_t i = 0; i < text.size; i++)
        if (bytes[i] <= ' ' || bytes[i] == '"' || bytes[i] == '=' || bytes[i] == '\\' ||
            bytes[i] >= 0x7f)
            return true;
    return false;
}

/* Appends one byte, or the whole UTF-8 sequence at `bytes`, and tells how many it took. C1 controls
 * (U+0080 to U+009F) move a terminal's cursor as well as the C0 ones do. */
static size_t append_escaped(struct buf *out, const uint8_t *bytes, size_t size)
{
    uint8_t c = bytes[0];
    if (c == '"' || c == '\\') {
        buf_printf(out, "\\%c", c);
    } else if (c == '\n') {
        buf_append(out, "\\n", 2);
    } else if (c == '\t') {
        buf_append(out, "\\t", 2);
    } else if (c < ' ' || c == 0x7f) {
        buf_printf(out, "\\x%02x", c);
    } else if (c < 0x80) {
        buf_append(out, bytes, 1);
    } else {
        size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        bool is_text = length <= size && check_utf8(bytes_of(bytes, length));
        if (is_text && !(c == 0xc2 && bytes[1] < 0xa0)) {
            buf_append(out, bytes, length);
            return length;
        }
        buf_printf(out, "\\x%02x", c);
    }
    return 1;
}

static void append_value(struct buf *out, struct synk_bytes text)
{
    if (!needs_quotes(text) && text.size <= LOG_VALUE_BYTES) {
        buf_append(out, text.data, text.size);
        return;
    }
    const uint8_t *bytes = text.data;
    size_t start = out->size, i = 0;
    buf_append(out, "\"", 1);
    /* The longest piece is four bytes: the value stays within its bound. */
    while (i < text.size && out->size - start < LOG_VALUE_BYTES - 8)
        i += append_escaped(out, bytes + i, text.size - i);
    if (i < text.size)
        buf_append(out, "…", strlen("…"));
    buf_append(out, "\"", 1);
}

static void append_time(struct buf *out, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    char text[32];
    if (gmtime_r(&seconds, &parts) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts))
        buf_printf(out, "%s.%03dZ", text, (int)(wall_ms % 1000));
    else
        buf_printf(out, "%lld", (long long)wall_ms);
}

void log_format(struct buf *out, enum log_level level, int64_t wall_ms, struct synk_bytes msg,
                const struct log_field *fields)
{
    buf_printf(out, "level=%s time=", level_names[level]);
    append_time(out, wall_ms);
    buf_append(out, " msg=", 5);
    append_value(out, msg);
    for (; fields && fields->key; fields++) {
        buf_printf(out, " %s=", fields->key);
        if (fields->is_number)
            buf_printf(out, "%lld", (long long)fields->number);
        else
            append_value(out, fields->text);
    }
    buf_append(out, "\n", 1);
}

/* Whether a field begins here, and how long its key is. */
static size_t key_size(const char *text, const char *end)
{
    size_t size = 0;
    while (text + size < end && ((text[size] >= 'a' && text[size] <= 'z') || text[size] == '_'))
        size++;
    return size && size < LOG_KEY_BYTES && text + size < end && text[size] == '=' ? size : 0;
}

void log_format_text(struct buf *out, enum log_level level, int64_t wall_ms, struct synk_bytes text)
{
    char keys[LOG_TEXT_FIELDS][LOG_KEY_BYTES];
    struct log_field fields[LOG_TEXT_FIELDS + 1] = {0};
    const char *start = text.data, *end = start + text.size;
    struct synk_bytes msg = text, *last = &msg;
    size_t count = 0, size;
    for (const char *at = start; at < end && count < LOG_TEXT_FIELDS; at++) {
        if (*at != '\t' || !(size = key_size(at + 1, end)))
            continue;
        last->size = (size_t)(at - (const char *)last->data);
        memcpy(keys[count], at + 1, size);
        keys[count][size] = '\0';
        at += 1 + size;
        fields[count] = log_bytes(keys[count], bytes_of(at + 1, (size_t)(end - at - 1)));
        last = &fields[count++].text;
    }
    log_format(out, level, wall_ms, msg, fields);
}

static int64_t wall_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void write_line(struct buf *line)
{
    ssize_t written = write(STDERR_FILENO, line->data, line->size);
    /* A log that cannot be written has nowhere else to go; the work goes on without it. */
    (void)written;
    buf_fini(line);
}

void log_write(enum log_level level, struct synk_bytes msg, const struct log_field *fields)
{
    struct buf line = {0};
    log_format(&line, level, wall_now_ms(), msg, fields);
    write_line(&line);
}

void log_write_text(enum log_level level, struct synk_bytes text)
{
    struct buf line = {0};
    log_format_text(&line, level, wall_now_ms(), text);
    write_line(&line);
}
