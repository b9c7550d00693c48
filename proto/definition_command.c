/*
 * What a worker runs: a plugin's function with a payload, or a command, which is the function
 * `exec` with the map {command cwd env envFile stdin output} as its payload, in that order and
 * without what is absent. Paths are made absolute here, against the directory of the document,
 * because the host has another one. Templates are checked, and refused where they are never
 * expanded. Pure.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/definition_internal.h"
#include "proto/pack.h"

enum {
    PAYLOAD_PATH_BYTES = 200, /* of a path in an error, cut where it is longer */
};

/* The fields of a command, wherever they stand. */
enum part { PART_COMMAND, PART_CWD, PART_ENV, PART_ENV_FILE, PART_STDIN, PART_OUTPUT, PARTS };
static const enum field_id part_fields[PARTS] = {
    FIELD_COMMAND, FIELD_CWD, FIELD_ENV, FIELD_ENV_FILE, FIELD_STDIN, FIELD_OUTPUT,
};
static const char *const part_names[PARTS + 1] = {
    "command", "cwd", "env", "envFile", "stdin", "output", NULL,
};
typedef const struct node *parts[PARTS];

/* A scalar as text, spelled as it was written where that is known. */
static enum synk_status scalar_text(struct validation *v, const struct node *node, const char *name,
                                    struct synk_bytes *ret_text)
{
    char *text;
    if (node->kind == NODE_STRING) {
        *ret_text = node->text;
        if (node->text.size &&
            (memchr(node->text.data, 0, node->text.size) || !check_utf8(node->text)))
            return definition_fail(v, node, SYNK_INVALID, "'%s' must be UTF-8 without NUL", name);
        return SYNK_OK;
    }
    if (node->kind != NODE_BOOL && node->kind != NODE_INT && node->kind != NODE_DOUBLE)
        return definition_fail_type(v, node, name, "made of strings and numbers");
    if (node->written.size) {
        *ret_text = node->written;
        return SYNK_OK;
    }
    text = arena_alloc(&v->scratch, 32);
    if (node->kind == NODE_BOOL)
        snprintf(text, 32, "%s", node->boolean ? "true" : "false");
    else if (node->kind == NODE_INT)
        snprintf(text, 32, "%lld", (long long)node->integer);
    else /* the fewest digits that read back as the same number */
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(text, 32, "%.*g", digits, node->number);
            if (strtod(text, NULL) == node->number)
                break;
        }
    *ret_text = bytes_str(text);
    return SYNK_OK;
}

static bool has_template(struct synk_bytes text)
{
    return text.size && memmem(text.data, text.size, "${{", 3);
}

static enum synk_status check_template(struct validation *v, const struct node *at,
                                       const char *name, struct synk_bytes text,
                                       struct worker_def *worker)
{
    if (!has_template(text))
        return SYNK_OK;
    struct synk_error inner = {0};
    unsigned uses = 0;
    size_t found = 0;
    if (v->checker->check_template(v->checker->context, text, &uses, &found, &inner)) {
        char what[32];
        snprintf(what, sizeof(what), "'%s'", name);
        return definition_fail_inner(v, at, &inner, what);
    }
    if (found)
        worker->flags |= WORKER_HAS_TEMPLATES;
    worker->template_uses |= (uint16_t)uses;
    return SYNK_OK;
}

static enum synk_status put_shell(struct validation *v, const struct node *node)
{
    struct synk_bytes text;
    enum synk_status status = scalar_text(v, node, "command", &text);
    if (status)
        return status;
    if (!text.size)
        return definition_fail(v, node, SYNK_INVALID, "'command' is empty");
    if (has_template(text))
        return definition_fail(v, node, SYNK_INVALID,
                               "'command': ${{ }} is never evaluated inside a shell line: use the "
                               "list form, or $SYNK_INPUT");
    pack_string(&v->encoded, text);
    return SYNK_OK;
}

static enum synk_status put_command(struct validation *v, const struct node *node,
                                    struct worker_def *worker)
{
    if (node->kind == NODE_STRING)
        return put_shell(v, node);
    if (node->kind != NODE_ARRAY)
        return definition_fail_type(v, node, "command", "a list of strings, or a shell line");
    if (!node->count)
        return definition_fail(v, node, SYNK_INVALID, "'command' is empty");
    if (node->count >= LIMIT_MESSAGE_ITEMS)
        return definition_fail(v, node, SYNK_TOO_LARGE, "'command' has %u arguments", node->count);
    pack_array(&v->encoded, node->count);
    for (uint32_t i = 0; i < node->count; i++) {
        struct synk_bytes text;
        enum synk_status status = scalar_text(v, &node->items[i], "command", &text);
        if (!status && i == 0 && !text.size)
            status = definition_fail(v, &node->items[i], SYNK_INVALID,
                                     "'command': the program's name is empty");
        if (!status)
            status = check_template(v, &node->items[i], "command", text, worker);
        if (status)
            return status;
        pack_string(&v->encoded, text);
    }
    return SYNK_OK;
}

static enum synk_status put_path(struct validation *v, const struct node *node, const char *name)
{
    const char *path;
    enum synk_status status = definition_parse_text(v, node, name, DEFINITION_PATH_BYTES, &path);
    if (status)
        return status;
    if (has_template(node->text))
        return definition_fail(v, node, SYNK_INVALID,
                               "'%s': ${{ }} is evaluated in 'env' and in the list form of "
                               "'command' only",
                               name);
    while (path[0] == '.' && path[1] == '/' && v->directory)
        for (path += 2; *path == '/'; path++)
            ;
    if (path[0] == '/' || !v->directory) {
        pack_cstr(&v->encoded, path);
        return SYNK_OK;
    }
    struct buf joined = {0};
    buf_append(&joined, v->directory, strlen(v->directory));
    if (path[0] && strcmp(path, ".") != 0)
        buf_printf(&joined, "%s%s", strcmp(v->directory, "/") == 0 ? "" : "/", path);
    pack_string(&v->encoded, buf_bytes(&joined));
    buf_fini(&joined);
    return SYNK_OK;
}

struct variable {
    const struct node *key, *value;
};

static int compare_variables(const void *a, const void *b)
{
    struct synk_bytes x = ((const struct variable *)a)->key->text;
    struct synk_bytes y = ((const struct variable *)b)->key->text;
    int order = memcmp(x.data, y.data, x.size < y.size ? x.size : y.size);
    return order ? order : (x.size > y.size) - (x.size < y.size);
}

/* Sorted by name: an environment has no order. */
static enum synk_status put_env(struct validation *v, const struct node *node,
                                struct worker_def *worker)
{
    if (node->kind != NODE_MAP)
        return definition_fail_type(v, node, "env", "a map of names to strings or numbers");
    if (node->count >= LIMIT_MESSAGE_ITEMS / 2)
        return definition_fail(v, node, SYNK_TOO_LARGE, "'env' has %u entries", node->count);
    struct variable *variables = arena_zalloc(&v->scratch, node->count + 1u, sizeof(*variables));
    for (uint32_t i = 0; i < node->count; i++) {
        struct synk_bytes name = node->keys[i].text;
        variables[i] = (struct variable){&node->keys[i], &node->items[i]};
        if (!name.size || memchr(name.data, '=', name.size) || memchr(name.data, 0, name.size) ||
            !check_utf8(name))
            return definition_fail_type(v, &node->keys[i], "env",
                                        "a map of names without '=' and NUL");
    }
    qsort(variables, node->count, sizeof(*variables), compare_variables);
    pack_map(&v->encoded, node->count);
    for (uint32_t i = 0; i < node->count; i++) {
        struct synk_bytes text;
        enum synk_status status = scalar_text(v, variables[i].value, "env", &text);
        if (!status)
            status = check_template(v, variables[i].value, "env", text, worker);
        if (status)
            return status;
        pack_string(&v->encoded, variables[i].key->text);
        pack_string(&v->encoded, text);
    }
    return SYNK_OK;
}

static enum synk_status put_part(struct validation *v, enum part part, const struct node *node,
                                 struct worker_def *worker)
{
    switch (part) {
    case PART_COMMAND:
        return put_command(v, node, worker);
    case PART_CWD:
    case PART_ENV_FILE:
        return put_path(v, node, part_names[part]);
    case PART_ENV:
        return put_env(v, node, worker);
    default:
        if (!definition_node_is(node, "json"))
            return definition_fail_type(v, node, part_names[part], "json");
        pack_cstr(&v->encoded, "json");
        return SYNK_OK;
    }
}

static enum synk_status encode_command(struct validation *v, const parts nodes,
                                       struct worker_def *worker)
{
    struct node here = {.kind = NODE_STRING, .text = bytes_of(".", 1)};
    const struct node *chosen[PARTS];
    unsigned entries = 0;
    for (int part = 0; part < PARTS; part++) {
        chosen[part] = nodes[part];
        if (part == PART_CWD && !chosen[part] && v->directory)
            chosen[part] = &here;
        if (part == PART_ENV && chosen[part] && chosen[part]->kind == NODE_MAP &&
            !chosen[part]->count)
            chosen[part] = NULL;
        entries += chosen[part] != NULL;
    }
    buf_clear(&v->encoded);
    pack_map(&v->encoded, entries);
    for (int part = 0; part < PARTS; part++) {
        if (!chosen[part])
            continue;
        pack_key(&v->encoded, part_names[part]);
        enum synk_status status = put_part(v, (enum part)part, chosen[part], worker);
        if (status)
            return status;
    }
    if (v->encoded.size > LIMIT_VALUE_BYTES)
        return definition_fail(v, nodes[PART_COMMAND], SYNK_TOO_LARGE,
                               "'command' and 'env' have %zu bytes, more than %d", v->encoded.size,
                               LIMIT_VALUE_BYTES);
    worker->payload = arena_copy(&v->definition->arena, buf_bytes(&v->encoded));
    return SYNK_OK;
}

/* `run: exec` with the map spelled out. */
static enum synk_status encode_exec_payload(struct validation *v, const struct node *run,
                                            const struct node *payload, struct worker_def *worker)
{
    if (!payload || payload->kind != NODE_MAP)
        return definition_fail(v, payload ? payload : run, SYNK_INVALID,
                               "'run: exec' needs a 'payload' map with 'command'; 'command' alone "
                               "is shorter");
    parts nodes = {NULL};
    for (uint32_t i = 0; i < payload->count; i++) {
        int part = 0;
        while (part < PARTS && !definition_node_is(&payload->keys[i], part_names[part]))
            part++;
        if (part == PARTS)
            return definition_fail_unknown(v, &payload->keys[i], part_names);
        nodes[part] = &payload->items[i];
    }
    if (!nodes[PART_COMMAND])
        return definition_fail(v, payload, SYNK_INVALID, "the 'payload' of exec has no 'command'");
    return encode_command(v, nodes, worker);
}

/* A function's payload goes to it as it stands, so a template in it would never be expanded.
 * Recursion ends at the depth of a value that was encoded. */
static enum synk_status refuse_templates(struct validation *v, const struct node *node,
                                         const char *path)
{
    enum synk_status status = SYNK_OK;
    if (node->kind == NODE_STRING && has_template(node->text))
        return definition_fail(v, node, SYNK_INVALID,
                               "'%s': ${{ }} is evaluated for commands only: a function reads its "
                               "params and inputs itself (synk_task_params, synk_task_inputs)",
                               path);
    if (node->kind != NODE_MAP && node->kind != NODE_ARRAY)
        return SYNK_OK;
    for (uint32_t i = 0; i < node->count && !status; i++) {
        char inner[PAYLOAD_PATH_BYTES];
        if (node->kind == NODE_MAP) {
            struct synk_bytes key = node->keys[i].text;
            snprintf(inner, sizeof(inner), "%s.%.*s", path,
                     (int)(key.size < sizeof(inner) ? key.size : sizeof(inner)),
                     key.size ? (const char *)key.data : "");
            status = refuse_templates(v, &node->keys[i], path);
        } else {
            snprintf(inner, sizeof(inner), "%s[%u]", path, i);
        }
        if (!status)
            status = refuse_templates(v, &node->items[i], inner);
    }
    return status;
}

static enum synk_status encode_payload(struct validation *v, const struct node *payload,
                                       struct worker_def *worker)
{
    if (!payload || payload->kind == NODE_NULL)
        return SYNK_OK;
    struct synk_error inner = {0};
    buf_clear(&v->encoded);
    if (definition_node_encode(payload, &v->encoded, &inner))
        return definition_fail_inner(v, payload, &inner, "'payload'");
    enum synk_status status = refuse_templates(v, payload, "payload");
    if (status)
        return status;
    worker->payload = arena_copy(&v->definition->arena, buf_bytes(&v->encoded));
    return SYNK_OK;
}

/* A field of commands beside `run`: refused, unless it came from the defaults. */
static enum synk_status refuse_parts(struct validation *v, const struct draft *draft)
{
    for (int part = PART_CWD; part < PARTS; part++) {
        const struct node *node = draft->nodes[part_fields[part]];
        if (node && node != v->defaults.nodes[part_fields[part]])
            return definition_fail(v, node, SYNK_INVALID, "'%s' is for commands only",
                                   part_names[part]);
    }
    return SYNK_OK;
}

enum synk_status definition_parse_work(struct validation *v, const struct draft *draft,
                                       struct worker_def *worker, const char **ret_function)
{
    const struct node *run = draft->nodes[FIELD_RUN], *command = draft->nodes[FIELD_COMMAND];
    const struct node *payload = draft->nodes[FIELD_PAYLOAD];
    if (run && command)
        return definition_fail(v, command, SYNK_INVALID, "'run' and 'command' exclude each other");
    if (!run && !command)
        return definition_fail(v, draft->nodes[FIELD_ID], SYNK_INVALID,
                               "needs one of 'run' and 'command'");
    if (command) {
        parts nodes;
        for (int part = 0; part < PARTS; part++)
            nodes[part] = draft->nodes[part_fields[part]];
        if (payload)
            return definition_fail(v, payload, SYNK_INVALID,
                                   "'payload' is for functions; a command has 'env' and arguments");
        *ret_function = "exec";
        return encode_command(v, nodes, worker);
    }
    struct synk_bytes function;
    enum synk_status status = definition_parse_id(v, run, "run", &function);
    if (!status)
        status = refuse_parts(v, draft);
    if (status)
        return status;
    *ret_function = arena_strndup(&v->scratch, function.data, function.size);
    return definition_node_is(run, "exec") ? encode_exec_payload(v, run, payload, worker)
                                           : encode_payload(v, payload, worker);
}

enum synk_status definition_check_command_defaults(struct validation *v, const struct draft *draft)
{
    struct worker_def worker = {0};
    enum synk_status status = SYNK_OK;
    buf_clear(&v->encoded);
    if (draft->nodes[FIELD_CWD])
        status = put_path(v, draft->nodes[FIELD_CWD], "cwd");
    if (!status && draft->nodes[FIELD_ENV])
        status = put_env(v, draft->nodes[FIELD_ENV], &worker);
    return status;
}
