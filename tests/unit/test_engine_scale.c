/*
 * What many runs, or ever-new kinds of work, cost the engine: time that grows with their number and
 * not with its square, and tables that do not grow with what has ended. An engine without hosts,
 * and without the fixture's store and checks, which look at everything in every tick.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/pack.h"
#include "supervisor/core/engine.h"
#include "tests/support/unit.h"

/* Four times as many take about four times as long; what grows with the square, sixteen times. */
enum { FEW = 3000, MANY = 4 * FEW };
#define IS_LINEAR(few, many) ((many) < 8 * (few) + 0.02)

struct bench {
    struct engine *engine;
    struct engine_config config;
    struct evaluator evaluator; /* nothing here has expressions */
    struct expression_checker checker;
    struct effects effects;
    uint64_t sequence;
    int64_t wall;
    clock_t started;
};

static void init(struct bench *bench)
{
    memset(bench, 0, sizeof(*bench));
    engine_config_defaults(&bench->config);
    bench->engine = engine_new(&bench->config, &bench->evaluator, &bench->checker, NULL);
    effects_init(&bench->effects);
    bench->wall = 1700000000000;
    struct input input = {.kind = INPUT_START, .now_ms = 1000, .wall_ms = bench->wall, .epoch = 1};
    engine_step(bench->engine, &input, &bench->effects);
    effects_clear(&bench->effects);
    bench->started = clock();
}

static void fini(struct bench *bench)
{
    engine_check(bench->engine);
    engine_free(bench->engine);
    effects_fini(&bench->effects);
}

static double seconds(const struct bench *bench)
{
    return (double)(clock() - bench->started) / CLOCKS_PER_SEC;
}

static void flush(struct bench *bench)
{
    engine_flush(bench->engine, 1000, bench->wall, &bench->effects);
    effects_clear(&bench->effects);
}

static void ask(struct bench *bench, uint16_t type, struct buf *body)
{
    struct input input = {.kind = INPUT_CLIENT_MESSAGE,
                          .role = ROLE_ADMIN,
                          .now_ms = 1000,
                          .wall_ms = bench->wall,
                          .peer = 1,
                          .body = buf_bytes(body)};
    input.header = (struct msg_header){.type = type, .sequence = ++bench->sequence};
    engine_step(bench->engine, &input, &bench->effects);
    if (bench->sequence % 100 == 0)
        flush(bench);
    buf_fini(body);
}

static void submit(struct bench *bench, const char *function, int64_t priority)
{
    struct buf body = {0};
    pack_map(&body, 3);
    pack_key(&body, "function");
    pack_cstr(&body, function);
    pack_key(&body, "priority");
    pack_int(&body, priority);
    pack_key(&body, "count");
    pack_int(&body, 1);
    ask(bench, MSG_SUBMIT, &body);
}

static void cancel(struct bench *bench, const char *unit, unsigned number)
{
    struct buf body = {0};
    char label[64];
    snprintf(label, sizeof(label), "%s#%u", unit, number);
    pack_map(&body, 1);
    pack_key(&body, "run");
    pack_cstr(&body, label);
    ask(bench, MSG_CANCEL, &body);
}

static double submit_and_cancel(int count)
{
    struct bench bench;
    init(&bench);
    for (int i = 0; i < count; i++)
        submit(&bench, "t.ok", 0);
    CU_ASSERT_EQUAL(engine_counts(bench.engine).live_runs, count);
    for (int i = 1; i <= count; i++)
        cancel(&bench, "pool", (unsigned)i);
    CU_ASSERT_EQUAL(engine_counts(bench.engine).live_runs, 0);
    double took = seconds(&bench);
    fini(&bench);
    return took;
}

static void many_open_submissions_end_in_linear_time(void)
{
    double few = submit_and_cancel(FEW);
    CU_ASSERT_TRUE(IS_LINEAR(few, submit_and_cancel(MANY)));
}

static double queue_and_cancel(int count)
{
    struct bench bench;
    init(&bench);
    struct buf body = {0};
    pack_map(&body, 1);
    pack_key(&body, "document");
    pack_map(&body, 1);
    pack_key(&body, "workers");
    pack_array(&body, 1);
    pack_map(&body, 2);
    pack_key(&body, "id");
    pack_cstr(&body, "w");
    pack_key(&body, "run");
    pack_cstr(&body, "t.ok");
    ask(&bench, MSG_APPLY, &body);
    for (int i = 0; i < count; i++) {
        body = (struct buf){0};
        pack_map(&body, 1);
        pack_key(&body, "unit");
        pack_cstr(&body, "w");
        ask(&bench, MSG_RUN, &body);
    }
    struct engine_counts counts = engine_counts(bench.engine);
    CU_ASSERT_EQUAL(counts.live_runs, count);
    CU_ASSERT_EQUAL(counts.ready_tasks, 1);
    for (int i = 1; i < count; i++)
        cancel(&bench, "w", (unsigned)i);
    counts = engine_counts(bench.engine);
    CU_ASSERT_EQUAL(counts.live_runs, 1);
    CU_ASSERT_EQUAL(counts.ready_tasks, 1);
    double took = seconds(&bench);
    fini(&bench);
    return took;
}

static void many_queued_runs_of_a_unit_start_in_linear_time(void)
{
    double few = queue_and_cancel(FEW);
    CU_ASSERT_TRUE(IS_LINEAR(few, queue_and_cancel(MANY)));
}

static void a_clock_set_back_keeps_the_order_of_ends(void)
{
    struct bench bench;
    init(&bench);
    for (int i = 0; i < 200; i++)
        submit(&bench, "t.ok", 0);
    for (unsigned i = 1; i <= 200; i++) {
        bench.wall += i % 50 ? 10 : -400;
        cancel(&bench, "pool", i);
    }
    CU_ASSERT_EQUAL(engine_counts(bench.engine).live_runs, 0);
    fini(&bench);
}

static void queues_of_what_has_ended_are_used_again(void)
{
    struct bench bench;
    init(&bench);
    submit(&bench, "t.stays", 7);
    for (unsigned i = 0; i < 10000; i++) {
        char function[64];
        snprintf(function, sizeof(function), "t.f%u", i % 5000);
        submit(&bench, function, (int64_t)i - 5000);
        cancel(&bench, "pool", i + 2);
    }
    struct engine_counts counts = engine_counts(bench.engine);
    CU_ASSERT_EQUAL(counts.live_runs, 1);
    CU_ASSERT_TRUE(counts.queues < 300);
    CU_ASSERT_TRUE(counts.functions < 1500);
    cancel(&bench, "pool", 1);
    CU_ASSERT_EQUAL(engine_counts(bench.engine).live_runs, 0);
    fini(&bench);
}

int main(int argc, char **argv)
{
#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
    static const struct unit_case cases[] = {
        CASE(many_open_submissions_end_in_linear_time),
        CASE(many_queued_runs_of_a_unit_start_in_linear_time),
        CASE(a_clock_set_back_keeps_the_order_of_ends),
        CASE(queues_of_what_has_ended_are_used_again),
        {NULL, NULL},
    };
    return unit_main(argc, argv, "engine-scale", cases);
}
