/*
 * synk keys: the list of keys that a supervisor lets in. It is a file in the supervisor's
 * directory, which the supervisor reads anew when it changes; so the verb works there, whether a
 * supervisor runs or not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "proto/directory.h"
#include "proto/keyfile.h"
#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

struct place {
    struct directory directory;
    char list[DIRECTORY_PATH_BYTES];
    int lock_fd;
};

static int find(struct cli *cli, struct place *ret_place)
{
    struct synk_error error;
    if (cli->connect)
        return fail(EXIT_USAGE, "keys are kept on the supervisor's machine: run it there");
    if (directory_resolve(cli->directory, &ret_place->directory, &error) != SYNK_OK)
        return fail_error(&error);
    directory_path(&ret_place->directory, DIRECTORY_KEYS, ret_place->list);
    ret_place->lock_fd = -1;
    return EXIT_DONE;
}

/* Two who change the list at the same time come one behind the other. */
static int lock(struct place *place)
{
    char path[DIRECTORY_PATH_BYTES + 8];
    struct synk_error error;
    if (directory_create(&place->directory, &error) != SYNK_OK)
        return fail_error(&error);
    snprintf(path, sizeof(path), "%s.lock", place->list);
    place->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (place->lock_fd < 0 || flock(place->lock_fd, LOCK_EX) != 0)
        return fail(EXIT_REFUSED, "cannot lock %s: %s", path, strerror(errno));
    return EXIT_DONE;
}

static int read_list(const struct place *place, struct key_list *list)
{
    struct synk_error error;
    if (key_list_read(place->list, list, &error) != SYNK_OK)
        return fail_error(&error);
    return EXIT_DONE;
}

/* Lines that were left out would be lost. */
static int write_list(const struct place *place, const struct key_list *list)
{
    struct synk_error error;
    if (list->bad_lines)
        return fail(EXIT_REFUSED, "line %u of %s is none of PUBLIC ROLE NAME: mend it first",
                    list->bad_line, place->list);
    if (key_list_write(place->list, list, &error) != SYNK_OK)
        return fail_error(&error);
    return EXIT_DONE;
}

/* A public key as it is, or that of a file of keys. */
static int read_key(const char *text, uint8_t ret_key[KEY_BYTES])
{
    struct keypair pair;
    struct synk_error error;
    if (key_parse(bytes_str(text), ret_key))
        return EXIT_DONE;
    if (access(text, F_OK) != 0)
        return fail(EXIT_USAGE,
                    "'%.80s' is neither a public key (64 hexadecimal digits) nor a file of keys",
                    text);
    if (keyfile_read(text, &pair, &error) != SYNK_OK)
        return fail_error(&error);
    memcpy(ret_key, pair.public_key, KEY_BYTES);
    explicit_bzero(&pair, sizeof(pair));
    return EXIT_DONE;
}

static int put_on(const struct place *place, char **argv)
{
    struct key_list list = {0};
    struct listed_key key = {.role = ROLE_NONE};
    if (!role_parse(bytes_str(argv[1]), &key.role))
        return fail(EXIT_USAGE, "a role is observe, submit, worker or admin, not '%.40s'", argv[1]);
    if (!key_name_is_valid(argv[2]))
        return fail(EXIT_USAGE, "a name has 1 to 63 letters, digits and ._@:-");
    snprintf(key.name, sizeof(key.name), "%s", argv[2]);
    int code = read_key(argv[0], key.key);
    if (!code && !(code = read_list(place, &list))) {
        key_list_put(&list, &key);
        code = list.count > KEYS_MAX ? fail(EXIT_REFUSED, "a list has at most %d keys", KEYS_MAX)
                                     : write_list(place, &list);
    }
    key_list_fini(&list);
    return code;
}

static bool matches(const struct listed_key *key, const char *text)
{
    uint8_t wanted[KEY_BYTES];
    return strcmp(key->name, text) == 0 ||
           (key_parse(bytes_str(text), wanted) && memcmp(key->key, wanted, KEY_BYTES) == 0);
}

/* By its name, or the key itself; all that have the name. */
static int take_off(const struct place *place, char **argv)
{
    struct key_list list = {0};
    int code = read_list(place, &list);
    size_t kept = 0;
    for (size_t i = 0; i < list.count; i++)
        if (!matches(&list.items[i], argv[0]))
            list.items[kept++] = list.items[i];
    if (!code && kept == list.count)
        code = fail(EXIT_REFUSED, "no key is called '%.80s': see `synk keys list`", argv[0]);
    list.count = kept;
    if (!code)
        code = write_list(place, &list);
    key_list_fini(&list);
    return code;
}

static int print_list(const struct cli *cli, const struct place *place)
{
    struct key_list list = {0};
    char text[KEY_TEXT_BYTES];
    int code = read_list(place, &list);
    for (size_t i = 0; i < list.count && !code; i++) {
        const struct listed_key *key = &list.items[i];
        key_print(key->key, text);
        printf(cli->json ? "{\"key\":\"%s\",\"role\":\"%s\",\"name\":\"%s\"}\n" : "%s  %-7s  %s\n",
               text, role_name(key->role), key->name);
    }
    if (list.bad_lines)
        fprintf(stderr, "synk: warning: %u lines of %s are none of PUBLIC ROLE NAME, from %u on\n",
                list.bad_lines, place->list, list.bad_line);
    key_list_fini(&list);
    return code;
}

static int print_server(const struct cli *cli, const struct place *place)
{
    char path[DIRECTORY_PATH_BYTES], text[KEY_TEXT_BYTES];
    struct keypair pair;
    struct synk_error error;
    directory_path(&place->directory, DIRECTORY_SERVER_KEY, path);
    if (access(path, F_OK) != 0)
        return fail(EXIT_REFUSED, "the supervisor has no keys yet: it makes them when it first "
                                  "listens with --listen");
    if (keyfile_read(path, &pair, &error) != SYNK_OK)
        return fail_error(&error);
    key_print(pair.public_key, text);
    explicit_bzero(&pair, sizeof(pair));
    printf(cli->json ? "{\"public\":\"%s\"}\n" : "%s\n", text);
    return EXIT_DONE;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct place place;
    int count = args_parse(cli, argc, argv, NULL, 1, 4);
    if (count < 0)
        return EXIT_USAGE;
    int code = find(cli, &place);
    if (code)
        return code;
    if (strcmp(argv[0], "list") == 0 && count == 1)
        return print_list(cli, &place);
    if (strcmp(argv[0], "server") == 0 && count == 1)
        return print_server(cli, &place);
    bool is_add = strcmp(argv[0], "add") == 0 && count == 4;
    if (!is_add && (strcmp(argv[0], "revoke") != 0 || count != 2))
        return fail(EXIT_USAGE, "write 'synk keys add KEY ROLE NAME', 'revoke NAME', 'list' or "
                                "'server'");
    code = lock(&place);
    if (!code)
        code = is_add ? put_on(&place, argv + 1) : take_off(&place, argv + 1);
    if (place.lock_fd >= 0)
        close(place.lock_fd);
    return code;
}

const struct verb verb_keys = {
    .name = "keys",
    .arguments = "add KEY ROLE NAME | revoke NAME | list | server",
    .summary = "Say whose keys are let in over the network",
    .help =
        "On the supervisor's machine. KEY is a public key or a file of `synk keygen`; NAME is\n"
        "for you, and `revoke` takes it or the key. `server` prints the supervisor's own public\n"
        "key, for --server-key. A change is in force within a second. ROLE is one of\n"
        "  observe  sees everything, changes nothing\n"
        "  submit   also runs, awaits, cancels and retries what is defined, and submits\n"
        "           functions to the pool, but commands only with `synk up --allow-exec`\n"
        "  worker   is a worker host, and nothing else\n"
        "  admin    everything\n",
    .run = run,
};
