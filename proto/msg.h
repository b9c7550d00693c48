/*
 * Messages: the fixed header, the list of types, and the typed forms of the messages between
 * supervisor and worker hosts. proto/PROTOCOL.md is the specification; this file is its code.
 * Bodies of client requests are small maps that their handlers read with <synk/value.h>. Pure.
 *
 * A message is two frames, header and body; DISPATCH may have a third. Encoders append to a struct
 * buf; decoders check the body first and allocate from an arena; decoded bytes point into the body.
 */
#ifndef PROTO_MSG_H
#define PROTO_MSG_H

#include "proto/bytes.h"
#include "proto/status.h"

#define MSG_VERSION      1
#define MSG_HEADER_BYTES 16

/* name, number on the wire, text. Numbers are stable. */
#define MSG_TYPE_LIST(X)                                                                           \
    /* host to supervisor */                                                                       \
    X(MSG_HELLO, 1, "hello")                                                                       \
    X(MSG_SYNC, 2, "sync")                                                                         \
    X(MSG_STARTED, 3, "started")                                                                   \
    X(MSG_PROGRESS, 4, "progress")                                                                 \
    X(MSG_REPORT, 5, "report")                                                                     \
    X(MSG_REJECT, 6, "reject")                                                                     \
    X(MSG_HEARTBEAT, 7, "heartbeat")                                                               \
    X(MSG_BYE, 8, "bye")                                                                           \
    X(MSG_LOG_DATA, 9, "log-data")                                                                 \
    /* supervisor to host */                                                                       \
    X(MSG_WELCOME, 32, "welcome")                                                                  \
    X(MSG_REFUSE, 33, "refuse")                                                                    \
    X(MSG_WHO, 34, "who")                                                                          \
    X(MSG_DISPATCH, 35, "dispatch")                                                                \
    X(MSG_ACK, 36, "ack")                                                                          \
    X(MSG_CANCEL_ATTEMPT, 37, "cancel-attempt")                                                    \
    X(MSG_RECALL, 38, "recall")                                                                    \
    X(MSG_DRAIN, 39, "drain")                                                                      \
    X(MSG_LOG_READ, 40, "log-read")                                                                \
    X(MSG_ALIVE, 41, "alive")                                                                      \
    X(MSG_RESIZE_HOST, 42, "resize-host")                                                          \
    /* client to supervisor */                                                                     \
    X(MSG_CONNECT, 64, "connect")                                                                  \
    X(MSG_UPLOAD, 65, "upload")                                                                    \
    X(MSG_APPLY, 66, "apply")                                                                      \
    X(MSG_RUN, 67, "run")                                                                          \
    X(MSG_SUBMIT, 68, "submit")                                                                    \
    X(MSG_WAIT, 69, "wait")                                                                        \
    X(MSG_CANCEL, 70, "cancel")                                                                    \
    X(MSG_RETRY, 71, "retry")                                                                      \
    X(MSG_PAUSE, 72, "pause")                                                                      \
    X(MSG_RESUME, 73, "resume")                                                                    \
    X(MSG_SHOW, 74, "show")                                                                        \
    X(MSG_LIST, 75, "list")                                                                        \
    X(MSG_FETCH, 76, "fetch")                                                                      \
    X(MSG_EXPLAIN, 77, "explain")                                                                  \
    X(MSG_PLAN, 78, "plan")                                                                        \
    X(MSG_LOGS, 79, "logs")                                                                        \
    X(MSG_STATS, 80, "stats")                                                                      \
    X(MSG_BACKUP, 81, "backup")                                                                    \
    X(MSG_SHUTDOWN, 82, "shutdown")                                                                \
    X(MSG_RELEASE, 83, "release")                                                                  \
    X(MSG_SET, 84, "set")                                                                          \
    X(MSG_SNAPSHOT, 85, "snapshot")                                                                \
    X(MSG_MILESTONE, 86, "milestone")                                                              \
    X(MSG_TICK, 87, "tick")                                                                        \
    X(MSG_SCAN, 88, "scan")                                                                        \
    X(MSG_PRUNE, 89, "prune")                                                                      \
    X(MSG_RESIZE, 90, "resize")                                                                    \
    X(MSG_POOL_UPDATE, 91, "pool-update")                                                          \
    X(MSG_POOL_ORDER, 92, "pool-order")                                                            \
    X(MSG_DRAIN_HOST, 93, "drain")                                                                 \
    /* supervisor to client */                                                                     \
    X(MSG_REPLY, 128, "reply")                                                                     \
    X(MSG_ERROR, 129, "error")                                                                     \
    /* published */                                                                                \
    X(MSG_EVENTS, 160, "events")                                                                   \
    X(MSG_HEAD, 161, "head")

enum msg_type {
#define MSG_TYPE_ENUM(name, number, text) name = number,
    MSG_TYPE_LIST(MSG_TYPE_ENUM)
#undef MSG_TYPE_ENUM
};
const char *msg_type_name(unsigned type); /* "unknown" outside the list */

/* On the wire: 'S', version, type (2), epoch (4), sequence (8); numbers big-endian. */
struct msg_header {
    uint16_t type;
    uint32_t epoch; /* of the supervisor, 0 before a sender knows it */
    uint64_t
        sequence; /* requests: the request's id, repeated in its reply; reports: the first item */
};
void msg_header_encode(struct msg_header header, uint8_t out[MSG_HEADER_BYTES]);
/* SYNK_PROTOCOL for other bytes, SYNK_UNSUPPORTED for another version. */
enum synk_status msg_header_decode(struct synk_bytes frame, struct msg_header *ret_header,
                                   struct synk_error *error);

/* One try of a task. `attempt` counts from 1 over the task's life; the epoch tells apart attempts
 * of one number that two supervisors' lives handed out. */
struct attempt_id {
    uint64_t run; /* the run's internal number, unique in the state */
    uint32_t task;
    uint32_t epoch;
    uint32_t attempt;
};
static inline bool attempt_id_equal(struct attempt_id a, struct attempt_id b)
{
    return a.run == b.run && a.task == b.task && a.epoch == b.epoch && a.attempt == b.attempt;
}

/* A plugin, or a plugin directory, and why it was not loaded: for people. Both are cut to
 * LIMIT_REFUSAL_BYTES when they are encoded. */
struct refused_plugin_text {
    struct synk_bytes name, reason;
};
/* HELLO: who a host is. Other strings are at most LIMIT_ID_BYTES. */
struct msg_hello {
    struct synk_bytes name;
    uint64_t instance; /* random, drawn at each start of the host program */
    uint32_t slots;
    int64_t pid;
    struct synk_bytes version;
    const struct synk_bytes *functions; /* "plugin.function"; built-ins included */
    size_t function_count;
    const struct synk_bytes *tags;
    size_t tag_count;
    const struct refused_plugin_text *refused; /* plugins that the host did not load */
    size_t refused_count;
    uint64_t home; /* random, kept in the host's directory; 0 = unknown */
};
void msg_hello_encode(const struct msg_hello *hello, struct buf *out);
enum synk_status msg_hello_decode(struct synk_bytes body, struct arena *arena,
                                  struct msg_hello *ret_hello, struct synk_error *error);

/* WELCOME: the terms. */
struct msg_welcome {
    uint32_t heartbeat_ms, silence_ms; /* how often, and after how long a host reconnects */
};
void msg_welcome_encode(const struct msg_welcome *welcome, struct buf *out);
enum synk_status msg_welcome_decode(struct synk_bytes body, struct msg_welcome *ret_welcome,
                                    struct synk_error *error);

/* What a reported attempt came to. */
enum outcome {
    OUTCOME_SUCCEEDED,
    OUTCOME_FAILED,    /* the function returned an error, the command another status than 0 */
    OUTCOME_TIMED_OUT, /* killed at its deadline, seen dead */
    OUTCOME_CANCELLED, /* killed by a cancel, or never started because of one */
    OUTCOME_CRASHED,   /* its runner died under it */
};
enum report_kind { REPORT_RESULT, REPORT_MILESTONE };

/* One item of REPORT, which is kept by the host until acknowledged. */
struct msg_report {
    enum report_kind kind;
    struct attempt_id id;
    /* result */
    enum outcome outcome;
    int64_t started_at, ended_at; /* ms since the epoch, this host's clock; 0 = never started */
    int64_t execution_us;
    int32_t exit_status;                     /* -1 = none */
    int32_t signal;                          /* 0 = none */
    int64_t user_us, system_us, max_rss_kib; /* -1 = unknown */
    struct synk_bytes result;                /* encoded; size 0 = null */
    struct synk_bytes error;                 /* text; size 0 = none */
    /* milestone */
    struct synk_bytes name, payload; /* payload encoded */
    int64_t at;
};
/* Appends one item (an array); REPORT's body is made of items with msg_reports_wrap. */
void msg_report_encode(const struct msg_report *report, struct buf *out);
/* Wraps `count` encoded items as the body {"items": […]}. The header's sequence is the first item's
 * number; items are numbered one by one in each host instance, from 1. */
void msg_reports_wrap(struct synk_bytes items, size_t count, struct buf *out);
enum synk_status msg_reports_decode(struct synk_bytes body, struct arena *arena,
                                    struct msg_report **ret_reports, size_t *ret_count,
                                    struct synk_error *error);

/* Attempts named in SYNC, STARTED, REJECT, CANCEL_ATTEMPT, RECALL, PROGRESS: one item each. */
enum attempt_phase { PHASE_QUEUED, PHASE_RUNNING };
struct msg_attempt {
    struct attempt_id id;
    enum attempt_phase phase; /* SYNC */
    int64_t at;               /* SYNC, STARTED: when it started; 0 = not yet */
    double progress;          /* PROGRESS: 0 to 1 */
    struct synk_bytes reason; /* REJECT (why), CANCEL_ATTEMPT ("timeout", "cancel", …) */
};
/* {"items": […], "last": bool}. SYNC comes in parts; `last` ends it. */
void msg_attempts_encode(const struct msg_attempt *attempts, size_t count, bool last,
                         struct buf *out);
enum synk_status msg_attempts_decode(struct synk_bytes body, struct arena *arena,
                                     struct msg_attempt **ret_attempts, size_t *ret_count,
                                     bool *ret_last, struct synk_error *error);

/* What tasks of one worker have in common, said once a message. */
struct msg_spec {
    struct synk_bytes unit;
    uint64_t run_number; /* N of UNIT#N */
    struct synk_bytes function;
    struct synk_bytes payload;               /* encoded, templates expanded */
    struct synk_bytes params;                /* encoded */
    int64_t timeout_ms, progress_timeout_ms; /* 0 = none */
};
struct msg_input {
    struct synk_bytes name; /* the parent's worker id */
    uint32_t value;         /* index into the third frame's array */
};
struct msg_task {
    struct attempt_id id;
    uint32_t spec;            /* index into specs */
    struct synk_bytes worker; /* size 0 = a pool task without a name */
    struct synk_bytes params; /* encoded; size 0 = the spec's */
    const struct msg_input *inputs;
    size_t input_count;
};
struct msg_dispatch {
    const struct msg_spec *specs;
    size_t spec_count;
    const struct msg_task *tasks;
    size_t task_count;
};
void msg_spec_encode(const struct msg_spec *spec, struct buf *out); /* one item */
void msg_task_encode(const struct msg_task *task, struct buf *out); /* one item */
void msg_dispatch_wrap(struct synk_bytes specs, size_t spec_count, struct synk_bytes tasks,
                       size_t task_count, struct buf *out);
enum synk_status msg_dispatch_decode(struct synk_bytes body, struct arena *arena,
                                     struct msg_dispatch *ret_dispatch, struct synk_error *error);
/* The third frame: an array of opaque values. */
enum synk_status msg_values_decode(struct synk_bytes frame, struct arena *arena,
                                   struct synk_bytes **ret_values, size_t *ret_count,
                                   struct synk_error *error);

/* HEARTBEAT: how a host is. Answered by ALIVE with an empty map. */
struct msg_heartbeat {
    uint32_t running, queued;
    uint64_t unacknowledged; /* report items */
    int64_t rss_kib, cpu_us; /* host and runners */
    bool draining;           /* it starts nothing any more */
};
void msg_heartbeat_encode(const struct msg_heartbeat *heartbeat, struct buf *out);
enum synk_status msg_heartbeat_decode(struct synk_bytes body, struct msg_heartbeat *ret_heartbeat,
                                      struct synk_error *error);

/* ACK: all report items up to and with this number are durable. */
void msg_ack_encode(uint64_t upto, struct buf *out);
enum synk_status msg_ack_decode(struct synk_bytes body, uint64_t *ret_upto,
                                struct synk_error *error);

/* LOG_READ and LOG_DATA: a piece of an attempt's log. attempt 0 = the latest. */
struct msg_log {
    uint64_t request;
    uint64_t run;
    uint32_t task, attempt;
    uint64_t offset, max_bytes;
    struct synk_bytes data;  /* LOG_DATA */
    uint64_t size;           /* of the log so far */
    bool complete;           /* no more will be written */
    struct synk_bytes error; /* size 0 = none */
};
void msg_log_encode(const struct msg_log *log, struct buf *out);
enum synk_status msg_log_decode(struct synk_bytes body, struct msg_log *ret_log,
                                struct synk_error *error);

/* ERROR: {status, text, retryAfterMs}. */
void msg_error_encode(const struct synk_error *error, int64_t retry_after_ms, struct buf *out);

#endif
