/*
 * A plugin as the first version of the SDK made it. It declares for itself what that version's
 * headers said, in full, and includes none of today's: as long as it loads and passes, plugins
 * built then still run. So nothing here is ever brought up to date.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct synk_bytes {
    const void *data;
    size_t size;
};
struct synk_value;
struct synk_builder;
struct synk_task;

typedef int (*synk_function)(struct synk_task *task);
struct synk_plugin_function {
    const char *name;
    synk_function run;
};
struct synk_plugin {
    unsigned abi;
    const char *name;
    const struct synk_plugin_function *functions;
};

int synk_value_kind(const struct synk_value *value);
size_t synk_value_count(const struct synk_value *value);
const struct synk_value *synk_value_get(const struct synk_value *map, const char *key);
const struct synk_value *synk_value_at(const struct synk_value *value, size_t index);
struct synk_bytes synk_value_key_at(const struct synk_value *map, size_t index);
bool synk_value_bool(const struct synk_value *value, bool otherwise);
int64_t synk_value_int(const struct synk_value *value, int64_t otherwise);
double synk_value_double(const struct synk_value *value, double otherwise);
struct synk_bytes synk_value_bytes(const struct synk_value *value);
struct synk_builder *synk_builder_new(void);
void synk_builder_free(struct synk_builder *builder);
void synk_builder_clear(struct synk_builder *builder);
void synk_builder_map(struct synk_builder *builder, size_t entries);
void synk_builder_array(struct synk_builder *builder, size_t elements);
void synk_builder_null(struct synk_builder *builder);
void synk_builder_bool(struct synk_builder *builder, bool value);
void synk_builder_int(struct synk_builder *builder, int64_t value);
void synk_builder_double(struct synk_builder *builder, double value);
void synk_builder_string(struct synk_builder *builder, const char *text);
void synk_builder_string_n(struct synk_builder *builder, const char *text, size_t size);
void synk_builder_encoded(struct synk_builder *builder, struct synk_bytes value);
struct synk_bytes synk_builder_bytes(const struct synk_builder *builder);
const struct synk_value *synk_task_payload(const struct synk_task *task);
const struct synk_value *synk_task_params(const struct synk_task *task);
const struct synk_value *synk_task_inputs(const struct synk_task *task);
const char *synk_task_run(const struct synk_task *task);
const char *synk_task_unit(const struct synk_task *task);
const char *synk_task_worker(const struct synk_task *task);
unsigned synk_task_attempt(const struct synk_task *task);
int64_t synk_task_time_left_ms(const struct synk_task *task);
bool synk_task_cancelled(const struct synk_task *task);
struct synk_builder *synk_task_result(struct synk_task *task);
int synk_task_fail(struct synk_task *task, const char *format, ...);
void synk_task_progress(struct synk_task *task, double fraction);
int synk_task_milestone(struct synk_task *task, const char *name,
                        const struct synk_builder *payload);
void synk_task_log(struct synk_task *task, const char *format, ...);

enum { KIND_MAP = 7, KIND_ARRAY = 6, KIND_NULL = 0 };

/* {list: [5, 2.5, true, "text"]} */
static int all(struct synk_task *task)
{
    const struct synk_value *payload = synk_task_payload(task);
    const struct synk_value *list = synk_value_get(payload, "list");
    struct synk_bytes key = synk_value_key_at(payload, 0);
    struct synk_bytes text = synk_value_bytes(synk_value_at(list, 3));
    if (synk_value_kind(payload) != KIND_MAP || synk_value_kind(list) != KIND_ARRAY ||
        synk_value_count(list) != 4 || key.size != 4 || memcmp(key.data, "list", 4) != 0 ||
        synk_value_int(synk_value_at(list, 0), 0) != 5 ||
        synk_value_double(synk_value_at(list, 1), 0) != 2.5 ||
        !synk_value_bool(synk_value_at(list, 2), false) || text.size != 4 ||
        synk_value_kind(synk_task_params(task)) != KIND_NULL ||
        synk_value_count(synk_task_inputs(task)) != 0 || synk_task_cancelled(task) ||
        synk_task_time_left_ms(task) <= 0)
        return synk_task_fail(task, "what attempt %u was given reads wrong",
                              synk_task_attempt(task));
    struct synk_builder *payload_out = synk_builder_new();
    synk_builder_bool(payload_out, false);
    synk_builder_clear(payload_out);
    synk_builder_null(payload_out);
    if (synk_task_milestone(task, "abi", payload_out) != 0)
        return -1;
    synk_task_progress(task, 0.5);
    synk_task_log(task, "%s %s %s", synk_task_unit(task), synk_task_run(task),
                  synk_task_worker(task));
    struct synk_builder *result = synk_task_result(task);
    synk_builder_map(result, 2);
    synk_builder_string(result, "abi");
    synk_builder_int(result, 1);
    synk_builder_string_n(result, "list", 4);
    synk_builder_array(result, 2);
    synk_builder_double(result, 0.5);
    synk_builder_encoded(result, synk_builder_bytes(payload_out));
    synk_builder_free(payload_out);
    return 0;
}

static const struct synk_plugin_function functions[] = {{"all", all}, {0, 0}};
extern __attribute__((visibility("default"))) const struct synk_plugin synk_plugin;
const struct synk_plugin synk_plugin = {1, "abi1", functions};
