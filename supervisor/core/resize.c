/*
 * Resizing hosts. The host is told, and counted with the new number at once: with fewer slots it is
 * given nothing until it has room, with more what it is given waits there for the new ones. The host
 * keeps the number, over restarts of the supervisor too; one that starts anew is told again for as
 * long as this supervisor lives. What the message was lost with, a broken link, ends with a hello,
 * which says how many slots there are.
 */
#include "supervisor/core/resize.h"

#include "proto/nearest.h"
#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/dispatch.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/hosts.h"
#include "supervisor/core/requests.h"

static void tell_host(struct engine *engine, struct host *host)
{
    struct buf *out = send_open(engine);
    pack_map(out, 1);
    pack_key(out, "slots");
    pack_uint(out, host->resize_to);
    send_close(engine, SOCKET_HOSTS, host->peer, MSG_RESIZE_HOST, 0, false);
    host->slots = host->resize_to;
    host_open(engine, host);
}

void resize_host_came(struct engine *engine, struct host *host)
{
    if (host->resize_to && host->resize_to != host->slots)
        tell_host(engine, host);
}

static void fail_no_host(struct engine *engine, const struct request *request,
                         struct synk_bytes name)
{
    struct nearest nearest = nearest_of(name);
    for (size_t i = 0; i < engine->host_count; i++)
        if (engine->hosts[i])
            nearest_try(&nearest, engine->hosts[i]->name_bytes);
    int size = (int)(name.size > LIMIT_ID_BYTES ? LIMIT_ID_BYTES : name.size);
    if (nearest.found.size)
        request_fail(engine, request, SYNK_NOT_FOUND, 0,
                     "there is no host '%.*s' (did you mean '%.*s'?)", size,
                     (const char *)name.data, (int)nearest.found.size,
                     (const char *)nearest.found.data);
    else
        request_fail(engine, request, SYNK_NOT_FOUND, 0, "there is no host '%.*s'", size,
                     (const char *)name.data);
}

void request_resize(struct engine *engine, struct request *request)
{
    struct synk_bytes name = body_text(request, "host");
    int64_t slots = synk_value_int(synk_value_get(request->body, "slots"), 0);
    if (!name.size)
        name = bytes_str("local");
    if (slots < 1 || slots > LIMIT_HOST_SLOTS) {
        request_fail(engine, request, SYNK_INVALID, 0, "'slots' must be an integer from 1 to %d",
                     LIMIT_HOST_SLOTS);
        return;
    }
    struct host *host = host_find(engine, name);
    if (!host) {
        fail_no_host(engine, request, name);
        return;
    }
    if (!host->connected || !host->synced || host->draining) {
        request_fail(engine, request, SYNK_REFUSED, 0, "host '%s' is %s", host->name,
                     host_state_name(host));
        return;
    }
    host->resize_to = (uint32_t)slots;
    tell_host(engine, host);
    struct buf *out = reply_open(engine);
    pack_map(out, 2);
    pack_key(out, "host");
    pack_string(out, host->name_bytes);
    pack_key(out, "slots");
    pack_uint(out, host->slots);
    reply_close(engine, request);
}
