/* Addresses of supervisors: what is read, what is refused and with which words. */
#include <string.h>

#include "proto/address.h"
#include "tests/support/unit.h"

static enum synk_status parse(const char *text, bool may_be_any, struct address *address,
                              struct synk_error *error)
{
    return address_parse(bytes_str(text), may_be_any, address, error);
}

static void one_address_has_three_sockets(void)
{
    struct address address;
    char text[ADDRESS_BYTES];
    CU_ASSERT_FATAL(parse("tcp://10.0.0.1:7400", false, &address, NULL) == SYNK_OK);
    address_socket(&address, DIRECTORY_CLIENTS, text);
    CU_ASSERT_STRING_EQUAL(text, "tcp://10.0.0.1:7400");
    address_socket(&address, DIRECTORY_HOSTS, text);
    CU_ASSERT_STRING_EQUAL(text, "tcp://10.0.0.1:7401");
    address_socket(&address, DIRECTORY_EVENTS, text);
    CU_ASSERT_STRING_EQUAL(text, "tcp://10.0.0.1:7402");
    CU_ASSERT_FATAL(parse("tcp://[FD00:0:0::1]:1", false, &address, NULL) == SYNK_OK);
    address_socket(&address, DIRECTORY_HOSTS, text);
    CU_ASSERT_STRING_EQUAL(text, "tcp://[fd00::1]:2");
    CU_ASSERT_TRUE(address_is_v6(text));
}

static void what_is_no_address_is_refused(void)
{
    static const struct {
        const char *text, *why;
    } table[] = {
        {"", "is not an address"},
        {"10.0.0.1:7400", "is not an address"},
        {"ipc:///run/synk/client.sock", "is not an address"},
        {"tcp://10.0.0.1", "needs a port"},
        {"tcp://10.0.0.1:", "needs a port"},
        {"tcp://10.0.0.1:0", "needs a port"},
        {"tcp://10.0.0.1:65534", "needs a port"},
        {"tcp://10.0.0.1:74000", "needs a port"},
        {"tcp://10.0.0.1:+740", "needs a port"},
        {"tcp://10.0.0.1:7400x", "needs a port"},
        {"tcp://localhost:7400", "by number"},
        {"tcp://10.0.0:7400", "by number"},
        {"tcp://10.0.0.256:7400", "by number"},
        {"tcp://fd00::1:7400", "by number"},
        {"tcp://[fd00::1:7400", "by number"},
        {"tcp://[]:7400", "by number"},
        {"tcp://:7400", "by number"},
        {"tcp://*:7400", "every address"},
        {"tcp://0.0.0.0:7400", "every address"},
        {"tcp://[::]:7400", "every address"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct address address;
        struct synk_error error = {0};
        CU_ASSERT(parse(table[i].text, false, &address, &error) == SYNK_INVALID);
        if (!strstr(error.text, table[i].why))
            fprintf(stderr, "'%s': %s\n", table[i].text, error.text);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, table[i].why));
    }
}

static void who_can_reach_it(void)
{
    static const struct {
        const char *text;
        bool is_loopback, is_any;
    } table[] = {
        {"tcp://127.0.0.1:7400", true, false},
        {"tcp://127.8.0.1:7400", true, false},
        {"tcp://[::1]:7400", true, false},
        {"tcp://128.0.0.1:7400", false, false},
        {"tcp://[::2]:7400", false, false},
        {"tcp://0.0.0.0:7400", false, true},
        {"tcp://*:7400", false, true},
        {"tcp://[0::0]:7400", false, true},
        /* Reaches the first machine's loopback only in looks. */
        {"tcp://[::ffff:127.0.0.1]:7400", false, false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct address address;
        CU_ASSERT_FATAL(parse(table[i].text, true, &address, NULL) == SYNK_OK);
        CU_ASSERT(address_is_loopback(&address) == table[i].is_loopback);
        CU_ASSERT(address_is_any(&address) == table[i].is_any);
    }
}

static void lists_are_read_and_printed(void)
{
    struct address_list list;
    struct buf text = {0};
    struct synk_error error = {0};
    CU_ASSERT_FATAL(address_list_parse("tcp://10.0.0.1:7400,tcp://10.0.0.2:7500", &list, NULL) ==
                    SYNK_OK);
    CU_ASSERT(list.count == 2);
    address_list_print(&list, &text);
    CU_ASSERT_STRING_EQUAL((const char *)text.data, "tcp://10.0.0.1:7400, tcp://10.0.0.2:7500");
    buf_fini(&text);
    CU_ASSERT(address_list_parse("", &list, &error) == SYNK_INVALID);
    CU_ASSERT(address_list_parse("tcp://10.0.0.1:7400,", &list, &error) == SYNK_INVALID);
    struct buf many = {0};
    for (int i = 0; i <= ADDRESSES; i++)
        buf_printf(&many, "%stcp://10.0.0.1:%d", i ? "," : "", 1000 + i);
    buf_append(&many, "", 1);
    CU_ASSERT(address_list_parse((const char *)many.data, &list, &error) == SYNK_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "more than"));
    buf_fini(&many);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"one address has three sockets", one_address_has_three_sockets},
        {"what is no address is refused", what_is_no_address_is_refused},
        {"who can reach it", who_can_reach_it},
        {"lists are read and printed", lists_are_read_and_printed},
        {0},
    };
    return unit_main(argc, argv, "address", cases);
}
