/*
 * Requests of clients: received, checked against their idempotency keys, handed to their handler,
 * and answered once. A handler answers with reply_open and reply_close, with request_fail or
 * request_error, or later, as a waiter.
 */
#ifndef CORE_REQUESTS_H
#define CORE_REQUESTS_H

#include "supervisor/core/model.h"

void requests_message(struct engine *engine, const struct input *input);
void requests_peer_gone(struct engine *engine, uint32_t peer);
void request_fail(struct engine *engine, const struct request *request, enum synk_status status,
                  int64_t retry_after_ms, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void request_error(struct engine *engine, const struct request *request,
                   const struct synk_error *error);
struct buf *reply_open(struct engine *engine);
void reply_close(struct engine *engine, const struct request *request);
bool waiter_add(struct engine *engine, struct waiter **list, uint32_t peer, uint64_t sequence);
void waiters_remove_peer(struct waiter **list, uint32_t peer);
void waiters_free(struct waiter **list);
void peer_answered(struct engine *engine, uint32_t peer);
struct synk_bytes body_text(const struct request *request, const char *key);

#endif
