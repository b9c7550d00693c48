/*
 * A Redis server of a test's own: its socket and files in the test's directory, no TCP port unless
 * asked for, killed when the test ends however it ends. Header-only.
 */
#ifndef TESTS_SUPPORT_REDIS_SERVER_H
#define TESTS_SUPPORT_REDIS_SERVER_H

#include <hiredis/hiredis.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/unit.h"

struct redis_server {
    pid_t pid;
    char directory[300], socket[320];
    const char *options[16]; /* beyond the usual ones, NULL-ended */
};

static inline const char *redis_program(void)
{
    static const char *const places[] = {"/usr/bin/redis-server", "/usr/local/bin/redis-server",
                                         "/usr/sbin/redis-server"};
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

/* Starts it and waits until it answers. */
static inline void redis_start(struct redis_server *server)
{
    const char *arguments[64] = {redis_program(),
                                 "--port",
                                 "0",
                                 "--unixsocket",
                                 server->socket,
                                 "--dir",
                                 server->directory,
                                 "--save",
                                 "",
                                 "--appendonly",
                                 "yes",
                                 "--daemonize",
                                 "no",
                                 "--logfile",
                                 "log"};
    int count = 0;
    while (arguments[count])
        count++;
    for (int i = 0; server->options[i]; i++)
        arguments[count++] = server->options[i];
    unlink(server->socket);
    pid_t parent = getpid();
    server->pid = fork();
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        execv(arguments[0], (char **)arguments);
        _exit(127);
    }
    for (;;) {
        redisContext *context = redisConnectUnix(server->socket);
        redisReply *reply = context && !context->err ? redisCommand(context, "PING") : NULL;
        bool answers = reply && reply->type == REDIS_REPLY_STATUS;
        freeReplyObject(reply);
        if (context)
            redisFree(context);
        if (answers)
            return;
        if (waitpid(server->pid, NULL, WNOHANG) != 0) {
            fprintf(stderr, "redis-server ended: see %s/log\n", server->directory);
            abort();
        }
        poll(NULL, 0, 2);
    }
}

static inline void redis_init(struct redis_server *server, const char *name)
{
    memset(server, 0, sizeof(*server));
    snprintf(server->directory, sizeof(server->directory), "%s/%s", unit_directory(), name);
    snprintf(server->socket, sizeof(server->socket), "%s/s", server->directory);
    mkdir(server->directory, 0700);
}

static inline void redis_kill(struct redis_server *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

/* One command; its reply as text, good until the next call. */
static inline const char *redis_do(struct redis_server *server, const char *format, ...)
{
    static char text[4096];
    redisContext *context = redisConnectUnix(server->socket);
    va_list list;
    va_start(list, format);
    redisReply *reply = context->err ? NULL : redisvCommand(context, format, list);
    va_end(list);
    text[0] = '\0';
    if (!reply)
        snprintf(text, sizeof(text), "no reply");
    else if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(text, sizeof(text), "%lld", reply->integer);
    else if (reply->str)
        snprintf(text, sizeof(text), "%s", reply->str);
    for (size_t i = 0, used = 0; reply && i < reply->elements && used < sizeof(text); i++) {
        const redisReply *one = reply->element[i];
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i ? " " : "",
                                 one->str                       ? one->str
                                 : one->type == REDIS_REPLY_NIL ? "-"
                                                                : "*");
    }
    freeReplyObject(reply);
    redisFree(context);
    return text;
}

#endif
