/*
 * The accept4 that libzmq calls in this process: the program's own definition stands before the C
 * library's. There is no other place to stop at: libzmq accepts on its I/O thread as long as there
 * is somebody to accept, and has no option for how many.
 *
 * Invariants: the kernel gives the lowest free number, so a descriptor at `highest` says that all
 * below are taken, without counting. What is refused looks to libzmq as if the peer had gone before
 * it was accepted, and to the peer as if we had: it connects again, later.
 */
#include "supervisor/shell/accept.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    /* For the pipes of a process to be started, a backup's files, and what is opened for a moment:
     * three times as many as ever at once. */
    RESERVE = 24,
};

static atomic_int highest = INT_MAX;
static atomic_uint_fast64_t refused;

void accept_set_limit(uint64_t limit)
{
    uint64_t reserve = limit / 4 < RESERVE ? limit / 4 : RESERVE;
    atomic_store(&highest, limit - reserve > INT_MAX ? INT_MAX : (int)(limit - reserve));
}

uint64_t accept_refused(void)
{
    return atomic_load(&refused);
}

__attribute__((visibility("default"))) int accept4(int fd, struct sockaddr *address,
                                                   socklen_t *size, int flags)
{
    int accepted = (int)syscall(SYS_accept4, fd, address, size, flags);
    if (accepted < atomic_load(&highest)) {
        /* The reserve is taken too, for a moment: of the two ways to say so libzmq survives this.
         */
        if (accepted < 0 && errno == EMFILE)
            errno = ENFILE;
        return accepted;
    }
    close(accepted);
    atomic_fetch_add(&refused, 1);
    errno = ECONNABORTED;
    return -1;
}
