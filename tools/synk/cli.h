/*
 * What the verbs of `synk` share: the table of verbs, arguments, exit statuses, and requests to the
 * supervisor whose failures are printed where they happen. A function here that can fail returns an
 * exit status, after it has said why on standard error.
 */
#ifndef SYNK_CLI_H
#define SYNK_CLI_H

#include <synk/client.h>

#include "proto/bytes.h"
#include "proto/definition.h"
#include "proto/pack.h"

/* A contract: scripts rely on these. */
enum {
    EXIT_DONE = 0,          /* done, and successful */
    EXIT_WORK_FAILED = 1,   /* the work failed, or was cancelled */
    EXIT_USAGE = 2,         /* wrong usage, or an invalid definition */
    EXIT_NO_SUPERVISOR = 3, /* nobody there; the text says how to start one */
    EXIT_REFUSED = 4,       /* the supervisor refused: unknown ids included */
    EXIT_INTERRUPTED = 130, /* Ctrl-C, as shells count it */
};

struct verb;
struct cli {
    const struct verb *verb;
    const char *directory; /* --dir; NULL = the default */
    const char *connect;   /* --connect; NULL = $SYNK_CONNECT, or by the directory */
    const char *key, *server_key; /* --key, --server-key; NULL = as the environment says */
    bool json;
};

struct verb {
    const char *name;
    const char *arguments; /* for the usage line */
    const char *summary;
    const char *help; /* paragraphs and options */
    int (*run)(struct cli *cli, int argc, char **argv);
};
extern const struct verb *const verbs[]; /* NULL-ended */

/* Arguments -------------------------------------------------------------------------------------
 */

enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_TEXT,   /* const char * */
    OPTION_NUMBER, /* int64_t, 0 or more */
    OPTION_LIST,   /* struct text_list; repeated or with commas */
};
struct text_list {
    const char **items;
    size_t count, capacity;
};
struct option {
    const char *name; /* without its dashes; NULL ends a table */
    enum option_kind kind;
    void *target;
};
/* Reads options (--dir, --json and --help among them) from anywhere on the line and moves the other
 * arguments to the front of argv; `min` to `max` of those are allowed. Returns their number, or -1
 * after telling what is wrong. --help prints and ends the program. */
int args_parse(struct cli *cli, int argc, char **argv, const struct option *options, int min,
               int max);
/* The options that every verb has, as its help tells them. */
extern const char args_everywhere[];
/* "2h" (ago), "2026-01-31", "2026-01-31T12:00", or milliseconds since the epoch, to the latter. */
bool args_time(const char *text, int64_t *ret_ms);
/* "90s", "10m" of an option `name`, to milliseconds; an exit status. NULL leaves *ret_ms. */
int args_duration(const char *name, const char *text, int64_t *ret_ms);
/* Parses the value of --params or --payload, JSON, @FILE or "-" for standard input, into `params`; an
 * exit status. Nothing is appended for NULL. */
int args_payload(const char *json, struct buf *params);

/* Failing ---------------------------------------------------------------------------------------
 */

/* Prints "synk: TEXT" and returns `code`. */
int fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The exit status that belongs to a status. */
int exit_of(enum synk_status status);
/* Prints the error and returns its exit status. */
int fail_error(const struct synk_error *error);
/* That of a run's status: "succeeded", … */
int exit_of_run(struct synk_bytes status);

/* Requests --------------------------------------------------------------------------------------
 */

/* Whether the supervisor is found by addresses, on this machine or another, and not by a directory
 * of this one. */
bool cli_is_remote(const struct cli *cli);
/* Opens a client that expects a supervisor to be there. */
int cli_open(const struct cli *cli, struct synk_client **ret_client);
/* A blocking request. The body is consumed; free the reply with synk_document_free. */
int cli_call(struct synk_client *client, const char *type, struct buf *body,
             struct synk_document **ret_reply);
/* The text of a string under `key`; "" where there is none. */
struct synk_bytes text_of(const struct synk_value *map, const char *key);
bool text_is(struct synk_bytes text, const char *expected);

/* Applies files and prints what changed; `check` and `prune` as synk_apply has them. */
int apply_files(const struct cli *cli, struct synk_client *client, char **files, int count,
                bool check, bool prune);
/* Validates files as synk_apply does, without a supervisor; the set is then the caller's to end. */
int load_files(char **files, int count, struct definition_set *set);
/* The same for one file. */
int load_file(const char *file, struct definition_set *set);

/* Signals ---------------------------------------------------------------------------------------
 */

/* From now on SIGINT, SIGTERM and SIGHUP only count, and interrupt what waits. */
void signals_catch(void);
/* How many of them came. */
int signals_count(void);

#endif
