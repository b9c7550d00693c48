/* The engine and hosts that are to get no work, work that is taken back, and hosts that take each
 * other's names. */
#include "tests/support/engine_fixture.h"

#define STATE(worker, state) CU_ASSERT_STRING_EQUAL(fixture_state(&f, run, worker), state)
#define ASK(type, json)      fixture_ask(&f, 1, type, json)
#define HAS(sequence, part)  CU_ASSERT_TRUE(fixture_reply_has(&f, sequence, part))

static const char one[] = "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}";

static void list_has(struct fixture *f, const char *part)
{
    uint64_t asked = fixture_ask(f, 1, MSG_LIST, "{\"what\":\"hosts\"}");
    CU_ASSERT_TRUE(fixture_reply_has(f, asked, part));
}

static void reject(struct fixture *f, uint32_t peer, struct attempt_id id)
{
    struct msg_attempt attempt = {.id = id, .reason = bytes_str("recalled")};
    struct buf body = {0};
    msg_attempts_encode(&attempt, 1, true, &body);
    fixture_host_send(f, peer, MSG_REJECT, 0, &body);
}

static void started(struct fixture *f, uint32_t peer, struct attempt_id id)
{
    struct msg_attempt attempt = {.id = id, .at = f->wall};
    struct buf body = {0};
    msg_attempts_encode(&attempt, 1, true, &body);
    fixture_host_send(f, peer, MSG_STARTED, 0, &body);
}

static void a_drained_host_gets_no_work_until_it_is_undone(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, one);
    HAS(ASK(MSG_DRAIN_HOST, "{\"host\":\"h\"}"), "\"state\":\"drained\",\"running\":0");
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"state\":\"drained\""), 1);
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    STATE("w", "none");
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "w"));
    HAS(ASK(MSG_EXPLAIN, "{\"run\":\"w#1\"}"),
        "the host that offers 't.ok' is drained: see `synk drain HOST --undo`\",\"stuck\":true");
    HAS(ASK(MSG_DRAIN_HOST, "{\"host\":\"h\"}"), "drained"); /* twice is once */
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"state\":\"drained\""), 1);
    HAS(ASK(MSG_DRAIN_HOST, "{\"host\":\"h\",\"undo\":true}"), "\"state\":\"up\"");
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_sent(&f, "w"));
    HAS(ASK(MSG_DRAIN_HOST, "{\"host\":\"g\"}"), "there is no host 'g'");
    fixture_fini(&f);
}

static void what_a_drained_host_has_not_begun_goes_elsewhere(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 2);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"runMode\":\"parallel\",\"workers\":["
                      "{\"id\":\"a\",\"run\":\"t.ok\"},{\"id\":\"b\",\"run\":\"t.ok\"}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    struct attempt_id a = fixture_sent(&f, "a")->id, b = fixture_sent(&f, "b")->id;
    started(&f, 1, a);
    HAS(ASK(MSG_DRAIN_HOST, "{\"host\":\"h\"}"), "\"state\":\"draining\",\"running\":1");
    CU_ASSERT_EQUAL_FATAL(f.recall_count, 1);
    CU_ASSERT_TRUE(attempt_id_equal(f.recalls[0], b));
    fixture_host(&f, 2, "g", 2);
    fixture_forget_tasks(&f);
    reject(&f, 1, b);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_sent(&f, "b"));
    CU_ASSERT_EQUAL(fixture_sent(&f, "b")->peer, 2);
    fixture_end(&f, "b", OUTCOME_SUCCEEDED, "1");
    fixture_report_as(&f, 1, 1, a, OUTCOME_SUCCEEDED, "1", NULL, 0);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "succeeded");
    list_has(&f, "\"state\":\"drained\"");
    fixture_fini(&f);
}

static void a_drain_survives_both(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, one);
    ASK(MSG_DRAIN_HOST, "{\"host\":\"h\"}");
    fixture_hello(&f, 2, "h", 7, 1); /* another instance */
    fixture_sync(&f, 2, NULL, 0);
    fixture_beat(&f, 2);
    fixture_start(&f, "{\"unit\":\"w\"}");
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "w"));
    fixture_crash(&f);
    fixture_hello(&f, 3, "h", 7, 1);
    fixture_sync(&f, 3, NULL, 0);
    fixture_beat(&f, 3);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "w"));
    list_has(&f, "\"state\":\"drained\"");
    ASK(MSG_DRAIN_HOST, "{\"host\":\"h\",\"undo\":true}");
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, "w"));
    fixture_crash(&f);
    fixture_hello(&f, 4, "h", 7, 1);
    fixture_sync(&f, 4, NULL, 0);
    fixture_beat(&f, 4);
    list_has(&f, "\"state\":\"up\"");
    fixture_fini(&f);
}

/* Rejecting in a circle: a host that leaves was sent its tasks again as fast as it gave them back.
 */
static void a_host_that_says_it_is_draining_is_sent_nothing(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, one);
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    struct attempt_id w = fixture_sent(&f, "w")->id;
    f.is_draining = true;
    fixture_beat(&f, 1);
    fixture_forget_tasks(&f);
    reject(&f, 1, w);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "w"));
    list_has(&f, "\"state\":\"draining\"");
    f.is_draining = false;
    fixture_host(&f, 2, "g", 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_sent(&f, "w"));
    CU_ASSERT_EQUAL(fixture_sent(&f, "w")->peer, 2);
    fixture_end(&f, "w", OUTCOME_SUCCEEDED, "1");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "succeeded");
    fixture_fini(&f);
}

/* Tasks given ahead by an average waited for the one long task before them, beside an idle host. */
static void what_waits_behind_a_long_task_goes_to_an_idle_host(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, one);
    fixture_start(&f, "{\"unit\":\"w\"}");
    fixture_end(&f, "w", OUTCOME_SUCCEEDED, "1"); /* t.ok is known to be short */
    fixture_forget_tasks(&f);
    ASK(MSG_SUBMIT, "{\"function\":\"t.ok\",\"count\":5}");
    CU_ASSERT_EQUAL_FATAL(f.task_count, 5);
    struct attempt_id first = f.tasks[0].id, last = f.tasks[4].id;
    started(&f, 1, first);
    fixture_pass(&f, 2000);
    CU_ASSERT_EQUAL(f.recall_count, 0); /* nobody else is there */
    fixture_beat(&f, 1);
    fixture_host(&f, 2, "g", 2);
    fixture_pass(&f, 600);
    CU_ASSERT_EQUAL_FATAL(f.recall_count, 2); /* as many as find a slot, not all */
    CU_ASSERT_EQUAL(f.recall_peer, 1);
    CU_ASSERT_TRUE(attempt_id_equal(f.recalls[0], last));
    fixture_forget_tasks(&f);
    reject(&f, 1, f.recalls[0]);
    reject(&f, 1, f.recalls[1]);
    CU_ASSERT_EQUAL_FATAL(f.task_count, 2);
    CU_ASSERT_EQUAL(f.tasks[0].peer, 2);
    CU_ASSERT_EQUAL(f.tasks[1].peer, 2);
    fixture_fini(&f);
}

/* ---- names ---- */

static void hosts_of_one_name_do_not_take_it_from_each_other(void)
{
    struct fixture f;
    fixture_init(&f);
    f.home = 11;
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, one);
    fixture_start(&f, "{\"unit\":\"w\"}");
    struct attempt_id w = fixture_sent(&f, "w")->id;
    f.home = 22;
    fixture_hello(&f, 2, "h", 2, 1);
    CU_ASSERT_EQUAL(f.refuse_count, 1);
    fixture_beat(&f, 2);
    CU_ASSERT_EQUAL(f.whos, 1);
    f.home = 11;
    fixture_hello(&f, 3, "h", 3, 1); /* from the same directory: the first is dead */
    CU_ASSERT_EQUAL(f.refuse_count, 1);
    fixture_sync(&f, 3, NULL, 0);
    fixture_forget_tasks(&f);
    fixture_beat(&f, 3);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_sent(&f, "w"));
    CU_ASSERT_FALSE(attempt_id_equal(fixture_sent(&f, "w")->id, w));
    fixture_pass(&f, 6000); /* it is suspect now */
    f.home = 22;
    fixture_hello(&f, 4, "h", 4, 1);
    CU_ASSERT_EQUAL(f.refuse_count, 1);
    fixture_fini(&f);
}

static void only_the_local_host_is_called_local(void)
{
    struct fixture f;
    fixture_init(&f);
    f.is_remote = true;
    fixture_hello(&f, 1, "local", 1, 1);
    CU_ASSERT_EQUAL(f.refuse_count, 1);
    fixture_hello(&f, 1, "other", 1, 1);
    CU_ASSERT_EQUAL(f.refuse_count, 1);
    f.is_remote = false;
    fixture_hello(&f, 2, "local", 1, 1);
    CU_ASSERT_EQUAL(f.refuse_count, 1);
    fixture_fini(&f);
}

static void subscribers_are_told_an_address_that_they_can_reach(void)
{
    struct fixture f;
    fixture_init(&f);
    HAS(ASK(MSG_CONNECT, "{}"), "\"events\":\"\"");
    engine_free(f.engine);
    f.config.events_address = "ipc://here";
    f.config.remote_events_address = "tcp://*:7402";
    f.engine = NULL;
    fixture_boot(&f);
    HAS(ASK(MSG_CONNECT, "{}"), "\"events\":\"ipc://here\"");
    f.is_remote = true;
    HAS(ASK(MSG_CONNECT, "{}"), "\"events\":\"tcp://*:7402\"");
    fixture_fini(&f);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"until undone", a_drained_host_gets_no_work_until_it_is_undone},
        {"goes elsewhere", what_a_drained_host_has_not_begun_goes_elsewhere},
        {"survives both", a_drain_survives_both},
        {"says so", a_host_that_says_it_is_draining_is_sent_nothing},
        {"behind a long task", what_waits_behind_a_long_task_goes_to_an_idle_host},
        {"one name", hosts_of_one_name_do_not_take_it_from_each_other},
        {"called local", only_the_local_host_is_called_local},
        {"address of events", subscribers_are_told_an_address_that_they_can_reach},
        {0},
    };
    return unit_main(argc, argv, "drain", cases);
}
