/* Requests about submissions to the pool: taken in, changed, and in what order they would go. */
#ifndef CORE_REQUESTS_SUBMIT_H
#define CORE_REQUESTS_SUBMIT_H

#include "supervisor/core/model.h"

void request_submit(struct engine *engine, struct request *request);
void request_pool_update(struct engine *engine, struct request *request);
void request_pool_order(struct engine *engine, struct request *request);

#endif
