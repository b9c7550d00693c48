/*
 * The plugin `ledger`. Its function import reads the files of an inbox: lines of `what,cents`, then
 * a line `end`, without which a file is still being sent. Each file is a sub-task with tries of its
 * own, so that one that is late or broken costs the others nothing.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <synk/worker.h>

struct inbox {
    const char *folder;
    const struct synk_value *files;
};

struct sums {
    long long lines, cents;
    bool is_complete;
};

/* Fails the try, and leaves a note in the inbox for whoever sends the file. */
static int reject(struct synk_task *task, const struct synk_subtask_try *now, const char *why)
{
    const struct inbox *inbox = now->context;
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/rejected.txt", inbox->folder);
    FILE *note = fopen(path, "ae");
    bool is_noted = note && fprintf(note, "%s: %s\n", now->id, why) > 0;
    if ((note && fclose(note) != 0) || !is_noted)
        return synk_task_fail(task, "%s, and %s: %s", why, path, strerror(errno));
    return synk_task_fail(task, "%s", why);
}

/* Returns why the file cannot be imported, or NULL. */
static const char *read_ledger(FILE *file, struct sums *sums)
{
    char line[256];
    while (fgets(line, sizeof(line), file)) {
        long long cents;
        char end;
        if (strcmp(line, "end\n") == 0)
            sums->is_complete = true;
        else if (sscanf(line, "%*[^,],%lld%c", &cents, &end) != 2 || end != '\n')
            return "a line is not `what,cents`";
        else
            sums->lines++, sums->cents += cents;
    }
    if (ferror(file))
        return strerror(errno);
    return sums->is_complete ? NULL : "not complete yet";
}

static int import_file(struct synk_task *task, const struct synk_subtask_try *now)
{
    const struct inbox *inbox = now->context;
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", inbox->folder, now->id) >= sizeof(path))
        return synk_task_fail(task, "the path is too long");
    FILE *file = fopen(path, "re");
    if (!file)
        return reject(task, now, strerror(errno));
    struct sums sums = {0};
    const char *why = read_ledger(file, &sums);
    fclose(file);
    if (why)
        return reject(task, now, why);
    synk_builder_map(now->result, 2);
    synk_builder_string(now->result, "lines");
    synk_builder_int(now->result, sums.lines);
    synk_builder_string(now->result, "cents");
    synk_builder_int(now->result, sums.cents);
    return 0;
}

static struct synk_bytes file_name(void *context, size_t index)
{
    const struct inbox *inbox = context;
    return synk_value_bytes(synk_value_at(inbox->files, index));
}

static void tell(struct synk_task *task, const struct synk_subtask_progress *progress,
                 void *context)
{
    (void)context;
    synk_task_log(task, "%zu of %zu: %-10s %s after %u %s%s%s", progress->done, progress->total,
                  progress->id, progress->succeeded ? "imported" : "failed", progress->attempts,
                  progress->attempts == 1 ? "try" : "tries", progress->error ? ": " : "",
                  progress->error ? progress->error : "");
}

static int import(struct synk_task *task)
{
    struct inbox inbox = {
        .folder = synk_task_string(task, synk_value_get(synk_task_params(task), "inbox"), NULL),
        .files = synk_value_get(synk_task_payload(task), "files"),
    };
    if (!inbox.folder || synk_value_kind(inbox.files) != SYNK_ARRAY)
        return synk_task_fail(task, "params.inbox, a path, and payload.files, a list, are needed");
    const struct synk_subtasks list = {
        .count = synk_value_count(inbox.files),
        .context = &inbox,
        .id = file_name,
        .run = import_file,
        .on_progress = tell,
        .max_retries = 8,
        .retry_delay_ms = 200,
    };
    enum synk_status status = synk_run_tasks(task, &list, synk_task_result(task), NULL);
    /* A failed file is told in the report, which only the result of a success keeps. */
    return status == SYNK_FAILED ? 0 : (int)status;
}

SYNK_PLUGIN("ledger", {"import", import})
