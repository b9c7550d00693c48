/*
 * The worker host's decisions, as one deterministic state machine: what it tells the supervisor,
 * which runner gets which task, when an attempt is to end and how hard, what is kept until
 * acknowledged. host_step takes one input, host_flush closes a round of them; both append effects.
 * No socket, file, clock, process or randomness: daemon.c is its hands, and a simulator can be.
 *
 * The owner executes effects in order, right after the call that gave them, and answers
 * HOST_RECLAIM with HOST_RECLAIMED before it passes any other input about that slot, and a
 * HOST_SPOOL_… effect that it could not carry out with HOST_SPOOL_FAILED before any other input.
 * HOST_END, but for END_ASK, is answered with HOST_RECLAIMED too where tasks came back: none may
 * be there for the runner to begin while a signal is on its way to it.
 */
#ifndef WORKER_HOST_HOST_H
#define WORKER_HOST_HOST_H

#include "proto/msg.h"

struct host;

struct host_config {
    const char *name, *version;
    uint64_t instance; /* drawn at the start of the program */
    uint64_t home;     /* drawn once for its directory; 0 = unknown */
    int64_t pid;
    uint32_t slots;
    const struct synk_bytes *functions, *tags; /* outlive the host */
    size_t function_count, tag_count;
    const struct refused_plugin_text *refused; /* outlives the host */
    size_t refused_count;
    bool leaves;         /* a local host: ends when idle and drained or orphaned */
    int64_t orphan_ms;   /* that minute */
    int64_t grace_ms;    /* between one step of a kill and the next */
    int64_t stop_ms;     /* how long HOST_STOP waits for what runs; 0 = as long as it takes */
    uint64_t kept_bytes; /* unacknowledged reports beyond which no task is started */
    /* What fits in a runner's ring: bytes of one task, bytes and number of unfinished ones. */
    size_t task_bytes, ring_bytes;
    uint32_t ring_tasks;
    uint64_t seed; /* for the jitter of reconnects */
};
void host_config_defaults(struct host_config *config);

enum host_input_kind {
    HOST_START,
    HOST_MESSAGE,          /* header, body, values: from the supervisor */
    HOST_RUNNER_READY,     /* slot: a runner has loaded its plugins */
    HOST_RUNNER_STARTED,   /* slot: its oldest task runs since started_ms, started_at */
    HOST_RUNNER_RESULT,    /* slot, report (id ignored): its oldest task is done */
    HOST_RUNNER_MILESTONE, /* slot, report */
    HOST_RUNNER_PROGRESS,  /* slot, progress: its oldest task showed life */
    HOST_RUNNER_DEAD,      /* slot, report (signal, exit status, usage, text in error); `blamed`: it
                              died in its oldest task. All its reports were passed before */
    HOST_RECLAIMED,        /* slot, count: so many of its newest tasks come back */
    HOST_SPOOL_FAILED,     /* the last HOST_SPOOL_… effect left the file as it was */
    HOST_LINK_BROKEN, /* the connection has ended, or could not be made; where there are others */
    HOST_TIME,
    HOST_STOP, /* finish and leave; a second time: leave */
};
struct host_input {
    enum host_input_kind kind;
    int64_t now_ms, wall_ms; /* monotonic; since the epoch */
    struct msg_header header;
    struct synk_bytes body, values;
    uint32_t slot;
    const struct msg_report *report;
    bool asked_to_end; /* RESULT: the task saw that it was to end */
    bool blamed;
    int64_t started_ms, started_at;
    double progress;
    uint32_t count;
};

/* A task that a runner is to be given. */
struct host_task {
    const struct msg_spec *spec;
    const struct msg_task *task;
    const struct synk_bytes *values;
};

enum host_effect_kind {
    HOST_SEND,       /* header, body */
    HOST_GIVE,       /* slot, task */
    HOST_RECLAIM,    /* slot: take back what has not begun, then HOST_RECLAIMED */
    HOST_END,        /* slot: how: the oldest task is to end */
    HOST_SLOT_OPEN,  /* slot: is to have a runner, if it has none; it may be a new one */
    HOST_SLOT_CLOSE, /* slot: its runner, which has nothing in hand, is to go */
    /* At most one of these in a round. body: whole encoded report items. */
    HOST_SPOOL_APPEND,
    HOST_SPOOL_REWRITE, /* body, maybe empty, takes the place of all that is there, or nothing does
                         */
    HOST_RECONNECT,     /* text: the address of the leader, or empty: the next of those known */
    HOST_READ_LOG,      /* log, and whether the attempt is running on `slot` */
    HOST_EXIT,          /* kill what runs, see it dead, go on with the effects, and leave */
    HOST_LOG,           /* text: a line for the log */
};
enum host_end { END_ASK, END_TERM, END_KILL };
struct host_effect {
    enum host_effect_kind kind;
    struct msg_header header;
    size_t body_offset, body_size; /* in effects.bytes; texts too */
    uint32_t slot;
    enum host_end how;
    struct host_task task; /* valid until the next step */
    struct msg_log log;
    bool running;
};
struct host_effects {
    struct host_effect *items;
    size_t count, capacity;
    struct buf bytes;
};
void host_effects_fini(struct host_effects *effects);
void host_effects_clear(struct host_effects *effects);
static inline struct synk_bytes host_effect_body(const struct host_effects *effects,
                                                 const struct host_effect *effect)
{
    return bytes_of(effects->bytes.data + effect->body_offset, effect->body_size);
}

struct host *host_new(const struct host_config *config);
void host_free(struct host *host);
/* Reports of an earlier life, encoded items from its spool, before HOST_START. Returns how many
 * were whole; a torn or garbled rest is left out. */
size_t host_restore(struct host *host, struct synk_bytes items);
void host_step(struct host *host, const struct host_input *input, struct host_effects *effects);
void host_flush(struct host *host, int64_t now_ms, int64_t wall_ms, struct host_effects *effects);
/* When HOST_TIME is next due on the clock of now_ms. */
int64_t host_next_due(const struct host *host);
/* Whether some slot's oldest task is not known to have started: the owner looks at pages often. */
bool host_is_watching(const struct host *host);
/* Memory and processor time of host and runners, for heartbeats. */
void host_set_usage(struct host *host, int64_t rss_kib, int64_t cpu_us);

struct host_counts {
    uint32_t running, queued;
    uint64_t unacknowledged, results, refused_messages;
    bool connected, draining;
};
struct host_counts host_counts(const struct host *host);
/* The attempt that a slot's runner has or had in hand; false when none. */
bool host_slot_attempt(const struct host *host, uint32_t slot, struct attempt_id *ret_id);

#endif
