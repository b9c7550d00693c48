/* Reading the payload of `exec`. Invariant: nothing is written outside the payload's arena. */
#include "worker-host/exec_payload.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

enum {
    ARGUMENTS_MAX = 65536,
    ENV_FILE_BYTES = 1 << 20,
};

static bool has_nul(struct synk_bytes text)
{
    return text.size && memchr(text.data, '\0', text.size);
}

/* A scalar as text, the way JSON writes it; NULL for what has no such form. */
static const char *scalar_text(struct arena *arena, const struct synk_value *value)
{
    struct synk_bytes text = synk_value_bytes(value);
    switch (synk_value_kind(value)) {
    case SYNK_STRING:
        return has_nul(text) ? NULL : arena_strndup(arena, text.data ? text.data : "", text.size);
    case SYNK_BOOL:
    case SYNK_INT:
    case SYNK_DOUBLE: {
        char *json = synk_value_json_dup(value);
        const char *copy = arena_strdup(arena, json);
        free(json);
        return copy;
    }
    default:
        return NULL;
    }
}

static enum synk_status read_arguments(const struct synk_value *command, struct arena *arena,
                                       char *const **ret_argv, struct synk_error *error)
{
    char **argv;
    if (synk_value_kind(command) == SYNK_STRING) {
        argv = arena_zalloc(arena, 4, sizeof(*argv));
        argv[0] = "/bin/sh";
        argv[1] = "-c";
        argv[2] = (char *)(uintptr_t)scalar_text(arena, command);
        if (!argv[2])
            return status_fail(error, SYNK_INVALID, "command holds a NUL byte");
        *ret_argv = argv;
        return SYNK_OK;
    }
    size_t count = synk_value_count(command);
    if (synk_value_kind(command) != SYNK_ARRAY || count == 0)
        return status_fail(error, SYNK_INVALID,
                           "payload.command must be a shell line or a list of arguments");
    if (count > ARGUMENTS_MAX)
        return status_fail(error, SYNK_TOO_LARGE, "command has %zu arguments; the limit is %d",
                           count, ARGUMENTS_MAX);
    argv = arena_zalloc(arena, count + 1, sizeof(*argv));
    for (size_t i = 0; i < count; i++) {
        argv[i] = (char *)(uintptr_t)scalar_text(arena, synk_value_at(command, i));
        if (!argv[i])
            return status_fail(error, SYNK_INVALID, "command[%zu] must be a string or a number", i);
    }
    if (!argv[0][0])
        return status_fail(error, SYNK_INVALID, "command[0], the program, is empty");
    *ret_argv = argv;
    return SYNK_OK;
}

/* Params as an argument: a string as it is, anything else as JSON. */
static const char *params_text(struct arena *arena, const struct synk_value *params)
{
    if (synk_value_kind(params) == SYNK_STRING)
        return scalar_text(arena, params);
    char *json = synk_value_json_dup(params);
    const char *copy = arena_strdup(arena, json);
    free(json);
    return copy;
}

static char *replace_all(struct arena *arena, const char *text, const char *mark, const char *by)
{
    size_t count = 0, mark_size = strlen(mark), by_size = strlen(by);
    for (const char *at = strstr(text, mark); at; at = strstr(at + mark_size, mark))
        count++;
    char *made = arena_alloc(arena, strlen(text) + count * by_size + 1), *end = made;
    for (const char *at; (at = strstr(text, mark)); text = at + mark_size) {
        memcpy(end, text, (size_t)(at - text));
        end += at - text;
        memcpy(end, by, by_size);
        end += by_size;
    }
    strcpy(end, text);
    return made;
}

/* `replace` is a mark that stands for the task's params in the elements of a list. Never in a shell
 * line, where params could say what is run. */
static enum synk_status replace_marks(const struct synk_task *task,
                                      const struct synk_value *payload, struct arena *arena,
                                      char *const *argv, struct synk_error *error)
{
    const struct synk_value *mark = synk_value_get(payload, "replace");
    if (synk_value_kind(mark) == SYNK_NULL)
        return SYNK_OK;
    const char *text = scalar_text(arena, mark);
    if (synk_value_kind(mark) != SYNK_STRING || !text || !*text)
        return status_fail(error, SYNK_INVALID, "replace must be a string that is not empty");
    if (synk_value_kind(synk_value_get(payload, "command")) == SYNK_STRING)
        return status_fail(error, SYNK_INVALID, "replace needs a command that is a list");
    const char *params = params_text(arena, synk_task_params(task));
    if (!params)
        return status_fail(error, SYNK_INVALID, "params hold a NUL byte");
    for (char **at = (char **)(uintptr_t)argv; *at; at++)
        if (strstr(*at, text))
            *at = replace_all(arena, *at, text, params);
    return SYNK_OK;
}

struct environment {
    struct arena *arena;
    char **entries;
    size_t count, capacity;
};

/* Sets NAME=VALUE over an earlier one of that name. */
static void set_entry(struct environment *environment, char *entry)
{
    size_t name = (size_t)(strchr(entry, '=') - entry) + 1;
    for (size_t i = 0; i < environment->count; i++) {
        if (strncmp(environment->entries[i], entry, name) == 0) {
            environment->entries[i] = entry;
            return;
        }
    }
    if (environment->count + 1 >= environment->capacity) {
        size_t capacity = environment->capacity * 2 + 64;
        char **entries = arena_zalloc(environment->arena, capacity, sizeof(*entries));
        if (environment->count)
            memcpy(entries, environment->entries, environment->count * sizeof(*entries));
        environment->entries = entries;
        environment->capacity = capacity;
    }
    environment->entries[environment->count++] = entry;
}

static void set_pair(struct environment *environment, struct synk_bytes name, const char *value)
{
    size_t size = strlen(value);
    char *entry = arena_alloc(environment->arena, name.size + size + 2);
    memcpy(entry, name.data, name.size);
    entry[name.size] = '=';
    memcpy(entry + name.size + 1, value, size + 1);
    set_entry(environment, entry);
}

static bool is_name(struct synk_bytes name)
{
    return name.size && !has_nul(name) && !memchr(name.data, '=', name.size);
}

static enum synk_status read_file(const char *path, struct arena *arena, char **ret_text,
                                  struct synk_error *error)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info)) {
        int problem = errno;
        if (fd >= 0)
            close(fd);
        return status_fail(error, SYNK_INVALID, "envFile '%s': %s", path, strerror(problem));
    }
    if (info.st_size > ENV_FILE_BYTES) {
        close(fd);
        return status_fail(error, SYNK_TOO_LARGE, "envFile '%s' has %lld bytes; the limit is %d",
                           path, (long long)info.st_size, ENV_FILE_BYTES);
    }
    char *text = arena_zalloc(arena, (size_t)info.st_size + 1, 1);
    ssize_t got = read(fd, text, (size_t)info.st_size);
    int problem = errno;
    close(fd);
    if (got < 0)
        return status_fail(error, SYNK_INVALID, "envFile '%s': %s", path, strerror(problem));
    *ret_text = text;
    return SYNK_OK;
}

/* KEY=VALUE lines; blank lines and # comments are passed over, one pair of quotes is taken off, and
 * so is `export`. */
static enum synk_status read_env_file(const char *path, struct environment *environment,
                                      struct synk_error *error)
{
    char *text = NULL, *rest;
    enum synk_status status = read_file(path, environment->arena, &text, error);
    if (status)
        return status;
    int number = 0;
    for (rest = text; rest && *rest;) {
        char *line = strsep(&rest, "\n");
        number++;
        line += strspn(line, " \t");
        if (strncmp(line, "export ", 7) == 0)
            line += 7;
        for (size_t size = strlen(line); size && strchr(" \t\r", line[size - 1]); size--)
            line[size - 1] = '\0';
        if (!*line || *line == '#')
            continue;
        char *value = strchr(line, '=');
        if (!value || value == line)
            return status_fail(error, SYNK_INVALID, "envFile '%s', line %d: not KEY=VALUE", path,
                               number);
        *value++ = '\0';
        size_t size = strlen(value);
        if (size >= 2 && (*value == '"' || *value == '\'') && value[size - 1] == *value) {
            value[size - 1] = '\0';
            value++;
        }
        set_pair(environment, bytes_str(line), value);
    }
    return SYNK_OK;
}

static enum synk_status read_environment(const struct synk_task *task,
                                         const struct synk_value *payload, const char *input_path,
                                         struct environment *environment, struct synk_error *error)
{
    for (char **entry = environ; *entry; entry++)
        if (strchr(*entry, '='))
            set_entry(environment, *entry);
    const struct synk_value *file = synk_value_get(payload, "envFile");
    if (synk_value_kind(file) != SYNK_NULL) {
        const char *path = scalar_text(environment->arena, file);
        if (!path)
            return status_fail(error, SYNK_INVALID, "envFile must be a path");
        enum synk_status status = read_env_file(path, environment, error);
        if (status)
            return status;
    }
    const struct synk_value *pairs = synk_value_get(payload, "env");
    for (size_t i = 0; i < synk_value_count(pairs); i++) {
        struct synk_bytes name = synk_value_key_at(pairs, i);
        const char *value = scalar_text(environment->arena, synk_value_at(pairs, i));
        if (!is_name(name) || !value)
            return status_fail(error, SYNK_INVALID, "env.%.*s must be a string or a number",
                               (int)(name.size < 100 ? name.size : 100), (const char *)name.data);
        set_pair(environment, name, value);
    }
    char attempt[16];
    snprintf(attempt, sizeof(attempt), "%u", synk_task_attempt(task));
    set_pair(environment, bytes_str("SYNK_RUN"), synk_task_run(task));
    set_pair(environment, bytes_str("SYNK_WORKER"), synk_task_worker(task));
    set_pair(environment, bytes_str("SYNK_ATTEMPT"), attempt);
    set_pair(environment, bytes_str("SYNK_INPUT"), input_path);
    return SYNK_OK;
}

/* The paths that a program's name stands for, by the command's own PATH. */
static const char *const *find_programs(const char *name, char *const *environment,
                                        struct arena *arena)
{
    const char *path = "/usr/local/bin:/usr/bin:/bin";
    for (; *environment; environment++)
        if (strncmp(*environment, "PATH=", 5) == 0)
            path = *environment + 5;
    size_t count = 1;
    for (const char *at = path; *at; at++)
        count += *at == ':';
    const char **programs = arena_zalloc(arena, count + 1, sizeof(*programs));
    if (strchr(name, '/')) {
        programs[0] = name;
        return programs;
    }
    for (size_t i = 0; i < count; i++) {
        size_t size = strcspn(path, ":");
        char *program = arena_alloc(arena, size + strlen(name) + 3);
        sprintf(program, "%.*s/%s", (int)(size ? size : 1), size ? path : ".", name);
        programs[i] = program;
        path += size + (path[size] == ':');
    }
    return programs;
}

/* `field` is absent or says "json". */
static enum synk_status read_json_flag(const struct synk_value *payload, const char *field,
                                       bool *ret_flag, struct synk_error *error)
{
    const struct synk_value *value = synk_value_get(payload, field);
    *ret_flag = bytes_equal(synk_value_bytes(value), bytes_str("json"));
    if (*ret_flag || synk_value_kind(value) == SYNK_NULL)
        return SYNK_OK;
    return status_fail(error, SYNK_INVALID, "%s must be 'json' or absent", field);
}

enum synk_status exec_payload_read(const struct synk_task *task, const char *input_path,
                                   struct exec_payload *ret_payload, struct synk_error *error)
{
    const struct synk_value *payload = synk_task_payload(task);
    struct exec_payload read = {0};
    struct environment environment = {.arena = &read.arena};
    enum synk_status status =
        read_arguments(synk_value_get(payload, "command"), &read.arena, &read.command.argv, error);
    if (!status)
        status = replace_marks(task, payload, &read.arena, read.command.argv, error);
    if (!status)
        status = read_environment(task, payload, input_path, &environment, error);
    if (!status)
        status = read_json_flag(payload, "stdin", &read.command.reads_input, error);
    if (!status)
        status = read_json_flag(payload, "output", &read.output_is_json, error);
    const struct synk_value *cwd = synk_value_get(payload, "cwd");
    if (!status && synk_value_kind(cwd) != SYNK_NULL) {
        read.command.cwd = scalar_text(&read.arena, cwd);
        if (!read.command.cwd)
            status = status_fail(error, SYNK_INVALID, "cwd must be a path");
    }
    if (status) {
        arena_fini(&read.arena);
        return status;
    }
    read.command.environment = environment.entries;
    read.command.programs =
        find_programs(read.command.argv[0], read.command.environment, &read.arena);
    *ret_payload = read;
    return SYNK_OK;
}

void exec_payload_fini(struct exec_payload *payload)
{
    arena_fini(&payload->arena);
}
