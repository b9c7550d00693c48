/* What is set on units at run time: fields of their definitions, and their status. */
#ifndef CORE_SETTINGS_H
#define CORE_SETTINGS_H

#include "supervisor/core/model.h"

void request_set(struct engine *engine, struct request *request);

#endif
