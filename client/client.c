/*
 * The client itself: opening, closing, and one turn of its loop.
 *
 * Invariant: the fd is readable whenever synk_client_process has something to do. It is an epoll
 * over ZeroMQ's edge-triggered fds, a timer, and an eventfd that is raised while messages are left
 * in a socket whose edge is gone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "client/call.h"
#include "client/client_internal.h"

const char *synk_version(void)
{
    return SYNK_VERSION;
}

unsigned synk_abi_version(void)
{
    return SYNK_ABI_VERSION;
}

int64_t client_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

enum synk_status client_check_supervisor(const struct synk_client *client, struct synk_error *error)
{
    if (client->addresses.count || directory_supervisor_pid(&client->directory, NULL))
        return SYNK_OK;
    return status_fail(error, SYNK_UNAVAILABLE,
                       "no supervisor runs on %s: start one with `synk up`", client->directory.run);
}

static enum synk_status watch(struct synk_client *client, int fd, struct synk_error *error)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (fd < 0 || epoll_ctl(client->fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return status_fail(error, SYNK_IO, "cannot set up the client's descriptor: %s",
                           strerror(errno));
    return SYNK_OK;
}

static enum synk_status open_fds(struct synk_client *client, struct synk_error *error)
{
    client->fd = epoll_create1(EPOLL_CLOEXEC);
    client->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int fds[] = {client->timer_fd, client->wake_fd, client->turn.interrupt_fd};
    enum synk_status status = SYNK_OK;
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]) && !status; i++)
        status = watch(client, fds[i], error);
    return status;
}

/* What the program says comes before what the environment says, addresses before a directory. */
static enum synk_status locate(struct synk_client *client,
                               const struct synk_client_options *options, struct synk_error *error)
{
    const char *text = options->connect;
    if (text && options->directory)
        return status_fail(error, SYNK_INVALID,
                           "a directory and addresses to connect to: which of the two?");
    bool is_environment = !text && !options->directory;
    if (is_environment)
        text = getenv("SYNK_CONNECT");
    if (is_environment && text && !text[0])
        text = NULL;
    if (!text) {
        enum synk_status status = directory_resolve(options->directory, &client->directory, error);
        if (!status)
            client->where = mem_strdup(client->directory.run);
        return status;
    }
    enum synk_status status = address_list_parse(text, &client->addresses, error);
    if (status) {
        status_prefix(error, "%s", is_environment ? "SYNK_CONNECT" : "--connect");
        return status;
    }
    status = key_ring_load(options->key_file, options->server_key, &client->keys, error);
    if (status)
        return status;
    struct buf where = {0};
    address_list_print(&client->addresses, &where);
    client->where = (char *)where.data;
    return SYNK_OK;
}

enum synk_status synk_client_open(const struct synk_client_options *options,
                                  struct synk_client **ret_client, struct synk_error *error)
{
    static const struct synk_client_options defaults;
    if (!options)
        options = &defaults;
    enum synk_status status = call_check_reserved(
        options->reserved, sizeof(options->reserved) / sizeof(options->reserved[0]),
        "synk_client_options", error);
    if (status)
        return status;
    struct synk_client *client = mem_zalloc(1, sizeof(*client));
    client->fd = client->timer_fd = client->wake_fd = -1;
    turn_init(&client->turn);
    client->timeout_ms = options->timeout_ms;
    client->fail_fast = options->fail_fast;
    client->notice = options->notice;
    client->notice_context = options->notice_context;
    status = locate(client, options, error);
    if (!status && client->fail_fast)
        status = client_check_supervisor(client, error);
    if (!status)
        status = open_fds(client, error);
    if (!status)
        status = link_init(client, error);
    if (status) {
        synk_client_close(client);
        return status;
    }
    client_arm(client);
    *ret_client = client;
    return SYNK_OK;
}

void synk_client_close(struct synk_client *client)
{
    if (!client)
        return;
    client->is_closing = true;
    subscriptions_fini(client);
    struct synk_error error;
    status_fail(&error, SYNK_CANCELLED, "the client was closed");
    requests_fail(client, &error);
    requests_fini(&client->requests);
    link_fini(&client->link);
    int fds[] = {client->fd, client->timer_fd, client->wake_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    turn_fini(&client->turn);
    free(client->where);
    explicit_bzero(&client->keys, sizeof(client->keys));
    free(client);
}

int synk_client_fd(const struct synk_client *client)
{
    return client->fd;
}

const char *synk_client_directory(const struct synk_client *client)
{
    return client->where;
}

static void set_awake(struct synk_client *client, bool awake)
{
    if (awake == client->is_awake)
        return;
    /* Neither can fail: the counter goes between 0 and 1. */
    if (awake)
        eventfd_write(client->wake_fd, 1);
    else
        eventfd_read(client->wake_fd, &(eventfd_t){0});
    client->is_awake = awake;
}

static void set_timer(struct synk_client *client)
{
    int64_t link_ms = link_deadline_ms(client), events_ms = subscriptions_deadline_ms(client);
    int64_t due_ms = link_ms < events_ms ? link_ms : events_ms;
    struct itimerspec timer = {0};
    if (due_ms != INT64_MAX) {
        /* Zero would disarm it. */
        due_ms = due_ms < 1 ? 1 : due_ms;
        timer.it_value.tv_sec = due_ms / 1000;
        timer.it_value.tv_nsec = due_ms % 1000 * 1000000;
    }
    timerfd_settime(client->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

void client_arm(struct synk_client *client)
{
    if (client->is_closing)
        return;
    struct link *link = &client->link;
    bool may_send = client->requests.unsent && !link->down_since_ms;
    int wanted = ZMQ_POLLIN | (may_send ? ZMQ_POLLOUT : 0);
    /* Each is asked, for asking is what makes its fd tell of the next message. */
    bool replies = link_has(link->dealer, wanted);
    bool connections = link_has(link->monitor, ZMQ_POLLIN);
    bool published = link_has(link->events, ZMQ_POLLIN);
    set_awake(client, replies || connections || published);
    set_timer(client);
}

void client_make_turn(struct synk_client *client)
{
    uint64_t expirations;
    /* Only takes the timer's readability away; it is set anew below. */
    while (read(client->timer_fd, &expirations, sizeof(expirations)) < 0 && errno == EINTR)
        ;
    turn_take_interrupt(&client->turn);
    int64_t now_ms = client_now_ms();
    link_process(client, now_ms);
    subscriptions_process(client, now_ms);
    requests_flush(client);
    client_arm(client);
}

void synk_client_process(struct synk_client *client)
{
    client_lock(client);
    client_make_turn(client);
    turn_made(client, false);
    client_unlock(client);
}

enum synk_status synk_client_wait(struct synk_client *client, int timeout_ms)
{
    client_lock(client);
    enum synk_status status =
        turn_wait(client, timeout_ms < 0 ? INT64_MAX : client_now_ms() + timeout_ms);
    client_unlock(client);
    return status;
}
