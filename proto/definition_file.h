/* Reading definition files: YAML and JSON (by libyaml, with lines), and WfFormat. Blocks on files.
 * */
#ifndef PROTO_DEFINITION_FILE_H
#define PROTO_DEFINITION_FILE_H

#include "proto/definition.h"

/* Parses YAML or JSON text into nodes that live in `arena`. Anchors and merge keys are expanded
 * within LIMIT_UPLOAD_ITEMS nodes; duplicate keys and several documents are refused. Fails with
 * SYNK_INVALID and "SOURCE:LINE:COLUMN: …". */
enum synk_status definition_parse_yaml(struct synk_bytes text, const char *source,
                                       struct arena *arena, struct node *ret_node,
                                       struct synk_error *error);

/* Reads and validates one file ("-" = standard input) into `set`. Relative `cwd`s are made absolute
 * against the file's directory. Fails also with SYNK_IO. */
enum synk_status definition_load_file(const char *path, const struct expression_checker *checker,
                                      struct definition_set *set, struct synk_error *error);

/*
 * Converts a WfFormat 1.5 file to one process: worker ids are the file's task ids, each runs
 * sim.sleep for its recorded run time times `scale` (milliseconds, rounded), timeoutMs 0. Appends
 * the JSON document {"processes":[…]} to `out`. The process id is the file's name without suffix.
 * Fails with SYNK_INVALID (naming the member that is wrong) or SYNK_IO.
 */
enum synk_status wfformat_convert(const char *path, double scale, struct buf *out,
                                  struct synk_error *error);

#endif
