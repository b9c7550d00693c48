/* The messages: round trips, left-out elements, wrong types, cut and mutated bodies. */
#include "proto/msg.h"

#include <stdlib.h>

#include "proto/check.h"
#include "proto/limits.h"
#include "proto/pack.h"
#include "tests/support/unit.h"

#define S(text) bytes_of(text, sizeof(text) - 1)

static struct msg_report sample_result(uint32_t task)
{
    return (struct msg_report){
        .kind = REPORT_RESULT,
        .id = {.run = 1ull << 40, .task = task, .epoch = 3, .attempt = 2},
        .outcome = OUTCOME_FAILED,
        .started_at = 1700000000000,
        .ended_at = 1700000000500,
        .execution_us = 499000,
        .exit_status = 7,
        .user_us = 10,
        .system_us = 20,
        .max_rss_kib = 4096,
        .result = S("\xa5hello"),
        .error = S("exit status 7"),
    };
}

static bool ids_equal(struct attempt_id a, struct attempt_id b)
{
    return attempt_id_equal(a, b);
}

static void header_round_trip(void)
{
    struct msg_header header = {MSG_REPORT, 0xdeadbeef, 0x0102030405060708}, back;
    uint8_t bytes[MSG_HEADER_BYTES];
    msg_header_encode(header, bytes);
    CU_ASSERT(memcmp(bytes, "S\x01\x00\x05\xde\xad\xbe\xef", 8) == 0);
    CU_ASSERT(memcmp(bytes + 8, "\x01\x02\x03\x04\x05\x06\x07\x08", 8) == 0);
    CU_ASSERT(msg_header_decode(bytes_of(bytes, 16), &back, NULL) == SYNK_OK);
    CU_ASSERT(back.type == header.type && back.epoch == header.epoch &&
              back.sequence == header.sequence);
    for (size_t size = 0; size < 16; size++)
        CU_ASSERT(msg_header_decode(bytes_of(bytes, size), &back, NULL) == SYNK_PROTOCOL);
    bytes[1] = 9;
    CU_ASSERT(msg_header_decode(bytes_of(bytes, 16), &back, NULL) == SYNK_UNSUPPORTED);
    CU_ASSERT_STRING_EQUAL(msg_type_name(MSG_CANCEL_ATTEMPT), "cancel-attempt");
    CU_ASSERT_STRING_EQUAL(msg_type_name(7777), "unknown");
}

/* Bodies of every kind, and whether a body of the kind decodes. */
enum body_kind {
    BODY_HELLO,
    BODY_WELCOME,
    BODY_REPORT,
    BODY_ATTEMPTS,
    BODY_DISPATCH,
    BODY_VALUES,
    BODY_HEARTBEAT,
    BODY_ACK,
    BODY_LOG,
    BODY_KINDS,
};

static void encode_dispatch(struct buf *out)
{
    struct msg_spec spec = {.unit = S("nightly"),
                            .run_number = 7,
                            .function = S("exec"),
                            .payload = S("\x80"),
                            .params = S("\x01"),
                            .timeout_ms = 1500};
    struct msg_input inputs[] = {{S("Extract"), 0}, {S("Load"), 1}};
    struct msg_task tasks[] = {
        {.id = {9, 0, 1, 1}, .worker = S("Join"), .inputs = inputs, .input_count = 2},
        {.id = {9, 1, 1, 1}, .params = S("\x02")},
    };
    struct buf specs = {0}, rows = {0};
    msg_spec_encode(&spec, &specs);
    for (size_t i = 0; i < 2; i++)
        msg_task_encode(&tasks[i], &rows);
    msg_dispatch_wrap(buf_bytes(&specs), 1, buf_bytes(&rows), 2, out);
    buf_fini(&specs);
    buf_fini(&rows);
}

static void encode_reports(struct buf *out)
{
    struct buf items = {0};
    struct msg_report result = sample_result(4), milestone = {.kind = REPORT_MILESTONE,
                                                              .id = {1, 2, 3, 4},
                                                              .name = S("half-way"),
                                                              .payload = S("\xc3"),
                                                              .at = 99};
    msg_report_encode(&result, &items);
    msg_report_encode(&milestone, &items);
    msg_reports_wrap(buf_bytes(&items), 2, out);
    buf_fini(&items);
}

static void encode_body(enum body_kind kind, struct buf *out)
{
    static const struct synk_bytes functions[] = {{"exec", 4}, {"media.publish", 13}};
    static const struct synk_bytes tags[] = {{"gpu", 3}};
    static const struct refused_plugin_text refused[] = {{{"old", 3}, {"plugin ABI 0", 12}}};
    struct msg_hello hello = {S("local"), UINT64_MAX, 8, 4711,    S("0.1.0"), functions,
                              2,          tags,       1, refused, 1,          99};
    struct msg_welcome welcome = {1000, 10000};
    struct msg_attempt attempts[] = {
        {.id = {1, 2, 3, 4}, .phase = PHASE_RUNNING, .at = 5},
        {.id = {UINT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX}},
        {.id = {6, 0, 1, 1}, .progress = 0.25, .reason = S("drain")},
    };
    struct msg_heartbeat heartbeat = {1, 2, 3, 4, 5, true};
    struct msg_log log = {1, 2, 3, 4, 5, 6, S("text"), 9, true, S("gone")};
    switch (kind) {
    case BODY_HELLO:
        msg_hello_encode(&hello, out);
        break;
    case BODY_WELCOME:
        msg_welcome_encode(&welcome, out);
        break;
    case BODY_REPORT:
        encode_reports(out);
        break;
    case BODY_ATTEMPTS:
        msg_attempts_encode(attempts, 3, true, out);
        break;
    case BODY_DISPATCH:
        encode_dispatch(out);
        break;
    case BODY_VALUES:
        pack_array(out, 3);
        pack_binary(out, S("\x01"));
        pack_null(out);
        pack_binary(out, S("\x93\x01\x02\x03"));
        break;
    case BODY_HEARTBEAT:
        msg_heartbeat_encode(&heartbeat, out);
        break;
    case BODY_ACK:
        msg_ack_encode(1ull << 33, out);
        break;
    case BODY_LOG:
        msg_log_encode(&log, out);
        break;
    case BODY_KINDS:
        break;
    }
}

/* Everything a decoder found, copied into this once, so that each is one pointer away. */
union decoded {
    struct msg_hello hello;
    struct msg_welcome welcome;
    struct {
        struct msg_report *items;
        size_t count;
    } reports;
    struct {
        struct msg_attempt *items;
        size_t count;
        bool last;
    } attempts;
    struct msg_dispatch dispatch;
    struct {
        struct synk_bytes *items;
        size_t count;
    } values;
    struct msg_heartbeat heartbeat;
    uint64_t upto;
    struct msg_log log;
};

static enum synk_status decode_body(enum body_kind kind, struct synk_bytes body,
                                    struct arena *arena, union decoded *ret)
{
    struct synk_error error;
    switch (kind) {
    case BODY_HELLO:
        return msg_hello_decode(body, arena, &ret->hello, &error);
    case BODY_WELCOME:
        return msg_welcome_decode(body, &ret->welcome, &error);
    case BODY_REPORT:
        return msg_reports_decode(body, arena, &ret->reports.items, &ret->reports.count, &error);
    case BODY_ATTEMPTS:
        return msg_attempts_decode(body, arena, &ret->attempts.items, &ret->attempts.count,
                                   &ret->attempts.last, &error);
    case BODY_DISPATCH:
        return msg_dispatch_decode(body, arena, &ret->dispatch, &error);
    case BODY_VALUES:
        return msg_values_decode(body, arena, &ret->values.items, &ret->values.count, &error);
    case BODY_HEARTBEAT:
        return msg_heartbeat_decode(body, &ret->heartbeat, &error);
    case BODY_ACK:
        return msg_ack_decode(body, &ret->upto, &error);
    case BODY_LOG:
        return msg_log_decode(body, &ret->log, &error);
    case BODY_KINDS:
        break;
    }
    return SYNK_INVALID;
}

static void check_report(const union decoded *got)
{
    struct msg_report want = sample_result(4), *result = got->reports.items, *mark = result + 1;
    CU_ASSERT_FATAL(got->reports.count == 2);
    CU_ASSERT(result->kind == REPORT_RESULT && ids_equal(result->id, want.id));
    CU_ASSERT(result->outcome == want.outcome && result->started_at == want.started_at);
    CU_ASSERT(result->ended_at == want.ended_at && result->execution_us == want.execution_us);
    CU_ASSERT(result->exit_status == 7 && result->signal == 0 && result->user_us == 10);
    CU_ASSERT(result->system_us == 20 && result->max_rss_kib == 4096);
    CU_ASSERT(bytes_equal(result->result, want.result) && bytes_equal(result->error, want.error));
    CU_ASSERT(mark->kind == REPORT_MILESTONE && bytes_equal(mark->name, S("half-way")));
    CU_ASSERT(bytes_equal(mark->payload, S("\xc3")) && mark->at == 99);
}

static void check_dispatch(const union decoded *got)
{
    const struct msg_dispatch *dispatch = &got->dispatch;
    CU_ASSERT_FATAL(dispatch->spec_count == 1 && dispatch->task_count == 2);
    CU_ASSERT(bytes_equal(dispatch->specs[0].unit, S("nightly")));
    CU_ASSERT(dispatch->specs[0].run_number == 7 && dispatch->specs[0].timeout_ms == 1500);
    CU_ASSERT(dispatch->specs[0].progress_timeout_ms == 0);
    CU_ASSERT(bytes_equal(dispatch->specs[0].payload, S("\x80")));
    const struct msg_task *task = dispatch->tasks;
    CU_ASSERT_FATAL(task->input_count == 2);
    CU_ASSERT(bytes_equal(task->worker, S("Join")) && task->params.size == 0);
    CU_ASSERT(bytes_equal(task->inputs[1].name, S("Load")) && task->inputs[1].value == 1);
    CU_ASSERT(task[1].input_count == 0 && bytes_equal(task[1].params, S("\x02")));
    CU_ASSERT(task[1].id.task == 1 && task[1].worker.size == 0);
}

static void round_trips(void)
{
    for (enum body_kind kind = 0; kind < BODY_KINDS; kind++) {
        struct buf body = {0};
        struct arena arena = {0};
        union decoded got;
        encode_body(kind, &body);
        CU_ASSERT_FATAL(check_value(buf_bytes(&body), &check_message_limits, NULL) == SYNK_OK);
        CU_ASSERT_FATAL(decode_body(kind, buf_bytes(&body), &arena, &got) == SYNK_OK);
        if (kind == BODY_HELLO) {
            CU_ASSERT(bytes_equal(got.hello.name, S("local")) && got.hello.slots == 8);
            CU_ASSERT(got.hello.instance == UINT64_MAX && got.hello.pid == 4711);
            CU_ASSERT(got.hello.home == 99);
            CU_ASSERT_FATAL(got.hello.function_count == 2 && got.hello.tag_count == 1);
            CU_ASSERT(bytes_equal(got.hello.functions[1], S("media.publish")));
            CU_ASSERT(bytes_equal(got.hello.tags[0], S("gpu")));
            CU_ASSERT_FATAL(got.hello.refused_count == 1);
            CU_ASSERT(bytes_equal(got.hello.refused[0].name, S("old")));
            CU_ASSERT(bytes_equal(got.hello.refused[0].reason, S("plugin ABI 0")));
        } else if (kind == BODY_WELCOME) {
            CU_ASSERT(got.welcome.heartbeat_ms == 1000 && got.welcome.silence_ms == 10000);
        } else if (kind == BODY_REPORT) {
            check_report(&got);
        } else if (kind == BODY_ATTEMPTS) {
            CU_ASSERT_FATAL(got.attempts.count == 3 && got.attempts.last);
            CU_ASSERT(got.attempts.items[0].phase == PHASE_RUNNING);
            CU_ASSERT(got.attempts.items[0].at == 5);
            CU_ASSERT(got.attempts.items[1].id.run == UINT64_MAX);
            CU_ASSERT(got.attempts.items[2].progress == 0.25);
            CU_ASSERT(bytes_equal(got.attempts.items[2].reason, S("drain")));
        } else if (kind == BODY_DISPATCH) {
            check_dispatch(&got);
        } else if (kind == BODY_VALUES) {
            CU_ASSERT_FATAL(got.values.count == 3);
            CU_ASSERT(got.values.items[1].size == 0 && got.values.items[2].size == 4);
        } else if (kind == BODY_HEARTBEAT) {
            CU_ASSERT(got.heartbeat.unacknowledged == 3 && got.heartbeat.cpu_us == 5);
            CU_ASSERT(got.heartbeat.draining);
        } else if (kind == BODY_ACK) {
            CU_ASSERT(got.upto == 1ull << 33);
        } else if (kind == BODY_LOG) {
            CU_ASSERT(got.log.max_bytes == 6 && got.log.complete && got.log.size == 9);
            CU_ASSERT(bytes_equal(got.log.data, S("text")));
        }
        arena_fini(&arena);
        buf_fini(&body);
    }
}

static void cut_bodies_are_refused(void)
{
    for (enum body_kind kind = 0; kind < BODY_KINDS; kind++) {
        struct buf body = {0};
        struct arena arena = {0};
        union decoded got;
        encode_body(kind, &body);
        for (size_t size = 0; size < body.size; size++) {
            /* In memory of exactly that size, so that a read past it is seen. */
            void *cut = malloc(size ? size : 1);
            memcpy(cut, body.data, size);
            CU_ASSERT(decode_body(kind, bytes_of(cut, size), &arena, &got) == SYNK_PROTOCOL);
            free(cut);
        }
        buf_append(&body, "\xc0", 1);
        CU_ASSERT(decode_body(kind, buf_bytes(&body), &arena, &got) == SYNK_PROTOCOL);
        arena_fini(&arena);
        buf_fini(&body);
    }
}

static void mutated_bodies_never_crash(void)
{
    uint64_t random = 88172645463325252u;
    struct arena arena = {0};
    for (enum body_kind kind = 0; kind < BODY_KINDS; kind++) {
        struct buf body = {0};
        encode_body(kind, &body);
        for (int round = 0; round < 3000; round++) {
            uint8_t *copy = malloc(body.size);
            union decoded got;
            memcpy(copy, body.data, body.size);
            for (int changes = 1 + round % 3; changes; changes--) {
                random ^= random << 13, random ^= random >> 7, random ^= random << 17;
                copy[random % body.size] = (uint8_t)(random >> 32);
            }
            decode_body(kind, bytes_of(copy, body.size), &arena, &got);
            free(copy);
            arena_clear(&arena);
        }
        buf_fini(&body);
    }
    arena_fini(&arena);
}

static void foreign_rows(void)
{
    const struct {
        enum body_kind kind;
        struct synk_bytes body;
        enum synk_status status;
    } cases[] = {
        /* Left-out and further elements, unknown names, wide integers. */
        {BODY_ATTEMPTS, S("\x81\xa5items\x91\x94\x01\x00\x01\x01"), SYNK_OK},
        {BODY_ATTEMPTS, S("\x81\xa5items\x91\x9a\x01\x00\x01\x01\xc0\xc0\xc0\xc0\x81\xa1x\x90\x07"),
         SYNK_OK},
        {BODY_ATTEMPTS, S("\x82\xa3new\x91\x01\xa5items\x91\x94\xcd\x00\x01\xd1\x00\x00\x01\x01"),
         SYNK_OK},
        {BODY_ATTEMPTS, S("\x81\xa5items\x90"), SYNK_OK},
        {BODY_REPORT, S("\x81\xa5items\x91\x96\x00\x01\x00\x01\x01\x04"), SYNK_OK},
        {BODY_REPORT, S("\x81\xa5items\x91\x95\x00\x01\x00\x01\x01"), SYNK_OK},
        {BODY_HEARTBEAT, S("\x80"), SYNK_OK},
        /* What is required and missing, nil or of another type. */
        {BODY_ATTEMPTS, S("\x80"), SYNK_PROTOCOL},
        {BODY_ATTEMPTS, S("\x90"), SYNK_PROTOCOL},
        {BODY_ATTEMPTS, S("\x81\xa5items\x01"), SYNK_PROTOCOL},
        {BODY_ATTEMPTS, S("\x81\xa5items\x91\x93\x01\x00\x01"), SYNK_PROTOCOL},
        {BODY_ATTEMPTS, S("\x81\xa5items\x91\x94\xc0\x00\x01\x01"), SYNK_PROTOCOL},
        {BODY_ATTEMPTS, S("\x81\xa5items\x91\x94\x01\xff\x01\x01"), SYNK_PROTOCOL},
        {BODY_ATTEMPTS, S("\x81\xa5items\x91\x94\x01\xcf\0\0\0\1\0\0\0\0\x01\x01"), SYNK_PROTOCOL},
        {BODY_ATTEMPTS, S("\x81\xa5items\x91\x95\x01\x00\x01\x01\x02"), SYNK_PROTOCOL},
        {BODY_ATTEMPTS, S("\x81\xa5items\x91\x97\x01\x00\x01\x01\x01\x00\x02"), SYNK_PROTOCOL},
        {BODY_ATTEMPTS, S("\x81\xa5items\x91\x97\x01\x00\x01\x01\x01\x00\xca\x7f\xc0\0\0"),
         SYNK_PROTOCOL},
        {BODY_REPORT, S("\x81\xa5items\x91\x96\x00\x01\x00\x01\x01\x05"), SYNK_PROTOCOL},
        {BODY_REPORT, S("\x81\xa5items\x91\x96\x02\x01\x00\x01\x01\x00"), SYNK_PROTOCOL},
        {BODY_REPORT, S("\x81\xa5items\x91\x96\x01\x01\x00\x01\x01\xa0"), SYNK_PROTOCOL},
        {BODY_HELLO, S("\x80"), SYNK_PROTOCOL},
        {BODY_ACK, S("\x81\xa4upto\xff"), SYNK_PROTOCOL},
        {BODY_VALUES, S("\x91\xa1x"), SYNK_PROTOCOL},
        {BODY_VALUES, S("\x80"), SYNK_PROTOCOL},
        /* A task of a spec that is not there. */
        {BODY_DISPATCH, S("\x82\xa5specs\x90\xa5tasks\x91\x94\x01\x00\x01\x01"), SYNK_PROTOCOL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arena arena = {0};
        union decoded got;
        enum synk_status status = decode_body(cases[i].kind, cases[i].body, &arena, &got);
        if (status != cases[i].status)
            fprintf(stderr, "case %zu: %s\n", i, synk_status_name(status));
        CU_ASSERT(status == cases[i].status);
        arena_fini(&arena);
    }
}

static void absent_numbers_take_their_fallback(void)
{
    struct arena arena = {0};
    struct msg_report *reports;
    size_t count;
    CU_ASSERT_FATAL(msg_reports_decode(S("\x81\xa5items\x91\x95\x00\x01\x00\x01\x01"), &arena,
                                       &reports, &count, NULL) == SYNK_OK);
    CU_ASSERT(count == 1 && reports->exit_status == -1 && reports->signal == 0);
    CU_ASSERT(reports->user_us == -1 && reports->system_us == -1 && reports->max_rss_kib == -1);
    arena_fini(&arena);
}

static void lengths_are_bounded(void)
{
    struct arena arena = {0};
    struct msg_report *reports, report = sample_result(1);
    struct buf items = {0}, body = {0}, text = {0};
    struct synk_error error;
    size_t count;
    buf_reserve(&text, LIMIT_VALUE_BYTES + 1);
    memset(text.data, 'x', LIMIT_VALUE_BYTES + 1);
    report.error = bytes_of(text.data, LIMIT_ERROR_BYTES + 1);
    msg_report_encode(&report, &items);
    msg_reports_wrap(buf_bytes(&items), 1, &body);
    CU_ASSERT(msg_reports_decode(buf_bytes(&body), &arena, &reports, &count, &error) ==
              SYNK_TOO_LARGE);
    CU_ASSERT_STRING_EQUAL(error.text, "items[0]: 'error' has 4097 bytes, 4096 are allowed");
    report.error = bytes_of(text.data, LIMIT_ERROR_BYTES);
    report.result = bytes_of(text.data, LIMIT_VALUE_BYTES + 1);
    buf_clear(&items);
    buf_clear(&body);
    msg_report_encode(&report, &items);
    msg_reports_wrap(buf_bytes(&items), 1, &body);
    CU_ASSERT(msg_reports_decode(buf_bytes(&body), &arena, &reports, &count, NULL) ==
              SYNK_TOO_LARGE);
    arena_fini(&arena);
    buf_fini(&items);
    buf_fini(&body);
    buf_fini(&text);
}

static void error_body(void)
{
    struct buf body = {0};
    struct synk_error error = {SYNK_BUSY, "later"};
    msg_error_encode(&error, 500, &body);
    CU_ASSERT(bytes_equal(buf_bytes(&body), S("\x83\xa6status\xa4"
                                              "busy\xa4text\xa5later"
                                              "\xacretryAfterMs\xcd\x01\xf4")));
    buf_fini(&body);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"header_round_trip", header_round_trip},
        {"round_trips", round_trips},
        {"cut_bodies_are_refused", cut_bodies_are_refused},
        {"mutated_bodies_never_crash", mutated_bodies_never_crash},
        {"foreign_rows", foreign_rows},
        {"absent_numbers_take_their_fallback", absent_numbers_take_their_fallback},
        {"lengths_are_bounded", lengths_are_bounded},
        {"error_body", error_body},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "msg", cases);
}
