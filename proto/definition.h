/*
 * Definitions: what a user writes, as plain structs, and the one validator that makes them. The
 * client validates files with it (errors carry file and line), the supervisor validates what
 * arrives with it again, and stored definitions are read back with it.
 *
 * A struct definition owns everything below it (one arena) and is immutable once made, except
 * by definition_adopt. Options that a unit leaves at their defaults are shared: options pointers
 * are never NULL, and equal options of one file are one object, so a worker of a large graph costs
 * its ids, its payload and its edges. Pure: YAML and files are in definition_file.h.
 */
#ifndef PROTO_DEFINITION_H
#define PROTO_DEFINITION_H

#include "proto/bytes.h"
#include "proto/check.h"
#include "proto/expression.h"
#include "proto/status.h"

enum unit_kind { UNIT_WORKER, UNIT_PROCESS };
enum run_mode { RUN_SEQUENTIAL, RUN_PARALLEL, RUN_BATCHED, RUN_ISOLATED };
enum dependency_on { ON_COMPLETED, ON_NOT_ERROR, ON_ERROR, ON_ANY };
enum overlap { OVERLAP_DEFAULT, OVERLAP_QUEUE, OVERLAP_SKIP, OVERLAP_ALLOW, OVERLAP_CANCEL };
enum catch_up { CATCH_UP_ONE, CATCH_UP_SKIP, CATCH_UP_ALL };
enum hook_kind { HOOK_RUN, HOOK_EMIT };

/* Wire names of the enums above: "sequential", "notError", … NULL-free; definition.c. */
const char *run_mode_name(enum run_mode mode);
const char *dependency_on_name(enum dependency_on on);
const char *overlap_name(enum overlap overlap);
const char *catch_up_name(enum catch_up catch_up);

struct hook {
    enum hook_kind kind;
    const char *target; /* a unit to run, or a milestone's name */
};
struct hook_list {
    const struct hook *hooks;
    uint32_t count;
};

/* What any unit may carry. */
struct unit_options {
    const char *name, *description; /* NULL when absent */
    struct synk_bytes meta;         /* encoded; size 0 = none */
    bool enabled;                   /* default true */
    bool paused;                    /* `status: paused` */
    struct hook_list on_start, on_complete, on_error;
    bool run_on_interval; /* default: true where intervalMs is given */
    int64_t interval_ms;  /* 0 = none */
    uint64_t max_runs;    /* 0 = no bound */
    const char *cron, *time_zone;
    enum catch_up catch_up;
    enum overlap overlap;
    bool run_on_start;
    const char *run_on_milestone;
};

struct uses {
    const char *name;
    uint32_t amount;
};

/* How a worker is tried and where. */
struct worker_options {
    const char *function;    /* "plugin.function", "exec", "sim.sleep" */
    uint32_t max_retries;    /* default 0: tries after the first */
    int64_t retry_delay_ms;  /* where retry_delay is NULL; default 0 */
    const char *retry_delay; /* an expression */
    int64_t timeout_ms;      /* 0 = none; resolved: 10000 for functions, 0 for exec, unless given */
    int64_t progress_timeout_ms; /* 0 = none */
    const int32_t *no_retry_exit_codes;
    uint32_t no_retry_exit_code_count;
    const char *const *requires; /* host tags, sorted */
    uint32_t requires_count;
    int32_t priority; /* default 0; higher first */
    uint32_t slots;   /* default 1 */
    const struct uses *uses;
    uint32_t uses_count;
};

struct dependency {
    uint32_t parent; /* index in the process */
    enum dependency_on on;
    const char *condition;   /* NULL = none */
    unsigned condition_uses; /* enum expression_uses */
};

/* worker_def.flags */
enum {
    WORKER_HAS_TEMPLATES = 1, /* payload holds ${{ }} to expand at dispatch */
};

struct worker_def {
    const char *id;
    struct synk_bytes payload; /* encoded; of exec {command cwd env envFile stdin output} */
    const struct unit_options *unit;
    const struct worker_options *worker;
    const struct dependency *depends_on;
    uint32_t depends_on_count;
    uint16_t flags;
    uint16_t template_uses; /* enum expression_uses, over all templates of the payload */
};

struct process_options {
    enum run_mode run_mode;
    uint32_t batch_size;        /* default 2 */
    int64_t isolation_delay_ms; /* default 100 */
    uint32_t max_parallel;      /* 0 = no bound */
    uint32_t max_failures;      /* 0 = no bound */
    int64_t timeout_ms;         /* the run's deadline; 0 = none */
};

/* Options that one part of a definition got at run time: definition_change.h. */
struct definition_part {
    struct definition_part *next;
    uint32_t part;
    struct definition *patch; /* one reference */
};

/* One unit: a standalone worker (worker_count 1, workers[0].id == id) or a process. */
struct definition {
    enum unit_kind kind;
    const char *id;
    const struct unit_options *unit; /* for a standalone worker == workers[0].unit */
    struct process_options process;  /* all defaults for a standalone worker */
    struct worker_def *workers;
    uint32_t worker_count;
    bool is_graph; /* some worker has dependsOn: run_mode is not heeded */
    atomic_uint references;
    struct definition_part *patches;
    struct arena arena;
};

struct definition *definition_ref(struct definition *definition);
void definition_unref(struct definition *definition); /* takes NULL */

/*
 * A tree of the generic shapes that YAML, JSON and MessagePack share, with the places they came
 * from. Made by definition_yaml (libyaml) and definition_node_decode (MessagePack).
 */
enum node_kind { NODE_NULL, NODE_BOOL, NODE_INT, NODE_DOUBLE, NODE_STRING, NODE_ARRAY, NODE_MAP };
struct node {
    enum node_kind kind;
    uint32_t line, column; /* from 1; 0 = unknown */
    union {
        struct {
            union {
                bool boolean;
                int64_t integer;
                double number;
            };
            struct synk_bytes written; /* a scalar other than a string as spelled; or empty */
        };
        struct synk_bytes text;
        struct {
            struct node *items; /* arrays: elements; maps: values */
            struct node *keys;  /* maps: NODE_STRING each, parallel to items */
            uint32_t count;
        };
    };
};

/* A named bound on what may be in progress at once, wherever it runs: what workers' `uses` name. */
struct limit_def {
    char *name;
    uint32_t most;
};

/* Several units that are validated together: one apply. */
struct definition_set {
    struct definition **units; /* one reference each */
    size_t count, capacity;
    struct limit_def *limits;
    size_t limit_count, limit_capacity;
    struct buf warnings; /* lines of text; empty = none */
};
void definition_set_fini(struct definition_set *set);

/*
 * Validates one document ({processes, workers, defaults, limits}) and appends its units and limits
 * to `set`. Whether a limit that `uses` names exists is not decided here. `source`
 * names it in errors ("nightly.yaml"), and `directory` (absolute, NULL = leave) is what a relative
 * or absent `cwd` of a command is made absolute against. All the rules of docs/definition.md that
 * one document can decide: unknown fields (with the nearest known name), types, ids, duplicates (in
 * `set` too), unknown and self dependencies, cycles (named link by link), expressions, limits. Hook
 * targets and runOnMilestone are not resolved here. Fails with SYNK_INVALID or SYNK_TOO_LARGE and
 * "nightly.yaml:12: process 'x', worker 'y': …"; the set is then unchanged.
 */
enum synk_status definition_validate(const struct node *document, const char *source,
                                     const char *directory,
                                     const struct expression_checker *checker,
                                     struct definition_set *set, struct synk_error *error);

/* What check_value is to hold an uploaded document or a stored record against: values of full depth
 * inside the document's own levels. */
extern const struct check_limits definition_limits;

/* MessagePack to nodes; strings point into `bytes`. Check the bytes with check_value first. */
enum synk_status definition_node_decode(struct synk_bytes bytes, struct arena *arena,
                                        struct node *ret_node, struct synk_error *error);

/*
 * Encodes one unit as the document entry it came from, in canonical form (defaults left out, fields
 * in one fixed order, durations in milliseconds, `command` as exec payload spelled back as
 * command): equal definitions encode to equal bytes, and {processes:[…]} or {workers:[…]} around it
 * validates back to the same unit. This is what is stored, shown and compared.
 */
void definition_encode(const struct definition *definition, struct buf *out);
/* The header alone, without `workers`; and one worker alone: the records of a large process. */
void definition_encode_header(const struct definition *definition, struct buf *out);
void definition_encode_worker(const struct definition *definition, uint32_t index, struct buf *out);
/*
 * The way back from such records: `header` and `workers[0..count)` as encoded above (for a
 * standalone worker the header is the whole and count is 0). Trusts nothing: stored bytes are
 * validated like new ones. Fails with SYNK_CORRUPT.
 */
enum synk_status definition_decode(struct synk_bytes header, const struct synk_bytes *workers,
                                   size_t count, const struct expression_checker *checker,
                                   struct definition **ret_definition, struct synk_error *error);

/* Index of a worker by id, or UINT32_MAX. Linear. */
uint32_t definition_find_worker(const struct definition *definition, struct synk_bytes id);

/* Whether `id` is a legal unit or worker id (1 to 128 bytes of printable UTF-8 without / and #). */
bool definition_id_is_valid(struct synk_bytes id);

/* "1500", "90s", "5m", "2h", "250ms", "1d" to milliseconds. SYNK_INVALID otherwise. */
enum synk_status definition_duration(struct synk_bytes text, int64_t *ret_ms,
                                     struct synk_error *error);

#endif
