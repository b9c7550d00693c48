/*
 * Follows one run through the event log, from the log's first event to the run's end: `follow RUN`.
 * Checks what the log promises, whatever happens to the supervisor meanwhile: numbers without a
 * gap, and one outcome of every step. A start is told at least once: a supervisor that takes over
 * an attempt tells it again where it cannot know. The client connects again by itself, so nothing
 * here deals with that.
 *
 *     cc -o follow follow.c $(pkg-config --cflags --libs synk)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <synk/client.h>

#define PATIENCE_MS 60000
#define STEPS_MAX   64

struct step {
    char name[32];
    unsigned starts, ends; /* how often each was told */
};

struct follow {
    const char *run;
    uint64_t last; /* number of the latest event */
    struct step steps[STEPS_MAX];
    size_t count;
    bool is_over, has_succeeded, is_broken;
};

static struct step *find_step(struct follow *follow, const char *name)
{
    for (size_t i = 0; i < follow->count; i++)
        if (strcmp(follow->steps[i].name, name) == 0)
            return &follow->steps[i];
    if (follow->count == STEPS_MAX)
        abort();
    struct step *step = &follow->steps[follow->count++];
    snprintf(step->name, sizeof(step->name), "%s", name);
    return step;
}

static void on_step(struct follow *follow, const struct synk_event_view *event)
{
    struct step *step = find_step(follow, event->worker);
    bool is_start = event->kind == SYNK_EVENT_START;
    unsigned told = is_start ? step->starts++ : step->ends++;
    printf("event %3" PRIu64 "  %s %s%s%s\n", event->seq, event->worker,
           is_start ? "begins" : "ends", event->error ? ": " : "",
           event->error ? event->error : (told ? " (told again)" : ""));
    if (!is_start && told)
        follow->is_broken = true;
}

static void on_run(struct follow *follow, const struct synk_event_view *event)
{
    char *status = synk_value_string_dup(synk_value_get(event->payload, "status"));
    if (!status)
        return;
    follow->has_succeeded = strcmp(status, "succeeded") == 0;
    follow->is_over = strcmp(status, "queued") != 0 && strcmp(status, "running") != 0;
    free(status);
}

static void on_event(void *context, const struct synk_event_view *event)
{
    struct follow *follow = context;
    bool is_gap = event->kind == SYNK_EVENT_GAP;
    if (is_gap || event->seq != follow->last + 1) {
        printf("a gap behind event %" PRIu64 "\n", follow->last);
        follow->is_broken = true;
    }
    follow->last = is_gap ? event->gap_last : event->seq;
    if (event->kind == SYNK_EVENT_HOST)
        printf("event %3" PRIu64 "  the worker host is there\n", event->seq);
    if (!event->run || strcmp(event->run, follow->run) != 0)
        return;
    if (event->kind == SYNK_EVENT_RUN)
        on_run(follow, event);
    else if (event->worker && (event->kind == SYNK_EVENT_START || event->kind == SYNK_EVENT_ERROR ||
                               event->kind == SYNK_EVENT_COMPLETE))
        on_step(follow, event);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct synk_error error = {0};
    struct synk_client *client = NULL;
    struct follow follow = {.run = argc == 2 ? argv[1] : ""};
    if (argc != 2) {
        fputs("usage: follow RUN\n", stderr);
        return 2;
    }
    if (synk_client_open(NULL, &client, &error) != SYNK_OK ||
        synk_on_event(client, 0, NULL, on_event, &follow, NULL, &error) != SYNK_OK) {
        fprintf(stderr, "follow: %s\n", error.text);
        synk_client_close(client);
        return 1;
    }
    while (!follow.is_over && synk_client_wait(client, PATIENCE_MS) == SYNK_OK)
        ;
    synk_client_close(client);
    if (!follow.is_over) {
        fprintf(stderr, "follow: %s has not ended\n", follow.run);
        return 1;
    }
    printf("%s %s: %zu steps, %s; events 1 to %" PRIu64 " %s\n", follow.run,
           follow.has_succeeded ? "succeeded" : "failed", follow.count,
           follow.is_broken ? "something is wrong" : "each with one end", follow.last,
           follow.is_broken ? "" : "without a gap");
    return follow.has_succeeded && !follow.is_broken ? 0 : 1;
}
