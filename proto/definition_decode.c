/*
 * Stored records back to a definition: the records become the document that they once were, and the
 * validator reads it like any other, so stored bytes are trusted no more than new ones. Pure.
 */
#include "proto/definition_internal.h"

static enum synk_status decode_record(struct synk_bytes record, struct arena *arena,
                                      struct node *ret_node, struct synk_error *error)
{
    enum synk_status status = check_value(record, &definition_limits, error);
    if (!status)
        status = definition_node_decode(record, arena, ret_node, error);
    if (!status && ret_node->kind != NODE_MAP)
        status = status_fail(error, SYNK_CORRUPT, "not a map");
    return status;
}

/* The header's entries, and `workers` behind them. */
static void add_workers(struct node *header, struct node *items, uint32_t count,
                        struct arena *arena)
{
    uint32_t entries = header->count;
    struct node *keys = arena_zalloc(arena, entries + 1u, sizeof(*keys));
    struct node *values = arena_zalloc(arena, entries + 1u, sizeof(*values));
    if (entries) {
        memcpy(keys, header->keys, entries * sizeof(*keys));
        memcpy(values, header->items, entries * sizeof(*values));
    }
    keys[entries].kind = NODE_STRING;
    keys[entries].text = bytes_str("workers");
    values[entries].kind = NODE_ARRAY;
    values[entries].items = items;
    values[entries].count = count;
    header->keys = keys;
    header->items = values;
    header->count = entries + 1;
}

static enum synk_status read_records(struct synk_bytes header, const struct synk_bytes *workers,
                                     size_t count, struct arena *arena, struct node *ret_unit,
                                     struct synk_error *error)
{
    if (count > LIMIT_WORKERS)
        return status_fail(error, SYNK_CORRUPT, "%zu worker records", count);
    enum synk_status status = decode_record(header, arena, ret_unit, error);
    if (status) {
        status_prefix(error, "header record");
        return status;
    }
    if (!count)
        return SYNK_OK;
    if (definition_node_get(ret_unit, "workers"))
        return status_fail(error, SYNK_CORRUPT, "the header record has workers of its own");
    struct node *items = arena_zalloc(arena, count, sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        status = decode_record(workers[i], arena, &items[i], error);
        if (status) {
            status_prefix(error, "worker record %zu", i);
            return status;
        }
    }
    add_workers(ret_unit, items, (uint32_t)count, arena);
    return SYNK_OK;
}

enum synk_status definition_decode(struct synk_bytes header, const struct synk_bytes *workers,
                                   size_t count, const struct expression_checker *checker,
                                   struct definition **ret_definition, struct synk_error *error)
{
    struct arena arena = {0};
    struct definition_set set = {0};
    struct synk_error inner = {0};
    struct node unit;
    /* A time zone that the system's database has lost since is the schedule's trouble, and no
     * reason to lose the unit. */
    struct expression_checker stored_checker = *checker;
    stored_checker.calendar = NULL;
    enum synk_status status = read_records(header, workers, count, &arena, &unit, &inner);
    if (!status) {
        /* A whole process has its workers inside; a standalone worker has none. */
        bool is_process = count || definition_node_get(&unit, "workers");
        struct node list = {.kind = NODE_ARRAY};
        struct node key = {.kind = NODE_STRING,
                           .text = bytes_str(is_process ? "processes" : "workers")};
        struct node document = {.kind = NODE_MAP};
        list.items = &unit;
        list.count = 1;
        document.keys = &key;
        document.items = &list;
        document.count = 1;
        status = definition_validate(&document, NULL, NULL, &stored_checker, &set, &inner);
    }
    if (status)
        status = status_fail(error, SYNK_CORRUPT, "%s", inner.text);
    else
        *ret_definition = definition_ref(set.units[0]);
    definition_set_fini(&set);
    arena_fini(&arena);
    return status;
}
