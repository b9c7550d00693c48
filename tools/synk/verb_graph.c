/* synk graph: the graph of a unit or of a file's units, or that of a run with what became of it. */
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/value.h"
#include "tools/synk/graph.h"
#include "tools/synk/output.h"
#include "tools/synk/plan.h"
#include "tools/synk/run_view.h"
#include "tools/synk/verbs.h"

struct graph_verb {
    const struct cli *cli;
    bool is_dot, is_utf8;
    int code; /* of the first failure */
};

static bool locale_is_utf8(void)
{
    setlocale(LC_CTYPE, "");
    bool is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    setlocale(LC_CTYPE, "C");
    return is_utf8;
}

/* The plan again, each step with the state of its task. */
static int print_as_json(const struct graph *graph, const struct synk_value *plan,
                         const struct synk_value *run, bool is_only)
{
    struct buf out = {0};
    struct synk_document *document = NULL;
    struct synk_error error;
    const struct synk_value *steps = synk_value_get(plan, "steps");
    pack_map(&out, 3 + (run ? 2 : 0));
    if (run) {
        pack_key(&out, "run");
        pack_string(&out, text_of(run, "run"));
        pack_key(&out, "status");
        pack_string(&out, text_of(run, "status"));
    }
    pack_key(&out, "unit");
    pack_string(&out, graph->unit);
    pack_key(&out, "mode");
    pack_string(&out, graph->mode);
    pack_key(&out, "steps");
    pack_array(&out, graph->node_count);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct synk_value *step = synk_value_at(steps, i);
        pack_map(&out, synk_value_count(step) + (run != NULL));
        for (size_t k = 0; k < synk_value_count(step); k++) {
            pack_string(&out, synk_value_key_at(step, k));
            value_encode(synk_value_at(step, k), &out);
        }
        if (run) {
            pack_key(&out, "state");
            pack_string(&out, graph->nodes[i].state);
        }
    }
    /* Our own bytes: the bounds on messages do not hold for them. */
    const struct check_limits limits = {16, UINT32_MAX};
    enum synk_status status = value_decode(buf_bytes(&out), &limits, &document, &error);
    if (!status && is_only)
        print_json(synk_document_root(document));
    else if (!status)
        print_json_line(synk_document_root(document));
    synk_document_free(document);
    buf_fini(&out);
    return status ? fail_error(&error) : EXIT_DONE;
}

static void print_head(const struct graph *graph, const struct synk_value *run)
{
    uint32_t count = graph->node_count, levels = count ? graph->nodes[count - 1].level + 1 : 0;
    char duration[32];
    fputs(style_on(STYLE_BOLD), stdout);
    print_text(run ? text_of(run, "run") : graph->unit, 0);
    fputs(style_off(), stdout);
    if (run) {
        struct synk_bytes status = text_of(run, "status");
        int64_t duration_ms = synk_value_int(synk_value_get(run, "durationMs"), -1);
        printf("  %s%.*s%s", style_on(style_of(status)), (int)status.size,
               (const char *)status.data, style_off());
        if (duration_ms >= 0)
            printf("  %s", duration_text(duration_ms, duration));
    }
    printf("  %.*s, %u worker%s", (int)graph->mode.size, (const char *)graph->mode.data, count,
           count == 1 ? "" : "s");
    if (levels > 1)
        printf(" in %u %s", levels, text_is(graph->mode, "graph") ? "levels" : "steps");
    putchar('\n');
}

static int show(struct graph_verb *verb, const struct graph *graph, const struct synk_value *plan,
                const struct synk_value *run, bool is_only)
{
    if (verb->is_dot) {
        struct buf text = {0};
        graph_dot(graph, &text);
        fwrite(text.data, 1, text.size, stdout);
        buf_fini(&text);
        return EXIT_DONE;
    }
    if (verb->cli->json)
        return print_as_json(graph, plan, run, is_only);
    print_head(graph, run);
    graph_draw(graph, (size_t)output_width(), verb->is_utf8);
    return EXIT_DONE;
}

static void show_plan(void *context, const struct synk_value *plan, bool is_only)
{
    struct graph_verb *verb = context;
    struct graph graph;
    struct synk_error error;
    int code = graph_init(&graph, plan, &error) == SYNK_OK ? show(verb, &graph, plan, NULL, is_only)
                                                           : fail_error(&error);
    graph_fini(&graph);
    verb->code = verb->code ? verb->code : code;
}

/* Runs ------------------------------------------------------------------------------------------
 */

/* Takes the states of a page's tasks over; strings go into the arena. Counts those that the plan
 * does not have. */
static uint32_t take_states(struct graph *graph, const uint32_t *by_name,
                            const struct synk_value *tasks, struct arena *arena)
{
    uint32_t unknown = 0;
    for (size_t i = 0; i < synk_value_count(tasks); i++) {
        const struct synk_value *task = synk_value_at(tasks, i);
        uint32_t node = graph_find(graph, by_name, text_of(task, "worker"));
        if (node == GRAPH_NO_NODE) {
            unknown++;
            continue;
        }
        graph->nodes[node].state = arena_copy(arena, text_of(task, "state"));
        graph->nodes[node].duration_ms = synk_value_int(synk_value_get(task, "durationMs"), -1);
    }
    return unknown;
}

/* The states of all pages. `page` is the first; it stays the caller's. */
static int take_run(struct synk_client *client, const struct synk_value *page, const char *run,
                    struct graph *graph, struct arena *arena)
{
    uint32_t *by_name = graph_by_name(graph), unknown = 0;
    struct synk_document *document = NULL;
    int code = EXIT_DONE;
    while (page && !code) {
        unknown += take_states(graph, by_name, synk_value_get(page, "tasks"), arena);
        int64_t next = synk_value_int(synk_value_get(page, "next"), -1);
        synk_document_free(document);
        document = NULL;
        if (next >= 0)
            code = run_view_fetch(client, run, false, next, 0, &document);
        page = synk_document_root(document);
    }
    synk_document_free(document);
    free(by_name);
    if (unknown && !code)
        fail(EXIT_DONE, "the definition has changed since: %u tasks of the run are not in it",
             unknown);
    return code;
}

static int show_run(struct graph_verb *verb, struct synk_client *client, const char *name)
{
    struct synk_document *page = NULL, *plan = NULL;
    struct graph graph = {0};
    struct arena arena = {0};
    struct synk_error error;
    int code = run_view_fetch(client, name, false, 0, 0, &page);
    const struct synk_value *run = synk_document_root(page);
    char *label = synk_value_string_dup(synk_value_get(run, "run"));
    char *unit = synk_value_string_dup(synk_value_get(run, "unit"));
    if (!code && unit && strcmp(unit, "pool") == 0)
        code = fail(EXIT_REFUSED, "%s: tasks of the pool have no graph", name);
    if (!code)
        code = plan_fetch(client, unit ? unit : name, &plan);
    if (!code && graph_init(&graph, synk_document_root(plan), &error) != SYNK_OK)
        code = fail_error(&error);
    if (!code)
        code = take_run(client, run, label ? label : name, &graph, &arena);
    if (!code)
        code = show(verb, &graph, synk_document_root(plan), run, true);
    graph_fini(&graph);
    arena_fini(&arena);
    free(label);
    free(unit);
    synk_document_free(plan);
    synk_document_free(page);
    return code;
}

static int show_known(struct graph_verb *verb, const char *name)
{
    struct synk_client *client = NULL;
    struct synk_document *plan = NULL;
    int code = cli_open(verb->cli, &client);
    if (!code && strchr(name, '#'))
        code = show_run(verb, client, name);
    else if (!code && !(code = plan_fetch(client, name, &plan)))
        show_plan(verb, synk_document_root(plan), true);
    synk_document_free(plan);
    synk_client_close(client);
    return code ? code : verb->code;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct graph_verb verb = {.cli = cli};
    const struct option options[] = {
        {"dot", OPTION_FLAG, &verb.is_dot},
        {NULL, OPTION_FLAG, NULL},
    };
    if (args_parse(cli, argc, argv, options, 1, 1) < 0)
        return EXIT_USAGE;
    verb.is_utf8 = locale_is_utf8();
    if (!plan_is_file(argv[0]))
        return show_known(&verb, argv[0]);
    int code = plan_file(argv[0], show_plan, &verb);
    return code ? code : verb.code;
}

const struct verb verb_graph = {
    .name = "graph",
    .arguments = "ID|RUN|FILE [--dot]",
    .summary = "Draw what waits for what: a unit, a file, or a run with its states",
    .help =
        "  ID     a registered unit\n"
        "  RUN    UNIT#N, or UNIT#last: with the state of each task\n"
        "  FILE   a definition file; needs no supervisor\n"
        "  --dot  print Graphviz's language: synk graph ID --dot | dot -Tsvg > graph.svg\n\n"
        "Boxes and marks in a UTF-8 locale, else ASCII and letters: S succeeded, F failed,\n"
        "T timed-out, Q quarantined, C cancelled, - skipped, R running, D dispatched, r ready,\n"
        "W retry-wait, . pending.\n",
    .run = run,
};
