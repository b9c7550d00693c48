/*
 * Addresses as text. Invariant: a parsed host is a number in the form that inet_ntop gives, so that
 * two spellings of one address are one address, and nothing of it is left to a name service.
 */
#include "proto/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define SCHEME "tcp://"
/* Two more follow it. */
#define PORT_MAX 65533

/* The host as a number, in the one form. */
static bool take_host(struct synk_bytes text, char ret_host[ADDRESS_HOST_BYTES])
{
    char copy[INET6_ADDRSTRLEN], canonical[INET6_ADDRSTRLEN];
    struct in6_addr number;
    const char *data = text.data;
    bool is_v6 = text.size > 2 && data[0] == '[' && data[text.size - 1] == ']';
    size_t size = is_v6 ? text.size - 2 : text.size;
    if (text.size == 1 && data[0] == '*') {
        strcpy(ret_host, "*");
        return true;
    }
    if (!size || size >= sizeof(copy))
        return false;
    memcpy(copy, data + is_v6, size);
    copy[size] = '\0';
    int family = is_v6 ? AF_INET6 : AF_INET;
    if (inet_pton(family, copy, &number) != 1 ||
        !inet_ntop(family, &number, canonical, sizeof(canonical)))
        return false;
    snprintf(ret_host, ADDRESS_HOST_BYTES, is_v6 ? "[%s]" : "%s", canonical);
    return true;
}

static bool take_port(const char *text, size_t size, uint16_t *ret_port)
{
    unsigned port = 0;
    if (!size || size > 5)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (port < 1 || port > PORT_MAX)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

enum synk_status address_parse(struct synk_bytes text, bool may_be_any, struct address *ret_address,
                               struct synk_error *error)
{
    const char *data = text.data;
    int shown = (int)(text.size < ADDRESS_BYTES ? text.size : ADDRESS_BYTES);
    struct address address;
    size_t scheme = strlen(SCHEME), colon = text.size;
    if (text.size < scheme || memcmp(data, SCHEME, scheme) != 0)
        return status_fail(error, SYNK_INVALID,
                           "'%.*s' is not an address: write tcp://IP:PORT, such as "
                           "tcp://127.0.0.1:7400",
                           shown, text.size ? data : "");
    while (colon > scheme && data[colon - 1] != ':')
        colon--;
    if (colon == scheme || !take_port(data + colon, text.size - colon, &address.port))
        return status_fail(error, SYNK_INVALID,
                           "'%.*s' needs a port from 1 to %d behind it (the next two are used too)",
                           shown, data, PORT_MAX);
    if (!take_host(bytes_of(data + scheme, colon - 1 - scheme), address.host))
        return status_fail(
            error, SYNK_INVALID,
            "'%.*s' does not name its machine by number: write tcp://10.0.0.1:%u, or "
            "tcp://[fd00::1]:%u",
            shown, data, address.port, address.port);
    if (address_is_any(&address) && !may_be_any)
        return status_fail(error, SYNK_INVALID,
                           "'%.*s' means every address of a machine: which one is to be connected "
                           "to?",
                           shown, data);
    *ret_address = address;
    return SYNK_OK;
}

void address_socket(const struct address *address, enum directory_socket socket,
                    char ret_text[ADDRESS_BYTES])
{
    static const unsigned offsets[] = {
        [DIRECTORY_CLIENTS] = 0,
        [DIRECTORY_HOSTS] = 1,
        [DIRECTORY_EVENTS] = 2,
    };
    snprintf(ret_text, ADDRESS_BYTES, SCHEME "%s:%u", address->host,
             address->port + offsets[socket]);
}

bool address_is_loopback(const struct address *address)
{
    return strncmp(address->host, "127.", 4) == 0 || strcmp(address->host, "[::1]") == 0;
}

bool address_is_any(const struct address *address)
{
    return strcmp(address->host, "*") == 0 || strcmp(address->host, "0.0.0.0") == 0 ||
           strcmp(address->host, "[::]") == 0;
}

enum synk_status address_list_parse(const char *text, struct address_list *ret_list,
                                    struct synk_error *error)
{
    struct address_list list = {0};
    for (const char *item = text;; item++) {
        size_t size = strcspn(item, ",");
        if (list.count == ADDRESSES)
            return status_fail(error, SYNK_INVALID, "more than %d addresses", ADDRESSES);
        enum synk_status status =
            address_parse(bytes_of(item, size), false, &list.items[list.count], error);
        if (status)
            return status;
        list.count++;
        item += size;
        if (!*item)
            break;
    }
    *ret_list = list;
    return SYNK_OK;
}

void address_list_print(const struct address_list *list, struct buf *out)
{
    char text[ADDRESS_BYTES];
    for (size_t i = 0; i < list->count; i++) {
        address_socket(&list->items[i], DIRECTORY_CLIENTS, text);
        buf_printf(out, "%s%s", i ? ", " : "", text);
    }
    buf_append(out, "", 1);
    out->size--;
}
