/* What bus.c and bus_send.c share. */
#ifndef SHELL_BUS_INTERNAL_H
#define SHELL_BUS_INTERNAL_H

#include "supervisor/shell/bus.h"

/* Empties the peer's outbox and forgets the peer; nothing is reported. */
void bus_drop_peer(struct bus *bus, enum socket socket, uint32_t number);
/* Empties the outboxes of a ROUTER. */
void bus_drop_outboxes(struct bus *bus, struct bus_router *router);

#endif
