/* Log lines: one line each, whatever a peer put into the values. */
#include <string.h>

#include "proto/check.h"
#include "supervisor/shell/log.h"
#include "tests/support/unit.h"

static const char *format(struct buf *out, const char *msg, const struct log_field *fields)
{
    buf_clear(out);
    log_format(out, LOG_WARN, 1769860800123, bytes_str(msg), fields);
    buf_append(out, "", 1);
    return (const char *)out->data;
}

static void test_line_has_level_time_msg_and_fields(void)
{
    struct buf out = {0};
    const struct log_field fields[] = {log_text("dir", "/run/synk"), log_int("pid", -12), {0}};
    CU_ASSERT_STRING_EQUAL(
        format(&out, "now listening", fields),
        "level=warn time=2026-01-31T12:00:00.123Z msg=\"now listening\" dir=/run/synk pid=-12\n");
    buf_fini(&out);
}

static void test_values_are_escaped(void)
{
    static const struct {
        const char *value, *written;
    } rows[] = {
        {"plain", " v=plain\n"},
        {"", " v=\"\"\n"},
        {"a b", " v=\"a b\"\n"},
        {"a=b", " v=\"a=b\"\n"},
        {"say \"hi\"", " v=\"say \\\"hi\\\"\"\n"},
        {"back\\slash", " v=\"back\\\\slash\"\n"},
        {"x\nlevel=error msg=forged", " v=\"x\\nlevel=error msg=forged\"\n"},
        {"\x1b[2J\r\t\x7f", " v=\"\\x1b[2J\\x0d\\t\\x7f\"\n"},
        {"gr\xc3\xbc\xc3\x9f", " v=\"gr\xc3\xbc\xc3\x9f\"\n"},
        {"\xc2\x9b"
         "31m",
         " v=\"\\xc2\\x9b31m\"\n"},
        {"bad \xff\xc3", " v=\"bad \\xff\\xc3\"\n"},
    };
    struct buf out = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct log_field fields[] = {log_text("v", rows[i].value), {0}};
        const char *line = format(&out, "m", fields);
        CU_ASSERT_STRING_EQUAL(strstr(line, " v="), rows[i].written);
    }
    buf_fini(&out);
}

static void test_fields_behind_a_message_stand_outside_of_it(void)
{
    static const struct {
        const char *text, *written;
    } rows[] = {
        {"shutting down\tgrace_ms=300\trunning=1", "\"shutting down\" grace_ms=300 running=1\n"},
        {"host lost\treason=no answer", "\"host lost\" reason=\"no answer\"\n"},
        {"plain", "plain\n"},
        {"a\tb=", "a b=\"\"\n"},
        /* No key, no field. */
        {"a\t=b\tC=d", "\"a\\t=b\\tC=d\"\n"},
        {"m\ta=1\tb=2\tc=3\td=4\te=5", "m a=1 b=2 c=3 d=\"4\\te=5\"\n"},
        {"", "\"\"\n"},
    };
    struct buf out = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        buf_clear(&out);
        log_format_text(&out, LOG_INFO, 0, bytes_str(rows[i].text));
        buf_append(&out, "", 1);
        CU_ASSERT_STRING_EQUAL(strstr((const char *)out.data, "msg=") + 4, rows[i].written);
    }
    buf_fini(&out);
}

static void test_long_values_are_cut_between_characters(void)
{
    static char value[100000];
    struct buf out = {0};
    struct synk_bytes bytes = {value, sizeof(value) - 1};
    const struct log_field fields[] = {log_bytes("v", bytes), log_int("n", 1), {0}};
    for (size_t shift = 0; shift < 4; shift++) {
        memset(value, 'x', sizeof(value) - 1);
        for (size_t i = shift; i + 2 < sizeof(value); i += 2)
            memcpy(value + i, "\xc3\xa4", 2);
        const char *line = format(&out, "m", fields);
        CU_ASSERT_TRUE(strlen(line) < LOG_VALUE_BYTES + 100);
        CU_ASSERT_TRUE(check_utf8(bytes_str(line)));
        CU_ASSERT_PTR_NOT_NULL(strstr(line, "…\" n=1\n"));
    }
    memset(value, '\n', sizeof(value) - 1);
    const char *line = format(&out, "m", fields);
    CU_ASSERT_TRUE(strlen(line) < LOG_VALUE_BYTES + 100);
    CU_ASSERT_PTR_EQUAL(strchr(line, '\n'), line + strlen(line) - 1);
    buf_fini(&out);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"line has level, time, msg and fields", test_line_has_level_time_msg_and_fields},
        {"values are escaped", test_values_are_escaped},
        {"fields behind a message stand outside of it",
         test_fields_behind_a_message_stand_outside_of_it},
        {"long values are cut between characters", test_long_values_are_cut_between_characters},
        {0},
    };
    return unit_main(argc, argv, "log", cases);
}
