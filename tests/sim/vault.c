/*
 * The fake store: records by key, applied whole. Each batch passes the ledger's checks on its way
 * in, since here is where "recorded" becomes true.
 */
#include <assert.h>
#include <stdlib.h>

#include "tests/sim/sim.h"

/* Where the byte strings of each kind of record are. */
static const struct {
    size_t count;
    uint16_t offsets[8];
} layouts[] = {
#define AT(member) offsetof(struct record, member)
    [RECORD_META] = {2, {AT(meta.name), AT(meta.value)}},
    [RECORD_UNIT] = {3, {AT(unit.id), AT(unit.execution), AT(unit.overlay)}},
    [RECORD_DEFINITION] = {2, {AT(definition.unit), AT(definition.header)}},
    [RECORD_WORKER] = {2, {AT(worker.unit), AT(worker.body)}},
    [RECORD_HOST] = {1, {AT(host.name)}},
    [RECORD_KEY] = {2, {AT(key.key), AT(key.reply)}},
    [RECORD_RUN] = {7,
                    {AT(run.unit), AT(run.worker), AT(run.name), AT(run.by), AT(run.params),
                     AT(run.spec), AT(run.error)}},
    [RECORD_TASK] = {5,
                     {AT(task.worker), AT(task.host), AT(task.result), AT(task.error),
                      AT(task.reason)}},
    [RECORD_ATTEMPT] = {2, {AT(attempt.host), AT(attempt.error)}},
#undef AT
};

enum { KEY_MAX = 512 };

static size_t put_number(uint8_t *at, uint64_t number)
{
    for (int i = 7; i >= 0; i--, number >>= 8)
        at[i] = (uint8_t)number;
    return 8;
}

/* A key whose byte order is the order of loading. */
static struct synk_bytes record_key(const struct record *record, uint8_t key[KEY_MAX])
{
    struct synk_bytes text = {NULL, 0};
    uint64_t numbers[3];
    size_t number_count = 0, size = 0;
    switch (record->kind) {
    case RECORD_META:
        text = record->meta.name;
        break;
    case RECORD_UNIT:
        text = record->unit.id;
        break;
    case RECORD_DEFINITION:
        text = record->definition.unit;
        numbers[number_count++] = record->definition.version;
        break;
    case RECORD_WORKER:
        text = record->worker.unit;
        numbers[number_count++] = record->worker.version;
        numbers[number_count++] = record->worker.index;
        break;
    case RECORD_HOST:
        text = record->host.name;
        break;
    case RECORD_KEY:
        text = record->key.key;
        break;
    case RECORD_RUN:
        numbers[number_count++] = record->run.run;
        break;
    case RECORD_TASK:
        numbers[number_count++] = record->task.run;
        numbers[number_count++] = record->task.task;
        break;
    case RECORD_ATTEMPT:
        numbers[number_count++] = record->attempt.run;
        numbers[number_count++] = record->attempt.task;
        numbers[number_count++] = record->attempt.attempt;
        break;
    }
    assert(text.size < KEY_MAX - 32);
    key[size++] = (uint8_t)record->kind;
    if (text.size)
        memcpy(key + size, text.data, text.size);
    size += text.size;
    key[size++] = 0;
    for (size_t i = 0; i < number_count; i++)
        size += put_number(key + size, numbers[i]);
    return bytes_of(key, size);
}

void vault_init(struct vault *vault)
{
    *vault = (struct vault){.bucket_count = 1024};
    vault->buckets = mem_zalloc(vault->bucket_count, sizeof(struct stored *));
}

void vault_fini(struct vault *vault)
{
    for (size_t i = 0; i < vault->bucket_count; i++)
        for (struct stored *stored = vault->buckets[i], *next; stored; stored = next) {
            next = stored->next;
            free(stored);
        }
    free(vault->buckets);
    *vault = (struct vault){0};
}

static struct stored **find(const struct vault *vault, const struct record *record)
{
    uint8_t key[KEY_MAX];
    struct synk_bytes bytes = record_key(record, key);
    uint64_t hash = bytes_hash(bytes);
    struct stored **at = &vault->buckets[hash & (vault->bucket_count - 1)];
    while (*at && ((*at)->hash != hash || !bytes_equal((*at)->key, bytes)))
        at = &(*at)->next;
    return at;
}

static void widen(struct vault *vault)
{
    size_t count = vault->bucket_count * 4;
    struct stored **buckets = mem_zalloc(count, sizeof(*buckets));
    for (size_t i = 0; i < vault->bucket_count; i++)
        for (struct stored *stored = vault->buckets[i], *next; stored; stored = next) {
            next = stored->next;
            struct stored **at = &buckets[stored->hash & (count - 1)];
            stored->next = *at;
            *at = stored;
        }
    free(vault->buckets);
    vault->buckets = buckets;
    vault->bucket_count = count;
}

static struct stored *copy_record(const struct record *record)
{
    uint8_t key[KEY_MAX];
    struct synk_bytes bytes = record_key(record, key);
    size_t size = bytes.size;
    for (size_t i = 0; i < layouts[record->kind].count; i++)
        size +=
            ((const struct synk_bytes *)((const char *)record + layouts[record->kind].offsets[i]))
                ->size;
    struct stored *stored = mem_alloc(sizeof(*stored) + size);
    uint8_t *at = (uint8_t *)(stored + 1);
    *stored =
        (struct stored){.hash = bytes_hash(bytes), .key = {at, bytes.size}, .record = *record};
    memcpy(at, bytes.data, bytes.size);
    at += bytes.size;
    for (size_t i = 0; i < layouts[record->kind].count; i++) {
        struct synk_bytes *field =
            (struct synk_bytes *)((char *)&stored->record + layouts[record->kind].offsets[i]);
        if (field->size)
            memcpy(at, field->data, field->size);
        field->data = field->size ? at : NULL;
        at += field->size;
    }
    return stored;
}

static void put(struct vault *vault, const struct record *record)
{
    if (vault->count > vault->bucket_count)
        widen(vault);
    struct stored **at = find(vault, record), *old = *at;
    *at = copy_record(record);
    if (old) {
        (*at)->next = old->next;
        free(old);
    } else {
        vault->count++;
    }
}

static struct stored **sorted(const struct vault *vault, size_t *ret_count);

static bool belongs_to(const struct record *record, const struct record *owner)
{
    if (owner->kind == RECORD_RUN)
        return (record->kind == RECORD_TASK && record->task.run == owner->run.run) ||
               (record->kind == RECORD_ATTEMPT && record->attempt.run == owner->run.run);
    return owner->kind == RECORD_DEFINITION && record->kind == RECORD_WORKER &&
           record->worker.version == owner->definition.version &&
           bytes_equal(record->worker.unit, owner->definition.unit);
}

static void drop(struct vault *vault, struct stored **at)
{
    struct stored *old = *at;
    *at = old->next;
    free(old);
    vault->count--;
}

static void take_out(struct vault *vault, const struct record *record)
{
    struct stored **at = find(vault, record);
    if (*at)
        drop(vault, at);
    if (record->kind != RECORD_RUN && record->kind != RECORD_DEFINITION)
        return;
    for (size_t i = 0; i < vault->bucket_count; i++)
        for (at = &vault->buckets[i]; *at;)
            if (belongs_to(&(*at)->record, record))
                drop(vault, at);
            else
                at = &(*at)->next;
}

static void apply(struct world *world, const struct batch *batch, bool torn)
{
    struct vault *vault = &world->vault;
    for (size_t i = 0; i < batch->record_count; i++) {
        if (torn && random_next(&world->random) % 2)
            continue;
        const struct record *record = &batch->records[i];
        struct stored *before = *find(vault, record);
        ledger_check_record(world, before ? &before->record : NULL, record);
        if (record->remove)
            take_out(vault, record);
        else
            put(vault, record);
    }
}

static int by_end(const void *a, const void *b)
{
    const struct run_record *one = &(*(struct stored *const *)a)->record.run;
    const struct run_record *two = &(*(struct stored *const *)b)->record.run;
    if (one->ended_at != two->ended_at)
        return one->ended_at < two->ended_at ? -1 : 1;
    return one->run < two->run ? -1 : one->run > two->run;
}

static bool version_is_needed(const struct vault *vault, struct stored *const *all, size_t count,
                              const struct definition_record *definition)
{
    struct record wanted = {.kind = RECORD_UNIT, .unit = {.id = definition->unit}};
    const struct stored *current = *find(vault, &wanted);
    if (current && current->record.unit.version == definition->version)
        return true;
    for (size_t i = 0; i < count; i++) {
        const struct run_record *run = &all[i]->record.run;
        if (all[i]->record.kind == RECORD_RUN && run->version == definition->version &&
            bytes_equal(run->unit, definition->unit))
            return true;
    }
    return false;
}

static void remove_record(struct world *world, const struct record *record)
{
    /* By copy: taking a record out frees it. */
    struct stored *removal = copy_record(record);
    removal->record.remove = true;
    ledger_check_record(world, record, &removal->record);
    take_out(&world->vault, &removal->record);
    free(removal);
}

/* What a real store does at leisure is done at once here. Of events only numbers are kept. */
static void retain(struct world *world, const struct retention *bounds)
{
    size_t count, ended = 0;
    struct stored **all = sorted(&world->vault, &count);
    for (size_t i = 0; i < count; i++)
        if (all[i]->record.kind == RECORD_RUN && run_status_is_final(all[i]->record.run.status))
            all[ended++] = all[i];
    qsort(all, ended, sizeof(*all), by_end);
    for (size_t i = 0; i < ended; i++)
        if ((bounds->keep_runs && ended - i > bounds->keep_runs) ||
            all[i]->record.run.ended_at < bounds->runs_before)
            remove_record(world, &all[i]->record);
    free(all);
    all = sorted(&world->vault, &count);
    struct stored **unneeded = mem_alloc((count + 1) * sizeof(*unneeded));
    size_t unneeded_count = 0;
    for (size_t i = 0; i < count; i++)
        if (all[i]->record.kind == RECORD_DEFINITION &&
            !version_is_needed(&world->vault, all, count, &all[i]->record.definition))
            unneeded[unneeded_count++] = all[i];
    for (size_t i = 0; i < unneeded_count; i++)
        remove_record(world, &unneeded[i]->record);
    free(unneeded);
    free(all);
}

void vault_apply(struct world *world, const struct batch *batch)
{
    world->vault.commits++;
    world->totals->commits++;
    ledger_check_events(world, batch);
    apply(world, batch, false);
    if (batch->retains)
        retain(world, &batch->retention);
    if (batch->event_count)
        world->vault.last_event = batch->first_event + batch->event_count - 1;
}

void vault_apply_torn(struct world *world, const struct batch *batch)
{
    apply(world, batch, true);
}

static const struct record *look_up(const struct vault *vault, const struct record *wanted)
{
    struct stored *stored = *find(vault, wanted);
    return stored ? &stored->record : NULL;
}

const struct run_record *vault_run(const struct vault *vault, uint64_t run)
{
    struct record wanted = {.kind = RECORD_RUN, .run = {.run = run}};
    const struct record *record = look_up(vault, &wanted);
    return record ? &record->run : NULL;
}

const struct task_record *vault_task(const struct vault *vault, uint64_t run, uint32_t task)
{
    struct record wanted = {.kind = RECORD_TASK, .task = {.run = run, .task = task}};
    const struct record *record = look_up(vault, &wanted);
    return record ? &record->task : NULL;
}

const struct unit_record *vault_unit(const struct vault *vault, struct synk_bytes unit)
{
    struct record wanted = {.kind = RECORD_UNIT, .unit = {.id = unit}};
    const struct record *record = look_up(vault, &wanted);
    return record ? &record->unit : NULL;
}

const struct definition_record *vault_definition(const struct vault *vault, struct synk_bytes unit,
                                                 uint32_t version)
{
    struct record wanted = {.kind = RECORD_DEFINITION,
                            .definition = {.unit = unit, .version = version}};
    const struct record *record = look_up(vault, &wanted);
    return record ? &record->definition : NULL;
}

const struct worker_record *vault_worker(const struct vault *vault, struct synk_bytes unit,
                                         uint32_t version, uint32_t index)
{
    struct record wanted = {.kind = RECORD_WORKER,
                            .worker = {.unit = unit, .version = version, .index = index}};
    const struct record *record = look_up(vault, &wanted);
    return record ? &record->worker : NULL;
}

static int by_key(const void *a, const void *b)
{
    const struct stored *one = *(struct stored *const *)a, *two = *(struct stored *const *)b;
    size_t size = one->key.size < two->key.size ? one->key.size : two->key.size;
    int order = memcmp(one->key.data, two->key.data, size);
    return order ? order : one->key.size < two->key.size ? -1 : one->key.size > two->key.size;
}

static struct stored **sorted(const struct vault *vault, size_t *ret_count)
{
    struct stored **all = mem_alloc((vault->count + 1) * sizeof(struct stored *));
    size_t count = 0;
    for (size_t i = 0; i < vault->bucket_count; i++)
        for (struct stored *stored = vault->buckets[i]; stored; stored = stored->next)
            all[count++] = stored;
    qsort(all, count, sizeof(*all), by_key);
    *ret_count = count;
    return all;
}

void vault_each(const struct vault *vault, enum record_kind kind,
                void (*each)(void *context, const struct record *record), void *context)
{
    size_t count;
    struct stored **all = sorted(vault, &count);
    for (size_t i = 0; i < count; i++)
        if (all[i]->record.kind == kind)
            each(context, &all[i]->record);
    free(all);
}

static bool run_is_live(const struct vault *vault, uint64_t run)
{
    const struct run_record *record = vault_run(vault, run);
    return record && !run_status_is_final(record->status);
}

/* Versions in force, and those of unfinished runs. */
static bool version_is_wanted(const struct vault *vault, struct stored *const *all, size_t count,
                              struct synk_bytes unit, uint32_t version)
{
    struct record wanted = {.kind = RECORD_UNIT, .unit = {.id = unit}};
    const struct record *current = look_up(vault, &wanted);
    if (current && current->unit.version == version)
        return true;
    for (size_t i = 0; i < count; i++) {
        const struct run_record *run = &all[i]->record.run;
        if (all[i]->record.kind == RECORD_RUN && run->version == version &&
            !run_status_is_final(run->status) && bytes_equal(run->unit, unit))
            return true;
    }
    return false;
}

static bool is_forgotten(enum mutation mutation, enum record_kind kind)
{
    return (mutation == MUTATION_FORGET_KEYS && kind == RECORD_KEY) ||
           (mutation == MUTATION_FORGET_HOSTS && kind == RECORD_HOST) ||
           (mutation == MUTATION_FORGET_TASKS && kind == RECORD_TASK);
}

const struct record **vault_load(const struct world *world, size_t *ret_count)
{
    const struct vault *vault = &world->vault;
    size_t count, kept = 0;
    struct stored **all = sorted(vault, &count);
    const struct record **records = mem_alloc((count + 1) * sizeof(struct record *));
    for (size_t i = 0; i < count; i++) {
        const struct record *record = &all[i]->record;
        bool wanted = record->kind != RECORD_ATTEMPT;
        if (record->kind == RECORD_TASK)
            wanted = run_is_live(vault, record->task.run);
        else if (record->kind == RECORD_DEFINITION)
            wanted = version_is_wanted(vault, all, count, record->definition.unit,
                                       record->definition.version);
        else if (record->kind == RECORD_WORKER)
            wanted =
                version_is_wanted(vault, all, count, record->worker.unit, record->worker.version);
        if (wanted && !is_forgotten(world->mutation, record->kind))
            records[kept++] = record;
    }
    free(all);
    *ret_count = kept;
    return records;
}

const struct run_record *vault_find_run(const struct vault *vault, const struct query *query)
{
    if (query->run)
        return vault_run(vault, query->run);
    const struct run_record *found = NULL;
    for (size_t i = 0; i < vault->bucket_count; i++)
        for (const struct stored *stored = vault->buckets[i]; stored; stored = stored->next) {
            const struct run_record *run = &stored->record.run;
            if (stored->record.kind != RECORD_RUN || !bytes_equal(run->unit, query->unit))
                continue;
            if (query->number ? run->number == query->number
                              : !found || run->number > found->number)
                found = run;
        }
    return found;
}

struct record *vault_load_run(const struct vault *vault, const struct query *query,
                              size_t *ret_count)
{
    size_t count, kept = 0;
    struct stored **all = sorted(vault, &count);
    struct record *records = mem_alloc((count + 1) * sizeof(*records));
    const struct run_record *run = vault_find_run(vault, query);
    if (run)
        records[kept++] = (struct record){.kind = RECORD_RUN, .run = *run};
    for (size_t i = 0; run && i < count; i++) {
        const struct record *record = &all[i]->record;
        if ((record->kind == RECORD_DEFINITION && record->definition.version == run->version &&
             bytes_equal(record->definition.unit, run->unit)) ||
            (record->kind == RECORD_WORKER && record->worker.version == run->version &&
             bytes_equal(record->worker.unit, run->unit)) ||
            (record->kind == RECORD_TASK && record->task.run == run->run))
            records[kept++] = *record;
    }
    free(all);
    *ret_count = kept;
    return records;
}
