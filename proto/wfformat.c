/*
 * WfFormat 1.5 (recorded workflows of wfcommons.org) to a definition that sleeps as long as each
 * task once ran: the graph is in workflow.specification.tasks, the run times in
 * workflow.execution.tasks, matched by id. What is wrong is named by its path in the file.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "proto/definition_file.h"
#include "proto/json.h"
#include "proto/limits.h"

struct conversion {
    json_t *run_times; /* id -> runtimeInSeconds */
    double scale;
    struct buf *out;
    const char *path;
    struct synk_error *error;
};

static enum synk_status fail(struct conversion *c, const char *member, const char *what)
{
    return status_fail(c->error, SYNK_INVALID, "%s: %s: %s", c->path, member, what);
}

static enum synk_status read_run_times(struct conversion *c, const json_t *tasks)
{
    size_t index;
    json_t *task;
    json_array_foreach((json_t *)tasks, index, task)
    {
        char member[80];
        const json_t *id = json_object_get(task, "id");
        json_t *seconds = json_object_get(task, "runtimeInSeconds");
        snprintf(member, sizeof(member), "workflow.execution.tasks[%zu]", index);
        if (!json_is_string(id))
            return fail(c, member, "'id' must be a string");
        if (!json_is_number(seconds) || !(json_number_value(seconds) >= 0))
            return fail(c, member, "'runtimeInSeconds' must be a number, 0 or more");
        if (json_object_get(c->run_times, json_string_value(id)))
            return fail(c, member, "a second task of the same 'id'");
        json_object_set(c->run_times, json_string_value(id), seconds);
    }
    return SYNK_OK;
}

static enum synk_status check_id(struct conversion *c, const char *member, const json_t *id)
{
    char what[SYNK_ERROR_TEXT_BYTES];
    if (!json_is_string(id))
        return fail(c, member, "must be a string");
    struct synk_bytes text = bytes_of(json_string_value(id), json_string_length(id));
    if (definition_id_is_valid(text))
        return SYNK_OK;
    snprintf(what, sizeof(what),
             "'%.200s' is no id here (1 to %d bytes of printable UTF-8 without / and #)",
             json_string_value(id), LIMIT_ID_BYTES);
    return fail(c, member, what);
}

static enum synk_status put_parents(struct conversion *c, const char *member, const json_t *parents)
{
    size_t index;
    json_t *parent;
    if (parents && !json_is_array(parents))
        return fail(c, member, "'parents' must be a list");
    if (!json_array_size(parents))
        return SYNK_OK;
    json_t *seen = json_object();
    enum synk_status status = SYNK_OK;
    buf_printf(c->out, ",\"dependsOn\":[");
    json_array_foreach((json_t *)parents, index, parent)
    {
        status = check_id(c, member, parent);
        if (status)
            break;
        const char *id = json_string_value(parent);
        if (json_object_get(seen, id)) /* recorded twice means once */
            continue;
        if (json_object_size(seen))
            buf_append(c->out, ",", 1);
        json_object_set_new(seen, id, json_true());
        json_print_string(bytes_str(id), c->out);
    }
    buf_printf(c->out, "]");
    json_decref(seen);
    return status;
}

static enum synk_status put_task(struct conversion *c, size_t index, const json_t *task)
{
    char member[80];
    snprintf(member, sizeof(member), "workflow.specification.tasks[%zu].id", index);
    const json_t *id = json_object_get(task, "id");
    enum synk_status status = check_id(c, member, id);
    if (status)
        return status;
    const json_t *seconds = json_object_get(c->run_times, json_string_value(id));
    if (!seconds)
        return fail(c, member, "no task of that id in workflow.execution.tasks");
    double ms = round(json_number_value(seconds) * 1000 * c->scale);
    if (!(ms >= 0 && ms < 9e15))
        return fail(c, member, "its run time is out of range");
    buf_printf(c->out, "%s{\"id\":", index ? "," : "");
    json_print_string(bytes_str(json_string_value(id)), c->out);
    buf_printf(c->out, ",\"run\":\"sim.sleep\",\"payload\":{\"ms\":%lld},\"timeoutMs\":0",
               (long long)ms);
    snprintf(member, sizeof(member), "workflow.specification.tasks[%zu].parents", index);
    status = put_parents(c, member, json_object_get(task, "parents"));
    buf_printf(c->out, "}");
    return status;
}

static enum synk_status put_process(struct conversion *c, struct synk_bytes id, const json_t *root)
{
    const json_t *workflow = json_object_get(root, "workflow");
    const json_t *tasks = json_object_get(json_object_get(workflow, "specification"), "tasks");
    const json_t *runs = json_object_get(json_object_get(workflow, "execution"), "tasks");
    size_t index;
    json_t *task;
    if (!json_array_size(tasks))
        return fail(c, "workflow.specification.tasks", "must be a list of tasks");
    if (!json_array_size(runs))
        return fail(c, "workflow.execution.tasks", "must be a list of tasks");
    enum synk_status status = read_run_times(c, runs);
    if (status)
        return status;
    buf_printf(c->out, "{\"processes\":[{\"id\":");
    json_print_string(id, c->out);
    buf_printf(c->out, ",\"workers\":[");
    json_array_foreach((json_t *)tasks, index, task)
    {
        status = put_task(c, index, task);
        if (status)
            return status;
    }
    buf_printf(c->out, "]}]}");
    return SYNK_OK;
}

enum synk_status wfformat_convert(const char *path, double scale, struct buf *out,
                                  struct synk_error *error)
{
    const char *slash = strrchr(path, '/');
    struct synk_bytes id = bytes_str(slash ? slash + 1 : path);
    if (id.size > 5 && memcmp((const char *)id.data + id.size - 5, ".json", 5) == 0)
        id.size -= 5;
    if (!definition_id_is_valid(id))
        return status_fail(error, SYNK_INVALID, "%s: the file's name is no id of a process", path);
    if (!(scale >= 0 && scale < 1e6))
        return status_fail(error, SYNK_INVALID, "a scale must be from 0 to 1000000");
    json_error_t problem;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &problem);
    if (!root)
        return json_error_code(&problem) == json_error_cannot_open_file
                   ? status_fail(error, SYNK_IO, "%s", problem.text)
                   : status_fail(error, SYNK_INVALID, "%s:%d:%d: %s", path, problem.line,
                                 problem.column, problem.text);
    size_t size = out->size;
    struct conversion c = {json_object(), scale, out, path, error};
    enum synk_status status = put_process(&c, id, root);
    if (status)
        out->size = size;
    json_decref(c.run_times);
    json_decref(root);
    return status;
}
