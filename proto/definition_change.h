/*
 * Changes to a definition that is in force: the fields of one part of it, at run time.
 *
 * A part is one worker, by its index, or the unit itself (DEFINITION_UNIT); a standalone worker is
 * both, and either names it. Fields come as a map of names and values as in a definition file; null
 * puts a field back to its default. Most fields are tunable: what runs are in progress may see them
 * change, for their next attempts. The rest gives the unit another shape or other work, and needs a
 * definition of its own, so that those runs keep theirs. Pure.
 */
#ifndef PROTO_DEFINITION_CHANGE_H
#define PROTO_DEFINITION_CHANGE_H

#include "proto/definition.h"

#define DEFINITION_UNIT UINT32_MAX

/* Appends the value that a part's field has in the canonical form: nil where it is at its default,
 * and for names that are no fields. */
void definition_field(const struct definition *definition, uint32_t part, struct synk_bytes name,
                      struct buf *out);

/* Whether each of these fields has this value already. */
bool definition_has_fields(const struct definition *definition, uint32_t part,
                           const struct node *fields);

/* Appends what a field that is not given counts as: 0 of maxRetries, nil where there is none. */
void definition_default(const struct definition *definition, uint32_t part, struct synk_bytes name,
                        struct buf *out);

/* What a worker runs is one choice, however many fields tell it: `run` and its payload, or
 * `command` and what belongs to it. The names end with NULL. */
enum { DEFINITION_WORK_FIELDS = 8 };
extern const char *const definition_work_fields[DEFINITION_WORK_FIELDS + 1];
bool definition_is_work(struct synk_bytes name);
/* Completes `fields`, which may have some of these, to all of them, nil where there is none: those
 * given, in the place of what they exclude of `before`, a map of what was there; one that is given
 * as nil is as before. Memory is the arena's. */
void definition_complete_work(const struct node *before, struct node *fields, struct arena *arena);

/* Whether every field of the map is tunable. Unknown ones count as such: to validate tells more. */
bool definition_is_tunable(const struct node *fields);

/*
 * Validates the part with the changed fields and gives the result as a definition that has only
 * this part, for definition_adopt. Costs one part, however large the process is. The fields are
 * tunable. Fails with SYNK_INVALID or SYNK_TOO_LARGE and a text that names unit and worker;
 * SYNK_REFUSED for `id`, `dependsOn`, `workers` and `processId`, which are the file's to change,
 * and for `status`, which is not a setting.
 */
enum synk_status definition_patch(const struct definition *definition, uint32_t part,
                                  const struct node *fields,
                                  const struct expression_checker *checker,
                                  struct definition **ret_patch, struct synk_error *error);
/* Makes the part's options those of the patch, and takes it over. Pointers to the part's options of
 * an earlier patch end here. */
void definition_adopt(struct definition *definition, uint32_t part, struct definition *patch);

/* Any fields but those that definition_patch refuses: the whole definition, validated anew. Costs
 * as much as to apply it. Fails as definition_patch does. */
enum synk_status definition_rebuild(const struct definition *definition, uint32_t part,
                                    const struct node *fields,
                                    const struct expression_checker *checker,
                                    struct definition **ret_definition, struct synk_error *error);

#endif
