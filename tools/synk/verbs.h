/* Every verb; each is defined in its verb_*.c. */
#ifndef SYNK_VERBS_H
#define SYNK_VERBS_H

#include "tools/synk/cli.h"

extern const struct verb verb_apply, verb_backup, verb_cancel, verb_down, verb_events, verb_explain,
    verb_graph, verb_import, verb_logs, verb_ls, verb_pause, verb_plan, verb_pool, verb_resume,
    verb_retry, verb_run, verb_show, verb_shutdown, verb_stats, verb_top, verb_up, verb_wait,
    verb_set, verb_reset, verb_enable, verb_disable, verb_release, verb_snapshot, verb_milestone,
    verb_scan, verb_tick, verb_completion, verb_prune, verb_drain, verb_state, verb_keygen,
    verb_keys;

#endif
