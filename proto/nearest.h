/*
 * The name nearest to a misspelt one: a running search over the names that there are. Pure; callers
 * are whoever words an error about an unknown name.
 */
#ifndef PROTO_NEAREST_H
#define PROTO_NEAREST_H

#include "proto/bytes.h"

struct nearest {
    struct synk_bytes text, found; /* found.size 0 = no name is near enough */
    unsigned distance;
};
/* Begins a search for `text`, which is borrowed. */
struct nearest nearest_of(struct synk_bytes text);
/* Keeps `name`, borrowed, where it is nearer than what was found before. */
void nearest_try(struct nearest *nearest, struct synk_bytes name);

#endif
