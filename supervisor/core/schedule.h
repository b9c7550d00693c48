/* Due times of units with an interval or a cron expression. */
#ifndef CORE_SCHEDULE_H
#define CORE_SCHEDULE_H

#include "supervisor/core/model.h"

void schedule_unit(struct engine *engine, struct unit *unit, bool is_new);
void schedule_hydrated(struct engine *engine, struct unit *unit);
void schedule_due(struct engine *engine, uint64_t serial);

#endif
