/*
 * Plans: in which order a unit's workers run. Of a registered unit the supervisor tells; a file is
 * planned here, without one.
 */
#include "tools/synk/plan.h"

#include <unistd.h>

#include "proto/definition_file.h"
#include "proto/definition_plan.h"
#include "proto/value.h"
#include "proto/zone.h"

static int show_unit(const struct definition *unit, bool is_only, plan_print print, void *context)
{
    struct buf plan = {0};
    struct synk_document *document = NULL;
    struct synk_error error;
    definition_plan_encode(unit, &plan);
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
