/* What the two halves of a load share: redis_load.c finds what is to be read, redis_load_rows.c
 * reads what is packed. Private to those. */
#ifndef STORE_REDIS_LOADING_H
#define STORE_REDIS_LOADING_H

#include "supervisor/store/record_fields.h"
#include "supervisor/store/redis.h"

struct name {
    struct synk_bytes text;
    int64_t order; /* keys: when they expire */
    struct synk_bytes packed;
};
struct name_list {
    struct name *names;
    size_t count, capacity;
};
struct number_list {
    uint64_t *numbers;
    size_t count, capacity;
};
/* A hash of many: of which version or run, and its number. */
struct bucket {
    size_t owner;
    uint64_t number;
};
struct bucket_list {
    struct bucket *buckets;
    size_t count, capacity;
};

struct loading {
    struct redis *redis;
    bool loads_all; /* a visit: finished runs, all versions, attempts, events */
    void (*each)(void *context, const struct record *record);
    void *context;
    const struct store_visitor *visitor;
    struct arena arena;
    struct name_list units, versions, names; /* versions: "UNIT@VERSION" */
    struct number_list live, runs;
    struct number_list owners; /* runs whose tasks are read */
    struct bucket_list buckets;
    struct redis_batch moves; /* of what does not decode */
    uint64_t bad;
    struct buf key;
    /* Of the rows under way. */
    enum record_kind kind;
};

/* Appends; text is copied into the arena. */
void loading_add_name(struct loading *loading, struct name_list *list, struct synk_bytes text);
void loading_add_number(struct number_list *list, uint64_t number);
/* Notes that a row is to be moved to the quarantine: what is said of it, and the operation that
 * removes it. */
void loading_note_bad(struct loading *loading, const char *key, struct synk_bytes field,
                      const char *problem, const redisReply *row, const char *removal);
/* Gives a record to whoever loads or visits. */
enum synk_status loading_hand_on(struct loading *loading, const struct record *record,
                                 struct synk_error *error);
/* A packed row of the hash `key`, whose record has its key already. */
enum synk_status loading_take_packed(struct loading *loading, const char *key,
                                     struct synk_bytes field, const redisReply *value,
                                     struct record *record, struct synk_error *error);
/* Rows of all buckets of `owners` versions (RECORD_WORKER) or runs. */
enum synk_status loading_rows(struct loading *loading, enum record_kind kind, size_t owners,
                              struct synk_error *error);

#endif
