/* synk tick: what is due starts now. */
#include <stdio.h>

#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

static int run(struct cli *cli, int argc, char **argv)
{
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    struct synk_error error;
    int count = args_parse(cli, argc, argv, NULL, 0, 1);
    if (count < 0)
        return EXIT_USAGE;
    int code = cli_open(cli, &client);
    if (!code && synk_tick(client, count ? argv[0] : NULL, &reply, &error) != SYNK_OK)
        code = fail_error(&error);
    const struct synk_value *root = synk_document_root(reply);
    const struct synk_value *runs = synk_value_get(root, "runs");
    if (!code && cli->json)
        print_json(root);
    for (size_t i = 0; !code && !cli->json && i < synk_value_count(runs); i++) {
        print_text(synk_value_bytes(synk_value_at(runs, i)), 0);
        putchar('\n');
    }
    synk_document_free(reply);
    synk_client_close(client);
    return code;
}

const struct verb verb_tick = {
    .name = "tick",
    .arguments = "[ID]",
    .summary = "Start what is due by its schedule",
    .help = "  ID  only this unit\n\n"
            "Prints the runs that it started. Each unit that is due starts once, however many of\n"
            "its due times have passed. Where the supervisor was started with --no-schedule,\n"
            "nothing else starts units on schedule, nor those with runOnStart.\n",
    .run = run,
};
