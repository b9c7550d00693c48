/*
 * The messages between supervisor and worker hosts that carry lists: hello, report, the lists of
 * attempts, dispatch.
 *
 * Invariant: what a decoder takes from the arena is in proportion to the bytes of the rows, since a
 * count of rows that could not hold their required elements is refused before memory is taken.
 */
#include "proto/check.h"
#include "proto/fields.h"
#include "proto/limits.h"
#include "proto/msg.h"
#include "proto/pack.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The first elements of every row that names an attempt. */
#define ATTEMPT_ID_FIELDS(type, member)                                                            \
    {"run", FIELD_U64, offsetof(struct type, member.run), true, 0, 0},                             \
        {"task", FIELD_U32, offsetof(struct type, member.task), true, 0, UINT32_MAX},              \
        {"epoch", FIELD_U32, offsetof(struct type, member.epoch), true, 0, UINT32_MAX},            \
    {                                                                                              \
        "attempt", FIELD_U32, offsetof(struct type, member.attempt), true, 0, UINT32_MAX           \
    }

/* An encoded array, and where its rows go. */
struct rows {
    const char *name;
    struct synk_bytes array; /* a slice of a checked body */
    size_t required;         /* elements that every row has */
};

/* Enters the array; refuses a count that the message's object budget could not hold. */
static enum synk_status enter_rows(const struct rows *rows, struct cursor *ret_cursor,
                                   size_t *ret_count, struct synk_error *error)
{
    uint32_t count = 0;
    *ret_cursor = cursor_of(rows->array);
    if (rows->array.size && !cursor_array(ret_cursor, &count))
        return status_fail(error, SYNK_PROTOCOL, "'%s' is not an array", rows->name);
    if (count > rows->array.size / (1 + rows->required))
        return status_fail(error, SYNK_PROTOCOL, "'%s' has rows with too few elements", rows->name);
    *ret_count = count;
    return SYNK_OK;
}

static enum synk_status row_failed(enum synk_status status, const struct rows *rows, size_t index,
                                   struct synk_error *error)
{
    status_prefix(error, "%s[%zu]", rows->name, index);
    return status;
}

/* hello */

struct hello_body {
    struct msg_hello hello;
    struct synk_bytes functions, tags, refused;
};
static const struct field hello_fields[] = {
    {"name", FIELD_TEXT, offsetof(struct hello_body, hello.name), true, 0, LIMIT_ID_BYTES},
    {"instance", FIELD_U64, offsetof(struct hello_body, hello.instance), true, 0, 0},
    {"home", FIELD_U64, offsetof(struct hello_body, hello.home), false, 0, 0},
    {"slots", FIELD_U32, offsetof(struct hello_body, hello.slots), true, 0, UINT32_MAX},
    {"pid", FIELD_I64, offsetof(struct hello_body, hello.pid), false, 0, 0},
    {"version", FIELD_TEXT, offsetof(struct hello_body, hello.version), false, 0, LIMIT_ID_BYTES},
    {"functions", FIELD_SLICE, offsetof(struct hello_body, functions), false, 0, 0},
    {"tags", FIELD_SLICE, offsetof(struct hello_body, tags), false, 0, 0},
    {"refused", FIELD_SLICE, offsetof(struct hello_body, refused), false, 0, 0},
};

static void encode_texts(const struct synk_bytes *texts, size_t count, struct buf *out)
{
    pack_array(out, count);
    for (size_t i = 0; i < count; i++)
        pack_string(out, texts[i]);
}

/* A file name may be any bytes, and a cut falls anywhere: what is no UTF-8 is told as such. */
static void encode_cut(struct synk_bytes text, struct buf *out)
{
    const uint8_t *data = text.data;
    size_t size = text.size;
    if (size > LIMIT_REFUSAL_BYTES)
        for (size = LIMIT_REFUSAL_BYTES; size && (data[size] & 0xc0) == 0x80; size--)
            ;
    text = bytes_of(text.data, size);
    pack_string(out, size && check_utf8(text) ? text : bytes_str("(not UTF-8)"));
}

static void encode_refused(const struct msg_hello *hello, struct buf *out)
{
    size_t count = hello->refused_count;
    count = count < LIMIT_REFUSED_PLUGINS ? count : LIMIT_REFUSED_PLUGINS;
    pack_array(out, count);
    for (size_t i = 0; i < count; i++) {
        pack_array(out, 2);
        encode_cut(hello->refused[i].name, out);
        encode_cut(hello->refused[i].reason, out);
    }
}

void msg_hello_encode(const struct msg_hello *hello, struct buf *out)
{
    struct buf functions = {0}, tags = {0}, refused = {0};
    encode_texts(hello->functions, hello->function_count, &functions);
    encode_texts(hello->tags, hello->tag_count, &tags);
    encode_refused(hello, &refused);
    struct hello_body body = {*hello, buf_bytes(&functions), buf_bytes(&tags), buf_bytes(&refused)};
    fields_encode_map(hello_fields, COUNT_OF(hello_fields), &body, out);
    buf_fini(&functions);
    buf_fini(&tags);
    buf_fini(&refused);
}

static enum synk_status decode_texts(const char *name, struct synk_bytes array, struct arena *arena,
                                     const struct synk_bytes **ret_texts, size_t *ret_count,
                                     struct synk_error *error)
{
    struct rows rows = {name, array, 0};
    struct cursor cursor;
    size_t count = 0;
    enum synk_status status = enter_rows(&rows, &cursor, &count, error);
    if (status)
        return status;
    struct synk_bytes *texts = arena_zalloc(arena, count, sizeof(*texts));
    for (size_t i = 0; i < count; i++)
        if (!cursor_text(&cursor, &texts[i]) || texts[i].size == 0 ||
            texts[i].size > LIMIT_ID_BYTES)
            return status_fail(error, SYNK_PROTOCOL, "%s[%zu] is not a string of 1 to %d bytes",
                               name, i, LIMIT_ID_BYTES);
    *ret_texts = texts;
    *ret_count = count;
    return SYNK_OK;
}

static enum synk_status decode_refused(struct synk_bytes array, struct arena *arena,
                                       struct msg_hello *hello, struct synk_error *error)
{
    struct rows rows = {"refused", array, 2};
    struct cursor cursor;
    size_t count = 0;
    enum synk_status status = enter_rows(&rows, &cursor, &count, error);
    if (status)
        return status;
    if (count > LIMIT_REFUSED_PLUGINS)
        return status_fail(error, SYNK_PROTOCOL, "refused has %zu rows, more than %d", count,
                           LIMIT_REFUSED_PLUGINS);
    struct refused_plugin_text *refused = arena_zalloc(arena, count, sizeof(*refused));
    for (size_t i = 0; i < count; i++) {
        uint32_t size = 0;
        if (!cursor_array(&cursor, &size) || size != 2 || !cursor_text(&cursor, &refused[i].name) ||
            !cursor_text(&cursor, &refused[i].reason) ||
            refused[i].name.size > LIMIT_REFUSAL_BYTES ||
            refused[i].reason.size > LIMIT_REFUSAL_BYTES)
            return status_fail(error, SYNK_PROTOCOL,
                               "refused[%zu] is not [name, reason] of at most %d bytes", i,
                               LIMIT_REFUSAL_BYTES);
    }
    hello->refused = refused;
    hello->refused_count = count;
    return SYNK_OK;
}

enum synk_status msg_hello_decode(struct synk_bytes body, struct arena *arena,
                                  struct msg_hello *ret_hello, struct synk_error *error)
{
    struct hello_body parts = {0};
    enum synk_status status = check_value(body, &check_message_limits, error);
    if (status == SYNK_OK)
        status = fields_decode_map(hello_fields, COUNT_OF(hello_fields), body, &parts, error);
    if (status == SYNK_OK)
        status = decode_texts("functions", parts.functions, arena, &parts.hello.functions,
                              &parts.hello.function_count, error);
    if (status == SYNK_OK)
        status = decode_texts("tags", parts.tags, arena, &parts.hello.tags, &parts.hello.tag_count,
                              error);
    if (status == SYNK_OK)
        status = decode_refused(parts.refused, arena, &parts.hello, error);
    if (status)
        status_prefix(error, "hello");
    else
        *ret_hello = parts.hello;
    return status;
}

/* report */

static const struct field result_fields[] = {
    {"kind", FIELD_U32, offsetof(struct msg_report, kind), true, 0, REPORT_MILESTONE},
    ATTEMPT_ID_FIELDS(msg_report, id),
    {"outcome", FIELD_U32, offsetof(struct msg_report, outcome), false, 0, OUTCOME_CRASHED},
    {"startedAt", FIELD_I64, offsetof(struct msg_report, started_at), false, 0, 0},
    {"endedAt", FIELD_I64, offsetof(struct msg_report, ended_at), false, 0, 0},
    {"executionUs", FIELD_I64, offsetof(struct msg_report, execution_us), false, 0, 0},
    {"result", FIELD_BYTES, offsetof(struct msg_report, result), false, 0, LIMIT_VALUE_BYTES},
    {"error", FIELD_TEXT, offsetof(struct msg_report, error), false, 0, LIMIT_ERROR_BYTES},
    {"exit", FIELD_I32, offsetof(struct msg_report, exit_status), false, -1, 0},
    {"signal", FIELD_I32, offsetof(struct msg_report, signal), false, 0, 0},
    {"userUs", FIELD_I64, offsetof(struct msg_report, user_us), false, -1, 0},
    {"systemUs", FIELD_I64, offsetof(struct msg_report, system_us), false, -1, 0},
    {"maxRssKib", FIELD_I64, offsetof(struct msg_report, max_rss_kib), false, -1, 0},
};
static const struct field milestone_fields[] = {
    {"kind", FIELD_U32, offsetof(struct msg_report, kind), true, 0, REPORT_MILESTONE},
    ATTEMPT_ID_FIELDS(msg_report, id),
    {"name", FIELD_TEXT, offsetof(struct msg_report, name), true, 0, LIMIT_ID_BYTES},
    {"payload", FIELD_BYTES, offsetof(struct msg_report, payload), false, 0, LIMIT_VALUE_BYTES},
    {"at", FIELD_I64, offsetof(struct msg_report, at), false, 0, 0},
};

void msg_report_encode(const struct msg_report *report, struct buf *out)
{
    if (report->kind == REPORT_MILESTONE)
        fields_encode_row(milestone_fields, COUNT_OF(milestone_fields), report, 0, out);
    else
        fields_encode_row(result_fields, COUNT_OF(result_fields), report, 0, out);
}

static void pack_items(struct synk_bytes items, size_t count, const char *key, struct buf *out)
{
    pack_key(out, key);
    pack_array(out, count);
    buf_append(out, items.data, items.size);
}

void msg_reports_wrap(struct synk_bytes items, size_t count, struct buf *out)
{
    pack_map(out, 1);
    pack_items(items, count, "items", out);
}

static enum synk_status decode_report(struct cursor *cursor, struct msg_report *ret_report,
                                      struct synk_error *error)
{
    struct cursor peek = *cursor;
    uint32_t elements;
    uint64_t kind;
    if (!cursor_array(&peek, &elements) || !elements || !cursor_u64(&peek, &kind))
        return status_fail(error, SYNK_PROTOCOL, "not an array that begins with a kind");
    if (kind == REPORT_MILESTONE)
        return fields_decode_row(milestone_fields, COUNT_OF(milestone_fields), cursor, ret_report,
                                 error);
    return fields_decode_row(result_fields, COUNT_OF(result_fields), cursor, ret_report, error);
}

struct items_body {
    struct synk_bytes items;
    bool last;
};
static const struct field items_fields[] = {
    {"items", FIELD_SLICE, offsetof(struct items_body, items), true, 0, 0},
    {"last", FIELD_BOOL, offsetof(struct items_body, last), false, 0, 0},
};

static enum synk_status open_items(struct synk_bytes body, size_t required, bool *ret_last,
                                   struct rows *ret_rows, struct cursor *ret_cursor,
                                   size_t *ret_count, struct synk_error *error)
{
    struct items_body parts = {0};
    enum synk_status status = check_value(body, &check_message_limits, error);
    if (status == SYNK_OK)
        status = fields_decode_map(items_fields, COUNT_OF(items_fields), body, &parts, error);
    if (status)
        return status;
    *ret_last = parts.last;
    *ret_rows = (struct rows){"items", parts.items, required};
    return enter_rows(ret_rows, ret_cursor, ret_count, error);
}

enum synk_status msg_reports_decode(struct synk_bytes body, struct arena *arena,
                                    struct msg_report **ret_reports, size_t *ret_count,
                                    struct synk_error *error)
{
    struct rows rows;
    struct cursor cursor;
    size_t count = 0;
    bool last;
    enum synk_status status = open_items(body, 5, &last, &rows, &cursor, &count, error);
    if (status)
        return status;
    struct msg_report *reports = arena_zalloc(arena, count, sizeof(*reports));
    for (size_t i = 0; i < count; i++) {
        status = decode_report(&cursor, &reports[i], error);
        if (status)
            return row_failed(status, &rows, i, error);
    }
    *ret_reports = reports;
    *ret_count = count;
    return SYNK_OK;
}

/* lists of attempts */

static const struct field attempt_fields[] = {
    ATTEMPT_ID_FIELDS(msg_attempt, id),
    {"phase", FIELD_U32, offsetof(struct msg_attempt, phase), false, 0, PHASE_RUNNING},
    {"at", FIELD_I64, offsetof(struct msg_attempt, at), false, 0, 0},
    {"progress", FIELD_SHARE, offsetof(struct msg_attempt, progress), false, 0, 0},
    {"reason", FIELD_TEXT, offsetof(struct msg_attempt, reason), false, 0, LIMIT_ERROR_BYTES},
};

void msg_attempts_encode(const struct msg_attempt *attempts, size_t count, bool last,
                         struct buf *out)
{
    pack_map(out, 2);
    pack_key(out, "items");
    pack_array(out, count);
    for (size_t i = 0; i < count; i++)
        fields_encode_row(attempt_fields, COUNT_OF(attempt_fields), &attempts[i], 0, out);
    pack_key(out, "last");
    pack_bool(out, last);
}

enum synk_status msg_attempts_decode(struct synk_bytes body, struct arena *arena,
                                     struct msg_attempt **ret_attempts, size_t *ret_count,
                                     bool *ret_last, struct synk_error *error)
{
    struct rows rows;
    struct cursor cursor;
    size_t count = 0;
    bool last;
    enum synk_status status = open_items(body, 4, &last, &rows, &cursor, &count, error);
    if (status)
        return status;
    struct msg_attempt *attempts = arena_zalloc(arena, count, sizeof(*attempts));
    for (size_t i = 0; i < count; i++) {
        status = fields_decode_row(attempt_fields, COUNT_OF(attempt_fields), &cursor, &attempts[i],
                                   error);
        if (status)
            return row_failed(status, &rows, i, error);
    }
    *ret_attempts = attempts;
    *ret_count = count;
    *ret_last = last;
    return SYNK_OK;
}

/* dispatch */

static const struct field spec_fields[] = {
    {"unit", FIELD_TEXT, offsetof(struct msg_spec, unit), true, 0, LIMIT_ID_BYTES},
    {"number", FIELD_U64, offsetof(struct msg_spec, run_number), true, 0, 0},
    {"function", FIELD_TEXT, offsetof(struct msg_spec, function), true, 0, LIMIT_ID_BYTES},
    {"payload", FIELD_BYTES, offsetof(struct msg_spec, payload), false, 0, LIMIT_VALUE_BYTES},
    {"params", FIELD_BYTES, offsetof(struct msg_spec, params), false, 0, LIMIT_VALUE_BYTES},
    {"timeoutMs", FIELD_I64, offsetof(struct msg_spec, timeout_ms), false, 0, 0},
    {"progressTimeoutMs", FIELD_I64, offsetof(struct msg_spec, progress_timeout_ms), false, 0, 0},
};

/* A task's row without its inputs, which are rows themselves. */
struct task_row {
    struct msg_task task;
    struct synk_bytes inputs;
};
static const struct field task_fields[] = {
    ATTEMPT_ID_FIELDS(task_row, task.id),
    {"spec", FIELD_U32, offsetof(struct task_row, task.spec), false, 0, UINT32_MAX},
    {"worker", FIELD_TEXT, offsetof(struct task_row, task.worker), false, 0, LIMIT_ID_BYTES},
    {"params", FIELD_BYTES, offsetof(struct task_row, task.params), false, 0, LIMIT_VALUE_BYTES},
    {"inputs", FIELD_SLICE, offsetof(struct task_row, inputs), false, 0, 0},
};
static const struct field input_fields[] = {
    {"name", FIELD_TEXT, offsetof(struct msg_input, name), true, 0, LIMIT_ID_BYTES},
    {"value", FIELD_U32, offsetof(struct msg_input, value), true, 0, UINT32_MAX},
};

void msg_spec_encode(const struct msg_spec *spec, struct buf *out)
{
    fields_encode_row(spec_fields, COUNT_OF(spec_fields), spec, 0, out);
}

void msg_task_encode(const struct msg_task *task, struct buf *out)
{
    struct task_row row = {*task, {NULL, 0}};
    if (task->input_count == 0) {
        fields_encode_row(task_fields, COUNT_OF(task_fields), &row, 0, out);
        return;
    }
    fields_encode_row(task_fields, COUNT_OF(task_fields) - 1, &row, 1, out);
    pack_array(out, task->input_count);
    for (size_t i = 0; i < task->input_count; i++)
        fields_encode_row(input_fields, COUNT_OF(input_fields), &task->inputs[i], 0, out);
}

void msg_dispatch_wrap(struct synk_bytes specs, size_t spec_count, struct synk_bytes tasks,
                       size_t task_count, struct buf *out)
{
    pack_map(out, 2);
    pack_items(specs, spec_count, "specs", out);
    pack_items(tasks, task_count, "tasks", out);
}

struct dispatch_body {
    struct synk_bytes specs, tasks;
};
static const struct field dispatch_fields[] = {
    {"specs", FIELD_SLICE, offsetof(struct dispatch_body, specs), true, 0, 0},
    {"tasks", FIELD_SLICE, offsetof(struct dispatch_body, tasks), true, 0, 0},
};

static enum synk_status decode_specs(struct synk_bytes array, struct arena *arena,
                                     struct msg_dispatch *ret_dispatch, struct synk_error *error)
{
    struct rows rows = {"specs", array, 3};
    struct cursor cursor;
    size_t count = 0;
    enum synk_status status = enter_rows(&rows, &cursor, &count, error);
    if (status)
        return status;
    struct msg_spec *specs = arena_zalloc(arena, count, sizeof(*specs));
    for (size_t i = 0; i < count; i++) {
        status = fields_decode_row(spec_fields, COUNT_OF(spec_fields), &cursor, &specs[i], error);
        if (status == SYNK_OK && (specs[i].timeout_ms < 0 || specs[i].progress_timeout_ms < 0))
            status = status_fail(error, SYNK_PROTOCOL, "a timeout below zero");
        if (status)
            return row_failed(status, &rows, i, error);
    }
    ret_dispatch->specs = specs;
    ret_dispatch->spec_count = count;
    return SYNK_OK;
}

static enum synk_status decode_inputs(struct synk_bytes array, struct arena *arena,
                                      struct msg_task *task, struct synk_error *error)
{
    struct rows rows = {"inputs", array, 2};
    struct cursor cursor;
    size_t count = 0;
    enum synk_status status = enter_rows(&rows, &cursor, &count, error);
    if (status || count == 0)
        return status;
    struct msg_input *inputs = arena_zalloc(arena, count, sizeof(*inputs));
    for (size_t i = 0; i < count; i++) {
        status =
            fields_decode_row(input_fields, COUNT_OF(input_fields), &cursor, &inputs[i], error);
        if (status)
            return row_failed(status, &rows, i, error);
    }
    task->inputs = inputs;
    task->input_count = count;
    return SYNK_OK;
}

static enum synk_status decode_tasks(struct synk_bytes array, struct arena *arena,
                                     struct msg_dispatch *dispatch, struct synk_error *error)
{
    struct rows rows = {"tasks", array, 4};
    struct cursor cursor;
    size_t count = 0;
    enum synk_status status = enter_rows(&rows, &cursor, &count, error);
    if (status)
        return status;
    struct msg_task *tasks = arena_zalloc(arena, count, sizeof(*tasks));
    for (size_t i = 0; i < count; i++) {
        struct task_row row = {0};
        status = fields_decode_row(task_fields, COUNT_OF(task_fields), &cursor, &row, error);
        if (status == SYNK_OK && row.task.spec >= dispatch->spec_count)
            status = status_fail(error, SYNK_PROTOCOL, "'spec' is %u of %zu", row.task.spec,
                                 dispatch->spec_count);
        if (status == SYNK_OK)
            status = decode_inputs(row.inputs, arena, &row.task, error);
        if (status)
            return row_failed(status, &rows, i, error);
        tasks[i] = row.task;
    }
    dispatch->tasks = tasks;
    dispatch->task_count = count;
    return SYNK_OK;
}

enum synk_status msg_dispatch_decode(struct synk_bytes body, struct arena *arena,
                                     struct msg_dispatch *ret_dispatch, struct synk_error *error)
{
    struct dispatch_body parts = {0};
    enum synk_status status = check_value(body, &check_message_limits, error);
    if (status == SYNK_OK)
        status = fields_decode_map(dispatch_fields, COUNT_OF(dispatch_fields), body, &parts, error);
    if (status == SYNK_OK)
        status = decode_specs(parts.specs, arena, ret_dispatch, error);
    if (status == SYNK_OK)
        status = decode_tasks(parts.tasks, arena, ret_dispatch, error);
    if (status)
        status_prefix(error, "dispatch");
    return status;
}

enum synk_status msg_values_decode(struct synk_bytes frame, struct arena *arena,
                                   struct synk_bytes **ret_values, size_t *ret_count,
                                   struct synk_error *error)
{
    struct rows rows = {"values", frame, 0};
    struct cursor cursor;
    size_t count = 0;
    enum synk_status status = check_value(frame, &check_message_limits, error);
    if (status == SYNK_OK)
        status = enter_rows(&rows, &cursor, &count, error);
    if (status)
        return status;
    struct synk_bytes *values = arena_zalloc(arena, count, sizeof(*values));
    for (size_t i = 0; i < count; i++) {
        if (cursor_null(&cursor))
            continue;
        if (!cursor_binary(&cursor, &values[i]))
            return status_fail(error, SYNK_PROTOCOL, "values[%zu] is not binary", i);
        if (values[i].size > LIMIT_VALUE_BYTES)
            return status_fail(error, SYNK_TOO_LARGE, "values[%zu] has %zu bytes, %d are allowed",
                               i, values[i].size, LIMIT_VALUE_BYTES);
    }
    *ret_values = values;
    *ret_count = count;
    return SYNK_OK;
}
