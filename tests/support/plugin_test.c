/* A plugin with every habit that a host must cope with. Built as test.so beside the test programs.
 * */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <synk/worker.h>
#include <time.h>
#include <unistd.h>

static int greet(struct synk_task *task)
{
    struct synk_bytes who = synk_value_bytes(synk_value_get(synk_task_payload(task), "who"));
    if (!who.size)
        return synk_task_fail(task, "payload.who is missing");
    struct synk_builder *result = synk_task_result(task);
    synk_builder_map(result, 1);
    synk_builder_string(result, "greeted");
    synk_builder_string_n(result, (const char *)who.data, who.size);
    synk_task_log(task, "greeted %.*s", (int)who.size, (const char *)who.data);
    printf("printed\n");
    synk_task_progress(task, 0.5);
    return synk_task_milestone(task, "greeting", result) == SYNK_OK ? 0 : -1;
}

static int exits(struct synk_task *task)
{
    (void)task;
    fprintf(stderr, "last words\n");
    exit(7);
}

/* Never looks whether it is to end. */
static int deaf(struct synk_task *task)
{
    while (synk_task_attempt(task))
        sleep(1);
    return 0;
}

static int large(struct synk_task *task)
{
    size_t size = 2 << 20;
    char *bytes = calloc(1, size);
    synk_builder_binary(synk_task_result(task), bytes, size);
    free(bytes);
    return 0;
}

/* Overwrites what it shares with its host. */
static int scribble(struct synk_task *task)
{
    char line[512];
    (void)task;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof(line), maps)) {
        unsigned long start, end;
        if ((strstr(line, ".page") || strstr(line, "memfd:rings")) &&
            sscanf(line, "%lx-%lx", &start, &end) == 2)
            memset((char *)start, 0x5a, end - start);
    }
    return 0;
}

SYNK_PLUGIN("test", {"greet", greet}, {"exits", exits}, {"deaf", deaf}, {"large", large},
            {"scribble", scribble})
