/* The store's file: batches are whole or not there, bad files are told apart, one process has it at
 * a time, copies are whole. */
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/store/sqlite.h"
#include "tests/support/store_fixture.h"

static void run_sql(sqlite3 *db, const char *sql)
{
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fprintf(stderr, "%s: %s\n", message, sql);
    CU_ASSERT_PTR_NULL(message);
    sqlite3_free(message);
}

/* Makes the file what an earlier version would have made of it: its tables, and of their rows what
 * it had columns for. `first`: statements behind those of that version. */
static void take_back(const char *name, int version, const char *first)
{
    char path[512], newer[600], sql[1024];
    struct buf copies = {0};
    sqlite3 *db = NULL;
    snprintf(path, sizeof(path), "%s", path_of(name));
    snprintf(newer, sizeof(newer), "%s.newer", path);
    CU_ASSERT_EQUAL(rename(path, newer), 0);
    CU_ASSERT_EQUAL(sqlite3_open(path, &db), SQLITE_OK);
    for (int i = 0; i < version; i++)
        run_sql(db, sqlite_migrations[i]);
    snprintf(sql, sizeof(sql), "PRAGMA user_version=%d; ATTACH '%s' AS newer;%s", version, newer,
             first);
    run_sql(db, sql);
    CU_ASSERT_EQUAL(sqlite3_exec(db,
                                 "SELECT printf('INSERT INTO main.%s(%s) SELECT %s FROM newer.%s;',"
                                 " t, c, c, t) FROM (SELECT m.name AS t, group_concat(i.name) AS c"
                                 " FROM main.sqlite_master m, pragma_table_info(m.name) i WHERE"
                                 " m.type = 'table' GROUP BY m.name)",
                                 print_columns, &copies, NULL),
                    SQLITE_OK);
    buf_append(&copies, "", 1);
    run_sql(db, (const char *)copies.data);
    buf_fini(&copies);
    sqlite3_close(db);
    unlink(newer);
}

/* The version of a file that was just made. */
static const char *newest(void)
{
    static char version[20];
    struct fixture fixture;
    struct buf out = {0};
    open_store(&fixture, uri_of("newest"));
    close_store(&fixture);
    snprintf(version, sizeof(version), "%d",
             atoi(look(&out, path_of("newest"), "PRAGMA user_version")));
    buf_fini(&out);
    return version;
}

static void test_files_that_are_refused(void)
{
    struct fixture fixture;
    char text[100];
    open_store(&fixture, uri_of("newer"));
    close_store(&fixture);
    tamper(path_of("newer"), "PRAGMA user_version=1002;");
    CU_ASSERT_EQUAL(try_open(&fixture, uri_of("newer")), SYNK_UNSUPPORTED);
    CU_ASSERT(has(fixture.error.text, path_of("newer")));
    snprintf(text, sizeof(text), "version 1002, this program knows up to %s; start the newer",
             newest());
    CU_ASSERT(has(fixture.error.text, text));
    tamper(path_of("newer"), "PRAGMA user_version=-1;");
    CU_ASSERT_EQUAL(try_open(&fixture, uri_of("newer")), SYNK_CORRUPT);
    CU_ASSERT(has(fixture.error.text, "version -1"));
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

static void test_an_older_schema_is_upgraded(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_every_kind(&batch);
    open_store(&fixture, uri_of("older"));
    close_store(&fixture);
    take_back("older", 1, "");
    CU_ASSERT_EQUAL_FATAL(try_open(&fixture, uri_of("older")), SYNK_OK);
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(load(&fixture), every_kind);
    close_store(&fixture);
    batch_fini(&batch);
}

static const char *schema_of(struct buf *out, const char *name)
{
    return look(out, path_of(name),
                "SELECT type, name, replace(sql, 'IF NOT EXISTS ', '') FROM sqlite_master"
                " WHERE sql NOT NULL ORDER BY name");
}

static void test_files_of_earlier_versions_are_brought_up(void)
{
    /* Version 1 as first made, and as made once retention was there. */
    static const char *const made[] = {
        "",
        "CREATE INDEX runs_by_end ON runs(ended_at) WHERE status >= 2;"
        "CREATE INDEX runs_by_version ON runs(unit, version) WHERE version IS NOT NULL;"
        "CREATE TABLE removed_runs(run INTEGER PRIMARY KEY) STRICT;",
    };
    struct fixture fixture;
    struct batch batch;
    struct buf fresh = {0}, brought = {0};
    batch_init(&batch);
    add_every_kind(&batch);
    open_store(&fixture, uri_of("fresh"));
    close_store(&fixture);
    schema_of(&fresh, "fresh");
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "second" : "first";
        open_store(&fixture, uri_of(name));
        CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
        close_store(&fixture);
        take_back(name, 1, made[i]);
        open_store(&fixture, uri_of(name));
        const char *loaded = load(&fixture);
        CU_ASSERT(has(loaded, "host local "));
        CU_ASSERT(has(loaded, "task 5.1 "));
        CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
        CU_ASSERT_STRING_EQUAL(load(&fixture), every_kind);
        close_store(&fixture);
        CU_ASSERT_STRING_EQUAL(schema_of(&brought, name), (char *)fresh.data);
        CU_ASSERT_EQUAL(atoi(look(&brought, path_of(name), "PRAGMA user_version")),
                        atoi(newest()));
    }
    buf_fini(&fresh);
    buf_fini(&brought);
    batch_fini(&batch);
}

static void test_a_file_that_cannot_be_brought_up_stays_as_it_was(void)
{
    struct fixture fixture;
    struct buf out = {0};
    char text[100];
    open_store(&fixture, uri_of("stuck"));
    close_store(&fixture);
    tamper(path_of("stuck"), "DROP TABLE removed_runs; DROP TABLE hosts; PRAGMA user_version=1;");
    CU_ASSERT_EQUAL(try_open(&fixture, uri_of("stuck")), SYNK_IO);
    CU_ASSERT(has(fixture.error.text, path_of("stuck")));
    snprintf(text, sizeof(text), "from version 1 to %s: no such table: hosts", newest());
    CU_ASSERT(has(fixture.error.text, text));
    CU_ASSERT_STRING_EQUAL(look(&out, path_of("stuck"),
                                "SELECT user_version, (SELECT count(*) FROM sqlite_master WHERE"
                                " name='removed_runs') FROM pragma_user_version"),
                           "1 0\n");
    buf_fini(&out);
}

static void test_what_earlier_versions_did_not_keep_is_worked_out(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_process(&batch);
    add_task(&batch, 5, 0, TASK_READY)->task.attempts = 2; /* lost with its hosts */
    struct task_record *failed = &add_task(&batch, 5, 1, TASK_RETRY_WAIT)->task;
    failed->attempts = 3;
    failed->crashes = 1;
    open_store(&fixture, uri_of("tries"));
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    close_store(&fixture);
    take_back("tries", 2, "");
    open_store(&fixture, uri_of("tries"));
    const char *loaded = load(&fixture);
    CU_ASSERT(has(loaded, "task 5.0 ready c0 t0 a2 "));
    CU_ASSERT(has(loaded, "task 5.1 retry-wait c1 t2 a3 "));
    CU_ASSERT(has(loaded, "unit p v1 of 1 ")); /* the highest that something tells of */
    close_store(&fixture);
    batch_fini(&batch);
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
    /* Before the path, which may be long. */
    CU_ASSERT_PTR_EQUAL(strstr(fixture.error.text, "the disk is full; make room"),
                        fixture.error.text);
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
        {"files-that-are-refused", test_files_that_are_refused},
        {"an-older-schema-is-upgraded", test_an_older_schema_is_upgraded},
        {"files-of-earlier-versions-are-brought-up", test_files_of_earlier_versions_are_brought_up},
        {"a-file-that-cannot-be-brought-up-stays-as-it-was",
         test_a_file_that_cannot_be_brought_up_stays_as_it_was},
        {"what-earlier-versions-did-not-keep-is-worked-out",
         test_what_earlier_versions_did_not_keep_is_worked_out},
        {"second-opener-is-told", test_second_opener_is_told},
        {"batches-are-whole-after-a-kill", test_batches_are_whole_after_a_kill},
        {"full-disk-applies-nothing", test_full_disk_applies_nothing},
        {"backup", test_backup},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "store-files", cases);
}
