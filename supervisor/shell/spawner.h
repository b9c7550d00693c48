/*
 * The local worker host: starts it, or adopts the one that an earlier supervisor left running, and
 * tells when it has ended. The host has its own session and outlives this process, unless private.
 * Watched by pidfd, so a process that is not our child is watched in the same way, and its number
 * can not be mistaken for a later process's.
 */
#ifndef SHELL_SPAWNER_H
#define SHELL_SPAWNER_H

#include <sys/resource.h>
#include <uv.h>

#include "proto/directory.h"
#include "supervisor/core/engine.h"

struct spawner_options {
    uv_loop_t *loop;
    const struct directory *directory;
    const char *host_address; /* where the host is to connect */
    uint32_t slots;
    const char *const *plugin_dirs;
    size_t plugin_dir_count;
    int64_t log_days, log_bytes; /* how much of logs is kept; 0 = the host's default */
    bool is_private;
    struct rlimit descriptors; /* the limit to give back to the host */
    void *context;
    /* May be called from within spawner_start. */
    void (*on_event)(void *context, enum local_host_event event, int64_t pid, const char *text);
};

struct spawner {
    struct spawner_options options;
    int64_t pid; /* 0 = none is known */
    int pidfd;   /* -1 = none */
    bool is_adopted;
    uv_poll_t *exit_poll; /* on the heap: libuv lets go of a handle later */
    uv_timer_t lock_timer;
    int lock_tries;
};

void spawner_init(struct spawner *spawner, const struct spawner_options *options);
/* Stops watching; the host goes on. The loop must run once more. */
void spawner_close(struct spawner *spawner);
void spawner_start(struct spawner *spawner);
/* SIGKILL for the host and every process of its session. */
void spawner_kill(struct spawner *spawner);

#endif
