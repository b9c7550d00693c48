/* The heap of timers. */
#include "supervisor/core/timers.h"
#include "tests/support/unit.h"

static void fire_in_order(void)
{
    struct timers timers = {0};
    CU_ASSERT_EQUAL(timers_next(&timers), INT64_MAX);
    uint32_t seed = 7;
    for (uint32_t i = 0; i < 1000; i++) {
        seed = seed * 1664525u + 1013904223u;
        timers_set(&timers, seed % 100, TIMER_TASK, i, 0);
    }
    struct timer timer, last = {.due = -1};
    size_t count = 0;
    while (timers_take(&timers, 100, &timer)) {
        CU_ASSERT_TRUE(timer.due > last.due || (timer.due == last.due && timer.id > last.id));
        last = timer;
        count++;
    }
    CU_ASSERT_EQUAL(count, 1000);
    timers_fini(&timers);
}

static void nothing_fires_early(void)
{
    struct timers timers = {0};
    timers_set(&timers, 50, TIMER_UNIT, 1, 2);
    struct timer timer;
    CU_ASSERT_FALSE(timers_take(&timers, 49, &timer));
    CU_ASSERT_EQUAL(timers_next(&timers), 50);
    CU_ASSERT_TRUE(timers_take(&timers, 50, &timer));
    CU_ASSERT_EQUAL(timer.task, 2);
    timers_fini(&timers);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"fire_in_order", fire_in_order},
        {"nothing_fires_early", nothing_fires_early},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "timers", cases);
}
