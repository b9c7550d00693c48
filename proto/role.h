/*
 * What a peer may do, by the key that it came with. Shared by the supervisor, whose core decides by
 * it, and by synk, which writes the list of keys. Pure.
 *
 *   observe  sees everything, changes nothing
 *   submit   and starts, awaits and cancels what is defined
 *   worker   is a worker host, and nothing else
 *   admin    everything
 */
#ifndef PROTO_ROLE_H
#define PROTO_ROLE_H

#include <stdbool.h>

#include "proto/bytes.h"

enum role {
    ROLE_NONE, /* a key that is not on the list, or no longer */
    ROLE_OBSERVE,
    ROLE_SUBMIT,
    ROLE_WORKER,
    ROLE_ADMIN,
    ROLES
};

/* "observe"; "none" of ROLE_NONE. */
const char *role_name(enum role role);
/* False where it is none of the four. */
bool role_parse(struct synk_bytes text, enum role *ret_role);

#endif
