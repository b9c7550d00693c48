/* Finished runs that go from memory, and the bounds that the store is told. */
#ifndef CORE_RETENTION_H
#define CORE_RETENTION_H

#include "supervisor/core/model.h"

/* Removes the summary of a finished run from memory; the store keeps what it has. */
void retention_drop(struct engine *engine, struct run *run);
/* At the end of a tick, when its records are in the batch. */
void retention_flush(struct engine *engine);
/* A finished run is being loaded: the store removes no more runs until it is told again. */
void retention_interrupted(struct engine *engine);

/* PRUNE: what is past bounds goes now; answered by retention_pruned, when the store has done it. */
void request_prune(struct engine *engine, struct request *request);
void retention_pruned(struct engine *engine, const struct input *input);

#endif
