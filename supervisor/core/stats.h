/* Counts and gauges of the engine, for requests and for the milestone `engine:stats`. */
#ifndef CORE_STATS_H
#define CORE_STATS_H

#include "supervisor/core/model.h"

void request_stats(struct engine *engine, struct request *request);
void stats_encode(const struct engine *engine, struct buf *out);

#endif
