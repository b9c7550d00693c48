/*
 * Compiled time zone files: a header and a block with 32-bit times that nobody needs any more, the
 * same with 64-bit times, and a line with the rule for the time after the last entry. The files are
 * the system's, but every count is checked against the bytes at hand all the same.
 *
 * Invariants: times ascend strictly; every index has its offset; offsets are within 26 hours.
 */
#include "proto/tzif.h"

#include <stdlib.h>

#include "proto/civil.h"

enum {
    HEADER_BYTES = 44,
    TYPE_BYTES = 6,
    MOST_TIMES = 4096, /* the longest file has 242 */
    MOST_TYPES = 256,  /* an index is a byte */
    OFFSET_MAX_S = 26 * 3600,
    RULE_HOURS = 167, /* a rule's time of day may lie a week off, either way */
};

/* A day of every year, and a time on it. */
struct rule_day {
    enum { MONTH_WEEK_DAY, JULIAN_DAY, YEAR_DAY } kind;
    unsigned month, week, day; /* the last two kinds: only day */
    int32_t time_s;
};

struct tzif {
    size_t count;
    int64_t *times;
    int32_t *offsets; /* [0] before times[0], [n] from times[n - 1] on */
    bool has_rule;    /* for the time from the last entry on */
    int32_t standard_s;
    bool has_daylight;
    int32_t daylight_s;
    struct rule_day starts, ends;
};

struct reader {
    const uint8_t *data;
    size_t size;
};

static int64_t big_endian(const uint8_t *data, size_t size)
{
    uint64_t value = data[0] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | data[i];
    return (int64_t)value;
}

struct counts {
    size_t of_utc, of_standard, leaps, times, types, name_bytes;
};

static bool take_header(struct reader *r, struct counts *ret_counts, uint8_t *ret_version)
{
    if (r->size < HEADER_BYTES || memcmp(r->data, "TZif", 4) != 0)
        return false;
    size_t counts[6];
    for (size_t i = 0; i < 6; i++) {
        int64_t count = big_endian(r->data + 20 + 4 * i, 4);
        if (count < 0 || (size_t)count > r->size)
            return false;
        counts[i] = (size_t)count;
    }
    *ret_version = r->data[4];
    *ret_counts = (struct counts){counts[0], counts[1], counts[2], counts[3], counts[4], counts[5]};
    r->data += HEADER_BYTES;
    r->size -= HEADER_BYTES;
    return true;
}

static size_t block_bytes(const struct counts *counts, size_t time_bytes)
{
    return counts->times * (time_bytes + 1) + counts->types * TYPE_BYTES + counts->name_bytes +
           counts->leaps * (time_bytes + 4) + counts->of_standard + counts->of_utc;
}

static bool take_block(struct reader *r, const struct counts *counts, struct tzif *tzif)
{
    size_t bytes = block_bytes(counts, 8);
    if (bytes > r->size || !counts->types || counts->types > MOST_TYPES ||
        counts->times > MOST_TIMES)
        return false;
    const uint8_t *times = r->data, *indexes = times + counts->times * 8;
    const uint8_t *types = indexes + counts->times;
    for (size_t i = 0; i < counts->types; i++) {
        int64_t offset_s = big_endian(types + i * TYPE_BYTES, 4);
        if (offset_s < -OFFSET_MAX_S || offset_s > OFFSET_MAX_S)
            return false;
    }
    tzif->count = counts->times;
    tzif->times = mem_alloc((counts->times + 1) * sizeof(*tzif->times));
    tzif->offsets = mem_alloc((counts->times + 1) * sizeof(*tzif->offsets));
    tzif->offsets[0] = (int32_t)big_endian(types, 4);
    for (size_t i = 0; i < counts->times; i++) {
        tzif->times[i] = big_endian(times + i * 8, 8);
        if (indexes[i] >= counts->types || (i && tzif->times[i] <= tzif->times[i - 1]))
            return false;
        tzif->offsets[i + 1] = (int32_t)big_endian(types + indexes[i] * TYPE_BYTES, 4);
    }
    r->data += bytes;
    r->size -= bytes;
    return true;
}

/* From here: the rule at the end, a POSIX TZ string such as CET-1CEST,M3.5.0,M10.5.0/3. */

static char peek(const struct reader *r)
{
    return r->size ? (char)*r->data : '\0';
}

static bool skip(struct reader *r, char byte)
{
    if (peek(r) != byte || !r->size)
        return false;
    r->data++;
    r->size--;
    return true;
}

static bool take_number(struct reader *r, unsigned min, unsigned most, unsigned *ret_number)
{
    unsigned number = 0, digits = 0;
    for (; peek(r) >= '0' && peek(r) <= '9' && digits < 4; digits++, r->data++, r->size--)
        number = number * 10 + (unsigned)(*r->data - '0');
    *ret_number = number;
    return digits && number >= min && number <= most;
}

static bool take_name(struct reader *r)
{
    size_t size = 0;
    bool is_quoted = skip(r, '<');
    for (; r->size && peek(r) != '\n'; size++, r->data++, r->size--) {
        uint8_t letter = *r->data | 0x20;
        if (is_quoted ? *r->data == '>' : letter < 'a' || letter > 'z')
            break;
    }
    return size >= 3 && (!is_quoted || skip(r, '>'));
}

/* [+-]hours[:minutes[:seconds]] */
static bool take_time(struct reader *r, unsigned most_hours, int32_t *ret_s)
{
    bool is_negative = skip(r, '-');
    unsigned hours, minutes = 0, seconds = 0;
    if (!is_negative)
        skip(r, '+');
    if (!take_number(r, 0, most_hours, &hours))
        return false;
    if (skip(r, ':') &&
        (!take_number(r, 0, 59, &minutes) || (skip(r, ':') && !take_number(r, 0, 59, &seconds))))
        return false;
    int32_t time_s = (int32_t)(hours * 3600 + minutes * 60 + seconds);
    *ret_s = is_negative ? -time_s : time_s;
    return true;
}

static bool take_rule_day(struct reader *r, struct rule_day *ret_day)
{
    struct rule_day day = {.time_s = 7200};
    bool is_good;
    if (!skip(r, ','))
        return false;
    if (skip(r, 'M')) {
        day.kind = MONTH_WEEK_DAY;
        is_good = take_number(r, 1, 12, &day.month) && skip(r, '.') &&
                  take_number(r, 1, 5, &day.week) && skip(r, '.') && take_number(r, 0, 6, &day.day);
    } else if (skip(r, 'J')) {
        day.kind = JULIAN_DAY;
        is_good = take_number(r, 1, 365, &day.day);
    } else {
        day.kind = YEAR_DAY;
        is_good = take_number(r, 0, 365, &day.day);
    }
    is_good = is_good && (!skip(r, '/') || take_time(r, RULE_HOURS, &day.time_s));
    *ret_day = day;
    return is_good;
}

/* The rule between two newlines; an empty one says that nothing is known. */
static bool take_rule(struct reader *r, struct tzif *tzif)
{
    int32_t west_s;
    if (!skip(r, '\n'))
        return false;
    if (skip(r, '\n'))
        return true;
    if (!take_name(r) || !take_time(r, 24, &west_s))
        return false;
    tzif->has_rule = true;
    tzif->standard_s = -west_s;
    if (skip(r, '\n'))
        return true;
    if (!take_name(r))
        return false;
    tzif->has_daylight = true;
    tzif->daylight_s = tzif->standard_s + 3600;
    if (peek(r) != ',') {
        if (!take_time(r, 24, &west_s))
            return false;
        tzif->daylight_s = -west_s;
    }
    return take_rule_day(r, &tzif->starts) && take_rule_day(r, &tzif->ends) && skip(r, '\n');
}

enum synk_status tzif_parse(struct synk_bytes bytes, struct tzif **ret_tzif,
                            struct synk_error *error)
{
    struct reader r = {bytes.data, bytes.size};
    struct counts counts;
    uint8_t version;
    if (!take_header(&r, &counts, &version) || block_bytes(&counts, 4) > r.size)
        return status_fail(error, SYNK_CORRUPT, "not a compiled time zone file");
    if (version < '2')
        return status_fail(error, SYNK_UNSUPPORTED,
                           "a time zone file of version 1, which ends in 2037");
    r.data += block_bytes(&counts, 4);
    r.size -= block_bytes(&counts, 4);
    struct tzif *tzif = mem_zalloc(1, sizeof(*tzif));
    enum synk_status status = SYNK_OK;
    if (!take_header(&r, &counts, &version))
        status = status_fail(error, SYNK_CORRUPT, "a time zone file that is cut short");
    else if (counts.leaps)
        status = status_fail(error, SYNK_UNSUPPORTED,
                             "a time zone file that counts leap seconds, which clocks here do not");
    else if (!take_block(&r, &counts, tzif) || !take_rule(&r, tzif))
        status = status_fail(error, SYNK_CORRUPT, "a time zone file that does not hold together");
    if (status)
        tzif_free(tzif);
    else
        *ret_tzif = tzif;
    return status;
}

void tzif_free(struct tzif *tzif)
{
    if (!tzif)
        return;
    free(tzif->times);
    free(tzif->offsets);
    free(tzif);
}

/* The rule's moment in a year, in seconds of that year's local time. */
static int64_t rule_moment(const struct rule_day *rule, int64_t year)
{
    int64_t day = civil_year_start(year);
    if (rule->kind == YEAR_DAY) {
        day += rule->day;
    } else if (rule->kind == JULIAN_DAY) {
        /* 29 February is not counted: day 60 is always 1 March. */
        day += rule->day - 1 + (rule->day >= 60 && civil_is_leap(year));
    } else {
        unsigned length = civil_month_days(year, rule->month);
        day = civil_days((struct civil){year, rule->month, 1});
        unsigned date = (rule->day + 7 - civil_weekday(day)) % 7 + (rule->week - 1) * 7;
        /* The fifth is the last, even where there are four. */
        day += date < length ? date : date - 7;
    }
    return day * CIVIL_DAY_S + rule->time_s;
}

/* What the rule says for an instant, and until when. */
static int64_t rule_offset_at(const struct tzif *tzif, int64_t utc_s, int64_t *ret_until_s)
{
    int64_t offset_s = tzif->standard_s, since_s = INT64_MIN, until_s = INT64_MAX;
    if (tzif->has_daylight) {
        int64_t year = civil_date(civil_floor(utc_s, CIVIL_DAY_S)).year;
        for (int64_t y = year - 2; y <= year + 2; y++) {
            int64_t starts_s = rule_moment(&tzif->starts, y) - tzif->standard_s;
            int64_t ends_s = rule_moment(&tzif->ends, y) - tzif->daylight_s;
            if (ends_s <= utc_s && ends_s > since_s) {
                since_s = ends_s;
                offset_s = tzif->standard_s;
            }
            /* Daylight time all the year ends when it starts again: the start wins. */
            if (starts_s <= utc_s && starts_s >= since_s) {
                since_s = starts_s;
                offset_s = tzif->daylight_s;
            }
            if (ends_s > utc_s && ends_s < until_s)
                until_s = ends_s;
            if (starts_s > utc_s && starts_s < until_s)
                until_s = starts_s;
        }
    }
    *ret_until_s = until_s;
    return offset_s;
}

static int64_t offset_at(const void *context, int64_t utc_s, int64_t *ret_until_s)
{
    const struct tzif *tzif = context;
    size_t low = 0, high = tzif->count; /* entries before low are not after utc_s */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tzif->times[middle] <= utc_s)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == tzif->count && tzif->has_rule)
        return rule_offset_at(tzif, utc_s, ret_until_s);
    *ret_until_s = low < tzif->count ? tzif->times[low] : INT64_MAX;
    return tzif->offsets[low];
}

struct zone_rules tzif_rules(const struct tzif *tzif)
{
    return (struct zone_rules){tzif, offset_at};
}
