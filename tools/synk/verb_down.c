/* synk down, shutdown: returns when the supervisor and its local worker host are gone, not before.
 */
#include <stdio.h>

#include "tools/synk/start.h"
#include "tools/synk/verbs.h"

struct shutdown {
    bool is_refused;
    struct synk_error error;
};

static void on_reply(void *context, enum synk_status status, const struct synk_value *body,
                     const struct synk_error *error)
{
    (void)body;
    struct shutdown *shutdown = context;
    /* CANCELLED is our own close; that the supervisor is gone before it answered is what we want.
     */
    if (status == SYNK_OK || status == SYNK_CANCELLED || status == SYNK_UNAVAILABLE)
        return;
    shutdown->is_refused = true;
    shutdown->error = *error;
}

/* Asks, and waits until the lock is free. */
static int ask(struct synk_client *client, const struct directory *directory, int64_t grace_ms,
               bool keep_hosts)
{
    struct shutdown shutdown = {0};
    struct synk_error error;
    struct buf body = {0};
    int64_t pid = 0;
    directory_supervisor_pid(directory, &pid);
    pack_map(&body, 1 + (grace_ms >= 0));
    pack_key(&body, "keepHosts");
    pack_bool(&body, keep_hosts);
    if (grace_ms >= 0) {
        pack_key(&body, "graceMs");
        pack_int(&body, grace_ms);
    }
    enum synk_status status =
        synk_request(client, "shutdown", buf_bytes(&body), on_reply, &shutdown, &error);
    buf_fini(&body);
    if (status)
        return fail_error(&error);
    int64_t now = pid;
    while (!shutdown.is_refused && !signals_count() && directory_supervisor_pid(directory, &now) &&
           now == pid)
        synk_client_wait(client, 20);
    if (shutdown.is_refused)
        return fail_error(&shutdown.error);
    if (signals_count())
        return fail(EXIT_INTERRUPTED, "the supervisor goes on shutting down");
    /* The lock goes a little before the process does. */
    return pid > 0 && !process_await(pid) ? EXIT_INTERRUPTED : EXIT_DONE;
}

/* Of a supervisor on another machine there is no lock to watch: it answers when nothing is left to
 * do, or its connection ends. */
static int ask_remote(struct synk_client *client, int64_t grace_ms, bool keep_hosts)
{
    struct synk_error error;
    enum synk_status status =
        synk_shutdown(client, grace_ms < 0 ? 30000 : grace_ms, keep_hosts, &error);
    return status ? fail_error(&error) : EXIT_DONE;
}

static int await_host(const struct directory *directory)
{
    char path[DIRECTORY_PATH_BYTES];
    int64_t pid = 0;
    directory_path(directory, DIRECTORY_HOST_LOCK, path);
    if (directory_lock_is_held(path, &pid) && pid > 0 && !process_await(pid))
        return fail(EXIT_INTERRUPTED, "the local worker host (pid %lld) is still there",
                    (long long)pid);
    return EXIT_DONE;
}

static int run(struct cli *cli, int argc, char **argv)
{
    bool keep_hosts = false;
    int64_t grace_s = -1;
    const struct option options[] = {
        {"grace", OPTION_NUMBER, &grace_s},
        {"keep-hosts", OPTION_FLAG, &keep_hosts},
        {NULL, OPTION_FLAG, NULL},
    };
    struct synk_client *client = NULL;
    struct directory directory;
    struct synk_error error;
    if (args_parse(cli, argc, argv, options, 0, 0) < 0)
        return EXIT_USAGE;
    if (grace_s > INT32_MAX)
        return fail(EXIT_USAGE, "--grace %lld: that is too long", (long long)grace_s);
    bool is_remote = cli_is_remote(cli);
    int64_t grace_ms = grace_s < 0 ? -1 : grace_s * 1000;
    if (!is_remote && directory_resolve(cli->directory, &directory, &error) != SYNK_OK)
        return fail_error(&error);
    if (!is_remote)
        signals_catch();
    int code = cli_open(cli, &client);
    if (!code)
        code = is_remote ? ask_remote(client, grace_ms, keep_hosts)
                         : ask(client, &directory, grace_ms, keep_hosts);
    synk_client_close(client);
    if (!code && !is_remote && !keep_hosts)
        code = await_host(&directory);
    return code;
}

#define DOWN_ARGUMENTS "[--grace SECONDS] [--keep-hosts]"
#define DOWN_HELP                                                                                  \
    "  --grace SECONDS  let running tasks go on for so long (30); what still runs then\n"          \
    "                   is ended, and runs again at the next start\n"                              \
    "  --keep-hosts     leave worker hosts and their running tasks alone: the next supervisor\n"   \
    "                   takes them over\n"

const struct verb verb_down = {
    .name = "down",
    .arguments = DOWN_ARGUMENTS,
    .summary = "End the supervisor; running tasks finish first",
    .help = DOWN_HELP,
    .run = run,
};
const struct verb verb_shutdown = {
    .name = "shutdown",
    .arguments = DOWN_ARGUMENTS,
    .summary = "The same as down",
    .help = DOWN_HELP,
    .run = run,
};
