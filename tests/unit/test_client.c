/*
 * The client library against a supervisor that the test plays: requests, reconnects, events,
 * definition files.
 */
#include <poll.h>

#include "tests/support/fake_supervisor.h"

static void note(struct fake *fake, const struct question *question)
{
    int index = atomic_load(&fake->asked);
    if (index < 4) {
        struct synk_bytes key = synk_value_bytes(synk_value_get(question->body, "key"));
        fake->sequences[index] = question->sequence;
        snprintf(fake->keys[index], sizeof(fake->keys[index]), "%.*s", (int)key.size,
                 (const char *)key.data);
    }
    atomic_fetch_add(&fake->asked, 1);
}

static void answer_run(struct fake *fake, const struct question *question)
{
    note(fake, question);
    struct synk_bytes unit = synk_value_bytes(synk_value_get(question->body, "unit"));
    if (question->type == RUN && unit.size == 4 && memcmp(unit.data, "unit", 4) == 0 &&
        synk_value_int(synk_value_get(synk_value_get(question->body, "params"), "n"), 0) == 7)
        answer(fake, question, REPLY, "{\"run\": \"unit#1\", \"id\": 5}");
    else
        answer(fake, question, 129, "{\"status\": \"not-found\", \"text\": \"no unit 'x'\"}");
}

static void runs_and_draws_keys(void)
{
    struct fake *fake = fake_new(answer_run);
    struct synk_client *client = open_client(fake, 10000);
    struct synk_builder *params = synk_builder_new();
    char *run = NULL;
    struct synk_error error;
    CU_ASSERT_EQUAL(synk_builder_json(params, "{\"n\": 7}", 8, NULL), SYNK_OK);
    CU_ASSERT_EQUAL(synk_run(client, "unit", synk_builder_bytes(params), &run, &error), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(run, "unit#1");
    CU_ASSERT_EQUAL(synk_run(client, "x", (struct synk_bytes){0}, NULL, &error), SYNK_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(error.text, "no unit 'x'");
    CU_ASSERT_EQUAL(synk_call(client, "no-such", (struct synk_bytes){0}, NULL, &error),
                    SYNK_UNSUPPORTED);
    CU_ASSERT_EQUAL(synk_call(client, "run", (struct synk_bytes){"\x01", 1}, NULL, &error),
                    SYNK_INVALID);
    free(run);
    synk_builder_free(params);
    synk_client_close(client);
    CU_ASSERT_EQUAL(atomic_load(&fake->asked), 2);
    CU_ASSERT_EQUAL(strlen(fake->keys[0]), 32);
    CU_ASSERT_EQUAL(strlen(fake->keys[1]), 32);
    CU_ASSERT_STRING_NOT_EQUAL(fake->keys[0], fake->keys[1]);
    fake_free(fake);
}

static void without_a_supervisor_says_how_to_start_one(void)
{
    struct synk_client_options options = {.directory = unit_directory(), .fail_fast = true};
    struct synk_client *client = NULL;
    struct synk_error error = {0};
    CU_ASSERT_EQUAL(synk_client_open(&options, &client, &error), SYNK_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "synk up"));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, unit_directory()));
}

/* The first two questions go unanswered. */
static void answer_late(struct fake *fake, const struct question *question)
{
    note(fake, question);
    if (atomic_load(&fake->asked) > 2)
        answer(fake, question, REPLY, "{\"run\": \"unit#1\"}");
}

static void count_reply(void *context, enum synk_status status, const struct synk_value *body,
                        const struct synk_error *error)
{
    (void)body, (void)error;
    ((int *)context)[status == SYNK_OK ? 0 : 1]++;
}

static void a_restart_gets_unanswered_requests_again(void)
{
    struct fake *fake = fake_new(answer_late);
    struct synk_client *client = open_client(fake, 0);
    struct synk_builder *body = synk_builder_new();
    int replies[2] = {0};
    synk_builder_json(body, "{\"unit\": \"unit\"}", 16, NULL);
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(
            synk_request(client, "run", synk_builder_bytes(body), count_reply, replies, NULL),
            SYNK_OK);
    while (atomic_load(&fake->asked) < 2)
        synk_client_wait(client, 10);
    fake_stop(fake);
    fake_start(fake);
    while (replies[0] < 2)
        CU_ASSERT_EQUAL_FATAL(synk_client_wait(client, 10000), SYNK_OK);
    CU_ASSERT_EQUAL(replies[1], 0);
    synk_builder_free(body);
    synk_client_close(client);
    CU_ASSERT_EQUAL(atomic_load(&fake->asked), 4);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_STRING_EQUAL(fake->keys[i], fake->keys[i + 2]);
        CU_ASSERT_EQUAL(fake->sequences[i], fake->sequences[i + 2]);
    }
    fake_free(fake);
}

static void answer_never(struct fake *fake, const struct question *question)
{
    (void)question;
    atomic_fetch_add(&fake->asked, 1);
}

static void a_call_times_out_and_close_ends_the_rest(void)
{
    struct fake *fake = fake_new(answer_never);
    struct synk_client *client = open_client(fake, 30);
    struct synk_error error;
    int replies[2] = {0};
    CU_ASSERT_EQUAL(synk_call(client, "stats", (struct synk_bytes){0}, NULL, &error), SYNK_TIMEOUT);
    CU_ASSERT_EQUAL(
        synk_request(client, "stats", (struct synk_bytes){0}, count_reply, replies, NULL), SYNK_OK);
    synk_client_close(client);
    CU_ASSERT_EQUAL(replies[0], 0);
    CU_ASSERT_EQUAL(replies[1], 1);
    fake_free(fake);
}

/* Garbage of every kind comes before the reply. */
static void answer_after_garbage(struct fake *fake, const struct question *question)
{
    struct question other = *question;
    other.sequence += 1000;
    answer(fake, &other, REPLY, "{\"stray\": true}");
    answer(fake, question, 33, "{\"text\": \"not for a client\"}");
    zmq_send(fake->router, zmq_msg_data(question->from), zmq_msg_size(question->from), ZMQ_SNDMORE);
    zmq_send(fake->router, "x", 1, 0);
    if (question->type == WAIT)
        answer_bytes(fake, question, REPLY, (struct synk_bytes){"\xdf\xff\xff\xff\xff", 5});
    else
        answer(fake, question, REPLY, "{\"n\": 3}");
    answer(fake, question, REPLY, "{\"n\": 4}");
}

static void garbage_is_dropped(void)
{
    struct fake *fake = fake_new(answer_after_garbage);
    struct synk_client *client = open_client(fake, 10000);
    for (int i = 0; i < 3; i++) {
        struct synk_document *body = NULL;
        CU_ASSERT_EQUAL(synk_call(client, "stats", (struct synk_bytes){0}, &body, NULL), SYNK_OK);
        CU_ASSERT_EQUAL(synk_value_int(synk_value_get(synk_document_root(body), "n"), 0), 3);
        synk_document_free(body);
    }
    struct synk_error error;
    CU_ASSERT_EQUAL(synk_wait(client, "unit#1", NULL, &error), SYNK_PROTOCOL);
    synk_client_close(client);
    fake_free(fake);
}

static void answer_empty(struct fake *fake, const struct question *question)
{
    atomic_fetch_add(&fake->asked, 1);
    answer(fake, question, REPLY, "{}");
}

/* Whoever stops after one turn is told again by the fd, though ZeroMQ's own would stay silent. */
static void the_fd_is_level_triggered(void)
{
    enum { REQUESTS = 3000 };
    struct fake *fake = fake_new(answer_empty);
    struct synk_client *client = open_client(fake, 0);
    int replies[2] = {0};
    for (int i = 0; i < REQUESTS; i++)
        synk_request(client, "stats", (struct synk_bytes){0}, count_reply, replies, NULL);
    while (replies[0] < REQUESTS) {
        struct pollfd fd = {.fd = synk_client_fd(client), .events = POLLIN};
        CU_ASSERT_EQUAL_FATAL(poll(&fd, 1, 10000), 1);
        synk_client_process(client);
    }
    CU_ASSERT_EQUAL(replies[0], REQUESTS);
    CU_ASSERT_EQUAL(replies[1], 0);
    synk_client_close(client);
    CU_ASSERT_EQUAL(atomic_load(&fake->asked), REQUESTS);
    fake_free(fake);
}

/* ZeroMQ aborts the program where a pipe is taken from a socket between two frames of a message,
 * which it did with ZMQ_IMMEDIATE when a connection broke while replies were being read. */
static void a_connection_that_breaks_while_replies_are_read_stops_nobody(void)
{
    enum { REQUESTS = 900 };
    struct fake *fake = fake_new(answer_empty);
    struct synk_client *client = open_client(fake, 0);
    int replies[2] = {0};
    /* All replies are there before the first is read, more of them than a turn takes. */
    CU_ASSERT_EQUAL(synk_call(client, "stats", (struct synk_bytes){0}, NULL, NULL), SYNK_OK);
    for (int i = 0; i < REQUESTS; i++)
        synk_request(client, "stats", (struct synk_bytes){0}, count_reply, replies, NULL);
    while (atomic_load(&fake->asked) < REQUESTS + 1)
        poll(NULL, 0, 1);
    synk_client_process(client);
    CU_ASSERT_TRUE(replies[0] > 0);
    fake_stop(fake);
    /* Nothing that the client shows tells that its connection ended before it looks: a moment makes
     * it likely that it has; the test passes as well where it has not. */
    poll(NULL, 0, 30);
    synk_client_process(client);
    fake_start(fake);
    while (replies[0] < REQUESTS)
        CU_ASSERT_EQUAL_FATAL(synk_client_wait(client, 10000), SYNK_OK);
    CU_ASSERT_EQUAL(replies[1], 0);
    synk_client_close(client);
    fake_free(fake);
}

/* A log of events first…head in pages of three; each page is answered as asked. */
static void answer_fetch(struct fake *fake, const struct question *question)
{
    if (question->type != FETCH)
        return;
    atomic_fetch_add(&fake->fetches, 1);
    uint64_t from =
        (uint64_t)synk_value_int(synk_value_get(question->body, "from"), (int64_t)fake->head);
    uint64_t limit = (uint64_t)synk_value_int(synk_value_get(question->body, "limit"), 0);
    uint64_t start = from + 1 < fake->first ? fake->first : from + 1, end = start + 3;
    if (limit < 3)
        end = start + limit;
    if (end > fake->head + 1)
        end = fake->head + 1;
    char json[1024] = "{\"events\": [";
    size_t size = strlen(json);
    for (uint64_t seq = start; seq < end; seq++)
        size += (size_t)snprintf(json + size, sizeof(json) - size, "%s{\"seq\": %llu}",
                                 seq == start ? "" : ",", (unsigned long long)seq);
    snprintf(json + size, sizeof(json) - size,
             "], \"next\": %llu, \"head\": %llu, \"first\": %llu}",
             (unsigned long long)(end > start ? end - 1 : from), (unsigned long long)fake->head,
             (unsigned long long)fake->first);
    answer(fake, question, REPLY, json);
}

struct seen {
    uint64_t numbers[64], gaps[4][2];
    size_t count, gap_count, stop_at;
    struct synk_subscription *subscription;
};

static void see(void *context, const struct synk_value *event, uint64_t gap_first,
                uint64_t gap_last)
{
    struct seen *seen = context;
    if (!event) {
        seen->gaps[seen->gap_count][0] = gap_first;
        seen->gaps[seen->gap_count++][1] = gap_last;
        return;
    }
    seen->numbers[seen->count++] = (uint64_t)synk_value_int(synk_value_get(event, "seq"), 0);
    if (seen->stop_at && seen->count == seen->stop_at)
        synk_unsubscribe(seen->subscription);
}

static void wait_until_seen(struct synk_client *client, const struct seen *seen, size_t count)
{
    while (seen->count < count)
        CU_ASSERT_EQUAL_FATAL(synk_client_wait(client, 10000), SYNK_OK);
}

static void events_come_once_in_order_across_pages_gaps_and_restarts(void)
{
    struct fake *fake = fake_new(answer_fetch);
    fake_stop(fake);
    fake->first = 6;
    fake->head = 15;
    fake_start(fake);
    struct synk_client *client = open_client(fake, 10000);
    struct seen seen = {0};
    CU_ASSERT_EQUAL(synk_subscribe(client, 2, NULL, see, &seen, &seen.subscription, NULL), SYNK_OK);
    wait_until_seen(client, &seen, 10);
    CU_ASSERT_TRUE(synk_subscription_is_current(seen.subscription));
    fake_stop(fake);
    fake->head = 20;
    fake->to_publish = 1; /* many times: a hint that repeats must not repeat an event */
    fake_start(fake);
    wait_until_seen(client, &seen, 15);
    for (int i = 0; i < 20; i++)
        synk_client_wait(client, 5);
    CU_ASSERT_EQUAL(seen.count, 15);
    for (size_t i = 0; i < seen.count; i++)
        CU_ASSERT_EQUAL(seen.numbers[i], i + 6);
    CU_ASSERT_EQUAL(seen.gap_count, 1);
    CU_ASSERT_EQUAL(seen.gaps[0][0], 3);
    CU_ASSERT_EQUAL(seen.gaps[0][1], 5);
    CU_ASSERT_EQUAL(synk_subscription_position(seen.subscription), 20);
    synk_unsubscribe(seen.subscription);
    synk_client_close(client);
    fake_free(fake);
}

static void a_subscription_from_the_end_sees_only_what_comes(void)
{
    struct fake *fake = fake_new(answer_fetch);
    fake_stop(fake);
    fake->first = 1;
    fake->head = 9;
    fake_start(fake);
    struct synk_client *client = open_client(fake, 10000);
    const char *types[] = {"complete"};
    struct synk_filter filter = {.types = types, .type_count = 1, .run = "unit#1"};
    struct seen seen = {.stop_at = 2};
    CU_ASSERT_EQUAL(
        synk_subscribe(client, UINT64_MAX, &filter, see, &seen, &seen.subscription, NULL), SYNK_OK);
    while (!synk_subscription_is_current(seen.subscription))
        CU_ASSERT_EQUAL_FATAL(synk_client_wait(client, 10000), SYNK_OK);
    fake_stop(fake);
    fake->head = 12;
    fake_start(fake);
    wait_until_seen(client, &seen, 2); /* its callback ends the subscription */
    for (int i = 0; i < 5; i++)
        synk_client_wait(client, 5);
    CU_ASSERT_EQUAL(seen.count, 2);
    CU_ASSERT_EQUAL(seen.numbers[0], 10);
    CU_ASSERT_EQUAL(seen.gap_count, 0);
    synk_client_close(client);
    fake_free(fake);
}

/* A program that has read nothing yet, and to whom what was written meanwhile is lost. */
static void what_goes_before_the_first_event_was_read_is_a_gap(void)
{
    uint64_t places[] = {0, UINT64_MAX};
    for (int i = 0; i < 2; i++) {
        struct fake *fake = fake_new(answer_fetch);
        fake_stop(fake);
        fake->first = 1;
        fake->head = 0;
        fake_start(fake);
        struct synk_client *client = open_client(fake, 10000);
        struct seen seen = {0};
        CU_ASSERT_EQUAL(
            synk_subscribe(client, places[i], NULL, see, &seen, &seen.subscription, NULL), SYNK_OK);
        while (!synk_subscription_is_current(seen.subscription))
            CU_ASSERT_EQUAL_FATAL(synk_client_wait(client, 10000), SYNK_OK);
        fake_stop(fake);
        fake->first = 8;
        fake->head = 9;
        fake_start(fake);
        wait_until_seen(client, &seen, 2);
        CU_ASSERT_EQUAL(seen.numbers[0], 8);
        CU_ASSERT_EQUAL_FATAL(seen.gap_count, 1);
        CU_ASSERT_EQUAL(seen.gaps[0][0], 1);
        CU_ASSERT_EQUAL(seen.gaps[0][1], 7);
        synk_client_close(client);
        fake_free(fake);
    }
}

/* Of a subscription that saw numbers fall, and of one that comes with a number of another state. */
static void another_state_is_read_from_its_beginning(void)
{
    struct fake *fake = fake_new(answer_fetch);
    fake_stop(fake);
    fake->first = 1;
    fake->head = 6;
    fake_start(fake);
    struct synk_client *client = open_client(fake, 10000);
    struct seen seen = {0}, late = {0};
    CU_ASSERT_EQUAL(synk_subscribe(client, 2, NULL, see, &seen, &seen.subscription, NULL), SYNK_OK);
    wait_until_seen(client, &seen, 4);
    fake_stop(fake);
    fake->head = 3;
    fake_start(fake);
    wait_until_seen(client, &seen, 7);
    CU_ASSERT_EQUAL(synk_subscribe(client, 6, NULL, see, &late, &late.subscription, NULL), SYNK_OK);
    wait_until_seen(client, &late, 3);
    for (uint64_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(seen.numbers[4 + i], i + 1);
        CU_ASSERT_EQUAL(late.numbers[i], i + 1);
    }
    CU_ASSERT_EQUAL(seen.gap_count + late.gap_count, 0);
    synk_client_close(client);
    fake_free(fake);
}

static void answer_apply(struct fake *fake, const struct question *question)
{
    if (question->type == UPLOAD) {
        size_t size = synk_value_count(synk_value_get(question->body, "data"));
        CU_ASSERT_EQUAL((size_t)synk_value_int(synk_value_get(question->body, "offset"), -1),
                        fake->uploaded);
        CU_ASSERT_TRUE(size <= 1 << 20);
        fake->uploaded += size;
        fake->chunks++;
        answer(fake, question, REPLY, "{\"received\": 1}");
    } else if (question->type == APPLY) {
        CU_ASSERT_EQUAL(synk_value_get(question->body, "upload") != NULL, fake->uploaded > 0);
        CU_ASSERT_TRUE(synk_value_bool(synk_value_get(question->body, "prune"), false));
        const struct synk_value *workers =
            synk_value_get(synk_value_get(question->body, "document"), "workers");
        CU_ASSERT_EQUAL(synk_value_count(workers), fake->uploaded ? 0 : 1);
        answer(fake, question, REPLY, "{\"units\": []}");
    }
}

static void write_workers(const char *path, int count, size_t payload_bytes)
{
    FILE *file = fopen(path, "w");
    char *payload = malloc(payload_bytes + 1);
    memset(payload, 'x', payload_bytes);
    payload[payload_bytes] = '\0';
    fprintf(file, "workers:\n");
    for (int i = 0; i < count; i++)
        fprintf(file, "  - {id: w%d, run: sim.noop, payload: {text: %s}}\n", i, payload);
    free(payload);
    fclose(file);
}

static void large_documents_go_up_in_chunks(void)
{
    struct fake *fake = fake_new(answer_apply);
    struct synk_client *client = open_client(fake, 30000);
    char path[256];
    const char *files[] = {path};
    struct synk_error error = {0};
    struct synk_document *body = NULL;
    snprintf(path, sizeof(path), "%s/workers.yaml", fake->directory);
    write_workers(path, 1, 10);
    CU_ASSERT_EQUAL(synk_apply(client, files, 1, false, true, &body, &error), SYNK_OK);
    CU_ASSERT_EQUAL(synk_value_kind(synk_value_get(synk_document_root(body), "units")), SYNK_ARRAY);
    synk_document_free(body);
    write_workers(path, 4, 600 << 10);
    CU_ASSERT_EQUAL(synk_apply(client, files, 1, false, true, NULL, &error), SYNK_OK);
    synk_client_close(client);
    CU_ASSERT_EQUAL(fake->chunks, 3);
    fake_free(fake);
}

static void invalid_files_are_refused_here_with_their_line(void)
{
    struct fake *fake = fake_new(answer_never);
    struct synk_client *client = open_client(fake, 10000);
    char path[256];
    const char *files[] = {path};
    struct synk_error error = {0};
    snprintf(path, sizeof(path), "%s/bad.yaml", fake->directory);
    FILE *file = fopen(path, "w");
    fputs("workers:\n  - {id: a, run: sim.noop, dependOn: [b]}\n", file);
    fclose(file);
    CU_ASSERT_EQUAL(synk_apply(client, files, 1, false, false, NULL, &error), SYNK_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "bad.yaml:2"));
    synk_client_close(client);
    CU_ASSERT_EQUAL(atomic_load(&fake->asked), 0);
    fake_free(fake);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"runs_and_draws_keys", runs_and_draws_keys},
        {"without_a_supervisor", without_a_supervisor_says_how_to_start_one},
        {"restart", a_restart_gets_unanswered_requests_again},
        {"timeout", a_call_times_out_and_close_ends_the_rest},
        {"garbage", garbage_is_dropped},
        {"level_triggered", the_fd_is_level_triggered},
        {"breaks_while_read", a_connection_that_breaks_while_replies_are_read_stops_nobody},
        {"events", events_come_once_in_order_across_pages_gaps_and_restarts},
        {"gap_before_the_first_event", what_goes_before_the_first_event_was_read_is_a_gap},
        {"another_state", another_state_is_read_from_its_beginning},
        {"events_from_the_end", a_subscription_from_the_end_sees_only_what_comes},
        {"upload", large_documents_go_up_in_chunks},
        {"invalid_files", invalid_files_are_refused_here_with_their_line},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "client", cases);
}
