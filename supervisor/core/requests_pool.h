/* Lists of what waits and runs beside the units: submissions to the pool, slots, limits. */
#ifndef CORE_REQUESTS_POOL_H
#define CORE_REQUESTS_POOL_H

#include "supervisor/core/model.h"

void list_pool(struct engine *engine, struct request *request, uint32_t limit);
void list_slots(struct engine *engine, struct request *request, uint32_t limit);
void list_limits(struct engine *engine, struct request *request);

#endif
