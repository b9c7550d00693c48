/*
 * The client library used from several threads, from inside callbacks, and by a signal handler. Run
 * under ThreadSanitizer, too.
 */
#include <poll.h>
#include <signal.h>

#include "tests/support/fake_supervisor.h"

enum { THREADS = 4, CALLS = 50 };

/* Repeats the number it was asked with. */
static void answer_number(struct fake *fake, const struct question *question)
{
    char json[64];
    snprintf(json, sizeof(json), "{\"n\": %lld}",
             (long long)synk_value_int(synk_value_get(question->body, "n"), -1));
    answer(fake, question, REPLY, json);
}

static int64_t ask_number(struct synk_client *client, int64_t number)
{
    struct synk_builder *body = synk_builder_new();
    struct synk_document *reply = NULL;
    synk_builder_map(body, 1);
    synk_builder_string(body, "n");
    synk_builder_int(body, number);
    enum synk_status status = synk_call(client, "stats", synk_builder_bytes(body), &reply, NULL);
    int64_t answered =
        status ? status : synk_value_int(synk_value_get(synk_document_root(reply), "n"), -1);
    synk_document_free(reply);
    synk_builder_free(body);
    return answered;
}

struct asker {
    struct synk_client *client;
    pthread_t thread;
    int number, right;
};

static void *ask_often(void *argument)
{
    struct asker *asker = argument;
    for (int i = 0; i < CALLS; i++)
        asker->right +=
            ask_number(asker->client, asker->number * CALLS + i) == asker->number * CALLS + i;
    return NULL;
}

static void several_clients_in_several_threads(void)
{
    struct fake *fake = fake_new(answer_number);
    struct asker askers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.client = open_client(fake, 20000), .number = i};
        pthread_create(&askers[i].thread, NULL, ask_often, &askers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(askers[i].thread, NULL);
        CU_ASSERT_EQUAL(askers[i].right, CALLS);
        synk_client_close(askers[i].client);
    }
    fake_free(fake);
}

/* Each gets its own answers, whichever thread received them. */
static void one_client_for_several_threads(void)
{
    struct fake *fake = fake_new(answer_number);
    struct synk_client *client = open_client(fake, 20000);
    struct asker askers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.client = client, .number = i};
        pthread_create(&askers[i].thread, NULL, ask_often, &askers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(askers[i].thread, NULL);
        CU_ASSERT_EQUAL(askers[i].right, CALLS);
    }
    synk_client_close(client);
    fake_free(fake);
}

struct event_loop {
    struct synk_client *client;
    atomic_bool is_stopping;
    int turns;
};

static void *loop(void *argument)
{
    struct event_loop *event_loop = argument;
    while (!atomic_load(&event_loop->is_stopping)) {
        struct pollfd fd = {.fd = synk_client_fd(event_loop->client), .events = POLLIN};
        poll(&fd, 1, -1);
        synk_client_process(event_loop->client);
        event_loop->turns++;
    }
    return NULL;
}

/* The loop may take the answer from under the one who blocks, who must not sleep on. */
static void blocking_calls_beside_an_event_loop(void)
{
    struct fake *fake = fake_new(answer_number);
    struct event_loop event_loop = {.client = open_client(fake, 20000)};
    pthread_t thread;
    pthread_create(&thread, NULL, loop, &event_loop);
    struct asker asker = {.client = event_loop.client};
    ask_often(&asker);
    CU_ASSERT_EQUAL(asker.right, CALLS);
    atomic_store(&event_loop.is_stopping, true);
    synk_client_wake(event_loop.client);
    pthread_join(thread, NULL);
    synk_client_close(event_loop.client);
    fake_free(fake);
}

static void *ask_one(void *argument)
{
    struct asker *asker = argument;
    asker->right = ask_number(asker->client, asker->number) == asker->number;
    return NULL;
}

static void a_client_handed_over_between_threads(void)
{
    struct fake *fake = fake_new(answer_number);
    struct asker asker = {.client = open_client(fake, 20000)};
    for (asker.number = 0; asker.number < 10; asker.number++) {
        pthread_create(&asker.thread, NULL, ask_one, &asker);
        pthread_join(asker.thread, NULL);
        CU_ASSERT_TRUE(asker.right);
        CU_ASSERT_EQUAL(ask_number(asker.client, 1000), 1000);
    }
    synk_client_close(asker.client);
    fake_free(fake);
}

static void answer_never(struct fake *fake, const struct question *question)
{
    (void)question;
    atomic_fetch_add(&fake->asked, 1);
}

/* One who leads gives up at its own time, and so do those who follow it. */
static void *time_out(void *argument)
{
    struct asker *asker = argument;
    asker->right = ask_number(asker->client, 1) == SYNK_TIMEOUT;
    return NULL;
}

static void calls_time_out_in_every_thread(void)
{
    struct fake *fake = fake_new(answer_never);
    struct synk_client *client = open_client(fake, 50);
    struct asker askers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.client = client};
        pthread_create(&askers[i].thread, NULL, time_out, &askers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(askers[i].thread, NULL);
        CU_ASSERT_TRUE(askers[i].right);
    }
    synk_client_close(client);
    fake_free(fake);
}

struct nested {
    struct synk_client *client;
    int right;
    atomic_int done;
};

static void on_reply(void *context, enum synk_status status, const struct synk_value *body,
                     const struct synk_error *error)
{
    (void)body, (void)error;
    struct nested *nested = context;
    nested->right += status == SYNK_OK && ask_number(nested->client, 7) == 7;
    atomic_fetch_add(&nested->done, 1);
}

static void a_callback_may_block_while_others_do(void)
{
    struct fake *fake = fake_new(answer_number);
    struct nested nested = {.client = open_client(fake, 20000)};
    struct asker askers[THREADS];
    for (int i = 0; i < 10; i++)
        synk_request(nested.client, "stats", (struct synk_bytes){0}, on_reply, &nested, NULL);
    for (int i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.client = nested.client, .number = i};
        pthread_create(&askers[i].thread, NULL, ask_often, &askers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(askers[i].thread, NULL);
        CU_ASSERT_EQUAL(askers[i].right, CALLS);
    }
    while (atomic_load(&nested.done) < 10)
        CU_ASSERT_EQUAL_FATAL(synk_client_wait(nested.client, 20000), SYNK_OK);
    CU_ASSERT_EQUAL(nested.right, 10);
    synk_client_close(nested.client);
    fake_free(fake);
}

static void *wait_long(void *argument)
{
    struct asker *asker = argument;
    asker->right = synk_client_wait(asker->client, 20000) == SYNK_OK;
    return NULL;
}

static struct synk_client *signalled;

static void on_signal(int number)
{
    (void)number;
    synk_client_wake(signalled);
}

static void wake_ends_a_wait_from_a_thread_and_from_a_signal(void)
{
    struct fake *fake = fake_new(answer_never);
    signalled = open_client(fake, 0);
    /* The connection's own business first, or it may be that which ends the waits. */
    while (synk_client_wait(signalled, 100) == SYNK_OK)
        ;
    struct asker asker = {.client = signalled};
    pthread_create(&asker.thread, NULL, wait_long, &asker);
    synk_client_wake(signalled);
    pthread_join(asker.thread, NULL);
    CU_ASSERT_TRUE(asker.right);
    /* Once: nothing is left of it. */
    CU_ASSERT_EQUAL(synk_client_wait(signalled, 0), SYNK_TIMEOUT);
    struct sigaction action = {.sa_handler = on_signal}, before;
    sigaction(SIGUSR1, &action, &before);
    raise(SIGUSR1);
    CU_ASSERT_EQUAL(synk_client_wait(signalled, 20000), SYNK_OK);
    CU_ASSERT_EQUAL(synk_client_wait(signalled, 0), SYNK_TIMEOUT);
    sigaction(SIGUSR1, &before, NULL);
    synk_client_close(signalled);
    fake_free(fake);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"several_clients", several_clients_in_several_threads},
        {"one_client", one_client_for_several_threads},
        {"beside_a_loop", blocking_calls_beside_an_event_loop},
        {"handed_over", a_client_handed_over_between_threads},
        {"time_out", calls_time_out_in_every_thread},
        {"nested", a_callback_may_block_while_others_do},
        {"wake", wake_ends_a_wait_from_a_thread_and_from_a_signal},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "client_threads", cases);
}
