/* synk state: copying and checking a state that no supervisor has. The work is synkd's, which knows
 * the stores. */
#include <string.h>

#include "tools/synk/start.h"
#include "tools/synk/verbs.h"

static int run(struct cli *cli, int argc, char **argv)
{
    int count = args_parse(cli, argc, argv, NULL, 2, 3);
    if (count < 0)
        return EXIT_USAGE;
    bool is_copy = strcmp(argv[0], "copy") == 0 && count == 3;
    bool is_check = strcmp(argv[0], "check") == 0 && count == 2;
    if (!is_copy && !is_check)
        return fail(EXIT_USAGE, "write 'synk state copy FROM TO' or 'synk state check URI'");
    argv[count] = NULL;
    return supervisor_state(argv);
}

const struct verb verb_state = {
    .name = "state",
    .arguments = "copy FROM TO | check URI",
    .summary = "Move a state to another store, or verify one",
    .help = "While no supervisor uses it. A URI is one that --state takes:\n"
            "  synk state copy sqlite:/var/lib/synk/state.db 'redis://db:6379/0?cluster=main'\n"
            "copies everything into a store that is empty (memory: is refused), and\n"
            "  synk state check URI\n"
            "reads everything and tells what a supervisor would leave out: exit status 1.\n",
    .run = run,
};
