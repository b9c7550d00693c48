/* Due times: of units with an interval or a cron expression. */
#ifndef CORE_SCHEDULE_H
#define CORE_SCHEDULE_H

#include "supervisor/core/model.h"

/* The unit's definition was applied or changed, or the unit was enabled or disabled; is_new: it was
 * not there before, so runOnStart is heeded. */
void schedule_unit(struct engine *engine, struct unit *unit, bool is_new);
/* Before and after everything else is hydrated: the clock, and each unit. */
void schedule_clock_loaded(struct engine *engine, struct synk_bytes record);
void schedule_clock_start(struct engine *engine);
void schedule_hydrated(struct engine *engine, struct unit *unit);
/* Timers. */
void schedule_due(struct engine *engine, uint64_t serial);
void schedule_calendar(struct engine *engine);
/* At every step: whether the wall clock has been set, and what follows. */
void schedule_clock(struct engine *engine);
/* At the end of a tick: keeps the clock's offset for the next start. */
void schedule_save(struct engine *engine);
/* Starts what is due now, of one unit or (NULL) of all; appends the labels of the runs, encoded
 * strings, and returns how many. */
uint32_t schedule_tick(struct engine *engine, struct unit *unit, struct buf *labels);

#endif
