/*
 * The blocking calls: a request, and the loop around it until its callback has run. Invariant: when
 * a call returns, nothing refers to its frame any more; a request whose caller gave up is
 * forgotten.
 */
#include "client/client_internal.h"
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

/* Asks and waits; locked. */
static enum synk_status ask(struct synk_client *client, const char *type, struct synk_bytes body,
                            struct call *call, struct synk_error *error)
{
    enum synk_status status = synk_request(client, type, body, on_reply, call, error);
    if (status)
        return status;
    uint64_t sequence = client->requests.next_sequence;
    int64_t end_ms = client->timeout_ms > 0 ? client_now_ms() + client->timeout_ms : INT64_MAX;
    while (!call->is_done)
        if (turn_wait(client, end_ms) == SYNK_TIMEOUT && !call->is_done) {
            requests_forget(client, sequence);
            return status_fail(error, SYNK_TIMEOUT,
                               "no answer to '%s' from the supervisor on %s "
                               "within %lld ms",
                               type, client->where, (long long)client->timeout_ms);
        }
    if (call->status && error)
        *error = call->error;
    return call->status;
}

enum synk_status synk_call(struct synk_client *client, const char *type, struct synk_bytes body,
                           struct synk_document **ret_body, struct synk_error *error)
{
    struct call call = {.wants_body = ret_body != NULL};
    enum synk_status status;
    if (client->fail_fast && (status = client_check_supervisor(client, error)))
        return status;
    client_lock(client);
    status = ask(client, type, body, &call, error);
    client_unlock(client);
    if (!status && ret_body)
        *ret_body = call.body;
    return status;
}
