/*
 * Tasks: every move of the state table, with its record, its events and its place in lanes and at
 * hosts. A task is named by its run and its index there.
 */
#ifndef CORE_TASK_H
#define CORE_TASK_H

#include "supervisor/core/model.h"

struct synk_bytes task_worker_name(const struct run *run, uint32_t task, char number[16]);
const char *task_worker_id(const struct run *run, uint32_t task);
void task_move(struct engine *engine, struct run *run, uint32_t task, enum task_state state);
void task_ready(struct engine *engine, struct run *run, uint32_t task);
/* Takes a task out of whatever it is in (a lane, a host's flight). */
void task_detach(struct engine *engine, struct run *run, uint32_t task);
void task_attach(struct engine *engine, struct run *run, uint32_t task, struct host *host,
                 enum task_state state);
/* Ends it without an attempt's report: skipped, cancelled, failed by the engine. */
void task_end(struct engine *engine, struct run *run, uint32_t task, enum task_state state,
              const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Skips it because the task `failed` of its run failed, which is remembered. */
void task_skip_for(struct engine *engine, struct run *run, uint32_t task, uint32_t failed,
                   const char *text);
/* Ends it with a report. */
void task_finish(struct engine *engine, struct run *run, uint32_t task, enum task_state state,
                 const struct host *host, const struct msg_report *report);
struct task_extra *task_extra(struct task *task);
void task_extra_free(struct task *task);
struct record *task_record_add(struct engine *engine, struct run *run, uint32_t task);
void task_tell_start(struct engine *engine, struct run *run, uint32_t task);
void task_cancel(struct engine *engine, struct run *run, uint32_t task, const char *reason);
/* Cancels one task of a run that goes on; remembered over a restart while its attempt has to end. */
void task_cancel_alone(struct engine *engine, struct run *run, uint32_t task);
/* Whether an attempt of it that ends is not to be followed by another. */
bool task_is_cancelled(const struct run *run, uint32_t task);

#endif
