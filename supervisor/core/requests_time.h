/* Requests about what happens when: milestones from outside, and what is due by hand. */
#ifndef CORE_REQUESTS_TIME_H
#define CORE_REQUESTS_TIME_H

#include "supervisor/core/model.h"

void request_milestone(struct engine *engine, struct request *request);
void request_tick(struct engine *engine, struct request *request);

#endif
