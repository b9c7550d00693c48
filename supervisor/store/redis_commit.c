/*
 * Committing: one script a batch, applied once, whatever happens to the connection.
 *
 * Each batch has the next log sequence number and a nonce of its own. The server has the number and
 * the nonce of its last one, so that a batch whose answer was lost is sent again as it was: it is
 * applied then, or found to have been. A batch that the server has applied is kept for a while: a
 * server that comes back without its latest batches (a failover, a crash between two syncs) is
 * given them again before it is given anything new.
 *
 * Invariants: at most the last of `sent` has an unknown outcome; nothing else is sent before that
 * is known; `lsn` is the number of the last batch that is known to be applied.
 */
#include "supervisor/store/redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    /* A commit looks so long for a server before the owner is told that there is none: a restart
     * or a cut connection passes unnoticed. */
    PATIENCE_MS = 2000,
    PART_MS = 2000, /* that a part adds to what a script may take */
    STAGINGS = 3,
};

static void forget_first(struct redis *redis, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        redis->sent_bytes -= redis->sent[i].bytes;
        redis_batch_fini(&redis->sent[i].batch);
    }
    memmove(redis->sent, redis->sent + count, (redis->sent_count - count) * sizeof(*redis->sent));
    redis->sent_count -= count;
}

void redis_forget_sent(struct redis *redis)
{
    if (redis->sent)
        forget_first(redis, redis->sent_count);
    free(redis->sent);
    redis->sent = NULL;
    redis->has_unknown = false;
    redis->pending = NULL;
}

/* Takes the batch as the one to be sent next. */
static struct redis_sent *push(struct redis *redis, struct redis_batch *batch)
{
    if (!redis->sent)
        redis->sent = mem_zalloc(REDIS_KEPT_BATCHES, sizeof(*redis->sent));
    size_t bytes = redis_batch_bytes(batch), drop = 0, left = redis->sent_bytes;
    /* A quarter at a time, so that moving the rest is rare. */
    if (redis->sent_count == REDIS_KEPT_BATCHES)
        drop = REDIS_KEPT_BATCHES / 4;
    for (size_t i = 0; i < drop; i++)
        left -= redis->sent[i].bytes;
    for (; drop < redis->sent_count && left + bytes > REDIS_KEPT_BYTES; drop++)
        left -= redis->sent[drop].bytes;
    if (drop)
        forget_first(redis, drop);
    struct redis_sent *sent = &redis->sent[redis->sent_count++];
    *sent = (struct redis_sent){.lsn = redis->lsn + 1, .batch = *batch, .bytes = bytes};
    /* Of each batch its own, also where one takes the number of another that was given up. */
    snprintf(sent->nonce, sizeof(sent->nonce), "%s%" PRIx32, redis->nonce_base, ++redis->nonces);
    redis->sent_bytes += bytes;
    redis->has_unknown = true;
    redis_batch_init(batch);
    return sent;
}

static void drop_last(struct redis *redis)
{
    struct redis_sent *last = &redis->sent[--redis->sent_count];
    redis->sent_bytes -= last->bytes;
    redis_batch_fini(&last->batch);
    redis->has_unknown = false;
    redis->pending = NULL;
}

/* From now on nothing is promised: every later commit fails with this. */
static enum synk_status break_off(struct redis *redis, struct synk_error *error)
{
    redis->broken = *error;
    return error->status;
}

static enum synk_status fail_fenced(struct redis *redis, const redisReply *reply,
                                    struct synk_error *error)
{
    struct synk_bytes epoch = redis_element(reply, 1), owner = redis_element(reply, 2);
    status_fail(
        error, SYNK_NOT_LEADER,
        "store '%s': another supervisor leads since epoch %.*s%s%.*s; this one had %" PRIu32,
        redis->name, (int)epoch.size, (const char *)epoch.data, owner.size ? ", " : "",
        (int)owner.size, (const char *)owner.data, redis->epoch);
    return break_off(redis, error);
}

/* The server knows an earlier epoch than ours: it has lost that we lead. Where it has the lease of
 * one before us, that one ends by itself: later, then. */
static enum synk_status lead_again(struct redis *redis, struct synk_error *error)
{
    uint32_t epoch = 0;
    redis_lease_release(redis);
    enum synk_status status = redis_lease_acquire(redis, redis->epoch, &epoch, NULL, error);
    redis->leads = true; /* with the same history */
    if (status == SYNK_BUSY)
        status = error->status = SYNK_STORE_DOWN;
    return status;
}

static enum synk_status stage(struct redis *redis, const struct redis_sent *sent,
                              struct synk_error *error)
{
    char epoch[12], index[24];
    enum synk_status status = SYNK_OK;
    snprintf(epoch, sizeof(epoch), "%" PRIu32, redis->epoch);
    for (size_t i = 0; i < sent->batch.part_count && !status; i++) {
        redisReply *reply = NULL;
        snprintf(index, sizeof(index), "%zu", i);
        struct synk_bytes words[] = {bytes_str(epoch), bytes_str(index),
                                     buf_bytes(&sent->batch.parts[i])};
        status = redis_eval(redis->link, redis->shas, redis->prefix, SCRIPT_STAGE, 3, words,
                            REDIS_REPLY_MS, &reply, error);
        /* What else it says, the script that applies says too. */
        bool goes_on = !status && redis_says(reply, "ok");
        freeReplyObject(reply);
        if (!goes_on)
            break;
    }
    return status;
}

static enum synk_status apply_once(struct redis *redis, const struct redis_sent *sent,
                                   redisReply **ret_reply, struct synk_error *error)
{
    char epoch[12], before[24], after[24], parts[24];
    size_t staged = sent->batch.part_count > 1 ? sent->batch.part_count : 0;
    enum synk_status status = staged ? stage(redis, sent, error) : SYNK_OK;
    if (status)
        return status;
    snprintf(epoch, sizeof(epoch), "%" PRIu32, redis->epoch);
    snprintf(before, sizeof(before), "%" PRIu64, sent->lsn - 1);
    snprintf(after, sizeof(after), "%" PRIu64, sent->lsn);
    snprintf(parts, sizeof(parts), "%zu", staged);
    struct synk_bytes words[] = {
        bytes_str(epoch), bytes_str(sent->nonce), bytes_str(before),
        bytes_str(after), bytes_str(parts),       buf_bytes(&sent->batch.parts[0]),
    };
    return redis_eval(redis->link, redis->shas, redis->prefix, SCRIPT_APPLY, staged ? 5 : 6, words,
                      REDIS_REPLY_MS + (int64_t)staged * PART_MS, ret_reply, error);
}

/* Which of `sent` follows what the server has; -1: that is not kept, or not ours. */
static int find_next(const struct redis *redis, uint64_t lsn, struct synk_bytes nonce)
{
    for (size_t i = 0; i < redis->sent_count; i++) {
        const struct redis_sent *sent = &redis->sent[i];
        if (sent->lsn == lsn && bytes_equal(bytes_str(sent->nonce), nonce))
            return (int)i + 1;
    }
    /* All of what was sent by this process follows what it found. */
    bool is_first = redis->sent_count && redis->sent[0].lsn == lsn + 1 &&
                    bytes_equal(nonce, bytes_str(redis->found_nonce)) && lsn == redis->found_lsn;
    return is_first ? 0 : -1;
}

static enum synk_status send_one(struct redis *redis, struct redis_sent *sent, bool repeats,
                                 struct synk_error *error);

/* Gives the server again what it has lost, up to `last`. */
static enum synk_status repeat(struct redis *redis, const redisReply *reply,
                               struct redis_sent *last, struct synk_error *error)
{
    uint64_t lsn = redis_uint(redis_element(reply, 1));
    int next = find_next(redis, lsn, redis_element(reply, 2));
    if (next < 0) {
        status_fail(error, SYNK_CORRUPT,
                    "store '%s': the server is at batch %" PRIu64 ", and %" PRIu64
                    " were applied; what it lacks is not in memory any more",
                    redis->name, lsn, last->lsn - 1);
        return break_off(redis, error);
    }
    enum synk_status status = SYNK_OK;
    for (struct redis_sent *sent = &redis->sent[next]; sent < last && !status; sent++) {
        status = send_one(redis, sent, false, error);
        redis->repaired += !status;
    }
    return status;
}

static enum synk_status send_one(struct redis *redis, struct redis_sent *sent, bool repeats,
                                 struct synk_error *error)
{
    for (int tries = 0; tries < STAGINGS; tries++) {
        redisReply *reply = NULL;
        enum synk_status status = apply_once(redis, sent, &reply, error);
        if (status)
            return status == SYNK_IO ? break_off(redis, error) : status;
        if (redis_says(reply, "ok") || redis_says(reply, "already")) {
            freeReplyObject(reply);
            return SYNK_OK;
        }
        if (redis_says(reply, "broken")) {
            struct synk_bytes why = redis_element(reply, 1);
            status_fail(error, SYNK_CORRUPT, "store '%s': a batch was applied in part: %.*s",
                        redis->name, (int)why.size, (const char *)why.data);
            status = break_off(redis, error);
        } else if (redis_says(reply, "fenced")) {
            status = redis_uint(redis_element(reply, 1)) < redis->epoch
                         ? lead_again(redis, error)
                         : fail_fenced(redis, reply, error);
        } else if (redis_says(reply, "behind") && repeats) {
            status = repeat(redis, reply, sent, error);
        } /* else unstaged: another connection of ours began again; so do we */
        freeReplyObject(reply);
        if (status)
            return status;
    }
    return status_fail(error, SYNK_STORE_DOWN,
                       "store '%s': a batch of several parts does not come together", redis->name);
}

/* Sends the last of `sent`, again where the connection is lost, for as long as is bearable. */
static enum synk_status send_last(struct redis *redis, struct synk_error *error)
{
    int64_t deadline_ms = redis_now_ms() + PATIENCE_MS;
    enum synk_status status;
    for (;;) {
        status = redis_connect(redis, deadline_ms, error);
        if (status == SYNK_REFUSED) /* that may be mended, at the server */
            status = error->status = SYNK_STORE_DOWN;
        if (status)
            break;
        status = send_one(redis, &redis->sent[redis->sent_count - 1], true, error);
        if (status != SYNK_STORE_DOWN || redis_link_is_connected(redis->link) ||
            redis_now_ms() >= deadline_ms)
            break;
    }
    if (status == SYNK_OK) {
        redis->lsn = redis->sent[redis->sent_count - 1].lsn;
        redis->has_unknown = false;
        redis->pending = NULL;
    }
    return status;
}

/* The owner has given up the batch of unknown outcome: it counts if it was applied, and else never
 * will be. */
static enum synk_status give_up_unknown(struct redis *redis, struct synk_error *error)
{
    redisReply *reply = NULL;
    enum synk_status status = redis_connect(redis, redis_now_ms() + PATIENCE_MS, error);
    if (!status)
        status = redis_ask(redis, "asking for its last batch", &reply, error, "HMGET", "state",
                           "lsn", "nonce", NULL);
    if (status)
        return status;
    const struct redis_sent *last = &redis->sent[redis->sent_count - 1];
    bool is_applied = redis_uint(redis_element(reply, 0)) == last->lsn &&
                      bytes_equal(redis_element(reply, 1), bytes_str(last->nonce));
    freeReplyObject(reply);
    if (is_applied) {
        redis->lsn = last->lsn;
        redis->has_unknown = false;
        redis->pending = NULL;
    } else {
        drop_last(redis);
    }
    return SYNK_OK;
}

/* Whoever commits leads: the first commit takes the lease where no load did. */
static enum synk_status lead(struct redis *redis, struct synk_error *error)
{
    uint32_t epoch = 0;
    redisReply *reply = NULL;
    if (redis->leads)
        return SYNK_OK;
    redis_forget_sent(redis);
    enum synk_status status = redis_lease_acquire(redis, 0, &epoch, NULL, error);
    if (!status)
        status = redis_connect(redis, redis_now_ms() + PATIENCE_MS, error);
    if (!status)
        status = redis_ask(redis, "asking for its last batch", &reply, error, "HMGET", "state",
                           "lsn", "nonce", NULL);
    if (status)
        return status;
    redis->leads = true;
    struct synk_bytes nonce = redis_element(reply, 1);
    redis->lsn = redis->found_lsn = redis_uint(redis_element(reply, 0));
    snprintf(redis->found_nonce, sizeof(redis->found_nonce), "%.*s", (int)nonce.size,
             nonce.size ? (const char *)nonce.data : "");
    freeReplyObject(reply);
    return SYNK_OK;
}

enum synk_status redis_lead(struct redis *redis, struct synk_error *error)
{
    return lead(redis, error);
}

enum synk_status redis_apply(struct redis *redis, struct redis_batch *batch,
                             struct synk_error *error)
{
    enum synk_status status = lead(redis, error);
    if (!status && redis->has_unknown)
        status = give_up_unknown(redis, error);
    if (status) {
        redis_batch_fini(batch);
        return status;
    }
    redis_batch_end(batch);
    push(redis, batch);
    return send_last(redis, error);
}

static void encode(struct redis_batch *out, const struct batch *batch)
{
    redis_batch_init(out);
    for (size_t i = 0; i < batch->record_count; i++)
        redis_batch_record(out, &batch->records[i]);
    if (batch->event_count)
        redis_batch_events(out, batch->first_event, batch->event_count, batch->at,
                           buf_bytes(&batch->events));
    redis_batch_end(out);
}

static bool is_same(const struct redis_batch *a, const struct redis_batch *b)
{
    if (a->part_count != b->part_count)
        return false;
    for (size_t i = 0; i < a->part_count; i++)
        if (!bytes_equal(buf_bytes(&a->parts[i]), buf_bytes(&b->parts[i])))
            return false;
    return true;
}

enum synk_status redis_commit(void *backend, const struct batch *batch, struct synk_error *error)
{
    struct redis *redis = backend;
    if (redis->broken.status) {
        *error = redis->broken;
        return redis->broken.status;
    }
    struct redis_batch encoded;
    encode(&encoded, batch);
    enum synk_status status = lead(redis, error);
    bool is_again = redis->has_unknown && redis->pending == batch &&
                    is_same(&encoded, &redis->sent[redis->sent_count - 1].batch);
    if (!status && is_again) {
        redis_batch_fini(&encoded);
        status = send_last(redis, error);
    } else if (!status) {
        if (redis->has_unknown)
            status = give_up_unknown(redis, error);
        if (!status) {
            push(redis, &encoded);
            redis->pending = batch;
            status = send_last(redis, error);
        }
    }
    redis_batch_fini(&encoded);
    if (status == SYNK_OK && batch->retains)
        redis_retain(redis, &batch->retention);
    if (status == SYNK_CORRUPT || status == SYNK_REFUSED || status == SYNK_BUSY) {
        /* The owner can do the same about it: exit, and start anew. */
        error->status = status == SYNK_CORRUPT ? SYNK_IO : SYNK_STORE_DOWN;
        status = error->status;
    }
    return status;
}
