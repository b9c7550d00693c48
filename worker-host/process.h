/* What /proc knows about processes, and killing what a runner left behind. Linux. */
#ifndef WORKER_HOST_PROCESS_H
#define WORKER_HOST_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Start time of a process in clock ticks since boot; 0 when it is gone. */
uint64_t process_start(pid_t pid);
/* What the kernel calls this boot of the machine; zero where it does not say. */
struct boot_id {
    uint64_t halves[2];
};
struct boot_id process_boot_id(void);
/* The boot-time clock, ns; the clock that start times are of. */
int64_t process_boot_ns(void);
/* SIGKILL to every direct child of this process that is not among `kept`, until there is none
 * (waiting for each), at most `patience_ms`. Returns whether none is left. */
bool process_kill_children(const pid_t *kept, size_t kept_count, int patience_ms);
/* SIGKILL to a process group, if it is still the one that a command spawned just after `boot_ns`
 * led: a leader of that age, or members of that age without a leader. Returns how many were told.
 * */
size_t process_kill_group(pid_t group, int64_t boot_ns);
/* "SIGSEGV" for 11; "signal 99" is written as "?" where it has no name. */
const char *process_signal_name(int number);

#endif
