/* Run modes: sequential, isolated, parallel, batched. */
#ifndef CORE_RUN_MODES_H
#define CORE_RUN_MODES_H

#include "supervisor/core/model.h"

/* Parallel where no process has a say: the pool, and a worker alone. */
enum run_mode run_mode_of(const struct run *run);
/* Gives their turn to all workers that may have it now. Does nothing to graphs. */
void run_advance(struct engine *engine, struct run *run);
/* The delay between two workers of an isolated run is over. */
void run_turn(struct engine *engine, struct run *run);

#endif
