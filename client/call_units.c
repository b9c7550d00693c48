/* <synk/units.h>, but for apply: each call is a body and the request it goes with. */
#include "client/call.h"
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
