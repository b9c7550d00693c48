/*
 * Tasks on their way to a host: what tasks of one worker share is said once a message, results of
 * parents are named and filled in by the shell. A message is closed before one more full item could
 * take it past the frame.
 */
#include "supervisor/core/encode.h"

#include <stdlib.h>

#include "supervisor/core/effects_write.h"
#include "supervisor/core/graph.h"
#include "supervisor/core/pool.h"
#include "supervisor/core/task.h"

void outbox_fini(struct outbox *outbox)
{
    buf_fini(&outbox->specs);
    buf_fini(&outbox->tasks);
    free(outbox->refs);
    free(outbox->cancels);
}

void outbox_close(struct engine *engine, struct host *host)
{
    struct outbox *outbox = &host->outbox;
    if (!outbox->task_count)
        return;
    struct effects *effects = engine->effects;
    struct buf *out = send_open(engine);
    msg_dispatch_wrap(buf_bytes(&outbox->specs), outbox->spec_count, buf_bytes(&outbox->tasks),
                      outbox->task_count, out);
    struct send *send = send_close(engine, SOCKET_HOSTS, host->peer, MSG_DISPATCH, 0, false);
    send->ref_count = outbox->ref_count;
    if (outbox->ref_count) {
        effects->refs = mem_grow(effects->refs, &effects->ref_capacity,
                                 effects->ref_count + outbox->ref_count, sizeof(*effects->refs));
        memcpy(effects->refs + effects->ref_count, outbox->refs,
               outbox->ref_count * sizeof(*outbox->refs));
        effects->ref_count += outbox->ref_count;
    }
    buf_clear(&outbox->specs);
    buf_clear(&outbox->tasks);
    outbox->spec_count = outbox->task_count = 0;
    outbox->ref_count = outbox->ref_bytes = 0;
    outbox->spec_run = NULL;
}

/* A reference to a result; one that the message has already is used again. */
static uint32_t add_ref(struct outbox *outbox, uint64_t run, uint32_t task, uint32_t size)
{
    size_t low = outbox->ref_count > 32 ? outbox->ref_count - 32 : 0;
    for (size_t i = outbox->ref_count; i > low; i--)
        if (outbox->refs[i - 1].run == run && outbox->refs[i - 1].task == task)
            return (uint32_t)(i - 1);
    outbox->refs =
        mem_grow(outbox->refs, &outbox->ref_capacity, outbox->ref_count + 1, sizeof(*outbox->refs));
    outbox->refs[outbox->ref_count] = (struct value_ref){run, task};
    outbox->ref_bytes += size;
    return (uint32_t)outbox->ref_count++;
}

/* The tasks whose results a task takes, in order; *ret_bytes is what they come to. */
static size_t list_parents(struct engine *engine, const struct run *run, uint32_t task,
                           uint32_t **ret_parents, uint64_t *ret_bytes)
{
    *ret_bytes = 0;
    *ret_parents = NULL;
    if (!run->version || run->worker != NONE || !run->version->uses)
        return 0;
    const struct definition *definition = run->version->definition;
    const struct worker_def *worker = &definition->workers[task];
    bool graph = run_is_graph(run);
    uint32_t most = graph ? worker->depends_on_count : task < MAX_INPUTS ? task : MAX_INPUTS;
    if (!most)
        return 0;
    uint32_t *parents = arena_alloc(&engine->scratch, most * sizeof(*parents));
    size_t count = 0;
    for (uint32_t i = 0; i < most; i++) {
        uint32_t parent = graph ? worker->depends_on[i].parent : task - most + i;
        const struct task *from = &run->tasks[parent];
        if (from->state != TASK_SUCCEEDED || !from->result_size)
            continue;
        parents[count++] = parent;
        *ret_bytes += from->result_size;
    }
    *ret_parents = parents;
    return count;
}

/* The worker's payload, templates expanded; false: the task failed. */
static bool expand(struct engine *engine, struct run *run, uint32_t task,
                   const struct worker_def *worker, struct synk_bytes *ret_payload)
{
    *ret_payload = worker->payload;
    if (!(worker->flags & WORKER_HAS_TEMPLATES))
        return true;
    struct expression_bindings bindings = {
        .payload = worker->payload,
        .params = blob_bytes(run->params),
        .attempt = run->tasks[task].attempts,
    };
    uint32_t *parents;
    uint64_t bytes;
    size_t count = list_parents(engine, run, task, &parents, &bytes);
    struct expression_input *inputs = arena_alloc(&engine->scratch, (count + 1) * sizeof(*inputs));
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const struct task *from = &run->tasks[parents[i]];
        if (from->extra && from->extra->result)
            inputs[kept++] = (struct expression_input){bytes_str(task_worker_id(run, parents[i])),
                                                       blob_bytes(from->extra->result)};
    }
    bindings.inputs = inputs;
    bindings.input_count = kept;
    struct buf out = {0};
    struct synk_error error = {0};
    enum synk_status status =
        engine->has_evaluator
            ? engine->evaluator.expand(engine->evaluator.context, worker->payload, &bindings, &out,
                                       &error)
            : status_fail(&error, SYNK_UNSUPPORTED, "templates cannot be expanded here");
    if (status == SYNK_OK && out.size > LIMIT_VALUE_BYTES)
        status =
            status_fail(&error, SYNK_TOO_LARGE, "the expanded payload has %zu bytes, beyond %d",
                        out.size, LIMIT_VALUE_BYTES);
    if (status == SYNK_OK)
        *ret_payload = arena_copy(&engine->scratch, buf_bytes(&out));
    buf_fini(&out);
    if (status)
        task_end(engine, run, task, TASK_FAILED, "%s", error.text);
    return status == SYNK_OK;
}

static void add_spec(struct outbox *outbox, const struct run *run, uint32_t task,
                     const struct worker_options *options, struct synk_bytes payload)
{
    struct msg_spec spec = {
        .unit = run->unit->id,
        .run_number = run->number,
        .function = bytes_str(options->function),
        .payload = payload,
        .params = blob_bytes(run->params),
        .timeout_ms = options->timeout_ms,
        .progress_timeout_ms = options->progress_timeout_ms,
    };
    msg_spec_encode(&spec, &outbox->specs);
    outbox->spec_count++;
    outbox->spec_run = run;
    outbox->spec_task = task;
}

bool encode_task(struct engine *engine, struct host *host, struct run *run, uint32_t task)
{
    struct outbox *outbox = &host->outbox;
    const struct task *t = &run->tasks[task];
    struct msg_task message = {
        .id = {run->id, task, t->epoch, t->attempts},
    };
    const struct worker_options *options;
    struct synk_bytes payload;
    uint32_t *parents = NULL;
    size_t parent_count = 0;
    uint64_t bytes = 0;
    if (run->pool) {
        options = &run->pool->options;
        payload = run->pool->payload;
        message.params = pool_params(run->pool, task);
    } else {
        uint32_t queue;
        const struct worker_def *worker = version_settings(engine, run, task, &queue);
        options = worker->worker;
        message.worker = bytes_str(task_worker_id(run, task));
        parent_count = list_parents(engine, run, task, &parents, &bytes);
        if (bytes > LIMIT_INPUTS_BYTES) {
            task_end(engine, run, task, TASK_FAILED,
                     "its inputs have %llu bytes together; the limit is %d",
                     (unsigned long long)bytes, LIMIT_INPUTS_BYTES);
            return false;
        }
        if (!expand(engine, run, task, worker, &payload))
            return false;
    }
    if (outbox->specs.size + outbox->tasks.size + payload.size + blob_bytes(run->params).size >
            LIMIT_BATCH_BYTES ||
        (outbox->ref_count && outbox->ref_bytes + bytes > LIMIT_BATCH_BYTES))
        outbox_close(engine, host);
    if (outbox->spec_run != run || (!run->pool && outbox->spec_task != task))
        add_spec(outbox, run, task, options, payload);
    message.spec = outbox->spec_count - 1;
    if (parent_count) {
        struct msg_input *inputs = arena_alloc(&engine->scratch, parent_count * sizeof(*inputs));
        for (size_t i = 0; i < parent_count; i++)
            inputs[i] = (struct msg_input){
                bytes_str(task_worker_id(run, parents[i])),
                add_ref(outbox, run->id, parents[i], run->tasks[parents[i]].result_size)};
        message.inputs = inputs;
        message.input_count = parent_count;
    }
    msg_task_encode(&message, &outbox->tasks);
    outbox->task_count++;
    return true;
}
