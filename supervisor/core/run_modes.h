/* Run modes: sequential, isolated, parallel, batched. */
#ifndef CORE_RUN_MODES_H
#define CORE_RUN_MODES_H

#include "supervisor/core/model.h"

/* Why what had not begun was skipped. */
#define RUN_STOPPED_TEXT "too many workers failed (maxFailures)"

/* Parallel where no process has a say: the pool, and a worker alone. */
enum run_mode run_mode_of(const struct run *run);
/* Tasks that have begun, or may at any moment, and have not ended. */
uint32_t run_active(const struct run *run);
/* maxParallel of the process as it is now; UINT32_MAX = no bound. */
uint32_t run_max_parallel(const struct run *run);
/* Whether the worker of a graph waits for a failure, or for an end of whatever kind: maxFailures
 * does not skip it. */
bool run_is_clean_up(const struct worker_def *worker);
/* Skips what has not begun once maxFailures are reached, and takes note of it in run->stopped. */
void run_heed_failures(struct engine *engine, struct run *run);
/* maxParallel or maxFailures of the process may have changed, or what held the run back is over. */
void run_heed(struct engine *engine, struct run *run);
/* Gives their turn to all workers that may have it now. Does nothing to graphs. */
void run_advance(struct engine *engine, struct run *run);
/* The delay between two workers of an isolated run is over. */
void run_turn(struct engine *engine, struct run *run);

#endif
