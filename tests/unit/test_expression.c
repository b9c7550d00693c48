/* Expressions: what they compute, what they refuse, and what an attacker gets from them. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/check.h"
#include "proto/expression.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/pack.h"
#include "proto/value.h"
#include "tests/support/unit.h"

/* One set of bindings that most cases share. */
struct fixture {
    struct expression *expression;
    struct evaluator evaluator;
    struct expression_checker checker;
    struct buf result, payload, params, probe, other;
    struct expression_input inputs[3];
    struct expression_bindings bindings;
};

static void parse(const char *json, struct buf *out)
{
    CU_ASSERT_EQUAL_FATAL(json_parse(bytes_str(json), out, NULL), SYNK_OK);
}

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.expression = expression_new()};
    f->evaluator = expression_evaluator(f->expression);
    f->checker = expression_checker(f->expression);
    parse("{\"duration\":42,\"name\":\"x\",\"list\":[10,20,null],\"rate\":0.5,\"none\":null,"
          "\"deep\":{\"ok\":true}}",
          &f->result);
    parse("{\"limit\":60}", &f->payload);
    parse("[1,2]", &f->params);
    parse("{\"duration\":60.5}", &f->probe);
    parse("\"done\"", &f->other);
    f->inputs[0] = (struct expression_input){bytes_str("Probe"), buf_bytes(&f->probe)};
    f->inputs[1] = (struct expression_input){bytes_str("Fast-Cleanup"), buf_bytes(&f->other)};
    f->inputs[2] = (struct expression_input){bytes_str("Nothing"), {NULL, 0}};
    f->bindings = (struct expression_bindings){.result = buf_bytes(&f->result),
                                               .payload = buf_bytes(&f->payload),
                                               .params = buf_bytes(&f->params),
                                               .inputs = f->inputs,
                                               .input_count = 3,
                                               .attempt = 3,
                                               .status = "succeeded"};
}

static void fixture_fini(struct fixture *f)
{
    buf_fini(&f->result);
    buf_fini(&f->payload);
    buf_fini(&f->params);
    buf_fini(&f->probe);
    buf_fini(&f->other);
    expression_free(f->expression);
}

static void test_conditions(void)
{
    static const struct {
        const char *source;
        bool value;
    } table[] = {
        {"result.duration < 60", true},
        {"result.duration >= payload.limit", false},
        {"inputs.Probe.duration > 60 and inputs[\"Fast-Cleanup\"] == 'done'", true},
        {"inputs.Nothing == nil and inputs.Absent == nil", true},
        {"result.list[1] == 10 and #result.list == 3 and result.list[3] == nil", true},
        {"result.list[0] == nil and result.list[99] == nil and result.list['1'] == nil", true},
        {"result.list[2.0] == 20", true},
        {"params[2] == 2 and attempt == 3 and status == 'succeeded'", true},
        {"type(result) == 'table' and type(inputs) == 'table' and type(nil) == 'nil'", true},
        {"result.deep == result.deep and result.deep ~= result", true},
        {"result.none == nil and not result.none", true},
        {"math.type(result.duration) == 'integer' and math.type(result.rate) == 'float'", true},
        {"tonumber('10') + 1 == 11 and math.floor(2.7) == 2 and math.max(1, 2) == 2", true},
        {"string.upper(result.name) == 'X' and result.name:len() == 1", true},
        {"('abc'):sub(2, 3) == 'bc' and #'abc' == 3", true},
        {"({a = 1, result = 2}).result == 2", true},
        {"'&& || != =>' == \"&& || != =>\" -- && ||", true},
        {"[[ ! ]] ~= nil --[==[ != ]==]", true},
        {"\n  result.duration < 60\n  and true\n", true},
        {"status == nil", false},
        {"(1 << 4) | 1 == 17", true},
    };
    struct fixture f;
    fixture_init(&f);
    for (int round = 0; round < 2; round++) { /* the second time from the cache */
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
            struct synk_error error = {0};
            bool value = !table[i].value;
            enum synk_status status =
                f.evaluator.condition(f.expression, table[i].source, &f.bindings, &value, &error);
            if (status != SYNK_OK || value != table[i].value)
                printf("%s: %d %s\n", table[i].source, value, error.text);
            CU_ASSERT_EQUAL(status, SYNK_OK);
            CU_ASSERT_EQUAL(value, table[i].value);
        }
    }
    fixture_fini(&f);
}

static void test_condition_errors(void)
{
    static const char *const table[][2] = {
        {"1", "condition '1' gave a number, not true or false"},
        {"nil", "condition 'nil' gave nil, not"},
        {"result", "gave a table, not"},
        {"type", "gave a function, not"},
        {"result.missing < 60",
         "condition 'result.missing < 60': attempt to compare nil with number"},
        {"result.missing.field", "attempt to index a nil value (field 'missing')"},
        {"inputs.Absent.duration > 1", "attempt to index a nil value (field 'Absent')"},
        {"result.deep < 1", "attempt to compare table with number"},
        {"result.deep + 1", "arithmetic on a table value (field 'deep')"},
        {"result()", "attempt to call a table value (global 'result')"},
        {"'10' + 1", "arithmetic on a string value"},
        {"math.floor({})", "bad argument #1 to 'floor' (number expected, got table)"},
        {"tonumber(1, 99)", "bad argument"},
        {"1 // 0 == 1", "attempt to divide by zero"},
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct synk_error error = {0};
        bool value = true;
        CU_ASSERT_EQUAL(
            f.evaluator.condition(f.expression, table[i][0], &f.bindings, &value, &error),
            SYNK_INVALID);
        if (!strstr(error.text, table[i][1]))
            printf("%s: %s\n", table[i][0], error.text);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, table[i][1]));
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, table[i][0]));
        CU_ASSERT(value);
    }
    struct expression_bindings none = {0};
    struct synk_error error = {0};
    bool value;
    CU_ASSERT_EQUAL(
        f.evaluator.condition(f.expression, "result.duration < 60", &none, &value, &error),
        SYNK_INVALID);
    CU_ASSERT_STRING_EQUAL(error.text, "condition 'result.duration < 60': attempt to index a nil "
                                       "value (global 'result')");
    /* What may be left out is an empty table, so that what is missing is named. */
    CU_ASSERT_EQUAL(f.evaluator.condition(
                        f.expression, "params.n == nil and payload.n == nil and inputs.n == nil",
                        &none, &value, &error),
                    SYNK_OK);
    CU_ASSERT(value);
    CU_ASSERT_EQUAL(f.evaluator.condition(f.expression, "params.n.m == 1", &none, &value, &error),
                    SYNK_INVALID);
    CU_ASSERT_STRING_EQUAL(error.text, "condition 'params.n.m == 1': attempt to index a nil value "
                                       "(field 'n')");
    none.result = bytes_of("\xc1", 1);
    CU_ASSERT_EQUAL(f.evaluator.condition(f.expression, "result == 1", &none, &value, &error),
                    SYNK_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "result cannot be decoded: byte 0"));
    fixture_fini(&f);
}

static void test_check_refuses(void)
{
    static const char *const table[][2] = {
        {"", "column 1: the expression is empty"},
        {"  -- nothing", "column 1: the expression is empty"},
        {"a < 1", "column 1: unknown name 'a'"},
        {"result.a && 1", "column 10: '&&' is written 'and' in Lua"},
        {"result.a || 1", "column 10: '||' is written 'or' in Lua"},
        {"!result.a", "column 1: '!' is written 'not' in Lua"},
        {"result != 1", "column 8: '!=' is written '~=' in Lua"},
        {"result => 1", "column 8: '=>' is written '>=' in Lua"},
        {"result === 1", "column 8: '===' is written '==' in Lua"},
        {"result = 1", "column 8: '=' compares as '==' in Lua"},
        {"result == null", "column 11: 'null' is written 'nil' in Lua"},
        {"(function() end)()", "column 2: 'function' is not allowed"},
        {"1 while true do end", "column 3: 'while' is not allowed"},
        {"1; result = 2", "column 2: an expression has one value"},
        {"1, 2", "column 2: an expression has one value"},
        {"1) or (2", "column 2: <eof> expected near ')'"},
        {"result.a <", "column 11: unexpected symbol near <eof>"},
        {"result.a < < 1", "column 12: unexpected symbol near '<'"},
        {"1 < 2 < ) < 3", "column 9: unexpected symbol near ')'"},
        {"'\xc3\xa4' == 'a' 5", "column 12: <eof> expected near '5'"},
        {"1 +\n 2 3", "line 2, column 4: <eof> expected near '3'"},
        {"result.a == 'x", "column 13: a string that does not end"},
        {"[[x", "column 1: a string that does not end"},
        {"1 --[[ x", "column 3: a comment that does not end"},
        {"3x", "column 1: malformed number near '3x'"},
        {"'\\q'", "column 1: invalid escape sequence"},
        {"result @ 1", "column 8: a character that Lua does not have"},
        {"...", "column 1: '...' is not allowed"},
        {"os.exit()", "unknown name 'os'"},
        {"load('x')", "unknown name 'load'"},
        {"require 'os'", "unknown name 'require'"},
        {"_G.os", "unknown name '_G'"},
        {"_ENV.os", "unknown name '_ENV'"},
        {"io.open('/etc/passwd')", "unknown name 'io'"},
        {"next(result)", "unknown name 'next'"},
        {"pairs(result)", "unknown name 'pairs'"},
        {"setmetatable({}, {})", "unknown name 'setmetatable'"},
        {"\x1bLua", "column 1: a character that Lua does not have"},
        {"result\xff", "not UTF-8"},
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct synk_error error = {0};
        unsigned uses = 77;
        bool value;
        CU_ASSERT_EQUAL(f.checker.check(f.expression, bytes_str(table[i][0]), &uses, &error),
                        SYNK_INVALID);
        if (!strstr(error.text, table[i][1]))
            printf("%s: %s\n", table[i][0], error.text);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, table[i][1]));
        CU_ASSERT_EQUAL(uses, 77);
        CU_ASSERT_EQUAL(f.evaluator.condition(f.expression, table[i][0], &f.bindings, &value, NULL),
                        SYNK_INVALID);
    }
    CU_ASSERT_EQUAL(f.checker.check(f.expression, bytes_of("1\0+", 3), &(unsigned){0}, NULL),
                    SYNK_INVALID);
    fixture_fini(&f);
}

static void test_check_tells_uses(void)
{
    static const struct {
        const char *source;
        unsigned uses;
    } table[] = {
        {"true", 0},
        {"result.inputs.payload", EXPRESSION_USES_RESULT},
        {"inputs.result", EXPRESSION_USES_INPUTS},
        {"payload and params", EXPRESSION_USES_PAYLOAD | EXPRESSION_USES_PARAMS},
        {"'result' .. \"inputs\" .. [[params]] -- payload", 0},
        {"({result = params, 1}).result", EXPRESSION_USES_PARAMS},
        {"({result == 1})", EXPRESSION_USES_RESULT},
        {"1 ..result", EXPRESSION_USES_RESULT},
        {"result:payload()", EXPRESSION_USES_RESULT},
        {"attempt + #status", 0},
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct synk_error error = {0};
        unsigned uses = 99;
        CU_ASSERT_EQUAL(f.checker.check(f.expression, bytes_str(table[i].source), &uses, &error),
                        SYNK_OK);
        if (uses != table[i].uses)
            printf("%s: %u %s\n", table[i].source, uses, error.text);
        CU_ASSERT_EQUAL(uses, table[i].uses);
    }
    fixture_fini(&f);
}

static void test_delays(void)
{
    static const struct {
        const char *source;
        int64_t delay_ms; /* -1: an error */
    } table[] = {
        {"100 * 2^attempt", 800},
        {"1500", 1500},
        {"2.9", 2},
        {"0", 0},
        {"-0.0", 0},
        {"1e300", INT64_C(315360000000)},
        {"math.maxinteger", INT64_C(315360000000)},
        {"-1", -1},
        {"-0.5", -1},
        {"0/0", -1},
        {"1/0", -1},
        {"-1/0", -1},
        {"'5'", -1},
        {"nil", -1},
        {"true", -1},
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct synk_error error = {0};
        int64_t delay_ms = -1;
        enum synk_status status =
            f.evaluator.delay(f.expression, table[i].source, &f.bindings, &delay_ms, &error);
        CU_ASSERT_EQUAL(status, table[i].delay_ms < 0 ? SYNK_INVALID : SYNK_OK);
        CU_ASSERT_EQUAL(delay_ms, table[i].delay_ms);
        CU_ASSERT(status == SYNK_OK || strstr(error.text, table[i].source));
    }
    fixture_fini(&f);
}

static char *expand(struct fixture *f, const char *payload, struct synk_error *error)
{
    struct buf encoded = {0}, expanded = {0}, text = {0};
    parse(payload, &encoded);
    pack_null(&expanded);
    if (f->evaluator.expand(f->expression, buf_bytes(&encoded), &f->bindings, &expanded, error) ==
        SYNK_OK) {
        struct synk_bytes value = bytes_of(expanded.data + 1, expanded.size - 1);
        CU_ASSERT_EQUAL(check_value(value, &check_message_limits, NULL), SYNK_OK);
        json_print_encoded(value, 0, &text);
        buf_append(&text, "", 1);
    } else {
        CU_ASSERT_EQUAL(expanded.size, 1);
    }
    buf_fini(&encoded);
    buf_fini(&expanded);
    return (char *)text.data;
}

static void test_templates(void)
{
    static const char *const table[][2] = {
        {"\"a ${{ 1 }}\"", "\"a 1\""},
        {"\"$${{1}}$ }} ${ {\"", "\"$1$ }} ${ {\""},
        {"\"${{ result.name }}-${{ result.duration }}/${{inputs.Probe.duration}}\"",
         "\"x-42/60.5\""},
        {"\"${{ 100 * 2^attempt }} ${{ true }} ${{ 10 // 4 }} ${{ 1e15 }}\"",
         "\"800.0 true 2 1e+15\""},
        {"\"${{ '}}' }}${{ ({a={1}}).a[1] }}${{ {{1}} }}\"", "\"}}1[[1]]\""},
        {"\"${{ result.deep }} ${{ params }}\"", "\"{\\\"ok\\\":true} [1,2]\""},
        {"\"${{ {b = 1, a = {1, nil, 'x'}, c = result.deep} }}\"",
         "\"{\\\"a\\\":[1,null,\\\"x\\\"],\\\"b\\\":1,\\\"c\\\":{\\\"ok\\\":true}}\""},
        {"\"${{ inputs }}\"", "\"{\\\"Probe\\\":{\\\"duration\\\":60.5},\\\"Fast-Cleanup\\\":"
                              "\\\"done\\\",\\\"Nothing\\\":null}\""},
        {"[\"${{1}}\",{\"${{1}}\":\"${{1}}\"},2]", "[\"1\",{\"${{1}}\":\"1\"},2]"},
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct synk_error error = {0};
        char payload[512], expected[512];
        snprintf(payload, sizeof(payload), "{\"command\":[%s],\"x\":\"${{ 1 }}\"}", table[i][0]);
        snprintf(expected, sizeof(expected), "{\"command\":[%s],\"x\":\"${{ 1 }}\"}", table[i][1]);
        char *text = expand(&f, payload, &error);
        if (!text || strcmp(text, expected) != 0)
            printf("%s: %s %s\n", payload, text ? text : "", error.text);
        CU_ASSERT(text && strcmp(text, expected) == 0);
        free(text);
    }
    char *text = expand(&f, "{\"command\":\"echo ${{ 1 }}\",\"env\":{\"A\":\"${{ 1 }}\"}}", NULL);
    CU_ASSERT_STRING_EQUAL(text, "{\"command\":\"echo ${{ 1 }}\",\"env\":{\"A\":\"1\"}}");
    free(text);
    text = expand(&f, "[\"${{ 1 }}\"]", NULL);
    CU_ASSERT_STRING_EQUAL(text, "[\"${{ 1 }}\"]");
    free(text);
    fixture_fini(&f);
}

static void test_template_errors(void)
{
    static const char *const table[][2] = {
        {"${{ nil }}", "template 'nil': the value is nil"},
        {"${{ result.missing }}", "template 'result.missing': the value is nil"},
        {"${{ 1 / 0 }}", "template '1 / 0': the value is not a finite number"},
        {"${{ type }}", "the value is a function"},
        {"${{ {type} }}", "the value has a function"},
        {"${{ {1, a = 2} }}", "neither a list nor a map"},
        {"${{ ('\xc3\xa4'):sub(1, 1) }}", "the value is not text"},
        {"${{ '\\\\0' }}", "the value is not text"},
        {"a ${{ 1 ", "'${{ 1 ': '${{' without its '}}'"},
        {"${{ ' }}", "without its '}}'"},
        {"${{ }}", "the expression is empty"},
        {"${{ result &&1 }}", "template 'result &&1': column 8: '&&' is written"},
        {"${{ {{{{{{{{{{{{{{{{{{}}}}}}}}}}}}}}}}}} }}", "nested too deep"},
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct synk_error error = {0};
        char payload[512];
        snprintf(payload, sizeof(payload), "{\"command\":[\"%s\"]}", table[i][0]);
        CU_ASSERT_PTR_NULL(expand(&f, payload, &error));
        if (!strstr(error.text, table[i][1]))
            printf("%s: %s\n", payload, error.text);
        CU_ASSERT_EQUAL(error.status, SYNK_INVALID);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, table[i][1]));
    }
    struct synk_error error = {0};
    struct buf out = {0};
    CU_ASSERT_EQUAL(
        f.evaluator.expand(f.expression, bytes_of("\xc1", 1), &f.bindings, &out, &error),
        SYNK_INVALID);
    CU_ASSERT_EQUAL(error.status, SYNK_INVALID);
    fixture_fini(&f);
}

static void test_check_template(void)
{
    static const struct {
        const char *text;
        enum synk_status status;
        unsigned uses;
        size_t found;
    } table[] = {
        {"", SYNK_OK, 0, 0},
        {"plain $ {{ }} ${", SYNK_OK, 0, 0},
        {"${{ inputs.a }} and ${{ params }}", SYNK_OK,
         EXPRESSION_USES_INPUTS | EXPRESSION_USES_PARAMS, 2},
        {"${{", SYNK_INVALID, 0, 0},
        {"${{ 1 }} ${{ 1 }", SYNK_INVALID, 0, 0},
        {"${{ 1 }} ${{ os }}", SYNK_INVALID, 0, 0},
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct synk_error error = {0};
        unsigned uses = 0;
        size_t found = 0;
        CU_ASSERT_EQUAL(
            f.checker.check_template(f.expression, bytes_str(table[i].text), &uses, &found, &error),
            table[i].status);
        CU_ASSERT_EQUAL(uses, table[i].uses);
        CU_ASSERT_EQUAL(found, table[i].found);
    }
    fixture_fini(&f);
}

/* What is out of reach reads as nil, however it is asked for. */
static void test_sandbox_is_closed(void)
{
    static const char *const table[] = {
        "string.rep == nil",      "string.format == nil",  "string.dump == nil",
        "string.gsub == nil",     "string.find == nil",    "('x').rep == nil",
        "('x').gmatch == nil",    "('x').__index == nil",  "math.random == nil",
        "math.randomseed == nil", "result.__index == nil", "inputs.__index == nil",
        "string.__index == nil",
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        bool value = false;
        CU_ASSERT_EQUAL(f.evaluator.condition(f.expression, table[i], &f.bindings, &value, NULL),
                        SYNK_OK);
        CU_ASSERT(value);
    }
    struct synk_error error = {0};
    CU_ASSERT_EQUAL(f.evaluator.condition(f.expression, "('x'):rep(1e9) == 1", &f.bindings,
                                          &(bool){false}, &error),
                    SYNK_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "attempt to call a nil value (method 'rep')"));
    fixture_fini(&f);
}

static void test_memory_is_bounded(void)
{
    struct fixture f;
    fixture_init(&f);
    struct buf text = {0}, value = {0}, source = {0};
    for (int i = 0; i < 20000; i++)
        buf_printf(&text, "0123456789");
    pack_string(&value, buf_bytes(&text));
    f.bindings.result = buf_bytes(&value);
    buf_printf(&source, "#(result");
    for (int i = 0; i < 100; i++)
        buf_printf(&source, "..result");
    buf_append(&source, ") > 1", 6);
    for (int round = 0; round < 50; round++) { /* the same answer whatever garbage there is */
        struct synk_error error = {0};
        bool is_long = false;
        CU_ASSERT_EQUAL(f.evaluator.condition(f.expression, (char *)source.data, &f.bindings,
                                              &(bool){false}, &error),
                        SYNK_INVALID);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "needs more than 1048576 bytes of memory"));
        CU_ASSERT(check_utf8(bytes_str(error.text)));
        CU_ASSERT_EQUAL(f.evaluator.condition(f.expression, "#(result .. result) == 400000",
                                              &f.bindings, &is_long, &error),
                        SYNK_OK);
        CU_ASSERT(is_long);
    }
    CU_ASSERT_EQUAL(f.evaluator.condition(f.expression, "result:upper():lower():upper() == ''",
                                          &f.bindings, &(bool){false}, NULL),
                    SYNK_INVALID);
    /* Many short names of one long value in a payload. */
    struct buf payload = {0}, out = {0};
    struct synk_error error = {0};
    pack_map(&payload, 1);
    pack_key(&payload, "command");
    pack_array(&payload, 100);
    for (int i = 0; i < 100; i++)
        pack_cstr(&payload, "${{ result }}");
    CU_ASSERT_EQUAL(
        f.evaluator.expand(f.expression, buf_bytes(&payload), &f.bindings, &out, &error),
        SYNK_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "larger than 1048576 bytes"));
    CU_ASSERT_EQUAL(out.size, 0);
    CU_ASSERT(out.capacity < (4 << 20));
    buf_fini(&payload);
    buf_fini(&out);
    buf_fini(&text);
    buf_fini(&value);
    buf_fini(&source);
    fixture_fini(&f);
}

static void test_sources_are_bounded(void)
{
    struct fixture f;
    fixture_init(&f);
    struct buf source = {0};
    struct synk_error error = {0};
    unsigned uses;
    buf_append(&source, "1", 1);
    while (source.size + 2 <= LIMIT_EXPRESSION_BYTES)
        buf_append(&source, "+1", 2);
    CU_ASSERT_EQUAL(f.checker.check(f.expression, buf_bytes(&source), &uses, &error), SYNK_OK);
    buf_append(&source, "+1", 2);
    CU_ASSERT_EQUAL(f.checker.check(f.expression, buf_bytes(&source), &uses, &error), SYNK_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "longer than 4096 bytes"));
    source.size = 0;
    for (int i = 0; i < 2000; i++)
        buf_append(&source, "(", 1);
    CU_ASSERT_EQUAL(f.checker.check(f.expression, buf_bytes(&source), &uses, &error), SYNK_INVALID);
    source.size = 0;
    for (int i = 0; i < 600; i++)
        buf_printf(&source, "not(");
    buf_append(&source, "1", 2);
    CU_ASSERT_EQUAL(f.evaluator.condition(f.expression, (char *)source.data, &f.bindings,
                                          &(bool){false}, &error),
                    SYNK_INVALID);
    buf_fini(&source);
    fixture_fini(&f);
}

/* More different sources than the cache holds: the state starts anew and nothing is forgotten. */
static void test_cache_is_bounded(void)
{
    struct fixture f;
    fixture_init(&f);
    for (int i = 0; i < 5000; i++) {
        char source[64];
        int64_t delay_ms = 0;
        snprintf(source, sizeof(source), "%d + attempt", i);
        CU_ASSERT_EQUAL(f.evaluator.delay(f.expression, source, &f.bindings, &delay_ms, NULL),
                        SYNK_OK);
        CU_ASSERT_EQUAL(delay_ms, i + 3);
    }
    expression_free(NULL);
    fixture_fini(&f);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"conditions", test_conditions},
        {"condition_errors", test_condition_errors},
        {"check_refuses", test_check_refuses},
        {"check_tells_uses", test_check_tells_uses},
        {"delays", test_delays},
        {"templates", test_templates},
        {"template_errors", test_template_errors},
        {"check_template", test_check_template},
        {"sandbox_is_closed", test_sandbox_is_closed},
        {"memory_is_bounded", test_memory_is_bounded},
        {"sources_are_bounded", test_sources_are_bounded},
        {"cache_is_bounded", test_cache_is_bounded},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "expression", cases);
}
