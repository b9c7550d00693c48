/* A run as it is shown: merged from all its pages, as JSON or for eyes. */
#ifndef SYNK_RUN_VIEW_H
#define SYNK_RUN_VIEW_H

#include "tools/synk/cli.h"

/* Fetches the run, page by page, and prints it. An exit status that says nothing about the run's
 * own. */
int run_view_print(const struct cli *cli, struct synk_client *client, const char *run,
                   bool with_attempts);
/* Prints the first page that is there already, and the rest. */
int run_view_print_from(const struct cli *cli, struct synk_client *client,
                        const struct synk_value *page, bool with_attempts);
/* Requests one page of tasks; limit 0 = the default. */
int run_view_fetch(struct synk_client *client, const char *run, bool with_attempts, int64_t from,
                   int64_t limit, struct synk_document **ret_page);
/* Prints what the log of each failed task ends with; at most ten of them. */
int run_view_print_failures(struct synk_client *client, const char *run);
/* "RUN succeeded in 1.2 s: 4 succeeded, 1 skipped" from the reply to `wait`. */
void run_view_print_summary(const struct synk_value *ended);
/* A piece of a task's log: {data, offset, size, complete, host}. worker NULL = the only one. */
int run_view_log(struct synk_client *client, const char *run, const char *worker, int64_t attempt,
                 int64_t offset, int64_t max, struct synk_document **ret_piece);

#endif
