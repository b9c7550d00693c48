/*
 * Rows as records and back, by the tables of record_fields.h. Stored bytes are trusted as little as
 * a peer's: a number out of its field's range, a state that does not exist, or a value that is no
 * MessagePack makes the row undecodable.
 */
#include "supervisor/store/sqlite.h"

/* Text and blobs alike: the column's type decides, and no conversion is wanted. */
static struct synk_bytes column_bytes(sqlite3_stmt *statement, int column)
{
    const void *data = sqlite3_column_blob(statement, column);
    if (!data)
        return (struct synk_bytes){NULL, 0};
    return bytes_of(data, (size_t)sqlite3_column_bytes(statement, column));
}

const char *sqlite_row(enum record_kind kind, sqlite3_stmt *statement, struct record *ret_record)
{
    const struct record_shape *shape = &record_shapes[kind];
    const char *problem = NULL;
    ret_record->kind = kind;
    ret_record->remove = false;
    for (int i = 0; i < shape->field_count; i++) {
        const struct record_field *field = &shape->fields[i];
        if (field_is_bytes(field)) {
            field_set_bytes(field, ret_record, column_bytes(statement, i));
            continue;
        }
        const char *wrong =
            field_set_number(field, ret_record, sqlite3_column_int64(statement, i));
        if (field->has_offset)
            field_set_present(field, ret_record,
                              sqlite3_column_type(statement, i) != SQLITE_NULL);
        problem = problem ? problem : wrong;
    }
    return problem ? problem : record_problem(ret_record);
}

static void bind_bytes(sqlite3_stmt *statement, int index, const struct record_field *field,
                       struct synk_bytes bytes)
{
    if (bytes.size == 0 && !field->is_required)
        sqlite3_bind_null(statement, index);
    else if (field->type == FIELD_TEXT)
        sqlite3_bind_text(statement, index, bytes.size ? bytes.data : "", (int)bytes.size,
                          SQLITE_STATIC);
    else
        sqlite_bind_blob(statement, index, bytes);
}

void sqlite_bind_fields(sqlite3_stmt *statement, int index, const struct record *record, int first,
                        int end)
{
    const struct record_shape *shape = &record_shapes[record->kind];
    for (int i = first; i < end; i++, index++) {
        const struct record_field *field = &shape->fields[i];
        if (field_is_bytes(field))
            bind_bytes(statement, index, field, field_bytes(field, record));
        else if (field->is_required || field_is_set(field, record))
            sqlite3_bind_int64(statement, index, field_number(field, record));
        else
            sqlite3_bind_null(statement, index);
    }
}

char *sqlite_put_sql(enum record_kind kind)
{
    const struct record_shape *shape = &record_shapes[kind];
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendf(sql, "REPLACE INTO %s(", shape->name);
    for (int i = 0; i < shape->field_count; i++)
        sqlite3_str_appendf(sql, "%s%s", i ? "," : "", shape->fields[i].name);
    sqlite3_str_appendall(sql, ") VALUES(?");
    for (int i = 1; i < shape->field_count; i++)
        sqlite3_str_appendall(sql, ",?");
    sqlite3_str_appendall(sql, ")");
    return sqlite3_str_finish(sql);
}

char *sqlite_remove_sql(enum record_kind kind)
{
    const struct record_shape *shape = &record_shapes[kind];
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendf(sql, "DELETE FROM %s", shape->name);
    for (int i = 0; i < shape->key_count; i++)
        sqlite3_str_appendf(sql, " %s %s=?", i ? "AND" : "WHERE", shape->fields[i].name);
    return sqlite3_str_finish(sql);
}
