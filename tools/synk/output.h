/* What is printed: styles, tables, durations, times. Nothing that a peer sent reaches a terminal
 * with its control bytes. Standard output only, unless said otherwise. */
#ifndef SYNK_OUTPUT_H
#define SYNK_OUTPUT_H

#include "proto/bytes.h"

enum style { STYLE_NONE, STYLE_GOOD, STYLE_BAD, STYLE_BUSY, STYLE_WAIT, STYLE_DIM, STYLE_BOLD };

bool output_is_terminal(void);
/* Columns of the terminal; 80 where there is none, or it does not tell. */
int output_width(void);
/* `columns` on a terminal; elsewhere 0, which cuts and folds nothing. */
size_t output_cut(size_t columns);
/* What is left of the terminal's width beside `used` columns, 8 at least; 0 elsewhere. */
size_t output_room(size_t used);
/* The style of a unit's, run's, task's or host's state. */
enum style style_of(struct synk_bytes state);
/* Escape sequences; "" where styles are off (no terminal, NO_COLOR). */
const char *style_on(enum style style);
const char *style_off(void);
/* ✓ ✗ – ↻ and so on: one column. */
const char *mark_of(struct synk_bytes state);

/* Prints text as one line: control bytes, newlines too, become spaces; cut to `columns` with an
 * ellipsis (0 = not cut). Returns the columns taken. */
size_t print_text(struct synk_bytes text, size_t columns);
/* Prints lines, each behind `indent` columns, folded to `width` (0 = not folded); control bytes
 * become spaces. */
void print_block(struct synk_bytes text, size_t indent, size_t width);

/* "12 ms", "1.2 s", "3 min 5 s", "2 h 10 min". Returns `text`. */
const char *duration_text(int64_t ms, char text[32]);
/* Local time, to seconds; "-" for 0 and less. */
const char *time_text(int64_t ms, char text[32]);

/* Rows that are aligned once all are known. */
struct cell {
    struct synk_bytes text;
    enum style style;
};
struct table {
    const char *const *headers;
    size_t columns;
    struct cell *cells;
    size_t count, capacity;
    struct arena arena;
};
void table_init(struct table *table, const char *const *headers, size_t columns);
/* Copies the text; cells fill rows from left to right. */
void table_add(struct table *table, struct synk_bytes text, enum style style);
void table_addf(struct table *table, enum style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Prints headers and rows; the last column is cut at the terminal's width, where there is one.
 * Empties and frees it. */
void table_print(struct table *table);

/* A value as JSON on standard output: a document (indented), or one line. */
void print_json(const struct synk_value *value);
void print_json_line(const struct synk_value *value);

#endif
