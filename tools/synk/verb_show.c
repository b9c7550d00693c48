/* synk show: one unit, or one run. */
#include <stdio.h>

#include "tools/synk/output.h"
#include "tools/synk/run_view.h"
#include "tools/synk/verbs.h"

static void print_entry(struct synk_bytes key, const struct synk_value *value)
{
    char text[32];
    struct synk_bytes shown = synk_value_bytes(value);
    printf("%-20.*s  ", (int)key.size, (const char *)key.data);
    bool is_time = key.size > 2 && memcmp((const char *)key.data + key.size - 2, "At", 2) == 0;
    bool is_duration = key.size > 2 && memcmp((const char *)key.data + key.size - 2, "Ms", 2) == 0;
    if (is_time && synk_value_kind(value) == SYNK_INT)
        fputs(time_text(synk_value_int(value, 0), text), stdout);
    else if (is_duration && synk_value_double(value, -1) >= 0)
        fputs(duration_text((int64_t)synk_value_double(value, 0), text), stdout);
    else if (shown.data) {
        fputs(style_on(style_of(shown)), stdout);
        print_text(shown, 0);
        fputs(style_off(), stdout);
    } else {
        print_json_line(value);
        return;
    }
    putchar('\n');
}

static void print_unit(const struct synk_value *unit)
{
    for (size_t i = 0; i < synk_value_count(unit); i++) {
        struct synk_bytes key = synk_value_key_at(unit, i);
        const struct synk_value *value = synk_value_at(unit, i);
        if (!text_is(key, "definition") && synk_value_kind(value) != SYNK_NULL)
            print_entry(key, value);
    }
    fputs("definition\n", stdout);
    print_json(synk_value_get(unit, "definition"));
}

static int run(struct cli *cli, int argc, char **argv)
{
    bool with_attempts = false;
    const struct option options[] = {
        {"attempts", OPTION_FLAG, &with_attempts},
        {NULL, OPTION_FLAG, NULL},
    };
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    if (args_parse(cli, argc, argv, options, 1, 1) < 0)
        return EXIT_USAGE;
    int code = cli_open(cli, &client);
    if (!code)
        code = run_view_fetch(client, argv[0], with_attempts, 0, 0, &reply);
    const struct synk_value *root = synk_document_root(reply);
    if (!code && synk_value_get(root, "tasks"))
        code = run_view_print_from(cli, client, root, with_attempts);
    else if (!code && cli->json)
        print_json(root);
    else if (!code)
        print_unit(root);
    synk_document_free(reply);
    synk_client_close(client);
    return code;
}

const struct verb verb_show = {
    .name = "show",
    .arguments = "ID|RUN [--attempts]",
    .summary = "Show a unit, or a run with its tasks",
    .help = "  RUN         UNIT#N, or UNIT#last\n"
            "  --attempts  each try of each task, with its host, exit status and memory\n",
    .run = run,
};
