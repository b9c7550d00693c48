/* The results that a dispatch takes along, where the store cannot give them. The store is this
 * file's own: it answers as each test says. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "supervisor/shell/shell.h"
#include "tests/support/unit.h"

static enum synk_status store_says;

void store_values(struct store *store, const struct value_ref *refs, size_t count,
                  store_values_done done, void *context)
{
    (void)store, (void)refs;
    struct synk_error error;
    status_fail(&error, store_says, "store 'x.db': reading a result: disk I/O error");
    struct synk_bytes *values = calloc(count, sizeof(*values));
    done(context, store_says, &error, values, count);
    free(values);
}

static struct shell shell;

static void on_message(void *context, enum socket socket, uint32_t peer, struct msg_header header,
                       struct synk_bytes body)
{
    (void)socket, (void)header, (void)body;
    *(uint32_t *)context = peer;
}

static void on_gone(void *context, enum socket socket, uint32_t peer)
{
    (void)context, (void)socket, (void)peer;
}

/* Opens the shell's bus, has one host say something, and sends it a dispatch with one input, and
 * then a plain message. */
static void dispatch(const char *name, void **ret_context, void **ret_host)
{
    static char addresses[3][512];
    uint32_t peer = 0;
    uint8_t header[MSG_HEADER_BYTES];
    shell = (struct shell){0};
    uv_loop_init(&shell.uv);
    results_init(&shell.results, RESULTS_BYTES);
    for (int i = 0; i < 3; i++)
        snprintf(addresses[i], sizeof(addresses[i]), "ipc://%s/%s-%d", unit_directory(), name, i);
    struct bus_options options = {
        .loop = &shell.uv,
        .addresses = {addresses[0], addresses[1]},
        .events_address = addresses[2],
        .context = &peer,
        .on_message = on_message,
        .on_gone = on_gone,
    };
    if (bus_open(&shell.bus, &options, NULL) != SYNK_OK)
        abort();
    int linger = 0, patience_ms = 5000;
    *ret_context = zmq_ctx_new();
    *ret_host = zmq_socket(*ret_context, ZMQ_DEALER);
    zmq_setsockopt(*ret_host, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_setsockopt(*ret_host, ZMQ_RCVTIMEO, &patience_ms, sizeof(patience_ms));
    zmq_connect(*ret_host, addresses[SOCKET_HOSTS]);
    msg_header_encode((struct msg_header){.type = MSG_HELLO}, header);
    zmq_send(*ret_host, header, sizeof(header), ZMQ_SNDMORE);
    zmq_send(*ret_host, "", 0, 0);
    while (!peer) {
        zmq_pollitem_t item = {.socket = shell.bus.routers[SOCKET_HOSTS].zmq, .events = ZMQ_POLLIN};
        zmq_poll(&item, 1, 5000);
        bus_drain(&shell.bus, 16);
    }
    struct send send = {
        .socket = SOCKET_HOSTS, .peer = peer, .header = {.type = MSG_DISPATCH}, .ref_count = 1};
    static const struct value_ref ref = {7, 1};
    shell_send_with_inputs(&shell, &send, bytes_str("tasks"), &ref);
    bus_send(&shell.bus, SOCKET_HOSTS, peer, (struct msg_header){.type = MSG_ALIVE},
             bytes_str("alive"));
}

static uint16_t hear(void *host)
{
    uint8_t frame[64];
    struct msg_header header = {0};
    if (zmq_recv(host, frame, sizeof(frame), 0) != MSG_HEADER_BYTES)
        return 0;
    msg_header_decode(bytes_of(frame, MSG_HEADER_BYTES), &header, NULL);
    int more = 1;
    size_t size = sizeof(more);
    while (zmq_getsockopt(host, ZMQ_RCVMORE, &more, &size) == 0 && more)
        zmq_recv(host, frame, sizeof(frame), 0);
    return header.type;
}

static void finish(void *context, void *host)
{
    zmq_close(host);
    bus_close(&shell.bus);
    zmq_ctx_term(context);
    uv_run(&shell.uv, UV_RUN_DEFAULT);
    uv_loop_close(&shell.uv);
    results_fini(&shell.results);
}

static void test_a_dispatch_goes_with_its_values(void)
{
    void *context, *host;
    store_says = SYNK_OK;
    dispatch("ok", &context, &host);
    CU_ASSERT_EQUAL(hear(host), MSG_DISPATCH);
    CU_ASSERT_EQUAL(hear(host), MSG_ALIVE);
    finish(context, host);
}

static void test_a_dispatch_of_a_removed_run_is_not_sent(void)
{
    void *context, *host;
    store_says = SYNK_NOT_FOUND;
    dispatch("removed", &context, &host);
    CU_ASSERT_EQUAL(hear(host), MSG_ALIVE);
    CU_ASSERT_EQUAL(shell.questions, 0);
    CU_ASSERT_TRUE(bus_is_idle(&shell.bus));
    finish(context, host);
}

/* In a process of its own, which is to end. */
static void test_a_result_that_cannot_be_read_ends_the_supervisor(void)
{
    int ends[2], status;
    char log[1024] = "";
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        void *context, *host;
        dup2(ends[1], STDERR_FILENO);
        store_says = SYNK_IO;
        dispatch("broken", &context, &host);
        _exit(0);
    }
    close(ends[1]);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT(WIFEXITED(status));
    CU_ASSERT_EQUAL(WEXITSTATUS(status), 70);
    CU_ASSERT(read(ends[0], log, sizeof(log) - 1) > 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(log, "x.db"));
    CU_ASSERT_PTR_NOT_NULL(strstr(log, "disk I/O error"));
    close(ends[0]);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"a-result-that-cannot-be-read-ends-the-supervisor",
         test_a_result_that_cannot_be_read_ends_the_supervisor},
        {"a-dispatch-goes-with-its-values", test_a_dispatch_goes_with_its_values},
        {"a-dispatch-of-a-removed-run-is-not-sent", test_a_dispatch_of_a_removed_run_is_not_sent},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "inputs", cases);
}
