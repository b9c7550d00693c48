/* The worker host of this machine: started, watched, started again. */
#ifndef CORE_LOCAL_HOST_H
#define CORE_LOCAL_HOST_H

#include "supervisor/core/model.h"

void local_host_start(struct engine *engine);
void local_host_event(struct engine *engine, const struct input *input);
/* It was given up on for its silence while its process is there: nobody else runs what it had on
 * this machine, so it is killed, and its end starts another. */
void local_host_hangs(struct engine *engine);
void local_host_spawn(struct engine *engine);

#endif
