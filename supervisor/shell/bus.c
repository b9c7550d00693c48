/*
 * Receiving and publishing; bus_send.c has the way out to peers. Invariants: a routing id gets a
 * number only once a header of it was understood, so that garbage does not fill the table; the two
 * frames of a message are read whole, whatever is in them, so that frames never shift.
 */
#include "supervisor/shell/bus.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "proto/limits.h"
#include "supervisor/shell/bus_internal.h"

/* Messages of one connection that wait inside ZeroMQ: enough to keep its I/O thread busy between
 * two turns of the loop, few enough that a peer which never reads costs little. */
#define BUS_QUEUE_MESSAGES 500
/* A subscriber that falls further behind loses messages and fetches them. */
#define BUS_PUBLISH_MESSAGES 500
/* Connections that wait to be accepted: a machine full of clients that start at once. */
#define BUS_BACKLOG 1024
/* Our sockets; connections are none. */
#define BUS_SOCKETS 8
/* How soon an address that is still being given up is asked for again. */
#define BUS_RETRY_BIND_MS 10
/* At the end, for last replies. */
#define BUS_LINGER_MS 500
/* A machine that vanished leaves its connections behind: asked after this much silence, this often,
 * and given up after so many questions, or when what was sent stays unconfirmed. */
#define BUS_TCP_IDLE_S         30
#define BUS_TCP_INTERVAL_S     10
#define BUS_TCP_QUESTIONS      3
#define BUS_TCP_UNCONFIRMED_MS 60000

static void set_int(void *socket, int option, int value)
{
    /* Fails only for an unknown option or a value out of its range: a bug here. */
    int failed = zmq_setsockopt(socket, option, &value, sizeof(value));
    assert(!failed);
}

static bool has_input(void *socket)
{
    int events = 0;
    size_t size = sizeof(events);
    int failed = zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size);
    assert(!failed || errno == EINTR);
    return failed || (events & ZMQ_POLLIN);
}

/* Wakes the loop, and lets the socket take in what its I/O thread tells: for the PUB subscriptions,
 * before the next message. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    has_input(poll->data);
}

static void set_tcp(void *socket)
{
    set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, BUS_TCP_IDLE_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, BUS_TCP_INTERVAL_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, BUS_TCP_QUESTIONS);
    set_int(socket, ZMQ_TCP_MAXRT, BUS_TCP_UNCONFIRMED_MS);
}

static enum synk_status bind_to(void *socket, const char *address, struct synk_error *error)
{
    set_int(socket, ZMQ_IPV6, strchr(address, '[') != NULL);
    if (zmq_bind(socket, address) == 0)
        return SYNK_OK;
    int code = errno;
    bool is_taken = code == EADDRINUSE && strncmp(address, "tcp:", 4) == 0;
    return status_fail(error, SYNK_IO, "cannot listen on %s: %s%s", address, zmq_strerror(code),
                       is_taken ? " (--listen takes three ports: its own and the next two)" : "");
}

/* What listens takes the socket's settings as they are at its bind: so one socket asks those who
 * come over the network for keys, and not those of this machine. */
static enum synk_status bind_remote(struct bus *bus, void *socket, const char *address,
                                    const char *domain, struct synk_error *error)
{
    if (bus->options.guard)
        guard_arm(bus->options.guard, socket, domain);
    enum synk_status status = bind_to(socket, address, error);
    if (bus->options.guard)
        guard_arm(bus->options.guard, socket, NULL);
    return status;
}

struct opening {
    int type;
    const char *address, *remote; /* NULL = none */
    const char *domain;           /* for ZAP */
};

static enum synk_status open_socket(struct bus *bus, const struct opening *opening,
                                    void **ret_socket, uv_poll_t *poll, struct synk_error *error)
{
    int type = opening->type;
    void *socket = zmq_socket(bus->context, type);
    if (!socket)
        return status_fail(error, SYNK_IO, "cannot open a socket: %s", zmq_strerror(errno));
    *ret_socket = socket;
    int64_t max_bytes = LIMIT_FRAME_BYTES + (64 << 10);
    int failed = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof(max_bytes));
    assert(!failed);
    set_int(socket, ZMQ_LINGER, 0);
    set_int(socket, ZMQ_BACKLOG, BUS_BACKLOG);
    set_int(socket, ZMQ_RCVHWM, BUS_QUEUE_MESSAGES);
    set_int(socket, ZMQ_SNDHWM, type == ZMQ_PUB ? BUS_PUBLISH_MESSAGES : BUS_QUEUE_MESSAGES);
    if (type == ZMQ_ROUTER)
        set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
    set_tcp(socket);
    /* The one that can be taken by others first: nobody is to be let in by a start that fails. */
    enum synk_status status = SYNK_OK;
    if (opening->remote)
        status = bind_remote(bus, socket, opening->remote, opening->domain, error);
    size_t room = sizeof(bus->readers_endpoint);
    if (!status && opening->remote && type == ZMQ_PUB)
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bus->readers_endpoint, &room);
    if (!status)
        status = bind_to(socket, opening->address, error);
    if (status)
        return status;

    int fd = -1;
    size_t size = sizeof(fd);
    failed = zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
    assert(!failed);
    int code = uv_poll_init(bus->options.loop, poll, fd);
    poll->data = socket;
    if (code == 0)
        code = uv_poll_start(poll, UV_READABLE, on_readable);
    if (code)
        return status_fail(error, SYNK_IO, "cannot watch %s: %s", opening->address,
                           uv_strerror(code));
    return SYNK_OK;
}

enum synk_status bus_open(struct bus *bus, const struct bus_options *options,
                          struct synk_error *error)
{
    *bus = (struct bus){.options = *options};
    bus->context = zmq_ctx_new();
    if (!bus->context)
        return status_fail(error, SYNK_IO, "cannot start ZeroMQ: %s", zmq_strerror(errno));
    int failed = zmq_ctx_set(bus->context, ZMQ_MAX_SOCKETS, BUS_SOCKETS);
    assert(!failed);
    uv_timer_init(options->loop, &bus->retry);
    uv_timer_init(options->loop, &bus->rebind);
    bus->retry.data = bus->rebind.data = bus;
    enum synk_status status = SYNK_OK;
    if (options->guard)
        status = guard_open(options->guard, bus->context, options->loop, error);
    for (int i = 0; i < 2 && !status; i++) {
        struct bus_router *router = &bus->routers[i];
        struct opening opening = {ZMQ_ROUTER, options->addresses[i], options->remote_addresses[i],
                                  i == SOCKET_HOSTS ? "hosts" : "clients"};
        peers_init(&router->peers, LIMIT_PEERS);
        status = open_socket(bus, &opening, &router->zmq, &router->poll, error);
    }
    if (status)
        return status;
    struct opening opening = {ZMQ_PUB, options->events_address, options->remote_events_address,
                              "events"};
    return open_socket(bus, &opening, &bus->publisher, &bus->publisher_poll, error);
}

static void close_socket(void *socket, uv_poll_t *poll)
{
    if (!socket)
        return;
    /* loop is set once the handle was initialised; libuv must forget the descriptor first. */
    if (poll->loop) {
        uv_poll_stop(poll);
        uv_close((uv_handle_t *)poll, NULL);
    }
    set_int(socket, ZMQ_LINGER, BUS_LINGER_MS);
    zmq_close(socket);
}

void bus_close(struct bus *bus)
{
    if (!bus || !bus->context)
        return;
    uv_close((uv_handle_t *)&bus->retry, NULL);
    uv_close((uv_handle_t *)&bus->rebind, NULL);
    for (int i = 0; i < 2; i++) {
        struct bus_router *router = &bus->routers[i];
        bus_drop_outboxes(bus, router);
        close_socket(router->zmq, &router->poll);
        peers_fini(&router->peers);
        free(router->busy);
    }
    close_socket(bus->publisher, &bus->publisher_poll);
    if (bus->options.guard)
        guard_close(bus->options.guard);
    while (zmq_ctx_term(bus->context) != 0 && errno == EINTR)
        ;
    bus->context = NULL;
    free(bus->gone);
    bus->gone = NULL;
}

bool bus_poll(struct bus *bus)
{
    bool hosts = has_input(bus->routers[SOCKET_HOSTS].zmq);
    bool clients = has_input(bus->routers[SOCKET_CLIENTS].zmq);
    /* Here, and not where messages are read: those may have to wait for the store. */
    bool handshakes = bus->options.guard && guard_serve(bus->options.guard);
    return hosts || clients || handshakes || bus->gone_count > 0;
}

/* One frame without waiting; false where none is there. */
static bool receive(void *socket, zmq_msg_t *frame)
{
    int size;
    do
        size = zmq_msg_recv(frame, socket, ZMQ_DONTWAIT);
    while (size < 0 && errno == EINTR);
    assert(size >= 0 || errno == EAGAIN);
    return size >= 0;
}

static struct synk_bytes frame_bytes(zmq_msg_t *frame)
{
    return bytes_of(zmq_msg_data(frame), zmq_msg_size(frame));
}

/* What ZeroMQ knows about the connection that a frame came by: of a local one
 * "localhost:USER:GROUP:PROCESS", of others the machine's address, in numbers. */
static bool came_by_tcp(zmq_msg_t *frame)
{
    static const char local[] = "localhost";
    const char *address = zmq_msg_gets(frame, "Peer-Address");
    return !address || strncmp(address, local, strlen(local)) != 0;
}

/* The number of whoever sent this, making room for a newcomer. What is known about the connection
 * itself is looked up once. */
static uint32_t identify(struct bus *bus, enum socket socket, struct synk_bytes id,
                         zmq_msg_t *frame)
{
    struct peers *peers = &bus->routers[socket].peers;
    uint32_t number = peers_find(peers, id);
    if (number)
        return number;
    uint32_t oldest;
    if (peers_is_full(peers, &oldest)) {
        bus_drop_peer(bus, socket, oldest);
        bus->options.on_gone(bus->options.context, socket, oldest);
    }
    number = peers_add(peers, id);
    struct peer *peer = peers_get(peers, number);
    const char *user = zmq_msg_gets(frame, "User-Id");
    peer->is_remote = came_by_tcp(frame);
    peer->has_key = user && key_parse(bytes_str(user), peer->key);
    return number;
}

static void look_up(struct bus *bus, struct peer *peer)
{
    const struct guard *guard = bus->options.guard;
    if (peer->version == guard->version)
        return;
    const struct listed_key *key = peer->has_key ? guard_find(guard, peer->key) : NULL;
    peer->version = guard->version;
    peer->role = key ? key->role : ROLE_NONE;
    snprintf(peer->name, sizeof(peer->name), "%s", key ? key->name : "");
}

enum role bus_role(struct bus *bus, enum socket socket, uint32_t number, const char **ret_name)
{
    struct peer *peer = peers_get(&bus->routers[socket].peers, number);
    *ret_name = "";
    if (!peer)
        return ROLE_NONE;
    if (!bus->options.guard || !peer->is_remote)
        return ROLE_ADMIN;
    look_up(bus, peer);
    *ret_name = peer->name;
    return peer->role;
}

/* The old listener's thread closes its port in its own time. */
static void on_rebind(uv_timer_t *timer)
{
    struct bus *bus = timer->data;
    struct synk_error error;
    if (bind_remote(bus, bus->publisher, bus->readers_endpoint, "events", &error) == SYNK_OK)
        uv_timer_stop(timer);
}

/* ZeroMQ has no way to end one connection of a PUB: all of other machines are, and those who may
 * come back do, and fetch what they missed. */
static void cut_readers(struct bus *bus)
{
    if (!bus->readers_endpoint[0] || uv_is_active((uv_handle_t *)&bus->rebind))
        return;
    zmq_unbind(bus->publisher, bus->readers_endpoint);
    uv_timer_start(&bus->rebind, on_rebind, BUS_RETRY_BIND_MS, BUS_RETRY_BIND_MS);
}

void bus_check_keys(struct bus *bus)
{
    struct guard *guard = bus->options.guard;
    if (!guard)
        return;
    guard_refresh(guard);
    if (guard_take_cut(guard))
        cut_readers(bus);
    if (bus->checked_version == guard->version)
        return;
    bus->checked_version = guard->version;
    for (int socket = 0; socket < 2; socket++) {
        struct peers *peers = &bus->routers[socket].peers;
        for (uint32_t slot = 0; slot < peers->slot_count; slot++) {
            uint32_t number = peers_number(peers, slot);
            const char *name;
            if (!number || bus_role(bus, (enum socket)socket, number, &name) != ROLE_NONE)
                continue;
            bus_drop_peer(bus, (enum socket)socket, number);
            bus->options.on_gone(bus->options.context, (enum socket)socket, number);
        }
    }
}

bool bus_is_remote(struct bus *bus, enum socket socket, uint32_t number)
{
    const struct peer *peer = peers_get(&bus->routers[socket].peers, number);
    return peer && peer->is_remote;
}

static void deliver(struct bus *bus, enum socket socket, zmq_msg_t *frames, size_t count)
{
    struct msg_header header;
    struct synk_bytes id = frame_bytes(&frames[0]);
    /* Routing ids that we gave out begin with a zero byte. One that the peer chose could be another
     * peer's later, who would then pass for it. */
    bool is_ours = id.size && ((const uint8_t *)id.data)[0] == 0;
    if (count < 2 || count > 3 || !is_ours ||
        msg_header_decode(frame_bytes(&frames[1]), &header, NULL)) {
        bus->dropped++;
        return;
    }
    /* A header without a body is answered as a body that does not decode. */
    struct synk_bytes body = count == 3 ? frame_bytes(&frames[2]) : bytes_of(NULL, 0);
    uint32_t peer = identify(bus, socket, id, &frames[1]);
    bus->options.on_message(bus->options.context, socket, peer, header, body);
}

/* Reads one message: routing id, header, body. Frames beyond are counted and let go. */
static bool receive_message(struct bus *bus, enum socket socket)
{
    void *zmq = bus->routers[socket].zmq;
    zmq_msg_t frames[3], rest;
    size_t count = 0;
    zmq_msg_init(&frames[0]);
    if (!receive(zmq, &frames[0])) {
        zmq_msg_close(&frames[0]);
        return false;
    }
    zmq_msg_t *last = &frames[count++];
    while (zmq_msg_more(last)) {
        if (last == &rest)
            zmq_msg_close(&rest);
        last = count < 3 ? &frames[count] : &rest;
        zmq_msg_init(last);
        /* ZeroMQ hands over a message's frames together. */
        bool received = receive(zmq, last);
        assert(received);
        count++;
    }
    if (last == &rest)
        zmq_msg_close(&rest);
    deliver(bus, socket, frames, count);
    for (size_t i = 0; i < count && i < 3; i++)
        zmq_msg_close(&frames[i]);
    return true;
}

static void report_gone(struct bus *bus)
{
    for (size_t i = 0; i < bus->gone_count; i++)
        bus->options.on_gone(bus->options.context, bus->gone[i].socket, bus->gone[i].peer);
    bus->gone_count = 0;
}

bool bus_drain(struct bus *bus, size_t max)
{
    report_gone(bus);
    bool more = false;
    for (int socket = 0; socket < 2; socket++) {
        size_t count = 0;
        while (count < max && receive_message(bus, (enum socket)socket))
            count++;
        more = more || count == max;
    }
    return more;
}

static void publish_frame(struct bus *bus, zmq_msg_t *frame, int flags)
{
    int sent;
    do
        sent = zmq_msg_send(frame, bus->publisher, flags | ZMQ_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    /* A PUB drops for subscribers that are full; it never asks to wait. */
    assert(sent >= 0);
}

void bus_publish(struct bus *bus, struct synk_bytes topic, struct msg_header header,
                 struct synk_bytes prefix, struct synk_bytes items)
{
    zmq_msg_t frame;
    int failed = zmq_msg_init_size(&frame, topic.size + 1);
    assert(!failed);
    uint8_t *data = zmq_msg_data(&frame);
    memcpy(data, topic.data, topic.size);
    data[topic.size] = '\0';
    publish_frame(bus, &frame, ZMQ_SNDMORE);

    failed = zmq_msg_init_size(&frame, MSG_HEADER_BYTES);
    assert(!failed);
    msg_header_encode(header, zmq_msg_data(&frame));
    publish_frame(bus, &frame, ZMQ_SNDMORE);

    failed = zmq_msg_init_size(&frame, prefix.size + items.size);
    assert(!failed);
    data = zmq_msg_data(&frame);
    memcpy(data, prefix.data, prefix.size);
    if (items.size)
        memcpy(data + prefix.size, items.data, items.size);
    publish_frame(bus, &frame, 0);
}
