/*
 * Lists that are read page by page. A list is a request's type and body without its place, the
 * place of the next page, and the page that is being walked. Two requests have pages: `list` has
 * items and a cursor, `show` of a run has tasks and the index to go on from.
 */
#include "client/call.h"
#include "synk/pool.h"
#include "synk/supervisor.h"
#include "synk/units.h"

#include <stdlib.h>

struct synk_list {
    struct synk_client *client;
    /* Of the request, the place's name in it, and of the reply: the items and the next place. */
    const char *type, *place_name, *items_name, *next_name;
    struct synk_builder *body; /* a map, without the place */
    struct synk_document *page;
    const struct synk_value *items;
    size_t index;
    struct buf place; /* encoded; empty = the first page */
    bool is_last;
};

static struct synk_list *new_list(struct synk_client *client)
{
    struct synk_list *list = mem_zalloc(1, sizeof(*list));
    list->client = client;
    list->type = "list";
    list->place_name = list->next_name = "cursor";
    list->items_name = "items";
    list->body = synk_builder_new();
    return list;
}

void synk_list_close(struct synk_list *list)
{
    if (!list)
        return;
    synk_builder_free(list->body);
    synk_document_free(list->page);
    buf_fini(&list->place);
    free(list);
}

/* The entries of a body, copied into a map with the place behind them. */
static struct synk_builder *body_of_page(const struct synk_list *list)
{
    struct synk_builder *body = call_body();
    struct synk_document *fixed = NULL;
    if (synk_document_decode(synk_builder_bytes(list->body), &fixed, NULL) != SYNK_OK)
        return body;
    const struct synk_value *map = synk_document_root(fixed);
    for (size_t i = 0; i < synk_value_count(map); i++) {
        struct synk_bytes key = synk_value_key_at(map, i);
        struct buf value = {0};
        value_encode(synk_value_at(map, i), &value);
        synk_builder_string_n(body, key.data, key.size);
        synk_builder_encoded(body, buf_bytes(&value));
        buf_fini(&value);
    }
    synk_document_free(fixed);
    call_put_encoded(body, list->place_name, buf_bytes(&list->place));
    return body;
}

static enum synk_status next_page(struct synk_list *list, struct synk_error *error)
{
    struct synk_document *page = NULL;
    enum synk_status status = call_send(list->client, list->type, body_of_page(list), &page, error);
    if (status)
        return status;
    const struct synk_value *root = synk_document_root(page);
    struct buf place = {0};
    const struct synk_value *next = synk_value_get(root, list->next_name);
    list->is_last = value_is_null(next);
    if (!list->is_last)
        value_encode(next, &place);
    /* A place that leads to itself would be walked for ever. */
    if (!list->is_last && value_same(buf_bytes(&place), buf_bytes(&list->place))) {
        buf_fini(&place);
        synk_document_free(page);
        return status_fail(error, SYNK_PROTOCOL, "the supervisor's list does not go on");
    }
    buf_fini(&list->place);
    list->place = place;
    synk_document_free(list->page);
    list->page = page;
    list->items = synk_value_get(root, list->items_name);
    list->index = 0;
    return SYNK_OK;
}

enum synk_status synk_list_next(struct synk_list *list, const struct synk_value **ret_item,
                                struct synk_error *error)
{
    while (!list->page || list->index >= synk_value_count(list->items)) {
        if (list->page && list->is_last) {
            *ret_item = NULL;
            return SYNK_OK;
        }
        enum synk_status status = next_page(list, error);
        if (status)
            return status;
    }
    *ret_item = synk_value_at(list->items, list->index++);
    return SYNK_OK;
}

enum synk_status synk_list_open(struct synk_client *client, const char *what,
                                const struct synk_list_filter *filter, struct synk_list **ret_list,
                                struct synk_error *error)
{
    static const struct synk_list_filter any;
    if (!filter)
        filter = &any;
    enum synk_status status = call_check_reserved(
        filter->reserved, sizeof(filter->reserved) / sizeof(filter->reserved[0]),
        "synk_list_filter", error);
    if (status)
        return status;
    struct synk_list *list = new_list(client);
    synk_builder_begin_map(list->body);
    call_put_string(list->body, "what", what);
    call_put_string(list->body, "unit", filter->unit);
    call_put_string(list->body, "status", filter->status);
    call_put_string(list->body, "kind", filter->kind);
    call_put_string(list->body, "worker", filter->worker);
    if (filter->deep)
        call_put_bool(list->body, "deep", true);
    if (filter->since_ms)
        call_put_int(list->body, "since", filter->since_ms);
    if (filter->page)
        call_put_int(list->body, "limit", filter->page);
    synk_builder_end(list->body);
    *ret_list = list;
    return SYNK_OK;
}

enum synk_status synk_list_units(struct synk_client *client, const struct synk_list_filter *filter,
                                 struct synk_list **ret_list, struct synk_error *error)
{
    return synk_list_open(client, "units", filter, ret_list, error);
}

enum synk_status synk_list_workers(struct synk_client *client, const char *unit, bool deep,
                                   struct synk_list **ret_list, struct synk_error *error)
{
    struct synk_list_filter filter = {.unit = unit, .deep = deep};
    return synk_list_open(client, "workers", &filter, ret_list, error);
}

enum synk_status synk_list_runs(struct synk_client *client, const struct synk_list_filter *filter,
                                struct synk_list **ret_list, struct synk_error *error)
{
    return synk_list_open(client, "runs", filter, ret_list, error);
}

enum synk_status synk_list_pool(struct synk_client *client, const struct synk_list_filter *filter,
                                struct synk_list **ret_list, struct synk_error *error)
{
    return synk_list_open(client, "pool", filter, ret_list, error);
}

enum synk_status synk_list_hosts(struct synk_client *client, const struct synk_list_filter *filter,
                                 struct synk_list **ret_list, struct synk_error *error)
{
    return synk_list_open(client, "hosts", filter, ret_list, error);
}

enum synk_status synk_list_tasks(struct synk_client *client, const char *run, bool attempts,
                                 struct synk_list **ret_list, struct synk_error *error)
{
    (void)error;
    struct synk_list *list = new_list(client);
    list->type = "show";
    list->place_name = "from";
    list->next_name = "next";
    list->items_name = "tasks";
    synk_builder_begin_map(list->body);
    call_put_string(list->body, "id", run);
    call_put_bool(list->body, "attempts", attempts);
    synk_builder_end(list->body);
    *ret_list = list;
    return SYNK_OK;
}
