/* Named limits, slots, and maxParallel and maxFailures of graphs: what may be in progress at once. */
#include "tests/support/engine_fixture.h"

#define STATE(worker, state) CU_ASSERT_STRING_EQUAL(fixture_state(&f, run, worker), state)
#define STATUS(status)       CU_ASSERT_STRING_EQUAL(fixture_run_status(&f, run), status)
#define HAS(asked, part)     CU_ASSERT_TRUE(fixture_reply_has(&f, asked, part))

/* Ends the n-th dispatch. */
static void end_nth(struct fixture *f, size_t n, enum outcome outcome)
{
    CU_ASSERT_TRUE_FATAL(n < f->task_count);
    fixture_report(f, &f->tasks[n], outcome, "null", outcome == OUTCOME_SUCCEEDED ? NULL : "bad");
}

static const char four_workers[] =
    "{\"limits\":{\"db\":2},\"processes\":[{\"id\":\"p\",\"runMode\":\"parallel\",\"workers\":["
    "{\"id\":\"a\",\"run\":\"t.ok\",\"uses\":{\"db\":1}},"
    "{\"id\":\"b\",\"run\":\"t.ok\",\"uses\":{\"db\":1}},"
    "{\"id\":\"c\",\"run\":\"t.ok\",\"uses\":{\"db\":1}},"
    "{\"id\":\"free\",\"run\":\"t.ok\"}]}]}";

static void a_limit_bounds_what_is_at_hosts(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 8);
    fixture_host(&f, 2, "i", 8);
    uint64_t asked = fixture_apply(&f, four_workers);
    HAS(asked, "{\"name\":\"db\",\"limit\":2,\"change\":\"created\"}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_EQUAL(f.task_count, 3);
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "c"));
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, "free"));
    asked = fixture_ask(&f, 1, MSG_EXPLAIN, "{\"run\":\"p#1\",\"worker\":\"c\"}");
    HAS(asked, "waits for limit 'db' (2 of 2 in use by p#1 '");
    asked = fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"limits\"}");
    HAS(asked, "{\"name\":\"db\",\"limit\":2,\"used\":2,\"waiting\":1}");
    asked = fixture_ask(&f, 1, MSG_STATS, "{}");
    HAS(asked, "\"limits\":[{\"name\":\"db\"");
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_SUCCEEDED, "null"));
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, "c"));
    CU_ASSERT_TRUE(fixture_end(&f, "b", OUTCOME_SUCCEEDED, "null"));
    CU_ASSERT_TRUE(fixture_end(&f, "c", OUTCOME_SUCCEEDED, "null"));
    CU_ASSERT_TRUE(fixture_end(&f, "free", OUTCOME_SUCCEEDED, "null"));
    STATUS("succeeded");
    fixture_fini(&f);
}

static void a_limit_can_be_changed_while_work_waits_for_it(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 8);
    fixture_apply(&f, four_workers);
    fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_PTR_NULL(fixture_sent(&f, "c"));
    uint64_t asked = fixture_apply(&f, "{\"limits\":{\"db\":3}}");
    HAS(asked, "\"change\":\"changed\"");
    CU_ASSERT_PTR_NOT_NULL(fixture_sent(&f, "c"));
    asked = fixture_apply(&f, "{\"limits\":{\"db\":3}}");
    HAS(asked, "\"change\":\"unchanged\"");
    /* Lower than what is in use: nobody is stopped, and nobody starts until it is below. */
    fixture_apply(&f, "{\"limits\":{\"db\":1}}");
    fixture_start(&f, "{\"unit\":\"p\",\"overlap\":\"allow\"}");
    CU_ASSERT_EQUAL(f.task_count, 5); /* the one that uses nothing */
    end_nth(&f, 0, OUTCOME_SUCCEEDED);
    end_nth(&f, 1, OUTCOME_SUCCEEDED);
    CU_ASSERT_EQUAL(f.task_count, 5);
    fixture_fini(&f);
}

static void a_limit_that_is_not_there_is_refused(void)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t asked = fixture_apply(
        &f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"uses\":{\"db\":1}}]}");
    HAS(asked, "worker 'w': 'uses': there is no limit 'db'");
    fixture_apply(&f, "{\"limits\":{\"database\":4}}");
    asked = fixture_apply(
        &f, "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"uses\":{\"databse\":1}}]}");
    HAS(asked, "(did you mean 'database'?)");
    asked = fixture_apply(
        &f, "{\"processes\":[{\"id\":\"p\",\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\","
            "\"uses\":{\"database\":5}}]}]}");
    HAS(asked, "process 'p', worker 'w': 'uses': 5 of limit 'database', which is 4");
    fixture_apply(&f,
                  "{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\",\"uses\":{\"database\":4}}]}");
    asked = fixture_apply(&f, "{\"limits\":{\"database\":3}}");
    HAS(asked, "limit 'database' cannot be 3: 'w' uses 4 of it");
    asked = fixture_apply(&f, "{\"limits\":{\"database\":0}}");
    HAS(asked, "'database' must be a positive integer");
    fixture_fini(&f);
}

static void a_prune_removes_limits_that_nothing_uses(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_apply(&f, "{\"limits\":{\"db\":4,\"gpu\":1},\"workers\":[{\"id\":\"w\",\"run\":"
                      "\"t.ok\",\"uses\":{\"db\":1}}]}");
    uint64_t asked = fixture_ask(
        &f, 1, MSG_APPLY,
        "{\"prune\":true,\"check\":true,\"document\":{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\","
        "\"uses\":{\"db\":1}}]}}");
    HAS(asked, "\"limits\":[{\"name\":\"gpu\",\"limit\":1,\"change\":\"removed\"}]");
    asked = fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"limits\"}");
    HAS(asked, "gpu");
    fixture_ask(&f, 1, MSG_APPLY,
                "{\"prune\":true,\"document\":{\"workers\":[{\"id\":\"w\",\"run\":\"t.ok\","
                "\"uses\":{\"db\":1}}]}}");
    asked = fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"limits\"}");
    HAS(asked, "\"items\":[{\"name\":\"db\",\"limit\":4,\"used\":0,\"waiting\":0}]");
    fixture_fini(&f);
}

/* Of two that use the limit, the one that needs all of it is not passed for ever by the other. */
static void what_needs_much_is_not_passed_for_ever(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 8);
    fixture_apply(&f, "{\"limits\":{\"db\":2},\"workers\":["
                      "{\"id\":\"narrow\",\"run\":\"t.ok\",\"overlap\":\"allow\",\"uses\":{\"db\":1}},"
                      "{\"id\":\"wide\",\"run\":\"t.ok\",\"overlap\":\"allow\",\"uses\":{\"db\":2}}]}");
    for (int i = 0; i < 6; i++)
        fixture_start(&f, "{\"unit\":\"narrow\"}");
    fixture_start(&f, "{\"unit\":\"wide\"}");
    CU_ASSERT_EQUAL(f.task_count, 2);
    end_nth(&f, 0, OUTCOME_SUCCEEDED); /* one free: kept for the wide one */
    CU_ASSERT_EQUAL(f.task_count, 2);
    uint64_t asked = fixture_ask(&f, 1, MSG_EXPLAIN, "{\"run\":\"narrow#3\"}");
    HAS(asked, "waits for its turn at limit 'db' (1 of 2 in use");
    asked = fixture_ask(&f, 1, MSG_EXPLAIN, "{\"run\":\"wide#1\"}");
    HAS(asked, "waits for limit 'db' (needs 2; 1 of 2 in use");
    end_nth(&f, 1, OUTCOME_SUCCEEDED);
    CU_ASSERT_EQUAL(f.task_count, 3);
    CU_ASSERT_STRING_EQUAL(f.tasks[2].worker, "wide");
    fixture_start(&f, "{\"unit\":\"wide\"}"); /* its next turn is behind the others' */
    end_nth(&f, 2, OUTCOME_SUCCEEDED);
    CU_ASSERT_TRUE_FATAL(f.task_count >= 4);
    CU_ASSERT_STRING_EQUAL(f.tasks[3].worker, "narrow");
    fixture_fini(&f);
}

/* Two queues that need the same two limits do not keep one each from the other. */
static void two_limits_do_not_block_each_other(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 8);
    fixture_apply(&f,
                  "{\"limits\":{\"l\":2,\"m\":2},\"workers\":["
                  "{\"id\":\"x\",\"run\":\"t.ok\",\"overlap\":\"allow\",\"uses\":{\"l\":2,\"m\":1}},"
                  "{\"id\":\"y\",\"run\":\"t.ok\",\"overlap\":\"allow\",\"uses\":{\"l\":1,\"m\":2}},"
                  "{\"id\":\"z\",\"run\":\"t.ok\",\"overlap\":\"allow\",\"uses\":{\"l\":1}}]}");
    const char *units[] = {"z", "x", "y"};
    for (int i = 0; i < 9; i++) {
        char json[64];
        snprintf(json, sizeof(json), "{\"unit\":\"%s\"}", units[i % 3]);
        fixture_start(&f, json);
    }
    size_t counts[3] = {0};
    for (size_t i = 0; i < f.task_count; i++) {
        counts[f.tasks[i].worker[0] - 'x']++;
        end_nth(&f, i, OUTCOME_SUCCEEDED);
        if (i == 5) /* nobody was left behind */
            CU_ASSERT_TRUE(counts[0] && counts[1] && counts[2]);
    }
    CU_ASSERT_EQUAL(f.task_count, 9);
    fixture_fini(&f);
}

static void a_queue_that_no_host_takes_blocks_nobody(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 8);
    fixture_apply(&f, "{\"limits\":{\"db\":1},\"workers\":["
                      "{\"id\":\"nobody\",\"run\":\"no.host\",\"uses\":{\"db\":1}},"
                      "{\"id\":\"w\",\"run\":\"t.ok\",\"overlap\":\"allow\",\"uses\":{\"db\":1}}]}");
    fixture_start(&f, "{\"unit\":\"nobody\"}");
    for (int i = 0; i < 3; i++)
        fixture_start(&f, "{\"unit\":\"w\"}");
    for (size_t i = 0; i < 3; i++)
        end_nth(&f, i, OUTCOME_SUCCEEDED);
    fixture_fini(&f);
}

/* Limits are stored; what hosts report they have counts, and until they have nothing starts. */
static void limits_hold_over_a_restart(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 8);
    fixture_apply(&f, four_workers);
    fixture_start(&f, "{\"unit\":\"p\"}");
    struct msg_attempt have = {.id = f.tasks[0].id, .phase = PHASE_RUNNING, .at = f.wall};
    fixture_crash(&f);
    fixture_forget_tasks(&f);
    fixture_host(&f, 2, "other", 8); /* not the one of before */
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\",\"overlap\":\"allow\"}");
    CU_ASSERT_EQUAL(f.task_count, 1);
    CU_ASSERT_STRING_EQUAL(f.tasks[0].worker, "free");
    uint64_t asked = fixture_ask(&f, 1, MSG_EXPLAIN, "{\"run\":\"p#2\",\"worker\":\"a\"}");
    HAS(asked, "worker hosts of before the restart to tell what they use");
    fixture_hello(&f, 1, "h", 1, 8);
    fixture_sync(&f, 1, &have, 1);
    fixture_beat(&f, 1);
    asked = fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"limits\"}");
    HAS(asked, "\"limit\":2,\"used\":2");
    STATUS("running");
    fixture_pass(&f, 60000); /* both hosts are lost */
    asked = fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"limits\"}");
    HAS(asked, "\"limit\":2,\"used\":0");
    fixture_fini(&f);
}

static void wide_tasks_have_their_slots_to_themselves(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 4);
    fixture_apply(&f,
                  "{\"workers\":[{\"id\":\"n\",\"run\":\"t.ok\",\"overlap\":\"allow\"},"
                  "{\"id\":\"w\",\"run\":\"t.ok\",\"slots\":3,\"overlap\":\"allow\"}]}");
    /* The function is known to be quick: narrow ones would be queued ahead. */
    fixture_start(&f, "{\"unit\":\"n\"}");
    end_nth(&f, 0, OUTCOME_SUCCEEDED);
    fixture_forget_tasks(&f);
    fixture_start(&f, "{\"unit\":\"w\"}");
    for (int i = 0; i < 5; i++)
        fixture_start(&f, "{\"unit\":\"n\"}");
    CU_ASSERT_EQUAL(f.task_count, 2); /* three and one slots */
    fixture_start(&f, "{\"unit\":\"w\"}");
    CU_ASSERT_EQUAL(f.task_count, 2);
    uint64_t asked = fixture_ask(&f, 1, MSG_LIST, "{\"what\":\"slots\"}");
    HAS(asked, "\"isIdle\":true");
    end_nth(&f, 0, OUTCOME_SUCCEEDED);
    CU_ASSERT_TRUE(f.task_count > 2);
    fixture_fini(&f);
}

static void apply_fan(struct fixture *f, const char *options)
{
    struct buf text = {0};
    buf_printf(&text, "{\"processes\":[{\"id\":\"p\",%s,\"workers\":[{\"id\":\"root\",\"run\":"
                      "\"t.ok\"}",
               options);
    for (int i = 0; i < 6; i++)
        buf_printf(&text, ",{\"id\":\"w%d\",\"run\":\"t.other\",\"dependsOn\":[\"root\"]}", i);
    buf_printf(&text, ",{\"id\":\"clean\",\"run\":\"t.ok\",\"dependsOn\":[{\"id\":\"w0\",\"on\":"
                      "\"error\"}]},{\"id\":\"join\",\"run\":\"t.ok\",\"dependsOn\":[\"w1\"]}]}]}%c",
               0);
    uint64_t asked = fixture_apply(f, (const char *)text.data);
    CU_ASSERT_TRUE(fixture_reply_has(f, asked, "\"units\""));
    buf_fini(&text);
}

static void max_parallel_holds_in_graphs_and_is_heeded_live(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 8);
    apply_fan(&f, "\"maxParallel\":2");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    end_nth(&f, 0, OUTCOME_SUCCEEDED);
    CU_ASSERT_EQUAL(f.task_count, 3);
    uint64_t asked = fixture_ask(&f, 1, MSG_EXPLAIN, "{\"run\":\"p#1\",\"worker\":\"w5\"}");
    HAS(asked, "waits for its turn (maxParallel)");
    end_nth(&f, 1, OUTCOME_SUCCEEDED); /* w0: its clean-up is skipped, w2 has its turn */
    CU_ASSERT_EQUAL(f.task_count, 4);
    STATE("clean", "skipped");
    apply_fan(&f, "\"maxParallel\":4");
    CU_ASSERT_EQUAL(f.task_count, 6);
    for (size_t i = 2; i < f.task_count; i++)
        end_nth(&f, i, OUTCOME_SUCCEEDED);
    STATE("join", "succeeded");
    STATUS("succeeded");
    fixture_fini(&f);
}

static void attempts_that_had_their_turn_are_adopted(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 8);
    apply_fan(&f, "\"maxParallel\":2");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    end_nth(&f, 0, OUTCOME_SUCCEEDED);
    end_nth(&f, 2, OUTCOME_SUCCEEDED); /* w1: then w2 and w0 are there */
    struct msg_attempt have[2];
    for (int i = 0; i < 2; i++)
        have[i] = (struct msg_attempt){
            .id = fixture_sent(&f, i ? "w2" : "w0")->id, .phase = PHASE_RUNNING, .at = f.wall};
    have[0].id.task = 6; /* as if w5 had had its turn */
    fixture_crash(&f);
    fixture_forget_tasks(&f);
    fixture_hello(&f, 1, "h", 1, 8);
    fixture_sync(&f, 1, have, 2);
    fixture_beat(&f, 1);
    CU_ASSERT_EQUAL(f.cancel_count, 0);
    fixture_report_as(&f, 1, 1, have[0].id, OUTCOME_SUCCEEDED, "null", NULL, 0);
    STATE("w5", "succeeded");
    STATUS("running");
    fixture_fini(&f);
}

static void max_failures_holds_in_graphs_and_spares_clean_ups(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 3);
    apply_fan(&f, "\"maxFailures\":1");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    fixture_report(&f, &f.tasks[0], OUTCOME_SUCCEEDED, "null", NULL);
    CU_ASSERT_TRUE(fixture_end(&f, "w0", OUTCOME_FAILED, NULL));
    CU_ASSERT_TRUE(fixture_end(&f, "w1", OUTCOME_SUCCEEDED, "null"));
    STATE("w5", "skipped"); /* was ready, and had not begun */
    STATE("join", "skipped");
    CU_ASSERT_TRUE(fixture_end(&f, "clean", OUTCOME_SUCCEEDED, "null"));
    for (int i = 2; i < 6; i++) {
        char name[4] = {'w', (char)('0' + i), 0};
        if (fixture_sent(&f, name))
            fixture_end(&f, name, OUTCOME_SUCCEEDED, "null");
    }
    STATUS("failed");
    const struct task_record *task = fixture_task(&f, run, "w5");
    CU_ASSERT_TRUE(bytes_equal(task->reason, bytes_str("too many workers failed (maxFailures)")));
    fixture_fini(&f);
}

static void max_failures_of_a_parallel_run_skips_what_has_not_begun(void)
{
    struct fixture f;
    fixture_init(&f);
    fixture_host(&f, 1, "h", 1);
    fixture_apply(&f, "{\"processes\":[{\"id\":\"p\",\"runMode\":\"parallel\",\"maxFailures\":2,"
                      "\"workers\":[{\"id\":\"a\",\"run\":\"t.ok\"},{\"id\":\"b\",\"run\":\"t.ok\"},"
                      "{\"id\":\"c\",\"run\":\"t.ok\"},{\"id\":\"d\",\"run\":\"t.ok\"}]}]}");
    uint64_t run = fixture_start(&f, "{\"unit\":\"p\"}");
    CU_ASSERT_TRUE(fixture_end(&f, "a", OUTCOME_FAILED, NULL));
    CU_ASSERT_TRUE(fixture_end(&f, "b", OUTCOME_FAILED, NULL));
    STATE("c", "skipped");
    STATE("d", "skipped");
    STATUS("failed");
    fixture_fini(&f);
}

int main(int argc, char **argv)
{
#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
    static const struct unit_case cases[] = {
        CASE(a_limit_bounds_what_is_at_hosts),
        CASE(a_limit_can_be_changed_while_work_waits_for_it),
        CASE(a_limit_that_is_not_there_is_refused),
        CASE(a_prune_removes_limits_that_nothing_uses),
        CASE(what_needs_much_is_not_passed_for_ever),
        CASE(two_limits_do_not_block_each_other),
        CASE(a_queue_that_no_host_takes_blocks_nobody),
        CASE(limits_hold_over_a_restart),
        CASE(wide_tasks_have_their_slots_to_themselves),
        CASE(max_parallel_holds_in_graphs_and_is_heeded_live),
        CASE(attempts_that_had_their_turn_are_adopted),
        CASE(max_failures_holds_in_graphs_and_spares_clean_ups),
        CASE(max_failures_of_a_parallel_run_skips_what_has_not_begun),
        {NULL, NULL},
    };
    return unit_main(argc, argv, "engine-limits", cases);
}
