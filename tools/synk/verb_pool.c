/* synk pool: tasks of a function, beside any process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/synk/hosts.h"
#include "tools/synk/output.h"
#include "tools/synk/run_view.h"
#include "tools/synk/verbs.h"
#include "tools/synk/watch.h"

static int await(const struct cli *cli, struct synk_client *client, const char *run, uint64_t from)
{
    struct watch_options options = {.run = run, .from = from, .is_quiet = cli->json};
    struct synk_document *ended = NULL;
    signals_catch();
    int code = watch_run(client, &options, &ended);
    if (!ended)
        return code;
    if (cli->json)
        print_json(synk_document_root(ended));
    else
        run_view_print_summary(synk_document_root(ended));
    synk_document_free(ended);
    return code;
}

/* A host that has it may come later: a submission waits for it. */
static int warn_of_missing(struct synk_client *client, const char *function)
{
    struct synk_document *hosts = NULL;
    struct buf reason = {0};
    int code = hosts_list(client, &hosts);
    const struct synk_value *root = synk_document_root(hosts);
    if (!code && synk_value_count(synk_value_get(root, "items")) && !hosts_offer(root, function)) {
        hosts_append_reason(root, function, &reason);
        fail(EXIT_DONE, "warning: no connected host offers '%s': %.*s", function, (int)reason.size,
             (const char *)reason.data);
    }
    buf_fini(&reason);
    synk_document_free(hosts);
    return code;
}

static int submit(const struct cli *cli, const struct synk_submission *submission, bool waits)
{
    struct synk_client *client = NULL;
    struct synk_error error;
    char *run = NULL;
    uint64_t head = 0;
    int code = cli_open(cli, &client);
    if (!code && waits && !cli->json)
        code = watch_head(client, &head);
    if (!code)
        code = warn_of_missing(client, submission->function);
    if (!code && synk_submit(client, submission, &run, &error) != SYNK_OK)
        code = fail_error(&error);
    if (!code && !cli->json)
        printf("%s: %zu %s\n", run, submission->count, submission->count == 1 ? "task" : "tasks");
    else if (!code && !waits)
        printf("{\"run\": \"%s\", \"count\": %zu}\n", run, submission->count);
    if (!code && waits) {
        fflush(stdout);
        code = await(cli, client, run, head);
    }
    free(run);
    synk_client_close(client);
    return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
    const char *payload = NULL;
    int64_t count = 1, retries = 0, delay_ms = 0, timeout_ms = -1;
    bool waits = false;
    struct buf encoded = {0};
    const struct option options[] = {
        {"payload", OPTION_TEXT, &payload},
        {"count", OPTION_NUMBER, &count},
        {"retries", OPTION_NUMBER, &retries},
        {"retry-delay", OPTION_NUMBER, &delay_ms},
        {"timeout", OPTION_NUMBER, &timeout_ms},
        {"wait", OPTION_FLAG, &waits},
        {NULL, OPTION_FLAG, NULL},
    };
    if (args_parse(cli, argc, argv, options, 2, 2) < 0)
        return EXIT_USAGE;
    if (!text_is(bytes_str(argv[0]), "submit"))
        return fail(EXIT_USAGE, "there is no 'pool %s': submit is known", argv[0]);
    if (count < 1 || retries > INT32_MAX)
        return fail(EXIT_USAGE, "--count takes a number from 1, --retries one below 2147483648");
    if (!strchr(argv[1], '.') && !text_is(bytes_str(argv[1]), "exec"))
        return fail(EXIT_USAGE,
                    "'%s' is not a function: functions are PLUGIN.FUNCTION, such as sim.noop, or "
                    "exec ('synk ls hosts --json' lists them)",
                    argv[1]);
    int code = args_payload(payload, &encoded);
    struct synk_submission submission = {.function = argv[1],
                                         .payload = buf_bytes(&encoded),
                                         .count = (size_t)count,
                                         .timeout_ms = timeout_ms,
                                         .max_retries = (unsigned)retries,
                                         .retry_delay_ms = delay_ms};
    if (!code)
        code = submit(cli, &submission, waits);
    buf_fini(&encoded);
    return code;
}

const struct verb verb_pool = {
    .name = "pool",
    .arguments = "submit FUNCTION [--count N] [--payload JSON] [--retries N] [--retry-delay MS]\n"
                 "                        [--timeout MS] [--wait]",
    .summary = "Submit tasks of a function, one or many",
    .help = "  FUNCTION          plugin.function, as worker hosts have it\n"
            "  --count N         so many tasks (1)\n"
            "  --payload JSON    their payload\n"
            "  --retries N       tries after the first (0)\n"
            "  --retry-delay MS  before each of them\n"
            "  --timeout MS      of each try; 0 = none\n"
            "  --wait            wait until all have ended\n",
    .run = run,
};
