/*
 * Definitions as such: names of their enums, their lifetime, ids and durations. The validator is in
 * definition_validate.c and its neighbours, the canonical form in definition_encode.c. Pure.
 */
#include "proto/definition.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/definition_internal.h"

const struct check_limits definition_limits = {LIMIT_VALUE_DEPTH + 8, LIMIT_UPLOAD_ITEMS};

static const char *const run_mode_names[] = {
    [RUN_SEQUENTIAL] = "sequential",
    [RUN_PARALLEL] = "parallel",
    [RUN_BATCHED] = "batched",
    [RUN_ISOLATED] = "isolated",
};
static const char *const dependency_on_names[] = {
    [ON_COMPLETED] = "completed",
    [ON_NOT_ERROR] = "notError",
    [ON_ERROR] = "error",
    [ON_ANY] = "any",
};
static const char *const overlap_names[] = {
    [OVERLAP_DEFAULT] = "default", [OVERLAP_QUEUE] = "queue",   [OVERLAP_SKIP] = "skip",
    [OVERLAP_ALLOW] = "allow",     [OVERLAP_CANCEL] = "cancel",
};
static const char *const catch_up_names[] = {
    [CATCH_UP_ONE] = "once",
    [CATCH_UP_SKIP] = "skip",
    [CATCH_UP_ALL] = "all",
};

const char *run_mode_name(enum run_mode mode)
{
    assert(mode <= RUN_ISOLATED);
    return run_mode_names[mode];
}

const char *dependency_on_name(enum dependency_on on)
{
    assert(on <= ON_ANY);
    return dependency_on_names[on];
}

const char *overlap_name(enum overlap overlap)
{
    assert(overlap <= OVERLAP_CANCEL);
    return overlap_names[overlap];
}

const char *catch_up_name(enum catch_up catch_up)
{
    assert(catch_up <= CATCH_UP_ALL);
    return catch_up_names[catch_up];
}

struct definition *definition_ref(struct definition *definition)
{
    atomic_fetch_add_explicit(&definition->references, 1, memory_order_relaxed);
    return definition;
}

void definition_unref(struct definition *definition)
{
    if (!definition)
        return;
    unsigned before = atomic_fetch_sub_explicit(&definition->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1)
        return;
    for (struct definition_part *part = definition->patches; part; part = part->next)
        definition_unref(part->patch);
    arena_fini(&definition->arena);
    free(definition);
}

void definition_set_fini(struct definition_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++)
        definition_unref(set->units[i]);
    for (size_t i = 0; i < set->limit_count; i++)
        free(set->limits[i].name);
    free(set->units);
    free(set->limits);
    buf_fini(&set->warnings);
    *set = (struct definition_set){0};
}

uint32_t definition_find_worker(const struct definition *definition, struct synk_bytes id)
{
    for (uint32_t i = 0; i < definition->worker_count; i++)
        if (bytes_equal(bytes_str(definition->workers[i].id), id))
            return i;
    return UINT32_MAX;
}

/* Control characters (C0, DEL, C1) and the line and paragraph separators would break tables. */
static bool is_printable(const uint8_t *at, size_t left)
{
    if (at[0] < 0x20 || at[0] == 0x7f)
        return false;
    if (at[0] == 0xc2 && left > 1 && at[1] < 0xa0)
        return false;
    return !(at[0] == 0xe2 && left > 2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9));
}

bool definition_id_is_valid(struct synk_bytes id)
{
    const uint8_t *text = id.data;
    if (id.size == 0 || id.size > LIMIT_ID_BYTES || !check_utf8(id))
        return false;
    for (size_t i = 0; i < id.size; i++)
        if (text[i] == '/' || text[i] == '#' || !is_printable(text + i, id.size - i))
            return false;
    return true;
}

enum synk_status definition_duration(struct synk_bytes text, int64_t *ret_ms,
                                     struct synk_error *error)
{
    static const struct {
        const char *suffix;
        int64_t ms;
    } units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    const char *data = text.data;
    int64_t value = 0;
    size_t i = 0;
    for (; i < text.size && data[i] >= '0' && data[i] <= '9'; i++)
        if (value <= DEFINITION_DURATION_MAX_MS)
            value = value * 10 + (data[i] - '0');
    struct synk_bytes suffix = bytes_of(data + i, text.size - i);
    for (size_t u = 0; i > 0 && u < sizeof(units) / sizeof(*units); u++) {
        if (!bytes_equal(suffix, bytes_str(units[u].suffix)))
            continue;
        if (value > DEFINITION_DURATION_MAX_MS / units[u].ms)
            return status_fail(error, SYNK_INVALID, "longer than ten years");
        *ret_ms = value * units[u].ms;
        return SYNK_OK;
    }
    return status_fail(error, SYNK_INVALID,
                       "'%.*s' is not a duration (1500, 250ms, 90s, 5m, 2h, 1d)",
                       (int)(text.size < 64 ? text.size : 64), text.size ? data : "");
}
