/*
 * Figures about this process for `stats`: what the engine, being pure, cannot see. Once a second,
 * encoded as the map that the engine passes on.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proto/pack.h"
#include "supervisor/shell/accept.h"
#include "supervisor/shell/log.h"
#include "supervisor/shell/shell.h"

static int64_t resident_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long total = 0, resident = 0;
    if (!file)
        return -1;
    if (fscanf(file, "%ld %ld", &total, &resident) != 2)
        resident = -1;
    fclose(file);
    return resident < 0 ? -1 : resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static int64_t cpu_us(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return -1;
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000000) +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* A line a second at most, however many come. */
static void tell_refused(struct shell *shell)
{
    uint64_t refused = accept_refused();
    if (refused != shell->gauges.refused)
        log_line(LOG_WARN,
                 "connections are refused: as many files are open as may be; raise the limit",
                 log_int("refused", (int64_t)refused));
    shell->gauges.refused = refused;
}

void shell_update_gauges(struct shell *shell)
{
    tell_refused(shell);
    int64_t now = shell_now_ms();
    /* How much later than asked this second came: what the loop was busy with. */
    int64_t last = shell->gauges.second_at_ms;
    shell->gauges.lag_ms = last && now - last > 1000 ? now - last - 1000 : 0;
    shell->gauges.second_at_ms = now;

    const struct effects *open = &shell->open->effects;
    const struct {
        const char *key;
        int64_t value;
    } gauges[] = {
        {"rssKib", resident_kib()},
        {"cpuUs", cpu_us()},
        {"loopLagMs", shell->gauges.lag_ms},
        {"commitUs", shell->gauges.commit_us},
        {"commitMaxUs", shell->gauges.commit_max_us},
        {"commits", (int64_t)shell->gauges.commits},
        {"records", (int64_t)shell->gauges.records},
        {"storeBytes", (int64_t)store_size_bytes(shell->store)},
        {"gatheringSends", (int64_t)open->send_count},
        {"outboxBytes", (int64_t)shell->bus.outbox_bytes},
        {"hostPeers", shell->bus.routers[SOCKET_HOSTS].peers.count},
        {"clientPeers", shell->bus.routers[SOCKET_CLIENTS].peers.count},
        {"connectionsRefused", (int64_t)shell->gauges.refused},
        {"messagesDropped", (int64_t)shell->bus.dropped},
        {"peersOverrun", (int64_t)shell->bus.overrun},
        {"resultsCachedBytes", (int64_t)shell->results.bytes},
    };
    size_t count = sizeof(gauges) / sizeof(gauges[0]);
    struct buf map = {0};
    pack_map(&map, count);
    for (size_t i = 0; i < count; i++) {
        pack_key(&map, gauges[i].key);
        pack_int(&map, gauges[i].value);
    }
    engine_set_gauges(shell->engine, buf_bytes(&map));
    buf_fini(&map);
    shell->gauges.commit_max_us = 0;
}
