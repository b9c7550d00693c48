/* synk logs: what tasks wrote, as they wrote it. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/check.h"
#include "tools/synk/output.h"
#include "tools/synk/run_view.h"
#include "tools/synk/verbs.h"

enum { PIECE_BYTES = 256 << 10, POLL_MS = 300 };

struct reader {
    const struct cli *cli;
    struct synk_client *client;
    const char *run;
    int64_t attempt; /* 0 = the latest */
    bool follows;
};

static void print_piece(const struct reader *reader, const char *worker,
                        const struct synk_value *piece)
{
    struct synk_bytes data = synk_value_bytes(synk_value_get(piece, "data"));
    if (!reader->cli->json) {
        fwrite(data.data ? data.data : "", 1, data.size, stdout);
        fflush(stdout);
        return;
    }
    struct synk_builder *line = synk_builder_new();
    synk_builder_map(line, 3);
    synk_builder_string(line, "worker");
    synk_builder_string(line, worker);
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

static int read_log(const struct reader *reader, const char *worker)
{
    int64_t offset = 0;
    for (;;) {
        struct synk_document *piece = NULL;
        int code = run_view_log(reader->client, reader->run, worker, reader->attempt, offset,
                                PIECE_BYTES, &piece);
        if (code)
            return code;
        const struct synk_value *root = synk_document_root(piece);
        size_t size = synk_value_count(synk_value_get(root, "data"));
        int64_t at = synk_value_int(synk_value_get(root, "offset"), offset);
        int64_t end = synk_value_int(synk_value_get(root, "size"), 0);
        bool is_complete = synk_value_bool(synk_value_get(root, "complete"), true);
        if (size)
            print_piece(reader, worker ? worker : "", root);
        synk_document_free(piece);
        offset = at + (int64_t)size;
        if (size && offset < end)
            continue;
        if (!reader->follows || is_complete)
            return EXIT_DONE;
        usleep(POLL_MS * 1000);
    }
}

/* The logs of every task that was tried, each behind its name where there are several. */
static int read_all(const struct reader *reader)
{
    int64_t from = 0;
    int code = EXIT_DONE;
    while (from >= 0 && !code) {
        struct synk_document *page = NULL;
        if ((code = run_view_fetch(reader->client, reader->run, false, from, 0, &page)))
            return code;
        const struct synk_value *root = synk_document_root(page);
        const struct synk_value *tasks = synk_value_get(root, "tasks");
        bool is_run = tasks != NULL;
        bool is_only = synk_value_int(synk_value_get(root, "taskCount"), 0) == 1;
        for (size_t i = 0; i < synk_value_count(tasks) && !code; i++) {
            const struct synk_value *task = synk_value_at(tasks, i);
            if (synk_value_int(synk_value_get(task, "attempts"), 0) == 0)
                continue;
            char *worker = synk_value_string_dup(synk_value_get(task, "worker"));
            if (!is_only && !reader->cli->json && worker)
                printf("%s==> %s <==%s\n", style_on(STYLE_BOLD), worker, style_off());
            code = read_log(reader, worker);
            free(worker);
        }
        from = synk_value_int(synk_value_get(root, "next"), -1);
        synk_document_free(page);
        if (!is_run)
            return fail(EXIT_REFUSED, "'%s' is a unit, not a run: runs are UNIT#N", reader->run);
    }
    return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct reader reader = {.cli = cli};
    const struct option options[] = {
        {"follow", OPTION_FLAG, &reader.follows},
        {"attempt", OPTION_NUMBER, &reader.attempt},
        {NULL, OPTION_FLAG, NULL},
    };
    int count = args_parse(cli, argc, argv, options, 1, 2);
    if (count < 0)
        return EXIT_USAGE;
    reader.run = argv[0];
    int code = cli_open(cli, &reader.client);
    if (!code)
        code = count > 1 ? read_log(&reader, argv[1]) : read_all(&reader);
    synk_client_close(reader.client);
    return code;
}

const struct verb verb_logs = {
    .name = "logs",
    .arguments = "RUN [WORKER] [--attempt N] [--follow]",
    .summary = "Print what the tasks of a run wrote",
    .help = "  RUN          UNIT#N, or UNIT#last\n"
            "  WORKER       only this task\n"
            "  --attempt N  this attempt; default: the latest\n"
            "  --follow     go on until the task has ended\n",
    .run = run,
};
