/*
 * The plugin SDK. A plugin is a shared object NAME.so that exports one synk_plugin; its functions
 * are called as `run: NAME.FUNCTION`.
 *
 *     #include <synk/worker.h>
 *
 *     static int greet(struct synk_task *task)
 *     {
 *         struct synk_bytes who = synk_value_bytes(synk_value_get(synk_task_payload(task), "who"));
 *         if (!who.size)
 *             return synk_task_fail(task, "payload.who is missing");
 *         struct synk_builder *result = synk_task_result(task);
 *         synk_builder_map(result, 1);
 *         synk_builder_string(result, "greeted");
 *         synk_builder_string_n(result, (const char *)who.data, who.size);
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
 * function, and synk_task_cancelled, synk_task_progress, synk_task_milestone and synk_task_log from
 * any thread of it. The function returns 0 for success; anything else fails the attempt.
 */
#ifndef SYNK_WORKER_H
#define SYNK_WORKER_H

#include <synk/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a plugin built against an older header cannot run in a newer host. */
#define SYNK_PLUGIN_ABI 1

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
    SYNK_API const struct synk_plugin synk_plugin = {SYNK_PLUGIN_ABI, plugin_name,                 \
                                                     synk_plugin_functions_};

/* What the task was given. Owned by the task. payload: from the definition; params: from whoever
 * started the run; inputs: a map of parent id to its result. Null values where there is nothing. */
SYNK_API const struct synk_value *synk_task_payload(const struct synk_task *task);
SYNK_API const struct synk_value *synk_task_params(const struct synk_task *task);
SYNK_API const struct synk_value *synk_task_inputs(const struct synk_task *task);
SYNK_API const char *synk_task_run(const struct synk_task *task); /* "UNIT#N" */
SYNK_API const char *synk_task_unit(const struct synk_task *task);
SYNK_API const char *
synk_task_worker(const struct synk_task *task);                    /* "" for an unnamed pool task */
SYNK_API unsigned synk_task_attempt(const struct synk_task *task); /* from 1 */
/* Milliseconds until the attempt's deadline, never negative; INT64_MAX without one. */
SYNK_API int64_t synk_task_time_left_ms(const struct synk_task *task);
/* Whether the attempt is to end soon (cancel, timeout, shutdown): clean up and return. Cheap. */
SYNK_API bool synk_task_cancelled(const struct synk_task *task);

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

#ifdef __cplusplus
}
#endif
#endif
