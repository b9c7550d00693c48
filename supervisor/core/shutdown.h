/* An orderly end: running work is awaited, then killed, then the local host is waited for. */
#ifndef CORE_SHUTDOWN_H
#define CORE_SHUTDOWN_H

#include "supervisor/core/model.h"

void request_shutdown(struct engine *engine, struct request *request);
void shutdown_begin(struct engine *engine, int64_t grace_ms, bool keep_hosts);
void shutdown_check(struct engine *engine);
void shutdown_timer(struct engine *engine);

#endif
