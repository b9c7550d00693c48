/* The tables of states: names there and back, and the moves that must and must not be. */
#include "supervisor/core/states.h"
#include "tests/support/unit.h"

static void names_come_back(void)
{
    for (int s = 0; s < TASK_STATES; s++)
        CU_ASSERT_EQUAL(task_state_from_name(task_state_name((enum task_state)s)), s);
    for (int s = 0; s <= RUN_SKIPPED; s++)
        CU_ASSERT_EQUAL(run_status_from_name(run_status_name((enum run_status)s)), s);
    CU_ASSERT_EQUAL(task_state_from_name("sleeping"), -1);
    CU_ASSERT_STRING_EQUAL(task_state_name(TASK_RETRY_WAIT), "retry-wait");
    CU_ASSERT_STRING_EQUAL(unit_status_name(UNIT_COMPLETED), "completed");
    CU_ASSERT_STRING_EQUAL(unit_status_name((enum unit_status)99), "unknown");
}

static void final_states_only_go_back_to_pending(void)
{
    for (int from = TASK_SUCCEEDED; from < TASK_STATES; from++)
        for (int to = 0; to < TASK_STATES; to++)
            CU_ASSERT_EQUAL(task_move_is_legal((enum task_state)from, (enum task_state)to),
                            to == TASK_PENDING && from != TASK_SUCCEEDED);
}

static void nothing_skips_readiness(void)
{
    CU_ASSERT_FALSE(task_move_is_legal(TASK_PENDING, TASK_RUNNING));
    CU_ASSERT_FALSE(task_move_is_legal(TASK_PENDING, TASK_SUCCEEDED));
    CU_ASSERT_FALSE(task_move_is_legal(TASK_DISPATCHED, TASK_SKIPPED));
    CU_ASSERT_TRUE(task_move_is_legal(TASK_RUNNING, TASK_RETRY_WAIT));
    CU_ASSERT_FALSE(task_move_is_legal(TASK_STATES, TASK_PENDING));
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"names_come_back", names_come_back},
        {"final_states_only_go_back_to_pending", final_states_only_go_back_to_pending},
        {"nothing_skips_readiness", nothing_skips_readiness},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "states", cases);
}
