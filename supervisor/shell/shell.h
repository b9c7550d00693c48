/*
 * The shell of a supervisor: it gives the pure engine its sockets, clock, store and processes.
 * Opened and run by main; the struct is shared by the files that each hold one part of it: start.c
 * opens everything in order, and closes it loop.c    one turn of the loop: inputs in, the tick
 * handed over commit.c  the two sides of the tick: what gathers, and what is being committed
 *   release.c what follows a commit: events, messages, questions
 *   inputs.c  results added to dispatches
 *   gauges.c  figures about this process
 */
#ifndef SHELL_SHELL_H
#define SHELL_SHELL_H

#include <uv.h>

#include "proto/expression.h"
#include "proto/zone.h"
#include "supervisor/core/engine.h"
#include "supervisor/shell/bus.h"
#include "supervisor/shell/config.h"
#include "supervisor/shell/results.h"
#include "supervisor/shell/spawner.h"
#include "supervisor/store/store.h"

/* One side of the double buffer. */
struct tick {
    struct effects effects;
    bool has_exit; /* ORDER_EXIT was among the orders */
};

struct shell {
    const struct config *config;
    int lock_fd;
    struct rlimit descriptors;               /* as they were when we started */
    char addresses[3][DIRECTORY_PATH_BYTES]; /* by enum directory_socket */
    char remote_addresses[3][ADDRESS_BYTES]; /* the same for other machines; "" = none */

    uv_loop_t uv;
    bool has_uv;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* active while a turn is to follow without a wait */
    uv_async_t store_wake;
    uv_timer_t due;    /* engine_next_due */
    uv_timer_t second; /* head message, gauges */
    uv_timer_t retry;  /* a commit that the store could not take */
    uv_timer_t leave;  /* last messages, before the end */
    uv_signal_t signals[2];

    struct expression *expression;
    struct evaluator evaluator;
    struct expression_checker checker;
    struct calendar calendar;
    char boot[64]; /* the kernel's name for this boot; "" = unknown */
    struct engine *engine;
    struct store *store;
    struct bus bus;
    struct guard guard; /* where keys are asked for */
    struct spawner spawner;
    struct results results;

    struct tick ticks[2];
    struct tick *open;   /* gathers */
    struct tick *flight; /* is being committed */
    bool is_committing;
    bool is_store_down;
    bool is_dirty; /* stepped since the last flush */
    bool is_time_due;
    struct {
        bool is_due; /* the local host has ended, and the engine has yet to hear of it */
        int64_t pid, at_ms;
        char text[64];
    } local_exit;
    bool has_more;     /* the last drain stopped early */
    bool is_congested; /* too much gathers: nothing is read */
    bool is_leaving;
    int signal_count, leave_tries;
    size_t questions; /* at the store */
    int64_t due_ms;   /* what `due` is set for */
    uint32_t epoch;
    uint64_t last_event; /* published */

    struct {
        int64_t second_at_ms, lag_ms;
        int64_t commit_us, commit_max_us;
        uint64_t commits, records;
        uint64_t refused; /* connections */
    } gauges;
};

/* Starts everything. Fails with SYNK_BUSY where a supervisor already runs (the error says so), and
 * as directories, sockets and stores do. shell_close takes what a failed open left. */
enum synk_status shell_open(struct shell *shell, const struct config *config,
                            struct synk_error *error);
/* Until ORDER_EXIT. */
void shell_run(struct shell *shell);
void shell_close(struct shell *shell);

/* loop.c */
int64_t shell_now_ms(void);
int64_t shell_wall_ms(void);
void shell_start_handles(struct shell *shell);
/* Stamps the input with the time and hands it to the engine. */
void shell_step(struct shell *shell, struct input *input);
void shell_on_message(void *context, enum socket socket, uint32_t peer, struct msg_header header,
                      struct synk_bytes body);
void shell_on_peer_gone(void *context, enum socket socket, uint32_t peer);
void shell_on_local_host(void *context, enum local_host_event event, int64_t pid, const char *text);
void shell_leave(struct shell *shell);

/* commit.c: does what is urgent, and hands over the tick where the store is free. */
void shell_end_turn(struct shell *shell);
/* Whether so much waits for the commit under way that nothing more should be read. */
bool shell_is_congested(const struct shell *shell);

/* release.c */
void shell_release(struct shell *shell, struct tick *tick);
/* Puts the questions among the effects to the store; their answers go to the clients. */
void shell_ask(struct shell *shell, struct effects *effects);
void shell_publish_head(struct shell *shell);

/* inputs.c: sends a message with the results that it names as its third frame. */
void shell_send_with_inputs(struct shell *shell, const struct send *send, struct synk_bytes body,
                            const struct value_ref *refs);

/* gauges.c: once a second. */
void shell_update_gauges(struct shell *shell);

#endif
