/*
 * Who leads: at most one supervisor of a cluster at a time, told apart by an epoch that only rises.
 *
 * A store that several machines share keeps a lease: whoever holds it renews it every
 * LEASE_RENEW_MS, and it ends by itself LEASE_MS after the last renewal. That one is over is not
 * what keeps two leaders apart: every commit names its epoch, and the store refuses those of an
 * earlier one than the latest that was given (SYNK_NOT_LEADER). A file needs no lease: its lock
 * ends with the process, and the epoch rises at each load; there these calls succeed at once.
 *
 * For the store's owner, on its thread. store_load acquires where that was not done before.
 */
#ifndef STORE_LEASE_H
#define STORE_LEASE_H

#include "supervisor/store/store.h"

enum {
    LEASE_MS = 6000,
    LEASE_RENEW_MS = 1500,
    /* So long after the last renewal that succeeded was sent, a holder takes it for lost: before
     * the server does, whatever the clocks. */
    LEASE_DEMOTE_MS = 4000,
    LEASE_OWNER_BYTES = 256,
};

/* Who holds it, where it is somebody else. */
struct store_leader {
    char owner[LEASE_OWNER_BYTES]; /* as that one calls itself: store_options.owner */
    uint32_t epoch;
    int64_t left_ms; /* until it ends unless it is renewed */
};

/*
 * Takes the lease with the next epoch, `minimum_epoch` or above, and begins to renew it on a thread
 * of the store's own. SYNK_BUSY: somebody else holds it (*ret_leader); SYNK_STORE_DOWN; SYNK_OK
 * where it is held already too, with the same epoch (a file: 0, store_load has it). Blocks for up
 * to some seconds. ret_leader may be NULL.
 */
enum synk_status store_lease_acquire(struct store *store, uint32_t minimum_epoch,
                                     uint32_t *ret_epoch, struct store_leader *ret_leader,
                                     struct synk_error *error);
/* Gives it back, so that another may take it at once: nothing may be committed any more. Blocks for
 * one exchange. Nothing happens where it is not held. */
void store_lease_release(struct store *store);
/*
 * Whether it is held as far as is known here. false: it ended or was taken, or could not be renewed
 * for LEASE_DEMOTE_MS; the owner stops acting as the leader. It comes true again where nobody took
 * it meanwhile. store_options.lease_changed is called on each change, on the store's thread.
 */
bool store_lease_is_held(const struct store *store);

#endif
