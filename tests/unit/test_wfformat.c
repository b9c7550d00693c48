/*
 * Recorded workflows become definitions. The small files here are written for their edges; with
 * SYNK_WFINSTANCES set to a directory of real recordings, every one of them must convert and
 * validate.
 */
#include "proto/definition_file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/unit.h"

static struct expression *expression;
static struct expression_checker checker;

static enum synk_status convert(const char *name, const char *json, double scale, struct buf *out,
                                struct synk_error *error)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", unit_directory(), name);
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(json, file);
    fclose(file);
    return wfformat_convert(path, scale, out, error);
}

static void test_converts(void)
{
    static const char *const json =
        "{\"workflow\":{\"specification\":{\"tasks\":["
        "{\"id\":\"a\",\"parents\":[]},"
        "{\"id\":\"b \\\"x\\\"\",\"parents\":[\"a\",\"a\"]},{\"id\":\"c\",\"parents\":[\"a\",\"b "
        "\\\"x\\\"\"]}]},\"execution\":{\"tasks\":["
        "{\"id\":\"c\",\"runtimeInSeconds\":0.0126},{\"id\":\"a\",\"runtimeInSeconds\":2},"
        "{\"id\":\"b \\\"x\\\"\",\"runtimeInSeconds\":1.5}]}}}";
    struct buf out = {0};
    struct synk_error error = {0};
    CU_ASSERT_EQUAL_FATAL(convert("small.json", json, 0.5, &out, &error), SYNK_OK);
    buf_append(&out, "", 1);
    CU_ASSERT_STRING_EQUAL(
        (char *)out.data,
        "{\"processes\":[{\"id\":\"small\",\"workers\":["
        "{\"id\":\"a\",\"run\":\"sim.sleep\",\"payload\":{\"ms\":1000},\"timeoutMs\":0},"
        "{\"id\":\"b \\\"x\\\"\",\"run\":\"sim.sleep\",\"payload\":{\"ms\":750},\"timeoutMs\":0,"
        "\"dependsOn\":[\"a\"]},"
        "{\"id\":\"c\",\"run\":\"sim.sleep\",\"payload\":{\"ms\":6},\"timeoutMs\":0,"
        "\"dependsOn\":[\"a\",\"b \\\"x\\\"\"]}]}]}");
    buf_fini(&out);
}

static void test_refuses(void)
{
    static const struct {
        const char *json, *text;
    } cases[] = {
        {"{}", "workflow.specification.tasks: must be a list of tasks"},
        {"{\"workflow\":{\"specification\":{\"tasks\":[{\"id\":\"a/b\"}]},\"execution\":{\"tasks\":"
         "[{\"id\":\"a/b\",\"runtimeInSeconds\":1}]}}}",
         "workflow.specification.tasks[0].id: 'a/b' is no id here (1 to 128 bytes of printable "
         "UTF-8 without / and #)"},
        {"{\"workflow\":{\"specification\":{\"tasks\":[{\"id\":\"a\"}]},\"execution\":{\"tasks\":"
         "[{\"id\":\"a\"}]}}}",
         "workflow.execution.tasks[0]: 'runtimeInSeconds' must be a number, 0 or more"},
        {"{\"workflow\":{\"specification\":{\"tasks\":[{\"id\":\"a\"}]},\"execution\":{\"tasks\":"
         "[{\"id\":\"b\",\"runtimeInSeconds\":1}]}}}",
         "workflow.specification.tasks[0].id: no task of that id in workflow.execution.tasks"},
        {"{\"workflow\":{\"specification\":{\"tasks\":[{\"id\":\"a\",\"parents\":\"b\"}]},"
         "\"execution\":{\"tasks\":[{\"id\":\"a\",\"runtimeInSeconds\":1}]}}}",
         "workflow.specification.tasks[0].parents: 'parents' must be a list"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct buf out = {0};
        struct synk_error error = {0};
        CU_ASSERT_EQUAL(convert("bad.json", cases[i].json, 1, &out, &error), SYNK_INVALID);
        const char *text = strstr(error.text, "bad.json: ");
        CU_ASSERT_PTR_NOT_NULL_FATAL(text);
        CU_ASSERT_STRING_EQUAL(text + strlen("bad.json: "), cases[i].text);
        CU_ASSERT_EQUAL(out.size, 0);
        buf_fini(&out);
    }
    struct buf out = {0};
    struct synk_error error = {0};
    CU_ASSERT_EQUAL(wfformat_convert("/no/such.json", 1, &out, &error), SYNK_IO);
    CU_ASSERT_EQUAL(convert("a#b.json", "{}", 1, &out, &error), SYNK_INVALID);
    buf_fini(&out);
}

static void check_recording(const char *path)
{
    struct buf out = {0};
    struct arena arena = {0};
    struct definition_set set = {0};
    struct synk_error error = {0};
    struct node document;
    enum synk_status status = wfformat_convert(path, 0.001, &out, &error);
    if (!status)
        status = definition_parse_yaml(buf_bytes(&out), path, &arena, &document, &error);
    if (!status)
        status = definition_validate(&document, path, "/", &checker, &set, &error);
    if (status)
        printf("\n%s\n", error.text);
    CU_ASSERT_EQUAL(status, SYNK_OK);
    if (!status) {
        printf("\n    %s: %u workers ", set.units[0]->id, set.units[0]->worker_count);
        CU_ASSERT(set.units[0]->is_graph);
    }
    definition_set_fini(&set);
    arena_fini(&arena);
    buf_fini(&out);
}

static void test_recordings(void)
{
    const char *directory = getenv("SYNK_WFINSTANCES");
    DIR *files = directory ? opendir(directory) : NULL;
    if (!files)
        return;
    for (struct dirent *entry; (entry = readdir(files));) {
        char path[600];
        if (!strstr(entry->d_name, ".json"))
            continue;
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        check_recording(path);
    }
    closedir(files);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"converts", test_converts},
        {"refuses", test_refuses},
        {"recordings", test_recordings},
        {NULL, NULL},
    };
    expression = expression_new();
    checker = expression_checker(expression);
    int code = unit_main(argc, argv, "wfformat", cases);
    expression_free(expression);
    return code;
}
