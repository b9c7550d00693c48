/*
 * Which functions the connected hosts offer, and what is known about one that none of them does:
 * the words for warnings and explanations.
 */
#ifndef CORE_OFFERS_H
#define CORE_OFFERS_H

#include "supervisor/core/model.h"

/* Whether any connected host has a function of that name. *ret_any_host: whether there is one. */
bool offers_any(const struct engine *engine, struct synk_bytes function, bool *ret_any_host);
/* Appends why no host has it, where that can be told: ": plugin 'x' was refused by host 'local':
 * …", or " (did you mean 'x.y'?)". */
void offers_append_reason(const struct engine *engine, struct synk_bytes function, struct buf *out);

#endif
