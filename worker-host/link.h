/* The DEALER to the supervisor, inside a libuv loop. One thread; no call blocks. */
#ifndef WORKER_HOST_LINK_H
#define WORKER_HOST_LINK_H

#include <uv.h>

#include "proto/keyfile.h"
#include "proto/msg.h"

struct link;
/* One message; the bytes are valid during the call. A message that is no message of ours never
 * arrives here: it is counted. */
typedef void (*link_receive)(void *context, struct msg_header header, struct synk_bytes body,
                             struct synk_bytes values);

struct link *link_new(uv_loop_t *loop, link_receive receive, void *context);
/* From now on tells when a connection ends, or cannot be made; for those who know another address.
 * Called from link_pump. */
typedef void (*link_broken)(void *context);
void link_watch_breaks(struct link *link, link_broken broken);
/* The keys of connections from now on; `keys` is copied. */
void link_set_keys(struct link *link, const struct key_ring *keys);
void link_free(struct link *link); /* close the loop's handles by running it once more */
/* Closes the socket, if there is one, forgets what was queued, and connects anew. `address` empty =
 * that of before. SYNK_INVALID for an address that ZeroMQ refuses. */
enum synk_status link_connect(struct link *link, struct synk_bytes address,
                              struct synk_error *error);
/* Sends, or queues while the peer does not take it. Past 64 MiB of queue a message is dropped and
 * counted: reports are sent again, the rest is told again at the next hello. */
void link_send(struct link *link, struct msg_header header, struct synk_bytes body);
/* Receives what is there, up to a bound, and sends what is queued. */
void link_pump(struct link *link);
/* Keeps the loop awake where there is more to receive or room to send. The last call before it
 * sleeps: the socket's descriptor is edge-triggered, and any send may have taken its signal. */
void link_settle(struct link *link);
uint64_t link_dropped(const struct link *link); /* in either direction */

#endif
