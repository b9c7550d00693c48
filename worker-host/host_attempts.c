/*
 * The attempts a host knows: a table by id, and the lists they move through. Invariants: an attempt
 * is in the table from its dispatch until it left host.done; it is in exactly one list, that of its
 * state; it holds a reference on its delivery while QUEUED or GIVEN.
 */
#include "worker-host/host_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/limits.h"

enum {
    TABLE_MIN = 1024,
    /* Finished attempts still known by id: some seconds' worth at full speed. */
    DONE_MAX = 8192,
    /* Items of one SYNC, STARTED, REJECT or PROGRESS message: about 40 bytes each, reasons aside.
     * */
    NOTICES_MAX = 10000,
};

void attempt_list_append(struct attempt_list *list, struct host_attempt *attempt)
{
    attempt->previous = list->last;
    attempt->next = NULL;
    if (list->last)
        list->last->next = attempt;
    else
        list->first = attempt;
    list->last = attempt;
    list->count++;
}

void attempt_list_prepend(struct attempt_list *list, struct host_attempt *attempt)
{
    attempt->previous = NULL;
    attempt->next = list->first;
    if (list->first)
        list->first->previous = attempt;
    else
        list->last = attempt;
    list->first = attempt;
    list->count++;
}

void attempt_list_remove(struct attempt_list *list, struct host_attempt *attempt)
{
    if (attempt->previous)
        attempt->previous->next = attempt->next;
    else
        list->first = attempt->next;
    if (attempt->next)
        attempt->next->previous = attempt->previous;
    else
        list->last = attempt->previous;
    attempt->previous = attempt->next = NULL;
    list->count--;
}

static size_t hash_id(struct attempt_id id)
{
    uint64_t hash = (id.run * 0x9e3779b97f4a7c15u) ^ ((uint64_t)id.task << 32 | id.attempt);
    hash = (hash ^ id.epoch) * 0xd6e8feb86659fd93u;
    return (size_t)(hash ^ hash >> 32);
}

struct host_attempt *attempt_find(const struct host *host, struct attempt_id id)
{
    if (!host->table_size)
        return NULL;
    struct host_attempt *attempt = host->table[hash_id(id) & (host->table_size - 1)];
    while (attempt && !attempt_id_equal(attempt->id, id))
        attempt = attempt->same_hash;
    return attempt;
}

static void grow_table(struct host *host)
{
    size_t size = host->table_size ? host->table_size * 2 : TABLE_MIN;
    struct host_attempt **table = mem_zalloc(size, sizeof(struct host_attempt *));
    for (size_t i = 0; i < host->table_size; i++) {
        for (struct host_attempt *attempt = host->table[i], *next; attempt; attempt = next) {
            next = attempt->same_hash;
            struct host_attempt **place = &table[hash_id(attempt->id) & (size - 1)];
            attempt->same_hash = *place;
            *place = attempt;
        }
    }
    free(host->table);
    host->table = table;
    host->table_size = size;
}

struct host_attempt *attempt_add(struct host *host, struct attempt_id id)
{
    if (host->table_count >= host->table_size)
        grow_table(host);
    struct host_attempt *attempt = host->free_attempts;
    if (attempt)
        host->free_attempts = attempt->next;
    else
        attempt = mem_alloc(sizeof(*attempt));
    *attempt = (struct host_attempt){.id = id};
    struct host_attempt **place = &host->table[hash_id(id) & (host->table_size - 1)];
    attempt->same_hash = *place;
    *place = attempt;
    host->table_count++;
    return attempt;
}

void delivery_unref(struct delivery *delivery)
{
    if (!delivery || --delivery->references)
        return;
    arena_fini(&delivery->arena);
    free(delivery);
}

void attempt_release(struct host *host, struct host_attempt *attempt)
{
    (void)host;
    delivery_unref(attempt->delivery);
    attempt->delivery = NULL;
    attempt->spec = NULL;
    attempt->task = NULL;
}

void attempt_drop(struct host *host, struct host_attempt *attempt)
{
    attempt_release(host, attempt);
    struct host_attempt **place = &host->table[hash_id(attempt->id) & (host->table_size - 1)];
    while (*place != attempt)
        place = &(*place)->same_hash;
    *place = attempt->same_hash;
    host->table_count--;
    attempt->next = host->free_attempts;
    host->free_attempts = attempt;
}

void attempt_report(struct host *host, struct host_attempt *attempt, struct msg_report *report,
                    int64_t now_ms)
{
    report->id = attempt->id;
    size_t old_size = host->outbox.bytes.size;
    msg_report_encode(report, &host->outbox.bytes);
    attempt->report = outbox_commit(&host->outbox, old_size, now_ms);
    if (report->kind == REPORT_MILESTONE)
        return;
    attempt_release(host, attempt);
    attempt->state = ATTEMPT_REPORTED;
    attempt_list_append(&host->reported, attempt);
    host->results++;
}

void attempts_acknowledged(struct host *host, uint64_t upto)
{
    while (host->reported.first && host->reported.first->report <= upto) {
        struct host_attempt *attempt = host->reported.first;
        attempt_list_remove(&host->reported, attempt);
        attempt->state = ATTEMPT_DONE;
        attempt_list_append(&host->done, attempt);
    }
    while (host->done.count > DONE_MAX) {
        struct host_attempt *attempt = host->done.first;
        attempt_list_remove(&host->done, attempt);
        attempt_drop(host, attempt);
    }
}

void notice_add(struct host *host, const struct msg_attempt *notice)
{
    host->notices = mem_grow(host->notices, &host->notice_capacity, host->notice_count + 1,
                             sizeof(*host->notices));
    host->notices[host->notice_count++] = *notice;
}

void notices_send(struct host *host, enum msg_type type, struct host_effects *effects)
{
    size_t at = 0;
    if (!host->notice_count && type != MSG_SYNC)
        return;
    do {
        size_t count = host->notice_count - at;
        if (count > NOTICES_MAX)
            count = NOTICES_MAX;
        size_t offset = effects->bytes.size;
        msg_attempts_encode(host->notices + at, count, at + count == host->notice_count,
                            &effects->bytes);
        effect_send(host, effects, type, 0, offset);
        at += count;
    } while (at < host->notice_count);
    host->notice_count = 0;
}
