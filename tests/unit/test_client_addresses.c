/*
 * The client library and supervisors on addresses: which one leads, who is followed, what is said
 * when nobody is there.
 */
#include <time.h>

#include "tests/support/fake_supervisor.h"

/* The count is what the test waits for: it rises when the key is there. */
static void note_key(struct fake *fake, const struct question *question)
{
    int index = atomic_load(&fake->asked);
    struct synk_bytes key = synk_value_bytes(synk_value_get(question->body, "key"));
    if (index < 4)
        snprintf(fake->keys[index], sizeof(fake->keys[index]), "%.*s", (int)key.size,
                 key.size ? (const char *)key.data : "");
    atomic_fetch_add(&fake->asked, 1);
}

static void answer_all(struct fake *fake, const struct question *question)
{
    note_key(fake, question);
    answer(fake, question, REPLY, "{\"run\": \"w#1\"}");
}

static void answer_nothing(struct fake *fake, const struct question *question)
{
    note_key(fake, question);
}

/* Nobody listens there: it was bound a moment ago, and is not any more. */
static int dead_port(void)
{
    struct fake *fake = fake_new_tcp(answer_all);
    int port = fake->port;
    fake_free(fake);
    return port;
}

static struct synk_client *connect_to(const char *addresses)
{
    struct synk_client_options options = {
        .connect = addresses, .timeout_ms = 20000, .fail_fast = true};
    struct synk_client *client = NULL;
    struct synk_error error = {0};
    CU_ASSERT_EQUAL_FATAL(synk_client_open(&options, &client, &error), SYNK_OK);
    return client;
}

static struct synk_client *connect_to_two(int first, int second)
{
    char addresses[128];
    snprintf(addresses, sizeof(addresses), "tcp://127.0.0.1:%d,tcp://127.0.0.1:%d", first, second);
    return connect_to(addresses);
}

static enum synk_status ask(struct synk_client *client, struct synk_error *error)
{
    return synk_run(client, "w", (struct synk_bytes){0}, NULL, error);
}

static void the_one_that_answers_is_found(void)
{
    struct fake *fake = fake_new_tcp(answer_all);
    struct synk_error error = {0};
    struct synk_client *client = connect_to_two(dead_port(), fake->port);
    CU_ASSERT_EQUAL(ask(client, &error), SYNK_OK);
    synk_client_close(client);
    client = connect_to_two(fake->port, dead_port());
    CU_ASSERT_EQUAL(ask(client, &error), SYNK_OK);
    synk_client_close(client);
    fake_free(fake);
}

static void nobody_is_told_with_all_addresses(void)
{
    char first[64], second[64];
    struct synk_error error = {0};
    int ports[] = {dead_port(), dead_port()};
    struct synk_client *client = connect_to_two(ports[0], ports[1]);
    time_t began = time(NULL);
    CU_ASSERT_EQUAL(ask(client, &error), SYNK_UNAVAILABLE);
    CU_ASSERT_TRUE(time(NULL) - began < 4);
    snprintf(first, sizeof(first), "tcp://127.0.0.1:%d", ports[0]);
    snprintf(second, sizeof(second), "tcp://127.0.0.1:%d", ports[1]);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, first));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, second));
    CU_ASSERT_PTR_NOT_NULL(strstr(synk_client_directory(client), second));
    synk_client_close(client);
}

static void the_leader_is_followed_where_it_is_told(void)
{
    struct fake *standby = fake_new_tcp(answer_all), *leader = fake_new_tcp(answer_all);
    char refusal[128], address[64];
    struct synk_error error = {0};
    snprintf(refusal, sizeof(refusal),
             "{\"text\": \"another one leads\", \"leader\": \"tcp://127.0.0.1:%d\"}", leader->port);
    atomic_store(&standby->refusal, refusal);
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", standby->port);
    struct synk_client *client = connect_to(address);
    CU_ASSERT_EQUAL(ask(client, &error), SYNK_OK);
    synk_client_close(client);
    CU_ASSERT_EQUAL(atomic_load(&standby->asked), 0);
    CU_ASSERT_EQUAL(atomic_load(&leader->asked), 1);
    fake_free(standby);
    fake_free(leader);
}

static void a_request_in_flight_goes_to_the_next_leader_with_its_key(void)
{
    struct fake *first = fake_new_tcp(answer_nothing), *second = fake_new_tcp(answer_all);
    struct synk_error error = {0};
    atomic_store(&second->refusal, "{\"text\": \"stands by\"}");
    struct synk_client *client = connect_to_two(first->port, second->port);
    CU_ASSERT_EQUAL(synk_request(client, "run", (struct synk_bytes){"\x81\xa4unit\xa1w", 8}, NULL,
                                 NULL, &error),
                    SYNK_OK);
    while (!atomic_load(&first->asked))
        synk_client_wait(client, 10);
    fake_stop(first);
    for (int i = 0; i < 20; i++) /* it is refused for a while */
        synk_client_wait(client, 10);
    CU_ASSERT_EQUAL(atomic_load(&second->asked), 0);
    atomic_store(&second->refusal, NULL);
    while (!atomic_load(&second->asked))
        CU_ASSERT_EQUAL_FATAL(synk_client_wait(client, 10000), SYNK_OK);
    synk_client_close(client);
    CU_ASSERT_EQUAL(strlen(first->keys[0]), 32);
    CU_ASSERT_STRING_EQUAL(first->keys[0], second->keys[0]);
    fake_start(first);
    fake_free(first);
    fake_free(second);
}

static void what_the_program_says_comes_before_the_environment(void)
{
    struct fake *by_port = fake_new_tcp(answer_all), *by_directory = fake_new(answer_all);
    char address[64];
    struct synk_client *client = NULL;
    struct synk_error error = {0};
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", by_port->port);
    setenv("SYNK_CONNECT", address, 1);
    setenv("SYNK_DIR", by_directory->directory, 1);
    struct synk_client_options options = {.timeout_ms = 10000, .fail_fast = true};
    CU_ASSERT_EQUAL_FATAL(synk_client_open(&options, &client, &error), SYNK_OK);
    CU_ASSERT_EQUAL(ask(client, &error), SYNK_OK);
    synk_client_close(client);
    CU_ASSERT_EQUAL(atomic_load(&by_port->asked), 1);
    options.directory = by_directory->directory;
    CU_ASSERT_EQUAL_FATAL(synk_client_open(&options, &client, &error), SYNK_OK);
    CU_ASSERT_EQUAL(ask(client, &error), SYNK_OK);
    synk_client_close(client);
    CU_ASSERT_EQUAL(atomic_load(&by_directory->asked), 1);
    options.connect = address;
    CU_ASSERT_EQUAL(synk_client_open(&options, &client, &error), SYNK_INVALID);
    options = (struct synk_client_options){.connect = "tcp://localhost:7400"};
    CU_ASSERT_EQUAL(synk_client_open(&options, &client, &error), SYNK_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "by number"));
    unsetenv("SYNK_CONNECT");
    unsetenv("SYNK_DIR");
    fake_free(by_port);
    fake_free(by_directory);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"found", the_one_that_answers_is_found},
        {"nobody", nobody_is_told_with_all_addresses},
        {"leader", the_leader_is_followed_where_it_is_told},
        {"in flight", a_request_in_flight_goes_to_the_next_leader_with_its_key},
        {"environment", what_the_program_says_comes_before_the_environment},
        {0},
    };
    return unit_main(argc, argv, "addresses", cases);
}
