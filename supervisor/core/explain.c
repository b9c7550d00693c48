/* Explain: why each unfinished task, or a unit, is not running, in one sentence, from the
 * scheduler's own state. */
#include "supervisor/core/explain.h"

#include <stdio.h>

#include "proto/civil.h"
#include "proto/limits.h"
#include "proto/nearest.h"
#include "proto/pack.h"
#include "supervisor/core/limits.h"
#include "supervisor/core/logs.h"
#include "supervisor/core/offers.h"
#include "supervisor/core/pool.h"
#include "supervisor/core/queues.h"
#include "supervisor/core/registry.h"
#include "supervisor/core/requests.h"
#include "supervisor/core/requests_retry.h"
#include "supervisor/core/requests_run.h"
#include "supervisor/core/run.h"
#include "supervisor/core/run_modes.h"
#include "supervisor/core/task.h"

enum {
    MAX_EXPLAINED = 1000,
    WORKERS_NAMED = 10,      /* of a run that has no worker of the name asked for */
    WORKERS_COMPARED = 2000, /* with that name */
};

/* "350 ms", "12 s", "5 min 3 s", "2 h 10 min". */
static void append_duration(struct buf *out, int64_t ms)
{
    long long s = (long long)(ms + 500) / 1000;
    if (ms < 1000)
        buf_printf(out, "%lld ms", ms > 0 ? (long long)ms : 0LL);
    else if (s < 60)
        buf_printf(out, "%lld s", s);
    else if (s < 3600)
        buf_printf(out, "%lld min %lld s", s / 60, s % 60);
    else
        buf_printf(out, "%lld h %lld min", s / 3600, s / 60 % 60);
}

static void explain_pending(struct engine *engine, const struct run *run, uint32_t task,
                            struct buf *out)
{
    if (!run_is_graph(run)) {
        switch (run_mode_of(run)) {
        case RUN_SEQUENTIAL:
        case RUN_ISOLATED:
            buf_printf(out,
                       run->turn_timer && task == run->cursor
                           ? "waits for isolationDelayMs to pass"
                           : "waits for the workers before it (%s)",
                       run_mode_name(run_mode_of(run)));
            return;
        case RUN_BATCHED:
            buf_printf(out, "waits for its batch");
            return;
        default:
            buf_printf(out, "waits for its turn (maxParallel)");
            return;
        }
    }
    if (run->tasks[task].flags & TASK_IN_TURN) {
        buf_printf(out, "waits for its turn (maxParallel)");
        return;
    }
    const struct definition *definition = run->version->definition;
    const struct worker_def *worker = &definition->workers[task];
    buf_printf(out, "waits for");
    unsigned named = 0;
    for (uint32_t d = 0; d < worker->depends_on_count; d++) {
        uint32_t parent = worker->depends_on[d].parent;
        if (task_state_is_final(run->tasks[parent].state))
            continue;
        if (++named > 5)
            continue;
        buf_printf(out, "%s '%s' (%s)", named > 1 ? "," : "", definition->workers[parent].id,
                   task_state_name(run->tasks[parent].state));
    }
    if (named > 5)
        buf_printf(out, " and %u more", named - 5);
    (void)engine;
}

/* True where it waits for somebody to do something: to resume, or to bring a host. */
static bool explain_ready(struct engine *engine, struct run *run, uint32_t task, struct buf *out)
{
    if (run->unit->paused) {
        buf_printf(out, "'%s' is paused", run->unit->id_text);
        return true;
    }
    if (run->paused) {
        buf_printf(out, "the submission is paused");
        return true;
    }
    if (run->unit == engine->pool && pool_is_held(engine, run)) {
        buf_printf(out, "%s, which is before it, is paused", engine->pool_gate->label);
        return true;
    }
    if (run->held && engine->barrier) {
        buf_printf(out, "waits for %zu worker hosts of before the restart to report",
                   engine->expected_count);
        return false;
    }
    const struct lane *lane = run->tasks[task].lane;
    if (!lane->queue) {
        buf_printf(out, "worker '%s' is paused", task_worker_id(run, task));
        return true;
    }
    if (engine->shutdown) {
        buf_printf(out, "the supervisor is shutting down");
        return false;
    }
    const struct class *class = engine->classes[lane->queue->class];
    const char *function = engine->functions[class->function]->name;
    size_t offering = 0, connected = 0, drained = 0;
    for (size_t i = 0; i < engine->host_count; i++) {
        struct host *host = engine->hosts[i];
        if (!host || !host->synced)
            continue;
        connected++;
        if (!host_offers(engine, host, class->index))
            continue;
        offering++;
        drained += host->drained || host->draining;
    }
    if (!connected) {
        buf_printf(out, "no worker host is connected");
    } else if (!offering) {
        buf_printf(out, "no connected host offers '%s'", function);
        for (uint32_t i = 0; i < class->requires_count; i++)
            buf_printf(out, "%s'%s'", i ? ", " : " with tags ", class->requires[i]);
        bool any_host;
        if (!offers_any(engine, bytes_str(function), &any_host))
            offers_append_reason(engine, bytes_str(function), out);
    } else if (drained == offering) {
        buf_printf(out, "%s that %s '%s' %s drained: see `synk drain HOST --undo`",
                   offering == 1 ? "the host" : "all hosts", offering == 1 ? "offers" : "offer",
                   function, offering == 1 ? "is" : "are");
        return true;
    } else if (limits_explain(engine, lane->queue, out)) {
        return false;
    } else if (offering == 1) {
        buf_printf(out, "the host that offers '%s' is full (%llu ready tasks in the queue)",
                   function, (unsigned long long)lane->queue->ready);
    } else {
        buf_printf(out, "the %zu hosts that offer '%s' are full (%llu ready tasks in the queue)",
                   offering, function, (unsigned long long)lane->queue->ready);
    }
    return !offering;
}

static void explain_final(const struct task *task, struct buf *out)
{
    const struct task_extra *extra = task->extra;
    if (extra && extra->error)
        buf_append(out, extra->error->data, extra->error->size);
    else if (extra && extra->reason)
        buf_append(out, extra->reason->data, extra->reason->size);
    else
        buf_printf(out, "%s after %u attempts", task_state_name(task->state), task->attempts);
}

/* True where only a person can help. */
static bool explain_task(struct engine *engine, struct run *run, uint32_t task, struct buf *out)
{
    const struct task *t = &run->tasks[task];
    switch (t->state) {
    case TASK_PENDING:
        explain_pending(engine, run, task, out);
        return false;
    case TASK_READY:
        return explain_ready(engine, run, task, out);
    case TASK_DISPATCHED:
        buf_printf(out, "is at host '%s', behind other tasks", engine->hosts[t->host]->name);
        return false;
    case TASK_RUNNING:
        buf_printf(out, "has been running at host '%s' for %lld ms (attempt %u)",
                   engine->hosts[t->host]->name, (long long)(engine->wall - t->at), t->attempts);
        if (t->extra && t->extra->progress > 0)
            buf_printf(out, ", %d%% done", (int)(t->extra->progress * 100));
        return false;
    case TASK_RETRY_WAIT:
        buf_printf(out, "is tried again in ");
        append_duration(out, t->at - engine->now);
        if (t->extra && t->extra->error)
            buf_printf(out, "; attempt %u: %.*s", t->attempts, (int)t->extra->error->size,
                       (const char *)t->extra->error->data);
        return false;
    default:
        explain_final(t, out);
        return false;
    }
}

static void pack_task(struct buf *out, struct synk_bytes worker, enum task_state state,
                      struct synk_bytes text, bool is_stuck)
{
    pack_map(out, 4);
    pack_key(out, "worker");
    pack_string(out, worker);
    pack_key(out, "state");
    pack_cstr(out, task_state_name(state));
    pack_key(out, "text");
    pack_string(out, text);
    pack_key(out, "stuck");
    pack_bool(out, is_stuck);
}

static void reply(struct engine *engine, const struct request *request, const char *label,
                  enum run_status status, struct synk_bytes error, size_t count, struct buf *items)
{
    struct buf *out = reply_open(engine);
    pack_map(out, 4);
    pack_key(out, "run");
    pack_cstr(out, label);
    pack_key(out, "status");
    pack_cstr(out, run_status_name(status));
    pack_key(out, "error");
    error.size ? pack_string(out, error) : pack_null(out);
    pack_key(out, "tasks");
    pack_array(out, count);
    buf_append(out, items->data, items->size);
    reply_close(engine, request);
    buf_fini(items);
}

/* Names of a run's workers, one after the other: those to be told, and the nearest. */
struct known_workers {
    struct buf names;
    struct nearest nearest;
    size_t count;
};

static void known_worker(struct known_workers *known, struct synk_bytes name)
{
    if (++known->count <= WORKERS_NAMED)
        buf_printf(&known->names, "%s%.*s", known->count > 1 ? ", " : "", (int)name.size,
                   (const char *)name.data);
    if (known->count <= WORKERS_COMPARED)
        nearest_try(&known->nearest, name);
}

/* Frees `known`. */
static void fail_no_worker(struct engine *engine, const struct request *request, const char *label,
                           struct known_workers *known)
{
    struct synk_bytes worker = known->nearest.text;
    int size = (int)(worker.size > LIMIT_ID_BYTES ? LIMIT_ID_BYTES : worker.size);
    if (known->count > WORKERS_NAMED)
        buf_printf(&known->names, " and %zu more", known->count - WORKERS_NAMED);
    if (known->nearest.found.size)
        request_fail(engine, request, SYNK_NOT_FOUND, 0,
                     "%s has no worker '%.*s' (did you mean '%.*s'?)", label, size,
                     (const char *)worker.data, (int)known->nearest.found.size,
                     (const char *)known->nearest.found.data);
    else
        request_fail(engine, request, SYNK_NOT_FOUND, 0, "%s has no worker '%.*s': it has %.*s",
                     label, size, (const char *)worker.data, (int)known->names.size,
                     known->names.size ? (const char *)known->names.data : "none");
    buf_fini(&known->names);
}

void explain_records(struct engine *engine, const struct request *request, const char *label,
                     const struct record *records, size_t count)
{
    struct synk_bytes worker = body_text(request, "worker");
    struct buf items = {0};
    size_t explained = 0;
    if (!count) {
        request_fail(engine, request, SYNK_NOT_FOUND, 0, "%s is not in the store any more", label);
        return;
    }
    enum run_status status = RUN_FAILED;
    struct synk_bytes run_error = {0};
    struct known_workers known = {.nearest = nearest_of(worker)};
    bool is_found = !worker.size;
    for (size_t i = 0; i < count; i++) {
        if (records[i].kind == RECORD_RUN) {
            status = records[i].run.status;
            run_error = records[i].run.error;
        }
        if (records[i].kind != RECORD_TASK)
            continue;
        const struct task_record *task = &records[i].task;
        char index[16];
        snprintf(index, sizeof(index), "%u", task->task);
        struct synk_bytes name = task->worker.size ? task->worker : bytes_str(index);
        if (worker.size && !is_found)
            known_worker(&known, name);
        if (worker.size ? !bytes_equal(worker, name) : task->state == TASK_SUCCEEDED)
            continue;
        is_found = true;
        if (explained >= MAX_EXPLAINED)
            continue;
        struct synk_bytes text = task->error.size ? task->error : task->reason;
        pack_task(&items, name, task->state,
                  text.size ? text : bytes_str(task_state_name(task->state)), false);
        explained++;
    }
    if (!is_found) {
        buf_fini(&items);
        fail_no_worker(engine, request, label, &known);
        return;
    }
    buf_fini(&known.names);
    reply(engine, request, label, status, run_error, explained, &items);
}

/* 2026-01-31 12:00:00, in UTC: the core knows no other clock's zone. */
static void print_time(int64_t wall_ms, struct buf *out)
{
    int64_t seconds = civil_floor(wall_ms, 1000), days = civil_floor(seconds, CIVIL_DAY_S);
    struct civil date = civil_date(days);
    int second = (int)(seconds - days * CIVIL_DAY_S);
    buf_printf(out, "%lld-%02u-%02u %02d:%02d:%02d UTC", (long long)date.year, date.month, date.day,
               second / 3600, second / 60 % 60, second % 60);
}

/* A queued run: one line for the whole. */
static bool explain_queued(struct engine *engine, const struct run *run, struct buf *out)
{
    if (run->unit->paused) {
        buf_printf(out, "'%s' is paused", run->unit->id_text);
        return true;
    }
    if (run->start_due) {
        buf_printf(out, "starts at ");
        print_time(run->not_before, out);
        buf_printf(out, ", in ");
        append_duration(out, run->start_due - engine->now);
        return false;
    }
    if (run->track->first != run) {
        buf_printf(out, "the run is queued behind %s", run->track->first->label);
        return false;
    }
    buf_printf(out, engine->shutdown ? "the supervisor is shutting down" : "the run is queued");
    return false;
}

/* What is in progress of it, and what is queued behind that. */
static void explain_runs(const struct unit *unit, struct buf *out)
{
    const struct run *first = unit->first_run;
    while (first && first->status != RUN_RUNNING)
        first = first->unit_next;
    uint32_t queued = unit->live_runs - unit->running_runs;
    if (first) {
        buf_printf(out, "%s is running", first->label);
        if (unit->running_runs > 1)
            buf_printf(out, ", and %u more", unit->running_runs - 1);
        if (queued)
            buf_printf(out, "; %u queued behind it", queued);
    } else if (queued) {
        buf_printf(out, "%s is queued", unit->first_run->label);
        if (queued > 1)
            buf_printf(out, ", and %u more", queued - 1);
        if (unit->first_run->start_due) {
            buf_printf(out, ": it starts at ");
            print_time(unit->first_run->not_before, out);
        }
    }
}

/* When it will run by itself. */
static void explain_schedule(const struct engine *engine, const struct unit *unit, struct buf *out)
{
    const struct unit_options *options = unit->current->definition->unit;
    if (unit->due_at) {
        buf_printf(out, "due next at ");
        print_time(unit->due_at, out);
        buf_printf(out, ", in ");
        append_duration(out, unit->due_at - engine->wall);
    } else if (options->run_on_milestone) {
        buf_printf(out, "runs when milestone '%s' is emitted", options->run_on_milestone);
    } else {
        buf_printf(out, "nothing schedules it: `synk run %s`", unit->id_text);
    }
}

/* What keeps it from running at all; false where nothing does. */
static bool explain_hold(const struct engine *engine, const struct unit *unit, uint32_t worker,
                         struct buf *out)
{
    const struct definition *definition = unit->current->definition;
    const struct worker_def *member =
        worker != NONE && definition->kind == UNIT_PROCESS ? &definition->workers[worker] : NULL;
    if (unit_had_its_runs(unit))
        buf_printf(out,
                   "disabled: it has had its maxRuns (%llu); `synk enable %s` lets it run as "
                   "often again",
                   (unsigned long long)definition->unit->max_runs, unit->id_text);
    else if (!unit->enabled)
        buf_printf(out, "disabled: `synk enable %s`", unit->id_text);
    else if (unit->paused)
        buf_printf(out, "paused: `synk resume %s`", unit->id_text);
    else if (member && !member->unit->enabled)
        buf_printf(out, "worker '%s' is disabled: `synk enable %s/%s`", member->id, unit->id_text,
                   member->id);
    else if (member && unit_worker_is_paused(unit, member->id))
        buf_printf(out, "worker '%s' is paused: `synk resume %s/%s`", member->id, unit->id_text,
                   member->id);
    else if (engine->shutdown)
        buf_printf(out, "the supervisor is shutting down");
    else
        return false;
    return true;
}

static void explain_unit(struct engine *engine, const struct request *request,
                         const struct unit *unit, uint32_t worker)
{
    struct buf text = {0};
    bool is_held = explain_hold(engine, unit, worker, &text);
    if (unit->live_runs) {
        buf_printf(&text, "%s", is_held ? "; " : "");
        explain_runs(unit, &text);
    }
    if (!is_held) {
        buf_printf(&text, "%s", unit->live_runs ? "; " : "");
        explain_schedule(engine, unit, &text);
    }
    if (unit->last_run_at && !unit->live_runs) {
        const struct run *last = run_find_number(engine, unit, unit->last_number);
        buf_printf(&text, "; its last run, #%llu, ", (unsigned long long)unit->last_number);
        buf_printf(&text, last && last->status == RUN_FAILED      ? "failed"
                          : last && last->status == RUN_CANCELLED ? "was cancelled"
                          : last && last->status == RUN_SUCCEEDED ? "succeeded"
                                                                  : "ended");
        if (last && last->ended_at) {
            buf_printf(&text, " at ");
            print_time(last->ended_at, &text);
        }
    }
    struct buf *out = reply_open(engine);
    pack_map(out, 4);
    pack_key(out, "unit");
    pack_string(out, unit->id);
    pack_key(out, "status");
    pack_cstr(out, unit_status_name(unit_shown_status(unit)));
    pack_key(out, "text");
    pack_string(out, buf_bytes(&text));
    pack_key(out, "stuck");
    pack_bool(out, is_held && !engine->shutdown);
    reply_close(engine, request);
    buf_fini(&text);
}

/* A text that is both names the unit: of submissions, it has one that is not called so. */
static bool explains_unit(struct engine *engine, struct request *request)
{
    struct synk_bytes text = body_text(request, "unit");
    struct unit *unit = NULL;
    uint32_t worker = NONE;
    struct synk_error error = {0};
    if (!text.size)
        return false;
    enum synk_status status = unit_resolve(engine, text, &unit, &worker, &error);
    if (!status && unit != engine->pool) {
        explain_unit(engine, request, unit, worker);
        return true;
    }
    struct run_name name;
    if (body_text(request, "run").size &&
        !run_name_parse(engine, body_text(request, "run"), &name, NULL))
        return false;
    if (!status)
        status_fail(&error, SYNK_REFUSED, "the pool is no unit: `synk explain pool#N`");
    request_error(engine, request, &error);
    return true;
}

void request_explain(struct engine *engine, struct request *request)
{
    struct run_name name;
    struct synk_error error = {0};
    if (explains_unit(engine, request))
        return;
    if (run_name_parse(engine, body_text(request, "run"), &name, &error)) {
        request_error(engine, request, &error);
        return;
    }
    struct run *run = name.run;
    if (!run || run_status_is_final(run->status)) {
        request_load(engine, request, &name);
        return;
    }
    struct synk_bytes worker = body_text(request, "worker");
    uint32_t only = worker.size ? task_named(run, worker) : NONE;
    if (worker.size && only == NONE) {
        struct known_workers known = {.nearest = nearest_of(worker)};
        for (uint32_t i = 0; i < run->task_count && i < WORKERS_COMPARED; i++) {
            char number[16];
            known_worker(&known, arena_copy(&engine->scratch, task_worker_name(run, i, number)));
        }
        fail_no_worker(engine, request, run->label, &known);
        return;
    }
    struct buf items = {0}, text = {0};
    size_t count = 0;
    for (uint32_t i = 0; i < run->task_count && count < MAX_EXPLAINED; i++) {
        if (only != NONE ? i != only : run->tasks && task_state_is_final(run->tasks[i].state))
            continue;
        buf_clear(&text);
        bool is_stuck =
            run->tasks ? explain_task(engine, run, i, &text) : explain_queued(engine, run, &text);
        char number[16];
        pack_task(&items, task_worker_name(run, i, number),
                  run->tasks ? run->tasks[i].state : TASK_PENDING, buf_bytes(&text), is_stuck);
        count++;
    }
    buf_fini(&text);
    reply(engine, request, run->label, run->status, blob_bytes(run->error), count, &items);
}
