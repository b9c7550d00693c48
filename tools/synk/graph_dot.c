/*
 * Graphs in Graphviz's language. Nodes are numbered; what users wrote stands in labels only, where
 * a backslash begins an escape and an ampersand an entity, so both are spelled out.
 */
#include "tools/synk/graph.h"

static void add_text(struct synk_bytes text, struct buf *out)
{
    const char *at = text.data;
    buf_append(out, "\"", 1);
    for (size_t i = 0; i < text.size; i++) {
        if (at[i] == '"' || at[i] == '\\')
            buf_printf(out, "\\%c", at[i]);
        else if (at[i] == '&')
            buf_printf(out, "&amp;");
        else if ((unsigned char)at[i] < 0x20 || at[i] == 0x7f)
            buf_append(out, " ", 1);
        else
            buf_append(out, &at[i], 1);
    }
    buf_append(out, "\"", 1);
}

static const char *fill_of(struct synk_bytes state)
{
    static const struct {
        const char *state, *colour;
    } fills[] = {
        {"succeeded", "palegreen"},    {"failed", "lightcoral"},       {"timed-out", "lightcoral"},
        {"quarantined", "lightcoral"}, {"cancelled", "khaki"},         {"retry-wait", "khaki"},
        {"running", "lightskyblue"},   {"dispatched", "lightskyblue"}, {"skipped", "gray90"},
    };
    for (size_t i = 0; i < sizeof(fills) / sizeof(fills[0]); i++)
        if (text_is(state, fills[i].state))
            return fills[i].colour;
    return "white";
}

static void add_node(const struct graph *graph, uint32_t index, struct buf *out)
{
    const struct graph_node *node = &graph->nodes[index];
    buf_printf(out, "  n%u [label=", index);
    add_text(node->name, out);
    if (node->state.size) {
        buf_printf(out, ", fillcolor=%s, tooltip=", fill_of(node->state));
        add_text(node->state, out);
        buf_printf(out, "%s", text_is(node->state, "skipped") ? ", style=\"filled,dashed\"" : "");
    }
    buf_printf(out, "];\n");
}

static void add_links(const struct graph *graph, uint32_t index, struct buf *out)
{
    const struct graph_node *node = &graph->nodes[index];
    for (uint32_t l = 0; l < node->link_count; l++) {
        const struct graph_link *link = &graph->links[node->first_link + l];
        struct synk_bytes demand = graph_demand(link);
        buf_printf(out, "  n%u -> n%u", link->parent, index);
        if (demand.size) {
            buf_printf(out, " [label=");
            add_text(demand, out);
            buf_append(out, "]", 1);
        }
        buf_printf(out, ";\n");
    }
}

/* What a run mode starts together is a cluster; an arrow goes from each to the next. */
static void add_mode(const struct graph *graph, struct buf *out)
{
    uint32_t before = GRAPH_NO_NODE;
    for (uint32_t from = 0, end; from < graph->node_count; from = end) {
        uint32_t level = graph->nodes[from].level;
        for (end = from; end < graph->node_count && graph->nodes[end].level == level;)
            end++;
        buf_printf(out, "  subgraph cluster_%u { style=%s;", level,
                   end - from > 1 ? "rounded" : "invis");
        for (uint32_t i = from; i < end; i++)
            buf_printf(out, " n%u;", i);
        buf_printf(out, " }\n");
        if (before != GRAPH_NO_NODE)
            buf_printf(out, "  n%u -> n%u [ltail=cluster_%u, lhead=cluster_%u];\n", before, from,
                       graph->nodes[before].level, level);
        before = from;
    }
}

void graph_dot(const struct graph *graph, struct buf *out)
{
    bool is_graph = text_is(graph->mode, "graph");
    buf_printf(out, "digraph ");
    add_text(graph->unit, out);
    buf_printf(out, " {\n  charset=\"UTF-8\";\n  compound=true;\n"
                    "  node [shape=box, style=\"rounded,filled\", fillcolor=white];\n  label=");
    add_text(graph->unit, out);
    buf_printf(out, ";\n");
    for (uint32_t i = 0; i < graph->node_count; i++)
        add_node(graph, i, out);
    for (uint32_t i = 0; i < graph->node_count && is_graph; i++)
        add_links(graph, i, out);
    if (!is_graph)
        add_mode(graph, out);
    buf_printf(out, "}\n");
}
