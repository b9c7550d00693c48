/* Watching a run until it has ended: a line a finished task, and a progress line on a terminal. */
#ifndef SYNK_WATCH_H
#define SYNK_WATCH_H

#include <stdio.h>

#include "tools/synk/cli.h"

struct watch_options {
    const char *run;
    uint64_t from; /* events above this number; UINT64_MAX = those from now on */
    bool is_quiet; /* prints nothing */
    bool cancels;  /* a signal cancels the run instead of leaving it */
    FILE *events;  /* every event of the supervisor goes here, too, as a JSON line; or NULL */
};
/* Where nothing of the run moves for two seconds because only a person can help (no host offers a
 * function, something is paused), says so once on standard error.
 *
 * Returns the exit status that the run's end gives, EXIT_INTERRUPTED where a signal ended the
 * watch, or that of a failure. *ret_ended (free with synk_document_free) is the reply to `wait`,
 * NULL without. */
int watch_run(struct synk_client *client, const struct watch_options *options,
              struct synk_document **ret_ended);
/* The verbs' way to wait: catches signals, prints lines while it goes on and a summary, or with
 * --json the run. `from` as above. */
int watch_show(const struct cli *cli, struct synk_client *client, const char *run, uint64_t from);
/* The number of the last event that there is. */
int watch_head(struct synk_client *client, uint64_t *ret_head);

#endif
