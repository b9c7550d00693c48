/*
 * The loop. Each turn: descriptors tell of messages, reports and deaths, which become inputs of the
 * pure host; before the loop sleeps, host_flush closes the round, its effects are carried out, and
 * the timer is set to the next moment that the host asked for.
 *
 * Invariants: effects are carried out in their order; nothing here decides about attempts.
 */
#include "worker-host/daemon_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/address.h"
#include "proto/limits.h"
#include "worker-host/logs.h"
#include "worker-host/task.h"

enum {
    VIEW_MS = 100,
    USAGE_MS = 5000,
    OUTPUT_CHECK_MS = 1000,
    PRUNE_MS = 10 * 60 * 1000,
    LOG_PART_BYTES = 256 << 10,
};

void daemon_log(const char *name, const char *text, size_t size)
{
    struct timespec now;
    struct tm parts;
    char stamp[32];
    struct buf line = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &parts);
    /* The level goes first, as in the supervisor's lines. */
    size_t level = size > 6 && memcmp(text, "level=", 6) == 0 ? 6 : 0;
    while (level && level < size && text[level] >= 'a' && text[level] <= 'z')
        level++;
    level = level && level < size && text[level] == ' ' ? level + 1 : 0;
    buf_append(&line, text, level);
    buf_printf(&line, "time=%s.%03ldZ host=%s ", stamp, now.tv_nsec / 1000000, name);
    text += level;
    size -= level;
    for (size_t i = 0; i < size && i < 2048; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte < 0x20 || byte == 0x7f)
            buf_printf(&line, "\\x%02x", byte);
        else
            buf_append(&line, &byte, 1);
    }
    buf_append(&line, "\n", 1);
    ssize_t wrote = write(STDERR_FILENO, line.data, line.size);
    (void)wrote; /* nowhere left to say so */
    buf_fini(&line);
}

void daemon_say(const struct daemon *daemon, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    daemon_log(daemon->options->name, text, strlen(text));
}

int64_t daemon_now_ms(void)
{
    return task_clock_ns() / 1000000;
}

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void daemon_step(struct daemon *daemon, struct host_input input)
{
    input.now_ms = daemon_now_ms();
    input.wall_ms = wall_ms();
    host_step(daemon->host, &input, &daemon->effects);
}

static void read_log(struct daemon *daemon, const struct host_effect *effect)
{
    struct buf data = {0}, body = {0};
    struct synk_error error;
    struct msg_log log = effect->log;
    size_t max =
        log.max_bytes && log.max_bytes < LOG_PART_BYTES ? (size_t)log.max_bytes : LOG_PART_BYTES;
    int more_fd = effect->running ? daemon->workers[effect->slot].runner.output_fd : -1;
    if (log_read(daemon->options->dir, log.run, log.task, &log.attempt, more_fd, log.offset, max,
                 &data, &log.size, &error))
        log.error = bytes_str(error.text);
    log.data = buf_bytes(&data);
    log.complete = !effect->running;
    msg_log_encode(&log, &body);
    link_send(daemon->link,
              (struct msg_header){.type = MSG_LOG_DATA, .epoch = effect->header.epoch},
              buf_bytes(&body));
    buf_fini(&data);
    buf_fini(&body);
}

/* Told to the host, which tries again as long as it must, and to people when it begins and ends. */
static void write_spool(struct daemon *daemon, enum host_effect_kind kind, struct synk_bytes body)
{
    struct synk_error error;
    enum synk_status status = kind == HOST_SPOOL_APPEND
                                  ? spool_append(&daemon->spool, body, &error)
                                  : spool_rewrite(&daemon->spool, body, &error);
    daemon->spool_failed = status != SYNK_OK;
    if (daemon->spool_failed && !daemon->spool_fails)
        daemon_say(daemon, "level=error event=spool-failed text=\"%s\"", error.text);
    else if (!daemon->spool_failed && daemon->spool_fails)
        daemon_say(daemon, "level=info event=spool-works-again");
    daemon->spool_fails = daemon->spool_failed;
}

/* A signal may reach the runner only in the task that it is meant for: what comes back must not
 * stay in its ring. */
static void end_task(struct daemon *daemon, uint32_t slot, enum host_end how)
{
    struct runner_process *runner = &daemon->workers[slot].runner;
    if (how == END_ASK)
        runner_process_publish(runner);
    else
        daemon->reclaims[daemon->reclaim_count++] = slot;
    runner_process_end(runner, how);
}

/* To the leader, told as clients are told it, or to the next address. */
static enum synk_status reconnect(struct daemon *daemon, struct synk_bytes leader,
                                  struct synk_error *error)
{
    const struct daemon_options *options = daemon->options;
    struct address address;
    char text[ADDRESS_BYTES];
    if (leader.size && address_parse(leader, false, &address, NULL) == SYNK_OK) {
        address_socket(&address, DIRECTORY_HOSTS, text);
        return link_connect(daemon->link, bytes_str(text), error);
    }
    if (leader.size)
        return link_connect(daemon->link, leader, error);
    const char *next = options->addresses[daemon->next_address];
    daemon->next_address = (daemon->next_address + 1) % options->address_count;
    return link_connect(daemon->link, bytes_str(next), error);
}

static void apply_one(struct daemon *daemon, const struct host_effect *effect)
{
    struct synk_bytes body = host_effect_body(&daemon->effects, effect);
    struct synk_error error;
    switch (effect->kind) {
    case HOST_SEND:
        link_send(daemon->link, effect->header, body);
        break;
    case HOST_GIVE:
        runner_process_give(&daemon->workers[effect->slot].runner, &effect->task);
        break;
    case HOST_RECLAIM:
        daemon->reclaims[daemon->reclaim_count++] = effect->slot;
        break;
    case HOST_END:
        end_task(daemon, effect->slot, effect->how);
        break;
    case HOST_SLOT_OPEN:
        daemon_open_slot(daemon, effect->slot);
        break;
    case HOST_SLOT_CLOSE:
        daemon_close_slot(daemon, effect->slot);
        break;
    case HOST_SPOOL_APPEND:
    case HOST_SPOOL_REWRITE:
        write_spool(daemon, effect->kind, body);
        break;
    case HOST_RECONNECT:
        if (reconnect(daemon, body, &error))
            daemon_say(daemon, "level=error event=connect-failed text=\"%s\"", error.text);
        break;
    case HOST_READ_LOG:
        read_log(daemon, effect);
        break;
    case HOST_EXIT:
        daemon->exits = true;
        daemon_kill_runners(daemon);
        break;
    case HOST_LOG:
        daemon_log(daemon->options->name, (const char *)body.data, body.size);
        break;
    }
}

/* Carries out what the steps so far asked for, and what follows from that. */
void daemon_apply(struct daemon *daemon)
{
    while (daemon->effects.count) {
        size_t capacity = daemon->effects.count;
        daemon->reclaims = mem_realloc(daemon->reclaims, capacity, sizeof(*daemon->reclaims));
        for (size_t i = 0; i < daemon->effects.count; i++)
            apply_one(daemon, &daemon->effects.items[i]);
        host_effects_clear(&daemon->effects);
        if (daemon->spool_failed)
            daemon_step(daemon, (struct host_input){.kind = HOST_SPOOL_FAILED});
        daemon->spool_failed = false;
        for (size_t i = 0; i < daemon->reclaim_count; i++) {
            uint32_t slot = daemon->reclaims[i];
            uint32_t count = runner_process_reclaim(&daemon->workers[slot].runner);
            daemon_step(daemon,
                        (struct host_input){.kind = HOST_RECLAIMED, .slot = slot, .count = count});
        }
        daemon->reclaim_count = 0;
    }
}

static void on_message(void *context, struct msg_header header, struct synk_bytes body,
                       struct synk_bytes values)
{
    struct daemon *daemon = context;
    daemon_step(daemon,
                (struct host_input){
                    .kind = HOST_MESSAGE, .header = header, .body = body, .values = values});
    daemon_apply(daemon);
}

static void on_broken(void *context)
{
    struct daemon *daemon = context;
    daemon_step(daemon, (struct host_input){.kind = HOST_LINK_BROKEN});
    daemon_apply(daemon);
}

static bool is_due(int64_t *last_ms, int64_t every_ms, int64_t now)
{
    if (now - *last_ms < every_ms)
        return false;
    *last_ms = now;
    return true;
}

static void chores(struct daemon *daemon, int64_t now)
{
    const struct daemon_options *options = daemon->options;
    for (uint32_t i = 0; i < daemon->slots; i++) {
        struct worker *worker = &daemon->workers[i];
        if (worker->respawn_ms && now >= worker->respawn_ms)
            daemon_start_runner(worker);
    }
    if (is_due(&daemon->usage_ms, USAGE_MS, now))
        daemon_measure(daemon);
    if (is_due(&daemon->output_ms, OUTPUT_CHECK_MS, now))
        daemon_bound_output(daemon);
    if (is_due(&daemon->pruned_ms, PRUNE_MS, now)) {
        size_t removed =
            logs_prune(options->dir, options->log_bytes, options->log_age_s, wall_ms() / 1000);
        if (removed)
            daemon_say(daemon, "level=info event=logs-removed count=%zu", removed);
    }
    if (options->parent_bound && getppid() != daemon->parent)
        daemon->exits = true;
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer; /* before_sleep does the work */
}

static void arm_timer(struct daemon *daemon)
{
    int64_t now = daemon_now_ms(), due = host_next_due(daemon->host);
    for (uint32_t i = 0; i < daemon->slots; i++) {
        int64_t respawn_ms = daemon->workers[i].respawn_ms;
        if (respawn_ms && respawn_ms < due)
            due = respawn_ms;
    }
    struct host_counts counts = host_counts(daemon->host);
    if (counts.running && daemon->viewed_ms + VIEW_MS < due)
        due = daemon->viewed_ms + VIEW_MS;
    uv_update_time(&daemon->loop);
    uv_timer_start(&daemon->timer, on_timer, due > now ? (uint64_t)(due - now) : 0, 0);
}

static void before_sleep(uv_prepare_t *prepare)
{
    struct daemon *daemon = prepare->data;
    int64_t now = daemon_now_ms();
    link_pump(daemon->link);
    chores(daemon, now);
    if (host_is_watching(daemon->host) || now - daemon->viewed_ms >= VIEW_MS) {
        daemon->viewed_ms = now;
        daemon_view_runners(daemon);
    }
    if (now >= host_next_due(daemon->host))
        daemon_step(daemon, (struct host_input){.kind = HOST_TIME});
    daemon_apply(daemon);
    /* A round that took tasks back has them to give again. */
    for (int rounds = 0; rounds < 3; rounds++) {
        host_flush(daemon->host, daemon_now_ms(), wall_ms(), &daemon->effects);
        if (!daemon->effects.count)
            break;
        daemon_apply(daemon);
    }
    for (uint32_t i = 0; i < daemon->slots; i++)
        runner_process_publish(&daemon->workers[i].runner);
    link_settle(daemon->link); /* last: any send may have taken the socket's signal */
    if (daemon->exits)
        uv_stop(&daemon->loop);
    else
        arm_timer(daemon);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct daemon *daemon = handle->data;
    daemon_say(daemon, "level=info event=signal number=%d", number);
    daemon_step(daemon, (struct host_input){.kind = HOST_STOP});
    daemon_apply(daemon);
}

/* With its parents. 0, or -1 with errno set. */
static int make_directory(const char *dir)
{
    char part[4096];
    for (size_t i = 1; dir[i] && i < sizeof(part) - 1; i++) {
        if (dir[i] != '/')
            continue;
        memcpy(part, dir, i);
        part[i] = '\0';
        if (mkdir(part, 0700) && errno != EEXIST)
            return -1;
    }
    return mkdir(dir, 0700);
}

/* Takes the directory for life. 0, or the exit status. */
static int take_directory(const struct daemon *daemon, int *ret_lock)
{
    const char *dir = daemon->options->dir;
    char path[4096], text[32];
    if (make_directory(dir) && errno != EEXIST) {
        daemon_say(daemon, "level=error event=no-directory path=\"%s\" text=\"%s\"", dir,
                   strerror(errno));
        return DAEMON_EXIT_UNUSABLE;
    }
    snprintf(path, sizeof(path), "%s/host.lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        daemon_say(daemon, "level=error event=no-lock path=\"%s\" text=\"%s\"", path,
                   strerror(errno));
        return DAEMON_EXIT_UNUSABLE;
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
        text[size > 0 ? size : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        daemon_say(daemon, "level=error event=locked path=\"%s\" text=\"host %s holds it\"", path,
                   text);
        close(fd);
        return DAEMON_EXIT_LOCKED;
    }
    int size = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)size, 0) != size) {
        daemon_say(daemon, "level=error event=no-lock path=\"%s\" text=\"%s\"", path,
                   strerror(errno));
        close(fd);
        return DAEMON_EXIT_UNUSABLE;
    }
    *ret_lock = fd;
    return 0;
}

/* The number by which a successor from this directory is known. Under the lock; a file that a crash
 * left half written is written anew. */
static int take_home(struct daemon *daemon)
{
    char path[4096], text[24] = "";
    unsigned long long home = 0;
    snprintf(path, sizeof(path), "%s/host.home", daemon->options->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && pread(fd, text, 17, 0) == 17 && text[16] == '\n' &&
        sscanf(text, "%16llx", &home) == 1 && home) {
        close(fd);
        daemon->home = home;
        return 0;
    }
    if (getrandom(&daemon->home, sizeof(daemon->home), 0) != sizeof(daemon->home))
        abort(); /* as for the instance */
    daemon->home = daemon->home >> 1 | 1;
    int size = snprintf(text, sizeof(text), "%016llx\n", (unsigned long long)daemon->home);
    bool is_written = fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)size, 0) == size;
    if (!is_written)
        daemon_say(daemon, "level=error event=no-directory path=\"%s\" text=\"%s\"", path,
                   strerror(errno));
    if (fd >= 0)
        close(fd);
    return is_written ? 0 : DAEMON_EXIT_UNUSABLE;
}

static void find_plugins(struct daemon *daemon)
{
    const struct daemon_options *options = daemon->options;
    plugins_init(&daemon->plugins);
    for (size_t i = 0; i < options->plugin_dir_count; i++) {
        struct synk_error error;
        if (plugins_find(&daemon->plugins, options->plugin_dirs[i], "/proc/self/exe", &error))
            plugins_refuse_directory(&daemon->plugins, options->plugin_dirs[i], error.text);
    }
    for (size_t i = 0; i < daemon->plugins.refused_count; i++)
        daemon_say(daemon, "level=error event=plugin-refused plugin=%s text=\"%s\"",
                   daemon->plugins.refused[i].name, daemon->plugins.refused[i].reason);
    daemon->refused = mem_zalloc(daemon->plugins.refused_count, sizeof(*daemon->refused));
    for (size_t i = 0; i < daemon->plugins.refused_count; i++)
        daemon->refused[i] =
            (struct refused_plugin_text){bytes_str(daemon->plugins.refused[i].name),
                                         bytes_str(daemon->plugins.refused[i].reason)};
    daemon->functions = mem_zalloc(daemon->plugins.function_count, sizeof(struct synk_bytes));
    for (size_t i = 0; i < daemon->plugins.function_count; i++)
        daemon->functions[i] = bytes_str(daemon->plugins.functions[i].name);
    daemon->tags = mem_zalloc(options->tag_count, sizeof(struct synk_bytes));
    for (size_t i = 0; i < options->tag_count; i++)
        daemon->tags[i] = bytes_str(options->tags[i]);
}

static void make_host(struct daemon *daemon)
{
    const struct daemon_options *options = daemon->options;
    struct host_config config;
    uint64_t random[2];
    host_config_defaults(&config);
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        abort(); /* two hosts of one instance number would take each other's results */
    config.name = options->name;
    config.instance = random[0] >> 1;
    config.home = daemon->home;
    config.stop_ms = options->stop_ms;
    config.seed = random[1];
    config.pid = getpid();
    config.slots = options->slots;
    config.functions = daemon->functions;
    config.function_count = daemon->plugins.function_count;
    config.tags = daemon->tags;
    config.tag_count = options->tag_count;
    config.refused = daemon->refused;
    config.refused_count = daemon->plugins.refused_count;
    config.leaves = options->is_local;
    config.orphan_ms = options->orphan_ms;
    config.grace_ms = options->grace_ms;
    config.ring_bytes = TASK_RING_BUDGET - 4096;
    config.ring_tasks = TASK_RING_TASKS - 1;
    daemon->host = host_new(&config);
}

static enum synk_status make_workers(struct daemon *daemon, struct synk_error *error)
{
    enum synk_status status = SYNK_OK;
    daemon->workers = mem_zalloc(LIMIT_HOST_SLOTS, sizeof(*daemon->workers));
    while (daemon->slots < daemon->options->slots && !status)
        status = daemon_make_worker(daemon, error);
    return status;
}

static void start_loop(struct daemon *daemon)
{
    static const int numbers[2] = {SIGTERM, SIGINT};
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is a failed write, as a full disk is */
    uv_prepare_init(&daemon->loop, &daemon->prepare);
    daemon->prepare.data = daemon;
    uv_prepare_start(&daemon->prepare, before_sleep);
    uv_timer_init(&daemon->loop, &daemon->timer);
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&daemon->loop, &daemon->signals[i]);
        daemon->signals[i].data = daemon;
        uv_signal_start(&daemon->signals[i], on_signal, numbers[i]);
    }
}

/* Everything up to the loop. SYNK_IO or SYNK_INVALID. */
static enum synk_status start(struct daemon *daemon, struct synk_error *error)
{
    struct buf spooled = {0};
    size_t killed = runner_leftovers_kill(daemon->options->dir);
    if (killed)
        daemon_say(daemon, "level=warn event=leftovers-killed count=%zu", killed);
    find_plugins(daemon);
    make_host(daemon);
    enum synk_status status = spool_open(&daemon->spool, daemon->options->dir, &spooled, error);
    if (!status && spooled.size)
        daemon_say(daemon, "level=info event=spool-read items=%zu",
                   host_restore(daemon->host, buf_bytes(&spooled)));
    buf_fini(&spooled);
    if (!status)
        status = make_workers(daemon, error);
    daemon->link = link_new(&daemon->loop, on_message, daemon);
    link_set_keys(daemon->link, &daemon->options->keys);
    /* To one address ZeroMQ connects again by itself, and what was queued is not lost. */
    if (daemon->options->address_count > 1)
        link_watch_breaks(daemon->link, on_broken);
    if (!status)
        status = reconnect(daemon, (struct synk_bytes){0}, error);
    if (status)
        return status;
    start_loop(daemon);
    daemon_step(daemon, (struct host_input){.kind = HOST_START});
    daemon_apply(daemon);
    daemon_say(daemon, "level=info event=started pid=%d slots=%u functions=%zu", (int)getpid(),
               daemon->options->slots, daemon->plugins.function_count);
    return SYNK_OK;
}

static void close_handle(uv_handle_t *handle, void *context)
{
    struct daemon *daemon = context;
    bool is_own = false;
    for (uint32_t i = 0; i < daemon->slots; i++)
        is_own |= handle == (uv_handle_t *)daemon->workers[i].pid_poll;
    if (!uv_is_closing(handle))
        uv_close(handle, is_own ? daemon_free_handle : NULL);
}

static void finish(struct daemon *daemon)
{
    link_pump(daemon->link); /* a last goodbye, if the peer takes it */
    link_free(daemon->link);
    if (daemon->workers)
        uv_walk(&daemon->loop, close_handle, daemon);
    uv_run(&daemon->loop, UV_RUN_DEFAULT);
    uv_loop_close(&daemon->loop);
    for (uint32_t i = 0; daemon->workers && i < daemon->slots; i++)
        daemon_end_runner(&daemon->workers[i]);
    free(daemon->workers);
    host_free(daemon->host);
    host_effects_fini(&daemon->effects);
    spool_close(&daemon->spool);
    plugins_fini(&daemon->plugins);
    free(daemon->functions);
    free(daemon->tags);
    free(daemon->refused);
    free(daemon->reclaims);
}

/* Eight descriptors a slot. Only where needed: commands inherit the limit, and old programs slow
 * down when it is high. */
void daemon_raise_file_limit(uint32_t slots)
{
    struct rlimit limit;
    rlim_t need = 128 + (rlim_t)slots * 10;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < need) {
        limit.rlim_cur = need < limit.rlim_max ? need : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* too few descriptors are reported where they lack */
    }
}

int daemon_run(const struct daemon_options *options)
{
    struct daemon daemon = {.options = options, .spool = {.fd = -1}, .parent = getppid()};
    struct synk_error error;
    int lock = -1;
    if (options->parent_bound)
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* what died before this is seen by chores */
    if (options->is_detached && setsid() < 0 && errno != EPERM) {
        daemon_say(&daemon, "level=error event=no-session text=\"%s\"", strerror(errno));
        return DAEMON_EXIT_UNUSABLE;
    }
    int status = take_directory(&daemon, &lock);
    if (!status)
        status = take_home(&daemon);
    if (status)
        return status;
    daemon_raise_file_limit(options->slots);
    /* What a dead runner's commands left becomes ours to kill. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (uv_loop_init(&daemon.loop))
        abort();
    if (start(&daemon, &error)) {
        daemon_say(&daemon, "level=error event=cannot-start text=\"%s\"", error.text);
        status = DAEMON_EXIT_UNUSABLE;
    } else {
        uv_run(&daemon.loop, UV_RUN_DEFAULT);
    }
    finish(&daemon);
    close(lock);
    return status;
}
