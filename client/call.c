/*
 * The blocking calls: a request, and the loop around it until its callback has run. Invariant: when
 * a call returns, nothing refers to its frame any more; a request whose caller gave up is
 * forgotten.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client_internal.h"
#include "proto/pack.h"
#include "proto/value.h"

struct call {
    bool is_done;
    enum synk_status status;
    struct synk_error error;
    bool wants_body;
    struct synk_document *body;
};

static void on_reply(void *context, enum synk_status status, const struct synk_value *body,
                     const struct synk_error *error)
{
    struct call *call = context;
    call->is_done = true;
    call->status = status;
    if (status != SYNK_OK) {
        call->error = *error;
        return;
    }
    if (!call->wants_body)
        return;
    struct buf encoded = {0};
    value_encode(body, &encoded);
    call->status =
        value_decode_owned(buf_bytes(&encoded), &check_message_limits, &call->body, &call->error);
    buf_fini(&encoded);
}

static enum synk_status wait_for(struct synk_client *client, const struct call *call)
{
    int64_t end_ms = client->timeout_ms > 0 ? client_now_ms() + client->timeout_ms : INT64_MAX;
    while (!call->is_done) {
        int timeout_ms = -1;
        if (end_ms != INT64_MAX) {
            int64_t left_ms = end_ms - client_now_ms();
            if (left_ms <= 0)
                return SYNK_TIMEOUT;
            timeout_ms = left_ms < INT32_MAX ? (int)left_ms : INT32_MAX;
        }
        synk_client_wait(client, timeout_ms);
    }
    return SYNK_OK;
}

enum synk_status synk_call(struct synk_client *client, const char *type, struct synk_bytes body,
                           struct synk_document **ret_body, struct synk_error *error)
{
    struct call call = {.wants_body = ret_body != NULL};
    enum synk_status status;
    if (client->fail_fast && (status = client_check_supervisor(client, error)))
        return status;
    if ((status = synk_request(client, type, body, on_reply, &call, error)))
        return status;
    uint64_t sequence = client->requests.next_sequence;
    if (wait_for(client, &call) != SYNK_OK) {
        requests_forget(client, sequence);
        return status_fail(error, SYNK_TIMEOUT,
                           "no answer to '%s' from the supervisor on %s "
                           "within %lld ms",
                           type, client->directory.run, (long long)client->timeout_ms);
    }
    if (call.status) {
        if (error)
            *error = call.error;
        return call.status;
    }
    if (ret_body)
        *ret_body = call.body;
    return SYNK_OK;
}

/* A body of one entry. */
static void pack_one(struct buf *body, const char *key, const char *text)
{
    pack_map(body, 1);
    pack_key(body, key);
    pack_cstr(body, text);
}

/* Calls, and takes the string under "run" out of the reply. Consumes the body. */
static enum synk_status call_for_run(struct synk_client *client, const char *type, struct buf *body,
                                     char **ret_run, struct synk_error *error)
{
    struct synk_document *reply = NULL;
    enum synk_status status =
        synk_call(client, type, buf_bytes(body), ret_run ? &reply : NULL, error);
    buf_fini(body);
    if (!status && ret_run) {
        char *run = synk_value_string_dup(synk_value_get(synk_document_root(reply), "run"));
        if (run)
            *ret_run = run;
        else
            status = status_fail(error, SYNK_PROTOCOL, "the supervisor's reply to '%s' has no run",
                                 type);
    }
    synk_document_free(reply);
    return status;
}

enum synk_status synk_run(struct synk_client *client, const char *unit, struct synk_bytes params,
                          char **ret_run, struct synk_error *error)
{
    struct buf body = {0};
    pack_map(&body, 1 + (params.size > 0));
    pack_key(&body, "unit");
    pack_cstr(&body, unit);
    if (params.size) {
        pack_key(&body, "params");
        pack_encoded(&body, params);
    }
    return call_for_run(client, "run", &body, ret_run, error);
}

enum synk_status synk_wait(struct synk_client *client, const char *run,
                           struct synk_document **ret_body, struct synk_error *error)
{
    struct buf body = {0};
    pack_one(&body, "run", run);
    enum synk_status status = synk_call(client, "wait", buf_bytes(&body), ret_body, error);
    buf_fini(&body);
    return status;
}

enum synk_status synk_cancel(struct synk_client *client, const char *run, struct synk_error *error)
{
    struct buf body = {0};
    pack_one(&body, "run", run);
    enum synk_status status = synk_call(client, "cancel", buf_bytes(&body), NULL, error);
    buf_fini(&body);
    return status;
}

static void pack_submission(const struct synk_submission *submission, struct buf *body)
{
    bool has_timeout = submission->timeout_ms >= 0;
    pack_map(body, 5 + (submission->payload.size > 0) + has_timeout);
    pack_key(body, "function");
    pack_cstr(body, submission->function);
    if (submission->payload.size) {
        pack_key(body, "payload");
        pack_encoded(body, submission->payload);
    }
    if (submission->items) {
        pack_key(body, "items");
        pack_array(body, submission->count);
        for (size_t i = 0; i < submission->count; i++)
            pack_encoded(body, submission->items[i]);
    } else {
        pack_key(body, "count");
        pack_uint(body, submission->count);
    }
    pack_key(body, "maxRetries");
    pack_uint(body, submission->max_retries);
    pack_key(body, "retryDelayMs");
    pack_int(body, submission->retry_delay_ms);
    if (has_timeout) {
        pack_key(body, "timeoutMs");
        pack_int(body, submission->timeout_ms);
    }
    pack_key(body, "priority");
    pack_int(body, submission->priority);
}

enum synk_status synk_submit(struct synk_client *client, const struct synk_submission *submission,
                             char **ret_run, struct synk_error *error)
{
    struct buf body = {0};
    pack_submission(submission, &body);
    return call_for_run(client, "submit", &body, ret_run, error);
}
