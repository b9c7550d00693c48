/*
 * The registry: units, their versions, what is remembered about them, and how they are shown.
 * A released unit keeps its entry until the engine ends: runs and finished runs refer to it.
 */
#include "supervisor/core/registry.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/definition_change.h"
#include "proto/limits.h"
#include "proto/nearest.h"
#include "proto/pack.h"
#include "supervisor/core/dispatch.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/events.h"
#include "supervisor/core/graph.h"
#include "supervisor/core/run.h"
#include "supervisor/core/run_modes.h"
#include "supervisor/core/task.h"

enum {
    /* Of units, and of a process's workers, that a misspelt name is compared with: a millisecond.
     */
    NAMES_COMPARED = 2000,
    CANDIDATES_NAMED = 8,
};

static bool same_unit(const void *item, const void *key)
{
    return bytes_equal(((const struct unit *)item)->id, *(const struct synk_bytes *)key);
}

struct unit *unit_find(const struct engine *engine, struct synk_bytes id)
{
    return index_find(&engine->units_by_id, bytes_hash(id), same_unit, &id);
}

struct unit *unit_add(struct engine *engine, struct synk_bytes id)
{
    struct unit *unit = unit_find(engine, id);
    if (unit)
        return unit;
    unit = mem_zalloc(1, sizeof(*unit));
    unit->id_text = mem_strndup(id.data, id.size);
    unit->id = bytes_of(unit->id_text, id.size);
    unit->enabled = true;
    unit->serial = (uint32_t)engine->unit_count;
    engine->units = mem_grow(engine->units, &engine->unit_capacity, engine->unit_count + 1,
                             sizeof(*engine->units));
    engine->units[engine->unit_count++] = unit;
    index_put(&engine->units_by_id, bytes_hash(unit->id), unit);
    return unit;
}

void unit_free(struct unit *unit)
{
    while (unit->versions) {
        struct version *next = unit->versions->next;
        version_free(unit->versions);
        unit->versions = next;
    }
    for (size_t i = 0; i < unit->paused_worker_count; i++)
        free(unit->paused_workers[i]);
    free(unit->paused_workers);
    index_fini(&unit->tracks);
    overlay_fini(&unit->overlay);
    free(unit->id_text);
    free(unit);
}

void unit_touch(struct engine *engine, struct unit *unit)
{
    if (unit->dirty)
        return;
    unit->dirty = true;
    engine->dirty_units = mem_grow(engine->dirty_units, &engine->dirty_unit_capacity,
                                   engine->dirty_unit_count + 1, sizeof(*engine->dirty_units));
    engine->dirty_units[engine->dirty_unit_count++] = unit;
}

/* What stays of a released unit: its last numbers, lest a unit that later gets its id names another
 * run or definition as one that the store or the event log still tells of. `due_at` says until when
 * it was heard of, so that the store knows when that is over. */
static void save_released(struct engine *engine, const struct unit *unit, struct record *record)
{
    record->remove = !unit->last_number && !unit->last_version;
    record->unit = (struct unit_record){
        .id = keep_bytes(engine, unit->id),
        .last_version = unit->last_version,
        .enabled = true,
        .last_number = unit->last_number,
        .due_at = engine->wall,
    };
}

void unit_save(struct engine *engine, struct unit *unit)
{
    unit->dirty = false;
    struct record *record = batch_add(&engine->effects->batch, RECORD_UNIT);
    if (!unit->current && unit != engine->pool) {
        save_released(engine, unit, record);
        return;
    }
    struct buf *out = &engine->scratch_buf;
    buf_clear(out);
    execution_encode(&unit->execution, out);
    struct synk_bytes execution = keep_bytes(engine, buf_bytes(out));
    buf_clear(out);
    overlay_encode(&unit->overlay, out);
    record->unit = (struct unit_record){
        .id = keep_bytes(engine, unit->id),
        .version = unit->current ? unit->current->number : 0,
        .last_version = unit->last_version,
        .enabled = unit->enabled,
        .paused = unit->paused,
        .last_number = unit->last_number,
        .success_count = unit->success_count,
        .run_count = unit->run_count,
        .last_run_at = unit->last_run_at,
        .due_at = unit->due_at,
        .status = (uint8_t)unit->status,
        .execution = execution,
        .overlay = keep_bytes(engine, buf_bytes(out)),
    };
}

enum unit_status unit_shown_status(const struct unit *unit)
{
    return unit->paused ? UNIT_PAUSED : unit->status;
}

static void tell_updated(struct engine *engine, struct unit *unit, const char *reason,
                         const char *previous, const char *current)
{
    struct buf *out = &engine->scratch_buf;
    buf_clear(out);
    pack_map(out, previous ? 3 : 1);
    pack_key(out, "reason");
    pack_cstr(out, reason);
    if (previous) {
        pack_key(out, "previous");
        pack_cstr(out, previous);
        pack_key(out, "current");
        pack_cstr(out, current);
    }
    struct synk_bytes payload = arena_copy(&engine->scratch, buf_bytes(out));
    event_emit(engine, &(struct event){.type = EVENT_UPDATED, .unit = unit, .payload = payload});
}

void unit_set_status(struct engine *engine, struct unit *unit, enum unit_status status)
{
    if (unit->status == status)
        return;
    const char *previous = unit_status_name(unit_shown_status(unit));
    unit->status = status;
    unit_touch(engine, unit);
    const char *current = unit_status_name(unit_shown_status(unit));
    if (strcmp(previous, current) != 0)
        tell_updated(engine, unit, "status-change", previous, current);
}

static void save_version(struct engine *engine, const struct version *version)
{
    struct batch *batch = &engine->effects->batch;
    const struct definition *definition = version->definition;
    uint32_t workers = definition->kind == UNIT_PROCESS ? definition->worker_count : 0;
    struct buf out = {0};
    definition_encode_header(definition, &out);
    struct record *record = batch_add(batch, RECORD_DEFINITION);
    struct synk_bytes unit = keep_bytes(engine, version->unit->id);
    record->definition = (struct definition_record){unit, version->number, workers,
                                                    keep_bytes(engine, buf_bytes(&out))};
    for (uint32_t i = 0; i < workers; i++) {
        buf_clear(&out);
        definition_encode_worker(definition, i, &out);
        record = batch_add(batch, RECORD_WORKER);
        record->worker =
            (struct worker_record){unit, version->number, i, keep_bytes(engine, buf_bytes(&out))};
    }
    buf_fini(&out);
}

void version_unref(struct version *version)
{
    if (!version || --version->references)
        return;
    /* Its records stay: finished runs that are not in memory may need them. See retention.c. */
    struct version **link = &version->unit->versions;
    while (*link != version)
        link = &(*link)->next;
    *link = version->next;
    version_free(version);
}

/* A worker's pause is a record of its own, PROCESS/WORKER. */
static void save_worker_pause(struct engine *engine, const struct unit *unit, const char *worker,
                              bool paused)
{
    char id[2 * LIMIT_ID_BYTES + 2];
    snprintf(id, sizeof(id), "%s/%s", unit->id_text, worker);
    struct record *record = batch_add(&engine->effects->batch, RECORD_UNIT);
    record->remove = !paused;
    record->unit.id = keep_bytes(engine, bytes_str(id));
    record->unit.enabled = true;
    record->unit.paused = paused;
}

/* Holds its runs back, or lets them go on and start. */
static void heed_pause(struct engine *engine, struct unit *unit)
{
    for (struct run *run = unit->first_run; run; run = run->unit_next)
        run_update_held(engine, run);
    if (!unit->paused)
        run_start_queued(engine, unit);
}

void unit_heed_process(struct engine *engine, struct unit *unit)
{
    for (struct run *run = unit->first_run; run; run = run->unit_next)
        run_heed(engine, run);
}

/* Of a process: whether a definition has this worker paused. -1 = it has no such worker. `index` is
 * where it probably stands. */
static int has_paused(const struct definition *definition, const char *worker, uint32_t index)
{
    if (index >= definition->worker_count || strcmp(definition->workers[index].id, worker) != 0)
        index = definition_find_worker(definition, bytes_str(worker));
    return index == UINT32_MAX ? -1 : definition->workers[index].unit->paused;
}

/* `status` of a process's workers: as for units, what was paused or resumed at run time stays so
 * unless the file changes that very field. */
static void heed_worker_pauses(struct engine *engine, struct unit *unit,
                               const struct definition *old, const struct definition *new)
{
    if (new->kind != UNIT_PROCESS)
        return;
    for (uint32_t i = 0; i < new->worker_count; i++) {
        const char *id = new->workers[i].id;
        if (new->workers[i].unit->paused && (!old || has_paused(old, id, i) != true))
            unit_set_worker_paused(engine, unit, bytes_str(id), true);
    }
    for (uint32_t i = 0; old && i < old->worker_count; i++) {
        const char *id = old->workers[i].id;
        if (old->workers[i].unit->paused && has_paused(new, id, i) == false)
            unit_set_worker_paused(engine, unit, bytes_str(id), false);
    }
}

void unit_replace_version(struct engine *engine, struct unit *unit, struct definition *definition)
{
    const struct unit_options *options = definition->unit;
    const struct unit_options *old = unit->current ? unit->current->definition->unit : NULL;
    /* What was paused or disabled at run time stays so, unless the file changes that very field. */
    if (!old || old->paused != options->paused) {
        unit->paused = options->paused;
        unit->paused_since = options->paused ? engine->now : 0;
    }
    if (!old || old->enabled != options->enabled)
        unit->enabled = options->enabled;
    engine->milestone_units += options->run_on_milestone != NULL;
    engine->milestone_units -= old && old->run_on_milestone;
    struct version *version =
        version_new(engine, unit, ++unit->last_version, definition_ref(definition));
    version->references = 1;
    struct version *before = unit->current;
    unit->current = version;
    save_version(engine, version);
    heed_worker_pauses(engine, unit, before ? before->definition : NULL, definition);
    if (before) {
        version_unref(before);
    } else {
        unit->status = UNIT_IDLE;
        unit->due = unit->due_at = 0; /* of a released unit's record it is something else */
    }
    unit_touch(engine, unit);
    heed_pause(engine, unit);
    unit_heed_process(engine, unit);
}

void unit_put_version(struct engine *engine, struct unit *unit, struct definition *definition)
{
    bool is_new = !unit->current;
    unit_replace_version(engine, unit, definition);
    tell_updated(engine, unit, is_new ? "created" : "config-change", NULL, NULL);
}

void unit_set_enabled(struct engine *engine, struct unit *unit, bool enabled)
{
    /* Who enables a unit that has had its maxRuns wants as many again. */
    uint64_t most = unit->current->definition->unit->max_runs;
    if (enabled && most && unit->success_count >= most)
        unit->success_count = 0;
    unit->enabled = enabled;
    unit_touch(engine, unit);
}

bool unit_had_its_runs(const struct unit *unit)
{
    uint64_t most = unit->current ? unit->current->definition->unit->max_runs : 0;
    return !unit->enabled && most && unit->success_count >= most;
}

static void pack_enabled(struct buf *out, const char *key, bool enabled)
{
    pack_key(out, key);
    pack_map(out, 1);
    pack_key(out, "enabled");
    pack_bool(out, enabled);
}

void unit_switch(struct engine *engine, struct unit *unit, bool enabled, const char *why)
{
    unit->enabled = enabled;
    unit_touch(engine, unit);
    struct buf *out = &engine->scratch_buf;
    buf_clear(out);
    pack_map(out, 4);
    pack_key(out, "reason");
    pack_cstr(out, "config-change");
    pack_enabled(out, "previous", !enabled);
    pack_enabled(out, "current", enabled);
    pack_key(out, "why");
    pack_cstr(out, why);
    struct synk_bytes payload = arena_copy(&engine->scratch, buf_bytes(out));
    event_emit(engine, &(struct event){.type = EVENT_UPDATED, .unit = unit, .payload = payload});
}

/* A unit of this id that comes later is another one. */
static void forget_worker_pauses(struct engine *engine, struct unit *unit)
{
    for (size_t i = 0; i < unit->paused_worker_count; i++) {
        save_worker_pause(engine, unit, unit->paused_workers[i], false);
        free(unit->paused_workers[i]);
    }
    unit->paused_worker_count = 0;
}

void unit_release(struct engine *engine, struct unit *unit)
{
    engine->milestone_units -= unit->current->definition->unit->run_on_milestone != NULL;
    if (unit->current->definition->kind == UNIT_WORKER)
        milestone_worker(engine, unit, NULL, "released");
    milestone_unit(engine, unit, "released", (struct synk_bytes){0});
    version_unref(unit->current);
    unit->current = NULL;
    unit->due = unit->due_at = 0;
    unit->due_rule = 0;
    unit->idle_since = unit->paused_since = 0;
    unit->stale_told = false;
    unit->status = UNIT_IDLE;
    unit->paused = false;
    forget_worker_pauses(engine, unit);
    overlay_fini(&unit->overlay);
    unit_touch(engine, unit);
    heed_pause(engine, unit);
}

bool unit_worker_is_paused(const struct unit *unit, const char *worker)
{
    for (size_t i = 0; i < unit->paused_worker_count; i++)
        if (strcmp(unit->paused_workers[i], worker) == 0)
            return true;
    return false;
}

void unit_set_paused(struct engine *engine, struct unit *unit, bool paused)
{
    if (unit->paused == paused)
        return;
    const char *previous = unit_status_name(unit_shown_status(unit));
    unit->paused = paused;
    unit->paused_since = paused ? engine->now : 0;
    unit_touch(engine, unit);
    tell_updated(engine, unit, "status-change", previous,
                 unit_status_name(unit_shown_status(unit)));
    if (!paused && unit->current && unit->current->definition->kind == UNIT_WORKER)
        milestone_worker(engine, unit, NULL, "unpaused");
    else if (!paused)
        milestone_unit(engine, unit, "unpaused", (struct synk_bytes){0});
    heed_pause(engine, unit);
}

void unit_requeue_worker(struct engine *engine, struct unit *unit, const char *worker)
{
    for (struct run *run = unit->first_run; run; run = run->unit_next) {
        if (!run->tasks || !run->version)
            continue;
        for (uint32_t i = 0; i < run->task_count; i++) {
            if (run->tasks[i].state != TASK_READY || strcmp(task_worker_id(run, i), worker) != 0)
                continue;
            uint32_t queue;
            version_settings(engine, run, i, &queue);
            lane_remove(engine, run, i);
            lane_push(engine, run, i,
                      unit_worker_is_paused(unit, worker) ? NULL : engine->queues[queue]);
        }
    }
}

bool unit_set_worker_paused(struct engine *engine, struct unit *unit, struct synk_bytes worker,
                            bool paused)
{
    char *text = mem_strndup(worker.data, worker.size);
    bool changes = unit_worker_is_paused(unit, text) != paused;
    if (!changes) {
        free(text);
        return false;
    }
    if (paused) {
        unit->paused_workers =
            mem_grow(unit->paused_workers, &unit->paused_worker_capacity,
                     unit->paused_worker_count + 1, sizeof(*unit->paused_workers));
        unit->paused_workers[unit->paused_worker_count++] = mem_strdup(text);
    } else {
        size_t at = 0;
        while (strcmp(unit->paused_workers[at], text) != 0)
            at++;
        free(unit->paused_workers[at]);
        memmove(&unit->paused_workers[at], &unit->paused_workers[at + 1],
                (unit->paused_worker_count - at - 1) * sizeof(*unit->paused_workers));
        unit->paused_worker_count--;
    }
    if (engine->effects) {
        save_worker_pause(engine, unit, text, paused);
        unit_requeue_worker(engine, unit, text);
        if (!paused)
            milestone_worker(engine, unit, text, "unpaused");
    }
    free(text);
    return true;
}

/* "there is no WHAT 'TEXT'", and the nearest name there is. */
static enum synk_status fail_unknown(const char *what, struct synk_bytes text,
                                     const struct nearest *nearest, struct synk_error *error)
{
    int size = (int)(text.size > 2 * LIMIT_ID_BYTES + 1 ? 2 * LIMIT_ID_BYTES + 1 : text.size);
    const char *data = text.size ? text.data : "";
    if (!nearest->found.size)
        return status_fail(error, SYNK_NOT_FOUND, "there is no %s '%.*s'", what, size, data);
    return status_fail(error, SYNK_NOT_FOUND, "there is no %s '%.*s' (did you mean '%.*s'?)", what,
                       size, data, (int)nearest->found.size, (const char *)nearest->found.data);
}

enum synk_status unit_fail_unknown(const struct engine *engine, struct synk_bytes text,
                                   struct synk_error *error)
{
    struct nearest nearest = nearest_of(text);
    for (size_t i = 0; i < engine->unit_count && i < NAMES_COMPARED; i++)
        if (engine->units[i]->current)
            nearest_try(&nearest, engine->units[i]->id);
    for (size_t i = 0; i < engine->unit_count && i < NAMES_COMPARED && !nearest.found.size; i++) {
        const struct version *version = engine->units[i]->current;
        for (uint32_t w = 0; version && version->definition->kind == UNIT_PROCESS &&
                             w < version->definition->worker_count && w < NAMES_COMPARED;
             w++)
            nearest_try(&nearest, bytes_str(version->definition->workers[w].id));
    }
    return fail_unknown("unit", text, &nearest, error);
}

/* "P/W": `at` is where the slash is. */
static enum synk_status resolve_member(struct engine *engine, struct synk_bytes text, size_t at,
                                       struct unit **ret_unit, uint32_t *ret_worker,
                                       struct synk_error *error)
{
    struct synk_bytes process = bytes_of(text.data, at);
    struct synk_bytes worker = bytes_of((const char *)text.data + at + 1, text.size - at - 1);
    struct unit *unit = unit_find(engine, process);
    if (!unit || !unit->current)
        return unit_fail_unknown(engine, process, error);
    const struct definition *definition = unit->current->definition;
    *ret_worker = definition_find_worker(definition, worker);
    if (*ret_worker == NONE) {
        struct nearest nearest = nearest_of(worker);
        for (uint32_t w = 0; w < definition->worker_count && w < NAMES_COMPARED; w++)
            nearest_try(&nearest, bytes_str(definition->workers[w].id));
        return fail_unknown("worker", text, &nearest, error);
    }
    *ret_unit = unit;
    return SYNK_OK;
}

/* A bare id that several processes have: the candidates, as one has to write them. */
static enum synk_status fail_ambiguous(const struct engine *engine, struct synk_bytes text,
                                       struct synk_error *error)
{
    struct buf names = {0};
    int size = (int)(text.size > LIMIT_ID_BYTES ? LIMIT_ID_BYTES : text.size);
    size_t count = 0;
    for (size_t i = 0; i < engine->unit_count; i++) {
        const struct version *version = engine->units[i]->current;
        if (!version || version->definition->kind != UNIT_PROCESS ||
            definition_find_worker(version->definition, text) == NONE)
            continue;
        if (++count <= CANDIDATES_NAMED)
            buf_printf(&names, "%s'%s/%.*s'", count > 1 ? ", " : "", engine->units[i]->id_text,
                       size, (const char *)text.data);
    }
    if (count > CANDIDATES_NAMED)
        buf_printf(&names, " and %zu more", count - CANDIDATES_NAMED);
    enum synk_status status = status_fail(
        error, SYNK_REFUSED, "'%.*s' is a worker of %zu processes: write one of %.*s", size,
        (const char *)text.data, count, (int)names.size, (const char *)names.data);
    buf_fini(&names);
    return status;
}

enum synk_status unit_resolve(struct engine *engine, struct synk_bytes text, struct unit **ret_unit,
                              uint32_t *ret_worker, struct synk_error *error)
{
    const char *slash = text.size ? memchr(text.data, '/', text.size) : NULL;
    if (slash)
        return resolve_member(engine, text, (size_t)(slash - (const char *)text.data), ret_unit,
                              ret_worker, error);
    struct unit *unit = unit_find(engine, text);
    if (unit && (unit->current || unit == engine->pool)) {
        *ret_unit = unit;
        *ret_worker = NONE;
        return SYNK_OK;
    }
    struct unit *found = NULL;
    for (size_t i = 0; i < engine->unit_count; i++) {
        struct unit *candidate = engine->units[i];
        if (!candidate->current || candidate->current->definition->kind != UNIT_PROCESS)
            continue;
        uint32_t worker = definition_find_worker(candidate->current->definition, text);
        if (worker == NONE)
            continue;
        if (found)
            return fail_ambiguous(engine, text, error);
        found = candidate;
        *ret_worker = worker;
    }
    if (!found)
        return unit_fail_unknown(engine, text, error);
    *ret_unit = found;
    return SYNK_OK;
}

/* The value below which `percent` of all lie: exact to its power of two, and within that as if they
 * were spread evenly between the shortest and the longest there can be. */
static uint32_t percentile(const struct execution *execution, unsigned percent)
{
    uint64_t total = 0, below = 0;
    for (size_t i = 0; i < 32; i++)
        total += execution->histogram[i];
    uint64_t wanted = (total * percent + 99) / 100;
    for (unsigned i = 0; i < 32; i++) {
        uint64_t here = execution->histogram[i];
        if (below + here >= wanted && here) {
            uint64_t low = i ? UINT64_C(1) << i : 0, high = (UINT64_C(2) << i) - 1;
            low = low < execution->least_ms ? execution->least_ms : low;
            high = high > execution->most_ms ? execution->most_ms : high;
            return (uint32_t)(low + (high - low) * (wanted - below) / here);
        }
        below += here;
    }
    return 0;
}

static void encode_execution(const struct execution *execution, struct buf *out)
{
    static const unsigned percents[] = {50, 90, 99};
    static const char *const names[] = {"p50", "p90", "p99"};
    uint64_t recent = execution->count < 10 ? execution->count : 10;
    pack_key(out, "executionTimesMs");
    pack_array(out, recent);
    for (uint64_t i = execution->count - recent; i < execution->count; i++)
        pack_uint(out, execution->recent_ms[i % 10]);
    pack_key(out, "percentilesMs");
    if (!execution->count) {
        pack_null(out);
        return;
    }
    pack_map(out, 3);
    for (size_t i = 0; i < 3; i++) {
        pack_key(out, names[i]);
        pack_uint(out, percentile(execution, percents[i]));
    }
}

void setting_append(const struct unit *unit, const char *worker, struct synk_bytes field,
                    struct synk_bytes value, struct buf *out)
{
    static const uint8_t nil[] = {0xc0};
    const struct definition *definition = unit->current ? unit->current->definition : NULL;
    uint32_t part = DEFINITION_UNIT;
    if (definition && worker[0])
        part = definition_find_worker(definition, bytes_str(worker));
    bool has_part = definition && (!worker[0] || part != NONE);
    if (has_part && bytes_equal(value, bytes_of(nil, sizeof(nil))))
        definition_default(definition, part, field, out);
    else
        pack_encoded(out, value);
}

static void encode_settings(const struct unit *unit, struct buf *out)
{
    const struct overlay *overlay = &unit->overlay;
    size_t count = 0;
    for (size_t i = 0; i < overlay->count; i++)
        count += setting_differs(&overlay->settings[i]);
    pack_key(out, "settings");
    pack_array(out, count);
    for (size_t i = 0; i < overlay->count; i++) {
        const struct setting *setting = &overlay->settings[i];
        if (!setting_differs(setting))
            continue;
        pack_map(out, 4);
        pack_key(out, "worker");
        setting->worker[0] ? pack_cstr(out, setting->worker) : pack_null(out);
        pack_key(out, "field");
        pack_cstr(out, setting->field);
        pack_key(out, "value");
        struct synk_bytes field = bytes_str(setting->field);
        setting_append(unit, setting->worker, field, blob_bytes(setting->value), out);
        pack_key(out, "was");
        setting_append(unit, setting->worker, field, blob_bytes(setting->was), out);
    }
}

void unit_encode(const struct engine *engine, const struct unit *unit, bool with_definition,
                 struct buf *out)
{
    const struct definition *definition = unit->current ? unit->current->definition : NULL;
    pack_map(out, with_definition ? 18 : 17);
    pack_key(out, "id");
    pack_string(out, unit->id);
    pack_key(out, "kind");
    pack_cstr(out, definition && definition->kind == UNIT_PROCESS ? "process" : "worker");
    pack_key(out, "status");
    pack_cstr(out, unit_status_name(unit_shown_status(unit)));
    pack_key(out, "enabled");
    pack_bool(out, unit->enabled);
    pack_key(out, "paused");
    pack_bool(out, unit->paused);
    pack_key(out, "version");
    pack_uint(out, unit->current ? unit->current->number : 0);
    pack_key(out, "runCount");
    pack_uint(out, unit->run_count);
    pack_key(out, "successCount");
    pack_uint(out, unit->success_count);
    pack_key(out, "lastRunAt");
    unit->last_run_at ? pack_int(out, unit->last_run_at) : pack_null(out);
    pack_key(out, "dueAt");
    unit->due_at ? pack_int(out, unit->due_at) : pack_null(out);
    pack_key(out, "lastRun");
    if (unit->last_number) {
        char label[LIMIT_ID_BYTES + 32];
        snprintf(label, sizeof(label), "%s#%llu", unit->id_text,
                 (unsigned long long)unit->last_number);
        pack_cstr(out, label);
    } else {
        pack_null(out);
    }
    pack_key(out, "averageExecutionMs");
    const struct execution *execution = &unit->execution;
    execution->count ? pack_int(out, (int64_t)(execution->total_ms / execution->count))
                     : pack_null(out);
    encode_execution(execution, out);
    const struct run *last = run_find_number(engine, unit, unit->last_number);
    pack_key(out, "error");
    last && last->error ? pack_string(out, blob_bytes(last->error)) : pack_null(out);
    pack_key(out, "disabledWhy");
    unit_had_its_runs(unit) ? pack_cstr(out, "maxRuns reached") : pack_null(out);
    encode_settings(unit, out);
    if (with_definition) {
        pack_key(out, "definition");
        definition ? definition_encode(definition, out) : pack_null(out);
    }
}

void unit_append(const struct engine *engine, const struct unit *unit, bool with_definition,
                 struct buf *out)
{
    size_t start = out->size;
    unit_encode(engine, unit, with_definition, out);
    if (!with_definition || out->size - start <= LIMIT_BATCH_BYTES)
        return;
    out->size = start;
    unit_encode(engine, unit, false, out);
}

void execution_add(struct execution *execution, int64_t took_ms)
{
    uint32_t ms = took_ms < 0 ? 0 : took_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)took_ms;
    execution->recent_ms[execution->count % 10] = ms;
    if (!execution->count || ms < execution->least_ms)
        execution->least_ms = ms;
    if (!execution->count || ms > execution->most_ms)
        execution->most_ms = ms;
    execution->count++;
    execution->total_ms += ms;
    unsigned bucket = 0;
    while (bucket < 31 && (ms >> bucket) > 1)
        bucket++;
    execution->histogram[bucket]++;
}

void execution_encode(const struct execution *execution, struct buf *out)
{
    uint32_t recent = execution->count < 10 ? (uint32_t)execution->count : 10;
    uint32_t buckets = 32;
    while (buckets && !execution->histogram[buckets - 1])
        buckets--;
    pack_array(out, 6);
    pack_uint(out, execution->count);
    pack_uint(out, execution->total_ms);
    pack_array(out, recent);
    for (uint32_t i = 0; i < recent; i++)
        pack_uint(out, execution->recent_ms[i]);
    pack_array(out, buckets);
    for (uint32_t i = 0; i < buckets; i++)
        pack_uint(out, execution->histogram[i]);
    pack_uint(out, execution->least_ms);
    pack_uint(out, execution->most_ms);
}

void execution_decode(struct execution *execution, struct synk_bytes bytes)
{
    struct synk_document *document = NULL;
    if (!bytes.size || synk_document_decode(bytes, &document, NULL))
        return;
    const struct synk_value *root = synk_document_root(document);
    *execution = (struct execution){
        .count = (uint64_t)synk_value_int(synk_value_at(root, 0), 0),
        .total_ms = (uint64_t)synk_value_int(synk_value_at(root, 1), 0),
        /* Earlier records do not tell. */
        .least_ms = (uint32_t)synk_value_int(synk_value_at(root, 4), 0),
        .most_ms = (uint32_t)synk_value_int(synk_value_at(root, 5), UINT32_MAX),
    };
    for (size_t i = 0; i < 10; i++)
        execution->recent_ms[i] =
            (uint32_t)synk_value_int(synk_value_at(synk_value_at(root, 2), i), 0);
    for (size_t i = 0; i < 32; i++)
        execution->histogram[i] =
            (uint32_t)synk_value_int(synk_value_at(synk_value_at(root, 3), i), 0);
    synk_document_free(document);
}
