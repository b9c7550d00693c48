/* synkd: reads its arguments, opens the shell, runs it. Exit statuses are documented in --help. */
#include <stdio.h>
#include <string.h>

#include "supervisor/shell/config.h"
#include "supervisor/shell/log.h"
#include "supervisor/shell/shell.h"
#include "supervisor/state.h"

enum { EXIT_STARTED_NOT = 1, EXIT_USAGE = 2, EXIT_RUNNING = 4 };

static int run(const struct config *config)
{
    static struct shell shell;
    struct synk_error error = {0};
    enum synk_status status = shell_open(&shell, config, &error);
    /* Without the lock nothing of the directory is ours: then it is the other supervisor's. */
    bool is_running = status == SYNK_BUSY && shell.lock_fd < 0;
    if (!status)
        shell_run(&shell);
    shell_close(&shell);
    if (status == SYNK_OK)
        return 0;
    log_line(LOG_ERROR, error.text, log_text("status", synk_status_name(status)));
    return is_running ? EXIT_RUNNING : EXIT_STARTED_NOT;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "state") == 0)
        return state_main(argc - 1, argv + 1);
    struct engine_config defaults;
    engine_config_defaults(&defaults);
    struct config config = {
        .keep_runs = {defaults.keep_runs_ms, defaults.keep_runs},
        .keep_events = {defaults.keep_events_ms, defaults.keep_events},
        .watch_interval_ms = defaults.watch_interval_ms,
        .idle_threshold_ms = defaults.idle_threshold_ms,
    };
    enum config_action action;
    struct synk_error error = {0};
    int code = 0;
    enum synk_status status = config_parse(&config, argc, argv, &action, &error);
    if (status) {
        fprintf(stderr, "synkd: %s\nTry 'synkd --help'.\n", error.text);
        code = EXIT_USAGE;
    } else if (action == CONFIG_HELP) {
        config_print_help(stdout);
    } else if (action == CONFIG_VERSION) {
        printf("synkd %s\n", SYNK_VERSION);
    } else {
        code = run(&config);
    }
    config_fini(&config);
    return code;
}
