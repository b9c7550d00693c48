/*
 * Hooks: what a unit's start and end set off. Runs are not created inside the handler that fires a
 * hook, but when the step has settled, so that nothing re-enters a run under change.
 */
#include "supervisor/core/hooks.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/pack.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/events.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/run.h"
#include "supervisor/core/task.h"

void hooks_start(struct engine *engine, struct unit *unit, struct synk_bytes params, const char *by,
                 unsigned depth)
{
    if (depth > MAX_HOOK_DEPTH) {
        order_add(engine, ORDER_LOG, "hooks start each other %d deep: '%s' is not started",
                  MAX_HOOK_DEPTH, unit->id_text);
        return;
    }
    if (engine->start_first && engine->start_first == engine->start_count)
        engine->start_first = engine->start_count = 0;
    engine->starts = mem_grow(engine->starts, &engine->start_capacity, engine->start_count + 1,
                              sizeof(*engine->starts));
    engine->starts[engine->start_count++] =
        (struct pending_start){unit, blob_new(params), mem_strdup(by), (uint8_t)depth};
}

/* What a whole run came to: of a standalone worker, the result of its only task. */
static struct synk_bytes run_result(const struct run *run)
{
    if (!run->version || run->version->definition->kind != UNIT_WORKER || !run->tasks ||
        run->tasks[0].state != TASK_SUCCEEDED || !run->tasks[0].extra)
        return (struct synk_bytes){0};
    return blob_bytes(run->tasks[0].extra->result);
}

/* {unit, run, status, result, error}; of the whole run where task is NONE. */
static struct synk_bytes encode_params(struct engine *engine, const struct run *run, uint32_t task,
                                       struct synk_bytes result)
{
    struct buf out = {0};
    pack_map(&out, 5);
    pack_key(&out, "unit");
    if (task == NONE) {
        pack_string(&out, run->unit->id);
    } else {
        char id[2 * LIMIT_ID_BYTES + 2];
        snprintf(id, sizeof(id), "%s/%s", run->unit->id_text, task_worker_id(run, task));
        pack_cstr(&out, id);
    }
    pack_key(&out, "run");
    pack_cstr(&out, run->label);
    pack_key(&out, "status");
    pack_cstr(&out, task == NONE ? run_status_name(run->status)
                                 : task_state_name(run->tasks[task].state));
    pack_key(&out, "result");
    pack_encoded(&out, task == NONE ? run_result(run) : result);
    pack_key(&out, "error");
    const struct blob *error = run->error;
    if (task != NONE)
        error = run->tasks[task].extra ? run->tasks[task].extra->error : NULL;
    error ? pack_string(&out, blob_bytes(error)) : pack_null(&out);
    struct synk_bytes bytes = arena_copy(&engine->scratch, buf_bytes(&out));
    buf_fini(&out);
    return bytes;
}

void hooks_fire(struct engine *engine, const struct hook_list *list, struct run *run, uint32_t task,
                struct synk_bytes result)
{
    if (!list->count)
        return;
    struct synk_bytes params = encode_params(engine, run, task, result);
    char by[2 * LIMIT_ID_BYTES + 40];
    snprintf(by, sizeof(by), "hook:%s", run->label);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct hook *hook = &list->hooks[i];
        if (hook->kind == HOOK_EMIT) {
            milestone_emit(engine, run->unit, run, (struct synk_bytes){0}, bytes_str(hook->target),
                           params);
            continue;
        }
        struct unit *unit;
        uint32_t worker;
        struct synk_error error = {0};
        if (unit_resolve(engine, bytes_str(hook->target), &unit, &worker, &error) ||
            !unit->current || worker != NONE) {
            order_add(engine, ORDER_LOG, "hook of %s: there is no unit '%s'", run->label,
                      hook->target);
            continue;
        }
        hooks_start(engine, unit, params, by, run->depth + 1u);
    }
}

void hooks_milestone(struct engine *engine, struct synk_bytes name, struct synk_bytes payload)
{
    for (size_t i = 0; i < engine->unit_count; i++) {
        struct unit *unit = engine->units[i];
        const char *wanted =
            unit->current ? unit->current->definition->unit->run_on_milestone : NULL;
        if (!wanted || !unit->enabled || !bytes_equal(bytes_str(wanted), name))
            continue;
        hooks_start(engine, unit, payload, "milestone", engine->milestone_depth + 1u);
    }
}

void hooks_run_starts(struct engine *engine)
{
    if (engine->start_first == engine->start_count)
        return;
    struct pending_start start = engine->starts[engine->start_first++];
    uint64_t tasks = start.unit->current ? start.unit->current->definition->worker_count : 0;
    if (tasks && !engine->shutdown &&
        engine->counts.live_tasks + tasks <= engine->config.max_live_tasks) {
        /* Milestones of what it sets off at once are one deeper than it. */
        engine->milestone_depth = start.depth;
        run_create(engine, &(struct run_request){
                               .unit = start.unit,
                               .worker = NONE,
                               .params = blob_bytes(start.params),
                               .by = bytes_str(start.by),
                               .depth = start.depth,
                           });
        engine->milestone_depth = 0;
    }
    blob_unref(start.params);
    free(start.by);
}
