/*
 * The worker host's hands: the event loop around the pure host, its link, runners, spool and logs.
 * main.c calls it once; it returns when the host leaves.
 */
#ifndef WORKER_HOST_DAEMON_H
#define WORKER_HOST_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/keyfile.h"

struct daemon_options {
    const char *const *addresses; /* of the supervisor and its standbys, for hosts; in turns */
    size_t address_count;
    struct key_ring keys; /* of connections by tcp */
    const char *name, *dir;
    uint32_t slots;
    const char **plugin_dirs, **tags;
    size_t plugin_dir_count, tag_count;
    bool is_local;     /* leaves when drained, or orphaned and idle */
    bool parent_bound; /* dies with the process that started it */
    bool is_detached;  /* a session of its own */
    int64_t orphan_ms, grace_ms;
    int64_t stop_ms; /* how long a SIGTERM waits for what runs; 0 = as long as it takes */
    uint64_t log_bytes;
    int64_t log_age_s;
};

enum {
    DAEMON_EXIT_USAGE = 64,
    DAEMON_EXIT_UNUSABLE = 69, /* the directory, the address */
    DAEMON_EXIT_LOCKED = 75,   /* another host holds the directory */
};

/* The program's exit status. */
int daemon_run(const struct daemon_options *options);

/* One logfmt line on standard error: `time=… host=NAME` and the text, control bytes escaped. */
void daemon_log(const char *name, const char *text, size_t size);

#endif
