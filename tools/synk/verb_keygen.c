/* synk keygen: a new pair of keys. The secret goes to the file and nowhere else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "proto/keyfile.h"
#include "tools/synk/output.h"
#include "tools/synk/verbs.h"

static int make(struct keypair *pair)
{
    char public_key[41], secret_key[41];
    if (zmq_curve_keypair(public_key, secret_key) != 0)
        return fail(EXIT_REFUSED, "libzmq was built without CURVE: no keys");
    zmq_z85_decode(pair->public_key, public_key);
    zmq_z85_decode(pair->secret_key, secret_key);
    explicit_bzero(secret_key, sizeof(secret_key));
    return EXIT_DONE;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct keypair pair;
    struct synk_error error;
    char text[KEY_TEXT_BYTES];
    int count = args_parse(cli, argc, argv, NULL, 0, 1);
    if (count < 0)
        return EXIT_USAGE;
    const char *path = count ? argv[0] : "synk.key";
    int code = make(&pair);
    if (!code && keyfile_write(path, &pair, &error) != SYNK_OK)
        code = fail_error(&error);
    key_print(pair.public_key, text);
    explicit_bzero(&pair, sizeof(pair));
    if (!code)
        printf(cli->json ? "{\"public\":\"%s\"}\n" : "%s\n", text);
    return code;
}

const struct verb verb_keygen = {
    .name = "keygen",
    .arguments = "[FILE]",
    .summary = "Make a pair of keys",
    .help = "Writes them to FILE (default: synk.key), which only you can read and which must not\n"
            "be there yet, and prints the public one, for `synk keys add` at the supervisor.\n",
    .run = run,
};
