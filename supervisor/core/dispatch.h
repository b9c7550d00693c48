/*
 * Queues of ready tasks, the lanes by which runs take turns in them, and their assignment to hosts
 * that have room.
 */
#ifndef CORE_DISPATCH_H
#define CORE_DISPATCH_H

#include "supervisor/core/model.h"

uint32_t queue_for(struct engine *engine, const struct worker_options *options);
void lane_push(struct engine *engine, struct run *run, uint32_t task, struct queue *queue);
void lane_remove(struct engine *engine, struct run *run, uint32_t task);
void lane_link(struct engine *engine, struct lane *lane);
void lane_unlink(struct engine *engine, struct lane *lane);
bool host_offers(struct engine *engine, struct host *host, uint32_t class);
void host_open(struct engine *engine, struct host *host);
void dispatch_assign(struct engine *engine);
void function_measured(struct engine *engine, uint32_t queue, int64_t execution_us);

#endif
