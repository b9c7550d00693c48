/* The arguments of a verb: options from anywhere on the line, `--` ends them. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/definition.h"
#include "proto/limits.h"
#include "proto/nearest.h"
#include "tools/synk/cli.h"

static int usage(const struct cli *cli, const char *problem, const char *word)
{
    fprintf(stderr, "synk %s: %s '%s'\nusage: synk %s %s\nTry 'synk %s --help'.\n", cli->verb->name,
            problem, word, cli->verb->name, cli->verb->arguments, cli->verb->name);
    return -1;
}

const char args_everywhere[] =
    "  --dir DIR       the supervisor's directory (default: $SYNK_DIR, else the user's)\n"
    "  --connect ADDRESS,…\n"
    "                  a supervisor that listens at tcp://IP:PORT, and its standbys\n"
    "                  (default: $SYNK_CONNECT)\n"
    "  --json          print JSON\n";

static void print_help(const struct verb *verb)
{
    printf("usage: synk %s %s\n\n%s.\n", verb->name, verb->arguments, verb->summary);
    if (verb->help[0])
        printf("\n%s", verb->help);
    printf("\nEverywhere:\n%s", args_everywhere);
}

static void add_items(struct text_list *list, char *text)
{
    for (char *item = text; item;) {
        char *comma = strchr(item, ',');
        if (comma)
            *comma = '\0';
        list->items = mem_grow(list->items, &list->capacity, list->count + 1, sizeof(*list->items));
        list->items[list->count++] = item;
        item = comma ? comma + 1 : NULL;
    }
}

static bool parse_number(const char *text, int64_t *ret_number)
{
    char *end;
    long long number = strtoll(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || number == INT64_MAX)
        return false;
    *ret_number = number;
    return true;
}

static bool store(const struct option *option, char *value)
{
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)option->target = true;
        return true;
    case OPTION_TEXT:
        *(const char **)option->target = value;
        return true;
    case OPTION_NUMBER:
        return parse_number(value, option->target);
    case OPTION_LIST:
        add_items(option->target, value);
        return true;
    }
    return false;
}

/* An option's table row, or NULL. `name` may go on with "=VALUE". */
static const struct option *find(const struct option *options, const char *name, size_t size)
{
    for (; options && options->name; options++)
        if (strlen(options->name) == size && memcmp(options->name, name, size) == 0)
            return options;
    return NULL;
}

static int unknown_option(const struct cli *cli, const char *word, size_t size,
                          const struct option *options, const struct option *common)
{
    struct nearest nearest = nearest_of(bytes_of(word + 2, size));
    char problem[LIMIT_ID_BYTES];
    for (const struct option *option = options; option && option->name; option++)
        nearest_try(&nearest, bytes_str(option->name));
    for (; common->name; common++)
        nearest_try(&nearest, bytes_str(common->name));
    snprintf(problem, sizeof(problem), "unknown option%s%.*s%s",
             nearest.found.size ? " (did you mean --" : "", (int)nearest.found.size,
             nearest.found.size ? (const char *)nearest.found.data : "",
             nearest.found.size ? "?)" : "");
    return usage(cli, problem, word);
}

/* Handles argv[*index], an option; moves *index over its value. False after a message. */
static bool take_option(struct cli *cli, int argc, char **argv, int *index,
                        const struct option *options)
{
    const struct option common[] = {
        {"dir", OPTION_TEXT, &cli->directory},
        {"connect", OPTION_TEXT, &cli->connect},
        {"json", OPTION_FLAG, &cli->json},
        {NULL, OPTION_FLAG, NULL},
    };
    char *word = argv[*index], *name = word + 2, *equals = strchr(name, '=');
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
        print_help(cli->verb);
        exit(EXIT_DONE);
    }
    const struct option *option = find(options, name, size);
    if (!option)
        option = find(common, name, size);
    if (word[1] != '-') {
        usage(cli, "unknown option", word);
        return false;
    }
    if (!option) {
        unknown_option(cli, word, size, options, common);
        return false;
    }
    char *value = equals ? equals + 1 : NULL;
    if (option->kind == OPTION_FLAG && value) {
        usage(cli, "no value belongs to", word);
        return false;
    }
    if (option->kind != OPTION_FLAG && !value) {
        if (*index + 1 >= argc) {
            usage(cli, "a value is missing after", word);
            return false;
        }
        value = argv[++*index];
    }
    if (!store(option, value)) {
        char problem[80];
        snprintf(problem, sizeof(problem), "--%s takes a number, 0 or more, not", option->name);
        usage(cli, problem, value);
        return false;
    }
    return true;
}

int args_parse(struct cli *cli, int argc, char **argv, const struct option *options, int min,
               int max)
{
    int count = 0;
    bool has_options = true;
    for (int i = 0; i < argc; i++) {
        if (has_options && strcmp(argv[i], "--") == 0)
            has_options = false;
        else if (has_options && argv[i][0] == '-' && argv[i][1]) {
            if (!take_option(cli, argc, argv, &i, options))
                return -1;
        } else
            argv[count++] = argv[i];
    }
    if (count > max)
        return usage(cli, "too many arguments:", argv[max]);
    if (count < min) {
        fprintf(stderr,
                "synk %s: an argument is missing\nusage: synk %s %s\nTry 'synk %s --help'.\n",
                cli->verb->name, cli->verb->name, cli->verb->arguments, cli->verb->name);
        return -1;
    }
    return count;
}

bool args_time(const char *text, int64_t *ret_ms)
{
    static const char *const formats[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S",
                                          "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"};
    if (parse_number(text, ret_ms))
        return true;
    int64_t ago_ms;
    if (definition_duration(bytes_str(text), &ago_ms, NULL) == SYNK_OK) {
        *ret_ms = (int64_t)time(NULL) * 1000 - ago_ms;
        return true;
    }
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct tm parts = {.tm_isdst = -1};
        const char *end = strptime(text, formats[i], &parts);
        if (end && !*end) {
            *ret_ms = (int64_t)mktime(&parts) * 1000;
            return true;
        }
    }
    return false;
}

int args_duration(const char *name, const char *text, int64_t *ret_ms)
{
    if (!text || definition_duration(bytes_str(text), ret_ms, NULL) == SYNK_OK)
        return EXIT_DONE;
    return fail(EXIT_USAGE, "--%s takes a time such as 500ms, 90s, 10m or 2h, not '%.60s'", name,
                text);
}

int args_payload(const char *json, struct buf *params)
{
    if (!json)
        return EXIT_DONE;
    struct synk_builder *builder = synk_builder_new();
    struct synk_error error;
    int code = EXIT_DONE;
    if (synk_builder_json(builder, json, strlen(json), &error) == SYNK_OK) {
        struct synk_bytes encoded = synk_builder_bytes(builder);
        buf_append(params, encoded.data, encoded.size);
    } else {
        code = fail(EXIT_USAGE, "'%.60s' is not JSON: %s", json, error.text);
    }
    synk_builder_free(builder);
    return code;
}
