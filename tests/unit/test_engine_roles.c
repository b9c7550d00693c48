/* Which role may ask for what: every request there is, and what hosts say. */
#include <stdio.h>

#include "supervisor/core/roles.h"
#include "tests/support/engine_fixture.h"
#include "tests/support/unit.h"

enum { O = 1, S = 2, A = 4 };

static const struct {
    uint16_t type;
    unsigned who;
} matrix[] = {
    {MSG_CONNECT, O | S | A},
    {MSG_SHOW, O | S | A},
    {MSG_LIST, O | S | A},
    {MSG_FETCH, O | S | A},
    {MSG_EXPLAIN, O | S | A},
    {MSG_PLAN, O | S | A},
    {MSG_LOGS, O | S | A},
    {MSG_STATS, O | S | A},
    {MSG_SNAPSHOT, O | S | A},
    {MSG_POOL_ORDER, O | S | A},
    {MSG_UPLOAD, S | A},
    {MSG_RUN, S | A},
    {MSG_SUBMIT, S | A},
    {MSG_WAIT, S | A},
    {MSG_CANCEL, S | A},
    {MSG_RETRY, S | A},
    {MSG_APPLY, A},
    {MSG_PAUSE, A},
    {MSG_RESUME, A},
    {MSG_BACKUP, A},
    {MSG_SHUTDOWN, A},
    {MSG_RELEASE, A},
    {MSG_SET, A},
    {MSG_MILESTONE, A},
    {MSG_TICK, A},
    {MSG_SCAN, A},
    {MSG_RESIZE, A},
    {MSG_POOL_UPDATE, A},
    {MSG_PRUNE, A},
    {MSG_DRAIN_HOST, A},
};
enum { REQUESTS = sizeof(matrix) / sizeof(matrix[0]) };

static const struct {
    enum role role;
    unsigned bit;
} clients[] = {
    {ROLE_NONE, 0}, {ROLE_OBSERVE, O}, {ROLE_SUBMIT, S}, {ROLE_WORKER, 0}, {ROLE_ADMIN, A}};

/* All that PROTOCOL.md lists from 64 on is in the matrix. */
static void test_the_matrix_is_whole(void)
{
    size_t known = 0;
    for (unsigned type = MSG_CONNECT; type < MSG_REPLY; type++)
        known += strcmp(msg_type_name(type), "unknown") != 0;
    CU_ASSERT_EQUAL(known, REQUESTS);
}

static void test_every_request_by_every_role(void)
{
    for (size_t c = 0; c < sizeof(clients) / sizeof(clients[0]); c++)
        for (size_t i = 0; i < REQUESTS; i++) {
            struct fixture f;
            bool may = matrix[i].who & clients[c].bit;
            fixture_init(&f);
            f.role = clients[c].role;
            uint64_t asked = fixture_ask(&f, 7, matrix[i].type, "{}");
            const char *reply = fixture_reply(&f, asked);
            bool is_refused = reply && strstr(reply, "\"refused\"") &&
                              (strstr(reply, "role") || strstr(reply, "not allowed"));
            if (is_refused == may)
                fprintf(stderr, "  %s as %s: %s\n", msg_type_name(matrix[i].type),
                        role_name(clients[c].role), reply ? reply : "(none)");
            CU_ASSERT_NOT_EQUAL(is_refused, may);
            CU_ASSERT_EQUAL(roles_allow(clients[c].role, matrix[i].type), may);
            fixture_fini(&f);
        }
}

static void test_a_type_that_nobody_thought_of_is_for_admin(void)
{
    CU_ASSERT_FALSE(roles_allow(ROLE_SUBMIT, 127));
    CU_ASSERT_FALSE(roles_allow(ROLE_OBSERVE, 60000));
    CU_ASSERT_TRUE(roles_allow(ROLE_ADMIN, 127));
}

static void test_commands_of_ones_own_take_more_than_submit(void)
{
    struct fixture f;
    fixture_init(&f);
    const char *exec = "{\"function\":\"exec\",\"payload\":{\"command\":\"id\"}}";
    f.role = ROLE_SUBMIT;
    CU_ASSERT_TRUE(fixture_reply_has(&f, fixture_ask(&f, 7, MSG_SUBMIT, exec), "--allow-exec"));
    CU_ASSERT_TRUE(
        fixture_reply_has(&f, fixture_ask(&f, 7, MSG_SUBMIT, "{\"function\":\"t.ok\"}"), "pool#1"));
    f.role = ROLE_ADMIN;
    CU_ASSERT_TRUE(fixture_reply_has(&f, fixture_ask(&f, 7, MSG_SUBMIT, exec), "pool#2"));
    /* Nor by changing one that is there. */
    f.role = ROLE_SUBMIT;
    CU_ASSERT_TRUE(fixture_reply_has(
        &f, fixture_ask(&f, 7, MSG_POOL_UPDATE, "{\"run\":\"pool#1\",\"function\":\"exec\"}"),
        "refused"));
    fixture_fini(&f);
}

static void test_only_workers_and_admins_are_hosts(void)
{
    for (int role = ROLE_NONE; role < ROLES; role++) {
        struct fixture f;
        fixture_init(&f);
        f.role = (enum role)role;
        fixture_hello(&f, 9, "far", 1, 2);
        f.role = ROLE_ADMIN;
        uint64_t asked = fixture_ask(&f, 7, MSG_LIST, "{\"what\":\"hosts\"}");
        bool is_in = strstr(fixture_reply(&f, asked), "\"far\"");
        CU_ASSERT_EQUAL(is_in, role == ROLE_WORKER || role == ROLE_ADMIN);
        fixture_fini(&f);
    }
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"the matrix is whole", test_the_matrix_is_whole},
        {"every request by every role", test_every_request_by_every_role},
        {"a type that nobody thought of is for admin",
         test_a_type_that_nobody_thought_of_is_for_admin},
        {"commands of one's own take more than submit",
         test_commands_of_ones_own_take_more_than_submit},
        {"only workers and admins are hosts", test_only_workers_and_admins_are_hosts},
        {0},
    };
    return unit_main(argc, argv, "roles", cases);
}
