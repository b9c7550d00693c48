/*
 * Worker hosts: hello, sync, heartbeats, silence, loss, and what they are asked to cancel or told
 * was recorded.
 */
#ifndef CORE_HOSTS_H
#define CORE_HOSTS_H

#include "supervisor/core/model.h"

void hosts_message(struct engine *engine, const struct input *input);
void hosts_peer_gone(struct engine *engine, uint32_t peer);
void hosts_timer(struct engine *engine);
void hosts_restart_silence(struct engine *engine);
void host_lose(struct engine *engine, struct host *host, const char *why);
/* Its process was seen dead. What it sent and what it spooled is still taken: its attempts are lost
 * when its successor has told what there is, or none comes. */
void host_exited(struct engine *engine, struct host *host, const char *why);
void host_remove(struct engine *engine, struct host *host);
void host_cancel_attempt(struct engine *engine, struct host *host, struct attempt_id id,
                         const char *reason);
void hosts_send_cancels(struct engine *engine);
void hosts_send_acks(struct engine *engine);
void hosts_drain_all(struct engine *engine);
void hosts_check_barrier(struct engine *engine);
struct host *host_find(const struct engine *engine, struct synk_bytes name);
/* An event: it gets no more work, or work again. */
void host_tell_drained(struct engine *engine, const struct host *host);
void host_encode(const struct engine *engine, const struct host *host, struct buf *out);
void host_free(struct host *host);
const char *host_state_name(const struct host *host);

#endif
