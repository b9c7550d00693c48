/* Cells. Characters are decoded here and given to curses as such, so that what a peer sent can
 * neither move the cursor nor widen a column; a locale that is not UTF-8 gets '?' for the rest. */
#define NCURSES_WIDECHAR 1
#include "tools/synk/top_draw.h"

#include <curses.h>
#include <stdarg.h>
#include <stdio.h>
#include <wchar.h>

#include "tools/synk/graph.h"

enum { CELLS = 1024 };

void draw_init_colours(void)
{
    static const short colours[] = {
        [STYLE_NONE] = -1,         [STYLE_GOOD] = COLOR_GREEN,  [STYLE_BAD] = COLOR_RED,
        [STYLE_BUSY] = COLOR_CYAN, [STYLE_WAIT] = COLOR_YELLOW, [STYLE_DIM] = -1,
        [STYLE_BOLD] = -1,
    };
    for (short style = STYLE_NONE + 1; style <= STYLE_BOLD; style++)
        init_pair(style, colours[style], -1);
}

static unsigned attributes_of(const struct draw_line *line, enum style style)
{
    unsigned attributes = line->attributes;
    if (style == STYLE_DIM)
        attributes |= A_DIM;
    else if (style == STYLE_BOLD)
        attributes |= A_BOLD;
    else if (style != STYLE_NONE && line->has_colours)
        attributes |= (unsigned)COLOR_PAIR(style);
    else if (style == STYLE_BAD)
        attributes |= A_BOLD;
    return attributes;
}

/* The next character; malformed bytes, which the protocol does not let through, are '?'. */
static wchar_t decode(const uint8_t **at, const uint8_t *end)
{
    uint8_t first = *(*at)++;
    if (first < 0x80)
        return first;
    int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
    uint32_t code = first & (0x3fu >> more);
    for (; more && *at < end && (**at & 0xc0) == 0x80; more--)
        code = code << 6 | (*(*at)++ & 0x3f);
    return more || code < 0x80 ? L'?' : (wchar_t)code;
}

/* What is shown for a character, and its columns. */
static wchar_t shown(wchar_t code, bool is_utf8, int *ret_columns)
{
    *ret_columns = 1;
    if (code < 0x20 || (code >= 0x7f && code < 0xa0))
        return L' ';
    if (code < 0x7f)
        return code;
    int columns = is_utf8 ? wcwidth(code) : -1;
    if (columns < 0)
        return L'?';
    *ret_columns = columns;
    return code;
}

int draw_columns(struct synk_bytes text, bool is_utf8)
{
    const uint8_t *at = text.data, *end = at + text.size;
    int columns = 0, taken;
    while (text.size && at < end) {
        shown(decode(&at, end), is_utf8, &taken);
        columns += taken;
    }
    return columns;
}

static void put_blanks(struct draw_line *line, int count)
{
    for (; count > 0 && line->x < line->end; count--)
        mvaddch(line->y, line->x++, ' ' | line->attributes);
}

/* Writes what fits into `columns`; the last column tells that it was cut. */
static void put(struct draw_line *line, struct synk_bytes text, int columns, enum style style)
{
    const uint8_t *at = text.data, *end = at + text.size;
    wchar_t cells[CELLS];
    int count = 0, used = 0, total = draw_columns(text, line->is_utf8), taken;
    int room = total > columns ? columns - 1 : columns;
    while (text.size && at < end && count < CELLS - 2) {
        wchar_t code = shown(decode(&at, end), line->is_utf8, &taken);
        if (used + taken > room)
            break;
        cells[count++] = code;
        used += taken;
    }
    if (total > columns && columns > 0) {
        cells[count++] = line->is_utf8 ? L'…' : L'~';
        used++;
    }
    unsigned attributes = attributes_of(line, style);
    attron((int)attributes);
    if (count)
        mvaddnwstr(line->y, line->x, cells, count);
    attroff((int)attributes);
    line->x += used;
}

void draw_cell(struct draw_line *line, struct synk_bytes text, int columns, int gap,
               enum style style)
{
    bool is_right = columns < 0;
    columns = is_right ? -columns : columns;
    if (line->x + columns > line->end)
        columns = line->end - line->x;
    if (columns <= 0)
        return;
    int total = draw_columns(text, line->is_utf8), start = line->x;
    if (is_right)
        put_blanks(line, columns - total);
    put(line, text, start + columns - line->x, style);
    put_blanks(line, start + columns - line->x + gap);
}

void draw_cellf(struct draw_line *line, int columns, int gap, enum style style, const char *format,
                ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    draw_cell(line, bytes_str(text), columns, gap, style);
}

void draw_text(struct draw_line *line, struct synk_bytes text, enum style style)
{
    draw_cell(line, text, draw_columns(text, line->is_utf8), 0, style);
}

void draw_textf(struct draw_line *line, enum style style, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    draw_text(line, bytes_str(text), style);
}

void draw_mark(struct draw_line *line, struct synk_bytes state)
{
    /* Units, runs and hosts have states that tasks do not. */
    static const struct {
        const char *state, *letter;
    } letters[] = {{"completed", "S"}, {"error", "F"},  {"idle", "."},    {"paused", "="},
                   {"queued", "."},    {"up", "+"},     {"suspect", "?"}, {"lost", "X"},
                   {"draining", "v"},  {"drained", "v"}};
    const char *mark = graph_mark(state, line->is_utf8);
    for (size_t i = 0; !line->is_utf8 && i < sizeof(letters) / sizeof(letters[0]); i++)
        if (bytes_equal(state, bytes_str(letters[i].state)))
            mark = letters[i].letter;
    draw_cell(line, bytes_str(mark), 1, 1, style_of(state));
}

static void put_run(struct draw_line *line, const char *text, int count, enum style style)
{
    for (; count > 0 && line->x < line->end; count--)
        put(line, bytes_str(text), 1, style);
}

void draw_bar(struct draw_line *line, int columns, int gap, int64_t total, int64_t good,
              int64_t bad)
{
    double scale = total > 0 ? (double)columns / (double)total : 0;
    int filled = (int)((double)(good + bad) * scale);
    int failed = bad > 0 ? (int)((double)bad * scale + 0.5) : 0;
    filled = filled > columns ? columns : filled;
    /* What failed is seen, be it one of a million. */
    failed = bad > 0 && failed < 1 ? 1 : failed > columns ? columns : failed;
    filled = filled < failed ? failed : filled;
    put_run(line, line->is_utf8 ? "█" : "#", filled - failed, STYLE_GOOD);
    put_run(line, line->is_utf8 ? "▓" : "x", failed, STYLE_BAD);
    put_run(line, line->is_utf8 ? "░" : ".", columns - filled, STYLE_DIM);
    put_blanks(line, gap);
}

void draw_rest(struct draw_line *line)
{
    put_blanks(line, line->end - line->x);
}
