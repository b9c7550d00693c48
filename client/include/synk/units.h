/*
 * Units: what definition files define, processes and workers. Every call here blocks until the
 * supervisor has answered, and fails as synk_call does. Documents that a call returns are the
 * caller's to free, hold the reply as PROTOCOL.md describes it, and may be asked for with NULL.
 */
#ifndef SYNK_UNITS_H
#define SYNK_UNITS_H

#include <synk/connection.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Applies definition files, all of them as one transaction. Reads and validates them here first, so
 * that errors carry file and line. Large ones go up in chunks. check: validate only; prune: remove
 * units that the files do not have. */
SYNK_API enum synk_status synk_apply(struct synk_client *client, const char *const *files,
                                     size_t count, bool check, bool prune,
                                     struct synk_document **ret_body, struct synk_error *error);
/* What is known of a unit, its definition included. */
SYNK_API enum synk_status synk_show_unit(struct synk_client *client, const char *id,
                                         struct synk_document **ret_unit, struct synk_error *error);
/* The units, without their definitions: see synk_list_next. filter may be NULL. */
SYNK_API enum synk_status synk_list_units(struct synk_client *client,
                                          const struct synk_list_filter *filter,
                                          struct synk_list **ret_list, struct synk_error *error);
/* Pauses units, or resumes them: all where ids is NULL. Kept over a restart. ret_body has those
 * that it changed. */
SYNK_API enum synk_status synk_pause(struct synk_client *client, const char *const *ids,
                                     size_t count, struct synk_document **ret_body,
                                     struct synk_error *error);
SYNK_API enum synk_status synk_resume(struct synk_client *client, const char *const *ids,
                                      size_t count, struct synk_document **ret_body,
                                      struct synk_error *error);
/* In which order the workers of a unit would run. */
SYNK_API enum synk_status synk_plan(struct synk_client *client, const char *unit,
                                    struct synk_document **ret_plan, struct synk_error *error);

#ifdef __cplusplus
}
#endif
#endif
