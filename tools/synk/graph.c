/* Graphs out of plans. Invariant: nodes keep the plan's order, which has parents first. */
#include "tools/synk/graph.h"

#include <stdlib.h>

#include "proto/status.h"

static int compare(struct synk_bytes a, struct synk_bytes b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size ? memcmp(a.data, b.data, size) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_nodes(const void *a, const void *b, void *nodes)
{
    const struct graph_node *all = nodes;
    return compare(all[*(const uint32_t *)a].name, all[*(const uint32_t *)b].name);
}

uint32_t *graph_by_name(const struct graph *graph)
{
    uint32_t *order = mem_alloc((graph->node_count + 1u) * sizeof(*order));
    for (uint32_t i = 0; i < graph->node_count; i++)
        order[i] = i;
    qsort_r(order, graph->node_count, sizeof(*order), compare_nodes, graph->nodes);
    return order;
}

uint32_t graph_find(const struct graph *graph, const uint32_t *by_name, struct synk_bytes name)
{
    uint32_t low = 0, high = graph->node_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare(graph->nodes[by_name[middle]].name, name);
        if (order == 0)
            return by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return GRAPH_NO_NODE;
}

struct synk_bytes graph_demand(const struct graph_link *link)
{
    static const char usual[] = "completed", and_more[] = "completed and ";
    struct synk_bytes when = link->when;
    if (!when.size || text_is(when, usual))
        return bytes_of(NULL, 0);
    size_t prefix = strlen(and_more);
    if (when.size > prefix && memcmp(when.data, and_more, prefix) == 0)
        return bytes_of((const char *)when.data + prefix, when.size - prefix);
    return when;
}

static enum synk_status add_links(struct graph *graph, uint32_t index, const uint32_t *by_name,
                                  const struct synk_value *step, size_t *capacity,
                                  struct synk_error *error)
{
    struct graph_node *node = &graph->nodes[index];
    const struct synk_value *after = synk_value_get(step, "after");
    const struct synk_value *when = synk_value_get(step, "when");
    node->first_link = graph->link_count;
    for (size_t i = 0; i < synk_value_count(after); i++) {
        struct synk_bytes name = synk_value_bytes(synk_value_at(after, i));
        uint32_t parent = graph_find(graph, by_name, name);
        if (parent == GRAPH_NO_NODE || graph->nodes[parent].level >= node->level)
            return status_fail(error, SYNK_PROTOCOL, "the plan has no worker '%.*s' before '%.*s'",
                               (int)name.size, name.data ? (const char *)name.data : "",
                               (int)node->name.size, (const char *)node->name.data);
        graph->links =
            mem_grow(graph->links, capacity, graph->link_count + 1u, sizeof(*graph->links));
        graph->links[graph->link_count++] =
            (struct graph_link){.parent = parent, .when = synk_value_bytes(synk_value_at(when, i))};
        node->link_count++;
    }
    return SYNK_OK;
}

enum synk_status graph_init(struct graph *graph, const struct synk_value *plan,
                            struct synk_error *error)
{
    const struct synk_value *steps = synk_value_get(plan, "steps");
    size_t count = synk_value_count(steps), capacity = 0;
    *graph = (struct graph){.unit = text_of(plan, "unit"),
                            .mode = text_of(plan, "mode"),
                            .nodes = mem_zalloc(count + 1, sizeof(*graph->nodes)),
                            .node_count = (uint32_t)count};
    for (uint32_t i = 0; i < count; i++) {
        const struct synk_value *step = synk_value_at(steps, i);
        graph->nodes[i] = (struct graph_node){
            .name = text_of(step, "worker"),
            .function = text_of(step, "function"),
            .level = (uint32_t)synk_value_int(synk_value_get(step, "level"), 0),
            .duration_ms = -1,
        };
    }
    uint32_t *by_name = graph_by_name(graph);
    enum synk_status status = SYNK_OK;
    for (uint32_t i = 0; i < count && !status; i++)
        status = add_links(graph, i, by_name, synk_value_at(steps, i), &capacity, error);
    free(by_name);
    return status;
}

void graph_fini(struct graph *graph)
{
    free(graph->nodes);
    free(graph->links);
    *graph = (struct graph){0};
}
