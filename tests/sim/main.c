/*
 * synk-sim: many seeds, each a world of its own. Exit status 0: every invariant held in every seed;
 * 1: one did not, and the command that replays it was printed; 2: wrong usage.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/sim/sim.h"

/* AddressSanitizer calls it before it reports. */
void __asan_on_error(void);

enum twice { TWICE_SOME, TWICE_ALL, TWICE_NONE };
static struct options {
    uint64_t seeds, from;
    bool verbose;
    enum twice twice;
    enum mutation mutation;
    const char *mutation_name;
} options = {.seeds = 100, .from = 1};

static char replay[128];

static void say_seed(void)
{
    ssize_t written = write(STDERR_FILENO, replay, strlen(replay));
    (void)written;
}

void __asan_on_error(void)
{
    say_seed();
}

static void aborted(int number)
{
    say_seed();
    signal(number, SIG_DFL);
    raise(number);
}

static int usage(void)
{
    fputs(
        "usage: synk-sim [--seeds N] [--from S] [--verbose] [--twice all|some|none]\n"
        "                [--mutate NAME]\n"
        "Runs N seeds from S on (100 from 1). --verbose prints what happens. With `some`, the\n"
        "default, one seed of 16 runs twice and must have the same effects both times.\n"
        "--mutate puts a known bug on, and stops at the first seed that catches it: early-release\n"
        "early-ack forget-keys forget-hosts forget-tasks same-epoch torn-batch event-gap.\n",
        stderr);
    return 2;
}

static bool read_number(const char *text, uint64_t *ret_number)
{
    char *end;
    if (!text || *text < '0' || *text > '9')
        return false;
    *ret_number = strtoull(text, &end, 10);
    return !*end;
}

static bool read_twice(const char *text, enum twice *ret_twice)
{
    static const char *const names[] = {"some", "all", "none"};
    for (int i = 0; text && i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *ret_twice = (enum twice)i;
            return true;
        }
    return false;
}

static bool read_mutation(const char *text, enum mutation *ret_mutation)
{
    static const char *const names[] = {
#define MUTATION_NAME(name, text) text,
        MUTATION_LIST(MUTATION_NAME)
#undef MUTATION_NAME
    };
    for (size_t i = 0; text && i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(text, names[i]) == 0) {
            *ret_mutation = (enum mutation)i;
            return true;
        }
    return false;
}

static bool read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool known = true;
        if (strcmp(name, "--verbose") == 0)
            options.verbose = true;
        else if (strcmp(name, "--seeds") == 0)
            known = read_number(value, &options.seeds), i++;
        else if (strcmp(name, "--from") == 0)
            known = read_number(value, &options.from), i++;
        else if (strcmp(name, "--twice") == 0)
            known = read_twice(value, &options.twice), i++;
        else if (strcmp(name, "--mutate") == 0)
            known = read_mutation(value, &options.mutation), options.mutation_name = value, i++;
        else
            known = false;
        if (!known)
            return false;
    }
    return true;
}

static bool runs_twice(uint64_t seed)
{
    return options.twice == TWICE_ALL || (options.twice == TWICE_SOME && seed % 16 == 0);
}

/* The same seed must have the same effects. */
static bool compare_traces(const struct buf *first, const struct buf *second, char *failure)
{
    if (bytes_equal(buf_bytes(first), buf_bytes(second)))
        return true;
    size_t at = 0, line = 1;
    while (at < first->size && at < second->size && first->data[at] == second->data[at])
        line += first->data[at++] == '\n';
    snprintf(failure, 1024, "two runs differ in line %zu of their effects", line);
    return false;
}

static bool run_seed(uint64_t seed, struct totals *totals)
{
    char failure[1024];
    struct buf first = {0}, second = {0};
    snprintf(replay, sizeof(replay),
             "seed %" PRIu64 " aborted; replay: synk-sim --from %" PRIu64 " --seeds 1 --verbose\n",
             seed, seed);
    bool twice = runs_twice(seed);
    bool held =
        world_run(seed, options.mutation, options.verbose, twice ? &first : NULL, totals, failure);
    if (held && twice) {
        struct totals ignored = {0};
        held = world_run(seed, options.mutation, false, &second, &ignored, failure) &&
               compare_traces(&first, &second, failure);
    }
    if (!held)
        printf("seed %" PRIu64 ": %s\n  replay: synk-sim --from %" PRIu64
               " --seeds 1 --verbose%s%s\n",
               seed, failure, seed, options.mutation ? " --mutate " : "",
               options.mutation ? options.mutation_name : "");
    buf_fini(&first);
    buf_fini(&second);
    return held;
}

static void print_totals(const struct totals *totals)
{
    printf("%" PRIu64 " seeds, %" PRIu64 " failed\n", totals->seeds, totals->failed);
    printf("%" PRIu64 " runs, %" PRIu64 " tasks, %" PRIu64 " attempts, %" PRIu64
           " executed again after a loss, %" PRIu64 " events, %.1f simulated hours\n",
           totals->runs, totals->tasks, totals->attempts, totals->reexecutions, totals->events,
           (double)totals->simulated_ms / 3600000);
    printf("commits: %" PRIu64 ", torn %" PRIu64 ", of unknown outcome %" PRIu64
           ", refused %" PRIu64 "\n",
           totals->commits, totals->torn_commits, totals->unknown_commits, totals->refused_commits);
    printf("supervisor: %" PRIu64 " crashes, %" PRIu64 " stops, %" PRIu64 " shutdowns, %" PRIu64
           " clock jumps\n",
           totals->crashes, totals->stops, totals->shutdowns, totals->clock_jumps);
    printf("hosts: %" PRIu64 " crashes, %" PRIu64 " spools damaged\n", totals->host_crashes,
           totals->spools_lost);
    printf("local host: %" PRIu64 " ends seen; changes: %" PRIu64 ", refused %" PRIu64 "\n",
           totals->local_ends, totals->changes, totals->refused_changes);
    printf("network: %" PRIu64 " cuts, %" PRIu64 " resets, %" PRIu64 " messages lost, %" PRIu64
           " repeated\n",
           totals->cuts, totals->resets, totals->lost_messages, totals->repeated_messages);
    printf("clients: %" PRIu64 " requests, sent again %" PRIu64 " times\n", totals->requests,
           totals->repeated_requests);
}

int main(int argc, char **argv)
{
    struct totals totals = {0};
    if (!read_options(argc, argv))
        return usage();
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGABRT, aborted);
    signal(SIGSEGV, aborted);
    for (uint64_t i = 0; i < options.seeds && !(options.mutation && totals.failed); i++) {
        totals.seeds++;
        totals.failed += !run_seed(options.from + i, &totals);
    }
    print_totals(&totals);
    return totals.failed ? 1 : 0;
}
