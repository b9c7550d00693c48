/* Schedules: cron expressions and intervals under clocks that are set, restarts, and by hand. */
#include "tests/support/engine_fixture.h"

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

/* 2023-11-14 00:00 UTC; the fixture starts at 22:13:20 of that day. */
static const int64_t midnight = 1699920000000;

#define APPLY(options)                                                                             \
    CU_ASSERT_FATAL(fixture_reply_has(                                                             \
        &f, fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"," options "}]}"),      \
        "units"))
#define RUNS()       ((int)fixture_unit(&f, "w")->last_number)
#define DUE_AT()     (fixture_unit(&f, "w")->due_at)
#define SET_CLOCK(d) (f.wall += (d), fixture_pass(&f, 0))

/* Time passes at one go: hosts' silence meanwhile does not count. */
static void later(struct fixture *f, int64_t ms)
{
    f->now += ms;
    f->wall += ms;
    fixture_pass(f, 0);
}

/* As fixture_crash, without a boot in between: the monotonic clock goes on. */
static void restart(struct fixture *f)
{
    engine_free(f->engine);
    effects_clear(&f->effects);
    fixture_boot(f);
}

static void init(struct fixture *f)
{
    fixture_init(f);
    fixture_host(f, 1, "h", 4);
}

static void cron_runs_at_its_due_times(void)
{
    struct fixture f;
    init(&f);
    APPLY("\"cron\":\"0 3 * * *\"");
    CU_ASSERT_EQUAL(DUE_AT(), midnight + DAY + 3 * HOUR);
    uint64_t shown = fixture_ask(&f, 1, MSG_SHOW, "{\"id\":\"w\"}");
    CU_ASSERT(fixture_reply_has(&f, shown, "\"dueAt\":1700017200000"));
    later(&f, midnight + DAY + 3 * HOUR - 1 - f.wall);
    CU_ASSERT_EQUAL(RUNS(), 0);
    later(&f, 1);
    CU_ASSERT_EQUAL(RUNS(), 1);
    CU_ASSERT(fixture_end(&f, "w", OUTCOME_SUCCEEDED, NULL));
    CU_ASSERT_EQUAL(DUE_AT(), midnight + 2 * DAY + 3 * HOUR);
    for (int i = 2; i < 12; i++) {
        later(&f, DAY);
        CU_ASSERT_EQUAL(RUNS(), i);
        CU_ASSERT(fixture_end(&f, "w", OUTCOME_SUCCEEDED, NULL));
    }
    later(&f, 10 * MINUTE);
    CU_ASSERT_EQUAL(RUNS(), 11);
    fixture_fini(&f);
}

/* An hour ahead of UTC, and a log of what it was asked. */
static int64_t hour_ahead(const void *context, int64_t utc_s, int64_t *ret_until_s)
{
    (void)context, (void)utc_s;
    *ret_until_s = INT64_MAX;
    return 3600;
}

static enum synk_status next_there(void *context, struct synk_bytes text, struct synk_bytes zone,
                                   int64_t after_ms, int64_t *ret_due_ms, struct synk_error *error)
{
    static const struct zone_rules there = {NULL, hour_ahead};
    const bool *is_lost = context;
    struct cron cron;
    if (*is_lost)
        return status_fail(error, SYNK_IO, "the zone's file is gone");
    enum synk_status status = cron_parse(text, &cron, error);
    bool is_there = bytes_equal(zone, bytes_str("Somewhere/There"));
    return status ? status
                  : cron_next(&cron, is_there ? &there : &zone_utc, after_ms, ret_due_ms, error);
}

static enum synk_status check_there(void *context, struct synk_bytes text, struct synk_bytes zone,
                                    struct synk_error *error)
{
    (void)context, (void)text;
    return bytes_equal(zone, bytes_str("Somewhere/There"))
               ? SYNK_OK
               : status_fail(error, SYNK_INVALID, "there is no such zone");
}

static void cron_heeds_the_time_zone(void)
{
    struct fixture f;
    bool is_lost = false;
    struct calendar calendar = {&is_lost, next_there, check_there};
    init(&f);
    f.calendar = &calendar;
    fixture_crash(&f);
    fixture_host(&f, 1, "h", 4);
    APPLY("\"cron\":\"0 3 * * *\",\"timeZone\":\"Somewhere/There\"");
    CU_ASSERT_EQUAL(DUE_AT(), midnight + DAY + 2 * HOUR);
    APPLY("\"cron\":\"0 3 * * *\"");
    CU_ASSERT_EQUAL(DUE_AT(), midnight + DAY + 3 * HOUR);
    uint64_t refused =
        fixture_apply(&f, "{\"workers\":[{\"id\":\"x\",\"run\":\"t.ok\",\"cron\":\"@daily\","
                          "\"timeZone\":\"Nowhere\"}]}");
    CU_ASSERT(fixture_reply_has(&f, refused, "there is no such zone"));
    fixture_fini(&f);
}

/* Nothing but the schedule is lost with the zone's file, and the schedule comes back with it. */
static void a_lost_time_zone_is_asked_for_again(void)
{
    struct fixture f;
    bool is_lost = false;
    struct calendar calendar = {&is_lost, next_there, check_there};
    init(&f);
    f.calendar = &calendar;
    fixture_crash(&f);
    APPLY("\"cron\":\"0 3 * * *\",\"timeZone\":\"Somewhere/There\"");
    is_lost = true;
    later(&f, DAY);
    CU_ASSERT_EQUAL(RUNS(), 1);
    CU_ASSERT_EQUAL(DUE_AT(), 0);
    fixture_crash(&f);
    CU_ASSERT_EQUAL(DUE_AT(), 0);
    is_lost = false;
    later(&f, MINUTE);
    CU_ASSERT_EQUAL(DUE_AT(), midnight + 2 * DAY + 2 * HOUR);
    fixture_fini(&f);
}

static void a_clock_set_back_runs_no_due_time_twice(void)
{
    struct fixture f;
    init(&f);
    APPLY("\"cron\":\"30 * * * *\",\"overlap\":\"allow\"");
    later(&f, HOUR);
    later(&f, HOUR); /* 00:13:20: those of 22:30 and 23:30 have run */
    CU_ASSERT_EQUAL(RUNS(), 2);
    SET_CLOCK(-2 * HOUR);
    fixture_pass(&f, 2 * HOUR);
    CU_ASSERT_EQUAL(RUNS(), 2);
    later(&f, HOUR);
    CU_ASSERT_EQUAL(RUNS(), 3);
    SET_CLOCK(-2 * HOUR); /* and where it is set back under a restart */
    fixture_crash(&f);
    later(&f, 2 * HOUR);
    CU_ASSERT_EQUAL(RUNS(), 3);
    fixture_fini(&f);
}

static void a_clock_that_was_far_ahead_is_not_waited_for(void)
{
    struct fixture f;
    init(&f);
    SET_CLOCK(400 * (int64_t)DAY);
    APPLY("\"cron\":\"30 * * * *\"");
    SET_CLOCK(-400 * (int64_t)DAY);
    CU_ASSERT_EQUAL(DUE_AT(), midnight + 22 * HOUR + 30 * MINUTE);
    later(&f, HOUR);
    CU_ASSERT_EQUAL(RUNS(), 1);
    f.wall -= 40 * (int64_t)DAY;
    fixture_crash(&f);
    later(&f, HOUR);
    CU_ASSERT_EQUAL(RUNS(), 2);
    fixture_fini(&f);
}

static void a_clock_set_ahead_makes_due_what_it_passed(void)
{
    struct fixture f;
    init(&f);
    APPLY("\"cron\":\"0 3 * * *\"");
    SET_CLOCK(3 * DAY);
    CU_ASSERT_EQUAL(RUNS(), 1); /* catchUp: once */
    CU_ASSERT_EQUAL(DUE_AT(), midnight + 4 * DAY + 3 * HOUR);
    fixture_fini(&f);
}

static void missed_due_times_are_made_up_for_as_told(void)
{
    static const struct {
        const char *options;
        int64_t down_ms;
        int runs;
    } table[] = {
        {"\"cron\":\"0 * * * *\"", 5 * HOUR, 1},
        {"\"cron\":\"0 * * * *\",\"catchUp\":\"once\"", 10 * MINUTE, 0},
        {"\"cron\":\"0 * * * *\",\"catchUp\":\"skip\"", 5 * HOUR, 0},
        /* 23:00:20 is no time missed */
        {"\"cron\":\"0 * * * *\",\"catchUp\":\"skip\"", 47 * MINUTE, 1},
        {"\"cron\":\"0 * * * *\",\"catchUp\":\"all\"", 5 * HOUR, 5},
        {"\"cron\":\"0 0 * * *\",\"catchUp\":\"all\"", 5 * HOUR, 1},
        {"\"cron\":\"* * * * *\",\"catchUp\":\"all\"", 5 * HOUR, 100},
        {"\"cron\":\"0 * * * *\",\"status\":\"paused\",\"catchUp\":\"all\"", 5 * HOUR, 0},
        {"\"intervalMs\":\"1h\"", 5 * HOUR, 1},
        {"\"intervalMs\":\"1h\",\"catchUp\":\"skip\"", 5 * HOUR, 0},
        {"\"intervalMs\":\"1h\",\"catchUp\":\"all\"", 5 * HOUR, 5},
        {"\"intervalMs\":\"1m\",\"catchUp\":\"all\"", 5 * HOUR, 100},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct fixture f;
        char document[300];
        init(&f);
        snprintf(document, sizeof(document), "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",%s}]}",
                 table[i].options);
        fixture_apply(&f, document);
        f.wall += table[i].down_ms;
        fixture_crash(&f);
        int runs = RUNS();
        CU_ASSERT_EQUAL(runs, table[i].runs);
        if (runs != table[i].runs)
            fprintf(stderr, "  %s: %d runs\n", table[i].options, runs);
        CU_ASSERT(DUE_AT() > f.wall);
        fixture_crash(&f);
        CU_ASSERT_EQUAL(RUNS(), runs);
        fixture_fini(&f);
    }
}

static void a_changed_schedule_counts_from_now(void)
{
    struct fixture f;
    init(&f);
    APPLY("\"cron\":\"0 3 * * *\"");
    APPLY("\"cron\":\"0 3 * * *\",\"maxRetries\":2");
    CU_ASSERT_EQUAL(DUE_AT(), midnight + DAY + 3 * HOUR);
    APPLY("\"cron\":\"*/5 * * * *\"");
    CU_ASSERT_EQUAL(DUE_AT(), midnight + 22 * HOUR + 15 * MINUTE);
    APPLY("\"intervalMs\":\"1h\"");
    CU_ASSERT_EQUAL(DUE_AT(), f.wall + HOUR);
    APPLY("\"cron\":\"0 3 * * *\"");
    CU_ASSERT_EQUAL(DUE_AT(), midnight + DAY + 3 * HOUR);
    APPLY("\"cron\":\"0 3 * * *\",\"enabled\":false");
    CU_ASSERT_EQUAL(DUE_AT(), 0);
    later(&f, 3 * DAY);
    CU_ASSERT_EQUAL(RUNS(), 0);
    APPLY("\"cron\":\"0 3 * * *\"");
    CU_ASSERT_EQUAL(DUE_AT(), midnight + 4 * DAY + 3 * HOUR);
    fixture_fini(&f);
}

static void many_calendars_share_one_timer(void)
{
    struct fixture f;
    init(&f);
    struct buf document = {0};
    buf_printf(&document, "{\"workers\":[");
    for (int i = 0; i < 300; i++)
        buf_printf(&document, "%s{\"id\":\"u%d\",\"run\":\"t.ok\",\"cron\":\"%d %d * * *\"}",
                   i ? "," : "", i, i % 60, i % 24);
    buf_printf(&document, "]}%c", '\0');
    fixture_apply(&f, (const char *)document.data);
    buf_fini(&document);
    for (int i = 0; i < 24 * 60; i++)
        later(&f, MINUTE);
    for (int i = 0; i < 300; i++) {
        char id[16];
        snprintf(id, sizeof(id), "u%d", i);
        CU_ASSERT_EQUAL(fixture_unit(&f, id)->last_number, 1);
    }
    fixture_fini(&f);
}

static void intervals_do_not_heed_the_wall_clock(void)
{
    static const int64_t sets[] = {5 * HOUR, -5 * HOUR, -100 * (int64_t)DAY};
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        struct fixture f;
        init(&f);
        f.config.boot = "b1";
        restart(&f);
        APPLY("\"intervalMs\":\"4h\",\"overlap\":\"allow\"");
        later(&f, HOUR);
        SET_CLOCK(sets[i]); /* while it runs */
        CU_ASSERT_EQUAL(RUNS(), 0);
        CU_ASSERT_EQUAL(DUE_AT(), f.wall + 3 * HOUR);
        restart(&f);
        CU_ASSERT_EQUAL(DUE_AT(), f.wall + 3 * HOUR);
        f.wall += sets[i]; /* while it does not */
        restart(&f);
        CU_ASSERT_EQUAL(RUNS(), 0);
        CU_ASSERT_EQUAL(DUE_AT(), f.wall + 3 * HOUR);
        later(&f, 3 * HOUR - 1);
        CU_ASSERT_EQUAL(RUNS(), 0);
        later(&f, 1);
        CU_ASSERT_EQUAL(RUNS(), 1);
        f.now += 9 * HOUR; /* down for real */
        f.wall += 9 * HOUR;
        restart(&f);
        CU_ASSERT_EQUAL(RUNS(), 2);
        CU_ASSERT_EQUAL(DUE_AT(), f.wall + 3 * HOUR);
        fixture_fini(&f);
    }
}

/* Another boot: only the wall clock tells how long it took, and never more than the interval. */
static void after_a_boot_the_wall_clock_counts(void)
{
    struct fixture f;
    init(&f);
    f.config.boot = "b1";
    restart(&f);
    APPLY("\"intervalMs\":\"4h\",\"catchUp\":\"skip\"");
    f.config.boot = "b2";
    f.now = 5000;
    f.wall += HOUR;
    restart(&f);
    CU_ASSERT_EQUAL(DUE_AT(), f.wall + 3 * HOUR);
    f.config.boot = "b3";
    f.wall -= 30 * (int64_t)DAY;
    restart(&f);
    CU_ASSERT_EQUAL(DUE_AT(), f.wall + 4 * HOUR);
    fixture_fini(&f);
}

static void a_retry_does_not_heed_the_wall_clock(void)
{
    struct fixture f;
    init(&f);
    f.config.boot = "b1";
    restart(&f);
    fixture_host(&f, 1, "h", 4);
    APPLY("\"maxRetries\":1,\"retryDelayMs\":\"2h\"");
    CU_ASSERT(fixture_start(&f, "{\"unit\":\"w\"}"));
    CU_ASSERT(fixture_end(&f, "w", OUTCOME_FAILED, NULL));
    f.wall += 5 * HOUR;
    restart(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_forget_tasks(&f);
    later(&f, HOUR);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "w"));
    later(&f, HOUR);
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, "w"));
    fixture_fini(&f);
}

static void max_runs_counts_successes_by_hand_and_by_schedule(void)
{
    static const char *const schedules[] = {"\"cron\":\"* * * * *\"", "\"intervalMs\":\"1m\""};
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;
        char document[200];
        init(&f);
        snprintf(document, sizeof(document),
                 "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"maxRuns\":2,%s}]}", schedules[i]);
        fixture_apply(&f, document);
        CU_ASSERT(fixture_start(&f, "{\"unit\":\"w\"}"));
        CU_ASSERT(fixture_end(&f, "w", OUTCOME_SUCCEEDED, NULL));
        later(&f, MINUTE);
        CU_ASSERT(fixture_end(&f, "w", OUTCOME_FAILED, NULL)); /* does not count */
        CU_ASSERT(fixture_unit(&f, "w")->enabled);
        CU_ASSERT_EQUAL(fixture_count_events(&f, "\"maxRuns\""), 0);
        later(&f, MINUTE);
        CU_ASSERT_EQUAL(RUNS(), 3);
        CU_ASSERT(fixture_end(&f, "w", OUTCOME_SUCCEEDED, NULL));
        CU_ASSERT_FALSE(fixture_unit(&f, "w")->enabled);
        CU_ASSERT_EQUAL(DUE_AT(), 0);
        CU_ASSERT_EQUAL(fixture_count_events(&f, "\"maxRuns\""), 1);
        later(&f, 10 * MINUTE);
        CU_ASSERT_EQUAL(RUNS(), 3);
        CU_ASSERT(fixture_start(&f, "{\"unit\":\"w\"}")); /* by hand it may */
        fixture_crash(&f);
        later(&f, 10 * MINUTE);
        CU_ASSERT_EQUAL(RUNS(), 4);
        fixture_fini(&f);
    }
}

static void run_on_start_runs_once_a_start(void)
{
    struct fixture f;
    init(&f);
    APPLY("\"runOnStart\":true,\"overlap\":\"allow\"");
    CU_ASSERT_EQUAL(RUNS(), 1);
    APPLY("\"runOnStart\":true,\"overlap\":\"allow\",\"maxRetries\":1");
    CU_ASSERT_EQUAL(RUNS(), 1);
    fixture_crash(&f);
    CU_ASSERT_EQUAL(RUNS(), 2);
    fixture_fini(&f);
}

/* ---- delays ---- */

#define EXPLAINED(run, part)                                                                       \
    CU_ASSERT(fixture_reply_has(&f, fixture_ask(&f, 1, MSG_EXPLAIN, "{\"run\":\"" run "\"}"), part))

static void a_delayed_run_starts_when_it_is_due(void)
{
    struct fixture f;
    init(&f);
    APPLY("\"maxRetries\":0");
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\",\"delayMs\":600000}");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "queued");
    EXPLAINED("w#1", "starts at 2023-11-14 22:23:20 UTC, in 10 min 0 s");
    later(&f, 10 * MINUTE - 1);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "queued");
    later(&f, 1);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "running");
    CU_ASSERT(fixture_end(&f, "w", OUTCOME_SUCCEEDED, NULL));
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "succeeded");
    fixture_fini(&f);
}

static void a_delay_survives_restarts_and_clocks(void)
{
    struct fixture f;
    init(&f);
    f.config.boot = "b1";
    restart(&f);
    APPLY("\"maxRetries\":0");
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\",\"delayMs\":600000}");
    later(&f, MINUTE);
    SET_CLOCK(5 * HOUR);
    restart(&f);
    f.wall -= 30 * HOUR;
    restart(&f);
    later(&f, 8 * MINUTE);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "queued");
    EXPLAINED("w#1", "in 1 min 0 s");
    later(&f, MINUTE);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "running");
    /* Due while nobody ran: at the start. */
    run = fixture_start(&f, "{\"unit\":\"w\",\"delayMs\":600000,\"overlap\":\"allow\"}");
    f.wall += HOUR;
    f.now += HOUR;
    restart(&f);
    fixture_pass(&f, 0);
    engine_check(f.engine);
    fixture_fini(&f);
}

/* Until it is due it is in nobody's way, and nobody in its. */
static void a_delayed_run_holds_nobody_back(void)
{
    struct fixture f;
    init(&f);
    APPLY("\"maxRetries\":0");
    uint64_t late = fixture_start(&f, "{\"unit\":\"w\",\"delayMs\":60000}");
    uint64_t skips = fixture_start(&f, "{\"unit\":\"w\",\"delayMs\":60000,"
                                       "\"overlap\":\"skip\"}");
    uint64_t soon = fixture_start(&f, "{\"unit\":\"w\",\"overlap\":\"skip\"}");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, soon), "running");
    engine_check(f.engine);
    later(&f, MINUTE);
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, late), "queued");
    EXPLAINED("w#1", "the run is queued behind w#3");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, skips), "skipped");
    CU_ASSERT(fixture_end(&f, "w", OUTCOME_SUCCEEDED, NULL));
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, late), "running");
    engine_check(f.engine);
    fixture_fini(&f);
}

static void a_delayed_run_can_be_cancelled(void)
{
    struct fixture f;
    init(&f);
    APPLY("\"maxRetries\":0");
    uint64_t run = fixture_start(&f, "{\"unit\":\"w\",\"delayMs\":60000}");
    fixture_ask(&f, 1, MSG_CANCEL, "{\"run\":\"w#1\"}");
    CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), "cancelled");
    later(&f, MINUTE);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "w"));
    engine_check(f.engine);
    fixture_fini(&f);
}

static void a_submission_can_be_delayed(void)
{
    struct fixture f;
    init(&f);
    fixture_ask(&f, 1, MSG_SUBMIT, "{\"function\":\"t.ok\",\"count\":2,\"delayMs\":60000}");
    CU_ASSERT_EQUAL(f.task_count, 0);
    EXPLAINED("pool#1", "starts at");
    later(&f, 59 * 1000);
    restart(&f);
    fixture_host(&f, 1, "h", 4);
    CU_ASSERT_EQUAL(f.task_count, 0);
    later(&f, 1000);
    CU_ASSERT_EQUAL(f.task_count, 2);
    fixture_fini(&f);
}

static void delays_that_cannot_be_are_refused(void)
{
    static const char *const bodies[] = {"{\"unit\":\"w\",\"delayMs\":-1}",
                                         "{\"unit\":\"w\",\"delayMs\":\"10m\"}",
                                         "{\"unit\":\"w\",\"delayMs\":315360000001}"};
    struct fixture f;
    init(&f);
    APPLY("\"maxRetries\":0");
    for (size_t i = 0; i < 3; i++)
        CU_ASSERT(fixture_reply_has(&f, fixture_ask(&f, 1, MSG_RUN, bodies[i]), "'delayMs' must"));
    CU_ASSERT(fixture_reply_has(
        &f, fixture_ask(&f, 1, MSG_SUBMIT, "{\"function\":\"t.ok\",\"delayMs\":1.5}"),
        "'delayMs' must"));
    CU_ASSERT_EQUAL(RUNS(), 0);
    fixture_fini(&f);
}

int main(int argc, char **argv)
{
#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
    static const struct unit_case cases[] = {
        CASE(cron_runs_at_its_due_times),
        CASE(cron_heeds_the_time_zone),
        CASE(a_lost_time_zone_is_asked_for_again),
        CASE(a_clock_set_back_runs_no_due_time_twice),
        CASE(a_clock_that_was_far_ahead_is_not_waited_for),
        CASE(a_clock_set_ahead_makes_due_what_it_passed),
        CASE(missed_due_times_are_made_up_for_as_told),
        CASE(a_changed_schedule_counts_from_now),
        CASE(many_calendars_share_one_timer),
        CASE(intervals_do_not_heed_the_wall_clock),
        CASE(after_a_boot_the_wall_clock_counts),
        CASE(a_retry_does_not_heed_the_wall_clock),
        CASE(max_runs_counts_successes_by_hand_and_by_schedule),
        CASE(run_on_start_runs_once_a_start),
        CASE(a_delayed_run_starts_when_it_is_due),
        CASE(a_delay_survives_restarts_and_clocks),
        CASE(a_delayed_run_holds_nobody_back),
        CASE(a_delayed_run_can_be_cancelled),
        CASE(a_submission_can_be_delayed),
        CASE(delays_that_cannot_be_are_refused),
        {NULL, NULL},
    };
    return unit_main(argc, argv, "engine_schedule", cases);
}
