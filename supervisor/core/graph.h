/*
 * Versions of definitions, made ready to run, and what the end of a task means for those that
 * depend on it.
 */
#ifndef CORE_GRAPH_H
#define CORE_GRAPH_H

#include "supervisor/core/model.h"

struct version *version_new(struct engine *engine, struct unit *unit, uint32_t number,
                            struct definition *definition);
void version_free(struct version *version);
/* The settings in force for a worker of a run: those of the current version where it still has it.
 */
const struct worker_def *version_settings(struct engine *engine, struct run *run, uint32_t task,
                                          uint32_t *ret_queue);
/* Draws the consequences of a final task for its children. */
void graph_propagate(struct engine *engine, struct run *run, uint32_t task);
/* Counts what pending tasks wait for, from the states of their parents; readies or skips them. */
void graph_recompute(struct engine *engine, struct run *run);
/* Gives their turn to tasks that only maxParallel held back, as many as it allows now. */
void graph_advance(struct engine *engine, struct run *run);
/* Out of the list of those. */
void graph_leave_turn(struct run *run, uint32_t task);

#endif
