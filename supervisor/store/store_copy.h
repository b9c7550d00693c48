/*
 * What is done with a whole state while no supervisor has it: copying it to another store, and
 * checking it. Both block, and refuse with SYNK_BUSY a state that somebody uses.
 */
#ifndef STORE_STORE_COPY_H
#define STORE_STORE_COPY_H

#include "proto/status.h"
#include "supervisor/core/records.h"

struct expression_checker;

struct store_report {
    uint64_t units, definitions, workers, hosts, keys, runs, tasks, attempts, events;
    uint64_t bad;        /* records that do not decode: left out of a copy */
    uint64_t left_out;   /* of a check: records that a supervisor would leave out at its start */
    char first_bad[200]; /* why, of the first of both */
    uint32_t epoch;
    uint64_t last_event;
};

/* Copies everything from one URI to another, where nothing may be yet (SYNK_EXISTS). memory: is
 * refused (SYNK_INVALID): nothing is in it, and nothing would stay. */
enum synk_status store_copy(const char *from, const char *to, struct store_report *ret_report,
                            struct synk_error *error);
/* Reads everything, and gives an engine what a supervisor would load; it needs the checker. Nothing
 * is changed, besides that a lease is taken meanwhile. */
enum synk_status store_check(const char *uri, const struct expression_checker *checker,
                             struct store_report *ret_report, struct synk_error *error);

#endif
