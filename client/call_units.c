/* <synk/units.h>, but for apply: each call is a body and the request it goes with. */
#include "client/call.h"
#include "proto/limits.h"
#include "proto/pack.h"
#include "proto/value.h"
#include "synk/units.h"

enum synk_status synk_show_unit(struct synk_client *client, const char *id,
                                struct synk_document **ret_unit, struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_string(body, "id", id);
    return call_send(client, "show", body, ret_unit, error);
}

static enum synk_status set_paused(struct synk_client *client, const char *type,
                                   const char *const *ids, size_t count,
                                   struct synk_document **ret_body, struct synk_error *error)
{
    struct synk_builder *body = call_body();
    if (ids)
        call_put_strings(body, "ids", ids, count);
    else
        call_put_bool(body, "all", true);
    return call_send(client, type, body, ret_body, error);
}

enum synk_status synk_pause(struct synk_client *client, const char *const *ids, size_t count,
                            struct synk_document **ret_body, struct synk_error *error)
{
    return set_paused(client, "pause", ids, count, ret_body, error);
}

enum synk_status synk_resume(struct synk_client *client, const char *const *ids, size_t count,
                             struct synk_document **ret_body, struct synk_error *error)
{
    return set_paused(client, "resume", ids, count, ret_body, error);
}

enum synk_status synk_plan(struct synk_client *client, const char *unit,
                           struct synk_document **ret_plan, struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_string(body, "unit", unit);
    return call_send(client, "plan", body, ret_plan, error);
}

enum synk_status synk_set(struct synk_client *client, const char *id, struct synk_bytes fields,
                          const char *reason, struct synk_document **ret_body,
                          struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_string(body, "id", id);
    call_put_encoded(body, "set", fields);
    call_put_string(body, "reason", reason);
    return call_send(client, "set", body, ret_body, error);
}

enum synk_status synk_set_status(struct synk_client *client, const char *id, const char *status,
                                 struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_string(body, "id", id);
    call_put_string(body, "status", status);
    return call_send(client, "set", body, NULL, error);
}

enum synk_status synk_enable(struct synk_client *client, const char *id, bool enabled,
                             struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_string(body, "id", id);
    synk_builder_string(body, "set");
    synk_builder_begin_map(body);
    call_put_bool(body, "enabled", enabled);
    synk_builder_end(body);
    return call_send(client, "set", body, NULL, error);
}

enum synk_status synk_release(struct synk_client *client, const char *id, bool force,
                              struct synk_document **ret_body, struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_string(body, "id", id);
    if (force)
        call_put_bool(body, "force", true);
    return call_send(client, "release", body, ret_body, error);
}

/* ---- the snapshot: its pages put together ---- */

static const char *const snapshot_lists[] = {"units", "runs", "hosts"};
enum { SNAPSHOT_LISTS = sizeof(snapshot_lists) / sizeof(snapshot_lists[0]) };

struct snapshot {
    uint64_t seq;
    struct buf items[SNAPSHOT_LISTS];
    size_t counts[SNAPSHOT_LISTS];
};

static void take_page(struct snapshot *snapshot, const struct synk_value *page)
{
    for (size_t i = 0; i < SNAPSHOT_LISTS; i++) {
        const struct synk_value *list = synk_value_get(page, snapshot_lists[i]);
        for (size_t k = 0; k < synk_value_count(list); k++)
            value_encode(synk_value_at(list, k), &snapshot->items[i]);
        snapshot->counts[i] += synk_value_count(list);
    }
}

static enum synk_status take_pages(struct synk_client *client, struct snapshot *snapshot,
                                   struct synk_error *error)
{
    int64_t cursor = 0;
    enum synk_status status = SYNK_OK;
    while (cursor >= 0 && !status) {
        struct synk_document *page = NULL;
        struct synk_builder *body = call_body();
        call_put_int(body, "cursor", cursor);
        status = call_send(client, "snapshot", body, &page, error);
        const struct synk_value *root = synk_document_root(page);
        int64_t next = synk_value_int(synk_value_get(root, "cursor"), -1);
        if (!status && !cursor)
            snapshot->seq = (uint64_t)synk_value_int(synk_value_get(root, "seq"), 0);
        if (!status && next >= 0 && next <= cursor)
            status = status_fail(error, SYNK_PROTOCOL, "the supervisor's snapshot does not go on");
        take_page(snapshot, root);
        synk_document_free(page);
        cursor = next;
    }
    return status;
}

enum synk_status synk_snapshot(struct synk_client *client, struct synk_document **ret_snapshot,
                               struct synk_error *error)
{
    static const struct check_limits whole = {LIMIT_VALUE_DEPTH + 8, LIMIT_UPLOAD_ITEMS};
    struct snapshot snapshot = {0};
    struct buf out = {0};
    enum synk_status status = take_pages(client, &snapshot, error);
    pack_map(&out, 1 + SNAPSHOT_LISTS);
    pack_key(&out, "seq");
    pack_uint(&out, snapshot.seq);
    for (size_t i = 0; i < SNAPSHOT_LISTS; i++) {
        pack_key(&out, snapshot_lists[i]);
        pack_array(&out, snapshot.counts[i]);
        buf_append(&out, snapshot.items[i].data, snapshot.items[i].size);
        buf_fini(&snapshot.items[i]);
    }
    if (!status && ret_snapshot)
        status = value_decode_owned(buf_bytes(&out), &whole, ret_snapshot, error);
    buf_fini(&out);
    return status;
}
