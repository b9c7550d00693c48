/* Submissions to the pool: their stored form, and what their tasks have in common. */
#ifndef CORE_POOL_H
#define CORE_POOL_H

#include "supervisor/core/model.h"

struct pool *pool_new(struct engine *engine, struct blob *spec, uint32_t task_count,
                      struct synk_error *error);
void pool_free(struct pool *pool);
struct synk_bytes pool_params(const struct pool *pool, uint32_t task);
/* The stored form of a submission. */
void pool_encode(const struct synk_value *body, uint32_t count, struct buf *out);

#endif
