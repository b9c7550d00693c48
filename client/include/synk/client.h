/*
 * The client library. A struct synk_client is one connection to a supervisor, asynchronous at its
 * core: every call is a request whose callback runs from synk_client_process. The blocking calls
 * are the same requests with a loop around them.
 *
 * Event loops: wait until synk_client_fd is readable (level-triggered), then call
 * synk_client_process. Connection: requests are kept and sent again, with their idempotency key,
 * until they are answered: a supervisor that restarts in between answers them once. Threads: one
 * client belongs to one thread at a time; several clients may be used by several threads.
 */
#ifndef SYNK_CLIENT_H
#define SYNK_CLIENT_H

#include <synk/value.h>

#ifdef __cplusplus
extern "C" {
#endif

struct synk_client;

struct synk_client_options {
    /* The supervisor's directory; NULL = $SYNK_DIR, else the user's default. */
    const char *directory;
    /* How long a blocking call may take, ms; 0 = as long as it takes. A call that finds no
     * supervisor alive in the directory fails with SYNK_UNAVAILABLE at once where fail_fast is set.
     */
    int64_t timeout_ms;
    bool fail_fast;
    /* Called from synk_client_process when requests have been without an answer for two seconds
     * because the supervisor cannot save its state, with the reason; once until it has saved again.
     * The requests are kept, and answered when it has. May be NULL. */
    void (*notice)(void *context, const char *text);
    void *notice_context;
};

/* Opens a client; connects in the background. Fails with SYNK_UNAVAILABLE where no supervisor runs
 * on the directory and options->fail_fast is set, with SYNK_INVALID or SYNK_IO otherwise. options
 * may be NULL. */
SYNK_API enum synk_status synk_client_open(const struct synk_client_options *options,
                                           struct synk_client **ret_client,
                                           struct synk_error *error);
/* Closes; callbacks of requests under way run with SYNK_CANCELLED. Takes NULL. */
SYNK_API void synk_client_close(struct synk_client *client);
/* An fd to wait on for reading; it stays the same for the client's life. */
SYNK_API int synk_client_fd(const struct synk_client *client);
/* Does what is due: sends, receives, runs callbacks. Never blocks. */
SYNK_API void synk_client_process(struct synk_client *client);
/* Waits for the fd up to timeout_ms (-1 = for ever) and processes once. SYNK_TIMEOUT, or SYNK_OK.
 */
SYNK_API enum synk_status synk_client_wait(struct synk_client *client, int timeout_ms);
/* The directory that is used: for messages. */
SYNK_API const char *synk_client_directory(const struct synk_client *client);

/* A reply: `body` is a map as PROTOCOL.md describes, valid during the call; NULL when status is not
 * SYNK_OK, and then `error` has the text. */
typedef void (*synk_reply)(void *context, enum synk_status status, const struct synk_value *body,
                           const struct synk_error *error);

/*
 * The general request: `type` is a name of PROTOCOL.md ("run", "show", …), `body` an encoded map. A
 * key is drawn and added where the body has none and the request changes something. Everything
 * below is this call with a body built for it. The callback runs once, from synk_client_process or
 * synk_client_close.
 */
SYNK_API enum synk_status synk_request(struct synk_client *client, const char *type,
                                       struct synk_bytes body, synk_reply reply, void *context,
                                       struct synk_error *error);
/* The same, blocking. The document is the caller's to free; ret_body may be NULL. */
SYNK_API enum synk_status synk_call(struct synk_client *client, const char *type,
                                    struct synk_bytes body, struct synk_document **ret_body,
                                    struct synk_error *error);

/* Applies definition files, all of them as one transaction. Reads and validates them here first, so
 * that errors carry file and line. Large ones go up in chunks. check: validate only; prune: remove
 * units that the files do not have. */
SYNK_API enum synk_status synk_apply(struct synk_client *client, const char *const *files,
                                     size_t count, bool check, bool prune,
                                     struct synk_document **ret_body, struct synk_error *error);
/* Starts a run. params: encoded, size 0 = none. ret_run (may be NULL): "UNIT#N", malloc'ed. */
SYNK_API enum synk_status synk_run(struct synk_client *client, const char *unit,
                                   struct synk_bytes params, char **ret_run,
                                   struct synk_error *error);
/* Waits until the run has ended: SYNK_OK whatever became of it; ret_body has its status. */
SYNK_API enum synk_status synk_wait(struct synk_client *client, const char *run,
                                    struct synk_document **ret_body, struct synk_error *error);

/* A bulk submission to the pool: `count` tasks of one function with one payload. */
struct synk_submission {
    const char *function;
    struct synk_bytes payload;      /* encoded; size 0 = none */
    const struct synk_bytes *items; /* per task params, encoded; NULL = none */
    size_t count;
    int64_t timeout_ms; /* -1 = the default */
    unsigned max_retries;
    int64_t retry_delay_ms;
    int priority;
};
SYNK_API enum synk_status synk_submit(struct synk_client *client,
                                      const struct synk_submission *submission, char **ret_run,
                                      struct synk_error *error);
SYNK_API enum synk_status synk_cancel(struct synk_client *client, const char *run,
                                      struct synk_error *error);

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
};
/* from: exclusive; 0 = from the first kept; UINT64_MAX = only what comes. */
SYNK_API enum synk_status synk_subscribe(struct synk_client *client, uint64_t from,
                                         const struct synk_filter *filter, synk_event callback,
                                         void *context, struct synk_subscription **ret_subscription,
                                         struct synk_error *error);
/* No callback runs after it returns. Takes NULL. */
SYNK_API void synk_unsubscribe(struct synk_subscription *subscription);
/* The number up to which the subscription has delivered, and whether it has reached the head that
 * it knows. */
SYNK_API uint64_t synk_subscription_position(const struct synk_subscription *subscription);
SYNK_API bool synk_subscription_is_current(const struct synk_subscription *subscription);

#ifdef __cplusplus
}
#endif
#endif
