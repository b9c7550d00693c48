/*
 * What the engine holds: the structs that its files share. Only files of supervisor/core include
 * it; the others know struct engine by engine.h alone. The functions that act on these structs are
 * declared in the header of the file that has them.
 *
 * Who owns what: the engine owns units, hosts, queues and runs. A unit owns its versions; a version
 * lives while it is in force or a run refers to it. A run owns its tasks. Everything refers to
 * hosts and queues by their index.
 */
#ifndef CORE_MODEL_H
#define CORE_MODEL_H

#include <assert.h>

#include "proto/definition.h"
#include "proto/limits.h"
#include "supervisor/core/engine.h"
#include "supervisor/core/index.h"
#include "supervisor/core/overlay.h"
#include "supervisor/core/states.h"
#include "supervisor/core/timers.h"

#define NONE UINT32_MAX

/* Bounds of the engine's own; those that users meet are in proto/limits.h. */
enum {
    /* Hooks that start units whose hooks start units: deeper is a loop. */
    MAX_HOOK_DEPTH = 16,
    /* Requests of one client that wait for an answer. */
    MAX_WAITING = 10000,
    /* Remembered idempotency keys: about 300 bytes each. */
    MAX_KEYS = 1000000,
    /* Expected work queued at a host, for each slot: enough to hide a round trip and a commit. */
    CREDIT_US = 20000,
    CREDIT_TASKS = 4096,
    /* Tasks that one queue of a run takes before the next run's has its turn. */
    TURN_TASKS = 64,
    /* Inputs of one task in a sequential run: the latest earlier results. */
    MAX_INPUTS = 10000,
    /* A host that goes on without finishing its sync is asked to say hello again. */
    SYNC_PATIENCE_MS = 5000,
    /* Queues in use or not before those not in use are looked for; then twice what was in use. */
    SWEEP_QUEUES = 64,
    /* Functions that nothing calls now, kept for what was learned of how long they take. */
    MAX_IDLE_FUNCTIONS = 1000,
    /* Runs that one `catchUp: all` starts at once. */
    MAX_CATCH_UP = 100,
    LOG_PATIENCE_MS = 5000,
    SLOW_INTERVAL_MS = 10000,
    /* An idle supervisor has things removed that grew too old, but does not write for it all the
       time. */
    RETENTION_IDLE_MS = 600 * 1000,
    KEY_LIFE_MS = 24 * 3600 * 1000,
    LOST_HOST_SHOWN_MS = 600 * 1000,
    RETRY_AFTER_MS = 1000,
    SHUTDOWN_KILL_MS = 5000,
    /* So many ends of its host's process under a task, among others, make it a suspect. */
    SUSPECT_DEATHS = 3,
    /* How often a suspect looks whether it is its turn, and how long the one whose turn it is may
     * take to find a host. */
    TRIAL_POLL_MS = 100,
    TRIAL_PATIENCE_MS = 10000,
};

enum event_type {
    EVENT_START,
    EVENT_COMPLETE,
    EVENT_ERROR,
    EVENT_MILESTONE,
    EVENT_UPDATED,
    EVENT_RUN,
    EVENT_SKIP,
    EVENT_RETRY,
    EVENT_CANCEL,
    EVENT_HOST,
    EVENT_STALE,
    EVENT_TYPES,
};

/* ---- scheduling: functions, classes, queues, lanes ---- */

/* A function that tasks call, and how long its executions take: a moving average that rises fast
 * and falls slowly, since prefetching behind a long task hurts more than not prefetching. */
struct function {
    char *name;
    uint32_t index, average_us;
    uint32_t references; /* classes */
    uint64_t samples;
};
/* What a host must offer: a function and tags. */
struct class
{
    uint32_t index, function;
    uint32_t references; /* queues */
    char **requires;
    uint32_t requires_count;
};
/* A named limit. One that is not defined any more, or not yet, bounds nothing. */
struct limit {
    char *name;
    uint32_t most;       /* 0 = not defined */
    uint32_t references; /* uses of queues */
    uint64_t used;       /* by attempts at hosts */
    uint64_t closed;     /* the round of assignment in which it is kept for whoever is before */
};
struct queue_use {
    struct limit *limit;
    uint32_t amount;
};
/* Ready tasks of one class, priority, width and use of limits. Lanes take turns. */
struct queue {
    uint32_t index, class, slots;
    uint32_t use_count;
    struct queue_use *uses; /* in the order of their names */
    uint64_t served;        /* when it last got something of a limit; see limits.c */
    uint32_t
        references; /* workers of versions, pools and lanes; at 0 it goes with the next sweep */
    int32_t priority;
    struct lane *first, *last; /* lanes that have tasks and may be dispatched */
    uint64_t ready;
};
/* The ready tasks of one run that belong to one queue, first in first out. */
struct lane {
    struct run *run;
    struct queue *queue; /* NULL: the tasks of paused workers */
    uint32_t head, tail, count;
    uint32_t turn; /* tasks taken since the lane was last put behind the others */
    struct lane *next, *previous;
    bool linked;
};

/* ---- units ---- */

enum {
    WORKER_KEEPS = 1, /* an expression reads its result: it stays in memory */
    WORKER_FEEDS = 2, /* other tasks take its result as input */
};
struct edge {
    uint32_t child, dependency; /* dependency: index in the child's depends_on */
};
/* A definition made ready to run: edges from parents to children in one array. */
struct version {
    struct version *next;
    struct unit *unit;
    uint32_t number;
    uint32_t references; /* runs, and the unit while it is in force */
    struct definition *definition;
    uint32_t *first_edge; /* worker_count + 1; NULL without a graph */
    struct edge *edges;
    uint8_t *uses;         /* WORKER_… of each worker; NULL = none has any */
    struct queue **queues; /* each worker's queue, with a reference */
    /* Where each worker is in the version `forward_to`; NONE = not there. */
    uint32_t *forward;
    uint32_t forward_to;
};

/* How long runs took: the last few, and all by powers of two of milliseconds. */
struct execution {
    uint64_t count, total_ms;
    uint32_t recent_ms[10], least_ms, most_ms;
    uint32_t histogram[32];
};

/* The unfinished runs of a unit that wait for each other: of the whole unit, or of one worker. */
struct track {
    uint32_t worker;          /* NONE = runs of the whole unit */
    struct run *first, *last; /* oldest first; never empty */
};

struct unit {
    uint32_t serial; /* position in engine.units, never used again */
    struct synk_bytes id;
    char *id_text;
    struct version *current; /* NULL: released, or the pool */
    struct version *versions;
    uint32_t last_version;
    struct overlay overlay; /* what was set over the file's definition */
    uint32_t wanted_version; /* while loading: the one in force */
    bool enabled, paused, dirty, releasing;
    enum unit_status status;
    uint64_t last_number, success_count, run_count;
    int64_t last_run_at, due_at; /* wall */
    int64_t due;                 /* monotonic; 0 = none, or on a calendar: then due_at decides */
    uint64_t due_rule;           /* the schedule that the due time follows; 0 = none */
    bool start_waits;            /* runOnStart, until a TICK */
    bool stale_told;             /* the watcher has said that nothing uses it */
    int64_t idle_since, paused_since; /* monotonic; 0 = since before the start, or not */
    struct execution execution;
    struct run *first_run, *last_run; /* unfinished ones, oldest first */
    uint32_t live_runs, running_runs;
    struct index tracks; /* of its unfinished runs, by worker */
    char **paused_workers;
    size_t paused_worker_count, paused_worker_capacity;
    uint32_t topics[EVENT_TYPES]; /* where in the open batch; verified before use */
};

/* ---- runs and tasks ---- */

enum {
    TASK_START_TOLD = 1, /* the start event of this attempt was emitted */
    TASK_CANCEL_SENT = 2,
    TASK_UNLISTED = 4,    /* its host has not named it since it came back */
    TASK_STARTED = 8,     /* this attempt was seen to start */
    TASK_DOUBTED = 32,    /* was ready at hydration: a host given up may still run it */
    TASK_JUST_ENDED = 16, /* final, and its children have yet to hear of it */
    TASK_ORPHANED = 64,   /* its host's process ended, and has not been succeeded yet */
    TASK_CANCEL_WANTED = 128, /* it alone was cancelled, whatever becomes of its run */
    TASK_IN_TURN = 256,       /* pending: its parents allow it, and maxParallel does not yet */
};

/* What few tasks need. */
struct task_extra {
    struct blob *result; /* where an expression may read it */
    struct blob *error, *reason;
    struct blob *milestone; /* the name of the last one of this attempt */
    float progress;
    uint8_t host_deaths; /* ends of its host's process while it may have run */
    int64_t progressed_at; /* monotonic: when its attempt last told of progress; 0 = never */
    uint32_t stuck_told;   /* the attempt that the watcher has told of */
};

struct task {
    uint8_t state, crashes;
    uint16_t flags;
    uint16_t tries;           /* ended attempts that count against maxRetries */
    uint16_t slots;           /* at the host */
    uint32_t attempts, epoch; /* of the latest attempt handed out */
    uint32_t holds;           /* at a host: 1 + the queue whose limits it takes from; 0 = none */
    union {
        uint32_t waiting;     /* pending: parents that are not final */
        uint32_t cost_us;     /* at a host: what it was expected to take */
        uint32_t result_size; /* succeeded */
        uint32_t cause;       /* skipped: 1 + the task whose failure is behind it; 0 = none is */
        uint32_t delay_ms;    /* retry-wait, while loading: what it was to wait */
    };
    union {
        struct {
            uint32_t next, previous; /* ready: in the lane; in turn: among those */
        };
        struct {
            uint32_t host, position; /* at a host: its index in host.flight */
        };
    };
    union {
        struct lane *lane; /* ready */
        int64_t at;        /* running: started (wall); retry-wait: due (monotonic) */
    };
    struct task_extra *extra;
};

/* A pool submission: what its tasks have in common. */
struct pool {
    struct arena arena; /* what `options` points to */
    struct worker_options options;
    const char *function; /* that of `options` */
    struct synk_bytes payload; /* in run.spec */
    const uint8_t *items;      /* encoded params one behind the other, in run.spec */
    uint32_t *offsets;         /* count + 1; NULL = no params */
    uint32_t queue;
    struct queue *held_queue; /* the same one, with a reference */
};

struct waiter {
    struct waiter *next;
    uint32_t peer;
    uint64_t sequence;
};

struct run {
    uint64_t id;
    struct unit *unit;
    struct version *version; /* NULL for the pool */
    uint32_t worker;         /* a run of this worker alone; NONE = of the whole unit */
    uint64_t number;
    uint8_t status; /* enum run_status */
    bool cancelling, timed_out, recovered, dirty, counted, checked, loaded;
    uint8_t depth; /* of hooks */
    uint8_t overlap;
    bool has_priority; /* it goes before that of its workers */
    bool paused;       /* pool submissions: held back, and those behind it */
    int32_t priority;
    char *name; /* pool submissions: in engine.pool_names while unfinished; NULL = none */
    char *label;              /* UNIT#N or PROCESS/WORKER#N */
    struct synk_bytes prefix; /* encoded event entries `unit` and `run` */
    struct blob *params, *by, *error, *spec;
    int64_t created_at, started_at, ended_at; /* wall */
    int64_t not_before; /* wall: when it was to start; 0 = at once */
    int64_t start_due;  /* monotonic: queued, and not in its track before; 0 = it is */
    struct pool *pool;
    uint32_t task_count;
    struct task *tasks; /* NULL before it starts and after it ended */
    uint32_t counts[TASK_STATES];
    uint32_t open; /* tasks that are not final */
    struct lane **lanes;
    size_t lane_count, lane_capacity;
    struct index lanes_by_queue;
    struct lane *last_lane;
    uint32_t turn_head, turn_tail, turn_count; /* graphs: tasks that wait for maxParallel */
    bool stopped;    /* maxFailures was reached, and the rest has been skipped */
    bool held;       /* its lanes are not in the queues */
    uint32_t cursor; /* run modes: the next worker to have its turn */
    bool turn_timer;
    int64_t deadline; /* monotonic; 0 = none */
    uint64_t failures;
    struct waiter *waiters;
    struct run *next, *previous;           /* in engine.live or engine.finished */
    struct run *unit_next, *unit_previous; /* among the unit's unfinished */
    struct track *track;                   /* NULL once it has ended */
    struct run *track_next, *track_previous;
};

/* ---- hosts ---- */

enum host_state { HOST_UP, HOST_SUSPECT, HOST_LOST };
struct flight {
    struct run *run;
    uint32_t task;
    int64_t since; /* monotonic: when it was given to the host */
};
/* A message to a host under construction. */
struct outbox {
    struct buf specs, tasks;
    uint32_t spec_count, task_count;
    const struct run *spec_run; /* whom the last spec is for */
    uint32_t spec_task;
    struct value_ref *refs;
    size_t ref_count, ref_capacity, ref_bytes;
    struct msg_attempt *cancels;
    size_t cancel_count, cancel_capacity;
};
struct host {
    uint32_t index;
    char *name;
    struct synk_bytes name_bytes;
    uint64_t instance, home;
    uint32_t peer;
    bool connected, synced, settled, draining, is_local, recorded, in_open;
    bool bound;            /* what comes from `peer` is its; connected, or its process has ended */
    bool drained;          /* somebody asked that it get no work; see drain.c */
    bool exited;           /* its process has ended, and its successor has not come */
    uint32_t exited_slots; /* that it had */
    enum host_state state;
    uint32_t slots, used;
    uint32_t resize_to; /* what a client asked for; 0 = nothing */
    uint32_t wide; /* attempts there that take more than one slot */
    uint64_t expected_us;
    int64_t pid;
    char *version;
    char **functions, **tags;
    struct refused_plugin {
        char *name, *reason;
    } * refused; /* plugins that it did not load */
    uint32_t function_count, tag_count, refused_count;
    uint8_t *classes;     /* a bit each: eligible */
    uint32_t class_count; /* how many have been decided */
    struct flight *flight;
    size_t flight_count, flight_capacity;
    int64_t seen, synced_at, hello_at; /* monotonic */
    int64_t seen_wall;
    uint64_t applied, acked, received_since_sync, acked_since_sync;
    bool base_known; /* `applied` is exact; else no less was applied before the restart */
    bool unsaved;    /* milestones were applied that its record does not tell of */
    uint32_t running, queued;
    int64_t rss_kib, cpu_us;
    struct outbox outbox;
};
/* A host of before the restart, until it has synced or is given up. */
struct expected_host {
    char *name;
    uint64_t instance, applied;
};

/* ---- clients ---- */

struct peer {
    uint32_t id, waiting;
};
struct key {
    struct key *next, *previous; /* in order of expiry */
    char *text;
    struct synk_bytes text_bytes;
    struct blob *reply; /* NULL while the request is under way */
    int64_t expires_at; /* wall: what is stored, for people to read */
    int64_t due;        /* monotonic: what counts */
    struct waiter *waiters;
};
struct request {
    uint32_t peer;
    bool is_remote; /* it came over the network */
    enum role role;
    struct synk_bytes who; /* the name of the key, for the log */
    uint64_t sequence;
    uint16_t type;
    const struct synk_value *body;
    struct key *key; /* NULL = none */
};
struct upload {
    struct upload *next;
    uint32_t peer;
    char *name;
    struct buf data;
    int64_t touched;
};
/* A request that waits for a run to be loaded. */
struct loading {
    struct loading *next;
    uint64_t token;
    struct request request; /* body NULL */
    char *run_label, *worker;
    struct buf body; /* the request's body again */
};
/* A client's `prune` until the store has done it. */
struct prune {
    struct request request; /* body NULL */
    int64_t keep_runs_ms, keep_events_ms;
    uint64_t keep_runs, keep_events;
    uint64_t token;
    bool sent; /* the store was told */
    bool interrupted;
};
struct log_request {
    struct log_request *next;
    uint64_t id;
    uint32_t peer;
    uint64_t sequence;
    char *host;
};

/* A forced release that waits for the unit's runs to end. */
struct release {
    struct release *next;
    struct unit *unit;
    struct request request; /* body NULL */
    struct blob *cancelled; /* encoded: the runs' labels */
};

/* Something that hooks ask for, done when the step has settled. */
struct pending_start {
    struct unit *unit;
    struct blob *params;
    char *by;
    uint8_t depth;
};
/* A version whose records are being loaded. */
struct version_loading {
    struct version_loading *next;
    char *unit;
    uint32_t number, worker_count, have;
    struct synk_bytes header;
    struct synk_bytes *workers;
    struct arena arena;
};
struct work {
    struct run *run;
    uint32_t task;
};

enum shutdown_phase {
    SHUTDOWN_NO,
    SHUTDOWN_DRAINING, /* running work may finish */
    SHUTDOWN_KILLING,  /* the grace is over: its attempts are being killed */
    SHUTDOWN_LEAVING,  /* no work is left; the local host's process has yet to end */
    SHUTDOWN_DONE,
};

struct engine {
    struct engine_config config;
    struct evaluator evaluator;
    struct expression_checker checker;
    struct calendar calendar;
    bool has_evaluator;
    struct effects *effects; /* of the step under way */
    struct arena scratch;    /* until the end of the step */
    struct buf scratch_buf;
    uint8_t milestone_depth; /* of the run whose milestones are being told */
    int64_t now, wall, last_step, started_now;
    bool started, store_ok;
    char store_text[SYNK_ERROR_TEXT_BYTES];
    uint32_t epoch;
    uint64_t last_event, last_run, saved_last_run, last_token;
    struct timers timers;
    int64_t clock_offset;   /* wall - now, as last looked at */
    int64_t clock_shift;    /* while loading: the wall clock was set by so much since */
    int64_t calendar_at;    /* wall: nothing is due before it by a calendar; INT64_MAX = ever */
    int64_t calendar_timer; /* monotonic: when the one timer for it is due; 0 = none is set */
    bool clock_dirty;       /* clock_offset has to be saved */
    char clock_text[96];    /* while loading: the offset of before, and in which boot */
    struct index units_by_id, runs_by_id, runs_by_number, hosts_by_name, hosts_by_peer;
    struct index keys_by_text, peers_by_id, classes_by_hash, functions_by_name, queues_by_hash;
    struct unit **units; /* released ones too, until nothing needs them */
    size_t unit_count, unit_capacity;
    struct unit *pool;
    struct index pool_names; /* unfinished submissions with a name */
    struct run *pool_gate;   /* the first paused one in the order of dispatch; see pool.c */
    uint32_t milestone_units; /* units with runOnMilestone */
    struct run *live_first, *live_last;
    struct run *finished_first, *finished_last; /* by end, then id */
    struct run *finished_latest;                /* the one put there last; NULL = unknown */
    size_t finished_count;
    /* By index; NULL = free, and to be used again. */
    struct function **functions;
    size_t function_count, function_capacity;
    struct class **classes;
    size_t class_count, class_capacity;
    struct queue **queues;
    size_t queue_count, queue_capacity;
    size_t function_hole, class_hole, queue_hole; /* no entry before it is free */
    size_t live_functions, live_queues, sweep_at; /* sweep_at: that many queues */
    struct limit **limits; /* in the order of their names */
    size_t limit_count, limit_capacity;
    uint32_t limited_queues; /* live ones with uses */
    uint64_t servings, round;
    uint32_t *queue_order; /* live ones, by priority, highest first; the older first */
    size_t queue_order_capacity;
    struct host **hosts; /* by index; NULL = free */
    size_t host_count, host_capacity;
    uint32_t *open_hosts; /* that may have room */
    size_t open_count, open_capacity;
    char **drained; /* names of hosts that are to get no work */
    size_t drained_count, drained_capacity;
    struct expected_host *expected;
    size_t expected_count, expected_capacity;
    bool barrier; /* recovered runs wait for expected hosts */
    int64_t barrier_since;
    bool dispatch_due, cancels_due, acks_due;
    /* Consequences, in the order in which they are to be drawn. */
    struct work *work;
    size_t work_first, work_count, work_capacity;
    struct run **checks;
    size_t check_first, check_count, check_capacity;
    struct pending_start *starts;
    size_t start_first, start_count, start_capacity;
    struct unit **dirty_units;
    size_t dirty_unit_count, dirty_unit_capacity;
    struct run **dirty_runs;
    size_t dirty_run_count, dirty_run_capacity;
    struct key *keys_first, *keys_last;
    struct upload *uploads;
    struct loading *loadings;
    struct log_request *log_requests;
    struct release *releases;
    struct waiter *shutdown_waiters;
    struct version_loading *versions_loading;
    struct prune *prune; /* NULL = none */
    bool retention_due;
    uint64_t retained_event; /* the last one when the store was last told what may go */
    int64_t retained_at;     /* monotonic */
    enum shutdown_phase shutdown;
    int64_t shutdown_until; /* when this phase's time is up */
    bool shutdown_keeps_hosts, had_client;
    int64_t refusals_since; /* what was logged of them within a second */
    unsigned refusals;
    int64_t pid; /* the supervisor's own: told to clients */
    int64_t local_pid;
    bool local_wanted, local_starting;
    int64_t local_exits[5]; /* times of the latest, a ring */
    uint32_t local_exit_count, local_backoff_s;
    uint64_t trial_run; /* the suspect whose turn it is; see retry.c */
    uint32_t trial_task;
    int64_t trial_since;
    struct synk_bytes gauges;
    size_t body_offset;
    struct run *last_found; /* of runs_find: reports come in bursts of one run */
    struct engine_counts counts;
};

static inline uint32_t run_worker(const struct run *run, uint32_t task)
{
    return run->worker == NONE ? task : run->worker;
}
/* Runs of processes with dependsOn: tasks wait for their parents and for nothing else. */
static inline bool run_is_graph(const struct run *run)
{
    return run->version && run->worker == NONE && run->version->first_edge;
}

#endif
