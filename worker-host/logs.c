/*
 * Logs of attempts. Invariant: a file never exceeds LIMIT_LOG_BYTES and a line that says how much
 * is missing. Failing to write a log never fails a task: the loss is counted as left out.
 */
#include "worker-host/logs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/limits.h"

enum {
    TAIL_BYTES = 256 << 10,
    HEAD_BYTES = LIMIT_LOG_BYTES - TAIL_BYTES,
    COPY_BYTES = 64 << 10,
    PATH_BYTES = 4096,
    FD_NONE = -1,
    FD_FAILED = -2,
};

void log_writer_init(struct log_writer *log, const char *dir, uint64_t run, uint32_t task,
                     uint32_t attempt)
{
    *log = (struct log_writer){
        .dir = dir, .run = run, .task = task, .attempt = attempt, .fd = FD_NONE};
}

static void open_log(struct log_writer *log)
{
    char path[PATH_BYTES];
    struct stat info;
    snprintf(path, sizeof(path), "%s/logs/%" PRIu64, log->dir, log->run);
    if (mkdir(path, 0700) && errno == ENOENT) {
        char parent[PATH_BYTES];
        snprintf(parent, sizeof(parent), "%s/logs", log->dir);
        mkdir(parent, 0700);
        mkdir(path, 0700); /* where that failed, so does open below */
    }
    snprintf(path, sizeof(path), "%s/logs/%" PRIu64 "/%" PRIu32 ".%" PRIu32 ".log", log->dir,
             log->run, log->task, log->attempt);
    log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log->fd < 0)
        log->fd = FD_FAILED;
    else if (fstat(log->fd, &info) == 0)
        log->written = (size_t)info.st_size;
}

static bool write_all(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t wrote = write(fd, data, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        data += wrote;
        size -= (size_t)wrote;
    }
    return true;
}

void log_write(struct log_writer *log, struct synk_bytes bytes)
{
    if (!bytes.size)
        return;
    if (log->fd == FD_NONE)
        open_log(log);
    const uint8_t *data = bytes.data;
    size_t room = log->written < HEAD_BYTES ? HEAD_BYTES - log->written : 0;
    size_t head = bytes.size < room ? bytes.size : room;
    if (head && (log->fd < 0 || !write_all(log->fd, data, head)))
        log->left_out += head;
    log->written += head;
    buf_append(&log->tail, data + head, bytes.size - head);
    if (log->tail.size > 2 * TAIL_BYTES) {
        size_t drop = log->tail.size - TAIL_BYTES;
        memmove(log->tail.data, log->tail.data + drop, TAIL_BYTES);
        log->tail.size = TAIL_BYTES;
        log->left_out += drop;
    }
}

void log_write_file(struct log_writer *log, int fd)
{
    uint8_t *chunk = mem_alloc(COPY_BYTES);
    off_t at = 0;
    for (;;) {
        ssize_t got = pread(fd, chunk, COPY_BYTES, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        log_write(log, bytes_of(chunk, (size_t)got));
        at += got;
    }
    free(chunk);
}

void log_writer_fini(struct log_writer *log)
{
    if (log->tail.size > TAIL_BYTES - 128) {
        size_t drop = log->tail.size - (TAIL_BYTES - 128);
        log->left_out += drop;
        memmove(log->tail.data, log->tail.data + drop, log->tail.size - drop);
        log->tail.size -= drop;
    }
    if (log->fd >= 0) {
        char note[96];
        int size = snprintf(note, sizeof(note), "\n[%" PRIu64 " bytes are left out here]\n",
                            log->left_out);
        bool is_whole = !log->left_out || write_all(log->fd, (uint8_t *)note, (size_t)size);
        if (is_whole)
            (void)write_all(log->fd, log->tail.data, log->tail.size); /* a full disk: see above */
        close(log->fd);
    }
    log->fd = FD_NONE;
    buf_fini(&log->tail);
}

/* The highest attempt with a log of this task, or 0. */
static uint32_t find_latest(const char *dir, uint64_t run, uint32_t task)
{
    char path[PATH_BYTES];
    uint32_t latest = 0;
    snprintf(path, sizeof(path), "%s/logs/%" PRIu64, dir, run);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        uint32_t found_task, attempt;
        if (sscanf(entry->d_name, "%" SCNu32 ".%" SCNu32 ".log", &found_task, &attempt) == 2 &&
            found_task == task && attempt > latest)
            latest = attempt;
    }
    if (directory)
        closedir(directory);
    return latest;
}

/* Appends bytes [offset, offset + max) of a file; returns the file's size. */
static uint64_t read_part(int fd, uint64_t offset, size_t max_bytes, struct buf *out)
{
    struct stat info;
    if (fd < 0 || fstat(fd, &info))
        return 0;
    uint64_t size = (uint64_t)info.st_size;
    if (offset >= size || !max_bytes)
        return size;
    size_t want = size - offset < max_bytes ? (size_t)(size - offset) : max_bytes;
    buf_reserve(out, want);
    ssize_t got = pread(fd, out->data + out->size, want, (off_t)offset);
    out->size += got > 0 ? (size_t)got : 0;
    return size;
}

enum synk_status log_read(const char *dir, uint64_t run, uint32_t task, uint32_t *attempt,
                          int more_fd, uint64_t offset, size_t max_bytes, struct buf *out,
                          uint64_t *ret_size, struct synk_error *error)
{
    char path[PATH_BYTES];
    if (!*attempt)
        *attempt = find_latest(dir, run, task);
    snprintf(path, sizeof(path), "%s/logs/%" PRIu64 "/%" PRIu32 ".%" PRIu32 ".log", dir, run, task,
             *attempt);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return status_fail(error, SYNK_IO, "cannot open the log: %s", strerror(errno));
    size_t old_size = out->size;
    uint64_t size = read_part(fd, offset, max_bytes, out);
    if (fd >= 0)
        close(fd);
    uint64_t rest_offset = offset > size ? offset - size : 0;
    size += read_part(more_fd, rest_offset, max_bytes - (out->size - old_size), out);
    *ret_size = size;
    return SYNK_OK;
}

struct log_file {
    char *path;
    int64_t time_s;
    uint64_t bytes;
};
struct log_files {
    struct log_file *items;
    size_t count, capacity;
    uint64_t bytes;
};

static void list_run(const char *path, struct log_files *files)
{
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        struct stat info;
        if (fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) ||
            !S_ISREG(info.st_mode))
            continue;
        struct buf name = {0};
        buf_printf(&name, "%s/%s%c", path, entry->d_name, '\0');
        files->items =
            mem_grow(files->items, &files->capacity, files->count + 1, sizeof(*files->items));
        files->items[files->count++] = (struct log_file){(char *)name.data, info.st_mtim.tv_sec,
                                                         (uint64_t)info.st_blocks * 512};
        files->bytes += (uint64_t)info.st_blocks * 512;
    }
    if (directory)
        closedir(directory);
}

static int by_age(const void *a, const void *b)
{
    const struct log_file *left = a, *right = b;
    return (left->time_s > right->time_s) - (left->time_s < right->time_s);
}

size_t logs_prune(const char *dir, uint64_t max_bytes, int64_t max_age_s, int64_t now_s)
{
    char path[PATH_BYTES];
    struct log_files files = {0};
    size_t removed = 0;
    snprintf(path, sizeof(path), "%s/logs", dir);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char run[PATH_BYTES + 300];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(run, sizeof(run), "%s/%s", path, entry->d_name);
        list_run(run, &files);
    }
    if (files.count)
        qsort(files.items, files.count, sizeof(*files.items), by_age);
    for (size_t i = 0; i < files.count; i++) {
        struct log_file *file = &files.items[i];
        if (now_s - file->time_s > max_age_s || files.bytes > max_bytes) {
            removed += unlink(file->path) == 0;
            files.bytes -= file->bytes;
            *strrchr(file->path, '/') = '\0';
            rmdir(file->path); /* succeeds for the last log of a run */
        }
        free(file->path);
    }
    free(files.items);
    if (directory)
        closedir(directory);
    return removed;
}
