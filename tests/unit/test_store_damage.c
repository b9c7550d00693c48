/* Damage on the disk that is met while reading: an error that names the file, never half an answer,
 * and no value that is not the stored one. */
#include <fcntl.h>
#include <unistd.h>

#include "tests/support/store_fixture.h"

enum { PAGE_BYTES = 4096 };

/* Writes a file with one of everything, and ruins the first page of one table. */
static void ruin(struct fixture *fixture, const char *name, const char *table)
{
    static uint8_t junk[PAGE_BYTES];
    struct batch batch;
    struct buf out = {0};
    char sql[128];
    batch_init(&batch);
    add_every_kind(&batch);
    add_event(&batch, 1, "start", "p", "p#2");
    open_store(fixture, uri_of(name));
    CU_ASSERT_EQUAL(commit(fixture, &batch), SYNK_OK);
    close_store(fixture);
    batch_fini(&batch);
    snprintf(sql, sizeof(sql), "SELECT rootpage FROM sqlite_master WHERE name='%s'", table);
    int page = atoi(look(&out, path_of(name), sql));
    buf_fini(&out);
    CU_ASSERT_FATAL(page > 1);
    memset(junk, 0xee, sizeof(junk));
    int fd = open(path_of(name), O_WRONLY);
    CU_ASSERT_EQUAL(pwrite(fd, junk, sizeof(junk), (off_t)(page - 1) * PAGE_BYTES), PAGE_BYTES);
    close(fd);
    open_store(fixture, uri_of(name));
}

static void test_a_page_that_cannot_be_read_is_an_error(void)
{
    static const struct {
        const char *table;
        enum query_kind kind;
        bool with_attempts;
    } cases[] = {
        {"runs", QUERY_RUN, false},         {"tasks", QUERY_RUN, false},
        {"attempts", QUERY_RUN, true},      {"workers", QUERY_RUN, false},
        {"runs", QUERY_RUNS, false},        {"event_batches", QUERY_EVENTS, false},
        {"runs", QUERY_LOAD_RUN, false},    {"definitions", QUERY_LOAD_RUN, false},
        {"workers", QUERY_LOAD_RUN, false}, {"tasks", QUERY_LOAD_RUN, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct fixture fixture;
        char name[32];
        snprintf(name, sizeof(name), "page-%zu", i);
        ruin(&fixture, name, cases[i].table);
        struct query query = {.kind = cases[i].kind,
                              .run = cases[i].kind == QUERY_RUN ? 5 : 0,
                              .with_attempts = cases[i].with_attempts,
                              .status = -1};
        if (cases[i].kind == QUERY_LOAD_RUN)
            query.run = 5;
        const char *answer = ask(&fixture, &query);
        if (fixture.status != SYNK_CORRUPT)
            fprintf(stderr, "%s, question %d: %s\n", cases[i].table, cases[i].kind, answer);
        CU_ASSERT_EQUAL(fixture.status, SYNK_CORRUPT);
        CU_ASSERT(has(answer, path_of(name)));
        close_store(&fixture);
    }
}

static void test_a_file_that_cannot_be_read_is_not_loaded(void)
{
    static const char *const tables[] = {"meta", "units", "definitions", "workers",      "hosts",
                                         "keys", "runs",  "tasks",       "event_batches"};
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
        struct fixture fixture;
        char name[32];
        snprintf(name, sizeof(name), "load-%zu", i);
        ruin(&fixture, name, tables[i]);
        CU_ASSERT_EQUAL(store_load(fixture.store, print_record, &fixture, &fixture.epoch,
                                   &fixture.last_event, &fixture.quarantined, &fixture.error),
                        SYNK_CORRUPT);
        CU_ASSERT(has(fixture.error.text, path_of(name)));
        close_store(&fixture);
    }
}

static void note_values(void *context, enum synk_status status, const struct synk_error *error,
                        const struct synk_bytes *values, size_t count)
{
    (void)values, (void)count;
    struct fixture *fixture = context;
    fixture->open_answers--;
    fixture->status = status;
    fixture->error = *error;
}

static void test_a_result_that_cannot_be_read_is_not_taken_for_none(void)
{
    static const struct value_ref ref = {5, 1};
    struct fixture fixture;
    struct batch batch;
    ruin(&fixture, "values", "tasks");
    fixture.open_answers = 1;
    store_values(fixture.store, &ref, 1, note_values, &fixture);
    await(&fixture);
    CU_ASSERT_EQUAL(fixture.status, SYNK_CORRUPT);
    CU_ASSERT(has(fixture.error.text, path_of("values")));
    CU_ASSERT(has(fixture.error.text, "malformed"));
    /* Nothing that may have come of it is recorded. */
    batch_init(&batch);
    add_meta(&batch, "name", "other");
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_IO);
    batch_fini(&batch);
    close_store(&fixture);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"a-page-that-cannot-be-read-is-an-error", test_a_page_that_cannot_be_read_is_an_error},
        {"a-file-that-cannot-be-read-is-not-loaded", test_a_file_that_cannot_be_read_is_not_loaded},
        {"a-result-that-cannot-be-read-is-not-taken-for-none",
         test_a_result_that_cannot_be_read_is_not_taken_for_none},
        {NULL, NULL},
    };
    return unit_main(argc, argv, "store-damage", cases);
}
