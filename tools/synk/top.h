/* What the user of `synk top` is looking at: beside the model (top_model.h), all that the view
 * draws and the keys move. */
#ifndef SYNK_TOP_H
#define SYNK_TOP_H

#include "tools/synk/top_model.h"

/* Where one stands in a list: by key, since rows come and go above it. */
struct top_cursor {
    char key[160];
    size_t at, first; /* rows: the selected one, and the first that is drawn */
    size_t rows;      /* that fit; set by the view */
};

enum { TOP_PANES = LIST_EVENTS + 1 };

struct top {
    struct top_model *model;
    const char *directory;
    enum top_list focus; /* one of the panes; LIST_TASKS while a run is open */
    enum top_list before_run;
    struct top_cursor cursors[LISTS];
    size_t text_first, text_rows, text_lines; /* of the text to read; the last two by the view */
    char cancels[160];                        /* the run that is asked about; "" = none */
    bool is_helping, quits;
    bool is_utf8, has_colours;
};

/* Brings a cursor to where its row is now. */
void top_cursor_settle(const struct top *top, enum top_list list);

/* top_keys.c: what a key does; `code` as get_wch gives it, is_function where it is a KEY_*. */
void top_press(struct top *top, unsigned code, bool is_function);
/* The text of the help page. */
const char *top_help(void);

/* top_view.c: draws everything. `now_ms`: wall time. */
void top_view_init(struct top *top);
void top_draw(struct top *top, int64_t now_ms);

#endif
