/* Plans as the reply to `plan` has them, {unit, mode, steps}: of a registered unit, or of the units
 * of a file. verb_plan prints them as a table, verb_graph draws them. */
#ifndef SYNK_PLAN_H
#define SYNK_PLAN_H

#include "tools/synk/cli.h"

/* is_only: the file has no other unit. */
typedef void (*plan_print)(void *context, const struct synk_value *plan, bool is_only);

/* Whether the name is that of a definition file rather than of a unit. */
bool plan_is_file(const char *name);
/* Plans every unit of the file, in its order; needs no supervisor. An exit status. */
int plan_file(const char *path, plan_print print, void *context);
/* Asks the supervisor for the plan of a registered unit; free it with synk_document_free. */
int plan_fetch(struct synk_client *client, const char *id, struct synk_document **ret_plan);

#endif
