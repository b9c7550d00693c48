/* The arguments of a verb: options from anywhere on the line, `--` ends them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/definition.h"
#include "proto/limits.h"
#include "proto/nearest.h"
#include "tools/synk/cli.h"

/* Of a file with JSON: far more than the MiB of MessagePack that a value may be takes as text. */
enum { SOURCE_BYTES = 16 << 20 };

/* `hint` follows the word; "" = none. */
static int usage(const struct cli *cli, const char *problem, const char *word, const char *hint)
{
    fprintf(stderr, "synk %s: %s '%s'%s\nusage: synk %s %s\nTry 'synk %s --help'.\n",
            cli->verb->name, problem, word, hint, cli->verb->name, cli->verb->arguments,
            cli->verb->name);
    return -1;
}

const char args_everywhere[] =
    "  --dir DIR       the supervisor's directory (default: $SYNK_DIR, else the user's)\n"
    "  --connect ADDRESS,…\n"
    "                  a supervisor that listens at tcp://IP:PORT, and its standbys\n"
    "                  (default: $SYNK_CONNECT)\n"
    "  --key FILE      the keys to show it (default: $SYNK_KEY), as `synk keygen` makes them\n"
    "  --server-key KEY\n"
    "                  the public key that it has (default: $SYNK_SERVER_KEY)\n"
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
    char hint[LIMIT_ID_BYTES] = "";
    for (const struct option *option = options; option && option->name; option++)
        nearest_try(&nearest, bytes_str(option->name));
    for (; common->name; common++)
        nearest_try(&nearest, bytes_str(common->name));
    if (nearest.found.size)
        snprintf(hint, sizeof(hint), " (did you mean --%.*s?)", (int)nearest.found.size,
                 (const char *)nearest.found.data);
    return usage(cli, "unknown option", word, hint);
}

/* Handles argv[*index], an option; moves *index over its value. False after a message. */
static bool take_option(struct cli *cli, int argc, char **argv, int *index,
                        const struct option *options)
{
    const struct option common[] = {
        {"dir", OPTION_TEXT, &cli->directory},
        {"connect", OPTION_TEXT, &cli->connect},
        {"key", OPTION_TEXT, &cli->key},
        {"server-key", OPTION_TEXT, &cli->server_key},
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
        usage(cli, "unknown option", word, "");
        return false;
    }
    if (!option) {
        unknown_option(cli, word, size, options, common);
        return false;
    }
    char *value = equals ? equals + 1 : NULL;
    if (option->kind == OPTION_FLAG && value) {
        usage(cli, "no value belongs to", word, "");
        return false;
    }
    if (option->kind != OPTION_FLAG && !value) {
        if (*index + 1 >= argc) {
            usage(cli, "a value is missing after", word, "");
            return false;
        }
        value = argv[++*index];
    }
    if (!store(option, value)) {
        char problem[80];
        snprintf(problem, sizeof(problem), "--%s takes a number, 0 or more, not", option->name);
        usage(cli, problem, value, "");
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
        return usage(cli, "too many arguments:", argv[max], "");
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

/* All of a file, or of standard input for "-"; an exit status. */
static int read_source(const char *path, struct buf *out)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    if (!file)
        return fail(EXIT_USAGE, "cannot open %s: %s", path, strerror(errno));
    size_t got = 1;
    while (got && out->size <= SOURCE_BYTES) {
        buf_reserve(out, 65536);
        got = fread(out->data + out->size, 1, 65536, file);
        out->size += got;
    }
    bool has_failed = ferror(file);
    if (!is_stdin)
        fclose(file);
    if (has_failed)
        return fail(EXIT_USAGE, "cannot read %s: %s", is_stdin ? "standard input" : path,
                    strerror(errno));
    if (out->size > SOURCE_BYTES)
        return fail(EXIT_USAGE, "%s: more than %d MiB", is_stdin ? "standard input" : path,
                    SOURCE_BYTES >> 20);
    return EXIT_DONE;
}

/* What the argument of --params or --payload stands for, to `text`; *ret_source names it. */
static int read_json(const char *argument, struct buf *text, const char **ret_source)
{
    if (argument[0] == '@' || strcmp(argument, "-") == 0) {
        const char *path = argument + (argument[0] == '@');
        *ret_source = strcmp(path, "-") == 0 ? "standard input" : path;
        return read_source(path, text);
    }
    buf_append(text, argument, strlen(argument));
    *ret_source = NULL;
    return EXIT_DONE;
}

int args_payload(const char *json, struct buf *params)
{
    if (!json)
        return EXIT_DONE;
    struct buf text = {0};
    const char *source;
    struct synk_error error;
    int code = read_json(json, &text, &source);
    struct synk_builder *builder = synk_builder_new();
    if (!code && synk_builder_json(builder, text.size ? (const char *)text.data : "", text.size, &error) == SYNK_OK) {
        struct synk_bytes encoded = synk_builder_bytes(builder);
        buf_append(params, encoded.data, encoded.size);
    } else if (!code && source) {
        code = fail(EXIT_USAGE, "%s is not JSON: %s", source, error.text);
    } else if (!code) {
        code = fail(EXIT_USAGE,
                    "'%.60s' is not JSON: %s; @FILE reads a file, - standard input", json,
                    error.text);
    }
    synk_builder_free(builder);
    buf_fini(&text);
    return code;
}
