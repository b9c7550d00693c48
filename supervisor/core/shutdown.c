/*
 * Shutdown: dispatch stops at once, hosts finish what they have started. When the grace is over
 * what is left is killed and goes back to ready, uncounted; it runs again after the next start.
 * Hosts that are kept go on, and are adopted then. Otherwise the local host is waited for until its
 * process has ended: one that has not said hello yet is let in, to be told to leave.
 */
#include "supervisor/core/shutdown.h"

#include <stdlib.h>

#include "proto/pack.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/hosts.h"
#include "supervisor/core/requests.h"

void shutdown_begin(struct engine *engine, int64_t grace_ms, bool keep_hosts)
{
    int64_t until = engine->now + (grace_ms > 0 ? grace_ms : 0);
    if (engine->shutdown == SHUTDOWN_DRAINING && until < engine->shutdown_until) {
        /* Somebody cannot wait any longer: the earlier timer counts, the later one finds it done.
         */
        engine->shutdown_until = until;
        timers_set(&engine->timers, until, TIMER_SHUTDOWN, 0, 0);
    }
    if (engine->shutdown != SHUTDOWN_NO)
        return;
    engine->shutdown = SHUTDOWN_DRAINING;
    engine->shutdown_until = until;
    engine->shutdown_keeps_hosts = keep_hosts;
    order_add(engine, ORDER_LOG, "shutting down\tgrace_ms=%lld\tkeep_hosts=%d\trunning=%llu",
              (long long)grace_ms, keep_hosts, (unsigned long long)engine->counts.dispatched_tasks);
    if (!keep_hosts)
        hosts_drain_all(engine);
    timers_set(&engine->timers, until, TIMER_SHUTDOWN, 0, 0);
}

void request_shutdown(struct engine *engine, struct request *request)
{
    int64_t grace = synk_value_int(synk_value_get(request->body, "graceMs"), 30000);
    bool keep = synk_value_bool(synk_value_get(request->body, "keepHosts"), false);
    if (grace < 0 || grace > 24 * 3600 * 1000) {
        request_fail(engine, request, SYNK_INVALID, 0, "'graceMs' must be 0 to a day");
        return;
    }
    if (!waiter_add(engine, &engine->shutdown_waiters, request->peer, request->sequence)) {
        request_fail(engine, request, SYNK_BUSY, RETRY_AFTER_MS, "too many requests wait");
        return;
    }
    shutdown_begin(engine, grace, keep);
}

void shutdown_timer(struct engine *engine)
{
    if (engine->now < engine->shutdown_until)
        return;
    if (engine->shutdown == SHUTDOWN_DRAINING) {
        engine->shutdown = SHUTDOWN_KILLING;
        for (size_t h = 0; h < engine->host_count; h++) {
            struct host *host = engine->hosts[h];
            for (size_t i = 0; host && i < host->flight_count; i++) {
                struct flight *flight = &host->flight[i];
                struct task *task = &flight->run->tasks[flight->task];
                host_cancel_attempt(
                    engine, host,
                    (struct attempt_id){flight->run->id, flight->task, task->epoch, task->attempts},
                    "shutdown");
            }
        }
        engine->shutdown_until = engine->now + SHUTDOWN_KILL_MS;
        timers_set(&engine->timers, engine->shutdown_until, TIMER_SHUTDOWN, 0, 0);
        return;
    }
    /* What did not answer is left to the next start; it has no record as dispatched. */
    if (engine->local_pid)
        order_add(engine, ORDER_KILL_HOST, "it does not leave");
    engine->shutdown_keeps_hosts = true;
}

/* Whether the local host's process still has to end, and sees to it. */
static bool local_host_leaves(struct engine *engine)
{
    if (!engine->local_pid && !engine->local_starting)
        return false;
    if (engine->shutdown == SHUTDOWN_LEAVING)
        return true;
    const struct host *host = host_find(engine, bytes_str("local"));
    bool told = host && host->connected && host->draining;
    if (!told && engine->shutdown == SHUTDOWN_DRAINING)
        return true;
    if (!told && engine->local_pid)
        order_add(engine, ORDER_KILL_HOST, "it was not heard from within the grace");
    engine->shutdown = SHUTDOWN_LEAVING;
    engine->shutdown_until = engine->now + SHUTDOWN_KILL_MS;
    timers_set(&engine->timers, engine->shutdown_until, TIMER_SHUTDOWN, 0, 0);
    return true;
}

void shutdown_check(struct engine *engine)
{
    if (engine->shutdown == SHUTDOWN_NO || engine->shutdown == SHUTDOWN_DONE)
        return;
    if (!engine->shutdown_keeps_hosts &&
        (engine->counts.dispatched_tasks || local_host_leaves(engine)))
        return;
    engine->shutdown = SHUTDOWN_DONE;
    for (struct waiter *waiter = engine->shutdown_waiters; waiter; waiter = waiter->next) {
        struct buf *out = reply_open(engine);
        pack_map(out, 0);
        send_close(engine, SOCKET_CLIENTS, waiter->peer, MSG_REPLY, waiter->sequence, false);
        peer_answered(engine, waiter->peer);
    }
    waiters_free(&engine->shutdown_waiters);
    order_add(engine, ORDER_EXIT, "shutdown");
}
