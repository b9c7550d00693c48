/* Hosts, asked for as often as it takes until one is there: it says hello within milliseconds of
 * its start, once it has asked its plugins what they offer. */
#include "tools/synk/hosts.h"

#include <stdio.h>
#include <time.h>

#include "proto/nearest.h"

enum { POLL_MS = 10 };

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int hosts_list(struct synk_client *client, struct synk_document **ret_hosts)
{
    struct buf body = {0};
    pack_map(&body, 1);
    pack_key(&body, "what");
    pack_cstr(&body, "hosts");
    return cli_call(client, "list", &body, ret_hosts);
}

static bool any_is_up(const struct synk_value *hosts)
{
    const struct synk_value *items = synk_value_get(hosts, "items");
    for (size_t i = 0; i < synk_value_count(items); i++)
        if (text_is(text_of(synk_value_at(items, i), "state"), "up"))
            return true;
    return false;
}

int hosts_await(struct synk_client *client, int64_t patience_ms, struct synk_document **ret_hosts,
                bool *ret_is_up)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    int64_t end_ms = now_ms() + patience_ms;
    for (;;) {
        struct synk_document *hosts = NULL;
        int code = signals_count() ? EXIT_INTERRUPTED : hosts_list(client, &hosts);
        if (code)
            return code;
        *ret_is_up = any_is_up(synk_document_root(hosts));
        if (*ret_is_up || now_ms() >= end_ms) {
            *ret_hosts = hosts;
            return EXIT_DONE;
        }
        synk_document_free(hosts);
        nanosleep(&pause, NULL);
    }
}

/* Calls `visit` for every refused plugin until it returns true. */
static bool each_refused(const struct synk_value *hosts,
                         bool (*visit)(void *context, struct synk_bytes host,
                                       struct synk_bytes plugin, struct synk_bytes reason),
                         void *context)
{
    const struct synk_value *items = synk_value_get(hosts, "items");
    for (size_t i = 0; i < synk_value_count(items); i++) {
        const struct synk_value *host = synk_value_at(items, i);
        const struct synk_value *refused = synk_value_get(host, "refused");
        for (size_t r = 0; r < synk_value_count(refused); r++) {
            const struct synk_value *one = synk_value_at(refused, r);
            if (visit(context, text_of(host, "name"), text_of(one, "plugin"),
                      text_of(one, "reason")))
                return true;
        }
    }
    return false;
}

/* A refused directory's name has a slash, as no plugin's; its reason begins with its path. */
static bool is_directory(struct synk_bytes refused)
{
    return refused.size && memchr(refused.data, '/', refused.size);
}

static bool print_refused(void *context, struct synk_bytes host, struct synk_bytes plugin,
                          struct synk_bytes reason)
{
    (void)context;
    if (is_directory(plugin)) {
        fail(EXIT_DONE, "warning: host '%.*s' refused the plugin directory %.*s", (int)host.size,
             (const char *)host.data, (int)reason.size, (const char *)reason.data);
        return false;
    }
    fail(EXIT_DONE, "warning: plugin '%.*s' was refused by host '%.*s': %.*s", (int)plugin.size,
         (const char *)plugin.data, (int)host.size, (const char *)host.data, (int)reason.size,
         (const char *)reason.data);
    return false;
}

void hosts_print_refused(const struct synk_value *hosts)
{
    each_refused(hosts, print_refused, NULL);
}

/* Calls `visit` for every function until it returns true. */
static bool each_function(const struct synk_value *hosts,
                          bool (*visit)(void *context, struct synk_bytes function), void *context)
{
    const struct synk_value *items = synk_value_get(hosts, "items");
    for (size_t i = 0; i < synk_value_count(items); i++) {
        const struct synk_value *names = synk_value_get(synk_value_at(items, i), "functions");
        for (size_t f = 0; f < synk_value_count(names); f++)
            if (visit(context, synk_value_bytes(synk_value_at(names, f))))
                return true;
    }
    return false;
}

static bool is_function(void *context, struct synk_bytes function)
{
    return text_is(function, context);
}

bool hosts_offer(const struct synk_value *hosts, const char *function)
{
    return each_function(hosts, is_function, (void *)(uintptr_t)function);
}

struct reason {
    struct synk_bytes plugin; /* of the function that is missing */
    struct buf *out;
    struct nearest nearest;
    bool is_loaded; /* the plugin is there, the function is not */
};

static bool append_refusal(void *context, struct synk_bytes host, struct synk_bytes plugin,
                           struct synk_bytes text)
{
    struct reason *reason = context;
    if (!bytes_equal(plugin, reason->plugin))
        return false;
    buf_printf(reason->out, "plugin '%.*s' was refused by host '%.*s': %.*s", (int)plugin.size,
               (const char *)plugin.data, (int)host.size, (const char *)host.data, (int)text.size,
               (const char *)text.data);
    return true;
}

static bool append_directory(void *context, struct synk_bytes host, struct synk_bytes plugin,
                             struct synk_bytes text)
{
    struct reason *reason = context;
    if (!is_directory(plugin))
        return false;
    buf_printf(reason->out, "host '%.*s' refused the plugin directory %.*s", (int)host.size,
               (const char *)host.data, (int)text.size, (const char *)text.data);
    return true;
}

static bool compare(void *context, struct synk_bytes function)
{
    struct reason *reason = context;
    size_t size = reason->plugin.size;
    nearest_try(&reason->nearest, function);
    if (function.size > size && ((const char *)function.data)[size] == '.' &&
        memcmp(function.data, reason->plugin.data, size) == 0)
        reason->is_loaded = true;
    return false;
}

void hosts_append_reason(const struct synk_value *hosts, const char *function, struct buf *out)
{
    size_t size = strcspn(function, ".");
    struct reason reason = {
        .plugin = bytes_of(function, size), .out = out, .nearest = nearest_of(bytes_str(function))};
    if (each_refused(hosts, append_refusal, &reason))
        return;
    each_function(hosts, compare, &reason);
    if (!reason.is_loaded && each_refused(hosts, append_directory, &reason))
        return;
    if (reason.nearest.found.size)
        buf_printf(out, "did you mean '%.*s'?", (int)reason.nearest.found.size,
                   (const char *)reason.nearest.found.data);
    else if (reason.is_loaded)
        buf_printf(out, "plugin '%.*s' has no such function", (int)size, function);
    else
        buf_printf(out, "no host has a plugin '%.*s': name its directory with --plugin-dir",
                   (int)size, function);
}

bool hosts_matter(const struct definition_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        for (uint32_t w = 0; w < set->units[i]->worker_count; w++)
            if (strcmp(set->units[i]->workers[w].worker->function, "exec") != 0)
                return true;
    return false;
}
