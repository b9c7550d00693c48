/*
 * A chained hash and a list by last use. Invariant: bytes is the sum of the entries' costs and
 * within the limit, except that the newest entry is always kept.
 */
#include "supervisor/shell/results.h"

#include <stdlib.h>

#include "supervisor/core/states.h"

struct result_entry {
    struct result_entry *next_in_bucket, *newer, *older;
    struct value_ref ref;
    struct blob *value;
};

void results_init(struct results *results, size_t limit_bytes)
{
    *results = (struct results){.bucket_count = 1024, .limit_bytes = limit_bytes};
    results->buckets = mem_zalloc(results->bucket_count, sizeof(*results->buckets));
}

static size_t cost_of(const struct result_entry *entry)
{
    return sizeof(*entry) + sizeof(struct blob) + (entry->value ? entry->value->size : 0);
}

static struct result_entry **bucket_of(struct results *results, struct value_ref ref)
{
    uint64_t hash =
        (ref.run * UINT64_C(0x9e3779b97f4a7c15) + ref.task) * UINT64_C(0xbf58476d1ce4e5b9);
    return &results->buckets[(hash >> 32) & (results->bucket_count - 1)];
}

static void unlink_use(struct results *results, struct result_entry *entry)
{
    *(entry->newer ? &entry->newer->older : &results->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &results->oldest) = entry->newer;
}

static void link_newest(struct results *results, struct result_entry *entry)
{
    entry->newer = NULL;
    entry->older = results->newest;
    *(results->newest ? &results->newest->newer : &results->oldest) = entry;
    results->newest = entry;
}

static struct result_entry *find(struct results *results, struct value_ref ref)
{
    struct result_entry *entry = *bucket_of(results, ref);
    while (entry && (entry->ref.run != ref.run || entry->ref.task != ref.task))
        entry = entry->next_in_bucket;
    return entry;
}

static void drop(struct results *results, struct result_entry *entry)
{
    struct result_entry **link = bucket_of(results, entry->ref);
    while (*link != entry)
        link = &(*link)->next_in_bucket;
    *link = entry->next_in_bucket;
    unlink_use(results, entry);
    results->count--;
    results->bytes -= cost_of(entry);
    blob_unref(entry->value);
    free(entry);
}

void results_fini(struct results *results)
{
    while (results->oldest)
        drop(results, results->oldest);
    free(results->buckets);
    results->buckets = NULL;
}

static void grow(struct results *results)
{
    struct result_entry *entry = results->oldest;
    free(results->buckets);
    results->bucket_count *= 2;
    results->buckets = mem_zalloc(results->bucket_count, sizeof(*results->buckets));
    for (; entry; entry = entry->newer) {
        struct result_entry **bucket = bucket_of(results, entry->ref);
        entry->next_in_bucket = *bucket;
        *bucket = entry;
    }
}

void results_put(struct results *results, struct value_ref ref, struct synk_bytes value)
{
    struct result_entry *old = find(results, ref);
    if (old)
        drop(results, old);
    if (results->count >= results->bucket_count)
        grow(results);
    struct result_entry *entry = mem_alloc(sizeof(*entry));
    struct result_entry **bucket = bucket_of(results, ref);
    *entry = (struct result_entry){.ref = ref, .next_in_bucket = *bucket};
    entry->value = blob_new(value);
    *bucket = entry;
    link_newest(results, entry);
    results->count++;
    results->bytes += cost_of(entry);
    while (results->bytes > results->limit_bytes && results->oldest != entry)
        drop(results, results->oldest);
}

bool results_get(struct results *results, struct value_ref ref, struct blob **ret_value)
{
    struct result_entry *entry = find(results, ref);
    if (!entry)
        return false;
    unlink_use(results, entry);
    link_newest(results, entry);
    *ret_value = blob_ref(entry->value);
    return true;
}

void results_learn(struct results *results, const struct batch *batch)
{
    for (size_t i = 0; i < batch->record_count; i++) {
        const struct record *record = &batch->records[i];
        if (record->kind != RECORD_TASK || !record->task.has_readers || record->remove ||
            !task_state_is_final((enum task_state)record->task.state))
            continue;
        struct value_ref ref = {record->task.run, record->task.task};
        results_put(results, ref, record->task.result);
    }
}
