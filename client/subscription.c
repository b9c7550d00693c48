/*
 * Readers of the event log. Each pulls pages with `fetch` from the number it has reached; what PUB
 * sends only tells that there is more. So nothing depends on PUB being complete, and an event is
 * delivered once and in order whatever was lost, repeated or restarted in between.
 *
 * Invariant: at most one fetch of a subscription is under way, and none starts while its callback
 * runs: the position only rises, except where the supervisor's numbers began anew (another state).
 */
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "client/call.h"
#include "client/client_internal.h"
#include "proto/pack.h"

/* After a failed or fruitless fetch. */
#define RETRY_MS 1000

struct synk_subscription {
    struct synk_client *client;
    struct synk_subscription *next;
    synk_event callback;
    void *context;
    void *owned; /* freed with it */
    char **types;
    size_t type_count;
    char *unit, *run; /* NULL = any */
    uint64_t position;
    uint64_t head;     /* of the last reply */
    bool starts_first; /* from 0, or the end: what was trimmed before is no gap */
    bool starts_last;  /* the supervisor knows where the end is */
    bool is_started, is_fetching, is_delivering, is_closed;
    bool is_wanted;   /* somebody told of more */
    int64_t retry_ms; /* not before; 0 = at once */
    uint64_t request;
};

static void free_subscription(struct synk_subscription *subscription)
{
    for (size_t i = 0; i < subscription->type_count; i++)
        free(subscription->types[i]);
    free(subscription->types);
    free(subscription->unit);
    free(subscription->run);
    free(subscription->owned);
    free(subscription);
}

void subscriptions_fini(struct synk_client *client)
{
    while (client->subscriptions)
        synk_unsubscribe(client->subscriptions);
}

/* Topics ------------------------------------------------------------------------------------------
 */

static void set_topic(struct synk_client *client, int option, const char *type, const char *unit,
                      size_t unit_size)
{
    struct buf topic = {0};
    if (type) {
        buf_printf(&topic, "%s/%.*s", type, (int)unit_size, unit);
        if (unit_size)
            buf_append(&topic, "", 1);
    }
    /* A topic that cannot be set costs a second: `head` wakes the subscription then. */
    zmq_setsockopt(client->link.events, option, topic.data ? topic.data : (uint8_t *)"",
                   topic.size);
    buf_fini(&topic);
}

/* Exact topics where the filter allows, so that a reader of one run is not sent everything. */
static void set_topics(const struct synk_subscription *subscription, int option)
{
    static const char *const all_types[] = {"start",   "complete", "error", "milestone",
                                            "updated", "run",      "skip",  "retry",
                                            "cancel",  "host",     "stale"};
    struct synk_client *client = subscription->client;
    if (!client->link.events)
        return;
    const char *unit = subscription->unit ? subscription->unit : subscription->run;
    /* The topic of a run is its unit: what comes before '#', or before the worker's '/'. */
    size_t unit_size = unit ? strcspn(unit, "#/") : 0;
    if (!unit && !subscription->type_count) {
        set_topic(client, option, NULL, "", 0);
    } else if (subscription->type_count) {
        for (size_t i = 0; i < subscription->type_count; i++)
            set_topic(client, option, subscription->types[i], unit ? unit : "", unit_size);
    } else {
        for (size_t i = 0; i < sizeof(all_types) / sizeof(all_types[0]); i++)
            set_topic(client, option, all_types[i], unit, unit_size);
    }
}

void subscriptions_set_topics(struct synk_client *client)
{
    for (struct synk_subscription *s = client->subscriptions; s; s = s->next)
        set_topics(s, ZMQ_SUBSCRIBE);
}

/* Pages -------------------------------------------------------------------------------------------
 */

static uint64_t number_of(const struct synk_value *map, const char *key, uint64_t otherwise)
{
    int64_t number = synk_value_int(synk_value_get(map, key), -1);
    return number >= 0 ? (uint64_t)number : otherwise;
}

static void deliver(struct synk_subscription *subscription, const struct synk_value *body)
{
    uint64_t first = number_of(body, "first", 0);
    uint64_t known = subscription->position;
    if (first > known + 1) {
        subscription->position = first - 1;
        if (!(known == 0 && subscription->starts_first))
            subscription->callback(subscription->context, NULL, known + 1, first - 1);
    }
    subscription->starts_first = false; /* from here on, what goes is a gap */
    const struct synk_value *events = synk_value_get(body, "events");
    for (size_t i = 0; i < synk_value_count(events) && !subscription->is_closed; i++) {
        const struct synk_value *event = synk_value_at(events, i);
        uint64_t seq = number_of(event, "seq", 0);
        if (seq <= subscription->position)
            continue;
        subscription->position = seq;
        subscription->callback(subscription->context, event, 0, 0);
    }
    uint64_t next = number_of(body, "next", 0);
    if (next > subscription->position)
        subscription->position = next;
}

static void on_page(void *context, enum synk_status status, const struct synk_value *body,
                    const struct synk_error *error)
{
    (void)error;
    struct synk_subscription *subscription = context;
    subscription->is_fetching = false;
    int64_t now_ms = client_now_ms();
    if (status != SYNK_OK) {
        /* Not an answer about the log: the supervisor is busy, or its store is away. Ask again. */
        subscription->is_wanted = true;
        subscription->retry_ms = now_ms + RETRY_MS;
        return;
    }
    uint64_t head = number_of(body, "head", 0), before = subscription->position;
    /* Another state: its numbers began anew, and this page is about ours. */
    bool is_anew = head < (subscription->is_started ? subscription->head : before);
    subscription->head = head;
    subscription->retry_ms = 0;
    subscription->is_started = true;
    if (is_anew) {
        subscription->position = 0;
        subscription->is_wanted = true;
        return;
    }
    subscription->is_delivering = true;
    deliver(subscription, body);
    subscription->is_delivering = false;
    if (subscription->is_closed) {
        free_subscription(subscription);
        return;
    }
    if (subscription->position < head) {
        subscription->is_wanted = true;
        /* A page that brought nothing and says there is more must not become a storm. */
        if (subscription->position == before)
            subscription->retry_ms = now_ms + RETRY_MS;
    }
}

static void fetch(struct synk_subscription *subscription)
{
    struct buf body = {0};
    pack_map(&body, 2 + (subscription->type_count > 0) + (subscription->unit != NULL) +
                        (subscription->run != NULL));
    pack_key(&body, "from");
    if (!subscription->is_started && subscription->starts_last)
        pack_null(&body);
    else
        pack_uint(&body, subscription->position);
    pack_key(&body, "limit");
    pack_uint(&body, LIMIT_PAGE_ROWS);
    if (subscription->type_count) {
        pack_key(&body, "types");
        pack_array(&body, subscription->type_count);
        for (size_t i = 0; i < subscription->type_count; i++)
            pack_cstr(&body, subscription->types[i]);
    }
    if (subscription->unit) {
        pack_key(&body, "unit");
        pack_cstr(&body, subscription->unit);
    }
    if (subscription->run) {
        pack_key(&body, "run");
        pack_cstr(&body, subscription->run);
    }
    subscription->is_wanted = false;
    subscription->is_fetching = true;
    subscription->request =
        requests_add(subscription->client, MSG_FETCH, &body, on_page, subscription);
}

/* When it is to fetch; INT64_MAX = when somebody tells of more. */
static int64_t due_ms(const struct synk_subscription *subscription)
{
    const struct link *link = &subscription->client->link;
    if (subscription->is_fetching || subscription->is_delivering)
        return INT64_MAX;
    if (subscription->is_wanted)
        return subscription->retry_ms;
    if (link->down_since_ms)
        return INT64_MAX;
    return link->events_heard_ms + CLIENT_DEAF_MS;
}

void subscriptions_process(struct synk_client *client, int64_t now_ms)
{
    for (struct synk_subscription *s = client->subscriptions; s; s = s->next) {
        if (now_ms < due_ms(s))
            continue;
        if (!s->is_wanted)
            client->link.events_heard_ms = now_ms; /* the next one in CLIENT_DEAF_MS */
        fetch(s);
    }
}

int64_t subscriptions_deadline_ms(const struct synk_client *client)
{
    int64_t earliest_ms = INT64_MAX;
    for (const struct synk_subscription *s = client->subscriptions; s; s = s->next)
        if (due_ms(s) < earliest_ms)
            earliest_ms = due_ms(s);
    return earliest_ms;
}

void subscriptions_wake(struct synk_client *client, uint64_t head)
{
    for (struct synk_subscription *s = client->subscriptions; s; s = s->next)
        if (head > s->position)
            s->is_wanted = true;
}

/* Public ------------------------------------------------------------------------------------------
 */

static void copy_filter(struct synk_subscription *subscription, const struct synk_filter *filter)
{
    subscription->types = mem_zalloc(filter->type_count + 1, sizeof(char *));
    for (size_t i = 0; i < filter->type_count; i++)
        subscription->types[i] = mem_strdup(filter->types[i]);
    subscription->type_count = filter->type_count;
    subscription->unit = filter->unit ? mem_strdup(filter->unit) : NULL;
    subscription->run = filter->run ? mem_strdup(filter->run) : NULL;
}

enum synk_status synk_subscribe(struct synk_client *client, uint64_t from,
                                const struct synk_filter *filter, synk_event callback,
                                void *context, struct synk_subscription **ret_subscription,
                                struct synk_error *error)
{
    enum synk_status status =
        filter ? call_check_reserved(filter->reserved,
                                     sizeof(filter->reserved) / sizeof(filter->reserved[0]),
                                     "synk_filter", error)
               : SYNK_OK;
    if (status)
        return status;
    client_lock(client);
    if (client->subscription_count >= CLIENT_SUBSCRIPTIONS) {
        client_unlock(client);
        return status_fail(error, SYNK_TOO_LARGE, "a client may have %d subscriptions",
                           CLIENT_SUBSCRIPTIONS);
    }
    struct synk_subscription *subscription = mem_zalloc(1, sizeof(*subscription));
    subscription->client = client;
    subscription->callback = callback;
    subscription->context = context;
    subscription->starts_first = from == 0 || from == UINT64_MAX;
    subscription->starts_last = from == UINT64_MAX;
    subscription->position = subscription->starts_last ? 0 : from;
    if (filter)
        copy_filter(subscription, filter);
    subscription->next = client->subscriptions;
    client->subscriptions = subscription;
    client->subscription_count++;
    if (client->link.events)
        set_topics(subscription, ZMQ_SUBSCRIBE);
    else
        link_open_events(client);
    fetch(subscription);
    requests_flush(client);
    client_arm(client);
    *ret_subscription = subscription;
    client_unlock(client);
    return SYNK_OK;
}

void subscription_own(struct synk_subscription *subscription, void *owned)
{
    subscription->owned = owned;
}

/* Out of the list; freed now, or by the page that is being delivered. */
static void end(struct synk_subscription *subscription)
{
    struct synk_client *client = subscription->client;
    struct synk_subscription **link = &client->subscriptions;
    while (*link != subscription)
        link = &(*link)->next;
    *link = subscription->next;
    client->subscription_count--;
    set_topics(subscription, ZMQ_UNSUBSCRIBE);
    if (subscription->is_fetching)
        requests_forget(client, subscription->request);
    client_arm(client);
    /* From its own callback: the page under way sees the mark, and frees it. */
    if (subscription->is_delivering)
        subscription->is_closed = true;
    else
        free_subscription(subscription);
}

void synk_unsubscribe(struct synk_subscription *subscription)
{
    if (!subscription)
        return;
    struct synk_client *client = subscription->client;
    client_lock(client);
    if (!subscription->is_closed)
        end(subscription);
    client_unlock(client);
}

uint64_t synk_subscription_position(const struct synk_subscription *subscription)
{
    client_lock(subscription->client);
    uint64_t position = subscription->position;
    client_unlock(subscription->client);
    return position;
}

bool synk_subscription_is_current(const struct synk_subscription *subscription)
{
    client_lock(subscription->client);
    bool is_current = subscription->is_started && !subscription->is_delivering &&
                      subscription->position >= subscription->head &&
                      subscription->position >= subscription->client->link.head;
    client_unlock(subscription->client);
    return is_current;
}
