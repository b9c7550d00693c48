/*
 * What the server's settings make of an acknowledgement.
 *
 * Invariant: what cannot be found out counts as unsafe. INFO is enough to refuse a server that is
 * too old, keeps nothing or evicts; how often it syncs is told by CONFIG alone.
 */
#include "supervisor/store/redis.h"

#include <stdio.h>
#include <stdlib.h>

enum { OLDEST_MAJOR = 6 };

/* The value of a line "name:value" of INFO; empty where there is none. */
static struct synk_bytes info_value(struct synk_bytes info, const char *name)
{
    const char *at = info.data, *end = at + info.size;
    size_t size = strlen(name);
    while (at && at < end) {
        const char *stop = memchr(at, '\r', (size_t)(end - at));
        stop = stop ? stop : end;
        if ((size_t)(stop - at) > size && memcmp(at, name, size) == 0 && at[size] == ':')
            return bytes_of(at + size + 1, (size_t)(stop - at) - size - 1);
        at = memchr(stop, '\n', (size_t)(end - stop));
        at = at ? at + 1 : NULL;
    }
    return bytes_of(NULL, 0);
}

static bool is_text(struct synk_bytes bytes, const char *text)
{
    return bytes_equal(bytes, bytes_str(text));
}

/* A setting; false: the server does not tell. */
static enum synk_status get_config(struct redis_link *link, const char *name, char *ret_value,
                                   size_t size, struct synk_error *error)
{
    redisReply *reply = NULL;
    *ret_value = '\0';
    enum synk_status status = redis_link_call(link, &reply, error, "CONFIG", "GET", name, NULL);
    if (status)
        return status;
    /* Nobody needs to allow CONFIG: what it does not tell is unknown. */
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
        snprintf(ret_value, size, "%.*s", (int)reply->element[1]->len, reply->element[1]->str);
    freeReplyObject(reply);
    return SYNK_OK;
}

static void tell_unsafe(struct redis_settings *settings, const char *why)
{
    if (!settings->is_unsafe)
        snprintf(settings->why_unsafe, sizeof(settings->why_unsafe), "%s", why);
    settings->is_unsafe = true;
}

static void judge_persistence(struct redis_settings *settings, bool has_log, const char *sync,
                              const char *save)
{
    const char *durability;
    if (has_log && strcmp(sync, "always") == 0) {
        durability = "fsync";
    } else if (has_log && strcmp(sync, "everysec") == 0) {
        durability = "everysec";
    } else if (has_log && strcmp(sync, "no") == 0) {
        durability = "kernel";
        tell_unsafe(settings,
                    "appendfsync is no: what was acknowledged in the last half minute may "
                    "be lost with the machine; set everysec or always");
    } else if (has_log) {
        durability = "unknown";
        tell_unsafe(settings, "appendfsync is not told: allow the user CONFIG GET");
    } else if (*save) {
        durability = "snapshot";
        tell_unsafe(settings, "appendonly is no: only snapshots are kept, and what comes between "
                              "two is lost with the server; set appendonly yes");
    } else {
        durability = "none";
        tell_unsafe(settings, "the server keeps nothing (appendonly no); set appendonly yes");
    }
    snprintf(settings->durability, sizeof(settings->durability), "%s", durability);
}

static enum synk_status read_config(struct redis_link *link, struct redis_settings *settings,
                                    bool has_log, struct synk_error *error)
{
    char sync[32], save[128], replicas[16];
    enum synk_status status = get_config(link, "appendfsync", sync, sizeof(sync), error);
    if (!status)
        status = get_config(link, "save", save, sizeof(save), error);
    if (!status)
        status = get_config(link, "min-replicas-to-write", replicas, sizeof(replicas), error);
    if (status)
        return status;
    judge_persistence(settings, has_log, sync, save);
    size_t used = strlen(settings->durability);
    if (atoi(replicas) > 0)
        snprintf(settings->durability + used, sizeof(settings->durability) - used, "+replicas:%d",
                 atoi(replicas));
    return SYNK_OK;
}

enum synk_status redis_read_settings(struct redis_link *link, struct redis_settings *ret_settings,
                                     uint64_t *ret_memory_bytes, struct synk_error *error)
{
    redisReply *reply = NULL;
    struct redis_settings settings = {.is_unsafe = false};
    enum synk_status status = redis_link_call(link, &reply, error, "INFO", NULL);
    if (status)
        return status;
    if (redis_is_error(reply)) {
        status = redis_link_fail(link, reply, "asking for its settings", error);
        freeReplyObject(reply);
        return status;
    }
    struct synk_bytes info = redis_bytes(reply);
    struct synk_bytes version = info_value(info, "redis_version");
    if (version.size == 0 || atoi(version.data) < OLDEST_MAJOR) {
        status = status_fail(error, SYNK_UNSUPPORTED,
                             "the server is Redis %.*s, and version %d or newer is needed",
                             (int)version.size, (const char *)version.data, OLDEST_MAJOR);
        freeReplyObject(reply);
        return status;
    }
    struct synk_bytes memory = info_value(info, "used_memory");
    *ret_memory_bytes = memory.size ? strtoull(memory.data, NULL, 10) : 0;
    bool has_log = is_text(info_value(info, "aof_enabled"), "1");
    bool is_bounded = !is_text(info_value(info, "maxmemory"), "0");
    bool evicts = is_bounded && !is_text(info_value(info, "maxmemory_policy"), "noeviction");
    if (is_text(info_value(info, "redis_mode"), "cluster"))
        status = status_fail(error, SYNK_UNSUPPORTED,
                             "the server is part of a Redis Cluster; use one server, or Sentinel");
    if (evicts)
        tell_unsafe(&settings, "with maxmemory and its maxmemory-policy the server throws records "
                               "away when it is full; set maxmemory-policy noeviction");
    freeReplyObject(reply);
    if (!status)
        status = read_config(link, &settings, has_log, error);
    if (!status)
        *ret_settings = settings;
    return status;
}
