/*
 * Drives a real synkd over bare sockets, as PROTOCOL.md describes them: requests, bytes that are
 * not requests, a second supervisor, SIGKILL and what must have survived it, SIGTERM.
 *
 *   supervisor_driver SYNKD
 *
 * Prints what it does; the first thing that is not as it should be ends it with status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "proto/bytes.h"
#include "proto/directory.h"
#include "proto/msg.h"
#include "proto/value.h"

#define PATIENCE_MS 20000

static const char *synkd;
static struct directory directory;
static char root[64];
static pid_t supervisor;
static void *context, *clients;
static uint64_t sequence;

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail(__LINE__, #condition, " " __VA_ARGS__);                                           \
    } while (0)

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static void clean(void)
{
    if (supervisor > 0) {
        kill(supervisor, SIGKILL);
        waitpid(supervisor, NULL, 0);
    }
    nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static __attribute__((noreturn, format(printf, 3, 4))) void fail(int line, const char *condition,
                                                                 const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "supervisor_driver.c:%d: not so: %s:", line, condition);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    clean();
    exit(1);
}

/* Starts one; with its standard error at `ret_err` where that is wanted. */
static pid_t start(int *ret_ready, int *ret_err)
{
    int ready[2], err[2];
    CHECK(pipe(ready) == 0 && pipe(err) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char number[16];
        snprintf(number, sizeof(number), "%d", ready[1]);
        close(ready[0]);
        if (ret_err)
            dup2(err[1], STDERR_FILENO);
        close(err[0]);
        close(err[1]);
        execl(synkd, "synkd", "--dir", root, "--slots", "0", "--ready-fd", number, (char *)NULL);
        _exit(127);
    }
    close(ready[1]);
    close(err[1]);
    *ret_ready = ready[0];
    if (ret_err)
        *ret_err = err[0];
    else
        close(err[0]);
    return pid;
}

static void connect_clients(void)
{
    char address[DIRECTORY_PATH_BYTES];
    int linger = 0, timeout = PATIENCE_MS;
    CHECK(directory_address(&directory, DIRECTORY_CLIENTS, address, NULL) == SYNK_OK);
    clients = zmq_socket(context, ZMQ_DEALER);
    zmq_setsockopt(clients, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_setsockopt(clients, ZMQ_RCVTIMEO, &timeout, sizeof(timeout));
    CHECK(zmq_connect(clients, address) == 0);
}

static void start_ready(void)
{
    int ready;
    char text[16] = "";
    supervisor = start(&ready, NULL);
    struct pollfd wait = {.fd = ready, .events = POLLIN};
    CHECK(poll(&wait, 1, PATIENCE_MS) == 1, "synkd does not get ready");
    CHECK(read(ready, text, sizeof(text) - 1) == 6, "synkd ended before it was ready");
    CHECK(strcmp(text, "ready\n") == 0);
    close(ready);
    connect_clients();
    int64_t pid = 0;
    CHECK(directory_supervisor_pid(&directory, &pid) && pid == supervisor);
}

static int await_exit(pid_t pid)
{
    int status = 0;
    for (int tries = 0; tries < PATIENCE_MS / 10; tries++) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
        poll(NULL, 0, 10);
    }
    return -1;
}

static void send_request(uint16_t type, struct synk_bytes body)
{
    uint8_t header[MSG_HEADER_BYTES];
    msg_header_encode((struct msg_header){.type = type, .sequence = ++sequence}, header);
    CHECK(zmq_send(clients, header, sizeof(header), ZMQ_SNDMORE) == sizeof(header));
    CHECK(zmq_send(clients, body.data, body.size, 0) == (int)body.size);
}

/* The reply to the last request, as JSON for the caller to free. */
static char *receive_reply(uint16_t *ret_type, uint32_t *ret_epoch)
{
    static uint8_t body[5 << 20];
    uint8_t frame[MSG_HEADER_BYTES];
    struct msg_header header;
    do {
        int size = zmq_recv(clients, frame, sizeof(frame), 0);
        CHECK(size == MSG_HEADER_BYTES, "no reply to request %llu: %s",
              (unsigned long long)sequence, zmq_strerror(errno));
        CHECK(msg_header_decode(bytes_of(frame, sizeof(frame)), &header, NULL) == SYNK_OK);
        size = zmq_recv(clients, body, sizeof(body), 0);
        CHECK(size > 0 && size <= (int)sizeof(body));
        if (header.sequence != sequence)
            continue;
        struct synk_document *document = NULL;
        struct synk_error error = {0};
        CHECK(synk_document_decode(bytes_of(body, (size_t)size), &document, &error) == SYNK_OK,
              "%s", error.text);
        char *json = synk_value_json_dup(synk_document_root(document));
        synk_document_free(document);
        *ret_type = header.type;
        if (ret_epoch)
            *ret_epoch = header.epoch;
        return json;
    } while (true);
}

/* Sends a JSON body; the reply must be of this type and hold these texts (ended by NULL). */
static uint32_t ask(uint16_t type, const char *json, int expected, ...)
{
    struct synk_builder *builder = synk_builder_new();
    struct synk_error error = {0};
    CHECK(synk_builder_json(builder, json, strlen(json), &error) == SYNK_OK, "%s", error.text);
    send_request(type, synk_builder_bytes(builder));
    synk_builder_free(builder);
    uint16_t got;
    uint32_t epoch = 0;
    char *reply = receive_reply(&got, &epoch);
    printf("%s %s -> %s\n", msg_type_name(type), json, reply);
    CHECK(got == expected, "%s: %s", msg_type_name(got), reply);
    va_list texts;
    va_start(texts, expected);
    for (const char *text; (text = va_arg(texts, const char *));)
        CHECK(strstr(reply, text), "'%s' in %s", text, reply);
    va_end(texts);
    free(reply);
    return epoch;
}

static void check_requests(void)
{
    ask(MSG_CONNECT, "{}", MSG_REPLY, "\"durability\"", "events.sock", "\"protocol\":1", NULL);
    ask(MSG_APPLY,
        "{\"key\":\"apply-1\",\"document\":{\"processes\":[{\"id\":\"night\",\"workers\":["
        "{\"id\":\"one\",\"command\":[\"true\"]},"
        "{\"id\":\"two\",\"command\":[\"true\"],\"dependsOn\":[\"one\"]}]}]}}",
        MSG_REPLY, "night", "created", NULL);
    ask(MSG_APPLY, "{\"document\":{\"processes\":[{\"id\":\"x\",\"wrokers\":[]}]}}", MSG_ERROR,
        "invalid", "workers", NULL);
    ask(MSG_RUN, "{\"unit\":\"night\",\"key\":\"run-1\"}", MSG_REPLY, "night#1", NULL);
    ask(MSG_RUN, "{\"unit\":\"night\",\"key\":\"run-1\"}", MSG_REPLY, "night#1", NULL);
    ask(MSG_RUN, "{\"unit\":\"nihgt\"}", MSG_ERROR, "not-found", NULL);
    ask(MSG_LIST, "{\"what\":\"units\"}", MSG_REPLY, "night", NULL);
    ask(MSG_LIST, "{\"what\":\"runs\"}", MSG_REPLY, "night#1", NULL);
    ask(MSG_SHOW, "{\"id\":\"night#1\"}", MSG_REPLY, "\"one\"", "\"two\"", NULL);
    ask(MSG_FETCH, "{\"from\":0}", MSG_REPLY, "\"seq\":1", "night", NULL);
    ask(MSG_STATS, "{}", MSG_REPLY, "{", NULL);
    puts("requests: ok");
}

static void spray(enum directory_socket which)
{
    static const struct {
        const char *bytes;
        size_t size;
    } frames[] = {
        {"", 0},
        {"GET / HTTP/1.1\r\n\r\n", 18},
        {"S\x01\x00\x50\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", 16},
        {"S\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", 16},
        {"S\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16},
        {"S\x02\x00\x50\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", 16},
        {"\xdd\xff\xff\xff\xff", 5},
        {"\x81\x81\x81\x81", 4},
        {"\xc1", 1},
    };
    size_t count = sizeof(frames) / sizeof(frames[0]);
    char address[DIRECTORY_PATH_BYTES];
    int linger = 1000;
    CHECK(directory_address(&directory, which, address, NULL) == SYNK_OK);
    void *socket = zmq_socket(context, ZMQ_DEALER);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof(linger));
    CHECK(zmq_connect(socket, address) == 0);
    for (size_t i = 0; i < count; i++) {
        zmq_send(socket, frames[i].bytes, frames[i].size, 0);
        for (size_t j = 0; j < count; j++) {
            zmq_send(socket, frames[i].bytes, frames[i].size, ZMQ_SNDMORE);
            zmq_send(socket, frames[j].bytes, frames[j].size, 0);
            for (size_t k = 0; k < 5; k++)
                zmq_send(socket, frames[j].bytes, frames[j].size, ZMQ_SNDMORE);
            zmq_send(socket, frames[j].bytes, frames[j].size, 0);
        }
    }
    /* Beyond MAXMSGSIZE: the connection is cut, and nobody else's. */
    size_t big_size = 6 << 20;
    void *big = mem_zalloc(1, big_size);
    zmq_send(socket, big, big_size, 0);
    free(big);
    zmq_close(socket);
}

static void check_garbage(void)
{
    spray(DIRECTORY_HOSTS);
    spray(DIRECTORY_CLIENTS);
    static const struct {
        const char *bytes;
        size_t size;
    } bodies[] = {{"", 0}, {"\xdd\xff\xff\xff\xff", 5}, {"\x93", 1}, {"\x80\x80", 2}};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        uint16_t type = 0;
        send_request(MSG_RUN, bytes_of(bodies[i].bytes, bodies[i].size));
        free(receive_reply(&type, NULL));
        CHECK(type == MSG_ERROR, "body %zu", i);
    }
    ask(99, "{}", MSG_ERROR, "unsupported", NULL);
    ask(MSG_STATS, "{}", MSG_REPLY, "{", NULL);
    puts("garbage: ok");
}

static void check_head(void)
{
    char address[DIRECTORY_PATH_BYTES], topic[16] = "";
    int timeout = PATIENCE_MS;
    CHECK(directory_address(&directory, DIRECTORY_EVENTS, address, NULL) == SYNK_OK);
    void *socket = zmq_socket(context, ZMQ_SUB);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout, sizeof(timeout));
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "head", 5);
    CHECK(zmq_connect(socket, address) == 0);
    CHECK(zmq_recv(socket, topic, sizeof(topic), 0) == 5, "no head message");
    CHECK(memcmp(topic, "head", 5) == 0);
    zmq_close(socket);
    puts("head: ok");
}

static void check_second_is_refused(void)
{
    int ready, err;
    char text[1024];
    pid_t second = start(&ready, &err);
    int status = await_exit(second);
    CHECK(status == 4, "exit status %d", status);
    ssize_t size = read(err, text, sizeof(text) - 1);
    text[size > 0 ? size : 0] = '\0';
    CHECK(strstr(text, "already runs on"), "%s", text);
    close(ready);
    close(err);
    ask(MSG_STATS, "{}", MSG_REPLY, "{", NULL);
    puts("second supervisor: ok");
}

static void check_recovery(void)
{
    uint32_t before = ask(MSG_STATS, "{}", MSG_REPLY, "{", NULL);
    kill(supervisor, SIGKILL);
    CHECK(await_exit(supervisor) == 256 + SIGKILL);
    supervisor = 0;
    CHECK(!directory_supervisor_pid(&directory, NULL));
    zmq_close(clients);
    start_ready();
    uint32_t after = ask(MSG_STATS, "{}", MSG_REPLY, "{", NULL);
    CHECK(after > before, "epoch %u after %u", after, before);
    ask(MSG_LIST, "{\"what\":\"units\"}", MSG_REPLY, "night", NULL);
    ask(MSG_LIST, "{\"what\":\"runs\"}", MSG_REPLY, "night#1", NULL);
    ask(MSG_SHOW, "{\"id\":\"night#1\"}", MSG_REPLY, "\"one\"", "\"two\"", NULL);
    ask(MSG_RUN, "{\"unit\":\"night\",\"key\":\"run-1\"}", MSG_REPLY, "night#1", NULL);
    puts("recovery: ok");
}

static void check_end(void)
{
    char path[DIRECTORY_PATH_BYTES];
    kill(supervisor, SIGTERM);
    int status = await_exit(supervisor);
    CHECK(status == 0, "exit status %d", status);
    supervisor = 0;
    directory_path(&directory, DIRECTORY_PID, path);
    CHECK(access(path, F_OK) != 0);
    char address[DIRECTORY_PATH_BYTES];
    CHECK(directory_address(&directory, DIRECTORY_CLIENTS, address, NULL) == SYNK_OK);
    CHECK(access(address + strlen("ipc://"), F_OK) != 0);
    puts("end: ok");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("Usage: supervisor_driver SYNKD\n", stderr);
        return 2;
    }
    synkd = argv[1];
    setvbuf(stdout, NULL, _IOLBF, 0);
    strcpy(root, "/tmp/synk-driver.XXXXXX");
    if (!mkdtemp(root)) {
        perror("mkdtemp");
        return 1;
    }
    CHECK(directory_resolve(root, &directory, NULL) == SYNK_OK);
    context = zmq_ctx_new();
    start_ready();
    check_requests();
    check_garbage();
    check_head();
    check_second_is_refused();
    check_recovery();
    check_end();
    zmq_close(clients);
    zmq_ctx_term(context);
    clean();
    return 0;
}
