/*
 * Effects: what a step asks of the world, as plain data. Bodies of messages are packed one behind
 * the other into one buf, so that a tick of thousands of messages allocates nothing.
 */
#include "supervisor/core/effects_write.h"

#include <stdio.h>
#include <stdlib.h>

void effects_init(struct effects *effects)
{
    *effects = (struct effects){0};
    batch_init(&effects->batch);
}

void effects_fini(struct effects *effects)
{
    if (!effects)
        return;
    batch_fini(&effects->batch);
    arena_fini(&effects->arena);
    buf_fini(&effects->bodies);
    free(effects->sends);
    free(effects->urgent);
    free(effects->refs);
    free(effects->queries);
    free(effects->orders);
    *effects = (struct effects){0};
}

void effects_clear(struct effects *effects)
{
    batch_clear(&effects->batch);
    arena_clear(&effects->arena);
    buf_clear(&effects->bodies);
    effects->send_count = 0;
    effects->urgent_count = 0;
    effects->ref_count = 0;
    effects->query_count = 0;
    effects->order_count = 0;
}

bool effects_is_empty(const struct effects *effects)
{
    return batch_is_empty(&effects->batch) && !effects->send_count && !effects->urgent_count &&
           !effects->query_count && !effects->order_count;
}

struct buf *send_open(struct engine *engine)
{
    engine->body_offset = engine->effects->bodies.size;
    return &engine->effects->bodies;
}

struct send *send_close(struct engine *engine, enum socket socket, uint32_t peer, uint16_t type,
                        uint64_t sequence, bool urgent)
{
    struct effects *effects = engine->effects;
    struct send send = {
        .socket = socket,
        .peer = peer,
        .header = {.type = type, .epoch = engine->epoch, .sequence = sequence},
        .body_offset = engine->body_offset,
        .body_size = effects->bodies.size - engine->body_offset,
        .ref_offset = effects->ref_count,
    };
    struct send **list = urgent ? &effects->urgent : &effects->sends;
    size_t *count = urgent ? &effects->urgent_count : &effects->send_count;
    size_t *capacity = urgent ? &effects->urgent_capacity : &effects->send_capacity;
    *list = mem_grow(*list, capacity, *count + 1, sizeof(**list));
    (*list)[*count] = send;
    return &(*list)[(*count)++];
}

void order_add(struct engine *engine, enum order_kind kind, const char *format, ...)
{
    struct effects *effects = engine->effects;
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    effects->orders = mem_grow(effects->orders, &effects->order_capacity, effects->order_count + 1,
                               sizeof(*effects->orders));
    effects->orders[effects->order_count++] =
        (struct order){kind, arena_copy(&effects->arena, bytes_str(text))};
}

struct query *query_add(struct engine *engine, enum query_kind kind)
{
    struct effects *effects = engine->effects;
    effects->queries = mem_grow(effects->queries, &effects->query_capacity,
                                effects->query_count + 1, sizeof(*effects->queries));
    struct query *query = &effects->queries[effects->query_count++];
    *query = (struct query){.kind = kind, .status = -1};
    return query;
}

struct synk_bytes keep_bytes(struct engine *engine, struct synk_bytes bytes)
{
    return bytes.size ? arena_copy(&engine->effects->batch.arena, bytes) : (struct synk_bytes){0};
}

/* ---- the canonical text ---- */

static void print_bytes(struct buf *out, const char *name, struct synk_bytes bytes)
{
    static const char hex[] = "0123456789abcdef";
    buf_printf(out, " %s=", name);
    const uint8_t *data = bytes.data;
    for (size_t i = 0; i < bytes.size; i++) {
        if (data[i] > ' ' && data[i] < 127 && data[i] != '\\') {
            buf_append(out, &data[i], 1);
        } else {
            char escaped[4] = {'\\', 'x', hex[data[i] >> 4], hex[data[i] & 15]};
            buf_append(out, escaped, 4);
        }
    }
}

static void print_number(struct buf *out, const char *name, int64_t number)
{
    if (number)
        buf_printf(out, " %s=%lld", name, (long long)number);
}

static void print_run(struct buf *out, const struct run_record *r)
{
    buf_printf(out, "run %llu", (unsigned long long)r->run);
    print_bytes(out, "unit", r->unit);
    print_bytes(out, "worker", r->worker);
    print_number(out, "number", (int64_t)r->number);
    print_number(out, "version", r->version);
    print_bytes(out, "status", bytes_str(run_status_name(r->status)));
    print_number(out, "cancelling", r->cancelling);
    print_number(out, "own_priority", r->has_priority);
    print_number(out, "priority", r->priority);
    if (r->name.size)
        print_bytes(out, "name", r->name);
    print_number(out, "paused", r->paused);
    print_number(out, "tasks", r->task_count);
    print_bytes(out, "by", r->by);
    print_bytes(out, "params", r->params);
    print_bytes(out, "spec", r->spec);
    print_bytes(out, "error", r->error);
    print_number(out, "created", r->created_at);
    print_number(out, "started", r->started_at);
    print_number(out, "ended", r->ended_at);
    if (r->not_before)
        print_number(out, "not_before", r->not_before);
}

static void print_task(struct buf *out, const struct task_record *r)
{
    buf_printf(out, "task %llu/%u", (unsigned long long)r->run, r->task);
    print_bytes(out, "state", bytes_str(task_state_name(r->state)));
    print_number(out, "crashes", r->crashes);
    print_number(out, "tries", r->tries);
    print_number(out, "attempts", r->attempts);
    print_number(out, "epoch", r->epoch);
    print_bytes(out, "worker", r->worker);
    print_bytes(out, "host", r->host);
    print_number(out, "started", r->started_at);
    print_number(out, "ended", r->ended_at);
    print_number(out, "due", r->due_at);
    print_number(out, "exit", r->exit_status);
    print_number(out, "signal", r->signal);
    print_number(out, "user", r->user_us);
    print_number(out, "system", r->system_us);
    print_number(out, "rss", r->max_rss_kib);
    print_number(out, "execution", r->execution_us);
    print_bytes(out, "result", r->result);
    print_bytes(out, "error", r->error);
    print_bytes(out, "reason", r->reason);
    print_number(out, "readers", r->has_readers);
    if (r->cause)
        print_number(out, "cause", r->cause);
}

static void print_attempt(struct buf *out, const struct attempt_record *r)
{
    buf_printf(out, "attempt %llu/%u/%u", (unsigned long long)r->run, r->task, r->attempt);
    print_number(out, "epoch", r->epoch);
    print_number(out, "outcome", r->outcome);
    print_bytes(out, "host", r->host);
    print_bytes(out, "error", r->error);
    print_number(out, "started", r->started_at);
    print_number(out, "ended", r->ended_at);
    print_number(out, "exit", r->exit_status);
    print_number(out, "signal", r->signal);
    print_number(out, "user", r->user_us);
    print_number(out, "system", r->system_us);
    print_number(out, "rss", r->max_rss_kib);
}

static void print_unit(struct buf *out, const struct unit_record *r)
{
    buf_printf(out, "unit");
    print_bytes(out, "id", r->id);
    print_number(out, "version", r->version);
    print_number(out, "last_version", r->last_version);
    print_number(out, "enabled", r->enabled);
    print_number(out, "paused", r->paused);
    print_number(out, "last", (int64_t)r->last_number);
    print_number(out, "successes", (int64_t)r->success_count);
    print_number(out, "runs", (int64_t)r->run_count);
    print_number(out, "last_run", r->last_run_at);
    print_number(out, "due", r->due_at);
    print_bytes(out, "status", bytes_str(unit_status_name(r->status)));
    print_bytes(out, "execution", r->execution);
    if (r->overlay.size)
        print_bytes(out, "overlay", r->overlay);
}

static void print_record(struct buf *out, const struct record *record)
{
    buf_printf(out, "%s ", record->remove ? "remove" : "record");
    switch (record->kind) {
    case RECORD_META:
        buf_printf(out, "meta");
        print_bytes(out, "name", record->meta.name);
        print_bytes(out, "value", record->meta.value);
        break;
    case RECORD_UNIT:
        print_unit(out, &record->unit);
        break;
    case RECORD_DEFINITION:
        buf_printf(out, "definition");
        print_bytes(out, "unit", record->definition.unit);
        print_number(out, "version", record->definition.version);
        print_number(out, "workers", record->definition.worker_count);
        print_bytes(out, "header", record->definition.header);
        break;
    case RECORD_WORKER:
        buf_printf(out, "worker");
        print_bytes(out, "unit", record->worker.unit);
        print_number(out, "version", record->worker.version);
        print_number(out, "index", record->worker.index);
        print_bytes(out, "body", record->worker.body);
        break;
    case RECORD_HOST:
        buf_printf(out, "host");
        print_bytes(out, "name", record->host.name);
        print_number(out, "instance", (int64_t)record->host.instance);
        print_number(out, "seen", record->host.seen_at);
        print_number(out, "applied", (int64_t)record->host.applied);
        break;
    case RECORD_KEY:
        buf_printf(out, "key");
        print_bytes(out, "key", record->key.key);
        print_bytes(out, "reply", record->key.reply);
        print_number(out, "expires", record->key.expires_at);
        break;
    case RECORD_RUN:
        print_run(out, &record->run);
        break;
    case RECORD_TASK:
        print_task(out, &record->task);
        break;
    case RECORD_ATTEMPT:
        print_attempt(out, &record->attempt);
        break;
    }
    buf_printf(out, "\n");
}

static void print_send(const struct effects *effects, const char *kind, const struct send *send,
                       struct buf *out)
{
    buf_printf(out, "%s %s peer=%u type=%s epoch=%u sequence=%llu", kind,
               send->socket == SOCKET_HOSTS ? "host" : "client", send->peer,
               msg_type_name(send->header.type), send->header.epoch,
               (unsigned long long)send->header.sequence);
    print_bytes(out, "body", bytes_of(effects->bodies.data + send->body_offset, send->body_size));
    for (size_t i = 0; i < send->ref_count; i++) {
        const struct value_ref *ref = &effects->refs[send->ref_offset + i];
        buf_printf(out, " ref=%llu/%u", (unsigned long long)ref->run, ref->task);
    }
    buf_printf(out, "\n");
}

static void print_query(const struct query *query, struct buf *out)
{
    buf_printf(out, "query %d peer=%u request=%llu token=%llu run=%llu", (int)query->kind,
               query->peer, (unsigned long long)query->request, (unsigned long long)query->token,
               (unsigned long long)query->run);
    print_bytes(out, "unit", query->unit);
    print_number(out, "number", (int64_t)query->number);
    print_number(out, "from", query->from);
    print_number(out, "limit", query->limit);
    print_number(out, "from_event", (int64_t)query->from_event);
    print_number(out, "cursor", (int64_t)query->cursor);
    print_number(out, "status", query->status);
    print_bytes(out, "types", query->types);
    print_bytes(out, "path", query->path);
    print_number(out, "live", query->live);
    print_number(out, "live_tasks", (int64_t)query->live_task_count);
    buf_printf(out, "\n");
}

void effects_print(const struct effects *effects, struct buf *out)
{
    for (size_t i = 0; i < effects->batch.record_count; i++)
        print_record(out, &effects->batch.records[i]);
    if (effects->batch.event_count) {
        buf_printf(out, "events %llu+%u", (unsigned long long)effects->batch.first_event,
                   effects->batch.event_count);
        print_bytes(out, "items", buf_bytes(&effects->batch.events));
        buf_printf(out, "\n");
    }
    if (effects->batch.retains) {
        const struct retention *retention = &effects->batch.retention;
        buf_printf(out, "retain");
        print_number(out, "runs_before", retention->runs_before);
        print_number(out, "keep_runs", (int64_t)retention->keep_runs);
        print_number(out, "events_before", retention->events_before);
        print_number(out, "keep_events", (int64_t)retention->keep_events);
        print_number(out, "counts", retention->counts);
        buf_printf(out, "\n");
    }
    for (size_t i = 0; i < effects->batch.topic_count; i++) {
        const struct event_topic *topic = &effects->batch.topics[i];
        buf_printf(out, "topic count=%u", topic->count);
        print_bytes(out, "name", topic->topic);
        print_bytes(out, "items", buf_bytes(&topic->items));
        buf_printf(out, "\n");
    }
    for (size_t i = 0; i < effects->urgent_count; i++)
        print_send(effects, "urgent", &effects->urgent[i], out);
    for (size_t i = 0; i < effects->send_count; i++)
        print_send(effects, "send", &effects->sends[i], out);
    for (size_t i = 0; i < effects->query_count; i++)
        print_query(&effects->queries[i], out);
    for (size_t i = 0; i < effects->order_count; i++) {
        buf_printf(out, "order %d", (int)effects->orders[i].kind);
        print_bytes(out, "text", effects->orders[i].text);
        buf_printf(out, "\n");
    }
}
