/* synk explain: why is this not running, and why did it end as it did? */
#include <stdio.h>
#include <string.h>

#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

static bool is_same(const struct synk_value *a, const struct synk_value *b)
{
    return bytes_equal(text_of(a, "state"), text_of(b, "state")) &&
           bytes_equal(text_of(a, "text"), text_of(b, "text"));
}

/* How many tasks from `from` on are where they are for the same reason. */
static size_t count_same(const struct synk_value *tasks, size_t from)
{
    size_t count = 1;
    while (from + count < synk_value_count(tasks) &&
           is_same(synk_value_at(tasks, from), synk_value_at(tasks, from + count)))
        count++;
    return count;
}

static void print_tasks(const struct synk_value *reply)
{
    const struct synk_value *tasks = synk_value_get(reply, "tasks");
    struct synk_bytes status = text_of(reply, "status");
    fputs(style_on(STYLE_BOLD), stdout);
    print_text(text_of(reply, "run"), 0);
    printf("%s  %s%.*s%s\n", style_off(), style_on(style_of(status)), (int)status.size,
           (const char *)status.data, style_off());
    /* Where tasks are told of, the run's reason is theirs. */
    if (synk_value_count(tasks) == 0 && text_of(reply, "error").size)
        print_block(text_of(reply, "error"), 4, output_cut((size_t)output_width()));
    for (size_t i = 0, same; i < synk_value_count(tasks); i += same) {
        same = count_same(tasks, i);
        const struct synk_value *task = synk_value_at(tasks, i);
        struct synk_bytes state = text_of(task, "state");
        printf("%s%s%s ", style_on(style_of(state)), mark_of(state), style_off());
        print_text(text_of(task, "worker"), 0);
        if (same > 1)
            printf(" and %zu more", same - 1);
        printf("  %s%.*s%s\n", style_on(style_of(state)), (int)state.size, (const char *)state.data,
               style_off());
        print_block(text_of(task, "text"), 4, output_cut((size_t)output_width()));
    }
}

static void print_unit(const struct synk_value *reply)
{
    struct synk_bytes status = text_of(reply, "status");
    fputs(style_on(STYLE_BOLD), stdout);
    print_text(text_of(reply, "unit"), 0);
    printf("%s  %s%.*s%s\n", style_off(), style_on(style_of(status)), (int)status.size,
           (const char *)status.data, style_off());
    print_block(text_of(reply, "text"), 4, output_cut((size_t)output_width()));
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    struct buf body = {0};
    int count = args_parse(cli, argc, argv, NULL, 1, 2);
    if (count < 0)
        return EXIT_USAGE;
    /* Without a number it is a unit, or else the name of a submission to the pool. */
    bool may_be_unit = count == 1 && !strchr(argv[0], '#');
    pack_map(&body, (size_t)count + may_be_unit);
    pack_key(&body, "run");
    pack_cstr(&body, argv[0]);
    if (may_be_unit) {
        pack_key(&body, "unit");
        pack_cstr(&body, argv[0]);
    }
    if (count > 1) {
        pack_key(&body, "worker");
        pack_cstr(&body, argv[1]);
    }
    int code = cli_open(cli, &client);
    if (!code)
        code = cli_call(client, "explain", &body, &reply);
    buf_fini(&body);
    synk_client_close(client);
    if (!code && cli->json)
        print_json(synk_document_root(reply));
    else if (!code && text_of(synk_document_root(reply), "unit").size)
        print_unit(synk_document_root(reply));
    else if (!code)
        print_tasks(synk_document_root(reply));
    synk_document_free(reply);
    return code;
}

const struct verb verb_explain = {
    .name = "explain",
    .arguments = "RUN [WORKER] | UNIT",
    .summary = "Tell why a run, one of its tasks, or a unit is where it is",
    .help = "  RUN   UNIT#N, or UNIT#last\n"
            "  UNIT  why it does not run: disabled, paused, due later, queued\n",
    .run = run,
};
