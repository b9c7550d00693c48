/* `synk run --local`: a supervisor for one run, and nothing left of it afterwards. */
#ifndef SYNK_LOCAL_H
#define SYNK_LOCAL_H

#include "tools/synk/cli.h"

struct local_options {
    const char *file, *unit; /* unit NULL = the only one of the file */
    const char *events;      /* a file to write every event to, or NULL */
    int64_t slots;           /* -1 = the processors */
    const struct text_list *plugin_dirs;
    struct synk_bytes params;
};
int local_run(const struct cli *cli, const struct local_options *options);

#endif
