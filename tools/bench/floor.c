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

enum synk_status bench_floor(uint64_t messages, double *ret_per_s, struct synk_error *error)
{
    char path[] = "/tmp/synk-floor.XXXXXX";
    if (!mkdtemp(path))
        return status_fail(error, SYNK_IO, "mkdtemp: %s", strerror(errno));
    char address[64];
    snprintf(address, sizeof(address), "ipc://%s/floor", path);

    pid_t child = fork();
    if (child < 0)
        return status_fail(error, SYNK_IO, "fork: %s", strerror(errno));
    if (child == 0)
        _exit(echo(address));

    enum synk_status status = SYNK_OK;
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_DEALER);
    int linger = 0, timeout_ms = 10000;
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    if (zmq_bind(socket, address) != 0)
        status = status_fail(error, SYNK_IO, "bind %s: %s", address, zmq_strerror(errno));
    if (!status)
        status = exchange(socket, WINDOW * 10, error); /* the connection, and the caches */
    double start = bench_now_s();
    if (!status)
        status = exchange(socket, messages, error);
    if (!status)
        *ret_per_s = (double)messages / (bench_now_s() - start);
    if (!status)
        zmq_send(socket, "", 0, 0); /* the child leaves */
    else
        kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    zmq_close(socket);
    zmq_ctx_term(context);
    unlink(address + strlen("ipc://"));
    rmdir(path);
    return status;
}
