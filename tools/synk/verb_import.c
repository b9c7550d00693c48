/* synk import: other formats to definitions, on standard output. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/definition_file.h"
#include "tools/synk/verbs.h"

static int run(struct cli *cli, int argc, char **argv)
{
    const char *scale_text = "1";
    const struct option options[] = {
        {"scale", OPTION_TEXT, &scale_text},
        {NULL, OPTION_FLAG, NULL},
    };
    if (args_parse(cli, argc, argv, options, 2, 2) < 0)
        return EXIT_USAGE;
    if (!text_is(bytes_str(argv[0]), "wfformat"))
        return fail(EXIT_USAGE, "cannot import '%s': wfformat is known", argv[0]);
    char *end;
    double scale = strtod(scale_text, &end);
    if (end == scale_text || *end || !(scale >= 0 && scale <= 1e6))
        return fail(EXIT_USAGE, "--scale takes a number from 0 to 1000000, not '%s'", scale_text);
    struct buf out = {0};
    struct synk_error error;
    int code = EXIT_DONE;
    if (wfformat_convert(argv[1], scale, &out, &error) == SYNK_OK) {
        fwrite(out.data, 1, out.size, stdout);
        putchar('\n');
    } else {
        fail_error(&error);
        code = EXIT_USAGE;
    }
    buf_fini(&out);
    return code;
}

const struct verb verb_import = {
    .name = "import",
    .arguments = "wfformat FILE [--scale X]",
    .summary = "Print a recorded workflow (WfFormat 1.5) as a definition",
    .help = "Each task becomes a worker that sleeps for its recorded run time, times X (1).\n"
            "`synk import wfformat FILE | synk apply -` registers it.\n",
    .run = run,
};
