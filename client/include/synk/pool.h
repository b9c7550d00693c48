/*
 * The pool: tasks without a definition, by the thousand. A submission is a run of the reserved unit
 * `pool`, so what <synk/runs.h> does to runs it does to submissions.
 */
#ifndef SYNK_POOL_H
#define SYNK_POOL_H

#include <synk/runs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* So much of a named limit is used by each attempt. */
struct synk_use {
    const char *limit;
    unsigned amount;
};
/* A bulk submission to the pool: `count` tasks of one function with one payload. Items that do not
 * fit one message go up in chunks before. */
struct synk_submission {
    const char *function;
    struct synk_bytes payload;      /* encoded; size 0 = none */
    const struct synk_bytes *items; /* per task params, encoded; NULL = none */
    size_t count;
    int64_t timeout_ms; /* -1 = the default */
    unsigned max_retries;
    int64_t retry_delay_ms;
    int priority;
    const char *key;       /* as in struct synk_run_options */
    int64_t delay_ms;      /* it starts so much later; 0 = at once */
    const char *name;      /* unique among unfinished submissions, and good for `run`; NULL = none */
    struct synk_bytes params; /* encoded, of all tasks, where there are no items; size 0 = none */
    bool paused;              /* taken in, and held back until it is resumed */
    unsigned slots;           /* of a host that each attempt takes; 0 = 1 */
    int64_t progress_timeout_ms; /* 0 = none */
    const char *const *tags;     /* only hosts that have them all */
    size_t tag_count;
    const struct synk_use *uses;
    size_t use_count;
    const int *no_retry_exit_codes; /* of commands: end the task at once */
    size_t no_retry_exit_code_count;
    uint64_t reserved[4]; /* zero; new fields come out of it */
};
/* ret_run (may be NULL): the submission's label, "pool#N", malloc'ed. Blocks until it is taken. */
SYNK_API enum synk_status synk_submit(struct synk_client *client,
                                      const struct synk_submission *submission, char **ret_run,
                                      struct synk_error *error);
/* The same without waiting; the submission is copied. */
SYNK_API enum synk_status synk_submit_start(struct synk_client *client,
                                            const struct synk_submission *submission,
                                            synk_run_reply reply, void *context,
                                            struct synk_error *error);
/* The submissions that have not ended: see synk_list_next. */
SYNK_API enum synk_status synk_list_pool(struct synk_client *client,
                                         const struct synk_list_filter *filter,
                                         struct synk_list **ret_list, struct synk_error *error);

/* Changes a submission of which nothing has begun. run: its label or its name. changes: an encoded
 * map of fields of `submit` (PROTOCOL.md) but for items and count: payload, params, priority, name,
 * maxRetries, … ; nil takes a field back to its default. */
SYNK_API enum synk_status synk_pool_update(struct synk_client *client, const char *run,
                                           struct synk_bytes changes, struct synk_error *error);
/* Pauses submissions, or resumes them; by label or name. A paused one holds back those behind it in
 * the order of dispatch: of its priority and later, or of a lower one. Kept over a restart. The
 * pool as a whole is the unit "pool": synk_pause, synk_resume. */
SYNK_API enum synk_status synk_pool_pause(struct synk_client *client, const char *const *runs,
                                          size_t count, struct synk_error *error);
SYNK_API enum synk_status synk_pool_resume(struct synk_client *client, const char *const *runs,
                                           size_t count, struct synk_error *error);
/* In which order the tasks that wait in the pool would be dispatched, at most `limit` of them. */
SYNK_API enum synk_status synk_pool_order(struct synk_client *client, unsigned limit,
                                          struct synk_document **ret_body,
                                          struct synk_error *error);
/* How many tasks at a time a host runs from now on; host NULL = the local one. With fewer slots
 * running tasks end first. */
SYNK_API enum synk_status synk_resize(struct synk_client *client, const char *host, unsigned slots,
                                      struct synk_error *error);
/* The slots of all hosts, with what runs there, and the named limits: see synk_list_next. */
SYNK_API enum synk_status synk_list_slots(struct synk_client *client, struct synk_list **ret_list,
                                          struct synk_error *error);
SYNK_API enum synk_status synk_list_limits(struct synk_client *client, struct synk_list **ret_list,
                                           struct synk_error *error);

#ifdef __cplusplus
}
#endif
#endif
