/*
 * The engine: everything that decides, as one deterministic state machine.
 *
 * engine_step takes one input and appends what must happen to a struct effects: records and events
 * to commit, messages to send once they are committed, messages to send at once, questions for the
 * store, and orders to the shell. It performs no I/O, reads no clock, starts no thread and draws no
 * randomness: the same inputs give the same effects, byte for byte. Time comes with each input:
 * `now_ms` is monotonic and decides, `wall_ms` is for display, calendars and what is stored.
 *
 * One tick of the shell is: engine_step for every input at hand, engine_flush once (assigns tasks
 * to hosts, acknowledges reports), then commit effects.batch, then release effects.sends and
 * .queries. A later tick's effects are released after an earlier one's, whether or not it had
 * records.
 *
 * Starting: engine_new, engine_load for every stored record (in the order of enum record_kind),
 * then INPUT_START once.
 */
#ifndef CORE_ENGINE_H
#define CORE_ENGINE_H

#include "proto/cron.h"
#include "proto/expression.h"
#include "proto/msg.h"
#include "proto/role.h"
#include "supervisor/core/records.h"

struct engine;

struct engine_config {
    /* Worker hosts: silence until suspect and lost, ms. */
    int64_t suspect_ms, lost_ms, heartbeat_ms;
    /* Local worker host: slots; 0 = none is started. */
    uint32_t local_slots;
    /* A run-time bound on unfinished tasks; LIMIT_LIVE_TASKS. */
    uint64_t max_live_tasks;
    /* Finished runs are removed after this age and beyond this count, events after this age and
     * beyond this count; 0 = never. */
    int64_t keep_runs_ms, keep_events_ms;
    uint64_t keep_runs, keep_events;
    int64_t stats_interval_ms; /* engine:stats milestone; 0 = off */
    /* The watcher: how often it looks, 0 = only when asked; what is long, and whether it resumes
     * what was paused, and releases what was not used, for so long. */
    int64_t watch_interval_ms, idle_threshold_ms;
    bool auto_unpause, auto_release;
    bool schedule_by_hand; /* nothing starts by its schedule but by a TICK */
    const char *boot;      /* changes when now_ms starts anew, as at a boot; "" = unknown */
    bool exits_when_idle;  /* private supervisors */
    const char *version;
    const char *durability;     /* what the store promises, for acknowledgements: "fsync", "none" */
    const char *events_address; /* told to clients at CONNECT */
    const char *remote_events_address; /* the same, to those on other machines; "" = none are */
    bool allow_exec; /* role submit may submit commands of its own to the pool */
};
void engine_config_defaults(struct engine_config *config);

enum input_kind {
    INPUT_START,          /* epoch, last_event: of the store; pid: the supervisor's own */
    INPUT_TIME,           /* time has come to engine_next_due */
    INPUT_HOST_MESSAGE,   /* peer, header, body */
    INPUT_CLIENT_MESSAGE, /* peer, header, body */
    INPUT_HOST_PEER_GONE, /* peer: a send failed for good */
    INPUT_CLIENT_PEER_GONE,
    INPUT_LOCAL_HOST,  /* local_event: about the host that SPAWN_HOST asked for */
    INPUT_RUN_LOADED,  /* answer to QUERY_LOAD_RUN: records (run, tasks), token; without records:
                          there is no such run, or text tells why it cannot be read */
    INPUT_PRUNED,      /* answer to QUERY_PRUNE: token, removed_…; text: why it ended early */
    INPUT_STORE_STATE, /* store_ok, and why not in text */
    INPUT_SHUTDOWN,    /* a signal: grace_ms, keep_hosts */
};

enum local_host_event {
    LOCAL_HOST_STARTED, /* or found alive and to be adopted: it will say hello */
    LOCAL_HOST_EXITED,  /* pid seen dead; text tells how */
    LOCAL_HOST_FAILED,  /* could not be started: text */
};

struct input {
    enum input_kind kind;
    int64_t now_ms, wall_ms;
    uint32_t epoch;
    uint64_t last_event;
    uint32_t peer;
    bool is_remote; /* *_MESSAGE: the peer came over the network */
    enum role role; /* *_MESSAGE: what its key allows now; text: that key's name, "" = none */
    struct msg_header header;
    struct synk_bytes body;
    enum local_host_event local_event;
    int64_t pid;
    struct synk_bytes text;
    const struct record *records;
    size_t record_count;
    uint64_t token;
    uint64_t removed_runs, removed_events;
    bool store_ok;
    int64_t grace_ms;
    bool keep_hosts;
};

enum socket { SOCKET_HOSTS, SOCKET_CLIENTS };

/* A result that a dispatched task takes as input: the shell fetches it and adds it to the message's
 * third frame, in this order. */
struct value_ref {
    uint64_t run;
    uint32_t task;
};
struct send {
    enum socket socket;
    uint32_t peer;
    struct msg_header header;
    size_t body_offset, body_size; /* in effects.bodies */
    size_t ref_offset, ref_count;  /* in effects.refs */
};

enum query_kind {
    QUERY_RUN,      /* SHOW of a run: page of tasks, live overlay merged; reply to peer */
    QUERY_RUNS,     /* LIST runs: page */
    QUERY_EVENTS,   /* FETCH: page */
    QUERY_LOAD_RUN, /* a finished run is needed again: INPUT_RUN_LOADED with token */
    QUERY_BACKUP,   /* copy to path; reply to peer */
    QUERY_PRUNE,    /* answered when what a batch's retention asks for is done: INPUT_PRUNED */
};
/* How far a run is that is in memory, for QUERY_RUNS: the store counts no tasks. */
struct run_progress {
    uint64_t run;
    uint32_t done, failed;
};
/* A task's live state, for QUERY_RUN: what is not in the store yet. */
struct live_task {
    uint32_t task;
    uint8_t state;
    uint32_t attempts;
    struct synk_bytes worker, host, reason;
    int64_t started_at;
};
/* A question for the store; the shell replies to the client with the body described in PROTOCOL.md.
 * Pointers live in effects.arena. */
struct query {
    enum query_kind kind;
    uint32_t peer;
    uint64_t request; /* the request's sequence */
    uint64_t token;
    uint64_t run; /* QUERY_RUN, QUERY_LOAD_RUN: internal number; 0 = look up by unit, number */
    struct synk_bytes unit;
    uint64_t number; /* 0 = the last */
    bool with_attempts;
    uint32_t from, limit;    /* tasks of QUERY_RUN; rows of the others */
    uint64_t from_event;     /* exclusive */
    uint64_t cursor;         /* QUERY_RUNS: runs before this internal number; 0 = newest */
    int status;              /* QUERY_RUNS: enum run_status, -1 = any */
    int64_t since;           /* QUERY_RUNS: created at or after */
    struct synk_bytes types; /* QUERY_EVENTS: space-separated; size 0 = all */
    bool live;               /* the run is in memory: live tasks and status below are true */
    uint8_t live_status;
    uint32_t task_count;
    const struct live_task *live_tasks; /* ascending by task, within [from, from + limit) */
    size_t live_task_count;
    const struct run_progress *progress; /* QUERY_RUNS: falling by run */
    size_t progress_count;
    struct synk_bytes path;
};

enum order_kind {
    ORDER_SPAWN_HOST, /* start the local worker host, or adopt the one that holds its directory */
    ORDER_KILL_HOST,  /* SIGKILL the local host's session */
    ORDER_EXIT,       /* everything is committed and sent: leave */
    ORDER_LOG,        /* a line for the log: text; fields behind it, "\tKEY=VALUE" each */
};
struct order {
    enum order_kind kind;
    struct synk_bytes text;
};

struct effects {
    struct batch batch;
    struct arena arena;
    struct send *sends; /* after the commit */
    size_t send_count, send_capacity;
    struct send *urgent; /* at once: heartbeat answers, kills */
    size_t urgent_count, urgent_capacity;
    struct buf bodies;
    struct value_ref *refs;
    size_t ref_count, ref_capacity;
    struct query *queries; /* after the commit */
    size_t query_count, query_capacity;
    struct order *orders; /* ORDER_EXIT after the commit, the others at once */
    size_t order_count, order_capacity;
};
void effects_init(struct effects *effects);
void effects_fini(struct effects *effects);
void effects_clear(struct effects *effects);
bool effects_is_empty(const struct effects *effects);
/* Appends a canonical text of everything in it (for replays and the simulator's comparisons). */
void effects_print(const struct effects *effects, struct buf *out);

/* evaluator may be NULL (no expression yields anything); calendar may be NULL (calendar_utc), and
 * its context outlives the engine. The checker is asked about time zones with that calendar. */
struct engine *engine_new(const struct engine_config *config, const struct evaluator *evaluator,
                          const struct expression_checker *checker,
                          const struct calendar *calendar);
void engine_free(struct engine *engine);

/* One stored record, before INPUT_START. Fails with SYNK_CORRUPT: the caller reports and goes on;
 * the engine has then left out what cannot be held without it. */
enum synk_status engine_load(struct engine *engine, const struct record *record,
                             struct synk_error *error);
void engine_step(struct engine *engine, const struct input *input, struct effects *effects);
void engine_flush(struct engine *engine, int64_t now_ms, int64_t wall_ms, struct effects *effects);
/* When INPUT_TIME is next due, on the clock of now_ms; INT64_MAX = never. */
int64_t engine_next_due(const struct engine *engine);
/* Checks every internal invariant; aborts on a violation. Linear; for tests and the simulator. */
void engine_check(const struct engine *engine);

struct engine_counts {
    uint64_t units, live_runs, live_tasks, ready_tasks, dispatched_tasks, retry_wait_tasks;
    uint64_t hosts, slots;
    uint64_t results_applied, results_stale, results_duplicate, protocol_errors;
    uint64_t tasks_finished, reexecutions, events;
    uint64_t queues, functions; /* sizes of the tables: with what is free in them */
};
struct engine_counts engine_counts(const struct engine *engine);

/* What `stats` shows under "process": an encoded map of the shell's own figures (RSS, CPU, loop
 * lag, commit time). Copied. */
void engine_set_gauges(struct engine *engine, struct synk_bytes encoded);

#endif
