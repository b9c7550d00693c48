/* The sockets in the loop: order to one peer, peers that go, bytes that are not messages. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "supervisor/shell/bus.h"
#include "tests/support/unit.h"

struct fixture {
    uv_loop_t loop;
    uv_timer_t timeout;
    uv_prepare_t prepare;
    uv_idle_t idle;
    struct bus bus;
    char addresses[3][4096], remote[3][64];
    void *context;
    int messages, gone, wanted;
    uint32_t peer;
    struct msg_header header;
    char body[64];
};

static void on_message(void *context, enum socket socket, uint32_t peer, struct msg_header header,
                       struct synk_bytes body)
{
    struct fixture *f = context;
    CU_ASSERT_EQUAL(socket, SOCKET_CLIENTS);
    f->messages++;
    f->peer = peer;
    f->header = header;
    snprintf(f->body, sizeof(f->body), "%.*s", (int)body.size, (const char *)body.data);
}

static void on_gone(void *context, enum socket socket, uint32_t peer)
{
    struct fixture *f = context;
    CU_ASSERT_EQUAL(socket, SOCKET_CLIENTS);
    CU_ASSERT_EQUAL(peer, f->peer);
    f->gone++;
}

static void on_timeout(uv_timer_t *timer)
{
    CU_FAIL("waited in vain");
    uv_stop(timer->loop);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct fixture *f = prepare->data;
    if (bus_poll(&f->bus))
        uv_idle_start(&f->idle, on_idle);
    else
        uv_idle_stop(&f->idle);
}

static void setup(struct fixture *f, const char *name)
{
    static const char *const sockets[] = {"hosts", "clients", "events"};
    memset(f, 0, sizeof(*f));
    for (int i = 0; i < 3; i++)
        snprintf(f->addresses[i], sizeof(f->addresses[i]), "ipc://%s/%s-%s", unit_directory(), name,
                 sockets[i]);
    uv_loop_init(&f->loop);
    uv_timer_init(&f->loop, &f->timeout);
    uv_idle_init(&f->loop, &f->idle);
    uv_prepare_init(&f->loop, &f->prepare);
    f->prepare.data = f;
    uv_prepare_start(&f->prepare, on_prepare);
    struct bus_options options = {
        .loop = &f->loop,
        .addresses = {f->addresses[0], f->addresses[1]},
        .events_address = f->addresses[2],
        .context = f,
        .on_message = on_message,
        .on_gone = on_gone,
    };
    struct synk_error error = {0};
    CU_ASSERT_EQUAL_FATAL(bus_open(&f->bus, &options, &error), SYNK_OK);
    f->context = zmq_ctx_new();
}

/* The same on ports, too: whichever are free. */
static void setup_remote(struct fixture *f, const char *name)
{
    setup(f, name);
    for (int port = 40000 + getpid() % 20000;; port += 3) {
        uv_prepare_stop(&f->prepare);
        bus_close(&f->bus);
        uv_run(&f->loop, UV_RUN_NOWAIT);
        uv_prepare_start(&f->prepare, on_prepare);
        for (int i = 0; i < 3; i++)
            snprintf(f->remote[i], sizeof(f->remote[i]), "tcp://127.0.0.1:%d", port + i);
        struct bus_options options = f->bus.options;
        options.remote_addresses[0] = f->remote[0];
        options.remote_addresses[1] = f->remote[1];
        options.remote_events_address = f->remote[2];
        if (bus_open(&f->bus, &options, NULL) == SYNK_OK)
            return;
    }
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void teardown(struct fixture *f)
{
    bus_close(&f->bus);
    zmq_ctx_term(f->context);
    uv_walk(&f->loop, close_handle, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&f->loop), 0);
}

static void *dial(struct fixture *f, int type, const char *address)
{
    void *socket = zmq_socket(f->context, type);
    int linger = 0, timeout = 5000;
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout, sizeof(timeout));
    if (type == ZMQ_SUB)
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    CU_ASSERT_EQUAL_FATAL(zmq_connect(socket, address), 0);
    return socket;
}

/* Turns the loop until `*counter` is `wanted`. */
static void turn_until(struct fixture *f, const int *counter, int wanted)
{
    uv_timer_start(&f->timeout, on_timeout, 5000, 0);
    while (*counter < wanted && uv_is_active((uv_handle_t *)&f->timeout)) {
        uv_run(&f->loop, UV_RUN_ONCE);
        bus_drain(&f->bus, 16);
    }
    uv_timer_stop(&f->timeout);
}

static void say(void *socket, uint64_t sequence, const char *body)
{
    uint8_t header[MSG_HEADER_BYTES];
    msg_header_encode((struct msg_header){.type = MSG_STATS, .sequence = sequence}, header);
    zmq_send(socket, header, sizeof(header), ZMQ_SNDMORE);
    zmq_send(socket, body, strlen(body), 0);
}

static uint64_t hear(void *socket, char *ret_last, size_t size)
{
    uint8_t frame[MSG_HEADER_BYTES];
    struct msg_header header = {0};
    int got = zmq_recv(socket, frame, sizeof(frame), 0);
    CU_ASSERT_EQUAL(got, MSG_HEADER_BYTES);
    CU_ASSERT_EQUAL(msg_header_decode(bytes_of(frame, sizeof(frame)), &header, NULL), SYNK_OK);
    int more = 1;
    size_t option = sizeof(more);
    while (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &option) == 0 && more) {
        got = zmq_recv(socket, ret_last, size - 1, 0);
        ret_last[got < 0 ? 0 : got] = '\0';
    }
    return header.sequence;
}

static void test_held_message_keeps_its_place(void)
{
    static struct fixture f;
    char text[64];
    setup(&f, "held");
    void *client = dial(&f, ZMQ_DEALER, f.addresses[SOCKET_CLIENTS]);
    say(client, 1, "hello");
    turn_until(&f, &f.messages, 1);
    CU_ASSERT_STRING_EQUAL(f.body, "hello");
    CU_ASSERT_EQUAL(f.header.sequence, 1);

    struct msg_header header = {.type = MSG_REPLY, .sequence = 10};
    bus_send(&f.bus, SOCKET_CLIENTS, f.peer, header, bytes_str("a"));
    header.sequence = 11;
    struct outgoing *held = bus_hold(&f.bus, SOCKET_CLIENTS, f.peer, header, bytes_str("b"));
    header.sequence = 12;
    bus_send(&f.bus, SOCKET_CLIENTS, f.peer, header, bytes_str("c"));
    CU_ASSERT_FALSE(bus_is_idle(&f.bus));
    bus_fill(&f.bus, held, bytes_str("values"));
    CU_ASSERT_TRUE(bus_is_idle(&f.bus));
    CU_ASSERT_EQUAL(f.bus.outbox_bytes, 0);
    CU_ASSERT_EQUAL(hear(client, text, sizeof(text)), 10);
    CU_ASSERT_EQUAL(hear(client, text, sizeof(text)), 11);
    CU_ASSERT_STRING_EQUAL(text, "values");
    CU_ASSERT_EQUAL(hear(client, text, sizeof(text)), 12);
    CU_ASSERT_STRING_EQUAL(text, "c");
    zmq_close(client);
    teardown(&f);
}

static void test_held_message_that_is_given_up_lets_the_others_through(void)
{
    static struct fixture f;
    char text[64];
    setup(&f, "given-up");
    void *client = dial(&f, ZMQ_DEALER, f.addresses[SOCKET_CLIENTS]);
    say(client, 1, "hello");
    turn_until(&f, &f.messages, 1);
    struct msg_header header = {.type = MSG_REPLY, .sequence = 10};
    struct outgoing *first = bus_hold(&f.bus, SOCKET_CLIENTS, f.peer, header, bytes_str("a"));
    struct outgoing *second = bus_hold(&f.bus, SOCKET_CLIENTS, f.peer, header, bytes_str("b"));
    header.sequence = 12;
    bus_send(&f.bus, SOCKET_CLIENTS, f.peer, header, bytes_str("c"));
    bus_drop(&f.bus, second);
    CU_ASSERT_FALSE(bus_is_idle(&f.bus));
    bus_drop(&f.bus, first);
    CU_ASSERT_TRUE(bus_is_idle(&f.bus));
    CU_ASSERT_EQUAL(f.bus.outbox_bytes, 0);
    CU_ASSERT_EQUAL(hear(client, text, sizeof(text)), 12);
    CU_ASSERT_STRING_EQUAL(text, "c");
    zmq_close(client);
    teardown(&f);
}

static void test_peer_that_left_is_reported(void)
{
    static struct fixture f;
    setup(&f, "left");
    void *client = dial(&f, ZMQ_DEALER, f.addresses[SOCKET_CLIENTS]);
    say(client, 1, "hello");
    turn_until(&f, &f.messages, 1);
    uint32_t peer = f.peer;
    struct outgoing *held =
        bus_hold(&f.bus, SOCKET_CLIENTS, peer, (struct msg_header){0}, bytes_str("never"));
    struct outgoing *behind =
        bus_hold(&f.bus, SOCKET_CLIENTS, peer, (struct msg_header){0}, bytes_str("never either"));
    zmq_close(client);
    bus_fill(&f.bus, held, bytes_str(""));
    uv_timer_start(&f.timeout, on_timeout, 5000, 0);
    while (!f.gone && uv_is_active((uv_handle_t *)&f.timeout)) {
        bus_send(&f.bus, SOCKET_CLIENTS, peer, (struct msg_header){0}, bytes_str("x"));
        if (behind) {
            bus_fill(&f.bus, behind, bytes_str(""));
            behind = NULL;
        }
        uv_run(&f.loop, UV_RUN_NOWAIT);
        bus_drain(&f.bus, 16);
    }
    uv_timer_stop(&f.timeout);
    CU_ASSERT_EQUAL(f.gone, 1);
    CU_ASSERT_TRUE(bus_is_idle(&f.bus));
    CU_ASSERT_PTR_NULL(
        bus_hold(&f.bus, SOCKET_CLIENTS, peer, (struct msg_header){0}, bytes_str("")));
    teardown(&f);
}

static void test_peer_that_does_not_read_is_dropped(void)
{
    static struct fixture f;
    static char body[1 << 20];
    setup(&f, "deaf");
    void *client = dial(&f, ZMQ_DEALER, f.addresses[SOCKET_CLIENTS]);
    say(client, 1, "hello");
    turn_until(&f, &f.messages, 1);
    struct outgoing *held =
        bus_hold(&f.bus, SOCKET_CLIENTS, f.peer, (struct msg_header){0}, bytes_str("stuck"));
    for (int i = 0; i < 70; i++)
        bus_send(&f.bus, SOCKET_CLIENTS, f.peer, (struct msg_header){0},
                 bytes_of(body, sizeof(body)));
    bus_drain(&f.bus, 16);
    CU_ASSERT_EQUAL(f.gone, 1);
    CU_ASSERT_EQUAL(f.bus.overrun, 1);
    CU_ASSERT_EQUAL(f.bus.outbox_bytes, 0);
    bus_fill(&f.bus, held, bytes_str(""));
    zmq_close(client);
    teardown(&f);
}

static void test_garbage_is_counted(void)
{
    static struct fixture f;
    setup(&f, "garbage");
    void *client = dial(&f, ZMQ_DEALER, f.addresses[SOCKET_CLIENTS]);
    zmq_send(client, "", 0, 0);
    zmq_send(client, "not a header", 12, 0);
    for (int i = 0; i < 9; i++)
        zmq_send(client, "many", 4, ZMQ_SNDMORE);
    zmq_send(client, "frames", 6, 0);
    say(client, 3, "good");
    turn_until(&f, &f.messages, 1);
    CU_ASSERT_STRING_EQUAL(f.body, "good");
    CU_ASSERT_EQUAL(f.bus.dropped, 3);
    CU_ASSERT_EQUAL(f.bus.routers[SOCKET_CLIENTS].peers.count, 1);
    zmq_close(client);
    teardown(&f);
}

static void test_topics_end_with_nul(void)
{
    static struct fixture f;
    char topic[32] = "xxxxxxxxxxxxxxx", text[64];
    setup(&f, "topics");
    void *subscriber = dial(&f, ZMQ_SUB, f.addresses[2]);
    int timeout = 20;
    zmq_setsockopt(subscriber, ZMQ_RCVTIMEO, &timeout, sizeof(timeout));
    struct msg_header header = {.type = MSG_EVENTS, .sequence = 5};
    int got = -1;
    for (int i = 0; i < 200 && got < 0; i++) {
        bus_publish(&f.bus, bytes_str("run/A"), header, bytes_str("pre"), bytes_str("fix"));
        uv_run(&f.loop, UV_RUN_NOWAIT);
        got = zmq_recv(subscriber, topic, sizeof(topic), 0);
    }
    CU_ASSERT_EQUAL(got, 6);
    CU_ASSERT_STRING_EQUAL(topic, "run/A");
    CU_ASSERT_EQUAL(hear(subscriber, text, sizeof(text)), 5);
    CU_ASSERT_STRING_EQUAL(text, "prefix");
    zmq_close(subscriber);
    teardown(&f);
}

static void test_who_came_over_the_network_is_known(void)
{
    struct fixture f;
    setup_remote(&f, "remote");
    void *near = dial(&f, ZMQ_DEALER, f.addresses[1]), *far = dial(&f, ZMQ_DEALER, f.remote[1]);
    say(near, 1, "near");
    turn_until(&f, &f.messages, 1);
    CU_ASSERT_FALSE(bus_is_remote(&f.bus, SOCKET_CLIENTS, f.peer));
    say(far, 2, "far");
    turn_until(&f, &f.messages, 2);
    CU_ASSERT_TRUE(bus_is_remote(&f.bus, SOCKET_CLIENTS, f.peer));
    CU_ASSERT_FALSE(bus_is_remote(&f.bus, SOCKET_CLIENTS, f.peer + 1));
    zmq_close(near);
    zmq_close(far);
    teardown(&f);
}

/* The next peer of that id would have been taken for the first. */
static void test_ids_that_peers_choose_are_dropped(void)
{
    struct fixture f;
    setup(&f, "chosen");
    void *chosen = zmq_socket(f.context, ZMQ_DEALER), *given;
    int linger = 0;
    zmq_setsockopt(chosen, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_setsockopt(chosen, ZMQ_ROUTING_ID, "admin", 5);
    CU_ASSERT_EQUAL_FATAL(zmq_connect(chosen, f.addresses[1]), 0);
    say(chosen, 1, "chosen");
    for (int i = 0; i < 1000 && !f.bus.dropped; i++) {
        uv_run(&f.loop, UV_RUN_NOWAIT);
        bus_drain(&f.bus, 16);
        usleep(1000);
    }
    CU_ASSERT_EQUAL(f.bus.dropped, 1);
    given = dial(&f, ZMQ_DEALER, f.addresses[1]);
    say(given, 2, "given");
    turn_until(&f, &f.messages, 1);
    CU_ASSERT_EQUAL(f.header.sequence, 2);
    zmq_close(chosen);
    zmq_close(given);
    teardown(&f);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"held-message-that-is-given-up-lets-the-others-through",
         test_held_message_that_is_given_up_lets_the_others_through},
        {"held message keeps its place", test_held_message_keeps_its_place},
        {"peer that left is reported", test_peer_that_left_is_reported},
        {"peer that does not read is dropped", test_peer_that_does_not_read_is_dropped},
        {"garbage is counted", test_garbage_is_counted},
        {"topics end with NUL", test_topics_end_with_nul},
        {"who came over the network", test_who_came_over_the_network_is_known},
        {"chosen ids", test_ids_that_peers_choose_are_dropped},
        {0},
    };
    return unit_main(argc, argv, "bus", cases);
}
