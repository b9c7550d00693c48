/* <synk/pool.h>: each call is a body and the request it goes with. */
#include "client/call.h"
#include "synk/pool.h"

static enum synk_status put_submission(struct synk_builder *body,
                                       const struct synk_submission *submission,
                                       struct synk_error *error)
{
    call_put_string(body, "function", submission->function);
    call_put_encoded(body, "payload", submission->payload);
    if (submission->items) {
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
    return call_check_reserved(submission->reserved,
                               sizeof(submission->reserved) / sizeof(submission->reserved[0]),
                               "synk_submission", error);
}

enum synk_status synk_submit(struct synk_client *client, const struct synk_submission *submission,
                             char **ret_run, struct synk_error *error)
{
    struct synk_builder *body = call_body();
    enum synk_status status = put_submission(body, submission, error);
    if (!status)
        return call_send_for_string(client, "submit", body, "run", ret_run, error);
    synk_builder_free(body);
    return status;
}

enum synk_status synk_submit_start(struct synk_client *client,
                                   const struct synk_submission *submission, synk_run_reply reply,
                                   void *context, struct synk_error *error)
{
    struct synk_builder *body = call_body();
    enum synk_status status = put_submission(body, submission, error);
    if (!status)
        return call_start_for_run(client, "submit", body, reply, context, error);
    synk_builder_free(body);
    return status;
}
