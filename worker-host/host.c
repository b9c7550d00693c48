/*
 * The worker host's state machine: its beginning and end, the session with the supervisor, the
 * round of work that host_flush closes. Slots, attempts, messages, the outbox and the spool are in
 * their own files.
 *
 * Invariants: a report item stays in the outbox until it is acknowledged; every attempt taken in
 * comes to one result or is given back.
 */
#include "worker-host/host_messages.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    HELLO_PATIENCE_MS = 3000,
    /* Send again what was not acknowledged for so long: a peer lost it or us. */
    RESEND_MS = 5000,
    /* A gap between two steps beyond which silence proves nothing about the supervisor. */
    GAP_MS = 1000,
    STEP_MS = 500,
    WATCH_MS = 2,
};

void host_effects_fini(struct host_effects *effects)
{
    free(effects->items);
    buf_fini(&effects->bytes);
    *effects = (struct host_effects){0};
}

void host_effects_clear(struct host_effects *effects)
{
    effects->count = 0;
    buf_clear(&effects->bytes);
}

struct host_effect *effect_add(struct host_effects *effects, enum host_effect_kind kind)
{
    effects->items =
        mem_grow(effects->items, &effects->capacity, effects->count + 1, sizeof(*effects->items));
    struct host_effect *effect = &effects->items[effects->count++];
    *effect = (struct host_effect){.kind = kind, .body_offset = effects->bytes.size};
    return effect;
}

void effect_text(struct host_effects *effects, enum host_effect_kind kind, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    struct host_effect *effect = effect_add(effects, kind);
    effect->body_size = strlen(text);
    buf_append(&effects->bytes, text, effect->body_size);
}

void effect_send(struct host *host, struct host_effects *effects, enum msg_type type,
                 uint64_t sequence, size_t body_offset)
{
    struct host_effect *effect = effect_add(effects, HOST_SEND);
    effect->header =
        (struct msg_header){.type = (uint16_t)type, .epoch = host->epoch, .sequence = sequence};
    effect->body_offset = body_offset;
    effect->body_size = effects->bytes.size - body_offset;
}

void host_config_defaults(struct host_config *config)
{
    *config = (struct host_config){
        .name = "host",
        .version = SYNK_VERSION,
        .slots = 1,
        .orphan_ms = 60000,
        .grace_ms = 2000,
        .kept_bytes = (size_t)64 << 20,
        .task_bytes = (size_t)7 << 20,
        .ring_bytes = 128 << 10,
        .ring_tasks = 1024,
    };
}

struct host *host_new(const struct host_config *config)
{
    struct host *host = mem_zalloc(1, sizeof(*host));
    host->config = *config;
    host->name = mem_strdup(config->name);
    host->version = mem_strdup(config->version);
    host->slots = mem_zalloc(config->slots, sizeof(*host->slots));
    host->slot_count = config->slots;
    host->random = config->seed;
    host->average_us = 1000;
    host->heartbeat_ms = 1000;
    host->silence_ms = 10000;
    host->rss_kib = host->cpu_us = -1;
    outbox_init(&host->outbox);
    return host;
}

void host_free(struct host *host)
{
    if (!host)
        return;
    for (size_t i = 0; i < host->table_size; i++) {
        for (struct host_attempt *attempt = host->table[i], *next; attempt; attempt = next) {
            next = attempt->same_hash;
            delivery_unref(attempt->delivery);
            free(attempt);
        }
    }
    for (struct host_attempt *attempt = host->free_attempts, *next; attempt; attempt = next) {
        next = attempt->next;
        free(attempt);
    }
    free(host->table);
    outbox_fini(&host->outbox);
    arena_fini(&host->scratch);
    free(host->notices);
    free(host->slots);
    free(host->name);
    free(host->version);
    free(host);
}

size_t host_restore(struct host *host, struct synk_bytes items)
{
    return outbox_restore(&host->outbox, items, &host->scratch);
}

static void reconnect(struct host *host, int64_t now_ms, struct host_effects *effects)
{
    if (host->link == LINK_WELCOME)
        host->lost_ms = now_ms;
    effect_text(effects, HOST_RECONNECT, "%s", host->leader);
    host->leader[0] = '\0';
    host->tries++;
    host_say_hello(host, now_ms, effects);
}

/* Puts off the next attempt, longer each time, never in step with other hosts. */
static void wait_a_while(struct host *host, int64_t now_ms)
{
    uint32_t base = 250u << (host->tries < 4 ? host->tries : 4);
    host->random = host->random * 6364136223846793005u + 1442695040888963407u;
    if (host->link == LINK_WELCOME)
        host->lost_ms = now_ms;
    host->link = LINK_WAIT;
    host->link_due_ms = now_ms + base / 2 + (int64_t)((host->random >> 33) % base);
}

static void heartbeat(struct host *host, int64_t now_ms, struct host_effects *effects)
{
    struct host_counts counts = host_counts(host);
    struct msg_heartbeat beat = {.running = counts.running,
                                 .queued = counts.queued,
                                 .unacknowledged = counts.unacknowledged,
                                 .rss_kib = host->rss_kib,
                                 .cpu_us = host->cpu_us,
                                 .draining = host->draining};
    size_t offset = effects->bytes.size;
    msg_heartbeat_encode(&beat, &effects->bytes);
    effect_send(host, effects, MSG_HEARTBEAT, 0, offset);
    host->heartbeat_due_ms = now_ms + host->heartbeat_ms;
}

static void link_time(struct host *host, int64_t now_ms, struct host_effects *effects)
{
    switch (host->link) {
    case LINK_HELLO:
        if (now_ms - host->link_ms >= HELLO_PATIENCE_MS)
            wait_a_while(host, now_ms);
        break;
    case LINK_WAIT:
        if (now_ms >= host->link_due_ms)
            reconnect(host, now_ms, effects);
        break;
    case LINK_WELCOME:
        if (now_ms - host->heard_ms >= host->silence_ms) {
            effect_text(effects, HOST_LOG, "level=warn event=silence ms=%lld",
                        (long long)(now_ms - host->heard_ms));
            wait_a_while(host, now_ms);
        } else if (now_ms >= host->heartbeat_due_ms) {
            heartbeat(host, now_ms, effects);
        }
        break;
    }
}

/* The goodbye comes after the end of what runs: whoever reads it may start the tasks elsewhere. */
static void leave(struct host *host, const char *reason, struct host_effects *effects)
{
    effect_text(effects, HOST_LOG, "level=info event=leaving reason=\"%s\"", reason);
    effect_add(effects, HOST_EXIT);
    host->exited = true;
    if (host->link != LINK_WELCOME)
        return;
    struct synk_builder *body = synk_builder_new();
    synk_builder_map(body, 1);
    synk_builder_string(body, "reason");
    synk_builder_string(body, reason);
    struct synk_bytes bytes = synk_builder_bytes(body);
    size_t offset = effects->bytes.size;
    buf_append(&effects->bytes, bytes.data, bytes.size);
    effect_send(host, effects, MSG_BYE, 0, offset);
    synk_builder_free(body);
}

static bool is_idle(const struct host *host)
{
    for (uint32_t i = 0; i < host->slot_count; i++)
        if (host->slots[i].given.count)
            return false;
    return !host->queue.count;
}

static void leave_if_done(struct host *host, int64_t now_ms, struct host_effects *effects)
{
    bool is_over =
        host->stopping && host->config.stop_ms && now_ms - host->stopped_ms >= host->config.stop_ms;
    if (is_over && !host->exited) {
        leave(host, "its grace is over", effects);
        return;
    }
    if (host->exited || !is_idle(host))
        return;
    bool is_orphan = host->link != LINK_WELCOME && now_ms - host->lost_ms >= host->config.orphan_ms;
    bool is_told = outbox_kept_bytes(&host->outbox) == 0;
    if (host->stopping && (is_told || host->link != LINK_WELCOME))
        leave(host, "stopped", effects);
    else if (host->config.leaves && host->draining && is_told)
        leave(host, "drained", effects);
    else if (host->config.leaves && is_orphan)
        leave(host, "orphaned", effects);
}

static void stop(struct host *host, int64_t now_ms, struct host_effects *effects)
{
    if (host->stopping) {
        leave(host, "stopped twice", effects);
        return;
    }
    host->stopping = true;
    host->stopped_ms = now_ms;
    /* Told before the first task comes back, so that none is sent here again. */
    host->draining = true;
    if (host->link == LINK_WELCOME)
        heartbeat(host, now_ms, effects);
    host_drain(host, now_ms, effects);
}

void host_step(struct host *host, const struct host_input *input, struct host_effects *effects)
{
    if (host->exited)
        return;
    if (input->now_ms - host->step_ms > GAP_MS)
        host->heard_ms = input->now_ms; /* we were not listening */
    host->step_ms = input->now_ms;
    switch (input->kind) {
    case HOST_START:
        host->lost_ms = input->now_ms;
        host_say_hello(host, input->now_ms, effects);
        break;
    case HOST_MESSAGE:
        host_message(host, input, effects);
        break;
    case HOST_TIME:
        link_time(host, input->now_ms, effects);
        slots_time(host, input->now_ms, effects);
        break;
    case HOST_LINK_BROKEN:
        if (host->link != LINK_WAIT)
            wait_a_while(host, input->now_ms);
        break;
    case HOST_STOP:
        stop(host, input->now_ms, effects);
        break;
    case HOST_SPOOL_FAILED:
        spool_failed(&host->outbox, input->now_ms);
        break;
    default:
        assert(input->slot < host->slot_count);
        slots_input(host, input, effects);
    }
}

static void send_reports(struct host *host, int64_t now_ms, struct host_effects *effects)
{
    struct outbox *outbox = &host->outbox;
    /* The more there is to send again, the longer the peer may be merely slow. */
    int64_t patience_ms = RESEND_MS + (int64_t)(outbox_kept_bytes(outbox) >> 10);
    if (outbox->sent >= outbox->first && now_ms - outbox->progress_ms >= patience_ms)
        outbox_rewind(outbox);
    uint64_t first;
    size_t count;
    struct synk_bytes items;
    while (outbox_next(outbox, &first, &count, &items)) {
        size_t offset = effects->bytes.size;
        msg_reports_wrap(items, count, &effects->bytes);
        effect_send(host, effects, MSG_REPORT, first, offset);
        outbox->progress_ms = now_ms;
    }
}

void host_flush(struct host *host, int64_t now_ms, int64_t wall_ms, struct host_effects *effects)
{
    (void)wall_ms;
    if (host->exited)
        return;
    slots_assign(host, now_ms, effects);
    if (host->link == LINK_WELCOME) {
        slots_tell(host, effects);
        send_reports(host, now_ms, effects);
    }
    spool_keep(host, now_ms, effects);
    leave_if_done(host, now_ms, effects);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t host_next_due(const struct host *host)
{
    int64_t due = host->step_ms + STEP_MS;
    if (host->link == LINK_WAIT)
        due = earlier(due, host->link_due_ms);
    if (host->link == LINK_WELCOME)
        due = earlier(due, host->heartbeat_due_ms);
    if (host->stopping && host->config.stop_ms)
        due = earlier(due, host->stopped_ms + host->config.stop_ms);
    if (host_is_watching(host))
        due = earlier(due, host->step_ms + WATCH_MS);
    return earlier(due, slots_next_due(host));
}

bool host_is_watching(const struct host *host)
{
    bool has_idle = false, has_waiting = false;
    for (uint32_t i = 0; i < host->slot_count; i++) {
        const struct slot *slot = &host->slots[i];
        if (slot->given.count && !slot->started_ms)
            return true;
        has_idle |= slot->ready && !slot->given.count;
        has_waiting |= slot->given.count > 1;
    }
    return has_idle && has_waiting;
}

void host_set_usage(struct host *host, int64_t rss_kib, int64_t cpu_us)
{
    host->rss_kib = rss_kib;
    host->cpu_us = cpu_us;
}

struct host_counts host_counts(const struct host *host)
{
    struct host_counts counts = {
        .queued = (uint32_t)host->queue.count,
        .unacknowledged = outbox_last(&host->outbox) + 1 - host->outbox.first,
        .results = host->results,
        .refused_messages = host->refused_messages,
        .connected = host->link == LINK_WELCOME,
        .draining = host->draining,
    };
    for (uint32_t i = 0; i < host->slot_count; i++) {
        size_t given = host->slots[i].given.count;
        counts.running += given > 0;
        counts.queued += (uint32_t)(given ? given - 1 : 0);
    }
    return counts;
}

bool host_slot_attempt(const struct host *host, uint32_t slot, struct attempt_id *ret_id)
{
    const struct host_attempt *attempt = host->slots[slot].given.first;
    if (attempt)
        *ret_id = attempt->id;
    return attempt != NULL;
}
