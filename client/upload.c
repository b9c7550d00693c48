/* Uploads in chunks. One that is sent again is answered again, so a reconnect does no harm. */
#include "client/upload.h"

#include <stdio.h>
#include <sys/random.h>

#include "proto/pack.h"

enum { CHUNK_BYTES = 1 << 20 };

enum synk_status upload_name(char ret_name[UPLOAD_NAME_BYTES], struct synk_error *error)
{
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        return status_fail(error, SYNK_IO, "cannot draw a name for the upload");
    snprintf(ret_name, UPLOAD_NAME_BYTES, "upload-%016llx", (unsigned long long)random);
    return SYNK_OK;
}

uint32_t upload_epoch(struct synk_client *client)
{
    client_lock(client);
    uint32_t epoch = client->link.epoch;
    client_unlock(client);
    return epoch;
}

static enum synk_status each_chunk(struct synk_client *client, const char *name,
                                   struct synk_bytes bytes, bool waits, struct synk_error *error)
{
    enum synk_status status = SYNK_OK;
    for (size_t offset = 0; offset < bytes.size && !status; offset += CHUNK_BYTES) {
        size_t left = bytes.size - offset;
        struct buf body = {0};
        pack_map(&body, 3);
        pack_key(&body, "upload");
        pack_cstr(&body, name);
        pack_key(&body, "offset");
        pack_uint(&body, offset);
        pack_key(&body, "data");
        pack_binary(&body, bytes_of((const uint8_t *)bytes.data + offset,
                                    left < CHUNK_BYTES ? left : CHUNK_BYTES));
        status = waits ? synk_call(client, "upload", buf_bytes(&body), NULL, error)
                       : synk_request(client, "upload", buf_bytes(&body), NULL, NULL, error);
        buf_fini(&body);
    }
    return status;
}

enum synk_status upload_send(struct synk_client *client, const char *name, struct synk_bytes bytes,
                             struct synk_error *error)
{
    return each_chunk(client, name, bytes, true, error);
}

enum synk_status upload_start(struct synk_client *client, const char *name, struct synk_bytes bytes,
                              struct synk_error *error)
{
    return each_chunk(client, name, bytes, false, error);
}
