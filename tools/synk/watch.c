/*
 * Watching. What is printed comes from events, when the run has ended from the reply to `wait`; the
 * events until then are read before anything else is printed. Invariant: the progress line, where
 * there is one, is the last thing on the terminal, and is wiped before any other line.
 */
#include "tools/synk/watch.h"

#include <stdlib.h>
#include <time.h>

#include "proto/json.h"
#include "proto/limits.h"
#include "proto/value.h"
#include "tools/synk/output.h"
#include "tools/synk/run_view.h"

enum {
    /* Runs of more tasks print only what failed, and of that only the first. */
    LINES_TASKS = 50,
    LINES_FAILED = 10,
    PROGRESS_MS = 100,
    /* Without any of its tasks running, after which one asks why. */
    STUCK_MS = 2000,
    /* How long after the end its last events may take to come: they are committed with it. */
    DRAIN_MS = 2000,
};

/* When each task started: a table by worker, open addressing. */
struct started {
    struct synk_bytes worker;
    int64_t at;
    bool is_running, is_done;
};

struct ending;
struct question;
struct watch {
    const struct watch_options *options;
    struct started *started;
    size_t capacity, count;
    struct arena names;
    int64_t task_count, done, failed, running, untold;
    bool has_progress;
    int64_t progress_ms;
    struct ending *ending;
    struct question *question; /* under way */
    int64_t still_ms;          /* since when nothing runs, or is not known to */
    bool is_told;              /* why it is stuck */
};

/* The reply to `wait`, apart: who leaves before it comes leaves this behind, for the callback to
 * free when the client is closed. */
struct ending {
    bool is_ended, is_abandoned;
    enum synk_status status;
    struct synk_error error;
    struct synk_document *reply;
};

/* An `explain` under way; left behind like an ending. */
struct question {
    struct watch *watch; /* NULL once it is left behind */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct started *place_of(struct started *table, size_t capacity, struct synk_bytes worker)
{
    size_t at = bytes_hash(worker) & (capacity - 1);
    while (table[at].worker.data && !bytes_equal(table[at].worker, worker))
        at = (at + 1) & (capacity - 1);
    return &table[at];
}

static struct started *started_of(struct watch *watch, struct synk_bytes worker)
{
    if (watch->count * 2 >= watch->capacity) {
        size_t capacity = watch->capacity ? watch->capacity * 2 : 64;
        struct started *table = mem_zalloc(capacity, sizeof(*table));
        for (size_t i = 0; i < watch->capacity; i++)
            if (watch->started[i].worker.data)
                *place_of(table, capacity, watch->started[i].worker) = watch->started[i];
        free(watch->started);
        watch->started = table;
        watch->capacity = capacity;
    }
    struct started *place = place_of(watch->started, watch->capacity, worker);
    if (!place->worker.data) {
        place->worker = arena_copy(&watch->names, worker);
        watch->count++;
    }
    return place;
}

/* Printing --------------------------------------------------------------------------------------
 */

static void wipe_progress(struct watch *watch)
{
    if (watch->has_progress)
        fputs("\r\033[K", stdout);
    watch->has_progress = false;
}

static void print_progress(struct watch *watch, bool is_due)
{
    if (watch->options->is_quiet || !output_is_terminal())
        return;
    int64_t now = now_ms();
    if (!is_due && now - watch->progress_ms < PROGRESS_MS)
        return;
    watch->progress_ms = now;
    wipe_progress(watch);
    enum { BAR = 24 };
    int64_t total = watch->task_count > 0 ? watch->task_count : 1;
    int filled = (int)(watch->done * BAR / total);
    putchar('[');
    for (int i = 0; i < BAR; i++)
        putchar(i < filled ? '#' : '.');
    printf("] %lld/%lld", (long long)watch->done, (long long)watch->task_count);
    if (watch->running > 0)
        printf("  %lld running", (long long)watch->running);
    if (watch->failed)
        printf("  %s%lld failed%s", style_on(STYLE_BAD), (long long)watch->failed, style_off());
    fflush(stdout);
    watch->has_progress = true;
}

static void print_line(struct watch *watch, const char *state, const struct synk_value *event,
                       int64_t duration_ms)
{
    char duration[32] = "", tries[24] = "";
    int64_t attempt = synk_value_int(synk_value_get(event, "attempt"), 0);
    struct synk_bytes shown = bytes_str(state), text = text_of(event, "error");
    if (!text.size)
        text = text_of(synk_value_get(event, "payload"), "reason");
    if (duration_ms >= 0)
        duration_text(duration_ms, duration);
    if (attempt > 1)
        snprintf(tries, sizeof(tries), "↻%lld ", (long long)attempt);
    wipe_progress(watch);
    enum style style = style_of(shown);
    printf("%s%s%s ", style_on(style), mark_of(shown), style_off());
    size_t taken = print_text(text_of(event, "worker"), output_cut(28));
    printf("%*s %s%-10s%s %11s  %s", taken < 20 ? (int)(20 - taken) : 0, "", style_on(style), state,
           style_off(), duration, tries);
    if (text.size)
        print_text(text, output_room(27 + (taken < 20 ? 20 : taken) + (tries[0] ? 4 : 0)));
    putchar('\n');
    if (!output_is_terminal())
        fflush(stdout);
}

/* Events ----------------------------------------------------------------------------------------
 */

static const struct {
    const char *type, *state;
    bool is_failure;
} endings[] = {
    {"complete", "succeeded", false},
    {"error", "failed", true},
    {"skip", "skipped", false},
    {"cancel", "cancelled", true},
};

static void finish_task(struct watch *watch, const struct synk_value *event, size_t ending,
                        struct started *task)
{
    int64_t at = synk_value_int(synk_value_get(event, "at"), 0), duration_ms = -1;
    if (task->at > 0 && at >= task->at)
        duration_ms = at - task->at;
    watch->running -= task->is_running;
    task->is_running = false;
    if (!task->is_done) {
        watch->done++;
        watch->failed += endings[ending].is_failure;
    }
    task->is_done = true;
    if (watch->options->is_quiet)
        return;
    if (watch->task_count <= LINES_TASKS ||
        (endings[ending].is_failure && watch->failed <= LINES_FAILED))
        print_line(watch, endings[ending].state, event, duration_ms);
    else
        watch->untold += endings[ending].is_failure;
}

/* How many failures had no line of their own. */
static void tell_untold(struct watch *watch)
{
    wipe_progress(watch);
    if (watch->untold)
        printf("and %lld more that did not succeed\n", (long long)watch->untold);
}

/* Tasks as they are before the first event: those that run already have their start from here. */
static void see_tasks(struct watch *watch, const struct synk_value *page)
{
    static const char *const failures[] = {"failed", "timed-out", "quarantined", "cancelled"};
    static const char *const successes[] = {"succeeded", "skipped"};
    const struct synk_value *tasks = synk_value_get(page, "tasks");
    for (size_t i = 0; i < synk_value_count(tasks); i++) {
        const struct synk_value *one = synk_value_at(tasks, i);
        struct started *task = started_of(watch, text_of(one, "worker"));
        struct synk_bytes state = text_of(one, "state");
        bool has_failed = false;
        for (size_t s = 0; s < sizeof(failures) / sizeof(failures[0]); s++)
            has_failed = has_failed || text_is(state, failures[s]);
        task->at = synk_value_int(synk_value_get(one, "startedAt"), 0);
        task->is_running = text_is(state, "running");
        task->is_done = has_failed || text_is(state, successes[0]) || text_is(state, successes[1]);
        watch->running += task->is_running;
        watch->done += task->is_done;
        watch->failed += has_failed;
    }
}

static void see_task(struct watch *watch, const struct synk_value *event)
{
    struct synk_bytes type = text_of(event, "type");
    bool is_start = text_is(type, "start"), is_retry = text_is(type, "retry");
    size_t ending = 0, count = sizeof(endings) / sizeof(endings[0]);
    while (ending < count && !text_is(type, endings[ending].type))
        ending++;
    if (!is_start && !is_retry && ending == count)
        return;
    struct started *task = started_of(watch, text_of(event, "worker"));
    if (is_start) {
        watch->running += !task->is_running;
        task->is_running = true;
        task->at = synk_value_int(synk_value_get(event, "at"), 0);
    } else if (is_retry) {
        watch->running -= task->is_running;
        task->is_running = false;
        if (!watch->options->is_quiet && watch->task_count <= LINES_TASKS)
            print_line(watch, "retry-wait", event, -1);
    } else {
        finish_task(watch, event, ending, task);
    }
}

static void on_event(void *context, const struct synk_value *event, uint64_t gap_first,
                     uint64_t gap_last)
{
    struct watch *watch = context;
    if (!event) {
        wipe_progress(watch);
        fail(EXIT_DONE, "events %llu to %llu are no longer kept", (unsigned long long)gap_first,
             (unsigned long long)gap_last);
        return;
    }
    if (watch->options->events) {
        struct buf line = {0};
        json_print(event, 0, &line);
        buf_append(&line, "\n", 1);
        fwrite(line.data, 1, line.size, watch->options->events);
        buf_fini(&line);
    }
    if (text_is(text_of(event, "run"), watch->options->run) && text_of(event, "worker").size)
        see_task(watch, event);
    print_progress(watch, false);
}

static void on_ended(void *context, enum synk_status status, const struct synk_value *body,
                     const struct synk_error *error)
{
    struct ending *ending = context;
    if (ending->is_abandoned) {
        free(ending);
        return;
    }
    ending->is_ended = true;
    ending->status = status;
    if (status != SYNK_OK) {
        ending->error = *error;
        return;
    }
    struct buf encoded = {0};
    value_encode(body, &encoded);
    ending->status = value_decode_owned(buf_bytes(&encoded), &check_message_limits, &ending->reply,
                                        &ending->error);
    buf_fini(&encoded);
}

/* Why nothing moves -----------------------------------------------------------------------------
 */

static void tell_why(struct watch *watch, const struct synk_value *reply)
{
    const struct synk_value *tasks = synk_value_get(reply, "tasks");
    bool is_queued = text_is(text_of(reply, "status"), "queued");
    for (size_t i = 0; i < synk_value_count(tasks) && !watch->is_told; i++) {
        const struct synk_value *task = synk_value_at(tasks, i);
        struct synk_bytes worker = text_of(task, "worker"), text = text_of(task, "text");
        if (!is_queued && !synk_value_bool(synk_value_get(task, "stuck"), false))
            continue;
        wipe_progress(watch);
        watch->is_told = true;
        if (is_queued)
            fail(EXIT_DONE, "%s waits: %.*s", watch->options->run, (int)text.size,
                 (const char *)text.data);
        else
            fail(EXIT_DONE, "%s: '%.*s' waits: %.*s", watch->options->run, (int)worker.size,
                 (const char *)worker.data, (int)text.size, (const char *)text.data);
    }
}

static void on_explained(void *context, enum synk_status status, const struct synk_value *body,
                         const struct synk_error *error)
{
    struct question *question = context;
    (void)error;
    if (question->watch) {
        question->watch->question = NULL;
        /* A failure means that the run has just ended, or is told by `wait`. */
        if (status == SYNK_OK)
            tell_why(question->watch, body);
    }
    free(question);
}

static void ask_why(struct watch *watch, struct synk_client *client)
{
    int64_t now = now_ms();
    if (watch->running > 0)
        watch->still_ms = now;
    if (watch->is_told || watch->question || now - watch->still_ms < STUCK_MS)
        return;
    struct buf body = {0};
    watch->still_ms = now;
    watch->question = mem_zalloc(1, sizeof(*watch->question));
    watch->question->watch = watch;
    pack_map(&body, 1);
    pack_key(&body, "run");
    pack_cstr(&body, watch->options->run);
    if (synk_request(client, "explain", buf_bytes(&body), on_explained, watch->question, NULL) !=
        SYNK_OK) {
        free(watch->question);
        watch->question = NULL;
    }
    buf_fini(&body);
}

/* The loop --------------------------------------------------------------------------------------
 */

int watch_head(struct synk_client *client, uint64_t *ret_head)
{
    struct buf body = {0};
    struct synk_document *reply = NULL;
    pack_map(&body, 2);
    pack_key(&body, "from");
    pack_int(&body, 0);
    pack_key(&body, "limit");
    pack_int(&body, 1);
    int code = cli_call(client, "fetch", &body, &reply);
    if (!code)
        *ret_head = (uint64_t)synk_value_int(synk_value_get(synk_document_root(reply), "head"), 0);
    synk_document_free(reply);
    return code;
}

static void on_cancelled(void *context, enum synk_status status, const struct synk_value *body,
                         const struct synk_error *error)
{
    (void)context, (void)body;
    if (status != SYNK_OK && status != SYNK_CANCELLED)
        fail(EXIT_REFUSED, "cannot cancel the run: %s", error->text);
}

static void send_cancel(struct watch *watch, struct synk_client *client)
{
    struct buf body = {0};
    struct synk_error error;
    pack_map(&body, 1);
    pack_key(&body, "run");
    pack_cstr(&body, watch->options->run);
    if (synk_request(client, "cancel", buf_bytes(&body), on_cancelled, NULL, &error) != SYNK_OK)
        fail_error(&error);
    buf_fini(&body);
    wipe_progress(watch);
    fail(EXIT_DONE, "cancelling %s; once more leaves it at once", watch->options->run);
}

/* Until the run has ended, or signals say otherwise. */
static int loop(struct watch *watch, struct synk_client *client)
{
    /* From none on: a signal may have come while the watch was set up. */
    int seen = 0;
    watch->still_ms = now_ms();
    while (!watch->ending->is_ended) {
        synk_client_wait(client, 250);
        ask_why(watch, client);
        print_progress(watch, false);
        if (signals_count() == seen)
            continue;
        bool is_first = seen == 0;
        seen = signals_count();
        if (watch->options->cancels && is_first) {
            send_cancel(watch, client);
            continue;
        }
        wipe_progress(watch);
        if (watch->options->cancels)
            return EXIT_INTERRUPTED;
        return fail(EXIT_INTERRUPTED,
                    "%s goes on: `synk wait %s` waits for it, `synk cancel %s` ends it",
                    watch->options->run, watch->options->run, watch->options->run);
    }
    if (watch->ending->status == SYNK_OK)
        return EXIT_DONE;
    wipe_progress(watch);
    return fail_error(&watch->ending->error);
}

/* The events up to the end, so that they come before what is printed then. */
static void drain(struct synk_client *client, const struct synk_subscription *subscription)
{
    uint64_t head = 0;
    int64_t end_ms = now_ms() + DRAIN_MS;
    if (watch_head(client, &head) != EXIT_DONE)
        return;
    while (synk_subscription_position(subscription) < head && now_ms() < end_ms)
        synk_client_wait(client, 50);
}

static int count_tasks(struct watch *watch, struct synk_client *client)
{
    struct synk_document *page = NULL;
    int code = run_view_fetch(client, watch->options->run, false, 0, LINES_TASKS, &page);
    watch->task_count = synk_value_int(synk_value_get(synk_document_root(page), "taskCount"), 0);
    if (watch->task_count <= LINES_TASKS)
        see_tasks(watch, synk_document_root(page));
    synk_document_free(page);
    return code;
}

static int subscribe(struct watch *watch, struct synk_client *client,
                     struct synk_subscription **ret_subscription)
{
    struct synk_error error;
    struct synk_filter filter = {.run = watch->options->events ? NULL : watch->options->run};
    enum synk_status status = synk_subscribe(client, watch->options->from, &filter, on_event, watch,
                                             ret_subscription, &error);
    return status ? fail_error(&error) : EXIT_DONE;
}

/* Asks for the end. On failure there is no callback to come. */
static int ask(struct watch *watch, struct synk_client *client)
{
    struct buf body = {0};
    struct synk_error error;
    pack_map(&body, 1);
    pack_key(&body, "run");
    pack_cstr(&body, watch->options->run);
    watch->ending = mem_zalloc(1, sizeof(*watch->ending));
    enum synk_status status =
        synk_request(client, "wait", buf_bytes(&body), on_ended, watch->ending, &error);
    buf_fini(&body);
    if (!status)
        return EXIT_DONE;
    free(watch->ending);
    watch->ending = NULL;
    return fail_error(&error);
}

int watch_run(struct synk_client *client, const struct watch_options *options,
              struct synk_document **ret_ended)
{
    struct watch watch = {.options = options};
    struct synk_subscription *subscription = NULL;
    bool needs_events = !options->is_quiet || options->events;
    int code = options->is_quiet ? EXIT_DONE : count_tasks(&watch, client);
    if (!code && needs_events)
        code = subscribe(&watch, client, &subscription);
    if (!code)
        code = ask(&watch, client);
    if (!code)
        code = loop(&watch, client);
    if (!code && subscription)
        drain(client, subscription);
    tell_untold(&watch);
    synk_unsubscribe(subscription);
    if (!code) {
        *ret_ended = watch.ending->reply;
        code = exit_of_run(text_of(synk_document_root(*ret_ended), "status"));
    }
    if (watch.ending && !watch.ending->is_ended)
        watch.ending->is_abandoned = true;
    else
        free(watch.ending);
    if (watch.question)
        watch.question->watch = NULL;
    free(watch.started);
    arena_fini(&watch.names);
    return code;
}

int watch_show(const struct cli *cli, struct synk_client *client, const char *run, uint64_t from)
{
    struct watch_options options = {.run = run, .from = from, .is_quiet = cli->json};
    struct synk_document *ended = NULL;
    signals_catch();
    int code = watch_run(client, &options, &ended);
    if (!ended)
        return code;
    int shown = EXIT_DONE;
    if (cli->json)
        shown = run_view_print(cli, client, run, false);
    else
        run_view_print_summary(synk_document_root(ended));
    synk_document_free(ended);
    return shown ? shown : code;
}
