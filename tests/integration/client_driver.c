/*
 * A program on the client library against a real supervisor, for test_client.py:
 *   storm RUNS THREADS   starts runs, waits and subscribes on one client, from several threads,
 * while the supervisor is killed and started again; says what came of it tour FILE            every
 * call once race COUNT           what is asked for after a subscription is told by it Prints one
 * line of JSON; exit status 1 with the error where a call failed.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <synk/client.h>

enum { MAX_RUNS = 4096, UNDER_WAY = 8, CALLS = 10 };

static _Noreturn void die(const char *what, const struct synk_error *error)
{
    fprintf(stderr, "%s: %s: %s\n", what, synk_status_name(error->status), error->text);
    exit(1);
}

static void check(enum synk_status status, const char *what, const struct synk_error *error)
{
    if (status != SYNK_OK)
        die(what, error);
}

/* The N of "UNIT#N". */
static unsigned number_of(const char *run)
{
    const char *mark = run ? strchr(run, '#') : NULL;
    unsigned long number = mark ? strtoul(mark + 1, NULL, 10) : 0;
    if (number == 0 || number >= MAX_RUNS) {
        fprintf(stderr, "no run of this test: %s\n", run ? run : "(none)");
        exit(1);
    }
    return (unsigned)number;
}

/* What the callbacks count; they run one at a time. */
struct tally {
    int told[MAX_RUNS], started[MAX_RUNS], completed[MAX_RUNS];
    int replies, failures, gaps, disorder, all;
    uint64_t last_seq;
};

struct storm {
    struct synk_client *client;
    struct tally tally;
    int runs, asked;      /* by the callbacks, after the first */
    pthread_mutex_t lock; /* over `blocking`, which threads count outside callbacks */
    int blocking[MAX_RUNS];
};

static void ask(struct storm *storm, int count);

static void on_run(void *context, enum synk_status status, const char *run,
                   const struct synk_error *error)
{
    struct storm *storm = context;
    struct tally *tally = &storm->tally;
    (void)error;
    tally->replies++;
    ask(storm, 1);
    if (status)
        tally->failures++;
    else
        tally->told[number_of(run)]++;
    /* For whoever kills the supervisor: how far it is. */
    printf("%d\n", tally->replies);
    fflush(stdout);
}

static void ask(struct storm *storm, int count)
{
    struct synk_error error;
    for (; count > 0 && storm->asked < storm->runs; count--, storm->asked++)
        check(synk_run_start(storm->client, "tick", NULL, on_run, storm, &error), "start", &error);
}

static void on_any(void *context, const struct synk_event_view *event)
{
    struct tally *tally = context;
    if (event->kind == SYNK_EVENT_GAP)
        tally->gaps++;
    if (event->seq <= tally->last_seq)
        tally->disorder++;
    tally->last_seq = event->seq;
    tally->all++;
}

static void on_start(void *context, const struct synk_event_view *event)
{
    struct tally *tally = context;
    if (event->kind == SYNK_EVENT_START)
        tally->started[number_of(event->run)]++;
}

static void on_complete(void *context, const struct synk_event_view *event)
{
    struct tally *tally = context;
    if (event->kind == SYNK_EVENT_COMPLETE)
        tally->completed[number_of(event->run)]++;
}

static void *run_and_wait(void *argument)
{
    struct storm *storm = argument;
    for (int i = 0; i < CALLS; i++) {
        struct synk_error error;
        char *run = NULL;
        check(synk_run(storm->client, "tick", (struct synk_bytes){0}, &run, &error), "run", &error);
        check(synk_wait(storm->client, run, NULL, &error), "wait", &error);
        pthread_mutex_lock(&storm->lock);
        storm->blocking[number_of(run)]++;
        pthread_mutex_unlock(&storm->lock);
        free(run);
    }
    return NULL;
}

static int count_once(const int *counts)
{
    int once = 0;
    for (int i = 0; i < MAX_RUNS; i++)
        once += counts[i] == 1;
    return once;
}

static int count_more(const int *counts)
{
    int more = 0;
    for (int i = 0; i < MAX_RUNS; i++)
        more += counts[i] > 1;
    return more;
}

static void storm_run(struct storm *storm, int runs, int threads)
{
    struct synk_error error;
    struct tally *tally = &storm->tally;
    pthread_t started[16];
    pthread_mutex_init(&storm->lock, NULL);
    check(synk_client_open(NULL, &storm->client, &error), "open", &error);
    check(synk_on_event(storm->client, UINT64_MAX, NULL, on_any, tally, NULL, &error), "subscribe",
          &error);
    check(synk_on_start(storm->client, "tick", on_start, tally, NULL, &error), "on start", &error);
    check(synk_on_complete(storm->client, "tick", on_complete, tally, NULL, &error), "on complete",
          &error);
    int all = runs + threads * CALLS;
    storm->runs = runs;
    ask(storm, UNDER_WAY); /* before there is another thread; the rest in callbacks */
    for (int i = 0; i < threads; i++)
        pthread_create(&started[i], NULL, run_and_wait, storm);
    for (int i = 0; i < threads; i++)
        pthread_join(started[i], NULL);
    while (tally->replies < storm->runs || count_once(tally->completed) < all ||
           count_once(tally->started) < all)
        synk_client_wait(storm->client, -1);
    synk_client_close(storm->client);
    printf("{\"replies\": %d, \"failures\": %d, \"told\": %d, \"toldTwice\": %d, \"blocking\": %d, "
           "\"started\": %d, \"startedTwice\": %d, \"completed\": %d, \"completedTwice\": %d, "
           "\"gaps\": %d, \"disorder\": %d}\n",
           tally->replies, tally->failures, count_once(tally->told), count_more(tally->told),
           count_once(storm->blocking), count_once(tally->started), count_more(tally->started),
           count_once(tally->completed), count_more(tally->completed), tally->gaps,
           tally->disorder);
}

/* Calls, and prints what is under `key` of the reply. */
#define SHOW(call, key)                                                                            \
    do {                                                                                           \
        struct synk_document *reply = NULL;                                                        \
        check(call, #key, &error);                                                                 \
        char *json = synk_value_json_dup(synk_value_get(synk_document_root(reply), #key));         \
        printf("\"%s\": %s, ", #key, json);                                                        \
        free(json);                                                                                \
        synk_document_free(reply);                                                                 \
    } while (0)

static int count_items(struct synk_list *list)
{
    const struct synk_value *item;
    struct synk_error error;
    int count = 0;
    for (;;) {
        check(synk_list_next(list, &item, &error), "list", &error);
        if (!item)
            break;
        count++;
    }
    synk_list_close(list);
    return count;
}

static void tour_lists(struct synk_client *client)
{
    struct synk_error error;
    struct synk_list_filter pages = {.page = 2}, failed = {.unit = "two", .status = "failed"};
    struct synk_list *list = NULL;
    check(synk_list_units(client, &pages, &list, &error), "units", &error);
    printf("\"units\": %d, ", count_items(list));
    check(synk_list_runs(client, &pages, &list, &error), "runs", &error);
    printf("\"runs\": %d, ", count_items(list));
    check(synk_list_runs(client, &failed, &list, &error), "runs", &error);
    printf("\"failed\": %d, ", count_items(list));
    check(synk_list_hosts(client, NULL, &list, &error), "hosts", &error);
    printf("\"hosts\": %d, ", count_items(list));
    check(synk_list_tasks(client, "two#1", true, &list, &error), "tasks", &error);
    printf("\"tasks\": %d, ", count_items(list));
    check(synk_list_pool(client, NULL, &list, &error), "pool", &error);
    printf("\"pool\": %d, ", count_items(list));
}

static void tour(const char *file, const char *backup)
{
    struct synk_client *client = NULL;
    struct synk_error error;
    struct synk_run_options options = {.key = "the-one", .by = "tour"};
    struct synk_submission submission = {.function = "sim.noop", .count = 3, .timeout_ms = -1};
    struct synk_log_range range = {.worker = "first"};
    const char *ids[] = {"two"}, *workers[] = {"second"};
    char *run = NULL, *again = NULL, *submitted = NULL;
    uint64_t tasks = 0, bytes = 0;
    check(synk_client_open(NULL, &client, &error), "open", &error);
    check(synk_apply(client, &file, 1, false, false, NULL, &error), "apply", &error);
    check(synk_run_with(client, "two", &options, &run, &error), "run", &error);
    check(synk_run_with(client, "two", &options, &again, &error), "run again", &error);
    printf("{\"run\": \"%s\", \"again\": \"%s\", ", run, again);
    SHOW(synk_wait(client, run, &reply, &error), status);
    SHOW(synk_show_run(client, run, false, &reply, &error), by);
    SHOW(synk_show_unit(client, "two", &reply, &error), runCount);
    SHOW(synk_explain(client, run, "second", &reply, &error), run);
    SHOW(synk_logs(client, run, &range, &reply, &error), size);
    SHOW(synk_plan(client, "two", &reply, &error), mode);
    SHOW(synk_stats(client, &reply, &error), version);
    check(synk_submit(client, &submission, &submitted, &error), "submit", &error);
    check(synk_wait(client, submitted, NULL, &error), "wait", &error);
    tour_lists(client);
    check(synk_retry(client, run, workers, 1, &tasks, &error), "retry", &error);
    check(synk_wait(client, run, NULL, &error), "wait", &error);
    check(synk_pause(client, ids, 1, NULL, &error), "pause", &error);
    SHOW(synk_show_unit(client, "two", &reply, &error), paused);
    check(synk_resume(client, NULL, 0, NULL, &error), "resume", &error);
    check(synk_backup(client, backup, &bytes, &error), "backup", &error);
    SHOW(synk_fetch_events(client, 0, NULL, 1, &reply, &error), next);
    enum synk_status refused = synk_cancel(client, run, &error);
    printf("\"retried\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"cancel\": \"%s\"}\n", tasks, bytes,
           synk_status_name(refused));
    check(synk_shutdown(client, 1000, false, &error), "shutdown", &error);
    synk_client_close(client);
    free(run);
    free(again);
    free(submitted);
}

struct wanted {
    char seen[64][32];
    int count;
};

static void look(void *context, const struct synk_event_view *event)
{
    struct wanted *wanted = context;
    if (event->run && wanted->count < 64)
        snprintf(wanted->seen[wanted->count++], sizeof(wanted->seen[0]), "%s", event->run);
}

/* A new subscription each time, and a run right behind it. */
static void race(int count)
{
    struct synk_client *client = NULL;
    struct synk_error error;
    int seen = 0;
    check(synk_client_open(NULL, &client, &error), "open", &error);
    for (int i = 0; i < count; i++) {
        struct wanted wanted = {0};
        struct synk_subscription *subscription;
        char *run = NULL;
        check(synk_on_start(client, "tick", look, &wanted, &subscription, &error), "on", &error);
        check(synk_run(client, "tick", (struct synk_bytes){0}, &run, &error), "run", &error);
        check(synk_wait(client, run, NULL, &error), "wait", &error);
        bool is_seen = false;
        while (!is_seen && synk_client_wait(client, 5000) == SYNK_OK)
            for (int k = 0; k < wanted.count; k++)
                is_seen = is_seen || strcmp(wanted.seen[k], run) == 0;
        seen += is_seen && wanted.count == 1;
        synk_unsubscribe(subscription);
        free(run);
    }
    synk_client_close(client);
    printf("{\"seen\": %d}\n", seen);
}

int main(int argc, char **argv)
{
    static struct storm storm;
    if (argc == 4 && strcmp(argv[1], "storm") == 0)
        storm_run(&storm, atoi(argv[2]), atoi(argv[3]));
    else if (argc == 4 && strcmp(argv[1], "tour") == 0)
        tour(argv[2], argv[3]);
    else if (argc == 3 && strcmp(argv[1], "race") == 0)
        race(atoi(argv[2]));
    else
        return 64;
    return 0;
}
