/*
 * One runner from its host's side. Invariants: what the page and rings hold is checked before it is
 * used; a runner that scribbled is killed and from then on its memory is not read; a process is
 * signalled only while we have not waited for it; a runner that was signalled begins nothing more.
 */
#include "worker-host/runner_process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker-host/process.h"
#include "worker-host/runner.h"
#include "worker-host/task.h"

extern char **environ;

enum {
    PATH_BYTES = 4096,
    /* Descriptors for runners lie above those that they become there, so that placing one does not
     * cover the next. */
    FD_BASE = RUNNER_FD_END + 8,
    LEFTOVER_PATIENCE_MS = 200,
};

static int move_up(int fd)
{
    if (fd < 0 || fd >= FD_BASE)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, FD_BASE);
    int problem = errno;
    close(fd);
    errno = problem;
    return moved;
}

enum synk_status runner_process_init(struct runner_process *runner, const char *dir, uint32_t index,
                                     struct synk_error *error)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/runner-%u.page", dir, index);
    *runner = (struct runner_process){
        .dir = dir,
        .index = index,
        .pidfd = -1,
        .page_fd = move_up(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)),
        .rings_fd = move_up(memfd_create("rings", MFD_CLOEXEC)),
        .wake_fd = move_up(eventfd(0, EFD_CLOEXEC)),
        .cancel_fd = move_up(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        .timer_fd = move_up(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
        .output_fd = move_up(memfd_create("output", MFD_CLOEXEC)),
    };
    if (runner->page_fd < 0 || runner->rings_fd < 0 || runner->wake_fd < 0 ||
        runner->cancel_fd < 0 || runner->timer_fd < 0 || runner->output_fd < 0 ||
        fcntl(runner->output_fd, F_SETFL, O_APPEND) || ftruncate(runner->rings_fd, RINGS_BYTES))
        return status_fail(error, SYNK_IO, "cannot set up runner %u in %s: %s", index, dir,
                           strerror(errno));
    /* Blocks and all: a mapped hole that finds the disk full kills whoever touches it. */
    int problem = posix_fallocate(runner->page_fd, 0, PAGE_BYTES);
    if (problem)
        return status_fail(error, SYNK_IO, "cannot set up runner %u in %s: %s", index, dir,
                           strerror(problem));
    return page_map(runner->page_fd, runner->rings_fd, &runner->page, &runner->rings, error);
}

void runner_process_fini(struct runner_process *runner, const pid_t *kept, size_t kept_count)
{
    if (runner->pid) {
        kill(-runner->pid, SIGKILL);
        runner_process_reap(runner, kept, kept_count);
    }
    int fds[] = {runner->page_fd,   runner->rings_fd, runner->wake_fd,
                 runner->cancel_fd, runner->timer_fd, runner->output_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] > 0)
            close(fds[i]);
    page_unmap(runner->page, runner->rings);
    buf_fini(&runner->reports);
}

/* Everything as a new runner expects it. */
static void reset(struct runner_process *runner)
{
    struct page *page = runner->page;
    memset(page, 0, sizeof(*page));
    task_writer_init(&runner->writer, page, runner->rings);
    runner->report_head = 0;
    runner->unread = bytes_of(NULL, 0);
    runner->is_ready = runner->is_corrupt = runner->is_doomed = false;
    runner->must_publish = runner->saw_start = false;
    runner->progress_count = runner->reclaimed = 0;
    if (ftruncate(runner->output_fd, 0))
        abort(); /* an old runner's output would be the next task's */
    struct boot_id boot = process_boot_id();
    for (int i = 0; i < 2; i++)
        atomic_store(&page->boot_id[i], boot.halves[i]);
    atomic_store(&page->magic, PAGE_MAGIC);
}

static char **build_argv(const struct runner_process *runner, const struct plugins *plugins,
                         char *host_pid, size_t host_pid_size)
{
    char **argv =
        mem_zalloc(5 + 2 * plugins->path_count + 3 * plugins->refused_count, sizeof(*argv));
    size_t count = 0;
    snprintf(host_pid, host_pid_size, "%d", (int)getpid());
    argv[count++] = "synk-worker-host";
    argv[count++] = "--runner";
    argv[count++] = host_pid;
    argv[count++] = (char *)(uintptr_t)runner->dir;
    for (size_t i = 0; i < plugins->path_count; i++) {
        argv[count++] = "--plugin";
        argv[count++] = plugins->paths[i];
    }
    for (size_t i = 0; i < plugins->refused_count; i++) {
        argv[count++] = "--refused";
        argv[count++] = plugins->refused[i].name;
        argv[count++] = plugins->refused[i].reason;
    }
    return argv;
}

enum synk_status runner_process_spawn(struct runner_process *runner, const struct plugins *plugins,
                                      struct synk_error *error)
{
    const int fds[][2] = {{runner->output_fd, 1},           {runner->output_fd, 2},
                          {runner->page_fd, RUNNER_PAGE},   {runner->rings_fd, RUNNER_RINGS},
                          {runner->wake_fd, RUNNER_WAKE},   {runner->cancel_fd, RUNNER_CANCEL},
                          {runner->timer_fd, RUNNER_TIMER}, {runner->output_fd, RUNNER_OUTPUT}};
    char host_pid[16];
    reset(runner);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        posix_spawn_file_actions_adddup2(&actions, fds[i][0], fds[i][1]);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    char **argv = build_argv(runner, plugins, host_pid, sizeof(host_pid));
    pid_t pid;
    int problem = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, argv, environ);
    free(argv);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (problem)
        return status_fail(error, SYNK_IO, "cannot start a runner: %s", strerror(problem));
    runner->pid = pid;
    runner->spawned_ns = task_clock_ns();
    runner->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (runner->pidfd < 0) {
        problem = errno;
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        runner->pid = 0;
        return status_fail(error, SYNK_IO, "cannot watch a runner: %s", strerror(problem));
    }
    atomic_store(&runner->page->runner_start, process_start(pid));
    atomic_store(&runner->page->runner_pid, pid);
    return SYNK_OK;
}

static void condemn(struct runner_process *runner)
{
    runner->is_corrupt = true;
    if (runner->pid)
        kill(-runner->pid, SIGKILL);
}

void runner_process_give(struct runner_process *runner, const struct host_task *task)
{
    size_t size = task_frame_size(task->spec, task->task, task->values);
    task_frame_write(task->spec, task->task, task->values,
                     task_writer_begin(&runner->writer, size));
    runner->must_publish = true;
}

void runner_process_publish(struct runner_process *runner)
{
    bool wake = false;
    if (!runner->must_publish || runner->is_corrupt || runner->is_doomed)
        return; /* what a doomed runner was given comes back with its death */
    runner->must_publish = false;
    if (task_writer_publish(&runner->writer, &wake))
        condemn(runner);
    uint64_t one = 1;
    if (wake && write(runner->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        condemn(runner);
}

uint32_t runner_process_reclaim(struct runner_process *runner)
{
    uint32_t count = 0;
    if (!runner->is_corrupt && task_writer_reclaim(&runner->writer, &count)) {
        condemn(runner);
        count = 0;
    }
    count += runner->reclaimed;
    runner->reclaimed = 0;
    return count;
}

/* Leaves the runner nothing to begin; whether the oldest task is the last that it began. */
static bool is_cornered(struct runner_process *runner)
{
    runner->reclaimed = runner_process_reclaim(runner);
    return runner->writer.written - runner->writer.done <= 1;
}

static void signal_runner(struct runner_process *runner, int number)
{
    if (!runner->is_corrupt && !is_cornered(runner))
        return;
    runner->is_doomed = true;
    kill(-runner->pid, number);
}

void runner_process_end(struct runner_process *runner, enum host_end how)
{
    uint64_t one = 1;
    if (!runner->pid)
        return;
    switch (how) {
    case END_ASK:
        atomic_store(&runner->page->cancel, PAGE_RUNNING | runner->writer.done);
        if (write(runner->cancel_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
            condemn(runner);
        break;
    case END_TERM:
        signal_runner(runner, SIGTERM);
        break;
    case END_KILL:
        signal_runner(runner, SIGKILL);
        break;
    }
}

void runner_process_read(struct runner_process *runner)
{
    uint64_t expirations;
    if (read(runner->timer_fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
        condemn(runner);
    buf_clear(&runner->reports);
    runner->unread = bytes_of(NULL, 0);
    if (runner->is_corrupt)
        return;
    /* First this, then the ring: a report that comes later arms the timer again. */
    atomic_store(&runner->page->wake, WAKE_NONE);
    if (report_read(runner->page, runner->rings + TASK_RING_BYTES, &runner->report_head,
                    &runner->reports))
        condemn(runner);
    else
        runner->unread = buf_bytes(&runner->reports);
}

bool runner_process_next(struct runner_process *runner, struct report_head *ret_head,
                         struct msg_report *ret_report)
{
    struct task_writer *writer = &runner->writer;
    if (runner->is_corrupt || !runner->unread.size)
        return false;
    struct report_head head;
    if (report_frame_read(&runner->unread, &head, ret_report) ||
        (head.kind == FRAME_READY) == runner->is_ready ||
        (head.kind != FRAME_READY &&
         (head.number != writer->done || writer->done == writer->written))) {
        condemn(runner);
        return false;
    }
    if (head.kind == FRAME_READY)
        runner->is_ready = true;
    if (head.kind == FRAME_RESULT) {
        /* It got the better of a SIGTERM, or the signal came late: the signal's harm is done. */
        if (runner->is_doomed)
            kill(-runner->pid, SIGKILL);
        task_writer_finish(writer);
        runner->saw_start = false;
        runner->progress_count = 0;
    }
    *ret_head = head;
    return true;
}

/* A runner whose memory was overwritten may never speak again, so it is looked at as well. */
static bool looks_honest(const struct runner_process *runner)
{
    struct page *page = runner->page;
    return atomic_load(&page->magic) == PAGE_MAGIC && atomic_load(&page->wake) <= WAKE_NOW &&
           (uint32_t)atomic_load(&page->cursor) == runner->writer.published &&
           atomic_load(&page->report_head) == runner->report_head &&
           atomic_load(&page->report_tail) - runner->report_head <= REPORT_RING_BYTES;
}

struct runner_view runner_process_view(struct runner_process *runner)
{
    struct page *page = runner->page;
    struct runner_view view = {0};
    uint64_t current = PAGE_RUNNING | runner->writer.done;
    if (runner->pid && !runner->is_corrupt && !looks_honest(runner))
        condemn(runner);
    if (!runner->pid || !runner->is_ready || runner->is_corrupt ||
        runner->writer.done == runner->writer.written || atomic_load(&page->current) != current)
        return view;
    int64_t now_ns = task_clock_ns(), started_ns = atomic_load(&page->started_ns);
    uint32_t count = atomic_load(&page->progress_count);
    uint64_t bits = atomic_load(&page->progress);
    view.started_at = atomic_load(&page->started_at);
    if (atomic_load(&page->current) != current)
        return view; /* it ended meanwhile: the result tells all */
    view.runs = true;
    view.is_new = !runner->saw_start;
    if (started_ns < runner->spawned_ns || started_ns > now_ns)
        started_ns = now_ns; /* scribbled: at least the deadline holds from now on */
    view.started_ms = started_ns / 1000000;
    memcpy(&view.progress, &bits, sizeof(bits));
    view.has_progress = count != runner->progress_count && view.progress >= 0 && view.progress <= 1;
    runner->progress_count = count;
    runner->saw_start = true;
    return view;
}

struct runner_death runner_process_reap(struct runner_process *runner, const pid_t *kept,
                                        size_t kept_count)
{
    struct runner_death death = {.was_ready = runner->is_ready};
    uint32_t taken = 0;
    kill(-runner->pid, SIGKILL); /* threads of a group: children it started itself */
    while (wait4(runner->pid, &death.status, 0, &death.usage) < 0 && errno == EINTR)
        ;
    process_kill_group((pid_t)atomic_load(&runner->page->command_group),
                       atomic_load(&runner->page->command_boot_ns));
    process_kill_children(kept, kept_count, LEFTOVER_PATIENCE_MS);
    bool has_tasks = runner->writer.done != runner->writer.written;
    if (runner->is_corrupt || task_writer_taken(&runner->writer, &taken))
        death.blamed = has_tasks;
    else
        death.blamed = taken > 0;
    close(runner->pidfd);
    runner->pidfd = -1;
    runner->pid = 0;
    runner->is_ready = false;
    atomic_store(&runner->page->runner_pid, 0);
    atomic_store(&runner->page->command_group, 0);
    return death;
}

/* A process group by its leader's number and start. The descriptor first: while it is open, what
 * /proc says of the number is of no earlier process. */
static size_t kill_runner(pid_t pid, uint64_t start)
{
    size_t told = 0;
    int pidfd = pid > 1 && start ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (pidfd < 0)
        return 0;
    if (process_start(pid) == start) {
        told = syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0;
        kill(-pid, SIGKILL);
    }
    close(pidfd);
    return told;
}

static bool is_of_this_boot(const struct page *page)
{
    struct boot_id boot = process_boot_id();
    return atomic_load(&page->boot_id[0]) == boot.halves[0] &&
           atomic_load(&page->boot_id[1]) == boot.halves[1];
}

static size_t kill_recorded(const char *path)
{
    size_t told = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    uint8_t bytes[sizeof(struct page)] = {0};
    struct page *page = (struct page *)(void *)mem_alloc(sizeof(*page));
    if (pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes)) {
        memcpy(page, bytes, sizeof(*page));
        if (atomic_load(&page->magic) == PAGE_MAGIC && is_of_this_boot(page)) {
            told += kill_runner((pid_t)atomic_load(&page->runner_pid),
                                atomic_load(&page->runner_start));
            told += process_kill_group((pid_t)atomic_load(&page->command_group),
                                       atomic_load(&page->command_boot_ns));
        }
    }
    free(page);
    close(fd);
    return told;
}

size_t runner_leftovers_kill(const char *dir)
{
    size_t told = 0;
    DIR *directory = opendir(dir);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        unsigned index;
        char path[PATH_BYTES + 300], end;
        if (sscanf(entry->d_name, "runner-%u.pag%c", &index, &end) != 2 || end != 'e')
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        told += kill_recorded(path);
        unlink(path);
    }
    if (directory)
        closedir(directory);
    return told;
}
