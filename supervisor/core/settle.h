/*
 * The second half of a step. A handler changes state and writes records and events; what follows
 * from a task's end (children, the run's end, hooks) is put on lists of consequences, which
 * engine_settle works off without recursion when the handler is done.
 */
#ifndef CORE_SETTLE_H
#define CORE_SETTLE_H

#include "supervisor/core/model.h"

void engine_settle(struct engine *engine);

#endif
