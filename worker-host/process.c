/*
 * Processes by /proc. Invariant: nothing is killed on its number alone, since numbers are reused:
 * always a child of ours that nobody has waited for, or a group whose age fits the record.
 */
#include "worker-host/process.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct process_info {
    char state;
    pid_t parent, group;
    uint64_t start;
};

/* Field 22 of /proc/PID/stat is the start; the name in field 2 may hold spaces and parentheses. */
static bool read_info(pid_t pid, struct process_info *ret_info)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (size <= 0)
        return false;
    text[size] = '\0';
    char *at = strrchr(text, ')');
    int parent, group;
    unsigned long long start;
    if (!at || sscanf(at + 1,
                      " %c %d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
                      "%llu",
                      &ret_info->state, &parent, &group, &start) != 4)
        return false;
    ret_info->parent = parent;
    ret_info->group = group;
    ret_info->start = start;
    return true;
}

uint64_t process_start(pid_t pid)
{
    struct process_info info;
    return read_info(pid, &info) ? info.start : 0;
}

struct boot_id process_boot_id(void)
{
    struct boot_id id = {0};
    char text[64] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0)
        close(fd);
    /* 32 hexadecimal digits, with hyphens among them. */
    size_t digits = 0;
    for (ssize_t i = 0; i < size && digits < 32; i++) {
        if (!isxdigit((unsigned char)text[i]))
            continue;
        int digit = text[i] <= '9' ? text[i] - '0' : (text[i] | 0x20) - 'a' + 10;
        id.halves[digits / 16] = id.halves[digits / 16] << 4 | (uint64_t)digit;
        digits++;
    }
    return id;
}

int64_t process_boot_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool is_kept(pid_t pid, const pid_t *kept, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (kept[i] == pid)
            return true;
    return false;
}

static bool next_process(DIR *directory, pid_t *ret_pid, struct process_info *ret_info)
{
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        *ret_pid = (pid_t)atoi(entry->d_name);
        if (read_info(*ret_pid, ret_info))
            return true;
    }
    return false;
}

/* Kills each child that is not kept, waits for those that are dead; how many are still there. */
static size_t kill_children_once(const pid_t *kept, size_t kept_count)
{
    size_t left = 0;
    DIR *directory = opendir("/proc");
    if (!directory)
        return 0;
    pid_t pid, self = getpid();
    for (struct process_info info; next_process(directory, &pid, &info);) {
        if (info.parent != self || is_kept(pid, kept, kept_count))
            continue;
        kill(pid, SIGKILL);
        left += waitpid(pid, NULL, WNOHANG) != pid;
    }
    closedir(directory);
    return left;
}

bool process_kill_children(const pid_t *kept, size_t kept_count, int patience_ms)
{
    /* A killed child's own children become ours in turn: several rounds. */
    for (int waited_ms = 0;; waited_ms++) {
        siginfo_t info = {0};
        if (!kept_count && waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL))
            return true;
        if (!kill_children_once(kept, kept_count) && kept_count)
            return true;
        if (waited_ms >= patience_ms)
            return false;
        struct timespec pause = {.tv_nsec = 1000000};
        nanosleep(&pause, NULL);
    }
}

size_t process_kill_group(pid_t group, int64_t boot_ns)
{
    if (group <= 1)
        return 0;
    uint64_t ticks = (uint64_t)sysconf(_SC_CLK_TCK);
    uint64_t spawned = (uint64_t)boot_ns / (1000000000 / ticks);
    struct process_info leader;
    /* The record was made just before the spawn; half a second is far more than that takes. */
    if (read_info(group, &leader) &&
        (leader.start + 1 < spawned || leader.start > spawned + ticks / 2))
        return 0;
    DIR *directory = opendir("/proc");
    size_t told = 0;
    pid_t pid;
    for (struct process_info info; directory && next_process(directory, &pid, &info);)
        if (info.group == group && info.start + 1 >= spawned)
            told += kill(pid, SIGKILL) == 0;
    if (directory)
        closedir(directory);
    return told;
}

const char *process_signal_name(int number)
{
    static char text[16];
    const char *name = sigabbrev_np(number);
    if (!name)
        return "?";
    snprintf(text, sizeof(text), "SIG%s", name);
    return text;
}
