/*
 * A bounded cache of task results that other tasks take as input, so that a dispatch seldom waits
 * for the store. Filled from the records of batches as they pass; the longest unused makes room.
 */
#ifndef SHELL_RESULTS_H
#define SHELL_RESULTS_H

#include "supervisor/core/engine.h"

/* A few hundred full results, or some 400,000 small ones. */
#define RESULTS_BYTES ((size_t)64 << 20)

struct result_entry;

struct results {
    struct result_entry **buckets;
    size_t bucket_count, count, bytes, limit_bytes;
    struct result_entry *newest, *oldest;
};

void results_init(struct results *results, size_t limit_bytes);
void results_fini(struct results *results);
/* Keeps what later tasks will read of this batch. Looks at every record. */
void results_learn(struct results *results, const struct batch *batch);
void results_put(struct results *results, struct value_ref ref, struct synk_bytes value);
/* Whether it is known. *ret_value is NULL for an empty result; else a reference for the caller. */
bool results_get(struct results *results, struct value_ref ref, struct blob **ret_value);

#endif
