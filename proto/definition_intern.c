/*
 * Equal options of one definition are one object: a graph of 100,000 workers has a handful. Options
 * are compared by their canonical encoding, which leaves nothing out, so that one hash decides. The
 * draft's texts live in scratch memory; only the first of equal options is copied. Pure.
 */
#include <stdlib.h>

#include "proto/definition_internal.h"
#include "proto/pack.h"

void intern_table_clear(struct intern_table *table)
{
    id_table_clear(&table->ids);
    arena_clear(&table->keys);
}

void intern_table_fini(struct intern_table *table)
{
    id_table_fini(&table->ids);
    arena_fini(&table->keys);
    free(table->options);
}

static void remember(struct intern_table *table, struct synk_bytes key, const void *options)
{
    uint32_t index = table->ids.count;
    table->options = mem_grow(table->options, &table->capacity, index + 1, sizeof(*table->options));
    table->options[index] = options;
    id_table_put(&table->ids, arena_copy(&table->keys, key), index);
}

static const char *copy_text(struct arena *arena, const char *text)
{
    return text ? arena_strdup(arena, text) : NULL;
}

static void *copy_array(struct arena *arena, const void *items, size_t count, size_t size)
{
    if (!count)
        return NULL;
    return memcpy(arena_alloc(arena, count * size), items, count * size);
}

static struct hook_list copy_hooks(struct arena *arena, struct hook_list list)
{
    struct hook *hooks = copy_array(arena, list.hooks, list.count, sizeof(*hooks));
    for (uint32_t i = 0; i < list.count; i++)
        hooks[i].target = arena_strdup(arena, hooks[i].target);
    return (struct hook_list){hooks, list.count};
}

const struct unit_options *definition_intern_unit(struct validation *v,
                                                  const struct unit_options *options)
{
    struct intern_table *table = &v->unit_options;
    buf_clear(&v->encoded);
    definition_encode_unit(options, &v->encoded);
    uint32_t known = id_table_get(&table->ids, buf_bytes(&v->encoded));
    if (known != UINT32_MAX)
        return table->options[known];
    struct arena *arena = &v->definition->arena;
    struct unit_options *copy = copy_array(arena, options, 1, sizeof(*options));
    copy->name = copy_text(arena, options->name);
    copy->description = copy_text(arena, options->description);
    if (options->meta.size)
        copy->meta = arena_copy(arena, options->meta);
    copy->on_start = copy_hooks(arena, options->on_start);
    copy->on_complete = copy_hooks(arena, options->on_complete);
    copy->on_error = copy_hooks(arena, options->on_error);
    copy->cron = copy_text(arena, options->cron);
    copy->time_zone = copy_text(arena, options->time_zone);
    copy->run_on_milestone = copy_text(arena, options->run_on_milestone);
    remember(table, buf_bytes(&v->encoded), copy);
    return copy;
}

const struct worker_options *definition_intern_worker(struct validation *v,
                                                      const struct worker_options *options)
{
    struct intern_table *table = &v->worker_options;
    buf_clear(&v->encoded);
    pack_cstr(&v->encoded, options->function);
    definition_encode_tries(options, &v->encoded);
    uint32_t known = id_table_get(&table->ids, buf_bytes(&v->encoded));
    if (known != UINT32_MAX)
        return table->options[known];
    struct arena *arena = &v->definition->arena;
    struct worker_options *copy = copy_array(arena, options, 1, sizeof(*options));
    copy->function = copy_text(arena, options->function);
    copy->retry_delay = copy_text(arena, options->retry_delay);
    copy->no_retry_exit_codes =
        copy_array(arena, options->no_retry_exit_codes, options->no_retry_exit_code_count,
                   sizeof(*options->no_retry_exit_codes));
    const char **requires =
        copy_array(arena, options->requires, options->requires_count, sizeof(*requires));
    for (uint32_t i = 0; i < options->requires_count; i++)
    requires[i] = arena_strdup(arena, requires[i]);
    copy->requires = requires;
    struct uses *uses = copy_array(arena, options->uses, options->uses_count, sizeof(*uses));
    for (uint32_t i = 0; i < options->uses_count; i++)
        uses[i].name = arena_strdup(arena, uses[i].name);
    copy->uses = uses;
    remember(table, buf_bytes(&v->encoded), copy);
    return copy;
}
