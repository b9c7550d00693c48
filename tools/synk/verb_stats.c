/* synk stats: the supervisor's numbers. */
#include <stdio.h>

#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

/* Maps are spelled out with dots; their depth is that of a message. */
static void print_numbers(const char *prefix, const struct synk_value *map)
{
    for (size_t i = 0; i < synk_value_count(map); i++) {
        const struct synk_value *value = synk_value_at(map, i);
        struct synk_bytes key = synk_value_key_at(map, i);
        char name[256];
        snprintf(name, sizeof(name), "%s%s%.*s", prefix, prefix[0] ? "." : "", (int)key.size,
                 (const char *)key.data);
        if (synk_value_kind(value) == SYNK_MAP) {
            print_numbers(name, value);
            continue;
        }
        size_t taken = print_text(bytes_str(name), 0);
        printf("%*s", taken < 32 ? (int)(32 - taken) : 1, "");
        struct synk_bytes text = synk_value_bytes(value);
        if (text.data) {
            print_text(text, 0);
            putchar('\n');
        } else {
            print_json_line(value);
        }
    }
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct synk_client *client = NULL;
    struct synk_document *reply = NULL;
    struct buf body = {0};
    if (args_parse(cli, argc, argv, NULL, 0, 0) < 0)
        return EXIT_USAGE;
    pack_map(&body, 0);
    int code = cli_open(cli, &client);
    if (!code)
        code = cli_call(client, "stats", &body, &reply);
    buf_fini(&body);
    synk_client_close(client);
    if (!code && cli->json)
        print_json(synk_document_root(reply));
    else if (!code)
        print_numbers("", synk_document_root(reply));
    synk_document_free(reply);
    return code;
}

const struct verb verb_stats = {
    .name = "stats",
    .arguments = "",
    .summary = "Print the supervisor's figures: load, queues, memory, commits",
    .help = "",
    .run = run,
};
