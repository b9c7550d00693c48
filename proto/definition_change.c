/*
 * A change is a document once more: the part's canonical form, with the fields replaced, goes
 * through the validator like any other, so that what `set` accepts is what a file may say. Pure.
 */
#include "proto/definition_change.h"

#include <assert.h>

#include "proto/definition_internal.h"
#include "proto/pack.h"

static bool is_one_of(const struct node *key, const char *const *names)
{
    while (*names && !definition_node_is(key, *names))
        names++;
    return *names != NULL;
}

const char *const definition_work_fields[DEFINITION_WORK_FIELDS + 1] = {
    "run", "payload", "command", "cwd", "env", "envFile", "stdin", "output", NULL};

bool definition_is_work(struct synk_bytes name)
{
    struct node key = {.kind = NODE_STRING, .text = name};
    return is_one_of(&key, definition_work_fields);
}

bool definition_is_tunable(const struct node *fields)
{
    static const char *const shaping[] = {"runMode", "batchSize", "isolationDelayMs", NULL};
    for (uint32_t i = 0; i < fields->count; i++)
        if (is_one_of(&fields->keys[i], shaping) ||
            is_one_of(&fields->keys[i], definition_work_fields))
            return false;
    return true;
}

static struct node text_node(const char *text)
{
    return (struct node){.kind = NODE_STRING, .text = bytes_str(text)};
}

static bool is_unit(const struct definition *definition, uint32_t part)
{
    return part == DEFINITION_UNIT && definition->kind == UNIT_PROCESS;
}

/* The part's canonical form as a tree. What this program encoded decodes. */
static void read_part(const struct definition *definition, uint32_t part, struct buf *bytes,
                      struct arena *arena, struct node *ret_node)
{
    if (is_unit(definition, part))
        definition_encode_header(definition, bytes);
    else
        definition_encode_worker(definition, part == DEFINITION_UNIT ? 0 : part, bytes);
    enum synk_status status = definition_node_decode(buf_bytes(bytes), arena, ret_node, NULL);
    assert(!status && ret_node->kind == NODE_MAP);
    (void)status;
}

void definition_field(const struct definition *definition, uint32_t part, struct synk_bytes name,
                      struct buf *out)
{
    struct arena arena = {0};
    struct buf bytes = {0};
    struct node map;
    read_part(definition, part, &bytes, &arena, &map);
    const struct node *found = NULL;
    for (uint32_t i = 0; i < map.count; i++)
        if (bytes_equal(map.keys[i].text, name))
            found = &map.items[i];
    if (found)
        definition_node_encode(found, out, NULL);
    else
        pack_null(out);
    arena_fini(&arena);
    buf_fini(&bytes);
}

bool definition_has_fields(const struct definition *definition, uint32_t part,
                           const struct node *fields)
{
    struct buf now = {0}, value = {0};
    bool has = true;
    for (uint32_t i = 0; has && i < fields->count; i++) {
        buf_clear(&now);
        buf_clear(&value);
        definition_field(definition, part, fields->keys[i].text, &now);
        has = !definition_node_encode(&fields->items[i], &value, NULL) &&
              bytes_equal(buf_bytes(&now), buf_bytes(&value));
    }
    buf_fini(&now);
    buf_fini(&value);
    return has;
}

void definition_default(const struct definition *definition, uint32_t part, struct synk_bytes name,
                        struct buf *out)
{
    static const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"maxRuns", 0},    {"maxRetries", 0},  {"retryDelayMs", 0},
                   {"priority", 0},   {"slots", 1},       {"progressTimeoutMs", 0},
                   {"batchSize", 2},  {"maxParallel", 0}, {"isolationDelayMs", 100},
                   {"maxFailures", 0}};
    static const struct {
        const char *name, *value;
    } texts[] = {{"catchUp", "once"}, {"runMode", "sequential"}};
    const struct worker_def *worker =
        is_unit(definition, part) ? NULL : &definition->workers[part == DEFINITION_UNIT ? 0 : part];
    struct node key = {.kind = NODE_STRING, .text = name};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        if (definition_node_is(&key, numbers[i].name)) {
            pack_int(out, numbers[i].value);
            return;
        }
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        if (definition_node_is(&key, texts[i].name)) {
            pack_cstr(out, texts[i].value);
            return;
        }
    }
    if (definition_node_is(&key, "timeoutMs"))
        pack_int(out, worker ? definition_default_timeout_ms(worker->worker->function) : 0);
    else if (definition_node_is(&key, "enabled"))
        pack_bool(out, true);
    else if (definition_node_is(&key, "runOnStart"))
        pack_bool(out, false);
    else if (definition_node_is(&key, "runOnInterval"))
        pack_bool(out, (worker ? worker->unit : definition->unit)->interval_ms > 0);
    else
        pack_null(out);
}

static enum synk_status check_names(const struct definition *definition, const struct node *fields,
                                    struct synk_error *error)
{
    static const char *const fixed[] = {"id", "dependsOn", "workers", "processId", NULL};
    for (uint32_t i = 0; i < fields->count; i++) {
        struct synk_bytes name = fields->keys[i].text;
        if (is_one_of(&fields->keys[i], fixed))
            return status_fail(error, SYNK_REFUSED,
                               "'%.*s' of '%s' cannot be set: change the file and apply it",
                               (int)name.size, (const char *)name.data, definition->id);
        if (definition_node_is(&fields->keys[i], "status"))
            return status_fail(error, SYNK_REFUSED, "'status' of '%s' is not a setting",
                               definition->id);
    }
    return SYNK_OK;
}

/* `map` with `fields` in place of what it had; entries that are null go. */
static void merge(struct node *map, const struct node *fields, struct arena *arena)
{
    uint32_t most = map->count + fields->count, count = 0;
    struct node *keys = arena_alloc(arena, (most + 1u) * sizeof(*keys));
    struct node *items = arena_alloc(arena, (most + 1u) * sizeof(*items));
    for (uint32_t i = 0; i < most; i++) {
        bool is_new = i >= map->count;
        const struct node *key = is_new ? &fields->keys[i - map->count] : &map->keys[i];
        const struct node *item = is_new ? &fields->items[i - map->count] : &map->items[i];
        bool is_replaced = false;
        for (uint32_t f = 0; !is_new && f < fields->count && !is_replaced; f++)
            is_replaced = bytes_equal(fields->keys[f].text, key->text);
        if (is_replaced || item->kind == NODE_NULL)
            continue;
        keys[count] = *key;
        items[count++] = *item;
    }
    map->keys = keys;
    map->items = items;
    map->count = count;
}

static void remove_entry(struct node *map, const char *name)
{
    for (uint32_t i = 0; i < map->count; i++) {
        if (!definition_node_is(&map->keys[i], name))
            continue;
        map->count--;
        map->keys[i] = map->keys[map->count];
        map->items[i] = map->items[map->count];
        return;
    }
}

static bool has_value(const struct node *fields, const char *name)
{
    const struct node *item = definition_node_get(fields, name);
    return item && item->kind != NODE_NULL;
}

/* A `run` or `command` that is given takes the place of the one that was there. */
static void replace_work(struct node *map, const struct node *fields)
{
    static const char *const of_commands[] = {"command", "cwd",   "env",
                                              "envFile", "stdin", "output"};
    if (has_value(fields, "run")) {
        for (size_t i = 0; i < sizeof(of_commands) / sizeof(*of_commands); i++)
            if (!definition_node_get(fields, of_commands[i]))
                remove_entry(map, of_commands[i]);
    } else if (has_value(fields, "command")) {
        remove_entry(map, "run");
        remove_entry(map, "payload");
    }
}

void definition_complete_work(const struct node *before, struct node *fields, struct arena *arena)
{
    struct node group = {.kind = NODE_MAP};
    struct node given = {.kind = NODE_MAP};
    merge(&group, before, arena);
    given.keys = arena_alloc(arena, (fields->count + 1u) * sizeof(struct node));
    given.items = arena_alloc(arena, (fields->count + 1u) * sizeof(struct node));
    uint32_t count = 0;
    for (uint32_t i = 0; i < fields->count; i++) {
        bool is_work = definition_is_work(fields->keys[i].text);
        if (is_work && fields->items[i].kind == NODE_NULL)
            continue;
        struct node *key = is_work ? &given.keys[given.count] : &fields->keys[count];
        struct node *item = is_work ? &given.items[given.count] : &fields->items[count];
        *key = fields->keys[i];
        *item = fields->items[i];
        *(is_work ? &given.count : &count) += 1;
    }
    replace_work(&group, &given);
    merge(&group, &given, arena);
    /* All of it, with nothing where nothing is: that goes where it was. */
    struct node *keys = arena_alloc(arena, (count + DEFINITION_WORK_FIELDS) * sizeof(*keys));
    struct node *items = arena_alloc(arena, (count + DEFINITION_WORK_FIELDS) * sizeof(*items));
    memcpy(keys, fields->keys, count * sizeof(*keys));
    memcpy(items, fields->items, count * sizeof(*items));
    for (size_t i = 0; i < DEFINITION_WORK_FIELDS; i++) {
        const struct node *item = definition_node_get(&group, definition_work_fields[i]);
        keys[count] = text_node(definition_work_fields[i]);
        items[count++] = item ? *item : (struct node){.kind = NODE_NULL};
    }
    fields->keys = keys;
    fields->items = items;
    fields->count = count;
}

/* {KEY: [unit]}, validated. */
static enum synk_status validate_unit(struct node *unit, bool is_process,
                                      const struct expression_checker *checker,
                                      struct definition **ret_definition, struct synk_error *error)
{
    struct node key = text_node(is_process ? "processes" : "workers");
    struct node list = {.kind = NODE_ARRAY};
    struct node document = {.kind = NODE_MAP};
    struct definition_set set = {0};
    list.items = unit;
    list.count = 1;
    document.keys = &key;
    document.items = &list;
    document.count = 1;
    enum synk_status status = definition_validate(&document, NULL, NULL, checker, &set, error);
    if (!status)
        *ret_definition = definition_ref(set.units[0]);
    definition_set_fini(&set);
    return status;
}

static void add_entry(struct node *map, const char *name, struct node value, struct arena *arena)
{
    struct node keys = text_node(name);
    struct node entry = {.kind = NODE_MAP};
    entry.keys = &keys;
    entry.items = &value;
    entry.count = 1;
    merge(map, &entry, arena);
}

/* A process that nobody runs needs a worker nonetheless. */
static void add_stand_in(struct node *map, struct arena *arena)
{
    struct node *worker = arena_zalloc(arena, 1, sizeof(*worker));
    worker->kind = NODE_MAP;
    add_entry(worker, "id", text_node("worker"), arena);
    add_entry(worker, "run", text_node("stand.in"), arena);
    struct node list = {.kind = NODE_ARRAY};
    list.items = worker;
    list.count = 1;
    add_entry(map, "workers", list, arena);
}

enum synk_status definition_patch(const struct definition *definition, uint32_t part,
                                  const struct node *fields,
                                  const struct expression_checker *checker,
                                  struct definition **ret_patch, struct synk_error *error)
{
    enum synk_status status = check_names(definition, fields, error);
    if (status)
        return status;
    struct arena arena = {0};
    struct buf bytes = {0};
    struct node map;
    read_part(definition, part, &bytes, &arena, &map);
    remove_entry(&map, "dependsOn");
    merge(&map, fields, &arena);
    if (is_unit(definition, part))
        add_stand_in(&map, &arena);
    status = validate_unit(&map, is_unit(definition, part), checker, ret_patch, error);
    if (status && definition->kind == UNIT_PROCESS && !is_unit(definition, part))
        status_prefix(error, "process '%s'", definition->id);
    arena_fini(&arena);
    buf_fini(&bytes);
    return status;
}

void definition_adopt(struct definition *definition, uint32_t part, struct definition *patch)
{
    if (definition->kind == UNIT_WORKER)
        part = 0;
    if (is_unit(definition, part)) {
        definition->unit = patch->unit;
        definition->process.max_parallel = patch->process.max_parallel;
        definition->process.max_failures = patch->process.max_failures;
        definition->process.timeout_ms = patch->process.timeout_ms;
    } else {
        definition->workers[part].unit = patch->unit;
        definition->workers[part].worker = patch->workers[0].worker;
        if (definition->kind == UNIT_WORKER)
            definition->unit = patch->unit;
    }
    struct definition_part *known = definition->patches;
    while (known && known->part != part)
        known = known->next;
    if (known) {
        definition_unref(known->patch);
    } else {
        known = arena_zalloc(&definition->arena, 1, sizeof(*known));
        known->part = part;
        known->next = definition->patches;
        definition->patches = known;
    }
    known->patch = patch;
}

enum synk_status definition_rebuild(const struct definition *definition, uint32_t part,
                                    const struct node *fields,
                                    const struct expression_checker *checker,
                                    struct definition **ret_definition, struct synk_error *error)
{
    enum synk_status status = check_names(definition, fields, error);
    if (status)
        return status;
    struct arena arena = {0};
    struct buf bytes = {0};
    struct node unit;
    definition_encode(definition, &bytes);
    status = definition_node_decode(buf_bytes(&bytes), &arena, &unit, error);
    bool is_process = definition->kind == UNIT_PROCESS;
    struct node *changed = &unit;
    if (!status && is_process && part != DEFINITION_UNIT) {
        const struct node *workers = definition_node_get(&unit, "workers");
        changed = &workers->items[part];
    }
    if (!status) {
        replace_work(changed, fields);
        merge(changed, fields, &arena);
        status = validate_unit(&unit, is_process, checker, ret_definition, error);
    }
    arena_fini(&arena);
    buf_fini(&bytes);
    return status;
}
