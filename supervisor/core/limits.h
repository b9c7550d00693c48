/*
 * Named limits: how much of something that many tasks share (connections to a database, licences)
 * attempts at hosts may use together. Queues carry what their tasks use; dispatch asks for room.
 */
#ifndef CORE_LIMITS_H
#define CORE_LIMITS_H

#include "supervisor/core/model.h"

/* Uses of one worker or submission: DEFINITION_LIST_ITEMS of them validate. */
enum { QUEUE_USES = 64 };

/* ---- of queues ---- */

/* The uses of such tasks, by name; their number. A limit that is not there is made, undefined. */
uint32_t limits_uses(struct engine *engine, const struct worker_options *options,
                     struct queue_use uses[QUEUE_USES]);
bool limits_same_uses(const struct queue *a, const struct queue *b);
uint64_t limits_hash(const struct queue *queue);
/* The queue is there from now on, with uses of its own; it is not any more. */
void limits_keep(struct engine *engine, struct queue *queue, const struct queue_use *uses);
void limits_drop(struct engine *engine, struct queue *queue);

/* ---- of attempts ---- */

/* How many tasks of the queue may go to hosts now. */
uint64_t limits_room(const struct engine *engine, const struct queue *queue);
/* Keeps the queue's limits, in this round of assignment, from those whose turn comes later. */
void limits_close(struct engine *engine, const struct queue *queue);
/* An attempt of the queue is at a host from now on; it is not any more. */
void limits_take(struct queue *queue, struct task *task);
void limits_give(struct engine *engine, struct task *task);

/* ---- of definitions ---- */

/* SYNK_INVALID where options ask for a limit that neither the set (NULL = none) nor the engine
 * defines, or for more of it than there is. `where` goes before the text. */
enum synk_status limits_check(const struct engine *engine, const struct definition_set *set,
                              const struct worker_options *options, const char *where,
                              struct synk_error *error);
/* The same for one unit's workers. */
enum synk_status limits_check_definition(const struct engine *engine,
                                         const struct definition_set *set,
                                         const struct definition *definition,
                                         struct synk_error *error);
/* The same for the whole set; and whether the limits of the set leave room for what stays. */
enum synk_status limits_check_set(const struct engine *engine, const struct definition_set *set,
                                  struct synk_error *error);
/* Appends [{name, limit, change}] of what applying the set does to the limits. `prune`: those that
 * neither the set nor anything that stays uses are removed. */
void limits_encode_changes(const struct engine *engine, const struct definition_set *set,
                           bool prune, struct buf *out);
/* Does it. Before the set's definitions are applied. */
void limits_apply(struct engine *engine, const struct definition_set *set, bool prune);

/* ---- the rest ---- */

/* The value of the meta record `limits`. */
void limits_load(struct engine *engine, struct synk_bytes value);
void limits_free(struct engine *engine);
/* Appends an array of {name, limit, used, waiting}: defined ones. */
void limits_encode(const struct engine *engine, struct buf *out);
/* Appends why a ready task of the queue waits for a limit; false: it does not. */
bool limits_explain(const struct engine *engine, const struct queue *queue, struct buf *out);

#endif
