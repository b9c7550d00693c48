/* How many tasks at a time a connected host runs, changed while it runs. */
#ifndef CORE_RESIZE_H
#define CORE_RESIZE_H

#include "supervisor/core/model.h"

void request_resize(struct engine *engine, struct request *request);
/* The host has come (back): it is told again where it does not have what was asked for. */
void resize_host_came(struct engine *engine, struct host *host);

#endif
