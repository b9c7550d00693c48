/* Submissions to the pool: names, pauses, changes, the order; priorities of runs, cancelled tasks,
 * resized hosts. */
#include "tests/support/engine_fixture.h"

#define HAS(asked, part) CU_ASSERT_TRUE(fixture_reply_has(&f, asked, part))

static uint64_t submit(struct fixture *f, const char *json)
{
    return fixture_ask(f, 1, MSG_SUBMIT, json);
}

static void end_nth(struct fixture *f, size_t n, enum outcome outcome)
{
    CU_ASSERT_TRUE_FATAL(n < f->task_count);
    fixture_report(f, &f->tasks[n], outcome, "null", outcome == OUTCOME_SUCCEEDED ? NULL : "bad");
}

static void names_are_unique_while_unfinished(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    HAS(submit(&f, "{\"function\":\"t.ok\",\"name\":\"nightly\"}"), "\"run\":\"pool#1\"");
    HAS(submit(&f, "{\"function\":\"t.ok\",\"name\":\"nightly\"}"),
        "'pool#1' is unfinished, and called 'nightly' already");
    HAS(submit(&f, "{\"function\":\"t.ok\",\"name\":\"a/b\"}"), "'name' must be");
    uint64_t wait = fixture_ask(&f, 1, MSG_WAIT, "{\"run\":\"nightly\"}");
    fixture_crash(&f);
    fixture_hello(&f, 1, "h", 1, 1);
    fixture_sync(&f, 1, NULL, 0);
    HAS(submit(&f, "{\"function\":\"t.ok\",\"name\":\"nightly\"}"), "already");
    (void)wait;
    fixture_beat(&f, 1);
    CU_ASSERT_TRUE_FATAL(f.task_count > 1);
    end_nth(&f, f.task_count - 1, OUTCOME_SUCCEEDED);
    HAS(submit(&f, "{\"function\":\"t.ok\",\"name\":\"nightly\"}"), "\"run\":\"pool#2\"");
    HAS(fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"pool\"}"), "\"name\":\"nightly\"");
    HAS(fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"nightly\"}"), "\"run\":\"pool#2\"");
    fixture_fini(&f);
}

static void a_paused_one_holds_back_those_behind_it(void)
{
    struct fixture f;
    fixture_init(&f);
    submit(&f, "{\"function\":\"t.ok\",\"name\":\"first\",\"paused\":true}");
    submit(&f, "{\"function\":\"t.other\",\"name\":\"behind\"}");
    submit(&f, "{\"function\":\"t.other\",\"name\":\"before\",\"priority\":1}");
    submit(&f, "{\"function\":\"t.ok\",\"name\":\"low\",\"priority\":-1}");
    uint64_t asked = fixture_ask(&f, 1, MSG_POOL_ORDER, "{}");
    fixture_host(&f, 1, "h", 8);
    CU_ASSERT_EQUAL(f.task_count, 1);
    CU_ASSERT_EQUAL(f.tasks[0].id.run, 3);
    asked = fixture_ask(&f, 1, MSG_POOL_ORDER, "{}");
    HAS(asked, "[{\"run\":\"pool#1\",\"name\":\"first\",\"worker\":\"0\",\"function\":\"t.ok\","
               "\"priority\":0,\"held\":\"it is paused\"},{\"run\":\"pool#2\"");
    HAS(asked, "\"held\":\"behind pool#1, which is paused\"");
    HAS(fixture_ask(&f, 1, MSG_EXPLAIN, "{\"run\":\"behind\"}"),
        "pool#1, which is before it, is paused");
    HAS(fixture_ask(&f, 1, MSG_EXPLAIN, "{\"run\":\"first\"}"), "the submission is paused");
    fixture_crash(&f); /* a pause survives */
    fixture_host(&f, 1, "h", 8);
    fixture_pass(&f, 16000);
    fixture_forget_tasks(&f);
    fixture_host(&f, 2, "i", 8);
    HAS(fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"pool\"}"), "\"paused\":true");
    asked = fixture_ask(&f, 1, MSG_RESUME, "{\"runs\":[\"first\"]}");
    HAS(asked, "\"runs\":[\"pool#1\"]");
    size_t sent[5] = {0};
    for (size_t i = 0; i < f.task_count; i++)
        sent[f.tasks[i].id.run]++;
    CU_ASSERT_TRUE(sent[1] && sent[2] && sent[4]);
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"current\":\"paused\""), 0);
    fixture_ask(&f, 1, MSG_PAUSE, "{\"runs\":[\"low\"]}");
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"current\":\"paused\""), 1);
    HAS(fixture_ask(&f, 1, MSG_PAUSE, "{\"runs\":[\"nobody\"]}"), "is not a run");
    fixture_fini(&f);
}

/* The end of a paused submission lets those behind it go. */
static void a_cancelled_gate_opens(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 8);
    submit(&f, "{\"function\":\"t.ok\",\"paused\":true}");
    submit(&f, "{\"function\":\"t.ok\"}");
    CU_ASSERT_EQUAL(f.task_count, 0);
    fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"pool#1\"}");
    CU_ASSERT_EQUAL(f.task_count, 1);
    fixture_fini(&f);
}

static void the_order_is_that_of_dispatch(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    submit(&f, "{\"function\":\"t.ok\"}"); /* has the only slot */
    submit(&f, "{\"function\":\"t.ok\",\"count\":70,\"name\":\"a\"}");
    submit(&f, "{\"function\":\"t.ok\",\"count\":2,\"name\":\"b\"}");
    submit(&f, "{\"function\":\"t.other\",\"name\":\"urgent\",\"priority\":5}");
    uint64_t asked = fixture_ask(&f, 1, MSG_POOL_ORDER, "{\"limit\":1000}");
    char *order = strdup(fixture_reply(&f, asked));
    struct synk_document *document = NULL;
    struct buf bytes = {0};
    fixture_json(order, &bytes);
    CU_ASSERT_EQUAL_FATAL(synk_document_decode(buf_bytes(&bytes), &document, NULL), SYNK_OK);
    const struct synk_value *items = synk_value_get(synk_document_root(document), "items");
    CU_ASSERT_EQUAL(synk_value_count(items), 73);
    for (size_t i = 0; i < 73; i++) {
        end_nth(&f, f.task_count - 1, OUTCOME_SUCCEEDED);
        const struct synk_value *item = synk_value_at(items, i);
        char label[32];
        snprintf(label, sizeof(label), "pool#%llu",
                 (unsigned long long)f.tasks[i + 1].id.run);
        CU_ASSERT_TRUE(bytes_equal(synk_value_bytes(synk_value_get(item, "run")),
                                   bytes_str(label)));
        if (f.task_count != i + 2)
            break; /* sent ahead: the rest is in order too, and told by its place */
    }
    synk_document_free(document);
    buf_fini(&bytes);
    free(order);
    fixture_fini(&f);
}

static void what_has_not_begun_can_be_changed(void)
{
    struct fixture f;
    fixture_init(&f);
    submit(&f, "{\"function\":\"t.ok\",\"name\":\"a\",\"payload\":{\"n\":1}}");
    submit(&f, "{\"function\":\"t.ok\",\"name\":\"b\",\"payload\":{\"n\":2},\"items\":[1,2]}");
    HAS(fixture_ask(&f, 1, MSG_POOL_UPDATE,
                    "{\"run\":\"b\",\"priority\":9,\"payload\":{\"n\":3},\"name\":\"c\"}"),
        "\"run\":\"pool#2\"");
    HAS(fixture_ask(&f, 1, MSG_POOL_UPDATE, "{\"run\":\"c\",\"params\":7}"),
        "each task of pool#2 has params of its own");
    HAS(fixture_ask(&f, 1, MSG_POOL_UPDATE, "{\"run\":\"c\",\"name\":\"a\"}"), "already");
    HAS(fixture_ask(&f, 1, MSG_POOL_UPDATE, "{\"run\":\"c\",\"count\":7}"), "cannot be changed");
    HAS(fixture_ask(&f, 1, MSG_POOL_UPDATE, "{\"run\":\"c\",\"slots\":0}"), "'slots' must be");
    HAS(fixture_ask(&f, 1, MSG_POOL_UPDATE, "{\"run\":\"b\",\"slots\":1}"), "invalid");
    HAS(fixture_ask(&f, 1, MSG_POOL_UPDATE, "{\"run\":\"a\",\"params\":{\"x\":1}}"), "pool#1");
    fixture_crash(&f);
    fixture_host(&f, 1, "h", 1);
    CU_ASSERT_EQUAL_FATAL(f.task_count, 1);
    CU_ASSERT_EQUAL(f.tasks[0].id.run, 2);
    CU_ASSERT_STRING_EQUAL(f.tasks[0].payload, "{\"n\":3}");
    CU_ASSERT_STRING_EQUAL(f.tasks[0].params, "1");
    HAS(fixture_ask(&f, 1, MSG_POOL_UPDATE, "{\"run\":\"c\",\"priority\":1}"), "pool#2 has begun");
    for (size_t i = 0; i < 2; i++)
        end_nth(&f, i, OUTCOME_SUCCEEDED);
    CU_ASSERT_STRING_EQUAL(f.tasks[f.task_count - 1].params, "{\"x\":1}");
    fixture_fini(&f);
}

static void submissions_are_checked(void)
{
    static const struct {
        const char *body, *text;
    } cases[] = {
        {"{}", "'function' must be"},
        {"{\"function\":\"t.ok\",\"count\":0}", "a submission has 1 to"},
        {"{\"function\":\"t.ok\",\"items\":[]}", "a submission has 1 to"},
        {"{\"function\":\"t.ok\",\"items\":3}", "'items' must be an array"},
        {"{\"function\":\"t.ok\",\"slots\":0}", "'slots' must be an integer from 1 to 65535"},
        {"{\"function\":\"t.ok\",\"priority\":\"x\"}", "'priority' must be"},
        {"{\"function\":\"t.ok\",\"maxRetries\":-1}", "'maxRetries' must be"},
        {"{\"function\":\"t.ok\",\"requires\":\"gpu\"}", "'requires' must be a list"},
        {"{\"function\":\"t.ok\",\"uses\":[1]}", "'uses' must be a map"},
        {"{\"function\":\"t.ok\",\"uses\":{\"db\":1}}", "there is no limit 'db'"},
        {"{\"function\":\"t.ok\",\"noRetryExitCodes\":[256]}", "from 0 to 255"},
        {"{\"function\":\"t.ok\",\"upload\":\"u\"}", "there is no such upload"},
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        HAS(submit(&f, cases[i].body), cases[i].text);
    fixture_fini(&f);
}

static void submissions_heed_what_workers_heed(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"limits\":{\"db\":1}}");
    submit(&f, "{\"function\":\"t.ok\",\"count\":3,\"uses\":{\"db\":1}}");
    CU_ASSERT_EQUAL(f.task_count, 1);
    submit(&f, "{\"function\":\"t.ok\",\"requires\":[\"gpu\"]}");
    CU_ASSERT_EQUAL(f.task_count, 1);
    submit(&f, "{\"function\":\"exec\",\"maxRetries\":3,\"noRetryExitCodes\":[1],\"payload\":"
               "{\"command\":\"x\"}}");
    CU_ASSERT_EQUAL(f.task_count, 2);
    end_nth(&f, 1, OUTCOME_FAILED); /* with exit status 1 */
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, 3), "failed");
    submit(&f, "{\"function\":\"t.other\",\"count\":4,\"slots\":2}");
    CU_ASSERT_EQUAL(f.task_count, 3); /* two and one of four slots */
    fixture_fini(&f);
}

static void a_runs_own_priority_counts(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"overlap\":\"allow\","
                      "\"priority\":3}]}");
    fixture_start(&f, "{\"unit\":\"w\"}");
    fixture_start(&f, "{\"unit\":\"w\",\"priority\":1}");
    fixture_start(&f, "{\"unit\":\"w\",\"priority\":7}");
    HAS(fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"w\",\"priority\":\"x\"}"), "'priority' must be");
    fixture_crash(&f); /* it is part of the run */
    fixture_host(&f, 1, "h", 1);
    CU_ASSERT_EQUAL_FATAL(f.task_count, 1);
    CU_ASSERT_EQUAL(f.tasks[0].id.run, 3);
    end_nth(&f, 0, OUTCOME_SUCCEEDED);
    CU_ASSERT_EQUAL(f.tasks[1].id.run, 1);
    fixture_fini(&f);
}

static void one_task_can_be_cancelled(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"workers\":["
                      "{\"id\":\"a\",\"run\":\"t.ok\",\"maxRetries\":3},"
                      "{\"id\":\"b\",\"run\":\"t.ok\"},"
                      "{\"id\":\"c\",\"run\":\"t.ok\",\"dependsOn\":[\"a\"]},"
                      "{\"id\":\"d\",\"run\":\"t.ok\",\"dependsOn\":[\"b\"]}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    HAS(fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"p#1\",\"worker\":\"x\"}"), "no such worker");
    HAS(fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"p#1\",\"worker\":\"a\"}"),
        "\"state\":\"dispatched\"");
    CU_ASSERT_EQUAL(f.cancel_count, 1);
    struct attempt_id a = fixture_sent(&f, "a")->id, b = fixture_sent(&f, "b")->id;
    struct msg_attempt have[] = {{.id = a, .phase = PHASE_RUNNING, .at = f.wall},
                                 {.id = b, .phase = PHASE_RUNNING, .at = f.wall}};
    fixture_crash(&f); /* before the host has told */
    fixture_hello(&f, 1, "h", 1, 4);
    fixture_sync(&f, 1, have, 2);
    fixture_beat(&f, 1);
    CU_ASSERT_EQUAL(f.cancel_count, 2); /* told again */
    fixture_report_as(&f, 1, 1, a, OUTCOME_CANCELLED, NULL, "cancelled", -1);
    CU_ASSERT_STRING_EQUAL(fixture_state(&f, run, "a"), "cancelled");
    CU_ASSERT_STRING_EQUAL(fixture_state(&f, run, "c"), "skipped");
    HAS(fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"p#1\",\"worker\":\"d\"}"),
        "\"state\":\"cancelled\"");
    fixture_report_as(&f, 1, 2, b, OUTCOME_SUCCEEDED, "null", NULL, 0);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "cancelled");
    fixture_fini(&f);
}

static void hosts_are_resized(void)
{
    struct fixture f;
    fixture_init(&f);
    HAS(fixture_ask(&f, 1, MSG_RESIZE, "{\"slots\":2}"), "there is no host 'local'");
    fixture_host(&f, 1, "local", 1);
    submit(&f, "{\"function\":\"t.ok\",\"count\":5}");
    CU_ASSERT_EQUAL(f.task_count, 1);
    HAS(fixture_ask(&f, 1, MSG_RESIZE, "{\"slots\":0}"), "from 1 to 1024");
    HAS(fixture_ask(&f, 1, MSG_RESIZE, "{\"slots\":2,\"host\":\"locl\"}"), "did you mean 'local'");
    HAS(fixture_ask(&f, 1, MSG_RESIZE, "{\"slots\":3}"), "\"slots\":3");
    CU_ASSERT_EQUAL(f.task_count, 3);
    HAS(fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"hosts\"}"), "\"slots\":3");
    fixture_fini(&f);
}

int main(int argc, char **argv)
{
#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
    static const struct unit_case cases[] = {
        CASE(names_are_unique_while_unfinished),
        CASE(a_paused_one_holds_back_those_behind_it),
        CASE(a_cancelled_gate_opens),
        CASE(the_order_is_that_of_dispatch),
        CASE(what_has_not_begun_can_be_changed),
        CASE(submissions_are_checked),
        CASE(submissions_heed_what_workers_heed),
        CASE(a_runs_own_priority_counts),
        CASE(one_task_can_be_cancelled),
        CASE(hosts_are_resized),
        {NULL, NULL},
    };
    return unit_main(argc, argv, "engine-pool", cases);
}
