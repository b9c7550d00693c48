/*
 * Plans: in which order a unit's workers run. Of a registered unit the supervisor tells; a file is
 * planned here, without one, by the same two rules: in a graph a worker's level is one above its
 * highest parent, and a run mode is a graph of its own.
 */
#include "tools/synk/plan.h"

#include <stdlib.h>
#include <unistd.h>

#include "proto/definition_file.h"
#include "proto/value.h"
#include "proto/zone.h"

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

static int show_unit(const struct definition *unit, bool is_only, plan_print print, void *context)
{
    struct buf plan = {0};
    struct synk_document *document = NULL;
    struct synk_error error;
    pack_plan(unit, &plan);
    /* Our own bytes: the bounds on messages do not hold for them. */
    const struct check_limits limits = {16, UINT32_MAX};
    enum synk_status status = value_decode(buf_bytes(&plan), &limits, &document, &error);
    if (!status)
        print(context, synk_document_root(document), is_only);
    synk_document_free(document);
    buf_fini(&plan);
    return status ? fail_error(&error) : EXIT_DONE;
}

int plan_file(const char *path, plan_print print, void *context)
{
    struct expression *expression = expression_new();
    struct expression_checker checker = expression_checker(expression);
    struct calendar calendar;
    calendar_init(&calendar);
    checker.calendar = &calendar;
    struct definition_set set = {0};
    struct synk_error error;
    int code = EXIT_DONE;
    if (definition_load_file(path, &checker, &set, &error) != SYNK_OK) {
        fail_error(&error);
        code = EXIT_USAGE;
    }
    for (size_t i = 0; i < set.count && !code; i++)
        code = show_unit(set.units[i], set.count == 1, print, context);
    definition_set_fini(&set);
    calendar_fini(&calendar);
    expression_free(expression);
    return code;
}

int plan_fetch(struct synk_client *client, const char *id, struct synk_document **ret_plan)
{
    struct buf body = {0};
    pack_map(&body, 1);
    pack_key(&body, "unit");
    pack_cstr(&body, id);
    return cli_call(client, "plan", &body, ret_plan);
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

bool plan_is_file(const char *name)
{
    return strcmp(name, "-") == 0 || ends_with(name, ".yaml") || ends_with(name, ".yml") ||
           ends_with(name, ".json") || access(name, R_OK) == 0;
}
