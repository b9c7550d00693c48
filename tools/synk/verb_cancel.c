/* synk cancel, synk retry: what is asked of one run. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/synk/output.h"
#include "tools/synk/verbs.h"
#include "tools/synk/watch.h"

/* `is_quiet`: the reply is not printed, for something else will be. */
static int ask(const struct cli *cli, struct synk_client *client, const char *type,
               struct buf *body, bool is_quiet, struct synk_document **ret_reply)
{
    int code = cli_call(client, type, body, ret_reply);
    if (!code && cli->json && !is_quiet)
        print_json(synk_document_root(*ret_reply));
    return code;
}

/* Until the run that the reply names has ended, with the events above `from`. */
static int await(const struct cli *cli, struct synk_client *client, const struct synk_value *reply,
                 uint64_t from)
{
    char *run = synk_value_string_dup(synk_value_get(reply, "run"));
    int code = run ? watch_show(cli, client, run, from)
                   : fail(EXIT_REFUSED, "the supervisor did not say which run it was");
    free(run);
    return code;
}

static int run_cancel(struct cli *cli, int argc, char **argv)
{
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    struct buf body = {0};
    int count = args_parse(cli, argc, argv, NULL, 1, 2);
    if (count < 0)
        return EXIT_USAGE;
    pack_map(&body, (size_t)count);
    pack_key(&body, "run");
    pack_cstr(&body, argv[0]);
    if (count > 1) {
        pack_key(&body, "worker");
        pack_cstr(&body, argv[1]);
    }
    int code = cli_open(cli, &client);
    if (!code)
        code = ask(cli, client, "cancel", &body, false, &reply);
    if (!code && !cli->json) {
        const struct synk_value *root = synk_document_root(reply);
        print_text(text_of(root, "run"), 0);
        struct synk_bytes status = text_of(root, count > 1 ? "state" : "status");
        if (count > 1)
            printf(" %s", argv[1]);
        if (text_is(status, "running") || text_is(status, "queued") ||
            text_is(status, "dispatched"))
            printf(": is being cancelled\n");
        else
            printf(": %.*s\n", (int)status.size, (const char *)status.data);
    }
    buf_fini(&body);
    synk_document_free(reply);
    synk_client_close(client);
    return code;
}

static int run_retry(struct cli *cli, int argc, char **argv)
{
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    struct buf body = {0};
    uint64_t head = 0;
    bool waits = false;
    const struct option options[] = {{"wait", OPTION_FLAG, &waits}, {NULL, OPTION_FLAG, NULL}};
    int count = args_parse(cli, argc, argv, options, 1, 100000);
    if (count < 0)
        return EXIT_USAGE;
    pack_map(&body, 1 + (count > 1));
    pack_key(&body, "run");
    pack_cstr(&body, argv[0]);
    if (count > 1) {
        pack_key(&body, "workers");
        pack_array(&body, (size_t)count - 1);
        for (int i = 1; i < count; i++)
            pack_cstr(&body, argv[i]);
    }
    int code = cli_open(cli, &client);
    /* The events from before the retry on: a task may end before its answer is here. */
    if (!code && waits && !cli->json)
        code = watch_head(client, &head);
    if (!code)
        code = ask(cli, client, "retry", &body, waits && cli->json, &reply);
    if (!code && !cli->json) {
        const struct synk_value *root = synk_document_root(reply);
        long long tasks = synk_value_int(synk_value_get(root, "tasks"), 0);
        print_text(text_of(root, "run"), 0);
        printf(": %lld %s again\n", tasks, tasks == 1 ? "task runs" : "tasks run");
        fflush(stdout);
    }
    if (!code && waits)
        code = await(cli, client, synk_document_root(reply), head);
    buf_fini(&body);
    synk_document_free(reply);
    synk_client_close(client);
    return code;
}

const struct verb verb_cancel = {
    .name = "cancel",
    .arguments = "RUN [WORKER]",
    .summary = "Cancel a run: running tasks are ended, the rest does not start",
    .help = "  RUN     UNIT#N, or UNIT#last; a submission to the pool by its name, too\n"
            "  WORKER  only this task; the run goes on\n",
    .run = run_cancel,
};
const struct verb verb_retry = {
    .name = "retry",
    .arguments = "RUN [WORKER…] [--wait]",
    .summary = "Run what failed in a run again, and what it held back; successes stay",
    .help = "  RUN     UNIT#N, or UNIT#last\n  WORKER  only these\n"
            "  --wait  wait for its end; exit status 1 when it failed\n",
    .run = run_retry,
};
