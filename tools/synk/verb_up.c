/* synk up: starts a supervisor and applies files. Files are checked first, so that a mistake in one
 * leaves nothing running. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tools/synk/start.h"
#include "tools/synk/verbs.h"

static int apply(const struct cli *cli, char **files, int count)
{
    struct synk_client *client = NULL;
    if (count == 0)
        return EXIT_DONE;
    int code = cli_open(cli, &client);
    if (!code)
        code = apply_files(cli, client, files, count, false, false);
    synk_client_close(client);
    return code;
}

static int apply_to_running(const struct cli *cli, const struct directory *directory, char **files,
                            int count)
{
    int64_t pid = 0;
    directory_supervisor_pid(directory, &pid);
    fprintf(stderr, "synk: a supervisor (pid %lld) already runs on %s\n", (long long)pid,
            directory->run);
    return apply(cli, files, count);
}

/* Stays in its place: passes signals on and ends as it ends. */
static int stay(pid_t pid)
{
    int status = 0, passed = 0;
    for (;;) {
        if (waitpid(pid, &status, 0) == pid)
            break;
        if (errno != EINTR)
            return fail(EXIT_REFUSED, "lost sight of the supervisor: %s", strerror(errno));
        for (; passed < signals_count(); passed++)
            kill(pid, SIGTERM);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return EXIT_DONE;
    if (WIFEXITED(status))
        return fail(EXIT_WORK_FAILED, "the supervisor ended with status %d", WEXITSTATUS(status));
    return fail(EXIT_WORK_FAILED, "the supervisor was ended by a signal: %s",
                strsignal(WTERMSIG(status)));
}

static int start(const struct cli *cli, const struct start_options *options, char **files,
                 int count)
{
    pid_t pid = 0;
    bool is_running = false;
    if (!options->is_detached)
        signals_catch();
    int code = supervisor_start(options, &pid, &is_running);
    if (is_running)
        return apply_to_running(cli, options->directory, files, count);
    if (code)
        return code;
    if (!cli->json)
        printf("supervisor %d runs on %s\n", (int)pid, options->directory->run);
    code = apply(cli, files, count);
    fflush(stdout);
    if (options->is_detached && !code)
        return EXIT_DONE;
    if (code) {
        /* What was checked here and is refused there: nothing is left running either. */
        kill(pid, SIGTERM);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return code;
    }
    return stay(pid);
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct text_list plugin_dirs = {0};
    struct directory directory;
    struct start_options options = {
        .directory = &directory, .slots = -1, .plugin_dirs = &plugin_dirs};
    const struct option table[] = {
        {"state", OPTION_TEXT, &options.state},
        {"slots", OPTION_NUMBER, &options.slots},
        {"plugin-dir", OPTION_LIST, &plugin_dirs},
        {"keep-runs", OPTION_TEXT, &options.keep_runs},
        {"keep-events", OPTION_TEXT, &options.keep_events},
        {"keep-logs", OPTION_TEXT, &options.keep_logs},
        {"detach", OPTION_FLAG, &options.is_detached},
        {NULL, OPTION_FLAG, NULL},
    };
    struct synk_error error;
    int count = args_parse(cli, argc, argv, table, 0, INT32_MAX), code = EXIT_USAGE;
    if (count < 0)
        goto out;
    if ((code = check_files(argv, count)))
        goto out;
    if (directory_resolve(cli->directory, &directory, &error) != SYNK_OK)
        code = fail_error(&error);
    else if (directory_supervisor_pid(&directory, NULL))
        code = apply_to_running(cli, &directory, argv, count);
    else
        code = start(cli, &options, argv, count);
out:
    free(plugin_dirs.items);
    return code;
}

const struct verb verb_up = {
    .name = "up",
    .arguments = "[--state URI] [--slots N] [--plugin-dir DIR] [--keep-runs KEEP] [--detach]\n"
                 "               [FILE…]",
    .summary = "Start a supervisor and apply definition files",
    .help = "  --state URI       sqlite:PATH (default: state.db in the directory) or memory:\n"
            "  --slots N         tasks that this machine runs at a time; default: its processors\n"
            "  --plugin-dir DIR  load worker plugins from DIR; may be repeated\n"
            "  --keep-runs KEEP, --keep-events KEEP, --keep-logs KEEP\n"
            "                    how long or how many of them are kept: 30d, 10000 (of logs,\n"
            "                    bytes), or 30d,10000; 0 keeps all\n"
            "  --detach          return when it is ready; it logs to DIR/log\n\n"
            "Without --detach it stays in the foreground until Ctrl-C. Where a supervisor runs\n"
            "already, the files are applied to it. Nothing starts by being applied, unless it\n"
            "says runOnStart or has a schedule.\n",
    .run = run,
};
