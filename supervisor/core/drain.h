/*
 * Hosts that get no work, because somebody asked for it, and work that is taken back from hosts
 * that have not begun it: of those, and of busy ones while others idle.
 */
#ifndef CORE_DRAIN_H
#define CORE_DRAIN_H

#include "supervisor/core/model.h"

void request_drain(struct engine *engine, struct request *request);
/* A host has said hello: whether it is to get work. */
void drain_host_came(const struct engine *engine, struct host *host);
/* It has told what it has: a recall may have been lost with the connection. */
void drain_host_synced(struct engine *engine, struct host *host);
/* Every half heartbeat: what waits at a busy host while another is idle goes there. */
void drain_rebalance(struct engine *engine);

/* The value of the meta record `drained`. */
void drain_load(struct engine *engine, struct synk_bytes value);
void drain_free(struct engine *engine);

#endif
