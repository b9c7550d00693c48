/*
 * Starting one command, and the descriptors that it talks through. A runner opens them once and
 * uses them for one command after the other: nothing of a command survives its attempt, so nobody
 * else holds their far ends.
 */
#ifndef WORKER_HOST_EXEC_CHANNELS_H
#define WORKER_HOST_EXEC_CHANNELS_H

#include <sys/types.h>

#include "proto/bytes.h"
#include "proto/status.h"

struct exec_channels {
    bool is_open;
    /* Pipes from the command's standard output, standard error and descriptor 3; [0] never blocks.
     * */
    int output[2], error[2], report[2];
    /* Memory file with the task's JSON. Commands open it by name (input_path): it works for every
     * program of the same user, even where a parent closed its descriptors, costs no directory
     * operation, and cannot be left behind. */
    int input;
    char input_path[40];
};
/* SYNK_IO. Does nothing when open. */
enum synk_status exec_channels_open(struct exec_channels *channels, struct synk_error *error);
void exec_channels_close(struct exec_channels *channels);
/* Replaces the content of the input file. */
enum synk_status exec_channels_set_input(struct exec_channels *channels, struct synk_bytes json,
                                         struct synk_error *error);

struct exec_command {
    char *const *argv, *const *environment; /* NULL-ended */
    const char *const *programs;            /* paths to try in turn, NULL-ended */
    const char *cwd;                        /* NULL = "/", the runner's */
    bool reads_input;                       /* standard input is the task's JSON, else /dev/null */
};
/*
 * Starts the command in a process group of its own, bound to this runner's life. *ret_pid is not
 * touched on failure: SYNK_FAILED with what could not be run and why.
 */
enum synk_status exec_spawn(const struct exec_channels *channels,
                            const struct exec_command *command, pid_t *ret_pid,
                            struct synk_error *error);

#endif
