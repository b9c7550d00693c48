/* <synk/supervisor.h>: each call is a body and the request it goes with. */
#include "client/call.h"
#include "synk/supervisor.h"

enum synk_status synk_stats(struct synk_client *client, struct synk_document **ret_stats,
                            struct synk_error *error)
{
    return call_send(client, "stats", call_body(), ret_stats, error);
}

enum synk_status synk_scan(struct synk_client *client, struct synk_document **ret_body,
                           struct synk_error *error)
{
    return call_send(client, "scan", call_body(), ret_body, error);
}

enum synk_status synk_drain(struct synk_client *client, const char *host, bool undo,
                            struct synk_document **ret_body, struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_string(body, "host", host);
    call_put_bool(body, "undo", undo);
    return call_send(client, "drain", body, ret_body, error);
}

enum synk_status synk_backup(struct synk_client *client, const char *path, uint64_t *ret_bytes,
                             struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_string(body, "path", path);
    return call_send_for_number(client, "backup", body, "bytes", ret_bytes, error);
}

static void put_keep(struct synk_builder *body, const char *ms_key, int64_t ms,
                     const char *count_key, int64_t count)
{
    if (ms != SYNK_KEEP_CONFIGURED)
        call_put_int(body, ms_key, ms);
    if (count != SYNK_KEEP_CONFIGURED)
        call_put_int(body, count_key, count);
}

enum synk_status synk_prune(struct synk_client *client, const struct synk_prune *prune,
                            uint64_t *ret_runs, uint64_t *ret_events, struct synk_error *error)
{
    struct synk_document *reply = NULL;
    enum synk_status status = call_check_reserved(
        prune->reserved, sizeof(prune->reserved) / sizeof(prune->reserved[0]), "synk_prune", error);
    if (status)
        return status;
    struct synk_builder *body = call_body();
    put_keep(body, "keepRunsMs", prune->keep_runs_ms, "keepRuns", prune->keep_runs);
    put_keep(body, "keepEventsMs", prune->keep_events_ms, "keepEvents", prune->keep_events);
    status = call_send(client, "prune", body, &reply, error);
    if (status)
        return status;
    const struct synk_value *root = synk_document_root(reply);
    if (ret_runs)
        *ret_runs = (uint64_t)synk_value_int(synk_value_get(root, "runs"), 0);
    if (ret_events)
        *ret_events = (uint64_t)synk_value_int(synk_value_get(root, "events"), 0);
    synk_document_free(reply);
    return SYNK_OK;
}

enum synk_status synk_shutdown(struct synk_client *client, int64_t grace_ms, bool keep_hosts,
                               struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_int(body, "graceMs", grace_ms);
    call_put_bool(body, "keepHosts", keep_hosts);
    return call_send(client, "shutdown", body, NULL, error);
}
