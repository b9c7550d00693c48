/*
 * Apply: definitions arrive in the request or in chunks staged before it, are validated whole, and
 * take effect together or not at all.
 */
#include "supervisor/core/requests_apply.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/definition_supported.h"
#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/limits.h"
#include "supervisor/core/offers.h"
#include "supervisor/core/overlay.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/schedule.h"

/* ---- uploads ---- */

static void free_upload(struct upload *upload)
{
    buf_fini(&upload->data);
    free(upload->name);
    free(upload);
}

void uploads_free(struct engine *engine)
{
    while (engine->uploads) {
        struct upload *next = engine->uploads->next;
        free_upload(engine->uploads);
        engine->uploads = next;
    }
}

static void drop_where(struct engine *engine, bool by_peer, uint32_t peer)
{
    struct upload **link = &engine->uploads;
    while (*link) {
        struct upload *upload = *link;
        bool goes =
            by_peer ? upload->peer == peer : engine->now - upload->touched >= LIMIT_UPLOAD_IDLE_MS;
        if (!goes) {
            link = &upload->next;
            continue;
        }
        *link = upload->next;
        free_upload(upload);
    }
}

void uploads_expire(struct engine *engine)
{
    drop_where(engine, false, 0);
}

void uploads_drop(struct engine *engine, uint32_t peer)
{
    drop_where(engine, true, peer);
}

static struct upload *upload_find(struct engine *engine, uint32_t peer, struct synk_bytes name)
{
    for (struct upload *upload = engine->uploads; upload; upload = upload->next)
        if (upload->peer == peer && bytes_equal(bytes_str(upload->name), name))
            return upload;
    return NULL;
}

static void upload_drop(struct engine *engine, struct upload *upload)
{
    struct upload **link = &engine->uploads;
    while (*link != upload)
        link = &(*link)->next;
    *link = upload->next;
    free_upload(upload);
}

void request_upload(struct engine *engine, struct request *request)
{
    struct synk_bytes name = body_text(request, "upload");
    struct synk_bytes data = synk_value_bytes(synk_value_get(request->body, "data"));
    int64_t offset = synk_value_int(synk_value_get(request->body, "offset"), -1);
    if (!name.size || name.size > 64 || offset < 0) {
        request_fail(engine, request, SYNK_INVALID, 0,
                     "an upload has a name of 1 to 64 bytes and an offset");
        return;
    }
    struct upload *upload = upload_find(engine, request->peer, name);
    if (!upload) {
        size_t count = 0;
        for (const struct upload *u = engine->uploads; u; u = u->next)
            count++;
        if (count >= LIMIT_UPLOADS) {
            request_fail(engine, request, SYNK_BUSY, RETRY_AFTER_MS, "%d uploads are under way",
                         LIMIT_UPLOADS);
            return;
        }
        upload = mem_zalloc(1, sizeof(*upload));
        upload->peer = request->peer;
        upload->name = mem_strndup(name.data, name.size);
        upload->next = engine->uploads;
        engine->uploads = upload;
    }
    upload->touched = engine->now;
    /* A chunk sent again is answered again. */
    bool repeated = (uint64_t)offset + data.size <= upload->data.size;
    if ((uint64_t)offset != upload->data.size && !repeated) {
        request_fail(engine, request, SYNK_INVALID, 0, "the upload has %zu bytes, not %lld",
                     upload->data.size, (long long)offset);
        return;
    }
    if (!repeated && upload->data.size + data.size > LIMIT_UPLOAD_BYTES) {
        upload_drop(engine, upload);
        request_fail(engine, request, SYNK_TOO_LARGE, 0, "an upload has at most %d bytes",
                     LIMIT_UPLOAD_BYTES);
        return;
    }
    if (!repeated)
        buf_append(&upload->data, data.data, data.size);
    struct buf *out = reply_open(engine);
    pack_map(out, 1);
    pack_key(out, "received");
    pack_uint(out, upload->data.size);
    reply_close(engine, request);
}

void upload_forget(struct engine *engine, uint32_t peer, struct synk_bytes name)
{
    struct upload *upload = upload_find(engine, peer, name);
    if (upload)
        upload_drop(engine, upload);
}

enum synk_status upload_take(struct engine *engine, uint32_t peer, struct synk_bytes name,
                             struct buf *out, struct synk_error *error)
{
    struct upload *upload = upload_find(engine, peer, name);
    if (!upload)
        return status_fail(error, SYNK_NOT_FOUND, "there is no such upload, or it expired");
    *out = upload->data;
    upload->data = (struct buf){0};
    upload_drop(engine, upload);
    return SYNK_OK;
}

/* ---- reading ---- */

enum synk_status apply_read(struct engine *engine, const struct request *request,
                            struct definition_set *set, struct synk_error *error)
{
    const struct synk_value *document = synk_value_get(request->body, "document");
    struct synk_bytes name = body_text(request, "upload");
    struct buf encoded = {0};
    struct upload *upload = NULL;
    struct synk_bytes bytes;
    enum synk_status status = SYNK_OK;
    if (!value_is_null(document)) {
        value_encode(document, &encoded);
        bytes = buf_bytes(&encoded);
    } else if (name.size) {
        upload = upload_find(engine, request->peer, name);
        if (!upload)
            return status_fail(error, SYNK_NOT_FOUND, "there is no such upload, or it expired");
        bytes = buf_bytes(&upload->data);
    } else {
        return status_fail(error, SYNK_INVALID, "neither 'document' nor 'upload' is given");
    }
    struct arena arena = {0};
    struct node root;
    status = check_value(bytes, &definition_limits, error);
    if (status == SYNK_OK)
        status = definition_node_decode(bytes, &arena, &root, error);
    if (status == SYNK_OK)
        status = definition_validate(&root, "request", NULL, &engine->checker, set, error);
    arena_fini(&arena);
    buf_fini(&encoded);
    if (upload && !synk_value_bool(synk_value_get(request->body, "check"), false))
        upload_drop(engine, upload);
    return status;
}

/* ---- applying ---- */

enum change { UNCHANGED, CREATED, CHANGED, REMOVED };
static const char *const change_names[] = {"unchanged", "created", "changed", "removed"};

static enum change compare(const struct unit *unit, const struct definition *definition)
{
    if (!unit || !unit->current)
        return CREATED;
    struct buf old = {0}, new = {0};
    definition_encode(unit->current->definition, &old);
    definition_encode(definition, &new);
    bool same = bytes_equal(buf_bytes(&old), buf_bytes(&new));
    buf_fini(&old);
    buf_fini(&new);
    return same ? UNCHANGED : CHANGED;
}

static bool in_set(const struct definition_set *set, const char *id)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->units[i]->id, id) == 0)
            return true;
    return false;
}

static bool is_removed(const struct unit *unit, const struct request *request,
                       const struct definition_set *set)
{
    if (!unit->current || in_set(set, unit->id_text))
        return false;
    if (synk_value_bool(synk_value_get(request->body, "prune"), false))
        return true;
    const struct synk_value *release = synk_value_get(request->body, "release");
    for (size_t i = 0; i < synk_value_count(release); i++)
        if (bytes_equal(synk_value_bytes(synk_value_at(release, i)), unit->id))
            return true;
    return false;
}

static void check_hooks(struct engine *engine, const struct definition_set *set, const char *id,
                        const struct hook_list *list, struct buf *warnings)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const char *target = list->hooks[i].target;
        struct unit *unit;
        uint32_t worker;
        if (list->hooks[i].kind != HOOK_RUN || in_set(set, target) ||
            unit_resolve(engine, bytes_str(target), &unit, &worker, NULL) == SYNK_OK)
            continue;
        buf_printf(warnings, "'%s': a hook runs '%s', which does not exist\n", id, target);
    }
}

static void check_function(struct engine *engine, const struct definition *definition,
                           const struct worker_def *worker, struct buf *warnings)
{
    struct synk_bytes function = bytes_str(worker->worker->function);
    bool any_host;
    if (offers_any(engine, function, &any_host) || !any_host)
        return;
    bool is_member = definition->kind == UNIT_PROCESS;
    buf_printf(warnings, "'%s%s%s': no connected host offers '%s'", definition->id,
               is_member ? "/" : "", is_member ? worker->id : "", worker->worker->function);
    offers_append_reason(engine, function, warnings);
    buf_append(warnings, "\n", 1);
}

static void collect_warnings(struct engine *engine, const struct definition_set *set,
                             struct buf *warnings)
{
    buf_append(warnings, set->warnings.data, set->warnings.size);
    for (size_t i = 0; i < set->count && warnings->size < 65536; i++) {
        const struct definition *definition = set->units[i];
        check_hooks(engine, set, definition->id, &definition->unit->on_start, warnings);
        check_hooks(engine, set, definition->id, &definition->unit->on_complete, warnings);
        check_hooks(engine, set, definition->id, &definition->unit->on_error, warnings);
        const struct worker_options *last = NULL;
        for (uint32_t w = 0; w < definition->worker_count && warnings->size < 65536; w++) {
            const struct worker_def *worker = &definition->workers[w];
            if (definition->kind == UNIT_PROCESS) {
                check_hooks(engine, set, worker->id, &worker->unit->on_start, warnings);
                check_hooks(engine, set, worker->id, &worker->unit->on_complete, warnings);
                check_hooks(engine, set, worker->id, &worker->unit->on_error, warnings);
            }
            if (worker->worker == last)
                continue;
            last = worker->worker;
            check_function(engine, definition, worker, warnings);
        }
    }
}

static void reply_apply(struct engine *engine, const struct request *request,
                        const struct definition_set *set, const enum change *changes,
                        struct unit *const *removed, size_t removed_count,
                        struct synk_bytes limits, struct synk_bytes warnings)
{
    struct buf *out = reply_open(engine);
    pack_map(out, 3);
    pack_key(out, "limits");
    pack_encoded(out, limits);
    pack_key(out, "units");
    pack_array(out, set->count + removed_count);
    for (size_t i = 0; i < set->count + removed_count; i++) {
        pack_map(out, 2);
        pack_key(out, "id");
        pack_cstr(out, i < set->count ? set->units[i]->id : removed[i - set->count]->id_text);
        pack_key(out, "change");
        pack_cstr(out, change_names[i < set->count ? changes[i] : REMOVED]);
    }
    pack_key(out, "warnings");
    size_t lines = 0;
    const char *text = warnings.data;
    for (size_t i = 0; i < warnings.size; i++)
        lines += text[i] == '\n';
    pack_array(out, lines);
    for (size_t at = 0; lines; lines--) {
        const char *end = memchr(text + at, '\n', warnings.size - at);
        size_t size = (size_t)(end - (text + at));
        pack_string(out, bytes_of(text + at, size));
        at += size + 1;
    }
    reply_close(engine, request);
}

/* What no validator of one document can see. */
static enum synk_status check_set(const struct engine *engine, const struct definition_set *set,
                                  struct synk_error *error)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct definition *definition = set->units[i];
        if (strcmp(definition->id, "pool") == 0)
            return status_fail(error, SYNK_INVALID, "'pool' is the reserved id of the task pool");
        const struct unit *unit = unit_find(engine, bytes_str(definition->id));
        if (unit && unit->releasing)
            return status_fail(error, SYNK_REFUSED, "'%s' is being released: try again later",
                               definition->id);
        struct unsupported what;
        if (!definition_is_supported(definition, &what))
            return definition_fail_unsupported(definition, &what, "", error);
    }
    return limits_check_set(engine, set, error);
}

/* Puts what was set at run time over what the files say. kept: one for each unit of the set. */
static void carry_settings(struct engine *engine, struct definition_set *set,
                           struct overlay *kept, struct buf *warnings)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct unit *unit = unit_find(engine, bytes_str(set->units[i]->id));
        if (unit && unit->current)
            overlay_carry(&unit->overlay, &engine->checker, &set->units[i], &kept[i], warnings);
    }
}

static void take_overlay(struct engine *engine, struct unit *unit, struct overlay *kept)
{
    if (!unit->overlay.count && !kept->count)
        return;
    struct overlay old = unit->overlay;
    unit->overlay = *kept;
    *kept = old;
    unit_touch(engine, unit);
}

static void apply_set(struct engine *engine, const struct definition_set *set,
                      const enum change *changes, struct overlay *kept)
{
    for (size_t i = 0; i < set->count; i++) {
        struct unit *unit = unit_add(engine, bytes_str(set->units[i]->id));
        take_overlay(engine, unit, &kept[i]);
        if (changes[i] == UNCHANGED)
            continue;
        unit_put_version(engine, unit, set->units[i]);
        schedule_unit(engine, unit, changes[i] == CREATED);
    }
}

void request_apply(struct engine *engine, struct request *request)
{
    struct definition_set set = {0};
    struct synk_error error = {0};
    struct buf limits = {0}, warnings = {0};
    enum change *changes = NULL;
    struct overlay *kept = NULL;
    struct unit **removed = NULL;
    size_t removed_count = 0, capacity = 0;
    bool release_only = value_is_null(synk_value_get(request->body, "document")) &&
                        value_is_null(synk_value_get(request->body, "upload")) &&
                        !value_is_null(synk_value_get(request->body, "release"));
    enum synk_status status = release_only ? SYNK_OK : apply_read(engine, request, &set, &error);
    if (status == SYNK_OK)
        status = check_set(engine, &set, &error);
    for (size_t i = 0; status == SYNK_OK && i < engine->unit_count; i++) {
        struct unit *unit = engine->units[i];
        if (!is_removed(unit, request, &set))
            continue;
        if (unit->live_runs)
            status =
                status_fail(&error, SYNK_REFUSED, "'%s' cannot be removed while %s is unfinished",
                            unit->id_text, unit->first_run->label);
        removed = mem_grow(removed, &capacity, removed_count + 1, sizeof(*removed));
        removed[removed_count++] = unit;
    }
    if (status) {
        request_error(engine, request, &error);
        goto out;
    }
    changes = mem_zalloc(set.count + 1, sizeof(*changes));
    kept = mem_zalloc(set.count + 1, sizeof(*kept));
    carry_settings(engine, &set, kept, &warnings);
    for (size_t i = 0; i < set.count; i++)
        changes[i] = compare(unit_find(engine, bytes_str(set.units[i]->id)), set.units[i]);
    collect_warnings(engine, &set, &warnings);
    bool prunes = synk_value_bool(synk_value_get(request->body, "prune"), false);
    limits_encode_changes(engine, &set, prunes, &limits);
    if (!synk_value_bool(synk_value_get(request->body, "check"), false)) {
        limits_apply(engine, &set, prunes);
        apply_set(engine, &set, changes, kept);
        for (size_t i = 0; i < removed_count; i++)
            unit_release(engine, removed[i]);
    }
    reply_apply(engine, request, &set, changes, removed, removed_count, buf_bytes(&limits),
                buf_bytes(&warnings));
out:
    for (size_t i = 0; kept && i < set.count; i++)
        overlay_fini(&kept[i]);
    free(kept);
    free(changes);
    free(removed);
    buf_fini(&limits);
    buf_fini(&warnings);
    definition_set_fini(&set);
}
