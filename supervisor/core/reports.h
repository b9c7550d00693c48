/* What hosts say about attempts: started, progress, ended, refused, still there. */
#ifndef CORE_REPORTS_H
#define CORE_REPORTS_H

#include "supervisor/core/model.h"

void reports_message(struct engine *engine, struct host *host, const struct input *input);
void reports_started(struct engine *engine, struct host *host, const struct input *input);
void reports_progress(struct engine *engine, struct host *host, const struct input *input);
void reports_reject(struct engine *engine, struct host *host, const struct input *input);
/* An attempt that a host says it has: adopts it, confirms it, or has it cancelled. */
void reports_listed(struct engine *engine, struct host *host, const struct msg_attempt *attempt);

#endif
