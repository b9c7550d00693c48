/*
 * What the files of the definition validator share: the document at hand, the table of fields, and
 * the tables of ids. Only proto/definition*.c include this.
 */
#ifndef PROTO_DEFINITION_INTERNAL_H
#define PROTO_DEFINITION_INTERNAL_H

#include "proto/definition.h"
#include "proto/limits.h"

/* Ten years, in milliseconds: what an expression's delay is capped at, too. */
#define DEFINITION_DURATION_MAX_MS INT64_C(315360000000)
/* The ancestor's default for functions. Commands have none. */
#define DEFINITION_FUNCTION_TIMEOUT_MS 10000

enum {
    /* Nesting of a whole YAML document: four times what any value in it may have. */
    DEFINITION_DEPTH = LIMIT_VALUE_DEPTH * 4,
    /* Hooks, tags or resources of one unit: read by people, walked at every dispatch. */
    DEFINITION_LIST_ITEMS = 64,
    /* `name`, `cron`, `timeZone`: one line of text. */
    DEFINITION_LINE_BYTES = 1024,
    DEFINITION_TEXT_BYTES = 16 << 10, /* `description`: a page or two */
    DEFINITION_PATH_BYTES = 4096,     /* PATH_MAX of Linux */
    /* A milestone's name: "worker:PROCESS/WORKER:released" fits. */
    DEFINITION_MILESTONE_BYTES = 2 * LIMIT_ID_BYTES + 32,
};

/* Byte strings to numbers; borrowed keys. All zero is a valid empty table. definition_table.c */
struct id_table {
    struct id_slot *slots;
    struct id_entry *entries; /* in the order of arrival */
    uint32_t capacity, count; /* of slots, of entries */
};
void id_table_fini(struct id_table *table);
void id_table_clear(struct id_table *table);
/* Makes room for `count` keys in all. */
void id_table_reserve(struct id_table *table, uint32_t count);
/* UINT32_MAX when absent. */
uint32_t id_table_get(const struct id_table *table, struct synk_bytes key);
/* Sets `key` to `value`; returns the value it had, UINT32_MAX when it is new. */
uint32_t id_table_put(struct id_table *table, struct synk_bytes key, uint32_t value);

/* Options that were seen before, by their encoding: one table for each kind of options. */
struct intern_table {
    struct id_table ids;
    const void **options;
    size_t capacity;
    struct arena keys;
};

enum field_id {
    FIELD_ID,
    FIELD_NAME,
    FIELD_DESCRIPTION,
    FIELD_ENABLED,
    FIELD_META,
    FIELD_ON_START,
    FIELD_ON_COMPLETE,
    FIELD_ON_ERROR,
    FIELD_RUN_ON_INTERVAL,
    FIELD_INTERVAL_MS,
    FIELD_MAX_RUNS,
    FIELD_CRON,
    FIELD_TIME_ZONE,
    FIELD_CATCH_UP,
    FIELD_OVERLAP,
    FIELD_RUN_ON_START,
    FIELD_RUN_ON_MILESTONE,
    FIELD_STATUS,
    FIELD_RUN,
    FIELD_PAYLOAD,
    FIELD_COMMAND,
    FIELD_CWD,
    FIELD_ENV,
    FIELD_ENV_FILE,
    FIELD_STDIN,
    FIELD_OUTPUT,
    FIELD_MAX_RETRIES,
    FIELD_RETRY_DELAY_MS,
    FIELD_TIMEOUT_MS,
    FIELD_PROGRESS_TIMEOUT_MS,
    FIELD_NO_RETRY_EXIT_CODES,
    FIELD_DEPENDS_ON,
    FIELD_REQUIRES,
    FIELD_PRIORITY,
    FIELD_SLOTS,
    FIELD_USES,
    FIELD_PROCESS_ID,
    FIELD_WORKERS,
    FIELD_RUN_MODE,
    FIELD_BATCH_SIZE,
    FIELD_ISOLATION_DELAY_MS,
    FIELD_MAX_PARALLEL,
    FIELD_MAX_FAILURES,
    FIELD_DEADLINE_MS, /* `timeoutMs` of a process */
    FIELD_COUNT,
};

/* Where a field may stand. */
enum field_place {
    IN_WORKER = 1,
    IN_PROCESS = 2,
    IN_UNIT = IN_WORKER | IN_PROCESS,
    IN_DEFAULTS = 4,
};

/* One unit while it is read. Its texts live in the validation's scratch arena. */
struct draft {
    const struct node *nodes[FIELD_COUNT]; /* NULL = absent */
    struct unit_options unit;
    struct worker_options worker;
    struct process_options process;
};

/* Where in the document one is: "process 'x'", or "processes[3]" while its id is unknown. */
struct place {
    const char *noun; /* "process"; NULL = not inside one */
    const char *list; /* "processes" */
    uint32_t index;
    struct synk_bytes id;
};

/* One document that is being validated. */
struct validation {
    const char *source, *directory;
    const struct expression_checker *checker;
    struct definition_set *set;
    struct synk_error *error;
    struct place process, worker;
    struct draft defaults;         /* only its nodes */
    struct definition *definition; /* under construction; NULL between units */
    struct id_table unit_ids;      /* to indices in `set` */
    struct id_table worker_ids;    /* to indices in `definition` */
    struct intern_table unit_options, worker_options;
    struct arena scratch; /* cleared after each unit */
    struct buf encoded;
};

/* Fills the error with "source:line: process 'x', worker 'y': …"; returns `status`. `at` may be
 * NULL. definition_fields.c */
enum synk_status definition_fail(struct validation *v, const struct node *at,
                                 enum synk_status status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* "wrong type or value": "'NAME' must be WHAT, not …". */
enum synk_status definition_fail_type(struct validation *v, const struct node *at, const char *name,
                                      const char *what);
/* Refuses the key of a map with the nearest of `names` (NULL-ended) that are known. */
enum synk_status definition_fail_unknown(struct validation *v, const struct node *key,
                                         const char *const *names);
/* Turns what a checker said into the error, behind `what`. */
enum synk_status definition_fail_inner(struct validation *v, const struct node *at,
                                       const struct synk_error *inner, const char *what);

/* Sorts a map's entries into draft->nodes; refuses unknown fields. */
enum synk_status definition_read_fields(struct validation *v, const struct node *map,
                                        enum field_place place, struct draft *draft);
/* Parses draft->nodes into the draft's options (not the fields that other files see to). */
enum synk_status definition_parse_fields(struct validation *v, struct draft *draft);
/* A string of 1 to `max` bytes without NUL, copied to the scratch arena. */
enum synk_status definition_parse_text(struct validation *v, const struct node *node,
                                       const char *name, size_t max, const char **ret_text);
/* A legal id. Borrows from the node. */
enum synk_status definition_parse_id(struct validation *v, const struct node *node,
                                     const char *name, struct synk_bytes *ret_id);
/* The value of a key, NULL when absent. */
const struct node *definition_node_get(const struct node *map, const char *key);
const char *definition_field_name(enum field_id field);

/* Whether two of a map's keys are equal: the position of the second, or UINT32_MAX. */
uint32_t definition_node_duplicate(const struct node *map);
/* Appends the MessagePack form of a value; LIMIT_VALUE_DEPTH, LIMIT_MESSAGE_ITEMS and
 * LIMIT_VALUE_BYTES hold. */
enum synk_status definition_node_encode(const struct node *node, struct buf *out,
                                        struct synk_error *error);
bool definition_node_is(const struct node *node, const char *text);

/* Gives a plain scalar, a NUL-terminated string so far, the kind that its spelling tells. False
 * where it is an integer past 64 bits. definition_scalar.c */
bool definition_resolve_plain(struct node *node);
/* Where the text is JSON: trims white space at its end, and rewrites it into `out` as far as YAML
 * needs that (`out` stays empty where it needs nothing). definition_json.c */
void definition_rewrite_json(struct synk_bytes *io_text, struct buf *out);

/* definition_hooks.c: fields that are lists. */
enum synk_status definition_parse_hooks(struct validation *v, const struct node *node,
                                        const char *name, struct hook_list *ret_hooks);
enum synk_status definition_parse_requires(struct validation *v, const struct node *node,
                                           struct worker_options *worker);
enum synk_status definition_parse_uses(struct validation *v, const struct node *node,
                                       struct worker_options *worker);
enum synk_status definition_parse_exit_codes(struct validation *v, const struct node *node,
                                             struct worker_options *worker);

/* definition_command.c: what a worker runs. Fills function, payload, flags and template_uses. */
enum synk_status definition_parse_work(struct validation *v, const struct draft *draft,
                                       struct worker_def *worker, const char **ret_function);
/* `cwd` and `env` of defaults, which no worker may use. */
enum synk_status definition_check_command_defaults(struct validation *v, const struct draft *draft);

/* definition_graph.c: resolves depends_on[i] (NULL = none) of each worker, and finds cycles. */
enum synk_status definition_resolve(struct validation *v, const struct node *const *depends_on);

/* definition_intern.c: the shared copy of the draft's options in the definition's arena. */
const struct unit_options *definition_intern_unit(struct validation *v,
                                                  const struct unit_options *options);
const struct worker_options *definition_intern_worker(struct validation *v,
                                                      const struct worker_options *options);
void intern_table_clear(struct intern_table *table);
void intern_table_fini(struct intern_table *table);

/* definition_encode.c: the entries of the options that are not at their defaults; their number. */
uint32_t definition_encode_unit(const struct unit_options *options, struct buf *out);
uint32_t definition_encode_tries(const struct worker_options *options, struct buf *out);
/* 0 for exec, DEFINITION_FUNCTION_TIMEOUT_MS otherwise. */
int64_t definition_default_timeout_ms(const char *function);

#endif
