/*
 * The DEALER. ZeroMQ's descriptor is edge-triggered: readability is told once, so the socket's own
 * event mask is asked before every sleep, after what was sent and received, and an idle handle
 * keeps the loop turning while a turn's bound leaves something behind.
 */
#include "worker-host/link.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include "proto/address.h"
#include "proto/limits.h"

enum {
    MESSAGES_A_TURN = 64,
    QUEUE_BYTES = 64 << 20,
    /* How long the last messages may take to leave when the program does. */
    GOODBYE_MS = 200,
    RECONNECT_MS = 100,
    RECONNECT_MAX_MS = 2000,
    /* Over the network: a connection that takes longer is tried anew, and one whose machine has
     * vanished is given up. The session has heartbeats of its own; this is for what they do not
     * see, the connection of before. */
    CONNECT_MS = 3000,
    UNCONFIRMED_MS = 30000,
};

struct queued {
    struct queued *next;
    uint8_t header[MSG_HEADER_BYTES];
    size_t size;
    uint8_t body[];
};

struct link {
    uv_loop_t *loop;
    link_receive receive;
    void *context;
    void *zmq, *socket;
    uv_poll_t *poll;
    link_broken broken; /* NULL = nobody asks */
    void *monitor;
    uv_poll_t *monitor_poll;
    unsigned monitors; /* so far: each has a name of its own */
    uv_idle_t idle;
    char *address;
    struct key_ring keys;
    struct queued *first, **last;
    size_t queued_bytes;
    uint64_t dropped;
};

static void on_readable(uv_poll_t *poll, int status, int events)
{
    /* The loop is awake; link_pump does the work before it sleeps again. */
    (void)poll, (void)status, (void)events;
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

struct link *link_new(uv_loop_t *loop, link_receive receive, void *context)
{
    struct link *link = mem_zalloc(1, sizeof(*link));
    link->loop = loop;
    link->receive = receive;
    link->context = context;
    link->last = &link->first;
    link->zmq = zmq_ctx_new();
    if (!link->zmq)
        abort();
    uv_idle_init(loop, &link->idle);
    return link;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void forget_queue(struct link *link)
{
    for (struct queued *item = link->first, *next; item; item = next) {
        next = item->next;
        free(item);
    }
    link->first = NULL;
    link->last = &link->first;
    link->queued_bytes = 0;
}

static void unwatch(uv_poll_t **poll)
{
    if (!*poll)
        return;
    uv_poll_stop(*poll);
    uv_close((uv_handle_t *)*poll, free_handle);
    *poll = NULL;
}

static void watch(struct link *link, void *socket, uv_poll_t **ret_poll)
{
    int fd;
    size_t size = sizeof(fd);
    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &size))
        abort();
    *ret_poll = mem_alloc(sizeof(**ret_poll));
    if (uv_poll_init(link->loop, *ret_poll, fd) ||
        uv_poll_start(*ret_poll, UV_READABLE, on_readable))
        abort();
}

static void disconnect(struct link *link)
{
    unwatch(&link->poll);
    unwatch(&link->monitor_poll);
    if (link->monitor) {
        zmq_socket_monitor(link->socket, NULL, 0);
        zmq_close(link->monitor);
    }
    if (link->socket)
        zmq_close(link->socket);
    link->socket = link->monitor = NULL;
    forget_queue(link);
}

void link_watch_breaks(struct link *link, link_broken broken)
{
    link->broken = broken;
}

/* Without it, breaks are seen by silence. */
static void open_monitor(struct link *link)
{
    char address[48];
    snprintf(address, sizeof(address), "inproc://link-%u", link->monitors++);
    if (!link->broken ||
        zmq_socket_monitor(link->socket, address,
                           ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CONNECT_RETRIED) != 0)
        return;
    link->monitor = zmq_socket(link->zmq, ZMQ_PAIR);
    if (!link->monitor)
        return;
    int no_linger = 0;
    zmq_setsockopt(link->monitor, ZMQ_LINGER, &no_linger, sizeof(no_linger));
    if (zmq_connect(link->monitor, address) != 0) {
        zmq_close(link->monitor);
        link->monitor = NULL;
        return;
    }
    watch(link, link->monitor, &link->monitor_poll);
}

static void set_option(void *socket, int option, int value)
{
    int failed = zmq_setsockopt(socket, option, &value, sizeof(value));
    assert(!failed);
}

void link_set_keys(struct link *link, const struct key_ring *keys)
{
    link->keys = *keys;
}

static void set_keys(struct link *link)
{
    const struct key_ring *keys = &link->keys;
    if (keys->has_keys &&
        (zmq_setsockopt(link->socket, ZMQ_CURVE_PUBLICKEY, keys->pair.public_key, KEY_BYTES) ||
         zmq_setsockopt(link->socket, ZMQ_CURVE_SECRETKEY, keys->pair.secret_key, KEY_BYTES) ||
         zmq_setsockopt(link->socket, ZMQ_CURVE_SERVERKEY, keys->server_key, KEY_BYTES)))
        abort();
}

void link_free(struct link *link)
{
    if (!link)
        return;
    if (link->socket)
        set_option(link->socket, ZMQ_LINGER, GOODBYE_MS);
    disconnect(link);
    uv_close((uv_handle_t *)&link->idle, NULL);
    uv_run(link->loop, UV_RUN_NOWAIT); /* lets the closed handles go */
    zmq_ctx_term(link->zmq);
    free(link->address);
    explicit_bzero(&link->keys, sizeof(link->keys));
    free(link);
}

enum synk_status link_connect(struct link *link, struct synk_bytes address,
                              struct synk_error *error)
{
    disconnect(link);
    if (address.size) {
        free(link->address);
        link->address = mem_strndup(address.data, address.size);
    }
    link->socket = zmq_socket(link->zmq, ZMQ_DEALER);
    if (!link->socket)
        return status_fail(error, SYNK_IO, "cannot make a socket: %s", zmq_strerror(zmq_errno()));
    int64_t largest = LIMIT_FRAME_BYTES + (64 << 10);
    set_option(link->socket, ZMQ_LINGER, 0);
    /* Not ZMQ_IMMEDIATE: with it libzmq 4.3 takes a broken connection's pipe away at once, and ends
     * the process (fq.cpp, "!_more") where that falls between two frames of a message. */
    set_option(link->socket, ZMQ_SNDHWM, 1000);
    set_option(link->socket, ZMQ_RCVHWM, 1000);
    set_option(link->socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    set_option(link->socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
    set_option(link->socket, ZMQ_IPV6, address_is_v6(link->address));
    set_option(link->socket, ZMQ_CONNECT_TIMEOUT, CONNECT_MS);
    set_option(link->socket, ZMQ_TCP_KEEPALIVE, 1);
    set_option(link->socket, ZMQ_TCP_MAXRT, UNCONFIRMED_MS);
    if (zmq_setsockopt(link->socket, ZMQ_MAXMSGSIZE, &largest, sizeof(largest)))
        abort();
    set_keys(link);
    open_monitor(link);
    if (zmq_connect(link->socket, link->address))
        return status_fail(error, SYNK_INVALID, "cannot connect to '%s': %s", link->address,
                           zmq_strerror(zmq_errno()));
    watch(link, link->socket, &link->poll);
    return SYNK_OK;
}

/* False when the peer does not take it now. */
static bool send_now(struct link *link, const uint8_t *header, struct synk_bytes body)
{
    if (zmq_send(link->socket, header, MSG_HEADER_BYTES, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return false;
    /* Once a message's first part is taken, ZeroMQ takes the rest. */
    if (zmq_send(link->socket, body.data, body.size, ZMQ_DONTWAIT) < 0)
        abort();
    return true;
}

void link_send(struct link *link, struct msg_header header, struct synk_bytes body)
{
    uint8_t bytes[MSG_HEADER_BYTES];
    msg_header_encode(header, bytes);
    if (!link->first && link->socket && send_now(link, bytes, body))
        return;
    if (link->queued_bytes + body.size > QUEUE_BYTES) {
        link->dropped++;
        return;
    }
    struct queued *item = mem_alloc(sizeof(*item) + body.size);
    item->next = NULL;
    item->size = body.size;
    memcpy(item->header, bytes, sizeof(bytes));
    memcpy(item->body, body.data, body.size);
    link->queued_bytes += body.size;
    *link->last = item;
    link->last = &item->next;
}

static void send_queued(struct link *link)
{
    while (link->first &&
           send_now(link, link->first->header, bytes_of(link->first->body, link->first->size))) {
        struct queued *item = link->first;
        link->first = item->next;
        if (!link->first)
            link->last = &link->first;
        link->queued_bytes -= item->size;
        free(item);
    }
}

/* One message of at most three frames; longer ones are read to their end and dropped. */
static bool receive_one(struct link *link)
{
    enum { FRAMES_MAX = 3 };
    zmq_msg_t frames[FRAMES_MAX];
    size_t count = 0, total = 0;
    int more = 1;
    while (more) {
        zmq_msg_t extra, *frame = count < FRAMES_MAX ? &frames[count] : &extra;
        zmq_msg_init(frame);
        if (zmq_msg_recv(frame, link->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(frame);
            break;
        }
        more = zmq_msg_more(frame);
        total++;
        if (frame == &extra)
            zmq_msg_close(frame);
        else
            count++;
    }
    struct msg_header header;
    bool is_good = total >= 2 && total <= FRAMES_MAX &&
                   msg_header_decode(bytes_of(zmq_msg_data(&frames[0]), zmq_msg_size(&frames[0])),
                                     &header, NULL) == SYNK_OK;
    link->dropped += total && !is_good;
    struct synk_bytes parts[2] = {{0}};
    for (size_t i = 1; i < count; i++)
        parts[i - 1] = bytes_of(zmq_msg_data(&frames[i]), zmq_msg_size(&frames[i]));
    void *socket = link->socket;
    if (is_good)
        link->receive(link->context, header, parts[0], parts[1]);
    for (size_t i = 0; i < count; i++)
        zmq_msg_close(&frames[i]);
    return total > 0 && socket == link->socket;
}

/* Whether the monitor had anything to say; each event is two frames. */
static bool has_broken(struct link *link)
{
    bool broken = false;
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    while (link->monitor && zmq_msg_recv(&frame, link->monitor, ZMQ_DONTWAIT) >= 0)
        broken = true;
    zmq_msg_close(&frame);
    return broken;
}

void link_pump(struct link *link)
{
    if (!link->socket)
        return;
    if (has_broken(link))
        link->broken(link->context);
    bool more = true;
    int turns = 0;
    for (; turns < MESSAGES_A_TURN && more && link->socket; turns++)
        more = receive_one(link);
    if (link->socket)
        send_queued(link);
}

void link_settle(struct link *link)
{
    int events = 0;
    size_t size = sizeof(events);
    if (link->socket && zmq_getsockopt(link->socket, ZMQ_EVENTS, &events, &size))
        events = 0;
    if (events & ZMQ_POLLIN || (link->first && events & ZMQ_POLLOUT))
        uv_idle_start(&link->idle, on_idle);
    else
        uv_idle_stop(&link->idle);
    /* Asked, so that its descriptor tells of the next one. */
    size = sizeof(events);
    if (link->monitor && zmq_getsockopt(link->monitor, ZMQ_EVENTS, &events, &size) == 0 &&
        events & ZMQ_POLLIN)
        uv_idle_start(&link->idle, on_idle);
}

uint64_t link_dropped(const struct link *link)
{
    return link->dropped;
}
