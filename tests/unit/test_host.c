/* The pure worker host: session, queue, ends, reports, spool, all without a socket or a process. */
#include "worker-host/host.h"

#include "proto/pack.h"
#include "tests/support/unit.h"

struct stage {
    struct host *host;
    struct host_effects effects;
    struct arena arena;
    int64_t now_ms;
};

static struct stage make(uint32_t slots, bool leaves)
{
    struct stage stage = {.now_ms = 1000000};
    struct host_config config;
    host_config_defaults(&config);
    config.name = "h";
    config.slots = slots;
    config.leaves = leaves;
    stage.host = host_new(&config);
    return stage;
}

static void destroy(struct stage *stage)
{
    host_free(stage->host);
    host_effects_fini(&stage->effects);
    arena_fini(&stage->arena);
}

static void step(struct stage *stage, struct host_input input)
{
    input.now_ms = stage->now_ms;
    input.wall_ms = 5000000 + stage->now_ms;
    host_step(stage->host, &input, &stage->effects);
}

static void flush(struct stage *stage)
{
    host_flush(stage->host, stage->now_ms, 5000000 + stage->now_ms, &stage->effects);
}

static void message(struct stage *stage, enum msg_type type, struct synk_bytes body, uint32_t epoch)
{
    step(stage, (struct host_input){.kind = HOST_MESSAGE,
                                    .header = {.type = (uint16_t)type, .epoch = epoch},
                                    .body = body});
}

static const struct host_effect *find(const struct stage *stage, enum host_effect_kind kind,
                                      unsigned type)
{
    for (size_t i = 0; i < stage->effects.count; i++)
        if (stage->effects.items[i].kind == kind &&
            (kind != HOST_SEND || stage->effects.items[i].header.type == type))
            return &stage->effects.items[i];
    return NULL;
}

static size_t count(const struct stage *stage, enum host_effect_kind kind)
{
    size_t found = 0;
    for (size_t i = 0; i < stage->effects.count; i++)
        found += stage->effects.items[i].kind == kind;
    return found;
}

static void settle(struct stage *stage)
{
    struct buf body = {0};
    msg_welcome_encode(&(struct msg_welcome){1000, 10000}, &body);
    step(stage, (struct host_input){.kind = HOST_START});
    message(stage, MSG_WELCOME, buf_bytes(&body), 4);
    step(stage, (struct host_input){.kind = HOST_RUNNER_READY});
    host_effects_clear(&stage->effects);
    buf_fini(&body);
}

static void dispatch(struct stage *stage, uint32_t first, uint32_t tasks, int64_t timeout_ms,
                     uint32_t epoch)
{
    struct buf specs = {0}, items = {0}, body = {0};
    struct msg_spec spec = {
        .unit = bytes_str("u"), .function = bytes_str("sim.noop"), .timeout_ms = timeout_ms};
    msg_spec_encode(&spec, &specs);
    for (uint32_t i = 0; i < tasks; i++)
        msg_task_encode(&(struct msg_task){.id = {1, first + i, epoch, 1}}, &items);
    msg_dispatch_wrap(buf_bytes(&specs), 1, buf_bytes(&items), tasks, &body);
    message(stage, MSG_DISPATCH, buf_bytes(&body), epoch);
    buf_fini(&specs);
    buf_fini(&items);
    buf_fini(&body);
}

static void finish(struct stage *stage, bool asked_to_end)
{
    struct msg_report report = {.outcome = OUTCOME_SUCCEEDED, .exit_status = -1};
    step(stage, (struct host_input){
                    .kind = HOST_RUNNER_RESULT, .report = &report, .asked_to_end = asked_to_end});
}

/* The reports sent so far; their number in *ret_count. */
static struct msg_report *reports(struct stage *stage, size_t *ret_count)
{
    struct msg_report *items = NULL;
    const struct host_effect *effect = find(stage, HOST_SEND, MSG_REPORT);
    *ret_count = 0;
    if (effect) {
        struct synk_bytes body =
            arena_copy(&stage->arena, host_effect_body(&stage->effects, effect));
        CU_ASSERT(!msg_reports_decode(body, &stage->arena, &items, ret_count, NULL));
    }
    return items;
}

static void acknowledge(struct stage *stage, uint64_t upto)
{
    struct buf body = {0};
    msg_ack_encode(upto, &body);
    message(stage, MSG_ACK, buf_bytes(&body), 4);
    buf_fini(&body);
}

static void test_a_task_is_given_and_reported_once(void)
{
    struct stage stage = make(1, false);
    size_t total;
    settle(&stage);
    dispatch(&stage, 0, 1, 0, 4);
    dispatch(&stage, 0, 1, 0, 4); /* a repeat */
    flush(&stage);
    CU_ASSERT_EQUAL(count(&stage, HOST_GIVE), 1);
    finish(&stage, false);
    dispatch(&stage, 0, 1, 0, 4);
    flush(&stage);
    struct msg_report *items = reports(&stage, &total);
    CU_ASSERT(total == 1 && items[0].outcome == OUTCOME_SUCCEEDED);
    CU_ASSERT_PTR_NULL(find(&stage, HOST_SEND, MSG_STARTED));
    CU_ASSERT_EQUAL(count(&stage, HOST_GIVE), 1);
    acknowledge(&stage, 1);
    CU_ASSERT_EQUAL(host_counts(stage.host).unacknowledged, 0);
    acknowledge(&stage, 9); /* of nothing we sent */
    CU_ASSERT_EQUAL(host_counts(stage.host).refused_messages, 1);
    destroy(&stage);
}

static void test_an_older_epoch_is_given_back(void)
{
    struct stage stage = make(1, false);
    settle(&stage);
    dispatch(&stage, 0, 2, 0, 3);
    flush(&stage);
    CU_ASSERT_PTR_NOT_NULL(find(&stage, HOST_SEND, MSG_REJECT));
    CU_ASSERT_EQUAL(count(&stage, HOST_GIVE), 0);
    destroy(&stage);
}

static void test_a_timeout_escalates_and_is_reported_when_seen_dead(void)
{
    struct stage stage = make(1, false);
    size_t total;
    settle(&stage);
    dispatch(&stage, 0, 1, 100, 4);
    flush(&stage);
    step(&stage, (struct host_input){
                     .kind = HOST_RUNNER_STARTED, .started_ms = stage.now_ms, .started_at = 7});
    static const enum host_end ends[] = {END_ASK, END_TERM, END_KILL};
    static const int64_t waits[] = {100, 2000, 2000};
    for (int i = 0; i < 3; i++) {
        host_effects_clear(&stage.effects);
        stage.now_ms += waits[i] - 1;
        step(&stage, (struct host_input){.kind = HOST_TIME});
        CU_ASSERT_EQUAL(count(&stage, HOST_END), 0);
        stage.now_ms += 1;
        step(&stage, (struct host_input){.kind = HOST_TIME});
        const struct host_effect *effect = find(&stage, HOST_END, 0);
        CU_ASSERT(effect && effect->how == ends[i]);
        flush(&stage);
        reports(&stage, &total);
        CU_ASSERT_EQUAL(total, 0);
    }
    struct msg_report death = {.signal = 9, .exit_status = -1};
    step(&stage, (struct host_input){.kind = HOST_RUNNER_DEAD, .report = &death, .blamed = true});
    flush(&stage);
    struct msg_report *items = reports(&stage, &total);
    CU_ASSERT(total == 1 && items[0].outcome == OUTCOME_TIMED_OUT && items[0].started_at == 7);
    destroy(&stage);
}

static void test_a_crash_costs_its_own_attempt_only(void)
{
    struct stage stage = make(1, false);
    size_t total;
    settle(&stage);
    dispatch(&stage, 0, 3, 0, 4);
    flush(&stage);
    CU_ASSERT_EQUAL(count(&stage, HOST_GIVE), 3);
    struct msg_report death = {.signal = 11, .exit_status = -1};
    step(&stage, (struct host_input){.kind = HOST_RUNNER_DEAD, .report = &death, .blamed = true});
    flush(&stage);
    struct msg_report *items = reports(&stage, &total);
    CU_ASSERT(total == 1 && items[0].outcome == OUTCOME_CRASHED && items[0].signal == 11);
    CU_ASSERT_EQUAL(host_counts(stage.host).queued, 2);
    host_effects_clear(&stage.effects);
    step(&stage, (struct host_input){.kind = HOST_RUNNER_READY});
    flush(&stage);
    const struct host_effect *give = find(&stage, HOST_GIVE, 0);
    CU_ASSERT(give && give->task.task->id.task == 1);
    destroy(&stage);
}

static void cancel(struct stage *stage, enum msg_type type, uint32_t task)
{
    struct buf body = {0};
    struct msg_attempt named = {.id = {1, task, 4, 1}, .reason = bytes_str("by hand")};
    msg_attempts_encode(&named, 1, true, &body);
    message(stage, type, buf_bytes(&body), 4);
    buf_fini(&body);
}

static void test_cancel_before_and_after_the_start(void)
{
    struct stage stage = make(1, false);
    size_t total;
    settle(&stage);
    dispatch(&stage, 0, 3, 0, 4);
    flush(&stage);
    /* The last of three in the ring: taken back, so it never started. */
    cancel(&stage, MSG_CANCEL_ATTEMPT, 2);
    CU_ASSERT_EQUAL(count(&stage, HOST_RECLAIM), 1);
    step(&stage, (struct host_input){.kind = HOST_RECLAIMED, .count = 2});
    flush(&stage);
    struct msg_report *items = reports(&stage, &total);
    CU_ASSERT(total == 1 && items[0].id.task == 2 && items[0].outcome == OUTCOME_CANCELLED &&
              items[0].started_at == 0);
    /* The first one runs: asked to end, reported by its runner. */
    host_effects_clear(&stage.effects);
    cancel(&stage, MSG_CANCEL_ATTEMPT, 0);
    step(&stage, (struct host_input){.kind = HOST_RECLAIMED, .count = 1});
    CU_ASSERT_EQUAL(count(&stage, HOST_END), 1);
    finish(&stage, true);
    flush(&stage);
    items = reports(&stage, &total);
    CU_ASSERT(total == 1 && items[0].id.task == 0 && items[0].outcome == OUTCOME_CANCELLED);
    destroy(&stage);
}

static void test_recall_and_drain_give_back(void)
{
    struct stage stage = make(1, true);
    settle(&stage);
    dispatch(&stage, 0, 3, 0, 4);
    flush(&stage);
    host_effects_clear(&stage.effects);
    message(&stage, MSG_DRAIN, bytes_of("\x80", 1), 4);
    step(&stage, (struct host_input){.kind = HOST_RECLAIMED, .count = 2});
    const struct host_effect *effect = find(&stage, HOST_SEND, MSG_REJECT);
    CU_ASSERT_PTR_NOT_NULL(effect);
    flush(&stage);
    CU_ASSERT_EQUAL(count(&stage, HOST_EXIT), 0);
    finish(&stage, false);
    flush(&stage);
    CU_ASSERT_EQUAL(count(&stage, HOST_EXIT), 0); /* its result is not acknowledged */
    acknowledge(&stage, 1);
    flush(&stage);
    CU_ASSERT_EQUAL(count(&stage, HOST_EXIT), 1);
    CU_ASSERT_PTR_NOT_NULL(find(&stage, HOST_SEND, MSG_BYE));
    destroy(&stage);
}

static bool says_draining(const struct stage *stage)
{
    const struct host_effect *effect = find(stage, HOST_SEND, MSG_HEARTBEAT);
    struct msg_heartbeat beat = {0};
    if (!effect)
        return false;
    CU_ASSERT_EQUAL(msg_heartbeat_decode(host_effect_body(&stage->effects, effect), &beat, NULL),
                    SYNK_OK);
    return beat.draining;
}

/* What it gave back came again, since nobody knew that it was leaving. */
static void test_a_stop_is_told_before_anything_comes_back(void)
{
    struct stage stage = make(1, false);
    settle(&stage);
    dispatch(&stage, 0, 3, 0, 4);
    flush(&stage);
    host_effects_clear(&stage.effects);
    step(&stage, (struct host_input){.kind = HOST_STOP});
    CU_ASSERT_TRUE(says_draining(&stage));
    CU_ASSERT_PTR_NULL(find(&stage, HOST_SEND, MSG_REJECT));
    step(&stage, (struct host_input){.kind = HOST_RECLAIMED, .count = 2});
    CU_ASSERT_PTR_NOT_NULL(find(&stage, HOST_SEND, MSG_REJECT));
    destroy(&stage);
}

/* By silence alone, a standby that has taken over waited ten seconds for its hosts. */
static void test_a_broken_link_is_left_at_once(void)
{
    struct stage stage = make(1, false);
    settle(&stage);
    step(&stage, (struct host_input){.kind = HOST_LINK_BROKEN});
    CU_ASSERT_EQUAL(count(&stage, HOST_RECONNECT), 0); /* not in step with all others */
    stage.now_ms += 500;
    step(&stage, (struct host_input){.kind = HOST_TIME});
    CU_ASSERT_EQUAL(count(&stage, HOST_RECONNECT), 1);
    step(&stage, (struct host_input){.kind = HOST_LINK_BROKEN});
    step(&stage, (struct host_input){.kind = HOST_LINK_BROKEN});
    stage.now_ms += 1000;
    step(&stage, (struct host_input){.kind = HOST_TIME});
    CU_ASSERT_EQUAL(count(&stage, HOST_RECONNECT), 2);
    destroy(&stage);
}

static void refuse(struct stage *stage, const char *leader)
{
    struct synk_builder *body = synk_builder_new();
    synk_builder_map(body, 2);
    synk_builder_string(body, "text");
    synk_builder_string(body, "stands by");
    synk_builder_string(body, "leader");
    synk_builder_string(body, leader);
    message(stage, MSG_REFUSE, synk_builder_bytes(body), 4);
    synk_builder_free(body);
}

static void reconnects_to(struct stage *stage, const char *address)
{
    const struct host_effect *effect = find(stage, HOST_RECONNECT, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(effect);
    CU_ASSERT_TRUE(bytes_equal(host_effect_body(&stage->effects, effect), bytes_str(address)));
    host_effects_clear(&stage->effects);
}

/* Two supervisors that name each other were asked in turns as fast as they could answer. */
static void test_a_leader_is_followed_but_not_in_a_circle(void)
{
    struct stage stage = make(1, false);
    step(&stage, (struct host_input){.kind = HOST_START});
    refuse(&stage, "tcp://10.0.0.2:7400");
    reconnects_to(&stage, "tcp://10.0.0.2:7400");
    stage.now_ms += 5;
    refuse(&stage, "tcp://10.0.0.1:7400");
    CU_ASSERT_EQUAL(count(&stage, HOST_RECONNECT), 0);
    stage.now_ms += 3000;
    step(&stage, (struct host_input){.kind = HOST_TIME});
    reconnects_to(&stage, "tcp://10.0.0.1:7400");
    stage.now_ms += 3000;
    step(&stage, (struct host_input){.kind = HOST_TIME}); /* no answer there, either */
    stage.now_ms += 9000;
    step(&stage, (struct host_input){.kind = HOST_TIME});
    reconnects_to(&stage, "");
    destroy(&stage);
}

static void test_the_grace_of_a_stop_ends(void)
{
    struct stage stage = make(1, false);
    host_free(stage.host);
    struct host_config config;
    host_config_defaults(&config);
    config.stop_ms = 5000;
    stage.host = host_new(&config);
    settle(&stage);
    dispatch(&stage, 0, 1, 0, 4);
    flush(&stage);
    step(&stage, (struct host_input){.kind = HOST_STOP});
    stage.now_ms += 4999;
    flush(&stage);
    CU_ASSERT_EQUAL(count(&stage, HOST_EXIT), 0);
    stage.now_ms += 1;
    CU_ASSERT_TRUE(host_next_due(stage.host) <= stage.now_ms);
    host_effects_clear(&stage.effects);
    flush(&stage);
    CU_ASSERT_EQUAL(count(&stage, HOST_EXIT), 1);
    /* The goodbye comes behind: what runs is dead by then. */
    const struct host_effect *bye = find(&stage, HOST_SEND, MSG_BYE);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bye);
    CU_ASSERT_EQUAL(bye[-1].kind, HOST_EXIT);
    destroy(&stage);
}

static void test_reports_survive_the_link_and_the_host(void)
{
    struct stage stage = make(1, false);
    size_t total;
    settle(&stage);
    dispatch(&stage, 0, 1, 0, 4);
    flush(&stage);
    finish(&stage, false);
    flush(&stage);
    reports(&stage, &total);
    CU_ASSERT_EQUAL(total, 1);
    CU_ASSERT_EQUAL(count(&stage, HOST_SPOOL_APPEND), 0);
    host_effects_clear(&stage.effects);
    message(&stage, MSG_WHO, bytes_of("\x80", 1), 4);
    flush(&stage);
    const struct host_effect *spooled = find(&stage, HOST_SPOOL_APPEND, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(spooled);
    struct buf file = {0};
    struct synk_bytes body = host_effect_body(&stage.effects, spooled);
    buf_append(&file, body.data, body.size);
    buf_append(&file, body.data, body.size / 2); /* a torn tail */
    struct stage next = make(1, false);
    CU_ASSERT_EQUAL(host_restore(next.host, buf_bytes(&file)), 1);
    settle(&next);
    flush(&next);
    struct msg_report *items = reports(&next, &total);
    CU_ASSERT(total == 1 && items[0].id.run == 1);
    CU_ASSERT_EQUAL(count(&next, HOST_SPOOL_APPEND), 0);
    spooled = find(&next, HOST_SPOOL_REWRITE, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(spooled);
    struct stage third = make(1, false); /* a crash right after the rewriting */
    CU_ASSERT_EQUAL(host_restore(third.host, host_effect_body(&next.effects, spooled)), 1);
    destroy(&third);
    acknowledge(&next, 1);
    flush(&next);
    CU_ASSERT_EQUAL(host_counts(next.host).unacknowledged, 0);
    buf_fini(&file);
    destroy(&stage);
    destroy(&next);
}

/* The reports that a file of these bytes gives to the next host. */
static size_t restorable(struct synk_bytes file)
{
    struct stage next = make(1, false);
    size_t found = host_restore(next.host, file);
    destroy(&next);
    return found;
}

static void test_a_failed_append_is_tried_again(void)
{
    struct stage stage = make(1, false);
    settle(&stage);
    dispatch(&stage, 0, 2, 0, 4);
    flush(&stage);
    finish(&stage, false);
    message(&stage, MSG_WHO, bytes_of("\x80", 1), 4);
    flush(&stage);
    CU_ASSERT_EQUAL(count(&stage, HOST_SPOOL_APPEND), 1);
    for (int i = 0; i < 3; i++) {
        step(&stage, (struct host_input){.kind = HOST_SPOOL_FAILED});
        host_effects_clear(&stage.effects);
        stage.now_ms += 999;
        flush(&stage);
        CU_ASSERT_EQUAL(count(&stage, HOST_SPOOL_APPEND), 0); /* not at every turn of the loop */
        if (i == 1)
            finish(&stage, false);
        stage.now_ms += 1;
        flush(&stage);
        const struct host_effect *effect = find(&stage, HOST_SPOOL_APPEND, 0);
        CU_ASSERT_PTR_NOT_NULL_FATAL(effect);
        CU_ASSERT_EQUAL(restorable(host_effect_body(&stage.effects, effect)), i < 1 ? 1 : 2);
    }
    host_effects_clear(&stage.effects);
    stage.now_ms += 5000;
    flush(&stage);
    CU_ASSERT_EQUAL(count(&stage, HOST_SPOOL_APPEND), 0); /* it is there now */
    destroy(&stage);
}

static void test_a_torn_spool_is_appended_to_only_once_it_is_whole(void)
{
    struct stage stage = make(1, false), next = make(1, false);
    settle(&stage);
    dispatch(&stage, 0, 1, 0, 4);
    flush(&stage);
    finish(&stage, false);
    message(&stage, MSG_WHO, bytes_of("\x80", 1), 4);
    flush(&stage);
    const struct host_effect *effect = find(&stage, HOST_SPOOL_APPEND, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(effect);
    struct buf file = {0};
    struct synk_bytes body = host_effect_body(&stage.effects, effect);
    buf_append(&file, body.data, body.size);
    buf_append(&file, "torn", 4);
    CU_ASSERT_EQUAL(host_restore(next.host, buf_bytes(&file)), 1);
    settle(&next);
    dispatch(&next, 1, 1, 0, 4);
    flush(&next);
    CU_ASSERT_EQUAL(count(&next, HOST_SPOOL_REWRITE), 1);
    step(&next, (struct host_input){.kind = HOST_SPOOL_FAILED});
    finish(&next, false);
    message(&next, MSG_WHO, bytes_of("\x80", 1), 4);
    host_effects_clear(&next.effects);
    flush(&next);
    CU_ASSERT_EQUAL(count(&next, HOST_SPOOL_APPEND), 0); /* it would be lost behind what is torn */
    next.now_ms += 1000;
    flush(&next);
    effect = find(&next, HOST_SPOOL_REWRITE, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(effect);
    CU_ASSERT_EQUAL(restorable(host_effect_body(&next.effects, effect)), 2);
    buf_fini(&file);
    destroy(&stage);
    destroy(&next);
}

static void test_silence_reconnects_but_not_after_a_pause_of_our_own(void)
{
    struct stage stage = make(1, true);
    settle(&stage);
    stage.now_ms += 30000; /* stopped, or a slow disk */
    step(&stage, (struct host_input){.kind = HOST_TIME});
    CU_ASSERT_TRUE(host_counts(stage.host).connected);
    for (int i = 0; i < 22; i++) {
        stage.now_ms += 500;
        step(&stage, (struct host_input){.kind = HOST_TIME});
    }
    CU_ASSERT_FALSE(host_counts(stage.host).connected);
    for (int i = 0; i < 130; i++) {
        stage.now_ms += 500;
        step(&stage, (struct host_input){.kind = HOST_TIME});
        flush(&stage);
    }
    CU_ASSERT(count(&stage, HOST_RECONNECT) >= 5);
    CU_ASSERT_EQUAL(count(&stage, HOST_EXIT), 1); /* a local host, an orphan for a minute */
    destroy(&stage);
}

static void test_garbage_is_counted(void)
{
    struct stage stage = make(1, false);
    settle(&stage);
    static const enum msg_type types[] = {MSG_DISPATCH, MSG_ACK,      MSG_CANCEL_ATTEMPT,
                                          MSG_RECALL,   MSG_LOG_READ, MSG_WELCOME};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        message(&stage, types[i], bytes_of("\xc1\xff", 2), 4);
    CU_ASSERT_EQUAL(host_counts(stage.host).refused_messages, 6);
    destroy(&stage);
}

static const struct unit_case cases[] = {
    {"a_task_is_given_and_reported_once", test_a_task_is_given_and_reported_once},
    {"an_older_epoch_is_given_back", test_an_older_epoch_is_given_back},
    {"a_timeout_escalates", test_a_timeout_escalates_and_is_reported_when_seen_dead},
    {"a_crash_costs_its_own_attempt_only", test_a_crash_costs_its_own_attempt_only},
    {"cancel_before_and_after_the_start", test_cancel_before_and_after_the_start},
    {"recall_and_drain_give_back", test_recall_and_drain_give_back},
    {"a stop is told first", test_a_stop_is_told_before_anything_comes_back},
    {"grace of a stop", test_the_grace_of_a_stop_ends},
    {"broken link", test_a_broken_link_is_left_at_once},
    {"leader", test_a_leader_is_followed_but_not_in_a_circle},
    {"reports_survive_the_link_and_the_host", test_reports_survive_the_link_and_the_host},
    {"a_failed_append_is_tried_again", test_a_failed_append_is_tried_again},
    {"a_torn_spool_is_rewritten_first", test_a_torn_spool_is_appended_to_only_once_it_is_whole},
    {"silence_reconnects", test_silence_reconnects_but_not_after_a_pause_of_our_own},
    {"garbage_is_counted", test_garbage_is_counted},
    {NULL, NULL},
};

int main(int argc, char **argv)
{
    return unit_main(argc, argv, "host", cases);
}
