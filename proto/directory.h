/*
 * Where a supervisor lives: the one place that knows the directories, the names of the files in
 * them, and how to tell whether a supervisor runs there. Shared by synkd, the client library and
 * synk.
 *
 * With --dir or SYNK_DIR, everything is in that directory. Otherwise what must last is in
 * ${XDG_STATE_HOME:-~/.local/state}/synk (root: /var/lib/synk), and what ends with the machine in
 * $XDG_RUNTIME_DIR/synk (root: /run/synk; without XDG_RUNTIME_DIR, the state directory).
 *
 * Reads the environment and the file system; nothing here waits. Thread-safe as getenv is.
 */
#ifndef PROTO_DIRECTORY_H
#define PROTO_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/status.h"

/* Room for any path built here. */
#define DIRECTORY_PATH_BYTES 4096
/* Bytes of a directory itself: leaves room for the names below it. */
#define DIRECTORY_BYTES 3840
/* sun_path has 108 bytes, its NUL included; libzmq cuts a longer one without a word. */
#define DIRECTORY_SOCKET_BYTES 107

struct directory {
    char state[DIRECTORY_BYTES]; /* state.db, log, hosts/ */
    char run[DIRECTORY_BYTES];   /* sockets, synkd.pid, synkd.lock */
};

/* Fills both with absolute paths; creates nothing. `dir_option` (--dir) may be NULL. Fails with
 * SYNK_INVALID where a path is too long or nothing says where home is. */
enum synk_status directory_resolve(const char *dir_option, struct directory *ret_directory,
                                   struct synk_error *error);

/* Creates both with mode 0700, parents too. Fails with SYNK_IO, and with SYNK_REFUSED where one
 * exists and belongs to somebody else or may be written by others. */
enum synk_status directory_create(const struct directory *directory, struct synk_error *error);

enum directory_socket { DIRECTORY_CLIENTS, DIRECTORY_HOSTS, DIRECTORY_EVENTS };

/* "ipc://RUN/client.sock" and so on. Fails with SYNK_INVALID where the path is over
 * DIRECTORY_SOCKET_BYTES. */
enum synk_status directory_address(const struct directory *directory, enum directory_socket socket,
                                   char ret_address[DIRECTORY_PATH_BYTES],
                                   struct synk_error *error);

enum directory_file {
    DIRECTORY_PID,        /* RUN/synkd.pid: written once the supervisor answers */
    DIRECTORY_LOCK,       /* RUN/synkd.lock: locked for the supervisor's life */
    DIRECTORY_LOG,        /* STATE/log */
    DIRECTORY_STATE,      /* STATE/state.db */
    DIRECTORY_LOCAL_HOST, /* STATE/hosts/local: a directory */
    DIRECTORY_HOST_LOCK,  /* STATE/hosts/local/host.lock: locked for the local host's life */
    DIRECTORY_KEYS,       /* STATE/keys: the public keys that are let in over the network */
    DIRECTORY_SERVER_KEY, /* STATE/server.key: the supervisor's own pair */
};
void directory_path(const struct directory *directory, enum directory_file file,
                    char ret_path[DIRECTORY_PATH_BYTES]);

/* STATE/hosts/NAME, the directory of a worker host; NAME is at most LIMIT_ID_BYTES long. */
void directory_host(const struct directory *directory, const char *name,
                    char ret_path[DIRECTORY_PATH_BYTES]);

/* Takes the supervisor's lock until *ret_fd (close-on-exec) is closed and writes this process's id
 * into the file. Fails with SYNK_BUSY, naming the pid of the one that has it, and with SYNK_IO. */
enum synk_status directory_lock(const struct directory *directory, int *ret_fd,
                                struct synk_error *error);

/* Whether a supervisor holds the lock. *ret_pid (may be NULL) is its process, 0 where it has not
 * written it yet; untouched when false. */
bool directory_supervisor_pid(const struct directory *directory, int64_t *ret_pid);

/* The same for any lock file: held by fcntl or flock, with a pid in decimal at its start. */
bool directory_lock_is_held(const char *path, int64_t *ret_pid);

#endif
