/*
 * Copying and checking a state by its URI, with nobody else at it.
 *
 * A check reads twice: first to find what a supervisor would load, then to give that to an engine,
 * whose checks are those of every start.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/limits.h"
#include "supervisor/core/engine.h"
#include "supervisor/core/states.h"
#include "supervisor/store/backend.h"
#include "supervisor/store/store_copy.h"

struct opened {
    const struct store_ops *ops;
    void *backend;
};

static void close_it(struct opened *opened)
{
    if (opened->backend)
        opened->ops->close(opened->backend);
    *opened = (struct opened){NULL, NULL};
}

/* Opens it for us alone. */
static enum synk_status open_it(const char *uri, struct opened *ret_opened,
                                struct synk_error *error)
{
    uint32_t epoch;
    struct opened opened = {store_find_ops(uri), NULL};
    if (!opened.ops || opened.ops == &memory_store_ops)
        return status_fail(error, SYNK_INVALID,
                           "'%s': not a state that lasts; use sqlite:PATH or redis://…", uri);
    enum synk_status status =
        opened.ops->open(uri + strlen(opened.ops->scheme), &opened.backend, error);
    if (!status && opened.ops->lease_acquire)
        status = opened.ops->lease_acquire(opened.backend, 0, &epoch, NULL, error);
    if (status) {
        close_it(&opened);
        return status;
    }
    *ret_opened = opened;
    return SYNK_OK;
}

static void report_counts(const struct store_counts *counts, struct store_report *report)
{
    report->units = counts->records[RECORD_UNIT];
    report->definitions = counts->records[RECORD_DEFINITION];
    report->workers = counts->records[RECORD_WORKER];
    report->hosts = counts->records[RECORD_HOST];
    report->keys = counts->records[RECORD_KEY];
    report->runs = counts->records[RECORD_RUN];
    report->tasks = counts->records[RECORD_TASK];
    report->attempts = counts->records[RECORD_ATTEMPT];
    report->events = counts->events;
    report->bad = counts->bad;
}

enum synk_status store_copy(const char *from, const char *to, struct store_report *ret_report,
                            struct synk_error *error)
{
    struct opened source = {NULL, NULL}, target = {NULL, NULL};
    struct store_counts counts = {.bad = 0};
    struct store_report report = {.bad = 0};
    enum synk_status status = open_it(from, &source, error);
    if (!status)
        status = open_it(to, &target, error);
    if (!status)
        status = store_copy_backend(source.ops, source.backend, target.ops, target.backend, &counts,
                                    error);
    if (!status)
        status = target.ops->get_marks(target.backend, &report.epoch, &report.last_event, error);
    close_it(&source);
    close_it(&target);
    if (status) {
        status_prefix(error, "copying '%s' to '%s'", from, to);
        return status;
    }
    report_counts(&counts, &report);
    *ret_report = report;
    return SYNK_OK;
}

struct needed {
    struct synk_bytes unit;
    uint32_t version;
};

struct checking {
    struct engine *engine;
    struct arena arena;
    struct store_counts counts;
    struct store_report report;
    struct needed *needed;
    size_t needed_count, needed_capacity;
    uint64_t *live, *finished; /* ascending */
    size_t live_count, live_capacity, finished_count, finished_capacity;
    uint64_t first_finished; /* of those that are loaded */
};

static int by_needed(const void *a, const void *b)
{
    const struct needed *x = a, *y = b;
    size_t least = x->unit.size < y->unit.size ? x->unit.size : y->unit.size;
    int order = least ? memcmp(x->unit.data, y->unit.data, least) : 0;
    if (!order)
        order = (x->unit.size > y->unit.size) - (x->unit.size < y->unit.size);
    return order ? order : (x->version > y->version) - (x->version < y->version);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void need(struct checking *checking, struct synk_bytes unit, uint32_t version)
{
    checking->needed = mem_grow(checking->needed, &checking->needed_capacity,
                                checking->needed_count + 1, sizeof(*checking->needed));
    checking->needed[checking->needed_count++] =
        (struct needed){arena_copy(&checking->arena, unit), version};
}

static void add_run(uint64_t **runs, size_t *count, size_t *capacity, uint64_t run)
{
    *runs = mem_grow(*runs, capacity, *count + 1, sizeof(**runs));
    (*runs)[(*count)++] = run;
}

static enum synk_status count_record(void *context, const struct record *record,
                                     struct synk_error *error)
{
    (void)error;
    struct checking *checking = context;
    checking->counts.records[record->kind]++;
    if (record->kind == RECORD_UNIT)
        need(checking, record->unit.id, record->unit.version);
    if (record->kind != RECORD_RUN)
        return SYNK_OK;
    if (run_status_is_final(record->run.status)) {
        add_run(&checking->finished, &checking->finished_count, &checking->finished_capacity,
                record->run.run);
    } else {
        add_run(&checking->live, &checking->live_count, &checking->live_capacity, record->run.run);
        need(checking, record->run.unit, record->run.version);
    }
    return SYNK_OK;
}

static enum synk_status count_events(void *context, uint64_t first, uint32_t count, int64_t at,
                                     struct synk_bytes items, struct synk_error *error)
{
    (void)first, (void)at, (void)items, (void)error;
    ((struct checking *)context)->counts.events += count;
    return SYNK_OK;
}

static bool is_loaded(const struct checking *checking, const struct record *record)
{
    struct needed version;
    uint64_t run;
    switch (record->kind) {
    case RECORD_DEFINITION:
        version = (struct needed){record->definition.unit, record->definition.version};
        break;
    case RECORD_WORKER:
        version = (struct needed){record->worker.unit, record->worker.version};
        break;
    case RECORD_RUN:
        return !run_status_is_final(record->run.status) ||
               record->run.run >= checking->first_finished;
    case RECORD_TASK:
        run = record->task.run;
        return checking->live_count &&
               bsearch(&run, checking->live, checking->live_count, sizeof(run), by_number);
    case RECORD_ATTEMPT:
        return false;
    default:
        return true;
    }
    return checking->needed_count &&
           bsearch(&version, checking->needed, checking->needed_count, sizeof(version), by_needed);
}

static enum synk_status give_engine(void *context, const struct record *record,
                                    struct synk_error *error)
{
    (void)error;
    struct checking *checking = context;
    struct synk_error why = {SYNK_OK, ""};
    if (!is_loaded(checking, record) || engine_load(checking->engine, record, &why) == SYNK_OK)
        return SYNK_OK;
    if (checking->report.left_out++ == 0)
        snprintf(checking->report.first_bad, sizeof(checking->report.first_bad), "%.*s",
                 (int)sizeof(checking->report.first_bad) - 1, why.text);
    return SYNK_OK;
}

static enum synk_status pass_over(void *context, uint64_t first, uint32_t count, int64_t at,
                                  struct synk_bytes items, struct synk_error *error)
{
    (void)context, (void)first, (void)count, (void)at, (void)items, (void)error;
    return SYNK_OK;
}

static void prepare(struct checking *checking)
{
    size_t kept = LIMIT_FINISHED_RUNS;
    if (checking->needed_count)
        qsort(checking->needed, checking->needed_count, sizeof(*checking->needed), by_needed);
    if (checking->live_count)
        qsort(checking->live, checking->live_count, sizeof(uint64_t), by_number);
    if (checking->finished_count)
        qsort(checking->finished, checking->finished_count, sizeof(uint64_t), by_number);
    if (checking->finished_count > kept)
        checking->first_finished = checking->finished[checking->finished_count - kept];
}

enum synk_status store_check(const char *uri, const struct expression_checker *checker,
                             struct store_report *ret_report, struct synk_error *error)
{
    struct opened opened = {NULL, NULL};
    struct checking checking = {.engine = NULL};
    struct store_visitor counter = {&checking, count_record, count_events};
    struct store_visitor giver = {&checking, give_engine, pass_over};
    struct engine_config config;
    uint64_t bad = 0;
    engine_config_defaults(&config);
    enum synk_status status = open_it(uri, &opened, error);
    if (status)
        return status;
    status = opened.ops->dump(opened.backend, &counter, &checking.counts.bad, error);
    if (!status) {
        prepare(&checking);
        checking.engine = engine_new(&config, NULL, checker, NULL);
        status = opened.ops->dump(opened.backend, &giver, &bad, error);
    }
    if (!status)
        status = opened.ops->get_marks(opened.backend, &checking.report.epoch,
                                       &checking.report.last_event, error);
    close_it(&opened);
    if (checking.engine)
        engine_free(checking.engine);
    if (!status) {
        report_counts(&checking.counts, &checking.report);
        *ret_report = checking.report;
    }
    free(checking.needed);
    free(checking.live);
    free(checking.finished);
    arena_fini(&checking.arena);
    return status;
}
