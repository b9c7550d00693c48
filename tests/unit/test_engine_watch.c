/* What is told and what is watched: milestones, their hooks, ticks by hand, statistics, scans. */
#include "tests/support/engine_fixture.h"

enum { MINUTE = 60 * 1000 };

static void later(struct fixture *f, int64_t ms)
{
    f->now += ms;
    f->wall += ms;
    fixture_pass(f, 0);
}

static void init(struct fixture *f)
{
    fixture_init(f);
    fixture_host(f, 1, "h", 4);
}

#define ASK(type, json)     fixture_ask(&f, 1, type, json)
#define HAS(sequence, part) CU_ASSERT(fixture_reply_has(&f, sequence, part))
#define EVENTS(part)        ((int)fixture_count_events(&f, part))
#define LAST_NUMBER(unit)   ((int)fixture_unit(&f, unit)->last_number)
#define RUN_TO(unit, outcome)                                                                      \
    do {                                                                                           \
        CU_ASSERT(fixture_start(&f, "{\"unit\":\"" unit "\"}"));                                   \
        CU_ASSERT(fixture_end(&f, unit, outcome, NULL));                                           \
    } while (0)

/* ---- milestones ---- */

static void milestones_from_clients_are_told_and_heeded(void)
{
    struct fixture f;
    init(&f);
    fixture_apply(&f,
                  "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"runOnMilestone\":\"go\"},"
                  "{\"id\":\"v\",\"run\":\"t.ok\"}],"
                  "\"processes\":[{\"id\":\"p\",\"workers\":[{\"id\":\"a\",\"run\":\"t.ok\"}]}]}");
    uint64_t asked = ASK(MSG_MILESTONE, "{\"name\":\"go\",\"payload\":{\"n\":7},\"key\":\"k\"}");
    HAS(asked, "\"seq\":");
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"go\",\"payload\":{\"n\":7}"), 1);
    const struct seen_task *task = fixture_sent(&f, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(task);
    CU_ASSERT_STRING_EQUAL(task->params, "{\"n\":7}");
    CU_ASSERT(fixture_end(&f, "w", OUTCOME_SUCCEEDED, NULL));
    /* The same key again: told of the first, and not emitted again. */
    HAS(ASK(MSG_MILESTONE, "{\"name\":\"go\",\"payload\":{\"n\":7},\"key\":\"k\"}"), "\"seq\":");
    CU_ASSERT_EQUAL(LAST_NUMBER("w"), 1);
    ASK(MSG_MILESTONE, "{\"name\":\"x\",\"unit\":\"v\"}");
    CU_ASSERT_EQUAL(EVENTS("\"unit\":\"v\",\"milestone\":\"x\"}"), 1);
    ASK(MSG_MILESTONE, "{\"name\":\"x\",\"unit\":\"p/a\"}");
    CU_ASSERT_EQUAL(EVENTS("\"unit\":\"p\",\"worker\":\"a\",\"milestone\":\"x\"}"), 1);
    CU_ASSERT(fixture_start(&f, "{\"unit\":\"p\"}"));
    ASK(MSG_MILESTONE, "{\"name\":\"x\",\"run\":\"p#last\",\"worker\":\"a\"}");
    CU_ASSERT_EQUAL(EVENTS("\"unit\":\"p\",\"run\":\"p#1\",\"worker\":\"a\",\"milestone\":\"x\"}"),
                    1);
    fixture_fini(&f);
}

static void milestones_that_cannot_be_are_refused(void)
{
    static const struct {
        const char *body, *says;
    } table[] = {
        {"{}", "'name' must be 1 to 256 bytes"},
        {"{\"name\":\"\"}", "'name' must be 1 to 256 bytes"},
        {"{\"name\":7}", "'name' must be 1 to 256 bytes"},
        {"{\"name\":\"a\\u0007\"}", "'name' must be 1 to 256 bytes"},
        {"{\"name\":\"a\\u0085\"}", "'name' must be 1 to 256 bytes"},
        {"{\"name\":\"x\",\"unit\":\"nobody\"}", "there is no unit 'nobody'"},
        {"{\"name\":\"x\",\"unit\":\"p/b\"}", "there is no worker 'p/b'"},
        {"{\"name\":\"x\",\"run\":\"p#9\"}", "there is no run 'p#9'"},
        {"{\"name\":\"x\",\"run\":\"p#1\",\"worker\":\"b\"}", "p#1 has no worker 'b'"},
        {"{\"name\":\"x\",\"run\":\"p#1\",\"unit\":\"w\"}", "p#1 is not a run of 'w'"},
        {"{\"name\":\"x\",\"worker\":\"a\"}", "'worker' goes with 'run'"},
    };
    struct fixture f;
    init(&f);
    fixture_apply(&f,
                  "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}],"
                  "\"processes\":[{\"id\":\"p\",\"workers\":[{\"id\":\"a\",\"run\":\"t.ok\"}]}]}");
    CU_ASSERT(fixture_start(&f, "{\"unit\":\"p\"}"));
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        uint64_t asked = ASK(MSG_MILESTONE, table[i].body);
        HAS(asked, table[i].says);
        if (!fixture_reply_has(&f, asked, table[i].says))
            fprintf(stderr, "  %s: %s\n", table[i].body, fixture_reply(&f, asked));
    }
    struct buf body = {0};
    buf_printf(&body, "{\"name\":\"%0256d\"}%c", 0, '\0');
    HAS(ASK(MSG_MILESTONE, (const char *)body.data), "\"seq\":");
    buf_clear(&body);
    buf_printf(&body, "{\"name\":\"%0257d\"}%c", 0, '\0');
    HAS(ASK(MSG_MILESTONE, (const char *)body.data), "'name' must be");
    buf_fini(&body);
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"x\""), 0);
    fixture_fini(&f);
}

/* Rows 15 to 17 of the ancestor: the names that its users listen to. */
static void the_engine_emits_the_ancestors_milestones(void)
{
    struct fixture f;
    init(&f);
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"storage:loaded\",\"payload\":{\"count\":0}"), 1);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}],\"processes\":[{\"id\":\"p\","
                      "\"runMode\":\"batched\",\"workers\":[{\"id\":\"a\",\"run\":\"t.ok\"}]}]}");
    CU_ASSERT(fixture_start(&f, "{\"unit\":\"p\"}"));
    CU_ASSERT_EQUAL(
        EVENTS("\"milestone\":\"unit:p:running\",\"payload\":{\"runMode\":\"batched\"}"), 1);
    CU_ASSERT_EQUAL(EVENTS("unit:p:completed"), 0);
    CU_ASSERT_EQUAL(EVENTS("\"current\":\"running\""), 1);
    CU_ASSERT(fixture_end(&f, "a", OUTCOME_SUCCEEDED, NULL));
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"unit:p:completed\""), 1);
    CU_ASSERT_EQUAL(EVENTS("\"reason\":\"status-change\",\"previous\":\"running\","
                           "\"current\":\"completed\""),
                    1);
    RUN_TO("w", OUTCOME_FAILED);
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"unit:w:running\""), 1);
    CU_ASSERT_EQUAL(EVENTS("unit:w:completed"), 0);
    ASK(MSG_PAUSE, "{\"ids\":[\"w\",\"p\",\"p/a\"]}");
    CU_ASSERT_EQUAL(EVENTS("unpaused"), 0);
    ASK(MSG_RESUME, "{\"ids\":[\"w\",\"p\",\"p/a\"]}");
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"worker:w:unpaused\""), 1);
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"unit:p:unpaused\""), 1);
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"worker:p/a:unpaused\""), 1);
    ASK(MSG_RELEASE, "{\"id\":\"w\"}");
    ASK(MSG_RELEASE, "{\"id\":\"p\"}");
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"unit:w:released\""), 1);
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"worker:w:released\""), 1);
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"unit:p:released\""), 1);
    CU_ASSERT_EQUAL(EVENTS("worker:p"), 1);
    fixture_fini(&f);
}

static void run_on_milestone_hears_the_engines_own(void)
{
    struct fixture f;
    init(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"},{\"id\":\"after\","
                      "\"run\":\"t.ok\",\"runOnMilestone\":\"unit:w:completed\"},{\"id\":\"boot\","
                      "\"run\":\"t.ok\",\"runOnMilestone\":\"storage:loaded\"}]}");
    RUN_TO("w", OUTCOME_SUCCEEDED);
    CU_ASSERT_EQUAL(LAST_NUMBER("after"), 1);
    CU_ASSERT_EQUAL(LAST_NUMBER("boot"), 0);
    fixture_crash(&f);
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"storage:loaded\",\"payload\":{\"count\":3}"), 1);
    CU_ASSERT_EQUAL(LAST_NUMBER("boot"), 1);
    fixture_fini(&f);
}

static void statistics_are_emitted_on_their_interval(void)
{
    struct fixture f;
    init(&f);
    f.config.stats_interval_ms = 5000;
    fixture_crash(&f);
    struct buf gauges = {0};
    fixture_json("{\"rssKib\":1,\"cpuUs\":2,\"loopLagMs\":3,\"commitUs\":4}", &gauges);
    engine_set_gauges(f.engine, buf_bytes(&gauges));
    buf_fini(&gauges);
    fixture_pass(&f, 4999);
    CU_ASSERT_EQUAL(EVENTS("engine:stats"), 0);
    fixture_pass(&f, 1);
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"engine:stats\""), 1);
    static const char *const figures[] = {
        "\"rssKib\":1",     "\"cpuUs\":2", "\"loopLagMs\":3", "\"commitUs\":4",
        "\"readyTasks\":0", "\"slots\":0", "\"hosts\":[]",    "\"dispatchedTasks\":0"};
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
        CU_ASSERT_EQUAL(EVENTS(figures[i]), 1);
    fixture_pass(&f, 10000);
    CU_ASSERT_EQUAL(EVENTS("engine:stats"), 3);
    fixture_fini(&f);
}

/* ---- by hand ---- */

static void by_hand_nothing_starts_but_by_a_tick(void)
{
    struct fixture f;
    init(&f);
    f.config.schedule_by_hand = true;
    fixture_crash(&f);
    fixture_apply(&f,
                  "{\"workers\":["
                  "{\"id\":\"i\",\"run\":\"t.ok\",\"intervalMs\":\"1m\",\"overlap\":\"allow\"},"
                  "{\"id\":\"c\",\"run\":\"t.ok\",\"cron\":\"* * * * *\",\"overlap\":\"allow\"},"
                  "{\"id\":\"s\",\"run\":\"t.ok\",\"runOnStart\":true},"
                  "{\"id\":\"n\",\"run\":\"t.ok\"},"
                  "{\"id\":\"h\",\"run\":\"t.ok\",\"intervalMs\":\"1m\",\"status\":\"paused\"}],"
                  "\"processes\":[{\"id\":\"p\",\"workers\":[{\"id\":\"a\",\"run\":\"t.ok\"}]}]}");
    later(&f, 10 * MINUTE);
    f.wall += 10 * MINUTE;
    fixture_crash(&f);
    later(&f, 10 * MINUTE);
    for (const char *unit = "i\0c\0s\0n\0h\0"; *unit; unit += 2)
        CU_ASSERT_EQUAL(LAST_NUMBER(unit), 0);
    HAS(ASK(MSG_TICK, "{\"unit\":\"n\"}"), "{\"runs\":[]}");
    HAS(ASK(MSG_TICK, "{\"unit\":\"c\",\"key\":\"k\"}"), "{\"runs\":[\"c#1\"]}");
    HAS(ASK(MSG_TICK, "{\"unit\":\"c\",\"key\":\"k\"}"), "{\"runs\":[\"c#1\"]}");
    CU_ASSERT_EQUAL(LAST_NUMBER("c"), 1);
    HAS(ASK(MSG_TICK, "{}"), "{\"runs\":[\"i#1\",\"s#1\"]}"); /* each once */
    HAS(ASK(MSG_TICK, "{}"), "{\"runs\":[]}");
    later(&f, MINUTE);
    HAS(ASK(MSG_TICK, "{}"), "{\"runs\":[\"i#2\",\"c#2\"]}");
    HAS(ASK(MSG_TICK, "{\"unit\":\"nobody\"}"), "there is no unit");
    HAS(ASK(MSG_TICK, "{\"unit\":\"p/a\"}"), "has no schedule");
    fixture_fini(&f);
}

static void a_tick_takes_nothing_from_the_schedule(void)
{
    struct fixture f;
    init(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"i\",\"run\":\"t.ok\",\"intervalMs\":\"1m\"}]}");
    HAS(ASK(MSG_TICK, "{}"), "{\"runs\":[]}");
    later(&f, MINUTE);
    CU_ASSERT_EQUAL(LAST_NUMBER("i"), 1);
    fixture_fini(&f);
}

/* ---- the watcher ---- */

#define UNITS                                                                                      \
    "{\"workers\":[{\"id\":\"used\",\"run\":\"t.ok\"},{\"id\":\"never\",\"run\":\"t.ok\"},"        \
    "{\"id\":\"due\",\"run\":\"t.ok\",\"intervalMs\":\"90m\"},"                                    \
    "{\"id\":\"hears\",\"run\":\"t.ok\",\"runOnMilestone\":\"m\"},"                                \
    "{\"id\":\"busy\",\"run\":\"t.ok\",\"timeoutMs\":0},"                                          \
    "{\"id\":\"held\",\"run\":\"t.ok\"},"                                                          \
    "{\"id\":\"named\",\"run\":\"t.ok\",\"onError\":\"alert\"},{\"id\":\"alert\",\"run\":\"t."     \
    "ok\"}]}"

static void use_units(struct fixture *f)
{
    static const char *const used[] = {"used", "due", "hears", "held", "alert"};
    fixture_apply(f, UNITS);
    for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++) {
        char body[64];
        snprintf(body, sizeof(body), "{\"unit\":\"%s\"}", used[i]);
        CU_ASSERT(fixture_start(f, body));
        CU_ASSERT(fixture_end(f, used[i], OUTCOME_SUCCEEDED, NULL));
    }
    CU_ASSERT(fixture_start(f, "{\"unit\":\"busy\"}"));
    fixture_ask(f, 1, MSG_PAUSE, "{\"ids\":[\"held\"]}");
}

static void units_that_nothing_uses_are_stale(void)
{
    struct fixture f;
    init(&f);
    use_units(&f);
    HAS(ASK(MSG_SCAN, "{}"), "{\"stale\":[],\"stuck\":[],\"unpaused\":[],\"released\":[]}");
    later(&f, 9 * MINUTE);
    HAS(ASK(MSG_SCAN, "{}"), "{\"stale\":[],");
    CU_ASSERT_EQUAL(EVENTS("\"type\":\"stale\""), 0);
    later(&f, 2 * MINUTE);
    fixture_beat(&f, 1);
    HAS(ASK(MSG_SCAN, "{}"), "{\"stale\":[\"used\",\"alert\"],\"stuck\":[],\"unpaused\":[],"
                             "\"released\":[]}");
    CU_ASSERT_EQUAL(EVENTS("\"type\":\"stale\",\"unit\":\"used\",\"payload\":{\"what\":\"idle\","),
                    1);
    later(&f, 5 * MINUTE); /* told once */
    CU_ASSERT_EQUAL(EVENTS("\"type\":\"stale\""), 2);
    RUN_TO("used", OUTCOME_SUCCEEDED); /* and again when it was used in between */
    HAS(ASK(MSG_SCAN, "{}"), "{\"stale\":[\"alert\"],");
    later(&f, 11 * MINUTE);
    CU_ASSERT_EQUAL(EVENTS("\"type\":\"stale\",\"unit\":\"used\""), 2);
    CU_ASSERT_EQUAL(EVENTS("\"did\":"), 0);
    /* Time that no supervisor ran does not count. */
    f.wall += 60 * MINUTE;
    fixture_crash(&f);
    HAS(ASK(MSG_SCAN, "{}"), "{\"stale\":[],");
    later(&f, 11 * MINUTE);
    HAS(ASK(MSG_SCAN, "{}"), "{\"stale\":[\"alert\",\"used\"],");
    fixture_fini(&f);
}

static void the_watcher_looks_on_its_interval(void)
{
    struct fixture f;
    init(&f);
    f.config.watch_interval_ms = 0;
    f.config.idle_threshold_ms = 1000;
    fixture_crash(&f);
    fixture_host(&f, 1, "h", 4);
    use_units(&f);
    fixture_pass(&f, 5 * MINUTE);
    CU_ASSERT_EQUAL(EVENTS("\"type\":\"stale\""), 0);
    f.config.watch_interval_ms = 2000;
    fixture_crash(&f);
    fixture_pass(&f, 1999);
    CU_ASSERT_EQUAL(EVENTS("\"what\":\"idle\""), 0);
    fixture_pass(&f, 1);
    CU_ASSERT_EQUAL(EVENTS("\"what\":\"idle\""), 2);
    fixture_fini(&f);
}

/* The ancestor released workers that had never run. */
static void only_what_was_used_once_is_released(void)
{
    struct fixture f;
    init(&f);
    f.config.auto_release = true;
    fixture_crash(&f);
    fixture_host(&f, 1, "h", 8);
    use_units(&f);
    later(&f, 11 * MINUTE);
    CU_ASSERT_EQUAL(EVENTS("\"did\":\"released\""), 1);
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"worker:used:released\""), 1);
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"unit:used:released\""), 1);
    HAS(ASK(MSG_SHOW, "{\"id\":\"used\"}"), "there is no unit 'used'");
    for (const char *const *unit =
             (const char *const[]){"never", "due", "hears", "busy", "held", "named", "alert", NULL};
         *unit; unit++)
        CU_ASSERT_PTR_NOT_NULL(fixture_unit(&f, *unit));
    fixture_crash(&f);
    HAS(ASK(MSG_SHOW, "{\"id\":\"used\"}"), "there is no unit 'used'");
    fixture_fini(&f);
}

static void what_was_paused_for_long_is_resumed(void)
{
    struct fixture f;
    init(&f);
    f.config.auto_unpause = true;
    fixture_crash(&f);
    fixture_apply(&f,
                  "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"},{\"id\":\"v\",\"run\":\"t.ok\","
                  "\"status\":\"paused\"}]}");
    later(&f, 5 * MINUTE);
    ASK(MSG_PAUSE, "{\"ids\":[\"w\"]}");
    later(&f, 6 * MINUTE);
    CU_ASSERT_EQUAL(EVENTS("\"did\":\"unpaused\""), 1);
    CU_ASSERT_FALSE(fixture_unit(&f, "v")->paused);
    CU_ASSERT_TRUE(fixture_unit(&f, "w")->paused);
    CU_ASSERT_EQUAL(EVENTS("\"milestone\":\"worker:v:unpaused\""), 1);
    later(&f, 5 * MINUTE);
    CU_ASSERT_FALSE(fixture_unit(&f, "w")->paused);
    ASK(MSG_PAUSE, "{\"all\":true}");
    later(&f, 9 * MINUTE);
    HAS(ASK(MSG_SCAN, "{}"), "\"unpaused\":[]");
    fixture_fini(&f);
}

static void a_silent_host_makes_its_attempts_stuck(void)
{
    struct fixture f;
    init(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\"}]}");
    CU_ASSERT(fixture_start(&f, "{\"unit\":\"w\"}"));
    fixture_pass(&f, 4000);
    HAS(ASK(MSG_SCAN, "{}"), "\"stuck\":[]");
    fixture_pass(&f, 2000);
    HAS(ASK(MSG_SCAN, "{}"), "\"stuck\":[{\"run\":\"w#1\",\"worker\":\"w\",\"attempt\":1,"
                             "\"host\":\"h\",\"why\":\"its host is silent\"");
    ASK(MSG_SCAN, "{}");
    CU_ASSERT_EQUAL(EVENTS("\"what\":\"stuck\""), 1);
    fixture_beat(&f, 1);
    HAS(ASK(MSG_SCAN, "{}"), "\"stuck\":[]");
    fixture_fini(&f);
}

static void tell(struct fixture *f, uint16_t type, double progress)
{
    const struct seen_task *task = fixture_sent(f, "w");
    struct msg_attempt attempt = {.id = task->id, .at = f->wall, .progress = progress};
    struct buf body = {0};
    msg_attempts_encode(&attempt, 1, true, &body);
    fixture_host_send(f, 1, type, 0, &body);
    buf_fini(&body);
}

/* The host kills what makes no progress. Where it cannot get it dead, the watcher says so. */
static void an_attempt_that_outlives_its_time_is_stuck(void)
{
    struct fixture f;
    init(&f);
    fixture_apply(&f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"timeoutMs\":0,"
                      "\"progressTimeoutMs\":\"1m\"}]}");
    CU_ASSERT(fixture_start(&f, "{\"unit\":\"w\"}"));
    tell(&f, MSG_STARTED, 0);
    for (int i = 0; i < 5; i++) {
        later(&f, MINUTE);
        tell(&f, MSG_PROGRESS, 0.1 * i);
        HAS(ASK(MSG_SCAN, "{}"), "\"stuck\":[]");
    }
    later(&f, MINUTE + MINUTE + 1000);
    fixture_beat(&f, 1);
    HAS(ASK(MSG_SCAN, "{}"), "it is past its progressTimeoutMs");
    fixture_fini(&f);
}

int main(int argc, char **argv)
{
#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
    static const struct unit_case cases[] = {
        CASE(milestones_from_clients_are_told_and_heeded),
        CASE(milestones_that_cannot_be_are_refused),
        CASE(the_engine_emits_the_ancestors_milestones),
        CASE(run_on_milestone_hears_the_engines_own),
        CASE(statistics_are_emitted_on_their_interval),
        CASE(by_hand_nothing_starts_but_by_a_tick),
        CASE(a_tick_takes_nothing_from_the_schedule),
        CASE(units_that_nothing_uses_are_stale),
        CASE(the_watcher_looks_on_its_interval),
        CASE(only_what_was_used_once_is_released),
        CASE(what_was_paused_for_long_is_resumed),
        CASE(a_silent_host_makes_its_attempts_stuck),
        CASE(an_attempt_that_outlives_its_time_is_stuck),
        {NULL, NULL},
    };
    return unit_main(argc, argv, "engine_watch", cases);
}
