/* Parts of the host and runner that stand alone: plugin checks, logs, frames, text of commands. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/limits.h"
#include "tests/support/unit.h"
#include "worker-host/exec.h"
#include "worker-host/frame.h"
#include "worker-host/logs.h"
#include "worker-host/plugins.h"

static int nothing(struct synk_task *task)
{
    (void)task;
    return 0;
}

static void test_plugins_are_checked(void)
{
    static const struct synk_plugin_function good[] = {{"run", nothing}, {NULL, NULL}};
    static const struct synk_plugin_function bad[] = {{"a b", nothing}, {NULL, NULL}};
    static const struct {
        struct synk_plugin plugin;
        const char *problem;
    } rows[] = {
        {{SYNK_PLUGIN_ABI, "media", good}, NULL},
        {{SYNK_PLUGIN_ABI + 6, "media", good}, "built for plugin ABI 7, this host has 1"},
        {{SYNK_PLUGIN_ABI, "other", good}, "it calls itself 'other'"},
        {{SYNK_PLUGIN_ABI, NULL, good}, "its name is not"},
        {{SYNK_PLUGIN_ABI, "media", bad}, "function 0 has no usable name"},
        {{SYNK_PLUGIN_ABI, "media", NULL}, "it has no functions"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct synk_error error = {0};
        enum synk_status status = plugin_check(&rows[i].plugin, "media", &error);
        CU_ASSERT_EQUAL(status, rows[i].problem ? SYNK_REFUSED : SYNK_OK);
        CU_ASSERT(!rows[i].problem || strstr(error.text, rows[i].problem));
    }
}

static void test_plugin_paths_that_others_can_write_are_refused(void)
{
    char path[300];
    struct synk_error error;
    snprintf(path, sizeof(path), "%s/p.so", unit_directory());
    close(open(path, O_CREAT | O_WRONLY, 0600));
    CU_ASSERT_EQUAL(plugin_check_path(path, false, &error), SYNK_OK);
    CU_ASSERT_EQUAL(plugin_check_path(path, true, &error), SYNK_REFUSED);
    chmod(path, 0620);
    CU_ASSERT_EQUAL(plugin_check_path(path, false, &error), SYNK_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "chmod go-w"));
    CU_ASSERT_EQUAL(plugin_check_path("/nowhere", true, &error), SYNK_REFUSED);
}

static void test_a_long_log_loses_its_middle(void)
{
    struct log_writer log;
    struct buf out = {0};
    uint64_t size;
    uint32_t attempt = 0;
    uint8_t *bytes = mem_alloc(LIMIT_LOG_BYTES);
    memset(bytes, 'm', LIMIT_LOG_BYTES);
    for (uint32_t i = 1; i <= 2; i++) {
        log_writer_init(&log, unit_directory(), 5, 6, i);
        log_write(&log, bytes_str("first\n"));
        for (int j = 0; j < 3 && i == 2; j++)
            log_write(&log, bytes_of(bytes, LIMIT_LOG_BYTES));
        log_write(&log, bytes_str("last\n"));
        log_writer_fini(&log);
    }
    CU_ASSERT_EQUAL(log_read(unit_directory(), 5, 6, &attempt, -1, 0, 4 << 20, &out, &size, NULL),
                    SYNK_OK);
    CU_ASSERT(attempt == 2 && size == out.size && size <= LIMIT_LOG_BYTES);
    CU_ASSERT(memcmp(out.data, "first\n", 6) == 0);
    CU_ASSERT(memcmp(out.data + out.size - 5, "last\n", 5) == 0);
    CU_ASSERT_PTR_NOT_NULL(memmem(out.data, out.size, "bytes are left out here", 23));
    CU_ASSERT_EQUAL(logs_prune(unit_directory(), 4 << 20, 1000000, 0), 0);
    CU_ASSERT_EQUAL(logs_prune(unit_directory(), 0, 1000000, 0), 2);
    CU_ASSERT_EQUAL(logs_prune(unit_directory(), 0, 1000000, 0), 0);
    free(bytes);
    buf_fini(&out);
}

static void test_reports_of_a_scribbling_runner_are_refused(void)
{
    struct report_head head = {.size = sizeof(head), .kind = FRAME_RESULT};
    struct report_head read;
    struct msg_report report;
    struct synk_bytes bytes = bytes_of(&head, sizeof(head));
    CU_ASSERT_EQUAL(report_frame_read(&bytes, &read, &report), SYNK_OK);
    CU_ASSERT_EQUAL(bytes.size, 0);
    struct report_head bad[] = {head, head, head, head};
    bad[0].value_bytes = 100;
    bad[1].kind = 9;
    bad[2].outcome = 200;
    bad[3].value_bytes = UINT32_MAX;
    for (size_t i = 0; i < 4; i++) {
        bytes = bytes_of(&bad[i], sizeof(head));
        CU_ASSERT_EQUAL(report_frame_read(&bytes, &read, &report), SYNK_CORRUPT);
    }
}

static void test_output_becomes_text(void)
{
    static const struct {
        const char *from, *to;
    } rows[] = {{"plain", "plain"},
                {"\x82\xacuro", "uro"},
                {"a\xff"
                 "b",
                 "a?b"},
                {"", ""}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf out = {0};
        exec_clean_text(bytes_str(rows[i].from), &out);
        CU_ASSERT(bytes_equal(buf_bytes(&out), bytes_str(rows[i].to)));
        buf_fini(&out);
    }
}

static void count_lines(void *context, struct synk_bytes line)
{
    *(size_t *)context += line.size;
}

static void test_bad_lines_of_descriptor_3_go_to_the_log(void)
{
    struct exec_lines lines = {0};
    size_t logged = 0;
    exec_lines_add(&lines, bytes_str("{\"pro"), NULL, count_lines, &logged);
    CU_ASSERT_EQUAL(logged, 0);
    exec_lines_add(&lines, bytes_str("nonsense\n\n"), NULL, count_lines, &logged);
    CU_ASSERT(logged > 14);
    CU_ASSERT_EQUAL(lines.pending.size, 0);
    buf_fini(&lines.pending);
}

static const struct unit_case cases[] = {
    {"plugins_are_checked", test_plugins_are_checked},
    {"plugin_paths_that_others_can_write", test_plugin_paths_that_others_can_write_are_refused},
    {"a_long_log_loses_its_middle", test_a_long_log_loses_its_middle},
    {"reports_of_a_scribbling_runner", test_reports_of_a_scribbling_runner_are_refused},
    {"output_becomes_text", test_output_becomes_text},
    {"bad_lines_of_descriptor_3", test_bad_lines_of_descriptor_3_go_to_the_log},
    {NULL, NULL},
};

int main(int argc, char **argv)
{
    return unit_main(argc, argv, "host parts", cases);
}
