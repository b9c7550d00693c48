/* Features that meet: pauses and definitions that change, delays and restarts, cancels and run
 * modes, pages of what moves. */
#include "tests/support/engine_fixture.h"

#define HAS(asked, part) CU_ASSERT_TRUE(fixture_reply_has(&f, asked, part))

static const char two_workers[] =
    "{\"processes\":[{\"id\":\"p\",\"runMode\":\"parallel\",\"workers\":["
    "{\"id\":\"a\",\"run\":\"t.ok\"},{\"id\":\"b\",\"run\":\"t.ok\"}]}]}";

/* A run in progress waits for its paused worker, which the file in force does not have any more. */
static void a_paused_worker_that_left_the_file_can_be_resumed(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 8);
    fixture_apply(&f, two_workers);
    fixture_ask(&f, 1, MSG_PAUSE, "{\"ids\":[\"p/b\"]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"workers\":[{\"id\":\"a\",\"run\":"
                      "\"t.ok\"}]}]}");
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "b"));
    HAS(fixture_ask(&f, 1, MSG_PAUSE, "{\"ids\":[\"p/b\"]}"), "there is no worker 'p/b'");
    HAS(fixture_ask(&f, 1, MSG_RESUME, "{\"ids\":[\"p/b\"]}"), "\"units\":[\"p/b\"]");
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, "b"));
    HAS(fixture_ask(&f, 1, MSG_RESUME, "{\"ids\":[\"p/b\"]}"), "there is no worker 'p/b'");
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_SUCCEEDED, "1"));
    CU_ASSERT_TRUE(fixture_end(&f, "b", OUTCOME_SUCCEEDED, "1"));
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "succeeded");
    fixture_fini(&f);
}

static void what_was_released_comes_back_without_pauses(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, two_workers);
    fixture_ask(&f, 1, MSG_PAUSE, "{\"ids\":[\"p/b\"]}");
    HAS(fixture_ask(&f, 1, MSG_RELEASE, "{\"id\":\"p\"}"), "\"unit\":\"p\"");
    CU_ASSERT_PTR_NULL(fixture_unit(&f, "p/b"));
    fixture_crash(&f);
    fixture_host(&f, 1, "h", 8);
    fixture_apply(&f, two_workers);
    fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, "b"));
    fixture_fini(&f);
}

static void a_delayed_run_keeps_its_overlap_over_a_restart(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"s\",\"run\":\"t.ok\"}]}");
    uint64_t skips = fixture_start(&f, "{\"unit\":\"s\",\"delayMs\":5000,\"overlap\":\"skip\"}");
    uint64_t first = fixture_start(&f, "{\"unit\":\"s\"}");
    uint64_t allowed = fixture_start(&f, "{\"unit\":\"s\",\"delayMs\":8000,\"overlap\":\"allow\"}");
    uint64_t cancels =
        fixture_start(&f, "{\"unit\":\"s\",\"delayMs\":20000,\"overlap\":\"cancel\"}");
    fixture_crash(&f);
    fixture_pass(&f, 6000);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, first), "running");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, skips), "skipped");
    fixture_pass(&f, 4000);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, allowed), "running");
    fixture_pass(&f, 20000);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, first), "cancelled");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, cancels), "running");
    fixture_fini(&f);
}

/* A delay that is over does not count from anew: what came since stays behind it. */
static void a_run_whose_delay_is_over_keeps_its_place(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"s\",\"run\":\"t.ok\"}]}");
    fixture_ask(&f, 1, MSG_PAUSE, "{\"ids\":[\"s\"]}");
    uint64_t delayed =
        fixture_start(&f, "{\"unit\":\"s\",\"delayMs\":1000,\"overlap\":\"cancel\"}");
    fixture_pass(&f, 2000);
    uint64_t later = fixture_start(&f, "{\"unit\":\"s\"}");
    fixture_crash(&f);
    fixture_pass(&f, 2000);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, later), "queued");
    fixture_ask(&f, 1, MSG_RESUME, "{\"ids\":[\"s\"]}");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, delayed), "running");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, later), "queued");
    fixture_fini(&f);
}

static void a_clock_that_jumps_makes_nothing_stuck(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 8);
    fixture_ask(&f, 1, MSG_SUBMIT, "{\"function\":\"t.ok\",\"progressTimeoutMs\":5000}");
    CU_ASSERT_EQUAL_FATAL(f.task_count, 1);
    struct msg_attempt attempt = {.id = f.tasks[0].id, .phase = PHASE_RUNNING, .at = f.wall};
    struct buf body = {0};
    msg_attempts_encode(&attempt, 1, true, &body);
    fixture_host_send(&f, 1, MSG_STARTED, 0, &body);
    f.wall += 24 * 3600 * 1000;
    HAS(fixture_ask(&f, 1, MSG_SCAN, "{}"), "\"stuck\":[]");
    fixture_fini(&f);
}

/* What a worker runs is one setting: what takes its place takes it back. */
static void a_command_that_was_set_and_taken_back_is_gone(void)
{
    static const char file[] = "{\"workers\":[{\"id\":\"s\",\"run\":\"t.ok\",\"payload\":7}]}";
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 8);
    fixture_apply(&f, file);
    fixture_ask(&f, 1, MSG_SET, "{\"id\":\"s\",\"set\":{\"command\":\"true\"}}");
    fixture_apply(&f, file);
    fixture_start(&f, "{\"unit\":\"s\"}");
    CU_ASSERT_STRING_EQUAL(f.tasks[f.task_count - 1].function, "exec");
    HAS(fixture_ask(&f, 1, MSG_SET, "{\"id\":\"s\",\"set\":{\"run\":null,\"payload\":null}}"),
        "\"settings\":[]");
    fixture_apply(&f, file);
    fixture_ask(&f, 1, MSG_RUN, "{\"unit\":\"s\",\"overlap\":\"allow\"}");
    CU_ASSERT_EQUAL_FATAL(f.task_count, 2);
    CU_ASSERT_STRING_EQUAL(f.tasks[1].function, "t.ok");
    CU_ASSERT_STRING_EQUAL(f.tasks[1].payload, "7");
    fixture_fini(&f);
}

/* It ended without having begun: there are no records of its tasks. */
static void load_first_run(struct fixture *f)
{
    struct record stored = {.kind = RECORD_RUN, .run = *fixture_run(f, 1)};
    fixture_input(f, (struct input){.kind = INPUT_RUN_LOADED,
                                    .token = f->query.token,
                                    .records = &stored,
                                    .record_count = 1});
}

static void a_retried_submission_does_not_take_a_name_back(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_ask(&f, 1, MSG_SUBMIT, "{\"function\":\"t.ok\",\"name\":\"n\"}");
    fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"n\"}");
    fixture_ask(&f, 1, MSG_SUBMIT, "{\"function\":\"t.ok\",\"name\":\"n\"}");
    fixture_ask(&f, 1, MSG_RETRY, "{\"run\":\"pool#1\"}");
    load_first_run(&f);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, 1), "running");
    CU_ASSERT_EQUAL(fixture_run(&f, 1)->name.size, 0);
    HAS(fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"n\"}"), "pool#2");
    HAS(fixture_ask(&f, 1, MSG_SUBMIT, "{\"function\":\"t.ok\",\"name\":\"n\"}"), "pool#3");
    fixture_fini(&f);
}

/* Submissions that were retried stand behind younger ones. */
static void pages_of_the_pool_come_to_an_end(void)
{
    struct fixture f;
    fixture_init(&f);
    for (int i = 0; i < 4; i++)
        fixture_ask(&f, 1, MSG_SUBMIT, "{\"function\":\"t.ok\"}");
    fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"pool#1\"}");
    fixture_ask(&f, 1, MSG_RETRY, "{\"run\":\"pool#1\"}");
    load_first_run(&f);
    size_t seen[5] = {0}, pages = 0;
    char ask[80] = "{\"what\":\"pool\",\"limit\":1}";
    for (; pages < 10; pages++) {
        const char *reply = fixture_reply(&f, fixture_ask(&f, 1, MSG_LIST, ask));
        CU_ASSERT_PTR_NOT_NULL_FATAL(reply);
        for (size_t i = 1; i <= 4; i++) {
            char label[32];
            snprintf(label, sizeof(label), "\"run\":\"pool#%zu\"", i);
            seen[i] += strstr(reply, label) != NULL;
        }
        const char *cursor = strstr(reply, "\"cursor\":");
        CU_ASSERT_PTR_NOT_NULL_FATAL(cursor);
        if (strncmp(cursor + 9, "null", 4) == 0)
            break;
        snprintf(ask, sizeof(ask), "{\"what\":\"pool\",\"limit\":1,\"cursor\":%llu}",
                 strtoull(cursor + 9, NULL, 10));
    }
    CU_ASSERT_EQUAL(pages, 3);
    for (size_t i = 1; i <= 4; i++)
        CU_ASSERT_EQUAL(seen[i], 1);
    fixture_fini(&f);
}

static void the_longest_retry_delay_is_not_none(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_ask(&f, 1, MSG_SUBMIT,
                "{\"function\":\"t.ok\",\"maxRetries\":1,\"retryDelayMs\":9223372036854775807}");
    CU_ASSERT_EQUAL_FATAL(f.task_count, 1);
    fixture_report(&f, &f.tasks[0], OUTCOME_FAILED, NULL, "bad");
    fixture_pass(&f, 60000);
    CU_ASSERT_EQUAL(f.task_count, 1);
    fixture_crash(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_pass(&f, 60000);
    CU_ASSERT_EQUAL(f.task_count, 1);
    fixture_fini(&f);
}

static void a_cancelled_worker_stops_only_those_after_it(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"workers\":[{\"id\":\"a\",\"run\":\"t.ok\"},"
                      "{\"id\":\"b\",\"run\":\"t.ok\"},{\"id\":\"c\",\"run\":\"t.ok\"},"
                      "{\"id\":\"d\",\"run\":\"t.ok\"}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    HAS(fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"p#1\",\"worker\":\"c\"}"),
        "\"state\":\"cancelled\"");
    CU_ASSERT_STRING_EQUAL(fixture_state(&f, run, "b"), "none");
    fixture_crash(&f);
    fixture_host(&f, 1, "h", 1);
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_SUCCEEDED, "1"));
    CU_ASSERT_TRUE(fixture_end(&f, "b", OUTCOME_SUCCEEDED, "1"));
    CU_ASSERT_STRING_EQUAL(fixture_state(&f, run, "b"), "succeeded");
    CU_ASSERT_STRING_EQUAL(fixture_state(&f, run, "c"), "cancelled");
    CU_ASSERT_STRING_EQUAL(fixture_state(&f, run, "d"), "skipped");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "cancelled");
    fixture_fini(&f);
}

/* After a restart only the hosts know what has begun. */
static void what_a_host_may_have_begun_is_not_changed(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_ask(&f, 1, MSG_SUBMIT, "{\"function\":\"t.ok\",\"name\":\"n\"}");
    CU_ASSERT_EQUAL(f.task_count, 1);
    struct msg_attempt attempt = {.id = f.tasks[0].id, .phase = PHASE_RUNNING, .at = f.wall};
    fixture_crash(&f);
    HAS(fixture_ask(&f, 1, MSG_POOL_UPDATE, "{\"run\":\"n\",\"function\":\"t.other\"}"), "busy");
    fixture_hello(&f, 1, "h", 1, 1);
    fixture_sync(&f, 1, &attempt, 1);
    fixture_beat(&f, 1);
    HAS(fixture_ask(&f, 1, MSG_POOL_UPDATE, "{\"run\":\"n\",\"function\":\"t.other\"}"),
        "has begun");
    HAS(fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"pool\"}"), "\"function\":\"t.ok\"");
    fixture_fini(&f);
}

/* A host died behind a milestone; what it had spooled comes after a restart here. */
static void a_milestone_of_what_is_gone_starts_nothing(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"s\",\"run\":\"t.ok\"}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"s\"}");
    CU_ASSERT_EQUAL_FATAL(f.task_count, 1);
    struct attempt_id id = f.tasks[0].id;
    fixture_crash(&f);
    fixture_forget_tasks(&f);
    fixture_hello(&f, 1, "h", 2, 1);
    fixture_sync(&f, 1, NULL, 0);
    struct msg_report report = {.kind = REPORT_MILESTONE,
                                .id = id,
                                .name = bytes_str("half-way"),
                                .payload = bytes_str("\xc0"),
                                .at = f.wall};
    struct buf item = {0}, body = {0};
    msg_report_encode(&report, &item);
    msg_reports_wrap(buf_bytes(&item), 1, &body);
    fixture_host_send(&f, 1, MSG_REPORT, 1, &body);
    buf_fini(&item);
    fixture_beat(&f, 1);
    CU_ASSERT_EQUAL(fixture_count_events(&f, "half-way"), 1);
    CU_ASSERT_EQUAL_FATAL(f.task_count, 1);
    f.report_sequence[1] = 1;
    fixture_report(&f, &f.tasks[0], OUTCOME_SUCCEEDED, "1", NULL);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "succeeded");
    fixture_fini(&f);
}

/* Else the next run would begin beside what is still running. */
static void a_cancel_waits_for_what_hosts_have_yet_to_tell(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 8);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"s\",\"run\":\"t.ok\"}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"s\"}");
    uint64_t next = fixture_start(&f, "{\"unit\":\"s\"}");
    CU_ASSERT_EQUAL_FATAL(f.task_count, 1);
    struct msg_attempt attempt = {.id = f.tasks[0].id, .phase = PHASE_RUNNING, .at = f.wall};
    fixture_crash(&f);
    HAS(fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"s#1\"}"), "\"status\":\"running\"");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, next), "queued");
    fixture_hello(&f, 1, "h", 1, 8);
    fixture_sync(&f, 1, &attempt, 1);
    fixture_beat(&f, 1);
    CU_ASSERT_EQUAL(f.cancel_count, 1);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, next), "queued");
    fixture_report_as(&f, 1, 1, attempt.id, OUTCOME_CANCELLED, NULL, "cancelled", -1);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "cancelled");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, next), "running");
    fixture_fini(&f);
}

int main(int argc, char **argv)
{
#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
    static const struct unit_case cases[] = {
        CASE(a_paused_worker_that_left_the_file_can_be_resumed),
        CASE(what_was_released_comes_back_without_pauses),
        CASE(a_delayed_run_keeps_its_overlap_over_a_restart),
        CASE(a_retried_submission_does_not_take_a_name_back),
        CASE(a_run_whose_delay_is_over_keeps_its_place),
        CASE(a_clock_that_jumps_makes_nothing_stuck),
        CASE(a_command_that_was_set_and_taken_back_is_gone),
        CASE(pages_of_the_pool_come_to_an_end),
        CASE(the_longest_retry_delay_is_not_none),
        CASE(a_cancelled_worker_stops_only_those_after_it),
        CASE(what_a_host_may_have_begun_is_not_changed),
        CASE(a_milestone_of_what_is_gone_starts_nothing),
        CASE(a_cancel_waits_for_what_hosts_have_yet_to_tell),
        {NULL, NULL},
    };
    return unit_main(argc, argv, "engine-interplay", cases);
}
