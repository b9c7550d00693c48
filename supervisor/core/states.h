/* The states of units, runs and tasks, their wire names, and the one table of a task's legal moves.
 */
#ifndef CORE_STATES_H
#define CORE_STATES_H

#include <stdbool.h>

enum unit_status { UNIT_IDLE, UNIT_RUNNING, UNIT_ERROR, UNIT_COMPLETED, UNIT_PAUSED };
enum run_status {
    RUN_QUEUED,
    RUN_RUNNING,
    RUN_SUCCEEDED,
    RUN_FAILED,
    RUN_CANCELLED,
    RUN_SKIPPED,
};
enum task_state {
    TASK_PENDING,    /* waits for its parents, or for its turn in the run mode */
    TASK_READY,      /* waits for a slot */
    TASK_DISPATCHED, /* at a host, not known to have started */
    TASK_RUNNING,
    TASK_RETRY_WAIT,
    TASK_SUCCEEDED,
    TASK_FAILED,
    TASK_TIMED_OUT,
    TASK_CANCELLED,
    TASK_SKIPPED,
    TASK_QUARANTINED,
    TASK_STATES,
};

/* Wire names: "idle", "retry-wait", … Never NULL. */
const char *unit_status_name(enum unit_status status);
const char *run_status_name(enum run_status status);
const char *task_state_name(enum task_state state);
/* -1 where no status has that name. */
int run_status_from_name(const char *name);
int task_state_from_name(const char *name);

static inline bool task_state_is_final(enum task_state state)
{
    return state >= TASK_SUCCEEDED;
}
static inline bool run_status_is_final(enum run_status status)
{
    return status >= RUN_SUCCEEDED;
}
/* Whether a task may move from one state to the other; every cell of the table is filled. */
bool task_move_is_legal(enum task_state from, enum task_state to);

#endif
