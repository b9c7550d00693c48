/*
 * A supervisor that a test plays: a ROUTER and a PUB in a thread, whose header codec is written out
 * here, so that the wire is checked and not the library against itself. Included by test_client*.c.
 */
#ifndef TESTS_FAKE_SUPERVISOR_H
#define TESTS_FAKE_SUPERVISOR_H

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <synk/client.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "tests/support/unit.h"

enum {
    REFUSE = 33,
    CONNECT = 64,
    UPLOAD = 65,
    APPLY = 66,
    RUN = 67,
    WAIT = 69,
    FETCH = 76,
    REPLY = 128
};

struct fake;
struct question {
    unsigned type;
    uint64_t sequence;
    const struct synk_value *body;
    zmq_msg_t *from;
};
typedef void (*handle)(struct fake *fake, const struct question *question);

struct fake {
    char directory[128];
    int port; /* on 127.0.0.1; 0 = by the directory */
    _Atomic(const char *)
        refusal; /* it does not lead: JSON that answers everything; NULL = it does */
    void *context, *router, *pub;
    pthread_t thread;
    atomic_bool is_stopping;
    handle handle;
    uint32_t epoch;
    int lock_fd;
    /* For the handlers; read by the test once the thread has ended, or atomic. */
    atomic_int asked;
    char keys[4][40];
    uint64_t sequences[4];
    atomic_size_t uploaded, chunks;
    _Atomic uint64_t head, first, to_publish;
    atomic_int fetches;
};

static inline void header_of(uint8_t out[16], unsigned type, uint32_t epoch, uint64_t sequence)
{
    out[0] = 'S';
    out[1] = 1;
    for (int i = 0; i < 2; i++)
        out[2 + i] = (uint8_t)(type >> (8 - 8 * i));
    for (int i = 0; i < 4; i++)
        out[4 + i] = (uint8_t)(epoch >> (24 - 8 * i));
    for (int i = 0; i < 8; i++)
        out[8 + i] = (uint8_t)(sequence >> (56 - 8 * i));
}

static inline void answer_bytes(struct fake *fake, const struct question *question, unsigned type,
                                struct synk_bytes body)
{
    uint8_t header[16];
    header_of(header, type, fake->epoch, question->sequence);
    zmq_send(fake->router, zmq_msg_data(question->from), zmq_msg_size(question->from), ZMQ_SNDMORE);
    zmq_send(fake->router, header, sizeof(header), ZMQ_SNDMORE);
    zmq_send(fake->router, body.data, body.size, 0);
}

static inline void answer(struct fake *fake, const struct question *question, unsigned type,
                          const char *json)
{
    struct synk_builder *builder = synk_builder_new();
    synk_builder_json(builder, json, strlen(json), NULL);
    answer_bytes(fake, question, type, synk_builder_bytes(builder));
    synk_builder_free(builder);
}

static inline void answer_connect(struct fake *fake, const struct question *question)
{
    char json[512];
    char events[160];
    if (fake->port)
        snprintf(events, sizeof(events), "tcp://*:%d", fake->port + 2);
    else
        snprintf(events, sizeof(events), "ipc://%s/events.sock", fake->directory);
    snprintf(json, sizeof(json),
             "{\"version\":\"0\",\"protocol\":1,\"epoch\":%u,\"events\":\"%s\"}", fake->epoch,
             events);
    answer(fake, question, REPLY, json);
}

static inline void take_one(struct fake *fake)
{
    zmq_msg_t frames[3];
    for (int i = 0; i < 3; i++) {
        zmq_msg_init(&frames[i]);
        if (zmq_msg_recv(&frames[i], fake->router, 0) < 0)
            return;
    }
    const uint8_t *header = zmq_msg_data(&frames[1]);
    struct question question = {.type = (unsigned)header[2] << 8 | header[3], .from = &frames[0]};
    for (int i = 0; i < 8; i++)
        question.sequence = question.sequence << 8 | header[8 + i];
    struct synk_document *document = NULL;
    struct synk_bytes body = {zmq_msg_data(&frames[2]), zmq_msg_size(&frames[2])};
    if (header[0] == 'S' && header[1] == 1 &&
        synk_document_decode(body, &document, NULL) == SYNK_OK) {
        question.body = synk_document_root(document);
        const char *refusal = atomic_load(&fake->refusal);
        if (refusal)
            answer(fake, &question, REFUSE, refusal);
        else if (question.type == CONNECT)
            answer_connect(fake, &question);
        else
            fake->handle(fake, &question);
    }
    synk_document_free(document);
    for (int i = 0; i < 3; i++)
        zmq_msg_close(&frames[i]);
}

static inline void publish(struct fake *fake, uint64_t number)
{
    uint8_t header[16];
    header_of(header, 161, fake->epoch, number);
    zmq_send(fake->pub, "head", 5, ZMQ_SNDMORE);
    zmq_send(fake->pub, header, sizeof(header), ZMQ_SNDMORE);
    zmq_send(fake->pub, "\x80", 1, 0);
}

static inline void *serve(void *argument)
{
    struct fake *fake = argument;
    while (!atomic_load(&fake->is_stopping)) {
        zmq_pollitem_t item = {.socket = fake->router, .events = ZMQ_POLLIN};
        if (zmq_poll(&item, 1, 5) > 0)
            take_one(fake);
        if (fake->to_publish)
            publish(fake, fake->head);
    }
    return NULL;
}

/* Ports of its own: what is taken is passed over. */
static inline void bind_ports(struct fake *fake, void *router, void *pub)
{
    char address[64];
    for (int port = fake->port ? fake->port : 20000 + getpid() % 20000;; port += 3) {
        snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", port);
        if (zmq_bind(router, address) != 0)
            continue;
        snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", port + 2);
        if (zmq_bind(pub, address) == 0) {
            fake->port = port;
            return;
        }
        snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", port);
        zmq_unbind(router, address);
    }
}

static inline void *bound(struct fake *fake, int type, const char *name)
{
    char address[256];
    int linger = 0;
    void *socket = zmq_socket(fake->context, type);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof(linger));
    /* A ROUTER drops what a slow reader has no room for; a supervisor keeps it, and so does this
     * one. */
    zmq_setsockopt(socket, ZMQ_SNDHWM, &linger, sizeof(linger));
    if (!fake->directory[0])
        return socket; /* bind_ports follows */
    snprintf(address, sizeof(address), "ipc://%s/%s", fake->directory, name);
    CU_ASSERT_EQUAL_FATAL(zmq_bind(socket, address), 0);
    return socket;
}

static inline void fake_start(struct fake *fake)
{
    fake->context = zmq_ctx_new();
    fake->router = bound(fake, ZMQ_ROUTER, "client.sock");
    fake->pub = bound(fake, ZMQ_PUB, "events.sock");
    if (!fake->directory[0])
        bind_ports(fake, fake->router, fake->pub);
    fake->epoch++;
    atomic_store(&fake->is_stopping, false);
    pthread_create(&fake->thread, NULL, serve, fake);
}

/* What kill -9 does to the connections. */
static inline void fake_stop(struct fake *fake)
{
    atomic_store(&fake->is_stopping, true);
    pthread_join(fake->thread, NULL);
    zmq_close(fake->router);
    zmq_close(fake->pub);
    zmq_ctx_term(fake->context);
}

static inline struct fake *fake_new(handle handler)
{
    static int count;
    struct fake *fake = calloc(1, sizeof(*fake));
    snprintf(fake->directory, sizeof(fake->directory), "%s/%d", unit_directory(), count++);
    mkdir(fake->directory, 0700);
    char path[256];
    snprintf(path, sizeof(path), "%s/synkd.lock", fake->directory);
    fake->lock_fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CU_ASSERT_EQUAL_FATAL(fcntl(fake->lock_fd, F_OFD_SETLK, &lock), 0);
    fake->handle = handler;
    fake_start(fake);
    return fake;
}

/* One that is found by its port. */
static inline struct fake *fake_new_tcp(handle handler)
{
    struct fake *fake = calloc(1, sizeof(*fake));
    fake->lock_fd = -1;
    fake->handle = handler;
    fake_start(fake);
    return fake;
}

static inline void fake_free(struct fake *fake)
{
    fake_stop(fake);
    if (fake->lock_fd >= 0)
        close(fake->lock_fd);
    free(fake);
}

static inline struct synk_client *open_client(const struct fake *fake, int64_t timeout_ms)
{
    struct synk_client_options options = {
        .directory = fake->directory, .timeout_ms = timeout_ms, .fail_fast = true};
    struct synk_client *client = NULL;
    struct synk_error error = {0};
    CU_ASSERT_EQUAL_FATAL(synk_client_open(&options, &client, &error), SYNK_OK);
    return client;
}

#endif
