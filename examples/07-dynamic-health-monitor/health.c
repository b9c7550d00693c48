/*
 * The plugin `health`. Its function http asks one web service how it is: params {name, host, port};
 * result {code, ms}. It fails, and emits the milestone health:down, unless the answer is 200. A
 * service that hangs needs no care here: the attempt's time limit ends it.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <synk/worker.h>

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Returns a connected socket, or -1 with the reason in `why`. */
static int open_connection(const char *host, int port, char why[128])
{
    char service[16];
    struct addrinfo *list = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    snprintf(service, sizeof(service), "%d", port);
    int failure = getaddrinfo(host, service, &hints, &list);
    if (failure) {
        snprintf(why, 128, "%s", gai_strerror(failure));
        return -1;
    }
    int fd = -1;
    for (const struct addrinfo *at = list; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (fd < 0 || connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
            snprintf(why, 128, "%s", strerror(errno));
            if (fd >= 0)
                close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

/* Returns the status code of the answer, or -1 with the reason in `why`. */
static int ask(int fd, char why[128])
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    char answer[64];
    size_t size = 0;
    ssize_t got = send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
    while (got > 0 && size < sizeof(answer) - 1) {
        got = recv(fd, answer + size, sizeof(answer) - 1 - size, 0);
        size += got > 0 ? (size_t)got : 0;
    }
    int code;
    answer[size] = '\0';
    if (sscanf(answer, "HTTP/%*s %d", &code) == 1)
        return code;
    snprintf(why, 128, "%s", got < 0 ? strerror(errno) : "an answer that is not HTTP");
    return -1;
}

static int report_down(struct synk_task *task, const char *name, const char *why)
{
    struct synk_builder *payload = synk_builder_new();
    synk_builder_begin_map(payload);
    synk_builder_string(payload, "service");
    synk_builder_string(payload, name);
    synk_builder_string(payload, "why");
    synk_builder_string(payload, why);
    synk_builder_end(payload);
    enum synk_status status = synk_task_milestone(task, "health:down", payload);
    synk_builder_free(payload);
    if (status != SYNK_OK)
        synk_task_log(task, "the milestone was not taken: %s", synk_status_name(status));
    return synk_task_fail(task, "%s: %s", name, why);
}

static int http(struct synk_task *task)
{
    const struct synk_value *params = synk_task_params(task);
    const char *name = synk_task_string(task, synk_value_get(params, "name"), NULL);
    const char *host = synk_task_string(task, synk_value_get(params, "host"), NULL);
    int port = (int)synk_value_int(synk_value_get(params, "port"), 0);
    char why[128];
    if (!name || !host || port < 1 || port > 65535)
        return synk_task_fail(task, "params name, host and port are needed");
    double began_ms = now_ms();
    int fd = open_connection(host, port, why);
    if (fd < 0)
        return report_down(task, name, why);
    int code = ask(fd, why);
    close(fd);
    if (code > 0 && code != 200)
        snprintf(why, sizeof(why), "it answers %d", code);
    if (code != 200)
        return report_down(task, name, why);
    struct synk_builder *result = synk_task_result(task);
    synk_builder_begin_map(result);
    synk_builder_string(result, "code");
    synk_builder_int(result, code);
    synk_builder_string(result, "ms");
    synk_builder_double(result, now_ms() - began_ms);
    synk_builder_end(result);
    return 0;
}

SYNK_PLUGIN("health", {"http", http})
