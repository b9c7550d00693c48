/*
 * The same cases on every kind of store: a child process a kind. A case asks any_uri() for a state
 * of its own. Where there is no redis-server, that is said, and its kind is left out. Header-only.
 */
#ifndef TESTS_SUPPORT_STORE_KINDS_H
#define TESTS_SUPPORT_STORE_KINDS_H

#include "tests/support/redis_server.h"
#include "tests/support/store_fixture.h"

enum store_kind { KIND_MEMORY, KIND_SQLITE, KIND_REDIS, KINDS };
static enum store_kind store_kind;
static struct redis_server store_server;

/* A store that was never opened before; the text is the caller's until ten further calls. */
static inline const char *any_uri(void)
{
    static char uris[10][700];
    static unsigned count;
    char *uri = uris[++count % 10];
    if (store_kind == KIND_MEMORY)
        return "memory:";
    if (store_kind == KIND_SQLITE)
        snprintf(uri, sizeof(uris[0]), "sqlite:%s/any%u", unit_directory(), count);
    else
        snprintf(uri, sizeof(uris[0]), "unix:%s?cluster=any%u", store_server.socket, count);
    return uri;
}

static inline int run_kind(int argc, char **argv, const char *suite, const struct unit_case *cases)
{
    static const char *const names[] = {"memory", "sqlite", "redis"};
    char name[64];
    if (store_kind == KIND_REDIS) {
        redis_init(&store_server, "redis");
        redis_start(&store_server);
    }
    snprintf(name, sizeof(name), "%s: %s", suite, names[store_kind]);
    int code = unit_main(argc, argv, name, cases);
    redis_kill(&store_server);
    return code;
}

static inline int kinds_main(int argc, char **argv, const char *suite,
                             const struct unit_case *cases)
{
    int failed = 0;
    for (store_kind = KIND_MEMORY; store_kind < KINDS; store_kind++) {
        if (store_kind == KIND_REDIS && !redis_program()) {
            printf("\nSKIPPED on redis: there is no redis-server (tools/setup installs it)\n");
            break;
        }
        fflush(NULL);
        int state = 0;
        pid_t pid = fork();
        if (pid == 0)
            exit(run_kind(argc, argv, suite, cases));
        waitpid(pid, &state, 0);
        failed |= state != 0;
    }
    return failed;
}

#endif
