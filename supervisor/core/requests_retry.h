/*
 * Requests about finished runs, which the store has to load first: retry, and those whose answer is
 * not in memory (wait, logs, explain).
 */
#ifndef CORE_REQUESTS_RETRY_H
#define CORE_REQUESTS_RETRY_H

#include "supervisor/core/model.h"
#include "supervisor/core/requests_run.h"

void request_retry(struct engine *engine, struct request *request);
/* Has the run's records loaded; the request goes on in requests_loaded. */
void request_load(struct engine *engine, const struct request *request,
                  const struct run_name *name);
void requests_loaded(struct engine *engine, const struct input *input);

#endif
