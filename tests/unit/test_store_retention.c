/* What the store removes when it is told what may go: the oldest, nothing unfinished, in bounded
 * slices, and at the writer's leisure. */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/value.h"
#include "supervisor/core/states.h"
#include "supervisor/store/sqlite.h"
#include "supervisor/store/writer.h"
#include "tests/support/unit.h"

struct fixture {
    struct sqlite *sqlite;
    struct batch batch;
    int slices;
};

static void begin(struct fixture *fixture)
{
    void *backend = NULL;
    *fixture = (struct fixture){0};
    if (memory_store_ops.open("", &backend, NULL) != SYNK_OK)
        abort();
    fixture->sqlite = backend;
    batch_init(&fixture->batch);
}

static void end(struct fixture *fixture)
{
    batch_fini(&fixture->batch);
    memory_store_ops.close(fixture->sqlite);
}

static void commit(struct fixture *fixture)
{
    CU_ASSERT_EQUAL(memory_store_ops.commit(fixture->sqlite, &fixture->batch, NULL), SYNK_OK);
    batch_clear(&fixture->batch);
}

/* Commits what is in the batch with these bounds. */
static void retain(struct fixture *fixture, struct retention bounds)
{
    fixture->batch.retains = true;
    fixture->batch.retention = bounds;
    commit(fixture);
}

static void rest(struct fixture *fixture)
{
    fixture->slices = 1;
    while (memory_store_ops.upkeep(fixture->sqlite, true))
        fixture->slices++;
}

/* A query's first column, its rows joined by spaces. */
static const char *rows(const struct fixture *fixture, const char *sql)
{
    static char text[512];
    sqlite3_stmt *statement = NULL;
    size_t used = 0;
    text[0] = '\0';
    if (sqlite3_prepare_v2(fixture->sqlite->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return sqlite3_errmsg(fixture->sqlite->db);
    while (sqlite3_step(statement) == SQLITE_ROW && used < sizeof(text))
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", used ? " " : "",
                                 (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    return text;
}

#define ROWS(sql, expected) CU_ASSERT_STRING_EQUAL(rows(&fixture, sql), expected)

static void add_run(struct fixture *fixture, uint64_t run, uint32_t version, enum run_status status,
                    int64_t ended_at)
{
    struct record *record = batch_add(&fixture->batch, RECORD_RUN);
    record->run = (struct run_record){.run = run,
                                      .unit = bytes_str("p"),
                                      .number = run,
                                      .version = version,
                                      .status = (uint8_t)status,
                                      .ended_at = ended_at};
}

static void add_tasks(struct fixture *fixture, uint64_t run, uint32_t count,
                      struct synk_bytes result)
{
    for (uint32_t i = 0; i < count; i++) {
        struct record *record = batch_add(&fixture->batch, RECORD_TASK);
        record->task = (struct task_record){
            .run = run, .task = i, .state = TASK_SUCCEEDED, .attempts = 1, .result = result};
        record = batch_add(&fixture->batch, RECORD_ATTEMPT);
        record->attempt = (struct attempt_record){.run = run, .task = i, .attempt = 1};
    }
}

static void add_version(struct fixture *fixture, uint32_t version, uint32_t workers)
{
    struct record *record = batch_add(&fixture->batch, RECORD_DEFINITION);
    record->definition =
        (struct definition_record){bytes_str("p"), version, workers, bytes_str("header")};
    for (uint32_t i = 0; i < workers; i++) {
        record = batch_add(&fixture->batch, RECORD_WORKER);
        record->worker = (struct worker_record){bytes_str("p"), version, i, bytes_str("body")};
    }
    record = batch_add(&fixture->batch, RECORD_UNIT);
    record->unit = (struct unit_record){.id = bytes_str("p"), .version = version};
}

static void commit_events(struct fixture *fixture, uint64_t first, uint32_t count, int64_t at)
{
    fixture->batch.first_event = first;
    fixture->batch.event_count = count;
    fixture->batch.at = at;
    buf_append(&fixture->batch.events, "events", 6);
    commit(fixture);
}

static void runs_go_by_count_in_the_order_of_their_ends(void)
{
    struct fixture fixture;
    begin(&fixture);
    add_run(&fixture, 1, 1, RUN_RUNNING, 0);
    add_run(&fixture, 2, 1, RUN_SUCCEEDED, 900);
    add_run(&fixture, 3, 1, RUN_FAILED, 100);
    add_run(&fixture, 4, 1, RUN_SKIPPED, 300);
    add_run(&fixture, 5, 1, RUN_QUEUED, 0);
    add_run(&fixture, 6, 1, RUN_CANCELLED, 300);
    retain(&fixture, (struct retention){.keep_runs = 2});
    /* At once, though their tasks follow. */
    ROWS("SELECT run FROM runs ORDER BY run", "1 2 5 6");
    rest(&fixture);
    ROWS("SELECT run FROM runs ORDER BY run", "1 2 5 6");
    /* What ends in the very batch counts; what goes on again does not. */
    add_run(&fixture, 1, 1, RUN_SUCCEEDED, 1000);
    add_run(&fixture, 2, 1, RUN_RUNNING, 0);
    retain(&fixture, (struct retention){.keep_runs = 1});
    ROWS("SELECT run FROM runs ORDER BY run", "1 2 5");
    CU_ASSERT_EQUAL(fixture.sqlite->removal.finished_runs, 1);
    end(&fixture);
}

static void runs_go_by_age(void)
{
    struct fixture fixture;
    begin(&fixture);
    for (uint64_t run = 1; run <= 5; run++) {
        add_run(&fixture, run, 0, run == 2 ? RUN_RUNNING : RUN_SUCCEEDED,
                run == 2 ? 0 : (int64_t)run * 100);
        add_tasks(&fixture, run, 2, bytes_str("r"));
    }
    retain(&fixture, (struct retention){.runs_before = 400});
    ROWS("SELECT run FROM runs ORDER BY run", "2 4 5");
    rest(&fixture);
    ROWS("SELECT DISTINCT run FROM tasks", "2 4 5");
    ROWS("SELECT DISTINCT run FROM attempts", "2 4 5");
    ROWS("SELECT count(*) FROM removed_runs", "0");
    /* Without a bound all stay. */
    retain(&fixture, (struct retention){0});
    rest(&fixture);
    ROWS("SELECT run FROM runs ORDER BY run", "2 4 5");
    end(&fixture);
}

static void a_large_run_goes_in_slices(void)
{
    enum { TASKS = 12000 };
    struct fixture fixture;
    begin(&fixture);
    add_run(&fixture, 1, 0, RUN_SUCCEEDED, 100);
    add_tasks(&fixture, 1, TASKS, bytes_of(NULL, 0));
    retain(&fixture, (struct retention){.runs_before = 200});
    struct query query = {.kind = QUERY_RUN, .run = 1};
    struct arena arena = {0};
    struct buf body = {0};
    struct store_answer answer = {0};
    CU_ASSERT_EQUAL(sqlite_query(fixture.sqlite, &query, &arena, &body, &answer, NULL),
                    SYNK_NOT_FOUND);
    ROWS("SELECT count(*) FROM tasks", "12000");
    int left = TASKS;
    while (memory_store_ops.upkeep(fixture.sqlite, true)) {
        int now = atoi(rows(&fixture, "SELECT count(*) FROM tasks"));
        CU_ASSERT(left - now <= 5000);
        left = now;
        fixture.slices++;
    }
    CU_ASSERT(fixture.slices >= 4);
    ROWS("SELECT (SELECT count(*) FROM tasks) + (SELECT count(*) FROM attempts)", "0");
    buf_fini(&body);
    arena_fini(&arena);
    end(&fixture);
}

static void a_slice_is_bounded_in_bytes(void)
{
    struct fixture fixture;
    begin(&fixture);
    char *result = mem_zalloc(1, 1 << 20);
    add_run(&fixture, 1, 0, RUN_SUCCEEDED, 100);
    add_tasks(&fixture, 1, 10, bytes_of(result, 1 << 20));
    retain(&fixture, (struct retention){.runs_before = 200});
    CU_ASSERT(memory_store_ops.upkeep(fixture.sqlite, true));
    ROWS("SELECT count(*) FROM tasks", "8");
    rest(&fixture);
    ROWS("SELECT count(*) FROM tasks", "0");
    free(result);
    end(&fixture);
}

static void under_load_slices_come_seldom_and_come(void)
{
    struct fixture fixture;
    begin(&fixture);
    add_run(&fixture, 1, 0, RUN_SUCCEEDED, 100);
    add_tasks(&fixture, 1, 1, bytes_str("r"));
    retain(&fixture, (struct retention){.runs_before = 200});
    int turns = 0;
    while (memory_store_ops.upkeep(fixture.sqlite, false) && turns < 1000)
        turns++;
    CU_ASSERT(turns > 5 && turns < 100);
    ROWS("SELECT count(*) FROM tasks", "0");
    end(&fixture);
}

static void versions_go_when_no_run_is_left_that_needs_them(void)
{
    struct fixture fixture;
    begin(&fixture);
    for (uint32_t version = 1; version <= 4; version++) {
        add_version(&fixture, version, 6000);
        add_run(&fixture, version, version, version == 2 ? RUN_RUNNING : RUN_SUCCEEDED,
                version == 2 ? 0 : version * 100);
        commit(&fixture);
    }
    retain(&fixture, (struct retention){0});
    rest(&fixture);
    ROWS("SELECT version FROM definitions", "1 2 3 4");
    retain(&fixture, (struct retention){.runs_before = 200});
    rest(&fixture);
    ROWS("SELECT version FROM definitions", "2 3 4");
    ROWS("SELECT DISTINCT version FROM workers", "2 3 4");
    CU_ASSERT(fixture.slices > 1);
    /* The version in force stays without any run. */
    retain(&fixture, (struct retention){.runs_before = 1000});
    rest(&fixture);
    ROWS("SELECT version FROM definitions", "2 4");
    struct record *record = batch_add(&fixture.batch, RECORD_UNIT);
    record->remove = true;
    record->unit.id = bytes_str("p");
    add_run(&fixture, 2, 2, RUN_FAILED, 2000);
    retain(&fixture, (struct retention){0});
    rest(&fixture);
    ROWS("SELECT version FROM definitions", "2");
    end(&fixture);
}

static void what_stays_of_a_released_unit_goes_with_its_last_run_and_event(void)
{
    struct fixture fixture;
    begin(&fixture);
    add_run(&fixture, 1, 0, RUN_SUCCEEDED, 100);
    static const char *const others[] = {"pool", "q/paused"};
    for (size_t i = 0; i < 2; i++)
        batch_add(&fixture.batch, RECORD_UNIT)->unit =
            (struct unit_record){.id = bytes_str(others[i]), .enabled = true, .paused = i == 1};
    batch_add(&fixture.batch, RECORD_UNIT)->unit = (struct unit_record){
        .id = bytes_str("p"), .enabled = true, .last_number = 7, .due_at = 150};
    commit_events(&fixture, 1, 10, 150);
    commit_events(&fixture, 11, 10, 300);
    retain(&fixture, (struct retention){.events_before = 200});
    rest(&fixture);
    ROWS("SELECT id FROM units", "p pool q/paused"); /* its run is there */
    end(&fixture);

    begin(&fixture);
    batch_add(&fixture.batch, RECORD_UNIT)->unit = (struct unit_record){
        .id = bytes_str("p"), .enabled = true, .last_number = 7, .due_at = 150};
    commit_events(&fixture, 1, 10, 150);
    commit_events(&fixture, 11, 10, 300);
    retain(&fixture, (struct retention){.runs_before = 200});
    rest(&fixture);
    ROWS("SELECT last_number FROM units", "7"); /* its events are there */
    retain(&fixture, (struct retention){.events_before = 200});
    rest(&fixture);
    ROWS("SELECT id FROM units", "");
    end(&fixture);
}

/* ---- QUERY_PRUNE ---- */

struct pruned {
    sem_t woken;
    int answers;
    struct store_answer answer;
};

static void wake_pruned(void *context)
{
    sem_post(&((struct pruned *)context)->woken);
}

static void note_pruned(void *context, const struct query *query, const struct store_answer *answer)
{
    struct pruned *pruned = context;
    CU_ASSERT_EQUAL(query->kind, QUERY_PRUNE);
    pruned->answers++;
    pruned->answer = *answer;
}

static void note_commit(void *context, enum synk_status status, const struct synk_error *error,
                        int64_t commit_us)
{
    (void)context, (void)error, (void)commit_us;
    CU_ASSERT_EQUAL(status, SYNK_OK);
}

static void prune_is_answered_at_its_end(void)
{
    struct fixture fixture = {0};
    struct pruned pruned = {0};
    struct store *store = NULL;
    sem_init(&pruned.woken, 0, 0);
    struct store_options options = {.uri = "memory:", .wake = wake_pruned, .wake_context = &pruned};
    CU_ASSERT_EQUAL_FATAL(store_open(&options, &store, NULL), SYNK_OK);
    batch_init(&fixture.batch);
    for (uint64_t run = 1; run <= 4; run++) {
        add_run(&fixture, run, 0, RUN_SUCCEEDED, (int64_t)run);
        add_tasks(&fixture, run, 4000, (struct synk_bytes){0}); /* more than a slice takes */
    }
    fixture.batch.first_event = 1;
    fixture.batch.event_count = 30;
    buf_append(&fixture.batch.events, "x", 1);
    store_commit(store, &fixture.batch, note_commit, NULL);
    struct batch bounds;
    batch_init(&bounds);
    bounds.retains = true;
    bounds.retention =
        (struct retention){.keep_runs = 1, .events_before = INT64_MAX, .counts = true};
    store_commit(store, &bounds, note_commit, NULL);
    struct query query = {.kind = QUERY_PRUNE};
    store_query(store, &query, note_pruned, &pruned);
    while (!pruned.answers) {
        while (sem_wait(&pruned.woken) != 0)
            ;
        store_complete(store);
    }
    CU_ASSERT_EQUAL(pruned.answer.status, SYNK_OK);
    CU_ASSERT_EQUAL(pruned.answer.removed_runs, 3);
    CU_ASSERT_EQUAL(pruned.answer.removed_events, 30);
    store_close(store);
    batch_fini(&bounds);
    batch_fini(&fixture.batch);
    sem_destroy(&pruned.woken);
}

static enum synk_status ask(struct fixture *fixture, const struct query *query,
                            struct store_answer *ret_answer)
{
    struct arena arena = {0};
    struct buf body = {0};
    *ret_answer = (struct store_answer){0};
    enum synk_status status = memory_store_ops.query(fixture->sqlite, query, &arena, &body,
                                                     ret_answer, &ret_answer->error);
    arena_fini(&arena);
    buf_fini(&body);
    return status;
}

/* The run that is being loaded may be about to go on. */
static void prune_waits_while_a_run_is_loaded(void)
{
    struct fixture fixture;
    struct store_answer answer;
    struct query load = {.kind = QUERY_LOAD_RUN, .run = 1199}, prune = {.kind = QUERY_PRUNE};
    begin(&fixture);
    for (uint64_t run = 1; run <= 1200; run++)
        add_run(&fixture, run, 0, RUN_SUCCEEDED, (int64_t)run);
    retain(&fixture, (struct retention){.keep_runs = 10, .counts = true});
    CU_ASSERT_EQUAL(ask(&fixture, &load, &answer), SYNK_OK);
    rest(&fixture);
    CU_ASSERT_EQUAL(ask(&fixture, &prune, &answer), SYNK_BUSY);
    retain(&fixture, (struct retention){.keep_runs = 10});
    CU_ASSERT_EQUAL(ask(&fixture, &prune, &answer), SYNK_BUSY);
    rest(&fixture);
    CU_ASSERT_EQUAL(ask(&fixture, &prune, &answer), SYNK_OK);
    CU_ASSERT_EQUAL(answer.removed_runs, 1190);
    end(&fixture);
}

/* One that cannot be answered any more. */
static void closing_does_not_wait_for_a_prune(void)
{
    struct pruned pruned = {0};
    struct store *store = NULL;
    struct fixture fixture = {0};
    sem_init(&pruned.woken, 0, 0);
    struct store_options options = {.uri = "memory:", .wake = wake_pruned, .wake_context = &pruned};
    CU_ASSERT_EQUAL_FATAL(store_open(&options, &store, NULL), SYNK_OK);
    batch_init(&fixture.batch);
    for (uint64_t run = 1; run <= 1200; run++)
        add_run(&fixture, run, 0, RUN_SUCCEEDED, (int64_t)run);
    fixture.batch.retains = true;
    fixture.batch.retention = (struct retention){.keep_runs = 10, .counts = true};
    store_commit(store, &fixture.batch, note_commit, NULL);
    struct query query = {.kind = QUERY_PRUNE};
    store_query(store, &query, note_pruned, &pruned);
    store_close(store);
    CU_ASSERT(pruned.answers <= 1);
    batch_fini(&fixture.batch);
    sem_destroy(&pruned.woken);
}

static void events_go_by_age_and_by_count(void)
{
    struct fixture fixture;
    uint64_t first = 0, last = 0;
    begin(&fixture);
    for (uint64_t i = 0; i < 10; i++)
        commit_events(&fixture, 1 + i * 10, 10, 100 * (int64_t)i);
    retain(&fixture, (struct retention){.events_before = 250});
    rest(&fixture);
    sqlite_event_bounds(fixture.sqlite, &first, &last, NULL);
    CU_ASSERT_EQUAL(first, 31);
    CU_ASSERT_EQUAL(last, 100);
    /* Never fewer than told: batches go whole. */
    retain(&fixture, (struct retention){.keep_events = 25});
    rest(&fixture);
    sqlite_event_bounds(fixture.sqlite, &first, &last, NULL);
    CU_ASSERT_EQUAL(first, 71);
    retain(&fixture, (struct retention){.events_before = 100000});
    rest(&fixture);
    sqlite_event_bounds(fixture.sqlite, &first, &last, NULL);
    CU_ASSERT_EQUAL(first, 101);
    CU_ASSERT_EQUAL(last, 100);
    /* Nothing to read, and where to go on. */
    struct query query = {.kind = QUERY_EVENTS, .from_event = 12};
    struct arena arena = {0};
    struct buf body = {0};
    struct store_answer answer = {0};
    CU_ASSERT_EQUAL(sqlite_query(fixture.sqlite, &query, &arena, &body, &answer, NULL), SYNK_OK);
    struct synk_document *document = NULL;
    CU_ASSERT_EQUAL(synk_document_decode(buf_bytes(&body), &document, NULL), SYNK_OK);
    const struct synk_value *root = synk_document_root(document);
    CU_ASSERT_EQUAL(synk_value_int(synk_value_get(root, "first"), 0), 101);
    CU_ASSERT_EQUAL(synk_value_int(synk_value_get(root, "next"), 0), 100);
    synk_document_free(document);
    buf_fini(&body);
    arena_fini(&arena);
    end(&fixture);
}

static void a_run_that_is_being_loaded_is_not_taken(void)
{
    enum { RUNS = 1200 };
    struct fixture fixture;
    begin(&fixture);
    for (uint64_t run = 1; run <= RUNS; run++)
        add_run(&fixture, run, 0, RUN_SUCCEEDED, (int64_t)run);
    retain(&fixture, (struct retention){.keep_runs = 1});
    int before = atoi(rows(&fixture, "SELECT count(*) FROM runs"));
    CU_ASSERT(before > 1 && before < RUNS);
    struct query query = {.kind = QUERY_LOAD_RUN, .run = RUNS - 1};
    struct arena arena = {0};
    struct buf body = {0};
    struct store_answer answer = {0};
    CU_ASSERT_EQUAL(sqlite_query(fixture.sqlite, &query, &arena, &body, &answer, NULL), SYNK_OK);
    rest(&fixture);
    CU_ASSERT_EQUAL(atoi(rows(&fixture, "SELECT count(*) FROM runs")), before);
    add_run(&fixture, RUNS - 1, 0, RUN_RUNNING, 0);
    retain(&fixture, (struct retention){.keep_runs = 1});
    rest(&fixture);
    ROWS("SELECT run FROM runs", "1199 1200");
    arena_fini(&arena);
    buf_fini(&body);
    end(&fixture);
}

static void a_commit_that_fails_removes_nothing(void)
{
    void *backend = NULL;
    struct fixture fixture = {0};
    if (memory_store_ops.open("?max_pages=64", &backend, NULL) != SYNK_OK)
        abort();
    fixture.sqlite = backend;
    batch_init(&fixture.batch);
    add_run(&fixture, 1, 0, RUN_SUCCEEDED, 1);
    add_run(&fixture, 2, 0, RUN_SUCCEEDED, 2);
    commit(&fixture);
    char *result = mem_zalloc(1, 1 << 20);
    add_tasks(&fixture, 2, 1, bytes_of(result, 1 << 20));
    add_run(&fixture, 3, 0, RUN_SUCCEEDED, 3);
    fixture.batch.retains = true;
    fixture.batch.retention = (struct retention){.keep_runs = 1};
    CU_ASSERT_EQUAL(memory_store_ops.commit(backend, &fixture.batch, NULL), SYNK_STORE_DOWN);
    CU_ASSERT_EQUAL(fixture.sqlite->removal.finished_runs, 2);
    CU_ASSERT_FALSE(memory_store_ops.upkeep(backend, true));
    ROWS("SELECT run FROM runs", "1 2");
    free(result);
    end(&fixture);
}

static void what_was_left_goes_after_a_restart(void)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/state.db", unit_directory());
    struct fixture fixture = {0};
    void *backend = NULL;
    CU_ASSERT_EQUAL(sqlite_store_ops.open(path, &backend, NULL), SYNK_OK);
    fixture.sqlite = backend;
    batch_init(&fixture.batch);
    add_run(&fixture, 1, 0, RUN_SUCCEEDED, 100);
    add_run(&fixture, 2, 0, RUN_SUCCEEDED, 200);
    add_tasks(&fixture, 1, 50, bytes_str("r"));
    fixture.batch.retains = true;
    fixture.batch.retention = (struct retention){.keep_runs = 1};
    CU_ASSERT_EQUAL(sqlite_store_ops.commit(backend, &fixture.batch, NULL), SYNK_OK);
    sqlite_store_ops.close(backend);
    CU_ASSERT_EQUAL(sqlite_store_ops.open(path, &backend, NULL), SYNK_OK);
    fixture.sqlite = backend;
    CU_ASSERT_EQUAL(fixture.sqlite->removal.finished_runs, 1);
    ROWS("SELECT count(*) FROM tasks", "50");
    while (sqlite_store_ops.upkeep(backend, true))
        ;
    ROWS("SELECT count(*) FROM tasks", "0");
    batch_fini(&fixture.batch);
    sqlite_store_ops.close(backend);
}

/* ---- the writer's leisure ---- */

/* A backend that counts. */
struct busy {
    sem_t upkept;
    atomic_int upkeeps;
};

static enum synk_status no_commit(void *backend, const struct batch *batch,
                                  struct synk_error *error)
{
    (void)backend, (void)batch, (void)error;
    return SYNK_OK;
}

static bool endless_upkeep(void *backend, bool idle)
{
    struct busy *busy = backend;
    (void)idle;
    atomic_fetch_add(&busy->upkeeps, 1);
    sem_post(&busy->upkept);
    return true;
}

static void ignore_commit(void *context, enum synk_status status, const struct synk_error *error,
                          int64_t commit_us)
{
    (void)context, (void)status, (void)error, (void)commit_us;
}

static void the_writer_goes_on_while_idle_and_rests_when_told(void)
{
    static const struct store_ops ops = {.commit = no_commit, .upkeep = endless_upkeep};
    struct busy busy = {0};
    struct writer *writer = NULL;
    struct batch batch;
    batch_init(&batch);
    sem_init(&busy.upkept, 0, 0);
    CU_ASSERT_EQUAL(writer_new(&ops, &busy, NULL, NULL, &writer, NULL), SYNK_OK);
    for (int round = 0; round < 3; round++) {
        writer_commit(writer, &batch, ignore_commit, NULL);
        for (int i = 0; i < 20; i++)
            while (sem_wait(&busy.upkept) != 0)
                ;
        writer_quiesce(writer);
        int before = atomic_load(&busy.upkeeps);
        writer_quiesce(writer);
        CU_ASSERT_EQUAL(atomic_load(&busy.upkeeps), before);
        writer_complete(writer);
    }
    writer_free(writer);
    sem_destroy(&busy.upkept);
    batch_fini(&batch);
}

int main(int argc, char **argv)
{
#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
    static const struct unit_case cases[] = {
        CASE(runs_go_by_count_in_the_order_of_their_ends),
        CASE(runs_go_by_age),
        CASE(a_large_run_goes_in_slices),
        CASE(a_slice_is_bounded_in_bytes),
        CASE(under_load_slices_come_seldom_and_come),
        CASE(versions_go_when_no_run_is_left_that_needs_them),
        CASE(what_stays_of_a_released_unit_goes_with_its_last_run_and_event),
        CASE(prune_is_answered_at_its_end),
        CASE(prune_waits_while_a_run_is_loaded),
        CASE(closing_does_not_wait_for_a_prune),
        CASE(events_go_by_age_and_by_count),
        CASE(a_run_that_is_being_loaded_is_not_taken),
        CASE(a_commit_that_fails_removes_nothing),
        CASE(what_was_left_goes_after_a_restart),
        CASE(the_writer_goes_on_while_idle_and_rests_when_told),
        {NULL, NULL},
    };
    return unit_main(argc, argv, "store-retention", cases);
}
