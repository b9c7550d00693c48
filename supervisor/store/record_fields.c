/*
 * The tables of fields, and what follows from them alone.
 *
 * Invariants: columns are in the order of SQLite's tables, new ones behind the others; tags are in
 * use out there, so a tag keeps its field for ever. Stored bytes are trusted as little as a peer's.
 */
#include "supervisor/store/record_fields.h"

#include "proto/check.h"
#include "proto/definition.h"
#include "proto/limits.h"
#include "proto/msg.h"
#include "proto/pack.h"
#include "supervisor/core/states.h"
#include "supervisor/store/packed.h"

static const char *unit_status_text(unsigned value)
{
    return value <= UNIT_PAUSED ? unit_status_name((enum unit_status)value) : NULL;
}

static const char *run_status_text(unsigned value)
{
    return value <= RUN_SKIPPED ? run_status_name((enum run_status)value) : NULL;
}

#define AT(member) offsetof(struct record, member)
#define KEY_TEXT(column, member, text)                                                             \
    {                                                                                              \
        .name = column, .type = FIELD_TEXT, .is_required = true, .offset = AT(member),             \
        .problem = text                                                                            \
    }
#define KEY_UINT(column, kind, member, most, text)                                                 \
    {                                                                                              \
        .name = column, .type = kind, .is_required = true, .offset = AT(member), .max = most,      \
        .problem = text                                                                            \
    }
#define BYTES(number, kind, column, member)                                                        \
    {                                                                                              \
        .name = column, .type = kind, .tag = number, .offset = AT(member)                          \
    }
#define NAMED_BYTES(number, kind, column, member, text)                                            \
    {                                                                                              \
        .name = column, .type = kind, .tag = number, .is_required = true, .offset = AT(member),    \
        .problem = text                                                                            \
    }
#define VALUE(number, column, member, text)                                                        \
    {                                                                                              \
        .name = column, .type = FIELD_VALUE, .tag = number, .offset = AT(member), .problem = text  \
    }
#define NUMBER(number, kind, column, member, most, text)                                           \
    {                                                                                              \
        .name = column, .type = kind, .tag = number, .offset = AT(member), .max = most,            \
        .problem = text                                                                            \
    }
#define FLAG(number, column, member)                                                               \
    NUMBER(number, FIELD_BOOL, column, member, 1, column " is not 0 or 1")
#define UINT32(number, column, member)                                                             \
    NUMBER(number, FIELD_UINT32, column, member, UINT32_MAX, column " out of range")
#define UINT63(number, column, member)                                                             \
    NUMBER(number, FIELD_UINT64, column, member, INT64_MAX, column " out of range")
#define UINT64(number, column, member)                                                             \
    NUMBER(number, FIELD_UINT64, column, member, UINT64_MAX, column " out of range")
#define INT32(number, column, member)                                                              \
    NUMBER(number, FIELD_INT32, column, member, INT32_MAX, column " out of range")
#define INT64(number, column, member)                                                              \
    NUMBER(number, FIELD_INT64, column, member, INT64_MAX, column " out of range")
/* Never NULL: it is compared. */
#define STATE(number, column, member, most, text, names)                                           \
    {                                                                                              \
        .name = column, .type = FIELD_UINT8, .tag = number, .is_required = true,                   \
        .offset = AT(member), .max = most, .problem = text, .name_of = names                       \
    }

static const struct record_field meta_fields[] = {
    KEY_TEXT("name", meta.name, "no name"),
    BYTES(1, FIELD_BLOB, "value", meta.value),
};

static const struct record_field unit_fields[] = {
    KEY_TEXT("id", unit.id, "no id"),
    UINT32(1, "version", unit.version),
    FLAG(2, "enabled", unit.enabled),
    FLAG(3, "paused", unit.paused),
    UINT63(4, "last_number", unit.last_number),
    UINT63(5, "success_count", unit.success_count),
    UINT63(6, "run_count", unit.run_count),
    INT64(7, "last_run_at", unit.last_run_at),
    INT64(8, "due_at", unit.due_at),
    {.name = "status",
     .type = FIELD_UINT8,
     .tag = 9,
     .offset = AT(unit.status),
     .max = UNIT_PAUSED,
     .problem = "no such status",
     .name_of = unit_status_text},
    VALUE(10, "execution", unit.execution, "execution is not a value"),
    BYTES(11, FIELD_BLOB, "overlay", unit.overlay),
    UINT32(12, "last_version", unit.last_version),
};

static const struct record_field definition_fields[] = {
    KEY_TEXT("unit", definition.unit, "no unit"),
    KEY_UINT("version", FIELD_UINT32, definition.version, UINT32_MAX, "version out of range"),
    NUMBER(1, FIELD_UINT32, "worker_count", definition.worker_count, LIMIT_WORKERS,
           "too many workers"),
    NAMED_BYTES(2, FIELD_BLOB, "header", definition.header, "no header"),
};

static const struct record_field worker_fields[] = {
    KEY_TEXT("unit", worker.unit, "no unit"),
    KEY_UINT("version", FIELD_UINT32, worker.version, UINT32_MAX, "version out of range"),
    KEY_UINT("number", FIELD_UINT32, worker.index, LIMIT_WORKERS, "number out of range"),
    NAMED_BYTES(1, FIELD_BLOB, "body", worker.body, "no body"),
};

static const struct record_field host_fields[] = {
    KEY_TEXT("name", host.name, "no name"),
    UINT64(1, "instance", host.instance),
    INT64(2, "seen_at", host.seen_at),
    UINT64(3, "applied", host.applied),
};

static const struct record_field key_fields[] = {
    KEY_TEXT("key", key.key, "no key"),
    VALUE(1, "reply", key.reply, "reply is not a value"),
    INT64(2, "expires_at", key.expires_at),
};

static const struct record_field run_fields[] = {
    KEY_UINT("run", FIELD_UINT64, run.run, INT64_MAX, "run out of range"),
    NAMED_BYTES(1, FIELD_TEXT, "unit", run.unit, "no unit"),
    BYTES(2, FIELD_TEXT, "worker", run.worker),
    UINT63(3, "number", run.number),
    UINT32(4, "version", run.version),
    STATE(5, "status", run.status, RUN_SKIPPED, "no such status", run_status_text),
    FLAG(6, "cancelling", run.cancelling),
    UINT32(7, "task_count", run.task_count),
    BYTES(8, FIELD_TEXT, "started_by", run.by),
    VALUE(9, "params", run.params, "params are not a value"),
    BYTES(10, FIELD_BLOB, "spec", run.spec),
    BYTES(11, FIELD_TEXT, "error", run.error),
    INT64(12, "created_at", run.created_at),
    INT64(13, "started_at", run.started_at),
    INT64(14, "ended_at", run.ended_at),
    {.name = "priority",
     .type = FIELD_INT32,
     .tag = 15,
     .offset = AT(run.priority),
     .has_offset = AT(run.has_priority),
     .max = INT32_MAX,
     .problem = "priority out of range"},
    BYTES(16, FIELD_TEXT, "name", run.name),
    FLAG(17, "paused", run.paused),
    INT64(18, "not_before", run.not_before),
    NUMBER(19, FIELD_UINT8, "overlap", run.overlap, OVERLAP_CANCEL, "no such overlap"),
};

static const struct record_field task_fields[] = {
    KEY_UINT("run", FIELD_UINT64, task.run, INT64_MAX, "run out of range"),
    KEY_UINT("task", FIELD_UINT32, task.task, UINT32_MAX, "task out of range"),
    STATE(1, "state", task.state, TASK_STATES - 1, "no such state", NULL),
    NUMBER(2, FIELD_UINT8, "crashes", task.crashes, UINT8_MAX, "crashes out of range"),
    UINT32(3, "attempts", task.attempts),
    UINT32(4, "epoch", task.epoch),
    BYTES(5, FIELD_TEXT, "worker", task.worker),
    BYTES(6, FIELD_TEXT, "host", task.host),
    INT64(7, "started_at", task.started_at),
    INT64(8, "ended_at", task.ended_at),
    INT64(9, "due_at", task.due_at),
    INT32(10, "exit_status", task.exit_status),
    INT32(11, "signal", task.signal),
    INT64(12, "user_us", task.user_us),
    INT64(13, "system_us", task.system_us),
    INT64(14, "max_rss_kib", task.max_rss_kib),
    INT64(15, "execution_us", task.execution_us),
    VALUE(16, "result", task.result, "result is not a value"),
    BYTES(17, FIELD_TEXT, "error", task.error),
    BYTES(18, FIELD_TEXT, "reason", task.reason),
    FLAG(19, "has_readers", task.has_readers),
    NUMBER(20, FIELD_UINT16, "tries", task.tries, UINT16_MAX, "tries out of range"),
    UINT32(21, "cause", task.cause),
};

static const struct record_field attempt_fields[] = {
    KEY_UINT("run", FIELD_UINT64, attempt.run, INT64_MAX, "run out of range"),
    KEY_UINT("task", FIELD_UINT32, attempt.task, UINT32_MAX, "task out of range"),
    KEY_UINT("attempt", FIELD_UINT32, attempt.attempt, UINT32_MAX, "attempt out of range"),
    UINT32(1, "epoch", attempt.epoch),
    STATE(2, "outcome", attempt.outcome, OUTCOME_LOST, "no such outcome", NULL),
    BYTES(3, FIELD_TEXT, "host", attempt.host),
    BYTES(4, FIELD_TEXT, "error", attempt.error),
    INT64(5, "started_at", attempt.started_at),
    INT64(6, "ended_at", attempt.ended_at),
    INT32(7, "exit_status", attempt.exit_status),
    INT32(8, "signal", attempt.signal),
    INT64(9, "user_us", attempt.user_us),
    INT64(10, "system_us", attempt.system_us),
    INT64(11, "max_rss_kib", attempt.max_rss_kib),
};

#define SHAPE(kind, table, list, keys)                                                             \
    [kind] = {.name = table,                                                                       \
              .fields = list,                                                                      \
              .field_count = sizeof(list) / sizeof(*(list)),                                       \
              .key_count = keys}
const struct record_shape record_shapes[RECORD_KINDS] = {
    SHAPE(RECORD_META, "meta", meta_fields, 1),
    SHAPE(RECORD_UNIT, "units", unit_fields, 1),
    SHAPE(RECORD_DEFINITION, "definitions", definition_fields, 2),
    SHAPE(RECORD_WORKER, "workers", worker_fields, 3),
    SHAPE(RECORD_HOST, "hosts", host_fields, 1),
    SHAPE(RECORD_KEY, "keys", key_fields, 1),
    SHAPE(RECORD_RUN, "runs", run_fields, 1),
    SHAPE(RECORD_TASK, "tasks", task_fields, 2),
    SHAPE(RECORD_ATTEMPT, "attempts", attempt_fields, 3),
};

static const void *at_const(const struct record *record, size_t offset)
{
    return (const char *)record + offset;
}

static void *at(struct record *record, size_t offset)
{
    return (char *)record + offset;
}

struct synk_bytes field_bytes(const struct record_field *field, const struct record *record)
{
    return *(const struct synk_bytes *)at_const(record, field->offset);
}

void field_set_bytes(const struct record_field *field, struct record *record,
                     struct synk_bytes bytes)
{
    *(struct synk_bytes *)at(record, field->offset) = bytes;
}

int64_t field_number(const struct record_field *field, const struct record *record)
{
    const void *place = at_const(record, field->offset);
    switch (field->type) {
    case FIELD_BOOL:
        return *(const bool *)place;
    case FIELD_UINT8:
        return *(const uint8_t *)place;
    case FIELD_UINT16:
        return *(const uint16_t *)place;
    case FIELD_UINT32:
        return *(const uint32_t *)place;
    case FIELD_UINT64:
        return (int64_t) * (const uint64_t *)place;
    case FIELD_INT32:
        return *(const int32_t *)place;
    case FIELD_INT64:
        return *(const int64_t *)place;
    default:
        return 0;
    }
}

const char *field_set_number(const struct record_field *field, struct record *record,
                             int64_t number)
{
    void *place = at(record, field->offset);
    bool fits = (uint64_t)number <= field->max;
    switch (field->type) {
    case FIELD_BOOL:
        *(bool *)place = number != 0;
        break;
    case FIELD_UINT8:
        *(uint8_t *)place = (uint8_t)number;
        break;
    case FIELD_UINT16:
        *(uint16_t *)place = (uint16_t)number;
        break;
    case FIELD_UINT32:
        *(uint32_t *)place = (uint32_t)number;
        break;
    case FIELD_UINT64:
        *(uint64_t *)place = (uint64_t)number;
        break;
    case FIELD_INT32:
        *(int32_t *)place = (int32_t)number;
        fits = number == (int32_t)number;
        break;
    case FIELD_INT64:
        *(int64_t *)place = number;
        fits = true;
        break;
    default:
        fits = false;
    }
    return fits ? NULL : field->problem;
}

bool field_is_set(const struct record_field *field, const struct record *record)
{
    if (field->has_offset)
        return *(const bool *)at_const(record, field->has_offset);
    return field_is_bytes(field) ? field_bytes(field, record).size != 0
                                 : field_number(field, record) != 0;
}

void field_set_present(const struct record_field *field, struct record *record, bool present)
{
    if (field->has_offset)
        *(bool *)at(record, field->has_offset) = present;
}

const char *record_problem(const struct record *record)
{
    const struct record_shape *shape = &record_shapes[record->kind];
    for (const struct record_field *field = shape->fields;
         field < shape->fields + shape->field_count; field++) {
        if (!field_is_bytes(field))
            continue;
        struct synk_bytes bytes = field_bytes(field, record);
        if (field->is_required && bytes.size == 0)
            return field->problem;
        if (field->type == FIELD_VALUE && bytes.size &&
            check_value(bytes, &check_message_limits, NULL) != SYNK_OK)
            return field->problem;
    }
    if (record->kind == RECORD_ATTEMPT && record->attempt.outcome > OUTCOME_CRASHED &&
        record->attempt.outcome < OUTCOME_LOST)
        return "no such outcome";
    return NULL;
}

void record_copy(struct record *record, struct arena *arena)
{
    const struct record_shape *shape = &record_shapes[record->kind];
    for (const struct record_field *field = shape->fields;
         field < shape->fields + shape->field_count; field++)
        if (field_is_bytes(field))
            field_set_bytes(field, record, arena_copy(arena, field_bytes(field, record)));
}

void record_pack(const struct record *record, struct buf *out)
{
    const struct record_shape *shape = &record_shapes[record->kind];
    uint32_t count = 0;
    for (int i = shape->key_count; i < shape->field_count; i++)
        count += field_is_set(&shape->fields[i], record);
    pack_map(out, count);
    for (int i = shape->key_count; i < shape->field_count; i++) {
        const struct record_field *field = &shape->fields[i];
        if (!field_is_set(field, record))
            continue;
        pack_uint(out, field->tag);
        if (field->type == FIELD_TEXT)
            pack_string(out, field_bytes(field, record));
        else if (field_is_bytes(field))
            pack_binary(out, field_bytes(field, record));
        else
            pack_int(out, field_number(field, record));
    }
}

static const struct record_field *find_tag(const struct record_shape *shape, int64_t tag)
{
    for (int i = shape->key_count; i < shape->field_count; i++)
        if (shape->fields[i].tag == tag)
            return &shape->fields[i];
    return NULL;
}

const char *record_unpack(struct synk_bytes packed, struct record *record)
{
    const struct record_shape *shape = &record_shapes[record->kind];
    const uint8_t *place = packed.data, *end = place + packed.size;
    uint64_t entries;
    const char *problem = NULL;
    if (!packed_map(&place, end, &entries))
        return "not a packed record";
    for (; entries; entries--) {
        int64_t tag, number;
        struct synk_bytes bytes;
        if (!packed_int(&place, end, &tag))
            return "a packed record that is cut off";
        const struct record_field *field = find_tag(shape, tag);
        if (!field) {
            if (!(place = packed_skip(place, end)))
                return "a packed record that is cut off";
        } else if (field_is_bytes(field)) {
            if (!packed_bytes(&place, end, &bytes))
                return "a packed record with a field of another type";
            field_set_bytes(field, record, bytes);
        } else {
            if (!packed_int(&place, end, &number))
                return "a packed record with a field of another type";
            const char *wrong = field_set_number(field, record, number);
            field_set_present(field, record, true);
            problem = problem ? problem : wrong;
        }
    }
    if (place != end)
        return "a packed record with something behind it";
    return problem ? problem : record_problem(record);
}
