/*
 * Queues of ready tasks: one for each class (function and tags), priority, width and use of named
 * limits. Clients may
 * bring ever-new ones, so those that nothing refers to are freed.
 */
#ifndef CORE_QUEUES_H
#define CORE_QUEUES_H

#include "supervisor/core/model.h"

/* The queue of such tasks, with a reference for the caller: give it back with queue_unref. */
struct queue *queue_for(struct engine *engine, const struct worker_options *options);
void queue_unref(struct queue *queue);
/* The queue of tasks like these with another priority. Without a reference: for now. */
struct queue *queue_with_priority(struct engine *engine, const struct queue *like,
                                  int32_t priority);
void queues_free(struct engine *engine);
/* Once a tick, when nothing is under construction: frees queues that nothing refers to, and classes
 * and functions with them, when there are many. The others keep their indexes. */
void queues_sweep(struct engine *engine);
/* Whether the host has the function and the tags of the class. */
bool host_offers(struct engine *engine, struct host *host, uint32_t class);
/* An attempt of a task of this queue took so long. */
void function_measured(struct engine *engine, uint32_t queue, int64_t execution_us);

#endif
