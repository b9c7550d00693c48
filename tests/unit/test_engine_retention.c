/* When the engine tells the store what may go, with which bounds, and what it then forgets itself.
 */
#include "tests/support/engine_fixture.h"

static size_t count_text(struct fixture *f, const char *part)
{
    size_t count = 0;
    buf_append(&f->text, "", 1);
    f->text.size--;
    for (const char *at = (const char *)f->text.data; (at = strstr(at, part)); at++)
        count++;
    return count;
}

/* Boots again with other bounds; nothing has happened before. */
static void begin(struct fixture *f, uint64_t keep_runs, int64_t keep_runs_ms)
{
    fixture_init(f);
    f->config.keep_runs = keep_runs;
    f->config.keep_runs_ms = keep_runs_ms;
    f->config.keep_events = 7;
    f->config.keep_events_ms = 0;
    fixture_crash(f);
    fixture_host(f, 1, "h", 1);
    fixture_apply(f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
}

static void run_once(struct fixture *f)
{
    fixture_start(f, "{\"unit\":\"w\"}");
    fixture_forget_tasks(f);
}

static void end_run(struct fixture *f)
{
    fixture_start(f, "{\"unit\":\"w\"}");
    CU_ASSERT_TRUE(fixture_end(f, "w", OUTCOME_SUCCEEDED, "1"));
    fixture_forget_tasks(f);
}

/* Time goes on, and the host with it. */
static void pass(struct fixture *f, int64_t ms)
{
    for (int64_t gone = 0; gone < ms; gone += 2000) {
        fixture_pass(f, 2000);
        fixture_beat(f, 1);
    }
}

static void the_store_is_told_while_things_happen(void)
{
    struct fixture f;
    begin(&f, 3, 60000);
    CU_ASSERT_EQUAL(count_text(&f, "retain"), 0);
    pass(&f, 12000);
    CU_ASSERT_EQUAL(count_text(&f, "retain"), 1);
    CU_ASSERT_EQUAL(count_text(&f, "keep_runs=3"), 1);
    CU_ASSERT_EQUAL(count_text(&f, "keep_events=7"), 1);
    CU_ASSERT_EQUAL(count_text(&f, "runs_before=16999"), 1);
    CU_ASSERT_EQUAL(count_text(&f, "events_before"), 0);
    /* An idle supervisor writes seldom. */
    pass(&f, 500000);
    CU_ASSERT_EQUAL(count_text(&f, "retain"), 1);
    pass(&f, 120000);
    CU_ASSERT_EQUAL(count_text(&f, "retain"), 2);
    end_run(&f);
    pass(&f, 12000);
    CU_ASSERT_EQUAL(count_text(&f, "retain"), 3);
    fixture_fini(&f);
}

static void not_while_a_run_may_go_on(void)
{
    struct fixture f;
    begin(&f, 1, 0);
    fixture_start(&f, "{\"unit\":\"w\"}");
    CU_ASSERT_TRUE(fixture_end(&f, "w", OUTCOME_FAILED, "null"));
    uint64_t asked = fixture_ask(&f, 1, MSG_RETRY, "{\"run\":\"w#1\"}");
    pass(&f, 40000);
    CU_ASSERT_EQUAL(count_text(&f, "retain"), 0);
    fixture_load_run(&f);
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"run\":\"w#1\""));
    CU_ASSERT_EQUAL(count_text(&f, "retain"), 1);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, 1), "running");
    fixture_fini(&f);
}

static void summaries_of_removed_runs_are_forgotten(void)
{
    struct fixture f;
    begin(&f, 2, 0);
    for (int i = 0; i < 4; i++)
        end_run(&f);
    run_once(&f);
    uint64_t asked = fixture_ask(&f, 1, MSG_WAIT, "{\"run\":\"w#1\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"status\":\"succeeded\""));
    pass(&f, 12000);
    asked = fixture_ask(&f, 1, MSG_WAIT, "{\"run\":\"w#4\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"status\":\"succeeded\""));
    /* The store is asked, which says that there is none. */
    size_t queries = f.query_count;
    asked = fixture_ask(&f, 1, MSG_WAIT, "{\"run\":\"w#2\"}");
    CU_ASSERT_PTR_NULL(fixture_reply(&f, asked));
    CU_ASSERT_EQUAL(f.query_count, queries + 1);
    CU_ASSERT_EQUAL(f.query.kind, QUERY_LOAD_RUN);
    CU_ASSERT_EQUAL(f.query.number, 2);
    fixture_input(&f, (struct input){.kind = INPUT_RUN_LOADED, .token = f.query.token});
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "no run 'w#2'"));
    /* What cannot be read is not what there is not. */
    asked = fixture_ask(&f, 1, MSG_WAIT, "{\"run\":\"w#2\"}");
    fixture_input(&f, (struct input){.kind = INPUT_RUN_LOADED,
                                     .token = f.query.token,
                                     .text = bytes_str("store 'x': disk I/O error")});
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "store 'x': disk I/O error"));
    fixture_fini(&f);
}

static void a_version_outlives_the_summaries_of_its_runs(void)
{
    struct fixture f;
    begin(&f, 1, 0);
    end_run(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.other\"}]}");
    end_run(&f);
    pass(&f, 12000);
    size_t definitions = 0;
    for (size_t i = 0; i < f.stored_count; i++)
        definitions += f.stored[i].record.kind == RECORD_DEFINITION;
    CU_ASSERT_EQUAL(definitions, 2); /* which may go, the store knows */
    fixture_fini(&f);
}

static void prune_is_answered_when_the_store_has_done_it(void)
{
    struct fixture f;
    begin(&f, 9, 60000);
    for (int i = 0; i < 4; i++)
        end_run(&f);
    uint64_t asked =
        fixture_ask(&f, 1, MSG_PRUNE, "{\"keepRuns\":2,\"keepRunsMs\":0,\"key\":\"k\"}");
    CU_ASSERT_PTR_NULL(fixture_reply(&f, asked));
    CU_ASSERT_EQUAL(f.query.kind, QUERY_PRUNE);
    CU_ASSERT_EQUAL(count_text(&f, "retain keep_runs=2 keep_events=7 counts=1"), 1);
    /* Nor does anything else answer for a run that is going, or come between with other bounds. */
    uint64_t token = f.query.token;
    uint64_t second = fixture_ask(&f, 1, MSG_PRUNE, "{}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, second, "busy"));
    pass(&f, 12000);
    CU_ASSERT_EQUAL(count_text(&f, "retain"), 1);
    fixture_input(
        &f, (struct input){
                .kind = INPUT_PRUNED, .token = token, .removed_runs = 2, .removed_events = 11});
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "{\"runs\":2,\"events\":11}"));
    uint64_t again = fixture_ask(&f, 1, MSG_PRUNE, "{\"keepRuns\":1,\"key\":\"k\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, again, "{\"runs\":2,\"events\":11}"));
    asked = fixture_ask(&f, 1, MSG_WAIT, "{\"run\":\"w#2\"}");
    CU_ASSERT_PTR_NULL(fixture_reply(&f, asked));
    CU_ASSERT_EQUAL(f.query.kind, QUERY_LOAD_RUN);
    fixture_fini(&f);
}

static void prune_goes_on_when_a_run_has_been_loaded(void)
{
    struct fixture f;
    begin(&f, 9, 0);
    fixture_start(&f, "{\"unit\":\"w\"}");
    CU_ASSERT_TRUE(fixture_end(&f, "w", OUTCOME_FAILED, "null"));
    uint64_t asked = fixture_ask(&f, 1, MSG_PRUNE, "{}");
    uint64_t token = f.query.token;
    CU_ASSERT_EQUAL(count_text(&f, "retain keep_runs=9 keep_events=7 counts=1"), 1);
    fixture_ask(&f, 1, MSG_RETRY, "{\"run\":\"w#1\"}");
    CU_ASSERT_EQUAL(count_text(&f, "retain"), 1);
    fixture_load_run(&f);
    CU_ASSERT_EQUAL(count_text(&f, "retain"), 2); /* the count goes on, too */
    CU_ASSERT_EQUAL(count_text(&f, "counts"), 1);
    fixture_input(&f, (struct input){.kind = INPUT_PRUNED,
                                     .token = token,
                                     .text = bytes_str("the disk is full")});
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "the disk is full"));
    asked = fixture_ask(&f, 1, MSG_PRUNE, "{}");
    CU_ASSERT_PTR_NULL(fixture_reply(&f, asked));
    fixture_fini(&f);
}

static void prune_refuses_what_is_no_bound(void)
{
    static const char *const bad[] = {"{\"keepRuns\":-1}", "{\"keepRunsMs\":\"1d\"}",
                                      "{\"keepEvents\":1.5}", "{\"keepEventsMs\":true}"};
    struct fixture f;
    begin(&f, 9, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t asked = fixture_ask(&f, 1, MSG_PRUNE, bad[i]);
        CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "must be 0 (no bound) or more"));
    }
    CU_ASSERT_EQUAL(count_text(&f, "retain"), 0);
    fixture_fini(&f);
}

int main(int argc, char **argv)
{
#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
    static const struct unit_case cases[] = {
        CASE(the_store_is_told_while_things_happen),
        CASE(prune_is_answered_when_the_store_has_done_it),
        CASE(prune_goes_on_when_a_run_has_been_loaded),
        CASE(prune_refuses_what_is_no_bound),
        CASE(not_while_a_run_may_go_on),
        CASE(summaries_of_removed_runs_are_forgotten),
        CASE(a_version_outlives_the_summaries_of_its_runs),
        {NULL, NULL},
    };
    return unit_main(argc, argv, "engine-retention", cases);
}
