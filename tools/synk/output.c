/* Printing. Widths count code points: ids and states are mostly Latin, and a wide script only costs
 * alignment. */
#include "tools/synk/output.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "proto/json.h"

bool output_is_terminal(void)
{
    static int known = -1;
    if (known < 0)
        known = isatty(STDOUT_FILENO);
    return known;
}

int output_width(void)
{
    struct winsize size;
    if (output_is_terminal() && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        return size.ws_col;
    return 80;
}

size_t output_cut(size_t columns)
{
    return output_is_terminal() ? columns : 0;
}

size_t output_room(size_t used)
{
    size_t width = (size_t)output_width();
    return output_cut(width > used + 8 ? width - used : 8);
}

static bool has_styles(void)
{
    static int known = -1;
    if (known < 0) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
        known = output_is_terminal() && !(no_color && no_color[0]) &&
                !(term && strcmp(term, "dumb") == 0);
    }
    return known;
}

const char *style_on(enum style style)
{
    static const char *const codes[] = {
        [STYLE_NONE] = "",         [STYLE_GOOD] = "\033[32m", [STYLE_BAD] = "\033[31m",
        [STYLE_BUSY] = "\033[36m", [STYLE_WAIT] = "\033[33m", [STYLE_DIM] = "\033[2m",
        [STYLE_BOLD] = "\033[1m",
    };
    return has_styles() ? codes[style] : "";
}

const char *style_off(void)
{
    return has_styles() ? "\033[0m" : "";
}

static const struct {
    const char *state;
    enum style style;
    const char *mark;
} states[] = {
    {"succeeded", STYLE_GOOD, "✓"},  {"completed", STYLE_GOOD, "✓"},
    {"up", STYLE_GOOD, "✓"},         {"created", STYLE_GOOD, "+"},
    {"changed", STYLE_WAIT, "~"},    {"removed", STYLE_BAD, "-"},
    {"unchanged", STYLE_DIM, "="},   {"failed", STYLE_BAD, "✗"},
    {"error", STYLE_BAD, "✗"},       {"timed-out", STYLE_BAD, "✗"},
    {"quarantined", STYLE_BAD, "✗"}, {"lost", STYLE_BAD, "✗"},
    {"cancelled", STYLE_WAIT, "✗"},  {"skipped", STYLE_DIM, "–"},
    {"idle", STYLE_DIM, "·"},        {"running", STYLE_BUSY, "▶"},
    {"dispatched", STYLE_BUSY, "▷"}, {"retry-wait", STYLE_WAIT, "↻"},
    {"paused", STYLE_WAIT, "‖"},     {"suspect", STYLE_WAIT, "?"},
    {"draining", STYLE_WAIT, "↓"},   {"drained", STYLE_WAIT, "↓"},
    {"queued", STYLE_WAIT, "·"},     {"ready", STYLE_NONE, "·"},
    {"pending", STYLE_DIM, "·"},
};

enum style style_of(struct synk_bytes state)
{
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (bytes_equal(state, bytes_str(states[i].state)))
            return states[i].style;
    return STYLE_NONE;
}

const char *mark_of(struct synk_bytes state)
{
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (bytes_equal(state, bytes_str(states[i].state)))
            return states[i].mark;
    return "·";
}

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

static size_t columns_of(struct synk_bytes text)
{
    size_t columns = 0;
    for (size_t i = 0; i < text.size; i++)
        columns += !is_continuation(((const uint8_t *)text.data)[i]);
    return columns;
}

/* C0, DEL, and C1, whose UTF-8 form is 0xc2 and a byte below 0xa0. */
static bool is_control(const uint8_t *at, const uint8_t *end, size_t *ret_size)
{
    *ret_size = 1;
    if (*at < 0x20 || *at == 0x7f)
        return true;
    if (*at != 0xc2 || at + 1 >= end || at[1] >= 0xa0)
        return false;
    *ret_size = 2;
    return true;
}

static void print_clean(const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        size_t size;
        if (is_control(at, end, &size))
            putchar(' ');
        else
            putchar(*at);
        at += size;
    }
}

size_t print_text(struct synk_bytes text, size_t columns)
{
    const uint8_t *at = text.data, *end = at + text.size;
    size_t total = columns_of(text);
    if (columns && total > columns) {
        size_t taken = 0;
        while (at < end && taken < columns) {
            taken += !is_continuation(*at);
            if (taken == columns)
                break;
            at++;
        }
        print_clean(text.data, at);
        fputs("…", stdout);
        return columns;
    }
    if (text.size)
        print_clean(at, end);
    return total;
}

void print_block(struct synk_bytes text, size_t indent, size_t width)
{
    const uint8_t *at = text.data, *end = at + text.size;
    size_t room = !width ? SIZE_MAX : width > indent + 20 ? width - indent : 20;
    while (at < end) {
        const uint8_t *line = at;
        size_t taken = 0;
        while (at < end && *at != '\n') {
            size_t next = taken + !is_continuation(*at);
            if (next > room)
                break;
            taken = next;
            at++;
        }
        printf("%*s", (int)indent, "");
        print_clean(line, at);
        putchar('\n');
        if (at < end && *at == '\n')
            at++;
    }
}

const char *duration_text(int64_t ms, char text[32])
{
    if (ms < 0)
        snprintf(text, 32, "-");
    else if (ms < 1000)
        snprintf(text, 32, "%lld ms", (long long)ms);
    else if (ms < 60000)
        snprintf(text, 32, "%.1f s", (double)ms / 1000);
    else if (ms < 3600000)
        snprintf(text, 32, "%lld min %lld s", (long long)ms / 60000, (long long)ms / 1000 % 60);
    else if (ms < 48 * 3600000LL)
        snprintf(text, 32, "%lld h %lld min", (long long)ms / 3600000, (long long)ms / 60000 % 60);
    else
        snprintf(text, 32, "%lld d %lld h", (long long)ms / 86400000, (long long)ms / 3600000 % 24);
    return text;
}

const char *time_text(int64_t ms, char text[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    if (ms <= 0 || !localtime_r(&seconds, &parts) ||
        strftime(text, 32, "%Y-%m-%d %H:%M:%S", &parts) == 0)
        strcpy(text, "-");
    return text;
}

void table_init(struct table *table, const char *const *headers, size_t columns)
{
    *table = (struct table){.headers = headers, .columns = columns};
}

void table_add(struct table *table, struct synk_bytes text, enum style style)
{
    table->cells =
        mem_grow(table->cells, &table->capacity, table->count + 1, sizeof(*table->cells));
    table->cells[table->count++] = (struct cell){arena_copy(&table->arena, text), style};
}

void table_addf(struct table *table, enum style style, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    table_add(table, bytes_str(text), style);
}

static void print_cell(struct cell cell, bool is_last, size_t width, size_t room)
{
    fputs(style_on(cell.style), stdout);
    size_t taken = print_text(cell.text, is_last ? room : 0);
    fputs(cell.style ? style_off() : "", stdout);
    if (!is_last)
        printf("%*s", (int)(width - taken) + 2, "");
}

static bool last_is_empty(const struct table *table)
{
    for (size_t i = table->columns - 1; i < table->count; i += table->columns)
        if (table->cells[i].text.size)
            return false;
    return true;
}

void table_print(struct table *table)
{
    size_t widths[16] = {0}, before = 0, shown = table->columns;
    for (size_t c = 0; c < table->columns; c++)
        widths[c] = strlen(table->headers[c]);
    for (size_t i = 0; i < table->count; i++) {
        size_t columns = columns_of(table->cells[i].text), c = i % table->columns;
        widths[c] = columns > widths[c] ? columns : widths[c];
    }
    for (size_t c = 0; c + 1 < shown; c++)
        before += widths[c] + 2;
    /* A column with nothing in it is not what lines should wrap for. */
    if (output_is_terminal() && shown > 1 && last_is_empty(table) &&
        before + widths[shown - 1] > (size_t)output_width()) {
        shown--;
        before -= widths[shown - 1] + 2;
    }
    /* What is piped on is not cut. */
    size_t room = output_room(before);
    for (size_t c = 0; c < shown; c++)
        print_cell((struct cell){bytes_str(table->headers[c]), STYLE_BOLD}, c + 1 == shown,
                   widths[c], 0);
    putchar('\n');
    for (size_t i = 0; i < table->count; i++) {
        size_t c = i % table->columns;
        if (c < shown)
            print_cell(table->cells[i], c + 1 == shown, widths[c], room);
        if (c + 1 == table->columns)
            putchar('\n');
    }
    free(table->cells);
    arena_fini(&table->arena);
    *table = (struct table){0};
}

static void print_value(const struct synk_value *value, int indent)
{
    struct buf text = {0};
    json_print(value, indent, &text);
    fwrite(text.data, 1, text.size, stdout);
    putchar('\n');
    buf_fini(&text);
}

void print_json(const struct synk_value *value)
{
    print_value(value, 2);
}

void print_json_line(const struct synk_value *value)
{
    print_value(value, 0);
}
