/* synk-bench: measures Synchronik beside the floor of the same run. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench.h"

static const struct bench {
    const char *name, *text;
    enum synk_status (*run)(const struct bench_options *, struct synk_error *);
    uint64_t tasks; /* where --tasks is not given */
} benches[] = {
    {"throughput", "no-op tasks: submit, forked runner, durable outcome, events", bench_throughput,
     300000},
    {"graph", "a large graph in the engine alone: apply, run, load from records", bench_graph,
     1000000},
    {"latency", "one task at a time: submit, forked runner, durable outcome", bench_latency, 2000},
};

static int usage(FILE *out, int status)
{
    fprintf(out, "usage: synk-bench BENCH [--tasks N] [--state URI] [--json]\n\n");
    for (size_t i = 0; i < sizeof(benches) / sizeof(*benches); i++)
        fprintf(out, "  %-12s %s (%llu tasks)\n", benches[i].name, benches[i].text,
                (unsigned long long)benches[i].tasks);
    fprintf(
        out,
        "\nThroughput and latency start a supervisor of their own in a new directory below "
        "$TMPDIR\n"
        "(its store: --state), and print their figure beside the floor measured in the same run.\n"
        "What is measured, and how: docs/performance.md.\n");
    return status;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"tasks", required_argument, NULL, 't'},
                                          {"state", required_argument, NULL, 's'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct bench_options options = {0};
    for (int option; (option = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        char *end;
        switch (option) {
        case 't':
            options.tasks = strtoull(optarg, &end, 10);
            if (*end || !options.tasks || options.tasks > 2000000) {
                fprintf(stderr, "synk-bench: --tasks takes a number from 1 to 2000000\n");
                return 2;
            }
            break;
        case 's':
            options.state = optarg;
            break;
        case 'j':
            options.json = true;
            break;
        case 'h':
            return usage(stdout, 0);
        default:
            return usage(stderr, 2);
        }
    }
    if (optind + 1 != argc)
        return usage(stderr, 2);
    for (size_t i = 0; i < sizeof(benches) / sizeof(*benches); i++) {
        if (strcmp(benches[i].name, argv[optind]) != 0)
            continue;
        struct synk_error error = {SYNK_OK, ""};
        if (!options.tasks)
            options.tasks = benches[i].tasks;
        if (benches[i].run(&options, &error) == SYNK_OK)
            return 0;
        fprintf(stderr, "synk-bench: %s: %s\n", argv[optind], error.text);
        return 1;
    }
    fprintf(stderr, "synk-bench: no benchmark named '%s'\n", argv[optind]);
    return usage(stderr, 2);
}
