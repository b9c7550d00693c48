/*
 * Hooks and milestone triggers. What they start is put on a list and started when the step has
 * settled.
 */
#ifndef CORE_HOOKS_H
#define CORE_HOOKS_H

#include "supervisor/core/model.h"

void hooks_fire(struct engine *engine, const struct hook_list *list, struct run *run, uint32_t task,
                struct synk_bytes result);
void hooks_milestone(struct engine *engine, struct synk_bytes name, struct synk_bytes payload);
void hooks_start(struct engine *engine, struct unit *unit, struct synk_bytes params, const char *by,
                 unsigned depth);
void hooks_run_starts(struct engine *engine);

#endif
