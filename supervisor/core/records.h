/*
 * What survives: the records, and the batch of changes that one tick commits.
 *
 * The engine appends records and events to the open batch; a store applies a batch atomically, or
 * not at all. A record is written whole and replaces the one of the same key. Loading gives the
 * same structs back, whichever store they came from. Pointers in a record live in the batch's arena
 * (or, while loading, until the callback returns).
 */
#ifndef CORE_RECORDS_H
#define CORE_RECORDS_H

#include "proto/bytes.h"

enum record_kind {
    RECORD_META,       /* key: name */
    RECORD_UNIT,       /* key: id; what changes about a unit */
    RECORD_DEFINITION, /* key: unit, version; removing it removes its workers */
    RECORD_WORKER,     /* key: unit, version, index */
    RECORD_HOST,       /* key: name */
    RECORD_KEY,        /* key: key; an idempotency key and what it was answered */
    RECORD_RUN,        /* key: run; removing it removes its tasks and attempts */
    RECORD_TASK,       /* key: run, task; a pending task has none */
    RECORD_ATTEMPT,    /* key: run, task, attempt; ended attempts that were not the task's last */
};

struct meta_record {
    struct synk_bytes name, value;
};
struct unit_record {
    struct synk_bytes id;
    uint32_t version;      /* of the definition in force */
    uint32_t last_version; /* the highest that was given: none is given twice */
    bool enabled, paused;
    uint64_t last_number; /* N of the latest UNIT#N */
    uint64_t success_count, run_count;
    int64_t last_run_at, due_at; /* ms since the epoch; 0 = never, none */
    uint8_t status;              /* enum unit_status */
    struct synk_bytes execution; /* encoded statistics */
    struct synk_bytes overlay;   /* what was set at run time: overlay.h */
};
struct definition_record {
    struct synk_bytes unit;
    uint32_t version, worker_count;
    struct synk_bytes header; /* definition_encode_header */
};
struct worker_record {
    struct synk_bytes unit;
    uint32_t version, index;
    struct synk_bytes body; /* definition_encode_worker */
};
struct host_record {
    struct synk_bytes name;
    uint64_t instance;
    int64_t seen_at;
    uint64_t applied; /* report items of this instance up to it are applied, perhaps more */
};
struct key_record {
    struct synk_bytes key;
    struct synk_bytes reply; /* the body that was answered */
    int64_t expires_at;
};
struct run_record {
    uint64_t run;
    struct synk_bytes unit;
    struct synk_bytes worker; /* a run of one worker of a process; else empty */
    uint64_t number;
    uint32_t version;
    uint8_t status; /* enum run_status */
    bool cancelling;
    bool has_priority;
    int32_t priority;        /* instead of its workers' */
    struct synk_bytes name;  /* pool runs: unique among unfinished ones; else empty */
    bool paused;             /* pool runs */
    uint32_t task_count;
    struct synk_bytes by;     /* who started it: "client", "schedule", "hook:UNIT#N", … */
    struct synk_bytes params; /* encoded */
    struct synk_bytes spec;   /* pool runs: what was submitted, encoded */
    struct synk_bytes error;
    int64_t created_at, started_at, ended_at;
    int64_t not_before; /* was to start no sooner; 0 = at once, or it waits for others since */
    uint8_t overlap;    /* enum overlap: what it makes of earlier ones; 0 = it waits for them */
};
struct task_record {
    uint64_t run;
    uint32_t task;
    uint8_t state; /* enum task_state */
    uint8_t crashes;
    uint32_t attempts, epoch;
    uint16_t tries; /* ended attempts that count against maxRetries: none lost, none crashed */
    struct synk_bytes worker, host;
    int64_t started_at, ended_at;
    int64_t due_at; /* retry-wait: not before, ms since the epoch */
    int32_t exit_status, signal;
    int64_t user_us, system_us, max_rss_kib, execution_us;
    struct synk_bytes result, error, reason;
    bool has_readers; /* other tasks take this result as input: worth caching */
    uint32_t cause;   /* skipped because of a failure: 1 + the task that failed; 0 = otherwise */
};
struct attempt_record {
    uint64_t run;
    uint32_t task, attempt, epoch;
    uint8_t outcome; /* enum outcome, or OUTCOME_LOST */
    struct synk_bytes host, error;
    int64_t started_at, ended_at;
    int32_t exit_status, signal;
    int64_t user_us, system_us, max_rss_kib;
};
/* attempt_record.outcome beside enum outcome: the host was lost under it. */
enum { OUTCOME_LOST = 16 };

struct record {
    enum record_kind kind;
    bool remove;
    union {
        struct meta_record meta;
        struct unit_record unit;
        struct definition_record definition;
        struct worker_record worker;
        struct host_record host;
        struct key_record key;
        struct run_record run;
        struct task_record task;
        struct attempt_record attempt;
    };
};

/* Events of a batch that share one topic, packed one behind the other. */
struct event_topic {
    struct synk_bytes topic; /* TYPE/UNIT */
    struct buf items;        /* encoded events */
    uint32_t count;
};

/* What may go of what has ended; 0 = no bound. A store carries it out behind the batch's records,
 * and may take its time: at its leisure, oldest first, until nothing is past a bound. It ends early
 * where QUERY_LOAD_RUN is asked: a run that is about to go on must not be taken. Whatever the
 * bounds, versions of definitions go that neither are in force nor belong to a run that is kept. */
struct retention {
    int64_t runs_before, events_before; /* ms since the epoch: ended, emitted before */
    uint64_t keep_runs, keep_events;    /* so many of the latest stay; runs that ended */
    bool counts; /* what is removed from here on is counted anew, for QUERY_PRUNE */
};

struct batch {
    struct arena arena;
    struct record *records;
    size_t record_count, record_capacity;
    /* Events in order of their numbers: first_event … first_event + event_count - 1. */
    uint64_t first_event;
    uint32_t event_count;
    struct buf events; /* encoded events, one behind the other, without a count */
    struct event_topic *topics;
    size_t topic_count, topic_capacity;
    int64_t at;   /* wall clock of the tick, ms */
    bool retains; /* `retention` is to be carried out */
    struct retention retention;
};
void batch_init(struct batch *batch);
void batch_fini(struct batch *batch);
/* Empties it for the next tick; keeps memory. */
void batch_clear(struct batch *batch);
static inline bool batch_is_empty(const struct batch *batch)
{
    return batch->record_count == 0 && batch->event_count == 0 && !batch->retains;
}
/* Appends a zeroed record of this kind. Its bytes are to be copied into batch->arena by the caller.
 */
struct record *batch_add(struct batch *batch, enum record_kind kind);

#endif
