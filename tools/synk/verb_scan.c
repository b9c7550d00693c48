/* synk scan: the watcher looks at everything now. */
#include <stdio.h>

#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

static void print_units(const struct synk_value *reply, const char *key, const char *what)
{
    const struct synk_value *units = synk_value_get(reply, key);
    for (size_t i = 0; i < synk_value_count(units); i++) {
        printf("%-9s ", what);
        print_text(synk_value_bytes(synk_value_at(units, i)), 0);
        putchar('\n');
    }
}

static void print_stuck(const struct synk_value *reply)
{
    const struct synk_value *attempts = synk_value_get(reply, "stuck");
    for (size_t i = 0; i < synk_value_count(attempts); i++) {
        const struct synk_value *attempt = synk_value_at(attempts, i);
        char text[32];
        printf("%-9s ", "stuck");
        print_text(text_of(attempt, "run"), 0);
        putchar(' ');
        print_text(text_of(attempt, "worker"), 0);
        printf(" (attempt %lld, host ",
               (long long)synk_value_int(synk_value_get(attempt, "attempt"), 0));
        print_text(text_of(attempt, "host"), 0);
        printf(", %s): ", duration_text(synk_value_int(synk_value_get(attempt, "ms"), 0), text));
        print_text(text_of(attempt, "why"), 0);
        putchar('\n');
    }
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    struct synk_error error;
    if (args_parse(cli, argc, argv, NULL, 0, 0) < 0)
        return EXIT_USAGE;
    int code = cli_open(cli, &client);
    if (!code && synk_scan(client, &reply, &error) != SYNK_OK)
        code = fail_error(&error);
    const struct synk_value *root = synk_document_root(reply);
    if (!code && cli->json) {
        print_json(root);
    } else if (!code) {
        print_units(root, "stale", "stale");
        print_stuck(root);
        print_units(root, "unpaused", "unpaused");
        print_units(root, "released", "released");
    }
    synk_document_free(reply);
    synk_client_close(client);
    return code;
}

const struct verb verb_scan = {
    .name = "scan",
    .arguments = "",
    .summary = "Look for units that nothing uses and work that gets nowhere",
    .help =
        "Prints a line each for\n"
        "  stale     units whose last run ended --idle-threshold ago, or more: not those that\n"
        "            have never run, are at work or paused, or start by themselves\n"
        "  stuck     attempts whose host is silent, or cannot end them though their time is up\n"
        "  unpaused  units that had been paused for so long and were resumed (--auto-unpause)\n"
        "  released  stale units that were released (--auto-release), but for those that hooks\n"
        "            of other units name\n"
        "The supervisor does the same every --watch-interval, and emits `stale` events. The\n"
        "options are those of `synk up`.\n",
    .run = run,
};
