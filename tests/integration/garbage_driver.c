/*
 * Throws everything but sense at a real synkd, for some seconds: bytes that are not ZMTP, frames
 * that are not messages, valid headers with bodies that only look right, on all three sockets.
 * Meanwhile a client must go on being answered, and memory must stay bounded.
 *
 *   garbage_driver SYNKD [SECONDS [SEED]]
 *
 * Prints its seed and figures; the first thing that is not as it should be ends it with status 1.
 */
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "proto/directory.h"
#include "proto/msg.h"
#include "proto/pack.h"

enum {
    PATIENCE_MS = 20000,
    /* How long a request may take while garbage rains: sanitized programs are slow. */
    ANSWER_MS = 5000,
    /* What a sanitizer sets aside is in it. */
    RSS_KIB = 500 << 10,
    RAW_SOCKETS = 32,
};

static struct directory directory;
static char root[64];
static pid_t supervisor;
static void *context;
static uint64_t state; /* of the random numbers */

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
    fprintf(stderr, "garbage_driver.c:%d: not so: %s:", line, condition);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    clean();
    exit(1);
}

static uint32_t draw(uint32_t bound)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((state >> 33) % bound);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void start(const char *program)
{
    int ready[2];
    char number[16], text[16] = "";
    CHECK(pipe(ready) == 0);
    snprintf(number, sizeof(number), "%d", ready[1]);
    supervisor = fork();
    CHECK(supervisor >= 0);
    if (supervisor == 0) {
        close(ready[0]);
        /* Freed memory that a sanitizer keeps is not the supervisor's. */
        setenv("ASAN_OPTIONS", "quarantine_size_mb=8", 0);
        execl(program, "synkd", "--dir", root, "--slots", "0", "--ready-fd", number, (char *)NULL);
        _exit(127);
    }
    close(ready[1]);
    struct pollfd wait = {.fd = ready[0], .events = POLLIN};
    CHECK(poll(&wait, 1, PATIENCE_MS) == 1, "synkd does not get ready");
    CHECK(read(ready[0], text, sizeof(text) - 1) == 6, "synkd ended before it was ready");
    close(ready[0]);
}

static void address_of(enum directory_socket which, char address[DIRECTORY_PATH_BYTES])
{
    CHECK(directory_address(&directory, which, address, NULL) == SYNK_OK);
}

static void *open_socket(int type, enum directory_socket which)
{
    char address[DIRECTORY_PATH_BYTES];
    int linger = 0, timeout = ANSWER_MS, high_water = 100;
    address_of(which, address);
    void *socket = zmq_socket(context, type);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout, sizeof(timeout));
    zmq_setsockopt(socket, ZMQ_SNDHWM, &high_water, sizeof(high_water));
    CHECK(zmq_connect(socket, address) == 0);
    return socket;
}

/* A number that is an edge of something, or small; none that asks for millions of tasks. */
static void pack_number(struct buf *out)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     2,
                                     3,
                                     127,
                                     255,
                                     65536,
                                     UINT32_MAX,
                                     INT64_MAX,
                                     UINT64_MAX,
                                     UINT64_C(1) << 32,
                                     (uint64_t)INT64_MAX + 1};
    uint64_t number = edges[draw(sizeof(edges) / sizeof(edges[0]))];
    if (draw(2))
        pack_uint(out, draw(4));
    else if (draw(2))
        pack_uint(out, number);
    else
        pack_int(out, -(int64_t)(number >> 1));
}

static void pack_text(struct buf *out)
{
    static const char *const texts[] = {
        "",     "night",    "one",  "night#1", "night#last", "pool",   "runs", "units",  "hosts",
        "exec", "sim.noop", "evil", "#",       "a/b/c#0",    "events", "up",   "pool#1", "\xff"};
    pack_cstr(out, texts[draw(sizeof(texts) / sizeof(texts[0]))]);
}

static void pack_value(struct buf *out, int depth)
{
    uint8_t bytes[64];
    size_t count = draw(5);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)draw(256);
    switch (draw(depth > 4 ? 5 : 8)) {
    case 0:
        pack_null(out);
        break;
    case 1:
        pack_bool(out, draw(2));
        break;
    case 2:
        pack_number(out);
        break;
    case 3:
        pack_text(out);
        break;
    case 4:
        pack_binary(out, bytes_of(bytes, draw(sizeof(bytes))));
        break;
    case 5:
        pack_double(out, draw(2) ? -1e308 : 0.5);
        break;
    case 6:
        pack_map(out, count);
        for (size_t i = 0; i < count; i++) {
            pack_text(out);
            pack_value(out, depth + 1);
        }
        break;
    default:
        count = draw(20); /* as many as an item has */
        pack_array(out, count);
        for (size_t i = 0; i < count; i++)
            pack_value(out, depth + 1);
    }
}

/* What hosts send: arrays that begin with an attempt, which may even exist. */
static void pack_items(struct buf *out)
{
    size_t count = draw(4);
    pack_array(out, count);
    for (size_t i = 0; i < count; i++) {
        bool is_report = draw(2);
        size_t rest = draw(14);
        pack_array(out, 4 + is_report + rest);
        if (is_report)
            pack_uint(out, draw(3));
        for (int j = 0; j < 4; j++)
            pack_uint(out, 1 + draw(3) - (j == 1));
        for (size_t j = 0; j < rest; j++) {
            if (draw(2))
                pack_number(out);
            else
                pack_value(out, 2);
        }
    }
}

/* A map with names that some message knows. */
static void pack_body(struct buf *out)
{
    static const char *const keys[] = {
        "unit",     "params", "by",         "overlap",   "function",     "payload",  "count",
        "items",    "run",    "workers",    "ids",       "all",          "id",       "attempts",
        "from",     "limit",  "what",       "status",    "since",        "cursor",   "types",
        "document", "upload", "offset",     "data",      "key",          "name",     "instance",
        "slots",    "pid",    "version",    "functions", "tags",         "last",     "running",
        "queued",   "reason", "request",    "task",      "attempt",      "size",     "complete",
        "error",    "rssKib", "maxRetries", "priority",  "retryDelayMs", "timeoutMs"};
    size_t count = 1 + draw(12);
    pack_map(out, count);
    for (size_t i = 0; i < count; i++) {
        const char *key = keys[draw(sizeof(keys) / sizeof(keys[0]))];
        pack_key(out, key);
        if (strcmp(key, "items") == 0 && draw(4))
            pack_items(out);
        else
            pack_value(out, 0);
    }
}

/* Any type but the one that would rightly end the test. */
static uint16_t draw_type(void)
{
    uint16_t type;
    do
        type = (uint16_t)(draw(8) ? 1 + draw(132) : draw(65536));
    while (type == MSG_SHUTDOWN);
    return type;
}

static void damage(struct buf *body)
{
    uint8_t *bytes = body->data;
    if (body->size && draw(2))
        body->size = draw((uint32_t)body->size);
    for (uint32_t i = draw(4); body->size && i > 0; i--)
        bytes[draw((uint32_t)body->size)] = (uint8_t)draw(256);
}

static void send_garbage(void *socket)
{
    struct buf body = {0};
    uint8_t header[MSG_HEADER_BYTES];
    msg_header_encode(
        (struct msg_header){.type = draw_type(), .epoch = draw(3), .sequence = draw(100)}, header);
    if (!draw(20))
        header[draw(sizeof(header))] ^= (uint8_t)(1 + draw(255));
    pack_body(&body);
    if (!draw(3))
        damage(&body);
    size_t header_size = draw(30) ? sizeof(header) : draw(sizeof(header));
    bool is_alone = !draw(30);
    int sent = zmq_send(socket, header, header_size, ZMQ_DONTWAIT | (is_alone ? 0 : ZMQ_SNDMORE));
    for (uint32_t i = draw(40) ? 0 : draw(200); sent >= 0 && !is_alone && i > 0; i--)
        zmq_send(socket, body.data, body.size, ZMQ_DONTWAIT | ZMQ_SNDMORE);
    if (sent >= 0 && !is_alone)
        zmq_send(socket, body.data, body.size, ZMQ_DONTWAIT);
    buf_fini(&body);
}

/* Says hello properly, so that what follows is taken for a host's. */
static void send_hello(void *socket)
{
    struct buf body = {0};
    uint8_t header[MSG_HEADER_BYTES];
    char name[16];
    msg_header_encode((struct msg_header){.type = MSG_HELLO}, header);
    snprintf(name, sizeof(name), "evil%u", draw(3));
    pack_map(&body, 7);
    pack_key(&body, "name");
    pack_cstr(&body, name);
    pack_key(&body, "instance");
    pack_uint(&body, 1 + draw(3));
    pack_key(&body, "slots");
    pack_uint(&body, 4);
    pack_key(&body, "pid");
    pack_uint(&body, 1);
    pack_key(&body, "version");
    pack_cstr(&body, "0");
    pack_key(&body, "functions");
    pack_array(&body, 2);
    pack_cstr(&body, "exec");
    pack_cstr(&body, "sim.noop");
    pack_key(&body, "tags");
    pack_array(&body, 0);
    if (zmq_send(socket, header, sizeof(header), ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0)
        zmq_send(socket, body.data, body.size, ZMQ_DONTWAIT);
    buf_clear(&body);
    pack_map(&body, 2);
    pack_key(&body, "items");
    pack_array(&body, 0);
    pack_key(&body, "last");
    pack_bool(&body, true);
    msg_header_encode((struct msg_header){.type = MSG_SYNC}, header);
    if (zmq_send(socket, header, sizeof(header), ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0)
        zmq_send(socket, body.data, body.size, ZMQ_DONTWAIT);
    buf_fini(&body);
}

/* Bytes under ZMTP: a greeting cut off, followed by nonsense, or none at all; left open. */
static int send_raw(enum directory_socket which)
{
    static const uint8_t greeting[64] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                         1,    0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    char address[DIRECTORY_PATH_BYTES];
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    uint8_t bytes[4096];
    address_of(which, address);
    size_t path_size = strlen(address + strlen("ipc://"));
    CHECK(path_size < sizeof(path.sun_path));
    memcpy(path.sun_path, address + strlen("ipc://"), path_size);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    if (connect(fd, (struct sockaddr *)&path, sizeof(path)))
        return fd; /* its backlog is full: that is no fault */
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)draw(256);
    size_t size = 1 + draw(sizeof(bytes));
    if (draw(2))
        memcpy(bytes, greeting, draw(4) ? sizeof(greeting) : draw(sizeof(greeting)));
    (void)!send(fd, bytes, size, MSG_NOSIGNAL);
    return fd;
}

/* Larger than a message may be: that connection is cut, and no other. */
static void send_large(enum directory_socket which)
{
    size_t size = (4 << 20) + (64 << 10) + 1;
    void *socket = open_socket(ZMQ_DEALER, which), *bytes = mem_zalloc(1, size);
    int linger = 200;
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_send(socket, bytes, size, ZMQ_DONTWAIT);
    zmq_close(socket);
    free(bytes);
}

/* One request whose reply must come. */
static void ask(void *socket, uint16_t type, struct buf *body)
{
    static uint64_t sequence = 1000000;
    uint8_t frame[MSG_HEADER_BYTES];
    struct msg_header header = {.type = type, .sequence = ++sequence}, reply;
    msg_header_encode(header, frame);
    CHECK(zmq_send(socket, frame, sizeof(frame), ZMQ_SNDMORE) == sizeof(frame));
    CHECK(zmq_send(socket, body->data, body->size, 0) == (int)body->size);
    CHECK(zmq_recv(socket, frame, sizeof(frame), 0) == sizeof(frame), "%s is not answered: %s",
          msg_type_name(type), zmq_strerror(errno));
    CHECK(msg_header_decode(bytes_of(frame, sizeof(frame)), &reply, NULL) == SYNK_OK);
    CHECK(reply.sequence == sequence && reply.type == MSG_REPLY, "%s: %s", msg_type_name(type),
          msg_type_name(reply.type));
    zmq_msg_t rest;
    zmq_msg_init(&rest);
    CHECK(zmq_msg_recv(&rest, socket, 0) >= 0);
    zmq_msg_close(&rest);
    buf_fini(body);
    *body = (struct buf){0};
}

/* Work that the garbage can be about: a process of two, and runs of it. */
static void make_work(void *client)
{
    static const char *const names[] = {"one", "two"};
    struct buf body = {0};
    pack_map(&body, 1);
    pack_key(&body, "document");
    pack_map(&body, 1);
    pack_key(&body, "processes");
    pack_array(&body, 1);
    pack_map(&body, 2);
    pack_key(&body, "id");
    pack_cstr(&body, "night");
    pack_key(&body, "workers");
    pack_array(&body, 2);
    for (int i = 0; i < 2; i++) {
        pack_map(&body, 2);
        pack_key(&body, "id");
        pack_cstr(&body, names[i]);
        pack_key(&body, "command");
        pack_cstr(&body, "true");
    }
    ask(client, MSG_APPLY, &body);
    for (int i = 0; i < 3; i++) {
        pack_map(&body, 1);
        pack_key(&body, "unit");
        pack_cstr(&body, "night");
        ask(client, MSG_RUN, &body);
    }
}

static void ask_stats(void *client)
{
    struct buf body = {0};
    pack_map(&body, 0);
    ask(client, MSG_STATS, &body);
}

static long rss_kib(void)
{
    char path[64], line[256];
    long value = -1;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)supervisor);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "VmRSS: %ld", &value) == 1)
            break;
    if (file)
        fclose(file);
    return value;
}

static void check_alive(const char *when)
{
    int status;
    if (waitpid(supervisor, &status, WNOHANG) == 0)
        return;
    supervisor = 0;
    fail(__LINE__, "synkd is alive", " %s: wait status %d", when, status);
}

/* Opens the sockets anew now and then: each has a hello of its own, and an end without a goodbye.
 */
static void rain(void *client, int64_t until_ms)
{
    int raw[RAW_SOCKETS];
    uint64_t messages = 0;
    long rss_max = 0;
    memset(raw, -1, sizeof(raw));
    while (now_ms() < until_ms) {
        void *sockets[3] = {open_socket(ZMQ_DEALER, DIRECTORY_HOSTS),
                            open_socket(ZMQ_DEALER, DIRECTORY_CLIENTS),
                            open_socket(ZMQ_XSUB, DIRECTORY_EVENTS)};
        send_hello(sockets[0]);
        for (int i = 0; i < 300; i++, messages++)
            send_garbage(sockets[draw(3)]);
        for (enum directory_socket which = 0; which < 3; which++) {
            int *slot = &raw[draw(RAW_SOCKETS)];
            if (*slot >= 0)
                close(*slot);
            *slot = send_raw(which);
            if (!draw(8))
                send_large(which);
        }
        ask_stats(client);
        check_alive("while it rains");
        if (rss_kib() > rss_max)
            rss_max = rss_kib();
        for (int i = 0; i < 3; i++)
            zmq_close(sockets[i]);
    }
    for (int i = 0; i < RAW_SOCKETS; i++)
        if (raw[i] >= 0)
            close(raw[i]);
    printf("messages=%llu rssMaxKib=%ld\n", (unsigned long long)messages, rss_max);
    CHECK(rss_max < RSS_KIB, "%ld KiB", rss_max);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("Usage: garbage_driver SYNKD [SECONDS [SEED]]\n", stderr);
        return 2;
    }
    state = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    int64_t seconds = argc > 2 ? atol(argv[2]) : 5;
    printf("seed=%llu\n", (unsigned long long)state);
    strcpy(root, "/tmp/synk-garbage.XXXXXX");
    CHECK(mkdtemp(root));
    CHECK(directory_resolve(root, &directory, NULL) == SYNK_OK);
    context = zmq_ctx_new();
    start(argv[1]);
    void *client = open_socket(ZMQ_DEALER, DIRECTORY_CLIENTS);
    make_work(client);
    rain(client, now_ms() + seconds * 1000);
    ask_stats(client);
    kill(supervisor, SIGTERM);
    int status = -1, tries = 0;
    while (waitpid(supervisor, &status, WNOHANG) == 0 && tries++ < PATIENCE_MS / 10)
        poll(NULL, 0, 10);
    /* Runs that nobody can finish may take it two signals. */
    if (tries >= PATIENCE_MS / 10) {
        fail(__LINE__, "synkd ends when asked", " within %d ms", PATIENCE_MS);
    }
    supervisor = 0;
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "wait status %d", status);
    zmq_close(client);
    zmq_ctx_term(context);
    clean();
    return 0;
}
