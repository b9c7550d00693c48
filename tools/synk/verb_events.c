/* synk events: the log of events, from any number on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/nearest.h"
#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

struct reader {
    const struct cli *cli;
    struct text_list types;
    const char *unit, *run;
    int64_t since;
    size_t printed;
};

static void print_gap(uint64_t first, uint64_t last)
{
    fail(EXIT_DONE, "events %llu to %llu are no longer kept", (unsigned long long)first,
         (unsigned long long)last);
}

/* Behind `used` columns of the line; cut to what is left of it, and left out where that is nothing.
 */
static size_t print_part(struct synk_bytes text, enum style style, size_t used)
{
    if (!text.size || (output_is_terminal() && used + 10 >= (size_t)output_width()))
        return used;
    printf("  %s", style_on(style));
    used += 2 + print_text(text, output_room(used + 2));
    fputs(style ? style_off() : "", stdout);
    return used;
}

static void print_detail(const struct synk_value *event, size_t used)
{
    const char *const texts[] = {"milestone", "error", "by"};
    int64_t attempt = synk_value_int(synk_value_get(event, "attempt"), 0);
    /* The mark is one column and three bytes. */
    if (attempt > 1)
        used += (size_t)printf("  ↻%lld", (long long)attempt) - 2;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        used = print_part(text_of(event, texts[i]), STYLE_NONE, used);
    const struct synk_value *payload = synk_value_get(event, "payload");
    if (synk_value_kind(payload) != SYNK_NULL) {
        char *json = synk_value_json_dup(payload);
        print_part(bytes_str(json), STYLE_DIM, used);
        free(json);
    }
}

static enum style style_of_type(struct synk_bytes type)
{
    if (text_is(type, "complete"))
        return STYLE_GOOD;
    if (text_is(type, "error") || text_is(type, "stale"))
        return STYLE_BAD;
    if (text_is(type, "retry") || text_is(type, "cancel"))
        return STYLE_WAIT;
    return text_is(type, "start") ? STYLE_BUSY : STYLE_NONE;
}

static void print_event(struct reader *reader, const struct synk_value *event)
{
    char time[32];
    reader->printed++;
    if (reader->cli->json) {
        print_json_line(event);
        return;
    }
    struct synk_bytes type = text_of(event, "type"), run = text_of(event, "run");
    size_t used =
        (size_t)printf("%7lld  %s  ", (long long)synk_value_int(synk_value_get(event, "seq"), 0),
                       time_text(synk_value_int(synk_value_get(event, "at"), 0), time));
    fputs(style_on(style_of_type(type)), stdout);
    used += (size_t)printf("%-9.*s", (int)type.size, (const char *)type.data);
    printf("%s  ", style_off());
    used += 2 + print_text(run.size ? run : text_of(event, "unit"), 0);
    if (text_of(event, "worker").size) {
        fputs("  ", stdout);
        used += 2 + print_text(text_of(event, "worker"), 0);
    }
    print_detail(event, used);
    putchar('\n');
}

static void on_event(void *context, const struct synk_value *event, uint64_t gap_first,
                     uint64_t gap_last)
{
    if (event)
        print_event(context, event);
    else
        print_gap(gap_first, gap_last);
}

/* Refuses a unit that there is not, and of which no events are kept. */
static int check_unit(const struct reader *reader, struct synk_client *client)
{
    struct synk_document *reply = NULL;
    struct buf body = {0};
    pack_map(&body, 1);
    pack_key(&body, "id");
    pack_cstr(&body, reader->unit);
    int code = cli_call(client, "show", &body, &reply);
    synk_document_free(reply);
    return code;
}

/* Until a signal ends the program. */
static int follow(struct reader *reader, struct synk_client *client)
{
    struct synk_filter filter = {.types = reader->types.items,
                                 .type_count = reader->types.count,
                                 .unit = reader->unit,
                                 .run = reader->run};
    struct synk_subscription *subscription = NULL;
    struct synk_error error;
    uint64_t from = reader->since >= 0 ? (uint64_t)reader->since : UINT64_MAX;
    signals_catch();
    /* Its unit may come yet: this only tells. */
    if (reader->unit && check_unit(reader, client) == EXIT_NO_SUPERVISOR)
        return EXIT_NO_SUPERVISOR;
    if (synk_subscribe(client, from, &filter, on_event, reader, &subscription, &error) !=
        SYNK_OK)
        return fail_error(&error);
    while (!signals_count()) {
        synk_client_wait(client, 500);
        fflush(stdout);
    }
    synk_unsubscribe(subscription);
    return EXIT_DONE;
}

static int fetch(const struct reader *reader, struct synk_client *client, uint64_t from,
                 struct synk_document **ret_page)
{
    struct buf body = {0};
    pack_map(&body, 2 + (reader->types.count > 0) + (reader->unit != NULL) + (reader->run != NULL));
    pack_key(&body, "from");
    pack_uint(&body, from);
    pack_key(&body, "limit");
    pack_uint(&body, LIMIT_PAGE_ROWS);
    if (reader->types.count) {
        pack_key(&body, "types");
        pack_array(&body, reader->types.count);
        for (size_t i = 0; i < reader->types.count; i++)
            pack_cstr(&body, reader->types.items[i]);
    }
    if (reader->unit) {
        pack_key(&body, "unit");
        pack_cstr(&body, reader->unit);
    }
    if (reader->run) {
        pack_key(&body, "run");
        pack_cstr(&body, reader->run);
    }
    return cli_call(client, "fetch", &body, ret_page);
}

/* Up to the head as it was at the first page: what comes later is for those who follow. */
static int print_kept(struct reader *reader, struct synk_client *client)
{
    uint64_t from = reader->since > 0 ? (uint64_t)reader->since : 0, head = UINT64_MAX;
    while (from < head) {
        struct synk_document *page = NULL;
        int code = fetch(reader, client, from, &page);
        if (code)
            return code;
        const struct synk_value *root = synk_document_root(page);
        uint64_t first = (uint64_t)synk_value_int(synk_value_get(root, "first"), 0);
        uint64_t next = (uint64_t)synk_value_int(synk_value_get(root, "next"), 0);
        if (head == UINT64_MAX)
            head = (uint64_t)synk_value_int(synk_value_get(root, "head"), 0);
        if (first > from + 1 && from > 0)
            print_gap(from + 1, first - 1);
        const struct synk_value *events = synk_value_get(root, "events");
        for (size_t i = 0; i < synk_value_count(events); i++)
            print_event(reader, synk_value_at(events, i));
        synk_document_free(page);
        if (next <= from)
            break;
        from = next;
    }
    /* Those of a unit that was removed are found. */
    return reader->unit && !reader->printed ? check_unit(reader, client) : EXIT_DONE;
}

/* A type that there is not would be waited for in silence. */
static bool types_are_known(const struct text_list *types)
{
    static const char *const known[] = {"start",   "complete", "error", "milestone",
                                        "updated", "run",      "skip",  "retry",
                                        "cancel",  "host",     "stale"};
    const size_t count = sizeof(known) / sizeof(known[0]);
    for (size_t i = 0; i < types->count; i++) {
        size_t at = 0;
        while (at < count && strcmp(types->items[i], known[at]) != 0)
            at++;
        if (at == count) {
            struct nearest nearest = nearest_of(bytes_str(types->items[i]));
            for (at = 0; at < count; at++)
                nearest_try(&nearest, bytes_str(known[at]));
            fail(EXIT_USAGE, "there is no type of events '%s'%s%s%s: see 'synk events --help'",
                 types->items[i], nearest.found.size ? " (did you mean '" : "",
                 nearest.found.size ? (const char *)nearest.found.data : "",
                 nearest.found.size ? "'?)" : "");
            return false;
        }
    }
    return true;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct reader reader = {.cli = cli, .since = -1};
    bool follows = false;
    const struct option options[] = {
        {"type", OPTION_LIST, &reader.types}, {"unit", OPTION_TEXT, &reader.unit},
        {"run", OPTION_TEXT, &reader.run},    {"since", OPTION_NUMBER, &reader.since},
        {"follow", OPTION_FLAG, &follows},    {NULL, OPTION_FLAG, NULL},
    };
    struct synk_client *client = NULL;
    int code = EXIT_USAGE;
    if (args_parse(cli, argc, argv, options, 0, 0) < 0 || !types_are_known(&reader.types))
        goto out;
    code = cli_open(cli, &client);
    if (!code)
        code = follows ? follow(&reader, client) : print_kept(&reader, client);
    synk_client_close(client);
out:
    free(reader.types.items);
    return code;
}

const struct verb verb_events = {
    .name = "events",
    .arguments = "[--type T]… [--unit U] [--run RUN] [--since SEQ] [--follow]",
    .summary = "Print what happened, in order",
    .help =
        "  --type T     start complete error milestone updated run skip retry cancel host stale;\n"
        "               may be repeated, or with commas\n"
        "  --unit U     only of this unit\n"
        "  --run RUN    only of this run (UNIT#N)\n"
        "  --since SEQ  those after this number; default: all that are kept, or with --follow\n"
        "               those from now on\n"
        "  --follow     go on until Ctrl-C\n\n"
        "With --json, an object a line. Numbers rise by one, so nothing goes missing unseen.\n",
    .run = run,
};
