/* Finished runs that go from memory, and the bounds that the store is told. */
#ifndef CORE_RETENTION_H
#define CORE_RETENTION_H

#include "supervisor/core/model.h"

/* Removes the summary of a finished run from memory; the store keeps what it has. */
void retention_drop(struct engine *engine, struct run *run);
/* At the end of a tick, when its records are in the batch. */
void retention_flush(struct engine *engine);

#endif
