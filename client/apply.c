/*
 * Applying definition files: read and validated here, so that errors carry file and line, then sent
 * in canonical form as one document. What does not fit one message goes up in chunks that the
 * supervisor stages; it forgets them when it restarts, so then they go up again under another name.
 */
#include "client/client_internal.h"
#include "client/upload.h"
#include "proto/definition_file.h"
#include "proto/pack.h"
#include "proto/zone.h"

static enum synk_status load(const char *const *files, size_t count, struct definition_set *set,
                             struct synk_error *error)
{
    struct expression *expression = expression_new();
    struct expression_checker checker = expression_checker(expression);
    struct calendar calendar;
    calendar_init(&calendar);
    checker.calendar = &calendar;
    enum synk_status status = SYNK_OK;
    for (size_t i = 0; i < count && !status; i++)
        status = definition_load_file(files[i], &checker, set, error);
    calendar_fini(&calendar);
    expression_free(expression);
    return status;
}

static void encode_kind(const struct definition_set *set, enum unit_kind kind, const char *key,
                        struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < set->count; i++)
        count += set->units[i]->kind == kind;
    pack_key(out, key);
    pack_array(out, count);
    for (size_t i = 0; i < set->count; i++)
        if (set->units[i]->kind == kind)
            definition_encode(set->units[i], out);
}

static void encode(const struct definition_set *set, struct buf *out)
{
    pack_map(out, 3);
    pack_key(out, "limits");
    pack_map(out, set->limit_count);
    for (size_t i = 0; i < set->limit_count; i++) {
        pack_cstr(out, set->limits[i].name);
        pack_uint(out, set->limits[i].most);
    }
    encode_kind(set, UNIT_PROCESS, "processes", out);
    encode_kind(set, UNIT_WORKER, "workers", out);
}

/* `upload` NULL: the document goes along. */
static enum synk_status send_apply(struct synk_client *client, const struct buf *document,
                                   const char *upload, bool check, bool prune,
                                   struct synk_document **ret_body, struct synk_error *error)
{
    struct buf body = {0};
    pack_map(&body, 3);
    pack_key(&body, upload ? "upload" : "document");
    if (upload)
        pack_cstr(&body, upload);
    else
        pack_encoded(&body, buf_bytes(document));
    pack_key(&body, "check");
    pack_bool(&body, check);
    pack_key(&body, "prune");
    pack_bool(&body, prune);
    enum synk_status status = synk_call(client, "apply", buf_bytes(&body), ret_body, error);
    buf_fini(&body);
    return status;
}

static enum synk_status upload_and_apply(struct synk_client *client, const struct buf *document,
                                         bool check, bool prune, struct synk_document **ret_body,
                                         struct synk_error *error)
{
    enum synk_status status = SYNK_IO;
    for (int try = 0; try < UPLOAD_TRIES; try++) {
        char upload[UPLOAD_NAME_BYTES];
        uint32_t epoch = upload_epoch(client);
        status = upload_name(upload, error);
        if (!status)
            status = upload_send(client, upload, buf_bytes(document), error);
        if (!status)
            status = send_apply(client, document, upload, check, prune, ret_body, error);
        /* Only a new supervisor explains that a staged upload is gone. */
        if (!status || epoch == 0 || epoch == upload_epoch(client))
            return status;
    }
    return status;
}

enum synk_status synk_apply(struct synk_client *client, const char *const *files, size_t count,
                            bool check, bool prune, struct synk_document **ret_body,
                            struct synk_error *error)
{
    struct definition_set set = {0};
    struct buf document = {0};
    enum synk_status status = load(files, count, &set, error);
    if (!status)
        encode(&set, &document);
    definition_set_fini(&set);
    if (!status && document.size > LIMIT_UPLOAD_BYTES)
        status = status_fail(error, SYNK_TOO_LARGE, "%zu bytes of definitions: %d are allowed",
                             document.size, LIMIT_UPLOAD_BYTES);
    else if (!status && document.size <= UPLOAD_INLINE_BYTES)
        status = send_apply(client, &document, NULL, check, prune, ret_body, error);
    else if (!status)
        status = upload_and_apply(client, &document, check, prune, ret_body, error);
    buf_fini(&document);
    return status;
}
