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
/* The workers of a process, in the order of its definition; of a worker of its own, that one.
 * deep: with their definitions. */
SYNK_API enum synk_status synk_list_workers(struct synk_client *client, const char *unit, bool deep,
                                            struct synk_list **ret_list, struct synk_error *error);
/* Everything at once: {seq, units, runs, hosts}, units with their definitions and runs that have
 * not ended; seq is the number of the last event before the first page of it was taken, so that a
 * subscription from there on misses nothing. */
SYNK_API enum synk_status synk_snapshot(struct synk_client *client,
                                        struct synk_document **ret_snapshot,
                                        struct synk_error *error);
/*
 * Sets fields of a unit, or of a worker of a process ("PROCESS/WORKER"): `fields` is an encoded map
 * of names and values as in a definition file, null = back to what the file says. They count from
 * the next attempt on; what the unit runs, and how, from its next run. Kept over a restart, and
 * when the file is applied again, unless it has changed that field. `reason` (may be NULL) is told
 * in the `updated` event. ret_body has the unit and the names that changed.
 */
SYNK_API enum synk_status synk_set(struct synk_client *client, const char *id,
                                   struct synk_bytes fields, const char *reason,
                                   struct synk_document **ret_body, struct synk_error *error);
/* Sets the status: "idle" (resets a unit that failed or completed, and resumes a paused one),
 * "paused", "completed" or "error". SYNK_REFUSED while a run is unfinished. */
SYNK_API enum synk_status synk_set_status(struct synk_client *client, const char *id,
                                          const char *status, struct synk_error *error);
/* A unit that is not enabled is not scheduled, and such a worker is skipped in its process's runs;
 * runs that are asked for go all the same. */
SYNK_API enum synk_status synk_enable(struct synk_client *client, const char *id, bool enabled,
                                      struct synk_error *error);
/* Removes a unit. Refused while a run of it is unfinished, unless force is set: then those are
 * cancelled first, and the call waits for their ends. ret_body names the cancelled runs, and the
 * units whose hooks run this one. */
SYNK_API enum synk_status synk_release(struct synk_client *client, const char *id, bool force,
                                       struct synk_document **ret_body, struct synk_error *error);
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
