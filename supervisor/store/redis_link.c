/*
 * Connecting, sending, waiting.
 *
 * Invariants: the socket is ours (close-on-exec, non-blocking), and hiredis never waits on it;
 * after any error the connection is gone and the next one starts from nothing; a connection that
 * redis_link_connect has said is there is to a master, in the right database. The first attempt
 * after a loss comes at once, each further one after a longer, jittered pause.
 */
#include "supervisor/store/redis_link.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECT_MS = 2000,
    BACK_OFF_FIRST_MS = 50,
    BACK_OFF_MAX_MS = 1000,
    /* Kept between replies, so that each page of a large load does not allocate again. */
    READER_BYTES = 1 << 20,
    CALL_WORDS = 16,
};

struct redis_link {
    const struct redis_uri *uri;
    const char *name;
    redisContext *context; /* NULL: none */
    uint64_t number;
    int64_t next_try_ms, pause_ms;
    struct synk_error failure; /* of the last attempt */
};

int64_t redis_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct redis_link *redis_link_new(const struct redis_uri *uri, const char *name)
{
    struct redis_link *link = mem_zalloc(1, sizeof(*link));
    link->uri = uri;
    link->name = name;
    return link;
}

void redis_link_drop(struct redis_link *link)
{
    if (link->context)
        redisFree(link->context);
    link->context = NULL;
}

void redis_link_free(struct redis_link *link)
{
    if (!link)
        return;
    redis_link_drop(link);
    free(link);
}

void redis_link_is_good(struct redis_link *link)
{
    link->pause_ms = 0;
    link->next_try_ms = 0;
}

bool redis_link_is_connected(const struct redis_link *link)
{
    return link->context != NULL;
}

uint64_t redis_link_number(const struct redis_link *link)
{
    return link->number;
}

/* ---- sockets ---- */

/* Waits for `events`; false at the deadline. */
static bool await(int fd, short events, int64_t deadline_ms, short *ret_events)
{
    for (;;) {
        int64_t left_ms = deadline_ms - redis_now_ms();
        struct pollfd wait = {.fd = fd, .events = events};
        int count = poll(&wait, 1, left_ms < 0 ? 0 : (int)left_ms);
        if (count > 0) {
            *ret_events = wait.revents;
            return true;
        }
        if (count == 0 && left_ms <= 0)
            return false;
    }
}

static enum synk_status connect_address(const struct sockaddr *address, socklen_t size,
                                        const char *where, int64_t deadline_ms, int *ret_fd,
                                        struct synk_error *error)
{
    int failure = 0, fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return status_fail(error, SYNK_STORE_DOWN, "%s: socket: %s", where, strerror(errno));
    if (connect(fd, address, size) != 0) {
        failure = errno;
        if (failure == EINPROGRESS) {
            short events;
            socklen_t length = sizeof(failure);
            if (!await(fd, POLLOUT, deadline_ms, &events))
                failure = ETIMEDOUT;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &length) != 0)
                failure = errno;
        }
    }
    if (failure) {
        close(fd);
        return status_fail(error, SYNK_STORE_DOWN, "%s: %s", where, strerror(failure));
    }
    *ret_fd = fd;
    return SYNK_OK;
}

static enum synk_status connect_tcp(const char *host, uint16_t port, int64_t deadline_ms,
                                    int *ret_fd, struct synk_error *error)
{
    char service[8], where[300];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    snprintf(service, sizeof(service), "%u", port);
    snprintf(where, sizeof(where), "%.250s:%u", host, port);
    int code = getaddrinfo(host, service, &hints, &found);
    if (code)
        return status_fail(error, SYNK_STORE_DOWN, "%s: %s", where, gai_strerror(code));
    enum synk_status status = SYNK_STORE_DOWN;
    for (struct addrinfo *one = found; one && status; one = one->ai_next)
        status = connect_address(one->ai_addr, one->ai_addrlen, where, deadline_ms, ret_fd, error);
    freeaddrinfo(found);
    if (!status) {
        int on = 1, idle_s = 15;
        setsockopt(*ret_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(*ret_fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        setsockopt(*ret_fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    }
    return status;
}

static enum synk_status connect_unix(const char *path, int64_t deadline_ms, int *ret_fd,
                                     struct synk_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return status_fail(error, SYNK_INVALID, "'%s': a socket's path has up to %zu bytes", path,
                           sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    return connect_address((struct sockaddr *)&address, sizeof(address), path, deadline_ms, ret_fd,
                           error);
}

/* Takes the socket. */
static void adopt(struct redis_link *link, int fd)
{
    link->context = redisConnectFd(fd);
    if (!link->context)
        abort(); /* out of memory */
    link->context->flags &= ~REDIS_BLOCK;
    link->context->reader->maxbuf = READER_BYTES;
}

/* ---- sending and receiving ---- */

void redis_link_append(struct redis_link *link, int count, const struct synk_bytes *words)
{
    const char **texts = mem_alloc((size_t)count * sizeof(*texts));
    size_t *sizes = mem_alloc((size_t)count * sizeof(*sizes));
    for (int i = 0; i < count; i++) {
        texts[i] = words[i].size ? words[i].data : "";
        sizes[i] = words[i].size;
    }
    if (link->context && redisAppendCommandArgv(link->context, count, texts, sizes) != REDIS_OK)
        redis_link_drop(link);
    free(texts);
    free(sizes);
}

static enum synk_status lose(struct redis_link *link, const char *why, struct synk_error *error)
{
    enum synk_status status = status_fail(
        error, SYNK_STORE_DOWN, "store '%s': the connection is lost: %s", link->name, why);
    redis_link_drop(link);
    return status;
}

enum synk_status redis_link_reply(struct redis_link *link, int64_t limit_ms, redisReply **ret_reply,
                                  struct synk_error *error)
{
    int64_t deadline_ms = redis_now_ms() + limit_ms;
    if (!link->context)
        return status_fail(error, SYNK_STORE_DOWN, "store '%s': not connected", link->name);
    redisContext *context = link->context;
    int is_sent = 0;
    for (;;) {
        void *reply = NULL;
        if (redisGetReplyFromReader(context, &reply) != REDIS_OK)
            return lose(link, context->errstr, error);
        if (reply) {
            *ret_reply = reply;
            return SYNK_OK;
        }
        if (!is_sent && redisBufferWrite(context, &is_sent) != REDIS_OK)
            return lose(link, context->errstr, error);
        short events, wants = is_sent ? POLLIN : POLLIN | POLLOUT;
        if (!await(context->fd, wants, deadline_ms, &events))
            return lose(link, "no reply in time", error);
        /* hiredis tells an end of the connection as an error, and EAGAIN as nothing. */
        if ((events & (POLLIN | POLLHUP | POLLERR)) && redisBufferRead(context) != REDIS_OK)
            return lose(link, context->errstr, error);
    }
}

enum synk_status redis_link_call(struct redis_link *link, redisReply **ret_reply,
                                 struct synk_error *error, const char *word, ...)
{
    struct synk_bytes words[CALL_WORDS];
    int count = 0;
    va_list list;
    va_start(list, word);
    for (; word && count < CALL_WORDS; word = va_arg(list, const char *))
        words[count++] = bytes_str(word);
    va_end(list);
    redis_link_append(link, count, words);
    return redis_link_reply(link, REDIS_REPLY_MS, ret_reply, error);
}

enum synk_status redis_link_fail(struct redis_link *link, const redisReply *reply,
                                 const char *doing, struct synk_error *error)
{
    static const struct {
        const char *prefix;
        enum synk_status status;
        bool leaves; /* another server is to be found, or this one after a while */
        const char *advice;
    } known[] = {
        {"OOM ", SYNK_STORE_DOWN, false, "the server's maxmemory is reached; raise it"},
        {"MISCONF ", SYNK_STORE_DOWN, false,
         "the server cannot write its own files; make room on its disk"},
        {"READONLY ", SYNK_STORE_DOWN, true, "the server is a replica now"},
        {"NOREPLICAS ", SYNK_STORE_DOWN, false, "too few replicas are connected to the server"},
        {"LOADING ", SYNK_STORE_DOWN, true, "the server is starting"},
        {"MASTERDOWN ", SYNK_STORE_DOWN, true, "the server has lost its master"},
        {"BUSY ", SYNK_STORE_DOWN, false, "the server is held up by a script"},
        {"UNBLOCKED ", SYNK_STORE_DOWN, true, "the server is a replica now"},
        {"NOAUTH ", SYNK_REFUSED, true, "give ?user= and password-file="},
        {"WRONGPASS ", SYNK_REFUSED, true, "see ?user= and password-file="},
        {"NOPERM ", SYNK_REFUSED, true, "docs/persistence.md lists what the user must be allowed"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        const char *found = reply->str ? strstr(reply->str, known[i].prefix) : NULL;
        /* Behind a script's own words too. */
        if (!found || (found != reply->str && i >= 8))
            continue;
        if (known[i].leaves)
            redis_link_drop(link);
        return status_fail(error, known[i].status, "%s (store '%s', %s)", known[i].advice,
                           link->name, doing);
    }
    return status_fail(error, SYNK_IO, "store '%s': %s: %s", link->name, doing,
                       reply->str ? reply->str : "a reply that makes no sense");
}

/* ---- connecting ---- */

static enum synk_status authenticate(struct redis_link *link, const char *user,
                                     const char *password_file, struct synk_error *error)
{
    if (!password_file)
        return SYNK_OK;
    char *secret = redis_uri_secret(password_file, error);
    redisReply *reply = NULL;
    if (!secret)
        return error->status;
    enum synk_status status = user
                                  ? redis_link_call(link, &reply, error, "AUTH", user, secret, NULL)
                                  : redis_link_call(link, &reply, error, "AUTH", secret, NULL);
    explicit_bzero(secret, strlen(secret));
    free(secret);
    if (!status && redis_is_error(reply))
        status = status_fail(error, SYNK_REFUSED, "the password is not accepted: %s", reply->str);
    freeReplyObject(reply);
    return status;
}

static enum synk_status select_database(struct redis_link *link, struct synk_error *error)
{
    char number[12];
    redisReply *reply = NULL;
    if (link->uri->db == 0)
        return SYNK_OK;
    snprintf(number, sizeof(number), "%d", link->uri->db);
    enum synk_status status = redis_link_call(link, &reply, error, "SELECT", number, NULL);
    if (!status && redis_is_error(reply))
        status = status_fail(error, SYNK_REFUSED, "database %d: %s", link->uri->db, reply->str);
    freeReplyObject(reply);
    return status;
}

/* Only a master takes writes; one that a Sentinel named may have been demoted meanwhile. */
static enum synk_status check_role(struct redis_link *link, struct synk_error *error)
{
    redisReply *reply = NULL;
    enum synk_status status = redis_link_call(link, &reply, error, "ROLE", NULL);
    if (!status && redis_is_error(reply))
        status = redis_link_fail(link, reply, "asking for its role", error);
    else if (!status && (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 ||
                         !bytes_equal(redis_bytes(reply->element[0]), bytes_str("master"))))
        status = status_fail(error, SYNK_STORE_DOWN, "the server is a replica, not the master");
    freeReplyObject(reply);
    return status;
}

/* Asks one Sentinel where the master is. The connection is dropped again. */
static enum synk_status ask_sentinel(struct redis_link *link, const struct redis_address *address,
                                     int64_t deadline_ms, char **ret_host, uint16_t *ret_port,
                                     struct synk_error *error)
{
    int fd;
    redisReply *reply = NULL;
    enum synk_status status = connect_tcp(address->host, address->port, deadline_ms, &fd, error);
    if (status)
        return status;
    adopt(link, fd);
    status = authenticate(link, link->uri->sentinel_user, link->uri->sentinel_password_file, error);
    if (!status)
        status = redis_link_call(link, &reply, error, "SENTINEL", "get-master-addr-by-name",
                                 link->uri->master, NULL);
    if (!status && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        *ret_host = mem_strndup(reply->element[0]->str, reply->element[0]->len);
        *ret_port = (uint16_t)atoi(reply->element[1]->str);
    } else if (!status) {
        status = status_fail(error, SYNK_STORE_DOWN, "Sentinel %s:%u knows no master '%s'%s%s",
                             address->host, address->port, link->uri->master,
                             reply->str ? ": " : "", reply->str ? reply->str : "");
    }
    freeReplyObject(reply);
    redis_link_drop(link);
    return status;
}

static enum synk_status connect_master(struct redis_link *link, int64_t deadline_ms, int *ret_fd,
                                       struct synk_error *error)
{
    char *host = NULL;
    uint16_t port = 0;
    enum synk_status status = SYNK_STORE_DOWN;
    for (size_t i = 0; i < link->uri->host_count && status; i++)
        status = ask_sentinel(link, &link->uri->hosts[i], deadline_ms, &host, &port, error);
    if (!status)
        status = connect_tcp(host, port, deadline_ms, ret_fd, error);
    free(host);
    return status;
}

static enum synk_status try_connect(struct redis_link *link, struct synk_error *error)
{
    const struct redis_uri *uri = link->uri;
    int64_t deadline_ms = redis_now_ms() + CONNECT_MS;
    int fd = -1;
    enum synk_status status;
    switch (uri->transport) {
    case REDIS_UNIX:
        status = connect_unix(uri->path, deadline_ms, &fd, error);
        break;
    case REDIS_SENTINEL:
        status = connect_master(link, deadline_ms, &fd, error);
        break;
    default:
        status = connect_tcp(uri->hosts[0].host, uri->hosts[0].port, deadline_ms, &fd, error);
    }
    if (status)
        return status;
    adopt(link, fd);
    status = authenticate(link, uri->user, uri->password_file, error);
    if (!status)
        status = select_database(link, error);
    if (!status)
        status = check_role(link, error);
    if (status)
        redis_link_drop(link);
    else
        link->number++;
    return status;
}

static int64_t jitter(int64_t pause_ms)
{
    uint32_t chance = 0;
    if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) != sizeof(chance))
        chance = (uint32_t)redis_now_ms();
    return pause_ms * 3 / 4 + (int64_t)(chance % (uint32_t)(pause_ms / 2 + 1));
}

static void pause_until(int64_t until_ms)
{
    for (int64_t left_ms; (left_ms = until_ms - redis_now_ms()) > 0;)
        poll(NULL, 0, (int)left_ms);
}

void redis_link_back_off(struct redis_link *link, const struct synk_error *why)
{
    redis_link_drop(link);
    link->failure = *why;
    link->pause_ms = !link->pause_ms                        ? BACK_OFF_FIRST_MS
                     : link->pause_ms * 2 > BACK_OFF_MAX_MS ? BACK_OFF_MAX_MS
                                                            : link->pause_ms * 2;
    link->next_try_ms = redis_now_ms() + jitter(link->pause_ms);
}

enum synk_status redis_link_connect(struct redis_link *link, int64_t deadline_ms,
                                    struct synk_error *error)
{
    while (!link->context) {
        int64_t now_ms = redis_now_ms();
        if (now_ms < link->next_try_ms) {
            if (link->next_try_ms > deadline_ms) {
                *error = link->failure;
                return error->status;
            }
            pause_until(link->next_try_ms);
        }
        enum synk_status status = try_connect(link, error);
        if (!status)
            break;
        status_prefix(error, "store '%s'", link->name);
        redis_link_back_off(link, error);
        if (status != SYNK_STORE_DOWN || link->next_try_ms > deadline_ms)
            return status;
    }
    return SYNK_OK;
}
