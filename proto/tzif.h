/*
 * Compiled time zone files, as the time zone compiler writes them (RFC 9636): bytes in, a struct
 * zone_rules out. Pure; proto/zone.c reads the files.
 */
#ifndef PROTO_TZIF_H
#define PROTO_TZIF_H

#include "proto/cron.h"

struct tzif;

/* Reads a file's bytes, version 2 or later; nothing of them is kept. Fails with SYNK_CORRUPT, or
 * SYNK_UNSUPPORTED for version 1 and for files that count leap seconds. The caller frees. */
enum synk_status tzif_parse(struct synk_bytes bytes, struct tzif **ret_tzif,
                            struct synk_error *error);
void tzif_free(struct tzif *tzif);
/* Borrowed: valid as long as the tzif. Years beyond its table follow the file's rule for them. */
struct zone_rules tzif_rules(const struct tzif *tzif);

#endif
