/* The names of roles. */
#include "proto/role.h"

static const char *const names[ROLES] = {
    [ROLE_NONE] = "none",     [ROLE_OBSERVE] = "observe", [ROLE_SUBMIT] = "submit",
    [ROLE_WORKER] = "worker", [ROLE_ADMIN] = "admin",
};

const char *role_name(enum role role)
{
    return names[role];
}

bool role_parse(struct synk_bytes text, enum role *ret_role)
{
    for (int i = ROLE_OBSERVE; i < ROLES; i++)
        if (bytes_equal(text, bytes_str(names[i]))) {
            *ret_role = (enum role)i;
            return true;
        }
    return false;
}
