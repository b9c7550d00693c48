/* Resizing the pure worker host: slots that come, and slots that end with the task in hand. */
#include "proto/pack.h"
#include "tests/support/unit.h"
#include "worker-host/host.h"

struct stage {
    struct host *host;
    struct host_effects effects;
};

static void step(struct stage *stage, struct host_input input)
{
    input.now_ms = 1000000;
    input.wall_ms = 5000000;
    host_step(stage->host, &input, &stage->effects);
}

static void flush(struct stage *stage)
{
    host_flush(stage->host, 1000000, 5000000, &stage->effects);
}

static void message(struct stage *stage, enum msg_type type, struct buf *body)
{
    step(stage, (struct host_input){.kind = HOST_MESSAGE,
                                    .header = {.type = (uint16_t)type, .epoch = 4},
                                    .body = buf_bytes(body)});
    buf_fini(body);
}

static void resize(struct stage *stage, int64_t slots)
{
    struct buf body = {0};
    pack_map(&body, 1);
    pack_key(&body, "slots");
    pack_int(&body, slots);
    message(stage, MSG_RESIZE_HOST, &body);
}

/* How many effects of the kind there are for the slot, among those since the last clear. */
static size_t count(const struct stage *stage, enum host_effect_kind kind, uint32_t slot)
{
    size_t found = 0;
    for (size_t i = 0; i < stage->effects.count; i++)
        found += stage->effects.items[i].kind == kind && stage->effects.items[i].slot == slot;
    return found;
}

static struct stage make(uint32_t slots)
{
    struct stage stage = {0};
    struct host_config config;
    struct buf body = {0};
    host_config_defaults(&config);
    config.slots = slots;
    stage.host = host_new(&config);
    step(&stage, (struct host_input){.kind = HOST_START});
    msg_welcome_encode(&(struct msg_welcome){1000, 10000}, &body);
    message(&stage, MSG_WELCOME, &body);
    for (uint32_t i = 0; i < slots; i++)
        step(&stage, (struct host_input){.kind = HOST_RUNNER_READY, .slot = i});
    host_effects_clear(&stage.effects);
    return stage;
}

static void destroy(struct stage *stage)
{
    host_free(stage->host);
    host_effects_fini(&stage->effects);
}

static void dispatch(struct stage *stage, uint32_t tasks)
{
    struct buf specs = {0}, items = {0}, body = {0};
    struct msg_spec spec = {.unit = bytes_str("u"), .function = bytes_str("sim.noop")};
    msg_spec_encode(&spec, &specs);
    for (uint32_t i = 0; i < tasks; i++)
        msg_task_encode(&(struct msg_task){.id = {1, i, 4, 1}}, &items);
    msg_dispatch_wrap(buf_bytes(&specs), 1, buf_bytes(&items), tasks, &body);
    message(stage, MSG_DISPATCH, &body);
    buf_fini(&specs);
    buf_fini(&items);
}

static void new_slots_get_runners_and_tasks(void)
{
    struct stage stage = make(1);
    resize(&stage, 3);
    CU_ASSERT_EQUAL(count(&stage, HOST_SLOT_OPEN, 1), 1);
    CU_ASSERT_EQUAL(count(&stage, HOST_SLOT_OPEN, 2), 1);
    CU_ASSERT_EQUAL(count(&stage, HOST_SLOT_OPEN, 0), 0);
    step(&stage, (struct host_input){.kind = HOST_RUNNER_READY, .slot = 2});
    dispatch(&stage, 2);
    flush(&stage);
    CU_ASSERT_EQUAL(count(&stage, HOST_GIVE, 0), 1);
    CU_ASSERT_EQUAL(count(&stage, HOST_GIVE, 2), 1);
    destroy(&stage);
}

static void slots_beyond_end_with_the_task_in_hand(void)
{
    struct stage stage = make(2);
    struct msg_report report = {.outcome = OUTCOME_SUCCEEDED, .exit_status = -1};
    dispatch(&stage, 2);
    flush(&stage);
    resize(&stage, 1);
    flush(&stage);
    CU_ASSERT_EQUAL(count(&stage, HOST_SLOT_CLOSE, 1), 0); /* it runs something */
    step(&stage,
         (struct host_input){.kind = HOST_RUNNER_RESULT, .slot = 1, .report = &report});
    flush(&stage);
    CU_ASSERT_EQUAL(count(&stage, HOST_SLOT_CLOSE, 1), 1);
    step(&stage, (struct host_input){.kind = HOST_RUNNER_DEAD, .slot = 1, .report = &report});
    flush(&stage);
    CU_ASSERT_EQUAL(count(&stage, HOST_SLOT_CLOSE, 1), 1); /* once */
    resize(&stage, 2);
    CU_ASSERT_EQUAL(count(&stage, HOST_SLOT_OPEN, 1), 1);
    step(&stage, (struct host_input){.kind = HOST_RUNNER_READY, .slot = 1});
    CU_ASSERT_EQUAL(host_counts(stage.host).running, 1);
    destroy(&stage);
}

static void nonsense_is_counted_and_changes_nothing(void)
{
    struct stage stage = make(1);
    resize(&stage, 0);
    resize(&stage, 1025);
    CU_ASSERT_EQUAL(host_counts(stage.host).refused_messages, 2);
    CU_ASSERT_EQUAL(count(&stage, HOST_SLOT_OPEN, 1), 0);
    destroy(&stage);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"new slots get runners and tasks", new_slots_get_runners_and_tasks},
        {"slots beyond end with the task in hand", slots_beyond_end_with_the_task_in_hand},
        {"nonsense is counted and changes nothing", nonsense_is_counted_and_changes_nothing},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "host-resize", cases);
}
