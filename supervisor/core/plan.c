/* Plans of units, and of documents that nobody has applied. */
#include "supervisor/core/plan.h"

#include "proto/definition_plan.h"
#include "proto/value.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_apply.h"

enum { MAX_STEPS = 20000 };

static void reply_plan(struct engine *engine, const struct request *request,
                       const struct definition *definition)
{
    if (definition->worker_count > MAX_STEPS) {
        request_fail(engine, request, SYNK_TOO_LARGE, 0, "%u workers: a plan shows at most %d",
                     definition->worker_count, MAX_STEPS);
        return;
    }
    definition_plan_encode(definition, reply_open(engine));
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
            reply_plan(engine, request, unit->current->definition);
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
        reply_plan(engine, request, wanted);
    } else {
        request_fail(engine, request, SYNK_NOT_FOUND, 0, "the document has no such unit");
    }
    definition_set_fini(&set);
}
