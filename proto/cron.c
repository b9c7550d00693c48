/*
 * Parsing cron expressions, and finding the next due time.
 *
 * The search walks through the stretches of constant UTC offset. Inside one, local time is a plain
 * count of seconds, and the first match is found by stepping over months, days and hours that are
 * not in the sets. `seen` is the invariant that makes clock changes simple: every local time before
 * it has had its turn, so a job at fixed times looks only from there on, and what a change skips is
 * what lies between `seen` and the new local time.
 */
#include "proto/cron.h"

#include <assert.h>
#include <stdio.h>

#include "proto/civil.h"
#include "proto/limits.h"

enum {
    MINUTES_OF_DAY = 1440,
    QUOTED_BYTES = 64, /* of an expression in an error */
    /* Enough to have seen every change whose repeated times may not be over. */
    LOOK_BACK_S = 3 * CIVIL_DAY_S,
};
/* Beyond the longest gap: 40 years, from Sunday 29 February 2088 to the next one in 2128. */
static const int64_t horizon_s = (int64_t)36525 * CIVIL_DAY_S;
/* The years 1 to 9999. */
static const int64_t first_ms = -62135596800000, last_ms = 253402300799999;

enum field_index { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const char *const month_names[] = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL",
                                          "AUG", "SEP", "OCT", "NOV", "DEC", NULL};
static const char *const weekday_names[] = {"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", NULL};

static const struct {
    const char *name, *allowed;
    unsigned min, max;        /* of a value */
    unsigned all_max, values; /* last value that `*` stands for; how many there are */
    const char *const *names; /* of the values from min on */
} fields[FIELDS] = {
    [MINUTE] = {"minute", "0-59", 0, 59, 59, 60, NULL},
    [HOUR] = {"hour", "0-23", 0, 23, 23, 24, NULL},
    [DAY] = {"day of month", "1-31", 1, 31, 31, 31, NULL},
    [MONTH] = {"month", "1-12 or JAN-DEC", 1, 12, 12, 12, month_names},
    [WEEKDAY] = {"day of week", "0-7 or SUN-SAT", 0, 7, 6, 7, weekday_names},
};

static const struct {
    const char *name, *stands_for;
} shorthands[] = {
    {"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
    {"@weekly", "0 0 * * 0"},   {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
};

struct parser {
    struct synk_bytes text;
    size_t at;
    enum field_index field;
    struct synk_error *error;
};

static char upper(char byte)
{
    return byte >= 'a' && byte <= 'z' ? (char)(byte & ~0x20) : byte;
}

/* The next byte; NUL at the end. */
static char peek(const struct parser *p)
{
    return p->at < p->text.size ? ((const char *)p->text.data)[p->at] : '\0';
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_letter(char byte)
{
    return upper(byte) >= 'A' && upper(byte) <= 'Z';
}

/* The whole expression for an error, short enough to leave room for what is wrong. */
static int quoted(const struct parser *p)
{
    return (int)(p->text.size < QUOTED_BYTES ? p->text.size : QUOTED_BYTES);
}

/* Fails with the expression, the field, the column and `what`, a format of what was found there. */
static enum synk_status fail(const struct parser *p, size_t at, const char *what)
{
    return status_fail(p->error, SYNK_INVALID, "cron '%.*s': %s at column %zu: %s (allowed: %s)",
                       quoted(p), (const char *)p->text.data, fields[p->field].name, at + 1, what,
                       fields[p->field].allowed);
}

static enum synk_status fail_count(const struct parser *p, const char *what)
{
    return status_fail(p->error, SYNK_INVALID,
                       "cron '%.*s' has %s five fields: minute, hour, day of month, month, day of "
                       "week; or write @hourly, @daily, @weekly, @monthly or @yearly",
                       quoted(p), p->text.size ? (const char *)p->text.data : "", what);
}

/* Digits as a number, cut where it is past any field's range. */
static unsigned take_number(struct parser *p)
{
    unsigned number = 0;
    for (; is_digit(peek(p)); p->at++)
        number = number < 1000 ? number * 10 + (unsigned)(peek(p) - '0') : number;
    return number;
}

static bool take_name(struct parser *p, unsigned *ret_value)
{
    const char *const *names = fields[p->field].names;
    size_t size = 0;
    const char *word = (const char *)p->text.data + p->at;
    while (p->at + size < p->text.size && is_letter(word[size]))
        size++;
    for (unsigned i = 0; names && names[i] && size == 3; i++) {
        if (upper(word[0]) == names[i][0] && upper(word[1]) == names[i][1] &&
            upper(word[2]) == names[i][2]) {
            p->at += size;
            *ret_value = fields[p->field].min + i;
            return true;
        }
    }
    return false;
}

static enum synk_status take_value(struct parser *p, unsigned *ret_value)
{
    size_t start = p->at;
    char text[64];
    if (is_letter(peek(p))) {
        if (take_name(p, ret_value))
            return SYNK_OK;
        return fail(p, start,
                    fields[p->field].names ? "this is not a three-letter name"
                                           : "names are not understood here");
    }
    if (!is_digit(peek(p)))
        return fail(p, start,
                    peek(p) == '?' ? "'?' is not understood, write '*'"
                                   : "a value, a range or '*' is missing");
    *ret_value = take_number(p);
    if (*ret_value >= fields[p->field].min && *ret_value <= fields[p->field].max)
        return SYNK_OK;
    snprintf(text, sizeof(text), "%.*s is out of range",
             (int)(p->at - start > 20 ? 20 : p->at - start), (const char *)p->text.data + start);
    return fail(p, start, text);
}

static enum synk_status take_range_end(struct parser *p, unsigned first, unsigned *ret_last)
{
    size_t start = p->at;
    bool named = is_letter(peek(p));
    char text[96];
    enum synk_status status = take_value(p, ret_last);
    if (status)
        return status;
    /* FRI-SUN ends with the week's last day. */
    if (p->field == WEEKDAY && named && !*ret_last)
        *ret_last = first ? 7 : 0;
    if (*ret_last >= first)
        return SYNK_OK;
    snprintf(text, sizeof(text), "the range runs backwards, write it as two: %u-%u,%u-%u", first,
             fields[p->field].all_max, fields[p->field].min, *ret_last);
    return fail(p, start, text);
}

/* Where the text goes on with "/step". */
static enum synk_status take_step(struct parser *p, bool is_range, unsigned *ret_step)
{
    char text[96];
    if (peek(p) != '/')
        return SYNK_OK;
    if (!is_range)
        return fail(p, p->at, "a step needs '*' or a range before it, such as 5-59/15");
    size_t start = ++p->at;
    bool present = is_digit(peek(p));
    *ret_step = take_number(p);
    if (present && *ret_step >= 1 && *ret_step <= fields[p->field].values)
        return SYNK_OK;
    snprintf(text, sizeof(text), "the step must be 1 to %u", fields[p->field].values);
    return fail(p, start, text);
}

/* One item of a list, added to *io_set. */
static enum synk_status take_item(struct parser *p, uint64_t *io_set, bool *io_star)
{
    unsigned first = fields[p->field].min, last = fields[p->field].all_max, step = 1;
    bool is_range = true;
    enum synk_status status = SYNK_OK;
    if (peek(p) == '*') {
        p->at++;
        *io_star = true;
    } else {
        status = take_value(p, &first);
        last = first;
        is_range = !status && peek(p) == '-';
        if (is_range) {
            p->at++;
            status = take_range_end(p, first, &last);
        }
    }
    if (!status)
        status = take_step(p, is_range, &step);
    for (unsigned value = first; !status && value <= last; value += step)
        *io_set |= (uint64_t)1 << value;
    return status;
}

static enum synk_status take_field(struct parser *p, uint64_t *ret_set, bool *ret_star)
{
    *ret_set = 0;
    *ret_star = false;
    for (;;) {
        enum synk_status status = take_item(p, ret_set, ret_star);
        if (status)
            return status;
        if (p->at == p->text.size || is_blank(peek(p)))
            return SYNK_OK;
        if (peek(p) != ',')
            return fail(p, p->at, "expected ',', '-', '/' or a blank");
        p->at++;
    }
}

static void skip_blanks(struct parser *p)
{
    while (is_blank(peek(p)))
        p->at++;
}

/* Replaces a shorthand by the fields that it stands for. */
static enum synk_status expand_shorthand(struct parser *p)
{
    size_t end = p->text.size;
    const char *text = p->text.data;
    while (is_blank(text[end - 1]))
        end--;
    for (size_t i = 0; i < sizeof(shorthands) / sizeof(shorthands[0]); i++) {
        const char *name = shorthands[i].name;
        size_t same = 0;
        while (name[same] && p->at + same < end && upper(text[p->at + same]) == upper(name[same]))
            same++;
        if (!name[same] && p->at + same == end) {
            p->text = bytes_str(shorthands[i].stands_for);
            p->at = 0;
            return SYNK_OK;
        }
    }
    return status_fail(p->error, SYNK_INVALID,
                       "cron '%.*s' is not a known shorthand (allowed: @hourly, @daily, @midnight, "
                       "@weekly, @monthly, @yearly, @annually)",
                       quoted(p), text);
}

static bool can_match(const struct cron *cron)
{
    /* Over the years, any date that exists falls on any day of the week. */
    if (cron->either_day)
        return true;
    for (unsigned month = 1; month <= 12; month++)
        if (cron->months >> month & 1 &&
            cron->days & (((uint64_t)2 << civil_month_days(2000, month)) - 1))
            return true;
    return false;
}

enum synk_status cron_parse(struct synk_bytes text, struct cron *ret_cron, struct synk_error *error)
{
    struct parser p = {.text = text, .error = error};
    uint64_t sets[FIELDS];
    bool stars[FIELDS];
    if (text.size > LIMIT_CRON_BYTES)
        return status_fail(error, SYNK_TOO_LARGE, "cron has %zu bytes, more than %d", text.size,
                           LIMIT_CRON_BYTES);
    skip_blanks(&p);
    enum synk_status status = peek(&p) == '@' ? expand_shorthand(&p) : SYNK_OK;
    for (unsigned i = 0; !status && i < FIELDS; i++) {
        p.field = i;
        if (p.at == p.text.size)
            return fail_count(&p, "fewer than");
        status = take_field(&p, &sets[i], &stars[i]);
        skip_blanks(&p);
    }
    if (status)
        return status;
    if (p.at < p.text.size)
        return fail_count(&p, "more than");
    struct cron cron = {
        .minutes = sets[MINUTE],
        .hours = (uint32_t)sets[HOUR],
        .days = (uint32_t)sets[DAY],
        .months = (uint16_t)sets[MONTH],
        .weekdays = (uint8_t)((sets[WEEKDAY] | sets[WEEKDAY] >> 7) & 0x7f),
        .either_day = !stars[DAY] && !stars[WEEKDAY],
        .follows_the_wall = stars[MINUTE] || stars[HOUR],
    };
    if (!can_match(&cron))
        return status_fail(error, SYNK_INVALID,
                           "cron '%.*s' is never due: no month named in it has such a day",
                           quoted(&p), (const char *)text.data);
    *ret_cron = cron;
    return SYNK_OK;
}

static bool day_matches(const struct cron *cron, unsigned day, unsigned weekday)
{
    bool of_month = cron->days >> day & 1, of_week = cron->weekdays >> weekday & 1;
    return cron->either_day ? of_month || of_week : of_month && of_week;
}

/* The first minute of a day that matches, not before `from`; MINUTES_OF_DAY where there is none. */
static unsigned minute_of_day(const struct cron *cron, unsigned from)
{
    for (unsigned hour = from / 60; hour < 24; hour++) {
        unsigned minute = hour == from / 60 ? from % 60 : 0;
        uint64_t left = cron->minutes >> minute;
        if (cron->hours >> hour & 1 && left)
            return hour * 60 + minute + (unsigned)__builtin_ctzll(left);
    }
    return MINUTES_OF_DAY;
}

/* The first match in [from_s, limit_s) of local time, counted in seconds like UTC. */
static bool find_local(const struct cron *cron, int64_t from_s, int64_t limit_s, int64_t *ret_s)
{
    int64_t minutes = civil_floor(from_s + 59, 60);
    int64_t day = civil_floor(minutes, MINUTES_OF_DAY);
    unsigned from = (unsigned)(minutes - day * MINUTES_OF_DAY);
    struct civil date = civil_date(day);
    while (day * CIVIL_DAY_S < limit_s) {
        unsigned month_days = civil_month_days(date.year, date.month);
        if (!(cron->months >> date.month & 1)) {
            day += month_days - date.day + 1;
            date.day = month_days + 1;
        }
        for (; date.day <= month_days; date.day++, day++, from = 0) {
            unsigned found = MINUTES_OF_DAY;
            if (day_matches(cron, date.day, civil_weekday(day)))
                found = minute_of_day(cron, from);
            if (found < MINUTES_OF_DAY) {
                *ret_s = day * CIVIL_DAY_S + (int64_t)found * 60;
                return *ret_s < limit_s;
            }
        }
        from = 0;
        date.day = 1;
        date.year += date.month == 12;
        date.month = date.month % 12 + 1;
    }
    return false;
}

/* A stretch of constant offset: instants [start_s, until_s). */
struct stretch {
    const struct zone_rules *zone;
    int64_t start_s, until_s, offset_s;
    int64_t seen_s; /* every local time before it has had its turn */
};

static int64_t max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void enter(struct stretch *stretch, int64_t start_s)
{
    stretch->start_s = start_s;
    stretch->offset_s =
        stretch->zone->offset_at(stretch->zone->context, start_s, &stretch->until_s);
    assert(stretch->until_s > start_s);
}

/* Goes on to the next stretch. True where the change skipped a time that `cron` names. */
static bool advance(struct stretch *stretch, const struct cron *cron)
{
    int64_t ignored, change_s = stretch->until_s;
    int64_t skipped_s = max(stretch->seen_s, change_s + stretch->offset_s);
    enter(stretch, change_s);
    int64_t local_s = change_s + stretch->offset_s;
    stretch->seen_s = skipped_s;
    return cron && skipped_s < local_s && find_local(cron, skipped_s, local_s, &ignored);
}

/* The stretch with the instant before from_s, what was seen before it included. */
static void look_back(struct stretch *stretch, int64_t from_s)
{
    stretch->seen_s = INT64_MIN;
    enter(stretch, from_s - LOOK_BACK_S);
    while (stretch->until_s < from_s)
        advance(stretch, NULL);
    stretch->start_s = from_s;
}

enum synk_status cron_next(const struct cron *cron, const struct zone_rules *zone,
                           int64_t after_wall_ms, int64_t *ret_due_ms, struct synk_error *error)
{
    if (after_wall_ms < first_ms || after_wall_ms > last_ms)
        return status_fail(error, SYNK_INVALID, "%lld ms is not in the years 1 to 9999",
                           (long long)after_wall_ms);
    int64_t from_s = civil_floor(after_wall_ms, 1000) + 1, limit_s = from_s + horizon_s, found_s;
    const struct cron *fixed = cron->follows_the_wall ? NULL : cron;
    struct stretch stretch = {.zone = zone};
    look_back(&stretch, from_s);
    for (;;) {
        int64_t end_s = stretch.until_s < limit_s ? stretch.until_s : limit_s;
        int64_t local_s = stretch.start_s + stretch.offset_s;
        if (fixed)
            local_s = max(local_s, stretch.seen_s);
        if (find_local(cron, local_s, end_s + stretch.offset_s, &found_s)) {
            *ret_due_ms = (found_s - stretch.offset_s) * 1000;
            return SYNK_OK;
        }
        if (end_s == limit_s)
            return status_fail(error, SYNK_NOT_FOUND,
                               "cron is not due within a hundred years in this time zone");
        if (advance(&stretch, fixed)) {
            *ret_due_ms = stretch.start_s * 1000;
            return SYNK_OK;
        }
    }
}

static int64_t utc_offset_at(const void *context, int64_t utc_s, int64_t *ret_until_s)
{
    (void)context, (void)utc_s;
    *ret_until_s = INT64_MAX;
    return 0;
}

const struct zone_rules zone_utc = {NULL, utc_offset_at};

static enum synk_status parse_utc(struct synk_bytes text, struct synk_bytes zone,
                                  struct cron *ret_cron, struct synk_error *error)
{
    size_t size = zone.size > LIMIT_ZONE_NAME_BYTES ? LIMIT_ZONE_NAME_BYTES : zone.size;
    if (zone.size && !bytes_equal(zone, bytes_str("UTC")))
        return status_fail(error, SYNK_UNSUPPORTED, "time zone '%.*s': only UTC is known here",
                           (int)size, (const char *)zone.data);
    return cron_parse(text, ret_cron, error);
}

static enum synk_status check_utc(void *context, struct synk_bytes text, struct synk_bytes zone,
                                  struct synk_error *error)
{
    struct cron cron;
    (void)context;
    return parse_utc(text, zone, &cron, error);
}

static enum synk_status next_utc(void *context, struct synk_bytes text, struct synk_bytes zone,
                                 int64_t after_wall_ms, int64_t *ret_due_ms,
                                 struct synk_error *error)
{
    struct cron cron;
    (void)context;
    enum synk_status status = parse_utc(text, zone, &cron, error);
    return status ? status : cron_next(&cron, &zone_utc, after_wall_ms, ret_due_ms, error);
}

const struct calendar calendar_utc = {NULL, next_utc, check_utc};
