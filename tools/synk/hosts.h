/* What the worker hosts offer, as the supervisor lists them: looked up before work is started that
 * none of them could do. */
#ifndef SYNK_HOSTS_H
#define SYNK_HOSTS_H

#include "proto/definition.h"
#include "tools/synk/cli.h"

/* The hosts there are: free with synk_document_free, read with synk_document_root. An exit
 * status. */
int hosts_list(struct synk_client *client, struct synk_document **ret_hosts);
/* Waits until a host is up, or `patience_ms` have passed, and lists. EXIT_INTERRUPTED where a
 * signal came. *ret_is_up tells which of the two it was. */
int hosts_await(struct synk_client *client, int64_t patience_ms, struct synk_document **ret_hosts,
                bool *ret_is_up);
/* A line on standard error for each plugin that a host refused. */
void hosts_print_refused(const struct synk_value *hosts);

bool hosts_offer(const struct synk_value *hosts, const char *function);
/* Appends why none offers it: a refused plugin, a plugin that nobody has, the nearest name. */
void hosts_append_reason(const struct synk_value *hosts, const char *function, struct buf *out);
/* Whether any of these needs more than the built-in `exec`, which every host has. */
bool hosts_matter(const struct definition_set *set);

#endif
