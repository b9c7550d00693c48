/* synk run, synk wait: starting a run, with or without a supervisor, and waiting for its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/synk/local.h"
#include "tools/synk/output.h"
#include "tools/synk/run_view.h"
#include "tools/synk/start.h"
#include "tools/synk/verbs.h"
#include "tools/synk/watch.h"

static int start(struct synk_client *client, const char *unit, struct synk_bytes params,
                 int64_t delay_ms, const int32_t *priority, struct synk_document **ret_reply)
{
    struct buf body = {0};
    pack_map(&body, 1 + (params.size > 0) + (delay_ms > 0) + (priority != NULL));
    if (priority) {
        pack_key(&body, "priority");
        pack_int(&body, *priority);
    }
    if (delay_ms > 0) {
        pack_key(&body, "delayMs");
        pack_int(&body, delay_ms);
    }
    pack_key(&body, "unit");
    pack_cstr(&body, unit);
    if (params.size) {
        pack_key(&body, "params");
        pack_encoded(&body, params);
    }
    return cli_call(client, "run", &body, ret_reply);
}

static int run_there(const struct cli *cli, const char *unit, struct synk_bytes params,
                     int64_t delay_ms, const int32_t *priority, bool waits)
{
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    uint64_t head = 0;
    int code = cli_open(cli, &client);
    /* The events from before the start on: none of the run's own is missed. */
    if (!code && waits && !cli->json)
        code = watch_head(client, &head);
    if (!code)
        code = start(client, unit, params, delay_ms, priority, &reply);
    if (!code && !waits && cli->json)
        print_json(synk_document_root(reply));
    char *run = synk_value_string_dup(synk_value_get(synk_document_root(reply), "run"));
    if (!code && !run)
        code = fail(EXIT_REFUSED, "the supervisor did not say which run it started");
    else if (!code && !cli->json)
        printf("%s\n", run);
    if (!code && waits) {
        fflush(stdout);
        code = watch_show(cli, client, run, head);
    }
    free(run);
    synk_document_free(reply);
    synk_client_close(client);
    return code;
}

static bool ends_like_file(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot &&
           (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0 || strcmp(dot, ".json") == 0);
}

static bool read_priority(const char *text, int32_t *ret_priority)
{
    char *end;
    long number = strtol(text, &end, 10);
    *ret_priority = (int32_t)number;
    return *text && !*end && number >= -1000000 && number <= 1000000;
}

static int run(struct cli *cli, int argc, char **argv)
{
    const char *payload = NULL, *delay = NULL, *priority_text = NULL;
    int32_t priority = 0;
    int64_t delay_ms = 0;
    bool waits = false, is_local = false;
    struct text_list plugin_dirs = {0};
    struct local_options local = {.slots = -1, .plugin_dirs = &plugin_dirs};
    struct buf params = {0};
    const struct option options[] = {
        {"params", OPTION_TEXT, &payload},
        {"payload", OPTION_TEXT, &payload},
        {"delay", OPTION_TEXT, &delay},
        {"priority", OPTION_TEXT, &priority_text},
        {"wait", OPTION_FLAG, &waits},
        {"local", OPTION_FLAG, &is_local},
        {"events", OPTION_TEXT, &local.events},
        {"slots", OPTION_NUMBER, &local.slots},
        {"plugin-dir", OPTION_LIST, &plugin_dirs},
        {NULL, OPTION_FLAG, NULL},
    };
    int count = args_parse(cli, argc, argv, options, 1, 2), code = EXIT_USAGE;
    if (count < 0)
        goto out;
    if (!is_local && (count > 1 || local.events || local.slots >= 0 || plugin_dirs.count)) {
        code = fail(EXIT_USAGE, "a second argument, --events, --slots and --plugin-dir belong to "
                                "--local");
        goto out;
    }
    if (priority_text && !read_priority(priority_text, &priority)) {
        code = fail(EXIT_USAGE, "--priority takes a number from -1000000 to 1000000, not '%.60s'",
                    priority_text);
        goto out;
    }
    if (is_local && delay) {
        code = fail(EXIT_USAGE, "--delay needs a supervisor: a local run starts at once");
        goto out;
    }
    if (local.slots == 0) {
        code = fail(EXIT_USAGE, "--slots 0 leaves a local run nothing to run its tasks with");
        goto out;
    }
    if ((code = args_duration("delay", delay, &delay_ms)) ||
        (code = args_payload(payload, &params)) || (code = plugin_dirs_check(&plugin_dirs)))
        goto out;
    if (is_local) {
        local.file = argv[0];
        local.unit = count > 1 ? argv[1] : NULL;
        local.params = buf_bytes(&params);
        code = local_run(cli, &local);
    } else if (ends_like_file(argv[0]) && access(argv[0], R_OK) == 0) {
        code = fail(EXIT_USAGE,
                    "'%s' is a file: `synk run --local %s` runs it, `synk apply %s` registers its "
                    "units",
                    argv[0], argv[0], argv[0]);
    } else {
        code = run_there(cli, argv[0], buf_bytes(&params), delay_ms,
                         priority_text ? &priority : NULL, waits);
    }
out:
    buf_fini(&params);
    free(plugin_dirs.items);
    return code;
}

static int run_wait(struct cli *cli, int argc, char **argv)
{
    struct synk_client *client = NULL;
    struct synk_document *page = NULL;
    uint64_t head = 0;
    if (args_parse(cli, argc, argv, NULL, 1, 1) < 0)
        return EXIT_USAGE;
    int code = cli_open(cli, &client);
    /* From before the tasks are asked for: none ends unseen in between. */
    if (!code && !cli->json)
        code = watch_head(client, &head);
    /* Events know a run by its number: UNIT#last is resolved first. */
    if (!code)
        code = run_view_fetch(client, argv[0], false, 0, 1, &page);
    char *run = synk_value_string_dup(synk_value_get(synk_document_root(page), "run"));
    if (!code)
        code = run ? watch_show(cli, client, run, head)
                   : fail(EXIT_REFUSED, "'%s' is a unit, not a run: runs are UNIT#N", argv[0]);
    free(run);
    synk_document_free(page);
    synk_client_close(client);
    return code;
}

const struct verb verb_run = {
    .name = "run",
    .arguments = "ID [--params JSON] [--delay TIME] [--wait] | --local FILE [ID] [--params JSON]",
    .summary = "Run a unit",
    .help =
        "  ID              a process, a worker, or PROCESS/WORKER\n"
        "  --params JSON   the run's params: what its tasks find under `params`, beside the\n"
        "                  `payload` of their definition; @FILE reads them from a file, - from\n"
        "                  standard input. --payload JSON is the same\n"
        "  --delay TIME    it starts so much later (10m); until then `synk explain` tells when, "
        "and\n"
        "                  `synk cancel` takes it back\n"
        "  --priority N    instead of that of its workers; higher first\n"
        "  --wait          wait for its end; exit status 1 when it failed. Ctrl-C leaves it\n"
        "                  going. When it waits for something that only you can bring, such as\n"
        "                  a plugin, that is said\n"
        "  --local         run a file without a supervisor: a private one lives for this run\n"
        "                  only. Ctrl-C cancels. With it:\n"
        "    --slots N         tasks at a time; default: the processors\n"
        "    --plugin-dir DIR  load worker plugins from DIR\n"
        "    --events FILE     write every event to FILE, a JSON object a line\n",
    .run = run,
};
const struct verb verb_wait = {
    .name = "wait",
    .arguments = "RUN",
    .summary = "Wait until a run has ended",
    .help = "  RUN  UNIT#N, or UNIT#last\n\nExit status 1 when it failed or was cancelled.\n",
    .run = run_wait,
};
