/* Becoming a user. Invariant: where it succeeds there is no way back to the user of before. */
#include "worker-host/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void set_environment(const struct passwd *user)
{
    setenv("HOME", user->pw_dir, 1);
    setenv("USER", user->pw_name, 1);
    setenv("LOGNAME", user->pw_name, 1);
    unsetenv("XDG_STATE_HOME");
    unsetenv("XDG_RUNTIME_DIR");
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("XDG_DATA_HOME");
}

enum synk_status user_become(const char *name, struct synk_error *error)
{
    errno = 0;
    const struct passwd *user = getpwnam(name);
    if (!user && errno)
        return status_fail(error, SYNK_IO, "cannot look up the user '%s': %s", name,
                           strerror(errno));
    if (!user)
        return status_fail(error, SYNK_INVALID, "--user: there is no user '%s'", name);
    if (user->pw_uid == getuid() && user->pw_uid == geteuid())
        return SYNK_OK;
    /* Groups first: they take the rights that setuid gives up. */
    if (initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0)
        return status_fail(error, SYNK_REFUSED, "cannot become '%s': %s", name, strerror(errno));
    set_environment(user);
    return SYNK_OK;
}
