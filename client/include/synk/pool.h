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
    const char *key;       /* as in struct synk_run_options */
    uint64_t reserved[16]; /* zero; new fields come out of it */
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

#ifdef __cplusplus
}
#endif
#endif
