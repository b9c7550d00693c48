/*
 * synk: the command line. Finds the verb and hands it the rest of the line; each verb is a file of
 * its own and one row of the table below. Exit statuses are those of cli.h.
 */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/nearest.h"
#include "tools/synk/cli.h"
#include "tools/synk/verbs.h"

const struct verb *const verbs[] = {
    &verb_up,     &verb_down,       &verb_shutdown, &verb_apply,    &verb_run,       &verb_wait,
    &verb_cancel, &verb_retry,      &verb_pause,    &verb_resume,   &verb_show,      &verb_ls,
    &verb_top,    &verb_logs,       &verb_events,   &verb_explain,  &verb_plan,      &verb_graph,
    &verb_pool,   &verb_stats,      &verb_backup,   &verb_import,   &verb_set,       &verb_reset,
    &verb_enable, &verb_disable,    &verb_release,  &verb_snapshot, &verb_milestone, &verb_tick,
    &verb_scan,   &verb_completion, &verb_prune,    &verb_drain,    &verb_state,
    &verb_keygen, &verb_keys,       NULL,
};

static void print_help(FILE *out)
{
    fputs("usage: synk [--dir DIR | --connect ADDRESS,…] [--json] VERB [ARGUMENT…]\n\n"
          "Runs multi-step jobs on your own machines and does not lose them.\n\n",
          out);
    for (size_t i = 0; verbs[i]; i++)
        fprintf(out, "  %-10s  %s\n", verbs[i]->name, verbs[i]->summary);
    fputs("\n'synk VERB --help' tells more. Without --dir and --connect, $SYNK_CONNECT, $SYNK_DIR "
          "or the\n"
          "user's directory is used.\n"
          "Exit status: 0 done and successful; 1 the work failed; 2 wrong usage or an invalid\n"
          "definition; 3 no supervisor; 4 refused (unknown ids included); 130 left by Ctrl-C.\n",
          out);
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; verbs[i]; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static int unknown_verb(const char *name)
{
    struct nearest nearest = nearest_of(bytes_str(name));
    for (size_t i = 0; verbs[i]; i++)
        nearest_try(&nearest, bytes_str(verbs[i]->name));
    if (nearest.found.size)
        return fail(EXIT_USAGE, "there is no verb '%s' (did you mean '%s'?): see 'synk --help'",
                    name, (const char *)nearest.found.data);
    return fail(EXIT_USAGE, "there is no verb '%s': see 'synk --help'", name);
}

/* One that stands before the verb. */
static int unknown_option(const char *word)
{
    static const char *const known[] = {"--dir",        "--connect", "--key",    "--server-key",
                                        "--json",       "--help",    "--version"};
    struct nearest nearest = nearest_of(bytes_of(word, strcspn(word, "=")));
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        nearest_try(&nearest, bytes_str(known[i]));
    if (nearest.found.size)
        return fail(EXIT_USAGE, "unknown option '%s' (did you mean %s?): see 'synk --help'", word,
                    (const char *)nearest.found.data);
    return fail(EXIT_USAGE, "unknown option '%s': see 'synk --help'", word);
}

/* One with a value, which may be the next word. */
static bool take_text(struct cli *cli, int argc, char **argv, int *index, bool *ret_lacks_value)
{
    const struct {
        const char *name;
        const char **target;
    } texts[] = {{"--dir", &cli->directory},
                 {"--connect", &cli->connect},
                 {"--key", &cli->key},
                 {"--server-key", &cli->server_key}};
    const char *word = argv[*index];
    size_t size = strcspn(word, "=");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strlen(texts[i].name) != size || memcmp(texts[i].name, word, size) != 0)
            continue;
        *ret_lacks_value = !word[size] && *index + 1 >= argc;
        if (!*ret_lacks_value)
            *texts[i].target = word[size] ? word + size + 1 : argv[++*index];
        return !*ret_lacks_value;
    }
    return false;
}

/* Options before the verb. Moves *index to the verb. -1 = go on, else an exit status. */
static int take_globals(struct cli *cli, int argc, char **argv, int *index)
{
    for (; *index < argc && argv[*index][0] == '-'; ++*index) {
        const char *word = argv[*index];
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            print_help(stdout);
            return EXIT_DONE;
        }
        if (strcmp(word, "--version") == 0) {
            printf("synk %s\n", SYNK_VERSION);
            return EXIT_DONE;
        }
        bool lacks_value = false;
        if (strcmp(word, "--json") == 0)
            cli->json = true;
        else if (!take_text(cli, argc, argv, index, &lacks_value))
            return lacks_value ? fail(EXIT_USAGE, "a value is missing after '%s': see 'synk --help'",
                                      word)
                               : unknown_option(word);
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct cli cli = {0};
    int index = 1;
    setlocale(LC_TIME, "");
    int code = take_globals(&cli, argc, argv, &index);
    if (code >= 0)
        return code;
    if (index == argc) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    bool is_help = strcmp(argv[index], "help") == 0;
    if (is_help && index + 1 == argc) {
        print_help(stdout);
        return EXIT_DONE;
    }
    index += is_help;
    cli.verb = find_verb(argv[index]);
    if (!cli.verb)
        return unknown_verb(argv[index]);
    char help[] = "--help", *help_only[] = {help, NULL};
    code = is_help ? cli.verb->run(&cli, 1, help_only)
                   : cli.verb->run(&cli, argc - index - 1, argv + index + 1);
    /* What could not be written was not said: a full disk is an error, a closed pipe a signal. */
    if (fflush(stdout) != 0 && code == EXIT_DONE)
        return fail(EXIT_REFUSED, "cannot write to standard output");
    return code;
}
