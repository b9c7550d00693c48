/*
 * The dependency graph of a process: ids become indices, unknown and repeated ones are refused, and
 * cycles are found and named link by link. The search keeps its own stack, because a chain may be a
 * million workers long. Linear in workers and edges. Pure.
 */
#include <stdlib.h>

#include "proto/definition_internal.h"
#include "proto/nearest.h"

enum { CYCLE_LINKS_SHOWN = 8 };

static void place_worker(struct validation *v, uint32_t index)
{
    v->worker =
        (struct place){"worker", "workers", index, bytes_str(v->definition->workers[index].id)};
}

static enum synk_status fail_parent(struct validation *v, const struct node *at,
                                    struct synk_bytes id)
{
    struct nearest nearest = nearest_of(id);
    for (uint32_t i = 0; i < v->definition->worker_count; i++)
        nearest_try(&nearest, bytes_str(v->definition->workers[i].id));
    if (!nearest.found.size)
        return definition_fail(v, at, SYNK_INVALID,
                               "depends on '%.*s', which is not in this process", (int)id.size,
                               (const char *)id.data);
    return definition_fail(v, at, SYNK_INVALID,
                           "depends on '%.*s', which is not in this process (did you mean '%.*s'?)",
                           (int)id.size, (const char *)id.data, (int)nearest.found.size,
                           (const char *)nearest.found.data);
}

static enum synk_status parse_on(struct validation *v, const struct node *node,
                                 enum dependency_on *ret_on)
{
    for (enum dependency_on on = ON_COMPLETED; on <= ON_ANY; on++)
        if (definition_node_is(node, dependency_on_name(on))) {
            *ret_on = on;
            return SYNK_OK;
        }
    return definition_fail_type(v, node, "on", "one of completed notError error any");
}

static enum synk_status parse_condition(struct validation *v, const struct node *node,
                                        struct synk_bytes parent, struct dependency *dependency)
{
    struct node text = *node;
    if (node->kind == NODE_BOOL) { /* `condition: true` is an expression, too */
        text.kind = NODE_STRING;
        text.text = bytes_str(node->boolean ? "true" : "false");
    }
    const char *source;
    enum synk_status status =
        definition_parse_text(v, &text, "condition", LIMIT_EXPRESSION_BYTES, &source);
    if (status)
        return status;
    struct synk_error inner = {0};
    if (v->checker->check(v->checker->context, text.text, &dependency->condition_uses, &inner))
        return definition_fail(v, node, inner.status, "condition on '%.*s': %s", (int)parent.size,
                               (const char *)parent.data, inner.text);
    dependency->condition = arena_strdup(&v->definition->arena, source);
    return SYNK_OK;
}

static enum synk_status parse_dependency(struct validation *v, const struct node *node,
                                         uint32_t child, struct dependency *dependency)
{
    static const char *const keys[] = {"id", "on", "condition", NULL};
    const struct node *id = node, *on = NULL, *condition = NULL;
    if (node->kind == NODE_MAP) {
        for (uint32_t i = 0; i < node->count; i++) {
            const struct node *key = &node->keys[i];
            if (!definition_node_is(key, "id") && !definition_node_is(key, "on") &&
                !definition_node_is(key, "condition"))
                return definition_fail_unknown(v, key, keys);
        }
        id = definition_node_get(node, "id");
        on = definition_node_get(node, "on");
        condition = definition_node_get(node, "condition");
        if (!id)
            return definition_fail(v, node, SYNK_INVALID, "an item of 'dependsOn' has no 'id'");
    }
    if (id->kind != NODE_STRING)
        return definition_fail_type(v, id, "dependsOn",
                                    "a list of worker ids or {id, on, condition}");
    struct synk_bytes parent;
    enum synk_status status = definition_parse_id(v, id, "dependsOn", &parent);
    if (status)
        return status;
    dependency->parent = id_table_get(&v->worker_ids, parent);
    if (dependency->parent == UINT32_MAX)
        return fail_parent(v, id, parent);
    if (dependency->parent == child)
        return definition_fail(v, id, SYNK_INVALID, "depends on itself");
    if (on)
        status = parse_on(v, on, &dependency->on);
    if (!status && condition)
        status = parse_condition(v, condition, parent, dependency);
    return status;
}

/* `last_child[parent]` = the last child that named it, plus one: repeats are seen in one step. */
static enum synk_status resolve_worker(struct validation *v, const struct node *node,
                                       uint32_t child, uint32_t *last_child)
{
    bool is_list = node->kind == NODE_ARRAY;
    const struct node *items = is_list ? node->items : node;
    uint32_t count = is_list ? node->count : 1;
    if (!count)
        return SYNK_OK;
    if (count > LIMIT_WORKERS)
        return definition_fail(v, node, SYNK_TOO_LARGE, "'dependsOn' has %u items", count);
    struct dependency *list = arena_zalloc(&v->definition->arena, count, sizeof(*list));
    for (uint32_t i = 0; i < count; i++) {
        enum synk_status status = parse_dependency(v, &items[i], child, &list[i]);
        if (status)
            return status;
        uint32_t parent = list[i].parent;
        if (last_child[parent] == child + 1)
            return definition_fail(v, &items[i], SYNK_INVALID, "depends on '%s' twice",
                                   v->definition->workers[parent].id);
        last_child[parent] = child + 1;
    }
    v->definition->workers[child].depends_on = list;
    v->definition->workers[child].depends_on_count = count;
    v->definition->is_graph = true;
    arena_clear(&v->scratch);
    return SYNK_OK;
}

/* The workers of path[0..count), the first of them again at the end; begun at the one that stands
 * first in the file, so that the text does not depend on where the search came in. */
static enum synk_status fail_cycle(struct validation *v, const struct node *const *depends_on,
                                   const uint32_t *path, uint32_t count)
{
    struct buf text = {0};
    uint32_t first = 0;
    for (uint32_t i = 1; i < count; i++)
        if (path[i] < path[first])
            first = i;
    for (uint32_t i = 0; i <= count; i++) {
        const char *arrow = i ? " -> " : "";
        if (count > CYCLE_LINKS_SHOWN && i == CYCLE_LINKS_SHOWN - 1) {
            uint32_t hidden = count - CYCLE_LINKS_SHOWN;
            buf_printf(&text, "%s(%u more)", arrow, hidden);
            i += hidden - 1;
            continue;
        }
        buf_printf(&text, "%s%s", arrow, v->definition->workers[path[(first + i) % count]].id);
    }
    v->worker = (struct place){0};
    enum synk_status status =
        definition_fail(v, depends_on[path[first]], SYNK_INVALID, "dependency cycle: %.*s",
                        (int)text.size, (const char *)text.data);
    buf_fini(&text);
    return status;
}

/* Depth first along the edges to parents: path[0..depth) is the walk, next[w] the edge to take. */
static enum synk_status find_cycle(struct validation *v, const struct node *const *depends_on)
{
    enum { NEW, OPEN, DONE };
    const struct definition *d = v->definition;
    uint8_t *state = mem_zalloc(d->worker_count, sizeof(*state));
    uint32_t *next = mem_zalloc(d->worker_count, sizeof(*next));
    uint32_t *path = mem_zalloc(d->worker_count, sizeof(*path));
    enum synk_status status = SYNK_OK;
    for (uint32_t root = 0; root < d->worker_count && !status; root++) {
        uint32_t depth = 0;
        if (state[root] == NEW) {
            state[root] = OPEN;
            path[depth++] = root;
        }
        while (depth && !status) {
            uint32_t here = path[depth - 1];
            if (next[here] == d->workers[here].depends_on_count) {
                state[here] = DONE;
                depth--;
                continue;
            }
            uint32_t parent = d->workers[here].depends_on[next[here]++].parent;
            if (state[parent] == NEW) {
                state[parent] = OPEN;
                path[depth++] = parent;
            } else if (state[parent] == OPEN) {
                uint32_t from = depth - 1;
                while (path[from] != parent)
                    from--;
                status = fail_cycle(v, depends_on, path + from, depth - from);
            }
        }
    }
    free(state);
    free(next);
    free(path);
    return status;
}

enum synk_status definition_resolve(struct validation *v, const struct node *const *depends_on)
{
    uint32_t count = v->definition->worker_count;
    uint32_t *last_child = mem_zalloc(count, sizeof(*last_child));
    enum synk_status status = SYNK_OK;
    for (uint32_t i = 0; i < count && !status; i++) {
        if (!depends_on[i])
            continue;
        place_worker(v, i);
        status = resolve_worker(v, depends_on[i], i, last_child);
    }
    free(last_child);
    v->worker = (struct place){0};
    if (!status && v->definition->is_graph)
        status = find_cycle(v, depends_on);
    return status;
}
