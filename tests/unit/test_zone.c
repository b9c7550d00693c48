/* Time zones from the system's database, compiled zone files, and the calendar made of them. */
#include "proto/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/tzif.h"
#include "tests/support/unit.h"

static int64_t at(const char *text)
{
    struct tm tm = {0};
    CU_ASSERT_PTR_NOT_NULL_FATAL(strptime(text, "%Y-%m-%d %H:%M", &tm));
    return (int64_t)timegm(&tm) * 1000;
}

static void next_in_zones(void)
{
    static const struct {
        const char *zone, *cron, *after, *next; /* times in UTC */
    } rows[] = {
        {"", "0 3 * * *", "2025-06-01 12:00", "2025-06-02 03:00"},
        {"UTC", "0 3 * * *", "2025-06-01 12:00", "2025-06-02 03:00"},
        {"Europe/Berlin", "0 3 * * *", "2025-01-10 12:00", "2025-01-11 02:00"},
        {"Europe/Berlin", "0 3 * * *", "2025-06-01 12:00", "2025-06-02 01:00"},
        /* 2025-03-30: 02:00 becomes 03:00, at 01:00 UTC. */
        {"Europe/Berlin", "30 2 * * *", "2025-03-29 12:00", "2025-03-30 01:00"},
        {"Europe/Berlin", "30 2 * * *", "2025-03-30 01:00", "2025-03-31 00:30"},
        {"Europe/Berlin", "30 * * * *", "2025-03-30 00:30", "2025-03-30 01:30"},
        {"Europe/Berlin", "*/20 2 * * *", "2025-03-30 00:59", "2025-03-31 00:00"},
        /* 2025-10-26: 03:00 becomes 02:00, at 01:00 UTC. */
        {"Europe/Berlin", "30 2 * * *", "2025-10-25 12:00", "2025-10-26 00:30"},
        {"Europe/Berlin", "30 2 * * *", "2025-10-26 00:30", "2025-10-27 01:30"},
        {"Europe/Berlin", "30 * * * *", "2025-10-26 00:30", "2025-10-26 01:30"},
        {"Europe/Berlin", "0 0 1 1 *", "2025-06-01 00:00", "2025-12-31 23:00"},
        {"Europe/Berlin", "0 12 29 2 *", "2024-02-29 11:00", "2028-02-29 11:00"},
        {"Europe/Berlin", "0 3 1 7 *", "2059-08-01 00:00", "2060-07-01 01:00"},
        /* 2025-03-09 at 07:00 UTC, 2025-11-02 at 06:00 UTC. */
        {"America/New_York", "30 2 * * *", "2025-03-08 12:00", "2025-03-09 07:00"},
        {"America/New_York", "30 1 * * *", "2025-11-01 12:00", "2025-11-02 05:30"},
        {"America/New_York", "30 1 * * *", "2025-11-02 05:30", "2025-11-03 06:30"},
        {"America/New_York", "*/30 1 * * *", "2025-11-02 05:30", "2025-11-02 06:00"},
        {"America/New_York", "0 9 * * MON-FRI", "2025-03-07 15:00", "2025-03-10 13:00"},
        {"America/New_York", "0 0 1 1 *", "2025-12-31 23:00", "2026-01-01 05:00"},
        /* Half an hour: 2025-10-05 02:00 becomes 02:30 at 15:30 UTC the day before; 2025-04-06
         * 02:00 becomes 01:30 at 15:00 UTC the day before. */
        {"Australia/Lord_Howe", "15 2 * * *", "2025-10-04 00:00", "2025-10-04 15:30"},
        {"Australia/Lord_Howe", "45 2 * * *", "2025-10-04 00:00", "2025-10-04 15:45"},
        {"Australia/Lord_Howe", "45 1 * * *", "2025-04-05 00:00", "2025-04-05 14:45"},
        {"Australia/Lord_Howe", "45 1 * * *", "2025-04-05 14:45", "2025-04-06 15:15"},
        {"Australia/Lord_Howe", "45 * * * *", "2025-04-05 14:45", "2025-04-05 15:15"},
        {"Asia/Kathmandu", "0 0 * * *", "2025-06-01 00:00", "2025-06-01 18:15"},
        {"Asia/Kathmandu", "@hourly", "2025-06-01 00:00", "2025-06-01 00:15"},
        {"Pacific/Apia", "0 12 * * *", "2011-12-29 22:00", "2011-12-30 10:00"},
        {"America/Argentina/Buenos_Aires", "0 0 * * *", "2025-01-01 00:00", "2025-01-01 03:00"},
    };
    struct calendar calendar;
    calendar_init(&calendar);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct synk_error error = {0};
        int64_t due = 0;
        CU_ASSERT_EQUAL(calendar.check(calendar.context, bytes_str(rows[i].cron),
                                       bytes_str(rows[i].zone), &error),
                        SYNK_OK);
        CU_ASSERT_EQUAL(calendar.next(calendar.context, bytes_str(rows[i].cron),
                                      bytes_str(rows[i].zone), at(rows[i].after), &due, &error),
                        SYNK_OK);
        CU_ASSERT_EQUAL(due, at(rows[i].next));
        if (due != at(rows[i].next))
            printf("row %zu: %s %s: %lld min off %s\n", i, rows[i].zone, rows[i].cron,
                   (long long)(due - at(rows[i].next)) / 60000, error.text);
    }
    calendar_fini(&calendar);
}

static void offsets_agree_with_the_c_library(void)
{
    static const char *const names[] = {
        "Europe/Berlin",   "America/New_York",  "Australia/Lord_Howe",
        "Asia/Kathmandu",  "Europe/Dublin",     "Africa/Cairo",
        "America/Havana",  "Asia/Jerusalem",    "Pacific/Auckland",
        "Pacific/Chatham", "Africa/Casablanca", "Etc/GMT+5",
        "America/Nuuk",    "Pacific/Apia",      "EST5EDT",
        "Asia/Tokyo",      "America/Sao_Paulo", "Asia/Tehran",
    };
    struct zones *zones = zones_new();
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct zone_rules rules;
        setenv("TZ", names[i], 1);
        tzset();
        CU_ASSERT_EQUAL_FATAL(zones_find(zones, bytes_str(names[i]), &rules, NULL), SYNK_OK);
        for (unsigned round = 0; round < 500; round++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            /* The years 1935 to 2174, on both sides of where the tables end. */
            int64_t utc_s = (int64_t)((seed >> 20) % 7550000000) - 1100000000, until_s, later_s;
            int64_t offset_s = rules.offset_at(rules.context, utc_s, &until_s);
            time_t times[] = {utc_s, until_s - 1, until_s};
            struct tm tm;
            CU_ASSERT_TRUE(until_s > utc_s);
            localtime_r(&times[0], &tm);
            CU_ASSERT_EQUAL(offset_s, tm.tm_gmtoff);
            if (until_s == INT64_MAX)
                continue;
            localtime_r(&times[1], &tm);
            CU_ASSERT_EQUAL(offset_s, tm.tm_gmtoff);
            localtime_r(&times[2], &tm);
            CU_ASSERT_EQUAL(rules.offset_at(rules.context, until_s, &later_s), tm.tm_gmtoff);
        }
    }
    unsetenv("TZ");
    tzset();
    zones_free(zones);
}

static void names_that_are_refused(void)
{
    static const struct {
        const char *name, *text;
    } rows[] = {
        {"Europe/Berln", "there is no time zone 'Europe/Berln' (did you mean 'Europe/Berlin'?)"},
        {"europe/berlin", "there is no time zone 'europe/berlin' (did you mean 'Europe/Berlin'?)"},
        {"kathmandu", "there is no time zone 'kathmandu' (did you mean 'Asia/Kathmandu'?)"},
        {"Nowhere/At_All", "there is no time zone 'Nowhere/At_All': write a name such as "
                           "'Europe/Berlin', or 'UTC'"},
        {"Europe", "there is no time zone 'Europe'"},
        {"local", "the time zone must be named, not 'local': the definition must mean the same "
                  "time on every machine"},
        {"localtime", "the time zone must be named, not 'localtime'"},
        {"+02:00", "'+02:00' is not the name of a time zone"},
        {"../../../etc/passwd", "'../../../etc/passwd' is not the name of a time zone"},
        {"/etc/localtime", "'/etc/localtime' is not the name of a time zone"},
        {"Europe//Berlin", "'Europe//Berlin' is not the name of a time zone"},
        {"Europe/", "'Europe/' is not the name of a time zone"},
    };
    struct zones *zones = zones_new();
    struct zone_rules rules;
    struct synk_error error;
    char name[65] = "";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        error = (struct synk_error){0};
        CU_ASSERT_EQUAL(zones_find(zones, bytes_str(rows[i].name), &rules, &error), SYNK_INVALID);
        bool same = !strncmp(error.text, rows[i].text, strlen(rows[i].text));
        CU_ASSERT_TRUE(same);
        if (!same)
            printf("%s\n", error.text);
    }
    memset(name, 'a', sizeof(name));
    CU_ASSERT_EQUAL(zones_find(zones, bytes_of(name, sizeof(name)), &rules, &error),
                    SYNK_TOO_LARGE);
    CU_ASSERT_EQUAL(zones_find(zones, bytes_of("UTC\0", 4), &rules, &error), SYNK_INVALID);
    zones_free(zones);
}

/* Files of this test's own. */

struct writer {
    uint8_t bytes[512];
    size_t size;
};

static void put(struct writer *w, int64_t value, unsigned size)
{
    while (size--)
        w->bytes[w->size++] = size < 8 ? (uint8_t)((uint64_t)value >> (8 * size)) : 0;
}

static void put_header(struct writer *w, char version, unsigned times, unsigned types,
                       unsigned leaps)
{
    memcpy(w->bytes + w->size, "TZif", 4);
    w->size += 4;
    put(w, version, 1);
    put(w, 0, 15);
    put(w, 0, 4);
    put(w, 0, 4);
    put(w, leaps, 4);
    put(w, times, 4);
    put(w, types, 4);
    put(w, 4, 4);
}

/* One change, from `before_s` to `after_s` at time 1000, and the rule. */
static struct writer file_of(int32_t before_s, int32_t after_s, const char *rule)
{
    struct writer w = {.size = 0};
    put_header(&w, '2', 0, 1, 0);
    put(&w, 0, 6);
    put(&w, 0x41414100, 4);
    put_header(&w, '2', 1, 2, 0);
    put(&w, 1000, 8);
    put(&w, 1, 1);
    put(&w, before_s, 4);
    put(&w, 0, 2);
    put(&w, after_s, 4);
    put(&w, 0, 2);
    put(&w, 0x41414100, 4);
    memcpy(w.bytes + w.size, rule, strlen(rule));
    w.size += strlen(rule);
    return w;
}

static int64_t offset_of(const struct writer *w, int64_t utc_s)
{
    struct tzif *tzif = NULL;
    int64_t until_s;
    CU_ASSERT_EQUAL_FATAL(tzif_parse(bytes_of(w->bytes, w->size), &tzif, NULL), SYNK_OK);
    struct zone_rules rules = tzif_rules(tzif);
    int64_t offset_s = rules.offset_at(rules.context, utc_s, &until_s);
    tzif_free(tzif);
    return offset_s;
}

static void rules_at_the_end_of_a_file(void)
{
    static const struct {
        const char *rule, *when;
        int64_t offset_s;
    } rows[] = {
        {"\n\n", "2030-01-01 00:00", 7200},
        {"\nAAA-1\n", "2030-01-01 00:00", 3600},
        {"\n<+0545>-5:45\n", "2030-01-01 00:00", 20700},
        {"\nAAA3BBB,M3.2.0,M11.1.0\n", "2030-03-10 04:59", -10800},
        {"\nAAA3BBB,M3.2.0,M11.1.0\n", "2030-03-10 05:00", -7200},
        {"\nAAA3BBB,M3.2.0,M11.1.0\n", "2030-11-03 03:59", -7200},
        {"\nAAA3BBB,M3.2.0,M11.1.0\n", "2030-11-03 04:00", -10800},
        /* The day 60 counted without 29 February, and the day 59 counted with it: 1 March both, and
         * 29 February in leap years. */
        {"\nAAA0BBB,J60/0,J300/0\n", "2028-02-29 23:59", 0},
        {"\nAAA0BBB,J60/0,J300/0\n", "2028-03-01 00:00", 3600},
        {"\nAAA0BBB,59/0,300/0\n", "2028-02-28 23:59", 0},
        {"\nAAA0BBB,59/0,300/0\n", "2028-02-29 00:00", 3600},
        /* Daylight time all the year. */
        {"\nAAA3BBB2,0/0,J365/25\n", "2030-01-01 02:59", -7200},
        {"\nAAA3BBB2,0/0,J365/25\n", "2030-01-01 03:00", -7200},
        {"\nAAA3BBB2,0/0,J365/25\n", "2030-07-01 00:00", -7200},
        /* Winter as the exception, as in Ireland. */
        {"\nIST-1GMT0,M10.5.0,M3.5.0/1\n", "2050-07-01 00:00", 3600},
        {"\nIST-1GMT0,M10.5.0,M3.5.0/1\n", "2050-12-01 00:00", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct writer w = file_of(3600, 7200, rows[i].rule);
        CU_ASSERT_EQUAL(offset_of(&w, 999), 3600);
        CU_ASSERT_EQUAL(offset_of(&w, at(rows[i].when) / 1000), rows[i].offset_s);
        if (offset_of(&w, at(rows[i].when) / 1000) != rows[i].offset_s)
            printf("%s %s\n", rows[i].rule, rows[i].when);
    }
}

static void bad_files(void)
{
    static const char *const rules[] = {
        "",
        "\n",
        "\nAAA",
        "\nAAA-1",
        "\nAA-1\n",
        "\nAAA\n",
        "\n<AAA-1\n",
        "\nAAA-1BBB\n",
        "\nAAA25\n",
        "\nAAA-1BBB,M13.1.0,M1.1.0\n",
        "\nAAA-1BBB,M1.1.0\n",
        "\nAAA-1BBB,J0,J9\n",
        "\nAAA-1BBB,366,3\n",
        "\nAAA-1BBB,M1.6.0,M2.1.0\n",
        "\nAAA-1BBB,M1.1.7,M2.1.0\n",
        "\nAAA-1BBB,3/168,9\n",
        "\nAAA-1:60\n",
    };
    struct tzif *tzif;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct writer w = file_of(0, 0, rules[i]);
        CU_ASSERT_EQUAL(tzif_parse(bytes_of(w.bytes, w.size), &tzif, NULL), SYNK_CORRUPT);
    }
    struct writer good = file_of(0, 3600, "\nAAA-1\n"), bad = good;
    for (size_t size = 0; size < good.size; size++)
        CU_ASSERT_NOT_EQUAL(tzif_parse(bytes_of(good.bytes, size), &tzif, NULL), SYNK_OK);
    bad.bytes[4] = 0;
    CU_ASSERT_EQUAL(tzif_parse(bytes_of(bad.bytes, bad.size), &tzif, NULL), SYNK_UNSUPPORTED);
    bad = file_of(0, 27 * 3600, "\nAAA-1\n");
    CU_ASSERT_EQUAL(tzif_parse(bytes_of(bad.bytes, bad.size), &tzif, NULL), SYNK_CORRUPT);
    bad = (struct writer){.size = 0};
    put_header(&bad, '2', 0, 1, 0);
    put(&bad, 0, 10);
    put_header(&bad, '2', 0, 1, 1);
    put(&bad, 0, 22);
    CU_ASSERT_EQUAL(tzif_parse(bytes_of(bad.bytes, bad.size), &tzif, NULL), SYNK_UNSUPPORTED);
}

static void write_file(const char *name, const void *data, size_t size)
{
    char path[512], next[520];
    snprintf(path, sizeof(path), "%s/%s", unit_directory(), name);
    snprintf(next, sizeof(next), "%s.new", path);
    FILE *file = fopen(next, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(data, 1, size, file), size);
    fclose(file);
    CU_ASSERT_EQUAL(rename(next, path), 0);
}

static int64_t zone_offset(struct zones *zones, const char *name)
{
    struct zone_rules rules;
    int64_t until_s;
    if (zones_find(zones, bytes_str(name), &rules, NULL))
        return -1;
    return rules.offset_at(rules.context, 2000, &until_s);
}

static void a_new_database_is_heeded(void)
{
    struct zones *zones = zones_new();
    struct writer w = file_of(0, 3600, "\n\n");
    setenv("TZDIR", unit_directory(), 1);
    write_file("Mine", w.bytes, w.size);
    CU_ASSERT_EQUAL(zone_offset(zones, "Mine"), 3600);
    w = file_of(0, 1800, "\n\n");
    write_file("Mine", w.bytes, w.size);
    CU_ASSERT_EQUAL(zone_offset(zones, "Mine"), 1800);
    /* Broken or gone in the middle of an update: what was read before holds. */
    write_file("Mine", "TZ", 2);
    CU_ASSERT_EQUAL(zone_offset(zones, "Mine"), 1800);
    char path[512];
    snprintf(path, sizeof(path), "%s/Mine", unit_directory());
    unlink(path);
    CU_ASSERT_EQUAL(zone_offset(zones, "Mine"), 1800);
    /* More zones than are kept; one that is in use stays, one that is not goes. */
    for (unsigned i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof(name), "Z%u", i % 100);
        w = file_of(0, (int32_t)(i % 100), "\n\n");
        write_file(name, w.bytes, w.size);
        CU_ASSERT_EQUAL(zone_offset(zones, name), i % 100);
        if (i < 100)
            CU_ASSERT_EQUAL(zone_offset(zones, "Mine"), 1800);
    }
    CU_ASSERT_EQUAL(zone_offset(zones, "Mine"), -1);
    unsetenv("TZDIR");
    zones_free(zones);
}

static void databases_that_do_not_work(void)
{
    struct zones *zones = zones_new();
    struct zone_rules rules;
    struct synk_error error = {0};
    char path[512];
    setenv("TZDIR", "/nonexistent/zones", 1);
    CU_ASSERT_EQUAL(zones_find(zones, bytes_str("Europe/Berlin"), &rules, &error),
                    SYNK_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(error.text, "there is no time zone database at /nonexistent/zones: "
                                       "install tzdata, or set TZDIR");
    CU_ASSERT_EQUAL(zones_find(zones, bytes_str("UTC"), &rules, &error), SYNK_OK);
    setenv("TZDIR", unit_directory(), 1);
    write_file("Broken", "hello", 5);
    CU_ASSERT_EQUAL(zones_find(zones, bytes_str("Broken"), &rules, &error), SYNK_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "/Broken: not a compiled time zone file"));
    /* A fifo must not hold up the supervisor. */
    snprintf(path, sizeof(path), "%s/Fifo", unit_directory());
    CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
    CU_ASSERT_EQUAL(zones_find(zones, bytes_str("Fifo"), &rules, &error), SYNK_CORRUPT);
    /* No list of names: no hint, no harm. */
    CU_ASSERT_EQUAL(zones_find(zones, bytes_str("Brokn"), &rules, &error), SYNK_INVALID);
    unsetenv("TZDIR");
    zones_free(zones);
    zones_free(NULL);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"next_in_zones", next_in_zones},
        {"offsets_agree_with_the_c_library", offsets_agree_with_the_c_library},
        {"names_that_are_refused", names_that_are_refused},
        {"rules_at_the_end_of_a_file", rules_at_the_end_of_a_file},
        {"bad_files", bad_files},
        {"a_new_database_is_heeded", a_new_database_is_heeded},
        {"databases_that_do_not_work", databases_that_do_not_work},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "zone", cases);
}
