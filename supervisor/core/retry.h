/* What follows from an attempt's end: the task's end, another attempt, or a wait before it. */
#ifndef CORE_RETRY_H
#define CORE_RETRY_H

#include "supervisor/core/model.h"

void retry_outcome(struct engine *engine, struct run *run, uint32_t task, struct host *host,
                   const struct msg_report *report);
/* Who may have brought a host's process down. Zeroed: nobody, it was lost otherwise. */
struct blame {
    size_t suspects;   /* attempts that may have run */
    bool only_running; /* the slots were full: what was not seen to start did not run */
};
/* Looks at the attempts of a host whose process has ended. */
struct blame retry_blame(const struct host *host);
void retry_lost(struct engine *engine, struct run *run, uint32_t task, struct host *host,
                const struct blame *blame);
/* Back to ready as if the attempt had not been handed out. */
void retry_uncounted(struct engine *engine, struct run *run, uint32_t task);
void retry_due(struct engine *engine, uint64_t run, uint32_t task);

#endif
