/* synk set, synk reset, synk enable, synk disable: what is changed about units at run time. */
#include <stdio.h>
#include <string.h>

#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

/* "5", "true", "[1, 2]", "{…}" as JSON; anything else is text; nothing is null. */
static void put_value(struct synk_builder *body, const char *text)
{
    if (!*text)
        synk_builder_null(body);
    else if (synk_builder_json(body, text, strlen(text), NULL) != SYNK_OK)
        synk_builder_string(body, text);
}

static const char *value_of(const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    return equals && equals != assignment ? equals + 1 : NULL;
}

static bool is_status(const char *assignment)
{
    return strncmp(assignment, "status=", 7) == 0;
}

static void put_fields(struct synk_builder *body, int count, char **assignments)
{
    synk_builder_string(body, "set");
    synk_builder_begin_map(body);
    for (int i = 0; i < count; i++) {
        if (is_status(assignments[i]))
            continue;
        const char *value = value_of(assignments[i]);
        synk_builder_string_n(body, assignments[i], (size_t)(value - 1 - assignments[i]));
        put_value(body, value);
    }
    synk_builder_end(body);
}

static void print_change(const char *id, const struct synk_value *reply)
{
    const struct synk_value *changed = synk_value_get(reply, "changed");
    const struct synk_value *unit = synk_value_get(reply, "unit");
    printf("%s: ", id);
    for (size_t i = 0; i < synk_value_count(changed); i++) {
        struct synk_bytes name = synk_value_bytes(synk_value_at(changed, i));
        printf("%s%.*s", i ? ", " : "changed ", (int)name.size, (const char *)name.data);
    }
    fputs(synk_value_count(changed) ? "; " : "", stdout);
    struct synk_bytes status = text_of(unit, "status");
    fputs(style_on(style_of(status)), stdout);
    print_text(status, 0);
    fputs(style_off(), stdout);
    struct synk_bytes why = text_of(unit, "disabledWhy");
    bool is_enabled = synk_value_bool(synk_value_get(unit, "enabled"), true);
    printf("%s%s%.*s\n", is_enabled ? "" : ", disabled", why.size ? ": " : "", (int)why.size,
           why.size ? (const char *)why.data : "");
}

static int send_change(const struct cli *cli, const char *id, struct synk_builder *builder)
{
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    struct synk_bytes encoded = synk_builder_bytes(builder);
    struct buf body = {0};
    buf_append(&body, encoded.data, encoded.size);
    int code = cli_open(cli, &client);
    if (!code)
        code = cli_call(client, "set", &body, &reply);
    buf_fini(&body);
    synk_builder_free(builder);
    synk_client_close(client);
    if (!code && cli->json)
        print_json(synk_document_root(reply));
    else if (!code)
        print_change(id, synk_document_root(reply));
    synk_document_free(reply);
    return code;
}

static struct synk_builder *begin(const char *id)
{
    struct synk_builder *body = synk_builder_new();
    synk_builder_begin_map(body);
    synk_builder_string(body, "id");
    synk_builder_string(body, id);
    return body;
}

static int run_set(struct cli *cli, int argc, char **argv)
{
    const char *reason = NULL, *status = NULL;
    const struct option options[] = {{"reason", OPTION_TEXT, &reason}, {NULL, OPTION_FLAG, NULL}};
    int count = args_parse(cli, argc, argv, options, 2, 1000);
    if (count < 0)
        return EXIT_USAGE;
    for (int i = 1; i < count; i++) {
        if (!value_of(argv[i]))
            return fail(EXIT_USAGE, "'%s' is not FIELD=VALUE", argv[i]);
        if (is_status(argv[i]))
            status = value_of(argv[i]);
    }
    struct synk_builder *body = begin(argv[0]);
    put_fields(body, count - 1, argv + 1);
    if (status) {
        synk_builder_string(body, "status");
        synk_builder_string(body, status);
    }
    if (reason) {
        synk_builder_string(body, "reason");
        synk_builder_string(body, reason);
    }
    synk_builder_end(body);
    return send_change(cli, argv[0], body);
}

static int run_reset(struct cli *cli, int argc, char **argv)
{
    if (args_parse(cli, argc, argv, NULL, 1, 1) < 0)
        return EXIT_USAGE;
    struct synk_builder *body = begin(argv[0]);
    synk_builder_string(body, "status");
    synk_builder_string(body, "idle");
    synk_builder_end(body);
    return send_change(cli, argv[0], body);
}

/* Several ids; those before one that is refused are changed. */
static int enable(struct cli *cli, int argc, char **argv, bool enabled)
{
    int count = args_parse(cli, argc, argv, NULL, 1, 1000);
    int code = count < 0 ? EXIT_USAGE : EXIT_DONE;
    for (int i = 0; i < count && !code; i++) {
        struct synk_builder *body = begin(argv[i]);
        synk_builder_string(body, "set");
        synk_builder_begin_map(body);
        synk_builder_string(body, "enabled");
        synk_builder_bool(body, enabled);
        synk_builder_end(body);
        synk_builder_end(body);
        code = send_change(cli, argv[i], body);
    }
    return code;
}

static int run_enable(struct cli *cli, int argc, char **argv)
{
    return enable(cli, argc, argv, true);
}

static int run_disable(struct cli *cli, int argc, char **argv)
{
    return enable(cli, argc, argv, false);
}

const struct verb verb_set = {
    .name = "set",
    .arguments = "ID FIELD=VALUE… [--reason TEXT]",
    .summary = "Change fields of a unit, or of a worker of a process, while it is in force",
    .help =
        "  ID             a unit, or PROCESS/WORKER\n"
        "  FIELD=VALUE    as in a definition file; JSON, or else text: maxRetries=3\n"
        "                 retryDelayMs=5s 'requires=[\"gpu\"]'; FIELD= goes back to the file's\n"
        "  status=S       idle (reset), paused, completed or error\n"
        "  --reason TEXT  told in the event\n\n"
        "Counts from the next attempt on; what a unit runs, and how, from its next run. Kept\n"
        "over a restart, and when the file is applied again unless it has changed that field.\n",
    .run = run_set,
};
const struct verb verb_reset = {
    .name = "reset",
    .arguments = "ID",
    .summary = "Set a unit that failed, completed or is paused to idle",
    .help = "Its maxRuns count from 0 again.\n",
    .run = run_reset,
};
const struct verb verb_enable = {
    .name = "enable",
    .arguments = "ID…",
    .summary = "Let units be scheduled, and workers run in their processes",
    .help = "Counts maxRuns from 0 again where they had been reached.\n",
    .run = run_enable,
};
const struct verb verb_disable = {
    .name = "disable",
    .arguments = "ID…",
    .summary = "No schedule for units, and skip workers in their processes' runs",
    .help = "What is asked for with 'synk run' goes all the same.\n",
    .run = run_disable,
};
