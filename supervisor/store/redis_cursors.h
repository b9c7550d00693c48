/* The open cursors of a Redis store. Private to redis_source.c and redis_lists.c. */
#ifndef STORE_REDIS_CURSORS_H
#define STORE_REDIS_CURSORS_H

#include "proto/limits.h"
#include "supervisor/store/pages.h"
#include "supervisor/store/redis.h"

/* Rows by number, in chunks of one bucket. */
struct cursor {
    char name[LIMIT_ID_BYTES + 48]; /* "tasks:N", "workers:UNIT@V" */
    uint32_t next, end;             /* the rows that are not asked for yet */
    uint32_t chunk;
    uint32_t *buckets; /* NULL: any there may be, else those that there are */
    size_t bucket_count, bucket_at;
    uint32_t first; /* of the rows in the reply */
    size_t at;
    redisReply *reply;
};

struct redis_rows {
    struct cursor tasks, workers;
    struct synk_bytes worker_unit;
    char worker_unit_text[LIMIT_ID_BYTES + 1];
    uint32_t worker_version;
    uint64_t task_run;
    /* Attempts: which of 64 tasks have any, and those of one. */
    uint64_t attempts_run, attempts_mask;
    uint32_t attempts_base, attempts_task;
    bool has_mask;
    uint64_t *attempts;
    size_t attempt_count;
    redisReply *attempt_reply;
    /* Runs */
    char runs_set[LIMIT_ID_BYTES + 8];
    uint64_t runs_cursor;
    uint64_t *runs;
    size_t run_count, run_at;
    bool runs_end;
    redisReply *run_reply, *one_reply;
    /* Events */
    char events_from[40];
    redisReply *events;
    size_t event_at;
};

struct redis_rows *redis_rows_of(struct redis *redis);
/* Frees what is there and puts the reply, which may be NULL, in its place. */
void redis_set_reply(redisReply **place, redisReply *reply);

/* redis_lists.c: runs and events, as pages.h says. */
enum synk_status redis_open_runs(void *backend, uint64_t cursor, struct synk_bytes unit,
                                 struct synk_error *error);
enum page_step redis_next_run(void *backend, struct record *ret_record, struct synk_error *error);
/* Reads the replies of a list that was not read to its end: they must not be taken for the next
 * answers. */
void redis_read_rest(struct redis *redis);
enum synk_status redis_open_events(void *backend, uint64_t from, struct synk_error *error);
enum page_step redis_next_events(void *backend, struct event_row *ret_row,
                                 struct synk_error *error);

#endif
