/* The answer to `why is this not running?`, from memory or from a run's records. */
#ifndef CORE_EXPLAIN_H
#define CORE_EXPLAIN_H

#include "supervisor/core/model.h"

void request_explain(struct engine *engine, struct request *request);
/* Answers from a run's stored tasks: states, reasons and errors. */
void explain_records(struct engine *engine, const struct request *request, const char *label,
                     const struct record *records, size_t count);

#endif
