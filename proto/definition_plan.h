/* In what order the workers of a unit would run, and on what conditions. Pure. */
#ifndef PROTO_DEFINITION_PLAN_H
#define PROTO_DEFINITION_PLAN_H

#include "proto/definition.h"

/* Appends {unit, mode, steps: [{worker, level, after: [id], when: [text], function}]}, as `plan` is
 * answered: by level, and within one in the order of the file. Linear in workers and edges. */
void definition_plan_encode(const struct definition *definition, struct buf *out);

#endif
