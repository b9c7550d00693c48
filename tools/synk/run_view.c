/* Showing runs. Pages are printed as they come, so that a run of a million tasks needs the memory
 * of one page. */
#include "tools/synk/run_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/json.h"
#include "tools/synk/output.h"
#include "tools/synk/timeline.h"

enum {
    PAGE_TASKS = 500,
    TAIL_BYTES = 2048,
    TAIL_TASKS = 10,
    NAME_COLUMNS_MIN = 8,
    NAME_COLUMNS_MAX = 28,
    BAR_COLUMNS_MIN = 8,
    RESULT_COLUMNS = 500, /* of a result where there is no terminal: --json has all of it */
};

int run_view_fetch(struct synk_client *client, const char *run, bool with_attempts, int64_t from,
                   int64_t limit, struct synk_document **ret_page)
{
    struct buf body = {0};
    pack_map(&body, 4);
    pack_key(&body, "id");
    pack_cstr(&body, run);
    pack_key(&body, "attempts");
    pack_bool(&body, with_attempts);
    pack_key(&body, "from");
    pack_int(&body, from);
    pack_key(&body, "limit");
    pack_int(&body, limit ? limit : PAGE_TASKS);
    return cli_call(client, "show", &body, ret_page);
}

/* Calls `print` for the page at hand and all that follow. */
static int each_page(struct synk_client *client, const struct synk_value *page, bool with_attempts,
                     void (*print)(void *context, const struct synk_value *page), void *context)
{
    char *run = synk_value_string_dup(synk_value_get(page, "run"));
    struct synk_document *document = NULL;
    int code = EXIT_DONE;
    while (page) {
        print(context, page);
        int64_t next = synk_value_int(synk_value_get(page, "next"), -1);
        synk_document_free(document);
        document = NULL;
        page = NULL;
        if (next >= 0 && run &&
            !(code = run_view_fetch(client, run, with_attempts, next, 0, &document)))
            page = synk_document_root(document);
    }
    free(run);
    return code;
}

/* JSON ------------------------------------------------------------------------------------------
 */

struct json_view {
    bool is_begun;
    size_t tasks;
};

static void print_field(struct synk_bytes key, const struct synk_value *value, bool is_first)
{
    struct buf text = {0};
    if (!is_first)
        buf_append(&text, ",\n  ", 4);
    json_print_string(key, &text);
    buf_append(&text, ": ", 2);
    json_print(value, 0, &text);
    fwrite(text.data, 1, text.size, stdout);
    buf_fini(&text);
}

static void print_json_page(void *context, const struct synk_value *page)
{
    struct json_view *view = context;
    if (!view->is_begun) {
        fputs("{", stdout);
        bool is_first = true;
        for (size_t i = 0; i < synk_value_count(page); i++) {
            struct synk_bytes key = synk_value_key_at(page, i);
            if (text_is(key, "tasks") || text_is(key, "from") || text_is(key, "next"))
                continue;
            print_field(key, synk_value_at(page, i), is_first);
            is_first = false;
        }
        fputs(is_first ? "\"tasks\": [" : ",\n  \"tasks\": [", stdout);
        view->is_begun = true;
    }
    const struct synk_value *tasks = synk_value_get(page, "tasks");
    for (size_t i = 0; i < synk_value_count(tasks); i++) {
        struct buf text = {0};
        json_print(synk_value_at(tasks, i), 0, &text);
        fputs(view->tasks++ ? ",\n    " : "\n    ", stdout);
        fwrite(text.data, 1, text.size, stdout);
        buf_fini(&text);
    }
}

/* For eyes --------------------------------------------------------------------------------------
 */

struct text_view {
    bool is_begun, with_attempts;
    size_t name_columns;
    /* The run's time: columns is 0 where there is one task alone, which has all of it, or no room.
     */
    struct timeline timeline;
};

static void print_head(const struct synk_value *run)
{
    char duration[32], started[32];
    struct synk_bytes status = text_of(run, "status");
    fputs(style_on(STYLE_BOLD), stdout);
    print_text(text_of(run, "run"), 0);
    printf("%s  %s%s %.*s%s", style_off(), style_on(style_of(status)), mark_of(status),
           (int)status.size, (const char *)status.data, style_off());
    int64_t duration_ms = synk_value_int(synk_value_get(run, "durationMs"), -1);
    if (duration_ms >= 0)
        printf("  %s", duration_text(duration_ms, duration));
    int64_t started_at = synk_value_int(synk_value_get(run, "startedAt"), 0);
    if (started_at > 0)
        printf("  started %s", time_text(started_at, started));
    struct synk_bytes by = text_of(run, "by");
    if (by.size) {
        fputs("  by ", stdout);
        print_text(by, output_cut(24));
    }
    putchar('\n');
    if (text_of(run, "error").size)
        print_block(text_of(run, "error"), 2, output_cut((size_t)output_width()));
}

static size_t name_columns_of(const struct synk_value *tasks)
{
    size_t columns = NAME_COLUMNS_MIN;
    for (size_t i = 0; i < synk_value_count(tasks); i++) {
        size_t size = text_of(synk_value_at(tasks, i), "worker").size;
        columns = size > columns ? size : columns;
    }
    return columns < NAME_COLUMNS_MAX ? columns : NAME_COLUMNS_MAX;
}

/* No result, or that of a command that wrote nothing. */
static bool is_silent(const struct synk_value *result)
{
    const struct synk_value *out = synk_value_get(result, "stdout");
    return synk_value_kind(result) == SYNK_NULL ||
           (out && synk_value_get(result, "exit") && synk_value_bytes(out).size == 0);
}

/* A command's output rather than the map around it. */
static void print_result(const struct synk_value *result, size_t columns)
{
    if (is_silent(result))
        return;
    const struct synk_value *out = synk_value_get(result, "stdout");
    if (out && synk_value_get(result, "exit")) {
        struct synk_bytes text = synk_value_bytes(out);
        while (text.size && ((const char *)text.data)[text.size - 1] == '\n')
            text.size--;
        print_text(text, columns);
        return;
    }
    char *json = synk_value_json_dup(result);
    print_text(bytes_str(json), columns);
    free(json);
}

static void print_attempts(const struct synk_value *list)
{
    for (size_t i = 0; i < synk_value_count(list); i++) {
        const struct synk_value *attempt = synk_value_at(list, i);
        char duration[32];
        int64_t started_at = synk_value_int(synk_value_get(attempt, "startedAt"), 0);
        int64_t ended_at = synk_value_int(synk_value_get(attempt, "endedAt"), 0);
        int64_t number = synk_value_int(synk_value_get(attempt, "attempt"), 0);
        int64_t status = synk_value_int(synk_value_get(attempt, "exit"), -1);
        int64_t number_of_signal = synk_value_int(synk_value_get(attempt, "signal"), 0);
        int64_t rss_kib = synk_value_int(synk_value_get(attempt, "maxRssKib"), -1);
        printf("    %lld. ", (long long)number);
        print_text(text_of(attempt, "outcome"), 0);
        if (started_at > 0 && ended_at > 0)
            printf("  %s", duration_text(ended_at - started_at, duration));
        if (text_of(attempt, "host").size) {
            fputs("  on ", stdout);
            print_text(text_of(attempt, "host"), output_cut(20));
        }
        if (status >= 0)
            printf("  exit %lld", (long long)status);
        if (number_of_signal > 0)
            printf("  signal %lld", (long long)number_of_signal);
        if (rss_kib >= 0)
            printf("  %.1f MiB", (double)rss_kib / 1024);
        putchar('\n');
        if (text_of(attempt, "error").size)
            print_block(text_of(attempt, "error"), 7, output_cut((size_t)output_width()));
    }
}

/* Whether the last attempt's error is this one: then it is told there. */
static bool is_last_error(const struct synk_value *list, struct synk_bytes error)
{
    size_t count = synk_value_count(list);
    return count && bytes_equal(text_of(synk_value_at(list, count - 1), "error"), error);
}

/* The columns of a row before its bar. */
static size_t bar_column(const struct text_view *view)
{
    return 2 + view->name_columns + 2 + 11 + 1 + 4 + 1 + 9 + 1 + 8 + 2;
}

/* "0 ─────── 10.0 s" above the bars. */
static void print_axis(const struct text_view *view)
{
    char length[32];
    duration_text(view->timeline.to_ms - view->timeline.from_ms, length);
    int lines = (int)view->timeline.columns - 3 - (int)strlen(length);
    printf("%*s%s0 ", (int)bar_column(view), "", style_on(STYLE_DIM));
    for (int i = 0; i < lines; i++)
        fputs("─", stdout);
    printf(" %s%s\n", length, style_off());
}

static void print_bar(const struct text_view *view, const struct synk_value *task)
{
    uint32_t first;
    int64_t ended_at = synk_value_int(synk_value_get(task, "endedAt"), 0);
    uint32_t count =
        timeline_span(&view->timeline, synk_value_int(synk_value_get(task, "startedAt"), 0),
                      ended_at > 0 ? ended_at : view->timeline.to_ms, &first);
    if (!count)
        return;
    printf("%*s%s", (int)first, "", style_on(style_of(text_of(task, "state"))));
    for (uint32_t i = 0; i < count; i++)
        fputs("━", stdout);
    fputs(style_off(), stdout);
}

/* Mark, name, state, tries, start within the run and duration, up to the bar. */
static void print_columns(const struct text_view *view, const struct synk_value *task)
{
    char took[32] = "", tries[32] = "", start[40] = "", text[32];
    struct synk_bytes state = text_of(task, "state");
    int64_t took_ms = synk_value_int(synk_value_get(task, "durationMs"), -1);
    int64_t started_at = synk_value_int(synk_value_get(task, "startedAt"), 0);
    int64_t attempts = synk_value_int(synk_value_get(task, "attempts"), 0);
    if (took_ms < 0 && text_is(state, "running") && started_at > 0)
        took_ms = view->timeline.to_ms - started_at;
    if (took_ms >= 0)
        timeline_short(took_ms, took);
    if (started_at > 0 && started_at >= view->timeline.from_ms)
        snprintf(start, sizeof(start), "+%s",
                 timeline_short(started_at - view->timeline.from_ms, text));
    if (attempts > 1)
        snprintf(tries, sizeof(tries), "↻%lld", (long long)attempts);
    printf("%s%s%s ", style_on(style_of(state)), mark_of(state), style_off());
    size_t taken = print_text(text_of(task, "worker"), output_cut(view->name_columns));
    printf("%*s  %s%-11.*s%s ", taken < view->name_columns ? (int)(view->name_columns - taken) : 0,
           "", style_on(style_of(state)), (int)state.size, (const char *)state.data, style_off());
    /* ↻ is one column and three bytes. */
    printf("%-*s %9s %8s  ", tries[0] ? 6 : 4, tries, start, took);
}

static void print_task(const struct text_view *view, const struct synk_value *task)
{
    struct synk_bytes error = text_of(task, "error"), reason = text_of(task, "reason");
    const struct synk_value *result = synk_value_get(task, "result");
    size_t width = output_cut((size_t)output_width()), room = output_room(bar_column(view));
    bool has_started = synk_value_int(synk_value_get(task, "startedAt"), 0) > 0;
    bool has_bar = view->timeline.columns && has_started;
    print_columns(view, task);
    /* What never began has its reason where its bar would be. */
    if (has_bar)
        print_bar(view, task);
    else if (reason.size)
        print_text(reason, room);
    else if (!error.size)
        print_result(result, room ? room : RESULT_COLUMNS);
    putchar('\n');
    const struct synk_value *list = synk_value_get(task, "attemptList");
    bool is_told = view->with_attempts && is_last_error(list, error);
    if (has_bar && reason.size) {
        print_block(reason, 4, width);
    } else if (has_bar && !error.size && !is_silent(result)) {
        printf("    %s", style_on(STYLE_DIM));
        print_result(result, output_room(4) ? output_room(4) : RESULT_COLUMNS);
        printf("%s\n", style_off());
    }
    if (error.size && !is_told)
        print_block(error, 4, width);
    if (view->with_attempts)
        print_attempts(list);
}

/* What is the same on all pages. */
static void begin_view(struct text_view *view, const struct synk_value *page)
{
    int64_t ended_at = synk_value_int(synk_value_get(page, "endedAt"), 0);
    int64_t started_at = synk_value_int(synk_value_get(page, "startedAt"), 0);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    view->name_columns = name_columns_of(synk_value_get(page, "tasks"));
    view->timeline = (struct timeline){started_at, ended_at > 0 ? ended_at : now_ms, 0};
    size_t width = (size_t)output_width(), used = bar_column(view);
    bool has_many = synk_value_int(synk_value_get(page, "taskCount"), 0) > 1;
    if (has_many && started_at > 0 && width >= used + BAR_COLUMNS_MIN)
        view->timeline.columns = (uint32_t)(width - used);
    view->is_begun = true;
}

static void print_text_page(void *context, const struct synk_value *page)
{
    struct text_view *view = context;
    const struct synk_value *tasks = synk_value_get(page, "tasks");
    if (!view->is_begun) {
        begin_view(view, page);
        print_head(page);
        if (view->timeline.columns)
            print_axis(view);
    }
    for (size_t i = 0; i < synk_value_count(tasks); i++)
        print_task(view, synk_value_at(tasks, i));
}

int run_view_print_from(const struct cli *cli, struct synk_client *client,
                        const struct synk_value *page, bool with_attempts)
{
    if (cli->json) {
        struct json_view view = {0};
        int code = each_page(client, page, with_attempts, print_json_page, &view);
        fputs(view.tasks ? "\n  ]}\n" : "]}\n", stdout);
        return code;
    }
    struct text_view view = {.with_attempts = with_attempts};
    return each_page(client, page, with_attempts, print_text_page, &view);
}

int run_view_print(const struct cli *cli, struct synk_client *client, const char *run,
                   bool with_attempts)
{
    struct synk_document *page = NULL;
    int code = run_view_fetch(client, run, with_attempts, 0, 0, &page);
    if (!code)
        code = run_view_print_from(cli, client, synk_document_root(page), with_attempts);
    synk_document_free(page);
    return code;
}

void run_view_print_summary(const struct synk_value *ended)
{
    char duration[32];
    struct synk_bytes status = text_of(ended, "status");
    const struct synk_value *counts = synk_value_get(ended, "counts");
    int64_t started_at = synk_value_int(synk_value_get(ended, "startedAt"), 0);
    int64_t ended_at = synk_value_int(synk_value_get(ended, "endedAt"), 0);
    fputs(style_on(STYLE_BOLD), stdout);
    print_text(text_of(ended, "run"), 0);
    printf("%s %s%.*s%s", style_off(), style_on(style_of(status)), (int)status.size,
           (const char *)status.data, style_off());
    if (started_at > 0 && ended_at > 0)
        printf(" in %s", duration_text(ended_at - started_at, duration));
    const char *separator = ": ";
    for (size_t i = 0; i < synk_value_count(counts); i++) {
        struct synk_bytes state = synk_value_key_at(counts, i);
        int64_t count = synk_value_int(synk_value_at(counts, i), 0);
        if (count <= 0)
            continue;
        printf("%s%lld %.*s", separator, (long long)count, (int)state.size,
               (const char *)state.data);
        separator = ", ";
    }
    putchar('\n');
    if (text_of(ended, "error").size)
        print_block(text_of(ended, "error"), 2, output_cut((size_t)output_width()));
}

/* Logs ------------------------------------------------------------------------------------------
 */

int run_view_log(struct synk_client *client, const char *run, const char *worker, int64_t attempt,
                 int64_t offset, int64_t max, struct synk_document **ret_piece)
{
    struct buf body = {0};
    pack_map(&body, 4 + (worker != NULL));
    pack_key(&body, "run");
    pack_cstr(&body, run);
    if (worker) {
        pack_key(&body, "worker");
        pack_cstr(&body, worker);
    }
    pack_key(&body, "attempt");
    pack_int(&body, attempt);
    pack_key(&body, "offset");
    pack_int(&body, offset);
    pack_key(&body, "max");
    pack_int(&body, max);
    return cli_call(client, "logs", &body, ret_piece);
}

static int print_tail(struct synk_client *client, const char *run, const char *worker)
{
    struct synk_document *piece = NULL;
    /* The first byte tells the size. */
    int code = run_view_log(client, run, worker, 0, 0, 1, &piece);
    if (code)
        return code;
    int64_t size = synk_value_int(synk_value_get(synk_document_root(piece), "size"), 0);
    int64_t offset = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    synk_document_free(piece);
    piece = NULL;
    if (size <= 0)
        return EXIT_DONE;
    code = run_view_log(client, run, worker, 0, offset, TAIL_BYTES, &piece);
    if (code)
        return code;
    struct synk_bytes data = synk_value_bytes(synk_value_get(synk_document_root(piece), "data"));
    printf("%s%s of the log of %s%s\n", style_on(STYLE_DIM), offset ? "the end" : "all", worker,
           style_off());
    if (data.size)
        print_block(data, 2, output_cut((size_t)output_width()));
    synk_document_free(piece);
    return EXIT_DONE;
}

static bool has_failed(struct synk_bytes state)
{
    return text_is(state, "failed") || text_is(state, "timed-out") || text_is(state, "quarantined");
}

struct tails {
    struct synk_client *client;
    const char *run;
    int count, code;
};

static void print_tails(void *context, const struct synk_value *page)
{
    struct tails *tails = context;
    const struct synk_value *tasks = synk_value_get(page, "tasks");
    for (size_t i = 0; i < synk_value_count(tasks) && tails->count < TAIL_TASKS; i++) {
        const struct synk_value *task = synk_value_at(tasks, i);
        /* What failed before it was sent to a host, by a template say, has no log. */
        if (!has_failed(text_of(task, "state")) || !text_of(task, "host").size)
            continue;
        char *worker = synk_value_string_dup(synk_value_get(task, "worker"));
        if (worker && print_tail(tails->client, tails->run, worker))
            tails->code = EXIT_REFUSED;
        free(worker);
        tails->count++;
    }
}

int run_view_print_failures(struct synk_client *client, const char *run)
{
    struct synk_document *page = NULL;
    struct tails tails = {.client = client, .run = run};
    int code = run_view_fetch(client, run, false, 0, 0, &page);
    if (!code)
        code = each_page(client, synk_document_root(page), false, print_tails, &tails);
    synk_document_free(page);
    return code ? code : tails.code;
}
