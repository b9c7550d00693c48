/* The store behind store.h: what goes in comes out, in order, and what does not decode is set
 * aside. */
#include "supervisor/store/store.h"

#include <sys/stat.h>

#include "proto/limits.h"
#include "tests/support/store_kinds.h"

static void test_round_trip_of(const char *uri, bool reopens, const char *durability)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_every_kind(&batch);
    open_store(&fixture, uri);
    CU_ASSERT_STRING_EQUAL(store_durability(fixture.store), durability);
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(load(&fixture), every_kind);
    CU_ASSERT_EQUAL(fixture.epoch, 1);
    if (reopens) {
        close_store(&fixture);
        open_store(&fixture, uri);
    }
    CU_ASSERT_STRING_EQUAL(load(&fixture), every_kind);
    CU_ASSERT_EQUAL(fixture.epoch, 2);
    CU_ASSERT_EQUAL(fixture.last_event, 0);
    CU_ASSERT_EQUAL(fixture.quarantined, 0);
    CU_ASSERT(store_size_bytes(fixture.store) > 4096);
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_round_trip(void)
{
    struct fixture fixture;
    open_store(&fixture, any_uri());
    const char *durability = store_durability(fixture.store);
    char text[64];
    snprintf(text, sizeof(text), "%s", durability);
    close_store(&fixture);
    CU_ASSERT(strcmp(text, store_kind == KIND_MEMORY   ? "none"
                           : store_kind == KIND_REDIS ? "everysec"
                                                       : "fsync") == 0 ||
              strcmp(text, "volatile") == 0);
    test_round_trip_of(any_uri(), store_kind != KIND_MEMORY, text);
}

static void test_a_new_file_is_its_owners(void)
{
    struct stat info;
    struct fixture fixture;
    open_store(&fixture, uri_of("mode"));
    close_store(&fixture);
    CU_ASSERT_EQUAL(stat(path_of("mode"), &info), 0);
    CU_ASSERT_EQUAL(info.st_mode & 0777, 0600);
}

static void test_replace_and_remove(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_every_kind(&batch);
    open_store(&fixture, any_uri());
    commit(&fixture, &batch);
    batch_clear(&batch);
    add_meta(&batch, "name", "other");
    add_task(&batch, 5, 1, TASK_RUNNING);
    commit(&fixture, &batch);
    const char *loaded = load(&fixture);
    CU_ASSERT(has(loaded, "meta name=other\n"));
    CU_ASSERT(has(loaded, "task 5.1 running c0 t0 a1 e0 @ 0-0 due 0 exit 0 sig 0 0 0 0 0 (0) ||0\n"));

    batch_clear(&batch);
    add_every_kind(&batch);
    for (size_t i = 0; i < batch.record_count; i++)
        batch.records[i].remove = batch.records[i].kind != RECORD_WORKER &&
                                  batch.records[i].kind != RECORD_TASK &&
                                  batch.records[i].kind != RECORD_ATTEMPT;
    /* The cascade comes after what it removes. */
    for (int i = 0; i < 2; i++) {
        struct record *record = batch_add(&batch, i ? RECORD_RUN : RECORD_DEFINITION);
        record->remove = true;
        if (i)
            record->run.run = 5;
        else
            record->definition = (struct definition_record){bytes_str("p"), 1, 0, {NULL, 0}};
    }
    commit(&fixture, &batch);
    batch_clear(&batch);
    CU_ASSERT_STRING_EQUAL(load(&fixture), "");
    /* Nothing is left of the old run or version to turn up in new ones. */
    struct record *record = batch_add(&batch, RECORD_UNIT);
    record->unit = (struct unit_record){.id = bytes_str("p"), .version = 1};
    record = batch_add(&batch, RECORD_DEFINITION);
    record->definition = (struct definition_record){bytes_str("p"), 1, 0, bytes_str("h")};
    add_run(&batch, 5, "p", 2, RUN_RUNNING, 3);
    commit(&fixture, &batch);
    loaded = load(&fixture);
    CU_ASSERT_PTR_NULL(strstr(loaded, "task"));
    CU_ASSERT_PTR_NULL(strstr(loaded, "worker"));
    struct query query = {.kind = QUERY_RUN, .run = 5, .with_attempts = true, .status = -1};
    CU_ASSERT_PTR_NULL(strstr(ask(&fixture, &query), "lost"));
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_load_leaves_out_the_past(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_process(&batch);
    /* An old version without a run, and one that an unfinished run still uses. */
    for (uint32_t version = 7; version < 9; version++) {
        struct record *record = batch_add(&batch, RECORD_DEFINITION);
        record->definition =
            (struct definition_record){bytes_str("p"), version, 0, bytes_str("old")};
    }
    add_run(&batch, 6, "p", 3, RUN_QUEUED, 1)->run.version = 8;
    for (int i = 0; i < LIMIT_FINISHED_RUNS + 5; i++) {
        uint64_t run = 10 + (uint64_t)i;
        add_run(&batch, run, "q", run, RUN_SUCCEEDED, 1);
        add_task(&batch, run, 0, TASK_SUCCEEDED);
    }
    open_store(&fixture, any_uri());
    commit(&fixture, &batch);
    const char *loaded = load(&fixture);
    CU_ASSERT(has(loaded, "definition p v8 0 old\n"));
    CU_ASSERT_PTR_NULL(strstr(loaded, "definition p v7"));
    CU_ASSERT(has(loaded, "run 6 p/#3 v8 queued"));
    CU_ASSERT_PTR_NULL(strstr(loaded, "run 14 "));
    CU_ASSERT(has(loaded, "run 15 "));
    CU_ASSERT_PTR_NULL(strstr(loaded, "task"));
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_bad_rows_are_quarantined(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_every_kind(&batch);
    add_task(&batch, 5, 0, TASK_SUCCEEDED);
    add_task(&batch, 5, 2, TASK_SUCCEEDED);
    open_store(&fixture, uri_of("bad-rows"));
    commit(&fixture, &batch);
    close_store(&fixture);
    tamper(path_of("bad-rows"), "UPDATE tasks SET state=99 WHERE task=0;"
                                "UPDATE tasks SET result=x'c1' WHERE task=2;"
                                "UPDATE units SET status=-3;"
                                "INSERT INTO hosts(name, seen_at) VALUES('', 1);");
    open_store(&fixture, uri_of("bad-rows"));
    const char *loaded = load(&fixture);
    CU_ASSERT_EQUAL(fixture.quarantined, 4);
    CU_ASSERT(has(loaded, "task 5.1 "));
    CU_ASSERT_PTR_NULL(strstr(loaded, "task 5.0 "));
    CU_ASSERT_PTR_NULL(strstr(loaded, "task 5.2 "));
    CU_ASSERT_PTR_NULL(strstr(loaded, "unit p"));
    load(&fixture);
    CU_ASSERT_EQUAL(fixture.quarantined, 0);
    close_store(&fixture);
    struct buf out = {0};
    CU_ASSERT_STRING_EQUAL(look(&out, path_of("bad-rows"),
                                "SELECT kind, key, reason FROM quarantine ORDER BY kind, key"),
                           "hosts  no name\ntasks 5 0 no such state\n"
                           "tasks 5 2 result is not a value\nunits p no such status\n");
    CU_ASSERT(has(
        look(&out, path_of("bad-rows"), "SELECT row FROM quarantine WHERE reason='no such state'"),
        "run=5, task=0, state=99, crashes=NULL, attempts=1"));
    buf_fini(&out);
    batch_fini(&batch);
}

static void test_rows_are_readable(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    for (unsigned status = 0; status <= RUN_SKIPPED; status++)
        add_run(&batch, 100 + status, "r", status + 1, status, 1);
    for (unsigned state = 0; state < TASK_STATES; state++)
        add_task(&batch, 100, state, state);
    open_store(&fixture, uri_of("readable"));
    commit(&fixture, &batch);
    close_store(&fixture);
    struct buf out = {0}, expected = {0};
    for (unsigned state = 0; state < TASK_STATES; state++)
        buf_printf(&expected, "r#1 %u %s\n", state, task_state_name(state));
    buf_append(&expected, "", 1);
    CU_ASSERT_STRING_EQUAL(look(&out, path_of("readable"),
                                "SELECT run, task, state FROM readable_tasks ORDER BY task"),
                           (char *)expected.data);
    buf_clear(&expected);
    for (unsigned status = 0; status <= RUN_SKIPPED; status++)
        buf_printf(&expected, "r#%u %s 1970-01-01 00:01:40\n", status + 1, run_status_name(status));
    buf_append(&expected, "", 1);
    CU_ASSERT_STRING_EQUAL(
        look(&out, path_of("readable"),
             "SELECT run, status, datetime(julianday(created) - (id - 100) / 86400.0) "
             "FROM readable_runs ORDER BY id"),
        (char *)expected.data);
    buf_fini(&out);
    buf_fini(&expected);
    batch_fini(&batch);
}

static void test_run_is_loaded_again(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_process(&batch);
    batch.records[batch.record_count - 1].run.status = RUN_FAILED;
    add_task(&batch, 5, 2, TASK_FAILED)->task.result = bytes_of("\x07", 1);
    open_store(&fixture, any_uri());
    commit(&fixture, &batch);
    struct query query = {.kind = QUERY_LOAD_RUN, .run = 5};
    ask(&fixture, &query);
    CU_ASSERT_STRING_EQUAL((char *)fixture.loaded.data,
                           "run 5 p/#2 v1 failed 0 of 3 by client (0) (0)  5000 0 0\n"
                           "definition p v1 3 header\n"
                           "worker p v1 0 (20)\nworker p v1 1 (20)\nworker p v1 2 (20)\n"
                           "task 5.2 failed c0 t0 a1 e0 @ 0-0 due 0 exit 0 sig 0 0 0 0 0 (1) ||0\n");
    query.run = 6;
    CU_ASSERT_STRING_EQUAL(ask(&fixture, &query), "no run number 6");
    close_store(&fixture);
    batch_fini(&batch);
}

static void note_values(void *context, enum synk_status status, const struct synk_error *error,
                        const struct synk_bytes *values, size_t count)
{
    struct fixture *fixture = context;
    fixture->open_answers--;
    fixture->status = status;
    if (status != SYNK_OK) {
        buf_printf(&fixture->text, "%s ", error->text);
        return;
    }
    for (size_t i = 0; i < count; i++)
        buf_printf(&fixture->text, "[%.*s]", TEXT(values[i]));
}

static void test_values_of_a_removed_run_are_not_found(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_run(&batch, 1, "p", 1, RUN_RUNNING, 2);
    struct value_ref refs[] = {{1, 0}, {2, 0}};
    open_store(&fixture, any_uri());
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    fixture.open_answers = 1;
    store_values(fixture.store, refs, 2, note_values, &fixture);
    await(&fixture);
    CU_ASSERT_EQUAL(fixture.status, SYNK_NOT_FOUND);
    buf_append(&fixture.text, "", 1);
    CU_ASSERT(has((char *)fixture.text.data, "run number 2"));
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK); /* no failure of the store */
    close_store(&fixture);
    batch_fini(&batch);
}

static void note_order(void *context, enum synk_status status, const struct synk_error *error,
                       int64_t commit_us)
{
    (void)error, (void)commit_us;
    struct fixture *fixture = context;
    fixture->open_answers--;
    buf_printf(&fixture->text, "commit %d ", status);
}

struct again {
    struct fixture *fixture;
    struct batch *batch;
};

static void commit_again(void *context, enum synk_status status, const struct synk_error *error,
                         int64_t commit_us)
{
    struct again *again = context;
    note_order(again->fixture, status, error, commit_us);
    store_commit(again->fixture->store, again->batch, note_order, again->fixture);
}

static void test_values_and_order(void)
{
    struct fixture fixture;
    struct batch batch, second;
    batch_init(&batch);
    batch_init(&second);
    add_run(&batch, 1, "p", 1, RUN_RUNNING, 3);
    add_task(&batch, 1, 0, TASK_SUCCEEDED)->task.result = bytes_str("7");
    add_task(&batch, 1, 1, TASK_SUCCEEDED);
    add_task(&second, 1, 0, TASK_SUCCEEDED)->task.result = bytes_str("8");
    struct value_ref refs[] = {{1, 0}, {1, 1}, {1, 2}, {1, 0}};
    open_store(&fixture, any_uri());
    fixture.open_answers = 5;
    store_commit(fixture.store, &batch, note_order, &fixture);
    store_values(fixture.store, refs, 4, note_values, &fixture);
    store_commit(fixture.store, &second, note_order, &fixture);
    store_values(fixture.store, refs, 1, note_values, &fixture);
    store_values(fixture.store, refs, 0, note_values, &fixture);
    await(&fixture);
    buf_append(&fixture.text, "", 1);
    CU_ASSERT_STRING_EQUAL((char *)fixture.text.data, "commit 0 [7][][][7]commit 0 [8]");
    /* Closing waits for what was handed in, and for what its callback hands in. */
    fixture.open_answers = 2;
    struct again again = {&fixture, &second};
    store_commit(fixture.store, &batch, commit_again, &again);
    store_close(fixture.store);
    CU_ASSERT_EQUAL(fixture.open_answers, 0);
    fixture.store = NULL;
    close_store(&fixture);
    batch_fini(&batch);
    batch_fini(&second);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"round-trip", test_round_trip},
        {"a-new-file-is-its-owners", test_a_new_file_is_its_owners},
        {"replace-and-remove", test_replace_and_remove},
        {"load-leaves-out-the-past", test_load_leaves_out_the_past},
        {"bad-rows-are-quarantined", test_bad_rows_are_quarantined},
        {"rows-are-readable", test_rows_are_readable},
        {"run-is-loaded-again", test_run_is_loaded_again},
        {"values-of-a-removed-run-are-not-found", test_values_of_a_removed_run_are_not_found},
        {"values-and-order", test_values_and_order},
        {NULL, NULL},
    };
    return kinds_main(argc, argv, "store", cases);
}
