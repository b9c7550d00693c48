/* synk drain: a host gets no more work, until it is taken back. */
#include <stdio.h>
#include <time.h>

#include "tools/synk/hosts.h"
#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

enum { POLL_MS = 100 };

/* Whether the host has finished what it had; one that is gone has nothing left, either. */
static int is_drained(struct synk_client *client, const char *name, bool *ret_is_drained)
{
    struct synk_document *hosts = NULL;
    int code = hosts_list(client, &hosts);
    if (code)
        return code;
    const struct synk_value *items = synk_value_get(synk_document_root(hosts), "items");
    *ret_is_drained = true;
    for (size_t i = 0; i < synk_value_count(items); i++) {
        const struct synk_value *host = synk_value_at(items, i);
        if (text_is(text_of(host, "name"), name))
            *ret_is_drained = synk_value_int(synk_value_get(host, "running"), 0) == 0 &&
                              synk_value_int(synk_value_get(host, "queued"), 0) == 0;
    }
    synk_document_free(hosts);
    return EXIT_DONE;
}

static int await(struct synk_client *client, const char *name)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    bool is_done = false;
    int code = is_drained(client, name, &is_done);
    while (!code && !is_done) {
        nanosleep(&pause, NULL);
        code = signals_count() ? EXIT_INTERRUPTED : is_drained(client, name, &is_done);
    }
    return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
    bool undo = false, wait = false;
    const struct option options[] = {
        {"undo", OPTION_FLAG, &undo}, {"wait", OPTION_FLAG, &wait}, {NULL, OPTION_FLAG, NULL}};
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    struct synk_error error;
    if (args_parse(cli, argc, argv, options, 1, 1) < 0)
        return EXIT_USAGE;
    if (undo && wait)
        return fail(EXIT_USAGE, "--undo has nothing to wait for");
    signals_catch();
    int code = cli_open(cli, &client);
    if (!code && synk_drain(client, argv[0], undo, &reply, &error) != SYNK_OK)
        code = fail_error(&error);
    if (!code && wait)
        code = await(client, argv[0]);
    const struct synk_value *root = synk_document_root(reply);
    if (!code && cli->json)
        print_json(root);
    else if (!code && undo)
        printf("%s takes work again\n", argv[0]);
    else if (!code && wait)
        printf("%s has no work left, and gets none\n", argv[0]);
    else if (!code)
        printf("%s gets no more work; it runs %lld\n", argv[0],
               (long long)synk_value_int(synk_value_get(root, "running"), 0));
    synk_document_free(reply);
    synk_client_close(client);
    return code;
}

const struct verb verb_drain = {
    .name = "drain",
    .arguments = "HOST [--wait] [--undo]",
    .summary = "Give a worker host no more work; what runs there finishes",
    .help =
        "  --wait  return when it has finished\n"
        "  --undo  let it have work again\n\n"
        "What the host was given and has not begun goes elsewhere. It stays drained when it, or\n"
        "the supervisor, is started again, until --undo. `synk ls hosts` names the hosts.\n",
    .run = run,
};
