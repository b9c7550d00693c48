/*
 * The supervisor itself and the worker hosts that are connected to it. Calls block until it has
 * answered and fail as synk_call does. Documents are the caller's to free and hold the reply as
 * PROTOCOL.md describes it.
 */
#ifndef SYNK_SUPERVISOR_H
#define SYNK_SUPERVISOR_H

#include <synk/connection.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The worker hosts: see synk_list_next. filter may be NULL. */
SYNK_API enum synk_status synk_list_hosts(struct synk_client *client,
                                          const struct synk_list_filter *filter,
                                          struct synk_list **ret_list, struct synk_error *error);
/* Counters and gauges. */
SYNK_API enum synk_status synk_stats(struct synk_client *client, struct synk_document **ret_stats,
                                     struct synk_error *error);
/* Has the watcher look at everything now. ret_body: the units that nothing uses (stale), attempts
 * that get nowhere (stuck), and what it did (unpaused, released). */
SYNK_API enum synk_status synk_scan(struct synk_client *client, struct synk_document **ret_body,
                                    struct synk_error *error);
/* A worker host gets no more work, or, with undo, work again. What runs there finishes; what it has
 * not begun goes elsewhere. ret_body: {host, state, running}; may be NULL. */
SYNK_API enum synk_status synk_drain(struct synk_client *client, const char *host, bool undo,
                                     struct synk_document **ret_body, struct synk_error *error);
/* Writes a copy of the state to a file of the supervisor's machine, while it works on. ret_bytes
 * may be NULL. */
SYNK_API enum synk_status synk_backup(struct synk_client *client, const char *path,
                                      uint64_t *ret_bytes, struct synk_error *error);
enum { SYNK_KEEP_CONFIGURED = -1 };
/* What of finished runs and of events is kept; 0 = no bound, SYNK_KEEP_CONFIGURED = the bound that
 * the supervisor was started with. */
struct synk_prune {
    int64_t keep_runs_ms, keep_runs; /* ended so long ago; so many of the latest */
    int64_t keep_events_ms, keep_events;
    uint64_t reserved[4]; /* 0 */
};
/* Removes what is past these bounds and answers when it is gone; everything else goes on meanwhile.
 * ret_runs and ret_events, how many went, may be NULL. SYNK_BUSY while another is under way. */
SYNK_API enum synk_status synk_prune(struct synk_client *client, const struct synk_prune *prune,
                                     uint64_t *ret_runs, uint64_t *ret_events,
                                     struct synk_error *error);
/* Ends the supervisor: what runs has grace_ms to end (0 = none; it then runs again after the next
 * start); keep_hosts leaves the worker hosts and what they run alone, for the next supervisor. */
SYNK_API enum synk_status synk_shutdown(struct synk_client *client, int64_t grace_ms,
                                        bool keep_hosts, struct synk_error *error);

#ifdef __cplusplus
}
#endif
#endif
