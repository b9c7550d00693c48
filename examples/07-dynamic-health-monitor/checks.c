/*
 * Checks services through the pool, round by round: `checks FILE`. The file has a line `NAME
 * HOST:PORT` for each service and is read anew for every round, so that what is added to it is
 * checked, too. Ends when the line `end` is in the file and all services are up.
 *
 *     cc -o checks checks.c $(pkg-config --cflags --libs synk)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <synk/client.h>

#define SERVICES_MAX 256
#define ROUNDS_MAX   50
#define PAUSE_MS     300

struct round {
    struct synk_builder *params[SERVICES_MAX];
    struct synk_bytes items[SERVICES_MAX]; /* their bytes */
    size_t count, down;
    bool is_last;
};

static void add_service(struct round *round, const char *name, const char *host, int port)
{
    struct synk_builder *params = synk_builder_new();
    synk_builder_begin_map(params);
    synk_builder_string(params, "name");
    synk_builder_string(params, name);
    synk_builder_string(params, "host");
    synk_builder_string(params, host);
    synk_builder_string(params, "port");
    synk_builder_int(params, port);
    synk_builder_end(params);
    round->params[round->count] = params;
    round->items[round->count++] = synk_builder_bytes(params);
}

static bool read_services(const char *path, struct round *round)
{
    char line[256], name[64], host[128];
    int port;
    FILE *file = fopen(path, "re");
    if (!file) {
        perror(path);
        return false;
    }
    while (fgets(line, sizeof(line), file))
        if (strcmp(line, "end\n") == 0)
            round->is_last = true;
        else if (round->count < SERVICES_MAX &&
                 sscanf(line, "%63s %127[^:]:%d", name, host, &port) == 3)
            add_service(round, name, host, port);
    bool is_read = !ferror(file);
    fclose(file);
    return is_read;
}

/* Prints the tasks of the round that failed, and counts them. */
static enum synk_status count_down(struct synk_client *client, const char *run, struct round *round,
                                   struct synk_error *error)
{
    struct synk_list *list = NULL;
    const struct synk_value *task = NULL;
    enum synk_status status = synk_list_tasks(client, run, false, &list, error);
    while (status == SYNK_OK && (status = synk_list_next(list, &task, error)) == SYNK_OK && task) {
        char *why = synk_value_string_dup(synk_value_get(task, "error"));
        if (why) {
            round->down++;
            printf("  %s\n", why);
        }
        free(why);
    }
    synk_list_close(list);
    return status;
}

static enum synk_status check(struct synk_client *client, struct round *round,
                              struct synk_error *error)
{
    const struct synk_submission submission = {
        .function = "health.http",
        .items = round->items,
        .count = round->count,
        .timeout_ms = 2000,
    };
    char *run = NULL;
    enum synk_status status = synk_submit(client, &submission, &run, error);
    if (status == SYNK_OK)
        status = synk_wait(client, run, NULL, error);
    if (status == SYNK_OK)
        status = count_down(client, run, round, error);
    if (status == SYNK_OK)
        printf("%s: %zu services checked, %zu down\n", run, round->count, round->down);
    fflush(stdout);
    free(run);
    return status;
}

int main(int argc, char **argv)
{
    struct synk_error error = {0};
    struct synk_client *client = NULL;
    const struct synk_client_options options = {.fail_fast = true, .timeout_ms = 60000};
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000};
    bool is_over = false, has_failed = false;
    if (argc != 2) {
        fputs("usage: checks FILE\n", stderr);
        return 2;
    }
    if (synk_client_open(&options, &client, &error) != SYNK_OK) {
        fprintf(stderr, "checks: %s\n", error.text);
        return 1;
    }
    for (int i = 0; i < ROUNDS_MAX && !is_over && !has_failed; i++) {
        struct round round = {0};
        if (i)
            nanosleep(&pause, NULL);
        if (!read_services(argv[1], &round)) {
            has_failed = true;
        } else if (check(client, &round, &error) != SYNK_OK) {
            fprintf(stderr, "checks: %s\n", error.text);
            has_failed = true;
        }
        is_over = round.is_last && !round.down;
        for (size_t at = 0; at < round.count; at++)
            synk_builder_free(round.params[at]);
    }
    synk_client_close(client);
    return is_over && !has_failed ? 0 : 1;
}
