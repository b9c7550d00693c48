/* synk prune: what is past the bounds goes now. */
#include <stdio.h>

#include "proto/keep.h"
#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

/* A KEEP replaces both bounds: what it does not give is no bound, as for `synk up`. */
static int put_keep(struct buf *body, const char *option, const char *text, const char *ms_key,
                    const char *count_key)
{
    struct keep keep;
    struct synk_error error = {0};
    if (!text) {
        pack_key(body, ms_key);
        pack_null(body);
        pack_key(body, count_key);
        pack_null(body);
        return 0;
    }
    if (keep_parse(text, &keep, &error))
        return fail(EXIT_USAGE, "--%s: %s", option, error.text);
    pack_key(body, ms_key);
    pack_int(body, keep.age_ms);
    pack_key(body, count_key);
    pack_uint(body, keep.count);
    return 0;
}

static int run(struct cli *cli, int argc, char **argv)
{
    const char *keep_runs = NULL, *keep_events = NULL;
    const struct option options[] = {
        {"keep-runs", OPTION_TEXT, &keep_runs},
        {"keep-events", OPTION_TEXT, &keep_events},
        {0},
    };
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    struct buf body = {0};
    if (args_parse(cli, argc, argv, options, 0, 0) < 0)
        return EXIT_USAGE;
    pack_map(&body, 4);
    int code = put_keep(&body, "keep-runs", keep_runs, "keepRunsMs", "keepRuns");
    if (!code)
        code = put_keep(&body, "keep-events", keep_events, "keepEventsMs", "keepEvents");
    if (!code)
        code = cli_open(cli, &client);
    if (!code)
        code = cli_call(client, "prune", &body, &reply);
    buf_fini(&body);
    synk_client_close(client);
    const struct synk_value *root = synk_document_root(reply);
    if (!code && cli->json)
        print_json(root);
    else if (!code)
        printf("%lld runs and %lld events are gone\n",
               (long long)synk_value_int(synk_value_get(root, "runs"), 0),
               (long long)synk_value_int(synk_value_get(root, "events"), 0));
    synk_document_free(reply);
    return code;
}

const struct verb verb_prune = {
    .name = "prune",
    .arguments = "[--keep-runs KEEP] [--keep-events KEEP]",
    .summary = "Remove finished runs and events past the bounds now",
    .help = "KEEP is an age (90s, 5m, 2h, 30d, 4w), a count, or both; what is not given is no\n"
            "bound, and 0 keeps all. Without an option the bounds are those of `synk up`. It\n"
            "returns when they are gone. Logs of attempts follow their hosts' own bounds.\n",
    .run = run,
};
