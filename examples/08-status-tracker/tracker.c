/*
 * Tracks the status of units, and reacts: when `backup` fails, runs `mend`, resets `backup` and
 * runs it again; ends when `backup` is paused. Callbacks only take note; what has to be asked for
 * is asked for in the loop, since a callback must not block.
 *
 *     cc -o tracker tracker.c $(pkg-config --cflags --libs synk)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <synk/client.h>

#define PATIENCE_MS 60000
#define MENDS_MAX   3

struct tracker {
    bool has_failed, is_over;
    unsigned mends;
};

static bool is_text(const struct synk_value *value, const char *text)
{
    struct synk_bytes bytes = synk_value_bytes(value);
    return bytes.data && bytes.size == strlen(text) && memcmp(bytes.data, text, bytes.size) == 0;
}

/* An `updated` event: payload {reason, previous, current}. */
static void on_updated(void *context, const struct synk_event_view *event)
{
    struct tracker *tracker = context;
    if (event->kind == SYNK_EVENT_GAP || !event->unit)
        return;
    const struct synk_value *current = synk_value_get(event->payload, "current");
    char *reason = synk_value_string_dup(synk_value_get(event->payload, "reason"));
    char *before = synk_value_json_dup(synk_value_get(event->payload, "previous"));
    char *after = synk_value_json_dup(current);
    if (current)
        printf("tracker: %-6s  %s: %s -> %s\n", event->unit, reason ? reason : "?", before, after);
    else
        printf("tracker: %-6s  %s\n", event->unit, reason ? reason : "?");
    fflush(stdout);
    free(reason);
    free(before);
    free(after);
    if (strcmp(event->unit, "backup") != 0)
        return;
    tracker->has_failed = tracker->has_failed || is_text(current, "error");
    tracker->is_over = tracker->is_over || is_text(current, "paused");
}

/* Runs `mend` to its end and `backup` once more. Returns whether that could be done. */
static bool mend(struct synk_client *client, struct tracker *tracker, struct synk_error *error)
{
    char *run = NULL;
    struct synk_document *ended = NULL;
    tracker->has_failed = false;
    bool is_done = false;
    if (tracker->mends++ == MENDS_MAX) {
        snprintf(error->text, sizeof(error->text), "mended %d times in vain", MENDS_MAX);
        goto out;
    }
    if (synk_run(client, "mend", (struct synk_bytes){0}, &run, error) != SYNK_OK ||
        synk_wait(client, run, &ended, error) != SYNK_OK)
        goto out;
    if (!is_text(synk_value_get(synk_document_root(ended), "status"), "succeeded")) {
        snprintf(error->text, sizeof(error->text), "%s has failed, too", run);
        goto out;
    }
    is_done = synk_set_status(client, "backup", "idle", error) == SYNK_OK &&
              synk_run(client, "backup", (struct synk_bytes){0}, NULL, error) == SYNK_OK;
out:
    synk_document_free(ended);
    free(run);
    return is_done;
}

int main(void)
{
    struct synk_error error = {0};
    const struct synk_client_options options = {.fail_fast = true, .timeout_ms = PATIENCE_MS};
    const char *const types[] = {"updated"};
    const struct synk_filter filter = {.types = types, .type_count = 1};
    struct synk_client *client = NULL;
    struct tracker tracker = {0};
    /* From the first event on: what happened before this program started is told, too. */
    if (synk_client_open(&options, &client, &error) != SYNK_OK ||
        synk_on_event(client, 0, &filter, on_updated, &tracker, NULL, &error) != SYNK_OK)
        goto failed;
    while (!tracker.is_over) {
        if (tracker.has_failed && !mend(client, &tracker, &error))
            goto failed;
        if (!tracker.has_failed && !tracker.is_over)
            synk_client_wait(client, PATIENCE_MS);
    }
    synk_client_close(client);
    return 0;
failed:
    fprintf(stderr, "tracker: %s\n", error.text);
    synk_client_close(client);
    return 1;
}
