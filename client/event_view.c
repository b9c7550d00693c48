/*
 * Subscriptions whose events come decoded. Invariant: what a view points to lives until the handler
 * returns; a handler may end its own subscription, which frees the listener behind it, so nothing
 * of the listener is used after the call.
 */
#include <stdlib.h>
#include <string.h>

#include "client/call.h"
#include "synk/events.h"

static const char *const kind_names[] = {
    [SYNK_EVENT_START] = "start",     [SYNK_EVENT_COMPLETE] = "complete",
    [SYNK_EVENT_ERROR] = "error",     [SYNK_EVENT_MILESTONE] = "milestone",
    [SYNK_EVENT_UPDATED] = "updated", [SYNK_EVENT_RUN] = "run",
    [SYNK_EVENT_SKIP] = "skip",       [SYNK_EVENT_RETRY] = "retry",
    [SYNK_EVENT_CANCEL] = "cancel",   [SYNK_EVENT_HOST] = "host",
    [SYNK_EVENT_STALE] = "stale",
};

struct listener {
    synk_event_handler handler;
    void *context;
};

static enum synk_event_kind kind_of(const char *type)
{
    for (size_t i = 0; type && i < sizeof(kind_names) / sizeof(kind_names[0]); i++)
        if (kind_names[i] && strcmp(kind_names[i], type) == 0)
            return (enum synk_event_kind)i;
    return SYNK_EVENT_OTHER;
}

static uint64_t number_of(const struct synk_value *event, const char *key)
{
    int64_t number = synk_value_int(synk_value_get(event, key), 0);
    return number > 0 ? (uint64_t)number : 0;
}

static void on_event(void *context, const struct synk_value *event, uint64_t gap_first,
                     uint64_t gap_last)
{
    const struct listener listener = *(struct listener *)context;
    if (!event) {
        struct synk_event_view gap = {.kind = SYNK_EVENT_GAP,
                                      .type = "gap",
                                      .seq = gap_last,
                                      .gap_first = gap_first,
                                      .gap_last = gap_last};
        listener.handler(listener.context, &gap);
        return;
    }
    enum { TYPE, UNIT, RUN, WORKER, MILESTONE, ERROR, BY, TEXTS };
    static const char *const keys[TEXTS] = {"type",      "unit",  "run", "worker",
                                            "milestone", "error", "by"};
    /* The bytes of a reply have no NUL behind them. */
    char *texts[TEXTS];
    for (int i = 0; i < TEXTS; i++)
        texts[i] = synk_value_string_dup(synk_value_get(event, keys[i]));
    const struct synk_value *payload = synk_value_get(event, "payload");
    struct synk_event_view view = {
        .kind = kind_of(texts[TYPE]),
        .type = texts[TYPE] ? texts[TYPE] : "",
        .seq = number_of(event, "seq"),
        .at_ms = synk_value_int(synk_value_get(event, "at"), 0),
        .unit = texts[UNIT],
        .run = texts[RUN],
        .worker = texts[WORKER],
        .attempt = number_of(event, "attempt"),
        .milestone = texts[MILESTONE],
        .error = texts[ERROR],
        .by = texts[BY],
        .payload = value_is_null(payload) ? NULL : payload,
        .raw = event,
    };
    listener.handler(listener.context, &view);
    for (int i = 0; i < TEXTS; i++)
        free(texts[i]);
}

enum synk_status synk_on_event(struct synk_client *client, uint64_t from,
                               const struct synk_filter *filter, synk_event_handler handler,
                               void *context, struct synk_subscription **ret_subscription,
                               struct synk_error *error)
{
    struct listener *listener = mem_zalloc(1, sizeof(*listener));
    listener->handler = handler;
    listener->context = context;
    struct synk_subscription *subscription = NULL;
    /* Its first event finds it complete. */
    client_lock(client);
    enum synk_status status =
        synk_subscribe(client, from, filter, on_event, listener, &subscription, error);
    if (!status)
        subscription_own(subscription, listener);
    if (!status && ret_subscription)
        *ret_subscription = subscription;
    client_unlock(client);
    if (status)
        free(listener);
    return status;
}

static enum synk_status on_kind(struct synk_client *client, enum synk_event_kind kind,
                                const char *unit, synk_event_handler handler, void *context,
                                struct synk_subscription **ret_subscription,
                                struct synk_error *error)
{
    struct synk_filter filter = {.types = &kind_names[kind], .type_count = 1, .unit = unit};
    return synk_on_event(client, UINT64_MAX, &filter, handler, context, ret_subscription, error);
}

enum synk_status synk_on_start(struct synk_client *client, const char *unit,
                               synk_event_handler handler, void *context,
                               struct synk_subscription **ret_subscription,
                               struct synk_error *error)
{
    return on_kind(client, SYNK_EVENT_START, unit, handler, context, ret_subscription, error);
}

enum synk_status synk_on_complete(struct synk_client *client, const char *unit,
                                  synk_event_handler handler, void *context,
                                  struct synk_subscription **ret_subscription,
                                  struct synk_error *error)
{
    return on_kind(client, SYNK_EVENT_COMPLETE, unit, handler, context, ret_subscription, error);
}

enum synk_status synk_on_error(struct synk_client *client, const char *unit,
                               synk_event_handler handler, void *context,
                               struct synk_subscription **ret_subscription,
                               struct synk_error *error)
{
    return on_kind(client, SYNK_EVENT_ERROR, unit, handler, context, ret_subscription, error);
}

enum synk_status synk_on_milestone(struct synk_client *client, const char *unit,
                                   synk_event_handler handler, void *context,
                                   struct synk_subscription **ret_subscription,
                                   struct synk_error *error)
{
    return on_kind(client, SYNK_EVENT_MILESTONE, unit, handler, context, ret_subscription, error);
}

enum synk_status synk_on_updated(struct synk_client *client, const char *unit,
                                 synk_event_handler handler, void *context,
                                 struct synk_subscription **ret_subscription,
                                 struct synk_error *error)
{
    return on_kind(client, SYNK_EVENT_UPDATED, unit, handler, context, ret_subscription, error);
}

enum synk_status synk_fetch_events(struct synk_client *client, uint64_t from,
                                   const struct synk_filter *filter, unsigned limit,
                                   struct synk_document **ret_page, struct synk_error *error)
{
    static const struct synk_filter any;
    if (!filter)
        filter = &any;
    enum synk_status status = call_check_reserved(
        filter->reserved, sizeof(filter->reserved) / sizeof(filter->reserved[0]), "synk_filter",
        error);
    if (status)
        return status;
    struct synk_builder *body = call_body();
    call_put_int(body, "from", from > INT64_MAX ? INT64_MAX : (int64_t)from);
    if (limit)
        call_put_int(body, "limit", limit);
    if (filter->type_count)
        call_put_strings(body, "types", filter->types, filter->type_count);
    call_put_string(body, "unit", filter->unit);
    call_put_string(body, "run", filter->run);
    return call_send(client, "fetch", body, ret_page, error);
}

enum synk_status synk_milestone(struct synk_client *client, const char *name,
                                const struct synk_milestone_options *options, uint64_t *ret_seq,
                                struct synk_error *error)
{
    struct synk_builder *body = call_body();
    enum synk_status status = SYNK_OK;
    call_put_string(body, "name", name);
    if (options) {
        call_put_encoded(body, "payload", options->payload);
        call_put_string(body, "unit", options->unit);
        call_put_string(body, "run", options->run);
        call_put_string(body, "worker", options->worker);
        call_put_string(body, "key", options->key);
        status = call_check_reserved(options->reserved,
                                     sizeof(options->reserved) / sizeof(options->reserved[0]),
                                     "synk_milestone_options", error);
    }
    if (!status)
        return call_send_for_number(client, "milestone", body, "seq", ret_seq, error);
    synk_builder_free(body);
    return status;
}
