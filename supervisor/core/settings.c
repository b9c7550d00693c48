/*
 * `set`: fields of a unit, or of one worker of a process, changed in the definition in force. Most
 * are changed in place, in one record, and count from the next attempt on, in runs in progress too;
 * those that shape a run or say what runs make a new version, and runs in progress keep theirs.
 * Everything is checked before anything changes.
 */
#include "supervisor/core/settings.h"

#include "proto/definition_change.h"
#include "proto/definition_supported.h"
#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/events.h"
#include "supervisor/core/limits.h"
#include "supervisor/core/queues.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/schedule.h"

/* One request in the making. */
struct change {
    struct unit *unit;
    uint32_t worker; /* of a process; NONE = the unit itself */
    struct node fields;
    struct synk_bytes status;          /* empty = stays */
    struct synk_bytes *before, *after; /* of each field: its value, encoded */
    struct arena arena;
    struct buf encoded;
};

static uint32_t part_of(const struct change *change)
{
    return change->worker == NONE ? DEFINITION_UNIT : change->worker;
}

static const char *worker_of(const struct change *change)
{
    return change->worker == NONE ? ""
                                  : change->unit->current->definition->workers[change->worker].id;
}

static bool has_field(const struct change *change, const char *name)
{
    for (uint32_t i = 0; i < change->fields.count; i++)
        if (bytes_equal(change->fields.keys[i].text, bytes_str(name)))
            return true;
    return false;
}

/* Nil means back to what the file says: the value that it has, or nothing where it was not set. */
static void resolve_nils(struct change *change)
{
    struct node *fields = &change->fields;
    uint32_t count = 0;
    for (uint32_t i = 0; i < fields->count; i++) {
        struct node item = fields->items[i];
        if (item.kind == NODE_NULL && !definition_is_work(fields->keys[i].text)) {
            const struct setting *setting =
                overlay_find(&change->unit->overlay, worker_of(change), fields->keys[i].text);
            if (!setting)
                continue;
            definition_node_decode(blob_bytes(setting->was), &change->arena, &item, NULL);
        }
        fields->keys[count] = fields->keys[i];
        fields->items[count++] = item;
    }
    fields->count = count;
}

/* What the unit runs is one choice: as it was before, or as the file has it where a field of it is
 * to go back, and then what is given. Nothing stays of it in `fields` where it is as it was. */
static void resolve_work(struct change *change)
{
    struct node *fields = &change->fields, before = {.kind = NODE_MAP};
    bool is_work = false, goes_back = false;
    for (uint32_t i = 0; i < fields->count; i++) {
        bool is_of_it = definition_is_work(fields->keys[i].text);
        is_work |= is_of_it;
        goes_back |= is_of_it && fields->items[i].kind == NODE_NULL;
    }
    if (!is_work)
        return;
    struct node keys[DEFINITION_WORK_FIELDS], items[DEFINITION_WORK_FIELDS];
    struct buf out = {0};
    for (uint32_t i = 0; i < DEFINITION_WORK_FIELDS; i++) {
        struct synk_bytes name = bytes_str(definition_work_fields[i]);
        const struct setting *setting =
            goes_back ? overlay_find(&change->unit->overlay, worker_of(change), name) : NULL;
        buf_clear(&out);
        definition_field(change->unit->current->definition, part_of(change), name, &out);
        keys[i] = (struct node){.kind = NODE_STRING, .text = name};
        struct synk_bytes value = setting ? blob_bytes(setting->was) : buf_bytes(&out);
        definition_node_decode(arena_copy(&change->arena, value), &change->arena, &items[i], NULL);
    }
    before.keys = keys;
    before.items = items;
    before.count = DEFINITION_WORK_FIELDS;
    definition_complete_work(&before, fields, &change->arena);
    struct node made = *fields;
    made.keys += fields->count - DEFINITION_WORK_FIELDS;
    made.items += fields->count - DEFINITION_WORK_FIELDS;
    made.count = DEFINITION_WORK_FIELDS;
    if (definition_has_fields(change->unit->current->definition, part_of(change), &made))
        fields->count -= DEFINITION_WORK_FIELDS;
    buf_fini(&out);
}

static enum synk_status read_fields(const struct request *request, struct change *change,
                                    struct synk_error *error)
{
    const struct synk_value *set = synk_value_get(request->body, "set");
    change->fields = (struct node){.kind = NODE_MAP};
    if (value_is_null(set))
        return SYNK_OK;
    if (synk_value_kind(set) != SYNK_MAP)
        return status_fail(error, SYNK_INVALID, "'set' must be a map of fields and values");
    value_encode(set, &change->encoded);
    enum synk_status status =
        definition_node_decode(buf_bytes(&change->encoded), &change->arena, &change->fields, error);
    if (!status) {
        resolve_nils(change);
        resolve_work(change);
    }
    return status;
}

static enum synk_status check_status(const struct request *request, struct change *change,
                                     struct synk_error *error)
{
    static const char *const known[] = {"idle", "paused", "completed", "error"};
    const struct unit *unit = change->unit;
    change->status = body_text(request, "status");
    if (value_is_null(synk_value_get(request->body, "status")))
        return SYNK_OK;
    size_t i = 0;
    size_t count = change->worker == NONE ? 4 : 2;
    while (i < count && !bytes_equal(change->status, bytes_str(known[i])))
        i++;
    if (i == count)
        return status_fail(error, SYNK_INVALID, "'status' of a %s can be set to %s",
                           change->worker == NONE ? "unit" : "worker inside a process",
                           change->worker == NONE ? "idle, paused, completed or error"
                                                  : "idle or paused");
    bool only_resumes = i == 0 && unit->paused;
    if (change->worker == NONE && unit->live_runs && i != 1 && !only_resumes)
        return status_fail(error, SYNK_REFUSED, "'%s' has an unfinished run, %s", unit->id_text,
                           unit->first_run->label);
    return SYNK_OK;
}

/* ---- fields ---- */

/* The values that the fields have now. */
static struct synk_bytes *values_now(struct change *change)
{
    uint32_t count = change->fields.count;
    struct synk_bytes *values = arena_zalloc(&change->arena, count + 1u, sizeof(*values));
    struct buf out = {0};
    for (uint32_t i = 0; i < count; i++) {
        buf_clear(&out);
        definition_field(change->unit->current->definition, part_of(change),
                         change->fields.keys[i].text, &out);
        values[i] = arena_copy(&change->arena, buf_bytes(&out));
    }
    buf_fini(&out);
    return values;
}

/* What of the definition in force the engine keeps elsewhere. */
static void heed(struct engine *engine, struct change *change, bool had_milestone)
{
    struct unit *unit = change->unit;
    const struct definition *definition = unit->current->definition;
    bool is_member = change->worker != NONE;
    if (is_member || definition->kind == UNIT_WORKER) {
        uint32_t worker = is_member ? change->worker : 0;
        struct queue *queue = queue_for(engine, definition->workers[worker].worker);
        queue_unref(unit->current->queues[worker]);
        unit->current->queues[worker] = queue;
        unit_requeue_worker(engine, unit, definition->workers[worker].id);
    }
    if (is_member)
        return;
    engine->milestone_units += definition->unit->run_on_milestone != NULL;
    engine->milestone_units -= had_milestone;
    unit_heed_process(engine, unit);
    if (has_field(change, "enabled"))
        unit_set_enabled(engine, unit, definition->unit->enabled);
    schedule_unit(engine, unit, false);
}

static void save_part(struct engine *engine, const struct change *change)
{
    const struct version *version = change->unit->current;
    bool is_member = change->worker != NONE;
    struct buf out = {0};
    struct synk_bytes unit = keep_bytes(engine, change->unit->id);
    struct record *record =
        batch_add(&engine->effects->batch, is_member ? RECORD_WORKER : RECORD_DEFINITION);
    if (is_member) {
        definition_encode_worker(version->definition, change->worker, &out);
        record->worker = (struct worker_record){unit, version->number, change->worker,
                                                keep_bytes(engine, buf_bytes(&out))};
    } else {
        bool is_process = version->definition->kind == UNIT_PROCESS;
        definition_encode_header(version->definition, &out);
        record->definition = (struct definition_record){
            unit, version->number, is_process ? version->definition->worker_count : 0,
            keep_bytes(engine, buf_bytes(&out))};
    }
    buf_fini(&out);
}

static enum synk_status check_supported(const struct definition *whole, const struct change *change,
                                        const struct definition *made, bool is_patch,
                                        struct synk_error *error)
{
    struct unsupported what;
    if (!is_patch || change->worker == NONE)
        return definition_is_supported(made, &what)
                   ? SYNK_OK
                   : definition_fail_unsupported(made, &what, "", error);
    /* A patch of a member is a worker of its own: it is judged as what it will be. */
    struct definition member = *made;
    member.kind = whole->kind;
    member.id = whole->id;
    return definition_is_supported(&member, &what)
               ? SYNK_OK
               : definition_fail_unsupported(&member, &what, "", error);
}

static enum synk_status change_fields(struct engine *engine, struct change *change,
                                      struct synk_error *error)
{
    struct unit *unit = change->unit;
    struct definition *whole = unit->current->definition, *made = NULL;
    bool is_patch = definition_is_tunable(&change->fields);
    enum synk_status status = is_patch ? definition_patch(whole, part_of(change), &change->fields,
                                                          &engine->checker, &made, error)
                                       : definition_rebuild(whole, part_of(change), &change->fields,
                                                            &engine->checker, &made, error);
    if (status)
        return status;
    status = check_supported(whole, change, made, is_patch, error);
    if (!status)
        status = limits_check_definition(engine, NULL, made, error);
    if (status) {
        definition_unref(made);
        return status;
    }
    change->before = values_now(change);
    if (is_patch) {
        bool had_milestone = whole->unit->run_on_milestone != NULL;
        definition_adopt(whole, part_of(change), made);
        heed(engine, change, had_milestone);
        save_part(engine, change);
    } else {
        unit_replace_version(engine, unit, made);
        definition_unref(made);
        schedule_unit(engine, unit, false);
    }
    change->after = values_now(change);
    for (uint32_t i = 0; i < change->fields.count; i++)
        overlay_set(&unit->overlay, worker_of(change), change->fields.keys[i].text,
                    change->after[i], change->before[i]);
    overlay_settle_work(&unit->overlay, worker_of(change));
    unit_touch(engine, unit);
    return SYNK_OK;
}

/* ---- telling ---- */

static bool is_changed(const struct change *change, uint32_t field)
{
    return !bytes_equal(change->before[field], change->after[field]);
}

static uint32_t count_changed(const struct change *change)
{
    uint32_t count = 0;
    for (uint32_t i = 0; change->after && i < change->fields.count; i++)
        count += is_changed(change, i);
    return count;
}

static void pack_fields(const struct change *change, uint32_t count,
                        const struct synk_bytes *values, struct buf *out)
{
    pack_map(out, count);
    for (uint32_t i = 0; i < change->fields.count; i++) {
        if (!is_changed(change, i))
            continue;
        pack_string(out, change->fields.keys[i].text);
        setting_append(change->unit, worker_of(change), change->fields.keys[i].text, values[i],
                       out);
    }
}

static void tell_fields(struct engine *engine, const struct change *change, struct synk_bytes why)
{
    uint32_t count = count_changed(change);
    if (!count)
        return;
    struct buf out = {0};
    pack_map(&out, 3 + (why.size != 0));
    pack_key(&out, "reason");
    pack_cstr(&out, "config-change");
    pack_key(&out, "previous");
    pack_fields(change, count, change->before, &out);
    pack_key(&out, "current");
    pack_fields(change, count, change->after, &out);
    if (why.size) {
        pack_key(&out, "why");
        pack_string(&out, why);
    }
    event_emit(engine, &(struct event){.type = EVENT_UPDATED,
                                       .unit = change->unit,
                                       .worker = bytes_str(worker_of(change)),
                                       .payload = buf_bytes(&out)});
    buf_fini(&out);
}

static void reply(struct engine *engine, const struct request *request, const struct change *change)
{
    struct buf *out = reply_open(engine);
    pack_map(out, 2);
    pack_key(out, "unit");
    unit_append(engine, change->unit, true, out);
    pack_key(out, "changed");
    pack_array(out, count_changed(change));
    for (uint32_t i = 0; change->after && i < change->fields.count; i++)
        if (is_changed(change, i))
            pack_string(out, change->fields.keys[i].text);
    reply_close(engine, request);
}

static void change_status(struct engine *engine, const struct change *change)
{
    struct unit *unit = change->unit;
    bool pauses = bytes_equal(change->status, bytes_str("paused"));
    if (change->worker != NONE) {
        unit_set_worker_paused(engine, unit, bytes_str(worker_of(change)), pauses);
        return;
    }
    unit_set_paused(engine, unit, pauses);
    if (pauses || unit->live_runs)
        return;
    if (bytes_equal(change->status, bytes_str("idle"))) {
        bool had_enough = unit_had_its_runs(unit);
        unit->success_count = 0; /* of maxRuns: it may run as often again */
        unit_touch(engine, unit);
        if (had_enough) {
            unit_switch(engine, unit, true, "reset");
            schedule_unit(engine, unit, false);
        }
        unit_set_status(engine, unit, UNIT_IDLE);
    } else {
        bool completed = bytes_equal(change->status, bytes_str("completed"));
        unit_set_status(engine, unit, completed ? UNIT_COMPLETED : UNIT_ERROR);
    }
}

void request_set(struct engine *engine, struct request *request)
{
    struct change change = {0};
    struct synk_error error = {0};
    enum synk_status status =
        unit_resolve(engine, body_text(request, "id"), &change.unit, &change.worker, &error);
    if (!status && change.unit == engine->pool)
        status = status_fail(&error, SYNK_REFUSED, "the pool has no settings");
    if (!status)
        status = check_status(request, &change, &error);
    if (!status)
        status = read_fields(request, &change, &error);
    if (!status && change.fields.count)
        status = change_fields(engine, &change, &error);
    if (status) {
        request_error(engine, request, &error);
    } else {
        tell_fields(engine, &change, body_text(request, "reason"));
        if (change.status.size)
            change_status(engine, &change);
        reply(engine, request, &change);
    }
    arena_fini(&change.arena);
    buf_fini(&change.encoded);
}
