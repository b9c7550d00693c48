/*
 * Starts the process `collect` and tells what goes on until the last stage, `publish`, has ended,
 * or one before it has failed. Hooks in the definition start the other stages; this program
 * watches.
 *
 *     cc -o pipeline pipeline.c $(pkg-config --cflags --libs synk)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <synk/client.h>

#define PATIENCE_MS 60000

struct watch {
    int64_t started_at_ms;
    bool is_over, has_succeeded;
};

static void tell(struct watch *watch, const struct synk_event_view *event, const char *what,
                 const char *detail)
{
    if (!watch->started_at_ms)
        watch->started_at_ms = event->at_ms;
    printf("%5lld ms  %-10s %-8s %s%s%s\n", (long long)(event->at_ms - watch->started_at_ms),
           event->run ? event->run : event->unit, event->worker ? event->worker : "", what,
           detail ? " " : "", detail ? detail : "");
}

/* A run has changed its status. The pipeline is over with its last stage, and with the first that
 * does not succeed. */
static void on_run(struct watch *watch, const struct synk_event_view *event)
{
    char *status = synk_value_string_dup(synk_value_get(event->payload, "status"));
    if (!status)
        return;
    tell(watch, event, status, event->by);
    bool has_succeeded = strcmp(status, "succeeded") == 0;
    if (has_succeeded ? strcmp(event->unit, "publish") == 0
                      : strcmp(status, "queued") != 0 && strcmp(status, "running") != 0) {
        watch->is_over = true;
        watch->has_succeeded = has_succeeded;
    }
    free(status);
}

static void on_event(void *context, const struct synk_event_view *event)
{
    struct watch *watch = context;
    switch (event->kind) {
    case SYNK_EVENT_RUN:
        on_run(watch, event);
        break;
    case SYNK_EVENT_START:
        tell(watch, event, "starts", NULL);
        break;
    case SYNK_EVENT_COMPLETE:
        tell(watch, event, "is done", NULL);
        break;
    case SYNK_EVENT_ERROR:
        tell(watch, event, "failed:", event->error);
        break;
    case SYNK_EVENT_MILESTONE:
        if (strncmp(event->milestone, "unit:", 5) != 0) /* those come by themselves */
            tell(watch, event, "milestone", event->milestone);
        break;
    default:
        break;
    }
}

int main(void)
{
    struct synk_error error = {0};
    const struct synk_client_options options = {.fail_fast = true, .timeout_ms = PATIENCE_MS};
    struct synk_client *client = NULL;
    struct watch watch = {0};
    /* Events from now on, so the subscription comes before the start. */
    if (synk_client_open(&options, &client, &error) != SYNK_OK ||
        synk_on_event(client, UINT64_MAX, NULL, on_event, &watch, NULL, &error) != SYNK_OK ||
        synk_run(client, "collect", (struct synk_bytes){0}, NULL, &error) != SYNK_OK) {
        fprintf(stderr, "pipeline: %s\n", error.text);
        synk_client_close(client);
        return 1;
    }
    while (!watch.is_over)
        if (synk_client_wait(client, PATIENCE_MS) == SYNK_TIMEOUT) {
            fprintf(stderr, "pipeline: nothing has happened for %d s\n", PATIENCE_MS / 1000);
            break;
        }
    synk_client_close(client);
    return watch.has_succeeded ? 0 : 1;
}
