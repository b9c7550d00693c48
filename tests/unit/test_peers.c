/* The table from routing ids to peer numbers. */
#include <stdio.h>

#include "supervisor/shell/peers.h"
#include "tests/support/unit.h"

static struct synk_bytes id_of(uint32_t number)
{
    static uint8_t id[5];
    for (int i = 0; i < 4; i++)
        id[1 + i] = (uint8_t)(number >> (8 * i));
    return bytes_of(id, sizeof(id));
}

static void test_finds_what_was_added(void)
{
    struct peers peers;
    uint32_t numbers[1000];
    peers_init(&peers, 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        CU_ASSERT_EQUAL(peers_find(&peers, id_of(i)), 0);
        numbers[i] = peers_add(&peers, id_of(i));
        CU_ASSERT_NOT_EQUAL(numbers[i], 0);
    }
    for (uint32_t i = 0; i < 1000; i++)
        CU_ASSERT_EQUAL(peers_find(&peers, id_of(i)), numbers[i]);
    for (uint32_t i = 0; i < 1000; i += 2)
        peers_remove(&peers, numbers[i]);
    for (uint32_t i = 0; i < 1000; i++)
        CU_ASSERT_EQUAL(peers_find(&peers, id_of(i)), i % 2 ? numbers[i] : 0);
    peers_fini(&peers);
}

static void test_number_never_means_a_later_peer(void)
{
    struct peers peers;
    peers_init(&peers, 4);
    uint32_t old = peers_add(&peers, id_of(1));
    for (uint32_t i = 0; i < 1000; i++) {
        peers_remove(&peers, old);
        uint32_t next = peers_add(&peers, id_of(2 + i));
        CU_ASSERT_NOT_EQUAL(next, old);
        CU_ASSERT_PTR_NULL(peers_get(&peers, old));
        CU_ASSERT_PTR_NOT_NULL(peers_get(&peers, next));
        old = next;
    }
    CU_ASSERT_PTR_NULL(peers_get(&peers, 0));
    CU_ASSERT_PTR_NULL(peers_get(&peers, UINT32_MAX));
    peers_fini(&peers);
}

static void test_the_longest_silent_makes_room(void)
{
    struct peers peers;
    uint32_t oldest = 0, numbers[3];
    peers_init(&peers, 3);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_FALSE(peers_is_full(&peers, &oldest));
        numbers[i] = peers_add(&peers, id_of(i));
    }
    CU_ASSERT_TRUE(peers_is_full(&peers, &oldest));
    CU_ASSERT_EQUAL(oldest, numbers[0]);
    peers_find(&peers, id_of(0));
    CU_ASSERT_TRUE(peers_is_full(&peers, &oldest));
    CU_ASSERT_EQUAL(oldest, numbers[1]);
    peers_remove(&peers, oldest);
    CU_ASSERT_FALSE(peers_is_full(&peers, &oldest));
    numbers[1] = peers_add(&peers, id_of(9));
    CU_ASSERT_TRUE(peers_is_full(&peers, &oldest));
    CU_ASSERT_EQUAL(oldest, numbers[2]);
    peers_fini(&peers);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"finds what was added", test_finds_what_was_added},
        {"number never means a later peer", test_number_never_means_a_later_peer},
        {"the longest silent makes room", test_the_longest_silent_makes_room},
        {0},
    };
    return unit_main(argc, argv, "peers", cases);
}
