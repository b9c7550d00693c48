/* The engine and its hosts: what is sent again, the end of the local host's process, tasks that
 * bring it down. */
#include "tests/support/engine_fixture.h"

#define STATE(worker, state) CU_ASSERT_STRING_EQUAL(fixture_state(&f, run, worker), state)
#define STATUS(status)       CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), status)

static const char one[] = "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}";
static const char beside[] = "{\"processes\":[{\"id\":\"p\",\"runMode\":\"parallel\",\"workers\":["
                             "{\"id\":\"a\",\"run\":\"t.ok\"},{\"id\":\"b\",\"run\":\"t.ok\"},"
                             "{\"id\":\"c\",\"run\":\"t.ok\"}]}]}";

static void milestone(struct fixture *f, uint32_t peer, uint64_t sequence, struct attempt_id id,
                      const char *name)
{
    struct msg_report report = {
        .kind = REPORT_MILESTONE, .id = id, .name = bytes_str(name), .at = f->wall};
    struct buf item = {0}, body = {0};
    msg_report_encode(&report, &item);
    msg_reports_wrap(buf_bytes(&item), 1, &body);
    fixture_host_send(f, peer, MSG_REPORT, sequence, &body);
    buf_fini(&item);
}

static void has_running(struct fixture *f, uint32_t peer, struct attempt_id id)
{
    struct msg_attempt has = {.id = id, .phase = PHASE_RUNNING, .at = f->wall};
    fixture_sync(f, peer, &has, 1);
}

static void says_goodbye(struct fixture *f, uint32_t peer)
{
    struct buf body = {0};
    pack_map(&body, 0);
    fixture_host_send(f, peer, MSG_BYE, 0, &body);
}

static void started(struct fixture *f, uint32_t peer, struct attempt_id id)
{
    struct msg_attempt attempt = {.id = id, .at = f->wall};
    struct buf body = {0};
    msg_attempts_encode(&attempt, 1, true, &body);
    fixture_host_send(f, peer, MSG_STARTED, 0, &body);
}

/* ---- what comes again after a restart ---- */

static void a_milestone_that_comes_again_after_a_restart_is_told_once(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, one);
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    struct attempt_id w = fixture_sent(&f, "w")->id;
    milestone(&f, 1, 1, w, "half");
    milestone(&f, 1, 2, w, "most");
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"milestone\":\"half\""), 1);
    fixture_crash(&f); /* before the host heard that 2 was kept */
    fixture_hello(&f, 2, "h", 1, 4);
    has_running(&f, 2, w);
    milestone(&f, 2, 2, w, "most");
    CU_ASSERT_EQUAL(f.acked[2], 2);
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"milestone\":\"most\""), 1);
    milestone(&f, 2, 3, w, "all");
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"milestone\":\"all\""), 1);
    fixture_report_as(&f, 2, 4, w, OUTCOME_SUCCEEDED, "1", NULL, 0);
    STATUS("succeeded");
    fixture_fini(&f);
}

static void what_was_acknowledged_before_a_restart_leaves_no_gap(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, beside);
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    struct attempt_id c = fixture_sent(&f, "c")->id;
    milestone(&f, 1, 1, c, "half");
    fixture_report_as(&f, 1, 2, fixture_sent(&f, "a")->id, OUTCOME_SUCCEEDED, "1", NULL, 0);
    fixture_report_as(&f, 1, 3, fixture_sent(&f, "b")->id, OUTCOME_SUCCEEDED, "1", NULL, 0);
    fixture_crash(&f);
    fixture_hello(&f, 2, "h", 1, 4);
    has_running(&f, 2, c);
    fixture_report_as(&f, 2, 4, c, OUTCOME_SUCCEEDED, "1", NULL, 0);
    CU_ASSERT_EQUAL(f.whos, 0);
    STATUS("succeeded");
    fixture_fini(&f);
}

static void another_instance_counts_anew(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, one);
    fixture_start(&f, "{\"unit\":\"w\"}");
    milestone(&f, 1, 1, fixture_sent(&f, "w")->id, "half");
    fixture_crash(&f);
    fixture_host(&f, 2, "h", 4); /* instance 2 */
    milestone(&f, 2, 1, fixture_sent(&f, "w")->id, "half");
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"milestone\":\"half\""), 2);
    fixture_fini(&f);
}

static void a_host_that_comes_after_it_was_given_up_is_not_taken_for_new(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, one);
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    struct attempt_id w = fixture_sent(&f, "w")->id;
    milestone(&f, 1, 1, w, "half");
    fixture_crash(&f);
    fixture_pass(&f, 16000);
    fixture_hello(&f, 2, "h", 1, 4);
    has_running(&f, 2, w);
    milestone(&f, 2, 1, w, "half");
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"milestone\":\"half\""), 1);
    fixture_report_as(&f, 2, 2, w, OUTCOME_SUCCEEDED, "1", NULL, 0);
    STATUS("succeeded");
    fixture_fini(&f);
}

/* ---- the end of the local host's process ---- */

static void init_local(struct fixture *f)
{
    fixture_init(f);
    engine_free(f->engine);
    f->config.local_slots = 4;
    fixture_boot(f);
}

static void local_event(struct fixture *f, enum local_host_event event, int64_t pid)
{
    fixture_input(f, (struct input){.kind = INPUT_LOCAL_HOST,
                                    .pid = pid,
                                    .local_event = event,
                                    .text = bytes_str("signal 9")});
}

/* The process of this instance starts and says hello, from a peer of the same number. */
static void local_comes(struct fixture *f, uint32_t instance)
{
    local_event(f, LOCAL_HOST_STARTED, 100 + (int64_t)instance);
    fixture_hello(f, instance, "local", instance, 4);
    fixture_sync(f, instance, NULL, 0);
}

static void what_the_dead_host_sent_and_spooled_counts(void)
{
    struct fixture f;
    init_local(&f);
    local_comes(&f, 1);
    fixture_beat(&f, 1);
    fixture_apply(&f, beside);
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    struct attempt_id a = fixture_sent(&f, "a")->id, b = fixture_sent(&f, "b")->id;
    fixture_forget_tasks(&f);
    local_event(&f, LOCAL_HOST_EXITED, 101);
    CU_ASSERT_EQUAL(f.spawns, 2);
    CU_ASSERT_EQUAL(f.task_count, 0);
    /* It lay unread. */
    fixture_report_as(&f, 1, 1, a, OUTCOME_SUCCEEDED, "1", NULL, 0);
    STATE("a", "succeeded");
    /* It lay on the disk, and comes from the successor. */
    local_comes(&f, 2);
    fixture_report_as(&f, 2, 1, b, OUTCOME_SUCCEEDED, "1", NULL, 0);
    STATE("b", "succeeded");
    CU_ASSERT_EQUAL(f.task_count, 0);
    fixture_beat(&f, 2);
    f.report_sequence[2] = 1;
    /* The third is gone. */
    CU_ASSERT_EQUAL(f.task_count, 1);
    CU_ASSERT_EQUAL_FATAL(fixture_sent(&f, "c")->id.attempt, 2);
    CU_ASSERT_TRUE(fixture_end(&f, "c", OUTCOME_SUCCEEDED, "1"));
    STATUS("succeeded");
    CU_ASSERT_EQUAL(engine_counts(f.engine).results_stale, 0);
    fixture_fini(&f);
}

static void a_dead_host_without_successor_is_lost(void)
{
    struct fixture f;
    init_local(&f);
    local_comes(&f, 1);
    fixture_beat(&f, 1);
    fixture_apply(&f, one);
    fixture_start(&f, "{\"unit\":\"w\"}");
    fixture_host(&f, 9, "other", 1);
    fixture_forget_tasks(&f);
    local_event(&f, LOCAL_HOST_EXITED, 101);
    for (int i = 0; i < 14; i++) {
        fixture_pass(&f, 1000);
        fixture_beat(&f, 9);
    }
    CU_ASSERT_EQUAL(f.task_count, 0);
    fixture_pass(&f, 1500);
    CU_ASSERT_EQUAL_FATAL(f.task_count, 1);
    CU_ASSERT_EQUAL(f.tasks[0].peer, 9);
    /* Where it is known that none comes, at once. */
    fixture_report(&f, &f.tasks[0], OUTCOME_SUCCEEDED, "1", NULL);
    local_comes(&f, 2);
    fixture_beat(&f, 2);
    fixture_apply(&f, beside);
    fixture_start(&f, "{\"unit\":\"p\"}");
    fixture_forget_tasks(&f);
    local_event(&f, LOCAL_HOST_EXITED, 102);
    CU_ASSERT_EQUAL(f.task_count, 0);
    local_event(&f, LOCAL_HOST_FAILED, 0);
    CU_ASSERT_EQUAL(f.tasks[0].peer, 9);
    CU_ASSERT_TRUE(fixture_count_events(&f, "\"lost\"") == 2);
    fixture_fini(&f);
}

static void a_shutdown_does_not_wait_for_a_dead_host(void)
{
    struct fixture f;
    init_local(&f);
    local_comes(&f, 1);
    fixture_beat(&f, 1);
    fixture_apply(&f, one);
    fixture_start(&f, "{\"unit\":\"w\"}");
    uint64_t asked = fixture_ask(&f, 1, MSG_SHUTDOWN, "{\"graceMs\":60000}");
    local_event(&f, LOCAL_HOST_EXITED, 101);
    CU_ASSERT_PTR_NOT_NULL(fixture_reply(&f, asked));
    CU_ASSERT_EQUAL(f.exits, 1);
    fixture_fini(&f);
}

/* Nothing is sent to a dead process: the send would fail, and what it sent be cut off. */
static void a_dead_host_is_sent_nothing(void)
{
    struct fixture f;
    init_local(&f);
    local_comes(&f, 1);
    fixture_beat(&f, 1);
    fixture_apply(&f, one);
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    struct attempt_id w = fixture_sent(&f, "w")->id;
    local_event(&f, LOCAL_HOST_EXITED, 101);
    buf_clear(&f.text);
    fixture_beat(&f, 1);
    fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"w#1\"}");
    milestone(&f, 1, 1, w, "half");
    milestone(&f, 1, 9, w, "behind a gap");
    started(&f, 1, w);
    fixture_report_as(&f, 1, 2, w, OUTCOME_CANCELLED, NULL, "x", 1);
    STATUS("cancelled");
    buf_append(&f.text, "", 1);
    CU_ASSERT_PTR_NULL(strstr((char *)f.text.data, " host peer="));
    fixture_fini(&f);
}

/* ---- tasks that bring it down ---- */

static void a_task_that_kills_its_host_each_time_is_quarantined(void)
{
    struct fixture f;
    init_local(&f);
    fixture_apply(&f, one);
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    for (uint32_t i = 1; i <= 3; i++) {
        local_comes(&f, i);
        fixture_beat(&f, i);
        CU_ASSERT_EQUAL_FATAL(f.task_count, i);
        if (i == 2) /* it may be too quick to be seen to start */
            started(&f, i, fixture_sent(&f, "w")->id);
        local_event(&f, LOCAL_HOST_EXITED, 100 + (int64_t)i);
    }
    local_comes(&f, 4);
    fixture_beat(&f, 4);
    CU_ASSERT_EQUAL(f.task_count, 3);
    STATE("w", "quarantined");
    STATUS("failed");
    fixture_fini(&f);
}

static void a_silent_host_is_no_crash(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, one);
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    for (uint32_t i = 1; i <= 5; i++) {
        fixture_host(&f, i, "h", 1);
        CU_ASSERT_EQUAL_FATAL(f.task_count, i);
        started(&f, i, fixture_sent(&f, "w")->id);
        for (int t = 0; t < 16; t++)
            fixture_pass(&f, 1000);
    }
    STATE("w", "ready");
    fixture_fini(&f);
}

/* One of four kills the host whenever it runs; the others are slow, and always there when it does.
 * Only it may be quarantined. */
static void the_neighbours_of_a_killer_are_spared(void)
{
    struct fixture f;
    init_local(&f);
    fixture_apply(&f, beside);
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    uint32_t peer = 0, deaths = 0;
    for (int round = 0; round < 30 && strcmp(fixture_run_status(&f, run), "running") == 0;
         round++) {
        fixture_forget_tasks(&f);
        local_comes(&f, ++peer);
        fixture_beat(&f, peer);
        fixture_pass(&f, 1000);
        bool dies = false;
        for (size_t i = 0; i < f.task_count; i++)
            started(&f, peer, f.tasks[i].id);
        for (size_t i = 0; i < f.task_count; i++)
            dies |= f.tasks[i].worker[0] == 'b';
        while (!dies && f.task_count) { /* its neighbours end, and what they held back comes */
            struct seen_task task = f.tasks[f.task_count - 1];
            size_t before = f.task_count;
            fixture_report(&f, &task, OUTCOME_SUCCEEDED, "1", NULL);
            fixture_pass(&f, 1000);
            if (f.task_count == before)
                break;
            dies = f.tasks[f.task_count - 1].worker[0] == 'b';
        }
        deaths++;
        local_event(&f, LOCAL_HOST_EXITED, 100 + (int64_t)peer);
    }
    STATE("a", "succeeded");
    STATE("b", "quarantined");
    STATE("c", "succeeded");
    CU_ASSERT_TRUE(deaths <= 7);
    fixture_fini(&f);
}

/* What waited behind a full host did not run: it is not suspected. */
static void what_was_queued_is_not_suspected(void)
{
    struct fixture f;
    init_local(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"},"
                      "{\"id\":\"v\",\"run\":\"t.ok\"}]}");
    fixture_start(&f, "{\"unit\":\"v\"}");
    fixture_host(&f, 9, "h", 1);
    fixture_report(&f, &f.tasks[0], OUTCOME_SUCCEEDED, "1", NULL); /* it is quick, as one sees */
    says_goodbye(&f, 9);
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    fixture_start(&f, "{\"unit\":\"v\"}");
    for (uint32_t i = 1; i <= 3; i++) {
        fixture_forget_tasks(&f);
        local_event(&f, LOCAL_HOST_STARTED, 100 + (int64_t)i);
        fixture_hello(&f, i, "local", i, 1);
        fixture_sync(&f, i, NULL, 0);
        fixture_beat(&f, i);
        CU_ASSERT_EQUAL_FATAL(f.task_count, 2); /* one slot, and one ahead */
        for (size_t t = 0; t < 2; t++)
            if (f.tasks[t].id.run == run)
                started(&f, i, f.tasks[t].id);
        local_event(&f, LOCAL_HOST_EXITED, 100 + (int64_t)i);
    }
    fixture_forget_tasks(&f);
    local_comes(&f, 4);
    fixture_beat(&f, 4);
    STATE("w", "quarantined");
    CU_ASSERT_EQUAL(f.task_count, 1);
    fixture_fini(&f);
}

int main(int argc, char **argv)
{
#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
    static const struct unit_case cases[] = {
        CASE(a_milestone_that_comes_again_after_a_restart_is_told_once),
        CASE(what_was_acknowledged_before_a_restart_leaves_no_gap),
        CASE(another_instance_counts_anew),
        CASE(a_host_that_comes_after_it_was_given_up_is_not_taken_for_new),
        CASE(what_the_dead_host_sent_and_spooled_counts),
        CASE(a_dead_host_without_successor_is_lost),
        CASE(a_shutdown_does_not_wait_for_a_dead_host),
        CASE(a_dead_host_is_sent_nothing),
        CASE(a_task_that_kills_its_host_each_time_is_quarantined),
        CASE(a_silent_host_is_no_crash),
        CASE(the_neighbours_of_a_killer_are_spared),
        CASE(what_was_queued_is_not_suspected),
        {NULL, NULL},
    };
    return unit_main(argc, argv, "engine-hosts", cases);
}
