/* The rules, one a line: who implements a feature takes its line away. */
#include "proto/definition_supported.h"

/* The first schedule field of a worker inside a process. */
static const char *schedule_of(const struct unit_options *unit)
{
    return unit->cron               ? "cron"
           : unit->interval_ms      ? "intervalMs"
           : unit->run_on_start     ? "runOnStart"
           : unit->run_on_milestone ? "runOnMilestone"
           : unit->max_runs         ? "maxRuns"
                                    : NULL;
}

static bool worker_is_supported(const struct definition *definition, uint32_t index,
                                struct unsupported *ret_what)
{
    const struct worker_def *worker = &definition->workers[index];
    *ret_what = (struct unsupported){.worker = index};
    if (definition->kind == UNIT_PROCESS && schedule_of(worker->unit)) {
        ret_what->field = schedule_of(worker->unit);
        ret_what->instead = "it belongs to the process, or to a worker that stands alone";
    }
    return !ret_what->field;
}

bool definition_is_supported(const struct definition *definition, struct unsupported *ret_what)
{
    for (uint32_t i = 0; i < definition->worker_count; i++)
        if (!worker_is_supported(definition, i, ret_what))
            return false;
    return true;
}

enum synk_status definition_fail_unsupported(const struct definition *definition,
                                             const struct unsupported *what, const char *place,
                                             struct synk_error *error)
{
    bool is_member = definition->kind == UNIT_PROCESS && what->worker != UINT32_MAX;
    return status_fail(
        error, SYNK_UNSUPPORTED, "%s%s '%s'%s%s%s: '%s' is not for a worker inside a process: %s",
        place, definition->kind == UNIT_PROCESS ? "process" : "worker", definition->id,
        is_member ? ", worker '" : "", is_member ? definition->workers[what->worker].id : "",
        is_member ? "'" : "", what->field, what->instead);
}
