/*
 * Plans. In a graph a worker's level is one above its highest parent's; a run mode is a graph of
 * its own: one behind the other, all at once, or a batch at a time.
 */
#include "proto/definition_plan.h"

#include <stdlib.h>

#include "proto/pack.h"

static uint32_t level_in_mode(const struct process_options *process, uint32_t index)
{
    switch (process->run_mode) {
    case RUN_PARALLEL:
        break;
    case RUN_BATCHED:
        return process->batch_size ? index / process->batch_size : index;
    case RUN_SEQUENTIAL:
    case RUN_ISOLATED:
        return index;
    }
    return 0;
}

/* The children of all workers, one list behind the other: those of worker i are
 * children[first[i]] to children[first[i + 1]]. */
static void gather_children(const struct definition *definition, uint32_t *first,
                            uint32_t **ret_children)
{
    uint32_t count = definition->worker_count;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t d = 0; d < definition->workers[i].depends_on_count; d++)
            first[definition->workers[i].depends_on[d].parent + 1]++;
    for (uint32_t i = 0; i < count; i++)
        first[i + 1] += first[i];
    uint32_t *children = mem_alloc((first[count] + 1u) * sizeof(*children));
    uint32_t *fill = mem_alloc((count + 1u) * sizeof(*fill));
    memcpy(fill, first, (count + 1u) * sizeof(*fill));
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t d = 0; d < definition->workers[i].depends_on_count; d++)
            children[fill[definition->workers[i].depends_on[d].parent]++] = i;
    free(fill);
    *ret_children = children;
}

/* Parents first, by counting what each worker still waits for. There is no cycle. */
static void graph_levels(const struct definition *definition, uint32_t *levels)
{
    uint32_t count = definition->worker_count, filled = 0;
    uint32_t *first = mem_zalloc(count + 2u, sizeof(*first)), *children;
    uint32_t *waiting = mem_alloc((count + 1u) * sizeof(*waiting));
    uint32_t *order = mem_alloc((count + 1u) * sizeof(*order));
    gather_children(definition, first, &children);
    for (uint32_t i = 0; i < count; i++) {
        waiting[i] = definition->workers[i].depends_on_count;
        if (!waiting[i])
            order[filled++] = i;
    }
    for (uint32_t at = 0; at < filled; at++) {
        uint32_t parent = order[at];
        for (uint32_t c = first[parent]; c < first[parent + 1]; c++) {
            uint32_t child = children[c];
            if (levels[child] <= levels[parent])
                levels[child] = levels[parent] + 1;
            if (--waiting[child] == 0)
                order[filled++] = child;
        }
    }
    free(first);
    free(children);
    free(waiting);
    free(order);
}

/* Workers by level, and within one as they stand. */
static uint32_t *sort_by_level(const uint32_t *levels, uint32_t count)
{
    uint32_t *start = mem_zalloc(count + 2u, sizeof(*start));
    uint32_t *order = mem_alloc((count + 1u) * sizeof(*order));
    for (uint32_t i = 0; i < count; i++)
        start[levels[i] + 1]++;
    for (uint32_t level = 0; level < count; level++)
        start[level + 1] += start[level];
    for (uint32_t i = 0; i < count; i++)
        order[start[levels[i]]++] = i;
    free(start);
    return order;
}

static void pack_step(const struct definition *definition, uint32_t index, uint32_t level,
                      struct buf *out)
{
    const struct worker_def *worker = &definition->workers[index];
    pack_map(out, 5);
    pack_key(out, "worker");
    pack_cstr(out, worker->id);
    pack_key(out, "level");
    pack_uint(out, level);
    pack_key(out, "after");
    pack_array(out, worker->depends_on_count);
    for (uint32_t d = 0; d < worker->depends_on_count; d++)
        pack_cstr(out, definition->workers[worker->depends_on[d].parent].id);
    pack_key(out, "when");
    pack_array(out, worker->depends_on_count);
    for (uint32_t d = 0; d < worker->depends_on_count; d++) {
        const struct dependency *dependency = &worker->depends_on[d];
        struct buf text = {0};
        buf_printf(&text, "%s", dependency_on_name(dependency->on));
        if (dependency->condition)
            buf_printf(&text, " and %s", dependency->condition);
        pack_string(out, buf_bytes(&text));
        buf_fini(&text);
    }
    pack_key(out, "function");
    pack_cstr(out, worker->worker->function);
}

void definition_plan_encode(const struct definition *definition, struct buf *out)
{
    uint32_t count = definition->worker_count;
    uint32_t *levels = mem_zalloc(count + 1u, sizeof(*levels));
    if (definition->is_graph)
        graph_levels(definition, levels);
    else
        for (uint32_t i = 0; i < count; i++)
            levels[i] = level_in_mode(&definition->process, i);
    uint32_t *order = sort_by_level(levels, count);
    pack_map(out, 3);
    pack_key(out, "unit");
    pack_cstr(out, definition->id);
    pack_key(out, "mode");
    pack_cstr(out, definition->is_graph ? "graph" : run_mode_name(definition->process.run_mode));
    pack_key(out, "steps");
    pack_array(out, count);
    for (uint32_t i = 0; i < count; i++)
        pack_step(definition, order[i], levels[order[i]], out);
    free(levels);
    free(order);
}
