/* The calls of <synk/value.h> that need JSON, apart from value.c so that the pure core does not
 * link Jansson for them. */
#include "proto/json.h"
#include "proto/value.h"

char *synk_value_json_dup(const struct synk_value *value)
{
    struct buf text = {0};
    json_print(value, 0, &text);
    buf_append(&text, "", 1);
    return (char *)text.data;
}

enum synk_status synk_builder_json(struct synk_builder *builder, const char *json, size_t size,
                                   struct synk_error *error)
{
    struct buf encoded = {0};
    enum synk_status status = json_parse(bytes_of(json, size), &encoded, error);
    if (status == SYNK_OK)
        synk_builder_encoded(builder, buf_bytes(&encoded));
    buf_fini(&encoded);
    return status;
}
