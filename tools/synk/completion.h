/*
 * What a shell is told to complete command lines of synk: made of the table of verbs, whose usage
 * lines and helps name every option and argument. Used by verb_completion.c alone.
 */
#ifndef SYNK_COMPLETION_H
#define SYNK_COMPLETION_H

#include "proto/bytes.h"
#include "tools/synk/cli.h"

/* Appends the options that a verb's usage line or help names, each once, behind blanks; with
 * `valued`, only those that take a value ("--slots N"). */
void completion_options(const struct verb *verb, bool valued, struct buf *out);
/* Appends the arguments of a verb by position, those of all its forms: "RUN WORKER…", "ID|FILE". */
void completion_arguments(const struct verb *verb, struct buf *out);

/* What of the scripts is the same whatever the verbs: behind the generated tables. */
extern const char completion_bash[], completion_zsh[];

#endif
