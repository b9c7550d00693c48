/*
 * The way out to peers. Invariants: messages to one peer leave in the order of the calls; a peer is
 * in its router's busy list exactly while its outbox is not empty; a held message whose peer has
 * gone is an orphan, owned by whoever is to fill it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <zmq.h>

#include "supervisor/shell/bus_internal.h"

/* What waits for one peer beyond ZeroMQ's own queue; a peer this far behind has stopped reading,
 * and is better told to start over. */
#define BUS_OUTBOX_BYTES ((size_t)64 << 20)
/* The same for all peers together. */
#define BUS_OUTBOXES_BYTES ((size_t)512 << 20)
/* How soon a full peer is tried again. */
#define BUS_RETRY_MS 5

struct outgoing {
    struct outgoing *next;
    zmq_msg_t frames[3]; /* header, body, values */
    enum socket socket;
    uint32_t peer;
    size_t size;
    int frame_count;
    bool is_held;   /* waits for bus_fill or bus_drop */
    bool is_void;   /* given up: not sent when its turn comes */
    bool is_orphan; /* its peer has gone */
};

enum attempt { SENT, FULL, GONE };

static void frame_copy(zmq_msg_t *frame, struct synk_bytes bytes)
{
    int failed = zmq_msg_init_size(frame, bytes.size);
    assert(!failed);
    if (bytes.size)
        memcpy(zmq_msg_data(frame), bytes.data, bytes.size);
}

static void frames_init(zmq_msg_t *frames, struct msg_header header, struct synk_bytes body)
{
    int failed = zmq_msg_init_size(&frames[0], MSG_HEADER_BYTES);
    assert(!failed);
    msg_header_encode(header, zmq_msg_data(&frames[0]));
    frame_copy(&frames[1], body);
}

static void frames_close(zmq_msg_t *frames, int count)
{
    for (int i = 0; i < count; i++)
        zmq_msg_close(&frames[i]);
}

static int send_frame(void *socket, zmq_msg_t *frame, int flags)
{
    int sent;
    do
        sent = zmq_msg_send(frame, socket, flags | ZMQ_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent;
}

/* Hands the frames to ZeroMQ, which then owns them; unless FULL or GONE, where they stay here. */
static enum attempt try_send(struct bus_router *router, const struct peer *peer, zmq_msg_t *frames,
                             int count)
{
    zmq_msg_t id;
    frame_copy(&id, bytes_of(peer->id, peer->id_size));
    if (send_frame(router->zmq, &id, ZMQ_SNDMORE) < 0) {
        int code = errno;
        zmq_msg_close(&id);
        assert(code == EAGAIN || code == EHOSTUNREACH);
        return code == EAGAIN ? FULL : GONE;
    }
    for (int i = 0; i < count; i++) {
        /* After the routing id was taken, a ROUTER takes the rest, or lets it go with the peer. */
        int sent = send_frame(router->zmq, &frames[i], i + 1 < count ? ZMQ_SNDMORE : 0);
        assert(sent >= 0);
    }
    return SENT;
}

static void outgoing_free(struct outgoing *message)
{
    frames_close(message->frames, message->frame_count);
    free(message);
}

static void on_retry(uv_timer_t *timer);

static struct outgoing *outbox_pop(struct bus *bus, struct peer *peer)
{
    struct outgoing *message = peer->first;
    peer->first = message->next;
    if (!peer->first)
        peer->last = NULL;
    message->next = NULL;
    peer->outbox_bytes -= message->size;
    bus->outbox_bytes -= message->size;
    return message;
}

static void outbox_append(struct bus *bus, struct bus_router *router, uint32_t number,
                          struct peer *peer, struct outgoing *message)
{
    if (peer->last)
        peer->last->next = message;
    else
        peer->first = message;
    peer->last = message;
    peer->outbox_bytes += message->size;
    bus->outbox_bytes += message->size;
    if (!peer->is_busy) {
        peer->is_busy = true;
        router->busy = mem_grow(router->busy, &router->busy_capacity, router->busy_count + 1,
                                sizeof(*router->busy));
        router->busy[router->busy_count++] = number;
    }
    if (!uv_is_active((uv_handle_t *)&bus->retry))
        uv_timer_start(&bus->retry, on_retry, BUS_RETRY_MS, BUS_RETRY_MS);
}

static void outbox_clear(struct bus *bus, struct peer *peer)
{
    while (peer->first) {
        struct outgoing *message = outbox_pop(bus, peer);
        if (message->is_held)
            message->is_orphan = true;
        else
            outgoing_free(message);
    }
}

static void leave_busy(struct bus_router *router, uint32_t number, struct peer *peer)
{
    if (!peer->is_busy)
        return;
    size_t i = 0;
    while (router->busy[i] != number)
        i++;
    router->busy[i] = router->busy[--router->busy_count];
    peer->is_busy = false;
}

void bus_drop_peer(struct bus *bus, enum socket socket, uint32_t number)
{
    struct bus_router *router = &bus->routers[socket];
    struct peer *peer = peers_get(&router->peers, number);
    assert(peer);
    outbox_clear(bus, peer);
    leave_busy(router, number, peer);
    peers_remove(&router->peers, number);
}

void bus_drop_outboxes(struct bus *bus, struct bus_router *router)
{
    while (router->busy_count) {
        uint32_t number = router->busy[router->busy_count - 1];
        struct peer *peer = peers_get(&router->peers, number);
        outbox_clear(bus, peer);
        leave_busy(router, number, peer);
    }
}

/* Forgets a peer and has it reported in the next bus_drain. */
static void lose_peer(struct bus *bus, enum socket socket, uint32_t number)
{
    bus_drop_peer(bus, socket, number);
    bus->gone = mem_grow(bus->gone, &bus->gone_capacity, bus->gone_count + 1, sizeof(*bus->gone));
    bus->gone[bus->gone_count].socket = socket;
    bus->gone[bus->gone_count++].peer = number;
}

/* Sends what can be sent of the outbox. Whether the peer is still there. */
static bool flush_peer(struct bus *bus, enum socket socket, uint32_t number)
{
    struct bus_router *router = &bus->routers[socket];
    struct peer *peer = peers_get(&router->peers, number);
    while (peer->first && !peer->first->is_held) {
        if (peer->first->is_void) {
            outgoing_free(outbox_pop(bus, peer));
            continue;
        }
        enum attempt attempt =
            try_send(router, peer, peer->first->frames, peer->first->frame_count);
        if (attempt == FULL)
            return true;
        if (attempt == GONE) {
            lose_peer(bus, socket, number);
            return false;
        }
        struct outgoing *message = outbox_pop(bus, peer);
        message->frame_count = 0;
        outgoing_free(message);
    }
    if (!peer->first)
        leave_busy(router, number, peer);
    return true;
}

static void on_retry(uv_timer_t *timer)
{
    struct bus *bus = timer->data;
    for (int socket = 0; socket < 2; socket++) {
        struct bus_router *router = &bus->routers[socket];
        /* From the end: a peer that is done is replaced by one that was already tried. */
        for (size_t i = router->busy_count; i-- > 0;)
            flush_peer(bus, (enum socket)socket, router->busy[i]);
    }
    if (bus_is_idle(bus))
        uv_timer_stop(&bus->retry);
}

bool bus_is_idle(const struct bus *bus)
{
    return bus->routers[0].busy_count == 0 && bus->routers[1].busy_count == 0;
}

/* Queues the message behind what waits; drops a peer that lets too much wait. */
static struct outgoing *enqueue(struct bus *bus, enum socket socket, uint32_t number,
                                zmq_msg_t *frames, bool is_held)
{
    struct bus_router *router = &bus->routers[socket];
    struct peer *peer = peers_get(&router->peers, number);
    struct outgoing *message = mem_zalloc(1, sizeof(*message));
    *message = (struct outgoing){.socket = socket, .peer = number, .is_held = is_held};
    message->size = sizeof(*message) + zmq_msg_size(&frames[1]);
    message->frame_count = 2;
    for (int i = 0; i < 2; i++) {
        zmq_msg_init(&message->frames[i]);
        zmq_msg_move(&message->frames[i], &frames[i]);
    }
    outbox_append(bus, router, number, peer, message);
    if (peer->outbox_bytes <= BUS_OUTBOX_BYTES && bus->outbox_bytes <= BUS_OUTBOXES_BYTES)
        return message;
    bus->overrun++;
    lose_peer(bus, socket, number);
    return message; /* an orphan if held, else freed: bus_send does not look at it */
}

void bus_send(struct bus *bus, enum socket socket, uint32_t number, struct msg_header header,
              struct synk_bytes body)
{
    struct bus_router *router = &bus->routers[socket];
    struct peer *peer = peers_get(&router->peers, number);
    if (!peer)
        return;
    zmq_msg_t frames[2];
    frames_init(frames, header, body);
    enum attempt attempt = peer->first ? FULL : try_send(router, peer, frames, 2);
    if (attempt == SENT)
        return;
    if (attempt == FULL)
        enqueue(bus, socket, number, frames, false);
    else
        lose_peer(bus, socket, number);
    frames_close(frames, 2);
}

struct outgoing *bus_hold(struct bus *bus, enum socket socket, uint32_t number,
                          struct msg_header header, struct synk_bytes body)
{
    if (!peers_get(&bus->routers[socket].peers, number))
        return NULL;
    zmq_msg_t frames[2];
    frames_init(frames, header, body);
    struct outgoing *message = enqueue(bus, socket, number, frames, true);
    frames_close(frames, 2);
    return message;
}

void bus_fill(struct bus *bus, struct outgoing *held, struct synk_bytes values)
{
    assert(held->is_held && held->frame_count == 2);
    if (held->is_orphan) {
        outgoing_free(held);
        return;
    }
    frame_copy(&held->frames[2], values);
    held->frame_count = 3;
    held->is_held = false;
    held->size += values.size;
    struct peer *peer = peers_get(&bus->routers[held->socket].peers, held->peer);
    peer->outbox_bytes += values.size;
    bus->outbox_bytes += values.size;
    flush_peer(bus, held->socket, held->peer);
}

void bus_drop(struct bus *bus, struct outgoing *held)
{
    assert(held->is_held);
    if (held->is_orphan) {
        outgoing_free(held);
        return;
    }
    held->is_held = false;
    held->is_void = true;
    flush_peer(bus, held->socket, held->peer);
}
