/* The store behind store.h: what goes in comes out, batches are whole or not there, bad files and
 * bad rows are told apart, and pages merge what is stored with what is live. */
#include "supervisor/store/store.h"

#include <semaphore.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/limits.h"
#include "proto/pack.h"
#include "proto/value.h"
#include "supervisor/core/states.h"
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

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", unit_directory(), name);
    return path;
}

static const char *uri_of(const char *name)
{
    static char uri[600];
    snprintf(uri, sizeof(uri), "sqlite:%s", path_of(name));
    return uri;
}

static void wake(void *context)
{
    sem_post(&((struct fixture *)context)->woken);
}

static enum synk_status try_open(struct fixture *fixture, const char *uri)
{
    memset(fixture, 0, sizeof(*fixture));
    sem_init(&fixture->woken, 0, 0);
    struct store_options options = {.uri = uri, .wake = wake, .wake_context = fixture};
    return store_open(&options, &fixture->store, &fixture->error);
}

static void open_store(struct fixture *fixture, const char *uri)
{
    enum synk_status status = try_open(fixture, uri);
    if (status != SYNK_OK) {
        fprintf(stderr, "%s\n", fixture->error.text);
        abort();
    }
}

static void close_store(struct fixture *fixture)
{
    store_close(fixture->store);
    sem_destroy(&fixture->woken);
    buf_fini(&fixture->loaded);
    buf_fini(&fixture->text);
    free(fixture->json);
}

static void await(struct fixture *fixture)
{
    while (fixture->open_answers) {
        while (sem_wait(&fixture->woken) != 0)
            ;
        store_complete(fixture->store);
    }
}

#define TEXT(bytes) (int)(bytes).size, (const char *)(bytes).data

static void print_record(void *context, const struct record *record)
{
    struct buf *out = &((struct fixture *)context)->loaded;
    switch (record->kind) {
    case RECORD_META:
        buf_printf(out, "meta %.*s=%.*s\n", TEXT(record->meta.name), TEXT(record->meta.value));
        break;
    case RECORD_UNIT: {
        const struct unit_record *u = &record->unit;
        buf_printf(out, "unit %.*s v%u %d%d n%d s%d r%d %lld %lld %s %d\n", TEXT(u->id), u->version,
                   u->enabled, u->paused, (int)u->last_number, (int)u->success_count,
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
        buf_printf(out, "host %.*s %llx %lld\n", TEXT(record->host.name),
                   (unsigned long long)record->host.instance, (long long)record->host.seen_at);
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
                   "task %d.%u %s c%u a%u e%u %.*s@%.*s %lld-%lld due %lld exit %d sig %d "
                   "%lld %lld %lld %lld (%d) %.*s|%.*s|%d\n",
                   (int)t->run, t->task, task_state_name(t->state), t->crashes, t->attempts,
                   t->epoch, TEXT(t->worker), TEXT(t->host), (long long)t->started_at,
                   (long long)t->ended_at, (long long)t->due_at, t->exit_status, t->signal,
                   (long long)t->user_us, (long long)t->system_us, (long long)t->max_rss_kib,
                   (long long)t->execution_us, (int)t->result.size, TEXT(t->error), TEXT(t->reason),
                   t->has_readers);
        break;
    }
    case RECORD_ATTEMPT:
        buf_printf(out, "attempt\n");
        break;
    }
}

static const char *load(struct fixture *fixture)
{
    buf_clear(&fixture->loaded);
    enum synk_status status =
        store_load(fixture->store, print_record, fixture, &fixture->epoch, &fixture->last_event,
                   &fixture->quarantined, &fixture->error);
    CU_ASSERT_EQUAL(status, SYNK_OK);
    buf_append(&fixture->loaded, "", 1);
    return (const char *)fixture->loaded.data;
}

static void note_commit(void *context, enum synk_status status, const struct synk_error *error,
                        int64_t commit_us)
{
    struct fixture *fixture = context;
    CU_ASSERT(commit_us >= 0);
    fixture->status = status;
    fixture->error = *error;
    fixture->open_answers--;
}

static enum synk_status commit(struct fixture *fixture, const struct batch *batch)
{
    fixture->open_answers++;
    store_commit(fixture->store, batch, note_commit, fixture);
    await(fixture);
    return fixture->status;
}

static void note_answer(void *context, const struct query *query, const struct store_answer *answer)
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
static const char *ask(struct fixture *fixture, const struct query *query)
{
    fixture->open_answers++;
    store_query(fixture->store, query, note_answer, fixture);
    await(fixture);
    return fixture->json ? fixture->json : fixture->error.text;
}

static bool has(const char *text, const char *part)
{
    bool found = strstr(text, part) != NULL;
    if (!found)
        fprintf(stderr, "no '%s' in:\n%s\n", part, text);
    return found;
}

/* A batch of its own, with shorthand for what goes into it. */
static struct record *add_run(struct batch *batch, uint64_t run, const char *unit, uint64_t number,
                              enum run_status status, uint32_t task_count)
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

static struct record *add_task(struct batch *batch, uint64_t run, uint32_t task,
                               enum task_state state)
{
    struct record *record = batch_add(batch, RECORD_TASK);
    record->task = (struct task_record){.run = run, .task = task, .state = state, .attempts = 1};
    return record;
}

static void add_meta(struct batch *batch, const char *name, const char *value)
{
    struct record *record = batch_add(batch, RECORD_META);
    record->meta = (struct meta_record){bytes_str(name), bytes_str(value)};
}

static void add_event(struct batch *batch, uint64_t number, const char *type, const char *unit,
                      const char *run)
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

static struct synk_bytes worker_body(struct batch *batch, const char *id)
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
static void add_process(struct batch *batch)
{
    const char *ids[] = {"a", "b", "c"};
    struct record *record = batch_add(batch, RECORD_UNIT);
    record->unit = (struct unit_record){.id = bytes_str("p"),
                                        .version = 1,
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

static void add_every_kind(struct batch *batch)
{
    add_meta(batch, "name", "value");
    add_process(batch);
    struct record *record = batch_add(batch, RECORD_HOST);
    record->host = (struct host_record){bytes_str("local"), UINT64_C(0xfedcba9876543210), 9};
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
                                        .has_readers = true};
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
    "unit p v1 10 n2 s3 r4 5 6 running 1\n"
    "definition p v1 3 header\n"
    "worker p v1 0 (20)\nworker p v1 1 (20)\nworker p v1 2 (20)\n"
    "host local fedcba9876543210 9\n"
    "key k0 (1)\nkey k1 (1)\n"
    "run 5 p/#2 v1 running 0 of 3 by client (0) (0)  5000 0 0\n"
    "task 5.1 retry-wait c2 a3 e4 b@local 10-30 due 40 exit -1 sig 9 1 2 3 4 (1) broke|why|1\n";

static void test_round_trip_of(const char *uri, bool reopens, const char *durability)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_every_kind(&batch);
    open_store(&fixture, uri);
    CU_ASSERT_STRING_EQUAL(store_durability(fixture.store), durability);
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(load(&fixture), every_kind);
    CU_ASSERT_EQUAL(fixture.epoch, 1);
    if (reopens) {
        close_store(&fixture);
        open_store(&fixture, uri);
    }
    CU_ASSERT_STRING_EQUAL(load(&fixture), every_kind);
    CU_ASSERT_EQUAL(fixture.epoch, 2);
    CU_ASSERT_EQUAL(fixture.last_event, 0);
    CU_ASSERT_EQUAL(fixture.quarantined, 0);
    CU_ASSERT(store_size_bytes(fixture.store) > 4096);
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_round_trip(void)
{
    struct stat info;
    struct fixture fixture;
    open_store(&fixture, uri_of("durability"));
    const char *durability = store_durability(fixture.store);
    close_store(&fixture);
    CU_ASSERT(strcmp(durability, "fsync") == 0 || strcmp(durability, "volatile") == 0);
    test_round_trip_of(uri_of("round"), true, durability);
    CU_ASSERT_EQUAL(stat(path_of("round"), &info), 0);
    CU_ASSERT_EQUAL(info.st_mode & 0777, 0600);
    test_round_trip_of("memory:", false, "none");
}

static void test_replace_and_remove(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_every_kind(&batch);
    open_store(&fixture, "memory:");
    commit(&fixture, &batch);
    batch_clear(&batch);
    add_meta(&batch, "name", "other");
    add_task(&batch, 5, 1, TASK_RUNNING);
    commit(&fixture, &batch);
    const char *loaded = load(&fixture);
    CU_ASSERT(has(loaded, "meta name=other\n"));
    CU_ASSERT(has(loaded, "task 5.1 running c0 a1 e0 @ 0-0 due 0 exit 0 sig 0 0 0 0 0 (0) ||0\n"));

    batch_clear(&batch);
    add_every_kind(&batch);
    for (size_t i = 0; i < batch.record_count; i++)
        batch.records[i].remove = batch.records[i].kind != RECORD_WORKER &&
                                  batch.records[i].kind != RECORD_TASK &&
                                  batch.records[i].kind != RECORD_ATTEMPT;
    /* The cascade comes after what it removes. */
    for (int i = 0; i < 2; i++) {
        struct record *record = batch_add(&batch, i ? RECORD_RUN : RECORD_DEFINITION);
        record->remove = true;
        if (i)
            record->run.run = 5;
        else
            record->definition = (struct definition_record){bytes_str("p"), 1, 0, {NULL, 0}};
    }
    commit(&fixture, &batch);
    batch_clear(&batch);
    CU_ASSERT_STRING_EQUAL(load(&fixture), "");
    /* Nothing is left of the old run or version to turn up in new ones. */
    struct record *record = batch_add(&batch, RECORD_UNIT);
    record->unit = (struct unit_record){.id = bytes_str("p"), .version = 1};
    record = batch_add(&batch, RECORD_DEFINITION);
    record->definition = (struct definition_record){bytes_str("p"), 1, 0, bytes_str("h")};
    add_run(&batch, 5, "p", 2, RUN_RUNNING, 3);
    commit(&fixture, &batch);
    loaded = load(&fixture);
    CU_ASSERT_PTR_NULL(strstr(loaded, "task"));
    CU_ASSERT_PTR_NULL(strstr(loaded, "worker"));
    struct query query = {.kind = QUERY_RUN, .run = 5, .with_attempts = true, .status = -1};
    CU_ASSERT_PTR_NULL(strstr(ask(&fixture, &query), "lost"));
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_load_leaves_out_the_past(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_process(&batch);
    /* An old version without a run, and one that an unfinished run still uses. */
    for (uint32_t version = 7; version < 9; version++) {
        struct record *record = batch_add(&batch, RECORD_DEFINITION);
        record->definition =
            (struct definition_record){bytes_str("p"), version, 0, bytes_str("old")};
    }
    add_run(&batch, 6, "p", 3, RUN_QUEUED, 1)->run.version = 8;
    for (int i = 0; i < LIMIT_FINISHED_RUNS + 5; i++) {
        uint64_t run = 10 + (uint64_t)i;
        add_run(&batch, run, "q", run, RUN_SUCCEEDED, 1);
        add_task(&batch, run, 0, TASK_SUCCEEDED);
    }
    open_store(&fixture, "memory:");
    commit(&fixture, &batch);
    const char *loaded = load(&fixture);
    CU_ASSERT(has(loaded, "definition p v8 0 old\n"));
    CU_ASSERT_PTR_NULL(strstr(loaded, "definition p v7"));
    CU_ASSERT(has(loaded, "run 6 p/#3 v8 queued"));
    CU_ASSERT_PTR_NULL(strstr(loaded, "run 14 "));
    CU_ASSERT(has(loaded, "run 15 "));
    CU_ASSERT_PTR_NULL(strstr(loaded, "task"));
    close_store(&fixture);
    batch_fini(&batch);
}

/* Runs SQL on a file that no store has open. */
static void tamper(const char *path, const char *sql)
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

static int print_columns(void *context, int count, char **values, char **names)
{
    (void)names;
    for (int i = 0; i < count; i++)
        buf_printf(context, "%s%s", i ? " " : "", values[i] ? values[i] : "-");
    buf_printf(context, "\n");
    return 0;
}

static const char *look(struct buf *out, const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    buf_clear(out);
    CU_ASSERT_EQUAL(sqlite3_open(path, &db), SQLITE_OK);
    CU_ASSERT_EQUAL(sqlite3_exec(db, sql, print_columns, out, NULL), SQLITE_OK);
    sqlite3_close(db);
    buf_append(out, "", 1);
    return (const char *)out->data;
}

static void test_bad_rows_are_quarantined(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_every_kind(&batch);
    add_task(&batch, 5, 0, TASK_SUCCEEDED);
    add_task(&batch, 5, 2, TASK_SUCCEEDED);
    open_store(&fixture, uri_of("bad-rows"));
    commit(&fixture, &batch);
    close_store(&fixture);
    tamper(path_of("bad-rows"), "UPDATE tasks SET state=99 WHERE task=0;"
                                "UPDATE tasks SET result=x'c1' WHERE task=2;"
                                "UPDATE units SET status=-3;"
                                "INSERT INTO hosts VALUES('', 1, 1);");
    open_store(&fixture, uri_of("bad-rows"));
    const char *loaded = load(&fixture);
    CU_ASSERT_EQUAL(fixture.quarantined, 4);
    CU_ASSERT(has(loaded, "task 5.1 "));
    CU_ASSERT_PTR_NULL(strstr(loaded, "task 5.0 "));
    CU_ASSERT_PTR_NULL(strstr(loaded, "task 5.2 "));
    CU_ASSERT_PTR_NULL(strstr(loaded, "unit p"));
    load(&fixture);
    CU_ASSERT_EQUAL(fixture.quarantined, 0);
    close_store(&fixture);
    struct buf out = {0};
    CU_ASSERT_STRING_EQUAL(look(&out, path_of("bad-rows"),
                                "SELECT kind, key, reason FROM quarantine ORDER BY kind, key"),
                           "hosts  no name\ntasks 5 0 no such state\n"
                           "tasks 5 2 result is not a value\nunits p no such status\n");
    CU_ASSERT(has(
        look(&out, path_of("bad-rows"), "SELECT row FROM quarantine WHERE reason='no such state'"),
        "run=5, task=0, state=99, crashes=NULL, attempts=1"));
    buf_fini(&out);
    batch_fini(&batch);
}

static void test_rows_are_readable(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    for (unsigned status = 0; status <= RUN_SKIPPED; status++)
        add_run(&batch, 100 + status, "r", status + 1, status, 1);
    for (unsigned state = 0; state < TASK_STATES; state++)
        add_task(&batch, 100, state, state);
    open_store(&fixture, uri_of("readable"));
    commit(&fixture, &batch);
    close_store(&fixture);
    struct buf out = {0}, expected = {0};
    for (unsigned state = 0; state < TASK_STATES; state++)
        buf_printf(&expected, "r#1 %u %s\n", state, task_state_name(state));
    buf_append(&expected, "", 1);
    CU_ASSERT_STRING_EQUAL(look(&out, path_of("readable"),
                                "SELECT run, task, state FROM readable_tasks ORDER BY task"),
                           (char *)expected.data);
    buf_clear(&expected);
    for (unsigned status = 0; status <= RUN_SKIPPED; status++)
        buf_printf(&expected, "r#%u %s 1970-01-01 00:01:40\n", status + 1, run_status_name(status));
    buf_append(&expected, "", 1);
    CU_ASSERT_STRING_EQUAL(
        look(&out, path_of("readable"),
             "SELECT run, status, datetime(julianday(created) - (id - 100) / 86400.0) "
             "FROM readable_runs ORDER BY id"),
        (char *)expected.data);
    buf_fini(&out);
    buf_fini(&expected);
    batch_fini(&batch);
}

static void test_files_that_are_refused(void)
{
    struct fixture fixture;
    open_store(&fixture, uri_of("newer"));
    close_store(&fixture);
    tamper(path_of("newer"), "PRAGMA user_version=12;");
    CU_ASSERT_EQUAL(try_open(&fixture, uri_of("newer")), SYNK_UNSUPPORTED);
    CU_ASSERT(has(fixture.error.text, "12"));
    CU_ASSERT(has(fixture.error.text, "up to 1"));
    tamper(path_of("foreign"), "CREATE TABLE other(x);");
    CU_ASSERT_EQUAL(try_open(&fixture, uri_of("foreign")), SYNK_CORRUPT);
    FILE *file = fopen(path_of("garbage"), "w");
    for (int i = 0; i < 5000; i++)
        fputc("garbage"[i % 7], file);
    fclose(file);
    CU_ASSERT_EQUAL(try_open(&fixture, uri_of("garbage")), SYNK_CORRUPT);
    CU_ASSERT(has(fixture.error.text, path_of("garbage")));
    CU_ASSERT_EQUAL(try_open(&fixture, uri_of("no/such/directory")), SYNK_IO);
    CU_ASSERT_EQUAL(try_open(&fixture, uri_of("")), SYNK_IO); /* a directory */
    CU_ASSERT_EQUAL(try_open(&fixture, "sqlite:"), SYNK_INVALID);
    CU_ASSERT_EQUAL(try_open(&fixture, "sqlite::memory:"), SYNK_INVALID);
    CU_ASSERT_EQUAL(try_open(&fixture, "memory:x"), SYNK_INVALID);
    CU_ASSERT_EQUAL(try_open(&fixture, "sqlite:x?max_pages=many"), SYNK_INVALID);
    CU_ASSERT_EQUAL(try_open(&fixture, "mysql://x"), SYNK_INVALID);
}

/* Starts `work` in a child that goes on until it is killed; returns once it has said something. */
static pid_t start_child(void (*work)(int out), int *ret_in)
{
    int ends[2];
    CU_ASSERT_EQUAL(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        work(ends[1]);
        for (;;)
            pause();
    }
    close(ends[1]);
    *ret_in = ends[0];
    return pid;
}

static void kill_child(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void hold_store(int out)
{
    static struct fixture fixture;
    open_store(&fixture, uri_of("held"));
    if (write(out, "", 1) != 1)
        abort();
}

static void test_second_opener_is_told(void)
{
    struct fixture fixture;
    int in;
    char said;
    pid_t pid = start_child(hold_store, &in);
    CU_ASSERT_EQUAL(read(in, &said, 1), 1);
    CU_ASSERT_EQUAL(try_open(&fixture, uri_of("held")), SYNK_BUSY);
    CU_ASSERT(has(fixture.error.text, "another process"));
    kill_child(pid);
    close(in);
    open_store(&fixture, uri_of("held"));
    CU_ASSERT_EQUAL(load(&fixture)[0], '\0');
    close_store(&fixture);
}

enum { CRASH_TASKS = 40 };

/* Commits runs 1, 2, … with all their tasks and one event a task, and says so after each. */
static void commit_forever(int out)
{
    static struct fixture fixture;
    static struct batch batch;
    open_store(&fixture, uri_of("crash"));
    for (uint64_t run = 1;; run++) {
        batch_clear(&batch);
        buf_clear(&batch.events);
        batch.event_count = 0;
        add_run(&batch, run, "p", run, RUN_RUNNING, CRASH_TASKS);
        for (uint32_t i = 0; i < CRASH_TASKS; i++) {
            add_task(&batch, run, i, TASK_SUCCEEDED);
            add_event(&batch, (run - 1) * CRASH_TASKS + i + 1, "complete", "p", "p#1");
        }
        if (commit(&fixture, &batch) != SYNK_OK || write(out, &run, sizeof(run)) < 0)
            abort();
    }
}

static size_t count_lines(const char *text, const char *start)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, start)); at++)
        count += at == text || at[-1] == '\n';
    return count;
}

static void test_batches_are_whole_after_a_kill(void)
{
    for (uint64_t target = 3; target < 40; target += 9) {
        int in;
        uint64_t acknowledged = 0;
        pid_t pid = start_child(commit_forever, &in);
        while (acknowledged < target)
            CU_ASSERT_EQUAL_FATAL(read(in, &acknowledged, sizeof(acknowledged)), 8);
        kill_child(pid);
        while (read(in, &acknowledged, sizeof(acknowledged)) == 8)
            ;
        close(in);
        struct fixture fixture;
        open_store(&fixture, uri_of("crash"));
        const char *loaded = load(&fixture);
        size_t runs = count_lines(loaded, "run ");
        CU_ASSERT(runs >= acknowledged);
        CU_ASSERT_EQUAL(count_lines(loaded, "task "), runs * CRASH_TASKS);
        CU_ASSERT_EQUAL(fixture.last_event, runs * CRASH_TASKS);
        close_store(&fixture);
        unlink(path_of("crash"));
    }
}

static void test_full_disk_applies_nothing(void)
{
    struct fixture fixture;
    struct batch batch;
    char uri[700];
    batch_init(&batch);
    snprintf(uri, sizeof(uri), "%s?max_pages=60", uri_of("full"));
    open_store(&fixture, uri);
    uint64_t run = 0;
    enum synk_status status = SYNK_OK;
    struct synk_bytes error = bytes_of(arena_zalloc(&batch.arena, 1, 2000), 2000);
    memset((char *)error.data, 'x', error.size);
    while (status == SYNK_OK && run < 100) {
        batch.record_count = 0;
        run++;
        add_run(&batch, run, "p", run, RUN_RUNNING, 10);
        for (uint32_t i = 0; i < 10; i++)
            add_task(&batch, run, i, TASK_RETRY_WAIT)->task.error = error;
        status = commit(&fixture, &batch);
    }
    CU_ASSERT_EQUAL(status, SYNK_STORE_DOWN);
    CU_ASSERT(has(fixture.error.text, "full"));
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_STORE_DOWN);
    /* It still answers, and has nothing of the last batch. */
    struct query query = {.kind = QUERY_RUN, .unit = bytes_str("p")};
    char last[32];
    snprintf(last, sizeof(last), "\"run\":\"p#%d\"", (int)run - 1);
    CU_ASSERT(has(ask(&fixture, &query), last));
    close_store(&fixture);
    /* With room again, the same batch goes in. */
    open_store(&fixture, uri_of("full"));
    CU_ASSERT_EQUAL(count_lines(load(&fixture), "task "), (run - 1) * 10);
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    CU_ASSERT_EQUAL(count_lines(load(&fixture), "task "), run * 10);
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_run_page(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_every_kind(&batch);
    struct record *record = add_task(&batch, 5, 0, TASK_SUCCEEDED);
    record->task.started_at = 100;
    record->task.ended_at = 350;
    record->task.result = bytes_of("\x92\x01\xc3", 3);
    open_store(&fixture, "memory:");
    commit(&fixture, &batch);
    struct live_task live[] = {
        {.task = 0, .state = TASK_RUNNING, .attempts = 9},
        {.task = 1,
         .state = TASK_RUNNING,
         .attempts = 4,
         .host = bytes_str("h2"),
         .started_at = 60},
        {.task = 2, .state = TASK_READY, .reason = bytes_str("waits")},
    };
    struct query query = {.kind = QUERY_RUN, .unit = bytes_str("p"), .number = 2};
    CU_ASSERT_STRING_EQUAL(
        ask(&fixture, &query),
        "{\"run\":\"p#2\",\"id\":5,\"unit\":\"p\",\"status\":\"running\",\"params\":null,"
        "\"error\":null,\"by\":\"client\",\"createdAt\":5000,\"startedAt\":null,"
        "\"endedAt\":null,\"durationMs\":null,\"taskCount\":3,\"from\":0,\"next\":null,\"tasks\":["
        "{\"worker\":\"a\",\"state\":\"succeeded\",\"attempts\":1,\"result\":[1,true],"
        "\"error\":null,\"host\":null,\"startedAt\":100,\"endedAt\":350,\"durationMs\":250,"
        "\"reason\":null},"
        "{\"worker\":\"b\",\"state\":\"retry-wait\",\"attempts\":3,\"result\":1,"
        "\"error\":\"broke\",\"host\":\"local\",\"startedAt\":10,\"endedAt\":30,"
        "\"durationMs\":20,\"reason\":\"why\"},"
        "{\"worker\":\"c\",\"state\":\"pending\",\"attempts\":0,\"result\":null,\"error\":null,"
        "\"host\":null,\"startedAt\":null,\"endedAt\":null,\"durationMs\":null,"
        "\"reason\":null}]}");
    query.live = true;
    query.live_status = RUN_CANCELLED;
    query.task_count = 3;
    query.live_tasks = live;
    query.live_task_count = 3;
    const char *json = ask(&fixture, &query);
    CU_ASSERT(has(json, "\"status\":\"cancelled\""));
    CU_ASSERT(has(json, "\"worker\":\"a\",\"state\":\"succeeded\",\"attempts\":1"));
    CU_ASSERT(has(json, "\"worker\":\"b\",\"state\":\"running\",\"attempts\":4,\"result\":null,"
                        "\"error\":null,\"host\":\"h2\",\"startedAt\":60,\"endedAt\":null"));
    CU_ASSERT(has(json, "\"worker\":\"c\",\"state\":\"ready\""));
    CU_ASSERT(has(json, "\"reason\":\"waits\""));
    query.from = 1;
    query.limit = 1;
    query.live_tasks = live + 1;
    query.live_task_count = 1;
    json = ask(&fixture, &query);
    CU_ASSERT(has(json, "\"from\":1,\"next\":2,\"tasks\":[{\"worker\":\"b\""));
    CU_ASSERT_PTR_NULL(strstr(json, "\"worker\":\"c\""));
    query.from = 3;
    CU_ASSERT(has(ask(&fixture, &query), "\"from\":3,\"next\":null,\"tasks\":[]"));
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_run_page_attempts(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_every_kind(&batch);
    open_store(&fixture, "memory:");
    commit(&fixture, &batch);
    struct query query = {
        .kind = QUERY_RUN, .run = 5, .with_attempts = true, .from = 1, .limit = 1};
    CU_ASSERT(has(ask(&fixture, &query),
                  "\"attemptList\":[{\"attempt\":1,\"outcome\":\"lost\",\"host\":\"local\","
                  "\"error\":\"gone\",\"startedAt\":1,\"endedAt\":2,\"exit\":null,\"signal\":9,"
                  "\"userUs\":null,\"systemUs\":null,\"maxRssKib\":null},"
                  "{\"attempt\":3,\"outcome\":\"failed\",\"host\":\"local\",\"error\":\"broke\","
                  "\"startedAt\":10,\"endedAt\":30,\"exit\":null,\"signal\":9,\"userUs\":1,"
                  "\"systemUs\":2,\"maxRssKib\":3}]"));
    struct live_task live = {.task = 1, .state = TASK_RUNNING, .attempts = 4, .started_at = 60};
    query.live = true;
    query.task_count = 3;
    query.live_tasks = &live;
    query.live_task_count = 1;
    CU_ASSERT(has(ask(&fixture, &query), "{\"attempt\":4,\"outcome\":null,"));
    query.from = 2;
    CU_ASSERT(has(ask(&fixture, &query), "\"attemptList\":[]"));
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_run_names(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_process(&batch);
    add_run(&batch, 6, "alone", 1, RUN_SUCCEEDED, 1);
    add_run(&batch, 7, "pool", 3, RUN_SUCCEEDED, 2)->run.spec = bytes_of("\x80", 1);
    add_run(&batch, 8, "p", 2, RUN_SUCCEEDED, 1)->run.worker = bytes_str("c");
    open_store(&fixture, "memory:");
    commit(&fixture, &batch);
    struct query query = {.kind = QUERY_RUN, .unit = bytes_str("alone")};
    CU_ASSERT(has(ask(&fixture, &query), "\"tasks\":[{\"worker\":\"alone\",\"state\":\"pending\""));
    query.unit = bytes_str("pool");
    CU_ASSERT(has(ask(&fixture, &query), "{\"worker\":\"1\",\"state\":\"pending\""));
    query.unit = bytes_str("p/c");
    query.number = 2;
    const char *json = ask(&fixture, &query);
    CU_ASSERT(has(json, "\"run\":\"p/c#2\",\"id\":8,"));
    CU_ASSERT(has(json, "{\"worker\":\"c\",\"state\":\"pending\""));
    query.unit = bytes_str("p");
    query.number = 0;
    CU_ASSERT(has(ask(&fixture, &query), "\"run\":\"p#2\",\"id\":5,"));
    query.number = 3;
    CU_ASSERT_STRING_EQUAL(ask(&fixture, &query), "no run 'p#3'");
    CU_ASSERT_EQUAL(fixture.status, SYNK_NOT_FOUND);
    query.unit = bytes_str("x");
    query.number = 0;
    CU_ASSERT_STRING_EQUAL(ask(&fixture, &query), "no run 'x#last'");
    query.run = 99;
    CU_ASSERT_STRING_EQUAL(ask(&fixture, &query), "no run number 99");
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_tasks_of_a_run_that_never_started_have_its_end(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_run(&batch, 1, "alone", 1, RUN_CANCELLED, 1)->run.ended_at = 77;
    add_run(&batch, 2, "alone", 2, RUN_SKIPPED, 1);
    open_store(&fixture, "memory:");
    commit(&fixture, &batch);
    struct query query = {.kind = QUERY_RUN, .run = 1};
    const char *json = ask(&fixture, &query);
    CU_ASSERT(has(json, "\"worker\":\"alone\",\"state\":\"cancelled\""));
    CU_ASSERT(has(json, "\"endedAt\":77,\"durationMs\":null,\"reason\":null"));
    query.run = 2;
    CU_ASSERT(has(ask(&fixture, &query), "\"state\":\"skipped\""));
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_page_ends_before_the_frame_does(void)
{
    enum { TASKS = 6 };
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    uint8_t *big = arena_zalloc(&batch.arena, 1, LIMIT_VALUE_BYTES);
    memcpy(big, "\xc6\x00\x0f\xff\xfb", 5);
    add_run(&batch, 1, "p", 1, RUN_SUCCEEDED, TASKS);
    for (uint32_t i = 0; i < TASKS; i++)
        add_task(&batch, 1, i, TASK_SUCCEEDED)->task.result = bytes_of(big, LIMIT_VALUE_BYTES);
    open_store(&fixture, "memory:");
    commit(&fixture, &batch);
    struct query query = {.kind = QUERY_RUN, .run = 1};
    const char *json = ask(&fixture, &query);
    CU_ASSERT(strstr(json, "\"next\":3,") != NULL);
    query.from = 3;
    CU_ASSERT(strstr(ask(&fixture, &query), "\"next\":null,") != NULL);
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_list_runs(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    for (uint64_t run = 1; run <= 6; run++)
        add_run(&batch, run, run % 2 ? "odd" : "even", run, run == 3 ? RUN_FAILED : RUN_SUCCEEDED,
                1);
    open_store(&fixture, "memory:");
    commit(&fixture, &batch);
    struct query query = {.kind = QUERY_RUNS, .limit = 1, .status = -1, .unit = bytes_str("odd")};
    CU_ASSERT_STRING_EQUAL(ask(&fixture, &query),
                           "{\"items\":[{\"run\":\"odd#5\",\"id\":5,\"unit\":\"odd\","
                           "\"status\":\"succeeded\",\"by\":\"client\",\"error\":null,"
                           "\"createdAt\":5000,\"startedAt\":null,\"endedAt\":null,"
                           "\"taskCount\":1,\"done\":null,\"failed\":null}],\"cursor\":5}");
    query.cursor = 5;
    CU_ASSERT(has(ask(&fixture, &query), "\"run\":\"odd#3\""));
    CU_ASSERT(has(fixture.json, "\"cursor\":3}"));
    query.cursor = 3;
    CU_ASSERT(has(ask(&fixture, &query), "\"cursor\":null}"));
    query = (struct query){.kind = QUERY_RUNS, .status = RUN_FAILED};
    CU_ASSERT(has(ask(&fixture, &query), "{\"items\":[{\"run\":\"odd#3\""));
    CU_ASSERT(has(fixture.json, "\"cursor\":null}"));
    query = (struct query){.kind = QUERY_RUNS, .status = -1, .since = 6000};
    CU_ASSERT(has(ask(&fixture, &query), "{\"items\":[{\"run\":\"even#6\""));
    CU_ASSERT_PTR_NULL(strstr(fixture.json, "odd"));
    close_store(&fixture);
    batch_fini(&batch);
}

/* The numbers of the events in an answer, and the rest of it. */
static const char *fetch(struct fixture *fixture, const struct query *query)
{
    const char *json = ask(fixture, query);
    buf_clear(&fixture->text);
    for (const char *at = json; (at = strstr(at, "\"seq\":")); at++)
        buf_printf(&fixture->text, "%d ", atoi(at + 6));
    buf_printf(&fixture->text, "%s", strstr(json, "],\"next\"") + 2);
    buf_append(&fixture->text, "", 1);
    return (const char *)fixture->text.data;
}

static void commit_events(struct fixture *fixture, uint64_t first, uint64_t last)
{
    struct batch batch;
    batch_init(&batch);
    for (uint64_t number = first; number <= last; number++)
        add_event(&batch, number, number % 2 ? "start" : "complete", number > 4 ? "p" : "q",
                  number > 6 ? "p#12" : "p#1");
    CU_ASSERT_EQUAL(commit(fixture, &batch), SYNK_OK);
    batch_fini(&batch);
}

static void test_fetch_events(void)
{
    struct fixture fixture;
    open_store(&fixture, "memory:");
    struct query query = {.kind = QUERY_EVENTS};
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query), "\"next\":0,\"head\":0,\"first\":1}");
    commit_events(&fixture, 1, 3);
    commit_events(&fixture, 4, 8);
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query),
                           "1 2 3 4 5 6 7 8 \"next\":8,\"head\":8,\"first\":1}");
    query.from_event = 2;
    query.limit = 3;
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query), "3 4 5 \"next\":5,\"head\":8,\"first\":1}");
    query.from_event = 8;
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query), "\"next\":8,\"head\":8,\"first\":1}");
    query = (struct query){.kind = QUERY_EVENTS, .types = bytes_str("error start")};
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query), "1 3 5 7 \"next\":8,\"head\":8,\"first\":1}");
    query.unit = bytes_str("p");
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query), "5 7 \"next\":8,\"head\":8,\"first\":1}");
    query.number = 1;
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query), "1 3 5 \"next\":8,\"head\":8,\"first\":1}");
    query.number = 12;
    query.types = bytes_str("");
    CU_ASSERT_STRING_EQUAL(fetch(&fixture, &query), "7 8 \"next\":8,\"head\":8,\"first\":1}");
    close_store(&fixture);
}

static void test_run_is_loaded_again(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_process(&batch);
    batch.records[batch.record_count - 1].run.status = RUN_FAILED;
    add_task(&batch, 5, 2, TASK_FAILED)->task.result = bytes_of("\x07", 1);
    open_store(&fixture, "memory:");
    commit(&fixture, &batch);
    struct query query = {.kind = QUERY_LOAD_RUN, .run = 5};
    ask(&fixture, &query);
    CU_ASSERT_STRING_EQUAL((char *)fixture.loaded.data,
                           "run 5 p/#2 v1 failed 0 of 3 by client (0) (0)  5000 0 0\n"
                           "definition p v1 3 header\n"
                           "worker p v1 0 (20)\nworker p v1 1 (20)\nworker p v1 2 (20)\n"
                           "task 5.2 failed c0 a1 e0 @ 0-0 due 0 exit 0 sig 0 0 0 0 0 (1) ||0\n");
    query.run = 6;
    CU_ASSERT_STRING_EQUAL(ask(&fixture, &query), "no run number 6");
    close_store(&fixture);
    batch_fini(&batch);
}

static void note_values(void *context, const struct synk_bytes *values, size_t count)
{
    struct fixture *fixture = context;
    fixture->open_answers--;
    for (size_t i = 0; i < count; i++)
        buf_printf(&fixture->text, "[%.*s]", TEXT(values[i]));
}

static void note_order(void *context, enum synk_status status, const struct synk_error *error,
                       int64_t commit_us)
{
    (void)error, (void)commit_us;
    struct fixture *fixture = context;
    fixture->open_answers--;
    buf_printf(&fixture->text, "commit %d ", status);
}

struct again {
    struct fixture *fixture;
    struct batch *batch;
};

static void commit_again(void *context, enum synk_status status, const struct synk_error *error,
                         int64_t commit_us)
{
    struct again *again = context;
    note_order(again->fixture, status, error, commit_us);
    store_commit(again->fixture->store, again->batch, note_order, again->fixture);
}

static void test_values_and_order(void)
{
    struct fixture fixture;
    struct batch batch, second;
    batch_init(&batch);
    batch_init(&second);
    add_task(&batch, 1, 0, TASK_SUCCEEDED)->task.result = bytes_str("7");
    add_task(&batch, 1, 1, TASK_SUCCEEDED);
    add_task(&second, 1, 0, TASK_SUCCEEDED)->task.result = bytes_str("8");
    struct value_ref refs[] = {{1, 0}, {1, 1}, {1, 2}, {1, 0}};
    open_store(&fixture, "memory:");
    fixture.open_answers = 5;
    store_commit(fixture.store, &batch, note_order, &fixture);
    store_values(fixture.store, refs, 4, note_values, &fixture);
    store_commit(fixture.store, &second, note_order, &fixture);
    store_values(fixture.store, refs, 1, note_values, &fixture);
    store_values(fixture.store, refs, 0, note_values, &fixture);
    await(&fixture);
    buf_append(&fixture.text, "", 1);
    CU_ASSERT_STRING_EQUAL((char *)fixture.text.data, "commit 0 [7][][][7]commit 0 [8]");
    /* Closing waits for what was handed in, and for what its callback hands in. */
    fixture.open_answers = 2;
    struct again again = {&fixture, &second};
    store_commit(fixture.store, &batch, commit_again, &again);
    store_close(fixture.store);
    CU_ASSERT_EQUAL(fixture.open_answers, 0);
    fixture.store = NULL;
    close_store(&fixture);
    batch_fini(&batch);
    batch_fini(&second);
}

static void test_backup(void)
{
    struct fixture fixture;
    struct batch batch;
    char path[600];
    snprintf(path, sizeof(path), "%s", path_of("copy"));
    batch_init(&batch);
    add_every_kind(&batch);
    open_store(&fixture, uri_of("original"));
    commit(&fixture, &batch);
    struct query query = {.kind = QUERY_BACKUP, .path = bytes_str(path)};
    CU_ASSERT(has(ask(&fixture, &query), "/copy\",\"bytes\":"));
    ask(&fixture, &query);
    CU_ASSERT_EQUAL(fixture.status, SYNK_EXISTS);
    query.path = bytes_str("/no/such/directory/copy");
    ask(&fixture, &query);
    CU_ASSERT_EQUAL(fixture.status, SYNK_NOT_FOUND);
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    close_store(&fixture);
    struct stat info;
    CU_ASSERT_EQUAL(stat(path, &info), 0);
    CU_ASSERT_EQUAL(info.st_mode & 0777, 0600);
    open_store(&fixture, uri_of("copy"));
    CU_ASSERT_STRING_EQUAL(load(&fixture), every_kind);
    close_store(&fixture);
    batch_fini(&batch);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"round-trip", test_round_trip},
        {"replace-and-remove", test_replace_and_remove},
        {"load-leaves-out-the-past", test_load_leaves_out_the_past},
        {"bad-rows-are-quarantined", test_bad_rows_are_quarantined},
        {"rows-are-readable", test_rows_are_readable},
        {"files-that-are-refused", test_files_that_are_refused},
        {"second-opener-is-told", test_second_opener_is_told},
        {"batches-are-whole-after-a-kill", test_batches_are_whole_after_a_kill},
        {"full-disk-applies-nothing", test_full_disk_applies_nothing},
        {"run-page", test_run_page},
        {"run-page-attempts", test_run_page_attempts},
        {"run-names", test_run_names},
        {"tasks-of-a-run-that-never-started-have-its-end",
         test_tasks_of_a_run_that_never_started_have_its_end},
        {"page-ends-before-the-frame-does", test_page_ends_before_the_frame_does},
        {"list-runs", test_list_runs},
        {"fetch-events", test_fetch_events},
        {"run-is-loaded-again", test_run_is_loaded_again},
        {"values-and-order", test_values_and_order},
        {"backup", test_backup},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "store", cases);
}
