/*
 * Cron expressions: what they say, and when they are due next in a time zone. Pure; the time zone
 * comes in as a struct zone_rules (proto/zone.h reads them from the system's database), and whoever
 * has to do with schedules gets both at once as a struct calendar.
 *
 * Five fields, separated by blanks: minute 0-59, hour 0-23, day of month 1-31, month 1-12 or
 * JAN-DEC, day of week 0-7 or SUN-SAT (0 and 7 are Sunday). A field is a list of `*`, values and
 * ranges, `*` and ranges with an optional `/step`. Or one of @hourly @daily @midnight @weekly
 * @monthly @yearly @annually. Letters in either case.
 *
 * Days: where one of the two day fields contains `*`, a day must match both; where neither does,
 * either is enough (`0 0 1 * MON`: every first and every Monday). `* /2` contains `*`, so
 * `0 0 * /2 * MON` (without the blanks) means odd Mondays. This is what Vixie's cron does.
 *
 * When clocks change:
 *   - An expression whose minute or hour field contains `*` follows the clock on the wall: times
 *     that are skipped are not made up for, times that come twice are due twice.
 *   - Any other (a job at fixed times) is due once for each time that it names. Where some of them
 *     are skipped, it is due once at the moment of the change; a time that comes twice is due the
 *     first time only.
 */
#ifndef PROTO_CRON_H
#define PROTO_CRON_H

#include "proto/bytes.h"
#include "proto/status.h"

/* Sets of values, bit n for the value n. */
struct cron {
    uint64_t minutes;
    uint32_t hours, days;
    uint16_t months;
    uint8_t weekdays;      /* bit 0 = Sunday */
    bool either_day;       /* neither day field contains `*` */
    bool follows_the_wall; /* the minute or the hour field contains `*` */
};

/* Fails with SYNK_INVALID (SYNK_TOO_LARGE past LIMIT_CRON_BYTES), naming field, column and what is
 * allowed; also where no day can ever match, such as 30 February. */
enum synk_status cron_parse(struct synk_bytes text, struct cron *ret_cron,
                            struct synk_error *error);

/* A time zone as the pure code sees it. */
struct zone_rules {
    const void *context;
    /* Seconds that local time is ahead of UTC at utc_s (seconds since 1970), at most 26 hours
     * either way; *ret_until_s > utc_s is the first second that may differ, INT64_MAX = never. */
    int64_t (*offset_at)(const void *context, int64_t utc_s, int64_t *ret_until_s);
};
extern const struct zone_rules zone_utc;

/* The first due time strictly after after_wall_ms, both in ms since 1970. Fails with SYNK_INVALID
 * for an `after` outside the years 1 to 9999, and with SYNK_NOT_FOUND where nothing is due within a
 * hundred years (the only times named are ones that the zone always skips). The work is bounded by
 * the months and clock changes in between: 0.2 us for a daily job, 20 us for the 40 years between
 * two Sundays on 29 February. */
enum synk_status cron_next(const struct cron *cron, const struct zone_rules *zone,
                           int64_t after_wall_ms, int64_t *ret_due_ms, struct synk_error *error);

/* How the core and the validator reckon with schedules. `zone` is a name of the time zone database
 * ("Europe/Berlin"); "" and "UTC" are UTC. Calls may read files, rarely; not thread-safe.
 * calendar_init in proto/zone.h is the implementation. */
struct calendar {
    void *context;
    /* As cron_parse and cron_next; an unknown zone is SYNK_INVALID. */
    enum synk_status (*next)(void *context, struct synk_bytes cron, struct synk_bytes zone,
                             int64_t after_wall_ms, int64_t *ret_due_ms, struct synk_error *error);
    /* Whether `next` will know what to do with the two. */
    enum synk_status (*check)(void *context, struct synk_bytes cron, struct synk_bytes zone,
                              struct synk_error *error);
};
/* The calendar of whoever has no time zones: UTC; others are SYNK_UNSUPPORTED. Pure. */
extern const struct calendar calendar_utc;

#endif
