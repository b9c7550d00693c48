/*
 * Opening and closing a state in Redis, and what every exchange with the server goes through.
 *
 * Invariants: before anything is asked on a new connection, the server's settings were read and
 * judged, and it has the scripts. The owner's thread (open, load) and the writer's (all else) use
 * the connection in turns; the lease has one of its own.
 */
#include "supervisor/store/redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    KEYS_OF_SCRIPTS = 3,
    /* Commands under way at once: as many replies as fill some 2 MiB. */
    WINDOW_BYTES = 2 << 20,
    WINDOW_MAX = 256,
    WINDOW_FIRST = 8,
    ASK_WORDS = 16,
    OPEN_MS = 3000,
};

uint64_t redis_uint(struct synk_bytes text)
{
    uint64_t value = 0;
    const uint8_t *at = text.data;
    for (size_t i = 0; i < text.size && at[i] >= '0' && at[i] <= '9'; i++)
        value = value * 10 + (uint64_t)(at[i] - '0');
    return value;
}

struct synk_bytes redis_key(const struct redis *redis, struct buf *out, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    int size = vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    buf_clear(out);
    buf_append(out, redis->prefix, strlen(redis->prefix));
    buf_append(out, text, (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1);
    return buf_bytes(out);
}

/* ---- scripts ---- */

static enum synk_status load_script(struct redis_link *link, char (*shas)[48],
                                    enum redis_script script, struct synk_error *error)
{
    redisReply *reply = NULL;
    enum synk_status status =
        redis_link_call(link, &reply, error, "SCRIPT", "LOAD", redis_scripts[script], NULL);
    if (status)
        return status;
    if (redis_is_error(reply))
        status = redis_link_fail(link, reply, "loading a script", error);
    else
        snprintf(shas[script], sizeof(shas[script]), "%s", reply->str ? reply->str : "");
    freeReplyObject(reply);
    return status;
}

static void append_eval(struct redis_link *link, char (*shas)[48], const char *prefix,
                        enum redis_script script, int count, const struct synk_bytes *words)
{
    enum { HEAD = 3 + KEYS_OF_SCRIPTS + 1 };
    struct synk_bytes all[HEAD + 8];
    char keys[KEYS_OF_SCRIPTS][128];
    static const char *const names[KEYS_OF_SCRIPTS] = {"state", "lease", "stage"};
    all[0] = bytes_str("EVALSHA");
    all[1] = bytes_str(shas[script]);
    all[2] = bytes_str("3");
    for (int i = 0; i < KEYS_OF_SCRIPTS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%s%s", prefix, names[i]);
        all[3 + i] = bytes_str(keys[i]);
    }
    all[HEAD - 1] = bytes_str(prefix);
    for (int i = 0; i < count; i++)
        all[HEAD + i] = words[i];
    redis_link_append(link, HEAD + count, all);
}

enum synk_status redis_eval(struct redis_link *link, char (*shas)[48], const char *prefix,
                            enum redis_script script, int count, const struct synk_bytes *words,
                            int64_t limit_ms, redisReply **ret_reply, struct synk_error *error)
{
    redisReply *reply = NULL;
    enum synk_status status = shas[script][0] ? SYNK_OK : load_script(link, shas, script, error);
    for (int tries = 0; !status && tries < 2; tries++) {
        append_eval(link, shas, prefix, script, count, words);
        status = redis_link_reply(link, limit_ms, &reply, error);
        if (status || !redis_is_error(reply) || strncmp(reply->str, "NOSCRIPT", 8) != 0)
            break;
        /* Nothing was done: the server was restarted, or told to forget its scripts. */
        freeReplyObject(reply);
        reply = NULL;
        status = load_script(link, shas, script, error);
    }
    if (!status && !reply)
        status = status_fail(error, SYNK_STORE_DOWN, "the server forgets scripts at once");
    if (!status && redis_is_error(reply))
        status = redis_link_fail(link, reply, "running a script", error);
    else if (!status && (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0))
        status = status_fail(error, SYNK_IO, "a script's answer makes no sense");
    if (status) {
        freeReplyObject(reply);
        return status;
    }
    *ret_reply = reply;
    return SYNK_OK;
}

bool redis_says(const redisReply *reply, const char *word)
{
    return bytes_equal(redis_bytes(reply->element[0]), bytes_str(word));
}

struct synk_bytes redis_element(const redisReply *reply, size_t index)
{
    return index < reply->elements ? redis_bytes(reply->element[index]) : bytes_of(NULL, 0);
}

/* ---- connections ---- */

static enum synk_status greet(struct redis *redis, struct synk_error *error)
{
    uint64_t memory = 0;
    enum synk_status status = redis_read_settings(redis->link, &redis->settings, &memory, error);
    if (!status && redis->settings.is_unsafe && !redis->uri.allows_unsafe)
        status = status_fail(error, SYNK_REFUSED, "%s (or accept it with ?unsafe=allow)",
                             redis->settings.why_unsafe);
    for (int i = 0; i < SCRIPTS && !status; i++)
        status = load_script(redis->link, redis->shas, (enum redis_script)i, error);
    if (status) {
        status_prefix(error, "store '%s'", redis->name);
        return status;
    }
    atomic_store(&redis->memory_bytes, memory);
    redis->greeted = redis_link_number(redis->link);
    redis_link_is_good(redis->link);
    return SYNK_OK;
}

enum synk_status redis_connect(struct redis *redis, int64_t deadline_ms, struct synk_error *error)
{
    for (;;) {
        enum synk_status status = redis_link_connect(redis->link, deadline_ms, error);
        if (status || redis_link_number(redis->link) == redis->greeted)
            return status;
        status = greet(redis, error);
        if (status == SYNK_OK)
            return SYNK_OK;
        redis_link_back_off(redis->link, error);
        if (status != SYNK_STORE_DOWN)
            return status;
    }
}

/* ---- reading ---- */

static size_t reply_bytes(const redisReply *reply)
{
    size_t bytes = 64 + reply->len;
    for (size_t i = 0; i < reply->elements; i++)
        bytes += reply_bytes(reply->element[i]);
    return bytes;
}

enum synk_status redis_each(struct redis *redis, size_t count, void *context,
                            void (*append)(void *context, size_t index),
                            enum synk_status (*take)(void *context, size_t index,
                                                     const redisReply *reply,
                                                     struct synk_error *error),
                            const char *doing, struct synk_error *error)
{
    size_t asked = 0, window = WINDOW_FIRST, bytes = 0;
    enum synk_status status = SYNK_OK;
    for (size_t taken = 0; taken < count && !status; taken++) {
        /* Whole windows at a time: one write, one flow of replies. */
        if (asked == taken)
            for (; asked < count && asked - taken < window; asked++)
                append(context, asked);
        redisReply *reply = NULL;
        status = redis_link_reply(redis->link, REDIS_REPLY_MS, &reply, error);
        if (!status && redis_is_error(reply))
            status = redis_link_fail(redis->link, reply, doing, error);
        else if (!status)
            status = take(context, taken, reply, error);
        bytes += status ? 0 : reply_bytes(reply);
        freeReplyObject(reply);
        if (taken + 1 == asked) {
            size_t fitting = WINDOW_BYTES / (bytes / asked + 1) + 1;
            window = fitting < WINDOW_MAX ? fitting : WINDOW_MAX;
        }
    }
    /* Replies that nobody waits for any more must not be taken for those of the next question. */
    if (status)
        redis_link_drop(redis->link);
    return status;
}

enum synk_status redis_ask(struct redis *redis, const char *doing, redisReply **ret_reply,
                           struct synk_error *error, const char *command, const char *key, ...)
{
    struct synk_bytes words[ASK_WORDS];
    struct buf name = {0};
    int count = 2;
    va_list list;
    words[0] = bytes_str(command);
    words[1] = redis_key(redis, &name, "%s", key);
    va_start(list, key);
    for (const char *word; (word = va_arg(list, const char *)) && count < ASK_WORDS;)
        words[count++] = bytes_str(word);
    va_end(list);
    redisReply *reply = NULL;
    redis_link_append(redis->link, count, words);
    enum synk_status status = redis_link_reply(redis->link, REDIS_REPLY_MS, &reply, error);
    buf_fini(&name);
    if (!status && redis_is_error(reply))
        status = redis_link_fail(redis->link, reply, doing, error);
    if (status) {
        freeReplyObject(reply);
        return status;
    }
    *ret_reply = reply;
    return SYNK_OK;
}

/* ---- open and close ---- */

static void close_store(void *backend)
{
    struct redis *redis = backend;
    if (!redis)
        return;
    redis_lease_free(redis->lease);
    redis_link_free(redis->link);
    redis_forget_sent(redis);
    redis_rows_free(redis->rows);
    buf_fini(&redis->removal.versions);
    buf_fini(&redis->removal.units);
    redis_uri_fini(&redis->uri);
    free(redis->name);
    free(redis->prefix);
    free(redis);
}

static enum synk_status check_schema(struct redis *redis, struct synk_error *error)
{
    redisReply *reply = NULL;
    enum synk_status status =
        redis_ask(redis, "opening it", &reply, error, "HGET", "state", "schema", NULL);
    if (status)
        return status;
    uint64_t schema = redis_uint(redis_bytes(reply));
    freeReplyObject(reply);
    if (schema > REDIS_SCHEMA)
        status = status_fail(error, SYNK_UNSUPPORTED,
                             "store '%s': its schema is version %" PRIu64 ", this program knows up "
                             "to %d; start the newer program that wrote it",
                             redis->name, schema, REDIS_SCHEMA);
    return status;
}

static enum synk_status open_store(enum redis_transport transport, const char *rest,
                                   void **ret_backend, struct synk_error *error)
{
    struct synk_error ignored;
    error = error ? error : &ignored;
    struct redis *redis = mem_zalloc(1, sizeof(*redis));
    enum synk_status status = redis_uri_parse(transport, rest, &redis->uri, error);
    if (status) {
        free(redis);
        return status;
    }
    uint64_t base = 0;
    struct buf prefix = {0};
    if (getrandom(&base, sizeof(base), 0) != sizeof(base))
        base = (uint64_t)redis_now_ms();
    snprintf(redis->nonce_base, sizeof(redis->nonce_base), "%016" PRIx64, base);
    buf_printf(&prefix, "synk:{%s}:", redis->uri.cluster);
    redis->prefix = mem_strndup((char *)prefix.data, prefix.size);
    buf_fini(&prefix);
    redis->name = redis_uri_name(&redis->uri);
    redis->link = redis_link_new(&redis->uri, redis->name);
    struct store_options none = {.uri = NULL};
    redis->lease = redis_lease_new(redis, &none);
    status = redis_connect(redis, redis_now_ms() + OPEN_MS, error);
    if (!status)
        status = check_schema(redis, error);
    if (status) {
        close_store(redis);
        return status;
    }
    *ret_backend = redis;
    return SYNK_OK;
}

static enum synk_status open_tcp(const char *rest, void **ret_backend, struct synk_error *error)
{
    return open_store(REDIS_TCP, rest, ret_backend, error);
}

static enum synk_status open_unix(const char *rest, void **ret_backend, struct synk_error *error)
{
    return open_store(REDIS_UNIX, rest, ret_backend, error);
}

static enum synk_status open_sentinel(const char *rest, void **ret_backend,
                                      struct synk_error *error)
{
    return open_store(REDIS_SENTINEL, rest, ret_backend, error);
}

static void configure(void *backend, const struct store_options *options)
{
    struct redis *redis = backend;
    redis_lease_free(redis->lease);
    redis->lease = redis_lease_new(redis, options);
}

static const char *durability(const void *backend)
{
    return ((const struct redis *)backend)->settings.durability;
}

static uint64_t size_bytes(const void *backend)
{
    return atomic_load(&((const struct redis *)backend)->memory_bytes);
}

static enum synk_status get_marks(void *backend, uint32_t *ret_epoch, uint64_t *ret_last_event,
                                  struct synk_error *error)
{
    redisReply *reply = NULL;
    enum synk_status status = redis_ask(backend, "reading its marks", &reply, error, "HMGET",
                                        "state", "epoch", "last_event", NULL);
    if (status)
        return status;
    *ret_epoch = (uint32_t)redis_uint(redis_element(reply, 0));
    *ret_last_event = redis_uint(redis_element(reply, 1));
    freeReplyObject(reply);
    return SYNK_OK;
}

static enum synk_status set_marks(void *backend, uint32_t epoch, uint64_t last_event,
                                  struct synk_error *error)
{
    struct redis *redis = backend;
    struct redis_batch batch;
    char text[24];
    uint32_t ours = 0;
    enum synk_status status = redis_lease_acquire(redis, epoch, &ours, NULL, error);
    if (status)
        return status;
    snprintf(text, sizeof(text), "%" PRIu64, last_event);
    struct synk_bytes mark[] = {bytes_str("HSET"), bytes_str("state"), bytes_str("last_event"),
                                bytes_str(text)};
    redis_batch_init(&batch);
    redis_batch_op(&batch, 4, mark);
    return redis_apply(redis, &batch, error);
}

#define REDIS_OPS(name, prefix, opener)                                                            \
    const struct store_ops name = {                                                                \
        .scheme = prefix,                                                                          \
        .open = opener,                                                                            \
        .close = close_store,                                                                      \
        .durability = durability,                                                                  \
        .size_bytes = size_bytes,                                                                  \
        .load = redis_load,                                                                        \
        .commit = redis_commit,                                                                    \
        .query = redis_query,                                                                      \
        .values = redis_values,                                                                    \
        .dump = redis_dump,                                                                        \
        .get_marks = get_marks,                                                                    \
        .set_marks = set_marks,                                                                    \
        .configure = configure,                                                                    \
        .lease_acquire = redis_lease_acquire,                                                      \
        .lease_release = redis_lease_release,                                                      \
        .lease_is_held = redis_lease_is_held,                                                      \
        .upkeep = redis_upkeep,                                                                    \
    }

REDIS_OPS(redis_store_ops, "redis:", open_tcp);
REDIS_OPS(redis_unix_store_ops, "redis+unix:", open_unix);
REDIS_OPS(unix_store_ops, "unix:", open_unix);
REDIS_OPS(redis_sentinel_store_ops, "redis+sentinel:", open_sentinel);
