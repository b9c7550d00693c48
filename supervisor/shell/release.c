/*
 * What follows a commit: events are published, messages sent, questions put to the store.
 * Invariant: a published message has at most LIMIT_PUBLISHED_BYTES of events.
 */
#include "proto/limits.h"
#include "supervisor/shell/log.h"
#include "supervisor/shell/shell.h"

static void publish_items(struct shell *shell, struct synk_bytes topic, struct msg_header header,
                          struct synk_bytes items, uint32_t count)
{
    uint8_t prefix[] = {0x81, 0xa6, 'e', 'v', 'e', 'n', 't', 's', 0xdd, 0, 0, 0, 0};
    for (int i = 0; i < 4; i++)
        prefix[9 + i] = (uint8_t)(count >> (24 - 8 * i));
    bus_publish(&shell->bus, topic, header, bytes_of(prefix, sizeof(prefix)), items);
}

/* Many or large events are not sent, only that there are some: what waits for a subscriber that
 * does not read is bounded by count, and so in bytes too. */
static void publish_topic(struct shell *shell, const struct event_topic *topic,
                          struct msg_header header)
{
    bool is_small = topic->items.size <= LIMIT_PUBLISHED_BYTES;
    publish_items(shell, topic->topic, header,
                  is_small ? buf_bytes(&topic->items) : bytes_of(NULL, 0),
                  is_small ? topic->count : 0);
}

static void publish_batch(struct shell *shell, const struct batch *batch)
{
    if (batch->event_count == 0)
        return;
    shell->last_event = batch->first_event + batch->event_count - 1;
    struct msg_header header = {
        .type = MSG_EVENTS,
        .epoch = shell->epoch,
        .sequence = shell->last_event,
    };
    for (size_t i = 0; i < batch->topic_count; i++)
        if (batch->topics[i].count > 0)
            publish_topic(shell, &batch->topics[i], header);
}

void shell_publish_head(struct shell *shell)
{
    static const uint8_t empty_map[] = {0x80};
    struct msg_header header = {
        .type = MSG_HEAD,
        .epoch = shell->epoch,
        .sequence = shell->last_event,
    };
    bus_publish(&shell->bus, bytes_str("head"), header, bytes_of(empty_map, 1), bytes_of(NULL, 0));
}

static void reply_error(struct shell *shell, const struct query *query, struct msg_header header,
                        const struct synk_error *error)
{
    struct buf body = {0};
    msg_error_encode(error, 0, &body);
    header.type = MSG_ERROR;
    bus_send(&shell->bus, SOCKET_CLIENTS, query->peer, header, buf_bytes(&body));
    buf_fini(&body);
}

static void answer_client(struct shell *shell, const struct query *query,
                          const struct store_answer *answer)
{
    struct msg_header header = {
        .type = MSG_REPLY,
        .epoch = shell->epoch,
        .sequence = query->request,
    };
    struct synk_error error;
    if (answer->status) {
        reply_error(shell, query, header, &answer->error);
    } else if (answer->body.size > LIMIT_FRAME_BYTES) {
        status_fail(
            &error, SYNK_TOO_LARGE,
            "the answer would have %zu bytes, and a message may have %d: ask for fewer rows",
            answer->body.size, LIMIT_FRAME_BYTES);
        reply_error(shell, query, header, &error);
    } else {
        bus_send(&shell->bus, SOCKET_CLIENTS, query->peer, header, answer->body);
    }
}

static void on_answer(void *context, const struct query *query, const struct store_answer *answer)
{
    struct shell *shell = context;
    shell->questions--;
    if (query->kind == QUERY_PRUNE) {
        struct input input = {
            .kind = INPUT_PRUNED,
            .token = query->token,
            .removed_runs = answer->removed_runs,
            .removed_events = answer->removed_events,
            .text = bytes_str(answer->status ? answer->error.text : ""),
        };
        shell_step(shell, &input);
        return;
    }
    if (query->kind != QUERY_LOAD_RUN) {
        answer_client(shell, query, answer);
        return;
    }
    bool is_unreadable = answer->status && answer->status != SYNK_NOT_FOUND;
    if (is_unreadable)
        log_line(LOG_WARN, "a run could not be loaded", log_int("run", (int64_t)query->run),
                 log_text("error", answer->error.text));
    struct input input = {
        .kind = INPUT_RUN_LOADED,
        .token = query->token,
        .records = answer->status ? NULL : answer->records,
        .record_count = answer->status ? 0 : answer->record_count,
        .text = bytes_str(is_unreadable ? answer->error.text : ""),
    };
    shell_step(shell, &input);
}

void shell_ask(struct shell *shell, struct effects *effects)
{
    for (size_t i = 0; i < effects->query_count; i++) {
        shell->questions++;
        store_query(shell->store, &effects->queries[i], on_answer, shell);
    }
    effects->query_count = 0;
}

void shell_release(struct shell *shell, struct tick *tick)
{
    struct effects *effects = &tick->effects;
    publish_batch(shell, &effects->batch);
    for (size_t i = 0; i < effects->send_count; i++) {
        const struct send *send = &effects->sends[i];
        struct synk_bytes body =
            bytes_of(effects->bodies.data + send->body_offset, send->body_size);
        if (send->ref_count)
            shell_send_with_inputs(shell, send, body, effects->refs + send->ref_offset);
        else
            bus_send(&shell->bus, send->socket, send->peer, send->header, body);
    }
    shell_ask(shell, effects);
}
