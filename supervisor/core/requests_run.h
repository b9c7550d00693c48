/* Requests that start, submit to, wait for, cancel and pause runs. */
#ifndef CORE_REQUESTS_RUN_H
#define CORE_REQUESTS_RUN_H

#include "supervisor/core/model.h"

/* What a request names as `run`. Where it is not in memory, unit and number are given and *ret_run
 * is NULL. */
struct run_name {
    struct run *run;
    struct unit *unit;
    uint64_t number;
    struct synk_bytes id; /* UNIT or PROCESS/WORKER, as it was written */
};
enum synk_status run_name_parse(struct engine *engine, struct synk_bytes text,
                                struct run_name *ret_name, struct synk_error *error);
/* The run that a request names; false: answered with the error. */
bool request_named_run(struct engine *engine, const struct request *request,
                       struct run_name *ret_name);
/* Answers with the run's label and id, and with `number` under `extra` unless that is NULL. */
void reply_run(struct engine *engine, const struct request *request, const struct run *run,
               const char *extra, uint64_t number);
/* What a finished run's waiters are told. */
void pack_run_result(const struct run *run, struct buf *out);

/* Whether so many more tasks may be unfinished; false: answered with the error. */
bool request_has_room(struct engine *engine, const struct request *request, uint64_t tasks);

/* `delayMs` of a request that starts a run; false: answered with the error. */
bool request_take_delay(struct engine *engine, const struct request *request,
                        int64_t *ret_delay_ms);
void request_run(struct engine *engine, struct request *request);
void request_wait(struct engine *engine, struct request *request);
void request_cancel(struct engine *engine, struct request *request);
void request_pause(struct engine *engine, struct request *request);
void requests_run_ended(struct engine *engine, struct run *run);

#endif
