/*
 * Starting synkd. It gets a process group of its own, so that Ctrl-C reaches it through us and
 * once, and no descriptor of ours but the one it says "ready" on. Invariant: when supervisor_start
 * fails, nothing that it started is left.
 */
#include "tools/synk/start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUPERVISOR_PROGRAM "synkd"
/* Of the log that is shown when a start fails. */
#define LOG_TAIL_BYTES 2048

struct arguments {
    char **items;
    size_t count, capacity;
};

static void add(struct arguments *arguments, const char *text)
{
    arguments->items =
        mem_grow(arguments->items, &arguments->capacity, arguments->count + 2, sizeof(char *));
    arguments->items[arguments->count++] = mem_strdup(text);
    arguments->items[arguments->count] = NULL;
}

static void add_option(struct arguments *arguments, const char *name, const char *value)
{
    add(arguments, name);
    add(arguments, value);
}

static void arguments_fini(struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->count; i++)
        free(arguments->items[i]);
    free(arguments->items);
}

static void find_program(char path[PATH_MAX])
{
    ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - 1);
    path[size > 0 ? size : 0] = '\0';
    char *slash = strrchr(path, '/');
    if (slash && (size_t)(slash + 1 - path) + sizeof(SUPERVISOR_PROGRAM) <= PATH_MAX) {
        strcpy(slash + 1, SUPERVISOR_PROGRAM);
        if (access(path, X_OK) == 0)
            return;
    }
    strcpy(path, SUPERVISOR_PROGRAM);
}

int supervisor_state(char **words)
{
    char program[PATH_MAX];
    struct arguments arguments = {0};
    find_program(program);
    add(&arguments, SUPERVISOR_PROGRAM);
    add(&arguments, "state");
    for (; *words; words++)
        add(&arguments, *words);
    execvp(program, arguments.items);
    arguments_fini(&arguments);
    return fail(EXIT_USAGE, "cannot start %s: %s", program, strerror(errno));
}

/* The supervisor works in "/": what is relative to here is made absolute. */
static void add_absolute(struct arguments *arguments, const char *name, const char *scheme,
                         const char *path)
{
    char current[PATH_MAX], text[2 * PATH_MAX];
    if (path[0] == '/' || !path[0] || !getcwd(current, sizeof(current)))
        snprintf(text, sizeof(text), "%s%s", scheme, path);
    else
        snprintf(text, sizeof(text), "%s%s/%s", scheme, current, path);
    add_option(arguments, name, text);
}

static void build_arguments(const struct start_options *options, int ready_fd,
                            struct arguments *arguments)
{
    char number[32];
    add(arguments, SUPERVISOR_PROGRAM);
    /* Two directories mean the user's own, which synkd finds as we did. */
    if (strcmp(options->directory->state, options->directory->run) == 0)
        add_option(arguments, "--dir", options->directory->state);
    if (options->state && strncmp(options->state, "sqlite:", 7) == 0)
        add_absolute(arguments, "--state", "sqlite:", options->state + 7);
    else if (options->state)
        add_option(arguments, "--state", options->state);
    if (options->slots >= 0) {
        snprintf(number, sizeof(number), "%lld", (long long)options->slots);
        add_option(arguments, "--slots", number);
    }
    for (size_t i = 0; options->plugin_dirs && i < options->plugin_dirs->count; i++)
        add_absolute(arguments, "--plugin-dir", "", options->plugin_dirs->items[i]);
    if (options->listen)
        add_option(arguments, "--listen", options->listen);
    if (options->insecure)
        add(arguments, "--insecure");
    if (options->keys)
        add(arguments, "--keys");
    if (options->allow_exec)
        add(arguments, "--allow-exec");
    if (options->keep_runs)
        add_option(arguments, "--keep-runs", options->keep_runs);
    if (options->keep_events)
        add_option(arguments, "--keep-events", options->keep_events);
    if (options->keep_logs)
        add_option(arguments, "--keep-logs", options->keep_logs);
    if (options->watch_interval)
        add_option(arguments, "--watch-interval", options->watch_interval);
    if (options->idle_threshold)
        add_option(arguments, "--idle-threshold", options->idle_threshold);
    if (options->stats_interval)
        add_option(arguments, "--stats-interval", options->stats_interval);
    if (options->auto_unpause)
        add(arguments, "--auto-unpause");
    if (options->auto_release)
        add(arguments, "--auto-release");
    if (options->no_schedule)
        add(arguments, "--no-schedule");
    if (options->is_private)
        add(arguments, "--private");
    snprintf(number, sizeof(number), "%d", ready_fd);
    add_option(arguments, "--ready-fd", number);
}

/* In the child. Nothing here may return. */
static void become(const struct start_options *options, const char *program,
                   const struct arguments *arguments, int log_fd, int ready_fd)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, options->is_detached ? SIG_IGN : SIG_DFL);
    if (options->is_detached) {
        setsid();
    } else {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    }
    /* Close-on-exec for all but the three and the one to be told on: the caller's stay the
     * caller's. */
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int out_fd = log_fd >= 0 ? log_fd : null_fd;
    syscall(SYS_close_range, 3U, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */);
    fcntl(ready_fd, F_SETFD, 0);
    if (null_fd >= 0 && dup2(null_fd, STDIN_FILENO) >= 0 && dup2(out_fd, STDOUT_FILENO) >= 0 &&
        (log_fd < 0 || dup2(log_fd, STDERR_FILENO) >= 0) && chdir("/") == 0)
        execvp(program, arguments->items);
    dprintf(STDERR_FILENO, "cannot start %s: %s\n", program, strerror(errno));
    _exit(127);
}

/* Whether it said so before it closed its end. */
static bool await_ready(int fd)
{
    char text[16];
    for (;;) {
        ssize_t got = read(fd, text, sizeof(text));
        if (got > 0)
            return true;
        if (got == 0 || errno != EINTR)
            return false;
        if (signals_count())
            return false;
    }
}

static void show_log(int fd, off_t from)
{
    char text[LOG_TAIL_BYTES + 1];
    off_t size = lseek(fd, 0, SEEK_END);
    if (size - from > LOG_TAIL_BYTES)
        from = size - LOG_TAIL_BYTES;
    ssize_t got = pread(fd, text, LOG_TAIL_BYTES, from);
    if (got > 0)
        fprintf(stderr, "%.*s", (int)got, text);
}

static int fail_start(pid_t pid, int log_fd, off_t log_from, bool *ret_is_running)
{
    enum { STATUS_USAGE = 2, STATUS_RUNNING = 4 }; /* synkd's */
    int status = 0;
    if (signals_count())
        kill(pid, SIGTERM);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_RUNNING) {
        *ret_is_running = true;
        return EXIT_REFUSED;
    }
    int code = WIFEXITED(status) && WEXITSTATUS(status) == STATUS_USAGE ? EXIT_USAGE : EXIT_REFUSED;
    if (WIFSIGNALED(status))
        fail(code, "the supervisor did not start: %s", strsignal(WTERMSIG(status)));
    else
        fail(code, "the supervisor did not start");
    if (log_fd >= 0)
        show_log(log_fd, log_from);
    return code;
}

static int open_log(const struct directory *directory, int *ret_fd)
{
    struct synk_error error;
    char path[DIRECTORY_PATH_BYTES];
    if (directory_create(directory, &error) != SYNK_OK) {
        fail_error(&error);
        return EXIT_REFUSED;
    }
    directory_path(directory, DIRECTORY_LOG, path);
    *ret_fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (*ret_fd < 0)
        return fail(EXIT_REFUSED, "cannot open %s: %s", path, strerror(errno));
    return EXIT_DONE;
}

int supervisor_start(const struct start_options *options, pid_t *ret_pid, bool *ret_is_running)
{
    char program[PATH_MAX];
    int log_fd = -1, ready[2], code;
    if ((options->is_detached || options->is_private) &&
        (code = open_log(options->directory, &log_fd)))
        return code;
    off_t log_from = log_fd >= 0 ? lseek(log_fd, 0, SEEK_END) : 0;
    if (pipe2(ready, O_CLOEXEC) != 0) {
        close(log_fd);
        return fail(EXIT_REFUSED, "cannot make a pipe: %s", strerror(errno));
    }
    struct arguments arguments = {0};
    find_program(program);
    build_arguments(options, ready[1], &arguments);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        become(options, program, &arguments, log_fd, ready[1]);
    arguments_fini(&arguments);
    close(ready[1]);
    if (pid < 0)
        code = fail(EXIT_REFUSED, "cannot start a process: %s", strerror(errno));
    else if (await_ready(ready[0]))
        code = EXIT_DONE;
    else
        code = fail_start(pid, log_fd, log_from, ret_is_running);
    close(ready[0]);
    if (log_fd >= 0)
        close(log_fd);
    if (code == EXIT_DONE)
        *ret_pid = pid;
    return code;
}

int plugin_dirs_check(const struct text_list *plugin_dirs)
{
    for (size_t i = 0; i < plugin_dirs->count; i++) {
        struct stat info;
        if (stat(plugin_dirs->items[i], &info) != 0)
            return fail(EXIT_USAGE, "--plugin-dir %s: %s", plugin_dirs->items[i], strerror(errno));
        if (!S_ISDIR(info.st_mode))
            return fail(EXIT_USAGE, "--plugin-dir %s: it is not a directory",
                        plugin_dirs->items[i]);
    }
    return EXIT_DONE;
}

bool process_await(int64_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (fd < 0)
        return true; /* there is no such process any more */
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int before = signals_count();
    int ready;
    do
        ready = poll(&poll_fd, 1, -1);
    while (ready < 0 && errno == EINTR && signals_count() == before);
    close(fd);
    return ready > 0;
}
