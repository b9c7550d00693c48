/* The simulator's randomness: splitmix64. Everything that chance decides in a seed is drawn here.
 */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
/* From `low` to `high`, both included. */
static inline int64_t random_between(struct random *random, int64_t low, int64_t high)
{
    return low + (int64_t)(random_next(random) % (uint64_t)(high - low + 1));
}
/* True `parts` times in a million. */
static inline bool random_chance(struct random *random, uint32_t parts)
{
    return random_next(random) % 1000000 < parts;
}
/* Around `mean`, from 0 to 8 times of it, small values likelier: the sum of halvings. */
static inline int64_t random_spread(struct random *random, int64_t mean)
{
    int64_t limit = mean / 2 + 1;
    for (int i = 0; i < 4 && random_next(random) % 2; i++)
        limit *= 2;
    return random_between(random, 0, limit);
}

#endif
