/*
 * Values inside Lua. A map or array from outside is not copied into a table: an expression that
 * reads one field of a large result should cost one field. It sees a full userdata that points into
 * the decoded document, behaves as a read-only table and calls itself "table" in errors.
 *
 * Invariant: views live no longer than the evaluation whose documents they point into, since
 * nothing can store one: expressions have no assignment.
 */
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>

#include "proto/check.h"
#include "proto/expression_lua.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/pack.h"

struct view {
    const struct synk_value *value; /* NULL: the view is `inputs` itself */
};

static const char view_type; /* the registry's key of the metatable */

static struct expression *owner_of(lua_State *lua)
{
    return *(struct expression **)lua_getextraspace(lua);
}

static void push_view(lua_State *lua, const struct synk_value *value)
{
    struct view *view = lua_newuserdatauv(lua, sizeof(*view), 0);
    view->value = value;
    lua_rawgetp(lua, LUA_REGISTRYINDEX, &view_type);
    lua_setmetatable(lua, -2);
}

static void push_value(lua_State *lua, const struct synk_value *value)
{
    switch (synk_value_kind(value)) {
    case SYNK_NULL:
        lua_pushnil(lua);
        return;
    case SYNK_BOOL:
        lua_pushboolean(lua, synk_value_bool(value, false));
        return;
    case SYNK_INT:
        /* Past int64 an integer is known by its two different answers, and read as a double. */
        if (synk_value_int(value, 0) == 0 && synk_value_int(value, 1) == 1)
            lua_pushnumber(lua, synk_value_double(value, 0));
        else
            lua_pushinteger(lua, synk_value_int(value, 0));
        return;
    case SYNK_DOUBLE:
        lua_pushnumber(lua, synk_value_double(value, 0));
        return;
    case SYNK_STRING:
    case SYNK_BINARY: {
        struct synk_bytes bytes = synk_value_bytes(value);
        lua_pushlstring(lua, bytes.data, bytes.size);
        return;
    }
    case SYNK_ARRAY:
    case SYNK_MAP:
        push_view(lua, value);
        return;
    }
}

/* Decodes on first use; the document is the evaluation's, so a Lua error does not lose it. */
static void push_document(lua_State *lua, struct synk_bytes bytes, struct synk_document **document,
                          const char *name)
{
    struct synk_error error;
    if (!*document && bytes.size && synk_document_decode(bytes, document, &error) != SYNK_OK)
        luaL_error(lua, "%s cannot be decoded: %s", name, error.text);
    push_value(lua, synk_document_root(*document));
}

/* The same of what may be left out: then it is an empty table, so that a field of it is nil rather
 * than an error. */
static void push_optional(lua_State *lua, struct synk_bytes bytes, struct synk_document **document,
                          const char *name)
{
    push_document(lua, bytes, document, name);
    if (!lua_isnil(lua, -1))
        return;
    lua_pop(lua, 1);
    lua_newtable(lua);
}

static void push_input(lua_State *lua, struct expression *expression, size_t index)
{
    struct evaluation *now = &expression->now;
    if (!now->inputs)
        now->inputs = mem_zalloc(now->bindings->input_count, sizeof(struct synk_document *));
    push_document(lua, now->bindings->inputs[index].value, &now->inputs[index], "an input");
}

void expression_push_binding(lua_State *lua, struct expression *expression, const char *name)
{
    struct evaluation *now = &expression->now;
    const struct expression_bindings *bindings = now->bindings;
    if (strcmp(name, "result") == 0)
        push_document(lua, bindings->result, &now->result, "result");
    else if (strcmp(name, "payload") == 0)
        push_optional(lua, bindings->payload, &now->payload, "payload");
    else if (strcmp(name, "params") == 0)
        push_optional(lua, bindings->params, &now->params, "params");
    else if (strcmp(name, "inputs") == 0)
        push_view(lua, NULL);
    else if (strcmp(name, "attempt") == 0 && bindings->attempt > 0)
        lua_pushinteger(lua, bindings->attempt);
    else if (strcmp(name, "status") == 0 && bindings->status)
        lua_pushstring(lua, bindings->status);
    else
        lua_pushnil(lua);
}

static const struct view *to_view(lua_State *lua, int index)
{
    return lua_type(lua, index) == LUA_TUSERDATA ? lua_touserdata(lua, index) : NULL;
}

static void index_inputs(lua_State *lua, struct synk_bytes key)
{
    struct expression *expression = owner_of(lua);
    const struct expression_bindings *bindings = expression->now.bindings;
    for (size_t i = 0; i < bindings->input_count; i++) {
        if (bytes_equal(bindings->inputs[i].name, key)) {
            push_input(lua, expression, i);
            return;
        }
    }
    lua_pushnil(lua);
}

static int view_index(lua_State *lua)
{
    const struct view *view = to_view(lua, 1);
    if (lua_type(lua, 2) == LUA_TSTRING) {
        struct synk_bytes key;
        key.data = lua_tolstring(lua, 2, &key.size);
        if (!view->value) {
            index_inputs(lua, key);
            return 1;
        }
        /* Not synk_value_get: a Lua string may have a NUL inside. */
        for (size_t i = 0;
             synk_value_kind(view->value) == SYNK_MAP && i < synk_value_count(view->value); i++) {
            if (bytes_equal(synk_value_key_at(view->value, i), key)) {
                push_value(lua, synk_value_at(view->value, i));
                return 1;
            }
        }
    } else if (lua_type(lua, 2) == LUA_TNUMBER && synk_value_kind(view->value) == SYNK_ARRAY) {
        int is_integer;
        lua_Integer position = lua_tointegerx(lua, 2, &is_integer);
        if (is_integer && position >= 1) {
            push_value(lua, synk_value_at(view->value, (size_t)position - 1));
            return 1;
        }
    }
    lua_pushnil(lua);
    return 1;
}

/* As with tables in Lua, the length is that of the sequence: a map has none. */
static int view_length(lua_State *lua)
{
    const struct view *view = to_view(lua, 1);
    bool is_array = synk_value_kind(view->value) == SYNK_ARRAY;
    lua_pushinteger(lua, is_array ? (lua_Integer)synk_value_count(view->value) : 0);
    return 1;
}

/* Two views of one value are equal, as two references to one table are. */
static int view_equal(lua_State *lua)
{
    const struct view *a = to_view(lua, 1), *b = to_view(lua, 2);
    lua_pushboolean(lua, a && b && a->value == b->value);
    return 1;
}

void expression_values_open(lua_State *lua)
{
    static const luaL_Reg methods[] = {
        {"__index", view_index}, {"__len", view_length}, {"__eq", view_equal}, {NULL, NULL}};
    lua_createtable(lua, 0, 4);
    luaL_setfuncs(lua, methods, 0);
    lua_pushstring(lua, "table");
    lua_setfield(lua, -2, "__name");
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &view_type);
}

const char *expression_type_name(lua_State *lua, int index)
{
    int type = lua_type(lua, index);
    return lua_typename(lua, type == LUA_TUSERDATA ? LUA_TTABLE : type);
}

static const char *encode(struct expression *expression, int index, int depth, struct buf *out);

static const char *encode_sequence(struct expression *expression, int index, size_t count,
                                   int depth, struct buf *out)
{
    lua_State *lua = expression->lua;
    const char *problem = NULL;
    pack_array(out, count);
    for (size_t i = 1; i <= count && !problem; i++) {
        lua_rawgeti(lua, index, (lua_Integer)i);
        problem = encode(expression, lua_gettop(lua), depth, out);
        lua_pop(lua, 1);
    }
    return problem;
}

static int compare_keys(const void *a, const void *b)
{
    const struct synk_bytes *left = a, *right = b;
    size_t common = left->size < right->size ? left->size : right->size;
    int order = memcmp(left->data, right->data, common);
    return order ? order : (left->size > right->size) - (left->size < right->size);
}

/* The keys in the order of their bytes: Lua's own order differs between processes. */
static const char *encode_entries(struct expression *expression, int index, size_t count, int depth,
                                  struct buf *out)
{
    lua_State *lua = expression->lua;
    const char *problem = NULL;
    struct synk_bytes *keys = mem_zalloc(count, sizeof(*keys));
    size_t used = 0;
    for (lua_pushnil(lua); lua_next(lua, index); lua_pop(lua, 1))
        keys[used].data = lua_tolstring(lua, -2, &keys[used].size), used++;
    qsort(keys, count, sizeof(*keys), compare_keys);
    pack_map(out, count);
    for (size_t i = 0; i < count && !problem; i++) {
        if (!check_utf8(keys[i]) || memchr(keys[i].data, 0, keys[i].size))
            problem = "has a key that is not text";
        pack_string(out, keys[i]);
        lua_pushlstring(lua, keys[i].data, keys[i].size);
        lua_rawget(lua, index);
        problem = problem ? problem : encode(expression, lua_gettop(lua), depth, out);
        lua_pop(lua, 1);
    }
    free(keys);
    return problem;
}

/* A table that the expression itself built: a sequence or a record, nothing between. */
static const char *encode_table(struct expression *expression, int index, int depth,
                                struct buf *out)
{
    lua_State *lua = expression->lua;
    size_t length = lua_rawlen(lua, index), names = 0, places = 0, others = 0;
    for (lua_pushnil(lua); lua_next(lua, index); lua_pop(lua, 1)) {
        if (lua_type(lua, -2) == LUA_TSTRING)
            names++;
        else if (lua_isinteger(lua, -2) && (lua_Unsigned)lua_tointeger(lua, -2) - 1 < length)
            places++;
        else
            others++;
    }
    if (others || (names && places))
        return "has a table that is neither a list nor a map with string keys";
    if (places)
        return encode_sequence(expression, index, length, depth, out);
    return encode_entries(expression, index, names, depth, out);
}

static const char *encode_inputs(struct expression *expression, struct buf *out)
{
    const struct expression_bindings *bindings = expression->now.bindings;
    pack_map(out, bindings->input_count);
    for (size_t i = 0; i < bindings->input_count; i++) {
        struct synk_bytes value = bindings->inputs[i].value;
        if (value.size && check_value(value, &check_message_limits, NULL) != SYNK_OK)
            return "has an input that cannot be decoded";
        pack_string(out, bindings->inputs[i].name);
        pack_encoded(out, value);
    }
    return NULL;
}

static const char *encode(struct expression *expression, int index, int depth, struct buf *out)
{
    lua_State *lua = expression->lua;
    const struct view *view;
    struct synk_bytes text;
    if (depth > LIMIT_VALUE_DEPTH || !lua_checkstack(lua, 8))
        return "is nested too deep";
    switch (lua_type(lua, index)) {
    case LUA_TNIL:
        pack_null(out);
        return NULL;
    case LUA_TBOOLEAN:
        pack_bool(out, lua_toboolean(lua, index));
        return NULL;
    case LUA_TNUMBER:
        if (lua_isinteger(lua, index))
            pack_int(out, lua_tointeger(lua, index));
        else
            pack_double(out, lua_tonumber(lua, index));
        return NULL;
    case LUA_TSTRING:
        text.data = lua_tolstring(lua, index, &text.size);
        if (check_utf8(text))
            pack_string(out, text);
        else
            pack_binary(out, text);
        return NULL;
    case LUA_TTABLE:
        return encode_table(expression, index, depth + 1, out);
    case LUA_TUSERDATA:
        view = to_view(lua, index);
        if (!view->value)
            return encode_inputs(expression, out);
        value_encode(view->value, out);
        return NULL;
    default:
        return "has a function";
    }
}

static const char *json_text(struct expression *expression, int index, struct buf *out)
{
    struct buf encoded = {0};
    const char *problem = encode(expression, index, 0, &encoded);
    /* A view below tables of the expression's own may make the whole deeper than a value can be. */
    if (!problem && check_value(buf_bytes(&encoded), &check_message_limits, NULL) != SYNK_OK)
        problem = "is nested too deep, or too large";
    if (!problem)
        json_print_encoded(buf_bytes(&encoded), 0, out);
    buf_fini(&encoded);
    return problem;
}

const char *expression_value_text(struct expression *expression, int index, struct buf *out)
{
    lua_State *lua = expression->lua;
    struct synk_bytes text;
    switch (lua_type(lua, index)) {
    case LUA_TNIL:
        return "is nil";
    case LUA_TBOOLEAN:
        buf_printf(out, "%s", lua_toboolean(lua, index) ? "true" : "false");
        return NULL;
    case LUA_TTABLE:
    case LUA_TUSERDATA:
        return json_text(expression, index, out);
    case LUA_TNUMBER:
        if (!isfinite(lua_tonumber(lua, index)))
            return "is not a finite number";
        break;
    case LUA_TSTRING:
        break;
    default:
        return "is a function";
    }
    text.data = lua_tolstring(lua, index, &text.size);
    /* It becomes an argument or a variable of a command, which a NUL would cut. */
    if (!check_utf8(text) || (text.size && memchr(text.data, 0, text.size)))
        return "is not text";
    buf_append(out, text.data, text.size);
    return NULL;
}
