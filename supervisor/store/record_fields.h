/*
 * What a record consists of, told once for every store: names, types, bounds and places of its
 * fields, and from those its check, its copy and its packed form. A new field is one line in a
 * table of record_fields.c (and, for files that exist, a step in sqlite_migrations).
 *
 * Private to supervisor/store. Nothing here blocks or allocates beyond the arena or buf given.
 */
#ifndef STORE_RECORD_FIELDS_H
#define STORE_RECORD_FIELDS_H

#include "supervisor/core/records.h"

enum { RECORD_KINDS = RECORD_ATTEMPT + 1 };

enum field_type {
    FIELD_TEXT,  /* struct synk_bytes, for people too */
    FIELD_BLOB,  /* struct synk_bytes, opaque */
    FIELD_VALUE, /* struct synk_bytes: one MessagePack value, or nothing */
    FIELD_BOOL,
    FIELD_UINT8,
    FIELD_UINT16,
    FIELD_UINT32,
    FIELD_UINT64, /* up to `max`; UINT64_MAX: any */
    FIELD_INT32,
    FIELD_INT64,
};

struct record_field {
    const char *name; /* of the column, or of the field of a hash */
    enum field_type type;
    /* Number in the packed form; never changed or used again. 0 for a part of the key, which is
     * not packed. */
    uint8_t tag;
    bool is_required; /* text or blob that is never empty; a number that is never stored as NULL */
    uint16_t offset;  /* in struct record */
    uint16_t has_offset; /* of the bool that tells whether there is one; 0: there always is */
    uint64_t max;
    const char *problem;                    /* what is wrong with a value that does not fit */
    const char *(*name_of)(unsigned value); /* of a state: its name, for people; else NULL */
};

struct record_shape {
    const char *name; /* of the table */
    const struct record_field *fields;
    uint8_t field_count, key_count; /* the key's fields come first */
};
extern const struct record_shape record_shapes[RECORD_KINDS];

static inline bool field_is_bytes(const struct record_field *field)
{
    return field->type <= FIELD_VALUE;
}
/* Bytes of a FIELD_TEXT, FIELD_BLOB or FIELD_VALUE. */
struct synk_bytes field_bytes(const struct record_field *field, const struct record *record);
void field_set_bytes(const struct record_field *field, struct record *record,
                     struct synk_bytes bytes);
/* Any other type; a FIELD_UINT64 beyond INT64_MAX is told by its bits. */
int64_t field_number(const struct record_field *field, const struct record *record);
/* NULL, or the field's problem: the number does not fit. Sets it in any case. */
const char *field_set_number(const struct record_field *field, struct record *record,
                             int64_t number);
/* Whether there is a value besides 0, nothing and an absent one. */
bool field_is_set(const struct record_field *field, const struct record *record);
void field_set_present(const struct record_field *field, struct record *record, bool present);

/* NULL, or the first thing that is wrong: what is required and empty, a value that is none. */
const char *record_problem(const struct record *record);
/* Copies a record's bytes into the arena. */
void record_copy(struct record *record, struct arena *arena);
/* The record without its key as one MessagePack map of tags to values; what is not set is not in
 * it.
 */
void record_pack(const struct record *record, struct buf *out);
/* Fills all but the key, which the caller has set, from packed bytes and checks the whole. Bytes
 * point into `packed`. NULL, or what is wrong. Tags that are not known are passed over. */
const char *record_unpack(struct synk_bytes packed, struct record *record);

#endif
