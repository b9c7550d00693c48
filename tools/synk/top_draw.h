/* Writing into cells of a curses screen: text that never leaves its columns and never carries
 * control bytes, styles, bars. */
#ifndef SYNK_TOP_DRAW_H
#define SYNK_TOP_DRAW_H

#include "tools/synk/output.h"

/* A line that is filled from left to right. */
struct draw_line {
    int y, x, end; /* end: the first column that is not the line's */
    bool is_utf8, has_colours;
    unsigned attributes; /* added to all: A_REVERSE of a selected row */
};

/* Pairs of colours; call once after start_color. */
void draw_init_colours(void);
/* Text in `columns` columns, cut or filled up; negative: right-aligned. Then `gap` blanks. Nothing
 * where the line has no room left; the last cell takes what is left. */
void draw_cell(struct draw_line *line, struct synk_bytes text, int columns, int gap,
               enum style style);
void draw_cellf(struct draw_line *line, int columns, int gap, enum style style, const char *format,
                ...) __attribute__((format(printf, 5, 6)));
/* As many columns as the text has. */
void draw_text(struct draw_line *line, struct synk_bytes text, enum style style);
void draw_textf(struct draw_line *line, enum style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A state's mark, and a blank. */
void draw_mark(struct draw_line *line, struct synk_bytes state);
/* `columns` wide: of `total`, `good` and then `bad` are filled. */
void draw_bar(struct draw_line *line, int columns, int gap, int64_t total, int64_t good,
              int64_t bad);
/* Blanks to the end. */
void draw_rest(struct draw_line *line);
/* Columns that the text takes. */
int draw_columns(struct synk_bytes text, bool is_utf8);

#endif
