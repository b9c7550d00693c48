/* synk pool: tasks of a function or a command, beside any process, by the thousand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/nearest.h"
#include "tools/synk/hosts.h"
#include "tools/synk/output.h"
#include "tools/synk/pool_lines.h"
#include "tools/synk/run_view.h"
#include "tools/synk/verbs.h"
#include "tools/synk/watch.h"

/* What the line says of a submission, as far as it is text. */
struct words {
    const char *payload, *params, *each_line, *priority, *name, *delay;
    struct text_list uses, tags, exit_codes;
    int64_t count, retries, retry_delay_ms, timeout_ms, progress_timeout_ms, slots, limit;
    const char *host;
    bool is_json_lines, is_paused, waits;
    char **command; /* behind -- */
    int command_count;
};

static int await(const struct cli *cli, struct synk_client *client, const char *run, uint64_t from)
{
    struct watch_options options = {.run = run, .from = from, .is_quiet = cli->json};
    struct synk_document *ended = NULL;
    signals_catch();
    int code = watch_run(client, &options, &ended);
    if (!ended)
        return code;
    if (cli->json)
        print_json(synk_document_root(ended));
    else
        run_view_print_summary(synk_document_root(ended));
    synk_document_free(ended);
    return code;
}

/* A host that has it may come later: a submission waits for it. */
static int warn_of_missing(struct synk_client *client, const char *function)
{
    struct synk_document *hosts = NULL;
    struct buf reason = {0};
    int code = hosts_list(client, &hosts);
    const struct synk_value *root = synk_document_root(hosts);
    if (!code && synk_value_count(synk_value_get(root, "items")) && !hosts_offer(root, function)) {
        hosts_append_reason(root, function, &reason);
        fail(EXIT_DONE, "warning: no connected host offers '%s': %.*s", function, (int)reason.size,
             (const char *)reason.data);
    }
    buf_fini(&reason);
    synk_document_free(hosts);
    return code;
}

static int submit(const struct cli *cli, const struct synk_submission *submission, bool waits)
{
    struct synk_client *client = NULL;
    struct synk_error error;
    char *run = NULL;
    uint64_t head = 0;
    int code = cli_open(cli, &client);
    if (!code && waits && !cli->json)
        code = watch_head(client, &head);
    if (!code)
        code = warn_of_missing(client, submission->function);
    if (!code && synk_submit(client, submission, &run, &error) != SYNK_OK)
        code = fail_error(&error);
    if (!code && !cli->json)
        printf("%s: %zu %s\n", run, submission->count, submission->count == 1 ? "task" : "tasks");
    else if (!code && !waits)
        printf("{\"run\": \"%s\", \"count\": %zu}\n", run, submission->count);
    if (!code && waits) {
        fflush(stdout);
        code = await(cli, client, run, head);
    }
    free(run);
    synk_client_close(client);
    return code;
}

/* ---- reading the line ---- */

static bool read_integer(const char *text, long *ret_number)
{
    char *end;
    *ret_number = strtol(text, &end, 10);
    return *text && !*end && *ret_number >= -1000000 && *ret_number <= 1000000;
}

/* "db=2", or "db" for one. */
static int read_uses(const struct text_list *list, struct synk_use **ret_uses)
{
    *ret_uses = mem_zalloc(list->count + 1, sizeof(**ret_uses));
    for (size_t i = 0; i < list->count; i++) {
        char *equals = strchr(list->items[i], '=');
        long amount = 1;
        if (equals && (!read_integer(equals + 1, &amount) || amount < 1))
            return fail(EXIT_USAGE, "--uses takes LIMIT=AMOUNT, not '%s'", list->items[i]);
        if (equals)
            *equals = '\0';
        (*ret_uses)[i] = (struct synk_use){list->items[i], (unsigned)amount};
    }
    return EXIT_DONE;
}

static int read_exit_codes(const struct text_list *list, int **ret_codes)
{
    *ret_codes = mem_zalloc(list->count + 1, sizeof(**ret_codes));
    for (size_t i = 0; i < list->count; i++) {
        long code;
        if (!read_integer(list->items[i], &code) || code < 0 || code > 255)
            return fail(EXIT_USAGE, "--no-retry-exit takes numbers from 0 to 255, not '%s'",
                        list->items[i]);
        (*ret_codes)[i] = (int)code;
    }
    return EXIT_DONE;
}

/* {command, cwd, replace}: where this is called is where it runs. */
static int put_command(const struct words *words, struct buf *out)
{
    char *cwd = getcwd(NULL, 0);
    pack_map(out, 1 + (cwd != NULL) + (words->each_line != NULL));
    pack_key(out, "command");
    pack_array(out, (size_t)words->command_count);
    for (int i = 0; i < words->command_count; i++)
        pack_cstr(out, words->command[i]);
    if (cwd) {
        pack_key(out, "cwd");
        pack_cstr(out, cwd);
    }
    if (words->each_line) {
        pack_key(out, "replace");
        pack_cstr(out, "{}");
    }
    free(cwd);
    return EXIT_DONE;
}

static int check_function(const struct words *words, const char *function)
{
    if (words->command_count && function)
        return fail(EXIT_USAGE, "a function, or a command behind --, not both");
    if (!words->command_count && !function)
        return fail(EXIT_USAGE, "a function is missing, or a command behind --");
    if (words->command_count && words->payload)
        return fail(EXIT_USAGE, "--payload belongs to a function: the command is the payload");
    if (function && !strchr(function, '.') && !text_is(bytes_str(function), "exec"))
        return fail(EXIT_USAGE,
                    "'%s' is not a function: functions are PLUGIN.FUNCTION, such as sim.noop, or "
                    "exec ('synk ls hosts --json' lists them); a command goes behind --",
                    function);
    if (words->each_line && (words->count >= 0 || words->params))
        return fail(EXIT_USAGE, "--each-line gives the number of tasks and their params");
    if (words->count == 0 || words->retries > INT32_MAX || words->slots > UINT16_MAX)
        return fail(EXIT_USAGE, "--count takes a number from 1, --retries one below 2147483648, "
                                "--slots one below 65536");
    return EXIT_DONE;
}

static int submit_words(const struct cli *cli, const struct words *words, const char *function)
{
    struct buf payload = {0}, params = {0};
    struct pool_lines lines = {0};
    struct synk_use *uses = NULL;
    int *codes = NULL;
    long priority = 0;
    int64_t delay_ms = 0;
    int code = check_function(words, function);
    if (!code && words->priority && !read_integer(words->priority, &priority))
        code = fail(EXIT_USAGE, "--priority takes a number, not '%s'", words->priority);
    if (!code && words->delay &&
        definition_duration(bytes_str(words->delay), &delay_ms, NULL) != SYNK_OK)
        code = fail(EXIT_USAGE, "--delay takes a duration such as 90s or 10m, not '%s'",
                    words->delay);
    if (!code && words->command_count)
        code = put_command(words, &payload);
    else if (!code)
        code = args_payload(words->payload, &payload);
    if (!code)
        code = args_payload(words->params, &params);
    if (!code)
        code = read_uses(&words->uses, &uses);
    if (!code)
        code = read_exit_codes(&words->exit_codes, &codes);
    if (!code && words->each_line)
        code = pool_lines_read(&lines, words->each_line, words->is_json_lines);
    struct synk_submission submission = {
        .function = words->command_count ? "exec" : function,
        .payload = buf_bytes(&payload),
        .params = buf_bytes(&params),
        .items = lines.items,
        .count = words->each_line ? lines.count : words->count < 0 ? 1 : (size_t)words->count,
        .timeout_ms = words->timeout_ms,
        .max_retries = (unsigned)words->retries,
        .retry_delay_ms = words->retry_delay_ms,
        .priority = (int)priority,
        .delay_ms = delay_ms,
        .name = words->name,
        .paused = words->is_paused,
        .slots = (unsigned)words->slots,
        .progress_timeout_ms = words->progress_timeout_ms,
        .tags = words->tags.items,
        .tag_count = words->tags.count,
        .uses = uses,
        .use_count = words->uses.count,
        .no_retry_exit_codes = codes,
        .no_retry_exit_code_count = words->exit_codes.count,
    };
    if (!code)
        code = submit(cli, &submission, words->waits);
    buf_fini(&payload);
    buf_fini(&params);
    pool_lines_fini(&lines);
    free(uses);
    free(codes);
    return code;
}

/* ---- the others ---- */

static int ask(const struct cli *cli, const char *type, struct buf *body,
               struct synk_document **ret_reply)
{
    struct synk_client *client = NULL;
    int code = cli_open(cli, &client);
    if (!code)
        code = cli_call(client, type, body, ret_reply);
    buf_fini(body);
    synk_client_close(client);
    if (!code && cli->json)
        print_json(synk_document_root(*ret_reply));
    return code;
}

static int update(const struct cli *cli, const struct words *words, const char *run)
{
    struct buf body = {0}, payload = {0}, params = {0};
    struct synk_document *reply = NULL;
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {{"maxRetries", words->retries ? words->retries : -1},
                   {"retryDelayMs", words->retry_delay_ms ? words->retry_delay_ms : -1},
                   {"timeoutMs", words->timeout_ms},
                   {"slots", words->slots ? words->slots : -1}};
    uint32_t entries = 1;
    long priority = 0;
    if (words->priority && !read_integer(words->priority, &priority))
        return fail(EXIT_USAGE, "--priority takes a number, not '%s'", words->priority);
    int code = args_payload(words->payload, &payload);
    if (!code)
        code = args_payload(words->params, &params);
    for (size_t i = 0; i < 4; i++)
        entries += numbers[i].value >= 0;
    entries += (words->priority != NULL) + (words->name != NULL) + (payload.size > 0) +
               (params.size > 0);
    pack_map(&body, entries);
    pack_key(&body, "run");
    pack_cstr(&body, run);
    for (size_t i = 0; i < 4; i++) {
        if (numbers[i].value < 0)
            continue;
        pack_key(&body, numbers[i].key);
        pack_int(&body, numbers[i].value);
    }
    if (words->priority) {
        pack_key(&body, "priority");
        pack_int(&body, priority);
    }
    if (words->name) {
        pack_key(&body, "name");
        pack_cstr(&body, words->name);
    }
    if (payload.size) {
        pack_key(&body, "payload");
        pack_encoded(&body, buf_bytes(&payload));
    }
    if (params.size) {
        pack_key(&body, "params");
        pack_encoded(&body, buf_bytes(&params));
    }
    if (!code && entries == 1)
        code = fail(EXIT_USAGE, "nothing to change: see 'synk pool --help'");
    if (!code)
        code = ask(cli, "pool-update", &body, &reply);
    if (!code && !cli->json)
        printf("changed  %s\n", run);
    buf_fini(&body);
    buf_fini(&payload);
    buf_fini(&params);
    synk_document_free(reply);
    return code;
}

/* Pause or resume: submissions, or (count 0) the whole pool. */
static int hold(const struct cli *cli, const char *type, const char *done, char **runs, int count)
{
    struct buf body = {0};
    struct synk_document *reply = NULL;
    pack_map(&body, 1);
    pack_key(&body, count ? "runs" : "ids");
    pack_array(&body, count ? (size_t)count : 1);
    for (int i = 0; i < count; i++)
        pack_cstr(&body, runs[i]);
    if (!count)
        pack_cstr(&body, "pool");
    int code = ask(cli, type, &body, &reply);
    for (int i = 0; !code && !cli->json && i < count; i++)
        printf("%s  %s\n", done, runs[i]);
    if (!code && !cli->json && !count)
        printf("%s  pool\n", done);
    synk_document_free(reply);
    return code;
}

static int cancel(const struct cli *cli, char **runs, int count)
{
    int code = EXIT_DONE;
    for (int i = 0; i < count && !code; i++) {
        struct buf body = {0};
        struct synk_document *reply = NULL;
        pack_map(&body, 1);
        pack_key(&body, "run");
        pack_cstr(&body, runs[i]);
        code = ask(cli, "cancel", &body, &reply);
        if (!code && !cli->json)
            printf("cancelled  %s\n", runs[i]);
        synk_document_free(reply);
    }
    return code;
}

static int order(const struct cli *cli, int64_t limit)
{
    static const char *const headers[] = {"PRIORITY", "RUN", "NAME", "TASK", "FUNCTION", "HELD"};
    static const char *const columns[] = {"run", "name", "worker", "function", "held"};
    struct buf body = {0};
    struct synk_document *reply = NULL;
    struct table table;
    pack_map(&body, 1);
    pack_key(&body, "limit");
    pack_int(&body, limit < 0 ? 100 : limit);
    int code = ask(cli, "pool-order", &body, &reply);
    if (code || cli->json) {
        synk_document_free(reply);
        return code;
    }
    const struct synk_value *items = synk_value_get(synk_document_root(reply), "items");
    table_init(&table, headers, 6);
    for (size_t i = 0; i < synk_value_count(items); i++) {
        const struct synk_value *item = synk_value_at(items, i);
        table_addf(&table, STYLE_NONE, "%lld",
                   (long long)synk_value_int(synk_value_get(item, "priority"), 0));
        for (size_t c = 0; c < 5; c++)
            table_add(&table, text_of(item, columns[c]), STYLE_NONE);
    }
    table_print(&table);
    synk_document_free(reply);
    return EXIT_DONE;
}

static int resize(const struct cli *cli, const char *host, const char *text)
{
    struct buf body = {0};
    struct synk_document *reply = NULL;
    long slots;
    if (!read_integer(text, &slots) || slots < 1)
        return fail(EXIT_USAGE, "resize takes a number of slots from 1, not '%s'", text);
    pack_map(&body, 1 + (host != NULL));
    pack_key(&body, "slots");
    pack_int(&body, slots);
    if (host) {
        pack_key(&body, "host");
        pack_cstr(&body, host);
    }
    int code = ask(cli, "resize", &body, &reply);
    if (!code && !cli->json) {
        print_text(text_of(synk_document_root(reply), "host"), 0);
        printf(": %ld %s\n", slots, slots == 1 ? "slot" : "slots");
    }
    synk_document_free(reply);
    return code;
}

/* ---- the verb ---- */

static const struct action {
    const char *name;
    int min, max; /* arguments behind it */
} actions[] = {
    {"submit", 0, 1}, {"add", 1, 2},         {"update", 1, 1},      {"pause", 1, 10000},
    {"resume", 1, 10000}, {"cancel", 1, 10000}, {"order", 0, 0},       {"resize", 1, 1},
    {"start", 0, 0},  {"stop", 0, 0},        {NULL, 0, 0},
};

static const struct action *find_action(const char *name)
{
    struct nearest nearest = nearest_of(bytes_str(name));
    for (const struct action *action = actions; action->name; action++) {
        if (strcmp(action->name, name) == 0)
            return action;
        nearest_try(&nearest, bytes_str(action->name));
    }
    if (nearest.found.size)
        fail(EXIT_USAGE, "there is no 'pool %s' (did you mean '%.*s'?): see 'synk pool --help'",
             name, (int)nearest.found.size, (const char *)nearest.found.data);
    else
        fail(EXIT_USAGE, "there is no 'pool %s': see 'synk pool --help'", name);
    return NULL;
}

/* Too few or too many: a command without its -- looks like too many. */
static int fail_count(const struct words *words, const struct action *action, char **argv,
                      int count)
{
    bool is_add = strcmp(action->name, "add") == 0;
    if (count < action->min)
        return fail(EXIT_USAGE, "'pool %s' needs %s: see 'synk pool --help'", action->name,
                    is_add                                ? "a NAME"
                    : strcmp(action->name, "resize") == 0 ? "a number of slots"
                                                          : "a RUN");
    if ((is_add || strcmp(action->name, "submit") == 0) && !words->command_count)
        return fail(EXIT_USAGE, "a command goes behind --: synk pool %s%s%s -- %s …", action->name,
                    is_add ? " " : "", is_add ? argv[0] : "", argv[is_add]);
    return fail(EXIT_USAGE, "'pool %s' takes no argument '%s': see 'synk pool --help'",
                action->name, argv[action->max]);
}

static int act(const struct cli *cli, struct words *words, char **argv, int count)
{
    const struct action *action = find_action(argv[0]);
    if (!action)
        return EXIT_USAGE;
    argv++;
    count--;
    if (count < action->min || count > action->max)
        return fail_count(words, action, argv, count);
    if (strcmp(action->name, "submit") == 0)
        return submit_words(cli, words, count ? argv[0] : NULL);
    if (strcmp(action->name, "add") == 0) {
        words->name = argv[0];
        return submit_words(cli, words, count > 1 ? argv[1] : NULL);
    }
    if (words->command_count)
        return fail(EXIT_USAGE, "a command behind -- belongs to submit and add");
    if (strcmp(action->name, "update") == 0)
        return update(cli, words, argv[0]);
    if (strcmp(action->name, "pause") == 0 || strcmp(action->name, "stop") == 0)
        return hold(cli, "pause", "paused", argv, count);
    if (strcmp(action->name, "resume") == 0 || strcmp(action->name, "start") == 0)
        return hold(cli, "resume", "resumed", argv, count);
    if (strcmp(action->name, "cancel") == 0)
        return cancel(cli, argv, count);
    if (strcmp(action->name, "order") == 0)
        return order(cli, words->limit);
    return resize(cli, words->host, argv[0]);
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct words words = {.count = -1, .timeout_ms = -1, .limit = -1};
    const struct option options[] = {
        {"payload", OPTION_TEXT, &words.payload},
        {"params", OPTION_TEXT, &words.params},
        {"each-line", OPTION_TEXT, &words.each_line},
        {"json-lines", OPTION_FLAG, &words.is_json_lines},
        {"name", OPTION_TEXT, &words.name},
        {"priority", OPTION_TEXT, &words.priority},
        {"delay", OPTION_TEXT, &words.delay},
        {"paused", OPTION_FLAG, &words.is_paused},
        {"uses", OPTION_LIST, &words.uses},
        {"requires", OPTION_LIST, &words.tags},
        {"slots", OPTION_NUMBER, &words.slots},
        {"count", OPTION_NUMBER, &words.count},
        {"retries", OPTION_NUMBER, &words.retries},
        {"retry-delay", OPTION_NUMBER, &words.retry_delay_ms},
        {"no-retry-exit", OPTION_LIST, &words.exit_codes},
        {"timeout", OPTION_NUMBER, &words.timeout_ms},
        {"progress-timeout", OPTION_NUMBER, &words.progress_timeout_ms},
        {"host", OPTION_TEXT, &words.host},
        {"limit", OPTION_NUMBER, &words.limit},
        {"wait", OPTION_FLAG, &words.waits},
        {NULL, OPTION_FLAG, NULL},
    };
    int own = 0;
    while (own < argc && strcmp(argv[own], "--") != 0)
        own++;
    if (own < argc) {
        words.command = argv + own + 1;
        words.command_count = argc - own - 1;
    }
    int count = args_parse(cli, own, argv, options, 1, 10001);
    int code = count < 0 ? EXIT_USAGE : act(cli, &words, argv, count);
    free(words.uses.items);
    free(words.tags.items);
    free(words.exit_codes.items);
    return code;
}

const struct verb verb_pool = {
    .name = "pool",
    .arguments = "submit [FUNCTION] [OPTION…] [-- COMMAND…] | add NAME [FUNCTION] … |\n"
                 "       update RUN … | pause|resume|cancel RUN… | order | resize N | start | stop",
    .summary = "Tasks of a function or a command, one or by the thousand",
    .help =
        "  submit          submit tasks of FUNCTION (plugin.function), or of a command behind --\n"
        "  add NAME …      the same, called NAME, which no other unfinished submission is\n"
        "  update RUN      change what has not begun: --payload --params --priority --name\n"
        "                  --retries --retry-delay --timeout --slots\n"
        "  pause RUN…      hold submissions back, and those behind them; resume lets them go on\n"
        "  cancel RUN…     cancel what has not ended of them\n"
        "  order           in which order the tasks that wait would go: a dry run; --limit N (100)\n"
        "  resize N        so many slots from now on, of --host H (local); running tasks end first\n"
        "  stop, start     pause and resume the whole pool\n"
        "RUN is pool#N, or a submission's name. Of submit and add:\n"
        "  --each-line FILE  a task for each line that is not empty; - is standard input. The line\n"
        "                    is the task's params, and takes the place of {} in the command\n"
        "  --json-lines      the lines are JSON values\n"
        "  --count N         so many tasks (1)\n"
        "  --payload JSON    their payload; --params JSON their params; @FILE reads either from a\n"
        "                    file, - from standard input\n"
        "  --name NAME       as add does it; --paused held back until it is resumed\n"
        "  --priority N      higher first (0); --delay T starts so much later, such as 10m\n"
        "  --uses LIMIT=N    of a named limit; --slots N of a host; --requires TAG of it\n"
        "  --retries N       tries after the first (0); --retry-delay MS before each of them\n"
        "  --no-retry-exit CODES  exit statuses that end a task at once\n"
        "  --timeout MS      of each try; 0 = none; --progress-timeout MS without progress\n"
        "  --wait            wait until all have ended\n",
    .run = run,
};
