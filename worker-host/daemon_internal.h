/* The parts of the daemon, for daemon.c (the loop) and daemon_runners.c (the runners in it). */
#ifndef WORKER_HOST_DAEMON_INTERNAL_H
#define WORKER_HOST_DAEMON_INTERNAL_H

#include <uv.h>

#include "worker-host/daemon.h"
#include "worker-host/link.h"
#include "worker-host/runner_process.h"
#include "worker-host/spool.h"

/* Restart intensity: so many failed starts in so long, then longer and longer pauses. */
enum { START_FAILURES = 5 };

struct worker {
    struct daemon *daemon;
    struct runner_process runner;
    uv_poll_t timer_poll;
    uv_poll_t *pid_poll; /* NULL while there is no process */
    int64_t respawn_ms;  /* when a runner is to be started; 0 = it is there */
    int64_t failed_ms[START_FAILURES];
    int64_t pause_ms;
    bool is_closed; /* the host has fewer slots now: its runner goes, and none comes */
};

struct daemon {
    const struct daemon_options *options;
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_timer_t timer;
    uv_signal_t signals[2];
    struct link *link;
    size_t next_address; /* of options->addresses */
    uint64_t home;       /* drawn once for the directory */
    struct host *host;
    struct host_effects effects;
    struct spool spool;
    bool spool_failed; /* the last write, and the host does not know yet */
    bool spool_fails;  /* as people were told */
    struct plugins plugins;
    struct synk_bytes *functions, *tags;
    struct refused_plugin_text *refused;
    struct worker *workers; /* room for LIMIT_HOST_SLOTS: handles in them do not move */
    uint32_t slots;         /* how many were made */
    uint32_t *reclaims;     /* slots whose tasks are to be taken back */
    size_t reclaim_count;
    int64_t viewed_ms, usage_ms, output_ms, pruned_ms;
    pid_t parent;
    bool exits;
    uint64_t log_failures;
};

/* daemon.c */
void daemon_say(const struct daemon *daemon, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int64_t daemon_now_ms(void);
/* One input for the pure host; its effects wait for daemon_apply. */
void daemon_step(struct daemon *daemon, struct host_input input);
void daemon_apply(struct daemon *daemon);
/* Descriptors for so many slots, if the system lets us. */
void daemon_raise_file_limit(uint32_t slots);

/* daemon_runners.c */
/* Makes the next worker, whose runner is started at the next turn. */
enum synk_status daemon_make_worker(struct daemon *daemon, struct synk_error *error);
/* The host was resized: the slot has a runner from now on, or no more. */
void daemon_open_slot(struct daemon *daemon, uint32_t slot);
void daemon_close_slot(struct daemon *daemon, uint32_t slot);
/* Starts a runner in a slot that has none. */
void daemon_start_runner(struct worker *worker);
/* Kills every runner and waits until they are dead; for the end, when no loop runs any more. */
void daemon_kill_runners(struct daemon *daemon);
/* Kills the slot's runner, if there is one, and gives everything of the slot back. */
void daemon_end_runner(struct worker *worker);
/* The slot's timer fired: reports are there. */
void daemon_on_reports(uv_poll_t *poll, int status, int events);
/* Looks at every runner's page: starts and progress become inputs. */
void daemon_view_runners(struct daemon *daemon);
/* Tells the host what it and its runners use. */
void daemon_measure(struct daemon *daemon);
/* Keeps what functions print within bounds. */
void daemon_bound_output(struct daemon *daemon);
void daemon_free_handle(uv_handle_t *handle);

#endif
