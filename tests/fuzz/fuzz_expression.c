/* Foreign text as a condition, a delay and a template: what passes the check evaluates within its
 * bounds, and every error is a text. */
#include <assert.h>
#include <stdlib.h>

#include "proto/check.h"
#include "proto/expression.h"
#include "proto/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct expression *expression;

static void fuzz_source(struct synk_bytes text, const struct expression_bindings *bindings)
{
    struct evaluator evaluator = expression_evaluator(expression);
    struct expression_checker checker = expression_checker(expression);
    struct synk_error error = {0};
    unsigned uses;
    char *source = mem_strndup(text.data, text.size);
    bool is_true;
    int64_t delay_ms = 0;
    (void)checker.check(expression, text, &uses, &error);
    assert(check_utf8(bytes_str(error.text)));
    (void)evaluator.condition(expression, source, bindings, &is_true, &error);
    (void)evaluator.delay(expression, source, bindings, &delay_ms, &error);
    assert(check_utf8(bytes_str(error.text)) && delay_ms >= 0);
    free(source);
}

static void fuzz_template(struct synk_bytes text, const struct expression_bindings *bindings)
{
    struct evaluator evaluator = expression_evaluator(expression);
    struct expression_checker checker = expression_checker(expression);
    struct buf payload = {0}, expanded = {0};
    unsigned uses;
    size_t found;
    (void)checker.check_template(expression, text, &uses, &found, NULL);
    pack_map(&payload, 1);
    pack_key(&payload, "env");
    pack_string(&payload, text);
    if (evaluator.expand(expression, buf_bytes(&payload), bindings, &expanded, NULL) == SYNK_OK)
        assert(check_value(buf_bytes(&expanded), &check_message_limits, NULL) == SYNK_OK);
    buf_fini(&payload);
    buf_fini(&expanded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char result[] = "\x83\xa1"
                                 "a\x01\xa1"
                                 "b\x92\xa1x\xc0\xa1"
                                 "c\x81\xa1"
                                 "d\xc4\x01\xff";
    if (!expression)
        expression = expression_new();
    struct expression_input input = {bytes_str("p"), bytes_of(data, size)};
    struct expression_bindings bindings = {.result = bytes_of(result, sizeof(result) - 1),
                                           .params = bytes_of(data, size),
                                           .inputs = &input,
                                           .input_count = 1,
                                           .attempt = 1,
                                           .status = "failed"};
    fuzz_source(bytes_of(data, size), &bindings);
    fuzz_template(bytes_of(data, size), &bindings);
    return 0;
}
