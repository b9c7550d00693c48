/* What a run of a unit would do, told without starting it. */
#ifndef CORE_PLAN_H
#define CORE_PLAN_H

#include "supervisor/core/model.h"

void request_plan(struct engine *engine, struct request *request);

#endif
