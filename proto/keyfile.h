/*
 * Keys of CURVE on disk: the file of one pair, and the supervisor's list of the public keys that it
 * lets in. Keys are written in hexadecimal, 64 digits: unlike Z85 it goes through shells and YAML
 * as it is. Shared by synkd, worker hosts, the client library and synk. Reads and writes files;
 * makes no keys (libzmq does).
 */
#ifndef PROTO_KEYFILE_H
#define PROTO_KEYFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/role.h"
#include "proto/status.h"

enum {
    KEY_BYTES = 32,
    KEY_TEXT_BYTES = 2 * KEY_BYTES + 1,
    KEY_NAME_BYTES = 64, /* of a name in the list, its NUL included */
    KEYS_MAX = 4096,     /* in a list */
};

struct keypair {
    uint8_t public_key[KEY_BYTES], secret_key[KEY_BYTES];
};

void key_print(const uint8_t key[KEY_BYTES], char ret_text[KEY_TEXT_BYTES]);
bool key_parse(struct synk_bytes text, uint8_t ret_key[KEY_BYTES]);

/* Makes the file with mode 0600, whatever the umask; SYNK_REFUSED where there is one: a key that is
 * in use is not to be lost by a slip. SYNK_IO. On disk when it returns. */
enum synk_status keyfile_write(const char *path, const struct keypair *pair,
                               struct synk_error *error);
/* SYNK_IO; SYNK_INVALID where it is no such file; SYNK_REFUSED where others than its owner may read
 * it, or it is neither this user's nor root's. */
enum synk_status keyfile_read(const char *path, struct keypair *ret_pair, struct synk_error *error);

/* How a program of ours proves who it is, and knows the supervisor: by its options, else by
 * SYNK_KEY (a file) and SYNK_SERVER_KEY. */
struct key_ring {
    bool has_keys; /* false = none is used */
    struct keypair pair;
    uint8_t server_key[KEY_BYTES];
};
/* Either may be NULL: then the environment's. `server_key` is a public key. SYNK_INVALID where one
 * comes without the other; and as keyfile_read. */
enum synk_status key_ring_load(const char *file, const char *server_key, struct key_ring *ret_ring,
                               struct synk_error *error);

/* A line of the list: PUBLIC ROLE NAME. */
struct listed_key {
    uint8_t key[KEY_BYTES];
    enum role role;
    char name[KEY_NAME_BYTES];
};
struct key_list {
    struct listed_key *items;
    size_t count, capacity;
    unsigned bad_lines; /* left out */
    unsigned bad_line;  /* the first of them, from 1 */
};
/* Appends what the text lists; blank lines and those that begin with "# " are none. */
void key_list_parse(struct key_list *list, struct synk_bytes text);
void key_list_fini(struct key_list *list);
/* NULL where it is not in the list. */
struct listed_key *key_list_find(const struct key_list *list, const uint8_t key[KEY_BYTES]);
/* 1 to 63 bytes: letters, digits and ._@:- */
bool key_name_is_valid(const char *name);
/* Reads the list; a file that is not there is an empty one. SYNK_IO; SYNK_REFUSED where others than
 * its owner may write it. */
enum synk_status key_list_read(const char *path, struct key_list *ret_list,
                               struct synk_error *error);
/* Replaces the file as a whole: whoever reads it sees the old one or the new one. SYNK_IO. */
enum synk_status key_list_write(const char *path, const struct key_list *list,
                                struct synk_error *error);
/* Appends a key, or gives the one that is there another role and name. */
void key_list_put(struct key_list *list, const struct listed_key *key);

#endif
