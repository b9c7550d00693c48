/*
 * Cron expressions from hostile bytes, and compiled time zone files (where the bytes begin as one
 * does), with an expression in the zone that the file makes. What is accepted must give due times
 * that rise, in bounded work.
 */
#include <stdint.h>
#include <stdlib.h>

#include "proto/tzif.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_due(const struct cron *cron, const struct zone_rules *zone, int64_t after_ms)
{
    for (unsigned i = 0; i < 4; i++) {
        int64_t due_ms;
        if (cron_next(cron, zone, after_ms, &due_ms, NULL))
            return;
        if (due_ms <= after_ms || due_ms % 1000)
            abort();
        after_ms = due_ms;
    }
}

static void check_zone(struct synk_bytes bytes)
{
    static const char *const texts[] = {"30 2 * * *", "*/30 2 * * *", "0 0 29 2 *"};
    struct tzif *tzif;
    if (tzif_parse(bytes, &tzif, NULL))
        return;
    struct zone_rules zone = tzif_rules(tzif);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct cron cron;
        if (cron_parse(bytes_str(texts[i]), &cron, NULL))
            abort();
        check_due(&cron, &zone, 0);
        check_due(&cron, &zone, 1774742400000);
        check_due(&cron, &zone, 2200000000000);
        check_due(&cron, &zone, -62135596800000);
    }
    tzif_free(tzif);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cron cron;
    if (size >= 4 && !memcmp(data, "TZif", 4))
        check_zone(bytes_of(data, size));
    else if (!cron_parse(bytes_of(data, size), &cron, NULL))
        check_due(&cron, &zone_utc, 1709164800000);
    return 0;
}
