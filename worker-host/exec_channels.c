/*
 * Starting a command. Between vfork and execve the child shares the runner's memory while the
 * runner is suspended, so it makes system calls only and tells a failure in a variable: no pipe for
 * errno, no copy of page tables. posix_spawn could not bind the command to the runner's life
 * (PR_SET_PDEATHSIG).
 *
 * Invariant: every descriptor here is above 3 and close-on-exec.
 */
#include "worker-host/exec_channels.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool open_pipe(int ends[2])
{
    return pipe2(ends, O_CLOEXEC) == 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
}

static void close_pipe(int ends[2])
{
    for (int i = 0; i < 2; i++)
        if (ends[i] > 0)
            close(ends[i]);
    ends[0] = ends[1] = 0;
}

enum synk_status exec_channels_open(struct exec_channels *channels, struct synk_error *error)
{
    if (channels->is_open)
        return SYNK_OK;
    *channels = (struct exec_channels){.input = memfd_create("input", MFD_CLOEXEC)};
    if (channels->input < 0 || !open_pipe(channels->output) || !open_pipe(channels->error) ||
        !open_pipe(channels->report)) {
        int problem = errno;
        exec_channels_close(channels);
        return status_fail(error, SYNK_IO, "cannot open pipes for a command: %s",
                           strerror(problem));
    }
    snprintf(channels->input_path, sizeof(channels->input_path), "/proc/%d/fd/%d", (int)getpid(),
             channels->input);
    channels->is_open = true;
    return SYNK_OK;
}

void exec_channels_close(struct exec_channels *channels)
{
    close_pipe(channels->output);
    close_pipe(channels->error);
    close_pipe(channels->report);
    if (channels->input > 0)
        close(channels->input);
    *channels = (struct exec_channels){0};
}

enum synk_status exec_channels_set_input(struct exec_channels *channels, struct synk_bytes json,
                                         struct synk_error *error)
{
    if (ftruncate(channels->input, 0))
        return status_fail(error, SYNK_IO, "cannot write the task's JSON: %s", strerror(errno));
    for (size_t at = 0; at < json.size;) {
        ssize_t wrote =
            pwrite(channels->input, (const uint8_t *)json.data + at, json.size - at, (off_t)at);
        if (wrote < 0 && errno != EINTR)
            return status_fail(error, SYNK_IO, "cannot write the task's JSON: %s", strerror(errno));
        at += wrote > 0 ? (size_t)wrote : 0;
    }
    return SYNK_OK;
}

enum spawn_step { STEP_NONE, STEP_SETUP, STEP_CWD, STEP_PROGRAM };
/* What the child is given, and where it tells. */
struct spawn {
    const struct exec_channels *channels;
    const struct exec_command *command;
    int stdin_fd; /* -1 = leave */
    pid_t runner;
    volatile enum spawn_step step;
    volatile int problem;
};

/* Dispositions and mask back to what a program expects. The raw calls: libraries keep books in
 * memory that is not the child's. */
static void reset_signals(void)
{
    static const struct {
        void *handler;
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } as_default;
    static const uint64_t none;
    for (int number = 1; number < 32; number++)
        if (number != SIGKILL && number != SIGSTOP)
            syscall(SYS_rt_sigaction, number, &as_default, NULL, sizeof(uint64_t));
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(uint64_t));
}

static _Noreturn void fail(struct spawn *spawn, enum spawn_step step)
{
    spawn->problem = errno;
    spawn->step = step;
    _exit(127);
}

static _Noreturn void become(struct spawn *spawn)
{
    const struct exec_command *command = spawn->command;
    if (setpgid(0, 0) || prctl(PR_SET_PDEATHSIG, SIGKILL))
        fail(spawn, STEP_SETUP);
    if (getppid() != spawn->runner)
        _exit(127);
    if ((spawn->stdin_fd >= 0 && dup2(spawn->stdin_fd, 0) < 0) ||
        dup2(spawn->channels->output[1], 1) < 0 || dup2(spawn->channels->error[1], 2) < 0 ||
        dup2(spawn->channels->report[1], 3) < 0)
        fail(spawn, STEP_SETUP);
    if (command->cwd && chdir(command->cwd))
        fail(spawn, STEP_CWD);
    reset_signals();
    int denied = 0;
    for (size_t i = 0; command->programs[i]; i++) {
        execve(command->programs[i], command->argv, command->environment);
        if (errno == EACCES)
            denied = EACCES; /* found, so say this rather than that the next one is not there */
        else if (errno != ENOENT && errno != ENOTDIR)
            break;
    }
    if (denied && (errno == ENOENT || errno == ENOTDIR))
        errno = denied;
    fail(spawn, STEP_PROGRAM);
}

/* Apart, so that the compiler keeps no variable in a register over the double return. */
static __attribute__((noinline)) pid_t start(struct spawn *spawn)
{
    pid_t pid = vfork();
    if (pid == 0)
        become(spawn);
    return pid;
}

enum synk_status exec_spawn(const struct exec_channels *channels,
                            const struct exec_command *command, pid_t *ret_pid,
                            struct synk_error *error)
{
    struct spawn spawn = {
        .channels = channels, .command = command, .stdin_fd = -1, .runner = getpid()};
    if (command->reads_input) {
        spawn.stdin_fd = open(channels->input_path, O_RDONLY | O_CLOEXEC);
        if (spawn.stdin_fd < 0)
            return status_fail(error, SYNK_FAILED, "cannot open the task's JSON: %s",
                               strerror(errno));
    }
    pid_t pid = start(&spawn);
    int problem = pid < 0 ? errno : spawn.problem;
    if (spawn.stdin_fd >= 0)
        close(spawn.stdin_fd);
    if (pid < 0)
        return status_fail(error, SYNK_FAILED, "cannot start a process: %s", strerror(problem));
    if (spawn.step == STEP_CWD)
        return status_fail(error, SYNK_FAILED, "cannot enter cwd '%s': %s", command->cwd,
                           strerror(problem));
    if (spawn.step == STEP_PROGRAM)
        return status_fail(error, SYNK_FAILED, "cannot run '%s': %s", command->argv[0],
                           problem == ENOEXEC ? "not a program, and no script with a #! line"
                                              : strerror(problem));
    if (spawn.step == STEP_SETUP)
        return status_fail(error, SYNK_FAILED, "cannot set up '%s': %s", command->argv[0],
                           strerror(problem));
    *ret_pid = pid;
    return SYNK_OK;
}
