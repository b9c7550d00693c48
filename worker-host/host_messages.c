/*
 * Messages from the supervisor. Invariants: nothing is dispatched to us before our sync ended; an
 * epoch never goes back, and what comes with an older one is given back unheeded.
 */
#include "worker-host/host_messages.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/limits.h"

/* After a leader was followed, and another one is told at once. */
enum { FOLLOW_AGAIN_MS = 1000 };

void host_say_hello(struct host *host, int64_t now_ms, struct host_effects *effects)
{
    const struct host_config *config = &host->config;
    struct msg_hello hello = {
        .name = bytes_str(host->name),
        .instance = config->instance,
        .home = config->home,
        .slots = config->slots,
        .pid = config->pid,
        .version = bytes_str(host->version),
        .functions = config->functions,
        .function_count = config->function_count,
        .tags = config->tags,
        .tag_count = config->tag_count,
        .refused = config->refused,
        .refused_count = config->refused_count,
    };
    size_t offset = effects->bytes.size;
    msg_hello_encode(&hello, &effects->bytes);
    effect_send(host, effects, MSG_HELLO, 0, offset);
    if (host->link == LINK_WELCOME)
        host->lost_ms = now_ms;
    host->link = LINK_HELLO;
    host->link_ms = host->heard_ms = now_ms;
}

static enum synk_status welcome(struct host *host, const struct host_input *input,
                                struct host_effects *effects, struct synk_error *error)
{
    struct msg_welcome terms;
    enum synk_status status = msg_welcome_decode(input->body, &terms, error);
    if (status)
        return status;
    if (host->link != LINK_HELLO)
        return SYNK_OK; /* an answer to a hello that was said twice */
    host->heartbeat_ms = terms.heartbeat_ms ? terms.heartbeat_ms : 1000;
    host->silence_ms = terms.silence_ms ? terms.silence_ms : 10000;
    host->link = LINK_WELCOME;
    host->epoch = input->header.epoch;
    host->tries = 0;
    host->heartbeat_due_ms = input->now_ms;
    if (!host->config.leaves && !host->stopping)
        host->draining = false;
    for (struct host_attempt *attempt = host->queue.first; attempt; attempt = attempt->next)
        notice_add(host, &(struct msg_attempt){.id = attempt->id, .phase = PHASE_QUEUED});
    for (uint32_t i = 0; i < host->slot_count; i++) {
        struct slot *slot = &host->slots[i];
        for (struct host_attempt *attempt = slot->given.first; attempt; attempt = attempt->next) {
            bool runs = attempt == slot->given.first && slot->started_ms;
            notice_add(host, &(struct msg_attempt){.id = attempt->id,
                                                   .phase = runs ? PHASE_RUNNING : PHASE_QUEUED,
                                                   .at = runs ? slot->started_at : 0});
            slot->told_started |= runs;
        }
    }
    notices_send(host, MSG_SYNC, effects);
    outbox_rewind(&host->outbox);
    host->outbox.progress_ms = input->now_ms;
    return SYNK_OK;
}

static enum synk_status refuse(struct host *host, const struct host_input *input,
                               struct host_effects *effects, struct synk_error *error)
{
    struct synk_document *document = NULL;
    enum synk_status status = synk_document_decode(input->body, &document, error);
    if (status)
        return status;
    const struct synk_value *root = synk_document_root(document);
    struct synk_bytes text = synk_value_bytes(synk_value_get(root, "text"));
    struct synk_bytes leader = synk_value_bytes(synk_value_get(root, "leader"));
    effect_text(effects, HOST_LOG, "level=warn event=refused text=\"%.*s\" leader=\"%.*s\"",
                (int)(text.size < 256 ? text.size : 256), text.data ? (const char *)text.data : "",
                (int)(leader.size < 256 ? leader.size : 256),
                leader.data ? (const char *)leader.data : "");
    bool is_told = leader.size && leader.size < sizeof(host->leader);
    /* Two that point at each other are not asked as fast as the network allows. */
    bool is_again = host->followed_ms && input->now_ms - host->followed_ms < FOLLOW_AGAIN_MS;
    if (is_told) {
        memcpy(host->leader, leader.data, leader.size);
        host->leader[leader.size] = '\0';
        host->followed_ms = input->now_ms;
    }
    if (is_told && !is_again) {
        effect_text(effects, HOST_RECONNECT, "%s", host->leader);
        host->leader[0] = '\0';
        host_say_hello(host, input->now_ms, effects);
    } else {
        if (host->link == LINK_WELCOME)
            host->lost_ms = input->now_ms;
        host->link = LINK_WAIT;
        host->random = host->random * 6364136223846793005u + 1442695040888963407u;
        host->link_due_ms = input->now_ms + 1000 + (int64_t)(host->random >> 33) % 2000;
    }
    synk_document_free(document);
    return SYNK_OK;
}

/* Why a task cannot be run, or NULL. */
static const char *task_problem(const struct host *host, const struct delivery *delivery,
                                const struct msg_task *task, size_t *ret_bytes, char *text,
                                size_t text_size)
{
    const struct msg_spec *spec = &delivery->dispatch.specs[task->spec];
    size_t bytes =
        128 + spec->unit.size + spec->function.size + task->worker.size; /* and the frame's head */
    size_t inputs = 0;
    for (size_t i = 0; i < task->input_count; i++) {
        struct synk_bytes value = delivery->values[task->inputs[i].value];
        inputs += value.size;
        bytes += value.size + task->inputs[i].name.size + 8;
    }
    size_t params = task->params.size ? task->params.size : spec->params.size;
    *ret_bytes = bytes + spec->payload.size + params;
    if (inputs > LIMIT_INPUTS_BYTES)
        snprintf(text, text_size, "the inputs have %zu bytes together; the limit is %d", inputs,
                 LIMIT_INPUTS_BYTES);
    else if (spec->payload.size > LIMIT_VALUE_BYTES || params > LIMIT_VALUE_BYTES)
        snprintf(text, text_size, "payload and params have %zu and %zu bytes; the limit is %d each",
                 spec->payload.size, params, LIMIT_VALUE_BYTES);
    else if (*ret_bytes > host->config.task_bytes)
        snprintf(text, text_size, "the task has %zu bytes; the limit is %zu", *ret_bytes,
                 host->config.task_bytes);
    else
        return NULL;
    return text;
}

static bool is_whole(const struct delivery *delivery)
{
    for (size_t i = 0; i < delivery->dispatch.task_count; i++) {
        const struct msg_task *task = &delivery->dispatch.tasks[i];
        if (task->spec >= delivery->dispatch.spec_count)
            return false;
        for (size_t j = 0; j < task->input_count; j++)
            if (task->inputs[j].value >= delivery->value_count)
                return false;
    }
    return true;
}

static void accept(struct host *host, struct delivery *delivery, const struct msg_task *task,
                   int64_t now_ms)
{
    if (attempt_find(host, task->id))
        return; /* a repeat: it is here, or its result is on the way */
    char text[160];
    size_t bytes;
    const char *problem = task_problem(host, delivery, task, &bytes, text, sizeof(text));
    struct host_attempt *attempt = attempt_add(host, task->id);
    if (problem) {
        struct msg_report report = {.outcome = OUTCOME_FAILED,
                                    .exit_status = -1,
                                    .user_us = -1,
                                    .system_us = -1,
                                    .max_rss_kib = -1,
                                    .error = bytes_str(problem)};
        attempt_report(host, attempt, &report, now_ms);
        return;
    }
    attempt->delivery = delivery;
    delivery->references++;
    attempt->spec = &delivery->dispatch.specs[task->spec];
    attempt->task = task;
    attempt->bytes = bytes;
    attempt_list_append(&host->queue, attempt);
}

static enum synk_status dispatch(struct host *host, const struct host_input *input,
                                 struct host_effects *effects, struct synk_error *error)
{
    struct delivery *delivery = mem_zalloc(1, sizeof(*delivery));
    delivery->references = 1;
    struct synk_bytes body = arena_copy(&delivery->arena, input->body);
    struct synk_bytes values = arena_copy(&delivery->arena, input->values);
    enum synk_status status =
        msg_dispatch_decode(body, &delivery->arena, &delivery->dispatch, error);
    if (!status && values.size)
        status = msg_values_decode(values, &delivery->arena, &delivery->values,
                                   &delivery->value_count, error);
    if (!status && !is_whole(delivery))
        status = status_fail(error, SYNK_PROTOCOL, "dispatch: an index is out of range");
    const char *reason = NULL;
    if (host->draining || host->stopping)
        reason = "draining";
    if (input->header.epoch < host->epoch)
        reason = "of an older epoch";
    for (size_t i = 0; !status && i < delivery->dispatch.task_count; i++) {
        const struct msg_task *task = &delivery->dispatch.tasks[i];
        if (!reason)
            accept(host, delivery, task, input->now_ms);
        else if (!attempt_find(host, task->id))
            notice_add(host, &(struct msg_attempt){.id = task->id, .reason = bytes_str(reason)});
    }
    notices_send(host, MSG_REJECT, effects);
    delivery_unref(delivery);
    return status;
}

static enum synk_status acknowledged(struct host *host, const struct host_input *input,
                                     struct synk_error *error)
{
    uint64_t upto;
    enum synk_status status = msg_ack_decode(input->body, &upto, error);
    if (status)
        return status;
    if (upto > host->outbox.sent)
        return status_fail(error, SYNK_PROTOCOL, "ack of %llu, but %llu is the last that was sent",
                           (unsigned long long)upto, (unsigned long long)host->outbox.sent);
    outbox_acknowledge(&host->outbox, upto);
    attempts_acknowledged(host, upto);
    host->outbox.progress_ms = input->now_ms;
    return SYNK_OK;
}

/* Takes an attempt that did not begin out of the queue; the caller reports or rejects it. */
static void withdraw(struct host *host, const struct msg_attempt *named, enum attempt_mark mark,
                     int64_t now_ms, struct host_effects *effects)
{
    struct host_attempt *attempt = attempt_find(host, named->id);
    if (!attempt || attempt->state == ATTEMPT_REPORTED || attempt->state == ATTEMPT_DONE)
        return;
    size_t size = named->reason.size < REASON_BYTES - 1 ? named->reason.size : REASON_BYTES - 1;
    if (mark == MARK_CANCEL && size)
        memcpy(attempt->reason, named->reason.data, size);
    while (size && (attempt->reason[size] & 0xc0) == 0x80)
        attempt->reason[size--] = '\0'; /* not in the middle of a character */
    if (attempt->mark != MARK_CANCEL)
        attempt->mark = mark;
    if (attempt->state == ATTEMPT_GIVEN) {
        effect_add(effects, HOST_RECLAIM)->slot = attempt->slot;
        return;
    }
    attempt_list_remove(&host->queue, attempt);
    if (mark == MARK_RECALL) {
        notice_add(host, &(struct msg_attempt){.id = attempt->id, .reason = bytes_str("recalled")});
        attempt_drop(host, attempt);
        return;
    }
    char text[REASON_BYTES + 16];
    snprintf(text, sizeof(text), "cancelled%s%s", attempt->reason[0] ? ": " : "", attempt->reason);
    struct msg_report report = {.outcome = OUTCOME_CANCELLED,
                                .exit_status = -1,
                                .user_us = -1,
                                .system_us = -1,
                                .max_rss_kib = -1,
                                .error = bytes_str(text)};
    attempt_report(host, attempt, &report, now_ms);
}

static enum synk_status withdraw_all(struct host *host, const struct host_input *input,
                                     enum attempt_mark mark, struct host_effects *effects,
                                     struct synk_error *error)
{
    struct msg_attempt *items;
    size_t count;
    bool last;
    enum synk_status status =
        msg_attempts_decode(input->body, &host->scratch, &items, &count, &last, error);
    for (size_t i = 0; !status && i < count && input->header.epoch >= host->epoch; i++)
        withdraw(host, &items[i], mark, input->now_ms, effects);
    notices_send(host, MSG_REJECT, effects);
    arena_clear(&host->scratch);
    return status;
}

void host_drain(struct host *host, int64_t now_ms, struct host_effects *effects)
{
    (void)now_ms;
    host->draining = true;
    while (host->queue.first) {
        struct host_attempt *attempt = host->queue.first;
        attempt_list_remove(&host->queue, attempt);
        notice_add(host, &(struct msg_attempt){.id = attempt->id, .reason = bytes_str("draining")});
        attempt_drop(host, attempt);
    }
    notices_send(host, MSG_REJECT, effects);
    for (uint32_t i = 0; i < host->slot_count; i++)
        if (host->slots[i].given.count)
            effect_add(effects, HOST_RECLAIM)->slot = i;
}

static enum synk_status resize(struct host *host, const struct host_input *input,
                               struct host_effects *effects, struct synk_error *error)
{
    struct synk_document *document = NULL;
    enum synk_status status = synk_document_decode(input->body, &document, error);
    if (status)
        return status;
    int64_t slots = synk_value_int(synk_value_get(synk_document_root(document), "slots"), 0);
    synk_document_free(document);
    if (slots < 1 || slots > LIMIT_HOST_SLOTS)
        return status_fail(error, SYNK_PROTOCOL, "resize to %lld slots", (long long)slots);
    slots_resize(host, (uint32_t)slots, effects);
    effect_text(effects, HOST_LOG, "level=info event=resized slots=%u", host->config.slots);
    return SYNK_OK;
}

static enum synk_status read_log(struct host *host, const struct host_input *input,
                                 struct host_effects *effects, struct synk_error *error)
{
    struct msg_log log;
    enum synk_status status = msg_log_decode(input->body, &log, error);
    if (status)
        return status;
    struct host_effect *effect = effect_add(effects, HOST_READ_LOG);
    effect->header = input->header;
    effect->log = (struct msg_log){.request = log.request,
                                   .run = log.run,
                                   .task = log.task,
                                   .attempt = log.attempt,
                                   .offset = log.offset,
                                   .max_bytes = log.max_bytes};
    for (uint32_t i = 0; i < host->slot_count; i++) {
        const struct host_attempt *attempt = host->slots[i].given.first;
        if (attempt && attempt->id.run == log.run && attempt->id.task == log.task &&
            (log.attempt == 0 || attempt->id.attempt == log.attempt)) {
            effect->running = true;
            effect->slot = i;
            effect->log.attempt = attempt->id.attempt;
        }
    }
    return SYNK_OK;
}

void host_message(struct host *host, const struct host_input *input, struct host_effects *effects)
{
    struct synk_error error = {0};
    enum synk_status status = SYNK_OK;
    host->heard_ms = input->now_ms;
    /* A session's messages mean nothing before it was agreed on. */
    bool in_session = host->link == LINK_WELCOME;
    switch (input->header.type) {
    case MSG_WELCOME:
        status = welcome(host, input, effects, &error);
        break;
    case MSG_REFUSE:
        status = refuse(host, input, effects, &error);
        break;
    case MSG_WHO:
        host_say_hello(host, input->now_ms, effects);
        break;
    case MSG_DISPATCH:
        if (in_session)
            status = dispatch(host, input, effects, &error);
        break;
    case MSG_ACK:
        if (in_session)
            status = acknowledged(host, input, &error);
        break;
    case MSG_CANCEL_ATTEMPT:
        if (in_session)
            status = withdraw_all(host, input, MARK_CANCEL, effects, &error);
        break;
    case MSG_RECALL:
        if (in_session)
            status = withdraw_all(host, input, MARK_RECALL, effects, &error);
        break;
    case MSG_DRAIN:
        if (in_session && input->header.epoch >= host->epoch)
            host_drain(host, input->now_ms, effects);
        break;
    case MSG_RESIZE_HOST:
        if (in_session && input->header.epoch >= host->epoch)
            status = resize(host, input, effects, &error);
        break;
    case MSG_LOG_READ:
        if (in_session)
            status = read_log(host, input, effects, &error);
        break;
    case MSG_ALIVE:
        break;
    default:
        status = status_fail(&error, SYNK_UNSUPPORTED, "message type %u", input->header.type);
    }
    if (status) {
        host->refused_messages++;
        effect_text(effects, HOST_LOG, "level=warn event=bad-message text=\"%s\"", error.text);
    }
}
