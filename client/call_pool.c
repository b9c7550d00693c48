/* <synk/pool.h>: each call is a body and the request it goes with. */
#include "client/call.h"
#include "client/upload.h"
#include "synk/pool.h"

static void put_lists(struct synk_builder *body, const struct synk_submission *submission)
{
    if (submission->tag_count)
        call_put_strings(body, "requires", submission->tags, submission->tag_count);
    if (submission->use_count) {
        synk_builder_string(body, "uses");
        synk_builder_map(body, submission->use_count);
        for (size_t i = 0; i < submission->use_count; i++) {
            synk_builder_string(body, submission->uses[i].limit);
            synk_builder_int(body, submission->uses[i].amount);
        }
    }
    if (submission->no_retry_exit_code_count) {
        synk_builder_string(body, "noRetryExitCodes");
        synk_builder_array(body, submission->no_retry_exit_code_count);
        for (size_t i = 0; i < submission->no_retry_exit_code_count; i++)
            synk_builder_int(body, submission->no_retry_exit_codes[i]);
    }
}

/* `upload`: where the items are; NULL = they go along. */
static enum synk_status put_submission(struct synk_builder *body,
                                       const struct synk_submission *submission,
                                       const char *upload, struct synk_error *error)
{
    call_put_string(body, "function", submission->function);
    call_put_encoded(body, "payload", submission->payload);
    call_put_encoded(body, "params", submission->params);
    if (upload) {
        call_put_string(body, "upload", upload);
    } else if (submission->items) {
        synk_builder_string(body, "items");
        synk_builder_array(body, submission->count);
        for (size_t i = 0; i < submission->count; i++)
            synk_builder_encoded(body, submission->items[i]);
    } else {
        call_put_int(body, "count", (int64_t)submission->count);
    }
    call_put_int(body, "maxRetries", submission->max_retries);
    call_put_int(body, "retryDelayMs", submission->retry_delay_ms);
    if (submission->timeout_ms >= 0)
        call_put_int(body, "timeoutMs", submission->timeout_ms);
    call_put_int(body, "priority", submission->priority);
    call_put_string(body, "key", submission->key);
    if (submission->delay_ms)
        call_put_int(body, "delayMs", submission->delay_ms);
    call_put_string(body, "name", submission->name);
    if (submission->paused)
        call_put_bool(body, "paused", true);
    if (submission->slots)
        call_put_int(body, "slots", submission->slots);
    if (submission->progress_timeout_ms)
        call_put_int(body, "progressTimeoutMs", submission->progress_timeout_ms);
    put_lists(body, submission);
    return call_check_reserved(submission->reserved,
                               sizeof(submission->reserved) / sizeof(submission->reserved[0]),
                               "synk_submission", error);
}

/* Whether the items may not fit a message: by their bytes, or by the objects in them, of which each
 * has one byte or more. */
static bool is_large(const struct synk_submission *submission)
{
    size_t bytes = submission->payload.size + submission->params.size;
    for (size_t i = 0; submission->items && i < submission->count; i++) {
        bytes += submission->items[i].size;
        if (bytes > LIMIT_MESSAGE_ITEMS / 2)
            return true;
    }
    return false;
}

/* What goes up: of each task the size of its params, 4 bytes big-endian, and the params. */
static enum synk_status gather(const struct synk_submission *submission, struct buf *out,
                               struct synk_error *error)
{
    for (size_t i = 0; i < submission->count; i++) {
        struct synk_bytes item = submission->items[i];
        uint32_t size = (uint32_t)item.size;
        uint8_t head[4] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                           (uint8_t)size};
        if (item.size > LIMIT_VALUE_BYTES || out->size + item.size + 4 > LIMIT_UPLOAD_BYTES) {
            buf_fini(out);
            return status_fail(error, SYNK_TOO_LARGE,
                               "params have at most %d bytes, of all tasks together %d",
                               LIMIT_VALUE_BYTES, LIMIT_UPLOAD_BYTES);
        }
        buf_append(out, head, 4);
        buf_append(out, item.data, item.size);
    }
    return SYNK_OK;
}

static enum synk_status submit_once(struct synk_client *client,
                                    const struct synk_submission *submission, const char *upload,
                                    char **ret_run, struct synk_error *error)
{
    struct synk_builder *body = call_body();
    enum synk_status status = put_submission(body, submission, upload, error);
    if (!status)
        return call_send_for_string(client, "submit", body, "run", ret_run, error);
    synk_builder_free(body);
    return status;
}

enum synk_status synk_submit(struct synk_client *client, const struct synk_submission *submission,
                             char **ret_run, struct synk_error *error)
{
    if (!is_large(submission))
        return submit_once(client, submission, NULL, ret_run, error);
    struct buf items = {0};
    enum synk_status status = gather(submission, &items, error);
    for (int tries = 0; tries < UPLOAD_TRIES && items.size; tries++) {
        char name[UPLOAD_NAME_BYTES];
        uint32_t epoch = upload_epoch(client);
        status = upload_name(name, error);
        if (!status)
            status = upload_send(client, name, buf_bytes(&items), error);
        if (!status)
            status = submit_once(client, submission, name, ret_run, error);
        /* Only a new supervisor explains that an upload is gone. */
        if (!status || epoch == 0 || epoch == upload_epoch(client))
            break;
    }
    buf_fini(&items);
    return status;
}

enum synk_status synk_submit_start(struct synk_client *client,
                                   const struct synk_submission *submission, synk_run_reply reply,
                                   void *context, struct synk_error *error)
{
    char name[UPLOAD_NAME_BYTES];
    bool uploads = is_large(submission);
    enum synk_status status = SYNK_OK;
    if (uploads) {
        struct buf items = {0};
        if (!(status = upload_name(name, error)) && !(status = gather(submission, &items, error)))
            status = upload_start(client, name, buf_bytes(&items), error);
        buf_fini(&items);
        if (status)
            return status;
    }
    struct synk_builder *body = call_body();
    status = put_submission(body, submission, uploads ? name : NULL, error);
    if (!status)
        return call_start_for_run(client, "submit", body, reply, context, error);
    synk_builder_free(body);
    return status;
}

enum synk_status synk_pool_update(struct synk_client *client, const char *run,
                                  struct synk_bytes changes, struct synk_error *error)
{
    struct synk_document *document;
    enum synk_status status = synk_document_decode(changes, &document, error);
    if (status)
        return status;
    const struct synk_value *map = synk_document_root(document);
    if (synk_value_kind(map) != SYNK_MAP) {
        synk_document_free(document);
        return status_fail(error, SYNK_INVALID, "the changes must be a map");
    }
    struct synk_builder *body = call_body();
    struct buf value = {0};
    call_put_string(body, "run", run);
    for (size_t i = 0; i < synk_value_count(map); i++) {
        struct synk_bytes key = synk_value_key_at(map, i);
        if (bytes_equal(key, bytes_str("run")))
            continue;
        buf_clear(&value);
        value_encode(synk_value_at(map, i), &value);
        synk_builder_string_n(body, key.data, key.size);
        synk_builder_encoded(body, buf_bytes(&value));
    }
    buf_fini(&value);
    synk_document_free(document);
    return call_send(client, "pool-update", body, NULL, error);
}

static enum synk_status hold(struct synk_client *client, const char *type, const char *const *runs,
                             size_t count, struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_strings(body, "runs", runs, count);
    return call_send(client, type, body, NULL, error);
}

enum synk_status synk_pool_pause(struct synk_client *client, const char *const *runs, size_t count,
                                 struct synk_error *error)
{
    return hold(client, "pause", runs, count, error);
}

enum synk_status synk_pool_resume(struct synk_client *client, const char *const *runs, size_t count,
                                  struct synk_error *error)
{
    return hold(client, "resume", runs, count, error);
}

enum synk_status synk_pool_order(struct synk_client *client, unsigned limit,
                                 struct synk_document **ret_body, struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_int(body, "limit", limit);
    return call_send(client, "pool-order", body, ret_body, error);
}

enum synk_status synk_resize(struct synk_client *client, const char *host, unsigned slots,
                             struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_string(body, "host", host);
    call_put_int(body, "slots", slots);
    return call_send(client, "resize", body, NULL, error);
}

enum synk_status synk_list_slots(struct synk_client *client, struct synk_list **ret_list,
                                 struct synk_error *error)
{
    return synk_list_open(client, "slots", NULL, ret_list, error);
}

enum synk_status synk_list_limits(struct synk_client *client, struct synk_list **ret_list,
                                  struct synk_error *error)
{
    return synk_list_open(client, "limits", NULL, ret_list, error);
}
