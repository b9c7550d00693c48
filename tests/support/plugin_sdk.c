/* A plugin that uses the SDK as plugins do, sub-tasks above all. Built as sdk.so. */
#include <stdio.h>
#include <string.h>
#include <synk/worker.h>
#include <unistd.h>

/* Each of payload.items: {id, fails?: tries that fail, holdMs?}. */
static int item(struct synk_task *task, const struct synk_subtask_try *now)
{
    const struct synk_value *one = synk_value_at(now->context, now->index);
    if ((int64_t)now->attempt <= synk_value_int(synk_value_get(one, "fails"), 0))
        return synk_task_fail(task, "try %u of %s", now->attempt, now->id);
    if (synk_task_sleep(task, synk_value_int(synk_value_get(one, "holdMs"), 0)))
        return synk_task_fail(task, "interrupted");
    synk_builder_begin_map(now->result);
    synk_builder_string(now->result, "tries");
    synk_builder_int(now->result, now->attempt);
    synk_builder_end(now->result);
    return 0;
}

static struct synk_bytes id_of(void *context, size_t index)
{
    return synk_value_bytes(synk_value_get(synk_value_at(context, index), "id"));
}

static void told(struct synk_task *task, const struct synk_subtask_progress *progress,
                 void *context)
{
    (void)context;
    synk_task_log(task, "%zu/%zu %s %s", progress->done, progress->total, progress->id,
                  progress->succeeded ? "ok" : progress->error);
    struct synk_builder *payload = synk_builder_new();
    synk_builder_string(payload, progress->id);
    synk_task_milestone(task, "item-done", payload);
    synk_builder_free(payload);
}

/* {items, maxRetries?, retryDelayMs?, delayMs?, stopOnError?, lenient?, noFunction?} */
static int items(struct synk_task *task)
{
    const struct synk_value *payload = synk_task_payload(task);
    const struct synk_value *all = synk_value_get(payload, "items");
    const struct synk_subtasks list = {
        .count = synk_value_count(all),
        .run = synk_value_bool(synk_value_get(payload, "noFunction"), false) ? NULL : item,
        .context = (void *)(uintptr_t)all,
        .id = id_of,
        .on_progress = told,
        .max_retries = (unsigned)synk_value_int(synk_value_get(payload, "maxRetries"), 0),
        .retry_delay_ms = synk_value_int(synk_value_get(payload, "retryDelayMs"), 0),
        .delay_ms = synk_value_int(synk_value_get(payload, "delayMs"), 0),
        .stop_on_error = synk_value_bool(synk_value_get(payload, "stopOnError"), false),
    };
    struct synk_builder *report = synk_builder_new();
    struct synk_subtask_counts counts;
    enum synk_status status = synk_run_tasks(task, &list, report, &counts);
    if (status == SYNK_OK || status == SYNK_FAILED)
        synk_builder_encoded(synk_task_result(task), synk_builder_bytes(report));
    else if (status == SYNK_CANCELLED)
        synk_task_milestone(task, "partial", report);
    synk_builder_free(report);
    bool is_lenient = synk_value_bool(synk_value_get(payload, "lenient"), false);
    return status == SYNK_FAILED && is_lenient ? 0 : (int)status;
}

static int first(struct synk_task *task, const struct synk_subtask_try *now)
{
    (void)task;
    synk_builder_string(now->result, now->data);
    return 0;
}

/* A list of its own, inside the other. */
static int second(struct synk_task *task, const struct synk_subtask_try *now)
{
    const struct synk_subtask inner[] = {{"x", first, "in x"}, {"y", first, "in y"}};
    const struct synk_subtasks list = {.count = 2, .items = inner, .own_progress = true};
    return synk_run_tasks(task, &list, now->result, NULL);
}

/* Sub-tasks with functions of their own, a list inside one of them, and the report inside a map. */
static int tasks(struct synk_task *task)
{
    const struct synk_subtask all[] = {{"one", first, "1"}, {"two", second, NULL}};
    const struct synk_subtasks list = {.count = 2, .items = all};
    struct synk_builder *result = synk_task_result(task);
    synk_builder_begin_map(result);
    synk_builder_string(result, "report");
    enum synk_status status = synk_run_tasks(task, &list, result, NULL);
    synk_builder_end(result);
    return status;
}

/* {path: inside inputs, otherwise}: what is there, as text. */
static int look(struct synk_task *task)
{
    const struct synk_value *payload = synk_task_payload(task);
    const char *path = synk_task_string(task, synk_value_get(payload, "path"), "");
    const char *otherwise = synk_task_string(task, synk_value_get(payload, "otherwise"), NULL);
    const struct synk_value *found = synk_value_path(synk_task_inputs(task), path);
    const char *text = synk_task_string(task, found, otherwise);
    if (!text)
        return synk_task_fail(task, "inputs/%s is no text", path);
    synk_builder_string(synk_task_result(task), text);
    return 0;
}

/* {ms} */
static int wait_ms(struct synk_task *task)
{
    int64_t ms = synk_value_int(synk_value_get(synk_task_payload(task), "ms"), 0);
    struct synk_builder *nothing = NULL;
    synk_task_milestone(task, "waits", nothing);
    if (synk_task_sleep(task, ms) == SYNK_CANCELLED)
        synk_task_milestone(task, "woken", nothing);
    return 0;
}

/* Where it works; then it goes elsewhere. */
static int where(struct synk_task *task)
{
    char directory[4096];
    if (!getcwd(directory, sizeof(directory)))
        return synk_task_fail(task, "there is no directory");
    synk_builder_string(synk_task_result(task), directory);
    return chdir("/tmp");
}

/* A result that is not ended; with payload `key`, a key without a value. */
static int undone(struct synk_task *task)
{
    struct synk_builder *result = synk_task_result(task);
    const char *key = synk_task_string(task, synk_task_payload(task), NULL);
    synk_builder_begin_map(result);
    synk_builder_string(result, key ? key : "n");
    if (key)
        synk_builder_end(result);
    else
        synk_builder_int(result, 1);
    return 0;
}

static int try_undone(struct synk_task *task, const struct synk_subtask_try *now)
{
    (void)task;
    synk_builder_begin_array(now->result);
    return 0;
}

static int tasks_undone(struct synk_task *task)
{
    const struct synk_subtasks list = {.count = 1, .run = try_undone};
    return synk_run_tasks(task, &list, synk_task_result(task), NULL);
}

SYNK_PLUGIN("sdk", {"items", items}, {"tasks", tasks}, {"look", look}, {"wait", wait_ms},
            {"where", where}, {"undone", undone}, {"tasks_undone", tasks_undone})
