/*
 * Events: numbered one by one, packed once, and copied to their topic. The encoding is written by
 * hand because two events follow from every task: header, fixed-width number and time, a constant
 * for the type, the run's ready-made entries, and what varies. Invariant: an event's number is
 * batch.first_event + its position in the batch.
 */
#include "supervisor/core/events.h"

#include <stdio.h>

#include "proto/pack.h"
#include "supervisor/core/hooks.h"
#include "supervisor/core/task.h"

#define TYPE(name) ("\xa4type" name), sizeof("\xa4type" name) - 1
static const struct {
    const char *entry;
    size_t size;
    const char *name;
} types[EVENT_TYPES] = {
    [EVENT_START] = {TYPE("\xa5start"), "start"},
    [EVENT_COMPLETE] = {TYPE("\xa8"
                             "complete"),
                        "complete"},
    [EVENT_ERROR] = {TYPE("\xa5"
                          "error"),
                     "error"},
    [EVENT_MILESTONE] = {TYPE("\xa9milestone"), "milestone"},
    [EVENT_UPDATED] = {TYPE("\xa7updated"), "updated"},
    [EVENT_RUN] = {TYPE("\xa3run"), "run"},
    [EVENT_SKIP] = {TYPE("\xa4skip"), "skip"},
    [EVENT_RETRY] = {TYPE("\xa5retry"), "retry"},
    [EVENT_CANCEL] = {TYPE("\xa6"
                           "cancel"),
                      "cancel"},
    [EVENT_HOST] = {TYPE("\xa4host"), "host"},
    [EVENT_STALE] = {TYPE("\xa5stale"), "stale"},
};

static uint8_t *put(uint8_t *at, const void *data, size_t size)
{
    memcpy(at, data, size);
    return at + size;
}

static uint8_t *put_u64(uint8_t *at, uint64_t number)
{
    *at++ = 0xcf;
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(number >> shift);
    return at;
}

static uint8_t *put_string(uint8_t *at, struct synk_bytes text)
{
    if (text.size < 32) {
        *at++ = (uint8_t)(0xa0 | text.size);
    } else if (text.size < 256) {
        *at++ = 0xd9;
        *at++ = (uint8_t)text.size;
    } else {
        *at++ = 0xdb;
        for (int shift = 24; shift >= 0; shift -= 8)
            *at++ = (uint8_t)(text.size >> shift);
    }
    return put(at, text.data, text.size);
}

/* An entry with a constant key of less than 32 bytes. */
static uint8_t *put_entry(uint8_t *at, const char *key, struct synk_bytes text)
{
    return put_string(put_string(at, bytes_str(key)), text);
}

struct synk_bytes event_prefix(const struct run *run)
{
    return run->prefix;
}

static bool topic_is(const struct event_topic *topic, enum event_type type,
                     struct synk_bytes subject)
{
    size_t name = strlen(types[type].name);
    const char *text = topic->topic.data;
    return topic->topic.size == name + 1 + subject.size && text[name] == '/' &&
           memcmp(text, types[type].name, name) == 0 &&
           (subject.size == 0 || memcmp(text + name + 1, subject.data, subject.size) == 0);
}

/* The topic of this type and subject in the open batch; `cached` is where it was last time. */
static struct event_topic *topic_for(struct engine *engine, enum event_type type,
                                     struct synk_bytes subject, uint32_t *cached)
{
    struct batch *batch = &engine->effects->batch;
    if (*cached < batch->topic_count && topic_is(&batch->topics[*cached], type, subject))
        return &batch->topics[*cached];
    if (!batch->topic_count || *cached == NONE) {
        for (size_t i = 0; i < batch->topic_count; i++)
            if (topic_is(&batch->topics[i], type, subject))
                return &batch->topics[i];
    }
    if (batch->topic_count == batch->topic_capacity) {
        size_t old = batch->topic_capacity;
        batch->topics = mem_grow(batch->topics, &batch->topic_capacity, batch->topic_count + 1,
                                 sizeof(*batch->topics));
        memset(batch->topics + old, 0, (batch->topic_capacity - old) * sizeof(*batch->topics));
    }
    *cached = (uint32_t)batch->topic_count;
    struct event_topic *topic = &batch->topics[batch->topic_count++];
    size_t name = strlen(types[type].name);
    char *text = arena_alloc(&batch->arena, name + 1 + subject.size + 1);
    memcpy(text, types[type].name, name);
    text[name] = '/';
    if (subject.size)
        memcpy(text + name + 1, subject.data, subject.size);
    topic->topic = bytes_of(text, name + 1 + subject.size);
    topic->count = 0;
    return topic;
}

void event_emit(struct engine *engine, const struct event *event)
{
    struct batch *batch = &engine->effects->batch;
    struct unit *unit = event->run ? event->run->unit : event->unit;
    struct synk_bytes unit_id = unit ? unit->id : (struct synk_bytes){0};
    struct synk_bytes prefix = event->run ? event->run->prefix : (struct synk_bytes){0};
    uint64_t seq = ++engine->last_event;
    if (batch->event_count == 0)
        batch->first_event = seq;
    batch->event_count++;
    engine->counts.events++;

    buf_reserve(&batch->events, 192 + prefix.size + unit_id.size + event->worker.size +
                                    event->milestone.size + event->error.size + event->by.size +
                                    event->payload.size);
    uint8_t *start = batch->events.data + batch->events.size;
    unsigned entries = 3 +
                       (event->run ? 2
                        : unit     ? 1
                                   : 0) +
                       (event->worker.size != 0) + (event->attempt != 0) +
                       (event->milestone.size != 0) + (event->error.size != 0) +
                       (event->by.size != 0) + (event->payload.size != 0);
    uint8_t *at = start;
    *at++ = (uint8_t)(0x80 | entries);
    at = put_u64(put(at, "\xa3seq", 4), seq);
    at = put_u64(put(at,
                     "\xa2"
                     "at",
                     3),
                 (uint64_t)engine->wall);
    at = put(at, types[event->type].entry, types[event->type].size);
    if (event->run)
        at = put(at, prefix.data, prefix.size);
    else if (unit)
        at = put_entry(at, "unit", unit_id);
    if (event->worker.size)
        at = put_string(put(at, "\xa6worker", 7), event->worker);
    if (event->attempt)
        at = put_u64(put(at,
                         "\xa7"
                         "attempt",
                         8),
                     event->attempt);
    if (event->milestone.size)
        at = put_entry(at, "milestone", event->milestone);
    if (event->error.size)
        at = put_entry(at, "error", event->error);
    if (event->by.size)
        at = put_entry(at, "by", event->by);
    if (event->payload.size)
        at = put(put(at, "\xa7payload", 8), event->payload.data, event->payload.size);
    size_t size = (size_t)(at - start);
    batch->events.size += size;

    uint32_t none = NONE;
    struct event_topic *topic = topic_for(engine, event->type, unit ? unit_id : event->subject,
                                          unit ? &unit->topics[event->type] : &none);
    buf_append(&topic->items, start, size);
    topic->count++;
}

void event_task(struct engine *engine, enum event_type type, const struct run *run, uint32_t task,
                struct synk_bytes error, struct synk_bytes payload)
{
    char number[16];
    event_emit(engine, &(struct event){
                           .type = type,
                           .run = run,
                           .worker = task_worker_name(run, task, number),
                           .attempt = run->tasks[task].attempts,
                           .error = error,
                           .payload = payload,
                       });
}

struct synk_bytes payload_text(struct engine *engine, const char *key, struct synk_bytes text)
{
    struct buf *out = &engine->scratch_buf;
    buf_clear(out);
    pack_map(out, 1);
    pack_key(out, key);
    pack_string(out, text);
    return arena_copy(&engine->scratch, buf_bytes(out));
}

void milestone_emit(struct engine *engine, struct unit *unit, const struct run *run,
                    struct synk_bytes worker, struct synk_bytes name, struct synk_bytes payload)
{
    event_emit(engine, &(struct event){
                           .type = EVENT_MILESTONE,
                           .unit = unit,
                           .run = run,
                           .worker = worker,
                           .milestone = name,
                           .payload = payload,
                       });
    if (engine->milestone_units)
        hooks_milestone(engine, name, payload);
}

void milestone_unit(struct engine *engine, struct unit *unit, const char *what,
                    struct synk_bytes payload)
{
    char name[LIMIT_ID_BYTES + 32];
    snprintf(name, sizeof(name), "unit:%s:%s", unit->id_text, what);
    milestone_emit(engine, unit, NULL, (struct synk_bytes){0}, bytes_str(name), payload);
}

void milestone_worker(struct engine *engine, struct unit *unit, const char *worker,
                      const char *what)
{
    char name[2 * LIMIT_ID_BYTES + 32];
    snprintf(name, sizeof(name), "worker:%s%s%s:%s", unit->id_text, worker ? "/" : "",
             worker ? worker : "", what);
    milestone_emit(engine, unit, NULL, worker ? bytes_str(worker) : (struct synk_bytes){0},
                   bytes_str(name), (struct synk_bytes){0});
}
