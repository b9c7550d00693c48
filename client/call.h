/*
 * What the calls by name are written with. A body is begun, entries are put, and it is sent:
 *     struct synk_builder *body = call_body();
 *     call_put_string(body, "run", run);
 *     return call_send(client, "explain", body, ret_body, error);
 * An entry that is absent (NULL, size 0) is left out: the supervisor says what it misses.
 */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include "client/client_internal.h"
#include "synk/runs.h"

struct synk_builder *call_body(void);
void call_put_string(struct synk_builder *body, const char *key, const char *text);
void call_put_strings(struct synk_builder *body, const char *key, const char *const *texts,
                      size_t count);
void call_put_int(struct synk_builder *body, const char *key, int64_t number);
void call_put_bool(struct synk_builder *body, const char *key, bool value);
void call_put_encoded(struct synk_builder *body, const char *key, struct synk_bytes value);
/* SYNK_UNSUPPORTED where `reserved` of a struct that a program filled is not zero. */
enum synk_status call_check_reserved(const uint64_t *reserved, size_t count, const char *what,
                                     struct synk_error *error);

/* Each frees the body. Blocking: */
enum synk_status call_send(struct synk_client *client, const char *type, struct synk_builder *body,
                           struct synk_document **ret_body, struct synk_error *error);
/* … and the string under `key` of the reply, malloc'ed; ret_text may be NULL. */
enum synk_status call_send_for_string(struct synk_client *client, const char *type,
                                      struct synk_builder *body, const char *key, char **ret_text,
                                      struct synk_error *error);
/* … and the number under `key`; ret_number may be NULL. */
enum synk_status call_send_for_number(struct synk_client *client, const char *type,
                                      struct synk_builder *body, const char *key,
                                      uint64_t *ret_number, struct synk_error *error);
/* Not blocking: */
enum synk_status call_start(struct synk_client *client, const char *type, struct synk_builder *body,
                            synk_reply reply, void *context, struct synk_error *error);
/* … for a reply that has a run. */
enum synk_status call_start_for_run(struct synk_client *client, const char *type,
                                    struct synk_builder *body, synk_run_reply reply, void *context,
                                    struct synk_error *error);

#endif
