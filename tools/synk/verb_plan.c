/* synk plan: in which order a unit's workers run, as a table. */
#include <stdio.h>

#include "tools/synk/output.h"
#include "tools/synk/plan.h"
#include "tools/synk/verbs.h"

static void join(const struct synk_value *list, struct buf *out)
{
    for (size_t i = 0; i < synk_value_count(list); i++) {
        struct synk_bytes text = synk_value_bytes(synk_value_at(list, i));
        buf_append(out, ", ", i ? 2 : 0);
        buf_append(out, text.data, text.size);
    }
}

/* What is asked of parents beyond their success. */
static void join_whens(const struct synk_value *step, struct buf *out)
{
    static const char usual[] = "completed", and_more[] = "completed and ";
    const struct synk_value *parents = synk_value_get(step, "after");
    const struct synk_value *whens = synk_value_get(step, "when");
    for (size_t i = 0; i < synk_value_count(whens); i++) {
        struct synk_bytes when = synk_value_bytes(synk_value_at(whens, i));
        struct synk_bytes parent = synk_value_bytes(synk_value_at(parents, i));
        if (!when.data || text_is(when, usual))
            continue;
        if (when.size > strlen(and_more) && memcmp(when.data, and_more, strlen(and_more)) == 0)
            when =
                bytes_of((const char *)when.data + strlen(and_more), when.size - strlen(and_more));
        buf_printf(out, "%s%.*s: %.*s", out->size ? ", " : "", (int)parent.size,
                   parent.data ? (const char *)parent.data : "", (int)when.size,
                   (const char *)when.data);
    }
}

static void print_plan(const struct synk_value *plan)
{
    static const char *const headers[] = {"LEVEL", "WORKER", "FUNCTION", "AFTER", "WHEN"};
    struct table table;
    const struct synk_value *steps = synk_value_get(plan, "steps");
    struct synk_bytes mode = text_of(plan, "mode");
    fputs(style_on(STYLE_BOLD), stdout);
    print_text(text_of(plan, "unit"), 0);
    printf("%s  %.*s\n", style_off(), (int)mode.size, (const char *)mode.data);
    table_init(&table, headers, 5);
    for (size_t i = 0; i < synk_value_count(steps); i++) {
        const struct synk_value *step = synk_value_at(steps, i);
        struct buf after = {0}, when = {0};
        join(synk_value_get(step, "after"), &after);
        join_whens(step, &when);
        table_addf(&table, STYLE_NONE, "%lld",
                   (long long)synk_value_int(synk_value_get(step, "level"), 0));
        table_add(&table, text_of(step, "worker"), STYLE_NONE);
        table_add(&table, text_of(step, "function"), STYLE_DIM);
        table_add(&table, buf_bytes(&after), STYLE_NONE);
        table_add(&table, buf_bytes(&when), STYLE_NONE);
        buf_fini(&after);
        buf_fini(&when);
    }
    table_print(&table);
}

static void print_unit(void *context, const struct synk_value *plan, bool is_only)
{
    const struct cli *cli = context;
    if (cli->json && is_only)
        print_json(plan);
    else if (cli->json)
        print_json_line(plan);
    else
        print_plan(plan);
}

static int plan_unit(struct cli *cli, const char *id)
{
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    int code = cli_open(cli, &client);
    if (!code)
        code = plan_fetch(client, id, &reply);
    synk_client_close(client);
    if (!code)
        print_unit(cli, synk_document_root(reply), true);
    synk_document_free(reply);
    return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (args_parse(cli, argc, argv, NULL, 1, 1) < 0)
        return EXIT_USAGE;
    return plan_is_file(argv[0]) ? plan_file(argv[0], print_unit, cli) : plan_unit(cli, argv[0]);
}

const struct verb verb_plan = {
    .name = "plan",
    .arguments = "ID|FILE",
    .summary = "Show in which order the workers of a unit run, and on what conditions",
    .help = "  ID    a registered unit\n"
            "  FILE  a definition file; needs no supervisor, and tells what is wrong with it\n",
    .run = run,
};
