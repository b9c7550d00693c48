/* <synk/runs.h>: each call is a body and the request it goes with. */
#include "client/call.h"

static enum synk_status put_run(struct synk_builder *body, const char *unit,
                                const struct synk_run_options *options, struct synk_error *error)
{
    call_put_string(body, "unit", unit);
    if (!options)
        return SYNK_OK;
    call_put_encoded(body, "params", options->params);
    call_put_string(body, "key", options->key);
    call_put_string(body, "by", options->by);
    call_put_string(body, "overlap", options->overlap);
    if (options->delay_ms)
        call_put_int(body, "delayMs", options->delay_ms);
    if (options->has_priority)
        call_put_int(body, "priority", options->priority);
    return call_check_reserved(options->reserved,
                               sizeof(options->reserved) / sizeof(options->reserved[0]),
                               "synk_run_options", error);
}

enum synk_status synk_run_with(struct synk_client *client, const char *unit,
                               const struct synk_run_options *options, char **ret_run,
                               struct synk_error *error)
{
    struct synk_builder *body = call_body();
    enum synk_status status = put_run(body, unit, options, error);
    if (!status)
        return call_send_for_string(client, "run", body, "run", ret_run, error);
    synk_builder_free(body);
    return status;
}

enum synk_status synk_run(struct synk_client *client, const char *unit, struct synk_bytes params,
                          char **ret_run, struct synk_error *error)
{
    struct synk_run_options options = {.params = params};
    return synk_run_with(client, unit, &options, ret_run, error);
}

enum synk_status synk_run_start(struct synk_client *client, const char *unit,
                                const struct synk_run_options *options, synk_run_reply reply,
                                void *context, struct synk_error *error)
{
    struct synk_builder *body = call_body();
    enum synk_status status = put_run(body, unit, options, error);
    if (!status)
        return call_start_for_run(client, "run", body, reply, context, error);
    synk_builder_free(body);
    return status;
}

enum synk_status synk_tick(struct synk_client *client, const char *unit,
                           struct synk_document **ret_body, struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_string(body, "unit", unit);
    return call_send(client, "tick", body, ret_body, error);
}

static struct synk_builder *body_of_run(const char *run)
{
    struct synk_builder *body = call_body();
    call_put_string(body, "run", run);
    return body;
}

enum synk_status synk_wait(struct synk_client *client, const char *run,
                           struct synk_document **ret_body, struct synk_error *error)
{
    return call_send(client, "wait", body_of_run(run), ret_body, error);
}

enum synk_status synk_wait_start(struct synk_client *client, const char *run, synk_reply reply,
                                 void *context, struct synk_error *error)
{
    return call_start(client, "wait", body_of_run(run), reply, context, error);
}

enum synk_status synk_cancel(struct synk_client *client, const char *run, struct synk_error *error)
{
    return call_send(client, "cancel", body_of_run(run), NULL, error);
}

enum synk_status synk_cancel_task(struct synk_client *client, const char *run, const char *worker,
                                  struct synk_error *error)
{
    struct synk_builder *body = body_of_run(run);
    call_put_string(body, "worker", worker);
    return call_send(client, "cancel", body, NULL, error);
}

enum synk_status synk_retry(struct synk_client *client, const char *run, const char *const *workers,
                            size_t count, uint64_t *ret_tasks, struct synk_error *error)
{
    struct synk_builder *body = body_of_run(run);
    if (count)
        call_put_strings(body, "workers", workers, count);
    return call_send_for_number(client, "retry", body, "tasks", ret_tasks, error);
}

enum synk_status synk_show_run(struct synk_client *client, const char *run, bool attempts,
                               struct synk_document **ret_run, struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_string(body, "id", run);
    call_put_bool(body, "attempts", attempts);
    return call_send(client, "show", body, ret_run, error);
}

enum synk_status synk_explain(struct synk_client *client, const char *run, const char *worker,
                              struct synk_document **ret_body, struct synk_error *error)
{
    struct synk_builder *body = body_of_run(run);
    call_put_string(body, "worker", worker);
    return call_send(client, "explain", body, ret_body, error);
}

enum synk_status synk_logs(struct synk_client *client, const char *run,
                           const struct synk_log_range *range, struct synk_document **ret_body,
                           struct synk_error *error)
{
    struct synk_builder *body = body_of_run(run);
    if (!range)
        return call_send(client, "logs", body, ret_body, error);
    enum synk_status status =
        call_check_reserved(range->reserved, sizeof(range->reserved) / sizeof(range->reserved[0]),
                            "synk_log_range", error);
    if (status) {
        synk_builder_free(body);
        return status;
    }
    call_put_string(body, "worker", range->worker);
    if (range->attempt)
        call_put_int(body, "attempt", range->attempt);
    call_put_int(body, "offset", range->offset);
    if (range->max)
        call_put_int(body, "max", range->max);
    return call_send(client, "logs", body, ret_body, error);
}
