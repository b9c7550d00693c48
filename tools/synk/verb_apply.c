/* synk apply: one transaction over all files. */
#include <stdio.h>

#include "proto/directory.h"
#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

/* What a check can tell without a supervisor: that the files hold. */
static void print_valid(const struct cli *cli, const struct definition_set *set)
{
    struct synk_builder *reply = synk_builder_new();
    struct synk_document *document;
    synk_builder_map(reply, 1);
    synk_builder_string(reply, "units");
    synk_builder_array(reply, set->count);
    for (size_t i = 0; i < set->count; i++) {
        synk_builder_map(reply, 2);
        synk_builder_string(reply, "id");
        synk_builder_string(reply, set->units[i]->id);
        synk_builder_string(reply, "change");
        synk_builder_string(reply, "valid");
        if (!cli->json)
            printf("%-9s  %s\n", "valid", set->units[i]->id);
    }
    if (cli->json && synk_document_decode(synk_builder_bytes(reply), &document, NULL) == SYNK_OK) {
        print_json(synk_document_root(document));
        synk_document_free(document);
    }
    synk_builder_free(reply);
    fflush(stdout);
    fprintf(stderr, "%.*s", (int)set->warnings.size,
            set->warnings.size ? (const char *)set->warnings.data : "");
}

static bool is_supervised(const struct cli *cli)
{
    struct directory directory;
    return directory_resolve(cli->directory, &directory, NULL) == SYNK_OK &&
           directory_supervisor_pid(&directory, NULL);
}

static int apply(const struct cli *cli, char **files, int count, bool check, bool prune)
{
    struct synk_client *client = NULL;
    int code = cli_open(cli, &client);
    if (!code)
        code = apply_files(cli, client, files, count, check, prune);
    synk_client_close(client);
    return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
    bool check = false, prune = false;
    const struct option options[] = {
        {"check", OPTION_FLAG, &check},
        {"prune", OPTION_FLAG, &prune},
        {NULL, OPTION_FLAG, NULL},
    };
    struct definition_set set = {0};
    int count = args_parse(cli, argc, argv, options, 1, INT32_MAX);
    if (count < 0)
        return EXIT_USAGE;
    /* A wrong file is told before a missing supervisor; standard input can be read only once. */
    bool has_stdin = false, is_offline = check && !is_supervised(cli);
    for (int i = 0; i < count; i++)
        has_stdin = has_stdin || text_is(bytes_str(argv[i]), "-");
    int code = has_stdin && !is_offline ? EXIT_DONE : load_files(argv, count, &set);
    if (!code && is_offline)
        print_valid(cli, &set);
    else if (!code)
        code = apply(cli, argv, count, check, prune);
    definition_set_fini(&set);
    return code;
}

const struct verb verb_apply = {
    .name = "apply",
    .arguments = "[--check] [--prune] FILE…",
    .summary = "Register the units of definition files, all or none",
    .help = "  FILE     YAML or JSON; - is standard input\n"
            "  --check  only tell what would change; without a supervisor, whether the files\n"
            "           are valid\n"
            "  --prune  remove units that the files do not have\n",
    .run = run,
};
