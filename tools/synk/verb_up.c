/* synk up: starts a supervisor and applies files. Files are checked first, so that a mistake in one
 * leaves nothing running. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tools/synk/hosts.h"
#include "tools/synk/start.h"
#include "tools/synk/verbs.h"

/* For the host to start and to ask its plugins: past it, nothing is said about them. */
enum { HOST_PATIENCE_MS = 5000 };

/* `asks_hosts`: first waits for the host, so that what it refused or lacks can be told. */
static int apply(const struct cli *cli, char **files, int count, bool asks_hosts)
{
    struct synk_client *client = NULL;
    struct synk_document *hosts = NULL;
    bool is_up;
    if (count == 0 && !asks_hosts)
        return EXIT_DONE;
    int code = cli_open(cli, &client);
    if (!code && asks_hosts)
        code = hosts_await(client, HOST_PATIENCE_MS, &hosts, &is_up);
    if (!code && asks_hosts)
        hosts_print_refused(synk_document_root(hosts));
    synk_document_free(hosts);
    if (!code && count)
        code = apply_files(cli, client, files, count, false, false);
    synk_client_close(client);
    return code;
}

static int apply_to_running(const struct cli *cli, const struct start_options *options,
                            char **files, int count)
{
    int64_t pid = 0;
    bool has_settings = options->state || options->listen || options->slots >= 0 || options->plugin_dirs->count ||
                        options->keep_runs || options->keep_events || options->keep_logs ||
                        options->watch_interval || options->idle_threshold ||
                        options->stats_interval || options->auto_unpause ||
                        options->auto_release || options->no_schedule;
    directory_supervisor_pid(options->directory, &pid);
    fail(EXIT_DONE, "a supervisor (pid %lld) already runs on %s%s", (long long)pid,
         options->directory->run,
         has_settings ? ": it keeps its own settings, not those given here" : "");
    return apply(cli, files, count, false);
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

/* Whether the one that has the directory is there to stay: a process that was just killed has it
 * too, until it is gone. One that gives no answer for a second is busy, or was stopped. */
static bool answers(const struct cli *cli, const struct directory *directory)
{
    enum { TRIES = 5, TRY_MS = 200 };
    struct synk_client_options wanted = {
        .directory = cli->directory, .timeout_ms = TRY_MS, .fail_fast = true};
    enum synk_status status = SYNK_TIMEOUT;
    for (int i = 0; i < TRIES && status == SYNK_TIMEOUT; i++) {
        struct synk_client *client = NULL;
        status = synk_client_open(&wanted, &client, NULL);
        if (!status)
            status = synk_stats(client, NULL, NULL);
        synk_client_close(client);
        if (!directory_supervisor_pid(directory, NULL))
            return false;
    }
    return status != SYNK_UNAVAILABLE;
}

static int start(const struct cli *cli, const struct start_options *options, char **files,
                 int count, bool asks_hosts)
{
    pid_t pid = 0;
    bool is_running = false;
    int code;
    if (!options->is_detached)
        signals_catch();
    do {
        is_running = directory_supervisor_pid(options->directory, NULL);
        code = is_running ? EXIT_DONE : supervisor_start(options, &pid, &is_running);
    } while (is_running && !answers(cli, options->directory) && !signals_count());
    if (is_running)
        return apply_to_running(cli, options, files, count);
    if (code)
        return code;
    if (!cli->json)
        printf("supervisor %d runs on %s\n", (int)pid, options->directory->run);
    code = apply(cli, files, count, asks_hosts);
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
        {"listen", OPTION_TEXT, &options.listen},
        {"insecure", OPTION_FLAG, &options.insecure},
        {"keys", OPTION_FLAG, &options.keys},
        {"allow-exec", OPTION_FLAG, &options.allow_exec},
        {"plugin-dir", OPTION_LIST, &plugin_dirs},
        {"keep-runs", OPTION_TEXT, &options.keep_runs},
        {"keep-events", OPTION_TEXT, &options.keep_events},
        {"keep-logs", OPTION_TEXT, &options.keep_logs},
        {"watch-interval", OPTION_TEXT, &options.watch_interval},
        {"idle-threshold", OPTION_TEXT, &options.idle_threshold},
        {"stats-interval", OPTION_TEXT, &options.stats_interval},
        {"auto-unpause", OPTION_FLAG, &options.auto_unpause},
        {"auto-release", OPTION_FLAG, &options.auto_release},
        {"no-schedule", OPTION_FLAG, &options.no_schedule},
        {"detach", OPTION_FLAG, &options.is_detached},
        {NULL, OPTION_FLAG, NULL},
    };
    struct synk_error error;
    struct definition_set set = {0};
    int count = args_parse(cli, argc, argv, table, 0, INT32_MAX), code = EXIT_USAGE;
    if (count < 0)
        goto out;
    if (cli->connect) {
        code = fail(EXIT_USAGE, "up starts a supervisor on this machine: --connect is for clients, "
                                "and --listen for an address of its own");
        goto out;
    }
    for (int i = 0; i < count; i++)
        if (text_is(bytes_str(argv[i]), "-")) {
            code = fail(EXIT_USAGE, "up takes files; `synk apply -` takes standard input");
            goto out;
        }
    if ((code = load_files(argv, count, &set)) || (code = plugin_dirs_check(&plugin_dirs)))
        goto out;
    if (directory_resolve(cli->directory, &directory, &error) != SYNK_OK) {
        code = fail_error(&error);
    } else {
        /* The one that is started here is meant, whatever SYNK_CONNECT says. */
        cli->directory = directory.run;
        code = start(cli, &options, argv, count,
                     options.slots != 0 && (plugin_dirs.count || hosts_matter(&set)));
    }
out:
    definition_set_fini(&set);
    free(plugin_dirs.items);
    return code;
}

const struct verb verb_up = {
    .name = "up",
    .arguments = "[--state URI] [--slots N] [--plugin-dir DIR] [--keep-runs KEEP]\n"
                 "               [--listen ADDRESS] [--keys] [--allow-exec] [--insecure]\n"
                 "               [--no-schedule] [--detach] [FILE…]",
    .summary = "Start a supervisor and apply definition files",
    .help = "  --state URI       sqlite:PATH (default: state.db in the directory) or memory:\n"
            "  --slots N         tasks that this machine runs at a time; default: its processors;\n"
            "                    0 starts no local worker host\n"
            "  --listen tcp://IP:PORT\n"
            "                    take clients and worker hosts of other machines, too: PORT is for\n"
            "                    clients, the next two for hosts and subscribers\n"
            "                    (beyond this machine, keys are asked for: see `synk keys`)\n"
            "  --keys            ask for keys on 127.0.0.1, too\n"
            "  --allow-exec      let keys of role submit submit commands of their own\n"
            "  --insecure        ask for no keys: whoever reaches the ports may run commands as\n"
            "                    this user\n"
            "  --plugin-dir DIR  load worker plugins from DIR; may be repeated\n"
            "  --keep-runs KEEP, --keep-events KEEP, --keep-logs KEEP\n"
            "                    how long or how many of them are kept: 30d, 10000 (of logs,\n"
            "                    bytes), or 30d,10000; 0 keeps all\n"
            "  --no-schedule     start nothing on schedule, but by `synk tick`\n"
            "  --watch-interval TIME, --idle-threshold TIME, --auto-unpause, --auto-release\n"
            "                    the watcher: what they are is told with `synk scan`\n"
            "  --stats-interval TIME\n"
            "                    emit the milestone engine:stats so often\n"
            "  --detach          return when it is ready; it logs to DIR/log\n\n"
            "Without --detach it stays in the foreground until Ctrl-C. Where a supervisor runs\n"
            "already, the files are applied to it. Nothing starts by being applied, unless it\n"
            "says runOnStart or has a schedule.\n",
    .run = run,
};
