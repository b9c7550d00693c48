/* Reads argv. Nothing here touches the system beyond asking for the number of processors. */
#include "supervisor/shell/config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/definition.h"

/* What a worker host takes: each slot is a forked runner for it to watch. */
#define CONFIG_SLOTS_MAX 1024

enum option_id {
    OPTION_DIR = 256,
    OPTION_STATE,
    OPTION_SLOTS,
    OPTION_PLUGIN_DIR,
    OPTION_PRIVATE,
    OPTION_READY_FD,
    OPTION_KEEP_RUNS,
    OPTION_KEEP_EVENTS,
    OPTION_KEEP_LOGS,
    OPTION_WATCH_INTERVAL,
    OPTION_IDLE_THRESHOLD,
    OPTION_AUTO_UNPAUSE,
    OPTION_AUTO_RELEASE,
    OPTION_NO_SCHEDULE,
    OPTION_STATS_INTERVAL,
    OPTION_LISTEN,
    OPTION_INSECURE,
    OPTION_KEYS,
    OPTION_ALLOW_EXEC,
    OPTION_SUSPECT_MS,
    OPTION_LOST_MS,
};

static const struct option options[] = {
    {"dir", required_argument, NULL, OPTION_DIR},
    {"state", required_argument, NULL, OPTION_STATE},
    {"slots", required_argument, NULL, OPTION_SLOTS},
    {"plugin-dir", required_argument, NULL, OPTION_PLUGIN_DIR},
    {"private", no_argument, NULL, OPTION_PRIVATE},
    {"ready-fd", required_argument, NULL, OPTION_READY_FD},
    {"keep-runs", required_argument, NULL, OPTION_KEEP_RUNS},
    {"keep-events", required_argument, NULL, OPTION_KEEP_EVENTS},
    {"keep-logs", required_argument, NULL, OPTION_KEEP_LOGS},
    {"watch-interval", required_argument, NULL, OPTION_WATCH_INTERVAL},
    {"idle-threshold", required_argument, NULL, OPTION_IDLE_THRESHOLD},
    {"auto-unpause", no_argument, NULL, OPTION_AUTO_UNPAUSE},
    {"auto-release", no_argument, NULL, OPTION_AUTO_RELEASE},
    {"no-schedule", no_argument, NULL, OPTION_NO_SCHEDULE},
    {"stats-interval", required_argument, NULL, OPTION_STATS_INTERVAL},
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"insecure", no_argument, NULL, OPTION_INSECURE},
    {"keys", no_argument, NULL, OPTION_KEYS},
    {"allow-exec", no_argument, NULL, OPTION_ALLOW_EXEC},
    {"suspect-ms", required_argument, NULL, OPTION_SUSPECT_MS},
    {"lost-ms", required_argument, NULL, OPTION_LOST_MS},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

void config_print_help(FILE *out)
{
    fputs("Usage: synkd [OPTION]...\n"
          "Supervises jobs: keeps their definitions and runs, starts what is due, hands tasks to\n"
          "worker hosts. `synk up` starts it; `synk down` ends it.\n"
          "\n"
          "  --dir DIR          keep everything in DIR (default: $SYNK_DIR, else the XDG "
          "directories)\n"
          "  --state URI        sqlite:PATH (default: sqlite:DIR/state.db), memory:, or Redis:\n"
          "                     redis://HOST:PORT/DB?cluster=NAME&user=U&password-file=PATH,\n"
          "                     unix:PATH?..., redis+sentinel://H1:P1,H2:P2/MASTER?...\n"
          "  --slots N          tasks that this machine runs at a time (default: its processors);\n"
          "                     0 starts no local worker host\n"
          "  --listen ADDRESS   take clients and worker hosts of other machines, too:\n"
          "                     tcp://IP:PORT is for clients, and the next two ports for worker\n"
          "                     hosts and subscribers; tcp://*:PORT is all of this machine.\n"
          "                     Beyond 127.0.0.1 and [::1], keys are asked for (`synk keys`)\n"
          "  --keys             ask for keys on 127.0.0.1 and [::1], too\n"
          "  --insecure         ask for none: whoever can reach the ports may run commands as this\n"
          "                     user\n"
          "  --allow-exec       let keys of role submit submit commands of their own to the pool\n"
          "  --plugin-dir DIR   let the local worker host load plugins from DIR; may be repeated\n"
          "  --private          end when the starting process ends, or when nothing is left to do\n"
          "  --ready-fd N       write a line to descriptor N once requests are answered\n"
          "  --keep-runs KEEP   how long and how many finished runs are kept: an age (90s, 5m,\n"
          "                     2h, 30d, 4w), a count, or both; what is not given is no bound,\n"
          "                     and 0 keeps all (default: 30d,100000)\n"
          "  --keep-events KEEP the same for events (default: 30d,10000000)\n"
          "  --keep-logs KEEP   how long and how many bytes of attempts' logs are kept on this\n"
          "                     machine (default: 30d,268435456)\n"
          "  --no-schedule      start nothing on schedule, but by `synk tick`\n"
          "  --watch-interval T how often the watcher looks for units that nothing uses and\n"
          "                     attempts that get nowhere (default: 1m); 0: only for `synk scan`\n"
          "  --idle-threshold T how long is long: since a unit's last run, or its pause\n"
          "                     (default: 10m)\n"
          "  --auto-unpause     the watcher resumes units that have been paused for so long\n"
          "  --auto-release     the watcher releases units that nothing has used for so long\n"
          "  --stats-interval T emit the milestone engine:stats so often (default: 0, never)\n"
          "  --help, --version\n"
          "\n"
          "Exit status: 0 after a shutdown; 1 could not start; 2 wrong usage; 4 a supervisor "
          "already\n"
          "runs there; 70 stopped by a failed write or read of the state, to recover\n"
          "at the next start.\n",
          out);
}

static enum synk_status parse_number(const char *option, const char *text, uint64_t max,
                                     uint64_t *ret_number, struct synk_error *error)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || number > max)
        return status_fail(error, SYNK_INVALID, "--%s takes a number from 0 to %llu, not '%s'",
                           option, (unsigned long long)max, text);
    *ret_number = number;
    return SYNK_OK;
}

static enum synk_status keep_option(const char *name, const char *text, struct keep *keep,
                                    struct synk_error *error)
{
    enum synk_status status = keep_parse(text, keep, error);
    if (status)
        status_prefix(error, "--%s", name);
    return status;
}

static enum synk_status ready_option(const char *text, int *ret_fd, struct synk_error *error)
{
    uint64_t number = 0;
    enum synk_status status = parse_number("ready-fd", text, INT32_MAX, &number, error);
    if (status)
        return status;
    /* Kept from the worker host: a starter that reads to the end would else wait for that one too.
     */
    if (fcntl((int)number, F_SETFD, FD_CLOEXEC) != 0)
        return status_fail(error, SYNK_INVALID, "--ready-fd %d: %s", (int)number, strerror(errno));
    *ret_fd = (int)number;
    return SYNK_OK;
}

static enum synk_status time_option(const char *name, const char *text, int64_t *ret_ms,
                                    struct synk_error *error)
{
    if (definition_duration(bytes_str(text), ret_ms, NULL) == SYNK_OK)
        return SYNK_OK;
    return status_fail(error, SYNK_INVALID,
                       "--%s takes a time such as 500ms, 90s, 5m or 2h, not '%s'", name, text);
}

static enum synk_status watch_option(struct config *config, int option, struct synk_error *error)
{
    switch (option) {
    case OPTION_WATCH_INTERVAL:
        return time_option("watch-interval", optarg, &config->watch_interval_ms, error);
    case OPTION_IDLE_THRESHOLD:
        return time_option("idle-threshold", optarg, &config->idle_threshold_ms, error);
    case OPTION_STATS_INTERVAL:
        return time_option("stats-interval", optarg, &config->stats_interval_ms, error);
    case OPTION_AUTO_UNPAUSE:
        config->auto_unpause = true;
        return SYNK_OK;
    case OPTION_AUTO_RELEASE:
        config->auto_release = true;
        return SYNK_OK;
    case OPTION_NO_SCHEDULE:
        config->no_schedule = true;
        return SYNK_OK;
    }
    return SYNK_OK;
}

static enum synk_status network_option(struct config *config, int option, struct synk_error *error)
{
    enum synk_status status = SYNK_OK;
    uint64_t number = 0;
    switch (option) {
    case OPTION_LISTEN:
        status = address_parse(bytes_str(optarg), true, &config->listen, error);
        if (status)
            status_prefix(error, "--listen");
        config->listens = true;
        return status;
    case OPTION_INSECURE:
        config->insecure = true;
        return SYNK_OK;
    case OPTION_KEYS:
        config->keys = true;
        return SYNK_OK;
    case OPTION_ALLOW_EXEC:
        config->allow_exec = true;
        return SYNK_OK;
    case OPTION_SUSPECT_MS:
        status = parse_number("suspect-ms", optarg, INT32_MAX, &number, error);
        config->suspect_ms = (int64_t)number;
        return status;
    case OPTION_LOST_MS:
        status = parse_number("lost-ms", optarg, INT32_MAX, &number, error);
        config->lost_ms = (int64_t)number;
        return status;
    }
    return watch_option(config, option, error);
}

static enum synk_status apply_option(struct config *config, int option, const char **ret_dir,
                                     struct synk_error *error)
{
    enum synk_status status = SYNK_OK;
    uint64_t number = 0;
    switch (option) {
    case OPTION_DIR:
        *ret_dir = optarg;
        break;
    case OPTION_STATE:
        config->state = optarg;
        break;
    case OPTION_SLOTS:
        status = parse_number("slots", optarg, CONFIG_SLOTS_MAX, &number, error);
        config->slots = (uint32_t)number;
        break;
    case OPTION_PLUGIN_DIR:
        config->plugin_dirs = mem_realloc(config->plugin_dirs, config->plugin_dir_count + 1,
                                          sizeof(*config->plugin_dirs));
        config->plugin_dirs[config->plugin_dir_count++] = optarg;
        break;
    case OPTION_PRIVATE:
        config->is_private = true;
        break;
    case OPTION_READY_FD:
        status = ready_option(optarg, &config->ready_fd, error);
        break;
    case OPTION_KEEP_RUNS:
        status = keep_option("keep-runs", optarg, &config->keep_runs, error);
        break;
    case OPTION_KEEP_EVENTS:
        status = keep_option("keep-events", optarg, &config->keep_events, error);
        break;
    case OPTION_KEEP_LOGS:
        status = keep_option("keep-logs", optarg, &config->keep_logs, error);
        config->has_keep_logs = true;
        break;
    default:
        status = network_option(config, option, error);
        break;
    }
    return status;
}

static uint32_t processor_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (uint32_t)count : 1;
}

static enum synk_status check_network(const struct config *config, struct synk_error *error)
{
    if (config->insecure && config->keys)
        return status_fail(error, SYNK_INVALID, "--insecure and --keys: which of the two?");
    if (!config->listens && (config->insecure || config->keys || config->allow_exec))
        return status_fail(error, SYNK_INVALID, "--%s means something only with --listen",
                           config->insecure ? "insecure"
                           : config->keys   ? "keys"
                                            : "allow-exec");
    if (config->allow_exec && !config_asks_keys(config))
        return status_fail(error, SYNK_INVALID,
                           "--allow-exec is about keys, and none are asked for on %s",
                           config->listen.host);
    return SYNK_OK;
}

bool config_asks_keys(const struct config *config)
{
    return config->listens && !config->insecure &&
           (config->keys || !address_is_loopback(&config->listen));
}

static enum synk_status finish(struct config *config, const char *dir, struct synk_error *error)
{
    enum synk_status status = check_network(config, error);
    if (!status)
        status = directory_resolve(dir, &config->directory, error);
    if (status || config->state)
        return status;
    char path[DIRECTORY_PATH_BYTES];
    directory_path(&config->directory, DIRECTORY_STATE, path);
    size_t size = strlen("sqlite:") + strlen(path) + 1;
    config->state_default = mem_alloc(size);
    snprintf(config->state_default, size, "sqlite:%s", path);
    config->state = config->state_default;
    return SYNK_OK;
}

enum synk_status config_parse(struct config *config, int argc, char **argv,
                              enum config_action *ret_action, struct synk_error *error)
{
    const char *dir = NULL;
    config->ready_fd = -1;
    config->slots = processor_count();
    *ret_action = CONFIG_RUN;
    opterr = 0;
    optind = 1;
    int option;
    /* ':' first tells a missing argument from an unknown option. */
    while ((option = getopt_long(argc, argv, ":hV", options, NULL)) != -1) {
        if (option == 'h' || option == 'V') {
            *ret_action = option == 'h' ? CONFIG_HELP : CONFIG_VERSION;
            return SYNK_OK;
        }
        if (option == ':')
            return status_fail(error, SYNK_INVALID, "%s needs a value", argv[optind - 1]);
        if (option == '?')
            return status_fail(error, SYNK_INVALID, "unknown option '%s'", argv[optind - 1]);
        enum synk_status status = apply_option(config, option, &dir, error);
        if (status)
            return status;
    }
    if (optind < argc)
        return status_fail(error, SYNK_INVALID, "unexpected argument '%s'", argv[optind]);
    return finish(config, dir, error);
}

void config_fini(struct config *config)
{
    if (!config)
        return;
    free(config->plugin_dirs);
    free(config->state_default);
    config->plugin_dirs = NULL;
    config->state_default = NULL;
}
