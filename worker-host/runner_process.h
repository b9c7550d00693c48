/*
 * The host's end of one runner: the process, the shared memory, the descriptors. Owned by the
 * daemon, one a slot; a slot's memory and descriptors outlive the process and serve the next one.
 */
#ifndef WORKER_HOST_RUNNER_PROCESS_H
#define WORKER_HOST_RUNNER_PROCESS_H

#include <sys/resource.h>
#include <sys/types.h>

#include "worker-host/frame.h"
#include "worker-host/host.h"
#include "worker-host/plugins.h"
#include "worker-host/ring.h"

struct runner_process {
    const char *dir;
    uint32_t index;
    pid_t pid; /* 0 = none */
    int pidfd;
    int page_fd, rings_fd, wake_fd, cancel_fd, timer_fd, output_fd;
    struct page *page;
    uint8_t *rings;
    struct task_writer writer;
    uint64_t report_head;
    struct buf reports; /* copied from the ring, being read */
    struct synk_bytes unread;
    bool is_ready, is_corrupt;
    bool is_doomed; /* a signal is on its way to it */
    bool must_publish;
    uint32_t reclaimed; /* taken back for a signal's sake, not yet told */
    int64_t spawned_ns;
    uint32_t progress_count; /* of the oldest task, as last seen */
    bool saw_start;
};

/* Makes memory and descriptors of slot `index` in `dir`. SYNK_IO. */
enum synk_status runner_process_init(struct runner_process *runner, const char *dir, uint32_t index,
                                     struct synk_error *error);
/* Kills the process, if there is one, waits for it, and gives everything back. `kept` as in
 * runner_process_reap. */
void runner_process_fini(struct runner_process *runner, const pid_t *kept, size_t kept_count);
/* Starts a runner. SYNK_IO. */
enum synk_status runner_process_spawn(struct runner_process *runner, const struct plugins *plugins,
                                      struct synk_error *error);

void runner_process_give(struct runner_process *runner, const struct host_task *task);
/* Makes what was given visible, and wakes the runner where it sleeps. */
void runner_process_publish(struct runner_process *runner);
/* How many of the newest tasks were taken back, since the last call. */
uint32_t runner_process_reclaim(struct runner_process *runner);
/*
 * Ends the oldest task, and no other. END_ASK names it in the page. A signal can name only the
 * process, and a runner does not wait for us between two tasks: so first everything that it has not
 * begun is taken back (one compare-and-swap of the page's cursor, which also says what it has
 * begun), and from then on it cannot begin anything. Where it had already begun a later task, the
 * oldest one is over, its report is on its way, and there is no signal. Else the signal meets the
 * oldest task, or a runner that has just finished it and is idle. Until that process has ended
 * nothing is published to it; where it reports a result all the same, it is killed.
 * What was taken back is told by runner_process_reclaim.
 */
void runner_process_end(struct runner_process *runner, enum host_end how);

/* Copies all reports out of the ring; then each call of _next fills one. False = no more, or the
 * memory cannot be an honest runner's: it is then killed and marked. */
void runner_process_read(struct runner_process *runner);
bool runner_process_next(struct runner_process *runner, struct report_head *ret_head,
                         struct msg_report *ret_report);

/* What the page says of the oldest task: whether it began (then when), whether it showed life since
 * the last call. */
struct runner_view {
    bool runs, is_new, has_progress;
    int64_t started_ms, started_at;
    double progress;
};
struct runner_view runner_process_view(struct runner_process *runner);

struct runner_death {
    int status; /* as from wait */
    struct rusage usage;
    bool blamed; /* it died in its oldest task */
    bool was_ready;
};
/* After its pidfd became readable, and its last reports were read: clears away what it left. `kept`
 * are the other runners. Its output stays in output_fd. */
struct runner_death runner_process_reap(struct runner_process *runner, const pid_t *kept,
                                        size_t kept_count);

/* What an earlier host in `dir` recorded as running and may have left, in this boot of the machine:
 * killed. Returns how many processes were told. Before any runner is made. */
size_t runner_leftovers_kill(const char *dir);

#endif
