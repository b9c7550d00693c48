/*
 * Fields that are lists: hooks, host tags, resources, exit codes. A single item may stand where a
 * list is meant. What has no order (tags, resources, codes) is kept sorted and without repeats, so
 * that equal definitions encode to equal bytes. Pure.
 */
#include <stdlib.h>

#include "proto/definition_internal.h"

/* The items of a list, or the one item that stands for it. */
static enum synk_status as_list(struct validation *v, const struct node *node, const char *name,
                                uint32_t max, const struct node **ret_items, uint32_t *ret_count)
{
    bool is_list = node->kind == NODE_ARRAY;
    *ret_items = is_list ? node->items : node;
    *ret_count = is_list ? node->count : 1;
    if (*ret_count > max)
        return definition_fail(v, node, SYNK_TOO_LARGE, "'%s' has %u items, more than %u", name,
                               *ret_count, max);
    return SYNK_OK;
}

/* A unit's id, or PROCESS/WORKER. */
static bool is_unit_path(struct synk_bytes path)
{
    const char *slash = path.size ? memchr(path.data, '/', path.size) : NULL;
    if (!slash)
        return definition_id_is_valid(path);
    size_t first = (size_t)(slash - (const char *)path.data);
    return definition_id_is_valid(bytes_of(path.data, first)) &&
           definition_id_is_valid(bytes_of(slash + 1, path.size - first - 1));
}

static enum synk_status parse_hook(struct validation *v, const struct node *node, const char *name,
                                   struct hook *hook)
{
    static const char *const keys[] = {"run", "emit", NULL};
    const struct node *target = node;
    hook->kind = HOOK_RUN;
    if (node->kind == NODE_MAP) {
        for (uint32_t i = 0; i < node->count; i++)
            if (!definition_node_is(&node->keys[i], "run") &&
                !definition_node_is(&node->keys[i], "emit"))
                return definition_fail_unknown(v, &node->keys[i], keys);
        if (node->count != 1)
            return definition_fail(v, node, SYNK_INVALID,
                                   "an item of '%s' must have one of 'run' and 'emit'", name);
        hook->kind = definition_node_is(&node->keys[0], "emit") ? HOOK_EMIT : HOOK_RUN;
        target = &node->items[0];
    }
    if (target->kind != NODE_STRING)
        return definition_fail_type(v, target, name,
                                    "a list of {run: UNIT}, {emit: NAME} or unit ids");
    if (hook->kind == HOOK_RUN && !is_unit_path(target->text))
        return definition_fail_type(v, target, name, "a unit's id, or PROCESS/WORKER");
    return definition_parse_text(v, target, name, DEFINITION_MILESTONE_BYTES, &hook->target);
}

enum synk_status definition_parse_hooks(struct validation *v, const struct node *node,
                                        const char *name, struct hook_list *ret_hooks)
{
    const struct node *items;
    uint32_t count;
    enum synk_status status = as_list(v, node, name, DEFINITION_LIST_ITEMS, &items, &count);
    if (status || !count)
        return status;
    struct hook *hooks = arena_zalloc(&v->scratch, count, sizeof(*hooks));
    for (uint32_t i = 0; i < count && !status; i++)
        status = parse_hook(v, &items[i], name, &hooks[i]);
    *ret_hooks = (struct hook_list){hooks, count};
    return status;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum synk_status definition_parse_requires(struct validation *v, const struct node *node,
                                           struct worker_options *worker)
{
    const struct node *items;
    uint32_t count, kept = 0;
    enum synk_status status = as_list(v, node, "requires", DEFINITION_LIST_ITEMS, &items, &count);
    if (status || !count)
        return status;
    const char **tags = arena_zalloc(&v->scratch, count, sizeof(*tags));
    for (uint32_t i = 0; i < count && !status; i++)
        status = definition_parse_text(v, &items[i], "requires", LIMIT_ID_BYTES, &tags[i]);
    if (status)
        return status;
    qsort(tags, count, sizeof(*tags), compare_texts);
    for (uint32_t i = 0; i < count; i++)
        if (!kept || strcmp(tags[kept - 1], tags[i]) != 0)
            tags[kept++] = tags[i];
    worker->requires = tags;
    worker->requires_count = kept;
    return SYNK_OK;
}

static int compare_uses(const void *a, const void *b)
{
    return strcmp(((const struct uses *)a)->name, ((const struct uses *)b)->name);
}

/* How much there is of a limit that these files define; 0 = they do not. */
static uint32_t defined_limit(const struct validation *v, const char *name)
{
    for (size_t i = 0; i < v->set->limit_count; i++)
        if (strcmp(v->set->limits[i].name, name) == 0)
            return v->set->limits[i].most;
    return 0;
}

enum synk_status definition_parse_uses(struct validation *v, const struct node *node,
                                       struct worker_options *worker)
{
    if (node->kind != NODE_MAP)
        return definition_fail_type(v, node, "uses", "a map of names to amounts");
    if (node->count > DEFINITION_LIST_ITEMS)
        return definition_fail(v, node, SYNK_TOO_LARGE, "'uses' has %u entries, more than %d",
                               node->count, DEFINITION_LIST_ITEMS);
    if (!node->count)
        return SYNK_OK;
    struct uses *uses = arena_zalloc(&v->scratch, node->count, sizeof(*uses));
    for (uint32_t i = 0; i < node->count; i++) {
        const struct node *amount = &node->items[i];
        enum synk_status status =
            definition_parse_text(v, &node->keys[i], "uses", LIMIT_ID_BYTES, &uses[i].name);
        if (status)
            return status;
        if (amount->kind != NODE_INT || amount->integer < 1 || amount->integer > INT32_MAX)
            return definition_fail_type(v, amount, uses[i].name, "a positive integer");
        uses[i].amount = (uint32_t)amount->integer;
        uint32_t most = defined_limit(v, uses[i].name);
        if (most && uses[i].amount > most)
            return definition_fail(v, amount, SYNK_INVALID, "'uses': %u of limit '%s', which is %u",
                                   uses[i].amount, uses[i].name, most);
    }
    qsort(uses, node->count, sizeof(*uses), compare_uses);
    worker->uses = uses;
    worker->uses_count = node->count;
    return SYNK_OK;
}

enum synk_status definition_parse_exit_codes(struct validation *v, const struct node *node,
                                             struct worker_options *worker)
{
    const struct node *items;
    uint32_t count, kept = 0;
    bool listed[256] = {false};
    enum synk_status status = as_list(v, node, "noRetryExitCodes", 256, &items, &count);
    if (status || !count)
        return status;
    for (uint32_t i = 0; i < count; i++) {
        if (items[i].kind != NODE_INT || items[i].integer < 0 || items[i].integer > 255)
            return definition_fail_type(v, &items[i], "noRetryExitCodes",
                                        "a list of integers from 0 to 255");
        listed[items[i].integer] = true;
    }
    int32_t *codes = arena_zalloc(&v->scratch, count, sizeof(*codes));
    for (int32_t code = 0; code < 256; code++)
        if (listed[code])
            codes[kept++] = code;
    worker->no_retry_exit_codes = codes;
    worker->no_retry_exit_code_count = kept;
    return SYNK_OK;
}
