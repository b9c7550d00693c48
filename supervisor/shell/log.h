/*
 * The supervisor's log: one logfmt line an event, on standard error.
 *   level=info time=2026-01-31T12:00:00.000Z msg="listening" dir=/run/synk pid=12
 *
 * Values come from peers too (ids, error texts), so control bytes are escaped, what is not UTF-8 as
 * well, and a value is cut at LOG_VALUE_BYTES: no peer can forge a line or flood the log with one.
 */
#ifndef SHELL_LOG_H
#define SHELL_LOG_H

#include "proto/bytes.h"

/* Bytes of one value as written; an error's text (512) and its escapes fit. */
#define LOG_VALUE_BYTES 1024

enum log_level { LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *key; /* NULL ends the list */
    struct synk_bytes text;
    int64_t number;
    bool is_number;
};
static inline struct log_field log_text(const char *key, const char *text)
{
    return (struct log_field){.key = key, .text = bytes_str(text)};
}
static inline struct log_field log_bytes(const char *key, struct synk_bytes text)
{
    return (struct log_field){.key = key, .text = text};
}
static inline struct log_field log_int(const char *key, int64_t number)
{
    return (struct log_field){.key = key, .number = number, .is_number = true};
}

/* Appends the line, its newline included. */
void log_format(struct buf *out, enum log_level level, int64_t wall_ms, struct synk_bytes msg,
                const struct log_field *fields);
/* The same of a message that has its fields behind it: "MESSAGE\tKEY=VALUE\tKEY=VALUE…", at most
 * four of them, their keys small letters and '_'. */
void log_format_text(struct buf *out, enum log_level level, int64_t wall_ms,
                     struct synk_bytes text);
void log_write_text(enum log_level level, struct synk_bytes text);
/* Writes one line with the time of now; one write, so lines of several processes do not mix. */
void log_write(enum log_level level, struct synk_bytes msg, const struct log_field *fields);

/* log_line(LOG_INFO, "listening", log_text("dir", dir), log_int("pid", pid)) */
#define log_line(level, msg, ...)                                                                  \
    log_write(level, bytes_str(msg), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})

#endif
