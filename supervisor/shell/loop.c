/*
 * One turn of the loop: libuv's timers and descriptors only leave notes; the check phase, after
 * each wait, reads the sockets, feeds the engine, and ends the turn. Invariants: the sockets are
 * read before INPUT_TIME is given, so that a host is not held silent while its words lie unread;
 * while reading has stopped the engine is told no time either, so the gap shows. For the same
 * reason they are read before the engine hears that the local host has ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "supervisor/shell/log.h"
#include "supervisor/shell/shell.h"

/* Messages of each ROUTER in a turn: a few milliseconds of work at most, so that timers, signals
 * and the store's answers have their turn under any load. */
#define LOOP_DRAIN_MESSAGES 256
/* INPUT_TIME and the local host's end wait for the sockets to be read dry, but not for longer. */
#define LOOP_READ_GRACE_MS     250
#define LOOP_SHUTDOWN_GRACE_MS 30000
/* At the end: how often and how long to look whether the last messages are gone. */
#define LOOP_LEAVE_MS    10
#define LOOP_LEAVE_TRIES 50

int64_t shell_now_ms(void)
{
    return (int64_t)(uv_hrtime() / 1000000);
}

int64_t shell_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

void shell_step(struct shell *shell, struct input *input)
{
    if (shell->is_leaving)
        return;
    input->now_ms = shell_now_ms();
    input->wall_ms = shell_wall_ms();
    engine_step(shell->engine, input, &shell->open->effects);
    shell->is_dirty = true;
}

void shell_on_message(void *context, enum socket socket, uint32_t peer, struct msg_header header,
                      struct synk_bytes body)
{
    struct bus *bus = &((struct shell *)context)->bus;
    const char *name;
    enum role role = bus_role(bus, socket, peer, &name);
    struct input input = {
        .kind = socket == SOCKET_HOSTS ? INPUT_HOST_MESSAGE : INPUT_CLIENT_MESSAGE,
        .peer = peer,
        .is_remote = bus_is_remote(bus, socket, peer),
        .role = role,
        .text = bytes_str(name),
        .header = header,
        .body = body,
    };
    shell_step(context, &input);
}

void shell_on_peer_gone(void *context, enum socket socket, uint32_t peer)
{
    struct input input = {
        .kind = socket == SOCKET_HOSTS ? INPUT_HOST_PEER_GONE : INPUT_CLIENT_PEER_GONE,
        .peer = peer,
    };
    shell_step(context, &input);
}

void shell_on_local_host(void *context, enum local_host_event event, int64_t pid, const char *text)
{
    static const char *const messages[] = {
        [LOCAL_HOST_STARTED] = "local worker host runs",
        [LOCAL_HOST_EXITED] = "local worker host ended",
        [LOCAL_HOST_FAILED] = "local worker host could not be started",
    };
    log_line(event == LOCAL_HOST_STARTED ? LOG_INFO : LOG_WARN, messages[event],
             log_text("host", "local"), log_int("pid", pid), log_text("how", text));
    struct shell *shell = context;
    if (event == LOCAL_HOST_EXITED) {
        shell->local_exit.is_due = true;
        shell->local_exit.pid = pid;
        shell->local_exit.at_ms = shell_now_ms();
        snprintf(shell->local_exit.text, sizeof(shell->local_exit.text), "%s", text);
        return;
    }
    struct input input = {
        .kind = INPUT_LOCAL_HOST,
        .local_event = event,
        .pid = pid,
        .text = bytes_str(text),
    };
    shell_step(shell, &input);
}

static void on_due(uv_timer_t *timer)
{
    struct shell *shell = timer->data;
    shell->is_time_due = true;
    shell->due_ms = INT64_MAX;
}

/* The engine's clock runs on uv_hrtime; libuv's own is cached since the turn's start and would make
 * the timer early. */
static void arm_due(struct shell *shell)
{
    int64_t due = engine_next_due(shell->engine);
    if (shell->is_time_due || due == shell->due_ms)
        return;
    shell->due_ms = due;
    if (due == INT64_MAX) {
        uv_timer_stop(&shell->due);
        return;
    }
    int64_t wait = due - shell_now_ms();
    uv_update_time(&shell->uv);
    uv_timer_start(&shell->due, on_due, wait > 0 ? (uint64_t)wait : 0, 0);
}

static void step_time(struct shell *shell)
{
    if (!shell->is_time_due || shell->is_congested)
        return;
    int64_t late = shell_now_ms() - engine_next_due(shell->engine);
    if (shell->has_more && late < LOOP_READ_GRACE_MS)
        return;
    shell->is_time_due = false;
    struct input input = {.kind = INPUT_TIME};
    shell_step(shell, &input);
}

static void step_local_exit(struct shell *shell)
{
    if (!shell->local_exit.is_due || shell->is_congested)
        return;
    if (shell->has_more && shell_now_ms() - shell->local_exit.at_ms < LOOP_READ_GRACE_MS)
        return;
    shell->local_exit.is_due = false;
    struct input input = {
        .kind = INPUT_LOCAL_HOST,
        .local_event = LOCAL_HOST_EXITED,
        .pid = shell->local_exit.pid,
        .text = bytes_str(shell->local_exit.text),
    };
    shell_step(shell, &input);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* its being active is what keeps the loop from waiting */
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct shell *shell = prepare->data;
    bool has_input = bus_poll(&shell->bus);
    bool has_note = shell->is_time_due || shell->local_exit.is_due;
    bool has_work = (has_input || has_note) && !shell->is_congested;
    /* Timers run before the wait: what they told the engine is not to wait for the next message. */
    bool has_effects = shell->is_dirty && !shell->is_committing;
    if ((has_work || has_effects) && !shell->is_leaving)
        uv_idle_start(&shell->idle, on_idle);
    else
        uv_idle_stop(&shell->idle);
}

static void on_check(uv_check_t *check)
{
    struct shell *shell = check->data;
    if (shell->is_leaving)
        return;
    shell->is_congested = shell_is_congested(shell);
    if (!shell->is_congested)
        shell->has_more = bus_drain(&shell->bus, LOOP_DRAIN_MESSAGES);
    step_local_exit(shell);
    step_time(shell);
    shell_end_turn(shell);
    shell->is_congested = shell_is_congested(shell);
    if (!shell->is_leaving)
        arm_due(shell);
}

static void on_store_wake(uv_async_t *async)
{
    struct shell *shell = async->data;
    store_complete(shell->store);
}

static void on_second(uv_timer_t *timer)
{
    struct shell *shell = timer->data;
    bus_check_keys(&shell->bus);
    shell_publish_head(shell);
    shell_update_gauges(shell);
}

/* The first asks politely, the second ends what runs, a third does not wait for anything. */
static void on_signal(uv_signal_t *signal, int number)
{
    struct shell *shell = signal->data;
    shell->signal_count++;
    log_line(LOG_INFO, "signal", log_int("signal", number), log_int("count", shell->signal_count));
    if (shell->signal_count > 2) {
        log_line(LOG_ERROR, "leaving at once; the next start recovers");
        _Exit(70);
    }
    struct input input = {
        .kind = INPUT_SHUTDOWN,
        .grace_ms = shell->signal_count == 1 ? LOOP_SHUTDOWN_GRACE_MS : 0,
    };
    shell_step(shell, &input);
}

static void on_leave(uv_timer_t *timer)
{
    struct shell *shell = timer->data;
    bool is_done = bus_is_idle(&shell->bus) && shell->questions == 0;
    if (is_done || ++shell->leave_tries > LOOP_LEAVE_TRIES)
        uv_stop(&shell->uv);
}

void shell_leave(struct shell *shell)
{
    shell->is_leaving = true;
    uv_timer_start(&shell->leave, on_leave, 0, LOOP_LEAVE_MS);
}

void shell_start_handles(struct shell *shell)
{
    static const int signals[] = {SIGTERM, SIGINT};
    uv_loop_t *uv = &shell->uv;
    uv_prepare_init(uv, &shell->prepare);
    uv_check_init(uv, &shell->check);
    uv_idle_init(uv, &shell->idle);
    uv_timer_init(uv, &shell->due);
    uv_timer_init(uv, &shell->second);
    uv_timer_init(uv, &shell->retry);
    uv_timer_init(uv, &shell->leave);
    uv_async_init(uv, &shell->store_wake, on_store_wake);
    shell->prepare.data = shell->check.data = shell->due.data = shell->second.data = shell;
    shell->retry.data = shell->leave.data = shell->store_wake.data = shell;
    shell->due_ms = INT64_MAX;
    uv_prepare_start(&shell->prepare, on_prepare);
    uv_check_start(&shell->check, on_check);
    uv_timer_start(&shell->second, on_second, 1000, 1000);
    for (int i = 0; i < 2; i++) {
        uv_signal_init(uv, &shell->signals[i]);
        shell->signals[i].data = shell;
        uv_signal_start(&shell->signals[i], on_signal, signals[i]);
    }
}
