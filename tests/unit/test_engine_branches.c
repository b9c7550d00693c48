/* Joins of branches, and the failure that a skip goes back to. */
#include "tests/support/engine_fixture.h"

#define STATE(worker, state) CU_ASSERT_STRING_EQUAL(fixture_state(&f, run, worker), state)
#define STATUS(status)       CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), status)
#define END(worker, outcome) CU_ASSERT_TRUE(fixture_end(&f, worker, outcome, "null"))
#define REASON(worker, text)                                                                       \
    CU_ASSERT_TRUE(bytes_equal(fixture_task(&f, run, worker)->reason, bytes_str(text)))

/* README's workflow: two branches behind a condition, and a join. */
static const char media[] =
    "{\"processes\":[{\"id\":\"media\",\"workers\":["
    "{\"id\":\"Fetch\",\"run\":\"t.ok\"},"
    "{\"id\":\"Probe\",\"run\":\"t.ok\",\"dependsOn\":[\"Fetch\"]},"
    "{\"id\":\"Quick\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"Probe\",\"condition\":"
    "\"result.n < 5\"}]},"
    "{\"id\":\"Full\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"Probe\",\"condition\":"
    "\"result.n >= 5\"}]},"
    "{\"id\":\"Publish\",\"run\":\"t.ok\",\"dependsOn\":[\"Probe\",{\"id\":\"Quick\",\"on\":"
    "\"notError\"},{\"id\":\"Full\",\"on\":\"notError\"}]},"
    "{\"id\":\"Loose\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"Quick\",\"on\":\"notError\"}]},"
    "{\"id\":\"Tidy\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"Publish\",\"on\":\"any\"}]},"
    "{\"id\":\"Alarm\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"Probe\",\"on\":\"error\"}]}]}]}";

static void begin(struct fixture *f)
{
    fixture_init(f);
    fixture_host(f, 1, "h", 4);
    fixture_apply(f, media);
}

static void a_skip_names_the_failure_behind_it(void)
{
    struct fixture f;
    begin(&f);
    uint64_t run = fixture_start(&f, "{\"unit\":\"media\"}");
    END("Fetch", OUTCOME_FAILED);
    REASON("Probe", "'Fetch' failed, and this needs it to succeed");
    REASON("Quick", "'Fetch' failed, so 'Probe' did not run; this needs it to succeed");
    REASON("Publish", "'Fetch' failed, so 'Probe' did not run; this needs it to succeed");
    REASON("Alarm", "'Probe' was skipped, and this runs only when it fails");
    CU_ASSERT_EQUAL(fixture_task(&f, run, "Publish")->cause, 1);
    CU_ASSERT_EQUAL(fixture_task(&f, run, "Alarm")->cause, 0);
    END("Loose", OUTCOME_SUCCEEDED); /* to `notError` a skip is a skip */
    END("Tidy", OUTCOME_SUCCEEDED);
    STATUS("failed");
    fixture_fini(&f);
}

static void a_branch_not_taken_lets_its_join_go_on_unless_the_other_failed(void)
{
    struct fixture f;
    begin(&f);
    uint64_t run = fixture_start(&f, "{\"unit\":\"media\"}");
    END("Fetch", OUTCOME_SUCCEEDED);
    CU_ASSERT_TRUE(fixture_end(&f, "Probe", OUTCOME_SUCCEEDED, "{\"n\":9}"));
    STATE("Quick", "skipped");
    CU_ASSERT_EQUAL(fixture_task(&f, run, "Quick")->cause, 0);
    END("Loose", OUTCOME_SUCCEEDED);
    END("Full", OUTCOME_SUCCEEDED);
    END("Publish", OUTCOME_SUCCEEDED);
    END("Tidy", OUTCOME_SUCCEEDED);
    STATUS("succeeded");

    run = fixture_start(&f, "{\"unit\":\"media\"}");
    END("Fetch", OUTCOME_SUCCEEDED);
    CU_ASSERT_TRUE(fixture_end(&f, "Probe", OUTCOME_SUCCEEDED, "{\"n\":1}"));
    STATE("Full", "skipped");
    END("Quick", OUTCOME_FAILED);
    STATE("Publish", "skipped");
    REASON("Publish", "'Quick' failed, and this needs it to succeed or be skipped");
    CU_ASSERT_EQUAL(fixture_task(&f, run, "Publish")->cause, 3);
    END("Tidy", OUTCOME_SUCCEEDED);
    STATUS("failed");
    fixture_fini(&f);
}

static void a_cancelled_root_cuts_off_its_join(void)
{
    struct fixture f;
    begin(&f);
    uint64_t run = fixture_start(&f, "{\"unit\":\"media\"}");
    fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"media#1\",\"worker\":\"Fetch\"}");
    END("Fetch", OUTCOME_CANCELLED);
    STATE("Publish", "skipped");
    REASON("Publish", "'Fetch' was cancelled, so 'Probe' did not run; this needs it to succeed");
    END("Loose", OUTCOME_SUCCEEDED);
    END("Tidy", OUTCOME_SUCCEEDED);
    STATUS("cancelled");
    fixture_fini(&f);
}

static void a_retry_runs_the_join_once_its_branch_has_run(void)
{
    struct fixture f;
    begin(&f);
    uint64_t run = fixture_start(&f, "{\"unit\":\"media\"}");
    END("Fetch", OUTCOME_FAILED);
    END("Loose", OUTCOME_SUCCEEDED);
    END("Tidy", OUTCOME_SUCCEEDED);
    STATUS("failed");
    fixture_forget_tasks(&f);
    fixture_ask(&f, 1, MSG_RETRY, "{\"run\":\"media#1\"}");
    fixture_load_run(&f);
    CU_ASSERT_EQUAL(fixture_task(&f, run, "Publish")->cause, 0);
    END("Fetch", OUTCOME_SUCCEEDED);
    CU_ASSERT_TRUE(fixture_end(&f, "Probe", OUTCOME_SUCCEEDED, "{\"n\":1}"));
    STATE("Full", "skipped");
    CU_ASSERT_EQUAL(fixture_task(&f, run, "Full")->cause, 0);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "Publish"));
    END("Quick", OUTCOME_SUCCEEDED);
    END("Publish", OUTCOME_SUCCEEDED);
    STATUS("succeeded");
    fixture_fini(&f);
}

/* The join's other branch ends only after the restart. */
static void what_a_failure_cut_off_is_known_after_a_restart(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"workers\":["
                      "{\"id\":\"a\",\"run\":\"t.ok\"},{\"id\":\"z\",\"run\":\"t.ok\"},"
                      "{\"id\":\"b\",\"run\":\"t.ok\",\"dependsOn\":[\"a\"]},"
                      "{\"id\":\"c\",\"run\":\"t.ok\",\"dependsOn\":[\"b\"]},"
                      "{\"id\":\"any\",\"run\":\"t.ok\",\"dependsOn\":[\"z\",{\"id\":\"c\","
                      "\"on\":\"any\"}]},"
                      "{\"id\":\"join\",\"run\":\"t.ok\",\"dependsOn\":[\"any\",{\"id\":\"c\","
                      "\"on\":\"any\"}]},"
                      "{\"id\":\"late\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"z\","
                      "\"condition\":\"inputs.z == nil or true\"},\"d\"]},"
                      "{\"id\":\"d\",\"run\":\"t.ok\",\"dependsOn\":[\"c\"]}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    END("a", OUTCOME_FAILED);
    CU_ASSERT_EQUAL(fixture_task(&f, run, "c")->cause, 1);
    STATE("late", "skipped");
    fixture_forget_tasks(&f);
    /* As if the last commit had held the skip of `d`, and nothing of what follows from it. */
    struct record record = {.kind = RECORD_TASK};
    record.task = *fixture_task(&f, run, "late");
    record.remove = true;
    fixture_store(&f, &record);
    fixture_crash(&f);
    fixture_host(&f, 1, "h", 4);
    STATE("late", "skipped");
    REASON("late", "'a' failed, so 'd' did not run; this needs it to succeed");
    END("z", OUTCOME_SUCCEEDED);
    END("any", OUTCOME_SUCCEEDED);
    END("join", OUTCOME_SUCCEEDED);
    STATUS("failed");
    fixture_fini(&f);
}

#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        CASE(a_skip_names_the_failure_behind_it),
        CASE(a_branch_not_taken_lets_its_join_go_on_unless_the_other_failed),
        CASE(a_cancelled_root_cuts_off_its_join),
        CASE(a_retry_runs_the_join_once_its_branch_has_run),
        CASE(what_a_failure_cut_off_is_known_after_a_restart),
        {NULL, NULL},
    };
    return unit_main(argc, argv, "engine-branches", cases);
}
