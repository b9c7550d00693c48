/*
 * Local worker host processes. Invariants: at most one is watched; a new one is started only where
 * nobody holds the host directory's lock; between fork and exec the child calls only what is safe
 * while other threads of this process may hold locks.
 */
#include "supervisor/shell/spawner.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/bytes.h"

#define HOST_PROGRAM "synk-worker-host"
/* A host that has just taken its lock has not written its pid yet. */
#define SPAWNER_LOCK_RETRY_MS 50
#define SPAWNER_LOCK_TRIES    40

void spawner_init(struct spawner *spawner, const struct spawner_options *options)
{
    *spawner = (struct spawner){.options = *options, .pidfd = -1};
    uv_timer_init(options->loop, &spawner->lock_timer);
    spawner->lock_timer.data = spawner;
}

static void emit(struct spawner *spawner, enum local_host_event event, int64_t pid,
                 const char *text)
{
    spawner->options.on_event(spawner->options.context, event, pid, text);
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle);
}

static void unwatch(struct spawner *spawner)
{
    if (spawner->exit_poll) {
        uv_poll_stop(spawner->exit_poll);
        uv_close((uv_handle_t *)spawner->exit_poll, on_watch_closed);
        spawner->exit_poll = NULL;
    }
    if (spawner->pidfd >= 0)
        close(spawner->pidfd);
    spawner->pidfd = -1;
    spawner->pid = 0;
}

void spawner_close(struct spawner *spawner)
{
    if (!spawner || !spawner->options.loop)
        return;
    unwatch(spawner);
    uv_close((uv_handle_t *)&spawner->lock_timer, NULL);
    spawner->options.loop = NULL;
}

static void on_exit_seen(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    struct spawner *spawner = poll->data;
    char text[64] = "ended";
    siginfo_t info = {0};
    /* An adopted host is somebody else's child: that it ended is all there is to know. */
    if (!spawner->is_adopted &&
        waitid(P_PIDFD, (id_t)spawner->pidfd, &info, WEXITED | WNOHANG) == 0) {
        if (info.si_pid == 0)
            return;
        snprintf(text, sizeof(text), info.si_code == CLD_EXITED ? "exit status %d" : "signal %d",
                 info.si_status);
    }
    int64_t pid = spawner->pid;
    unwatch(spawner);
    emit(spawner, LOCAL_HOST_EXITED, pid, text);
}

/* Takes `pidfd` over. */
static void watch(struct spawner *spawner, int64_t pid, int pidfd, bool is_adopted)
{
    spawner->pid = pid;
    spawner->pidfd = pidfd;
    spawner->is_adopted = is_adopted;
    spawner->exit_poll = mem_zalloc(1, sizeof(*spawner->exit_poll));
    int code = uv_poll_init(spawner->options.loop, spawner->exit_poll, pidfd);
    assert(code == 0); /* a pidfd can be polled, and this one is not watched yet */
    spawner->exit_poll->data = spawner;
    uv_poll_start(spawner->exit_poll, UV_READABLE, on_exit_seen);
    emit(spawner, LOCAL_HOST_STARTED, pid, is_adopted ? "adopted" : "started");
}

static int open_pidfd(int64_t pid)
{
    return (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
}

/* Beside this program, as build trees and installations have it; else in PATH. */
static void find_program(char path[PATH_MAX])
{
    ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - 1);
    path[size > 0 ? size : 0] = '\0';
    char *slash = strrchr(path, '/');
    size_t room = slash ? PATH_MAX - (size_t)(slash + 1 - path) : 0;
    if (room > sizeof(HOST_PROGRAM)) {
        strcpy(slash + 1, HOST_PROGRAM);
        if (access(path, X_OK) == 0)
            return;
    }
    strcpy(path, HOST_PROGRAM);
}

struct arguments {
    char *items[16 + 2 * 256];
    size_t count;
};

static void add_argument(struct arguments *arguments, const char *text)
{
    assert(arguments->count + 1 < sizeof(arguments->items) / sizeof(arguments->items[0]));
    arguments->items[arguments->count++] = mem_strdup(text);
}

static void add_option(struct arguments *arguments, const char *name, const char *value)
{
    add_argument(arguments, name);
    add_argument(arguments, value);
}

static void add_number(struct arguments *arguments, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    if (value > 0)
        add_option(arguments, name, text);
}

static void build_arguments(const struct spawner_options *options, struct arguments *arguments)
{
    char directory[DIRECTORY_PATH_BYTES];
    directory_path(options->directory, DIRECTORY_LOCAL_HOST, directory);
    add_argument(arguments, HOST_PROGRAM);
    add_option(arguments, "--connect", options->host_address);
    add_option(arguments, "--name", "local");
    add_option(arguments, "--dir", directory);
    add_number(arguments, "--slots", options->slots);
    for (size_t i = 0; i < options->plugin_dir_count; i++)
        add_option(arguments, "--plugin-dir", options->plugin_dirs[i]);
    add_number(arguments, "--log-days", options->log_days);
    add_number(arguments, "--log-bytes", options->log_bytes);
    add_argument(arguments, "--local");
    if (options->is_private)
        add_argument(arguments, "--parent-bound");
}

/* In the child: becomes the host, or writes errno to `failure` and ends. */
static void exec_host(const struct spawner_options *options, const char *program,
                      struct arguments *arguments, int null_fd, int failure)
{
    /* Handlers do not survive exec; what is ignored does, and so does the mask. */
    signal(SIGPIPE, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    /* Whatever our own starter left open is no business of the host's either. */
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    setrlimit(RLIMIT_NOFILE, &options->descriptors);
    if (dup2(null_fd, STDIN_FILENO) >= 0 && dup2(null_fd, STDOUT_FILENO) >= 0)
        execvp(program, arguments->items);
    int code = errno;
    ssize_t written = write(failure, &code, sizeof(code));
    _exit(written == sizeof(code) ? 126 : 127);
}

/* Forks and waits until the host's program runs. Returns its pid, or -1 with errno set. */
static pid_t fork_host(const struct spawner_options *options, const char *program,
                       struct arguments *arguments)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int failure[2] = {-1, -1};
    pid_t pid = -1;
    if (null_fd >= 0 && pipe2(failure, O_CLOEXEC) == 0)
        pid = fork();
    if (pid == 0)
        exec_host(options, program, arguments, null_fd, failure[1]);
    int code = pid < 0 ? errno : 0;
    if (failure[1] >= 0)
        close(failure[1]);
    ssize_t got = 0;
    if (pid > 0)
        do
            got = read(failure[0], &code, sizeof(code));
        while (got < 0 && errno == EINTR);
    if (got == (ssize_t)sizeof(code)) {
        waitpid(pid, NULL, 0);
        pid = -1;
    }
    if (failure[0] >= 0)
        close(failure[0]);
    if (null_fd >= 0)
        close(null_fd);
    errno = code;
    return pid;
}

static void start_new(struct spawner *spawner)
{
    const struct spawner_options *options = &spawner->options;
    char program[PATH_MAX], text[PATH_MAX + 128];
    struct arguments *arguments = mem_zalloc(1, sizeof(*arguments));
    find_program(program);
    build_arguments(options, arguments);
    pid_t pid = fork_host(options, program, arguments);
    int code = errno;
    for (size_t i = 0; i < arguments->count; i++)
        free(arguments->items[i]);
    free(arguments);
    /* Our own child stays until it is waited for: its number cannot have passed on. */
    int pidfd = pid > 0 ? open_pidfd(pid) : -1;
    if (pid > 0 && pidfd < 0) {
        code = errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (pidfd < 0) {
        snprintf(text, sizeof(text), "cannot start %s: %s", program, strerror(code));
        emit(spawner, LOCAL_HOST_FAILED, 0, text);
        return;
    }
    watch(spawner, pid, pidfd, false);
}

static bool make_directories(const struct spawner *spawner)
{
    char path[DIRECTORY_PATH_BYTES], text[DIRECTORY_PATH_BYTES + 128];
    snprintf(path, sizeof(path), "%s/hosts", spawner->options.directory->state);
    bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
    if (made) {
        directory_path(spawner->options.directory, DIRECTORY_LOCAL_HOST, path);
        made = mkdir(path, 0700) == 0 || errno == EEXIST;
    }
    if (made)
        return true;
    snprintf(text, sizeof(text), "cannot create %s: %s", path, strerror(errno));
    spawner->options.on_event(spawner->options.context, LOCAL_HOST_FAILED, 0, text);
    return false;
}

static void on_lock_timer(uv_timer_t *timer);

static void start_or_adopt(struct spawner *spawner)
{
    char path[DIRECTORY_PATH_BYTES];
    int64_t pid = 0;
    directory_path(spawner->options.directory, DIRECTORY_HOST_LOCK, path);
    if (!directory_lock_is_held(path, &pid)) {
        start_new(spawner);
        return;
    }
    int pidfd = pid > 0 ? open_pidfd(pid) : -1;
    /* Asked again once the process is held fast: the lock may have changed hands in between. */
    int64_t again = 0;
    if (pidfd >= 0 && directory_lock_is_held(path, &again) && again == pid) {
        watch(spawner, pid, pidfd, true);
        return;
    }
    if (pidfd >= 0)
        close(pidfd);
    if (++spawner->lock_tries < SPAWNER_LOCK_TRIES) {
        uv_timer_start(&spawner->lock_timer, on_lock_timer, SPAWNER_LOCK_RETRY_MS, 0);
        return;
    }
    char text[DIRECTORY_PATH_BYTES + 128];
    snprintf(text, sizeof(text), "%s is locked by an unknown process (pid %lld in it)", path,
             (long long)pid);
    emit(spawner, LOCAL_HOST_FAILED, 0, text);
}

static void on_lock_timer(uv_timer_t *timer)
{
    start_or_adopt(timer->data);
}

void spawner_start(struct spawner *spawner)
{
    if (spawner->pid || !make_directories(spawner))
        return;
    spawner->lock_tries = 0;
    start_or_adopt(spawner);
}

/* The session of a process, from /proc/PID/stat: "pid (name) state ppid pgrp session …". The name
 * may hold anything, so the fields are counted from its last parenthesis. */
static int64_t session_of(const char *pid)
{
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    const char *fields = strrchr(text, ')');
    int session = -1;
    if (!fields || sscanf(fields + 1, " %*c %*d %*d %d", &session) != 1)
        return -1;
    return session;
}

void spawner_kill(struct spawner *spawner)
{
    if (spawner->pidfd < 0)
        return;
    /* The host first, so that it starts nothing in the place of what is killed. */
    syscall(SYS_pidfd_send_signal, spawner->pidfd, SIGKILL, NULL, 0);
    DIR *processes = opendir("/proc");
    if (!processes)
        return; /* the host's runners are bound to its life in any case */
    for (struct dirent *entry; (entry = readdir(processes));) {
        int64_t pid = atoll(entry->d_name);
        if (pid > 0 && pid != spawner->pid && session_of(entry->d_name) == spawner->pid)
            kill((pid_t)pid, SIGKILL);
    }
    closedir(processes);
}
