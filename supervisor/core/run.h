/*
 * Runs: created, held back, started, cancelled, ended, and kept in the lists and indexes where they
 * belong. What may have ended a run is looked at when the step settles, never in the middle.
 */
#ifndef CORE_RUN_H
#define CORE_RUN_H

#include "supervisor/core/model.h"

struct run_request {
    struct unit *unit;
    uint32_t worker; /* NONE = all */
    struct synk_bytes params, by;
    enum overlap overlap; /* OVERLAP_DEFAULT = the unit's, else queue */
    bool has_priority;    /* `priority` goes before that of the workers */
    int32_t priority;
    int64_t delay_ms; /* it starts no sooner */
    uint8_t depth;
    struct synk_bytes name; /* pool; size 0 = none */
    bool paused;            /* pool */
    struct pool *pool;   /* taken */
    struct blob *spec;   /* taken */
    uint32_t task_count; /* pool */
};
struct run *run_create(struct engine *engine, const struct run_request *request);
struct run *run_find(struct engine *engine, uint64_t id);
struct run *run_find_number(const struct engine *engine, const struct unit *unit, uint64_t number);
/* It starts when so much time has passed: run_due. Before that it is in nobody's way. */
void run_set_start(struct engine *engine, struct run *run, int64_t delay_ms);
void run_due(struct engine *engine, struct run *run);
void run_start(struct engine *engine, struct run *run);
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
void run_resume_finished(struct engine *engine, struct run *run);
void run_set_deadline(struct engine *engine, struct run *run);

#endif
