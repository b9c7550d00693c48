/* The cache of results that other tasks read. */
#include <stdlib.h>

#include "supervisor/core/states.h"
#include "supervisor/shell/results.h"
#include "tests/support/unit.h"

static bool has(struct results *results, uint64_t run, uint32_t task, const char *expected)
{
    struct blob *value = NULL;
    if (!results_get(results, (struct value_ref){run, task}, &value))
        return false;
    bool is_equal = bytes_equal(blob_bytes(value), bytes_str(expected));
    blob_unref(value);
    return is_equal;
}

static void test_learns_final_tasks_with_readers(void)
{
    struct results results;
    struct batch batch;
    results_init(&results, 1 << 20);
    batch_init(&batch);
    for (uint32_t i = 0; i < 4; i++) {
        struct record *record = batch_add(&batch, RECORD_TASK);
        record->task.run = 7;
        record->task.task = i;
        record->task.state = i == 3 ? TASK_RETRY_WAIT : TASK_SUCCEEDED;
        record->task.has_readers = i != 1;
        record->task.result = i == 2 ? bytes_of(NULL, 0) : bytes_str("\x01");
    }
    batch_add(&batch, RECORD_RUN)->run.run = 7;
    results_learn(&results, &batch);
    CU_ASSERT_TRUE(has(&results, 7, 0, "\x01"));
    CU_ASSERT_FALSE(has(&results, 7, 1, "\x01"));
    CU_ASSERT_TRUE(has(&results, 7, 2, ""));
    CU_ASSERT_FALSE(has(&results, 7, 3, "\x01"));
    batch_fini(&batch);
    results_fini(&results);
}

static void test_the_longest_unused_makes_room(void)
{
    struct results results;
    char value[1001] = {0};
    memset(value, 'v', 1000);
    results_init(&results, 10000);
    for (uint32_t i = 0; i < 5000; i++) {
        results_put(&results, (struct value_ref){1, i}, bytes_str(value));
        CU_ASSERT_TRUE(has(&results, 1, 0, value));
        CU_ASSERT_TRUE(has(&results, 1, i, value));
        CU_ASSERT_TRUE(results.bytes <= 10000);
    }
    CU_ASSERT_FALSE(has(&results, 1, 1, value));
    results_put(&results, (struct value_ref){1, 0}, bytes_str("new"));
    CU_ASSERT_TRUE(has(&results, 1, 0, "new"));
    results_fini(&results);
}

static void test_many_entries_are_found(void)
{
    struct results results;
    results_init(&results, 64 << 20);
    for (uint32_t i = 0; i < 20000; i++)
        results_put(&results, (struct value_ref){i / 100, i}, bytes_str("x"));
    for (uint32_t i = 0; i < 20000; i++)
        CU_ASSERT_TRUE(has(&results, i / 100, i, "x"));
    CU_ASSERT_EQUAL(results.count, 20000);
    results_fini(&results);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"learns final tasks with readers", test_learns_final_tasks_with_readers},
        {"the longest unused makes room", test_the_longest_unused_makes_room},
        {"many entries are found", test_many_entries_are_found},
        {0},
    };
    return unit_main(argc, argv, "results", cases);
}
