/*
 * What the language has and this version's engine does not do: refused, never passed over. One rule
 * for the supervisor, which refuses it, and for whoever reads files, who can name the line. Pure.
 */
#ifndef PROTO_DEFINITION_SUPPORTED_H
#define PROTO_DEFINITION_SUPPORTED_H

#include "proto/definition.h"

struct unsupported {
    const char *field;   /* as it is written in a definition */
    const char *instead; /* a hint */
    uint32_t worker;     /* whose field it is; UINT32_MAX = the unit's own */
};
/* Whether the engine does all that the definition asks for; if not, *ret_what tells what not. */
bool definition_is_supported(const struct definition *definition, struct unsupported *ret_what);
/* Fills the error (SYNK_UNSUPPORTED); `place`, such as "nightly.yaml:7: ", goes before the rest. */
enum synk_status definition_fail_unsupported(const struct definition *definition,
                                             const struct unsupported *what, const char *place,
                                             struct synk_error *error);

#endif
