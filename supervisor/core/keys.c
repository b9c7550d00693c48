/*
 * Idempotency keys: the first reply to each, for 24 hours. Only successes are kept: an error
 * changed nothing, so the request may be tried again. All keys live equally long, so the list in
 * order of making is the list in order of expiry. The monotonic clock decides, and a restart gives
 * each its full life again: a wall clock that is set must not make a request that is sent again
 * happen twice.
 */
#include "supervisor/core/keys.h"

#include <stdlib.h>

#include "supervisor/core/effects_write.h"
#include "supervisor/core/requests.h"

static bool same_key(const void *item, const void *key)
{
    return bytes_equal(((const struct key *)item)->text_bytes, *(const struct synk_bytes *)key);
}

struct key *key_find(struct engine *engine, struct synk_bytes text)
{
    return index_find(&engine->keys_by_text, bytes_hash(text), same_key, &text);
}

static void free_key(struct key *key)
{
    waiters_free(&key->waiters);
    blob_unref(key->reply);
    free(key->text);
    free(key);
}

static void drop_first(struct engine *engine, bool save)
{
    struct key *key = engine->keys_first;
    engine->keys_first = key->next;
    *(key->next ? &key->next->previous : &engine->keys_last) = NULL;
    index_remove(&engine->keys_by_text, bytes_hash(key->text_bytes), key);
    if (save && key->reply) {
        struct record *record = batch_add(&engine->effects->batch, RECORD_KEY);
        record->remove = true;
        record->key.key = keep_bytes(engine, key->text_bytes);
    }
    free_key(key);
}

struct key *key_add(struct engine *engine, struct synk_bytes text)
{
    if (engine->keys_by_text.count >= MAX_KEYS && engine->keys_first->reply)
        drop_first(engine, engine->effects != NULL);
    struct key *key = mem_zalloc(1, sizeof(*key));
    key->text = mem_strndup(text.data, text.size);
    key->text_bytes = bytes_of(key->text, text.size);
    key->expires_at = engine->wall + KEY_LIFE_MS;
    key->due = engine->now + KEY_LIFE_MS;
    key->previous = engine->keys_last;
    *(engine->keys_last ? &engine->keys_last->next : &engine->keys_first) = key;
    engine->keys_last = key;
    index_put(&engine->keys_by_text, bytes_hash(key->text_bytes), key);
    return key;
}

void key_drop(struct engine *engine, struct key *key)
{
    *(key->previous ? &key->previous->next : &engine->keys_first) = key->next;
    *(key->next ? &key->next->previous : &engine->keys_last) = key->previous;
    index_remove(&engine->keys_by_text, bytes_hash(key->text_bytes), key);
    free_key(key);
}

void key_answered(struct engine *engine, struct key *key, struct synk_bytes body)
{
    key->reply = blob_new(body);
    struct record *record = batch_add(&engine->effects->batch, RECORD_KEY);
    record->key = (struct key_record){keep_bytes(engine, key->text_bytes), keep_bytes(engine, body),
                                      key->expires_at};
}

void key_load(struct engine *engine, const struct key_record *record)
{
    if (!record->key.size || !record->reply.size || key_find(engine, record->key))
        return;
    struct key *key = key_add(engine, record->key);
    key->reply = blob_new(record->reply);
    key->expires_at = record->expires_at;
}

void keys_start(struct engine *engine)
{
    for (struct key *key = engine->keys_first; key; key = key->next)
        key->due = engine->now + KEY_LIFE_MS;
}

void keys_expire(struct engine *engine)
{
    for (int i = 0; i < 10000; i++) {
        struct key *key = engine->keys_first;
        if (!key || !key->reply || key->due > engine->now)
            return;
        drop_first(engine, true);
    }
}

void keys_free(struct engine *engine)
{
    while (engine->keys_first)
        drop_first(engine, false);
}
