/* Cron expressions without time zone files: the grammar, the calendar, and clock changes of made-up
 * zones, against a scan of every minute. */
#include "proto/cron.h"

#include <stdio.h>
#include <time.h>

#include "tests/support/unit.h"

/* UTC as text, "2024-02-29 12:00", with seconds where there are any. */
static const char *show(int64_t ms, char *text, size_t size)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(text, size, tm.tm_sec ? "%Y-%m-%d %H:%M:%S" : "%Y-%m-%d %H:%M", &tm);
    return text;
}

static int64_t at(const char *text)
{
    struct tm tm = {0};
    CU_ASSERT_PTR_NOT_NULL_FATAL(strptime(text, "%Y-%m-%d %H:%M", &tm));
    return (int64_t)timegm(&tm) * 1000;
}

static void next_in_utc(void)
{
    static const struct {
        const char *cron, *after, *next;
    } rows[] = {
        {"* * * * *", "2024-01-01 00:00", "2024-01-01 00:01"},
        {"*/15 * * * *", "2024-01-01 00:44", "2024-01-01 00:45"},
        {"*/15 * * * *", "2024-01-01 00:45", "2024-01-01 01:00"},
        {"5-59/15 * * * *", "2024-01-01 00:35", "2024-01-01 00:50"},
        {"*/60 */24 * * *", "2024-01-01 00:00", "2024-01-02 00:00"},
        {"0 9-17 * * MON-FRI", "2024-03-01 17:00", "2024-03-04 09:00"},
        {"0 9-17 * * mon-Fri", "2024-03-01 16:59", "2024-03-01 17:00"},
        {"30 3 * * 0", "2024-03-01 00:00", "2024-03-03 03:30"},
        {"30 3 * * 7", "2024-03-01 00:00", "2024-03-03 03:30"},
        {"30 3 * * SUN", "2024-03-01 00:00", "2024-03-03 03:30"},
        {"0 0 * * FRI-SUN", "2024-03-04 00:00", "2024-03-08 00:00"},
        {"0 0 * * FRI-SUN", "2024-03-09 00:00", "2024-03-10 00:00"},
        {"0 0 * * SUN-MON", "2024-03-10 00:00", "2024-03-11 00:00"},
        {"0 0 * * 5-7", "2024-03-09 00:00", "2024-03-10 00:00"},
        {"0 0 * * */2", "2024-03-10 00:00", "2024-03-12 00:00"},
        {"0 0 29 2 *", "2021-01-01 00:00", "2024-02-29 00:00"},
        {"0 0 29 FEB *", "2096-02-29 00:00", "2104-02-29 00:00"},
        {"0 0 29 2 */7", "2088-02-29 00:00", "2128-02-29 00:00"},
        {"0 0 31 * *", "2024-01-31 00:00", "2024-03-31 00:00"},
        {"59 23 31 12 *", "2024-12-31 23:59", "2025-12-31 23:59"},
        {"0 0 1 1 *", "1999-12-31 23:59", "2000-01-01 00:00"},
        {"0 0 1 jan,JUL *", "2024-01-01 00:00", "2024-07-01 00:00"},
        {"0 12 28-31 2-3/1 *", "2023-02-28 12:00", "2023-03-28 12:00"},
        {"0 0 13 * FRI", "2024-09-13 00:00", "2024-09-20 00:00"},
        {"0 0 13 * FRI", "2024-10-11 00:00", "2024-10-13 00:00"},
        {"0 0 1 * MON", "2024-05-27 00:00", "2024-06-01 00:00"},
        {"0 0 30 2 MON", "2024-01-30 00:00", "2024-02-05 00:00"},
        {"0 0 */2 * MON", "2024-03-04 00:00", "2024-03-11 00:00"},
        {"0 0 */31 * MON", "2024-01-01 00:00", "2024-04-01 00:00"},
        {"1,2,1 3 * * *", "2024-01-01 03:01", "2024-01-01 03:02"},
        {" \t0   0\t* * * ", "2024-01-01 00:00", "2024-01-02 00:00"},
        {"@hourly", "2024-01-01 00:00", "2024-01-01 01:00"},
        {"@daily", "2024-01-01 00:00", "2024-01-02 00:00"},
        {"@midnight", "2024-02-28 12:00", "2024-02-29 00:00"},
        {" @Weekly ", "2024-03-01 00:00", "2024-03-03 00:00"},
        {"@monthly", "2024-12-02 00:00", "2025-01-01 00:00"},
        {"@yearly", "2024-01-01 00:00", "2025-01-01 00:00"},
        {"@ANNUALLY", "2023-12-31 23:59", "2024-01-01 00:00"},
        {"0 0 * * *", "1960-02-28 00:00", "1960-02-29 00:00"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cron cron;
        struct synk_error error = {0};
        char text[32];
        int64_t due = 0;
        CU_ASSERT_EQUAL(cron_parse(bytes_str(rows[i].cron), &cron, &error), SYNK_OK);
        CU_ASSERT_EQUAL(cron_next(&cron, &zone_utc, at(rows[i].after), &due, &error), SYNK_OK);
        CU_ASSERT_STRING_EQUAL(show(due, text, sizeof(text)), rows[i].next);
        if (strcmp(text, rows[i].next) != 0)
            printf("%s after %s: %s, not %s %s\n", rows[i].cron, rows[i].after, text, rows[i].next,
                   error.text);
    }
}

static void strictly_after_to_the_millisecond(void)
{
    struct cron cron;
    int64_t due, noon = at("2024-01-01 12:00");
    CU_ASSERT_EQUAL(cron_parse(bytes_str("0 12 * * *"), &cron, NULL), SYNK_OK);
    CU_ASSERT_EQUAL(cron_next(&cron, &zone_utc, noon - 1, &due, NULL), SYNK_OK);
    CU_ASSERT_EQUAL(due, noon);
    CU_ASSERT_EQUAL(cron_next(&cron, &zone_utc, noon - 1000, &due, NULL), SYNK_OK);
    CU_ASSERT_EQUAL(due, noon);
    CU_ASSERT_EQUAL(cron_next(&cron, &zone_utc, noon, &due, NULL), SYNK_OK);
    CU_ASSERT_EQUAL(due, noon + 86400000);
    CU_ASSERT_EQUAL(cron_next(&cron, &zone_utc, -1, &due, NULL), SYNK_OK);
    CU_ASSERT_EQUAL(due, 43200000);
}

static void bad_expressions(void)
{
    static const struct {
        const char *cron, *text; /* the text's end, after the expression */
    } rows[] = {
        {"60 * * * *", "minute at column 1: 60 is out of range (allowed: 0-59)"},
        {"* 24 * * *", "hour at column 3: 24 is out of range (allowed: 0-23)"},
        {"* * 0 * *", "day of month at column 5: 0 is out of range (allowed: 1-31)"},
        {"* * * 13 *", "month at column 7: 13 is out of range (allowed: 1-12 or JAN-DEC)"},
        {"* * * * 8", "day of week at column 9: 8 is out of range (allowed: 0-7 or SUN-SAT)"},
        {"99999999999999999999999 * * * *",
         "minute at column 1: 99999999999999999999 is out of range (allowed: 0-59)"},
        {"* * * MON *",
         "month at column 7: this is not a three-letter name (allowed: 1-12 or JAN-DEC)"},
        {"* * * * MONDAY",
         "day of week at column 9: this is not a three-letter name (allowed: 0-7 or SUN-SAT)"},
        {"* x * * *", "hour at column 3: names are not understood here (allowed: 0-23)"},
        {"*/0 * * * *", "minute at column 3: the step must be 1 to 60 (allowed: 0-59)"},
        {"*/90 * * * *", "minute at column 3: the step must be 1 to 60 (allowed: 0-59)"},
        {"*/ * * * *", "minute at column 3: the step must be 1 to 60 (allowed: 0-59)"},
        {"5/15 * * * *", "minute at column 2: a step needs '*' or a range before it, such as "
                         "5-59/15 (allowed: 0-59)"},
        {"0 22-2 * * *", "hour at column 6: the range runs backwards, write it as two: 22-23,0-2 "
                         "(allowed: 0-23)"},
        {"1, * * * *", "minute at column 3: a value, a range or '*' is missing (allowed: 0-59)"},
        {"1- * * * *", "minute at column 3: a value, a range or '*' is missing (allowed: 0-59)"},
        {"-1 * * * *", "minute at column 1: a value, a range or '*' is missing (allowed: 0-59)"},
        {"0 0 ? * *", "day of month at column 5: '?' is not understood, write '*' (allowed: 1-31)"},
        {"*5 * * * *", "minute at column 2: expected ',', '-', '/' or a blank (allowed: 0-59)"},
        {"1-5-7 * * * *", "minute at column 4: expected ',', '-', '/' or a blank (allowed: 0-59)"},
        {"0 0 30 2 *", "is never due: no month named in it has such a day"},
        {"0 0 31 4,6,9,11,FEB *", "is never due: no month named in it has such a day"},
        {"@reboot", "is not a known shorthand (allowed: @hourly, @daily, @midnight, @weekly, "
                    "@monthly, @yearly, @annually)"},
        {"@dail", "is not a known shorthand (allowed: @hourly, @daily, @midnight, @weekly, "
                  "@monthly, @yearly, @annually)"},
        {"* * * *", "has fewer than five fields: minute, hour, day of month, month, day of week; "
                    "or write @hourly, @daily, @weekly, @monthly or @yearly"},
        {"", "has fewer than five fields: minute, hour, day of month, month, day of week; "
             "or write @hourly, @daily, @weekly, @monthly or @yearly"},
        {"0 0 * * * 2024", "has more than five fields: minute, hour, day of month, month, day of "
                           "week; or write @hourly, @daily, @weekly, @monthly or @yearly"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cron cron = {.minutes = 42};
        struct synk_error error = {0};
        CU_ASSERT_EQUAL(cron_parse(bytes_str(rows[i].cron), &cron, &error), SYNK_INVALID);
        CU_ASSERT_EQUAL(cron.minutes, 42);
        size_t size = strlen(error.text), tail = strlen(rows[i].text);
        bool same = size > tail && !strcmp(error.text + size - tail, rows[i].text);
        CU_ASSERT_TRUE(same && strstr(error.text, rows[i].cron));
        if (!same)
            printf("%s\n%s\n", error.text, rows[i].text);
    }
}

static void bounds(void)
{
    char text[1024];
    struct cron cron;
    int64_t due;
    memset(text, ' ', sizeof(text));
    CU_ASSERT_EQUAL(cron_parse(bytes_of(text, sizeof(text)), &cron, NULL), SYNK_TOO_LARGE);
    CU_ASSERT_EQUAL(cron_parse(bytes_of("* * * * *\0", 10), &cron, NULL), SYNK_INVALID);
    CU_ASSERT_EQUAL(cron_parse(bytes_str("* * * * *"), &cron, NULL), SYNK_OK);
    CU_ASSERT_EQUAL(cron_next(&cron, &zone_utc, INT64_MAX, &due, NULL), SYNK_INVALID);
    CU_ASSERT_EQUAL(cron_next(&cron, &zone_utc, INT64_MIN, &due, NULL), SYNK_INVALID);
    CU_ASSERT_EQUAL(cron_next(&cron, &zone_utc, at("9999-12-31 23:59"), &due, NULL), SYNK_OK);
    CU_ASSERT_EQUAL(cron_next(&cron, &zone_utc, at("0001-01-01 00:00"), &due, NULL), SYNK_OK);
}

/* A zone whose offset changes at a list of instants, in minutes. */
struct steps {
    size_t count;
    int64_t times[64];   /* minutes since 1970, ascending */
    int64_t offsets[65]; /* minutes; [n] from times[n - 1] on */
};

static int64_t steps_at(const void *context, int64_t utc_s, int64_t *ret_until_s)
{
    const struct steps *steps = context;
    size_t i = 0;
    while (i < steps->count && steps->times[i] * 60 <= utc_s)
        i++;
    *ret_until_s = i < steps->count ? steps->times[i] * 60 : INT64_MAX;
    return steps->offsets[i] * 60;
}

/* Due times of an expression around a change, all of them. */
static void expect(const char *text, const struct steps *steps, const char *from, const char *until,
                   const char *all)
{
    struct zone_rules zone = {steps, steps_at};
    struct cron cron;
    struct buf out = {0};
    char shown[32];
    int64_t due = at(from);
    CU_ASSERT_EQUAL(cron_parse(bytes_str(text), &cron, NULL), SYNK_OK);
    while (cron_next(&cron, &zone, due, &due, NULL) == SYNK_OK && due < at(until))
        buf_printf(&out, "%s%s", out.size ? " " : "", show(due, shown, sizeof(shown)) + 11);
    buf_append(&out, "", 1);
    CU_ASSERT_STRING_EQUAL((const char *)out.data, all);
    if (strcmp((const char *)out.data, all) != 0)
        printf("%s: %s, not %s\n", text, (const char *)out.data, all);
    buf_fini(&out);
}

static void times_that_are_skipped(void)
{
    /* Local 02:00 becomes 03:00, at 02:00 UTC. */
    struct steps steps = {1, {at("2024-03-31 02:00") / 60000}, {0, 60}};
    const char *from = "2024-03-30 23:59", *until = "2024-03-31 05:00";
    expect("30 2 * * *", &steps, from, until, "02:00");
    expect("0,15,30 2 * * *", &steps, from, until, "02:00");
    expect("0 2,3 * * *", &steps, from, until, "02:00");
    expect("0 1-4 * * *", &steps, from, until, "01:00 02:00 03:00");
    expect("45 1-4 * * *", &steps, from, until, "01:45 02:00 02:45 03:45");
    expect("30 * * * *", &steps, from, until, "00:30 01:30 02:30 03:30 04:30");
    expect("*/30 2 * * *", &steps, from, until, "");
    expect("30 2 * * *", &steps, "2024-03-31 02:00", until, "");
    expect("30 2 * * *", &steps, "2024-03-31 01:59", until, "02:00");
    struct zone_rules zone = {&steps, steps_at};
    struct cron cron;
    int64_t due;
    CU_ASSERT_EQUAL(cron_parse(bytes_str("30 2 * * *"), &cron, NULL), SYNK_OK);
    CU_ASSERT_EQUAL(cron_next(&cron, &zone, at("2024-03-31 02:00") - 1, &due, NULL), SYNK_OK);
    CU_ASSERT_EQUAL(due, at("2024-03-31 02:00"));
}

static void times_that_come_twice(void)
{
    /* Local 03:00 becomes 02:00, at 02:00 UTC. */
    struct steps steps = {1, {at("2024-10-27 02:00") / 60000}, {60, 0}};
    const char *from = "2024-10-26 23:59", *until = "2024-10-27 04:00";
    expect("30 2 * * *", &steps, from, until, "01:30");
    expect("0,30 2 * * *", &steps, from, until, "01:00 01:30");
    expect("0 2,3 * * *", &steps, from, until, "01:00 03:00");
    expect("30 * * * *", &steps, from, until, "00:30 01:30 02:30 03:30");
    expect("*/30 2 * * *", &steps, from, until, "01:00 01:30 02:00 02:30");
    /* What is asked after the first time must know of it. */
    expect("30 2 * * *", &steps, "2024-10-27 01:30", until, "");
    expect("30 2 * * *", &steps, "2024-10-27 02:10", until, "");
}

static void a_day_that_is_skipped(void)
{
    /* As on Samoa in 2011: 30 December was left out, at the midnight before it. */
    struct steps steps = {1, {at("2011-12-30 10:00") / 60000}, {-600, 840}};
    expect("0 12 * * *", &steps, "2011-12-29 12:00", "2012-01-01 12:00", "22:00 10:00 22:00 22:00");
    expect("0 */12 * * *", &steps, "2011-12-29 12:00", "2011-12-31 12:00",
           "22:00 10:00 22:00 10:00");
    /* And one that came twice. */
    struct steps twice = {1, {at("2011-12-30 10:00") / 60000}, {840, -600}};
    expect("0 12 * * *", &twice, "2011-12-28 12:00", "2012-01-01 12:00", "22:00 22:00 22:00");
}

static void nothing_within_a_hundred_years(void)
{
    /* Minutes of an hour of 29 February that is skipped whenever there is one. */
    struct steps steps = {0};
    struct zone_rules zone = {&steps, steps_at};
    struct cron cron;
    struct synk_error error;
    int64_t due, minute;
    for (int year = 2004; year < 2120; year += 4) {
        char day[32];
        snprintf(day, sizeof(day), "%d-02-29 02:00", year);
        if (year == 2100)
            continue;
        minute = at(day) / 60000;
        steps.times[steps.count++] = minute;
        steps.offsets[steps.count] = 60;
        steps.times[steps.count++] = minute + 43200;
        steps.offsets[steps.count] = 0;
    }
    CU_ASSERT_EQUAL(cron_parse(bytes_str("* 2 29 2 *"), &cron, NULL), SYNK_OK);
    CU_ASSERT_EQUAL(cron_next(&cron, &zone, at("2004-01-01 00:00"), &due, &error), SYNK_NOT_FOUND);
    CU_ASSERT_EQUAL(cron_next(&cron, &zone, at("2024-01-01 00:00"), &due, &error), SYNK_OK);
    CU_ASSERT_EQUAL(due, at("2120-02-29 02:00"));
}

/* The property: random expressions, told to the parser as text and to the scan as sets. */

static uint64_t seed = 20240331;

static unsigned draw(unsigned below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((seed >> 33) % below);
}

struct model {
    char text[512];
    bool sets[5][64];
    bool stars[5];
};

static void draw_field(struct model *model, unsigned field)
{
    static const unsigned min[] = {0, 0, 1, 1, 0}, max[] = {59, 23, 31, 12, 6};
    char *end = model->text + strlen(model->text);
    unsigned items = draw(3) == 0 ? 2 : 1;
    for (unsigned i = 0; i < items; i++) {
        unsigned first = min[field], last = max[field], step = 1;
        const char *comma = i ? "," : "";
        bool dense = field >= 2 && draw(3) > 0;
        if (dense || draw(3) == 0) {
            model->stars[field] = true;
            step = dense || draw(2) ? 1 : 1 + draw(7);
            end += sprintf(end, step > 1 ? "%s*/%u" : "%s*", comma, step);
        } else {
            first = min[field] + draw(max[field] - min[field] + 1);
            last = draw(2) ? first + draw(max[field] - first + 1) : first;
            if (first == last) {
                end += sprintf(end, "%s%u", comma, first);
            } else {
                step = 1 + draw(4);
                end += sprintf(end, "%s%u-%u/%u", comma, first, last, step);
            }
        }
        for (unsigned value = first; value <= last; value += step)
            model->sets[field][value] = true;
    }
    strcpy(end, field < 4 ? " " : "");
}

static bool model_matches(const struct model *model, int64_t local_minute)
{
    time_t seconds = (time_t)local_minute * 60;
    struct tm tm;
    gmtime_r(&seconds, &tm);
    bool of_month = model->sets[2][tm.tm_mday], of_week = model->sets[4][tm.tm_wday];
    bool day = model->stars[2] || model->stars[4] ? of_month && of_week : of_month || of_week;
    return model->sets[0][tm.tm_min] && model->sets[1][tm.tm_hour] && day &&
           model->sets[3][tm.tm_mon + 1];
}

/* Looks at every minute from three days before `after`; INT64_MAX where none of `count` is due. */
static int64_t scan(const struct model *model, const struct steps *steps, int64_t after,
                    int64_t count)
{
    bool fixed = !model->stars[0] && !model->stars[1];
    int64_t seen = INT64_MIN, until, before = 0;
    for (int64_t minute = after - 4320; minute <= after + count; minute++) {
        int64_t local = minute + steps_at(steps, minute * 60, &until) / 60;
        bool due = model_matches(model, local) && !(fixed && local <= seen);
        bool is_first = seen == INT64_MIN;
        for (before = is_first ? local : seen + 1; before < local && fixed; before++)
            due |= model_matches(model, before);
        seen = local > seen ? local : seen;
        if (due && minute > after)
            return minute;
    }
    return INT64_MAX;
}

static void draw_steps(struct steps *steps, int64_t start)
{
    static const int64_t changes[] = {60, -60, 60, -60, 30, -30, 45, -15, 120, -180, 1440, -1440};
    steps->count = 1 + draw(6);
    steps->offsets[0] = (int64_t)draw(1440) - 720;
    for (size_t i = 0; i < steps->count; i++) {
        start += 60 + draw(draw(4) ? 4000 : 200);
        steps->times[i] = start;
        int64_t offset = steps->offsets[i] + changes[draw(12)];
        steps->offsets[i + 1] = offset < -1440 || offset > 1440 ? 0 : offset;
    }
}

static void agrees_with_a_scan(void)
{
    const int64_t count = 3000;
    unsigned found = 0;
    for (unsigned round = 0; round < 400; round++) {
        struct model model = {0};
        struct steps steps;
        struct cron cron;
        struct synk_error error = {0};
        int64_t start = (int64_t)draw(40 * 365) * 1440 + draw(1440), due;
        draw_steps(&steps, start);
        struct zone_rules zone = {&steps, steps_at};
        for (unsigned field = 0; field < 5; field++)
            draw_field(&model, field);
        if (cron_parse(bytes_str(model.text), &cron, &error)) {
            CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "never due"));
            continue;
        }
        int64_t after = start + draw(9000), expected = scan(&model, &steps, after, count);
        CU_ASSERT_EQUAL(cron_next(&cron, &zone, after * 60000, &due, NULL), SYNK_OK);
        bool same = expected == INT64_MAX ? due > (after + count) * 60000 : due == expected * 60000;
        found += expected != INT64_MAX;
        CU_ASSERT_TRUE(same);
        if (!same)
            printf("round %u: %s after %lld: %lld, not %lld\n", round, model.text, (long long)after,
                   (long long)(due / 60000), (long long)expected);
    }
    CU_ASSERT_TRUE(found > 150);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"next_in_utc", next_in_utc},
        {"strictly_after_to_the_millisecond", strictly_after_to_the_millisecond},
        {"bad_expressions", bad_expressions},
        {"bounds", bounds},
        {"times_that_are_skipped", times_that_are_skipped},
        {"times_that_come_twice", times_that_come_twice},
        {"a_day_that_is_skipped", a_day_that_is_skipped},
        {"nothing_within_a_hundred_years", nothing_within_a_hundred_years},
        {"agrees_with_a_scan", agrees_with_a_scan},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "cron", cases);
}
