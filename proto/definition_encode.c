/*
 * The canonical form: one map a unit, fields in one fixed order, defaults left out, durations in
 * milliseconds. Equal definitions encode to equal bytes, and what is encoded validates back to the
 * same definition. A map's entries are counted while they are appended; its header is then put in
 * front, which moves a few hundred bytes and saves a second pass. Pure.
 */
#include <assert.h>

#include "proto/definition_internal.h"
#include "proto/pack.h"

/* Puts a map header before what was appended since `start`. */
static void finish_map(struct buf *out, size_t start, uint32_t entries)
{
    assert(entries <= UINT16_MAX);
    size_t header = entries < 16 ? 1 : 3;
    size_t size = out->size - start;
    buf_reserve(out, header);
    memmove(out->data + start + header, out->data + start, size);
    out->size = start;
    pack_map(out, entries);
    assert(out->size == start + header);
    out->size += size;
}

static uint32_t put_text(struct buf *out, const char *key, const char *text)
{
    if (!text)
        return 0;
    pack_key(out, key);
    pack_cstr(out, text);
    return 1;
}

static uint32_t put_int(struct buf *out, const char *key, int64_t value, int64_t otherwise)
{
    if (value == otherwise)
        return 0;
    pack_key(out, key);
    pack_int(out, value);
    return 1;
}

static uint32_t put_bool(struct buf *out, const char *key, bool value, bool otherwise)
{
    if (value == otherwise)
        return 0;
    pack_key(out, key);
    pack_bool(out, value);
    return 1;
}

static uint32_t put_value(struct buf *out, const char *key, struct synk_bytes value)
{
    if (!value.size)
        return 0;
    pack_key(out, key);
    pack_encoded(out, value);
    return 1;
}

static uint32_t put_hooks(struct buf *out, const char *key, struct hook_list list)
{
    if (!list.count)
        return 0;
    pack_key(out, key);
    pack_array(out, list.count);
    for (uint32_t i = 0; i < list.count; i++) {
        pack_map(out, 1);
        pack_key(out, list.hooks[i].kind == HOOK_RUN ? "run" : "emit");
        pack_cstr(out, list.hooks[i].target);
    }
    return 1;
}

uint32_t definition_encode_unit(const struct unit_options *options, struct buf *out)
{
    uint32_t entries = put_text(out, "name", options->name);
    entries += put_text(out, "description", options->description);
    entries += put_bool(out, "enabled", options->enabled, true);
    entries += put_text(out, "status", options->paused ? "paused" : NULL);
    entries += put_value(out, "meta", options->meta);
    entries += put_hooks(out, "onStart", options->on_start);
    entries += put_hooks(out, "onComplete", options->on_complete);
    entries += put_hooks(out, "onError", options->on_error);
    entries += put_bool(out, "runOnInterval", options->run_on_interval, options->interval_ms > 0);
    entries += put_int(out, "intervalMs", options->interval_ms, 0);
    entries += put_int(out, "maxRuns", (int64_t)options->max_runs, 0);
    entries += put_text(out, "cron", options->cron);
    entries += put_text(out, "timeZone", options->time_zone);
    if (options->catch_up != CATCH_UP_ONE)
        entries += put_text(out, "catchUp", catch_up_name(options->catch_up));
    if (options->overlap != OVERLAP_DEFAULT)
        entries += put_text(out, "overlap", overlap_name(options->overlap));
    entries += put_bool(out, "runOnStart", options->run_on_start, false);
    entries += put_text(out, "runOnMilestone", options->run_on_milestone);
    return entries;
}

int64_t definition_default_timeout_ms(const char *function)
{
    return strcmp(function, "exec") == 0 ? 0 : DEFINITION_FUNCTION_TIMEOUT_MS;
}

uint32_t definition_encode_tries(const struct worker_options *options, struct buf *out)
{
    uint32_t entries = put_int(out, "maxRetries", options->max_retries, 0);
    if (options->retry_delay)
        entries += put_text(out, "retryDelayMs", options->retry_delay);
    else
        entries += put_int(out, "retryDelayMs", options->retry_delay_ms, 0);
    entries += put_int(out, "timeoutMs", options->timeout_ms,
                       definition_default_timeout_ms(options->function));
    entries += put_int(out, "progressTimeoutMs", options->progress_timeout_ms, 0);
    if (options->no_retry_exit_code_count) {
        pack_key(out, "noRetryExitCodes");
        pack_array(out, options->no_retry_exit_code_count);
        for (uint32_t i = 0; i < options->no_retry_exit_code_count; i++)
            pack_int(out, options->no_retry_exit_codes[i]);
        entries++;
    }
    if (options->requires_count) {
        pack_key(out, "requires");
        pack_array(out, options->requires_count);
        for (uint32_t i = 0; i < options->requires_count; i++)
            pack_cstr(out, options->requires[i]);
        entries++;
    }
    entries += put_int(out, "priority", options->priority, 0);
    entries += put_int(out, "slots", options->slots, 1);
    if (options->uses_count) {
        pack_key(out, "uses");
        pack_map(out, options->uses_count);
        for (uint32_t i = 0; i < options->uses_count; i++) {
            pack_key(out, options->uses[i].name);
            pack_uint(out, options->uses[i].amount);
        }
        entries++;
    }
    return entries;
}

static void encode_dependency(const struct definition *definition,
                              const struct dependency *dependency, struct buf *out)
{
    const char *id = definition->workers[dependency->parent].id;
    if (dependency->on == ON_COMPLETED && !dependency->condition) {
        pack_cstr(out, id);
        return;
    }
    pack_map(out, 1u + (dependency->on != ON_COMPLETED) + (dependency->condition != NULL));
    put_text(out, "id", id);
    if (dependency->on != ON_COMPLETED)
        put_text(out, "on", dependency_on_name(dependency->on));
    put_text(out, "condition", dependency->condition);
}

/* What a worker runs: a command is spelled back from exec's payload, whose entries are the fields
 * of the same names in the same order; it has at most six, so its header is one byte. */
static uint32_t encode_work(const struct worker_def *worker, struct buf *out)
{
    if (strcmp(worker->worker->function, "exec") != 0)
        return put_text(out, "run", worker->worker->function) +
               put_value(out, "payload", worker->payload);
    const uint8_t *payload = worker->payload.data;
    assert((payload[0] & 0xf0) == 0x80);
    buf_append(out, payload + 1, worker->payload.size - 1);
    return payload[0] & 0x0f;
}

void definition_encode_worker(const struct definition *definition, uint32_t index, struct buf *out)
{
    assert(index < definition->worker_count);
    const struct worker_def *worker = &definition->workers[index];
    size_t start = out->size;
    uint32_t entries = put_text(out, "id", worker->id);
    entries += encode_work(worker, out);
    if (worker->depends_on_count) {
        pack_key(out, "dependsOn");
        pack_array(out, worker->depends_on_count);
        for (uint32_t i = 0; i < worker->depends_on_count; i++)
            encode_dependency(definition, &worker->depends_on[i], out);
        entries++;
    }
    entries += definition_encode_unit(worker->unit, out);
    entries += definition_encode_tries(worker->worker, out);
    finish_map(out, start, entries);
}

static uint32_t encode_process(const struct definition *definition, struct buf *out)
{
    const struct process_options *process = &definition->process;
    uint32_t entries = put_text(out, "id", definition->id);
    entries += definition_encode_unit(definition->unit, out);
    if (process->run_mode != RUN_SEQUENTIAL)
        entries += put_text(out, "runMode", run_mode_name(process->run_mode));
    entries += put_int(out, "batchSize", process->batch_size, 2);
    entries += put_int(out, "isolationDelayMs", process->isolation_delay_ms, 100);
    entries += put_int(out, "maxParallel", process->max_parallel, 0);
    entries += put_int(out, "maxFailures", process->max_failures, 0);
    entries += put_int(out, "timeoutMs", process->timeout_ms, 0);
    return entries;
}

void definition_encode_header(const struct definition *definition, struct buf *out)
{
    if (definition->kind == UNIT_WORKER) {
        definition_encode_worker(definition, 0, out);
        return;
    }
    size_t start = out->size;
    finish_map(out, start, encode_process(definition, out));
}

void definition_encode(const struct definition *definition, struct buf *out)
{
    if (definition->kind == UNIT_WORKER) {
        definition_encode_worker(definition, 0, out);
        return;
    }
    struct buf fields = {0};
    uint32_t entries = encode_process(definition, &fields);
    pack_map(out, entries + 1);
    buf_append(out, fields.data, fields.size);
    buf_fini(&fields);
    pack_key(out, "workers");
    pack_array(out, definition->worker_count);
    for (uint32_t i = 0; i < definition->worker_count; i++)
        definition_encode_worker(definition, i, out);
}
