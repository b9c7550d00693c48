/*
 * What a command says: lines on descriptor 3, and output that is to become text in a result.
 * Invariant: a pending line is at most LINE_MAX_BYTES long.
 */
#include "proto/check.h"
#include "proto/json.h"
#include "proto/value.h"
#include "worker-host/exec.h"
#include "worker-host/task.h"

enum {
    /* A milestone with a full payload as JSON text; what is longer cannot be a message of ours. */
    LINE_MAX_BYTES = LIMIT_VALUE_BYTES + 4096,
};

void exec_clean_text(struct synk_bytes text, struct buf *out)
{
    const uint8_t *data = text.data;
    size_t at = 0;
    /* A tail may begin inside a character. */
    while (at < text.size && at < 3 && (data[at] & 0xc0) == 0x80)
        at++;
    while (at < text.size) {
        size_t good = check_utf8_prefix(bytes_of(data + at, text.size - at));
        buf_append(out, data + at, good);
        at += good;
        if (at < text.size) {
            buf_append(out, "?", 1);
            at++;
        }
    }
}

/* Carries one line out; false when it means nothing. */
static bool handle(struct synk_bytes line, struct synk_task *task)
{
    struct buf encoded = {0};
    struct synk_document *document = NULL;
    bool is_good = false;
    if (json_parse(line, &encoded, NULL) == SYNK_OK &&
        synk_document_decode(buf_bytes(&encoded), &document, NULL) == SYNK_OK) {
        const struct synk_value *root = synk_document_root(document);
        const struct synk_value *progress = synk_value_get(root, "progress");
        struct synk_bytes name = synk_value_bytes(synk_value_get(root, "milestone"));
        enum synk_kind kind = synk_value_kind(progress);
        if (kind == SYNK_DOUBLE || kind == SYNK_INT) {
            synk_task_progress(task, synk_value_double(progress, 0));
            is_good = true;
        }
        if (name.size) {
            struct buf payload = {0};
            const struct synk_value *value = synk_value_get(root, "payload");
            if (!value_is_null(value))
                value_encode(value, &payload);
            is_good = task_milestone(task, name, buf_bytes(&payload)) == SYNK_OK;
            buf_fini(&payload);
        }
    }
    synk_document_free(document);
    buf_fini(&encoded);
    return is_good;
}

void exec_lines_add(struct exec_lines *lines, struct synk_bytes bytes, struct synk_task *task,
                    void (*log)(void *context, struct synk_bytes line), void *context)
{
    const uint8_t *at = bytes.data, *end = at + bytes.size;
    while (at < end) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((newline ? newline : end) - at);
        if (!lines->skips && lines->pending.size + size > LINE_MAX_BYTES) {
            log(context, bytes_str("[descriptor 3: a line is too long]\n"));
            buf_clear(&lines->pending);
            lines->skips = true;
        }
        if (!lines->skips)
            buf_append(&lines->pending, at, size);
        at += size + (newline ? 1 : 0);
        if (!newline)
            break;
        struct synk_bytes line = buf_bytes(&lines->pending);
        if (!lines->skips && line.size && !handle(line, task)) {
            log(context, bytes_str("[descriptor 3: not understood] "));
            buf_append(&lines->pending, "\n", 1);
            log(context, buf_bytes(&lines->pending));
        }
        buf_clear(&lines->pending);
        lines->skips = false;
    }
}
