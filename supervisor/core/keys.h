/* Idempotency keys: the answer that a repeated request gets instead of being done again. */
#ifndef CORE_KEYS_H
#define CORE_KEYS_H

#include "supervisor/core/model.h"

struct key *key_find(struct engine *engine, struct synk_bytes text);
struct key *key_add(struct engine *engine, struct synk_bytes text);
void key_answered(struct engine *engine, struct key *key, struct synk_bytes body);
void key_drop(struct engine *engine, struct key *key);
void key_load(struct engine *engine, const struct key_record *record);
/* Counts the lives of loaded keys from now. */
void keys_start(struct engine *engine);
void keys_expire(struct engine *engine);
void keys_free(struct engine *engine);

#endif
