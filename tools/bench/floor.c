/*
 * The floor of the throughput benchmarks: the same number of messages over bare ZeroMQ, with
 * nothing done to them. A child process echoes; both sides are DEALERs on an ipc socket.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "proto/status.h"
#include "tools/bench/bench.h"

enum { MESSAGE_BYTES = 64, WINDOW = 256 };

static int echo(const char *address)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_DEALER);
    if (zmq_connect(socket, address) != 0)
        return 1;
    char message[MESSAGE_BYTES];
    for (;;) {
        int size = zmq_recv(socket, message, sizeof(message), 0);
        if (size <= 0)
            break;
        if (zmq_send(socket, message, (size_t)size, 0) < 0)
            return 1;
    }
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
}

static enum synk_status exchange(void *socket, uint64_t messages, struct synk_error *error)
{
    char message[MESSAGE_BYTES] = {0};
    uint64_t sent = 0, received = 0;
    while (received < messages) {
        for (; sent < messages && sent - received < WINDOW; sent++)
            if (zmq_send(socket, message, sizeof(message), 0) < 0)
                return status_fail(error, SYNK_IO, "send: %s", zmq_strerror(errno));
        do {
            if (zmq_recv(socket, message, sizeof(message), 0) < 0)
                return status_fail(error, SYNK_IO, "receive: %s", zmq_strerror(errno));
            received++;
        } while (received < sent && sent - received > WINDOW / 2);
    }
    return SYNK_OK;
}

struct peer {
    char path[32], address[64];
    pid_t pid;
    void *context, *socket;
};

static enum synk_status peer_open(struct peer *peer, struct synk_error *error)
{
    *peer = (struct peer){.path = "/tmp/synk-floor.XXXXXX"};
    if (!mkdtemp(peer->path))
        return status_fail(error, SYNK_IO, "mkdtemp: %s", strerror(errno));
    snprintf(peer->address, sizeof(peer->address), "ipc://%s/floor", peer->path);
    peer->pid = fork();
    if (peer->pid < 0)
        return status_fail(error, SYNK_IO, "fork: %s", strerror(errno));
    if (peer->pid == 0)
        _exit(echo(peer->address));
    peer->context = zmq_ctx_new();
    peer->socket = zmq_socket(peer->context, ZMQ_DEALER);
    int linger = 0, timeout_ms = 10000;
    zmq_setsockopt(peer->socket, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_setsockopt(peer->socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    if (zmq_bind(peer->socket, peer->address) != 0)
        return status_fail(error, SYNK_IO, "bind %s: %s", peer->address, zmq_strerror(errno));
    return exchange(peer->socket, WINDOW * 10, error); /* the connection, and the caches */
}

/* Safe on a half-opened one. */
static void peer_close(struct peer *peer)
{
    if (peer->pid > 0) {
        kill(peer->pid, SIGKILL);
        waitpid(peer->pid, NULL, 0);
    }
    if (peer->socket)
        zmq_close(peer->socket);
    if (peer->context)
        zmq_ctx_term(peer->context);
    if (peer->address[0])
        unlink(peer->address + strlen("ipc://"));
    rmdir(peer->path);
}

enum synk_status bench_floor(uint64_t messages, double *ret_per_s, struct synk_error *error)
{
    struct peer peer;
    enum synk_status status = peer_open(&peer, error);
    double start = bench_now_s();
    if (!status)
        status = exchange(peer.socket, messages, error);
    if (!status)
        *ret_per_s = (double)messages / (bench_now_s() - start);
    peer_close(&peer);
    return status;
}

enum synk_status bench_round_trips(double *ret_seconds, uint64_t count, struct synk_error *error)
{
    struct peer peer;
    char message[MESSAGE_BYTES] = {0};
    enum synk_status status = peer_open(&peer, error);
    for (uint64_t i = 0; i < count && !status; i++) {
        double start = bench_now_s();
        if (zmq_send(peer.socket, message, sizeof(message), 0) < 0 ||
            zmq_recv(peer.socket, message, sizeof(message), 0) < 0)
            status = status_fail(error, SYNK_IO, "round trip: %s", zmq_strerror(errno));
        ret_seconds[i] = bench_now_s() - start;
    }
    peer_close(&peer);
    return status;
}
