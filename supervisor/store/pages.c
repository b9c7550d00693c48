/*
 * Questions: which run is meant, the records of one run, and what the pages of the other files
 * share.
 */
#include "supervisor/store/pages.h"

#include <stdlib.h>

#include "proto/limits.h"
#include "proto/pack.h"
#include "supervisor/store/record_fields.h"

uint32_t page_rows(uint32_t asked)
{
    return asked == 0 || asked > LIMIT_PAGE_ROWS ? LIMIT_PAGE_ROWS : asked;
}

void page_pack_text(struct buf *body, const char *key, struct synk_bytes text)
{
    pack_key(body, key);
    if (text.size)
        pack_string(body, text);
    else
        pack_null(body);
}

void page_pack_time(struct buf *body, const char *key, int64_t time)
{
    pack_key(body, key);
    if (time)
        pack_int(body, time);
    else
        pack_null(body);
}

void page_split_unit(struct synk_bytes name, struct synk_bytes *ret_unit,
                     struct synk_bytes *ret_worker)
{
    const char *text = name.data;
    const char *slash = name.size ? memchr(text, '/', name.size) : NULL;
    size_t unit_size = slash ? (size_t)(slash - text) : name.size;
    *ret_unit = bytes_of(text, unit_size);
    *ret_worker = slash ? bytes_of(slash + 1, name.size - unit_size - 1) : bytes_of(NULL, 0);
}

struct synk_bytes page_run_label(const struct run_record *run, struct arena *arena)
{
    struct buf text = {0};
    buf_append(&text, run->unit.data, run->unit.size);
    if (run->worker.size) {
        buf_append(&text, "/", 1);
        buf_append(&text, run->worker.data, run->worker.size);
    }
    buf_printf(&text, "#%llu", (unsigned long long)run->number);
    struct synk_bytes label = arena_copy(arena, buf_bytes(&text));
    buf_fini(&text);
    return label;
}

static enum synk_status fail_unknown_run(const struct query *query, struct synk_error *error)
{
    if (query->run)
        return status_fail(error, SYNK_NOT_FOUND, "no run number %llu",
                           (unsigned long long)query->run);
    if (query->number)
        return status_fail(error, SYNK_NOT_FOUND, "no run '%.*s#%llu'", (int)query->unit.size,
                           (const char *)query->unit.data, (unsigned long long)query->number);
    return status_fail(error, SYNK_NOT_FOUND, "no run '%.*s#last'", (int)query->unit.size,
                       (const char *)query->unit.data);
}

enum synk_status page_find_run(const struct page_source *source, const struct query *query,
                               struct arena *arena, struct run_record *ret_run,
                               struct synk_error *error)
{
    struct record record = {.kind = RECORD_RUN};
    enum page_step step;
    if (query->run) {
        step = source->get_run(source->backend, query->run, &record, error);
    } else {
        struct synk_bytes unit, worker;
        page_split_unit(query->unit, &unit, &worker);
        step = source->find_run(source->backend, unit, worker, query->number, &record, error);
    }
    if (step == STEP_FAILED)
        return error->status;
    if (step == STEP_END)
        return fail_unknown_run(query, error);
    if (step == STEP_BAD)
        return status_fail(error, SYNK_CORRUPT, "store '%s': run %llu: %s",
                           source->name(source->backend), (unsigned long long)record.run.run,
                           record_problem(&record) ? record_problem(&record)
                                                   : "a number that does not fit its field");
    record_copy(&record, arena);
    *ret_run = record.run;
    return SYNK_OK;
}

struct record_list {
    struct record *records;
    size_t count, capacity;
};

static void add_record(struct record_list *list, const struct record *record, struct arena *arena)
{
    list->records =
        mem_grow(list->records, &list->capacity, list->count + 1, sizeof(*list->records));
    list->records[list->count] = *record;
    record_copy(&list->records[list->count++], arena);
}

/* Appends every row that decodes. The others are left to the next start, which moves them away. */
static enum synk_status
collect(const struct page_source *source,
        enum page_step (*next)(void *, struct record *, struct synk_error *), struct arena *arena,
        struct record_list *list, struct synk_error *error)
{
    struct record record;
    enum page_step step;
    while ((step = next(source->backend, &record, error)) == STEP_ROW || step == STEP_BAD)
        if (step == STEP_ROW)
            add_record(list, &record, arena);
    return step == STEP_FAILED ? error->status : SYNK_OK;
}

static enum synk_status collect_run(const struct page_source *source, const struct run_record *run,
                                    struct arena *arena, struct record_list *list,
                                    struct synk_error *error)
{
    struct record record;
    enum page_step step =
        source->get_definition(source->backend, run->unit, run->version, &record, error);
    if (step == STEP_FAILED)
        return error->status;
    if (step == STEP_ROW)
        add_record(list, &record, arena);
    enum synk_status status = source->open_workers(source->backend, run->unit, run->version, error);
    if (status == SYNK_OK)
        status = collect(source, source->next_worker, arena, list, error);
    if (status == SYNK_OK)
        status = source->open_tasks(source->backend, run->run, 0, UINT32_MAX, error);
    if (status == SYNK_OK)
        status = collect(source, source->next_task, arena, list, error);
    return status;
}

static enum synk_status load_run(const struct page_source *source, const struct query *query,
                                 struct arena *arena, struct store_answer *answer,
                                 struct synk_error *error)
{
    struct record first = {.kind = RECORD_RUN};
    enum synk_status status = page_find_run(source, query, arena, &first.run, error);
    if (status != SYNK_OK)
        return status;
    struct record_list list = {0};
    add_record(&list, &first, arena);
    status = collect_run(source, &first.run, arena, &list, error);
    if (status == SYNK_OK) {
        struct record *records = arena_alloc(arena, list.count * sizeof(*records));
        memcpy(records, list.records, list.count * sizeof(*records));
        answer->records = records;
        answer->record_count = list.count;
    }
    free(list.records);
    return status;
}

enum synk_status pages_query(const struct page_source *source, const struct query *query,
                             struct arena *arena, struct buf *body, struct store_answer *answer,
                             struct synk_error *error)
{
    enum synk_status status;
    switch (query->kind) {
    case QUERY_RUN:
        status = page_run(source, query, arena, body, error);
        break;
    case QUERY_RUNS:
        status = page_runs(source, query, body, error);
        break;
    case QUERY_EVENTS:
        status = page_events(source, query, arena, body, error);
        break;
    case QUERY_LOAD_RUN:
        status = load_run(source, query, arena, answer, error);
        break;
    default:
        return status_fail(error, SYNK_UNSUPPORTED, "a question of kind %d", query->kind);
    }
    source->end_rows(source->backend);
    return status;
}
