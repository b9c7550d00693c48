/*
 * Pages of runs and of events. Each question looks at a bounded number of rows, whatever it filters
 * for, because commits wait meanwhile: an answer may be short, or empty, and still say where to go
 * on.
 */
#include "supervisor/store/sqlite.h"

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
    sqlite_pack_text(body, "run", sqlite_run_label(run, arena));
    pack_key(body, "id");
    pack_uint(body, run->run);
    sqlite_pack_text(body, "unit", run->unit);
    pack_key(body, "status");
    pack_cstr(body, run_status_name(run->status));
    sqlite_pack_text(body, "by", run->by);
    sqlite_pack_text(body, "error", run->error);
    sqlite_pack_time(body, "createdAt", run->created_at);
    sqlite_pack_time(body, "startedAt", run->started_at);
    sqlite_pack_time(body, "endedAt", run->ended_at);
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

static sqlite3_stmt *list_statement(struct sqlite *sqlite, const struct query *query,
                                    struct synk_bytes unit)
{
    sqlite3_stmt *statement =
        sqlite_statement(sqlite, unit.size ? STATEMENT_LIST_UNIT_RUNS : STATEMENT_LIST_RUNS);
    if (!statement)
        return NULL;
    bool has_cursor = query->cursor && query->cursor <= INT64_MAX;
    sqlite3_bind_int64(statement, 1, has_cursor ? (int64_t)query->cursor : INT64_MAX);
    if (unit.size)
        sqlite_bind_text(statement, 2, unit);
    return statement;
}

enum synk_status sqlite_query_runs(struct sqlite *sqlite, const struct query *query,
                                   struct buf *body, struct synk_error *error)
{
    struct synk_bytes unit, worker;
    sqlite_split_unit(query->unit, &unit, &worker);
    sqlite3_stmt *statement = list_statement(sqlite, query, unit);
    struct arena arena = {0};
    struct buf items = {0};
    struct record record;
    uint32_t count = 0, limit = sqlite_page_rows(query->limit);
    uint64_t last = 0;
    size_t progress_at = 0;
    int code = statement ? sqlite3_step(statement) : SQLITE_ERROR;
    for (uint32_t scanned = 0; code == SQLITE_ROW && count < limit && scanned < LIMIT_SCAN_RUNS &&
                               items.size < LIMIT_BATCH_BYTES;
         scanned++, code = sqlite3_step(statement)) {
        last = (uint64_t)sqlite3_column_int64(statement, 0);
        if (sqlite_row(RECORD_RUN, statement, &record) ||
            !run_is_wanted(query, worker, &record.run))
            continue;
        pack_run_item(&items, &record.run, find_progress(query, &progress_at, last), &arena);
        count++;
    }
    enum synk_status status = SYNK_OK;
    if (code == SQLITE_ROW || code == SQLITE_DONE) {
        pack_map(body, 2);
        pack_key(body, "items");
        pack_array(body, count);
        buf_append(body, items.data, items.size);
        pack_key(body, "cursor");
        if (code == SQLITE_ROW)
            pack_uint(body, last);
        else
            pack_null(body);
    } else {
        status = sqlite_fail(sqlite, "listing runs", error);
    }
    sqlite3_reset(statement);
    buf_fini(&items);
    arena_fini(&arena);
    return status;
}

enum synk_status sqlite_event_bounds(struct sqlite *sqlite, uint64_t *ret_first, uint64_t *ret_last,
                                     struct synk_error *error)
{
    sqlite3_stmt *statement = sqlite_statement(sqlite, STATEMENT_EVENT_BOUNDS);
    if (!statement || sqlite3_step(statement) != SQLITE_ROW)
        return sqlite_fail(sqlite, "reading events", error);
    uint64_t last = (uint64_t)sqlite3_column_int64(statement, 1);
    uint64_t remembered = (uint64_t)sqlite3_column_int64(statement, 2);
    *ret_last = last > remembered ? last : remembered;
    *ret_first = sqlite3_column_type(statement, 0) == SQLITE_NULL
                     ? *ret_last + 1
                     : (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return SYNK_OK;
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

static enum synk_status take_batches(struct sqlite *sqlite, struct event_page *page,
                                     struct synk_error *error)
{
    sqlite3_stmt *statement = sqlite_statement(sqlite, STATEMENT_GET_EVENTS);
    int code = SQLITE_ERROR;
    size_t scanned = 0;
    uint64_t from = page->query->from_event;
    if (statement)
        sqlite3_bind_int64(statement, 1, from > INT64_MAX ? INT64_MAX : (int64_t)from);
    for (int i = 0; statement && i < SCAN_BATCHES && scanned < SCAN_BYTES && !is_full(page); i++) {
        code = sqlite3_step(statement);
        if (code != SQLITE_ROW)
            break;
        struct synk_bytes items =
            bytes_of(sqlite3_column_blob(statement, 2), (size_t)sqlite3_column_bytes(statement, 2));
        scanned += items.size;
        take_batch(page, (uint64_t)sqlite3_column_int64(statement, 1),
                   (uint64_t)sqlite3_column_int64(statement, 0), items);
    }
    enum synk_status status = SYNK_OK;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        status = sqlite_fail(sqlite, "reading events", error);
    sqlite3_reset(statement);
    return status;
}

enum synk_status sqlite_query_events(struct sqlite *sqlite, const struct query *query,
                                     struct arena *arena, struct buf *body,
                                     struct synk_error *error)
{
    uint64_t first = 0, head = 0;
    enum synk_status status = sqlite_event_bounds(sqlite, &first, &head, error);
    if (status != SYNK_OK)
        return status;
    struct event_page page = {
        .query = query, .limit = sqlite_page_rows(query->limit), .next = query->from_event};
    if (query->number) {
        struct run_record run = {.number = query->number};
        sqlite_split_unit(query->unit, &run.unit, &run.worker);
        page.run = sqlite_run_label(&run, arena);
    }
    page.filters = query->types.size || query->unit.size;
    status = take_batches(sqlite, &page, error);
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
