/* synk release: a unit goes. */
#include <stdio.h>

#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

static void print_names(const char *what, const struct synk_value *names)
{
    for (size_t i = 0; i < synk_value_count(names); i++) {
        printf("  %s ", what);
        print_text(synk_value_bytes(synk_value_at(names, i)), 0);
        putchar('\n');
    }
}

static int run(struct cli *cli, int argc, char **argv)
{
    bool force = false;
    const struct option options[] = {{"force", OPTION_FLAG, &force}, {NULL, OPTION_FLAG, NULL}};
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    struct synk_error error = {0};
    if (args_parse(cli, argc, argv, options, 1, 1) < 0)
        return EXIT_USAGE;
    int code = cli_open(cli, &client);
    if (!code && synk_release(client, argv[0], force, &reply, &error))
        code = fail_error(&error);
    synk_client_close(client);
    const struct synk_value *root = synk_document_root(reply);
    if (!code && cli->json)
        print_json(root);
    if (!code && !cli->json) {
        printf("released  %s\n", argv[0]);
        print_names("cancelled", synk_value_get(root, "cancelled"));
        print_names("a hook still runs it:", synk_value_get(root, "dependents"));
    }
    synk_document_free(reply);
    return code;
}

const struct verb verb_release = {
    .name = "release",
    .arguments = "ID [--force]",
    .summary = "Remove a unit from the registry; its runs stay in the store",
    .help = "  --force  cancel its unfinished runs first, and wait for their ends\n\n"
            "Names the units whose hooks run it.\n",
    .run = run,
};
