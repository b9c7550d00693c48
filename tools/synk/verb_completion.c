/* synk completion: the script that makes a shell complete command lines of synk. */
#include <stdio.h>

#include "tools/synk/completion.h"
#include "tools/synk/verbs.h"

static void print_table(void)
{
    struct buf text = {0};
    fputs("_synk_verbs='help", stdout);
    for (size_t i = 0; verbs[i]; i++)
        printf(" %s", verbs[i]->name);
    fputs("'\n_synk_table() {\n  case $1 in\n", stdout);
    for (size_t i = 0; verbs[i]; i++) {
        buf_clear(&text);
        buf_printf(&text, "    %s)\n      options='", verbs[i]->name);
        completion_options(verbs[i], false, &text);
        buf_printf(&text, "'\n      valued='");
        completion_options(verbs[i], true, &text);
        buf_printf(&text, "'\n      arguments='");
        struct buf arguments = {0};
        completion_arguments(verbs[i], &arguments);
        buf_append(&text, arguments.data, arguments.size);
        buf_fini(&arguments);
        buf_printf(&text, "' ;;\n");
        fwrite(text.data, 1, text.size, stdout);
    }
    fputs("    help) arguments=${_synk_verbs// /|} ;;\n  esac\n}\n", stdout);
    buf_fini(&text);
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (args_parse(cli, argc, argv, NULL, 1, 1) < 0)
        return EXIT_USAGE;
    bool is_zsh = strcmp(argv[0], "zsh") == 0;
    if (!is_zsh && strcmp(argv[0], "bash") != 0)
        return fail(EXIT_USAGE, "there is no completion for '%s': bash and zsh have one", argv[0]);
    fputs(is_zsh ? "#compdef synk\n" : "# Completion of synk for bash.\n", stdout);
    print_table();
    fputs(is_zsh ? completion_zsh : completion_bash, stdout);
    return EXIT_DONE;
}

const struct verb verb_completion = {
    .name = "completion",
    .arguments = "bash|zsh",
    .summary = "Print the script that makes a shell complete synk",
    .help = "An installation has both where the shells look for them. For this shell only:\n"
            "eval \"$(synk completion bash)\".\n",
    .run = run,
};
