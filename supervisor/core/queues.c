/*
 * Queues of ready tasks, and what tells them apart: functions and classes.
 *
 * Invariants: whoever keeps a queue has a reference to it, so its index is its own until it is
 * swept; classes and functions go when the last queue of theirs does. A host's bit for a class is
 * decided when it is first asked for, and again where another class takes the place.
 */
#include "supervisor/core/queues.h"

#include "supervisor/core/limits.h"

#include <stdlib.h>

static bool same_function(const void *item, const void *key)
{
    return strcmp(((const struct function *)item)->name, key) == 0;
}

/* The first free place of a table; its end where there is none. */
static uint32_t find_hole(void **table, size_t count, size_t *hole)
{
    while (*hole < count && table[*hole])
        ++*hole;
    return (uint32_t)(*hole)++;
}

static struct function *function_for(struct engine *engine, const char *name)
{
    uint64_t hash = bytes_hash(bytes_str(name));
    struct function *function = index_find(&engine->functions_by_name, hash, same_function, name);
    if (function)
        return function;
    function = mem_zalloc(1, sizeof(*function));
    function->name = mem_strdup(name);
    function->index =
        find_hole((void **)engine->functions, engine->function_count, &engine->function_hole);
    engine->functions = mem_grow(engine->functions, &engine->function_capacity,
                                 engine->function_count + 1, sizeof(*engine->functions));
    engine->function_count += function->index == engine->function_count;
    engine->live_functions++;
    engine->functions[function->index] = function;
    index_put(&engine->functions_by_name, hash, function);
    return function;
}

struct class_key {
    uint32_t function;
    const char *const *requires;
    uint32_t requires_count;
};

static uint64_t class_hash(const struct class_key *key)
{
    uint64_t hash = index_number(key->function + 1);
    for (uint32_t i = 0; i < key->requires_count; i++)
        hash = index_number(hash ^ bytes_hash(bytes_str(key->requires[i])));
    return hash;
}

static bool same_class(const void *item, const void *key)
{
    const struct class *class = item;
    const struct class_key *wanted = key;
    if (class->function != wanted->function || class->requires_count != wanted->requires_count)
        return false;
    for (uint32_t i = 0; i < class->requires_count; i++)
        if (strcmp(class->requires[i], wanted -> requires[i]) != 0)
            return false;
    return true;
}

static bool offers(const struct engine *engine, const struct host *host, const struct class *class)
{
    bool found = false;
    const char *function = engine->functions[class->function]->name;
    for (uint32_t i = 0; i < host->function_count && !found; i++)
        found = strcmp(host->functions[i], function) == 0;
    for (uint32_t r = 0; r < class->requires_count && found; r++) {
        found = false;
        for (uint32_t i = 0; i < host->tag_count && !found; i++)
            found = strcmp(host->tags[i], class->requires[r]) == 0;
    }
    return found;
}

/* A class at a place that was used before: hosts have decided about the one that was there. */
static void decide_again(struct engine *engine, const struct class *class)
{
    uint8_t bit = (uint8_t)(1u << (class->index % 8));
    for (size_t i = 0; i < engine->host_count; i++) {
        struct host *host = engine->hosts[i];
        if (!host || host->class_count <= class->index)
            continue;
        uint8_t *bits = &host->classes[class->index / 8];
        *bits = (uint8_t)(offers(engine, host, class) ? *bits | bit : *bits & ~bit);
    }
}

bool host_offers(struct engine *engine, struct host *host, uint32_t class)
{
    if (host->class_count < engine->class_count) {
        size_t old = ((size_t)host->class_count + 7) / 8, new = (engine->class_count + 7) / 8;
        if (new > old) {
            host->classes = mem_realloc(host->classes, new, 1);
            memset(host->classes + old, 0, new - old);
        }
        for (uint32_t c = host->class_count; c < engine->class_count; c++)
            if (engine->classes[c] && offers(engine, host, engine->classes[c]))
                host->classes[c / 8] |= (uint8_t)(1u << (c % 8));
        host->class_count = (uint32_t)engine->class_count;
    }
    return host->classes[class / 8] & (1u << (class % 8));
}

static struct class *class_for(struct engine *engine, const struct worker_options *options)
{
    struct function *function = function_for(engine, options->function);
    struct class_key key = {function->index, options->requires, options->requires_count};
    uint64_t hash = class_hash(&key);
    struct class *class = index_find(&engine->classes_by_hash, hash, same_class, &key);
    if (class)
        return class;
    class = mem_zalloc(1, sizeof(*class));
    class->index = find_hole((void **)engine->classes, engine->class_count, &engine->class_hole);
    class->function = key.function;
    function->references++;
    class->requires_count = options->requires_count;
    class->requires = mem_zalloc(options->requires_count + 1, sizeof(*class->requires));
    for (uint32_t i = 0; i < options->requires_count; i++)
    class->requires[i] = mem_strdup(options->requires[i]);
    engine->classes = mem_grow(engine->classes, &engine->class_capacity, engine->class_count + 1,
                               sizeof(*engine->classes));
    engine->class_count += class->index == engine->class_count;
    engine->classes[class->index] = class;
    index_put(&engine->classes_by_hash, hash, class);
    decide_again(engine, class);
    return class;
}

static bool same_queue(const void *item, const void *key)
{
    const struct queue *a = item, *b = key;
    return a->class == b->class && a->priority == b->priority && a->slots == b->slots &&
           limits_same_uses(a, b);
}

static uint64_t queue_hash(const struct queue *queue)
{
    uint64_t hash = index_number(((uint64_t)queue->class << 32) ^ (uint32_t)queue->priority ^
                                 ((uint64_t)queue->slots << 48));
    return queue->use_count ? index_number(hash ^ limits_hash(queue)) : hash;
}

/* Behind those of its priority and of higher ones. */
static void put_in_order(struct engine *engine, const struct queue *queue)
{
    size_t count = engine->live_queues++, low = 0;
    engine->queue_order = mem_grow(engine->queue_order, &engine->queue_order_capacity, count + 1,
                                   sizeof(*engine->queue_order));
    for (size_t high = count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (engine->queues[engine->queue_order[middle]]->priority >= queue->priority)
            low = middle + 1;
        else
            high = middle;
    }
    memmove(&engine->queue_order[low + 1], &engine->queue_order[low],
            (count - low) * sizeof(*engine->queue_order));
    engine->queue_order[low] = queue->index;
}

/* The queue that is as the key says; made where there is none. */
static struct queue *find_or_add(struct engine *engine, const struct queue *key)
{
    struct queue *queue = index_find(&engine->queues_by_hash, queue_hash(key), same_queue, key);
    if (queue)
        return queue;
    queue = mem_alloc(sizeof(*queue));
    *queue = *key;
    queue->index = find_hole((void **)engine->queues, engine->queue_count, &engine->queue_hole);
    engine->classes[queue->class]->references++;
    queue->uses = NULL;
    if (queue->use_count)
        limits_keep(engine, queue, key->uses);
    engine->queues = mem_grow(engine->queues, &engine->queue_capacity, engine->queue_count + 1,
                              sizeof(*engine->queues));
    engine->queue_count += queue->index == engine->queue_count;
    engine->queues[queue->index] = queue;
    index_put(&engine->queues_by_hash, queue_hash(queue), queue);
    put_in_order(engine, queue);
    return queue;
}

struct queue *queue_for(struct engine *engine, const struct worker_options *options)
{
    struct queue_use uses[QUEUE_USES];
    struct queue key = {
        .class = class_for(engine, options)->index,
        .priority = options->priority,
        .slots = options->slots ? options->slots : 1,
        .use_count = limits_uses(engine, options, uses),
        .uses = uses,
    };
    struct queue *queue = find_or_add(engine, &key);
    queue->references++;
    return queue;
}

struct queue *queue_with_priority(struct engine *engine, const struct queue *like, int32_t priority)
{
    struct queue key = {
        .class = like->class,
        .priority = priority,
        .slots = like->slots,
        .use_count = like->use_count,
        .uses = like->uses,
    };
    return find_or_add(engine, &key);
}

void queue_unref(struct queue *queue)
{
    if (!queue)
        return;
    assert(queue->references > 0);
    queue->references--;
}

static void free_function(struct function *function)
{
    if (function)
        free(function->name);
    free(function);
}

static void free_class(struct class *class)
{
    for (uint32_t r = 0; class && r < class->requires_count; r++)
        free(class->requires[r]);
    if (class)
        free(class->requires);
    free(class);
}

void queues_free(struct engine *engine)
{
    for (size_t i = 0; i < engine->function_count; i++)
        free_function(engine->functions[i]);
    for (size_t i = 0; i < engine->class_count; i++)
        free_class(engine->classes[i]);
    for (size_t i = 0; i < engine->queue_count; i++) {
        free(engine->queues[i] ? engine->queues[i]->uses : NULL);
        free(engine->queues[i]);
    }
    free(engine->functions);
    free(engine->classes);
    free(engine->queues);
    free(engine->queue_order);
}

static void sweep_functions(struct engine *engine)
{
    size_t used = 0;
    for (size_t i = 0; i < engine->function_count; i++)
        used += engine->functions[i] && engine->functions[i]->references;
    if (engine->live_functions - used <= MAX_IDLE_FUNCTIONS)
        return;
    for (size_t i = 0; i < engine->function_count; i++) {
        struct function *function = engine->functions[i];
        if (!function || function->references)
            continue;
        index_remove(&engine->functions_by_name, bytes_hash(bytes_str(function->name)), function);
        engine->functions[i] = NULL;
        free_function(function);
    }
    engine->live_functions = used;
    engine->function_hole = 0;
}

static void sweep_classes(struct engine *engine)
{
    for (size_t i = 0; i < engine->class_count; i++) {
        struct class *class = engine->classes[i];
        if (!class || class->references)
            continue;
        struct class_key key = {class->function, (const char *const *)class->requires,
                                class->requires_count};
        index_remove(&engine->classes_by_hash, class_hash(&key), class);
        engine->functions[class->function]->references--;
        engine->classes[i] = NULL;
        free_class(class);
    }
    engine->class_hole = 0;
}

void queues_sweep(struct engine *engine)
{
    if (engine->live_queues < SWEEP_QUEUES || engine->live_queues < engine->sweep_at)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < engine->live_queues; i++) {
        struct queue *queue = engine->queues[engine->queue_order[i]];
        if (queue->references) {
            engine->queue_order[kept++] = queue->index;
            continue;
        }
        index_remove(&engine->queues_by_hash, queue_hash(queue), queue);
        engine->classes[queue->class]->references--;
        engine->queues[queue->index] = NULL;
        if (queue->use_count)
            limits_drop(engine, queue);
        free(queue->uses);
        free(queue);
    }
    engine->live_queues = kept;
    engine->sweep_at = 2 * kept;
    engine->queue_hole = 0;
    sweep_classes(engine);
    sweep_functions(engine);
}

void function_measured(struct engine *engine, uint32_t queue, int64_t execution_us)
{
    struct function *function =
        engine->functions[engine->classes[engine->queues[queue]->class]->function];
    int64_t took = execution_us < 1 ? 1 : execution_us > INT32_MAX ? INT32_MAX : execution_us;
    int64_t average = function->average_us;
    if (!function->samples++)
        average = took;
    else if (took > average)
        average += (took - average + 1) / 2;
    else
        average -= (average - took) / 16;
    function->average_us = (uint32_t)(average ? average : 1);
}
