/* Bytes and status: the allocator's shapes, and error texts that are cut and cleaned. */
#include <stdint.h>
#include <stdlib.h>

#include "proto/bytes.h"
#include "proto/check.h"
#include "proto/status.h"
#include "tests/support/unit.h"

static void test_buf_grows_and_prints(void)
{
    struct buf buf = {0};
    buf_append(&buf, NULL, 0);
    CU_ASSERT_EQUAL(buf.size, 0);
    for (int i = 0; i < 1000; i++)
        buf_printf(&buf, "%d,", i);
    buf_printf(&buf, "%*s", 5000, "x");
    CU_ASSERT_EQUAL(buf.size, 10 * 2 + 90 * 3 + 900 * 4 + 5000);
    CU_ASSERT_EQUAL(memcmp(buf.data, "0,1,2,", 6), 0);
    CU_ASSERT_EQUAL(buf.data[buf.size - 1], 'x');
    buf_fini(&buf);
    CU_ASSERT_PTR_NULL(buf.data);
    buf_fini(NULL);
}

static void test_arena_aligns_and_reuses(void)
{
    struct arena arena = {0};
    for (size_t size = 0; size < 3000; size += 7) {
        uint8_t *memory = arena_alloc(&arena, size);
        CU_ASSERT_EQUAL_FATAL((uintptr_t)memory % 16, 0);
        memset(memory, 1, size);
    }
    uint8_t *large = arena_zalloc(&arena, 1000, 1000);
    CU_ASSERT_EQUAL(large[999999], 0);
    CU_ASSERT_STRING_EQUAL(arena_strndup(&arena, "abcdef", 3), "abc");
    CU_ASSERT_STRING_EQUAL(arena_strdup(&arena, "abc"), "abc");
    CU_ASSERT(bytes_equal(arena_copy(&arena, bytes_str("abc")), bytes_str("abc")));
    CU_ASSERT_PTR_NULL(arena_copy(&arena, bytes_of(NULL, 0)).data);
    arena_clear(&arena);
    CU_ASSERT_EQUAL(arena.used_bytes, 0);
    CU_ASSERT_PTR_NOT_NULL(arena_alloc(&arena, 10));
    arena_fini(&arena);
    arena_fini(NULL);
}

static void test_blob_counts_references(void)
{
    CU_ASSERT_PTR_NULL(blob_new(bytes_of(NULL, 0)));
    struct blob *blob = blob_new(bytes_str("shared"));
    CU_ASSERT_PTR_EQUAL(blob_ref(blob), blob);
    blob_unref(blob);
    CU_ASSERT(bytes_equal(blob_bytes(blob), bytes_str("shared")));
    blob_unref(blob);
    blob_unref(NULL);
    CU_ASSERT_PTR_NULL(blob_ref(NULL));
    CU_ASSERT_EQUAL(blob_bytes(NULL).size, 0);
}

static void test_grow_and_hash(void)
{
    size_t capacity = 0;
    int *items = NULL;
    for (size_t i = 0; i < 1000; i++) {
        items = mem_grow(items, &capacity, i + 1, sizeof(*items));
        items[i] = (int)i;
    }
    CU_ASSERT_EQUAL(items[999], 999);
    CU_ASSERT(capacity < 2048);
    free(items);
    CU_ASSERT_NOT_EQUAL(bytes_hash(bytes_str("a")), bytes_hash(bytes_str("b")));
    CU_ASSERT_EQUAL(bytes_hash(bytes_str("a")), bytes_hash(bytes_of("abc", 1)));
}

static void test_status_names_go_both_ways(void)
{
    for (int i = 0; i >= -16; i--) {
        const char *name = synk_status_name((enum synk_status)i);
        CU_ASSERT_STRING_NOT_EQUAL(name, "unknown");
        CU_ASSERT_EQUAL(status_from_name(name, strlen(name)), (enum synk_status)i);
    }
    CU_ASSERT_STRING_EQUAL(synk_status_name((enum synk_status) - 99), "unknown");
    CU_ASSERT_EQUAL(status_from_name("nonsense", 8), SYNK_PROTOCOL);
    CU_ASSERT_EQUAL(status_from_name("o", 1), SYNK_PROTOCOL);
}

static void test_error_text_is_cut_between_characters(void)
{
    char word[SYNK_ERROR_TEXT_BYTES * 2];
    for (size_t shift = 0; shift < 4; shift++) {
        struct synk_error error;
        memset(word, 'a', shift);
        for (size_t i = shift; i + 4 < sizeof(word); i += 4)
            memcpy(word + i, "\xf0\x9f\x90\x9f", 5);
        CU_ASSERT_EQUAL(status_fail(&error, SYNK_IO, "%s", word), SYNK_IO);
        CU_ASSERT(check_utf8(bytes_str(error.text)));
        CU_ASSERT(strlen(error.text) >= SYNK_ERROR_TEXT_BYTES - 4);
        CU_ASSERT_PTR_NULL(strchr(error.text, '?'));
        status_prefix(&error, "prefix %zu", shift);
        CU_ASSERT(check_utf8(bytes_str(error.text)));
        CU_ASSERT_EQUAL(strncmp(error.text, "prefix ", 7), 0);
        status_prefix(&error, "%s", word);
        CU_ASSERT(check_utf8(bytes_str(error.text)));
    }
}

static void test_error_text_is_utf8_whatever_it_quotes(void)
{
    struct synk_error error;
    status_fail(&error, SYNK_PROTOCOL, "a '%s' b", "\xff\xc3(\xed\xa0\x80");
    CU_ASSERT_STRING_EQUAL(error.text, "a '\?\?(\?\?\?' b");
    status_fail(&error, SYNK_INVALID, "outer: %s", error.text);
    CU_ASSERT_STRING_EQUAL(error.text, "outer: a '\?\?(\?\?\?' b");
    status_prefix(&error, "file");
    CU_ASSERT_STRING_EQUAL(error.text, "file: outer: a '\?\?(\?\?\?' b");
    CU_ASSERT_EQUAL(status_fail(NULL, SYNK_BUSY, "nobody listens"), SYNK_BUSY);
    status_prefix(NULL, "nobody");
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"buf_grows_and_prints", test_buf_grows_and_prints},
        {"arena_aligns_and_reuses", test_arena_aligns_and_reuses},
        {"blob_counts_references", test_blob_counts_references},
        {"grow_and_hash", test_grow_and_hash},
        {"status_names_go_both_ways", test_status_names_go_both_ways},
        {"error_text_is_cut_between_characters", test_error_text_is_cut_between_characters},
        {"error_text_is_utf8_whatever_it_quotes", test_error_text_is_utf8_whatever_it_quotes},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "bytes", cases);
}
