/*
 * Latency: one `sim.noop` task at a time, from the submission to the answer that it has ended, with
 * a supervisor, a host and a warm runner as they always are. Beside it, in the same run, what it is
 * made of at the least: two round trips between processes over bare ZeroMQ (client and supervisor,
 * supervisor and host) and two commits (the submission, the outcome), each as one page written over
 * in a file that is there already, as a write-ahead log does, and an fdatasync.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/status.h"
#include "synk/client.h"
#include "tools/bench/bench.h"

enum { WARM_UP = 50, COMMIT_BYTES = 4096, LOG_PAGES = 256, HOPS = 2, COMMITS = 2 };

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile_us(const double *sorted, uint64_t count, unsigned percent)
{
    uint64_t at = count * percent / 100;
    return sorted[at < count ? at : count - 1] * 1e6;
}

static enum synk_status one_task(struct synk_client *client, struct synk_error *error)
{
    struct synk_submission submission = {.function = "sim.noop", .count = 1, .timeout_ms = -1};
    struct synk_document *body = NULL;
    char *run = NULL;
    enum synk_status status = synk_submit(client, &submission, &run, error);
    if (!status)
        status = synk_wait(client, run, &body, error);
    synk_document_free(body);
    free(run);
    return status;
}

static enum synk_status measure_tasks(struct synk_client *client, double *samples, uint64_t count,
                                      struct synk_error *error)
{
    enum synk_status status = SYNK_OK;
    for (uint64_t i = 0; i < WARM_UP && !status; i++)
        status = one_task(client, error);
    for (uint64_t i = 0; i < count && !status; i++) {
        double start = bench_now_s();
        status = one_task(client, error);
        samples[i] = bench_now_s() - start;
    }
    return status;
}

static enum synk_status measure_syncs(const char *directory, double *samples, uint64_t count,
                                      struct synk_error *error)
{
    static const char block[COMMIT_BYTES];
    char path[300];
    snprintf(path, sizeof(path), "%s/floor", directory);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return status_fail(error, SYNK_IO, "%s: %s", path, strerror(errno));
    enum synk_status status = SYNK_OK;
    for (off_t page = 0; page < LOG_PAGES && !status; page++)
        if (pwrite(fd, block, sizeof(block), page * COMMIT_BYTES) != (ssize_t)sizeof(block))
            status = status_fail(error, SYNK_IO, "%s: %s", path, strerror(errno));
    if (!status && fsync(fd) != 0)
        status = status_fail(error, SYNK_IO, "%s: %s", path, strerror(errno));
    for (uint64_t i = 0; i < count && !status; i++) {
        off_t at = (off_t)(i % LOG_PAGES) * COMMIT_BYTES;
        double start = bench_now_s();
        if (pwrite(fd, block, sizeof(block), at) != (ssize_t)sizeof(block) || fdatasync(fd) != 0)
            status = status_fail(error, SYNK_IO, "%s: %s", path, strerror(errno));
        samples[i] = bench_now_s() - start;
    }
    close(fd);
    return status;
}

enum synk_status bench_latency(const struct bench_options *options, struct synk_error *error)
{
    uint64_t count = options->tasks;
    double *samples = calloc(count, sizeof(*samples));
    struct bench_supervisor supervisor = {.directory = ""};
    struct synk_client *client = NULL;
    double p50_us = 0, p99_us = 0, trip_us = 0, sync_us = 0;
    if (!samples)
        return status_fail(error, SYNK_IO, "no memory for %llu samples", (unsigned long long)count);
    enum synk_status status = bench_round_trips(samples, count, error);
    qsort(samples, count, sizeof(*samples), by_size);
    trip_us = percentile_us(samples, count, 50);
    if (!status)
        status = bench_supervisor_start(&supervisor, options->state, 1, error);
    if (!status)
        status = measure_syncs(supervisor.directory, samples, count, error);
    qsort(samples, count, sizeof(*samples), by_size);
    sync_us = percentile_us(samples, count, 50);
    if (!status) {
        struct synk_client_options client_options = {.directory = supervisor.directory};
        status = synk_client_open(&client_options, &client, error);
    }
    if (!status)
        status = measure_tasks(client, samples, count, error);
    if (!status) {
        qsort(samples, count, sizeof(*samples), by_size);
        p50_us = percentile_us(samples, count, 50);
        p99_us = percentile_us(samples, count, 99);
        double floor_us = HOPS * trip_us + COMMITS * sync_us;
        printf(options->json
                   ? "{\"bench\": \"latency\", \"workload\": \"sim.noop, one at a time\", "
                     "\"tasks\": %llu, \"p50_us\": %.0f, \"p99_us\": %.0f, \"round_trip_us\": "
                     "%.0f, \"fsync_us\": %.0f, \"floor_us\": %.0f, \"ratio\": %.2f}\n"
                   : "latency: sim.noop, one at a time, %llu tasks: p50 %.0f us, p99 %.0f us; bare "
                     "ZeroMQ round trip %.0f us, fdatasync %.0f us, two of each %.0f us; p50 is "
                     "%.2f of that\n",
               (unsigned long long)count, p50_us, p99_us, trip_us, sync_us, floor_us,
               p50_us / floor_us);
    }
    synk_client_close(client);
    bench_supervisor_stop(&supervisor);
    free(samples);
    return status;
}
