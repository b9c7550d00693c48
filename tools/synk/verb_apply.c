/* synk apply: one transaction over all files. */
#include "tools/synk/verbs.h"

static int run(struct cli *cli, int argc, char **argv)
{
    bool check = false, prune = false;
    const struct option options[] = {
        {"check", OPTION_FLAG, &check},
        {"prune", OPTION_FLAG, &prune},
        {NULL, OPTION_FLAG, NULL},
    };
    struct synk_client *client = NULL;
    int count = args_parse(cli, argc, argv, options, 1, INT32_MAX);
    if (count < 0)
        return EXIT_USAGE;
    /* A wrong file is told before a missing supervisor; standard input can be read only once. */
    bool has_stdin = false;
    for (int i = 0; i < count; i++)
        has_stdin = has_stdin || text_is(bytes_str(argv[i]), "-");
    int code = has_stdin ? EXIT_DONE : check_files(argv, count);
    if (!code)
        code = cli_open(cli, &client);
    if (!code)
        code = apply_files(cli, client, argv, count, check, prune);
    synk_client_close(client);
    return code;
}

const struct verb verb_apply = {
    .name = "apply",
    .arguments = "[--check] [--prune] FILE…",
    .summary = "Register the units of definition files, all or none",
    .help = "  FILE     YAML or JSON; - is standard input\n"
            "  --check  only tell what would change\n"
            "  --prune  remove units that the files do not have\n",
    .run = run,
};
