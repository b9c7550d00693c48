/* Cutting packed values where they end, whatever they are made of. */
#include "proto/pack.h"
#include "supervisor/shell/split.h"
#include "tests/support/unit.h"

/* One value of each form that MessagePack has. */
static size_t pack_forms(struct buf *out, size_t *starts)
{
    static const int64_t numbers[] = {0,         127,       128,       65535,    65536,
                                      -1,        -32,       -33,       -32768,   -32769,
                                      1ll << 31, 1ll << 32, INT64_MAX, INT64_MIN};
    static const size_t sizes[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
    static char text[65536];
    static const uint8_t raw[][18] = {
        {0xca, 1, 2, 3, 4}, {0xd4, 5, 1}, {0xd8, 5, 1}, {0xc7, 2, 5, 1, 1}};
    static const size_t raw_sizes[] = {5, 3, 18, 5};
    size_t count = 0;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        starts[count++] = out->size;
        pack_int(out, numbers[i]);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        starts[count++] = out->size;
        pack_string(out, bytes_of(text, sizes[i]));
        starts[count++] = out->size;
        pack_binary(out, bytes_of(text, sizes[i]));
        starts[count++] = out->size;
        pack_array(out, sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++)
            pack_bool(out, true);
        starts[count++] = out->size;
        pack_map(out, sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++) {
            pack_key(out, "k");
            pack_array(out, 1);
            pack_double(out, 0.5);
        }
    }
    for (size_t i = 0; i < 4; i++) {
        starts[count++] = out->size;
        buf_append(out, raw[i], raw_sizes[i]);
    }
    starts[count++] = out->size;
    pack_null(out);
    return count;
}

static void test_pieces_end_where_values_end(void)
{
    struct buf out = {0};
    size_t starts[64];
    size_t count = pack_forms(&out, starts);
    starts[count] = out.size;
    for (size_t i = 0; i < count; i++) {
        struct synk_bytes left = bytes_of(out.data + starts[i], out.size - starts[i]);
        uint32_t taken = (uint32_t)(count - i);
        size_t size = split_values(left, 0, &taken);
        CU_ASSERT_EQUAL(taken, 1);
        CU_ASSERT_EQUAL(size, starts[i + 1] - starts[i]);
    }
    buf_fini(&out);
}

static void test_pieces_hold_as_many_as_fit(void)
{
    struct buf out = {0};
    for (int i = 0; i < 10; i++)
        pack_string(&out, bytes_str("123456789")); /* ten bytes each */
    static const struct {
        size_t limit;
        uint32_t count;
    } rows[] = {{1, 1}, {10, 1}, {19, 1}, {20, 2}, {99, 9}, {100, 10}, {1000, 10}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t count = 10;
        CU_ASSERT_EQUAL(split_values(buf_bytes(&out), rows[i].limit, &count), rows[i].count * 10);
        CU_ASSERT_EQUAL(count, rows[i].count);
    }
    buf_fini(&out);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"pieces end where values end", test_pieces_end_where_values_end},
        {"pieces hold as many as fit", test_pieces_hold_as_many_as_fit},
        {0},
    };
    return unit_main(argc, argv, "split", cases);
}
