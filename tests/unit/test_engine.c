/* The engine's life of a run: graph rules, run modes, retries, overlap, pause, cancel, schedules.
 */
#include "tests/support/engine_fixture.h"

#define STATE(worker, state) CU_ASSERT_STRING_EQUAL(fixture_state(&f, run, worker), state)
#define STATUS(status)       CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), status)
#define END(worker, outcome) CU_ASSERT_TRUE(fixture_end(&f, worker, outcome, "null"))

static void a_graph_runs_in_order(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    uint64_t asked =
        fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"workers\":["
                          "{\"id\":\"a\",\"run\":\"t.ok\"},"
                          "{\"id\":\"b\",\"run\":\"t.ok\",\"dependsOn\":[\"a\"]},"
                          "{\"id\":\"c\",\"run\":\"t.ok\",\"dependsOn\":[\"a\"]},"
                          "{\"id\":\"d\",\"run\":\"t.ok\",\"dependsOn\":[\"b\",\"c\"]}]}]}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"change\":\"created\""));
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_EQUAL(run, 1);
    CU_ASSERT_EQUAL(f.task_count, 1);
    END("a", OUTCOME_SUCCEEDED);
    CU_ASSERT_EQUAL(f.task_count, 3);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, "b"));
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, "c"));
    uint64_t wait = fixture_ask(&f, 1, MSG_WAIT, "{\"run\":\"p#last\"}");
    CU_ASSERT_TRUE(fixture_end(&f, "b", OUTCOME_SUCCEEDED, "{\"n\":1}"));
    CU_ASSERT_EQUAL(f.task_count, 3);
    CU_ASSERT_TRUE(fixture_end(&f, "c", OUTCOME_SUCCEEDED, "[2]"));
    CU_ASSERT_EQUAL(f.task_count, 4);
    CU_ASSERT_EQUAL(fixture_sent(&f, "d")->inputs, 2);
    CU_ASSERT_PTR_NULL(fixture_reply(&f, wait));
    END("d", OUTCOME_SUCCEEDED);
    CU_ASSERT_TRUE(fixture_reply_has(&f, wait, "\"status\":\"succeeded\""));
    CU_ASSERT_TRUE(fixture_reply_has(&f, wait, "\"counts\":{\"succeeded\":4}"));
    STATUS("succeeded");
    CU_ASSERT_EQUAL(f.acked[1], 4);
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"type\":\"complete\""), 4);
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"type\":\"start\""), 4);
    CU_ASSERT_EQUAL(
        fixture_count_events(&f, "unit:p:running\",\"payload\":{\"runMode\":\"graph\"}"), 1);
    CU_ASSERT_EQUAL(fixture_count_events(&f, "unit:p:completed"), 1);
    CU_ASSERT_EQUAL(fixture_unit(&f, "p")->status, UNIT_COMPLETED);
    uint64_t show = fixture_ask(&f, 1, MSG_SHOW, "{\"id\":\"p\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, show, "\"lastRun\":\"p#1\""));
    fixture_fini(&f);
}

static void conditions_choose_a_branch(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"media\",\"workers\":["
                      "{\"id\":\"Probe\",\"run\":\"t.ok\"},"
                      "{\"id\":\"Fast\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"Probe\","
                      "\"condition\":\"result.duration < 60\"}]},"
                      "{\"id\":\"Slow\",\"command\":[\"clean\",\"${{ inputs.Probe.duration }}\"],"
                      "\"dependsOn\":[{\"id\":\"Probe\",\"condition\":\"result.duration >= 60\"}]},"
                      "{\"id\":\"After\",\"run\":\"t.ok\",\"dependsOn\":[\"Fast\"]},"
                      "{\"id\":\"Publish\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"Fast\","
                      "\"on\":\"notError\"},{\"id\":\"Slow\",\"on\":\"notError\"}]}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"media\"}");
    CU_ASSERT_TRUE(fixture_end(&f, "Probe", OUTCOME_SUCCEEDED, "{\"duration\":90}"));
    STATE("Fast", "skipped");
    STATE("After", "skipped");
    const struct task_record *fast = fixture_task(&f, run, "Fast");
    CU_ASSERT_TRUE(bytes_equal(fast->reason,
                               bytes_str("condition 'result.duration < 60' of Probe was false")));
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_sent(&f, "Slow"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture_sent(&f, "Slow")->payload, "\"90\""));
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "Publish"));
    END("Slow", OUTCOME_SUCCEEDED);
    END("Publish", OUTCOME_SUCCEEDED);
    STATUS("succeeded");
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"type\":\"skip\""), 2);
    fixture_fini(&f);
}

static void a_condition_that_errs_fails_its_task(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f,
                  "{\"processes\":[{\"id\":\"p\",\"workers\":["
                  "{\"id\":\"a\",\"run\":\"t.ok\"},"
                  "{\"id\":\"b\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"a\","
                  "\"condition\":\"result.n\"}]},"
                  "{\"id\":\"c\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"b\",\"on\":\"error\"}]}"
                  "]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_SUCCEEDED, "{\"n\":1}"));
    STATE("b", "failed");
    END("c", OUTCOME_SUCCEEDED);
    STATUS("failed");
    CU_ASSERT_PTR_NOT_NULL(fixture_run(&f, run)->error.data);
    fixture_fini(&f);
}

static void failure_skips_dependants_and_runs_clean_up(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"workers\":["
                      "{\"id\":\"a\",\"run\":\"t.ok\"},"
                      "{\"id\":\"b\",\"run\":\"t.ok\",\"dependsOn\":[\"a\"]},"
                      "{\"id\":\"clean\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"a\","
                      "\"on\":\"error\"}]},"
                      "{\"id\":\"last\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"b\","
                      "\"on\":\"any\"}]}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    END("a", OUTCOME_FAILED);
    STATE("a", "failed");
    STATE("b", "skipped");
    END("clean", OUTCOME_SUCCEEDED);
    END("last", OUTCOME_SUCCEEDED);
    STATUS("failed");
    CU_ASSERT_EQUAL(fixture_unit(&f, "p")->status, UNIT_ERROR);
    fixture_fini(&f);
}

static void a_long_chain_is_skipped_without_recursion(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    struct buf text = {0};
    buf_printf(&text,
               "{\"processes\":[{\"id\":\"p\",\"workers\":[{\"id\":\"w0\",\"run\":\"t.ok\"}");
    for (int i = 1; i < 2000; i++)
        buf_printf(&text, ",{\"id\":\"w%d\",\"run\":\"t.ok\",\"dependsOn\":[\"w%d\"]}", i, i - 1);
    buf_printf(&text, "]}]}");
    buf_append(&text, "", 1);
    fixture_apply(&f, (const char *)text.data);
    buf_fini(&text);
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    END("w0", OUTCOME_FAILED);
    STATE("w1999", "skipped");
    STATUS("failed");
    fixture_fini(&f);
}

static void sequential_runs_stop_at_the_first_failure(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"workers\":["
                      "{\"id\":\"a\",\"run\":\"t.ok\"},{\"id\":\"off\",\"run\":\"t.ok\","
                      "\"enabled\":false},{\"id\":\"b\",\"run\":\"t.ok\"},"
                      "{\"id\":\"c\",\"run\":\"t.ok\"}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_EQUAL(f.task_count, 1);
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_SUCCEEDED, "1"));
    STATE("off", "skipped");
    CU_ASSERT_EQUAL(f.task_count, 2);
    CU_ASSERT_EQUAL(fixture_sent(&f, "b")->inputs, 1);
    END("b", OUTCOME_FAILED);
    STATE("c", "skipped");
    STATUS("failed");
    fixture_fini(&f);
}

static void isolated_runs_pause_between_workers(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"runMode\":\"isolated\","
                      "\"isolationDelayMs\":200,\"workers\":["
                      "{\"id\":\"a\",\"run\":\"t.ok\"},{\"id\":\"b\",\"run\":\"t.ok\"}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    END("a", OUTCOME_SUCCEEDED);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "b"));
    fixture_pass(&f, 199);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "b"));
    fixture_pass(&f, 1);
    END("b", OUTCOME_SUCCEEDED);
    STATUS("succeeded");
    fixture_fini(&f);
}

static void batches_wait_for_the_whole_batch(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 8);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"runMode\":\"batched\",\"workers\":["
                      "{\"id\":\"a\",\"run\":\"t.ok\"},{\"id\":\"b\",\"run\":\"t.ok\"},"
                      "{\"id\":\"c\",\"run\":\"t.ok\"}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_EQUAL(f.task_count, 2);
    END("a", OUTCOME_FAILED);
    CU_ASSERT_EQUAL(f.task_count, 2);
    END("b", OUTCOME_SUCCEEDED);
    CU_ASSERT_EQUAL(f.task_count, 3);
    END("c", OUTCOME_SUCCEEDED);
    STATUS("failed");
    fixture_fini(&f);
}

static void failures_are_retried_by_policy(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"maxRetries\":2,"
                      "\"retryDelayMs\":\"100 * 2^attempt\",\"noRetryExitCodes\":[7]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    END("w", OUTCOME_FAILED);
    STATE("w", "retry-wait");
    CU_ASSERT_EQUAL(fixture_task(&f, run, "w")->due_at, f.wall + 200);
    fixture_forget_tasks(&f);
    fixture_pass(&f, 199);
    CU_ASSERT_EQUAL(f.task_count, 0);
    fixture_pass(&f, 1);
    CU_ASSERT_EQUAL_FATAL(f.task_count, 1);
    CU_ASSERT_EQUAL(f.tasks[0].id.attempt, 2);
    END("w", OUTCOME_TIMED_OUT);
    fixture_pass(&f, 400);
    CU_ASSERT_EQUAL(fixture_sent(&f, "w")->id.attempt, 3);
    END("w", OUTCOME_FAILED);
    STATE("w", "failed");
    STATUS("failed");
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"type\":\"retry\""), 2);

    run = fixture_start(&f, "{\"unit\":\"w\"}");
    struct seen_task sent = *fixture_sent(&f, "w");
    fixture_report_as(&f, 1, ++f.report_sequence[1], sent.id, OUTCOME_FAILED, NULL, "no", 7);
    STATE("w", "failed");
    fixture_fini(&f);
}

static void crashes_are_quarantined(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    END("w", OUTCOME_CRASHED);
    END("w", OUTCOME_CRASHED);
    CU_ASSERT_EQUAL(fixture_sent(&f, "w")->id.attempt, 3);
    END("w", OUTCOME_CRASHED);
    STATE("w", "quarantined");
    STATUS("failed");
    fixture_fini(&f);
}

static void settings_are_read_again_at_each_attempt(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"workers\":[{\"id\":\"a\",\"run\":\"t.ok\","
                      "\"maxRetries\":5}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    uint64_t asked = fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"workers\":[{\"id\":\"new\","
                                       "\"run\":\"t.ok\"},{\"id\":\"a\",\"run\":\"t.other\"}]}]}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"changed\""));
    END("a", OUTCOME_FAILED);
    STATE("a", "failed");
    STATUS("failed");
    fixture_fini(&f);
}

static void runs_overlap_as_told(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
    fixture_start(&f, "{\"unit\":\"w\"}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    STATUS("queued");
    run = fixture_start(&f, "{\"unit\":\"w\",\"overlap\":\"skip\"}");
    STATUS("skipped");
    run = fixture_start(&f, "{\"unit\":\"w\",\"overlap\":\"allow\"}");
    STATUS("running");
    CU_ASSERT_EQUAL(f.task_count, 2);
    run = fixture_start(&f, "{\"unit\":\"w\",\"overlap\":\"cancel\"}");
    STATUS("queued");
    CU_ASSERT_EQUAL(f.cancel_count, 2);
    struct seen_task first = f.tasks[0], second = f.tasks[1];
    fixture_report(&f, &first, OUTCOME_CANCELLED, NULL, "killed");
    fixture_report(&f, &second, OUTCOME_CANCELLED, NULL, "killed");
    STATUS("running");
    END("w", OUTCOME_SUCCEEDED);
    STATUS("succeeded");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, 1), "cancelled");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, 2), "cancelled");
    fixture_fini(&f);
}

static void paused_units_are_held_back(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"workers\":[{\"id\":\"a\",\"run\":\"t.ok\"},"
                      "{\"id\":\"b\",\"run\":\"t.ok\",\"dependsOn\":[\"a\"]}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    fixture_ask(&f, 1, MSG_PAUSE, "{\"ids\":[\"p\"]}");
    END("a", OUTCOME_SUCCEEDED);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "b"));
    uint64_t asked = fixture_ask(&f, 1, MSG_EXPLAIN, "{\"run\":\"p#1\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "'p' is paused"));
    fixture_ask(&f, 1, MSG_PAUSE, "{\"ids\":[\"p/b\"]}");
    fixture_ask(&f, 1, MSG_RESUME, "{\"ids\":[\"p\"]}");
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "b"));
    asked = fixture_ask(&f, 1, MSG_EXPLAIN, "{\"run\":\"p#1\",\"worker\":\"b\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "worker 'b' is paused"));
    fixture_ask(&f, 1, MSG_RESUME, "{\"ids\":[\"p/b\"]}");
    END("b", OUTCOME_SUCCEEDED);
    STATUS("succeeded");
    fixture_fini(&f);
}

static void cancel_ends_what_waits_and_kills_what_runs(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f,
                  "{\"processes\":[{\"id\":\"p\",\"workers\":[{\"id\":\"a\",\"run\":\"t.ok\"},"
                  "{\"id\":\"b\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"a\",\"on\":\"any\"}]}"
                  "]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"p#1\"}");
    STATE("b", "cancelled");
    STATUS("running");
    CU_ASSERT_EQUAL(f.cancel_count, 1);
    END("a", OUTCOME_CANCELLED);
    STATUS("cancelled");
    uint64_t asked = fixture_ask(&f, 1, MSG_WAIT, "{\"run\":\"p#1\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"cancelled\":2"));
    fixture_fini(&f);
}

static void a_deadline_fails_the_run(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"timeoutMs\":500,\"workers\":["
                      "{\"id\":\"a\",\"run\":\"t.ok\"}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    fixture_pass(&f, 500);
    CU_ASSERT_EQUAL(f.cancel_count, 1);
    END("a", OUTCOME_CANCELLED);
    STATUS("failed");
    fixture_fini(&f);
}

static void intervals_do_not_drift(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"intervalMs\":1000,"
                      "\"maxRuns\":3}]}");
    fixture_pass(&f, 999);
    CU_ASSERT_EQUAL(f.task_count, 0);
    fixture_pass(&f, 1);
    CU_ASSERT_EQUAL(f.task_count, 1);
    fixture_pass(&f, 700);
    END("w", OUTCOME_SUCCEEDED);
    fixture_pass(&f, 299);
    CU_ASSERT_EQUAL(f.task_count, 1);
    fixture_pass(&f, 1);
    CU_ASSERT_EQUAL(f.task_count, 2);
    fixture_pass(&f, 1000); /* still going: skipped */
    uint64_t run = 3;
    STATUS("skipped");
    END("w", OUTCOME_SUCCEEDED);
    fixture_pass(&f, 1000);
    END("w", OUTCOME_SUCCEEDED);
    CU_ASSERT_FALSE(fixture_unit(&f, "w")->enabled);
    fixture_pass(&f, 5000);
    CU_ASSERT_EQUAL(f.task_count, 3);
    fixture_fini(&f);
}

static void a_missed_interval_is_caught_up_once(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"intervalMs\":1000}]}");
    f.wall += 10500;
    fixture_crash(&f);
    fixture_host(&f, 1, "h", 4);
    CU_ASSERT_EQUAL(f.task_count, 1);
    END("w", OUTCOME_SUCCEEDED);
    fixture_pass(&f, 400);
    CU_ASSERT_EQUAL(f.task_count, 1);
    fixture_pass(&f, 200);
    CU_ASSERT_EQUAL(f.task_count, 2);
    fixture_fini(&f);
}

static void hooks_start_units_and_end_their_recursion(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"onError\":[\"alert\","
                      "{\"emit\":\"broken\"}]},{\"id\":\"alert\",\"run\":\"t.other\","
                      "\"onComplete\":[{\"run\":\"alert\"}]}]}");
    fixture_start(&f, "{\"unit\":\"w\"}");
    END("w", OUTCOME_FAILED);
    const struct seen_task *alert = fixture_sent(&f, "alert");
    CU_ASSERT_PTR_NOT_NULL_FATAL(alert);
    CU_ASSERT_PTR_NOT_NULL(strstr(alert->params, "\"status\":\"failed\""));
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"milestone\":\"broken\""), 1);
    int rounds = 0;
    while (fixture_sent(&f, "alert") && rounds < 50) {
        struct seen_task task = *fixture_sent(&f, "alert");
        f.task_count--;
        fixture_report(&f, &task, OUTCOME_SUCCEEDED, NULL, NULL);
        free(task.payload);
        free(task.params);
        rounds++;
    }
    CU_ASSERT_TRUE(rounds > 1 && rounds < 20);
    fixture_fini(&f);
}

static void pool_submissions_run_in_parallel(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 2);
    uint64_t asked = fixture_ask(&f, 1, MSG_SUBMIT,
                                 "{\"function\":\"t.ok\",\"payload\":{\"a\":1},"
                                 "\"items\":[{\"i\":0},{\"i\":1},{\"i\":2}],\"maxRetries\":1}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"run\":\"pool#1\""));
    CU_ASSERT_EQUAL_FATAL(f.task_count, 2); /* never measured: one for each slot */
    CU_ASSERT_STRING_EQUAL(f.tasks[1].params, "{\"i\":1}");
    CU_ASSERT_STRING_EQUAL(f.tasks[1].payload, "{\"a\":1}");
    fixture_report(&f, &f.tasks[0], OUTCOME_SUCCEEDED, "5", NULL);
    CU_ASSERT_EQUAL_FATAL(f.task_count, 3);
    fixture_report(&f, &f.tasks[1], OUTCOME_FAILED, NULL, "no");
    CU_ASSERT_EQUAL_FATAL(f.task_count, 4);
    CU_ASSERT_EQUAL(f.tasks[3].id.attempt, 2);
    fixture_report(&f, &f.tasks[3], OUTCOME_SUCCEEDED, NULL, NULL);
    fixture_report(&f, &f.tasks[2], OUTCOME_SUCCEEDED, NULL, NULL);
    uint64_t run = 1;
    STATUS("succeeded");
    fixture_fini(&f);
}

static void retry_keeps_the_successes(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"workers\":["
                      "{\"id\":\"a\",\"run\":\"t.ok\"},"
                      "{\"id\":\"b\",\"run\":\"t.ok\",\"dependsOn\":[\"a\"]},"
                      "{\"id\":\"c\",\"run\":\"t.ok\",\"dependsOn\":[\"b\"]}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_SUCCEEDED, "1"));
    END("b", OUTCOME_FAILED);
    STATUS("failed");
    fixture_forget_tasks(&f);
    uint64_t asked = fixture_ask(&f, 1, MSG_RETRY, "{\"run\":\"p#1\"}");
    fixture_load_run(&f);
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"tasks\":2"));
    CU_ASSERT_EQUAL_FATAL(f.task_count, 1);
    CU_ASSERT_STRING_EQUAL(f.tasks[0].worker, "b");
    CU_ASSERT_EQUAL(f.tasks[0].id.attempt, 2);
    CU_ASSERT_EQUAL(f.tasks[0].inputs, 1);
    END("b", OUTCOME_SUCCEEDED);
    END("c", OUTCOME_SUCCEEDED);
    STATUS("succeeded");
    fixture_fini(&f);
}

static void a_released_units_numbers_are_not_used_again(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"},"
                      "{\"id\":\"never\",\"run\":\"t.ok\"}]}");
    fixture_start(&f, "{\"unit\":\"w\"}");
    END("w", OUTCOME_SUCCEEDED);
    /* A version of which no run tells. */
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.other\"}]}");
    fixture_ask(&f, 1, MSG_APPLY, "{\"document\":{\"workers\":[]},\"prune\":true}");
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_unit(&f, "w"));
    CU_ASSERT_EQUAL(fixture_unit(&f, "w")->version, 0);
    CU_ASSERT_EQUAL(fixture_unit(&f, "w")->last_number, 1);
    CU_ASSERT_EQUAL(fixture_unit(&f, "w")->last_version, 2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_unit(&f, "never"));
    CU_ASSERT_EQUAL(fixture_unit(&f, "never")->last_version, 1);
    /* Its run is gone from the store, and so from what is loaded. */
    struct record record = {.kind = RECORD_RUN, .remove = true};
    record.run.run = 1;
    fixture_store(&f, &record);
    fixture_crash(&f);
    fixture_host(&f, 1, "h", 4);
    uint64_t asked = fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"w\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "there is no unit"));
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"},"
                      "{\"id\":\"never\",\"run\":\"t.ok\"}]}");
    CU_ASSERT_EQUAL(fixture_unit(&f, "w")->version, 3);
    CU_ASSERT_EQUAL(fixture_unit(&f, "never")->version, 2);
    asked = fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"w\"}");
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"run\":\"w#2\""));
    CU_ASSERT_EQUAL(fixture_unit(&f, "w")->due_at, 0);
    fixture_fini(&f);
}

static const struct attempt_record *stored_attempt(const struct fixture *f, uint32_t attempt)
{
    for (size_t i = 0; i < f->stored_count; i++)
        if (f->stored[i].record.kind == RECORD_ATTEMPT &&
            f->stored[i].record.attempt.attempt == attempt)
            return &f->stored[i].record.attempt;
    return NULL;
}

static void retry_keeps_the_attempts_before_it(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"maxRetries\":1}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\"}");
    END("w", OUTCOME_FAILED);
    END("w", OUTCOME_FAILED);
    STATUS("failed");
    CU_ASSERT_PTR_NOT_NULL(stored_attempt(&f, 1));
    CU_ASSERT_PTR_NULL(stored_attempt(&f, 2)); /* the task's own record tells of it */
    fixture_ask(&f, 1, MSG_RETRY, "{\"run\":\"w#1\"}");
    fixture_load_run(&f);
    const struct attempt_record *attempt = stored_attempt(&f, 2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(attempt);
    CU_ASSERT_EQUAL(attempt->outcome, OUTCOME_FAILED);
    CU_ASSERT_EQUAL(attempt->exit_status, 1);
    CU_ASSERT_TRUE(bytes_equal(attempt->host, bytes_str("h")));
    CU_ASSERT_TRUE(bytes_equal(attempt->error, bytes_str("it broke")));
    END("w", OUTCOME_SUCCEEDED);
    STATUS("succeeded");
    CU_ASSERT_EQUAL(fixture_task(&f, run, "w")->attempts, 3);
    CU_ASSERT_PTR_NOT_NULL(stored_attempt(&f, 1));
    CU_ASSERT_PTR_NOT_NULL(stored_attempt(&f, 2));
    fixture_fini(&f);
}

static void retry_of_nothing_changes_nothing(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"runMode\":\"parallel\",\"workers\":["
                      "{\"id\":\"a\",\"run\":\"t.ok\"},{\"id\":\"b\",\"run\":\"t.ok\"}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_SUCCEEDED, "1"));
    END("b", OUTCOME_FAILED);
    STATUS("failed");
    size_t events = fixture_count_events(&f, "\"type\":");
    uint64_t asked = fixture_ask(&f, 1, MSG_RETRY, "{\"run\":\"p#1\",\"workers\":[\"b\",\"x\"]}");
    fixture_load_run(&f);
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "has no worker 'x'"));
    asked = fixture_ask(&f, 1, MSG_RETRY, "{\"run\":\"p#1\",\"workers\":[\"a\"]}");
    fixture_load_run(&f);
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"tasks\":0"));
    STATUS("failed");
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"type\":"), events);
    fixture_ask(&f, 1, MSG_RETRY, "{\"run\":\"p#1\",\"workers\":[\"b\"]}");
    fixture_load_run(&f);
    END("b", OUTCOME_SUCCEEDED);
    STATUS("succeeded");
    events = fixture_count_events(&f, "\"type\":");
    asked = fixture_ask(&f, 1, MSG_RETRY, "{\"run\":\"p#1\"}");
    fixture_load_run(&f);
    CU_ASSERT_TRUE(fixture_reply_has(&f, asked, "\"tasks\":0"));
    STATUS("succeeded");
    CU_ASSERT_EQUAL(fixture_count_events(&f, "\"type\":"), events);
    fixture_fini(&f);
}

int main(int argc, char **argv)
{
#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
    static const struct unit_case cases[] = {
        CASE(retry_of_nothing_changes_nothing),
        CASE(a_graph_runs_in_order),
        CASE(conditions_choose_a_branch),
        CASE(a_condition_that_errs_fails_its_task),
        CASE(failure_skips_dependants_and_runs_clean_up),
        CASE(a_long_chain_is_skipped_without_recursion),
        CASE(sequential_runs_stop_at_the_first_failure),
        CASE(isolated_runs_pause_between_workers),
        CASE(batches_wait_for_the_whole_batch),
        CASE(failures_are_retried_by_policy),
        CASE(crashes_are_quarantined),
        CASE(settings_are_read_again_at_each_attempt),
        CASE(runs_overlap_as_told),
        CASE(paused_units_are_held_back),
        CASE(cancel_ends_what_waits_and_kills_what_runs),
        CASE(a_deadline_fails_the_run),
        CASE(intervals_do_not_drift),
        CASE(a_missed_interval_is_caught_up_once),
        CASE(hooks_start_units_and_end_their_recursion),
        CASE(pool_submissions_run_in_parallel),
        CASE(retry_keeps_the_successes),
        CASE(retry_keeps_the_attempts_before_it),
        CASE(a_released_units_numbers_are_not_used_again),
        {NULL, NULL},
    };
    return unit_main(argc, argv, "engine", cases);
}
