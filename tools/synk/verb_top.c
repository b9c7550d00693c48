/*
 * synk top: the terminal and the loop. Keys and the client's descriptor are waited for in one poll;
 * nothing else waits, and the screen is drawn a few times a second at most. Invariant: however the
 * program ends, the terminal is as it was: by endwin, or where a fatal signal leaves no time for
 * that, by what was saved.
 */
#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <term.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "tools/synk/top.h"
#include "tools/synk/verbs.h"

enum {
    /* At most eight drawings a second; at least one, for the clock and what is under way. */
    DRAW_MS = 125,
    CLOCK_MS = 1000,
};

static struct termios terminal_before;

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Only what a signal handler may: leaves the alternate screen, shows the cursor. */
static void on_fatal(int number)
{
    static const char leave[] = "\033[?1049l\033[?25h\033[0m\r\n";
    ssize_t written = write(STDOUT_FILENO, leave, sizeof(leave) - 1);
    (void)written;
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
    raise(number); /* SA_RESETHAND: as if there were no handler */
}

static void catch_signals(void)
{
    static const int fatal[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGQUIT};
    struct sigaction action = {.sa_handler = on_fatal,
                               .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        sigaction(fatal[i], &action, NULL);
    signals_catch();
}

/* Takes the terminal over; NULL after telling why not. */
static SCREEN *open_screen(struct top *top)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    setlocale(LC_CTYPE, ""); /* not LC_NUMERIC: JSON has points */
    top->is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    tcgetattr(STDIN_FILENO, &terminal_before);
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (!screen || !cursor_address) {
        if (screen)
            endwin();
        fail(EXIT_USAGE,
             "a terminal of type '%s' cannot be drawn on: `synk ls` and `synk stats` "
             "print once",
             term ? term : "");
        return NULL;
    }
    catch_signals();
    cbreak();
    noecho();
    nonl();
    curs_set(0);
    set_escdelay(25);
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    top->has_colours = has_colors() && !(no_color && no_color[0]);
    top_view_init(top);
    return screen;
}

/* Takes all keys that are there. Whether there were any. */
static bool take_keys(struct top *top)
{
    wint_t code;
    bool is_any = false;
    int kind;
    while (!top->quits && (kind = get_wch(&code)) != ERR) {
        top_press(top, code, kind == KEY_CODE_YES);
        is_any = true;
    }
    return is_any;
}

/* Waits for a key, the client, or the time. False when the terminal is gone. */
static bool wait_for(struct synk_client *client, int64_t timeout_ms)
{
    struct pollfd items[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                             {.fd = synk_client_fd(client), .events = POLLIN}};
    timeout_ms = timeout_ms < 0 ? 0 : timeout_ms > CLOCK_MS ? CLOCK_MS : timeout_ms;
    if (poll(items, 2, (int)timeout_ms) < 0)
        return errno == EINTR; /* a window that changed its size, or a signal that is counted */
    if (items[1].revents)
        synk_client_process(client);
    return !(items[0].revents & (POLLHUP | POLLERR | POLLNVAL));
}

static int loop(struct top *top, struct synk_client *client)
{
    int64_t drawn_ms = 0;
    bool is_dirty = true;
    while (!top->quits && !signals_count()) {
        int64_t now_ms = clock_ms(CLOCK_MONOTONIC);
        int64_t next_ms = top_model_tick(top->model, now_ms);
        is_dirty = top_model_take_change(top->model) || is_dirty || now_ms - drawn_ms >= CLOCK_MS;
        if (is_dirty && now_ms - drawn_ms >= DRAW_MS) {
            top_draw(top, clock_ms(CLOCK_REALTIME));
            drawn_ms = now_ms;
            is_dirty = false;
        }
        int64_t draw_ms = drawn_ms + (is_dirty ? DRAW_MS : CLOCK_MS);
        if (!wait_for(client, (next_ms < draw_ms ? next_ms : draw_ms) - now_ms))
            return EXIT_DONE;
        is_dirty = take_keys(top) || is_dirty;
    }
    return top->quits ? EXIT_DONE : EXIT_INTERRUPTED;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct synk_client *client = NULL;
    struct synk_error error;
    struct top top = {.focus = LIST_RUNS};
    if (args_parse(cli, argc, argv, NULL, 0, 0) < 0)
        return EXIT_USAGE;
    if (cli->json || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return fail(EXIT_USAGE,
                    "`synk top` needs a terminal: `synk ls` and `synk stats` print once");
    int code = cli_open(cli, &client);
    if (code)
        return code;
    if (top_model_new(client, &top.model, &error) != SYNK_OK) {
        synk_client_close(client);
        return fail_error(&error);
    }
    top.directory = synk_client_directory(client);
    SCREEN *screen = open_screen(&top);
    code = EXIT_USAGE;
    if (screen) {
        code = loop(&top, client);
        endwin();
        delscreen(screen);
    }
    synk_client_close(client);
    top_model_free(top.model);
    return code;
}

const struct verb verb_top = {
    .name = "top",
    .arguments = "",
    .summary = "Watch units, runs, hosts and events, and pause, resume, cancel, explain",
    .help =
        "Fills the terminal until q. Tab goes from pane to pane, arrows or j and k from row to\n"
        "row; Enter shows more, e explains, p pauses, r resumes, c cancels, ? lists all keys.\n",
    .run = run,
};
