/* Settings are few: a list that is searched from its start. */
#include "supervisor/core/overlay.h"

#include <stdlib.h>

#include "proto/definition_change.h"
#include "proto/limits.h"
#include "proto/pack.h"
#include "proto/value.h"

static void free_setting(struct setting *setting)
{
    free(setting->worker);
    free(setting->field);
    blob_unref(setting->value);
    blob_unref(setting->was);
}

void overlay_fini(struct overlay *overlay)
{
    for (size_t i = 0; i < overlay->count; i++)
        free_setting(&overlay->settings[i]);
    free(overlay->settings);
    *overlay = (struct overlay){0};
}

static struct setting *find(const struct overlay *overlay, const char *worker,
                            struct synk_bytes field)
{
    for (size_t i = 0; i < overlay->count; i++)
        if (strcmp(overlay->settings[i].worker, worker) == 0 &&
            bytes_equal(bytes_str(overlay->settings[i].field), field))
            return &overlay->settings[i];
    return NULL;
}

const struct setting *overlay_find(const struct overlay *overlay, const char *worker,
                                   struct synk_bytes field)
{
    return find(overlay, worker, field);
}

static void forget(struct overlay *overlay, struct setting *setting)
{
    size_t at = (size_t)(setting - overlay->settings);
    free_setting(setting);
    memmove(setting, setting + 1, (overlay->count - at - 1) * sizeof(*setting));
    overlay->count--;
}

bool setting_differs(const struct setting *setting)
{
    return !bytes_equal(blob_bytes(setting->value), blob_bytes(setting->was));
}

static bool is_work_of(const struct setting *setting, const char *worker)
{
    return strcmp(setting->worker, worker) == 0 && definition_is_work(bytes_str(setting->field));
}

void overlay_settle_work(struct overlay *overlay, const char *worker)
{
    for (size_t i = 0; i < overlay->count; i++)
        if (is_work_of(&overlay->settings[i], worker) && setting_differs(&overlay->settings[i]))
            return;
    for (size_t i = overlay->count; i-- > 0;)
        if (is_work_of(&overlay->settings[i], worker))
            forget(overlay, &overlay->settings[i]);
}

void overlay_set(struct overlay *overlay, const char *worker, struct synk_bytes field,
                 struct synk_bytes value, struct synk_bytes was)
{
    struct setting *known = find(overlay, worker, field);
    if (known) {
        blob_unref(known->value);
        known->value = blob_new(value);
    } else {
        overlay->settings = mem_grow(overlay->settings, &overlay->capacity, overlay->count + 1,
                                     sizeof(*overlay->settings));
        known = &overlay->settings[overlay->count++];
        *known = (struct setting){mem_strdup(worker), mem_strndup(field.data, field.size),
                                  blob_new(value), blob_new(was)};
    }
    if (!definition_is_work(field) && !setting_differs(known))
        forget(overlay, known);
}

void overlay_encode(const struct overlay *overlay, struct buf *out)
{
    if (!overlay->count)
        return;
    pack_array(out, overlay->count);
    for (size_t i = 0; i < overlay->count; i++) {
        const struct setting *setting = &overlay->settings[i];
        pack_array(out, 4);
        pack_cstr(out, setting->worker);
        pack_cstr(out, setting->field);
        pack_encoded(out, blob_bytes(setting->value));
        pack_encoded(out, blob_bytes(setting->was));
    }
}

static struct blob *encode_blob(const struct synk_value *value, struct buf *out)
{
    buf_clear(out);
    value_encode(value, out);
    return blob_new(buf_bytes(out));
}

enum synk_status overlay_decode(struct overlay *overlay, struct synk_bytes bytes,
                                struct synk_error *error)
{
    if (!bytes.size)
        return SYNK_OK;
    struct synk_document *document = NULL;
    enum synk_status status = value_decode(bytes, &definition_limits, &document, error);
    if (status)
        return status_fail(error, SYNK_CORRUPT, "settings that do not decode");
    struct buf out = {0};
    const struct synk_value *root = synk_document_root(document);
    for (size_t i = 0; i < synk_value_count(root) && status == SYNK_OK; i++) {
        const struct synk_value *row = synk_value_at(root, i);
        char *worker = synk_value_string_dup(synk_value_at(row, 0));
        char *field = synk_value_string_dup(synk_value_at(row, 1));
        if (!worker || !field || synk_value_count(row) != 4) {
            free(worker);
            free(field);
            status = status_fail(error, SYNK_CORRUPT, "a setting that does not decode");
            break;
        }
        overlay->settings = mem_grow(overlay->settings, &overlay->capacity, overlay->count + 1,
                                     sizeof(*overlay->settings));
        overlay->settings[overlay->count++] =
            (struct setting){worker, field, encode_blob(synk_value_at(row, 2), &out),
                             encode_blob(synk_value_at(row, 3), &out)};
    }
    buf_fini(&out);
    synk_document_free(document);
    return status;
}

/* The settings of one part that hold still, as the fields of a change. */
struct change {
    uint32_t part;
    struct node fields;
    struct arena arena;
};

static bool file_has_changed(const struct definition *definition, uint32_t part,
                             const struct setting *setting)
{
    struct buf now = {0};
    definition_field(definition, part, bytes_str(setting->field), &now);
    bool changed = !bytes_equal(buf_bytes(&now), blob_bytes(setting->was));
    buf_fini(&now);
    return changed;
}

static bool work_has_changed(const struct overlay *overlay, const struct definition *definition,
                             uint32_t part, const char *worker)
{
    for (size_t i = 0; i < overlay->count; i++)
        if (is_work_of(&overlay->settings[i], worker) &&
            file_has_changed(definition, part, &overlay->settings[i]))
            return true;
    return false;
}

static bool is_first_of_part(const struct overlay *overlay, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(overlay->settings[i].worker, overlay->settings[index].worker) == 0)
            return false;
    return true;
}

/* All fields of a part at once: some are valid only together. */
static void gather(const struct overlay *overlay, const char *worker,
                   const struct definition *definition, struct change *change)
{
    change->fields = (struct node){.kind = NODE_MAP};
    change->fields.keys = arena_zalloc(&change->arena, overlay->count, sizeof(struct node));
    change->fields.items = arena_zalloc(&change->arena, overlay->count, sizeof(struct node));
    bool drops_work = work_has_changed(overlay, definition, change->part, worker);
    for (size_t i = 0; i < overlay->count; i++) {
        const struct setting *setting = &overlay->settings[i];
        uint32_t at = change->fields.count;
        if (strcmp(setting->worker, worker) != 0 ||
            (is_work_of(setting, worker) ? drops_work
                                         : file_has_changed(definition, change->part, setting)) ||
            definition_node_decode(blob_bytes(setting->value), &change->arena,
                                   &change->fields.items[at], NULL))
            continue;
        change->fields.keys[at].kind = NODE_STRING;
        change->fields.keys[at].text = bytes_str(setting->field);
        change->fields.count++;
    }
}

static enum synk_status put(const struct expression_checker *checker, const struct change *change,
                            struct definition **io_definition, struct synk_error *error)
{
    struct definition *made = NULL;
    enum synk_status status;
    if (definition_is_tunable(&change->fields)) {
        status =
            definition_patch(*io_definition, change->part, &change->fields, checker, &made, error);
        if (!status)
            definition_adopt(*io_definition, change->part, made);
        return status;
    }
    status =
        definition_rebuild(*io_definition, change->part, &change->fields, checker, &made, error);
    if (!status) {
        definition_unref(*io_definition);
        *io_definition = made;
    }
    return status;
}

void overlay_carry(const struct overlay *overlay, const struct expression_checker *checker,
                   struct definition **io_definition, struct overlay *ret_kept,
                   struct buf *warnings)
{
    for (size_t i = 0; i < overlay->count; i++) {
        const char *worker = overlay->settings[i].worker;
        struct change change = {.part = DEFINITION_UNIT};
        if (!is_first_of_part(overlay, i))
            continue;
        if (worker[0]) {
            change.part = definition_find_worker(*io_definition, bytes_str(worker));
            if (change.part == UINT32_MAX || (*io_definition)->kind != UNIT_PROCESS)
                continue;
        }
        gather(overlay, worker, *io_definition, &change);
        struct synk_error error = {0};
        bool holds = !put(checker, &change, io_definition, &error);
        if (!holds)
            buf_printf(warnings, "'%s': what was set at run time no longer holds: %s\n",
                       (*io_definition)->id, error.text);
        for (uint32_t f = 0; holds && f < change.fields.count; f++) {
            const struct setting *setting = find(overlay, worker, change.fields.keys[f].text);
            overlay_set(ret_kept, worker, change.fields.keys[f].text, blob_bytes(setting->value),
                        blob_bytes(setting->was));
        }
        arena_fini(&change.arena);
    }
}
