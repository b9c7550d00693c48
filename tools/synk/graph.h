/* A graph made of a plan and, for a run, of its tasks; and the three ways it is printed. */
#ifndef SYNK_GRAPH_H
#define SYNK_GRAPH_H

#include "tools/synk/cli.h"
#include "tools/synk/graph_layout.h"

/* `plan` as the reply to the request has it; strings point into it. Fails with SYNK_PROTOCOL where
 * a step names a parent that comes later or not at all. Free with graph_fini in either case. */
enum synk_status graph_init(struct graph *graph, const struct synk_value *plan,
                            struct synk_error *error);
void graph_fini(struct graph *graph);
/* The node of a worker, GRAPH_NO_NODE where there is none. Needs no longer than a search. */
uint32_t graph_find(const struct graph *graph, const uint32_t *by_name, struct synk_bytes name);
/* Indices of nodes in the order of their names, for graph_find; free() it. */
uint32_t *graph_by_name(const struct graph *graph);
/* What a link asks beyond the parent's success; size 0 = nothing. */
struct synk_bytes graph_demand(const struct graph_link *link);

/* graph_draw.c: rails, or levels where they do not fit `width` columns; run modes as what starts
 * together. is_utf8: box characters and marks, else ASCII and letters. */
void graph_draw(const struct graph *graph, size_t width, bool is_utf8);
/* The letter or mark of a task's state. */
const char *graph_mark(struct synk_bytes state, bool is_utf8);

/* graph_dot.c: appends the graph in Graphviz's language. */
void graph_dot(const struct graph *graph, struct buf *out);

#endif
