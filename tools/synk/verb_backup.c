/* synk backup: the supervisor writes a copy of its state. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

static int run(struct cli *cli, int argc, char **argv)
{
    char current[PATH_MAX] = "", path[2 * PATH_MAX];
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    struct buf body = {0};
    if (args_parse(cli, argc, argv, NULL, 1, 1) < 0)
        return EXIT_USAGE;
    /* It is the supervisor that writes, and its working directory is another. */
    if (argv[0][0] == '/')
        snprintf(path, sizeof(path), "%s", argv[0]);
    else if (getcwd(current, sizeof(current)))
        snprintf(path, sizeof(path), "%s/%s", current, argv[0]);
    else
        return fail(EXIT_USAGE, "cannot tell the working directory: %s", strerror(errno));
    pack_map(&body, 1);
    pack_key(&body, "path");
    pack_cstr(&body, path);
    int code = cli_open(cli, &client);
    if (!code)
        code = cli_call(client, "backup", &body, &reply);
    buf_fini(&body);
    synk_client_close(client);
    const struct synk_value *root = synk_document_root(reply);
    if (!code && cli->json)
        print_json(root);
    else if (!code)
        printf("%s: %lld bytes\n", path,
               (long long)synk_value_int(synk_value_get(root, "bytes"), 0));
    synk_document_free(reply);
    return code;
}

const struct verb verb_backup = {
    .name = "backup",
    .arguments = "FILE",
    .summary = "Copy the state to a file while everything goes on",
    .help = "The copy opens with `synk up --state sqlite:FILE`.\n",
    .run = run,
};
