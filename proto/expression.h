/*
 * Expressions in definitions (`condition`, `retryDelayMs`, `${{ }}`): Lua 5.4 expressions in a
 * closed sandbox. The plain types here are for everyone; expression.c (Lua) implements them for the
 * shell, the validator and the simulator, and the core reaches it only through a struct evaluator.
 *
 * An evaluation is a pure function of its source and bindings: no clock, no randomness, no
 * iteration order, no I/O; at most LIMIT_EXPRESSION_INSTRUCTIONS and LIMIT_EXPRESSION_MEMORY_BYTES.
 */
#ifndef PROTO_EXPRESSION_H
#define PROTO_EXPRESSION_H

#include "proto/bytes.h"
#include "proto/status.h"

struct expression_input {
    struct synk_bytes name;  /* the parent's worker id */
    struct synk_bytes value; /* its encoded result; size 0 = null */
};

/* What an expression sees. Absent bindings read as nil. Encoded values are MessagePack. */
struct expression_bindings {
    struct synk_bytes result; /* of the parent concerned, or of the failed attempt */
    struct synk_bytes payload, params;
    const struct expression_input *inputs;
    size_t input_count;
    int64_t attempt;    /* from 1; 0 = nil */
    const char *status; /* of the parent, a task state's wire name; NULL = nil */
};

/* What an expression's source mentions: tells what must be kept for it. */
enum expression_uses {
    EXPRESSION_USES_RESULT = 1,
    EXPRESSION_USES_INPUTS = 2,
    EXPRESSION_USES_PAYLOAD = 4,
    EXPRESSION_USES_PARAMS = 8,
};

/* How the core evaluates. All calls are synchronous and pure; errors are SYNK_INVALID with a text
 * that quotes the source. */
struct evaluator {
    void *context;
    /* The source must yield true or false; anything else is an error. */
    enum synk_status (*condition)(void *context, const char *source,
                                  const struct expression_bindings *bindings, bool *ret_value,
                                  struct synk_error *error);
    /* The source must yield a finite number of milliseconds, 0 or more; rounded down; capped at
     * ten years. */
    enum synk_status (*delay)(void *context, const char *source,
                              const struct expression_bindings *bindings, int64_t *ret_delay_ms,
                              struct synk_error *error);
    /* Copies an encoded value, replacing each "${{ source }}" inside strings below the map entries
     * `command` (array form only) and `env` by the source's value as text: strings as they are,
     * integers and finite doubles as Lua prints them, true/false; nil is an error, tables become
     * compact JSON. */
    enum synk_status (*expand)(void *context, struct synk_bytes payload,
                               const struct expression_bindings *bindings, struct buf *ret_payload,
                               struct synk_error *error);
};

/* How the validator checks. */
struct calendar;
struct expression_checker {
    void *context;
    /* Who knows the time zones, proto/cron.h; NULL = any name passes that could be one. */
    const struct calendar *calendar;
    /* Compiles the source; fails with SYNK_INVALID naming the column. `! && || != =>` are named
     * with their Lua spelling. ret_uses is a set of enum expression_uses. */
    enum synk_status (*check)(void *context, struct synk_bytes source, unsigned *ret_uses,
                              struct synk_error *error);
    /* The same for every "${{ }}" in one string; *ret_found = how many there are. */
    enum synk_status (*check_template)(void *context, struct synk_bytes text, unsigned *ret_uses,
                                       size_t *ret_found, struct synk_error *error);
};

/* The Lua implementation: one interpreter, compiled chunks cached by source (bounded). Not
 * thread-safe. Free with expression_free. */
struct expression;
struct expression *expression_new(void);
void expression_free(struct expression *expression);
struct evaluator expression_evaluator(struct expression *expression);
struct expression_checker expression_checker(struct expression *expression);

#endif
