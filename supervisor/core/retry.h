/* What follows from an attempt's end: the task's end, another attempt, or a wait before it. */
#ifndef CORE_RETRY_H
#define CORE_RETRY_H

#include "supervisor/core/model.h"

void retry_outcome(struct engine *engine, struct run *run, uint32_t task, struct host *host,
                   const struct msg_report *report);
void retry_lost(struct engine *engine, struct run *run, uint32_t task, struct host *host);
/* Back to ready as if the attempt had not been handed out. */
void retry_uncounted(struct engine *engine, struct run *run, uint32_t task);
void retry_due(struct engine *engine, uint64_t run, uint32_t task);

#endif
