/* --user: becoming somebody else for good, before anything is opened. */
#ifndef WORKER_HOST_USER_H
#define WORKER_HOST_USER_H

#include "proto/status.h"

/* Takes the user's ids, groups, and HOME, USER and LOGNAME; XDG_* are forgotten, since they tell of
 * another's directories. SYNK_INVALID for an unknown one; SYNK_REFUSED where this process may not,
 * which only root may. The process has one thread yet. */
enum synk_status user_become(const char *name, struct synk_error *error);

#endif
