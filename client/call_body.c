/* Bodies of requests, sent and their replies read. See call.h. */
#include "client/call.h"

#include <stdlib.h>

struct synk_builder *call_body(void)
{
    struct synk_builder *body = synk_builder_new();
    synk_builder_begin_map(body);
    return body;
}

void call_put_string(struct synk_builder *body, const char *key, const char *text)
{
    if (!text)
        return;
    synk_builder_string(body, key);
    synk_builder_string(body, text);
}

void call_put_strings(struct synk_builder *body, const char *key, const char *const *texts,
                      size_t count)
{
    if (!texts)
        return;
    synk_builder_string(body, key);
    synk_builder_array(body, count);
    for (size_t i = 0; i < count; i++)
        synk_builder_string(body, texts[i]);
}

void call_put_int(struct synk_builder *body, const char *key, int64_t number)
{
    synk_builder_string(body, key);
    synk_builder_int(body, number);
}

void call_put_bool(struct synk_builder *body, const char *key, bool value)
{
    synk_builder_string(body, key);
    synk_builder_bool(body, value);
}

void call_put_encoded(struct synk_builder *body, const char *key, struct synk_bytes value)
{
    if (!value.size)
        return;
    synk_builder_string(body, key);
    synk_builder_encoded(body, value);
}

enum synk_status call_check_reserved(const uint64_t *reserved, size_t count, const char *what,
                                     struct synk_error *error)
{
    for (size_t i = 0; i < count; i++)
        if (reserved[i])
            return status_fail(error, SYNK_UNSUPPORTED,
                               "struct %s: a reserved field is set: the program needs a newer "
                               "libsynk than this one, or did not start from zero",
                               what);
    return SYNK_OK;
}

enum synk_status call_send(struct synk_client *client, const char *type, struct synk_builder *body,
                           struct synk_document **ret_body, struct synk_error *error)
{
    synk_builder_end(body);
    enum synk_status status = synk_call(client, type, synk_builder_bytes(body), ret_body, error);
    synk_builder_free(body);
    return status;
}

enum synk_status call_send_for_string(struct synk_client *client, const char *type,
                                      struct synk_builder *body, const char *key, char **ret_text,
                                      struct synk_error *error)
{
    struct synk_document *reply = NULL;
    enum synk_status status = call_send(client, type, body, ret_text ? &reply : NULL, error);
    if (!status && ret_text) {
        char *text = synk_value_string_dup(synk_value_get(synk_document_root(reply), key));
        if (text)
            *ret_text = text;
        else
            status = status_fail(error, SYNK_PROTOCOL, "the supervisor's reply to '%s' has no %s",
                                 type, key);
    }
    synk_document_free(reply);
    return status;
}

enum synk_status call_send_for_number(struct synk_client *client, const char *type,
                                      struct synk_builder *body, const char *key,
                                      uint64_t *ret_number, struct synk_error *error)
{
    struct synk_document *reply = NULL;
    enum synk_status status = call_send(client, type, body, ret_number ? &reply : NULL, error);
    if (!status && ret_number) {
        int64_t number = synk_value_int(synk_value_get(synk_document_root(reply), key), -1);
        if (number >= 0)
            *ret_number = (uint64_t)number;
        else
            status = status_fail(error, SYNK_PROTOCOL, "the supervisor's reply to '%s' has no %s",
                                 type, key);
    }
    synk_document_free(reply);
    return status;
}

enum synk_status call_start(struct synk_client *client, const char *type, struct synk_builder *body,
                            synk_reply reply, void *context, struct synk_error *error)
{
    synk_builder_end(body);
    enum synk_status status =
        synk_request(client, type, synk_builder_bytes(body), reply, context, error);
    synk_builder_free(body);
    return status;
}

/* A callback that wants the run's label alone. */
struct run_listener {
    synk_run_reply reply;
    void *context;
};

static void on_run(void *context, enum synk_status status, const struct synk_value *body,
                   const struct synk_error *error)
{
    struct run_listener *listener = context;
    struct synk_error missing;
    char *run = status ? NULL : synk_value_string_dup(synk_value_get(body, "run"));
    if (!status && !run) {
        status = status_fail(&missing, SYNK_PROTOCOL, "the supervisor's reply has no run");
        error = &missing;
    }
    if (listener->reply)
        listener->reply(listener->context, status, run, error);
    free(run);
    free(listener);
}

enum synk_status call_start_for_run(struct synk_client *client, const char *type,
                                    struct synk_builder *body, synk_run_reply reply, void *context,
                                    struct synk_error *error)
{
    struct run_listener *listener = mem_zalloc(1, sizeof(*listener));
    listener->reply = reply;
    listener->context = context;
    enum synk_status status = call_start(client, type, body, on_run, listener, error);
    if (status)
        free(listener);
    return status;
}
