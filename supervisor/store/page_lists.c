/*
 * Pages of runs and of events.
 */
#include "supervisor/store/pages.h"

#include "proto/limits.h"
#include "proto/pack.h"
#include "supervisor/core/states.h"
#include "supervisor/store/packed.h"

enum {
    /* Batches looked at for one page of events, and bytes of them: some 10 ms. */
    SCAN_BATCHES = 64,
    SCAN_BYTES = 8 << 20,
};

/* Runs and `progress` both fall by number: the search goes on where it was.
 * NULL = not in memory. */
static const struct run_progress *find_progress(const struct query *query, size_t *io_at,
                                                uint64_t run)
{
    while (*io_at < query->progress_count && query->progress[*io_at].run > run)
        ++*io_at;
    bool is_found = *io_at < query->progress_count && query->progress[*io_at].run == run;
    return is_found ? &query->progress[*io_at] : NULL;
}

static void pack_run_item(struct buf *body, const struct run_record *run,
                          const struct run_progress *progress, struct arena *arena)
{
    pack_map(body, 12);
    page_pack_text(body, "run", page_run_label(run, arena));
    pack_key(body, "id");
    pack_uint(body, run->run);
    page_pack_text(body, "unit", run->unit);
    pack_key(body, "status");
    pack_cstr(body, run_status_name(run->status));
    page_pack_text(body, "by", run->by);
    page_pack_text(body, "error", run->error);
    page_pack_time(body, "createdAt", run->created_at);
    page_pack_time(body, "startedAt", run->started_at);
    page_pack_time(body, "endedAt", run->ended_at);
    pack_key(body, "taskCount");
    pack_uint(body, run->task_count);
    pack_key(body, "done");
    progress ? pack_uint(body, progress->done) : pack_null(body);
    pack_key(body, "failed");
    progress ? pack_uint(body, progress->failed) : pack_null(body);
}

static bool run_is_wanted(const struct query *query, struct synk_bytes worker,
                          const struct run_record *run)
{
    return (query->status < 0 || run->status == query->status) && run->created_at >= query->since &&
           (worker.size == 0 || bytes_equal(run->worker, worker));
}

enum synk_status page_runs(const struct page_source *source, const struct query *query,
                           struct buf *body, struct synk_error *error)
{
    struct synk_bytes unit, worker;
    page_split_unit(query->unit, &unit, &worker);
    enum synk_status status = source->open_runs(source->backend, query->cursor, unit, error);
    if (status != SYNK_OK)
        return status;
    struct arena arena = {0};
    struct buf items = {0};
    struct record record;
    uint32_t count = 0, limit = page_rows(query->limit);
    uint64_t last = 0;
    size_t progress_at = 0;
    enum page_step step = source->next_run(source->backend, &record, error);
    for (uint32_t scanned = 0; (step == STEP_ROW || step == STEP_BAD) && count < limit &&
                               scanned < LIMIT_SCAN_RUNS && items.size < LIMIT_BATCH_BYTES;
         scanned++, step = source->next_run(source->backend, &record, error)) {
        last = record.run.run;
        if (step == STEP_BAD || !run_is_wanted(query, worker, &record.run))
            continue;
        pack_run_item(&items, &record.run, find_progress(query, &progress_at, last), &arena);
        count++;
    }
    if (step == STEP_FAILED) {
        status = error->status;
    } else {
        pack_map(body, 2);
        pack_key(body, "items");
        pack_array(body, count);
        buf_append(body, items.data, items.size);
        pack_key(body, "cursor");
        if (step != STEP_END)
            pack_uint(body, last);
        else
            pack_null(body);
    }
    buf_fini(&items);
    arena_fini(&arena);
    return status;
}

/* The page of events under construction. */
struct event_page {
    const struct query *query;
    struct synk_bytes run; /* "UNIT#N", or empty */
    bool filters;
    uint32_t count, limit;
    uint64_t next; /* the last number that was looked at */
    struct buf items;
};

static bool has_word(struct synk_bytes words, struct synk_bytes word)
{
    const char *at = words.data, *end = at + words.size;
    while (at < end) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        const char *stop = space ? space : end;
        if (bytes_equal(bytes_of(at, (size_t)(stop - at)), word))
            return true;
        at = stop + 1;
    }
    return false;
}

static bool event_is_wanted(const struct event_page *page, struct synk_bytes event)
{
    const struct query *query = page->query;
    if (!page->filters)
        return true;
    if (query->types.size && !has_word(query->types, packed_text(event, "type")))
        return false;
    if (page->run.size)
        return bytes_equal(packed_text(event, "run"), page->run);
    return query->unit.size == 0 || bytes_equal(packed_text(event, "unit"), query->unit);
}

static bool is_full(const struct event_page *page)
{
    return page->count >= page->limit || page->items.size >= LIMIT_BATCH_BYTES;
}

/* Takes the wanted events of one batch. A batch whose bytes are damaged is passed over. */
static void take_batch(struct event_page *page, uint64_t first, uint64_t last,
                       struct synk_bytes items)
{
    const uint8_t *at = items.data, *end = at + items.size;
    for (uint64_t number = first; number <= last; number++) {
        const uint8_t *stop = packed_skip(at, end);
        if (!stop)
            break;
        struct synk_bytes event = bytes_of(at, (size_t)(stop - at));
        at = stop;
        if (number <= page->query->from_event)
            continue;
        if (is_full(page))
            return;
        page->next = number;
        if (event_is_wanted(page, event)) {
            buf_append(&page->items, event.data, event.size);
            page->count++;
        }
    }
    page->next = last;
}

static enum synk_status take_batches(const struct page_source *source, struct event_page *page,
                                     struct synk_error *error)
{
    size_t scanned = 0;
    struct event_row row;
    enum page_step step = STEP_ROW;
    enum synk_status status = source->open_events(source->backend, page->query->from_event, error);
    if (status != SYNK_OK)
        return status;
    for (int i = 0; i < SCAN_BATCHES && scanned < SCAN_BYTES && !is_full(page); i++) {
        step = source->next_events(source->backend, &row, error);
        if (step == STEP_END || step == STEP_FAILED)
            break;
        if (step == STEP_BAD)
            continue;
        scanned += row.items.size;
        take_batch(page, row.first, row.last, row.items);
    }
    return step == STEP_FAILED ? error->status : SYNK_OK;
}

enum synk_status page_events(const struct page_source *source, const struct query *query,
                             struct arena *arena, struct buf *body, struct synk_error *error)
{
    uint64_t first = 0, head = 0;
    enum synk_status status = source->event_bounds(source->backend, &first, &head, error);
    if (status != SYNK_OK)
        return status;
    struct event_page page = {
        .query = query, .limit = page_rows(query->limit), .next = query->from_event};
    if (query->number) {
        struct run_record run = {.number = query->number};
        page_split_unit(query->unit, &run.unit, &run.worker);
        page.run = page_run_label(&run, arena);
    }
    page.filters = query->types.size || query->unit.size;
    status = take_batches(source, &page, error);
    if (status == SYNK_OK) {
        /* Where everything above `from` was trimmed, a reader goes on at the head. */
        bool is_behind = page.next == query->from_event && first == head + 1 && page.next < head;
        pack_map(body, 4);
        pack_key(body, "events");
        pack_array(body, page.count);
        buf_append(body, page.items.data, page.items.size);
        pack_key(body, "next");
        pack_uint(body, is_behind ? head : page.next);
        pack_key(body, "head");
        pack_uint(body, head);
        pack_key(body, "first");
        pack_uint(body, first);
    }
    buf_fini(&page.items);
    return status;
}
