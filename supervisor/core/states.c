/* Names of states, and the table of a task's legal moves: the one place that decides them. */
#include "supervisor/core/states.h"

#include <string.h>

static const char *const unit_names[] = {
    [UNIT_IDLE] = "idle",           [UNIT_RUNNING] = "running", [UNIT_ERROR] = "error",
    [UNIT_COMPLETED] = "completed", [UNIT_PAUSED] = "paused",
};
static const char *const run_names[] = {
    [RUN_QUEUED] = "queued", [RUN_RUNNING] = "running",     [RUN_SUCCEEDED] = "succeeded",
    [RUN_FAILED] = "failed", [RUN_CANCELLED] = "cancelled", [RUN_SKIPPED] = "skipped",
};
static const char *const task_names[TASK_STATES] = {
    [TASK_PENDING] = "pending",         [TASK_READY] = "ready",
    [TASK_DISPATCHED] = "dispatched",   [TASK_RUNNING] = "running",
    [TASK_RETRY_WAIT] = "retry-wait",   [TASK_SUCCEEDED] = "succeeded",
    [TASK_FAILED] = "failed",           [TASK_TIMED_OUT] = "timed-out",
    [TASK_CANCELLED] = "cancelled",     [TASK_SKIPPED] = "skipped",
    [TASK_QUARANTINED] = "quarantined",
};
#define COUNT(names) (sizeof(names) / sizeof((names)[0]))

static const char *name_of(const char *const *names, size_t count, unsigned value)
{
    return value < count ? names[value] : "unknown";
}

static int from_name(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

const char *unit_status_name(enum unit_status status)
{
    return name_of(unit_names, COUNT(unit_names), status);
}

const char *run_status_name(enum run_status status)
{
    return name_of(run_names, COUNT(run_names), status);
}

const char *task_state_name(enum task_state state)
{
    return name_of(task_names, COUNT(task_names), state);
}

int run_status_from_name(const char *name)
{
    return from_name(run_names, COUNT(run_names), name);
}

int task_state_from_name(const char *name)
{
    return from_name(task_names, COUNT(task_names), name);
}

/* One bit a target state. Every final state may go back to pending: `retry` of the run does that.
 */
#define TO(state) (1u << (state))
#define TO_FINAL                                                                                   \
    (TO(TASK_SUCCEEDED) | TO(TASK_FAILED) | TO(TASK_TIMED_OUT) | TO(TASK_CANCELLED) |              \
     TO(TASK_QUARANTINED))
static const unsigned moves[TASK_STATES] = {
    [TASK_PENDING] = TO(TASK_READY) | TO(TASK_FAILED) | TO(TASK_CANCELLED) | TO(TASK_SKIPPED),
    /* running and the outcomes: an attempt of an earlier life of the supervisor is adopted; failed:
     * its inputs or templates do not hold */
    [TASK_READY] = TO(TASK_DISPATCHED) | TO(TASK_RUNNING) | TO_FINAL | TO(TASK_RETRY_WAIT) |
                   TO(TASK_SKIPPED) | TO(TASK_READY),
    [TASK_DISPATCHED] = TO(TASK_READY) | TO(TASK_RUNNING) | TO(TASK_RETRY_WAIT) | TO_FINAL,
    [TASK_RUNNING] = TO(TASK_READY) | TO(TASK_RETRY_WAIT) | TO_FINAL,
    [TASK_RETRY_WAIT] = TO(TASK_READY) | TO(TASK_DISPATCHED) | TO(TASK_RUNNING) | TO_FINAL |
                        TO(TASK_SKIPPED) | TO(TASK_RETRY_WAIT),
    [TASK_SUCCEEDED] = 0,
    [TASK_FAILED] = TO(TASK_PENDING),
    [TASK_TIMED_OUT] = TO(TASK_PENDING),
    [TASK_CANCELLED] = TO(TASK_PENDING),
    [TASK_SKIPPED] = TO(TASK_PENDING),
    [TASK_QUARANTINED] = TO(TASK_PENDING),
};

bool task_move_is_legal(enum task_state from, enum task_state to)
{
    return from < TASK_STATES && to < TASK_STATES && (moves[from] & TO(to));
}
