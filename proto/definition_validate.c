/*
 * The validator: one document to units, or one error. Units are appended to the set as they are
 * done and taken back if a later one fails, so that a document applies whole or not at all.
 *
 * `defaults` is a map of worker fields that hold where a worker leaves them out: maxRetries
 * retryDelayMs timeoutMs progressTimeoutMs requires priority, and for commands cwd and env. Each
 * stands in for the worker's field as a whole (an `env` of the worker's own replaces the default
 * one). Pure.
 */
#include <stdlib.h>

#include "proto/definition_internal.h"

static enum synk_status check_unit_id(struct validation *v, const struct node *at,
                                      struct synk_bytes id)
{
    if (bytes_equal(id, bytes_str("pool")))
        return definition_fail(v, at, SYNK_INVALID, "the id 'pool' is reserved");
    uint32_t taken = id_table_get(&v->unit_ids, id);
    if (taken != UINT32_MAX)
        return definition_fail(v, at, SYNK_INVALID, "duplicate id: there is a %s of that name",
                               v->set->units[taken]->kind == UNIT_PROCESS ? "process" : "worker");
    return SYNK_OK;
}

/* The id first, so that every later error can name the unit. */
static enum synk_status read_id(struct validation *v, const struct node *map, struct place *place,
                                struct synk_bytes *ret_id)
{
    if (map->kind != NODE_MAP)
        return definition_fail(v, map, SYNK_INVALID, "must be a map of fields");
    const struct node *id = definition_node_get(map, "id");
    if (!id)
        return definition_fail(v, map, SYNK_INVALID, "has no 'id'");
    enum synk_status status = definition_parse_id(v, id, "id", ret_id);
    if (!status)
        place->id = *ret_id;
    return status;
}

static void use_defaults(const struct validation *v, struct draft *draft)
{
    for (int f = 0; f < FIELD_COUNT; f++)
        if (!draft->nodes[f])
            draft->nodes[f] = v->defaults.nodes[f];
}

static enum synk_status check_process_id(struct validation *v, const struct node *node)
{
    if (!node || (node->kind == NODE_NULL && !v->process.noun))
        return SYNK_OK;
    if (v->process.noun && node->kind == NODE_STRING && bytes_equal(node->text, v->process.id))
        return SYNK_OK;
    return definition_fail_type(v, node, "processId", "the id of the process that it stands in");
}

/* Reads one worker into `worker`, which is the definition's; *ret_depends_on = its node or NULL. */
static enum synk_status read_worker(struct validation *v, const struct node *map,
                                    struct worker_def *worker, const struct node **ret_depends_on)
{
    struct draft draft = {0};
    enum synk_status status = definition_read_fields(v, map, IN_WORKER, &draft);
    if (status)
        return status;
    use_defaults(v, &draft);
    status = definition_parse_fields(v, &draft);
    if (!status)
        status = check_process_id(v, draft.nodes[FIELD_PROCESS_ID]);
    if (!status)
        status = definition_parse_work(v, &draft, worker, &draft.worker.function);
    if (status)
        return status;
    if (!draft.nodes[FIELD_TIMEOUT_MS])
        draft.worker.timeout_ms = definition_default_timeout_ms(draft.worker.function);
    worker->unit = definition_intern_unit(v, &draft.unit);
    worker->worker = definition_intern_worker(v, &draft.worker);
    *ret_depends_on = draft.nodes[FIELD_DEPENDS_ON];
    arena_clear(&v->scratch);
    return SYNK_OK;
}

static struct definition *new_definition(struct validation *v, enum unit_kind kind,
                                         struct synk_bytes id, uint32_t workers)
{
    struct definition *d = mem_zalloc(1, sizeof(*d));
    d->kind = kind;
    atomic_init(&d->references, 1);
    d->id = arena_strndup(&d->arena, id.data, id.size);
    d->workers = arena_zalloc(&d->arena, workers, sizeof(*d->workers));
    d->process = (struct process_options){.batch_size = 2, .isolation_delay_ms = 100};
    intern_table_clear(&v->unit_options);
    intern_table_clear(&v->worker_options);
    v->definition = d;
    return d;
}

static void append_unit(struct validation *v)
{
    struct definition_set *set = v->set;
    set->units = mem_grow(set->units, &set->capacity, set->count + 1, sizeof(*set->units));
    id_table_put(&v->unit_ids, bytes_str(v->definition->id), (uint32_t)set->count);
    set->units[set->count++] = v->definition;
    v->definition = NULL;
}

static enum synk_status validate_standalone(struct validation *v, const struct node *map)
{
    struct synk_bytes id;
    enum synk_status status = read_id(v, map, &v->worker, &id);
    if (!status)
        status = check_unit_id(v, definition_node_get(map, "id"), id);
    if (status)
        return status;
    struct definition *d = new_definition(v, UNIT_WORKER, id, 1);
    const struct node *depends_on;
    d->worker_count = 1;
    d->workers[0].id = d->id;
    status = read_worker(v, map, &d->workers[0], &depends_on);
    if (status)
        return status;
    if (depends_on && !(depends_on->kind == NODE_ARRAY && depends_on->count == 0))
        return definition_fail(v, depends_on, SYNK_INVALID,
                               "'dependsOn' is for the workers of a process");
    d->unit = d->workers[0].unit;
    append_unit(v);
    return SYNK_OK;
}

static enum synk_status read_member(struct validation *v, const struct node *list, uint32_t index,
                                    const struct node **ret_depends_on)
{
    struct definition *d = v->definition;
    const struct node *map = &list->items[index];
    struct synk_bytes id;
    v->worker = (struct place){"worker", "workers", index, {NULL, 0}};
    enum synk_status status = read_id(v, map, &v->worker, &id);
    if (status)
        return status;
    d->workers[index].id = arena_strndup(&d->arena, id.data, id.size);
    uint32_t first = id_table_put(&v->worker_ids, bytes_of(d->workers[index].id, id.size), index);
    if (first != UINT32_MAX) {
        const struct node *at = definition_node_get(map, "id");
        uint32_t line = list->items[first].line;
        return line ? definition_fail(v, at, SYNK_INVALID, "duplicate id (first on line %u)", line)
                    : definition_fail(v, at, SYNK_INVALID, "duplicate id");
    }
    d->worker_count = index + 1;
    return read_worker(v, map, &d->workers[index], ret_depends_on);
}

static enum synk_status read_members(struct validation *v, const struct node *list)
{
    const struct node **depends_on = mem_zalloc(list->count, sizeof(*depends_on));
    enum synk_status status = SYNK_OK;
    id_table_clear(&v->worker_ids);
    id_table_reserve(&v->worker_ids, list->count);
    for (uint32_t i = 0; i < list->count && !status; i++)
        status = read_member(v, list, i, &depends_on[i]);
    if (!status) {
        v->worker = (struct place){0};
        status = definition_resolve(v, depends_on);
    }
    free(depends_on);
    return status;
}

/* What is legal and does nothing. */
static void warn(struct validation *v, const struct draft *draft)
{
    static const enum field_id unheeded[] = {FIELD_RUN_MODE, FIELD_BATCH_SIZE,
                                             FIELD_ISOLATION_DELAY_MS};
    for (size_t i = 0; v->definition->is_graph && i < sizeof(unheeded) / sizeof(*unheeded); i++) {
        const struct node *node = draft->nodes[unheeded[i]];
        if (!node)
            continue;
        if (node->line && v->source)
            buf_printf(&v->set->warnings, "%s:%u: ", v->source, node->line);
        buf_printf(&v->set->warnings,
                   "process '%s': '%s' is not heeded, because its workers have 'dependsOn'\n",
                   v->definition->id, definition_field_name(unheeded[i]));
    }
}

static enum synk_status validate_process(struct validation *v, const struct node *map)
{
    struct synk_bytes id;
    struct draft draft = {0};
    enum synk_status status = read_id(v, map, &v->process, &id);
    if (!status)
        status = check_unit_id(v, definition_node_get(map, "id"), id);
    if (!status)
        status = definition_read_fields(v, map, IN_PROCESS, &draft);
    if (!status)
        status = definition_parse_fields(v, &draft);
    if (status)
        return status;
    const struct node *workers = draft.nodes[FIELD_WORKERS];
    if (!workers)
        return definition_fail(v, map, SYNK_INVALID, "has no 'workers'");
    if (workers->kind != NODE_ARRAY)
        return definition_fail_type(v, workers, "workers", "a list of maps");
    if (!workers->count)
        return definition_fail(v, workers, SYNK_INVALID,
                               "'workers' is empty: a process has one at least");
    if (workers->count > LIMIT_WORKERS)
        return definition_fail(v, workers, SYNK_TOO_LARGE, "has %u workers, more than %d",
                               workers->count, LIMIT_WORKERS);
    struct definition *d = new_definition(v, UNIT_PROCESS, id, workers->count);
    d->process = draft.process;
    d->unit = definition_intern_unit(v, &draft.unit);
    arena_clear(&v->scratch);
    status = read_members(v, workers);
    if (status)
        return status;
    warn(v, &draft);
    append_unit(v);
    return SYNK_OK;
}

static enum synk_status validate_list(struct validation *v, const struct node *list,
                                      enum unit_kind kind)
{
    const char *name = kind == UNIT_PROCESS ? "processes" : "workers";
    if (!list || list->kind == NODE_NULL)
        return SYNK_OK;
    if (list->kind != NODE_ARRAY)
        return definition_fail_type(v, list, name, "a list of maps");
    for (uint32_t i = 0; i < list->count; i++) {
        enum synk_status status;
        v->process = v->worker = (struct place){0};
        if (kind == UNIT_PROCESS) {
            v->process = (struct place){"process", name, i, {NULL, 0}};
            status = validate_process(v, &list->items[i]);
        } else {
            v->worker = (struct place){"worker", name, i, {NULL, 0}};
            status = validate_standalone(v, &list->items[i]);
        }
        if (status)
            return status;
    }
    v->process = v->worker = (struct place){0};
    return SYNK_OK;
}

static enum synk_status read_defaults(struct validation *v, const struct node *map)
{
    if (!map || map->kind == NODE_NULL)
        return SYNK_OK;
    v->process = (struct place){"section", "defaults", 0, bytes_str("defaults")};
    if (map->kind != NODE_MAP)
        return definition_fail_type(v, map, "defaults", "a map of fields");
    enum synk_status status = definition_read_fields(v, map, IN_DEFAULTS, &v->defaults);
    if (!status)
        status = definition_parse_fields(v, &v->defaults);
    if (!status)
        status = definition_check_command_defaults(v, &v->defaults);
    arena_clear(&v->scratch);
    v->process = (struct place){0};
    return status;
}

static enum synk_status read_limit(struct validation *v, const struct node *key,
                                   const struct node *amount)
{
    struct definition_set *set = v->set;
    const char *name;
    enum synk_status status = definition_parse_text(v, key, "limits", LIMIT_ID_BYTES, &name);
    if (status)
        return status;
    if (amount->kind != NODE_INT || amount->integer < 1 || amount->integer > INT32_MAX)
        return definition_fail_type(v, amount, name, "a positive integer");
    for (size_t i = 0; i < set->limit_count; i++)
        if (strcmp(set->limits[i].name, name) == 0)
            return set->limits[i].most == (uint32_t)amount->integer
                       ? SYNK_OK
                       : definition_fail(v, amount, SYNK_INVALID,
                                         "limit '%s' is %u in another file", name,
                                         set->limits[i].most);
    set->limits =
        mem_grow(set->limits, &set->limit_capacity, set->limit_count + 1, sizeof(*set->limits));
    set->limits[set->limit_count++] =
        (struct limit_def){mem_strdup(name), (uint32_t)amount->integer};
    return SYNK_OK;
}

static enum synk_status read_limits(struct validation *v, const struct node *map)
{
    if (!map || map->kind == NODE_NULL)
        return SYNK_OK;
    v->process = (struct place){"section", "limits", 0, bytes_str("limits")};
    if (map->kind != NODE_MAP)
        return definition_fail_type(v, map, "limits", "a map of names to amounts");
    if (map->count > LIMIT_NAMED_LIMITS)
        return definition_fail(v, map, SYNK_TOO_LARGE, "has %u limits, more than %d", map->count,
                               LIMIT_NAMED_LIMITS);
    enum synk_status status = SYNK_OK;
    for (uint32_t i = 0; i < map->count && !status; i++)
        status = read_limit(v, &map->keys[i], &map->items[i]);
    arena_clear(&v->scratch);
    v->process = (struct place){0};
    return status;
}

static enum synk_status validate_document(struct validation *v, const struct node *document)
{
    static const char *const keys[] = {"processes", "workers", "defaults", "limits", NULL};
    if (document->kind != NODE_MAP)
        return definition_fail(v, document, SYNK_INVALID,
                               "a definition is a map with 'processes' or 'workers'");
    for (uint32_t i = 0; i < document->count; i++) {
        const char *const *key = keys;
        while (*key && !definition_node_is(&document->keys[i], *key))
            key++;
        if (!*key)
            return definition_fail_unknown(v, &document->keys[i], keys);
    }
    const struct node *processes = definition_node_get(document, "processes");
    const struct node *workers = definition_node_get(document, "workers");
    const struct node *limits = definition_node_get(document, "limits");
    if (!processes && !workers && !limits)
        return definition_fail(v, document, SYNK_INVALID,
                               "a definition is a map with 'processes' or 'workers'");
    enum synk_status status = read_defaults(v, definition_node_get(document, "defaults"));
    if (!status)
        status = read_limits(v, limits);
    if (!status)
        status = validate_list(v, processes, UNIT_PROCESS);
    if (!status)
        status = validate_list(v, workers, UNIT_WORKER);
    return status;
}

enum synk_status definition_validate(const struct node *document, const char *source,
                                     const char *directory,
                                     const struct expression_checker *checker,
                                     struct definition_set *set, struct synk_error *error)
{
    size_t count = set->count, limits = set->limit_count, warnings = set->warnings.size;
    struct validation v = {
        .source = source, .directory = directory, .checker = checker, .set = set, .error = error};
    for (size_t i = 0; i < count; i++)
        id_table_put(&v.unit_ids, bytes_str(set->units[i]->id), (uint32_t)i);
    enum synk_status status = validate_document(&v, document);
    if (status) {
        definition_unref(v.definition);
        while (set->count > count)
            definition_unref(set->units[--set->count]);
        while (set->limit_count > limits)
            free(set->limits[--set->limit_count].name);
        set->warnings.size = warnings;
    }
    id_table_fini(&v.unit_ids);
    id_table_fini(&v.worker_ids);
    intern_table_fini(&v.unit_options);
    intern_table_fini(&v.worker_options);
    arena_fini(&v.scratch);
    buf_fini(&v.encoded);
    return status;
}
