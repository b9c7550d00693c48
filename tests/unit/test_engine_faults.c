/* The engine against faults: restarts, adoption, lost hosts, stale reports, keys, shutdown,
 * garbage. */
#include "tests/support/engine_fixture.h"

#define STATE(worker, state) CU_ASSERT_STRING_EQUAL(fixture_state(&f, run, worker), state)
#define STATUS(status)       CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), status)
#define END(worker, outcome) CU_ASSERT_TRUE(fixture_end(&f, worker, outcome, "null"))

static const char two[] = "{\"processes\":[{\"id\":\"p\",\"workers\":["
                          "{\"id\":\"a\",\"run\":\"t.ok\"},"
                          "{\"id\":\"b\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"a\","
                          "\"condition\":\"result.n == 1\"}]},"
                          "{\"id\":\"x\",\"run\":\"t.other\"}]}]}";

static void running_work_is_adopted(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, two);
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_SUCCEEDED, "{\"n\":1}"));
    CU_ASSERT_EQUAL_FATAL(f.task_count, 3);
    struct attempt_id b = fixture_sent(&f, "b")->id, x = fixture_sent(&f, "x")->id;
    fixture_forget_tasks(&f);
    fixture_crash(&f);
    fixture_host(&f, 2, "other", 4);
    CU_ASSERT_EQUAL(f.task_count, 0); /* h has not told yet */
    uint64_t asked = fixture_ask(&f, 1, MSG_EXPLAIN, "{\"run\":\"p#1\",\"worker\":\"x\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "before the restart"));
    fixture_hello(&f, 3, "h", 1, 4);
    struct msg_attempt has = {.id = b, .phase = PHASE_RUNNING, .at = f.wall};
    fixture_sync(&f, 3, &has, 1);
    /* x ended meanwhile: its report is what comes behind the sync, numbered on. */
    fixture_report_as(&f, 3, 8, x, OUTCOME_SUCCEEDED, "7", NULL, 0);
    STATE("x", "succeeded");
    CU_ASSERT_EQUAL(f.acked[3], 8);
    fixture_beat(&f, 3);
    CU_ASSERT_EQUAL(f.task_count, 0);
    fixture_report_as(&f, 3, 9, b, OUTCOME_SUCCEEDED, "7", NULL, 0);
    STATE("b", "succeeded");
    STATUS("succeeded");
    CU_ASSERT_EQUAL(engine_counts(f.engine).reexecutions, 0);
    fixture_fini(&f);
}

static void what_no_host_has_runs_again(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, two);
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    fixture_forget_tasks(&f);
    fixture_crash(&f);
    fixture_host(&f, 3, "h", 4);
    CU_ASSERT_EQUAL(f.task_count, 2);
    CU_ASSERT_EQUAL(fixture_sent(&f, "a")->id.epoch, 2);
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_SUCCEEDED, "{\"n\":0}"));
    STATE("b", "skipped");
    END("x", OUTCOME_SUCCEEDED);
    STATUS("succeeded");
    fixture_fini(&f);
}

static void an_unheard_host_is_given_up(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, two);
    fixture_start(&f, "{\"unit\":\"p\"}");
    fixture_forget_tasks(&f);
    fixture_crash(&f);
    fixture_hello(&f, 2, "other", 9, 4);
    fixture_sync(&f, 2, NULL, 0);
    for (int i = 0; i < 14; i++) {
        fixture_pass(&f, 1000);
        fixture_beat(&f, 2);
    }
    CU_ASSERT_EQUAL(f.task_count, 0);
    fixture_pass(&f, 1500);
    CU_ASSERT_EQUAL(f.task_count, 2);
    fixture_fini(&f);
}

static void conditions_survive_a_restart(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"workers\":["
                      "{\"id\":\"a\",\"run\":\"t.ok\"},{\"id\":\"z\",\"run\":\"t.ok\"},"
                      "{\"id\":\"b\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"a\",\"condition\":"
                      "\"result.n == 1\"},\"z\"]}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\",\"params\":{\"k\":\"v\"}}");
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_SUCCEEDED, "{\"n\":1}"));
    fixture_forget_tasks(&f);
    fixture_crash(&f);
    fixture_host(&f, 2, "h", 4);
    END("z", OUTCOME_SUCCEEDED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_sent(&f, "b"));
    CU_ASSERT_STRING_EQUAL(fixture_sent(&f, "b")->params, "{\"k\":\"v\"}");
    END("b", OUTCOME_SUCCEEDED);
    STATUS("succeeded");
    fixture_fini(&f);
}

static void a_lost_host_costs_its_attempts_and_nothing_else(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    struct seen_task first = *fixture_sent(&f, "w");
    struct msg_attempt started = {.id = first.id, .at = f.wall};
    struct buf body = {0};
    msg_attempts_encode(&started, 1, true, &body);
    fixture_host_send(&f, 1, MSG_STARTED, 0, &body);
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"type\":\"start\""), 1);
    fixture_hello(&f, 2, "g", 5, 4);
    fixture_sync(&f, 2, NULL, 0);
    for (int i = 0; i < 15; i++) {
        fixture_pass(&f, 1000);
        fixture_beat(&f, 2);
    }
    CU_ASSERT_EQUAL(f.task_count, 2);
    CU_ASSERT_EQUAL(fixture_sent(&f, "w")->peer, 2);
    CU_ASSERT_EQUAL(fixture_sent(&f, "w")->id.attempt, 2);
    CU_ASSERT_EQUAL(engine_counts(f.engine).reexecutions, 1);
    /* It comes back with the old attempt: cancelled, and its report is stale. */
    fixture_hello(&f, 3, "h", 1, 4);
    struct msg_attempt has = {.id = first.id, .phase = PHASE_RUNNING};
    fixture_sync(&f, 3, &has, 1);
    CU_ASSERT_EQUAL(f.cancel_count, 1);
    fixture_report_as(&f, 3, 1, first.id, OUTCOME_SUCCEEDED, "1", NULL, 0);
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"type\":\"stale\""), 1);
    CU_ASSERT_EQUAL(f.acked[3], 1);
    STATE("w", "ready");
    END("w", OUTCOME_SUCCEEDED);
    STATUS("succeeded");
    fixture_fini(&f);
}

static void a_stopped_supervisor_does_not_lose_its_hosts(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    f.now += 60000; /* nobody read meanwhile */
    f.wall += 60000;
    fixture_input(&f, (struct input){.kind = INPUT_TIME});
    CU_ASSERT_EQUAL(engine_counts(f.engine).hosts, 1);
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"lost\""), 0);
    fixture_fini(&f);
}

static void reports_count_once(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, two);
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    struct attempt_id a = fixture_sent(&f, "a")->id;
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_SUCCEEDED, "{\"n\":0}"));
    fixture_report_as(&f, 1, 1, a, OUTCOME_SUCCEEDED, "{\"n\":0}", NULL, 0);
    CU_ASSERT_EQUAL(f.acked[1], 1);
    fixture_report_as(&f, 1, 2, a, OUTCOME_FAILED, NULL, "again", 0);
    CU_ASSERT_EQUAL(engine_counts(f.engine).results_duplicate, 1);
    CU_ASSERT_EQUAL(engine_counts(f.engine).results_applied, 1);
    STATE("a", "succeeded");
    /* A gap: something was lost before it. */
    fixture_report_as(&f, 1, 9, fixture_sent(&f, "x")->id, OUTCOME_SUCCEEDED, NULL, NULL, 0);
    CU_ASSERT_EQUAL(f.whos, 1);
    STATE("x", "none");
    fixture_fini(&f);
}

static void milestones_count_for_the_current_attempt_only(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, two);
    fixture_start(&f, "{\"unit\":\"p\"}");
    struct msg_report report = {.kind = REPORT_MILESTONE,
                                .id = fixture_sent(&f, "a")->id,
                                .name = bytes_str("half"),
                                .at = f.wall};
    for (uint64_t sequence = 1; sequence <= 3; sequence++) {
        struct buf item = {0}, body = {0};
        msg_report_encode(&report, &item);
        msg_reports_wrap(buf_bytes(&item), 1, &body);
        fixture_host_send(&f, 1, MSG_REPORT, sequence, &body);
        buf_fini(&item);
        if (sequence == 1) /* then it ends, and the milestone comes again as after a restart */
            fixture_report_as(&f, 1, ++sequence, report.id, OUTCOME_FAILED, NULL, "x", 1);
    }
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"milestone\":\"half\""), 1);
    CU_ASSERT_EQUAL(engine_counts(f.engine).results_duplicate, 1);
    fixture_fini(&f);
}

static void a_dispatch_that_never_arrived_goes_out_again(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
    fixture_start(&f, "{\"unit\":\"w\"}");
    fixture_input(&f, (struct input){.kind = INPUT_HOST_PEER_GONE, .peer = 1});
    fixture_hello(&f, 2, "h", 1, 4);
    fixture_sync(&f, 2, NULL, 0);
    CU_ASSERT_EQUAL(f.task_count, 1);
    fixture_beat(&f, 2);
    CU_ASSERT_EQUAL(f.task_count, 2);
    CU_ASSERT_EQUAL(f.tasks[1].id.attempt, 2);
    fixture_fini(&f);
}

static void rejected_tasks_go_back(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    struct msg_attempt rejected = {.id = fixture_sent(&f, "w")->id, .reason = bytes_str("full")};
    struct buf body = {0};
    msg_attempts_encode(&rejected, 1, true, &body);
    fixture_host_send(&f, 1, MSG_REJECT, 0, &body);
    CU_ASSERT_EQUAL(f.task_count, 2);
    END("w", OUTCOME_FAILED);
    STATE("w", "failed");
    fixture_fini(&f);
}

static void a_key_is_answered_once_for_all(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
    uint64_t first = fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"w\",\"key\":\"k1\"}");
    uint64_t second = fixture_ask(&f, 2, MSG_RUN, "{\"unit\":\"w\",\"key\":\"k1\"}");
    CU_ASSERT_STRING_EQUAL(fixture_reply(&f, first), fixture_reply(&f, second));
    fixture_crash(&f);
    uint64_t third = fixture_ask(&f, 3, MSG_RUN, "{\"unit\":\"w\",\"key\":\"k1\"}");
    CU_ASSERT_STRING_EQUAL(fixture_reply(&f, first), fixture_reply(&f, third));
    CU_ASSERT_EQUAL(engine_counts(f.engine).live_runs, 1);
    /* An error is not kept: the request may succeed later. */
    uint64_t bad = fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"v\",\"key\":\"k2\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, bad, "not-found"));
    fixture_apply(&f, "{\"workers\":[{\"id\":\"v\",\"run\":\"t.ok\"}]}");
    uint64_t good = fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"v\",\"key\":\"k2\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, good, "v#1"));
    fixture_fini(&f);
}

static void a_clock_set_forward_does_not_expire_keys(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
    uint64_t first = fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"w\",\"key\":\"k1\"}");
    f.wall += 3 * 24 * 3600 * 1000ll;
    fixture_pass(&f, 60000);
    uint64_t second = fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"w\",\"key\":\"k1\"}");
    CU_ASSERT_STRING_EQUAL(fixture_reply(&f, first), fixture_reply(&f, second));
    fixture_pass(&f, 25 * 3600 * 1000ll);
    uint64_t third = fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"w\",\"key\":\"k1\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, third, "w#2"));
    fixture_fini(&f);
}

static void a_store_that_is_down_refuses_changes(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
    fixture_input(&f, (struct input){.kind = INPUT_STORE_STATE,
                                     .store_ok = false,
                                     .text = bytes_str("disk full")});
    uint64_t asked = fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"w\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "store-down"));
    /* What is wrong with a file comes behind its path, however long. */
    char text[400];
    snprintf(text, sizeof(text), "store '%0300d': I/O error", 0);
    fixture_input(&f, (struct input){.kind = INPUT_STORE_STATE,
                                     .store_ok = false,
                                     .text = bytes_str(text)});
    asked = fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"w\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "I/O error"));
    fixture_input(&f, (struct input){.kind = INPUT_STORE_STATE,
                                     .store_ok = false,
                                     .text = bytes_str("disk full")});
    asked = fixture_ask(&f, 1, MSG_SHOW, "{\"id\":\"w\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"kind\":\"worker\""));
    asked = fixture_ask(&f, 1, MSG_CONNECT, "{}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"store\":\"disk full\""));
    fixture_input(&f, (struct input){.kind = INPUT_STORE_STATE, .store_ok = true});
    asked = fixture_ask(&f, 1, MSG_CONNECT, "{}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"store\":null"));
    fixture_fini(&f);
}

/* Its batch waits to be saved: to refuse it would be to deny what will be done. */
static void a_change_taken_before_the_store_was_down_is_not_refused_when_it_is_sent_again(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
    fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"w\",\"key\":\"k1\"}");
    fixture_input(&f, (struct input){.kind = INPUT_STORE_STATE,
                                     .store_ok = false,
                                     .text = bytes_str("disk full")});
    uint64_t again = fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"w\",\"key\":\"k1\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, again, "w#1"));
    uint64_t other = fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"w\",\"key\":\"k2\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, other, "store-down"));
    fixture_fini(&f);
}

static void shutdown_waits_then_kills(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, two);
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    uint64_t asked = fixture_ask(&f, 1, MSG_SHUTDOWN, "{\"graceMs\":2000}");
    uint64_t refused = fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"p\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, refused, "refused"));
    CU_ASSERT_PTR_NULL(fixture_reply(&f, asked));
    fixture_pass(&f, 2000);
    CU_ASSERT_EQUAL(f.cancel_count, 1);
    CU_ASSERT_EQUAL(f.exits, 0);
    END("a", OUTCOME_CANCELLED);
    CU_ASSERT_PTR_NOT_NULL(fixture_reply(&f, asked));
    CU_ASSERT_EQUAL(f.exits, 1);
    STATE("a", "none"); /* uncounted: it runs again after the next start */
    fixture_forget_tasks(&f);
    fixture_crash(&f);
    fixture_host(&f, 2, "h", 4);
    CU_ASSERT_EQUAL(f.task_count, 2);
    STATUS("running");
    fixture_fini(&f);
}

static void a_second_shutdown_shortens_the_grace(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, two);
    fixture_start(&f, "{\"unit\":\"p\"}");
    uint64_t asked = fixture_ask(&f, 1, MSG_SHUTDOWN, "{\"graceMs\":60000}");
    fixture_ask(&f, 1, MSG_SHUTDOWN, "{\"graceMs\":90000}");
    fixture_pass(&f, 1000);
    CU_ASSERT_EQUAL(f.cancel_count, 0);
    fixture_ask(&f, 1, MSG_SHUTDOWN, "{\"graceMs\":0}");
    fixture_pass(&f, 1);
    CU_ASSERT_EQUAL(f.cancel_count, 1);
    END("a", OUTCOME_CANCELLED);
    CU_ASSERT_PTR_NOT_NULL(fixture_reply(&f, asked));
    CU_ASSERT_EQUAL(f.exits, 1);
    fixture_fini(&f);
}

static void a_wait_for_a_run_of_before_the_restart_is_answered_by_its_end(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
    fixture_start(&f, "{\"unit\":\"w\"}");
    CU_ASSERT_TRUE(fixture_end(&f, "w", OUTCOME_FAILED, "null"));
    fixture_crash(&f);
    fixture_host(&f, 2, "h", 1);
    uint64_t first = fixture_ask(&f, 1, MSG_WAIT, "{\"run\":\"w#1\"}");
    fixture_load_run(&f);
    CU_ASSERT_TRUE(fixture_reply_has(&f, first, "failed"));
    CU_ASSERT_TRUE(fixture_reply_has(&f, first, "counts"));
    /* The second wait's question is answered only after a retry has made the run go on. */
    fixture_crash(&f);
    fixture_host(&f, 3, "h", 1);
    uint64_t second = fixture_ask(&f, 1, MSG_WAIT, "{\"run\":\"w#1\"}");
    struct query waiting = f.query;
    fixture_ask(&f, 1, MSG_RETRY, "{\"run\":\"w#1\"}");
    fixture_load_run(&f);
    f.query = waiting;
    fixture_load_run(&f);
    CU_ASSERT_PTR_NULL(fixture_reply(&f, second));
    CU_ASSERT_TRUE(fixture_end(&f, "w", OUTCOME_SUCCEEDED, "null"));
    CU_ASSERT_TRUE(fixture_reply_has(&f, second, "succeeded"));
    uint64_t unknown = fixture_ask(&f, 1, MSG_WAIT, "{\"run\":\"w#9\"}");
    fixture_input(&f, (struct input){.kind = INPUT_RUN_LOADED, .token = f.query.token});
    CU_ASSERT_TRUE(fixture_reply_has(&f, unknown, "no run 'w#9'"));
    fixture_fini(&f);
}

static void a_host_that_reconnects_during_a_shutdown_tells_its_results(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, two);
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_EQUAL_FATAL(f.task_count, 1);
    struct attempt_id a = fixture_sent(&f, "a")->id;
    uint64_t asked = fixture_ask(&f, 1, MSG_SHUTDOWN, "{\"graceMs\":60000}");
    fixture_hello(&f, 2, "h", 1, 1);
    struct msg_attempt has = {.id = a, .phase = PHASE_RUNNING, .at = f.wall};
    fixture_sync(&f, 2, &has, 1);
    CU_ASSERT_PTR_NULL(fixture_reply(&f, asked));
    fixture_report_as(&f, 2, 1, a, OUTCOME_SUCCEEDED, "7", NULL, 0);
    STATE("a", "succeeded");
    CU_ASSERT_PTR_NOT_NULL(fixture_reply(&f, asked));
    CU_ASSERT_EQUAL(f.exits, 1);
    fixture_fini(&f);
}

static void an_isolated_run_cancelled_in_its_pause_can_be_retried(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"i\",\"runMode\":\"isolated\","
                      "\"isolationDelayMs\":1000,\"workers\":[{\"id\":\"a\",\"run\":\"t.ok\"},"
                      "{\"id\":\"b\",\"run\":\"t.ok\"}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"i\"}");
    END("a", OUTCOME_SUCCEEDED);
    fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"i#1\"}");
    STATUS("cancelled");
    fixture_ask(&f, 1, MSG_RETRY, "{\"run\":\"i#1\"}");
    fixture_load_run(&f);
    fixture_pass(&f, 2000);
    END("b", OUTCOME_SUCCEEDED);
    STATUS("succeeded");
    fixture_fini(&f);
}

static void kept_hosts_do_not_hold_a_shutdown(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, two);
    fixture_start(&f, "{\"unit\":\"p\"}");
    fixture_input(&f,
                  (struct input){.kind = INPUT_SHUTDOWN, .grace_ms = 60000, .keep_hosts = true});
    CU_ASSERT_EQUAL(f.exits, 1);
    fixture_fini(&f);
}

static void the_local_host_is_restarted_with_intensity(void)
{
    struct fixture f;
    fixture_init(&f);
    engine_free(f.engine);
    f.config.local_slots = 2;
    fixture_boot(&f);
    CU_ASSERT_EQUAL(f.spawns, 1);
    for (int i = 0; i < 20; i++) {
        fixture_input(
            &f,
            (struct input){.kind = INPUT_LOCAL_HOST, .pid = 7, .local_event = LOCAL_HOST_STARTED});
        fixture_input(&f, (struct input){.kind = INPUT_LOCAL_HOST,
                                         .pid = 7,
                                         .local_event = LOCAL_HOST_EXITED,
                                         .text = bytes_str("signal 11")});
    }
    CU_ASSERT_EQUAL(f.spawns, 6);
    fixture_pass(&f, 60000);
    CU_ASSERT_EQUAL(f.spawns, 7);
    fixture_fini(&f);
}

static void a_shutdown_waits_for_a_local_host_that_is_still_coming(void)
{
    struct fixture f;
    fixture_init(&f);
    engine_free(f.engine);
    f.config.local_slots = 2;
    fixture_boot(&f);
    fixture_input(&f, (struct input){
                          .kind = INPUT_LOCAL_HOST, .pid = 105, .local_event = LOCAL_HOST_STARTED});
    uint64_t asked = fixture_ask(&f, 1, MSG_SHUTDOWN, "{\"graceMs\":10000}");
    CU_ASSERT_PTR_NULL(fixture_reply(&f, asked));
    fixture_host(&f, 1, "local", 2);
    CU_ASSERT_PTR_NULL(fixture_reply(&f, asked));
    fixture_input(&f, (struct input){.kind = INPUT_LOCAL_HOST,
                                     .pid = 105,
                                     .local_event = LOCAL_HOST_EXITED,
                                     .text = bytes_str("exit status 0")});
    CU_ASSERT_PTR_NOT_NULL(fixture_reply(&f, asked));
    CU_ASSERT_EQUAL(f.exits, 1);
    fixture_fini(&f);
}

static void a_silent_local_host_is_killed(void)
{
    struct fixture f;
    fixture_init(&f);
    engine_free(f.engine);
    f.config.local_slots = 2;
    fixture_boot(&f);
    fixture_hello(&f, 1, "local", 5, 2);
    fixture_sync(&f, 1, NULL, 0);
    fixture_input(&f, (struct input){
                          .kind = INPUT_LOCAL_HOST, .pid = 105, .local_event = LOCAL_HOST_STARTED});
    fixture_pass(&f, 14000);
    buf_append(&f.text, "", 1);
    CU_ASSERT_PTR_NULL(strstr((char *)f.text.data, "\norder 1 "));
    f.text.size--;
    fixture_pass(&f, 2000);
    buf_append(&f.text, "", 1);
    CU_ASSERT_PTR_NOT_NULL(strstr((char *)f.text.data, "\norder 1 "));
    f.text.size--;
    fixture_input(&f, (struct input){.kind = INPUT_LOCAL_HOST,
                                     .pid = 105,
                                     .local_event = LOCAL_HOST_EXITED,
                                     .text = bytes_str("signal 9")});
    CU_ASSERT_EQUAL(f.spawns, 2);
    fixture_fini(&f);
}

static void a_clock_set_back_does_not_prolong_a_retry(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"maxRetries\":1,"
                      "\"retryDelayMs\":500}]}");
    fixture_start(&f, "{\"unit\":\"w\"}");
    END("w", OUTCOME_FAILED);
    fixture_forget_tasks(&f);
    f.wall -= 24 * 3600 * 1000;
    fixture_crash(&f);
    fixture_host(&f, 2, "h", 1);
    fixture_pass(&f, 500);
    CU_ASSERT_EQUAL(f.task_count, 1);
    fixture_fini(&f);
}

/* Worked out of the number of attempts, those lost with their host counted after a restart. */
static void a_lost_attempt_does_not_count_as_a_failure_after_a_restart(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"maxRetries\":1}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    fixture_forget_tasks(&f);
    fixture_pass(&f, 20000); /* the host is silent for too long */
    STATE("w", "ready");
    fixture_crash(&f);
    fixture_pass(&f, 20000);
    fixture_host(&f, 2, "other", 1);
    END("w", OUTCOME_FAILED);
    STATUS("running");
    END("w", OUTCOME_FAILED);
    STATUS("failed");
    fixture_fini(&f);
}

/* Nor did those of before a `synk retry`, which begins anew. */
static void a_retried_task_has_all_its_tries_after_a_restart(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"maxRetries\":1}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    END("w", OUTCOME_FAILED);
    END("w", OUTCOME_FAILED);
    STATUS("failed");
    fixture_ask(&f, 1, MSG_RETRY, "{\"run\":\"w#1\"}");
    fixture_load_run(&f);
    STATUS("running");
    fixture_forget_tasks(&f);
    fixture_crash(&f);
    fixture_host(&f, 2, "h", 1);
    END("w", OUTCOME_FAILED);
    STATUS("running");
    fixture_fini(&f);
}

/* After the restart the next worker was held back by the delay between two, so that what the host
 * had of it found nothing to be adopted by. */
static void an_isolated_worker_is_adopted(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"runMode\":\"isolated\",\"workers\":["
                      "{\"id\":\"a\",\"run\":\"t.ok\"},{\"id\":\"b\",\"run\":\"t.ok\"}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    END("a", OUTCOME_SUCCEEDED);
    fixture_pass(&f, 100);
    struct attempt_id b = fixture_sent(&f, "b")->id;
    fixture_crash(&f);
    fixture_hello(&f, 2, "h", 1, 1);
    fixture_sync(&f, 2, NULL, 0);
    fixture_report_as(&f, 2, 2, b, OUTCOME_SUCCEEDED, "1", NULL, 0);
    STATE("b", "succeeded");
    STATUS("succeeded");
    fixture_fini(&f);
}

static void garbage_is_counted_and_dropped(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, two);
    fixture_start(&f, "{\"unit\":\"p\"}");
    uint32_t seed = 1;
    for (int i = 0; i < 3000; i++) {
        uint8_t bytes[40];
        for (size_t b = 0; b < sizeof(bytes); b++) {
            seed = seed * 1664525u + 1013904223u;
            bytes[b] = (uint8_t)(seed >> 24);
        }
        struct input input = {
            .kind = i % 2 ? INPUT_HOST_MESSAGE : INPUT_CLIENT_MESSAGE,
            .peer = 1 + seed % 3,
            .role = ROLE_ADMIN,
            .header = {.type = (uint16_t)(i % 170), .sequence = 1000000u + (unsigned)i},
            .body = bytes_of(bytes, seed % sizeof(bytes)),
        };
        if (input.header.type == MSG_BYE)
            continue;
        fixture_input(&f, input);
    }
    /* Empty maps reach every handler. */
    for (uint16_t type = 1; type < 100; type++)
        if (type != MSG_SHUTDOWN)
            fixture_ask(&f, 1, type, "{}");
    CU_ASSERT_TRUE(engine_counts(f.engine).protocol_errors > 100);
    fixture_fini(&f);
}

static void hosts_without_the_function_get_nothing(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    uint64_t asked = fixture_apply(
        &f, "{\"workers\":[{\"id\":\"w\",\"run\":\"gpu.train\",\"requires\":[\"gpu\"]}]}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "no connected host offers 'gpu.train'"));
    fixture_start(&f, "{\"unit\":\"w\"}");
    CU_ASSERT_EQUAL(f.task_count, 0);
    asked = fixture_ask(&f, 1, MSG_EXPLAIN, "{\"run\":\"w#1\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "no connected host offers 'gpu.train'"));
    fixture_fini(&f);
}

static void an_error_about_a_name_tells_what_there_is(void)
{
    static const struct {
        uint16_t type;
        const char *request, *status, *text;
    } cases[] = {
        {MSG_RUN, "{\"unit\":\"nigthly\"}", "not-found", "did you mean 'nightly'?"},
        {MSG_RUN, "{\"unit\":\"load\"}", "refused", "write one of 'nightly/load', 'weekly/load'"},
        {MSG_RUN, "{\"unit\":\"nightly/laod\"}", "not-found", "did you mean 'load'?"},
        {MSG_SHOW, "{\"id\":\"nightly#1\"}", "not-found", "'nightly' has not run yet"},
        {MSG_SHOW, "{\"id\":\"weekly#7\"}", "not-found", "the last one is weekly#1"},
        {MSG_SHOW, "{\"id\":\"weekl#1\"}", "not-found", "did you mean 'weekly'?"},
        {MSG_EXPLAIN, "{\"run\":\"weekly\"}", "invalid", "'weekly' is not a run"},
        {MSG_EXPLAIN, "{\"run\":\"weekly#1\",\"worker\":\"laod\"}", "not-found",
         "did you mean 'load'?"},
        {MSG_EXPLAIN, "{\"run\":\"weekly#1\",\"worker\":\"zzz\"}", "not-found",
         "weekly#1 has no worker 'zzz': it has load, check"},
    };
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"nightly\",\"workers\":[{\"id\":\"load\","
                      "\"run\":\"t.ok\"}]},{\"id\":\"weekly\",\"workers\":[{\"id\":\"load\","
                      "\"run\":\"t.ok\"},{\"id\":\"check\",\"run\":\"t.ok\"}]}]}");
    fixture_start(&f, "{\"unit\":\"weekly\"}");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t asked = fixture_ask(&f, 1, cases[i].type, cases[i].request);
        CU_ASSERT_TRUE(fixture_reply_has(&f, asked, cases[i].status));
        CU_ASSERT_TRUE(fixture_reply_has(&f, asked, cases[i].text));
    }
    fixture_fini(&f);
}

static void a_refused_plugin_is_named_where_its_function_is_missing(void)
{
    static const struct refused_plugin_text refused = {{"gpu", 3}, {"chmod go-w", 10}};
    struct synk_bytes functions[] = {bytes_str("exec"), bytes_str("cpu.train")};
    struct msg_hello hello = {.name = bytes_str("h"),
                              .instance = 7,
                              .slots = 1,
                              .version = bytes_str("1"),
                              .functions = functions,
                              .function_count = 2,
                              .refused = &refused,
                              .refused_count = 1};
    struct buf body = {0};
    struct fixture f;
    fixture_init(&f);
    msg_hello_encode(&hello, &body);
    fixture_host_send(&f, 1, MSG_HELLO, 0, &body);
    fixture_sync(&f, 1, NULL, 0);
    uint64_t asked = fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"gpu.train\"},"
                                       "{\"id\":\"v\",\"run\":\"cpu.tran\"}]}");
    CU_ASSERT_TRUE(
        fixture_reply_has(&f, asked, "plugin 'gpu' was refused by host 'h': chmod go-w"));
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "did you mean 'cpu.train'?"));
    fixture_start(&f, "{\"unit\":\"w\"}");
    asked = fixture_ask(&f, 1, MSG_EXPLAIN, "{\"run\":\"w#1\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "was refused by host 'h': chmod go-w"));
    asked = fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"hosts\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "chmod go-w"));
    fixture_fini(&f);
}

/* One scenario with most kinds of input. */
static void play(struct fixture *f)
{
    fixture_init(f);
    fixture_host(f, 1, "h", 2);
    fixture_host(f, 2, "g", 2);
    fixture_apply(f, two);
    fixture_start(f, "{\"unit\":\"p\",\"key\":\"k\"}");
    fixture_ask(f, 1, MSG_SUBMIT, "{\"function\":\"t.ok\",\"count\":20,\"maxRetries\":1}");
    for (size_t i = 0; i < f->task_count; i++) {
        struct seen_task task = f->tasks[i];
        fixture_report(f, &task, (i % 5 == 3) ? OUTCOME_CRASHED : OUTCOME_SUCCEEDED, "{\"n\":1}",
                       "broken");
        fixture_pass(f, 7);
    }
    fixture_ask(f, 1, MSG_LIST, "{\"what\":\"units\"}");
    fixture_ask(f, 1, MSG_STATS, "{}");
    fixture_ask(f, 1, MSG_PLAN, "{\"unit\":\"p\"}");
    fixture_crash(f);
    fixture_pass(f, 20000);
}

static void equal_inputs_give_equal_effects(void)
{
    struct fixture a, b;
    play(&a);
    play(&b);
    CU_ASSERT_TRUE(a.text.size > 1000);
    CU_ASSERT_TRUE(bytes_equal(buf_bytes(&a.text), buf_bytes(&b.text)));
    fixture_fini(&a);
    fixture_fini(&b);
}

int main(int argc, char **argv)
{
#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
    static const struct unit_case cases[] = {
        CASE(running_work_is_adopted),
        CASE(what_no_host_has_runs_again),
        CASE(an_unheard_host_is_given_up),
        CASE(conditions_survive_a_restart),
        CASE(a_lost_host_costs_its_attempts_and_nothing_else),
        CASE(a_stopped_supervisor_does_not_lose_its_hosts),
        CASE(reports_count_once),
        CASE(milestones_count_for_the_current_attempt_only),
        CASE(a_dispatch_that_never_arrived_goes_out_again),
        CASE(rejected_tasks_go_back),
        CASE(a_key_is_answered_once_for_all),
        CASE(a_clock_set_forward_does_not_expire_keys),
        CASE(a_store_that_is_down_refuses_changes),
        CASE(a_change_taken_before_the_store_was_down_is_not_refused_when_it_is_sent_again),
        CASE(shutdown_waits_then_kills),
        CASE(a_shutdown_waits_for_a_local_host_that_is_still_coming),
        CASE(a_second_shutdown_shortens_the_grace),
        CASE(a_wait_for_a_run_of_before_the_restart_is_answered_by_its_end),
        CASE(a_host_that_reconnects_during_a_shutdown_tells_its_results),
        CASE(an_isolated_run_cancelled_in_its_pause_can_be_retried),
        CASE(kept_hosts_do_not_hold_a_shutdown),
        CASE(the_local_host_is_restarted_with_intensity),
        CASE(a_silent_local_host_is_killed),
        CASE(a_clock_set_back_does_not_prolong_a_retry),
        CASE(a_lost_attempt_does_not_count_as_a_failure_after_a_restart),
        CASE(a_retried_task_has_all_its_tries_after_a_restart),
        CASE(an_isolated_worker_is_adopted),
        CASE(garbage_is_counted_and_dropped),
        CASE(hosts_without_the_function_get_nothing),
        CASE(an_error_about_a_name_tells_what_there_is),
        CASE(a_refused_plugin_is_named_where_its_function_is_missing),
        CASE(equal_inputs_give_equal_effects),
        {NULL, NULL},
    };
    return unit_main(argc, argv, "engine-faults", cases);
}
