/*
 * The network as ZeroMQ over TCP gives it: a connection keeps order and loses nothing while it
 * lives; a cut delays what is under way until it heals; when a connection breaks, the end of what
 * was under way is lost, on either side, and the next one has another peer number at the
 * supervisor. What old connections still carried may arrive behind the hello of the new one.
 *
 * Beyond that, what the protocol allows to be lost or repeated (client requests and replies, since
 * clients ask again; heartbeats, progress, acknowledgements, reports twice) is, at the seed's rate.
 */
#include <stdlib.h>

#include "tests/sim/sim.h"

static struct packet *new_packet(struct world *world, struct endpoint *endpoint, uint32_t peer,
                                 bool up, struct msg_header header, struct synk_bytes body,
                                 struct synk_bytes values)
{
    struct packet *packet = mem_zalloc(1, sizeof(*packet));
    packet->endpoint = endpoint;
    packet->peer = peer;
    packet->up = up;
    packet->header = header;
    buf_append(&packet->body, body.data, body.size);
    buf_append(&packet->values, values.data, values.size);
    packet->previous = world->packets.previous;
    packet->next = &world->packets;
    packet->previous->next = packet->next->previous = packet;
    return packet;
}

void network_drop(struct packet *packet)
{
    packet->previous->next = packet->next;
    packet->next->previous = packet->previous;
    buf_fini(&packet->body);
    buf_fini(&packet->values);
    free(packet);
}

void network_free(struct world *world)
{
    while (world->packets.next != &world->packets)
        network_drop(world->packets.next);
}

static void deliver(struct world *world, void *target, uint64_t argument)
{
    struct packet *packet = target;
    struct endpoint *endpoint = packet->endpoint;
    (void)argument;
    bool current = packet->peer == endpoint->peer;
    bool late =
        packet->up && packet->peer == endpoint->old_peer && world->now <= endpoint->old_until;
    if (packet->up && (current || late) && world->supervisor.engine) {
        supervisor_receive(world, packet);
        return;
    }
    if (!packet->up && current)
        endpoint->receive(world, endpoint->owner, packet);
    network_drop(packet);
}

static int64_t latency(struct world *world)
{
    int64_t mean = world->plan.latency_ms;
    return random_chance(&world->random, 10000) ? random_spread(&world->random, mean * 50 + 1)
                                                : random_spread(&world->random, mean);
}

/* Whether the protocol survives the loss of this message without a broken connection. */
static bool may_be_lost(enum socket socket, unsigned type)
{
    return socket == SOCKET_CLIENTS || type == MSG_HEARTBEAT || type == MSG_ALIVE ||
           type == MSG_PROGRESS || type == MSG_ACK;
}

static bool may_be_repeated(enum socket socket, unsigned type)
{
    return may_be_lost(socket, type) || type == MSG_REPORT || type == MSG_STARTED ||
           type == MSG_CANCEL_ATTEMPT;
}

static void post(struct world *world, struct endpoint *endpoint, bool up, struct msg_header header,
                 struct synk_bytes body, struct synk_bytes values)
{
    int64_t *last = up ? &endpoint->last_up : &endpoint->last_down;
    int64_t cut = up ? endpoint->cut_up_until : endpoint->cut_down_until;
    if (may_be_lost(endpoint->socket, header.type) && !world->healed &&
        random_chance(&world->random, world->plan.loss)) {
        world->totals->lost_messages++;
        return;
    }
    int copies = 1;
    if (may_be_repeated(endpoint->socket, header.type) && !world->healed &&
        random_chance(&world->random, world->plan.repeat)) {
        world->totals->repeated_messages++;
        copies = 2;
    }
    while (copies--) {
        int64_t at = (cut > world->now ? cut : world->now) + latency(world);
        if (at < *last)
            at = *last;
        *last = at;
        world_at(world, at, deliver,
                 new_packet(world, endpoint, endpoint->peer, up, header, body, values), 0);
    }
}

static void drop_queue(struct endpoint *endpoint)
{
    for (size_t i = 0; i < endpoint->queue_count; i++)
        network_drop(endpoint->queue[i]);
    endpoint->queue_count = 0;
}

void network_fini(struct endpoint *endpoint)
{
    drop_queue(endpoint);
    free(endpoint->queue);
}

static void connect_endpoint(struct world *world, void *target, uint64_t life)
{
    struct endpoint *endpoint = target;
    if (!endpoint->open || endpoint->peer || endpoint->life != life)
        return;
    int64_t cut = endpoint->cut_up_until > endpoint->cut_down_until ? endpoint->cut_up_until
                                                                    : endpoint->cut_down_until;
    if (!world->supervisor.engine || cut > world->now) {
        int64_t pause = random_between(&world->random, 50, 300);
        int64_t at = cut > world->now ? cut : world->now;
        world_at(world, at + pause, connect_endpoint, endpoint, life);
        return;
    }
    endpoint->peer = ++world->last_peer;
    endpoint->last_up = endpoint->last_down = world->now;
    for (size_t i = 0; i < endpoint->queue_count; i++)
        post(world, endpoint, true, endpoint->queue[i]->header,
             buf_bytes(&endpoint->queue[i]->body), (struct synk_bytes){NULL, 0});
    drop_queue(endpoint);
}

void network_open(struct world *world, struct endpoint *endpoint)
{
    endpoint->open = true;
    endpoint->life++;
    world_at(world, world->now + random_between(&world->random, 0, 20), connect_endpoint, endpoint,
             endpoint->life);
}

static void disconnect(struct world *world, struct endpoint *endpoint)
{
    if (endpoint->peer) {
        endpoint->old_peer = endpoint->peer;
        endpoint->old_until = world->now + random_between(&world->random, 0, 100) - 50;
    }
    endpoint->peer = 0;
    endpoint->life++;
}

void network_break(struct world *world, struct endpoint *endpoint)
{
    disconnect(world, endpoint);
    if (endpoint->open)
        world_at(world, world->now + random_between(&world->random, 1, 300), connect_endpoint,
                 endpoint, endpoint->life);
}

void network_close(struct world *world, struct endpoint *endpoint)
{
    endpoint->open = false;
    drop_queue(endpoint);
    disconnect(world, endpoint);
}

void network_break_all(struct world *world)
{
    for (unsigned i = 0; i < world->host_count; i++)
        network_break(world, &world->hosts[i].endpoint);
    for (unsigned i = 0; i < world->client_count; i++)
        network_break(world, &world->clients[i].endpoint);
}

void network_up(struct world *world, struct endpoint *endpoint, struct msg_header header,
                struct synk_bytes body)
{
    struct synk_bytes none = {NULL, 0};
    if (endpoint->peer) {
        post(world, endpoint, true, header, body, none);
    } else if (endpoint->open && endpoint->socket == SOCKET_HOSTS) {
        endpoint->queue = mem_grow(endpoint->queue, &endpoint->queue_capacity,
                                   endpoint->queue_count + 1, sizeof(struct packet *));
        endpoint->queue[endpoint->queue_count++] =
            new_packet(world, endpoint, 0, true, header, body, none);
    }
}

static struct endpoint *find_peer(struct world *world, enum socket socket, uint32_t peer)
{
    for (unsigned i = 0; socket == SOCKET_HOSTS && i < world->host_count; i++)
        if (world->hosts[i].endpoint.peer == peer)
            return &world->hosts[i].endpoint;
    for (unsigned i = 0; socket == SOCKET_CLIENTS && i < world->client_count; i++)
        if (world->clients[i].endpoint.peer == peer)
            return &world->clients[i].endpoint;
    return NULL;
}

static void tell_host_gone(struct world *world, void *target, uint64_t peer)
{
    (void)target;
    supervisor_peer_gone(world, SOCKET_HOSTS, (uint32_t)peer);
}

static void tell_client_gone(struct world *world, void *target, uint64_t peer)
{
    (void)target;
    supervisor_peer_gone(world, SOCKET_CLIENTS, (uint32_t)peer);
}

void network_down(struct world *world, enum socket socket, uint32_t peer, struct msg_header header,
                  struct synk_bytes body, struct synk_bytes values)
{
    struct endpoint *endpoint = peer ? find_peer(world, socket, peer) : NULL;
    if (endpoint) {
        post(world, endpoint, false, header, body, values);
        return;
    }
    /* The router notices sooner, later, or never. */
    if (random_chance(&world->random, 700000))
        world_at(world, world->now + random_spread(&world->random, 200),
                 socket == SOCKET_HOSTS ? tell_host_gone : tell_client_gone, NULL, peer);
}
