/* Cutting a run of packed values into pieces that fit a message. */
#ifndef SHELL_SPLIT_H
#define SHELL_SPLIT_H

#include "proto/bytes.h"

/* Bytes of the first piece of `values`, MessagePack values one behind the other: as many as fit
 * into `limit_bytes`, and one at least. *count is how many there are; it becomes how many the piece
 * has. The values are this program's own: they are not checked. */
size_t split_values(struct synk_bytes values, size_t limit_bytes, uint32_t *count);

#endif
