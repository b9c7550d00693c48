/*
 * What the host wants in its spool file. Invariants: a report item is in the file once it is a
 * second old or there is no session, or its write failed and is tried again; items are in the file
 * in the order of their numbers, and none is marked as spooled that a failed write left out; what
 * is in the file and not acknowledged leaves it only by way of a whole new file.
 */
#include "worker-host/host_internal.h"

enum {
    SPOOL_AFTER_MS = 1000,
    /* A failed write is tried again so much later: a full disk has room when somebody makes some.
     */
    SPOOL_RETRY_MS = 1000,
    /* Rewrite a spool file that is mostly acknowledged from this size on. */
    SPOOL_REWRITE_BYTES = 16 << 20,
};

/* One item in the spool: its size, a check of its bytes, the bytes. */
struct spool_head {
    uint32_t size, check;
};

static bool is_report(struct synk_bytes item, struct arena *arena)
{
    struct buf body = {0};
    struct msg_report *reports;
    size_t count;
    msg_reports_wrap(item, 1, &body);
    enum synk_status status = msg_reports_decode(buf_bytes(&body), arena, &reports, &count, NULL);
    buf_fini(&body);
    return status == SYNK_OK && count == 1;
}

size_t outbox_restore(struct outbox *outbox, struct synk_bytes items, struct arena *scratch)
{
    const uint8_t *at = items.data;
    size_t left = items.size, count = 0;
    struct spool_head head;
    while (left >= sizeof(head)) {
        memcpy(&head, at, sizeof(head));
        struct synk_bytes item = bytes_of(at + sizeof(head), head.size);
        if (head.size > left - sizeof(head) || head.check != (uint32_t)bytes_hash(item) ||
            !is_report(item, scratch))
            break;
        arena_clear(scratch);
        size_t old_size = outbox->bytes.size;
        buf_append(&outbox->bytes, item.data, item.size);
        outbox_commit(outbox, old_size, 0);
        at += sizeof(head) + head.size;
        left -= sizeof(head) + head.size;
        count++;
    }
    arena_clear(scratch);
    outbox->file_bytes = items.size;
    outbox->is_torn = left > 0;
    outbox->spooled = outbox_last(outbox);
    outbox->spooled_bytes = outbox_kept_bytes(outbox);
    return count;
}

/* Appends the items that are not spooled to `out`, each behind its head, and counts them as such.
 */
static void take_items(struct outbox *outbox, struct buf *out)
{
    uint64_t last = outbox_last(outbox);
    size_t old_size = out->size;
    for (uint64_t number = outbox->spooled + 1; number <= last; number++) {
        uint32_t size = outbox->sizes[outbox->size_start + (size_t)(number - outbox->first)];
        struct synk_bytes item =
            bytes_of(outbox->bytes.data + outbox->bytes_start + outbox->spooled_bytes, size);
        struct spool_head head = {size, (uint32_t)bytes_hash(item)};
        buf_append(out, &head, sizeof(head));
        buf_append(out, item.data, item.size);
        outbox->spooled_bytes += size;
    }
    outbox->spooled = last;
    outbox->file_bytes += out->size - old_size;
}

static void write_spool(struct outbox *outbox, bool is_rewrite, bool has_items,
                        struct host_effects *effects)
{
    outbox->undo.spooled = outbox->spooled;
    outbox->undo.spooled_bytes = outbox->spooled_bytes;
    outbox->undo.file_bytes = outbox->file_bytes;
    outbox->undo.is_torn = outbox->is_torn;
    outbox->undo.is_rewrite = is_rewrite;
    struct host_effect *effect =
        effect_add(effects, is_rewrite ? HOST_SPOOL_REWRITE : HOST_SPOOL_APPEND);
    if (is_rewrite) {
        outbox->file_bytes = outbox->spooled_bytes = 0;
        outbox->spooled = outbox->first - 1;
        outbox->is_torn = false;
    }
    if (has_items)
        take_items(outbox, &effects->bytes);
    effect->body_size = effects->bytes.size - effect->body_offset;
}

void spool_failed(struct outbox *outbox, int64_t now_ms)
{
    outbox->spooled = outbox->undo.spooled;
    outbox->spooled_bytes = outbox->undo.spooled_bytes;
    outbox->file_bytes = outbox->undo.file_bytes;
    outbox->is_torn = outbox->undo.is_torn;
    if (outbox->undo.is_rewrite)
        outbox->rewrite_due_ms = now_ms + SPOOL_RETRY_MS;
    else
        outbox->append_due_ms = now_ms + SPOOL_RETRY_MS;
}

/* Whether items that are not in the file should be. */
static bool has_due(const struct host *host, int64_t now_ms)
{
    const struct outbox *outbox = &host->outbox;
    if (outbox->spooled == outbox_last(outbox))
        return false;
    size_t next = (size_t)(outbox->spooled + 1 - outbox->first);
    return host->link != LINK_WELCOME ||
           now_ms - outbox->times[outbox->size_start + next] >= SPOOL_AFTER_MS;
}

void spool_keep(struct host *host, int64_t now_ms, struct host_effects *effects)
{
    struct outbox *outbox = &host->outbox;
    bool is_done = outbox->file_bytes && outbox->spooled_bytes == 0;
    bool is_stale = outbox->is_torn || (outbox->file_bytes > SPOOL_REWRITE_BYTES &&
                                        outbox_kept_bytes(outbox) < outbox->file_bytes / 2);
    bool is_due = has_due(host, now_ms);
    /* What is stale holds some that are still needed; they go into the new file. */
    if ((is_done || is_stale) && now_ms >= outbox->rewrite_due_ms)
        write_spool(outbox, true, is_due || outbox->spooled_bytes, effects);
    else if (is_due && !outbox->is_torn && now_ms >= outbox->append_due_ms)
        write_spool(outbox, false, true, effects);
}
