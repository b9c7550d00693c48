/*
 * What keys do. One of three has them: the question whether to cancel, a text to read, or the
 * panes. Nothing here waits: what is asked of the supervisor is asked through the model.
 */
#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <stdio.h>

#include "tools/synk/top.h"

enum { KEY_ESC = 27, KEY_DELETE = 127 };

const char *top_help(void)
{
    return "Tab, Shift-Tab      the next pane, the one before\n"
           "arrows, j k         up and down; PgUp, PgDn, Home, End (g, G)\n"
           "Enter               a unit's definition, a run's tasks, all of an event or a host\n"
           "Esc, Backspace      back\n"
           "e                   why is this run or task where it is; of a unit, its last run\n"
           "p, r                pause a unit, let it go on; of a run, its unit\n"
           "c                   cancel a run, after a question\n"
           "?                   this page\n"
           "q, Ctrl-C           leave\n"
           "\n"
           "Live runs stand before those that have ended. Bars show what of a run's tasks is "
           "done,\n"
           "and what of it failed; of a host, the slots that are at work. The newest event is on\n"
           "top. Lists hold the latest rows only: synk ls and synk events have all of them.\n";
}

void top_cursor_settle(const struct top *top, enum top_list list)
{
    struct top_cursor *cursor = (struct top_cursor *)&top->cursors[list];
    size_t count = top_model_count(top->model, list);
    char key[160];
    /* Who stands on the newest event stays on the newest. */
    if (list == LIST_EVENTS && cursor->at == 0)
        cursor->key[0] = '\0';
    if (cursor->key[0]) {
        top_model_key(top->model, list, cursor->at, key);
        for (size_t i = 0; strcmp(key, cursor->key) != 0 && i < count; i++) {
            top_model_key(top->model, list, i, key);
            if (strcmp(key, cursor->key) == 0)
                cursor->at = i;
        }
    }
    if (cursor->at >= count)
        cursor->at = count ? count - 1 : 0;
    if (count)
        top_model_key(top->model, list, cursor->at, cursor->key);
}

static const struct synk_value *selected(const struct top *top)
{
    top_cursor_settle(top, top->focus);
    return top_model_row(top->model, top->focus, top->cursors[top->focus].at);
}

/* The string of a row as a C string; "" where there is none. */
static const char *name_of(const struct synk_value *row, const char *key, char name[160])
{
    struct synk_bytes text = text_of(row, key);
    snprintf(name, 160, "%.*s", (int)text.size, (const char *)text.data);
    return name;
}

/* Moving ----------------------------------------------------------------------------------------
 */

/* Tasks beyond the page: the page before, or the next. */
static bool turn_page(struct top *top, bool is_forward)
{
    const struct synk_value *run = top_model_run(top->model);
    int64_t from = number_of(run, "from", 0), next = number_of(run, "next", -1);
    int64_t shown = (int64_t)top_model_count(top->model, LIST_TASKS);
    struct top_cursor *cursor = &top->cursors[LIST_TASKS];
    char name[160];
    if (!run || (is_forward && next < 0) || (!is_forward && from <= 0))
        return false;
    int64_t before = from > shown ? from - shown : 0;
    top_model_open_run(top->model, name_of(run, "run", name), is_forward ? next : before);
    *cursor = (struct top_cursor){.rows = cursor->rows, .at = is_forward ? 0 : SIZE_MAX / 2};
    return true;
}

static void move_by(struct top *top, long by)
{
    struct top_cursor *cursor = &top->cursors[top->focus];
    size_t count = top_model_count(top->model, top->focus);
    top_cursor_settle(top, top->focus);
    if (top->focus == LIST_TASKS &&
        ((by > 0 && cursor->at + 1 >= count) || (by < 0 && !cursor->at)))
        if (turn_page(top, by > 0))
            return;
    if (by < 0)
        cursor->at = cursor->at > (size_t)-by ? cursor->at - (size_t)-by : 0;
    else
        cursor->at = cursor->at + (size_t)by < count ? cursor->at + (size_t)by
                     : count                         ? count - 1
                                                     : 0;
    if (count)
        top_model_key(top->model, top->focus, cursor->at, cursor->key);
}

static void move_focus(struct top *top, int by)
{
    if (top->focus == LIST_TASKS)
        return;
    top->focus = (enum top_list)(((int)top->focus + by + TOP_PANES) % TOP_PANES);
}

/* How far a key moves; 0 = it does not. */
static long step_of(unsigned code, bool is_function, size_t rows)
{
    long page = rows > 1 ? (long)rows - 1 : 1, far = 1000000;
    if (!is_function)
        return code == 'j' ? 1 : code == 'k' ? -1 : code == 'g' ? -far : code == 'G' ? far : 0;
    switch (code) {
    case KEY_DOWN:
        return 1;
    case KEY_UP:
        return -1;
    case KEY_NPAGE:
        return page;
    case KEY_PPAGE:
        return -page;
    case KEY_HOME:
        return -far;
    case KEY_END:
        return far;
    default:
        return 0;
    }
}

/* Doing -----------------------------------------------------------------------------------------
 */

static void close_run(struct top *top)
{
    if (top->focus != LIST_TASKS)
        return;
    top->focus = top->before_run;
    top_model_open_run(top->model, NULL, 0);
}

static void open_row(struct top *top)
{
    const struct synk_value *row = selected(top);
    char name[160];
    if (!row)
        return;
    top->text_first = 0;
    if (top->focus == LIST_RUNS) {
        top->before_run = top->focus;
        top->focus = LIST_TASKS;
        top->cursors[LIST_TASKS] = (struct top_cursor){0};
        top_model_open_run(top->model, name_of(row, "run", name), 0);
    } else if (top->focus == LIST_UNITS) {
        top_model_describe(top->model, name_of(row, "id", name));
    } else {
        const char *key = top->focus == LIST_HOSTS    ? "name"
                          : top->focus == LIST_EVENTS ? "type"
                                                      : "worker";
        top_model_tell(top->model, name_of(row, key, name), row);
    }
}

static void explain_row(struct top *top)
{
    const struct synk_value *row = selected(top);
    char run[160], worker[160];
    name_of(row, top->focus == LIST_UNITS ? "lastRun" : "run", run);
    name_of(row, "worker", worker);
    if (top->focus == LIST_TASKS)
        name_of(top_model_run(top->model), "run", run);
    top->text_first = 0;
    if (run[0])
        top_model_explain(top->model, run, worker[0] ? worker : NULL);
    else
        top_model_say(top->model, false, "there is no run to explain");
}

static void hold_row(struct top *top, const char *type)
{
    const struct synk_value *row = selected(top);
    char name[160];
    if (top->focus == LIST_TASKS)
        row = top_model_run(top->model);
    name_of(row, top->focus == LIST_UNITS ? "id" : "unit", name);
    if (name[0])
        top_model_act(top->model, type, name);
}

static void ask_to_cancel(struct top *top)
{
    const struct synk_value *row = selected(top);
    if (top->focus == LIST_TASKS)
        row = top_model_run(top->model);
    else if (top->focus != LIST_RUNS)
        row = NULL;
    struct synk_bytes status = text_of(row, "status");
    if (text_is(status, "running") || text_is(status, "queued"))
        name_of(row, "run", top->cancels);
    else
        top_model_say(top->model, false, row ? "that run has ended" : "choose a run to cancel");
}

/* Who has the keys ------------------------------------------------------------------------------
 */

static void answer(struct top *top, unsigned code, bool is_function)
{
    if (!is_function && (code == 'y' || code == 'Y'))
        top_model_act(top->model, "cancel", top->cancels);
    top->cancels[0] = '\0';
}

static void read_on(struct top *top, unsigned code, bool is_function)
{
    long step = step_of(code, is_function, top->text_rows);
    if (step < 0)
        top->text_first = top->text_first > (size_t)-step ? top->text_first - (size_t)-step : 0;
    else if (step > 0)
        top->text_first += (size_t)step; /* the view holds it at the end */
    else if (is_function ? code == KEY_ENTER || code == KEY_BACKSPACE || code == KEY_LEFT
                         : code == 'q' || code == '\n' || code == '\r' || code == KEY_ESC ||
                               code == KEY_DELETE || code == '?') {
        top->is_helping = false;
        top_model_drop_text(top->model);
    }
}

static void press_function(struct top *top, unsigned code)
{
    if (code == KEY_BTAB || code == KEY_LEFT)
        move_focus(top, -1);
    else if (code == KEY_RIGHT)
        move_focus(top, 1);
    else if (code == KEY_ENTER)
        open_row(top);
    else if (code == KEY_BACKSPACE)
        close_run(top);
}

static void press_letter(struct top *top, unsigned code)
{
    static const struct {
        unsigned code;
        void (*run)(struct top *top);
    } keys[] = {{'\n', open_row},     {'\r', open_row},     {'e', explain_row},
                {'c', ask_to_cancel}, {KEY_ESC, close_run}, {KEY_DELETE, close_run}};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (keys[i].code == code)
            keys[i].run(top);
    if (code == 'q')
        top->quits = true;
    else if (code == '\t')
        move_focus(top, 1);
    else if (code == 'p')
        hold_row(top, "pause");
    else if (code == 'r')
        hold_row(top, "resume");
    else if (code == '?')
        top->is_helping = true, top->text_first = 0;
}

void top_press(struct top *top, unsigned code, bool is_function)
{
    long step = step_of(code, is_function, top->cursors[top->focus].rows);
    if (is_function && code == KEY_RESIZE)
        return; /* drawn anew all the same */
    if (top->cancels[0])
        answer(top, code, is_function);
    else if (top->is_helping || top_model_title(top->model)[0])
        read_on(top, code, is_function);
    else if (step)
        move_by(top, step);
    else if (is_function)
        press_function(top, code);
    else
        press_letter(top, code);
}
