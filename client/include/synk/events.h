/*
 * The event log: subscriptions that tell every event once and in order, over reconnects and
 * restarts of the supervisor, and one page of it at a time.
 */
#ifndef SYNK_EVENTS_H
#define SYNK_EVENTS_H

#include <synk/connection.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A subscription: every retained event above `from` that passes the filter, once and in order, then
 * live. Events that were trimmed before they could be read are told as a gap: event NULL, first and
 * last lost number. */
struct synk_subscription;
typedef void (*synk_event)(void *context, const struct synk_value *event, uint64_t gap_first,
                           uint64_t gap_last);
struct synk_filter {
    const char *const *types; /* NULL = all */
    size_t type_count;
    const char *unit, *run; /* NULL = any; run: "UNIT#N" */
    uint64_t reserved[4];   /* zero; new fields come out of it */
};
/* from: exclusive; 0 = from the first kept; UINT64_MAX = only what comes of now, whatever is asked
 * for on this client after this call included. filter may be NULL; it is copied. */
SYNK_API enum synk_status synk_subscribe(struct synk_client *client, uint64_t from,
                                         const struct synk_filter *filter, synk_event callback,
                                         void *context, struct synk_subscription **ret_subscription,
                                         struct synk_error *error);
/* No callback runs after it returns. May be called from within the callback. Takes NULL. */
SYNK_API void synk_unsubscribe(struct synk_subscription *subscription);
/* The number up to which the subscription has delivered, and whether it has reached the head that
 * it knows. */
SYNK_API uint64_t synk_subscription_position(const struct synk_subscription *subscription);
SYNK_API bool synk_subscription_is_current(const struct synk_subscription *subscription);

/* The same, decoded. */
enum synk_event_kind {
    SYNK_EVENT_OTHER, /* of a newer supervisor: see `type` */
    SYNK_EVENT_START,
    SYNK_EVENT_COMPLETE,
    SYNK_EVENT_ERROR,
    SYNK_EVENT_MILESTONE,
    SYNK_EVENT_UPDATED,
    SYNK_EVENT_RUN,
    SYNK_EVENT_SKIP,
    SYNK_EVENT_RETRY,
    SYNK_EVENT_CANCEL,
    SYNK_EVENT_HOST,
    SYNK_EVENT_STALE,
    SYNK_EVENT_GAP, /* events that this subscription will never see: gap_first to gap_last */
};
/* Texts are NUL-terminated; NULL, 0 = the event has none. All of it lives during the callback. */
struct synk_event_view {
    enum synk_event_kind kind;
    const char *type;
    uint64_t seq;
    int64_t at_ms; /* wall clock, since the epoch */
    const char *unit, *run, *worker;
    uint64_t attempt;
    const char *milestone, *error, *by;
    const struct synk_value *payload;
    const struct synk_value *raw; /* the event as PROTOCOL.md has it; NULL for a gap */
    uint64_t gap_first, gap_last;
};
typedef void (*synk_event_handler)(void *context, const struct synk_event_view *event);
/* As synk_subscribe. ret_subscription may be NULL: then it lasts as long as the client. */
SYNK_API enum synk_status synk_on_event(struct synk_client *client, uint64_t from,
                                        const struct synk_filter *filter,
                                        synk_event_handler handler, void *context,
                                        struct synk_subscription **ret_subscription,
                                        struct synk_error *error);
/* Events of one type from now on, of one unit or (NULL) of all; gaps are told, too: where the kind
 * is SYNK_EVENT_GAP, some may have been missed. */
SYNK_API enum synk_status synk_on_start(struct synk_client *client, const char *unit,
                                        synk_event_handler handler, void *context,
                                        struct synk_subscription **ret_subscription,
                                        struct synk_error *error);
SYNK_API enum synk_status synk_on_complete(struct synk_client *client, const char *unit,
                                           synk_event_handler handler, void *context,
                                           struct synk_subscription **ret_subscription,
                                           struct synk_error *error);
SYNK_API enum synk_status synk_on_error(struct synk_client *client, const char *unit,
                                        synk_event_handler handler, void *context,
                                        struct synk_subscription **ret_subscription,
                                        struct synk_error *error);
SYNK_API enum synk_status synk_on_milestone(struct synk_client *client, const char *unit,
                                            synk_event_handler handler, void *context,
                                            struct synk_subscription **ret_subscription,
                                            struct synk_error *error);
SYNK_API enum synk_status synk_on_updated(struct synk_client *client, const char *unit,
                                          synk_event_handler handler, void *context,
                                          struct synk_subscription **ret_subscription,
                                          struct synk_error *error);

/* A milestone, told to whoever listens and to units with that runOnMilestone. All but the name may
 * be absent; unit may be PROCESS/WORKER, worker belongs to run. Names: see runOnMilestone. */
struct synk_milestone_options {
    struct synk_bytes payload; /* encoded; size 0 = none */
    const char *unit, *run, *worker;
    const char *key; /* as in struct synk_run_options */
    uint64_t reserved[4];
};
/* options may be NULL. ret_seq (may be NULL): the event's number. */
SYNK_API enum synk_status synk_milestone(struct synk_client *client, const char *name,
                                         const struct synk_milestone_options *options,
                                         uint64_t *ret_seq, struct synk_error *error);

/* One page of the log, blocking: at most `limit` events (0 = as many as the supervisor gives) above
 * `from`. ret_page: events, next, head, first. */
SYNK_API enum synk_status synk_fetch_events(struct synk_client *client, uint64_t from,
                                            const struct synk_filter *filter, unsigned limit,
                                            struct synk_document **ret_page,
                                            struct synk_error *error);

#ifdef __cplusplus
}
#endif
#endif
