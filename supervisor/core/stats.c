/* What `stats` and the milestone engine:stats tell. The shell's gauges are put in as they come. */
#include "supervisor/core/stats.h"

#include <stdlib.h>

#include "proto/pack.h"
#include "supervisor/core/hosts.h"
#include "supervisor/core/limits.h"
#include "supervisor/core/requests.h"

void engine_set_gauges(struct engine *engine, struct synk_bytes encoded)
{
    free((void *)engine->gauges.data);
    engine->gauges = (struct synk_bytes){0};
    if (!encoded.size)
        return;
    void *copy = mem_alloc(encoded.size);
    memcpy(copy, encoded.data, encoded.size);
    engine->gauges = bytes_of(copy, encoded.size);
}

static void pack_count(struct buf *out, const char *key, uint64_t value)
{
    pack_key(out, key);
    pack_uint(out, value);
}

void stats_encode(const struct engine *engine, struct buf *out)
{
    struct engine_counts counts = engine_counts(engine);
    pack_map(out, 25);
    pack_key(out, "limits");
    limits_encode(engine, out);
    pack_key(out, "version");
    pack_cstr(out, engine->config.version);
    pack_count(out, "epoch", engine->epoch);
    pack_key(out, "durability");
    pack_cstr(out, engine->config.durability);
    pack_key(out, "storeOk");
    pack_bool(out, engine->store_ok);
    pack_count(out, "uptimeMs", (uint64_t)(engine->now - engine->started_now));
    pack_count(out, "units", counts.units);
    pack_count(out, "liveRuns", counts.live_runs);
    pack_count(out, "liveTasks", counts.live_tasks);
    pack_count(out, "readyTasks", counts.ready_tasks);
    pack_count(out, "dispatchedTasks", counts.dispatched_tasks);
    pack_count(out, "retryWaitTasks", counts.retry_wait_tasks);
    pack_count(out, "slots", counts.slots);
    pack_count(out, "resultsApplied", counts.results_applied);
    pack_count(out, "resultsStale", counts.results_stale);
    pack_count(out, "resultsDuplicate", counts.results_duplicate);
    pack_count(out, "protocolErrors", counts.protocol_errors);
    pack_count(out, "tasksFinished", counts.tasks_finished);
    pack_count(out, "reexecutions", counts.reexecutions);
    pack_count(out, "events", counts.events);
    pack_count(out, "lastEvent", engine->last_event);
    pack_count(out, "clients", engine->peers_by_id.count);
    pack_key(out, "hosts");
    size_t hosts = 0;
    for (size_t i = 0; i < engine->host_count; i++)
        hosts += engine->hosts[i] != NULL;
    pack_array(out, hosts < 100 ? hosts : 100);
    hosts = 0;
    for (size_t i = 0; i < engine->host_count && hosts < 100; i++) {
        const struct host *host = engine->hosts[i];
        if (!host)
            continue;
        hosts++;
        pack_map(out, 6);
        pack_key(out, "name");
        pack_string(out, host->name_bytes);
        pack_key(out, "state");
        pack_cstr(out, host_state_name(host));
        pack_count(out, "slots", host->slots);
        pack_count(out, "attempts", host->flight_count);
        pack_key(out, "rssKib");
        pack_int(out, host->rss_kib);
        pack_key(out, "cpuUs");
        pack_int(out, host->cpu_us);
    }
    pack_key(out, "functions");
    size_t functions = engine->live_functions < 100 ? engine->live_functions : 100;
    pack_array(out, functions);
    for (size_t i = 0; functions; i++) {
        if (!engine->functions[i])
            continue;
        functions--;
        pack_map(out, 3);
        pack_key(out, "name");
        pack_cstr(out, engine->functions[i]->name);
        pack_count(out, "averageUs", engine->functions[i]->average_us);
        pack_count(out, "samples", engine->functions[i]->samples);
    }
    pack_key(out, "process");
    pack_encoded(out, engine->gauges);
}

void request_stats(struct engine *engine, struct request *request)
{
    stats_encode(engine, reply_open(engine));
    reply_close(engine, request);
}
