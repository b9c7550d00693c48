/*
 * The writer: one thread that takes jobs in the order in which they were handed in, runs each on a
 * backend, and keeps what came of them until the owner asks. Private to supervisor/store; all
 * functions are for the owner's thread.
 */
#ifndef STORE_WRITER_H
#define STORE_WRITER_H

#include "supervisor/store/backend.h"

struct writer;

/* Starts the thread. The backend stays the caller's, who must not touch it while jobs are under
 * way. Fails with SYNK_IO. */
enum synk_status writer_new(const struct store_ops *ops, void *backend, void (*wake)(void *context),
                            void *wake_context, struct writer **ret_writer,
                            struct synk_error *error);
/* Runs what is queued with its callbacks, and ends the thread. What those callbacks hand in is run
 * too, for a few rounds, so that a last commit may follow one; then it is dropped, so that somebody
 * who tries a failing commit for ever cannot keep the program alive. Takes NULL. */
void writer_free(struct writer *writer);
/* Blocks until no job is queued or under way: the backend may then be used directly. */
void writer_quiesce(struct writer *writer);

void writer_commit(struct writer *writer, const struct batch *batch, store_commit_done done,
                   void *context);
void writer_query(struct writer *writer, const struct query *query, store_query_done done,
                  void *context);
void writer_values(struct writer *writer, const struct value_ref *refs, size_t count,
                   store_values_done done, void *context);
/* Runs the callbacks of finished jobs, in order. */
void writer_complete(struct writer *writer);

#endif
