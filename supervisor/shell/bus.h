/*
 * The supervisor's sockets: two ROUTERs, for worker hosts and for clients, and a PUB for events,
 * inside the libuv loop. Knows frames and headers, not bodies. Nothing here blocks: what a peer
 * does not take now waits in the peer's own bounded queue, in order, and is tried again; a peer
 * that lets its queue grow past its bound, or whose connection has ended, is reported gone.
 *
 * Used by the loop alone. bus_poll and bus_drain are to be called once a turn; they are where
 * messages and gone peers are reported, never from within a send.
 */
#ifndef SHELL_BUS_H
#define SHELL_BUS_H

#include <uv.h>

#include "proto/msg.h"
#include "supervisor/core/engine.h"
#include "supervisor/shell/guard.h"
#include "supervisor/shell/peers.h"

struct bus_options {
    uv_loop_t *loop;
    const char *addresses[2]; /* by enum socket */
    const char *events_address;
    /* For other machines, beside those; NULL = none. */
    const char *remote_addresses[2], *remote_events_address;
    struct guard *guard; /* of those, initialised; NULL = whoever reaches them is let in */
    void *context;
    /* `body` is borrowed for the call. */
    void (*on_message)(void *context, enum socket socket, uint32_t peer, struct msg_header header,
                       struct synk_bytes body);
    void (*on_gone)(void *context, enum socket socket, uint32_t peer);
};

struct bus_router {
    void *zmq;
    uv_poll_t poll;
    struct peers peers;
    uint32_t *busy; /* numbers of peers whose outbox is not empty */
    size_t busy_count, busy_capacity;
};

struct bus {
    struct bus_options options;
    void *context;
    struct bus_router routers[2]; /* by enum socket */
    void *publisher;
    uv_poll_t publisher_poll;
    uv_timer_t retry;
    char readers_endpoint[128]; /* where the PUB listens for other machines; "" = nowhere */
    uv_timer_t rebind;          /* runs while it is to listen there again */
    struct {
        enum socket socket;
        uint32_t peer;
    } * gone; /* to be reported */
    size_t gone_count, gone_capacity;
    size_t outbox_bytes;
    uint32_t checked_version; /* of the list of keys, by bus_check_keys */
    uint64_t dropped; /* messages that were not messages */
    uint64_t overrun; /* peers dropped because they did not read */
};

/* Whether the peer came by tcp; false where it has gone. */
bool bus_is_remote(struct bus *bus, enum socket socket, uint32_t peer);

/* What the peer's key allows now, and its name (borrowed until the next call): admin for whoever is
 * local, or where no keys are asked for; ROLE_NONE where it has gone, or its key was revoked. */
enum role bus_role(struct bus *bus, enum socket socket, uint32_t peer, const char **ret_name);
/* To be called once a second: where the list of keys has changed, peers whose key is no longer on it
 * are reported gone, and subscribers are cut where one of them might no longer be one. */
void bus_check_keys(struct bus *bus);

/* Binds. Fails with SYNK_IO, naming the address. bus_close takes what a failed open left. */
enum synk_status bus_open(struct bus *bus, const struct bus_options *options,
                          struct synk_error *error);
/* Stops the handles and closes the sockets; waits up to half a second for what was sent to be
 * taken. The loop must run once more for its handles to be closed, before `bus` is freed. */
void bus_close(struct bus *bus);

/* Whether bus_drain has something to do. Takes notice of what ZeroMQ signalled on its descriptors,
 * which are edge-triggered: must be called before each wait. */
bool bus_poll(struct bus *bus);
/* Reports gone peers, then up to `max` messages of each ROUTER. Whether more is at hand. */
bool bus_drain(struct bus *bus, size_t max);

/* Sends two frames to a peer, or queues them. A peer that is gone is passed over. */
void bus_send(struct bus *bus, enum socket socket, uint32_t peer, struct msg_header header,
              struct synk_bytes body);
/* Keeps the place in the peer's order for a message whose third frame is still to come; NULL where
 * the peer is gone. */
struct outgoing *bus_hold(struct bus *bus, enum socket socket, uint32_t peer,
                          struct msg_header header, struct synk_bytes body);
/* Sends what bus_hold kept, with its third frame, and gives it up; also when its peer has gone. */
void bus_fill(struct bus *bus, struct outgoing *held, struct synk_bytes values);
/* Gives up what bus_hold kept without sending it; what waits behind it goes on. */
void bus_drop(struct bus *bus, struct outgoing *held);

/* `topic` without its NUL. Body is `prefix` and `items`, one behind the other. */
void bus_publish(struct bus *bus, struct synk_bytes topic, struct msg_header header,
                 struct synk_bytes prefix, struct synk_bytes items);

/* Whether nothing waits for a peer. */
bool bus_is_idle(const struct bus *bus);

#endif
