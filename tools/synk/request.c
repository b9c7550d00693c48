/* Requests of the verbs, and what becomes of failures: one line on standard error, one exit status.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/definition_file.h"
#include "proto/zone.h"
#include "tools/synk/cli.h"
#include "tools/synk/output.h"

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    (void)number;
    signals++;
}

void signals_catch(void)
{
    /* Without SA_RESTART: whoever waits comes back and asks. */
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

int signals_count(void)
{
    return signals;
}

int fail(int code, const char *format, ...)
{
    va_list arguments;
    fflush(stdout);
    va_start(arguments, format);
    fputs("synk: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return code;
}

int exit_of(enum synk_status status)
{
    switch (status) {
    case SYNK_OK:
        return EXIT_DONE;
    case SYNK_FAILED:
    case SYNK_CANCELLED:
        return EXIT_WORK_FAILED;
    case SYNK_INVALID:
    case SYNK_TOO_LARGE:
        return EXIT_USAGE;
    case SYNK_UNAVAILABLE:
        return EXIT_NO_SUPERVISOR;
    default:
        return EXIT_REFUSED;
    }
}

int fail_error(const struct synk_error *error)
{
    return fail(exit_of(error->status), "%s",
                error->text[0] ? error->text : synk_status_name(error->status));
}

int exit_of_run(struct synk_bytes status)
{
    /* A run that its overlap rule skipped is no failure of the work. */
    return text_is(status, "succeeded") || text_is(status, "skipped") ? EXIT_DONE
                                                                      : EXIT_WORK_FAILED;
}

static void tell_notice(void *context, const char *text)
{
    (void)context;
    fflush(stdout);
    fprintf(stderr, "synk: the supervisor cannot save its state, and answers once it can: %s\n",
            text);
}

bool cli_is_remote(const struct cli *cli)
{
    const char *environment = getenv("SYNK_CONNECT");
    return cli->connect || (!cli->directory && environment && environment[0]);
}

int cli_open(const struct cli *cli, struct synk_client **ret_client)
{
    if (cli->connect && cli->directory)
        return fail(EXIT_USAGE, "--connect and --dir: which of the two?");
    struct synk_client_options options = {
        .directory = cli->directory,
        .connect = cli->connect,
        .key_file = cli->key,
        .server_key = cli->server_key,
        .fail_fast = true,
        .notice = tell_notice,
    };
    struct synk_error error;
    if (synk_client_open(&options, ret_client, &error) == SYNK_OK)
        return EXIT_DONE;
    if (error.status != SYNK_UNAVAILABLE)
        return fail_error(&error);
    return fail(EXIT_NO_SUPERVISOR, "%s, or name another one's directory with --dir or SYNK_DIR",
                error.text);
}

int cli_call(struct synk_client *client, const char *type, struct buf *body,
             struct synk_document **ret_reply)
{
    struct synk_error error;
    enum synk_status status = synk_call(client, type, buf_bytes(body), ret_reply, &error);
    buf_fini(body);
    *body = (struct buf){0};
    return status ? fail_error(&error) : EXIT_DONE;
}

struct synk_bytes text_of(const struct synk_value *map, const char *key)
{
    struct synk_bytes text = synk_value_bytes(synk_value_get(map, key));
    return text.data ? text : bytes_str("");
}

bool text_is(struct synk_bytes text, const char *expected)
{
    return bytes_equal(text, bytes_str(expected));
}

/* A file that cannot be read, or asks for what this version does not do, is wrong usage, not a
 * refusal of the supervisor. */
static int fail_load(struct synk_error *error)
{
    int code = exit_of(error->status);
    fail_error(error);
    return error->status == SYNK_IO || error->status == SYNK_UNSUPPORTED ? EXIT_USAGE : code;
}

int load_files(char **files, int count, struct definition_set *set)
{
    int code = EXIT_DONE;
    for (int i = 0; i < count && !code; i++)
        code = load_file(files[i], set);
    return code;
}

int load_file(const char *file, struct definition_set *set)
{
    struct expression *expression = expression_new();
    struct expression_checker checker = expression_checker(expression);
    struct calendar calendar;
    calendar_init(&calendar);
    checker.calendar = &calendar;
    struct synk_error error;
    enum synk_status status = definition_load_file(file, &checker, set, &error);
    calendar_fini(&calendar);
    expression_free(expression);
    return status ? fail_load(&error) : EXIT_DONE;
}

/* A change's word for eyes: where nothing is done, what would be. */
static const char *word_of(struct synk_bytes change, bool check)
{
    static const char *const words[][3] = {{"created", "created", "would create"},
                                           {"changed", "changed", "would change"},
                                           {"removed", "removed", "would remove"},
                                           {"unchanged", "unchanged", "unchanged"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (text_is(change, words[i][0]))
            return words[i][1 + check];
    return "";
}

static void print_change(struct synk_bytes change, bool check)
{
    printf("%s%-*s%s  ", style_on(style_of(change)), check ? 12 : 9, word_of(change, check),
           style_off());
}

static void print_changes(const struct synk_value *reply, bool check)
{
    const struct synk_value *units = synk_value_get(reply, "units");
    for (size_t i = 0; i < synk_value_count(units); i++) {
        print_change(text_of(synk_value_at(units, i), "change"), check);
        print_text(text_of(synk_value_at(units, i), "id"), 0);
        putchar('\n');
    }
    const struct synk_value *limits = synk_value_get(reply, "limits");
    for (size_t i = 0; i < synk_value_count(limits); i++) {
        const struct synk_value *limit = synk_value_at(limits, i);
        print_change(text_of(limit, "change"), check);
        fputs("limit ", stdout);
        print_text(text_of(limit, "name"), 0);
        printf(": %lld\n", (long long)synk_value_int(synk_value_get(limit, "limit"), 0));
    }
    const struct synk_value *warnings = synk_value_get(reply, "warnings");
    for (size_t i = 0; i < synk_value_count(warnings); i++) {
        struct synk_bytes text = synk_value_bytes(synk_value_at(warnings, i));
        fprintf(stderr, "synk: warning: %.*s\n", (int)text.size,
                text.data ? (const char *)text.data : "");
    }
}

int apply_files(const struct cli *cli, struct synk_client *client, char **files, int count,
                bool check, bool prune)
{
    struct synk_document *reply = NULL;
    struct synk_error error;
    enum synk_status status =
        synk_apply(client, (const char *const *)files, (size_t)count, check, prune, &reply, &error);
    if (status)
        return fail_load(&error);
    if (cli->json)
        print_json(synk_document_root(reply));
    else
        print_changes(synk_document_root(reply), check);
    synk_document_free(reply);
    return EXIT_DONE;
}
