/* Pages of a run, of runs and of events: they merge what is stored with what is live, and end
 * before a frame does. */
#include "proto/limits.h"
#include "tests/support/store_kinds.h"

static void test_run_page(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_every_kind(&batch);
    struct record *record = add_task(&batch, 5, 0, TASK_SUCCEEDED);
    record->task.started_at = 100;
    record->task.ended_at = 350;
    record->task.result = bytes_of("\x92\x01\xc3", 3);
    open_store(&fixture, any_uri());
    commit(&fixture, &batch);
    struct live_task live[] = {
        {.task = 0, .state = TASK_RUNNING, .attempts = 9},
        {.task = 1,
         .state = TASK_RUNNING,
         .attempts = 4,
         .host = bytes_str("h2"),
         .started_at = 60},
        {.task = 2, .state = TASK_READY, .reason = bytes_str("waits")},
    };
    struct query query = {.kind = QUERY_RUN, .unit = bytes_str("p"), .number = 2};
    CU_ASSERT_STRING_EQUAL(
        ask(&fixture, &query),
        "{\"run\":\"p#2\",\"id\":5,\"unit\":\"p\",\"status\":\"running\",\"params\":null,"
        "\"error\":null,\"by\":\"client\",\"createdAt\":5000,\"startedAt\":null,"
        "\"endedAt\":null,\"durationMs\":null,\"taskCount\":3,\"from\":0,\"next\":null,\"tasks\":["
        "{\"worker\":\"a\",\"state\":\"succeeded\",\"attempts\":1,\"result\":[1,true],"
        "\"error\":null,\"host\":null,\"startedAt\":100,\"endedAt\":350,\"durationMs\":250,"
        "\"reason\":null},"
        "{\"worker\":\"b\",\"state\":\"retry-wait\",\"attempts\":3,\"result\":1,"
        "\"error\":\"broke\",\"host\":\"local\",\"startedAt\":10,\"endedAt\":30,"
        "\"durationMs\":20,\"reason\":\"why\"},"
        "{\"worker\":\"c\",\"state\":\"pending\",\"attempts\":0,\"result\":null,\"error\":null,"
        "\"host\":null,\"startedAt\":null,\"endedAt\":null,\"durationMs\":null,"
        "\"reason\":null}]}");
    query.live = true;
    query.live_status = RUN_CANCELLED;
    query.task_count = 3;
    query.live_tasks = live;
    query.live_task_count = 3;
    const char *json = ask(&fixture, &query);
    CU_ASSERT(has(json, "\"status\":\"cancelled\""));
    CU_ASSERT(has(json, "\"worker\":\"a\",\"state\":\"succeeded\",\"attempts\":1"));
    CU_ASSERT(has(json, "\"worker\":\"b\",\"state\":\"running\",\"attempts\":4,\"result\":null,"
                        "\"error\":null,\"host\":\"h2\",\"startedAt\":60,\"endedAt\":null"));
    CU_ASSERT(has(json, "\"worker\":\"c\",\"state\":\"ready\""));
    CU_ASSERT(has(json, "\"reason\":\"waits\""));
    query.from = 1;
    query.limit = 1;
    query.live_tasks = live + 1;
    query.live_task_count = 1;
    json = ask(&fixture, &query);
    CU_ASSERT(has(json, "\"from\":1,\"next\":2,\"tasks\":[{\"worker\":\"b\""));
    CU_ASSERT_PTR_NULL(strstr(json, "\"worker\":\"c\""));
    query.from = 3;
    CU_ASSERT(has(ask(&fixture, &query), "\"from\":3,\"next\":null,\"tasks\":[]"));
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_run_page_attempts(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_every_kind(&batch);
    open_store(&fixture, any_uri());
    commit(&fixture, &batch);
    struct query query = {
        .kind = QUERY_RUN, .run = 5, .with_attempts = true, .from = 1, .limit = 1};
    CU_ASSERT(has(ask(&fixture, &query),
                  "\"attemptList\":[{\"attempt\":1,\"outcome\":\"lost\",\"host\":\"local\","
                  "\"error\":\"gone\",\"startedAt\":1,\"endedAt\":2,\"exit\":null,\"signal\":9,"
                  "\"userUs\":null,\"systemUs\":null,\"maxRssKib\":null},"
                  "{\"attempt\":3,\"outcome\":\"failed\",\"host\":\"local\",\"error\":\"broke\","
                  "\"startedAt\":10,\"endedAt\":30,\"exit\":null,\"signal\":9,\"userUs\":1,"
                  "\"systemUs\":2,\"maxRssKib\":3}]"));
    struct live_task live = {.task = 1, .state = TASK_RUNNING, .attempts = 4, .started_at = 60};
    query.live = true;
    query.task_count = 3;
    query.live_tasks = &live;
    query.live_task_count = 1;
    CU_ASSERT(has(ask(&fixture, &query), "{\"attempt\":4,\"outcome\":null,"));
    query.from = 2;
    CU_ASSERT(has(ask(&fixture, &query), "\"attemptList\":[]"));
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_run_names(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_process(&batch);
    add_run(&batch, 6, "alone", 1, RUN_SUCCEEDED, 1);
    add_run(&batch, 7, "pool", 3, RUN_SUCCEEDED, 2)->run.spec = bytes_of("\x80", 1);
    add_run(&batch, 8, "p", 2, RUN_SUCCEEDED, 1)->run.worker = bytes_str("c");
    open_store(&fixture, any_uri());
    commit(&fixture, &batch);
    struct query query = {.kind = QUERY_RUN, .unit = bytes_str("alone")};
    CU_ASSERT(has(ask(&fixture, &query), "\"tasks\":[{\"worker\":\"alone\",\"state\":\"pending\""));
    query.unit = bytes_str("pool");
    CU_ASSERT(has(ask(&fixture, &query), "{\"worker\":\"1\",\"state\":\"pending\""));
    query.unit = bytes_str("p/c");
    query.number = 2;
    const char *json = ask(&fixture, &query);
    CU_ASSERT(has(json, "\"run\":\"p/c#2\",\"id\":8,"));
    CU_ASSERT(has(json, "{\"worker\":\"c\",\"state\":\"pending\""));
    query.unit = bytes_str("p");
    query.number = 0;
    CU_ASSERT(has(ask(&fixture, &query), "\"run\":\"p#2\",\"id\":5,"));
    query.number = 3;
    CU_ASSERT_STRING_EQUAL(ask(&fixture, &query), "no run 'p#3'");
    CU_ASSERT_EQUAL(fixture.status, SYNK_NOT_FOUND);
    query.unit = bytes_str("x");
    query.number = 0;
    CU_ASSERT_STRING_EQUAL(ask(&fixture, &query), "no run 'x#last'");
    query.run = 99;
    CU_ASSERT_STRING_EQUAL(ask(&fixture, &query), "no run number 99");
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_tasks_of_a_run_that_never_started_have_its_end(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_run(&batch, 1, "alone", 1, RUN_CANCELLED, 1)->run.ended_at = 77;
    add_run(&batch, 2, "alone", 2, RUN_SKIPPED, 1);
    open_store(&fixture, any_uri());
    commit(&fixture, &batch);
    struct query query = {.kind = QUERY_RUN, .run = 1};
    const char *json = ask(&fixture, &query);
    CU_ASSERT(has(json, "\"worker\":\"alone\",\"state\":\"cancelled\""));
    CU_ASSERT(has(json, "\"endedAt\":77,\"durationMs\":null,\"reason\":null"));
    query.run = 2;
    CU_ASSERT(has(ask(&fixture, &query), "\"state\":\"skipped\""));
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_page_ends_before_the_frame_does(void)
{
    enum { TASKS = 6 };
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    uint8_t *big = arena_zalloc(&batch.arena, 1, LIMIT_VALUE_BYTES);
    memcpy(big, "\xc6\x00\x0f\xff\xfb", 5);
    add_run(&batch, 1, "p", 1, RUN_SUCCEEDED, TASKS);
    for (uint32_t i = 0; i < TASKS; i++)
        add_task(&batch, 1, i, TASK_SUCCEEDED)->task.result = bytes_of(big, LIMIT_VALUE_BYTES);
    open_store(&fixture, any_uri());
    commit(&fixture, &batch);
    struct query query = {.kind = QUERY_RUN, .run = 1};
    const char *json = ask(&fixture, &query);
    CU_ASSERT(strstr(json, "\"next\":3,") != NULL);
    query.from = 3;
    CU_ASSERT(strstr(ask(&fixture, &query), "\"next\":null,") != NULL);
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_list_runs(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    for (uint64_t run = 1; run <= 6; run++)
        add_run(&batch, run, run % 2 ? "odd" : "even", run, run == 3 ? RUN_FAILED : RUN_SUCCEEDED,
                1);
    open_store(&fixture, any_uri());
    commit(&fixture, &batch);
    struct query query = {.kind = QUERY_RUNS, .limit = 1, .status = -1, .unit = bytes_str("odd")};
    CU_ASSERT_STRING_EQUAL(ask(&fixture, &query),
                           "{\"items\":[{\"run\":\"odd#5\",\"id\":5,\"unit\":\"odd\","
                           "\"status\":\"succeeded\",\"by\":\"client\",\"error\":null,"
                           "\"createdAt\":5000,\"startedAt\":null,\"endedAt\":null,"
                           "\"taskCount\":1,\"done\":null,\"failed\":null}],\"cursor\":5}");
    query.cursor = 5;
    CU_ASSERT(has(ask(&fixture, &query), "\"run\":\"odd#3\""));
    CU_ASSERT(has(fixture.json, "\"cursor\":3}"));
    query.cursor = 3;
    CU_ASSERT(has(ask(&fixture, &query), "\"cursor\":null}"));
    query = (struct query){.kind = QUERY_RUNS, .status = RUN_FAILED};
    CU_ASSERT(has(ask(&fixture, &query), "{\"items\":[{\"run\":\"odd#3\""));
    CU_ASSERT(has(fixture.json, "\"cursor\":null}"));
    query = (struct query){.kind = QUERY_RUNS, .status = -1, .since = 6000};
    CU_ASSERT(has(ask(&fixture, &query), "{\"items\":[{\"run\":\"even#6\""));
    CU_ASSERT_PTR_NULL(strstr(fixture.json, "odd"));
    close_store(&fixture);
    batch_fini(&batch);
}

/* The numbers of the events in an answer, and the rest of it. */
static const char *fetch(struct fixture *fixture, const struct query *query)
{
    const char *json = ask(fixture, query);
    buf_clear(&fixture->text);
    for (const char *at = json; (at = strstr(at, "\"seq\":")); at++)
        buf_printf(&fixture->text, "%d ", atoi(at + 6));
    buf_printf(&fixture->text, "%s", strstr(json, "],\"next\"") + 2);
    buf_append(&fixture->text, "", 1);
    return (const char *)fixture->text.data;
}

static void commit_events(struct fixture *fixture, uint64_t first, uint64_t last)
{
    struct batch batch;
    batch_init(&batch);
    for (uint64_t number = first; number <= last; number++)
        add_event(&batch, number, number % 2 ? "start" : "complete", number > 4 ? "p" : "q",
                  number > 6 ? "p#12" : "p#1");
    CU_ASSERT_EQUAL(commit(fixture, &batch), SYNK_OK);
    batch_fini(&batch);
}

static void test_fetch_events(void)
{
    struct fixture fixture;
    open_store(&fixture, any_uri());
    struct query query = {.kind = QUERY_EVENTS};
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query), "\"next\":0,\"head\":0,\"first\":1}");
    commit_events(&fixture, 1, 3);
    commit_events(&fixture, 4, 8);
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query),
                           "1 2 3 4 5 6 7 8 \"next\":8,\"head\":8,\"first\":1}");
    query.from_event = 2;
    query.limit = 3;
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query), "3 4 5 \"next\":5,\"head\":8,\"first\":1}");
    query.from_event = 8;
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query), "\"next\":8,\"head\":8,\"first\":1}");
    query = (struct query){.kind = QUERY_EVENTS, .types = bytes_str("error start")};
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query), "1 3 5 7 \"next\":8,\"head\":8,\"first\":1}");
    query.unit = bytes_str("p");
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query), "5 7 \"next\":8,\"head\":8,\"first\":1}");
    query.number = 1;
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query), "1 3 5 \"next\":8,\"head\":8,\"first\":1}");
    query.number = 12;
    query.types = bytes_str("");
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query), "7 8 \"next\":8,\"head\":8,\"first\":1}");
    close_store(&fixture);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"run-page", test_run_page},
        {"run-page-attempts", test_run_page_attempts},
        {"run-names", test_run_names},
        {"tasks-of-a-run-that-never-started-have-its-end",
         test_tasks_of_a_run_that_never_started_have_its_end},
        {"page-ends-before-the-frame-does", test_page_ends_before_the_frame_does},
        {"list-runs", test_list_runs},
        {"fetch-events", test_fetch_events},
        {NULL, NULL},
    };
    return kinds_main(argc, argv, "store-pages", cases);
}
