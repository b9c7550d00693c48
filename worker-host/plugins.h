/*
 * Plugins: which files may be loaded, what they offer, and the functions by name. The host only
 * finds and checks files, and asks a child process what each one offers; runners load them.
 */
#ifndef WORKER_HOST_PLUGINS_H
#define WORKER_HOST_PLUGINS_H

#include "proto/bytes.h"
#include "proto/status.h"
#include "synk/worker.h"

struct function {
    char *name; /* "plugin.function" */
    synk_function run;
    bool is_quiet; /* prints nothing, and is too short to be worth an account of its usage */
};
struct refused_plugin {
    char *name, *reason;
};
struct plugins {
    struct function *functions;
    size_t function_count, function_capacity;
    struct refused_plugin *refused;
    size_t refused_count, refused_capacity;
    char **paths; /* of those that are loaded, or to be loaded */
    size_t path_count, path_capacity;
};
void plugins_init(struct plugins *plugins); /* with the built-in functions */
void plugins_fini(struct plugins *plugins);

/* Whether a directory or file may be trusted: owned by root or this user, writable by nobody else.
 * SYNK_REFUSED, with the reason. */
enum synk_status plugin_check_path(const char *path, bool is_directory, struct synk_error *error);
/* 1 to 63 letters, digits, '-' and '_'. */
bool plugin_name_is_valid(const char *name);
/* Whether what a plugin exports can be used; `name` is its file's without .so. */
enum synk_status plugin_check(const struct synk_plugin *plugin, const char *name,
                              struct synk_error *error);

/* Every NAME.so of a directory: checked, asked (by running `program --list FILE`), added with its
 * functions' names, or refused with the reason. SYNK_REFUSED where the directory itself is. Blocks
 * up to 10 s a plugin. */
enum synk_status plugins_find(struct plugins *plugins, const char *directory, const char *program,
                              struct synk_error *error);
/* Loads one file into this process and adds its functions. SYNK_REFUSED with the reason. */
enum synk_status plugins_load(struct plugins *plugins, const char *path, struct synk_error *error);
void plugins_refuse(struct plugins *plugins, const char *name, const char *reason);
/* The same of a whole directory: its name has a slash, which no plugin's has. */
void plugins_refuse_directory(struct plugins *plugins, const char *directory, const char *reason);

const struct function *plugins_function(const struct plugins *plugins, struct synk_bytes name);
/* Why there is no such function. */
void plugins_explain(const struct plugins *plugins, struct synk_bytes name, char *text,
                     size_t text_size);
/* The `--list` role: loads the file and prints its functions' names, a line each, to descriptor 1.
 * */
int plugins_list_main(const char *path);

/* builtin.c: {name, function} of sim.*, ended by a NULL name. */
extern const struct synk_plugin_function builtin_sim[];

#endif
