/* A supervisor of a benchmark's own: started in a fresh directory, stopped and removed afterwards.
 */
#include <errno.h>
#include <ftw.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/status.h"
#include "tools/bench/bench.h"

double bench_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The program beside this one, as build trees and installations have it. */
static void beside(const char *name, char *ret_path, size_t size)
{
    char self[PATH_MAX] = "";
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length > 0)
        self[length] = '\0';
    snprintf(ret_path, size, "%s/%s", dirname(self), name);
}

static enum synk_status await_ready(int fd, pid_t pid, struct synk_error *error)
{
    char text[16];
    ssize_t got;
    do
        got = read(fd, text, sizeof(text));
    while (got < 0 && errno == EINTR);
    if (got > 0)
        return SYNK_OK;
    int state = 0;
    waitpid(pid, &state, 0);
    return status_fail(error, SYNK_UNAVAILABLE,
                       "the supervisor ended with status %d before it was ready",
                       WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state));
}

enum synk_status bench_supervisor_start(struct bench_supervisor *supervisor, const char *state,
                                        unsigned slots, struct synk_error *error)
{
    const char *base = getenv("TMPDIR");
    supervisor->pid = 0;
    snprintf(supervisor->directory, sizeof(supervisor->directory), "%s/synk-bench.XXXXXX",
             base ? base : "/tmp");
    if (!mkdtemp(supervisor->directory)) {
        supervisor->directory[0] = '\0';
        return status_fail(error, SYNK_IO, "mkdtemp below %s: %s", base ? base : "/tmp",
                           strerror(errno));
    }
    int ready[2];
    if (pipe(ready) != 0)
        return status_fail(error, SYNK_IO, "pipe: %s", strerror(errno));

    char program[PATH_MAX], slots_text[16], ready_text[16];
    beside("synkd", program, sizeof(program));
    snprintf(slots_text, sizeof(slots_text), "%u", slots);
    snprintf(ready_text, sizeof(ready_text), "%d", ready[1]);
    supervisor->pid = fork();
    if (supervisor->pid < 0)
        return status_fail(error, SYNK_IO, "fork: %s", strerror(errno));
    if (supervisor->pid == 0) {
        close(ready[0]);
        execl(program, "synkd", "--dir", supervisor->directory, "--slots", slots_text, "--ready-fd",
              ready_text, "--private", state ? "--state" : (char *)NULL, state, (char *)NULL);
        fprintf(stderr, "synk-bench: cannot start %s: %s\n", program, strerror(errno));
        _exit(127);
    }
    close(ready[1]);
    enum synk_status status = await_ready(ready[0], supervisor->pid, error);
    if (status)
        supervisor->pid = 0;
    close(ready[0]);
    return status;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

void bench_supervisor_stop(struct bench_supervisor *supervisor)
{
    if (supervisor->pid > 0) {
        kill(supervisor->pid, SIGTERM);
        waitpid(supervisor->pid, NULL, 0);
        supervisor->pid = 0;
    }
    if (supervisor->directory[0])
        nftw(supervisor->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    supervisor->directory[0] = '\0';
}
