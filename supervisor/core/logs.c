/*
 * Logs stay on the hosts: a reader's question is passed on to the host that has the attempt, and
 * its answer back. A host that does not answer in time is said to be unavailable.
 */
#include "supervisor/core/logs.h"

#include <stdlib.h>

#include "proto/pack.h"
#include "supervisor/core/effects_write.h"
#include "supervisor/core/hosts.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_retry.h"
#include "supervisor/core/requests_run.h"
#include "supervisor/core/run.h"
#include "supervisor/core/task.h"

enum { MAX_LOG_REQUESTS = 1000 };

static void free_log(struct log_request *log)
{
    free(log->host);
    free(log);
}

void logs_free(struct engine *engine)
{
    while (engine->log_requests) {
        struct log_request *next = engine->log_requests->next;
        free_log(engine->log_requests);
        engine->log_requests = next;
    }
}

static struct log_request *take_log(struct engine *engine, uint64_t id)
{
    struct log_request **link = &engine->log_requests;
    while (*link && (*link)->id != id)
        link = &(*link)->next;
    struct log_request *log = *link;
    if (log)
        *link = log->next;
    return log;
}

static size_t count_logs(const struct engine *engine)
{
    size_t count = 0;
    for (const struct log_request *log = engine->log_requests; log; log = log->next)
        count++;
    return count;
}

void logs_send(struct engine *engine, const struct request *request, uint64_t run, uint32_t task,
               const struct host *host)
{
    if (!host || !host->connected) {
        request_fail(engine, request, SYNK_UNAVAILABLE, RETRY_AFTER_MS,
                     "the host that has this log is not connected");
        return;
    }
    if (count_logs(engine) >= MAX_LOG_REQUESTS) {
        request_fail(engine, request, SYNK_BUSY, RETRY_AFTER_MS, "too many logs are being read");
        return;
    }
    struct log_request *log = mem_zalloc(1, sizeof(*log));
    log->id = ++engine->last_token;
    log->peer = request->peer;
    log->sequence = request->sequence;
    log->host = mem_strdup(host->name);
    log->next = engine->log_requests;
    engine->log_requests = log;
    int64_t attempt = synk_value_int(synk_value_get(request->body, "attempt"), 0);
    int64_t offset = synk_value_int(synk_value_get(request->body, "offset"), 0);
    int64_t most = synk_value_int(synk_value_get(request->body, "max"), LIMIT_VALUE_BYTES);
    struct msg_log message = {
        .request = log->id,
        .run = run,
        .task = task,
        .attempt = attempt < 0 || attempt > UINT32_MAX ? 0 : (uint32_t)attempt,
        .offset = offset < 0 ? 0 : (uint64_t)offset,
        .max_bytes = most < 0 || most > LIMIT_VALUE_BYTES ? LIMIT_VALUE_BYTES : (uint64_t)most,
    };
    msg_log_encode(&message, send_open(engine));
    send_close(engine, SOCKET_HOSTS, host->peer, MSG_LOG_READ, 0, true);
    timers_set(&engine->timers, engine->now + LOG_PATIENCE_MS, TIMER_LOG, log->id, 0);
}

uint32_t task_named(const struct run *run, struct synk_bytes worker)
{
    if (!worker.size)
        return run->task_count == 1 ? 0 : NONE;
    char number[16];
    for (uint32_t i = 0; i < run->task_count; i++)
        if (bytes_equal(task_worker_name(run, i, number), worker))
            return i;
    return NONE;
}

void request_logs(struct engine *engine, struct request *request)
{
    struct run_name name;
    struct synk_error error = {0};
    if (run_name_parse(engine, body_text(request, "run"), &name, &error)) {
        request_error(engine, request, &error);
        return;
    }
    if (!name.run || !name.run->tasks) {
        request_load(engine, request, &name);
        return;
    }
    uint32_t task = task_named(name.run, body_text(request, "worker"));
    if (task == NONE) {
        request_fail(engine, request, SYNK_NOT_FOUND, 0, "%s has no such worker, or has several",
                     name.run->label);
        return;
    }
    const struct task *t = &name.run->tasks[task];
    struct synk_bytes host_name = {0};
    if (t->state == TASK_RUNNING || t->state == TASK_DISPATCHED)
        host_name = engine->hosts[t->host]->name_bytes;
    if (!host_name.size && !task_state_is_final(t->state) && !t->attempts) {
        request_fail(engine, request, SYNK_NOT_FOUND, 0, "it has not started yet");
        return;
    }
    if (!host_name.size) {
        request_load(engine, request, &name);
        return;
    }
    logs_send(engine, request, name.run->id, task, host_find(engine, host_name));
}

void logs_data(struct engine *engine, const struct input *input)
{
    struct msg_log data;
    if (msg_log_decode(input->body, &data, NULL)) {
        engine->counts.protocol_errors++;
        return;
    }
    struct log_request *log = take_log(engine, data.request);
    if (!log)
        return;
    struct request request = {.peer = log->peer, .sequence = log->sequence};
    if (data.error.size) {
        request_fail(engine, &request, SYNK_NOT_FOUND, 0, "%.*s",
                     (int)(data.error.size > 400 ? 400 : data.error.size),
                     (const char *)data.error.data);
    } else {
        struct buf *out = reply_open(engine);
        pack_map(out, 5);
        pack_key(out, "data");
        pack_binary(out, data.data);
        pack_key(out, "offset");
        pack_uint(out, data.offset);
        pack_key(out, "size");
        pack_uint(out, data.size);
        pack_key(out, "complete");
        pack_bool(out, data.complete);
        pack_key(out, "host");
        pack_cstr(out, log->host);
        reply_close(engine, &request);
    }
    free_log(log);
}

void logs_timer(struct engine *engine, uint64_t id)
{
    struct log_request *log = take_log(engine, id);
    if (!log)
        return;
    struct request request = {.peer = log->peer, .sequence = log->sequence};
    request_fail(engine, &request, SYNK_UNAVAILABLE, RETRY_AFTER_MS, "host '%s' did not answer",
                 log->host);
    free_log(log);
}
