/* What is changed about units at run time: settings, status, release; and what shows it. */
#include "tests/support/engine_fixture.h"

static const char *const process =
    "{\"processes\":[{\"id\":\"p\",\"workers\":["
    "{\"id\":\"a\",\"run\":\"t.ok\",\"maxRetries\":1},"
    "{\"id\":\"b\",\"run\":\"t.ok\",\"maxRetries\":1,\"dependsOn\":[\"a\"]}]}]}";

static const char *set(struct fixture *f, const char *json)
{
    return fixture_reply(f, fixture_ask(f, 1, MSG_SET, json));
}

static bool has(const char *text, const char *part)
{
    if (text && strstr(text, part))
        return true;
    printf("\n'%s' is not in '%s'\n", part, text ? text : "(no reply)");
    return false;
}

static void a_setting_counts_from_the_next_attempt(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 2);
    fixture_apply(&f, process);
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_TRUE(has(set(&f, "{\"id\":\"p/a\",\"set\":{\"maxRetries\":0,\"priority\":7}}"),
                       "\"changed\":[\"maxRetries\",\"priority\"]"));
    CU_ASSERT_EQUAL(fixture_count_events(&f, "config-change"), 1);
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"previous\":{\"maxRetries\":1,\"priority\":null}"),
                    1);
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_FAILED, "null"));
    CU_ASSERT_STRING_EQUAL(fixture_state(&f, run, "a"), "failed");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "failed");
    fixture_fini(&f);
}

static void the_same_value_changes_nothing(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, process);
    CU_ASSERT_TRUE(has(set(&f, "{\"id\":\"p/a\",\"set\":{\"maxRetries\":1}}"), "\"changed\":[]"));
    CU_ASSERT_EQUAL(fixture_count_events(&f, "config-change"), 0);
    fixture_fini(&f);
}

static void settings_survive_a_crash_and_the_same_file(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, process);
    set(&f, "{\"id\":\"p/b\",\"set\":{\"maxRetries\":9}}");
    set(&f, "{\"id\":\"p\",\"set\":{\"maxParallel\":3,\"meta\":{\"owner\":\"x\"}}}");
    fixture_crash(&f);
    uint64_t show = fixture_ask(&f, 1, MSG_SHOW, "{\"id\":\"p\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, show, "\"maxRetries\":9"));
    CU_ASSERT_TRUE(fixture_reply_has(&f, show, "\"maxParallel\":3"));
    CU_ASSERT_TRUE(fixture_reply_has(
        &f, show, "{\"worker\":\"b\",\"field\":\"maxRetries\",\"value\":9,\"was\":1}"));
    CU_ASSERT_TRUE(fixture_reply_has(&f, fixture_apply(&f, process), "\"change\":\"unchanged\""));
    show = fixture_ask(&f, 1, MSG_SHOW, "{\"id\":\"p\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, show, "\"maxRetries\":9"));
    fixture_fini(&f);
}

static void a_file_that_changes_the_field_wins(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, process);
    set(&f, "{\"id\":\"p/a\",\"set\":{\"maxRetries\":9,\"priority\":5}}");
    uint64_t asked = fixture_apply(
        &f, "{\"processes\":[{\"id\":\"p\",\"workers\":["
            "{\"id\":\"a\",\"run\":\"t.ok\",\"maxRetries\":2},"
            "{\"id\":\"b\",\"run\":\"t.ok\",\"maxRetries\":1,\"dependsOn\":[\"a\"]}]}]}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"change\":\"changed\""));
    uint64_t show = fixture_ask(&f, 1, MSG_SHOW, "{\"id\":\"p\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, show, "\"maxRetries\":2"));
    CU_ASSERT_TRUE(fixture_reply_has(&f, show, "\"priority\":5"));
    CU_ASSERT_FALSE(fixture_reply_has(&f, show, "\"field\":\"maxRetries\""));
    fixture_fini(&f);
}

static void nil_goes_back_to_the_file(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, process);
    set(&f, "{\"id\":\"p/a\",\"set\":{\"maxRetries\":9}}");
    CU_ASSERT_TRUE(has(set(&f, "{\"id\":\"p/a\",\"set\":{\"maxRetries\":null}}"),
                       "\"changed\":[\"maxRetries\"]"));
    uint64_t show = fixture_ask(&f, 1, MSG_SHOW, "{\"id\":\"p\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, show, "\"settings\":[]"));
    CU_ASSERT_TRUE(fixture_reply_has(&f, fixture_apply(&f, process), "\"change\":\"unchanged\""));
    fixture_fini(&f);
}

static void other_work_is_for_the_next_run(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 2);
    fixture_apply(&f, process);
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_TRUE(
        has(set(&f, "{\"id\":\"p/b\",\"set\":{\"run\":\"t.other\"}}"), "\"changed\":[\"run\"]"));
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_SUCCEEDED, "1"));
    CU_ASSERT_TRUE(fixture_end(&f, "b", OUTCOME_SUCCEEDED, "1"));
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "succeeded");
    fixture_crash(&f);
    uint64_t show = fixture_ask(&f, 1, MSG_SHOW, "{\"id\":\"p\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, show, "\"run\":\"t.other\""));
    fixture_fini(&f);
}

static void bad_settings_are_refused(void)
{
    static const struct {
        const char *request, *text;
    } cases[] = {
        {"{\"id\":\"q\",\"set\":{}}", "there is no unit 'q'"},
        {"{\"id\":\"p\",\"set\":{\"maxParalel\":1}}", "did you mean 'maxParallel'"},
        {"{\"id\":\"p\",\"set\":[1]}", "'set' must be a map"},
        {"{\"id\":\"p/a\",\"set\":{\"maxRetries\":-1}}", "'maxRetries' must be"},
        {"{\"id\":\"p/a\",\"set\":{\"dependsOn\":[\"b\"]}}", "change the file"},
        {"{\"id\":\"p\",\"status\":\"running\"}", "can be set to idle, paused"},
        {"{\"id\":\"p/a\",\"status\":\"error\"}", "can be set to idle or paused"},
        {"{\"id\":\"pool\",\"set\":{}}", "pool"},
        {"{\"id\":\"p/a\",\"set\":{\"maxRetries\":3},\"status\":\"nope\"}", "can be set to"},
    };
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, process);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CU_ASSERT_TRUE(has(set(&f, cases[i].request), cases[i].text));
    uint64_t show = fixture_ask(&f, 1, MSG_SHOW, "{\"id\":\"p\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, show, "\"settings\":[]"));
    fixture_fini(&f);
}

static void status_is_set_by_hand(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 2);
    fixture_apply(&f, process);
    fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_TRUE(
        has(set(&f, "{\"id\":\"p\",\"status\":\"idle\"}"), "has an unfinished run, p#1"));
    CU_ASSERT_TRUE(has(set(&f, "{\"id\":\"p\",\"status\":\"paused\"}"), "\"status\":\"paused\""));
    CU_ASSERT_TRUE(has(set(&f, "{\"id\":\"p\",\"status\":\"idle\"}"), "\"status\":\"running\""));
    fixture_end(&f, "a", OUTCOME_FAILED, "null");
    fixture_end(&f, "a", OUTCOME_FAILED, "null");
    CU_ASSERT_EQUAL(fixture_unit(&f, "p")->status, UNIT_ERROR);
    CU_ASSERT_TRUE(has(set(&f, "{\"id\":\"p\",\"status\":\"idle\"}"), "\"status\":\"idle\""));
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"previous\":\"error\",\"current\":\"idle\""), 1);
    fixture_fini(&f);
}

static void enabling_after_max_runs_starts_the_count_anew(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 2);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"maxRuns\":1}]}");
    fixture_start(&f, "{\"unit\":\"w\"}");
    fixture_end(&f, "w", OUTCOME_SUCCEEDED, "1");
    CU_ASSERT_FALSE(fixture_unit(&f, "w")->enabled);
    set(&f, "{\"id\":\"w\",\"set\":{\"enabled\":true}}");
    CU_ASSERT_TRUE(fixture_unit(&f, "w")->enabled);
    CU_ASSERT_EQUAL(fixture_unit(&f, "w")->success_count, 0);
    fixture_fini(&f);
}

static void release_waits_for_nothing_or_is_forced(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 2);
    fixture_apply(&f, process);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"onComplete\":[\"p\"]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    uint64_t asked = fixture_ask(&f, 1, MSG_RELEASE, "{\"id\":\"p\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "cannot be released while p#1 is unfinished"));
    asked = fixture_ask(&f, 1, MSG_RELEASE, "{\"id\":\"p\",\"force\":true,\"key\":\"k1\"}");
    CU_ASSERT_PTR_NULL(fixture_reply(&f, asked));
    CU_ASSERT_TRUE(fixture_reply_has(&f, fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"p\"}"),
                                     "is being released"));
    CU_ASSERT_TRUE(fixture_reply_has(&f, fixture_apply(&f, process), "is being released"));
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_CANCELLED, "null"));
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"cancelled\":[\"p#1\"]"));
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"dependents\":[\"w\"]"));
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "cancelled");
    CU_ASSERT_EQUAL(fixture_count_events(&f, "unit:p:released"), 1);
    uint64_t again =
        fixture_ask(&f, 1, MSG_RELEASE, "{\"id\":\"p\",\"force\":true,\"key\":\"k1\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, again, "\"cancelled\":[\"p#1\"]"));
    asked = fixture_ask(&f, 1, MSG_RELEASE, "{\"id\":\"p\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "there is no unit 'p'"));
    fixture_crash(&f);
    asked = fixture_ask(&f, 1, MSG_SHOW, "{\"id\":\"p\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "there is no unit 'p'"));
    fixture_fini(&f);
}

static void lists_filter_and_snapshots_page(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 2);
    fixture_apply(&f, process);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
    fixture_start(&f, "{\"unit\":\"p\"}");
    uint64_t asked = fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"units\",\"kind\":\"worker\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"id\":\"w\""));
    CU_ASSERT_FALSE(fixture_reply_has(&f, asked, "\"id\":\"p\""));
    asked = fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"units\",\"worker\":\"b\",\"deep\":true}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"definition\":{\"id\":\"p\""));
    CU_ASSERT_FALSE(fixture_reply_has(&f, asked, "\"id\":\"w\""));
    asked = fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"units\",\"kind\":\"x\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "'kind' must be worker or process"));
    asked = fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"workers\",\"unit\":\"p\",\"limit\":1}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"worker\":\"a\""));
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"cursor\":1"));
    asked = fixture_ask(&f, 1, MSG_LIST,
                        "{\"what\":\"workers\",\"unit\":\"p\",\"cursor\":1,\"deep\":true}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"dependsOn\":[\"a\"]"));
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"state\":\"pending\""));
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"cursor\":null"));
    asked = fixture_ask(&f, 1, MSG_SNAPSHOT, "{}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"run\":\"p#1\""));
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"name\":\"h\""));
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"definition\":{\"id\":\"w\""));
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"cursor\":null"));
    fixture_fini(&f);
}

static void events_of_a_run_that_there_is_not_are_refused(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, process);
    uint64_t asked = fixture_ask(&f, 1, MSG_FETCH, "{\"from\":0,\"run\":\"p#7\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "there is no run 'p#7'"));
    asked = fixture_ask(&f, 1, MSG_FETCH, "{\"from\":0,\"run\":\"nope\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "'nope' is not a run"));
    fixture_fini(&f);
}

static void execution_times_are_shown(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 2);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
    for (int i = 0; i < 12; i++) {
        fixture_start(&f, "{\"unit\":\"w\"}");
        fixture_pass(&f, 100);
        fixture_end(&f, "w", OUTCOME_SUCCEEDED, "1");
    }
    uint64_t show = fixture_ask(&f, 1, MSG_SHOW, "{\"id\":\"w\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, show, "\"runCount\":12"));
    CU_ASSERT_TRUE(fixture_reply_has(&f, show, "\"executionTimesMs\":["));
    CU_ASSERT_TRUE(fixture_reply_has(&f, show, "\"percentilesMs\":{\"p50\":"));
    fixture_fini(&f);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"a_setting_counts_from_the_next_attempt", a_setting_counts_from_the_next_attempt},
        {"the_same_value_changes_nothing", the_same_value_changes_nothing},
        {"settings_survive_a_crash_and_the_same_file", settings_survive_a_crash_and_the_same_file},
        {"a_file_that_changes_the_field_wins", a_file_that_changes_the_field_wins},
        {"nil_goes_back_to_the_file", nil_goes_back_to_the_file},
        {"other_work_is_for_the_next_run", other_work_is_for_the_next_run},
        {"bad_settings_are_refused", bad_settings_are_refused},
        {"status_is_set_by_hand", status_is_set_by_hand},
        {"enabling_after_max_runs_starts_the_count_anew",
         enabling_after_max_runs_starts_the_count_anew},
        {"release_waits_for_nothing_or_is_forced", release_waits_for_nothing_or_is_forced},
        {"lists_filter_and_snapshots_page", lists_filter_and_snapshots_page},
        {"events_of_a_run_that_there_is_not_are_refused",
         events_of_a_run_that_there_is_not_are_refused},
        {"execution_times_are_shown", execution_times_are_shown},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "engine_registry", cases);
}
