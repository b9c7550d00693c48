/*
 * Where a supervisor is found from other machines: one address for people, "tcp://IP:PORT", and
 * three sockets behind it: PORT is for clients, the next two for worker hosts and subscribers.
 * Shared by synkd, hosts, the client library and synk. Pure.
 *
 * Addresses are numbers: looking a name up would block ZeroMQ's I/O thread, and with it every other
 * connection of the program.
 */
#ifndef PROTO_ADDRESS_H
#define PROTO_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/directory.h"
#include "proto/status.h"

enum {
    /* "tcp://[" and the longest IPv6 address and "]:65535", and room. */
    ADDRESS_BYTES = 80,
    ADDRESS_HOST_BYTES = 56,
    /* Addresses of one cluster: a leader and its standbys. */
    ADDRESSES = 16,
};

struct address {
    char host[ADDRESS_HOST_BYTES]; /* "10.0.0.1", "[fd00::1]"; "*" = all of this machine */
    uint16_t port;                 /* for clients */
};

/* Reads "tcp://IP:PORT". All addresses of a machine ("*", "0.0.0.0", "[::]") are only for listening
 * (`may_be_any`). SYNK_INVALID, with what is wrong and how it is written. */
enum synk_status address_parse(struct synk_bytes text, bool may_be_any, struct address *ret_address,
                               struct synk_error *error);
/* "tcp://IP:PORT" of one of the three sockets, as ZeroMQ takes it. */
void address_socket(const struct address *address, enum directory_socket socket,
                    char ret_text[ADDRESS_BYTES]);
/* Whether only this machine can reach it. */
bool address_is_loopback(const struct address *address);
/* Whether it stands for all addresses of a machine, so that nobody can connect to it as it is. */
bool address_is_any(const struct address *address);
static inline bool address_is_v6(const char *text)
{
    return strchr(text, '[') != NULL;
}

struct address_list {
    struct address items[ADDRESSES];
    size_t count;
};
/* Reads "tcp://A:PORT,tcp://B:PORT". SYNK_INVALID; an empty list is one, too. */
enum synk_status address_list_parse(const char *text, struct address_list *ret_list,
                                    struct synk_error *error);
/* Appends them as they are read, with ", " between: for messages. Ends in a NUL that does not
 * count. */
void address_list_print(const struct address_list *list, struct buf *out);

#endif
