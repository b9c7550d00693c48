/*
 * Requests of clients: decoded, counted, looked up by key, and handed to the handler of their type.
 * Every request gets one answer: a reply, an error, or a place on somebody's list of waiters.
 */
#include "supervisor/core/requests.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/value.h"
#include "supervisor/core/drain.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/explain.h"
#include "supervisor/core/keys.h"
#include "supervisor/core/logs.h"
#include "supervisor/core/plan.h"
#include "supervisor/core/requests_apply.h"
#include "supervisor/core/requests_query.h"
#include "supervisor/core/requests_registry.h"
#include "supervisor/core/requests_retry.h"
#include "supervisor/core/requests_run.h"
#include "supervisor/core/requests_submit.h"
#include "supervisor/core/resize.h"
#include "supervisor/core/roles.h"
#include "supervisor/core/requests_time.h"
#include "supervisor/core/retention.h"
#include "supervisor/core/settings.h"
#include "supervisor/core/shutdown.h"
#include "supervisor/core/stats.h"
#include "supervisor/core/watcher.h"

enum {
    CHANGES = 1,     /* refused while the store is down; idempotency keys are heeded */
    STARTS_WORK = 2, /* refused during a shutdown */
    VIEWS = 4,       /* shows the state: answered at once while the store is down */
};

struct handler {
    void (*handle)(struct engine *engine, struct request *request);
    unsigned flags;
};
static const struct handler handlers[] = {
    [MSG_CONNECT] = {request_connect, VIEWS},
    [MSG_UPLOAD] = {request_upload, 0},
    [MSG_APPLY] = {request_apply, CHANGES | STARTS_WORK},
    [MSG_RUN] = {request_run, CHANGES | STARTS_WORK},
    [MSG_SUBMIT] = {request_submit, CHANGES | STARTS_WORK},
    [MSG_WAIT] = {request_wait, 0},
    [MSG_CANCEL] = {request_cancel, CHANGES},
    [MSG_RETRY] = {request_retry, CHANGES | STARTS_WORK},
    [MSG_PAUSE] = {request_pause, CHANGES},
    [MSG_RESUME] = {request_pause, CHANGES},
    [MSG_SHOW] = {request_show, VIEWS},
    [MSG_LIST] = {request_list, VIEWS},
    [MSG_FETCH] = {request_fetch, VIEWS},
    [MSG_EXPLAIN] = {request_explain, VIEWS},
    [MSG_PLAN] = {request_plan, VIEWS},
    [MSG_LOGS] = {request_logs, VIEWS},
    [MSG_STATS] = {request_stats, VIEWS},
    [MSG_BACKUP] = {request_backup, 0},
    [MSG_SHUTDOWN] = {request_shutdown, 0},
    [MSG_RELEASE] = {request_release, CHANGES},
    [MSG_SET] = {request_set, CHANGES},
    [MSG_SNAPSHOT] = {request_snapshot, VIEWS},
    [MSG_RESIZE] = {request_resize, CHANGES},
    [MSG_POOL_UPDATE] = {request_pool_update, CHANGES},
    [MSG_POOL_ORDER] = {request_pool_order, VIEWS},
    [MSG_MILESTONE] = {request_milestone, CHANGES},
    [MSG_TICK] = {request_tick, CHANGES | STARTS_WORK},
    [MSG_SCAN] = {request_scan, CHANGES},
    [MSG_PRUNE] = {request_prune, CHANGES},
    [MSG_DRAIN_HOST] = {request_drain, CHANGES},
};
enum { HANDLERS = sizeof(handlers) / sizeof(handlers[0]) };

/* ---- peers and waiters ---- */

static struct peer *peer_of(struct engine *engine, uint32_t id)
{
    return index_find(&engine->peers_by_id, index_number(id), NULL, NULL);
}

static struct peer *peer_for(struct engine *engine, uint32_t id)
{
    struct peer *peer = peer_of(engine, id);
    if (peer || engine->peers_by_id.count >= LIMIT_PEERS)
        return peer;
    peer = mem_zalloc(1, sizeof(*peer));
    peer->id = id;
    index_put(&engine->peers_by_id, index_number(id), peer);
    engine->had_client = true;
    return peer;
}

bool waiter_add(struct engine *engine, struct waiter **list, uint32_t peer_id, uint64_t sequence)
{
    struct peer *peer = peer_of(engine, peer_id);
    if (!peer || peer->waiting >= MAX_WAITING)
        return false;
    peer->waiting++;
    struct waiter *waiter = mem_zalloc(1, sizeof(*waiter));
    waiter->peer = peer_id;
    waiter->sequence = sequence;
    while (*list)
        list = &(*list)->next;
    *list = waiter;
    return true;
}

void waiters_remove_peer(struct waiter **list, uint32_t peer)
{
    while (*list) {
        struct waiter *waiter = *list;
        if (waiter->peer != peer) {
            list = &waiter->next;
            continue;
        }
        *list = waiter->next;
        free(waiter);
    }
}

void waiters_free(struct waiter **list)
{
    while (*list) {
        struct waiter *next = (*list)->next;
        free(*list);
        *list = next;
    }
}

void peer_answered(struct engine *engine, uint32_t id)
{
    struct peer *peer = peer_of(engine, id);
    if (peer && peer->waiting)
        peer->waiting--;
}

void requests_peer_gone(struct engine *engine, uint32_t id)
{
    struct peer *peer = peer_of(engine, id);
    if (!peer)
        return;
    if (peer->waiting) {
        for (struct run *run = engine->live_first; run; run = run->next)
            waiters_remove_peer(&run->waiters, id);
        for (struct key *key = engine->keys_first; key; key = key->next)
            waiters_remove_peer(&key->waiters, id);
        waiters_remove_peer(&engine->shutdown_waiters, id);
    }
    uploads_drop(engine, id);
    index_remove(&engine->peers_by_id, index_number(id), peer);
    free(peer);
}

/* ---- answers ---- */

struct buf *reply_open(struct engine *engine)
{
    return send_open(engine);
}

/* The same body to another request. */
static void send_copy(struct engine *engine, uint32_t peer, uint64_t sequence, uint16_t type,
                      struct synk_bytes body)
{
    buf_append(send_open(engine), body.data, body.size);
    send_close(engine, SOCKET_CLIENTS, peer, type, sequence, false);
}

static void answer_key_waiters(struct engine *engine, struct key *key, uint16_t type,
                               struct synk_bytes body)
{
    for (struct waiter *waiter = key->waiters; waiter; waiter = waiter->next) {
        send_copy(engine, waiter->peer, waiter->sequence, type, body);
        peer_answered(engine, waiter->peer);
    }
    waiters_free(&key->waiters);
}

/*
 * While the store is down no commit comes that an answer could wait for. Refusals say nothing about
 * the state, and views of it (`list`, `explain`, …) are better early than never; what claims that
 * something has happened (`wait`, and all that changes anything) stays behind the commit.
 */
static bool is_at_once(const struct engine *engine, const struct request *request, uint16_t type)
{
    return !engine->store_ok && !request->key &&
           (type == MSG_ERROR || (handlers[request->type].flags & VIEWS));
}

void reply_close(struct engine *engine, const struct request *request)
{
    struct buf *bodies = &engine->effects->bodies;
    struct synk_bytes body = {0};
    if (request->key)
        body = arena_copy(&engine->scratch, bytes_of(bodies->data + engine->body_offset,
                                                     bodies->size - engine->body_offset));
    send_close(engine, SOCKET_CLIENTS, request->peer, MSG_REPLY, request->sequence,
               is_at_once(engine, request, MSG_REPLY));
    if (!request->key)
        return;
    key_answered(engine, request->key, body);
    answer_key_waiters(engine, request->key, MSG_REPLY, body);
}

static void send_error(struct engine *engine, const struct request *request,
                       const struct synk_error *error, int64_t retry_after_ms)
{
    struct buf *bodies = send_open(engine);
    msg_error_encode(error, retry_after_ms, bodies);
    struct synk_bytes body = {0};
    if (request->key)
        body = arena_copy(&engine->scratch, bytes_of(bodies->data + engine->body_offset,
                                                     bodies->size - engine->body_offset));
    send_close(engine, SOCKET_CLIENTS, request->peer, MSG_ERROR, request->sequence,
               is_at_once(engine, request, MSG_ERROR));
    if (request->key) {
        answer_key_waiters(engine, request->key, MSG_ERROR, body);
        key_drop(engine, request->key);
    }
}

void request_error(struct engine *engine, const struct request *request,
                   const struct synk_error *error)
{
    send_error(engine, request, error, 0);
}

void request_fail(struct engine *engine, const struct request *request, enum synk_status status,
                  int64_t retry_after_ms, const char *format, ...)
{
    struct synk_error error = {.status = status};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error.text, sizeof(error.text), format, arguments);
    va_end(arguments);
    send_error(engine, request, &error, retry_after_ms);
}

struct synk_bytes body_text(const struct request *request, const char *key)
{
    struct synk_bytes text = {0};
    value_get_string(request->body, key, 4096, &text);
    return text;
}

/* ---- the way in ---- */

/* Whether the request is answered, or waits, because of its key. */
static bool is_repeated(struct engine *engine, struct request *request)
{
    struct synk_bytes text;
    if (value_is_null(synk_value_get(request->body, "key")))
        return false;
    if (!value_get_string(request->body, "key", 64, &text)) {
        request_fail(engine, request, SYNK_INVALID, 0, "'key' must be a string of 1 to 64 bytes");
        return true;
    }
    struct key *key = key_find(engine, text);
    if (!key) {
        request->key = key_add(engine, text);
        return false;
    }
    if (key->reply)
        send_copy(engine, request->peer, request->sequence, MSG_REPLY, blob_bytes(key->reply));
    else if (!waiter_add(engine, &key->waiters, request->peer, request->sequence))
        request_fail(engine, request, SYNK_BUSY, RETRY_AFTER_MS, "too many requests wait");
    return true;
}

/* Whether it came before: what was taken then is done once it can be saved, so it is not refused.
 */
static bool is_known(struct engine *engine, const struct request *request)
{
    struct synk_bytes text;
    return value_get_string(request->body, "key", 64, &text) && text.size && key_find(engine, text);
}

static void handle(struct engine *engine, struct request *request, const struct handler *handler)
{
    if (handler->flags & CHANGES) {
        if (!engine->store_ok && !is_known(engine, request)) {
            request_fail(engine, request, SYNK_STORE_DOWN, RETRY_AFTER_MS,
                         "state cannot be saved now: %s", engine->store_text);
            return;
        }
        if (is_repeated(engine, request))
            return;
    }
    if ((handler->flags & STARTS_WORK) && engine->shutdown) {
        request_fail(engine, request, SYNK_REFUSED, 0, "the supervisor is shutting down");
        return;
    }
    handler->handle(engine, request);
}

void requests_message(struct engine *engine, const struct input *input)
{
    struct request request = {
        .peer = input->peer,
        .is_remote = input->is_remote,
        .role = input->role,
        .who = input->text,
        .sequence = input->header.sequence,
        .type = input->header.type,
    };
    if (!peer_for(engine, input->peer)) {
        request_fail(engine, &request, SYNK_BUSY, RETRY_AFTER_MS, "too many clients (%d)",
                     LIMIT_PEERS);
        return;
    }
    if (request.type >= HANDLERS || !handlers[request.type].handle) {
        engine->counts.protocol_errors++;
        request_fail(engine, &request, SYNK_UNSUPPORTED, 0, "unknown request %u", request.type);
        return;
    }
    if (!roles_allow(request.role, request.type)) {
        roles_refuse(engine, &request);
        return;
    }
    struct synk_document *document = NULL;
    struct synk_error error = {0};
    enum synk_status status = synk_document_decode(input->body, &document, &error);
    if (!status && synk_value_kind(synk_document_root(document)) != SYNK_MAP)
        status = status_fail(&error, SYNK_PROTOCOL, "the body is not a map");
    if (status) {
        engine->counts.protocol_errors++;
        request_error(engine, &request, &error);
    } else {
        request.body = synk_document_root(document);
        handle(engine, &request, &handlers[request.type]);
    }
    synk_document_free(document);
}
