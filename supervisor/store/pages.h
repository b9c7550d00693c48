/*
 * Answers to questions, for every kind of store: pages of a run's tasks, of runs and of events, and
 * the records of one run. A store gives the rows; what is done with them is here, once.
 *
 * Private to supervisor/store. Runs on the writer's thread. Each question looks at a bounded number
 * of rows, whatever it filters for, because commits wait meanwhile: an answer may be short, or
 * empty, and still say where to go on.
 */
#ifndef STORE_PAGES_H
#define STORE_PAGES_H

#include "supervisor/store/backend.h"

/* What a step to the next row came to. */
enum page_step {
    STEP_ROW,
    STEP_BAD, /* a row that does not decode: left to the next start, which sets it aside */
    STEP_END,
    STEP_FAILED, /* the error is filled */
};

/* A packed batch of events. Bytes are good until the next step. */
struct event_row {
    uint64_t first, last;
    struct synk_bytes items;
};

/*
 * Rows of a store. One cursor of each kind may be open at a time; opening another of the kind, or
 * end_rows, ends it. Bytes of a row are good until the next step of its cursor.
 */
struct page_source {
    void *backend;
    /* The store's name in errors. */
    const char *(*name)(void *backend);
    /* The run itself; STEP_END: there is none. By internal number, or by label: number 0 is the
     * last one. */
    enum page_step (*get_run)(void *backend, uint64_t run, struct record *ret_record,
                              struct synk_error *error);
    enum page_step (*find_run)(void *backend, struct synk_bytes unit, struct synk_bytes worker,
                               uint64_t number, struct record *ret_record,
                               struct synk_error *error);
    enum page_step (*get_definition)(void *backend, struct synk_bytes unit, uint32_t version,
                                     struct record *ret_record, struct synk_error *error);
    enum page_step (*get_worker)(void *backend, struct synk_bytes unit, uint32_t version,
                                 uint32_t index, struct record *ret_record,
                                 struct synk_error *error);
    /* Workers of a version by index. */
    enum synk_status (*open_workers)(void *backend, struct synk_bytes unit, uint32_t version,
                                     struct synk_error *error);
    enum page_step (*next_worker)(void *backend, struct record *ret_record,
                                  struct synk_error *error);
    /* Tasks [from, end) of a run by index. */
    enum synk_status (*open_tasks)(void *backend, uint64_t run, uint32_t from, uint32_t end,
                                   struct synk_error *error);
    enum page_step (*next_task)(void *backend, struct record *ret_record, struct synk_error *error);
    /* Attempts of a task, the newest first. */
    enum synk_status (*open_attempts)(void *backend, uint64_t run, uint32_t task,
                                      struct synk_error *error);
    enum page_step (*next_attempt)(void *backend, struct record *ret_record,
                                   struct synk_error *error);
    /* Runs before `cursor` (0: all), the newest first; of one unit where `unit` is not empty. A bad
     * row's number is told too. */
    enum synk_status (*open_runs)(void *backend, uint64_t cursor, struct synk_bytes unit,
                                  struct synk_error *error);
    enum page_step (*next_run)(void *backend, struct record *ret_record, struct synk_error *error);
    /* Batches of events with a number above `from`, the oldest first. */
    enum synk_status (*open_events)(void *backend, uint64_t from, struct synk_error *error);
    enum page_step (*next_events)(void *backend, struct event_row *ret_row,
                                  struct synk_error *error);
    /* Number of the oldest event kept (one past the last where none is) and of the last one given.
     */
    enum synk_status (*event_bounds)(void *backend, uint64_t *ret_first, uint64_t *ret_last,
                                     struct synk_error *error);
    void (*end_rows)(void *backend);
};

/* QUERY_RUN, QUERY_RUNS, QUERY_EVENTS, QUERY_LOAD_RUN; see store_query. */
enum synk_status pages_query(const struct page_source *source, const struct query *query,
                             struct arena *arena, struct buf *body, struct store_answer *answer,
                             struct synk_error *error);

/* Parts of it, one file each. */
enum synk_status page_run(const struct page_source *source, const struct query *query,
                          struct arena *arena, struct buf *body, struct synk_error *error);
enum synk_status page_runs(const struct page_source *source, const struct query *query,
                           struct buf *body, struct synk_error *error);
enum synk_status page_events(const struct page_source *source, const struct query *query,
                             struct arena *arena, struct buf *body, struct synk_error *error);
/* The run that a question is about, its bytes in the arena. */
enum synk_status page_find_run(const struct page_source *source, const struct query *query,
                               struct arena *arena, struct run_record *ret_run,
                               struct synk_error *error);

/* Rows of a page: LIMIT_PAGE_ROWS, or fewer as asked. */
uint32_t page_rows(uint32_t asked);
/* "UNIT#N", or "UNIT/WORKER#N". */
struct synk_bytes page_run_label(const struct run_record *run, struct arena *arena);
/* "UNIT/WORKER" to its parts; worker empty where there is none. */
void page_split_unit(struct synk_bytes name, struct synk_bytes *ret_unit,
                     struct synk_bytes *ret_worker);
/* Packs text, or nil where it is empty; a time, or nil where it is 0. */
void page_pack_text(struct buf *body, const char *key, struct synk_bytes text);
void page_pack_time(struct buf *body, const char *key, int64_t time);

#endif
