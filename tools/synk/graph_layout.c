/*
 * Rails. Workers are taken depth first, the children of the one just drawn before others that are
 * ready, so that a rail is short and few go side by side. Invariants: a worker with children that
 * are not drawn yet has one rail; a worker stands below a parent whose last child it is, where
 * there is one, and takes over the rail.
 */
#include "tools/synk/graph_layout.h"

#include <stdlib.h>

struct rails {
    const struct graph *graph;
    struct graph_layout *layout;
    uint32_t *first_child, *children; /* by parent: the links turned round */
    uint32_t *waiting, *undrawn;      /* parents to come; children to come */
    uint32_t *rail_of;                /* the rail of a worker that has children to come */
    uint32_t *ready, ready_count;     /* a stack */
    uint32_t *rails;                  /* the worker each belongs to, or GRAPH_NO_NODE */
    uint32_t rail_count, max_columns;
};

static void turn_links(struct rails *rails)
{
    const struct graph *graph = rails->graph;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct graph_node *node = &graph->nodes[i];
        rails->waiting[i] = node->link_count;
        for (uint32_t l = 0; l < node->link_count; l++)
            rails->first_child[graph->links[node->first_link + l].parent + 1]++;
    }
    for (uint32_t i = 0; i < graph->node_count; i++) {
        rails->undrawn[i] = rails->first_child[i + 1];
        rails->first_child[i + 1] += rails->first_child[i];
    }
    uint32_t *next = mem_alloc((graph->node_count + 1u) * sizeof(*next));
    memcpy(next, rails->first_child, (graph->node_count + 1u) * sizeof(*next));
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct graph_node *node = &graph->nodes[i];
        for (uint32_t l = 0; l < node->link_count; l++)
            rails->children[next[graph->links[node->first_link + l].parent]++] = i;
    }
    free(next);
}

static void rails_init(struct rails *rails, const struct graph *graph, struct graph_layout *layout,
                       uint32_t max_columns)
{
    size_t nodes = graph->node_count + 1u, links = graph->link_count + 1u;
    *rails = (struct rails){.graph = graph, .layout = layout, .max_columns = max_columns};
    rails->first_child = mem_zalloc(nodes, sizeof(uint32_t));
    rails->children = mem_zalloc(links, sizeof(uint32_t));
    rails->waiting = mem_zalloc(nodes, sizeof(uint32_t));
    rails->undrawn = mem_zalloc(nodes, sizeof(uint32_t));
    rails->rail_of = mem_zalloc(nodes, sizeof(uint32_t));
    rails->ready = mem_zalloc(nodes, sizeof(uint32_t));
    rails->rails = mem_zalloc(max_columns + 1u, sizeof(uint32_t));
    turn_links(rails);
    for (uint32_t i = graph->node_count; i-- > 0;)
        if (!rails->waiting[i])
            rails->ready[rails->ready_count++] = i;
}

static void rails_fini(struct rails *rails)
{
    uint32_t *arrays[] = {rails->first_child, rails->children, rails->waiting, rails->undrawn,
                          rails->rail_of,     rails->ready,    rails->rails};
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        free(arrays[i]);
}

/* The leftmost free column from `from` on; max_columns = there is none. */
static uint32_t free_column(const struct rails *rails, uint32_t from)
{
    for (uint32_t c = from; c < rails->rail_count; c++)
        if (rails->rails[c] == GRAPH_NO_NODE)
            return c;
    return from > rails->rail_count ? from : rails->rail_count;
}

/* Whether the worker has all that is left of the parent's children: itself. */
static bool is_last_child(const struct rails *rails, const struct graph_node *node, uint32_t parent)
{
    uint32_t links = 0;
    for (uint32_t l = 0; l < node->link_count; l++)
        links += rails->graph->links[node->first_link + l].parent == parent;
    return links == rails->undrawn[parent];
}

/* Where a worker is to stand: below the leftmost parent that has no other child to come, else in a
 * free column right of its leftmost parent. *ret_low and *ret_high: what its links span. */
static uint32_t column_for(const struct rails *rails, const struct graph_node *node,
                           uint32_t *ret_low, uint32_t *ret_high)
{
    uint32_t column = UINT32_MAX, low = UINT32_MAX, high = 0;
    for (uint32_t l = 0; l < node->link_count; l++) {
        uint32_t parent = rails->graph->links[node->first_link + l].parent;
        uint32_t rail = rails->rail_of[parent];
        low = rail < low ? rail : low;
        high = rail > high ? rail : high;
        if (rail < column && is_last_child(rails, node, parent))
            column = rail;
    }
    if (column == UINT32_MAX)
        column = free_column(rails, node->link_count ? low + 1 : 0);
    *ret_low = column < low ? column : low;
    *ret_high = column > high ? column : high;
    return column;
}

static bool is_parent(const struct rails *rails, const struct graph_node *node, uint32_t candidate)
{
    for (uint32_t l = 0; l < node->link_count; l++)
        if (rails->graph->links[node->first_link + l].parent == candidate)
            return true;
    return false;
}

static void add_row(struct rails *rails, uint32_t node, bool is_link, const uint8_t *cells,
                    uint32_t columns)
{
    struct graph_layout *layout = rails->layout;
    while (columns && !cells[columns - 1])
        columns--;
    layout->rows =
        mem_grow(layout->rows, &layout->row_capacity, layout->row_count + 1, sizeof(*layout->rows));
    layout->rows[layout->row_count++] = (struct graph_row){
        .node = node,
        .is_link = is_link,
        .columns = columns,
        .cells = arena_copy(&layout->arena, bytes_of(cells, columns)).data,
    };
    layout->columns = columns > layout->columns ? columns : layout->columns;
}

static void add_links(struct rails *rails, uint32_t index, uint32_t column, uint32_t low,
                      uint32_t high, uint8_t *cells)
{
    const struct graph_node *node = &rails->graph->nodes[index];
    for (uint32_t c = 0; c < rails->rail_count; c++) {
        uint32_t owner = rails->rails[c];
        bool is_crossed = c >= low && c <= high;
        bool is_involved = c == column || (owner != GRAPH_NO_NODE && is_parent(rails, node, owner));
        cells[c] = 0;
        if (owner != GRAPH_NO_NODE)
            cells[c] |= RAIL_UP;
        if (c == column ||
            (owner != GRAPH_NO_NODE && !(is_involved && is_last_child(rails, node, owner))))
            cells[c] |= RAIL_DOWN;
        if (is_crossed && c > low)
            cells[c] |= RAIL_LEFT;
        if (is_crossed && c < high)
            cells[c] |= RAIL_RIGHT;
        if (is_crossed && !is_involved && owner != GRAPH_NO_NODE)
            cells[c] |= RAIL_UNDER;
    }
    add_row(rails, index, true, cells, rails->rail_count);
}

/* The parents have one child less to come; rails that end are free again. */
static void leave_parents(struct rails *rails, const struct graph_node *node)
{
    for (uint32_t l = 0; l < node->link_count; l++) {
        uint32_t parent = rails->graph->links[node->first_link + l].parent;
        if (--rails->undrawn[parent] == 0)
            rails->rails[rails->rail_of[parent]] = GRAPH_NO_NODE;
    }
}

static void add_children(struct rails *rails, uint32_t index)
{
    for (uint32_t c = rails->first_child[index + 1]; c-- > rails->first_child[index];)
        if (--rails->waiting[rails->children[c]] == 0)
            rails->ready[rails->ready_count++] = rails->children[c];
}

static bool draw(struct rails *rails, uint32_t index, uint8_t *cells)
{
    const struct graph_node *node = &rails->graph->nodes[index];
    uint32_t low, high, column = column_for(rails, node, &low, &high);
    if (column >= rails->max_columns)
        return false;
    while (rails->rail_count <= column)
        rails->rails[rails->rail_count++] = GRAPH_NO_NODE;
    if (node->link_count)
        add_links(rails, index, column, low, high, cells);
    leave_parents(rails, node);
    rails->rails[column] = index;
    rails->rail_of[index] = column;
    for (uint32_t c = 0; c < rails->rail_count; c++)
        cells[c] = rails->rails[c] == GRAPH_NO_NODE ? 0
                   : c == column                    ? RAIL_NODE
                                                    : RAIL_UP | RAIL_DOWN;
    add_row(rails, index, false, cells, rails->rail_count);
    if (!rails->undrawn[index])
        rails->rails[column] = GRAPH_NO_NODE;
    while (rails->rail_count && rails->rails[rails->rail_count - 1] == GRAPH_NO_NODE)
        rails->rail_count--;
    add_children(rails, index);
    return true;
}

bool graph_layout_init(struct graph_layout *layout, const struct graph *graph, uint32_t max_columns)
{
    struct rails rails;
    *layout = (struct graph_layout){0};
    rails_init(&rails, graph, layout, max_columns);
    uint8_t *cells = mem_zalloc(max_columns + 1u, sizeof(*cells));
    bool fits = true;
    while (fits && rails.ready_count)
        fits = draw(&rails, rails.ready[--rails.ready_count], cells);
    free(cells);
    rails_fini(&rails);
    if (!fits)
        graph_layout_fini(layout);
    return fits;
}

void graph_layout_fini(struct graph_layout *layout)
{
    free(layout->rows);
    arena_fini(&layout->arena);
    *layout = (struct graph_layout){0};
}
