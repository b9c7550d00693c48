/*
 * Reading and writing keys. Invariants: a secret is never in a file that others could read, not
 * even while it is written; the list is replaced by rename, never changed in place.
 */
#include "proto/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/bytes.h"

/* Of a list with as many keys as there may be. */
#define FILE_BYTES_MAX ((size_t)KEYS_MAX * 160)

void key_print(const uint8_t key[KEY_BYTES], char ret_text[KEY_TEXT_BYTES])
{
    for (size_t i = 0; i < KEY_BYTES; i++)
        snprintf(ret_text + 2 * i, 3, "%02x", key[i]);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool key_parse(struct synk_bytes text, uint8_t ret_key[KEY_BYTES])
{
    const char *c = text.data;
    uint8_t key[KEY_BYTES];
    if (text.size != KEY_TEXT_BYTES - 1)
        return false;
    for (size_t i = 0; i < KEY_BYTES; i++) {
        int high = digit(c[2 * i]), low = digit(c[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        key[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(ret_key, key, KEY_BYTES);
    return true;
}

/* ---- files ---- */

static enum synk_status read_all(int fd, struct buf *out, size_t max)
{
    char piece[4096];
    ssize_t size;
    while ((size = read(fd, piece, sizeof(piece))) != 0) {
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return SYNK_IO;
        if (out->size + (size_t)size > max)
            return SYNK_TOO_LARGE;
        buf_append(out, piece, (size_t)size);
    }
    return SYNK_OK;
}

static bool write_all(int fd, const struct buf *text)
{
    for (size_t at = 0; at < text->size;) {
        ssize_t size = write(fd, text->data + at, text->size - at);
        if (size < 0 && errno != EINTR)
            return false;
        at += size > 0 ? (size_t)size : 0;
    }
    return fsync(fd) == 0;
}

enum synk_status keyfile_write(const char *path, const struct keypair *pair,
                               struct synk_error *error)
{
    char public_key[KEY_TEXT_BYTES], secret_key[KEY_TEXT_BYTES];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno == EEXIST)
        return status_fail(error, SYNK_REFUSED, "%s is there already: remove it, or name another",
                           path);
    if (fd < 0)
        return status_fail(error, SYNK_IO, "cannot write %s: %s", path, strerror(errno));
    struct buf text = {0};
    key_print(pair->public_key, public_key);
    key_print(pair->secret_key, secret_key);
    buf_printf(&text,
               "# Keys of Synchronik. Whoever has this file is who it stands for.\n"
               "public %s\nsecret %s\n",
               public_key, secret_key);
    bool is_written = fchmod(fd, 0600) == 0 && write_all(fd, &text);
    int code = errno;
    explicit_bzero(text.data, text.size);
    explicit_bzero(secret_key, sizeof(secret_key));
    buf_fini(&text);
    close(fd);
    if (is_written)
        return SYNK_OK;
    unlink(path);
    return status_fail(error, SYNK_IO, "cannot write %s: %s", path, strerror(code));
}

/* The word behind `name` at a line's beginning. */
static bool find_key(struct synk_bytes text, const char *name, uint8_t ret_key[KEY_BYTES])
{
    size_t name_size = strlen(name);
    const char *line = text.data, *end = line + text.size;
    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t size = (size_t)((stop ? stop : end) - line);
        if (size > name_size && memcmp(line, name, name_size) == 0)
            return key_parse(bytes_of(line + name_size, size - name_size), ret_key);
        line = stop ? stop + 1 : end;
    }
    return false;
}

enum synk_status keyfile_read(const char *path, struct keypair *ret_pair, struct synk_error *error)
{
    struct stat info;
    struct buf text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return status_fail(error, SYNK_IO, "cannot read the key %s: %s", path, strerror(errno));
    enum synk_status status = SYNK_OK;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        status = status_fail(error, SYNK_INVALID, "%s is not a file", path);
    else if (info.st_uid != geteuid() && info.st_uid != 0)
        status = status_fail(error, SYNK_REFUSED, "the key %s belongs to another user", path);
    else if (info.st_mode & 077)
        status = status_fail(error, SYNK_REFUSED,
                             "others may read the key %s: make it yours alone (chmod 600) or, "
                             "where they may have read it, make a new one",
                             path);
    else if (read_all(fd, &text, 4096) != SYNK_OK)
        status = status_fail(error, SYNK_IO, "cannot read the key %s", path);
    else if (!find_key(buf_bytes(&text), "public ", ret_pair->public_key) ||
             !find_key(buf_bytes(&text), "secret ", ret_pair->secret_key))
        status = status_fail(error, SYNK_INVALID,
                             "%s is not a file of keys as `synk keygen` makes it", path);
    close(fd);
    if (text.size)
        explicit_bzero(text.data, text.size);
    buf_fini(&text);
    return status;
}

enum synk_status key_ring_load(const char *file, const char *server_key, struct key_ring *ret_ring,
                               struct synk_error *error)
{
    struct key_ring ring = {.has_keys = true};
    if (!file)
        file = getenv("SYNK_KEY");
    if (!server_key)
        server_key = getenv("SYNK_SERVER_KEY");
    bool has_file = file && *file, has_server_key = server_key && *server_key;
    if (!has_file && !has_server_key) {
        *ret_ring = (struct key_ring){0};
        return SYNK_OK;
    }
    if (!has_server_key)
        return status_fail(error, SYNK_INVALID,
                           "a key needs the supervisor's to go with it (--server-key KEY or "
                           "SYNK_SERVER_KEY): `synk keys server` prints it there");
    if (!has_file)
        return status_fail(error, SYNK_INVALID,
                           "the supervisor's key needs one of your own to go with it (--key FILE "
                           "or SYNK_KEY): `synk keygen FILE` makes it");
    if (!key_parse(bytes_str(server_key), ring.server_key))
        return status_fail(error, SYNK_INVALID,
                           "the supervisor's key has 64 hexadecimal digits, which '%.70s' has not",
                           server_key);
    enum synk_status status = keyfile_read(file, &ring.pair, error);
    if (!status)
        *ret_ring = ring;
    explicit_bzero(&ring, sizeof(ring));
    return status;
}

/* ---- the list ---- */

bool key_name_is_valid(const char *name)
{
    static const char bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "._@:-";
    size_t size = strlen(name);
    return size && size < KEY_NAME_BYTES && strspn(name, bytes) == size;
}

/* The next word of a line, and what is behind it. */
static struct synk_bytes next_word(struct synk_bytes *line)
{
    const char *text = line->data;
    size_t begin = 0;
    while (begin < line->size && (text[begin] == ' ' || text[begin] == '\t'))
        begin++;
    size_t end = begin;
    while (end < line->size && text[end] != ' ' && text[end] != '\t' && text[end] != '\r')
        end++;
    struct synk_bytes word = bytes_of(text + begin, end - begin);
    *line = bytes_of(text + end, line->size - end);
    return word;
}

static bool parse_line(struct synk_bytes line, struct listed_key *ret_key)
{
    struct synk_bytes key = next_word(&line), role = next_word(&line), name = next_word(&line);
    if (!key_parse(key, ret_key->key) || !role_parse(role, &ret_key->role) ||
        name.size >= KEY_NAME_BYTES)
        return false;
    snprintf(ret_key->name, sizeof(ret_key->name), "%.*s", (int)name.size,
             name.size ? (const char *)name.data : "");
    return key_name_is_valid(ret_key->name);
}

static bool is_nothing(struct synk_bytes line)
{
    struct synk_bytes word = next_word(&line);
    return word.size == 0 || ((const char *)word.data)[0] == '#';
}

void key_list_put(struct key_list *list, const struct listed_key *key)
{
    struct listed_key *known = key_list_find(list, key->key);
    if (!known) {
        list->items = mem_grow(list->items, &list->capacity, list->count + 1, sizeof(*list->items));
        known = &list->items[list->count++];
    }
    *known = *key;
}

void key_list_parse(struct key_list *list, struct synk_bytes text)
{
    const char *line = text.data, *end = line + text.size;
    for (unsigned number = 1; line < end; number++) {
        struct listed_key key = {.role = ROLE_NONE};
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        struct synk_bytes whole = bytes_of(line, (size_t)((stop ? stop : end) - line));
        line = stop ? stop + 1 : end;
        if (is_nothing(whole))
            continue;
        if (list->count < KEYS_MAX && parse_line(whole, &key))
            key_list_put(list, &key);
        else if (list->bad_lines++ == 0)
            list->bad_line = number;
    }
}

void key_list_fini(struct key_list *list)
{
    free(list->items);
    *list = (struct key_list){0};
}

struct listed_key *key_list_find(const struct key_list *list, const uint8_t key[KEY_BYTES])
{
    for (size_t i = 0; i < list->count; i++)
        if (memcmp(list->items[i].key, key, KEY_BYTES) == 0)
            return &list->items[i];
    return NULL;
}

enum synk_status key_list_read(const char *path, struct key_list *ret_list,
                               struct synk_error *error)
{
    struct stat info;
    struct buf text = {0};
    *ret_list = (struct key_list){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return SYNK_OK;
    if (fd < 0)
        return status_fail(error, SYNK_IO, "cannot read %s: %s", path, strerror(errno));
    enum synk_status status = SYNK_OK;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        status = status_fail(error, SYNK_IO, "%s is not a file", path);
    else if ((info.st_uid != geteuid() && info.st_uid != 0) || info.st_mode & 022)
        status = status_fail(error, SYNK_REFUSED, "others may write %s: chmod 600", path);
    else if (read_all(fd, &text, FILE_BYTES_MAX) != SYNK_OK)
        status = status_fail(error, SYNK_IO, "cannot read %s, or it is too large", path);
    else if (text.size)
        key_list_parse(ret_list, buf_bytes(&text));
    close(fd);
    buf_fini(&text);
    return status;
}

enum synk_status key_list_write(const char *path, const struct key_list *list,
                                struct synk_error *error)
{
    char new_path[PATH_MAX], key[KEY_TEXT_BYTES];
    struct buf text = {0};
    if (snprintf(new_path, sizeof(new_path), "%s.new", path) >= (int)sizeof(new_path))
        return status_fail(error, SYNK_IO, "the path %s is too long", path);
    buf_printf(&text, "# Keys that this supervisor lets in: PUBLIC ROLE NAME\n");
    for (size_t i = 0; i < list->count; i++) {
        key_print(list->items[i].key, key);
        buf_printf(&text, "%s %s %s\n", key, role_name(list->items[i].role), list->items[i].name);
    }
    int fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool is_written = fd >= 0 && write_all(fd, &text);
    int code = errno;
    if (fd >= 0)
        close(fd);
    buf_fini(&text);
    if (is_written && rename(new_path, path) == 0)
        return SYNK_OK;
    if (is_written)
        code = errno;
    unlink(new_path);
    return status_fail(error, SYNK_IO, "cannot write %s: %s", path, strerror(code));
}
