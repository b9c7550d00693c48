/* Filling a struct synk_error, and the way back from wire names. For the project's own code. */
#ifndef PROTO_STATUS_H
#define PROTO_STATUS_H

#include <stddef.h>

#include "synk/status.h"

/*
 * Fills `error` (may be NULL) with `status` and a formatted text, cut at the text's size on a UTF-8
 * boundary, and returns `status`, so that a caller can write `return status_fail(error, …)`.
 */
enum synk_status status_fail(struct synk_error *error, enum synk_status status, const char *format,
                             ...) __attribute__((format(printf, 3, 4)));

/* Puts "format: " before the text that `error` already holds. Does nothing for NULL. */
void status_prefix(struct synk_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The status of a wire name of `size` bytes; SYNK_PROTOCOL where the name is unknown. */
enum synk_status status_from_name(const char *name, size_t size);

#endif
