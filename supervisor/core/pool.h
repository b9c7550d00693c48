/*
 * Submissions to the pool: their stored form, what their tasks have in common, and which of them
 * are held back.
 */
#ifndef CORE_POOL_H
#define CORE_POOL_H

#include "supervisor/core/model.h"

/* Reads what a submission says of its function and how it is tried into `options`, which then
 * points into the arena. SYNK_INVALID with the field that is wrong. */
enum synk_status pool_read_options(const struct synk_value *body, struct arena *arena,
                                   struct worker_options *options, struct synk_error *error);
/* Appends params for one task, encoded, to what pool_encode takes as items. */
struct pool_items {
    struct buf sizes, values;
    uint32_t count;
};
void pool_items_add(struct pool_items *items, struct synk_bytes value);
void pool_items_fini(struct pool_items *items);
/* The stored form of a submission. `body` has the fields; those that it leaves out are taken from
 * `old` (NULL = none), the stored form of before, and so are the items where `items` is NULL. */
void pool_encode(const struct synk_value *body, const struct synk_value *old, uint32_t count,
                 const struct pool_items *items, struct buf *out);

struct pool *pool_new(struct engine *engine, struct blob *spec, uint32_t task_count,
                      struct synk_error *error);
void pool_free(struct pool *pool);
struct synk_bytes pool_params(const struct pool *pool, uint32_t task);

/* A submission is unfinished from now on, and known by its name if that is not taken; it is not
 * any more. */
void pool_add(struct engine *engine, struct run *run);
void pool_remove(struct engine *engine, struct run *run);
struct run *pool_find(const struct engine *engine, struct synk_bytes name);
/* The same; without one, the latest that has ended, as long as it is known. */
struct run *pool_find_latest(const struct engine *engine, struct synk_bytes name);
/* Pauses it, which holds back those behind it in the order of dispatch too: of the same priority
 * and later, or of a lower one. */
void pool_set_paused(struct engine *engine, struct run *run, bool paused);
/* Finds out anew which paused one comes first, and holds back or lets go what is behind it. */
void pool_update_gate(struct engine *engine);
/* Whether it, or one before it, is paused. */
bool pool_is_held(const struct engine *engine, const struct run *run);
/* Before runs are made to go on after a restart: all are there, and none is under way. */
void pool_hydrate(struct engine *engine);

#endif
