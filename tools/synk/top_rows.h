/* How each kind of row is drawn in the columns that it has. */
#ifndef SYNK_TOP_ROWS_H
#define SYNK_TOP_ROWS_H

#include "tools/synk/top_draw.h"
#include "tools/synk/top_model.h"

/* now_ms: wall time, for what still goes on. */
void top_draw_row(struct draw_line *line, const struct top_model *model, enum top_list list,
                  const struct synk_value *row, int64_t now_ms);

#endif
