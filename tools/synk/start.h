/* Starting supervisors, and waiting for processes to end. */
#ifndef SYNK_START_H
#define SYNK_START_H

#include <sys/types.h>

#include "proto/directory.h"
#include "tools/synk/cli.h"

struct start_options {
    const struct directory *directory;
    const char *state; /* URI; NULL = the default */
    int64_t slots;     /* -1 = the processors */
    const struct text_list *plugin_dirs;
    const char *listen; /* an address for other machines; NULL = none */
    bool insecure, keys, allow_exec;
    const char *keep_runs, *keep_events, *keep_logs; /* as synkd takes them; NULL = the default */
    const char *watch_interval, *idle_threshold, *stats_interval; /* the same */
    bool auto_unpause, auto_release, no_schedule;
    bool is_private;  /* ends with this process; logs to the directory */
    bool is_detached; /* outlives this process; logs to the directory */
};
/* Starts synkd, found beside this program or in PATH, and waits until it answers. An exit status;
 * EXIT_REFUSED with *ret_is_running set where another one was faster. */
int supervisor_start(const struct start_options *options, pid_t *ret_pid, bool *ret_is_running);

/* Becomes `synkd state …` with these words, NULL-ended; an exit status where that fails. */
int supervisor_state(char **words);

/* Whether every --plugin-dir is a directory: EXIT_USAGE where one is not. */
int plugin_dirs_check(const struct text_list *plugin_dirs);

/* Waits until a process has ended: without end, or until a signal came that signals_catch counts
 * (then false). Any process, not only a child. */
bool process_await(int64_t pid);

#endif
