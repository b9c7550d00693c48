/* Fields that are set at run time: patches of one part, whole rebuilds, and what is refused. */
#include "proto/definition_change.h"

#include <stdio.h>

#include "proto/definition_file.h"
#include "proto/json.h"
#include "tests/support/unit.h"

static struct expression *expression;
static struct expression_checker checker;

struct parsed {
    struct arena arena;
    struct node node;
};

static struct parsed parse(const char *yaml)
{
    struct parsed parsed = {0};
    struct synk_error error = {0};
    if (definition_parse_yaml(bytes_str(yaml), "t", &parsed.arena, &parsed.node, &error))
        CU_FAIL_FATAL("not YAML");
    return parsed;
}

static struct definition *define(const char *yaml)
{
    struct parsed parsed = parse(yaml);
    struct definition_set set = {0};
    struct synk_error error = {0};
    if (definition_validate(&parsed.node, "t", "/d", &checker, &set, &error)) {
        printf("\n%s\n", error.text);
        CU_FAIL_FATAL("refused");
    }
    struct definition *definition = definition_ref(set.units[0]);
    definition_set_fini(&set);
    arena_fini(&parsed.arena);
    return definition;
}

/* Patches and adopts, or gives the error's text. */
static const char *patch(struct definition *definition, uint32_t part, const char *fields)
{
    static struct synk_error error;
    struct parsed parsed = parse(fields);
    struct definition *made = NULL;
    error = (struct synk_error){0};
    CU_ASSERT_TRUE(definition_is_tunable(&parsed.node));
    if (!definition_patch(definition, part, &parsed.node, &checker, &made, &error))
        definition_adopt(definition, part, made);
    arena_fini(&parsed.arena);
    return error.text;
}

static void check_field(const struct definition *definition, uint32_t part, const char *name,
                        const char *json)
{
    struct buf bytes = {0}, text = {0};
    definition_field(definition, part, bytes_str(name), &bytes);
    json_print_encoded(buf_bytes(&bytes), 0, &text);
    buf_append(&text, "", 1);
    CU_ASSERT_STRING_EQUAL(text.data, json);
    buf_fini(&bytes);
    buf_fini(&text);
}

static const char *const process = "processes:\n"
                                   "- id: p\n"
                                   "  maxParallel: 2\n"
                                   "  workers:\n"
                                   "  - {id: a, run: x.y, maxRetries: 1}\n"
                                   "  - {id: b, run: x.y, maxRetries: 1, dependsOn: [a]}\n";

static void a_patch_changes_one_part(void)
{
    struct definition *d = define(process);
    const struct worker_options *shared = d->workers[0].worker;
    CU_ASSERT_PTR_EQUAL(d->workers[1].worker, shared);
    CU_ASSERT_STRING_EQUAL(patch(d, 1, "{maxRetries: 5, retryDelayMs: 2s}"), "");
    CU_ASSERT_EQUAL(d->workers[1].worker->max_retries, 5);
    CU_ASSERT_EQUAL(d->workers[1].worker->retry_delay_ms, 2000);
    CU_ASSERT_EQUAL(d->workers[1].depends_on_count, 1);
    CU_ASSERT_EQUAL(d->workers[0].worker->max_retries, 1);
    CU_ASSERT_STRING_EQUAL(patch(d, 1, "{maxRetries: null}"), "");
    CU_ASSERT_EQUAL(d->workers[1].worker->max_retries, 0);
    CU_ASSERT_EQUAL(d->workers[1].worker->retry_delay_ms, 2000);
    CU_ASSERT_STRING_EQUAL(patch(d, DEFINITION_UNIT,
                                 "{maxParallel: 7, timeoutMs: 1m, intervalMs: 5000, meta: {k: 1}}"),
                           "");
    CU_ASSERT_EQUAL(d->process.max_parallel, 7);
    CU_ASSERT_EQUAL(d->process.timeout_ms, 60000);
    CU_ASSERT_EQUAL(d->unit->interval_ms, 5000);
    CU_ASSERT_TRUE(d->unit->run_on_interval);
    CU_ASSERT_EQUAL(d->worker_count, 2);
    check_field(d, DEFINITION_UNIT, "maxParallel", "7");
    check_field(d, DEFINITION_UNIT, "meta", "{\"k\":1}");
    check_field(d, 1, "retryDelayMs", "2000");
    check_field(d, 1, "maxRetries", "null");
    check_field(d, 1, "noSuchField", "null");
    definition_unref(d);
}

static void a_standalone_worker_is_its_own_part(void)
{
    struct definition *d = define("workers:\n- {id: w, command: [true], timeoutMs: 5}\n");
    CU_ASSERT_STRING_EQUAL(patch(d, DEFINITION_UNIT, "{timeoutMs: null, enabled: false}"), "");
    CU_ASSERT_EQUAL(d->workers[0].worker->timeout_ms, 0);
    CU_ASSERT_FALSE(d->unit->enabled);
    CU_ASSERT_PTR_EQUAL(d->unit, d->workers[0].unit);
    CU_ASSERT_STRING_EQUAL(patch(d, 0, "{enabled: true}"), "");
    CU_ASSERT_TRUE(d->unit->enabled);
    definition_unref(d);
}

static void patched_definitions_survive_a_round_trip(void)
{
    struct definition *d = define(process), *again = NULL;
    patch(d, 0, "{priority: 9, requires: [gpu]}");
    patch(d, DEFINITION_UNIT, "{maxFailures: 3}");
    struct buf header = {0}, workers[2] = {{0}, {0}}, first = {0}, second = {0};
    definition_encode_header(d, &header);
    definition_encode_worker(d, 0, &workers[0]);
    definition_encode_worker(d, 1, &workers[1]);
    struct synk_bytes records[2] = {buf_bytes(&workers[0]), buf_bytes(&workers[1])};
    struct synk_error error = {0};
    CU_ASSERT_EQUAL_FATAL(
        definition_decode(buf_bytes(&header), records, 2, &checker, &again, &error), SYNK_OK);
    definition_encode(d, &first);
    definition_encode(again, &second);
    CU_ASSERT_TRUE(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    CU_ASSERT_EQUAL(again->workers[0].worker->priority, 9);
    buf_fini(&header);
    buf_fini(&workers[0]);
    buf_fini(&workers[1]);
    buf_fini(&first);
    buf_fini(&second);
    definition_unref(d);
    definition_unref(again);
}

static void a_rebuild_keeps_the_rest(void)
{
    struct definition *d = define(process), *made = NULL;
    struct parsed fields = parse("{command: [echo, hi], maxRetries: 2}");
    struct synk_error error = {0};
    CU_ASSERT_FALSE(definition_is_tunable(&fields.node));
    CU_ASSERT_EQUAL_FATAL(definition_rebuild(d, 1, &fields.node, &checker, &made, &error), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(made->workers[1].worker->function, "exec");
    CU_ASSERT_EQUAL(made->workers[1].worker->max_retries, 2);
    CU_ASSERT_EQUAL(made->workers[1].depends_on_count, 1);
    CU_ASSERT_STRING_EQUAL(d->workers[1].worker->function, "x.y");
    arena_fini(&fields.arena);
    definition_unref(made);
    fields = parse("{batchSize: 4}");
    CU_ASSERT_EQUAL_FATAL(
        definition_rebuild(d, DEFINITION_UNIT, &fields.node, &checker, &made, &error), SYNK_OK);
    CU_ASSERT_EQUAL(made->process.batch_size, 4);
    CU_ASSERT_EQUAL(made->process.max_parallel, 2);
    arena_fini(&fields.arena);
    definition_unref(made);
    definition_unref(d);
}

static void bad_changes_are_refused(void)
{
    static const struct {
        uint32_t part;
        const char *fields, *text;
    } cases[] = {
        {1, "{maxRetry: 1}",
         "process 'p': worker 'b': unknown field 'maxRetry' (did you mean "
         "'maxRetries'?)"},
        {1, "{maxRetries: -1}",
         "process 'p': worker 'b': 'maxRetries' must be an integer from 0 to 1000000, not -1"},
        {1, "{retryDelayMs: 100 *}", NULL},
        {1, "{dependsOn: []}", "'dependsOn' of 'p' cannot be set: change the file and apply it"},
        {1, "{id: c}", "'id' of 'p' cannot be set: change the file and apply it"},
        {DEFINITION_UNIT, "{workers: []}",
         "'workers' of 'p' cannot be set: change the file and apply it"},
        {DEFINITION_UNIT, "{maxRetries: 1}", "process 'p': 'maxRetries' is a field of workers"},
        {DEFINITION_UNIT, "{status: paused}", "'status' of 'p' is not a setting"},
    };
    struct definition *d = define(process);
    struct buf before = {0}, after = {0};
    definition_encode(d, &before);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *text = patch(d, cases[i].part, cases[i].fields);
        if (cases[i].text)
            CU_ASSERT_STRING_EQUAL(text, cases[i].text);
        CU_ASSERT_NOT_EQUAL(text[0], 0);
    }
    definition_encode(d, &after);
    CU_ASSERT_TRUE(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
    buf_fini(&before);
    buf_fini(&after);
    definition_unref(d);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"a_patch_changes_one_part", a_patch_changes_one_part},
        {"a_standalone_worker_is_its_own_part", a_standalone_worker_is_its_own_part},
        {"patched_definitions_survive_a_round_trip", patched_definitions_survive_a_round_trip},
        {"a_rebuild_keeps_the_rest", a_rebuild_keeps_the_rest},
        {"bad_changes_are_refused", bad_changes_are_refused},
        {NULL, NULL},
    };
    expression = expression_new();
    checker = expression_checker(expression);
    int code = unit_main(argc, argv, "definition_change", cases);
    expression_free(expression);
    return code;
}
