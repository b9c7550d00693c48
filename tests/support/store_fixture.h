/*
 * What tests of the store share: an open store whose answers are awaited, shorthand for what goes
 * into a batch, and a look at the file itself. Header-only: each test program is one file.
 */
#ifndef TESTS_SUPPORT_STORE_FIXTURE_H
#define TESTS_SUPPORT_STORE_FIXTURE_H

#include <semaphore.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/states.h"
#include "supervisor/store/store.h"
#include "tests/support/unit.h"

#define FAR INT64_C(9999999999999)

/* An open store, and what its last load and questions answered. */
struct fixture {
    struct store *store;
    sem_t woken;
    int open_answers;
    struct buf loaded; /* one line a record */
    uint32_t epoch;
    uint64_t last_event, quarantined;
    enum synk_status status;
    struct synk_error error;
    char *json; /* the last body */
    struct buf text;
};

static inline const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", unit_directory(), name);
    return path;
}

static inline const char *uri_of(const char *name)
{
    static char uri[600];
    snprintf(uri, sizeof(uri), "sqlite:%s", path_of(name));
    return uri;
}

static inline void wake(void *context)
{
    sem_post(&((struct fixture *)context)->woken);
}

static inline enum synk_status try_open(struct fixture *fixture, const char *uri)
{
    memset(fixture, 0, sizeof(*fixture));
    sem_init(&fixture->woken, 0, 0);
    struct store_options options = {.uri = uri, .wake = wake, .wake_context = fixture};
    return store_open(&options, &fixture->store, &fixture->error);
}

static inline void open_store(struct fixture *fixture, const char *uri)
{
    enum synk_status status = try_open(fixture, uri);
    if (status != SYNK_OK) {
        fprintf(stderr, "%s\n", fixture->error.text);
        abort();
    }
}

static inline void close_store(struct fixture *fixture)
{
    store_close(fixture->store);
    sem_destroy(&fixture->woken);
    buf_fini(&fixture->loaded);
    buf_fini(&fixture->text);
    free(fixture->json);
}

static inline void await(struct fixture *fixture)
{
    while (fixture->open_answers) {
        while (sem_wait(&fixture->woken) != 0)
            ;
        store_complete(fixture->store);
    }
}

#define TEXT(bytes) (int)(bytes).size, (const char *)(bytes).data

static inline void print_record(void *context, const struct record *record)
{
    struct buf *out = &((struct fixture *)context)->loaded;
    switch (record->kind) {
    case RECORD_META:
        buf_printf(out, "meta %.*s=%.*s\n", TEXT(record->meta.name), TEXT(record->meta.value));
        break;
    case RECORD_UNIT: {
        const struct unit_record *u = &record->unit;
        buf_printf(out, "unit %.*s v%u of %u %d%d n%d s%d r%d %lld %lld %s %d\n", TEXT(u->id), u->version,
                   u->last_version, u->enabled, u->paused, (int)u->last_number, (int)u->success_count,
                   (int)u->run_count, (long long)u->last_run_at, (long long)u->due_at,
                   unit_status_name(u->status), (int)u->execution.size);
        break;
    }
    case RECORD_DEFINITION:
        buf_printf(out, "definition %.*s v%u %u %.*s\n", TEXT(record->definition.unit),
                   record->definition.version, record->definition.worker_count,
                   TEXT(record->definition.header));
        break;
    case RECORD_WORKER:
        buf_printf(out, "worker %.*s v%u %u (%d)\n", TEXT(record->worker.unit),
                   record->worker.version, record->worker.index, (int)record->worker.body.size);
        break;
    case RECORD_HOST:
        buf_printf(out, "host %.*s %llx %lld %llu\n", TEXT(record->host.name),
                   (unsigned long long)record->host.instance, (long long)record->host.seen_at,
                   (unsigned long long)record->host.applied);
        break;
    case RECORD_KEY:
        buf_printf(out, "key %.*s (%d)\n", TEXT(record->key.key), (int)record->key.reply.size);
        break;
    case RECORD_RUN: {
        const struct run_record *r = &record->run;
        buf_printf(out,
                   "run %d %.*s/%.*s#%d v%u %s %d of %u by %.*s (%d) (%d) %.*s %lld %lld %lld\n",
                   (int)r->run, TEXT(r->unit), TEXT(r->worker), (int)r->number, r->version,
                   run_status_name(r->status), r->cancelling, r->task_count, TEXT(r->by),
                   (int)r->params.size, (int)r->spec.size, TEXT(r->error), (long long)r->created_at,
                   (long long)r->started_at, (long long)r->ended_at);
        break;
    }
    case RECORD_TASK: {
        const struct task_record *t = &record->task;
        buf_printf(out,
                   "task %d.%u %s c%u t%u a%u e%u %.*s@%.*s %lld-%lld due %lld exit %d sig %d "
                   "%lld %lld %lld %lld (%d) %.*s|%.*s|%d",
                   (int)t->run, t->task, task_state_name(t->state), t->crashes, t->tries,
                   t->attempts, t->epoch, TEXT(t->worker), TEXT(t->host), (long long)t->started_at,
                   (long long)t->ended_at, (long long)t->due_at, t->exit_status, t->signal,
                   (long long)t->user_us, (long long)t->system_us, (long long)t->max_rss_kib,
                   (long long)t->execution_us, (int)t->result.size, TEXT(t->error), TEXT(t->reason),
                   t->has_readers);
        if (t->cause)
            buf_printf(out, " for %u", t->cause);
        buf_printf(out, "\n");
        break;
    }
    case RECORD_ATTEMPT:
        buf_printf(out, "attempt\n");
        break;
    }
}

static inline const char *load(struct fixture *fixture)
{
    buf_clear(&fixture->loaded);
    enum synk_status status =
        store_load(fixture->store, print_record, fixture, &fixture->epoch, &fixture->last_event,
                   &fixture->quarantined, &fixture->error);
    CU_ASSERT_EQUAL(status, SYNK_OK);
    buf_append(&fixture->loaded, "", 1);
    return (const char *)fixture->loaded.data;
}

static inline void note_commit(void *context, enum synk_status status,
                               const struct synk_error *error, int64_t commit_us)
{
    struct fixture *fixture = context;
    CU_ASSERT(commit_us >= 0);
    fixture->status = status;
    fixture->error = *error;
    fixture->open_answers--;
}

static inline enum synk_status commit(struct fixture *fixture, const struct batch *batch)
{
    fixture->open_answers++;
    store_commit(fixture->store, batch, note_commit, fixture);
    await(fixture);
    return fixture->status;
}

static inline void note_answer(void *context, const struct query *query,
                               const struct store_answer *answer)
{
    struct fixture *fixture = context;
    fixture->open_answers--;
    fixture->status = answer->status;
    fixture->error = answer->error;
    free(fixture->json);
    fixture->json = NULL;
    buf_clear(&fixture->loaded);
    if (answer->status == SYNK_OK && query->kind == QUERY_LOAD_RUN) {
        for (size_t i = 0; i < answer->record_count; i++)
            print_record(fixture, &answer->records[i]);
        buf_append(&fixture->loaded, "", 1);
    } else if (answer->status == SYNK_OK) {
        struct synk_document *document = NULL;
        CU_ASSERT_EQUAL(synk_document_decode(answer->body, &document, NULL), SYNK_OK);
        fixture->json = synk_value_json_dup(synk_document_root(document));
        synk_document_free(document);
    }
}

/* The body as JSON, or the error's text. */
static inline const char *ask(struct fixture *fixture, const struct query *query)
{
    fixture->open_answers++;
    store_query(fixture->store, query, note_answer, fixture);
    await(fixture);
    return fixture->json ? fixture->json : fixture->error.text;
}

static inline bool has(const char *text, const char *part)
{
    bool found = strstr(text, part) != NULL;
    if (!found)
        fprintf(stderr, "no '%s' in:\n%s\n", part, text);
    return found;
}

/* A batch of its own, with shorthand for what goes into it. */
static inline struct record *add_run(struct batch *batch, uint64_t run, const char *unit,
                                     uint64_t number, enum run_status status, uint32_t task_count)
{
    struct record *record = batch_add(batch, RECORD_RUN);
    record->run = (struct run_record){
        .run = run,
        .unit = bytes_str(unit),
        .number = number,
        .version = 1,
        .status = status,
        .task_count = task_count,
        .by = bytes_str("client"),
        .created_at = 1000 * (int64_t)run,
    };
    return record;
}

static inline struct record *add_task(struct batch *batch, uint64_t run, uint32_t task,
                                      enum task_state state)
{
    struct record *record = batch_add(batch, RECORD_TASK);
    record->task = (struct task_record){.run = run, .task = task, .state = state, .attempts = 1};
    return record;
}

static inline void add_meta(struct batch *batch, const char *name, const char *value)
{
    struct record *record = batch_add(batch, RECORD_META);
    record->meta = (struct meta_record){bytes_str(name), bytes_str(value)};
}

static inline void add_event(struct batch *batch, uint64_t number, const char *type,
                             const char *unit, const char *run)
{
    if (batch->event_count++ == 0)
        batch->first_event = number;
    batch->at = 77;
    pack_map(&batch->events, 5);
    pack_key(&batch->events, "seq");
    pack_uint(&batch->events, number);
    pack_key(&batch->events, "payload"); /* something to skip over */
    pack_map(&batch->events, 1);
    pack_key(&batch->events, "type");
    pack_array(&batch->events, 3);
    pack_double(&batch->events, 1.5);
    pack_binary(&batch->events, bytes_str("xyz"));
    pack_int(&batch->events, -70000);
    pack_key(&batch->events, "type");
    pack_cstr(&batch->events, type);
    pack_key(&batch->events, "unit");
    pack_cstr(&batch->events, unit);
    pack_key(&batch->events, "run");
    pack_cstr(&batch->events, run);
}

static inline struct synk_bytes worker_body(struct batch *batch, const char *id)
{
    struct buf body = {0};
    pack_map(&body, 2);
    pack_key(&body, "function");
    pack_cstr(&body, "exec");
    pack_key(&body, "id");
    pack_cstr(&body, id);
    struct synk_bytes copy = arena_copy(&batch->arena, buf_bytes(&body));
    buf_fini(&body);
    return copy;
}

/* A process 'p' of three workers a, b, c, with one run 5, p#2. */
static inline void add_process(struct batch *batch)
{
    const char *ids[] = {"a", "b", "c"};
    struct record *record = batch_add(batch, RECORD_UNIT);
    record->unit = (struct unit_record){.id = bytes_str("p"),
                                        .version = 1,
                                        .last_version = 3,
                                        .enabled = true,
                                        .last_number = 2,
                                        .success_count = 3,
                                        .run_count = 4,
                                        .last_run_at = 5,
                                        .due_at = 6,
                                        .status = UNIT_RUNNING,
                                        .execution = bytes_of("\x80", 1)};
    record = batch_add(batch, RECORD_DEFINITION);
    record->definition = (struct definition_record){bytes_str("p"), 1, 3, bytes_str("header")};
    for (uint32_t i = 0; i < 3; i++) {
        record = batch_add(batch, RECORD_WORKER);
        record->worker = (struct worker_record){bytes_str("p"), 1, i, worker_body(batch, ids[i])};
    }
    add_run(batch, 5, "p", 2, RUN_RUNNING, 3);
}

static inline void add_every_kind(struct batch *batch)
{
    add_meta(batch, "name", "value");
    add_process(batch);
    struct record *record = batch_add(batch, RECORD_HOST);
    record->host = (struct host_record){bytes_str("local"), UINT64_C(0xfedcba9876543210), 9, 12};
    record = batch_add(batch, RECORD_KEY);
    record->key = (struct key_record){bytes_str("k1"), bytes_of("\x80", 1), FAR};
    record = batch_add(batch, RECORD_KEY);
    record->key = (struct key_record){bytes_str("k0"), bytes_of("\x80", 1), 1};
    record = add_task(batch, 5, 1, TASK_RETRY_WAIT);
    record->task = (struct task_record){.run = 5,
                                        .task = 1,
                                        .state = TASK_RETRY_WAIT,
                                        .crashes = 2,
                                        .attempts = 3,
                                        .tries = 1,
                                        .epoch = 4,
                                        .worker = bytes_str("b"),
                                        .host = bytes_str("local"),
                                        .started_at = 10,
                                        .ended_at = 30,
                                        .due_at = 40,
                                        .exit_status = -1,
                                        .signal = 9,
                                        .user_us = 1,
                                        .system_us = 2,
                                        .max_rss_kib = 3,
                                        .execution_us = 4,
                                        .result = bytes_of("\x01", 1),
                                        .error = bytes_str("broke"),
                                        .reason = bytes_str("why"),
                                        .has_readers = true,
                                        .cause = 3};
    record = batch_add(batch, RECORD_ATTEMPT);
    record->attempt = (struct attempt_record){.run = 5,
                                              .task = 1,
                                              .attempt = 1,
                                              .epoch = 4,
                                              .outcome = OUTCOME_LOST,
                                              .host = bytes_str("local"),
                                              .error = bytes_str("gone"),
                                              .started_at = 1,
                                              .ended_at = 2,
                                              .exit_status = -1,
                                              .signal = 9,
                                              .user_us = -1,
                                              .system_us = -1,
                                              .max_rss_kib = -1};
}

static const char every_kind[] =
    "meta name=value\n"
    "unit p v1 of 3 10 n2 s3 r4 5 6 running 1\n"
    "definition p v1 3 header\n"
    "worker p v1 0 (20)\nworker p v1 1 (20)\nworker p v1 2 (20)\n"
    "host local fedcba9876543210 9 12\n"
    "key k0 (1)\nkey k1 (1)\n"
    "run 5 p/#2 v1 running 0 of 3 by client (0) (0)  5000 0 0\n"
    "task 5.1 retry-wait c2 t1 a3 e4 b@local 10-30 due 40 exit -1 sig 9 1 2 3 4 (1) broke|why|1 for 3\n";

/* Runs SQL on a file that no store has open. */
static inline void tamper(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    CU_ASSERT_EQUAL(sqlite3_open(path, &db), SQLITE_OK);
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fprintf(stderr, "%s\n", message);
    CU_ASSERT_PTR_NULL(message);
    sqlite3_free(message);
    sqlite3_close(db);
}

static inline int print_columns(void *context, int count, char **values, char **names)
{
    (void)names;
    for (int i = 0; i < count; i++)
        buf_printf(context, "%s%s", i ? " " : "", values[i] ? values[i] : "-");
    buf_printf(context, "\n");
    return 0;
}

static inline const char *look(struct buf *out, const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    buf_clear(out);
    CU_ASSERT_EQUAL(sqlite3_open(path, &db), SQLITE_OK);
    CU_ASSERT_EQUAL(sqlite3_exec(db, sql, print_columns, out, NULL), SQLITE_OK);
    sqlite3_close(db);
    buf_append(out, "", 1);
    return (const char *)out->data;
}

static inline size_t count_lines(const char *text, const char *start)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, start)); at++)
        count += at == text || at[-1] == '\n';
    return count;
}

#endif
