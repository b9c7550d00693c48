/*
 * Stored records made the engine's state again, before INPUT_START and when a finished run goes on.
 */
#ifndef CORE_HYDRATE_H
#define CORE_HYDRATE_H

#include "supervisor/core/model.h"

void hydrate_finish(struct engine *engine);
void hydrate_free(struct engine *engine);
enum synk_status hydrate_record(struct engine *engine, const struct record *record,
                                struct synk_error *error);
/* Puts a task's record into its run. */
void hydrate_task(struct engine *engine, struct run *run, const struct task_record *record);

#endif
