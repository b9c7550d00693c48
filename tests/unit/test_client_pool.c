/* The calls of <synk/pool.h> beside plain submissions: what each asks, and that params of many tasks
 * go up in chunks before their submission. */
#include "tests/support/fake_supervisor.h"

/* What was asked, one line each; bytes of chunks. Written by the fake's thread before it answers,
 * read by the test after the answer. */
static char asked[4096];
static size_t chunks, bytes;
static pthread_mutex_t asked_lock = PTHREAD_MUTEX_INITIALIZER;

static void answer_all(struct fake *fake, const struct question *question)
{
    pthread_mutex_lock(&asked_lock);
    if (question->type == 65) {
        chunks++;
        bytes += synk_value_bytes(synk_value_get(question->body, "data")).size;
    } else {
        char *json = synk_value_json_dup(question->body);
        char *upload = strstr(json, "upload-"), *key = strstr(json, ",\"key\":");
        if (upload) /* drawn */
            memset(upload, '*', strcspn(upload, "\""));
        if (key)
            strcpy(key, "}");
        snprintf(asked, sizeof(asked), "%u %s", question->type, json);
        free(json);
    }
    pthread_mutex_unlock(&asked_lock);
    answer(fake, question, REPLY, "{\"run\": \"pool#1\", \"received\": 1, \"items\": []}");
}

static void was_asked(const char *expected)
{
    pthread_mutex_lock(&asked_lock);
    CU_ASSERT_STRING_EQUAL(asked, expected);
    pthread_mutex_unlock(&asked_lock);
}

static void was_asked_for(const char *part)
{
    pthread_mutex_lock(&asked_lock);
    CU_ASSERT_PTR_NOT_NULL(strstr(asked, part));
    pthread_mutex_unlock(&asked_lock);
}

static void each_call_asks_what_it_says(void)
{
    static const char *const runs[] = {"a", "pool#2"}, *const tags[] = {"gpu"};
    static const struct synk_use uses[] = {{"db", 2}};
    static const int codes[] = {3, 4};
    struct synk_submission submission = {
        .function = "f",
        .count = 2,
        .timeout_ms = -1,
        .name = "n",
        .params = {"\x07", 1},
        .paused = true,
        .slots = 2,
        .progress_timeout_ms = 9,
        .tags = tags,
        .tag_count = 1,
        .uses = uses,
        .use_count = 1,
        .no_retry_exit_codes = codes,
        .no_retry_exit_code_count = 2,
    };
    struct synk_run_options options = {.has_priority = true, .priority = -3};
    struct synk_error error;
    struct fake *fake = fake_new(answer_all);
    struct synk_client *client = open_client(fake, 10000);
    CU_ASSERT_EQUAL(synk_submit(client, &submission, NULL, &error), SYNK_OK);
    was_asked("68 {\"function\":\"f\",\"params\":7,\"count\":2,\"maxRetries\":0,\"retryDelayMs\":0,"
              "\"priority\":0,\"name\":\"n\",\"paused\":true,\"slots\":2,\"progressTimeoutMs\":9,"
              "\"requires\":[\"gpu\"],\"uses\":{\"db\":2},\"noRetryExitCodes\":[3,4]}");
    CU_ASSERT_EQUAL(synk_run_with(client, "u", &options, NULL, &error), SYNK_OK);
    was_asked("67 {\"unit\":\"u\",\"priority\":-3}");
    CU_ASSERT_EQUAL(synk_cancel_task(client, "p#1", "w", &error), SYNK_OK);
    was_asked("70 {\"run\":\"p#1\",\"worker\":\"w\"}");
    CU_ASSERT_EQUAL(synk_pool_pause(client, runs, 2, &error), SYNK_OK);
    was_asked("72 {\"runs\":[\"a\",\"pool#2\"]}");
    CU_ASSERT_EQUAL(synk_pool_resume(client, runs, 1, &error), SYNK_OK);
    was_asked("73 {\"runs\":[\"a\"]}");
    CU_ASSERT_EQUAL(synk_pool_update(client, "a", (struct synk_bytes){"\x81\xa5slots\x03", 8},
                                     &error),
                    SYNK_OK);
    was_asked("91 {\"run\":\"a\",\"slots\":3}");
    CU_ASSERT_EQUAL(synk_pool_update(client, "a", (struct synk_bytes){"\x07", 1}, &error),
                    SYNK_INVALID);
    CU_ASSERT_EQUAL(synk_pool_order(client, 5, NULL, &error), SYNK_OK);
    was_asked("92 {\"limit\":5}");
    CU_ASSERT_EQUAL(synk_resize(client, "h", 4, &error), SYNK_OK);
    was_asked("90 {\"host\":\"h\",\"slots\":4}");
    CU_ASSERT_EQUAL(synk_resize(client, NULL, 4, &error), SYNK_OK);
    was_asked("90 {\"slots\":4}");
    struct synk_list *list = NULL;
    const struct synk_value *item = NULL;
    CU_ASSERT_EQUAL(synk_list_slots(client, &list, &error), SYNK_OK);
    CU_ASSERT_EQUAL(synk_list_next(list, &item, &error), SYNK_OK);
    CU_ASSERT_PTR_NULL(item);
    synk_list_close(list);
    was_asked_for("\"what\":\"slots\"");
    CU_ASSERT_EQUAL(synk_list_limits(client, &list, &error), SYNK_OK);
    CU_ASSERT_EQUAL(synk_list_next(list, &item, &error), SYNK_OK);
    synk_list_close(list);
    was_asked_for("\"what\":\"limits\"");
    synk_client_close(client);
    fake_free(fake);
}

static void many_params_go_up_in_chunks(void)
{
    enum { TASKS = 300000 };
    static struct synk_bytes items[TASKS];
    for (size_t i = 0; i < TASKS; i++)
        items[i] = (struct synk_bytes){"\xa4line", 5};
    struct synk_submission submission = {
        .function = "f", .items = items, .count = TASKS, .timeout_ms = -1};
    struct synk_error error;
    char *run = NULL;
    struct fake *fake = fake_new(answer_all);
    struct synk_client *client = open_client(fake, 10000);
    pthread_mutex_lock(&asked_lock);
    chunks = bytes = 0;
    pthread_mutex_unlock(&asked_lock);
    CU_ASSERT_EQUAL(synk_submit(client, &submission, &run, &error), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(run, "pool#1");
    free(run);
    pthread_mutex_lock(&asked_lock);
    CU_ASSERT_EQUAL(chunks, 3); /* of a mebibyte */
    CU_ASSERT_EQUAL(bytes, TASKS * 9);
    pthread_mutex_unlock(&asked_lock);
    was_asked("68 {\"function\":\"f\",\"upload\":\"***********************\",\"maxRetries\":0,"
              "\"retryDelayMs\":0,\"priority\":0}");
    synk_client_close(client);
    fake_free(fake);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"each call asks what it says", each_call_asks_what_it_says},
        {"many params go up in chunks", many_params_go_up_in_chunks},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "client-pool", cases);
}
