/* Rails of graphs: who stands where, and that every line leads from a parent to its child. */
#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/synk/graph_layout.h"

/* "b:a,c" = b depends on a and c; parents come first. */
struct sample {
    struct graph graph;
    struct graph_node nodes[64];
    struct graph_link links[1024];
};

static void sample_init(struct sample *sample, const char *const *lines)
{
    *sample = (struct sample){0};
    struct graph *graph = &sample->graph;
    graph->nodes = sample->nodes;
    graph->links = sample->links;
    for (; *lines; lines++) {
        struct graph_node *node = &graph->nodes[graph->node_count++];
        const char *colon = strchr(*lines, ':');
        *node = (struct graph_node){.name = bytes_of(*lines, 1), .first_link = graph->link_count};
        for (const char *at = colon ? colon + 1 : ""; *at; at += 1 + (at[1] == ','))
            for (uint32_t i = 0; i + 1 < graph->node_count; i++)
                if (((const char *)graph->nodes[i].name.data)[0] == *at) {
                    graph->links[graph->link_count++] = (struct graph_link){.parent = i};
                    node->link_count++;
                    if (graph->nodes[i].level >= node->level)
                        node->level = graph->nodes[i].level + 1;
                }
    }
}

/* As one line for each row, cells as '|', '-', '+' and so on, a node as its name. */
static char *draw(const struct graph *graph, uint32_t max_columns)
{
    struct graph_layout layout;
    struct buf out = {0};
    bool fits = graph_layout_init(&layout, graph, max_columns);
    if (!fits)
        CU_ASSERT_EQUAL(layout.row_count, 0);
    for (size_t i = 0; i < layout.row_count; i++) {
        const struct graph_row *row = &layout.rows[i];
        for (uint32_t c = 0; c < row->columns; c++) {
            static const char lines[] = " ''|.'.+.'.+-+.+";
            uint8_t cell = row->cells[c];
            char text = cell & RAIL_NODE    ? ((const char *)graph->nodes[row->node].name.data)[0]
                        : cell & RAIL_UNDER ? '|'
                                            : lines[cell & 15];
            buf_printf(&out, "%c%s", text,
                       cell & RAIL_RIGHT      ? "-"
                       : c + 1 < row->columns ? " "
                                              : "");
        }
        buf_printf(&out, "\n");
    }
    buf_append(&out, "", 1);
    graph_layout_fini(&layout);
    return (char *)out.data;
}

static void test_shapes(void)
{
    static const struct {
        const char *const lines[8];
        const char *drawn;
    } rows[] = {
        {{NULL}, ""},
        {{"a", NULL}, "a\n"},
        /* Workers that have nothing to do with each other have no line between them. */
        {{"a", "b", NULL}, "a\nb\n"},
        {{"a", "b:a", "c:b", NULL}, "a\n|\nb\n|\nc\n"},
        /* A diamond: the last child takes the parent's rail over. */
        {{"a", "b:a", "c:a", "d:b,c", NULL}, "a\n+-.\n| b\n| |\nc |\n+-'\nd\n"},
        /* A line that only crosses a rail passes below it. */
        {{"a", "b:a", "c:b", "d:b", "e:d,a", "f:c,a", NULL},
         "a\n+-.\n| b\n| +-.\n| | c\n+-|-+\n| | f\n| |\n| d\n+-'\ne\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sample sample;
        sample_init(&sample, rows[i].lines);
        char *drawn = draw(&sample.graph, 20);
        if (rows[i].drawn && strcmp(drawn, rows[i].drawn) != 0)
            printf("\nrow %zu:\n%s", i, drawn);
        if (rows[i].drawn)
            CU_ASSERT_STRING_EQUAL(drawn, rows[i].drawn);
        free(drawn);
    }
}

/* Follows the lines of every link row: the cells that it reaches from the child must be the rails
 * of its parents, all of them and no others. */
static void check_rows(const struct graph *graph, const struct graph_layout *layout)
{
    uint32_t rail_of[64], drawn = 0;
    bool is_drawn[64] = {false};
    for (size_t i = 0; i < layout->row_count; i++) {
        const struct graph_row *row = &layout->rows[i];
        const struct graph_node *node = &graph->nodes[row->node];
        if (!row->is_link) {
            uint32_t column = 0;
            while (!(row->cells[column] & RAIL_NODE))
                column++;
            rail_of[row->node] = column;
            CU_ASSERT_FALSE(is_drawn[row->node]);
            is_drawn[row->node] = true;
            drawn++;
            continue;
        }
        uint32_t reached = 0, expected = 0, columns[64] = {0};
        for (uint32_t l = 0; l < node->link_count; l++) {
            uint32_t parent = graph->links[node->first_link + l].parent;
            CU_ASSERT_TRUE_FATAL(is_drawn[parent]);
            expected += columns[rail_of[parent]]++ == 0;
            CU_ASSERT_TRUE(row->cells[rail_of[parent]] & RAIL_UP);
            CU_ASSERT_FALSE(row->cells[rail_of[parent]] & RAIL_UNDER);
        }
        for (uint32_t c = 0; c < row->columns; c++) {
            uint8_t cell = row->cells[c];
            bool is_touched = (cell & (RAIL_LEFT | RAIL_RIGHT)) && (cell & RAIL_UP);
            reached += is_touched && !(cell & RAIL_UNDER);
            /* What leaves a cell arrives at its neighbour. */
            if (cell & RAIL_RIGHT)
                CU_ASSERT_TRUE(c + 1 < row->columns && (row->cells[c + 1] & RAIL_LEFT));
        }
        CU_ASSERT_TRUE(reached == expected || (reached == 0 && expected == 1));
    }
    CU_ASSERT_EQUAL(drawn, graph->node_count);
}

static void test_lines_lead_from_parents_to_children(void)
{
    uint32_t seed = 1;
    for (int round = 0; round < 300; round++) {
        struct sample sample = {0};
        struct graph *graph = &sample.graph;
        graph->nodes = sample.nodes;
        graph->links = sample.links;
        graph->node_count = 1 + (uint32_t)round % 40;
        for (uint32_t i = 0; i < graph->node_count; i++) {
            graph->nodes[i] = (struct graph_node){.first_link = graph->link_count};
            for (uint32_t p = 0; p < i && graph->nodes[i].link_count < 5; p++) {
                seed = seed * 1664525u + 1013904223u;
                if ((seed >> 16) % 7)
                    continue;
                graph->links[graph->link_count++] = (struct graph_link){.parent = p};
                graph->nodes[i].link_count++;
            }
        }
        struct graph_layout layout;
        CU_ASSERT_TRUE_FATAL(graph_layout_init(&layout, graph, 64));
        check_rows(graph, &layout);
        graph_layout_fini(&layout);
    }
}

static void test_too_wide_is_told(void)
{
    /* Ten rails that all go on to the end. */
    static const char *const lines[] = {"a", "b", "c", "d", "e", "f", "g", "h", "z:a,b,c,d,e,f,g,h",
                                        NULL};
    struct sample sample;
    struct graph_layout layout;
    sample_init(&sample, lines);
    CU_ASSERT_FALSE(graph_layout_init(&layout, &sample.graph, 7));
    CU_ASSERT_TRUE(graph_layout_init(&layout, &sample.graph, 8));
    CU_ASSERT_EQUAL(layout.columns, 8);
    graph_layout_fini(&layout);
}

static void test_the_same_parent_twice(void)
{
    static const char *const lines[] = {"a", "b:a,a", NULL};
    struct sample sample;
    sample_init(&sample, lines);
    char *drawn = draw(&sample.graph, 4);
    CU_ASSERT_STRING_EQUAL(drawn, "a\n|\nb\n");
    free(drawn);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"shapes", test_shapes},
        {"lines lead from parents to children", test_lines_lead_from_parents_to_children},
        {"too wide is told", test_too_wide_is_told},
        {"the same parent twice", test_the_same_parent_twice},
        {0},
    };
    return unit_main(argc, argv, "graph_layout", cases);
}
