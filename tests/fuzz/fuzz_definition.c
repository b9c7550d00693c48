/*
 * Definitions from hostile bytes, as YAML and as MessagePack (the first byte chooses). What is
 * accepted must encode canonically: its encoding validates, and encodes to the same bytes again.
 */
#include <stdint.h>
#include <stdlib.h>

#include "proto/definition_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct definition *definition, const struct expression_checker *checker)
{
    struct buf first = {0}, second = {0};
    struct definition *again;
    definition_encode(definition, &first);
    if (definition_decode(buf_bytes(&first), NULL, 0, checker, &again, NULL))
        abort();
    definition_encode(again, &second);
    if (!bytes_equal(buf_bytes(&first), buf_bytes(&second)))
        abort();
    definition_unref(again);
    buf_fini(&first);
    buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct expression *expression = expression_new();
    struct expression_checker checker = expression_checker(expression);
    struct arena arena = {0};
    struct definition_set set = {0};
    struct synk_error error = {0};
    struct synk_bytes rest = bytes_of(data + 1, size - 1);
    struct node document;
    enum synk_status status;
    if (data[0] & 1) {
        status = definition_parse_yaml(rest, "fuzz", &arena, &document, &error);
    } else {
        status = check_value(rest, &definition_limits, &error);
        if (!status)
            status = definition_node_decode(rest, &arena, &document, &error);
    }
    if (!status)
        status = definition_validate(&document, "fuzz", "/", &checker, &set, &error);
    for (size_t i = 0; !status && i < set.count; i++)
        check(set.units[i], &checker);
    definition_set_fini(&set);
    arena_fini(&arena);
    expression_free(expression);
    return 0;
}
