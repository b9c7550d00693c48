/*
 * A subscriber for test_subscriptions.py: `subscription_driver FROM [hold]`. Subscribes from
 * behind event FROM ("end": from now on), says `ready` once it has read what there is, and then
 * heeds its standard input: a line with a number is the event to stop at. With `hold` it reads
 * nothing of the supervisor before that line. Prints what it saw as one line of JSON.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <synk/client.h>

struct tally {
    uint64_t last, events, first, missing, repeated, gaps, gap_first, gap_last;
};

static void see(void *context, const struct synk_value *event, uint64_t gap_first,
                uint64_t gap_last)
{
    struct tally *tally = context;
    if (!event) {
        tally->gaps++;
        tally->gap_first = gap_first;
        tally->gap_last = gap_last;
        tally->missing += gap_first != tally->last + 1;
        tally->last = gap_last;
        return;
    }
    uint64_t seq = (uint64_t)synk_value_int(synk_value_get(event, "seq"), 0);
    tally->repeated += seq <= tally->last;
    /* The first of all may be any; behind it, one comes after the other. */
    tally->missing += tally->last && seq != tally->last + 1;
    if (!tally->events++)
        tally->first = seq;
    tally->last = seq;
}

static uint64_t read_number(void)
{
    char line[64];
    if (!fgets(line, sizeof(line), stdin))
        exit(3);
    return strtoull(line, NULL, 10);
}

static uint64_t serve_until_told(struct synk_client *client)
{
    struct pollfd fds[] = {{.fd = synk_client_fd(client), .events = POLLIN},
                           {.fd = 0, .events = POLLIN}};
    while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
        if (fds[0].revents)
            synk_client_process(client);
        if (fds[1].revents)
            return read_number();
    }
    exit(3);
}

int main(int argc, char **argv)
{
    struct synk_client *client = NULL;
    struct synk_subscription *subscription = NULL;
    struct synk_error error = {0};
    struct tally tally = {0};
    if (argc < 2)
        return 64;
    bool is_from_end = strcmp(argv[1], "end") == 0;
    uint64_t from = is_from_end ? UINT64_MAX : strtoull(argv[1], NULL, 10);
    tally.last = is_from_end ? 0 : from;
    if (synk_client_open(NULL, &client, &error) ||
        synk_subscribe(client, from, NULL, see, &tally, &subscription, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    while (!synk_subscription_is_current(subscription))
        synk_client_wait(client, -1);
    printf("ready\n");
    fflush(stdout);
    bool is_held = argc > 2 && strcmp(argv[2], "hold") == 0;
    uint64_t until = is_held ? read_number() : serve_until_told(client);
    while (synk_subscription_position(subscription) < until)
        synk_client_wait(client, -1);
    synk_client_close(client);
    printf("{\"events\": %" PRIu64 ", \"first\": %" PRIu64 ", \"last\": %" PRIu64
           ", \"missing\": %" PRIu64 ", \"repeated\": %" PRIu64 ", \"gaps\": %" PRIu64
           ", \"gap\": [%" PRIu64 ", %" PRIu64 "]}\n",
           tally.events, tally.first, tally.last, tally.missing, tally.repeated, tally.gaps,
           tally.gap_first, tally.gap_last);
    return 0;
}
