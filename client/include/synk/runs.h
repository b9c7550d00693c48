/*
 * Runs of units. `run` is a label, "UNIT#N" or "UNIT#last", in every call. Calls block until the
 * supervisor has answered and fail as synk_call does, but for those named _start: they return at
 * once and tell the callback, once, from synk_client_process or synk_client_close. Documents that
 * a call returns are the caller's to free and hold the reply as PROTOCOL.md describes it.
 */
#ifndef SYNK_RUNS_H
#define SYNK_RUNS_H

#include <synk/connection.h>

#ifdef __cplusplus
extern "C" {
#endif

struct synk_run_options {
    struct synk_bytes params; /* encoded; size 0 = none */
    /* At most 64 bytes: whoever starts a run again with the same key, from whatever process and
     * within 24 hours, is told of the first one. NULL = drawn, so that only this call's own
     * repetitions over a reconnect find the first. */
    const char *key;
    const char *by;       /* who: told in the run's record; NULL = "client" */
    const char *overlap;  /* instead of the unit's: queue, skip, allow, cancel; NULL = the unit's */
    int64_t delay_ms;     /* it starts so much later; 0 = at once */
    bool has_priority;    /* `priority` counts instead of that of the run's workers */
    int priority;         /* higher first */
    uint64_t reserved[6]; /* zero; new fields come out of it */
};

/* Starts a run. params: encoded, size 0 = none. ret_run (may be NULL): "UNIT#N", malloc'ed. */
SYNK_API enum synk_status synk_run(struct synk_client *client, const char *unit,
                                   struct synk_bytes params, char **ret_run,
                                   struct synk_error *error);
/* The same with options (NULL = none). */
SYNK_API enum synk_status synk_run_with(struct synk_client *client, const char *unit,
                                        const struct synk_run_options *options, char **ret_run,
                                        struct synk_error *error);
/* Told which run was started: `run` lives during the call; NULL where status is not SYNK_OK. */
typedef void (*synk_run_reply)(void *context, enum synk_status status, const char *run,
                               const struct synk_error *error);
SYNK_API enum synk_status synk_run_start(struct synk_client *client, const char *unit,
                                         const struct synk_run_options *options,
                                         synk_run_reply reply, void *context,
                                         struct synk_error *error);

/* Starts what is due by its schedule now: of one unit, or (NULL) of all. For supervisors that start
 * nothing on schedule by themselves (--no-schedule). ret_body: the runs. */
SYNK_API enum synk_status synk_tick(struct synk_client *client, const char *unit,
                                    struct synk_document **ret_body, struct synk_error *error);

/* Waits until the run has ended: SYNK_OK whatever became of it; ret_body has its status. */
SYNK_API enum synk_status synk_wait(struct synk_client *client, const char *run,
                                    struct synk_document **ret_body, struct synk_error *error);
SYNK_API enum synk_status synk_wait_start(struct synk_client *client, const char *run,
                                          synk_reply reply, void *context,
                                          struct synk_error *error);
/* Cancels what has not ended of a run. One that has ended stays as it is: SYNK_OK where the
 * supervisor still has it in memory, SYNK_REFUSED where not. */
SYNK_API enum synk_status synk_cancel(struct synk_client *client, const char *run,
                                      struct synk_error *error);
/* Cancels one task of a run; the run goes on. What depends on it sees a task that did not succeed.
 * worker: its id, or of a submission to the pool its index. */
SYNK_API enum synk_status synk_cancel_task(struct synk_client *client, const char *run,
                                           const char *worker, struct synk_error *error);
/* Runs what failed of an ended run again, or the workers named. ret_tasks (may be NULL): how many
 * tasks that is. */
SYNK_API enum synk_status synk_retry(struct synk_client *client, const char *run,
                                     const char *const *workers, size_t count, uint64_t *ret_tasks,
                                     struct synk_error *error);

/* A run with its first page of tasks; attempts: with what became of each attempt. */
SYNK_API enum synk_status synk_show_run(struct synk_client *client, const char *run, bool attempts,
                                        struct synk_document **ret_run, struct synk_error *error);
/* All tasks of a run, page by page: see synk_list_next. */
SYNK_API enum synk_status synk_list_tasks(struct synk_client *client, const char *run,
                                          bool attempts, struct synk_list **ret_list,
                                          struct synk_error *error);
/* Runs, the latest first: see synk_list_next. filter may be NULL. */
SYNK_API enum synk_status synk_list_runs(struct synk_client *client,
                                         const struct synk_list_filter *filter,
                                         struct synk_list **ret_list, struct synk_error *error);
/* Why a run, or one worker of it (NULL = all), is where it is. */
SYNK_API enum synk_status synk_explain(struct synk_client *client, const char *run,
                                       const char *worker, struct synk_document **ret_body,
                                       struct synk_error *error);

/* A piece of what an attempt wrote. */
struct synk_log_range {
    const char *worker;   /* NULL where the run has one task */
    unsigned attempt;     /* 0 = the last one */
    int64_t offset;       /* bytes */
    uint32_t max;         /* bytes; 0 = as many as the supervisor gives */
    uint64_t reserved[4]; /* zero; new fields come out of it */
};
/* ret_body: data, offset, size (of the whole), complete. range may be NULL. */
SYNK_API enum synk_status synk_logs(struct synk_client *client, const char *run,
                                    const struct synk_log_range *range,
                                    struct synk_document **ret_body, struct synk_error *error);

#ifdef __cplusplus
}
#endif
#endif
