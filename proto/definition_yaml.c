/*
 * YAML and JSON to nodes, by libyaml's events. Open collections are kept on a stack of our own, and
 * what was read of them on another, so depth is bounded by a check and not by the C stack. An alias
 * shares the node that it names and is charged in full against the budget of items, so that a
 * billion laughs is refused at the alias that goes past it, without ever having been expanded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "proto/definition_file.h"
#include "proto/definition_internal.h"

enum { ANCHORS = 10000 }; /* a file written by people has a handful */

struct frame {
    enum node_kind kind;
    uint32_t line, column;
    uint32_t height; /* of what is inside */
    size_t first;    /* in `values` */
    uint64_t items_before;
    const char *anchor;
};

struct value {
    struct node node;
    bool is_merge; /* the plain key << */
};

struct anchor {
    struct node node;
    uint64_t items;
    uint32_t height;
};

struct loader {
    const char *source;
    struct arena *arena;
    struct synk_error *error;
    struct frame frames[DEFINITION_DEPTH];
    uint32_t depth;
    struct value *values;
    size_t count, capacity;
    struct anchor *anchors;
    size_t anchor_count, anchor_capacity;
    struct id_table anchor_ids;
    uint64_t items;
    struct node root;
};

static enum synk_status fail(struct loader *loader, uint32_t line, uint32_t column,
                             const char *what)
{
    return status_fail(loader->error, SYNK_INVALID, "%s:%u:%u: %s", loader->source, line, column,
                       what);
}

static enum synk_status fail_mark(struct loader *loader, yaml_mark_t mark, const char *what)
{
    return fail(loader, (uint32_t)mark.line + 1, (uint32_t)mark.column + 1, what);
}

static enum synk_status remember_anchor(struct loader *loader, const char *name,
                                        const struct node *node, uint64_t items, uint32_t height)
{
    if (loader->anchor_count == ANCHORS)
        return fail(loader, node->line, node->column, "too many anchors");
    loader->anchors = mem_grow(loader->anchors, &loader->anchor_capacity, loader->anchor_count + 1,
                               sizeof(*loader->anchors));
    loader->anchors[loader->anchor_count] = (struct anchor){*node, items, height};
    id_table_put(&loader->anchor_ids, bytes_str(arena_strdup(loader->arena, name)),
                 (uint32_t)loader->anchor_count++);
    return SYNK_OK;
}

/* A value is complete: it goes to the collection that is open, or is the document. */
static enum synk_status add_value(struct loader *loader, struct node node, uint32_t height,
                                  bool is_merge)
{
    if (!loader->depth) {
        loader->root = node;
        return SYNK_OK;
    }
    struct frame *frame = &loader->frames[loader->depth - 1];
    bool is_key = frame->kind == NODE_MAP && (loader->count - frame->first) % 2 == 0;
    if (is_key && node.kind != NODE_STRING) {
        if (node.kind == NODE_NULL || node.kind == NODE_ARRAY || node.kind == NODE_MAP)
            return fail(loader, node.line, node.column, "a map's key must be a string");
        node.kind = NODE_STRING; /* `1: x`: the key is "1" */
        struct synk_bytes written = node.written;
        node.text = written;
    }
    if (frame->height < height + 1)
        frame->height = height + 1;
    loader->values =
        mem_grow(loader->values, &loader->capacity, loader->count + 1, sizeof(*loader->values));
    loader->values[loader->count++] = (struct value){node, is_key && is_merge};
    return SYNK_OK;
}

static enum synk_status charge(struct loader *loader, uint64_t items, yaml_mark_t mark)
{
    loader->items += items;
    if (loader->items > LIMIT_UPLOAD_ITEMS)
        return fail_mark(loader, mark, "too many items (anchors count wherever they are used)");
    return SYNK_OK;
}

static bool is_tag(const yaml_char_t *tag, const char *name)
{
    const char *text = (const char *)tag;
    size_t prefix = strlen("tag:yaml.org,2002:");
    return strncmp(text, "tag:yaml.org,2002:", prefix) == 0 && strcmp(text + prefix, name) == 0;
}

static enum synk_status on_scalar(struct loader *loader, const yaml_event_t *event)
{
    const yaml_char_t *tag = event->data.scalar.tag, *anchor = event->data.scalar.anchor;
    struct node node = {.kind = NODE_STRING,
                        .line = (uint32_t)event->start_mark.line + 1,
                        .column = (uint32_t)event->start_mark.column + 1};
    const char *text = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    node.text = bytes_of(arena_strndup(loader->arena, text, size), size);
    bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    bool is_merge = is_plain && !tag && strcmp(text, "<<") == 0;
    if (memchr(text, 0, size))
        return fail_mark(loader, event->start_mark, "a NUL character in a string");
    if (tag && !is_tag(tag, "str") && strcmp((const char *)tag, "!") != 0) {
        if (!is_tag(tag, "int") && !is_tag(tag, "float") && !is_tag(tag, "bool") &&
            !is_tag(tag, "null"))
            return fail_mark(loader, event->start_mark, "a tag that is not understood here");
        is_plain = true;
    } else if (tag) {
        is_plain = false;
    }
    if (is_plain && !definition_resolve_plain(&node))
        return fail_mark(loader, event->start_mark, "an integer past 64 bits");
    enum synk_status status = charge(loader, 1, event->start_mark);
    if (!status && anchor)
        status = remember_anchor(loader, (const char *)anchor, &node, 1, 0);
    if (!status)
        status = add_value(loader, node, 0, is_merge);
    return status;
}

static enum synk_status on_alias(struct loader *loader, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    uint32_t index = id_table_get(&loader->anchor_ids, bytes_str(name));
    if (index == UINT32_MAX)
        return fail_mark(loader, event->start_mark, "an alias of an anchor that is not known here");
    struct anchor anchor = loader->anchors[index];
    if (anchor.height + loader->depth > DEFINITION_DEPTH)
        return fail_mark(loader, event->start_mark, "nested too deep");
    enum synk_status status = charge(loader, anchor.items, event->start_mark);
    if (!status)
        status = add_value(loader, anchor.node, anchor.height, false);
    return status;
}

static enum synk_status on_start(struct loader *loader, const yaml_event_t *event,
                                 enum node_kind kind, const yaml_char_t *anchor,
                                 const yaml_char_t *tag)
{
    if (loader->depth == DEFINITION_DEPTH)
        return fail_mark(loader, event->start_mark, "nested too deep");
    if (tag && !is_tag(tag, kind == NODE_MAP ? "map" : "seq") &&
        strcmp((const char *)tag, "!") != 0)
        return fail_mark(loader, event->start_mark, "a tag that is not understood here");
    loader->frames[loader->depth++] = (struct frame){
        .kind = kind,
        .line = (uint32_t)event->start_mark.line + 1,
        .column = (uint32_t)event->start_mark.column + 1,
        .first = loader->count,
        .items_before = loader->items,
        .anchor = anchor ? arena_strdup(loader->arena, (const char *)anchor) : NULL,
    };
    return charge(loader, 1, event->start_mark);
}

/* Entries of a map behind `<<` that are not there yet. */
static enum synk_status merge_map(struct loader *loader, struct node *map, struct id_table *keys,
                                  const struct node *from)
{
    if (from->kind != NODE_MAP)
        return fail(loader, from->line, from->column, "'<<' takes a map or a list of maps");
    for (uint32_t i = 0; i < from->count; i++) {
        if (id_table_get(keys, from->keys[i].text) != UINT32_MAX)
            continue;
        id_table_put(keys, from->keys[i].text, 0);
        map->keys[map->count] = from->keys[i];
        map->items[map->count++] = from->items[i];
    }
    return SYNK_OK;
}

static enum synk_status merge_values(struct loader *loader, struct node *map,
                                     const struct value *values, size_t count)
{
    struct id_table keys = {0};
    size_t room = map->count;
    for (size_t i = 0; i < count; i += 2) {
        const struct node *from = &values[i + 1].node;
        if (!values[i].is_merge)
            continue;
        room += from->kind == NODE_MAP ? from->count : 0;
        for (uint32_t j = 0; from->kind == NODE_ARRAY && j < from->count; j++)
            room += from->items[j].kind == NODE_MAP ? from->items[j].count : 0;
    }
    struct node *all_keys = arena_alloc(loader->arena, room * sizeof(*all_keys));
    struct node *all_items = arena_alloc(loader->arena, room * sizeof(*all_items));
    memcpy(all_keys, map->keys, map->count * sizeof(*all_keys));
    memcpy(all_items, map->items, map->count * sizeof(*all_items));
    map->keys = all_keys;
    map->items = all_items;
    for (uint32_t i = 0; i < map->count; i++)
        id_table_put(&keys, map->keys[i].text, 0);
    enum synk_status status = SYNK_OK;
    for (size_t i = 0; i < count && !status; i += 2) {
        const struct node *from = &values[i + 1].node;
        if (!values[i].is_merge)
            continue;
        if (from->kind != NODE_ARRAY)
            status = merge_map(loader, map, &keys, from);
        for (uint32_t j = 0; from->kind == NODE_ARRAY && j < from->count && !status; j++)
            status = merge_map(loader, map, &keys, &from->items[j]);
    }
    id_table_fini(&keys);
    return status;
}

static enum synk_status close_map(struct loader *loader, struct node *map,
                                  const struct value *values, size_t count)
{
    bool merges = false;
    map->keys = arena_alloc(loader->arena, (count / 2 + 1) * sizeof(*map->keys));
    map->items = arena_alloc(loader->arena, (count / 2 + 1) * sizeof(*map->items));
    for (size_t i = 0; i < count; i += 2) {
        merges = merges || values[i].is_merge;
        if (values[i].is_merge)
            continue;
        map->keys[map->count] = values[i].node;
        map->items[map->count++] = values[i + 1].node;
    }
    uint32_t twice = definition_node_duplicate(map);
    if (twice != UINT32_MAX) {
        const struct node *key = &map->keys[twice];
        char what[80];
        snprintf(what, sizeof(what), "duplicate key '%.48s'",
                 key->text.size ? (const char *)key->text.data : "");
        return fail(loader, key->line, key->column, what);
    }
    return merges ? merge_values(loader, map, values, count) : SYNK_OK;
}

static enum synk_status on_end(struct loader *loader)
{
    struct frame frame = loader->frames[--loader->depth];
    size_t count = loader->count - frame.first;
    const struct value *values = count ? loader->values + frame.first : NULL;
    struct node node = {.kind = frame.kind, .line = frame.line, .column = frame.column};
    enum synk_status status = SYNK_OK;
    node.items = NULL;
    node.keys = NULL;
    node.count = 0;
    if (frame.kind == NODE_MAP) {
        status = close_map(loader, &node, values, count);
    } else {
        node.items = arena_alloc(loader->arena, (count + 1) * sizeof(*node.items));
        node.count = (uint32_t)count;
        for (size_t i = 0; i < count; i++)
            node.items[i] = values[i].node;
    }
    loader->count = frame.first;
    if (!status && frame.anchor)
        status = remember_anchor(loader, frame.anchor, &node, loader->items - frame.items_before,
                                 frame.height);
    if (!status)
        status = add_value(loader, node, frame.height, false);
    return status;
}

static enum synk_status on_event(struct loader *loader, const yaml_event_t *event,
                                 unsigned *documents)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if ((*documents)++)
            return fail_mark(loader, event->start_mark, "a second document in one file");
        return SYNK_OK;
    case YAML_SCALAR_EVENT:
        return on_scalar(loader, event);
    case YAML_ALIAS_EVENT:
        return on_alias(loader, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(loader, event, NODE_ARRAY, event->data.sequence_start.anchor,
                        event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return on_start(loader, event, NODE_MAP, event->data.mapping_start.anchor,
                        event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_end(loader);
    default:
        return SYNK_OK;
    }
}

/* Line and column of a byte. */
static enum synk_status fail_offset(struct loader *loader, struct synk_bytes text, size_t offset,
                                    const char *what)
{
    uint32_t line = 1, column = 1;
    const char *data = text.data;
    for (size_t i = 0; i < offset && i < text.size; i++) {
        column = data[i] == '\n' ? 1 : column + 1;
        line += data[i] == '\n';
    }
    return fail(loader, line, column, what);
}

static enum synk_status fail_parser(struct loader *loader, struct synk_bytes text,
                                    const yaml_parser_t *parser)
{
    char what[256];
    const char *problem = parser->problem ? parser->problem : "out of memory";
    if (parser->error == YAML_READER_ERROR)
        return fail_offset(loader, text, parser->problem_offset, problem);
    /* The parser's own words for it help nobody. Where letters of several bytes come before, the
     * mark counts fewer than there are bytes, and its words stay. */
    size_t at = parser->problem_mark.index;
    if (at < text.size && ((const char *)text.data)[at] == '\t')
        problem = "a tab cannot indent or begin a value in YAML: write spaces";
    snprintf(what, sizeof(what), "%s%s%s", problem, parser->context ? ", " : "",
             parser->context ? parser->context : "");
    return fail_mark(loader, parser->problem_mark, what);
}

static enum synk_status load(struct loader *loader, struct synk_bytes text)
{
    yaml_parser_t parser;
    unsigned documents = 0;
    if (!yaml_parser_initialize(&parser))
        abort(); /* out of memory, as everywhere */
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, text.size ? text.data : (const yaml_char_t *)"",
                                 text.size);
    enum synk_status status = SYNK_OK;
    for (bool done = false; !done && !status;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            status = fail_parser(loader, text, &parser);
            break;
        }
        status = on_event(loader, &event, &documents);
        done = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (!status && !documents)
        status = fail(loader, 1, 1, "the file is empty");
    return status;
}

/* What libyaml would not read: bytes that are no text. */
static enum synk_status check_text(struct loader *loader, struct synk_bytes text)
{
    const char *data = text.data;
    const char *nul = text.size ? memchr(data, 0, text.size) : NULL;
    if (text.size > LIMIT_UPLOAD_BYTES)
        return status_fail(loader->error, SYNK_TOO_LARGE, "%s: more than %d bytes", loader->source,
                           LIMIT_UPLOAD_BYTES);
    if (nul)
        return fail_offset(loader, text, (size_t)(nul - data), "a NUL byte");
    if (!text.size || check_utf8(text))
        return SYNK_OK;
    /* A line of UTF-8 is UTF-8: the first that is not holds the bad byte. */
    for (size_t start = 0; start < text.size;) {
        const char *end = memchr(data + start, '\n', text.size - start);
        size_t size = end ? (size_t)(end - data) + 1 - start : text.size - start;
        if (!check_utf8(bytes_of(data + start, size)))
            return fail_offset(loader, text, start, "bytes that are not UTF-8 in this line");
        start += size;
    }
    return fail_offset(loader, text, 0, "bytes that are not UTF-8");
}

enum synk_status definition_parse_yaml(struct synk_bytes text, const char *source,
                                       struct arena *arena, struct node *ret_node,
                                       struct synk_error *error)
{
    struct loader loader = {.source = source, .arena = arena, .error = error};
    struct buf rewritten = {0};
    if (text.size >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0)
        text = bytes_of((const char *)text.data + 3, text.size - 3);
    enum synk_status status = check_text(&loader, text);
    if (!status) {
        definition_rewrite_json(&text, &rewritten);
        status = load(&loader, rewritten.size ? buf_bytes(&rewritten) : text);
    }
    if (!status)
        *ret_node = loader.root;
    buf_fini(&rewritten);
    free(loader.values);
    free(loader.anchors);
    id_table_fini(&loader.anchor_ids);
    return status;
}
