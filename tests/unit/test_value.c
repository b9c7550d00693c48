/* Reading, building and comparing values. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/pack.h"
#include "proto/value.h"
#include "tests/support/unit.h"

#define BYTES(text) bytes_of((text), sizeof(text) - 1)

static struct synk_document *decode(struct synk_bytes bytes)
{
    struct synk_document *document = NULL;
    CU_ASSERT_EQUAL_FATAL(synk_document_decode(bytes, &document, NULL), SYNK_OK);
    return document;
}

static void test_absent_values_chain(void)
{
    const struct synk_value *none = synk_value_get(NULL, "a");
    CU_ASSERT_PTR_NULL(synk_document_root(NULL));
    CU_ASSERT_PTR_NULL(synk_value_get(synk_value_at(none, 3), "b"));
    CU_ASSERT_EQUAL(synk_value_kind(none), SYNK_NULL);
    CU_ASSERT_EQUAL(synk_value_count(none), 0);
    CU_ASSERT_EQUAL(synk_value_int(none, 7), 7);
    CU_ASSERT_EQUAL(synk_value_double(none, 1.5), 1.5);
    CU_ASSERT_EQUAL(synk_value_bool(none, true), true);
    CU_ASSERT_PTR_NULL(synk_value_bytes(none).data);
    CU_ASSERT_PTR_NULL(synk_value_string_dup(none));
    CU_ASSERT_EQUAL(synk_value_key_at(none, 0).size, 0);
    CU_ASSERT(value_is_null(none));
    synk_document_free(NULL);
    synk_builder_free(NULL);
}

static void test_built_values_read_back(void)
{
    struct synk_builder *builder = synk_builder_new();
    synk_builder_map(builder, 7);
    synk_builder_string(builder, "int");
    synk_builder_int(builder, INT64_MIN);
    synk_builder_string(builder, "double");
    synk_builder_double(builder, 3.0);
    synk_builder_string(builder, "text");
    synk_builder_string_n(builder, "abcdef", 3);
    synk_builder_string(builder, "bytes");
    synk_builder_binary(builder, "\0\1", 2);
    synk_builder_string(builder, "list");
    synk_builder_array(builder, 3);
    synk_builder_bool(builder, true);
    synk_builder_null(builder);
    synk_builder_encoded(builder, bytes_of(NULL, 0));
    synk_builder_string(builder, "encoded");
    synk_builder_encoded(builder, BYTES("\x91\x05"));
    synk_builder_string(builder, "empty");
    synk_builder_string(builder, "");
    struct synk_bytes bytes = synk_builder_bytes(builder);
    struct synk_document *document = decode(bytes);
    const struct synk_value *root = synk_document_root(document);
    CU_ASSERT_EQUAL(synk_value_count(root), 7);
    CU_ASSERT_EQUAL(synk_value_int(synk_value_get(root, "int"), 0), INT64_MIN);
    CU_ASSERT_EQUAL(synk_value_int(synk_value_get(root, "double"), 0), 3);
    CU_ASSERT_EQUAL(synk_value_kind(synk_value_get(root, "bytes")), SYNK_BINARY);
    CU_ASSERT_EQUAL(value_get_opaque(root, "bytes").size, 2);
    CU_ASSERT_EQUAL(value_get_opaque(root, "text").size, 0);
    CU_ASSERT(bytes_equal(synk_value_key_at(root, 4), bytes_str("list")));
    CU_ASSERT_EQUAL(synk_value_kind(synk_value_at(synk_value_at(root, 4), 2)), SYNK_NULL);
    CU_ASSERT_EQUAL(synk_value_int(synk_value_at(synk_value_get(root, "encoded"), 0), 0), 5);
    CU_ASSERT_PTR_NULL(synk_value_at(synk_value_get(root, "encoded"), 1));
    CU_ASSERT_PTR_NULL(synk_value_get(root, "lis"));
    CU_ASSERT_PTR_NOT_NULL(synk_value_bytes(synk_value_get(root, "empty")).data);
    char *text = synk_value_string_dup(synk_value_get(root, "text"));
    CU_ASSERT_STRING_EQUAL(text, "abc");
    free(text);
    /* Strings point into the caller's bytes: nothing is copied. */
    const char *data = synk_value_bytes(synk_value_get(root, "text")).data;
    CU_ASSERT(data > (const char *)bytes.data && data < (const char *)bytes.data + bytes.size);
    struct buf again = {0};
    value_encode(root, &again);
    CU_ASSERT(bytes_equal(buf_bytes(&again), bytes));
    value_encode(NULL, &again);
    CU_ASSERT_EQUAL(again.data[again.size - 1], 0xc0);
    buf_fini(&again);
    synk_document_free(document);
    synk_builder_clear(builder);
    CU_ASSERT_EQUAL(synk_builder_bytes(builder).size, 0);
    synk_builder_free(builder);
}

static void test_numbers_convert_only_exactly(void)
{
    static const struct {
        double number;
        int64_t expected; /* -1: not an int64 */
    } table[] = {
        {0, 0},
        {-0.0, 0},
        {2.5, -1},
        {1e18, 1000000000000000000},
        {0x1p63, -1},
        {-0x1p63, INT64_MIN},
        {-0x1p63 * 2, -1},
        {NAN, -1},
        {INFINITY, -1},
        {-INFINITY, -1},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct buf buf = {0};
        pack_double(&buf, table[i].number);
        struct synk_document *document = decode(buf_bytes(&buf));
        CU_ASSERT_EQUAL(synk_value_int(synk_document_root(document), -1), table[i].expected);
        synk_document_free(document);
        buf_fini(&buf);
    }
    struct synk_document *huge = decode(BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"));
    CU_ASSERT_EQUAL(synk_value_kind(synk_document_root(huge)), SYNK_INT);
    CU_ASSERT_EQUAL(synk_value_int(synk_document_root(huge), 4), 4);
    CU_ASSERT_EQUAL(synk_value_double(synk_document_root(huge), 4), 0x1p64);
    CU_ASSERT_EQUAL(synk_value_bool(synk_document_root(huge), false), false);
    synk_document_free(huge);
}

static void test_get_string_is_bounded(void)
{
    struct synk_document *document = decode(BYTES("\x83\xa1"
                                                  "a\xa3xyz\xa1"
                                                  "b\xa0\xa1"
                                                  "c\x01"));
    const struct synk_value *root = synk_document_root(document);
    struct synk_bytes text = bytes_str("untouched");
    CU_ASSERT(!value_get_string(root, "a", 2, &text));
    CU_ASSERT(!value_get_string(root, "b", 2, &text));
    CU_ASSERT(!value_get_string(root, "c", 2, &text));
    CU_ASSERT(!value_get_string(root, "d", 2, &text));
    CU_ASSERT(bytes_equal(text, bytes_str("untouched")));
    CU_ASSERT(value_get_string(root, "a", 3, &text));
    CU_ASSERT(bytes_equal(text, bytes_str("xyz")));
    synk_document_free(document);
}

static void test_same(void)
{
    static const struct {
        struct synk_bytes a, b;
        bool same;
    } table[] = {
        {{"\x01", 1}, {"\x01", 1}, true},
        {{"\x01", 1}, {"\xcd\x00\x01", 3}, true},
        {{"\x01", 1}, {"\xd1\x00\x01", 3}, true},
        {{"\xff", 1}, {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9}, false},
        {{"\x01", 1}, {"\xca\x3f\x80\x00\x00", 5}, false},
        {{"\xcb\x3f\xf0\0\0\0\0\0\0", 9}, {"\xca\x3f\x80\x00\x00", 5}, true},
        {{"\xca\x7f\xc0\x00\x00", 5}, {"\xcb\x7f\xf8\0\0\0\0\0\0", 9}, true},
        {{NULL, 0}, {"\xc0", 1}, true},
        {{NULL, 0}, {NULL, 0}, true},
        {{"\xa1x", 2}, {"\xd9\x01x", 3}, true},
        {{"\xa1x", 2}, {"\xc4\x01x", 3}, false},
        {{"\x91\x01", 2}, {"\xdc\x00\x01\x01", 4}, true},
        {{"\x92\x01\x02", 3}, {"\xdc\x00\x01\x01", 4}, false},
        {{"\x82\xa1"
          "a\x01\xa1"
          "b\x02",
          7},
         {"\x82\xa1"
          "b\x02\xa1"
          "a\x01",
          7},
         false},
        {{"\x81\xa1"
          "a\x01",
          4},
         {"\x81\xa1"
          "a\xcc\x01",
          5},
         true},
        {{"\x80", 1}, {"\x90", 1}, false},
        {{"\xc1", 1}, {"\x01", 1}, false},
        {{"\x01", 1}, {"\x91", 1}, false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        CU_ASSERT_EQUAL(value_same(table[i].a, table[i].b), table[i].same);
        CU_ASSERT_EQUAL(value_same(table[i].b, table[i].a), table[i].same);
    }
}

static void test_many_small_arrays(void)
{
    struct buf buf = {0};
    pack_array(&buf, 30000);
    for (int i = 0; i < 30000; i++) {
        pack_array(&buf, 4);
        for (int j = 0; j < 4; j++)
            pack_int(&buf, i + j);
    }
    struct synk_document *document = decode(buf_bytes(&buf));
    const struct synk_value *last = synk_value_at(synk_document_root(document), 29999);
    CU_ASSERT_EQUAL(synk_value_int(synk_value_at(last, 3), 0), 30002);
    synk_document_free(document);
    buf_fini(&buf);
}

static void test_bad_bytes_make_no_document(void)
{
    struct synk_error error = {0};
    struct synk_document *document = NULL;
    CU_ASSERT_EQUAL(synk_document_decode(BYTES("\xdd\xff\xff\xff\xff"), &document, &error),
                    SYNK_PROTOCOL);
    CU_ASSERT_EQUAL(error.status, SYNK_PROTOCOL);
    CU_ASSERT_PTR_NULL(document);
}

static bool json_is(struct synk_builder *builder, const char *expected)
{
    struct synk_document *document = decode(synk_builder_bytes(builder));
    char *json = synk_value_json_dup(synk_document_root(document));
    bool is_same = strcmp(json, expected) == 0;
    if (!is_same)
        printf("%s\n", json);
    free(json);
    synk_document_free(document);
    return is_same;
}

static void test_paths_reach_into_maps_and_arrays(void)
{
    static const char text[] =
        "{\"a.b c\": {\"list\": [1, {\"x\": 7}]}, \"\": {\"\": 3}, \"0\": 4}";
    struct synk_builder *builder = synk_builder_new();
    CU_ASSERT_EQUAL(synk_builder_json(builder, text, strlen(text), NULL), SYNK_OK);
    struct synk_document *document = decode(synk_builder_bytes(builder));
    static const struct {
        const char *path;
        int64_t expected; /* -1 = absent */
    } rows[] = {
        {"a.b c/list/1/x", 7},
        {"a.b c/list/0", 1},
        {"a.b c/list/2", -1},
        {"a.b c/list/-1", -1},
        {"a.b c/list/x", -1},
        {"a.b c/list//", -1},
        {"a.b", -1},
        {"a.b c/list/0/x", -1},
        {"/", -1},
        {"//", 3},
        {"0", 4},
        {"0/0", -1},
        {"a.b c/list/99999999999999999999", -1},
    };
    const struct synk_value *root = synk_document_root(document);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (synk_value_int(synk_value_path(root, rows[i].path), -1) != rows[i].expected)
            CU_FAIL(rows[i].path);
    CU_ASSERT_PTR_EQUAL(synk_value_path(root, ""), root);
    CU_ASSERT_PTR_NULL(synk_value_path(NULL, "a"));
    synk_document_free(document);
    synk_builder_free(builder);
}

static void test_containers_count_for_themselves(void)
{
    struct synk_builder *builder = synk_builder_new();
    synk_builder_end(builder); /* nothing was begun */
    synk_builder_begin_map(builder);
    synk_builder_string(builder, "list");
    synk_builder_begin_array(builder);
    for (int i = 0; i < 3; i++) {
        synk_builder_begin_map(builder);
        synk_builder_string(builder, "i");
        synk_builder_int(builder, i);
        synk_builder_end(builder);
    }
    synk_builder_array(builder, 1);
    synk_builder_null(builder);
    synk_builder_end(builder);
    synk_builder_string(builder, "none");
    synk_builder_begin_map(builder);
    synk_builder_end(builder);
    synk_builder_end(builder);
    CU_ASSERT(json_is(builder, "{\"list\":[{\"i\":0},{\"i\":1},{\"i\":2},[null]],\"none\":{}}"));
    synk_builder_clear(builder);
    synk_builder_begin_array(builder);
    for (int i = 0; i < 70000; i++)
        synk_builder_bool(builder, true);
    synk_builder_end(builder);
    struct synk_document *document = decode(synk_builder_bytes(builder));
    CU_ASSERT_EQUAL(synk_value_count(synk_document_root(document)), 70000);
    synk_document_free(document);
    synk_builder_free(builder);
}

/* What a builder of these steps is told: { [ begin, } ends, k and l are strings, others are ints. */
static const struct {
    const char *steps, *text;
} unfinished[] = {
    {"{k1", "a map was begun and not ended"},
    {"[1", "an array was begun and not ended"},
    {"{k[1", "an array was begun and not ended"},
    {"{k[1}", "a map was begun and not ended"},
    {"[[[[[[[[[[[[[[[[[[", "a container was begun and not ended"},
    {"{k1l}", "key 'l' has no value"},
    {"{k{l}}", "key 'l' has no value"},
    {"{k1l{k}}", "key 'k' has no value"},
    {"{kl1}", "a map was ended behind a key: a value is missing in it"},
    {"11", "byte 1: bytes after the end of the value"},
    {"{k1}", NULL},
};

static void test_what_was_left_undone_is_told(void)
{
    for (size_t i = 0; i < sizeof(unfinished) / sizeof(unfinished[0]); i++) {
        struct synk_builder *builder = synk_builder_new();
        for (const char *step = unfinished[i].steps; *step; step++) {
            if (*step == '{')
                synk_builder_begin_map(builder);
            else if (*step == '[')
                synk_builder_begin_array(builder);
            else if (*step == '}')
                synk_builder_end(builder);
            else if (*step == '1')
                synk_builder_int(builder, 1);
            else
                synk_builder_string_n(builder, step, 1);
        }
        struct synk_error error = {0};
        enum synk_status status = value_check_built(builder, &check_message_limits, &error);
        CU_ASSERT_EQUAL(status == SYNK_OK, unfinished[i].text == NULL);
        if (unfinished[i].text && strcmp(error.text, unfinished[i].text) != 0) {
            fprintf(stderr, "%s: %s\n", unfinished[i].steps, error.text);
            CU_FAIL("another text");
        }
        synk_builder_clear(builder);
        synk_builder_null(builder);
        CU_ASSERT_EQUAL(value_check_built(builder, &check_message_limits, &error), SYNK_OK);
        synk_builder_free(builder);
    }
}

static void test_containers_that_do_not_add_up_are_no_value(void)
{
    for (int which = 0; which < 3; which++) {
        struct synk_builder *builder = synk_builder_new();
        int begun = which == 2 ? 40 : 1;
        for (int i = 0; i < begun; i++)
            synk_builder_begin_map(builder);
        synk_builder_string(builder, "key without a value");
        for (int i = 0; which && i < begun; i++)
            synk_builder_end(builder);
        struct synk_error error;
        CU_ASSERT_NOT_EQUAL(check_value(synk_builder_bytes(builder), &check_message_limits, &error),
                            SYNK_OK);
        synk_builder_clear(builder); /* forgets what was begun */
        synk_builder_begin_array(builder);
        synk_builder_end(builder);
        CU_ASSERT(json_is(builder, "[]"));
        synk_builder_free(builder);
    }
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"absent_values_chain", test_absent_values_chain},
        {"built_values_read_back", test_built_values_read_back},
        {"numbers_convert_only_exactly", test_numbers_convert_only_exactly},
        {"get_string_is_bounded", test_get_string_is_bounded},
        {"same", test_same},
        {"many_small_arrays", test_many_small_arrays},
        {"bad_bytes_make_no_document", test_bad_bytes_make_no_document},
        {"paths_reach_into_maps_and_arrays", test_paths_reach_into_maps_and_arrays},
        {"containers_count_for_themselves", test_containers_count_for_themselves},
        {"what_was_left_undone_is_told", test_what_was_left_undone_is_told},
        {"containers_that_do_not_add_up_are_no_value",
         test_containers_that_do_not_add_up_are_no_value},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "value", cases);
}
