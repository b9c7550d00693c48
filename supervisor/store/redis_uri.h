/*
 * Where the Redis of a cluster is, as a --state URI says:
 *   redis://HOST:PORT/DB?…           one server
 *   redis+unix:PATH?… or unix:PATH?… one server, by its socket
 *   redis+sentinel://H1:P1,H2:P2/MASTER?… whoever the Sentinels say is MASTER
 * with cluster=NAME (default: synk), user=U, password-file=PATH, sentinel-user, sentinel-password-
 * file, db=N (also for the other two), unsafe=allow.
 *
 * Private to supervisor/store. Secrets are read from their files at each connection, so that they
 * can be changed; they are never part of the URI.
 */
#ifndef STORE_REDIS_URI_H
#define STORE_REDIS_URI_H

#include "proto/bytes.h"
#include "proto/status.h"

enum { REDIS_URI_HOSTS = 8 };

enum redis_transport { REDIS_TCP, REDIS_UNIX, REDIS_SENTINEL };

struct redis_uri {
    enum redis_transport transport;
    struct redis_address {
        char *host;
        uint16_t port;
    } hosts[REDIS_URI_HOSTS]; /* of the server, or of the Sentinels */
    size_t host_count;
    char *path;   /* REDIS_UNIX */
    char *master; /* REDIS_SENTINEL: the name of what they watch */
    int db;
    char *cluster; /* the part of every key between { and } */
    char *user, *password_file;
    char *sentinel_user, *sentinel_password_file;
    bool allows_unsafe;
};

/* `rest` is the URI behind its scheme. Fails with SYNK_INVALID and the URI's fault. */
enum synk_status redis_uri_parse(enum redis_transport transport, const char *rest,
                                 struct redis_uri *ret_uri, struct synk_error *error);
void redis_uri_fini(struct redis_uri *uri);
/* What errors and logs call it: the address and the cluster. The caller frees it. */
char *redis_uri_name(const struct redis_uri *uri);
/* The secret in a file, without its line's end; NULL and the reason in `error`. The file must be
 * for its owner alone. The caller frees it. */
char *redis_uri_secret(const char *path, struct synk_error *error);

#endif
