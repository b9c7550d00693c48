/*
 * The simulator: the real engine among fake hosts, clients, network, store and clock, all from one
 * seed. This header is what its files share.
 *
 *   world.c       the agenda (a heap of what happens when), faults, one seed from start to end
 *   network.c     connections between endpoints and the supervisor
 *   supervisor.c  the shell's place: ticks, commits, crashes, hydration
 *   vault.c       the fake store
 *   ledger.c      what really happened, and the invariants
 *   host.c        the real logic of a worker host, with fake runners
 *   client.c      clients, the definitions they draw, the requests they send
 *
 * Nothing here reads a clock or an environment: a seed replays exactly.
 */
#ifndef SIM_H
#define SIM_H

#include "proto/definition.h"
#include "proto/msg.h"
#include "supervisor/core/engine.h"
#include "supervisor/core/states.h"
#include "tests/sim/random.h"
#include "worker-host/host.h"

struct world;

/* What a run of many seeds adds up. */
struct totals {
    uint64_t seeds, failed;
    uint64_t crashes, torn_commits, unknown_commits, refused_commits, stops, shutdowns;
    uint64_t host_crashes, spools_lost, cuts, resets, lost_messages, repeated_messages, clock_jumps;
    uint64_t local_ends, changes, refused_changes;
    uint64_t runs, tasks, attempts, reexecutions, commits, requests, repeated_requests, events;
    uint64_t simulated_ms;
};

/* Known bugs, put on from outside, that the invariants must catch: name, text. */
#define MUTATION_LIST(X)                                                                           \
    X(MUTATION_NONE, "none")                                                                       \
    X(MUTATION_EARLY_RELEASE, "early-release") /* effects leave before their commit */             \
    X(MUTATION_EARLY_ACK, "early-ack")         /* reports are acknowledged before the commit */    \
    X(MUTATION_FORGET_KEYS, "forget-keys")     /* idempotency keys are not hydrated */             \
    X(MUTATION_FORGET_HOSTS, "forget-hosts")   /* nor the set of known hosts */                    \
    X(MUTATION_FORGET_TASKS, "forget-tasks")   /* nor outcomes of unfinished runs */               \
    X(MUTATION_SAME_EPOCH, "same-epoch")       /* a start does not raise the epoch */              \
    X(MUTATION_TORN_BATCH, "torn-batch")       /* a crash leaves half a batch behind */            \
    X(MUTATION_EVENT_GAP, "event-gap")         /* a start skips an event number */
enum mutation {
#define MUTATION_ENUM(name, text) name,
    MUTATION_LIST(MUTATION_ENUM)
#undef MUTATION_ENUM
};

/* agenda: world.c */
typedef void (*happening_run)(struct world *world, void *target, uint64_t argument);
/* Calls `run` at `at` (not before now), after what was asked for earlier at the same time. */
void world_at(struct world *world, int64_t at, happening_run run, void *target, uint64_t argument);
/* Records the first violation; the seed ends. */
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line of the trace, for --verbose. */
void world_trace(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* network.c: one end of a connection to the supervisor. */
struct packet {
    struct endpoint *endpoint;
    uint32_t peer;
    bool up;
    struct msg_header header;
    struct buf body, values;
    struct packet *previous, *next; /* all that are under way */
};
typedef void (*endpoint_receive)(struct world *world, void *owner, const struct packet *packet);
struct endpoint {
    enum socket socket;
    void *owner;
    endpoint_receive receive;
    bool open;                  /* its program is alive and wants a connection */
    uint32_t peer;              /* 0 = not connected now */
    uint32_t old_peer;          /* of the connection before */
    int64_t old_until;          /* what it sent still arrives until then */
    int64_t last_up, last_down; /* a connection keeps the order of messages */
    int64_t cut_up_until, cut_down_until;
    uint64_t life;         /* counts connections, to tell stale reconnects */
    struct packet **queue; /* a host's link keeps what it cannot send yet */
    size_t queue_count, queue_capacity;
};
void network_open(struct world *world, struct endpoint *endpoint);
/* Breaks the connection; it comes back by itself while the endpoint is open. */
void network_break(struct world *world, struct endpoint *endpoint);
void network_close(struct world *world, struct endpoint *endpoint);
/* All connections of a supervisor that is gone. */
void network_break_all(struct world *world);
void network_up(struct world *world, struct endpoint *endpoint, struct msg_header header,
                struct synk_bytes body);
void network_fini(struct endpoint *endpoint);
void network_down(struct world *world, enum socket socket, uint32_t peer, struct msg_header header,
                  struct synk_bytes body, struct synk_bytes values);
/* Frees one packet. */
void network_drop(struct packet *packet);
void network_free(struct world *world);

/* vault.c: the fake store. */
struct stored {
    struct stored *next; /* in its bucket */
    uint64_t hash;
    struct synk_bytes key; /* ordered like the records of a kind are loaded */
    struct record record;  /* owns its bytes, behind this struct */
};
struct vault {
    struct stored **buckets;
    size_t bucket_count, count;
    uint32_t epoch;
    uint64_t last_event;
    uint64_t commits;
};
void vault_init(struct vault *vault);
void vault_fini(struct vault *vault);
void vault_apply(struct world *world, const struct batch *batch);
/* What a torn write would leave: some of the records. */
void vault_apply_torn(struct world *world, const struct batch *batch);
const struct run_record *vault_run(const struct vault *vault, uint64_t run);
const struct task_record *vault_task(const struct vault *vault, uint64_t run, uint32_t task);
const struct unit_record *vault_unit(const struct vault *vault, struct synk_bytes unit);
const struct definition_record *vault_definition(const struct vault *vault, struct synk_bytes unit,
                                                 uint32_t version);
const struct worker_record *vault_worker(const struct vault *vault, struct synk_bytes unit,
                                         uint32_t version, uint32_t index);
/* What a start hydrates, in order; free the array. */
const struct record **vault_load(const struct world *world, size_t *ret_count);
/* The run that a query is about; NULL = there is none. */
const struct run_record *vault_find_run(const struct vault *vault, const struct query *query);
/* The answer to QUERY_LOAD_RUN: run, definition, workers, tasks; free the array. */
struct record *vault_load_run(const struct vault *vault, const struct query *query,
                              size_t *ret_count);
/* Calls `each` for all records of a kind, in key order. */
void vault_each(const struct vault *vault, enum record_kind kind,
                void (*each)(void *context, const struct record *record), void *context);

/* ledger.c: what really happened. */
struct truth {
    struct attempt_id id;
    bool dispatched, started, ended;
    enum outcome outcome;
    uint64_t result_hash;
};
struct task_truth {
    uint64_t run;
    uint32_t task;
    struct truth *attempts;
    size_t attempt_count, attempt_capacity;
    size_t last; /* index of the attempt that was dispatched last */
};
struct known_definition {
    char *unit;
    uint32_t version;
    struct definition *definition;
};
struct requested_run {
    uint64_t run;
    uint64_t operation;
};
struct ledger {
    struct task_truth **slots;
    size_t slot_count, task_count;
    struct known_definition *definitions;
    size_t definition_count, definition_capacity;
    struct requested_run *acknowledged;
    size_t acknowledged_count, acknowledged_capacity;
    struct requested_run *made; /* by their parameters, acknowledged or not */
    size_t made_count, made_capacity;
    uint64_t *removed; /* runs that retention took */
    size_t removed_count, removed_capacity;
    uint64_t *retried; /* runs that a client asked to retry */
    size_t retried_count, retried_capacity;
};
void ledger_fini(struct ledger *ledger);
void ledger_dispatched(struct world *world, const struct msg_task *task);
void ledger_started(struct world *world, struct attempt_id id);
void ledger_ended(struct world *world, struct attempt_id id, enum outcome outcome,
                  struct synk_bytes result);
void ledger_acknowledged(struct world *world, uint64_t run, uint64_t operation);
void ledger_retried(struct world *world, uint64_t run);
/* Before a batch is applied: one record and what it replaces (NULL = nothing). */
void ledger_check_record(struct world *world, const struct record *before,
                         const struct record *after);
void ledger_check_events(struct world *world, const struct batch *batch);
/* All acknowledged runs are in the store. */
void ledger_check_acknowledged(struct world *world);
/* Whether every run has ended. */
bool ledger_all_ended(struct world *world);
uint64_t ledger_last_run(struct world *world);
/* What must hold of runs that have ended. */
void ledger_check_end(struct world *world);
uint64_t ledger_operation_of(struct synk_bytes params);

/* supervisor.c */
struct question;
struct supervisor {
    struct engine *engine; /* NULL = down */
    struct effects effects[2];
    unsigned open; /* which gathers */
    size_t urgent_done, order_done;
    bool committing, tick_wanted;
    bool refused;          /* the store said no; the batch waits */
    uint64_t life;         /* counts starts and crashes, to tell stale happenings */
    int64_t stopped_until; /* SIGSTOP: reads and decides nothing */
    int64_t clock_offset;  /* monotonic clock - simulated time */
    int64_t timer_at;
    struct question *questions; /* to the store, to be answered */
    int64_t local_pid;          /* of the local host, as told to the engine; 0 = none */
    struct packet **inbox;      /* arrived, not yet read */
    size_t inbox_count, inbox_capacity;
};
void supervisor_start(struct world *world);
void supervisor_crash(struct world *world);
/* A signal: finish what runs, for so long; hosts stay or are drained. */
void supervisor_shutdown(struct world *world, int64_t grace_ms, bool keep_hosts);
/* Takes the packet. */
void supervisor_receive(struct world *world, struct packet *packet);
void supervisor_peer_gone(struct world *world, enum socket socket, uint32_t peer);
void supervisor_free(struct world *world);
/* The process of the local host has ended. */
void supervisor_local_ended(struct world *world, int64_t pid);

/* host.c: the real logic of a worker host among fake runners. */
struct runner_task {
    struct attempt_id id;
    int64_t timeout_ms;
};
struct runner {
    struct runner_task *tasks; /* in the order they were given; the first may run */
    size_t task_count, task_capacity;
    bool ready, runs, asked, closed;
    uint64_t serial; /* of the task that runs, to tell stale happenings */
    int64_t started_at, started_ms;
};
enum { MAX_SLOTS = 4 };
struct sim_host {
    struct host *host; /* NULL = not running */
    char name[16];
    unsigned index;
    uint32_t slots;
    uint64_t life; /* counts starts and crashes */
    int64_t pid;
    bool is_local; /* the supervisor starts it, and sees it end */
    struct endpoint endpoint;
    struct runner runners[MAX_SLOTS];
    struct host_effects effects;
    struct buf spool;
    int64_t clock_offset, timer_at;
};
void sim_host_init(struct world *world, struct sim_host *host, unsigned index);
void sim_host_fini(struct sim_host *host);
void sim_host_start(struct world *world, struct sim_host *host);
/* SIGKILL: its attempts die with it; the spool file may be whole, torn or lost. */
void sim_host_crash(struct world *world, struct sim_host *host);

/* client.c */
enum operation_kind {
    OPERATION_APPLY,
    OPERATION_RUN,
    OPERATION_SUBMIT,
    OPERATION_CANCEL,
    OPERATION_RETRY,
    OPERATION_WAIT,
    OPERATION_PAUSE,
    OPERATION_RESUME,
    OPERATION_QUERY,
    OPERATION_CHANGE, /* of settings, the registry, the pool, hosts: may be refused */
};
struct operation {
    enum operation_kind kind;
    uint16_t type;
    uint64_t number;   /* unique in the world */
    uint64_t sequence; /* of the request that was sent last */
    uint64_t first_sequence;
    uint64_t run; /* whom it is about, for retry and wait */
    bool may_pause;
    struct buf body;
    bool answered;
};
struct client {
    struct world *world;
    unsigned index;
    struct endpoint endpoint;
    struct operation **operations;
    size_t operation_count, operation_capacity;
    size_t waiting; /* unanswered */
    uint64_t sequence;
};
void client_init(struct world *world, struct client *client, unsigned index);
void client_fini(struct client *client);
/* After the faults: resumes what was paused, once nothing is under way that may pause. Returns
 * whether it did. */
bool client_resume_all(struct world *world);
/* Whether every request of every client is answered. */
bool client_all_answered(const struct world *world);

struct sim_unit {
    char id[16];
    bool is_process;
    bool applied; /* acknowledged */
};
enum { SCHEDULE_MS = 3000 };
enum {
    MAX_HOSTS = 6,
    MAX_CLIENTS = 4,
    MAX_UNITS = 8,
    MAX_KNOWN_RUNS = 64,
    MAX_PAUSED_WORKERS = 16
};

/* How a seed goes about it: chances in a million, times in ms; 0 = not in this seed. */
struct plan {
    int64_t faults_ms; /* how long the first phase is */
    /* Mean intervals. */
    int64_t crash_ms, stop_ms, host_crash_ms, cut_ms, reset_ms, clock_jump_ms, shutdown_ms;
    uint64_t keep_runs;              /* finished runs beyond it are removed; 0 = none is */
    bool schedules;                  /* units may run on an interval of SCHEDULE_MS */
    uint32_t torn, unknown, refused; /* of commits */
    uint32_t loss, repeat;           /* of client messages and droppable host messages */
    uint32_t spool_lost;
    int64_t latency_ms, commit_ms, task_ms, request_ms;
    uint32_t task_fails, task_crashes;
    bool graphs_only;
    /* What else clients ask for. */
    bool limits, wide, local, releases, sets, delays, pool, resizes, drains;
};

struct world {
    uint64_t seed;
    struct random random;
    int64_t now, wall_offset;
    struct plan plan;
    int64_t heal_at;
    bool healed;
    uint64_t horizon; /* runs up to this one must end; later ones are the schedules' */
    struct happening *agenda;
    size_t agenda_count, agenda_capacity;
    uint64_t agenda_serial;
    struct packet packets; /* ring of all under way */
    uint32_t last_peer;
    uint64_t last_operation, last_instance;
    struct vault vault;
    struct ledger ledger;
    struct supervisor supervisor;
    struct sim_host hosts[MAX_HOSTS];
    unsigned host_count;
    struct client clients[MAX_CLIENTS];
    unsigned client_count;
    struct sim_unit units[MAX_UNITS];
    unsigned unit_count;
    struct {
        char id[32];
    } paused_workers[MAX_PAUSED_WORKERS];
    unsigned paused_worker_count;
    struct {
        char name[32];
        uint64_t run;
    } known_runs[MAX_KNOWN_RUNS]; /* latest acknowledged */
    unsigned known_run_count;
    struct expression *expression;
    struct evaluator evaluator;
    struct expression_checker checker;
    struct totals *totals;
    struct buf *effects_trace; /* NULL = not kept */
    bool verbose;
    enum mutation mutation;
    char failure[1024]; /* empty = none */
};
static inline int64_t world_wall(const struct world *world)
{
    return 1700000000000 + world->now + world->wall_offset;
}
/* Whether nothing in this seed makes a host seem lost: then nothing may be executed twice. */
static inline bool world_keeps_hosts(const struct world *world)
{
    const struct plan *plan = &world->plan;
    /* A shutdown kills the local host where it does not leave in time. */
    return !plan->host_crash_ms && !plan->cut_ms && !plan->stop_ms && !plan->task_crashes &&
           !(plan->local && plan->shutdown_ms);
}
/* Runs one seed. Returns whether all held; else `failure` (1024 bytes) tells. */
bool world_run(uint64_t seed, enum mutation mutation, bool verbose, struct buf *effects_trace,
               struct totals *totals, char *failure);

#endif
