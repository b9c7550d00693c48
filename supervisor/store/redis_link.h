/*
 * One connection to the Redis server that a URI means: made again when it is lost, with a back-off,
 * and never waited for without an end. hiredis formats commands and parses replies; waiting, time
 * limits and what an end of the connection means are here, since version 0.14 has none of it for a
 * connection that somebody else polls.
 *
 * The program ignores SIGPIPE: hiredis writes to sockets that may be closed.
 * Not thread-safe: one thread at a time. Calls block, each with its own limit.
 */
#ifndef STORE_REDIS_LINK_H
#define STORE_REDIS_LINK_H

#include <hiredis/hiredis.h>

#include "supervisor/store/redis_uri.h"

struct redis_link;

enum {
    /* A reply that takes longer is taken for a lost connection. */
    REDIS_REPLY_MS = 5000,
};

int64_t redis_now_ms(void);

/* Borrows `uri` and `name`. */
struct redis_link *redis_link_new(const struct redis_uri *uri, const char *name);
void redis_link_free(struct redis_link *link);
/*
 * Makes sure that there is a connection to a server that may be written to: waits out the back-off
 * and tries until `deadline_ms` (of redis_now_ms; 0: once, if the back-off allows).
 * SYNK_STORE_DOWN: there is none, with the reason; SYNK_REFUSED: the server does not let us in.
 */
enum synk_status redis_link_connect(struct redis_link *link, int64_t deadline_ms,
                                    struct synk_error *error);
/* It does what it is for: the next loss begins without a pause. */
void redis_link_is_good(struct redis_link *link);
bool redis_link_is_connected(const struct redis_link *link);
/* Changes with each connection: what a server was told or asked holds for one number. */
uint64_t redis_link_number(const struct redis_link *link);
/* Ends a connection that was made and is of no use, for this reason: the next comes after a pause.
 */
void redis_link_back_off(struct redis_link *link, const struct synk_error *why);
/* Ends the connection; replies that are outstanding will not come. */
void redis_link_drop(struct redis_link *link);

/* Queues a command; nothing is sent before redis_link_reply. */
void redis_link_append(struct redis_link *link, int count, const struct synk_bytes *words);
/* The next reply in order, which the caller frees (freeReplyObject). SYNK_STORE_DOWN: the
 * connection is lost or silent, and dropped; whether the server has done what was asked is unknown.
 */
enum synk_status redis_link_reply(struct redis_link *link, int64_t limit_ms, redisReply **ret_reply,
                                  struct synk_error *error);
/* One command of texts, NULL-ended, and its reply. */
enum synk_status redis_link_call(struct redis_link *link, redisReply **ret_reply,
                                 struct synk_error *error, const char *word, ...)
    __attribute__((sentinel));

/* What a server's error means to a writer: SYNK_STORE_DOWN (later, or elsewhere, it may work:
 * nothing was done), SYNK_REFUSED (not allowed), SYNK_IO. Drops the connection where another server
 * has to be found. Fills the error with the advice that there is. */
enum synk_status redis_link_fail(struct redis_link *link, const redisReply *reply,
                                 const char *doing, struct synk_error *error);
static inline bool redis_is_error(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR;
}
static inline struct synk_bytes redis_bytes(const redisReply *reply)
{
    bool is_text = reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS ||
                   reply->type == REDIS_REPLY_ERROR;
    return is_text ? bytes_of(reply->str, reply->len) : bytes_of(NULL, 0);
}

#endif
