/*
 * Reading YAML and JSON: what becomes of scalars, anchors and merges, where errors point, and that
 * hostile files are refused quickly. Nodes are compared by the JSON of their encoding.
 */
#include "proto/definition_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/json.h"
#include "tests/support/unit.h"

static struct expression *expression;
static struct expression_checker checker;

/* The tree as text: kinds are told by JSON, unresolved scalars by their quotes. */
static void print_node(const struct node *node, struct buf *out)
{
    switch (node->kind) {
    case NODE_NULL:
        buf_printf(out, "null");
        break;
    case NODE_BOOL:
        buf_printf(out, node->boolean ? "true" : "false");
        break;
    case NODE_INT:
        buf_printf(out, "%lld", (long long)node->integer);
        break;
    case NODE_DOUBLE:
        buf_printf(out, "%g!", node->number);
        break;
    case NODE_STRING:
        json_print_string(node->text, out);
        break;
    case NODE_ARRAY:
    case NODE_MAP:
        buf_printf(out, node->kind == NODE_MAP ? "{" : "[");
        for (uint32_t i = 0; i < node->count; i++) {
            buf_printf(out, "%s", i ? "," : "");
            if (node->kind == NODE_MAP) {
                print_node(&node->keys[i], out);
                buf_printf(out, ":");
            }
            print_node(&node->items[i], out);
        }
        buf_printf(out, node->kind == NODE_MAP ? "}" : "]");
        break;
    }
}

static void check_reads(struct synk_bytes text, const char *expected)
{
    struct arena arena = {0};
    struct buf out = {0};
    struct node node;
    struct synk_error error = {0};
    enum synk_status status = definition_parse_yaml(text, "x.yaml", &arena, &node, &error);
    if (status)
        buf_printf(&out, "%s", error.text);
    else
        print_node(&node, &out);
    buf_append(&out, "", 1);
    if (strcmp((char *)out.data, expected) != 0)
        printf("\n%s\n", (char *)out.data);
    CU_ASSERT_STRING_EQUAL((char *)out.data, expected);
    buf_fini(&out);
    arena_fini(&arena);
}

static void test_scalars(void)
{
    static const struct {
        const char *yaml, *tree;
    } cases[] = {
        {"on", "\"on\""},
        {"[yes, no, on, off, y, True, FALSE, 'true']",
         "[\"yes\",\"no\",\"on\",\"off\",\"y\",true,false,\"true\"]"},
        {"[null, ~, '', Null, NULL, nil]", "[null,null,\"\",null,null,\"nil\"]"},
        {"a:\nb: x\n", "{\"a\":null,\"b\":\"x\"}"},
        {"[0, -7, +3, 007, 0x1F, 0o17, 1_000]", "[0,-7,3,7,31,15,\"1_000\"]"},
        {"[9223372036854775807, -9223372036854775808]",
         "[9223372036854775807,-9223372036854775808]"},
        {"[1.5, .5, 1., 1e3, -2E-2, .inf, -.inf, 1e, 1.2.3, -, .]",
         "[1.5!,0.5!,1!,1000!,-0.02!,inf!,-inf!,\"1e\",\"1.2.3\",\"-\",\".\"]"},
        {"[12:30, 2024-01-01, 1 2]", "[\"12:30\",\"2024-01-01\",\"1 2\"]"},
        {"[!!str 12, ! 13, !!int '14']", "[\"12\",\"13\",14]"},
        {"{1: a, true: b, 1.50: c}", "{\"1\":\"a\",\"true\":\"b\",\"1.50\":\"c\"}"},
        {"|\n  two\n  lines\n", "\"two\\nlines\\n\""},
        {"\xef\xbb\xbf"
         "a: 1",
         "{\"a\":1}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        check_reads(bytes_str(cases[i].yaml), cases[i].tree);
}

static void test_json(void)
{
    static const struct {
        const char *json, *tree;
    } cases[] = {
        {"{\"a\":[1,2.5,true,null,\"x\"]}", "{\"a\":[1,2.5!,true,null,\"x\"]}"},
        {"{\"u\": \"a\\/b\\u00e9\\ud83d\\ude00\\n\\\"\\\\\"}",
         "{\"u\":\"a/bé\xf0\x9f\x98\x80\\n\\\"\\\\\"}"},
        {"{\"u\": \"\\\\ud83d\\\\ude00\"}", "{\"u\":\"\\\\ud83d\\\\ude00\"}"},
        {"[\"\xc2\x85|\x7f|\xe2\x80\xa8|\"]", NULL},
        {"\n\t{\n\t\t\"a\":\t1\r\n}\n\t", "{\"a\":1}"},
        {"{\"# no comment\": \"- x: y\", \"on\": \"on\"}",
         "{\"# no comment\":\"- x: y\",\"on\":\"on\"}"},
        {"[-0, 1E+2, 0.0]", "[0,100!,0!]"},
        {"{\"u\": \"\\ud83d\"}",
         "x.yaml:1:10: found invalid Unicode character escape code, while parsing a quoted scalar"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (cases[i].tree)
            check_reads(bytes_str(cases[i].json), cases[i].tree);
    struct arena arena = {0};
    struct node node;
    CU_ASSERT_EQUAL_FATAL(definition_parse_yaml(bytes_str(cases[3].json), "x", &arena, &node, NULL),
                          SYNK_OK);
    CU_ASSERT(bytes_equal(node.items[0].text, bytes_str("\xc2\x85|\x7f|\xe2\x80\xa8|")));
    arena_fini(&arena);
}

static void test_anchors_and_merges(void)
{
    static const struct {
        const char *yaml, *tree;
    } cases[] = {
        {"a: &x [1, 2]\nb: *x\n", "{\"a\":[1,2],\"b\":[1,2]}"},
        {"a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  k: 3\n",
         "{\"a\":{\"k\":1,\"l\":2},\"b\":{\"k\":3,\"l\":2}}"},
        {"- &x {k: 1}\n- &y {k: 2, l: 2}\n- <<: [*x, *y]\n  m: 3\n",
         "[{\"k\":1},{\"k\":2,\"l\":2},{\"m\":3,\"k\":1,\"l\":2}]"},
        {"{'<<': 1}", "{\"<<\":1}"},
        {"a: &x 1\nb: &x 2\nc: *x\n", "{\"a\":1,\"b\":2,\"c\":2}"},
        {"{<<: 3}", "x.yaml:1:6: '<<' takes a map or a list of maps"},
        {"a: *b", "x.yaml:1:4: an alias of an anchor that is not known here"},
        {"a: &b [*b]", "x.yaml:1:8: an alias of an anchor that is not known here"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        check_reads(bytes_str(cases[i].yaml), cases[i].tree);
}

static void test_refuses(void)
{
    static const struct {
        const char *yaml, *text;
    } cases[] = {
        {"", "x.yaml:1:1: the file is empty"},
        {"# nothing\n", "x.yaml:1:1: the file is empty"},
        {"a: 1\nb: 2\na: 3\n", "x.yaml:3:1: duplicate key 'a'"},
        {"a: 1\n---\nb: 2\n", "x.yaml:2:1: a second document in one file"},
        {"a:\n\t- b\n", "x.yaml:2:1: a tab cannot indent or begin a value in YAML: write spaces, "
                        "while scanning for the next "
                        "token"},
        {"a: [1, 2\nb: 3\n",
         "x.yaml:2:2: did not find expected ',' or ']', while parsing a flow sequence"},
        {"a: 99999999999999999999\n", "x.yaml:1:4: an integer past 64 bits"},
        {"a: !python/object x\n", "x.yaml:1:4: a tag that is not understood here"},
        {"? [a]\n: b\n", "x.yaml:1:3: a map's key must be a string"},
        {"~: b\n", "x.yaml:1:1: a map's key must be a string"},
        {"a: \"\\0\"\n", "x.yaml:1:4: a NUL character in a string"},
        {"a: b\nc: \xff\n", "x.yaml:2:1: bytes that are not UTF-8 in this line"},
        {"a: b\nc: \x01\n", "x.yaml:2:4: control characters are not allowed"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        check_reads(bytes_str(cases[i].yaml), cases[i].text);
    check_reads(bytes_of("a: b\n\0", 6), "x.yaml:2:1: a NUL byte");
}

static void test_deep_and_wide_attacks(void)
{
    struct buf text = {0};
    for (int i = 0; i < 100000; i++)
        buf_append(&text, "[", 1);
    check_reads(buf_bytes(&text), "x.yaml:1:65: nested too deep");
    buf_clear(&text);
    for (int i = 0; i < 1000; i++)
        buf_append(&text, "- ", 2);
    check_reads(buf_bytes(&text), "x.yaml:1:129: nested too deep");
    buf_clear(&text);
    buf_printf(&text, "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++)
        buf_printf(&text,
                   "l%d: &l%d [*l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d, *l%d]\n", i, i,
                   i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    check_reads(buf_bytes(&text),
                "x.yaml:8:15: too many items (anchors count wherever they are used)");
    buf_clear(&text);
    buf_printf(&text, "a0: &a0 [x]\n");
    for (int i = 1; i < 100; i++)
        buf_printf(&text, "a%d: &a%d [*a%d]\n", i, i, i - 1);
    check_reads(buf_bytes(&text), "x.yaml:64:12: nested too deep");
    buf_fini(&text);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
}

static void test_loads_files(void)
{
    struct definition_set set = {0};
    struct synk_error error = {0};
    char path[300], expected[600];
    snprintf(path, sizeof(path), "%s/a.yaml", unit_directory());
    write_file(path, "workers: [{id: a, command: ls}, {id: b, command: ls, cwd: ./x, envFile: e}]");
    CU_ASSERT_EQUAL_FATAL(definition_load_file(path, &checker, &set, &error), SYNK_OK);
    CU_ASSERT_EQUAL_FATAL(set.count, 2);
    char *real = realpath(unit_directory(), NULL);
    struct buf json = {0};
    json_print_encoded(set.units[0]->workers[0].payload, 0, &json);
    buf_append(&json, "", 1);
    snprintf(expected, sizeof(expected), "{\"command\":\"ls\",\"cwd\":\"%s\"}", real);
    CU_ASSERT_STRING_EQUAL((char *)json.data, expected);
    buf_clear(&json);
    json_print_encoded(set.units[1]->workers[0].payload, 0, &json);
    buf_append(&json, "", 1);
    snprintf(expected, sizeof(expected),
             "{\"command\":\"ls\",\"cwd\":\"%s/x\",\"envFile\":\"%s/e\"}", real, real);
    CU_ASSERT_STRING_EQUAL((char *)json.data, expected);
    CU_ASSERT_EQUAL(definition_load_file(path, &checker, &set, &error), SYNK_INVALID);
    CU_ASSERT_EQUAL(set.count, 2);
    snprintf(path, sizeof(path), "%s/b.yaml", unit_directory());
    write_file(path, "processes:\n- id: p\n  workers:\n  - id: w\n    command: ls\n"
                     "    runOnStart: true\n");
    CU_ASSERT_EQUAL(definition_load_file(path, &checker, &set, &error), SYNK_UNSUPPORTED);
    CU_ASSERT_EQUAL(set.count, 2);
    snprintf(expected, sizeof(expected),
             "%s:6: process 'p', worker 'w': 'runOnStart' is not for a worker inside a process: "
             "it belongs to the process, or to a worker that stands alone",
             path);
    CU_ASSERT_STRING_EQUAL(error.text, expected);
    CU_ASSERT_EQUAL(definition_load_file("/no/such", &checker, &set, &error), SYNK_IO);
    CU_ASSERT_STRING_EQUAL(error.text, "cannot open /no/such: No such file or directory");
    CU_ASSERT_EQUAL(definition_load_file(unit_directory(), &checker, &set, &error), SYNK_IO);
    buf_fini(&json);
    free(real);
    definition_set_fini(&set);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"scalars", test_scalars},
        {"json", test_json},
        {"anchors_and_merges", test_anchors_and_merges},
        {"refuses", test_refuses},
        {"deep_and_wide_attacks", test_deep_and_wide_attacks},
        {"loads_files", test_loads_files},
        {NULL, NULL},
    };
    expression = expression_new();
    checker = expression_checker(expression);
    int code = unit_main(argc, argv, "definition_yaml", cases);
    expression_free(expression);
    return code;
}
