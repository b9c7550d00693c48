/* Requests that only read: connect, show, list, fetch, and backup. */
#ifndef CORE_REQUESTS_QUERY_H
#define CORE_REQUESTS_QUERY_H

#include "supervisor/core/model.h"
#include "supervisor/core/requests_run.h"

void request_connect(struct engine *engine, struct request *request);
void request_show(struct engine *engine, struct request *request);
void request_list(struct engine *engine, struct request *request);
void request_fetch(struct engine *engine, struct request *request);
void request_backup(struct engine *engine, struct request *request);
/* How many rows a page may have: `limit`, or the most there are. */
uint32_t page_limit(const struct request *request);
void run_encode_summary(const struct run *run, struct buf *out);
void query_run(struct engine *engine, const struct request *request, const struct run_name *name,
               uint32_t from, uint32_t limit, bool with_attempts);

#endif
