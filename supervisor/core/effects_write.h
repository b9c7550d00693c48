/*
 * Filling the effects of the step under way: messages, orders to the shell, questions for the
 * store. Messages are packed straight into effects.bodies between open and close; what a record, an
 * order or a query refers to is copied into the arena of the open batch.
 */
#ifndef CORE_EFFECTS_WRITE_H
#define CORE_EFFECTS_WRITE_H

#include "supervisor/core/model.h"

struct buf *send_open(struct engine *engine);
struct send *send_close(struct engine *engine, enum socket socket, uint32_t peer, uint16_t type,
                        uint64_t sequence, bool urgent);
void order_add(struct engine *engine, enum order_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A zeroed query; its bytes are to be copied into effects.arena. */
struct query *query_add(struct engine *engine, enum query_kind kind);
/* Copies into the arena of the open batch. */
struct synk_bytes keep_bytes(struct engine *engine, struct synk_bytes bytes);

#endif
