/* synkd state copy FROM TO, synkd state check URI. */
#include "supervisor/state.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/expression.h"
#include "supervisor/store/store_copy.h"

enum { EXIT_FAULTY = 1, EXIT_WRONG_USAGE = 2 };

static void print_report(const struct store_report *report)
{
    const struct {
        const char *name;
        uint64_t count;
    } lines[] = {
        {"units", report->units},     {"definitions", report->definitions},
        {"workers", report->workers}, {"hosts", report->hosts},
        {"keys", report->keys},       {"runs", report->runs},
        {"tasks", report->tasks},     {"attempts", report->attempts},
        {"events", report->events},
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
        printf("%-12s %" PRIu64 "\n", lines[i].name, lines[i].count);
    printf("%-12s %" PRIu32 "\n%-12s %" PRIu64 "\n", "epoch", report->epoch, "last event",
           report->last_event);
}

static int tell_faults(const struct store_report *report)
{
    if (report->bad)
        printf("%" PRIu64 " records do not decode\n", report->bad);
    if (report->left_out)
        printf("%" PRIu64 " records would be left out at a start: %s\n", report->left_out,
               report->first_bad);
    return report->bad || report->left_out ? EXIT_FAULTY : 0;
}

static int copy(const char *from, const char *to)
{
    struct store_report report;
    struct synk_error error;
    if (store_copy(from, to, &report, &error) != SYNK_OK) {
        fprintf(stderr, "synkd: %s\n", error.text);
        return EXIT_FAULTY;
    }
    print_report(&report);
    return tell_faults(&report);
}

static int check(const char *uri)
{
    struct store_report report;
    struct synk_error error;
    struct expression *expression = expression_new();
    struct expression_checker checker = expression_checker(expression);
    enum synk_status status = store_check(uri, &checker, &report, &error);
    expression_free(expression);
    if (status != SYNK_OK) {
        fprintf(stderr, "synkd: %s\n", error.text);
        return EXIT_FAULTY;
    }
    print_report(&report);
    int code = tell_faults(&report);
    printf("%s\n", code ? "faulty" : "sound");
    return code;
}

int state_main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    if (argc == 4 && strcmp(argv[1], "copy") == 0)
        return copy(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "check") == 0)
        return check(argv[2]);
    fprintf(stderr, "usage: synkd state copy FROM TO | synkd state check URI\n");
    return EXIT_WRONG_USAGE;
}
