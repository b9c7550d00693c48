/*
 * The plugin SDK. A plugin is a shared object NAME.so that exports one synk_plugin; its functions
 * are called as `run: NAME.FUNCTION`.
 *
 *     #include <synk/worker.h>
 *
 *     static int greet(struct synk_task *task)
 *     {
 *         const struct synk_value *payload = synk_task_payload(task);
 *         const char *who = synk_task_string(task, synk_value_get(payload, "who"), NULL);
 *         if (!who)
 *             return synk_task_fail(task, "payload.who is missing");
 *         struct synk_builder *result = synk_task_result(task);
 *         synk_builder_begin_map(result);
 *         synk_builder_string(result, "greeted");
 *         synk_builder_string(result, who);
 *         synk_builder_end(result);
 *         return 0;
 *     }
 *
 *     SYNK_PLUGIN("hello", {"greet", greet})
 *
 *     cc -shared -fPIC $(pkg-config --cflags synk-worker) -o hello.so hello.c
 *
 * Each function runs in a forked runner process that executes one task at a time: it may crash,
 * leak or hang, and costs its own attempt only. A runner executes many tasks one after the other,
 * so static state lives from one to the next. Calls below may be made from the thread that runs the
 * function, and synk_task_cancelled, synk_task_sleep, synk_task_progress, synk_task_milestone and
 * synk_task_log from any thread of it. The function returns 0 for success; anything else fails the
 * attempt. Its working directory is "/", whatever the task before it changed: a path in a payload
 * is absolute, or relative to what plugin and definition agree on. docs/plugins.md is the guide.
 */
#ifndef SYNK_WORKER_H
#define SYNK_WORKER_H

#include <synk/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a plugin built against an older header cannot run in a newer host. */
#define SYNK_PLUGIN_ABI 1
/* Raised when functions are added, for #if. A host refuses a plugin that calls one it lacks, and
 * names it; plugins built against older headers load as before. 2: synk_run_tasks, synk_task_sleep,
 * synk_task_string, synk_value_path, synk_builder_begin_map, _begin_array and _end. */
#define SYNK_PLUGIN_API 2

struct synk_task; /* one attempt, valid until the function returns */

typedef int (*synk_function)(struct synk_task *task);

struct synk_plugin_function {
    const char *name;
    synk_function run;
};
struct synk_plugin {
    unsigned abi; /* SYNK_PLUGIN_ABI; checked when loaded */
    const char *name;
    const struct synk_plugin_function *functions; /* ended by a NULL name */
};

/* Defines the exported entry: SYNK_PLUGIN("name", {"function", function}, …). */
#define SYNK_PLUGIN(plugin_name, ...)                                                              \
    static const struct synk_plugin_function synk_plugin_functions_[] = {__VA_ARGS__, {0, 0}};     \
    SYNK_API extern const struct synk_plugin synk_plugin;                                          \
    const struct synk_plugin synk_plugin = {SYNK_PLUGIN_ABI, plugin_name, synk_plugin_functions_};

/* What the task was given. Owned by the task. payload: from the definition; params: from whoever
 * started the run; inputs: a map of parent id to its result. Null values where there is nothing. */
SYNK_API const struct synk_value *synk_task_payload(const struct synk_task *task);
SYNK_API const struct synk_value *synk_task_params(const struct synk_task *task);
SYNK_API const struct synk_value *synk_task_inputs(const struct synk_task *task);
/* A string as NUL-terminated text, a copy that the task frees once the function has returned;
 * `otherwise` (which may be NULL) where the value is absent or no string. */
SYNK_API const char *synk_task_string(struct synk_task *task, const struct synk_value *value,
                                      const char *otherwise);
SYNK_API const char *synk_task_run(const struct synk_task *task); /* "UNIT#N" */
SYNK_API const char *synk_task_unit(const struct synk_task *task);
SYNK_API const char *
synk_task_worker(const struct synk_task *task);                    /* "" for an unnamed pool task */
SYNK_API unsigned synk_task_attempt(const struct synk_task *task); /* from 1 */
/* Milliseconds until the attempt's deadline, never negative; INT64_MAX without one. */
SYNK_API int64_t synk_task_time_left_ms(const struct synk_task *task);
/* Whether the attempt is to end soon (cancel, timeout, shutdown): clean up and return. Cheap. */
SYNK_API bool synk_task_cancelled(const struct synk_task *task);
/* Waits so many milliseconds (none for 0 and less), or until the attempt is to end: SYNK_OK, or
 * SYNK_CANCELLED at once, then and at every later call. */
SYNK_API enum synk_status synk_task_sleep(const struct synk_task *task, int64_t ms);

/* The builder for the result; at most 1 MiB, checked when the function returns. Owned by the task.
 */
SYNK_API struct synk_builder *synk_task_result(struct synk_task *task);
/* Sets the error's text (printf style, cut at 4 KiB) and returns -1, for `return
 * synk_task_fail(…)`. */
SYNK_API int synk_task_fail(struct synk_task *task, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
/* 0 to 1. May be lost; the last one counts. */
SYNK_API void synk_task_progress(struct synk_task *task, double fraction);
/* A named event with a payload (NULL = none), recorded durably once. SYNK_TOO_LARGE past 1 MiB,
 * SYNK_INVALID for a name that is not 1 to 128 bytes. Blocks only while the host is behind. */
SYNK_API enum synk_status synk_task_milestone(struct synk_task *task, const char *name,
                                              const struct synk_builder *payload);
/* One line for the task's log, a newline is added. Bounded: 1 MiB an attempt. */
SYNK_API void synk_task_log(struct synk_task *task, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/*
 * Many small steps inside one worker, each with an id, tries of its own and a place in the report.
 * They run one after another, in the order of the list, on the thread that calls:
 *
 *     static int fetch(struct synk_task *task, const struct synk_subtask_try *now)
 *     {
 *         const char *url = now->data;
 *         return download(url) ? 0 : synk_task_fail(task, "%s does not answer", url);
 *     }
 *
 *     const struct synk_subtask items[] = {{.id = "north", .data = north_url}, …};
 *     const struct synk_subtasks list = {
 *         .count = 2, .items = items, .run = fetch, .max_retries = 3, .retry_delay_ms = 500};
 *     return synk_run_tasks(task, &list, synk_task_result(task), NULL);
 *
 * With .items NULL a sub-task is only its position, and .run finds its data by that.
 */
#define SYNK_SUBTASKS_MAX 1000000

/* What one try of a sub-task sees; valid until its function returns. Members may be appended. */
struct synk_subtask_try {
    const char *id;
    size_t index;                /* in the list, from 0 */
    unsigned attempt;            /* of this sub-task, from 1 */
    void *data;                  /* the sub-task's own */
    void *context;               /* the list's */
    struct synk_builder *result; /* empty; one value built here is kept when the try succeeds */
};
/* Returns 0 for success; anything else fails the try, with the text of synk_task_fail. */
typedef int (*synk_subtask_function)(struct synk_task *task, const struct synk_subtask_try *now);

struct synk_subtask {
    const char *id;            /* 1 to 128 bytes of UTF-8, unique in the list; NULL: see list.id */
    synk_subtask_function run; /* NULL: the list's */
    void *data;
};

/* Told once for each sub-task that has ended; valid during the call. Members may be appended. */
struct synk_subtask_progress {
    const char *id;
    size_t index;
    bool succeeded;
    unsigned attempts;
    const char *error; /* why the last try failed; NULL when it succeeded */
    size_t done, total, successful, failed;
};

/* The list and how to run it. Everything is borrowed for the call; members left zero have the
 * meaning told here. */
struct synk_subtasks {
    size_t count;                     /* 0 to SYNK_SUBTASKS_MAX */
    const struct synk_subtask *items; /* `count` of them, or NULL: positions only */
    synk_subtask_function run;        /* of every sub-task without its own */
    void *context;                    /* passed to the functions below */
    /* The id of a sub-task whose item has none, borrowed until synk_run_tasks returns. Where this
     * is NULL, or answers size 0, the id is the position: "0", "1", … */
    struct synk_bytes (*id)(void *context, size_t index);
    void (*on_progress)(struct synk_task *task, const struct synk_subtask_progress *progress,
                        void *context);
    unsigned max_retries;   /* tries of each sub-task beyond the first */
    int64_t retry_delay_ms; /* before each of those */
    int64_t delay_ms;       /* between one sub-task and the next */
    bool stop_on_error;     /* no more sub-tasks once one has failed for good */
    bool own_progress;    /* leave synk_task_progress alone; otherwise it is set to done / total */
    uint64_t reserved[4]; /* 0 */
};

struct synk_subtask_counts {
    size_t total, successful, failed, not_run;
};

/*
 * Runs the list and appends the report to `report` (NULL: nowhere), one map:
 *
 *     totalTasks successful failed notRun   their numbers; notRun: behind a stop or a cancel
 *     successPercentage                     of totalTasks, two decimals, cut; 100 for no tasks
 *     retries                               tries beyond the first, all together
 *     cancelled                             whether a cancel or a time limit ended it early
 *     results {id: value}                   what succeeded and gave a result
 *     errors {id: text}                     what failed; each text cut at 512 bytes
 *     resultsLeftOut errorsLeftOut          how many of these did not fit
 *
 * The report never exceeds 928 KiB, and so fits a result with 96 KiB to spare: results share
 * 768 KiB, errors 128 KiB, in the order of the list, and what does not fit is left out and counted.
 * A result that is not one whole value, or nested deeper than 13, fails its try.
 *
 * Blocks until all is done, a sub-task failed under stop_on_error, or the attempt is to end, which
 * cuts every wait short; a running function has to look at synk_task_cancelled itself. `ret_counts`
 * may be NULL. Returns, and sets the error as synk_task_fail does where it is not SYNK_OK, so that
 * `return synk_run_tasks(…);` makes the attempt's outcome, and `return 0;` behind it keeps a report
 * with failures as the result:
 *   SYNK_OK         all succeeded
 *   SYNK_FAILED     at least one failed
 *   SYNK_CANCELLED  the attempt is to end; sub-tasks did not run, or failed of that
 *   SYNK_INVALID    a bad or duplicate id, no function, a negative delay; nothing was run or
 *                   reported, ret_counts is untouched
 *   SYNK_TOO_LARGE  more than SYNK_SUBTASKS_MAX, likewise
 * A function may run a list of its own; give that own_progress.
 */
SYNK_API enum synk_status synk_run_tasks(struct synk_task *task, const struct synk_subtasks *list,
                                         struct synk_builder *report,
                                         struct synk_subtask_counts *ret_counts);

#ifdef __cplusplus
}
#endif
#endif
