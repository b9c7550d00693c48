/* Where bars stand on an axis. */
#include "tests/support/unit.h"

#include <stddef.h>
#include <string.h>

#include "tools/synk/timeline.h"

static void test_spans(void)
{
    static const struct {
        int64_t axis_from, axis_to;
        uint32_t columns;
        int64_t from, to;
        uint32_t first, count;
    } rows[] = {
        {1000, 2000, 10, 1000, 2000, 0, 10}, /* all of it */
        {1000, 2000, 10, 1500, 2000, 5, 5},
        {1000, 2000, 10, 1000, 1100, 0, 1},
        {1000, 2000, 10, 1100, 1300, 1, 2},
        {1000, 2000, 10, 1150, 1160, 1, 1}, /* short ones are seen */
        {1000, 2000, 10, 1150, 1250, 1, 2},
        {1000, 2000, 10, 1200, 1200, 2, 1}, /* of no length, too */
        {1000, 2000, 10, 2000, 2000, 9, 1}, /* at the very end */
        {1000, 2000, 10, 900, 1050, 0, 1},  /* began before the axis: clocks were set */
        {1000, 2000, 10, 1900, 2500, 9, 1},
        {1000, 2000, 10, 0, 1500, 0, 0},  /* never began */
        {1000, 2000, 10, 100, 500, 0, 0}, /* off the axis */
        {1000, 2000, 10, 2100, 2500, 0, 0},
        {1000, 1000, 10, 1000, 1000, 0, 10}, /* an axis of no length */
        {1000, 2000, 0, 1000, 2000, 0, 0},
        {1000, 1000 + INT64_C(31536000000) * 100, 200, 1000, 1000 + INT64_C(31536000000) * 50, 0,
         100},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct timeline timeline = {rows[i].axis_from, rows[i].axis_to, rows[i].columns};
        uint32_t first = 99;
        CU_ASSERT_EQUAL(timeline_span(&timeline, rows[i].from, rows[i].to, &first), rows[i].count);
        CU_ASSERT_EQUAL(first, rows[i].first);
    }
}

static void test_bars_never_leave_the_axis(void)
{
    for (uint32_t columns = 1; columns < 40; columns++)
        for (int64_t from = 1; from < 60; from++)
            for (int64_t to = from; to < 60; to++) {
                struct timeline timeline = {10, 47, columns};
                uint32_t first, count = timeline_span(&timeline, from, to, &first);
                CU_ASSERT_TRUE(first + count <= columns);
                CU_ASSERT_EQUAL(count > 0, from <= 47 && to >= 10);
            }
}

static void test_short_texts(void)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {-1, "-"},
        {0, "0 ms"},
        {999, "999 ms"},
        {1000, "1.0 s"},
        {59900, "59.9 s"},
        {60000, "1:00"},
        {3599999, "59:59"},
        {3600000, "1h00m"},
        {172799999, "47h59m"},
        {172800000, "2d"},
        {INT64_C(31536000000), "365d"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[32];
        CU_ASSERT_STRING_EQUAL(timeline_short(rows[i].ms, text), rows[i].text);
        CU_ASSERT_TRUE(strlen(text) <= 8);
    }
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"spans", test_spans},
        {"bars never leave the axis", test_bars_never_leave_the_axis},
        {"short texts", test_short_texts},
        {0},
    };
    return unit_main(argc, argv, "timeline", cases);
}
