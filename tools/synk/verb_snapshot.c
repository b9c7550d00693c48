/* synk snapshot: the whole registry as one document. */
#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

static int run(struct cli *cli, int argc, char **argv)
{
    struct synk_client *client = NULL;
    struct synk_document *snapshot = NULL;
    struct synk_error error = {0};
    if (args_parse(cli, argc, argv, NULL, 0, 0) < 0)
        return EXIT_USAGE;
    int code = cli_open(cli, &client);
    if (!code && synk_snapshot(client, &snapshot, &error))
        code = fail_error(&error);
    synk_client_close(client);
    if (!code)
        print_json(synk_document_root(snapshot));
    synk_document_free(snapshot);
    return code;
}

const struct verb verb_snapshot = {
    .name = "snapshot",
    .arguments = "",
    .summary = "Print all units with their definitions, unfinished runs and hosts as JSON",
    .help = "`seq` is the number of the last event before: 'synk events --since SEQ' goes on from "
            "there.\n",
    .run = run,
};
