/* synk ls: units, runs, hosts and unfinished pool runs, a page at a time. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/nearest.h"
#include "proto/value.h"
#include "tools/synk/hosts.h"
#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

enum { PAGE_ROWS = 500 };

static void add_text(struct table *table, const struct synk_value *item, const char *key)
{
    table_add(table, text_of(item, key), STYLE_NONE);
}

static void add_state(struct table *table, struct synk_bytes state)
{
    table_add(table, state, style_of(state));
}

static void add_time(struct table *table, const struct synk_value *item, const char *key)
{
    char text[32];
    table_add(table, bytes_str(time_text(synk_value_int(synk_value_get(item, key), 0), text)),
              STYLE_NONE);
}

static void add_number(struct table *table, const struct synk_value *item, const char *key)
{
    const struct synk_value *value = synk_value_get(item, key);
    if (synk_value_kind(value) == SYNK_NULL)
        table_add(table, bytes_str("-"), STYLE_DIM);
    else
        table_addf(table, STYLE_NONE, "%lld", (long long)synk_value_int(value, 0));
}

static void add_unit(struct table *table, const struct synk_value *item)
{
    bool is_paused = synk_value_bool(synk_value_get(item, "paused"), false);
    add_state(table, is_paused ? bytes_str("paused") : text_of(item, "status"));
    add_text(table, item, "kind");
    add_number(table, item, "runCount");
    add_time(table, item, "lastRunAt");
    add_time(table, item, "dueAt");
    bool is_enabled = synk_value_bool(synk_value_get(item, "enabled"), true);
    char *id = synk_value_string_dup(synk_value_get(item, "id"));
    struct synk_bytes why = text_of(item, "disabledWhy");
    table_addf(table, is_enabled ? STYLE_NONE : STYLE_DIM, "%s%s%s%.*s%s", id ? id : "",
               is_enabled ? "" : " (disabled", why.size ? ": " : "", (int)why.size,
               why.size ? (const char *)why.data : "", is_enabled ? "" : ")");
    free(id);
}

static void add_run(struct table *table, const struct synk_value *item)
{
    char text[32];
    int64_t started_at = synk_value_int(synk_value_get(item, "startedAt"), 0);
    int64_t ended_at = synk_value_int(synk_value_get(item, "endedAt"), 0);
    add_state(table, text_of(item, "status"));
    add_text(table, item, "run");
    add_time(table, item, "createdAt");
    bool is_known = started_at > 0 && ended_at > 0;
    table_add(table, bytes_str(is_known ? duration_text(ended_at - started_at, text) : "-"),
              is_known ? STYLE_NONE : STYLE_DIM);
    add_number(table, item, "taskCount");
    add_number(table, item, "failed");
    add_text(table, item, "by");
    add_text(table, item, "error");
}

static void add_host(struct table *table, const struct synk_value *item)
{
    add_state(table, text_of(item, "state"));
    add_text(table, item, "name");
    add_number(table, item, "pid");
    add_number(table, item, "slots");
    add_number(table, item, "running");
    add_number(table, item, "queued");
    table_addf(table, STYLE_NONE, "%zu", synk_value_count(synk_value_get(item, "functions")));
    struct buf tags = {0};
    const struct synk_value *list = synk_value_get(item, "tags");
    for (size_t i = 0; i < synk_value_count(list); i++) {
        struct synk_bytes tag = synk_value_bytes(synk_value_at(list, i));
        buf_append(&tags, i ? "," : "", i ? 1 : 0);
        buf_append(&tags, tag.data, tag.size);
    }
    table_add(table, buf_bytes(&tags), STYLE_NONE);
    buf_fini(&tags);
}

static void add_worker(struct table *table, const struct synk_value *item)
{
    struct synk_bytes state = text_of(item, "state");
    bool is_paused = synk_value_bool(synk_value_get(item, "paused"), false);
    bool is_enabled = synk_value_bool(synk_value_get(item, "enabled"), true);
    add_state(table, is_paused     ? bytes_str("paused")
                     : !is_enabled ? bytes_str("disabled")
                     : state.size  ? state
                                   : bytes_str("idle"));
    add_text(table, item, "function");
    add_text(table, item, "worker");
}

static void add_slot(struct table *table, const struct synk_value *item)
{
    const struct synk_value *progress = synk_value_get(item, "progress");
    bool is_idle = synk_value_bool(synk_value_get(item, "isIdle"), false);
    add_state(table, bytes_str(is_idle ? "idle" : "running"));
    add_text(table, item, "host");
    add_number(table, item, "slot");
    add_text(table, item, "run");
    add_text(table, item, "worker");
    add_text(table, item, "function");
    add_time(table, item, "startedAt");
    if (synk_value_kind(progress) == SYNK_DOUBLE)
        table_addf(table, STYLE_NONE, "%d%%", (int)(synk_value_double(progress, 0) * 100));
    else
        table_add(table, bytes_str("-"), STYLE_DIM);
    add_text(table, item, "lastMilestone");
}

static void add_submission(struct table *table, const struct synk_value *item)
{
    bool is_paused = synk_value_bool(synk_value_get(item, "paused"), false);
    bool is_held = synk_value_bool(synk_value_get(item, "held"), false);
    add_state(table, is_paused ? bytes_str("paused")
                     : is_held ? bytes_str("held")
                               : text_of(item, "status"));
    add_text(table, item, "run");
    add_text(table, item, "name");
    add_number(table, item, "priority");
    add_time(table, item, "createdAt");
    add_number(table, item, "taskCount");
    add_number(table, item, "done");
    add_number(table, item, "failed");
    add_text(table, item, "function");
}

static void add_limit(struct table *table, const struct synk_value *item)
{
    add_text(table, item, "name");
    add_number(table, item, "limit");
    add_number(table, item, "used");
    add_number(table, item, "waiting");
}

static const char *const unit_headers[] = {"STATUS", "KIND", "RUNS", "LAST RUN", "DUE", "ID"};
static const char *const run_headers[] = {"STATUS", "RUN",    "CREATED", "TOOK",
                                          "TASKS",  "FAILED", "BY",      "ERROR"};
static const char *const host_headers[] = {"STATE",   "NAME",   "PID",       "SLOTS",
                                           "RUNNING", "QUEUED", "FUNCTIONS", "TAGS"};
static const char *const worker_headers[] = {"STATE", "FUNCTION", "WORKER"};
static const char *const slot_headers[] = {"STATE",    "HOST",    "SLOT",     "RUN",      "WORKER",
                                           "FUNCTION", "STARTED", "PROGRESS", "MILESTONE"};
static const char *const pool_headers[] = {"STATUS", "RUN",  "NAME",   "PRIORITY", "CREATED",
                                           "TASKS",  "DONE", "FAILED", "FUNCTION"};
static const char *const limit_headers[] = {"NAME", "LIMIT", "USED", "WAITING"};
static const struct kind {
    const char *name;
    const char *const *headers;
    size_t columns;
    void (*add)(struct table *table, const struct synk_value *item);
} kinds[] = {
    {"units", unit_headers, 6, add_unit},      {"workers", worker_headers, 3, add_worker},
    {"runs", run_headers, 8, add_run},         {"hosts", host_headers, 8, add_host},
    {"pool", pool_headers, 9, add_submission}, {"slots", slot_headers, 9, add_slot},
    {"limits", limit_headers, 4, add_limit},
};

struct query {
    const char *unit, *status, *kind, *worker;
    int64_t since_ms, limit; /* -1 = none */
};

static void put_text(struct buf *body, const char *key, const char *text)
{
    if (!text)
        return;
    pack_key(body, key);
    pack_cstr(body, text);
}

/* One page above `cursor` (encoded; size 0 = from the start). */
static int fetch(struct synk_client *client, const struct kind *kind, const struct query *query,
                 int64_t rows, struct synk_bytes cursor, struct synk_document **ret_page)
{
    struct buf body = {0};
    pack_map(&body, 2 + (query->unit != NULL) + (query->status != NULL) + (query->kind != NULL) +
                        (query->worker != NULL) + (query->since_ms >= 0) + (cursor.size > 0));
    pack_key(&body, "what");
    pack_cstr(&body, kind->name);
    pack_key(&body, "limit");
    pack_int(&body, rows);
    put_text(&body, "unit", query->unit);
    put_text(&body, "status", query->status);
    put_text(&body, "kind", query->kind);
    put_text(&body, "worker", query->worker);
    if (query->since_ms >= 0) {
        pack_key(&body, "since");
        pack_int(&body, query->since_ms);
    }
    if (cursor.size) {
        pack_key(&body, "cursor");
        pack_encoded(&body, cursor);
    }
    return cli_call(client, "list", &body, ret_page);
}

static int64_t show_page(const struct cli *cli, const struct kind *kind, struct table *table,
                         const struct synk_value *page, int64_t left)
{
    const struct synk_value *items = synk_value_get(page, "items");
    int64_t count = (int64_t)synk_value_count(items);
    count = count < left ? count : left;
    for (int64_t i = 0; i < count; i++) {
        const struct synk_value *item = synk_value_at(items, (size_t)i);
        if (cli->json)
            print_json_line(item);
        else
            kind->add(table, item);
    }
    if (!cli->json && kind->add == add_host)
        hosts_print_refused(page);
    return count;
}

static int list(const struct cli *cli, const struct kind *kind, const struct query *query)
{
    struct synk_client *client = NULL;
    struct table table;
    struct buf cursor = {0};
    table_init(&table, kind->headers, kind->columns);
    int64_t left = query->limit >= 0 ? query->limit : INT64_MAX;
    int code = cli_open(cli, &client);
    while (!code && left > 0) {
        struct synk_document *page = NULL;
        int64_t rows = left < PAGE_ROWS ? left : PAGE_ROWS;
        code = fetch(client, kind, query, rows, buf_bytes(&cursor), &page);
        const struct synk_value *root = synk_document_root(page);
        const struct synk_value *next = synk_value_get(root, "cursor");
        int64_t count = show_page(cli, kind, &table, root, left);
        left -= count;
        bool is_end = value_is_null(next);
        buf_clear(&cursor);
        value_encode(next, &cursor);
        synk_document_free(page);
        if (is_end)
            break;
    }
    synk_client_close(client);
    buf_fini(&cursor);
    if (!cli->json && !code)
        table_print(&table);
    else {
        free(table.cells);
        arena_fini(&table.arena);
    }
    return code;
}

/* A status that there is not would list nothing, which looks like an answer. */
static int check_status(const char *what, const char *status)
{
    static const char *const units[] = {"idle", "running", "error", "completed", "paused", NULL};
    static const char *const runs[] = {"queued",    "running", "succeeded", "failed",
                                       "cancelled", "skipped", NULL};
    const char *const *known = strcmp(what, "units") == 0  ? units
                               : strcmp(what, "runs") == 0 ? runs
                                                           : NULL;
    struct nearest nearest = nearest_of(bytes_str(status));
    for (; known && *known; known++) {
        if (strcmp(*known, status) == 0)
            return EXIT_DONE;
        nearest_try(&nearest, bytes_str(*known));
    }
    if (!known)
        return EXIT_DONE;
    return fail(EXIT_USAGE, "'%s' is not a status of %s%s%s%s: see 'synk ls --help'", status, what,
                nearest.found.size ? " (did you mean '" : "",
                nearest.found.size ? (const char *)nearest.found.data : "",
                nearest.found.size ? "'?)" : "");
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct query query = {.since_ms = -1, .limit = -1};
    const char *since = NULL;
    const struct option options[] = {
        {"unit", OPTION_TEXT, &query.unit}, {"status", OPTION_TEXT, &query.status},
        {"since", OPTION_TEXT, &since},     {"limit", OPTION_NUMBER, &query.limit},
        {"kind", OPTION_TEXT, &query.kind}, {"worker", OPTION_TEXT, &query.worker},
        {NULL, OPTION_FLAG, NULL},
    };
    int count = args_parse(cli, argc, argv, options, 0, 1);
    if (count < 0)
        return EXIT_USAGE;
    if (since && !args_time(since, &query.since_ms))
        return fail(EXIT_USAGE,
                    "--since takes 2h, 2026-01-31, 2026-01-31T12:00 or milliseconds, not '%s'",
                    since);
    const char *what = count ? argv[0] : "units";
    if (query.status && check_status(what, query.status))
        return EXIT_USAGE;
    if (strcmp(what, "workers") == 0 && !query.unit)
        return fail(EXIT_USAGE, "the workers of which process? --unit names it");
    /* Runs can be very many: the latest are asked for. */
    if (query.limit < 0 && strcmp(what, "runs") == 0)
        query.limit = 50;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, what) == 0)
            return list(cli, &kinds[i], &query);
    return fail(EXIT_USAGE, "cannot list '%s': units, workers, runs, hosts, pool, slots or limits",
                what);
}

const struct verb verb_ls = {
    .name = "ls",
    .arguments =
        "[units|workers|runs|hosts|pool|slots|limits] [--unit U] [--status S] [--since T]\n"
        "                [--limit N]",
    .summary =
        "List units, a process's workers, runs, hosts and their slots, pool submissions, limits",
    .help = "  --unit U    runs or workers of this unit\n"
            "  --status S  idle running error completed paused; runs: queued running succeeded\n"
            "              failed cancelled skipped\n"
            "  --since T   runs from then on: 2h (ago), 2026-01-31, 2026-01-31T12:00\n"
            "  --kind K    units: worker or process\n"
            "  --worker W  units: processes that have this worker\n"
            "  --limit N   at most N rows; of runs, 50 unless said otherwise\n\n"
            "With --json, an object a line; of hosts, with the names of their functions.\n",
    .run = run,
};
