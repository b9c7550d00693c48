/*
 * A large graph in the engine alone: no socket, no process, no store. A layered graph comes as a
 * client's upload, is applied, started and run to its end by one simulated host that reports every
 * task as succeeded the moment it gets it; then its first half is loaded from records, as a
 * supervisor does that was killed in the middle.
 *
 * Only what the engine does is timed: engine_step, engine_flush and engine_load. Making the
 * messages, and the host's part, is not.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "proto/check.h"
#include "proto/definition.h"
#include "proto/expression.h"
#include "proto/pack.h"
#include "supervisor/core/engine.h"
#include "tools/bench/bench.h"

enum {
    LAYER = 1000, /* tasks side by side; each waits for two of the layer before */
    SLOTS = 64,
    HOST = 1, /* peers of the two sockets */
    CLIENT = 1,
    CHUNK_BYTES = 1 << 20, /* of an upload */
};

/* The engine, the host behind it, and what it committed. */
struct bed {
    struct expression *expression;
    struct evaluator evaluator;
    struct expression_checker checker;
    struct engine *engine;
    struct effects effects;
    struct arena arena; /* of the message at hand */
    struct buf items;   /* reports that the host has not sent yet */
    size_t item_count;
    uint64_t sequence, reported;
    double engine_s; /* so long in the engine since bed_lap */
    struct batch *kept;
    size_t kept_count, kept_capacity;
    bool keeps;
    char reply_error[256]; /* of the last request; "" = none */
};

/* What one run of the benchmark came to: seconds, and bytes a task. */
struct figures {
    double check_s, decode_s, validate_s; /* parts of apply_s, measured by themselves */
    double apply_s, start_s, run_s, hydrate_s;
    double bytes;
};

static void step(struct bed *bed, struct input *input)
{
    input->now_ms = 1000;
    input->wall_ms = 1700000000000;
    double start = bench_now_s();
    engine_step(bed->engine, input, &bed->effects);
    bed->engine_s += bench_now_s() - start;
}

static double bed_lap(struct bed *bed)
{
    double seconds = bed->engine_s;
    bed->engine_s = 0;
    return seconds;
}

static void host_says(struct bed *bed, uint16_t type, uint64_t sequence, struct buf *body)
{
    struct input input = {.kind = INPUT_HOST_MESSAGE,
                          .peer = HOST,
                          .role = ROLE_ADMIN,
                          .body = buf_bytes(body)};
    input.header = (struct msg_header){.type = type, .epoch = 1, .sequence = sequence};
    step(bed, &input);
    buf_fini(body);
}

static void client_says(struct bed *bed, uint16_t type, const struct buf *body)
{
    struct input input = {.kind = INPUT_CLIENT_MESSAGE,
                          .peer = CLIENT,
                          .role = ROLE_ADMIN,
                          .body = buf_bytes(body)};
    input.header = (struct msg_header){.type = type, .sequence = ++bed->sequence};
    bed->reply_error[0] = '\0';
    step(bed, &input);
}

/* The host's part: every task that it is given has succeeded. */
static void take_dispatch(struct bed *bed, struct synk_bytes body)
{
    struct msg_dispatch dispatch;
    arena_clear(&bed->arena);
    if (msg_dispatch_decode(body, &bed->arena, &dispatch, NULL))
        abort();
    for (size_t i = 0; i < dispatch.task_count; i++) {
        struct msg_report report = {
            .kind = REPORT_RESULT,
            .id = dispatch.tasks[i].id,
            .outcome = OUTCOME_SUCCEEDED,
            .started_at = 1700000000000,
            .ended_at = 1700000000000,
            .execution_us = 1,
            .user_us = -1,
            .system_us = -1,
            .max_rss_kib = -1,
        };
        msg_report_encode(&report, &bed->items);
        bed->item_count++;
    }
}

static void take_reply(struct bed *bed, const struct send *send, struct synk_bytes body)
{
    if (send->header.type == MSG_ERROR)
        snprintf(bed->reply_error, sizeof(bed->reply_error), "%.*s", (int)body.size,
                 (const char *)body.data);
}

/* Ends the tick: what a shell would commit is dropped or kept, what it would send is taken. */
static void tick(struct bed *bed)
{
    struct effects *effects = &bed->effects;
    double start = bench_now_s();
    engine_flush(bed->engine, 1000, 1700000000000, effects);
    bed->engine_s += bench_now_s() - start;
    for (size_t i = 0; i < effects->send_count; i++) {
        const struct send *send = &effects->sends[i];
        struct synk_bytes body =
            bytes_of(effects->bodies.data + send->body_offset, send->body_size);
        if (send->socket == SOCKET_HOSTS && send->header.type == MSG_DISPATCH)
            take_dispatch(bed, body);
        else if (send->socket == SOCKET_CLIENTS)
            take_reply(bed, send, body);
    }
    if (bed->keeps) {
        bed->kept =
            mem_grow(bed->kept, &bed->kept_capacity, bed->kept_count + 1, sizeof(*bed->kept));
        bed->kept[bed->kept_count++] = effects->batch;
        batch_init(&effects->batch);
    }
    effects_clear(effects);
}

static void report(struct bed *bed)
{
    struct buf body = {0};
    msg_reports_wrap(buf_bytes(&bed->items), bed->item_count, &body);
    uint64_t first = bed->reported + 1;
    bed->reported += bed->item_count;
    buf_clear(&bed->items);
    bed->item_count = 0;
    host_says(bed, MSG_REPORT, first, &body);
    tick(bed);
}

static void new_engine(struct bed *bed)
{
    struct engine_config config;
    engine_config_defaults(&config);
    bed->engine = engine_new(&config, &bed->evaluator, &bed->checker, NULL);
}

static void start_engine(struct bed *bed)
{
    struct input input = {.kind = INPUT_START, .epoch = 1};
    step(bed, &input);
    tick(bed);
}

static void bed_init(struct bed *bed)
{
    *bed = (struct bed){.expression = expression_new()};
    bed->evaluator = expression_evaluator(bed->expression);
    bed->checker = expression_checker(bed->expression);
    effects_init(&bed->effects);
    new_engine(bed);
    start_engine(bed);
}

static void bed_fini(struct bed *bed)
{
    engine_free(bed->engine);
    effects_fini(&bed->effects);
    expression_free(bed->expression);
    arena_fini(&bed->arena);
    buf_fini(&bed->items);
    for (size_t i = 0; i < bed->kept_count; i++)
        batch_fini(&bed->kept[i]);
    free(bed->kept);
}

static void connect_host(struct bed *bed)
{
    struct synk_bytes functions[] = {bytes_str("sim.noop")};
    struct msg_hello hello = {.name = bytes_str("bench"),
                              .instance = 1,
                              .slots = SLOTS,
                              .pid = 1,
                              .version = bytes_str("1"),
                              .functions = functions,
                              .function_count = 1};
    struct msg_heartbeat beat = {0};
    struct buf body = {0};
    msg_hello_encode(&hello, &body);
    host_says(bed, MSG_HELLO, 0, &body);
    msg_attempts_encode(NULL, 0, true, &body);
    host_says(bed, MSG_SYNC, 0, &body);
    msg_heartbeat_encode(&beat, &body);
    host_says(bed, MSG_HEARTBEAT, 0, &body);
    tick(bed);
}

/* ---- the graph ---- */

static void pack_id(struct buf *out, uint64_t task)
{
    char id[32];
    snprintf(id, sizeof(id), "task-%llu", (unsigned long long)task);
    pack_cstr(out, id);
}

static void encode_graph(uint64_t tasks, struct buf *out)
{
    pack_map(out, 1);
    pack_key(out, "processes");
    pack_array(out, 1);
    pack_map(out, 2);
    pack_key(out, "id");
    pack_cstr(out, "graph");
    pack_key(out, "workers");
    pack_array(out, tasks);
    for (uint64_t i = 0; i < tasks; i++) {
        bool is_first = i < LAYER;
        pack_map(out, is_first ? 2 : 3);
        pack_key(out, "id");
        pack_id(out, i);
        pack_key(out, "run");
        pack_cstr(out, "sim.noop");
        if (is_first)
            continue;
        uint64_t before = i / LAYER * LAYER - LAYER;
        pack_key(out, "dependsOn");
        pack_array(out, 2);
        pack_id(out, before + i % LAYER);
        pack_id(out, before + (i + 1) % LAYER);
    }
}

static enum synk_status refused(const struct bed *bed, const char *what, struct synk_error *error)
{
    return status_fail(error, SYNK_FAILED, "%s was refused: %s", what, bed->reply_error);
}

static enum synk_status apply(struct bed *bed, struct synk_bytes document, struct synk_error *error)
{
    struct buf body = {0};
    for (size_t at = 0; at < document.size; at += CHUNK_BYTES) {
        size_t size = document.size - at < CHUNK_BYTES ? document.size - at : CHUNK_BYTES;
        buf_clear(&body);
        pack_map(&body, 3);
        pack_key(&body, "upload");
        pack_cstr(&body, "graph");
        pack_key(&body, "offset");
        pack_uint(&body, at);
        pack_key(&body, "data");
        pack_binary(&body, bytes_of((const char *)document.data + at, size));
        client_says(bed, MSG_UPLOAD, &body);
        tick(bed);
    }
    buf_clear(&body);
    pack_map(&body, 1);
    pack_key(&body, "upload");
    pack_cstr(&body, "graph");
    client_says(bed, MSG_APPLY, &body);
    tick(bed);
    buf_fini(&body);
    return bed->reply_error[0] ? refused(bed, "apply", error) : SYNK_OK;
}

static enum synk_status start(struct bed *bed, struct synk_error *error)
{
    struct buf body = {0};
    pack_map(&body, 1);
    pack_key(&body, "unit");
    pack_cstr(&body, "graph");
    client_says(bed, MSG_RUN, &body);
    tick(bed);
    buf_fini(&body);
    return bed->reply_error[0] ? refused(bed, "run", error) : SYNK_OK;
}

static enum synk_status run_until(struct bed *bed, uint64_t finished, struct synk_error *error)
{
    while (bed->item_count && engine_counts(bed->engine).tasks_finished < finished)
        report(bed);
    uint64_t ended = engine_counts(bed->engine).tasks_finished;
    return ended >= finished ? SYNK_OK
                             : status_fail(error, SYNK_FAILED, "only %llu of %llu tasks ended",
                                           (unsigned long long)ended, (unsigned long long)finished);
}

/* ---- measuring ---- */

/* What of apply is the document's: each part once more, by itself. */
static enum synk_status measure_document(struct synk_bytes document, struct figures *figures,
                                         struct synk_error *error)
{
    struct expression *expression = expression_new();
    struct expression_checker checker = expression_checker(expression);
    struct definition_set set = {0};
    struct arena arena = {0};
    struct node root;
    double start = bench_now_s();
    enum synk_status status = check_value(document, &definition_limits, error);
    figures->check_s = bench_now_s() - start;
    start = bench_now_s();
    if (!status)
        status = definition_node_decode(document, &arena, &root, error);
    figures->decode_s = bench_now_s() - start;
    start = bench_now_s();
    if (!status)
        status = definition_validate(&root, NULL, NULL, &checker, &set, error);
    figures->validate_s = bench_now_s() - start;
    definition_set_fini(&set);
    arena_fini(&arena);
    expression_free(expression);
    return status;
}

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* Everything from the upload to the end of the run. */
static enum synk_status measure_run(struct synk_bytes document, uint64_t tasks,
                                    struct figures *figures, struct synk_error *error)
{
    struct bed bed;
    bed_init(&bed);
    connect_host(&bed);
    bed_lap(&bed);
    size_t before = heap_bytes();
    enum synk_status status = apply(&bed, document, error);
    figures->apply_s = bed_lap(&bed);
    if (!status)
        status = start(&bed, error);
    figures->start_s = bed_lap(&bed);
    /* What was about to be committed is not the engine's any more. */
    effects_fini(&bed.effects);
    effects_init(&bed.effects);
    figures->bytes = ((double)heap_bytes() - (double)before) / (double)tasks;
    if (!status)
        status = run_until(&bed, tasks, error);
    figures->run_s = bed_lap(&bed);
    bed_fini(&bed);
    return status;
}

/* The records of one kind, from all batches. A run's are written more than once: the last counts.
 */
static enum synk_status load_kind(struct bed *bed, enum record_kind kind, struct synk_error *error)
{
    const struct record *last = NULL;
    for (size_t b = 0; b < bed->kept_count; b++)
        for (size_t i = 0; i < bed->kept[b].record_count; i++) {
            const struct record *record = &bed->kept[b].records[i];
            if (record->kind != kind)
                continue;
            last = record;
            if (kind != RECORD_RUN && engine_load(bed->engine, record, error))
                return error->status;
        }
    return kind == RECORD_RUN && last ? engine_load(bed->engine, last, error) : SYNK_OK;
}

static enum synk_status measure_hydration(struct synk_bytes document, uint64_t tasks,
                                          struct figures *figures, struct synk_error *error)
{
    static const enum record_kind kinds[] = {RECORD_META,   RECORD_UNIT, RECORD_DEFINITION,
                                             RECORD_WORKER, RECORD_RUN,  RECORD_TASK};
    struct bed bed;
    bed_init(&bed);
    connect_host(&bed);
    bed.keeps = true;
    enum synk_status status = apply(&bed, document, error);
    if (!status)
        status = start(&bed, error);
    if (!status)
        status = run_until(&bed, tasks / 2, error);
    bed.keeps = false;
    engine_free(bed.engine);
    new_engine(&bed);
    double begin = bench_now_s();
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds) && !status; i++)
        status = load_kind(&bed, kinds[i], error);
    struct input input = {.kind = INPUT_START, .epoch = 2};
    step(&bed, &input);
    figures->hydrate_s = bench_now_s() - begin;
    uint64_t live = engine_counts(bed.engine).live_tasks;
    if (!status && (!live || live > tasks))
        status = status_fail(error, SYNK_FAILED, "%llu tasks are left after loading",
                             (unsigned long long)live);
    bed_fini(&bed);
    return status;
}

static void print(const struct bench_options *options, const struct figures *f)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double total_s = f->apply_s + f->start_s + f->run_s;
    const char *format =
        options->json
            ? "{\"bench\": \"graph\", \"workload\": \"layers of %d, two parents each, engine "
              "alone\", \"tasks\": %llu, \"check_ms\": %.1f, \"decode_ms\": %.1f, "
              "\"validate_ms\": %.1f, \"apply_ms\": %.1f, \"start_ms\": %.1f, \"run_ms\": %.1f, "
              "\"total_ms\": %.1f, \"per_s\": %.0f, \"hydrate_ms\": %.1f, \"bytes_per_task\": "
              "%.0f, \"peak_mib\": %ld}\n"
            : "graph: layers of %d, two parents each, engine alone: %llu tasks; check %.1f ms, "
              "decode %.1f ms, validate %.1f ms, all of apply %.1f ms; start %.1f ms; run %.1f ms; "
              "from apply to end %.1f ms, %.0f tasks/s; half of it loaded from records %.1f ms; "
              "%.0f bytes a task, at most %ld MiB\n";
    printf(format, LAYER, (unsigned long long)options->tasks, f->check_s * 1e3, f->decode_s * 1e3,
           f->validate_s * 1e3, f->apply_s * 1e3, f->start_s * 1e3, f->run_s * 1e3, total_s * 1e3,
           (double)options->tasks / total_s, f->hydrate_s * 1e3, f->bytes, usage.ru_maxrss / 1024);
}

enum synk_status bench_graph(const struct bench_options *options, struct synk_error *error)
{
    struct figures figures = {0};
    struct buf document = {0};
    encode_graph(options->tasks, &document);
    enum synk_status status = measure_document(buf_bytes(&document), &figures, error);
    if (!status)
        status = measure_run(buf_bytes(&document), options->tasks, &figures, error);
    if (!status)
        status = measure_hydration(buf_bytes(&document), options->tasks, &figures, error);
    if (!status)
        print(options, &figures);
    buf_fini(&document);
    return status;
}
