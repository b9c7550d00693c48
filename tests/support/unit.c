#include "tests/support/unit.h"

#include <CUnit/Basic.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[256];

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static void remove_directory(void)
{
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *unit_directory(void)
{
    if (directory[0])
        return directory;
    const char *base = getenv("TMPDIR");
    snprintf(directory, sizeof(directory), "%s/synk-test.XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(directory)) {
        perror("mkdtemp");
        exit(2);
    }
    atexit(remove_directory);
    return directory;
}

int unit_main(int argc, char **argv, const char *suite_name, const struct unit_case *cases)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    CU_pSuite suite = CU_add_suite(suite_name, NULL, NULL);
    size_t added = 0;
    for (const struct unit_case *c = cases; c->name; c++)
        if (argc < 2 || strcmp(argv[1], c->name) == 0)
            added += CU_add_test(suite, c->name, c->run) != NULL;
    if (!added) {
        fprintf(stderr, "no test case named '%s'\n", argv[1]);
        return 2;
    }
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures() + CU_get_number_of_suites_failed();
    CU_cleanup_registry();
    return failures ? 1 : 0;
}
