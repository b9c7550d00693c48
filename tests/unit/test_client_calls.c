/*
 * The calls by name: what each asks, lists over their pages, decoded events, and structs that are
 * newer than the library.
 */
#include "tests/support/fake_supervisor.h"

/* What was asked last: "TYPE BODY", the body as JSON. Written by the fake's thread before it
 * answers, read by the test after the answer. */
static char asked[2048];
static pthread_mutex_t asked_lock = PTHREAD_MUTEX_INITIALIZER;

static bool was_asked(const char *expected)
{
    pthread_mutex_lock(&asked_lock);
    bool is_same = strcmp(asked, expected) == 0;
    if (!is_same)
        fprintf(stderr, "asked: %s\nexpected: %s\n", asked, expected);
    pthread_mutex_unlock(&asked_lock);
    return is_same;
}

static void record(const struct question *question)
{
    char *json = synk_value_json_dup(question->body);
    /* A key that was drawn is no part of what the caller said. */
    char *key = strstr(json, "\"key\":\"");
    if (key && strspn(key + 7, "0123456789abcdef") == 32) {
        char *end = key + 7 + 32 + 1;
        char *start = key > json && key[-1] == ',' ? key - 1 : key;
        memmove(start, end, strlen(end) + 1);
    }
    pthread_mutex_lock(&asked_lock);
    snprintf(asked, sizeof(asked), "%u %s", question->type, json);
    pthread_mutex_unlock(&asked_lock);
    free(json);
}

static void answer_all(struct fake *fake, const struct question *question)
{
    record(question);
    answer(fake, question, REPLY,
           "{\"run\": \"u#1\", \"id\": 1, \"tasks\": 3, \"bytes\": 4096, \"data\": \"x\", \"seq\": 9,"
           "\"runs\": 4, \"events\": 5}");
}

static const char *const two[] = {"a", "b"};

#define NONE NULL, NULL

static void call_units_and_runs(struct synk_client *client, int number, enum synk_status *status)
{
    struct synk_error error;
    struct synk_log_range range = {.worker = "w", .attempt = 2, .offset = 10, .max = 20};
    struct synk_run_options options = {
        .params = {"\x81\xa1n\x07", 4}, .key = "k", .by = "me", .overlap = "skip", .delay_ms = 5};
    uint64_t tasks = 0;
    char *run = NULL;
    switch (number) {
    case 0:
        *status = synk_show_unit(client, "u", NONE);
        break;
    case 1:
        *status = synk_pause(client, two, 2, NONE);
        break;
    case 2:
        *status = synk_pause(client, NULL, 0, NONE);
        break;
    case 3:
        *status = synk_resume(client, two, 1, NONE);
        break;
    case 4:
        *status = synk_plan(client, "u", NONE);
        break;
    case 5:
        *status = synk_run_with(client, "u", &options, &run, &error);
        CU_ASSERT_STRING_EQUAL(run, "u#1");
        free(run);
        break;
    case 6:
        *status = synk_wait(client, "u#1", NONE);
        break;
    case 7:
        *status = synk_cancel(client, "u#1", NULL);
        break;
    case 8:
        *status = synk_retry(client, "u#1", two, 2, &tasks, &error);
        CU_ASSERT_EQUAL(tasks, 3);
        break;
    case 9:
        *status = synk_retry(client, "u#1", NULL, 0, NONE);
        break;
    case 10:
        *status = synk_show_run(client, "u#1", true, NONE);
        break;
    case 11:
        *status = synk_explain(client, "u#1", "w", NONE);
        break;
    case 12:
        *status = synk_explain(client, "u#1", NULL, NONE);
        break;
    case 13:
        *status = synk_logs(client, "u#1", &range, NONE);
        break;
    case 14:
        *status = synk_logs(client, "u#1", NULL, NONE);
        break;
    }
}

static void call_the_rest(struct synk_client *client, int number, enum synk_status *status)
{
    struct synk_submission submission = {
        .function = "f", .count = 2, .timeout_ms = -1, .priority = 3, .key = "k"};
    struct synk_filter filter = {.types = two, .type_count = 2, .unit = "u", .run = "u#1"};
    struct synk_milestone_options milestone = {.payload = {"\x81\xa1n\x07", 4},
                                               .unit = "u",
                                               .run = "u#1",
                                               .worker = "w",
                                               .key = "k"};
    struct synk_prune prune = {SYNK_KEEP_CONFIGURED, 9, 0, 7, {0}};
    uint64_t bytes = 0, runs = 0;
    switch (number) {
    case 15:
        *status = synk_submit(client, &submission, NULL, NULL);
        break;
    case 16:
        *status = synk_stats(client, NONE);
        break;
    case 17:
        *status = synk_backup(client, "/b", &bytes, NULL);
        CU_ASSERT_EQUAL(bytes, 4096);
        break;
    case 18:
        *status = synk_shutdown(client, 500, true, NULL);
        break;
    case 19:
        *status = synk_fetch_events(client, 7, &filter, 5, NONE);
        break;
    case 20:
        *status = synk_fetch_events(client, 0, NULL, 0, NONE);
        break;
    case 21:
        *status = synk_milestone(client, "m", &milestone, &bytes, NULL);
        CU_ASSERT_EQUAL(bytes, 9);
        break;
    case 22:
        *status = synk_milestone(client, "m", NULL, NONE);
        break;
    case 23:
        *status = synk_tick(client, "u", NONE);
        break;
    case 24:
        *status = synk_tick(client, NULL, NONE);
        break;
    case 25:
        *status = synk_scan(client, NONE);
        break;
    case 26:
        *status = synk_prune(client, &prune, &runs, &bytes, NULL);
        CU_ASSERT_EQUAL(runs, 4);
        CU_ASSERT_EQUAL(bytes, 5);
        break;
    }
}

static void each_call_asks_what_it_says(void)
{
    static const char *const expected[] = {
        "74 {\"id\":\"u\"}",
        "72 {\"ids\":[\"a\",\"b\"]}",
        "72 {\"all\":true}",
        "73 {\"ids\":[\"a\"]}",
        "78 {\"unit\":\"u\"}",
        "67 {\"unit\":\"u\",\"params\":{\"n\":7},\"key\":\"k\",\"by\":\"me\",\"overlap\":\"skip\","
        "\"delayMs\":5}",
        "69 {\"run\":\"u#1\"}",
        "70 {\"run\":\"u#1\"}",
        "71 {\"run\":\"u#1\",\"workers\":[\"a\",\"b\"]}",
        "71 {\"run\":\"u#1\"}",
        "74 {\"id\":\"u#1\",\"attempts\":true}",
        "77 {\"run\":\"u#1\",\"worker\":\"w\"}",
        "77 {\"run\":\"u#1\"}",
        "79 {\"run\":\"u#1\",\"worker\":\"w\",\"attempt\":2,\"offset\":10,\"max\":20}",
        "79 {\"run\":\"u#1\"}",
        "68 {\"function\":\"f\",\"count\":2,\"maxRetries\":0,\"retryDelayMs\":0,\"priority\":3,"
        "\"key\":\"k\"}",
        "80 {}",
        "81 {\"path\":\"/b\"}",
        "82 {\"graceMs\":500,\"keepHosts\":true}",
        "76 {\"from\":7,\"limit\":5,\"types\":[\"a\",\"b\"],\"unit\":\"u\",\"run\":\"u#1\"}",
        "76 {\"from\":0}",
        "86 {\"name\":\"m\",\"payload\":{\"n\":7},\"unit\":\"u\",\"run\":\"u#1\","
        "\"worker\":\"w\",\"key\":\"k\"}",
        "86 {\"name\":\"m\"}",
        "87 {\"unit\":\"u\"}",
        "87 {}",
        "88 {}",
        "89 {\"keepRuns\":9,\"keepEventsMs\":0,\"keepEvents\":7}",
    };
    struct fake *fake = fake_new(answer_all);
    struct synk_client *client = open_client(fake, 10000);
    for (int i = 0; i < (int)(sizeof(expected) / sizeof(expected[0])); i++) {
        enum synk_status status = SYNK_FAILED;
        call_units_and_runs(client, i, &status);
        call_the_rest(client, i, &status);
        CU_ASSERT_EQUAL(status, SYNK_OK);
        CU_ASSERT_TRUE(was_asked(expected[i]));
    }
    synk_client_close(client);
    fake_free(fake);
}

struct told {
    int replies;
    enum synk_status status;
    char run[SYNK_ERROR_TEXT_BYTES];
};

static void on_started(void *context, enum synk_status status, const char *run,
                       const struct synk_error *error)
{
    struct told *told = context;
    told->replies++;
    told->status = status;
    snprintf(told->run, sizeof(told->run), "%s", run ? run : error->text);
}

static void on_ended(void *context, enum synk_status status, const struct synk_value *body,
                     const struct synk_error *error)
{
    struct synk_bytes run = synk_value_bytes(synk_value_get(body, "run"));
    char text[32];
    snprintf(text, sizeof(text), "%.*s", (int)run.size, (const char *)run.data);
    on_started(context, status, text, error);
}

static void starting_calls_tell_their_callback(void)
{
    struct fake *fake = fake_new(answer_all);
    struct synk_client *client = open_client(fake, 0);
    struct synk_submission submission = {.function = "f", .count = 1, .timeout_ms = -1};
    struct told told[3] = {0};
    CU_ASSERT_EQUAL(synk_run_start(client, "u", NULL, on_started, &told[0], NULL), SYNK_OK);
    CU_ASSERT_EQUAL(synk_submit_start(client, &submission, on_started, &told[1], NULL), SYNK_OK);
    CU_ASSERT_EQUAL(synk_wait_start(client, "u#1", on_ended, &told[2], NULL), SYNK_OK);
    while (told[0].replies + told[1].replies + told[2].replies < 3)
        CU_ASSERT_EQUAL_FATAL(synk_client_wait(client, 10000), SYNK_OK);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(told[i].status, SYNK_OK);
        CU_ASSERT_STRING_EQUAL(told[i].run, "u#1");
    }
    fake_stop(fake);
    CU_ASSERT_EQUAL(synk_run_start(client, "u", NULL, on_started, &told[0], NULL), SYNK_OK);
    synk_client_close(client);
    CU_ASSERT_EQUAL(told[0].status, SYNK_CANCELLED);
    CU_ASSERT_EQUAL(told[0].replies, 2);
    fake_start(fake);
    fake_free(fake);
}

/* Seven items in pages of three; the cursor is the number of the next item. */
static void answer_pages(struct fake *fake, const struct question *question)
{
    record(question);
    bool is_show = question->type == 74;
    int64_t at = synk_value_int(synk_value_get(question->body, is_show ? "from" : "cursor"), 0);
    char json[256], *end = json + sizeof(json), *to = json;
    to += snprintf(to, (size_t)(end - to), "{\"%s\": [", is_show ? "tasks" : "items");
    for (int64_t i = at; i < at + 3 && i < 7; i++)
        to += snprintf(to, (size_t)(end - to), "%s%lld", i == at ? "" : ",", (long long)i);
    to += snprintf(to, (size_t)(end - to), "], \"%s\": ", is_show ? "next" : "cursor");
    if (at + 3 < 7)
        snprintf(to, (size_t)(end - to), "%lld}", (long long)at + 3);
    else
        snprintf(to, (size_t)(end - to), "null}");
    answer(fake, question, REPLY, json);
}

static void walk(struct synk_list *list)
{
    const struct synk_value *item = NULL;
    struct synk_error error;
    for (int64_t i = 0; i < 7; i++) {
        CU_ASSERT_EQUAL_FATAL(synk_list_next(list, &item, &error), SYNK_OK);
        CU_ASSERT_EQUAL(synk_value_int(item, -1), i);
    }
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(synk_list_next(list, &item, &error), SYNK_OK);
        CU_ASSERT_PTR_NULL(item);
    }
    synk_list_close(list);
}

static void lists_are_walked_over_their_pages(void)
{
    struct fake *fake = fake_new(answer_pages);
    struct synk_client *client = open_client(fake, 10000);
    struct synk_list_filter filter = {.unit = "u", .status = "failed", .since_ms = 5, .page = 3};
    struct synk_list *list = NULL;
    CU_ASSERT_EQUAL(synk_list_runs(client, &filter, &list, NULL), SYNK_OK);
    walk(list);
    CU_ASSERT_TRUE(was_asked("75 {\"what\":\"runs\",\"unit\":\"u\",\"status\":\"failed\","
                             "\"since\":5,\"limit\":3,\"cursor\":6}"));
    CU_ASSERT_EQUAL(synk_list_units(client, NULL, &list, NULL), SYNK_OK);
    walk(list);
    CU_ASSERT_TRUE(was_asked("75 {\"what\":\"units\",\"cursor\":6}"));
    CU_ASSERT_EQUAL(synk_list_tasks(client, "u#1", false, &list, NULL), SYNK_OK);
    walk(list);
    CU_ASSERT_TRUE(was_asked("74 {\"id\":\"u#1\",\"attempts\":false,\"from\":6}"));
    synk_client_close(client);
    fake_free(fake);
}

static void answer_same_page(struct fake *fake, const struct question *question)
{
    answer(fake, question, REPLY, "{\"items\": [], \"cursor\": 5}");
}

static void a_list_that_goes_in_circles_ends(void)
{
    struct fake *fake = fake_new(answer_same_page);
    struct synk_client *client = open_client(fake, 10000);
    struct synk_list *list = NULL;
    const struct synk_value *item;
    CU_ASSERT_EQUAL(synk_list_hosts(client, NULL, &list, NULL), SYNK_OK);
    CU_ASSERT_EQUAL(synk_list_next(list, &item, NULL), SYNK_PROTOCOL);
    synk_list_close(list);
    synk_client_close(client);
    fake_free(fake);
}

/* A log whose oldest event is 3, of one milestone and one of a later version. */
static void answer_events(struct fake *fake, const struct question *question)
{
    if (question->type != FETCH)
        return;
    int64_t from = synk_value_int(synk_value_get(question->body, "from"), 4);
    if (from >= 4)
        answer(fake, question, REPLY, "{\"events\":[],\"next\":4,\"head\":4,\"first\":3}");
    else
        answer(fake, question, REPLY,
               "{\"events\":[{\"seq\":3,\"at\":99,\"type\":\"milestone\",\"unit\":\"u\",\"run\":"
               "\"u#1\",\"worker\":\"w\",\"attempt\":2,\"milestone\":\"half\",\"by\":\"me\","
               "\"payload\":{\"n\":1}},{\"seq\":4,\"at\":100,\"type\":\"newer\",\"error\":\"e\"}],"
               "\"next\":4,\"head\":4,\"first\":3}");
}

struct viewed {
    int count, gaps;
    uint64_t gap_first, gap_last;
    bool is_right;
    int stop_at;
    struct synk_subscription *subscription;
};

static bool same(const char *text, const char *expected)
{
    return text && strcmp(text, expected) == 0;
}

static void view(void *context, const struct synk_event_view *event)
{
    struct viewed *viewed = context;
    if (event->kind == SYNK_EVENT_GAP) {
        viewed->gaps++;
        viewed->gap_first = event->gap_first;
        viewed->gap_last = event->gap_last;
        return;
    }
    viewed->count++;
    if (event->kind == SYNK_EVENT_MILESTONE)
        viewed->is_right =
            event->seq == 3 && event->at_ms == 99 && same(event->type, "milestone") &&
            same(event->unit, "u") && same(event->run, "u#1") && same(event->worker, "w") &&
            event->attempt == 2 && same(event->milestone, "half") && same(event->by, "me") &&
            !event->error && synk_value_int(synk_value_get(event->payload, "n"), 0) == 1 &&
            synk_value_int(synk_value_get(event->raw, "seq"), 0) == 3;
    else
        viewed->is_right = viewed->is_right && event->kind == SYNK_EVENT_OTHER &&
                           same(event->type, "newer") && !event->unit && !event->payload &&
                           same(event->error, "e");
    if (viewed->count == viewed->stop_at)
        synk_unsubscribe(viewed->subscription);
}

static void events_come_decoded_and_gaps_are_told(void)
{
    struct fake *fake = fake_new(answer_events);
    struct synk_client *client = open_client(fake, 10000);
    struct viewed all = {0}, one = {.stop_at = 1};
    CU_ASSERT_EQUAL(synk_on_event(client, 1, NULL, view, &all, NULL, NULL), SYNK_OK);
    CU_ASSERT_EQUAL(synk_on_event(client, 1, NULL, view, &one, &one.subscription, NULL), SYNK_OK);
    while (all.count < 2 || one.count < 1)
        CU_ASSERT_EQUAL_FATAL(synk_client_wait(client, 10000), SYNK_OK);
    CU_ASSERT_TRUE(all.is_right);
    CU_ASSERT_EQUAL(all.gaps, 1);
    CU_ASSERT_EQUAL(all.gap_first, 2);
    CU_ASSERT_EQUAL(all.gap_last, 2);
    synk_client_close(client);
    CU_ASSERT_EQUAL(one.count, 1);
    fake_free(fake);
}

static int accepted(void *monitor)
{
    int count = 0;
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    while (zmq_msg_recv(&frame, monitor, ZMQ_DONTWAIT) >= 0) {
        uint16_t event = 0;
        memcpy(&event, zmq_msg_data(&frame), sizeof(event));
        count += event == ZMQ_EVENT_ACCEPTED;
        zmq_msg_recv(&frame, monitor, 0);
    }
    zmq_msg_close(&frame);
    return count;
}

static void subscriptions_of_one_client_share_a_socket(void)
{
    struct fake *fake = fake_new(answer_events);
    fake_stop(fake);
    fake->first = 3;
    fake->head = 4;
    fake_start(fake);
    /* The fake's thread leaves its PUB alone until it is to publish. */
    void *monitor = zmq_socket(fake->context, ZMQ_PAIR);
    zmq_socket_monitor(fake->pub, "inproc://published", ZMQ_EVENT_ACCEPTED);
    zmq_connect(monitor, "inproc://published");
    fake->to_publish = 1;
    struct synk_client *client = open_client(fake, 10000);
    struct synk_subscription *subscriptions[5];
    struct viewed viewed = {0};
    static enum synk_status (*const calls[])(struct synk_client *, const char *, synk_event_handler,
                                             void *, struct synk_subscription **,
                                             struct synk_error *) = {
        synk_on_start, synk_on_complete, synk_on_error, synk_on_milestone, synk_on_updated};
    for (int i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(calls[i](client, "u", view, &viewed, &subscriptions[i], NULL), SYNK_OK);
    for (int i = 0; i < 5; i++)
        while (!synk_subscription_is_current(subscriptions[i]))
            CU_ASSERT_EQUAL_FATAL(synk_client_wait(client, 10000), SYNK_OK);
    CU_ASSERT_EQUAL(viewed.count, 0);
    /* The socket's connecting may still be under way when the subscriptions are current. */
    int count = 0;
    for (int i = 0; i < 1000 && !count; i++) {
        synk_client_wait(client, 5);
        count = accepted(monitor);
    }
    CU_ASSERT_EQUAL(count + accepted(monitor), 1);
    for (int i = 0; i < 5; i++)
        synk_unsubscribe(subscriptions[i]);
    synk_client_close(client);
    zmq_close(monitor);
    fake_free(fake);
}

static void what_is_newer_than_the_library_is_refused(void)
{
    struct synk_client_options options = {.directory = unit_directory(), .reserved = {1}};
    struct synk_client *client = NULL;
    struct synk_error error;
    CU_ASSERT_EQUAL(synk_client_open(&options, &client, &error), SYNK_UNSUPPORTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "synk_client_options"));
    struct fake *fake = fake_new(answer_all);
    client = open_client(fake, 10000);
    struct synk_run_options run = {.reserved = {0, 1}};
    struct synk_submission submission = {.function = "f", .reserved = {1}};
    struct synk_list_filter list = {.reserved = {1}};
    struct synk_filter filter = {.reserved = {1}};
    struct synk_log_range range = {.reserved = {1}};
    struct synk_list *listed = NULL;
    CU_ASSERT_EQUAL(synk_run_with(client, "u", &run, NONE), SYNK_UNSUPPORTED);
    CU_ASSERT_EQUAL(synk_run_start(client, "u", &run, NULL, NONE), SYNK_UNSUPPORTED);
    CU_ASSERT_EQUAL(synk_submit(client, &submission, NONE), SYNK_UNSUPPORTED);
    CU_ASSERT_EQUAL(synk_list_runs(client, &list, &listed, NULL), SYNK_UNSUPPORTED);
    CU_ASSERT_EQUAL(synk_on_event(client, 0, &filter, view, NULL, NONE), SYNK_UNSUPPORTED);
    CU_ASSERT_EQUAL(synk_fetch_events(client, 0, &filter, 0, NONE), SYNK_UNSUPPORTED);
    CU_ASSERT_EQUAL(synk_logs(client, "u#1", &range, NONE), SYNK_UNSUPPORTED);
    CU_ASSERT_EQUAL(synk_abi_version(), SYNK_ABI_VERSION);
    CU_ASSERT_PTR_NOT_NULL(strchr(synk_version(), '.'));
    synk_client_close(client);
    fake_free(fake);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"bodies", each_call_asks_what_it_says},
        {"starting", starting_calls_tell_their_callback},
        {"lists", lists_are_walked_over_their_pages},
        {"circles", a_list_that_goes_in_circles_ends},
        {"events", events_come_decoded_and_gaps_are_told},
        {"one_socket", subscriptions_of_one_client_share_a_socket},
        {"newer", what_is_newer_than_the_library_is_refused},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "client_calls", cases);
}
