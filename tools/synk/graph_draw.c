/*
 * Graphs on a terminal or in a pipe. What tells something is never a colour alone: a worker's state
 * is a mark, too, and a word beside its name. Lines are cut on terminals only.
 */
#include <stdio.h>

#include "tools/synk/graph.h"
#include "tools/synk/output.h"

enum {
    /* Columns that names and states need beside the rails. */
    TEXT_COLUMNS = 40,
    /* More workers than anyone follows by eye; the layout's time and memory are bounded by it. */
    RAIL_NODES = 2000,
    /* Names of one level in the list of levels. */
    LEVEL_NAMES = 200,
};

const char *graph_mark(struct synk_bytes state, bool is_utf8)
{
    static const struct {
        const char *state, *letter;
    } letters[] = {
        {"succeeded", "S"}, {"failed", "F"},     {"timed-out", "T"}, {"quarantined", "Q"},
        {"cancelled", "C"}, {"skipped", "-"},    {"running", "R"},   {"dispatched", "D"},
        {"ready", "r"},     {"retry-wait", "W"}, {"pending", "."},
    };
    if (!state.size)
        return is_utf8 ? "●" : "o";
    if (is_utf8)
        return mark_of(state);
    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
        if (text_is(state, letters[i].state))
            return letters[i].letter;
    return "?";
}

/* The line of a cell, by the sides it goes to. */
static const char *line_of(uint8_t cell, bool is_utf8)
{
    static const char *const boxes[16] = {" ", "╵", "╷", "│", "╴", "╯", "╮", "┤",
                                          "╶", "╰", "╭", "├", "─", "┴", "┬", "┼"};
    unsigned sides = cell & 15u;
    if (cell & RAIL_UNDER)
        return is_utf8 ? "│" : "|";
    if (is_utf8)
        return boxes[sides];
    if (sides == (RAIL_UP | RAIL_DOWN))
        return "|";
    return sides == 0 ? " " : sides == (RAIL_LEFT | RAIL_RIGHT) ? "-" : "+";
}

/* Prints a row's cells, filled up to `columns` of them, and a blank where text is to follow. */
static void print_rails(const struct graph *graph, const struct graph_row *row, uint32_t columns,
                        bool is_utf8)
{
    const char *across = is_utf8 ? "─" : "-";
    for (uint32_t c = 0; c < row->columns; c++) {
        uint8_t cell = row->cells[c];
        if (c && !(cell & RAIL_LEFT))
            putchar(' ');
        if (cell & RAIL_NODE) {
            struct synk_bytes state = graph->nodes[row->node].state;
            printf("%s%s%s", style_on(style_of(state)), graph_mark(state, is_utf8), style_off());
        } else if (cell) {
            printf("%s%s%s%s", style_on(STYLE_DIM), cell & RAIL_LEFT ? across : "",
                   line_of(cell, is_utf8), style_off());
        } else {
            putchar(' ');
        }
    }
    if (columns)
        printf("%*s", (int)(2 * (columns - row->columns) + 1), "");
}

/* Text after what takes `used` columns already, cut at the width where there is one. */
static void print_rest(struct synk_bytes text, size_t used, size_t width)
{
    size_t room = width > used + 8 ? width - used : 8;
    print_text(text, output_is_terminal() ? room : 0);
}

static void print_name(const struct graph_node *node, size_t name_columns, size_t used,
                       size_t width)
{
    struct buf rest = {0};
    char duration[32];
    bool is_of_run = node->state.size > 0;
    fputs(style_on(STYLE_BOLD), stdout);
    size_t taken = print_text(node->name, name_columns);
    printf("%s%*s  ", style_off(), (int)(name_columns - taken), "");
    used += name_columns + 2;
    if (is_of_run) {
        printf("%s%-11.*s%s", style_on(style_of(node->state)), (int)node->state.size,
               (const char *)node->state.data, style_off());
        used += 13;
        if (node->duration_ms >= 0)
            buf_printf(&rest, "  %s", duration_text(node->duration_ms, duration));
    } else {
        buf_append(&rest, node->function.data, node->function.size);
    }
    fputs(style_on(STYLE_DIM), stdout);
    print_rest(buf_bytes(&rest), used, width);
    printf("%s\n", style_off());
    buf_fini(&rest);
}

static bool has_demands(const struct graph *graph, const struct graph_node *node)
{
    for (uint32_t l = 0; l < node->link_count; l++)
        if (graph_demand(&graph->links[node->first_link + l]).size)
            return true;
    return false;
}

/* What the links of a worker ask for, those that ask for more than success. */
static void print_demands(const struct graph *graph, const struct graph_node *node, size_t used,
                          size_t width)
{
    struct buf text = {0};
    for (uint32_t l = 0; l < node->link_count; l++) {
        const struct graph_link *link = &graph->links[node->first_link + l];
        struct synk_bytes demand = graph_demand(link), parent = graph->nodes[link->parent].name;
        if (!demand.size)
            continue;
        buf_printf(&text, "%s", text.size ? ", " : "if ");
        if (node->link_count > 1)
            buf_printf(&text, "%.*s: ", (int)parent.size, (const char *)parent.data);
        buf_append(&text, demand.data, demand.size);
    }
    fputs(style_on(STYLE_DIM), stdout);
    print_rest(buf_bytes(&text), used, width);
    printf("%s\n", style_off());
    buf_fini(&text);
}

static size_t name_columns_of(const struct graph *graph)
{
    size_t columns = 4;
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].name.size > columns)
            columns = graph->nodes[i].name.size;
    return columns < 28 ? columns : 28;
}

static void draw_rails(const struct graph *graph, const struct graph_layout *layout, size_t width,
                       bool is_utf8)
{
    size_t used = (size_t)layout->columns * 2, name_columns = name_columns_of(graph);
    for (size_t i = 0; i < layout->row_count; i++) {
        const struct graph_row *row = &layout->rows[i];
        const struct graph_node *node = &graph->nodes[row->node];
        bool has_text = !row->is_link || has_demands(graph, node);
        print_rails(graph, row, has_text ? layout->columns : 0, is_utf8);
        if (!has_text)
            putchar('\n');
        else if (row->is_link)
            print_demands(graph, node, used, width);
        else
            print_name(node, name_columns, used, width);
    }
}

/* Levels ----------------------------------------------------------------------------------------
 */

static uint32_t level_end(const struct graph *graph, uint32_t from)
{
    uint32_t end = from;
    while (end < graph->node_count && graph->nodes[end].level == graph->nodes[from].level)
        end++;
    return end;
}

/* Names side by side, folded to the width. */
static void print_level(const struct graph *graph, uint32_t from, uint32_t end, size_t width,
                        bool is_utf8)
{
    size_t used = 0;
    uint32_t shown_end = end - from > LEVEL_NAMES ? from + LEVEL_NAMES : end;
    for (uint32_t i = from; i < shown_end; i++) {
        const struct graph_node *node = &graph->nodes[i];
        size_t columns = node->name.size + 4;
        if (used && used + columns > width) {
            putchar('\n');
            used = 0;
        }
        printf("  %s%s%s ", style_on(style_of(node->state)), graph_mark(node->state, is_utf8),
               style_off());
        print_text(node->name, 0);
        used += columns;
    }
    if (shown_end < end)
        printf("\n  and %u more", end - shown_end);
    putchar('\n');
}

static void draw_levels(const struct graph *graph, size_t width, bool is_utf8)
{
    for (uint32_t from = 0, end; from < graph->node_count; from = end) {
        end = level_end(graph, from);
        printf("%slevel %u%s  %u worker%s\n", style_on(STYLE_BOLD), graph->nodes[from].level,
               style_off(), end - from, end - from == 1 ? "" : "s");
        print_level(graph, from, end, width, is_utf8);
    }
}

/* Run modes -------------------------------------------------------------------------------------
 */

/* What starts together stands behind one bracket; what follows it, below an arrow. */
static void draw_mode(const struct graph *graph, size_t width, bool is_utf8)
{
    size_t name_columns = name_columns_of(graph);
    for (uint32_t from = 0, end; from < graph->node_count; from = end) {
        end = level_end(graph, from);
        if (from)
            puts(is_utf8 ? "  ↓" : "  |");
        for (uint32_t i = from; i < end; i++) {
            const struct graph_node *node = &graph->nodes[i];
            const char *bracket = end - from == 1 ? " "
                                  : !is_utf8      ? "["
                                  : i == from     ? "╭"
                                  : i + 1 == end  ? "╰"
                                                  : "│";
            printf("%s%s%s %s%s%s ", style_on(STYLE_DIM), bracket, style_off(),
                   style_on(style_of(node->state)), graph_mark(node->state, is_utf8), style_off());
            print_name(node, name_columns, 4, width);
        }
    }
}

void graph_draw(const struct graph *graph, size_t width, bool is_utf8)
{
    struct graph_layout layout;
    uint32_t columns = width > TEXT_COLUMNS + 8 ? (uint32_t)(width - TEXT_COLUMNS) / 2 : 4;
    if (!text_is(graph->mode, "graph")) {
        draw_mode(graph, width, is_utf8);
    } else if (graph->node_count <= RAIL_NODES && graph_layout_init(&layout, graph, columns)) {
        draw_rails(graph, &layout, width, is_utf8);
        graph_layout_fini(&layout);
    } else {
        draw_levels(graph, width, is_utf8);
    }
}
