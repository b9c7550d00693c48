/*
 * What `synk top` knows: the last reply to each question it keeps asking, the latest events, and
 * whether the supervisor is there. Everything is asked without waiting, one request of a kind at a
 * time, and in pages: what it costs does not grow with what the supervisor has. Rows are values as
 * PROTOCOL.md has them, valid until the next call of synk_client_process or top_model_tick.
 */
#ifndef SYNK_TOP_MODEL_H
#define SYNK_TOP_MODEL_H

#include "tools/synk/cli.h"

enum top_list { LIST_UNITS, LIST_RUNS, LIST_HOSTS, LIST_EVENTS, LIST_TASKS, LISTS };

struct top_model;

/* The client stays the caller's, but is closed before the model is freed. Fails with the
 * subscription. */
enum synk_status top_model_new(struct synk_client *client, struct top_model **ret_model,
                               struct synk_error *error);
void top_model_free(struct top_model *model);

/* Asks what is due. Returns when it is next to be called; both on the monotonic clock, ms. */
int64_t top_model_tick(struct top_model *model, int64_t now_ms);
/* Whether something has changed since the last call. */
bool top_model_take_change(struct top_model *model);
/* Since when nobody answers, ms; 0 = the supervisor is there. */
int64_t top_model_away_since(const struct top_model *model);

/* The reply to `stats`, NULL before the first. */
const struct synk_value *top_model_stats(const struct top_model *model);
struct top_rates {
    double tasks_per_s, cpu_share; /* between the last two replies; negative = not known */
};
struct top_rates top_model_rates(const struct top_model *model);

size_t top_model_count(const struct top_model *model, enum top_list list);
const struct synk_value *top_model_row(const struct top_model *model, enum top_list list,
                                       size_t at);
/* What names a row as long as it is listed: an id, "UNIT#N", a host, a number, a worker. */
void top_model_key(const struct top_model *model, enum top_list list, size_t at, char key[160]);

/* The run whose tasks are kept, from its task number `from` on; NULL = none. */
void top_model_open_run(struct top_model *model, const char *run, int64_t from);
/* The page at hand, a run without all its tasks; NULL before it is there. */
const struct synk_value *top_model_run(const struct top_model *model);

/* `pause` or `resume` of a unit, `cancel` of a run. What comes of it is the message. */
void top_model_act(struct top_model *model, const char *type, const char *name);
/* Asks for a text to read: why a run, or its worker (NULL = all), is where it is; or all about a
 * unit. */
void top_model_explain(struct top_model *model, const char *run, const char *worker);
void top_model_describe(struct top_model *model, const char *unit);
/* Makes the text of a row at hand. */
void top_model_tell(struct top_model *model, const char *title, const struct synk_value *row);
/* The text; its title is "" where there is none. */
const char *top_model_title(const struct top_model *model);
struct synk_bytes top_model_text(const struct top_model *model);
void top_model_drop_text(struct top_model *model);

/* One line for the user, gone after some seconds; "" = none. */
const char *top_model_message(const struct top_model *model, bool *ret_is_error);
void top_model_say(struct top_model *model, bool is_error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* An integer under a key, `otherwise` where there is none. */
int64_t number_of(const struct synk_value *map, const char *key, int64_t otherwise);

#endif
