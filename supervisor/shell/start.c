/*
 * Opening everything in its order, and closing it. The order matters: the lock comes before
 * anything that another supervisor would notice; the store before the sockets, so that who connects
 * is answered from what is known; --ready-fd last of all.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/limits.h"
#include "supervisor/shell/accept.h"
#include "supervisor/shell/log.h"
#include "supervisor/shell/shell.h"
#include "supervisor/store/lease.h"

/* A connection is one descriptor, and the rest take some thirty. What every peer of both ROUTERs
 * and a subscription for each would need; a hard limit beyond that ("unlimited" in some containers)
 * is of no use. */
#define START_DESCRIPTORS (3 * LIMIT_PEERS + 64)
/* Fewer than this, and a machine's worth of clients may be refused. */
#define START_FEW_DESCRIPTORS 4096

static void raise_descriptors(struct shell *shell)
{
    if (getrlimit(RLIMIT_NOFILE, &shell->descriptors) != 0)
        return;
    struct rlimit raised = shell->descriptors;
    raised.rlim_cur = raised.rlim_max < START_DESCRIPTORS ? raised.rlim_max : START_DESCRIPTORS;
    if (raised.rlim_cur <= shell->descriptors.rlim_cur) {
        raised = shell->descriptors;
    } else if (setrlimit(RLIMIT_NOFILE, &raised) != 0) {
        log_line(LOG_WARN, "cannot raise the limit of open files",
                 log_text("error", strerror(errno)));
        raised = shell->descriptors;
    }
    if (raised.rlim_cur < START_FEW_DESCRIPTORS)
        log_line(LOG_WARN, "few files may be open, and each connection takes one: raise the limit",
                 log_int("limit", (int64_t)raised.rlim_cur),
                 log_int("wanted", START_FEW_DESCRIPTORS));
    accept_set_limit(raised.rlim_cur);
}

static enum synk_status open_directories(struct shell *shell, struct synk_error *error)
{
    const struct directory *directory = &shell->config->directory;
    for (int i = 0; i < 3; i++) {
        enum synk_status status =
            directory_address(directory, (enum directory_socket)i, shell->addresses[i], error);
        if (status)
            return status;
    }
    for (int i = 0; shell->config->listens && i < 3; i++)
        address_socket(&shell->config->listen, (enum directory_socket)i,
                       shell->remote_addresses[i]);
    enum synk_status status = directory_create(directory, error);
    return status ? status : directory_lock(directory, &shell->lock_fd, error);
}

static void wake(void *context)
{
    struct shell *shell = context;
    uv_async_send(&shell->store_wake);
}

static void load_record(void *context, const struct record *record)
{
    struct shell *shell = context;
    struct synk_error error = {0};
    if (engine_load(shell->engine, record, &error))
        log_line(LOG_WARN, "a stored record is left out", log_int("kind", record->kind),
                 log_text("error", error.text));
}

static void read_boot(char *ret_boot, int size)
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!file || !fgets(ret_boot, size, file))
        ret_boot[0] = '\0'; /* then a clock that is set while nothing runs is taken for time */
    ret_boot[strcspn(ret_boot, "\n")] = '\0';
    if (file)
        fclose(file);
}

/* A heartbeat is to be missed several times before its host is suspect. */
static void set_silence(struct engine_config *engine, const struct config *config)
{
    if (config->lost_ms)
        engine->lost_ms = config->lost_ms;
    engine->suspect_ms = config->suspect_ms ? config->suspect_ms : engine->lost_ms / 3;
    if (engine->heartbeat_ms > engine->suspect_ms / 5)
        engine->heartbeat_ms = engine->suspect_ms / 5 + 1;
}

static void new_engine(struct shell *shell)
{
    const struct config *config = shell->config;
    struct engine_config engine;
    engine_config_defaults(&engine);
    engine.local_slots = config->slots;
    engine.keep_runs_ms = config->keep_runs.age_ms;
    engine.keep_runs = config->keep_runs.count;
    engine.keep_events_ms = config->keep_events.age_ms;
    engine.keep_events = config->keep_events.count;
    engine.exits_when_idle = config->is_private;
    engine.watch_interval_ms = config->watch_interval_ms;
    engine.idle_threshold_ms = config->idle_threshold_ms;
    engine.stats_interval_ms = config->stats_interval_ms;
    engine.auto_unpause = config->auto_unpause;
    engine.auto_release = config->auto_release;
    engine.allow_exec = config->allow_exec;
    engine.schedule_by_hand = config->no_schedule;
    engine.version = SYNK_VERSION;
    engine.durability = store_durability(shell->store);
    engine.events_address = shell->addresses[DIRECTORY_EVENTS];
    engine.remote_events_address = shell->remote_addresses[DIRECTORY_EVENTS];
    set_silence(&engine, config);
    engine.boot = shell->boot;
    read_boot(shell->boot, sizeof(shell->boot));
    shell->expression = expression_new();
    shell->evaluator = expression_evaluator(shell->expression);
    shell->checker = expression_checker(shell->expression);
    calendar_init(&shell->calendar);
    shell->engine = engine_new(&engine, &shell->evaluator, &shell->checker, &shell->calendar);
}

/* What others that share the store are told: the machine and the directory, whose lock keeps a
 * second supervisor out. The number tells apart machines and containers that are called the same:
 * it is of this boot and of the directory itself. */
static void name_owner(const struct shell *shell, char ret_owner[LEASE_OWNER_BYTES])
{
    struct stat info = {.st_ino = 0};
    char machine[65] = "", boot[64] = "", place[160];
    read_boot(boot, sizeof(boot));
    stat(shell->config->directory.run, &info);
    gethostname(machine, sizeof(machine) - 1);
    snprintf(place, sizeof(place), "%s %llu %llu", boot, (unsigned long long)info.st_dev,
             (unsigned long long)info.st_ino);
    snprintf(ret_owner, LEASE_OWNER_BYTES, "%s:%.120s#%08x", machine, shell->config->directory.run,
             (unsigned)bytes_hash(bytes_str(place)));
}

static enum synk_status open_store(struct shell *shell, struct synk_error *error)
{
    char owner[LEASE_OWNER_BYTES];
    name_owner(shell, owner);
    struct store_options options = {
        .uri = shell->config->state,
        .wake = wake,
        .wake_context = shell,
        .owner = owner,
    };
    enum synk_status status = store_open(&options, &shell->store, error);
    if (status) {
        status_prefix(error, "cannot open the state %s", shell->config->state);
        return status;
    }
    new_engine(shell);
    uint64_t quarantined = 0;
    status = store_load(shell->store, load_record, shell, &shell->epoch, &shell->last_event,
                        &quarantined, error);
    if (status) {
        status_prefix(error, "cannot load the state %s", shell->config->state);
        return status;
    }
    if (quarantined)
        log_line(LOG_WARN, "stored records do not decode and were put in quarantine",
                 log_int("records", (int64_t)quarantined));
    const char *durability = store_durability(shell->store);
    bool is_durable = store_outlives_machine(shell->store);
    log_line(is_durable ? LOG_INFO : LOG_WARN,
             is_durable ? "state is open" : "state is open and will not survive the machine",
             log_text("state", shell->config->state), log_text("durability", durability),
             log_int("epoch", shell->epoch), log_int("event", (int64_t)shell->last_event));
    return SYNK_OK;
}

static const char *remote_address(const struct shell *shell, enum directory_socket socket)
{
    return shell->config->listens ? shell->remote_addresses[socket] : NULL;
}

static enum synk_status open_bus(struct shell *shell, struct synk_error *error)
{
    struct bus_options options = {
        .remote_addresses[SOCKET_HOSTS] = remote_address(shell, DIRECTORY_HOSTS),
        .remote_addresses[SOCKET_CLIENTS] = remote_address(shell, DIRECTORY_CLIENTS),
        .remote_events_address = remote_address(shell, DIRECTORY_EVENTS),
        .guard = config_asks_keys(shell->config) ? &shell->guard : NULL,
        .loop = &shell->uv,
        .addresses[SOCKET_HOSTS] = shell->addresses[DIRECTORY_HOSTS],
        .addresses[SOCKET_CLIENTS] = shell->addresses[DIRECTORY_CLIENTS],
        .events_address = shell->addresses[DIRECTORY_EVENTS],
        .context = shell,
        .on_message = shell_on_message,
        .on_gone = shell_on_peer_gone,
    };
    enum synk_status status = SYNK_OK;
    if (options.guard)
        status = guard_init(options.guard, &shell->config->directory, error);
    return status ? status : bus_open(&shell->bus, &options, error);
}

/* Of an age and a count, what is not given is the host's own default; both 0 keeps everything. */
static void set_log_bounds(struct spawner_options *options, const struct config *config)
{
    static const int64_t day_ms = 86400000, most_days = 36500;
    struct keep keep = config->keep_logs;
    if (!config->has_keep_logs)
        return;
    bool is_all = keep.age_ms == 0 && keep.count == 0;
    int64_t days = keep.age_ms / day_ms + (keep.age_ms % day_ms != 0);
    options->log_days = is_all || days > most_days ? most_days : days;
    options->log_bytes = is_all ? INT64_MAX : (int64_t)keep.count;
}

static void open_spawner(struct shell *shell)
{
    const struct config *config = shell->config;
    struct spawner_options options = {
        .loop = &shell->uv,
        .directory = &config->directory,
        .host_address = shell->addresses[DIRECTORY_HOSTS],
        .slots = config->slots,
        .plugin_dirs = config->plugin_dirs,
        .plugin_dir_count = config->plugin_dir_count,
        .is_private = config->is_private,
        .descriptors = shell->descriptors,
        .context = shell,
        .on_event = shell_on_local_host,
    };
    set_log_bounds(&options, config);
    spawner_init(&shell->spawner, &options);
}

static enum synk_status write_pid(struct shell *shell, struct synk_error *error)
{
    char path[DIRECTORY_PATH_BYTES];
    directory_path(&shell->config->directory, DIRECTORY_PID, path);
    FILE *file = fopen(path, "we");
    if (!file)
        return status_fail(error, SYNK_IO, "cannot write %s: %s", path, strerror(errno));
    bool is_written = fprintf(file, "%d\n", (int)getpid()) > 0;
    if (fclose(file) != 0 || !is_written)
        return status_fail(error, SYNK_IO, "cannot write %s: %s", path, strerror(errno));
    return SYNK_OK;
}

static void say_listening(const struct shell *shell)
{
    const struct config *config = shell->config;
    char key[KEY_TEXT_BYTES] = "none";
    bool is_open = config->insecure && !address_is_loopback(&config->listen);
    if (config_asks_keys(config))
        key_print(shell->guard.pair.public_key, key);
    if (config->listens)
        log_line(is_open ? LOG_WARN : LOG_INFO,
                 is_open ? "listening without keys: whoever reaches the address may run commands"
                         : "listening",
                 log_text("clients", shell->remote_addresses[DIRECTORY_CLIENTS]),
                 log_text("hosts", shell->remote_addresses[DIRECTORY_HOSTS]),
                 log_text("events", shell->remote_addresses[DIRECTORY_EVENTS]),
                 log_text("server_key", key));
}

static void say_ready(const struct shell *shell)
{
    say_listening(shell);
    log_line(LOG_INFO, "ready", log_text("dir", shell->config->directory.run),
             log_int("pid", getpid()), log_text("version", SYNK_VERSION));
    int fd = shell->config->ready_fd;
    if (fd < 0)
        return;
    if (write(fd, "ready\n", 6) != 6)
        log_line(LOG_WARN, "nobody reads --ready-fd", log_text("error", strerror(errno)));
    close(fd);
}

/* Ends with the parent; true where that one has ended already. */
static bool bind_to_parent(const struct shell *shell)
{
    pid_t parent = getppid();
    if (!shell->config->is_private)
        return false;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    return getppid() != parent;
}

static enum synk_status open_all(struct shell *shell, struct synk_error *error)
{
    enum synk_status status = open_directories(shell, error);
    if (status)
        return status;
    raise_descriptors(shell);
    signal(SIGPIPE, SIG_IGN);
    int code = uv_loop_init(&shell->uv);
    if (code)
        return status_fail(error, SYNK_IO, "cannot start the loop: %s", uv_strerror(code));
    shell->has_uv = true;
    shell_start_handles(shell);
    if ((status = open_store(shell, error)) || (status = open_bus(shell, error)))
        return status;
    open_spawner(shell);
    shell_update_gauges(shell); /* statistics have them from the first moment on */
    return SYNK_OK;
}

enum synk_status shell_open(struct shell *shell, const struct config *config,
                            struct synk_error *error)
{
    *shell = (struct shell){.config = config, .lock_fd = -1};
    for (int i = 0; i < 2; i++)
        effects_init(&shell->ticks[i].effects);
    shell->open = &shell->ticks[0];
    shell->flight = &shell->ticks[1];
    results_init(&shell->results, RESULTS_BYTES);
    if (bind_to_parent(shell))
        return status_fail(error, SYNK_CANCELLED, "the starting process has ended");

    /* Sockets and files are for this user alone; what tasks create is theirs to decide. */
    mode_t mask = umask(077);
    enum synk_status status = open_all(shell, error);
    umask(mask);
    if (status)
        return status;
    struct input input = {
        .kind = INPUT_START,
        .epoch = shell->epoch,
        .last_event = shell->last_event,
        .pid = getpid(),
    };
    shell_step(shell, &input);
    status = write_pid(shell, error);
    if (!status)
        say_ready(shell);
    return status;
}

void shell_run(struct shell *shell)
{
    uv_run(&shell->uv, UV_RUN_DEFAULT);
    log_line(LOG_INFO, "ended", log_int("pid", getpid()));
}

static void remove_files(const struct shell *shell)
{
    char path[DIRECTORY_PATH_BYTES];
    directory_path(&shell->config->directory, DIRECTORY_PID, path);
    unlink(path);
    for (int i = 0; i < 3; i++)
        unlink(shell->addresses[i] + strlen("ipc://"));
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void shell_close(struct shell *shell)
{
    if (!shell)
        return;
    /* The store first: its last callbacks may still send. */
    store_close(shell->store);
    bus_close(&shell->bus);
    guard_fini(&shell->guard);
    spawner_close(&shell->spawner);
    if (shell->has_uv) {
        uv_walk(&shell->uv, close_handle, NULL);
        uv_run(&shell->uv, UV_RUN_DEFAULT);
        uv_loop_close(&shell->uv);
    }
    engine_free(shell->engine);
    calendar_fini(&shell->calendar);
    expression_free(shell->expression);
    results_fini(&shell->results);
    for (int i = 0; i < 2; i++)
        effects_fini(&shell->ticks[i].effects);
    if (shell->lock_fd >= 0) {
        remove_files(shell);
        close(shell->lock_fd);
    }
}
