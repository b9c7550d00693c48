/* Requests about the registry as a whole: units that go, and everything at once. */
#ifndef CORE_REQUESTS_REGISTRY_H
#define CORE_REQUESTS_REGISTRY_H

#include "supervisor/core/model.h"

void request_release(struct engine *engine, struct request *request);
/* The unit's last run has ended: what waits for that goes on. */
void releases_continue(struct engine *engine, struct unit *unit);
/* Whether hooks of another unit name it. */
bool registry_has_dependents(const struct engine *engine, const char *id);
void releases_free(struct engine *engine);
void request_snapshot(struct engine *engine, struct request *request);
/* `list` of a process's workers. */
void list_workers(struct engine *engine, struct request *request);

#endif
