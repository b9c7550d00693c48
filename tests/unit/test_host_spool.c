/* The spool's file where the disk takes nothing: a limit on file sizes stands for a full one. */
#include "worker-host/spool.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/unit.h"

/* Files may have so many bytes; RLIM_INFINITY: what the system allows. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static bool has_file(const char *name)
{
    char path[400];
    struct stat info;
    snprintf(path, sizeof(path), "%s/%s", unit_directory(), name);
    return stat(path, &info) == 0;
}

static void open_spool(struct spool *spool, const char *expected)
{
    struct buf found = {0};
    CU_ASSERT_EQUAL(spool_open(spool, unit_directory(), &found, NULL), SYNK_OK);
    CU_ASSERT(bytes_equal(buf_bytes(&found), bytes_str(expected)));
    buf_fini(&found);
}

static void test_a_failed_append_leaves_no_trace(void)
{
    struct spool spool;
    struct synk_error error = {0};
    open_spool(&spool, "");
    CU_ASSERT_EQUAL(spool_append(&spool, bytes_str("first "), NULL), SYNK_OK);
    limit_files(9);
    CU_ASSERT_EQUAL(spool_append(&spool, bytes_str("second "), &error), SYNK_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "File too large"));
    CU_ASSERT_EQUAL(spool_append(&spool, bytes_str("third "), NULL), SYNK_IO);
    limit_files(RLIM_INFINITY);
    CU_ASSERT_EQUAL(spool_append(&spool, bytes_str("second "), NULL), SYNK_OK);
    CU_ASSERT_EQUAL(spool_append(&spool, bytes_str("third "), NULL), SYNK_OK);
    spool_close(&spool);
    open_spool(&spool, "first second third ");
    spool_close(&spool);
}

static void test_a_failed_rewrite_leaves_the_old_file(void)
{
    struct spool spool;
    open_spool(&spool, "first second third ");
    limit_files(3);
    CU_ASSERT_EQUAL(spool_rewrite(&spool, bytes_str("third "), NULL), SYNK_IO);
    CU_ASSERT_FALSE(has_file("spool.new"));
    limit_files(RLIM_INFINITY);
    CU_ASSERT_EQUAL(spool_append(&spool, bytes_str("fourth "), NULL), SYNK_OK);
    spool_close(&spool);
    open_spool(&spool, "first second third fourth ");
    CU_ASSERT_EQUAL(spool_rewrite(&spool, bytes_str("third fourth "), NULL), SYNK_OK);
    CU_ASSERT_EQUAL(spool_append(&spool, bytes_str("fifth "), NULL), SYNK_OK);
    spool_close(&spool);
    open_spool(&spool, "third fourth fifth ");
    CU_ASSERT_EQUAL(spool_rewrite(&spool, bytes_of(NULL, 0), NULL), SYNK_OK);
    spool_close(&spool);
    open_spool(&spool, "");
    spool_close(&spool);
}

static void test_a_half_written_successor_is_removed(void)
{
    struct spool spool;
    char path[400];
    snprintf(path, sizeof(path), "%s/spool.new", unit_directory());
    close(open(path, O_WRONLY | O_CREAT, 0600));
    open_spool(&spool, "");
    CU_ASSERT_FALSE(has_file("spool.new"));
    spool_close(&spool);
}

static const struct unit_case cases[] = {
    {"a_failed_append_leaves_no_trace", test_a_failed_append_leaves_no_trace},
    {"a_failed_rewrite_leaves_the_old_file", test_a_failed_rewrite_leaves_the_old_file},
    {"a_half_written_successor_is_removed", test_a_half_written_successor_is_removed},
    {NULL, NULL},
};

int main(int argc, char **argv)
{
    return unit_main(argc, argv, "host spool", cases);
}
