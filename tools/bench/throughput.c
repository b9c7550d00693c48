/*
 * Throughput: `sim.noop` tasks submitted in bulk, run by one forked runner, every outcome durable
 * in the store and every event published, from the submission to the answer that all have ended.
 * Beside it, in the same run, the floor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/status.h"
#include "synk/client.h"
#include "tools/bench/bench.h"

static enum synk_status run_tasks(struct synk_client *client, uint64_t tasks, double *ret_seconds,
                                  struct synk_error *error)
{
    struct synk_submission submission = {.function = "sim.noop", .count = tasks, .timeout_ms = -1};
    char *run = NULL;
    struct synk_document *body = NULL;
    double start = bench_now_s();
    enum synk_status status = synk_submit(client, &submission, &run, error);
    if (!status)
        status = synk_wait(client, run, &body, error);
    *ret_seconds = bench_now_s() - start;
    if (!status) {
        const struct synk_value *root = synk_document_root(body);
        struct synk_bytes state = synk_value_bytes(synk_value_get(root, "status"));
        if (state.size != strlen("succeeded") || memcmp(state.data, "succeeded", state.size) != 0)
            status = status_fail(error, SYNK_FAILED, "run %s ended as %.*s", run, (int)state.size,
                                 (const char *)state.data);
    }
    synk_document_free(body);
    free(run);
    return status;
}

static void print_durability(struct synk_client *client, char *ret_text, size_t size)
{
    struct synk_document *body = NULL;
    snprintf(ret_text, size, "unknown");
    if (synk_call(client, "connect", (struct synk_bytes){NULL, 0}, &body, NULL) == SYNK_OK) {
        char *text = synk_value_string_dup(synk_value_get(synk_document_root(body), "durability"));
        snprintf(ret_text, size, "%s", text ? text : "unknown");
        free(text);
    }
    synk_document_free(body);
}

enum synk_status bench_throughput(const struct bench_options *options, struct synk_error *error)
{
    struct bench_supervisor supervisor = {.directory = ""};
    struct synk_client *client = NULL;
    double floor_per_s = 0, seconds = 0;
    char durability[32] = "";
    enum synk_status status = bench_floor(options->tasks, &floor_per_s, error);
    if (!status)
        status = bench_supervisor_start(&supervisor, options->state, 1, error);
    if (!status) {
        struct synk_client_options client_options = {.directory = supervisor.directory};
        status = synk_client_open(&client_options, &client, error);
    }
    if (!status)
        status = run_tasks(client, 1000, &seconds, error); /* the runner is up, the caches warm */
    if (!status)
        status = run_tasks(client, options->tasks, &seconds, error);
    if (!status) {
        print_durability(client, durability, sizeof(durability));
        double per_s = (double)options->tasks / seconds;
        const char *format =
            options->json
                ? "{\"bench\": \"throughput\", \"workload\": \"sim.noop, one runner\", "
                  "\"durability\": \"%s\", \"tasks\": %llu, \"per_s\": %.0f, \"floor_per_s\": "
                  "%.0f, "
                  "\"ratio\": %.3f}\n"
                : "throughput: sim.noop, one runner, durability %s: %llu tasks, %.0f tasks/s; bare "
                  "ZeroMQ in the same run %.0f/s; ratio %.3f\n";
        printf(format, durability, (unsigned long long)options->tasks, per_s, floor_per_s,
               per_s / floor_per_s);
    }
    synk_client_close(client);
    bench_supervisor_stop(&supervisor);
    return status;
}
