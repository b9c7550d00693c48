/*
 * The fixed header, the names of the types, and the messages of a few plain fields.
 *
 * Invariant: on failure a decoder may leave its result half-filled; callers use it only after
 * SYNK_OK.
 */
#include "proto/msg.h"

#include "proto/check.h"
#include "proto/fields.h"
#include "proto/limits.h"
#include "proto/pack.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

const char *msg_type_name(unsigned type)
{
    switch (type) {
#define MSG_TYPE_CASE(name, number, text)                                                          \
    case name:                                                                                     \
        return text;
        MSG_TYPE_LIST(MSG_TYPE_CASE)
#undef MSG_TYPE_CASE
    }
    return "unknown";
}

static void store_big_endian(uint8_t *at, uint64_t value, unsigned bytes)
{
    while (bytes--) {
        at[bytes] = (uint8_t)value;
        value >>= 8;
    }
}

static uint64_t load_big_endian(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes--)
        value = value << 8 | *at++;
    return value;
}

void msg_header_encode(struct msg_header header, uint8_t out[MSG_HEADER_BYTES])
{
    out[0] = 'S';
    out[1] = MSG_VERSION;
    store_big_endian(out + 2, header.type, 2);
    store_big_endian(out + 4, header.epoch, 4);
    store_big_endian(out + 8, header.sequence, 8);
}

enum synk_status msg_header_decode(struct synk_bytes frame, struct msg_header *ret_header,
                                   struct synk_error *error)
{
    const uint8_t *at = frame.data;
    if (frame.size != MSG_HEADER_BYTES || at[0] != 'S')
        return status_fail(error, SYNK_PROTOCOL, "not a header: %zu bytes, first 0x%02x",
                           frame.size, frame.size ? at[0] : 0u);
    if (at[1] != MSG_VERSION)
        return status_fail(error, SYNK_UNSUPPORTED, "a message of version %u, this is version %u",
                           at[1], MSG_VERSION);
    *ret_header = (struct msg_header){
        .type = (uint16_t)load_big_endian(at + 2, 2),
        .epoch = (uint32_t)load_big_endian(at + 4, 4),
        .sequence = load_big_endian(at + 8, 8),
    };
    return SYNK_OK;
}

/* Checks a body, and reads it by its table. */
static enum synk_status decode_body(const char *name, const struct field *fields, size_t count,
                                    struct synk_bytes body, void *base, struct synk_error *error)
{
    enum synk_status status = check_value(body, &check_message_limits, error);
    if (status == SYNK_OK)
        status = fields_decode_map(fields, count, body, base, error);
    if (status)
        status_prefix(error, "%s", name);
    return status;
}

static const struct field welcome_fields[] = {
    {"heartbeatMs", FIELD_U32, offsetof(struct msg_welcome, heartbeat_ms), true, 0, UINT32_MAX},
    {"silenceMs", FIELD_U32, offsetof(struct msg_welcome, silence_ms), true, 0, UINT32_MAX},
};

void msg_welcome_encode(const struct msg_welcome *welcome, struct buf *out)
{
    fields_encode_map(welcome_fields, COUNT_OF(welcome_fields), welcome, out);
}

enum synk_status msg_welcome_decode(struct synk_bytes body, struct msg_welcome *ret_welcome,
                                    struct synk_error *error)
{
    return decode_body("welcome", welcome_fields, COUNT_OF(welcome_fields), body, ret_welcome,
                       error);
}

static const struct field heartbeat_fields[] = {
    {"running", FIELD_U32, offsetof(struct msg_heartbeat, running), false, 0, UINT32_MAX},
    {"queued", FIELD_U32, offsetof(struct msg_heartbeat, queued), false, 0, UINT32_MAX},
    {"unacknowledged", FIELD_U64, offsetof(struct msg_heartbeat, unacknowledged), false, 0, 0},
    {"rssKib", FIELD_I64, offsetof(struct msg_heartbeat, rss_kib), false, 0, 0},
    {"cpuUs", FIELD_I64, offsetof(struct msg_heartbeat, cpu_us), false, 0, 0},
    {"draining", FIELD_BOOL, offsetof(struct msg_heartbeat, draining), false, 0, 0},
};

void msg_heartbeat_encode(const struct msg_heartbeat *heartbeat, struct buf *out)
{
    fields_encode_map(heartbeat_fields, COUNT_OF(heartbeat_fields), heartbeat, out);
}

enum synk_status msg_heartbeat_decode(struct synk_bytes body, struct msg_heartbeat *ret_heartbeat,
                                      struct synk_error *error)
{
    return decode_body("heartbeat", heartbeat_fields, COUNT_OF(heartbeat_fields), body,
                       ret_heartbeat, error);
}

static const struct field ack_fields[] = {
    {"upto", FIELD_U64, 0, true, 0, 0},
};

void msg_ack_encode(uint64_t upto, struct buf *out)
{
    fields_encode_map(ack_fields, COUNT_OF(ack_fields), &upto, out);
}

enum synk_status msg_ack_decode(struct synk_bytes body, uint64_t *ret_upto,
                                struct synk_error *error)
{
    return decode_body("ack", ack_fields, COUNT_OF(ack_fields), body, ret_upto, error);
}

static const struct field log_fields[] = {
    {"request", FIELD_U64, offsetof(struct msg_log, request), true, 0, 0},
    {"run", FIELD_U64, offsetof(struct msg_log, run), true, 0, 0},
    {"task", FIELD_U32, offsetof(struct msg_log, task), false, 0, UINT32_MAX},
    {"attempt", FIELD_U32, offsetof(struct msg_log, attempt), false, 0, UINT32_MAX},
    {"offset", FIELD_U64, offsetof(struct msg_log, offset), false, 0, 0},
    {"max", FIELD_U64, offsetof(struct msg_log, max_bytes), false, 0, 0},
    {"data", FIELD_BYTES, offsetof(struct msg_log, data), false, 0, LIMIT_LOG_BYTES},
    {"size", FIELD_U64, offsetof(struct msg_log, size), false, 0, 0},
    {"complete", FIELD_BOOL, offsetof(struct msg_log, complete), false, 0, 0},
    {"error", FIELD_TEXT, offsetof(struct msg_log, error), false, 0, LIMIT_ERROR_BYTES},
};

void msg_log_encode(const struct msg_log *log, struct buf *out)
{
    fields_encode_map(log_fields, COUNT_OF(log_fields), log, out);
}

enum synk_status msg_log_decode(struct synk_bytes body, struct msg_log *ret_log,
                                struct synk_error *error)
{
    return decode_body("log", log_fields, COUNT_OF(log_fields), body, ret_log, error);
}

void msg_error_encode(const struct synk_error *error, int64_t retry_after_ms, struct buf *out)
{
    pack_map(out, 3);
    pack_key(out, "status");
    pack_cstr(out, synk_status_name(error->status));
    pack_key(out, "text");
    pack_cstr(out, error->text);
    pack_key(out, "retryAfterMs");
    if (retry_after_ms > 0)
        pack_int(out, retry_after_ms);
    else
        pack_null(out);
}
