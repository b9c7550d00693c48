/* synk_run_tasks and synk_task_sleep against a task that no host gave: tries, reports, bounds. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/support/unit.h"
#include "worker-host/task.h"

enum { NUMBER = 7 };

static struct page page;
static struct runner runner = {.page = &page};
static struct synk_task task;
static struct synk_document *report;
static struct synk_subtask_counts counts;

/* What the functions below were called for, as "ID.TRY ". */
static char calls[4096];

static void begin(void)
{
    static const struct task_frame frame;
    synk_document_free(report);
    report = NULL;
    memset(&counts, 0xff, sizeof(counts));
    atomic_store(&page.cancel, 0);
    atomic_store(&page.progress_count, 0);
    if (task.runner) {
        task_end(&task);
        arena_fini(&task.texts);
        buf_fini(&task.error);
        synk_builder_free(task.result);
    }
    task_init(&task, &runner);
    task_begin(&task, &frame, NUMBER);
    calls[0] = '\0';
}

static void cancel(void)
{
    uint64_t one = 1;
    atomic_store(&page.cancel, PAGE_RUNNING | NUMBER);
    if (write(RUNNER_CANCEL, &one, sizeof(one)) != sizeof(one))
        abort();
}

static enum synk_status run_list(const struct synk_subtasks *list)
{
    enum synk_status status = synk_run_tasks(&task, list, task.result, &counts);
    struct synk_bytes bytes = synk_builder_bytes(task.result);
    struct synk_error error = {.text = ""};
    if (bytes.size && synk_document_decode(bytes, &report, &error))
        printf("%s\n", error.text);
    CU_ASSERT_EQUAL(report != NULL, status != SYNK_INVALID && status != SYNK_TOO_LARGE);
    CU_ASSERT(bytes.size <= LIMIT_VALUE_BYTES - (96 << 10));
    return status;
}

static int64_t reported(const char *path)
{
    const struct synk_value *value = synk_value_path(synk_document_root(report), path);
    return synk_value_kind(value) == SYNK_BOOL ? synk_value_bool(value, false)
                                               : synk_value_int(value, -1);
}

static bool error_has(const char *text)
{
    bool has = memmem(task.error.data, task.error.size, text, strlen(text));
    if (!has)
        printf("%.*s\n", (int)task.error.size, (char *)task.error.data);
    return task.error.size && has;
}

static void note(const struct synk_subtask_try *now)
{
    size_t size = strlen(calls);
    snprintf(calls + size, sizeof(calls) - size, "%s.%u ", now->id, now->attempt);
}

/* Fails as many times as its data says, then gives its id. */
static int fails_first(struct synk_task *its, const struct synk_subtask_try *now)
{
    note(now);
    int failures = now->data ? *(int *)now->data : 0;
    if ((int)now->attempt <= failures)
        return synk_task_fail(its, "no %u", now->attempt);
    synk_builder_string(now->result, now->id);
    return 0;
}

static void test_items_with_one_function_and_their_own(void)
{
    static int once = 1, always = 100;
    const struct synk_subtask items[] = {
        {.id = "a"}, {.id = "b", .data = &once}, {.id = "c", .data = &always}, {.data = NULL}};
    const struct synk_subtasks list = {
        .count = 4, .items = items, .run = fails_first, .max_retries = 2};
    begin();
    CU_ASSERT_EQUAL(run_list(&list), SYNK_FAILED);
    CU_ASSERT_STRING_EQUAL(calls, "a.1 b.1 b.2 c.1 c.2 c.3 3.1 ");
    CU_ASSERT(error_has("1 of 4 sub-tasks failed, the first 'c' after 3 tries: no 3"));
    CU_ASSERT(counts.total == 4 && counts.successful == 3 && counts.failed == 1 &&
              counts.not_run == 0);
    CU_ASSERT_EQUAL(reported("totalTasks"), 4);
    CU_ASSERT_EQUAL(reported("successful"), 3);
    CU_ASSERT_EQUAL(reported("failed"), 1);
    CU_ASSERT_EQUAL(reported("notRun"), 0);
    CU_ASSERT_EQUAL(reported("retries"), 3);
    CU_ASSERT_EQUAL(reported("cancelled"), 0);
    CU_ASSERT_EQUAL(reported("successPercentage"), 75);
    const struct synk_value *root = synk_document_root(report);
    CU_ASSERT_STRING_EQUAL(synk_task_string(&task, synk_value_path(root, "results/b"), ""), "b");
    CU_ASSERT_STRING_EQUAL(synk_task_string(&task, synk_value_path(root, "errors/c"), ""), "no 3");
    CU_ASSERT_EQUAL(synk_value_count(synk_value_get(root, "results")), 3);
    CU_ASSERT_EQUAL(synk_value_count(synk_value_get(root, "errors")), 1);
    uint64_t bits = atomic_load(&page.progress);
    double progress;
    memcpy(&progress, &bits, sizeof(progress));
    CU_ASSERT(progress == 1 && atomic_load(&page.progress_count) == 4);
}

static int quiet(struct synk_task *its, const struct synk_subtask_try *now)
{
    (void)its;
    note(now);
    return now->index == 1 ? 5 : 0;
}

static void test_each_with_its_own_function(void)
{
    const struct synk_subtask items[] = {{.id = "a", .run = quiet},
                                         {.id = "b", .run = fails_first}};
    begin();
    CU_ASSERT_EQUAL(run_list(&(struct synk_subtasks){.count = 2, .items = items}), SYNK_OK);
    CU_ASSERT_EQUAL(synk_value_count(synk_value_path(synk_document_root(report), "results")), 1);
    CU_ASSERT_EQUAL(task.error.size, 0);
}

static struct synk_bytes letter(void *context, size_t index)
{
    return bytes_of((const char *)context + index, index == 2 ? 0 : 1);
}

static void count_done(struct synk_task *its, const struct synk_subtask_progress *progress,
                       void *context)
{
    (void)its, (void)context;
    CU_ASSERT_EQUAL(progress->done, progress->index + 1);
    CU_ASSERT_EQUAL(progress->done, progress->successful + progress->failed);
    CU_ASSERT_EQUAL(progress->succeeded, progress->error == NULL);
    size_t size = strlen(calls);
    snprintf(calls + size, sizeof(calls) - size, "[%s %s] ", progress->id,
             progress->error ? progress->error : "ok");
}

static void test_positions_with_ids_from_a_function(void)
{
    struct synk_subtasks list = {.count = 3,
                                 .run = quiet,
                                 .context = "xyz",
                                 .id = letter,
                                 .on_progress = count_done,
                                 .own_progress = true};
    begin();
    CU_ASSERT_EQUAL(run_list(&list), SYNK_FAILED);
    CU_ASSERT_STRING_EQUAL(calls, "x.1 [x ok] y.1 [y it returned 5] 2.1 [2 ok] ");
    CU_ASSERT_EQUAL(atomic_load(&page.progress_count), 0);
    begin();
    list.stop_on_error = true;
    CU_ASSERT_EQUAL(run_list(&list), SYNK_FAILED);
    CU_ASSERT(counts.not_run == 1 && counts.successful == 1 && reported("notRun") == 1);
    CU_ASSERT_EQUAL(reported("cancelled"), 0);
    CU_ASSERT(reported("successPercentage") == -1); /* 33.33 is no integer */
    CU_ASSERT_DOUBLE_EQUAL(
        synk_value_double(synk_value_path(synk_document_root(report), "successPercentage"), 0),
        33.33, 1e-9);
}

static void test_nothing_to_do_is_done(void)
{
    begin();
    CU_ASSERT_EQUAL(run_list(&(struct synk_subtasks){.count = 0, .id = letter}), SYNK_OK);
    CU_ASSERT(reported("totalTasks") == 0 && reported("successPercentage") == 100);
    CU_ASSERT_EQUAL(synk_run_tasks(&task, &(struct synk_subtasks){0}, NULL, NULL), SYNK_OK);
}

static void test_bad_lists_are_refused_before_anything_runs(void)
{
    char long_id[LIMIT_ID_BYTES + 2] = "";
    memset(long_id, 'x', sizeof(long_id) - 1);
    const struct synk_subtask same[] = {{.id = "a"}, {.id = "b"}, {.id = "a"}},
                              place[] = {{.id = "2"}, {.id = "b"}, {.id = NULL}},
                              no_code[] = {{.id = "a", .run = quiet}, {.id = "b"}, {.id = "c"}},
                              too_long[] = {{.id = "a"}, {.id = long_id}, {.id = "c"}},
                              empty[] = {{.id = ""}, {.id = "b"}, {.id = "c"}},
                              no_text[] = {{.id = "\xff"}, {.id = "b"}, {.id = "c"}};
    const struct {
        struct synk_subtasks list;
        const char *problem;
    } rows[] = {
        {{.items = same, .run = quiet}, "sub-tasks 0 and 2 have the same id 'a'"},
        {{.items = place, .run = quiet}, "sub-tasks 0 and 2 have the same id '2'"},
        {{.items = no_code}, "sub-task 1 has no function, and the list has none either"},
        {{.items = NULL}, "sub-task 0 has no function"},
        {{.items = too_long, .run = quiet}, "the id of sub-task 1 is not 1 to 128 bytes"},
        {{.items = empty, .run = quiet}, "the id of sub-task 0 is not"},
        {{.items = no_text, .run = quiet}, "the id of sub-task 0 is not"},
        {{.run = quiet, .retry_delay_ms = -1}, "is negative"},
        {{.run = quiet, .delay_ms = -1}, "is negative"},
        {{.run = quiet, .reserved = {0, 0, 0, 1}}, "is not zeroed"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct synk_subtasks list = rows[i].list;
        list.count = 3;
        begin();
        CU_ASSERT_EQUAL(run_list(&list), SYNK_INVALID);
        CU_ASSERT(error_has(rows[i].problem));
        CU_ASSERT(calls[0] == '\0' && counts.total == SIZE_MAX);
    }
    begin();
    CU_ASSERT_EQUAL(run_list(NULL), SYNK_INVALID);
    begin();
    CU_ASSERT_EQUAL(run_list(&(struct synk_subtasks){.count = SIZE_MAX, .run = quiet}),
                    SYNK_TOO_LARGE);
}

static int cancels(struct synk_task *its, const struct synk_subtask_try *now)
{
    note(now);
    if (now->index == 1)
        cancel();
    return now->index == 1 ? synk_task_fail(its, "interrupted") : 0;
}

static void test_a_cancel_ends_waits_and_keeps_what_was_done(void)
{
    struct synk_subtasks list = {
        .count = 5, .run = cancels, .max_retries = 9, .retry_delay_ms = 3600000};
    begin();
    CU_ASSERT_EQUAL(run_list(&list), SYNK_CANCELLED);
    CU_ASSERT_STRING_EQUAL(calls, "0.1 1.1 ");
    CU_ASSERT(counts.successful == 1 && counts.failed == 1 && counts.not_run == 3);
    CU_ASSERT_EQUAL(reported("cancelled"), 1);
    CU_ASSERT(error_has("ended early: 1 of 5 sub-tasks succeeded, 3 did not run"));
    synk_document_free(report); /* the next list of the same attempt does not begin */
    report = NULL;
    synk_builder_clear(task.result);
    CU_ASSERT_EQUAL(run_list(&list), SYNK_CANCELLED);
    CU_ASSERT_EQUAL(counts.not_run, 5);
}

static void *sleeps(void *unused)
{
    (void)unused;
    return synk_task_sleep(&task, 3600000) == SYNK_CANCELLED ? &task : NULL;
}

static void test_a_cancel_wakes_every_thread_that_sleeps(void)
{
    pthread_t threads[4];
    uint64_t one = 1;
    begin();
    CU_ASSERT_EQUAL(synk_task_sleep(&task, 0), SYNK_OK);
    CU_ASSERT_EQUAL(synk_task_sleep(&task, -5), SYNK_OK);
    CU_ASSERT_EQUAL(synk_task_sleep(&task, 2), SYNK_OK);
    /* A wake-up that was for an earlier task. */
    CU_ASSERT_EQUAL(write(RUNNER_CANCEL, &one, sizeof(one)), sizeof(one));
    CU_ASSERT_EQUAL(synk_task_sleep(&task, 2), SYNK_OK);
    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, sleeps, NULL);
    cancel();
    for (size_t i = 0; i < 4; i++) {
        void *answer;
        pthread_join(threads[i], &answer);
        CU_ASSERT_PTR_NOT_NULL(answer);
    }
}

static int gives(struct synk_task *its, const struct synk_subtask_try *now)
{
    size_t size = *(const size_t *)now->context;
    char *text = mem_alloc(size + 1);
    memset(text, 'r', size);
    text[size] = '\0';
    if (now->index % 2)
        synk_task_fail(its, "\xe2\x82\xac%s", text); /* cut inside no character */
    else
        synk_builder_string_n(now->result, text, size);
    free(text);
    return now->index % 2 ? -1 : 0;
}

static int gives_many_objects(struct synk_task *its, const struct synk_subtask_try *now)
{
    (void)its;
    synk_builder_array(now->result, 1000);
    for (int i = 0; i < 1000; i++)
        synk_builder_null(now->result);
    return 0;
}

static void test_reports_are_bounded_whatever_is_in_them(void)
{
    static const struct {
        size_t count, size;
    } rows[] = {{20, 200 << 10}, {20000, 100}, {200000, 0}, {4, 2 << 20}, {3000, 1000}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t half = rows[i].count / 2;
        begin();
        CU_ASSERT_EQUAL(run_list(&(struct synk_subtasks){.count = rows[i].count,
                                                         .run = gives,
                                                         .context = (void *)&rows[i].size}),
                        SYNK_FAILED);
        const struct synk_value *root = synk_document_root(report);
        CU_ASSERT_EQUAL(synk_value_count(synk_value_get(root, "results")) +
                            (size_t)reported("resultsLeftOut"),
                        half);
        CU_ASSERT_EQUAL(synk_value_count(synk_value_get(root, "errors")) +
                            (size_t)reported("errorsLeftOut"),
                        half);
        CU_ASSERT_EQUAL(reported("failed"), half);
    }
    begin();
    CU_ASSERT_EQUAL(run_list(&(struct synk_subtasks){.count = 600, .run = gives_many_objects}),
                    SYNK_OK);
    CU_ASSERT(reported("resultsLeftOut") > 300 && reported("resultsLeftOut") < 400);
}

static int misbuilds(struct synk_task *its, const struct synk_subtask_try *now)
{
    (void)its;
    note(now);
    if (now->index == 0) {
        synk_builder_int(now->result, 1);
        synk_builder_int(now->result, 2);
    } else {
        for (size_t i = 0; i < (now->index == 1 ? 14 : 13); i++)
            synk_builder_array(now->result, i < (now->index == 1 ? 13 : 12));
    }
    return 0;
}

static void test_results_that_cannot_be_kept_fail_their_try(void)
{
    begin();
    CU_ASSERT_EQUAL(
        run_list(&(struct synk_subtasks){.count = 3, .run = misbuilds, .max_retries = 1}),
        SYNK_FAILED);
    CU_ASSERT_STRING_EQUAL(calls, "0.1 0.2 1.1 1.2 2.1 ");
    CU_ASSERT(error_has("'0' after 2 tries: its result cannot be kept: byte 1"));
}

static void test_strings_of_a_task(void)
{
    begin();
    struct synk_builder *builder = synk_builder_new();
    struct synk_document *document;
    synk_builder_json(builder, "[\"text\", 5]", 11, NULL);
    CU_ASSERT_EQUAL_FATAL(synk_document_decode(synk_builder_bytes(builder), &document, NULL),
                          SYNK_OK);
    const struct synk_value *root = synk_document_root(document);
    CU_ASSERT_STRING_EQUAL(synk_task_string(&task, synk_value_at(root, 0), NULL), "text");
    CU_ASSERT_STRING_EQUAL(synk_task_string(&task, synk_value_at(root, 1), "x"), "x");
    CU_ASSERT_PTR_NULL(synk_task_string(&task, NULL, NULL));
    synk_document_free(document);
    synk_builder_free(builder);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"items_with_one_function_and_their_own", test_items_with_one_function_and_their_own},
        {"each_with_its_own_function", test_each_with_its_own_function},
        {"positions_with_ids_from_a_function", test_positions_with_ids_from_a_function},
        {"nothing_to_do_is_done", test_nothing_to_do_is_done},
        {"bad_lists_are_refused_before_anything_runs",
         test_bad_lists_are_refused_before_anything_runs},
        {"a_cancel_ends_waits_and_keeps_what_was_done",
         test_a_cancel_ends_waits_and_keeps_what_was_done},
        {"a_cancel_wakes_every_thread_that_sleeps", test_a_cancel_wakes_every_thread_that_sleeps},
        {"reports_are_bounded_whatever_is_in_them", test_reports_are_bounded_whatever_is_in_them},
        {"results_that_cannot_be_kept_fail_their_try",
         test_results_that_cannot_be_kept_fail_their_try},
        {"strings_of_a_task", test_strings_of_a_task},
        {NULL, NULL},
    };
    /* A runner has this descriptor by its number. */
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd != RUNNER_CANCEL && dup2(fd, RUNNER_CANCEL) < 0)
        return 2;
    int status = unit_main(argc, argv, "subtasks", cases);
    begin();
    task_end(&task);
    arena_fini(&task.texts);
    buf_fini(&task.error);
    synk_builder_free(task.result);
    return status;
}
