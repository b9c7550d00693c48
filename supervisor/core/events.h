/*
 * Events: numbered and appended to the batch of the step under way, in the order in which things
 * happen. Bytes given to them are copied before the call returns.
 */
#ifndef CORE_EVENTS_H
#define CORE_EVENTS_H

#include "supervisor/core/model.h"

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
/* "worker:ID:WHAT": of a standalone worker (`worker` NULL), or of one of a process. */
void milestone_worker(struct engine *engine, struct unit *unit, const char *worker,
                      const char *what);
void milestone_emit(struct engine *engine, struct unit *unit, const struct run *run,
                    struct synk_bytes worker, struct synk_bytes name, struct synk_bytes payload);
/* The entries `unit` and `run` of a run's events. */
struct synk_bytes event_prefix(const struct run *run);

#endif
