/*
 * Which role may ask for what: the one table, by request type. The rest of the core does not look
 * at roles, but for ad-hoc commands (requests_submit.c).
 */
#ifndef CORE_ROLES_H
#define CORE_ROLES_H

#include "supervisor/core/model.h"

/* Whether a client of this role may send such a request. */
bool roles_allow(enum role role, uint16_t type);
/* Whether it may be a worker host. */
bool roles_allow_host(enum role role);
/* Answers the request with SYNK_REFUSED, and logs it. */
void roles_refuse(struct engine *engine, const struct request *request);
/* The same for what another rule than the table forbids; `text` says what it takes instead. */
void roles_refuse_because(struct engine *engine, const struct request *request, const char *text);
/* Logs the refusal of a message; so many lines a second, whatever peers send. */
void roles_log(struct engine *engine, const struct input *input, const char *what);

#endif
