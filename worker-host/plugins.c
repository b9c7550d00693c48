/*
 * Plugins. Invariants: nothing is loaded that another user could have written; the host's own
 * process loads nothing, so a plugin that crashes while it is loaded costs a child process and
 * itself.
 */
#include "worker-host/plugins.h"

#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/limits.h"
#include "worker-host/exec.h"

extern char **environ;

enum {
    /* Both names and the dot between them are an id on the wire. */
    NAME_BYTES = (LIMIT_ID_BYTES - 2) / 2,
    LIST_PATIENCE_MS = 10000,
    LIST_BYTES = 256 << 10,
    FUNCTIONS_MAX = 4096,
};

static void add_function(struct plugins *plugins, const char *plugin, const char *name,
                         synk_function run, bool is_quiet)
{
    struct buf full = {0};
    buf_printf(&full, "%s%s%s%c", plugin, *name ? "." : "", name, '\0');
    plugins->functions = mem_grow(plugins->functions, &plugins->function_capacity,
                                  plugins->function_count + 1, sizeof(*plugins->functions));
    plugins->functions[plugins->function_count++] =
        (struct function){(char *)full.data, run, is_quiet};
}

void plugins_init(struct plugins *plugins)
{
    *plugins = (struct plugins){0};
    add_function(plugins, "exec", "", exec_run, true);
    for (const struct synk_plugin_function *f = builtin_sim; f->name; f++)
        add_function(plugins, "sim", f->name, f->run, true);
}

void plugins_fini(struct plugins *plugins)
{
    for (size_t i = 0; i < plugins->function_count; i++)
        free(plugins->functions[i].name);
    for (size_t i = 0; i < plugins->refused_count; i++) {
        free(plugins->refused[i].name);
        free(plugins->refused[i].reason);
    }
    for (size_t i = 0; i < plugins->path_count; i++)
        free(plugins->paths[i]);
    free(plugins->functions);
    free(plugins->refused);
    free(plugins->paths);
    *plugins = (struct plugins){0};
}

enum synk_status plugin_check_path(const char *path, bool is_directory, struct synk_error *error)
{
    struct stat info;
    if (stat(path, &info))
        return status_fail(error, SYNK_REFUSED, "%s: %s", path, strerror(errno));
    if (is_directory ? !S_ISDIR(info.st_mode) : !S_ISREG(info.st_mode))
        return status_fail(error, SYNK_REFUSED, "%s: not a %s", path,
                           is_directory ? "directory" : "regular file");
    if (info.st_uid != 0 && info.st_uid != geteuid())
        return status_fail(error, SYNK_REFUSED, "%s: owned by user %u, not by root or user %u",
                           path, (unsigned)info.st_uid, (unsigned)geteuid());
    if (info.st_mode & (S_IWGRP | S_IWOTH))
        return status_fail(error, SYNK_REFUSED, "%s: mode %03o lets others write it: chmod go-w",
                           path, (unsigned)info.st_mode & 0777);
    return SYNK_OK;
}

bool plugin_name_is_valid(const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
            return false;
    return size >= 1 && size <= NAME_BYTES;
}

enum synk_status plugin_check(const struct synk_plugin *plugin, const char *name,
                              struct synk_error *error)
{
    if (plugin->abi != SYNK_PLUGIN_ABI)
        return status_fail(error, SYNK_REFUSED,
                           "built for plugin ABI %u, this host has %u: build it again with this "
                           "host's <synk/worker.h>",
                           plugin->abi, SYNK_PLUGIN_ABI);
    if (!plugin->name || !plugin_name_is_valid(plugin->name))
        return status_fail(error, SYNK_REFUSED,
                           "its name is not 1 to %d letters, digits, '-' and '_'", NAME_BYTES);
    if (strcmp(plugin->name, name) != 0)
        return status_fail(error, SYNK_REFUSED, "it calls itself '%s': the file must be %s.so",
                           plugin->name, plugin->name);
    if (strcmp(name, "sim") == 0 || strcmp(name, "exec") == 0)
        return status_fail(error, SYNK_REFUSED, "'%s' is the name of built-in functions", name);
    if (!plugin->functions)
        return status_fail(error, SYNK_REFUSED, "it has no functions");
    size_t count = 0;
    for (const struct synk_plugin_function *f = plugin->functions; f->name; f++) {
        if (!plugin_name_is_valid(f->name) || !f->run)
            return status_fail(error, SYNK_REFUSED, "function %zu has no usable name or no code",
                               count);
        if (++count > FUNCTIONS_MAX)
            return status_fail(error, SYNK_REFUSED, "more than %d functions", FUNCTIONS_MAX);
    }
    return SYNK_OK;
}

/* NAME of DIR/NAME.so, or false. */
static bool name_of(const char *path, char *name, size_t name_size)
{
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    size_t size = strlen(base);
    if (size <= 3 || strcmp(base + size - 3, ".so") != 0 || size - 3 >= name_size)
        return false;
    memcpy(name, base, size - 3);
    name[size - 3] = '\0';
    return true;
}

/* The loader's words, but for a plugin that calls what only newer hosts have. */
static enum synk_status explain_load(const char *text, struct synk_error *error)
{
    const char *missing = strstr(text, "undefined symbol: synk_");
    if (!missing)
        return status_fail(error, SYNK_REFUSED, "%s", text);
    missing += strlen("undefined symbol: ");
    return status_fail(error, SYNK_REFUSED,
                       "it calls %.*s, which this host (" SYNK_VERSION
                       ") does not have: build it with this host's <synk/worker.h>",
                       (int)strcspn(missing, " ,\n"), missing);
}

static enum synk_status open_plugin(const char *path, const struct synk_plugin **ret_plugin,
                                    struct synk_error *error)
{
    char name[NAME_BYTES + 1];
    if (!name_of(path, name, sizeof(name)))
        return status_fail(error, SYNK_REFUSED, "not NAME.so");
    enum synk_status status = plugin_check_path(path, false, error);
    if (status)
        return status;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return explain_load(dlerror(), error);
    const struct synk_plugin *plugin = dlsym(library, "synk_plugin");
    if (!plugin)
        return status_fail(error, SYNK_REFUSED, "it does not export synk_plugin (SYNK_PLUGIN(…))");
    *ret_plugin = plugin;
    return plugin_check(plugin, name, error);
}

enum synk_status plugins_load(struct plugins *plugins, const char *path, struct synk_error *error)
{
    const struct synk_plugin *plugin = NULL;
    enum synk_status status = open_plugin(path, &plugin, error);
    if (status)
        return status;
    for (const struct synk_plugin_function *f = plugin->functions; f->name; f++)
        add_function(plugins, plugin->name, f->name, f->run, false);
    return SYNK_OK;
}

void plugins_refuse(struct plugins *plugins, const char *name, const char *reason)
{
    plugins->refused = mem_grow(plugins->refused, &plugins->refused_capacity,
                                plugins->refused_count + 1, sizeof(*plugins->refused));
    plugins->refused[plugins->refused_count++] =
        (struct refused_plugin){mem_strdup(name), mem_strdup(reason)};
}

void plugins_refuse_directory(struct plugins *plugins, const char *directory, const char *reason)
{
    struct buf name = {0};
    buf_printf(&name, "%s%s%c", directory, strchr(directory, '/') ? "" : "/", '\0');
    plugins_refuse(plugins, (char *)name.data, reason);
    buf_fini(&name);
}

const struct function *plugins_function(const struct plugins *plugins, struct synk_bytes name)
{
    for (size_t i = 0; i < plugins->function_count; i++)
        if (bytes_equal(bytes_str(plugins->functions[i].name), name))
            return &plugins->functions[i];
    return NULL;
}

void plugins_explain(const struct plugins *plugins, struct synk_bytes name, char *text,
                     size_t text_size)
{
    int size = (int)(name.size < 256 ? name.size : 256);
    const char *data = name.size ? name.data : "";
    const char *dot = name.size ? memchr(name.data, '.', name.size) : NULL;
    size_t plugin_size = dot ? (size_t)(dot - data) : name.size;
    for (size_t i = 0; i < plugins->refused_count; i++) {
        if (bytes_equal(bytes_str(plugins->refused[i].name), bytes_of(data, plugin_size))) {
            snprintf(text, text_size, "function '%.*s': its plugin was refused: %s", size, data,
                     plugins->refused[i].reason);
            return;
        }
    }
    snprintf(text, text_size, "function '%.*s' is not known on this host", size, data);
}

int plugins_list_main(const char *path)
{
    const struct synk_plugin *plugin = NULL;
    struct synk_error error;
    struct buf out = {0};
    /* What the plugin prints while it is loaded must not pass for names. */
    int list_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    bool is_good = open_plugin(path, &plugin, &error) == SYNK_OK;
    if (!is_good)
        buf_printf(&out, "!%s\n", error.text);
    for (const struct synk_plugin_function *f = is_good ? plugin->functions : NULL; f && f->name;
         f++)
        buf_printf(&out, "%s\n", f->name);
    buf_printf(&out, ".\n");
    for (size_t at = 0; at < out.size;) {
        ssize_t wrote = write(list_fd, out.data + at, out.size - at);
        if (wrote <= 0)
            _exit(1);
        at += (size_t)wrote;
    }
    _exit(0);
}

/* Everything that the child prints, until it closes; false when time or room ran out. */
static bool read_list(int fd, struct buf *out)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    for (int turns = 0; turns < 10000; turns++) {
        int ready = poll(&item, 1, LIST_PATIENCE_MS);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0 || out->size > LIST_BYTES)
            return false;
        buf_reserve(out, 4096);
        ssize_t got = read(fd, out->data + out->size, 4096);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0;
        out->size += (size_t)got;
    }
    return false;
}

/* Runs `program --list path`; its output, or why there is none. */
static enum synk_status ask(const char *program, const char *path, struct buf *out,
                            struct synk_error *error)
{
    int ends[2], status = 0;
    pid_t pid;
    char *argv[] = {"synk-worker-host", "--list", (char *)(uintptr_t)path, NULL};
    if (pipe2(ends, O_CLOEXEC))
        return status_fail(error, SYNK_REFUSED, "cannot be asked: %s", strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    int problem = posix_spawn(&pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    bool is_whole = !problem && read_list(ends[0], out);
    close(ends[0]);
    if (problem)
        return status_fail(error, SYNK_REFUSED, "cannot be asked: %s", strerror(problem));
    if (!is_whole)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!is_whole)
        return status_fail(error, SYNK_REFUSED, "did not finish loading within %d s",
                           LIST_PATIENCE_MS / 1000);
    if (WIFSIGNALED(status))
        return status_fail(error, SYNK_REFUSED, "crashed while it was loaded, by signal %d",
                           WTERMSIG(status));
    if (out->size < 2 || memcmp(out->data + out->size - 2, ".\n", 2) != 0)
        return status_fail(error, SYNK_REFUSED, "exited while it was loaded, with status %d",
                           WEXITSTATUS(status));
    return SYNK_OK;
}

static void find_one(struct plugins *plugins, const char *path, const char *name,
                     const char *program)
{
    struct buf list = {0};
    struct synk_error error;
    for (size_t i = 0; i < plugins->path_count; i++) {
        char other[NAME_BYTES + 1];
        if (name_of(plugins->paths[i], other, sizeof(other)) && strcmp(other, name) == 0)
            return; /* an earlier directory's plugin goes first, as in every search path */
    }
    enum synk_status status = plugin_check_path(path, false, &error);
    if (!status)
        status = ask(program, path, &list, &error);
    if (!status && list.data[0] == '!') {
        char *end = memchr(list.data, '\n', list.size);
        *end = '\0';
        status = status_fail(&error, SYNK_REFUSED, "%s", (char *)list.data + 1);
    }
    if (status) {
        plugins_refuse(plugins, name, error.text);
    } else {
        buf_append(&list, "", 1);
        for (char *at = (char *)list.data, *end; *at != '.'; at = end + 1) {
            end = strchr(at, '\n');
            *end = '\0';
            add_function(plugins, name, at, NULL, false);
        }
        plugins->paths = mem_grow(plugins->paths, &plugins->path_capacity, plugins->path_count + 1,
                                  sizeof(*plugins->paths));
        plugins->paths[plugins->path_count++] = mem_strdup(path);
    }
    buf_fini(&list);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum synk_status plugins_find(struct plugins *plugins, const char *directory, const char *program,
                              struct synk_error *error)
{
    enum synk_status status = plugin_check_path(directory, true, error);
    if (status)
        return status;
    DIR *stream = opendir(directory);
    if (!stream)
        return status_fail(error, SYNK_REFUSED, "%s: %s", directory, strerror(errno));
    char **names = NULL;
    size_t count = 0, capacity = 0;
    for (struct dirent *entry; (entry = readdir(stream));) {
        char name[NAME_BYTES + 1];
        if (!name_of(entry->d_name, name, sizeof(name)))
            continue;
        names = mem_grow(names, &capacity, count + 1, sizeof(*names));
        names[count++] = mem_strdup(name);
    }
    closedir(stream);
    if (count)
        qsort(names, count, sizeof(*names), by_name);
    for (size_t i = 0; i < count; i++) {
        struct buf path = {0};
        buf_printf(&path, "%s/%s.so%c", directory, names[i], '\0');
        find_one(plugins, (char *)path.data, names[i], program);
        buf_fini(&path);
        free(names[i]);
    }
    free(names);
    return SYNK_OK;
}
