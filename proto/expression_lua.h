/*
 * What the three files of the Lua evaluator share: expression.c (the interpreter and its bounds),
 * expression_values.c (MessagePack to Lua and back), expression_template.c (`${{ }}`).
 */
#ifndef PROTO_EXPRESSION_LUA_H
#define PROTO_EXPRESSION_LUA_H

#include <lua.h>

#include "proto/expression.h"
#include "proto/value.h"

/* One evaluation: its bindings, and what was decoded of them so far (on first mention). */
struct evaluation {
    const struct expression_bindings *bindings;
    struct synk_document *result, *payload, *params;
    struct synk_document **inputs; /* parallel to the bindings' inputs */
};

struct expression {
    lua_State *lua;
    size_t chunk_count, chunk_bytes; /* of the cache */
    bool is_metered;
    size_t budget_bytes; /* what a metered evaluation may still allocate */
    struct evaluation now;
};

/*
 * Evaluates one source; `what` names it in errors ("condition"). On success its value is at index 1
 * of the Lua stack, and stays, with the documents that it may point into, until
 * expression_end, which must follow a success and may follow a failure.
 */
enum synk_status expression_evaluate(struct expression *expression, const char *what,
                                     struct synk_bytes source,
                                     const struct expression_bindings *bindings,
                                     struct synk_error *error);
void expression_end(struct expression *expression);

/* Checks one source that errors call `what`; see struct expression_checker. */
enum synk_status expression_check(struct expression *expression, const char *what,
                                  struct synk_bytes source, unsigned *ret_uses,
                                  struct synk_error *error);

/* "condition 'SOURCE': " before the error's text. */
void expression_blame(const char *what, struct synk_bytes source, struct synk_error *error);

/* Gives a new state the type through which expressions see values. */
void expression_values_open(lua_State *lua);
/* Puts the binding of that name, or nil, on the stack, for a Lua call (it may raise errors). */
void expression_push_binding(lua_State *lua, struct expression *expression, const char *name);
/* What `type` says of the value at an index: a value from outside is a "table". */
const char *expression_type_name(lua_State *lua, int index);
/* Appends the text of the value at an index as templates have it. Returns what is wrong with it, as
 * the end of a sentence that begins with "the value", or NULL. */
const char *expression_value_text(struct expression *expression, int index, struct buf *out);

/* The template half of the evaluator and of the checker. */
enum synk_status expression_expand(void *context, struct synk_bytes payload,
                                   const struct expression_bindings *bindings,
                                   struct buf *ret_payload, struct synk_error *error);
enum synk_status expression_check_template(void *context, struct synk_bytes text,
                                           unsigned *ret_uses, size_t *ret_found,
                                           struct synk_error *error);

#endif
