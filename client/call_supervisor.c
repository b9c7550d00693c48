/* <synk/supervisor.h>: each call is a body and the request it goes with. */
#include "client/call.h"
#include "synk/supervisor.h"

enum synk_status synk_stats(struct synk_client *client, struct synk_document **ret_stats,
                            struct synk_error *error)
{
    return call_send(client, "stats", call_body(), ret_stats, error);
}

enum synk_status synk_backup(struct synk_client *client, const char *path, uint64_t *ret_bytes,
                             struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_string(body, "path", path);
    return call_send_for_number(client, "backup", body, "bytes", ret_bytes, error);
}

enum synk_status synk_shutdown(struct synk_client *client, int64_t grace_ms, bool keep_hosts,
                               struct synk_error *error)
{
    struct synk_builder *body = call_body();
    call_put_int(body, "graceMs", grace_ms);
    call_put_bool(body, "keepHosts", keep_hosts);
    return call_send(client, "shutdown", body, NULL, error);
}
