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
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"previous\":{\"maxRetries\":1,\"priority\":0}"), 1);
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

/* Whether the unit has these settings over what its file says. */
static bool has_settings(struct fixture *f, const char *id, const char *settings)
{
    char body[64], text[512];
    snprintf(body, sizeof(body), "{\"id\":\"%s\"}", id);
    snprintf(text, sizeof(text), "\"settings\":%s", settings);
    return fixture_reply_has(f, fixture_ask(f, 1, MSG_SHOW, body), text);
}

static void what_a_worker_runs_is_one_choice(void)
{
    static const char *const back[] = {"{\"command\":null}", "{\"run\":null}", "{\"env\":null}",
                                       "{\"run\":null,\"command\":null}"};
    static const char file[] = "{\"workers\":[{\"id\":\"w\",\"run\":\"odd.prog\",\"payload\":7}]}";
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, file);
    for (size_t i = 0; i < sizeof(back) / sizeof(*back); i++) {
        char body[128];
        set(&f, "{\"id\":\"w\",\"set\":{\"command\":\"foo\",\"env\":{\"A\":\"1\"}}}");
        CU_ASSERT_TRUE(has_settings(
            &f, "w",
            "[{\"worker\":null,\"field\":\"run\",\"value\":null,\"was\":\"odd.prog\"},"
            "{\"worker\":null,\"field\":\"payload\",\"value\":null,\"was\":7},"
            "{\"worker\":null,\"field\":\"command\",\"value\":\"foo\",\"was\":null},"
            "{\"worker\":null,\"field\":\"env\",\"value\":{\"A\":\"1\"},\"was\":null}]"));
        set(&f, "{\"id\":\"w\",\"set\":{\"run\":\"odd.one\"}}");
        CU_ASSERT_TRUE(has_settings(
            &f, "w",
            "[{\"worker\":null,\"field\":\"run\",\"value\":\"odd.one\",\"was\":\"odd.prog\"},"
            "{\"worker\":null,\"field\":\"payload\",\"value\":null,\"was\":7}]"));
        fixture_crash(&f);
        snprintf(body, sizeof(body), "{\"id\":\"w\",\"set\":%s}", back[i]);
        CU_ASSERT_TRUE(has(set(&f, body), "\"run\":\"odd.prog\",\"payload\":7"));
        CU_ASSERT_TRUE(has_settings(&f, "w", "[]"));
    }
    fixture_fini(&f);
}

static void a_file_that_runs_something_else_wins_as_a_whole(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"command\":\"a\"}]}");
    set(&f, "{\"id\":\"w\",\"set\":{\"command\":\"b\"}}");
    CU_ASSERT_TRUE(
        fixture_reply_has(&f, fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"command\":\"a\"}]}"),
                          "\"change\":\"unchanged\""));
    CU_ASSERT_TRUE(fixture_reply_has(
        &f,
        fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"command\":\"a\",\"stdin\":\"json\"}]}"),
        "\"change\":\"changed\""));
    CU_ASSERT_TRUE(has_settings(&f, "w", "[]"));
    uint64_t show = fixture_ask(&f, 1, MSG_SHOW, "{\"id\":\"w\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, show, "\"command\":\"a\""));
    fixture_fini(&f);
}

static void a_default_is_told_as_what_it_counts_as(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"maxRetries\":2}]}");
    set(&f, "{\"id\":\"w\",\"set\":{\"maxRetries\":0,\"timeoutMs\":5,\"slots\":2}}");
    CU_ASSERT_EQUAL(
        fixture_count_events(&f, "\"previous\":{\"maxRetries\":2,\"timeoutMs\":10000,\"slots\":1},"
                                 "\"current\":{\"maxRetries\":0,\"timeoutMs\":5,\"slots\":2}"),
        1);
    CU_ASSERT_TRUE(
        has_settings(&f, "w",
                     "[{\"worker\":null,\"field\":\"maxRetries\",\"value\":0,\"was\":2},"
                     "{\"worker\":null,\"field\":\"timeoutMs\",\"value\":5,\"was\":10000},"
                     "{\"worker\":null,\"field\":\"slots\",\"value\":2,\"was\":1}]"));
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

static bool explains(struct fixture *f, const char *unit, const char *text)
{
    char body[64];
    snprintf(body, sizeof(body), "{\"unit\":\"%s\"}", unit);
    return fixture_reply_has(f, fixture_ask(f, 1, MSG_EXPLAIN, body), text);
}

static void a_reset_lets_a_unit_run_as_often_again(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 2);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"maxRuns\":1,"
                      "\"intervalMs\":1000}]}");
    fixture_start(&f, "{\"unit\":\"w\"}");
    fixture_end(&f, "w", OUTCOME_SUCCEEDED, "1");
    uint64_t show = fixture_ask(&f, 1, MSG_SHOW, "{\"id\":\"w\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, show, "\"disabledWhy\":\"maxRuns reached\""));
    CU_ASSERT_TRUE(explains(&f, "w", "disabled: it has had its maxRuns (1)"));
    CU_ASSERT_TRUE(has(set(&f, "{\"id\":\"w\",\"status\":\"idle\"}"), "\"enabled\":true"));
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"current\":{\"enabled\":true},\"why\":\"reset\""),
                    1);
    CU_ASSERT_TRUE(explains(&f, "w", "due next at 20"));
    fixture_forget_tasks(&f);
    fixture_pass(&f, 1000);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, "w"));
    /* Who disabled it by hand has not had its maxRuns. */
    set(&f, "{\"id\":\"w\",\"set\":{\"enabled\":false}}");
    CU_ASSERT_TRUE(explains(&f, "w", "disabled: `synk enable w`; w#2 is running"));
    fixture_end(&f, "w", OUTCOME_FAILED, "1");
    set(&f, "{\"id\":\"w\",\"status\":\"idle\"}");
    CU_ASSERT_FALSE(fixture_unit(&f, "w")->enabled);
    fixture_fini(&f);
}

static void a_unit_that_does_not_run_is_explained(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, process);
    CU_ASSERT_TRUE(explains(&f, "p", "nothing schedules it: `synk run p`\""));
    fixture_start(&f, "{\"unit\":\"p\"}");
    fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_TRUE(explains(&f, "p", "p#1 is running; 1 queued behind it; nothing schedules it"));
    set(&f, "{\"id\":\"p\",\"status\":\"paused\"}");
    CU_ASSERT_TRUE(explains(&f, "p", "paused: `synk resume p`; p#1 is running"));
    CU_ASSERT_TRUE(explains(&f, "p", "\"stuck\":true"));
    set(&f, "{\"id\":\"p\",\"status\":\"idle\"}");
    set(&f, "{\"id\":\"p/a\",\"status\":\"paused\"}");
    CU_ASSERT_TRUE(explains(&f, "p/a", "worker 'a' is paused: `synk resume p/a`"));
    CU_ASSERT_TRUE(explains(&f, "q", "there is no unit 'q'"));
    fixture_apply(&f, "{\"workers\":[{\"id\":\"m\",\"run\":\"t.ok\",\"runOnMilestone\":\"x\"}]}");
    CU_ASSERT_TRUE(explains(&f, "m", "runs when milestone 'x' is emitted\""));
    fixture_start(&f, "{\"unit\":\"m\"}");
    fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"m#1\"}");
    CU_ASSERT_TRUE(explains(&f, "m", "emitted; its last run, #1, was cancelled at 20") ||
                   explains(&f, "m", "m#1 is running"));
    /* Both: a run, where there is no such unit. */
    uint64_t asked = fixture_ask(&f, 1, MSG_EXPLAIN, "{\"unit\":\"p#1\",\"run\":\"p#1\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"run\":\"p#1\""));
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

static void percentiles_lie_within_what_was_measured(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 2);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
    static const int64_t took[] = {225, 215, 225};
    for (size_t i = 0; i < 3; i++) {
        fixture_start(&f, "{\"unit\":\"w\"}");
        fixture_pass(&f, took[i]);
        fixture_end(&f, "w", OUTCOME_SUCCEEDED, "1");
    }
    fixture_crash(&f);
    uint64_t show = fixture_ask(&f, 1, MSG_SHOW, "{\"id\":\"w\"}");
    CU_ASSERT_TRUE(
        fixture_reply_has(&f, show, "\"percentilesMs\":{\"p50\":221,\"p90\":225,\"p99\":225}"));
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
        {"what_a_worker_runs_is_one_choice", what_a_worker_runs_is_one_choice},
        {"a_file_that_runs_something_else_wins", a_file_that_runs_something_else_wins_as_a_whole},
        {"a_default_is_told_as_what_it_counts_as", a_default_is_told_as_what_it_counts_as},
        {"bad_settings_are_refused", bad_settings_are_refused},
        {"status_is_set_by_hand", status_is_set_by_hand},
        {"enabling_after_max_runs_starts_the_count_anew",
         enabling_after_max_runs_starts_the_count_anew},
        {"a_reset_lets_a_unit_run_as_often_again", a_reset_lets_a_unit_run_as_often_again},
        {"a_unit_that_does_not_run_is_explained", a_unit_that_does_not_run_is_explained},
        {"release_waits_for_nothing_or_is_forced", release_waits_for_nothing_or_is_forced},
        {"lists_filter_and_snapshots_page", lists_filter_and_snapshots_page},
        {"events_of_a_run_that_there_is_not_are_refused",
         events_of_a_run_that_there_is_not_are_refused},
        {"execution_times_are_shown", execution_times_are_shown},
        {"percentiles_lie_within_what_was_measured", percentiles_lie_within_what_was_measured},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "engine_registry", cases);
}
