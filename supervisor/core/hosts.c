/*
 * Hosts: hello, sync, liveness, goodbye.
 *
 * A host entry is bound to at most one peer. After a hello its attempts are doubted until it names
 * them in its sync or reports them: what is still doubted once everything it had unacknowledged has
 * arrived ("settled") never reached it, or died with an earlier instance. After a restart of the
 * supervisor, recovered runs wait until every host recorded before has settled or is given up (the
 * barrier): dispatches are not recorded, so only the hosts can tell what is running.
 *
 * Silence counts only while the loop was reading.
 */
#include "supervisor/core/hosts.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/pack.h"
#include "supervisor/core/dispatch.h"
#include "supervisor/core/drain.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/encode.h"
#include "supervisor/core/events.h"
#include "supervisor/core/local_host.h"
#include "supervisor/core/logs.h"
#include "supervisor/core/reports.h"
#include "supervisor/core/resize.h"
#include "supervisor/core/retry.h"
#include "supervisor/core/roles.h"
#include "supervisor/core/run.h"
#include "supervisor/core/run_modes.h"
#include "supervisor/core/task.h"

static bool same_name(const void *item, const void *key)
{
    return bytes_equal(((const struct host *)item)->name_bytes, *(const struct synk_bytes *)key);
}

struct host *host_find(const struct engine *engine, struct synk_bytes name)
{
    return index_find(&engine->hosts_by_name, bytes_hash(name), same_name, &name);
}

static struct host *host_of_peer(const struct engine *engine, uint32_t peer)
{
    return index_find(&engine->hosts_by_peer, index_number(peer), NULL, NULL);
}

const char *host_state_name(const struct host *host)
{
    return host->state == HOST_LOST                          ? "lost"
           : host->state == HOST_SUSPECT || !host->connected ? "suspect"
           : host->drained && !host->flight_count            ? "drained"
           : host->drained || host->draining                 ? "draining"
                                                             : "up";
}

static void tell(struct engine *engine, const struct host *host, const char *state, const char *why)
{
    struct buf *out = &engine->scratch_buf;
    buf_clear(out);
    pack_map(out, why ? 3 : 2);
    pack_key(out, "host");
    pack_string(out, host->name_bytes);
    pack_key(out, "state");
    pack_cstr(out, state);
    if (why) {
        pack_key(out, "reason");
        pack_cstr(out, why);
    }
    event_emit(engine, &(struct event){
                           .type = EVENT_HOST,
                           .subject = host->name_bytes,
                           .payload = arena_copy(&engine->scratch, buf_bytes(out)),
                       });
}

void host_tell_drained(struct engine *engine, const struct host *host)
{
    tell(engine, host, host->drained ? "drained" : "undrained", NULL);
}

static void send_empty(struct engine *engine, uint32_t peer, uint16_t type, bool urgent)
{
    pack_map(send_open(engine), 0);
    send_close(engine, SOCKET_HOSTS, peer, type, 0, urgent);
}

static void save(struct engine *engine, struct host *host, bool remove)
{
    if (remove && !host->recorded)
        return;
    host->recorded = !remove;
    struct record *record = batch_add(&engine->effects->batch, RECORD_HOST);
    record->remove = remove;
    record->host.name = keep_bytes(engine, host->name_bytes);
    record->host.instance = host->instance;
    record->host.seen_at = engine->wall;
    record->host.applied = host->applied;
    host->unsaved = false;
}

static void unbind(struct engine *engine, struct host *host)
{
    if (host->bound)
        index_remove(&engine->hosts_by_peer, index_number(host->peer), host);
    host->bound = host->connected = false;
}

/* A host of before the restart is accounted for. */
static void expected_done(struct engine *engine, struct synk_bytes name)
{
    for (size_t i = 0; i < engine->expected_count; i++) {
        if (!bytes_equal(bytes_str(engine->expected[i].name), name))
            continue;
        free(engine->expected[i].name);
        memmove(&engine->expected[i], &engine->expected[i + 1],
                (engine->expected_count - i - 1) * sizeof(*engine->expected));
        engine->expected_count--;
        break;
    }
    hosts_check_barrier(engine);
}

void hosts_check_barrier(struct engine *engine)
{
    if (!engine->barrier || engine->expected_count)
        return;
    engine->barrier = false;
    engine->dispatch_due = true; /* what uses limits had to wait, of new runs too */
    for (struct run *run = engine->live_first; run; run = run->next) {
        run_update_held(engine, run);
        run_heed(engine, run);
        /* A recovered cancel waited to learn which of its tasks are at hosts. */
        for (uint32_t i = 0; run->recovered && run->tasks && i < run->task_count; i++)
            if (task_is_cancelled(run, i))
                task_cancel(engine, run, i, "the run was cancelled");
    }
}

static void free_offers(struct host *host)
{
    for (uint32_t i = 0; i < host->function_count; i++)
        free(host->functions[i]);
    for (uint32_t i = 0; i < host->tag_count; i++)
        free(host->tags[i]);
    for (uint32_t i = 0; i < host->refused_count; i++) {
        free(host->refused[i].name);
        free(host->refused[i].reason);
    }
    free(host->functions);
    free(host->tags);
    free(host->refused);
    free(host->version);
}

void host_free(struct host *host)
{
    if (!host)
        return;
    free_offers(host);
    free(host->classes);
    free(host->flight);
    free(host->name);
    outbox_fini(&host->outbox);
    free(host);
}

static void forget_open(struct engine *engine, struct host *host)
{
    if (!host->in_open)
        return;
    size_t at = 0;
    while (engine->open_hosts[at] != host->index)
        at++;
    memmove(&engine->open_hosts[at], &engine->open_hosts[at + 1],
            (engine->open_count - at - 1) * sizeof(*engine->open_hosts));
    engine->open_count--;
    host->in_open = false;
}

void host_remove(struct engine *engine, struct host *host)
{
    assert(!host->flight_count);
    unbind(engine, host);
    forget_open(engine, host);
    index_remove(&engine->hosts_by_name, bytes_hash(host->name_bytes), host);
    engine->hosts[host->index] = NULL;
    host_free(host);
}

/* What the host has is lost: all of it, or what it has not named since it came back. */
static void lose_flight(struct engine *engine, struct host *host, bool all,
                        const struct blame *blame)
{
    for (size_t i = 0; i < host->flight_count;) {
        struct flight flight = host->flight[i];
        if (all || (flight.run->tasks[flight.task].flags & TASK_UNLISTED))
            retry_lost(engine, flight.run, flight.task, host, blame);
        else
            i++;
    }
}

void host_lose(struct engine *engine, struct host *host, const char *why)
{
    if (host->state == HOST_LOST)
        return;
    host->state = HOST_LOST;
    unbind(engine, host);
    tell(engine, host, "lost", why);
    order_add(engine, ORDER_LOG, "host lost\thost=%s\treason=%s\tattempts=%zu", host->name, why,
              host->flight_count);
    struct blame blame = retry_blame(host);
    lose_flight(engine, host, true, &blame);
    save(engine, host, true);
    host->synced = host->settled = host->exited = false;
    expected_done(engine, host->name_bytes);
}

void host_exited(struct engine *engine, struct host *host, const char *why)
{
    if (engine->shutdown) { /* nobody comes after it */
        host_lose(engine, host, why);
        return;
    }
    if (!host->synced)
        unbind(engine, host);
    host->exited = true;
    host->exited_slots = host->slots;
    host->connected = host->synced = host->settled = false;
    host->state = HOST_SUSPECT;
    host->seen = engine->now; /* its successor has as long as a host may be silent */
    for (size_t i = 0; i < host->flight_count; i++)
        host->flight[i].run->tasks[host->flight[i].task].flags |= TASK_UNLISTED | TASK_ORPHANED;
    tell(engine, host, "exited", why);
}

/* ---- hello and sync ---- */

static char **copy_names(const struct synk_bytes *names, size_t count)
{
    char **copies = mem_zalloc(count + 1, sizeof(*copies));
    for (size_t i = 0; i < count; i++)
        copies[i] = mem_strndup(names[i].data, names[i].size);
    return copies;
}

static void take_hello(struct host *host, const struct msg_hello *hello)
{
    free_offers(host);
    host->functions = copy_names(hello->functions, hello->function_count);
    host->function_count = (uint32_t)hello->function_count;
    host->tags = copy_names(hello->tags, hello->tag_count);
    host->tag_count = (uint32_t)hello->tag_count;
    host->refused = mem_zalloc(hello->refused_count + 1, sizeof(*host->refused));
    host->refused_count = (uint32_t)hello->refused_count;
    for (uint32_t i = 0; i < host->refused_count; i++) {
        const struct refused_plugin_text *refused = &hello->refused[i];
        host->refused[i].name = mem_strndup(refused->name.data, refused->name.size);
        host->refused[i].reason = mem_strndup(refused->reason.data, refused->reason.size);
    }
    host->version = mem_strndup(hello->version.data, hello->version.size);
    host->class_count = 0;
    if (host->classes)
        free(host->classes);
    host->classes = NULL;
    host->slots = hello->slots;
    host->pid = hello->pid;
}

static struct host *host_add(struct engine *engine, struct synk_bytes name)
{
    struct host *host = mem_zalloc(1, sizeof(*host));
    host->name = mem_strndup(name.data, name.size);
    host->name_bytes = bytes_of(host->name, name.size);
    size_t at = 0;
    while (at < engine->host_count && engine->hosts[at])
        at++;
    if (at == engine->host_count) {
        engine->hosts = mem_grow(engine->hosts, &engine->host_capacity, engine->host_count + 1,
                                 sizeof(*engine->hosts));
        engine->host_count++;
    }
    host->index = (uint32_t)at;
    engine->hosts[at] = host;
    index_put(&engine->hosts_by_name, bytes_hash(host->name_bytes), host);
    return host;
}

/* What its record said before the restart. */
static void recall(const struct engine *engine, struct host *host)
{
    for (size_t i = 0; i < engine->expected_count; i++) {
        if (!bytes_equal(bytes_str(engine->expected[i].name), host->name_bytes))
            continue;
        host->instance = engine->expected[i].instance;
        host->applied = engine->expected[i].applied;
    }
}

static void refuse(struct engine *engine, uint32_t peer, const char *text)
{
    struct buf *out = send_open(engine);
    pack_map(out, 1);
    pack_key(out, "text");
    pack_cstr(out, text);
    send_close(engine, SOCKET_HOSTS, peer, MSG_REFUSE, 0, false);
}

/* Refuses a host that takes another's name. A new instance succeeds the old one where that is dead:
 * it comes from the same directory, which only one host at a time can have, or it was not heard
 * from for long enough to be suspect. Two that live would else take the name from each other in
 * turns, and lose what they run each time. */
static bool is_impostor(struct engine *engine, const struct input *input,
                        const struct msg_hello *hello, const struct host *host)
{
    char text[LIMIT_ID_BYTES + 256];
    if (input->is_remote && bytes_equal(hello->name, bytes_str("local"))) {
        refuse(engine, input->peer,
               "'local' is the host that the supervisor itself starts: choose another --name");
        return true;
    }
    if (!host || !host->connected || host->state != HOST_UP || host->instance == hello->instance ||
        host->home == hello->home)
        return false;
    snprintf(text, sizeof(text),
             "another host of the name '%s' is connected (pid %lld there): each needs a --name of "
             "its own",
             host->name, (long long)host->pid);
    refuse(engine, input->peer, text);
    return true;
}

static void hello(struct engine *engine, const struct input *input)
{
    struct msg_hello hello;
    if (msg_hello_decode(input->body, &engine->scratch, &hello, NULL) || !hello.slots ||
        hello.slots > 65535 || !definition_id_is_valid(hello.name)) {
        engine->counts.protocol_errors++;
        refuse(engine, input->peer, "the hello does not decode");
        return;
    }
    struct host *bound = host_of_peer(engine, input->peer);
    struct host *host = host_find(engine, hello.name);
    if (is_impostor(engine, input, &hello, host))
        return;
    /* A host whose attempts a shutdown waits for may come back and tell how they ended; the local
     * one is let in to be told to leave. */
    bool is_left = engine->local_pid && !engine->shutdown_keeps_hosts &&
                   bytes_equal(hello.name, bytes_str("local"));
    if (engine->shutdown && !is_left && (!host || !host->flight_count)) {
        refuse(engine, input->peer, "shutting down");
        return;
    }
    if (bound && bound != host)
        unbind(engine, bound);
    if (!host) {
        host = host_add(engine, hello.name);
        recall(engine, host);
    }
    unbind(engine, host);
    if (host->instance != hello.instance) {
        host->base_known = false;
        host->applied = host->acked = 0;
        host->draining = false;
    }
    take_hello(host, &hello);
    host->instance = hello.instance;
    host->home = hello.home;
    drain_host_came(engine, host);
    host->is_local = strcmp(host->name, "local") == 0;
    host->peer = input->peer;
    host->bound = host->connected = true;
    host->exited = false;
    index_put(&engine->hosts_by_peer, index_number(host->peer), host);
    host->state = HOST_UP;
    host->synced = host->settled = false;
    host->hello_at = host->seen = engine->now;
    host->seen_wall = engine->wall;
    for (size_t i = 0; i < host->flight_count; i++)
        host->flight[i].run->tasks[host->flight[i].task].flags |= TASK_UNLISTED;
    struct msg_welcome welcome = {
        .heartbeat_ms = (uint32_t)engine->config.heartbeat_ms,
        .silence_ms = (uint32_t)(engine->config.lost_ms * 2 / 3),
    };
    msg_welcome_encode(&welcome, send_open(engine));
    /* At once: it tells nothing that a commit could take back, and a host waits for it only so
     * long. */
    send_close(engine, SOCKET_HOSTS, host->peer, MSG_WELCOME, 0, true);
}

static void drain(struct engine *engine, struct host *host)
{
    host->draining = true;
    send_empty(engine, host->peer, MSG_DRAIN, false);
}

static void sync(struct engine *engine, struct host *host, const struct input *input)
{
    struct msg_attempt *attempts;
    size_t count;
    bool last;
    if (msg_attempts_decode(input->body, &engine->scratch, &attempts, &count, &last, NULL)) {
        engine->counts.protocol_errors++;
        return;
    }
    for (size_t i = 0; i < count; i++)
        reports_listed(engine, host, &attempts[i]);
    if (!last || host->synced)
        return;
    host->synced = true;
    host->synced_at = engine->now;
    host->received_since_sync = host->acked_since_sync = 0;
    save(engine, host, false);
    tell(engine, host, "up", NULL);
    drain_host_synced(engine, host);
    if (engine->shutdown && !engine->shutdown_keeps_hosts)
        drain(engine, host);
    resize_host_came(engine, host);
    host_open(engine, host);
}

/* Everything that the host knew at its sync is known here: what is still doubted is gone. */
static void settle(struct engine *engine, struct host *host)
{
    host->settled = true;
    struct blame blame = retry_blame(host);
    lose_flight(engine, host, false, &blame);
    expected_done(engine, host->name_bytes);
}

static void heartbeat(struct engine *engine, struct host *host, const struct input *input)
{
    struct msg_heartbeat beat;
    if (msg_heartbeat_decode(input->body, &beat, NULL)) {
        engine->counts.protocol_errors++;
        return;
    }
    host->running = beat.running;
    host->queued = beat.queued;
    host->rss_kib = beat.rss_kib;
    host->cpu_us = beat.cpu_us;
    if (beat.draining && !host->draining) {
        host->draining = true;
        tell(engine, host, "draining", NULL);
    }
    send_empty(engine, host->peer, MSG_ALIVE, true);
    uint64_t unacknowledged_here = host->received_since_sync > host->acked_since_sync
                                       ? host->received_since_sync - host->acked_since_sync
                                       : 0;
    if (host->synced && !host->settled &&
        (beat.unacknowledged <= unacknowledged_here ||
         engine->now - host->synced_at >= SYNC_PATIENCE_MS))
        settle(engine, host);
}

static void bye(struct engine *engine, struct host *host)
{
    tell(engine, host, "gone", "it said goodbye");
    lose_flight(engine, host, true, &(struct blame){0});
    save(engine, host, true);
    struct synk_bytes name = arena_copy(&engine->scratch, host->name_bytes);
    host_remove(engine, host);
    expected_done(engine, name);
}

/* What a dead process sent before its end. Nothing is answered. */
static void last_words(struct engine *engine, struct host *host, const struct input *input)
{
    switch (input->header.type) {
    case MSG_BYE:
        bye(engine, host);
        return;
    case MSG_STARTED:
        reports_started(engine, host, input);
        return;
    case MSG_REPORT:
        reports_message(engine, host, input);
        return;
    case MSG_REJECT:
        reports_reject(engine, host, input);
        return;
    default: /* means nothing any more */
        return;
    }
}

/* Whoever may not be a host is told when it says hello, and passed over otherwise. */
static bool is_barred(struct engine *engine, const struct input *input)
{
    char text[160];
    if (roles_allow_host(input->role))
        return false;
    roles_log(engine, input, msg_type_name(input->header.type));
    if (input->role == ROLE_NONE)
        snprintf(text, sizeof(text), "this key is not allowed here any more");
    else
        snprintf(text, sizeof(text), "a worker host takes role worker; this key's role is '%s'",
                 role_name(input->role));
    if (input->header.type == MSG_HELLO)
        refuse(engine, input->peer, text);
    else
        send_empty(engine, input->peer, MSG_WHO, true);
    return true;
}

void hosts_message(struct engine *engine, const struct input *input)
{
    if (is_barred(engine, input))
        return;
    if (input->header.type == MSG_HELLO) {
        hello(engine, input);
        return;
    }
    struct host *host = host_of_peer(engine, input->peer);
    if (!host) {
        send_empty(engine, input->peer, MSG_WHO, true);
        return;
    }
    if (!host->connected) {
        last_words(engine, host, input);
        return;
    }
    host->seen = engine->now;
    host->seen_wall = engine->wall;
    if (host->state == HOST_SUSPECT) {
        host->state = HOST_UP;
        tell(engine, host, "up", NULL);
        host_open(engine, host);
    }
    switch (input->header.type) {
    case MSG_SYNC:
        sync(engine, host, input);
        return;
    case MSG_HEARTBEAT:
        heartbeat(engine, host, input);
        return;
    case MSG_BYE:
        bye(engine, host);
        return;
    case MSG_LOG_DATA:
        logs_data(engine, input);
        return;
    case MSG_STARTED:
        reports_started(engine, host, input);
        return;
    case MSG_PROGRESS:
        reports_progress(engine, host, input);
        return;
    case MSG_REPORT:
        reports_message(engine, host, input);
        return;
    case MSG_REJECT:
        reports_reject(engine, host, input);
        return;
    default:
        engine->counts.protocol_errors++;
    }
}

void hosts_peer_gone(struct engine *engine, uint32_t peer)
{
    struct host *host = host_of_peer(engine, peer);
    if (!host)
        return;
    unbind(engine, host);
    host->synced = host->settled = false;
}

/* ---- liveness ---- */

void hosts_restart_silence(struct engine *engine)
{
    for (size_t i = 0; i < engine->host_count; i++)
        if (engine->hosts[i])
            engine->hosts[i]->seen = engine->now;
    if (engine->barrier)
        engine->barrier_since = engine->now;
}

/* A host of before the restart that did not come: known as lost, so that what it sends again when
 * it comes after all is not taken for new. */
static void give_up(struct engine *engine, struct synk_bytes name)
{
    struct host *host = host_add(engine, name);
    recall(engine, host);
    host->version = mem_strdup("");
    host->state = HOST_LOST;
    host->seen = engine->now;
    host->seen_wall = engine->wall;
}

void hosts_timer(struct engine *engine)
{
    const struct engine_config *config = &engine->config;
    for (size_t i = 0; i < engine->host_count; i++) {
        struct host *host = engine->hosts[i];
        if (!host)
            continue;
        int64_t silence = engine->now - host->seen;
        if (host->state == HOST_LOST) {
            if (silence > config->lost_ms + LOST_HOST_SHOWN_MS)
                host_remove(engine, host);
        } else if (silence >= config->lost_ms) {
            bool exited = host->exited;
            host_lose(engine, host,
                      exited ? "no other came in its place" : "it was not heard from");
            if (!exited && host->is_local && host->pid == engine->local_pid)
                local_host_hangs(engine);
        } else if (silence >= config->suspect_ms && host->state == HOST_UP) {
            host->state = HOST_SUSPECT;
            tell(engine, host, "suspect", NULL);
        } else if (host->connected && !host->synced &&
                   engine->now - host->hello_at >= SYNC_PATIENCE_MS) {
            host->hello_at = engine->now;
            send_empty(engine, host->peer, MSG_WHO, true);
        }
    }
    drain_rebalance(engine);
    if (engine->barrier && engine->now - engine->barrier_since >= config->lost_ms) {
        while (engine->expected_count) {
            struct expected_host *expected = &engine->expected[engine->expected_count - 1];
            struct host *host = host_find(engine, bytes_str(expected->name));
            if (host && (host->connected || host->exited))
                break; /* it is back, and its own silence decides */
            struct record *record = batch_add(&engine->effects->batch, RECORD_HOST);
            record->remove = true;
            record->host.name = keep_bytes(engine, bytes_str(expected->name));
            if (!host)
                give_up(engine, bytes_str(expected->name));
            if (strcmp(expected->name, "local") == 0)
                local_host_hangs(engine);
            expected_done(engine, bytes_str(expected->name));
        }
    }
    timers_set(&engine->timers, engine->now + (config->heartbeat_ms + 1) / 2, TIMER_HOSTS, 0, 0);
}

/* ---- what is sent to hosts ---- */

void host_cancel_attempt(struct engine *engine, struct host *host, struct attempt_id id,
                         const char *reason)
{
    if (!host->connected)
        return;
    struct outbox *outbox = &host->outbox;
    outbox->cancels = mem_grow(outbox->cancels, &outbox->cancel_capacity, outbox->cancel_count + 1,
                               sizeof(*outbox->cancels));
    outbox->cancels[outbox->cancel_count++] =
        (struct msg_attempt){.id = id, .reason = arena_copy(&engine->scratch, bytes_str(reason))};
    engine->cancels_due = true;
}

void hosts_send_cancels(struct engine *engine)
{
    if (!engine->cancels_due)
        return;
    engine->cancels_due = false;
    for (size_t i = 0; i < engine->host_count; i++) {
        struct host *host = engine->hosts[i];
        /* 10,000 items of some 60 bytes stay far below a frame. */
        for (size_t at = 0; host && at < host->outbox.cancel_count; at += 10000) {
            size_t count = host->outbox.cancel_count - at;
            count = count > 10000 ? 10000 : count;
            msg_attempts_encode(host->outbox.cancels + at, count, true, send_open(engine));
            send_close(engine, SOCKET_HOSTS, host->peer, MSG_CANCEL_ATTEMPT, 0, true);
        }
        if (host)
            host->outbox.cancel_count = 0;
    }
}

void hosts_send_acks(struct engine *engine)
{
    if (!engine->acks_due)
        return;
    engine->acks_due = false;
    for (size_t i = 0; i < engine->host_count; i++) {
        struct host *host = engine->hosts[i];
        if (host && host->unsaved && host->recorded)
            save(engine, host, false);
        if (!host || !host->connected || !host->base_known || host->acked == host->applied)
            continue;
        host->acked = host->applied;
        host->acked_since_sync = host->received_since_sync;
        msg_ack_encode(host->applied, send_open(engine));
        send_close(engine, SOCKET_HOSTS, host->peer, MSG_ACK, 0, false);
    }
}

void hosts_drain_all(struct engine *engine)
{
    for (size_t i = 0; i < engine->host_count; i++) {
        struct host *host = engine->hosts[i];
        if (host && host->connected)
            drain(engine, host);
    }
}

void host_encode(const struct engine *engine, const struct host *host, struct buf *out)
{
    pack_map(out, 11);
    pack_key(out, "name");
    pack_string(out, host->name_bytes);
    pack_key(out, "pid");
    pack_int(out, host->pid);
    pack_key(out, "version");
    pack_cstr(out, host->version);
    pack_key(out, "state");
    pack_cstr(out, host_state_name(host));
    pack_key(out, "slots");
    pack_uint(out, host->slots);
    size_t running = 0;
    for (size_t i = 0; i < host->flight_count; i++)
        running += host->flight[i].run->tasks[host->flight[i].task].state == TASK_RUNNING;
    pack_key(out, "running");
    pack_uint(out, running);
    pack_key(out, "queued");
    pack_uint(out, host->flight_count - running);
    pack_key(out, "functions");
    pack_array(out, host->function_count);
    for (uint32_t i = 0; i < host->function_count; i++)
        pack_cstr(out, host->functions[i]);
    pack_key(out, "tags");
    pack_array(out, host->tag_count);
    for (uint32_t i = 0; i < host->tag_count; i++)
        pack_cstr(out, host->tags[i]);
    pack_key(out, "refused");
    pack_array(out, host->refused_count);
    for (uint32_t i = 0; i < host->refused_count; i++) {
        pack_map(out, 2);
        pack_key(out, "plugin");
        pack_cstr(out, host->refused[i].name);
        pack_key(out, "reason");
        pack_cstr(out, host->refused[i].reason);
    }
    pack_key(out, "lastSeenMs");
    pack_int(out, engine->now - host->seen);
}
