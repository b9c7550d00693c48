/*
 * What the files of the engine offer each other, grouped by file. A step works in two halves: a
 * handler changes state and writes records and events; what follows from a task's end (children,
 * the run's end, hooks) is put on lists of consequences, which engine_settle works off without
 * recursion when the handler is done.
 */
#ifndef CORE_PARTS_H
#define CORE_PARTS_H

#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/model.h"

/* effects.c: messages are packed straight into effects.bodies between open and close. */
struct buf *send_open(struct engine *engine);
struct send *send_close(struct engine *engine, enum socket socket, uint32_t peer, uint16_t type,
                        uint64_t sequence, bool urgent);
void order_add(struct engine *engine, enum order_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A zeroed query; its bytes are to be copied into effects.arena. */
struct query *query_add(struct engine *engine, enum query_kind kind);
/* Copies into the arena of the open batch. */
struct synk_bytes keep_bytes(struct engine *engine, struct synk_bytes bytes);

/* events.c */
struct event {
    enum event_type type;
    struct unit *unit;     /* NULL = none */
    const struct run *run; /* gives unit and run */
    struct synk_bytes worker;
    uint32_t attempt;                                /* 0 = none */
    struct synk_bytes milestone, error, by, payload; /* payload encoded */
    struct synk_bytes subject;                       /* without a unit: what the topic names */
};
void event_emit(struct engine *engine, const struct event *event);
/* An event about one task. */
void event_task(struct engine *engine, enum event_type type, const struct run *run, uint32_t task,
                struct synk_bytes error, struct synk_bytes payload);
/* {key: text} in scratch memory, for payloads. */
struct synk_bytes payload_text(struct engine *engine, const char *key, struct synk_bytes text);
/* `unit:ID:what` as a milestone. */
void milestone_unit(struct engine *engine, struct unit *unit, const char *what,
                    struct synk_bytes payload);
void milestone_emit(struct engine *engine, struct unit *unit, const struct run *run,
                    struct synk_bytes worker, struct synk_bytes name, struct synk_bytes payload);
/* The entries `unit` and `run` of a run's events. */
struct synk_bytes event_prefix(const struct run *run);

/* graph.c */
struct version *version_new(struct engine *engine, struct unit *unit, uint32_t number,
                            struct definition *definition);
void version_free(struct version *version);
/* The settings in force for a worker of a run: those of the current version where it still has it.
 */
const struct worker_def *version_settings(struct engine *engine, struct run *run, uint32_t task,
                                          uint32_t *ret_queue);
/* Draws the consequences of a final task for its children. */
void graph_propagate(struct engine *engine, struct run *run, uint32_t task);
/* Counts what pending tasks wait for, from the states of their parents; readies or skips them. */
void graph_recompute(struct engine *engine, struct run *run);

/* registry.c */
struct unit *unit_find(const struct engine *engine, struct synk_bytes id);
struct unit *unit_add(struct engine *engine, struct synk_bytes id);
void unit_touch(struct engine *engine, struct unit *unit);
void unit_save(struct engine *engine, struct unit *unit);
void unit_set_status(struct engine *engine, struct unit *unit, enum unit_status status);
/* What is shown: `paused` over the rest. */
enum unit_status unit_shown_status(const struct unit *unit);
void unit_put_version(struct engine *engine, struct unit *unit, struct definition *definition,
                      bool save);
void unit_release(struct engine *engine, struct unit *unit);
void version_unref(struct version *version);
void unit_free(struct unit *unit);
bool unit_worker_is_paused(const struct unit *unit, const char *worker);
void unit_set_paused(struct engine *engine, struct unit *unit, bool paused);
bool unit_set_worker_paused(struct engine *engine, struct unit *unit, struct synk_bytes worker,
                            bool paused);
void unit_encode(const struct engine *engine, const struct unit *unit, bool with_definition,
                 struct buf *out);
void execution_add(struct execution *execution, int64_t took_ms);
void execution_encode(const struct execution *execution, struct buf *out);
void execution_decode(struct execution *execution, struct synk_bytes bytes);
/* "P", "P/W", or a worker's bare id where only one process has it. */
enum synk_status unit_resolve(struct engine *engine, struct synk_bytes text, struct unit **ret_unit,
                              uint32_t *ret_worker, struct synk_error *error);

/* run.c */
struct run_request {
    struct unit *unit;
    uint32_t worker; /* NONE = all */
    struct synk_bytes params, by;
    enum overlap overlap; /* OVERLAP_DEFAULT = the unit's, else queue */
    uint8_t depth;
    struct pool *pool;   /* taken */
    struct blob *spec;   /* taken */
    uint32_t task_count; /* pool */
};
struct run *run_create(struct engine *engine, const struct run_request *request);
struct run *run_find(struct engine *engine, uint64_t id);
struct run *run_find_number(const struct engine *engine, const struct unit *unit, uint64_t number);
void run_start(struct engine *engine, struct run *run);
void run_advance(struct engine *engine, struct run *run);
/* The delay between two workers of an isolated run is over. */
void run_turn(struct engine *engine, struct run *run);
void run_cancel(struct engine *engine, struct run *run, const char *reason);
/* Something about it may have ended it: looked at when the step settles. */
void run_check_later(struct engine *engine, struct run *run);
void run_check(struct engine *engine, struct run *run);
void run_touch(struct engine *engine, struct run *run);
void run_save(struct engine *engine, const struct run *run);
/* Links or unlinks its lanes by what holds it back now. */
void run_update_held(struct engine *engine, struct run *run);
bool run_is_held(const struct engine *engine, const struct run *run);
void run_name(struct engine *engine, struct run *run);
void run_link_live(struct engine *engine, struct run *run);
void run_link_finished(struct engine *engine, struct run *run);
void run_unlink_finished(struct engine *engine, struct run *run);
void run_free_tasks(struct run *run);
void run_free(struct run *run);
void run_start_queued(struct engine *engine, struct unit *unit);
void run_set_error(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum run_mode run_mode_of(const struct run *run);
void run_resume_finished(struct engine *engine, struct run *run);
void run_set_deadline(struct engine *engine, struct run *run);

/* task.c */
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
/* Ends it with a report. */
void task_finish(struct engine *engine, struct run *run, uint32_t task, enum task_state state,
                 const struct host *host, const struct msg_report *report);
struct task_extra *task_extra(struct task *task);
void task_extra_free(struct task *task);
struct record *task_record_add(struct engine *engine, struct run *run, uint32_t task);
void task_tell_start(struct engine *engine, struct run *run, uint32_t task);
void task_cancel(struct engine *engine, struct run *run, uint32_t task, const char *reason);

/* retry.c: what follows from an attempt's end. */
void retry_outcome(struct engine *engine, struct run *run, uint32_t task, struct host *host,
                   const struct msg_report *report);
void retry_lost(struct engine *engine, struct run *run, uint32_t task, struct host *host);
/* Back to ready as if the attempt had not been handed out. */
void retry_uncounted(struct engine *engine, struct run *run, uint32_t task);
void retry_due(struct engine *engine, uint64_t run, uint32_t task);

/* dispatch.c */
uint32_t queue_for(struct engine *engine, const struct worker_options *options);
void lane_push(struct engine *engine, struct run *run, uint32_t task, struct queue *queue);
void lane_remove(struct engine *engine, struct run *run, uint32_t task);
void lane_link(struct engine *engine, struct lane *lane);
void lane_unlink(struct engine *engine, struct lane *lane);
bool host_offers(struct engine *engine, struct host *host, uint32_t class);
void host_open(struct engine *engine, struct host *host);
void dispatch_assign(struct engine *engine);
void function_measured(struct engine *engine, uint32_t queue, int64_t execution_us);

/* encode.c: a task as a host is told of it. False: the task could not be sent and has ended. */
bool encode_task(struct engine *engine, struct host *host, struct run *run, uint32_t task);
void outbox_close(struct engine *engine, struct host *host);
void outbox_fini(struct outbox *outbox);

/* hosts.c */
void hosts_message(struct engine *engine, const struct input *input);
void hosts_peer_gone(struct engine *engine, uint32_t peer);
void hosts_timer(struct engine *engine);
void hosts_restart_silence(struct engine *engine);
void host_lose(struct engine *engine, struct host *host, const char *why);
void host_remove(struct engine *engine, struct host *host);
void host_cancel_attempt(struct engine *engine, struct host *host, struct attempt_id id,
                         const char *reason);
void hosts_send_cancels(struct engine *engine);
void hosts_send_acks(struct engine *engine);
void hosts_drain_all(struct engine *engine);
void hosts_check_barrier(struct engine *engine);
struct host *host_find(const struct engine *engine, struct synk_bytes name);
void host_encode(const struct engine *engine, const struct host *host, struct buf *out);
void host_free(struct host *host);
const char *host_state_name(const struct host *host);

/* reports.c */
void reports_message(struct engine *engine, struct host *host, const struct input *input);
void reports_started(struct engine *engine, struct host *host, const struct input *input);
void reports_progress(struct engine *engine, struct host *host, const struct input *input);
void reports_reject(struct engine *engine, struct host *host, const struct input *input);
/* An attempt that a host says it has: adopts it, confirms it, or has it cancelled. */
void reports_listed(struct engine *engine, struct host *host, const struct msg_attempt *attempt);

/* requests.c */
void requests_message(struct engine *engine, const struct input *input);
void requests_peer_gone(struct engine *engine, uint32_t peer);
void request_fail(struct engine *engine, const struct request *request, enum synk_status status,
                  int64_t retry_after_ms, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void request_error(struct engine *engine, const struct request *request,
                   const struct synk_error *error);
struct buf *reply_open(struct engine *engine);
void reply_close(struct engine *engine, const struct request *request);
bool waiter_add(struct engine *engine, struct waiter **list, uint32_t peer, uint64_t sequence);
void waiters_remove_peer(struct waiter **list, uint32_t peer);
void waiters_free(struct waiter **list);
void peer_answered(struct engine *engine, uint32_t peer);
struct synk_bytes body_text(const struct request *request, const char *key);

/* requests_run.c: what starts, ends and repeats runs */
void request_run(struct engine *engine, struct request *request);
void request_submit(struct engine *engine, struct request *request);
void request_wait(struct engine *engine, struct request *request);
void request_cancel(struct engine *engine, struct request *request);
void request_retry(struct engine *engine, struct request *request);
void request_pause(struct engine *engine, struct request *request);
void requests_run_ended(struct engine *engine, struct run *run);
void requests_loaded(struct engine *engine, const struct input *input);
struct run_name;
/* Has the run's records loaded; the request goes on in requests_loaded. */
void request_load(struct engine *engine, const struct request *request,
                  const struct run_name *name);
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

/* pool.c */
struct pool *pool_new(struct engine *engine, struct blob *spec, uint32_t task_count,
                      struct synk_error *error);
void pool_free(struct pool *pool);
struct synk_bytes pool_params(const struct pool *pool, uint32_t task);
/* The stored form of a submission. */
void pool_encode(const struct synk_value *body, uint32_t count, struct buf *out);

/* requests_apply.c */
void request_upload(struct engine *engine, struct request *request);
void request_apply(struct engine *engine, struct request *request);
void uploads_expire(struct engine *engine);
void uploads_drop(struct engine *engine, uint32_t peer);
void uploads_free(struct engine *engine);
enum synk_status apply_read(struct engine *engine, const struct request *request,
                            struct definition_set *set, struct synk_error *error);

/* requests_query.c */
void request_connect(struct engine *engine, struct request *request);
void request_show(struct engine *engine, struct request *request);
void request_list(struct engine *engine, struct request *request);
void request_fetch(struct engine *engine, struct request *request);
void request_backup(struct engine *engine, struct request *request);
void run_encode_summary(const struct run *run, struct buf *out);
void query_run(struct engine *engine, const struct request *request, const struct run_name *name,
               uint32_t from, uint32_t limit, bool with_attempts);

/* explain.c, plan.c, stats.c, logs.c */
void request_explain(struct engine *engine, struct request *request);
void request_plan(struct engine *engine, struct request *request);
void request_stats(struct engine *engine, struct request *request);
void stats_encode(const struct engine *engine, struct buf *out);
void request_logs(struct engine *engine, struct request *request);
void logs_data(struct engine *engine, const struct input *input);
void logs_timer(struct engine *engine, uint64_t id);
void logs_free(struct engine *engine);
void logs_send(struct engine *engine, const struct request *request, uint64_t run, uint32_t task,
               const struct host *host);
/* The task of a worker (or, in the pool, of an index); NONE. An empty name: the only one. */
uint32_t task_named(const struct run *run, struct synk_bytes worker);
/* Answers from a run's stored tasks: states, reasons and errors. */
void explain_records(struct engine *engine, const struct request *request, const char *label,
                     const struct record *records, size_t count);

/* keys.c */
struct key *key_find(struct engine *engine, struct synk_bytes text);
struct key *key_add(struct engine *engine, struct synk_bytes text);
void key_answered(struct engine *engine, struct key *key, struct synk_bytes body);
void key_drop(struct engine *engine, struct key *key);
void key_load(struct engine *engine, const struct key_record *record);
/* Counts the lives of loaded keys from now. */
void keys_start(struct engine *engine);
void keys_expire(struct engine *engine);
void keys_free(struct engine *engine);

/* schedule.c, hooks.c */
void schedule_unit(struct engine *engine, struct unit *unit, bool is_new);
void schedule_hydrated(struct engine *engine, struct unit *unit);
void schedule_due(struct engine *engine, uint64_t serial);
void hooks_fire(struct engine *engine, const struct hook_list *list, struct run *run, uint32_t task,
                struct synk_bytes result);
void hooks_milestone(struct engine *engine, struct synk_bytes name, struct synk_bytes payload);
void hooks_start(struct engine *engine, struct unit *unit, struct synk_bytes params, const char *by,
                 unsigned depth);
void hooks_run_starts(struct engine *engine);

/* hydrate.c */
void hydrate_finish(struct engine *engine);
void hydrate_free(struct engine *engine);
enum synk_status hydrate_record(struct engine *engine, const struct record *record,
                                struct synk_error *error);
/* Puts a task's record into its run. */
void hydrate_task(struct engine *engine, struct run *run, const struct task_record *record);

/* retention.c */
/* Removes the summary of a finished run from memory; the store keeps what it has. */
void retention_drop(struct engine *engine, struct run *run);
/* At the end of a tick, when its records are in the batch. */
void retention_flush(struct engine *engine);

/* local_host.c, shutdown.c */
void local_host_start(struct engine *engine);
void local_host_event(struct engine *engine, const struct input *input);
/* It was given up on for its silence while its process is there: nobody else runs what it had on
 * this machine, so it is killed, and its end starts another. */
void local_host_hangs(struct engine *engine);
void local_host_spawn(struct engine *engine);
void request_shutdown(struct engine *engine, struct request *request);
void shutdown_begin(struct engine *engine, int64_t grace_ms, bool keep_hosts);
void shutdown_check(struct engine *engine);
void shutdown_timer(struct engine *engine);

/* engine.c */
void engine_settle(struct engine *engine);

#endif
