/* JSON to values and back. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/json.h"
#include "proto/pack.h"
#include "proto/value.h"
#include "tests/support/unit.h"

static char *reprint(const char *json, int indent, struct synk_error *error)
{
    struct buf encoded = {0}, text = {0};
    if (json_parse(bytes_str(json), &encoded, error) == SYNK_OK) {
        json_print_encoded(buf_bytes(&encoded), indent, &text);
        buf_append(&text, "", 1);
    }
    buf_fini(&encoded);
    return (char *)text.data;
}

static void test_round_trips(void)
{
    static const char *const table[][2] = {
        {" null ", NULL},
        {"true", NULL},
        {"-5", NULL},
        {"9223372036854775807", NULL},
        {"-9223372036854775808", NULL},
        {"0.1", NULL},
        {"1.0", NULL},
        {"1e3", "1000.0"},
        {"1e300", "1e+300"},
        {"2.2250738585072014e-308", NULL},
        {"0.30000000000000004", NULL},
        {"\"\"", NULL},
        {"\"a\\\"\\\\\\n\\u0001\\u007f/\"", NULL},
        {"\"\\u00e9\\ud83d\\udc1f\"", "\"\xc3\xa9\xf0\x9f\x90\x9f\""},
        {"[]", NULL},
        {"{}", NULL},
        {"{\"z\":1,\"a\":[1,2,{}],\"m\":null}", NULL},
        {"[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", NULL},
        {"\"[[[[[[[[[[[[[[[[[[[[[\\\"[\"", NULL},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct synk_error error = {0};
        char *text = reprint(table[i][0], 0, &error);
        const char *expected = table[i][1] ? table[i][1] : i == 0 ? "null" : table[i][0];
        CU_ASSERT_PTR_NOT_NULL(text);
        if (!text || strcmp(text, expected) != 0)
            printf("%s gave %s %s\n", table[i][0], text ? text : "(none)", error.text);
        CU_ASSERT(text && strcmp(text, expected) == 0);
        free(text);
    }
}

static void test_refusals(void)
{
    static const char *const table[][2] = {
        {"", "line 1, column"},
        {"{", "line 1, column"},
        {"[1,]", "line 1, column 4"},
        {"{\"a\":1,\n \"a\":2}", "line 2, column"},
        {"[1] 2", "line 1, column"},
        {"\"\\u0000\"", "line 1"},
        {"\"\xff\"", "line 1"},
        {"1e999", "line 1"},
        {"99999999999999999999", "line 1"},
        {"nul", "line 1"},
        {"'a'", "line 1"},
        {"\n[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", "line 2, column 17: nested deeper than 16"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct synk_error error = {0};
        struct buf out = {0};
        CU_ASSERT_EQUAL(json_parse(bytes_str(table[i][0]), &out, &error), SYNK_INVALID);
        if (!strstr(error.text, table[i][1]))
            printf("%s: %s\n", table[i][0], error.text);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, table[i][1]));
        CU_ASSERT_EQUAL(out.size, 0);
        buf_fini(&out);
    }
}

static void test_deep_nesting_does_not_recurse(void)
{
    char *text = malloc(1000001);
    memset(text, '[', 1000000);
    text[1000000] = '\0';
    struct buf out = {0};
    CU_ASSERT_EQUAL(json_parse(bytes_str(text), &out, NULL), SYNK_INVALID);
    free(text);
}

static void test_indented(void)
{
    char *text = reprint("{\"a\":[1,{}],\"b\":[],\"c\":{\"d\":null}}", 2, NULL);
    CU_ASSERT_STRING_EQUAL(text, "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": [],\n  \"c\": {\n"
                                 "    \"d\": null\n  }\n}");
    free(text);
}

static void test_what_json_lacks(void)
{
    struct buf value = {0}, text = {0};
    pack_array(&value, 7);
    pack_double(&value, NAN);
    pack_double(&value, -INFINITY);
    pack_uint(&value, UINT64_MAX);
    pack_binary(&value, bytes_str("a"));
    pack_binary(&value, bytes_str("ab"));
    pack_binary(&value, bytes_str("abc"));
    pack_binary(&value, bytes_of("", 0));
    json_print_encoded(buf_bytes(&value), 0, &text);
    CU_ASSERT(
        bytes_equal(buf_bytes(&text),
                    bytes_str("[null,null,18446744073709551615,\"YQ==\",\"YWI=\",\"YWJj\",\"\"]")));
    buf_clear(&text);
    json_print_encoded(bytes_of("\xc1", 1), 0, &text);
    json_print_encoded(bytes_of(NULL, 0), 0, &text);
    json_print(NULL, 0, &text);
    CU_ASSERT(bytes_equal(buf_bytes(&text), bytes_str("nullnullnull")));
    buf_clear(&text);
    json_print_string(bytes_str("a\xff\xc3z\xc3"), &text);
    CU_ASSERT(
        bytes_equal(buf_bytes(&text), bytes_str("\"a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\"")));
    buf_fini(&value);
    buf_fini(&text);
}

static void test_public_calls(void)
{
    struct synk_builder *builder = synk_builder_new();
    struct synk_error error = {0};
    synk_builder_array(builder, 2);
    CU_ASSERT_EQUAL(synk_builder_json(builder, "{]", 2, &error), SYNK_INVALID);
    CU_ASSERT_EQUAL(synk_builder_bytes(builder).size, 1);
    CU_ASSERT_EQUAL(synk_builder_json(builder, "{\"a\":1}xx", 7, &error), SYNK_OK);
    synk_builder_int(builder, 2);
    struct synk_document *document = NULL;
    CU_ASSERT_EQUAL_FATAL(synk_document_decode(synk_builder_bytes(builder), &document, NULL),
                          SYNK_OK);
    char *text = synk_value_json_dup(synk_document_root(document));
    CU_ASSERT_STRING_EQUAL(text, "[{\"a\":1},2]");
    free(text);
    text = synk_value_json_dup(NULL);
    CU_ASSERT_STRING_EQUAL(text, "null");
    free(text);
    synk_document_free(document);
    synk_builder_free(builder);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"round_trips", test_round_trips},
        {"refusals", test_refusals},
        {"deep_nesting_does_not_recurse", test_deep_nesting_does_not_recurse},
        {"indented", test_indented},
        {"what_json_lacks", test_what_json_lacks},
        {"public_calls", test_public_calls},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "json", cases);
}
