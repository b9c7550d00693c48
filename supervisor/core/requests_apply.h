/*
 * Uploads, which gather definitions too large for one message, and the application of definitions.
 */
#ifndef CORE_REQUESTS_APPLY_H
#define CORE_REQUESTS_APPLY_H

#include "supervisor/core/model.h"

void request_upload(struct engine *engine, struct request *request);
/* Moves the bytes of a client's upload to `out`; SYNK_NOT_FOUND where there is none. */
enum synk_status upload_take(struct engine *engine, uint32_t peer, struct synk_bytes name,
                             struct buf *out, struct synk_error *error);
/* Drops it, where there is one. */
void upload_forget(struct engine *engine, uint32_t peer, struct synk_bytes name);
void request_apply(struct engine *engine, struct request *request);
void uploads_expire(struct engine *engine);
void uploads_drop(struct engine *engine, uint32_t peer);
void uploads_free(struct engine *engine);
enum synk_status apply_read(struct engine *engine, const struct request *request,
                            struct definition_set *set, struct synk_error *error);

#endif
