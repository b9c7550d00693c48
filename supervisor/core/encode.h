/* Tasks as hosts are told of them, gathered into few messages. */
#ifndef CORE_ENCODE_H
#define CORE_ENCODE_H

#include "supervisor/core/model.h"

/* False: the task could not be sent and has ended. */
bool encode_task(struct engine *engine, struct host *host, struct run *run, uint32_t task);
void outbox_close(struct engine *engine, struct host *host);
void outbox_fini(struct outbox *outbox);

#endif
