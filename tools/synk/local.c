/*
 * A private supervisor: its directory is a temporary one, its state in memory. Invariant: from the
 * moment that the directory exists, every way out of local_run ends the supervisor and removes the
 * directory; should this program be killed, the supervisor and its host end by themselves.
 */
#include "tools/synk/local.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/synk/hosts.h"
#include "tools/synk/output.h"
#include "tools/synk/run_view.h"
#include "tools/synk/start.h"
#include "tools/synk/watch.h"

/* For the host to start and to ask its plugins, each of which has ten seconds. */
enum { HOST_PATIENCE_MS = 30000 };

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

/* The unit to run: that of the options, or the file's only one; *ret_unit is the caller's to
 * free. */
static int choose_unit(const struct local_options *options, const struct definition_set *set,
                       char **ret_unit)
{
    if (options->unit) {
        *ret_unit = mem_strdup(options->unit);
        return EXIT_DONE;
    }
    if (set->count == 1) {
        *ret_unit = mem_strdup(set->units[0]->id);
        return EXIT_DONE;
    }
    struct buf ids = {0};
    for (size_t i = 0; i < set->count && i < 20; i++)
        buf_printf(&ids, "%s%s", i ? ", " : "", set->units[i]->id);
    int code =
        fail(EXIT_USAGE, "%s has %zu units: say which to run%s%.*s", options->file, set->count,
             set->count ? ": " : "", (int)ids.size, ids.data ? (const char *)ids.data : "");
    buf_fini(&ids);
    return code;
}

/* Short, for socket paths are: $TMPDIR only where that leaves room. */
static int make_directory(char path[256])
{
    const char *base = getenv("TMPDIR");
    if (!base || base[0] != '/' || strlen(base) > 64)
        base = "/tmp";
    snprintf(path, 256, "%s/synk-run.XXXXXX", base);
    if (mkdtemp(path))
        return EXIT_DONE;
    return fail(EXIT_REFUSED, "cannot make a directory below %s: %s", base, strerror(errno));
}

/* Whether `unit`, as one writes it, has this worker run. */
static bool runs_worker(const struct definition *definition, const struct worker_def *worker,
                        const char *unit)
{
    size_t size = strlen(definition->id);
    if (strcmp(unit, definition->id) == 0)
        return definition->kind == UNIT_WORKER || worker->unit->enabled;
    if (definition->kind == UNIT_WORKER)
        return false;
    return strcmp(unit, worker->id) == 0 ||
           (strncmp(unit, definition->id, size) == 0 && unit[size] == '/' &&
            strcmp(unit + size + 1, worker->id) == 0);
}

/* Refuses a worker that the one host there is could never run. */
static int check_worker(const struct definition *definition, const struct worker_def *worker,
                        const struct synk_value *hosts)
{
    const struct worker_options *options = worker->worker;
    const char *in = definition->kind == UNIT_PROCESS ? definition->id : "";
    const char *slash = in[0] ? "/" : "";
    if (options->requires_count)
        return fail(EXIT_USAGE,
                    "worker '%s%s%s' requires a host with the tag '%s', which a local run has not",
                    in, slash, worker->id, options->requires[0]);
    if (strcmp(options->function, "exec") == 0 || hosts_offer(hosts, options->function))
        return EXIT_DONE;
    struct buf reason = {0};
    hosts_append_reason(hosts, options->function, &reason);
    int code = fail(EXIT_USAGE, "worker '%s%s%s' runs '%s', which is not there: %.*s", in, slash,
                    worker->id, options->function, (int)reason.size, (const char *)reason.data);
    buf_fini(&reason);
    return code;
}

static int check_workers(const struct definition_set *set, const char *unit,
                         const struct synk_value *hosts)
{
    int code = EXIT_DONE;
    for (size_t i = 0; i < set->count && !code; i++)
        for (uint32_t w = 0; w < set->units[i]->worker_count && !code; w++)
            if (runs_worker(set->units[i], &set->units[i]->workers[w], unit))
                code = check_worker(set->units[i], &set->units[i]->workers[w], hosts);
    return code;
}

/* Before anything runs: that the host can run all of it. */
static int check_hosts(struct synk_client *client, const struct local_options *options,
                       const struct definition_set *set, const char *unit)
{
    struct synk_document *hosts = NULL;
    bool is_up = true;
    int code = EXIT_DONE;
    if (options->plugin_dirs->count || hosts_matter(set))
        code = hosts_await(client, HOST_PATIENCE_MS, &hosts, &is_up);
    if (!code && !is_up)
        code = fail(EXIT_REFUSED, "the worker host did not start within %d s",
                    HOST_PATIENCE_MS / 1000);
    if (!code) {
        hosts_print_refused(synk_document_root(hosts));
        code = check_workers(set, unit, synk_document_root(hosts));
    }
    synk_document_free(hosts);
    return code;
}

static int apply(const struct cli *cli, struct synk_client *client, const char *file)
{
    struct synk_error error;
    enum synk_status status = synk_apply(client, &file, 1, false, false, NULL, &error);
    (void)cli;
    return status ? fail_error(&error) : EXIT_DONE;
}

static int show(const struct cli *cli, struct synk_client *client, const char *run,
                const struct synk_value *ended, int outcome)
{
    int code = EXIT_DONE;
    if (cli->json)
        code = run_view_print(cli, client, run, false);
    else {
        run_view_print_summary(ended);
        if (outcome == EXIT_WORK_FAILED)
            code = run_view_print_failures(client, run);
        else if (synk_value_int(synk_value_get(synk_value_get(ended, "counts"), "succeeded"), 0) <=
                 10)
            code = run_view_print(cli, client, run, false);
    }
    return code ? code : outcome;
}

static int run_unit(const struct cli *cli, struct synk_client *client,
                    const struct local_options *options, const char *unit, FILE *events)
{
    struct synk_error error;
    struct synk_document *ended = NULL;
    char *run = NULL;
    if (synk_run(client, unit, options->params, &run, &error) != SYNK_OK)
        return fail_error(&error);
    struct watch_options watch = {
        .run = run, .is_quiet = cli->json, .cancels = true, .events = events};
    int code = watch_run(client, &watch, &ended);
    if (ended)
        code = show(cli, client, run, synk_document_root(ended), code);
    synk_document_free(ended);
    free(run);
    return code;
}

static void ignore_reply(void *context, enum synk_status status, const struct synk_value *body,
                         const struct synk_error *error)
{
    (void)context, (void)status, (void)body, (void)error;
}

/* Ends the supervisor; what does not end by request ends by signal. */
static void end_supervisor(struct synk_client *client, const struct directory *directory, pid_t pid)
{
    struct buf body = {0};
    char path[DIRECTORY_PATH_BYTES];
    int64_t host = 0;
    directory_path(directory, DIRECTORY_HOST_LOCK, path);
    directory_lock_is_held(path, &host);
    pack_map(&body, 1);
    pack_key(&body, "graceMs");
    pack_int(&body, 0);
    enum { TRIES = 250, STEP_MS = 20 };
    bool is_asked = client && synk_request(client, "shutdown", buf_bytes(&body), ignore_reply, NULL,
                                           NULL) == SYNK_OK;
    if (!is_asked)
        kill(pid, SIGTERM);
    buf_fini(&body);
    for (int i = 0; waitpid(pid, NULL, WNOHANG) == 0; i++) {
        if (i == TRIES)
            kill(pid, SIGTERM);
        if (i == 2 * TRIES)
            kill(pid, SIGKILL);
        if (client)
            synk_client_wait(client, STEP_MS);
        /* A client that has nothing more to tell would let us spin. */
        usleep(client ? 1000 : STEP_MS * 1000);
    }
    if (host > 0)
        process_await(host);
}

static int run_in(const struct cli *cli, const struct local_options *options,
                  const struct definition_set *set, const char *unit, char *path, FILE *events)
{
    struct cli inside = {.verb = cli->verb, .directory = path, .json = cli->json};
    struct directory directory;
    struct start_options start = {.directory = &directory,
                                  .state = "memory:",
                                  .slots = options->slots,
                                  .plugin_dirs = options->plugin_dirs,
                                  .is_private = true};
    struct synk_client *client = NULL;
    struct synk_error error;
    bool is_running = false;
    pid_t pid = 0;
    if (directory_resolve(path, &directory, &error) != SYNK_OK)
        return fail_error(&error);
    int code = supervisor_start(&start, &pid, &is_running);
    if (code)
        return code;
    code = cli_open(&inside, &client);
    if (!code)
        code = check_hosts(client, options, set, unit);
    if (!code)
        code = apply(&inside, client, options->file);
    if (!code && !signals_count())
        code = run_unit(&inside, client, options, unit, events);
    else if (!code)
        code = EXIT_INTERRUPTED;
    end_supervisor(client, &directory, pid);
    synk_client_close(client);
    return code;
}

int local_run(const struct cli *cli, const struct local_options *options)
{
    char path[256], *unit = NULL;
    FILE *events = NULL;
    struct definition_set set = {0};
    int code = load_file(options->file, &set);
    if (!code)
        code = choose_unit(options, &set, &unit);
    if (!code && options->events && !(events = fopen(options->events, "we")))
        code = fail(EXIT_USAGE, "cannot write %s: %s", options->events, strerror(errno));
    if (code)
        goto out;
    signals_catch();
    /* A closed pipe must not keep us from cleaning up. */
    signal(SIGPIPE, SIG_IGN);
    code = make_directory(path);
    if (!code) {
        code = run_in(cli, options, &set, unit, path, events);
        nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    if (events && fclose(events) != 0 && code == EXIT_DONE)
        code = fail(EXIT_REFUSED, "cannot write %s: %s", options->events, strerror(errno));
out:
    definition_set_fini(&set);
    free(unit);
    return code;
}
