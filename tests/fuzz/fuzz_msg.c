/*
 * Every message decoder on arbitrary bytes. The first byte chooses the decoder; what decodes is
 * encoded again where that is possible, and must decode again.
 */
#include <assert.h>

#include "proto/limits.h"
#include "proto/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_reports(struct synk_bytes body, struct arena *arena)
{
    struct msg_report *reports, *again;
    size_t count, count_again;
    if (msg_reports_decode(body, arena, &reports, &count, NULL))
        return;
    struct buf items = {0}, out = {0};
    for (size_t i = 0; i < count; i++)
        msg_report_encode(&reports[i], &items);
    msg_reports_wrap(buf_bytes(&items), count, &out);
    enum synk_status status =
        msg_reports_decode(buf_bytes(&out), arena, &again, &count_again, NULL);
    assert(status == SYNK_OK || status == SYNK_TOO_LARGE);
    assert(status || count == count_again);
    buf_fini(&items);
    buf_fini(&out);
}

static void try_attempts(struct synk_bytes body, struct arena *arena)
{
    struct msg_attempt *attempts, *again;
    size_t count, count_again;
    bool last, last_again;
    if (msg_attempts_decode(body, arena, &attempts, &count, &last, NULL))
        return;
    struct buf out = {0};
    msg_attempts_encode(attempts, count, last, &out);
    enum synk_status status =
        msg_attempts_decode(buf_bytes(&out), arena, &again, &count_again, &last_again, NULL);
    assert(status == SYNK_OK && count == count_again && last == last_again);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct synk_error error;
    if (size == 0 || size > LIMIT_FRAME_BYTES)
        return 0;
    struct synk_bytes body = bytes_of(data + 1, size - 1);
    struct msg_header header;
    struct msg_hello hello;
    struct msg_welcome welcome;
    struct msg_dispatch dispatch;
    struct synk_bytes *values;
    struct msg_heartbeat heartbeat;
    struct msg_log log;
    uint64_t upto;
    size_t count;
    switch (data[0] % 10) {
    case 0:
        msg_header_decode(body, &header, &error);
        break;
    case 1:
        msg_hello_decode(body, &arena, &hello, &error);
        break;
    case 2:
        msg_welcome_decode(body, &welcome, &error);
        break;
    case 3:
        try_reports(body, &arena);
        break;
    case 4:
        try_attempts(body, &arena);
        break;
    case 5:
        msg_dispatch_decode(body, &arena, &dispatch, &error);
        break;
    case 6:
        msg_values_decode(body, &arena, &values, &count, &error);
        break;
    case 7:
        msg_heartbeat_decode(body, &heartbeat, &error);
        break;
    case 8:
        msg_ack_decode(body, &upto, &error);
        break;
    case 9:
        msg_log_decode(body, &log, &error);
        break;
    }
    arena_fini(&arena);
    return 0;
}
