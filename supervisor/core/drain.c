/*
 * Draining and recalling. A drained host is one that dispatch passes over; the host itself knows
 * nothing of it, so nothing has to be told again when it, or the supervisor, comes back: the names
 * are a record (`meta`, `drained`). What it was given and has not begun is recalled, comes back as
 * rejected, and is dispatched elsewhere, uncounted.
 *
 * The same is done for what stands behind other work at one host while another host is idle: what a
 * host gets ahead is measured by averages, and an average says nothing about the one long command
 * that everything behind it then waits for.
 */
#include "supervisor/core/drain.h"

#include <stdlib.h>

#include "proto/nearest.h"
#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/dispatch.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/graph.h"
#include "supervisor/core/hosts.h"
#include "supervisor/core/queues.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/run.h"

enum {
    /* Longer than a host waits for anything but the task before: see CREDIT_US. */
    RECALL_AFTER_MS = 500,
    /* Names that are kept; beyond, somebody drains hosts that there never were. */
    DRAINED_MAX = 4096,
    /* Items of some 60 bytes stay far below a frame. */
    RECALL_ITEMS = 10000,
};

/* Where the name is; drained_count = nowhere. */
static size_t place_of(const struct engine *engine, struct synk_bytes name)
{
    size_t at = 0;
    while (at < engine->drained_count && !bytes_equal(bytes_str(engine->drained[at]), name))
        at++;
    return at;
}

static void add(struct engine *engine, struct synk_bytes name)
{
    engine->drained = mem_grow(engine->drained, &engine->drained_capacity,
                               engine->drained_count + 1, sizeof(*engine->drained));
    engine->drained[engine->drained_count++] = mem_strndup(name.data, name.size);
}

static void save(struct engine *engine)
{
    struct buf out = {0};
    pack_array(&out, engine->drained_count);
    for (size_t i = 0; i < engine->drained_count; i++)
        pack_cstr(&out, engine->drained[i]);
    struct record *record = batch_add(&engine->effects->batch, RECORD_META);
    record->meta.name = keep_bytes(engine, bytes_str("drained"));
    record->meta.value = keep_bytes(engine, buf_bytes(&out));
    buf_fini(&out);
}

void drain_load(struct engine *engine, struct synk_bytes value)
{
    struct synk_document *document = NULL;
    if (synk_document_decode(value, &document, NULL))
        return;
    const struct synk_value *root = synk_document_root(document);
    for (size_t i = 0; i < synk_value_count(root) && i < DRAINED_MAX; i++) {
        struct synk_bytes name = synk_value_bytes(synk_value_at(root, i));
        if (definition_id_is_valid(name))
            add(engine, name);
    }
    synk_document_free(document);
}

void drain_free(struct engine *engine)
{
    for (size_t i = 0; i < engine->drained_count; i++)
        free(engine->drained[i]);
    free(engine->drained);
}

void drain_host_came(const struct engine *engine, struct host *host)
{
    host->drained = place_of(engine, host->name_bytes) < engine->drained_count;
}

/* ---- recalling ---- */

struct recall {
    struct engine *engine;
    struct host *host;
    struct msg_attempt *items;
    size_t count;
};

static void recall_open(struct recall *recall, struct engine *engine, struct host *host)
{
    *recall = (struct recall){.engine = engine, .host = host};
    recall->items =
        arena_alloc(&engine->scratch, (host->flight_count + 1) * sizeof(*recall->items));
}

static void recall_add(struct recall *recall, const struct flight *flight)
{
    const struct task *task = &flight->run->tasks[flight->task];
    recall->items[recall->count++] = (struct msg_attempt){
        .id = {flight->run->id, flight->task, task->epoch, task->attempts},
    };
}

/* Behind the dispatches that it is about, which wait for their commit. */
static void recall_send(struct recall *recall)
{
    for (size_t at = 0; at < recall->count; at += RECALL_ITEMS) {
        size_t count = recall->count - at < RECALL_ITEMS ? recall->count - at : RECALL_ITEMS;
        msg_attempts_encode(recall->items + at, count, true, send_open(recall->engine));
        send_close(recall->engine, SOCKET_HOSTS, recall->host->peer, MSG_RECALL, 0, false);
    }
}

static bool is_waiting(const struct flight *flight)
{
    return flight->run->tasks[flight->task].state == TASK_DISPATCHED;
}

static void recall_all(struct engine *engine, struct host *host)
{
    struct recall recall;
    recall_open(&recall, engine, host);
    for (size_t i = 0; i < host->flight_count; i++)
        if (is_waiting(&host->flight[i]))
            recall_add(&recall, &host->flight[i]);
    recall_send(&recall);
}

void drain_host_synced(struct engine *engine, struct host *host)
{
    if (host->drained)
        recall_all(engine, host);
}

/* ---- balance ---- */

/* Slots that are free for tasks of the class, at other hosts. */
static uint32_t idle_slots(struct engine *engine, const struct host *than, uint32_t class)
{
    uint32_t idle = 0;
    for (size_t i = 0; i < engine->host_count; i++) {
        struct host *host = engine->hosts[i];
        if (host && host != than && host_is_open(host) && host->used < host->slots &&
            host_offers(engine, host, class))
            idle += host->slots - host->used;
    }
    return idle;
}

static uint32_t class_of(struct engine *engine, const struct flight *flight)
{
    uint32_t queue;
    if (flight->run->pool)
        queue = flight->run->pool->queue;
    else
        version_settings(engine, flight->run, flight->task, &queue);
    return engine->queues[queue]->class;
}

/* As many as find room elsewhere: the newest, which wait the longest from here on. */
static void recall_some(struct engine *engine, struct host *host)
{
    struct recall recall;
    uint32_t class = NONE, idle = 0;
    recall_open(&recall, engine, host);
    for (size_t i = host->flight_count; i-- > 0;) {
        const struct flight *flight = &host->flight[i];
        if (!is_waiting(flight) || engine->now - flight->since < RECALL_AFTER_MS)
            continue;
        uint32_t its = class_of(engine, flight);
        if (its != class) {
            class = its;
            idle = idle_slots(engine, host, class);
            idle = idle > recall.count ? idle - (uint32_t)recall.count : 0;
        }
        uint32_t slots = flight->run->tasks[flight->task].slots;
        if (slots > idle)
            continue;
        idle -= slots;
        recall_add(&recall, flight);
    }
    recall_send(&recall);
}

void drain_rebalance(struct engine *engine)
{
    size_t hosts = 0, idle = 0;
    for (size_t i = 0; i < engine->host_count; i++) {
        const struct host *host = engine->hosts[i];
        hosts += host && host->connected;
        idle += host && host_is_open(host) && host->used < host->slots;
    }
    for (size_t i = 0; hosts > 1 && idle && i < engine->host_count; i++) {
        struct host *host = engine->hosts[i];
        if (host && host->connected && host->synced && host->used > host->slots)
            recall_some(engine, host);
    }
}

/* ---- the request ---- */

static void fail_unknown(struct engine *engine, const struct request *request,
                         struct synk_bytes name)
{
    struct nearest nearest = nearest_of(name);
    for (size_t i = 0; i < engine->host_count; i++)
        if (engine->hosts[i])
            nearest_try(&nearest, engine->hosts[i]->name_bytes);
    request_fail(engine, request, SYNK_NOT_FOUND, 0, "there is no host '%.*s'%s%.*s%s",
                 (int)(name.size < LIMIT_ID_BYTES ? name.size : LIMIT_ID_BYTES),
                 name.size ? (const char *)name.data : "",
                 nearest.found.size ? " (did you mean '" : "", (int)nearest.found.size,
                 nearest.found.size ? (const char *)nearest.found.data : "",
                 nearest.found.size ? "'?)" : "");
}

static void set_drained(struct engine *engine, struct synk_bytes name, size_t at, bool undo)
{
    struct host *host = host_find(engine, name);
    if (undo) {
        free(engine->drained[at]);
        engine->drained[at] = engine->drained[--engine->drained_count];
    } else {
        add(engine, name);
    }
    save(engine);
    if (!host)
        return;
    host->drained = !undo;
    host_tell_drained(engine, host);
    if (undo)
        host_open(engine, host);
    else if (host->connected && host->synced)
        recall_all(engine, host);
}

void request_drain(struct engine *engine, struct request *request)
{
    struct synk_bytes name = body_text(request, "host");
    bool undo = synk_value_bool(synk_value_get(request->body, "undo"), false);
    struct host *host = host_find(engine, name);
    size_t at = place_of(engine, name);
    bool is_drained = at < engine->drained_count;
    /* One that has gone may be undone, and one that is gone for now be kept from coming back. */
    if (!host && !is_drained) {
        fail_unknown(engine, request, name);
        return;
    }
    if (!undo && !is_drained && engine->drained_count >= DRAINED_MAX) {
        request_fail(engine, request, SYNK_TOO_LARGE, 0, "%d hosts are drained: undo some",
                     DRAINED_MAX);
        return;
    }
    if (is_drained == undo)
        set_drained(engine, name, at, undo);
    size_t running = 0;
    for (size_t i = 0; host && i < host->flight_count; i++)
        running += !is_waiting(&host->flight[i]);
    struct buf *out = reply_open(engine);
    pack_map(out, 3);
    pack_key(out, "host");
    pack_string(out, name);
    pack_key(out, "state");
    pack_cstr(out, host ? host_state_name(host) : "lost");
    pack_key(out, "running");
    pack_uint(out, running);
    reply_close(engine, request);
}
