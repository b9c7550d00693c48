/*
 * The runner role: one process that loads the plugins and executes one task at a time, bound to its
 * host's life. It gets its descriptors by number (enum runner_fd) and everything else as arguments.
 */
#ifndef WORKER_HOST_RUNNER_H
#define WORKER_HOST_RUNNER_H

#include "worker-host/exec_channels.h"
#include "worker-host/page.h"
#include "worker-host/plugins.h"
#include "worker-host/ring.h"

/* Descriptors that a host hands to its runner, beside /dev/null as 0 and RUNNER_OUTPUT as 1 and 2.
 * */
enum runner_fd {
    RUNNER_PAGE = 3,
    RUNNER_RINGS,
    RUNNER_WAKE,   /* eventfd, blocking: tasks are there */
    RUNNER_CANCEL, /* eventfd: page.cancel was set */
    RUNNER_TIMER,  /* timerfd, polled by the host: reports are there */
    RUNNER_OUTPUT, /* memory file, appended to: what the function prints */
    RUNNER_FD_END,
};

struct runner {
    const char *dir;
    struct page *page;
    uint8_t *rings;
    struct task_reader reader;
    struct plugins plugins;
    struct exec_channels channels;
};

/* The program's main in this role; `arguments`: HOST-PID DIR, then `--plugin PATH` and `--refused
 * NAME REASON` in any number. Returns an exit status only where it cannot start. */
int runner_main(int argc, char **argv);

/* One report to the host, from any thread. Waits while the ring is full. `is_last`: the host is to
 * look soon where nothing else waits. */
void runner_report(struct runner *runner, const struct synk_bytes *pieces, size_t count,
                   bool is_last);

#endif
