/*
 * The writer thread, its queue of jobs and its queue of answers.
 *
 * Invariants: a job belongs to one side at a time, the owner (before it is queued and after it is
 * taken back) or the writer, and changes sides only under the mutex. Jobs run, and are answered, in
 * the order in which they were handed in. `wake` is called once for any number of answers that the
 * owner has not asked for yet. A question about the end of the upkeep (QUERY_PRUNE) is set aside
 * until there is an answer, and nobody waits behind it. The upkeep of the backend comes after the
 * answer was handed over, so that nobody waits for a checkpoint who does not need it; more of it is
 * done while no job comes, but not once somebody waits for the writer to rest.
 */
#include "supervisor/store/writer.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum {
    /* Queries that wait: each is answered in about a millisecond, so that these are a few seconds;
     * whoever asks beyond them is told to come back. */
    QUERIES_MAX = 4096,
    RETRY_LATER_MS = 1000,
    /* Rounds of callbacks while closing. */
    CLOSING_ROUNDS = 16,
};

enum job_kind { JOB_COMMIT, JOB_QUERY, JOB_VALUES };

struct job {
    struct job *next;
    enum job_kind kind;
    void *context;
    struct arena arena; /* what was copied in, and what the answer points to */
    union {
        struct {
            const struct batch *batch;
            store_commit_done done;
            enum synk_status status;
            struct synk_error error;
            int64_t commit_us;
        } commit;
        struct {
            struct query query;
            store_query_done done;
            struct store_answer answer;
            struct buf body;
            bool refused;
        } query;
        struct {
            const struct value_ref *refs;
            size_t count;
            struct synk_bytes *values;
            store_values_done done;
            enum synk_status status;
            struct synk_error error;
        } values;
    };
};

struct job_list {
    struct job *first, **last;
};

struct writer {
    const struct store_ops *ops;
    void *backend;
    void (*wake)(void *context);
    void *wake_context;
    pthread_t thread;
    struct job_list aside; /* the thread's own: questions about the end of the upkeep */
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* a job came, or closing */
    pthread_cond_t rested;  /* nothing queued, nothing under way */
    /* under the mutex */
    struct job_list queue, answers;
    size_t queued_queries;
    bool working, closing, woken;
    bool resting;    /* the owner waits for it, or uses the backend: no upkeep until the next job */
    bool upkeep_due; /* the backend has more to do when idle */
};

static void append(struct job_list *list, struct job *job)
{
    job->next = NULL;
    *list->last = job;
    list->last = &job->next;
}

static struct job *take_first(struct job_list *list)
{
    struct job *job = list->first;
    if (!job)
        return NULL;
    list->first = job->next;
    if (!list->first)
        list->last = &list->first;
    return job;
}

static void free_job(struct job *job)
{
    if (job->kind == JOB_QUERY)
        buf_fini(&job->query.body);
    arena_fini(&job->arena);
    free(job);
}

static int64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void run_commit(struct writer *writer, struct job *job)
{
    int64_t start = monotonic_us();
    job->commit.status =
        writer->ops->commit(writer->backend, job->commit.batch, &job->commit.error);
    job->commit.commit_us = monotonic_us() - start;
}

static void run_query(struct writer *writer, struct job *job)
{
    struct store_answer *answer = &job->query.answer;
    if (job->query.refused) {
        answer->status = status_fail(&answer->error, SYNK_BUSY,
                                     "%d questions wait for the store: try again in %d ms",
                                     QUERIES_MAX, RETRY_LATER_MS);
        return;
    }
    answer->status = writer->ops->query(writer->backend, &job->query.query, &job->arena,
                                        &job->query.body, answer, &answer->error);
    if (answer->status == SYNK_OK)
        answer->body = buf_bytes(&job->query.body);
}

static void run_job(struct writer *writer, struct job *job)
{
    switch (job->kind) {
    case JOB_COMMIT:
        run_commit(writer, job);
        break;
    case JOB_QUERY:
        run_query(writer, job);
        break;
    case JOB_VALUES:
        job->values.status =
            writer->ops->values(writer->backend, job->values.refs, job->values.count, &job->arena,
                                job->values.values, &job->values.error);
        break;
    }
}

static void hand_back(struct writer *writer, struct job *job)
{
    pthread_mutex_lock(&writer->mutex);
    append(&writer->answers, job);
    bool wakes = !writer->woken;
    writer->woken = true;
    pthread_mutex_unlock(&writer->mutex);
    if (wakes && writer->wake)
        writer->wake(writer->wake_context);
}

static bool must_wait(const struct job *job)
{
    return job->kind == JOB_QUERY && job->query.query.kind == QUERY_PRUNE && !job->query.refused &&
           job->query.answer.status == SYNK_BUSY;
}

/* Asks again what was set aside. */
static void ask_again(struct writer *writer)
{
    struct job_list jobs = writer->aside;
    struct job *job;
    if (!jobs.first)
        return;
    writer->aside.first = NULL;
    writer->aside.last = &writer->aside.first;
    while ((job = take_first(&jobs))) {
        run_job(writer, job);
        if (must_wait(job))
            append(&writer->aside, job);
        else
            hand_back(writer, job);
    }
}

/* Under the mutex, and without it while the backend works. */
static void keep_up(struct writer *writer, bool idle)
{
    pthread_mutex_unlock(&writer->mutex);
    bool more = writer->ops->upkeep(writer->backend, idle);
    ask_again(writer);
    pthread_mutex_lock(&writer->mutex);
    writer->upkeep_due = more && !writer->resting;
}

/* The next job, or NULL when closing and done. */
static struct job *next_job(struct writer *writer)
{
    pthread_mutex_lock(&writer->mutex);
    while (!writer->queue.first && writer->upkeep_due && !writer->resting && !writer->closing)
        keep_up(writer, true);
    writer->working = false;
    while (!writer->queue.first && !writer->closing) {
        pthread_cond_broadcast(&writer->rested);
        pthread_cond_wait(&writer->changed, &writer->mutex);
    }
    struct job *job = take_first(&writer->queue);
    writer->working = job != NULL;
    if (job && job->kind == JOB_QUERY)
        writer->queued_queries--;
    pthread_mutex_unlock(&writer->mutex);
    return job;
}

static void *write_jobs(void *context)
{
    struct writer *writer = context;
    struct job *job;
    while ((job = next_job(writer))) {
        run_job(writer, job);
        if (must_wait(job))
            append(&writer->aside, job);
        else
            hand_back(writer, job);
        pthread_mutex_lock(&writer->mutex);
        keep_up(writer, !writer->queue.first);
        pthread_mutex_unlock(&writer->mutex);
    }
    return NULL;
}

enum synk_status writer_new(const struct store_ops *ops, void *backend, void (*wake)(void *context),
                            void *wake_context, struct writer **ret_writer,
                            struct synk_error *error)
{
    struct writer *writer = mem_zalloc(1, sizeof(*writer));
    writer->ops = ops;
    writer->backend = backend;
    writer->wake = wake;
    writer->wake_context = wake_context;
    writer->working = true; /* until the thread has looked at its queue */
    writer->queue.last = &writer->queue.first;
    writer->answers.last = &writer->answers.first;
    writer->aside.last = &writer->aside.first;
    pthread_mutex_init(&writer->mutex, NULL);
    pthread_cond_init(&writer->changed, NULL);
    pthread_cond_init(&writer->rested, NULL);
    /* Signals are the owner's: its loop must get them. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&writer->thread, NULL, write_jobs, writer);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) {
        pthread_cond_destroy(&writer->rested);
        pthread_cond_destroy(&writer->changed);
        pthread_mutex_destroy(&writer->mutex);
        free(writer);
        return status_fail(error, SYNK_IO, "cannot start the store's thread: %s", strerror(failed));
    }
    *ret_writer = writer;
    return SYNK_OK;
}

void writer_free(struct writer *writer)
{
    if (!writer)
        return;
    for (int round = 0; round < CLOSING_ROUNDS; round++) {
        writer_quiesce(writer);
        writer_complete(writer);
    }
    pthread_mutex_lock(&writer->mutex);
    writer->closing = true;
    pthread_cond_signal(&writer->changed);
    pthread_mutex_unlock(&writer->mutex);
    pthread_join(writer->thread, NULL);
    struct job *job;
    while ((job = take_first(&writer->answers)) || (job = take_first(&writer->aside)))
        free_job(job);
    pthread_cond_destroy(&writer->rested);
    pthread_cond_destroy(&writer->changed);
    pthread_mutex_destroy(&writer->mutex);
    free(writer);
}

void writer_quiesce(struct writer *writer)
{
    pthread_mutex_lock(&writer->mutex);
    writer->resting = true;
    while (writer->working || writer->queue.first)
        pthread_cond_wait(&writer->rested, &writer->mutex);
    pthread_mutex_unlock(&writer->mutex);
}

static struct job *new_job(enum job_kind kind, void *context)
{
    struct job *job = mem_zalloc(1, sizeof(*job));
    job->kind = kind;
    job->context = context;
    return job;
}

static void hand_in(struct writer *writer, struct job *job)
{
    pthread_mutex_lock(&writer->mutex);
    if (job->kind == JOB_QUERY)
        job->query.refused = ++writer->queued_queries > QUERIES_MAX;
    writer->resting = false;
    append(&writer->queue, job);
    pthread_cond_signal(&writer->changed);
    pthread_mutex_unlock(&writer->mutex);
}

void writer_commit(struct writer *writer, const struct batch *batch, store_commit_done done,
                   void *context)
{
    struct job *job = new_job(JOB_COMMIT, context);
    job->commit.batch = batch;
    job->commit.done = done;
    hand_in(writer, job);
}

void writer_query(struct writer *writer, const struct query *query, store_query_done done,
                  void *context)
{
    struct job *job = new_job(JOB_QUERY, context);
    struct query *copy = &job->query.query;
    job->query.done = done;
    *copy = *query;
    copy->unit = arena_copy(&job->arena, query->unit);
    copy->types = arena_copy(&job->arena, query->types);
    copy->path = arena_copy(&job->arena, query->path);
    struct live_task *tasks =
        arena_alloc(&job->arena, query->live_task_count * sizeof(*query->live_tasks));
    for (size_t i = 0; i < query->live_task_count; i++) {
        tasks[i] = query->live_tasks[i];
        tasks[i].worker = arena_copy(&job->arena, query->live_tasks[i].worker);
        tasks[i].host = arena_copy(&job->arena, query->live_tasks[i].host);
        tasks[i].reason = arena_copy(&job->arena, query->live_tasks[i].reason);
    }
    copy->live_tasks = tasks;
    struct run_progress *progress =
        arena_alloc(&job->arena, query->progress_count * sizeof(*query->progress));
    if (query->progress_count)
        memcpy(progress, query->progress, query->progress_count * sizeof(*progress));
    copy->progress = progress;
    hand_in(writer, job);
}

void writer_values(struct writer *writer, const struct value_ref *refs, size_t count,
                   store_values_done done, void *context)
{
    struct job *job = new_job(JOB_VALUES, context);
    struct value_ref *copy = arena_alloc(&job->arena, count * sizeof(*refs));
    if (count)
        memcpy(copy, refs, count * sizeof(*refs));
    job->values.refs = copy;
    job->values.count = count;
    job->values.values = arena_zalloc(&job->arena, count, sizeof(*job->values.values));
    job->values.done = done;
    hand_in(writer, job);
}

static void answer_job(struct job *job)
{
    switch (job->kind) {
    case JOB_COMMIT:
        job->commit.done(job->context, job->commit.status, &job->commit.error,
                         job->commit.commit_us);
        break;
    case JOB_QUERY:
        job->query.done(job->context, &job->query.query, &job->query.answer);
        break;
    case JOB_VALUES:
        job->values.done(job->context, job->values.status, &job->values.error, job->values.values,
                         job->values.count);
        break;
    }
}

void writer_complete(struct writer *writer)
{
    pthread_mutex_lock(&writer->mutex);
    struct job_list answers = writer->answers;
    if (!answers.first)
        answers.last = &answers.first;
    writer->answers.first = NULL;
    writer->answers.last = &writer->answers.first;
    writer->woken = false;
    pthread_mutex_unlock(&writer->mutex);
    struct job *job;
    while ((job = take_first(&answers))) {
        answer_job(job);
        free_job(job);
    }
}
