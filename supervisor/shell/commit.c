/*
 * The tick. Invariants: at most one commit is under way; while it is, inputs gather in the other
 * side of the double buffer; what a tick has to say leaves only after its own commit, and after
 * every earlier tick's. Flushing waits for the store too, so that one flush assigns and
 * acknowledges for everything that gathered.
 */
#include <stdio.h>
#include <stdlib.h>

#include "supervisor/shell/log.h"
#include "supervisor/shell/shell.h"

/* What may gather behind one commit before reading stops: twice the largest burst that a second of
 * full load makes, small beside what the engine itself holds. */
#define COMMIT_GATHER_BYTES ((size_t)64 << 20)
/* How often a store that was down is asked again. */
#define COMMIT_RETRY_MS 1000

static void on_committed(void *context, enum synk_status status, const struct synk_error *error,
                         int64_t commit_us);

static void do_orders(struct shell *shell, struct tick *tick)
{
    struct effects *effects = &tick->effects;
    /* Starting a host may step the engine, which may append to this very list. */
    for (size_t i = 0; i < effects->order_count; i++) {
        struct order order = effects->orders[i];
        switch (order.kind) {
        case ORDER_SPAWN_HOST:
            spawner_start(&shell->spawner);
            break;
        case ORDER_KILL_HOST:
            spawner_kill(&shell->spawner);
            break;
        case ORDER_EXIT:
            tick->has_exit = true;
            break;
        case ORDER_LOG:
            log_write_text(LOG_INFO, order.text);
            break;
        }
    }
    effects->order_count = 0;
}

/* Peers to whom a dispatch waits for its commit. All zero is empty; gathered once it is needed. */
struct dispatched {
    uint32_t *peers; /* sorted */
    size_t count;
    bool is_known;
};

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static size_t take_peers(uint32_t *ret_peers, const struct effects *effects)
{
    size_t count = 0;
    for (size_t i = 0; i < effects->send_count; i++)
        if (effects->sends[i].header.type == MSG_DISPATCH)
            ret_peers[count++] = effects->sends[i].peer;
    return count;
}

static bool has_dispatch(const struct shell *shell, struct dispatched *dispatched, uint32_t peer)
{
    if (!dispatched->is_known) {
        const struct effects *flight = &shell->flight->effects, *open = &shell->open->effects;
        dispatched->peers =
            mem_alloc((flight->send_count + open->send_count + 1) * sizeof(uint32_t));
        dispatched->count = take_peers(dispatched->peers, flight);
        dispatched->count += take_peers(dispatched->peers + dispatched->count, open);
        qsort(dispatched->peers, dispatched->count, sizeof(uint32_t), by_number);
        dispatched->is_known = true;
    }
    return bsearch(&peer, dispatched->peers, dispatched->count, sizeof(uint32_t), by_number);
}

/* A cancel overtakes the dispatch of what it cancels where that one still waits for its commit:
 * then the host knows nothing of it yet, and is told once more behind the dispatch. */
static void repeat_cancel(struct shell *shell, struct dispatched *dispatched,
                          const struct send *send)
{
    struct effects *effects = &shell->open->effects;
    if (send->header.type != MSG_CANCEL_ATTEMPT || !has_dispatch(shell, dispatched, send->peer))
        return;
    effects->sends = mem_grow(effects->sends, &effects->send_capacity, effects->send_count + 1,
                              sizeof(*effects->sends));
    effects->sends[effects->send_count++] = *send;
}

/* What does not wait for a commit. */
static void do_urgent(struct shell *shell)
{
    struct effects *effects = &shell->open->effects;
    struct dispatched dispatched = {0};
    for (size_t i = 0; i < effects->urgent_count; i++) {
        const struct send *send = &effects->urgent[i];
        struct synk_bytes body =
            bytes_of(effects->bodies.data + send->body_offset, send->body_size);
        bus_send(&shell->bus, send->socket, send->peer, send->header, body);
        repeat_cancel(shell, &dispatched, send);
    }
    free(dispatched.peers);
    effects->urgent_count = 0;
    if (shell->is_store_down)
        shell_ask(shell, effects); /* the store still reads, and shows what is saved */
    do_orders(shell, shell->open);
}

bool shell_is_congested(const struct shell *shell)
{
    const struct effects *open = &shell->open->effects;
    size_t bytes = open->batch.arena.used_bytes + open->batch.events.size * 2 +
                   open->batch.record_count * sizeof(struct record) + open->arena.used_bytes +
                   open->bodies.size;
    return shell->is_committing && bytes > COMMIT_GATHER_BYTES;
}

static void swap(struct shell *shell)
{
    struct tick *tick = shell->open;
    shell->open = shell->flight;
    shell->flight = tick;
}

/* Lets out what the tick in `flight` had to say, and empties it. */
static void finish(struct shell *shell)
{
    bool has_exit = shell->flight->has_exit;
    shell_release(shell, shell->flight);
    effects_clear(&shell->flight->effects);
    shell->flight->has_exit = false;
    if (has_exit)
        shell_leave(shell);
}

static void hand_over(struct shell *shell)
{
    struct tick *tick = shell->open;
    if (effects_is_empty(&tick->effects) && !tick->has_exit)
        return;
    swap(shell);
    if (batch_is_empty(&tick->effects.batch)) {
        finish(shell);
        return;
    }
    results_learn(&shell->results, &tick->effects.batch);
    shell->is_committing = true;
    store_commit(shell->store, &tick->effects.batch, on_committed, shell);
}

void shell_end_turn(struct shell *shell)
{
    do_urgent(shell);
    if (shell->is_committing)
        return;
    if (shell->is_dirty) {
        engine_flush(shell->engine, shell_now_ms(), shell_wall_ms(), &shell->open->effects);
        shell->is_dirty = false;
        do_urgent(shell);
    }
    hand_over(shell);
}

static void tell_store_state(struct shell *shell, bool store_ok, const char *text)
{
    shell->is_store_down = !store_ok;
    struct input input = {
        .kind = INPUT_STORE_STATE,
        .store_ok = store_ok,
        .text = bytes_str(text),
    };
    shell_step(shell, &input);
}

static void on_retry(uv_timer_t *timer)
{
    struct shell *shell = timer->data;
    store_commit(shell->store, &shell->flight->effects.batch, on_committed, shell);
}

static void on_committed(void *context, enum synk_status status, const struct synk_error *error,
                         int64_t commit_us)
{
    struct shell *shell = context;
    const char *text = error && error->text[0] ? error->text : synk_status_name(status);
    if (status == SYNK_STORE_DOWN) {
        if (!shell->is_store_down) {
            log_line(LOG_ERROR, "cannot save; nothing is acknowledged until it works again",
                     log_text("error", text));
            tell_store_state(shell, false, text);
        }
        uv_timer_start(&shell->retry, on_retry, COMMIT_RETRY_MS, 0);
        return;
    }
    if (status) {
        /* Whether it was applied is unknown: only a new start, from what is stored, is right. */
        log_line(LOG_ERROR, "saving failed; stopping to recover from what is saved",
                 log_text("status", synk_status_name(status)), log_text("error", text));
        _Exit(70);
    }
    shell->gauges.commits++;
    shell->gauges.records += shell->flight->effects.batch.record_count;
    shell->gauges.commit_us = commit_us;
    if (commit_us > shell->gauges.commit_max_us)
        shell->gauges.commit_max_us = commit_us;
    shell->is_committing = false;
    finish(shell);
    if (shell->is_store_down) {
        log_line(LOG_INFO, "saving works again");
        tell_store_state(shell, true, "");
    }
}
