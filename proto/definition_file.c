/*
 * Definition files: read whole, parsed, validated. What is relative in a file is relative to the
 * directory that holds it, with links resolved, so that it means the same from everywhere.
 */
#include "proto/definition_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/definition_internal.h"
#include "proto/definition_supported.h"
#include "proto/limits.h"

static enum synk_status read_all(int fd, const char *source, struct buf *out,
                                 struct synk_error *error)
{
    for (;;) {
        buf_reserve(out, 64 << 10);
        ssize_t got = read(fd, out->data + out->size, out->capacity - out->size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return status_fail(error, SYNK_IO, "cannot read %s: %s", source, strerror(errno));
        if (got == 0)
            return SYNK_OK;
        out->size += (size_t)got;
        if (out->size > LIMIT_UPLOAD_BYTES)
            return status_fail(error, SYNK_TOO_LARGE, "%s: more than %d bytes", source,
                               LIMIT_UPLOAD_BYTES);
    }
}

static enum synk_status read_file(const char *path, struct buf *out, struct synk_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return status_fail(error, SYNK_IO, "cannot open %s: %s", path, strerror(errno));
    enum synk_status status = read_all(fd, path, out, error);
    close(fd);
    return status;
}

/* The absolute directory of a file, for the caller to free; NULL with errno set. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return realpath(".", NULL);
    char *directory = mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
    char *absolute = realpath(directory, NULL);
    free(directory);
    return absolute;
}

static const struct node *entry_of(const struct node *document, const char *list, const char *id)
{
    const struct node *entries = definition_node_get(document, list);
    for (uint32_t i = 0; entries && i < entries->count; i++) {
        const struct node *name = definition_node_get(&entries->items[i], "id");
        if (name && name->kind == NODE_STRING && bytes_equal(name->text, bytes_str(id)))
            return &entries->items[i];
    }
    return NULL;
}

/* Refuses what the engine would refuse, with the line, which only the file knows. */
static enum synk_status check_supported(const struct definition *unit, const struct node *document,
                                        const char *source, struct synk_error *error)
{
    struct unsupported what;
    if (definition_is_supported(unit, &what))
        return SYNK_OK;
    bool is_process = unit->kind == UNIT_PROCESS;
    const struct node *at = entry_of(document, is_process ? "processes" : "workers", unit->id);
    if (is_process && what.worker != UINT32_MAX && at)
        at = &definition_node_get(at, "workers")->items[what.worker];
    const struct node *field = at ? definition_node_get(at, what.field) : NULL;
    if (field)
        at = field;
    struct buf place = {0};
    buf_printf(&place, "%s:%u: %c", source, at ? at->line : 1, '\0');
    enum synk_status status =
        definition_fail_unsupported(unit, &what, (const char *)place.data, error);
    buf_fini(&place);
    return status;
}

static enum synk_status read_document(const struct node *document, const char *source,
                                      const char *directory,
                                      const struct expression_checker *checker,
                                      struct definition_set *set, struct synk_error *error)
{
    size_t count = set->count, limits = set->limit_count, warnings = set->warnings.size;
    enum synk_status status = definition_validate(document, source, directory, checker, set, error);
    for (size_t i = count; i < set->count && !status; i++)
        status = check_supported(set->units[i], document, source, error);
    if (status) {
        while (set->count > count)
            definition_unref(set->units[--set->count]);
        while (set->limit_count > limits)
            free(set->limits[--set->limit_count].name);
        set->warnings.size = warnings;
    }
    return status;
}

enum synk_status definition_load_file(const char *path, const struct expression_checker *checker,
                                      struct definition_set *set, struct synk_error *error)
{
    bool is_stdin = strcmp(path, "-") == 0;
    const char *source = is_stdin ? "stdin" : path;
    struct buf text = {0};
    struct arena arena = {0};
    struct node document;
    char *directory = NULL;
    enum synk_status status =
        is_stdin ? read_all(STDIN_FILENO, source, &text, error) : read_file(path, &text, error);
    if (!status && !(directory = directory_of(is_stdin ? "." : path)))
        status = status_fail(error, SYNK_IO, "cannot find the directory of %s: %s", source,
                             strerror(errno));
    if (!status)
        status = definition_parse_yaml(buf_bytes(&text), source, &arena, &document, error);
    if (!status)
        status = read_document(&document, source, directory, checker, set, error);
    free(directory);
    arena_fini(&arena);
    buf_fini(&text);
    return status;
}
