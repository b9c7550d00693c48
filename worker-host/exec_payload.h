/* What an `exec` task says: its payload as a command that can be started. */
#ifndef WORKER_HOST_EXEC_PAYLOAD_H
#define WORKER_HOST_EXEC_PAYLOAD_H

#include "proto/status.h"
#include "synk/worker.h"
#include "worker-host/exec_channels.h"

struct exec_payload {
    struct exec_command command;
    bool output_is_json;
    struct arena arena; /* everything above points in here, or into the environment */
};
/*
 * Reads {command, replace, cwd, env, envFile, stdin, output}; the environment is the runner's, then
 * envFile's, then env's, then the SYNK_ variables. SYNK_INVALID with the field and what is wrong
 * with it.
 */
enum synk_status exec_payload_read(const struct synk_task *task, const char *input_path,
                                   struct exec_payload *ret_payload, struct synk_error *error);
void exec_payload_fini(struct exec_payload *payload);

#endif
