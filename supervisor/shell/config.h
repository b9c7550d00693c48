/* synkd's command line. Owned by main; everything else reads it. */
#ifndef SHELL_CONFIG_H
#define SHELL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/address.h"
#include "proto/directory.h"
#include "proto/keep.h"
#include "proto/status.h"

enum config_action { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION };

struct config {
    struct directory directory;
    const char *state; /* URI */
    bool listens;      /* to other machines, on: */
    struct address listen;
    bool insecure;   /* beyond the loopback, though whoever gets there is let in */
    bool keys;       /* on the loopback, too */
    bool allow_exec; /* role submit may submit commands of its own */
    /* Silence of a worker host, ms; 0 = the default. For tests: shorter ones lose hosts that are
     * only busy, and longer ones leave their tasks waiting. */
    int64_t suspect_ms, lost_ms;
    uint32_t slots; /* of the local worker host; 0 = none */
    const char **plugin_dirs;
    size_t plugin_dir_count;
    bool is_private; /* ends with its parent, or when idle */
    int ready_fd;    /* -1 = none */
    struct keep keep_runs, keep_events;
    bool has_keep_logs;
    struct keep keep_logs; /* age and bytes, for the local host */
    /* ms; 0 = never. The defaults come from the caller, too. */
    int64_t watch_interval_ms, idle_threshold_ms, stats_interval_ms;
    bool auto_unpause, auto_release, no_schedule;
    char *state_default;
};

/* Whether who comes over the network is asked for a key. */
bool config_asks_keys(const struct config *config);

/* The defaults of keep_* and *_ms come from the caller (the engine's). Strings point into argv.
 * Fails with SYNK_INVALID (argv) or as directory_resolve does. config_fini frees, also after a
 * failure. */
enum synk_status config_parse(struct config *config, int argc, char **argv,
                              enum config_action *ret_action, struct synk_error *error);
void config_fini(struct config *config);
void config_print_help(FILE *out);

#endif
