/* Ages and counts: a number with a unit is an age, one without is a count. */
#include "proto/keep.h"

#include <stdbool.h>
#include <string.h>

/* One part of a KEEP up to its comma: with a unit an age, without one a count. */
static bool parse_keep_part(const char *text, size_t size, struct keep *keep)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                 {"h", 3600000}, {"d", 86400000}, {"w", 604800000}};
    size_t digits = 0;
    uint64_t number = 0;
    for (; digits < size && text[digits] >= '0' && text[digits] <= '9'; digits++) {
        if (number > 1000000000000)
            return false;
        number = number * 10 + (uint64_t)(text[digits] - '0');
    }
    if (digits == 0)
        return false;
    if (digits == size) {
        keep->count = number;
        return true;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t unit_size = strlen(units[i].unit);
        if (unit_size != size - digits || memcmp(text + digits, units[i].unit, unit_size) != 0)
            continue;
        if (number > (uint64_t)(INT64_MAX / units[i].ms))
            return false;
        keep->age_ms = (int64_t)number * units[i].ms;
        return true;
    }
    return false;
}

enum synk_status keep_parse(const char *text, struct keep *ret_keep, struct synk_error *error)
{
    struct keep keep = {0};
    const char *part = text;
    for (;;) {
        size_t size = strcspn(part, ",");
        if (!parse_keep_part(part, size, &keep))
            return status_fail(
                error, SYNK_INVALID,
                "'%s' is neither an age (90s, 5m, 2h, 30d) nor a count, nor both with a "
                "comma between",
                text);
        if (!part[size])
            break;
        part += size + 1;
    }
    *ret_keep = keep;
    return SYNK_OK;
}
