/*
 * synk-worker-host: one program in three roles. Without --runner and --list it is the host; the
 * host starts itself again for each slot (--runner) and to ask a plugin what it offers (--list).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/address.h"
#include "proto/bytes.h"
#include "proto/definition.h"
#include "proto/limits.h"
#include "worker-host/daemon.h"
#include "worker-host/plugins.h"
#include "worker-host/runner.h"
#include "worker-host/user.h"

enum { SLOTS_MAX = 1024 };

static const char *connect_to; /* --connect */
static const char *key_file, *server_key, *user; /* --key, --server-key, --user */

static const char usage[] =
    "usage: synk-worker-host [--connect ADDRESS[,ADDRESS…]] [--name NAME] [option…]\n"
    "Runs tasks for a Synchronik supervisor, of this machine or another.\n"
    "\n"
    "  --connect ADDRESS   the supervisor, as its --listen has it: tcp://IP:PORT; with standbys\n"
    "                      all of them, with commas between (default: $SYNK_CONNECT). Or its\n"
    "                      socket for hosts, such as ipc:///run/synk/host.sock\n"
    "  --key FILE          this host's keys, as `synk keygen FILE` makes them (default: $SYNK_KEY),\n"
    "  --server-key KEY    and the supervisor's public one (default: $SYNK_SERVER_KEY)\n"
    "  --user USER         become this user, and run tasks as it; of root it is asked for where\n"
    "                      the supervisor is reached by tcp\n"
    "  --name NAME         what this host is called (default: the machine's name)\n"
    "  --dir DIR           its own directory: lock, spool, logs; made if it is not there\n"
    "                      (default: hosts/NAME in the directory of synkd's state)\n"
    "  --slots N           tasks at a time (default: the number of processors)\n"
    "  --plugin-dir DIR    load the plugins there; repeatable\n"
    "  --tag TAG           what `requires:` may ask for; repeatable\n"
    "  --grace TIME        on SIGTERM, let running tasks go on for so long (90s, 5m; default: as\n"
    "                      long as they take); what still runs then is ended, and runs elsewhere\n"
    "  --local             leave when drained, or idle and 60 s without a supervisor\n"
    "  --detached          a session of its own, to outlive whoever started it\n"
    "  --parent-bound      die with whoever started it\n"
    "  --log-bytes N       keep so much of task logs (default 256 MiB)\n"
    "  --log-days N        and for so long (default 30)\n"
    "  --orphan-ms N, --kill-ms N   the 60 s above; the time between two steps of a kill (2000)\n"
    "  --help, --version\n"
    "\n"
    "SIGTERM: finish what runs, hand back what has not begun, leave. A second one: leave now.\n"
    "Exit status: 0 left as told, 64 usage, 69 directory or address unusable, 75 DIR is taken.\n";

static const char **add_text(const char **items, size_t *count, const char *item)
{
    items = mem_realloc(items, *count + 1, sizeof(*items));
    items[(*count)++] = item;
    return items;
}

/* A whole number from 1 to `max`, or exit. */
static int64_t number(const char *option, const char *text, int64_t max)
{
    char *end;
    long long value = strtoll(text, &end, 10);
    if (!*text || *end || value < 1 || value > max) {
        fprintf(stderr, "synk-worker-host: %s takes a number from 1 to %lld, not '%s'\n", option,
                (long long)max, text);
        exit(DAEMON_EXIT_USAGE);
    }
    return value;
}

/* A time above 0, or exit. */
static int64_t duration(const char *option, const char *text)
{
    int64_t ms = 0;
    if (definition_duration(bytes_str(text), &ms, NULL) || ms < 1) {
        fprintf(stderr, "synk-worker-host: %s takes a time such as 30s or 5m, not '%s'\n", option,
                text);
        exit(DAEMON_EXIT_USAGE);
    }
    return ms;
}

static bool set_flag(struct daemon_options *options, const char *option)
{
    if (strcmp(option, "--local") == 0)
        options->is_local = true;
    else if (strcmp(option, "--detached") == 0)
        options->is_detached = true;
    else if (strcmp(option, "--parent-bound") == 0)
        options->parent_bound = true;
    else
        return false;
    return true;
}

static bool set_value(struct daemon_options *options, const char *option, const char *value)
{
    if (strcmp(option, "--connect") == 0)
        connect_to = value;
    else if (strcmp(option, "--key") == 0)
        key_file = value;
    else if (strcmp(option, "--server-key") == 0)
        server_key = value;
    else if (strcmp(option, "--user") == 0)
        user = value;
    else if (strcmp(option, "--grace") == 0)
        options->stop_ms = duration(option, value);
    else if (strcmp(option, "--name") == 0)
        options->name = value;
    else if (strcmp(option, "--dir") == 0)
        options->dir = value;
    else if (strcmp(option, "--slots") == 0)
        options->slots = (uint32_t)number(option, value, SLOTS_MAX);
    else if (strcmp(option, "--plugin-dir") == 0)
        options->plugin_dirs = add_text(options->plugin_dirs, &options->plugin_dir_count, value);
    else if (strcmp(option, "--tag") == 0 && *value && strlen(value) <= LIMIT_ID_BYTES)
        options->tags = add_text(options->tags, &options->tag_count, value);
    else if (strcmp(option, "--log-bytes") == 0)
        options->log_bytes = (uint64_t)number(option, value, INT64_MAX);
    else if (strcmp(option, "--log-days") == 0)
        options->log_age_s = number(option, value, 36500) * 86400;
    else if (strcmp(option, "--orphan-ms") == 0)
        options->orphan_ms = number(option, value, INT32_MAX);
    else if (strcmp(option, "--kill-ms") == 0)
        options->grace_ms = number(option, value, INT32_MAX);
    else
        return false;
    return true;
}

static void read_options(struct daemon_options *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            exit(0);
        }
        if (strcmp(argv[i], "--version") == 0) {
            puts("synk-worker-host " SYNK_VERSION);
            exit(0);
        }
        if (set_flag(options, argv[i]))
            continue;
        if (i + 1 < argc && set_value(options, argv[i], argv[i + 1])) {
            i++;
            continue;
        }
        fprintf(stderr, "synk-worker-host: '%s' is not an option, or lacks its value\n\n%s",
                argv[i], usage);
        exit(DAEMON_EXIT_USAGE);
    }
}

static void fail_usage(const char *text)
{
    fprintf(stderr, "synk-worker-host: %s\nTry 'synk-worker-host --help'.\n", text);
    exit(DAEMON_EXIT_USAGE);
}

/* --connect, or SYNK_CONNECT, to the addresses of sockets for hosts. */
static void find_addresses(struct daemon_options *options)
{
    static char texts[ADDRESSES][ADDRESS_BYTES];
    static const char *addresses[ADDRESSES];
    struct address_list list = {0};
    struct synk_error error;
    options->addresses = addresses;
    if (!connect_to)
        connect_to = getenv("SYNK_CONNECT");
    if (!connect_to || !*connect_to)
        fail_usage("which supervisor? --connect tcp://IP:PORT names it, as its --listen does");
    if (strncmp(connect_to, "ipc://", 6) == 0) {
        addresses[options->address_count++] = connect_to;
        return;
    }
    if (address_list_parse(connect_to, &list, &error))
        fail_usage(error.text);
    for (size_t i = 0; i < list.count; i++) {
        address_socket(&list.items[i], DIRECTORY_HOSTS, texts[i]);
        addresses[options->address_count++] = texts[i];
    }
}

/* The keys first: they may well be readable by root alone. */
static void find_keys_and_user(struct daemon_options *options)
{
    bool is_tcp = strncmp(connect_to, "tcp://", 6) == 0;
    struct synk_error error;
    if (is_tcp && key_ring_load(key_file, server_key, &options->keys, &error))
        fail_usage(error.text);
    if (user && user_become(user, &error))
        fail_usage(error.text);
    if (is_tcp && !user && geteuid() == 0)
        fail_usage("as root, it would run as root what others submit: --user USER says as whom it "
                   "is to run it (--user root, if that is meant)");
}

/* Whoever starts hosts on many machines need not think of a name for each, and two hosts of one
 * machine have a directory each. */
static void find_name(struct daemon_options *options)
{
    static char machine[LIMIT_ID_BYTES + 1];
    if (!options->name && gethostname(machine, sizeof(machine) - 1) == 0)
        options->name = machine;
    if (!options->name || !definition_id_is_valid(bytes_str(options->name)) ||
        options->name[0] == '.')
        fail_usage("--name takes 1 to 128 bytes of printable UTF-8 without '/' and '#', and "
                   "without a dot in front");
    if (strcmp(options->name, "local") == 0 && !options->is_local)
        fail_usage("'local' is the host that the supervisor itself starts: choose another --name");
}

static void find_directory(struct daemon_options *options)
{
    static char path[DIRECTORY_PATH_BYTES];
    struct directory directory;
    struct synk_error error;
    if (options->dir && options->dir[0] == '/')
        return;
    if (options->dir && options->dir[0]) { /* runners use it too, and work elsewhere */
        char here[DIRECTORY_PATH_BYTES];
        if (!getcwd(here, sizeof(here)))
            fail_usage("the directory that this was started in is gone: give an absolute --dir");
        int size = snprintf(path, sizeof(path), "%s/%s", here, options->dir);
        if (size >= (int)sizeof(path))
            fail_usage("--dir is too long");
        options->dir = path;
        return;
    }
    if (directory_resolve(NULL, &directory, &error))
        fail_usage(error.text);
    directory_host(&directory, options->name, path);
    options->dir = path;
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "--runner") == 0)
        return runner_main(argc - 2, argv + 2);
    if (argc == 3 && strcmp(argv[1], "--list") == 0)
        return plugins_list_main(argv[2]);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct daemon_options options = {
        .slots = processors > 0 && processors <= SLOTS_MAX ? (uint32_t)processors : 1,
        .orphan_ms = 60000,
        .grace_ms = 2000,
        .log_bytes = 256 << 20,
        .log_age_s = 30 * 86400,
    };
    read_options(&options, argc, argv);
    find_addresses(&options);
    find_name(&options);
    find_keys_and_user(&options);
    find_directory(&options);
    int status = daemon_run(&options);
    free(options.plugin_dirs);
    free(options.tags);
    return status;
}
