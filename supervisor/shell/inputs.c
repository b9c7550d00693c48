/*
 * The third frame of a dispatch: the results that its tasks take as input, in the order of the
 * refs. What the cache does not have is asked of the store; meanwhile the message keeps its place
 * in the order of its peer. Invariant: a task is sent with what its parents came to, or not at all.
 */
#include <stdlib.h>

#include "proto/pack.h"
#include "supervisor/shell/log.h"
#include "supervisor/shell/shell.h"

struct gathering {
    struct shell *shell;
    struct outgoing *held;
    size_t count, missing_count;
    struct blob **values;      /* of each ref; NULL for an empty one */
    struct value_ref *missing; /* refs that the store is asked for */
    size_t *positions;         /* where each of them belongs */
};

static struct gathering *gathering_new(struct shell *shell, const struct value_ref *refs,
                                       size_t count)
{
    struct gathering *gathering = mem_zalloc(1, sizeof(*gathering));
    gathering->shell = shell;
    gathering->count = count;
    gathering->values = mem_zalloc(count, sizeof(*gathering->values));
    for (size_t i = 0; i < count; i++) {
        if (results_get(&shell->results, refs[i], &gathering->values[i]))
            continue;
        if (!gathering->missing) {
            gathering->missing = mem_zalloc(count, sizeof(*gathering->missing));
            gathering->positions = mem_zalloc(count, sizeof(*gathering->positions));
        }
        gathering->positions[gathering->missing_count] = i;
        gathering->missing[gathering->missing_count++] = refs[i];
    }
    return gathering;
}

static void gathering_free(struct gathering *gathering)
{
    for (size_t i = 0; i < gathering->count; i++)
        blob_unref(gathering->values[i]);
    free(gathering->values);
    free(gathering->missing);
    free(gathering->positions);
    free(gathering);
}

static void complete(struct gathering *gathering)
{
    struct buf frame = {0};
    pack_array(&frame, gathering->count);
    for (size_t i = 0; i < gathering->count; i++) {
        struct synk_bytes value = blob_bytes(gathering->values[i]);
        if (value.size)
            pack_binary(&frame, value);
        else
            pack_null(&frame);
    }
    bus_fill(&gathering->shell->bus, gathering->held, buf_bytes(&frame));
    buf_fini(&frame);
    gathering_free(gathering);
}

/* A run ends, and is removed, only when each of its dispatched tasks was told of by its host, or when
 * the host was lost; this host was told nothing yet, so it was lost. Then it gave back everything in
 * the message, and has to say hello again before it is given more: nobody waits for this one. */
static void drop(struct gathering *gathering, const struct synk_error *error)
{
    log_line(LOG_WARN, "a dispatch to a lost host is dropped", log_text("why", error->text));
    bus_drop(&gathering->shell->bus, gathering->held);
    gathering_free(gathering);
}

static void on_values(void *context, enum synk_status status, const struct synk_error *error,
                      const struct synk_bytes *values, size_t count)
{
    struct gathering *gathering = context;
    gathering->shell->questions--;
    if (status == SYNK_STORE_DOWN) {
        /* The store's own wait for its server is the pause between two tries. */
        gathering->shell->questions++;
        store_values(gathering->shell->store, gathering->missing, gathering->missing_count,
                     on_values, gathering);
        return;
    }
    if (status == SYNK_NOT_FOUND) {
        drop(gathering, error);
        return;
    }
    if (status) {
        /* A new start reads it again; going on would run tasks on inputs that are not theirs. */
        log_line(LOG_ERROR, "reading failed; stopping to recover from what is saved",
                 log_text("status", synk_status_name(status)), log_text("error", error->text));
        _Exit(70);
    }
    for (size_t i = 0; i < count; i++) {
        gathering->values[gathering->positions[i]] = blob_new(values[i]);
        results_put(&gathering->shell->results, gathering->missing[i], values[i]);
    }
    complete(gathering);
}

void shell_send_with_inputs(struct shell *shell, const struct send *send, struct synk_bytes body,
                            const struct value_ref *refs)
{
    struct outgoing *held = bus_hold(&shell->bus, send->socket, send->peer, send->header, body);
    if (!held)
        return;
    struct gathering *gathering = gathering_new(shell, refs, send->ref_count);
    gathering->held = held;
    if (gathering->missing_count == 0) {
        complete(gathering);
        return;
    }
    shell->questions++;
    store_values(shell->store, gathering->missing, gathering->missing_count, on_values, gathering);
}
