/*
 * The table of fields: what a unit may say, where, and how each is read. A map's entries are first
 * sorted into draft->nodes by the table, so that what applies where a field is absent (`defaults`)
 * is one pointer; then each present field's parser runs. Fields without a parser here are read by
 * definition_command.c, definition_graph.c and definition_validate.c. Pure.
 */
#include <stddef.h>
#include <stdio.h>

#include "proto/cron.h"
#include "proto/definition_internal.h"

struct field;
typedef enum synk_status parse_field(struct validation *v, const struct field *field,
                                     const struct node *node, struct draft *draft);

struct field {
    const char *name;
    unsigned places; /* enum field_place */
    parse_field *parse;
    size_t offset; /* of the target in struct draft */
    int64_t min, max;
    const char *(*choice_name)(unsigned value); /* of parse_choice; max is the last value */
};

static void *target(const struct field *field, struct draft *draft)
{
    return (char *)draft + field->offset;
}

enum synk_status definition_parse_text(struct validation *v, const struct node *node,
                                       const char *name, size_t max, const char **ret_text)
{
    if (node->kind != NODE_STRING || !node->text.size)
        return definition_fail_type(v, node, name, "a string that is not empty");
    if (node->text.size > max)
        return definition_fail(v, node, SYNK_TOO_LARGE, "'%s' has %zu bytes, more than %zu", name,
                               node->text.size, max);
    if (memchr(node->text.data, 0, node->text.size) || !check_utf8(node->text))
        return definition_fail(v, node, SYNK_INVALID, "'%s' must be UTF-8 without NUL", name);
    *ret_text = arena_strndup(&v->scratch, node->text.data, node->text.size);
    return SYNK_OK;
}

enum synk_status definition_parse_id(struct validation *v, const struct node *node,
                                     const char *name, struct synk_bytes *ret_id)
{
    if (node->kind != NODE_STRING)
        return definition_fail_type(v, node, name, "a string (quote it)");
    if (!definition_id_is_valid(node->text))
        return definition_fail_type(v, node, name,
                                    "1 to 128 bytes of printable UTF-8 without / and #");
    *ret_id = node->text;
    return SYNK_OK;
}

static enum synk_status parse_text(struct validation *v, const struct field *field,
                                   const struct node *node, struct draft *draft)
{
    return definition_parse_text(v, node, field->name, (size_t)field->max, target(field, draft));
}

static enum synk_status parse_bool(struct validation *v, const struct field *field,
                                   const struct node *node, struct draft *draft)
{
    if (node->kind != NODE_BOOL)
        return definition_fail_type(v, node, field->name, "true or false");
    *(bool *)target(field, draft) = node->boolean;
    return SYNK_OK;
}

/* An integer within the field's bounds; a double that is one exactly counts (JSON's 5.0). */
static enum synk_status read_integer(struct validation *v, const struct field *field,
                                     const struct node *node, int64_t *ret_value)
{
    bool is_whole = node->kind == NODE_DOUBLE && node->number > -9e15 && node->number < 9e15 &&
                    (double)(int64_t)node->number == node->number;
    if (node->kind == NODE_INT || is_whole) {
        int64_t value = is_whole ? (int64_t)node->number : node->integer;
        if (value >= field->min && value <= field->max) {
            *ret_value = value;
            return SYNK_OK;
        }
    }
    char what[80];
    if (field->max == INT64_MAX)
        snprintf(what, sizeof(what), "an integer of at least %lld", (long long)field->min);
    else
        snprintf(what, sizeof(what), "an integer from %lld to %lld", (long long)field->min,
                 (long long)field->max);
    return definition_fail_type(v, node, field->name, what);
}

static enum synk_status parse_u32(struct validation *v, const struct field *field,
                                  const struct node *node, struct draft *draft)
{
    int64_t value = 0;
    enum synk_status status = read_integer(v, field, node, &value);
    if (!status)
        *(uint32_t *)target(field, draft) = (uint32_t)value;
    return status;
}

static enum synk_status parse_i32(struct validation *v, const struct field *field,
                                  const struct node *node, struct draft *draft)
{
    int64_t value = 0;
    enum synk_status status = read_integer(v, field, node, &value);
    if (!status)
        *(int32_t *)target(field, draft) = (int32_t)value;
    return status;
}

static enum synk_status parse_u64(struct validation *v, const struct field *field,
                                  const struct node *node, struct draft *draft)
{
    int64_t value = 0;
    enum synk_status status = read_integer(v, field, node, &value);
    if (!status)
        *(uint64_t *)target(field, draft) = (uint64_t)value;
    return status;
}

/* Milliseconds, or a string with a unit. */
static enum synk_status parse_ms(struct validation *v, const struct field *field,
                                 const struct node *node, struct draft *draft)
{
    if (node->kind != NODE_STRING) {
        int64_t value = 0;
        enum synk_status status = read_integer(v, field, node, &value);
        if (!status)
            *(int64_t *)target(field, draft) = value;
        return status;
    }
    struct synk_error inner;
    int64_t value = 0;
    if (definition_duration(node->text, &value, &inner)) {
        char what[64];
        snprintf(what, sizeof(what), "'%s'", field->name);
        return definition_fail_inner(v, node, &inner, what);
    }
    if (value < field->min)
        return definition_fail_type(v, node, field->name, "longer than that");
    *(int64_t *)target(field, draft) = value;
    return SYNK_OK;
}

/* A number or a string with a unit is a time; any other string is an expression. */
static enum synk_status parse_retry_delay(struct validation *v, const struct field *field,
                                          const struct node *node, struct draft *draft)
{
    if (node->kind != NODE_STRING ||
        !definition_duration(node->text, &draft->worker.retry_delay_ms, NULL))
        return parse_ms(v, field, node, draft);
    enum synk_status status = definition_parse_text(v, node, field->name, LIMIT_EXPRESSION_BYTES,
                                                    &draft->worker.retry_delay);
    if (status)
        return status;
    struct synk_error inner = {0};
    unsigned uses;
    if (v->checker->check(v->checker->context, node->text, &uses, &inner))
        return definition_fail_inner(
            v, node, &inner,
            "'retryDelayMs' is neither a duration nor an expression that compiles");
    return SYNK_OK;
}

static const char *catch_up_choice(unsigned value)
{
    return catch_up_name((enum catch_up)value);
}

static const char *overlap_choice(unsigned value)
{
    return overlap_name((enum overlap)value);
}

static const char *run_mode_choice(unsigned value)
{
    return run_mode_name((enum run_mode)value);
}

static enum synk_status parse_choice(struct validation *v, const struct field *field,
                                     const struct node *node, struct draft *draft)
{
    char what[128] = "one of";
    size_t size = strlen(what);
    for (unsigned value = (unsigned)field->min; value <= (unsigned)field->max; value++) {
        const char *name = field->choice_name(value);
        if (definition_node_is(node, name)) {
            memcpy(target(field, draft), &value, sizeof(value));
            return SYNK_OK;
        }
        size += (size_t)snprintf(what + size, sizeof(what) - size, " %s", name);
    }
    return definition_fail_type(v, node, field->name, what);
}
_Static_assert(sizeof(enum overlap) == sizeof(unsigned) &&
                   sizeof(enum catch_up) == sizeof(unsigned) &&
                   sizeof(enum run_mode) == sizeof(unsigned),
               "parse_choice writes an enum as an unsigned");

static enum synk_status parse_status(struct validation *v, const struct field *field,
                                     const struct node *node, struct draft *draft)
{
    if (!definition_node_is(node, "idle") && !definition_node_is(node, "paused"))
        return definition_fail_type(v, node, field->name,
                                    "idle or paused (other states come from runs)");
    draft->unit.paused = definition_node_is(node, "paused");
    return SYNK_OK;
}

static enum synk_status parse_meta(struct validation *v, const struct field *field,
                                   const struct node *node, struct draft *draft)
{
    if (node->kind != NODE_MAP)
        return definition_fail_type(v, node, field->name, "a map");
    struct synk_error inner = {0};
    buf_clear(&v->encoded);
    if (definition_node_encode(node, &v->encoded, &inner))
        return definition_fail_inner(v, node, &inner, "'meta'");
    if (node->count)
        draft->unit.meta = arena_copy(&v->scratch, buf_bytes(&v->encoded));
    return SYNK_OK;
}

static enum synk_status parse_cron(struct validation *v, const struct field *field,
                                   const struct node *node, struct draft *draft)
{
    enum synk_status status = parse_text(v, field, node, draft);
    if (status)
        return status;
    struct cron cron;
    struct synk_error inner = {0};
    if (cron_parse(bytes_str(draft->unit.cron), &cron, &inner))
        return definition_fail(v, node, inner.status, "%s", inner.text);
    return SYNK_OK;
}

static enum synk_status parse_milestone(struct validation *v, const struct field *field,
                                        const struct node *node, struct draft *draft)
{
    return definition_parse_text(v, node, field->name, DEFINITION_MILESTONE_BYTES,
                                 &draft->unit.run_on_milestone);
}

static enum synk_status parse_hooks(struct validation *v, const struct field *field,
                                    const struct node *node, struct draft *draft)
{
    return definition_parse_hooks(v, node, field->name, target(field, draft));
}

static enum synk_status parse_requires(struct validation *v, const struct field *field,
                                       const struct node *node, struct draft *draft)
{
    (void)field;
    return definition_parse_requires(v, node, &draft->worker);
}

static enum synk_status parse_uses(struct validation *v, const struct field *field,
                                   const struct node *node, struct draft *draft)
{
    (void)field;
    return definition_parse_uses(v, node, &draft->worker);
}

static enum synk_status parse_exit_codes(struct validation *v, const struct field *field,
                                         const struct node *node, struct draft *draft)
{
    (void)field;
    return definition_parse_exit_codes(v, node, &draft->worker);
}

#define UNIT(member)    offsetof(struct draft, unit.member)
#define WORKER(member)  offsetof(struct draft, worker.member)
#define PROCESS(member) offsetof(struct draft, process.member)
#define MS_MAX          DEFINITION_DURATION_MAX_MS
#define LINE            DEFINITION_LINE_BYTES

/* Name, places, parser, target, least and most, names of the choices. */
static const struct field fields[FIELD_COUNT] = {
    [FIELD_ID] = {"id", IN_UNIT, NULL, 0, 0, 0, NULL},
    [FIELD_NAME] = {"name", IN_UNIT, parse_text, UNIT(name), 1, LINE, NULL},
    [FIELD_DESCRIPTION] = {"description", IN_UNIT, parse_text, UNIT(description), 1,
                           DEFINITION_TEXT_BYTES, NULL},
    [FIELD_ENABLED] = {"enabled", IN_UNIT, parse_bool, UNIT(enabled), 0, 0, NULL},
    [FIELD_META] = {"meta", IN_UNIT, parse_meta, 0, 0, 0, NULL},
    [FIELD_ON_START] = {"onStart", IN_UNIT, parse_hooks, UNIT(on_start), 0, 0, NULL},
    [FIELD_ON_COMPLETE] = {"onComplete", IN_UNIT, parse_hooks, UNIT(on_complete), 0, 0, NULL},
    [FIELD_ON_ERROR] = {"onError", IN_UNIT, parse_hooks, UNIT(on_error), 0, 0, NULL},
    [FIELD_RUN_ON_INTERVAL] = {"runOnInterval", IN_UNIT, parse_bool, UNIT(run_on_interval), 0, 0,
                               NULL},
    [FIELD_INTERVAL_MS] = {"intervalMs", IN_UNIT, parse_ms, UNIT(interval_ms), 1, MS_MAX, NULL},
    [FIELD_MAX_RUNS] = {"maxRuns", IN_UNIT, parse_u64, UNIT(max_runs), 0, INT64_MAX, NULL},
    [FIELD_CRON] = {"cron", IN_UNIT, parse_cron, UNIT(cron), 1, LIMIT_CRON_BYTES, NULL},
    [FIELD_TIME_ZONE] = {"timeZone", IN_UNIT, parse_text, UNIT(time_zone), 1, LIMIT_ZONE_NAME_BYTES,
                         NULL},
    [FIELD_CATCH_UP] = {"catchUp", IN_UNIT, parse_choice, UNIT(catch_up), CATCH_UP_ONE,
                        CATCH_UP_ALL, catch_up_choice},
    [FIELD_OVERLAP] = {"overlap", IN_UNIT, parse_choice, UNIT(overlap), OVERLAP_QUEUE,
                       OVERLAP_CANCEL, overlap_choice},
    [FIELD_RUN_ON_START] = {"runOnStart", IN_UNIT, parse_bool, UNIT(run_on_start), 0, 0, NULL},
    [FIELD_RUN_ON_MILESTONE] = {"runOnMilestone", IN_UNIT, parse_milestone, 0, 0, 0, NULL},
    [FIELD_STATUS] = {"status", IN_UNIT, parse_status, 0, 0, 0, NULL},
    [FIELD_RUN] = {"run", IN_WORKER, NULL, 0, 0, 0, NULL},
    [FIELD_PAYLOAD] = {"payload", IN_WORKER, NULL, 0, 0, 0, NULL},
    [FIELD_COMMAND] = {"command", IN_WORKER, NULL, 0, 0, 0, NULL},
    [FIELD_CWD] = {"cwd", IN_WORKER | IN_DEFAULTS, NULL, 0, 0, 0, NULL},
    [FIELD_ENV] = {"env", IN_WORKER | IN_DEFAULTS, NULL, 0, 0, 0, NULL},
    [FIELD_ENV_FILE] = {"envFile", IN_WORKER, NULL, 0, 0, 0, NULL},
    [FIELD_STDIN] = {"stdin", IN_WORKER, NULL, 0, 0, 0, NULL},
    [FIELD_OUTPUT] = {"output", IN_WORKER, NULL, 0, 0, 0, NULL},
    [FIELD_MAX_RETRIES] = {"maxRetries", IN_WORKER | IN_DEFAULTS, parse_u32, WORKER(max_retries), 0,
                           1000000, NULL},
    [FIELD_RETRY_DELAY_MS] = {"retryDelayMs", IN_WORKER | IN_DEFAULTS, parse_retry_delay,
                              WORKER(retry_delay_ms), 0, MS_MAX, NULL},
    [FIELD_TIMEOUT_MS] = {"timeoutMs", IN_WORKER | IN_DEFAULTS, parse_ms, WORKER(timeout_ms), 0,
                          MS_MAX, NULL},
    [FIELD_PROGRESS_TIMEOUT_MS] = {"progressTimeoutMs", IN_WORKER | IN_DEFAULTS, parse_ms,
                                   WORKER(progress_timeout_ms), 0, MS_MAX, NULL},
    [FIELD_NO_RETRY_EXIT_CODES] = {"noRetryExitCodes", IN_WORKER, parse_exit_codes, 0, 0, 0, NULL},
    [FIELD_DEPENDS_ON] = {"dependsOn", IN_WORKER, NULL, 0, 0, 0, NULL},
    [FIELD_REQUIRES] = {"requires", IN_WORKER | IN_DEFAULTS, parse_requires, 0, 0, 0, NULL},
    [FIELD_PRIORITY] = {"priority", IN_WORKER | IN_DEFAULTS, parse_i32, WORKER(priority), -1000,
                        1000, NULL},
    [FIELD_SLOTS] = {"slots", IN_WORKER, parse_u32, WORKER(slots), 1, INT32_MAX, NULL},
    [FIELD_USES] = {"uses", IN_WORKER, parse_uses, 0, 0, 0, NULL},
    [FIELD_PROCESS_ID] = {"processId", IN_WORKER, NULL, 0, 0, 0, NULL},
    [FIELD_WORKERS] = {"workers", IN_PROCESS, NULL, 0, 0, 0, NULL},
    [FIELD_RUN_MODE] = {"runMode", IN_PROCESS, parse_choice, PROCESS(run_mode), RUN_SEQUENTIAL,
                        RUN_ISOLATED, run_mode_choice},
    [FIELD_BATCH_SIZE] = {"batchSize", IN_PROCESS, parse_u32, PROCESS(batch_size), 1, LIMIT_WORKERS,
                          NULL},
    [FIELD_ISOLATION_DELAY_MS] = {"isolationDelayMs", IN_PROCESS, parse_ms,
                                  PROCESS(isolation_delay_ms), 0, MS_MAX, NULL},
    [FIELD_MAX_PARALLEL] = {"maxParallel", IN_PROCESS, parse_u32, PROCESS(max_parallel), 0,
                            LIMIT_WORKERS, NULL},
    [FIELD_MAX_FAILURES] = {"maxFailures", IN_PROCESS, parse_u32, PROCESS(max_failures), 0,
                            LIMIT_WORKERS, NULL},
    [FIELD_DEADLINE_MS] = {"timeoutMs", IN_PROCESS, parse_ms, PROCESS(timeout_ms), 0, MS_MAX, NULL},
};

const char *definition_field_name(enum field_id field)
{
    return fields[field].name;
}

static enum synk_status fail_unknown(struct validation *v, const struct node *key,
                                     enum field_place place)
{
    static const char *const elsewhere[] = {
        [IN_WORKER] = "a field of processes",
        [IN_PROCESS] = "a field of workers",
        [IN_DEFAULTS] = "not one that may have a default",
    };
    const char *names[FIELD_COUNT + 1];
    size_t count = 0;
    for (int i = 0; i < FIELD_COUNT; i++) {
        if (fields[i].places & place)
            names[count++] = fields[i].name;
        else if (definition_node_is(key, fields[i].name))
            return definition_fail(v, key, SYNK_INVALID, "'%s' is %s", fields[i].name,
                                   elsewhere[place]);
    }
    names[count] = NULL;
    return definition_fail_unknown(v, key, names);
}

enum synk_status definition_read_fields(struct validation *v, const struct node *map,
                                        enum field_place place, struct draft *draft)
{
    for (uint32_t i = 0; i < map->count; i++) {
        int f = 0;
        while (f < FIELD_COUNT &&
               !((fields[f].places & place) && definition_node_is(&map->keys[i], fields[f].name)))
            f++;
        if (f == FIELD_COUNT)
            return fail_unknown(v, &map->keys[i], place);
        draft->nodes[f] = &map->items[i];
    }
    return SYNK_OK;
}

/* Which fields of a schedule go together. */
static enum synk_status check_schedule(struct validation *v, const struct draft *draft)
{
    const struct node *cron = draft->nodes[FIELD_CRON], *zone = draft->nodes[FIELD_TIME_ZONE];
    if (cron && draft->nodes[FIELD_INTERVAL_MS])
        return definition_fail(v, cron, SYNK_INVALID,
                               "has both 'cron' and 'intervalMs': one schedule is enough");
    if (zone && !cron)
        return definition_fail(v, zone, SYNK_INVALID, "'timeZone' needs 'cron'");
    const struct calendar *calendar = v->checker->calendar;
    struct synk_error inner = {0};
    if (zone && calendar &&
        calendar->check(calendar->context, bytes_str(draft->unit.cron),
                        bytes_str(draft->unit.time_zone), &inner))
        return definition_fail(v, zone, inner.status, "%s", inner.text);
    return SYNK_OK;
}

enum synk_status definition_parse_fields(struct validation *v, struct draft *draft)
{
    draft->unit = (struct unit_options){.enabled = true};
    draft->worker = (struct worker_options){.slots = 1};
    draft->process = (struct process_options){.batch_size = 2, .isolation_delay_ms = 100};
    for (int f = 0; f < FIELD_COUNT; f++) {
        if (!draft->nodes[f] || !fields[f].parse)
            continue;
        enum synk_status status = fields[f].parse(v, &fields[f], draft->nodes[f], draft);
        if (status)
            return status;
    }
    if (!draft->nodes[FIELD_RUN_ON_INTERVAL])
        draft->unit.run_on_interval = draft->unit.interval_ms > 0;
    else if (draft->unit.run_on_interval && !draft->unit.interval_ms)
        return definition_fail(v, draft->nodes[FIELD_RUN_ON_INTERVAL], SYNK_INVALID,
                               "'runOnInterval' needs 'intervalMs'");
    return check_schedule(v, draft);
}
