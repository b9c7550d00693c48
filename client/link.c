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

/* Settings that ZeroMQ only heeds before the connect. Not ZMQ_IMMEDIATE among them: with it, a
 * connection that breaks takes its pipe away at once, and where that is between two frames of a
 * message that is being read, ZeroMQ aborts the program. */
static void *new_socket(struct link *link, int type)
{
    void *socket = zmq_socket(link->context, type);
    if (!socket)
        return NULL;
    int no_linger = 0, high_water = CLIENT_SOCKET_MESSAGES, reconnect_ms = 50,
        reconnect_max_ms = 1000;
    int64_t max_bytes = LIMIT_FRAME_BYTES + MSG_HEADER_BYTES;
    zmq_setsockopt(socket, ZMQ_LINGER, &no_linger, sizeof(no_linger));
    zmq_setsockopt(socket, ZMQ_SNDHWM, &high_water, sizeof(high_water));
    zmq_setsockopt(socket, ZMQ_RCVHWM, &high_water, sizeof(high_water));
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &reconnect_ms, sizeof(reconnect_ms));
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL_MAX, &reconnect_max_ms, sizeof(reconnect_max_ms));
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof(max_bytes));
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

enum synk_status link_init(struct synk_client *client, struct synk_error *error)
{
    struct link *link = &client->link;
    char address[DIRECTORY_PATH_BYTES];
    enum synk_status status =
        directory_address(&client->directory, DIRECTORY_CLIENTS, address, error);
    if (status)
        return status;
    link->context = zmq_ctx_new();
    if (!link->context)
        return fail_zmq(error, "cannot start ZeroMQ");
    link->dealer = new_socket(link, ZMQ_DEALER);
    link->monitor = link->dealer ? zmq_socket(link->context, ZMQ_PAIR) : NULL;
    if (!link->monitor)
        return fail_zmq(error, "cannot open a socket");
    int no_linger = 0;
    zmq_setsockopt(link->monitor, ZMQ_LINGER, &no_linger, sizeof(no_linger));
    if (zmq_socket_monitor(link->dealer, "inproc://monitor",
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) != 0 ||
        zmq_connect(link->monitor, "inproc://monitor") != 0)
        return fail_zmq(error, "cannot watch the connection");
    if (zmq_connect(link->dealer, address) != 0)
        return fail_zmq(error, address);
    link->down_since_ms = link->heard_ms = client_now_ms();
    link->probe_wait_ms = CLIENT_PROBE_MS;
    status = link_watch(client, link->dealer, error);
    return status ? status : link_watch(client, link->monitor, error);
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
        if (count == 2 && msg_header_decode(frame_bytes(&frames[0]), &header, NULL) == SYNK_OK)
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
        } else if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            link->down_since_ms = 0;
            link->is_fresh = true;
            link->heard_ms = now_ms;
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
    void *events = new_socket(link, ZMQ_SUB);
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

static void learn(struct synk_client *client, const struct synk_value *body)
{
    struct link *link = &client->link;
    uint32_t epoch = (uint32_t)synk_value_int(synk_value_get(body, "epoch"), 0);
    /* Another supervisor behind a connection that was never seen to break knows nothing of us. */
    if (link->epoch && epoch != link->epoch && !link->is_fresh)
        requests_rewind(client);
    link->epoch = epoch;
    link->is_fresh = false;

    struct synk_bytes address = synk_value_bytes(synk_value_get(body, "events"));
    char text[DIRECTORY_PATH_BYTES] = "";
    if (address.size && address.size < sizeof(text))
        memcpy(text, address.data, address.size);
    else if (directory_address(&client->directory, DIRECTORY_EVENTS, text, NULL) != SYNK_OK)
        text[0] = '\0';
    if (link->events && strcmp(text, link->events_address) != 0) {
        zmq_close(link->events);
        link->events = NULL;
    }
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

static int64_t gone_deadline_ms(const struct synk_client *client)
{
    const struct link *link = &client->link;
    if (!client->fail_fast || !link->down_since_ms || !client->requests.count)
        return INT64_MAX;
    return link->down_since_ms + CLIENT_GONE_MS;
}

int64_t link_deadline_ms(const struct synk_client *client)
{
    int64_t probe_ms = probe_deadline_ms(client), gone_ms = gone_deadline_ms(client);
    return probe_ms < gone_ms ? probe_ms : gone_ms;
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
    if (now_ms >= gone_deadline_ms(client)) {
        struct synk_error error;
        if (client_check_supervisor(client, &error) != SYNK_OK)
            requests_fail(client, &error);
        else
            link->down_since_ms = now_ms;
    }
}
