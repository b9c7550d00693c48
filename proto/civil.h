/*
 * Days and dates of the Gregorian calendar, extended to all years. Pure arithmetic on days since
 * 1970-01-01; what the C library offers reads the environment. For cron.c and tzif.c.
 */
#ifndef PROTO_CIVIL_H
#define PROTO_CIVIL_H

#include <stdbool.h>
#include <stdint.h>

enum { CIVIL_DAY_S = 86400 };

struct civil {
    int64_t year;
    unsigned month, day; /* from 1 */
};

/* The quotient rounded down, so that times before 1970 fall on their own day; divisor > 0. */
static inline int64_t civil_floor(int64_t value, int64_t divisor)
{
    return value / divisor - (value % divisor < 0);
}

static inline bool civil_is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static inline unsigned civil_month_days(int64_t year, unsigned month)
{
    if (month == 2)
        return civil_is_leap(year) ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* Days before 1 January of the year. */
static inline int64_t civil_year_start(int64_t year)
{
    int64_t before = year - 1;
    /* 719162 days lie between 1 January of year 1 and of 1970. */
    return before * 365 + civil_floor(before, 4) - civil_floor(before, 100) +
           civil_floor(before, 400) - 719162;
}

static inline int64_t civil_days(struct civil date)
{
    int64_t days = civil_year_start(date.year);
    for (unsigned month = 1; month < date.month; month++)
        days += civil_month_days(date.year, month);
    return days + date.day - 1;
}

static inline struct civil civil_date(int64_t days)
{
    /* 146097 days in 400 years: the estimate is off by one at most, around New Year. */
    int64_t year = 1970 + civil_floor(days * 400, 146097);
    while (civil_year_start(year) > days)
        year--;
    while (civil_year_start(year + 1) <= days)
        year++;
    struct civil date = {year, 1, 1};
    int64_t left = days - civil_year_start(year);
    for (; left >= civil_month_days(year, date.month); date.month++)
        left -= civil_month_days(year, date.month);
    date.day += (unsigned)left;
    return date;
}

/* 0 = Sunday; 1 January 1970 was a Thursday. */
static inline unsigned civil_weekday(int64_t days)
{
    return (unsigned)(days + 4 - civil_floor(days + 4, 7) * 7);
}

#endif
