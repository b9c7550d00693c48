/*
 * synk plan: in which order a unit's workers run. Of a registered unit the supervisor tells; a file
 * is planned here, without one, by the same two rules: in a graph a worker's level is one above its
 * highest parent, and a run mode is a graph of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/definition_file.h"
#include "proto/value.h"
#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

static uint32_t level_in_mode(const struct definition *unit, uint32_t index)
{
    switch (unit->process.run_mode) {
    case RUN_PARALLEL:
        break;
    case RUN_BATCHED:
        return unit->process.batch_size ? index / unit->process.batch_size : index;
    case RUN_SEQUENTIAL:
    case RUN_ISOLATED:
        return index;
    }
    return 0;
}

/* Levels from 0. Parents may come later in the file: repeated until nothing rises. There is no
 * cycle, so a pass in file order settles at least one more level. */
static uint32_t *levels_of(const struct definition *unit)
{
    uint32_t *levels = mem_zalloc(unit->worker_count + 1, sizeof(*levels));
    bool has_risen = true;
    while (has_risen) {
        has_risen = false;
        for (uint32_t i = 0; i < unit->worker_count; i++) {
            const struct worker_def *worker = &unit->workers[i];
            uint32_t level = unit->is_graph ? 0 : level_in_mode(unit, i);
            for (uint32_t d = 0; d < worker->depends_on_count; d++)
                if (levels[worker->depends_on[d].parent] >= level)
                    level = levels[worker->depends_on[d].parent] + 1;
            has_risen = has_risen || level != levels[i];
            levels[i] = level;
        }
    }
    return levels;
}

/* As the supervisor words it: parallel to `after`. */
static void pack_when(const struct dependency *dependency, struct buf *out)
{
    struct buf text = {0};
    buf_printf(&text, "%s", dependency_on_name(dependency->on));
    if (dependency->condition)
        buf_printf(&text, " and %s", dependency->condition);
    pack_string(out, buf_bytes(&text));
    buf_fini(&text);
}

static void pack_step(const struct definition *unit, uint32_t index, uint32_t level,
                      struct buf *out)
{
    const struct worker_def *worker = &unit->workers[index];
    pack_map(out, 5);
    pack_key(out, "worker");
    pack_cstr(out, worker->id);
    pack_key(out, "level");
    pack_uint(out, level);
    pack_key(out, "after");
    pack_array(out, worker->depends_on_count);
    for (uint32_t d = 0; d < worker->depends_on_count; d++)
        pack_cstr(out, unit->workers[worker->depends_on[d].parent].id);
    pack_key(out, "when");
    pack_array(out, worker->depends_on_count);
    for (uint32_t d = 0; d < worker->depends_on_count; d++)
        pack_when(&worker->depends_on[d], out);
    pack_key(out, "function");
    pack_cstr(out, worker->worker->function);
}

static void pack_plan(const struct definition *unit, struct buf *out)
{
    uint32_t *levels = levels_of(unit), top = 0;
    for (uint32_t i = 0; i < unit->worker_count; i++)
        top = levels[i] > top ? levels[i] : top;
    pack_map(out, 3);
    pack_key(out, "unit");
    pack_cstr(out, unit->id);
    pack_key(out, "mode");
    pack_cstr(out, unit->is_graph ? "graph" : run_mode_name(unit->process.run_mode));
    pack_key(out, "steps");
    pack_array(out, unit->worker_count);
    for (uint32_t level = 0; level <= top; level++)
        for (uint32_t i = 0; i < unit->worker_count; i++)
            if (levels[i] == level)
                pack_step(unit, i, level, out);
    free(levels);
}

/* Printing --------------------------------------------------------------------------------------
 */

static void join(const struct synk_value *list, struct buf *out)
{
    for (size_t i = 0; i < synk_value_count(list); i++) {
        struct synk_bytes text = synk_value_bytes(synk_value_at(list, i));
        buf_append(out, ", ", i ? 2 : 0);
        buf_append(out, text.data, text.size);
    }
}

/* What is asked of parents beyond their success. */
static void join_whens(const struct synk_value *step, struct buf *out)
{
    static const char usual[] = "completed", and_more[] = "completed and ";
    const struct synk_value *parents = synk_value_get(step, "after");
    const struct synk_value *whens = synk_value_get(step, "when");
    for (size_t i = 0; i < synk_value_count(whens); i++) {
        struct synk_bytes when = synk_value_bytes(synk_value_at(whens, i));
        struct synk_bytes parent = synk_value_bytes(synk_value_at(parents, i));
        if (!when.data || text_is(when, usual))
            continue;
        if (when.size > strlen(and_more) && memcmp(when.data, and_more, strlen(and_more)) == 0)
            when =
                bytes_of((const char *)when.data + strlen(and_more), when.size - strlen(and_more));
        buf_printf(out, "%s%.*s: %.*s", out->size ? ", " : "", (int)parent.size,
                   parent.data ? (const char *)parent.data : "", (int)when.size,
                   (const char *)when.data);
    }
}

static void print_plan(const struct synk_value *plan)
{
    static const char *const headers[] = {"LEVEL", "WORKER", "FUNCTION", "AFTER", "WHEN"};
    struct table table;
    const struct synk_value *steps = synk_value_get(plan, "steps");
    struct synk_bytes mode = text_of(plan, "mode");
    fputs(style_on(STYLE_BOLD), stdout);
    print_text(text_of(plan, "unit"), 0);
    printf("%s  %.*s\n", style_off(), (int)mode.size, (const char *)mode.data);
    table_init(&table, headers, 5);
    for (size_t i = 0; i < synk_value_count(steps); i++) {
        const struct synk_value *step = synk_value_at(steps, i);
        struct buf after = {0}, when = {0};
        join(synk_value_get(step, "after"), &after);
        join_whens(step, &when);
        table_addf(&table, STYLE_NONE, "%lld",
                   (long long)synk_value_int(synk_value_get(step, "level"), 0));
        table_add(&table, text_of(step, "worker"), STYLE_NONE);
        table_add(&table, text_of(step, "function"), STYLE_DIM);
        table_add(&table, buf_bytes(&after), STYLE_NONE);
        table_add(&table, buf_bytes(&when), STYLE_NONE);
        buf_fini(&after);
        buf_fini(&when);
    }
    table_print(&table);
}

static int show_unit(const struct cli *cli, const struct definition *unit, bool is_only)
{
    struct buf plan = {0};
    struct synk_document *document = NULL;
    struct synk_error error;
    pack_plan(unit, &plan);
    /* Our own bytes: the bounds on messages do not hold for them. */
    const struct check_limits limits = {16, UINT32_MAX};
    enum synk_status status = value_decode(buf_bytes(&plan), &limits, &document, &error);
    if (!status && cli->json && is_only)
        print_json(synk_document_root(document));
    else if (!status && cli->json)
        print_json_line(synk_document_root(document));
    else if (!status)
        print_plan(synk_document_root(document));
    synk_document_free(document);
    buf_fini(&plan);
    return status ? fail_error(&error) : EXIT_DONE;
}

static int plan_file(const struct cli *cli, const char *path)
{
    struct expression *expression = expression_new();
    struct expression_checker checker = expression_checker(expression);
    struct definition_set set = {0};
    struct synk_error error;
    int code = EXIT_DONE;
    if (definition_load_file(path, &checker, &set, &error) != SYNK_OK) {
        fail_error(&error);
        code = EXIT_USAGE;
    }
    for (size_t i = 0; i < set.count && !code; i++)
        code = show_unit(cli, set.units[i], set.count == 1);
    definition_set_fini(&set);
    expression_free(expression);
    return code;
}

static int plan_unit(const struct cli *cli, const char *id)
{
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    struct buf body = {0};
    pack_map(&body, 1);
    pack_key(&body, "unit");
    pack_cstr(&body, id);
    int code = cli_open(cli, &client);
    if (!code)
        code = cli_call(client, "plan", &body, &reply);
    buf_fini(&body);
    synk_client_close(client);
    if (!code && cli->json)
        print_json(synk_document_root(reply));
    else if (!code)
        print_plan(synk_document_root(reply));
    synk_document_free(reply);
    return code;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (args_parse(cli, argc, argv, NULL, 1, 1) < 0)
        return EXIT_USAGE;
    const char *name = argv[0];
    bool is_file = strcmp(name, "-") == 0 || ends_with(name, ".yaml") || ends_with(name, ".yml") ||
                   ends_with(name, ".json") || access(name, R_OK) == 0;
    return is_file ? plan_file(cli, name) : plan_unit(cli, name);
}

const struct verb verb_plan = {
    .name = "plan",
    .arguments = "ID|FILE",
    .summary = "Show in which order the workers of a unit run, and on what conditions",
    .help = "  ID    a registered unit\n"
            "  FILE  a definition file; needs no supervisor, and tells what is wrong with it\n",
    .run = run,
};
