/* synk milestone: emits one. */
#include <stdio.h>

#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

static int run(struct cli *cli, int argc, char **argv)
{
    struct synk_milestone_options milestone = {0};
    const char *payload = NULL;
    struct synk_client *client = NULL;
    struct synk_error error;
    struct buf encoded = {0};
    uint64_t seq = 0;
    const struct option options[] = {
        {"payload", OPTION_TEXT, &payload},
        {"unit", OPTION_TEXT, &milestone.unit},
        {"run", OPTION_TEXT, &milestone.run},
        {"worker", OPTION_TEXT, &milestone.worker},
        {NULL, OPTION_FLAG, NULL},
    };
    if (args_parse(cli, argc, argv, options, 1, 1) < 0)
        return EXIT_USAGE;
    int code = args_payload(payload, &encoded);
    milestone.payload = buf_bytes(&encoded);
    if (!code)
        code = cli_open(cli, &client);
    if (!code && synk_milestone(client, argv[0], &milestone, &seq, &error) != SYNK_OK)
        code = fail_error(&error);
    if (!code)
        printf(cli->json ? "{\"seq\": %llu}\n" : "event %llu\n", (unsigned long long)seq);
    synk_client_close(client);
    buf_fini(&encoded);
    return code;
}

const struct verb verb_milestone = {
    .name = "milestone",
    .arguments = "NAME [--payload JSON] [--unit ID] [--run RUN [--worker ID]]",
    .summary = "Tell that something has happened",
    .help =
        "  NAME            what: 1 to 256 bytes\n"
        "  --payload JSON  what goes with it\n"
        "  --unit ID       of a process, a worker, or PROCESS/WORKER\n"
        "  --run RUN       of a run (UNIT#N, or UNIT#last); --worker ID: of one of its tasks\n\n"
        "Units with this runOnMilestone run, with the payload as their params. `synk events\n"
        "--type milestone` shows milestones, those of the engine's own among them.\n",
    .run = run,
};
