/* The watcher: units that nothing has used for long, and attempts that get nowhere. */
#ifndef CORE_WATCHER_H
#define CORE_WATCHER_H

#include "supervisor/core/model.h"

void request_scan(struct engine *engine, struct request *request);
/* A scan is due, or the watcher is to be started. */
void watcher_start(struct engine *engine);
void watcher_timer(struct engine *engine);

#endif
