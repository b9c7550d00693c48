/*
 * The sockets of a client: a DEALER for requests, a monitor that tells of its connections, and a
 * SUB once there is a subscription.
 *
 * Invariant: whatever was written to a connection that broke is written again to the next one.
 * ZeroMQ does not say what of it was lost with the connection and what is still queued, so the
 * monitor is asked: at every completed handshake all unanswered requests count as unsent. What was
 * still queued is then sent twice; the second answer finds nobody who waits.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#include "client/client_internal.h"

static enum synk_status fail_zmq(struct synk_error *error, const char *what)
{
    return status_fail(error, SYNK_IO, "%s: %s", what, zmq_strerror(zmq_errno()));
}

/* The address in use; only by addresses. */
static const struct address *current(const struct synk_client *client)
{
    const struct link *link = &client->link;
    return link->has_leader ? &link->leader : &client->addresses.items[link->at];
}

static void set_keys(const struct synk_client *client, void *socket)
{
    const struct key_ring *keys = &client->keys;
    if (!keys->has_keys)
        return;
    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, keys->pair.public_key, KEY_BYTES);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys->pair.secret_key, KEY_BYTES);
    zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, keys->server_key, KEY_BYTES);
}

/* Settings that ZeroMQ only heeds before the connect. Not ZMQ_IMMEDIATE among them: with it, a
 * connection that breaks takes its pipe away at once, and where that is between two frames of a
 * message that is being read, ZeroMQ aborts the program. Nor its heartbeats: `connect` asks whether
 * the program is there, not only its I/O thread. */
static void *new_socket(const struct synk_client *client, int type, const char *address)
{
    void *socket = zmq_socket(client->link.context, type);
    if (!socket)
        return NULL;
    int no_linger = 0, high_water = CLIENT_SOCKET_MESSAGES, reconnect_ms = 50,
        reconnect_max_ms = 1000, is_v6 = address_is_v6(address), keep_alive = 1, idle_s = 30,
        interval_s = 10, connect_ms = CLIENT_TRY_MS, unconfirmed_ms = CLIENT_GONE_MS;
    int64_t max_bytes = LIMIT_FRAME_BYTES + MSG_HEADER_BYTES;
    zmq_setsockopt(socket, ZMQ_LINGER, &no_linger, sizeof(no_linger));
    zmq_setsockopt(socket, ZMQ_SNDHWM, &high_water, sizeof(high_water));
    zmq_setsockopt(socket, ZMQ_RCVHWM, &high_water, sizeof(high_water));
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &reconnect_ms, sizeof(reconnect_ms));
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL_MAX, &reconnect_max_ms, sizeof(reconnect_max_ms));
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof(max_bytes));
    zmq_setsockopt(socket, ZMQ_IPV6, &is_v6, sizeof(is_v6));
    zmq_setsockopt(socket, ZMQ_CONNECT_TIMEOUT, &connect_ms, sizeof(connect_ms));
    /* A machine that vanished says nothing: a SUB, which only listens, would wait for ever. */
    zmq_setsockopt(socket, ZMQ_TCP_KEEPALIVE, &keep_alive, sizeof(keep_alive));
    zmq_setsockopt(socket, ZMQ_TCP_KEEPALIVE_IDLE, &idle_s, sizeof(idle_s));
    zmq_setsockopt(socket, ZMQ_TCP_KEEPALIVE_INTVL, &interval_s, sizeof(interval_s));
    zmq_setsockopt(socket, ZMQ_TCP_MAXRT, &unconfirmed_ms, sizeof(unconfirmed_ms));
    set_keys(client, socket);
    return socket;
}

enum synk_status link_watch(struct synk_client *client, void *socket, struct synk_error *error)
{
    int fd;
    size_t size = sizeof(fd);
    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &size) != 0)
        return fail_zmq(error, "cannot get a socket's descriptor");
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(client->fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return status_fail(error, SYNK_IO, "cannot watch a socket: %s", strerror(errno));
    return SYNK_OK;
}

/* ZeroMQ closes the descriptor when it gets to it; until then it must not wake anybody. */
static void close_watched(struct synk_client *client, void **socket)
{
    void *closing = *socket;
    int fd = -1;
    size_t size = sizeof(fd);
    if (!closing)
        return;
    *socket = NULL;
    if (zmq_getsockopt(closing, ZMQ_FD, &fd, &size) == 0)
        epoll_ctl(client->fd, EPOLL_CTL_DEL, fd, NULL);
    zmq_close(closing);
}

static enum synk_status open_sockets(struct synk_client *client, const char *address,
                                     struct synk_error *error)
{
    struct link *link = &client->link;
    char monitor[48];
    int no_linger = 0;
    /* A new name each time: ZeroMQ gives the old one back when it gets to it. */
    snprintf(monitor, sizeof(monitor), "inproc://monitor-%u", link->sockets++);
    link->dealer = new_socket(client, ZMQ_DEALER, address);
    link->monitor = link->dealer ? zmq_socket(link->context, ZMQ_PAIR) : NULL;
    if (!link->monitor)
        return fail_zmq(error, "cannot open a socket");
    zmq_setsockopt(link->monitor, ZMQ_LINGER, &no_linger, sizeof(no_linger));
    if (zmq_socket_monitor(link->dealer, monitor,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
                               ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                               ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                               ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) != 0 ||
        zmq_connect(link->monitor, monitor) != 0)
        return fail_zmq(error, "cannot watch the connection");
    if (zmq_connect(link->dealer, address) != 0)
        return fail_zmq(error, address);
    enum synk_status status = link_watch(client, link->dealer, error);
    return status ? status : link_watch(client, link->monitor, error);
}

static enum synk_status open_link(struct synk_client *client, struct synk_error *error)
{
    struct link *link = &client->link;
    char address[DIRECTORY_PATH_BYTES];
    enum synk_status status = SYNK_OK;
    if (client->addresses.count)
        address_socket(current(client), DIRECTORY_CLIENTS, address);
    else
        status = directory_address(&client->directory, DIRECTORY_CLIENTS, address, error);
    link->tried_ms = client_now_ms();
    link->next_ms = INT64_MAX;
    return status ? status : open_sockets(client, address, error);
}

enum synk_status link_init(struct synk_client *client, struct synk_error *error)
{
    struct link *link = &client->link;
    link->context = zmq_ctx_new();
    if (!link->context)
        return fail_zmq(error, "cannot start ZeroMQ");
    link->down_since_ms = link->heard_ms = link->opened_ms = client_now_ms();
    link->probe_wait_ms = CLIENT_PROBE_MS;
    return open_link(client, error);
}

void link_fini(struct link *link)
{
    if (link->dealer)
        zmq_socket_monitor(link->dealer, NULL, 0);
    void *sockets[] = {link->monitor, link->dealer, link->events};
    for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++)
        if (sockets[i])
            zmq_close(sockets[i]);
    if (link->context)
        zmq_ctx_term(link->context);
    *link = (struct link){0};
}

/* Another address -----------------------------------------------------------------------------
 * One at a time, with sockets of its own: a DEALER with several connections would give each of them
 * a share of the requests. */

/* Half of it to all of it, so that clients that lost the same supervisor do not come in step. */
static int64_t jitter(const struct synk_client *client, int64_t ms)
{
    uint64_t random = ((uint64_t)(uintptr_t)client ^ (uint64_t)client_now_ms() * 1000003u ^
                       (uint64_t)getpid() << 20) *
                      0x9e3779b97f4a7c15u;
    return ms / 2 + (int64_t)((random >> 40) % (uint64_t)(ms / 2 + 1));
}

/* When to leave the present address; INT64_MAX = it will do. */
static int64_t next_deadline_ms(const struct synk_client *client)
{
    const struct link *link = &client->link;
    if (!client->addresses.count)
        return INT64_MAX;
    int64_t due_ms = INT64_MAX;
    if (link->down_since_ms) {
        int64_t since_ms =
            link->down_since_ms > link->tried_ms ? link->down_since_ms : link->tried_ms;
        due_ms = since_ms + CLIENT_TRY_MS;
    } else if (link->is_probing) {
        due_ms =
            (link->heard_ms > link->asked_ms ? link->heard_ms : link->asked_ms) + CLIENT_MUTE_MS;
    }
    return due_ms < link->next_ms ? due_ms : link->next_ms;
}

static void go_on(struct synk_client *client, int64_t now_ms)
{
    struct link *link = &client->link;
    struct synk_error error;
    if (!link->down_since_ms)
        link->down_since_ms = now_ms;
    link->has_leader = link->wants_leader;
    if (!link->wants_leader)
        link->at = (link->at + 1) % client->addresses.count;
    link->wants_leader = false;
    if (link->dealer)
        zmq_socket_monitor(link->dealer, NULL, 0);
    close_watched(client, &link->monitor);
    close_watched(client, &link->dealer);
    if (open_link(client, &error) != SYNK_OK)
        link->next_ms = now_ms + CLIENT_ROUND_MAX_MS; /* no descriptors left, or no memory */
}

/* The connection could not be made. */
static void tried_in_vain(struct synk_client *client, int64_t now_ms)
{
    struct link *link = &client->link;
    size_t count = client->addresses.count;
    link->refusals++;
    if (count < 2 && !link->has_leader)
        return; /* ZeroMQ goes on trying this one */
    unsigned rounds = link->refusals / (unsigned)count;
    int64_t pause_ms = rounds < 5 ? CLIENT_ROUND_MS << rounds : CLIENT_ROUND_MAX_MS;
    link->next_ms = now_ms + jitter(client, pause_ms);
}

void link_refused(struct synk_client *client, struct synk_bytes body, int64_t now_ms)
{
    struct link *link = &client->link;
    struct synk_document *document = NULL;
    if (synk_document_decode(body, &document, NULL) != SYNK_OK)
        return;
    const struct synk_value *root = synk_document_root(document);
    struct synk_bytes text = synk_value_bytes(synk_value_get(root, "text"));
    struct synk_bytes leader = synk_value_bytes(synk_value_get(root, "leader"));
    snprintf(link->refused_text, sizeof(link->refused_text), "%.*s",
             (int)(text.size < 200 ? text.size : 200), text.size ? (const char *)text.data : "");
    link->wants_leader =
        leader.size && address_parse(leader, false, &link->leader, NULL) == SYNK_OK;
    /* At once, unless two point at each other. */
    link->refusals++;
    link->next_ms = now_ms + (link->wants_leader && link->refusals < 4 ? 0 : jitter(client, 500));
    synk_document_free(document);
}

bool link_has(void *socket, int events)
{
    int found = 0;
    size_t size = sizeof(found);
    return socket && zmq_getsockopt(socket, ZMQ_EVENTS, &found, &size) == 0 && (found & events);
}

bool link_send(struct link *link, uint16_t type, uint64_t sequence, struct synk_bytes body)
{
    uint8_t header[MSG_HEADER_BYTES];
    msg_header_encode((struct msg_header){.type = type, .sequence = sequence}, header);
    if (zmq_send(link->dealer, header, sizeof(header), ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return false;
    /* Within one message the pipe that took the first part takes the rest; should the connection
     * break in between, the new one gets the request again. */
    return zmq_send(link->dealer, body.data, body.size, ZMQ_DONTWAIT) >= 0;
}

/* Takes one message's first `max` frames; the rest is thrown away. Returns how many frames it had,
 * 0 = there is no message. Frames that are set must be closed. */
static int receive(void *socket, zmq_msg_t *frames, int max)
{
    int count = 0;
    bool more = true;
    while (more) {
        zmq_msg_t extra;
        zmq_msg_t *frame = count < max ? &frames[count] : &extra;
        zmq_msg_init(frame);
        if (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(frame);
            return count < max ? count : max;
        }
        more = zmq_msg_more(frame) != 0;
        if (frame == &extra)
            zmq_msg_close(frame);
        count++;
    }
    return count;
}

static void close_frames(zmq_msg_t *frames, int count, int max)
{
    for (int i = 0; i < count && i < max; i++)
        zmq_msg_close(&frames[i]);
}

static struct synk_bytes frame_bytes(zmq_msg_t *frame)
{
    return bytes_of(zmq_msg_data(frame), zmq_msg_size(frame));
}

static void receive_replies(struct synk_client *client, int64_t now_ms)
{
    struct link *link = &client->link;
    for (int i = 0; i < CLIENT_TURN_MESSAGES; i++) {
        zmq_msg_t frames[2];
        int count = receive(link->dealer, frames, 2);
        if (count == 0)
            return;
        struct msg_header header;
        link->heard_ms = now_ms;
        bool is_message =
            count == 2 && msg_header_decode(frame_bytes(&frames[0]), &header, NULL) == SYNK_OK;
        if (is_message && header.type == MSG_REFUSE && client->addresses.count)
            link_refused(client, frame_bytes(&frames[1]), now_ms);
        else if (is_message)
            requests_answer(client, header, frame_bytes(&frames[1]));
        close_frames(frames, count, 2);
    }
}

/* [topic][header][body]: only the number counts, events are fetched. */
static void receive_published(struct synk_client *client, int64_t now_ms)
{
    struct link *link = &client->link;
    if (!link->events)
        return;
    uint64_t head = 0;
    for (int i = 0; i < CLIENT_TURN_MESSAGES; i++) {
        zmq_msg_t frames[3];
        int count = receive(link->events, frames, 3);
        if (count == 0)
            break;
        struct msg_header header;
        if (count == 3 && msg_header_decode(frame_bytes(&frames[1]), &header, NULL) == SYNK_OK &&
            (header.type == MSG_EVENTS || header.type == MSG_HEAD)) {
            link->events_heard_ms = now_ms;
            head = header.sequence;
        }
        close_frames(frames, count, 3);
    }
    if (head) {
        link->head = head;
        subscriptions_wake(client, head);
    }
}

static bool is_handshake_failure(uint16_t event)
{
    return event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH ||
           event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ||
           event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
}

/* Somebody is there and we do not get in. ZeroMQ tries again by itself, and so it should: a key may
 * be allowed any moment. */
static void shut_out(struct synk_client *client, uint16_t event)
{
    struct link *link = &client->link;
    const char *why = "it does not take this key (`synk keys list` there)";
    if (!client->keys.has_keys)
        why = "it asks for keys (--key FILE --server-key KEY, or SYNK_KEY and SYNK_SERVER_KEY)";
    else if (event != ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        why = "it asks for no keys, or is not who has this server key";
    snprintf(link->shut_text, sizeof(link->shut_text), ": %s", why);
}

static void receive_monitor(struct synk_client *client, int64_t now_ms)
{
    struct link *link = &client->link;
    for (;;) {
        zmq_msg_t frames[2];
        int count = receive(link->monitor, frames, 2);
        if (count == 0)
            return;
        uint16_t event = 0;
        if (zmq_msg_size(&frames[0]) >= sizeof(event))
            memcpy(&event, zmq_msg_data(&frames[0]), sizeof(event));
        close_frames(frames, count, 2);
        if (event == ZMQ_EVENT_DISCONNECTED) {
            link->down_since_ms = now_ms;
        } else if (is_handshake_failure(event)) {
            shut_out(client, event);
        } else if (event == ZMQ_EVENT_CONNECT_RETRIED && link->down_since_ms) {
            tried_in_vain(client, now_ms);
        } else if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            link->down_since_ms = 0;
            link->is_fresh = true;
            link->next_ms = INT64_MAX;
            link->heard_ms = link->asked_ms = now_ms;
            link->probe_wait_ms = CLIENT_PROBE_MS;
            requests_rewind(client);
            link_probe(client, now_ms);
        }
    }
}

void link_open_events(struct synk_client *client)
{
    struct link *link = &client->link;
    if (link->events || !client->subscriptions || !link->events_address[0])
        return;
    void *events = new_socket(client, ZMQ_SUB, link->events_address);
    if (!events)
        return; /* subscriptions go on without: they ask by themselves, every few seconds */
    if (zmq_setsockopt(events, ZMQ_SUBSCRIBE, "head", 5) != 0 ||
        zmq_connect(events, link->events_address) != 0 ||
        link_watch(client, events, NULL) != SYNK_OK) {
        zmq_close(events);
        return;
    }
    link->events = events;
    link->events_heard_ms = client_now_ms();
    subscriptions_set_topics(client);
}

/* A supervisor that listens on all addresses of its machine cannot tell which of them is ours. */
static void make_reachable(const struct synk_client *client, char text[DIRECTORY_PATH_BYTES])
{
    static const char any[] = "tcp://*:";
    char port[8];
    if (!client->addresses.count || strncmp(text, any, strlen(any)) != 0)
        return;
    snprintf(port, sizeof(port), "%.7s", text + strlen(any));
    snprintf(text, ADDRESS_BYTES, "tcp://%s:%s", current(client)->host, port);
}

static void learn(struct synk_client *client, const struct synk_value *body)
{
    struct link *link = &client->link;
    uint32_t epoch = (uint32_t)synk_value_int(synk_value_get(body, "epoch"), 0);
    /* Another supervisor behind a connection that was never seen to break knows nothing of us. */
    if (link->epoch && epoch != link->epoch && !link->is_fresh)
        requests_rewind(client);
    link->epoch = epoch;
    link->is_fresh = false;
    link->is_found = true;
    link->refusals = 0;
    link->refused_text[0] = '\0';
    link->shut_text[0] = '\0';

    struct synk_bytes address = synk_value_bytes(synk_value_get(body, "events"));
    char text[DIRECTORY_PATH_BYTES] = "";
    if (address.size && address.size < sizeof(text))
        memcpy(text, address.data, address.size);
    else if (directory_address(&client->directory, DIRECTORY_EVENTS, text, NULL) != SYNK_OK)
        text[0] = '\0';
    make_reachable(client, text);
    if (link->events && strcmp(text, link->events_address) != 0)
        close_watched(client, &link->events);
    memcpy(link->events_address, text, sizeof(text));
    link_open_events(client);
    /* What happened while the connection was away was published to nobody. */
    subscriptions_wake(client, UINT64_MAX);
}

/* Who waits is told why, but not before it is a wait: what is asked while nothing can be saved is
 * refused at once, and needs no second reason. */
static void tell_store(struct synk_client *client, const struct synk_value *body)
{
    struct link *link = &client->link;
    struct synk_bytes text = synk_value_bytes(synk_value_get(body, "store"));
    bool is_down = text.size != 0;
    if (is_down && link->is_overdue && !link->is_noticed && client->requests.count &&
        client->notice) {
        char *reason = mem_strndup(text.data, text.size);
        client->notice(client->notice_context, reason);
        free(reason);
        link->is_noticed = true;
    }
    if (!is_down)
        link->is_noticed = false;
    link->is_overdue = false;
}

static void on_connect(void *context, enum synk_status status, const struct synk_value *body,
                       const struct synk_error *error)
{
    (void)error;
    struct synk_client *client = context;
    client->link.is_probing = false;
    if (status != SYNK_OK)
        return;
    learn(client, body);
    tell_store(client, body);
}

void link_probe(struct synk_client *client, int64_t now_ms)
{
    struct link *link = &client->link;
    link->probe_ms = now_ms;
    if (link->is_probing)
        return;
    link->is_probing = true;
    link->asked_ms = now_ms;
    struct buf body = {0};
    buf_append(&body, "\x80", 1);
    requests_add(client, MSG_CONNECT, &body, on_connect, client);
}

/* When silence is to be broken by a question. */
static int64_t probe_deadline_ms(const struct synk_client *client)
{
    const struct link *link = &client->link;
    if (link->down_since_ms || !client->requests.count)
        return INT64_MAX;
    int64_t since_ms = link->heard_ms > link->probe_ms ? link->heard_ms : link->probe_ms;
    return since_ms + link->probe_wait_ms;
}

/* By addresses: how long somebody is looked for, or followed. */
static int64_t lost_deadline_ms(const struct synk_client *client)
{
    const struct link *link = &client->link;
    if (link->is_found)
        return link->down_since_ms ? link->down_since_ms + CLIENT_GONE_MS : INT64_MAX;
    /* Whoever took the connection is given the same time to answer. */
    if (!link->down_since_ms)
        return link->asked_ms + CLIENT_FIND_MS;
    /* Where one stands by, another is about to lead. */
    if (link->refused_text[0])
        return link->opened_ms + CLIENT_GONE_MS;
    bool all_refuse = link->refusals >= client->addresses.count;
    return all_refuse ? link->opened_ms : link->opened_ms + CLIENT_FIND_MS;
}

static int64_t gone_deadline_ms(const struct synk_client *client)
{
    const struct link *link = &client->link;
    if (!client->fail_fast || !client->requests.count)
        return INT64_MAX;
    if (client->addresses.count)
        return lost_deadline_ms(client);
    return link->down_since_ms ? link->down_since_ms + CLIENT_GONE_MS : INT64_MAX;
}

int64_t link_deadline_ms(const struct synk_client *client)
{
    int64_t probe_ms = probe_deadline_ms(client), gone_ms = gone_deadline_ms(client);
    int64_t next_ms = next_deadline_ms(client);
    int64_t due_ms = probe_ms < gone_ms ? probe_ms : gone_ms;
    return due_ms < next_ms ? due_ms : next_ms;
}

static void fail_unanswered(struct synk_client *client, int64_t now_ms)
{
    struct link *link = &client->link;
    struct synk_error error;
    if (client->addresses.count) {
        status_fail(&error, SYNK_UNAVAILABLE,
                    link->refused_text[0] ? "no supervisor leads at %s: %s"
                                          : "no supervisor answers at %s%s",
                    client->where, link->refused_text[0] ? link->refused_text : link->shut_text);
        requests_fail(client, &error);
    } else if (client_check_supervisor(client, &error) != SYNK_OK) {
        requests_fail(client, &error);
    } else {
        link->down_since_ms = now_ms;
    }
}

void link_process(struct synk_client *client, int64_t now_ms)
{
    struct link *link = &client->link;
    receive_monitor(client, now_ms);
    receive_replies(client, now_ms);
    receive_published(client, now_ms);
    if (now_ms >= probe_deadline_ms(client)) {
        /* A probe that stayed unanswered may be lost, or its reply, and others with it. */
        if (link->is_probing)
            requests_rewind(client);
        link->is_overdue = true;
        link_probe(client, now_ms);
        if (link->probe_wait_ms < CLIENT_PROBE_MAX_MS)
            link->probe_wait_ms *= 2;
    }
    if (now_ms >= gone_deadline_ms(client))
        fail_unanswered(client, now_ms);
    if (now_ms >= next_deadline_ms(client))
        go_on(client, now_ms);
}
