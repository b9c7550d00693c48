/* Uploads: what is too large for one message goes up in chunks, which the supervisor gathers under
 * a name of ours and forgets when it restarts. */
#ifndef CLIENT_UPLOAD_H
#define CLIENT_UPLOAD_H

#include "client/client_internal.h"

enum {
    UPLOAD_NAME_BYTES = 32,
    /* What is at most this large goes inside the request: half a frame leaves room for the rest. */
    UPLOAD_INLINE_BYTES = LIMIT_FRAME_BYTES / 2,
    /* Uploads that a restart of the supervisor cut short before we give up. */
    UPLOAD_TRIES = 3,
};

/* Draws a name. SYNK_IO. */
enum synk_status upload_name(char ret_name[UPLOAD_NAME_BYTES], struct synk_error *error);
/* Of the supervisor that the client knows; 0 = none yet. A new one has forgotten the uploads. */
uint32_t upload_epoch(struct synk_client *client);
/* Sends all chunks, each when the one before was taken. */
enum synk_status upload_send(struct synk_client *client, const char *name, struct synk_bytes bytes,
                             struct synk_error *error);
/* Queues all chunks, and does not wait for their answers. */
enum synk_status upload_start(struct synk_client *client, const char *name, struct synk_bytes bytes,
                              struct synk_error *error);

#endif
