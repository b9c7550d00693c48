/*
 * Threads: who may touch a client, and who waits for its fd.
 *
 * Every public call holds the client's lock, and so do the callbacks that it runs: callbacks never
 * run side by side. Of the threads that block in calls one leads: it waits for the fd without the
 * lock and makes the turn. The others wait for a turn to be made, whose callbacks may be theirs.
 * Invariants: `turns` counts turns; whoever makes one without leading (an event loop of the
 * program's own, a blocking call inside a callback) rings `leader_fd`, for the leader's answer may
 * have been in it. The lock is recursive: callbacks call back. Inside a callback a blocking call
 * keeps the lock, since the frames below it are in the middle of a turn.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "client/client_internal.h"

void turn_init(struct turn *turn)
{
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&turn->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&turn->made, &monotonic);
    pthread_condattr_destroy(&monotonic);
    turn->leader_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    turn->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void turn_fini(struct turn *turn)
{
    pthread_cond_destroy(&turn->made);
    pthread_mutex_destroy(&turn->lock);
    if (turn->leader_fd >= 0)
        close(turn->leader_fd);
    if (turn->interrupt_fd >= 0)
        close(turn->interrupt_fd);
}

void client_lock(struct synk_client *client)
{
    pthread_mutex_lock(&client->turn.lock);
    client->turn.depth++;
}

void client_unlock(struct synk_client *client)
{
    client->turn.depth--;
    pthread_mutex_unlock(&client->turn.lock);
}

/* Takes an eventfd's readability away; an empty one has none. */
static void drain(int fd)
{
    eventfd_t count;
    eventfd_read(fd, &count);
}

void turn_made(struct synk_client *client, bool by_leader)
{
    struct turn *turn = &client->turn;
    turn->count++;
    if (turn->is_led && !by_leader)
        eventfd_write(turn->leader_fd, 1);
    pthread_cond_broadcast(&turn->made);
}

/* Another thread leads: waits until a turn was made, or nobody leads any more. */
static enum synk_status follow(struct turn *turn, int64_t end_ms)
{
    uint64_t before = turn->count;
    int failure = 0;
    while (turn->count == before && turn->is_led && failure != ETIMEDOUT) {
        turn->depth--;
        if (end_ms == INT64_MAX) {
            pthread_cond_wait(&turn->made, &turn->lock);
        } else {
            struct timespec end = {.tv_sec = end_ms / 1000, .tv_nsec = end_ms % 1000 * 1000000};
            failure = pthread_cond_timedwait(&turn->made, &turn->lock, &end);
        }
        turn->depth++;
    }
    return failure == ETIMEDOUT && turn->count == before ? SYNK_TIMEOUT : SYNK_OK;
}

static bool poll_fds(struct synk_client *client, bool leads, int64_t end_ms)
{
    int timeout_ms = -1;
    if (end_ms != INT64_MAX) {
        int64_t left_ms = end_ms - client_now_ms();
        timeout_ms = left_ms < 0 ? 0 : left_ms < INT32_MAX ? (int)left_ms : INT32_MAX;
    }
    struct pollfd fds[] = {{.fd = client->fd, .events = POLLIN},
                           {.fd = client->turn.leader_fd, .events = POLLIN}};
    return poll(fds, leads ? 2 : 1, timeout_ms) != 0;
}

enum synk_status turn_wait(struct synk_client *client, int64_t end_ms)
{
    struct turn *turn = &client->turn;
    bool is_nested = turn->depth > 1;
    if (turn->is_led && !is_nested)
        return follow(turn, end_ms);
    bool leads = !is_nested;
    uint64_t before = turn->count;
    if (leads) {
        turn->is_led = true;
        client_unlock(client);
    }
    bool is_due = poll_fds(client, leads, end_ms);
    if (leads) {
        client_lock(client);
        turn->is_led = false;
        drain(turn->leader_fd);
    }
    if (is_due)
        client_make_turn(client);
    bool is_made = turn->count != before;
    if (is_due)
        turn_made(client, leads);
    else if (leads)
        pthread_cond_broadcast(&turn->made); /* somebody else is to lead */
    return is_due || is_made ? SYNK_OK : SYNK_TIMEOUT;
}

void synk_client_wake(struct synk_client *client)
{
    /* It fails only where the counter is full, and then the fd is readable as it should be. A
     * signal handler must not change errno under the program. */
    int saved = errno;
    uint64_t one = 1;
    ssize_t written = write(client->turn.interrupt_fd, &one, sizeof(one));
    (void)written;
    errno = saved;
}

void turn_take_interrupt(struct turn *turn)
{
    drain(turn->interrupt_fd);
}
