/*
 * Who is let in over the network: the supervisor's own pair of keys, the list of those that it
 * knows, and the ZAP handler that ZeroMQ asks at each handshake of CURVE. Beyond the handshake it
 * tells what a key may do now, so that a change of the list is in force for connections that there
 * are.
 *
 * Used by the bus alone, in the loop's thread. Invariant: the handler is bound before any address
 * is: ZeroMQ admits every key while there is none.
 */
#ifndef SHELL_GUARD_H
#define SHELL_GUARD_H

#include <sys/stat.h>
#include <uv.h>

#include "proto/directory.h"
#include "proto/keyfile.h"

struct guard {
    char keys_path[DIRECTORY_PATH_BYTES];
    struct keypair pair;
    struct key_list list;
    struct stat seen; /* of the file that the list was read from */
    bool has_seen;
    bool is_unreadable; /* told already */
    uint32_t version;   /* rises with each list; from 1 */
    bool cuts_readers;  /* since the last guard_take_cut */
    void *zap;
    uv_poll_t poll;
    int64_t logged_since_ms; /* lines about refusals, within a second */
    unsigned logged;
    uint64_t refused; /* handshakes */
};

/* Reads the list and the server's keys, which it makes where there are none yet. SYNK_UNSUPPORTED
 * where libzmq has no CURVE; as the files of keyfile.h do. guard_fini takes what a failed one left.
 */
enum synk_status guard_init(struct guard *guard, const struct directory *directory,
                            struct synk_error *error);
void guard_fini(struct guard *guard);

/* Binds the handler in a context of ZeroMQ, before anything else is. SYNK_IO. */
enum synk_status guard_open(struct guard *guard, void *context, uv_loop_t *loop,
                            struct synk_error *error);
/* After the sockets that it guards, before the context ends. */
void guard_close(struct guard *guard);
/* Makes the next bind of the socket one that asks for keys (`domain`: "clients", "hosts",
 * "events"), or, with NULL, one that does not. */
void guard_arm(const struct guard *guard, void *socket, const char *domain);
/* Answers handshakes, up to a bound. Whether there are more. */
bool guard_serve(struct guard *guard);

/* Looks whether the list has changed, and reads it. `version` tells. */
void guard_refresh(struct guard *guard);
/* Whether a key that might subscribe has lost that since the last call. */
bool guard_take_cut(struct guard *guard);
/* What a key may do now; NULL where it is not on the list. Valid until the next refresh. */
const struct listed_key *guard_find(const struct guard *guard, const uint8_t key[KEY_BYTES]);

#endif
