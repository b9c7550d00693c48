/*
 * The screen of `synk top`: three lines of figures, four panes two by two or the tasks of a run,
 * and a line for messages and keys. Drawn whole each time; curses sends what differs. Draws what
 * the model has and asks for nothing.
 */
#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <time.h>

#include "tools/synk/top.h"
#include "tools/synk/top_draw.h"
#include "tools/synk/top_rows.h"

enum { HEAD_LINES = 3, COLUMNS_MIN = 60, LINES_MIN = 14 };

/* A part of the screen. */
struct area {
    int y, x, lines, columns;
};

static struct draw_line line_at(const struct top *top, int y, int x, int columns)
{
    return (struct draw_line){.y = y,
                              .x = x,
                              .end = x + columns < COLS ? x + columns : COLS,
                              .is_utf8 = top->is_utf8,
                              .has_colours = top->has_colours};
}

void top_view_init(struct top *top)
{
    if (top->has_colours) {
        start_color();
        use_default_colors();
        draw_init_colours();
    }
}

/* Head ------------------------------------------------------------------------------------------
 */

static void draw_title(const struct top *top, const struct synk_value *stats, int64_t now_ms)
{
    struct draw_line line = line_at(top, 0, 0, COLS);
    char uptime[32], clock[16];
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm parts;
    int64_t uptime_ms = number_of(stats, "uptimeMs", -1);
    struct synk_bytes durability = text_of(stats, "durability"),
                      version = text_of(stats, "version");
    line.attributes = A_REVERSE;
    draw_textf(&line, STYLE_BOLD, " synk top ");
    if (stats)
        draw_textf(&line, STYLE_NONE, " %.*s  epoch %lld  up %s  %.*s ", (int)version.size,
                   (const char *)version.data, (long long)number_of(stats, "epoch", 0),
                   duration_text(uptime_ms, uptime), (int)durability.size,
                   (const char *)durability.data);
    if (stats && !synk_value_bool(synk_value_get(stats, "storeOk"), true))
        draw_textf(&line, STYLE_BOLD, " the store does not answer ");
    draw_textf(&line, STYLE_NONE, " %s ", top->directory);
    draw_rest(&line);
    if (localtime_r(&seconds, &parts) && strftime(clock, sizeof(clock), " %H:%M:%S ", &parts)) {
        line.x = COLS - 10;
        draw_textf(&line, STYLE_NONE, "%s", clock);
    }
}

static void draw_figure(struct draw_line *line, const char *name, const char *value)
{
    draw_textf(line, STYLE_DIM, " %s ", name);
    draw_textf(line, STYLE_BOLD, "%s ", value);
}

static void draw_count(struct draw_line *line, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    draw_figure(line, name, text);
}

static void draw_load(const struct top *top, const struct synk_value *stats)
{
    struct draw_line line = line_at(top, 1, 0, COLS);
    struct top_rates rates = top_model_rates(top->model);
    char text[64];
    snprintf(text, sizeof(text), rates.tasks_per_s < 0 ? "-" : "%.1f/s", rates.tasks_per_s);
    draw_figure(&line, "tasks", text);
    snprintf(text, sizeof(text), "%lld/%lld", (long long)number_of(stats, "dispatchedTasks", 0),
             (long long)number_of(stats, "slots", 0));
    draw_figure(&line, "at work", text);
    draw_count(&line, "ready", number_of(stats, "readyTasks", 0));
    draw_count(&line, "retrying", number_of(stats, "retryWaitTasks", 0));
    draw_count(&line, "open", number_of(stats, "liveTasks", 0));
    draw_count(&line, "runs", number_of(stats, "liveRuns", 0));
    draw_count(&line, "done", number_of(stats, "tasksFinished", 0));
    draw_rest(&line);
}

static void draw_process(const struct top *top, const struct synk_value *stats)
{
    struct draw_line line = line_at(top, 2, 0, COLS);
    const struct synk_value *process = synk_value_get(stats, "process");
    struct top_rates rates = top_model_rates(top->model);
    char text[64];
    snprintf(text, sizeof(text), "%.1f MiB", (double)number_of(process, "rssKib", 0) / 1024);
    draw_figure(&line, "rss", text);
    snprintf(text, sizeof(text), rates.cpu_share < 0 ? "-" : "%.0f%%", rates.cpu_share * 100);
    draw_figure(&line, "cpu", text);
    snprintf(text, sizeof(text), "%lld ms", (long long)number_of(process, "loopLagMs", 0));
    draw_figure(&line, "lag", text);
    snprintf(text, sizeof(text), "%.1f ms", (double)number_of(process, "commitUs", 0) / 1000);
    draw_figure(&line, "commit", text);
    snprintf(text, sizeof(text), "%.1f MiB",
             (double)number_of(process, "storeBytes", 0) / (1024 * 1024));
    draw_figure(&line, "store", text);
    draw_count(&line, "events", number_of(stats, "lastEvent", 0));
    draw_rest(&line);
}

/* Panes -----------------------------------------------------------------------------------------
 */

/* The rows that are drawn, so that the selected one is among them. */
static void scroll_to(struct top_cursor *cursor, size_t count)
{
    size_t rows = cursor->rows;
    if (cursor->at < cursor->first)
        cursor->first = cursor->at;
    else if (rows && cursor->at >= cursor->first + rows)
        cursor->first = cursor->at - rows + 1;
    if (cursor->first + rows > count)
        cursor->first = count > rows ? count - rows : 0;
}

static void draw_pane_title(const struct top *top, enum top_list list, const struct area *area)
{
    static const char *const names[] = {"units", "runs", "hosts", "events", "tasks"};
    struct draw_line line = line_at(top, area->y, area->x, area->columns);
    size_t count = top_model_count(top->model, list);
    int64_t units = number_of(top_model_stats(top->model), "units", 0);
    bool is_focused = top->focus == list;
    line.attributes = is_focused ? A_BOLD | A_UNDERLINE : A_UNDERLINE;
    draw_textf(&line, STYLE_NONE, "%s%s", is_focused ? (top->is_utf8 ? "▸" : ">") : " ",
               names[list]);
    if (list == LIST_UNITS && units > (int64_t)count)
        draw_textf(&line, STYLE_NONE, " %zu of %lld", count, (long long)units);
    else if (list != LIST_EVENTS)
        draw_textf(&line, STYLE_NONE, " %zu", count);
    draw_rest(&line);
}

static void draw_list(struct top *top, enum top_list list, const struct area *area, int64_t now_ms)
{
    struct top_cursor *cursor = &top->cursors[list];
    size_t count = top_model_count(top->model, list);
    cursor->rows = area->lines > 1 ? (size_t)area->lines - 1 : 0;
    top_cursor_settle(top, list);
    scroll_to(cursor, count);
    draw_pane_title(top, list, area);
    for (size_t i = 0; i < cursor->rows; i++) {
        struct draw_line line = line_at(top, area->y + 1 + (int)i, area->x, area->columns);
        size_t at = cursor->first + i;
        if (at < count) {
            if (at == cursor->at && top->focus == list)
                line.attributes = A_REVERSE;
            top_draw_row(&line, top->model, list, top_model_row(top->model, list, at), now_ms);
        } else if (at == 0) {
            draw_textf(&line, STYLE_DIM, " none");
        }
        draw_rest(&line);
    }
}

static void draw_panes(struct top *top, const struct area *area, int64_t now_ms)
{
    int left = area->columns * 2 / 5, right = area->columns - left - 1;
    int upper = area->lines * 3 / 5, lower = area->lines - upper;
    const struct area areas[] = {
        [LIST_UNITS] = {area->y, 0, upper, left},
        [LIST_RUNS] = {area->y, left + 1, upper, right},
        [LIST_HOSTS] = {area->y + upper, 0, lower, left},
        [LIST_EVENTS] = {area->y + upper, left + 1, lower, right},
    };
    for (int list = 0; list < TOP_PANES; list++)
        draw_list(top, (enum top_list)list, &areas[list], now_ms);
    for (int y = area->y; y < area->y + area->lines; y++) {
        struct draw_line line = line_at(top, y, left, 1);
        draw_textf(&line, STYLE_DIM, "%s", top->is_utf8 ? "│" : "|");
    }
}

static void draw_run(struct top *top, const struct area *area, int64_t now_ms)
{
    const struct synk_value *run = top_model_run(top->model);
    struct draw_line line = line_at(top, area->y, 0, area->columns);
    struct area tasks = {area->y + 1, 0, area->lines - 1, area->columns};
    char duration[32];
    if (run) {
        struct synk_bytes status = text_of(run, "status");
        int64_t started_at = number_of(run, "startedAt", 0),
                ended_at = number_of(run, "endedAt", 0);
        int64_t count = number_of(run, "taskCount", 0), from = number_of(run, "from", 0);
        int64_t shown = (int64_t)top_model_count(top->model, LIST_TASKS);
        draw_mark(&line, status);
        draw_text(&line, text_of(run, "run"), STYLE_BOLD);
        draw_textf(&line, style_of(status), "  %.*s", (int)status.size, (const char *)status.data);
        if (started_at > 0)
            draw_textf(&line, STYLE_NONE, "  %s",
                       duration_text((ended_at > 0 ? ended_at : now_ms) - started_at, duration));
        if (shown < count)
            draw_textf(&line, STYLE_NONE, "  tasks %lld to %lld of %lld", (long long)from + 1,
                       (long long)(from + shown), (long long)count);
        draw_textf(&line, STYLE_BAD, "  ");
        draw_text(&line, text_of(run, "error"), STYLE_BAD);
    } else {
        draw_textf(&line, STYLE_DIM, " asking for the run");
    }
    draw_rest(&line);
    draw_list(top, LIST_TASKS, &tasks, now_ms);
}

/* Text to read ----------------------------------------------------------------------------------
 */

/* Takes a line's worth of text, folded to `columns`. */
static struct synk_bytes take_line(struct synk_bytes *text, int columns, bool is_utf8)
{
    const uint8_t *start = text->data;
    size_t size = 0;
    int used = 0;
    while (size < text->size && start[size] != '\n') {
        size_t next = size + 1;
        while (next < text->size && (start[next] & 0xc0) == 0x80)
            next++;
        used += draw_columns(bytes_of(start + size, next - size), is_utf8);
        if (used > columns)
            break;
        size = next;
    }
    struct synk_bytes line = bytes_of(start, size);
    size += size < text->size && start[size] == '\n';
    *text = bytes_of(start + size, text->size - size);
    return line;
}

static void draw_text_page(struct top *top, const char *title, struct synk_bytes text)
{
    struct area area = {2, 2, LINES - 4, COLS - 4};
    int columns = area.columns - 4;
    struct draw_line head = line_at(top, area.y, area.x, area.columns);
    head.attributes = A_REVERSE;
    draw_textf(&head, STYLE_BOLD, " %s ", title);
    draw_rest(&head);
    top->text_rows = (size_t)area.lines - 2;
    size_t count = 0;
    for (struct synk_bytes rest = text; rest.size; count++)
        take_line(&rest, columns, top->is_utf8);
    top->text_lines = count;
    size_t last = count > top->text_rows ? count - top->text_rows : 0;
    top->text_first = top->text_first > last ? last : top->text_first;
    struct synk_bytes rest = text;
    for (size_t i = 0; i < top->text_first; i++)
        take_line(&rest, columns, top->is_utf8);
    for (size_t i = 0; i < top->text_rows; i++) {
        struct draw_line line = line_at(top, area.y + 1 + (int)i, area.x, area.columns);
        struct synk_bytes part = take_line(&rest, columns, top->is_utf8);
        draw_textf(&line, STYLE_DIM, "%s ", top->is_utf8 ? "│" : "|");
        draw_cell(&line, i || text.size ? part : bytes_str("asking the supervisor"), columns, 0,
                  STYLE_NONE);
        line.end--;
        draw_rest(&line);
        line.end++;
        draw_textf(&line, STYLE_DIM, "%s", top->is_utf8 ? "│" : "|");
    }
    struct draw_line foot = line_at(top, area.y + area.lines - 1, area.x, area.columns);
    foot.attributes = A_REVERSE;
    if (last)
        draw_textf(&foot, STYLE_NONE, " %zu%% ", (top->text_first + top->text_rows) * 100 / count);
    draw_textf(&foot, STYLE_NONE, " arrows scroll, q closes ");
    draw_rest(&foot);
}

/* Foot ------------------------------------------------------------------------------------------
 */

static const char *keys_of(const struct top *top)
{
    static const char *const keys[] = {
        [LIST_UNITS] = "p pause  r resume  e explain  Enter definition",
        [LIST_RUNS] = "Enter tasks  e explain  c cancel  p pause  r resume",
        [LIST_HOSTS] = "Enter details",
        [LIST_EVENTS] = "Enter details  e explain",
        [LIST_TASKS] = "e explain  Enter details  c cancel the run  Esc back",
    };
    return keys[top->focus];
}

static void draw_foot(const struct top *top)
{
    struct draw_line line = line_at(top, LINES - 1, 0, COLS);
    int64_t away_since = top_model_away_since(top->model);
    bool is_error = false;
    const char *message = top_model_message(top->model, &is_error);
    if (top->cancels[0]) {
        line.attributes = A_REVERSE;
        draw_textf(&line, STYLE_BOLD, " cancel %s? y/n ", top->cancels);
    } else if (away_since) {
        line.attributes = A_REVERSE;
        draw_textf(&line, STYLE_BAD, " no answer from a supervisor on %s: waiting for it ",
                   top->directory);
    } else if (message[0]) {
        draw_textf(&line, is_error ? STYLE_BAD : STYLE_GOOD, " %s", message);
    } else {
        draw_textf(&line, STYLE_DIM, " %s  Tab pane  ? help  q quit", keys_of(top));
    }
    draw_rest(&line);
}

void top_draw(struct top *top, int64_t now_ms)
{
    const struct synk_value *stats = top_model_stats(top->model);
    struct area area = {HEAD_LINES, 0, LINES - HEAD_LINES - 1, COLS};
    erase();
    if (COLS < COLUMNS_MIN || LINES < LINES_MIN) {
        struct draw_line line = line_at(top, 0, 0, COLS);
        draw_textf(&line, STYLE_NONE, "%d x %d is too small: %d x %d", COLS, LINES, COLUMNS_MIN,
                   LINES_MIN);
        refresh();
        return;
    }
    draw_title(top, stats, now_ms);
    draw_load(top, stats);
    draw_process(top, stats);
    if (top->focus == LIST_TASKS)
        draw_run(top, &area, now_ms);
    else
        draw_panes(top, &area, now_ms);
    if (top->is_helping)
        draw_text_page(top, "synk top", bytes_str(top_help()));
    else if (top_model_title(top->model)[0])
        draw_text_page(top, top_model_title(top->model), top_model_text(top->model));
    draw_foot(top);
    refresh();
}
