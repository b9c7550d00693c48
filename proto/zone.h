/*
 * Time zones by name, from the system's time zone database ($TZDIR, or /usr/share/zoneinfo), and
 * the struct calendar for whoever keeps schedules. Reads files and the environment; the shell, the
 * validator's callers and the tests use it, never the core.
 *
 * A name is one of the database, such as "Europe/Berlin"; "" and "UTC" are UTC, without a file.
 * There is no "local": definitions travel between machines, and the same one must mean the same
 * time on each.
 */
#ifndef PROTO_ZONE_H
#define PROTO_ZONE_H

#include "proto/cron.h"

/* Zones that were read, kept by name: a bounded number. Not thread-safe. */
struct zones;
struct zones *zones_new(void);
void zones_free(struct zones *zones);

/* Finds a zone, and reads its file where it is not kept or has been replaced since (a new release
 * of the database). The rules are valid until the next call with these zones. Fails with
 * SYNK_INVALID for a name that the database does not have, telling the nearest that it has;
 * SYNK_UNAVAILABLE where there is no database; SYNK_IO, SYNK_CORRUPT and SYNK_UNSUPPORTED for a
 * file that cannot be used. */
enum synk_status zones_find(struct zones *zones, struct synk_bytes name,
                            struct zone_rules *ret_rules, struct synk_error *error);

/* A calendar with zones of its own. Free with calendar_fini, which takes an all-zero one, too. */
void calendar_init(struct calendar *calendar);
void calendar_fini(struct calendar *calendar);

#endif
