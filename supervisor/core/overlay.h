/*
 * What was set on a unit at run time, over what its file says: so that applying the file again
 * keeps it, unless the file has changed that very field since. The definition in force has the
 * values already; this remembers which fields they are and what the file had there.
 */
#ifndef CORE_OVERLAY_H
#define CORE_OVERLAY_H

#include "proto/definition.h"
#include "proto/expression.h"

struct setting {
    char *worker;       /* of a process; "" = the unit itself */
    char *field;        /* as in a definition file */
    struct blob *value; /* encoded; nil = at its default */
    struct blob *was;   /* what the file says: the same */
};
/* All zero is valid and empty. */
struct overlay {
    struct setting *settings;
    size_t count, capacity;
};

void overlay_fini(struct overlay *overlay);
/* NULL when the field was not set. */
const struct setting *overlay_find(const struct overlay *overlay, const char *worker,
                                   struct synk_bytes field);
/* Remembers a field's new value. `was` counts where the field was not set before; a field that is
 * back at what the file says is forgotten, unless it tells what a worker runs. */
void overlay_set(struct overlay *overlay, const char *worker, struct synk_bytes field,
                 struct synk_bytes value, struct synk_bytes was);
/* What a worker runs is one choice: its fields (definition_is_work) are kept by overlay_set all
 * together, also those that are as in the file, and by this forgotten together where all are. */
void overlay_settle_work(struct overlay *overlay, const char *worker);
/* Whether it says something else than the file. */
bool setting_differs(const struct setting *setting);
/* Appends [[worker, field, value, was], …]; nothing where it is empty. */
void overlay_encode(const struct overlay *overlay, struct buf *out);
/* Of an empty overlay. Fails with SYNK_CORRUPT. */
enum synk_status overlay_decode(struct overlay *overlay, struct synk_bytes bytes,
                                struct synk_error *error);
/*
 * Puts over a definition that is being applied what stays of the overlay of its unit: settings
 * whose field the file has as it was, and of what a worker runs all fields. *io_definition is
 * patched, or replaced by another reference. `ret_kept` is empty before; a setting that the new
 * definition does not bear is left out and named in `warnings`, a line each.
 */
void overlay_carry(const struct overlay *overlay, const struct expression_checker *checker,
                   struct definition **io_definition, struct overlay *ret_kept,
                   struct buf *warnings);

#endif
