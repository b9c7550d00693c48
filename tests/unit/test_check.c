/* The check in front of MessagePack-C: what it lets through, what it refuses, with which status. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/check.h"
#include "proto/limits.h"
#include "proto/value.h"
#include "tests/support/unit.h"

#define BYTES(text)                                                                                \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }

static const struct {
    struct synk_bytes bytes;
    enum synk_status status;
    const char *text; /* part of the error */
} table[] = {
    {BYTES("\xc0"), SYNK_OK, NULL},
    {BYTES("\x7f"), SYNK_OK, NULL},
    {BYTES("\xe0"), SYNK_OK, NULL},
    {BYTES("\xca\x00\x00\x00\x00"), SYNK_OK, NULL},
    {BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), SYNK_OK, NULL},
    {BYTES("\x80"), SYNK_OK, NULL},
    {BYTES("\x90"), SYNK_OK, NULL},
    {BYTES("\xa0"), SYNK_OK, NULL},
    {BYTES("\xde\x00\x01\xa1k\xdd\x00\x00\x00\x01\xc3"), SYNK_OK, NULL},
    {BYTES("\xdb\x00\x00\x00\x02"
           "ab"),
     SYNK_OK, NULL},
    {BYTES("\xc4\x02\xff\xfe"), SYNK_OK, NULL},
    {BYTES("\xa2\x00z"), SYNK_OK, NULL},
    {BYTES("\x92\x81\xa1k\x90\xc2"), SYNK_OK, NULL},
    {BYTES("\xa8\xe2\x82\xac\xf0\x9f\x90\x9f."), SYNK_OK, NULL},
    {BYTES(""), SYNK_PROTOCOL, "ends too early"},
    {BYTES("\xcd\x01"), SYNK_PROTOCOL, "longer than"},
    {BYTES("\xdd\x00\x00"), SYNK_PROTOCOL, "ends too early"},
    {BYTES("\x92\xc0"), SYNK_PROTOCOL, "a container of 2 with 1"},
    {BYTES("\x93\x91\xc0\xc0"), SYNK_PROTOCOL, "ends too early"},
    {BYTES("\xa3"
           "ab"),
     SYNK_PROTOCOL, "longer than"},
    {BYTES("\xdd\xff\xff\xff\xff"), SYNK_PROTOCOL, "byte 0: a container of 4294967295"},
    {BYTES("\xdf\xff\xff\xff\xff\xc0"), SYNK_PROTOCOL, "container"},
    {BYTES("\x82\xa1k\xc0"), SYNK_PROTOCOL, "container"},
    {BYTES("\xc6\xff\xff\xff\xff"), SYNK_PROTOCOL, "longer than"},
    {BYTES("\xc0\xc0"), SYNK_PROTOCOL, "byte 1: bytes after the end"},
    {BYTES("\xc1"), SYNK_PROTOCOL, "a tag that MessagePack does not have"},
    {BYTES("\xd4\x01\x00"), SYNK_PROTOCOL, "an ext type"},
    {BYTES("\xc7\x00\x01"), SYNK_PROTOCOL, "an ext type"},
    {BYTES("\x91\xd8zzzzzzzzzzzzzzzzz"), SYNK_PROTOCOL, "byte 1: an ext type"},
    {BYTES("\x81\x01\xc0"), SYNK_PROTOCOL, "a map key that is not a string"},
    {BYTES("\x81\x90\xc0"), SYNK_PROTOCOL, "a map key that is not a string"},
    {BYTES("\x81\xc4\x01k\xc0"), SYNK_PROTOCOL, "a map key that is not a string"},
    {BYTES("\x81\xa2\x00k\xc0"), SYNK_PROTOCOL, "a map key with a NUL"},
    {BYTES("\xa1\xff"), SYNK_PROTOCOL, "not UTF-8"},
    {BYTES("\xa2\xc0\x80"), SYNK_PROTOCOL, "not UTF-8"},
    {BYTES("\xa3\xed\xa0\x80"), SYNK_PROTOCOL, "not UTF-8"},
    {BYTES("\xa4\xf4\x90\x80\x80"), SYNK_PROTOCOL, "not UTF-8"},
    {BYTES("\xa3\xe0\x9f\xbf"), SYNK_PROTOCOL, "not UTF-8"},
    {BYTES("\xaa"
           "12345678\xe2\x82"),
     SYNK_PROTOCOL, "not UTF-8"},
};

static void test_table(void)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct synk_error error = {0};
        enum synk_status status = check_value(table[i].bytes, &check_message_limits, &error);
        bool says = !table[i].text || strstr(error.text, table[i].text);
        if (status != table[i].status || !says)
            printf("case %zu: status %d, '%s'\n", i, status, error.text);
        CU_ASSERT_EQUAL(status, table[i].status);
        CU_ASSERT(says);
    }
}

/* Every proper beginning of a value is refused, and read no further than it goes (ASan watches). */
static void test_truncated_at_every_byte(void)
{
    static const char whole[] = "\x83\xa1"
                                "a\xcb@\x09!\xfb"
                                "TD-\x18\xa2"
                                "bb\x92\xd9\x03xyz\xc5\x00\x02"
                                "\x01\x02\xa1"
                                "c\xdc\x00\x01\xd3\xff\xff\xff\xff\xff\xff\xff\xfe";
    struct synk_bytes all = {whole, sizeof(whole) - 1};
    CU_ASSERT_EQUAL(check_value(all, &check_message_limits, NULL), SYNK_OK);
    for (size_t size = 0; size < all.size; size++) {
        char *part = malloc(size + 1);
        memcpy(part + 1, whole, size);
        CU_ASSERT_EQUAL(check_value(bytes_of(part + 1, size), &check_message_limits, NULL),
                        SYNK_PROTOCOL);
        free(part);
    }
}

static void test_depth(void)
{
    uint8_t nest[64];
    memset(nest, 0x91, sizeof(nest));
    for (size_t depth = 1; depth < 40; depth++) {
        struct check_limits limits = {.depth = 32, .items = 1000};
        struct synk_document *document = NULL;
        nest[depth] = 0xc0;
        struct synk_bytes bytes = bytes_of(nest, depth + 1);
        CU_ASSERT_EQUAL(check_value(bytes, &check_message_limits, NULL),
                        depth <= LIMIT_VALUE_DEPTH ? SYNK_OK : SYNK_TOO_LARGE);
        CU_ASSERT_EQUAL(value_decode(bytes, &limits, &document, NULL),
                        depth <= 32 ? SYNK_OK : SYNK_TOO_LARGE);
        synk_document_free(document);
        nest[depth] = 0x91;
    }
}

static void test_items(void)
{
    size_t count = LIMIT_MESSAGE_ITEMS;
    uint8_t *bytes = malloc(count + 5);
    memset(bytes, 0, count + 5);
    uint8_t head[5] = {0xdd, (uint8_t)((count - 1) >> 24), (uint8_t)((count - 1) >> 16),
                       (uint8_t)((count - 1) >> 8), (uint8_t)(count - 1)};
    memcpy(bytes, head, 5);
    CU_ASSERT_EQUAL(check_value(bytes_of(bytes, count + 4), &check_message_limits, NULL), SYNK_OK);
    bytes[4]++;
    CU_ASSERT_EQUAL(check_value(bytes_of(bytes, count + 5), &check_message_limits, NULL),
                    SYNK_TOO_LARGE);
    free(bytes);
}

static void test_utf8_prefix(void)
{
    CU_ASSERT_EQUAL(check_utf8_prefix(bytes_str("abc")), 3);
    CU_ASSERT_EQUAL(check_utf8_prefix(bytes_str("h\xc3\xa4ngt \xc3")), 7);
    CU_ASSERT_EQUAL(check_utf8_prefix(bytes_str("")), 0);
    CU_ASSERT(check_utf8(bytes_of(NULL, 0)));
}

static void test_sequence(void)
{
    static const struct {
        struct synk_bytes bytes;
        size_t values, objects;
    } rows[] = {
        {{NULL, 0}, 0, 0},
        {{"\x01\x02", 2}, 2, 2},
        {{"\x92\x01\x81\xa1k\x02\xc0", 7}, 2, 6}, /* [1, {k: 2}] and null */
        {{"\xc0\x92\x01", 3}, 1, 1},              /* the second is not whole */
        {{"\xc0\xa5xy", 4}, 1, 1},
        {{"\xc0\xc1", 2}, 1, 1},
        {{"\x90\x80\xcb\0\0\0\0\0\0\0\0", 11}, 3, 3},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t objects = 99;
        CU_ASSERT_EQUAL(check_sequence(rows[i].bytes, &objects), rows[i].values);
        CU_ASSERT_EQUAL(objects, rows[i].objects);
        CU_ASSERT_EQUAL(check_sequence(rows[i].bytes, NULL), rows[i].values);
    }
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"table", test_table},
        {"truncated_at_every_byte", test_truncated_at_every_byte},
        {"depth", test_depth},
        {"items", test_items},
        {"utf8_prefix", test_utf8_prefix},
        {"sequence", test_sequence},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "check", cases);
}
