/* A task's output, asked of the host that ran it and passed on to the client. */
#ifndef CORE_LOGS_H
#define CORE_LOGS_H

#include "supervisor/core/model.h"

void request_logs(struct engine *engine, struct request *request);
void logs_data(struct engine *engine, const struct input *input);
void logs_timer(struct engine *engine, uint64_t id);
void logs_free(struct engine *engine);
void logs_send(struct engine *engine, const struct request *request, uint64_t run, uint32_t task,
               const struct host *host);
/* The task of a worker (or, in the pool, of an index); NONE. An empty name: the only one. */
uint32_t task_named(const struct run *run, struct synk_bytes worker);

#endif
