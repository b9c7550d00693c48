/* Foreign bytes as a value and as JSON: what is accepted must survive printing and encoding again.
 */
#include <assert.h>
#include <stdlib.h>

#include "proto/json.h"
#include "proto/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_everywhere(const struct synk_value *value)
{
    free(synk_value_string_dup(value));
    (void)synk_value_get(value, "a");
    (void)synk_value_int(value, 0);
    (void)synk_value_double(value, 0);
    (void)synk_value_bytes(value);
    for (size_t i = 0; synk_value_at(value, i); i++) {
        (void)synk_value_key_at(value, i);
        read_everywhere(synk_value_at(value, i));
    }
}

static void fuzz_encoded(struct synk_bytes bytes)
{
    struct synk_document *document = NULL;
    struct synk_error error;
    if (synk_document_decode(bytes, &document, &error) != SYNK_OK) {
        assert(check_utf8(bytes_str(error.text)));
        return;
    }
    struct buf text = {0}, again = {0};
    read_everywhere(synk_document_root(document));
    json_print(synk_document_root(document), 2, &text);
    value_encode(synk_document_root(document), &again);
    assert(value_same(bytes, buf_bytes(&again)));
    buf_fini(&text);
    buf_fini(&again);
    synk_document_free(document);
}

static void fuzz_json(struct synk_bytes bytes)
{
    struct buf encoded = {0}, text = {0}, again = {0};
    struct synk_error error;
    if (json_parse(bytes, &encoded, &error) == SYNK_OK) {
        assert(check_value(buf_bytes(&encoded), &check_message_limits, NULL) != SYNK_PROTOCOL);
        json_print_encoded(buf_bytes(&encoded), 0, &text);
        assert(json_parse(buf_bytes(&text), &again, NULL) == SYNK_OK);
        assert(value_same(buf_bytes(&encoded), buf_bytes(&again)));
    }
    buf_fini(&encoded);
    buf_fini(&text);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_encoded(bytes_of(data, size));
    fuzz_json(bytes_of(data, size));
    return 0;
}
