/*
 * The lease: taken by a script, renewed by a thread with a connection of its own, so that neither a
 * long commit nor a long load lets it end.
 *
 * Invariants: the thread runs while the lease is meant to be held, also when it is thought lost: as
 * long as nobody has taken it, a renewal brings it back with the same epoch. When it counts as lost
 * depends on this machine's monotonic clock and on when the last good renewal was *sent*.
 * The connection belongs to the thread once that runs; the owner uses it before and after.
 */
#include "supervisor/store/redis.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    ACQUIRE_MS = 3000,
    RELEASE_MS = 500,
};

struct redis_lease {
    struct redis *redis;
    char owner[LEASE_OWNER_BYTES];
    void (*changed)(void *context, bool is_held);
    void *context;
    struct redis_link *link;
    char shas[SCRIPTS][48];
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mutex;
    pthread_cond_t ending;
    bool ends;      /* under the mutex */
    uint32_t epoch; /* 0: never taken, or given back */
    bool is_over;   /* a later epoch was given; the thread's own */
    atomic_bool is_held;
    int64_t renewed_ms; /* when the last good renewal was sent */
};

struct redis_lease *redis_lease_new(struct redis *redis, const struct store_options *options)
{
    struct redis_lease *lease = mem_zalloc(1, sizeof(*lease));
    lease->redis = redis;
    if (options->owner) {
        snprintf(lease->owner, sizeof(lease->owner), "%s", options->owner);
    } else {
        char host[128] = "";
        gethostname(host, sizeof(host) - 1);
        snprintf(lease->owner, sizeof(lease->owner), "%s:%d:%s", host, (int)getpid(),
                 redis->nonce_base);
    }
    lease->changed = options->lease_changed;
    lease->context = options->lease_context;
    lease->link = redis_link_new(&redis->uri, redis->name);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&lease->mutex, NULL);
    pthread_cond_init(&lease->ending, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return lease;
}

static void set_held(struct redis_lease *lease, bool is_held)
{
    if (atomic_exchange(&lease->is_held, is_held) != is_held && lease->changed)
        lease->changed(lease->context, is_held);
}

/* ---- the thread ---- */

/* One renewal; what came of it decides whether the lease is held. */
static void renew(struct redis_lease *lease)
{
    char ms[12], epoch[12];
    redisReply *reply = NULL;
    struct synk_error error;
    int64_t sent_ms = redis_now_ms();
    snprintf(ms, sizeof(ms), "%d", LEASE_MS);
    snprintf(epoch, sizeof(epoch), "%" PRIu32, lease->epoch);
    struct synk_bytes words[] = {bytes_str(lease->owner), bytes_str(ms), bytes_str(epoch)};
    enum synk_status status = redis_link_connect(lease->link, 0, &error);
    if (!status)
        status = redis_eval(lease->link, lease->shas, lease->redis->prefix, SCRIPT_RENEW, 3, words,
                            LEASE_RENEW_MS, &reply, &error);
    bool is_taken = !status && !redis_says(reply, "ok");
    /* For good: a server that is set back must not bring it back. */
    if (is_taken && redis_uint(redis_element(reply, 1)) > lease->epoch)
        lease->is_over = true;
    if (!status && !is_taken)
        lease->renewed_ms = sent_ms;
    if (!status)
        redis_link_is_good(lease->link);
    freeReplyObject(reply);
    set_held(lease, !is_taken && redis_now_ms() - lease->renewed_ms < LEASE_DEMOTE_MS);
}

static void *keep(void *context)
{
    struct redis_lease *lease = context;
    pthread_mutex_lock(&lease->mutex);
    while (!lease->ends) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        /* After a failure sooner: 4 s are over before the third renewal would come. */
        int64_t pause_ms = redis_link_is_connected(lease->link) ? LEASE_RENEW_MS : 250;
        int64_t nanoseconds = until.tv_nsec + pause_ms % 1000 * 1000000;
        until.tv_sec += pause_ms / 1000 + nanoseconds / 1000000000;
        until.tv_nsec = nanoseconds % 1000000000;
        if (pthread_cond_timedwait(&lease->ending, &lease->mutex, &until) == 0)
            continue;
        if (lease->is_over)
            continue;
        pthread_mutex_unlock(&lease->mutex);
        renew(lease);
        pthread_mutex_lock(&lease->mutex);
    }
    pthread_mutex_unlock(&lease->mutex);
    return NULL;
}

static enum synk_status start_thread(struct redis_lease *lease, struct synk_error *error)
{
    sigset_t all, old;
    lease->ends = false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&lease->thread, NULL, keep, lease);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed)
        return status_fail(error, SYNK_IO, "cannot start the lease's thread: %s", strerror(failed));
    lease->has_thread = true;
    return SYNK_OK;
}

static void stop_thread(struct redis_lease *lease)
{
    if (!lease->has_thread)
        return;
    pthread_mutex_lock(&lease->mutex);
    lease->ends = true;
    pthread_cond_signal(&lease->ending);
    pthread_mutex_unlock(&lease->mutex);
    pthread_join(lease->thread, NULL);
    lease->has_thread = false;
}

/* ---- the owner's calls ---- */

static enum synk_status refuse(const struct redis_lease *lease, const redisReply *reply,
                               struct store_leader *ret_leader, struct synk_error *error)
{
    const char *name = lease->redis->name;
    struct synk_bytes first = redis_element(reply, 1);
    if (redis_says(reply, "held")) {
        struct store_leader leader = {
            .epoch = (uint32_t)redis_uint(redis_element(reply, 2)),
            .left_ms = (int64_t)redis_uint(redis_element(reply, 3)),
        };
        snprintf(leader.owner, sizeof(leader.owner), "%.*s", (int)first.size,
                 (const char *)first.data);
        if (ret_leader)
            *ret_leader = leader;
        return status_fail(error, SYNK_BUSY,
                           "store '%s': '%s' leads; its lease ends in %" PRId64
                           " ms unless it is renewed",
                           name, leader.owner, leader.left_ms);
    }
    if (redis_says(reply, "newer"))
        return status_fail(error, SYNK_UNSUPPORTED,
                           "store '%s': its schema is version %.*s, this program knows up to %d",
                           name, (int)first.size, (const char *)first.data, REDIS_SCHEMA);
    return status_fail(error, SYNK_CORRUPT,
                       "store '%s': a batch was applied in part: %.*s; restore a copy", name,
                       (int)first.size, (const char *)first.data);
}

enum synk_status redis_lease_acquire(void *backend, uint32_t minimum_epoch, uint32_t *ret_epoch,
                                     struct store_leader *ret_leader, struct synk_error *error)
{
    struct redis *redis = backend;
    struct redis_lease *lease = redis->lease;
    char ms[12], minimum[12], schema[12];
    redisReply *reply = NULL;
    if (lease->epoch && atomic_load(&lease->is_held)) {
        *ret_epoch = lease->epoch;
        return SYNK_OK;
    }
    stop_thread(lease);
    redis->leads = false;
    snprintf(ms, sizeof(ms), "%d", LEASE_MS);
    snprintf(minimum, sizeof(minimum), "%" PRIu32, minimum_epoch);
    snprintf(schema, sizeof(schema), "%d", REDIS_SCHEMA);
    struct synk_bytes words[] = {bytes_str(lease->owner), bytes_str(ms), bytes_str(minimum),
                                 bytes_str(schema)};
    enum synk_status status = redis_link_connect(lease->link, redis_now_ms() + ACQUIRE_MS, error);
    int64_t sent_ms = redis_now_ms();
    if (!status)
        status = redis_eval(lease->link, lease->shas, redis->prefix, SCRIPT_ACQUIRE, 4, words,
                            REDIS_REPLY_MS, &reply, error);
    if (status)
        return status;
    if (!redis_says(reply, "ok"))
        status = refuse(lease, reply, ret_leader, error);
    else
        lease->epoch = (uint32_t)redis_uint(redis_element(reply, 1));
    freeReplyObject(reply);
    if (status)
        return status;
    lease->renewed_ms = sent_ms;
    lease->is_over = false;
    redis->epoch = *ret_epoch = lease->epoch;
    set_held(lease, true);
    return start_thread(lease, error);
}

void redis_lease_release(void *backend)
{
    struct redis_lease *lease = ((struct redis *)backend)->lease;
    struct synk_error error;
    redisReply *reply = NULL;
    char epoch[12];
    if (lease->epoch == 0)
        return;
    stop_thread(lease);
    snprintf(epoch, sizeof(epoch), "%" PRIu32, lease->epoch);
    struct synk_bytes words[] = {bytes_str(lease->owner), bytes_str(epoch)};
    /* Twice, since the server may have been restarted since the last renewal. Where it cannot be
     * given back, it ends by itself. */
    for (int tries = 0; tries < 2 && !reply; tries++)
        if (redis_link_connect(lease->link, redis_now_ms() + RELEASE_MS, &error) == SYNK_OK &&
            redis_eval(lease->link, lease->shas, lease->redis->prefix, SCRIPT_RELEASE, 2, words,
                       LEASE_RENEW_MS, &reply, &error) != SYNK_OK)
            reply = NULL;
    freeReplyObject(reply);
    lease->epoch = 0;
    set_held(lease, false);
}

bool redis_lease_is_held(const void *backend)
{
    return atomic_load(&((const struct redis *)backend)->lease->is_held);
}

void redis_lease_free(struct redis_lease *lease)
{
    if (!lease)
        return;
    stop_thread(lease);
    lease->changed = NULL; /* whoever closes knows */
    redis_lease_release(lease->redis);
    redis_link_free(lease->link);
    pthread_cond_destroy(&lease->ending);
    pthread_mutex_destroy(&lease->mutex);
    free(lease);
}
