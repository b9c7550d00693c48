/*
 * What tests of the engine share: an engine with the real evaluator, hosts and clients made of
 * messages, and a table of the records that were committed, from which a fresh engine can be
 * loaded. Header-only: each test program is one file.
 */
#ifndef TESTS_SUPPORT_ENGINE_FIXTURE_H
#define TESTS_SUPPORT_ENGINE_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>

#include "proto/json.h"
#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/engine.h"
#include "supervisor/core/states.h"
#include "tests/support/unit.h"

struct stored {
    struct record record;
    struct arena arena;
};
/* One dispatched task, as a host saw it. */
struct seen_task {
    uint32_t peer;
    struct attempt_id id;
    char worker[64], function[64];
    char *payload, *params; /* JSON */
    size_t inputs;
};
struct seen_reply {
    uint32_t peer;
    uint64_t sequence;
    uint16_t type;
    char *json;
};
struct fixture {
    struct engine *engine;
    struct engine_config config;
    struct expression *expression;
    struct evaluator evaluator;
    struct expression_checker checker;
    const struct calendar *calendar; /* NULL = UTC alone */
    struct effects effects;
    int64_t now, wall;
    uint32_t epoch;
    uint64_t last_event, sequence;
    uint64_t report_sequence[64]; /* by peer */
    struct stored *stored;
    size_t stored_count, stored_capacity;
    struct seen_task *tasks;
    size_t task_count, task_capacity;
    struct seen_reply *replies;
    size_t reply_count, reply_capacity;
    struct attempt_id *cancels;
    size_t cancel_count, cancel_capacity;
    struct attempt_id recalls[64]; /* the first ones */
    uint32_t recall_peer;          /* of the last one */
    size_t recall_count, refuse_count;
    bool is_remote;     /* messages come over the network */
    enum role role;     /* of clients and hosts; fixture_init: admin */
    bool is_draining;   /* heartbeats say so */
    uint64_t home;      /* of hellos */
    struct query query; /* the last one; bytes gone */
    size_t query_count;
    unsigned spawns, exits, whos;
    uint64_t acked[64];
    struct buf text; /* effects_print of everything */
    char **events;   /* JSON */
    size_t event_count, event_capacity;
};

static struct synk_bytes fixture_json(const char *json, struct buf *out)
{
    struct synk_builder *builder = synk_builder_new();
    struct synk_error error = {0};
    if (synk_builder_json(builder, json, strlen(json), &error)) {
        fprintf(stderr, "bad test JSON: %s: %s\n", error.text, json);
        abort();
    }
    struct synk_bytes bytes = synk_builder_bytes(builder);
    buf_append(out, bytes.data, bytes.size);
    synk_builder_free(builder);
    return buf_bytes(out);
}

static char *fixture_to_json(struct synk_bytes bytes)
{
    if (!bytes.size)
        return strdup("null");
    struct synk_document *document = NULL;
    struct synk_error error = {0};
    if (synk_document_decode(bytes, &document, &error)) {
        fprintf(stderr, "does not decode: %s\n", error.text);
        abort();
    }
    char *json = synk_value_json_dup(synk_document_root(document));
    synk_document_free(document);
    return json;
}

/* ---- the store ---- */

static bool fixture_same_key(const struct record *a, const struct record *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case RECORD_META:
        return bytes_equal(a->meta.name, b->meta.name);
    case RECORD_UNIT:
        return bytes_equal(a->unit.id, b->unit.id);
    case RECORD_DEFINITION:
        return bytes_equal(a->definition.unit, b->definition.unit) &&
               a->definition.version == b->definition.version;
    case RECORD_WORKER:
        return bytes_equal(a->worker.unit, b->worker.unit) &&
               a->worker.version == b->worker.version && a->worker.index == b->worker.index;
    case RECORD_HOST:
        return bytes_equal(a->host.name, b->host.name);
    case RECORD_KEY:
        return bytes_equal(a->key.key, b->key.key);
    case RECORD_RUN:
        return a->run.run == b->run.run;
    case RECORD_TASK:
        return a->task.run == b->task.run && a->task.task == b->task.task;
    case RECORD_ATTEMPT:
        return a->attempt.run == b->attempt.run && a->attempt.task == b->attempt.task &&
               a->attempt.attempt == b->attempt.attempt;
    }
    return false;
}

static void fixture_own(struct stored *stored, const struct record *record)
{
    stored->record = *record;
    struct record *r = &stored->record;
    struct synk_bytes *list[8] = {0};
    size_t n = 0;
    switch (r->kind) {
    case RECORD_META:
        list[n++] = &r->meta.name;
        list[n++] = &r->meta.value;
        break;
    case RECORD_UNIT:
        list[n++] = &r->unit.id;
        list[n++] = &r->unit.execution;
        list[n++] = &r->unit.overlay;
        break;
    case RECORD_DEFINITION:
        list[n++] = &r->definition.unit;
        list[n++] = &r->definition.header;
        break;
    case RECORD_WORKER:
        list[n++] = &r->worker.unit;
        list[n++] = &r->worker.body;
        break;
    case RECORD_HOST:
        list[n++] = &r->host.name;
        break;
    case RECORD_KEY:
        list[n++] = &r->key.key;
        list[n++] = &r->key.reply;
        break;
    case RECORD_RUN:
        list[n++] = &r->run.unit;
        list[n++] = &r->run.worker;
        list[n++] = &r->run.by;
        list[n++] = &r->run.params;
        list[n++] = &r->run.spec;
        list[n++] = &r->run.error;
        list[n++] = &r->run.name;
        break;
    case RECORD_TASK:
        list[n++] = &r->task.worker;
        list[n++] = &r->task.host;
        list[n++] = &r->task.result;
        list[n++] = &r->task.error;
        list[n++] = &r->task.reason;
        break;
    case RECORD_ATTEMPT:
        list[n++] = &r->attempt.host;
        list[n++] = &r->attempt.error;
        break;
    }
    for (size_t i = 0; i < n; i++)
        if (list[i]->size)
            *list[i] = arena_copy(&stored->arena, *list[i]);
}

static void fixture_store(struct fixture *f, const struct record *record)
{
    for (size_t i = 0; i < f->stored_count;) {
        const struct record *old = &f->stored[i].record;
        bool goes = fixture_same_key(old, record);
        if (record->remove && record->kind == RECORD_RUN)
            goes |= (old->kind == RECORD_TASK && old->task.run == record->run.run) ||
                    (old->kind == RECORD_ATTEMPT && old->attempt.run == record->run.run);
        if (record->remove && record->kind == RECORD_DEFINITION)
            goes |= old->kind == RECORD_WORKER &&
                    bytes_equal(old->worker.unit, record->definition.unit) &&
                    old->worker.version == record->definition.version;
        if (!goes) {
            i++;
            continue;
        }
        arena_fini(&f->stored[i].arena);
        memmove(&f->stored[i], &f->stored[i + 1], (f->stored_count - i - 1) * sizeof(*f->stored));
        f->stored_count--;
    }
    if (record->remove)
        return;
    f->stored = mem_grow(f->stored, &f->stored_capacity, f->stored_count + 1, sizeof(*f->stored));
    struct stored *stored = &f->stored[f->stored_count++];
    memset(stored, 0, sizeof(*stored));
    fixture_own(stored, record);
}

static const struct task_record *fixture_task(const struct fixture *f, uint64_t run,
                                              const char *worker)
{
    for (size_t i = 0; i < f->stored_count; i++) {
        const struct record *r = &f->stored[i].record;
        if (r->kind == RECORD_TASK && r->task.run == run &&
            bytes_equal(r->task.worker, bytes_str(worker)))
            return &r->task;
    }
    return NULL;
}

/* "succeeded", …, "none" without a record. */
static const char *fixture_state(const struct fixture *f, uint64_t run, const char *worker)
{
    const struct task_record *task = fixture_task(f, run, worker);
    return task ? task_state_name(task->state) : "none";
}

static const struct run_record *fixture_run(const struct fixture *f, uint64_t run)
{
    for (size_t i = 0; i < f->stored_count; i++)
        if (f->stored[i].record.kind == RECORD_RUN && f->stored[i].record.run.run == run)
            return &f->stored[i].record.run;
    return NULL;
}

static const char *fixture_run_status(const struct fixture *f, uint64_t run)
{
    const struct run_record *record = fixture_run(f, run);
    return record ? run_status_name(record->status) : "none";
}

static const struct unit_record *fixture_unit(const struct fixture *f, const char *id)
{
    for (size_t i = 0; i < f->stored_count; i++)
        if (f->stored[i].record.kind == RECORD_UNIT &&
            bytes_equal(f->stored[i].record.unit.id, bytes_str(id)))
            return &f->stored[i].record.unit;
    return NULL;
}

/* ---- taking effects in ---- */

static void fixture_take_dispatch(struct fixture *f, const struct send *send,
                                  struct synk_bytes body)
{
    struct arena arena = {0};
    struct msg_dispatch dispatch;
    struct synk_error error = {0};
    if (msg_dispatch_decode(body, &arena, &dispatch, &error)) {
        fprintf(stderr, "dispatch: %s\n", error.text);
        abort();
    }
    for (size_t i = 0; i < dispatch.task_count; i++) {
        const struct msg_task *task = &dispatch.tasks[i];
        const struct msg_spec *spec = &dispatch.specs[task->spec];
        f->tasks = mem_grow(f->tasks, &f->task_capacity, f->task_count + 1, sizeof(*f->tasks));
        struct seen_task *seen = &f->tasks[f->task_count++];
        memset(seen, 0, sizeof(*seen));
        seen->peer = send->peer;
        seen->id = task->id;
        snprintf(seen->worker, sizeof(seen->worker), "%.*s", (int)task->worker.size,
                 task->worker.size ? (const char *)task->worker.data : "");
        snprintf(seen->function, sizeof(seen->function), "%.*s", (int)spec->function.size,
                 (const char *)spec->function.data);
        seen->payload = fixture_to_json(spec->payload);
        seen->params = fixture_to_json(task->params.size ? task->params : spec->params);
        seen->inputs = task->input_count;
        for (size_t n = 0; n < task->input_count; n++)
            if (task->inputs[n].value >= send->ref_count)
                abort();
    }
    arena_fini(&arena);
}

static void fixture_take_send(struct fixture *f, const struct send *send)
{
    struct synk_bytes body = bytes_of(f->effects.bodies.data + send->body_offset, send->body_size);
    struct arena arena = {0};
    if (send->socket == SOCKET_CLIENTS) {
        f->replies =
            mem_grow(f->replies, &f->reply_capacity, f->reply_count + 1, sizeof(*f->replies));
        f->replies[f->reply_count++] = (struct seen_reply){
            send->peer, send->header.sequence, send->header.type, fixture_to_json(body)};
    } else if (send->header.type == MSG_DISPATCH) {
        fixture_take_dispatch(f, send, body);
    } else if (send->header.type == MSG_CANCEL_ATTEMPT) {
        struct msg_attempt *attempts;
        size_t count;
        bool last;
        if (msg_attempts_decode(body, &arena, &attempts, &count, &last, NULL))
            abort();
        for (size_t i = 0; i < count; i++) {
            f->cancels =
                mem_grow(f->cancels, &f->cancel_capacity, f->cancel_count + 1, sizeof(*f->cancels));
            f->cancels[f->cancel_count++] = attempts[i].id;
        }
    } else if (send->header.type == MSG_RECALL) {
        struct msg_attempt *attempts;
        size_t count;
        bool last;
        if (msg_attempts_decode(body, &arena, &attempts, &count, &last, NULL))
            abort();
        for (size_t i = 0; i < count; i++, f->recall_count++)
            if (f->recall_count < 64)
                f->recalls[f->recall_count] = attempts[i].id;
        f->recall_peer = send->peer;
    } else if (send->header.type == MSG_REFUSE) {
        f->refuse_count++;
    } else if (send->header.type == MSG_ACK && send->peer < 64) {
        msg_ack_decode(body, &f->acked[send->peer], NULL);
    } else if (send->header.type == MSG_WHO) {
        f->whos++;
    }
    arena_fini(&arena);
}

static void fixture_take_events(struct fixture *f)
{
    const struct batch *batch = &f->effects.batch;
    if (!batch->event_count)
        return;
    CU_ASSERT_EQUAL(batch->first_event, f->last_event + 1);
    struct buf array = {0};
    pack_array(&array, batch->event_count);
    buf_append(&array, batch->events.data, batch->events.size);
    struct synk_document *document = NULL;
    if (synk_document_decode(buf_bytes(&array), &document, NULL))
        abort();
    const struct synk_value *root = synk_document_root(document);
    for (size_t i = 0; i < batch->event_count; i++) {
        const struct synk_value *event = synk_value_at(root, i);
        CU_ASSERT_EQUAL(synk_value_int(synk_value_get(event, "seq"), 0),
                        (int64_t)(++f->last_event));
        f->events = mem_grow(f->events, &f->event_capacity, f->event_count + 1, sizeof(*f->events));
        f->events[f->event_count++] = synk_value_json_dup(event);
    }
    size_t in_topics = 0;
    for (size_t i = 0; i < batch->topic_count; i++)
        in_topics += batch->topics[i].count;
    CU_ASSERT_EQUAL(in_topics, batch->event_count);
    synk_document_free(document);
    buf_fini(&array);
}

/* Ends the tick: flush, commit, release. */
static void fixture_tick(struct fixture *f)
{
    engine_flush(f->engine, f->now, f->wall, &f->effects);
    engine_check(f->engine);
    effects_print(&f->effects, &f->text);
    for (size_t i = 0; i < f->effects.batch.record_count; i++)
        fixture_store(f, &f->effects.batch.records[i]);
    fixture_take_events(f);
    for (size_t i = 0; i < f->effects.urgent_count; i++)
        fixture_take_send(f, &f->effects.urgent[i]);
    for (size_t i = 0; i < f->effects.send_count; i++)
        fixture_take_send(f, &f->effects.sends[i]);
    for (size_t i = 0; i < f->effects.query_count; i++) {
        f->query = f->effects.queries[i];
        f->query_count++;
    }
    for (size_t i = 0; i < f->effects.order_count; i++) {
        f->spawns += f->effects.orders[i].kind == ORDER_SPAWN_HOST;
        f->exits += f->effects.orders[i].kind == ORDER_EXIT;
    }
    effects_clear(&f->effects);
}

static void fixture_input(struct fixture *f, struct input input)
{
    input.now_ms = f->now;
    input.wall_ms = f->wall;
    engine_step(f->engine, &input, &f->effects);
    fixture_tick(f);
}

/* ---- life ---- */

static void fixture_boot(struct fixture *f)
{
    f->engine = engine_new(&f->config, &f->evaluator, &f->checker, f->calendar);
    for (int kind = 0; kind <= RECORD_ATTEMPT; kind++)
        for (size_t i = 0; i < f->stored_count; i++)
            if ((int)f->stored[i].record.kind == kind)
                CU_ASSERT_EQUAL(engine_load(f->engine, &f->stored[i].record, NULL), SYNK_OK);
    fixture_input(
        f, (struct input){.kind = INPUT_START, .epoch = ++f->epoch, .last_event = f->last_event});
}

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    engine_config_defaults(&f->config);
    f->role = ROLE_ADMIN;
    f->expression = expression_new();
    f->evaluator = expression_evaluator(f->expression);
    f->checker = expression_checker(f->expression);
    effects_init(&f->effects);
    f->now = 1000;
    f->wall = 1700000000000;
    fixture_boot(f);
}

static void fixture_forget_tasks(struct fixture *f)
{
    for (size_t i = 0; i < f->task_count; i++) {
        free(f->tasks[i].payload);
        free(f->tasks[i].params);
    }
    f->task_count = 0;
}

static void fixture_fini(struct fixture *f)
{
    engine_free(f->engine);
    effects_fini(&f->effects);
    expression_free(f->expression);
    fixture_forget_tasks(f);
    for (size_t i = 0; i < f->stored_count; i++)
        arena_fini(&f->stored[i].arena);
    for (size_t i = 0; i < f->reply_count; i++)
        free(f->replies[i].json);
    for (size_t i = 0; i < f->event_count; i++)
        free(f->events[i]);
    free(f->stored);
    free(f->tasks);
    free(f->replies);
    free(f->events);
    free(f->cancels);
    buf_fini(&f->text);
}

/* The supervisor is killed and started again from what was committed. */
static void fixture_crash(struct fixture *f)
{
    engine_free(f->engine);
    effects_clear(&f->effects);
    f->now = 5; /* another boot: the monotonic clock starts anew */
    f->wall += 1000;
    fixture_boot(f);
}

/* Lets time pass, firing every timer at its time. */
/* Answers the engine's question for a finished run from what is stored. */
static void fixture_load_run(struct fixture *f)
{
    CU_ASSERT_EQUAL_FATAL(f->query.kind, QUERY_LOAD_RUN);
    struct record records[16];
    size_t count = 0;
    for (size_t i = 0; i < f->stored_count && count < 16; i++)
        if (f->stored[i].record.kind == RECORD_RUN || f->stored[i].record.kind == RECORD_TASK)
            records[count++] = f->stored[i].record;
    fixture_input(f, (struct input){.kind = INPUT_RUN_LOADED,
                                    .token = f->query.token,
                                    .records = records,
                                    .record_count = count});
}

static void fixture_pass(struct fixture *f, int64_t ms)
{
    int64_t end = f->now + ms;
    for (;;) {
        int64_t due = engine_next_due(f->engine);
        int64_t next = due < f->now ? f->now : due;
        if (next > end)
            break;
        f->wall += next - f->now;
        f->now = next;
        fixture_input(f, (struct input){.kind = INPUT_TIME});
    }
    f->wall += end - f->now;
    f->now = end;
    fixture_input(f, (struct input){.kind = INPUT_TIME});
}

/* ---- clients ---- */

/* Sends a request; returns its sequence. */
static uint64_t fixture_ask(struct fixture *f, uint32_t peer, uint16_t type, const char *json)
{
    struct buf body = {0};
    fixture_json(json, &body);
    struct input input = {.kind = INPUT_CLIENT_MESSAGE,
                          .peer = peer,
                          .is_remote = f->is_remote,
                          .role = f->role,
                          .body = buf_bytes(&body)};
    input.header = (struct msg_header){.type = type, .sequence = ++f->sequence};
    fixture_input(f, input);
    buf_fini(&body);
    return f->sequence;
}

/* The JSON of the reply to a request, NULL while there is none. */
static const char *fixture_reply(const struct fixture *f, uint64_t sequence)
{
    for (size_t i = 0; i < f->reply_count; i++)
        if (f->replies[i].sequence == sequence)
            return f->replies[i].json;
    return NULL;
}

static bool fixture_reply_has(const struct fixture *f, uint64_t sequence, const char *part)
{
    const char *reply = fixture_reply(f, sequence);
    bool has = reply && strstr(reply, part);
    if (!has)
        fprintf(stderr, "  reply lacks %s: %s\n", part, reply ? reply : "(none)");
    return has;
}

static uint64_t fixture_apply(struct fixture *f, const char *document)
{
    char *json = NULL;
    if (asprintf(&json, "{\"document\":%s}", document) < 0)
        abort();
    uint64_t sequence = fixture_ask(f, 1, MSG_APPLY, json);
    free(json);
    return sequence;
}

/* Starts a run; returns its internal number, 0 when refused. */
static uint64_t fixture_start(struct fixture *f, const char *json)
{
    uint64_t sequence = fixture_ask(f, 1, MSG_RUN, json);
    const char *reply = fixture_reply(f, sequence);
    const char *id = reply ? strstr(reply, "\"id\":") : NULL;
    if (!id)
        fprintf(stderr, "  not started: %s\n", reply ? reply : "(none)");
    return id ? strtoull(id + 5, NULL, 10) : 0;
}

static size_t fixture_count_events(const struct fixture *f, const char *part)
{
    size_t count = 0;
    for (size_t i = 0; i < f->event_count; i++)
        count += strstr(f->events[i], part) != NULL;
    return count;
}

/* ---- hosts ---- */

static void fixture_host_send(struct fixture *f, uint32_t peer, uint16_t type, uint64_t sequence,
                              struct buf *body)
{
    struct input input = {.kind = INPUT_HOST_MESSAGE,
                          .peer = peer,
                          .is_remote = f->is_remote,
                          .role = f->role,
                          .body = buf_bytes(body)};
    input.header = (struct msg_header){.type = type, .epoch = f->epoch, .sequence = sequence};
    fixture_input(f, input);
    buf_fini(body);
}

static void fixture_hello(struct fixture *f, uint32_t peer, const char *name, uint64_t instance,
                          uint32_t slots)
{
    struct synk_bytes functions[] = {bytes_str("exec"), bytes_str("t.ok"), bytes_str("t.other")};
    struct msg_hello hello = {.name = bytes_str(name),
                              .instance = instance,
                              .slots = slots,
                              .pid = 100 + (int64_t)instance,
                              .version = bytes_str("1"),
                              .functions = functions,
                              .function_count = 3,
                              .home = f->home};
    struct buf body = {0};
    msg_hello_encode(&hello, &body);
    fixture_host_send(f, peer, MSG_HELLO, 0, &body);
    f->report_sequence[peer] = 0;
}

static void fixture_sync(struct fixture *f, uint32_t peer, const struct msg_attempt *attempts,
                         size_t count)
{
    struct buf body = {0};
    msg_attempts_encode(attempts, count, true, &body);
    fixture_host_send(f, peer, MSG_SYNC, 0, &body);
}

static void fixture_beat(struct fixture *f, uint32_t peer)
{
    struct msg_heartbeat beat = {.draining = f->is_draining};
    struct buf body = {0};
    msg_heartbeat_encode(&beat, &body);
    fixture_host_send(f, peer, MSG_HEARTBEAT, 0, &body);
}

/* A host that is there and has nothing. */
static void fixture_host(struct fixture *f, uint32_t peer, const char *name, uint32_t slots)
{
    fixture_hello(f, peer, name, peer, slots);
    fixture_sync(f, peer, NULL, 0);
    fixture_beat(f, peer);
}

static void fixture_report_as(struct fixture *f, uint32_t peer, uint64_t sequence,
                              struct attempt_id id, enum outcome outcome, const char *result,
                              const char *error, int32_t exit_status)
{
    struct buf value = {0}, item = {0}, body = {0};
    if (result)
        fixture_json(result, &value);
    struct msg_report report = {
        .kind = REPORT_RESULT,
        .id = id,
        .outcome = outcome,
        .started_at = f->wall,
        .ended_at = f->wall,
        .execution_us = 100,
        .exit_status = exit_status,
        .user_us = -1,
        .system_us = -1,
        .max_rss_kib = -1,
        .result = buf_bytes(&value),
        .error = bytes_str(error),
    };
    msg_report_encode(&report, &item);
    msg_reports_wrap(buf_bytes(&item), 1, &body);
    fixture_host_send(f, peer, MSG_REPORT, sequence, &body);
    buf_fini(&value);
    buf_fini(&item);
}

static void fixture_report(struct fixture *f, const struct seen_task *task, enum outcome outcome,
                           const char *result, const char *error)
{
    struct seen_task copy = *task; /* the list may move */
    fixture_report_as(f, copy.peer, ++f->report_sequence[copy.peer], copy.id, outcome, result,
                      error, outcome == OUTCOME_SUCCEEDED ? 0 : 1);
}

/* The latest dispatch of a worker, NULL when there was none since the last forget. */
static const struct seen_task *fixture_sent(const struct fixture *f, const char *worker)
{
    for (size_t i = f->task_count; i-- > 0;)
        if (strcmp(f->tasks[i].worker, worker) == 0)
            return &f->tasks[i];
    return NULL;
}

/* Ends the latest attempt of a worker. */
static bool fixture_end(struct fixture *f, const char *worker, enum outcome outcome,
                        const char *result)
{
    const struct seen_task *task = fixture_sent(f, worker);
    if (!task) {
        fprintf(stderr, "  '%s' was not dispatched\n", worker);
        return false;
    }
    fixture_report(f, task, outcome, result, outcome == OUTCOME_SUCCEEDED ? NULL : "it broke");
    return true;
}

/* Not every program uses every helper. */
static inline void fixture_unused(void)
{
    (void)fixture_task, (void)fixture_state, (void)fixture_run_status, (void)fixture_unit;
    (void)fixture_crash, (void)fixture_pass, (void)fixture_reply_has, (void)fixture_apply;
    (void)fixture_start, (void)fixture_count_events, (void)fixture_host, (void)fixture_end;
    (void)fixture_fini, (void)fixture_init, (void)fixture_load_run;
}

#endif
