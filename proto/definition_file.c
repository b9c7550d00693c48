/*
 * Definition files: read whole, parsed, validated. What is relative in a file is relative to the
 * directory that holds it, with links resolved, so that it means the same from everywhere.
 */
#include "proto/definition_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

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
        status = definition_validate(&document, source, directory, checker, set, error);
    free(directory);
    arena_fini(&arena);
    buf_fini(&text);
    return status;
}
