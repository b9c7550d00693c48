/* synk pause, synk resume. */
#include <stdio.h>

#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

static int change(struct cli *cli, int argc, char **argv, const char *type, const char *done)
{
    bool all = false;
    const struct option options[] = {{"all", OPTION_FLAG, &all}, {NULL, OPTION_FLAG, NULL}};
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    struct buf body = {0};
    int count = args_parse(cli, argc, argv, options, 0, 100000);
    if (count < 0)
        return EXIT_USAGE;
    if (all == (count > 0))
        return fail(EXIT_USAGE, "%s takes ids, or --all", type);
    pack_map(&body, 1);
    pack_key(&body, all ? "all" : "ids");
    if (all) {
        pack_bool(&body, true);
    } else {
        pack_array(&body, (size_t)count);
        for (int i = 0; i < count; i++)
            pack_cstr(&body, argv[i]);
    }
    int code = cli_open(cli, &client);
    if (!code)
        code = cli_call(client, type, &body, &reply);
    buf_fini(&body);
    synk_client_close(client);
    const struct synk_value *units = synk_value_get(synk_document_root(reply), "units");
    if (!code && cli->json)
        print_json(synk_document_root(reply));
    for (size_t i = 0; !code && !cli->json && i < synk_value_count(units); i++) {
        printf("%s  ", done);
        print_text(synk_value_bytes(synk_value_at(units, i)), 0);
        putchar('\n');
    }
    synk_document_free(reply);
    return code;
}

static int run_pause(struct cli *cli, int argc, char **argv)
{
    return change(cli, argc, argv, "pause", "paused");
}

static int run_resume(struct cli *cli, int argc, char **argv)
{
    return change(cli, argc, argv, "resume", "resumed");
}

const struct verb verb_pause = {
    .name = "pause",
    .arguments = "ID… | --all",
    .summary = "Hold units back: nothing of them starts; what runs goes on",
    .help = "A pause survives a restart of the supervisor.\n",
    .run = run_pause,
};
const struct verb verb_resume = {
    .name = "resume",
    .arguments = "ID… | --all",
    .summary = "Let paused units go on",
    .help = "",
    .run = run_resume,
};
