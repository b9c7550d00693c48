/* What the supervisor says to a host. Part of the pure host. */
#ifndef WORKER_HOST_HOST_MESSAGES_H
#define WORKER_HOST_HOST_MESSAGES_H

#include "worker-host/host_internal.h"

/* Says hello on a fresh or the present connection. */
void host_say_hello(struct host *host, int64_t now_ms, struct host_effects *effects);
/* One message from the supervisor; what does not decode is counted and told. */
void host_message(struct host *host, const struct host_input *input, struct host_effects *effects);
/* Gives back everything that has not begun. */
void host_drain(struct host *host, int64_t now_ms, struct host_effects *effects);

#endif
