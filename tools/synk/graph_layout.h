/*
 * Where the workers of a graph stand when it is drawn as rails, top to bottom: a worker a row,
 * after all its parents, and before it a row of what leads to it. A rail is a column that goes down
 * from a worker to the last of its children. Pure: no I/O; graph_draw prints what this decides.
 */
#ifndef SYNK_GRAPH_LAYOUT_H
#define SYNK_GRAPH_LAYOUT_H

#include "proto/bytes.h"

struct graph_link {
    uint32_t parent;
    struct synk_bytes when; /* "error and result > 3"; as `plan` words it */
};
struct graph_node {
    struct synk_bytes name, function;
    struct synk_bytes state; /* in a run; size 0 = none */
    int64_t duration_ms;     /* of a run; -1 = none */
    uint32_t level;
    uint32_t first_link, link_count; /* to parents, in graph.links */
};
/* Nodes by rising level; strings and arrays belong to whoever made it. Without a cycle. */
struct graph {
    struct synk_bytes unit, mode; /* "graph", or a run mode */
    struct graph_node *nodes;
    uint32_t node_count;
    struct graph_link *links;
    uint32_t link_count;
};

/* A cell: the sides that a line leaves it to, and what is in it. */
enum {
    RAIL_UP = 1,
    RAIL_DOWN = 2,
    RAIL_LEFT = 4,
    RAIL_RIGHT = 8,
    RAIL_UNDER = 16, /* the line from left to right passes below the rail without touching it */
    RAIL_NODE = 32,
};
#define GRAPH_NO_NODE UINT32_MAX
struct graph_row {
    uint32_t node;    /* whose row it is, */
    bool is_link;     /* or whose links it shows */
    uint32_t columns; /* cells; trailing empty ones are left out */
    const uint8_t *cells;
};
struct graph_layout {
    struct graph_row *rows;
    size_t row_count, row_capacity;
    uint32_t columns; /* of the widest row */
    struct arena arena;
};

/* Lays out a graph. False, with an empty layout, where more than `max_columns` rails would go side
 * by side. Fini in either case. Linear in nodes, links and rows times columns. */
bool graph_layout_init(struct graph_layout *layout, const struct graph *graph,
                       uint32_t max_columns);
void graph_layout_fini(struct graph_layout *layout);

#endif
