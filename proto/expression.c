/*
 * The Lua interpreter behind expressions: the closed sandbox, the bounds of an evaluation, the
 * cache of compiled chunks.
 *
 * Invariants: an expression reaches only what open_sandbox puts in reach, and can change none of
 * it, since expressions have no assignment and expression_scan refuses `function`; errors inside
 * Lua end at lua_pcall; outside of a metered evaluation the allocator does not fail, it ends the
 * program. The state holds nothing that matters, so a full cache is emptied by starting a new one.
 */
#include <assert.h>
#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/expression_lua.h"
#include "proto/expression_scan.h"
#include "proto/limits.h"

enum {
    /* A compiled condition takes about 1 KB, the longest legal one about 64 KB: 2 to 20 MB. */
    CACHE_CHUNKS = 2048,
    CACHE_SOURCE_BYTES = 1 << 20,
};

/* Ten years of 365 days: past any use, far from overflow when added to a clock. */
static const int64_t delay_max_ms = INT64_C(10) * 365 * 24 * 3600 * 1000;

static const char chunk_name[] = "=e";
static const char error_prefix[] = "e:"; /* "e:LINE: " starts what Lua says of a chunk so named */
static const char chunk_head[] = "return ";
static const char chunks_key; /* the registry's key of the cache */

/* Counts what a metered evaluation allocates rather than what it holds, so that the bound does not
 * depend on when garbage is collected. */
static void *allocate(void *context, void *old, size_t old_size, size_t size)
{
    struct expression *expression = context;
    if (size == 0) {
        free(old);
        return NULL;
    }
    size_t more = !old ? size : size > old_size ? size - old_size : 0;
    if (expression->is_metered) {
        if (more > expression->budget_bytes)
            return NULL;
        expression->budget_bytes -= more;
    }
    return mem_realloc(old, size, 1);
}

static void stop_at_bound(lua_State *lua, lua_Debug *debug)
{
    (void)debug;
    luaL_error(lua, "takes more than %d instructions", LIMIT_EXPRESSION_INSTRUCTIONS);
}

/* `type`, for which a value from outside is a table. */
static int type_of(lua_State *lua)
{
    luaL_checkany(lua, 1);
    lua_pushstring(lua, expression_type_name(lua, 1));
    return 1;
}

/* A global that is not in the sandbox's table is a binding of the evaluation, or nil. */
static int index_global(lua_State *lua)
{
    const char *name = lua_tostring(lua, 2);
    expression_push_binding(lua, *(struct expression **)lua_getextraspace(lua), name ? name : "");
    return 1;
}

/* Puts a new table on the stack with the named members of the table at the top, which it replaces.
 */
static void pick_members(lua_State *lua, const char *const *names)
{
    lua_newtable(lua);
    for (; *names; names++) {
        int type = lua_getfield(lua, -2, *names);
        assert(type != LUA_TNIL);
        lua_setfield(lua, -2, *names);
    }
    lua_remove(lua, -2);
}

/* A list of what is in, never of what is out: a later Lua may bring more than we know of. */
static void open_sandbox(lua_State *lua)
{
    static const char *const base_names[] = {"tonumber", NULL};
    static const char *const string_names[] = {"len", "sub", "lower", "upper", NULL};
    static const char *const math_names[] = {
        "abs",  "acos", "asin", "atan", "ceil",       "cos",  "deg",        "exp",  "floor",
        "fmod", "huge", "log",  "max",  "maxinteger", "min",  "mininteger", "modf", "pi",
        "rad",  "sin",  "sqrt", "tan",  "tointeger",  "type", "ult",        NULL};
    luaL_requiref(lua, LUA_GNAME, luaopen_base, 0);
    pick_members(lua, base_names);
    lua_pushcfunction(lua, type_of);
    lua_setfield(lua, -2, "type");
    luaL_requiref(lua, LUA_MATHLIBNAME, luaopen_math, 0);
    pick_members(lua, math_names);
    lua_setfield(lua, -2, LUA_MATHLIBNAME);
    luaL_requiref(lua, LUA_STRLIBNAME, luaopen_string, 0);
    pick_members(lua, string_names);
    lua_pushliteral(
        lua, ""); /* the metatable that all strings share, replaced by one with four methods */
    lua_newtable(lua);
    lua_pushvalue(lua, -3);
    lua_setfield(lua, -2, "__index");
    lua_setmetatable(lua, -2);
    lua_pop(lua, 1);
    lua_setfield(lua, -2, LUA_STRLIBNAME);
    lua_newtable(lua);
    lua_pushcfunction(lua, index_global);
    lua_setfield(lua, -2, "__index");
    lua_setmetatable(lua, -2);
    /* lua_load gives every chunk these globals. The libraries' own tables are let go. */
    lua_rawseti(lua, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_pushnil(lua);
    lua_setfield(lua, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}

static void open_state(struct expression *expression)
{
    lua_State *lua = lua_newstate(allocate, expression);
    if (!lua)
        abort();
    *(struct expression **)lua_getextraspace(lua) = expression;
    open_sandbox(lua);
    expression_values_open(lua);
    lua_newtable(lua);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &chunks_key);
    assert(lua_gettop(lua) == 0);
    expression->lua = lua;
    expression->chunk_count = expression->chunk_bytes = 0;
}

struct expression *expression_new(void)
{
    struct expression *expression = mem_zalloc(1, sizeof(*expression));
    open_state(expression);
    return expression;
}

void expression_free(struct expression *expression)
{
    if (!expression)
        return;
    expression_end(expression);
    lua_close(expression->lua);
    free(expression);
}

void expression_blame(const char *what, struct synk_bytes source, struct synk_error *error)
{
    char quote[EXPRESSION_QUOTE_BYTES];
    expression_quote(source, quote);
    status_prefix(error, "%s '%s'", what, quote);
}

/* Leaves the compiled chunk on the stack, or Lua's message. */
static int load_chunk(lua_State *lua, struct synk_bytes source)
{
    struct buf text = {0};
    buf_append(&text, chunk_head, sizeof(chunk_head) - 1);
    buf_append(&text, source.data, source.size);
    int result = luaL_loadbufferx(lua, (const char *)text.data, text.size, chunk_name, "t");
    buf_fini(&text);
    return result;
}

static const char *strip_position(const char *message)
{
    size_t size = sizeof(error_prefix) - 1;
    if (strncmp(message, error_prefix, size) != 0)
        return message;
    size += strspn(message + size, "0123456789");
    return strncmp(message + size, ": ", 2) == 0 ? message + size + 2 : message;
}

/* Whether Lua wants more after the first `size` bytes, rather than stumble inside of them. */
static bool wants_more(lua_State *lua, struct synk_bytes source, size_t size)
{
    static const char at_end[] = "near <eof>";
    bool wants = true;
    if (load_chunk(lua, bytes_of(source.data, size)) != LUA_OK) {
        const char *message = lua_tostring(lua, -1);
        size_t length = message ? strlen(message) : 0;
        wants = length >= sizeof(at_end) - 1 &&
                strcmp(message + length - (sizeof(at_end) - 1), at_end) == 0;
    }
    lua_pop(lua, 1);
    return wants;
}

/* Where the token is that Lua's message ends with: "… near 'x'". Lua tells its line only, so each
 * token of that text is tried as the end of the source: the culprit is the first to be refused. */
static size_t culprit_offset(lua_State *lua, struct synk_bytes source, const char *message)
{
    const char *near = strstr(message, "near '"), *later;
    while (near && (later = strstr(near + 1, "near '")))
        near = later;
    if (!near)
        return source.size;
    near += strlen("near '");
    size_t size = strlen(near) ? strlen(near) - 1 : 0, position = 0;
    for (;;) {
        struct token token = expression_token(source, &position);
        if (token.kind == TOKEN_END || token.kind == TOKEN_BAD)
            break;
        /* A string with a bad escape is quoted only as far as that. */
        bool matches = token.kind == TOKEN_STRING ? token.size >= size : token.size == size;
        const char *text = (const char *)source.data + token.start;
        if (matches && memcmp(text, near, size) == 0 && !wants_more(lua, source, position))
            return token.start;
    }
    return source.size;
}

static enum synk_status compile(lua_State *lua, struct synk_bytes source, struct synk_error *error)
{
    if (load_chunk(lua, source) == LUA_OK)
        return SYNK_OK;
    char place[EXPRESSION_PLACE_BYTES];
    const char *message = lua_tostring(lua, -1);
    message = strip_position(message ? message : "does not compile");
    expression_place(source, culprit_offset(lua, source, message), place);
    status_fail(error, SYNK_INVALID, "%s: %s", place, message);
    lua_pop(lua, 1);
    return SYNK_INVALID;
}

static bool push_cached(lua_State *lua, struct synk_bytes source)
{
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &chunks_key);
    lua_pushlstring(lua, source.data, source.size);
    bool found = lua_rawget(lua, -2) == LUA_TFUNCTION;
    lua_remove(lua, -2);
    if (!found)
        lua_pop(lua, 1);
    return found;
}

/* Stores the chunk at the top of the stack, which stays there. */
static void cache_chunk(struct expression *expression, struct synk_bytes source)
{
    lua_State *lua = expression->lua;
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &chunks_key);
    lua_pushlstring(lua, source.data, source.size);
    lua_pushvalue(lua, -3);
    lua_rawset(lua, -3);
    lua_pop(lua, 1);
    expression->chunk_count++;
    expression->chunk_bytes += source.size;
}

/* Leaves the chunk of a source on the stack. A cached one has passed the scan. */
static enum synk_status push_chunk(struct expression *expression, struct synk_bytes source,
                                   struct synk_error *error)
{
    unsigned uses;
    if (source.size <= LIMIT_EXPRESSION_BYTES && push_cached(expression->lua, source))
        return SYNK_OK;
    enum synk_status status = expression_scan(source, &uses, error);
    if (status != SYNK_OK)
        return status;
    if (expression->chunk_count >= CACHE_CHUNKS || expression->chunk_bytes >= CACHE_SOURCE_BYTES) {
        lua_close(expression->lua);
        open_state(expression);
    }
    status = compile(expression->lua, source, error);
    if (status == SYNK_OK)
        cache_chunk(expression, source);
    return status;
}

enum synk_status expression_check(struct expression *expression, const char *what,
                                  struct synk_bytes source, unsigned *ret_uses,
                                  struct synk_error *error)
{
    unsigned uses = 0;
    enum synk_status status = expression_scan(source, &uses, error);
    if (status == SYNK_OK)
        status = push_chunk(expression, source, error);
    lua_settop(expression->lua, 0);
    if (status == SYNK_OK)
        *ret_uses = uses;
    else
        expression_blame(what, source, error);
    return status;
}

static enum synk_status call_chunk(struct expression *expression, struct synk_error *error)
{
    lua_State *lua = expression->lua;
    expression->budget_bytes = LIMIT_EXPRESSION_MEMORY_BYTES;
    lua_sethook(lua, stop_at_bound, LUA_MASKCOUNT, LIMIT_EXPRESSION_INSTRUCTIONS);
    expression->is_metered = true;
    int result = lua_pcall(lua, 0, 1, 0);
    expression->is_metered = false;
    lua_sethook(lua, NULL, 0, 0);
    if (result == LUA_OK)
        return SYNK_OK;
    const char *message = lua_tostring(lua, -1);
    /* The string library says it in its own words, as an ordinary error. */
    if (result == LUA_ERRMEM || (message && strcmp(message, "not enough memory") == 0))
        return status_fail(error, SYNK_INVALID, "needs more than %d bytes of memory",
                           LIMIT_EXPRESSION_MEMORY_BYTES);
    return status_fail(error, SYNK_INVALID, "%s", strip_position(message ? message : "failed"));
}

enum synk_status expression_evaluate(struct expression *expression, const char *what,
                                     struct synk_bytes source,
                                     const struct expression_bindings *bindings,
                                     struct synk_error *error)
{
    expression_end(expression);
    expression->now.bindings = bindings;
    enum synk_status status = push_chunk(expression, source, error);
    if (status == SYNK_OK)
        status = call_chunk(expression, error);
    if (status != SYNK_OK)
        expression_blame(what, source, error);
    return status;
}

void expression_end(struct expression *expression)
{
    struct evaluation *now = &expression->now;
    lua_settop(expression->lua, 0);
    synk_document_free(now->result);
    synk_document_free(now->payload);
    synk_document_free(now->params);
    for (size_t i = 0; now->inputs && i < now->bindings->input_count; i++)
        synk_document_free(now->inputs[i]);
    free(now->inputs);
    *now = (struct evaluation){0};
}

/* "a number", "nil": what stands at index 1, for a message. */
static const char *describe(struct expression *expression, char text[32])
{
    const char *name = expression_type_name(expression->lua, 1);
    snprintf(text, 32, "%s%s", lua_isnil(expression->lua, 1) ? "" : "a ", name);
    return text;
}

static enum synk_status evaluate_condition(void *context, const char *source,
                                           const struct expression_bindings *bindings,
                                           bool *ret_value, struct synk_error *error)
{
    struct expression *expression = context;
    char kind[32], quote[EXPRESSION_QUOTE_BYTES];
    enum synk_status status =
        expression_evaluate(expression, "condition", bytes_str(source), bindings, error);
    if (status == SYNK_OK && lua_isboolean(expression->lua, 1)) {
        *ret_value = lua_toboolean(expression->lua, 1);
    } else if (status == SYNK_OK) {
        expression_quote(bytes_str(source), quote);
        status = status_fail(error, SYNK_INVALID, "condition '%s' gave %s, not true or false",
                             quote, describe(expression, kind));
    }
    expression_end(expression);
    return status;
}

static enum synk_status read_delay(struct expression *expression, int64_t *ret_delay_ms,
                                   struct synk_error *error)
{
    lua_State *lua = expression->lua;
    char kind[32];
    if (lua_type(lua, 1) != LUA_TNUMBER)
        return status_fail(error, SYNK_INVALID, "gave %s, not a number of milliseconds",
                           describe(expression, kind));
    double delay_ms = lua_tonumber(lua, 1);
    if (!isfinite(delay_ms) || delay_ms < 0)
        return status_fail(error, SYNK_INVALID, "gave %.14g, not milliseconds of 0 or more",
                           delay_ms);
    *ret_delay_ms = delay_ms >= (double)delay_max_ms ? delay_max_ms : (int64_t)delay_ms;
    return SYNK_OK;
}

static enum synk_status evaluate_delay(void *context, const char *source,
                                       const struct expression_bindings *bindings,
                                       int64_t *ret_delay_ms, struct synk_error *error)
{
    struct expression *expression = context;
    enum synk_status status =
        expression_evaluate(expression, "delay", bytes_str(source), bindings, error);
    if (status == SYNK_OK) {
        status = read_delay(expression, ret_delay_ms, error);
        if (status != SYNK_OK)
            expression_blame("delay", bytes_str(source), error);
    }
    expression_end(expression);
    return status;
}

static enum synk_status check_expression(void *context, struct synk_bytes source,
                                         unsigned *ret_uses, struct synk_error *error)
{
    return expression_check(context, "expression", source, ret_uses, error);
}

struct evaluator expression_evaluator(struct expression *expression)
{
    return (struct evaluator){
        .context = expression,
        .condition = evaluate_condition,
        .delay = evaluate_delay,
        .expand = expression_expand,
    };
}

struct expression_checker expression_checker(struct expression *expression)
{
    return (struct expression_checker){
        .context = expression,
        .check = check_expression,
        .check_template = expression_check_template,
    };
}
