/*
 * The lanes by which runs take turns in the queues of ready tasks, and the assignment of tasks to
 * hosts that have room.
 */
#ifndef CORE_DISPATCH_H
#define CORE_DISPATCH_H

#include "supervisor/core/model.h"

void lane_push(struct engine *engine, struct run *run, uint32_t task, struct queue *queue);
void lane_remove(struct engine *engine, struct run *run, uint32_t task);
void lane_link(struct engine *engine, struct lane *lane);
void lane_unlink(struct engine *engine, struct lane *lane);
/* Whether it takes work at all: connected, synced, heard from, and not drained. */
bool host_is_open(const struct host *host);
void host_open(struct engine *engine, struct host *host);
void dispatch_assign(struct engine *engine);

#endif
