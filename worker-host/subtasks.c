/*
 * synk_run_tasks: a list of sub-tasks inside one attempt, with tries of their own and a bounded
 * report.
 *
 * Invariants: a list is checked whole before anything of it runs; nothing waits but through
 * synk_task_sleep, so a cancel ends every wait; the report's parts have fixed shares whose sum,
 * with the counts and ids, is below what a result may have, in bytes, objects and depth, so that a
 * report can always be returned.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/value.h"
#include "proto/pack.h"
#include "worker-host/task.h"

enum {
    RESULTS_BYTES = 768 << 10,
    ERRORS_BYTES = 128 << 10,
    ERROR_BYTES = 512,
    /* The counts and their names take some 200 bytes; ids are within the shares above. */
    REPORT_BYTES = RESULTS_BYTES + ERRORS_BYTES + (32 << 10),
    /* An entry of errors takes 4 bytes or more, an id and a text: at most 65,536 objects. */
    RESULTS_ITEMS = LIMIT_MESSAGE_ITEMS - ERRORS_BYTES / 2 - 100,
    /* A result lies inside the report's map, and in that inside the results'; one level is left for
     * the map that a plugin may put the report into. */
    RESULT_DEPTH = LIMIT_VALUE_DEPTH - 3,
    ID_BYTES = LIMIT_ID_BYTES + 1,
};
_Static_assert(REPORT_BYTES + (96 << 10) <= LIMIT_VALUE_BYTES, "a report fits a result");
_Static_assert(RESULTS_ITEMS > 200000, "as many small results as errors leave room for");

/* Entries of a map that is not closed yet. */
struct part {
    struct buf entries;
    size_t count, left_out;
};

struct state {
    struct synk_task *task;
    const struct synk_subtasks *list;
    struct synk_bytes *ids; /* NULL: all are positions */
    struct arena texts;     /* of ids that are positions beside others that are not */
    struct synk_builder *result;
    struct synk_subtask_counts counts;
    uint64_t retries;
    struct part results, errors;
    size_t result_items;
    bool was_cancelled;
    struct buf first_error; /* the first sub-task's that failed */
};

struct numbered {
    struct synk_bytes id;
    size_t index;
};

static int compare_ids(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    size_t size = x->id.size < y->id.size ? x->id.size : y->id.size;
    int order = memcmp(x->id.data, y->id.data, size);
    if (order)
        return order;
    if (x->id.size != y->id.size)
        return x->id.size < y->id.size ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static enum synk_status check_unique(struct state *state)
{
    size_t count = state->list->count;
    struct numbered *sorted = mem_alloc(count * sizeof(*sorted));
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct numbered){state->ids[i], i};
    qsort(sorted, count, sizeof(*sorted), compare_ids);
    size_t at = 1;
    while (at < count && !bytes_equal(sorted[at - 1].id, sorted[at].id))
        at++;
    if (at < count)
        synk_task_fail(state->task, "sub-tasks %zu and %zu have the same id '%.*s'",
                       sorted[at - 1].index, sorted[at].index, (int)sorted[at].id.size,
                       (const char *)sorted[at].id.data);
    free(sorted);
    return at < count ? SYNK_INVALID : SYNK_OK;
}

/* The id as its owner has it; size 0 = the position. */
static struct synk_bytes own_id(const struct synk_subtasks *list, size_t index)
{
    if (list->items && list->items[index].id)
        return bytes_str(list->items[index].id);
    return list->id ? list->id(list->context, index) : bytes_of(NULL, 0);
}

static enum synk_status read_ids(struct state *state)
{
    const struct synk_subtasks *list = state->list;
    bool has_ids = list->id;
    for (size_t i = 0; list->items && i < list->count && !has_ids; i++)
        has_ids = list->items[i].id;
    if (!has_ids || !list->count)
        return SYNK_OK;
    state->ids = mem_zalloc(list->count, sizeof(*state->ids));
    for (size_t i = 0; i < list->count; i++) {
        struct synk_bytes id = own_id(list, i);
        bool is_empty = list->items && list->items[i].id && !id.size;
        if (is_empty || id.size > LIMIT_ID_BYTES || !check_utf8(id) ||
            (id.size && memchr(id.data, 0, id.size))) {
            synk_task_fail(state->task, "the id of sub-task %zu is not 1 to %d bytes of text", i,
                           LIMIT_ID_BYTES);
            return SYNK_INVALID;
        }
        if (!id.size) {
            char text[24];
            snprintf(text, sizeof(text), "%zu", i);
            id = bytes_str(arena_strdup(&state->texts, text));
        }
        state->ids[i] = id;
    }
    return check_unique(state);
}

static enum synk_status check_list(struct synk_task *task, const struct synk_subtasks *list)
{
    enum synk_status status = SYNK_INVALID;
    if (!list) {
        synk_task_fail(task, "no list of sub-tasks was given");
    } else if (list->count > SYNK_SUBTASKS_MAX) {
        synk_task_fail(task, "%zu sub-tasks; the limit is %d", list->count, SYNK_SUBTASKS_MAX);
        status = SYNK_TOO_LARGE;
    } else if (list->retry_delay_ms < 0 || list->delay_ms < 0) {
        synk_task_fail(task, "a delay between sub-tasks is negative");
    } else if (list->reserved[0] | list->reserved[1] | list->reserved[2] | list->reserved[3]) {
        synk_task_fail(task,
                       "struct synk_subtasks is not zeroed, or sets what this host (%s) "
                       "does not know",
                       SYNK_VERSION);
    } else {
        status = SYNK_OK;
        for (size_t i = 0; !list->run && i < list->count && !status; i++) {
            if (list->items && list->items[i].run)
                continue;
            synk_task_fail(task, "sub-task %zu has no function, and the list has none either", i);
            status = SYNK_INVALID;
        }
    }
    return status;
}

static const char *id_text(const struct state *state, size_t index, char text[ID_BYTES])
{
    if (state->ids)
        snprintf(text, ID_BYTES, "%.*s", (int)state->ids[index].size,
                 (const char *)state->ids[index].data);
    else
        snprintf(text, ID_BYTES, "%zu", index);
    return text;
}

/* Appends an entry, or counts it as left out. */
static bool part_add(struct part *part, const char *id, size_t value_size, size_t limit)
{
    /* What MessagePack puts before an id and before a text of at most ERROR_BYTES. */
    enum { HEADS_BYTES = 2 + 3 };
    if (part->entries.size + strlen(id) + value_size + HEADS_BYTES > limit) {
        part->left_out++;
        return false;
    }
    pack_cstr(&part->entries, id);
    part->count++;
    return true;
}

/* Judges what a try that returned 0 built; false, with the task's error set, fails the try. */
static bool keep_result(struct state *state, const char *id)
{
    struct synk_bytes value = synk_builder_bytes(state->result);
    const struct check_limits shape = {.depth = RESULT_DEPTH, .items = UINT32_MAX};
    struct synk_error error;
    if (!value.size)
        return true;
    if (value_check_built(state->result, &shape, &error)) {
        synk_task_fail(state->task, "its result cannot be kept: %s", error.text);
        return false;
    }
    size_t items;
    check_sequence(value, &items);
    items++; /* the id's */
    if (items > RESULTS_ITEMS - state->result_items) {
        state->results.left_out++;
    } else if (part_add(&state->results, id, value.size, RESULTS_BYTES)) {
        state->result_items += items;
        pack_encoded(&state->results.entries, value);
    }
    return true;
}

/* The error of the last try as one text, cut where a character ends; valid until the next. */
static const char *last_error(struct state *state, int outcome)
{
    struct buf *error = &state->task->error;
    if (!error->size)
        synk_task_fail(state->task, "it returned %d", outcome);
    if (error->size > ERROR_BYTES)
        error->size = check_utf8_prefix(bytes_of(error->data, ERROR_BYTES));
    buf_append(error, "", 1);
    error->size--;
    return (const char *)error->data;
}

/* Tries one sub-task until it succeeds, has no try left, or the attempt is to end. */
static int try_all(struct state *state, struct synk_subtask_try *now)
{
    const struct synk_subtasks *list = state->list;
    const struct synk_subtask *item = list->items ? &list->items[now->index] : NULL;
    synk_subtask_function run = item && item->run ? item->run : list->run;
    int outcome;
    for (now->attempt = 1;; now->attempt++) {
        synk_builder_clear(state->result);
        buf_clear(&state->task->error);
        outcome = run(state->task, now);
        if (!outcome && keep_result(state, now->id))
            return 0;
        outcome = outcome ? outcome : -1;
        if (now->attempt > list->max_retries || synk_task_sleep(state->task, list->retry_delay_ms))
            return outcome;
        state->retries++;
    }
}

static void run_one(struct state *state, size_t index)
{
    const struct synk_subtasks *list = state->list;
    struct synk_subtask_counts *counts = &state->counts;
    char id[ID_BYTES];
    struct synk_subtask_try now = {
        .id = id_text(state, index, id),
        .index = index,
        .data = list->items ? list->items[index].data : NULL,
        .context = list->context,
        .result = state->result,
    };
    int outcome = try_all(state, &now);
    const char *error = outcome ? last_error(state, outcome) : NULL;
    counts->not_run--;
    if (outcome) {
        counts->failed++;
        if (part_add(&state->errors, id, strlen(error), ERRORS_BYTES))
            pack_cstr(&state->errors.entries, error);
        if (counts->failed == 1)
            buf_printf(&state->first_error, "'%s' after %u tr%s: %s%c", id, now.attempt,
                       now.attempt == 1 ? "y" : "ies", error, '\0');
    } else {
        counts->successful++;
    }
    size_t done = counts->successful + counts->failed;
    if (!list->own_progress)
        synk_task_progress(state->task, (double)done / (double)counts->total);
    if (list->on_progress)
        list->on_progress(state->task,
                          &(struct synk_subtask_progress){.id = id,
                                                          .index = index,
                                                          .succeeded = !outcome,
                                                          .attempts = now.attempt,
                                                          .error = error,
                                                          .done = done,
                                                          .total = counts->total,
                                                          .successful = counts->successful,
                                                          .failed = counts->failed},
                          list->context);
}

static void run_list(struct state *state)
{
    const struct synk_subtasks *list = state->list;
    for (size_t i = 0; i < list->count; i++) {
        if (synk_task_sleep(state->task, i ? list->delay_ms : 0))
            break;
        run_one(state, i);
        if (list->stop_on_error && state->counts.failed)
            break;
    }
    state->was_cancelled =
        synk_task_cancelled(state->task) && state->counts.successful < state->counts.total;
}

static void build_part(struct synk_builder *out, const char *name, const struct part *part)
{
    synk_builder_string(out, name);
    synk_builder_map(out, part->count);
    /* The entries one behind the other are no value, but bytes are appended as they are. */
    if (part->count)
        synk_builder_encoded(out, buf_bytes(&part->entries));
}

static void build_report(const struct state *state, struct synk_builder *out)
{
    const struct synk_subtask_counts *counts = &state->counts;
    const struct {
        const char *name;
        uint64_t number;
    } numbers[] = {
        {"totalTasks", counts->total},
        {"successful", counts->successful},
        {"failed", counts->failed},
        {"notRun", counts->not_run},
        {"retries", state->retries},
        {"resultsLeftOut", state->results.left_out},
        {"errorsLeftOut", state->errors.left_out},
    };
    size_t number_count = sizeof(numbers) / sizeof(numbers[0]);
    synk_builder_map(out, number_count + 4);
    for (size_t i = 0; i < number_count; i++) {
        synk_builder_string(out, numbers[i].name);
        synk_builder_int(out, (int64_t)numbers[i].number);
    }
    synk_builder_string(out, "successPercentage");
    /* Cut, not rounded: 100 says that all succeeded. */
    uint64_t hundredths = counts->total ? counts->successful * 10000ull / counts->total : 10000;
    synk_builder_double(out, (double)hundredths / 100);
    synk_builder_string(out, "cancelled");
    synk_builder_bool(out, state->was_cancelled);
    build_part(out, "results", &state->results);
    build_part(out, "errors", &state->errors);
}

static enum synk_status conclude(struct state *state)
{
    const struct synk_subtask_counts *counts = &state->counts;
    buf_clear(&state->task->error);
    if (state->was_cancelled) {
        synk_task_fail(state->task, "ended early: %zu of %zu sub-tasks succeeded, %zu did not run",
                       counts->successful, counts->total, counts->not_run);
        return SYNK_CANCELLED;
    }
    if (!counts->failed)
        return SYNK_OK;
    synk_task_fail(state->task, "%zu of %zu sub-tasks failed, the first %s", counts->failed,
                   counts->total, (const char *)state->first_error.data);
    return SYNK_FAILED;
}

enum synk_status synk_run_tasks(struct synk_task *task, const struct synk_subtasks *list,
                                struct synk_builder *report, struct synk_subtask_counts *ret_counts)
{
    struct state state = {.task = task, .list = list};
    enum synk_status status = check_list(task, list);
    if (!status)
        status = read_ids(&state);
    if (!status) {
        state.counts.total = state.counts.not_run = list->count;
        state.result = synk_builder_new();
        run_list(&state);
        if (report)
            build_report(&state, report);
        status = conclude(&state);
        if (ret_counts)
            *ret_counts = state.counts;
    }
    free(state.ids);
    arena_fini(&state.texts);
    synk_builder_free(state.result);
    buf_fini(&state.results.entries);
    buf_fini(&state.errors.entries);
    buf_fini(&state.first_error);
    return status;
}
