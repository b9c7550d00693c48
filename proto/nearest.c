/* The name that was perhaps meant. A bounded table on the stack: names of any length may come. */
#include "proto/nearest.h"

enum {
    COMPARED_BYTES = 64,  /* longer names are not compared */
    NEAREST_DISTANCE = 3, /* edits; more is another word */
};

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Edits (insert, delete, replace, swap neighbours) from one name to the other, capitals alike. */
static unsigned distance(struct synk_bytes a, struct synk_bytes b)
{
    unsigned rows[3][COMPARED_BYTES + 1];
    const uint8_t *x = a.data, *y = b.data;
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];
    for (unsigned j = 0; j <= b.size; j++)
        above[j] = before[j] = j;
    for (unsigned i = 1; i <= a.size; i++) {
        row[0] = i;
        for (unsigned j = 1; j <= b.size; j++) {
            unsigned same = lower(x[i - 1]) == lower(y[j - 1]);
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + !same);
            if (i > 1 && j > 1 && lower(x[i - 1]) == lower(y[j - 2]) &&
                lower(x[i - 2]) == lower(y[j - 1]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b.size];
}

struct nearest nearest_of(struct synk_bytes text)
{
    /* A third of a short name may be wrong, three letters of a long one. */
    unsigned most = text.size < 9 ? (unsigned)(text.size + 2) / 3 : NEAREST_DISTANCE;
    if (text.size < 2) /* or any other letter would do */
        most = 0;
    return (struct nearest){text, {NULL, 0}, most + 1};
}

void nearest_try(struct nearest *nearest, struct synk_bytes name)
{
    size_t longer = name.size > nearest->text.size ? name.size : nearest->text.size;
    size_t shorter = name.size + nearest->text.size - longer;
    if (longer > COMPARED_BYTES || longer - shorter >= nearest->distance || !shorter)
        return;
    unsigned edits = distance(nearest->text, name);
    if (edits < nearest->distance) {
        nearest->distance = edits;
        nearest->found = name;
    }
}
