/* The frame of a unit test program: a table of named cases, run by CUnit, exit status 1 on failure.
 */
#ifndef TESTS_SUPPORT_UNIT_H
#define TESTS_SUPPORT_UNIT_H

#include <CUnit/CUnit.h>

struct unit_case {
    const char *name;
    void (*run)(void);
};

/* Runs the cases (ended by a NULL name) as one suite; with an argument, only cases of that name. */
int unit_main(int argc, char **argv, const char *suite, const struct unit_case *cases);

/* A fresh empty directory of this test's own, removed at exit. */
const char *unit_directory(void);

#endif
