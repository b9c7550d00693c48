/* Plan: in what order a unit's workers would run, and on what conditions, without running it. */
#include "supervisor/core/plan.h"

#include <stdlib.h>

#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/graph.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_apply.h"

enum { MAX_STEPS = 20000 };

/* Levels by longest path from the roots: parents first, by counting what each still waits for. */
static uint32_t *graph_levels(const struct version *version, uint32_t *order)
{
    const struct definition *definition = version->definition;
    uint32_t count = definition->worker_count;
    uint32_t *levels = mem_zalloc(count + 1u, sizeof(*levels));
    uint32_t *waiting = mem_alloc((count + 1u) * sizeof(*waiting));
    uint32_t filled = 0;
    for (uint32_t i = 0; i < count; i++) {
        waiting[i] = definition->workers[i].depends_on_count;
        if (!waiting[i])
            order[filled++] = i;
    }
    for (uint32_t at = 0; at < filled; at++) {
        uint32_t parent = order[at];
        for (uint32_t e = version->first_edge[parent]; e < version->first_edge[parent + 1]; e++) {
            uint32_t child = version->edges[e].child;
            if (levels[child] < levels[parent] + 1)
                levels[child] = levels[parent] + 1;
            if (--waiting[child] == 0)
                order[filled++] = child;
        }
    }
    free(waiting);
    return levels;
}

static uint32_t *mode_levels(const struct definition *definition, uint32_t *order)
{
    uint32_t *levels = mem_zalloc(definition->worker_count + 1u, sizeof(*levels));
    const struct process_options *process = &definition->process;
    for (uint32_t i = 0; i < definition->worker_count; i++) {
        order[i] = i;
        if (process->run_mode == RUN_SEQUENTIAL || process->run_mode == RUN_ISOLATED)
            levels[i] = i;
        else if (process->run_mode == RUN_BATCHED)
            levels[i] = i / (process->batch_size ? process->batch_size : 1);
    }
    return levels;
}

static void pack_step(struct buf *out, const struct definition *definition, uint32_t index,
                      uint32_t level)
{
    const struct worker_def *worker = &definition->workers[index];
    pack_map(out, 5);
    pack_key(out, "worker");
    pack_cstr(out, worker->id);
    pack_key(out, "level");
    pack_uint(out, level);
    pack_key(out, "after");
    pack_array(out, worker->depends_on_count);
    for (uint32_t d = 0; d < worker->depends_on_count; d++)
        pack_cstr(out, definition->workers[worker->depends_on[d].parent].id);
    pack_key(out, "when");
    pack_array(out, worker->depends_on_count);
    for (uint32_t d = 0; d < worker->depends_on_count; d++) {
        const struct dependency *dependency = &worker->depends_on[d];
        struct buf text = {0};
        buf_printf(&text, "%s", dependency_on_name(dependency->on));
        if (dependency->condition)
            buf_printf(&text, " and %s", dependency->condition);
        pack_string(out, buf_bytes(&text));
        buf_fini(&text);
    }
    pack_key(out, "function");
    pack_cstr(out, worker->worker->function);
}

static void reply_plan(struct engine *engine, const struct request *request,
                       const struct version *version)
{
    const struct definition *definition = version->definition;
    uint32_t count = definition->worker_count;
    if (count > MAX_STEPS) {
        request_fail(engine, request, SYNK_TOO_LARGE, 0, "%u workers: a plan shows at most %d",
                     count, MAX_STEPS);
        return;
    }
    uint32_t *order = mem_alloc((count + 1u) * sizeof(*order));
    uint32_t *levels =
        version->first_edge ? graph_levels(version, order) : mode_levels(definition, order);
    struct buf *out = reply_open(engine);
    pack_map(out, 3);
    pack_key(out, "unit");
    pack_cstr(out, definition->id);
    pack_key(out, "mode");
    pack_cstr(out, version->first_edge ? "graph" : run_mode_name(definition->process.run_mode));
    pack_key(out, "steps");
    pack_array(out, count);
    for (uint32_t i = 0; i < count; i++)
        pack_step(out, definition, order[i], levels[order[i]]);
    free(order);
    free(levels);
    reply_close(engine, request);
}

void request_plan(struct engine *engine, struct request *request)
{
    struct synk_bytes id = body_text(request, "unit");
    struct synk_error error = {0};
    bool has_document = !value_is_null(synk_value_get(request->body, "document")) ||
                        !value_is_null(synk_value_get(request->body, "upload"));
    if (!has_document) {
        struct unit *unit;
        uint32_t worker;
        enum synk_status status = unit_resolve(engine, id, &unit, &worker, &error);
        if (status == SYNK_OK && !unit->current)
            status = status_fail(&error, SYNK_NOT_FOUND, "the pool has no plan");
        if (status)
            request_error(engine, request, &error);
        else
            reply_plan(engine, request, unit->current);
        return;
    }
    struct definition_set set = {0};
    if (apply_read(engine, request, &set, &error)) {
        request_error(engine, request, &error);
        return;
    }
    const struct definition *wanted = NULL;
    for (size_t i = 0; i < set.count && !wanted; i++)
        if (!id.size || bytes_equal(id, bytes_str(set.units[i]->id)))
            wanted = set.units[i];
    if (wanted) {
        struct unit unit = {0};
        struct version *version =
            version_new(engine, &unit, 1, definition_ref((struct definition *)wanted));
        reply_plan(engine, request, version);
        version_free(version);
    } else {
        request_fail(engine, request, SYNK_NOT_FOUND, 0, "the document has no such unit");
    }
    definition_set_fini(&set);
}
