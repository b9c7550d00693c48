/*
 * Units: found, added, given versions, paused, released, saved and shown. A unit's record is
 * written once a step, when what has touched it is done.
 */
#ifndef CORE_REGISTRY_H
#define CORE_REGISTRY_H

#include "supervisor/core/model.h"

struct unit *unit_find(const struct engine *engine, struct synk_bytes id);
struct unit *unit_add(struct engine *engine, struct synk_bytes id);
void unit_touch(struct engine *engine, struct unit *unit);
void unit_save(struct engine *engine, struct unit *unit);
void unit_set_status(struct engine *engine, struct unit *unit, enum unit_status status);
/* What is shown: `paused` over the rest. */
enum unit_status unit_shown_status(const struct unit *unit);
/* Puts a definition in force and saves it. The unit takes a reference of its own. */
void unit_put_version(struct engine *engine, struct unit *unit, struct definition *definition);
/* The same, where the caller tells what changed. */
void unit_replace_version(struct engine *engine, struct unit *unit, struct definition *definition);
/* maxParallel or maxFailures may have changed: runs in progress heed them. */
void unit_heed_process(struct engine *engine, struct unit *unit);
void unit_set_enabled(struct engine *engine, struct unit *unit, bool enabled);
void unit_release(struct engine *engine, struct unit *unit);
void version_unref(struct version *version);
void unit_free(struct unit *unit);
/* Enables it or not, as its runs or a reset have it, and tells why. */
void unit_switch(struct engine *engine, struct unit *unit, bool enabled, const char *why);
/* Whether it is disabled because it has had its maxRuns. */
bool unit_had_its_runs(const struct unit *unit);
bool unit_worker_is_paused(const struct unit *unit, const char *worker);
void unit_set_paused(struct engine *engine, struct unit *unit, bool paused);
bool unit_set_worker_paused(struct engine *engine, struct unit *unit, struct synk_bytes worker,
                            bool paused);
/* Puts ready tasks of the worker into the lanes where they belong now. */
void unit_requeue_worker(struct engine *engine, struct unit *unit, const char *worker);
/* Appends a field's value as it counts: where it is nil, the default. `worker` is of a process, or
 * "". */
void setting_append(const struct unit *unit, const char *worker, struct synk_bytes field,
                    struct synk_bytes value, struct buf *out);
void unit_encode(const struct engine *engine, const struct unit *unit, bool with_definition,
                 struct buf *out);
/* The same, but without a definition that is too large for a message. */
void unit_append(const struct engine *engine, const struct unit *unit, bool with_definition,
                 struct buf *out);
void execution_add(struct execution *execution, int64_t took_ms);
void execution_encode(const struct execution *execution, struct buf *out);
void execution_decode(struct execution *execution, struct synk_bytes bytes);
/* SYNK_NOT_FOUND with the nearest name there is. */
enum synk_status unit_fail_unknown(const struct engine *engine, struct synk_bytes text,
                                   struct synk_error *error);
/* "P", "P/W", or a worker's bare id where only one process has it; SYNK_REFUSED where several have,
 * SYNK_NOT_FOUND where none has. */
enum synk_status unit_resolve(struct engine *engine, struct synk_bytes text, struct unit **ret_unit,
                              uint32_t *ret_worker, struct synk_error *error);

#endif
