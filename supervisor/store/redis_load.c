/*
 * Hydration, and the visit of everything. Keys are listed first, then read some hundred at a time
 * in the order of enum record_kind. What does not decode is moved to the stream `quarantine` at the
 * end of a load, in a batch like any other.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/limits.h"
#include "supervisor/core/states.h"
#include "supervisor/store/redis_loading.h"

enum {
    /* Fields of a hash, or members of a set, that one reply lists. */
    SCAN_ROWS = 1000,
    LOAD_MS = 10000,
    EVENT_ROWS = 64,
};

static int compare_bytes(struct synk_bytes a, struct synk_bytes b)
{
    size_t least = a.size < b.size ? a.size : b.size;
    int order = least ? memcmp(a.data, b.data, least) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int by_name(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return compare_bytes(x->text, y->text);
}

static int by_version(const void *a, const void *b)
{
    struct synk_bytes x, y;
    uint32_t v = 0, w = 0;
    if (!redis_split_version(((const struct name *)a)->text, &x, &v) ||
        !redis_split_version(((const struct name *)b)->text, &y, &w))
        return by_name(a, b);
    int order = compare_bytes(x, y);
    return order ? order : (v > w) - (v < w);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void sort_names(struct name_list *list, int (*compare)(const void *, const void *))
{
    if (list->count)
        qsort(list->names, list->count, sizeof(*list->names), compare);
    size_t kept = 0;
    /* A scan may tell a name twice. */
    for (size_t i = 0; i < list->count; i++)
        if (i == 0 || compare(&list->names[kept - 1], &list->names[i]) != 0)
            list->names[kept++] = list->names[i];
    list->count = kept;
}

/* ---- hashes of packed records: hosts, keys; and meta ---- */

/* Reads a hash whole, some fields at a time, into loading->names. */
static enum synk_status scan(struct loading *loading, const char *command, const char *key,
                             bool has_values, struct synk_error *error)
{
    char cursor[24] = "0", count[12];
    snprintf(count, sizeof(count), "%d", SCAN_ROWS);
    loading->names.count = 0;
    do {
        redisReply *reply = NULL;
        enum synk_status status = redis_ask(loading->redis, "loading", &reply, error, command, key,
                                            cursor, "COUNT", count, NULL);
        if (status)
            return status;
        const redisReply *rows = reply->elements == 2 ? reply->element[1] : NULL;
        struct synk_bytes next = redis_element(reply, 0);
        snprintf(cursor, sizeof(cursor), "%.*s", next.size ? (int)next.size : 1,
                 next.size ? (const char *)next.data : "0");
        for (size_t i = 0; rows && i < rows->elements; i += has_values ? 2 : 1) {
            loading_add_name(loading, &loading->names, redis_element(rows, i));
            if (has_values)
                loading->names.names[loading->names.count - 1].packed =
                    arena_copy(&loading->arena, redis_element(rows, i + 1));
        }
        freeReplyObject(reply);
    } while (strcmp(cursor, "0") != 0);
    return SYNK_OK;
}

static redisReply reply_of(struct synk_bytes bytes)
{
    return (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)bytes.data, .len = bytes.size};
}

static enum synk_status load_hash(struct loading *loading, enum record_kind kind,
                                  struct synk_error *error)
{
    const struct record_shape *shape = &record_shapes[kind];
    enum synk_status status = scan(loading, "HSCAN", shape->name, true, error);
    struct name_list *names = &loading->names;
    loading->kind = kind;
    for (size_t i = 0; i < names->count && kind == RECORD_KEY; i++) {
        struct record record = {.kind = kind};
        names->names[i].order =
            record_unpack(names->names[i].packed, &record) ? 0 : record.key.expires_at;
    }
    sort_names(names, by_name);
    for (size_t i = 0; i < names->count && !status; i++) {
        struct record record = {.kind = kind};
        const struct name *name = &names->names[i];
        redisReply value = reply_of(name->packed);
        field_set_bytes(&shape->fields[0], &record, name->text);
        if (kind == RECORD_META) {
            record.meta.value = name->packed;
            status = loading_hand_on(loading, &record, error);
        } else {
            status = loading_take_packed(loading, shape->name, name->text, &value, &record, error);
        }
    }
    return status;
}

/* ---- units, definitions, workers ---- */

static void append_unit(void *context, size_t index)
{
    struct loading *loading = context;
    struct synk_bytes unit = loading->units.names[index].text;
    struct synk_bytes words[] = {bytes_str("HGETALL"),
                                 redis_key(loading->redis, &loading->key, "unit:%.*s",
                                           (int)unit.size, (const char *)unit.data)};
    redis_link_append(loading->redis->link, 2, words);
}

static void add_version(struct loading *loading, struct synk_bytes unit, uint32_t version)
{
    struct buf name = {0};
    buf_printf(&name, "%.*s@%u", (int)unit.size, (const char *)unit.data, version);
    loading_add_name(loading, &loading->versions, buf_bytes(&name));
    buf_fini(&name);
}

static enum synk_status take_unit(void *context, size_t index, const redisReply *reply,
                                  struct synk_error *error)
{
    struct loading *loading = context;
    struct record record = {.kind = RECORD_UNIT};
    record.unit.id = loading->units.names[index].text;
    const char *problem = redis_hash_record(reply, &record);
    if (problem) {
        char id[LIMIT_ID_BYTES * 2 + 1];
        snprintf(id, sizeof(id), "%.*s", (int)record.unit.id.size,
                 (const char *)record.unit.id.data);
        loading->kind = RECORD_UNIT;
        loading_note_bad(loading, id, bytes_of(NULL, 0), problem, reply, "NOUNIT");
        return SYNK_OK;
    }
    add_version(loading, record.unit.id, record.unit.version);
    return loading_hand_on(loading, &record, error);
}

static enum synk_status load_units(struct loading *loading, struct synk_error *error)
{
    enum synk_status status = scan(loading, "SSCAN", "units", false, error);
    struct name_list swap = loading->units;
    loading->units = loading->names;
    loading->names = swap;
    sort_names(&loading->units, by_name);
    if (!status)
        status = redis_each(loading->redis, loading->units.count, loading, append_unit, take_unit,
                            "loading units", error);
    return status;
}

static void append_run_version(void *context, size_t index)
{
    struct loading *loading = context;
    struct synk_bytes words[] = {
        bytes_str("HMGET"),
        redis_key(loading->redis, &loading->key, "run:%" PRIu64, loading->live.numbers[index]),
        bytes_str("unit"),
        bytes_str("version"),
    };
    redis_link_append(loading->redis->link, 4, words);
}

static enum synk_status take_run_version(void *context, size_t index, const redisReply *reply,
                                         struct synk_error *error)
{
    (void)index, (void)error;
    struct synk_bytes version = redis_element(reply, 1);
    if (version.size)
        add_version(context, redis_element(reply, 0), (uint32_t)redis_uint(version));
    return SYNK_OK;
}

static void append_definition(void *context, size_t index)
{
    struct loading *loading = context;
    struct synk_bytes words[] = {bytes_str("HGET"),
                                 redis_key(loading->redis, &loading->key, "definitions"),
                                 loading->versions.names[index].text};
    redis_link_append(loading->redis->link, 3, words);
}

static enum synk_status take_definition(void *context, size_t index, const redisReply *reply,
                                        struct synk_error *error)
{
    struct loading *loading = context;
    struct record record = {.kind = RECORD_DEFINITION};
    struct synk_bytes name = loading->versions.names[index].text;
    if (reply->type == REDIS_REPLY_NIL ||
        !redis_split_version(name, &record.definition.unit, &record.definition.version))
        return SYNK_OK;
    loading->kind = RECORD_DEFINITION;
    return loading_take_packed(loading, "definitions", name, reply, &record, error);
}

static enum synk_status load_versions(struct loading *loading, struct synk_error *error)
{
    enum synk_status status = SYNK_OK;
    if (loading->loads_all) {
        redisReply *reply = NULL;
        status = redis_ask(loading->redis, "loading", &reply, error, "HKEYS", "definitions", NULL);
        for (size_t i = 0; !status && i < reply->elements; i++)
            loading_add_name(loading, &loading->versions, redis_element(reply, i));
        if (!status)
            freeReplyObject(reply);
    } else {
        status = redis_each(loading->redis, loading->live.count, loading, append_run_version,
                            take_run_version, "loading", error);
    }
    sort_names(&loading->versions, by_version);
    if (!status)
        status = redis_each(loading->redis, loading->versions.count, loading, append_definition,
                            take_definition, "loading definitions", error);
    return status ? status : loading_rows(loading, RECORD_WORKER, loading->versions.count, error);
}

/* ---- runs, tasks, attempts ---- */

static enum synk_status list_runs(struct loading *loading, const char *set,
                                  struct number_list *list, struct synk_error *error)
{
    redisReply *reply = NULL;
    enum synk_status status =
        redis_ask(loading->redis, "loading", &reply, error, "ZRANGE", set, "0", "-1", NULL);
    if (status)
        return status;
    free(list->numbers);
    list->numbers = redis_numbers(reply, &list->count);
    list->capacity = list->count + 1;
    freeReplyObject(reply);
    return SYNK_OK;
}

/* The runs to be read: unfinished ones and the last finished ones, or all. */
static enum synk_status find_runs(struct loading *loading, struct synk_error *error)
{
    char end[24];
    size_t finished = 0;
    if (loading->loads_all)
        return list_runs(loading, "runs", &loading->runs, error);
    for (size_t i = 0; i < loading->live.count; i++)
        loading_add_number(&loading->runs, loading->live.numbers[i]);
    for (size_t from = 0; finished < LIMIT_FINISHED_RUNS;) {
        char start[24];
        redisReply *reply = NULL;
        snprintf(start, sizeof(start), "%zu", from);
        snprintf(end, sizeof(end), "%zu", from + SCAN_ROWS - 1);
        enum synk_status status = redis_ask(loading->redis, "loading", &reply, error, "ZREVRANGE",
                                            "runs", start, end, NULL);
        if (status)
            return status;
        size_t got = reply->elements;
        for (size_t i = 0; i < got && finished < LIMIT_FINISHED_RUNS; i++) {
            uint64_t run = redis_uint(redis_element(reply, i));
            if (loading->live.count &&
                bsearch(&run, loading->live.numbers, loading->live.count, sizeof(run), by_number))
                continue;
            loading_add_number(&loading->runs, run);
            finished++;
        }
        freeReplyObject(reply);
        if (got < SCAN_ROWS)
            break;
        from += got;
    }
    if (loading->runs.count)
        qsort(loading->runs.numbers, loading->runs.count, sizeof(uint64_t), by_number);
    return SYNK_OK;
}

static void append_run(void *context, size_t index)
{
    struct loading *loading = context;
    struct synk_bytes words[] = {
        bytes_str("HGETALL"),
        redis_key(loading->redis, &loading->key, "run:%" PRIu64, loading->runs.numbers[index])};
    redis_link_append(loading->redis->link, 2, words);
}

static enum synk_status take_run(void *context, size_t index, const redisReply *reply,
                                 struct synk_error *error)
{
    struct loading *loading = context;
    struct record record = {.kind = RECORD_RUN};
    record.run.run = loading->runs.numbers[index];
    const char *problem = redis_hash_record(reply, &record);
    if (problem) {
        char number[24];
        snprintf(number, sizeof(number), "%" PRIu64, record.run.run);
        loading->kind = RECORD_RUN;
        loading_note_bad(loading, number, bytes_of(NULL, 0), problem, reply, "BADRUN");
        return SYNK_OK;
    }
    if (loading->loads_all || !run_status_is_final(record.run.status))
        loading_add_number(&loading->owners, record.run.run);
    return loading_hand_on(loading, &record, error);
}

static enum synk_status load_runs(struct loading *loading, struct synk_error *error)
{
    enum synk_status status = find_runs(loading, error);
    if (!status)
        status = redis_each(loading->redis, loading->runs.count, loading, append_run, take_run,
                            "loading runs", error);
    if (!status)
        status = loading_rows(loading, RECORD_TASK, loading->owners.count, error);
    if (!status && loading->loads_all)
        status = loading_rows(loading, RECORD_ATTEMPT, loading->owners.count, error);
    return status;
}

static enum synk_status load_all(struct loading *loading, struct synk_error *error)
{
    enum synk_status status = redis_connect(loading->redis, redis_now_ms() + LOAD_MS, error);
    if (!status)
        status = list_runs(loading, "live", &loading->live, error);
    if (!status)
        status = load_hash(loading, RECORD_META, error);
    if (!status)
        status = load_units(loading, error);
    if (!status)
        status = load_versions(loading, error);
    if (!status)
        status = load_hash(loading, RECORD_HOST, error);
    if (!status)
        status = load_hash(loading, RECORD_KEY, error);
    return status ? status : load_runs(loading, error);
}

static void loading_fini(struct loading *loading)
{
    free(loading->units.names);
    free(loading->versions.names);
    free(loading->names.names);
    free(loading->live.numbers);
    free(loading->owners.numbers);
    free(loading->runs.numbers);
    free(loading->buckets.buckets);
    redis_batch_fini(&loading->moves);
    buf_fini(&loading->key);
    arena_fini(&loading->arena);
}

enum synk_status redis_load(void *backend, void (*each)(void *, const struct record *),
                            void *context, uint32_t *ret_epoch, uint64_t *ret_last_event,
                            uint64_t *ret_quarantined, struct synk_error *error)
{
    struct redis *redis = backend;
    struct loading loading = {.redis = redis, .each = each, .context = context};
    uint64_t first;
    enum synk_status status = redis_lead(redis, error);
    if (!status)
        status = load_all(&loading, error);
    if (!status)
        status = redis_event_bounds(redis, &first, ret_last_event, error);
    if (!status && loading.bad)
        status = redis_apply(redis, &loading.moves, error);
    if (!status) {
        *ret_epoch = redis->epoch;
        *ret_quarantined = loading.bad;
    }
    loading_fini(&loading);
    return status;
}

/* ---- the visit of everything ---- */

static enum synk_status visit_events(struct redis *redis, const struct store_visitor *visitor,
                                     struct synk_error *error)
{
    char start[40] = "-", count[12];
    snprintf(count, sizeof(count), "%d", EVENT_ROWS);
    for (size_t got = EVENT_ROWS; got == EVENT_ROWS;) {
        redisReply *reply = NULL;
        enum synk_status status = redis_ask(redis, "reading events", &reply, error, "XRANGE",
                                            "events", start, "+", "COUNT", count, NULL);
        if (status)
            return status;
        got = reply->elements;
        for (size_t i = 0; i < got && !status; i++) {
            const redisReply *fields = reply->element[i]->element[1];
            uint64_t first = redis_uint(redis_element(fields, 1));
            status = visitor->events(
                visitor->context, first, (uint32_t)redis_uint(redis_element(fields, 3)),
                (int64_t)redis_uint(redis_element(fields, 5)), redis_element(fields, 7), error);
            struct synk_bytes id = redis_element(reply->element[i], 0);
            snprintf(start, sizeof(start), "(%.*s", (int)id.size, (const char *)id.data);
        }
        freeReplyObject(reply);
        if (status)
            return status;
    }
    return SYNK_OK;
}

enum synk_status redis_dump(void *backend, const struct store_visitor *visitor, uint64_t *ret_bad,
                            struct synk_error *error)
{
    struct loading loading = {.redis = backend, .loads_all = true, .visitor = visitor};
    enum synk_status status = load_all(&loading, error);
    if (!status)
        status = visit_events(loading.redis, visitor, error);
    *ret_bad = loading.bad;
    loading_fini(&loading);
    return status;
}
