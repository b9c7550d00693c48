/*
 * Asking and keeping. Invariants: of each source at most one request is under way, so a supervisor
 * that is away or slow is not buried; a reply that belongs to an earlier question (another run,
 * another text) is dropped by its serial. A source whose rows events have touched is asked again
 * within a second, else rarely.
 */
#include "tools/synk/top_model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/directory.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/value.h"

enum {
    EVENTS = 200,
    UNIT_ROWS = 500,
    RUN_ROWS = 200,
    TASK_ROWS = 200,
    HOST_ROWS = 100,
    /* How often a source is asked: touched by events, and otherwise. */
    BUSY_MS = 1000,
    IDLE_MS = 5000,
    /* Events that came first when it starts. */
    EVENTS_BEFORE = 50,
    /* Further behind than this, events are passed over: nobody reads so fast. */
    EVENTS_BEHIND = 5000,
    /* Silence after which the supervisor counts as away. */
    SILENCE_MS = 4000,
    MESSAGE_MS = 6000,
};

enum source {
    SOURCE_STATS,
    SOURCE_UNITS,
    SOURCE_RUNS,
    SOURCE_RUNNING, /* older than the page of the latest */
    SOURCE_POOL,    /* has the counts of pool runs */
    SOURCE_HOSTS,
    SOURCE_TASKS,
    SOURCE_HEAD, /* where events begin; asked until it is known */
    SOURCES,
};

struct kept {
    struct synk_document *document;
    bool is_asked, is_touched;
    int64_t asked_ms;
    uint32_t serial;
};

struct top_model {
    struct synk_client *client;
    struct synk_subscription *subscription;
    struct directory directory;
    struct kept kept[SOURCES];
    const struct synk_value *runs[RUN_ROWS + RUN_ROWS]; /* live ones first */
    size_t run_count;
    struct synk_document *events[EVENTS]; /* a ring */
    size_t event_next, event_count;
    char *run; /* whose tasks are kept */
    int64_t run_from;
    char title[200];
    struct buf text;
    uint32_t text_serial;
    char message[300];
    bool message_is_error, is_changed;
    int64_t now_ms, message_ms, heard_ms, away_since_ms, checked_ms;
    struct top_rates rates;
    int64_t rate_ms, rate_finished, rate_cpu_us, rate_epoch;
};

/* A request under way: what its callback knows. */
struct ask {
    struct top_model *model;
    enum source source;
    uint32_t serial;
    char name[200]; /* of an action */
    const char *type;
};

int64_t number_of(const struct synk_value *map, const char *key, int64_t otherwise)
{
    return synk_value_int(synk_value_get(map, key), otherwise);
}

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A copy that outlives the callback; NULL where it cannot be kept. */
static struct synk_document *keep(const struct synk_value *value)
{
    struct buf encoded = {0};
    struct synk_document *document = NULL;
    value_encode(value, &encoded);
    if (value_decode_owned(buf_bytes(&encoded), &check_message_limits, &document, NULL) != SYNK_OK)
        document = NULL;
    buf_fini(&encoded);
    return document;
}

static const struct synk_value *root_of(const struct top_model *model, enum source source)
{
    return synk_document_root(model->kept[source].document);
}

static const struct synk_value *items_of(const struct top_model *model, enum source source)
{
    return synk_value_get(root_of(model, source), "items");
}

/* Messages --------------------------------------------------------------------------------------
 */

void top_model_say(struct top_model *model, bool is_error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(model->message, sizeof(model->message), format, arguments);
    va_end(arguments);
    model->message_is_error = is_error;
    model->message_ms = clock_ms();
    model->is_changed = true;
}

const char *top_model_message(const struct top_model *model, bool *ret_is_error)
{
    *ret_is_error = model->message_is_error;
    return clock_ms() - model->message_ms < MESSAGE_MS ? model->message : "";
}

/* Runs: those that are live come first
 * -------------------------------------------------------------
 */

static bool is_live(const struct synk_value *run)
{
    struct synk_bytes status = text_of(run, "status");
    return text_is(status, "running") || text_is(status, "queued");
}

/* The same run as the pool's list has it, with its counts. */
static const struct synk_value *with_counts(const struct top_model *model,
                                            const struct synk_value *run)
{
    const struct synk_value *items = items_of(model, SOURCE_POOL);
    for (size_t i = 0; i < synk_value_count(items); i++) {
        const struct synk_value *item = synk_value_at(items, i);
        if (number_of(item, "id", -1) == number_of(run, "id", -2))
            return item;
    }
    return run;
}

static size_t count_live(const struct synk_value *items)
{
    size_t count = 0;
    for (size_t i = 0; i < synk_value_count(items); i++)
        count += is_live(synk_value_at(items, i));
    return count;
}

static void merge_runs(struct top_model *model)
{
    const struct synk_value *latest = items_of(model, SOURCE_RUNS);
    const struct synk_value *running = items_of(model, SOURCE_RUNNING);
    size_t count = synk_value_count(latest), live = 0;
    int64_t oldest = count ? number_of(synk_value_at(latest, count - 1), "id", 0) : 0;
    for (size_t i = 0; i < count && live < RUN_ROWS; i++)
        if (is_live(synk_value_at(latest, i)))
            model->runs[live++] = with_counts(model, synk_value_at(latest, i));
    for (size_t i = 0; i < synk_value_count(running) && live < RUN_ROWS; i++)
        if (number_of(synk_value_at(running, i), "id", 0) < oldest)
            model->runs[live++] = with_counts(model, synk_value_at(running, i));
    model->run_count = live;
    for (size_t i = 0; i < count && model->run_count < RUN_ROWS + RUN_ROWS; i++)
        if (!is_live(synk_value_at(latest, i)))
            model->runs[model->run_count++] = synk_value_at(latest, i);
}

/* Rates -----------------------------------------------------------------------------------------
 */

static void take_rates(struct top_model *model)
{
    const struct synk_value *stats = root_of(model, SOURCE_STATS);
    int64_t finished = number_of(stats, "tasksFinished", 0), epoch = number_of(stats, "epoch", 0);
    int64_t cpu_us = number_of(synk_value_get(stats, "process"), "cpuUs", 0);
    int64_t now_ms = clock_ms(), passed_ms = now_ms - model->rate_ms;
    if (model->rate_ms && passed_ms < BUSY_MS / 2)
        return;
    model->rates = (struct top_rates){-1, -1};
    if (model->rate_ms && epoch == model->rate_epoch && finished >= model->rate_finished) {
        model->rates.tasks_per_s =
            (double)(finished - model->rate_finished) * 1000.0 / (double)passed_ms;
        model->rates.cpu_share = (double)(cpu_us - model->rate_cpu_us) / 1000.0 / (double)passed_ms;
    }
    model->rate_ms = now_ms;
    model->rate_finished = finished;
    model->rate_cpu_us = cpu_us;
    model->rate_epoch = epoch;
}

struct top_rates top_model_rates(const struct top_model *model)
{
    return model->rates;
}

/* Events ----------------------------------------------------------------------------------------
 */

static void on_event(void *context, const struct synk_value *event, uint64_t gap_first,
                     uint64_t gap_last)
{
    struct top_model *model = context;
    if (!event) {
        top_model_say(model, false, "events %llu to %llu are no longer kept",
                      (unsigned long long)gap_first, (unsigned long long)gap_last);
        return;
    }
    struct synk_document *document = keep(event);
    if (!document)
        return;
    synk_document_free(model->events[model->event_next]);
    model->events[model->event_next] = document;
    model->event_next = (model->event_next + 1) % EVENTS;
    model->event_count += model->event_count < EVENTS;
    model->kept[SOURCE_UNITS].is_touched = model->kept[SOURCE_RUNS].is_touched = true;
    model->kept[SOURCE_RUNNING].is_touched = model->kept[SOURCE_POOL].is_touched = true;
    if (text_is(text_of(event, "type"), "host"))
        model->kept[SOURCE_HOSTS].is_touched = true;
    if (model->run && text_is(text_of(event, "run"), model->run))
        model->kept[SOURCE_TASKS].is_touched = true;
    model->is_changed = true;
}

static void subscribe(struct top_model *model, int64_t head, int64_t before)
{
    struct synk_error error;
    uint64_t from = head > before ? (uint64_t)(head - before) : 0;
    synk_unsubscribe(model->subscription);
    model->subscription = NULL;
    if (synk_subscribe(model->client, from, NULL, on_event, model, &model->subscription, &error) !=
        SYNK_OK)
        top_model_say(model, true, "no events: %s", error.text);
}

/* Whoever is far behind goes on from what is new. */
static void keep_up(struct top_model *model)
{
    int64_t head = number_of(root_of(model, SOURCE_STATS), "lastEvent", 0);
    if (!model->subscription)
        return;
    int64_t position = (int64_t)synk_subscription_position(model->subscription);
    if (position == 0 || head - position <= EVENTS_BEHIND)
        return;
    subscribe(model, head, EVENTS_BEFORE);
    top_model_say(model, false, "%lld events came too fast to be shown",
                  (long long)(head - position - EVENTS_BEFORE));
}

/* Asking ----------------------------------------------------------------------------------------
 */

static void pack_list_request(struct buf *body, const char *what, int64_t limit, const char *status)
{
    pack_map(body, 2 + (status != NULL));
    pack_key(body, "what");
    pack_cstr(body, what);
    pack_key(body, "limit");
    pack_int(body, limit);
    if (status) {
        pack_key(body, "status");
        pack_cstr(body, status);
    }
}

/* The body of a source's request. Returns its type. */
static const char *pack_request(const struct top_model *model, enum source source, struct buf *body)
{
    switch (source) {
    case SOURCE_STATS:
        pack_map(body, 0);
        return "stats";
    case SOURCE_UNITS:
        pack_list_request(body, "units", UNIT_ROWS, NULL);
        return "list";
    case SOURCE_RUNS:
        pack_list_request(body, "runs", RUN_ROWS, NULL);
        return "list";
    case SOURCE_RUNNING:
        pack_list_request(body, "runs", RUN_ROWS, "running");
        return "list";
    case SOURCE_POOL:
        pack_list_request(body, "pool", RUN_ROWS, NULL);
        return "list";
    case SOURCE_HOSTS:
        pack_list_request(body, "hosts", HOST_ROWS, NULL);
        return "list";
    case SOURCE_TASKS:
        pack_map(body, 3);
        pack_key(body, "id");
        pack_cstr(body, model->run);
        pack_key(body, "from");
        pack_int(body, model->run_from);
        pack_key(body, "limit");
        pack_int(body, TASK_ROWS);
        return "show";
    case SOURCE_HEAD:
    case SOURCES:
        break;
    }
    pack_map(body, 2);
    pack_key(body, "from");
    pack_int(body, 0);
    pack_key(body, "limit");
    pack_int(body, 1);
    return "fetch";
}

static void take_reply(struct top_model *model, enum source source, const struct synk_value *body)
{
    struct kept *kept = &model->kept[source];
    struct synk_document *document = keep(body);
    if (!document)
        return;
    synk_document_free(kept->document);
    kept->document = document;
    if (source == SOURCE_RUNS || source == SOURCE_RUNNING || source == SOURCE_POOL)
        merge_runs(model);
    if (source == SOURCE_STATS) {
        model->checked_ms = 0; /* whoever answers is there: told at once */
        take_rates(model);
        keep_up(model);
    }
    if (source == SOURCE_HEAD && !model->subscription)
        subscribe(model, number_of(body, "head", 0), EVENTS_BEFORE);
    model->is_changed = true;
}

static void on_reply(void *context, enum synk_status status, const struct synk_value *body,
                     const struct synk_error *error)
{
    struct ask *ask = context;
    struct top_model *model = ask->model;
    struct kept *kept = &model->kept[ask->source];
    bool is_current = ask->serial == kept->serial;
    if (is_current)
        kept->is_asked = false;
    if (status != SYNK_CANCELLED && status != SYNK_UNAVAILABLE)
        model->heard_ms = clock_ms();
    if (status == SYNK_OK && is_current)
        take_reply(model, ask->source, body);
    else if (is_current && status != SYNK_CANCELLED && status != SYNK_UNAVAILABLE)
        top_model_say(model, true, "%s", error->text);
    free(ask);
}

static struct ask *ask_new(struct top_model *model, enum source source, uint32_t serial)
{
    struct ask *ask = mem_zalloc(1, sizeof(*ask));
    ask->model = model;
    ask->source = source;
    ask->serial = serial;
    return ask;
}

static void send_request(struct top_model *model, const char *type, struct buf *body,
                         synk_reply reply, struct ask *ask)
{
    struct synk_error error;
    if (synk_request(model->client, type, buf_bytes(body), reply, ask, &error) != SYNK_OK) {
        top_model_say(model, true, "%s", error.text);
        free(ask);
    }
    buf_fini(body);
}

static void ask_source(struct top_model *model, enum source source)
{
    struct kept *kept = &model->kept[source];
    struct buf body = {0};
    kept->is_asked = true;
    kept->is_touched = false;
    kept->asked_ms = model->now_ms;
    const char *type = pack_request(model, source, &body);
    send_request(model, type, &body, on_reply, ask_new(model, source, kept->serial));
}

static bool is_needed(const struct top_model *model, enum source source)
{
    const struct synk_value *latest = items_of(model, SOURCE_RUNS);
    int64_t live = number_of(root_of(model, SOURCE_STATS), "liveRuns", 0);
    if (source == SOURCE_TASKS)
        return model->run != NULL;
    if (source == SOURCE_HEAD)
        return !model->subscription;
    /* Live runs that the page of the latest does not have. */
    if (source == SOURCE_RUNNING)
        return live > (int64_t)count_live(latest) || synk_value_count(items_of(model, source)) > 0;
    return true;
}

/* When the source is to be asked. */
static int64_t due_ms(const struct top_model *model, enum source source)
{
    const struct kept *kept = &model->kept[source];
    if (kept->is_asked || !is_needed(model, source))
        return INT64_MAX;
    if (!kept->asked_ms)
        return 0;
    bool is_busy = kept->is_touched || source == SOURCE_STATS || source == SOURCE_HEAD;
    return kept->asked_ms + (is_busy ? BUSY_MS : IDLE_MS);
}

/* A supervisor that died answers nothing; one that hangs does not either. */
static void watch_supervisor(struct top_model *model)
{
    if (model->now_ms - model->checked_ms < BUSY_MS)
        return;
    model->checked_ms = model->now_ms;
    bool is_there = directory_supervisor_pid(&model->directory, NULL) &&
                    model->now_ms - model->heard_ms < SILENCE_MS;
    if (!is_there && !model->away_since_ms) {
        model->away_since_ms = model->now_ms;
        model->is_changed = true;
    } else if (is_there && model->away_since_ms) {
        model->away_since_ms = 0;
        for (int source = 0; source < SOURCES; source++)
            model->kept[source].is_touched = true;
        top_model_say(model, false, "the supervisor is back");
    }
}

int64_t top_model_tick(struct top_model *model, int64_t now_ms)
{
    model->now_ms = now_ms;
    watch_supervisor(model);
    int64_t next_ms = now_ms + BUSY_MS;
    for (int source = 0; source < SOURCES; source++) {
        int64_t at_ms = due_ms(model, (enum source)source);
        if (at_ms <= now_ms)
            ask_source(model, (enum source)source);
        else if (at_ms < next_ms)
            next_ms = at_ms;
    }
    return next_ms;
}

bool top_model_take_change(struct top_model *model)
{
    bool is_changed = model->is_changed;
    model->is_changed = false;
    return is_changed;
}

int64_t top_model_away_since(const struct top_model *model)
{
    return model->away_since_ms;
}

/* Rows ------------------------------------------------------------------------------------------
 */

const struct synk_value *top_model_stats(const struct top_model *model)
{
    return root_of(model, SOURCE_STATS);
}

const struct synk_value *top_model_run(const struct top_model *model)
{
    return model->run ? root_of(model, SOURCE_TASKS) : NULL;
}

size_t top_model_count(const struct top_model *model, enum top_list list)
{
    switch (list) {
    case LIST_UNITS:
        return synk_value_count(items_of(model, SOURCE_UNITS));
    case LIST_RUNS:
        return model->run_count;
    case LIST_HOSTS:
        return synk_value_count(items_of(model, SOURCE_HOSTS));
    case LIST_EVENTS:
        return model->event_count;
    case LIST_TASKS:
        return synk_value_count(synk_value_get(top_model_run(model), "tasks"));
    case LISTS:
        break;
    }
    return 0;
}

const struct synk_value *top_model_row(const struct top_model *model, enum top_list list, size_t at)
{
    if (at >= top_model_count(model, list))
        return NULL;
    switch (list) {
    case LIST_UNITS:
        return synk_value_at(items_of(model, SOURCE_UNITS), at);
    case LIST_RUNS:
        return model->runs[at];
    case LIST_HOSTS:
        return synk_value_at(items_of(model, SOURCE_HOSTS), at);
    case LIST_EVENTS: /* the newest first */
        return synk_document_root(model->events[(model->event_next + EVENTS - 1 - at) % EVENTS]);
    case LIST_TASKS:
        return synk_value_at(synk_value_get(top_model_run(model), "tasks"), at);
    case LISTS:
        break;
    }
    return NULL;
}

void top_model_key(const struct top_model *model, enum top_list list, size_t at, char key[160])
{
    static const char *const keys[] = {
        [LIST_UNITS] = "id", [LIST_RUNS] = "run", [LIST_HOSTS] = "name", [LIST_TASKS] = "worker"};
    const struct synk_value *row = top_model_row(model, list, at);
    if (list == LIST_EVENTS) {
        snprintf(key, 160, "%lld", (long long)number_of(row, "seq", 0));
        return;
    }
    struct synk_bytes text = text_of(row, keys[list]);
    snprintf(key, 160, "%.*s", (int)text.size, (const char *)text.data);
}

void top_model_open_run(struct top_model *model, const char *run, int64_t from)
{
    struct kept *kept = &model->kept[SOURCE_TASKS];
    char *copy = run ? mem_strdup(run) : NULL;
    bool is_same = run && model->run && strcmp(run, model->run) == 0;
    free(model->run);
    model->run = copy;
    model->run_from = from;
    kept->serial++;
    kept->is_asked = false;
    kept->asked_ms = 0;
    if (!is_same) {
        synk_document_free(kept->document);
        kept->document = NULL;
    }
    model->is_changed = true;
}

/* Actions and texts -----------------------------------------------------------------------------
 */

static void on_acted(void *context, enum synk_status status, const struct synk_value *body,
                     const struct synk_error *error)
{
    struct ask *ask = context;
    (void)body;
    if (status == SYNK_OK)
        top_model_say(ask->model, false, "%s %s", ask->type, ask->name);
    else if (status != SYNK_CANCELLED)
        top_model_say(ask->model, true, "%s", error->text);
    free(ask);
}

void top_model_act(struct top_model *model, const char *type, const char *name)
{
    bool is_cancel = strcmp(type, "cancel") == 0;
    struct buf body = {0};
    if (model->away_since_ms) {
        /* It would be done whenever the supervisor comes back: nobody expects that. */
        top_model_say(model, true, "the supervisor is away: nothing was done");
        return;
    }
    pack_map(&body, 1);
    pack_key(&body, is_cancel ? "run" : "ids");
    if (!is_cancel)
        pack_array(&body, 1);
    pack_cstr(&body, name);
    struct ask *ask = ask_new(model, SOURCES, 0);
    ask->type = is_cancel ? "cancelled" : strcmp(type, "pause") == 0 ? "paused" : "resumed";
    snprintf(ask->name, sizeof(ask->name), "%s", name);
    send_request(model, type, &body, on_acted, ask);
    for (int source = 0; source < SOURCES; source++)
        model->kept[source].is_touched = true;
}

static void begin_text(struct top_model *model, const char *title)
{
    snprintf(model->title, sizeof(model->title), "%s", title);
    buf_clear(&model->text);
    model->text_serial++;
    model->is_changed = true;
}

const char *top_model_title(const struct top_model *model)
{
    return model->title;
}

struct synk_bytes top_model_text(const struct top_model *model)
{
    return buf_bytes(&model->text);
}

void top_model_drop_text(struct top_model *model)
{
    begin_text(model, "");
}

void top_model_tell(struct top_model *model, const char *title, const struct synk_value *row)
{
    begin_text(model, title);
    json_print(row, 2, &model->text);
}

static void add_explanation(const struct synk_value *reply, struct buf *text)
{
    const struct synk_value *tasks = synk_value_get(reply, "tasks");
    struct synk_bytes error = text_of(reply, "error"), status = text_of(reply, "status");
    buf_printf(text, "%.*s\n", (int)status.size, (const char *)status.data);
    if (!synk_value_count(tasks) && error.size)
        buf_printf(text, "%.*s\n", (int)error.size, (const char *)error.data);
    for (size_t i = 0; i < synk_value_count(tasks); i++) {
        const struct synk_value *task = synk_value_at(tasks, i);
        struct synk_bytes worker = text_of(task, "worker"), state = text_of(task, "state"),
                          why = text_of(task, "text");
        buf_printf(text, "\n%.*s  %.*s\n%.*s\n", (int)worker.size, (const char *)worker.data,
                   (int)state.size, (const char *)state.data, (int)why.size,
                   (const char *)why.data);
    }
}

static void on_text(void *context, enum synk_status status, const struct synk_value *body,
                    const struct synk_error *error)
{
    struct ask *ask = context;
    struct top_model *model = ask->model;
    if (ask->serial == model->text_serial && status != SYNK_CANCELLED) {
        buf_clear(&model->text);
        if (status != SYNK_OK)
            buf_printf(&model->text, "%s", error->text);
        else if (synk_value_get(body, "definition"))
            json_print(synk_value_get(body, "definition"), 2, &model->text);
        else
            add_explanation(body, &model->text);
        model->is_changed = true;
    }
    free(ask);
}

void top_model_explain(struct top_model *model, const char *run, const char *worker)
{
    struct buf body = {0};
    char title[200];
    snprintf(title, sizeof(title), "why: %s%s%s", run, worker ? " " : "", worker ? worker : "");
    begin_text(model, title);
    pack_map(&body, 1 + (worker != NULL));
    pack_key(&body, "run");
    pack_cstr(&body, run);
    if (worker) {
        pack_key(&body, "worker");
        pack_cstr(&body, worker);
    }
    send_request(model, "explain", &body, on_text, ask_new(model, SOURCES, model->text_serial));
}

void top_model_describe(struct top_model *model, const char *unit)
{
    struct buf body = {0};
    begin_text(model, unit);
    pack_map(&body, 1);
    pack_key(&body, "id");
    pack_cstr(&body, unit);
    send_request(model, "show", &body, on_text, ask_new(model, SOURCES, model->text_serial));
}

/* Life ------------------------------------------------------------------------------------------
 */

enum synk_status top_model_new(struct synk_client *client, struct top_model **ret_model,
                               struct synk_error *error)
{
    struct top_model *model = mem_zalloc(1, sizeof(*model));
    enum synk_status status =
        directory_resolve(synk_client_directory(client), &model->directory, error);
    if (status) {
        free(model);
        return status;
    }
    model->client = client;
    model->rates = (struct top_rates){-1, -1};
    model->heard_ms = model->checked_ms = clock_ms();
    *ret_model = model;
    return SYNK_OK;
}

void top_model_free(struct top_model *model)
{
    if (!model)
        return;
    for (int source = 0; source < SOURCES; source++)
        synk_document_free(model->kept[source].document);
    for (size_t i = 0; i < EVENTS; i++)
        synk_document_free(model->events[i]);
    buf_fini(&model->text);
    free(model->run);
    free(model);
}
