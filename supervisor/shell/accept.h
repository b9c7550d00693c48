/*
 * A bound on accepted connections. libzmq 4.3.4 and before end the process when accepting on an ipc
 * socket fails for want of descriptors, so it must never come to that: connections are refused
 * while there are still some left for the supervisor's own work. Called by start.c and gauges.c.
 */
#ifndef SHELL_ACCEPT_H
#define SHELL_ACCEPT_H

#include <stdint.h>

/* `limit`: descriptors that this process may have, its soft RLIMIT_NOFILE. Before any socket is
 * bound. Until then nothing is refused. */
void accept_set_limit(uint64_t limit);
/* Connections refused so far. */
uint64_t accept_refused(void);

#endif
