/*
 * The local worker host: started with the engine, started again when it dies, as OTP supervisors
 * do: five deaths within ten seconds, and it is waited longer and longer, and said so.
 */
#include "supervisor/core/local_host.h"

#include "proto/pack.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/events.h"
#include "supervisor/core/hosts.h"

enum { INTENSITY = 5, PERIOD_MS = 10000, LONGEST_BACKOFF_S = 30 };

void local_host_spawn(struct engine *engine)
{
    if (!engine->local_wanted || engine->shutdown || engine->local_pid || engine->local_starting)
        return;
    engine->local_starting = true;
    order_add(engine, ORDER_SPAWN_HOST, "slots=%u", engine->config.local_slots);
}

void local_host_start(struct engine *engine)
{
    engine->local_wanted = engine->config.local_slots > 0;
    local_host_spawn(engine);
}

static void tell(struct engine *engine, const char *state, struct synk_bytes why)
{
    struct buf *out = &engine->scratch_buf;
    buf_clear(out);
    pack_map(out, 3);
    pack_key(out, "host");
    pack_cstr(out, "local");
    pack_key(out, "state");
    pack_cstr(out, state);
    pack_key(out, "reason");
    pack_string(out, why);
    event_emit(engine, &(struct event){
                           .type = EVENT_HOST,
                           .subject = bytes_str("local"),
                           .payload = arena_copy(&engine->scratch, buf_bytes(out)),
                       });
}

static void start_again(struct engine *engine, struct synk_bytes why)
{
    if (!engine->local_wanted || engine->shutdown)
        return;
    uint32_t slot = engine->local_exit_count % INTENSITY;
    bool too_often = engine->local_exit_count >= INTENSITY &&
                     engine->now - engine->local_exits[slot] < PERIOD_MS;
    engine->local_exits[slot] = engine->now;
    engine->local_exit_count++;
    if (!too_often && !engine->local_backoff_s) {
        local_host_spawn(engine);
        return;
    }
    if (!too_often && engine->now - engine->local_exits[(slot + INTENSITY - 1) % INTENSITY] >
                          PERIOD_MS + engine->local_backoff_s * 1000) {
        engine->local_backoff_s = 0;
        local_host_spawn(engine);
        return;
    }
    engine->local_backoff_s = engine->local_backoff_s ? engine->local_backoff_s * 2 : 1;
    if (engine->local_backoff_s > LONGEST_BACKOFF_S)
        engine->local_backoff_s = LONGEST_BACKOFF_S;
    order_add(engine, ORDER_LOG,
              "the local worker host keeps dying: next start in %u s\treason=%.*s",
              engine->local_backoff_s, (int)why.size, why.size ? (const char *)why.data : "");
    tell(engine, "backing-off", why);
    timers_set(&engine->timers, engine->now + engine->local_backoff_s * 1000, TIMER_SPAWN, 0, 0);
}

void local_host_hangs(struct engine *engine)
{
    if (!engine->local_pid || engine->shutdown)
        return;
    order_add(engine, ORDER_LOG, "the local worker host does not answer: killed\tpid=%lld",
              (long long)engine->local_pid);
    order_add(engine, ORDER_KILL_HOST, "silent");
}

void local_host_event(struct engine *engine, const struct input *input)
{
    engine->local_starting = false;
    switch (input->local_event) {
    case LOCAL_HOST_STARTED:
        engine->local_pid = input->pid;
        return;
    case LOCAL_HOST_EXITED: {
        engine->local_pid = 0;
        struct host *host = host_find(engine, bytes_str("local"));
        if (host && (host->pid == input->pid || !input->pid) && host->state != HOST_LOST)
            host_exited(engine, host, "its process ended");
        else
            tell(engine, "exited", input->text);
        start_again(engine, input->text);
        return;
    }
    case LOCAL_HOST_FAILED: {
        engine->local_pid = 0;
        struct host *host = host_find(engine, bytes_str("local"));
        if (host && host->exited)
            host_lose(engine, host, "its process ended, and none can be started");
        order_add(engine, ORDER_LOG, "the local worker host cannot be started: %.*s",
                  (int)input->text.size, input->text.size ? (const char *)input->text.data : "");
        start_again(engine, input->text);
        return;
    }
    }
}
