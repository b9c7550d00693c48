/* Rows. Columns come in the order of their worth: a narrow pane leaves the last ones out, and the
 * name takes what is left, so no row is wider than its pane. */
#include "tools/synk/top_rows.h"

#include <stdio.h>
#include <time.h>

#include "tools/synk/timeline.h"

static int room_of(const struct draw_line *line)
{
    return line->end - line->x;
}

/* Five columns at most: "99999", "250k", "1.0M". */
static const char *short_number(int64_t number, char text[24])
{
    if (number < 100000)
        snprintf(text, 24, "%lld", (long long)number);
    else if (number < 1000000)
        snprintf(text, 24, "%lldk", (long long)number / 1000);
    else
        snprintf(text, 24, "%.1fM", (double)number / 1000000);
    return text;
}

static void draw_unit(struct draw_line *line, const struct synk_value *unit, int64_t now_ms)
{
    int room = room_of(line);
    bool is_paused = synk_value_bool(synk_value_get(unit, "paused"), false);
    bool is_enabled = synk_value_bool(synk_value_get(unit, "enabled"), true);
    bool has_status = room >= 30, has_runs = room >= 44, has_due = room >= 54;
    struct synk_bytes status = is_paused ? bytes_str("paused") : text_of(unit, "status");
    struct synk_bytes shown = is_enabled ? status : bytes_str("disabled");
    int64_t due_at = number_of(unit, "dueAt", 0);
    char due[32], in[40] = "";
    if (due_at > 0)
        snprintf(in, sizeof(in), "in %s",
                 timeline_short(due_at > now_ms ? due_at - now_ms : 0, due));
    draw_mark(line, status);
    int name = room - 2 - has_status * 10 - has_runs * 11 - has_due * 11;
    draw_cell(line, text_of(unit, "id"), name, 0, is_enabled ? STYLE_NONE : STYLE_DIM);
    if (has_status)
        draw_cell(line, shown, -10, 0, style_of(status));
    if (has_runs)
        draw_cellf(line, -11, 0, STYLE_DIM, "%lld runs", (long long)number_of(unit, "runCount", 0));
    if (has_due)
        draw_cell(line, bytes_str(in), -11, 0, STYLE_DIM);
}

static void draw_run(struct draw_line *line, const struct synk_value *run, int64_t now_ms)
{
    int room = room_of(line), bar = room >= 90 ? 30 : room >= 60 ? 16 : 8;
    int counted = room >= 60 ? 12 : 10;
    struct synk_bytes status = text_of(run, "status"), error = text_of(run, "error");
    int64_t started_at = number_of(run, "startedAt", 0), ended_at = number_of(run, "endedAt", 0);
    int64_t total = number_of(run, "taskCount", 0), done = number_of(run, "done", -1);
    int64_t failed = number_of(run, "failed", 0);
    bool has_error = room >= 90, is_ended = ended_at > 0;
    char took[32], counts[64], a[24], b[24];
    /* Of runs that ended long ago only the status is known: all is done, one way or another. */
    if (done < 0 && is_ended) {
        done = text_is(status, "succeeded") ? total : -1;
        failed = text_is(status, "failed") && total == 1;
        done = failed ? 1 : done;
    }
    if (done >= 0)
        snprintf(counts, sizeof(counts), "%s/%s", short_number(done, a), short_number(total, b));
    else
        snprintf(counts, sizeof(counts), "%s", short_number(total, b));
    int64_t took_ms = started_at > 0 ? (is_ended ? ended_at : now_ms) - started_at : -1;
    int error_columns = has_error ? (room - 2) / 3 : 0;
    draw_mark(line, status);
    draw_cell(line, text_of(run, "run"), room - 2 - bar - 1 - counted - 8 - error_columns, 1,
              STYLE_NONE);
    if (done >= 0)
        draw_bar(line, bar, 0, total, done - failed, failed);
    else
        draw_cell(line, status, bar, 0, style_of(status));
    draw_cell(line, bytes_str(counts), -counted, 0, failed > 0 ? STYLE_BAD : STYLE_NONE);
    draw_cell(line, bytes_str(timeline_short(took_ms, took)), -8, has_error, STYLE_DIM);
    if (has_error && error.size)
        draw_cell(line, error, error_columns - 1, 0, STYLE_BAD);
    else if (has_error)
        draw_cell(line, status, error_columns - 1, 0, style_of(status));
}

static void draw_host(struct draw_line *line, const struct synk_value *host)
{
    int room = room_of(line), bar = room >= 60 ? 20 : 8;
    bool has_queued = room >= 46;
    struct synk_bytes state = text_of(host, "state");
    int64_t slots = number_of(host, "slots", 0), running = number_of(host, "running", 0);
    draw_mark(line, state);
    draw_cell(line, text_of(host, "name"), room - 2 - bar - 1 - 8 - has_queued * 12, 1, STYLE_NONE);
    draw_bar(line, bar, 0, slots, running, 0);
    draw_cellf(line, -8, 0, STYLE_NONE, "%lld/%lld", (long long)running, (long long)slots);
    if (has_queued)
        draw_cellf(line, -12, 0, STYLE_DIM, "%lld queued", (long long)number_of(host, "queued", 0));
}

static void draw_event(struct draw_line *line, const struct synk_value *event)
{
    char clock[16] = "";
    time_t seconds = (time_t)(number_of(event, "at", 0) / 1000);
    struct tm parts;
    struct synk_bytes type = text_of(event, "type"), run = text_of(event, "run");
    struct synk_bytes worker = text_of(event, "worker"), text = text_of(event, "error");
    const struct synk_value *payload = synk_value_get(event, "payload");
    enum style style = text_is(type, "error")      ? STYLE_BAD
                       : text_is(type, "complete") ? STYLE_GOOD
                       : text_is(type, "retry")    ? STYLE_WAIT
                                                   : STYLE_NONE;
    if (!text.size)
        text = text_of(event, "milestone");
    if (!text.size)
        text = text_of(payload, "status");
    if (!text.size)
        text = text_of(payload, "reason");
    if (localtime_r(&seconds, &parts))
        strftime(clock, sizeof(clock), "%H:%M:%S", &parts);
    draw_cell(line, bytes_str(clock), 8, 1, STYLE_DIM);
    draw_cell(line, type, 9, 1, style);
    draw_text(line, run.size ? run : text_of(event, "unit"), STYLE_NONE);
    if (worker.size) {
        draw_textf(line, STYLE_DIM, " ");
        draw_text(line, worker, STYLE_NONE);
    }
    draw_textf(line, STYLE_DIM, "  ");
    draw_text(line, text, STYLE_DIM);
}

/* A task's bar on the axis of its run. */
static void draw_span(struct draw_line *line, const struct synk_value *run,
                      const struct synk_value *task, int columns, int64_t now_ms)
{
    struct synk_bytes state = text_of(task, "state");
    int64_t run_ended_at = number_of(run, "endedAt", 0), ended_at = number_of(task, "endedAt", 0);
    struct timeline timeline = {number_of(run, "startedAt", 0),
                                run_ended_at > 0 ? run_ended_at : now_ms, (uint32_t)columns};
    uint32_t first, count = timeline_span(&timeline, number_of(task, "startedAt", 0),
                                          ended_at > 0 ? ended_at : now_ms, &first);
    draw_cell(line, bytes_str(""), (int)first, 0, STYLE_NONE);
    for (uint32_t i = 0; i < count; i++)
        draw_cell(line, bytes_str(line->is_utf8 ? "━" : "="), 1, 0, style_of(state));
    draw_cell(line, bytes_str(""), columns - (int)(first + count), 0, STYLE_NONE);
}

static void draw_task(struct draw_line *line, const struct synk_value *run,
                      const struct synk_value *task, int64_t now_ms)
{
    int room = room_of(line), name = room >= 110 ? 32 : 20;
    struct synk_bytes state = text_of(task, "state"), text = text_of(task, "error");
    int64_t started_at = number_of(task, "startedAt", 0), ended_at = number_of(task, "endedAt", 0);
    int64_t attempts = number_of(task, "attempts", 0);
    char took[32], tries[24] = "";
    int64_t took_ms = started_at > 0 ? (ended_at > 0 ? ended_at : now_ms) - started_at : -1;
    if (attempts > 1)
        snprintf(tries, sizeof(tries), "↻%lld", (long long)attempts);
    draw_mark(line, state);
    draw_cell(line, text_of(task, "worker"), name, 1, STYLE_NONE);
    draw_cell(line, state, 11, 1, style_of(state));
    draw_cell(line, bytes_str(tries), 3, 1, STYLE_WAIT);
    draw_cell(line, bytes_str(took_ms >= 0 ? timeline_short(took_ms, took) : ""), -8, 1,
              STYLE_NONE);
    int left = room_of(line), bar = left >= 60 ? left - 36 : left;
    if (!text.size)
        text = text_of(task, "reason");
    if (text.size && left < 60) {
        draw_cell(line, text, left, 0, STYLE_DIM);
        return;
    }
    draw_span(line, run, task, bar, now_ms);
    if (left >= 60) {
        draw_textf(line, STYLE_NONE, " ");
        draw_text(line, text.size ? text : text_of(task, "host"), STYLE_DIM);
    }
}

void top_draw_row(struct draw_line *line, const struct top_model *model, enum top_list list,
                  const struct synk_value *row, int64_t now_ms)
{
    switch (list) {
    case LIST_UNITS:
        draw_unit(line, row, now_ms);
        break;
    case LIST_RUNS:
        draw_run(line, row, now_ms);
        break;
    case LIST_HOSTS:
        draw_host(line, row);
        break;
    case LIST_EVENTS:
        draw_event(line, row);
        break;
    case LIST_TASKS:
        draw_task(line, top_model_run(model), row, now_ms);
        break;
    case LISTS:
        break;
    }
}
