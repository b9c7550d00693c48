/* synk logs: what tasks wrote, as they wrote it. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/check.h"
#include "proto/limits.h"
#include "proto/nearest.h"
#include "tools/synk/output.h"
#include "tools/synk/run_view.h"
#include "tools/synk/verbs.h"

enum { PIECE_BYTES = 256 << 10, POLL_MS = 300 };

struct reader {
    const struct cli *cli;
    struct synk_client *client;
    const char *run;
    const char *worker; /* NULL = all */
    int64_t attempt;    /* 0 = all */
    bool follows;
    struct findings *findings;
};

/* What was seen on the way. */
struct findings {
    bool is_mid_line; /* the last byte that was printed ended no line */
    size_t tasks;     /* those that were asked for */
    int64_t attempts; /* the most that one of them has had */
    bool has_attempt; /* one has had that which was asked for */
    struct nearest nearest;
    char like[LIMIT_ID_BYTES + 1]; /* the name nearest to the worker asked for; "" = none */
};

/* How far a reader is with the log of one task: attempt by attempt, in order. */
struct place {
    const char *worker;
    int64_t attempt, offset;
};

static void print_piece(const struct reader *reader, const struct place *place,
                        const struct synk_value *piece)
{
    struct synk_bytes data = synk_value_bytes(synk_value_get(piece, "data"));
    if (!reader->cli->json) {
        fwrite(data.data ? data.data : "", 1, data.size, stdout);
        if (data.size)
            reader->findings->is_mid_line = ((const char *)data.data)[data.size - 1] != '\n';
        fflush(stdout);
        return;
    }
    struct synk_builder *line = synk_builder_new();
    synk_builder_map(line, 3 + (place->attempt > 0));
    synk_builder_string(line, "worker");
    synk_builder_string(line, place->worker ? place->worker : "");
    if (place->attempt) {
        synk_builder_string(line, "attempt");
        synk_builder_int(line, place->attempt);
    }
    synk_builder_string(line, "offset");
    synk_builder_int(line, synk_value_int(synk_value_get(piece, "offset"), 0));
    synk_builder_string(line, "data");
    if (check_utf8(data))
        synk_builder_string_n(line, data.data ? data.data : "", data.size);
    else
        synk_builder_binary(line, data.data, data.size);
    struct synk_document *document;
    if (synk_document_decode(synk_builder_bytes(line), &document, NULL) == SYNK_OK) {
        print_json_line(synk_document_root(document));
        synk_document_free(document);
    }
    synk_builder_free(line);
}

/* Before a header: output that lacks its last newline gets one. */
static void end_line(const struct reader *reader)
{
    if (reader->findings->is_mid_line)
        putchar('\n');
    reader->findings->is_mid_line = false;
}

/* What the place's attempt has written since. */
static int read_attempt(const struct reader *reader, struct place *place)
{
    for (;;) {
        struct synk_document *piece = NULL;
        int code = run_view_log(reader->client, reader->run, place->worker, place->attempt,
                                place->offset, PIECE_BYTES, &piece);
        if (code)
            return code;
        const struct synk_value *root = synk_document_root(piece);
        size_t size = synk_value_count(synk_value_get(root, "data"));
        int64_t at = synk_value_int(synk_value_get(root, "offset"), place->offset);
        int64_t end = synk_value_int(synk_value_get(root, "size"), 0);
        bool is_complete = synk_value_bool(synk_value_get(root, "complete"), true);
        if (size)
            print_piece(reader, place, root);
        synk_document_free(piece);
        place->offset = at + (int64_t)size;
        if (size && place->offset < end)
            continue;
        if (!reader->follows || is_complete)
            return EXIT_DONE;
        usleep(POLL_MS * 1000);
    }
}

static bool is_final(const struct synk_value *task)
{
    static const char *const states[] = {"succeeded", "failed",  "timed-out",
                                         "cancelled", "skipped", "quarantined"};
    struct synk_bytes state = text_of(task, "state");
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (text_is(state, states[i]))
            return true;
    return false;
}

/* From the place on to the task's latest attempt, a header before each where there are several. */
static int read_attempts(const struct reader *reader, struct place *place, int64_t attempts)
{
    int code = place->attempt ? read_attempt(reader, place) : EXIT_DONE;
    while (!code && place->attempt < attempts) {
        place->attempt++;
        place->offset = 0;
        if (attempts > 1 && !reader->cli->json) {
            end_line(reader);
            printf("%s== attempt %lld%s\n", style_on(STYLE_DIM), (long long)place->attempt,
                   style_off());
        }
        code = read_attempt(reader, place);
    }
    return code;
}

/* One task: the attempt that was asked for, or all of them; followed until it has ended. */
static int read_task(const struct reader *reader, const struct synk_value *task, int64_t index)
{
    char *worker = synk_value_string_dup(synk_value_get(task, "worker"));
    struct place place = {.worker = worker, .attempt = reader->attempt};
    struct synk_document *page = NULL;
    int code;
    if (reader->attempt) {
        code = read_attempt(reader, &place);
        free(worker);
        return code;
    }
    for (;;) {
        bool has_ended = is_final(task);
        code = read_attempts(reader, &place, synk_value_int(synk_value_get(task, "attempts"), 0));
        if (code || has_ended || !reader->follows)
            break;
        usleep(POLL_MS * 1000);
        synk_document_free(page);
        page = NULL;
        if ((code = run_view_fetch(reader->client, reader->run, false, index, 1, &page)))
            break;
        task = synk_value_at(synk_value_get(synk_document_root(page), "tasks"), 0);
    }
    synk_document_free(page);
    free(worker);
    return code;
}

/* Whether it has had the attempt that is asked for, or may have it yet. */
static bool has_attempt(const struct reader *reader, const struct synk_value *task)
{
    struct findings *findings = reader->findings;
    int64_t attempts = synk_value_int(synk_value_get(task, "attempts"), 0);
    findings->attempts = attempts > findings->attempts ? attempts : findings->attempts;
    bool is_there = reader->attempt <= attempts || (reader->follows && !is_final(task));
    findings->has_attempt = findings->has_attempt || is_there;
    return is_there;
}

/* Keeps the name, if none was nearer to what was asked for: the page goes. */
static void try_name(const struct reader *reader, struct synk_bytes worker)
{
    struct findings *findings = reader->findings;
    unsigned before = findings->nearest.distance;
    nearest_try(&findings->nearest, worker);
    if (findings->nearest.distance < before)
        snprintf(findings->like, sizeof(findings->like), "%.*s", (int)worker.size,
                 (const char *)worker.data);
}

/* Those tasks of a page that are asked for. */
static int read_page(const struct reader *reader, const struct synk_value *page, int64_t from)
{
    const struct synk_value *tasks = synk_value_get(page, "tasks");
    bool is_only = synk_value_int(synk_value_get(page, "taskCount"), 0) == 1 || reader->worker;
    int code = EXIT_DONE;
    for (size_t i = 0; i < synk_value_count(tasks) && !code; i++) {
        const struct synk_value *task = synk_value_at(tasks, i);
        struct synk_bytes worker = text_of(task, "worker");
        if (reader->worker && !text_is(worker, reader->worker)) {
            try_name(reader, worker);
            continue;
        }
        reader->findings->tasks++;
        if (!has_attempt(reader, task))
            continue;
        /* An attempt that failed before it was sent, by a template say, has no host and no log. */
        bool is_begun = synk_value_int(synk_value_get(task, "attempts"), 0) > 0 &&
                        (text_of(task, "host").size || !is_final(task));
        if (!is_begun && !(is_only && reader->follows)) {
            if (is_only)
                return fail(EXIT_REFUSED, "there is no log: it has not started");
            continue;
        }
        if (!is_only && !reader->cli->json && worker.size) {
            end_line(reader);
            printf("%s==> %.*s <==%s\n", style_on(STYLE_BOLD), (int)worker.size,
                   (const char *)worker.data, style_off());
        }
        code = read_task(reader, task, from + (int64_t)i);
    }
    return code;
}

/* What there was not, of what was asked for. */
static int check_found(const struct reader *reader)
{
    const struct findings *findings = reader->findings;
    if (reader->worker && !findings->tasks)
        return fail(EXIT_REFUSED, "%s has no worker '%s'%s%s%s", reader->run, reader->worker,
                    findings->like[0] ? " (did you mean '" : "", findings->like,
                    findings->like[0] ? "'?)" : "");
    if (!reader->attempt || findings->has_attempt)
        return EXIT_DONE;
    if (!findings->attempts)
        return fail(EXIT_REFUSED, "there is no log: it has not started");
    return fail(EXIT_REFUSED, "there is no attempt %lld of %s%s%s: the last is %lld",
                (long long)reader->attempt, reader->run, reader->worker ? " " : "",
                reader->worker ? reader->worker : "", (long long)findings->attempts);
}

/* The logs of every task that was tried, each behind its name where there are several. */
static int read_run(const struct reader *reader)
{
    int64_t from = 0;
    int code = EXIT_DONE;
    while (from >= 0 && !code) {
        struct synk_document *page = NULL;
        if ((code = run_view_fetch(reader->client, reader->run, false, from, 0, &page)))
            return code;
        const struct synk_value *root = synk_document_root(page);
        bool is_run = synk_value_get(root, "tasks") != NULL;
        if (is_run)
            code = read_page(reader, root, from);
        from = synk_value_int(synk_value_get(root, "next"), -1);
        synk_document_free(page);
        if (!is_run)
            return fail(EXIT_REFUSED, "'%s' is a unit, not a run: runs are UNIT#N", reader->run);
        if (reader->worker && reader->findings->tasks)
            break;
    }
    return code ? code : check_found(reader);
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct findings findings = {0};
    struct reader reader = {.cli = cli, .findings = &findings};
    const struct option options[] = {
        {"follow", OPTION_FLAG, &reader.follows},
        {"attempt", OPTION_NUMBER, &reader.attempt},
        {NULL, OPTION_FLAG, NULL},
    };
    int count = args_parse(cli, argc, argv, options, 1, 2);
    if (count < 0)
        return EXIT_USAGE;
    reader.run = argv[0];
    reader.worker = count > 1 ? argv[1] : NULL;
    findings.nearest = nearest_of(bytes_str(reader.worker ? reader.worker : ""));
    int code = cli_open(cli, &reader.client);
    if (!code)
        code = read_run(&reader);
    synk_client_close(reader.client);
    return code;
}

const struct verb verb_logs = {
    .name = "logs",
    .arguments = "RUN [WORKER] [--attempt N] [--follow]",
    .summary = "Print what the tasks of a run wrote",
    .help = "  RUN          UNIT#N, or UNIT#last\n"
            "  WORKER       only this task\n"
            "  --attempt N  this attempt only; default: all, one after the other\n"
            "  --follow     go on until the tasks have ended\n",
    .run = run,
};
