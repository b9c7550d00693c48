/*
 * Directories and the files in them. Invariants: every path handed out is absolute, so that it
 * means the same to a client with another working directory; asking whether a lock is held never
 * takes a lock that its owner could trip over (fcntl tells without taking; flock is probed shared).
 */
#include "proto/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Joins with one slash; an absolute `path` stands alone. */
static enum synk_status join(const char *base, const char *path, char ret[DIRECTORY_BYTES],
                             struct synk_error *error)
{
    int size = path[0] == '/' ? snprintf(ret, DIRECTORY_BYTES, "%s", path)
                              : snprintf(ret, DIRECTORY_BYTES, "%s/%s", base, path);
    if (size < 0 || size >= DIRECTORY_BYTES)
        return status_fail(error, SYNK_INVALID, "the directory '%.60s…' is over %d bytes long",
                           path, DIRECTORY_BYTES - 1);
    /* Trailing slashes would count against the bytes of a socket's path. */
    while (size > 1 && ret[size - 1] == '/')
        ret[--size] = '\0';
    return SYNK_OK;
}

static enum synk_status absolute(const char *path, char ret[DIRECTORY_BYTES],
                                 struct synk_error *error)
{
    char current[DIRECTORY_PATH_BYTES];
    if (!getcwd(current, sizeof(current)))
        return status_fail(error, SYNK_IO, "cannot tell the working directory: %s",
                           strerror(errno));
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    if (strcmp(path, ".") == 0)
        path = current;
    return join(strcmp(current, "/") == 0 ? "" : current, path, ret, error);
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

/* The XDG rules say that a relative value is to be ignored. */
static const char *environment_path(const char *name)
{
    const char *value = environment(name);
    return value && value[0] == '/' ? value : NULL;
}

static enum synk_status resolve_state(char ret[DIRECTORY_BYTES], struct synk_error *error)
{
    const char *base = environment_path("XDG_STATE_HOME");
    if (base)
        return join(base, "synk", ret, error);
    const char *home = environment_path("HOME");
    if (home)
        return join(home, ".local/state/synk", ret, error);
    return status_fail(error, SYNK_INVALID,
                       "HOME and XDG_STATE_HOME are not set: say where with --dir or SYNK_DIR");
}

enum synk_status directory_resolve(const char *dir_option, struct directory *ret_directory,
                                   struct synk_error *error)
{
    struct directory found;
    enum synk_status status;
    const char *one = dir_option ? dir_option : environment("SYNK_DIR");
    if (one) {
        if (!one[0])
            return status_fail(error, SYNK_INVALID, "--dir needs a directory");
        status = absolute(one, found.state, error);
        if (!status)
            memcpy(found.run, found.state, sizeof(found.run));
    } else if (geteuid() == 0) {
        strcpy(found.state, "/var/lib/synk");
        strcpy(found.run, "/run/synk");
        status = SYNK_OK;
    } else {
        status = resolve_state(found.state, error);
        const char *run = environment_path("XDG_RUNTIME_DIR");
        if (!status && run)
            status = join(run, "synk", found.run, error);
        else if (!status)
            memcpy(found.run, found.state, sizeof(found.run));
    }
    if (!status)
        *ret_directory = found;
    return status;
}

static enum synk_status check_owner(const char *path, struct synk_error *error)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return status_fail(error, SYNK_IO, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return status_fail(error, SYNK_REFUSED, "%s is not a directory", path);
    if (info.st_uid != geteuid())
        return status_fail(error, SYNK_REFUSED, "%s belongs to user %u, not to user %u", path,
                           (unsigned)info.st_uid, (unsigned)geteuid());
    /* Whoever may write here could put a socket of their own in the place of ours. */
    if (info.st_mode & (S_IWGRP | S_IWOTH))
        return status_fail(
            error, SYNK_REFUSED,
            "%s may be written by others (mode %04o): chmod go-w it, or choose another "
            "directory",
            path, (unsigned)(info.st_mode & 07777));
    return SYNK_OK;
}

static enum synk_status create(const char *path, struct synk_error *error)
{
    char part[DIRECTORY_BYTES];
    size_t size = strlen(path);
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return status_fail(error, SYNK_IO, "cannot create the directory %s: %s", part,
                               strerror(errno));
    }
    return check_owner(path, error);
}

enum synk_status directory_create(const struct directory *directory, struct synk_error *error)
{
    enum synk_status status = create(directory->state, error);
    return status ? status : create(directory->run, error);
}

enum synk_status directory_address(const struct directory *directory, enum directory_socket socket,
                                   char ret_address[DIRECTORY_PATH_BYTES], struct synk_error *error)
{
    static const char *const names[] = {
        [DIRECTORY_CLIENTS] = "client.sock",
        [DIRECTORY_HOSTS] = "host.sock",
        [DIRECTORY_EVENTS] = "events.sock",
    };
    size_t size = strlen(directory->run) + 1 + strlen(names[socket]);
    if (size > DIRECTORY_SOCKET_BYTES)
        return status_fail(
            error, SYNK_INVALID,
            "the socket %s/%s would have a path of %zu bytes, and the system allows %d: "
            "choose a shorter directory with --dir or SYNK_DIR",
            directory->run, names[socket], size, DIRECTORY_SOCKET_BYTES);
    snprintf(ret_address, DIRECTORY_PATH_BYTES, "ipc://%s/%s", directory->run, names[socket]);
    return SYNK_OK;
}

void directory_path(const struct directory *directory, enum directory_file file,
                    char ret_path[DIRECTORY_PATH_BYTES])
{
    static const struct {
        bool run;
        const char *name;
    } files[] = {
        [DIRECTORY_PID] = {true, "synkd.pid"},
        [DIRECTORY_LOCK] = {true, "synkd.lock"},
        [DIRECTORY_LOG] = {false, "log"},
        [DIRECTORY_STATE] = {false, "state.db"},
        [DIRECTORY_LOCAL_HOST] = {false, "hosts/local"},
        [DIRECTORY_HOST_LOCK] = {false, "hosts/local/host.lock"},
        [DIRECTORY_KEYS] = {false, "keys"},
        [DIRECTORY_SERVER_KEY] = {false, "server.key"},
    };
    snprintf(ret_path, DIRECTORY_PATH_BYTES, "%s/%s",
             files[file].run ? directory->run : directory->state, files[file].name);
}

void directory_host(const struct directory *directory, const char *name,
                    char ret_path[DIRECTORY_PATH_BYTES])
{
    snprintf(ret_path, DIRECTORY_PATH_BYTES, "%s/hosts/%s", directory->state, name);
}

static int64_t read_pid(int fd)
{
    char text[32];
    ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    long long pid = strtoll(text, NULL, 10);
    return pid > 0 ? pid : 0;
}

/* Locks of this kind belong to the open file, not to the process: another descriptor of the same
 * process that is closed does not drop them, as it would with plain fcntl locks. */
static struct flock whole_file(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

static bool descriptor_is_locked(int fd, int64_t *ret_pid)
{
    struct flock lock = whole_file();
    bool held = false;
    if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
        held = true;
    else if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        flock(fd, LOCK_UN);
    else
        held = errno == EWOULDBLOCK;
    if (held && ret_pid)
        *ret_pid = read_pid(fd);
    return held;
}

bool directory_lock_is_held(const char *path, int64_t *ret_pid)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return false;
    bool held = descriptor_is_locked(fd, ret_pid);
    close(fd);
    return held;
}

bool directory_supervisor_pid(const struct directory *directory, int64_t *ret_pid)
{
    char path[DIRECTORY_PATH_BYTES];
    directory_path(directory, DIRECTORY_LOCK, path);
    return directory_lock_is_held(path, ret_pid);
}

static enum synk_status fail_held(const struct directory *directory, int fd,
                                  struct synk_error *error)
{
    int64_t pid = read_pid(fd);
    if (pid > 0)
        return status_fail(error, SYNK_BUSY, "a supervisor (pid %lld) already runs on %s",
                           (long long)pid, directory->run);
    return status_fail(error, SYNK_BUSY, "a supervisor is just starting on %s", directory->run);
}

enum synk_status directory_lock(const struct directory *directory, int *ret_fd,
                                struct synk_error *error)
{
    char path[DIRECTORY_PATH_BYTES];
    directory_path(directory, DIRECTORY_LOCK, path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return status_fail(error, SYNK_IO, "cannot open %s: %s", path, strerror(errno));

    struct flock lock = whole_file();
    enum synk_status status;
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        if (errno == EAGAIN || errno == EACCES)
            status = fail_held(directory, fd, error);
        else
            status = status_fail(error, SYNK_IO, "cannot lock %s: %s", path, strerror(errno));
        close(fd);
        return status;
    }
    char text[32];
    int size = snprintf(text, sizeof(text), "%lld\n", (long long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)size, 0) != size) {
        status = status_fail(error, SYNK_IO, "cannot write %s: %s", path, strerror(errno));
        close(fd);
        return status;
    }
    *ret_fd = fd;
    return SYNK_OK;
}
