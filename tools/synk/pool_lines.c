/* Lines of a file as the params of tasks, encoded one behind the other. */
#include "tools/synk/pool_lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/check.h"
#include "proto/limits.h"

struct reader {
    const char *source;
    bool is_json;
    size_t line;
    struct synk_builder *builder;
    size_t *ends;
    size_t capacity;
};

static int add(struct pool_lines *lines, struct reader *reader, const char *text, size_t size)
{
    struct synk_error error;
    if (!check_utf8(bytes_of(text, size)) || memchr(text, 0, size))
        return fail(EXIT_USAGE, "%s:%zu: not UTF-8", reader->source, reader->line);
    if (reader->is_json) {
        synk_builder_clear(reader->builder);
        if (synk_builder_json(reader->builder, text, size, &error) != SYNK_OK)
            return fail(EXIT_USAGE, "%s:%zu: not JSON: %s", reader->source, reader->line,
                        error.text);
        struct synk_bytes value = synk_builder_bytes(reader->builder);
        buf_append(&lines->encoded, value.data, value.size);
    } else {
        pack_string(&lines->encoded, bytes_of(text, size));
    }
    if (lines->count == LIMIT_POOL_TASKS)
        return fail(EXIT_USAGE, "%s:%zu: a submission has at most %d tasks", reader->source,
                    reader->line, LIMIT_POOL_TASKS);
    reader->ends =
        mem_grow(reader->ends, &reader->capacity, lines->count + 1, sizeof(*reader->ends));
    reader->ends[lines->count++] = lines->encoded.size;
    return EXIT_DONE;
}

int pool_lines_read(struct pool_lines *lines, const char *path, bool is_json)
{
    bool is_stdin = strcmp(path, "-") == 0;
    struct reader reader = {.source = is_stdin ? "stdin" : path, .is_json = is_json};
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    char *text = NULL;
    size_t capacity = 0;
    ssize_t size;
    int code = EXIT_DONE;
    *lines = (struct pool_lines){0};
    if (!file)
        return fail(EXIT_USAGE, "cannot open %s: %s", path, strerror(errno));
    reader.builder = synk_builder_new();
    while (!code && (size = getline(&text, &capacity, file)) >= 0) {
        reader.line++;
        while (size && (text[size - 1] == '\n' || text[size - 1] == '\r'))
            size--;
        if (size)
            code = add(lines, &reader, text, (size_t)size);
    }
    if (!code && ferror(file))
        code = fail(EXIT_USAGE, "cannot read %s: %s", reader.source, strerror(errno));
    if (!code && !lines->count)
        code = fail(EXIT_USAGE, "%s has no line that is not empty", reader.source);
    lines->items = mem_alloc((lines->count + 1) * sizeof(*lines->items));
    for (size_t i = 0; i < lines->count; i++) {
        size_t start = i ? reader.ends[i - 1] : 0;
        lines->items[i] = bytes_of(lines->encoded.data + start, reader.ends[i] - start);
    }
    synk_builder_free(reader.builder);
    free(reader.ends);
    free(text);
    if (!is_stdin)
        fclose(file);
    return code;
}

void pool_lines_fini(struct pool_lines *lines)
{
    buf_fini(&lines->encoded);
    free(lines->items);
}
