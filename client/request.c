/*
 * Requests under way. Invariants: a request is in the list, by rising sequence, from synk_request
 * until its callback is about to run, which happens once; those before `unsent` were written to the
 * present connection, in order. A request that is sent again is the same bytes with the same
 * sequence and key, so a supervisor answers it as it would have the first time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client/client_internal.h"
#include "proto/pack.h"

void requests_fini(struct request_table *table)
{
    while (table->first) {
        struct request *next = table->first->next;
        buf_fini(&table->first->body);
        free(table->first);
        table->first = next;
    }
    free(table->buckets);
    *table = (struct request_table){0};
}

/* Sequences are consecutive, so their low bits spread them evenly. */
static struct request **bucket_of(struct request_table *table, uint64_t sequence)
{
    return &table->buckets[sequence & (table->bucket_count - 1)];
}

static void grow(struct request_table *table)
{
    size_t count = table->bucket_count ? table->bucket_count * 2 : 64;
    free(table->buckets);
    table->buckets = mem_zalloc(count, sizeof(struct request *));
    table->bucket_count = count;
    for (struct request *request = table->first; request; request = request->next) {
        struct request **bucket = bucket_of(table, request->sequence);
        request->chained = *bucket;
        *bucket = request;
    }
}

uint64_t requests_add(struct synk_client *client, uint16_t type, struct buf *body, synk_reply reply,
                      void *context)
{
    struct request_table *table = &client->requests;
    if (table->count >= table->bucket_count)
        grow(table);
    struct request *request = mem_zalloc(1, sizeof(*request));
    request->sequence = ++table->next_sequence;
    request->type = type;
    request->body = *body;
    *body = (struct buf){0};
    request->reply = reply;
    request->context = context;
    request->previous = table->last;
    if (table->last)
        table->last->next = request;
    else
        table->first = request;
    table->last = request;
    if (!table->unsent)
        table->unsent = request;
    struct request **bucket = bucket_of(table, request->sequence);
    request->chained = *bucket;
    *bucket = request;
    table->count++;
    return request->sequence;
}

/* Out of list and buckets; NULL where there is none. */
static struct request *take(struct request_table *table, uint64_t sequence)
{
    if (!table->bucket_count)
        return NULL;
    struct request **link = bucket_of(table, sequence);
    while (*link && (*link)->sequence != sequence)
        link = &(*link)->chained;
    struct request *request = *link;
    if (!request)
        return NULL;
    *link = request->chained;
    if (table->unsent == request)
        table->unsent = request->next;
    *(request->previous ? &request->previous->next : &table->first) = request->next;
    *(request->next ? &request->next->previous : &table->last) = request->previous;
    table->count--;
    return request;
}

static void finish(struct request *request, enum synk_status status, const struct synk_value *body,
                   const struct synk_error *error)
{
    if (request->reply)
        request->reply(request->context, status, body, error);
    buf_fini(&request->body);
    free(request);
}

void requests_flush(struct synk_client *client)
{
    struct request_table *table = &client->requests;
    /* What is written before the monitor tells of the connection would be written again then. */
    if (client->link.down_since_ms)
        return;
    while (table->unsent && link_send(&client->link, table->unsent->type, table->unsent->sequence,
                                      buf_bytes(&table->unsent->body)))
        table->unsent = table->unsent->next;
}

void requests_rewind(struct synk_client *client)
{
    client->requests.unsent = client->requests.first;
}

/* The error that an error message carries. */
static struct synk_error read_error(const struct synk_value *body)
{
    struct synk_error error;
    struct synk_bytes name = synk_value_bytes(synk_value_get(body, "status"));
    struct synk_bytes text = synk_value_bytes(synk_value_get(body, "text"));
    enum synk_status status = status_from_name(name.data ? name.data : "", name.size);
    /* "ok" is no failure: whoever says so in an error does not speak this protocol. */
    if (status == SYNK_OK)
        status = SYNK_PROTOCOL;
    status_fail(&error, status, "%.*s", (int)(text.size < 4096 ? text.size : 4096),
                text.data ? (const char *)text.data : "");
    return error;
}

void requests_answer(struct synk_client *client, struct msg_header header, struct synk_bytes body)
{
    if (header.type != MSG_REPLY && header.type != MSG_ERROR)
        return;
    struct request *request = take(&client->requests, header.sequence);
    if (!request)
        return; /* answered before, or nobody waits any more */
    struct synk_document *document = NULL;
    struct synk_error error;
    enum synk_status status = synk_document_decode(body, &document, &error);
    const struct synk_value *root = synk_document_root(document);
    if (status) {
        status_prefix(&error, "the supervisor's reply to '%s'", msg_type_name(request->type));
        finish(request, status, NULL, &error);
    } else if (header.type == MSG_ERROR) {
        error = read_error(root);
        finish(request, error.status, NULL, &error);
    } else {
        finish(request, SYNK_OK, root, NULL);
    }
    synk_document_free(document);
}

void requests_fail(struct synk_client *client, const struct synk_error *error)
{
    /* Callbacks may add requests: only those of now are failed. */
    uint64_t last = client->requests.next_sequence;
    while (client->requests.first && client->requests.first->sequence <= last)
        finish(take(&client->requests, client->requests.first->sequence), error->status, NULL,
               error);
}

void requests_forget(struct synk_client *client, uint64_t sequence)
{
    struct request *request = take(&client->requests, sequence);
    if (!request)
        return;
    buf_fini(&request->body);
    free(request);
}

static uint16_t type_of(const char *name)
{
    for (unsigned type = MSG_CONNECT; type < MSG_REPLY; type++)
        if (strcmp(msg_type_name(type), name) == 0)
            return (uint16_t)type;
    return 0;
}

/* Whatever does not only read: a key too many costs nothing, one that is missing a second run. */
static bool changes_something(uint16_t type)
{
    switch (type) {
    case MSG_CONNECT:
    case MSG_UPLOAD: /* idempotent by its offset */
    case MSG_WAIT:
    case MSG_SHOW:
    case MSG_LIST:
    case MSG_FETCH:
    case MSG_EXPLAIN:
    case MSG_PLAN:
    case MSG_LOGS:
    case MSG_STATS:
    case MSG_SNAPSHOT:
    case MSG_POOL_ORDER:
        return false;
    default:
        return true;
    }
}

static enum synk_status draw_key(char ret_key[33], struct synk_error *error)
{
    uint8_t random[16];
    ssize_t got;
    do
        got = getrandom(random, sizeof(random), 0);
    while (got < 0 && errno == EINTR);
    if (got != sizeof(random))
        return status_fail(error, SYNK_IO, "cannot draw a key: %s", strerror(errno));
    for (size_t i = 0; i < sizeof(random); i++) {
        ret_key[2 * i] = "0123456789abcdef"[random[i] >> 4];
        ret_key[2 * i + 1] = "0123456789abcdef"[random[i] & 15];
    }
    ret_key[32] = '\0';
    return SYNK_OK;
}

/* Bytes that the head of an encoded map takes. */
static size_t map_head_bytes(uint8_t first)
{
    return first == 0xde ? 3 : first == 0xdf ? 5 : 1;
}

/* Copies an encoded map into `out`, with a key where it needs one. */
static enum synk_status complete_body(struct synk_bytes body, bool needs_key, struct buf *out,
                                      struct synk_error *error)
{
    static const uint8_t empty_map = 0x80;
    if (!body.size)
        body = bytes_of(&empty_map, 1);
    struct synk_document *document;
    enum synk_status status = synk_document_decode(body, &document, error);
    if (status)
        return status;
    const struct synk_value *map = synk_document_root(document);
    size_t entries = synk_value_count(map);
    bool is_map = synk_value_kind(map) == SYNK_MAP;
    needs_key = needs_key && !synk_value_get(map, "key");
    synk_document_free(document);
    if (!is_map)
        return status_fail(error, SYNK_INVALID, "the body of a request must be a map");

    char key[33] = "";
    if (needs_key && (status = draw_key(key, error)))
        return status;
    size_t head = map_head_bytes(*(const uint8_t *)body.data);
    pack_map(out, entries + needs_key);
    buf_append(out, (const uint8_t *)body.data + head, body.size - head);
    if (needs_key) {
        pack_key(out, "key");
        pack_cstr(out, key);
    }
    return SYNK_OK;
}

enum synk_status synk_request(struct synk_client *client, const char *type, struct synk_bytes body,
                              synk_reply reply, void *context, struct synk_error *error)
{
    uint16_t number = type_of(type);
    if (!number)
        return status_fail(error, SYNK_UNSUPPORTED, "there is no request '%s'", type);
    struct buf complete = {0};
    enum synk_status status = complete_body(body, changes_something(number), &complete, error);
    if (!status && complete.size > LIMIT_FRAME_BYTES)
        status = status_fail(error, SYNK_TOO_LARGE, "a request '%s' of %zu bytes: %d are allowed",
                             type, complete.size, LIMIT_FRAME_BYTES);
    if (status) {
        buf_fini(&complete);
        return status;
    }
    client_lock(client);
    requests_add(client, number, &complete, reply, context);
    requests_flush(client);
    client_arm(client);
    client_unlock(client);
    return SYNK_OK;
}
