/*
 * The validator, table-driven: what holds, what does not and how the error reads, and the canonical
 * form, which must survive any number of round trips. Documents are written as YAML, like a user's.
 */
#include "proto/definition_file.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/cron.h"
#include "proto/limits.h"
#include "proto/pack.h"
#include "tests/support/unit.h"

static struct expression *expression;
static struct expression_checker checker;

static enum synk_status validate(const char *yaml, const char *directory,
                                 struct definition_set *set, struct synk_error *error)
{
    struct arena arena = {0};
    struct node document;
    enum synk_status status =
        definition_parse_yaml(bytes_str(yaml), "nightly.yaml", &arena, &document, error);
    if (!status)
        status = definition_validate(&document, "nightly.yaml", directory, &checker, set, error);
    arena_fini(&arena);
    return status;
}

static struct definition *one(const char *yaml)
{
    struct definition_set set = {0};
    struct synk_error error = {0};
    if (validate(yaml, "/work dir", &set, &error)) {
        printf("\n%s\n", error.text);
        CU_FAIL_FATAL("refused");
    }
    CU_ASSERT_EQUAL_FATAL(set.count, 1);
    struct definition *definition = definition_ref(set.units[0]);
    definition_set_fini(&set);
    return definition;
}

static const struct {
    const char *yaml;
    enum synk_status status;
    const char *text;
} refused[] = {
    {"processes:\n- id: nightly\n  workers:\n  - id: load\n    run: a.b\n    dependOn: [x]\n",
     SYNK_INVALID,
     "nightly.yaml:6: process 'nightly', worker 'load': unknown field 'dependOn' (did you mean "
     "'dependsOn'?)"},
    {"processes:\n- id: p\n  zzzzzzzzz: 1\n", SYNK_INVALID,
     "nightly.yaml:3: process 'p': unknown field 'zzzzzzzzz'"},
    {"processes:\n- id: p\n  maxRetries: 1\n", SYNK_INVALID,
     "nightly.yaml:3: process 'p': 'maxRetries' is a field of workers"},
    {"workers:\n- {id: w, run: a.b, runMode: parallel}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'runMode' is a field of processes"},
    {"defaults: {slots: 2}\nworkers: []\n", SYNK_INVALID,
     "nightly.yaml:1: section 'defaults': 'slots' is not one that may have a default"},
    {"process: []\n", SYNK_INVALID,
     "nightly.yaml:1: unknown field 'process' (did you mean 'processes'?)"},
    {"[]\n", SYNK_INVALID, "nightly.yaml:1: a definition is a map with 'processes' or 'workers'"},
    {"processes: {}\n", SYNK_INVALID,
     "nightly.yaml:1: 'processes' must be a list of maps, not a map"},
    {"processes:\n- id: p\n  workers:\n  - {id: a, run: x.y, dependsOn: c}\n"
     "  - {id: b, run: x.y, dependsOn: [a]}\n  - {id: c, run: x.y, dependsOn: [b]}\n",
     SYNK_INVALID, "nightly.yaml:4: process 'p': dependency cycle: a -> c -> b -> a"},
    {"processes:\n- id: p\n  workers:\n  - {id: a, run: x.y, dependsOn: [a]}\n", SYNK_INVALID,
     "nightly.yaml:4: process 'p', worker 'a': depends on itself"},
    {"processes:\n- id: nightly\n  workers:\n  - {id: extrakt, run: x.y}\n"
     "  - id: load\n    run: x.y\n    dependsOn:\n    - extract\n",
     SYNK_INVALID,
     "nightly.yaml:8: process 'nightly', worker 'load': depends on 'extract', which is not in this "
     "process (did you mean 'extrakt'?)"},
    {"processes:\n- id: p\n  workers:\n  - {id: a, run: x.y, dependsOn: [{id: a2}, {on: any}]}\n"
     "  - {id: a2, run: x.y}\n",
     SYNK_INVALID, "nightly.yaml:4: process 'p', worker 'a': an item of 'dependsOn' has no 'id'"},
    {"processes:\n- id: p\n  workers:\n  - {id: a, run: x.y, dependsOn: [b, b]}\n"
     "  - {id: b, run: x.y}\n",
     SYNK_INVALID, "nightly.yaml:4: process 'p', worker 'a': depends on 'b' twice"},
    {"processes:\n- id: p\n  workers:\n  - {id: a, run: x.y, dependsOn: [{id: b, on: ok}]}\n"
     "  - {id: b, run: x.y}\n",
     SYNK_INVALID,
     "nightly.yaml:4: process 'p', worker 'a': 'on' must be one of completed notError error any, "
     "not the string 'ok'"},
    {"processes:\n- id: p\n  workers:\n  - {id: a, run: x.y}\n  - {id: b, run: x.y}\n"
     "  - {id: a, run: x.y}\n",
     SYNK_INVALID, "nightly.yaml:6: process 'p', worker 'a': duplicate id (first on line 4)"},
    {"processes:\n- {id: a, workers: [{id: a, run: x.y}]}\nworkers:\n- {id: a, run: x.y}\n",
     SYNK_INVALID, "nightly.yaml:4: worker 'a': duplicate id: there is a process of that name"},
    {"workers:\n- {id: pool, run: x.y}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'pool': the id 'pool' is reserved"},
    {"workers:\n- {run: x.y}\n", SYNK_INVALID, "nightly.yaml:2: workers[0]: has no 'id'"},
    {"workers:\n- {id: 7, run: x.y}\n", SYNK_INVALID,
     "nightly.yaml:2: workers[0]: 'id' must be a string (quote it), not 7"},
    {"workers:\n- {id: a/b, run: x.y}\n", SYNK_INVALID,
     "nightly.yaml:2: workers[0]: 'id' must be 1 to 128 bytes of printable UTF-8 without / and #, "
     "not the string 'a/b'"},
    {"processes:\n- id: p\n  workers: []\n", SYNK_INVALID,
     "nightly.yaml:3: process 'p': 'workers' is empty: a process has one at least"},
    {"processes:\n- id: p\n", SYNK_INVALID, "nightly.yaml:2: process 'p': has no 'workers'"},
    {"workers:\n- {id: w, run: x.y, maxRetries: many}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'maxRetries' must be an integer from 0 to 1000000, not the "
     "string 'many'"},
    {"workers:\n- {id: w, run: x.y, maxRetries: 1.5}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'maxRetries' must be an integer from 0 to 1000000, not 1.5"},
    {"workers:\n- {id: w, run: x.y, enabled: yes}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'enabled' must be true or false, not the string 'yes'"},
    {"workers:\n- {id: w, run: x.y, timeoutMs: 5 minutes}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'timeoutMs': '5 minutes' is not a duration (1500, 250ms, 90s, "
     "5m, 2h, 1d)"},
    {"workers:\n- {id: w, run: x.y, timeoutMs: 4000d}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'timeoutMs': longer than ten years"},
    {"workers:\n- {id: w, run: x.y, intervalMs: 0}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'intervalMs' must be an integer from 1 to 315360000000, not 0"},
    {"workers:\n- {id: w, run: x.y, runOnInterval: true}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'runOnInterval' needs 'intervalMs'"},
    {"workers:\n- {id: w, run: x.y, overlap: default}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'overlap' must be one of queue skip allow cancel, not the string "
     "'default'"},
    {"workers:\n- {id: w, run: x.y, catchUp: one}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'catchUp' must be one of once skip all, not the string 'one'"},
    {"workers:\n- {id: w, run: x.y, cron: '0 3 * *'}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': cron '0 3 * *' has fewer than five fields: minute, hour, day of "
     "month, month, day of week; or write @hourly, @daily, @weekly, @monthly or @yearly"},
    {"workers:\n- {id: w, run: x.y, cron: '@daily', intervalMs: 5m}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': has both 'cron' and 'intervalMs': one schedule is enough"},
    {"workers:\n- {id: w, run: x.y, intervalMs: 5m, timeZone: UTC}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'timeZone' needs 'cron'"},
    {"workers:\n- {id: w, run: x.y, cron: '@daily', timeZone: Mars}\n", SYNK_UNSUPPORTED,
     "nightly.yaml:2: worker 'w': time zone 'Mars': only UTC is known here"},
    {"workers:\n- {id: w, run: x.y, status: running}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'status' must be idle or paused (other states come from runs), "
     "not the string 'running'"},
    {"workers:\n- {id: w, run: x.y, priority: 1001}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'priority' must be an integer from -1000 to 1000, not 1001"},
    {"workers:\n- {id: w, run: x.y, slots: 0}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'slots' must be an integer from 1 to 2147483647, not 0"},
    {"workers:\n- {id: w, run: x.y, uses: {gpu: 0}}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'gpu' must be a positive integer, not 0"},
    {"workers:\n- {id: w, run: x.y, noRetryExitCodes: [256]}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'noRetryExitCodes' must be a list of integers from 0 to 255, not "
     "256"},
    {"workers:\n- {id: w, run: x.y, onError: [{run: a, emit: b}]}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': an item of 'onError' must have one of 'run' and 'emit'"},
    {"workers:\n- {id: w, run: x.y, onError: [{runs: a}]}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': unknown field 'runs' (did you mean 'run'?)"},
    {"workers:\n- {id: w}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': needs one of 'run' and 'command'"},
    {"workers:\n- {id: w, run: x.y, command: ls}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'run' and 'command' exclude each other"},
    {"workers:\n- {id: w, command: []}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'command' is empty"},
    {"workers:\n- {id: w, command: [ls, null]}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'command' must be made of strings and numbers, not null"},
    {"workers:\n- {id: w, command: \"echo ${{ params.x }}\"}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'command': ${{ }} is never evaluated inside a shell line: use "
     "the list form, or $SYNK_INPUT"},
    {"workers:\n- id: w\n  command: ls\n  uses:\n    db: 2\nlimits: {db: 1}\n", SYNK_INVALID,
     "nightly.yaml:5: worker 'w': 'uses': 2 of limit 'db', which is 1"},
    {"workers:\n- {id: w, command: ls, payload: {a: 1}}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'payload' is for functions; a command has 'env' and arguments"},
    {"workers:\n- id: w\n  run: x.y\n  payload:\n    n: 1\n    who: [{a: '${{ params.x }}'}]\n",
     SYNK_INVALID,
     "nightly.yaml:6: worker 'w': 'payload.who[0].a': ${{ }} is evaluated for commands only: a "
     "function reads its params and inputs itself (synk_task_params, synk_task_inputs)"},
    {"workers:\n- {id: w, run: x.y, payload: {'${{ attempt }}': 1}}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'payload': ${{ }} is evaluated for commands only: a function "
     "reads its params and inputs itself (synk_task_params, synk_task_inputs)"},
    {"workers:\n- {id: w, run: x.y, payload: 'n ${{ params.n }}'}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'payload': ${{ }} is evaluated for commands only: a function "
     "reads its params and inputs itself (synk_task_params, synk_task_inputs)"},
    {"workers:\n- {id: w, run: x.y, env: {a: 1}}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'env' is for commands only"},
    {"workers:\n- {id: w, run: exec, payload: {comand: ls}}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': unknown field 'comand' (did you mean 'command'?)"},
    {"workers:\n- {id: w, run: exec}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'run: exec' needs a 'payload' map with 'command'; 'command' "
     "alone is shorter"},
    {"workers:\n- {id: w, command: ls, stdin: yaml}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'stdin' must be json, not the string 'yaml'"},
    {"workers:\n- {id: w, run: x.y, dependsOn: [v]}\n", SYNK_INVALID,
     "nightly.yaml:2: worker 'w': 'dependsOn' is for the workers of a process"},
    {"processes:\n- {id: p, workers: [{id: w, run: x.y, processId: q}]}\n", SYNK_INVALID,
     "nightly.yaml:2: process 'p', worker 'w': 'processId' must be the id of the process that it "
     "stands in, not the string 'q'"},
    {"workers:\n- {id: w, run: x.y, payload: [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}\n",
     SYNK_TOO_LARGE, "nightly.yaml:2: worker 'w': 'payload': nested deeper than 16"},
};

static void test_refuses(void)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        struct definition_set set = {0};
        struct synk_error error = {0};
        enum synk_status status = validate(refused[i].yaml, NULL, &set, &error);
        if (status != refused[i].status || strcmp(error.text, refused[i].text) != 0)
            printf("\n%s  is  %s: %s\n  not %s\n", refused[i].yaml, synk_status_name(status),
                   error.text, refused[i].text);
        CU_ASSERT_EQUAL(status, refused[i].status);
        CU_ASSERT_STRING_EQUAL(error.text, refused[i].text);
        CU_ASSERT_EQUAL(set.count, 0);
        CU_ASSERT_EQUAL(set.warnings.size, 0);
        definition_set_fini(&set);
    }
}

static void test_bad_expressions_name_their_place(void)
{
    static const struct {
        const char *yaml, *start, *part;
    } cases[] = {
        {"processes:\n- id: p\n  workers:\n  - {id: a, run: x.y}\n"
         "  - {id: b, run: x.y, dependsOn: [{id: a, condition: \"result.x && true\"}]}\n",
         "nightly.yaml:5: process 'p', worker 'b': condition on 'a': ", "and"},
        {"workers:\n- {id: w, run: x.y, retryDelayMs: 100 * 2^^attempt}\n",
         "nightly.yaml:2: worker 'w': 'retryDelayMs' is neither a duration nor an expression that "
         "compiles: ",
         "column"},
        {"workers:\n- id: w\n  command: [echo, '${{ 1 + }}']\n",
         "nightly.yaml:3: worker 'w': 'command': ", "column"},
        {"workers:\n- id: w\n  command: [env]\n  env:\n    A: '${{ inputs. }}'\n",
         "nightly.yaml:5: worker 'w': 'env': ", "column"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct definition_set set = {0};
        struct synk_error error = {0};
        CU_ASSERT_EQUAL(validate(cases[i].yaml, NULL, &set, &error), SYNK_INVALID);
        bool fits = strncmp(error.text, cases[i].start, strlen(cases[i].start)) == 0 &&
                    strstr(error.text, cases[i].part);
        if (!fits)
            printf("\n%s\n", error.text);
        CU_ASSERT(fits);
        definition_set_fini(&set);
    }
}

static const char *const media =
    "defaults: {maxRetries: 2, env: {LANG: C}, cwd: sub}\n"
    "processes:\n"
    "  - id: media\n"
    "    name: Media\n"
    "    runMode: parallel\n"
    "    timeoutMs: 2h\n"
    "    meta: {owner: ops, tags: [1, 2.5, null, true]}\n"
    "    status: paused\n"
    "    workers:\n"
    "      - {id: Download, command: [cp, input.mov, 0.10, 0644, true], status: idle}\n"
    "      - {id: Probe, command: ./probe work.mov, output: json, dependsOn: Download}\n"
    "      - id: Fast-Cleanup\n"
    "        processId: media\n"
    "        run: exec\n"
    "        payload: {env: {B: 2, A: x}, command: [./cleanup], cwd: /abs, stdin: json}\n"
    "        dependsOn: [{id: Probe, condition: result.duration < 60}]\n"
    "      - id: Thorough-Cleanup\n"
    "        command: [./cleanup, \"${{ inputs.Probe.duration }}\"]\n"
    "        dependsOn: [{id: Probe, condition: result.duration >= 60, on: any}]\n"
    "        maxRetries: 3\n"
    "        retryDelayMs: 100 * 2^attempt\n"
    "        noRetryExitCodes: [3, 2, 3]\n"
    "        requires: [gpu, big, gpu]\n"
    "        uses: {license: 1, disk: 2}\n"
    "      - id: Publish\n"
    "        run: media.publish\n"
    "        payload: {n: 1, list: [a, {b: 1.5}]}\n"
    "        timeoutMs: 90s\n"
    "        intervalMs: 1m\n"
    "        dependsOn: [{id: Fast-Cleanup, on: notError}, {id: Thorough-Cleanup, on: notError}]\n"
    "    onError: [{run: alert}, {emit: media-broken}, other/worker]\n"
    "    onStart: hello\n";

/* Encoded as a document of its own, validated again and encoded: the same bytes. */
static void check_round_trip(const struct definition *definition)
{
    struct buf first = {0}, second = {0}, header = {0};
    struct synk_error error = {0};
    definition_encode(definition, &first);
    struct definition *again = NULL;
    enum synk_status status =
        definition_decode(buf_bytes(&first), NULL, 0, &checker, &again, &error);
    if (status)
        printf("\n%s\n", error.text);
    CU_ASSERT_EQUAL_FATAL(status, SYNK_OK);
    definition_encode(again, &second);
    CU_ASSERT(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    definition_unref(again);
    definition_encode_header(definition, &header);
    uint32_t count = definition->kind == UNIT_PROCESS ? definition->worker_count : 0;
    struct buf *records = mem_zalloc(count + 1u, sizeof(*records));
    struct synk_bytes *workers = mem_zalloc(count + 1u, sizeof(*workers));
    for (uint32_t i = 0; i < count; i++) {
        definition_encode_worker(definition, i, &records[i]);
        workers[i] = buf_bytes(&records[i]);
    }
    status = definition_decode(buf_bytes(&header), workers, count, &checker, &again, &error);
    CU_ASSERT_EQUAL_FATAL(status, SYNK_OK);
    buf_clear(&second);
    definition_encode(again, &second);
    CU_ASSERT(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    definition_unref(again);
    for (uint32_t i = 0; i < count; i++)
        buf_fini(&records[i]);
    free(records);
    free(workers);
    buf_fini(&first);
    buf_fini(&second);
    buf_fini(&header);
}

static void check_json(struct synk_bytes value, const char *json)
{
    struct synk_document *document = NULL;
    CU_ASSERT_EQUAL_FATAL(synk_document_decode(value, &document, NULL), SYNK_OK);
    char *text = synk_value_json_dup(synk_document_root(document));
    if (strcmp(text, json) != 0)
        printf("\n%s\n", text);
    CU_ASSERT_STRING_EQUAL(text, json);
    free(text);
    synk_document_free(document);
}

static void test_reads_every_field(void)
{
    struct definition *d = one(media);
    CU_ASSERT_STRING_EQUAL(d->unit->name, "Media");
    CU_ASSERT(d->unit->paused && d->unit->enabled && d->is_graph);
    CU_ASSERT_EQUAL(d->process.run_mode, RUN_PARALLEL);
    CU_ASSERT_EQUAL(d->process.timeout_ms, 7200000);
    CU_ASSERT_EQUAL(d->unit->on_error.count, 3);
    CU_ASSERT_EQUAL(d->unit->on_error.hooks[1].kind, HOOK_EMIT);
    CU_ASSERT_STRING_EQUAL(d->unit->on_error.hooks[2].target, "other/worker");
    CU_ASSERT_STRING_EQUAL(d->unit->on_start.hooks[0].target, "hello");
    const struct worker_def *w = d->workers;
    CU_ASSERT_EQUAL_FATAL(d->worker_count, 5);
    check_json(w[0].payload, "{\"command\":[\"cp\",\"input.mov\",\"0.10\",\"0644\",\"true\"],"
                             "\"cwd\":\"/work dir/sub\",\"env\":{\"LANG\":\"C\"}}");
    check_json(w[1].payload, "{\"command\":\"./probe work.mov\",\"cwd\":\"/work dir/sub\","
                             "\"env\":{\"LANG\":\"C\"},\"output\":\"json\"}");
    check_json(w[2].payload, "{\"command\":[\"./cleanup\"],\"cwd\":\"/abs\",\"env\":{\"A\":\"x\","
                             "\"B\":\"2\"},\"stdin\":\"json\"}");
    check_json(w[4].payload, "{\"n\":1,\"list\":[\"a\",{\"b\":1.5}]}");
    CU_ASSERT_STRING_EQUAL(w[0].worker->function, "exec");
    CU_ASSERT_PTR_EQUAL(w[0].worker, w[1].worker);
    CU_ASSERT_PTR_EQUAL(w[0].unit, w[3].unit);
    CU_ASSERT_EQUAL(w[0].worker->timeout_ms, 0);
    CU_ASSERT_EQUAL(w[0].worker->max_retries, 2);
    CU_ASSERT_EQUAL(w[0].flags, 0);
    CU_ASSERT_EQUAL(w[3].flags, WORKER_HAS_TEMPLATES);
    CU_ASSERT_EQUAL(w[3].template_uses, EXPRESSION_USES_INPUTS);
    CU_ASSERT_EQUAL(w[3].worker->max_retries, 3);
    CU_ASSERT_STRING_EQUAL(w[3].worker->retry_delay, "100 * 2^attempt");
    CU_ASSERT_EQUAL(w[3].worker->no_retry_exit_code_count, 2);
    CU_ASSERT_EQUAL(w[3].worker->no_retry_exit_codes[0], 2);
    CU_ASSERT_EQUAL(w[3].worker->requires_count, 2);
    CU_ASSERT_STRING_EQUAL(w[3].worker->requires[0], "big");
    CU_ASSERT_STRING_EQUAL(w[3].worker->uses[0].name, "disk");
    CU_ASSERT_EQUAL(w[3].depends_on[0].parent, 1);
    CU_ASSERT_EQUAL(w[3].depends_on[0].on, ON_ANY);
    CU_ASSERT_EQUAL(w[3].depends_on[0].condition_uses, EXPRESSION_USES_RESULT);
    CU_ASSERT_EQUAL(w[4].worker->timeout_ms, 90000);
    CU_ASSERT(w[4].unit->run_on_interval && w[4].unit->interval_ms == 60000);
    CU_ASSERT_EQUAL(w[4].depends_on_count, 2);
    CU_ASSERT_EQUAL(w[4].depends_on[1].on, ON_NOT_ERROR);
    CU_ASSERT_EQUAL(definition_find_worker(d, bytes_str("Probe")), 1);
    CU_ASSERT_EQUAL(definition_find_worker(d, bytes_str("probe")), UINT32_MAX);
    check_round_trip(d);
    definition_unref(d);
}

static void test_encodes_canonically(void)
{
    struct definition *d =
        one("workers:\n- {timeoutMs: 10s, maxRetries: 0, id: w, status: paused, run: a.b, slots: 1,"
            " runOnInterval: false, intervalMs: 5s, retryDelayMs: 1m, payload: null}\n");
    struct buf out = {0};
    definition_encode(d, &out);
    check_json(buf_bytes(&out), "{\"id\":\"w\",\"run\":\"a.b\",\"status\":\"paused\","
                                "\"runOnInterval\":false,\"intervalMs\":5000,"
                                "\"retryDelayMs\":60000}");
    CU_ASSERT_EQUAL(d->kind, UNIT_WORKER);
    CU_ASSERT_PTR_EQUAL(d->unit, d->workers[0].unit);
    CU_ASSERT_EQUAL(d->workers[0].worker->timeout_ms, 10000);
    check_round_trip(d);
    definition_unref(d);
    buf_fini(&out);
}

/* Many definitions of random fields: each survives the way through its canonical form. */
static void test_round_trips_whatever_is_legal(void)
{
    static const char *const unit_fields[] = {"name: n",
                                              "description: |-\n      two\n      lines",
                                              "enabled: false",
                                              "status: paused",
                                              "meta: {a: [1, {b: 2}], c: '1'}",
                                              "onStart: a",
                                              "onComplete: [{emit: x}]",
                                              "onError: [{run: p/w}]",
                                              "maxRuns: 3",
                                              "catchUp: all",
                                              "overlap: cancel",
                                              "runOnStart: true",
                                              "runOnMilestone: 'unit:x:completed'"};
    static const char *const schedules[] = {"intervalMs: 1500",
                                            "cron: '*/5 0 1-2 * MON'\n    timeZone: UTC"};
    static const char *const worker_fields[] = {"maxRetries: 7",
                                                "retryDelayMs: attempt * 10",
                                                "timeoutMs: 0",
                                                "timeoutMs: 10000",
                                                "progressTimeoutMs: 1h",
                                                "noRetryExitCodes: 1",
                                                "requires: gpu",
                                                "priority: -3",
                                                "slots: 4",
                                                "uses: {b: 1, a: 2}"};
    static const char *const work[] = {
        "command: [a, '${{ params.x }}', 3]",
        "command: ls | wc",
        "run: x.y",
        "{run: x.y, payload: {d: 1.0, e: []}}",
        "{command: a, env: {Z: 1, A: '${{ payload }}'}}",
        "{command: [a], cwd: b, envFile: ./c, stdin: json, output: json}"};
    srand(7);
    for (int round = 0; round < 200; round++) {
        struct buf text = {0};
        const char *chosen = work[rand() % 6];
        buf_printf(&text, "processes:\n- id: p\n  workers:\n");
        buf_printf(&text, "  - {id: first, run: sim.sleep}\n");
        if (chosen[0] == '{')
            buf_printf(&text, "  - <<: %s\n    id: w\n", chosen);
        else
            buf_printf(&text, "  - %s\n    id: w\n", chosen);
        if (rand() % 2)
            buf_printf(&text, "    dependsOn: [{id: first, on: %s%s}]\n",
                       dependency_on_name((enum dependency_on)(rand() % 4)),
                       rand() % 2 ? ", condition: true" : "");
        for (size_t i = 0; i < sizeof(unit_fields) / sizeof(unit_fields[0]); i++)
            if (rand() % 3 == 0)
                buf_printf(&text, "    %s\n", unit_fields[i]);
        if (rand() % 2)
            buf_printf(&text, "    %s\n", schedules[rand() % 2]);
        for (int i = 0; i < 10; i++)
            if (rand() % 3 == 0 && (i != 3 || !strstr((char *)text.data, "timeoutMs")))
                buf_printf(&text, "    %s\n", worker_fields[i]);
        buf_append(&text, "", 1);
        struct definition *d = one((char *)text.data);
        check_round_trip(d);
        definition_unref(d);
        buf_fini(&text);
    }
}

static void test_failure_leaves_the_set_unchanged(void)
{
    struct definition_set set = {0};
    struct synk_error error = {0};
    CU_ASSERT_EQUAL(validate("workers: [{id: a, run: x.y}]\n", NULL, &set, &error), SYNK_OK);
    CU_ASSERT_EQUAL(set.count, 1);
    CU_ASSERT_EQUAL(validate("processes: [{id: b, runMode: parallel, workers: [{id: x, run: a.b}, "
                             "{id: y, run: a.b, dependsOn: x}]}]\nworkers: [{id: a, run: x.y}]\n",
                             NULL, &set, &error),
                    SYNK_INVALID);
    CU_ASSERT_STRING_EQUAL(
        error.text, "nightly.yaml:2: worker 'a': duplicate id: there is a worker of that name");
    CU_ASSERT_EQUAL(set.count, 1);
    CU_ASSERT_EQUAL(set.warnings.size, 0);
    definition_set_fini(&set);
}

static void test_warns_of_unheeded_run_mode(void)
{
    struct definition_set set = {0};
    struct synk_error error = {0};
    CU_ASSERT_EQUAL(validate("processes:\n- id: b\n  runMode: parallel\n  workers: [{id: x, run: "
                             "a.b}, {id: y, run: a.b, dependsOn: x}]\n",
                             NULL, &set, &error),
                    SYNK_OK);
    buf_append(&set.warnings, "", 1);
    CU_ASSERT_STRING_EQUAL((char *)set.warnings.data,
                           "nightly.yaml:3: process 'b': 'runMode' is not heeded, because its "
                           "workers have 'dependsOn'\n");
    definition_set_fini(&set);
}

/* A chain of workers as MessagePack: each depends on the one before, the first on `first`. */
static void put_chain(struct buf *out, uint32_t count, const char *first)
{
    char id[16], parent[16];
    pack_map(out, 1);
    pack_key(out, "processes");
    pack_array(out, 1);
    pack_map(out, 2);
    pack_key(out, "id");
    pack_cstr(out, "chain");
    pack_key(out, "workers");
    pack_array(out, count);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "w%u", i);
        snprintf(parent, sizeof(parent), "w%u", i - 1);
        const char *depends_on = i ? parent : first;
        pack_map(out, depends_on ? 3 : 2);
        pack_key(out, "id");
        pack_cstr(out, id);
        pack_key(out, "run");
        pack_cstr(out, "a.b");
        if (depends_on) {
            pack_key(out, "dependsOn");
            pack_cstr(out, depends_on);
        }
    }
}

static void test_long_chains_and_cycles(void)
{
    enum { WORKERS = 20000 };
    struct buf out = {0};
    for (int cyclic = 0; cyclic < 2; cyclic++) {
        struct arena arena = {0};
        struct definition_set set = {0};
        struct synk_error error = {0};
        struct node document;
        char last[16];
        snprintf(last, sizeof(last), "w%u", WORKERS - 1);
        buf_clear(&out);
        put_chain(&out, WORKERS, cyclic ? last : NULL);
        CU_ASSERT_EQUAL_FATAL(definition_node_decode(buf_bytes(&out), &arena, &document, &error),
                              SYNK_OK);
        enum synk_status status =
            definition_validate(&document, "sent", NULL, &checker, &set, &error);
        if (cyclic) {
            CU_ASSERT_EQUAL(status, SYNK_INVALID);
            CU_ASSERT_STRING_EQUAL(error.text, "process 'chain': dependency cycle: w0 -> w19999 -> "
                                               "w19998 -> w19997 -> w19996 -> w19995 -> w19994 -> "
                                               "(19992 more) -> w1 -> w0");
        } else {
            CU_ASSERT_EQUAL_FATAL(status, SYNK_OK);
            const struct definition *d = set.units[0];
            CU_ASSERT_PTR_EQUAL(d->workers[0].worker, d->workers[WORKERS - 1].worker);
        }
        definition_set_fini(&set);
        arena_fini(&arena);
    }
    buf_fini(&out);
}

static void test_corrupt_records(void)
{
    struct definition *d = one(media);
    struct definition *again = NULL;
    struct synk_error error = {0};
    struct buf out = {0};
    definition_encode(d, &out);
    for (size_t cut = 0; cut < out.size; cut += 7)
        CU_ASSERT_EQUAL(
            definition_decode(bytes_of(out.data, cut), NULL, 0, &checker, &again, &error),
            SYNK_CORRUPT);
    srand(11);
    for (int i = 0; i < 2000; i++) {
        uint8_t *byte = &out.data[(size_t)rand() % out.size], old = *byte;
        *byte = (uint8_t)rand();
        if (!definition_decode(buf_bytes(&out), NULL, 0, &checker, &again, &error))
            definition_unref(again);
        *byte = old;
    }
    CU_ASSERT_EQUAL(definition_decode(bytes_str("\xc0"), NULL, 0, &checker, &again, &error),
                    SYNK_CORRUPT);
    CU_ASSERT_STRING_EQUAL(error.text, "header record: not a map");
    definition_unref(d);
    buf_fini(&out);
}

static void test_ids(void)
{
    static const struct {
        const char *id;
        bool valid;
    } cases[] = {{"a", true},         {"Fast Cleanup", true},  {"größe:1", true}, {"", false},
                 {"a/b", false},      {"a#1", false},          {"a\nb", false},   {"a\x7f", false},
                 {"\xc2\x85", false}, {"\xe2\x80\xa8", false}, {"\xff", false},   {"日本", true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        CU_ASSERT_EQUAL(definition_id_is_valid(bytes_str(cases[i].id)), cases[i].valid);
    char longest[LIMIT_ID_BYTES + 1];
    memset(longest, 'x', sizeof(longest));
    CU_ASSERT(definition_id_is_valid(bytes_of(longest, LIMIT_ID_BYTES)));
    CU_ASSERT(!definition_id_is_valid(bytes_of(longest, LIMIT_ID_BYTES + 1)));
}

static void test_durations(void)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1 = refused */
    } cases[] = {{"1500", 1500},
                 {"90s", 90000},
                 {"5m", 300000},
                 {"2h", 7200000},
                 {"250ms", 250},
                 {"1d", 86400000},
                 {"0", 0},
                 {"", -1},
                 {"s", -1},
                 {"1.5s", -1},
                 {"-1", -1},
                 {"5 m", -1},
                 {"99999999999999999999999", -1},
                 {"3650d", 315360000000},
                 {"3651d", -1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int64_t ms = -1;
        enum synk_status status = definition_duration(bytes_str(cases[i].text), &ms, NULL);
        CU_ASSERT_EQUAL(status, cases[i].ms < 0 ? SYNK_INVALID : SYNK_OK);
        CU_ASSERT_EQUAL(ms, cases[i].ms);
    }
}

static void test_payload_limit(void)
{
    for (int over = 0; over < 2; over++) {
        struct definition_set set = {0};
        struct synk_error error = {0};
        struct buf text = {0};
        char *big = mem_zalloc(LIMIT_VALUE_BYTES + 1, 1);
        memset(big, 'x', LIMIT_VALUE_BYTES - 6 + (size_t)over * 2);
        buf_printf(&text, "workers: [{id: a, run: x.y, payload: '%s'}]", big);
        buf_append(&text, "", 1);
        CU_ASSERT_EQUAL(validate((char *)text.data, NULL, &set, &error),
                        over ? SYNK_TOO_LARGE : SYNK_OK);
        definition_set_fini(&set);
        buf_fini(&text);
        free(big);
    }
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"refuses", test_refuses},
        {"bad_expressions_name_their_place", test_bad_expressions_name_their_place},
        {"reads_every_field", test_reads_every_field},
        {"encodes_canonically", test_encodes_canonically},
        {"round_trips_whatever_is_legal", test_round_trips_whatever_is_legal},
        {"failure_leaves_the_set_unchanged", test_failure_leaves_the_set_unchanged},
        {"warns_of_unheeded_run_mode", test_warns_of_unheeded_run_mode},
        {"long_chains_and_cycles", test_long_chains_and_cycles},
        {"corrupt_records", test_corrupt_records},
        {"ids", test_ids},
        {"durations", test_durations},
        {"payload_limit", test_payload_limit},
        {NULL, NULL},
    };
    expression = expression_new();
    checker = expression_checker(expression);
    checker.calendar = &calendar_utc;
    int code = unit_main(argc, argv, "definition", cases);
    expression_free(expression);
    return code;
}
