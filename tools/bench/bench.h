/* The parts of synk-bench: one function a benchmark, the floor they stand beside, and the
 * supervisor that a benchmark starts for itself. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "synk/status.h"

struct bench_options {
    uint64_t tasks;
    const char *state; /* a store's URI; NULL = SQLite in the supervisor's directory */
    bool json;
};

/* A supervisor in a new directory below $TMPDIR, with one local slot. */
struct bench_supervisor {
    char directory[256];
    pid_t pid;
};
enum synk_status bench_supervisor_start(struct bench_supervisor *supervisor, const char *state,
                                        unsigned slots, struct synk_error *error);
/* SIGTERM, wait, remove the directory. Safe on a half-started one. */
void bench_supervisor_stop(struct bench_supervisor *supervisor);

/* Seconds on the monotonic clock. */
double bench_now_s(void);

/* `messages` of 64 bytes out and back between two processes over bare ZeroMQ ipc, 256 under way:
 * messages a second. */
enum synk_status bench_floor(uint64_t messages, double *ret_per_s, struct synk_error *error);

/* One such message at a time: the seconds of each round trip. */
enum synk_status bench_round_trips(double *ret_seconds, uint64_t count, struct synk_error *error);

/* sim.noop tasks from submit to durable outcome through one runner. */
enum synk_status bench_throughput(const struct bench_options *options, struct synk_error *error);

/* A graph in the engine alone: applied, run to its end, and loaded from records half way. */
enum synk_status bench_graph(const struct bench_options *options, struct synk_error *error);

/* One sim.noop task at a time, from submit to durable outcome: percentiles. */
enum synk_status bench_latency(const struct bench_options *options, struct synk_error *error);

#endif
